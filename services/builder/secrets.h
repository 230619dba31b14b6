/* Parameters and secrets: the store with its master key, AWS, who may manage them, and the call
 * that answers a build. Loop thread. */
#ifndef GANTRY_SERVICES_BUILDER_SECRETS_H
#define GANTRY_SERVICES_BUILDER_SECRETS_H

#include "auth/auth.h"
#include "parameters/parameters.h"
#include "svc/svc.h"

struct secrets_conf {
    char *parameters; /* gantry or aws */
    char *master_key, *old_master_key;
    char *store_dir;
    struct conf_map grants; /* pipeline -> paths */
    char *bootstrap_token;  /* a secret's name */
    char *aws_region, *aws_endpoint_url, *aws_profile;
};

struct secrets {
    struct svc *svc;
    const struct secrets_conf *conf;
    char *dir;       /* of the store: no build may see it */
    struct aws *aws; /* NULL: nothing of AWS is set */
    struct vault *vault;
    struct parameters *parameters; /* what a build asks: parameters_resolve() */
    struct secret_grant *grants;
    struct secret_grants granted; /* them, as the resolver wants them */
    struct auth *auth;
    struct bus_follower *follower; /* of `access` */
    struct metric *malformed;
    bool tokens_known;
};

/* `builder_dir`: where the store is, if not set. As the user who runs builds. */
int secrets_new(struct secrets **out, struct svc *svc, const struct secrets_conf *conf,
                const char *builder_dir, struct err *err);
void secrets_free(struct secrets *secrets); /* NULL is accepted */

/* Who asks, if they have the role operator; answers 401, 403 or 503 itself and returns -1 if not.
 */
int secrets_operator(struct secrets *secrets, struct http_request *req, struct auth_person *out);

/* ---- rest_secret.c ---- */
void rest_secret_routes(struct secrets *secrets);

#endif
