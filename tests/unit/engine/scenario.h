/* One pipeline played through without I/O: inputs go in as records would, and after each one the
 * engine's promises are checked (scenario.c says which), so that a test only says what it is about.
 *
 * A broken promise ends the test with the inputs so far. */
#ifndef TESTS_ENGINE_SCENARIO_H
#define TESTS_ENGINE_SCENARIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/map.h"
#include "engine/chain.h"
#include "engine/engine.h"
#include "gantry/v1/command.pb-c.h"
#include "gantry/v1/decision.pb-c.h"
#include "gantry/v1/definition.pb-c.h"

#define SCENARIO_EPOCH 1700000000000ULL

struct watch;

/* What was asked of somebody, to be answered. */
struct asked {
    char id[ID_SIZE];
    enum topic topic; /* of the answer */
    char *digest;     /* what a vote names */
    char *image;      /* the repository that a build is to push to */
    char *action;
    uint64_t release;
};

struct scenario {
    const char *pipeline;
    struct engine_state *state;
    int64_t now_ms;
    uint64_t epoch;
    bool thorough; /* decode and replay after each Decision */
    bool lenient;  /* script.c: an answer to what was never asked is left out */
    struct watch *watch;
    struct chain chain;
    uint8_t head[SHA256_SIZE];
    int64_t ledger_end;
    struct decided {
        struct buf value;
        uint8_t hash[SHA256_SIZE];
    } * ledger; /* all Decisions */
    size_t ledger_count, ledger_room;
    struct map *environments;   /* name -> struct engine_environment */
    struct map *runs;           /* "N STAGE/ACTION" -> struct asked: the last requested */
    struct map *approvals;      /* "N STAGE/GATE" -> struct asked: the last opened */
    uint64_t inputs;            /* makes ids */
    Gantry__V1__Decision *last; /* the last input's; NULL: it caused none */
    struct buf history;         /* inputs, for people */
    void (*decided)(const Gantry__V1__Decision *decision, void *arg); /* may be NULL */
    void *decided_arg;
};

struct scenario *scenario_new(const char *pipeline);
void scenario_free(struct scenario *s);

/* Gives one record to the engine. True: a Decision was made, which is s->last. `ce_id` NULL: a new
 * one. */
bool scenario_input(struct scenario *s, enum topic topic, const void *message, const char *ce_id,
                    const char *refusal);
bool scenario_clock(struct scenario *s);
bool scenario_silence(struct scenario *s, const char *run_id, int64_t silent_ms);
void scenario_environment(struct scenario *s, const char *name,
                          const char *driver); /* NULL: none */
/* The environment's freeze from now on, and everybody looks again; NULL: none. */
void scenario_freeze(struct scenario *s, const char *name, const char *window);

/* The ledger so far folded from nothing gives the state that is. */
void scenario_check_replay(struct scenario *s);
void scenario_broken(struct scenario *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), noreturn));

/* A change in a line, for people and for expectations. Caller frees. */
char *scenario_change_text(const Gantry__V1__Change *change);

/* watch.c: the ten properties of docs/reference/pipeline.md, by what is published alone. */
struct watch *watch_new(void);
void watch_free(struct watch *watch);
void watch_decision(struct scenario *s, const Gantry__V1__Decision *decision);

#endif
