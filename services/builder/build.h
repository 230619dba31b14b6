/* One build, from its request to its result. */
#ifndef GANTRY_SERVICES_BUILDER_BUILD_H
#define GANTRY_SERVICES_BUILDER_BUILD_H

#include "builder.h"
#include "buildspec/plan.h"
#include "sandbox/shell.h"

/* As CodeBuild names them ("Build phase transitions"). */
enum phase {
    PHASE_SUBMITTED,
    PHASE_QUEUED,
    PHASE_PROVISIONING,
    PHASE_DOWNLOAD_SOURCE,
    PHASE_INSTALL,
    PHASE_PRE_BUILD,
    PHASE_BUILD,
    PHASE_POST_BUILD,
    PHASE_UPLOAD_ARTIFACTS,
    PHASE_FINALIZING,
    PHASE_COMPLETED,
    PHASE_COUNT
};

struct phase_record {
    bool begun;
    const char *status; /* "" while it runs */
    int64_t start_ms, end_ms;
    char *context;
};

struct build {
    struct builder *builder;
    struct executor_run *run; /* NULL: its result is told, something is still under way */
    const Gantry__V1__ActionRequest *request;
    const Gantry__V1__Revision *revision;
    struct sandbox *box;
    struct checkout *checkout; /* under way */
    struct buildspec *spec;
    struct plan plan;
    bool planned;
    struct shell *shell;
    bool exporting;
    struct phase_record phases[PHASE_COUNT];
    enum phase phase;

    bool stopping;
    enum executor_stop why;
    char *stop_reason;

    /* the image */
    char *tag;                              /* of GANTRY_IMAGE */
    char *image_uri;                        /* repository:tag */
    struct strv exported;                   /* NAME=value */
    char digest[OCI_DIGEST_SIZE];           /* "" until known */
    char check_tag[129];                    /* that must still name it; "" for none */
    struct oci_call *image_call, *tag_call; /* under way */
    char tag_digest[OCI_DIGEST_SIZE];       /* what check_tag names; "" for nothing */
    struct oci_image image;
    bool image_known;
};

/* ---- build.c ---- */
void build_start(struct executor_run *run, void *builder);
void build_stop(struct executor_run *run, enum executor_stop why, const char *reason,
                void *builder);
void build_log_ready(struct executor_run *run, void *builder);
/* Ends it as failed: `command` and `code` where a command failed, else NULL and 0. */
void build_fail(struct build *build, enum phase phase, const char *reason, const char *command,
                int code);
void build_succeed(struct build *build);
/* The machine failed it, not the build: it is started again, at most 3 times. */
void build_give_back(struct build *build, const struct err *err);

const char *phase_name(enum phase phase);
void phase_begin(struct build *build, enum phase phase);
void phase_end(struct build *build, const char *status, const char *context);

/* ---- steps.c ---- */
void steps_begin(struct build *build); /* the source is there */

/* ---- spec.c ---- */
/* The build's buildspec, or one that builds and pushes its Dockerfile. */
int spec_load(struct build *build, struct err *err);

/* ---- variables.c ---- */
/* What the commands find in their environment. */
void variables_add(const struct build *build, struct strv *env);

/* ---- image.c ---- */
/* Whether to ask the shell for these after the commands. */
#define IMAGE_DIGEST_VARIABLE "GANTRY_IMAGE_DIGEST"
#define IMAGE_DIGEST_FILE     "build/.gantry-digest"   /* what `buildah push` wrote */
int image_begin(struct build *build, struct err *err); /* repository and tag, before the commands */
void image_find(struct build *build);                  /* then build_succeed() or build_fail() */

#endif
