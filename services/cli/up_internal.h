/* Shared by the files of `gantry up` alone: options and the order of things (up.c), the services'
 * processes (up_service.c), settings the supervisor needs of theirs (up_settings.c), readiness
 * (up_ready.c), the builder's control group (up_cgroup.c). */
#ifndef GANTRY_CLI_UP_INTERNAL_H
#define GANTRY_CLI_UP_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "http/client.h"
#include "loop/child.h"
#include "loop/loop.h"

#define UP_SERVICES 7

struct yaml_tree;
struct up;

/* In the order in which they are stopped; they are started in the reverse of it. */
struct up_kind {
    const char *name;
    int port; /* its default */
};
extern const struct up_kind up_kinds[UP_SERVICES];

/* ---- settings ---- */

struct up_settings {
    const char *config; /* --config, or NULL */
    struct strv sets;   /* --set */
    struct buf text;
    struct yaml_tree *tree;
};
int up_settings_load(struct up_settings *settings, struct err *err);
void up_settings_release(struct up_settings *settings);
/* What a service will find for section.key, or NULL; as text, to be freed. */
char *up_setting(const struct up_settings *settings, const char *section, const char *key);
/* http://host:port to reach a service from this machine, to be freed; NULL: it picks its port. */
char *up_address(const struct up_settings *settings, const struct up_kind *kind);

/* ---- the builder's control group ---- */

struct up_cgroup {
    char *place;         /* as GANTRY_BUILDER_CGROUP wants it; NULL: none */
    struct strv folders; /* made here */
    char *left;          /* the group that this process was in and returns to (v2), or NULL */
    int join_fd;         /* cgroup.procs that the builder enters (v2), or -1 */
};
/* Makes and delegates it to `user`. -1 and *err: there is none, which is no failure. */
int up_cgroup_make(struct up_cgroup *cgroup, const char *user, struct err *err);
/* Nothing of the builder runs any more. */
void up_cgroup_remove(struct up_cgroup *cgroup);

/* ---- services ---- */

enum up_state {
    UP_RUNNING,
    UP_WAITING, /* to be started again */
    UP_STOPPED
};

struct up_service {
    struct up *up;
    const struct up_kind *kind;
    char *program;
    char *address; /* NULL: not known */
    const char *color;
    enum up_state state;
    struct loop_child *child;
    struct loop_timer *again;
    int64_t started_ms;
    int64_t backoff_ms;
    struct buf line; /* the last one, not yet ended */
    struct http_call *asked;
    bool ready;
    char *reason; /* why it is not ready */
};

void up_service_init(struct up_service *service, struct up *up, const struct up_kind *kind,
                     const char *programs);
int up_service_start(struct up_service *service, struct err *err);
/* SIGTERM; up_stopped() follows. */
void up_service_stop(struct up_service *service);
void up_service_kill(struct up_service *service);
void up_service_release(struct up_service *service);

/* ---- readiness ---- */

struct up_readiness {
    struct http_client *http;
    struct loop_timer *timer;
    int64_t began_ms;
    int64_t told_ms; /* when it was last said what is awaited */
    bool told;       /* that all are ready */
};
void up_ready_start(struct up *up);
void up_ready_release(struct up *up);

/* ---- all of it ---- */

struct up {
    struct loop *loop;
    struct up_settings settings;
    struct up_service services[UP_SERVICES]; /* those that run here, in stopping order */
    size_t count;
    struct strv env; /* of every service */
    char *cwd;
    pid_t pid;
    int64_t grace_ms; /* of a service, until it is killed */
    int width;        /* of the prefix */
    bool color;
    struct up_cgroup cgroup;
    struct up_readiness readiness;
    bool stopping;
    int exit_code;
};

/* A line of the supervisor's own. */
void up_say(struct up *up, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A line of a service's. */
void up_print(struct up *up, const char *name, const char *color, const char *text, size_t len);
/* Ends everything in order. */
void up_stop(struct up *up);
/* A service's process is gone for good. */
void up_stopped(struct up_service *service);

#endif
