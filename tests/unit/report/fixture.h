/* Documents as the tools write them, from fixtures/. */
#ifndef GANTRY_TESTS_REPORT_FIXTURE_H
#define GANTRY_TESTS_REPORT_FIXTURE_H

#include "base/file.h"
#include "report/report.h"
#include "tests/unit/unit.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define ROOT        "/home/build/src"

static inline void add_fixture(struct report *report, const char *name)
{
    char path[256];
    struct buf bytes;
    struct err err = {0};

    snprintf(path, sizeof(path), "tests/unit/report/fixtures/%s", name);
    if (file_read(&bytes, path, 1024 * 1024, &err) != 0)
        fail_msg("%s", err.msg);
    if (report_parse(report, name, bytes.data, bytes.len, NULL, &err) != 0)
        fail_msg("%s", err.msg);
    buf_release(&bytes);
}

static inline void add_text(struct report *report, const char *text)
{
    struct err err = {0};

    if (report_parse(report, "x.xml", text, strlen(text), NULL, &err) != 0)
        fail_msg("%s", err.msg);
}

#endif
