/* What the parts of the buildspec parser share: a walk over the YAML tree that notes what is wrong
 * and goes on. One part a section of the file: env.c, phases.c, artifacts.c (reports, artifacts,
 * cache), batch_read.c. */
#ifndef GANTRY_BUILDSPEC_READ_H
#define GANTRY_BUILDSPEC_READ_H

#include <stdbool.h>
#include <stddef.h>

#include "buildspec/buildspec.h"
#include "yaml/tree.h"

#define PATH_SIZE 128 /* of a problem's path */

struct reader {
    struct buildspec *spec;
    struct buildspec_problems *problems;
    bool first_version; /* 0.1 */
    size_t commands;
};

/* A value's reader: `path` names it, `target` is what the table's caller gave. */
typedef void read_fn(struct reader *r, const struct yaml_node *node, const char *path,
                     void *target);

struct key {
    const char *name;
    read_fn *read; /* NULL: read elsewhere */
    size_t offset; /* of what it fills in the table's target */
};

void spec_problem(struct reader *r, bool error, const struct yaml_node *node, const char *path,
                  const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* Of the value `node` at `path`, both as in a read_fn. */
#define ERROR(...)   spec_problem(r, true, node, path, __VA_ARGS__)
#define WARNING(...) spec_problem(r, false, node, path, __VA_ARGS__)

/* The path of a key, of a list's item, below `path`. */
void spec_path_key(char out[PATH_SIZE], const char *path, const char *key);
void spec_path_index(char out[PATH_SIZE], const char *path, size_t index);

/* Goes through a mapping's entries by a table; tells of what is not in it. False: none, or no
 * mapping, which was told. */
bool spec_read_map(struct reader *r, const struct yaml_node *node, const char *path,
                   const struct key *keys, void *target);
/* Calls `each` for all entries of a mapping whose keys people choose; at most `max`. */
bool spec_read_entries(struct reader *r, const struct yaml_node *node, const char *path, size_t max,
                       read_fn *each, void *target);

/* NULL, having told why, where it is no text. Nothing is "". */
const char *spec_text_of(struct reader *r, const struct yaml_node *node, const char *path);
/* The same, but nothing, and "", is told, too. */
const char *spec_some_text_of(struct reader *r, const struct yaml_node *node, const char *path);

/* Readers for tables; the target's type stands beside each. */
read_fn spec_read_text;  /* char **: stays as it is for nothing */
read_fn spec_read_texts; /* struct strv *: a list of texts, or one text */
read_fn spec_read_flag;  /* bool *: yes, no, true, false, on, off */

void spec_pair_add(struct buildspec_pair **pairs, size_t *count, const char *key,
                   const char *value);
void spec_pairs_free(struct buildspec_pair *pairs, size_t count);

/* [A-Za-z0-9_]{1,127}, and what is in `also`. */
bool spec_is_identifier(const char *text, const char *also);
/* "; did you mean 'x'?" or "", in `out`. `names` ends with NULL. */
const char *spec_did_you_mean(char out[128], const char *text, const char *const *names);

/* ---- env.c ---- */
read_fn spec_read_env;                   /* NULL */
read_fn spec_read_environment_variables; /* NULL; of version 0.1 */
read_fn spec_read_run_as;                /* char ** */
/* A mapping of variables to texts, added to *pairs. */
void spec_read_variables(struct reader *r, const struct yaml_node *node, const char *path,
                         struct buildspec_pair **pairs, size_t *count);
/* Whether an entry's key can be a variable's name; told where not. */
bool spec_check_variable(struct reader *r, const struct yaml_node *entry, const char *path);
void spec_env_release(struct buildspec *spec);

/* ---- phases.c ---- */
read_fn spec_read_phases; /* NULL */
void spec_phases_release(struct buildspec *spec);

/* ---- artifacts.c ---- */
read_fn spec_read_reports, spec_read_artifacts, spec_read_cache; /* NULL */
void spec_artifacts_release(struct buildspec *spec);

/* ---- batch_read.c ---- */
read_fn spec_read_batch; /* NULL */
/* The first build of a batch that runs this very file's phases; NULL: none does, or no batch. */
const char *spec_batch_needs_phases(const struct buildspec_batch *batch);
void spec_batch_env_release(struct buildspec_batch_env *env);
void spec_batch_read_release(struct buildspec_batch *batch);

#endif
