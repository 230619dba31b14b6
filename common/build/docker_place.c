#include "build/docker_place.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "oci/oci.h"
#include "sandbox/sandbox.h"

#define LAST_MS 2000 /* for what a container wrote before its end to arrive */
#define OVER    "over\n"

static void create(struct docker_place *place);

/* ---- may be freed within a callback ---- */

void docker_place_hold(struct docker_place *place)
{
    place->working++;
}

void docker_place_release(struct docker_place *place)
{
    place->working--;
    if (place->freed && !place->working)
        docker_place_destroy(place);
}

/* ---- the end ---- */

void docker_place_fail(struct docker_place *place, const struct err *err)
{
    if (place->state == PLACE_ENDED || place->stopping)
        return;
    place->state = PLACE_ENDED;
    place->err = *err;
    docker_place_told(place, -1, NULL);
}

/* With all its output read, as far as it comes. */
static void conclude(struct docker_place *place)
{
    struct err err = {0};
    loop_timer_cancel(place->last);
    if (place->concluded)
        return;
    place->concluded = true;
    if (place->stopping) {
        loop_timer_cancel(place->grace);
        place->gone(place->gone_arg);
        return;
    }
    if (place->ready) {
        err_set(&err, ERR_UNAVAILABLE, "the container of the image %s ended with exit code %lld",
                place->image, (long long)place->exit_code);
    } else {
        const struct buf *said = &place->before;
        int len = said->len > 400 ? 400 : (int)said->len;
        while (len > 0 && said->data[len - 1] == '\n')
            len--;
        err_set(&err, ERR_INVALID,
                "no command can run in the image %s: its /bin/sh ended with exit code %lld%s%.*s",
                place->image, (long long)place->exit_code, len ? ": " : "", len, buf_cstr(said));
    }
    docker_place_fail(place, &err);
}

static void on_last(void *arg)
{
    conclude(arg);
}

static void ended(struct docker_place *place, int64_t code)
{
    place->exited = true;
    place->exit_code = code;
    if (place->attached && !place->paused)
        loop_timer_arm(place->last, LAST_MS);
    else
        conclude(place);
}

static void on_waited(const struct docker_answer *answer, const struct err *err, void *arg)
{
    struct docker_place *place = arg;
    place->waiting = NULL;
    /* Not there any more: somebody else removed it. */
    if (err->code != ERR_NONE && !place->stopping)
        docker_place_fail(place, err);
    else
        ended(place, answer->code);
}

/* ---- its streams ---- */

static bool on_output(const char *data, size_t len, void *arg)
{
    return docker_output(arg, data, len);
}

static void on_ended(const struct err *err, void *arg)
{
    struct docker_place *place = arg;
    place->attached = NULL;
    docker_output_flush(place);
    if (place->exited)
        conclude(place);
    else if (err->code != ERR_NONE && !place->stopping)
        docker_place_fail(place, err);
}

static void on_started(const struct docker_answer *answer, const struct err *err, void *arg)
{
    struct docker_place *place = arg;
    struct err why = *err;
    (void)answer;
    place->call = NULL;
    if (place->stopping)
        return;
    /* Of the command, that the engine could not start it. */
    if (err->code == ERR_INVALID || err->code == ERR_NOT_FOUND)
        err_set(&why, ERR_INVALID, "no command can run in the image %s: %s", place->image,
                err->msg);
    if (err->code == ERR_NONE && place->attached) {
        place->waiting = docker_wait(place->driver->docker, place->id, on_waited, place);
        docker_disk_watch(place);
        (void)docker_send(place->attached, place->env.data, place->env.len, &why);
        mem_wipe(place->env.data, place->env.cap);
        buf_release(&place->env);
    }
    if (why.code != ERR_NONE)
        docker_place_fail(place, &why);
}

static void on_attached(void *arg)
{
    struct docker_place *place = arg;
    if (!place->stopping)
        place->call = docker_start(place->driver->docker, place->id, on_started, place);
}

static const struct docker_attach_ops streams = {
    .opened = on_attached, .output = on_output, .ended = on_ended};

/* ---- filling it ---- */

static void on_filled(struct docker_place *place, const struct err *err)
{
    if (err)
        docker_place_fail(place, err);
    else
        place->attached = docker_attach(place->driver->docker, place->id, &streams, place);
}

void docker_place_fill(struct docker_place *place)
{
    struct strv paths = {0};
    if (place->state != PLACE_MADE || !place->opened || place->stopping)
        return;
    place->state = PLACE_FILLING;
    strv_add(&paths, "build");
    strv_add(&paths, "home");
    strv_add(&paths, "run");
    docker_files_put(place, &paths, on_filled);
    strv_release(&paths);
}

/* ---- making it ---- */

/* An error that another attempt, here or elsewhere, would end with, too. */
static void fail_for_good(struct docker_place *place, const struct err *err)
{
    struct err why = *err;
    if (err->code == ERR_NOT_FOUND || err->code == ERR_DENIED)
        why.code = ERR_INVALID;
    docker_place_fail(place, &why);
}

static void on_created(const struct docker_answer *answer, const struct err *err, void *arg)
{
    struct docker_place *place = arg;
    place->call = NULL;
    if (err->code == ERR_NONE) {
        place->id = mem_strdup(answer->id);
        if (place->state == PLACE_MAKING)
            place->state = PLACE_MADE;
    }
    if (!place->freed && err->code != ERR_NONE)
        docker_place_fail(place, err);
    else if (!place->freed)
        docker_place_fill(place);
    docker_place_release(place);
}

