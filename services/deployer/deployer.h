/* The deployer: puts a digest into an environment. It serves the environments that name it
 * (`deployer:`) and holds their credentials; run PROD's where only PROD's operators reach.
 *
 *   deployer.c  wiring: which runs are its own, drivers, start and stop
 *   commands.c  the programs that the driver `command` may run, out of this service's own settings
 *   command.c   driver `command`: one run of a program
 *   fence.c     the newest Decision that touched each target, so that a deployer that slept cannot
 * undo it
 *
 * A further driver is a file with its <driver>_start() and <driver>_stop(), and a line in
 * deployer.c. */
#ifndef GANTRY_DEPLOYER_DEPLOYER_H
#define GANTRY_DEPLOYER_DEPLOYER_H

#include "base/str.h"
#include "events/order.h"
#include "executor/executor.h"
#include "svc/svc.h"

typedef struct Gantry__V1__ActionRequest Gantry__V1__ActionRequest;

struct deployer_conf {
    char *name;
    char *commands; /* YAML */
    char *state_dir;
    int64_t slots;
};

struct commands;

struct deployer {
    struct svc *svc;
    struct deployer_conf conf;
    struct executor *executor;
    struct commands *commands;
    char *fences; /* the folder of fence.c's files */
};

int deployer_main(int argc, char **argv);

/* ---- commands.c ---- */

struct command {
    char *name;
    struct strv argv;
    struct strv env;    /* "K=V" */
    int64_t timeout_ms; /* 0: the action's alone */
};

/* {NAME: {argv: [...], env: {K: V}, timeout: 15m}}; NULL or "" gives none. Every error names the
 * command. */
int commands_parse(struct commands **out, const char *yaml, struct err *err);
void commands_free(struct commands *commands);
const struct command *commands_get(const struct commands *commands,
                                   const char *name); /* NULL: none */
size_t commands_count(const struct commands *commands);

/* ---- command.c ---- */

void command_start(struct deployer *app, struct executor_run *run);
void command_stop(struct executor_run *run, enum executor_stop why);
void command_log_ready(struct executor_run *run);

/* ---- fence.c: blocking, for a worker thread ---- */

/* Notes that the Decision at `order` (its epoch and sequence; it may ask for several runs) is about
 * to change the target. ERR_CONFLICT: a newer one did already. The note is on the disk when this
 * returns 0. */
int fence_raise(const char *folder, const char *environment, const char *pipeline,
                const struct event_order *order, const char *run_id, struct err *err);

#endif
