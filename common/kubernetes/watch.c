/* DESIGN: a list, then a watch from the list's resourceVersion on, which bookmarks move forward,
 * and which goes on where it was when its connection ends. When the server no longer has that
 * version (410), or says what cannot be read, the list comes again, and what it no longer has is
 * told as gone. (API concepts, "Efficient detection of changes".) */
#include <string.h>

#include "base/mem.h"
#include "kubernetes/internal.h"
#include "log/log.h"

#define LINE_MAX_SIZE (4 * 1024 * 1024)
#define WATCH_S       290 /* of one connection; the server ends it */
#define STALL_MS      330000
#define PAUSE_MAX_MS  10000
#define PODS_MAX      10000

struct watched_pod {
    LIST_ENTRY(watched_pod) link;
    struct pod pod;
    bool seen; /* in the list that was just had */
};

struct kubernetes_watch {
    struct kubernetes *kubernetes;
    char *selector;
    const struct kubernetes_watch_ops *ops;
    void *arg;
    LIST_HEAD(, watched_pod) pods;
    size_t pod_count;
    struct kubernetes_call *list;
    struct http_call *stream;
    struct loop_timer *pause;
    char version[64]; /* "": a list is needed */
    struct buf line;
    bool broken;   /* the stream says what cannot be used */
    bool answered; /* it said something */
    unsigned failures;
};

static void begin(void *arg);

/* ---- pods that are known ---- */

static struct watched_pod *find(struct kubernetes_watch *watch, const char *uid)
{
    struct watched_pod *each;

    LIST_FOREACH(each, &watch->pods, link)
    {
        if (str_eq(each->pod.uid, uid))
            return each;
    }
    return NULL;
}

static void changed(struct kubernetes_watch *watch, const struct pod *pod)
{
    struct watched_pod *known = find(watch, pod->uid);

    if (!known) {
        if (watch->pod_count >= PODS_MAX)
            return;
        known = mem_alloc(sizeof(*known));
        LIST_INSERT_HEAD(&watch->pods, known, link);
        watch->pod_count++;
    }
    known->pod = *pod;
    known->seen = true;
    watch->ops->changed(&known->pod, watch->arg);
}

static void forget(struct kubernetes_watch *watch, struct watched_pod *known)
{
    LIST_REMOVE(known, link);
    watch->pod_count--;
    watch->ops->gone(&known->pod, watch->arg);
    free(known);
}

/* ---- again ---- */

static void later(struct kubernetes_watch *watch)
{
    loop_timer_arm(watch->pause, kubernetes_pause_ms(++watch->failures, PAUSE_MAX_MS));
}

static void trouble(struct kubernetes_watch *watch, const struct err *err)
{
    if (watch->ops->trouble)
        watch->ops->trouble(err, watch->arg);
    later(watch);
}

/* ---- the list ---- */

static void keep_version(struct kubernetes_watch *watch, const json_t *meta)
{
    const char *version = json_string_value(json_object_get(meta, "resourceVersion"));

    if (version && *version && strspn(version, "0123456789") == strlen(version) &&
        strlen(version) < sizeof(watch->version))
        memcpy(watch->version, version, strlen(version) + 1);
}

static void take_list(struct kubernetes_watch *watch, const json_t *items)
{
    struct watched_pod *each, *next;
    struct pod pod;
    json_t *item;
    size_t i;

    LIST_FOREACH(each, &watch->pods, link)
    {
        each->seen = false;
    }
    json_array_foreach(items, i, item)
    {
        if (pod_read(&pod, item, NULL) == 0)
            changed(watch, &pod);
    }
    for (each = LIST_FIRST(&watch->pods); each; each = next) {
        next = LIST_NEXT(each, link);
        if (!each->seen)
            forget(watch, each);
    }
    if (watch->ops->synced)
        watch->ops->synced(watch->arg);
}

static void on_list(const json_t *json, const struct err *err, void *arg)
{
    struct kubernetes_watch *watch = arg;
    struct err none = {0};

    watch->list = NULL;
    if (!json) {
        trouble(watch, err);
        return;
    }
    keep_version(watch, json_object_get(json, "metadata"));
    if (!watch->version[0] || !json_is_array(json_object_get(json, "items"))) {
        watch->version[0] = '\0';
        err_set(&none, ERR_UNAVAILABLE, "Kubernetes answers a question for pods with no list");
        trouble(watch, &none);
        return;
    }
    take_list(watch, json_object_get(json, "items"));
    loop_timer_arm(watch->pause, 0);
}

static void begin_list(struct kubernetes_watch *watch)
{
    char *path = mem_printf("/api/v1/namespaces/%s/pods?labelSelector=%s",
                            watch->kubernetes->namespace, watch->selector);
    const struct kubernetes_ask ask = {.path = path, .what = "list the pods"};

    watch->list = kubernetes_ask(watch->kubernetes, &ask, on_list, watch);
    free(path);
}

/* ---- the stream ---- */

