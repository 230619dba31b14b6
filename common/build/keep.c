/* Artifacts: packed on a worker, one after the other, and stored with their manifest. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "build/internal.h"
#include "buildspec/files.h"
#include "store/artifact_store.h"

#define LEVEL    6 /* of deflate */
#define KEY_ROOT "artifacts"
#define MANIFEST ".manifest.json"

struct keeping {
    size_t at; /* 0: the primary artifacts; else secondary[at - 1] */
    const struct buildspec_artifacts *spec;
    char *file, *key;
    struct files *files;
    int fd, manifest_fd; /* -1: none */
    uint64_t manifest_size;
    struct archive_packed packed;
    struct err err;
    struct artifact_call *call;
};

static void next(struct build *build);

/* ---- rules and names ---- */

struct files *artifact_files(const struct build *build, const struct buildspec_artifacts *a)
{
    const struct files_rule rule = {.root = build->place->paths.src,
                                    .base_directory = a->base_directory,
                                    .files = &a->files,
                                    .exclude = &a->exclude_paths,
                                    .discard_paths = a->discard_paths};
    return files_new(&rule);
}

static void wants(const struct build *build, const struct buildspec_artifacts *a,
                  struct strv *paths)
{
    struct files *files = artifact_files(build, a);
    place_wants(build, files, paths);
    files_free(files);
}

void keep_wants(const struct build *build, struct strv *paths)
{
    const struct buildspec *spec = build->spec;
    if (!after_is_kept(build))
        return;
    wants(build, &spec->artifacts, paths);
    for (size_t i = 0; i < spec->secondary_count; i++)
        wants(build, &spec->secondary[i], paths);
}

/* web-1.2 -> web-1.2.zip: as CodeBuild names what it packs. */
static char *file_name(const struct build *build, const struct buildspec_artifacts *a)
{
    char *name = mem_strdup(!str_empty(a->name) ? a->name
                            : a->identifier     ? a->identifier
                                                : build->request->action);
    /* A build of a batch is `<action>/<identifier>`. */
    for (char *p = name; str_empty(a->name) && *p; p++) {
        if (*p == '/')
            *p = '-';
    }
    char *file = str_ends(name, ".zip") ? mem_strdup(name) : mem_printf("%s.zip", name);
    free(name);
    return file;
}

static char *key_of(const struct build *build, const struct buildspec_artifacts *a,
                    const char *file)
{
    const char *prefix = a->s3_prefix ? a->s3_prefix : "";
    while (*prefix == '/')
        prefix++;
    size_t len = strlen(prefix);
    while (len && prefix[len - 1] == '/')
        len--;
    return mem_printf(KEY_ROOT "/%s/%llu/%s/%.*s%s%s", build->request->pipeline,
                      (unsigned long long)build->request->release, build->host.run_id, (int)len,
                      prefix, len ? "/" : "", file);
}

static int check_key(const struct build *build, const struct keeping *k, struct err *err)
{
    if (!artifact_is_key(k->key) || strlen(k->key) + strlen(MANIFEST) > ARTIFACT_KEY_MAX ||
        strlen(k->file) > 200)
        return err_set(err, ERR_INVALID,
                       "the artifacts' name '%.200s' cannot be one: it must be a path of parts of "
                       "at most 200 bytes, without '..', '\\' and control characters",
                       k->file);
    for (size_t i = 0; i < build->kept_count; i++) {
        if (str_eq(build->kept[i].key, k->key))
            return err_set(err, ERR_INVALID, "two artifacts have the name '%.200s'", k->file);
    }
    return 0;
}

/* ---- the result ---- */

void keep_note(struct build *build, const struct kept *kept)
{
    build->kept = mem_realloc(build->kept, build->kept_count + 1, sizeof(*build->kept));
    struct kept *own = &build->kept[build->kept_count++];
    *own = *kept;
    own->name = mem_strdup(kept->name);
    own->key = mem_strdup(kept->key);
    build->bytes_out += kept->size;
}

void keep_told_left(struct build *build, const struct archive_left *left, const char *what)
{
    for (size_t i = 0; i < left->notes.count; i++)
        build_mark(build, "Left out of %s: %s", what, left->notes.items[i]);
    if (left->count > left->notes.count)
        build_mark(build, "Left out of %s: %llu more", what,
                   (unsigned long long)(left->count - left->notes.count));
}

static void release(struct keeping *k)
{
    if (k->fd >= 0)
        close(k->fd);
    if (k->manifest_fd >= 0)
        close(k->manifest_fd);
    artifact_call_cancel(k->call);
    archive_packed_release(&k->packed);
    files_free(k->files);
    free(k->file);
    free(k->key);
    *k = (struct keeping){.at = k->at, .fd = -1, .manifest_fd = -1};
}

static void fail(struct build *build, const char *reason)
{
    build_mark(build, "%s", reason);
    after_fail(build, PHASE_UPLOAD_ARTIFACTS, reason, NULL, 0);
    next(build);
}

static void fail_err(struct build *build, struct err *err)
{
    err_wrap(err, "The artifacts '%.100s' are not kept", build->keeping->file);
    fail(build, err->msg);
}

/* ---- store ---- */

