#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "events/event.h"
#include "services/cli/policy_sim.h"

/* ---- what is taken for granted ---- */

void sim_assume(struct sim *sim, const char *fmt, ...)
{
    va_list args;
    char line[512];

    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (!strv_has(&sim->result->assumed, line))
        strv_add(&sim->result->assumed, line);
}

/* ---- which release is which ---- */

void sim_set_number(struct map *map, uint64_t from, uint64_t to)
{
    char key[21];

    map_set(map, id_num(key, from), (void *)(uintptr_t)to);
}

static uint64_t then_of(const struct sim *sim, uint64_t release)
{
    return policy_number(sim->result->then_of, release);
}

static void on_release_started(struct sim *sim, const Gantry__V1__ReleaseStarted *started,
                               size_t nth)
{
    char *key;
    uint64_t then;

    if (started->failed_release)
        key = mem_printf("rollback/%" PRIu64, then_of(sim, started->failed_release));
    else if (sim->at && (sim->at->kind == EVENT_INPUT || sim->at->kind == EVENT_DEFINITION))
        key = mem_printf("%zu/%zu", sim->at->index, nth);
    else
        return;
    then = (uintptr_t)map_get(sim->history->starts, key);
    if (then) {
        sim_set_number(sim->result->then_of, started->release, then);
        sim_set_number(sim->result->new_of, then, started->release);
    }
    free(key);
}

/* ---- answers ---- */

/* Where a batch is asked for, only a plan answers, and nowhere else does one. */
static bool is_of_kind(const struct policy_run *run, const Gantry__V1__ActionRequest *request)
{
    bool plans =
        request->spec_case == GANTRY__V1__ACTION_REQUEST__SPEC_BUILD && request->build->batch;

    return !run->finished || run->finished->outcome != GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED ||
           plans == (run->finished->batch != NULL);
}

static const struct policy_run *find_run(const struct sim *sim,
                                         const Gantry__V1__ActionRequest *request)
{
    uint64_t release = then_of(sim, request->release);
    char *key = policy_place(release, request->stage, request->action, request->number);
    const struct policy_run *run = release ? map_get(sim->history->run_by_place, key) : NULL;

    free(key);
    return run && is_of_kind(run, request) ? run : NULL;
}

/* The last time that this action ran to an end before now; else the first time after. */
static const struct policy_run *last_run(const struct sim *sim,
                                         const Gantry__V1__ActionRequest *request)
{
    const struct policy_run *found = NULL;

    for (size_t i = 0; i < sim->history->runs.count; i++) {
        const struct policy_run *run = sim->history->runs.items[i];

        if (!run->finished || !str_eq(run->stage, request->stage) ||
            !str_eq(run->action, request->action) || !is_of_kind(run, request))
            continue;
        if (!found || run->ended_ms <= sim->now_ms)
            found = run;
    }
    return found;
}

static void finish(struct sim *sim, const Gantry__V1__ActionRequest *request, int64_t after_ms,
                   size_t index, Gantry__V1__Finished *finished)
{
    static const enum topic topics[] = {TOPIC_COUNT, TOPIC_RESULT_BUILD, TOPIC_RESULT_DEPLOY,
                                        TOPIC_COUNT, TOPIC_RESULT_CUSTOM};
    struct sim_event *event = sim_push(sim, EVENT_FINISHED, sim->now_ms + after_ms, index);

    snprintf(event->id, sizeof event->id, "%s", request->run_id);
    event->topic = topics[request->kind];
    event->finished = finished;
}

