#include <string.h>

#include "base/clock.h"
#include "events/event.h"
#include "gantry/v1/event.pb-c.h"
#include "gantry/v1/result.pb-c.h"
#include "services/console/read.h"

#define RELEASE_COLUMNS                                                                            \
    "SELECT pipeline, number, type, status, reason, definition_number, commit_id, message,"        \
    " started_ms, ended_ms, superseded_by, stop_mode, stop_reason, stopped_by, fact FROM "         \
    "releases "

/* ---- one release's parts ---- */

static void move(json_t *to, json_t *from, const char *key, bool list)
{
    json_t *value = json_object_get(from, key);

    if (value)
        json_object_set(to, key, value);
    else if (list)
        json_object_set_new(to, key, json_array());
}

/* What its start said: revisions, variables, who started it. */
static void put_fact(json_t *release, const struct sqlite_rows *rows)
{
    size_t len;
    const uint8_t *data = sqlite_blob(rows, 14, &len);
    Gantry__V1__ReleaseStarted *started = gantry__v1__release_started__unpack(NULL, len, data);

    if (!started)
        return;
    json_t *fact = event_to_json(started);
    move(release, fact, "revisions", true);
    move(release, fact, "variables", true);
    move(release, fact, "starter", false);
    move(release, fact, "people", true);
    move(release, fact, "rollbackTo", false);
    move(release, fact, "rollbackStage", false);
    move(release, fact, "failedRelease", false);
    if (json_object_get(fact, "reason"))
        json_object_set(release, "startReason", json_object_get(fact, "reason"));
    json_decref(fact);
    event_free(started);
}

static json_t *release_json(const struct sqlite_rows *rows)
{
    json_t *release = json_object();
    bool rollback = sqlite_int(rows, 2) == GANTRY__V1__RELEASE_TYPE__RELEASE_TYPE_ROLLBACK;

    put_text(release, "pipeline", rows, 0);
    put_int(release, "number", rows, 1);
    json_object_set_new(release, "type", json_string(rollback ? "rollback" : "normal"));
    json_object_set_new(release, "status", json_string(status_name(sqlite_int(rows, 3))));
    put_text(release, "reason", rows, 4);
    put_int(release, "definitionNumber", rows, 5);
    put_text(release, "commit", rows, 6);
    put_text(release, "message", rows, 7);
    put_int(release, "startedMs", rows, 8);
    put_int(release, "endedMs", rows, 9);
    put_int(release, "supersededBy", rows, 10);
    if (!sqlite_is_null(rows, 11)) {
        bool abandon = sqlite_int(rows, 11) == GANTRY__V1__STOP_MODE_TAKEN__STOP_MODE_TAKEN_ABANDON;
        json_t *stop = json_pack("{s:s}", "mode", abandon ? "abandon" : "wait");
        put_text(stop, "reason", rows, 12);
        put_text(stop, "by", rows, 13);
        json_object_set_new(release, "stop", stop);
    }
    put_fact(release, rows);
    return release;
}

static void put_held(struct sqlite_db *db, json_t *stage, const char *pipeline, uint64_t number,
                     const struct sqlite_rows *rows)
{
    const struct hold_place place = {.pipeline = pipeline,
                                     .stage = sqlite_text(rows, 0),
                                     .release = number,
                                     .waiting_ms = sqlite_int(rows, 5),
                                     .look_again_ms = sqlite_int(rows, 8),
                                     .now_ms = clock_now_ms()};

    json_object_set_new(stage, "held", read_held(db, &place, sqlite_text(rows, 4)));
    put_int(stage, "lookAgainMs", rows, 8);
}

