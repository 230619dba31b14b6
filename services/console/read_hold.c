/* What holds a release on a transition, with what people want to know of it; transitions, pins and
 * freezes. Gates are described by the definition in force: a release that began by an older one may
 * be held by a gate which that does not have, and is told its name and when to look again. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "calendar/window.h"
#include "events/event.h"
#include "gantry/v1/request.pb-c.h"
#include "services/console/read.h"

/* ---- transitions, pins, freezes ---- */

json_t *read_transition(struct sqlite_db *db, const char *pipeline, const char *stage)
{
    json_t *transition = NULL;

    struct sqlite_rows *rows =
        sqlite_select(db,
                      "SELECT pipeline, stage, enabled, reason, actor, since_ms FROM transitions"
                      " WHERE pipeline = ? AND stage = ?",
                      SQL_TEXT(pipeline), SQL_TEXT(stage));
    if (sqlite_next(rows)) {
        transition = json_object();
        put_text(transition, "pipeline", rows, 0);
        put_text(transition, "stage", rows, 1);
        json_object_set_new(transition, "enabled", json_boolean(sqlite_int(rows, 2)));
        put_text(transition, "reason", rows, 3);
        put_text(transition, "by", rows, 4);
        put_int(transition, "sinceMs", rows, 5);
    }
    sqlite_rows_end(rows);
    return transition;
}

json_t *read_pins(struct sqlite_db *db, const char *pipeline, const char *environment)
{
    json_t *pins = json_array();

    struct sqlite_rows *rows =
        sqlite_select(db,
                      "SELECT pipeline, environment, digest, reason, actor, since_ms FROM pins"
                      " WHERE (?1 IS NULL OR pipeline = ?1) AND (?2 IS NULL OR environment = ?2)"
                      " ORDER BY environment, pipeline",
                      SQL_TEXT(pipeline), SQL_TEXT(environment));
    while (sqlite_next(rows)) {
        json_t *pin = json_object();
        put_text(pin, "pipeline", rows, 0);
        put_text(pin, "environment", rows, 1);
        put_text(pin, "digest", rows, 2);
        put_text(pin, "reason", rows, 3);
        put_text(pin, "by", rows, 4);
        put_int(pin, "sinceMs", rows, 5);
        json_array_append_new(pins, pin);
    }
    sqlite_rows_end(rows);
    return pins;
}

/* Whether the window is open now, and when that changes: never is left out. */
static bool put_window(json_t *object, const char *text, int64_t now_ms)
{
    struct window *window = NULL;
    struct err err;

    if (window_parse(&window, text, &err) != 0)
        return false;
    bool open = window_is_open(window, now_ms);
    int64_t change_ms = window_next_change(window, now_ms);
    if (change_ms != INT64_MAX)
        json_object_set_new(object, "untilMs", json_integer(change_ms));
    window_free(window);
    return open;
}

json_t *read_freezes(struct sqlite_db *db, const char *environment, int64_t now_ms)
{
    json_t *freezes = json_array();

    struct sqlite_rows *rows = sqlite_select(
        db,
        "SELECT environment, window_text, reason FROM freezes WHERE ?1 IS NULL OR environment = ?1"
        " ORDER BY environment, position",
        SQL_TEXT(environment));
    while (sqlite_next(rows)) {
        json_t *freeze = json_object();
        put_text(freeze, "environment", rows, 0);
        put_text(freeze, "window", rows, 1);
        put_text(freeze, "reason", rows, 2);
        bool open = put_window(freeze, sqlite_text(rows, 1), now_ms);
        json_object_set_new(freeze, "frozen", json_boolean(open));
        json_array_append_new(freezes, freeze);
    }
    sqlite_rows_end(rows);
    return freezes;
}

/* ---- one hold ---- */

static void put_release(json_t *hold, const char *text)
{
    uint64_t number;

    if (str_to_u64(text, &number) == 0)
        json_object_set_new(hold, "release", json_integer((json_int_t)number));
}

/* Members of `from` but those that the hold has already, or that say where it is. */
static void take_over(json_t *hold, json_t *from)
{
    json_t *value;
    const char *key;

    json_object_foreach(from, key, value)
    {
        if (!json_object_get(hold, key) && !str_eq(key, "pipeline") && !str_eq(key, "stage"))
            json_object_set(hold, key, value);
    }
    json_decref(from);
}

