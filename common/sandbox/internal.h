/* Shared by pool.c and sandbox.c; see sandbox.h. */
#ifndef GANTRY_SANDBOX_INTERNAL_H
#define GANTRY_SANDBOX_INTERNAL_H

#include <sys/queue.h>
#include <sys/types.h>

#include "sandbox/cgroup.h"
#include "sandbox/sandbox.h"
#include "sandbox/wire.h"

#define NAME_SIZE 17

enum box_state {
    BOX_MAKING = 1,
    BOX_READY,
    BOX_FAILED,
    BOX_CLOSING /* its socket is closed; bubblewrap ends */
};

struct sandbox {
    LIST_ENTRY(sandbox) link; /* all of the pool's */
    struct sandbox_pool *pool;
    uint32_t id;
    char name[NAME_SIZE];
    char *dir;
    enum box_state state;
    bool taken;
    int sock;
    struct loop_fd *watch;
    int words;      /* what bubblewrap says when it fails */
    struct err err; /* why it failed */
    struct sandbox_limits limits;
    char *limit_reason;
    uint64_t oom_kills; /* when it was looked at last */
    char over_memory[80];
    /* what was asked to run */
    bool running;
    struct wire_packet *pending; /* until it is ready; its descriptors are ours */
    void (*on_exit)(struct sandbox *sandbox, const struct sandbox_exit *result, void *arg);
    void *exit_arg;
    struct loop_timer *failing; /* tells of a failure from the loop */
    /* stop */
    struct loop_timer *grace;
    void (*gone)(void *arg);
    void *gone_arg;
    /* usage */
    struct loop_timer *asking; /* tells that it is not known */
    void (*on_usage)(const struct sandbox_usage *usage, void *arg);
    void *usage_arg;
    /* the end */
    bool exited;
    bool removing;
    unsigned tries;
    struct loop_timer *closing;
    void (*done)(void *arg);
    void *done_arg;
};
LIST_HEAD(sandbox_list, sandbox);

/* A tree that the launcher removes or measures. */
struct tree_call {
    LIST_ENTRY(tree_call) link;
    uint32_t id;
    void (*done)(const struct sandbox_tree *tree, void *arg);
    void *arg;
};
LIST_HEAD(tree_calls, tree_call);

/* What work on another thread holds: the pool may be gone when it is done. */
struct pool_token {
    struct sandbox_pool *pool; /* NULL: gone */
    unsigned references;
};

struct sandbox_pool {
    struct loop *loop;
    struct pool_token *token;
    char *dir;
    char *program;
    char *shared;
    char *bwrap, *newuidmap, *newgidmap;
    bool network;
    struct strv hide_folders, hide_files;
    char *resolv_conf; /* the file behind the link, when it is below /run; NULL */
    struct cgroup_root cgroup;
    char means[256];
    unsigned warm;
    void (*on_state)(bool works, const char *reason, void *arg);
    void *arg;

    pid_t launcher;
    int control; /* -1: no launcher */
    struct loop_fd *control_watch;
    bool launched; /* it said READY */
    bool works;
    struct loop_timer *retry;
    struct loop_timer *refill;
    struct loop_timer *closing;
    void (*closed)(void *arg); /* once no sandbox is left; NULL: not asked for */
    void *closed_arg;
    uint32_t next_id;
    struct sandbox_list all;
    struct tree_calls trees; /* under way */
    struct loop_timer *tree_failing;
    struct wire_packet *packet; /* for sending and receiving, one at a time */
};

/* ---- pool.c ---- */
void pool_state(struct sandbox_pool *pool, bool works, const char *reason);
void pool_box_gone(struct sandbox_pool *pool);
void pool_refill_soon(struct sandbox_pool *pool, int64_t ms);
/* -1: the launcher is gone. */
int pool_send(struct sandbox_pool *pool);

struct pool_token *pool_token_hold(struct sandbox_pool *pool);
struct sandbox_pool *pool_token_take(struct pool_token *token); /* gives it back; NULL: gone */
struct sandbox *pool_find(struct sandbox_pool *pool, uint32_t id);

/* ---- tree.c ---- */
void tree_init(struct sandbox_pool *pool);
bool tree_answer(struct sandbox_pool *pool, uint32_t id, const struct sandbox_tree *tree);
void tree_fail_all(struct sandbox_pool *pool, int error); /* tells them */
void tree_free_all(struct sandbox_pool *pool);            /* does not */

/* ---- sandbox.c ---- */
struct sandbox *box_new(struct sandbox_pool *pool, struct err *err);
void box_make(struct sandbox *box); /* the launcher is ready */
void box_fail(struct sandbox *box, const struct err *err);
void box_exited(struct sandbox *box);
void box_removed(struct sandbox *box, int error);
/* At once, without callbacks; waits 10 ms for each of *tries until its control group is empty. */
void box_destroy(struct sandbox *box, unsigned *tries);

/* ---- view.c ---- */
/* bubblewrap's arguments for a sandbox whose folders are below `dir`; 0 or -1 (too long). */
int view_arguments(const struct sandbox_pool *pool, const char *dir, struct wire_packet *packet);
/* The files of users and groups that a sandbox has copies of, below its folder; ended by NULL. */
extern const char *const view_accounts[];
bool view_has_account(const char *path); /* a regular file here */
/* What to hide, as it is on this host. */
void view_init(struct sandbox_pool *pool, const struct strv *hide);
/* Adds what the reader can do about it to a failure that the kernel or bubblewrap reported. */
void view_explain(struct err *err, const char *said);

#endif
