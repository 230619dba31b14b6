/* Definitions: read, checked and stored. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/hex.h"
#include "base/sha256.h"
#include "base/str.h"
#include "definition/definition.h"
#include "gantry/v1/definition.pb-c.h"
#include "services/console/console.h"
#include "services/console/read.h"

#define LIST_DEFAULT 100
#define LIST_MAX     500
#define YAML_TYPE    "application/yaml"

/* What is stored of one definition now. */
struct stored {
    bool exists;
    char sha256[65];
    char taken_sha256[65]; /* pipelines */
    int64_t number;
};

/* The kind as it is written, by the path's in any case; NULL having answered 404. */
static const char *path_kind(struct call *call)
{
    static const char *const kinds[] = {"Pipeline", "Environment", "Notification"};
    const char *given = http_req_param(call->req, "kind");

    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        if (strcasecmp(kinds[i], given) == 0)
            return kinds[i];
    }
    if (strcasecmp(given, "Role") == 0 || strcasecmp(given, "Binding") == 0)
        http_reply_problem(call->req, 404, NULL, "roles and bindings are kept by the approver");
    else
        http_reply_problem(call->req, 404, NULL,
                           "no such kind; there are Pipeline, Environment and Notification");
    return NULL;
}

static void read_stored(struct sqlite_db *db, const char *kind, const char *name,
                        struct stored *out)
{
    memset(out, 0, sizeof(*out));
    struct sqlite_rows *rows =
        sqlite_select(db,
                      "SELECT d.sha256, p.taken_sha256, p.taken_number FROM definitions d"
                      " LEFT JOIN pipelines p ON d.kind = 'Pipeline' AND p.name = d.name"
                      " WHERE d.kind = ? AND d.name = ?",
                      SQL_TEXT(kind), SQL_TEXT(name));
    if (sqlite_next(rows)) {
        out->exists = true;
        snprintf(out->sha256, sizeof(out->sha256), "%s", sqlite_text(rows, 0));
        snprintf(out->taken_sha256, sizeof(out->taken_sha256), "%s", sqlite_text(rows, 1));
        out->number = sqlite_int(rows, 2);
    }
    sqlite_rows_end(rows);
}

/* ---- reading ---- */

#define DEFINITION_COLUMNS                                                                         \
    "SELECT d.kind, d.name, d.sha256, d.author, d.time_ms, p.taken_sha256, p.taken_number,"        \
    " p.refused_sha256, p.refused_reason, d.yaml FROM definitions d LEFT JOIN pipelines p"         \
    " ON d.kind = 'Pipeline' AND p.name = d.name "

static json_t *definition_json(const struct sqlite_rows *rows, bool whole)
{
    json_t *json = json_object();
    const char *sha256 = sqlite_text(rows, 2), *status = "taken";
    size_t len;

    if (str_eq(sqlite_text(rows, 0), "Pipeline") && !str_eq(sha256, sqlite_text(rows, 5)))
        status = str_eq(sha256, sqlite_text(rows, 7)) ? "refused" : "pending";
    put_text(json, "kind", rows, 0);
    put_text(json, "name", rows, 1);
    put_text(json, "sha256", rows, 2);
    put_text(json, "author", rows, 3);
    put_int(json, "timeMs", rows, 4);
    json_object_set_new(json, "status", json_string(status));
    if (str_eq(status, "taken"))
        put_int(json, "number", rows, 6);
    if (str_eq(status, "refused"))
        put_text(json, "reason", rows, 8);
    if (whole) {
        const char *yaml = sqlite_blob(rows, 9, &len);
        json_object_set_new(json, "yaml", json_stringn(yaml, len));
    }
    return json;
}

void rest_definitions(struct call *call)
{
    const char *kind = http_req_query(call->req, "kind"),
               *after = http_req_query(call->req, "cursor");
    struct sqlite_db *db;
    int64_t limit;

    if (!query_limit(call, LIST_DEFAULT, LIST_MAX, &limit) || !(db = reader_begin(call)))
        return;
    json_t *list = json_array(), *out = json_pack("{s:o}", "definitions", list);
    struct sqlite_rows *rows = sqlite_select(
        db,
        DEFINITION_COLUMNS "WHERE (?1 IS NULL OR d.kind = ?1 COLLATE NOCASE)"
                           " AND d.kind || '/' || d.name > ?2 ORDER BY d.kind, d.name LIMIT ?3",
        SQL_TEXT(kind), SQL_TEXT(after ? after : ""), SQL_INT(limit + 1));
    while (sqlite_next(rows)) {
        if ((int64_t)json_array_size(list) == limit) {
            json_t *last = json_array_get(list, (size_t)limit - 1);
            json_object_set_new(out, "next",
                                json_sprintf("%s/%s",
                                             json_string_value(json_object_get(last, "kind")),
                                             json_string_value(json_object_get(last, "name"))));
            break;
        }
        json_array_append_new(list, definition_json(rows, false));
    }
    sqlite_rows_end(rows);
    if (reader_end(call, db) == 0)
        http_reply_json(call->req, 200, out);
    else
        json_decref(out);
}

