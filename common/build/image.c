/* DESIGN: the digest comes from, in this order, GANTRY_IMAGE_DIGEST as the commands exported it (or
 * as it was pushed, without a buildspec), imageDetail.json or imagedefinitions.json among
 * the artifacts, the tag that GANTRY_IMAGE names. Whatever it is, the registry must have it, and a
 * tag that was pushed with it must still name it.
 *
 * The tag can name something from before: an attempt before this one, a pipeline of the same name
 * and release number in a ledger that is no more. So it is asked for beside the checkout, too: what
 * it named then and names still, the build has not pushed.
 *
 * The builds of a batch share the tag, and one of them makes the image: another that reports none
 * has none. */
#include <jansson.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"
#include "build/internal.h"
#include "buildspec/files.h"

#define DETAIL_MAX (1024 * 1024)

static const char *const detail_files[] = {"imageDetail.json", "imagedefinitions.json"};

void image_cancel(struct build *build)
{
    oci_call_cancel(build->image_call);
    oci_call_cancel(build->tag_call);
    oci_call_cancel(build->before_call);
    oci_call_cancel(build->attach_call);
    build->image_call = build->tag_call = build->before_call = build->attach_call = NULL;
}

static void fail(struct build *build, const char *reason)
{
    image_cancel(build); /* the others answer no more */
    build_mark(build, "%s", reason);
    after_fail(build, PHASE_UPLOAD_ARTIFACTS, reason, NULL, 0);
    after_next(build);
}

static void fail_err(struct build *build, const struct err *err)
{
    fail(build, err->msg);
}

static void on_before(const struct oci_image *image, const struct err *err, void *arg);

/* Whoever can't answer now is asked again after the commands, and then it matters. */
static void ask_before(struct build *build)
{
    struct oci_ref tag;
    if (oci_ref_parse(&tag, build->image_uri, NULL) == 0)
        build->before_call = oci_resolve_digest(build->env->registry, &tag, on_before, build, NULL);
}

int image_begin(struct build *build, struct err *err)
{
    const char *image = build->request->build->image;
    struct oci_ref ref;
    if (str_empty(image))
        return 0;
    if (oci_ref_parse(&ref, image, err) < 0)
        return -1;
    if (ref.tag[0] || ref.digest[0])
        return err_set(err, ERR_INVALID,
                       "image '%.200s' must name a repository, without tag or digest", image);
    build->tag = mem_printf("%s-%llu", build->request->pipeline,
                            (unsigned long long)build->request->release);
    build->image_uri = mem_printf("%s:%s", image, build->tag);
    ask_before(build);
    return 0;
}

/* ---- what the registry says ---- */

static bool is_from_before(const struct build *build)
{
    return str_eq(build->check_tag, build->tag) && !str_eq(build->tag_digest, build->digest) &&
           str_eq(build->tag_digest, build->tag_before);
}

/* What another build of the batch has pushed before. An attempt before this one may have, too. */
static bool is_of_others(const struct build *build)
{
    return batch_identifier(build) && build->by_tag && build->host.attempt == 1 &&
           build->request->number == 1 && str_eq(build->digest, build->tag_before);
}

static void have_none(struct build *build)
{
    image_cancel(build);
    build->image_known = false;
    after_next(build);
}

/* All answers are there. */
static void judge(struct build *build)
{
    char reason[400];
    if (build->image_call || build->tag_call || build->before_call)
        return;
    if (is_of_others(build)) {
        have_none(build);
        return;
    }
    if (is_from_before(build))
        build->tag_digest[0] = '\0';
    if (!build->tag_digest[0])
        build->check_tag[0] = '\0'; /* it was pushed under another tag, or none */
    if (build->tag_digest[0] && !str_eq(build->tag_digest, build->digest)) {
        snprintf(reason, sizeof(reason),
                 "The tag '%s' moved meanwhile: the build made %s, the registry has %s",
                 build->check_tag, build->digest, build->tag_digest);
        fail(build, reason);
    } else {
        image_attest(build);
    }
}

