#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "aws/internal.h"
#include "aws/xml.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"

#define FRESH_MS       (5 * 60000)  /* new ones are fetched when less than that is left */
#define FILE_FRESH_MS  (10 * 60000) /* a file is read anew after that long */
#define AGAIN_MS       10000        /* not fetched again before, however soon they expire */
#define TOKEN_MAX      (16 * 1024)
#define LOCAL_MS       2000 /* an instance and a container answer at once, or are none */
#define STS_MS         10000
#define LOCAL_TRIES    3
#define CONTAINER_HOST "http://169.254.170.2"
#define INSTANCE_HOST  "http://169.254.169.254"
#define INSTANCE_PATH  "/latest/meta-data/iam/security-credentials/"

/* DESIGN: at most one fetch is under way. It is one question, or for an instance three: a session
 * token, the role's name, its keys. */

enum question { ASK_STS, ASK_CONTAINER, ASK_TOKEN, ASK_ROLE, ASK_KEYS };

struct keys_fetch {
    struct aws *aws; /* NULL: it went, the worker is still reading */
    enum question question;
    bool in_worker, from_file;
    int tries;
    struct http_call *http;
    struct loop_timer *start;
    char *profile, *token_file; /* what the worker reads */
    char *token, *role;         /* of an identity, a container or a session; of an instance */
    struct aws_keys found;
    struct err err;
};

