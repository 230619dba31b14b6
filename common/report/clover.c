/* A <line> of type `stmt` or `cond` is a line of code, one of type `method` a declaration. The
 * branches are those that the file's own <metrics> count: in a `cond` line OpenClover says how
 * often each outcome was seen, Istanbul how many of the line's branches were and how many were not.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "report/xml.h"

struct clover {
    char *package;
    size_t test_depth; /* inside <testproject>: the tests' own code */
    struct cover_file *file;
    size_t file_depth;
    struct cover_bounds bounds;
};

static void open_file(struct xml *xml, struct clover *c, const char *const *attributes)
{
    struct reading *in = xml_in(xml);
    const char *name = xml_attribute(attributes, "name");
    const char *path = xml_attribute(attributes, "path");
    char *made = NULL;

    if (str_empty(path) && str_empty(name)) {
        xml_fail(xml, ERR_INVALID, "<file> has neither path nor name");
        return;
    }
    if (str_empty(path) && !strchr(name, '/') && !str_empty(c->package)) {
        made = mem_printf("%s/%s", c->package, name);
        for (char *p = made; *p && p < made + strlen(c->package); p++) {
            if (*p == '.')
                *p = '/';
        }
    }
    if (str_empty(path))
        path = made ? made : name;
    c->file = cover_file(in->report->cover, in->report->root, path, &c->bounds, in->err);
    c->file_depth = xml_depth(xml);
    if (!c->file)
        xml_fail_err(xml);
    free(made);
}

/* `covered` of `all`; false, having failed, where that cannot be. */
static bool take_pair(struct xml *xml, const char *const *attributes, const char *all,
                      const char *covered, uint64_t *hit, uint64_t *missed)
{
    uint64_t total;

    if (!xml_number_or_0(xml, attributes, all, &total) ||
        !xml_number_or_0(xml, attributes, covered, hit))
        return false;
    if (*hit > total) {
        xml_fail(xml, ERR_INVALID, "<metrics> has more %s than %s", covered, all);
        return false;
    }
    *missed = total - *hit;
    return true;
}

static void take_metrics(struct xml *xml, struct clover *c, const char *const *attributes)
{
    struct report_coverage *whole = &c->file->whole;

    if (take_pair(xml, attributes, "statements", "coveredstatements", &whole->lines_covered,
                  &whole->lines_missed))
        take_pair(xml, attributes, "conditionals", "coveredconditionals", &whole->branches_covered,
                  &whole->branches_missed);
}

static void take_line(struct xml *xml, struct clover *c, const char *const *attributes)
{
    struct reading *in = xml_in(xml);
    const char *type = xml_attribute(attributes, "type");
    bool condition = str_eq(type, "cond");
    uint64_t number, count, yes, no;

    if (!xml_number(xml, attributes, "num", &number) ||
        !xml_number_or_0(xml, attributes, "count", &count) ||
        !xml_number_or_0(xml, attributes, "truecount", &yes) ||
        !xml_number_or_0(xml, attributes, "falsecount", &no))
        return;
    if (!condition && !str_eq(type, "stmt"))
        return;
    bool counted = xml_attribute(attributes, "count") != NULL;
    bool hit = counted ? count > 0 : yes > 0 || no > 0;
    if (cover_line(in->report->cover, c->file, number, hit, &c->bounds, in->err) != 0)
        xml_fail_err(xml);
}

static void on_open(struct xml *xml, const char *name, const char *const *attributes)
{
    struct clover *c = xml_state(xml);

    if (c->test_depth)
        return;
    if (xml_is(name, "testproject")) {
        c->test_depth = xml_depth(xml);
    } else if (xml_is(name, "package")) {
        free(c->package);
        c->package = mem_strdup(xml_attribute(attributes, "name"));
    } else if (xml_is(name, "file") && !c->file_depth) {
        open_file(xml, c, attributes);
    } else if (c->file_depth && xml_is(name, "metrics") && xml_depth(xml) == c->file_depth + 1) {
        take_metrics(xml, c, attributes);
    } else if (c->file_depth && xml_is(name, "line")) {
        take_line(xml, c, attributes);
    }
}

static void on_close(struct xml *xml, const char *name)
{
    struct clover *c = xml_state(xml);

    if (c->test_depth == xml_depth(xml))
        c->test_depth = 0;
    if (c->file_depth == xml_depth(xml))
        c->file_depth = 0;
    if (xml_is(name, "package")) {
        free(c->package);
        c->package = NULL;
    }
}

int clover_read(struct reading *in)
{
    static const char *const roots[] = {"coverage", NULL};
    static const struct xml_reader reader = {roots, on_open, on_close};
    struct clover c = {.bounds = read_bounds(in)};
    int rc = xml_read(in, &reader, &c);

    free(c.package);
    return rc;
}
