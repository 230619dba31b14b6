/* `gantry import codepipeline`: an AWS CodePipeline becomes definitions and a report. Pure but for
 * the command itself; one thread.
 *
 * DESIGN: what is read, JSON or YAML, becomes one JSON tree whose scalars are all text and whose
 * CloudFormation functions have their long form (import_read.c). A pipeline's part of it is then
 * resolved: what the template alone tells is filled in, the rest becomes a named placeholder
 * (import_template.c). Its actions are gathered and classified (import_actions.c), then written as
 * definitions in JSON (import_pipeline.c, import_source.c, import_build.c, import_deploy.c,
 * import_gate.c), which import_write.c turns into YAML with comments. What came out is checked as
 * `gantry check` does before anybody sees it (import.c).
 *
 *   import_text.c    names, and texts with #{...}
 *   import_report.c  report lines and placeholders */
#ifndef GANTRY_CLI_IMPORT_H
#define GANTRY_CLI_IMPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define IMPORT_SIZE_MAX  (2 * 1024 * 1024) /* CloudFormation takes 1 MB */
#define IMPORT_DEPTH_MAX 64
#define IMPORT_TEXT_MAX  (32 * 1024) /* of a text that functions make */
#define IMPORT_TEXTS_MAX (8 * 1024 * 1024)
#define IMPORT_STEPS_MAX 1000000

struct json_t;
struct map;

enum import_kind {
    IMPORT_KEPT = 1,   /* means the same here */
    IMPORT_CHANGED,    /* means something else here, or is left out */
    IMPORT_NEEDS,      /* somebody has to do something */
    IMPORT_PLACEHOLDER /* a value that the input does not tell */
};
const char *import_kind_name(enum import_kind kind); /* "kept", "needs you" ... */

struct import_line {
    enum import_kind kind;
    char *where; /* "Build/Image", as the input calls it */
    char *text;
};

/* A value that stands for another: one text wherever it is used. */
struct import_placeholder {
    char *text;   /* placeholder-owner */
    char *origin; /* !Ref Owner */
    char *hint;   /* what is known of its value; NULL: nothing */
};

struct import_result {
    char *yaml;
    struct import_line *lines; /* in the order of kinds */
    size_t line_count;
};

/* Translates the bytes of a file; `parameters` (may be NULL) has NAME=VALUE for what a template
 * refers to. 0 and *out (import_result_release()), or -1 with a message that begins with file and
 * line: ERR_INVALID for what is no pipeline, ERR_INTERNAL where the outcome would not apply. */
int import_codepipeline(struct import_result *out, const char *file, const void *data, size_t len,
                        const struct strv *parameters, struct err *err);
void import_result_release(struct import_result *result);

/* ---- shared by the parts ---- */

/* One translation under way. */
struct import {
    const char *file;
    const struct strv *parameters;
    struct json_t *root;
    struct map *lines; /* of lists and mappings read from YAML: "%p" -> the line */
    bool is_template;
    int depth;         /* of functions being resolved */
    size_t steps;      /* taken in resolving */
    size_t text_bytes; /* made by functions so far */
    bool too_large;
    const char *context; /* for lines made deep inside: "Build/Image" */
    struct import_placeholder *placeholders;
    size_t placeholder_count;
    struct import_line *report;
    size_t report_count;
    size_t pipeline_count;
    struct json_t *environments; /* their documents */
    struct json_t *targets;      /* what each environment stands for -> its name */
    struct json_t *pipelines;    /* their documents */
    struct strv names;           /* of pipelines */
};

/* import_read.c */

/* The tree with text for scalars and {"Ref": ...}, {"Fn::...": ...} for YAML's tags. Lines of lists
 * and mappings go into `lines` ("%p"). The caller json_decref()s. */
int import_read(struct json_t **out, struct map *lines, const char *file, const void *data,
                size_t len, struct err *err);

/* import_template.c */

/* A copy without functions, for json_decref(). NULL: AWS::NoValue. */
struct json_t *import_resolve(struct import *imp, const struct json_t *value);
/* The properties, resolved, of the template's resource of that type that `name` (resolved) means
 * by its logical id, its placeholder or its physical name. NULL: not in the input. */
struct json_t *import_resource(struct import *imp, const char *type, const char *name);

/* import_report.c */

void import_note(struct import *imp, enum import_kind kind, const char *where, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The text that stands for `origin`; made of `base` where it is new. `hint` may be NULL. */
const char *import_placeholder(struct import *imp, const char *origin, const char *base,
                               const char *hint);
/* The origin of a text that is one placeholder and no more; NULL. */
const char *import_origin(const struct import *imp, const char *text);
/* Adds a line for each placeholder that stands in the YAML, with the lines that it is in, or in the
 * report. */
void import_note_placeholders(struct import *imp, const char *yaml);

/* import_write.c */

/* The documents as YAML. A member "#" (text) is a comment before what it is a member of. */
int import_write(const struct json_t *documents, struct buf *out);
/* Adds a line to the value's comment. */
void import_comment(struct json_t *value, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
