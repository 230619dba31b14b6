/* Decision -> the records that it causes. A mapping and nothing else: it looks at no state, so that
 * whoever publishes a Decision again publishes the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "engine/engine.h"
#include "gantry/v1/decision.pb-c.h"

#define SOURCE "/gantry/promoter"

struct publishing {
    const Gantry__V1__Decision *decision;
    struct engine_records *out;
    struct err *err;
};

static Gantry__V1__Order next_order(const struct publishing *p)
{
    Gantry__V1__Order order = GANTRY__V1__ORDER__INIT;
    order.epoch = p->decision->epoch;
    order.sequence = p->decision->sequence;
    order.index = (uint32_t)p->out->count;
    return order;
}

static void add_release(struct event_meta *meta, uint64_t release)
{
    size_t len = strlen(meta->subject);
    char number[21];
    id_num(number, release);
    if (len + 1 < sizeof(meta->subject))
        meta->subject[len++] = '/';
    str_copy(meta->subject + len, sizeof(meta->subject) - len, number);
}

/* Adds a record of a message that holds next_order() already. `release` 0: of the whole pipeline.
 */
static int add_record(struct publishing *p, enum topic topic, uint64_t release, const void *message)
{
    const Gantry__V1__Decision *decision = p->decision;
    struct engine_records *out = p->out;
    char key[256];
    if ((out->count & (out->count - 1)) == 0)
        out->items = mem_realloc(out->items, out->count ? out->count * 2 : 1, sizeof(*out->items));
    struct engine_record *record = &out->items[out->count];
    memset(record, 0, sizeof(*record));
    record->topic = topic;
    buf_init(&record->value, EVENT_VALUE_MAX);
    out->count++;
    event_id_pub(record->meta.id, decision->epoch, decision->pipeline, decision->sequence,
                 (uint32_t)(out->count - 1));
    str_copy(record->meta.source, sizeof(record->meta.source), SOURCE);
    str_copy(record->meta.type, sizeof(record->meta.type), event_type_of(topic, message));
    str_copy(record->meta.subject, sizeof(record->meta.subject), decision->pipeline);
    if (release)
        add_release(&record->meta, release);
    record->meta.time_ms = decision->time_ms;
    if (event_key_of(topic, message, key, sizeof(key)) != 0)
        return err_set(p->err, ERR_INTERNAL, "a record of %s has no key", topic_info(topic)->name);
    record->key = mem_strdup(key);
    return event_pack(&record->value, message, p->err);
}

static int add_action_request(struct publishing *p, const Gantry__V1__ActionRequest *request)
{
    static const enum topic topics[] = {
        [GANTRY__V1__ACTION_KIND__ACTION_KIND_BUILD] = TOPIC_REQUEST_BUILD,
        [GANTRY__V1__ACTION_KIND__ACTION_KIND_DEPLOY] = TOPIC_REQUEST_DEPLOY,
        [GANTRY__V1__ACTION_KIND__ACTION_KIND_CUSTOM] = TOPIC_REQUEST_CUSTOM,
    };
    if (request->kind == GANTRY__V1__ACTION_KIND__ACTION_KIND_APPROVAL)
        return 0; /* asked of people, by its ApprovalRequest */
    if ((size_t)request->kind >= sizeof(topics) / sizeof(*topics) || request->kind == 0)
        return err_set(p->err, ERR_FATAL, "action kind %d is not known", (int)request->kind);
    Gantry__V1__ActionRequest ordered = *request;
    Gantry__V1__Order order = next_order(p);
    ordered.order = &order;
    return add_record(p, topics[request->kind], request->release, &ordered);
}

static int add_approval(struct publishing *p, const Gantry__V1__ApprovalRequest *approval)
{
    Gantry__V1__ApprovalRequest ordered = *approval;
    Gantry__V1__Order order = next_order(p);
    ordered.order = &order;
    return add_record(p, TOPIC_REQUEST_APPROVAL, approval->release, &ordered);
}

static int add_requests(struct publishing *p, const Gantry__V1__Change *change)
{
    switch ((int)change->what_case) {
    case GANTRY__V1__CHANGE__WHAT_ACTION_REQUESTED:
        return add_action_request(p, change->action_requested->request);
    case GANTRY__V1__CHANGE__WHAT_ACTION_ENDED:
        return change->action_ended->cancel_case == GANTRY__V1__ACTION_ENDED__CANCEL_REQUEST
                   ? add_action_request(p, change->action_ended->request)
                   : 0;
    case GANTRY__V1__CHANGE__WHAT_CHECK_ASKED:
        return add_action_request(p, change->check_asked->request);
    case GANTRY__V1__CHANGE__WHAT_CHECK_ANSWERED:
        return change->check_answered->cancel_case == GANTRY__V1__CHECK_ANSWERED__CANCEL_REQUEST
                   ? add_action_request(p, change->check_answered->request)
                   : 0;
    case GANTRY__V1__CHANGE__WHAT_APPROVAL_OPENED:
        return add_approval(p, change->approval_opened->approval);
    case GANTRY__V1__CHANGE__WHAT_VOTE_COUNTED:
        return add_approval(p, change->vote_counted->approval);
    case GANTRY__V1__CHANGE__WHAT_APPROVAL_CLOSED:
        return add_approval(p, change->approval_closed->approval);
    default:
        return 0;
    }
}

