/* The engine: what happens next in one pipeline. Pure: no I/O, no clock, no globals.
 * docs/architecture.md, docs/reference/pipeline.md (the semantics) and docs/ledger.md (how a
 * Decision comes to count).
 *
 *   engine_step     state, input, now -> the changes of a Decision; reads the state only
 *   engine_fold     state, Decision -> state': the only writer of a state; replay never calls step
 *   engine_publish_ Decision -> the records it causes, with deterministic ids
 *
 * A state is of one pipeline. States compare by their encoding, which is canonical. */
#ifndef GANTRY_ENGINE_ENGINE_H
#define GANTRY_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/map.h"
#include "base/sha256.h"
#include "events/event.h"

typedef struct Gantry__V1__Decision Gantry__V1__Decision;

struct engine_state;
struct def_freeze;

struct engine_state *engine_state_new(const char *pipeline);
void engine_state_free(struct engine_state *state);
/* Cheap: clones share what neither has changed since. Clones may live in different threads; one
 * state is used by one thread at a time. */
struct engine_state *engine_state_clone(const struct engine_state *state);

const char *engine_state_pipeline(const struct engine_state *state);
uint64_t
engine_state_sequence(const struct engine_state *state); /* of its last Decision; 0: none */
uint64_t engine_state_next_release(const struct engine_state *state); /* number; from 1 */
const uint8_t *
engine_state_hash(const struct engine_state *state); /* of its last Decision's stored bytes */
/* False: there is none yet (no Decision, or a genesis gave the numbers): pipeline_previous of the
 * next Decision is empty, and engine_state_hash() is all 0. */
bool engine_state_hashed(const struct engine_state *state);
/* What a genesis gives a pipeline whose history before it is lost (Genesis.numbers). Never goes
 * back. */
void engine_state_set_numbers(struct engine_state *state, uint64_t next_release,
                              uint64_t next_sequence);
bool engine_state_has_definition(const struct engine_state *state);
/* True if a Decision has taken the definition of this SHA-256, and it is the current one or was
 * replaced within the last 30 days (no Command in its topic is older). */
bool engine_state_took_definition(const struct engine_state *state,
                                  const uint8_t sha256[SHA256_SIZE]);
/* The earliest `now` at which a clock input would change something; INT64_MAX: never. A clock input
 * settles one thing that is due: ask again after it. 0: what is left of a Decision that would have
 * been too large, due at once. */
int64_t engine_state_deadline(const struct engine_state *state);
/* True if a change of environments may matter to a release that waits (ENGINE_LOOK). */
bool engine_state_waits(const struct engine_state *state);
/* Calls for each run that an executor has started and not ended. `lost_after_ms` of silence make it
 * lost. */
void engine_state_running(const struct engine_state *state,
                          void (*fn)(const char *run_id, int64_t lost_after_ms, void *arg),
                          void *arg);

/* What an environment is now, by name; the promoter follows them on all partitions. */
struct engine_environment {
    const char *name, *deployer, *driver, *command;
    const void *yaml;
    size_t yaml_len;
    const uint8_t *sha256;
    const struct def_freeze *freezes;
    size_t freeze_count;
};

enum engine_input_kind {
    ENGINE_RECORD, /* a record of `definition` (a Pipeline), `source`, `command` or `result.*` */
    ENGINE_CLOCK,
    ENGINE_LOOK,   /* environments changed: whether what waits may go on now, or no longer */
    ENGINE_SILENCE /* an executor was not heard of for so long: `run_id`, `silent_ms` */
};

struct engine_input {
    enum engine_input_kind kind;
    enum topic topic;    /* ENGINE_RECORD */
    const void *message; /* unpacked, validated (event_unpack) */
    const char *ce_id;
    const char *command_refusal; /* TOPIC_COMMAND: the promoter refuses it (its definition was never
                                    taken); NULL: step */
    /* Answers for environments; NULL result: unknown, and the deploy is refused by the Decision. */
    const struct engine_environment *(*environment)(const char *name, void *arg);
    void *environment_arg;
    const char *run_id; /* ENGINE_SILENCE */
    int64_t silent_ms;
};

/* Fills decision->changes with what the input changes at `now_ms` (the input's append time; for
 * anything but a record the caller's own clock), and returns 1; 0: it changes nothing (a heartbeat,
 * a copy) and no Decision is made; -1: a bug or a record that cannot be (err), to be dead-lettered.
 * Of the Decision only `changes` and, where decision->cause is there, cause->actor are set: both
 * are the engine's memory, not protobuf-c's, and freed (and set back to none) by
 * engine_changes_free(); they need neither state nor input. `epoch` goes into the ids. A Decision's
 * changes take less than 900,000 bytes. *after, where `after` is given and the result is 1: the
 * state with these changes, the caller's, for engine_settle(). */
int engine_step(const struct engine_state *state, const struct engine_input *input, uint64_t epoch,
                int64_t now_ms, Gantry__V1__Decision *decision, struct engine_state **after,
                struct err *err);
void engine_changes_free(Gantry__V1__Decision *decision);

/* Applies a Decision that counted (or is speculated to); `hash` is of its stored bytes. -1: its
 * changes do not fit the state or hold a kind this version does not know: the caller stops, and the
 * state is of no use any more. The Decision's cause is needed: ids of inputs are kept by it, so
 * that a copy changes nothing. */
int engine_fold(struct engine_state *state, const Gantry__V1__Decision *decision,
                const uint8_t hash[SHA256_SIZE], struct err *err);
/* The rest of engine_fold() for a state that engine_step() gave with the Decision's changes: then
 * it is what folding the Decision into the state before gives. */
int engine_settle(struct engine_state *after, const Gantry__V1__Decision *decision,
                  const uint8_t hash[SHA256_SIZE], struct err *err);

/* One record to be published. Freed with the array by engine_records_free(). */
struct engine_record {
    enum topic topic;
    char *key;
    struct event_meta meta; /* all but traceparent */
    struct buf value;
};
struct engine_records {
    struct engine_record *items;
    size_t count;
};
/* What a Decision that counted asks of others, then, into the same `out`, its events: those wait
 * for nobody. In order, index from 0 through both. Depends on the Decision alone. After an error
 * `out` holds what came before it, to be freed. */
int engine_publish_requests(const Gantry__V1__Decision *decision, struct engine_records *out,
                            struct err *err);
int engine_publish_events(const Gantry__V1__Decision *decision, struct engine_records *out,
                          struct err *err);
void engine_records_free(struct engine_records *records);

/* Canonical bytes of a state (fixed order, sorted maps, a version) and back. */
int engine_encode(const struct engine_state *state, struct buf *out, struct err *err);
int engine_decode(struct engine_state **out, const void *data, size_t len, struct err *err);

#endif
