/* What the promoter and the executors would say, told by a test: events, definitions, tokens and
 * logs on real topics of a prefix of their own. */
#ifndef GANTRY_TEST_STORY_H
#define GANTRY_TEST_STORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"
#include "base/map.h"
#include "bus/bus.h"
#include "gantry/v1/event.pb-c.h"
#include "loop/loop.h"

#define STORY_EPOCH UINT64_C(1790000000000)

struct story {
    struct loop *loop;
    struct bus *bus;
    struct bus_producer *producer;
    struct conf_map kafka;
    struct map *sequences; /* pipeline -> uint64_t */
    char prefix[64];
    int32_t partitions;
    int64_t now_ms;        /* the time of what is told next */
    const char *cause;     /* cause_id of what is told next; NULL: none */
    char *skipped;         /* an action that the stage that ends next did not reach; NULL: none */
    char last_id[ID_SIZE]; /* ce_id of the event told last */
};

/* What cannot be told ends the process. */
void story_begin(struct story *story, struct loop *loop, struct bus_producer *producer);
void story_end(struct story *story);
void story_flush(struct story *story); /* until all is acknowledged */

/* One release's place; digest and commit are made of its number where they are NULL. */
struct story_release {
    const char *pipeline;
    uint64_t number;
    const char *commit, *message, *author; /* the author's name; e-mail is made of it */
    char digest[80];
};

/* A Decision of its own around the fact that is set in *event. */
void story_event(struct story *story, const char *pipeline, Gantry__V1__ReleaseEvent *event);
/* The same record again, as a late publisher would send it. */
void story_event_at(struct story *story, const char *pipeline, uint64_t sequence,
                    Gantry__V1__ReleaseEvent *event);

/* Stores and, for a pipeline, takes a definition. */
void story_definition(struct story *story, const char *kind, const char *name, const char *yaml,
                      bool taken);
void story_token(struct story *story, const char *name, const char *token, const char *role);

void story_release_started(struct story *story, struct story_release *release);
/* failed 0: somebody asked for it. */
void story_rollback_started(struct story *story, struct story_release *release, uint64_t to,
                            const char *stage, const char *reason, uint64_t failed);
void story_release_ended(struct story *story, const struct story_release *release,
                         Gantry__V1__Status status, const char *reason, uint64_t superseded_by);
void story_stage_waiting(struct story *story, const struct story_release *release,
                         const char *stage, const char *held_by);
void story_stage_entered(struct story *story, const struct story_release *release,
                         const char *stage, uint32_t number);
void story_stage_ended(struct story *story, const struct story_release *release, const char *stage,
                       Gantry__V1__Status status, const char *reason);
void story_artifact(struct story *story, const struct story_release *release);

struct story_run {
    const struct story_release *release;
    const char *stage, *action;
    const char *environment; /* NULL: a build */
    uint32_t step, number;   /* number 0 means 1 */
    bool files;              /* STORY_FILE and log are kept of it */
    bool reports;            /* it tells of tests and coverage when it ends: story_reports.c */
    char id[ID_SIZE];
};
void story_requested(struct story *story, struct story_run *run);
void story_started(struct story *story, const struct story_run *run);
/* reason NULL: it succeeded. */
void story_finished(struct story *story, const struct story_run *run, const char *reason);
void story_log(struct story *story, const struct story_run *run, uint64_t offset, const char *text,
               bool last);

struct story_approval {
    const struct story_release *release;
    const char *stage, *gate, *by; /* by: one entry */
    uint32_t count;
    const char *message;
    int64_t opened_ms, expires_ms;
    const char *previous_digest;
    const char *voters[4];
    const char *comments[4];
    size_t votes;
    char id[ID_SIZE];
};
void story_approval_opened(struct story *story, struct story_approval *approval);
void story_vote(struct story *story, struct story_approval *approval, const char *voter,
                const char *comment);
void story_approval_closed(struct story *story, struct story_approval *approval,
                           Gantry__V1__ApprovalOutcome outcome, const char *reason);

#define STORY_FILE  "web.zip"
#define STORY_BYTES "the bytes of an archive"
#define STORY_KEY   "artifacts/shop/web 1.zip"

/* ---- story_reports.c ---- */

/* Gives the message the reports that the run's release has: of 212 tests, one of which failed where
 * `failed`, and of coverage that grows with the release's number. Released with
 * story_reports_drop(). */
void story_reports_put(Gantry__V1__Finished *finished, uint64_t release, bool failed);
void story_reports_drop(Gantry__V1__Finished *finished);

/* ---- story_gates.c ---- */

void story_held(struct story *story, const struct story_release *release, const char *stage,
                const char *const *held, int64_t look_again_ms); /* NULL-ended */
void story_transition(struct story *story, const char *pipeline, const char *stage, bool enabled,
                      const char *by, const char *reason);
/* digest NULL: unpinned. */
void story_pinned(struct story *story, const char *pipeline, const char *environment,
                  const char *digest, const char *by, const char *reason);
void story_overridden(struct story *story, const struct story_release *release, const char *stage,
                      const char *gate, const char *by, const char *reason);
/* The gate `check`, asked and answered. */
void story_check(struct story *story, const struct story_release *release, const char *stage,
                 bool yes, const char *reason, int64_t ask_again_ms);
void story_silent(struct story *story, const struct story_run *run, int64_t silent_ms);

#endif
