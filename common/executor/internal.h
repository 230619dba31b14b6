/* Shared by the files of common/executor; see executor.h. */
#ifndef GANTRY_EXECUTOR_INTERNAL_H
#define GANTRY_EXECUTOR_INTERNAL_H

#include "base/buf.h"
#include "base/map.h"
#include "executor/executor.h"
#include "gantry/v1/request.pb-c.h"
#include "gantry/v1/result.pb-c.h"
#include "metrics/metrics.h"

#define RUN_ID_MAX          64
#define HEARTBEAT_MS        20000
#define PARKED_HEARTBEAT_MS 40000
#define REVOKED_KEEP_MS     30000
#define RESTART_PAUSE_MS    5000
#define TICK_MS             1000
#define LOG_CHUNK_MAX       (32 * 1024)
#define LOG_SOON_MS         10           /* after the first bytes, where nothing went for a while */
#define LOG_FLUSH_MS        100          /* between bursts that are not full */
#define LOG_BURST           (512 * 1024) /* goes at once */
#define LOG_BURST_MAX       (960 * 1024) /* what a request to Kafka takes */
#define LOG_TOTAL_MAX       (64ULL * 1024 * 1024)
#define LOG_BLOCK_BYTES     (4 * 1024 * 1024) /* wait: a run's output is not read any more */
#define LOG_KEEP_MAX        (8 * 1024 * 1024) /* wait: what comes all the same is lost */
#define LOG_QUEUE_MAX       2000 /* records waiting in the producer beyond which log waits */
#define TAIL_LINES          20
#define TAIL_BYTES          4096
#define REMEMBER_MAX        10000

enum run_state {
    RUN_CHECKING = 1, /* may be older than this member: the result topic is asked first */
    RUN_PARKED,
    RUN_ANNOUNCED, /* Started must be acknowledged before the effect */
    RUN_RUNNING,
    RUN_ENDED /* Finished is on its way */
};

/* The log of one run on its way out. */
struct run_log {
    struct buf pending; /* of one stream */
    size_t at;          /* in it: what waits; before that it was sent */
    bool pending_mark;
    unsigned bursts;      /* not acknowledged yet */
    int64_t sent_ms;      /* monotonic: the last chunk */
    uint64_t sent_bytes;  /* offset of what waits in the attempt's log */
    uint64_t taken_bytes; /* all that was accepted */
    bool mid_line;
    bool truncated;
    bool blocked; /* executor_log() answered false */
    struct buf tail;
    struct loop_timer *timer;
};

struct executor_run {
    struct executor *executor;
    char id[RUN_ID_MAX];
    enum run_state state;
    Gantry__V1__ActionRequest *request;
    char traceparent[EVENT_TRACEPARENT_SIZE];
    int32_t partition;
    int64_t offset;
    int64_t cancel_offset; /* of the cancel that waits for the same end; -1: none */
    bool owned;            /* the partition is this member's */
    int64_t revoked_ms;    /* monotonic, when it went */
    int64_t asked_ms;      /* Unix ms: the earlier of append time and ce_time */
    bool lookup_needed;
    bool in_lookup;
    uint32_t attempt;
    uint32_t number; /* of the last result sent in this attempt */
    bool seen_started;
    bool seen_finished;
    bool cancelled;
    char *cancel_reason;
    unsigned told;          /* bits of enum executor_stop already told */
    int64_t not_before_ms;  /* monotonic; of a run that was dropped */
    int64_t started_ms;     /* Unix ms */
    int64_t last_result_ms; /* monotonic */
    char *phase, *text;     /* of the last progress */
    uint32_t percent;
    bool news;                          /* not told yet */
    Gantry__V1__ActionResult *finished; /* kept until it is acknowledged */
    bool unsent;                        /* Started or Finished could not be queued */
    struct run_log log;
    void *data;
    struct executor_run *prev, *next; /* in the queue of parked runs */
};

struct partition {
    bool assigned;
    bool end_known;
    bool end_asked;
    int64_t end;         /* of the request topic when it was assigned */
    int64_t assigned_ms; /* Unix ms */
};

/* Ids of runs that ended here or were cancelled before they were seen; the oldest is forgotten. */
struct memory {
    struct map *ids; /* id -> reason of a cancel (char *), or "" */
    char (*ring)[RUN_ID_MAX];
    size_t next;
};

struct lookup;

/* What a question that is under way holds: the executor may be gone when the answer comes. */
struct asked {
    struct executor *executor; /* NULL: gone */
    unsigned references;
};

struct executor {
    struct asked *asked;
    struct loop *loop;
    struct bus *bus;
    struct bus_group *group;
    struct bus_producer *producer;
    struct executor_conf conf;
    char *instance;
    struct executor_handler handler;
    struct partition *partitions;
    struct map *runs; /* id -> struct executor_run */
    struct executor_run *parked_first, *parked_last;
    size_t parked, running, checking, undelivered;
    struct memory memory;
    struct lookup *lookup;
    struct loop_timer *lookup_timer;
    int64_t lookup_since_ms;
    struct loop_timer *ends_timer;
    struct loop_timer *tick;
    bool pumping;
    bool held;
    bool stopping;
    bool closing;
    bool full;
    void (*stopped)(void *arg);
    void *stopped_arg;
    struct metric *m_running, *m_parked, *m_started, *m_ended[5];
};

/* ---- run.c ---- */
struct executor_run *run_new(struct executor *ex, Gantry__V1__ActionRequest *request,
                             const char *traceparent, const struct bus_record *record);
void run_free(struct executor_run *run); /* out of the table too */
void run_park(struct executor_run *run);
void run_unpark(struct executor_run *run);
/* Ends it with the given outcome, without it having been started. */
void run_end_unstarted(struct executor_run *run, int outcome, const char *reason);
void run_cancel(struct executor_run *run, const char *reason, int64_t offset);
void run_tell(struct executor_run *run, enum executor_stop why, const char *reason);
void run_resend(struct executor_run *run);
void run_heartbeat(struct executor_run *run, int64_t now_mono_ms);
void executor_pump(struct executor *ex); /* starts what may start */
void executor_check_stopped(struct executor *ex);
void executor_wake(struct executor *ex); /* arms the tick */

/* ---- lookup.c ---- */
/* The run may have been started or finished before: ask the result topic, soon. */
void lookup_want(struct executor *ex, struct executor_run *run);
void lookup_assigned(struct executor *ex, int32_t partition);
void lookup_ask_ends(void *executor);
void lookup_begin(void *executor);
void lookup_init(struct executor *ex);
void lookup_free(struct executor *ex);
/* True while the run must be looked up before it starts. */
bool lookup_is_needed(const struct executor *ex, const struct executor_run *run);

/* ---- runlog.c ---- */
void runlog_init(struct executor_run *run);
void runlog_release(struct executor_run *run);
void runlog_restart(struct executor_run *run); /* for the next attempt */
void runlog_end(struct executor_run *run);     /* sends all that waits, as the log's last */
/* The last lines, valid UTF-8, in an array of their own; free each and the array. */
char **runlog_tail(const struct executor_run *run, size_t *count);

/* ---- memory ---- */
void memory_init(struct memory *memory);
void memory_release(struct memory *memory);
void memory_add(struct memory *memory, const char *id, const char *cancel_reason);
/* NULL: not known; "": ended here; else the reason it was cancelled for. */
const char *memory_get(const struct memory *memory, const char *id);

#endif
