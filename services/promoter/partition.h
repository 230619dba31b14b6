/* One ledger partition and the inputs that are co-partitioned with it (docs/ledger.md). The
 * protocol lives here; the world is asked through struct partition_io, by Kafka in the service and
 * by a log in memory in the tests. The loop's thread.
 *
 *   partition.c    life, phases, what is to be done when
 *   restore.c      checkpoint, snapshots and ledger -> state; the first genesis; refusals
 *   input.c        an input record: is it readable, placed right, new; may it be stepped now
 *   decide.c       a step's changes -> Decision, appended and in flight
 *   confirm.c      the ledger read back: what counted, what is void, dropping a speculation
 *   publish.c      events and requests of what counted; the watermark
 *   clockwork.c    clock-caused Decisions, and the comparison of the own clock with Kafka's
 *   lookout.c      what is seen of environments and executors, to be decided by the clock too
 *   silence.c      which runs' executors were heard of
 *   checkpoint.c   snapshots and checkpoints
 *
 *   RESTORING -> WAITING -> RUNNING <-> REREADING, and from each REFUSED -> RESTORING */
#ifndef GANTRY_PROMOTER_PARTITION_H
#define GANTRY_PROMOTER_PARTITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "bus/bus.h"
#include "engine/chain.h"
#include "engine/engine.h"
#include "services/promoter/pipelines.h"
#include "services/promoter/silence.h"

typedef struct Gantry__V1__Genesis Gantry__V1__Genesis;
typedef struct Gantry__V1__Checkpoint Gantry__V1__Checkpoint;

struct metric;
struct partition;
struct append;
struct publication;
struct restore;
struct cut;

#define PARTITION_KEY             "@partition" /* of records that belong to no pipeline */
#define PARTITION_QUIET_MS        60000
#define PARTITION_IN_FLIGHT_MAX   1000
#define PARTITION_UNPUBLISHED_MAX 5000  /* Decisions that counted */
#define PARTITION_RETRY_MS        1000  /* a question that Kafka did not answer */
#define PARTITION_REFUSED_MS      30000 /* until it is tried again */

/* The topics that cause Decisions, in the order of their polling. */
#define PARTITION_INPUTS 7
extern const enum topic partition_inputs[PARTITION_INPUTS];

typedef void partition_ends_fn(const struct bus_end *ends, size_t count, const struct err *err,
                               void *arg);

/* What a partition asks of the world. Nothing calls back before it returned. */
struct partition_io {
    int64_t (*now_ms)(void *arg);
    int64_t (*mono_ms)(void *arg);
    /* As bus_produce_raw(): `ledger` by a producer of its own, all others by those that publish. */
    int (*produce)(enum topic topic, int32_t partition, const void *key, size_t key_len,
                   const void *value, size_t value_len, const struct event_header *headers,
                   size_t header_count, bus_ack_fn *ack, void *ack_arg, void *arg, struct err *err);
    int (*deadletter)(const struct bus_record *record, const char *reason, bus_ack_fn *ack,
                      void *ack_arg, void *arg, struct err *err);
    /* Reads `ledger`, `promoter.state` or an input of the partition from an offset on (again, if it
     * is read already: nothing of before comes after), or no longer. */
    int (*follow)(enum topic topic, int32_t partition, int64_t offset, void *arg, struct err *err);
    void (*unfollow)(enum topic topic, int32_t partition, void *arg);
    /* An input that is followed; it stays paused while it is followed anew. */
    void (*pause)(enum topic topic, int32_t partition, bool paused, void *arg);
    void (*commit)(enum topic topic, int32_t partition, int64_t next_offset, void *arg);
    void (*ask_ends)(const struct bus_end *ask, size_t count, partition_ends_fn *done,
                     void *done_arg, void *arg);
    /* partition_tick() at this monotonic time; INT64_MAX: not at all. */
    void (*wake)(struct partition *partition, int64_t mono_ms, void *arg);
    const struct engine_environment *(*environment)(const char *name, void *arg);
    bool (*environments_known)(void *arg);
    /* The phase or what keeps the partition from working changed. */
    void (*changed)(struct partition *partition, void *arg);
    void *arg;
};