static bool wants_yaml(const struct http_request *req)
{
    const char *accept = http_req_header(req, "Accept");

    return accept && strstr(accept, "yaml") && !strstr(accept, "application/json");
}

void rest_definition(struct call *call)
{
    const char *kind = path_kind(call), *name, *known = http_req_header(call->req, "If-None-Match");
    struct buf yaml;
    json_t *json = NULL;
    char etag[72] = "";
    struct sqlite_db *db;
    size_t len;

    if (!kind || !param_name(call, "name", &name) || !(db = reader_begin(call)))
        return;
    buf_init(&yaml, DEFINITION_SIZE_MAX);
    struct sqlite_rows *rows = sqlite_select(
        db, DEFINITION_COLUMNS "WHERE d.kind = ? AND d.name = ?", SQL_TEXT(kind), SQL_TEXT(name));
    if (sqlite_next(rows)) {
        const void *data = sqlite_blob(rows, 9, &len);
        buf_add(&yaml, data, len);
        json = definition_json(rows, true);
        snprintf(etag, sizeof(etag), "\"%s\"", sqlite_text(rows, 2));
    }
    sqlite_rows_end(rows);
    if (reader_end(call, db) != 0)
        goto out;
    if (!json) {
        http_reply_problem(call->req, 404, NULL,
                           "no such definition; GET /api/v1/definitions lists them");
        goto out;
    }
    http_reply_header(call->req, "ETag", etag);
    http_reply_header(call->req, "Vary", "Accept");
    if (known && strstr(known, etag))
        http_reply(call->req, 304, NULL, NULL, 0);
    else if (wants_yaml(call->req))
        http_reply(call->req, 200, YAML_TYPE, buf_cstr(&yaml), yaml.len);
    else
        http_reply_json(call->req, 200, json_incref(json));
out:
    json_decref(json);
    buf_release(&yaml);
}

/* ---- storing ---- */

/* Who may change environments and notifications decides what runs beside credentials and who is
 * told: an admin. Pipelines are the operators'. */
static bool may_change(struct call *call, const char *kind)
{
    if (str_eq(kind, "Pipeline") || auth_may(&call->person, AUTH_ADMIN))
        return true;
    http_reply_problem(call->req, 403, NULL, "environments and notifications need the role admin");
    return false;
}

static json_t *problem_json(int line, int column, const char *path, const char *reason)
{
    return json_pack("{s:i, s:i, s:s, s:s}", "line", line, "column", column, "path", path, "reason",
                     reason);
}

static json_t *mistake_json(const struct def_problem *problem)
{
    json_t *json = problem_json(problem->line, problem->column, problem->path, problem->reason);

    if (*problem->nearest)
        json_object_set_new(json, "nearest", json_string(problem->nearest));
    return json;
}

static void reply_invalid(struct call *call, json_t *errors)
{
    char detail[96];

    snprintf(detail, sizeof(detail), "%zu problem%s; the definition that is there stays",
             json_array_size(errors), json_array_size(errors) == 1 ? "" : "s");
    reply_problem(call->req, 422, "Definition not valid", detail, errors);
}

/* Parses the body and compares it with the path: false having answered 422. */
static bool check_body(struct call *call, const char *kind, const char *name)
{
    struct def_problems problems = {0};
    struct definition *definition = NULL;
    struct err err = {.code = ERR_NONE};
    json_t *errors = json_array();
    size_t len;
    const char *yaml = http_req_body(call->req, &len);

    if (definition_parse(&definition, yaml, len, &problems, &err) != 0) {
        for (size_t i = 0; i < problems.count; i++)
            json_array_append_new(errors, mistake_json(&problems.items[i]));
        if (problems.count == 0)
            json_array_append_new(errors, problem_json(1, 1, "", err.msg));
    } else if (!str_eq(def_kind_name(definition->kind), kind)) {
        json_array_append_new(errors, problem_json(1, 1, "kind", "is not the kind of the address"));
    } else if (!str_eq(definition->name, name)) {
        json_array_append_new(
            errors, problem_json(1, 1, "metadata.name", "is not the name of the address"));
    }
    bool good = json_array_size(errors) == 0;
    if (good)
        json_decref(errors);
    else
        reply_invalid(call, errors);
    definition_free(definition);
    def_problems_release(&problems);
    return good;
}

/* An entity tag's list against what is there: "*" or one that is equal. */
static bool tag_matches(const char *tags, const struct stored *stored)
{
    char etag[72];

    snprintf(etag, sizeof(etag), "\"%s\"", stored->sha256);
    return stored->exists && (str_eq(tags, "*") || strstr(tags, etag));
}

static bool preconditions_hold(struct call *call, const struct stored *stored, bool required)
{
    const char *match = http_req_header(call->req, "If-Match"),
               *none = http_req_header(call->req, "If-None-Match");

    if (!match && !none && required) {
        reply_problem(call->req, 428, "Precondition Required",
                      "send If-Match with the ETag of the definition that you saw, or"
                      " If-None-Match: * where there was none",
                      NULL);
        return false;
    }
    if ((!match || tag_matches(match, stored)) && (!none || !tag_matches(none, stored)))
        return true;
    reply_problem(call->req, 412, "Precondition Failed",
                  stored->exists
                      ? "the definition is another by now: get it, compare, and try again"
                      : "there is no such definition (any more)",
                  NULL);
    return false;
}

