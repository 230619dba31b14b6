#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "buildah/run.h"

static int fail(const struct err *err)
{
    say("%s", err->msg);
    return DOCKER_FAILED;
}

static void add_all(struct strv *to, const struct strv *from)
{
    for (size_t i = 0; i < from->count; i++)
        strv_add(to, from->items[i]);
}

static void add_words(struct strv *to, const char *const *words)
{
    for (; *words; words++)
        strv_add(to, *words);
}
#define ADD(to, ...) add_words(to, (const char *const[]){__VA_ARGS__, NULL})

static void trim(struct buf *text)
{
    while (text->len && strchr("\n\r ", text->data[text->len - 1]))
        text->data[--text->len] = '\0';
}

/* ---- push ---- */

static char *image_id(const char *name)
{
    struct strv argv = {0};
    struct buf out;
    ADD(&argv, "buildah", "images", "-q", "--no-trunc", name);
    int rc = run_read(&argv, &out);
    strv_release(&argv);
    trim(&out);
    char *id = rc == 0 && out.len ? buf_detach(&out) : NULL;
    buf_release(&out);
    if (id && str_starts(id, "sha256:"))
        memmove(id, id + strlen("sha256:"), strlen(id + strlen("sha256:")) + 1);
    return id;
}

int push_one(const char *name, const struct strv *options, bool quiet, char **digest)
{
    struct strv argv = {0};
    struct buf text;
    struct err err = {0};
    char *file = temporary(false, &err);
    *digest = NULL;
    if (!file)
        return fail(&err);
    ADD(&argv, "buildah", "push");
    if (quiet)
        ADD(&argv, "--quiet");
    add_registry_options(&argv, true);
    if (options)
        add_all(&argv, options);
    strv_addf(&argv, "--digestfile=%s", file);
    ADD(&argv, name);
    int rc = run(&argv);
    strv_release(&argv);
    if (rc == 0 && file_read(&text, file, 256, NULL) == 0) {
        trim(&text);
        *digest = buf_detach(&text);
        buf_release(&text);
    }
    temporary_remove(file);
    return rc;
}

int push_command(const char *const *argv)
{
    static const struct option options[] = {
        {"all-tags", 'a', false, REFUSE, "push one tag after the other"},
        {"authfile", 0, true, KEEP, NULL},
        {"creds", 0, true, KEEP, NULL},
        {"digestfile", 0, true, TAKE, NULL},
        {"disable-content-trust", 0, false, DROP, NULL},
        {"format", 0, true, KEEP, NULL},
        {"platform", 0, true, NOTE, "the image is pushed as it is"},
        {"quiet", 'q', false, TAKE, NULL},
        {"tls-verify", 0, false, KEEP, NULL},
        {0}};
    struct words w = {0};
    struct err err = {0};
    char *digest = NULL;
    int rc = DOCKER_FAILED;
    if (words_parse(&w, options, argv, false, &err) < 0) {
        fail(&err);
    } else if (w.rest.count != 1) {
        say("push: it takes one image: docker push NAME[:TAG]");
    } else {
        const char *name = w.rest.items[0];
        bool quiet = words_get(&w, "quiet") != NULL;
        say_all(&w.notes);
        rc = push_one(name, &w.options, quiet, &digest);
        if (rc == 0 && digest) {
            char *id = image_id(name);
            char *repository = docker_repository(name);
            const char *file = words_get(&w, "digestfile");
            if (id)
                pushed_add(id, repository, digest);
            if (file && file_write(file, digest, strlen(digest), 0644, &err) < 0)
                rc = fail(&err);
            if (quiet)
                puts(name);
            else
                printf("%s: digest: %s\n", docker_tag(name), digest);
            free(repository);
            free(id);
        }
    }
    free(digest);
    words_release(&w);
    return rc;
}

/* ---- inspect ---- */

static void *inspect_one(const char *name, const struct buf *images, const char *pushed,
                         struct err *err)
{
    struct strv argv = {0};
    struct buf text;
    void *json = NULL;
    ADD(&argv, "buildah", "inspect", "--type", "image", name);
    int rc = run_read(&argv, &text);
    if (rc != 0)
        err_set(err, ERR_NOT_FOUND, "no such image: %s", name);
    else if (inspect_make(&json, &text, images, pushed, err) < 0)
        json = NULL;
    buf_release(&text);
    strv_release(&argv);
    return json;
}

static int print_one(const char *format, void *json)
{
    struct err err = {0};
    struct buf out;
    buf_init(&out, 16 * 1024 * 1024);
    int rc = template_print(format, json, &out, &err);
    if (rc == 0)
        puts(buf_cstr(&out));
    else
        say("%s", err.msg);
    buf_release(&out);
    return rc == 0 ? 0 : 64; /* Docker's for a bad template */
}

