#include "services/console/order.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "base/str.h"
#include "services/console/read.h"

#define KEY_MAX 255

void order_refuse(struct call *call, const char *path, const char *reason)
{
    json_t *errors = json_pack("[{s:s, s:s}]", "path", path, "reason", reason);
    char detail[512]; /* what people are shown, who know nothing of paths */

    snprintf(detail, sizeof(detail), "%.100s: %s", path, reason);
    reply_problem(call->req, 422, "Unprocessable Content", detail, errors);
}

bool call_id(struct call *call, const char *type, char out[ID_SIZE])
{
    const char *key = http_req_header(call->req, "Idempotency-Key");
    char random[ID_SIZE];

    if (key) {
        bool visible = *key && strlen(key) <= KEY_MAX;
        for (const char *c = key; visible && *c; c++)
            visible = isgraph((unsigned char)*c);
        if (!visible) {
            http_reply_problem(call->req, 400, NULL,
                               "Idempotency-Key must be 1 to 255 visible ASCII characters");
            return false;
        }
    } else {
        id_random(random);
        key = random;
    }
    id_make(out, type, call->person.subject, key, NULL);
    return true;
}

void call_actor(const struct call *call, Gantry__V1__Actor *out)
{
    const struct auth_person *person = &call->person;

    gantry__v1__actor__init(out);
    out->subject = (char *)person->subject;
    out->name = (char *)person->name;
    out->email = (char *)person->email;
    out->groups = person->groups.items;
    out->n_groups = person->groups.count;
}

bool order_members(struct call *call, json_t *object, const char *at, const char *members)
{
    struct strv known = {0};
    bool good = true;
    const char *key;
    json_t *value;

    strv_split(&known, members, ',');
    json_object_foreach(object, key, value)
    {
        if (good && !strv_has(&known, key)) {
            char path[160], reason[256];
            snprintf(path, sizeof(path), "%s%.100s", at, key);
            snprintf(reason, sizeof(reason), "not known; there %s %s", *members ? "are" : "is",
                     *members ? members : "none");
            order_refuse(call, path, reason);
            good = false;
        }
    }
    strv_release(&known);
    return good;
}

bool order_body(struct call *call, const char *members, json_t **out)
{
    size_t len;

    http_req_body(call->req, &len);
    if (len == 0) {
        *out = json_object();
        return true;
    }
    if (http_req_json(call->req, out) != 0)
        return false;
    bool good = json_is_object(*out);
    if (!good)
        http_reply_problem(call->req, 400, NULL, "the body must be a JSON object");
    else
        good = order_members(call, *out, "", members);
    if (!good)
        json_decref(*out);
    return good;
}

bool order_text_at(struct call *call, json_t *object, const char *at, const char *key, size_t max,
                   const char **out)
{
    json_t *value = json_object_get(object, key);
    char path[160], reason[96];

    *out = value ? json_string_value(value) : "";
    if (*out && strlen(*out) <= max)
        return true;
    snprintf(path, sizeof(path), "%s%s", at, key);
    snprintf(reason, sizeof(reason), "must be a string of at most %zu bytes", max);
    order_refuse(call, path, reason);
    return false;
}

bool order_text(struct call *call, json_t *body, const char *key, size_t max, const char **out)
{
    return order_text_at(call, body, "", key, max, out);
}

bool order_begin(struct call *call, struct order *order, const char *what)
{
    char sha256[65] = "";
    const char *pipeline;
    struct sqlite_db *db;

    memset(order, 0, sizeof(*order));
    gantry__v1__command__init(&order->command);
    if (!param_name(call, "pipeline", &pipeline) || !call_id(call, "command", order->wait.ce_id) ||
        !(db = reader_begin(call)))
        return false;
    bool found = read_pipeline_definition(db, pipeline, sha256);
    if (reader_end(call, db) != 0)
        return false;
    if (!found) {
        http_reply_problem(call->req, 404, NULL,
                           "no such pipeline; GET /api/v1/pipelines lists them");
        return false;
    }
    order->wait.what = what;
    snprintf(order->wait.name, sizeof(order->wait.name), "%s", pipeline);
    order->command.pipeline = order->wait.name;
    call_actor(call, &order->caller);
    order->command.caller = &order->caller;
    if (hex_decode(sha256, order->sha256, SHA256_SIZE) == 0) {
        order->command.definition_sha256.data = order->sha256;
        order->command.definition_sha256.len = SHA256_SIZE;
    }
    return true;
}

bool order_release(struct call *call, struct order *order)
{
    struct sqlite_db *db;

    if (!param_number(call, "release", &order->wait.release) || !(db = reader_begin(call)))
        return false;
    int64_t found =
        sqlite_select_int(db, 0, "SELECT 1 FROM releases WHERE pipeline = ? AND number = ?",
                          SQL_TEXT(order->wait.name), SQL_INT(order->wait.release));
    if (reader_end(call, db) != 0)
        return false;
    if (!found)
        http_reply_problem(call->req, 404, NULL, "no such release");
    return found;
}

void order_send(struct call *call, struct order *order)
{
    waits_send(call, &order->wait, TOPIC_COMMAND, &order->command);
}
