/* Shared by the files of the driver kubernetes alone.
 *
 * DESIGN: a Job's pod begins with a few lines of shell (kubernetes_job.c) that fetch the place's
 * folder from the builder and start the runner (kubernetes_files.c). The runner asks the builder
 * again and again what to do next (kubernetes_rest.c) and does it: run a command, bring files, take
 * files. What commands write is the container's log, read by the API; a line of its own ends the
 * output of each command and says its status, so that nothing of it is told too early. A pod that
 * nobody answers any more ends. */
#ifndef GANTRY_BUILD_KUBERNETES_H
#define GANTRY_BUILD_KUBERNETES_H

#include <sys/queue.h>

#include "base/buf.h"
#include "build/driver.h"
#include "kubernetes/kubernetes.h"

#define POD_NAME      "gantry"
#define POD_DIR       "/" POD_NAME /* of the pod: what `dir` is here */
#define POD_TOKEN     "/var/run/gantry"
#define POD_CONTAINER "build"
#define POD_NO_TOOLS  97 /* exit codes of what runs before and between the commands */
#define POD_NO_ANSWER 98

#define PART_SIZE (8 * 1024 * 1024) /* bytes of a file that come at once */

struct http_request;
struct kubernetes_driver;
struct kubernetes_place;

/* ---- kubernetes_job.c: a Job and its Secret, from their making until they are gone ---- */

struct kubernetes_job; /* lives until its Job is deleted, or the driver goes */

struct kubernetes_job_wish {
    const char *name, *run_id, *image, *service_account;
    const struct strv *node_selector; /* name=value */
    uint32_t attempt;
    struct build_limits limits;
    int64_t timeout_ms; /* 0: none */
    const char *token;
};
/* `made`: it is there, or why not; not after kubernetes_job_remove(). */
struct kubernetes_job *kubernetes_job_new(struct kubernetes_driver *driver,
                                          const struct kubernetes_job_wish *wish,
                                          void (*made)(const struct err *err, void *arg),
                                          void *arg);
/* SIGTERM to its pod, SIGKILL later; `gone` once nothing of it is left, or it cannot be known.
 * NULL: nobody waits. The job is the driver's from now on. */
void kubernetes_job_remove(struct kubernetes_job *job, void (*gone)(void *arg), void *arg);
/* Its pod is gone: was that because its time was up? */
void kubernetes_job_judge(struct kubernetes_job *job, void (*judged)(bool time_is_up, void *arg),
                          void *arg);
/* Who waited no longer does. */
void kubernetes_job_forget(struct kubernetes_job *job);
/* At once, without asking the server. */
void kubernetes_job_free(struct kubernetes_job *job);

/* ---- kubernetes_files.c: a place's folder ---- */

struct kubernetes_folder; /* removed with all below it once nothing is done with it any more */

int kubernetes_folder_new(struct kubernetes_folder **out, struct loop *loop, const char *parent,
                          const char *name, struct err *err);
const char *kubernetes_folder_dir(const struct kubernetes_folder *folder);
/* No callback follows. NULL is accepted. */
void kubernetes_folder_free(struct kubernetes_folder *folder);
typedef void kubernetes_folder_done(const struct err *err, void *arg);
/* The runner and the commands below run/. */
int kubernetes_folder_write(const struct kubernetes_folder *folder,
                            const struct build_script *script, const char *mark, bool has_ca,
                            struct err *err);
/* An archive of what is at these paths, those that are there, into the file `name` of the parent
 * (NULL paths: all). */
void kubernetes_folder_pack(struct kubernetes_folder *folder, const struct strv *paths,
                            kubernetes_folder_done *done, void *arg);
/* The last one that was packed, opened for reading, and its size; -1 and *err. */
int kubernetes_folder_packed(const struct kubernetes_folder *folder, uint64_t *size,
                             struct err *err);
