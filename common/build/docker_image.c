/* A place of the driver docker for a `dockerfile:`: the engine makes the image, with the source as
 * its context, and pushes it. No container is the builder's: those of the steps are the engine's,
 * and it ends them when the connection does.
 *
 * In the engine the image is called as in its registry while it is made and pushed. That name is
 * written down first, so that it is removed even when the builder is killed meanwhile. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "archive/archive.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "build/docker_place.h"
#include "docker/ignore.h"
#include "gantry/v1/request.pb-c.h"
#include "oci/oci.h"

#define SRC           "build/src"
#define NAME_SIZE_MAX 1024
#define CANCELLED_MS  3000 /* in which the engine ends a build that was cancelled */
#define STEPS_MAX     1000
#define ID_SHORT      12
#define STEPS_WAIT_MS 1000 /* for the last ones' names to go, and with them those before */

struct docker_image {
    struct build_place base;
    LIST_ENTRY(docker_image) link;
    struct docker_driver *driver;
    char *dir, *dockerfile, *name, *digest_file;
    char *note; /* the file that has the name; NULL: the engine has no such image */
    struct build_limits limits;
    int fd; /* the context */
    uint64_t size;
    struct err err;
    struct docker_call *call;
    struct strv steps; /* ids, as far as they are told */
    bool steps_come;
    int64_t begun_ms; /* Unix ms */
    bool cancelled;   /* while the engine worked */
    bool working, freed;
    volatile bool halt; /* to a worker */
    bool (*output)(const char *data, size_t len, void *arg);
    void (*done)(const struct build_exit *result, void *arg);
    void *arg;
};

/* ---- the context ---- */

struct context {
    const struct docker_ignore *ignore;
    const char *dockerfile, *ignore_file;
};

static bool leads_to(const char *path, const char *file)
{
    size_t len = strlen(path);
    return strncmp(path, file, len) == 0 && (file[len] == '/' || !file[len]);
}

/* The engine must have the Dockerfile, whatever is left out. */
static enum archive_skip skip(const char *name, void *arg)
{
    const struct context *context = arg;
    const char *path = name + strlen("./");
    if (!docker_ignored(context->ignore, path) || str_eq(path, context->dockerfile) ||
        str_eq(path, context->ignore_file))
        return ARCHIVE_KEEP;
    return docker_ignore_has_exceptions(context->ignore) || leads_to(path, context->dockerfile)
               ? ARCHIVE_SKIP
               : ARCHIVE_SKIP_ALL;
}

/* NULL with code ERR_NONE: nothing is left out. */
static struct docker_ignore *read_ignore(const struct docker_image *image, const char **file,
                                         struct err *err)
{
    static const char *const files[] = {".containerignore", ".dockerignore"}; /* as buildah */
    struct docker_ignore *ignore = NULL;
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        struct err why = {0};
        struct buf text;
        char *path = mem_printf(SRC "/%s", files[i]);
        int rc = file_read_beneath(&text, image->dir, path, DOCKER_IGNORE_SIZE_MAX, &why);
        free(path);
        *file = files[i];
        if (rc == 0)
            rc = docker_ignore_new(&ignore, buf_cstr(&text), text.len, &why);
        buf_release(&text);
        if (rc == 0)
            return ignore;
        if (why.code != ERR_NOT_FOUND) {
            *err = why;
            err_wrap(err, "'%s'", files[i]);
            return NULL;
        }
    }
    return NULL;
}

