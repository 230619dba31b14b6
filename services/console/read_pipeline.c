#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "events/event.h"
#include "gantry/v1/event.pb-c.h"
#include "gantry/v1/request.pb-c.h"
#include "services/console/read.h"

#define WAITING_MAX 500 /* releases shown on the transitions of one pipeline */

/* ---- what waits on transitions ---- */

static json_t *approval_mark(const Gantry__V1__ApprovalRequest *approval)
{
    int64_t approved = 0;

    for (size_t i = 0; i < approval->n_votes; i++)
        approved += approval->votes[i]->verdict == GANTRY__V1__VERDICT__VERDICT_APPROVE;
    return json_pack("{s:s, s:s, s:I, s:I, s:I}", "approvalId", approval->approval_id, "gate",
                     approval->gate, "count", (json_int_t)approval->count, "approved",
                     (json_int_t)approved, "expiresMs", (json_int_t)approval->expires_ms);
}

/* "stage/release" -> marks of its open approvals. */
static json_t *approval_marks(struct sqlite_db *db, const char *pipeline)
{
    json_t *marks = json_object();
    char key[96];
    size_t len;

    struct sqlite_rows *rows =
        sqlite_select(db,
                      "SELECT stage, release, body FROM approvals WHERE pipeline = ? AND is_open"
                      " ORDER BY opened_ms, gate",
                      SQL_TEXT(pipeline));
    while (sqlite_next(rows)) {
        const uint8_t *body = sqlite_blob(rows, 2, &len);
        Gantry__V1__ApprovalRequest *approval =
            gantry__v1__approval_request__unpack(NULL, len, body);
        if (!approval)
            continue;
        snprintf(key, sizeof(key), "%s/%lld", sqlite_text(rows, 0), (long long)sqlite_int(rows, 1));
        json_t *list = json_object_get(marks, key);
        if (!list) {
            list = json_array();
            json_object_set_new(marks, key, list);
        }
        json_array_append_new(list, approval_mark(approval));
        event_free(approval);
    }
    sqlite_rows_end(rows);
    return marks;
}

/* stage -> the releases that wait to enter it, oldest first. */
static json_t *waiting_releases(struct sqlite_db *db, const char *pipeline)
{
    json_t *waiting = json_object(), *marks = approval_marks(db, pipeline);
    char key[96];

    struct sqlite_rows *rows = sqlite_select(
        db,
        "SELECT w.stage, w.release, w.waiting_ms, w.held_by_json, r.commit_id, r.message,"
        " r.starter, w.look_again_ms FROM stage_runs w LEFT JOIN releases r"
        " ON r.pipeline = w.pipeline AND r.number = w.release"
        " WHERE w.pipeline = ? AND w.status = 1 AND w.number = 0 ORDER BY w.release LIMIT ?",
        SQL_TEXT(pipeline), SQL_INT(WAITING_MAX));
    while (sqlite_next(rows)) {
        const char *stage = sqlite_text(rows, 0);
        json_t *list = json_object_get(waiting, stage), *entry = json_object();
        if (!list) {
            list = json_array();
            json_object_set_new(waiting, stage, list);
        }
        put_int(entry, "release", rows, 1);
        put_int(entry, "sinceMs", rows, 2);
        put_json(entry, "heldBy", rows, 3);
        const struct hold_place place = {.pipeline = pipeline,
                                         .stage = stage,
                                         .release = (uint64_t)sqlite_int(rows, 1),
                                         .waiting_ms = sqlite_int(rows, 2),
                                         .look_again_ms = sqlite_int(rows, 7),
                                         .now_ms = clock_now_ms()};
        json_object_set_new(entry, "held", read_held(db, &place, sqlite_text(rows, 3)));
        put_int(entry, "lookAgainMs", rows, 7);
        put_text(entry, "commit", rows, 4);
        put_text(entry, "message", rows, 5);
        put_text(entry, "starter", rows, 6);
        snprintf(key, sizeof(key), "%s/%lld", stage, (long long)sqlite_int(rows, 1));
        json_t *open = json_object_get(marks, key);
        json_object_set_new(entry, "approvals", open ? json_incref(open) : json_array());
        json_array_append_new(list, entry);
    }
    sqlite_rows_end(rows);
    json_decref(marks);
    return waiting;
}

/* ---- stages ---- */

static json_t *current_json(const struct sqlite_rows *rows)
{
    json_t *current = json_object();

    put_int(current, "release", rows, 3);
    put_int(current, "number", rows, 4);
    json_object_set_new(current, "status", json_string(status_name(sqlite_int(rows, 5))));
    put_text(current, "reason", rows, 6);
    put_int(current, "sinceMs", rows, 7);
    put_text(current, "commit", rows, 10);
    put_text(current, "message", rows, 11);
    put_text(current, "starter", rows, 12);
    if (sqlite_int(rows, 14) == GANTRY__V1__RELEASE_TYPE__RELEASE_TYPE_ROLLBACK)
        json_object_set_new(current, "type", json_string("rollback"));
    if (!sqlite_is_null(rows, 19))
        put_json(current, "skipped", rows, 19);
    return current;
}

