/* The command line. Everything but `topics` and `up` speaks to the console's REST, votes and tokens
 * to the approver's, secrets to the builder's.
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

struct buf;
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
    char *builder_url;  /* likewise without a slash at the end */
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

enum api_service { API_CONSOLE, API_APPROVER, API_BUILDER };
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
/* The release that a word names (cli_release_arg()). */
int api_get_release(struct cli *cli, struct api_reply *reply, const char *word);
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

/* What came from others is shown as text: a control character could make the terminal lie. */
void disarm_words(struct buf *text);
/* The same of every text in a value; line ends and tabs stay. */
void disarm_json(struct json_t *value);

/* ---- kept_words.c ---- */

/* Adds one of a run's `finished.files`: "docs: 12 files, 3.4 MiB". */
void kept_words(const struct json_t *file, struct buf *out);
/* "12 files, 3.4 MiB" */
void kept_size_words(const struct json_t *file, struct buf *out);
/* Adds a run's `finished.usage`: "took 34 s, 21 s of CPU, 210.0 MiB of memory at most, 3.4 MiB
 * out"; nothing where that says nothing. */
void usage_words(const struct json_t *usage, struct buf *out);

/* ---- report_words.c ---- */

/* Adds one entry of a run's `reports`: "unit: 205 of 212 passed, 1 failed, 4 s". Returns its
 * style, or NULL. */
const char *report_words(const struct json_t *report, struct buf *out);

/* ---- held.c ---- */

char *span(int64_t ms, char out[40]);        /* "1 h 12 min" */
char *moment(int64_t unix_ms, char out[80]); /* "Mon 09:00 (in 14 h)", in local time */
/* Adds one entry of a stage's `held`, or of a release's `checks`, in words. */
void held_words(const struct json_t *hold, struct buf *out);
void answer_words(const struct json_t *check, struct buf *out);
/* All of `held` in words, with "; " between; kinds that are `but` (NULL: none) left out. The caller
 * frees. */
char *held_text(const struct json_t *held, const char *but);
/* The first of them in a word or two. */
const char *held_first(const struct json_t *held, char out[32]);
/* Of an approval: how many votes say "approve" or "reject". */
size_t count_votes(const struct json_t *approval, const char *verdict);

/* ---- vote_choose.c ---- */

struct vote_wanted {
    const char *verdict; /* "approve" or "reject" */
    char pipeline[64];
    uint64_t release;
    const char *stage;
    const char *gate; /* NULL: whichever is meant */
};
/* The one of the approver's open approvals that is meant: the gate named; else the only one open
 * for that release and stage; else the only one of those that the person may vote on. NULL: said
 * which there are, and *rc is the exit code. */
const struct json_t *vote_choose(const struct json_t *approvals, const struct vote_wanted *wanted,
                                 int *rc);

/* ---- the commands ---- */

int cmd_transition_enable(struct cli *cli, int argc, char **argv);
int cmd_transition_disable(struct cli *cli, int argc, char **argv);
int cmd_release_promote(struct cli *cli, int argc, char **argv);
int cmd_gate_override(struct cli *cli, int argc, char **argv);
int cmd_pin(struct cli *cli, int argc, char **argv);
int cmd_unpin(struct cli *cli, int argc, char **argv);
int cmd_env_freeze(struct cli *cli, int argc, char **argv);
int cmd_env_unfreeze(struct cli *cli, int argc, char **argv);
int cmd_apply(struct cli *cli, int argc, char **argv);
int cmd_diff(struct cli *cli, int argc, char **argv);
int cmd_get(struct cli *cli, int argc, char **argv);
int cmd_delete(struct cli *cli, int argc, char **argv);
int cmd_check(struct cli *cli, int argc, char **argv);
int cmd_buildspec_check(struct cli *cli, int argc, char **argv);
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
int cmd_artifacts(struct cli *cli, int argc, char **argv);
int cmd_env(struct cli *cli, int argc, char **argv);
int cmd_token_create(struct cli *cli, int argc, char **argv);
int cmd_token_list(struct cli *cli, int argc, char **argv);
int cmd_token_delete(struct cli *cli, int argc, char **argv);
int cmd_secret_set(struct cli *cli, int argc, char **argv);
int cmd_secret_list(struct cli *cli, int argc, char **argv);
int cmd_secret_rm(struct cli *cli, int argc, char **argv);
int cmd_secret_grant(struct cli *cli, int argc, char **argv);
int cmd_secret_rotate(struct cli *cli, int argc, char **argv);
int cmd_topics_create(struct cli *cli, int argc, char **argv);
int cmd_topics_check(struct cli *cli, int argc, char **argv);
int cmd_topics_new_epoch(struct cli *cli, int argc, char **argv);
int cmd_audit_verify(struct cli *cli, int argc, char **argv);
int cmd_replay(struct cli *cli, int argc, char **argv);
int cmd_policy_test(struct cli *cli, int argc, char **argv);
int cmd_import_codepipeline(struct cli *cli, int argc, char **argv);
int cmd_build(struct cli *cli, int argc, char **argv);

/* The table's entry of a command, for its help and its errors. */
const struct cli_command *cli_command(const char *name);

#endif
