/* What a container wrote, against the limit of the build's disk. The engine has to look at each
 * file for that: it is asked one question at a time, and has a rest after each answer. */
#include <stdio.h>

#include "base/clock.h"
#include "build/docker_place.h"
#include "log/log.h"

#define EVERY_MS 5000
#define REST     4 /* times as long as the engine took for the last answer */

static void rest(struct docker_place *place)
{
    int64_t ms = (clock_mono_ms() - place->sizing_ms) * REST;
    loop_timer_arm(place->look, ms > EVERY_MS ? ms : EVERY_MS);
}

static void on_size(const struct docker_answer *answer, const struct err *err, void *arg)
{
    struct docker_place *place = arg;
    const uint64_t mib = 1024 * 1024, limit = place->limits.disk_bytes;
    place->sizing = NULL;
    if (!place->waiting)
        return;
    if (err->code != ERR_NONE && !place->size_unknown) {
        place->size_unknown = true;
        log_warn("what a build writes is not known: its limit of disk does not count",
                 LOG_S("run", place->run_id), LOG_E(err));
    }
    if (err->code != ERR_NONE || answer->bytes <= limit) {
        rest(place);
        return;
    }
    snprintf(place->over, sizeof(place->over), "It used %llu MiB of disk; the limit is %llu MiB",
             (unsigned long long)(answer->bytes / mib), (unsigned long long)(limit / mib));
    docker_place_ask_stats(place);
}

static void on_look(void *arg)
{
    struct docker_place *place = arg;
    if (!place->waiting)
        return;
    place->sizing_ms = clock_mono_ms();
    place->sizing = docker_size(place->driver->docker, place->id, on_size, place);
}

void docker_disk_watch(struct docker_place *place)
{
    if (!place->limits.disk_bytes)
        return;
    place->look = loop_timer_new(place->driver->loop, on_look, place);
    loop_timer_arm(place->look, EVERY_MS);
}

void docker_disk_leave(struct docker_place *place)
{
    docker_call_cancel(place->sizing);
    loop_timer_free(place->look);
    place->sizing = NULL;
    place->look = NULL;
}
