/* buildspec.yml version 0.2, as AWS CodeBuild documents it ("Build specification reference for
 * CodeBuild"), checked as a whole: parse here, plan in plan.h. Pure. Any thread.
 *
 * An unknown key is a warning, a wrong type an error. What this version does not do yet is a
 * warning where leaving it out changes nothing that a build makes, else an error. */
#ifndef GANTRY_BUILDSPEC_BUILDSPEC_H
#define GANTRY_BUILDSPEC_BUILDSPEC_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define BUILDSPEC_SIZE_MAX     (256 * 1024)
#define BUILDSPEC_COMMANDS_MAX 2000
#define BUILDSPEC_RETRIES_MAX  100

enum buildspec_phase_name {
    BUILDSPEC_INSTALL,
    BUILDSPEC_PRE_BUILD,
    BUILDSPEC_BUILD,
    BUILDSPEC_POST_BUILD,
    BUILDSPEC_PHASES
};
/* "install", as in the file. */
const char *buildspec_phase_key(enum buildspec_phase_name phase);

enum buildspec_on_failure {
    BUILDSPEC_DEFAULT, /* not given: install and pre_build abort, build goes on to post_build */
    BUILDSPEC_ABORT,
    BUILDSPEC_CONTINUE,
    BUILDSPEC_RETRY
};

struct buildspec_phase {
    bool present;
    int line;
    enum buildspec_on_failure on_failure;
    unsigned retries;  /* BUILDSPEC_RETRY: 0 to 100 */
    char *retry_regex; /* POSIX extended, over the failure's message; NULL: any */
    struct strv commands;
    struct strv finally;
};

struct buildspec_pair {
    char *key;
    char *value;
};

struct buildspec {
    char *shell; /* "sh" or "bash" */
    struct buildspec_pair *variables;
    size_t variable_count;
    struct strv exported;
    struct buildspec_phase phases[BUILDSPEC_PHASES];
    struct strv artifact_files; /* globs, as given */
    char *artifact_base;        /* NULL: the source's root */
};

struct buildspec_problem {
    bool error; /* else a warning */
    int line;   /* from 1; 0: of the whole file */
    int column;
    char path[128]; /* phases.build.commands[2] */
    char reason[384];
};
/* In order, at most 100. Zero-initialise. */
struct buildspec_problems {
    struct buildspec_problem *items;
    size_t count;
};
void buildspec_problems_release(struct buildspec_problems *problems);
/* "buildspec.yml:12:7: error: phases.build.commands: ...", without a newline. */
void buildspec_problem_text(const struct buildspec_problem *problem, const char *file,
                            struct buf *out);

/* 0 and *out (buildspec_free()), perhaps with warnings in *problems; or -1 with *err holding the
 * first error. */
int buildspec_parse(struct buildspec **out, const void *yaml, size_t len,
                    struct buildspec_problems *problems, struct err *err);
void buildspec_free(struct buildspec *spec);

/* [A-Za-z_][A-Za-z0-9_]* of at most 256 characters: what a shell takes as a variable's name. */
bool buildspec_is_variable(const char *name);

#endif
