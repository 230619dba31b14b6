/* Facts about the ways between stages: transitions, gates and pins. */
#include "base/str.h"
#include "gantry/v1/event.pb-c.h"
#include "services/console/fold.h"

typedef Gantry__V1__ReleaseEvent event_t;

/* The person's name, else what identifies them; NULL: nobody. */
static const char *name_of(const Gantry__V1__Actor *actor)
{
    if (!actor)
        return NULL;
    return str_empty(actor->name) ? actor->subject : actor->name;
}

static void transition_set(struct sqlite_db *db, const event_t *event)
{
    const Gantry__V1__TransitionSet *set = event->transition_set;

    sqlite_exec(db, "INSERT OR REPLACE INTO transitions VALUES (?, ?, ?, ?, ?, ?)",
                SQL_TEXT(event->pipeline), SQL_TEXT(set->stage), SQL_INT(set->enabled),
                SQL_TEXT(set->reason), SQL_TEXT(name_of(set->by ? set->by : event->actor)),
                SQL_INT(event->time_ms));
}

static void environment_pinned(struct sqlite_db *db, const event_t *event)
{
    const Gantry__V1__EnvironmentPinned *pinned = event->environment_pinned;

    if (pinned->pinned)
        sqlite_exec(
            db, "INSERT OR REPLACE INTO pins VALUES (?, ?, ?, ?, ?, ?)", SQL_TEXT(event->pipeline),
            SQL_TEXT(pinned->environment), SQL_TEXT(pinned->digest), SQL_TEXT(pinned->reason),
            SQL_TEXT(name_of(pinned->by ? pinned->by : event->actor)), SQL_INT(event->time_ms));
    else
        sqlite_exec(db, "DELETE FROM pins WHERE pipeline = ? AND environment = ?",
                    SQL_TEXT(event->pipeline), SQL_TEXT(pinned->environment));
}

void fold_passed(struct sqlite_db *db, const char *pipeline, uint64_t release, const char *stage,
                 const char *gate)
{
    /* A freeze holds as freeze:ENVIRONMENT, and is overridden as freeze. */
    sqlite_exec(db,
                "UPDATE stage_runs SET held_by_json = (SELECT json_group_array(value)"
                " FROM json_each(held_by_json) WHERE value <> ?1"
                " AND substr(value, 1, length(?1) + 1) <> ?1 || ':') WHERE pipeline = ?2"
                " AND release = ?3 AND stage = ?4 AND number = 0 AND held_by_json IS NOT NULL",
                SQL_TEXT(gate), SQL_TEXT(pipeline), SQL_INT(release), SQL_TEXT(stage));
}

static void add_pass(struct sqlite_db *db, const event_t *event, uint64_t release,
                     const char *stage, const char *gate, const char *reason,
                     const Gantry__V1__Actor *by)
{
    sqlite_exec(db, "INSERT OR REPLACE INTO passes VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                SQL_TEXT(event->pipeline), SQL_INT(release), SQL_TEXT(stage), SQL_TEXT(gate),
                SQL_INT(event->time_ms), SQL_INT(reason != NULL), SQL_TEXT(reason),
                SQL_TEXT(name_of(by ? by : event->actor)));
    fold_passed(db, event->pipeline, release, stage, gate);
}

static void check_asked(struct sqlite_db *db, const event_t *event)
{
    const Gantry__V1__ActionRequest *request = event->check_asked->request;

    sqlite_exec(db,
                "INSERT INTO checks (pipeline, release, stage, gate, type, number, run_id,"
                " asked_ms, open) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET"
                " type = excluded.type, number = excluded.number, run_id = excluded.run_id,"
                " asked_ms = excluded.asked_ms, open = 1, ask_again_ms = NULL",
                SQL_TEXT(event->pipeline), SQL_INT(request->release), SQL_TEXT(request->stage),
                SQL_TEXT(request->action),
                SQL_TEXT(request->spec_case == GANTRY__V1__ACTION_REQUEST__SPEC_CUSTOM
                             ? request->custom->type
                             : NULL),
                SQL_INT(request->number), SQL_TEXT(request->run_id), SQL_INT(event->time_ms));
}

/* A question that could not be asked is answered all the same. */
static void check_answered(struct sqlite_db *db, const event_t *event)
{
    const Gantry__V1__CheckAnswered *answered = event->check_answered;
    struct sql_value pipeline = SQL_TEXT(event->pipeline), stage = SQL_TEXT(answered->stage),
                     gate = SQL_TEXT(answered->gate);

    if (answered->withdrawn) {
        sqlite_exec(db,
                    "UPDATE checks SET open = 0, ask_again_ms = NULL WHERE pipeline = ?"
                    " AND release = ? AND stage = ? AND gate = ?",
                    pipeline, SQL_INT(answered->release), stage, gate);
        return;
    }
    sqlite_exec(db,
                "INSERT INTO checks (pipeline, release, stage, gate, open, yes, reason,"
                " answered_ms, answer_run_id, ask_again_ms) VALUES (?, ?, ?, ?, 0, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET open = 0, yes = excluded.yes,"
                " reason = excluded.reason, answered_ms = excluded.answered_ms,"
                " answer_run_id = excluded.answer_run_id, ask_again_ms = excluded.ask_again_ms",
                pipeline, SQL_INT(answered->release), stage, gate, SQL_INT(answered->yes),
                SQL_TEXT(answered->reason), SQL_INT(event->time_ms), SQL_TEXT(answered->run_id),
                answered->ask_again_ms ? SQL_INT(answered->ask_again_ms) : SQL_NULL);
}

void fold_gate_fact(struct sqlite_db *db, const event_t *event)
{
    switch (event->fact_case) {
    case GANTRY__V1__RELEASE_EVENT__FACT_TRANSITION_SET:
        transition_set(db, event);
        break;
    case GANTRY__V1__RELEASE_EVENT__FACT_ENVIRONMENT_PINNED:
        environment_pinned(db, event);
        break;
    case GANTRY__V1__RELEASE_EVENT__FACT_RELEASE_PROMOTED:
        for (size_t i = 0; i < event->release_promoted->n_gates; i++)
            add_pass(db, event, event->release_promoted->release, event->release_promoted->stage,
                     event->release_promoted->gates[i], NULL, NULL);
        break;
    case GANTRY__V1__RELEASE_EVENT__FACT_GATE_OVERRIDDEN:
        add_pass(db, event, event->gate_overridden->release, event->gate_overridden->stage,
                 event->gate_overridden->gate, event->gate_overridden->reason,
                 event->gate_overridden->by);
        break;
    case GANTRY__V1__RELEASE_EVENT__FACT_CHECK_ASKED:
        check_asked(db, event);
        break;
    case GANTRY__V1__RELEASE_EVENT__FACT_CHECK_ANSWERED:
        check_answered(db, event);
        break;
    default:
        break;
    }
}