/* Replaces what is at these paths by what the archive `fd` has, and closes it. */
void kubernetes_folder_unpack(struct kubernetes_folder *folder, int fd, const struct strv *paths,
                              uint64_t limit_bytes, kubernetes_folder_done *done, void *arg);
/* What the commands' environment is set by, to be sourced; the caller wipes and frees. */
char *kubernetes_env_text(const struct strv *env);

/* ---- driver_kubernetes.c ---- */

struct kubernetes_driver {
    struct build_driver base;
    struct build_kubernetes conf; /* strings are own */
    struct strv node_selector;    /* name=value */
    char *ca;                     /* of conf.ca_file; NULL: none */
    LIST_HEAD(, kubernetes_place) places;
    LIST_HEAD(, kubernetes_job) jobs;
    struct kubernetes_watch *watch;
    struct kubernetes_call *cleaning;
    struct loop_timer *clean_again;
    int64_t trouble_since_ms, trouble_last_ms; /* 0: none */
    bool told, works;
};

enum kubernetes_task { TASK_NONE, TASK_RUN, TASK_BRING, TASK_SEND };

struct kubernetes_place {
    struct build_place base;
    LIST_ENTRY(kubernetes_place) link;
    struct kubernetes_driver *driver;
    char name[64];
    char token[65];
    char mark[17];
    struct build_limits limits;
    char *run_id, *image, *service_account;
    struct strv node_selector;
    uint32_t attempt;
    int64_t timeout_ms;
    struct kubernetes_folder *folder;
    struct kubernetes_job *job;
    char *env; /* as text, until the pod has it */
    bool (*output)(const char *data, size_t len, void *arg);
    void (*done)(const struct build_exit *result, void *arg);
    void *arg;
    struct loop_timer *start_timer, *settle;

    /* what the pod is to do */
    enum kubernetes_task task;
    uint64_t number; /* of the task; the pod asks for what comes after the last it did */
    char *text;      /* of it, as the pod reads it; NULL: it is not ready to be told */
    struct http_request *asking; /* the pod waits for a task */
    struct loop_timer *asking_timer;

    /* a command */
    bool exporting;
    bool ended; /* its mark was read */
    int code;

    /* files */
    void (*moved)(const struct err *err, void *arg);
    void *moved_arg;
    struct strv paths;
    uint64_t limit_bytes;
    int spool; /* what comes; -1: none */
    uint64_t parts, spooled;

    /* the pod */
    bool has_pod;
    struct pod pod;
    struct kubernetes_log *log;
    bool log_ended;
    char held[64]; /* the beginning of a mark, perhaps */
    size_t held_len;
    bool stopping;
    void (*gone)(void *arg);
    void *gone_arg;
    /* why nothing more can be done in it */
    bool spoilt; /* by the build itself */
    struct err failure;
};

struct kubernetes_place *kubernetes_place_find(struct kubernetes_driver *driver, const char *name);
/* Nothing more can be done in it; `spoilt`: by the build itself. The place can be gone after. */
void kubernetes_place_fail(struct kubernetes_place *place, bool spoilt, const struct err *err);
/* The pod has done what it was asked for: TASK_SEND. */
void kubernetes_place_sent(struct kubernetes_place *place);
/* All parts of TASK_BRING are in the spool, or why not. */
void kubernetes_place_brought(struct kubernetes_place *place, const struct err *err);

/* ---- kubernetes_pod.c: what pods write, and what becomes of them ---- */
/* Deletes the Jobs that an earlier run of this builder left, then follows the pods of this one. */
void kubernetes_pods_begin(void *driver);
void kubernetes_pod_is_late(void *place); /* its time to start is over */

/* ---- kubernetes_rest.c ---- */
void kubernetes_rest_serve(struct kubernetes_driver *driver);
/* Tells the task to the pod that asks for it. */
void kubernetes_rest_tell(struct kubernetes_place *place);
void kubernetes_rest_close(struct kubernetes_place *place);

#endif
