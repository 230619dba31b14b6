#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "gantry/v1/access.pb-c.h"
#include "log/log.h"
#include "services/approver/approver.h"

#define BODY_MAX (64 * 1024)
#define LIST_MAX 32
#define TEXT_MAX 150
#define WAIT_MS  10000
/* The subject of whoever holds the bootstrap token: no other may look like that. */
#define RESERVED "bootstrap"

/* What is shown of the tokens; auth keeps what checks them. */
struct tokens {
    struct approver *app;
    struct map *by_name; /* -> Gantry__V1__Access, owned */
    struct map *changes; /* ce_id -> struct change */
};

/* A change whose caller waits until it is read back: from then on this instance goes by it. */
struct change {
    struct tokens *tokens;
    struct http_request *req; /* NULL: the caller went away, or was answered */
    struct loop_timer *timer;
    char id[ID_SIZE];
    char token[AUTH_TOKEN_SIZE]; /* "" for a deletion */
    char name[64];
    bool in_flight; /* the producer holds us as its argument */
};

static void change_free(void *value)
{
    struct change *change = value;

    loop_timer_free(change->timer);
    mem_wipe(change, sizeof *change);
    free(change);
}

struct tokens *tokens_new(struct approver *app)
{
    struct tokens *tokens = mem_alloc(sizeof *tokens);

    tokens->app = app;
    tokens->by_name = map_new(event_free);
    tokens->changes = map_new(change_free);
    return tokens;
}

void tokens_free(struct tokens *tokens)
{
    if (!tokens)
        return;
    map_free(tokens->by_name);
    map_free(tokens->changes);
    free(tokens);
}

/* Frees it once neither the caller nor the producer needs it. */
static void change_answered(struct change *change)
{
    change->req = NULL;
    mem_wipe(change->token, sizeof change->token);
    loop_timer_cancel(change->timer);
    if (!change->in_flight)
        map_del(change->tokens->changes, change->id);
}

static void change_is_read(struct change *change)
{
    if (!change->req)
        return;
    if (*change->token)
        http_reply_json(change->req, 201,
                        json_pack("{s:s, s:s}", "name", change->name, "token", change->token));
    else
        http_reply(change->req, 204, NULL, NULL, 0);
    change_answered(change);
}

void tokens_apply(struct tokens *tokens, const char *id, const void *message)
{
    const Gantry__V1__Access *access = message;
    struct change *change = map_get(tokens->changes, id);

    if (!str_eq(access->kind, "Token"))
        return;
    if (access->deleted)
        map_del(tokens->by_name, access->name);
    else
        map_set(tokens->by_name, access->name, event_clone(access));
    if (change)
        change_is_read(change);
}

static json_t *strings(char *const *items, size_t count)
{
    json_t *out = json_array();

    for (size_t i = 0; i < count; i++)
        json_array_append_new(out, json_string(items[i]));
    return out;
}

static json_t *describe(const Gantry__V1__Access *access)
{
    const Gantry__V1__LocalToken *token = access->token;

    return json_pack(
        "{s:s, s:s, s:s, s:o, s:o, s:I, s:I, s:s}", "name", access->name, "person", token->person,
        "email", token->email, "groups", strings(token->groups, token->n_groups), "roles",
        strings(token->roles, token->n_roles), "createdMs", (json_int_t)token->created_ms,
        "expiresMs", (json_int_t)token->expires_ms, "author", access->author);
}

static void list(struct http_request *req, void *arg)
{
    struct approver *app = arg;
    struct auth_person person;
    struct strv names = {0};
    json_t *out;

    if (approver_person(app, req, AUTH_ADMIN, &person) < 0)
        return;
    auth_person_release(&person);
    for (struct map_iter it = {0}; map_next(app->tokens->by_name, &it);)
        strv_add(&names, it.key);
    strv_sort(&names);
    out = json_array();
    for (size_t i = 0; i < names.count; i++) {
        const Gantry__V1__Access *access = map_get(app->tokens->by_name, names.items[i]);

        if (access->local_case == GANTRY__V1__ACCESS__LOCAL_TOKEN)
            json_array_append_new(out, describe(access));
    }
    strv_release(&names);
    http_reply_json(req, 200, json_pack("{s:o}", "tokens", out));
}

