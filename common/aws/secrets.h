/* Where AWS keeps what builds ask for: Systems Manager's Parameter Store and Secrets Manager.
 * Values are wiped after the callback, as far as the libraries below let us. Loop thread. */
#ifndef GANTRY_AWS_SECRETS_H
#define GANTRY_AWS_SECRETS_H

#include <stddef.h>

#include "aws/aws.h"

#define SSM_NAMES_MAX 10 /* of one call */

struct ssm_parameter {
    const char *name;  /* as it was asked for */
    const char *value; /* decrypted; NULL: there is none of that name */
};
/* One a name, in the order asked; NULL where err says why. */
typedef void ssm_done_fn(const struct ssm_parameter *parameters, size_t count,
                         const struct err *err, void *arg);
/* GetParameters with decryption: names, ARNs, each also with ":version" or ":label" (such a one is
 * best asked for alone: not every server that speaks like SSM tells which one it answered). */
struct aws_call *ssm_get(struct aws *aws, const char *const *names, size_t count, ssm_done_fn *done,
                         void *arg);

struct secret_value {
    const void *data; /* SecretString, or SecretBinary decoded; NUL-terminated */
    size_t len;
    const char *version_id;
};
typedef void secret_done_fn(const struct secret_value *value, const struct err *err, void *arg);
/* GetSecretValue. `id`: name or ARN; stage and version_id: NULL or "" for the current one. */
struct aws_call *secrets_manager_get(struct aws *aws, const char *id, const char *stage,
                                     const char *version_id, secret_done_fn *done, void *arg);

#endif