/* All partitions count into the same. */
struct partition_metrics {
    struct metric *decisions_input, *decisions_clock, *decisions_empty, *decisions_foreign;
    struct metric *voids, *drops;
    struct metric *deadletters, *relayed, *definitions_ignored, *commands_refused;
    struct metric *published, *in_flight, *unpublished;
    struct metric *publish_seconds; /* from the Decision's time to the last acknowledgement */
    struct metric *restore_seconds;
    struct metric *checkpoints, *snapshots;
};

struct partition_conf {
    int32_t number, count;
    int64_t checkpoint_every_ms;
    const struct partition_io *io;
    const struct partition_metrics *metrics;
};

enum partition_phase {
    PARTITION_RESTORING,
    PARTITION_WAITING, /* restored; environments or the own genesis are still to come */
    PARTITION_RUNNING,
    PARTITION_REREADING, /* the speculation was dropped; the ledger is read as far as needed */
    PARTITION_REFUSED,
    PARTITION_CLOSED
};

/* One input topic of the partition. */
struct input {
    struct chain_position settled; /* what a Decision appended now records */
    int64_t next;                  /* the next offset to step, in memory */
    int64_t read_below;            /* the end that was met last */
    bool checked;     /* its last settled record was looked up; false: the first record tells */
    bool remade;      /* the topic was made again: the chain's position is of the one before */
    bool remade_said; /* ... and a Decision in flight says so */
    bool held;        /* stopped at `next`, which was not settled: to be read again */
    bool paused;      /* what io->pause was told last */
    size_t relays;    /* bad or misplaced records on their way elsewhere, not acknowledged yet */
    int64_t relay_next;
    char relay_ce_id[64];
    struct chain_position old; /* remade: what the chain said then */
};

/* A Command that names a definition which no Decision has taken yet. */
struct command_wait {
    bool on;
    int64_t offset;        /* of the Command */
    bool known;            /* `end` is */
    int64_t end;           /* of `definition`, asked for after the Command was read */
    int64_t retry_mono_ms; /* INT64_MAX: no question to repeat */
};

/* An input whose Decision could not be: it is refused, or dead-lettered, when it is read again. */
struct poison {
    bool on;
    enum topic topic;
    int64_t offset;
    char reason[256];
};

enum clock_stage {
    CLOCK_IDLE,
    CLOCK_COMPARING, /* an empty Decision was appended to compare the clocks by */
    CLOCK_ASKING,
    CLOCK_READING /* until the inputs were stepped to the ends */
};
struct clockwork {
    enum clock_stage stage;
    int64_t asked_at_ms; /* Unix ms */
    int64_t asked_at_mono_ms;
    int64_t ends[TOPIC_COUNT];
    int64_t not_before_mono_ms;
    int64_t compared_mono_ms; /* INT64_MIN: never */
    int64_t compared_at_ms;   /* the same moment by the wall clock */
    bool clock_ok;
    int64_t off_ms; /* by how much the own clock was outside */
};

struct partition {
    int32_t number, count;
    int64_t checkpoint_every_ms;
    const struct partition_io *io;
    const struct partition_metrics *metrics;

    enum partition_phase phase;
    char reason[ERR_MSG_MAX]; /* of REFUSED */
    bool closed;
    size_t refs;         /* the owner's and one for each answer that is still to come */
    uint64_t generation; /* of the speculation: an answer to an older one is of no interest */
    int64_t retry_mono_ms;
    int64_t woken_mono_ms; /* what io->wake was told last */

    /* What counted. */
    struct chain chain;
    int64_t ledger_next; /* the ledger was read below this offset */
    Gantry__V1__Genesis *genesis;
    struct pipelines pipelines;

