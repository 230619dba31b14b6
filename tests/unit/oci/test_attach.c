/* Pushing what refers to an image, and logging in, against a registry in memory. */
#include <jansson.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "http/server.h"
#include "oci/internal.h"
#include "tests/unit/unit.h"

#define SUBJECT  "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define TAG      "sha256-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define KEPT_MAX 32
#define LOGIN    "YW5uOnMzY3JldA==" /* ann:s3cret */

struct kept {
    char name[OCI_DIGEST_SIZE];
    char *data;
};

static struct registry {
    struct loop *loop;
    struct http_server *server;
    struct oci_client *client;
    char host[64], dir[64];
    struct kept blobs[KEPT_MAX], manifests[KEPT_MAX];
    size_t blob_count, manifest_count;
    bool knows_subjects;
    bool absolute;     /* the upload's location */
    bool forgets_once; /* another's write replaces the index */
    const char *wants; /* a challenge; NULL: no login */
    const char *takes; /* the Authorization that is taken */
    int uploads, tokens;
    char scope[256], token_login[128];
    /* what came of it */
    bool done;
    struct err err;
    char digest[OCI_DIGEST_SIZE];
} reg;

static bool is_let_in(struct http_request *req)
{
    const char *given = http_req_header(req, "Authorization");
    if (!reg.wants || str_eq(given, reg.takes))
        return true;
    http_reply_header(req, "WWW-Authenticate", reg.wants);
    http_reply(req, 401, "text/plain", "no", 2);
    return false;
}

static struct kept *find(struct kept *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (str_eq(list[i].name, name))
            return &list[i];
    }
    return NULL;
}

static void keep(struct kept *list, size_t *count, const char *name, const char *data)
{
    struct kept *old = find(list, *count, name);
    if (!old) {
        assert_true(*count < KEPT_MAX);
        old = &list[(*count)++];
        snprintf(old->name, sizeof(old->name), "%s", name);
    }
    free(old->data);
    old->data = mem_strdup(data);
}

static void on_get_blob(struct http_request *req, void *arg)
{
    (void)arg;
    const struct kept *blob = find(reg.blobs, reg.blob_count, http_req_param(req, "digest"));
    if (is_let_in(req))
        http_reply(req, blob ? 200 : 404, "application/octet-stream", "", 0);
}

static void on_begin_upload(struct http_request *req, void *arg)
{
    char place[128];
    (void)arg;
    if (!is_let_in(req))
        return;
    reg.uploads++;
    snprintf(place, sizeof(place), "%s%s/v2/acme/shop/blobs/uploads/1?state=x",
             reg.absolute ? "http://" : "", reg.absolute ? reg.host : "");
    http_reply_header(req, "Location", place);
    http_reply(req, 202, "text/plain", "", 0);
}

static void on_upload(struct http_request *req, void *arg)
{
    size_t len;
    char hex[SHA256_HEX_SIZE];
    (void)arg;
    if (!is_let_in(req))
        return;
    const char *data = http_req_body(req, &len);
    const char *digest = http_req_query(req, "digest");
    assert_string_equal(http_req_query(req, "state"), "x");
    sha256_hex(data, len, hex);
    assert_string_equal(digest + strlen("sha256:"), hex);
    keep(reg.blobs, &reg.blob_count, digest, data);
    http_reply(req, 201, "text/plain", "", 0);
}

static void on_get_manifest(struct http_request *req, void *arg)
{
    const struct kept *m = find(reg.manifests, reg.manifest_count, http_req_param(req, "ref"));
    (void)arg;
    if (!is_let_in(req))
        return;
    http_reply(req, m ? 200 : 404, MEDIA_INDEX, m ? m->data : "", m ? strlen(m->data) : 0);
}

static void on_put_manifest(struct http_request *req, void *arg)
{
    size_t len;
    (void)arg;
    if (!is_let_in(req))
        return;
    const char *ref = http_req_param(req, "ref");
    if (reg.knows_subjects)
        http_reply_header(req, "OCI-Subject", SUBJECT);
    if (reg.forgets_once && str_eq(ref, TAG))
        reg.forgets_once = false;
    else
        keep(reg.manifests, &reg.manifest_count, ref, http_req_body(req, &len));
    http_reply(req, 201, "text/plain", "", 0);
}

