/* Facts about action runs, approvals and votes; what runs where. */
#include <jansson.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/str.h"
#include "events/event.h"
#include "gantry/v1/event.pb-c.h"
#include "services/console/fold.h"

typedef Gantry__V1__ReleaseEvent event_t;

enum {
    WAITING = GANTRY__V1__STATUS__STATUS_WAITING,
    IN_PROGRESS = GANTRY__V1__STATUS__STATUS_IN_PROGRESS,
};

static void set_text(json_t *object, const char *key, const char *value)
{
    if (!str_empty(value))
        json_object_set_new(object, key, json_string(value));
}

/* What the page shows of a request beside the columns. */
static char *detail_of(const Gantry__V1__ActionRequest *request)
{
    json_t *detail = json_object();

    if (request->timeout_ms)
        json_object_set_new(detail, "timeoutMs", json_integer(request->timeout_ms));
    if (request->spec_case == GANTRY__V1__ACTION_REQUEST__SPEC_BUILD) {
        set_text(detail, "source", request->build->source);
        set_text(detail, "buildspec", request->build->buildspec);
        set_text(detail, "dockerfile", request->build->dockerfile);
        set_text(detail, "image", request->build->image);
    } else if (request->spec_case == GANTRY__V1__ACTION_REQUEST__SPEC_DEPLOY) {
        const Gantry__V1__Artifact *artifact = request->deploy->artifact;
        set_text(detail, "deployer", request->deploy->deployer);
        set_text(detail, "driver", request->deploy->driver);
        set_text(detail, "artifact", artifact ? artifact->name : NULL);
        set_text(detail, "repository", artifact ? artifact->repository : NULL);
    } else if (request->spec_case == GANTRY__V1__ACTION_REQUEST__SPEC_CUSTOM) {
        set_text(detail, "type", request->custom->type);
    }
    char *text = json_dumps(detail, JSON_COMPACT);
    json_decref(detail);
    return text;
}

static void action_requested(struct sqlite_db *db, const event_t *event)
{
    const Gantry__V1__ActionRequest *request = event->action_requested->request;
    const Gantry__V1__DeploySpec *deploy =
        request->spec_case == GANTRY__V1__ACTION_REQUEST__SPEC_DEPLOY ? request->deploy : NULL;
    char *detail = detail_of(request);

    sqlite_exec(
        db,
        "INSERT OR IGNORE INTO runs (run_id, pipeline, release, stage, stage_number, action,"
        " number, kind, step, status, requested_ms, deadline_ms, attempt, environment, digest,"
        " detail_json) VALUES (?1, ?2, ?3, ?4, (SELECT MAX(number) FROM stage_runs WHERE"
        " pipeline = ?2 AND release = ?3 AND stage = ?4), ?5, ?6, ?7, ?8, ?9, ?10, ?11, 0,"
        " ?12, ?13, ?14)",
        SQL_TEXT(request->run_id), SQL_TEXT(request->pipeline), SQL_INT(request->release),
        SQL_TEXT(request->stage), SQL_TEXT(request->action), SQL_INT(request->number),
        SQL_INT(request->kind), SQL_INT(event->action_requested->step), SQL_INT(WAITING),
        SQL_INT(event->time_ms), request->deadline_ms ? SQL_INT(request->deadline_ms) : SQL_NULL,
        SQL_TEXT(deploy ? deploy->environment : NULL),
        SQL_TEXT(deploy && deploy->artifact ? deploy->artifact->digest : NULL), SQL_TEXT(detail));
    free(detail);
}

static void action_started(struct sqlite_db *db, const event_t *event)
{
    const Gantry__V1__ActionStarted *started = event->action_started;

    sqlite_exec(db,
                "UPDATE runs SET status = ?, started_ms = COALESCE(started_ms, ?), attempt = ?,"
                " executor = ?, silent_at_ms = NULL, silent_ms = NULL WHERE run_id = ?",
                SQL_INT(IN_PROGRESS), SQL_INT(event->time_ms), SQL_INT(started->attempt),
                SQL_TEXT(started->executor), SQL_TEXT(started->run_id));
}

