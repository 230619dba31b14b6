/* What the readers of the formats share. Each reader takes a whole document into `struct reading`
 * and returns 0, or -1 with the reason, which names the line, in *err. */
#ifndef GANTRY_REPORT_READ_H
#define GANTRY_REPORT_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "report/cover.h"
#include "report/report.h"

struct reading {
    struct report *report; /* of this document alone */
    const char *name;
    const char *bytes;
    size_t len;
    struct report_limits limits;
    size_t cases_before; /* of the group's other files */
    struct err *err;
};

int junit_read(struct reading *in);
int nunit_read(struct reading *in); /* both versions: in->report->format */
int testng_read(struct reading *in);
int trx_read(struct reading *in);
int clover_read(struct reading *in);
int cobertura_read(struct reading *in);
int jacoco_read(struct reading *in);
int cucumber_read(struct reading *in);
int simplecov_read(struct reading *in);

/* What the document may still add to the group's coverage. */
struct cover_bounds read_bounds(const struct reading *in);

/* ---- cases (report.c) ---- */

enum outcome { OUTCOME_PASSED, OUTCOME_FAILED, OUTCOME_ERRORED, OUTCOME_SKIPPED, OUTCOME_UNKNOWN };

/* NULL: "". Cleaned and cut by whoever keeps them. */
struct test_case {
    enum outcome outcome;
    bool flaky;
    int64_t duration_ms;
    const char *suite, *name, *message, *file;
};
/* -1 with ERR_LIMIT: too many. */
int report_add_case(struct reading *in, const struct test_case *c);
bool report_has_failed(const struct report *report);

/* ---- texts (text.c) ---- */

/* The caller's: UTF-8, of at most `max` bytes, without escape sequences and control characters but
 * newline and tab, without blanks around it. NULL gives "". */
char *text_clean(const char *text, size_t max);
/* The same of what is told: with all that the report's mask hides hidden, then cut to `max`. */
char *text_keep(const struct report *report, const char *text, size_t max);
/* The same as a value, for a reason: "%s", text_shown(report, text).text */
struct text_shown {
    char text[48];
};
struct text_shown text_shown(const struct report *report, const char *text);
#define TEXT_KEEP_MAX (16 * 1024) /* bytes that are looked at; what cuts before cuts behind it */
/* What failed and where, for people: `text` where it holds the message, else both. The caller's. */
char *text_message(const char *message, const char *text);
/* "src/a.c" and "12" -> "src/a.c:12"; the caller's. Either may be NULL. */
char *text_place(const char *file, const char *line);
/* "0.016", "1,234.5", "0,016" (a comma before other than three digits is a decimal one) -> ms;
 * 0 where it is no time. */
int64_t text_seconds(const char *text);
int64_t seconds_to_ms(double seconds);
/* ".NET's [d.]hh:mm:ss[.fffffff]" -> ms; 0 where it is none. */
int64_t text_timespan(const char *text);

#endif
