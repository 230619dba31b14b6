/* Reports as a Finished tells them: bounded to what every reader of the results accepts. */
#ifndef GANTRY_REPORT_TELL_H
#define GANTRY_REPORT_TELL_H

#include <stddef.h>

#include "report/report.h"

#define REPORT_GROUPS_MAX 20

typedef struct Gantry__V1__Finished Gantry__V1__Finished;

struct report_group {
    const char *name; /* in the buildspec */
    const struct report *report;
};

/* Sets finished->reports, in the order of the groups; those beyond REPORT_GROUPS_MAX are left out.
 * The counts are whole; of failures, slow cases and files there are as many as fit into
 * EVENT_REPORTS_MAX, each group in turn. Released with report_untell() once `finished` is told. */
void report_tell(Gantry__V1__Finished *finished, const struct report_group *groups, size_t count);
void report_untell(Gantry__V1__Finished *finished);

#endif
