/* What is known of a pipeline by its Decisions and definitions alone. */
#ifndef TESTS_ENGINE_WATCH_H
#define TESTS_ENGINE_WATCH_H

#include "base/map.h"
#include "base/str.h"
#include "definition/definition.h"
#include "scenario.h"

struct seen_release {
    Gantry__V1__ReleaseStarted *started;
    const struct def_pipeline *definition;
    size_t *known; /* of each revision: how many its ref had when the release began */
    bool ended;
    char *inside;          /* a stage's name; NULL: in none */
    struct strv succeeded; /* stages */
    int64_t arrived_ms;    /* where it stands */
    struct map *digests;   /* artifact -> digest */
    struct map *running;   /* run ids */
    struct map *batches;   /* action -> BatchPlan */
    struct map *builds;    /* action/identifier -> how it ended */
};

struct watch {
    struct map *releases;    /* number -> struct seen_release */
    struct map *definitions; /* number -> struct definition */
    struct map *inside;      /* stage/number -> anything */
    struct map *passed;      /* number/stage/gate of what was overridden or promoted */
    struct map *checks;   /* number/stage/gate -> text of the time up to which its yes is fresh */
    struct map *disabled; /* stages whose transition is */
    struct map *pins;     /* environment -> digest */
    int64_t now_ms;
    struct map *entered;   /* stage -> number's text of the last of type normal */
    struct map *successes; /* stage/number -> anything */
    struct votes *votes;
    const struct def_pipeline *current;
    uint64_t last_release;
};

struct seen_release *watch_release(struct scenario *s, uint64_t release);
bool watch_is_rollback(const struct seen_release *r);

/* watch_votes.c: 5, whose votes count. Knows authors, starters and approvers by itself. */
struct votes *votes_new(void);
void votes_free(struct votes *votes);
void votes_definition(struct scenario *s, const struct def_pipeline *pipeline);
void votes_revision(struct scenario *s, const Gantry__V1__SourceChanged *m);
void votes_started(struct scenario *s, struct seen_release *r);
void votes_success(struct scenario *s, const char *stage, uint64_t release);
void votes_opened(struct scenario *s, const Gantry__V1__ApprovalRequest *m);
void votes_vote(struct scenario *s, const Gantry__V1__VoteCounted *m);
void votes_closed(struct scenario *s, const Gantry__V1__ApprovalRequest *m);
/* An approval of a gate or an action (number/stage/name) lets the release go on. */
void votes_let_pass(struct scenario *s, const struct seen_release *r,
                    const struct def_approval *rules, const char *key);
void votes_release_ended(struct scenario *s, uint64_t release);
/* After all of a Decision's changes: what is decided is closed. */
void votes_decided(struct scenario *s);

#endif