/* On a worker. */
static void pack(void *arg)
{
    struct docker_image *image = arg;
    struct context context = {.dockerfile = image->dockerfile};
    const struct archive_part part = {.below = SRC, .name = "."};
    struct docker_ignore *ignore = read_ignore(image, &context.ignore_file, &image->err);
    const struct archive_tar tar = {.dir = image->dir,
                                    .parts = &part,
                                    .part_count = 1,
                                    .skip = ignore ? skip : NULL,
                                    .arg = &context,
                                    .stop = &image->halt};
    context.ignore = ignore;
    image->fd = open(image->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (image->fd < 0)
        err_errno(&image->err, errno, "cannot make a file in '%s'", image->dir);
    if (image->err.code == ERR_NONE)
        (void)archive_tar(&tar, image->fd, &image->size, &image->err);
    docker_ignore_free(ignore);
}

/* ---- making and pushing ---- */

/* What another attempt would end with, too, is how the image's making failed. */
static bool is_final(enum err_code code)
{
    return code == ERR_INVALID || code == ERR_LIMIT || code == ERR_NOT_FOUND ||
           code == ERR_DENIED || code == ERR_CONFLICT;
}

static void tell(struct docker_image *image, const struct err *err, int64_t code)
{
    const struct err why = *err; /* the image may be freed in done() */
    struct build_exit result = {0};
    if (is_final(why.code)) {
        result.failed = why.msg;
        result.code = code > 0 && code <= 255 ? (int)code : 1;
    } else {
        result.err = why;
    }
    image->done(&result, image->arg);
}

/* " ---> 0123456789ab": a step is an image. What a command writes can look like that: an image that
 * is no step's is not removed. */
static void note_step(struct docker_image *image, const char *data, size_t len)
{
    static const char arrow[] = " ---> ";
    const size_t at = sizeof(arrow) - 1;
    char id[ID_SHORT + 1];
    if (len != at + ID_SHORT + 1 || memcmp(data, arrow, at) != 0 || data[len - 1] != '\n')
        return;
    snprintf(id, sizeof(id), "%.*s", ID_SHORT, data + at);
    if (strspn(id, "0123456789abcdef") == ID_SHORT && image->steps.count < STEPS_MAX &&
        !strv_has(&image->steps, id))
        strv_add(&image->steps, id);
}

static bool on_output(const char *data, size_t len, void *arg)
{
    struct docker_image *image = arg;
    if (image->steps_come)
        note_step(image, data, len);
    return image->output(data, len, image->arg);
}

static void on_built(const struct docker_answer *answer, const struct err *err, void *arg)
{
    struct docker_image *image = arg;
    image->call = NULL;
    image->steps_come = false;
    close(image->fd);
    image->fd = -1;
    tell(image, err, answer->code);
}

static int note(struct docker_image *image, struct err *err)
{
    char id[ID_SIZE];
    id_random(id);
    image->note = mem_printf("%s/" DOCKER_NOTES "/%s", image->driver->dir, id);
    return file_create(image->note, image->name, strlen(image->name), 0600, err);
}

static void build(struct docker_image *image)
{
    struct docker_driver *driver = image->driver;
    struct docker_login *logins = NULL;
    struct err err = {0};
    size_t count = 0;
    if (docker_logins_all(driver, &logins, &count, &err) == 0 && note(image, &err) == 0) {
        const struct docker_build wanted = {.fd = image->fd,
                                            .size = image->size,
                                            .dockerfile = image->dockerfile,
                                            .tag = image->name,
                                            .network = driver->network,
                                            .memory_bytes = image->limits.memory_bytes,
                                            .cpu = image->limits.cpu,
                                            .logins = logins,
                                            .login_count = count,
                                            .output = on_output};
        docker_keep_image(driver, image->name);
        image->steps_come = true;
        image->begun_ms = clock_now_ms();
        image->call = docker_build(driver->docker, &wanted, on_built, image);
    }
    docker_logins_release(logins, count);
    if (err.code != ERR_NONE)
        image->done(&(struct build_exit){.err = err}, image->arg);
}

static void on_packed(void *arg)
{
    struct docker_image *image = arg;
    image->working = false;
    if (image->freed)
        docker_image_destroy(image);
    else if (image->err.code != ERR_NONE && !image->halt)
        tell(image, &image->err, 0);
    else if (!image->halt)
        build(image);
}

static void on_pushed(const struct docker_answer *answer, const struct err *err, void *arg)
{
    struct docker_image *image = arg;
    struct err why = *err;
    image->call = NULL;
    if (err->code == ERR_NONE && answer->digest) {
        char *path = mem_printf("%s/%s", image->dir, image->digest_file);
        (void)file_create(path, answer->digest, strlen(answer->digest), 0600, &why);
        free(path);
    }
    tell(image, &why, 0);
}

static void push(struct docker_image *image)
{
    struct docker_driver *driver = image->driver;
    struct docker_login login = {0};
    struct oci_ref ref;
    struct err err = {0};
    if (oci_ref_parse(&ref, image->name, &err) < 0 ||
        docker_login_of(driver, ref.host, &login, &err) < 0) {
        image->done(&(struct build_exit){.err = err}, image->arg);
        return;
    }
    image->call = docker_push(driver->docker, image->name, login.user ? &login : NULL, on_output,
                              on_pushed, image);
    docker_login_release(&login);
}

/* ---- the driver's operations ---- */

static void base_env(const struct build_place *base, struct strv *env)
{
    (void)base;
    (void)env;
}

static int open_image(struct build_place *base, const struct build_script *script, struct err *err)
{
    struct docker_image *image = (struct docker_image *)base;
    const char *dockerfile = script->image->dockerfile;
    (void)err;
    while (str_starts(dockerfile, "./"))
        dockerfile += 2;
    image->dockerfile = mem_strdup(dockerfile);
    image->name = mem_strdup(script->image->name);
    image->digest_file = mem_strdup(script->image->digest_file);
    image->output = script->output;
    image->done = script->done;
    image->arg = script->arg;
    return 0;
}

static void run(struct build_place *base, size_t index, bool succeeding)
{
    struct docker_image *image = (struct docker_image *)base;
    (void)succeeding;
    if (index > 0) {
        push(image);
        return;
    }
    image->working = true;
    loop_work(image->driver->loop, pack, on_packed, image);
}

static void export_variables(struct build_place *base)
{
    const struct docker_image *image = (const struct docker_image *)base;
    image->done(&(struct build_exit){0}, image->arg);
}

static int exported(struct build_place *base, struct strv *out, struct err *err)
{
    (void)base;
    (void)out;
    (void)err;
    return 0;
}

static int read_file(const struct build_place *base, const char *path, size_t limit,
                     struct buf *out, struct err *err)
{
    return file_read_beneath(out, base->dir, path, limit, err);
}

/* The engine ends what it does for whoever is gone. */
static void cancel(struct docker_image *image)
{
    image->halt = true;
    image->cancelled = image->cancelled || image->call;
    docker_call_cancel(image->call);
    image->call = NULL;
}

static void stop(struct build_place *base, int64_t grace_ms, void (*gone)(void *arg), void *arg)
{
    (void)grace_ms;
    cancel((struct docker_image *)base);
    gone(arg);
}

static void resume(struct build_place *base)
{
    const struct docker_image *image = (const struct docker_image *)base;
    if (image->call)
        docker_resume(image->call);
}

static void drain(struct build_place *base)
{
    (void)base; /* nothing waits */
}

void docker_image_destroy(struct docker_image *image)
{
    struct docker_driver *driver = image->driver;
    int64_t delay_ms = image->cancelled ? CANCELLED_MS : 0;
    if (image->note && driver->docker)
        docker_remove_image(driver, image->name, image->note, delay_ms);
    for (size_t i = 0; i < image->steps.count && driver->docker; i++)
        docker_remove_step(driver, image->steps.items[i], image->begun_ms,
                           delay_ms + STEPS_WAIT_MS);
    docker_remove_folder(driver, image->dir);
    LIST_REMOVE(image, link);
    if (image->fd >= 0)
        close(image->fd);
    free(image->dockerfile);
    free(image->name);
    strv_release(&image->steps);
    free(image->digest_file);
    free(image->note);
    free(image);
    docker_note_empty(driver);
}

static void free_image(struct build_place *base)
{
    struct docker_image *image = (struct docker_image *)base;
    cancel(image);
    image->freed = true;
    if (!image->working)
        docker_image_destroy(image);
}

static const struct build_driver_ops ops = {.name = "docker",
                                            .images = true,
                                            .base_env = base_env,
                                            .open = open_image,
                                            .run = run,
                                            .export_variables = export_variables,
                                            .exported = exported,
                                            .read_file = read_file,
                                            .stop = stop,
                                            .resume = resume,
                                            .drain = drain,
                                            .free = free_image};

struct build_place *docker_image_take(struct docker_driver *driver, const struct build_wish *wish,
                                      char *dir)
{
    struct docker_image *image = mem_alloc(sizeof(*image));
    image->driver = driver;
    image->dir = dir;
    image->limits = wish->limits;
    image->fd = -1;
    image->base = (struct build_place){
        .ops = &ops,
        .dir = dir,
        .paths = {.build = DOCKER_BUILD, .src = DOCKER_SRC, .home = DOCKER_HOME},
        .image = ""};
    LIST_INSERT_HEAD(&driver->images, image, link);
    docker_note_empty(driver);
    return &image->base;
}

/* ---- what was left ---- */

void docker_images_clear(struct docker_driver *driver)
{
    char *notes = mem_printf("%s/" DOCKER_NOTES, driver->dir);
    DIR *dir = opendir(notes);
    for (const struct dirent *each; dir && (each = readdir(dir));) {
        struct buf name;
        char *path = mem_printf("%s/%s", notes, each->d_name);
        if (each->d_name[0] != '.' && file_read(&name, path, NAME_SIZE_MAX, NULL) == 0) {
            docker_remove_image(driver, buf_cstr(&name), path, 0);
            buf_release(&name);
        }
        free(path);
    }
    if (dir)
        closedir(dir);
    free(notes);
}
