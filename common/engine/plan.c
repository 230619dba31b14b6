#include "engine/plan.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "engine/fold.h"

#define CHANGE_ESTIMATE 600 /* bytes of one that carries neither a request nor a list */
#define CHANGES_MAX     4000

void *plan_message_as(struct plan *plan, size_t size, void (*init)(void *))
{
    void *message = arena_alloc(plan->arena, size);
    init(message);
    return message;
}

static size_t estimate(int what, const Gantry__V1__Change *change)
{
    switch (what) {
    case GANTRY__V1__CHANGE__WHAT_DEFINITION_TAKEN:
    case GANTRY__V1__CHANGE__WHAT_REVISION_SEEN:
    case GANTRY__V1__CHANGE__WHAT_RELEASE_STARTED:
    case GANTRY__V1__CHANGE__WHAT_ACTION_REQUESTED:
    case GANTRY__V1__CHANGE__WHAT_ACTION_ENDED:
    case GANTRY__V1__CHANGE__WHAT_BATCH_PLANNED:
    case GANTRY__V1__CHANGE__WHAT_STAGE_WAITING:
    case GANTRY__V1__CHANGE__WHAT_CHECK_ASKED:
    case GANTRY__V1__CHANGE__WHAT_APPROVAL_OPENED:
    case GANTRY__V1__CHANGE__WHAT_APPROVAL_CLOSED:
    case GANTRY__V1__CHANGE__WHAT_VOTE_COUNTED:
        return protobuf_c_message_get_packed_size(&change->base);
    default:
        return CHANGE_ESTIMATE;
    }
}

void plan_change(struct plan *plan, int what, void *message)
{
    if (plan->failed)
        return;
    if (plan->count == CHANGES_MAX) {
        err_set(plan->err, ERR_INTERNAL, "a Decision would have more than %d changes", CHANGES_MAX);
        plan->failed = true;
        return;
    }
    Gantry__V1__Change *change = PLAN_MESSAGE(plan, Gantry__V1__Change, gantry__v1__change__init);
    change->what_case = (Gantry__V1__Change__WhatCase)what;
    change->genesis = message; /* the members of the oneof are pointers, all in one place */
    if (plan->count == plan->room) {
        size_t room = plan->room ? plan->room * 2 : 16;
        Gantry__V1__Change **more = arena_alloc(plan->arena, room * sizeof(*more));
        if (plan->count)
            memcpy(more, plan->changes, plan->count * sizeof(*more));
        plan->changes = more;
        plan->room = room;
    }
    plan->changes[plan->count++] = change;
    plan->bytes += estimate(what, change);
    if (fold_change(plan->state, change, plan->now_ms, plan->err) != 0) {
        err_wrap(plan->err, "planned for pipeline '%s'", plan->state->pipeline->text);
        plan->failed = true;
    }
}

bool plan_is_full(const struct plan *plan)
{
    return plan->bytes > STATE_CHANGES_MAX / 2;
}

/* What was cut in the middle of a character is no UTF-8 any more, and no record may hold that. */
static void mend_utf8(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c;) {
        size_t len = *c < 0x80 ? 1 : *c < 0xe0 ? 2 : *c < 0xf0 ? 3 : 4, have = 1;
        while (have < len && (c[have] & 0xc0) == 0x80)
            have++;
        if (have < len)
            memset(c, '?', have);
        c += have;
    }
}

const char *plan_text(struct plan *plan, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    mend_utf8(text);
    return arena_strdup(plan->arena, text);
}

char *plan_string(struct plan *plan, const char *s)
{
    return arena_strdup(plan->arena, s ? s : "");
}

Gantry__V1__KeyValue *plan_key_value(struct plan *plan, const char *key, const char *value)
{
    Gantry__V1__KeyValue *m = PLAN_MESSAGE(plan, Gantry__V1__KeyValue, gantry__v1__key_value__init);
    m->key = plan_string(plan, key);
    m->value = plan_string(plan, value);
    return m;
}

void plan_command_taken(struct plan *plan, const char *what)
{
    Gantry__V1__CommandTaken *m =
        PLAN_MESSAGE(plan, Gantry__V1__CommandTaken, gantry__v1__command_taken__init);
    m->ce_id = plan_string(plan, plan->input->ce_id);
    m->what = plan_string(plan, what);
    m->caller = (Gantry__V1__Actor *)plan->actor;
    plan_change(plan, GANTRY__V1__CHANGE__WHAT_COMMAND_TAKEN, m);
}

void plan_command_refused(struct plan *plan, const char *what, const char *reason)
{
    Gantry__V1__CommandRefused *m =
        PLAN_MESSAGE(plan, Gantry__V1__CommandRefused, gantry__v1__command_refused__init);
    m->ce_id = plan_string(plan, plan->input->ce_id);
    m->what = plan_string(plan, what);
    m->reason = plan_string(plan, reason);
    plan_change(plan, GANTRY__V1__CHANGE__WHAT_COMMAND_REFUSED, m);
}