static void take_event(struct kubernetes_watch *watch, const json_t *event)
{
    const char *type = json_string_value(json_object_get(event, "type"));
    const json_t *object = json_object_get(event, "object");
    struct watched_pod *known;
    struct pod pod;

    if (str_eq(type, "BOOKMARK")) {
        keep_version(watch, json_object_get(object, "metadata"));
        watch->failures = 0;
        return;
    }
    if ((!str_eq(type, "ADDED") && !str_eq(type, "MODIFIED") && !str_eq(type, "DELETED")) ||
        pod_read(&pod, object, NULL) < 0) {
        /* An ERROR: mostly a version that is too old. */
        watch->broken = true;
        watch->version[0] = '\0';
        return;
    }
    keep_version(watch, json_object_get(object, "metadata"));
    if (!str_eq(type, "DELETED")) {
        changed(watch, &pod);
    } else if ((known = find(watch, pod.uid))) {
        known->pod = pod;
        forget(watch, known);
    }
    watch->failures = 0;
}

static void take_line(struct kubernetes_watch *watch)
{
    json_t *event = json_loadb(buf_cstr(&watch->line), watch->line.len, 0, NULL);

    if (event) {
        take_event(watch, event);
    } else {
        watch->broken = true;
        watch->version[0] = '\0';
    }
    json_decref(event);
    buf_reset(&watch->line);
}

static int on_data(const char *data, size_t len, void *arg)
{
    struct kubernetes_watch *watch = arg;

    watch->answered = true;
    while (len > 0 && !watch->broken) {
        const char *end = memchr(data, '\n', len);
        const size_t part = end ? (size_t)(end - data) : len;
        if (buf_add(&watch->line, data, part) < 0) {
            log_warn("a change of a pod is too large to be read; the pods are listed anew",
                     LOG_I("bytes", LINE_MAX_SIZE));
            watch->broken = true;
            watch->version[0] = '\0';
            break;
        }
        if (end && watch->line.len > 0)
            take_line(watch);
        data += part + (end != NULL);
        len -= part + (end != NULL);
    }
    return watch->broken ? 1 : 0;
}

static void on_end(const struct http_response *response, void *arg)
{
    struct kubernetes_watch *watch = arg;
    struct err err = {0};

    watch->stream = NULL;
    if (response->status && (response->status < 200 || response->status >= 300)) {
        /* What it says came as a line that is no event. */
        kubernetes_refused(&err, response->status, "", 0);
        err_wrap(&err, "cannot watch the pods");
        trouble(watch, &err);
    } else if (watch->broken || !watch->answered) {
        later(watch);
    } else {
        loop_timer_arm(watch->pause, 0);
    }
}

static void begin_stream(struct kubernetes_watch *watch)
{
    struct kubernetes *k = watch->kubernetes;
    struct strv headers = {0};
    struct err err = {0};
    char *url = mem_printf("%s/api/v1/namespaces/%s/pods?labelSelector=%s&watch=true"
                           "&allowWatchBookmarks=true&timeoutSeconds=%d&resourceVersion=%s",
                           k->server, k->namespace, watch->selector, WATCH_S, watch->version);

    watch->broken = watch->answered = false;
    buf_release(&watch->line);
    if (kubernetes_headers(k, &headers, &err) == 0) {
        const struct http_call_opts opts = {.url = url,
                                            .headers = (const char *const *)headers.items,
                                            .timeout_ms = -1,
                                            .stall_ms = STALL_MS,
                                            .ca_file = k->ca_file,
                                            .on_data = on_data};
        watch->stream = http_call(k->http, &opts, on_end, watch, &err);
    }
    kubernetes_headers_release(&headers);
    free(url);
    if (!watch->stream)
        trouble(watch, &err);
}

static void begin(void *arg)
{
    struct kubernetes_watch *watch = arg;

    if (watch->version[0])
        begin_stream(watch);
    else
        begin_list(watch);
}

struct kubernetes_watch *kubernetes_watch(struct kubernetes *k, const char *selector,
                                          const struct kubernetes_watch_ops *ops, void *arg)
{
    struct kubernetes_watch *watch = mem_alloc(sizeof(*watch));

    watch->kubernetes = k;
    watch->selector = mem_strdup(selector);
    watch->ops = ops;
    watch->arg = arg;
    LIST_INIT(&watch->pods);
    buf_init(&watch->line, LINE_MAX_SIZE);
    watch->pause = loop_timer_new(k->loop, begin, watch);
    loop_timer_arm(watch->pause, 0);
    return watch;
}

void kubernetes_watch_free(struct kubernetes_watch *watch)
{
    if (!watch)
        return;
    kubernetes_cancel(watch->list);
    if (watch->stream)
        http_call_cancel(watch->stream);
    while (!LIST_EMPTY(&watch->pods)) {
        struct watched_pod *each = LIST_FIRST(&watch->pods);
        LIST_REMOVE(each, link);
        free(each);
    }
    loop_timer_free(watch->pause);
    buf_release(&watch->line);
    free(watch->selector);
    free(watch);
}
