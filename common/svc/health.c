#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "log/log.h"
#include "svc/frame.h"

#define METRICS_MAX     (8 * 1024 * 1024)
#define TOPICS_AGAIN_MS 5000   /* while they are not good, or not known */
#define TOPICS_WATCH_MS 600000 /* after that */
/* Short, since the end of the process waits for a question that is under way. */
#define TOPICS_TIMEOUT_MS 3000
#define TOPICS_WAIT_MS    1000 /* for Kafka to be there */

/* ---- readiness ---- */

static struct svc_check *find_check(struct frame *frame, const char *name)
{
    for (size_t i = 0; i < frame->check_count; i++) {
        if (str_eq(frame->checks[i].name, name))
            return &frame->checks[i];
    }
    return NULL;
}

void svc_ready(struct svc *svc, const char *name, bool ready, const char *reason)
{
    struct frame *frame = (struct frame *)svc;
    struct svc_check *check = find_check(frame, name);
    const bool known = check != NULL;

    if (!check) {
        if (frame->check_count == SVC_NAMES_MAX) {
            log_error("too many names of readiness", LOG_S("name", name));
            return;
        }
        check = &frame->checks[frame->check_count++];
        check->name = mem_strdup(name);
    }
    if (!ready && known && check->ready)
        log_info("not ready", LOG_S("name", name), LOG_S("reason", reason));
    else if (ready && known && !check->ready)
        log_info("ready", LOG_S("name", name));
    free(check->reason);
    check->reason = mem_strdup(reason ? reason : "");
    check->ready = ready;
}

void svc_note(struct svc *svc, const char *name, const char *text)
{
    struct frame *frame = (struct frame *)svc;
    size_t i = 0;

    while (i < frame->remark_count && !str_eq(frame->remarks[i].name, name))
        i++;
    if (i == frame->remark_count) {
        if (!text || i == SVC_NAMES_MAX)
            return;
        frame->remarks[frame->remark_count++] = (struct svc_remark){.name = mem_strdup(name)};
    }
    free(frame->remarks[i].text);
    frame->remarks[i].text = mem_strdup(text);
    if (text)
        return;
    free(frame->remarks[i].name);
    frame->remarks[i] = frame->remarks[--frame->remark_count];
}

/* Kafka's state is asked for when it is wanted: the bus has no callback for it. */
static void look_at_kafka(struct frame *frame)
{
    char reason[256] = "";
    const bool connected = bus_connected(frame->svc.bus, reason);

    svc_ready(&frame->svc, "kafka", connected,
              connected ? ""
              : *reason ? reason
                        : "not connected yet");
}

static bool is_ready(const struct frame *frame)
{
    for (size_t i = 0; i < frame->check_count; i++) {
        if (!frame->checks[i].ready)
            return false;
    }
    return !frame->stopping;
}

static json_t *describe_checks(const struct frame *frame)
{
    json_t *checks = json_array();

    for (size_t i = 0; i < frame->check_count; i++) {
        const struct svc_check *check = &frame->checks[i];
        json_array_append_new(checks, json_pack("{s:s, s:b, s:s}", "name", check->name, "ready",
                                                check->ready, "reason", check->reason));
    }
    if (frame->stopping)
        json_array_append_new(checks, json_pack("{s:s, s:b, s:s}", "name", "service", "ready", 0,
                                                "reason", "shutting down"));
    return checks;
}

static void on_readyz(struct http_request *req, void *arg)
{
    struct frame *frame = arg;
    json_t *notes = json_array();

    look_at_kafka(frame);
    for (size_t i = 0; i < frame->remark_count; i++)
        json_array_append_new(notes, json_pack("{s:s, s:s}", "name", frame->remarks[i].name, "text",
                                               frame->remarks[i].text));
    const bool ready = is_ready(frame);
    http_reply_json(req, ready ? 200 : 503,
                    json_pack("{s:b, s:s, s:s, s:s, s:o, s:o}", "ready", ready, "service",
                              frame->def->name, "instance", frame->svc.conf.instance_id, "version",
                              GANTRY_VERSION, "checks", describe_checks(frame), "notes", notes));
}

static void on_healthz(struct http_request *req, void *arg)
{
    (void)arg;
    http_reply(req, 200, "text/plain; charset=utf-8", "ok\n", 3);
}

/* ---- topics ---- */