static json_t *disabled_json(const struct sqlite_rows *rows)
{
    json_t *disabled = json_object();

    put_text(disabled, "reason", rows, 16);
    put_text(disabled, "by", rows, 17);
    put_int(disabled, "sinceMs", rows, 18);
    return disabled;
}

static json_t *good_json(const struct sqlite_rows *rows)
{
    json_t *good = json_object();

    put_int(good, "release", rows, 8);
    put_int(good, "sinceMs", rows, 9);
    put_text(good, "commit", rows, 13);
    return good;
}

static void put_stage_actions(struct sqlite_db *db, const char *pipeline, json_t *stage,
                              const struct sqlite_rows *rows)
{
    json_t *current = json_object_get(stage, "current");

    put_json(stage, "steps", rows, 2);
    if (!current)
        return;
    json_t *by_stage = read_actions(db, pipeline, (uint64_t)sqlite_int(rows, 3), false);
    json_t *actions = json_object_get(by_stage, sqlite_text(rows, 0));
    json_object_set_new(current, "actions", actions ? json_incref(actions) : json_array());
    json_decref(by_stage);
}

/* The definition's stages, and behind them those that it no longer has while a release of an
 * earlier version waits before one or is in it: such a release must not be out of sight. */
static json_t *stages_json(struct sqlite_db *db, const char *pipeline, bool whole)
{
    json_t *stages = json_array(), *waiting = waiting_releases(db, pipeline);

    struct sqlite_rows *rows = sqlite_select(
        db,
        "WITH s AS (SELECT position, name, gates_json, steps_json, on_failure, 0 AS removed"
        " FROM stages WHERE pipeline = ?1"
        " UNION ALL SELECT NULL, stage, '[]', '[]', NULL, 1 FROM"
        " (SELECT stage FROM stage_runs WHERE pipeline = ?1 AND status = 1"
        " UNION SELECT stage FROM stage_state WHERE pipeline = ?1 AND status = 2)"
        " WHERE stage NOT IN (SELECT name FROM stages WHERE pipeline = ?1))"
        " SELECT s.name, s.gates_json, s.steps_json, t.release, t.number, t.status, t.reason,"
        " t.since_ms, t.good_release, t.good_ms, r.commit_id, r.message, r.starter, g.commit_id,"
        " r.type, s.on_failure, x.reason, x.actor, x.since_ms, n.skipped_json, s.removed"
        " FROM s LEFT JOIN stage_state t ON t.pipeline = ?1 AND t.stage = s.name"
        " LEFT JOIN releases r ON r.pipeline = ?1 AND r.number = t.release"
        " LEFT JOIN releases g ON g.pipeline = ?1 AND g.number = t.good_release"
        " LEFT JOIN transitions x ON x.pipeline = ?1 AND x.stage = s.name AND NOT x.enabled"
        " LEFT JOIN stage_runs n ON n.pipeline = ?1 AND n.release = t.release AND n.stage = s.name"
        " AND n.number = t.number ORDER BY s.removed, s.position, s.name",
        SQL_TEXT(pipeline));
    while (sqlite_next(rows)) {
        json_t *stage = json_object();
        put_text(stage, "name", rows, 0);
        put_json(stage, "gates", rows, 1);
        put_text(stage, "onFailure", rows, 15);
        if (sqlite_int(rows, 20))
            json_object_set_new(stage, "removed", json_true());
        if (!sqlite_is_null(rows, 18))
            json_object_set_new(stage, "disabled", disabled_json(rows));
        if (!sqlite_is_null(rows, 3))
            json_object_set_new(stage, "current", current_json(rows));
        if (!sqlite_is_null(rows, 8))
            json_object_set_new(stage, "good", good_json(rows));
        json_t *list = json_object_get(waiting, sqlite_text(rows, 0));
        json_object_set_new(stage, "waiting", list ? json_incref(list) : json_array());
        if (whole)
            put_stage_actions(db, pipeline, stage, rows);
        json_array_append_new(stages, stage);
    }
    sqlite_rows_end(rows);
    json_decref(waiting);
    return stages;
}

/* ---- pipelines ---- */

#define PIPELINE_COLUMNS                                                                           \
    "SELECT p.name, p.mode, p.labels_json, p.taken_sha256, p.taken_number, p.taken_ms,"            \
    " p.taken_by, p.refused_sha256, p.refused_reason, p.deleted, p.latest_release, p.updated_ms,"  \
    " d.sha256, p.sources_json FROM pipelines p LEFT JOIN definitions d"                           \
    " ON d.kind = 'Pipeline' AND d.name = p.name "