static const char *env(const char *name)
{
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

void keys_release(struct aws_keys *keys)
{
    char *const parts[] = {keys->id, keys->secret, keys->token};

    for (size_t i = 0; i < 3; i++) {
        if (parts[i])
            mem_wipe(parts[i], strlen(parts[i]));
        free(parts[i]);
    }
    *keys = (struct aws_keys){0};
}

static void fetch_free(struct keys_fetch *fetch)
{
    char *const secrets[] = {fetch->token, fetch->role};

    for (size_t i = 0; i < 2; i++) {
        if (secrets[i])
            mem_wipe(secrets[i], strlen(secrets[i]));
        free(secrets[i]);
    }
    keys_release(&fetch->found);
    loop_timer_free(fetch->start);
    free(fetch->profile);
    free(fetch->token_file);
    free(fetch);
}

void keys_cancel(struct aws *aws)
{
    struct keys_fetch *fetch = aws->fetch;

    if (!fetch)
        return;
    aws->fetch = NULL;
    if (fetch->http)
        http_call_cancel(fetch->http);
    loop_timer_cancel(fetch->start);
    fetch->aws = NULL;
    if (!fetch->in_worker)
        fetch_free(fetch);
}

void keys_forget(struct aws *aws)
{
    keys_release(&aws->keys);
}

static void finish(struct keys_fetch *fetch)
{
    struct aws *aws = fetch->aws;
    struct err err = fetch->err;

    if (err.code && aws->keys.id && aws->keys.expires_ms > clock_now_ms()) {
        err.code = ERR_NONE; /* the old ones last a little longer */
    } else {
        keys_release(&aws->keys);
        aws->keys = fetch->found;
        fetch->found = (struct aws_keys){0};
    }
    aws->keys_good_until_ms = clock_mono_ms() + AGAIN_MS;
    aws->fetch = NULL;
    fetch_free(fetch);
    aws_calls_have_keys(aws, err.code ? &err : NULL);
}

static void fail(struct keys_fetch *fetch, enum err_code code, const char *why)
{
    static const char *const sources[] = {
        [KEYS_NONE] = "credentials",
        [KEYS_ENVIRONMENT] = "credentials",
        [KEYS_WEB_IDENTITY] = "credentials for AWS_ROLE_ARN by AWS_WEB_IDENTITY_TOKEN_FILE",
        [KEYS_FILE] = "credentials of the profile",
        [KEYS_CONTAINER] = "credentials of the container",
        [KEYS_INSTANCE] = "credentials of the instance"};

    err_set(&fetch->err, code, "no %s: %s", sources[fetch->aws->source], why);
    finish(fetch);
}

/* ---- what the answers hold ---- */

static int64_t time_of(const char *text)
{
    int64_t ms;

    return text && clock_parse_rfc3339(text, &ms) == 0 ? ms : clock_now_ms() + FILE_FRESH_MS;
}

static int read_keys_json(struct keys_fetch *fetch, const struct http_response *response)
{
    json_t *json = json_loadb(response->body, response->len, 0, NULL);
    const char *id = json_string_value(json_object_get(json, "AccessKeyId"));
    const char *secret = json_string_value(json_object_get(json, "SecretAccessKey"));

    if (id && secret) {
        fetch->found.id = mem_strdup(id);
        fetch->found.secret = mem_strdup(secret);
        fetch->found.token = mem_strdup(json_string_value(json_object_get(json, "Token")));
        fetch->found.expires_ms = time_of(json_string_value(json_object_get(json, "Expiration")));
    }
    aws_json_wipe(json);
    return fetch->found.id ? 0 : -1;
}

#define ROLE_ANSWER "AssumeRoleWithWebIdentityResponse/AssumeRoleWithWebIdentityResult/Credentials/"

static int on_role_element(const char *path, const char *text, void *arg)
{
    struct aws_keys *keys = arg;

    if (str_eq(path, ROLE_ANSWER "AccessKeyId") && !keys->id)
        keys->id = mem_strdup(text);
    else if (str_eq(path, ROLE_ANSWER "SecretAccessKey") && !keys->secret)
        keys->secret = mem_strdup(text);
    else if (str_eq(path, ROLE_ANSWER "SessionToken") && !keys->token)
        keys->token = mem_strdup(text);
    else if (str_eq(path, ROLE_ANSWER "Expiration"))
        keys->expires_ms = time_of(text);
    return 0;
}

static int read_role(struct keys_fetch *fetch, const struct http_response *response)
{
    return xml_walk(response->body, response->len, on_role_element, &fetch->found, NULL) == 0 &&
                   fetch->found.id && fetch->found.secret
               ? 0
               : -1;
}

/* ---- the questions ---- */

static void ask(struct keys_fetch *fetch);

static void on_good(struct keys_fetch *fetch, const struct http_response *response)
{
    int rc = 0;

    switch (fetch->question) {
    case ASK_TOKEN:
        fetch->token = mem_strdup(response->body);
        fetch->question = ASK_ROLE;
        ask(fetch);
        return;
    case ASK_ROLE:
        fetch->role = mem_strndup(response->body, strcspn(response->body, "\r\n"));
        fetch->question = ASK_KEYS;
        ask(fetch);
        return;
    case ASK_STS:
        rc = read_role(fetch, response);
        break;
    case ASK_CONTAINER:
    case ASK_KEYS:
        rc = read_keys_json(fetch, response);
        break;
    }
    if (rc == 0)
        finish(fetch);
    else
        fail(fetch, ERR_INVALID, "the answer holds none");
}

static void on_answer(const struct http_response *response, void *arg)
{
    struct keys_fetch *fetch = arg;
    struct aws_error error;
    char why[700];

    fetch->http = NULL;
    if (response->status == 200) {
        on_good(fetch, response);
        return;
    }
    if ((!response->status || response->status >= 500) && ++fetch->tries < LOCAL_TRIES) {
        ask(fetch);
        return;
    }
    if (fetch->question != ASK_STS && fetch->aws->source == KEYS_INSTANCE) {
        fail(fetch, response->status ? ERR_DENIED : ERR_UNAVAILABLE,
             "none in the environment or in the shared files, and this is no instance with a role; "
             "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE");
        return;
    }
    if (!response->status) {
        fail(fetch, response->err.code, response->err.msg);
        return;
    }
    aws_error_read(&error, response);
    snprintf(why, sizeof(why), "%s%s%s (status %d)", *error.code ? error.code : "refused",
             *error.message ? ": " : "", error.message, response->status);
    fail(fetch, response->status >= 500 ? ERR_UNAVAILABLE : ERR_DENIED, why);
}

static void get(struct keys_fetch *fetch, const char *method, const char *url, const char *header,
                const char *body, int64_t timeout_ms)
{
    const char *const headers[] = {header, NULL};
    const struct http_call_opts opts = {.method = method,
                                        .url = url,
                                        .headers = headers,
                                        .body = body,
                                        .body_len = body ? strlen(body) : 0,
                                        .timeout_ms = timeout_ms,
                                        .limit = 64 * 1024,
                                        .wipe = true,
                                        .ca_file = fetch->aws->ca_file};
    struct err err;

    fetch->http = http_call(fetch->aws->http, &opts, on_answer, fetch, &err);
    if (!fetch->http)
        fail(fetch, err.code, err.msg);
}

static void ask_instance(struct keys_fetch *fetch)
{
    const char *host = env("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    char *url, *header;

    if (!host)
        host = INSTANCE_HOST;
    if (fetch->question == ASK_TOKEN) {
        url = mem_printf("%s/latest/api/token", host);
        header = mem_strdup("X-aws-ec2-metadata-token-ttl-seconds: 300");
    } else {
        url = mem_printf("%s" INSTANCE_PATH "%s", host, fetch->role ? fetch->role : "");
        header = mem_printf("X-aws-ec2-metadata-token: %s", fetch->token);
    }
    get(fetch, fetch->question == ASK_TOKEN ? "PUT" : "GET", url, header, NULL, LOCAL_MS);
    mem_wipe(header, strlen(header));
    free(header);
    free(url);
}

static void ask_container(struct keys_fetch *fetch)
{
    const char *relative = env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = env("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    const char *token = fetch->token ? fetch->token : env("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    char *url = relative ? mem_printf(CONTAINER_HOST "%s", relative) : mem_strdup(full);
    char *header = token ? mem_printf("Authorization: %s", token) : NULL;

    get(fetch, "GET", url, header, NULL, LOCAL_MS);
    if (header)
        mem_wipe(header, strlen(header));
    free(header);
    free(url);
}

static void ask_sts(struct keys_fetch *fetch)
{
    const char *session = env("AWS_ROLE_SESSION_NAME");
    const struct sigv4_pair pairs[] = {{"Action", "AssumeRoleWithWebIdentity"},
                                       {"Version", "2011-06-15"},
                                       {"RoleArn", env("AWS_ROLE_ARN")},
                                       {"RoleSessionName", session ? session : "gantry"},
                                       {"WebIdentityToken", fetch->token}};
    char *base = aws_base_url(fetch->aws, AWS_STS), *url = mem_printf("%s/", base);
    struct buf body;

    buf_init(&body, 2 * TOKEN_MAX);
    sigv4_query(&body, pairs, sizeof(pairs) / sizeof(pairs[0]));
    get(fetch, "POST", url, "Content-Type: application/x-www-form-urlencoded", buf_cstr(&body),
        STS_MS);
    mem_wipe(body.data, body.cap);
    buf_release(&body);
    free(url);
    free(base);
}

static void ask(struct keys_fetch *fetch)
{
    if (fetch->question == ASK_STS)
        ask_sts(fetch);
    else if (fetch->question == ASK_CONTAINER)
        ask_container(fetch);
    else
        ask_instance(fetch);
}

/* ---- files, and the beginning ---- */

static void read_work(void *arg)
{
    struct keys_fetch *fetch = arg;
    struct buf token;

    if (fetch->from_file) {
        fetch->found.id = profile_value(fetch->profile, true, "aws_access_key_id");
        fetch->found.secret = profile_value(fetch->profile, true, "aws_secret_access_key");
        fetch->found.token = profile_value(fetch->profile, true, "aws_session_token");
    } else if (file_read(&token, fetch->token_file, TOKEN_MAX, &fetch->err) == 0) {
        fetch->token = mem_strndup(buf_cstr(&token), strcspn(buf_cstr(&token), "\r\n"));
        mem_wipe(token.data, token.cap);
        buf_release(&token);
    }
}

static void read_done(void *arg)
{
    struct keys_fetch *fetch = arg;
    char why[ERR_MSG_MAX];

    fetch->in_worker = false;
    if (!fetch->aws) {
        fetch_free(fetch);
    } else if (fetch->err.code) {
        snprintf(why, sizeof(why), "%s", fetch->err.msg);
        fail(fetch, ERR_DENIED, why);
    } else if (!fetch->from_file) {
        ask(fetch);
    } else if (fetch->found.id && fetch->found.secret) {
        fetch->found.expires_ms = clock_now_ms() + FRESH_MS + FILE_FRESH_MS;
        finish(fetch);
    } else {
        keys_release(&fetch->found);
        fail(fetch, ERR_DENIED,
             "the shared credentials file has no aws_access_key_id and aws_secret_access_key for "
             "it");
    }
}

static void begin(void *arg)
{
    struct keys_fetch *fetch = arg;
    const char *file = NULL;

    switch (fetch->aws->source) {
    case KEYS_WEB_IDENTITY:
        fetch->question = ASK_STS;
        file = env("AWS_WEB_IDENTITY_TOKEN_FILE");
        break;
    case KEYS_FILE:
        fetch->from_file = true;
        break;
    case KEYS_CONTAINER:
        fetch->question = ASK_CONTAINER;
        file = env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
        break;
    case KEYS_INSTANCE:
        fetch->question = ASK_TOKEN;
        break;
    case KEYS_ENVIRONMENT:
    case KEYS_NONE:
        fail(fetch, ERR_DENIED, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE");
        return;
    }
    if (!file && !fetch->from_file) {
        ask(fetch);
        return;
    }
    fetch->token_file = mem_strdup(file);
    fetch->profile = mem_strdup(fetch->aws->profile);
    fetch->in_worker = true;
    loop_work(fetch->aws->loop, read_work, read_done, fetch);
}

enum keys_source keys_find(const struct aws *aws)
{
    char *id;
    enum keys_source source = KEYS_INSTANCE;

    if (env("AWS_ACCESS_KEY_ID") && env("AWS_SECRET_ACCESS_KEY"))
        return KEYS_ENVIRONMENT;
    if (env("AWS_WEB_IDENTITY_TOKEN_FILE") && env("AWS_ROLE_ARN"))
        return KEYS_WEB_IDENTITY;
    id = profile_value(aws->profile, true, "aws_access_key_id");
    if (id)
        source = KEYS_FILE;
    else if (env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") ||
             env("AWS_CONTAINER_CREDENTIALS_FULL_URI"))
        source = KEYS_CONTAINER;
    else if (env("AWS_EC2_METADATA_DISABLED") &&
             strcasecmp(env("AWS_EC2_METADATA_DISABLED"), "true") == 0)
        source = KEYS_NONE;
    free(id);
    return source;
}

bool keys_ready(struct aws *aws)
{
    int64_t left;

    if (!aws->keys.id && aws->source == KEYS_ENVIRONMENT) {
        aws->keys = (struct aws_keys){.id = mem_strdup(env("AWS_ACCESS_KEY_ID")),
                                      .secret = mem_strdup(env("AWS_SECRET_ACCESS_KEY")),
                                      .token = mem_strdup(env("AWS_SESSION_TOKEN"))};
    }
    left = aws->keys.expires_ms ? aws->keys.expires_ms - clock_now_ms() : INT64_MAX;
    if (aws->keys.id && (left > FRESH_MS || clock_mono_ms() < aws->keys_good_until_ms))
        return true;
    if (!aws->fetch) {
        aws->fetch = mem_alloc(sizeof(*aws->fetch));
        aws->fetch->aws = aws;
        aws->fetch->start = loop_timer_new(aws->loop, begin, aws->fetch);
        loop_timer_arm(aws->fetch->start, 0);
    }
    return false;
}
