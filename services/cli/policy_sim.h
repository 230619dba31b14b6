/* The new run of `gantry policy test`: an engine state under the new definition, and a queue of
 * what comes in, by time.
 *
 *   policy_queue.c     the queue
 *   policy_settings.c  environments, as the new run finds them
 *   policy_answer.c    what the run asks of executors and voters -> their answers, queued
 *   policy_sim.c       the run */
#ifndef GANTRY_CLI_POLICY_SIM_H
#define GANTRY_CLI_POLICY_SIM_H

#include "gantry/v1/source.pb-c.h"
#include "services/cli/policy.h"

enum event_kind { EVENT_DEFINITION, EVENT_INPUT, EVENT_FINISHED, EVENT_VOTE };

struct sim_event {
    int64_t time_ms;
    size_t index; /* of its Decision then: the order of what came at the same time */
    uint64_t made;
    enum event_kind kind;
    const struct policy_input *input;
    const struct policy_vote *vote;
    char id[ID_SIZE]; /* of the run or the approval in the new run */
    char digest[80];  /* that the approval asks about; "": what the vote says */
    enum topic topic;
    Gantry__V1__Finished *finished;
};

struct sim {
    const struct policy_history *history;
    struct policy_result *result;
    struct engine_state *state;
    struct definition *def;
    const char *yaml;
    size_t yaml_len;
    struct definition *const *environments;
    size_t environment_count;
    struct map *guessed;        /* struct policy_environment */
    struct policy_list queue;   /* a heap of struct sim_event */
    const struct sim_event *at; /* what is being given; NULL: the clock */
    uint64_t made;
    int64_t now_ms;
    uint64_t decisions;
    struct err *err;
};

/* ---- policy_queue.c ---- */

struct sim_event *sim_push(struct sim *sim, enum event_kind kind, int64_t time_ms, size_t index);
struct sim_event *sim_pop(struct sim *sim); /* the queue is not empty */
void sim_event_free(struct sim_event *event);

/* ---- policy_settings.c ---- */

/* As it is in the file, else as it was then, else as it was first seen, else a guess. */
const struct engine_environment *sim_environment(const char *name, void *sim);
void sim_environment_free(void *guessed);

/* ---- policy_answer.c ---- */

/* A sentence about what could not be known. */
void sim_assume(struct sim *sim, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sim_set_number(struct map *map, uint64_t from, uint64_t to);
/* Queues the answers to what a Decision of the new run asks. */
void sim_follow(struct sim *sim, const Gantry__V1__Decision *decision);

#endif
