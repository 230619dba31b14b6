/* The definitions of one file, all of them checked. */
#ifndef GANTRY_CLI_DOCUMENTS_H
#define GANTRY_CLI_DOCUMENTS_H

#include <stddef.h>

struct definition;
struct json_t;

struct document {
    char *text;
    size_t len;
    struct definition *def;
};

struct documents {
    const char *file; /* for messages */
    struct document *items;
    size_t count; /* of those without a mistake */
    size_t problems;
    struct json_t *mistakes; /* borrowed */
};

/* Reads and checks a file ("-": standard input) whole. 0, or an exit code. What is wrong is said on
 * standard error, or added to `mistakes` (an array; NULL: said) as {file, line, column, path,
 * reason, nearest}: only `file` and `reason` always. documents_release() in any case. */
int documents_read(struct documents *docs, const char *file, struct json_t *mistakes);
void documents_release(struct documents *docs);

#endif