    /* What is speculated. */
    uint8_t head[SHA256_SIZE];
    bool head_any; /* false: no genesis yet */
    int64_t time_ms;
    int64_t recorded_next[TOPIC_COUNT]; /* positions of the last Decision appended */
    int64_t recorded_published;
    struct append *flight_first, *flight_last;
    size_t in_flight;
    size_t appends_open; /* not acknowledged, those dropped included */
    int64_t reread_below;
    bool reread_ask; /* an outcome is unknown: the ledger's end has to be asked */
    bool reread_asked;

    struct input inputs[TOPIC_COUNT];
    struct command_wait command;
    struct poison poison;
    bool throttled;
    bool stopping;          /* no input is stepped any more */
    int64_t caused_mono_ms; /* inputs caused something */

    struct publication *publications, *publications_last, *unsent;
    size_t unpublished;
    int64_t published_below;  /* the watermark */
    int64_t published_matter; /* the same, raised only by Decisions that publish something */
    char publish_error[ERR_MSG_MAX];
    int64_t publish_retry_mono_ms;

    struct clockwork clock;
    struct silence silence;
    int64_t scan_mono_ms; /* when runs that were started before are looked for; INT64_MAX: done */
    int64_t look_mono_ms; /* when environments are to be looked at again; INT64_MAX: not */
    struct strv looking;  /* pipelines that still are to, the next one last */
    struct restore *restore;

    struct cut *cut;
    int checkpoint_slot; /* of the newest; -1: none */
    bool unsaved;        /* a Decision of a pipeline counted since */
    bool distrust;       /* a snapshot was not what it was named for: the ledger is folded whole */
    int64_t checkpoint_due_mono_ms;
    uint64_t counted; /* since the service began, for the tests and the log */
};

/* ---- life: what the owner calls ---- */

/* Begins to restore at once. */
struct partition *partition_new(const struct partition_conf *conf);
/* Ends it; memory goes when the last answer came. */
void partition_close(struct partition *p);
/* No input is stepped any more; what is in flight is confirmed and published, and a checkpoint
 * written. To be called again until partition_at_rest(). */
void partition_stop(struct partition *p);
/* True when nothing is in flight, unpublished or to be written. */
bool partition_at_rest(const struct partition *p);
void partition_tick(struct partition *p);
/* Environments came to be known. */
void partition_poke(struct partition *p);
/* They changed. */
void partition_look(struct partition *p);
/* Stops it with a reason; it is restored again after a while. */
void partition_refuse(struct partition *p, const struct err *why);

/* The same because of a snapshot: it is restored without any. */
void partition_distrust(struct partition *p, const struct err *why);

void partition_on_input(struct partition *p, const struct bus_record *record);
void partition_on_input_end(struct partition *p, enum topic topic, int64_t end);
void partition_on_ledger(struct partition *p, const struct bus_record *record);
void partition_on_ledger_end(struct partition *p, int64_t end);
void partition_on_state(struct partition *p, const struct bus_record *record);
void partition_on_state_end(struct partition *p, int64_t end);
/* The ledger's producer died: its appends were told as unknown before. */
void partition_on_ledger_producer_lost(struct partition *p);
/* The publishing producers were given up: their records were told as unknown before. */
void partition_on_publishers_lost(struct partition *p);

bool partition_restored(const struct partition *p);
const char *partition_phase_name(enum partition_phase phase);

/* ---- between the parts ---- */

int64_t partition_now(const struct partition *p);
int64_t partition_mono(const struct partition *p);
void partition_ref(struct partition *p);
void partition_unref(struct partition *p);
void partition_set_phase(struct partition *p, enum partition_phase phase);
/* Forgets all that the topics can tell again. */
void partition_reset(struct partition *p);
/* Arms io->wake for whatever is due first. */
void partition_rewake(struct partition *p);
/* Reads every input from the positions of what counted on. */
void partition_run(struct partition *p);
/* Pauses or resumes the inputs by phase, bounds and holds. */
void partition_throttle(struct partition *p);
void partition_pause(struct partition *p, enum topic topic, bool paused);
void partition_pause_all(struct partition *p);

void restore_begin(struct partition *p);
void restore_free(struct partition *p);
void restore_advance(struct partition *p); /* more of the ledger was read */
void restore_tick(struct partition *p);

