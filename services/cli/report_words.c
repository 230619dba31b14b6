/* What a run said of tests or coverage, in a line. */
#include <jansson.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "services/cli/cli.h"

static void put_count(struct buf *out, const json_t *counts, const char *key)
{
    if (jnum(counts, key))
        buf_addf(out, ", %lld %s", (long long)jnum(counts, key), key);
}

static void put_counts(struct buf *out, const json_t *counts, int64_t duration_ms)
{
    char took[32];

    if (!jnum(counts, "total")) {
        buf_adds(out, "no tests");
        return;
    }
    buf_addf(out, "%lld of %lld passed", (long long)jnum(counts, "passed"),
             (long long)jnum(counts, "total"));
    put_count(out, counts, "failed");
    put_count(out, counts, "errored");
    put_count(out, counts, "skipped");
    put_count(out, counts, "unknown");
    put_count(out, counts, "flaky");
    clock_human(duration_ms, took);
    buf_addf(out, ", %s", took);
}

/* Rounded down: all is covered only where nothing was missed. */
static void put_share(struct buf *out, int64_t covered, int64_t missed, const char *of)
{
    long long tenths = (long long)((double)covered / (double)(covered + missed) * 1000);

    buf_addf(out, "%lld.%lld %% of %lld %s", tenths / 10, tenths % 10,
             (long long)(covered + missed), of);
}

static void put_coverage(struct buf *out, const json_t *coverage)
{
    int64_t lines = jnum(coverage, "linesCovered"), no_lines = jnum(coverage, "linesMissed");
    int64_t ways = jnum(coverage, "branchesCovered"), no_ways = jnum(coverage, "branchesMissed");

    if (lines + no_lines > 0)
        put_share(out, lines, no_lines, "lines");
    else
        buf_adds(out, "no lines");
    if (ways + no_ways > 0) {
        buf_adds(out, ", ");
        put_share(out, ways, no_ways, "branches");
    }
}

const char *report_words(const json_t *report, struct buf *out)
{
    const json_t *counts = jget(report, "counts"), *coverage = jget(report, "coverage");
    int64_t problems = jnum(report, "problems");

    buf_addf(out, "%s: ", jstr(report, "group"));
    if (counts)
        put_counts(out, counts, jnum(report, "durationMs"));
    else if (coverage)
        put_coverage(out, coverage);
    if (problems)
        buf_addf(out, "; incomplete: %s", jstr(report, "problem"));
    if (problems > 1)
        buf_addf(out, " (and %lld more)", (long long)problems - 1);
    disarm_words(out);
    if (problems || jnum(counts, "failed") || jnum(counts, "errored"))
        return "bad";
    return NULL;
}