static void on_token(struct http_request *req, void *arg)
{
    const char *login = http_req_header(req, "Authorization");
    (void)arg;
    reg.tokens++;
    snprintf(reg.scope, sizeof(reg.scope), "%s %s", http_req_query(req, "service"),
             http_req_query(req, "scope"));
    snprintf(reg.token_login, sizeof(reg.token_login), "%s", login ? login : "");
    http_reply(req, 200, "application/json", "{\"token\": \"t1\"}", 15);
}

static int setup(void **state)
{
    struct err err = {0};
    struct strv insecure = {0};
    const struct http_server_conf server = {.listen = "127.0.0.1:0"};
    (void)state;
    memset(&reg, 0, sizeof(reg));
    reg.loop = loop_new(1);
    if (http_server_new(&reg.server, reg.loop, &server, &err) < 0)
        fail_msg("%s", err.msg);
    http_route(reg.server, "GET", "/v2/acme/shop/blobs/{digest}", 0, on_get_blob, NULL);
    http_route(reg.server, "POST", "/v2/acme/shop/blobs/{rest*}", 0, on_begin_upload, NULL);
    http_route(reg.server, "PUT", "/v2/acme/shop/blobs/uploads/{id}", 65536, on_upload, NULL);
    http_route(reg.server, "GET", "/v2/acme/shop/manifests/{ref}", 0, on_get_manifest, NULL);
    http_route(reg.server, "PUT", "/v2/acme/shop/manifests/{ref}", 65536, on_put_manifest, NULL);
    http_route(reg.server, "GET", "/token", 0, on_token, NULL);
    snprintf(reg.host, sizeof(reg.host), "127.0.0.1:%d", http_server_port(reg.server));
    snprintf(reg.dir, sizeof(reg.dir), "/tmp/gantry-oci-XXXXXX");
    assert_non_null(mkdtemp(reg.dir));
    char *login = mem_printf("%s/login", reg.dir);
    char *config = mem_printf("{\"auths\": {\"%s\": {\"auth\": \"" LOGIN "\"}}}", reg.host);
    assert_int_equal(file_write(login, config, strlen(config), 0600, NULL), 0);
    free(config);
    free(login);
    strv_add(&insecure, "127.0.0.1");
    const struct oci_conf conf = {.insecure = &insecure, .secrets_dir = reg.dir, .login = "login"};
    reg.client = oci_client_new(reg.loop, &conf);
    strv_release(&insecure);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    oci_client_free(reg.client);
    http_server_free(reg.server);
    loop_free(reg.loop);
    for (size_t i = 0; i < KEPT_MAX; i++) {
        free(reg.blobs[i].data);
        free(reg.manifests[i].data);
    }
    return file_remove_tree(reg.dir, NULL);
}

static void on_attached(const char *digest, const struct err *err, void *arg)
{
    (void)arg;
    reg.done = true;
    reg.err = *err;
    snprintf(reg.digest, sizeof(reg.digest), "%s", digest ? digest : "");
}

static void attach(const char *layer)
{
    static const char *const notes[] = {"a.b=c=d", NULL};
    const struct oci_artifact artifact = {.type = "application/vnd.test+json",
                                          .data = layer,
                                          .len = strlen(layer),
                                          .annotations = notes};
    struct oci_image image = {.digest = SUBJECT, .media_type = MEDIA_MANIFEST, .size_bytes = 77};
    struct oci_ref ref;
    struct err err = {0};
    char *text = mem_printf("%s/acme/shop", reg.host);
    assert_int_equal(oci_ref_parse(&ref, text, NULL), 0);
    free(text);
    reg.done = false;
    if (!oci_attach(reg.client, &ref, &image, &artifact, on_attached, NULL, &err))
        fail_msg("%s", err.msg);
    loop_run_for(reg.loop, 30000, &reg.done);
    assert_true(reg.done);
}

