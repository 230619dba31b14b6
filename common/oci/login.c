/* DESIGN: a registry that wants a login answers 401 and says how: Basic takes user and password in
 * each request; Bearer names a token server (realm), which is asked with them and answers with a
 * token for this repository (Distribution's "Token Authentication Specification"). Without a login
 * for the host a token is asked for all the same: public images are read so. */
#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "oci/internal.h"
#include "secret/secret.h"

#define TOKEN_TIMEOUT_MS 20000
#define TOKEN_MAX        (64 * 1024)
#define HOSTS_MAX        100

char *oci_challenge_part(const char *challenge, const char *name)
{
    size_t len = strlen(name);
    for (const char *p = challenge; (p = strcasestr(p, name)); p += len) {
        bool begins = p > challenge && strchr(" ,\t", p[-1]);
        if (!begins || p[len] != '=')
            continue;
        const char *value = p + len + 1;
        if (*value == '"')
            return mem_strndup(value + 1, strcspn(value + 1, "\""));
        return mem_strndup(value, strcspn(value, ", \t"));
    }
    return NULL;
}

/* Docker writes this for its own. */
#define DOCKER_IO "https://index.docker.io/v1/"

static const json_t *entry_of(const json_t *auths, const char *host)
{
    char *with_scheme = mem_printf("https://%s", host);
    const json_t *entry = json_object_get(auths, host);
    if (!entry)
        entry = json_object_get(auths, with_scheme);
    if (!entry && str_eq(host, "docker.io"))
        entry = json_object_get(auths, DOCKER_IO);
    free(with_scheme);
    return entry;
}

char *oci_login_of(const char *config, size_t len, const char *host)
{
    json_t *json = json_loadb(config, len, 0, NULL);
    const json_t *entry = entry_of(json_object_get(json, "auths"), host);
    const char *auth = json_string_value(json_object_get(entry, "auth"));
    bool good = auth && *auth &&
                auth[strspn(auth, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                  "+/=")] == '\0';
    char *out = good ? mem_strdup(auth) : NULL;
    json_decref(json);
    return out;
}

char *oci_login(const char *secrets_dir, const char *login, const char *host, struct err *err)
{
    struct buf config;
    if (str_empty(login) || secret_read(&config, secrets_dir, login, err) < 0)
        return NULL;
    char *found = oci_login_of(buf_cstr(&config), config.len, host);
    secret_release(&config);
    return found;
}

int oci_login_hosts(const char *secrets_dir, const char *login, struct strv *hosts, struct err *err)
{
    struct buf config;
    const char *name;
    json_t *entry;
    if (str_empty(login))
        return 0;
    if (secret_read(&config, secrets_dir, login, err) < 0)
        return -1;
    json_t *json = json_loadb(buf_cstr(&config), config.len, 0, NULL);
    json_object_foreach(json_object_get(json, "auths"), name, entry)
    {
        const char *host = str_starts(name, "https://") ? name + strlen("https://") : name;
        if (hosts->count < HOSTS_MAX)
            strv_add(hosts, str_eq(name, DOCKER_IO) ? "docker.io" : host);
    }
    json_decref(json);
    secret_release(&config);
    return 0;
}

static void wipe(char *s)
{
    if (s)
        mem_wipe(s, strlen(s));
    free(s);
}

static void on_token(const struct http_response *response, void *arg)
{
    struct oci_call *call = arg;
    call->http = NULL;
    if (response->status == 0) {
        oci_fail(call, ERR_UNAVAILABLE, response->err.msg);
        return;
    }
    if (response->status != 200) {
        oci_fail_status(call, "its token server", response->status);
        return;
    }
    json_t *json = json_loadb(response->body, response->len, 0, NULL);
    const char *token = json_string_value(json_object_get(json, "token"));
    if (!token)
        token = json_string_value(json_object_get(json, "access_token"));
    bool good = token && *token && !strpbrk(token, "\r\n");
    if (good)
        call->authorization = mem_printf("Authorization: Bearer %s", token);
    json_decref(json);
    if (good)
        oci_ask_again(call);
    else
        oci_fail(call, ERR_INVALID, "its token server answers with no token");
}

static void add_escaped(struct buf *out, const char *s)
{
    for (; *s; s++) {
        if (isalnum((unsigned char)*s) || strchr("-._~:/,", *s))
            buf_addc(out, *s);
        else
            buf_addf(out, "%%%02X", (unsigned char)*s);
    }
}

/* A login does not go over plain http because a registry on https says so. */
static bool is_safe(const struct oci_call *call, const char *realm)
{
    char *origin = oci_origin(call);
    bool plain = str_starts(origin, "http://");
    free(origin);
    return str_starts(realm, "https://") || (plain && str_starts(realm, "http://"));
}

static int ask_token(struct oci_call *call, const char *challenge, const char *login,
                     struct err *err)
{
    char *realm = oci_challenge_part(challenge, "realm");
    char *service = oci_challenge_part(challenge, "service");
    char *header = login ? mem_printf("Authorization: Basic %s", login) : NULL;
    const char *headers[2] = {header, NULL};
    struct buf url;
    int rc = -1;
    buf_init(&url, 8192);
    if (!realm || !is_safe(call, realm)) {
        err_set(err, ERR_DENIED, "registry %s wants a token of a server that can't be asked: '%s'",
                call->ref.host, realm ? realm : "");
        goto out;
    }
    buf_addf(&url, "%s%cscope=", realm, strchr(realm, '?') ? '&' : '?');
    buf_addf(&url, "repository:%s:%s", call->ref.repository, call->actions);
    if (service) {
        buf_adds(&url, "&service=");
        add_escaped(&url, service);
    }
    const struct http_call_opts opts = {.url = buf_cstr(&url),
                                        .headers = headers,
                                        .timeout_ms = TOKEN_TIMEOUT_MS,
                                        .limit = TOKEN_MAX,
                                        .wipe = true,
                                        .ca_file = call->client->ca_file};
    call->http = http_call(call->client->http, &opts, on_token, call, err);
    rc = call->http ? 0 : -1;
out:
    buf_release(&url);
    free(realm);
    free(service);
    wipe(header);
    return rc;
}

bool oci_log_in(struct oci_call *call, const struct http_response *response)
{
    const char *challenge = response->header(response, "WWW-Authenticate");
    struct err err = {0};
    bool tried = false;
    const struct oci_client *client = call->client;
    char *login =
        challenge ? oci_login(client->secrets_dir, client->login, call->ref.host, &err) : NULL;
    if (err.code != ERR_NONE) {
        tried = true;
    } else if (challenge && strncasecmp(challenge, "Bearer ", 7) == 0) {
        tried = true;
        (void)ask_token(call, challenge, login, &err);
    } else if (challenge && strncasecmp(challenge, "Basic", 5) == 0 && login) {
        tried = true;
        call->authorization = mem_printf("Authorization: Basic %s", login);
        oci_ask_again(call);
    }
    wipe(login);
    if (err.code != ERR_NONE) {
        call->failed(call, &err);
        oci_call_free(call);
    }
    return tried;
}
