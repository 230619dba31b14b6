/* What a buildspec's build does next: phases in order, their commands, retries, what a failure
 * skips (docs/builder.md, "buildspec 0.2"). Pure: the owner runs the commands and tells how they
 * ended.
 *
 *   - The first failing command ends its phase's commands; `finally` runs always; either failing
 *     fails the phase.
 *   - install or pre_build failing skips to the end; post_build runs even if build failed. An
 *     on-failure of ABORT or CONTINUE overrides that. A phase that failed fails the build. */
#ifndef GANTRY_BUILDSPEC_PLAN_H
#define GANTRY_BUILDSPEC_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"
#include "buildspec/buildspec.h"

enum plan_kind {
    PLAN_PHASE_BEGIN, /* of `phase` */
    PLAN_COMMAND,     /* run texts[index]; then plan_ended() */
    PLAN_PHASE_RETRY, /* it failed and is tried again; `message` tells of the failure */
    PLAN_PHASE_END,   /* `failed`, `message` */
    PLAN_DONE
};

struct plan_step {
    enum plan_kind kind;
    enum buildspec_phase_name phase;
    size_t index;        /* PLAN_COMMAND: in plan.texts */
    bool failed;         /* PLAN_PHASE_END */
    const char *message; /* valid until the next call; "" for none */
    bool succeeding;     /* CODEBUILD_BUILD_SUCCEEDING now */
};

struct plan {
    const struct buildspec *spec;
    struct strv texts; /* all commands: those of install, its finally, those of pre_build ... */
    struct strv users; /* who runs each of them: a Linux user's name */
    size_t first[BUILDSPEC_PHASES];         /* in texts */
    size_t first_finally[BUILDSPEC_PHASES]; /* in texts */
    size_t end[BUILDSPEC_PHASES];           /* in texts */
    /* Version 0.1: each command in a shell of its own, which begins as the first one began. Else
     * one shell for all, in which a `cd` or a variable lasts. */
    bool separate_shells;

    int state;
    enum buildspec_phase_name phase;
    size_t next; /* in texts */
    bool in_finally;
    bool phase_failed;
    bool waiting; /* for plan_ended() */
    unsigned retries;
    bool failed; /* the build */
    char message[512];
    /* The failure that is told: the first of the build's. */
    enum buildspec_phase_name failed_phase;
    size_t failed_index;
    int failed_code;
};

/* `spec` must live as long. */
void plan_init(struct plan *plan, const struct buildspec *spec);
void plan_release(struct plan *plan);
void plan_next(struct plan *plan, struct plan_step *step);
/* The command that plan_next() gave ended with this status. */
void plan_ended(struct plan *plan, int code);
bool plan_succeeding(const struct plan *plan);

#endif
