/* AWS Signature Version 4 (IAM User Guide, "Create a signed AWS API request"; for S3
 * "Authenticating Requests: Using the Authorization Header"). Without I/O, clock or globals; any
 * thread.
 *
 * libcurl 7.88 can sign too, but takes the query in the order of the URL instead of sorted, does
 * not encode a path as the signature wants it, and sends S3 no x-amz-content-sha256. */
#ifndef GANTRY_AWS_SIGV4_H
#define GANTRY_AWS_SIGV4_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

struct sigv4_pair {
    const char *name, *value;
};

struct sigv4_key {
    const char *id, *secret;
    const char *region, *service; /* us-east-1, s3 */
};

struct sigv4_request {
    const char *method;
    const char
        *path; /* as it is sent: encoded once, which is what S3 signs; others have "/" only */
    const char *query;                /* as sigv4_query() made it, and as it is sent */
    const struct sigv4_pair *headers; /* those to be signed; names in lower case, each once */
    size_t header_count;              /* `host` and `x-amz-date` among them */
    const char *date;                 /* x-amz-date: 20150830T123600Z */
    const char *payload_sha256;       /* hex, or UNSIGNED-PAYLOAD */
};

/* Percent-encodes all but unreserved characters (RFC 3986, 2.3), and `/` where it is kept. */
void sigv4_encode(struct buf *out, const char *text, bool keep_slash);
/* Sorted and encoded pairs, of plain text each. */
void sigv4_query(struct buf *out, const struct sigv4_pair *pairs, size_t count);
/* Adds the value of the header Authorization. */
void sigv4_sign(struct buf *out, const struct sigv4_key *key, const struct sigv4_request *request);

#endif
