/* Whatever the bytes: no crash, no leak, and either a definition or problems that can be shown. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "definition/definition.h"

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
