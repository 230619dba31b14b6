/* buildspec.yml versions 0.1 and 0.2, as AWS CodeBuild documents them ("Build specification
 * reference for CodeBuild", "Batch build buildspec reference"), checked as a whole: parse here, the
 * order of commands in plan.h, the builds of a batch in batch.h, which files are meant in files.h.
 * docs/reference/buildspec.md is the same in words. Pure. Any thread.
 *
 * An unknown key is a warning, a wrong type an error. A text stands where a list may. Texts are as
 * given: what CodeBuild lets the shell evaluate ($NAME and $(command) in artifacts, reports and
 * cache) is the builder's to evaluate, after the commands. */
#ifndef GANTRY_BUILDSPEC_BUILDSPEC_H
#define GANTRY_BUILDSPEC_BUILDSPEC_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define BUILDSPEC_SIZE_MAX          (256 * 1024)
#define BUILDSPEC_COMMANDS_MAX      2000
#define BUILDSPEC_VARIABLES_MAX     1000 /* of each kind */
#define BUILDSPEC_RETRIES_MAX       100
#define BUILDSPEC_REPORTS_MAX       50
#define BUILDSPEC_ARTIFACTS_MAX     50 /* secondary ones */
#define BUILDSPEC_FALLBACK_KEYS_MAX 5
#define BUILDSPEC_BATCH_MAX         100 /* builds */

struct buildspec_pair {
    char *key;
    char *value;
};

/* ---- phases ---- */

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
    char *run_as;      /* NULL: the buildspec's */
    int run_as_line;
    struct strv commands;
    struct strv finally;
};

/* ---- env ---- */

/* A value from Secrets Manager: the whole secret, or one key of its JSON. */
struct buildspec_secret {
    char *name;          /* of the variable */
    char *id;            /* the secret's name, or its ARN */
    char *json_key;      /* NULL: the whole */
    char *version_stage; /* NULL: AWSCURRENT, where there is no version_id either */
    char *version_id;    /* NULL: by the stage; where it is given, version_stage is NULL */
};

/* ---- reports, artifacts, cache ---- */

enum buildspec_report_format {
    BUILDSPEC_JUNITXML, /* the default */
    BUILDSPEC_CUCUMBERJSON,
    BUILDSPEC_NUNITXML,
    BUILDSPEC_NUNIT3XML,
    BUILDSPEC_TESTNGXML,
    BUILDSPEC_VISUALSTUDIOTRX,
    BUILDSPEC_CLOVERXML, /* from here on coverage */
    BUILDSPEC_COBERTURAXML,
    BUILDSPEC_JACOCOXML,
    BUILDSPEC_SIMPLECOV,
    BUILDSPEC_REPORT_FORMATS
};
/* "JUNITXML". */
const char *buildspec_report_format_name(enum buildspec_report_format format);
bool buildspec_report_is_coverage(enum buildspec_report_format format);

struct buildspec_report {
    char *group; /* a name, an ARN, or a text with $ in it */
    int line;
    struct strv files; /* patterns (files.h), one at least */
    enum buildspec_report_format format;
    char *base_directory; /* NULL: the source's root */
    bool discard_paths;
};
/* A group's name [A-Za-z0-9][A-Za-z0-9_-]{0,127} or its ARN. */
bool buildspec_is_report_group(const char *text);

struct buildspec_artifacts {
    struct strv files;    /* patterns (files.h) */
    char *base_directory; /* NULL: the source's root */
    char *identifier;     /* of secondary artifacts: [A-Za-z0-9_]{1,127}; NULL: the primary ones */
    int line;
    struct strv exclude_paths;
    char *name;      /* NULL: not given */
    char *s3_prefix; /* NULL: not given */
    bool discard_paths;
    bool enable_symlinks;
};

struct buildspec_cache {
    char *key;                 /* NULL: one cache a pipeline */
    struct strv fallback_keys; /* prefixes, in order; none without a key */
    bool restore, save;        /* both unless `action` names one */
    struct strv paths;         /* patterns (files.h); none: nothing is kept */
};

/* ---- batch: as written; batch.h makes builds of it ---- */

enum buildspec_batch_kind {
    BUILDSPEC_NO_BATCH,
    BUILDSPEC_BUILD_LIST,
    BUILDSPEC_BUILD_MATRIX,
    BUILDSPEC_BUILD_GRAPH,
    BUILDSPEC_BUILD_FANOUT
};

