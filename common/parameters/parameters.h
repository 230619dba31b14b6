/* What env.parameter-store and env.secrets-manager of a buildspec ask for, answered from Gantry's
 * own store or from AWS (SSM's GetParameters, Secrets Manager's GetSecretValue), if the pipeline
 * was granted it. Loop thread. */
#ifndef GANTRY_PARAMETERS_PARAMETERS_H
#define GANTRY_PARAMETERS_PARAMETERS_H

#include <stdbool.h>
#include <stddef.h>

#include "aws/aws.h"
#include "base/err.h"
#include "loop/loop.h"
#include "parameters/vault.h"
#include "secret/grant.h"

#define PARAMETERS_MAX 500 /* of one build */

struct parameters;
struct parameters_conf {
    struct loop *loop;
    bool from_aws; /* else from the store */
    struct vault
        *vault; /* the store, and its grants; NULL: none can be opened, and `why_no_vault` */
    const char *why_no_vault;
    struct aws *aws; /* NULL: none, if not from_aws */
    const struct secret_grants
        *grants; /* of the settings; NULL: none. Not copied, nor what it has */
};
struct parameters *parameters_new(const struct parameters_conf *conf);
void parameters_free(struct parameters *parameters); /* calls under way are dropped */

/* A line of one of the two mappings. */
struct parameter_want {
    const char *variable;  /* what it sets */
    const char *reference; /* what it reads: see secret/ref.h */
    bool secret;           /* of env.secrets-manager */
};
struct parameter_value {
    char *variable;
    char *value; /* one with a zero byte is refused */
};
struct parameter_values {
    struct parameter_value *items; /* in the order of what was wanted */
    size_t count;
};
void parameter_values_release(struct parameter_values *values); /* wipes them */

/* What a log must not show: each value, and each line of one with several that has 4 characters at
 * least (shorter ones, like the braces of a JSON, would hide what is no secret). */
void parameter_values_masks(const struct parameter_values *values,
                            void (*mask)(const char *text, size_t len, void *arg), void *arg);

/* `values` is NULL where err says why: the first variable that could not be had, and what to do.
 * Taken over by the callback, which is later, never at once. ERR_DENIED: no grant; ERR_NOT_FOUND;
 * ERR_INVALID: a reference or a value cannot be; ERR_UNAVAILABLE, ERR_TIMEOUT: AWS is away. */
typedef void parameters_done_fn(struct parameter_values *values, const struct err *err, void *arg);
struct parameters_call;
struct parameters_call *parameters_resolve(struct parameters *parameters, const char *pipeline,
                                           const struct parameter_want *wants, size_t count,
                                           parameters_done_fn *done, void *arg);
void parameters_cancel(struct parameters_call *call); /* no callback follows; NULL is accepted */

#endif
