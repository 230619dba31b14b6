/* Shared by the files of S3 alone. */
#ifndef GANTRY_AWS_S3_INTERNAL_H
#define GANTRY_AWS_S3_INTERNAL_H

#include "aws/internal.h"
#include "aws/s3.h"
#include "aws/xml.h"

/* A call to fill in; what is wrong with the object is told by its callback. */
struct aws_call *s3_call_new(struct aws *aws, const char *operation, const char *method,
                             const struct s3_object *object, s3_done_fn *done, void *arg);
void s3_call_kind(struct aws_call *call, const struct s3_kind *kind);
void s3_call_body(struct aws_call *call, const void *data, size_t len);
void s3_call_done(struct aws_call *call, const struct s3_answer *answer, const struct err *err);

#endif
