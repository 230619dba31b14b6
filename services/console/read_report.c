/* What builds said of their tests and their coverage: with a run, and over a pipeline's releases.
 */
#include <string.h>

#include "base/str.h"
#include "gantry/v1/result.pb-c.h"
#include "services/console/read.h"

static void put_number(json_t *object, const char *key, uint64_t n)
{
    json_object_set_new(object, key, json_integer((json_int_t)n));
}

static void put_some(json_t *object, const char *key, const char *text)
{
    if (!str_empty(text))
        json_object_set_new(object, key, json_string(text));
}

/* `part` of `whole`, from 0 to 1; left out where there is nothing to be a part of. */
static void put_rate(json_t *object, const char *key, uint64_t part, uint64_t whole)
{
    if (whole)
        json_object_set_new(object, key, json_real((double)part / (double)whole));
}

static json_t *counts_json(const Gantry__V1__TestCounts *counts)
{
    json_t *out = json_object();

    put_number(out, "total", counts->total);
    put_number(out, "passed", counts->passed);
    put_number(out, "failed", counts->failed);
    put_number(out, "errored", counts->errored);
    put_number(out, "skipped", counts->skipped);
    put_number(out, "unknown", counts->unknown);
    put_number(out, "flaky", counts->flaky);
    put_rate(out, "passRate", counts->passed, counts->total - counts->skipped);
    return out;
}

static json_t *coverage_json(const Gantry__V1__Coverage *coverage)
{
    json_t *out = json_object();

    put_number(out, "linesCovered", coverage->lines_covered);
    put_number(out, "linesMissed", coverage->lines_missed);
    put_number(out, "branchesCovered", coverage->branches_covered);
    put_number(out, "branchesMissed", coverage->branches_missed);
    put_rate(out, "lineRate", coverage->lines_covered,
             coverage->lines_covered + coverage->lines_missed);
    put_rate(out, "branchRate", coverage->branches_covered,
             coverage->branches_covered + coverage->branches_missed);
    return out;
}

static const char *kind_name(int64_t kind)
{
    return kind == GANTRY__V1__REPORT_KIND__REPORT_KIND_COVERAGE ? "coverage" : "test";
}

static json_t *failure_json(const Gantry__V1__TestFailure *failure)
{
    json_t *out = json_object();

    put_some(out, "suite", failure->suite);
    put_some(out, "name", failure->name);
    put_some(out, "message", failure->message);
    put_some(out, "file", failure->file);
    if (failure->errored)
        json_object_set_new(out, "errored", json_true());
    return out;
}

static json_t *time_json(const Gantry__V1__TestTime *slow)
{
    json_t *out = json_object();

    put_some(out, "suite", slow->suite);
    put_some(out, "name", slow->name);
    put_number(out, "durationMs", (uint64_t)slow->duration_ms);
    return out;
}

static void put_details(json_t *out, const Gantry__V1__TestReport *report)
{
    json_t *failures = json_array(), *slowest = json_array(), *worst = json_array();

    for (size_t i = 0; i < report->n_failures; i++)
        json_array_append_new(failures, failure_json(report->failures[i]));
    for (size_t i = 0; i < report->n_slowest; i++)
        json_array_append_new(slowest, time_json(report->slowest[i]));
    for (size_t i = 0; i < report->n_worst; i++) {
        json_t *file = coverage_json(report->worst[i]->coverage);
        json_object_set_new(file, "path", json_string(report->worst[i]->path));
        json_array_append_new(worst, file);
    }
    json_object_set_new(out, "failures", failures);
    json_object_set_new(out, "slowest", slowest);
    json_object_set_new(out, "worst", worst);
}

static json_t *report_json(const Gantry__V1__TestReport *report, bool details)
{
    json_t *out = json_object();

    put_some(out, "group", report->group);
    put_some(out, "format", report->format);
    json_object_set_new(out, "kind", json_string(kind_name((int64_t)report->kind)));
    put_number(out, "files", report->files);
    if (report->counts) {
        json_object_set_new(out, "counts", counts_json(report->counts));
        put_number(out, "durationMs", (uint64_t)report->duration_ms);
    }
    if (report->coverage)
        json_object_set_new(out, "coverage", coverage_json(report->coverage));
    put_number(out, "problems", report->problems);
    put_some(out, "problem", report->problem);
    if (details)
        put_details(out, report);
    return out;
}