/* The freeze that is on now; of several the one that ends last. */
static void put_freeze(struct sqlite_db *db, json_t *hold, const char *environment, int64_t now_ms)
{
    json_t *freezes = read_freezes(db, environment, now_ms), *freeze, *longest = NULL;
    json_int_t last = -1;
    size_t i;

    json_array_foreach(freezes, i, freeze)
    {
        json_t *until = json_object_get(freeze, "untilMs");
        json_int_t ends = until ? json_integer_value(until) : INT64_MAX;
        if (json_is_true(json_object_get(freeze, "frozen")) && ends > last) {
            longest = freeze;
            last = ends;
        }
    }
    json_object_set_new(hold, "environment", json_string(environment));
    if (longest) {
        json_object_del(longest, "frozen");
        take_over(hold, json_incref(longest));
    }
    json_decref(freezes);
}

static void put_pin(struct sqlite_db *db, json_t *hold, const char *pipeline,
                    const char *environment)
{
    json_t *pins = read_pins(db, pipeline, environment);
    json_t *pin = json_array_get(pins, 0);

    json_object_set_new(hold, "environment", json_string(environment));
    if (pin)
        take_over(hold, json_incref(pin));
    json_decref(pins);
}

static void put_disabled(struct sqlite_db *db, json_t *hold, const struct hold_place *place)
{
    json_t *transition = read_transition(db, place->pipeline, place->stage);

    if (!transition)
        return;
    json_object_del(transition, "enabled");
    take_over(hold, transition);
}

json_t *read_check(struct sqlite_db *db, const struct hold_place *place, const char *gate)
{
    json_t *check = json_object();

    struct sqlite_rows *rows = sqlite_select(
        db,
        "SELECT type, number, run_id, asked_ms, open, yes, reason, answered_ms, answer_run_id,"
        " ask_again_ms FROM checks WHERE pipeline = ? AND release = ? AND stage = ? AND gate = ?",
        SQL_TEXT(place->pipeline), SQL_INT(place->release), SQL_TEXT(place->stage), SQL_TEXT(gate));
    if (sqlite_next(rows)) {
        bool open = sqlite_int(rows, 4);
        put_text(check, "type", rows, 0);
        put_int(check, "number", rows, 1);
        put_text(check, "runId", rows, open || sqlite_is_null(rows, 7) ? 2 : 8);
        put_int(check, "askedMs", rows, 3);
        json_object_set_new(check, "asking", json_boolean(open));
        if (!sqlite_is_null(rows, 7)) {
            json_object_set_new(check, "answer", json_string(sqlite_int(rows, 5) ? "yes" : "no"));
            put_text(check, "reason", rows, 6);
            put_int(check, "answeredMs", rows, 7);
        }
        put_int(check, "askAgainMs", rows, 9);
    }
    sqlite_rows_end(rows);
    return check;
}

/* What the definition in force says of the gate; NULL: it has none of that name. */
static json_t *find_gate(json_t *gates, const char *name)
{
    json_t *gate;
    size_t i;

    json_array_foreach(gates, i, gate)
    {
        if (str_eq(json_string_value(json_object_get(gate, "name")), name))
            return gate;
    }
    return NULL;
}

/* "approval-2" -> "approval". */
static json_t *kind_of(const char *name)
{
    size_t len = strcspn(name, "-");

    return json_stringn(name, len);
}

/* It is over so long after the release came here, unless the clock is not what ends it: a rollback
 * of the stage before stops it. */
static void put_soak(json_t *hold, const struct hold_place *place, int64_t soak_ms)
{
    int64_t over_ms = place->waiting_ms + soak_ms;

    json_object_set_new(hold, "soakMs", json_integer(soak_ms));
    if (place->look_again_ms && place->look_again_ms <= over_ms)
        json_object_set_new(hold, "untilMs", json_integer(over_ms));
}

static void put_gate(struct sqlite_db *db, json_t *hold, const struct hold_place *place,
                     json_t *gates, const char *name)
{
    json_t *gate = find_gate(gates, name);
    const char *kind;

    json_object_set_new(hold, "kind",
                        gate ? json_incref(json_object_get(gate, "kind")) : kind_of(name));
    kind = json_string_value(json_object_get(hold, "kind"));
    if (str_eq(kind, "check"))
        take_over(hold, read_check(db, place, name));
    if (gate && str_eq(kind, "soak")) {
        put_soak(hold, place, json_integer_value(json_object_get(gate, "soakMs")));
    } else if (gate && str_eq(kind, "window")) {
        const char *window = json_string_value(json_object_get(gate, "window"));
        json_object_set_new(hold, "window", json_string(window));
        if (put_window(hold, window, place->now_ms)) /* open: it is only about to be looked at */
            json_object_del(hold, "untilMs");
    } else if (gate) {
        take_over(hold, json_incref(gate));
    } else if (place->look_again_ms && (str_eq(kind, "soak") || str_eq(kind, "window"))) {
        json_object_set_new(hold, "untilMs", json_integer(place->look_again_ms));
    }
}