static void action_silent(struct sqlite_db *db, const event_t *event)
{
    sqlite_exec(db, "UPDATE runs SET silent_at_ms = ?, silent_ms = ? WHERE run_id = ?",
                SQL_INT(event->time_ms), SQL_INT(event->action_silent->silent_ms),
                SQL_TEXT(event->action_silent->run_id));
}

static void now_runs_there(struct sqlite_db *db, const Gantry__V1__ActionEnded *ended,
                           int64_t time_ms)
{
    sqlite_exec(db,
                "INSERT OR REPLACE INTO environments SELECT r.environment, r.pipeline, r.action,"
                " r.stage, r.release, r.detail_json ->> 'artifact', r.digest, r.run_id, ?,"
                " COALESCE((SELECT MIN(a.release) FROM artifacts a WHERE a.digest = r.digest"
                " AND a.pipeline = r.pipeline), r.release)"
                " FROM runs r WHERE r.run_id = ? AND r.environment IS NOT NULL",
                SQL_INT(time_ms), SQL_TEXT(ended->run_id));
}

/* The builds of its batch are asked for: the action goes on. */
static void batch_planned(struct sqlite_db *db, const event_t *event)
{
    const Gantry__V1__BatchPlanned *planned = event->batch_planned;
    struct buf finished;

    buf_init(&finished, EVENT_VALUE_MAX);
    event_pack(&finished, planned->finished, NULL);
    sqlite_exec(db,
                "UPDATE runs SET status = ?, started_ms = COALESCE(started_ms, ?), finished = ?"
                " WHERE run_id = ?",
                SQL_INT(IN_PROGRESS), SQL_INT(event->time_ms),
                SQL_BLOB(buf_cstr(&finished), finished.len), SQL_TEXT(planned->run_id));
    buf_release(&finished);
}

/* What a run has said that planned a batch; NULL: it did not. Caller frees. */
static Gantry__V1__Finished *read_planned(struct sqlite_db *db, const char *run_id)
{
    Gantry__V1__Finished *planned = NULL;
    struct sqlite_rows *rows =
        sqlite_select(db, "SELECT finished FROM runs WHERE run_id = ? AND finished IS NOT NULL",
                      SQL_TEXT(run_id));

    while (sqlite_next(rows)) {
        size_t len;
        const uint8_t *data = sqlite_blob(rows, 0, &len);
        planned = gantry__v1__finished__unpack(NULL, len, data);
    }
    sqlite_rows_end(rows);
    if (planned && planned->batch)
        return planned;
    event_free(planned);
    return NULL;
}

/* The end of an action and, of one with a batch, its plan and the log of the run that planned. */
static void pack_finished(struct sqlite_db *db, const Gantry__V1__ActionEnded *ended,
                          struct buf *out)
{
    Gantry__V1__Finished *planned = read_planned(db, ended->run_id);
    Gantry__V1__Finished whole = GANTRY__V1__FINISHED__INIT;

    if (ended->finished)
        whole = *ended->finished;
    if (planned) {
        whole.batch = planned->batch;
        whole.files = planned->files;
        whole.n_files = planned->n_files;
        whole.started_ms = planned->started_ms;
    }
    if (planned && !ended->finished) {
        whole.outcome = ended->status == GANTRY__V1__STATUS__STATUS_FAILED
                            ? GANTRY__V1__OUTCOME__OUTCOME_FAILED
                            : GANTRY__V1__OUTCOME__OUTCOME_STOPPED;
        whole.reason = ended->reason;
    }
    if (planned || ended->finished)
        event_pack(out, &whole, NULL);
    event_free(planned);
}