int inspect_command(const char *const *words)
{
    static const struct option options[] = {{"format", 'f', true, TAKE, NULL},
                                            {"platform", 0, true, DROP, NULL},
                                            {"size", 's', false, DROP, NULL},
                                            {"type", 't', true, TAKE, NULL},
                                            {0}};
    struct words w = {0};
    struct err err = {0};
    struct strv argv = {0};
    struct buf images, out;
    void *list[64];
    size_t count = 0;
    if (words_parse(&w, options, words, false, &err) < 0 || w.rest.count == 0 ||
        w.rest.count > sizeof(list) / sizeof(*list)) {
        if (err.code == ERR_NONE)
            err_set(&err, ERR_INVALID, "inspect: which image?");
        words_release(&w);
        return fail(&err);
    }
    const char *format = words_get(&w, "format");
    ADD(&argv, "buildah", "images", "--json", "--no-trunc");
    int rc = run_read(&argv, &images);
    char *pushed = pushed_read();
    for (size_t i = 0; i < w.rest.count; i++) {
        void *json = inspect_one(w.rest.items[i], &images, pushed, &err);
        if (!json) {
            say("%s", err.msg);
            rc = 1;
        } else if (format && print_one(format, json) != 0) {
            rc = 64;
        }
        if (json)
            list[count++] = json;
    }
    if (!format) {
        buf_init(&out, 64 * 1024 * 1024);
        inspect_print(list, count, &out);
        fputs(buf_cstr(&out), stdout);
        buf_release(&out);
    }
    for (size_t i = 0; i < count; i++)
        inspect_free(list[i]);
    free(pushed);
    buf_release(&images);
    strv_release(&argv);
    words_release(&w);
    return rc;
}

/* ---- images ---- */

/* Docker's fields by buildah's names; the caller frees. */
static char *images_format(const char *format)
{
    struct buf out;
    buf_init(&out, 64 * 1024);
    for (const char *p = format; *p;) {
        if (str_starts(p, ".Repository")) {
            buf_adds(&out, ".Name");
            p += strlen(".Repository");
        } else if (str_starts(p, "table ") && p == format) {
            p += strlen("table ");
        } else {
            buf_addc(&out, *p++);
        }
    }
    return buf_detach(&out);
}

/* buildah makes columns of what a format has blanks in. */
static void squeeze(char *line)
{
    char *to = line;
    for (const char *p = line; *p; p++) {
        if (*p != ' ' || p[1] != ' ')
            *to++ = *p;
    }
    *to = '\0';
}

/* Names as Docker has them, once; `wide`: in columns that stay as wide as they were. */
static void print_images(const char *list, bool wide)
{
    struct strv lines = {0};
    strv_split(&lines, list, '\n');
    for (size_t i = 0; i < lines.count; i++) {
        char *line = lines.items[i];
        if (!wide)
            squeeze(line);
        const char *name = docker_name(line);
        size_t word = strcspn(name, " ");
        int pad = wide && name[word] ? (int)(name - line) : 0;
        bool again = false;
        for (size_t n = 0; n < i && !wide; n++)
            again |= str_eq(docker_name(lines.items[n]), name);
        if (!again)
            printf("%.*s%*s%s\n", (int)word, name, pad, "", name + word);
    }
    strv_release(&lines);
}

int images_command(const char *const *words)
{
    static const struct option options[] = {{"all", 'a', false, KEEP, NULL},
                                            {"digests", 0, false, KEEP, NULL},
                                            {"filter", 'f', true, KEEP, NULL},
                                            {"format", 0, true, TAKE, NULL},
                                            {"no-trunc", 0, false, KEEP, NULL},
                                            {"quiet", 'q', false, KEEP, NULL},
                                            {0}};
    struct words w = {0};
    struct err err = {0};
    struct strv argv = {0};
    if (words_parse(&w, options, words, false, &err) < 0) {
        words_release(&w);
        return fail(&err);
    }
    const char *format = words_get(&w, "format");
    bool wide = !format;
    ADD(&argv, "buildah", "images");
    add_all(&argv, &w.options);
    if (format) {
        char *text = images_format(format);
        strv_addf(&argv, "--format=%s", text);
        free(text);
    }
    add_all(&argv, &w.rest);
    words_release(&w);
    struct buf list;
    int rc = run_read(&argv, &list);
    print_images(buf_cstr(&list), wide);
    buf_release(&list);
    strv_release(&argv);
    return rc;
}

/* ---- save and load ---- */

static int copy_out(const char *path, FILE *to)
{
    char chunk[64 * 1024];
    size_t n;
    FILE *f = fopen(path, "re");
    if (!f)
        return -1;
    while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0 && fwrite(chunk, 1, n, to) == n)
        continue;
    int rc = ferror(f) || fflush(to) != 0 ? -1 : 0;
    fclose(f);
    return rc;
}

