/* A pipeline while it is translated. Internal to `gantry import`. */
#ifndef GANTRY_CLI_IMPORT_PIPELINE_H
#define GANTRY_CLI_IMPORT_PIPELINE_H

#include <jansson.h>

#include "services/cli/import.h"

enum import_as {
    AS_SOURCE = 1, /* becomes a source */
    AS_BUILD,
    AS_APPROVAL,
    AS_DEPLOY,
    AS_CUSTOM
};

/* Texts are the input's, "" where there is none. */
struct import_action {
    const json_t *in;
    const json_t *config;
    const char *stage, *name;
    const char *category, *owner, *provider;
    const char *namespace;
    size_t stage_index;
    int64_t run_order;
    enum import_as as;
    char as_name[64];
    char where[256]; /* "Build/Image" */
    char *image;     /* a build's: the repository; NULL: makes none */
    bool image_is_guess;
    json_t *project; /* a CodeBuild project's properties; NULL: not in the input */
    const struct import_action *artifact; /* a deploy's: the build */
};

struct import_pipeline {
    struct import *imp;
    const json_t *in;
    const char *called;  /* by the input */
    char name[64];       /* here */
    char prefix[80];     /* of places in the report: "shop: " where there are several */
    char where[256];     /* the pipeline's own place */
    const char *region;  /* may be a placeholder */
    const char *account; /* may be a placeholder */
    char own_region[48], own_account[48];
    bool parallel;
    struct import_action *actions;
    size_t action_count;
    json_t *spec;
    json_t *variables; /* the input's name -> the name here */
};

/* Adds the pipeline's documents. -1: what it is, is no pipeline. */
int import_pipeline(struct import *imp, const json_t *in, const char *logical, struct err *err);

/* ---- import_actions.c ---- */

/* A member by its name in get-pipeline ("runOrder") or in a template ("RunOrder"). */
const json_t *import_get(const json_t *object, const char *key);
const char *import_get_text(const json_t *object, const char *key); /* "" where there is none */
/* Fills p->actions. -1 with what is wrong. */
int import_gather(struct import_pipeline *p, struct err *err);
void import_actions_release(struct import_pipeline *p);
/* The action whose output the artifact is; NULL. */
const struct import_action *import_producer(const struct import_pipeline *p, const char *artifact);
/* The name of an action's nth input or output; "" where there is none. */
const char *import_artifact(const struct import_action *a, const char *key, size_t n);
bool import_is_before(const struct import_action *a, const struct import_action *b);

/* ---- import_source.c ---- */

void import_sources(struct import_pipeline *p);
/* The source that an action's first input comes from. */
const char *import_source_of(const struct import_pipeline *p, const struct import_action *a);
/* The one branch of a source action; "" where that cannot be told. */
const char *import_branch(const struct import_action *a);

/* ---- import_build.c, import_deploy.c, import_gate.c: one entry of a stage's steps or gates ----
 */

json_t *import_build(struct import_pipeline *p, struct import_action *a);
json_t *import_deploy(struct import_pipeline *p, struct import_action *a);
json_t *import_custom(struct import_pipeline *p, struct import_action *a);
json_t *import_approval(struct import_pipeline *p, struct import_action *a);
/* Decides which builds make images; before anything is written. */
void import_find_images(struct import_pipeline *p);
/* beforeEntry as gates, onSuccess as last steps, onFailure. */
void import_conditions(struct import_pipeline *p, const json_t *stage, size_t index,
                       json_t *out_stage, json_t *steps);
bool import_deploys_image(const struct import_action *a);

/* ---- import_text.c ---- */

/* A valid name of it, "x" where nothing is left. */
void import_name(char out[64], const char *text);
/* Lower-case letters and digits joined by single dashes; cut. */
void import_slug(char *out, size_t size, const char *text);
/* A custom action's type for a provider's name: StepFunctions -> step-functions. */
void import_type(char out[64], const char *provider, const char *category);
/* Replaces controls, what reverses text, and what is no UTF-8, in place. */
void import_clean(char *text);
/* For messages, inputs and environments: #{...} as {{...}}, cleaned. The caller frees. `a` NULL: a
 * condition of stage `stage_index`. */
char *import_text(struct import_pipeline *p, const struct import_action *a, size_t stage_index,
                  const char *text);
/* A repository that a definition accepts. The caller frees. */
char *import_image(const char *text);
/* "45m" for minutes within limits; false: no number. */
bool import_minutes(const char *minutes, int64_t least, int64_t most, char out[32]);
/* Keys that a definition accepts for an input, a variable; false: had to be changed. */
bool import_key(char *out, size_t size, const char *key, bool is_variable);

/* Words for a line about an action or the pipeline. */
#define NOTE(p, kind, place, ...) import_note((p)->imp, kind, place, __VA_ARGS__)

#endif
