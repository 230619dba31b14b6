/* Settings: one table a service gives the same names in YAML, in the environment and in --help.
 *
 * One YAML file configures all services: a mapping `common:` and one for each service by its name.
 * The key `a-b.c` (nested mappings or a dotted key) is GANTRY_A_B_C in the environment for
 * `common`, and GANTRY_<SERVICE>_A_B_C for a service's section; <name>_FILE names a file that holds
 * the value, without one newline at its end. The environment wins over the file, `--set
 * section.key=value` wins over both. A variable that is empty, and a key with nothing after its
 * colon, count as not given. Unknown keys are refused with file and line; a section of a service
 * that is not this one is skipped, one of no service at all is refused.
 *
 * `common.kafka` is a mapping whose keys are librdkafka's, verbatim (`bootstrap.servers` and any
 * other); GANTRY_KAFKA alone sets bootstrap.servers. `--set common.kafka.<key>=value` sets one key
 * of a mapping. */
#ifndef GANTRY_CONF_CONF_H
#define GANTRY_CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum conf_type {
    CONF_STR,      /* char *, NULL without value and default; freed by conf_release() */
    CONF_INT,      /* int64_t */
    CONF_BOOL,     /* bool: true, yes, on, false, no, off */
    CONF_DURATION, /* int64_t, ms */
    CONF_SIZE,     /* uint64_t, bytes */
    CONF_LIST,     /* struct strv; comma-separated where it is one text */
    CONF_MAP, /* struct conf_map; keys verbatim, values scalars or lists; key=value,... where it is
                 one text */
    CONF_YAML /* char *: the sub-tree re-emitted as YAML, for a service that parses it itself
                 (deployer's commands) */
};

struct conf_pair {
    char *key;
    struct strv values; /* a scalar is a list of one */
};
struct conf_map {
    struct conf_pair *pairs;
    size_t count;
};
/* The first value of a key, or NULL. */
const char *conf_map_get(const struct conf_map *map, const char *key);

struct conf_item {
    const char *key; /* NULL ends a table */
    enum conf_type type;
    size_t offset;    /* of the member in the struct */
    const char *def;  /* the default as text; NULL: empty, or required if so flagged */
    const char *help; /* one sentence; shown with the default */
    unsigned flags;
};
#define CONF_REQUIRED 1u
#define CONF_SECRET   2u /* never shown or logged */

struct conf_section {
    const char *name;              /* "common" or a service's */
    const struct conf_item *items; /* ended by a NULL key; never NULL */
    void *target;
};

/* Fills the targets of all sections (ended by a NULL name). `path` may be NULL: environment and
 * defaults alone. `sets` are `section.key=value` words. Every error names file, line and key, or
 * the variable. On an error all targets are released. Start-up only. */
int conf_load(const struct conf_section *sections, const char *path, const struct strv *sets,
              struct err *err);
void conf_release(const struct conf_section *sections);

/* The table as help text: key, variable, default, sentence. */
void conf_help(const struct conf_section *sections, struct buf *out);

#endif
