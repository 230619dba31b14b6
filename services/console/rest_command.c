/* What people ask of a pipeline: checked here, sent as a Command, decided by the promoter. */
#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "definition/definition.h"
#include "gantry/v1/command.pb-c.h"
#include "services/console/order.h"
#include "services/console/read.h"

#define REF_MAX       1024
#define VARIABLES_MAX 100
#define VALUE_MAX     4096
#define COMMIT_MIN    7

/* ---- start ---- */

/* What is asked of one source. */
struct asked {
    char at[40]; /* where it stands in the body: "", or "revisions[1]." */
    Gantry__V1__Revision message;
    char commit[65];
    char ref[REF_MAX + 16];
    char source[64];
};

struct start {
    Gantry__V1__StartRelease message;
    struct asked asked[DEFINITION_SOURCES_MAX];
    Gantry__V1__Revision *revisions[DEFINITION_SOURCES_MAX];
    Gantry__V1__KeyValue pairs[VARIABLES_MAX];
    Gantry__V1__KeyValue *variables[VARIABLES_MAX];
};

static void refuse(struct call *call, const struct asked *asked, const char *key,
                   const char *reason)
{
    char path[80];

    snprintf(path, sizeof(path), "%s%s", asked->at, key);
    order_refuse(call, path, reason);
}

static bool read_variables(struct call *call, json_t *body, struct start *start)
{
    json_t *variables = json_object_get(body, "variables"), *value;
    const char *key;

    if (!variables)
        return true;
    if (!json_is_object(variables) || json_object_size(variables) > VARIABLES_MAX) {
        order_refuse(call, "variables", "must be an object of at most 100 strings");
        return false;
    }
    json_object_foreach(variables, key, value)
    {
        const char *text = json_string_value(value);
        char path[160];
        bool good = isalpha((unsigned char)*key) || *key == '_';
        for (const char *c = key; good && *c; c++)
            good = isalnum((unsigned char)*c) || *c == '_';
        snprintf(path, sizeof(path), "variables.%.128s", key);
        if (!good || strlen(key) > 128 || !text || strlen(text) > VALUE_MAX) {
            order_refuse(call, path,
                         "a name is [A-Za-z_][A-Za-z0-9_]*, a value a string of at most 4096"
                         " bytes");
            return false;
        }
        size_t n = start->message.n_variables++;
        gantry__v1__key_value__init(&start->pairs[n]);
        start->pairs[n].key = (char *)key;
        start->pairs[n].value = (char *)text;
        start->variables[n] = &start->pairs[n];
    }
    start->message.variables = start->variables;
    return true;
}

/* All digits of a commit that is known of the source, by the first ones. */
static const char *resolve_commit(struct sqlite_db *db, const char *pipeline, const char *source,
                                  const char *text, char out[65])
{
    const char *problem = "no known commit of the source begins so; give all its 40 digits";
    char beyond[80];

    snprintf(beyond, sizeof(beyond), "%.64s~", text);
    struct sqlite_rows *rows = sqlite_select(
        db,
        "SELECT commit_id FROM revisions WHERE pipeline = ?1 AND source = ?2 AND commit_id >= ?3"
        " AND commit_id < ?4 UNION SELECT commit_id FROM heads WHERE pipeline = ?1 AND source = ?2"
        " AND commit_id >= ?3 AND commit_id < ?4 LIMIT 2",
        SQL_TEXT(pipeline), SQL_TEXT(source), SQL_TEXT(text), SQL_TEXT(beyond));
    if (sqlite_next(rows)) {
        snprintf(out, 65, "%s", sqlite_text(rows, 0));
        problem = sqlite_next(rows) ? "more than one commit begins so; give more digits" : NULL;
    }
    sqlite_rows_end(rows);
    return problem;
}

static bool read_commit(struct call *call, const char *pipeline, const char *text,
                        struct asked *asked)
{
    const char *problem = NULL;
    size_t len = strlen(text);
    struct sqlite_db *db;

