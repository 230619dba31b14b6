/* Calls that wait for what the promoter makes of their record. Its answer is an event whose
 * cause_id is the record's ce_id; the fold keeps it in `outcomes`, so that a repeated call (the
 * same Idempotency-Key) and GET commands/{id} say the same later, on any console. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "log/log.h"
#include "services/console/console.h"
#include "services/console/read.h"

#define WAIT_MS     5000
#define WAITING_MAX 1000

struct waiting {
    struct waits *waits;
    struct wait wait;
    struct http_request *req;
    struct loop_timer *timer;
    struct waiting *next; /* for the same record */
    bool acknowledged;
};

struct waits {
    struct console *console;
    struct map *by_id; /* ce_id -> struct waiting */
    size_t count;
};

/* A record under way; outlives its callers. */
struct sent {
    struct waits *waits;
    char ce_id[ID_SIZE];
};

struct waits *waits_new(struct console *console)
{
    struct waits *waits = mem_alloc(sizeof(*waits));

    waits->console = console;
    waits->by_id = map_new(NULL);
    return waits;
}

static void waiting_free(struct waiting *waiting)
{
    loop_timer_free(waiting->timer);
    free(waiting);
}

void waits_free(struct waits *waits)
{
    if (!waits)
        return;
    for (struct map_iter it = {0}; map_next(waits->by_id, &it);) {
        for (struct waiting *waiting = it.value, *next; waiting; waiting = next) {
            next = waiting->next;
            waiting_free(waiting);
        }
    }
    map_free(waits->by_id);
    free(waits);
}

static void forget(struct waiting *waiting)
{
    struct waits *waits = waiting->waits;
    struct waiting *first = map_get(waits->by_id, waiting->wait.ce_id);

    if (first == waiting) {
        if (waiting->next)
            map_set(waits->by_id, waiting->wait.ce_id, waiting->next);
        else
            map_del(waits->by_id, waiting->wait.ce_id);
    } else {
        while (first && first->next != waiting)
            first = first->next;
        if (first)
            first->next = waiting->next;
    }
    waits->count--;
    waiting_free(waiting);
}

/* ---- answers ---- */

struct outcome {
    char fact[32];
    char reason[1024];
    uint64_t release;
    uint64_t number;
};

static bool find_outcome(struct sqlite_db *db, const char *ce_id, struct outcome *out)
{
    bool found = false;

    struct sqlite_rows *rows = sqlite_select(
        db, "SELECT fact, reason, release, number FROM outcomes WHERE ce_id = ?", SQL_TEXT(ce_id));
    if (sqlite_next(rows)) {
        snprintf(out->fact, sizeof(out->fact), "%s", sqlite_text(rows, 0));
        snprintf(out->reason, sizeof(out->reason), "%s", sqlite_text(rows, 1));
        out->release = (uint64_t)sqlite_int(rows, 2);
        out->number = (uint64_t)sqlite_int(rows, 3);
        found = true;
    }
    sqlite_rows_end(rows);
    return found;
}

static void reply_release(struct http_request *req, struct sqlite_db *db, const struct wait *wait,
                          const struct outcome *outcome)
{
    bool starts = str_eq(wait->what, "start") || str_eq(wait->what, "rollback");
    uint64_t number = outcome->release ? outcome->release : wait->release;
    json_t *release = read_release(db, wait->name, number);
    char location[128];

    snprintf(location, sizeof(location), "/api/v1/pipelines/%s/releases/%llu", wait->name,
             (unsigned long long)number);
    if (starts)
        http_reply_header(req, "Location", location);
    if (!release)
        release = json_pack("{s:s, s:I}", "pipeline", wait->name, "number", (json_int_t)number);
    http_reply_json(req, starts ? 201 : 200, release);
}

static void reply_transition(struct http_request *req, struct sqlite_db *db,
                             const struct wait *wait)
{
    json_t *transition = read_transition(db, wait->name, wait->part);

    http_reply_json(req, 200, transition ? transition : json_object());
}

static void reply_pin(struct http_request *req, struct sqlite_db *db, const struct wait *wait)
{
    json_t *pins = read_pins(db, wait->name, wait->part);
    json_t *pin = json_incref(json_array_get(pins, 0));

    if (!pin)
        pin = json_pack("{s:s, s:s}", "pipeline", wait->name, "environment", wait->part);
    json_object_set_new(pin, "pinned", json_boolean(json_array_size(pins)));
    http_reply_json(req, 200, pin);
    json_decref(pins);
}

