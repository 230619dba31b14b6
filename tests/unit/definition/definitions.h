/* Pieces of definitions, with the lines they take, so that a table's row shows what matters. */
#ifndef GANTRY_TESTS_DEFINITIONS_H
#define GANTRY_TESTS_DEFINITIONS_H

#include "definition/definition.h"
#include "tests/unit/unit.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

#define HEAD(kind)                                                                                 \
    "apiVersion: gantry/v1\nkind: " kind "\nmetadata: {name: shop}\nspec:\n" /* 1-4 */
#define SOURCES                                                                                    \
    "  sources:\n"                                                                                 \
    "    - {name: app, git: https://git.example/shop.git, branches: [main]}\n" /* 5-6 */
#define STAGES "  stages:\n"                                                   /* 7 */
#define BUILD                                                                                      \
    "    - name: build\n"                                                                          \
    "      steps:\n"                                                                               \
    "        - build: {name: image, image: registry.example/acme/shop}\n" /* 8-10 */
/* A pipeline whose last stage begins in line 11. */
#define AFTER_BUILD HEAD("Pipeline") SOURCES STAGES BUILD

static inline struct definition *parsed(const char *yaml)
{
    struct def_problems problems = {0};
    struct definition *def;
    struct err err = {0};

    if (definition_parse(&def, yaml, strlen(yaml), &problems, &err) < 0)
        fail_msg("%s\n%s", err.msg, yaml);
    assert_int_equal(problems.count, 0);
    return def;
}

/* One rule of the language broken. */
struct refusal {
    const char *yaml;
    int line;
    const char *path;
    const char *reason; /* or a part of it */
};

/* The word that the reason asks about stands beside it. Of windows the calendar tells the reason
 * alone. */
static inline void assert_nearest(const struct def_problem *problem)
{
    static const char asks[] = "did you mean ";
    const char *meant = strstr(problem->reason, asks);
    char question[160] = "";

    if (meant && strstr(problem->path, "window"))
        return;
    meant = meant ? meant + strlen(asks) : "";
    if (*problem->nearest)
        snprintf(question, sizeof(question), *meant == '{' ? "{{%s}}?" : "'%s'?", problem->nearest);
    assert_string_equal(meant, question);
}

static inline void assert_refused(const struct refusal *row)
{
    struct def_problems problems = {0};
    struct definition *def = (void *)1;
    struct err err = {0};

    if (definition_parse(&def, row->yaml, strlen(row->yaml), &problems, &err) == 0)
        fail_msg("taken, though %s:\n%s", row->reason, row->yaml);
    assert_null(def);
    assert_int_equal(err.code, ERR_INVALID);
    if (problems.count != 1 || problems.items[0].line != row->line ||
        strcmp(problems.items[0].path, row->path) != 0 ||
        !strstr(problems.items[0].reason, row->reason)) {
        struct buf out;

        buf_init(&out, 100000);
        def_problems_print(&problems, "got", &out);
        fail_msg("%s\nwanted:%d: %s: %s\n%s", row->yaml, row->line, row->path, row->reason,
                 buf_cstr(&out));
    }
    assert_nearest(&problems.items[0]);
    def_problems_release(&problems);
}

#endif
