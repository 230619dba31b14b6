#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "build/docker_place.h"
#include "gantry/v1/request.pb-c.h"
#include "sandbox/script.h"

#define LOOK_EVERY_MS 10000
#define FAREWELL_MS   10000 /* of what is being removed when the driver goes */
#define EXPORTED_MAX  (64 * 1024)
#define FILE_EXPORTED "run/" SCRIPT_EXPORTED
#define FOLDER_LEFT   ("run/" SCRIPT_LEFT)
#define KILLED        (128 + SIGKILL)

static const struct build_driver_ops ops;

void docker_note_empty(struct docker_driver *driver)
{
    driver->empty =
        LIST_EMPTY(&driver->places) && LIST_EMPTY(&driver->images) && LIST_EMPTY(&driver->removals);
}

/* ---- whether there is an engine ---- */

static void on_listed(const struct docker_answer *answer, const struct err *err, void *arg)
{
    struct docker_driver *driver = arg;
    driver->looking = NULL;
    loop_timer_arm(driver->look, LOOK_EVERY_MS);
    for (size_t i = 0; err->code == ERR_NONE && i < answer->ids->count; i++)
        docker_remove_container(driver, answer->ids->items[i]);
    if (err->code == ERR_NONE)
        docker_images_clear(driver);
    driver->cleared = err->code == ERR_NONE;
    driver->on_state(driver->cleared, driver->cleared ? NULL : err->msg, driver->arg);
}

static void on_version(const struct docker_answer *answer, const struct err *err, void *arg)
{
    struct docker_driver *driver = arg;
    (void)answer;
    driver->looking = NULL;
    if (err->code == ERR_NONE && !driver->cleared) {
        char *label = mem_printf("gantry.builder=%s", driver->owner);
        driver->looking = docker_list(driver->docker, label, on_listed, driver);
        free(label);
        return;
    }
    loop_timer_arm(driver->look, LOOK_EVERY_MS);
    driver->on_state(err->code == ERR_NONE, err->code == ERR_NONE ? NULL : err->msg, driver->arg);
}

static void look(void *arg)
{
    struct docker_driver *driver = arg;
    driver->looking = docker_version(driver->docker, on_version, driver);
}

/* ---- a place ---- */

static int check_wish(const struct docker_driver *driver, const struct build_wish *wish,
                      struct err *err)
{
    const Gantry__V1__BuildSpec *spec = wish->request->build;
    if (wish->privileged && !driver->privileged)
        return err_set(err, ERR_INVALID,
                       "'privileged: true' is not allowed on this builder, nor is a batch's "
                       "'privileged-mode': such a build is root of the engine's machine "
                       "(builder.docker-privileged)");
    if (str_empty(spec->buildspec) && (wish->privileged || !str_empty(wish->image)))
        return err_set(err, ERR_INVALID,
                       "'%s' is for the commands of a buildspec; a 'dockerfile:' is built by the "
                       "engine, and has neither",
                       wish->privileged ? "privileged: true" : "build-image:");
    if (!str_empty(spec->buildspec) && str_empty(wish->image) && str_empty(driver->image))
        return err_set(err, ERR_INVALID,
                       "the action has no 'build-image:' to run in, and this builder has none for "
                       "such (builder.docker-image)");
    if (!driver->cleared)
        return err_set(err, ERR_UNAVAILABLE, "the Docker engine at '%s' has not answered yet",
                       docker_socket(driver->docker));
    return 0;
}

/* With these modes there, too, whatever this process's umask is. */
static int make_folders(const char *dir, struct err *err)
{
    static const char *const names[] = {"home",  "build",     "build/src", "run",
                                        "run/c", FOLDER_LEFT, "run/bin"};
    int rc = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names) && rc == 0; i++) {
        char *path = mem_printf("%s/%s", dir, names[i]);
        rc = file_mkdirs(path, 0700, err);
        if (rc == 0 && i > 0 && chmod(path, 0755) != 0)
            rc = err_errno(err, errno, "cannot make the folder '%s'", path);
        free(path);
    }
    return rc;
}

