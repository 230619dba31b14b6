/* Shared by the files of this library alone. */
#ifndef GANTRY_DOCKER_INTERNAL_H
#define GANTRY_DOCKER_INTERNAL_H

#include <sys/queue.h>

#include "base/buf.h"
#include "docker/docker.h"
#include "http/client.h"

#define DOCKER_LISTED_MAX  100000
#define DOCKER_MESSAGE_MAX 600
#define DOCKER_DIGEST_SIZE 72 /* "sha256:", 64 hex digits, NUL */

/* ---- read.c: what the engine says; pure ---- */

/* One line, without what a terminal would take for a command; NULL: "". */
void docker_set_text(char out[DOCKER_MESSAGE_MAX], const char *text);
/* {"message": ...}: the text, for people, into `out`; "" where there is none. */
void docker_read_message(const char *body, size_t len, char out[DOCKER_MESSAGE_MAX]);
/* {"Id": ...}, checked: letters and digits. The caller frees. */
char *docker_read_id(const char *body, size_t len, struct err *err);
/* [{"Id": ...}, ...] */
int docker_read_ids(const char *body, size_t len, struct strv *out, struct err *err);
/* {"StatusCode": N, "Error": {"Message": ...}} */
int docker_read_wait(const char *body, size_t len, int64_t *code, struct err *err);
int docker_read_stats(const char *body, size_t len, struct docker_answer *out, struct err *err);
/* {"SizeRw": N}; -1 is what an engine says that does not know. */
int docker_read_size(const char *body, size_t len, uint64_t *bytes, struct err *err);
/* {"RepoTags": [...], "RepoDigests": [...], "Created": RFC 3339}: out->named, out->made_ms. */
int docker_read_image(const char *body, size_t len, struct docker_answer *out, struct err *err);
/* {"ApiVersion": "1.41", "MinAPIVersion": "1.12"}: which to speak, as 1.NN. */
int docker_read_version(const char *body, size_t len, unsigned *minor, struct err *err);

/* ---- progress.c: what it tells meanwhile; pure ---- */

/* Lines of JSON, as a pull, a build and a push tell of themselves; zero-initialise. */
struct docker_progress {
    struct buf line;
    bool begun;
    uint64_t bytes;                  /* of all of it */
    char error[DOCKER_MESSAGE_MAX];  /* the last one that was told; "" for none */
    int64_t code;                    /* of that: the status that a command ended with; 0: none */
    char digest[DOCKER_DIGEST_SIZE]; /* of what was pushed; "" for none */
    /* Text for people, as it comes: what a build writes, lines of a pull and a push; NULL: nobody
     * reads it. */
    void (*output)(const char *data, size_t len, void *arg);
    void *arg;
};
/* The lines may be cut anywhere. ERR_INVALID: these are none; ERR_LIMIT: more than 4 GiB. */
int docker_progress_add(struct docker_progress *progress, const char *data, size_t len,
                        struct err *err);
void docker_progress_release(struct docker_progress *progress);

/* ---- frames.c: the streams of attach, one after the other in frames; pure ---- */

/* Zero-initialise. */
struct docker_frames {
    unsigned char head[8];
    size_t head_len;
    uint32_t left; /* of the frame that has begun */
};
/* Gives what is in them to `output`, whichever stream it is of; the frames may be cut anywhere.
 * ERR_INVALID: these are none. */
int docker_frames_add(struct docker_frames *frames, const char *data, size_t len,
                      void (*output)(const char *data, size_t len, void *arg), void *arg,
                      struct err *err);
/* Between two of them. */
bool docker_frames_whole(const struct docker_frames *frames);

/* ---- client.c ---- */

struct docker {
    struct loop *loop;
    struct http_client *http;
    char *socket;
    unsigned minor; /* of the API's version */
    LIST_HEAD(, docker_call) calls;
};

/* Reads an answer; -1 and *err: it is none. */
typedef int docker_read_fn(struct docker_call *call, const struct http_response *response,
                           struct docker_answer *answer, struct err *err);

struct docker_call {
    LIST_ENTRY(docker_call) link;
    struct docker *docker;
    struct http_call *http;
    struct loop_timer *failing; /* tells that it could not be begun */
    struct err err;             /* why not, or what was wrong with the stream */
    char *what;                 /* for errors: "pull debian:12" */
    docker_read_fn *read;       /* NULL: nothing is read */
    docker_done_fn *done;
    void *arg;
    /* what reading may leave */
    char *id;
    struct strv ids;
    struct docker_progress progress;
    docker_output_fn *output; /* of a build and a push */
    /* attach.c */
    const struct docker_attach_ops *ops;
    struct docker_frames frames;
    /* of both */
    bool paused, cancelled, inside;
};

struct docker_call *docker_call_new(struct docker *docker, const char *what, docker_read_fn *read,
                                    docker_done_fn *done, void *arg);
/* `path`: what follows the version, with its query; taken over. opts.url is filled in. */
void docker_call_begin(struct docker_call *call, char *path, struct http_call_opts *opts);
/* What on_data() returns where it calls back: `rc` of what it did, or -1 when the call was
 * cancelled within, and is gone. What is `paused` takes no more for now. */
int docker_call_leave(struct docker_call *call, int rc);
/* For words in a URL; the caller frees. */
char *docker_escape(const char *s);

/* ---- image.c ---- */

#define DOCKER_LOGIN  "X-Registry-Auth"   /* of the API's "Authentication": one login */
#define DOCKER_LOGINS "X-Registry-Config" /* of ImageBuild: {registry: login, ...} */

struct json_t;
struct json_t *docker_login_json(const struct docker_login *login);
/* The header of this name, with the JSON in base64; takes the reference. The caller wipes and
 * frees. */
char *docker_login_header(const char *name, struct json_t *json);
/* /images/<image><rest>: a name is checked by the engine; its slashes are the path's own. The
 * caller frees. */
char *docker_image_path(const char *image, const char *rest);

#endif
