#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "services/cli/up_internal.h"

/* Each service is asked until all were ready once; after that nobody asks any more. */

#define ASK_EVERY_MS     150
#define ASK_TIMEOUT_MS   2000
#define PATIENCE_MS      10000 /* before and between words about what is awaited */
#define ANSWER_LIMIT     (256 * 1024)
#define NOT_READY_STATUS 503

static void set_reason(struct up_service *service, char *reason)
{
    free(service->reason);
    service->reason = reason;
}

/* The first check that is not good. */
static char *reason_in(const struct http_response *response)
{
    json_t *ready = json_loadb(response->body, response->len, 0, NULL);
    char *reason = NULL;
    json_t *check;
    size_t i;

    json_array_foreach(json_object_get(ready, "checks"), i, check)
    {
        const char *name = json_string_value(json_object_get(check, "name"));
        const char *text = json_string_value(json_object_get(check, "reason"));
        if (reason || json_is_true(json_object_get(check, "ready")) || !name)
            continue;
        reason = str_empty(text) ? mem_strdup(name) : mem_printf("%s: %s", name, text);
    }
    json_decref(ready);
    return reason;
}

static void tell_ready(struct up *up)
{
    const double seconds = (double)(clock_mono_ms() - up->readiness.began_ms) / 1000;
    char *address = up_setting(&up->settings, "common", "console-url");
    const char *console = NULL;

    for (size_t i = 0; i < up->count; i++) {
        if (str_eq(up->services[i].kind->name, "console"))
            console = address ? address : up->services[i].address;
    }
    if (console)
        up_say(up, "ready after %.1f s: the console is at %s", seconds, console);
    else
        up_say(up, "ready after %.1f s", seconds);
    free(address);
    up->readiness.told = true;
}

static void tell_awaited(struct up *up)
{
    for (size_t i = 0; i < up->count; i++) {
        const struct up_service *service = &up->services[i];
        if (!service->ready && service->address)
            up_say(up, "waiting for %s%s%s", service->kind->name, service->reason ? ": " : "",
                   service->reason ? service->reason : "");
    }
    up->readiness.told_ms = clock_mono_ms();
}

static void look(struct up *up)
{
    if (up->readiness.told || up->stopping)
        return;
    for (size_t i = 0; i < up->count; i++) {
        if (up->services[i].address && !up->services[i].ready)
            return;
    }
    tell_ready(up);
    loop_timer_cancel(up->readiness.timer);
}

static void on_answer(const struct http_response *response, void *arg)
{
    struct up_service *service = arg;

    service->asked = NULL;
    if (service->state != UP_RUNNING)
        return;
    if (response->status == NOT_READY_STATUS)
        set_reason(service, reason_in(response));
    else if (response->status == 0)
        set_reason(service, mem_strdup(response->err.msg));
    /* A certificate that is for another name than this machine's own is one all the same. */
    service->ready = response->status == 200 || response->err.code == ERR_DENIED;
    look(service->up);
}

static void ask(struct up_service *service)
{
    struct http_call_opts opts = {.timeout_ms = ASK_TIMEOUT_MS, .limit = ANSWER_LIMIT};
    struct err err;

    if (service->ready || service->asked || !service->address || service->state != UP_RUNNING)
        return;
    char *url = mem_printf("%s/readyz", service->address);
    opts.url = url;
    service->asked = http_call(service->up->readiness.http, &opts, on_answer, service, &err);
    free(url);
}

static void on_timer(void *arg)
{
    struct up *up = arg;

    for (size_t i = 0; i < up->count; i++)
        ask(&up->services[i]);
    if (clock_mono_ms() - up->readiness.told_ms >= PATIENCE_MS)
        tell_awaited(up);
    loop_timer_arm(up->readiness.timer, ASK_EVERY_MS);
}

void up_ready_start(struct up *up)
{
    up->readiness.http = http_client_new(up->loop);
    up->readiness.timer = loop_timer_new(up->loop, on_timer, up);
    up->readiness.began_ms = up->readiness.told_ms = clock_mono_ms();
    loop_timer_arm(up->readiness.timer, ASK_EVERY_MS);
}

void up_ready_release(struct up *up)
{
    loop_timer_free(up->readiness.timer);
    http_client_free(up->readiness.http);
}
