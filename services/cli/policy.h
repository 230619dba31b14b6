/* `gantry policy test`: a pipeline's past played again under another definition.
 *
 *   policy_history.c   the ledger's Decisions -> what came in then (inputs, results, votes)
 *   policy_outcome.c   Decisions -> what became of each release in each stage
 *   policy_sim.h       what came in, given to the engine under the new definition, at its time
 *   policy_diff.c      the two outcomes compared
 *   policy.c           the command
 *
 * What is not in the ledger: the arguments of commands that were refused, heartbeats, revisions
 * that changed nothing. What an executor or a voter did is answered to the same question asked in
 * the new run, as long after it was asked as it took then. */
#ifndef GANTRY_CLI_POLICY_H
#define GANTRY_CLI_POLICY_H

#include "base/id.h"
#include "base/map.h"
#include "definition/definition.h"
#include "engine/engine.h"
#include "gantry/v1/command.pb-c.h"
#include "gantry/v1/decision.pb-c.h"
#include "gantry/v1/result.pb-c.h"

struct json_t;

/* ---- what came in ---- */

struct policy_input {
    size_t index; /* of its Decision in the history */
    int64_t time_ms;
    enum topic topic; /* TOPIC_SOURCE or TOPIC_COMMAND */
    void *message;    /* SourceChanged or Command; release numbers are those of then */
    char ce_id[64];
};

/* One asking of an action, or of a gate's check, then. */
struct policy_run {
    uint64_t release;
    char *stage, *action;
    uint32_t number;
    char id[ID_SIZE];
    enum topic topic; /* of the answer */
    size_t asked_index, ended_index;
    int64_t asked_ms, ended_ms;     /* ended 0: it never was */
    Gantry__V1__Finished *finished; /* what the executor said; NULL: nothing */
};

struct policy_vote {
    Gantry__V1__Vote *vote;
    char ce_id[64];
    size_t index;
    int64_t time_ms;
};
/* One opening of an approval then. */
struct policy_approval {
    uint64_t release;
    char *stage, *gate, *digest;
    uint32_t number;
    char id[ID_SIZE];
    int64_t opened_ms;
    struct policy_vote *votes;
    size_t count;
};

/* An environment as a deploy of then found it. */
struct policy_environment {
    struct engine_environment env; /* its strings are owned */
    uint8_t sha256[SHA256_SIZE];
    struct definition *parsed; /* NULL: its YAML does not parse any more */
    int64_t from_ms;
};

struct policy_list {
    void **items;
    size_t count, room;
};
void policy_list_add(struct policy_list *list, void *item);

struct policy_history {
    char *pipeline;
    int64_t since_ms;            /* releases started later count; INT64_MIN: all */
    struct engine_state *before; /* the state then; NULL: nothing was decided since */
    size_t first;                /* the first Decision after that */
    size_t decisions;
    int64_t begin_ms, end_ms; /* of the Decisions since */
    uint64_t epoch;
    struct policy_list inputs;       /* struct policy_input, those since */
    struct policy_list runs;         /* struct policy_run, all, in order of asking */
    struct policy_list approvals;    /* struct policy_approval, all */
    struct policy_list environments; /* struct policy_environment */
    struct map *run_by_id;           /* struct policy_run */
    struct map *run_by_place;        /* the same by policy_place() */
    struct map *approval_by_id;
    struct map *starts; /* "INDEX/NTH" or "rollback/RELEASE" -> release as (void *)(uintptr_t) */
    uint64_t defined;   /* definitions taken since */
    uint64_t refused;   /* commands refused since */
};

/* "12 prod/app 1"; the caller frees. */
char *policy_place(uint64_t release, const char *stage, const char *action, uint32_t number);

void policy_history_init(struct policy_history *history, const char *pipeline, int64_t since_ms);
void policy_history_release(struct policy_history *history);
/* The next Decision of the pipeline; `state` is what it was before it. */
void policy_history_add(struct policy_history *history, const struct engine_state *state,
                        const Gantry__V1__Decision *decision);

/* ---- what became of it ---- */

struct outcome_vote {
    char *stage, *who;
    char ce_id[64];
    bool approve, counted;
    char *reason; /* why it did not count */
};
struct outcome_stage {
    char *name;
    int64_t waiting_ms, entered_ms, ended_ms; /* the first time; 0: never */
    struct strv held_by;                      /* as said last before it entered */
    int status;                               /* Gantry__V1__Status, the last; 0: not ended */
    char *reason;
};
struct outcome {
    uint64_t release;
    bool rollback;
    char *commit;
    int64_t started_ms, ended_ms;
    size_t started_index;
    int status; /* Gantry__V1__Status; 0: not ended */
    char *reason;
    uint64_t superseded_by;
    struct policy_list stages; /* struct outcome_stage */
    struct policy_list votes;  /* struct outcome_vote */
};
struct outcomes {
    struct policy_list items; /* struct outcome, in order of starting */
    struct map *by_number;
};
void outcomes_init(struct outcomes *outcomes);
void outcomes_release(struct outcomes *outcomes);
void outcomes_add(struct outcomes *outcomes, const Gantry__V1__Decision *decision, size_t index);
struct outcome *outcomes_find(const struct outcomes *outcomes, uint64_t release);
struct outcome_stage *outcome_stage(const struct outcome *outcome, const char *name);

/* ---- the new run ---- */

struct policy_result {
    struct outcomes would;
    struct map *then_of; /* release of the new run -> of then, as (void *)(uintptr_t) */
    struct map *new_of;  /* the other way round */
    struct strv assumed; /* sentences */
};
/* `yaml` is the new definition of the pipeline, `environments` (struct definition *) are those that
 * were given with it. -1: a bug, or an input that the engine does not take. */
int policy_run(struct policy_result *out, const struct policy_history *history, const char *yaml,
               size_t yaml_len, struct definition *const *environments, size_t environment_count,
               struct err *err);
void policy_result_release(struct policy_result *result);

/* ---- compared ---- */

/* An array of {release, stage, what, then, would, because}. */
struct json_t *policy_diff(const struct policy_history *history, const struct outcomes *then,
                           const struct policy_result *result);

uint64_t policy_number(const struct map *map, uint64_t release); /* 0: none */

#endif
