/* Facts about releases and their stages. */
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
    SUCCEEDED = GANTRY__V1__STATUS__STATUS_SUCCEEDED,
};

static void add_artifact(struct sqlite_db *db, const char *pipeline, uint64_t release,
                         const Gantry__V1__Artifact *artifact)
{
    struct buf body;

    buf_init(&body, EVENT_VALUE_MAX);
    if (event_pack(&body, artifact, NULL) == 0)
        sqlite_exec(db, "INSERT OR REPLACE INTO artifacts VALUES (?, ?, ?, ?, ?, ?)",
                    SQL_TEXT(pipeline), SQL_INT(release), SQL_TEXT(artifact->name),
                    SQL_TEXT(artifact->repository), SQL_TEXT(artifact->digest),
                    SQL_BLOB(buf_cstr(&body), body.len));
    buf_release(&body);
}

static void release_started(struct sqlite_db *db, const event_t *event)
{
    const Gantry__V1__ReleaseStarted *started = event->release_started;
    const Gantry__V1__Revision *revision = started->n_revisions ? started->revisions[0] : NULL;
    struct buf fact;

    buf_init(&fact, EVENT_VALUE_MAX);
    if (event_pack(&fact, started, NULL) == 0)
        sqlite_exec(db,
                    "INSERT OR IGNORE INTO releases (pipeline, number, type, status,"
                    " definition_number, commit_id, message, starter, started_ms, failed_release,"
                    " fact) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    SQL_TEXT(event->pipeline), SQL_INT(started->release), SQL_INT(started->type),
                    SQL_INT(WAITING), SQL_INT(started->definition_number),
                    SQL_TEXT(revision ? revision->commit : NULL),
                    SQL_TEXT(revision ? revision->message : NULL),
                    SQL_TEXT(started->starter ? started->starter->name : NULL),
                    SQL_INT(event->time_ms),
                    started->failed_release ? SQL_INT(started->failed_release) : SQL_NULL,
                    SQL_BLOB(buf_cstr(&fact), fact.len));
    buf_release(&fact);
    for (size_t i = 0; i < started->n_revisions; i++)
        sqlite_exec(db, "INSERT OR IGNORE INTO revisions VALUES (?, ?, ?, ?)",
                    SQL_TEXT(event->pipeline), SQL_INT(started->release),
                    SQL_TEXT(started->revisions[i]->source),
                    SQL_TEXT(started->revisions[i]->commit));
    for (size_t i = 0; i < started->n_artifacts; i++)
        add_artifact(db, event->pipeline, started->release, started->artifacts[i]);
    sqlite_exec(db,
                "UPDATE pipelines SET latest_release = MAX(COALESCE(latest_release, 0), ?)"
                " WHERE name = ?",
                SQL_INT(started->release), SQL_TEXT(event->pipeline));
}

static void set_status(struct sqlite_db *db, const char *pipeline, uint64_t release, int status)
{
    sqlite_exec(db,
                "UPDATE releases SET status = ?, ended_ms = NULL, reason = NULL"
                " WHERE pipeline = ? AND number = ?",
                SQL_INT(status), SQL_TEXT(pipeline), SQL_INT(release));
}

static void release_ended(struct sqlite_db *db, const event_t *event)
{
    const Gantry__V1__ReleaseEnded *ended = event->release_ended;

    sqlite_exec(db,
                "UPDATE releases SET status = ?, reason = ?, ended_ms = ?, superseded_by = ?"
                " WHERE pipeline = ? AND number = ?",
                SQL_INT(ended->status), SQL_TEXT(ended->reason), SQL_INT(event->time_ms),
                ended->superseded_by ? SQL_INT(ended->superseded_by) : SQL_NULL,
                SQL_TEXT(event->pipeline), SQL_INT(ended->release));
    sqlite_exec(db,
                "UPDATE stage_runs SET status = ?, ended_ms = ?"
                " WHERE pipeline = ? AND release = ? AND number = 0 AND status = ?",
                SQL_INT(ended->status), SQL_INT(event->time_ms), SQL_TEXT(event->pipeline),
                SQL_INT(ended->release), SQL_INT(WAITING));
}

static void release_stopping(struct sqlite_db *db, const event_t *event)
{
    const Gantry__V1__ReleaseStopping *stopping = event->release_stopping;

    sqlite_exec(db,
                "UPDATE releases SET stop_mode = ?, stop_reason = ?, stopped_by = ?"
                " WHERE pipeline = ? AND number = ?",
                SQL_INT(stopping->mode), SQL_TEXT(stopping->reason),
                SQL_TEXT(event->actor ? event->actor->name : NULL), SQL_TEXT(event->pipeline),
                SQL_INT(stopping->release));
}

/* Caller frees. */
static char *texts_json(char *const *texts, size_t count)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_string(texts[i]));
    char *text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    return text;
}

static void stage_waiting(struct sqlite_db *db, const event_t *event)
{
    const Gantry__V1__StageWaiting *waiting = event->stage_waiting;
    char *text = texts_json(waiting->held_by, waiting->n_held_by);

    sqlite_exec(db,
                "INSERT INTO stage_runs (pipeline, release, stage, number, status, held_by_json,"
                " waiting_ms, look_again_ms) VALUES (?, ?, ?, 0, ?, ?, ?, ?) ON CONFLICT DO"
                " UPDATE SET held_by_json = excluded.held_by_json, status = excluded.status,"
                " look_again_ms = excluded.look_again_ms, ended_ms = NULL,"
                " waiting_ms = CASE WHEN ended_ms IS NULL THEN waiting_ms"
                " ELSE excluded.waiting_ms END",
                SQL_TEXT(event->pipeline), SQL_INT(waiting->release), SQL_TEXT(waiting->stage),
                SQL_INT(WAITING), SQL_TEXT(text), SQL_INT(event->time_ms),
                waiting->look_again_ms ? SQL_INT(waiting->look_again_ms) : SQL_NULL);
    free(text);
    set_status(db, event->pipeline, waiting->release, WAITING);
}