json_t *read_reports(const Gantry__V1__Finished *finished, bool details)
{
    json_t *list = json_array();

    for (size_t i = 0; i < finished->n_reports; i++)
        json_array_append_new(list, report_json(finished->reports[i], details));
    return list;
}

/* ---- over releases ---- */

static json_t *point_json(const struct sqlite_rows *rows)
{
    json_t *point = json_object();
    Gantry__V1__TestCounts counts = GANTRY__V1__TEST_COUNTS__INIT;
    Gantry__V1__Coverage coverage = GANTRY__V1__COVERAGE__INIT;

    put_int(point, "release", rows, 5);
    put_text(point, "runId", rows, 6);
    put_int(point, "endedMs", rows, 7);
    put_int(point, "problems", rows, 8);
    if (sqlite_int(rows, 4) == GANTRY__V1__REPORT_KIND__REPORT_KIND_COVERAGE) {
        coverage.lines_covered = (uint64_t)sqlite_int(rows, 9);
        coverage.lines_missed = (uint64_t)sqlite_int(rows, 10);
        coverage.branches_covered = (uint64_t)sqlite_int(rows, 11);
        coverage.branches_missed = (uint64_t)sqlite_int(rows, 12);
        json_object_set_new(point, "coverage", coverage_json(&coverage));
        return point;
    }
    counts.total = (uint64_t)sqlite_int(rows, 9);
    counts.passed = (uint64_t)sqlite_int(rows, 10);
    counts.failed = (uint64_t)sqlite_int(rows, 11);
    counts.errored = (uint64_t)sqlite_int(rows, 12);
    counts.skipped = (uint64_t)sqlite_int(rows, 13);
    counts.unknown = (uint64_t)sqlite_int(rows, 14);
    counts.flaky = (uint64_t)sqlite_int(rows, 15);
    json_object_set_new(point, "counts", counts_json(&counts));
    put_int(point, "durationMs", rows, 16);
    return point;
}

static bool is_of(const json_t *group, const struct sqlite_rows *rows)
{
    static const char *const keys[] = {"stage", "action", "group", "format"};

    for (int i = 0; i < 4; i++) {
        if (!str_eq(json_string_value(json_object_get(group, keys[i])), sqlite_text(rows, i)))
            return false;
    }
    return true;
}

static json_t *group_new(const struct sqlite_rows *rows)
{
    json_t *group = json_object();

    put_text(group, "stage", rows, 0);
    put_text(group, "action", rows, 1);
    put_text(group, "group", rows, 2);
    put_text(group, "format", rows, 3);
    json_object_set_new(group, "kind", json_string(kind_name(sqlite_int(rows, 4))));
    json_object_set_new(group, "releases", json_array());
    return group;
}

/* Of a release that ran the action several times, the last run is the one that counts. */
static void add_point(json_t *releases, json_t *point)
{
    size_t count = json_array_size(releases);
    const json_t *last = count ? json_array_get(releases, count - 1) : NULL;

    if (last && json_integer_value(json_object_get(last, "release")) ==
                    json_integer_value(json_object_get(point, "release")))
        json_array_set_new(releases, count - 1, point);
    else
        json_array_append_new(releases, point);
}

json_t *read_report_trend(struct sqlite_db *db, const char *pipeline, int64_t limit)
{
    json_t *groups = json_array(), *group = NULL;

    struct sqlite_rows *rows = sqlite_select(
        db,
        "SELECT stage, action, group_name, format, kind, release, run_id, ended_ms, problems, n1,"
        " n2, n3, n4, n5, n6, n7, duration_ms FROM reports WHERE pipeline = ?1 AND release IN"
        " (SELECT DISTINCT release FROM reports WHERE pipeline = ?1 ORDER BY release DESC LIMIT ?2)"
        " ORDER BY stage, action, group_name, format, release, ended_ms",
        SQL_TEXT(pipeline), SQL_INT(limit));
    while (sqlite_next(rows)) {
        if (!group || !is_of(group, rows)) {
            group = group_new(rows);
            json_array_append_new(groups, group);
        }
        add_point(json_object_get(group, "releases"), point_json(rows));
    }
    sqlite_rows_end(rows);
    return json_pack("{s:o}", "groups", groups);
}
