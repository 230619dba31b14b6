/* The type attribute: gantry.<noun>.<past verb>.v1, one payload a type. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "events/event.h"
#include "gantry/v1/access.pb-c.h"
#include "gantry/v1/command.pb-c.h"
#include "gantry/v1/decision.pb-c.h"
#include "gantry/v1/definition.pb-c.h"
#include "gantry/v1/event.pb-c.h"
#include "gantry/v1/log.pb-c.h"
#include "gantry/v1/notification.pb-c.h"
#include "gantry/v1/request.pb-c.h"
#include "gantry/v1/result.pb-c.h"
#include "gantry/v1/source.pb-c.h"
#include "gantry/v1/state.pb-c.h"

/* All of them, as docs/reference/events.md lists them. `choice` is the number of the oneof's field,
 * or of the enum's value, that gives the type; 0: any. First match wins. */
static const struct type_row {
    enum topic topic;
    uint32_t choice;
    const char *type;
} types[] = {
    {TOPIC_DEFINITION, 0, "gantry.definition.applied.v1"},
    {TOPIC_DEFINITION, 1, "gantry.definition.withdrawn.v1"}, /* deleted */
    {TOPIC_ACCESS, 0, "gantry.access.granted.v1"},
    {TOPIC_ACCESS, 1, "gantry.access.revoked.v1"}, /* deleted */
    {TOPIC_SOURCE, 0, "gantry.source.changed.v1"},
    {TOPIC_COMMAND, GANTRY__V1__COMMAND__WHAT_START, "gantry.start.commanded.v1"},
    {TOPIC_COMMAND, GANTRY__V1__COMMAND__WHAT_STOP, "gantry.stop.commanded.v1"},
    {TOPIC_COMMAND, GANTRY__V1__COMMAND__WHAT_RETRY, "gantry.retry.commanded.v1"},
    {TOPIC_COMMAND, GANTRY__V1__COMMAND__WHAT_ROLLBACK, "gantry.rollback.commanded.v1"},
    {TOPIC_COMMAND, GANTRY__V1__COMMAND__WHAT_TRANSITION, "gantry.transition.commanded.v1"},
    {TOPIC_COMMAND, GANTRY__V1__COMMAND__WHAT_PROMOTE, "gantry.promote.commanded.v1"},
    {TOPIC_COMMAND, GANTRY__V1__COMMAND__WHAT_OVERRIDE_GATE, "gantry.override.commanded.v1"},
    {TOPIC_COMMAND, GANTRY__V1__COMMAND__WHAT_PIN, "gantry.pin.commanded.v1"},
    {TOPIC_LEDGER, 0, "gantry.decision.made.v1"},
    {TOPIC_EVENT, GANTRY__V1__RELEASE_EVENT__FACT_DEFINITION_TAKEN, "gantry.definition.taken.v1"},
    {TOPIC_EVENT, GANTRY__V1__RELEASE_EVENT__FACT_DEFINITION_DELETED,
     "gantry.definition.deleted.v1"},
    {TOPIC_EVENT, GANTRY__V1__RELEASE_EVENT__FACT_DEFINITION_REFUSED,
     "gantry.definition.refused.v1"},
    {TOPIC_EVENT, GANTRY__V1__RELEASE_EVENT__FACT_REVISION_SEEN, "gantry.revision.seen.v1"},
    {TOPIC_EVENT, GANTRY__V1__RELEASE_EVENT__FACT_COMMAND_REFUSED, "gantry.command.refused.v1"},
    {TOPIC_EVENT, GANTRY__V1__RELEASE_EVENT__FACT_RELEASE_STARTED, "gantry.release.started.v1"},
    {TOPIC_EVENT, GANTRY__V1__RELEASE_EVENT__FACT_RELEASE_STOPPING,
     "gantry.release.stop-requested.v1"},
    {TOPIC_EVENT, GANTRY__V1__RELEASE_EVENT__FACT_RELEASE_ENDED, "gantry.release.ended.v1"},
    {TOPIC_EVENT, GANTRY__V1__RELEASE_EVENT__FACT_STAGE_WAITING, "gantry.stage.held.v1"},
    {TOPIC_EVENT, GANTRY__V1__RELEASE_EVENT__FACT_STAGE_ENTERED, "gantry.stage.entered.v1"},
    {TOPIC_EVENT, GANTRY__V1__RELEASE_EVENT__FACT_STAGE_ENDED, "gantry.stage.ended.v1"},
    {TOPIC_EVENT, GANTRY__V1__RELEASE_EVENT__FACT_ACTION_REQUESTED, "gantry.action.requested.v1"},
    {TOPIC_EVENT, GANTRY__V1__RELEASE_EVENT__FACT_ACTION_STARTED, "gantry.action.started.v1"},
    {TOPIC_EVENT, GANTRY__V1__RELEASE_EVENT__FACT_ACTION_PROGRESSED, "gantry.action.progressed.v1"},
    {TOPIC_EVENT, GANTRY__V1__RELEASE_EVENT__FACT_ACTION_ENDED, "gantry.action.ended.v1"},
    {TOPIC_EVENT, GANTRY__V1__RELEASE_EVENT__FACT_ARTIFACT_SET, "gantry.artifact.set.v1"},
    {TOPIC_EVENT, GANTRY__V1__RELEASE_EVENT__FACT_APPROVAL_OPENED, "gantry.approval.opened.v1"},
    {TOPIC_EVENT, GANTRY__V1__RELEASE_EVENT__FACT_APPROVAL_CLOSED, "gantry.approval.closed.v1"},
    {TOPIC_EVENT, GANTRY__V1__RELEASE_EVENT__FACT_VOTE_COUNTED, "gantry.vote.counted.v1"},
    {TOPIC_EVENT, GANTRY__V1__RELEASE_EVENT__FACT_VOTE_REFUSED, "gantry.vote.refused.v1"},
    {TOPIC_EVENT, GANTRY__V1__RELEASE_EVENT__FACT_TRANSITION_SET, "gantry.transition.set.v1"},
    {TOPIC_EVENT, GANTRY__V1__RELEASE_EVENT__FACT_RELEASE_PROMOTED, "gantry.release.promoted.v1"},
    {TOPIC_EVENT, GANTRY__V1__RELEASE_EVENT__FACT_GATE_OVERRIDDEN, "gantry.gate.overridden.v1"},
    {TOPIC_EVENT, GANTRY__V1__RELEASE_EVENT__FACT_CHECK_ASKED, "gantry.check.asked.v1"},
    {TOPIC_EVENT, GANTRY__V1__RELEASE_EVENT__FACT_CHECK_ANSWERED, "gantry.check.answered.v1"},
    {TOPIC_EVENT, GANTRY__V1__RELEASE_EVENT__FACT_ENVIRONMENT_PINNED,
     "gantry.environment.pinned.v1"},
    {TOPIC_EVENT, GANTRY__V1__RELEASE_EVENT__FACT_ACTION_SILENT, "gantry.action.fell-silent.v1"},
    {TOPIC_EVENT, GANTRY__V1__RELEASE_EVENT__FACT_BATCH_PLANNED, "gantry.batch.planned.v1"},
    {TOPIC_REQUEST_BUILD, GANTRY__V1__REQUEST_VERB__REQUEST_VERB_RUN, "gantry.build.requested.v1"},
    {TOPIC_REQUEST_BUILD, GANTRY__V1__REQUEST_VERB__REQUEST_VERB_CANCEL,
     "gantry.build.cancelled.v1"},
    {TOPIC_REQUEST_DEPLOY, GANTRY__V1__REQUEST_VERB__REQUEST_VERB_RUN,
     "gantry.deploy.requested.v1"},
    {TOPIC_REQUEST_DEPLOY, GANTRY__V1__REQUEST_VERB__REQUEST_VERB_CANCEL,
     "gantry.deploy.cancelled.v1"},
    {TOPIC_REQUEST_CUSTOM, GANTRY__V1__REQUEST_VERB__REQUEST_VERB_RUN,
     "gantry.custom.requested.v1"},
    {TOPIC_REQUEST_CUSTOM, GANTRY__V1__REQUEST_VERB__REQUEST_VERB_CANCEL,
     "gantry.custom.cancelled.v1"},
    {TOPIC_REQUEST_APPROVAL, GANTRY__V1__APPROVAL_VERB__APPROVAL_VERB_OPEN,
     "gantry.approval-request.opened.v1"},
    {TOPIC_REQUEST_APPROVAL, GANTRY__V1__APPROVAL_VERB__APPROVAL_VERB_CHANGED,
     "gantry.approval-request.changed.v1"},
    {TOPIC_REQUEST_APPROVAL, GANTRY__V1__APPROVAL_VERB__APPROVAL_VERB_CLOSED,
     "gantry.approval-request.closed.v1"},
    {TOPIC_RESULT_BUILD, GANTRY__V1__ACTION_RESULT__BODY_STARTED, "gantry.build.started.v1"},
    {TOPIC_RESULT_BUILD, GANTRY__V1__ACTION_RESULT__BODY_PROGRESS, "gantry.build.progressed.v1"},
    {TOPIC_RESULT_BUILD, GANTRY__V1__ACTION_RESULT__BODY_FINISHED, "gantry.build.finished.v1"},
    {TOPIC_RESULT_DEPLOY, GANTRY__V1__ACTION_RESULT__BODY_STARTED, "gantry.deploy.started.v1"},
    {TOPIC_RESULT_DEPLOY, GANTRY__V1__ACTION_RESULT__BODY_PROGRESS, "gantry.deploy.progressed.v1"},
    {TOPIC_RESULT_DEPLOY, GANTRY__V1__ACTION_RESULT__BODY_FINISHED, "gantry.deploy.finished.v1"},
    {TOPIC_RESULT_CUSTOM, GANTRY__V1__ACTION_RESULT__BODY_STARTED, "gantry.custom.started.v1"},
    {TOPIC_RESULT_CUSTOM, GANTRY__V1__ACTION_RESULT__BODY_PROGRESS, "gantry.custom.progressed.v1"},
    {TOPIC_RESULT_CUSTOM, GANTRY__V1__ACTION_RESULT__BODY_FINISHED, "gantry.custom.finished.v1"},
    {TOPIC_RESULT_APPROVAL, GANTRY__V1__ACTION_RESULT__BODY_VOTE, "gantry.vote.cast.v1"},
    {TOPIC_PROMOTER_STATE, GANTRY__V1__PROMOTER_STATE__WHAT_SNAPSHOT, "gantry.snapshot.taken.v1"},
    {TOPIC_PROMOTER_STATE, GANTRY__V1__PROMOTER_STATE__WHAT_CHECKPOINT,
     "gantry.checkpoint.taken.v1"},
    {TOPIC_LOG, 0, "gantry.log.written.v1"},
    {TOPIC_NOTIFICATION, GANTRY__V1__DELIVERY__DELIVERY_SENT, "gantry.notification.sent.v1"},
    {TOPIC_NOTIFICATION, GANTRY__V1__DELIVERY__DELIVERY_RETRYING, "gantry.notification.delayed.v1"},
    {TOPIC_NOTIFICATION, GANTRY__V1__DELIVERY__DELIVERY_GIVEN_UP,
     "gantry.notification.given-up.v1"},
};

