/* /api/v1/secrets: names, versions and grants of the store are told, values only taken.
 *
 *   GET    /api/v1/secrets           names, versions, grants, and what the store's key is sealed
 * under GET    /api/v1/secrets/NAME      one name's versions PUT    /api/v1/secrets/NAME      the
 * body is the value: a new version DELETE /api/v1/secrets/NAME POST   /api/v1/secrets/rotate    a
 * new key for the store, under the master key that is set POST   /api/v1/secret-grants {"pipeline":
 * GLOB, "path": GLOB} DELETE /api/v1/secret-grants     ?pipeline=GLOB&path=GLOB */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "log/log.h"
#include "secrets.h"

#define JSON_BODY_MAX (8 * 1024)

/* A request that waits for the store. */
struct op {
    struct secrets *secrets;
    struct http_request *req; /* NULL: its client went away */
    const char *what;         /* for the log; NULL: nothing is changed */
    char *name;               /* or a grant's path */
    char *pipeline;
    char *value;
    size_t value_len;
    char author[160];
    struct secret_version version;
    json_t *list;
};

static void op_free(void *arg)
{
    struct op *op = arg;

    if (op->value)
        mem_wipe(op->value, op->value_len);
    free(op->value);
    free(op->name);
    free(op->pipeline);
    json_decref(op->list);
    free(op);
}

static void on_close(void *arg)
{
    struct op *op = arg;

    op->req = NULL;
}

/* NULL: answered, the caller is no operator. */
static struct op *op_new(struct secrets *secrets, struct http_request *req, const char *what)
{
    struct auth_person person;
    struct op *op;

    if (secrets_operator(secrets, req, &person) < 0)
        return NULL;
    op = mem_alloc(sizeof(*op));
    op->secrets = secrets;
    op->req = req;
    op->what = what;
    snprintf(op->author, sizeof(op->author), "%s", person.subject);
    auth_person_release(&person);
    return op;
}

/* ---- what is done with the store (a worker) ---- */

static int list_work(const struct secret_store *store, void *arg, struct err *err)
{
    struct op *op = arg;

    json_decref(op->list);
    op->list = secret_store_list(store, err);
    return op->list ? 0 : -1;
}

static int put_work(const struct secret_store *store, void *arg, struct err *err)
{
    struct op *op = arg;

    return secret_store_put(store, op->name, op->value, op->value_len, op->author, clock_now_ms(),
                            &op->version, err);
}

static int delete_work(const struct secret_store *store, void *arg, struct err *err)
{
    struct op *op = arg;

    return secret_store_delete(store, op->name, err);
}

static int grant_work(const struct secret_store *store, void *arg, struct err *err)
{
    struct op *op = arg;

    return secret_store_grant(store, op->pipeline, op->name, op->author, clock_now_ms(), err);
}

static int revoke_work(const struct secret_store *store, void *arg, struct err *err)
{
    struct op *op = arg;

    return secret_store_revoke(store, op->pipeline, op->name, err);
}

/* ---- answers ---- */

static void reply_one(struct op *op)
{
    json_t *secret;
    size_t i;

    json_array_foreach(json_object_get(op->list, "secrets"), i, secret)
    {
        if (str_eq(json_string_value(json_object_get(secret, "name")), op->name)) {
            http_reply_json(op->req, 200, json_incref(secret));
            return;
        }
    }
    http_reply_problem(op->req, 404, NULL,
                       "no such secret; GET /api/v1/secrets lists those that are there");
}

static void reply(struct op *op)
{
    if (op->list && op->name)
        reply_one(op);
    else if (op->list)
        http_reply_json(op->req, 200, json_incref(op->list));
    else if (op->version.number)
        http_reply_json(op->req, 201,
                        json_pack("{s:s, s:{s:s, s:I}}", "name", op->name, "version", "id",
                                  op->version.id, "number", (json_int_t)op->version.number));
    else
        http_reply(op->req, 204, NULL, NULL, 0);
}

