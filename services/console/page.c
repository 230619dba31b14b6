#include "services/console/page.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/str.h"
#include "services/console/console.h"

#define POLICY_MAX 2048

const struct page_file *page_file(const char *path)
{
    for (const struct page_file *file = page_files; file->path; file++) {
        if (strcmp(file->path, path) == 0)
            return file;
    }
    return NULL;
}

/* Whether Accept-Encoding names gzip, and not with q=0. */
static bool takes_gzip(const struct http_request *req)
{
    const char *accept = http_req_header(req, "Accept-Encoding");
    struct strv parts = {0};
    bool takes = false;

    if (!accept)
        return false;
    strv_split(&parts, accept, ',');
    for (size_t i = 0; i < parts.count && !takes; i++) {
        const char *part = parts.items[i];
        takes = strncasecmp(part, "gzip", 4) == 0 && !strstr(part, "q=0") &&
                (part[4] == '\0' || part[4] == ';' || part[4] == ' ');
    }
    strv_release(&parts);
    return takes;
}

void page_reply(struct http_request *req, const struct page_file *file)
{
    const char *known = http_req_header(req, "If-None-Match");

    if (!file) {
        http_reply_problem(req, 404, NULL, "no such file");
        return;
    }
    http_reply_header(req, "ETag", file->etag);
    http_reply_header(req, "Cache-Control", "no-cache"); /* kept, and asked for by its ETag */
    http_reply_header(req, "Vary", "Accept-Encoding");
    if (known && strstr(known, file->etag)) {
        http_reply(req, 304, NULL, NULL, 0);
    } else if (takes_gzip(req)) {
        http_reply_header(req, "Content-Encoding", "gzip");
        http_reply(req, 200, file->type, file->gzip, file->gzip_len);
    } else {
        http_reply(req, 200, file->type, file->plain, file->plain_len);
    }
}

/* Scheme, host and port of a URL, as a policy names a source; false: it is none. */
static bool origin_of(const char *url, char *out, size_t size)
{
    if (!url || (!str_starts(url, "http://") && !str_starts(url, "https://")))
        return false;
    size_t len = (size_t)(strstr(url, "://") - url) + 3;
    len += strcspn(url + len, "/?#");
    if (len >= size || strcspn(url, " ;,'\"") < len)
        return false;
    snprintf(out, size, "%.*s", (int)len, url);
    return true;
}

static void reply_document(struct http_request *req, void *arg)
{
    const struct console *console = arg;
    char approver[256] = "", policy[POLICY_MAX];

    if (origin_of(console->svc->conf.approver_url, approver + 1, sizeof(approver) - 1))
        approver[0] = ' ';
    snprintf(policy, sizeof(policy),
             "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
             " connect-src 'self'%s; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
             " require-trusted-types-for 'script'; trusted-types 'none'",
             approver);
    http_reply_header(req, "Content-Security-Policy", policy);
    http_reply_header(req, "Cross-Origin-Opener-Policy", "same-origin");
    http_reply_header(req, "Cross-Origin-Resource-Policy", "same-origin");
    http_reply_header(req, "Referrer-Policy", "no-referrer");
    http_reply_header(req, "Permissions-Policy", "camera=(), geolocation=(), microphone=()");
    page_reply(req, page_file("/index.html"));
}

static void reply_asset(struct http_request *req, void *arg)
{
    (void)arg;
    http_reply_header(req, "Cross-Origin-Resource-Policy", "same-origin");
    page_reply(req, page_file(http_req_path(req)));
}

void page_routes(struct console *console)
{
    /* The views' addresses: the page's own router (page/router.js) knows what they show. */
    static const char *const views[] = {"/",
                                        "/approvals",
                                        "/environments",
                                        "/history",
                                        "/pipelines/{pipeline}",
                                        "/pipelines/{pipeline}/{release}"};

    for (size_t i = 0; i < sizeof(views) / sizeof(*views); i++)
        http_route(console->svc->http, "GET", views[i], 0, reply_document, console);
    http_route(console->svc->http, "GET", "/page/{file*}", 0, reply_asset, NULL);
}
