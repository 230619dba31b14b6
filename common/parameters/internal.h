/* Shared by the files of the resolver alone. */
#ifndef GANTRY_PARAMETERS_INTERNAL_H
#define GANTRY_PARAMETERS_INTERNAL_H

#include <sys/queue.h>

#include "base/buf.h"
#include "parameters/parameters.h"
#include "secret/ref.h"

struct question;

struct parameters {
    struct parameters_conf conf;
    char *why_no_vault;
    LIST_HEAD(, parameters_call) calls;
};

struct want {
    char *variable;
    bool secret;
    struct secret_ref ref;
    struct buf value; /* wiped with secret_release() */
};

struct parameters_call {
    LIST_ENTRY(parameters_call) link;
    struct parameters *parameters; /* NULL: cancelled, or being told */
    const struct secret_grants *grants;
    char *pipeline;
    struct want *wants;
    size_t count;
    struct loop_timer *start;
    bool in_vault;              /* the vault has it */
    bool looked;                /* it was asked about grants */
    struct question *questions; /* to AWS */
    size_t question_count, question_left;
    size_t at; /* the want that an error is about */
    struct err err;
    parameters_done_fn *done;
    void *arg;
};

/* Ends it: by err, or with all values. */
void call_finish(struct parameters_call *call);

/* ---- from_aws.c ---- */
void aws_ask(struct parameters_call *call); /* then call_finish() */
void aws_questions_free(struct parameters_call *call);

#endif
