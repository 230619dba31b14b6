/* Other programs and the record of pushes, for program.c and image.c. */
#ifndef GANTRY_BUILDAH_RUN_H
#define GANTRY_BUILDAH_RUN_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "buildah/docker.h"

/* Each ends the line; `docker: ` before it. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void say_all(const struct strv *lines);

/* Replaces this process; returns DOCKER_FAILED when it can't. */
int become(const struct strv *argv);
/* Its exit status, 128 + signal; DOCKER_FAILED: it could not start. */
int run(const struct strv *argv);
/* The same; its standard output goes to *out (initialised here, 16 MiB). */
int run_read(const struct strv *argv, struct buf *out);

/* The same into the file. */
int run_into(const struct strv *argv, const char *path);

/* buildah's options for a registry: the file of `docker login`, further authorities. */
void add_registry_options(struct strv *argv, bool auth);

/* buildah's `manifest` commands need to be told what registries.conf says of plain http. */
void add_insecure_option(struct strv *argv, const char *name);

/* Makes an empty folder or a file that is removed at the end; the caller frees. NULL and *err. */
char *temporary(bool folder, struct err *err);
void temporary_remove(char *path); /* and frees */

/* Remembers that the image was pushed, for RepoDigests. */
void pushed_add(const char *image, const char *repository, const char *digest);
char *pushed_read(void); /* the lines; the caller frees */

/* ---- image.c: commands on images; argv without their name ---- */
int push_command(const char *const *argv);
int inspect_command(const char *const *argv);
int images_command(const char *const *argv);
int save_command(const char *const *argv);
int load_command(const char *const *argv);
/* One tag. 0 or an exit status; *digest gets what the registry has. */
int push_one(const char *name, const struct strv *options, bool quiet, char **digest);

/* ---- manifest.c ---- */
/* The same of a list of images, with all of them. */
int push_list(const char *name, const struct strv *options, char **digest);
int manifest_command(const char *const *argv);
int imagetools_command(const char *const *argv);

#endif