static void reply_dry_run(struct call *call, const char *kind, const char *name,
                          const char sha256[65], const struct stored *stored)
{
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:b, s:b}", "kind", kind, "name", name, "sha256", sha256,
                  "exists", stored->exists, "changed", !str_eq(sha256, stored->sha256));

    if (stored->exists)
        json_object_set_new(json, "currentSha256", json_string(stored->sha256));
    http_reply_json(call->req, 200, json);
}

static void reply_unchanged(struct call *call, const char *kind, const char *name,
                            const struct stored *stored)
{
    json_t *json = json_pack("{s:s, s:s, s:s, s:s}", "kind", kind, "name", name, "sha256",
                             stored->sha256, "status", "unchanged");
    char etag[72];

    if (stored->number)
        json_object_set_new(json, "number", json_integer(stored->number));
    snprintf(etag, sizeof(etag), "\"%s\"", stored->sha256);
    http_reply_header(call->req, "ETag", etag);
    http_reply_json(call->req, 200, json);
}

/* Two that saw the same definition must not both replace it; what is on its way is not in the read
 * model yet. */
static bool nobody_else(struct call *call, const char *kind, const char *name)
{
    if (!waits_has_definition(call->console->waits, kind, name))
        return true;
    http_reply_problem(call->req, 409, NULL,
                       "another change of this definition is on its way; get it and try again");
    return false;
}

/* `sha_hex` is that of the body; NULL: it is deleted. */
static void send_definition(struct call *call, const char *kind, const char *name,
                            const struct stored *stored, const char *sha_hex)
{
    Gantry__V1__Definition message = GANTRY__V1__DEFINITION__INIT;
    struct wait wait = {.what = sha_hex ? "put" : "delete", .created = !stored->exists};
    uint8_t hash[SHA256_SIZE], replaces[SHA256_SIZE];
    size_t len;
    const char *yaml = http_req_body(call->req, &len);

    if (!call_id(call, "definition", wait.ce_id))
        return;
    snprintf(wait.kind, sizeof(wait.kind), "%s", kind);
    snprintf(wait.name, sizeof(wait.name), "%s", name);
    message.kind = (char *)kind;
    message.name = (char *)name;
    message.author = call->person.subject;
    message.deleted = !sha_hex;
    if (sha_hex) {
        snprintf(wait.sha256, sizeof(wait.sha256), "%s", sha_hex);
        sha256(yaml, len, hash);
        message.yaml = (ProtobufCBinaryData){.data = (uint8_t *)yaml, .len = len};
        message.sha256 = (ProtobufCBinaryData){.data = hash, .len = SHA256_SIZE};
    }
    if (stored->exists && hex_decode(stored->sha256, replaces, SHA256_SIZE) == 0)
        message.replaces_sha256 = (ProtobufCBinaryData){.data = replaces, .len = SHA256_SIZE};
    waits_send(call, &wait, TOPIC_DEFINITION, &message);
}

void rest_put_definition(struct call *call)
{
    const char *kind = path_kind(call), *name, *dry = http_req_query(call->req, "dryRun");
    char sha_hex[SHA256_HEX_SIZE];
    struct stored stored;
    struct sqlite_db *db;
    size_t len;

    if (!kind || !param_name(call, "name", &name) || !may_change(call, kind) ||
        !check_body(call, kind, name) || !(db = reader_begin(call)))
        return;
    read_stored(db, kind, name, &stored);
    if (reader_end(call, db) != 0)
        return;
    const char *yaml = http_req_body(call->req, &len);
    sha256_hex(yaml, len, sha_hex);
    if (str_eq(dry, "true")) {
        reply_dry_run(call, kind, name, sha_hex, &stored);
        return;
    }
    bool in_force = !str_eq(kind, "Pipeline") || str_eq(stored.taken_sha256, sha_hex);
    /* Before the conditions, so that a call that is repeated says yes again. */
    if (stored.exists && str_eq(stored.sha256, sha_hex) && in_force)
        reply_unchanged(call, kind, name, &stored);
    else if (preconditions_hold(call, &stored, true) && nobody_else(call, kind, name))
        send_definition(call, kind, name, &stored, sha_hex);
}

void rest_delete_definition(struct call *call)
{
    const char *kind = path_kind(call), *name;
    struct stored stored;
    struct sqlite_db *db;

    if (!kind || !param_name(call, "name", &name) || !may_change(call, kind) ||
        !(db = reader_begin(call)))
        return;
    read_stored(db, kind, name, &stored);
    if (reader_end(call, db) != 0)
        return;
    if (!stored.exists)
        http_reply_problem(call->req, 404, NULL, "no such definition");
    else if (preconditions_hold(call, &stored, false) && nobody_else(call, kind, name))
        send_definition(call, kind, name, &stored, NULL);
}
