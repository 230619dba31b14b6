#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "report/xml.h"

struct cobertura {
    struct cover_file *file;
    size_t class_depth;
    struct report_coverage whole; /* of the root: counts where no line is told */
    bool lines;
    struct cover_bounds bounds;
};

static bool take_pair(struct xml *xml, const char *const *attributes, const char *covered,
                      const char *valid, uint64_t *hit, uint64_t *missed)
{
    uint64_t total;

    if (!xml_number_or_0(xml, attributes, covered, hit) ||
        !xml_number_or_0(xml, attributes, valid, &total))
        return false;
    if (*hit > total) {
        xml_fail(xml, ERR_INVALID, "<coverage> has more %s than %s", covered, valid);
        return false;
    }
    *missed = total - *hit;
    return true;
}

static void take_root(struct xml *xml, struct cobertura *c, const char *const *attributes)
{
    if (xml_attribute(attributes, "clover") ||
        (xml_attribute(attributes, "generated") && !xml_attribute(attributes, "line-rate"))) {
        xml_fail(xml, ERR_INVALID, "is Clover's; file-format for it is CLOVERXML");
        return;
    }
    if (take_pair(xml, attributes, "lines-covered", "lines-valid", &c->whole.lines_covered,
                  &c->whole.lines_missed))
        take_pair(xml, attributes, "branches-covered", "branches-valid", &c->whole.branches_covered,
                  &c->whole.branches_missed);
}

static void open_class(struct xml *xml, struct cobertura *c, const char *const *attributes)
{
    struct reading *in = xml_in(xml);
    const char *path = xml_attribute(attributes, "filename");

    if (str_empty(path)) {
        xml_fail(xml, ERR_INVALID, "<class> has no filename");
        return;
    }
    c->file = cover_file(in->report->cover, in->report->root, path, &c->bounds, in->err);
    c->class_depth = xml_depth(xml);
    if (!c->file)
        xml_fail_err(xml);
}

/* condition-coverage="50% (1/2)" */
static bool take_condition(struct xml *xml, const char *text, uint64_t *covered, uint64_t *total)
{
    unsigned long long hit, all;
    const char *open = strchr(text, '(');

    if (!open || sscanf(open, "(%18llu/%18llu)", &hit, &all) != 2 || hit > all) {
        xml_fail(xml, ERR_INVALID, "condition-coverage=\"%s\" is not like \"50%% (1/2)\"",
                 text_shown(xml_in(xml)->report, text).text);
        return false;
    }
    *covered = hit;
    *total = all;
    return true;
}

static void take_line(struct xml *xml, struct cobertura *c, const char *const *attributes)
{
    struct reading *in = xml_in(xml);
    const char *hits = xml_attribute(attributes, "hits");
    const char *condition = xml_attribute(attributes, "condition-coverage");
    uint64_t number, covered, total;
    double times;

    if (!xml_number(xml, attributes, "number", &number))
        return;
    if (!hits || str_to_double(hits, &times) != 0) {
        xml_fail(xml, ERR_INVALID, "<line> has hits=\"%s\", which is no count",
                 text_shown(in->report, hits).text);
        return;
    }
    c->lines = true;
    if (cover_line(in->report->cover, c->file, number, times > 0, &c->bounds, in->err) != 0) {
        xml_fail_err(xml);
        return;
    }
    if (!condition || !take_condition(xml, condition, &covered, &total))
        return;
    if (cover_branches(in->report->cover, c->file, number, covered, total, &c->bounds, in->err))
        xml_fail_err(xml);
}

static void on_open(struct xml *xml, const char *name, const char *const *attributes)
{
    struct cobertura *c = xml_state(xml);

    if (xml_depth(xml) == 1)
        take_root(xml, c, attributes);
    else if (xml_is(name, "class") && !c->class_depth)
        open_class(xml, c, attributes);
    else if (xml_is(name, "line") && c->class_depth) /* of a method, and again of its class */
        take_line(xml, c, attributes);
}

static void on_close(struct xml *xml, const char *name)
{
    struct cobertura *c = xml_state(xml);

    (void)name;
    if (c->class_depth == xml_depth(xml))
        c->class_depth = 0;
}

int cobertura_read(struct reading *in)
{
    static const char *const roots[] = {"coverage", NULL};
    static const struct xml_reader reader = {roots, on_open, on_close};
    struct cobertura c = {.bounds = read_bounds(in)};
    int rc = xml_read(in, &reader, &c);

    if (rc == 0 && !c.lines && c.whole.lines_covered + c.whole.lines_missed > 0) {
        struct cover_file *all = cover_file(in->report->cover, NULL, in->name, &c.bounds, in->err);
        if (!all)
            return err_wrap(in->err, "%s", in->name);
        all->whole = c.whole;
    }
    return rc;
}