static void on_topics(const struct bus_topic_state *states, size_t count, const struct err *err,
                      void *arg)
{
    struct frame *frame = arg;
    struct strv problems = {0};

    frame->topics_asked = false;
    frame->topics_told = true;
    if (frame->stopping)
        return;
    if (err && err->code) {
        svc_ready(&frame->svc, "topics", frame->topics_good, err->msg);
    } else {
        bus_topics_check(states, count, frame->svc.conf.durability, &problems);
        frame->topics_good = problems.count == 0;
        char *reason = problems.count == 0   ? NULL
                       : problems.count == 1 ? mem_strdup(problems.items[0])
                                             : mem_printf("%s (and %zu more: gantry topics check)",
                                                          problems.items[0], problems.count - 1);
        svc_ready(&frame->svc, "topics", frame->topics_good, reason);
        free(reason);
        strv_release(&problems);
    }
    loop_timer_arm(frame->topics_timer, frame->topics_good ? TOPICS_WATCH_MS : TOPICS_AGAIN_MS);
}

static void ask_topics(void *arg)
{
    struct frame *frame = arg;

    if (frame->topics_asked || frame->stopping)
        return;
    /* The first question waits for Kafka, which is there as a rule; later ones would only hold a
     * worker while it is away. */
    if (frame->topics_told && !bus_connected(frame->svc.bus, NULL)) {
        loop_timer_arm(frame->topics_timer, TOPICS_WAIT_MS);
        return;
    }
    frame->topics_asked = true;
    bus_topics_describe(frame->svc.bus, TOPICS_TIMEOUT_MS, on_topics, frame);
}

/* ---- metrics ---- */

static double resident_bytes(void)
{
    unsigned long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    if (!file)
        return 0;
    if (fscanf(file, "%lu %lu", &pages, &resident) != 2)
        resident = 0;
    fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static double open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    double count = 0;

    if (!dir)
        return 0;
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count - 1;
}

static double cpu_seconds(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void on_metrics(struct http_request *req, void *arg)
{
    struct frame *frame = arg;
    struct metrics *m = frame->svc.metrics;
    struct buf text;

    look_at_kafka(frame);
    metric_set(metrics_gauge(m, "process_resident_memory_bytes", NULL, "Resident memory."),
               resident_bytes());
    metric_set(metrics_gauge(m, "process_open_fds", NULL, "Open file descriptors."),
               open_descriptors());
    metric_set(metrics_counter(m, "process_cpu_seconds_total", NULL, "User and system time."),
               cpu_seconds());
    metric_set(metrics_gauge(m, "gantry_ready", NULL, "1 while the service is ready."),
               is_ready(frame) ? 1 : 0);
    buf_init(&text, METRICS_MAX);
    metrics_write(m, &text);
    http_reply(req, 200, "text/plain; version=0.0.4; charset=utf-8", buf_cstr(&text), text.len);
    buf_release(&text);
}

static void start_metrics(struct frame *frame)
{
    char labels[256];

    snprintf(labels, sizeof(labels), "service=\"%s\",version=\"%s\"", frame->def->name,
             GANTRY_VERSION);
    metric_set(metrics_gauge(frame->svc.metrics, "gantry_build_info", labels, "What runs."), 1);
    metric_set(metrics_gauge(frame->svc.metrics, "process_start_time_seconds", NULL,
                             "Unix time at which the process started."),
               (double)clock_now_ms() / 1000);
}

/* ---- */

void health_start(struct frame *frame)
{
    struct http_server *http = frame->svc.http;

    start_metrics(frame);
    http_route(http, "GET", "/healthz", 0, on_healthz, frame);
    http_route(http, "GET", "/readyz", 0, on_readyz, frame);
    http_route(http, "GET", "/metrics", 0, on_metrics, frame);
    svc_ready(&frame->svc, "kafka", false, "not connected yet");
    svc_ready(&frame->svc, "topics", false, "not checked yet");
    if (str_eq(frame->svc.conf.durability, "single"))
        svc_note(&frame->svc, "durability",
                 "single: what one broker's disk loses is lost; set common.durability to "
                 "replicated for real use");
    frame->topics_timer = loop_timer_new(frame->svc.loop, ask_topics, frame);
    loop_timer_arm(frame->topics_timer, 0);
}

void health_release(struct frame *frame)
{
    loop_timer_free(frame->topics_timer);
    for (size_t i = 0; i < frame->check_count; i++) {
        free(frame->checks[i].name);
        free(frame->checks[i].reason);
    }
    for (size_t i = 0; i < frame->remark_count; i++) {
        free(frame->remarks[i].name);
        free(frame->remarks[i].text);
    }
}
