#include "fake.h"

#include <stdlib.h>

#include "base/file.h"
#include "base/mem.h"
#include "http/server.h"

#define WAIT_MS  20000
#define BODY_MAX (64 * 1024 * 1024)

static const char *const variables[] = {"AWS_ACCESS_KEY_ID",
                                        "AWS_SECRET_ACCESS_KEY",
                                        "AWS_SESSION_TOKEN",
                                        "AWS_PROFILE",
                                        "AWS_REGION",
                                        "AWS_DEFAULT_REGION",
                                        "AWS_ENDPOINT_URL",
                                        "AWS_ENDPOINT_URL_S3",
                                        "AWS_ENDPOINT_URL_SSM",
                                        "AWS_ENDPOINT_URL_STS",
                                        "AWS_CA_BUNDLE",
                                        "AWS_WEB_IDENTITY_TOKEN_FILE",
                                        "AWS_ROLE_ARN",
                                        "AWS_ROLE_SESSION_NAME",
                                        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                                        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                                        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
                                        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                                        "AWS_EC2_METADATA_DISABLED",
                                        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
                                        "AWS_CONFIG_FILE",
                                        "AWS_SHARED_CREDENTIALS_FILE",
                                        NULL};

static void remember(struct fake *fake, struct http_request *req)
{
    static const char *const headers[] = {"Authorization",
                                          "Host",
                                          "X-Amz-Date",
                                          "X-Amz-Security-Token",
                                          "X-Amz-Content-Sha256",
                                          "X-Amz-Target",
                                          "Content-Type",
                                          "Range",
                                          "If-Match",
                                          "If-None-Match",
                                          "x-amz-server-side-encryption",
                                          "x-amz-server-side-encryption-aws-kms-key-id",
                                          "X-aws-ec2-metadata-token",
                                          NULL};
    static const char *const queries[] = {"list-type", "prefix",     "continuation-token",
                                          "max-keys",  "partNumber", "uploadId",
                                          "uploads",   NULL};
    struct buf asked, kept;
    size_t len;

    buf_init(&asked, 8192);
    buf_init(&kept, 8192);
    buf_addf(&asked, "%s %s", http_req_method(req), http_req_path(req));
    for (const char *const *name = queries; *name; name++) {
        if (http_req_query(req, *name))
            buf_addf(&asked, " %s=%s", *name, http_req_query(req, *name));
    }
    for (const char *const *name = headers; *name; name++) {
        if (http_req_header(req, *name))
            buf_addf(&kept, "%s: %s\n", *name, http_req_header(req, *name));
    }
    strv_add(&fake->asked, buf_cstr(&asked));
    strv_add(&fake->headers, buf_cstr(&kept));
    strv_add(&fake->bodies, http_req_body(req, &len));
    buf_release(&asked);
    buf_release(&kept);
}

static void on_gone(void *arg)
{
    (void)arg;
}

static void on_request(struct http_request *req, void *arg)
{
    struct fake *fake = arg;
    const struct fake_answer *answer;
    size_t i = fake->asked.count;

    remember(fake, req);
    if (fake->asked.count == fake->hold) {
        http_req_on_close(req, on_gone, fake);
        fake->held = true;
        return;
    }
    assert_true(fake->answer_count > 0);
    answer = &fake->answers[i < fake->answer_count ? i : fake->answer_count - 1];
    for (size_t j = 0; j < fake->answer_count; j++) {
        if (fake->answers[j].to && strstr(fake->bodies.items[i], fake->answers[j].to))
            answer = &fake->answers[j];
    }
    if (answer->header) {
        char *name = mem_strndup(answer->header, strcspn(answer->header, ":"));
        http_reply_header(req, name, answer->header + strlen(name) + 2);
        free(name);
    }
    http_reply(req, answer->status, NULL, answer->body, answer->body ? strlen(answer->body) : 0);
}

int fake_setup(void **state)
{
    static const char *const methods[] = {"GET", "PUT", "POST", "DELETE", NULL};
    struct fake *fake = mem_alloc(sizeof(*fake));
    const struct http_server_conf conf = {.listen = "127.0.0.1:0"};
    char path[128];

    fake->loop = loop_new(2);
    assert_int_equal(http_server_new(&fake->server, fake->loop, &conf, &fake->err), 0);
    for (const char *const *method = methods; *method; method++) {
        http_route(fake->server, *method, "/", BODY_MAX, on_request, fake);
        http_route(fake->server, *method, "/{rest*}", BODY_MAX, on_request, fake);
    }
    snprintf(fake->url, sizeof(fake->url), "http://127.0.0.1:%d", http_server_port(fake->server));
    snprintf(fake->dir, sizeof(fake->dir), "/tmp/gantry-aws-XXXXXX");
    assert_non_null(mkdtemp(fake->dir));
    for (const char *const *name = variables; *name; name++)
        unsetenv(*name);
    snprintf(path, sizeof(path), "%s/config", fake->dir);
    setenv("AWS_CONFIG_FILE", path, 1);
    snprintf(path, sizeof(path), "%s/credentials", fake->dir);
    setenv("AWS_SHARED_CREDENTIALS_FILE", path, 1);
    setenv("AWS_ENDPOINT_URL", fake->url, 1);
    setenv("AWS_REGION", "eu-central-1", 1);
    setenv("AWS_ACCESS_KEY_ID", "AKID", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "SECRET", 1);
    *state = fake;
    return 0;
}

int fake_teardown(void **state)
{
    struct fake *fake = *state;

    aws_free(fake->aws);
    http_server_free(fake->server);
    loop_free(fake->loop);
    strv_release(&fake->asked);
    strv_release(&fake->headers);
    strv_release(&fake->bodies);
    file_remove_tree(fake->dir, NULL);
    free(fake);
    return 0;
}

void fake_answer(struct fake *fake, int status, const char *body)
{
    assert_true(fake->answer_count < FAKE_MAX);
    fake->answers[fake->answer_count++] = (struct fake_answer){.status = status, .body = body};
}

void fake_answer_to(struct fake *fake, const char *part, const char *body)
{
    fake_answer(fake, 200, body);
    fake->answers[fake->answer_count - 1].to = part;
}

struct aws *fake_aws(struct fake *fake)
{
    if (!fake->aws && aws_new(&fake->aws, fake->loop, &(struct aws_conf){0}, &fake->err) < 0)
        fail_msg("%s", fake->err.msg);
    return fake->aws;
}

void fake_wait(struct fake *fake)
{
    loop_run_for(fake->loop, WAIT_MS, &fake->done);
    assert_true(fake->done);
    fake->done = false;
}

void fake_put_file(struct fake *fake, const char *name, const char *text)
{
    char *path = mem_printf("%s/%s", fake->dir, name);

    assert_int_equal(file_write(path, text, strlen(text), 0600, &fake->err), 0);
    free(path);
}

char *fake_header(const struct fake *fake, size_t i, const char *name)
{
    struct strv lines = {0};
    char *found = NULL;

    assert_true(i < fake->headers.count);
    strv_split(&lines, fake->headers.items[i], '\n');
    for (size_t j = 0; j < lines.count && !found; j++) {
        const size_t len = strlen(name);
        if (strncasecmp(lines.items[j], name, len) == 0 && lines.items[j][len] == ':')
            found = mem_strdup(lines.items[j] + len + 2);
    }
    strv_release(&lines);
    return found ? found : mem_strdup("");
}
