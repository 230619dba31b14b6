/* Whatever the bytes: no crash, no leak, and either a definition or problems that can be shown. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "definition/definition.h"

/* What the engine and the watcher do with one. */
static void use_window(const struct window *window)
{
    int64_t now_ms = 1795000000000;

    for (int i = 0; i < 4; i++) {
        int64_t next_ms = window_next_change(window, now_ms);

        if (next_ms <= now_ms)
            abort();
        if (next_ms == INT64_MAX)
            return;
        if (window_is_open(window, next_ms) == window_is_open(window, next_ms - 1))
            abort();
        now_ms = next_ms;
    }
}

static void use_pipeline(const struct def_pipeline *p)
{
    static char *const paths[] = {"docs/a.md", "src/b.c"};

    for (size_t i = 0; i < p->source_count; i++) {
        def_source_matches(&p->sources[i], "refs/tags/v1");
        def_source_wants(&p->sources[i], paths, 2, true);
    }
    for (size_t i = 0; i < p->stage_count; i++)
        for (size_t j = 0; j < p->stages[i].gate_count; j++)
            if (p->stages[i].gates[j].kind == DEF_GATE_WINDOW)
                use_window(p->stages[i].gates[j].window);
}

static void use(const struct definition *def)
{
    if (def->kind == DEF_PIPELINE)
        use_pipeline(def->pipeline);
    for (size_t i = 0; def->kind == DEF_ENVIRONMENT && i < def->environment->freeze_count; i++)
        use_window(def->environment->freezes[i].window);
}

static int parse(const char *doc, size_t len, int first_line, void *arg, struct err *err)
{
    struct def_problems problems = {0};
    struct definition *def = NULL;
    struct err own = {0};
    struct buf text;

    (void)arg;
    (void)err;
    if (first_line < 1)
        abort();
    if (definition_parse(&def, doc, len, &problems, &own) < 0) {
        if (def || problems.count == 0 || own.code != ERR_INVALID)
            abort();
        for (size_t i = 0; i < problems.count; i++)
            if (problems.items[i].line < 1 || !problems.items[i].reason[0])
                abort();
        buf_init(&text, 1 << 20);
        def_problems_print(&problems, "f", &text);
        if (!str_is_utf8(buf_cstr(&text), text.len))
            abort();
        buf_release(&text);
    } else if (!def || problems.count != 0 || !str_is_name(def->name)) {
        abort();
    } else {
        use(def);
    }
    def_problems_release(&problems);
    definition_free(def);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct err err = {0};

    if (definition_split(data, len, parse, NULL, &err) < 0)
        abort();
    parse((const char *)data, len, 1, NULL, NULL);
    return 0;
}
