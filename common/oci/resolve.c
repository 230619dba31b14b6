#include <jansson.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/sha256.h"
#include "oci/internal.h"

#define CONFIG_MAX (4 * 1024 * 1024)

struct resolve {
    struct oci_call call;
    struct oci_image image;
    bool digest_only;
    oci_resolved_fn *done;
    void *arg;
};

static void failed(struct oci_call *call, const struct err *err)
{
    const struct resolve *r = (const struct resolve *)call;
    r->done(NULL, err, r->arg);
}

static void release(struct oci_call *call)
{
    strv_release(&((struct resolve *)call)->image.platforms);
}

static void finish(struct resolve *r)
{
    static const struct err none = {0};
    r->done(&r->image, &none, r->arg);
    oci_call_free(&r->call);
}

static void add_platform(struct oci_image *image, const json_t *from)
{
    const char *os = json_string_value(json_object_get(from, "os"));
    const char *arch = json_string_value(json_object_get(from, "architecture"));
    const char *variant = json_string_value(json_object_get(from, "variant"));
    if (!os || !arch || str_eq(os, "unknown") || image->platforms.count >= OCI_PLATFORMS_MAX)
        return;
    char *text = mem_printf("%.32s/%.32s%s%.32s", os, arch, str_empty(variant) ? "" : "/",
                            variant ? variant : "");
    if (!strv_has(&image->platforms, text))
        strv_add(&image->platforms, text);
    free(text);
}

static void on_config(struct oci_call *call, const struct http_response *response)
{
    struct resolve *r = (struct resolve *)call;
    /* Some registries answer with a redirect to where blobs lie; platforms are not worth that. */
    if (response->status == 200) {
        json_t *config = json_loadb(response->body, response->len, 0, NULL);
        add_platform(&r->image, config);
        json_decref(config);
    }
    finish(r);
}

/* An index names its platforms; of a single image its configuration does. */
static void read_manifest(struct resolve *r, const json_t *manifest)
{
    const json_t *members = json_object_get(manifest, "manifests");
    if (json_is_array(members)) {
        for (size_t i = 0; i < json_array_size(members); i++)
            add_platform(&r->image, json_object_get(json_array_get(members, i), "platform"));
        strv_sort(&r->image.platforms); /* an index lists them as their builds ended */
        finish(r);
        return;
    }
    const char *config =
        json_string_value(json_object_get(json_object_get(manifest, "config"), "digest"));
    if (!oci_is_digest(config)) {
        finish(r);
        return;
    }
    const struct oci_question question = {.method = "GET",
                                          .url = oci_url(&r->call, "blobs", config),
                                          .limit = CONFIG_MAX,
                                          .done = on_config};
    oci_ask_next(&r->call, &question);
}

static void take_type(struct resolve *r, const struct http_response *response)
{
    const char *type = response->header(response, "Content-Type");
    if (type)
        snprintf(r->image.media_type, sizeof(r->image.media_type), "%.*s", (int)strcspn(type, "; "),
                 type);
}

/* False: it is not the one that was asked for, and the call has ended. */
static bool take_digest(struct resolve *r, const char *digest)
{
    if (r->call.ref.digest[0] && !str_eq(r->call.ref.digest, digest)) {
        oci_fail(&r->call, ERR_INVALID, "the registry answers with another digest");
        return false;
    }
    snprintf(r->image.digest, sizeof(r->image.digest), "%.71s", digest);
    return true;
}

/* The header with the digest may be missing (OCI Distribution Specification 1.1, "Pulling
 * manifests"); the body's own is what counts. */
static void on_manifest(struct oci_call *call, const struct http_response *response)
{
    struct resolve *r = (struct resolve *)call;
    char hex[SHA256_HEX_SIZE], digest[OCI_DIGEST_SIZE];
    if (response->status != 200) {
        oci_fail_status(call, "", response->status);
        return;
    }
    const char *told = response->header(response, "Docker-Content-Digest");
    sha256_hex(response->body, response->len, hex);
    snprintf(digest, sizeof(digest), "sha256:%s", hex);
    if (told && oci_is_digest(told) && !str_eq(told, digest)) {
        oci_fail(call, ERR_INVALID, "the manifest is not what its digest says");
        return;
    }
    if (!take_digest(r, digest))
        return;
    take_type(r, response);
    r->image.size_bytes = response->len;
    json_t *manifest = json_loadb(response->body, response->len, 0, NULL);
    if (!json_is_object(manifest))
        oci_fail(call, ERR_INVALID, "the manifest is not JSON");
    else if (r->digest_only)
        finish(r);
    else
        read_manifest(r, manifest);
    json_decref(manifest);
}

static struct oci_question manifest_question(const struct oci_call *call, const char *method,
                                             oci_answer_fn *done)
{
    const char *what = call->ref.digest[0] ? call->ref.digest : call->ref.tag;
    return (struct oci_question){.method = method,
                                 .url = oci_url(call, "manifests", what),
                                 .accept = ACCEPT_ALL,
                                 .limit = MANIFEST_MAX,
                                 .done = done};
}

static void on_head(struct oci_call *call, const struct http_response *response)
{
    struct resolve *r = (struct resolve *)call;
    if (response->status != 200) {
        oci_fail_status(call, "", response->status);
        return;
    }
    const char *digest = response->header(response, "Docker-Content-Digest");
    if (!oci_is_digest(digest)) {
        const struct oci_question question = manifest_question(call, "GET", on_manifest);
        oci_ask_next(call, &question);
        return;
    }
    take_type(r, response);
    if (take_digest(r, digest))
        finish(r);
}

static struct oci_call *begin(struct oci_client *client, const struct oci_ref *ref,
                              bool digest_only, oci_resolved_fn *done, void *arg, struct err *err)
{
    struct resolve *r = mem_alloc(sizeof(*r));
    r->digest_only = digest_only;
    r->done = done;
    r->arg = arg;
    r->call.failed = failed;
    r->call.release = release;
    oci_call_begin(&r->call, client, ref, "pull");
    const struct oci_question question = digest_only
                                             ? manifest_question(&r->call, "HEAD", on_head)
                                             : manifest_question(&r->call, "GET", on_manifest);
    if (oci_ask(&r->call, &question, err) == 0)
        return &r->call;
    oci_call_free(&r->call);
    return NULL;
}

struct oci_call *oci_resolve(struct oci_client *client, const struct oci_ref *ref,
                             oci_resolved_fn *done, void *arg, struct err *err)
{
    return begin(client, ref, false, done, arg, err);
}

struct oci_call *oci_resolve_digest(struct oci_client *client, const struct oci_ref *ref,
                                    oci_resolved_fn *done, void *arg, struct err *err)
{
    return begin(client, ref, true, done, arg, err);
}