static void must_attach(const char *layer)
{
    attach(layer);
    if (reg.err.code != ERR_NONE)
        fail_msg("%s", reg.err.msg);
}

static json_t *manifest(const char *ref)
{
    const struct kept *kept = find(reg.manifests, reg.manifest_count, ref);
    json_t *json = kept ? json_loads(kept->data, 0, NULL) : NULL;
    assert_non_null(json);
    return json;
}

static const char *at(const json_t *json, const char *a, const char *b)
{
    return json_string_value(json_object_get(json_object_get(json, a), b));
}

static void what_is_attached_names_its_image(void **state)
{
    (void)state;
    reg.knows_subjects = true;
    must_attach("{\"x\": 1}");
    json_t *m = manifest(reg.digest);
    assert_string_equal(json_string_value(json_object_get(m, "artifactType")),
                        "application/vnd.test+json");
    assert_string_equal(at(m, "subject", "digest"), SUBJECT);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(m, "subject"), "size")),
                     77);
    assert_string_equal(at(m, "annotations", "a.b"), "c=d");
    const json_t *layer = json_array_get(json_object_get(m, "layers"), 0);
    assert_non_null(
        find(reg.blobs, reg.blob_count, json_string_value(json_object_get(layer, "digest"))));
    assert_non_null(find(reg.blobs, reg.blob_count, at(m, "config", "digest")));
    assert_int_equal(reg.manifest_count, 1); /* no index: the registry keeps the list */
    json_decref(m);
}

static void a_registry_without_the_referrers_api_gets_the_list_by_its_tag(void **state)
{
    (void)state;
    must_attach("one");
    char first[OCI_DIGEST_SIZE];
    snprintf(first, sizeof(first), "%s", reg.digest);
    must_attach("two");
    json_t *index = manifest(TAG);
    const json_t *list = json_object_get(index, "manifests");
    assert_int_equal(json_array_size(list), 2);
    const json_t *one = json_array_get(list, 0), *two = json_array_get(list, 1);
    assert_string_equal(json_string_value(json_object_get(one, "digest")), first);
    assert_string_equal(json_string_value(json_object_get(two, "digest")), reg.digest);
    assert_string_equal(json_string_value(json_object_get(one, "artifactType")),
                        "application/vnd.test+json");
    assert_string_equal(at(one, "annotations", "a.b"), "c=d");
    json_decref(index);
}

static void what_is_there_is_not_sent_again(void **state)
{
    (void)state;
    must_attach("one");
    assert_int_equal(reg.uploads, 2);
    must_attach("one");
    assert_int_equal(reg.uploads, 2);
    json_t *index = manifest(TAG);
    assert_int_equal(json_array_size(json_object_get(index, "manifests")), 1);
    json_decref(index);
}

static void a_list_that_another_replaced_is_written_again(void **state)
{
    (void)state;
    reg.forgets_once = true;
    must_attach("one");
    json_t *index = manifest(TAG);
    assert_int_equal(json_array_size(json_object_get(index, "manifests")), 1);
    json_decref(index);
}

static void a_location_may_be_absolute(void **state)
{
    (void)state;
    reg.absolute = true;
    must_attach("one");
}

static void a_tag_that_is_no_list_is_left_alone(void **state)
{
    (void)state;
    keep(reg.manifests, &reg.manifest_count, TAG, "{\"config\": {}}");
    attach("one");
    assert_int_equal(reg.err.code, ERR_INVALID);
    assert_non_null(strstr(reg.err.msg, "names something else"));
}

static void a_login_is_given_where_it_is_wanted(void **state)
{
    (void)state;
    reg.wants = "Basic realm=\"test\"";
    reg.takes = "Basic " LOGIN;
    must_attach("one");
    reg.takes = "Basic other";
    attach("two");
    assert_int_equal(reg.err.code, ERR_DENIED);
    assert_null(strstr(reg.err.msg, LOGIN));
}