/* In the order of the stages' first entry. */
static json_t *stage_runs_json(struct sqlite_db *db, const char *pipeline, uint64_t number,
                               json_t *actions)
{
    json_t *stages = json_array();

    struct sqlite_rows *rows = sqlite_select(
        db,
        "SELECT r.stage, r.number, r.status, r.reason, r.held_by_json, r.waiting_ms, r.entered_ms,"
        " r.ended_ms, r.look_again_ms, r.automatic, r.entry_reason, r.skipped_json FROM stage_runs "
        "r LEFT JOIN "
        "stages s ON s.pipeline = r.pipeline"
        " AND s.name = r.stage WHERE r.pipeline = ? AND r.release = ?"
        " ORDER BY s.position IS NULL, s.position, COALESCE(r.waiting_ms, r.entered_ms),"
        " r.number = 0, r.number",
        SQL_TEXT(pipeline), SQL_INT(number));
    while (sqlite_next(rows)) {
        json_t *stage = json_object();
        put_text(stage, "name", rows, 0);
        put_int(stage, "number", rows, 1);
        json_object_set_new(stage, "status", json_string(status_name(sqlite_int(rows, 2))));
        put_text(stage, "reason", rows, 3);
        put_json(stage, "heldBy", rows, 4);
        put_int(stage, "waitingMs", rows, 5);
        put_int(stage, "enteredMs", rows, 6);
        put_int(stage, "endedMs", rows, 7);
        if (sqlite_int(rows, 9))
            json_object_set_new(stage, "automatic", json_true());
        put_text(stage, "entryReason", rows, 10);
        if (!sqlite_is_null(rows, 11))
            put_json(stage, "skipped", rows, 11);
        if (sqlite_int(rows, 2) == GANTRY__V1__STATUS__STATUS_WAITING)
            put_held(db, stage, pipeline, number, rows);
        if (actions) {
            json_t *list = json_object_get(actions, sqlite_text(rows, 0));
            json_object_set_new(stage, "actions", list ? json_incref(list) : json_array());
        }
        json_array_append_new(stages, stage);
    }
    sqlite_rows_end(rows);
    return stages;
}

static json_t *message_json(void *message)
{
    json_t *json = message ? event_to_json(message) : json_object();

    event_free(message);
    return json;
}

static json_t *artifacts_json(struct sqlite_db *db, const char *pipeline, uint64_t number)
{
    json_t *list = json_array();
    size_t len;

    struct sqlite_rows *rows = sqlite_select(
        db, "SELECT body FROM artifacts WHERE pipeline = ? AND release = ? ORDER BY name",
        SQL_TEXT(pipeline), SQL_INT(number));
    while (sqlite_next(rows)) {
        const uint8_t *data = sqlite_blob(rows, 0, &len);
        json_array_append_new(list, message_json(gantry__v1__artifact__unpack(NULL, len, data)));
    }
    sqlite_rows_end(rows);
    return list;
}

static json_t *approvals_json(struct sqlite_db *db, const char *pipeline, uint64_t number)
{
    json_t *list = json_array();
    size_t len;

    struct sqlite_rows *rows =
        sqlite_select(db,
                      "SELECT body FROM approvals WHERE pipeline = ? AND release = ?"
                      " ORDER BY opened_ms, gate, approval_id",
                      SQL_TEXT(pipeline), SQL_INT(number));
    while (sqlite_next(rows)) {
        const uint8_t *data = sqlite_blob(rows, 0, &len);
        json_array_append_new(list,
                              message_json(gantry__v1__approval_request__unpack(NULL, len, data)));
    }
    sqlite_rows_end(rows);
    return list;
}

static json_t *refused_votes_json(struct sqlite_db *db, const char *pipeline, uint64_t number)
{
    json_t *list = json_array();
    size_t len;

    struct sqlite_rows *rows =
        sqlite_select(db,
                      "SELECT body FROM refused_votes WHERE pipeline = ? AND release = ?"
                      " ORDER BY time_ms, ce_id",
                      SQL_TEXT(pipeline), SQL_INT(number));
    while (sqlite_next(rows)) {
        const uint8_t *data = sqlite_blob(rows, 0, &len);
        json_array_append_new(list,
                              message_json(gantry__v1__vote_refused__unpack(NULL, len, data)));
    }
    sqlite_rows_end(rows);
    return list;
}

