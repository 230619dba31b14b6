#include "base/hex.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "base/str.h"
#include "events/event.h"
#include "events/order.h"
#include "gantry/v1/event.pb-c.h"
#include "services/console/fold.h"

typedef Gantry__V1__ReleaseEvent event_t;

void fold_pipeline_row(struct sqlite_db *db, const char *pipeline)
{
    sqlite_exec(db, "INSERT OR IGNORE INTO pipelines (name) VALUES (?)", SQL_TEXT(pipeline));
}

/* Compares and moves the pipeline's last order. */
static bool is_beyond(struct sqlite_db *db, const event_t *event)
{
    struct event_order last = {0};
    bool known = false;

    struct sqlite_rows *rows = sqlite_select(
        db, "SELECT epoch, sequence, idx FROM pipelines WHERE name = ?", SQL_TEXT(event->pipeline));
    if (sqlite_next(rows)) {
        int64_t index = sqlite_int(rows, 2);
        known = index >= 0;
        last = (struct event_order){(uint64_t)sqlite_int(rows, 0), (uint64_t)sqlite_int(rows, 1),
                                    index < 0 ? 0 : (uint32_t)index};
    }
    sqlite_rows_end(rows);
    const struct event_order order = {event->order->epoch, event->order->sequence,
                                      event->order->index};
    if (known && !event_order_beyond(&order, &last))
        return false;
    fold_pipeline_row(db, event->pipeline);
    sqlite_exec(db,
                "UPDATE pipelines SET epoch = ?, sequence = ?, idx = ?, updated_ms = ?"
                " WHERE name = ?",
                SQL_INT(order.epoch), SQL_INT(order.sequence), SQL_INT(order.index),
                SQL_INT(event->time_ms), SQL_TEXT(event->pipeline));
    return true;
}

static void hex_of(const ProtobufCBinaryData *bytes, char out[SHA256_HEX_SIZE])
{
    out[0] = '\0';
    if (bytes->len == SHA256_SIZE)
        hex_encode(bytes->data, bytes->len, out);
}

static void definition_taken(struct sqlite_db *db, const event_t *event)
{
    const Gantry__V1__DefinitionTaken *taken = event->definition_taken;
    char sha256[SHA256_HEX_SIZE];

    hex_of(&taken->sha256, sha256);
    sqlite_exec(db,
                "UPDATE pipelines SET taken_sha256 = ?, taken_number = ?, taken_ms = ?,"
                " taken_by = ?, refused_sha256 = NULL, refused_reason = NULL, deleted = 0"
                " WHERE name = ?",
                SQL_TEXT(sha256), SQL_INT(taken->number), SQL_INT(event->time_ms),
                SQL_TEXT(taken->author), SQL_TEXT(event->pipeline));
    fold_shape(db, event->pipeline);
}

static void definition_refused(struct sqlite_db *db, const event_t *event)
{
    char sha256[SHA256_HEX_SIZE];

    hex_of(&event->definition_refused->sha256, sha256);
    sqlite_exec(db, "UPDATE pipelines SET refused_sha256 = ?, refused_reason = ? WHERE name = ?",
                SQL_TEXT(sha256), SQL_TEXT(event->definition_refused->reason),
                SQL_TEXT(event->pipeline));
}

static void revision_seen(struct sqlite_db *db, const event_t *event)
{
    const Gantry__V1__SourceChanged *change = event->revision_seen->change;

    sqlite_exec(db,
                "INSERT INTO heads VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                " commit_id = excluded.commit_id, message = excluded.message,"
                " pusher = excluded.pusher, time_ms = excluded.time_ms",
                SQL_TEXT(event->pipeline), SQL_TEXT(change->source), SQL_TEXT(change->ref),
                SQL_TEXT(change->after), SQL_TEXT(change->message), SQL_TEXT(change->pusher),
                SQL_INT(event->time_ms));
}

/* What the sender of the causing record is told. The first fact of a Decision is the one that says
 * it; facts without a person are nobody's to wait for, but a definition's. */
struct outcome {
    const char *fact;
    uint64_t release;
    uint64_t number;
    const char *reason;
};

