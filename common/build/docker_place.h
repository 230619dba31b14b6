/* Shared by the files of the driver docker alone.
 *
 * DESIGN: a place is a container that is made when it is taken, while the source is fetched, and
 * filled and started when it is opened. Files go there and back as tar archives, by the engine's
 * socket alone, so that the engine may see another file system than the builder does.
 *
 * The container's first process is a small shell program (docker_script.c). The builder speaks with
 * it by the container's standard input, which is attached: the variables (they are written down
 * nowhere), then a line for each command, before it one that names its user where that changes. It
 * passes those lines on to the one shell that runs the
 * commands as in a sandbox (sandbox/script.h). Standard output has what the commands write and,
 * after each, a line of the program's own that begins with a mark nobody can guess: so their order
 * is certain, which it is not between two streams of the engine.
 *
 * When the builder is gone, the attached standard input ends, and with it everything in the
 * container; the container itself is removed by its label when the builder is there again. */
#ifndef GANTRY_BUILD_DOCKER_PLACE_H
#define GANTRY_BUILD_DOCKER_PLACE_H

#include <sys/queue.h>

#include "base/buf.h"
#include "base/id.h"
#include "build/driver.h"
#include "docker/docker.h"

#define DOCKER_BUILD "/home/build" /* as in the sandbox */
#define DOCKER_SRC   "/home/build/src"
#define DOCKER_HOME  "/root"

#define DOCKER_NOTES "images" /* a folder of the driver's: names of images that the engine has */

#define MARK_SIZE 48

enum docker_removal_kind {
    REMOVE_CONTAINER, /* by its name or id */
    REMOVE_IMAGE,     /* by its name */
    REMOVE_STEP       /* an image without a name, by the beginning of its id */
};

struct docker_removal {
    LIST_ENTRY(docker_removal) link;
    struct docker_driver *driver;
    enum docker_removal_kind kind;
    char *name;
    char *note;       /* an image's: the file that says it is to be removed */
    int64_t since_ms; /* a step's: Unix ms that it was not made before */
    unsigned tries;
    struct docker_call *call;
    struct loop_timer *again;
};

struct docker_driver {
    struct build_driver base;
    struct loop *loop;
    struct docker *docker;
    char *dir, *image, *network, *secrets_dir, *login;
    char owner[ID_SIZE]; /* of its containers: kept in the folder */
    bool privileged;
    void (*on_state)(bool works, const char *reason, void *arg);
    void *arg;
    struct loop_timer *look;
    struct docker_call *looking;
    bool cleared; /* what was left is being removed */
    bool closing, empty;
    LIST_HEAD(, docker_place) places;
    LIST_HEAD(, docker_image) images;
    LIST_HEAD(, docker_removal) removals;
};

enum docker_state {
    PLACE_MAKING,  /* its image is looked for, pulled, the container made */
    PLACE_MADE,    /* waits for open() */
    PLACE_FILLING, /* packed, put, attached, started */
    PLACE_RUNNING, /* a command can be sent */
    PLACE_ENDED    /* see err */
};

/* Files on their way there or back. */
struct docker_transfer {
    struct docker_place *place;
    struct strv paths; /* below dir */
    size_t at;
    bool back;
    int fd;
    uint64_t left; /* bytes that may come yet */
    uint64_t size; /* of the archive */
    uint64_t came;
    struct err err;
    void (*done)(struct docker_place *place, const struct err *err);
};

struct docker_place {
    struct build_place base;
    LIST_ENTRY(docker_place) link;
    struct docker_driver *driver;
    char *dir, *image, *name;
    char *id; /* the container's; NULL: none yet */
    char *run_id, *pipeline;
    struct build_limits limits;
    bool privileged;
    enum docker_state state;
    struct docker_call *call;               /* of the step that is under way */
    struct docker_call *attached, *waiting; /* as long as it runs */
    struct err err;                         /* why it ended */
    unsigned working;                       /* what must end before it can be freed */
    bool freed;
    volatile bool halt; /* to workers */

    /* the script; from open() on */
    bool opened;
    char mark[MARK_SIZE];
    struct buf env; /* as a shell's text; wiped once it is sent */
    bool (*output)(const char *data, size_t len, void *arg);
    void (*done)(const struct build_exit *result, void *arg);
    void *arg;
    char asked[128]; /* the lines of the command that runs or waits; "" for none */
    bool sent;
    struct strv users; /* of the commands */
    const char *user;  /* who ran the last one */
    bool shell;        /* there is one, as far as is known */
    bool changing;     /* its end is asked for: the next is another user's */
    bool exporting;
    bool fetching; /* what was exported, which is told once it is here */

    /* output */
    struct buf held;   /* what may be the beginning of a mark */
    struct buf before; /* what was written before the first mark: why it cannot run */
    bool ready;        /* the first mark came */
    bool paused;
    uint64_t ooms;
    uint64_t memory_peak;
    int64_t cpu_ms;

