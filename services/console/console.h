/* The console's parts and what they share. Loop thread only. */
#ifndef GANTRY_CONSOLE_CONSOLE_H
#define GANTRY_CONSOLE_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/auth.h"
#include "base/id.h"
#include "bus/bus.h"
#include "http/server.h"
#include "services/console/ingest.h"
#include "svc/svc.h"

struct json_t; /* jansson */
typedef struct Gantry__V1__Actor Gantry__V1__Actor;

struct waits;
struct event_streams;
struct log_streams;
struct ledger_reader;
struct file_reader;
struct bound_route;

struct console_conf {
    bool anonymous_read;
    char *bootstrap_token; /* a secret's name */
    int64_t log_retention_ms;
    uint64_t log_max_bytes, log_total_bytes;
    int64_t events_kept;
    int64_t streams_max;
    char *artifacts; /* NULL: the store is not read */
    char *aws_region, *aws_endpoint_url, *aws_profile;
};
extern const struct conf_item console_conf_items[];

struct console {
    struct svc *svc;
    struct console_conf conf;
    struct auth *auth;
    struct ingest *ingest;
    struct bus_producer *producer;
    struct waits *waits;
    struct event_streams *event_streams;
    struct log_streams *log_streams;
    struct ledger_reader *ledger;
    struct file_reader *files;
    struct bound_route *routes;
};

int console_main(int argc, char **argv);

/* ---- one request ---- */

struct call {
    struct console *console;
    struct http_request *req;
    struct auth_person person; /* of an anonymous caller: no subject, the role viewer */
};

struct route_def {
    const char *method;
    const char *pattern;
    size_t body_limit;
    unsigned role; /* of enum auth_role; 0: anybody */
    void (*fn)(struct call *call);
};
void routes_add(struct console *console);

/* Who asks, by a header's value that may be NULL: 0, or the status to answer with and *err. */
int gate_check(struct console *console, const char *authorization, unsigned role, bool reading,
               struct auth_person *out, struct err *err);

/* The file to answer from, or NULL having answered 503. What is read until reader_end() is of one
 * moment. */
struct sqlite_db *reader_begin(struct call *call);
/* 0, or -1 having answered 500: what was read is not to be trusted. */
int reader_end(struct call *call, struct sqlite_db *db);

/* Answers 503 and returns false where nothing can be stored now. */
bool kafka_there(struct call *call);

/* A problem of RFC 9457 with the member `errors`, which is taken over (NULL: none). */
void reply_problem(struct http_request *req, int status, const char *title, const char *detail,
                   struct json_t *errors);

/* Values of the path and the query that are checked: false having answered 404 or 400. */
bool param_name(struct call *call, const char *param, const char **out);
bool param_number(struct call *call, const char *param, uint64_t *out);
bool query_limit(struct call *call, int64_t def, int64_t max, int64_t *out);

/* ---- rest_file.c ---- */

/* Reads the artifact store, if one is set. */
int file_reader_new(struct console *console, struct err *err);
void file_reader_free(struct file_reader *files); /* NULL is accepted */

/* ---- routes, by file ---- */

void rest_version(struct call *call); /* rest_about.c */
void rest_whoami(struct call *call);
void rest_openapi(struct call *call);
void rest_pipelines(struct call *call); /* rest_read.c */
void rest_pipeline(struct call *call);
void rest_releases(struct call *call);
void rest_all_releases(struct call *call);
void rest_release(struct call *call);
void rest_report_trend(struct call *call);
void rest_environments(struct call *call);
void rest_approvals(struct call *call);
void rest_search(struct call *call);
void rest_start(struct call *call); /* rest_command.c */
void rest_stop(struct call *call);
void rest_retry(struct call *call);
void rest_rollback(struct call *call);
void rest_transition(struct call *call); /* rest_gate.c */
void rest_promote(struct call *call);
void rest_override(struct call *call);
void rest_pin(struct call *call);
void rest_unpin(struct call *call);
void rest_command(struct call *call);
void rest_definitions(struct call *call); /* rest_definition.c */
void rest_definition(struct call *call);
void rest_put_definition(struct call *call);
void rest_delete_definition(struct call *call);
void rest_log(struct call *call);    /* log_stream.c */
void rest_file(struct call *call);   /* rest_file.c */
void rest_events(struct call *call); /* event_stream.c */
void rest_ledger(struct call *call); /* ledger.c */
void rest_ledger_records(struct call *call);
void page_routes(struct console *console); /* page.c */

/* ---- waiting for what becomes of a record (waits.c) ---- */

struct wait {
    char ce_id[ID_SIZE];
    const char *what; /* start, stop, retry, rollback, transition, promote, override, pin, put or
                         delete: a literal */
    char kind[32];    /* put, delete: of the definition */
    char name[64];    /* its name, or the pipeline's */
    uint64_t release; /* stop, retry, promote, override */
    char part[64];    /* transition: the stage; pin: the environment */
    bool created;     /* put: there was none before */
    char sha256[65];  /* put */
};
struct waits *waits_new(struct console *console);
void waits_free(struct waits *waits);
/* Sends the record and answers the call within 5 s: with the outcome, 202 or 503. The same ce_id
 * again is answered with the first outcome and is not sent twice. */
void waits_send(struct call *call, const struct wait *wait, enum topic topic, const void *message);
/* An outcome of this record may be in the read model now. */
void waits_outcome(struct waits *waits, const char *ce_id);
/* True while a definition's change is on its way. */
bool waits_has_definition(const struct waits *waits, const char *kind, const char *name);

/* ce_id of a record that the call causes: of its Idempotency-Key, or random. False having answered
 * 400. `type` as in docs/events.md. */
bool call_id(struct call *call, const char *type, char out[ID_SIZE]);
/* Points into the person. */
void call_actor(const struct call *call, Gantry__V1__Actor *out);

/* ---- streams ---- */

struct event_streams *event_streams_new(struct console *console);
void event_streams_free(struct event_streams *streams);
void event_streams_applied(struct event_streams *streams, const struct ingest_record *record);
/* Offsets mean nothing any more: every client must begin anew. */
void event_streams_reset(struct event_streams *streams);

struct log_streams *log_streams_new(struct console *console);
void log_streams_free(struct log_streams *streams);
void log_streams_applied(struct log_streams *streams, const struct ingest_record *record);
/* An executor that was killed never says that its log ends. */
void log_streams_run_ended(struct log_streams *streams, const char *run_id);

struct ledger_reader *ledger_reader_new(struct console *console);
void ledger_reader_free(struct ledger_reader *ledger);

#endif
