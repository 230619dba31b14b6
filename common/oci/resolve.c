#include <jansson.h>
#include <stdio.h>
#include <strings.h>
#include <sys/queue.h>

#include "base/mem.h"
#include "base/sha256.h"
#include "http/client.h"
#include "oci/oci.h"

#define MANIFEST_MAX (4 * 1024 * 1024) /* what the specification asks registries to take */
#define CONFIG_MAX   (4 * 1024 * 1024)
#define TIMEOUT_MS   20000

#define MEDIA_INDEX    "application/vnd.oci.image.index.v1+json"
#define MEDIA_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_LIST     "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_DOCKER   "application/vnd.docker.distribution.manifest.v2+json"

struct oci_client {
    struct loop *loop;
    struct http_client *http;
    struct strv insecure;
    char *ca_file;
    LIST_HEAD(, oci_call) calls;
};

struct oci_call {
    LIST_ENTRY(oci_call) link;
    struct oci_client *client;
    struct oci_ref ref;
    struct oci_image image;
    struct http_call *http;
    bool digest_only;
    oci_resolved_fn *done;
    void *arg;
};

struct oci_client *oci_client_new(struct loop *loop, const struct oci_conf *conf)
{
    struct oci_client *client = mem_alloc(sizeof(*client));
    client->loop = loop;
    client->http = http_client_new(loop);
    client->ca_file = mem_strdup(conf->ca_file);
    for (size_t i = 0; conf->insecure && i < conf->insecure->count; i++)
        strv_add(&client->insecure, conf->insecure->items[i]);
    LIST_INIT(&client->calls);
    return client;
}

static void call_free(struct oci_call *call)
{
    LIST_REMOVE(call, link);
    strv_release(&call->image.platforms);
    free(call);
}

void oci_client_free(struct oci_client *client)
{
    if (!client)
        return;
    while (!LIST_EMPTY(&client->calls))
        oci_call_cancel(LIST_FIRST(&client->calls));
    http_client_free(client->http);
    strv_release(&client->insecure);
    free(client->ca_file);
    free(client);
}

void oci_call_cancel(struct oci_call *call)
{
    if (!call)
        return;
    if (call->http)
        http_call_cancel(call->http);
    call_free(call);
}

static void finish(struct oci_call *call, const struct err *err)
{
    static const struct err none = {0};
    call->done(err ? NULL : &call->image, err ? err : &none, call->arg);
    call_free(call);
}

static void fail(struct oci_call *call, enum err_code code, const char *why)
{
    struct err err = {0};
    err_set(&err, code, "registry %s, %s%s%s: %s", call->ref.host, call->ref.repository,
            call->ref.digest[0] ? "@" : ":", call->ref.digest[0] ? call->ref.digest : call->ref.tag,
            why);
    finish(call, &err);
}

static bool is_insecure(const struct oci_client *client, const char *host)
{
    for (size_t i = 0; i < client->insecure.count; i++) {
        const char *item = client->insecure.items[i];
        size_t len = strlen(item);
        if (strncmp(item, host, len) == 0 && (host[len] == '\0' || host[len] == ':'))
            return true;
    }
    return false;
}

static int ask(struct oci_call *call, const char *method, const char *kind, const char *what,
               size_t limit, http_done_fn *done, struct err *err)
{
    static const char *const headers[] = {
        "Accept: " MEDIA_INDEX ", " MEDIA_MANIFEST ", " MEDIA_LIST ", " MEDIA_DOCKER, NULL};
    struct oci_client *client = call->client;
    const char *host = call->ref.host;
    const char *scheme = is_insecure(client, host) ? "http" : "https";
    char *url = mem_printf("%s://%s/v2/%s/%s/%s", scheme,
                           str_eq(host, "docker.io") ? "registry-1.docker.io" : host,
                           call->ref.repository, kind, what);
    const struct http_call_opts opts = {.method = method,
                                        .url = url,
                                        .headers = headers,
                                        .timeout_ms = TIMEOUT_MS,
                                        .limit = limit,
                                        .ca_file = client->ca_file};
    call->http = http_call(client->http, &opts, done, call, err);
    free(url);
    return call->http ? 0 : -1;
}