/* The number that picks a row among a topic's. */
static uint32_t choice_of(enum topic topic, const void *m)
{
    switch (topic) {
    case TOPIC_DEFINITION:
        return ((const Gantry__V1__Definition *)m)->deleted ? 1 : 0;
    case TOPIC_ACCESS:
        return ((const Gantry__V1__Access *)m)->deleted ? 1 : 0;
    case TOPIC_COMMAND:
        return ((const Gantry__V1__Command *)m)->what_case;
    case TOPIC_EVENT:
        return ((const Gantry__V1__ReleaseEvent *)m)->fact_case;
    case TOPIC_REQUEST_BUILD:
    case TOPIC_REQUEST_DEPLOY:
    case TOPIC_REQUEST_CUSTOM:
        return ((const Gantry__V1__ActionRequest *)m)->verb;
    case TOPIC_REQUEST_APPROVAL:
        return ((const Gantry__V1__ApprovalRequest *)m)->verb;
    case TOPIC_RESULT_BUILD:
    case TOPIC_RESULT_DEPLOY:
    case TOPIC_RESULT_CUSTOM:
    case TOPIC_RESULT_APPROVAL:
        return ((const Gantry__V1__ActionResult *)m)->body_case;
    case TOPIC_PROMOTER_STATE:
        return ((const Gantry__V1__PromoterState *)m)->what_case;
    case TOPIC_NOTIFICATION:
        return ((const Gantry__V1__NotificationSent *)m)->delivery;
    default:
        return 0;
    }
}