static struct build_place *place_new(struct docker_driver *driver, const struct build_wish *wish,
                                     char *dir, const char *id)
{
    struct docker_place *place = mem_alloc(sizeof(*place));
    place->driver = driver;
    place->dir = dir;
    place->image = mem_strdup(str_empty(wish->image) ? driver->image : wish->image);
    place->name = mem_printf("gantry-build-%s", id);
    place->run_id = mem_strdup(wish->run_id);
    place->pipeline = mem_strdup(wish->request->pipeline);
    place->limits = wish->limits;
    place->privileged = wish->privileged;
    place->transfer.fd = -1;
    buf_init(&place->held, 1024);
    buf_init(&place->before, 4096);
    place->base = (struct build_place){
        .ops = &ops,
        .dir = place->dir,
        .paths = {.build = DOCKER_BUILD, .src = DOCKER_SRC, .home = DOCKER_HOME},
        .image = place->image};
    LIST_INSERT_HEAD(&driver->places, place, link);
    docker_note_empty(driver);
    docker_place_make(place);
    return &place->base;
}

static int take(struct build_driver *base, const struct build_wish *wish, struct build_place **out,
                struct err *err)
{
    struct docker_driver *driver = (struct docker_driver *)base;
    char id[ID_SIZE];
    if (check_wish(driver, wish, err) < 0)
        return -1;
    id_random(id);
    char *dir = mem_printf("%s/places/%s", driver->dir, id);
    if (make_folders(dir, err) < 0) {
        free(dir);
        return -1;
    }
    *out = str_empty(wish->request->build->buildspec) ? docker_image_take(driver, wish, dir)
                                                      : place_new(driver, wish, dir, id);
    return 0;
}

/* The rest is the image's. */
static void base_env(const struct build_place *base, struct strv *env)
{
    (void)base;
    strv_add(env, "HOME=" DOCKER_HOME);
    strv_add(env, "USER=root");
}

static int open_place(struct build_place *base, const struct build_script *script, struct err *err)
{
    struct docker_place *place = (struct docker_place *)base;
    if (docker_script_write(place, script, err) < 0)
        return -1;
    docker_script_env(place, script->env);
    for (size_t i = 0; script->users && i < script->users->count; i++)
        strv_add(&place->users, script->users->items[i]);
    place->user = SCRIPT_ROOT;
    place->output = script->output;
    place->done = script->done;
    place->arg = script->arg;
    place->opened = true;
    docker_place_fill(place);
    return 0;
}

static void answer(struct docker_place *place, const struct build_exit *result)
{
    const struct build_exit over = {.code = result->code > 0 ? result->code : KILLED,
                                    .limit = place->over};
    place->asked[0] = '\0';
    place->exporting = place->fetching = place->sent = false;
    docker_output_flush(place);
    place->done(*place->over ? &over : result, place->arg);
}

static void on_exported(struct docker_place *place, const struct err *err)
{
    struct build_exit result = {0};
    if (err)
        result.err = *err;
    answer(place, &result);
}

/* code -1: the place has ended, with its error. */
void docker_place_told(struct docker_place *place, int code, const char *limit)
{
    struct build_exit result = {.code = code < 0 ? 0 : code, .limit = limit};
    struct strv paths = {0};
    if (place->stopping || !place->asked[0] || place->fetching)
        return;
    if (place->exporting && code == 0) {
        place->fetching = true;
        strv_add(&paths, FILE_EXPORTED);
        docker_files_get(place, &paths, EXPORTED_MAX, on_exported);
        strv_release(&paths);
        return;
    }
    if (code < 0)
        result.err = place->err;
    answer(place, &result);
}

void docker_place_refused(struct docker_place *place, const char *why)
{
    if (!place->stopping && place->asked[0])
        answer(place, &(struct build_exit){.code = -1, .refused = why});
}

/* `user`: "" for who ran the last one. An empty line ends the shell that is there. */
static void ask(struct docker_place *place, const char *name, const char *user, bool succeeding)
{
    bool changes = *user && !str_eq(user, place->user);
    if (changes)
        place->user = user;
    place->changing = changes && place->shell;
    snprintf(place->asked, sizeof(place->asked), "%s%s%s%s%s %d\n", place->changing ? "\n" : "",
             changes ? "as " : "", changes ? user : "", changes ? "\n" : "", name,
             succeeding ? 1 : 0);
    place->sent = false;
    if (place->state == PLACE_ENDED || *place->over)
        docker_place_told(place, -1, NULL);
    else
        docker_place_send(place);
}

static void run(struct build_place *base, size_t index, bool succeeding)
{
    struct docker_place *place = (struct docker_place *)base;
    char name[24];
    snprintf(name, sizeof(name), "%zu", index);
    ask(place, name, index < place->users.count ? place->users.items[index] : "", succeeding);
}

static void export_variables(struct build_place *base)
{
    struct docker_place *place = (struct docker_place *)base;
    place->exporting = true;
    ask(place, SCRIPT_EXPORT, "", true);
}