static void reply_definition(struct http_request *req, const struct wait *wait,
                             const struct outcome *outcome)
{
    char etag[72];

    if (str_eq(wait->what, "delete")) {
        http_reply(req, 204, NULL, NULL, 0);
        return;
    }
    json_t *json = json_pack("{s:s, s:s, s:s, s:s}", "kind", wait->kind, "name", wait->name,
                             "sha256", wait->sha256, "status", "taken");
    if (outcome->number)
        json_object_set_new(json, "number", json_integer((json_int_t)outcome->number));
    snprintf(etag, sizeof(etag), "\"%s\"", wait->sha256);
    http_reply_header(req, "ETag", etag);
    http_reply_json(req, wait->created ? 201 : 200, json);
}

static void reply_outcome(struct http_request *req, struct sqlite_db *db, const struct wait *wait,
                          const struct outcome *outcome)
{
    if (str_eq(outcome->fact, "refused"))
        reply_problem(req, 409, "Refused", outcome->reason, NULL);
    else if (*wait->kind)
        reply_definition(req, wait, outcome);
    else if (str_eq(wait->what, "transition"))
        reply_transition(req, db, wait);
    else if (str_eq(wait->what, "pin"))
        reply_pin(req, db, wait);
    else
        reply_release(req, db, wait, outcome);
}

static void reply_unstored(struct http_request *req)
{
    http_reply_header(req, "Retry-After", "5");
    http_reply_problem(req, 503, NULL,
                       "Kafka has not acknowledged the record, which may or may not be stored;"
                       " send it again with the same Idempotency-Key");
}

static void on_timeout(void *arg)
{
    struct waiting *waiting = arg;
    char location[96];

    if (waiting->acknowledged) {
        snprintf(location, sizeof(location), "/api/v1/commands/%s", waiting->wait.ce_id);
        http_reply_header(waiting->req, "Location", location);
        http_reply_json(waiting->req, 202,
                        json_pack("{s:s, s:s, s:s}", "id", waiting->wait.ce_id, "status", "pending",
                                  "detail",
                                  "stored, and not decided yet; the promoter may be away. Look at"
                                  " Location for what becomes of it"));
    } else {
        reply_unstored(waiting->req);
    }
    forget(waiting);
}

static void on_client_gone(void *arg)
{
    forget(arg);
}

/* The promoter's word can come before the definition itself, out of another topic: who asks for it
 * next must find it. */
static bool is_readable(struct sqlite_db *db, const struct wait *wait,
                        const struct outcome *outcome)
{
    return !str_eq(wait->what, "put") || str_eq(outcome->fact, "refused") ||
           sqlite_select_int(
               db, 0, "SELECT 1 FROM definitions WHERE kind = ? AND name = ? AND sha256 = ?",
               SQL_TEXT(wait->kind), SQL_TEXT(wait->name), SQL_TEXT(wait->sha256)) == 1;
}

void waits_outcome(struct waits *waits, const char *ce_id)
{
    struct waiting *waiting = map_get(waits->by_id, ce_id);
    struct sqlite_db *db = ingest_reader(waits->console->ingest);
    struct outcome outcome = {0};

    if (!waiting || !db)
        return;
    sqlite_db_begin(db);
    bool found = find_outcome(db, ce_id, &outcome) && is_readable(db, &waiting->wait, &outcome);
    for (struct waiting *next; found && waiting; waiting = next) {
        next = waiting->next;
        reply_outcome(waiting->req, db, &waiting->wait, &outcome);
        forget(waiting);
    }
    sqlite_db_rollback(db);
}

/* ---- sending ---- */

static void on_ack(const struct bus_ack *ack, void *arg)
{
    struct sent *sent = arg;
    struct waiting *waiting = map_get(sent->waits->by_id, sent->ce_id);

    if (!ack->ok)
        log_error("record not stored", LOG_S("topic", topic_info(ack->topic)->name),
                  LOG_S("id", sent->ce_id), LOG_E(&ack->err));
    for (struct waiting *next; waiting; waiting = next) {
        next = waiting->next;
        waiting->acknowledged = ack->ok;
        if (!ack->ok) {
            reply_unstored(waiting->req);
            forget(waiting);
        }
    }
    free(sent);
}