/* Where each input goes on after a restore or a drop; forgets holds and relays. */
void input_begin(struct partition *p);
/* The topic was made again: it is read from its beginning. */
void input_remade(struct partition *p, enum topic topic);
/* Everything below `end` was read and stepped. */
bool input_stepped_to(const struct partition *p, enum topic topic, int64_t end);
void input_tick(struct partition *p);

/* 1: appended. 0: it changes nothing. -1: err; the input cannot be decided (dead-letter it), or,
 * with *dropped, the speculation was given up and the input will be read again. */
int decide_input(struct partition *p, const struct bus_record *record,
                 const struct event_meta *meta, const char *pipeline, const void *message,
                 const char *command_refusal, bool *dropped, struct err *err);
int decide_clock(struct partition *p, struct pipeline *pipeline, int64_t now_ms, struct err *err);
/* By what the promoter saw itself: environments that changed (run_id NULL), or an executor's
 * silence. */
int decide_seen(struct partition *p, struct pipeline *pipeline, const char *run_id,
                int64_t silent_ms, int64_t now_ms, struct err *err);
/* The pipeline's next deadline if all that are due were decided at `now_ms`. */
int64_t decide_clock_next(struct partition *p, const struct pipeline *pipeline, int64_t now_ms);
int decide_empty(struct partition *p, struct err *err);
int decide_genesis(struct partition *p, struct err *err);
bool decide_empty_due(const struct partition *p); /* there is something to record */

/* What is in flight, oldest first. */
bool flight_has(const struct partition *p, const uint8_t hash[SHA256_SIZE]);
bool flight_first_is(const struct partition *p, const uint8_t hash[SHA256_SIZE]);
/* The oldest without its changes, where its stored bytes have that hash; NULL also where it was not
 * kept and is to be read from them. */
const Gantry__V1__Decision *flight_first(const struct partition *p,
                                         const uint8_t hash[SHA256_SIZE]);
/* Queues what the oldest publishes, which flight_first() gave. */
void flight_publish(struct partition *p, int64_t offset);
void flight_confirm(struct partition *p); /* the oldest counted */
void flight_forget(struct partition *p);  /* all of it */

/* Gives the speculation up; `ask`: an outcome is unknown. */
void confirm_drop(struct partition *p, bool ask);
void confirm_reread_check(struct partition *p);
void confirm_tick(struct partition *p);

/* Queues what a Decision that counted publishes. */
int publish_add(struct partition *p, const Gantry__V1__Decision *decision, int64_t offset,
                const char *traceparent, struct err *err);
/* The same where the records are there already; takes them over. */
void publish_add_records(struct partition *p, struct engine_records *records, int64_t offset,
                         int64_t time_ms, const char *traceparent);
void publish_pump(struct partition *p);
void publish_restart(struct partition *p);
void publish_settle(struct partition *p);                /* moves the watermark */
void publish_forget(struct partition *p, int64_t below); /* published by whoever recorded it */
void publish_clear(struct partition *p);
void publish_tick(struct partition *p);

void clockwork_begin(struct partition *p);
void clockwork_advance(struct partition *p);
void clockwork_compare(struct partition *p, int64_t before_ms, int64_t after_ms, int64_t append_ms);
int64_t clockwork_due_mono(const struct partition *p);

void lookout_begin(struct partition *p);
bool lookout_due(const struct partition *p);
int64_t lookout_due_mono(const struct partition *p);
/* Between rounds: finds out what there is to decide. */
void lookout_scan(struct partition *p);
/* All inputs were stepped to ends asked for after it was due. */
void lookout_step(struct partition *p);
/* A Decision was appended, a result read. */
void lookout_decided(struct partition *p, const char *pipeline,
                     const Gantry__V1__Decision *decision);
void lookout_heard(struct partition *p, enum topic topic, const void *message);

void checkpoint_changed(struct partition *p); /* a Decision of a pipeline counted */
void checkpoint_advance(struct partition *p);
void checkpoint_free(struct partition *p);
int64_t checkpoint_due_mono(const struct partition *p);

#endif
