/* Action runs, what runs where, and search. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "events/event.h"
#include "gantry/v1/result.pb-c.h"
#include "services/console/read.h"

/* The builds that an action's run planned. */
static json_t *batch_json(const Gantry__V1__BatchPlan *plan)
{
    json_t *builds = json_array();

    for (size_t i = 0; i < plan->n_builds; i++) {
        const Gantry__V1__BatchBuild *build = plan->builds[i];
        json_t *entry = json_pack("{s:s, s:b, s:[]}", "identifier", build->identifier,
                                  "ignoreFailure", build->ignore_failure, "dependOn");

        for (size_t j = 0; j < build->n_depend_on; j++)
            json_array_append_new(json_object_get(entry, "dependOn"),
                                  json_string(build->depend_on[j]));
        if (*build->buildspec)
            json_object_set_new(entry, "buildspec", json_string(build->buildspec));
        json_array_append_new(builds, entry);
    }
    return json_pack("{s:b, s:o}", "fastFail", plan->fast_fail, "builds", builds);
}

static json_t *run_json(const struct sqlite_rows *rows, bool details)
{
    json_t *run = json_object();
    size_t len;

    put_text(run, "runId", rows, 3);
    put_int(run, "number", rows, 4);
    put_int(run, "stageNumber", rows, 5);
    json_object_set_new(run, "status", json_string(status_name(sqlite_int(rows, 8))));
    put_text(run, "reason", rows, 9);
    put_int(run, "requestedMs", rows, 10);
    put_int(run, "startedMs", rows, 11);
    put_int(run, "endedMs", rows, 12);
    put_int(run, "deadlineMs", rows, 13);
    put_int(run, "attempt", rows, 14);
    put_text(run, "executor", rows, 15);
    put_text(run, "environment", rows, 16);
    put_text(run, "digest", rows, 17);
    put_json(run, "detail", rows, 18);
    if (!sqlite_is_null(rows, 20))
        json_object_set_new(run, "silent",
                            json_pack("{s:I, s:I}", "atMs", (json_int_t)sqlite_int(rows, 20),
                                      "forMs", (json_int_t)sqlite_int(rows, 21)));
    if (sqlite_is_null(rows, 19))
        return run;
    const uint8_t *data = sqlite_blob(rows, 19, &len);
    Gantry__V1__Finished *finished = gantry__v1__finished__unpack(NULL, len, data);
    if (finished) {
        json_object_set_new(run, "reports", read_reports(finished, details));
        json_t *said = event_to_json(finished);
        json_object_del(said, "reports");
        json_object_del(said, "batch");
        if (finished->batch)
            json_object_set_new(run, "batch", batch_json(finished->batch));
        json_object_set_new(run, "finished", said);
        event_free(finished);
    }
    return run;
}

/* The action's entry in its stage's list, made where it is not there yet. */
static json_t *action_entry(json_t *by_stage, const struct sqlite_rows *rows)
{
    const char *stage = sqlite_text(rows, 0), *name = sqlite_text(rows, 1);
    json_t *list = json_object_get(by_stage, stage), *action;
    size_t i;

    if (!list) {
        list = json_array();
        json_object_set_new(by_stage, stage, list);
    }
    json_array_foreach(list, i, action)
    {
        if (str_eq(json_string_value(json_object_get(action, "name")), name))
            return action;
    }
    action = json_object();
    put_text(action, "name", rows, 1);
    put_int(action, "step", rows, 2);
    json_object_set_new(action, "kind", json_string(action_kind_name(sqlite_int(rows, 7))));
    json_object_set_new(action, "runs", json_array());
    json_array_append_new(list, action);
    return action;
}

json_t *read_actions(struct sqlite_db *db, const char *pipeline, uint64_t release, bool details)
{
    json_t *by_stage = json_object();

    struct sqlite_rows *rows = sqlite_select(
        db,
        "SELECT stage, action, step, run_id, number, stage_number, NULL, kind, status, reason,"
        " requested_ms, started_ms, ended_ms, deadline_ms, attempt, executor, environment, digest,"
        " detail_json, finished, silent_at_ms, silent_ms FROM runs WHERE pipeline = ? AND release "
        "= ?"
        " ORDER BY step, REPLACE(action, '/', ' '), number", /* builds after their action */
        SQL_TEXT(pipeline), SQL_INT(release));
    while (sqlite_next(rows)) {
        json_t *action = action_entry(by_stage, rows);
        json_array_append_new(json_object_get(action, "runs"), run_json(rows, details));
    }
    sqlite_rows_end(rows);
    return by_stage;
}

/* ---- environments ---- */

