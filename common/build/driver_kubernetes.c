#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hex.h"
#include "base/id.h"
#include "base/mem.h"
#include "build/kubernetes.h"
#include "gantry/v1/request.pb-c.h"
#include "sandbox/script.h"

#define CA_MAX       (256 * 1024)
#define EXPORTED_MAX (64 * 1024)
#define EXPORTED     "run/" SCRIPT_EXPORTED

static const struct build_driver_ops ops;

static struct kubernetes_place *place_at(struct build_place *base)
{
    return (struct kubernetes_place *)base;
}

struct kubernetes_place *kubernetes_place_find(struct kubernetes_driver *driver, const char *name)
{
    struct kubernetes_place *place;
    LIST_FOREACH(place, &driver->places, link)
    {
        if (str_eq(place->name, name))
            return place;
    }
    return NULL;
}

/* ---- how a task ends ---- */

static void task_begin(struct kubernetes_place *place, enum kubernetes_task task)
{
    place->task = task;
    place->number++;
    place->ended = place->exporting = false;
    free(place->text);
    place->text = NULL;
}

static void task_text(struct kubernetes_place *place, char *text)
{
    place->text = text;
    kubernetes_rest_tell(place);
}

static void close_spool(struct kubernetes_place *place)
{
    if (place->spool >= 0)
        close(place->spool);
    place->spool = -1;
}

/* The place can be gone after. */
static void command_done(struct kubernetes_place *place, const struct build_exit *result)
{
    place->task = TASK_NONE;
    place->done(result, place->arg);
}

static void moved(struct kubernetes_place *place, const struct err *err)
{
    void (*done)(const struct err *, void *) = place->moved;
    static const struct err none = {0};
    place->task = TASK_NONE;
    place->moved = NULL;
    close_spool(place);
    if (done)
        done(err ? err : &none, place->moved_arg);
}

/* Nothing will answer what the pod was asked for. The place can be gone after. */
static void answer_failure(struct kubernetes_place *place)
{
    struct build_exit result = {.code = 1};
    if (place->stopping || place->task == TASK_NONE || !place->failure.code)
        return;
    if (place->moved) {
        moved(place, &place->failure);
        return;
    }
    if (place->spoilt)
        result.limit = place->failure.msg;
    else
        result.err = place->failure;
    command_done(place, &result);
}

/* A command has ended, and that is not told yet. */
static bool is_settling(const struct kubernetes_place *place)
{
    return place->ended && place->task == TASK_RUN;
}

void kubernetes_place_fail(struct kubernetes_place *place, bool spoilt, const struct err *err)
{
    if (!place->failure.code) {
        place->failure = *err;
        place->spoilt = spoilt;
    }
    if (!is_settling(place))
        answer_failure(place);
}

static void bring_exported(struct kubernetes_place *place);

static void on_settle(void *arg)
{
    struct kubernetes_place *place = arg;
    if (place->stopping)
        return;
    if (!is_settling(place)) {
        answer_failure(place);
        return;
    }
    const struct build_exit result = {.code = place->code};
    if (place->exporting && place->code == 0)
        bring_exported(place);
    else
        command_done(place, &result);
}

/* ---- a place ---- */

static const char *image_of(const struct kubernetes_driver *driver, const struct build_wish *wish)
{
    return str_empty(wish->image) ? driver->conf.image : wish->image;
}

static int check_wish(const struct kubernetes_driver *driver, const struct build_wish *wish,
                      const char *name, struct err *err)
{
    if (wish->privileged)
        return err_set(err, ERR_INVALID,
                       "'privileged: true' is not supported by the kubernetes driver: %s",
                       ops.why_unprivileged);
    if (str_empty(wish->request->build->buildspec))
        return err_set(
            err, ERR_INVALID,
            "'dockerfile:' is built by builders whose driver is sandbox or docker; on this one, a "
            "buildspec with a tool that needs no privileges, such as kaniko, does it");
    if (str_empty(image_of(driver, wish)))
        return err_set(err, ERR_INVALID,
                       "no image to build in: the action has no 'build-image:' and the builder no "
                       "builder.kubernetes.image");
    if (!kubernetes_is_name(name))
        return err_set(err, ERR_INVALID, "the run's id is no name in Kubernetes: '%.100s'",
                       wish->run_id);
    return 0;
}

