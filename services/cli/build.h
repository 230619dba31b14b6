/* `gantry build --local`: a build on this machine, by the code and in the sandbox of the builder,
 * without Kafka.
 *
 *   build.c          the command: options, the buildspec's check
 *   build_request.c  what is asked of the builder's code
 *   build_source.c   what is in the folder: git's view of it, the copy that is built
 *   build_machine.c  privileges, the folder on disk, the sandbox, image tools
 *   build_host.c     the build's log on standard output, its signals, its end
 *   build_batch.c    all builds of a batch, one after the other
 *
 * DESIGN: what needs the caller's own rights (git, reading the folder) comes first; then a process
 * that is root becomes the builder's user for good, and only then anything of the folder runs. The
 * copy is made once and moved into the sandbox; each build of a batch gets a copy of it. */
#ifndef GANTRY_CLI_BUILD_H
#define GANTRY_CLI_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/id.h"
#include "base/str.h"
#include "build/build.h"
#include "gantry/v1/request.pb-c.h"
#include "gantry/v1/result.pb-c.h"
#include "loop/loop.h"
#include "sandbox/sandbox.h"

struct build_options {
    char *folder;
    const char *buildspec; /* NULL: as found */
    const char *dockerfile;
    const char *image;
    bool batch;                  /* all builds of the buildspec's batch */
    const char *batch_build;     /* one of them; NULL: its phases */
    Gantry__V1__BatchPlan *plan; /* of the buildspec's batch; NULL: it has none */
    struct strv env;             /* NAME=value */
    struct strv insecure;
    const char *user;
    const char *network;
    uint64_t memory_bytes;
    double cpu;
};

/* ---- build_source.c ---- */

/* What git says about a folder; "" for what it does not know. */
struct build_facts {
    char *root; /* the folder, absolute and without links */
    char commit[65];
    char ref[300];
    char *url;      /* origin, without anything secret in it; else file://<root> */
    size_t changes; /* files that differ from the commit, untracked ones among them */
    bool known;     /* it is (in) a work tree that git reads */
};
int build_facts_find(struct build_facts *facts, struct loop *loop, const char *folder,
                     struct err *err);
/* "/src/shop: commit 3f2c9a1b2c3d on main and 2 changed files (14 files, 35 KiB)". */
char *build_facts_text(const struct build_facts *facts, const struct build_folder *copied);
void build_facts_release(struct build_facts *facts);

/* ---- build_machine.c ---- */

struct build_machine {
    struct loop *loop;
    char *dir;    /* of this run alone, below /var/tmp; removed at the end */
    char *source; /* the copy, below `dir`, until it is moved */
    int lock;     /* on `dir` */
    int program;  /* gantry-sandbox */
    int docker;   /* gantry-docker */
    uid_t uid;    /* as whom builds run */
    gid_t gid;
    struct sandbox_pool *pool;
    struct build_env env;
};
/* The folder and all that root does; the process is still what it was. */
int build_machine_open(struct build_machine *m, struct loop *loop,
                       const struct build_options *options, struct err *err);
/* Becomes the builder's user and makes sandboxes possible. */
int build_machine_start(struct build_machine *m, const struct build_options *options,
                        const char *hide, struct err *err);
/* Removes all of it; a second call does nothing. */
void build_machine_close(struct build_machine *m);

/* ---- build_request.c ---- */

/* As the promoter would send it. */
struct build_request {
    Gantry__V1__ActionRequest message;
    Gantry__V1__BuildSpec spec;
    Gantry__V1__Revision revision;
    Gantry__V1__Revision *revisions[1];
    Gantry__V1__KeyValue *pairs;
    Gantry__V1__KeyValue **variables;
    char *action;
    char run_id[ID_SIZE];
};
/* `build`: of the plan's; NULL: the buildspec's phases. `release` is what a tag is made of. All
 * that is given must live as long. */
void build_request_init(struct build_request *r, const struct build_options *options,
                        const struct build_facts *facts, const Gantry__V1__BatchBuild *build,
                        uint64_t release);
void build_request_release(struct build_request *r);

/* ---- build_host.c ---- */

enum build_end { BUILD_SUCCEEDED, BUILD_FAILED, BUILD_INTERRUPTED };

/* Standard output and signals, for one build or several, one after the other. */
struct build_session;
/* `about` is what the source is. */
struct build_session *build_session_open(struct build_machine *m, const struct build_folder *copied,
                                         const char *about);
/* A line of its own. */
void build_session_say(struct build_session *session, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Runs the build to its end. `keep`: another one may follow and want the source, too. */
enum build_end build_session_run(struct build_session *session, Gantry__V1__ActionRequest *request,
                                 bool keep);
/* What the last build reported, until the next one; NULL: nothing. */
const Gantry__V1__Finished *build_session_finished(const struct build_session *session);
bool build_session_interrupted(const struct build_session *session);
/* Closes the machine, too. The signal that stopped it, else 0. */
int build_session_close(struct build_session *session);

/* ---- build_batch.c ---- */

/* Runs all builds of options->plan, one after the other, and tells how each ended. */
enum build_end build_batch_run(struct build_session *session, const struct build_options *options,
                               const struct build_facts *facts, uint64_t release);

#endif