int save_command(const char *const *words)
{
    static const struct option options[] = {{"format", 0, true, TAKE, NULL},
                                            {"output", 'o', true, TAKE, NULL},
                                            {"platform", 0, true, DROP, NULL},
                                            {"quiet", 'q', false, DROP, NULL},
                                            {0}};
    struct words w = {0};
    struct err err = {0};
    struct strv argv = {0};
    char *dir = NULL, *file = NULL;
    int rc = DOCKER_FAILED;
    if (words_parse(&w, options, words, false, &err) < 0 || !(dir = temporary(true, &err))) {
        rc = fail(&err);
        goto out;
    }
    if (w.rest.count != 1) {
        say("save: it takes one image at a time");
        goto out;
    }
    const char *output = words_get(&w, "output");
    const char *format = words_get(&w, "format");
    file = mem_printf("%s/image.tar", dir);
    ADD(&argv, "buildah", "push", "--quiet", w.rest.items[0]);
    strv_addf(&argv, "%s:%s:%s", format ? format : "docker-archive", file, w.rest.items[0]);
    rc = run(&argv);
    if (rc != 0)
        goto out;
    FILE *to = output ? fopen(output, "we") : stdout;
    if (!to || copy_out(file, to) < 0) {
        say("cannot write '%s'", output ? output : "standard output");
        rc = 1;
    }
    if (to && output && fclose(to) != 0)
        rc = 1;
out:
    strv_release(&argv);
    temporary_remove(dir);
    free(file);
    words_release(&w);
    return rc;
}

static void print_loaded(const struct buf *names, const struct buf *id)
{
    struct strv lines = {0};
    strv_split(&lines, buf_cstr(names), '\n');
    for (size_t i = 0; i < lines.count; i++) {
        /* Of localhost/shop and docker.io/library/shop it has both. */
        bool said = false;
        for (size_t n = 0; n < i; n++)
            said |= str_eq(docker_name(lines.items[n]), docker_name(lines.items[i]));
        if (!said)
            printf("Loaded image: %s\n", docker_name(lines.items[i]));
    }
    if (lines.count == 0)
        printf("Loaded image ID: %s\n", buf_cstr(id));
    strv_release(&lines);
}

/* What unpacks the file, NULL: nothing need. buildah 1.28 can't itself. */
static const char *unpacker(const char *path)
{
    static const struct {
        const char *magic;
        size_t len;
        const char *program;
    } kinds[] = {{"\x1f\x8b", 2, "gzip"},
                 {"BZh", 3, "bzip2"},
                 {"\xfd"
                  "7zXZ",
                  5, "xz"},
                 {"\x28\xb5\x2f\xfd", 4, "zstd"}};
    char head[8] = {0};
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(head, 1, sizeof(head), f) : 0;
    if (f)
        fclose(f);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        if (n >= kinds[i].len && memcmp(head, kinds[i].magic, kinds[i].len) == 0)
            return kinds[i].program;
    }
    return NULL;
}

static int load_tar(const char *path)
{
    static const char *const kinds[] = {"docker-archive", "oci-archive"};
    struct buf text;
    int rc = 1;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds) && rc != 0; i++) {
        struct strv argv = {0};
        ADD(&argv, "buildah", "pull", "--quiet");
        strv_addf(&argv, "%s:%s", kinds[i], path);
        rc = run_read(&argv, &text);
        strv_release(&argv);
        trim(&text);
        if (rc == 0) {
            struct strv names = {0};
            struct buf list;
            ADD(&names, "buildah", "images", "--noheading", "--format={{.Name}}:{{.Tag}}",
                buf_cstr(&text));
            if (run_read(&names, &list) == 0)
                trim(&list);
            print_loaded(&list, &text);
            buf_release(&list);
            strv_release(&names);
        }
        buf_release(&text);
    }
    return rc;
}

static int load_from(const char *path)
{
    const char *program = unpacker(path);
    struct err err = {0};
    if (!program)
        return load_tar(path);
    char *file = temporary(false, &err);
    if (!file)
        return fail(&err);
    struct strv argv = {0};
    ADD(&argv, program, "-dc", path);
    int rc = run_into(&argv, file);
    strv_release(&argv);
    if (rc == 0)
        rc = load_tar(file);
    temporary_remove(file);
    return rc;
}

static int from_standard_input(char *path)
{
    char chunk[64 * 1024];
    size_t n;
    FILE *f = fopen(path, "we");
    if (!f)
        return -1;
    while ((n = fread(chunk, 1, sizeof(chunk), stdin)) > 0 && fwrite(chunk, 1, n, f) == n)
        continue;
    return fclose(f) != 0 || ferror(stdin) ? -1 : 0;
}

int load_command(const char *const *words)
{
    static const struct option options[] = {{"input", 'i', true, TAKE, NULL},
                                            {"platform", 0, true, DROP, NULL},
                                            {"quiet", 'q', false, DROP, NULL},
                                            {0}};
    struct words w = {0};
    struct err err = {0};
    int rc = DOCKER_FAILED;
    if (words_parse(&w, options, words, false, &err) < 0) {
        rc = fail(&err);
    } else if (words_get(&w, "input")) {
        rc = load_from(words_get(&w, "input"));
    } else {
        char *file = temporary(false, &err);
        if (!file || from_standard_input(file) < 0)
            say("cannot read the archive from standard input");
        else
            rc = load_from(file);
        temporary_remove(file);
    }
    words_release(&w);
    return rc;
}