enum buildspec_choice { BUILDSPEC_UNSET, BUILDSPEC_NO, BUILDSPEC_YES };

struct buildspec_batch_env {
    struct buildspec_pair *variables;
    size_t variable_count;
    char *image, *compute_type, *type, *fleet; /* NULL: as without a batch */
    enum buildspec_choice privileged;
};

struct buildspec_batch_build {
    char *identifier; /* [A-Za-z0-9_-]{1,127}, unique; NULL: none (build-list only) */
    int line;
    char *buildspec; /* a path in the source; NULL: this file */
    struct buildspec_batch_env env;
    bool ignore_failure;
    struct strv depend_on; /* identifiers in the same graph, which has no cycle */
};

/* A variable and the values that it takes, one at least. */
struct buildspec_axis {
    char *name;
    struct strv values;
};

struct buildspec_matrix {
    bool ignore_failure;
    struct buildspec_batch_env env;                /* static: of all builds */
    struct strv buildspecs, images, compute_types; /* dynamic: empty is not varied */
    struct buildspec_axis *variables;
    size_t variable_count;
};

struct buildspec_batch {
    enum buildspec_batch_kind kind;
    bool fast_fail;
    struct buildspec_batch_build *builds; /* of a list or graph, in the file's order; 1 to 100 */
    size_t build_count;
    struct buildspec_matrix matrix; /* makes 1 to 100 builds */
    unsigned parallelism;           /* of a fanout: 1 to 100 */
    bool ignore_failure;            /* of a fanout */
};

/* ---- the whole ---- */

/* Where they stand in the file, from 1; 0: they are not in it. */
struct buildspec_lines {
    int run_as, parameters, secrets, git_credentials, batch;
};

struct buildspec {
    bool separate_shells; /* version 0.1: each command in a shell of its own */
    char *shell;          /* "sh" or "bash" */
    char *run_as;         /* NULL: root */
    bool git_credentials; /* git in the commands may use the source's credentials */
    struct buildspec_lines lines;
    bool proxy_upload_artifacts, proxy_logs;

    /* Where a name stands in several, secrets go before parameters before variables. */
    struct buildspec_pair *variables;
    size_t variable_count;
    struct buildspec_pair *parameters; /* variable -> name or ARN in the parameter store */
    size_t parameter_count;
    struct buildspec_secret *secrets;
    size_t secret_count;
    struct strv exported; /* none of a parameter or a secret, none that begins with AWS_ */

    struct buildspec_pair *runtimes; /* java -> corretto17: install.runtime-versions */
    size_t runtime_count;
    int runtimes_line; /* in the file, from 1 */
    struct buildspec_phase phases[BUILDSPEC_PHASES];

    struct buildspec_report *reports;
    size_t report_count;
    struct buildspec_artifacts artifacts; /* the primary ones; no files: none */
    struct buildspec_artifacts *secondary;
    size_t secondary_count;
    struct buildspec_cache cache;
    struct buildspec_batch batch;
};

struct buildspec_problem {
    bool error; /* else a warning */
    int line;   /* from 1; 0: of the whole file */
    int column;
    char path[128]; /* phases.build.commands[2] */
    char reason[384];
};
/* By line, at most 100. Zero-initialise. */
struct buildspec_problems {
    struct buildspec_problem *items;
    size_t count;
};
void buildspec_problems_release(struct buildspec_problems *problems);
/* "buildspec.yml:12:7: error: phases.build.commands: ...", without a newline. UTF-8 without control
 * characters, but for what is in `file`. */
void buildspec_problem_text(const struct buildspec_problem *problem, const char *file,
                            struct buf *out);

/* 0 and *out (buildspec_free()), perhaps with warnings in *problems; or -1 with *err holding the
 * first error. */
int buildspec_parse(struct buildspec **out, const void *yaml, size_t len,
                    struct buildspec_problems *problems, struct err *err);
void buildspec_free(struct buildspec *spec);

/* Who runs a phase's commands: the phase's run-as, the buildspec's, or "root". */
const char *buildspec_run_as(const struct buildspec *spec, enum buildspec_phase_name phase);

/* [A-Za-z_][A-Za-z0-9_]* of at most 256 characters: what a shell takes as a variable's name. */
bool buildspec_is_variable(const char *name);

#endif