/* ---- all that hold ---- */

static json_t *stage_gates(struct sqlite_db *db, const struct hold_place *place)
{
    struct sqlite_rows *rows =
        sqlite_select(db, "SELECT gates_json FROM stages WHERE pipeline = ? AND name = ?",
                      SQL_TEXT(place->pipeline), SQL_TEXT(place->stage));
    json_t *gates = sqlite_next(rows) ? json_loads(sqlite_text(rows, 0), 0, NULL) : NULL;

    sqlite_rows_end(rows);
    return gates;
}

static json_t *hold_json(struct sqlite_db *db, const struct hold_place *place, json_t *gates,
                         const char *name)
{
    const char *colon = strchr(name, ':');
    json_t *hold = json_object();

    json_object_set_new(hold, "name", json_string(name));
    if (colon)
        json_object_set_new(hold, "kind", json_stringn(name, (size_t)(colon - name)));
    if (str_starts(name, "occupied:") || str_starts(name, "behind:"))
        put_release(hold, colon + 1);
    else if (str_starts(name, "freeze:"))
        put_freeze(db, hold, colon + 1, place->now_ms);
    else if (str_starts(name, "pinned:"))
        put_pin(db, hold, place->pipeline, colon + 1);
    else if (str_eq(name, "disabled")) {
        json_object_set_new(hold, "kind", json_string("disabled"));
        put_disabled(db, hold, place);
    } else {
        put_gate(db, hold, place, gates, name);
    }
    return hold;
}

json_t *read_held(struct sqlite_db *db, const struct hold_place *place, const char *held_by_json)
{
    json_t *names = json_loads(held_by_json, 0, NULL), *held = json_array(), *name;
    json_t *gates = json_array_size(names) ? stage_gates(db, place) : NULL;
    size_t i;

    json_array_foreach(names, i, name)
        json_array_append_new(held, hold_json(db, place, gates, json_string_value(name)));
    json_decref(gates);
    json_decref(names);
    return held;
}

/* ---- what people and checks said of a release ---- */

json_t *read_passes(struct sqlite_db *db, const char *pipeline, uint64_t release)
{
    json_t *passes = json_array();

    struct sqlite_rows *rows = sqlite_select(
        db,
        "SELECT stage, gate, overridden, reason, actor, time_ms FROM passes WHERE pipeline = ?"
        " AND release = ? ORDER BY time_ms, stage, gate",
        SQL_TEXT(pipeline), SQL_INT(release));
    while (sqlite_next(rows)) {
        json_t *pass = json_object();
        put_text(pass, "stage", rows, 0);
        put_text(pass, "gate", rows, 1);
        json_object_set_new(pass, "how",
                            json_string(sqlite_int(rows, 2) ? "overridden" : "promoted"));
        put_text(pass, "reason", rows, 3);
        put_text(pass, "by", rows, 4);
        put_int(pass, "timeMs", rows, 5);
        json_array_append_new(passes, pass);
    }
    sqlite_rows_end(rows);
    return passes;
}

json_t *read_checks(struct sqlite_db *db, const char *pipeline, uint64_t release)
{
    json_t *checks = json_array();

    struct sqlite_rows *rows =
        sqlite_select(db,
                      "SELECT stage, gate FROM checks WHERE pipeline = ? AND release = ?"
                      " ORDER BY COALESCE(asked_ms, answered_ms), stage, gate",
                      SQL_TEXT(pipeline), SQL_INT(release));
    while (sqlite_next(rows)) {
        const struct hold_place place = {
            .pipeline = pipeline, .stage = sqlite_text(rows, 0), .release = release};
        json_t *check = read_check(db, &place, sqlite_text(rows, 1));
        put_text(check, "stage", rows, 0);
        put_text(check, "gate", rows, 1);
        json_array_append_new(checks, check);
    }
    sqlite_rows_end(rows);
    return checks;
}
