#include "report/cover.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "report/read.h"

#define BRANCHES_MAX 65535
#define COUNT_MAX    UINT64_C(1000000000000) /* of a file: no sum of them wraps */

struct cover *cover_new(void)
{
    struct cover *cover = mem_alloc(sizeof(*cover));

    cover->by_path = map_new(NULL);
    return cover;
}

static void file_free(struct cover_file *file)
{
    if (!file)
        return;
    free(file->path);
    free(file->lines.items);
    free(file->branches.items);
    free(file);
}

void cover_free(struct cover *cover)
{
    if (!cover)
        return;
    for (size_t i = 0; i < cover->count; i++)
        file_free(cover->files[i]);
    free(cover->files);
    map_free(cover->by_path);
    free(cover);
}

static void add_file(struct cover *cover, struct cover_file *file)
{
    if (cover->count == cover->cap) {
        cover->cap = cover->cap ? 2 * cover->cap : 64;
        cover->files = mem_realloc(cover->files, cover->cap, sizeof(struct cover_file *));
    }
    cover->files[cover->count++] = file;
    map_set(cover->by_path, file->path, file);
    cover->marks += file->lines.count + file->branches.count;
}

struct cover_file *cover_file(struct cover *cover, const char *root, const char *path,
                              const struct cover_bounds *bounds, struct err *err)
{
    size_t root_len = root ? strlen(root) : 0;

    if (root_len && strncmp(path, root, root_len) == 0 && path[root_len] == '/')
        path += root_len + 1;
    char *clean = text_clean(path, REPORT_NAME_MAX);
    struct cover_file *file = map_get(cover->by_path, clean);
    if (!file && cover->count >= bounds->files) {
        err_set(err, ERR_LIMIT, "more than %zu source files", bounds->files);
        free(clean);
        return NULL;
    }
    if (file) {
        free(clean);
    } else {
        file = mem_alloc(sizeof(*file));
        file->path = clean;
        add_file(cover, file);
    }
    file->touched = true;
    return file;
}

static int add_mark(struct cover *cover, struct cover_marks *marks, const struct cover_mark *mark,
                    const struct cover_bounds *bounds, struct err *err)
{
    if (cover->marks >= bounds->marks)
        return err_set(err, ERR_LIMIT, "more than %zu lines and branches", bounds->marks);
    if (marks->count == marks->cap) {
        marks->cap = marks->cap ? 2 * marks->cap : 32;
        marks->items = mem_realloc(marks->items, marks->cap, sizeof(*marks->items));
    }
    marks->items[marks->count++] = *mark;
    cover->marks++;
    return 0;
}

int cover_line(struct cover *cover, struct cover_file *file, uint64_t line, bool hit,
               const struct cover_bounds *bounds, struct err *err)
{
    const struct cover_mark mark = {.key = line, .covered = hit, .total = 1};

    return add_mark(cover, &file->lines, &mark, bounds, err);
}

int cover_branches(struct cover *cover, struct cover_file *file, uint64_t key, uint64_t covered,
                   uint64_t total, const struct cover_bounds *bounds, struct err *err)
{
    struct cover_mark mark = {.key = key};

    mark.total = (uint32_t)(total < BRANCHES_MAX ? total : BRANCHES_MAX);
    mark.covered = (uint32_t)(covered < mark.total ? covered : mark.total);
    return total ? add_mark(cover, &file->branches, &mark, bounds, err) : 0;
}