static void a_token_is_asked_for_what_is_done(void **state)
{
    char challenge[256];
    (void)state;
    snprintf(challenge, sizeof(challenge), "Bearer realm=\"http://%s/token\",service=\"the reg\"",
             reg.host);
    reg.wants = challenge;
    reg.takes = "Bearer t1";
    must_attach("one");
    assert_int_equal(reg.tokens, 1); /* for all its requests */
    assert_string_equal(reg.scope, "the reg repository:acme/shop:pull,push");
    assert_string_equal(reg.token_login, "Basic " LOGIN);
    reg.takes = "Bearer t2";
    attach("two");
    assert_int_equal(reg.err.code, ERR_DENIED);
}

static void a_token_server_that_is_none_is_refused(void **state)
{
    (void)state;
    reg.wants = "Bearer realm=\"file:///etc/passwd\"";
    reg.takes = "Bearer t1";
    attach("one");
    assert_int_equal(reg.err.code, ERR_DENIED);
    assert_non_null(strstr(reg.err.msg, "can't be asked"));
}

static void a_challenge_is_read(void **state)
{
    static const char text[] =
        "Bearer realm=\"https://auth.example/token\",service=\"a,b\", scope=x";
    (void)state;
    char *realm = oci_challenge_part(text, "realm");
    char *service = oci_challenge_part(text, "service");
    char *scope = oci_challenge_part(text, "scope");
    assert_string_equal(realm, "https://auth.example/token");
    assert_string_equal(service, "a,b");
    assert_string_equal(scope, "x");
    assert_null(oci_challenge_part(text, "error"));
    free(realm);
    free(service);
    free(scope);
}

static void a_login_is_found_by_its_registry(void **state)
{
    static const char config[] =
        "{\"auths\": {\"r:5000\": {\"auth\": \"QQ==\"},"
        " \"https://s\": {\"auth\": \"Qg==\"}, \"bad\": {\"auth\": \"\\n\"},"
        " \"https://index.docker.io/v1/\": {\"auth\": \"Qw==\"}}}";
    static const char *const cases[][2] = {
        {"r:5000", "QQ=="}, {"s", "Qg=="}, {"docker.io", "Qw=="}, {"bad", NULL}, {"none", NULL}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *login = oci_login_of(config, strlen(config), cases[i][0]);
        assert_true(str_eq(login, cases[i][1]));
        free(login);
    }
    assert_null(oci_login_of("[", 1, "r"));
}

static void the_hosts_of_all_logins_are_told(void **state)
{
    static const char config[] = "{\"auths\": {\"r:5000\": {}, \"https://s\": {},"
                                 " \"https://index.docker.io/v1/\": {}}}";
    struct strv hosts = {0};
    struct err err = {0};
    (void)state;
    char *path = mem_printf("%s/logins", reg.dir);
    assert_int_equal(file_create(path, config, strlen(config), 0600, NULL), 0);
    assert_int_equal(oci_login_hosts(reg.dir, "logins", &hosts, &err), 0);
    assert_int_equal(hosts.count, 3);
    assert_true(strv_has(&hosts, "r:5000") && strv_has(&hosts, "s") &&
                strv_has(&hosts, "docker.io"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(oci_login_hosts(reg.dir, "logins", &hosts, &err), -1);
    assert_int_equal(oci_login_hosts(reg.dir, NULL, &hosts, &err), 0);
    strv_release(&hosts);
    free(path);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_attached_names_its_image),
        TEST(a_registry_without_the_referrers_api_gets_the_list_by_its_tag),
        TEST(what_is_there_is_not_sent_again),
        TEST(a_list_that_another_replaced_is_written_again),
        TEST(a_location_may_be_absolute),
        TEST(a_tag_that_is_no_list_is_left_alone),
        TEST(a_login_is_given_where_it_is_wanted),
        TEST(a_token_is_asked_for_what_is_done),
        TEST(a_token_server_that_is_none_is_refused),
        cmocka_unit_test(a_challenge_is_read),
        cmocka_unit_test(a_login_is_found_by_its_registry),
        TEST(the_hosts_of_all_logins_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