static int exported(struct build_place *base, struct strv *out, struct err *err)
{
    const struct docker_place *place = (const struct docker_place *)base;
    struct buf text;
    if (file_read_beneath(&text, place->dir, FILE_EXPORTED, EXPORTED_MAX, err) < 0)
        return -1;
    for (size_t at = 0; at < text.len; at += strlen(text.data + at) + 1)
        strv_add(out, text.data + at);
    buf_release(&text);
    return 0;
}

/* ---- its files ---- */

static void on_moved(struct docker_place *place, const struct err *err)
{
    place->moved(err, place->moved_arg);
}

static int begin_move(struct docker_place *place, void (*done)(const struct err *err, void *arg),
                      void *arg, struct err *err)
{
    if (!place->id)
        return err_set(err, ERR_UNAVAILABLE, "there is no container");
    place->moved = done;
    place->moved_arg = arg;
    return 0;
}

static int bring(struct build_place *base, const struct strv *paths, uint64_t limit_bytes,
                 void (*done)(const struct err *err, void *arg), void *arg, struct err *err)
{
    struct docker_place *place = (struct docker_place *)base;
    if (begin_move(place, done, arg, err) < 0)
        return -1;
    docker_files_get(place, paths, limit_bytes, on_moved);
    return 0;
}

static int send(struct build_place *base, const struct strv *paths,
                void (*done)(const struct err *err, void *arg), void *arg, struct err *err)
{
    struct docker_place *place = (struct docker_place *)base;
    if (begin_move(place, done, arg, err) < 0)
        return -1;
    docker_files_put(place, paths, on_moved);
    return 0;
}

static int read_file(const struct build_place *base, const char *path, size_t limit,
                     struct buf *out, struct err *err)
{
    return file_read_beneath(out, base->dir, path, limit, err);
}

/* ---- what it takes ---- */

static void tell_usage(void *arg)
{
    struct docker_place *place = arg;
    const struct build_usage usage = {.cpu_ms = place->cpu_ms,
                                      .memory_peak_bytes = place->memory_peak};
    void (*told)(const struct build_usage *, void *) = place->on_usage;
    place->on_usage = NULL;
    if (told)
        told(&usage, place->usage_arg);
}

static void on_stats(const struct docker_answer *answer, const struct err *err, void *arg)
{
    struct docker_place *place = arg;
    place->asking = NULL;
    if (err->code == ERR_NONE && answer->cpu_ms > place->cpu_ms)
        place->cpu_ms = answer->cpu_ms;
    if (err->code == ERR_NONE && answer->memory_max_bytes > place->memory_peak)
        place->memory_peak = answer->memory_max_bytes;
    if (*place->over)
        docker_place_kill(place);
    tell_usage(place);
}

void docker_place_ask_stats(struct docker_place *place)
{
    if (place->waiting && !place->asking)
        place->asking = docker_stats(place->driver->docker, place->id, on_stats, place);
}

static void usage(struct build_place *base,
                  void (*done)(const struct build_usage *usage, void *arg), void *arg)
{
    struct docker_place *place = (struct docker_place *)base;
    place->on_usage = done;
    place->usage_arg = arg;
    docker_place_ask_stats(place);
    if (place->asking)
        return;
    if (!place->unknown)
        place->unknown = loop_timer_new(place->driver->loop, tell_usage, place);
    loop_timer_arm(place->unknown, 0);
}

/* ---- the end ---- */

static void stop(struct build_place *base, int64_t grace_ms, void (*gone)(void *arg), void *arg)
{
    struct docker_place *place = (struct docker_place *)base;
    place->gone = gone;
    place->gone_arg = arg;
    docker_place_ask_stats(place); /* nothing is known of a container that has ended */
    docker_place_stop(place, grace_ms);
}

static void resume(struct build_place *base)
{
    struct docker_place *place = (struct docker_place *)base;
    place->paused = false;
    if (place->attached)
        docker_resume(place->attached);
}

static void drain(struct build_place *base)
{
    docker_output_flush((struct docker_place *)base);
}

static void remove_folder(void *path)
{
    (void)file_remove_tree(path, NULL);
    free(path);
}

void docker_remove_folder(struct docker_driver *driver, char *dir)
{
    loop_work(driver->loop, remove_folder, NULL, dir);
}