/* The release that a change is of; 0: of none. */
static uint64_t release_of(const Gantry__V1__Change *change)
{
    switch ((int)change->what_case) {
    case GANTRY__V1__CHANGE__WHAT_RELEASE_STARTED:
        return change->release_started->release;
    case GANTRY__V1__CHANGE__WHAT_RELEASE_ENDED:
        return change->release_ended->release;
    case GANTRY__V1__CHANGE__WHAT_RELEASE_STOPPING:
        return change->release_stopping->release;
    case GANTRY__V1__CHANGE__WHAT_STAGE_WAITING:
        return change->stage_waiting->release;
    case GANTRY__V1__CHANGE__WHAT_STAGE_ENTERED:
        return change->stage_entered->release;
    case GANTRY__V1__CHANGE__WHAT_STAGE_ENDED:
        return change->stage_ended->release;
    case GANTRY__V1__CHANGE__WHAT_ACTION_REQUESTED:
        return change->action_requested->request->release;
    case GANTRY__V1__CHANGE__WHAT_ACTION_STARTED:
        return change->action_started->release;
    case GANTRY__V1__CHANGE__WHAT_ACTION_ENDED:
        return change->action_ended->release;
    case GANTRY__V1__CHANGE__WHAT_ARTIFACT_SET:
        return change->artifact_set->release;
    case GANTRY__V1__CHANGE__WHAT_APPROVAL_OPENED:
        return change->approval_opened->approval->release;
    case GANTRY__V1__CHANGE__WHAT_VOTE_COUNTED:
        return change->vote_counted->approval->release;
    case GANTRY__V1__CHANGE__WHAT_VOTE_REFUSED:
        return change->vote_refused->release;
    case GANTRY__V1__CHANGE__WHAT_APPROVAL_CLOSED:
        return change->approval_closed->approval->release;
    case GANTRY__V1__CHANGE__WHAT_RELEASE_PROMOTED:
        return change->release_promoted->release;
    case GANTRY__V1__CHANGE__WHAT_GATE_OVERRIDDEN:
        return change->gate_overridden->release;
    case GANTRY__V1__CHANGE__WHAT_CHECK_ASKED:
        return change->check_asked->request->release;
    case GANTRY__V1__CHANGE__WHAT_CHECK_ANSWERED:
        return change->check_answered->release;
    case GANTRY__V1__CHANGE__WHAT_ACTION_SILENT:
        return change->action_silent->release;
    case GANTRY__V1__CHANGE__WHAT_BATCH_PLANNED:
        return change->batch_planned->release;
    default:
        return 0;
    }
}

/* The oneof of ReleaseEvent has the numbers of Change's, and both hold pointers. */
static int add_event(struct publishing *p, const Gantry__V1__Change *change)
{
    const Gantry__V1__Decision *decision = p->decision;
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;
    Gantry__V1__DefinitionTaken taken;
    Gantry__V1__Order order = next_order(p);
    event.order = &order;
    event.pipeline = decision->pipeline;
    event.time_ms = decision->time_ms;
    if (decision->cause) {
        event.cause_id = decision->cause->ce_id;
        event.actor = decision->cause->actor;
    }
    event.fact_case = (Gantry__V1__ReleaseEvent__FactCase)change->what_case;
    event.definition_taken = change->definition_taken;
    if (change->what_case == GANTRY__V1__CHANGE__WHAT_DEFINITION_TAKEN) {
        taken = *change->definition_taken;
        taken.yaml = (ProtobufCBinaryData){0};
        event.definition_taken = &taken;
    }
    return add_record(p, TOPIC_EVENT, release_of(change), &event);
}

static bool has_event(const Gantry__V1__Change *change)
{
    return change->what_case != GANTRY__V1__CHANGE__WHAT_COMMAND_TAKEN &&
           change->what_case != GANTRY__V1__CHANGE__WHAT_GENESIS;
}

static int cannot_publish(const Gantry__V1__Decision *decision, struct err *err)
{
    return err_wrap(err, "publish Decision %llu of pipeline '%s'",
                    (unsigned long long)decision->sequence, decision->pipeline);
}

int engine_publish_requests(const Gantry__V1__Decision *decision, struct engine_records *out,
                            struct err *err)
{
    struct publishing p = {decision, out, err};
    for (size_t i = 0; i < decision->n_changes; i++) {
        const Gantry__V1__Change *change = decision->changes[i];
        if (change->what_case == GANTRY__V1__CHANGE__WHAT__NOT_SET) {
            err_set(err, ERR_FATAL, "change %zu is of a kind that this version does not know", i);
            return cannot_publish(decision, err);
        }
    }
    for (size_t i = 0; i < decision->n_changes; i++) {
        if (add_requests(&p, decision->changes[i]) != 0)
            return cannot_publish(decision, err);
    }
    return 0;
}

int engine_publish_events(const Gantry__V1__Decision *decision, struct engine_records *out,
                          struct err *err)
{
    struct publishing p = {decision, out, err};
    for (size_t i = 0; i < decision->n_changes; i++) {
        const Gantry__V1__Change *change = decision->changes[i];
        if (has_event(change) && add_event(&p, change) != 0)
            return cannot_publish(decision, err);
    }
    return 0;
}

void engine_records_free(struct engine_records *records)
{
    for (size_t i = 0; i < records->count; i++) {
        free(records->items[i].key);
        buf_release(&records->items[i].value);
    }
    free(records->items);
    *records = (struct engine_records){0};
}
