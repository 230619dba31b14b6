/* Questions that the read model answers. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "services/console/console.h"
#include "services/console/read.h"

#define PIPELINES_DEFAULT 100
#define PIPELINES_MAX     500
#define RELEASES_DEFAULT  20
#define RELEASES_MAX      200
#define TREND_DEFAULT     20
#define TREND_MAX         100
#define SEARCH_MAX        20
#define SEARCH_TEXT_MAX   80

/* Answers with what was read, or 404 where it is NULL. */
static void reply_read(struct call *call, struct sqlite_db *db, json_t *json, const char *absent)
{
    if (reader_end(call, db) != 0) {
        json_decref(json);
        return;
    }
    if (json)
        http_reply_json(call->req, 200, json);
    else
        http_reply_problem(call->req, 404, NULL, absent);
}

void rest_pipelines(struct call *call)
{
    const char *after = http_req_query(call->req, "cursor");
    struct sqlite_db *db;
    int64_t limit;

    if (!str_empty(after) && !str_is_name(after)) {
        http_reply_problem(call->req, 400, NULL, "cursor must be the `next` of the page before");
        return;
    }
    if (!query_limit(call, PIPELINES_DEFAULT, PIPELINES_MAX, &limit) || !(db = reader_begin(call)))
        return;
    reply_read(call, db, read_pipelines(db, after ? after : "", limit), NULL);
}

void rest_pipeline(struct call *call)
{
    struct sqlite_db *db;
    const char *name;

    if (!param_name(call, "pipeline", &name) || !(db = reader_begin(call)))
        return;
    reply_read(call, db, read_pipeline(db, name),
               "no such pipeline; GET /api/v1/pipelines lists them");
}

/* status=failed,stopped -> bits; false having answered 400. */
static bool query_statuses(struct call *call, uint64_t *out)
{
    const char *text = http_req_query(call->req, "status");
    struct strv names = {0};
    bool good = true;

    *out = 0;
    if (!text)
        return true;
    strv_split(&names, text, ',');
    for (size_t i = 0; i < names.count && good; i++) {
        int64_t status = status_of(names.items[i]);
        good = status != 0;
        *out |= UINT64_C(1) << status;
    }
    strv_release(&names);
    if (!good)
        http_reply_problem(call->req, 400, NULL,
                           "status is one or more, with commas, of waiting, in-progress,"
                           " succeeded, failed, stopped and superseded");
    return good;
}

/* "41" of one pipeline; "1790000000000/shop/41" of all. `name` keeps what the filter points to. */
static bool read_cursor(const char *cursor, struct release_filter *filter, char name[64])
{
    struct strv parts = {0};
    bool good;

    strv_split(&parts, cursor, '/');
    if (filter->pipeline) {
        good = parts.count == 1 && str_to_i64(parts.items[0], &filter->before_number) == 0;
    } else {
        good = parts.count == 3 && str_to_i64(parts.items[0], &filter->before_ms) == 0 &&
               str_is_name(parts.items[1]) &&
               str_to_i64(parts.items[2], &filter->before_number) == 0;
        if (good)
            snprintf(name, 64, "%s", parts.items[1]);
        filter->after_pipeline = name;
    }
    strv_release(&parts);
    return good;
}

static void reply_releases(struct call *call, const char *pipeline)
{
    struct release_filter filter = {.pipeline = pipeline,
                                    .before_number = INT64_MAX,
                                    .before_ms = INT64_MAX,
                                    .after_pipeline = ""};
    const char *cursor = http_req_query(call->req, "cursor");
    struct sqlite_db *db;
    char name[64];

    if (!str_empty(cursor) && !read_cursor(cursor, &filter, name)) {
        http_reply_problem(call->req, 400, NULL, "cursor must be the `next` of the page before");
        return;
    }
    if (!query_limit(call, RELEASES_DEFAULT, RELEASES_MAX, &filter.limit) ||
        !query_statuses(call, &filter.statuses) || !(db = reader_begin(call)))
        return;
    if (pipeline &&
        sqlite_select_int(db, 0, "SELECT 1 FROM pipelines WHERE name = ?", SQL_TEXT(pipeline)) != 1)
        reply_read(call, db, NULL, "no such pipeline; GET /api/v1/pipelines lists them");
    else
        reply_read(call, db, read_releases(db, &filter), NULL);
}

void rest_releases(struct call *call)
{
    const char *name;

    if (param_name(call, "pipeline", &name))
        reply_releases(call, name);
}

void rest_all_releases(struct call *call)
{
    reply_releases(call, NULL);
}

void rest_release(struct call *call)
{
    struct sqlite_db *db;
    const char *name;
    uint64_t number;

    if (!param_name(call, "pipeline", &name) || !param_number(call, "release", &number) ||
        !(db = reader_begin(call)))
        return;
    reply_read(call, db, read_release(db, name, number),
               "no such release; GET /api/v1/pipelines/{pipeline}/releases lists them");
}

void rest_report_trend(struct call *call)
{
    struct sqlite_db *db;
    const char *name;
    int64_t limit;

    if (!param_name(call, "pipeline", &name) ||
        !query_limit(call, TREND_DEFAULT, TREND_MAX, &limit) || !(db = reader_begin(call)))
        return;
    bool known =
        sqlite_select_int(db, 0, "SELECT 1 FROM pipelines WHERE name = ?", SQL_TEXT(name)) == 1;
    reply_read(call, db, known ? read_report_trend(db, name, limit) : NULL,
               "no such pipeline; GET /api/v1/pipelines lists them");
}

void rest_environments(struct call *call)
{
    struct sqlite_db *db = reader_begin(call);

    if (db)
        reply_read(call, db, read_environments(db), NULL);
}

void rest_approvals(struct call *call)
{
    const char *pipeline = http_req_query(call->req, "pipeline");
    struct sqlite_db *db = reader_begin(call);

    if (db)
        reply_read(call, db, read_open_approvals(db, pipeline), NULL);
}

void rest_search(struct call *call)
{
    const char *text = http_req_query(call->req, "q");
    struct sqlite_db *db;

    if (str_empty(text) || strlen(text) > SEARCH_TEXT_MAX || !str_is_utf8(text, strlen(text))) {
        http_reply_problem(call->req, 400, NULL,
                           "q must be 1 to 80 bytes: a pipeline's name, a release's number, the"
                           " beginning of a commit or of a digest");
        return;
    }
    if ((db = reader_begin(call)))
        reply_read(call, db, read_search(db, text, SEARCH_MAX), NULL);
}