static int take(struct build_driver *base, const struct build_wish *wish, struct build_place **out,
                struct err *err)
{
    struct kubernetes_driver *driver = (struct kubernetes_driver *)base;
    const struct Gantry__V1__BuildSpec *spec = wish->request->build;
    uint8_t secret[40];
    char name[128];
    struct kubernetes_folder *folder;
    snprintf(name, sizeof(name), "gantry-%.80s-%u", wish->run_id, wish->attempt);
    if (check_wish(driver, wish, name, err) < 0 ||
        kubernetes_folder_new(&folder, driver->conf.loop, driver->conf.dir, name, err) < 0)
        return -1;
    struct kubernetes_place *place = mem_alloc(sizeof(*place));
    place->driver = driver;
    place->folder = folder;
    memcpy(place->name, name, strlen(name) + 1); /* kubernetes_is_name() says that it fits */
    random_bytes(secret, sizeof(secret));
    hex_encode(secret, 32, place->token);
    hex_encode(secret + 32, 8, place->mark);
    place->limits = wish->limits;
    place->run_id = mem_strdup(wish->run_id);
    place->attempt = wish->attempt;
    place->timeout_ms = wish->request->timeout_ms;
    place->image = mem_strdup(image_of(driver, wish));
    place->service_account = mem_strdup(
        str_empty(spec->service_account) ? driver->conf.service_account : spec->service_account);
    for (size_t i = 0; i < driver->node_selector.count && !spec->n_node_selector; i++)
        strv_add(&place->node_selector, driver->node_selector.items[i]);
    for (size_t i = 0; i < spec->n_node_selector; i++)
        strv_addf(&place->node_selector, "%s=%s", spec->node_selector[i]->key,
                  spec->node_selector[i]->value);
    place->spool = -1;
    place->start_timer = loop_timer_new(driver->conf.loop, kubernetes_pod_is_late, place);
    place->settle = loop_timer_new(driver->conf.loop, on_settle, place);
    place->base = (struct build_place){
        .ops = &ops,
        .dir = kubernetes_folder_dir(folder),
        .paths = {.build = POD_DIR "/build", .src = POD_DIR "/build/src", .home = POD_DIR "/home"},
        .image = place->image};
    LIST_INSERT_HEAD(&driver->places, place, link);
    *out = &place->base;
    return 0;
}

/* PATH and the like are the image's. */
static void base_env(const struct build_place *base, struct strv *env)
{
    (void)base;
    strv_add(env, "HOME=" POD_DIR "/home");
}

static void on_made(const struct err *err, void *arg)
{
    struct kubernetes_place *place = arg;
    if (err)
        kubernetes_place_fail(place, err->code == ERR_INVALID, err);
}

static void on_packed(const struct err *err, void *arg)
{
    struct kubernetes_place *place = arg;
    if (place->stopping)
        return;
    if (err->code != ERR_NONE) {
        kubernetes_place_fail(place, false, err);
        return;
    }
    const struct kubernetes_job_wish wish = {.name = place->name,
                                             .run_id = place->run_id,
                                             .image = place->image,
                                             .service_account = place->service_account,
                                             .node_selector = &place->node_selector,
                                             .attempt = place->attempt,
                                             .limits = place->limits,
                                             .timeout_ms = place->timeout_ms,
                                             .token = place->token};
    place->job = kubernetes_job_new(place->driver, &wish, on_made, place);
    loop_timer_arm(place->start_timer, place->driver->conf.start_ms);
}

static int open_place(struct build_place *base, const struct build_script *script, struct err *err)
{
    struct kubernetes_place *place = place_at(base);
    place->output = script->output;
    place->done = script->done;
    place->arg = script->arg;
    place->env = kubernetes_env_text(script->env);
    if (kubernetes_folder_write(place->folder, script, place->mark, place->driver->ca != NULL,
                                err) < 0)
        return -1;
    kubernetes_folder_pack(place->folder, NULL, on_packed, place);
    return 0;
}

/* ---- what it is asked for ---- */

static void run_text(struct kubernetes_place *place, const char *name, bool succeeding)
{
    task_begin(place, TASK_RUN);
    task_text(place, mem_printf("run %llu %s %d\n", (unsigned long long)place->number, name,
                                succeeding ? 1 : 0));
    if (place->failure.code)
        loop_timer_arm(place->settle, 0);
}

static void run(struct build_place *base, size_t index, bool succeeding)
{
    char name[24];
    snprintf(name, sizeof(name), "%zu", index);
    run_text(place_at(base), name, succeeding);
}

