/* Definitions: YAML of every kind -> checked structs. One parser for all services, with one result.
 * Pure; depends on base and libyaml only. The language: docs/reference/pipeline.md. */
#ifndef GANTRY_DEFINITION_DEFINITION_H
#define GANTRY_DEFINITION_DEFINITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "calendar/window.h"

#define DEFINITION_SIZE_MAX          (256 * 1024)
#define DEFINITION_STAGES_MAX        50
#define DEFINITION_STAGE_ACTIONS_MAX 50
#define DEFINITION_ACTIONS_MAX       500
#define DEFINITION_SOURCES_MAX       10
#define DEFINITION_VARIABLES_MAX     (16 * 1024) /* bytes of their names and values */

enum def_kind { DEF_PIPELINE = 1, DEF_ENVIRONMENT, DEF_NOTIFICATION, DEF_ROLE, DEF_BINDING };
const char *def_kind_name(enum def_kind kind); /* "Pipeline" ... */

/* One thing wrong with a definition. */
struct def_problem {
    int line; /* from 1, in the bytes given */
    int column;
    char path[256];    /* spec.stages[1].steps[0].deploy.environment */
    char reason[512];  /* what is wrong and what would be right */
    char nearest[128]; /* the known word that was probably meant; empty: none is near */
};
/* All that is wrong, in order; at most 50. Zero-initialise. */
struct def_problems {
    struct def_problem *items;
    size_t count;
};
void def_problems_release(struct def_problems *problems);
/* "pipeline.yaml:12:7: spec.mode: ..." a line each. */
void def_problems_print(const struct def_problems *problems, const char *file, struct buf *out);

struct def_pair {
    char *key;
    char *value;
};

struct def_source {
    char *name;
    char *git;
    struct strv branches; /* globs over the branch's short name */
    struct strv tags;     /* globs over the tag's name */
    bool pull_requests;   /* their heads, as the forge shows them in refs/pull/N/head, or
                             refs/merge-requests/N/head */
    /* Globs over paths: a change that touches no included path, or excluded ones alone, starts
     * nothing. Both empty: every change counts. */
    struct strv paths_include, paths_exclude;
    char *credentials;    /* a secret's name or NULL */
    int64_t poll_ms;      /* 0: webhooks only */
    bool submodules, lfs; /* what builds get beside the commit's own files */
    bool clone;           /* builds find a .git */
    uint32_t depth;       /* commits that the builder fetches; 0: all */
    int line;
};

enum def_mode { DEF_SUPERSEDED = 1, DEF_QUEUED, DEF_PARALLEL };
enum def_action_kind { DEF_BUILD = 1, DEF_DEPLOY, DEF_APPROVAL, DEF_CUSTOM };
enum def_on_failure { DEF_FAIL = 1, DEF_RETRY, DEF_ROLLBACK };

struct def_approval {
    struct strv by;     /* group:..., user:... */
    uint32_t count;     /* default 1 */
    uint32_t rejects;   /* that many rejections reject; default 1 */
    struct strv not_;   /* author, starter, approver-of:<stage> */
    int64_t expires_ms; /* default 7 d; 1 s to 60 d */
    char *message;      /* may hold {{...}} */
};

struct def_action {
    enum def_action_kind kind;
    char *name;
    int64_t timeout_ms;    /* default by kind: build 60 min, deploy 15 min, custom 24 h */
    int64_t lost_after_ms; /* of silence: default 10 min; 1 min to 7 d */
    bool retry_lost; /* default: true for build and for deploys with `kubernetes:` or `docker:`,
                        else false */
    bool retry_lost_said; /* it stands there, and no default holds */
    int line;
    struct {
        char *source, *buildspec, *dockerfile,
            *image;        /* buildspec or dockerfile set; image NULL: none */
        char *build_image; /* that the commands run in; NULL: the builder's */
        bool privileged;
        bool batch;            /* it runs the builds of its buildspec's `batch` */
        char *service_account; /* NULL: the builder's choice */
        struct def_pair *node_selector;
        size_t node_selector_count; /* 0: the builder's choice */
        double cpu;
        uint64_t memory_bytes;
        struct def_pair *env;
        size_t env_count;
    } build;
    struct {
        char *environment;
        char *artifact; /* the build action's name: always set after the check where one can be told
                         */
        const char *target; /* "kubernetes" or "docker", the driver it is for; NULL: any */
        struct def_pair *target_pairs; /* what stands in it; values may hold {{...}} */
        size_t target_count;
    } deploy;
    struct {
        char *type; /* of custom/<type> */
        struct def_pair *input;
        size_t input_count;
    } custom;
    struct def_approval approval; /* kind DEF_APPROVAL: an action inside the stage */
};