void docker_place_destroy(struct docker_place *place)
{
    struct docker_driver *driver = place->driver;
    if (place->id && driver->docker)
        docker_remove_container(driver, place->id);
    docker_remove_folder(driver, place->dir);
    LIST_REMOVE(place, link);
    if (place->transfer.fd >= 0)
        close(place->transfer.fd);
    strv_release(&place->transfer.paths);
    strv_release(&place->users);
    buf_release(&place->held);
    buf_release(&place->before);
    if (place->env.data)
        mem_wipe(place->env.data, place->env.cap);
    buf_release(&place->env);
    free(place->image);
    free(place->name);
    free(place->id);
    free(place->run_id);
    free(place->pipeline);
    free(place);
    docker_note_empty(driver);
}

static void free_place(struct build_place *base)
{
    struct docker_place *place = (struct docker_place *)base;
    docker_place_cancel(place);
    place->freed = true;
    if (!place->working)
        docker_place_destroy(place);
}

/* ---- the driver ---- */

static void free_driver(struct build_driver *base)
{
    struct docker_driver *driver = (struct docker_driver *)base;
    docker_call_cancel(driver->looking);
    loop_timer_free(driver->look);
    docker_note_empty(driver);
    if (!driver->empty)
        loop_run_for(driver->loop, FAREWELL_MS, &driver->empty);
    docker_free(driver->docker);
    driver->docker = NULL;
    loop_drain(driver->loop);
    /* What the engine never answered about. */
    while (!LIST_EMPTY(&driver->places))
        docker_place_destroy(LIST_FIRST(&driver->places));
    while (!LIST_EMPTY(&driver->images))
        docker_image_destroy(LIST_FIRST(&driver->images));
    loop_drain(driver->loop);
    docker_removals_free(driver);
    free(driver->dir);
    free(driver->image);
    free(driver->network);
    free(driver->secrets_dir);
    free(driver->login);
    free(driver);
}

/* By which its containers are known again, also when the machine has another name then. */
static int know_owner(struct docker_driver *driver, struct err *err)
{
    char *path = mem_printf("%s/owner", driver->dir);
    struct buf text;
    int rc = 0;
    bool known = file_read(&text, path, ID_SIZE, NULL) == 0 && text.len == ID_SIZE - 1 &&
                 strspn(text.data, "0123456789abcdef") == ID_SIZE - 1;
    if (known) {
        snprintf(driver->owner, sizeof(driver->owner), "%s", text.data);
    } else {
        id_random(driver->owner);
        rc = file_write(path, driver->owner, strlen(driver->owner), 0600, err);
    }
    buf_release(&text);
    free(path);
    return rc;
}

static const struct build_driver_ops ops = {.name = "docker",
                                            .users = true,
                                            .take = take,
                                            .base_env = base_env,
                                            .open = open_place,
                                            .run = run,
                                            .export_variables = export_variables,
                                            .exported = exported,
                                            .bring = bring,
                                            .send = send,
                                            .read_file = read_file,
                                            .stop = stop,
                                            .usage = usage,
                                            .resume = resume,
                                            .drain = drain,
                                            .free = free_place,
                                            .free_driver = free_driver};

int build_driver_docker(struct build_driver **out, struct loop *loop,
                        const struct build_docker *conf, struct err *err)
{
    struct docker_driver *driver = mem_alloc(sizeof(*driver));
    driver->base.ops = &ops;
    driver->loop = loop;
    driver->dir = mem_strdup(conf->dir);
    driver->image = mem_strdup(conf->image);
    driver->network = mem_strdup(conf->network);
    driver->secrets_dir = mem_strdup(conf->secrets_dir);
    driver->login = mem_strdup(conf->login);
    driver->privileged = conf->privileged;
    driver->on_state = conf->on_state;
    driver->arg = conf->arg;
    driver->docker = docker_new(loop, conf->socket);
    driver->look = loop_timer_new(loop, look, driver);
    LIST_INIT(&driver->places);
    LIST_INIT(&driver->images);
    LIST_INIT(&driver->removals);
    char *places = mem_printf("%s/places", driver->dir);
    char *images = mem_printf("%s/" DOCKER_NOTES, driver->dir);
    int rc = file_remove_tree(places, err) < 0 || file_mkdirs(places, 0700, err) < 0 ||
                     file_mkdirs(images, 0700, err) < 0 || know_owner(driver, err) < 0
                 ? -1
                 : 0;
    free(places);
    free(images);
    if (rc < 0) {
        free_driver(&driver->base);
        return -1;
    }
    loop_timer_arm(driver->look, 0);
    *out = &driver->base;
    return 0;
}