static void on_before(const struct oci_image *image, const struct err *err, void *arg)
{
    struct build *build = arg;
    (void)err;
    build->before_call = NULL;
    if (image)
        snprintf(build->tag_before, sizeof(build->tag_before), "%s", image->digest);
    if (build->image_known) /* the commands were faster */
        judge(build);
}

static void on_tag(const struct oci_image *image, const struct err *err, void *arg)
{
    struct build *build = arg;
    build->tag_call = NULL;
    if (err->code != ERR_NONE && err->code != ERR_NOT_FOUND) {
        fail_err(build, err);
        return;
    }
    if (image)
        snprintf(build->tag_digest, sizeof(build->tag_digest), "%s", image->digest);
    judge(build);
}

static void on_image(const struct oci_image *image, const struct err *err, void *arg)
{
    struct build *build = arg;
    build->image_call = NULL;
    if (err->code == ERR_NOT_FOUND && !build->digest[0] && batch_identifier(build)) {
        have_none(build);
        return;
    }
    if (err->code == ERR_NOT_FOUND && !build->digest[0]) {
        fail(build, "The build succeeded, but no image is known: export " IMAGE_DIGEST_VARIABLE
                    ", write imageDetail.json among the artifacts, or push to $GANTRY_IMAGE");
        return;
    }
    if (err->code != ERR_NONE) {
        fail_err(build, err);
        return;
    }
    build->image = *image;
    build->image.platforms = (struct strv){0};
    for (size_t i = 0; i < image->platforms.count; i++)
        strv_add(&build->image.platforms, image->platforms.items[i]);
    build->image_known = true;
    build->by_tag = !build->digest[0];
    if (build->by_tag) {
        snprintf(build->digest, sizeof(build->digest), "%s", image->digest);
        snprintf(build->tag_digest, sizeof(build->tag_digest), "%s", image->digest);
    }
    judge(build);
}

/* Asks for the image and, beside it, for what its tag names now. */
static int ask(struct build *build, struct err *err)
{
    struct oci_client *registry = build->env->registry;
    struct oci_ref image, tag;
    if (oci_ref_parse(&image, build->request->build->image, err) < 0)
        return -1;
    tag = image;
    snprintf(tag.tag, sizeof(tag.tag), "%s", build->check_tag);
    if (build->digest[0])
        snprintf(image.digest, sizeof(image.digest), "%s", build->digest);
    else
        image = tag;
    build->image_call = oci_resolve(registry, &image, on_image, build, err);
    if (!build->image_call)
        return -1;
    if (!build->digest[0] || !build->check_tag[0])
        return 0;
    build->tag_call = oci_resolve_digest(registry, &tag, on_tag, build, err);
    return build->tag_call ? 0 : -1;
}

/* ---- where the digest stands ---- */

static int take_digest(struct build *build, const char *digest, const char *where, struct err *err)
{
    if (!oci_is_digest(digest))
        return err_set(err, ERR_INVALID, "%s holds '%.80s', which is no digest (sha256:...)", where,
                       digest);
    snprintf(build->digest, sizeof(build->digest), "%.*s", OCI_DIGEST_SIZE - 1, digest);
    return 0;
}

static int from_variable(struct build *build, struct err *err)
{
    for (size_t i = 0; i < build->exported.count; i++) {
        const char *item = build->exported.items[i];
        if (str_starts(item, IMAGE_DIGEST_VARIABLE "=") && item[strlen(IMAGE_DIGEST_VARIABLE "=")])
            return take_digest(build, strchr(item, '=') + 1, IMAGE_DIGEST_VARIABLE, err);
    }
    return 0;
}

static int from_push(struct build *build, struct err *err)
{
    struct buf text;
    if (!str_empty(build->request->build->buildspec) ||
        build->place->ops->read_file(build->place, "build/" IMAGE_DIGEST_FILE, 256, &text, NULL) <
            0)
        return 0;
    int rc = take_digest(build, buf_cstr(&text), "what was pushed", err);
    buf_release(&text);
    return rc;
}

