/* Which lines and branches of which source files were run. Documents may tell of a file in several
 * places and several documents of the same file: a line counts once, and is covered where any of
 * them says so. */
#ifndef GANTRY_REPORT_COVER_H
#define GANTRY_REPORT_COVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "report/report.h"

/* `covered` of `total` at one place of a file: a line (1), the branches of a line, one branch. */
struct cover_mark {
    uint64_t key;
    uint32_t covered, total;
};
struct cover_marks {
    struct cover_mark *items;
    size_t count, cap;
};

struct cover_file {
    char *path;
    struct cover_marks lines, branches;
    struct report_coverage whole; /* said of the file as one; counts where there are no marks */
    struct report_coverage sum;   /* after cover_settle() */
    bool touched;
};

struct cover {
    struct map *by_path; /* -> struct cover_file, which `files` owns */
    struct cover_file **files;
    size_t count, cap;
    size_t marks;
};

struct cover_bounds {
    size_t files, marks;
};

struct cover *cover_new(void);
void cover_free(struct cover *cover);

/* The file's, made where it is not there yet; NULL with ERR_LIMIT: too many. `path` is cleaned and
 * cut, `root` and a slash taken off its front. */
struct cover_file *cover_file(struct cover *cover, const char *root, const char *path,
                              const struct cover_bounds *bounds, struct err *err);
/* -1 with ERR_LIMIT: too many. */
int cover_line(struct cover *cover, struct cover_file *file, uint64_t line, bool hit,
               const struct cover_bounds *bounds, struct err *err);
/* `key`: the same for the same branches in another document. More than 65,535 count as that. */
int cover_branches(struct cover *cover, struct cover_file *file, uint64_t key, uint64_t covered,
                   uint64_t total, const struct cover_bounds *bounds, struct err *err);

/* Sums up the files that were touched; *sum becomes that of all. */
void cover_settle(struct cover *cover, struct report_coverage *sum);
/* Moves all of *from into *into, settled; *from is empty after. */
void cover_merge(struct cover *into, struct cover *from, struct report_coverage *sum);

#endif
