/* What the engine knows of one pipeline. Inside the library only.
 *
 * DESIGN
 *   engine_step() must never disagree with engine_fold(): what it plans has to hold after the fold.
 *   So step works on a clone and applies every change to it by the very function that fold uses
 *   (fold_change()); what it decides next, it decides by looking at the clone. There is one writer
 *   of states and no second model of them.
 *
 *   For that a clone has to be cheap: a state is a small struct that points to counted parts
 *   (shared.h). Cloning takes references; a writer copies a part that somebody else holds too
 *   (state_*_own() below), and that is one release, as a rule. What grows with time (ids, people)
 *   is left alone in the clone of a step, since a step looks at it once, before its first change.
 *
 *   The price: a part must never be written through a pointer that was not got by *_own(). */
#ifndef GANTRY_ENGINE_STATE_H
#define GANTRY_ENGINE_STATE_H

#include "base/id.h"
#include "base/sha256.h"
#include "base/str.h"
#include "definition/definition.h"
#include "engine/batch.h"
#include "engine/engine.h"
#include "engine/ids.h"
#include "engine/people.h"
#include "engine/shared.h"
#include "gantry/v1/decision.pb-c.h"

#define STATE_FAILED_MAX      10 /* that failed at a stage and can be retried, in parallel mode */
#define STATE_PINS_MAX        100
#define STATE_DISABLED_MAX    100  /* transitions */
#define STATE_HISTORY         10   /* releases that succeeded in a stage and can be gone back to */
#define STATE_RELEASES_MAX    200  /* under way or waiting */
#define STATE_HEADS_MAX       5000 /* (source, ref): the oldest is forgotten beyond */
#define STATE_TAKEN_MAX       1000 /* identities of definitions that were replaced */
#define STATE_VOTES_MAX       (128 * 1024) /* bytes of an approval's */
#define STATE_EXPORT_MAX      (16 * 1024)  /* bytes of exported variables a release */
#define STATE_DEFINITIONS_MAX (512 * 1024) /* bytes of the definitions in use */
#define STATE_RETENTION_MS    (INT64_C(30) * 24 * 3600 * 1000) /* of `command` and `source` */
#define STATE_CHANGES_MAX     (800 * 1000) /* bytes of one Decision's changes, by estimate */
#define STATE_RELEASES_BYTES  (400 * 1024) /* of what releases carry, by estimate */
#define STATE_PLAN_MAX        (64 * 1024)  /* bytes of a batch's plan */
#define STATE_BUILDS_MAX      100          /* of a batch */
#define STATE_STAGE_BUILDS_MAX                                                                     \
    300 /* of all batches of a stage: one Decision may have to end them */

/* A message that no longer changes. */
struct fixed {
    struct shared shared;
    ProtobufCMessage *message;
};
struct fixed *fixed_new(const void *message); /* a copy of it */
struct fixed *fixed_adopt(void *message);     /* takes it over */

/* A list of parts. */
struct parts {
    void **items;
    size_t count;
};
void parts_add(struct parts *parts, void *part); /* takes over the reference */
void parts_insert(struct parts *parts, size_t at, void *part);
void parts_remove(struct parts *parts, size_t at);
void parts_copy(struct parts *to, const struct parts *from);
void parts_release(struct parts *parts);

/* A definition that a Decision took, kept while it is the current one or a release uses it. */
struct taken {
    struct shared shared;
    uint64_t number;
    uint8_t sha256[SHA256_SIZE];
    void *yaml;
    size_t yaml_len;
    struct definition *parsed;
};
/* NULL and *err if the bytes are no Pipeline definition. */
struct taken *taken_new(uint64_t number, const void *yaml, size_t len, struct err *err);

/* Identities of those replaced, so that a Command that saw one is known to have seen a real one. */
struct replaced {
    struct shared shared;
    struct replaced_item {
        uint8_t sha256[SHA256_SIZE];
        int64_t at_ms; /* when it was replaced */
    } * items;         /* in that order */
    size_t count;
};

/* The newest commit of a (source, ref). */
struct head {
    struct shared shared;
    Gantry__V1__Revision *revision; /* without git and credentials: those are the definition's */
    uint64_t seen;                  /* its number among the revisions seen, from 1 */
    bool unstarted; /* no release began with it: its source was not defined, or another's missing */
};