/* True when it is a 200; otherwise the call has ended. */
static bool answered(struct oci_call *call, const struct http_response *response)
{
    char why[300];
    call->http = NULL;
    if (response->status == 200)
        return true;
    if (response->status == 0) {
        fail(call, err_is_retriable(&response->err) ? response->err.code : ERR_UNAVAILABLE,
             response->err.msg);
        return false;
    }
    enum err_code code = response->status == 404                              ? ERR_NOT_FOUND
                         : response->status == 401 || response->status == 403 ? ERR_DENIED
                         : response->status >= 500 || response->status == 429 ? ERR_UNAVAILABLE
                                                                              : ERR_INVALID;
    snprintf(why, sizeof(why), "%s (status %d)",
             code == ERR_NOT_FOUND     ? "it is not there"
             : code == ERR_DENIED      ? "not allowed"
             : code == ERR_UNAVAILABLE ? "the registry is not well"
                                       : "unexpected answer",
             response->status);
    fail(call, code, why);
    return false;
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

static void on_config(const struct http_response *response, void *arg)
{
    struct oci_call *call = arg;
    /* Some registries answer with a redirect to where blobs lie; platforms are not worth that. */
    call->http = NULL;
    if (response->status != 200) {
        finish(call, NULL);
        return;
    }
    json_t *config = json_loadb(response->body, response->len, 0, NULL);
    add_platform(&call->image, config);
    json_decref(config);
    finish(call, NULL);
}

/* An index names its platforms; of a single image its configuration does. */
static void read_manifest(struct oci_call *call, const json_t *manifest)
{
    struct err err = {0};
    const json_t *members = json_object_get(manifest, "manifests");
    if (json_is_array(members)) {
        for (size_t i = 0; i < json_array_size(members); i++)
            add_platform(&call->image, json_object_get(json_array_get(members, i), "platform"));
        finish(call, NULL);
        return;
    }
    const char *config =
        json_string_value(json_object_get(json_object_get(manifest, "config"), "digest"));
    if (!oci_is_digest(config))
        finish(call, NULL);
    else if (ask(call, "GET", "blobs", config, CONFIG_MAX, on_config, &err) < 0)
        finish(call, &err);
}

static void take_type(struct oci_call *call, const struct http_response *response)
{
    const char *type = response->header(response, "Content-Type");
    if (type)
        snprintf(call->image.media_type, sizeof(call->image.media_type), "%.*s",
                 (int)strcspn(type, "; "), type);
}

/* False: it is not the one that was asked for, and the call has ended. */
static bool take_digest(struct oci_call *call, const char *digest)
{
    if (call->ref.digest[0] && !str_eq(call->ref.digest, digest)) {
        fail(call, ERR_INVALID, "the registry answers with another digest");
        return false;
    }
    snprintf(call->image.digest, sizeof(call->image.digest), "%.71s", digest);
    return true;
}

/* The header with the digest may be missing (OCI Distribution Specification 1.1, "Pulling
 * manifests"); the body's own is what counts. */
static void on_manifest(const struct http_response *response, void *arg)
{
    struct oci_call *call = arg;
    char hex[SHA256_HEX_SIZE], digest[OCI_DIGEST_SIZE];
    if (!answered(call, response))
        return;
    const char *told = response->header(response, "Docker-Content-Digest");
    sha256_hex(response->body, response->len, hex);
    snprintf(digest, sizeof(digest), "sha256:%s", hex);
    if (told && oci_is_digest(told) && !str_eq(told, digest)) {
        fail(call, ERR_INVALID, "the manifest is not what its digest says");
        return;
    }
    if (!take_digest(call, digest))
        return;
    take_type(call, response);
    call->image.size_bytes = response->len;
    json_t *manifest = json_loadb(response->body, response->len, 0, NULL);
    if (!json_is_object(manifest))
        fail(call, ERR_INVALID, "the manifest is not JSON");
    else if (call->digest_only)
        finish(call, NULL);
    else
        read_manifest(call, manifest);
    json_decref(manifest);
}

static const char *reference(const struct oci_call *call)
{
    return call->ref.digest[0] ? call->ref.digest : call->ref.tag;
}

static int ask_manifest(struct oci_call *call, struct err *err)
{
    return ask(call, "GET", "manifests", reference(call), MANIFEST_MAX, on_manifest, err);
}

static void on_head(const struct http_response *response, void *arg)
{
    struct oci_call *call = arg;
    struct err err = {0};
    if (!answered(call, response))
        return;
    const char *digest = response->header(response, "Docker-Content-Digest");
    if (!oci_is_digest(digest)) {
        if (ask_manifest(call, &err) < 0)
            finish(call, &err);
        return;
    }
    take_type(call, response);
    if (take_digest(call, digest))
        finish(call, NULL);
}

static struct oci_call *call_new(struct oci_client *client, const struct oci_ref *ref,
                                 oci_resolved_fn *done, void *arg)
{
    struct oci_call *call = mem_alloc(sizeof(*call));
    call->client = client;
    call->ref = *ref;
    call->done = done;
    call->arg = arg;
    if (!call->ref.digest[0] && !call->ref.tag[0])
        snprintf(call->ref.tag, sizeof(call->ref.tag), "latest");
    LIST_INSERT_HEAD(&client->calls, call, link);
    return call;
}

struct oci_call *oci_resolve(struct oci_client *client, const struct oci_ref *ref,
                             oci_resolved_fn *done, void *arg, struct err *err)
{
    struct oci_call *call = call_new(client, ref, done, arg);
    if (ask_manifest(call, err) < 0) {
        call_free(call);
        return NULL;
    }
    return call;
}

struct oci_call *oci_resolve_digest(struct oci_client *client, const struct oci_ref *ref,
                                    oci_resolved_fn *done, void *arg, struct err *err)
{
    struct oci_call *call = call_new(client, ref, done, arg);
    call->digest_only = true;
    if (ask(call, "HEAD", "manifests", reference(call), MANIFEST_MAX, on_head, err) < 0) {
        call_free(call);
        return NULL;
    }
    return call;
}
