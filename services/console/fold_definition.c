/* Definitions: their bytes, and what the page shows of a pipeline's. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hex.h"
#include "base/str.h"
#include "definition/definition.h"
#include "gantry/v1/definition.pb-c.h"
#include "log/log.h"
#include "services/console/fold.h"

static json_t *list_json(const struct strv *list)
{
    json_t *out = json_array();

    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(out, json_string(list->items[i]));
    return out;
}

static void set_text(json_t *object, const char *key, const char *value)
{
    if (!str_empty(value))
        json_object_set_new(object, key, json_string(value));
}

static void set_approval(json_t *object, const struct def_approval *approval)
{
    json_object_set_new(object, "by", list_json(&approval->by));
    json_object_set_new(object, "count", json_integer(approval->count));
    if (approval->rejects > 1)
        json_object_set_new(object, "rejects", json_integer(approval->rejects));
    json_object_set_new(object, "not", list_json(&approval->not_));
    json_object_set_new(object, "expiresMs", json_integer(approval->expires_ms));
    set_text(object, "message", approval->message);
}

static json_t *gate_json(const struct def_gate *gate)
{
    static const char *const kinds[] = {"", "approval", "soak", "window", "manual", "check"};
    json_t *json = json_object();

    json_object_set_new(json, "name", json_string(gate->name));
    json_object_set_new(json, "kind", json_string(kinds[gate->kind]));
    switch (gate->kind) {
    case DEF_GATE_APPROVAL:
        set_approval(json, &gate->approval);
        break;
    case DEF_GATE_SOAK:
        json_object_set_new(json, "soakMs", json_integer(gate->soak_ms));
        break;
    case DEF_GATE_WINDOW:
        set_text(json, "window", gate->window_text);
        break;
    case DEF_GATE_CHECK:
        set_text(json, "type", gate->check.type);
        json_object_set_new(json, "everyMs", json_integer(gate->check.every_ms));
        break;
    case DEF_GATE_MANUAL:
        break;
    }
    return json;
}

static json_t *gates_json(const struct def_stage *stage)
{
    json_t *gates = json_array();

    for (size_t i = 0; i < stage->gate_count; i++)
        json_array_append_new(gates, gate_json(&stage->gates[i]));
    return gates;
}

/* "rollback", "retry 2"; empty: it fails. */
static const char *on_failure_text(const struct def_stage *stage, char out[32])
{
    *out = '\0';
    if (stage->on_failure == DEF_ROLLBACK)
        snprintf(out, 32, "rollback");
    else if (stage->on_failure == DEF_RETRY)
        snprintf(out, 32, "retry %u", stage->retries);
    return out;
}

static json_t *action_json(const struct def_action *action)
{
    static const char *const kinds[] = {"", "build", "deploy", "approval", "custom"};
    json_t *json = json_object();

    json_object_set_new(json, "name", json_string(action->name));
    json_object_set_new(json, "kind", json_string(kinds[action->kind]));
    switch (action->kind) {
    case DEF_BUILD:
        set_text(json, "image", action->build.image);
        break;
    case DEF_DEPLOY:
        set_text(json, "environment", action->deploy.environment);
        set_text(json, "artifact", action->deploy.artifact);
        break;
    case DEF_CUSTOM:
        set_text(json, "type", action->custom.type);
        break;
    case DEF_APPROVAL:
        set_approval(json, &action->approval);
        break;
    }
    return json;
}

static json_t *steps_json(const struct def_stage *stage)
{
    json_t *steps = json_array();

    for (size_t i = 0; i < stage->step_count; i++) {
        json_t *step = json_array();
        for (size_t a = 0; a < stage->steps[i].action_count; a++)
            json_array_append_new(step, action_json(&stage->steps[i].actions[a]));
        json_array_append_new(steps, step);
    }
    return steps;
}

static json_t *sources_json(const struct def_pipeline *pipeline)
{
    json_t *sources = json_array();

    for (size_t i = 0; i < pipeline->source_count; i++) {
        json_t *source = json_object();
        json_object_set_new(source, "name", json_string(pipeline->sources[i].name));
        json_object_set_new(source, "git", json_string(pipeline->sources[i].git));
        json_object_set_new(source, "branches", list_json(&pipeline->sources[i].branches));
        if (pipeline->sources[i].tags.count)
            json_object_set_new(source, "tags", list_json(&pipeline->sources[i].tags));
        if (pipeline->sources[i].pull_requests)
            json_object_set_new(source, "pullRequests", json_true());
        json_array_append_new(sources, source);
    }
    return sources;
}

static json_t *labels_json(const struct def_pipeline *pipeline)
{
    json_t *labels = json_object();

    for (size_t i = 0; i < pipeline->label_count; i++)
        json_object_set_new(labels, pipeline->labels[i].key,
                            json_string(pipeline->labels[i].value));
    return labels;
}

/* Dumps and frees. */
static char *text_of(json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);

    json_decref(json);
    return text;
}

static void write_stages(struct sqlite_db *db, const struct def_pipeline *pipeline)
{
    sqlite_exec(db, "DELETE FROM stages WHERE pipeline = ?", SQL_TEXT(pipeline->name));
    for (size_t i = 0; i < pipeline->stage_count; i++) {
        const struct def_stage *stage = &pipeline->stages[i];
        char *gates = text_of(gates_json(stage)), *steps = text_of(steps_json(stage));
        char on_failure[32];
        sqlite_exec(db, "INSERT INTO stages VALUES (?, ?, ?, ?, ?, ?)", SQL_TEXT(pipeline->name),
                    SQL_INT(i), SQL_TEXT(stage->name), SQL_TEXT(gates), SQL_TEXT(steps),
                    SQL_TEXT(on_failure_text(stage, on_failure)));
        free(gates);
        free(steps);
    }
}

