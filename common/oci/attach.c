/* DESIGN: blobs first (the empty configuration, the layer), each only where it is missing; then the
 * manifest, by its digest. A registry with the referrers API answers with OCI-Subject and keeps the
 * list itself; for another, the index behind the tag sha256-<hex> is read, added to and written,
 * and read again: another's write in between loses one of the two, and is then done anew. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/sha256.h"
#include "oci/internal.h"

#define EMPTY      "{}" /* Image Specification 1.1, "Guidance for an Empty Descriptor" */
#define EMPTY_TYPE "application/vnd.oci.empty.v1+json"
#define LAYER_MAX  (4 * 1024 * 1024)
#define WRITES_MAX 4
#define LISTED_MAX 1000

struct attach {
    struct oci_call call;
    oci_attached_fn *done;
    void *arg;
    char *type;
    struct blob {
        const void *data;
        size_t len;
        char digest[OCI_DIGEST_SIZE];
    } blobs[2];
    size_t at; /* the blob under way */
    char *layer;
    char subject[OCI_DIGEST_SIZE];
    char *manifest;
    char digest[OCI_DIGEST_SIZE]; /* of the manifest */
    json_t *descriptor;           /* of the manifest, for the index */
    char tag[OCI_DIGEST_SIZE];    /* the referrers tag */
    char *index;
    int writes;
};

static void failed(struct oci_call *call, const struct err *err)
{
    const struct attach *a = (const struct attach *)call;
    a->done(NULL, err, a->arg);
}

static void release(struct oci_call *call)
{
    struct attach *a = (struct attach *)call;
    json_decref(a->descriptor);
    free(a->type);
    free(a->layer);
    free(a->manifest);
    free(a->index);
}

static void finish(struct attach *a)
{
    static const struct err none = {0};
    a->done(a->digest, &none, a->arg);
    oci_call_free(&a->call);
}

static void digest_of(const void *data, size_t len, char digest[OCI_DIGEST_SIZE])
{
    char hex[SHA256_HEX_SIZE];
    sha256_hex(data, len, hex);
    snprintf(digest, OCI_DIGEST_SIZE, "sha256:%s", hex);
}

/* ---- the referrers tag ---- */

static void read_index(struct attach *a);

static bool lists(const json_t *manifests, const char *digest)
{
    for (size_t i = 0; i < json_array_size(manifests); i++) {
        const json_t *entry = json_array_get(manifests, i);
        if (str_eq(json_string_value(json_object_get(entry, "digest")), digest))
            return true;
    }
    return false;
}

static void on_index_written(struct oci_call *call, const struct http_response *response)
{
    struct attach *a = (struct attach *)call;
    if (response->status != 201 && response->status != 200)
        oci_fail_status(call, "its list of referrers", response->status);
    else
        read_index(a);
}

static void write_index(struct attach *a, json_t *index)
{
    json_t *manifests = json_object_get(index, "manifests");
    if (a->writes++ == WRITES_MAX || json_array_size(manifests) >= LISTED_MAX) {
        oci_fail(&a->call, ERR_CONFLICT, "its list of referrers is too long, or others change it");
        return;
    }
    json_array_append(manifests, a->descriptor);
    free(a->index);
    a->index = json_dumps(index, JSON_COMPACT);
    const struct oci_question question = {.method = "PUT",
                                          .url = oci_url(&a->call, "manifests", a->tag),
                                          .content_type = MEDIA_INDEX,
                                          .body = a->index,
                                          .body_len = strlen(a->index),
                                          .done = on_index_written};
    oci_ask_next(&a->call, &question);
}

static void on_index(struct oci_call *call, const struct http_response *response)
{
    struct attach *a = (struct attach *)call;
    json_t *index = NULL;
    if (response->status == 404) {
        index = json_pack("{s:i, s:s, s:[]}", "schemaVersion", 2, "mediaType", MEDIA_INDEX,
                          "manifests");
    } else if (response->status == 200) {
        index = json_loadb(response->body, response->len, 0, NULL);
    } else {
        oci_fail_status(call, "its list of referrers", response->status);
        return;
    }
    const json_t *manifests = json_object_get(index, "manifests");
    if (!json_is_array(manifests))
        oci_fail(call, ERR_INVALID, "the tag of its list of referrers names something else");
    else if (lists(manifests, a->digest))
        finish(a);
    else
        write_index(a, index);
    json_decref(index);
}

static void read_index(struct attach *a)
{
    const struct oci_question question = {.method = "GET",
                                          .url = oci_url(&a->call, "manifests", a->tag),
                                          .accept = MEDIA_INDEX,
                                          .limit = MANIFEST_MAX,
                                          .done = on_index};
    oci_ask_next(&a->call, &question);
}

/* ---- the manifest ---- */

static void on_manifest(struct oci_call *call, const struct http_response *response)
{
    struct attach *a = (struct attach *)call;
    if (response->status != 201 && response->status != 200)
        oci_fail_status(call, "what is attached", response->status);
    else if (str_eq(response->header(response, "OCI-Subject"), a->subject))
        finish(a);
    else
        read_index(a);
}

static void put_manifest(struct attach *a)
{
    const struct oci_question question = {.method = "PUT",
                                          .url = oci_url(&a->call, "manifests", a->digest),
                                          .content_type = MEDIA_MANIFEST,
                                          .body = a->manifest,
                                          .body_len = strlen(a->manifest),
                                          .done = on_manifest};
    oci_ask_next(&a->call, &question);
}

/* ---- blobs ---- */

static void next_blob(struct attach *a);