/* It never ran then. An image that it is to make gets a digest of its own. */
static void finish_assumed(struct sim *sim, const Gantry__V1__ActionRequest *request)
{
    const struct policy_run *last = last_run(sim, request);
    int64_t took_ms = last ? last->ended_ms - last->asked_ms : 0;
    Gantry__V1__Finished finished = GANTRY__V1__FINISHED__INIT;
    Gantry__V1__Artifact artifact = GANTRY__V1__ARTIFACT__INIT;
    Gantry__V1__BatchPlan plan = GANTRY__V1__BATCH_PLAN__INIT;
    Gantry__V1__BatchBuild build = GANTRY__V1__BATCH_BUILD__INIT, *builds[] = {&build};
    char hex[SHA256_HEX_SIZE], digest[80], took[32], name[64], *made;

    finished.outcome = GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED;
    if (last && last->finished->outcome == GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED) {
        finished.exported = last->finished->exported;
        finished.n_exported = last->finished->n_exported;
    }
    if (request->spec_case == GANTRY__V1__ACTION_REQUEST__SPEC_BUILD && *request->build->image) {
        /* All builds of a batch make the one image of their action. */
        snprintf(name, sizeof name, "%.*s", (int)strcspn(request->action, "/"), request->action);
        made = mem_printf("%llu %s %s", (unsigned long long)request->release, request->stage, name);
        sha256_hex(made, strlen(made), hex);
        free(made);
        snprintf(digest, sizeof digest, "sha256:%s", hex);
        artifact.name = name;
        artifact.repository = request->build->image;
        artifact.digest = digest;
        finished.image_case = GANTRY__V1__FINISHED__IMAGE_ARTIFACT;
        finished.artifact = &artifact;
    }
    if (request->spec_case == GANTRY__V1__ACTION_REQUEST__SPEC_BUILD && request->build->batch) {
        build.identifier = "build";
        plan.builds = builds;
        plan.n_builds = 1;
        finished.batch = last && last->finished->batch ? last->finished->batch : &plan;
        finished.image_case = GANTRY__V1__FINISHED__IMAGE__NOT_SET;
        finished.artifact = NULL;
    }
    clock_human(took_ms, took);
    sim_assume(sim, "%s %s/%s did not run then for some releases: it is taken to %s %s%s",
               request->check ? "check" : "action", request->stage, request->action,
               request->check ? "say yes" : "succeed", took_ms ? "after " : "at once",
               took_ms ? took : "");
    finish(sim, request, took_ms, sim->history->decisions, event_clone(&finished));
}

static void on_requested(struct sim *sim, const Gantry__V1__ActionRequest *request)
{
    const struct policy_run *run;

    if (request->kind == GANTRY__V1__ACTION_KIND__ACTION_KIND_APPROVAL)
        return;
    run = find_run(sim, request);
    if (!run)
        finish_assumed(sim, request);
    else if (run->finished)
        finish(sim, request, run->ended_ms - run->asked_ms, run->ended_index,
               event_clone(run->finished));
    else if (run->ended_ms)
        sim_assume(sim, "action %s/%s was never answered then for some releases, nor is it now",
                   request->stage, request->action);
}

static const struct policy_approval *find_approval(const struct sim *sim,
                                                   const Gantry__V1__ApprovalRequest *request)
{
    const struct policy_approval *near = NULL;
    uint64_t release = then_of(sim, request->release);

    for (size_t i = 0; release && i < sim->history->approvals.count; i++) {
        const struct policy_approval *approval = sim->history->approvals.items[i];

        if (approval->release != release || approval->number != request->number ||
            !str_eq(approval->stage, request->stage))
            continue;
        if (str_eq(approval->gate, request->gate))
            return approval;
        near = near ? near : approval;
    }
    return near;
}

static void vote(struct sim *sim, const Gantry__V1__ApprovalRequest *request,
                 const struct policy_approval *approval, const struct policy_vote *cast)
{
    struct sim_event *event =
        sim_push(sim, EVENT_VOTE, sim->now_ms + cast->time_ms - approval->opened_ms, cast->index);

    event->vote = cast;
    snprintf(event->id, sizeof event->id, "%s", request->approval_id);
    if (str_eq(cast->vote->digest, approval->digest))
        snprintf(event->digest, sizeof event->digest, "%s", request->digest);
}

static void on_approval_opened(struct sim *sim, const Gantry__V1__ApprovalRequest *request)
{
    const struct policy_approval *approval = find_approval(sim, request);

    if (!approval)
        sim_assume(sim, "nobody was asked for %s of stage %s then for some releases: nobody votes",
                   request->gate, request->stage);
    for (size_t i = 0; approval && i < approval->count; i++)
        vote(sim, request, approval, &approval->votes[i]);
}

void sim_follow(struct sim *sim, const Gantry__V1__Decision *decision)
{
    size_t starts = 0;

    for (size_t i = 0; i < decision->n_changes; i++) {
        const Gantry__V1__Change *change = decision->changes[i];

        switch ((int)change->what_case) {
        case GANTRY__V1__CHANGE__WHAT_RELEASE_STARTED:
            on_release_started(sim, change->release_started, starts++);
            break;
        case GANTRY__V1__CHANGE__WHAT_ACTION_REQUESTED:
            on_requested(sim, change->action_requested->request);
            break;
        case GANTRY__V1__CHANGE__WHAT_CHECK_ASKED:
            on_requested(sim, change->check_asked->request);
            break;
        case GANTRY__V1__CHANGE__WHAT_APPROVAL_OPENED:
            on_approval_opened(sim, change->approval_opened->approval);
            break;
        default: /* asks nobody anything */
            break;
        }
    }
}
