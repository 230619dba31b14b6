/* The read model as JSON (api/openapi.json has the shapes). Each function reads within the caller's
 * reader_begin() and returns a new reference; errors stick to `db`. Absent is what is not known or
 * does not apply; lists are always there. */
#ifndef GANTRY_CONSOLE_READ_H
#define GANTRY_CONSOLE_READ_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/sqlite_db.h"

typedef struct Gantry__V1__Finished Gantry__V1__Finished;

/* "in-progress" ...; "" for what is none. */
const char *status_name(int64_t status);
int64_t status_of(const char *name); /* 0: there is none such */
const char *action_kind_name(int64_t kind);

/* Members from a row's columns, left out where null or "". */
void put_text(json_t *object, const char *key, const struct sqlite_rows *rows, int column);
void put_int(json_t *object, const char *key, const struct sqlite_rows *rows, int column);
void put_json(json_t *object, const char *key, const struct sqlite_rows *rows, int column);

/* {pipelines: [...], next}. `after`: names beyond it. */
json_t *read_pipelines(struct sqlite_db *db, const char *after, int64_t limit);
/* One with its actions; NULL: not known. */
json_t *read_pipeline(struct sqlite_db *db, const char *name);
/* The SHA-256 that a command names: of the newest definition unless the promoter refused it. False:
 * no such pipeline, or it is deleted. */
bool read_pipeline_definition(struct sqlite_db *db, const char *name, char sha256[65]);

struct release_filter {
    const char *pipeline; /* NULL: of all, newest start first */
    uint64_t statuses;    /* bits 1 << Status; 0: all */
    int64_t before_number;
    int64_t before_ms;          /* of all: what stands behind this start, */
    const char *after_pipeline; /* this pipeline and this number in that order */
    int64_t limit;
};
/* {releases: [...], next} */
json_t *read_releases(struct sqlite_db *db, const struct release_filter *filter);
json_t *read_release(struct sqlite_db *db, const char *pipeline, uint64_t number);
/* stage -> [action with its runs], in the order of the steps. `details`: of the runs' reports, too.
 */
json_t *read_actions(struct sqlite_db *db, const char *pipeline, uint64_t release, bool details);

/* ---- read_report.c ---- */

/* What a run said of tests and coverage; with `details` failures, slow tests and the worst files.
 */
json_t *read_reports(const Gantry__V1__Finished *finished, bool details);
/* {groups: [{stage, action, group, format, kind, releases: [...]}]}, the releases in their order:
 * the newest `limit` that have any. */
json_t *read_report_trend(struct sqlite_db *db, const char *pipeline, int64_t limit);

/* ---- read_hold.c ---- */

/* A release on the transition into a stage. */
struct hold_place {
    const char *pipeline, *stage;
    uint64_t release;
    int64_t waiting_ms, look_again_ms, now_ms; /* Unix ms; look_again_ms 0: never */
};
/* An object each of what `held_by_json` names, in its order. */
json_t *read_held(struct sqlite_db *db, const struct hold_place *place, const char *held_by_json);
/* Of a gate; {} where nothing was asked. */
json_t *read_check(struct sqlite_db *db, const struct hold_place *place, const char *gate);
json_t *read_checks(struct sqlite_db *db, const char *pipeline, uint64_t release);
/* Gates overridden, and manual ones that the release was promoted past. */
json_t *read_passes(struct sqlite_db *db, const char *pipeline, uint64_t release);
/* NULL: nobody has ever set it, so it is enabled. */
json_t *read_transition(struct sqlite_db *db, const char *pipeline, const char *stage);
/* NULL: of all. */
json_t *read_pins(struct sqlite_db *db, const char *pipeline, const char *environment);
json_t *read_freezes(struct sqlite_db *db, const char *environment, int64_t now_ms);

/* {environments, running, pins, freezes} */
json_t *read_environments(struct sqlite_db *db);
/* Those that are open, oldest first; pipeline NULL: of all. */
json_t *read_open_approvals(struct sqlite_db *db, const char *pipeline);
json_t *read_search(struct sqlite_db *db, const char *text, int64_t limit);

#endif
