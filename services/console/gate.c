/* What every request passes: who asks and may they, is there something to answer from, are the
 * values in the path well formed. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "log/log.h"
#include "services/console/console.h"

#define PROBLEM_TYPE "application/problem+json"

static const char *role_name(unsigned role)
{
    switch (role) {
    case AUTH_ADMIN:
        return "admin";
    case AUTH_OPERATOR:
        return "operator";
    case AUTH_DEVELOPER:
        return "developer";
    case AUTH_APPROVER:
        return "approver";
    default:
        return "viewer";
    }
}

int gate_check(struct console *console, const char *authorization, unsigned role, bool reading,
               struct auth_person *out, struct err *err)
{
    memset(out, 0, sizeof(*out));
    if (role == 0)
        return 0;
    if (!authorization && reading && console->conf.anonymous_read && role == AUTH_VIEWER) {
        snprintf(out->name, sizeof(out->name), "anonymous");
        out->roles = AUTH_VIEWER;
        return 0;
    }
    if (auth_check(console->auth, authorization, clock_now_ms(), out, err) != 0) {
        if (!authorization || ingest_access_known(console->ingest))
            return 401;
        err_set(err, ERR_UNAVAILABLE, "the tokens are still being read; try again soon");
        return 503;
    }
    if (auth_may(out, (enum auth_role)role))
        return 0;
    auth_person_release(out);
    err_set(err, ERR_DENIED, "this needs the role %s; ask an admin for a token that has it",
            role_name(role));
    return 403;
}

void reply_problem(struct http_request *req, int status, const char *title, const char *detail,
                   struct json_t *errors)
{
    json_t *problem = json_object();

    json_object_set_new(problem, "type", json_string("about:blank"));
    json_object_set_new(problem, "title", json_string(title));
    json_object_set_new(problem, "status", json_integer(status));
    json_object_set_new(problem, "detail", json_string(detail));
    if (errors)
        json_object_set_new(problem, "errors", errors);
    char *text = json_dumps(problem, JSON_COMPACT);
    http_reply(req, status, PROBLEM_TYPE, text, strlen(text));
    free(text);
    json_decref(problem);
}

/* A route and whose it is: what http_route() hands back. */
struct bound_route {
    struct console *console;
    const struct route_def *def;
};

static const struct route_def routes[] = {
    {"GET", "/api/v1/version", 0, 0, rest_version},
    {"GET", "/api/v1/openapi.json", 0, 0, rest_openapi},
    {"GET", "/api/v1/whoami", 0, AUTH_VIEWER, rest_whoami},
    {"GET", "/api/v1/pipelines", 0, AUTH_VIEWER, rest_pipelines},
    {"GET", "/api/v1/pipelines/{pipeline}", 0, AUTH_VIEWER, rest_pipeline},
    {"GET", "/api/v1/pipelines/{pipeline}/releases", 0, AUTH_VIEWER, rest_releases},
    {"GET", "/api/v1/pipelines/{pipeline}/reports", 0, AUTH_VIEWER, rest_report_trend},
    {"POST", "/api/v1/pipelines/{pipeline}/releases", 65536, AUTH_DEVELOPER, rest_start},
    {"GET", "/api/v1/pipelines/{pipeline}/releases/{release}", 0, AUTH_VIEWER, rest_release},
    {"POST", "/api/v1/pipelines/{pipeline}/releases/{release}/stop", 65536, AUTH_DEVELOPER,
     rest_stop},
    {"POST", "/api/v1/pipelines/{pipeline}/releases/{release}/stages/{stage}/retry", 65536,
     AUTH_DEVELOPER, rest_retry},
    {"POST", "/api/v1/pipelines/{pipeline}/stages/{stage}/rollback", 65536, AUTH_OPERATOR,
     rest_rollback},
    {"POST", "/api/v1/pipelines/{pipeline}/stages/{stage}/transition", 65536, AUTH_OPERATOR,
     rest_transition},
    {"POST", "/api/v1/pipelines/{pipeline}/releases/{release}/stages/{stage}/promote", 65536,
     AUTH_OPERATOR, rest_promote},
    {"POST", "/api/v1/pipelines/{pipeline}/releases/{release}/stages/{stage}/gates/{gate}/override",
     65536, AUTH_OPERATOR, rest_override},
    {"POST", "/api/v1/pipelines/{pipeline}/environments/{environment}/pin", 65536, AUTH_OPERATOR,
     rest_pin},
    {"POST", "/api/v1/pipelines/{pipeline}/environments/{environment}/unpin", 65536, AUTH_OPERATOR,
     rest_unpin},
    {"GET", "/api/v1/releases", 0, AUTH_VIEWER, rest_all_releases},
    {"GET", "/api/v1/search", 0, AUTH_VIEWER, rest_search},
    {"GET", "/api/v1/commands/{id}", 0, AUTH_VIEWER, rest_command},
    {"GET", "/api/v1/definitions", 0, AUTH_VIEWER, rest_definitions},
    {"GET", "/api/v1/definitions/{kind}/{name}", 0, AUTH_VIEWER, rest_definition},
    /* One byte more than the largest, so that the parser says what is wrong. */
    {"PUT", "/api/v1/definitions/{kind}/{name}", 256 * 1024 + 1, AUTH_OPERATOR,
     rest_put_definition},
    {"DELETE", "/api/v1/definitions/{kind}/{name}", 0, AUTH_OPERATOR, rest_delete_definition},
    {"GET", "/api/v1/environments", 0, AUTH_VIEWER, rest_environments},
    {"GET", "/api/v1/approvals", 0, AUTH_VIEWER, rest_approvals},
    {"GET", "/api/v1/runs/{run}/log", 0, AUTH_VIEWER, rest_log},
    {"GET", "/api/v1/runs/{run}/files/{name}", 0, AUTH_VIEWER, rest_file},
    {"GET", "/api/v1/ledger", 0, AUTH_VIEWER, rest_ledger},
    {"GET", "/api/v1/ledger/{partition}", 0, AUTH_VIEWER, rest_ledger_records},
    {"GET", "/api/v1/events", 0, AUTH_VIEWER, rest_events},
};
#define ROUTE_COUNT (sizeof(routes) / sizeof(*routes))