static int by_key(const void *a, const void *b)
{
    const struct cover_mark *x = a, *y = b;

    return (x->key > y->key) - (x->key < y->key);
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* In the order of the keys, each once; returns how many were told twice. */
static size_t settle_marks(struct cover_marks *marks, uint64_t *covered, uint64_t *missed)
{
    size_t before = marks->count, n = 0;
    bool sorted = true;

    *covered = *missed = 0;
    for (size_t i = 1; i < marks->count && sorted; i++)
        sorted = marks->items[i - 1].key < marks->items[i].key;
    if (!sorted)
        qsort(marks->items, marks->count, sizeof(*marks->items), by_key);
    for (size_t i = 0; i < marks->count; i++) {
        struct cover_mark *last = n ? &marks->items[n - 1] : NULL;
        if (!last || last->key != marks->items[i].key) {
            marks->items[n++] = marks->items[i];
            continue;
        }
        last->total = larger(last->total, marks->items[i].total);
        last->covered = larger(last->covered, marks->items[i].covered);
    }
    marks->count = n;
    for (size_t i = 0; i < n; i++) {
        *covered += marks->items[i].covered;
        *missed += marks->items[i].total - marks->items[i].covered;
    }
    return before - n;
}

static uint64_t bounded(uint64_t n)
{
    return n < COUNT_MAX ? n : COUNT_MAX;
}

static size_t settle_file(struct cover_file *file)
{
    size_t twice = settle_marks(&file->lines, &file->sum.lines_covered, &file->sum.lines_missed);

    twice += settle_marks(&file->branches, &file->sum.branches_covered, &file->sum.branches_missed);
    if (!file->lines.count) {
        file->sum.lines_covered = bounded(file->whole.lines_covered);
        file->sum.lines_missed = bounded(file->whole.lines_missed);
    }
    if (!file->branches.count) {
        file->sum.branches_covered = bounded(file->whole.branches_covered);
        file->sum.branches_missed = bounded(file->whole.branches_missed);
    }
    file->touched = false;
    return twice;
}

static void add_sum(struct report_coverage *sum, const struct report_coverage *more, int sign)
{
    sum->lines_covered += (uint64_t)sign * more->lines_covered;
    sum->lines_missed += (uint64_t)sign * more->lines_missed;
    sum->branches_covered += (uint64_t)sign * more->branches_covered;
    sum->branches_missed += (uint64_t)sign * more->branches_missed;
}

void cover_settle(struct cover *cover, struct report_coverage *sum)
{
    for (size_t i = 0; i < cover->count; i++) {
        struct cover_file *file = cover->files[i];
        if (!file->touched)
            continue;
        add_sum(sum, &file->sum, -1);
        cover->marks -= settle_file(file);
        add_sum(sum, &file->sum, 1);
    }
}

/* Of two counts of the same branches or lines, by how many were covered at least. */
static void merge_whole(uint64_t *covered, uint64_t *missed, uint64_t more_covered,
                        uint64_t more_missed)
{
    uint64_t total = bounded(*covered) + bounded(*missed);
    uint64_t more = bounded(more_covered) + bounded(more_missed);

    total = more > total ? more : total;
    *covered = bounded(more_covered > *covered ? more_covered : *covered);
    *missed = total > *covered ? total - *covered : 0;
}

static void append(struct cover_marks *to, const struct cover_marks *from)
{
    if (!from->count)
        return;
    to->cap = to->count + from->count;
    to->items = mem_realloc(to->items, to->cap, sizeof(*to->items));
    memcpy(to->items + to->count, from->items, from->count * sizeof(*from->items));
    to->count += from->count;
}

void cover_merge(struct cover *into, struct cover *from, struct report_coverage *sum)
{
    for (size_t i = 0; i < from->count; i++) {
        struct cover_file *file = from->files[i];
        struct cover_file *there = map_get(into->by_path, file->path);
        if (!there) {
            memset(&file->sum, 0, sizeof(file->sum));
            file->touched = true;
            add_file(into, file);
            continue;
        }
        append(&there->lines, &file->lines);
        append(&there->branches, &file->branches);
        into->marks += file->lines.count + file->branches.count;
        merge_whole(&there->whole.lines_covered, &there->whole.lines_missed,
                    file->whole.lines_covered, file->whole.lines_missed);
        merge_whole(&there->whole.branches_covered, &there->whole.branches_missed,
                    file->whole.branches_covered, file->whole.branches_missed);
        there->touched = true;
        file_free(file);
    }
    from->count = 0;
    from->marks = 0;
    map_clear(from->by_path);
    cover_settle(into, sum);
}
