#include <event2/http.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "http/server_internal.h"

int path_parse(struct path *path, const char *encoded)
{
    *path = (struct path){0};
    if (!encoded || *encoded != '/')
        return -1;
    for (const char *at = encoded; *at == '/';) {
        const size_t len = strcspn(++at, "/");
        if (path->count == HTTP_SEGMENTS_MAX)
            return -1;
        char *segment = mem_strndup(at, len);
        size_t decoded_len = 0;
        char *decoded = evhttp_uridecode(segment, 0, &decoded_len);
        free(segment);
        path->segments[path->count++] = decoded;
        if (!decoded || !str_is_utf8(decoded, decoded_len))
            return -1;
        at += len;
    }
    return 0;
}

void path_release(struct path *path)
{
    for (size_t i = 0; i < path->count; i++)
        free(path->segments[i]);
    path->count = 0;
}

static bool is_param(const char *segment)
{
    return segment[0] == '{';
}

static bool is_rest(const char *segment)
{
    return is_param(segment) && str_ends(segment, "*}");
}

void router_add(struct router *router, struct route *route)
{
    struct buf rank;
    struct route *before = NULL, *each;

    buf_init(&rank, HTTP_SEGMENTS_MAX + 1);
    /* "/" is one empty segment, as it is in a request's path. */
    if (str_eq(route->pattern, "/"))
        strv_add(&route->segments, "");
    else
        strv_split(&route->segments, route->pattern, '/');
    for (size_t i = 0; i < route->segments.count; i++) {
        const char *segment = route->segments.items[i];
        buf_addc(&rank, is_rest(segment) ? 'a' : is_param(segment) ? 'b' : 'c');
    }
    route->rank = buf_detach(&rank);

    LIST_FOREACH(each, router, link)
    {
        if (strcmp(each->rank, route->rank) < 0)
            break;
        before = each;
    }
    if (before)
        LIST_INSERT_AFTER(before, route, link);
    else
        LIST_INSERT_HEAD(router, route, link);
}

void router_release(struct router *router)
{
    while (!LIST_EMPTY(router)) {
        struct route *route = LIST_FIRST(router);
        LIST_REMOVE(route, link);
        strv_release(&route->segments);
        free(route->method);
        free(route->pattern);
        free(route->rank);
        free(route);
    }
}

static bool matches(const struct route *route, const struct path *path)
{
    for (size_t i = 0; i < route->segments.count; i++) {
        const char *segment = route->segments.items[i];
        if (i >= path->count)
            return false;
        if (is_rest(segment)) /* which is not empty */
            return i + 1 < path->count || *path->segments[i] != '\0';
        if (is_param(segment) ? *path->segments[i] == '\0'
                              : strcmp(segment, path->segments[i]) != 0)
            return false;
    }
    return route->segments.count == path->count;
}

static char *join_rest(const struct path *path, size_t from)
{
    struct buf rest;

    buf_init(&rest, HTTP_HEAD_MAX);
    for (size_t i = from; i < path->count; i++) {
        if (i > from)
            buf_addc(&rest, '/');
        buf_adds(&rest, path->segments[i]);
    }
    return buf_detach(&rest);
}

static void take_params(const struct route *route, const struct path *path,
                        struct route_param params[HTTP_PARAMS_MAX], char **rest)
{
    size_t count = 0;

    for (size_t i = 0; i < route->segments.count && count < HTTP_PARAMS_MAX; i++) {
        const char *segment = route->segments.items[i];
        if (!is_param(segment))
            continue;
        struct route_param *param = &params[count++];
        param->name = segment + 1;
        param->len = strlen(segment) - (is_rest(segment) ? 3 : 2);
        param->value = is_rest(segment) ? (*rest = join_rest(path, i)) : path->segments[i];
    }
}

static bool takes_method(const struct route *route, const char *method)
{
    return strcmp(route->method, method) == 0 ||
           (strcmp(route->method, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

static void add_allowed(struct buf *allow, const char *method)
{
    if (allow->len > 0 && strstr(buf_cstr(allow), method))
        return;
    buf_addf(allow, "%s%s%s", allow->len > 0 ? ", " : "", method,
             strcmp(method, "GET") == 0 ? ", HEAD" : "");
}

struct route *router_find(const struct router *router, const char *method, const struct path *path,
                          struct route_param params[HTTP_PARAMS_MAX], char **rest,
                          struct buf *allow)
{
    struct route *route;

    LIST_FOREACH(route, router, link)
    {
        if (!matches(route, path))
            continue;
        if (takes_method(route, method)) {
            take_params(route, path, params, rest);
            return route;
        }
        add_allowed(allow, route->method);
    }
    return NULL;
}