static void on_blob(struct oci_call *call, const struct http_response *response)
{
    struct attach *a = (struct attach *)call;
    if (response->status != 201) {
        oci_fail_status(call, "a blob", response->status);
        return;
    }
    a->at++;
    next_blob(a);
}

/* Distribution Specification 1.1, "POST then PUT"; the location may be relative. */
static void on_place(struct oci_call *call, const struct http_response *response)
{
    struct attach *a = (struct attach *)call;
    const struct blob *blob = &a->blobs[a->at];
    const char *place = response->header(response, "Location");
    if (response->status != 202 || str_empty(place)) {
        oci_fail_status(call, "a place for a blob", response->status);
        return;
    }
    char *origin = *place == '/' ? oci_origin(call) : mem_strdup("");
    const struct oci_question question = {.method = "PUT",
                                          .url = mem_printf("%s%s%cdigest=%s", origin, place,
                                                            strchr(place, '?') ? '&' : '?',
                                                            blob->digest),
                                          .content_type = "application/octet-stream",
                                          .body = blob->data,
                                          .body_len = blob->len,
                                          .done = on_blob};
    free(origin);
    oci_ask_next(call, &question);
}

static void on_blob_head(struct oci_call *call, const struct http_response *response)
{
    struct attach *a = (struct attach *)call;
    if (response->status == 200) {
        a->at++;
        next_blob(a);
    } else if (response->status == 404) {
        const struct oci_question question = {
            .method = "POST", .url = oci_url(call, "blobs", "uploads/"), .done = on_place};
        oci_ask_next(call, &question);
    } else {
        oci_fail_status(call, "a blob", response->status);
    }
}

static struct oci_question blob_question(const struct attach *a)
{
    return (struct oci_question){.method = "HEAD",
                                 .url = oci_url(&a->call, "blobs", a->blobs[a->at].digest),
                                 .done = on_blob_head};
}

static void next_blob(struct attach *a)
{
    if (a->at == sizeof(a->blobs) / sizeof(*a->blobs)) {
        put_manifest(a);
        return;
    }
    const struct oci_question question = blob_question(a);
    oci_ask_next(&a->call, &question);
}

/* ---- all of it ---- */

static json_t *descriptor(const char *type, size_t size, const char *digest)
{
    return json_pack("{s:s, s:I, s:s}", "mediaType", type, "size", (json_int_t)size, "digest",
                     digest);
}

static json_t *annotations(const struct oci_artifact *artifact)
{
    json_t *all = json_object();
    for (size_t i = 0; artifact->annotations && artifact->annotations[i]; i++) {
        const char *item = artifact->annotations[i];
        size_t len = strcspn(item, "=");
        char *key = mem_strndup(item, len);
        json_object_set_new(all, key, json_string(item + len + (item[len] == '=')));
        free(key);
    }
    return all;
}

static void make_manifest(struct attach *a, const struct oci_image *image,
                          const struct oci_artifact *artifact)
{
    json_t *notes = annotations(artifact);
    json_t *manifest = json_pack(
        "{s:i, s:s, s:s, s:o, s:[o], s:o, s:O}", "schemaVersion", 2, "mediaType", MEDIA_MANIFEST,
        "artifactType", artifact->type, "config",
        descriptor(EMPTY_TYPE, a->blobs[0].len, a->blobs[0].digest), "layers",
        descriptor(artifact->type, a->blobs[1].len, a->blobs[1].digest), "subject",
        descriptor(image->media_type, image->size_bytes, image->digest), "annotations", notes);
    a->manifest = json_dumps(manifest, JSON_COMPACT);
    json_decref(manifest);
    digest_of(a->manifest, strlen(a->manifest), a->digest);
    a->descriptor = descriptor(MEDIA_MANIFEST, strlen(a->manifest), a->digest);
    json_object_set_new(a->descriptor, "artifactType", json_string(artifact->type));
    json_object_set_new(a->descriptor, "annotations", notes);
}

static struct attach *attach_new(const struct oci_image *image, const struct oci_artifact *artifact)
{
    struct attach *a = mem_alloc(sizeof(*a));
    a->type = mem_strdup(artifact->type);
    a->layer = mem_dup(artifact->data, artifact->len);
    a->blobs[0] = (struct blob){.data = EMPTY, .len = strlen(EMPTY)};
    a->blobs[1] = (struct blob){.data = a->layer, .len = artifact->len};
    for (size_t i = 0; i < 2; i++)
        digest_of(a->blobs[i].data, a->blobs[i].len, a->blobs[i].digest);
    snprintf(a->subject, sizeof(a->subject), "%s", image->digest);
    snprintf(a->tag, sizeof(a->tag), "%s", image->digest);
    a->tag[strcspn(a->tag, ":")] = '-';
    make_manifest(a, image, artifact);
    return a;
}

struct oci_call *oci_attach(struct oci_client *client, const struct oci_ref *ref,
                            const struct oci_image *image, const struct oci_artifact *artifact,
                            oci_attached_fn *done, void *arg, struct err *err)
{
    if (artifact->len == 0 || artifact->len > LAYER_MAX || !oci_is_digest(image->digest)) {
        err_set(err, ERR_INVALID, "what is attached to an image has 1 byte to %d", LAYER_MAX);
        return NULL;
    }
    struct attach *a = attach_new(image, artifact);
    a->done = done;
    a->arg = arg;
    a->call.failed = failed;
    a->call.release = release;
    oci_call_begin(&a->call, client, ref, "pull,push");
    snprintf(a->call.ref.digest, sizeof(a->call.ref.digest), "%s", image->digest);
    const struct oci_question question = blob_question(a);
    if (oci_ask(&a->call, &question, err) == 0)
        return &a->call;
    oci_call_free(&a->call);
    return NULL;
}