static bool outcome_of(const event_t *event, struct outcome *out)
{
    bool person = event->actor && !str_empty(event->actor->subject);

    *out = (struct outcome){0};
    switch (event->fact_case) {
    case GANTRY__V1__RELEASE_EVENT__FACT_COMMAND_REFUSED:
        out->fact = "refused";
        out->reason = event->command_refused->reason;
        return true;
    case GANTRY__V1__RELEASE_EVENT__FACT_DEFINITION_REFUSED:
        out->fact = "refused";
        out->reason = event->definition_refused->reason;
        return true;
    case GANTRY__V1__RELEASE_EVENT__FACT_DEFINITION_TAKEN:
        out->fact = "definition-taken";
        out->number = event->definition_taken->number;
        return true;
    case GANTRY__V1__RELEASE_EVENT__FACT_DEFINITION_DELETED:
        out->fact = "definition-deleted";
        return true;
    case GANTRY__V1__RELEASE_EVENT__FACT_RELEASE_STARTED:
        out->fact = "release-started";
        out->release = event->release_started->release;
        return true;
    case GANTRY__V1__RELEASE_EVENT__FACT_RELEASE_STOPPING:
        out->fact = "release-stopping";
        out->release = event->release_stopping->release;
        return true;
    case GANTRY__V1__RELEASE_EVENT__FACT_RELEASE_ENDED:
        out->fact = "release-ended";
        out->release = event->release_ended->release;
        return person;
    case GANTRY__V1__RELEASE_EVENT__FACT_STAGE_ENTERED:
        out->fact = "stage-entered";
        out->release = event->stage_entered->release;
        return person;
    case GANTRY__V1__RELEASE_EVENT__FACT_STAGE_WAITING:
        out->fact = "stage-waiting";
        out->release = event->stage_waiting->release;
        return person;
    case GANTRY__V1__RELEASE_EVENT__FACT_TRANSITION_SET:
        out->fact = "transition-set";
        return true;
    case GANTRY__V1__RELEASE_EVENT__FACT_ENVIRONMENT_PINNED:
        out->fact =
            event->environment_pinned->pinned ? "environment-pinned" : "environment-unpinned";
        return true;
    case GANTRY__V1__RELEASE_EVENT__FACT_RELEASE_PROMOTED:
        out->fact = "release-promoted";
        out->release = event->release_promoted->release;
        return true;
    case GANTRY__V1__RELEASE_EVENT__FACT_GATE_OVERRIDDEN:
        out->fact = "gate-overridden";
        out->release = event->gate_overridden->release;
        return true;
    default:
        return false;
    }
}

static void keep_outcome(struct sqlite_db *db, const event_t *event)
{
    struct outcome outcome;

    if (str_empty(event->cause_id) || !outcome_of(event, &outcome))
        return;
    sqlite_exec(db, "INSERT OR IGNORE INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?)",
                SQL_TEXT(event->cause_id), SQL_TEXT(outcome.fact), SQL_TEXT(event->pipeline),
                SQL_INT(outcome.release), SQL_INT(outcome.number), SQL_TEXT(outcome.reason),
                SQL_INT(event->time_ms));
}

static void keep_event(struct sqlite_db *db, const event_t *event, const struct fold_place *place)
{
    sqlite_exec(db, "INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?)",
                SQL_INT(place->partition), SQL_INT(place->offset), SQL_TEXT(place->ce_id),
                SQL_TEXT(event->pipeline), SQL_BLOB(place->value, place->value_len));
}

bool fold_event(struct sqlite_db *db, const event_t *event, const struct fold_place *place)
{
    if (!event->order || !is_beyond(db, event))
        return false;
    switch (event->fact_case) {
    case GANTRY__V1__RELEASE_EVENT__FACT_DEFINITION_TAKEN:
        definition_taken(db, event);
        break;
    case GANTRY__V1__RELEASE_EVENT__FACT_DEFINITION_DELETED:
        sqlite_exec(db, "UPDATE pipelines SET deleted = 1 WHERE name = ?",
                    SQL_TEXT(event->pipeline));
        break;
    case GANTRY__V1__RELEASE_EVENT__FACT_DEFINITION_REFUSED:
        definition_refused(db, event);
        break;
    case GANTRY__V1__RELEASE_EVENT__FACT_REVISION_SEEN:
        revision_seen(db, event);
        break;
    default:
        fold_release_fact(db, event);
        fold_action_fact(db, event);
        fold_gate_fact(db, event);
        break;
    }
    keep_outcome(db, event);
    keep_event(db, event, place);
    return true;
}