json_t *read_release(struct sqlite_db *db, const char *pipeline, uint64_t number)
{
    json_t *release = NULL;

    struct sqlite_rows *rows =
        sqlite_select(db, RELEASE_COLUMNS "WHERE pipeline = ? AND number = ?", SQL_TEXT(pipeline),
                      SQL_INT(number));
    if (sqlite_next(rows))
        release = release_json(rows);
    sqlite_rows_end(rows);
    if (!release)
        return NULL;
    json_t *actions = read_actions(db, pipeline, number, true);
    json_object_set_new(release, "stages", stage_runs_json(db, pipeline, number, actions));
    json_decref(actions);
    json_object_set_new(release, "artifacts", artifacts_json(db, pipeline, number));
    json_object_set_new(release, "approvals", approvals_json(db, pipeline, number));
    json_object_set_new(release, "refusedVotes", refused_votes_json(db, pipeline, number));
    json_object_set_new(release, "passes", read_passes(db, pipeline, number));
    json_object_set_new(release, "checks", read_checks(db, pipeline, number));
    int64_t rolled_back_by = sqlite_select_int(db, 0,
                                               "SELECT MIN(number) FROM releases WHERE pipeline = ?"
                                               " AND failed_release = ?",
                                               SQL_TEXT(pipeline), SQL_INT(number));
    if (rolled_back_by)
        json_object_set_new(release, "rolledBackBy", json_integer(rolled_back_by));
    return release;
}

/* ---- lists ---- */

static void put_next(json_t *out, const json_t *last, bool of_one)
{
    json_int_t number = json_integer_value(json_object_get(last, "number"));

    if (of_one)
        json_object_set_new(out, "next", json_sprintf("%lld", (long long)number));
    else
        json_object_set_new(
            out, "next",
            json_sprintf("%lld/%s/%lld",
                         (long long)json_integer_value(json_object_get(last, "startedMs")),
                         json_string_value(json_object_get(last, "pipeline")), (long long)number));
}

json_t *read_releases(struct sqlite_db *db, const struct release_filter *filter)
{
    static const char of_one[] =
        RELEASE_COLUMNS "WHERE pipeline = ?1 AND number < ?2 AND (?3 = 0 OR (?3 >> status) & 1)"
                        " AND ?4 IS ?4 AND ?5 IS ?5 ORDER BY number DESC LIMIT ?6";
    static const char of_all[] =
        RELEASE_COLUMNS "WHERE ?1 IS NULL AND (?3 = 0 OR (?3 >> status) & 1) AND"
                        " started_ms <= ?4 AND (started_ms < ?4 OR pipeline > ?5 OR"
                        " (pipeline = ?5 AND number < ?2))"
                        " ORDER BY started_ms DESC, pipeline, number DESC LIMIT ?6";
    json_t *list = json_array(), *out = json_pack("{s:o}", "releases", list);

    struct sqlite_rows *rows = sqlite_select_values(
        db, filter->pipeline ? of_one : of_all,
        SQL_VALUES(SQL_TEXT(filter->pipeline), SQL_INT(filter->before_number),
                   SQL_INT(filter->statuses), SQL_INT(filter->before_ms),
                   SQL_TEXT(filter->after_pipeline), SQL_INT(filter->limit + 1)));
    while (sqlite_next(rows)) {
        if ((int64_t)json_array_size(list) == filter->limit) {
            put_next(out, json_array_get(list, (size_t)filter->limit - 1), filter->pipeline);
            break;
        }
        json_t *release = release_json(rows);
        json_object_set_new(
            release, "stages",
            stage_runs_json(db, sqlite_text(rows, 0), (uint64_t)sqlite_int(rows, 1), NULL));
        json_array_append_new(list, release);
    }
    sqlite_rows_end(rows);
    return out;
}

json_t *read_open_approvals(struct sqlite_db *db, const char *pipeline)
{
    json_t *list = json_array();
    size_t len;

    struct sqlite_rows *rows =
        sqlite_select(db,
                      "SELECT body FROM approvals WHERE is_open AND (?1 IS NULL OR pipeline = ?1)"
                      " ORDER BY opened_ms, gate, approval_id LIMIT 1000",
                      SQL_TEXT(pipeline));
    while (sqlite_next(rows)) {
        const uint8_t *data = sqlite_blob(rows, 0, &len);
        json_array_append_new(list,
                              message_json(gantry__v1__approval_request__unpack(NULL, len, data)));
    }
    sqlite_rows_end(rows);
    return json_pack("{s:o}", "approvals", list);
}
