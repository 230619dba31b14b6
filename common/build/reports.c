/* Report groups: their files are found and read on a worker. What is wrong with one is told in the
 * log and in the report; it never fails the build. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "build/internal.h"
#include "buildspec/files.h"
#include "report/tell.h"

#define FILE_BYTES_MAX (64ULL * 1024 * 1024) /* of one file: report.h's default */
#define FILES_MAX      5000                  /* of one group */
#define NOTES_MAX      50                    /* lines in the log, of all groups */

struct reading_reports {
    size_t at; /* the group that is read */
    struct strv notes;
    char *bytes; /* of the file that is read */
    const volatile bool *stop;
    struct build *build;
};

static struct files *files_of(const struct build *build, const struct buildspec_report *spec)
{
    const struct files_rule rule = {.root = build->place->paths.src,
                                    .base_directory = spec->base_directory,
                                    .files = &spec->files,
                                    .discard_paths = spec->discard_paths};
    return files_new(&rule);
}

void reports_wants(const struct build *build, struct strv *paths)
{
    for (size_t i = 0; i < build->spec->report_count; i++) {
        struct files *files = files_of(build, &build->spec->reports[i]);
        place_wants(build, files, paths);
        files_free(files);
    }
}

/* An ARN's last part. */
static const char *group_name(const char *group)
{
    const char *slash = strrchr(group, '/');
    return str_starts(group, "arn:") && slash ? slash + 1 : group;
}

/* ---- on a worker ---- */

static void note(struct reading_reports *reading, const char *group, const char *text)
{
    if (reading->notes.count < NOTES_MAX)
        strv_addf(&reading->notes, "Report %.128s: %s", group, text);
}

static int read_all(const struct archive_found *found, char *out, struct err *err)
{
    for (uint64_t at = 0; at < found->size;) {
        ssize_t n = pread(found->fd, out + at, found->size - at, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? err_errno(err, errno, "%s", found->name)
                         : err_set(err, ERR_CONFLICT, "%s became shorter while it was read",
                                   found->name);
        at += (uint64_t)n;
    }
    return 0;
}

static int take_file(const struct archive_found *found, void *arg, struct err *err)
{
    struct reading_reports *reading = arg;
    struct report_group_kept *group = &reading->build->reports[reading->at];
    struct err why = {0};
    int rc;
    if (group->report.files + group->report.problems >= FILES_MAX)
        return err_set(err, ERR_LIMIT, "there are more than %d files", FILES_MAX);
    if (found->size > FILE_BYTES_MAX) {
        rc = err_set(&why, ERR_LIMIT, "%.300s: is larger than %llu MiB", found->name,
                     FILE_BYTES_MAX >> 20);
    } else {
        reading->bytes = mem_realloc(reading->bytes, (size_t)found->size + 1, 1);
        rc = read_all(found, reading->bytes, &why);
        if (rc == 0)
            rc = report_parse(&group->report, found->name, reading->bytes, (size_t)found->size,
                              NULL, &why);
    }
    if (rc < 0) {
        report_problem(&group->report, &why);
        note(reading, group->name, why.msg);
    }
    return 0;
}

static void read_group(struct build *build, const struct buildspec_report *spec)
{
    struct reading_reports *reading = build->reading;
    struct report_group_kept *group = &build->reports[reading->at];
    struct archive_left left = {0};
    struct place_tree place;
    struct err err = {0};
    place_tree_init(&place, build);
    struct files *files = files_of(build, spec);
    const struct archive_walk walk = {.tree = &place.tree,
                                      .files = files,
                                      .each = take_file,
                                      .arg = reading,
                                      .stop = reading->stop};
    if (archive_walk(&walk, &left, &err) < 0) {
        report_problem(&group->report, &err);
        note(reading, group->name, err.msg);
    }
    for (size_t i = 0; i < left.notes.count; i++)
        note(reading, group->name, left.notes.items[i]);
    if (!group->report.files && !group->report.problems)
        note(reading, group->name, "no file matches");
    archive_left_release(&left);
    files_free(files);
}

static void read_groups(struct build *build)
{
    struct reading_reports *reading = build->reading;
    for (reading->at = 0; reading->at < build->report_count && !build->halt; reading->at++)
        read_group(build, &build->spec->reports[reading->at]);
}

/* ---- */

static void on_read(struct build *build)
{
    struct reading_reports *reading = build->reading;
    if (build->stopping)
        return;
    for (size_t i = 0; i < reading->notes.count; i++)
        build_mark(build, "%s", reading->notes.items[i]);
    size_t kept = 0;
    for (size_t i = 0; i < build->report_count; i++) {
        struct report_group_kept *group = &build->reports[i];
        bool known = buildspec_is_report_group(group->name);
        if (!known)
            build_mark(build, "Report %.128s: it is no name of a group", group->name);
        if (known && (group->report.files || group->report.problems)) {
            struct report_group_kept swap = build->reports[kept];
            build->reports[kept++] = *group;
            *group = swap;
        }
    }
    for (size_t i = kept; i < build->report_count; i++) {
        report_release(&build->reports[i].report);
        free(build->reports[i].name);
    }
    build->report_count = kept;
    if (kept > REPORT_GROUPS_MAX)
        build_mark(build, "Reports: of %zu groups the first %d are told", kept, REPORT_GROUPS_MAX);
    after_next(build);
}

void reports_begin(struct build *build)
{
    const struct buildspec *spec = build->spec;
    if (!spec->report_count) {
        after_next(build);
        return;
    }
    build->reading = mem_alloc(sizeof(*build->reading));
    build->reading->stop = &build->halt;
    build->reading->build = build;
    build->reports = mem_alloc(spec->report_count * sizeof(*build->reports));
    build->report_count = spec->report_count;
    for (size_t i = 0; i < spec->report_count; i++) {
        enum report_format format = REPORT_JUNITXML;
        (void)report_format_of(buildspec_report_format_name(spec->reports[i].format), &format);
        build->reports[i].name = mem_strdup(group_name(spec->reports[i].group));
        report_init(&build->reports[i].report, format, build->place->paths.src);
        build->reports[i].report.mask = build_report_mask(build);
    }
    build_work(build, read_groups, on_read);
}

void reports_free(struct build *build)
{
    for (size_t i = 0; i < build->report_count; i++) {
        report_release(&build->reports[i].report);
        free(build->reports[i].name);
    }
    free(build->reports);
    if (build->reading) {
        strv_release(&build->reading->notes);
        free(build->reading->bytes);
    }
    free(build->reading);
}