static void on_close(void *arg)
{
    change_answered(arg);
}

static void on_timeout(void *arg)
{
    struct change *change = arg;

    if (!change->req)
        return;
    http_reply_header(change->req, "Retry-After", "5");
    http_reply_problem(change->req, 503, NULL,
                       "Kafka has not acknowledged it in time; GET /api/v1/tokens tells whether it "
                       "was stored: a token whose value you never saw should be deleted");
    change_answered(change);
}

static void on_ack(const struct bus_ack *ack, void *arg)
{
    struct change *change = arg;

    change->in_flight = false;
    if (!ack->ok)
        log_error("token change not stored", LOG_S("token", change->name), LOG_E(&ack->err));
    if (!ack->ok && change->req)
        http_reply_err(change->req, &ack->err);
    if (!ack->ok || !change->req)
        change_answered(change);
}

static void store(struct approver *app, struct http_request *req, const Gantry__V1__Access *access,
                  const char *token)
{
    struct change *change = mem_alloc(sizeof *change);
    struct event_meta meta = {0};
    struct err err;

    change->tokens = app->tokens;
    change->req = req;
    change->in_flight = true;
    id_random(change->id);
    snprintf(change->token, sizeof change->token, "%s", token);
    snprintf(change->name, sizeof change->name, "%s", access->name);
    change->timer = loop_timer_new(app->svc->loop, on_timeout, change);
    snprintf(meta.id, sizeof meta.id, "%s", change->id);
    snprintf(meta.subject, sizeof meta.subject, "%s", access->name);
    if (bus_produce(app->producer, TOPIC_ACCESS, &meta, access, on_ack, change, &err) < 0) {
        if (err.code == ERR_LIMIT)
            err.code = ERR_UNAVAILABLE; /* the queue is full, not the request too large */
        http_reply_err(req, &err);
        change_free(change);
        return;
    }
    map_set(app->tokens->changes, change->id, change);
    http_req_on_close(req, on_close, change);
    loop_timer_arm(change->timer, WAIT_MS);
    log_info(access->deleted ? "token deleted" : "token made", LOG_S("token", access->name),
             LOG_S("by", access->author));
}

