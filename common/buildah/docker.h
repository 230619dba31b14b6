/* The command `docker` where no engine is: its image commands, done by buildah. A build's sandbox
 * shows it on PATH as docker, and as podman where none is installed. What it prints is what
 * scripts read of Docker's (`docker push`: "TAG: digest: sha256:...", `docker inspect`: its JSON);
 * what needs an engine ends with 125, as Docker's own failures do, and says so.
 *
 * Source of the options: docs.docker.com/reference/cli/docker, buildah(1) 1.28. */
#ifndef GANTRY_BUILDAH_DOCKER_H
#define GANTRY_BUILDAH_DOCKER_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define DOCKER_FAILED 125 /* docker's own exit code for what it could not begin */

/* ---- words.c: a command's options ---- */

enum treat {
    KEEP = 1, /* buildah has the same, or calls it `other` */
    DROP,     /* means nothing here */
    NOTE,     /* has no effect here, which is said: `other` why */
    TAKE,     /* the command itself looks at it: words_get() */
    REFUSE    /* cannot be: `other` why */
};

struct option {
    const char *name;
    char letter; /* 0: none */
    bool value;  /* it takes one */
    enum treat treat;
    const char *other;
};

/* Zero-initialise; words_release(). */
struct words {
    struct strv options; /* for buildah, "--name=value" or "--name" */
    struct strv taken;   /* "name=value"; of a switch "name=true" */
    struct strv rest;    /* what is no option */
    struct strv notes;   /* lines for people */
};
/* argv ends with NULL; `--` ends the options. `table` ends with {0}. Options may stand anywhere, or
 * (first_only) before the first other word. ERR_INVALID. */
int words_parse(struct words *out, const struct option *table, const char *const *argv,
                bool first_only, struct err *err);
void words_release(struct words *words);
/* The last value; NULL: not given, or =false. */
const char *words_get(const struct words *words, const char *name);
/* All of them, in order. */
void words_get_all(const struct words *words, const char *name, struct strv *out);

/* ---- build.c ---- */

/* What `docker build` comes to. Zero-initialise; build_plan_release(). */
struct build_plan {
    struct strv argv; /* buildah's */
    struct strv tags; /* -t, in order */
    struct strv notes;
    bool several;       /* platforms: the first tag is a list of images */
    bool push;          /* --push: then every tag */
    bool empty_context; /* argv lacks its last word, an empty folder: the Dockerfile is stdin */
    char *metadata;     /* --metadata-file */
};
int build_plan_make(struct build_plan *out, const char *const *argv, struct err *err);
void build_plan_release(struct build_plan *plan);

/* ---- names.c ---- */

/* As Docker shows an image's name: without localhost/, docker.io/library/ and docker.io/. */
const char *docker_name(const char *name);
/* The name without tag and digest; the caller frees. */
char *docker_repository(const char *name);
/* The tag that stands in it, or "latest". */
const char *docker_tag(const char *name);
/* What a registry is called to log in: without scheme and path; the caller frees. "" or NULL:
 * docker.io. */
char *docker_registry(const char *server);

/* ---- inspect.c ---- */

/* From what `buildah inspect` and `buildah images --json` print and from the lines "ID REPO@DIGEST"
 * of what was pushed, an object as `docker image inspect` prints one; ERR_INVALID: they are not
 * what buildah prints. A json_t, as void so that jansson stays inside. */
int inspect_make(void **out, const struct buf *image, const struct buf *images, const char *pushed,
                 struct err *err);
void inspect_free(void *json);
/* Adds the list of such objects as JSON. */
void inspect_print(void *const *list, size_t count, struct buf *out);

/* ---- template.c ---- */

/* Adds what a template says of a json_t. The part of Go's text/template that people use with
 * Docker: paths, json, index, len, join, print, println, range, if, else, end, trimming.
 * ERR_INVALID: another. */
int template_print(const char *text, const void *json, struct buf *out, struct err *err);
/* The same of JSON as text. */
int template_print_text(const char *text, const char *json, struct buf *out, struct err *err);

/* ---- program.c ---- */
int docker_main(int argc, const char *const *argv);

#endif
