/* The writers of a state. Inside the library only. */
#ifndef GANTRY_ENGINE_FOLD_H
#define GANTRY_ENGINE_FOLD_H

#include "engine/state.h"

/* Applies one change; `now_ms` is its Decision's time. -1: it does not fit, or is of an unknown
 * kind. */
int fold_change(struct engine_state *state, const Gantry__V1__Change *change, int64_t now_ms,
                struct err *err);

/* The parts of fold_change(), by subject. */
int fold_definition_taken(struct engine_state *state, const Gantry__V1__DefinitionTaken *m,
                          int64_t now_ms, struct err *err);
int fold_definition_deleted(struct engine_state *state, struct err *err);
int fold_revision_seen(struct engine_state *state, const Gantry__V1__RevisionSeen *m,
                       struct err *err);
int fold_release_started(struct engine_state *state, const Gantry__V1__ReleaseStarted *m,
                         int64_t now_ms, struct err *err);
int fold_release_stopping(struct engine_state *state, const Gantry__V1__ReleaseStopping *m,
                          struct err *err);
int fold_release_ended(struct engine_state *state, const Gantry__V1__ReleaseEnded *m,
                       struct err *err);
int fold_stage_waiting(struct engine_state *state, const Gantry__V1__StageWaiting *m,
                       struct err *err);
int fold_stage_entered(struct engine_state *state, const Gantry__V1__StageEntered *m,
                       struct err *err);
int fold_stage_ended(struct engine_state *state, const Gantry__V1__StageEnded *m, int64_t now_ms,
                     struct err *err);
int fold_action_requested(struct engine_state *state, const Gantry__V1__ActionRequested *m,
                          struct err *err);
int fold_action_started(struct engine_state *state, const Gantry__V1__ActionStarted *m,
                        struct err *err);
int fold_action_ended(struct engine_state *state, const Gantry__V1__ActionEnded *m,
                      struct err *err);
int fold_batch_planned(struct engine_state *state, const Gantry__V1__BatchPlanned *m,
                       struct err *err);
int fold_artifact_set(struct engine_state *state, const Gantry__V1__ArtifactSet *m,
                      struct err *err);
int fold_approval_opened(struct engine_state *state, const Gantry__V1__ApprovalRequest *m,
                         struct err *err);
int fold_vote_counted(struct engine_state *state, const Gantry__V1__VoteCounted *m,
                      struct err *err);
int fold_approval_closed(struct engine_state *state, const Gantry__V1__ApprovalRequest *m,
                         struct err *err);

int fold_transition_set(struct engine_state *state, const Gantry__V1__TransitionSet *m,
                        struct err *err);
int fold_release_promoted(struct engine_state *state, const Gantry__V1__ReleasePromoted *m,
                          struct err *err);
int fold_gate_overridden(struct engine_state *state, const Gantry__V1__GateOverridden *m,
                         struct err *err);
int fold_check_asked(struct engine_state *state, const Gantry__V1__CheckAsked *m, struct err *err);
int fold_check_answered(struct engine_state *state, const Gantry__V1__CheckAnswered *m,
                        int64_t now_ms, struct err *err);
int fold_environment_pinned(struct engine_state *state, const Gantry__V1__EnvironmentPinned *m,
                            struct err *err);

/* Remembers who approved at the stage that the release is leaving, or its transition, if a later
 * stage asks for others. */
void keep_approvers(struct release *release);

/* Drops what nothing needs any more: stages of no definition in use, releases of no stage's
 * history, people between whom no release stands. Not in a step's clone. */
void fold_tidy(struct engine_state *state);

/* The gate or approval action of that name where the release stands; NULL: there is none. */
struct approval **release_approval_at(struct release *release, const char *name);

#endif