/* registry/name:tag or registry/name@digest, of the action's repository. */
static int take_uri(struct build *build, const char *uri, const char *where, struct err *err)
{
    struct oci_ref own, ref;
    if (oci_ref_parse(&ref, uri, err) < 0 ||
        oci_ref_parse(&own, build->request->build->image, err) < 0)
        return err_wrap(err, "%s", where);
    if (!str_eq(own.host, ref.host) || !str_eq(own.repository, ref.repository))
        return err_set(err, ERR_INVALID, "%s names '%.200s', but the action's image is '%s'", where,
                       uri, build->request->build->image);
    if (ref.tag[0])
        snprintf(build->check_tag, sizeof(build->check_tag), "%s", ref.tag);
    if (ref.digest[0] && !build->digest[0])
        return take_digest(build, ref.digest, where, err);
    return 0;
}

static int take_detail(struct build *build, const char *name, const json_t *json, struct err *err)
{
    const json_t *entry = json_is_array(json) ? json_array_get(json, 0) : json;
    const char *digest = json_string_value(json_object_get(entry, "ImageDigest"));
    const char *uri = json_string_value(json_object_get(entry, "ImageURI"));
    if (!uri)
        uri = json_string_value(json_object_get(entry, "imageUri"));
    if (digest && take_digest(build, digest, name, err) < 0)
        return -1;
    if (uri)
        return take_uri(build, uri, name, err);
    return digest ? 0 : err_set(err, ERR_INVALID, "%s has neither ImageDigest nor ImageURI", name);
}

/* Below the place's folder; NULL: no base-directory that is one folder. */
static char *artifact_path(const struct build *build, const char *name)
{
    const char *base = build->spec->artifacts.base_directory;
    while (base && str_starts(base, "./"))
        base += 2;
    if (str_empty(base) || str_eq(base, "."))
        return mem_printf("build/src/%s", name);
    return base[strcspn(base, "*?[\\$`")] ? NULL : mem_printf("build/src/%s/%s", base, name);
}

/* Whether a file at this path is kept, by this name. */
static bool is_artifact(const struct build *build, const char *path, const char *name)
{
    const char *kept = NULL;
    struct files *files = artifact_files(build, &build->spec->artifacts);
    bool found = files_match(files, path + strlen("build/src/"), &kept) && str_eq(kept, name);
    files_free(files);
    return found;
}

/* 1: it was there; 0: not among the artifacts; -1. */
static int from_file(struct build *build, const char *name, struct err *err)
{
    struct buf text;
    char *path = artifact_path(build, name);
    struct err why = {0};
    if (!path || !is_artifact(build, path, name)) {
        free(path);
        return 0;
    }
    int rc = build->place->ops->read_file(build->place, path, DETAIL_MAX, &text, &why);
    free(path);
    if (rc < 0) {
        if (why.code == ERR_NOT_FOUND)
            return 0;
        *err = why;
        return -1;
    }
    json_t *json = json_loadb(buf_cstr(&text), text.len, 0, NULL);
    rc = json ? take_detail(build, name, json, err)
              : err_set(err, ERR_INVALID, "%s is not JSON", name);
    json_decref(json);
    buf_release(&text);
    return rc < 0 ? -1 : 1;
}

void image_wants(const struct build *build, struct strv *paths)
{
    for (size_t i = 0; i < sizeof(detail_files) / sizeof(*detail_files); i++) {
        char *path = artifact_path(build, detail_files[i]);
        if (path)
            strv_add(paths, path);
        free(path);
    }
    strv_add(paths, "build/" IMAGE_DIGEST_FILE);
}

static int find_digest(struct build *build, struct err *err)
{
    snprintf(build->check_tag, sizeof(build->check_tag), "%.128s", build->tag);
    if (from_variable(build, err) < 0 || from_push(build, err) < 0)
        return -1;
    if (build->digest[0])
        return 0;
    int found = 0;
    for (size_t i = 0; i < sizeof(detail_files) / sizeof(*detail_files) && found == 0; i++)
        found = from_file(build, detail_files[i], err);
    return found < 0 ? -1 : 0;
}

void image_find(struct build *build)
{
    struct err err = {0};
    if (find_digest(build, &err) < 0 || ask(build, &err) < 0)
        fail_err(build, &err);
}
