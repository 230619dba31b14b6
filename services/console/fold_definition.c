/* Definitions: their bytes, and what the page shows of a pipeline's. */
#include <jansson.h>
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
    json_object_set_new(object, "not", list_json(&approval->not_));
    json_object_set_new(object, "expiresMs", json_integer(approval->expires_ms));
    set_text(object, "message", approval->message);
}

static json_t *gates_json(const struct def_stage *stage)
{
    json_t *gates = json_array();

    for (size_t i = 0; i < stage->gate_count; i++) {
        json_t *gate = json_object();
        json_object_set_new(gate, "name", json_string(stage->gates[i].name));
        json_object_set_new(gate, "kind", json_string("approval"));
        set_approval(gate, &stage->gates[i].approval);
        json_array_append_new(gates, gate);
    }
    return gates;
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
        sqlite_exec(db, "INSERT INTO stages VALUES (?, ?, ?, ?, ?)", SQL_TEXT(pipeline->name),
                    SQL_INT(i), SQL_TEXT(stage->name), SQL_TEXT(gates), SQL_TEXT(steps));
        free(gates);
        free(steps);
    }
}

static void write_shape(struct sqlite_db *db, const struct def_pipeline *pipeline,
                        const char *sha256)
{
    char *labels = text_of(labels_json(pipeline)), *sources = text_of(sources_json(pipeline));

    sqlite_exec(db,
                "UPDATE pipelines SET shape_sha256 = ?, mode = ?, labels_json = ?,"
                " sources_json = ? WHERE name = ?",
                SQL_TEXT(sha256), SQL_TEXT(pipeline->mode == DEF_QUEUED ? "queued" : "superseded"),
                SQL_TEXT(labels), SQL_TEXT(sources), SQL_TEXT(pipeline->name));
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

static bool parses(const Gantry__V1__Definition *message)
{
    struct definition *definition = NULL;
    struct err err = {.code = ERR_NONE};
    bool good =
        definition_parse(&definition, message->yaml.data, message->yaml.len, NULL, &err) == 0 &&
        str_eq(definition->name, message->name) &&
        str_eq(def_kind_name(definition->kind), message->kind);

    if (!good)
        log_warn("definition ignored", LOG_S("kind", message->kind), LOG_S("name", message->name),
                 LOG_S("error", err.code != ERR_NONE ? err.msg : "its kind or name is another"));
    definition_free(definition);
    return good;
}

void fold_definition(struct sqlite_db *db, const Gantry__V1__Definition *message,
                     const struct fold_place *place)
{
    bool is_pipeline = str_eq(message->kind, "Pipeline");
    char sha256[65] = "";

    if (message->deleted) {
        sqlite_exec(db, "DELETE FROM definitions WHERE kind = ? AND name = ?",
                    SQL_TEXT(message->kind), SQL_TEXT(message->name));
        if (is_pipeline) /* one that the promoter never took has nobody else to delete it */
            sqlite_exec(db,
                        "UPDATE pipelines SET deleted = 1 WHERE name = ? AND taken_sha256 IS NULL",
                        SQL_TEXT(message->name));
        else
            keep_outcome(db, place, "definition-deleted");
        return;
    }
    if (!parses(message))
        return;
    hex_encode(message->sha256.data, message->sha256.len, sha256);
    sqlite_exec(db, "INSERT OR REPLACE INTO definitions VALUES (?, ?, ?, ?, ?, ?)",
                SQL_TEXT(message->kind), SQL_TEXT(message->name), SQL_TEXT(sha256),
                SQL_BLOB(message->yaml.data, message->yaml.len), SQL_TEXT(message->author),
                SQL_INT(place->time_ms));
    if (is_pipeline) {
        fold_pipeline_row(db, message->name);
        sqlite_exec(db, "UPDATE pipelines SET deleted = 0 WHERE name = ? AND taken_sha256 IS NULL",
                    SQL_TEXT(message->name));
        fold_shape(db, message->name);
    } else {
        keep_outcome(db, place, "definition-taken");
    }
}