static int bring(struct build_place *base, const struct strv *paths, uint64_t limit_bytes,
                 void (*done)(const struct err *err, void *arg), void *arg, struct err *err)
{
    struct kubernetes_place *place = place_at(base);
    struct strv outermost = {0};
    struct buf text;
    task_begin(place, TASK_BRING);
    place->moved = done;
    place->moved_arg = arg;
    place->limit_bytes = limit_bytes;
    place->parts = place->spooled = 0;
    close_spool(place);
    place->spool = open(place->base.dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (place->spool < 0) {
        place->task = TASK_NONE;
        place->moved = NULL;
        return err_errno(err, errno, "cannot make a file in '%s'", place->base.dir);
    }
    strv_release(&place->paths);
    buf_init(&text, 16 * 1024 * 1024);
    buf_addf(&text, "bring %llu\n", (unsigned long long)place->number);
    build_outermost(paths, &outermost);
    for (size_t i = 0; i < outermost.count; i++) {
        if (strchr(outermost.items[i], '\n'))
            continue; /* no archive of a build takes such a name */
        strv_add(&place->paths, outermost.items[i]);
        buf_addf(&text, "%s\n", outermost.items[i]);
    }
    strv_release(&outermost);
    task_text(place, buf_detach(&text));
    if (place->failure.code)
        loop_timer_arm(place->settle, 0);
    return 0;
}

static void on_unpacked(const struct err *err, void *arg)
{
    struct kubernetes_place *place = arg;
    if (!place->stopping)
        moved(place, err);
}

void kubernetes_place_brought(struct kubernetes_place *place, const struct err *err)
{
    if (place->stopping)
        return;
    if (err) {
        moved(place, err);
        return;
    }
    const int fd = place->spool;
    place->spool = -1;
    kubernetes_folder_unpack(place->folder, fd, &place->paths, place->limit_bytes, on_unpacked,
                             place);
}

static void on_exported(const struct err *err, void *arg)
{
    struct kubernetes_place *place = arg;
    struct build_exit result = {.code = err->code ? 1 : 0};
    if (err->code && place->spoilt)
        result.limit = place->failure.msg;
    else
        result.err = *err;
    command_done(place, &result);
}

static void bring_exported(struct kubernetes_place *place)
{
    struct strv paths = {0};
    struct build_exit result = {.code = 1};
    strv_add(&paths, EXPORTED);
    if (bring(&place->base, &paths, EXPORTED_MAX, on_exported, place, &result.err) < 0)
        command_done(place, &result);
    strv_release(&paths);
}

static void export_variables(struct build_place *base)
{
    struct kubernetes_place *place = place_at(base);
    run_text(place, SCRIPT_EXPORT, true);
    place->exporting = true;
}

static int read_file(const struct build_place *base, const char *path, size_t limit,
                     struct buf *out, struct err *err)
{
    return file_read_beneath(out, base->dir, path, limit, err);
}

static int exported(struct build_place *base, struct strv *out, struct err *err)
{
    struct buf text;
    int rc = read_file(base, EXPORTED, EXPORTED_MAX, &text, err);
    for (size_t at = 0; rc == 0 && at < text.len; at += strlen(text.data + at) + 1)
        strv_add(out, text.data + at);
    buf_release(&text);
    return rc;
}

static void on_repacked(const struct err *err, void *arg)
{
    struct kubernetes_place *place = arg;
    if (place->stopping)
        return;
    if (err->code != ERR_NONE)
        moved(place, err);
    else
        task_text(place, mem_printf("take %llu\n", (unsigned long long)place->number));
}

static int send(struct build_place *base, const struct strv *paths,
                void (*done)(const struct err *err, void *arg), void *arg, struct err *err)
{
    struct kubernetes_place *place = place_at(base);
    (void)err;
    task_begin(place, TASK_SEND);
    place->moved = done;
    place->moved_arg = arg;
    if (place->failure.code)
        loop_timer_arm(place->settle, 0);
    else
        kubernetes_folder_pack(place->folder, paths, on_repacked, place);
    return 0;
}

void kubernetes_place_sent(struct kubernetes_place *place)
{
    if (!place->stopping)
        moved(place, NULL);
}

/* ---- its end ---- */

static void on_gone(void *arg)
{
    struct kubernetes_place *place = arg;
    place->job = NULL;
    place->gone(place->gone_arg);
}

static void on_settle_gone(void *arg)
{
    struct kubernetes_place *place = arg;
    place->gone(place->gone_arg);
}

/* Kubernetes gives a pod the grace that its Job was made with (kubernetes_job.c). */
static void stop(struct build_place *base, int64_t grace_ms, void (*gone)(void *arg), void *arg)
{
    struct kubernetes_place *place = place_at(base);
    (void)grace_ms;
    place->stopping = true;
    place->gone = gone;
    place->gone_arg = arg;
    loop_timer_cancel(place->start_timer);
    if (place->job) {
        kubernetes_job_remove(place->job, on_gone, place);
        return;
    }
    loop_timer_free(place->settle);
    place->settle = loop_timer_new(place->driver->conf.loop, on_settle_gone, place);
    loop_timer_arm(place->settle, 0);
}

static void resume(struct build_place *base)
{
    struct kubernetes_place *place = place_at(base);
    if (place->log)
        kubernetes_log_resume(place->log);
}

static void drain(struct build_place *base)
{
    (void)base; /* what was read is given at once */
}

static void free_place(struct build_place *base)
{
    struct kubernetes_place *place = place_at(base);
    LIST_REMOVE(place, link);
    kubernetes_rest_close(place);
    kubernetes_log_free(place->log);
    if (place->job && place->stopping)
        kubernetes_job_forget(place->job);
    else if (place->job)
        kubernetes_job_remove(place->job, NULL, NULL);
    close_spool(place);
    kubernetes_folder_free(place->folder);
    loop_timer_free(place->start_timer);
    loop_timer_free(place->settle);
    if (place->env)
        mem_wipe(place->env, strlen(place->env));
    mem_wipe(place->token, sizeof(place->token));
    free(place->env);
    free(place->text);
    free(place->run_id);
    free(place->image);
    free(place->service_account);
    strv_release(&place->node_selector);
    strv_release(&place->paths);
    free(place);
}

/* ---- the driver ---- */

static void free_driver(struct build_driver *base)
{
    struct kubernetes_driver *driver = (struct kubernetes_driver *)base;
    while (!LIST_EMPTY(&driver->jobs))
        kubernetes_job_free(LIST_FIRST(&driver->jobs));
    kubernetes_watch_free(driver->watch);
    kubernetes_cancel(driver->cleaning);
    loop_timer_free(driver->clean_again);
    strv_release(&driver->node_selector);
    free(driver->ca);
    free((char *)driver->conf.url);
    free((char *)driver->conf.dir);
    free((char *)driver->conf.builder);
    free((char *)driver->conf.image);
    free((char *)driver->conf.service_account);
    free(driver);
}

static const struct build_driver_ops ops = {.name = "kubernetes",
                                            .why_unprivileged =
                                                "a build's container never has more rights than "
                                                "its user",
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
                                            .resume = resume,
                                            .drain = drain,
                                            .free = free_place,
                                            .free_driver = free_driver};

static int check_conf(const struct build_kubernetes *conf, struct err *err)
{
    if (str_empty(conf->url) ||
        (!str_starts(conf->url, "https://") && !str_starts(conf->url, "http://")))
        return err_set(err, ERR_INVALID,
                       "builder.kubernetes.url is '%s', but must be the http or https address of "
                       "this builder as pods see it",
                       conf->url ? conf->url : "");
    if (!kubernetes_is_name(conf->builder))
        return err_set(err, ERR_INVALID,
                       "common.instance-id '%s' must be a name in Kubernetes, where it tells whose "
                       "Jobs are whose: up to 63 of a-z, 0-9, '-' and '.'",
                       conf->builder);
    if (conf->user <= 0 || conf->user > INT32_MAX)
        return err_set(err, ERR_INVALID,
                       "builder.kubernetes.user must be 1 to %d: builds never run as root",
                       INT32_MAX);
    if (!str_empty(conf->service_account) && !kubernetes_is_name(conf->service_account))
        return err_set(err, ERR_INVALID, "builder.kubernetes.service-account is no name: '%s'",
                       conf->service_account);
    return 0;
}

static int read_ca(struct kubernetes_driver *driver, const char *file, struct err *err)
{
    struct buf text;
    if (str_empty(file))
        return 0;
    int rc = file_read(&text, file, CA_MAX, err);
    if (rc == 0)
        driver->ca = buf_detach(&text);
    else
        err_wrap(err, "builder.kubernetes.url-ca");
    buf_release(&text);
    return rc;
}

int build_driver_kubernetes(struct build_driver **out, const struct build_kubernetes *conf,
                            struct err *err)
{
    struct kubernetes_driver *driver = mem_alloc(sizeof(*driver));
    driver->base.ops = &ops;
    driver->conf = *conf;
    driver->conf.url =
        mem_strndup(conf->url ? conf->url : "",
                    conf->url && str_ends(conf->url, "/") ? strlen(conf->url) - 1 : SIZE_MAX);
    driver->conf.dir = mem_strdup(conf->dir);
    driver->conf.builder = mem_strdup(conf->builder);
    driver->conf.image = mem_strdup(conf->image);
    driver->conf.service_account =
        str_empty(conf->service_account) ? NULL : mem_strdup(conf->service_account);
    for (size_t i = 0; i < conf->node_selector->count; i++)
        strv_add(&driver->node_selector, conf->node_selector->items[i]);
    LIST_INIT(&driver->places);
    LIST_INIT(&driver->jobs);
    driver->clean_again = loop_timer_new(conf->loop, kubernetes_pods_begin, driver);
    /* What an earlier run left is of no build any more. */
    if (check_conf(conf, err) < 0 || read_ca(driver, conf->ca_file, err) < 0 ||
        file_remove_tree(conf->dir, err) < 0 || file_mkdirs(conf->dir, 0700, err) < 0) {
        free_driver(&driver->base);
        return -1;
    }
    kubernetes_rest_serve(driver);
    kubernetes_pods_begin(driver);
    *out = &driver->base;
    return 0;
}