const char *event_type_of(enum topic topic, const void *message)
{
    uint32_t choice = choice_of(topic, message);
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
        if (types[i].topic == topic && types[i].choice == choice)
            return types[i].type;
    }
    return "gantry.record.written.v1";
}

static int put(char *out, size_t size, const char *a, const char *sep, const char *b)
{
    int n = snprintf(out, size, "%s%s%s", a, sep, b);
    return n > 0 && (size_t)n < size ? 0 : -1;
}

int event_key_of(enum topic topic, const void *m, char *out, size_t size)
{
    switch (topic) {
    case TOPIC_DEFINITION: {
        const Gantry__V1__Definition *def = m;
        if (str_eq(def->kind, "Pipeline"))
            return put(out, size, def->name, "", "");
        return put(out, size, def->kind, "/", def->name);
    }
    case TOPIC_ACCESS: {
        const Gantry__V1__Access *access = m;
        return put(out, size, access->kind, "/", access->name);
    }
    case TOPIC_SOURCE:
        return put(out, size, ((const Gantry__V1__SourceChanged *)m)->pipeline, "", "");
    case TOPIC_COMMAND:
        return put(out, size, ((const Gantry__V1__Command *)m)->pipeline, "", "");
    case TOPIC_LEDGER: {
        const Gantry__V1__Decision *decision = m;
        bool empty = str_empty(decision->pipeline);
        return put(out, size, empty ? "@partition" : decision->pipeline, "", "");
    }
    case TOPIC_EVENT:
        return put(out, size, ((const Gantry__V1__ReleaseEvent *)m)->pipeline, "", "");
    case TOPIC_REQUEST_BUILD:
    case TOPIC_REQUEST_DEPLOY:
    case TOPIC_REQUEST_CUSTOM:
        return put(out, size, ((const Gantry__V1__ActionRequest *)m)->run_id, "", "");
    case TOPIC_REQUEST_APPROVAL:
        return put(out, size, ((const Gantry__V1__ApprovalRequest *)m)->approval_id, "", "");
    case TOPIC_RESULT_BUILD:
    case TOPIC_RESULT_DEPLOY:
    case TOPIC_RESULT_CUSTOM:
    case TOPIC_RESULT_APPROVAL:
        return put(out, size, ((const Gantry__V1__ActionResult *)m)->pipeline, "", "");
    case TOPIC_LOG:
        return put(out, size, ((const Gantry__V1__LogChunk *)m)->run_id, "", "");
    case TOPIC_NOTIFICATION:
        return put(out, size, ((const Gantry__V1__NotificationSent *)m)->notification_id, "", "");
    default: /* promoter.state and deadletter: whoever writes names the key */
        return -1;
    }
}
