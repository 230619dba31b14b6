/* AWS on the loop: calls that are signed (SigV4), sent again with growing pauses where that can
 * help, and answered by a callback. s3.h, secrets.h and kms.h have the calls themselves. Loop
 * thread.
 *
 * Who asks is found as AWS's own tools do it, in this order: AWS_ACCESS_KEY_ID and
 * AWS_SECRET_ACCESS_KEY (AWS_SESSION_TOKEN); AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN (IRSA);
 * the profile (AWS_PROFILE, else "default") in the shared credentials file; a container's
 * credentials (AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI: ECS, EKS Pod Identity); the
 * instance's metadata (IMDSv2; AWS_EC2_METADATA_DISABLED=true: never). What expires is fetched anew
 * before that. */
#ifndef GANTRY_AWS_AWS_H
#define GANTRY_AWS_AWS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "loop/loop.h"

struct aws;
struct aws_call;

/* All is copied; NULL or 0: as said. */
struct aws_conf {
    const char *region;       /* AWS_REGION, AWS_DEFAULT_REGION, else the profile's */
    const char *endpoint_url; /* AWS_ENDPOINT_URL_S3, _SSM, _SECRETS_MANAGER, _KMS, _STS for a
                                 service, AWS_ENDPOINT_URL for all, the profile's, else AWS's own */
    const char *profile;      /* AWS_PROFILE */
    const char *ca_file;      /* AWS_CA_BUNDLE, else the system's */
    unsigned tries;           /* of a call, at most; 0: 6 */
};

/* Reads the environment and the shared files (AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE): at
 * start-up. That nobody is found who may ask is told by the first call. ERR_INVALID: there is no
 * region, or a setting is none. */
int aws_new(struct aws **out, struct loop *loop, const struct aws_conf *conf, struct err *err);
/* Calls under way are dropped without a callback. Not from inside one; NULL is accepted. */
void aws_free(struct aws *aws);
const char *aws_region(const struct aws *aws);

/* Of every call: it never calls back before it returned; `err` has code ERR_NONE when all is well,
 * else names the call, what it was about, AWS's code and message: ERR_NOT_FOUND, ERR_DENIED (also:
 * credentials that are missing, wrong or expired), ERR_CONFLICT (a precondition, something changed
 * meanwhile), ERR_INVALID, ERR_LIMIT, ERR_UNAVAILABLE and ERR_TIMEOUT (after all tries), ERR_IO (a
 * file of ours). */
void aws_call_cancel(struct aws_call *call); /* no callback follows; NULL is accepted */

#endif