/* True: the build has failed, and may be gone, or is being stopped. */
static bool put_ended(struct build *build, const struct err *err)
{
    struct err why = *err;
    build->keeping->call = NULL;
    if (build->stopping)
        return true;
    if (err->code == ERR_NONE)
        return false;
    fail_err(build, &why);
    return true;
}

static void on_manifest(const struct artifact_answer *answer, const struct err *err, void *arg)
{
    struct build *build = arg;
    struct keeping *k = build->keeping;
    if (put_ended(build, err))
        return;
    build->bytes_out += answer->size;
    struct kept kept = {.name = k->spec->identifier ? k->spec->identifier : k->file,
                        .key = k->key,
                        .size = k->packed.size,
                        .entries = k->packed.count,
                        .kind = GANTRY__V1__STORED_FILE_KIND__STORED_FILE_KIND_ARTIFACT};
    memcpy(kept.sha256, k->packed.sha256, sizeof(kept.sha256));
    keep_note(build, &kept);
    next(build);
}

static void on_archive(const struct artifact_answer *answer, const struct err *err, void *arg)
{
    struct build *build = arg;
    struct keeping *k = build->keeping;
    (void)answer;
    if (put_ended(build, err))
        return;
    char *key = mem_printf("%s" MANIFEST, k->key);
    k->call = artifact_put(build->env->artifacts, key, k->manifest_fd, k->manifest_size,
                           on_manifest, build);
    free(key);
}

/* ---- pack ---- */

static int write_manifest(struct build *build, struct keeping *k, struct err *err)
{
    struct buf text;
    int rc = archive_manifest(&k->packed, &text, err);
    k->manifest_fd = rc < 0 ? -1 : place_file(build, err);
    size_t at = 0;
    for (ssize_t n; rc == 0 && k->manifest_fd >= 0 && at < text.len; at += (size_t)n) {
        n = write(k->manifest_fd, text.data + at, text.len - at);
        if (n <= 0)
            break;
    }
    if (rc == 0 && k->manifest_fd >= 0 && at < text.len)
        rc = err_set(err, ERR_IO, "cannot write the list of the files");
    k->manifest_size = at;
    buf_release(&text);
    return k->manifest_fd < 0 ? -1 : rc;
}

/* On a worker. */
static void pack(struct build *build)
{
    struct keeping *k = build->keeping;
    struct place_tree place;
    place_tree_init(&place, build);
    const struct archive_pack conf = {.tree = &place.tree,
                                      .files = k->files,
                                      .keep_links = k->spec->enable_symlinks,
                                      .level = LEVEL,
                                      .stop = &build->halt};
    k->fd = place_file(build, &k->err);
    if (k->fd >= 0 && archive_pack(&conf, k->fd, &k->packed, &k->err) == 0 && k->packed.count)
        (void)write_manifest(build, k, &k->err);
}

static void on_packed(struct build *build)
{
    struct keeping *k = build->keeping;
    char reason[400];
    if (build->stopping)
        return;
    keep_told_left(build, &k->packed.left, k->file);
    if (k->err.code != ERR_NONE) {
        fail_err(build, &k->err);
        return;
    }
    if (!k->packed.count) {
        snprintf(reason, sizeof(reason),
                 "The artifacts '%.100s' are not kept: no file matches what line %d of the "
                 "buildspec asks for",
                 k->file, k->spec->line);
        fail(build, reason);
        return;
    }
    build_mark(build, "Artifacts %s: %zu files, %llu bytes, %llu packed", k->file, k->packed.count,
               (unsigned long long)k->packed.bytes, (unsigned long long)k->packed.size);
    k->call = artifact_put(build->env->artifacts, k->key, k->fd, k->packed.size, on_archive, build);
}

/* ---- one after the other ---- */

static void begin(struct build *build, const struct buildspec_artifacts *spec)
{
    struct keeping *k = build->keeping;
    struct err err = {0};
    k->spec = spec;
    k->file = file_name(build, spec);
    k->key = key_of(build, spec, k->file);
    k->files = artifact_files(build, spec);
    if (!build->env->artifacts) {
        build_mark(build, "Artifacts %s: there is no artifact store here to keep them in", k->file);
        next(build);
    } else if (check_key(build, k, &err) < 0) {
        fail(build, err.msg);
    } else {
        build_work(build, pack, on_packed);
    }
}

static void next(struct build *build)
{
    struct keeping *k = build->keeping;
    const struct buildspec *spec = build->spec;
    release(k);
    size_t at = k->at++;
    if (at == 0 && !spec->artifacts.files.count)
        at = k->at++;
    if (at > spec->secondary_count)
        after_next(build);
    else
        begin(build, at == 0 ? &spec->artifacts : &spec->secondary[at - 1]);
}

void keep_begin(struct build *build)
{
    build->keeping = mem_alloc(sizeof(*build->keeping));
    build->keeping->fd = build->keeping->manifest_fd = -1;
    next(build);
}

void keep_cancel(struct build *build)
{
    if (!build->keeping)
        return;
    artifact_call_cancel(build->keeping->call);
    build->keeping->call = NULL;
}

void keep_free(struct build *build)
{
    if (build->keeping)
        release(build->keeping);
    free(build->keeping);
    for (size_t i = 0; i < build->kept_count; i++) {
        free(build->kept[i].name);
        free(build->kept[i].key);
    }
    free(build->kept);
}
