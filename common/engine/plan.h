/* A Decision in the making: every change is applied to a clone of the state as soon as it is
 * planned (state.h says why). Inside the library only.
 *
 * The first failure sticks: later calls do nothing, and engine_step() reports it. */
#ifndef GANTRY_ENGINE_PLAN_H
#define GANTRY_ENGINE_PLAN_H

#include <protobuf-c/protobuf-c.h>

#include "engine/arena.h"
#include "engine/state.h"
#include "gantry/v1/command.pb-c.h"

struct plan {
    struct engine_state *state; /* the clone, with all changes so far */
    struct arena *arena;        /* the changes live here */
    const struct engine_input *input;
    uint64_t epoch;
    int64_t now_ms;
    Gantry__V1__Change **changes;
    size_t count, room;
    size_t bytes; /* of all changes, by estimate */
    struct err *err;
    bool failed;
    const Gantry__V1__Actor *actor; /* who caused it; NULL: no person */
};

/* A message in the arena, as its type's init function leaves it. */
#define PLAN_MESSAGE(plan, type, init)                                                             \
    ((type *)plan_message_as((plan), sizeof(type), (void (*)(void *))(void *)(init)))
void *plan_message_as(struct plan *plan, size_t size, void (*init)(void *));

/* Adds a change (GANTRY__V1__CHANGE__WHAT_...) and applies it. */
void plan_change(struct plan *plan, int what, void *message);
/* True if so much was planned that requests of more actions go into the next Decision. */
bool plan_is_full(const struct plan *plan);

