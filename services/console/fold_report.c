#include "gantry/v1/event.pb-c.h"
#include "services/console/fold.h"

/* What lists and trends ask for; what else a report says stays in the run's `finished`. */
static void put_report(struct sqlite_db *db, const Gantry__V1__ActionEnded *ended, size_t i,
                       const char *pipeline, int64_t time_ms)
{
    const Gantry__V1__TestReport *report = ended->finished->reports[i];
    const Gantry__V1__TestCounts none = GANTRY__V1__TEST_COUNTS__INIT;
    const Gantry__V1__TestCounts *counts = report->counts ? report->counts : &none;
    const Gantry__V1__Coverage *coverage = report->coverage;

    sqlite_exec(db,
                "INSERT OR REPLACE INTO reports VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
                " ?, ?, ?, ?, ?)",
                SQL_TEXT(ended->run_id), SQL_INT(i), SQL_TEXT(pipeline), SQL_INT(ended->release),
                SQL_TEXT(ended->stage), SQL_TEXT(ended->action), SQL_INT(time_ms),
                SQL_TEXT(report->group), SQL_TEXT(report->format), SQL_INT(report->kind),
                SQL_INT(report->problems), SQL_INT(report->duration_ms),
                SQL_INT(coverage ? coverage->lines_covered : counts->total),
                SQL_INT(coverage ? coverage->lines_missed : counts->passed),
                SQL_INT(coverage ? coverage->branches_covered : counts->failed),
                SQL_INT(coverage ? coverage->branches_missed : counts->errored),
                SQL_INT(counts->skipped), SQL_INT(counts->unknown), SQL_INT(counts->flaky));
}

void fold_reports(struct sqlite_db *db, const Gantry__V1__ReleaseEvent *event)
{
    const Gantry__V1__ActionEnded *ended = event->action_ended;

    for (size_t i = 0; ended->finished && i < ended->finished->n_reports; i++)
        put_report(db, ended, i, event->pipeline, event->time_ms);
}
