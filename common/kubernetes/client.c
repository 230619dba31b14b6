#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/id.h"
#include "base/mem.h"
#include "kubernetes/internal.h"
#include "secret/secret.h"

#define ACCOUNT_DIR    "/var/run/secrets/kubernetes.io/serviceaccount"
#define TOKEN_MAX      (64 * 1024)
#define TRIES_DEFAULT  6
#define PAUSE_FIRST_MS 250
#define NAME_MAX_LEN   63

bool kubernetes_is_name(const char *s)
{
    const size_t len = s ? strlen(s) : 0;

    if (len == 0 || len > NAME_MAX_LEN || s[0] == '-' || s[0] == '.' || s[len - 1] == '-' ||
        s[len - 1] == '.')
        return false;
    return strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-.") == len;
}

int64_t kubernetes_pause_ms(unsigned tries, int64_t most_ms)
{
    int64_t most = PAUSE_FIRST_MS;
    uint32_t random;

    for (unsigned i = 1; i < tries && most < most_ms; i++)
        most *= 2;
    if (most > most_ms)
        most = most_ms;
    random_bytes(&random, sizeof(random));
    return most / 2 + random % (most / 2 + 1);
}

/* ---- the token ---- */

int kubernetes_headers(const struct kubernetes *kubernetes, struct strv *out, struct err *err)
{
    struct buf token;

    if (file_read(&token, kubernetes->token_file, TOKEN_MAX, err) < 0)
        return err_wrap(err, "the token for Kubernetes cannot be read");
    const size_t len = strcspn(buf_cstr(&token), " \t\r\n");
    strv_addf(out, "Authorization: Bearer %.*s", (int)len, buf_cstr(&token));
    strv_add(out, "Accept: application/json");
    secret_release(&token);
    return 0;
}

void kubernetes_headers_release(struct strv *headers)
{
    for (size_t i = 0; i < headers->count; i++)
        mem_wipe(headers->items[i], strlen(headers->items[i]));
    strv_release(headers);
}

/* ---- settings ---- */

static int find_server(struct kubernetes *k, const char *given, struct err *err)
{
    const char *host = getenv("KUBERNETES_SERVICE_HOST");
    const char *port = getenv("KUBERNETES_SERVICE_PORT");

    if (!str_empty(given)) {
        k->server = mem_strdup(given);
        for (size_t len = strlen(k->server); len > 0 && k->server[len - 1] == '/'; len--)
            k->server[len - 1] = '\0';
    } else if (str_empty(host)) {
        return err_set(err, ERR_INVALID,
                       "no server is given, and this is no pod of Kubernetes "
                       "(KUBERNETES_SERVICE_HOST is not set)");
    } else {
        const bool is_ipv6 = strchr(host, ':') != NULL;
        k->server = mem_printf("https://%s%s%s:%s", is_ipv6 ? "[" : "", host, is_ipv6 ? "]" : "",
                               str_empty(port) ? "443" : port);
    }
    if (!str_starts(k->server, "https://") && !str_starts(k->server, "http://127.0.0.1:"))
        return err_set(err, ERR_INVALID,
                       "the server '%s' is no https://host:port, and a token goes there",
                       k->server);
    return 0;
}

static char *of_account(const char *given, const char *dir, const char *name)
{
    return str_empty(given) ? mem_printf("%s/%s", dir, name) : mem_strdup(given);
}

static int find_namespace(struct kubernetes *k, const char *given, const char *dir, struct err *err)
{
    if (str_empty(given)) {
        struct buf text;
        char *path = mem_printf("%s/namespace", dir);
        const int rc = file_read(&text, path, 1024, err);
        free(path);
        if (rc < 0) {
            err_wrap(err, "no namespace is given, and this is no pod of Kubernetes");
            err->code = ERR_INVALID;
            return -1;
        }
        k->namespace = mem_strndup(buf_cstr(&text), strcspn(buf_cstr(&text), "\r\n"));
        buf_release(&text);
    } else {
        k->namespace = mem_strdup(given);
    }
    if (!kubernetes_is_name(k->namespace) || strchr(k->namespace, '.'))
        return err_set(
            err, ERR_INVALID,
            "'%s' is no namespace: up to 63 of a-z, 0-9 and '-', and no dash at its ends",
            k->namespace);
    return 0;
}

int kubernetes_new(struct kubernetes **out, const struct kubernetes_conf *conf, struct err *err)
{
    struct kubernetes *k = mem_alloc(sizeof(*k));
    const char *dir = str_empty(conf->account_dir) ? ACCOUNT_DIR : conf->account_dir;

    *out = NULL;
    k->loop = conf->loop;
    k->http = http_client_new(conf->loop);
    k->tries = conf->tries ? conf->tries : TRIES_DEFAULT;
    LIST_INIT(&k->calls);
    if (find_server(k, conf->server, err) < 0 || find_namespace(k, conf->namespace, dir, err) < 0) {
        kubernetes_free(k);
        return -1;
    }
    k->token_file = of_account(conf->token_file, dir, "token");
    /* A server that is given may have a certificate by one of the system's authorities. */
    if (str_empty(conf->server) || !str_empty(conf->ca_file))
        k->ca_file = of_account(conf->ca_file, dir, "ca.crt");
    *out = k;
    return 0;
}

void kubernetes_free(struct kubernetes *k)
{
    if (!k)
        return;
    while (!LIST_EMPTY(&k->calls))
        kubernetes_cancel((struct kubernetes_call *)LIST_FIRST(&k->calls));
    http_client_free(k->http);
    free(k->server);
    free(k->ca_file);
    free(k->token_file);
    free(k->namespace);
    free(k);
}

const char *kubernetes_namespace(const struct kubernetes *k)
{
    return k->namespace;
}