/* One line of text for people, without what could pass for another line. */
static bool is_line(const char *value)
{
    for (const char *c = value; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return false;
    return strlen(value) <= TEXT_MAX;
}

/* A list of strings out of the body; borrowed. 0, or -1 having answered. */
static int read_list(struct http_request *req, const json_t *body, const char *key,
                     char *out[LIST_MAX], size_t *count)
{
    const json_t *list = json_object_get(body, key);
    char detail[128];

    *count = 0;
    if (!list)
        return 0;
    for (size_t i = 0; json_is_array(list) && i < json_array_size(list) && i < LIST_MAX; i++) {
        const char *item = json_string_value(json_array_get(list, i));

        if (str_empty(item) || !is_line(item))
            break;
        out[(*count)++] = (char *)item;
    }
    if (json_is_array(list) && *count == json_array_size(list))
        return 0;
    snprintf(detail, sizeof detail, "`%s` must be a list of at most %d strings", key, LIST_MAX);
    http_reply_problem(req, 400, NULL, detail);
    return -1;
}

static const char *text(const json_t *body, const char *key)
{
    const char *value = json_string_value(json_object_get(body, key));

    return value ? value : "";
}

static int read_token(struct http_request *req, const json_t *body, Gantry__V1__LocalToken *out,
                      char *groups[LIST_MAX], char *roles[LIST_MAX])
{
    const char *expires = text(body, "expires");
    int64_t lifetime_ms = 0;
    struct err err;

    if (read_list(req, body, "groups", groups, &out->n_groups) < 0 ||
        read_list(req, body, "roles", roles, &out->n_roles) < 0)
        return -1;
    if (!auth_roles_parse(roles, out->n_roles, &err)) {
        http_reply_problem(req, 400, NULL, err.msg);
        return -1;
    }
    if (*expires && (str_to_duration(expires, &lifetime_ms) < 0 || lifetime_ms <= 0)) {
        http_reply_problem(req, 400, NULL, "`expires` must be how long the token lives, e.g. 90d");
        return -1;
    }
    if (!is_line(text(body, "person")) || !is_line(text(body, "email"))) {
        http_reply_problem(req, 400, NULL,
                           "`person` and `email` are one line of at most 150 bytes each");
        return -1;
    }
    out->person = (char *)text(body, "person");
    out->email = (char *)text(body, "email");
    out->groups = groups;
    out->roles = roles;
    out->created_ms = clock_now_ms();
    out->expires_ms = lifetime_ms ? out->created_ms + lifetime_ms : 0;
    return 0;
}

static void create(struct http_request *req, void *arg)
{
    Gantry__V1__LocalToken local = GANTRY__V1__LOCAL_TOKEN__INIT;
    Gantry__V1__Access access = GANTRY__V1__ACCESS__INIT;
    char *groups[LIST_MAX], *roles[LIST_MAX], token[AUTH_TOKEN_SIZE];
    struct approver *app = arg;
    struct auth_person person;
    uint8_t hash[32];
    json_t *body = NULL;
    const char *name;

    if (approver_person(app, req, AUTH_ADMIN, &person) < 0)
        return;
    if (http_req_json(req, &body) < 0 || read_token(req, body, &local, groups, roles) < 0)
        goto out;
    name = text(body, "name");
    if (!str_is_name(name)) {
        http_reply_problem(req, 400, NULL, "`name` must match [a-z0-9][a-z0-9-]{0,62}");
        goto out;
    }
    if (str_eq(name, RESERVED)) {
        http_reply_problem(req, 409, NULL, "the name is that of the first admin's token");
        goto out;
    }
    if (map_get(app->tokens->by_name, name)) {
        http_reply_problem(req, 409, NULL,
                           "there is a token of this name; delete it first or choose another name");
        goto out;
    }
    if (approver_kafka_or_503(app, req) < 0)
        goto out;
    auth_token_make(token, hash);
    local.sha256 = (ProtobufCBinaryData){sizeof hash, hash};
    access.kind = "Token";
    access.name = (char *)name;
    access.author = person.subject;
    access.local_case = GANTRY__V1__ACCESS__LOCAL_TOKEN;
    access.token = &local;
    store(app, req, &access, token);
    mem_wipe(token, sizeof token);
out:
    json_decref(body);
    auth_person_release(&person);
}

static void del(struct http_request *req, void *arg)
{
    Gantry__V1__Access access = GANTRY__V1__ACCESS__INIT;
    struct approver *app = arg;
    const char *name = http_req_param(req, "name");
    struct auth_person person;

    if (approver_person(app, req, AUTH_ADMIN, &person) < 0)
        return;
    if (!map_get(app->tokens->by_name, name)) {
        http_reply_problem(req, 404, NULL, "no token of this name");
    } else if (approver_kafka_or_503(app, req) == 0) {
        access.kind = "Token";
        access.name = (char *)name;
        access.author = person.subject;
        access.deleted = 1;
        store(app, req, &access, "");
    }
    auth_person_release(&person);
}

void tokens_routes(struct approver *app)
{
    http_route(app->svc->http, "GET", "/api/v1/tokens", 0, list, app);
    http_route(app->svc->http, "POST", "/api/v1/tokens", BODY_MAX, create, app);
    http_route(app->svc->http, "DELETE", "/api/v1/tokens/{name}", 0, del, app);
}
