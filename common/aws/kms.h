/* KMS: keys that never leave it, for wrapping keys that do. What is plain is wiped after the
 * callback. Loop thread. */
#ifndef GANTRY_AWS_KMS_H
#define GANTRY_AWS_KMS_H

#include <stddef.h>

#include "aws/aws.h"

#define KMS_PLAIN_MAX 4096 /* bytes that kms_encrypt() takes */

/* The encryption context: bound to the ciphertext, told to CloudTrail, not secret. */
struct kms_context {
    const char *name, *value;
};

struct kms_answer {
    const void *plain; /* of kms_decrypt() and kms_data_key(): 32 bytes */
    size_t plain_len;
    const void *sealed; /* of kms_encrypt() and kms_data_key() */
    size_t sealed_len;
    const char *key_id; /* the ARN of the key that did it */
};
typedef void kms_done_fn(const struct kms_answer *answer, const struct err *err, void *arg);

/* `key`: id, ARN or alias/name. `context`: ended by a NULL name; may be NULL. */
struct aws_call *kms_data_key(struct aws *aws, const char *key, const struct kms_context *context,
                              kms_done_fn *done, void *arg);
struct aws_call *kms_encrypt(struct aws *aws, const char *key, const void *plain, size_t len,
                             const struct kms_context *context, kms_done_fn *done, void *arg);
/* `key` NULL: the one that the ciphertext names. With it, no other is taken. */
struct aws_call *kms_decrypt(struct aws *aws, const char *key, const void *sealed, size_t len,
                             const struct kms_context *context, kms_done_fn *done, void *arg);

#endif
