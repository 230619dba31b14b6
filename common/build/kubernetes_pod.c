/* The pods of builds: what they write, and what becomes of them. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "build/kubernetes.h"
#include "log/log.h"

#define CLEAN_AGAIN_MS 5000
#define TROUBLE_MS     (5 * 60 * 1000) /* without the server, until builds are given back */
#define TROUBLE_GAP_MS 60000           /* between two that belong together */

/* ---- the log, in which a line of its own ends each command's output ---- */

/* "\036<mark> <number> <code>\n": true, it was that. */
static bool take_mark(struct kubernetes_place *place)
{
    struct strv words = {0};
    uint64_t number, code;
    place->held[place->held_len] = '\0';
    strv_split(&words, place->held + 1, ' ');
    const bool is_mark = words.count == 3 && str_eq(words.items[0], place->mark) &&
                         str_to_u64(words.items[1], &number) == 0 &&
                         str_to_u64(words.items[2], &code) == 0 && code <= 255;
    strv_release(&words);
    if (is_mark && number == place->number && place->task == TASK_RUN) {
        place->ended = true;
        place->code = (int)code;
        loop_timer_arm(place->settle, 0);
    }
    return is_mark;
}

/* Whether a mark can go on with this. */
static bool fits(const struct kubernetes_place *place, char c)
{
    const size_t at = place->held_len;
    if (at == 0)
        return c == '\036';
    if (at <= strlen(place->mark))
        return c == place->mark[at - 1];
    return at < sizeof(place->held) - 1 && (c == ' ' || (c >= '0' && c <= '9'));
}

static bool on_log(const char *data, size_t len, void *arg)
{
    struct kubernetes_place *place = arg;
    bool more = true;
    while (len > 0) {
        if (place->held_len == 0) {
            const char *begin = memchr(data, '\036', len);
            const size_t plain = begin ? (size_t)(begin - data) : len;
            if (plain)
                more = place->output(data, plain, place->arg) && more;
            data += plain;
            len -= plain;
            if (len == 0)
                break;
        }
        if (fits(place, *data)) {
            place->held[place->held_len++] = *data++;
            len--;
        } else if (*data == '\n' && take_mark(place)) {
            place->held_len = 0;
            data++;
            len--;
        } else {
            more = place->output(place->held, place->held_len, place->arg) && more;
            place->held_len = 0;
        }
    }
    return more;
}

/* Why the commands did not come to their end. */
static bool why_ended(const struct kubernetes_place *place, struct err *err)
{
    char why[700];
    const int code = place->pod.exit_code;
    switch (pod_fate(&place->pod, why, sizeof(why))) {
    case POD_SPOILT:
        err_set(err, ERR_INVALID, "Kubernetes: %s", why);
        return true;
    case POD_LOST:
        err_set(err, ERR_UNAVAILABLE, "Kubernetes: %s", why);
        return false;
    default:
        break;
    }
    if (code == POD_NO_TOOLS) {
        err_set(err, ERR_INVALID, "The image '%s' has no curl or no tar, which builds need",
                place->image);
        return true;
    }
    if (code == POD_NO_ANSWER) {
        err_set(err, ERR_UNAVAILABLE, "the pod of the build could not ask the builder at %s",
                place->driver->conf.url);
        return false;
    }
    err_set(err, ERR_INVALID, "The container of the build ended with exit code %d", code);
    return true;
}

static void on_log_ended(const struct err *trouble, void *arg)
{
    struct kubernetes_place *place = arg;
    struct err err = {0};
    place->log_ended = true;
    if (place->stopping)
        return;
    if (trouble)
        log_warn("a build's log is not whole", LOG_S("job", place->name), LOG_E(trouble));
    const bool spoilt = why_ended(place, &err);
    kubernetes_place_fail(place, spoilt, &err);
}

static const struct kubernetes_log_ops log_ops = {.output = on_log, .ended = on_log_ended};

/* ---- the pod ---- */

static void on_pod(const struct pod *pod, void *arg)
{
    struct kubernetes_driver *driver = arg;
    struct kubernetes_place *place = kubernetes_place_find(driver, pod->job);
    char why[700];
    driver->trouble_since_ms = 0;
    if (!place)
        return;
    const bool started = pod->container == POD_STARTED || pod->container == POD_TERMINATED;
    const bool over =
        pod->container == POD_TERMINATED || pod->phase == POD_FAILED || pod->phase == POD_SUCCEEDED;
    place->pod = *pod;
    place->has_pod = true;
    if (started && !place->log && !place->log_ended) {
        loop_timer_cancel(place->start_timer);
        place->log = kubernetes_log_follow(driver->conf.kubernetes, pod->name, POD_CONTAINER,
                                           &log_ops, place);
    }
    if (over && place->log) {
        kubernetes_log_finish(place->log);
        return;
    }
    const enum pod_fate fate = pod_fate(pod, why, sizeof(why));
    if (!place->stopping && (over || (fate == POD_SPOILT && !place->log))) {
        struct err err = {0};
        const bool spoilt = why_ended(place, &err);
        kubernetes_place_fail(place, spoilt, &err);
    }
}

