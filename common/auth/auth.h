/* Who asks, and may they: local tokens (256 bits, kept as SHA-256) out of the `access` topic, and
 * roles. OIDC comes beside it behind the same call. Loop thread. */
#ifndef GANTRY_AUTH_AUTH_H
#define GANTRY_AUTH_AUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "events/event.h"

typedef struct Gantry__V1__Access Gantry__V1__Access;

enum auth_role {
    AUTH_VIEWER = 1,
    AUTH_DEVELOPER = 2,
    AUTH_APPROVER = 4,
    AUTH_OPERATOR = 8,
    AUTH_ADMIN = 16
};

struct auth_person {
    char subject[160]; /* token:<name> */
    char name[160];
    char email[256]; /* verified, or empty */
    struct strv groups;
    unsigned roles; /* of enum auth_role; admin implies all but approver, operator implies
                       developer, developer and approver imply viewer */
};
void auth_person_release(struct auth_person *person);

struct auth; /* the table of tokens */
struct auth *auth_new(void);
void auth_free(struct auth *auth);
void auth_apply(struct auth *auth,
                const Gantry__V1__Access *access); /* a record of `access`, in order */
/* A token that is not from the topic (a first admin's, out of a secret file): has all roles. */
void auth_add_bootstrap(struct auth *auth, const char *token, const char *name);

/* `authorization` is the header's value ("Bearer ..."), may be NULL. Constant time in the token.
 * ERR_DENIED: not known or expired. */
int auth_check(const struct auth *auth, const char *authorization, int64_t now_ms,
               struct auth_person *out, struct err *err);
/* True if the person has the role, directly or implied. */
bool auth_may(const struct auth_person *person, enum auth_role role);

/* Role names -> their bits; 0 and *err (which names the first that is none) when one is unknown or
 * none is given. */
unsigned auth_roles_parse(char *const *names, size_t count, struct err *err);

/* 256 random bits as gty_<base64url>; the caller shows it once. */
#define AUTH_TOKEN_SIZE 64
void auth_token_make(char out[AUTH_TOKEN_SIZE], uint8_t sha256[32]);

#endif
