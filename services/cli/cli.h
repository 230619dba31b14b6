/* The command line. Everything but `topics` and `up` speaks to the console's REST, votes and tokens
 * to the approver's.
 *
 *   main.c     the commands and their help
 *   args.c     options of a command, those of all commands among them
 *   api.c      REST calls, their errors and the exit code that goes with each
 *   table.c    tables, colours and times for people
 *   ...        one file a group of commands */
#ifndef GANTRY_CLI_CLI_H
#define GANTRY_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct json_t;
struct loop;
struct http_client;

enum cli_exit {
    EXIT_DONE = 0,
    EXIT_BAD_END = 1, /* the release failed, a check found something */
    EXIT_USAGE = 2,
    EXIT_NOT_FOUND = 3,
    EXIT_DENIED = 4,
    EXIT_CONFLICT = 5,
    EXIT_UNREACHABLE = 6,
    EXIT_TOO_LONG = 7
};

struct cli {
    char *url;          /* the console's, without a slash at the end */
    char *approver_url; /* NULL: asked of the console when first needed */
    char *token;        /* NULL: none */
    bool json;          /* -o json */
    bool color;
    struct loop *loop; /* made when first needed */
    struct http_client *http;
};

/* ---- args.c ---- */

enum cli_flag_type { FLAG_BOOL, FLAG_STR, FLAG_LIST, FLAG_NUM };
struct cli_flag {
    const char *name; /* without the dashes; NULL ends a table */
    char letter;      /* 0: none */
    enum cli_flag_type type;
    void *target;    /* bool *, const char **, struct strv *, int64_t * */
    const char *arg; /* its value's name in the help */
    const char *help;
};
struct cli_command {
    const char *name;    /* "release start" */
    const char *usage;   /* "PIPELINE [STAGE]" */
    const char *summary; /* one sentence */
    const char *details; /* more help, with an example; may be NULL */
    int (*run)(struct cli *cli, int argc,
               char **argv); /* argv[0] is the first word after the name */
};
/* Takes the options (its own and everybody's) out of argv and leaves the other words in `words`
 * (borrowed). The number of words is checked. 0; 1: help was asked for and given; -1: said what is
 * wrong. */
int cli_args(struct cli *cli, const struct cli_command *command, int argc, char **argv,
             const struct cli_flag *flags, struct strv *words, size_t least, size_t most);
void cli_command_help(const struct cli_command *command, const struct cli_flag *flags,
                      bool to_error);
int cli_usage_error(const struct cli_command *command, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* "shop/42" -> name and number; -1 said what is wrong. */
int cli_release_arg(const char *word, char pipeline[64], uint64_t *number);
/* "gantry: ..." on standard error; returns code. */
int cli_fail(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- api.c ---- */

enum api_service { API_CONSOLE, API_APPROVER };
struct api_call {
    enum api_service service;
    const char *method;  /* NULL: GET */
    const char *path;    /* /api/v1/..., encoded */
    struct json_t *json; /* body; stolen */
    const void *body;    /* or these bytes */
    size_t body_len;
    const char *content_type; /* of `body` */
    const char *accept;       /* NULL: application/json */
    const char *if_match;     /* NULL: none; "*" with if_none_match */
    bool if_none_match;
    int64_t timeout_ms;                                      /* 0: 30 s */
    int (*on_data)(const char *data, size_t len, void *arg); /* a stream */
    void *arg;
};
struct api_reply {
    int status;
    char *body; /* NUL-terminated; NULL for a stream */
    size_t len;
    struct json_t *json; /* NULL where the body is none */
    char etag[128];
    char next_offset[32];
};
void api_init(struct cli *cli);
void api_close(struct cli *cli);
/* 0: answered with 2xx. Else the exit code, having said what is wrong (quiet: unless the status is
 * `expected`). A POST that is not answered is sent again with the same Idempotency-Key for up to 15
 * s. */
int api_send(struct cli *cli, const struct api_call *call, struct api_reply *reply);
int api_send_expecting(struct cli *cli, const struct api_call *call, int expected,
                       struct api_reply *reply);
int api_get(struct cli *cli, struct api_reply *reply, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void api_reply_release(struct api_reply *reply);
/* A path segment, percent-encoded; the caller frees. */
char *api_segment(const char *text);

/* ---- table.c ---- */

struct table;
struct table *table_new(const char *const *columns); /* NULL-ended */
/* A cell, left to right; a row begins with the first column. `style`: "good", "bad", "busy",
 * "wait", "quiet" or NULL. */
void table_cell(struct table *table, const char *style, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void table_print(struct table *table, bool color); /* and frees it */

const char *table_status_style(const char *status);
const char *style_on(bool color, const char *style);
const char *style_off(bool color);
char *short_digest(const char *digest, char out[32]); /* sha256: and 12 digits */
char *short_commit(const char *commit, char out[16]); /* 8 digits */
char *ago(int64_t unix_ms, char out[40]);             /* "3 min ago"; "" for 0 */
/* Prints a reply's JSON indented. */
int print_json(const struct json_t *json);

/* Members of JSON objects, without a NULL to trip over. */
const char *jstr(const struct json_t *object, const char *key); /* "" if absent */
int64_t jnum(const struct json_t *object, const char *key);
bool jbool(const struct json_t *object, const char *key);
const struct json_t *jget(const struct json_t *object, const char *key);

/* ---- the commands ---- */

int cmd_apply(struct cli *cli, int argc, char **argv);
int cmd_diff(struct cli *cli, int argc, char **argv);
int cmd_get(struct cli *cli, int argc, char **argv);
int cmd_delete(struct cli *cli, int argc, char **argv);
int cmd_check(struct cli *cli, int argc, char **argv);
int cmd_pipelines(struct cli *cli, int argc, char **argv);
int cmd_releases(struct cli *cli, int argc, char **argv);
int cmd_release_start(struct cli *cli, int argc, char **argv);
int cmd_release_show(struct cli *cli, int argc, char **argv);
int cmd_release_stop(struct cli *cli, int argc, char **argv);
int cmd_release_retry(struct cli *cli, int argc, char **argv);
int cmd_release_rollback(struct cli *cli, int argc, char **argv);
int cmd_release_watch(struct cli *cli, int argc, char **argv);
int cmd_approve(struct cli *cli, int argc, char **argv);
int cmd_reject(struct cli *cli, int argc, char **argv);
int cmd_approvals(struct cli *cli, int argc, char **argv);
int cmd_logs(struct cli *cli, int argc, char **argv);
int cmd_env(struct cli *cli, int argc, char **argv);
int cmd_token_create(struct cli *cli, int argc, char **argv);
int cmd_token_list(struct cli *cli, int argc, char **argv);
int cmd_token_delete(struct cli *cli, int argc, char **argv);
int cmd_topics_create(struct cli *cli, int argc, char **argv);
int cmd_topics_check(struct cli *cli, int argc, char **argv);
int cmd_topics_new_epoch(struct cli *cli, int argc, char **argv);
int cmd_audit_verify(struct cli *cli, int argc, char **argv);

/* The table's entry of a command, for its help and its errors. */
const struct cli_command *cli_command(const char *name);

#endif