static json_t *definition_json(const struct sqlite_rows *rows)
{
    json_t *definition = json_object();
    const char *taken = sqlite_text(rows, 3), *newest = sqlite_text(rows, 12);
    const char *status = "taken";

    if (*newest && !str_eq(newest, taken))
        status = str_eq(newest, sqlite_text(rows, 7)) ? "refused" : "pending";
    json_object_set_new(definition, "status", json_string(status));
    put_text(definition, "sha256", rows, 3);
    put_int(definition, "number", rows, 4);
    put_int(definition, "takenMs", rows, 5);
    put_text(definition, "author", rows, 6);
    if (!str_eq(status, "taken"))
        put_text(definition, "newestSha256", rows, 12);
    if (str_eq(status, "refused"))
        put_text(definition, "reason", rows, 8);
    return definition;
}

static json_t *heads_json(struct sqlite_db *db, const char *pipeline)
{
    json_t *heads = json_array();

    struct sqlite_rows *rows = sqlite_select(
        db,
        "SELECT source, ref, commit_id, message, pusher, time_ms FROM heads WHERE pipeline = ?"
        " ORDER BY time_ms DESC, source, ref LIMIT 50",
        SQL_TEXT(pipeline));
    while (sqlite_next(rows)) {
        json_t *head = json_object();
        put_text(head, "source", rows, 0);
        put_text(head, "ref", rows, 1);
        put_text(head, "commit", rows, 2);
        put_text(head, "message", rows, 3);
        put_text(head, "pusher", rows, 4);
        put_int(head, "timeMs", rows, 5);
        json_array_append_new(heads, head);
    }
    sqlite_rows_end(rows);
    return heads;
}

static json_t *pipeline_json(struct sqlite_db *db, const struct sqlite_rows *rows, bool whole)
{
    json_t *pipeline = json_object();
    const char *name = sqlite_text(rows, 0);

    put_text(pipeline, "name", rows, 0);
    put_text(pipeline, "mode", rows, 1);
    put_json(pipeline, "labels", rows, 2);
    json_object_set_new(pipeline, "definition", definition_json(rows));
    if (sqlite_int(rows, 9))
        json_object_set_new(pipeline, "deleted", json_true());
    put_int(pipeline, "latestRelease", rows, 10);
    put_int(pipeline, "updatedMs", rows, 11);
    if (whole) {
        put_json(pipeline, "sources", rows, 13);
        json_object_set_new(pipeline, "heads", heads_json(db, name));
    }
    json_object_set_new(pipeline, "stages", stages_json(db, name, whole));
    json_object_set_new(pipeline, "pins", read_pins(db, name, NULL));
    return pipeline;
}

json_t *read_pipelines(struct sqlite_db *db, const char *after, int64_t limit)
{
    json_t *list = json_array(), *out = json_pack("{s:o}", "pipelines", list);
    const char *last = "";

    struct sqlite_rows *rows = sqlite_select(
        db, PIPELINE_COLUMNS "WHERE p.name > ? AND NOT p.deleted ORDER BY p.name LIMIT ?",
        SQL_TEXT(after), SQL_INT(limit + 1));
    while (sqlite_next(rows)) {
        if ((int64_t)json_array_size(list) == limit) {
            last =
                json_string_value(json_object_get(json_array_get(list, (size_t)limit - 1), "name"));
            json_object_set_new(out, "next", json_string(last));
            break;
        }
        json_array_append_new(list, pipeline_json(db, rows, false));
    }
    sqlite_rows_end(rows);
    return out;
}

json_t *read_pipeline(struct sqlite_db *db, const char *name)
{
    json_t *pipeline = NULL;

    struct sqlite_rows *rows =
        sqlite_select(db, PIPELINE_COLUMNS "WHERE p.name = ?", SQL_TEXT(name));
    if (sqlite_next(rows))
        pipeline = pipeline_json(db, rows, true);
    sqlite_rows_end(rows);
    return pipeline;
}

bool read_pipeline_definition(struct sqlite_db *db, const char *name, char sha256[65])
{
    bool found = false;

    struct sqlite_rows *rows =
        sqlite_select(db, PIPELINE_COLUMNS "WHERE p.name = ? AND NOT p.deleted", SQL_TEXT(name));
    if (sqlite_next(rows)) {
        const char *taken = sqlite_text(rows, 3), *newest = sqlite_text(rows, 12);
        bool refused = str_eq(newest, sqlite_text(rows, 7));
        snprintf(sha256, 65, "%s", *newest && !refused ? newest : taken);
        found = true;
    }
    sqlite_rows_end(rows);
    return found;
}
