/* DESIGN: $NAME and $(command) in names, patterns, groups and keys are the shell's to evaluate, in
 * the state that the commands left it in. What asks it is one more text for the shell: a here-doc
 * for each value (so quotes are what they are, and nothing is split), written to a file beside the
 * source that is read as all of a build's files are. No text of the buildspec gets anywhere but
 * into a shell that runs the same author's commands anyway. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/id.h"
#include "base/mem.h"
#include "build/internal.h"

#define VALUE_FILE "build/.gantry-values"
#define VALUE_NAME "/.gantry-values"
#define VALUE_MAX  1024
#define FILE_MAX   (1024 * 1024)

struct asked {
    char ***slots; /* in the buildspec; each owns its text */
    size_t count;
    size_t index; /* of the text in build->texts */
};

struct values {
    struct asked asked[2]; /* by enum values_when */
    enum values_when now;
    void (*next)(struct build *build, const struct err *err);
};

/* ---- which ---- */

/* The shell would take a backslash at the end for a line that goes on. */
static bool is_evaluated(const char *text)
{
    return text && strpbrk(text, "$`") && !strchr(text, '\n') && !str_ends(text, "\\");
}

static void add(struct asked *asked, char **slot)
{
    if (!is_evaluated(*slot))
        return;
    asked->slots = mem_realloc(asked->slots, asked->count + 1, sizeof(*asked->slots));
    asked->slots[asked->count++] = slot;
}

static void add_all(struct asked *asked, struct strv *texts)
{
    for (size_t i = 0; i < texts->count; i++)
        add(asked, &texts->items[i]);
}

static void add_artifacts(struct asked *asked, struct buildspec_artifacts *a)
{
    add_all(asked, &a->files);
    add_all(asked, &a->exclude_paths);
    add(asked, &a->base_directory);
    add(asked, &a->name);
    add(asked, &a->s3_prefix);
}

static void find(struct values *values, struct buildspec *spec)
{
    struct asked *before = &values->asked[VALUES_BEFORE], *after = &values->asked[VALUES_AFTER];
    add(before, &spec->cache.key);
    add_all(before, &spec->cache.fallback_keys);
    add_all(before, &spec->cache.paths);
    add_artifacts(after, &spec->artifacts);
    for (size_t i = 0; i < spec->secondary_count; i++)
        add_artifacts(after, &spec->secondary[i]);
    for (size_t i = 0; i < spec->report_count; i++) {
        add(after, &spec->reports[i].group);
        add_all(after, &spec->reports[i].files);
        add(after, &spec->reports[i].base_directory);
    }
}

/* ---- the text ---- */

static char *text_of(const struct asked *asked, const struct build_paths *paths)
{
    struct buf out;
    char id[ID_SIZE];
    id_random(id);
    buf_init(&out, FILE_MAX);
    buf_adds(&out, "{\n");
    for (size_t i = 0; i < asked->count; i++)
        buf_addf(&out,
                 "IFS= command read -r GANTRY_VALUE <<GANTRY_%s\n%s\nGANTRY_%s\n"
                 "[ $? = 0 ] && command printf '%%s\\0' \"$GANTRY_VALUE\"\n",
                 id, *asked->slots[i], id);
    buf_addf(&out, "} >|'%s" VALUE_NAME "'\nunset GANTRY_VALUE\n", paths->build);
    return buf_detach(&out);
}

/* Whoever runs the last command may write it, and nobody but root may make a file there. */
static void make_file(const struct build *build)
{
    char *path = mem_printf("%s/" VALUE_FILE, build->place->dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0) {
        (void)fchmod(fd, 0666);
        close(fd);
    }
    free(path);
}

void values_prepare(struct build *build)
{
    struct values *values = mem_alloc(sizeof(*values));
    find(values, build->spec);
    for (size_t i = 0; i < 2; i++) {
        struct asked *asked = &values->asked[i];
        asked->index = build->texts.count;
        if (!asked->count)
            continue;
        char *text = text_of(asked, &build->place->paths);
        strv_add(&build->texts, text);
        strv_add(&build->users, ""); /* in the state that the commands left it in */
        free(text);
    }
    build->values = values;
    if (values_wanted(build, VALUES_BEFORE) || values_wanted(build, VALUES_AFTER))
        make_file(build);
}

bool values_wanted(const struct build *build, enum values_when when)
{
    return build->values->asked[when].count > 0;
}

/* ---- the answer ---- */

static int take(const struct build *build, const struct asked *asked, struct err *err)
{
    struct buf text;
    const char *at;
    size_t count = 0;
    if (build->place->ops->read_file(build->place, VALUE_FILE, FILE_MAX, &text, err) < 0)
        return -1;
    const char *end = buf_cstr(&text) + text.len;
    for (at = buf_cstr(&text); at < end; at += strlen(at) + 1)
        count++;
    int rc = count == asked->count ? 0
                                   : err_set(err, ERR_INVALID, "the shell gave %zu values for %zu",
                                             count, asked->count);
    at = buf_cstr(&text);
    for (size_t i = 0; i < count && rc == 0; i++, at += strlen(at) + 1) {
        if (strlen(at) > VALUE_MAX || !str_is_utf8(at, strlen(at))) {
            rc = err_set(err, ERR_INVALID, "'%.100s' is no UTF-8 text of at most %d bytes",
                         *asked->slots[i], VALUE_MAX);
            continue;
        }
        free(*asked->slots[i]);
        *asked->slots[i] = mem_strdup(at);
    }
    buf_release(&text);
    return rc;
}

static void finish(struct build *build)
{
    struct values *values = build->values;
    struct err err = {0};
    int rc = take(build, &values->asked[values->now], &err);
    if (rc < 0)
        err_wrap(&err, "The buildspec's texts with $ in them cannot be evaluated");
    values->next(build, rc < 0 ? &err : NULL);
}

static void on_ran(struct build *build, const struct build_exit *result)
{
    struct err err = {0};
    if (result->err.code != ERR_NONE) {
        build_give_back(build, &result->err);
    } else if (result->limit || result->code != 0) {
        err_set(&err, ERR_INVALID,
                "The buildspec's texts with $ in them cannot be evaluated: %s, exit status %d",
                result->limit ? result->limit : "the shell ended", result->code);
        build->values->next(build, &err);
    } else {
        struct strv paths = {0};
        strv_add(&paths, VALUE_FILE);
        place_bring(build, &paths, FILE_MAX, finish);
        strv_release(&paths);
    }
}

void values_ask(struct build *build, enum values_when when,
                void (*next)(struct build *build, const struct err *err))
{
    struct values *values = build->values;
    if (!values_wanted(build, when)) {
        next(build, NULL);
        return;
    }
    values->now = when;
    values->next = next;
    build->answered = on_ran;
    build->place->ops->run(build->place, values->asked[when].index, plan_succeeding(&build->plan));
}

void values_free(struct values *values)
{
    if (!values)
        return;
    free(values->asked[0].slots);
    free(values->asked[1].slots);
    free(values);
}