static void action_ended(struct sqlite_db *db, const event_t *event)
{
    const Gantry__V1__ActionEnded *ended = event->action_ended;
    struct buf finished;

    buf_init(&finished, EVENT_VALUE_MAX);
    pack_finished(db, ended, &finished);
    sqlite_exec(db,
                "UPDATE runs SET status = ?, reason = ?, ended_ms = ?, finished = ?"
                " WHERE run_id = ?",
                SQL_INT(ended->status), SQL_TEXT(ended->reason), SQL_INT(event->time_ms),
                finished.len ? SQL_BLOB(finished.data, finished.len) : SQL_NULL,
                SQL_TEXT(ended->run_id));
    buf_release(&finished);
    fold_reports(db, event);
    if (ended->kind == GANTRY__V1__ACTION_KIND__ACTION_KIND_DEPLOY &&
        ended->status == GANTRY__V1__STATUS__STATUS_SUCCEEDED)
        now_runs_there(db, ended, event->time_ms);
}

static void put_approval(struct sqlite_db *db, const Gantry__V1__ApprovalRequest *approval)
{
    bool is_open = approval->verb != GANTRY__V1__APPROVAL_VERB__APPROVAL_VERB_CLOSED;
    struct buf body;

    buf_init(&body, EVENT_VALUE_MAX);
    if (event_pack(&body, approval, NULL) == 0)
        sqlite_exec(db, "INSERT OR REPLACE INTO approvals VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    SQL_TEXT(approval->approval_id), SQL_TEXT(approval->pipeline),
                    SQL_INT(approval->release), SQL_TEXT(approval->stage), SQL_TEXT(approval->gate),
                    SQL_INT(is_open), SQL_INT(approval->opened_ms),
                    SQL_BLOB(buf_cstr(&body), body.len));
    buf_release(&body);
}

static void approval_closed(struct sqlite_db *db, const Gantry__V1__ApprovalRequest *approval)
{
    put_approval(db, approval);
    if (approval->outcome != GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_APPROVED &&
        approval->outcome != GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_OVERRIDDEN)
        return;
    fold_passed(db, approval->pipeline, approval->release, approval->stage, approval->gate);
}

static void vote_refused(struct sqlite_db *db, const event_t *event)
{
    const Gantry__V1__VoteRefused *refused = event->vote_refused;
    struct buf body;

    buf_init(&body, EVENT_VALUE_MAX);
    if (event_pack(&body, refused, NULL) == 0)
        sqlite_exec(db, "INSERT OR REPLACE INTO refused_votes VALUES (?, ?, ?, ?, ?)",
                    SQL_TEXT(refused->ce_id), SQL_TEXT(event->pipeline), SQL_INT(refused->release),
                    SQL_INT(event->time_ms), SQL_BLOB(buf_cstr(&body), body.len));
    buf_release(&body);
}

void fold_action_fact(struct sqlite_db *db, const event_t *event)
{
    switch (event->fact_case) {
    case GANTRY__V1__RELEASE_EVENT__FACT_ACTION_REQUESTED:
        action_requested(db, event);
        break;
    case GANTRY__V1__RELEASE_EVENT__FACT_ACTION_STARTED:
        action_started(db, event);
        break;
    case GANTRY__V1__RELEASE_EVENT__FACT_BATCH_PLANNED:
        batch_planned(db, event);
        break;
    case GANTRY__V1__RELEASE_EVENT__FACT_ACTION_ENDED:
        action_ended(db, event);
        break;
    case GANTRY__V1__RELEASE_EVENT__FACT_ACTION_SILENT:
        action_silent(db, event);
        break;
    case GANTRY__V1__RELEASE_EVENT__FACT_APPROVAL_OPENED:
        put_approval(db, event->approval_opened->approval);
        break;
    case GANTRY__V1__RELEASE_EVENT__FACT_VOTE_COUNTED:
        if (event->vote_counted->approval)
            put_approval(db, event->vote_counted->approval);
        break;
    case GANTRY__V1__RELEASE_EVENT__FACT_APPROVAL_CLOSED:
        approval_closed(db, event->approval_closed->approval);
        break;
    case GANTRY__V1__RELEASE_EVENT__FACT_VOTE_REFUSED:
        vote_refused(db, event);
        break;
    default:
        break;
    }
}