/* What a release was started with. */
struct facts {
    struct shared shared;
    Gantry__V1__ReleaseStarted *started; /* without people and artifacts */
    uint64_t *seen;                      /* of each revision; 0: never reported */
};

/* Variables that a finished action left for later ones. */
struct exports {
    struct shared shared;
    char *action;
    Gantry__V1__KeyValue **items;
    size_t count;
    size_t bytes;
};

enum approval_state { APPROVAL_NONE, APPROVAL_OPEN, APPROVAL_GIVEN, APPROVAL_SHUT };
struct approval {
    struct shared shared;
    enum approval_state state;
    uint32_t number; /* of times it was opened */
    char id[ID_SIZE];
    int64_t opened_ms, expires_ms;
    char *digest;
    struct parts votes; /* struct fixed of Vote: those that counted */
};

/* The question of a `check:` gate. */
enum check_state { CHECK_NONE, CHECK_ASKED, CHECK_NO, CHECK_YES };
struct check {
    enum check_state state;
    uint32_t number; /* of times it was asked for this release */
    char id[ID_SIZE];
    int64_t at_ms; /* asked: when the answer comes too late; no: when it is asked again; yes: up to
                      when that is fresh */
};

/* What a gate of a transition has come to. */
struct gate {
    bool overridden;
    bool promoted;             /* `manual:` */
    struct approval *approval; /* once opened */
    struct check check;
};

enum run_state {
    RUN_NONE, /* not requested yet, or to be requested again */
    RUN_REQUESTED,
    RUN_STARTED,
    RUN_BUILDING, /* it answered with a plan, and the builds of its batch are under way */
    RUN_SUCCEEDED,
    RUN_FAILED,
    RUN_STOPPED,
    RUN_ABANDONED
};
/* One action of the stage that a release is in, or one build of its batch. */
struct run {
    enum run_state state;
    bool retry_lost;
    bool was_lost;   /* since the stage was entered: the next time it fails */
    uint32_t number; /* of times it was requested for this release */
    uint32_t attempt;
    char id[ID_SIZE];
    int64_t deadline_ms;
    struct approval *approval; /* of an approval action, once requested */
    uint32_t builds_asked;     /* the highest number that a build of its batches has had */
    struct batch *batch;       /* RUN_BUILDING; else what one that did not succeed left, so that
                                  a retry asks for less */
};

/* Builds, one a bit, by their place in the plan. */
struct build_set {
    uint64_t bits[(STATE_BUILDS_MAX + 63) / 64];
};

/* A batch's plan, that no longer changes. */
struct planned {
    struct shared shared;
    Gantry__V1__BatchPlan *message;
    struct build_set *needs; /* of each build: what ends before it begins */
};

/* The builds of an action that asks for a batch. */
struct batch {
    struct shared shared;
    struct planned *plan;
    struct batch_build {
        struct run run;
        struct fixed *left; /* Finished: image and exported variables; NULL: it has not succeeded */
    } * builds;             /* as many as the plan has, in its order */
    size_t count;
    size_t failed; /* the first whose failure is not ignored, from 1; 0: none */
    char *why;     /* it failed; NULL: none */
};

/* Which run of the stage that a release is in. */
struct slot {
    size_t place; /* of the action, counted over all steps */
    size_t build; /* of its batch, from 1; 0: the action itself */
};

/* Somebody whose vote let the release into a stage, where a later one asks for others. */
struct approver {
    struct shared shared;
    char *stage, *subject, *email;
};

#define OVERRIDES_DISABLED 1u
#define OVERRIDES_FREEZE   2u