static void add_skipped(struct plan *plan, const struct release *release, Gantry__V1__StageEnded *m)
{
    m->skipped = arena_alloc(plan->arena, (release->run_count + 1) * sizeof(*m->skipped));
    for (size_t i = 0; i < release->run_count; i++) {
        if (release->runs[i].state == RUN_NONE)
            m->skipped[m->n_skipped++] =
                plan_string(plan, stage_action_at(release_stage(release), i, NULL)->name);
    }
}

void plan_stage_ended(struct plan *plan, uint64_t number, int status, const char *reason)
{
    Gantry__V1__StageEnded *m =
        PLAN_MESSAGE(plan, Gantry__V1__StageEnded, gantry__v1__stage_ended__init);
    m->release = number;
    m->stage = plan_string(plan, release_stage(state_release(plan->state, number))->name);
    m->status = (Gantry__V1__Status)status;
    m->reason = plan_string(plan, reason);
    add_skipped(plan, state_release(plan->state, number), m);
    plan_change(plan, GANTRY__V1__CHANGE__WHAT_STAGE_ENDED, m);
}

void plan_release_ended(struct plan *plan, uint64_t number, int status, const char *reason,
                        uint64_t superseded_by)
{
    Gantry__V1__ReleaseEnded *m =
        PLAN_MESSAGE(plan, Gantry__V1__ReleaseEnded, gantry__v1__release_ended__init);
    m->release = number;
    m->status = (Gantry__V1__Status)status;
    m->reason = plan_string(plan, reason);
    m->superseded_by = superseded_by;
    plan_change(plan, GANTRY__V1__CHANGE__WHAT_RELEASE_ENDED, m);
}

static int kind_of(const struct def_action *action)
{
    static const int kinds[] = {
        [DEF_BUILD] = GANTRY__V1__ACTION_KIND__ACTION_KIND_BUILD,
        [DEF_DEPLOY] = GANTRY__V1__ACTION_KIND__ACTION_KIND_DEPLOY,
        [DEF_APPROVAL] = GANTRY__V1__ACTION_KIND__ACTION_KIND_APPROVAL,
        [DEF_CUSTOM] = GANTRY__V1__ACTION_KIND__ACTION_KIND_CUSTOM,
    };
    return kinds[action->kind];
}

char *plan_slot_name(struct plan *plan, const struct release *release, struct slot slot)
{
    const char *action = stage_action_at(release_stage(release), slot.place, NULL)->name;
    if (!slot.build)
        return plan_string(plan, action);
    const struct batch *batch = release->runs[slot.place].batch;
    return arena_printf(plan->arena, "%s/%s", action,
                        batch_plan(batch)->builds[slot.build - 1]->identifier);
}

static Gantry__V1__ActionRequest *cancel_request(struct plan *plan, const struct release *release,
                                                 struct slot slot, const char *reason)
{
    const struct run *run = release_run(release, slot);
    Gantry__V1__ActionRequest *m =
        PLAN_MESSAGE(plan, Gantry__V1__ActionRequest, gantry__v1__action_request__init);
    m->verb = GANTRY__V1__REQUEST_VERB__REQUEST_VERB_CANCEL;
    m->run_id = plan_string(plan, run->id);
    m->pipeline = plan_string(plan, plan->state->pipeline->text);
    m->release = release->number;
    m->stage = plan_string(plan, release_stage(release)->name);
    m->action = plan_slot_name(plan, release, slot);
    m->number = run->number;
    m->kind =
        (Gantry__V1__ActionKind)kind_of(stage_action_at(release_stage(release), slot.place, NULL));
    m->definition_number = release->definition->number;
    m->cancel_reason = plan_string(plan, reason);
    return m;
}

void plan_action_ended(struct plan *plan, const struct release *release, struct slot slot,
                       int status, const char *reason, Gantry__V1__Finished *finished, bool cancel)
{
    const struct def_stage *stage = release_stage(release);
    const struct def_action *action = stage_action_at(stage, slot.place, NULL);
    const struct run *run = release_run(release, slot);
    Gantry__V1__ActionEnded *m =
        PLAN_MESSAGE(plan, Gantry__V1__ActionEnded, gantry__v1__action_ended__init);
    m->release = release->number;
    m->stage = plan_string(plan, stage->name);
    m->action = plan_slot_name(plan, release, slot);
    m->kind = (Gantry__V1__ActionKind)kind_of(action);
    m->status = (Gantry__V1__Status)status;
    m->finished = finished;
    m->reason = plan_string(plan, reason);
    if (run->state == RUN_NONE) {
        char id[ID_SIZE];
        event_id_run(id, plan->epoch, plan->state->pipeline->text, release->number, stage->name,
                     m->action, run->number + 1);
        m->run_id = plan_string(plan, id);
    } else {
        m->run_id = plan_string(plan, run->id);
    }
    if (cancel && action->kind != DEF_APPROVAL && run->state != RUN_BUILDING) {
        m->cancel_case = GANTRY__V1__ACTION_ENDED__CANCEL_REQUEST;
        m->request = cancel_request(plan, release, slot, reason);
    }
    plan_change(plan, GANTRY__V1__CHANGE__WHAT_ACTION_ENDED, m);
}