/* A Job whose time is up has its pod deleted. */
static void on_judged(bool time_is_up, void *arg)
{
    struct kubernetes_place *place = arg;
    struct err err = {0};
    if (time_is_up)
        err_set(&err, ERR_INVALID, "Kubernetes: its time is up (DeadlineExceeded)");
    else
        err_set(&err, ERR_UNAVAILABLE, "Kubernetes: the pod of the build was deleted");
    kubernetes_place_fail(place, time_is_up, &err);
}

static void on_pod_gone(const struct pod *pod, void *arg)
{
    struct kubernetes_driver *driver = arg;
    struct kubernetes_place *place = kubernetes_place_find(driver, pod->job);
    if (place && place->job && !place->stopping)
        kubernetes_job_judge(place->job, on_judged, place);
}

void kubernetes_pod_is_late(void *arg)
{
    struct kubernetes_place *place = arg;
    struct err err = {0};
    char why[700] = "the Job has no pod";
    if (place->has_pod)
        (void)pod_fate(&place->pod, why, sizeof(why));
    err_set(&err, ERR_UNAVAILABLE, "Kubernetes did not start the build within %lld s: %s",
            (long long)(place->driver->conf.start_ms / 1000), why);
    kubernetes_place_fail(place, false, &err);
}

/* ---- the server ---- */

static void tell_state(struct kubernetes_driver *driver, bool works, const char *reason)
{
    if (driver->told && driver->works == works && works)
        return;
    driver->told = true;
    driver->works = works;
    driver->conf.on_state(works, reason, driver->conf.arg);
}

static void on_synced(void *arg)
{
    struct kubernetes_driver *driver = arg;
    driver->trouble_since_ms = 0;
    tell_state(driver, true, NULL);
}

static void on_trouble(const struct err *err, void *arg)
{
    struct kubernetes_driver *driver = arg;
    const int64_t now = clock_mono_ms();
    struct kubernetes_place *place, *next;
    if (!driver->trouble_since_ms || now - driver->trouble_last_ms > TROUBLE_GAP_MS) {
        driver->trouble_since_ms = now;
        log_warn("builds in Kubernetes cannot be followed for now", LOG_E(err));
    }
    driver->trouble_last_ms = now;
    if (!driver->told || !driver->works)
        tell_state(driver, false, err->msg);
    if (now - driver->trouble_since_ms < TROUBLE_MS)
        return;
    tell_state(driver, false, err->msg);
    for (place = LIST_FIRST(&driver->places); place; place = next) {
        next = LIST_NEXT(place, link);
        kubernetes_place_fail(place, false, err);
    }
}

static const struct kubernetes_watch_ops watch_ops = {
    .changed = on_pod, .gone = on_pod_gone, .synced = on_synced, .trouble = on_trouble};

/* Of a builder that was killed. */
static void on_cleaned(const struct json_t *json, const struct err *err, void *arg)
{
    struct kubernetes_driver *driver = arg;
    driver->cleaning = NULL;
    if (!json) {
        tell_state(driver, false, err->msg);
        loop_timer_arm(driver->clean_again, CLEAN_AGAIN_MS);
        return;
    }
    char *selector = mem_printf("gantry/builder=%s", driver->conf.builder);
    driver->watch = kubernetes_watch(driver->conf.kubernetes, selector, &watch_ops, driver);
    free(selector);
}

void kubernetes_pods_begin(void *arg)
{
    struct kubernetes_driver *driver = arg;
    char *path = mem_printf("/apis/batch/v1/namespaces/%s/jobs?labelSelector=gantry/builder=%s"
                            "&propagationPolicy=Foreground",
                            kubernetes_namespace(driver->conf.kubernetes), driver->conf.builder);
    const struct kubernetes_ask ask = {
        .method = "DELETE", .path = path, .what = "delete the Jobs that an earlier run left"};
    driver->cleaning = kubernetes_ask(driver->conf.kubernetes, &ask, on_cleaned, driver);
    free(path);
}