    for (size_t i = 0; i < len && i < sizeof(asked->commit) - 1; i++)
        asked->commit[i] = (char)tolower((unsigned char)text[i]);
    if (len < COMMIT_MIN || len > 64 || strspn(asked->commit, "0123456789abcdef") != len) {
        refuse(call, asked, "revision", "must be a commit: 7 to 64 hex digits");
        return false;
    }
    if (len == 40 || len == 64)
        return true;
    char prefix[65];
    memcpy(prefix, asked->commit, sizeof(prefix));
    if (!(db = reader_begin(call)))
        return false;
    problem = resolve_commit(db, pipeline, asked->source, prefix, asked->commit);
    if (reader_end(call, db) != 0)
        return false;
    if (problem)
        refuse(call, asked, "revision", problem);
    return !problem;
}

/* The source's name: as given, or the only one there is. */
static bool read_source(struct call *call, const char *pipeline, const char *given,
                        struct asked *asked)
{
    struct sqlite_db *db = reader_begin(call);
    size_t count = 0, i;
    json_t *source;

    if (!db)
        return false;
    struct sqlite_rows *rows =
        sqlite_select(db, "SELECT sources_json FROM pipelines WHERE name = ?", SQL_TEXT(pipeline));
    json_t *sources = sqlite_next(rows) ? json_loads(sqlite_text(rows, 0), 0, NULL) : NULL;
    sqlite_rows_end(rows);
    json_array_foreach(sources, i, source)
    {
        const char *name = json_string_value(json_object_get(source, "name"));
        if (!str_empty(given) && !str_eq(given, name))
            continue;
        snprintf(asked->source, sizeof(asked->source), "%s", name);
        count++;
    }
    json_decref(sources);
    if (reader_end(call, db) != 0)
        return false;
    if (count > 1)
        refuse(call, asked, "source", "the pipeline has several; name the one that is meant");
    else if (count == 0)
        refuse(call, asked, "source", "the pipeline has no such source");
    return count == 1;
}

static bool is_ref(const char *ref)
{
    for (const char *c = ref; *c; c++) {
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return false;
    }
    return *ref != '-' && !strstr(ref, "..");
}

/* Adds what one object asks of a source: the body, or a member of its `revisions`. */
static bool read_revision(struct call *call, const char *pipeline, json_t *object,
                          struct start *start)
{
    struct asked *asked = &start->asked[start->message.n_revisions];
    const char *commit, *ref, *source;

    if (!order_text_at(call, object, asked->at, "revision", 64, &commit) ||
        !order_text_at(call, object, asked->at, "ref", REF_MAX, &ref) ||
        !order_text_at(call, object, asked->at, "source", 63, &source))
        return false;
    if (!*asked->at && str_empty(commit) && str_empty(ref) && str_empty(source))
        return true;
    if (!is_ref(ref)) {
        refuse(call, asked, "ref", "must be a branch or a full ref, without blanks");
        return false;
    }
    if (!read_source(call, pipeline, source, asked) ||
        (!str_empty(commit) && !read_commit(call, pipeline, commit, asked)))
        return false;
    if (!str_empty(ref))
        snprintf(asked->ref, sizeof(asked->ref), "%s%s",
                 str_starts(ref, "refs/") ? "" : "refs/heads/", ref);
    gantry__v1__revision__init(&asked->message);
    asked->message.source = asked->source;
    asked->message.commit = asked->commit;
    asked->message.ref = asked->ref;
    start->revisions[start->message.n_revisions++] = &asked->message;
    return true;
}

/* The one added last is of a source of its own. */
static bool is_source_new(struct call *call, const struct start *start)
{
    size_t last = start->message.n_revisions - 1;
    const struct asked *asked = &start->asked[last];
    char reason[160];

    for (size_t i = 0; i < last; i++) {
        if (!str_eq(start->asked[i].source, asked->source))
            continue;
        snprintf(reason, sizeof(reason), "revisions[%zu] is of '%s' already: name each source once",
                 i, asked->source);
        refuse(call, asked, "source", reason);
        return false;
    }
    return true;
}

static bool read_revisions(struct call *call, const char *pipeline, json_t *body,
                           struct start *start)
{
    json_t *list = json_object_get(body, "revisions"), *object;
    size_t i;