static void stage_entered(struct sqlite_db *db, const event_t *event)
{
    const Gantry__V1__StageEntered *entered = event->stage_entered;
    struct sql_value pipeline = SQL_TEXT(event->pipeline), stage = SQL_TEXT(entered->stage);

    /* A stage that is entered again by itself has not ended; the try before has. */
    if (entered->automatic)
        sqlite_exec(db,
                    "UPDATE stage_runs SET status = ?, reason = ?, ended_ms = ? WHERE pipeline = ?"
                    " AND release = ? AND stage = ? AND number < ? AND status = ?",
                    SQL_INT(GANTRY__V1__STATUS__STATUS_FAILED), SQL_TEXT(entered->reason),
                    SQL_INT(event->time_ms), pipeline, SQL_INT(entered->release), stage,
                    SQL_INT(entered->number), SQL_INT(IN_PROGRESS));
    sqlite_exec(db,
                "INSERT OR IGNORE INTO stage_runs (pipeline, release, stage, number, status,"
                " entered_ms, automatic, entry_reason, waiting_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6,"
                " ?7, ?8, (SELECT waiting_ms FROM stage_runs WHERE pipeline = ?1"
                " AND release = ?2 AND stage = ?3 AND number = 0))",
                pipeline, SQL_INT(entered->release), stage, SQL_INT(entered->number),
                SQL_INT(IN_PROGRESS), SQL_INT(event->time_ms), SQL_INT(entered->automatic),
                SQL_TEXT(entered->reason));
    sqlite_exec(db,
                "DELETE FROM stage_runs WHERE pipeline = ? AND release = ? AND stage = ?"
                " AND number = 0",
                pipeline, SQL_INT(entered->release), stage);
    sqlite_exec(db,
                "INSERT INTO stage_state (pipeline, stage, release, number, status, since_ms)"
                " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET release = excluded.release,"
                " number = excluded.number, status = excluded.status, reason = NULL,"
                " since_ms = excluded.since_ms",
                pipeline, stage, SQL_INT(entered->release), SQL_INT(entered->number),
                SQL_INT(IN_PROGRESS), SQL_INT(event->time_ms));
    set_status(db, event->pipeline, entered->release, IN_PROGRESS);
}

static void stage_ended(struct sqlite_db *db, const event_t *event)
{
    const Gantry__V1__StageEnded *ended = event->stage_ended;
    struct sql_value pipeline = SQL_TEXT(event->pipeline), stage = SQL_TEXT(ended->stage);
    char *skipped = texts_json(ended->skipped, ended->n_skipped);

    sqlite_exec(db,
                "UPDATE stage_runs SET status = ?1, reason = ?2, ended_ms = ?3, skipped_json = ?7"
                " WHERE pipeline = ?4 AND release = ?5 AND stage = ?6 AND number ="
                " (SELECT MAX(number) FROM stage_runs WHERE pipeline = ?4 AND release = ?5"
                " AND stage = ?6)",
                SQL_INT(ended->status), SQL_TEXT(ended->reason), SQL_INT(event->time_ms), pipeline,
                SQL_INT(ended->release), stage, ended->n_skipped ? SQL_TEXT(skipped) : SQL_NULL);
    free(skipped);
    sqlite_exec(db,
                "UPDATE stage_state SET status = ?, reason = ?, since_ms = ?"
                " WHERE pipeline = ? AND stage = ? AND release = ?",
                SQL_INT(ended->status), SQL_TEXT(ended->reason), SQL_INT(event->time_ms), pipeline,
                stage, SQL_INT(ended->release));
    if (ended->status == GANTRY__V1__STATUS__STATUS_SUCCEEDED)
        sqlite_exec(db,
                    "UPDATE stage_state SET good_release = ?, good_ms = ?"
                    " WHERE pipeline = ? AND stage = ?",
                    SQL_INT(ended->release), SQL_INT(event->time_ms), pipeline, stage);
}

void fold_release_fact(struct sqlite_db *db, const event_t *event)
{
    switch (event->fact_case) {
    case GANTRY__V1__RELEASE_EVENT__FACT_RELEASE_STARTED:
        release_started(db, event);
        break;
    case GANTRY__V1__RELEASE_EVENT__FACT_RELEASE_ENDED:
        release_ended(db, event);
        break;
    case GANTRY__V1__RELEASE_EVENT__FACT_RELEASE_STOPPING:
        release_stopping(db, event);
        break;
    case GANTRY__V1__RELEASE_EVENT__FACT_STAGE_WAITING:
        stage_waiting(db, event);
        break;
    case GANTRY__V1__RELEASE_EVENT__FACT_STAGE_ENTERED:
        stage_entered(db, event);
        break;
    case GANTRY__V1__RELEASE_EVENT__FACT_STAGE_ENDED:
        stage_ended(db, event);
        break;
    case GANTRY__V1__RELEASE_EVENT__FACT_ARTIFACT_SET:
        add_artifact(db, event->pipeline, event->artifact_set->release,
                     event->artifact_set->artifact);
        break;
    default:
        break;
    }
}
