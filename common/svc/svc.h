/* What every service is: options, settings, log, loop, /healthz, /readyz and /metrics, signals,
 * ordered shutdown. */
#ifndef GANTRY_SVC_SVC_H
#define GANTRY_SVC_SVC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "bus/bus.h"
#include "conf/conf.h"
#include "http/server.h"
#include "loop/loop.h"
#include "metrics/metrics.h"

/* Settings every service has (section `common`, then its own section). */
struct svc_conf {
    struct conf_map kafka;     /* common.kafka */
    char *topic_prefix;        /* common.topic-prefix, "gantry" */
    int64_t partitions;        /* common.partitions, 12 */
    char *durability;          /* common.durability: replicated | single */
    char *instance_id;         /* common.instance-id; the host's name */
    char *log_level;           /* common.log.level */
    char *log_format;          /* common.log.format: text | json */
    char *secrets_dir;         /* common.secrets-dir */
    char *state_dir;           /* common.state-dir; a service uses <state-dir>/<service> */
    char *git_ca;              /* common.git-ca; NULL */
    int64_t shutdown_grace_ms; /* common.shutdown-grace, 30s */
    char *console_url;         /* common.console-url */
    char *approver_url;        /* common.approver-url */
    char *listen;              /* <service>.listen, 127.0.0.1:<its port> */
    char *tls_cert, *tls_key;  /* <service>.tls.cert, .key */
};

/* The table of section `common`, whose target is a struct svc_conf. */
extern const struct conf_item svc_common_items[];

struct svc {
    struct svc_conf conf;
    const char *config_file; /* of --config; NULL: none */
    struct loop *loop;
    struct metrics *metrics;
    struct http_server *http;
    struct bus *bus;
    void *app; /* the service's own, set by start() */
};

struct svc_def {
    const char *name;    /* source-watcher ... */
    const char *summary; /* one sentence for --help */
    int port;
    const struct conf_item *items; /* its own section; may be NULL */
    void *conf;                    /* their target */
    void *app;                     /* given to start() as svc->app; may be NULL */
    unsigned workers;              /* for loop_work(); 0: 4 */
    const char *cors_origin_conf;  /* NULL, or "console-url": that origin may call (the approver) */
    /* Wires topics, handlers and routes. Kafka may be away: that is no failure. After an error the
     * process ends without release(). */
    int (*start)(struct svc *svc, struct err *err);
    /* Stop taking work and finish or hand back what runs; call svc_stopped() when done. NULL:
     * nothing to do. */
    void (*stop)(struct svc *svc);
    /* Frees what start() made; the loop no longer runs. NULL: nothing. */
    void (*release)(struct svc *svc);
};

/* All of a service's life. Returns the process's exit code: 0; 1 when it ended badly; 2 when its
 * options or settings are refused, so that trying again is useless. Options: --config FILE, --set
 * section.key=value, --check (settings only), --help, --version. SIGTERM and SIGINT: readiness off,
 * stop(), exit 0; a second one, or the grace's end, exits at once with 1. SIGHUP is ignored. */
int svc_run(int argc, char **argv, const struct svc_def *def);

void svc_stopped(struct svc *svc);
/* Ends the service with an error, in the same order; ERR_INVALID and ERR_FATAL exit with 2. */
void svc_fail(struct svc *svc, const struct err *err);

/* Readiness: every name must be good. The first call with a name adds it (initially not ready if
 * ready is false); `reason` is shown by /readyz. "kafka" (connected) and "topics" (there, as
 * docs/reference/topics.md wants them) are kept by svc itself. */
void svc_ready(struct svc *svc, const char *name, bool ready, const char *reason);
/* A remark that readiness shows without being unready, e.g. "durability: single". NULL takes it
 * back. */
void svc_note(struct svc *svc, const char *name, const char *text);

#endif
