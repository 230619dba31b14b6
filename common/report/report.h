/* What test and coverage tools write at the end of a build, read to counts, failures and coverage:
 * the formats of CodeBuild's `reports.<group>.file-format`. Several files of one group add up in
 * one struct report. Blocking only by the work of it: a worker thread. Pure.
 *
 *   JUNITXML          Ant's and Surefire's results (surefire-test-report.xsd), and what pytest,
 *                     GoogleTest, ctest, jest-junit, PHPUnit write after them
 *   CUCUMBERJSON      Cucumber's `json` formatter (JVM, Ruby, JavaScript; behave, godog)
 *   NUNITXML          NUnit 2's TestResult.xml (its Results.xsd)
 *   NUNIT3XML         NUnit 3's (docs.nunit.org, "Test Result XML Format")
 *   TESTNGXML         testng-results.xml (TestNG, "XML reports")
 *   VISUALSTUDIOTRX   vstst.xsd: `dotnet test --logger trx`, MSTest
 *   CLOVERXML         OpenClover's clover.xml (its clover.xsd), Istanbul, PHPUnit
 *   COBERTURAXML      coverage-04.dtd: coverage.py, gcovr, coverlet, Istanbul
 *   JACOCOXML         JaCoCo's report.dtd
 *   SIMPLECOV         SimpleCov's .resultset.json and coverage.json (not the gem simplecov-json)
 *
 * A file counts whole or not at all. One that was not written to its end is an error; so is XML
 * that declares anything in a document type, and an external one is never fetched. */
#ifndef GANTRY_REPORT_REPORT_H
#define GANTRY_REPORT_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum report_format {
    REPORT_JUNITXML = 1,
    REPORT_CUCUMBERJSON,
    REPORT_NUNITXML,
    REPORT_NUNIT3XML,
    REPORT_TESTNGXML,
    REPORT_VISUALSTUDIOTRX,
    REPORT_CLOVERXML,
    REPORT_COBERTURAXML,
    REPORT_JACOCOXML,
    REPORT_SIMPLECOV
};
enum report_kind { REPORT_TEST = 1, REPORT_COVERAGE };

/* By the buildspec's word; "" and NULL: JUNITXML. False: there is none such. */
bool report_format_of(const char *word, enum report_format *out);
const char *report_format_name(enum report_format format);
enum report_kind report_format_kind(enum report_format format);

#define REPORT_FAILURES_MAX 200  /* kept; later ones are counted only */
#define REPORT_MESSAGE_MAX  2048 /* bytes of a failure's message, cut between characters */
#define REPORT_NAME_MAX     512  /* bytes of a suite's, a case's and a file's name */
#define REPORT_SLOWEST_MAX  10
#define REPORT_WORST_MAX    100

/* What one file may be. Zero: the default. */
struct report_limits {
    size_t bytes;     /* 64 MiB */
    size_t depth;     /* 64: of elements, of JSON's lists and objects */
    size_t attribute; /* 1 MiB: of one attribute's value */
    size_t cases;     /* 500,000 tests, or files of coverage; of the whole group */
    size_t lines;     /* 4,000,000 lines and branches of coverage; of the whole group */
    size_t values;    /* 4,000,000: of JSON, a tenth of it lists and objects */
};

struct report_counts {
    uint64_t total; /* the sum of the five below */
    uint64_t passed;
    uint64_t failed;
    uint64_t errored; /* ended by something else than a check that did not hold */
    uint64_t skipped;
    uint64_t unknown; /* inconclusive, or never said */
    uint64_t flaky;   /* of those that passed: only when they were repeated */
};

/* Strings are valid UTF-8 without control characters but newline and tab, never NULL. */
struct report_failure {
    char *suite;
    char *name;
    char *message;
    char *file; /* with its line where it is known; or "" */
    bool errored;
};

struct report_time {
    char *suite;
    char *name;
    int64_t duration_ms;
};

struct report_coverage {
    uint64_t lines_covered, lines_missed;
    uint64_t branches_covered, branches_missed;
};

struct report_file {
    const char *path; /* owned by the report */
    struct report_coverage coverage;
};

struct buf;
/* Hides in texts that tests wrote what nobody shall read, before they are cut. */
struct report_mask {
    /* Adds `text` to *out, which has room for three times as much. `cut`: more followed, so an end
     * that may be the beginning of what is hidden is left out. On the thread that reads. */
    void (*hide)(const char *text, size_t len, bool cut, struct buf *out, const void *arg);
    const void *arg;
};

struct report {
    enum report_format format;
    const struct report_mask *mask; /* set it after report_init(); NULL: nothing is hidden */
    enum report_kind kind;
    unsigned files; /* read */
    struct report_counts counts;
    int64_t duration_ms;             /* of the cases together */
    struct report_failure *failures; /* in the order of the files; failed and errored */
    size_t failure_count;            /* <= REPORT_FAILURES_MAX */
    struct report_time slowest[REPORT_SLOWEST_MAX]; /* the slowest first */
    size_t slowest_count;
    struct report_coverage coverage; /* a line that several files tell of counts once */
    char *problem;                   /* of the first file that could not be read; or NULL */
    unsigned problems;
    struct cover *cover; /* what is known of each source file */
    char *root;
};

/* `root` (may be NULL): the folder, such as /home/build/src, that is taken off the front of paths.
 */
void report_init(struct report *report, enum report_format format, const char *root);
void report_release(struct report *report);

/* Adds what the file `name` holds. -1 with ERR_INVALID or ERR_LIMIT and "name:line: what is wrong":
 * *report is as it was. `limits` NULL: the defaults. */
int report_parse(struct report *report, const char *name, const void *bytes, size_t len,
                 const struct report_limits *limits, struct err *err);

/* Takes down that a file of the group could not be read: the group then has not passed. */
void report_problem(struct report *report, const struct err *err);

/* Moves all of *from, which is of the same format, into *into; *from is empty after. */
void report_merge(struct report *into, struct report *from);

/* Everything was read and nothing failed or errored. */
bool report_passed(const struct report *report);

/* The source files with the most lines missed, then by path. Returns how many. */
size_t report_worst(const struct report *report, struct report_file *out, size_t max);

#endif