static void on_done(const struct err *err, void *arg)
{
    struct op *op = arg;

    if (!err->code && op->what)
        log_info(op->what, LOG_S("secret", op->name ? op->name : "*"),
                 LOG_S("pipeline", op->pipeline ? op->pipeline : ""), LOG_S("by", op->author));
    if (!op->req)
        ; /* nobody waits */
    else if (!err->code)
        reply(op);
    else if (!vault_is_open(op->secrets->vault))
        http_reply_problem(op->req, 409, "The secret store is closed", err->msg);
    else
        http_reply_err(op->req, err);
    op_free(op);
}

static void run(struct op *op, vault_work_fn *work)
{
    http_req_on_close(op->req, on_close, op);
    if (work)
        vault_run(op->secrets->vault, work, on_done, op_free, op);
    else
        vault_rotate(op->secrets->vault, on_done, op_free, op);
}

/* ---- requests ---- */

/* The name of the address; -1 having answered. */
static int take_name(struct op *op)
{
    const char *name = http_req_param(op->req, "name");

    op->name = mem_strdup(name + (*name == '/'));
    if (secret_is_name(op->name))
        return 0;
    http_reply_problem(op->req, 400, NULL,
                       "a name is letters, digits and _+=.@- in parts joined by '/'");
    op_free(op);
    return -1;
}

static void list(struct http_request *req, void *arg)
{
    struct op *op = op_new(arg, req, NULL);

    if (op)
        run(op, list_work);
}

static void get(struct http_request *req, void *arg)
{
    struct op *op = op_new(arg, req, NULL);

    if (op && take_name(op) == 0)
        run(op, list_work);
}

static void put(struct http_request *req, void *arg)
{
    struct op *op = op_new(arg, req, "secret set");
    const char *body;

    if (!op || take_name(op) < 0)
        return;
    body = http_req_body(req, &op->value_len);
    op->value = mem_alloc(op->value_len + 1);
    memcpy(op->value, body, op->value_len);
    mem_wipe((char *)(uintptr_t)body, op->value_len);
    run(op, put_work);
}

static void remove_one(struct http_request *req, void *arg)
{
    struct op *op = op_new(arg, req, "secret removed");

    if (op && take_name(op) == 0)
        run(op, delete_work);
}

static void rotate(struct http_request *req, void *arg)
{
    struct op *op = op_new(arg, req, "secret store's key rotated");

    if (op)
        run(op, NULL);
}

/* Takes a grant; -1 having answered. */
static int take_grant(struct op *op, const char *pipeline, const char *path)
{
    struct err err;

    if (secret_grant_check(pipeline ? pipeline : "", path ? path : "", &err) < 0) {
        http_reply_err(op->req, &err);
        op_free(op);
        return -1;
    }
    op->pipeline = mem_strdup(pipeline);
    op->name = mem_strdup(path);
    return 0;
}

static void grant(struct http_request *req, void *arg)
{
    struct op *op = op_new(arg, req, "secret granted");
    json_t *body = NULL;

    if (!op)
        return;
    if (http_req_json(req, &body) < 0)
        op_free(op);
    else if (take_grant(op, json_string_value(json_object_get(body, "pipeline")),
                        json_string_value(json_object_get(body, "path"))) == 0)
        run(op, grant_work);
    json_decref(body);
}

static void revoke(struct http_request *req, void *arg)
{
    struct op *op = op_new(arg, req, "secret grant revoked");

    if (op && take_grant(op, http_req_query(req, "pipeline"), http_req_query(req, "path")) == 0)
        run(op, revoke_work);
}

void rest_secret_routes(struct secrets *secrets)
{
    struct http_server *http = secrets->svc->http;

    http_route(http, "GET", "/api/v1/secrets", 0, list, secrets);
    http_route(http, "GET", "/api/v1/secrets/{name*}", 0, get, secrets);
    http_route(http, "PUT", "/api/v1/secrets/{name*}", SECRET_VALUE_MAX, put, secrets);
    http_route(http, "DELETE", "/api/v1/secrets/{name*}", 0, remove_one, secrets);
    http_route(http, "POST", "/api/v1/secrets/rotate", JSON_BODY_MAX, rotate, secrets);
    http_route(http, "POST", "/api/v1/secret-grants", JSON_BODY_MAX, grant, secrets);
    http_route(http, "DELETE", "/api/v1/secret-grants", 0, revoke, secrets);
}
