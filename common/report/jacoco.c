/* <report> holds <group>s (modules) and <package>s, a package its classes and, line by line, its
 * source files. A line is covered where any of its instructions was run, as JaCoCo's own LINE
 * counter has it. Classes without debug information have no source file, only counters. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "report/xml.h"

#define GROUPS_MAX 16

struct jacoco {
    char *groups[GROUPS_MAX];
    size_t group_count;
    char *package;
    struct cover_file *file; /* of the <sourcefile> or the <class> without one */
    size_t file_depth;
    struct cover_bounds bounds;
};

static void open_file(struct xml *xml, struct jacoco *j, const char *const *attributes)
{
    struct reading *in = xml_in(xml);
    const char *name = xml_attribute(attributes, "name");
    struct buf path;

    if (str_empty(name)) {
        xml_fail(xml, ERR_INVALID, "<sourcefile> or <class> has no name");
        return;
    }
    buf_init(&path, 16 * 1024);
    for (size_t i = 0; i < j->group_count; i++)
        buf_addf(&path, "%.255s/", j->groups[i] ? j->groups[i] : "");
    if (!str_empty(j->package) && !strchr(name, '/')) /* a class has its package in its name */
        buf_addf(&path, "%.4000s/", j->package);
    buf_addf(&path, "%.4000s", name);
    j->file = cover_file(in->report->cover, in->report->root, buf_cstr(&path), &j->bounds, in->err);
    j->file_depth = xml_depth(xml);
    if (!j->file)
        xml_fail_err(xml);
    buf_release(&path);
}

static void open_group(struct xml *xml, struct jacoco *j, const char *const *attributes)
{
    if (j->group_count == GROUPS_MAX)
        xml_fail(xml, ERR_LIMIT, "groups stand more than %d deep", GROUPS_MAX);
    else
        j->groups[j->group_count++] = mem_strdup(xml_attribute(attributes, "name"));
}

static void take_line(struct xml *xml, struct jacoco *j, const char *const *attributes)
{
    struct reading *in = xml_in(xml);
    struct cover *cover = in->report->cover;
    uint64_t number, instructions, missed_branches, branches;

    if (!xml_number(xml, attributes, "nr", &number) ||
        !xml_number(xml, attributes, "ci", &instructions) ||
        !xml_number_or_0(xml, attributes, "mb", &missed_branches) ||
        !xml_number_or_0(xml, attributes, "cb", &branches))
        return;
    if (cover_line(cover, j->file, number, instructions > 0, &j->bounds, in->err) != 0 ||
        cover_branches(cover, j->file, number, branches, branches + missed_branches, &j->bounds,
                       in->err) != 0)
        xml_fail_err(xml);
}

static void take_counter(struct xml *xml, struct jacoco *j, const char *const *attributes)
{
    const char *type = xml_attribute(attributes, "type");
    struct report_coverage *whole = &j->file->whole;
    uint64_t covered, missed;

    if (!xml_number(xml, attributes, "covered", &covered) ||
        !xml_number(xml, attributes, "missed", &missed))
        return;
    if (str_eq(type, "LINE")) {
        whole->lines_covered = covered;
        whole->lines_missed = missed;
    } else if (str_eq(type, "BRANCH")) {
        whole->branches_covered = covered;
        whole->branches_missed = missed;
    }
}

static void on_open(struct xml *xml, const char *name, const char *const *attributes)
{
    struct jacoco *j = xml_state(xml);

    if (xml_is(name, "group")) {
        open_group(xml, j, attributes);
    } else if (xml_is(name, "package")) {
        free(j->package);
        j->package = mem_strdup(xml_attribute(attributes, "name"));
    } else if (!j->file_depth &&
               (xml_is(name, "sourcefile") ||
                (xml_is(name, "class") && !xml_attribute(attributes, "sourcefilename")))) {
        open_file(xml, j, attributes);
    } else if (j->file_depth && xml_is(name, "line")) {
        take_line(xml, j, attributes);
    } else if (j->file_depth && xml_is(name, "counter") && xml_depth(xml) == j->file_depth + 1) {
        take_counter(xml, j, attributes);
    }
}

static void on_close(struct xml *xml, const char *name)
{
    struct jacoco *j = xml_state(xml);

    if (j->file_depth == xml_depth(xml))
        j->file_depth = 0;
    if (xml_is(name, "group"))
        free(j->groups[--j->group_count]);
}

int jacoco_read(struct reading *in)
{
    static const char *const roots[] = {"report", NULL};
    static const struct xml_reader reader = {roots, on_open, on_close};
    struct jacoco j = {.bounds = read_bounds(in)};
    int rc = xml_read(in, &reader, &j);

    while (j.group_count)
        free(j.groups[--j.group_count]);
    free(j.package);
    return rc;
}
