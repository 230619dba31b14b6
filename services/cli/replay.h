/* The ledger read again: what `gantry replay` and `gantry policy test` share.
 *
 *   replay_read.c   where the records come from: Kafka, or the console's REST
 *   replay_fold.c   one partition's records -> each pipeline's state and what people see of it
 *   replay_kept.c   what the running promoter keeps of a partition, held against that
 *   replay_json.c   the same as JSON, which tables are made of
 *   replay.c        the command */
#ifndef GANTRY_CLI_REPLAY_H
#define GANTRY_CLI_REPLAY_H

#include "base/map.h"
#include "base/sha256.h"
#include "engine/chain.h"
#include "engine/engine.h"
#include "gantry/v1/decision.pb-c.h"
#include "services/cli/topics.h"

struct json_t;
struct saved;

/* ---- replay_read.c ---- */

struct replay_source {
    struct cli *cli;
    bool kafka; /* else REST */
    struct topics topics;
    struct json_t *partitions; /* REST: what the console said */
    int32_t count;             /* of the ledger's partitions */
};

/* A record's value. 0: go on; 1: enough; -1: the caller keeps why, and reading ends. */
typedef int replay_record_fn(int64_t offset, const void *value, size_t len, void *arg);

/* `config` NULL: through the console. 0, or the exit code, having said why (so do the others). */
int replay_open(struct replay_source *source, struct cli *cli, const char *config);
void replay_close(struct replay_source *source);
/* The partition's beginning and end as they are now. */
int replay_ends(struct replay_source *source, int32_t partition, int64_t *begin, int64_t *end);
int replay_read(struct replay_source *source, int32_t partition, int64_t begin, int64_t end,
                replay_record_fn *fn, void *arg);
/* What the promoter keeps of the partition: promoter.state. Kafka alone has it. */
int replay_read_saved(struct replay_source *source, int32_t partition, struct saved *saved);

/* ---- replay_fold.c ---- */

/* What the last successful deploy of an action put into an environment. */
struct replay_running {
    char *environment, *action, *stage, *digest, *commit;
    uint64_t release;
    int64_t since_ms;
};
/* A release that is under way, or that failed and can be retried. */
struct replay_release {
    uint64_t number;
    bool rollback, ended, inside, stopping;
    char *stage;         /* that it is in or waits for; NULL: none yet */
    struct strv held_by; /* while it waits */
    char *commit;
    int64_t started_ms, since_ms; /* there */
};
struct replay_approval {
    char *id, *stage, *gate, *digest;
    uint64_t release;
    uint32_t votes, count;
    int64_t opened_ms, expires_ms;
};
struct replay_pipeline {
    char *name;
    int64_t first_offset; /* of its first Decision; -1: none */
    struct engine_state *state;
    struct map *running;   /* "environment/action" -> struct replay_running */
    struct map *deploys;   /* run id -> struct replay_running, asked for */
    struct map *releases;  /* number -> struct replay_release */
    struct map *approvals; /* id -> struct replay_approval, open */
};

struct replay {
    struct chain chain;
    struct map *pipelines; /* name -> struct replay_pipeline */
    int64_t at;            /* the offset looked at last */
    bool reached;          /* the limit */
    struct err err;
    /* Set by the caller. */
    int64_t until_ms;        /* INT64_MAX: no limit; Decisions at it are taken still */
    const char *only;        /* this pipeline alone; NULL: all */
    uint64_t until_sequence; /* of that one; 0: no limit */
    /* Told of each Decision of a pipeline that counts, before it is folded; NULL: not interested.
     */
    void (*before)(struct replay *replay, const struct replay_pipeline *pipeline,
                   const Gantry__V1__Decision *decision, void *arg);
    void *arg;
};

void replay_init(struct replay *replay);
void replay_release(struct replay *replay);
/* A replay_record_fn; `arg` is the struct replay. */
int replay_fold(int64_t offset, const void *value, size_t len, void *arg);

/* Keeps what people see: replay_fold() calls it for each Decision that it folded. */
void replay_follow(struct replay_pipeline *pipeline, const Gantry__V1__Decision *decision);
struct replay_pipeline *replay_pipeline_new(const char *name);
void replay_pipeline_free(void *pipeline);

/* ---- replay_kept.c ---- */

struct kept;
/* `saved` is taken over. */
struct kept *kept_new(struct saved *saved);
void kept_free(struct kept *kept);
/* The offset that the newest checkpoint tells of; -1: there is none. */
int64_t kept_head(const struct kept *kept);
/* To be called before the first record and after each that was folded: compares what is due. */
void kept_look(struct kept *kept, const struct replay *replay);
/* After the last. Adds what differs to `differences` as JSON objects. */
void kept_finish(struct kept *kept, const struct replay *replay, struct json_t *differences);
/* Of one pipeline: the sequence at which its state was compared; 0: it was not. */
uint64_t kept_compared(const struct kept *kept, const char *pipeline);

/* ---- replay_json.c ---- */

/* Adds a partition's rows to the arrays of `out`: pipelines, environments, releases, approvals. */
int replay_to_json(const struct replay *replay, const struct kept *kept, struct json_t *out,
                   struct err *err);
/* Puts each list into an order for people. */
void replay_sort(struct json_t *out);

/* ---- replay.c ---- */

/* RFC 3339, or a duration ago. */
int replay_time(const char *word, int64_t *out_ms);

#endif