enum release_phase {
    RELEASE_WAITING, /* on the transition into `stage` */
    RELEASE_INSIDE,  /* in it */
    RELEASE_OUT,     /* out of the last one that it runs: ends in the same Decision */
    RELEASE_FAILED,  /* ended inside `stage`; kept while it may be retried */
    RELEASE_REFUSED  /* ended on the transition into `stage`; likewise */
};
struct release {
    struct shared shared;
    uint64_t number;
    struct facts *facts;
    struct taken *definition;
    struct parts artifacts; /* struct fixed of Artifact, in the order they were set */
    struct parts exports;   /* struct exports, likewise */
    enum release_phase phase;
    bool told; /* StageWaiting was said of this transition */
    enum stage_result { STAGE_NOT_ENDED, STAGE_SUCCEEDED, STAGE_NOT_SUCCEEDED } ended; /* of OUT */
    int stopping;           /* Gantry__V1__StopModeTaken; 0: no */
    uint32_t stage;         /* by its place in the definition */
    uint32_t entered;       /* times that it entered `stage` */
    uint64_t arrived;       /* order of arrival at the transition, over all releases */
    int64_t arrived_ms;     /* on the transition: what it waited for there before does not count */
    unsigned overrides;     /* of the transition, OVERRIDES_... */
    char *held;             /* what was said to hold it, approvals apart (gates_survey()); NULL */
    int64_t look_again_ms;  /* when the clock may change that; 0: never */
    uint32_t retries;       /* automatic, since it entered or somebody retried */
    struct parts approvers; /* struct approver */
    struct run *runs;       /* of the stage's actions, in their order; NULL until entered */
    size_t run_count;
    struct gate *gates; /* of the transition, in its order */
    size_t gate_count;
    int64_t deadline_ms; /* the earliest of its runs and approvals; derived */
};

/* A release that succeeded in a stage that remembers it. */
struct past {
    struct shared shared;
    uint64_t number;
    struct facts *facts;
    struct parts artifacts, exports;
};

/* A stage, by name, over all definitions in use. */
struct stage {
    struct shared shared;
    char *name;
    uint64_t entered_max;            /* highest number of a release of type normal that entered */
    uint64_t entered_last;           /* number of the release that entered last */
    struct fixed *disabled;          /* TransitionSet: nothing enters; NULL */
    uint64_t history[STATE_HISTORY]; /* numbers of releases that succeeded, the last first */
    size_t history_count;
};

/* What was deployed last to an environment. */
struct deployed {
    struct shared shared;
    char *environment;
    char *digest; /* of the last deploy that succeeded; "": none did */
    bool sure;    /* none was asked for since */
};

struct engine_state {
    struct fixed_name {
        struct shared shared;
        char text[];
    } * pipeline;
    uint64_t sequence;
    bool hashed; /* `hash` is known */
    uint8_t hash[SHA256_SIZE];
    int64_t time_ms; /* of the last Decision */
    uint64_t next_release, next_seen, next_arrival;
    uint64_t definitions; /* taken so far */
    struct taken *current;
    bool deleted;
    bool untidy; /* something may be needed no more (fold_tidy()); never so between Decisions */
    struct replaced *replaced;
    struct ids *ids;
    struct people *people;
    struct parts heads;    /* by source and ref */
    struct parts stages;   /* by name */
    struct parts pasts;    /* by number */
    struct parts releases; /* by number */
    struct parts pins;     /* struct fixed of EnvironmentPinned, by environment */
    struct parts deployed; /* struct deployed, by environment */
    int64_t deadline_ms;   /* the earliest of the releases'; derived */
};

/* ---- looking ---- */

const struct def_pipeline *state_definition(const struct engine_state *state); /* NULL: none yet */
const struct head *state_head(const struct engine_state *state, const char *source,
                              const char *ref);
/* The newest of a source that its definition's globs match; NULL: none. */
const struct head *state_newest_head(const struct engine_state *state,
                                     const struct def_source *source);
const struct stage *state_stage(const struct engine_state *state, const char *name);
const struct past *state_past(const struct engine_state *state, uint64_t number);
const struct release *state_release(const struct engine_state *state, uint64_t number);
static inline const struct release *state_release_at(const struct engine_state *state, size_t i)
{
    return state->releases.items[i];
}
/* The release that keeps others out of a stage; NULL: it is free, or in parallel mode. */
const struct release *state_occupant(const struct engine_state *state, const char *stage);
bool state_is_parallel(const struct engine_state *state);
const Gantry__V1__EnvironmentPinned *state_pin(const struct engine_state *state,
                                               const char *environment); /* NULL: not pinned */

const struct deployed *state_deployed(const struct engine_state *state,
                                      const char *environment); /* NULL: nothing was */
bool pipeline_deploys_to(const struct def_pipeline *pipeline, const char *environment);

bool release_is_active(const struct release *release);
bool release_is_rollback(const struct release *release);
/* The stage that it is in or waits for; NULL when out of the last. */
const struct def_stage *release_stage(const struct release *release);
const Gantry__V1__Artifact *release_artifact(const struct release *release, const char *name);
/* The image that a deploy action deploys; NULL: the release has none such. */
const Gantry__V1__Artifact *release_image(const struct release *release,
                                          const struct def_action *action);