static void on_request(struct http_request *req, void *arg)
{
    const struct bound_route *bound = arg;
    struct call call = {.console = bound->console, .req = req};
    struct err err = {.code = ERR_NONE};

    int status = gate_check(bound->console, http_req_header(req, "Authorization"), bound->def->role,
                            strcmp(bound->def->method, "GET") == 0, &call.person, &err);
    if (status != 0) {
        if (status == 401)
            http_reply_header(req, "WWW-Authenticate", "Bearer");
        if (status == 503)
            http_reply_header(req, "Retry-After", "1");
        http_reply_problem(req, status, NULL, err.msg);
        return;
    }
    bound->def->fn(&call);
    auth_person_release(&call.person);
}

void routes_add(struct console *console)
{
    console->routes = mem_alloc(sizeof(*console->routes) * ROUTE_COUNT);
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        console->routes[i] = (struct bound_route){.console = console, .def = &routes[i]};
        http_route(console->svc->http, routes[i].method, routes[i].pattern, routes[i].body_limit,
                   on_request, &console->routes[i]);
    }
    page_routes(console);
}

struct sqlite_db *reader_begin(struct call *call)
{
    struct sqlite_db *db = ingest_reader(call->console->ingest);

    if (!db) {
        http_reply_header(call->req, "Retry-After", "1");
        http_reply_problem(call->req, 503, NULL,
                           "the read model is being made out of the topics; try again soon");
        return NULL;
    }
    sqlite_db_begin(db);
    return db;
}

int reader_end(struct call *call, struct sqlite_db *db)
{
    struct err err = {.code = ERR_NONE};
    int rc = sqlite_db_error(db, &err);

    sqlite_db_rollback(db);
    if (rc == 0)
        return 0;
    log_error("read model not read", LOG_S("path", http_req_path(call->req)), LOG_E(&err));
    http_reply_problem(call->req, 500, NULL, "the read model could not be read; see the log");
    if (err.code == ERR_INVALID)
        ingest_damaged(call->console->ingest);
    return -1;
}

bool kafka_there(struct call *call)
{
    char reason[256];

    if (bus_connected(call->console->svc->bus, reason))
        return true;
    http_reply_header(call->req, "Retry-After", "5");
    http_reply_problem(call->req, 503, NULL,
                       "Kafka cannot be reached, so nothing was stored; try again soon");
    return false;
}

bool param_name(struct call *call, const char *param, const char **out)
{
    *out = http_req_param(call->req, param);
    if (str_is_name(*out))
        return true;
    http_reply_problem(call->req, 404, NULL, "names are [a-z0-9][a-z0-9-]{0,62}");
    return false;
}

bool param_number(struct call *call, const char *param, uint64_t *out)
{
    if (str_to_u64(http_req_param(call->req, param), out) == 0 && *out <= INT64_MAX)
        return true;
    http_reply_problem(call->req, 404, NULL, "a number was expected in the path");
    return false;
}

bool query_limit(struct call *call, int64_t def, int64_t max, int64_t *out)
{
    const char *text = http_req_query(call->req, "limit");

    *out = def;
    if (!text || (str_to_i64(text, out) == 0 && *out >= 1 && *out <= max))
        return true;
    char detail[96];
    snprintf(detail, sizeof(detail), "limit must be a number from 1 to %lld", (long long)max);
    http_reply_problem(call->req, 400, NULL, detail);
    return false;
}
