/* What is being removed from the engine, until it has done so: containers, the names of images, and
 * the steps of an image's making. */
#include <unistd.h>

#include "base/mem.h"
#include "build/docker_place.h"

#define AGAIN_MS  5000
#define TRIES_MAX 5 /* of a step: somebody may have made something of it */

static void removal_free(struct docker_removal *removal)
{
    struct docker_driver *driver = removal->driver;
    LIST_REMOVE(removal, link);
    loop_timer_free(removal->again);
    free(removal->name);
    free(removal->note);
    free(removal);
    docker_note_empty(driver);
}

/* Of a failed question; false: it is given up. */
static bool try_again(struct docker_removal *removal, const struct err *err)
{
    removal->tries++;
    if (err->code == ERR_NOT_FOUND || (removal->kind == REMOVE_STEP && removal->tries >= TRIES_MAX))
        return false;
    loop_timer_arm(removal->again, AGAIN_MS);
    return true;
}

static void on_removed(const struct docker_answer *answer, const struct err *err, void *arg)
{
    struct docker_removal *removal = arg;
    (void)answer;
    removal->call = NULL;
    if (err->code != ERR_NONE && try_again(removal, err))
        return;
    if (removal->note)
        (void)unlink(removal->note);
    removal_free(removal);
}

/* A step's image has no name, and is not older than its build: whatever else is called so, it is
 * somebody else's. */
static void on_looked(const struct docker_answer *answer, const struct err *err, void *arg)
{
    struct docker_removal *removal = arg;
    removal->call = NULL;
    if (err->code == ERR_NONE && !answer->named && answer->made_ms >= removal->since_ms)
        removal->call =
            docker_image_remove(removal->driver->docker, removal->name, on_removed, removal);
    else if (err->code == ERR_NONE || !try_again(removal, err))
        removal_free(removal);
}

static void ask_removal(void *arg)
{
    struct docker_removal *removal = arg;
    struct docker *docker = removal->driver->docker;
    if (removal->kind == REMOVE_CONTAINER)
        removal->call = docker_remove(docker, removal->name, on_removed, removal);
    else if (removal->kind == REMOVE_IMAGE)
        removal->call = docker_image_remove(docker, removal->name, on_removed, removal);
    else
        removal->call = docker_image(docker, removal->name, on_looked, removal);
}

static struct docker_removal *removal_new(struct docker_driver *driver,
                                          enum docker_removal_kind kind, const char *name)
{
    struct docker_removal *removal = mem_alloc(sizeof(*removal));
    removal->driver = driver;
    removal->kind = kind;
    removal->name = mem_strdup(name);
    removal->again = loop_timer_new(driver->loop, ask_removal, removal);
    LIST_INSERT_HEAD(&driver->removals, removal, link);
    docker_note_empty(driver);
    return removal;
}

void docker_remove_container(struct docker_driver *driver, const char *container)
{
    ask_removal(removal_new(driver, REMOVE_CONTAINER, container));
}

void docker_remove_image(struct docker_driver *driver, const char *image, const char *note,
                         int64_t delay_ms)
{
    struct docker_removal *removal = removal_new(driver, REMOVE_IMAGE, image);
    removal->note = mem_strdup(note);
    loop_timer_arm(removal->again, delay_ms);
}

void docker_remove_step(struct docker_driver *driver, const char *id, int64_t since_ms,
                        int64_t delay_ms)
{
    struct docker_removal *removal = removal_new(driver, REMOVE_STEP, id);
    removal->since_ms = since_ms;
    loop_timer_arm(removal->again, delay_ms);
}

void docker_keep_image(struct docker_driver *driver, const char *image)
{
    struct docker_removal *removal, *next;
    for (removal = LIST_FIRST(&driver->removals); removal; removal = next) {
        next = LIST_NEXT(removal, link);
        if (removal->kind != REMOVE_IMAGE || !str_eq(removal->name, image))
            continue;
        docker_call_cancel(removal->call);
        (void)unlink(removal->note);
        removal_free(removal);
    }
}

void docker_removals_free(struct docker_driver *driver)
{
    while (!LIST_EMPTY(&driver->removals))
        removal_free(LIST_FIRST(&driver->removals));
}