static int produce(struct call *call, const struct wait *wait, enum topic topic,
                   const void *message, struct err *err)
{
    struct sent *sent = mem_alloc(sizeof(*sent));
    struct event_meta meta = {0};

    sent->waits = call->console->waits;
    snprintf(sent->ce_id, sizeof(sent->ce_id), "%s", wait->ce_id);
    snprintf(meta.id, sizeof(meta.id), "%s", wait->ce_id);
    if (wait->release)
        snprintf(meta.subject, sizeof(meta.subject), "%s/%llu", wait->name,
                 (unsigned long long)wait->release);
    else
        snprintf(meta.subject, sizeof(meta.subject), "%s", wait->name);
    event_trace(meta.traceparent, http_req_header(call->req, "traceparent"));
    if (bus_produce(call->console->producer, topic, &meta, message, on_ack, sent, err) == 0)
        return 0;
    free(sent);
    return -1;
}

/* Answers at once where the outcome is known already. */
static bool answered_before(struct call *call, const struct wait *wait)
{
    struct sqlite_db *db = reader_begin(call);
    struct outcome outcome = {0};

    if (!db)
        return true;
    bool found = find_outcome(db, wait->ce_id, &outcome);
    if (found)
        reply_outcome(call->req, db, wait, &outcome);
    sqlite_db_rollback(db);
    return found;
}

void waits_send(struct call *call, const struct wait *wait, enum topic topic, const void *message)
{
    struct waits *waits = call->console->waits;
    struct waiting *first = map_get(waits->by_id, wait->ce_id);
    struct err err = {.code = ERR_NONE};

    if (answered_before(call, wait))
        return;
    if (waits->count >= WAITING_MAX) {
        http_reply_header(call->req, "Retry-After", "1");
        http_reply_problem(call->req, 503, NULL, "too many calls wait for an outcome; try again");
        return;
    }
    if (!kafka_there(call))
        return;
    if (!first && produce(call, wait, topic, message, &err) != 0) {
        http_reply_err(call->req, &err);
        return;
    }
    struct waiting *waiting = mem_alloc(sizeof(*waiting));
    waiting->waits = waits;
    waiting->wait = *wait;
    waiting->req = call->req;
    waiting->next = first;
    waiting->acknowledged = first && first->acknowledged;
    waiting->timer = loop_timer_new(call->console->svc->loop, on_timeout, waiting);
    loop_timer_arm(waiting->timer, WAIT_MS);
    map_set(waits->by_id, wait->ce_id, waiting);
    waits->count++;
    http_req_on_close(call->req, on_client_gone, waiting);
}

bool waits_has_definition(const struct waits *waits, const char *kind, const char *name)
{
    for (struct map_iter it = {0}; map_next(waits->by_id, &it);) {
        const struct waiting *waiting = it.value;
        if (str_eq(waiting->wait.kind, kind) && str_eq(waiting->wait.name, name))
            return true;
    }
    return false;
}

void rest_command(struct call *call)
{
    const char *id = http_req_param(call->req, "id");
    struct outcome outcome = {0};
    struct sqlite_db *db;

    if (strlen(id) != ID_SIZE - 1 || strspn(id, "0123456789abcdef") != ID_SIZE - 1) {
        http_reply_problem(call->req, 404, NULL, "an id has 32 hex digits");
        return;
    }
    if (!(db = reader_begin(call)))
        return;
    bool found = find_outcome(db, id, &outcome);
    if (reader_end(call, db) != 0)
        return;
    json_t *json = json_pack("{s:s, s:s}", "id", id, "status",
                             !found                            ? "pending"
                             : str_eq(outcome.fact, "refused") ? "refused"
                                                               : "done");
    if (found)
        json_object_set_new(json, "fact", json_string(outcome.fact));
    if (*outcome.reason)
        json_object_set_new(json, "reason", json_string(outcome.reason));
    if (outcome.release)
        json_object_set_new(json, "release", json_integer((json_int_t)outcome.release));
    http_reply_json(call->req, 200, json);
}
