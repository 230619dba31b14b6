/* Tables of buildspecs, a row a rule: what is wrong with each, whole and in order. */
#ifndef GANTRY_TESTS_UNIT_BUILDSPEC_CHECK_H
#define GANTRY_TESTS_UNIT_BUILDSPEC_CHECK_H

#include "buildspec/buildspec.h"
#include "tests/unit/unit.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* What makes a whole buildspec of a section. */
#define HEAD  "version: 0.2\n"
#define BUILD "phases: {build: {commands: make}}\n"

struct row {
    const char *yaml;
    const char *says; /* "2:7: error: env: ..." each in a line of its own; "": nothing */
};

static inline void read_problems(const struct buildspec_problems *problems, struct buf *out)
{
    for (size_t i = 0; i < problems->count; i++) {
        if (out->len)
            buf_addc(out, '\n');
        buildspec_problem_text(&problems->items[i], "f", out);
    }
}

static inline void check_row(const struct row *row)
{
    struct buildspec *spec = NULL;
    struct buildspec_problems problems = {0};
    struct err err = {0};
    struct buf said, expected;
    bool error = false;
    int rc = buildspec_parse(&spec, row->yaml, strlen(row->yaml), &problems, &err);

    buf_init(&said, 64 * 1024);
    buf_init(&expected, 64 * 1024);
    read_problems(&problems, &said);
    for (const char *p = row->says; *p;) {
        size_t len = strcspn(p, "\n");

        buf_addf(&expected, "%sf:%.*s", expected.len ? "\n" : "", (int)len, p);
        p += len + (p[len] == '\n');
    }
    if (strcmp(buf_cstr(&said), buf_cstr(&expected)) != 0)
        fail_msg("of\n%s\nit says\n%s\nand not\n%s", row->yaml, buf_cstr(&said),
                 buf_cstr(&expected));
    for (size_t i = 0; i < problems.count; i++)
        error = error || problems.items[i].error;
    assert_int_equal(rc, error ? -1 : 0);
    assert_int_equal(err.code, error ? ERR_INVALID : ERR_NONE);
    buf_release(&said);
    buf_release(&expected);
    buildspec_problems_release(&problems);
    if (rc == 0)
        buildspec_free(spec);
}

static inline void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        check_row(&rows[i]);
}

/* One that has no errors. */
static inline struct buildspec *parse(const char *yaml)
{
    struct buildspec *spec = NULL;
    struct err err = {0};

    if (buildspec_parse(&spec, yaml, strlen(yaml), NULL, &err) < 0)
        fail_msg("%s", err.msg);
    return spec;
}

static inline void assert_texts(const struct strv *list, const char *expected)
{
    struct buf text;

    buf_init(&text, 64 * 1024);
    for (size_t i = 0; i < list->count; i++)
        buf_addf(&text, "%s%s", i ? "|" : "", list->items[i]);
    assert_string_equal(buf_cstr(&text), expected);
    buf_release(&text);
}

#endif