static void write_shape(struct sqlite_db *db, const struct def_pipeline *pipeline,
                        const char *sha256)
{
    static const char *const modes[] = {"", "superseded", "queued", "parallel"};
    char *labels = text_of(labels_json(pipeline)), *sources = text_of(sources_json(pipeline));

    sqlite_exec(db,
                "UPDATE pipelines SET shape_sha256 = ?, mode = ?, labels_json = ?,"
                " sources_json = ? WHERE name = ?",
                SQL_TEXT(sha256), SQL_TEXT(modes[pipeline->mode]), SQL_TEXT(labels),
                SQL_TEXT(sources), SQL_TEXT(pipeline->name));
    free(labels);
    free(sources);
    write_stages(db, pipeline);
}

void fold_shape(struct sqlite_db *db, const char *pipeline)
{
    struct definition *definition = NULL;
    size_t len;

    /* A definition that is not (yet) taken is shown only where nothing else can be. */
    struct sqlite_rows *rows = sqlite_select(
        db,
        "SELECT d.yaml, d.sha256 FROM definitions d JOIN pipelines p ON p.name = d.name"
        " WHERE d.kind = 'Pipeline' AND d.name = ? AND d.sha256 IS NOT p.shape_sha256"
        " AND (p.taken_sha256 = d.sha256 OR p.shape_sha256 IS NULL)",
        SQL_TEXT(pipeline));
    if (sqlite_next(rows)) {
        const void *yaml = sqlite_blob(rows, 0, &len);
        if (definition_parse(&definition, yaml, len, NULL, NULL) == 0 &&
            definition->kind == DEF_PIPELINE)
            write_shape(db, definition->pipeline, sqlite_text(rows, 1));
        definition_free(definition);
    }
    sqlite_rows_end(rows);
}

static void keep_outcome(struct sqlite_db *db, const struct fold_place *place, const char *fact)
{
    sqlite_exec(db,
                "INSERT OR IGNORE INTO outcomes (ce_id, fact, number, release, time_ms)"
                " VALUES (?, ?, 0, 0, ?)",
                SQL_TEXT(place->ce_id), SQL_TEXT(fact), SQL_INT(place->time_ms));
}

/* The definition parsed; NULL: it is not one of that kind and name. */
static struct definition *parsed(const Gantry__V1__Definition *message)
{
    struct definition *definition = NULL;
    struct err err = {.code = ERR_NONE};
    bool good =
        definition_parse(&definition, message->yaml.data, message->yaml.len, NULL, &err) == 0 &&
        str_eq(definition->name, message->name) &&
        str_eq(def_kind_name(definition->kind), message->kind);

    if (good)
        return definition;
    log_warn("definition ignored", LOG_S("kind", message->kind), LOG_S("name", message->name),
             LOG_S("error", err.code != ERR_NONE ? err.msg : "its kind or name is another"));
    definition_free(definition);
    return NULL;
}

static void write_freezes(struct sqlite_db *db, const char *environment,
                          const struct def_environment *parsed)
{
    sqlite_exec(db, "DELETE FROM freezes WHERE environment = ?", SQL_TEXT(environment));
    for (size_t i = 0; parsed && i < parsed->freeze_count; i++)
        sqlite_exec(db, "INSERT INTO freezes VALUES (?, ?, ?, ?)", SQL_TEXT(environment),
                    SQL_INT(i), SQL_TEXT(parsed->freezes[i].window_text),
                    SQL_TEXT(parsed->freezes[i].reason));
}

static void definition_deleted(struct sqlite_db *db, const Gantry__V1__Definition *message,
                               const struct fold_place *place)
{
    sqlite_exec(db, "DELETE FROM definitions WHERE kind = ? AND name = ?", SQL_TEXT(message->kind),
                SQL_TEXT(message->name));
    if (str_eq(message->kind, "Environment"))
        write_freezes(db, message->name, NULL);
    if (str_eq(message->kind, "Pipeline")) /* one never taken has nobody else to delete it */
        sqlite_exec(db, "UPDATE pipelines SET deleted = 1 WHERE name = ? AND taken_sha256 IS NULL",
                    SQL_TEXT(message->name));
    else
        keep_outcome(db, place, "definition-deleted");
}

void fold_definition(struct sqlite_db *db, const Gantry__V1__Definition *message,
                     const struct fold_place *place)
{
    struct definition *definition;
    char sha256[65] = "";

    if (message->deleted) {
        definition_deleted(db, message, place);
        return;
    }
    if (!(definition = parsed(message)))
        return;
    hex_encode(message->sha256.data, message->sha256.len, sha256);
    sqlite_exec(db, "INSERT OR REPLACE INTO definitions VALUES (?, ?, ?, ?, ?, ?)",
                SQL_TEXT(message->kind), SQL_TEXT(message->name), SQL_TEXT(sha256),
                SQL_BLOB(message->yaml.data, message->yaml.len), SQL_TEXT(message->author),
                SQL_INT(place->time_ms));
    if (definition->kind == DEF_PIPELINE) {
        fold_pipeline_row(db, message->name);
        sqlite_exec(db, "UPDATE pipelines SET deleted = 0 WHERE name = ? AND taken_sha256 IS NULL",
                    SQL_TEXT(message->name));
        fold_shape(db, message->name);
    } else {
        if (definition->kind == DEF_ENVIRONMENT)
            write_freezes(db, message->name, definition->environment);
        keep_outcome(db, place, "definition-taken");
    }
    definition_free(definition);
}