    start->message.revisions = start->revisions;
    if (!list)
        return read_revision(call, pipeline, body, start);
    if (json_object_get(body, "revision") || json_object_get(body, "ref") ||
        json_object_get(body, "source")) {
        order_refuse(call, "revisions",
                     "excludes revision, ref and source beside it: its objects have them");
        return false;
    }
    if (!json_is_array(list) || json_array_size(list) > DEFINITION_SOURCES_MAX) {
        order_refuse(call, "revisions", "must be a list of at most 10 objects");
        return false;
    }
    json_array_foreach(list, i, object)
    {
        char *at = start->asked[i].at;
        if (!json_is_object(object)) {
            snprintf(at, sizeof(start->asked[i].at), "revisions[%zu]", i);
            order_refuse(call, at, "must be an object of source, revision and ref");
            return false;
        }
        snprintf(at, sizeof(start->asked[i].at), "revisions[%zu].", i);
        if (!order_members(call, object, at, "source,revision,ref") ||
            !read_revision(call, pipeline, object, start) || !is_source_new(call, start))
            return false;
    }
    return true;
}

void rest_start(struct call *call)
{
    struct start *start;
    struct order order;
    json_t *body;

    if (!order_begin(call, &order, "start") ||
        !order_body(call, "revision,ref,source,revisions,variables", &body))
        return;
    start = mem_alloc(sizeof(*start));
    gantry__v1__start_release__init(&start->message);
    order.command.what_case = GANTRY__V1__COMMAND__WHAT_START;
    order.command.start = &start->message;
    if (read_revisions(call, order.wait.name, body, start) && read_variables(call, body, start))
        order_send(call, &order);
    free(start);
    json_decref(body);
}

/* ---- stop, retry, rollback ---- */

void rest_stop(struct call *call)
{
    Gantry__V1__StopRelease stop = GANTRY__V1__STOP_RELEASE__INIT;
    const char *mode, *reason;
    struct order order;
    json_t *body;

    if (!order_begin(call, &order, "stop") || !order_release(call, &order) ||
        !order_body(call, "mode,reason", &body))
        return;
    order.command.what_case = GANTRY__V1__COMMAND__WHAT_STOP;
    order.command.stop = &stop;
    stop.release = order.wait.release;
    if (order_text(call, body, "mode", 16, &mode) &&
        order_text(call, body, "reason", ORDER_REASON_MAX, &reason)) {
        bool abandon = str_eq(mode, "abandon");
        stop.reason = (char *)reason;
        stop.mode = abandon ? GANTRY__V1__STOP_MODE__STOP_MODE_ABANDON
                            : GANTRY__V1__STOP_MODE__STOP_MODE_WAIT;
        if (abandon || str_empty(mode) || str_eq(mode, "wait"))
            order_send(call, &order);
        else
            order_refuse(call, "mode", "must be wait or abandon");
    }
    json_decref(body);
}

void rest_retry(struct call *call)
{
    Gantry__V1__RetryStage retry = GANTRY__V1__RETRY_STAGE__INIT;
    const char *stage;
    struct order order;
    json_t *body;

    if (!order_begin(call, &order, "retry") || !order_release(call, &order) ||
        !param_name(call, "stage", &stage) || !order_body(call, "allActions", &body))
        return;
    json_t *all = json_object_get(body, "allActions");
    order.command.what_case = GANTRY__V1__COMMAND__WHAT_RETRY;
    order.command.retry = &retry;
    retry.release = order.wait.release;
    retry.stage = (char *)stage;
    retry.all_actions = json_is_true(all);
    if (!all || json_is_boolean(all))
        order_send(call, &order);
    else
        order_refuse(call, "allActions", "must be true or false");
    json_decref(body);
}

void rest_rollback(struct call *call)
{
    Gantry__V1__RollbackStage rollback = GANTRY__V1__ROLLBACK_STAGE__INIT;
    const char *stage, *reason;
    struct order order;
    json_t *body;

    if (!order_begin(call, &order, "rollback") || !param_name(call, "stage", &stage) ||
        !order_body(call, "toRelease,reason", &body))
        return;
    json_int_t to = json_integer_value(json_object_get(body, "toRelease"));
    order.command.what_case = GANTRY__V1__COMMAND__WHAT_ROLLBACK;
    order.command.rollback = &rollback;
    rollback.stage = (char *)stage;
    rollback.to_release = (uint64_t)to;
    if (to <= 0) {
        order_refuse(call, "toRelease",
                     "must be the number of a release that succeeded in the stage");
    } else if (order_text(call, body, "reason", ORDER_REASON_MAX, &reason)) {
        rollback.reason = (char *)reason;
        order_send(call, &order);
    }
    json_decref(body);
}