static void create(struct docker_place *place)
{
    const struct docker_driver *driver = place->driver;
    const char *const command[] = {"/bin/sh", SANDBOX_RUN "/init", NULL};
    char *owner = mem_printf("gantry.builder=%s", driver->owner);
    char *run = mem_printf("gantry.run=%s", place->run_id);
    char *pipeline = mem_printf("gantry.pipeline=%s", place->pipeline);
    char *bind = mem_printf("%s:/var/run/docker.sock", docker_socket(driver->docker));
    const char *const labels[] = {owner, run, pipeline, NULL};
    const struct docker_container container = {.name = place->name,
                                               .image = place->image,
                                               .command = command,
                                               .labels = labels,
                                               .network = driver->network,
                                               .memory_bytes = place->limits.memory_bytes,
                                               .cpu = place->limits.cpu,
                                               .processes = place->limits.processes,
                                               .bind = place->privileged ? bind : NULL};
    /* Once asked for, it can only be removed when the engine has answered. */
    docker_place_hold(place);
    place->call = docker_create(driver->docker, &container, on_created, place);
    free(owner);
    free(run);
    free(pipeline);
    free(bind);
}

static void on_pulled(const struct docker_answer *answer, const struct err *err, void *arg)
{
    struct docker_place *place = arg;
    struct err why = *err;
    (void)answer;
    place->call = NULL;
    if (err->code == ERR_NONE) {
        create(place);
        return;
    }
    err_wrap(&why, "the build image can't be had");
    fail_for_good(place, &why);
}

static void pull(struct docker_place *place)
{
    struct docker_driver *driver = place->driver;
    struct docker_login login = {0};
    struct oci_ref ref;
    struct err err = {0};
    if (oci_ref_parse(&ref, place->image, &err) < 0 ||
        docker_login_of(driver, ref.host, &login, &err) < 0) {
        docker_place_fail(place, &err);
        return;
    }
    place->call =
        docker_pull(driver->docker, place->image, login.user ? &login : NULL, on_pulled, place);
    docker_login_release(&login);
}

static void on_found(const struct docker_answer *answer, const struct err *err, void *arg)
{
    struct docker_place *place = arg;
    (void)answer;
    place->call = NULL;
    if (err->code == ERR_NONE)
        create(place);
    else if (err->code == ERR_NOT_FOUND)
        pull(place);
    else
        docker_place_fail(place, err);
}

void docker_place_make(struct docker_place *place)
{
    place->last = loop_timer_new(place->driver->loop, on_last, place);
    place->call = docker_image(place->driver->docker, place->image, on_found, place);
}

/* ---- commands ---- */

void docker_place_send(struct docker_place *place)
{
    struct err err = {0};
    if (place->state != PLACE_RUNNING || !place->asked[0] || place->sent)
        return;
    place->sent = place->shell = true;
    if (!place->attached)
        err_set(&err, ERR_UNAVAILABLE, "the engine's stream of the container has ended");
    else
        (void)docker_send(place->attached, place->asked, strlen(place->asked), &err);
    if (err.code != ERR_NONE)
        docker_place_fail(place, &err);
}

/* ---- stop ---- */

static void on_killed(const struct docker_answer *answer, const struct err *err, void *arg)
{
    struct docker_place *place = arg;
    (void)answer;
    (void)err; /* free() removes it anyhow */
    place->killing = NULL;
    if (place->waiting)
        loop_timer_arm(place->last, LAST_MS);
    else if (!place->exited)
        conclude(place);
}

void docker_place_kill(struct docker_place *place)
{
    if (place->waiting && !place->killing)
        place->killing = docker_stop(place->driver->docker, place->id, 0, on_killed, place);
}

static void on_grace(void *arg)
{
    struct docker_place *place = arg;
    docker_place_kill(place);
    if (!place->waiting)
        conclude(place);
}

/* It runs: all in it is told, and it ends when all has. */
void docker_place_stop(struct docker_place *place, int64_t grace_ms)
{
    struct err err = {0};
    bool runs = place->waiting && place->attached;
    docker_disk_leave(place);
    place->stopping = true;
    place->concluded = false; /* now for gone() */
    place->halt = true;
    place->grace = loop_timer_new(place->driver->loop, on_grace, place);
    if (runs)
        (void)docker_send(place->attached, OVER, strlen(OVER), &err);
    loop_timer_arm(place->grace, runs && err.code == ERR_NONE ? grace_ms : 0);
}

void docker_place_cancel(struct docker_place *place)
{
    docker_disk_leave(place);
    /* What is being made has to be removed, see create(). */
    if (place->state != PLACE_MAKING || !place->working)
        docker_call_cancel(place->call);
    docker_call_cancel(place->attached);
    docker_call_cancel(place->waiting);
    docker_call_cancel(place->killing);
    docker_call_cancel(place->asking);
    place->call = place->attached = place->waiting = place->killing = place->asking = NULL;
    loop_timer_free(place->last);
    loop_timer_free(place->grace);
    loop_timer_free(place->unknown);
    place->last = place->grace = place->unknown = NULL;
    place->halt = true;
}
