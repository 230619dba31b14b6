/* What is kept of a run, and what it took, in a line each. */
#include <jansson.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "services/cli/cli.h"

static void put_size(struct buf *out, int64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    double size = (double)bytes / 1024;
    size_t unit = 0;

    if (bytes < 1024) {
        buf_addf(out, "%lld bytes", (long long)bytes);
        return;
    }
    for (; size >= 1024 && unit < 3; unit++)
        size /= 1024;
    buf_addf(out, "%.1f %s", size, units[unit]);
}

void kept_words(const json_t *file, struct buf *out)
{
    buf_addf(out, "%s: ", jstr(file, "name"));
    kept_size_words(file, out);
    disarm_words(out);
}

void kept_size_words(const json_t *file, struct buf *out)
{
    int64_t entries = jnum(file, "entries");

    if (entries)
        buf_addf(out, "%lld file%s, ", (long long)entries, entries == 1 ? "" : "s");
    put_size(out, jnum(file, "sizeBytes"));
}

void usage_words(const json_t *usage, struct buf *out)
{
    char took[32];

    if (!jnum(usage, "buildMs"))
        return;
    clock_human(jnum(usage, "buildMs"), took);
    buf_addf(out, "took %s", took);
    if (jnum(usage, "cpuMs")) {
        clock_human(jnum(usage, "cpuMs"), took);
        buf_addf(out, ", %s of CPU", took);
    }
    if (jnum(usage, "memoryPeakBytes")) {
        buf_adds(out, ", ");
        put_size(out, jnum(usage, "memoryPeakBytes"));
        buf_adds(out, " of memory at most");
    }
    if (jnum(usage, "bytesIn")) {
        buf_adds(out, ", ");
        put_size(out, jnum(usage, "bytesIn"));
        buf_adds(out, " in");
    }
    if (jnum(usage, "bytesOut")) {
        buf_adds(out, ", ");
        put_size(out, jnum(usage, "bytesOut"));
        buf_adds(out, " out");
    }
}