    /* disk; see docker_disk.c */
    struct loop_timer *look;
    struct docker_call *sizing;
    int64_t sizing_ms; /* monotonic, when it was asked */
    bool size_unknown; /* which was logged */
    char over[96];     /* that it used more than the limit; "": it did not */

    struct docker_transfer transfer;
    void (*moved)(const struct err *err, void *arg);
    void *moved_arg;

    /* the end */
    bool exited;    /* the container has */
    bool concluded; /* and that was told */
    int64_t exit_code;
    struct loop_timer *last; /* of what is still to be read */
    bool stopping;
    struct docker_call *killing;
    struct loop_timer *grace;
    void (*gone)(void *arg);
    void *gone_arg;
    struct docker_call *asking; /* what it takes */
    struct loop_timer *unknown;
    void (*on_usage)(const struct build_usage *usage, void *arg);
    void *usage_arg;
};

/* ---- docker_login.c ---- */
/* The login for a registry's host; its user is NULL where there is none. Release it. */
int docker_login_of(const struct docker_driver *driver, const char *host, struct docker_login *out,
                    struct err *err);
void docker_login_release(struct docker_login *login);
/* All that the builder has; release them, also after an error. */
int docker_logins_all(const struct docker_driver *driver, struct docker_login **out, size_t *count,
                      struct err *err);
void docker_logins_release(struct docker_login *logins, size_t count);

/* ---- docker_image.c: a place of another kind, which makes a Dockerfile's image ---- */
/* In the folder `dir`, which is taken over. */
struct build_place *docker_image_take(struct docker_driver *driver, const struct build_wish *wish,
                                      char *dir);
struct docker_image;
void docker_image_destroy(struct docker_image *image);
/* Removes the images that builders of this folder left in the engine. */
void docker_images_clear(struct docker_driver *driver);

/* ---- docker_removal.c: each is tried until the engine has done it ---- */
void docker_remove_container(struct docker_driver *driver, const char *container);
/* Its note goes with it. */
void docker_remove_image(struct docker_driver *driver, const char *image, const char *note,
                         int64_t delay_ms);
/* Unless it has got a name, or something needs it. */
void docker_remove_step(struct docker_driver *driver, const char *id, int64_t since_ms,
                        int64_t delay_ms);
/* Somebody wants the image of that name anew: it is not removed any more. */
void docker_keep_image(struct docker_driver *driver, const char *image);
void docker_removals_free(struct docker_driver *driver); /* once no call is under way */

/* ---- docker_script.c ---- */
/* Writes what the container's first process runs below dir/run. */
int docker_script_write(struct docker_place *place, const struct build_script *script,
                        struct err *err);
/* What is sent first: the variables, and a line that ends them. */
void docker_script_env(struct docker_place *place, const struct strv *env);

/* ---- docker_files.c ---- */
/* Puts what lies below dir at these paths into the container; done() from the loop. */
void docker_files_put(struct docker_place *place, const struct strv *paths,
                      void (*done)(struct docker_place *place, const struct err *err));
/* The other way round; what is not there is not there after, either. */
void docker_files_get(struct docker_place *place, const struct strv *paths, uint64_t limit,
                      void (*done)(struct docker_place *place, const struct err *err));

/* ---- docker_place.c: the container's life ---- */
void docker_place_make(struct docker_place *place); /* begins it */
void docker_place_fill(struct docker_place *place); /* goes on, if it is made and opened */
void docker_place_send(struct docker_place *place); /* what was asked, if it can be */
void docker_place_fail(struct docker_place *place, const struct err *err);
void docker_place_stop(struct docker_place *place, int64_t grace_ms);
void docker_place_kill(struct docker_place *place);   /* at once; nothing if that is on its way */
void docker_place_cancel(struct docker_place *place); /* nothing calls back any more */
/* Around what may call back and so free it. */
void docker_place_hold(struct docker_place *place);
void docker_place_release(struct docker_place *place);

/* ---- docker_disk.c: what it wrote, looked at from time to time ---- */
void docker_disk_watch(struct docker_place *place); /* it runs; nothing without a limit */
void docker_disk_leave(struct docker_place *place); /* no more */

/* ---- docker_output.c ---- */
/* Takes the marks out of what came; false: no more for now. */
bool docker_output(struct docker_place *place, const char *data, size_t len);
void docker_output_flush(struct docker_place *place);

/* ---- driver_docker.c ---- */
void docker_note_empty(struct docker_driver *driver);
void docker_remove_folder(struct docker_driver *driver, char *dir); /* soon; takes the name over */
void docker_place_told(struct docker_place *place, int code, const char *limit);
/* Asks what it took. One that is over a limit is ended once that is known, as an engine knows
 * nothing of it later. */
void docker_place_ask_stats(struct docker_place *place);
/* The command's user cannot be had. */
void docker_place_refused(struct docker_place *place, const char *why);
void docker_place_destroy(struct docker_place *place);
#endif
