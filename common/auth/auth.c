#include "auth/auth.h"

#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "base/str.h"
#include "gantry/v1/access.pb-c.h"

#define TOKEN_PREFIX "gty_"
#define TOKEN_BYTES  32

struct token {
    uint8_t sha256[SHA256_SIZE];
    struct auth_person person;
    int64_t expires_ms; /* 0: never */
};

/* Tokens are found by the hex of their hash: what an attacker can learn from the look-up's time is
 * about a hash that they cannot steer towards a stored one. */
struct auth {
    struct map *by_hash;      /* -> struct token */
    struct map *hash_of_name; /* a token's name -> its hash in hex */
    unsigned bootstrap_count;
};

static void token_free(void *value)
{
    struct token *token = value;

    if (!token)
        return;
    auth_person_release(&token->person);
    free(token);
}

void auth_person_release(struct auth_person *person)
{
    strv_release(&person->groups);
    memset(person, 0, sizeof *person);
}

struct auth *auth_new(void)
{
    struct auth *auth = mem_alloc(sizeof *auth);

    auth->by_hash = map_new(token_free);
    auth->hash_of_name = map_new(free);
    return auth;
}

void auth_free(struct auth *auth)
{
    if (!auth)
        return;
    map_free(auth->by_hash);
    map_free(auth->hash_of_name);
    free(auth);
}

static unsigned role_named(const char *name)
{
    static const struct {
        const char *name;
        enum auth_role role;
    } roles[] = {{"viewer", AUTH_VIEWER},
                 {"developer", AUTH_DEVELOPER},
                 {"approver", AUTH_APPROVER},
                 {"operator", AUTH_OPERATOR},
                 {"admin", AUTH_ADMIN}};

    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        if (str_eq(roles[i].name, name))
            return roles[i].role;
    return 0;
}

unsigned auth_roles_parse(char *const *names, size_t count, struct err *err)
{
    unsigned roles = 0;

    for (size_t i = 0; i < count; i++) {
        unsigned role = role_named(names[i]);

        if (!role) {
            err_set(err, ERR_INVALID,
                    "no role '%s'; there are viewer, developer, approver, operator and admin",
                    names[i]);
            return 0;
        }
        roles |= role;
    }
    if (!roles)
        err_set(err, ERR_INVALID, "a token needs at least one role");
    return roles;
}

static void token_forget(struct auth *auth, const char *name)
{
    char *hash = map_take(auth->hash_of_name, name);

    if (hash)
        map_del(auth->by_hash, hash);
    free(hash);
}

static void token_put(struct auth *auth, const char *name, struct token *token)
{
    char hex[SHA256_HEX_SIZE];

    token_forget(auth, name);
    hex_encode(token->sha256, SHA256_SIZE, hex);
    map_set(auth->by_hash, hex, token);
    map_set(auth->hash_of_name, name, mem_strdup(hex));
}

void auth_apply(struct auth *auth, const Gantry__V1__Access *access)
{
    const Gantry__V1__LocalToken *local;
    struct token *token;

    if (!str_eq(access->kind, "Token"))
        return;
    if (access->deleted || access->local_case != GANTRY__V1__ACCESS__LOCAL_TOKEN) {
        token_forget(auth, access->name);
        return;
    }
    local = access->token;
    if (local->sha256.len != SHA256_SIZE) {
        token_forget(auth, access->name);
        return;
    }
    token = mem_alloc(sizeof *token);
    memcpy(token->sha256, local->sha256.data, SHA256_SIZE);
    token->expires_ms = local->expires_ms;
    snprintf(token->person.subject, sizeof token->person.subject, "token:%s", access->name);
    snprintf(token->person.name, sizeof token->person.name, "%s",
             str_empty(local->person) ? access->name : local->person);
    snprintf(token->person.email, sizeof token->person.email, "%s", local->email);
    for (size_t i = 0; i < local->n_groups; i++)
        strv_add(&token->person.groups, local->groups[i]);
    for (size_t i = 0; i < local->n_roles; i++)
        token->person.roles |= role_named(local->roles[i]);
    token_put(auth, access->name, token);
}

void auth_add_bootstrap(struct auth *auth, const char *secret, const char *name)
{
    struct token *token = mem_alloc(sizeof *token);
    char key[32];

    sha256(secret, strlen(secret), token->sha256);
    snprintf(token->person.subject, sizeof token->person.subject, "token:%s", name);
    snprintf(token->person.name, sizeof token->person.name, "%s", name);
    token->person.roles = AUTH_VIEWER | AUTH_DEVELOPER | AUTH_APPROVER | AUTH_OPERATOR | AUTH_ADMIN;
    /* A key that no token of the topic can have: names hold no blank. */
    snprintf(key, sizeof key, "bootstrap %u", auth->bootstrap_count++);
    token_put(auth, key, token);
}

int auth_check(const struct auth *auth, const char *authorization, int64_t now_ms,
               struct auth_person *out, struct err *err)
{
    char hex[SHA256_HEX_SIZE];
    uint8_t hash[SHA256_SIZE];
    const struct token *token;
    const char *secret;

    memset(out, 0, sizeof *out);
    if (str_empty(authorization))
        return err_set(err, ERR_DENIED, "no token: send `Authorization: Bearer <token>`");
    if (strncasecmp(authorization, "Bearer ", 7) != 0)
        return err_set(err, ERR_DENIED, "the Authorization header must be `Bearer <token>`");
    secret = authorization + 7 + strspn(authorization + 7, " ");
    sha256(secret, strlen(secret), hash);
    hex_encode(hash, SHA256_SIZE, hex);
    token = map_get(auth->by_hash, hex);
    if (!token || !ct_equal(token->sha256, SHA256_SIZE, hash, SHA256_SIZE))
        return err_set(err, ERR_DENIED, "the token is not known; it may have been deleted");
    if (token->expires_ms && token->expires_ms <= now_ms)
        return err_set(err, ERR_DENIED, "the token has expired; ask an admin for a new one");
    *out = token->person;
    memset(&out->groups, 0, sizeof out->groups);
    for (size_t i = 0; i < token->person.groups.count; i++)
        strv_add(&out->groups, token->person.groups.items[i]);
    return 0;
}

bool auth_may(const struct auth_person *person, enum auth_role role)
{
    unsigned roles = person->roles;

    if (roles & AUTH_ADMIN)
        roles |= AUTH_OPERATOR;
    if (roles & AUTH_OPERATOR)
        roles |= AUTH_DEVELOPER;
    if (roles & (AUTH_DEVELOPER | AUTH_APPROVER))
        roles |= AUTH_VIEWER;
    return (roles & role) != 0;
}

void auth_token_make(char out[AUTH_TOKEN_SIZE], uint8_t hash[SHA256_SIZE])
{
    uint8_t bytes[TOKEN_BYTES];
    char *text;

    random_bytes(bytes, sizeof bytes);
    text = base64url_encode(bytes, sizeof bytes);
    snprintf(out, AUTH_TOKEN_SIZE, TOKEN_PREFIX "%s", text);
    sha256(out, strlen(out), hash);
    mem_wipe(bytes, sizeof bytes);
    mem_wipe(text, strlen(text));
    free(text);
}