/* Members run together; a plain step has one. */
struct def_step {
    struct def_action *actions;
    size_t action_count;
};

enum def_gate_kind {
    DEF_GATE_APPROVAL = 1,
    DEF_GATE_SOAK,
    DEF_GATE_WINDOW,
    DEF_GATE_MANUAL,
    DEF_GATE_CHECK
};
struct def_gate {
    enum def_gate_kind kind;
    char *name; /* of its kind: "approval", "approval-2", "soak" ...: unique in its transition */
    struct def_approval approval;
    int64_t soak_ms; /* 1 s to 60 d */
    struct window *window;
    char *window_text; /* as written */
    struct {
        char *type; /* of custom/<type> */
        struct def_pair *input;
        size_t input_count;
        int64_t every_ms;   /* default 5 min; 1 s to 1 d */
        int64_t timeout_ms; /* default: every_ms, 1 min at least */
    } check;
    int line;
};

struct def_stage {
    char *name;
    struct def_gate *gates;
    size_t gate_count;
    struct def_step *steps;
    size_t step_count;
    enum def_on_failure on_failure;
    uint32_t retries;       /* of DEF_RETRY: 1 to 10 */
    bool rollback_approval; /* default false: a rollback skips approval gates */
    int line;
};

struct def_pipeline {
    char *name;
    struct def_pair *labels;
    size_t label_count;
    enum def_mode mode;
    struct def_pair *variables;
    size_t variable_count;
    struct def_source *sources;
    size_t source_count;
    struct def_stage *stages;
    size_t stage_count;
};

struct def_environment {
    char *name;
    char *deployer; /* default "default" */
    char *driver;   /* command | docker | kubernetes | git */
    char *command;  /* driver command: the NAME */
    struct def_freeze {
        struct window *window; /* while it is open, nothing enters a stage that deploys here */
        char *window_text;     /* as written */
        char *reason;
    } * freezes;
    size_t freeze_count; /* 50 at most */
};

enum def_channel { DEF_WEBHOOK = 1, DEF_MAIL };
struct def_notification {
    char *name;
    struct strv events;    /* globs over the event's noun.verb: "release.*", "approval.opened" */
    struct strv pipelines; /* globs; default ** */
    struct strv stages;    /* globs; empty: all */
    struct strv outcomes;  /* statuses, where the event has one; empty: all */
    enum def_channel channel;
    char *url;      /* webhook */
    char *secret;   /* a secret's name; webhook: required (Standard Webhooks) */
    struct strv to; /* mail: addresses */
};

struct definition {
    enum def_kind kind;
    char *name;
    uint8_t sha256[32]; /* of the bytes given */
    union {
        struct def_pipeline *pipeline;
        struct def_environment *environment;
        struct def_notification *notification;
        struct def_role *role;
        struct def_binding *binding;
    };
};

/* Parses one document and checks it whole. 0 and *out (definition_free()), or -1 with *err holding
 * the first problem and *problems (may be NULL) all of them. What the language has but this version
 * does not do yet is a problem that says so. Bounded: size, depth 32, aliases refused. Any thread.
 */
int definition_parse(struct definition **out, const void *yaml, size_t len,
                     struct def_problems *problems, struct err *err);
void definition_free(struct definition *def);

/* Splits a stream at its document ends: calls fn for each document's bytes with the line it begins
 * on. Comments stay with their document; empty documents are left out. */
int definition_split(const void *yaml, size_t len,
                     int (*fn)(const char *doc, size_t doc_len, int first_line, void *arg,
                               struct err *err),
                     void *arg, struct err *err);

/* Key on the `definition` topic: the bare name for a pipeline, Kind/name for others. Caller frees.
 */
char *definition_key(enum def_kind kind, const char *name);

/* A value of an action's target, its {{names}} filled in: NULL, or what is wrong with it. */
const char *def_target_wrong(const char *target, const char *key, const char *value);
/* The target as the driver gets it, a YAML document. -1: over the limit of `out`. */
int def_target_yaml(const char *target, const struct def_pair *pairs, size_t count,
                    struct buf *out);

const struct def_stage *def_pipeline_stage(const struct def_pipeline *p, const char *name,
                                           size_t *index);
const struct def_action *def_stage_action(const struct def_stage *s, const char *name,
                                          size_t *step);
const struct def_source *def_pipeline_source(const struct def_pipeline *p, const char *name);
bool def_source_matches(const struct def_source *s, const char *full_ref);
/* Whether a change of these paths counts (`paths:`); what could not be listed whole does. */
bool def_source_wants(const struct def_source *s, char *const *paths, size_t count, bool complete);

#endif