const char *plan_text(struct plan *plan, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
char *plan_string(struct plan *plan, const char *s);

/* ---- changes, by subject ---- */

/* A message that lives in an immutable part of the state may be pointed to, once the part is held
 * (arena_hold). */
Gantry__V1__KeyValue *plan_key_value(struct plan *plan, const char *key, const char *value);
void plan_command_taken(struct plan *plan, const char *what);
void plan_command_refused(struct plan *plan, const char *what, const char *reason);
void plan_stage_ended(struct plan *plan, uint64_t number, int status, const char *reason);
void plan_release_ended(struct plan *plan, uint64_t number, int status, const char *reason,
                        uint64_t superseded_by);
/* `cancel` tells the executor to stop. `finished` may be NULL. */
void plan_action_ended(struct plan *plan, const struct release *release, struct slot slot,
                       int status, const char *reason, Gantry__V1__Finished *finished, bool cancel);
/* <action>, or <action>/<identifier>. */
char *plan_slot_name(struct plan *plan, const struct release *release, struct slot slot);

/* advance.c: whatever follows by itself from the state as it is now. `first` (0: none) is the
 * release that the input was about. */
void plan_advance(struct plan *plan, uint64_t first);
/* Ends a release that waits on a transition: its approvals close with `outcome`. */
void plan_end_waiting(struct plan *plan, uint64_t number, int outcome, int status,
                      const char *reason, uint64_t superseded_by);
/* Says that a release waits on its transition, and what holds it, unless that was said. True: it
 * was said now. */
bool plan_waiting(struct plan *plan, const struct release *release);
/* Ends the runs of a release inside a stage, telling executors to stop. */
void plan_abandon(struct plan *plan, uint64_t number, const char *reason);

/* plan_batch.c */
/* The action's run answered with a plan: its builds begin, or it fails. */
void plan_batch_begin(struct plan *plan, const struct release *release, size_t place,
                      Gantry__V1__Finished *finished);
/* A build of a batch succeeded, or what it says cannot be so. */
void plan_build_succeeded(struct plan *plan, const struct release *release, struct slot slot,
                          Gantry__V1__Finished *finished);
/* What follows by itself for an action whose builds are under way. True: something changed. */
bool plan_batch_advance(struct plan *plan, uint64_t number, size_t place);
/* Ends the builds that are under way, telling executors to stop. */
void plan_batch_stop(struct plan *plan, uint64_t number, size_t place, int status,
                     const char *reason);

/* step_result.c */
/* An action's success, if it can be taken as one: sets its image. */
void plan_action_succeeded(struct plan *plan, const struct release *release, size_t place,
                           Gantry__V1__Finished *finished);
/* Why what it exports cannot be kept; NULL: it can. `but`: the action whose own do not count. */
const char *plan_check_exports(struct plan *plan, const struct release *release, const char *but,
                               size_t more, const Gantry__V1__Finished *finished);

/* gates.c */
/* What holds a release on its transition at this moment, beside others in its way. */
struct holds {
    char **items; /* as StageWaiting.held_by, in the arena */
    size_t count, room;
    int64_t look_again_ms; /* when the clock may change it; 0: never */
};
void plan_survey(struct plan *plan, const struct release *release, struct holds *holds);
void plan_hold(struct plan *plan, struct holds *holds, const char *text);
/* All gates, whatever they have come to. */
void plan_hold_gates(struct plan *plan, const struct release *release, struct holds *holds);
/* Opens approvals that were not yet, asks checks that are due; true: something changed. */
bool plan_open_gates(struct plan *plan, uint64_t number);
bool plan_ask_checks(struct plan *plan, uint64_t number, bool first, const struct holds *holds);
/* Closes approvals and withdraws questions. */
void plan_close_gates(struct plan *plan, uint64_t number, int outcome, const char *reason);
void plan_close_gate(struct plan *plan, uint64_t number, size_t place, int outcome,
                     const char *reason);
void plan_check_answered(struct plan *plan, const struct release *release, size_t place, bool yes,
                         const char *reason, bool cancel);

/* bounds.c: copies in the arena, of which what is for people only is cut. */
Gantry__V1__SourceChanged *plan_bound_change(struct plan *plan,
                                             const Gantry__V1__SourceChanged *change);
Gantry__V1__Finished *plan_bound_finished(struct plan *plan, const Gantry__V1__Finished *finished);
void plan_bound_revision(Gantry__V1__Revision *revision); /* in place */

/* start.c */
/* Begins a release for each revision that none began with, once every source has one. */
void plan_start_pending(struct plan *plan);
/* Begins one; arrays are the caller's, in the arena. */
void plan_start(struct plan *plan, Gantry__V1__ReleaseStarted *started);
/* A revision of a source as releases carry it. */
Gantry__V1__Revision *plan_revision(struct plan *plan, const struct def_source *source,
                                    const char *ref, const char *commit, const char *message,
                                    const char *pusher);
Gantry__V1__Revision *plan_head_revision(struct plan *plan, const struct def_source *source,
                                         const struct head *head);

/* rollback.c */
/* Why a stage cannot go back to what a past release left; NULL: it can. */
const char *plan_rollback_refusal(struct plan *plan, const struct def_stage *stage,
                                  const struct past *past);
/* Starts the release that takes it back. `failed` 0: somebody asked for it. */
void plan_rollback(struct plan *plan, const char *stage, const struct past *past,
                   const Gantry__V1__Actor *starter, const char *reason, uint64_t failed);
/* To the last other release that succeeded there, where there is one. */
void plan_rollback_by_itself(struct plan *plan, const char *stage, uint64_t failed);

/* request.c: requests the action or build, or ends it at once if it cannot be. */
void plan_request(struct plan *plan, uint64_t number, struct slot slot);
/* The question of a transition's check gate; NULL and *refusal: it cannot be asked. */
Gantry__V1__ActionRequest *plan_check_request(struct plan *plan, const struct release *release,
                                              size_t place, const char **refusal);
/* Tells whoever was asked to stop. */
Gantry__V1__ActionRequest *plan_check_cancel(struct plan *plan, const struct release *release,
                                             size_t place, const char *reason);

/* approval.c */
void plan_approval_open(struct plan *plan, uint64_t number, const char *gate,
                        const struct def_approval *rules);
void plan_approval_close(struct plan *plan, uint64_t number, const char *gate,
                         const struct def_approval *rules, int outcome, const char *reason);
/* The approval as it is, for followers. */
Gantry__V1__ApprovalRequest *plan_approval(struct plan *plan, const struct release *release,
                                           const char *gate, const struct def_approval *rules,
                                           const struct approval *approval, int verb);
/* Rules and state of the approval of that name where the release stands; NULL: none. */
const struct def_approval *release_approval(const struct release *release, const char *name,
                                            const struct approval **approval);
/* What an approval that closed leads to. */
void plan_approval_ended(struct plan *plan, uint64_t number, const char *gate, bool approved,
                         const char *reason);

/* authors.c */
/* E-mail of everybody who brought revisions between what last succeeded in the stage and the
 * release, lower case; false if not all are known. */
bool state_authors(const struct engine_state *state, const struct release *release,
                   const char *stage, struct strv *out);
/* What an approval would have been bound to of the release that last succeeded there; "": none. */
void state_last_digest(const struct engine_state *state, const char *stage, char out[80]);

/* vars.c */
/* Replaces each {{name}} by its value for the release. False: *unknown names one that has none (it
 * stays as it is). The result is in the arena. */
bool plan_expand(struct plan *plan, const struct release *release, const char *text, char **out,
                 const char **unknown);
/* Those of the release, then those exported, as ActionRequest.variables. */
void plan_variables(struct plan *plan, const struct release *release,
                    Gantry__V1__KeyValue ***variables, size_t *count);

/* step_*.c: one a kind of input. */
void step_definition(struct plan *plan);
void step_source(struct plan *plan);
void step_command(struct plan *plan);
/* step_steer.c: the Commands about transitions, gates and environments. Why it is refused; NULL:
 * done. `what` names it. */
const char *step_steer(struct plan *plan, const Gantry__V1__Command *command, const char *what);
void step_result(struct plan *plan);
void step_vote(struct plan *plan);
void step_clock(struct plan *plan);
void step_look(struct plan *plan);
void step_silence(struct plan *plan);
/* step_result.c: the earliest thing due of a release. */
void step_due(struct plan *plan, const struct release *release);

#endif