/* What an approval is bound to: the image's digest; of several, or of none, a digest made of them
 * or of the revisions. */
void state_digest(const struct parts *artifacts, const struct facts *facts, char out[80]);

size_t stage_action_count(const struct def_stage *stage);
/* The action at a place counted over all steps; *step (may be NULL) is its step. */
const struct def_action *stage_action_at(const struct def_stage *stage, size_t place, size_t *step);
/* -1: no such action. */
long stage_action_place(const struct def_stage *stage, const char *name);

/* True if an executor or people have something to do for it. */
static inline bool run_is_under_way(const struct run *run)
{
    return run->state == RUN_REQUESTED || run->state == RUN_STARTED || run->state == RUN_BUILDING;
}
const struct run *release_run(const struct release *release, struct slot slot);

/* ---- batches (batch.c): what batch.h has not ---- */

static inline const Gantry__V1__BatchPlan *batch_plan(const struct batch *batch)
{
    return batch->plan->message;
}
/* The place of a build, from 1; 0: there is none of that name. */
size_t batch_find(const struct batch *batch, const char *identifier);
bool batch_is_under_way(const struct batch *batch); /* one of its builds is */
/* What a build, from 1, has left: image and exported variables; NULL: nothing. */
const Gantry__V1__Finished *batch_left(const struct batch *batch, size_t build);
/* Bytes that it takes in a state, by estimate. */
size_t batch_plan_bytes(const Gantry__V1__BatchPlan *plan);
size_t batch_bytes(const struct batch *batch); /* NULL gives 0 */
/* Of what releases carry, by estimate: it has to fit a snapshot's record. */
size_t state_release_bytes(const struct engine_state *state);

/* ---- writing: fold only ---- */

struct release *state_release_own(struct engine_state *state, uint64_t number);
void state_release_add(struct engine_state *state, struct release *release);
void state_release_remove(struct engine_state *state, uint64_t number);
struct stage *state_stage_own(struct engine_state *state, const char *name); /* made if missing */
struct approval *approval_own(struct approval **at);                         /* made if NULL */
void release_set_gates(struct release *release, size_t count);
void release_set_runs(struct release *release, size_t count);
void release_set_deadline(struct release *release);
/* What StageWaiting said, as it is compared later: approvals are left out, which tell of
 * themselves.
 */
void release_set_held(struct release *release, char *const *held_by, size_t count,
                      int64_t look_again_ms);
char *release_held_text(const struct release *release, char *const *held_by,
                        size_t count); /* caller frees; NULL: nothing */
void state_set_deadline(struct engine_state *state);

struct release *release_new(uint64_t number, struct facts *facts, struct taken *definition);
struct stage *stage_new(const char *name);
struct batch *batch_own(struct batch **at); /* *at is not NULL */
/* A build, from 1, whose run's state says that it ended: keeps what it left. */
void batch_note_end(struct batch *batch, size_t build, const Gantry__V1__Finished *finished,
                    const char *reason);
struct approval *approval_new(void);
struct approver *approver_new(const char *stage, const char *subject, const char *email);
struct past *past_new(uint64_t number, struct facts *facts, const struct parts *artifacts,
                      const struct parts *exports);
struct deployed *deployed_new(const char *environment, const char *digest, bool sure);
struct facts *facts_new(const Gantry__V1__ReleaseStarted *started);
struct exports *exports_new(const char *action, Gantry__V1__KeyValue *const *items, size_t count);
struct replaced *replaced_new(void);
struct head *head_new(const Gantry__V1__Revision *revision, uint64_t seen, bool unstarted);
/* Finds the place of a name or number in a sorted list; true if it is there. */
bool state_find_stage(const struct engine_state *state, const char *name, size_t *at);
bool state_find_past(const struct engine_state *state, uint64_t number, size_t *at);
bool state_find_release(const struct engine_state *state, uint64_t number, size_t *at);
bool state_find_pin(const struct engine_state *state, const char *environment, size_t *at);
bool state_find_deployed(const struct engine_state *state, const char *environment, size_t *at);
bool state_find_head(const struct engine_state *state, const char *source, const char *ref,
                     size_t *at);

#endif
