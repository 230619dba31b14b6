#include "report/tell.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "events/event.h"
#include "gantry/v1/result.pb-c.h"
#include "report/read.h"

#define FAILURES_MAX   50
#define PROBLEM_MAX    800 /* bytes: twenty groups of nothing but that fit */
#define SHORT_MESSAGE  400 /* bytes, where whole ones do not fit */
#define FIELD_OVERHEAD 6   /* a tag and a length, of what is below 2 MiB */

struct telling {
    Gantry__V1__TestReport *report;
    const struct report *from;
    struct report_file worst[REPORT_WORST_MAX];
    size_t worst_count;
};

static char *cut(const char *text, size_t max)
{
    return text_clean(text, max);
}

static Gantry__V1__Coverage *coverage_message(const struct report_coverage *from)
{
    Gantry__V1__Coverage *to = mem_alloc(sizeof(*to));

    gantry__v1__coverage__init(to);
    to->lines_covered = from->lines_covered;
    to->lines_missed = from->lines_missed;
    to->branches_covered = from->branches_covered;
    to->branches_missed = from->branches_missed;
    return to;
}

static Gantry__V1__TestCounts *counts_message(const struct report_counts *from)
{
    Gantry__V1__TestCounts *to = mem_alloc(sizeof(*to));

    gantry__v1__test_counts__init(to);
    to->total = from->total;
    to->passed = from->passed;
    to->failed = from->failed;
    to->errored = from->errored;
    to->skipped = from->skipped;
    to->unknown = from->unknown;
    to->flaky = from->flaky;
    return to;
}

static void begin(struct telling *t, const struct report_group *group)
{
    const struct report *from = group->report;
    Gantry__V1__TestReport *to = mem_alloc(sizeof(*to));

    gantry__v1__test_report__init(to);
    to->group = cut(group->name, EVENT_REPORT_NAME_MAX);
    to->format = mem_strdup(report_format_name(from->format));
    to->kind = (Gantry__V1__ReportKind)from->kind;
    to->files = from->files;
    to->duration_ms = from->duration_ms;
    to->problems = from->problems;
    to->problem = cut(from->problem, PROBLEM_MAX);
    if (from->kind == REPORT_TEST)
        to->counts = counts_message(&from->counts);
    else
        to->coverage = coverage_message(&from->coverage);
    to->failures = mem_alloc(FAILURES_MAX * sizeof(*to->failures));
    to->slowest = mem_alloc(REPORT_SLOWEST_MAX * sizeof(*to->slowest));
    to->worst = mem_alloc(REPORT_WORST_MAX * sizeof(*to->worst));
    t->report = to;
    t->from = from;
    t->worst_count = report_worst(from, t->worst, REPORT_WORST_MAX);
}

/* True, and *room smaller, where the message fits; else it is freed. */
static bool fits(void *message, size_t *room)
{
    size_t size = protobuf_c_message_get_packed_size(message) + FIELD_OVERHEAD;

    if (size > *room) {
        event_free(message);
        return false;
    }
    *room -= size;
    return true;
}

static void add_failure(struct telling *t, size_t i, size_t message_max, size_t *room)
{
    Gantry__V1__TestReport *to = t->report;

    if (i >= t->from->failure_count || to->n_failures != i)
        return;
    const struct report_failure *from = &t->from->failures[i];
    Gantry__V1__TestFailure *failure = mem_alloc(sizeof(*failure));
    gantry__v1__test_failure__init(failure);
    failure->suite = mem_strdup(from->suite);
    failure->name = mem_strdup(from->name);
    failure->message = cut(from->message, message_max);
    failure->file = mem_strdup(from->file);
    failure->errored = from->errored;
    if (fits(failure, room))
        to->failures[to->n_failures++] = failure;
}

static void add_time(struct telling *t, size_t i, size_t *room)
{
    Gantry__V1__TestReport *to = t->report;

    if (i >= t->from->slowest_count || to->n_slowest != i)
        return;
    const struct report_time *from = &t->from->slowest[i];
    Gantry__V1__TestTime *slow = mem_alloc(sizeof(*slow));
    gantry__v1__test_time__init(slow);
    slow->suite = mem_strdup(from->suite);
    slow->name = mem_strdup(from->name);
    slow->duration_ms = from->duration_ms;
    if (fits(slow, room))
        to->slowest[to->n_slowest++] = slow;
}

static void add_file(struct telling *t, size_t i, size_t *room)
{
    Gantry__V1__TestReport *to = t->report;

    if (i >= t->worst_count || to->n_worst != i)
        return;
    Gantry__V1__FileCoverage *file = mem_alloc(sizeof(*file));
    gantry__v1__file_coverage__init(file);
    file->path = mem_strdup(*t->worst[i].path ? t->worst[i].path : "?");
    file->coverage = coverage_message(&t->worst[i].coverage);
    if (fits(file, room))
        to->worst[to->n_worst++] = file;
}

/* What all failures together would take, with whole messages. */
static size_t failures_size(const struct report_group *groups, size_t count)
{
    size_t size = 0;

    for (size_t g = 0; g < count; g++) {
        const struct report *report = groups[g].report;
        for (size_t i = 0; i < report->failure_count && i < FAILURES_MAX; i++) {
            const struct report_failure *f = &report->failures[i];
            size += strlen(f->suite) + strlen(f->name) + strlen(f->message) + strlen(f->file) +
                    5 * FIELD_OVERHEAD;
        }
    }
    return size;
}

void report_tell(Gantry__V1__Finished *finished, const struct report_group *groups, size_t count)
{
    size_t room = EVENT_REPORTS_MAX;
    struct telling *all;

    count = count < REPORT_GROUPS_MAX ? count : REPORT_GROUPS_MAX;
    all = mem_alloc((count + 1) * sizeof(*all));
    finished->reports = mem_alloc((count + 1) * sizeof(*finished->reports));
    finished->n_reports = count;
    for (size_t g = 0; g < count; g++) {
        begin(&all[g], &groups[g]);
        finished->reports[g] = all[g].report;
        room -= protobuf_c_message_get_packed_size(&all[g].report->base) + FIELD_OVERHEAD;
    }
    size_t message_max = failures_size(groups, count) > room ? SHORT_MESSAGE : REPORT_MESSAGE_MAX;
    for (size_t i = 0; i < FAILURES_MAX; i++)
        for (size_t g = 0; g < count; g++)
            add_failure(&all[g], i, message_max, &room);
    for (size_t i = 0; i < REPORT_WORST_MAX; i++) {
        for (size_t g = 0; g < count; g++) {
            add_file(&all[g], i, &room);
            if (i < REPORT_SLOWEST_MAX)
                add_time(&all[g], i, &room);
        }
    }
    free(all);
}

void report_untell(Gantry__V1__Finished *finished)
{
    for (size_t i = 0; i < finished->n_reports; i++)
        event_free(finished->reports[i]);
    free(finished->reports);
    finished->reports = NULL;
    finished->n_reports = 0;
}