/* Releases of the pipeline beyond that one that built something to be deployed. */
static int64_t behind(struct sqlite_db *db, const char *pipeline, int64_t release)
{
    return sqlite_select_int(db, 0,
                             "SELECT COUNT(DISTINCT a.release) FROM artifacts a JOIN releases r"
                             " ON r.pipeline = a.pipeline AND r.number = a.release"
                             " WHERE a.pipeline = ? AND a.release > ? AND r.type = 1",
                             SQL_TEXT(pipeline), SQL_INT(release));
}

static json_t *running_json(struct sqlite_db *db)
{
    json_t *list = json_array();

    struct sqlite_rows *rows = sqlite_select(
        db, "SELECT e.environment, e.pipeline, e.action, e.stage, e.release, e.artifact, e.digest,"
            " e.run_id, e.since_ms, r.commit_id, r.message, e.built_by FROM environments e LEFT "
            "JOIN releases r"
            " ON r.pipeline = e.pipeline AND r.number = e.release"
            " ORDER BY e.environment, e.pipeline, e.action LIMIT 5000");
    while (sqlite_next(rows)) {
        json_t *entry = json_object();
        put_text(entry, "environment", rows, 0);
        put_text(entry, "pipeline", rows, 1);
        put_text(entry, "action", rows, 2);
        put_text(entry, "stage", rows, 3);
        put_int(entry, "release", rows, 4);
        put_text(entry, "artifact", rows, 5);
        put_text(entry, "digest", rows, 6);
        put_text(entry, "runId", rows, 7);
        put_int(entry, "sinceMs", rows, 8);
        put_text(entry, "commit", rows, 9);
        put_text(entry, "message", rows, 10);
        put_int(entry, "builtBy", rows, 11);
        json_object_set_new(entry, "behind",
                            json_integer(behind(db, sqlite_text(rows, 1), sqlite_int(rows, 11))));
        json_array_append_new(list, entry);
    }
    sqlite_rows_end(rows);
    return list;
}

json_t *read_environments(struct sqlite_db *db)
{
    json_t *names = json_array();

    struct sqlite_rows *rows =
        sqlite_select(db, "SELECT name FROM definitions WHERE kind = 'Environment' UNION"
                          " SELECT environment FROM environments ORDER BY 1");
    while (sqlite_next(rows))
        json_array_append_new(names, json_string(sqlite_text(rows, 0)));
    sqlite_rows_end(rows);
    return json_pack("{s:o, s:o, s:o, s:o}", "environments", names, "running", running_json(db),
                     "pins", read_pins(db, NULL, NULL), "freezes",
                     read_freezes(db, NULL, clock_now_ms()));
}

/* ---- search ---- */

static void add_found(json_t *list, struct sqlite_rows *rows, const char *what)
{
    while (sqlite_next(rows)) {
        json_t *found = json_object();
        json_object_set_new(found, "what", json_string(what));
        put_text(found, "pipeline", rows, 0);
        put_int(found, "release", rows, 1);
        put_text(found, "text", rows, 2);
        put_text(found, "commit", rows, 3);
        json_array_append_new(list, found);
    }
    sqlite_rows_end(rows);
}

json_t *read_search(struct sqlite_db *db, const char *text, int64_t limit)
{
    json_t *list = json_array();
    struct sql_value max = SQL_INT(limit);
    char beyond[80], digest[96], digest_beyond[96];
    uint64_t number;

    /* Prefixes as ranges, so that the indexes serve: '~' sorts behind every hex digit. */
    snprintf(beyond, sizeof(beyond), "%.64s~", text);
    snprintf(digest, sizeof(digest), "%s%.64s", str_starts(text, "sha256:") ? "" : "sha256:", text);
    snprintf(digest_beyond, sizeof(digest_beyond), "%.94s~", digest);
    add_found(
        list,
        sqlite_select(db,
                      "SELECT name, latest_release, name, NULL FROM pipelines WHERE NOT deleted"
                      " AND INSTR(name, ?) ORDER BY name LIMIT ?",
                      SQL_TEXT(text), max),
        "pipeline");
    if (str_to_u64(text, &number) == 0)
        add_found(list,
                  sqlite_select(db,
                                "SELECT pipeline, number, message, commit_id FROM releases"
                                " WHERE number = ? ORDER BY started_ms DESC LIMIT ?",
                                SQL_INT(number), max),
                  "release");
    add_found(list,
              sqlite_select(db,
                            "SELECT pipeline, number, message, commit_id FROM releases"
                            " WHERE commit_id >= ? AND commit_id < ? ORDER BY started_ms DESC"
                            " LIMIT ?",
                            SQL_TEXT(text), SQL_TEXT(beyond), max),
              "commit");
    add_found(
        list,
        sqlite_select(db,
                      "SELECT pipeline, release, digest, NULL FROM artifacts WHERE digest >= ?"
                      " AND digest < ? ORDER BY release DESC LIMIT ?",
                      SQL_TEXT(digest), SQL_TEXT(digest_beyond), max),
        "digest");
    return json_pack("{s:o}", "found", list);
}
