#include <errno.h>

#include "base/mem.h"
#include "sandbox/internal.h"

static void answer(struct tree_call *call, const struct sandbox_tree *tree)
{
    LIST_REMOVE(call, link);
    call->done(tree, call->arg);
    free(call);
}

/* Not from inside the call that asked. */
static void fail_later(void *arg)
{
    struct sandbox_pool *pool = arg;
    tree_fail_all(pool, EPIPE);
}

static void ask(struct sandbox_pool *pool, enum wire_type what, const char *path,
                void (*done)(const struct sandbox_tree *tree, void *arg), void *arg)
{
    struct tree_call *call = mem_alloc(sizeof(*call));
    *call = (struct tree_call){.id = ++pool->next_id, .done = done, .arg = arg};
    LIST_INSERT_HEAD(&pool->trees, call, link);
    wire_packet_begin(pool->packet, what, call->id);
    if (wire_add(pool->packet, path) < 0 || pool_send(pool) < 0)
        loop_timer_arm(pool->tree_failing, 0);
}

void sandbox_tree_measure(struct sandbox_pool *pool, const char *path,
                          void (*done)(const struct sandbox_tree *tree, void *arg), void *arg)
{
    ask(pool, WIRE_MEASURE, path, done, arg);
}

void sandbox_tree_remove(struct sandbox_pool *pool, const char *path,
                         void (*done)(const struct sandbox_tree *tree, void *arg), void *arg)
{
    ask(pool, WIRE_REMOVE, path, done, arg);
}

bool tree_answer(struct sandbox_pool *pool, uint32_t id, const struct sandbox_tree *tree)
{
    struct tree_call *call;
    LIST_FOREACH(call, &pool->trees, link)
    {
        if (call->id != id)
            continue;
        answer(call, tree);
        return true;
    }
    return false;
}

void tree_fail_all(struct sandbox_pool *pool, int error)
{
    const struct sandbox_tree failed = {.error = error};
    struct tree_calls all = pool->trees;
    struct tree_call *call;
    LIST_INIT(&pool->trees);
    if (!LIST_EMPTY(&all))
        LIST_FIRST(&all)->link.le_prev = &LIST_FIRST(&all);
    while ((call = LIST_FIRST(&all)))
        answer(call, &failed);
}

void tree_init(struct sandbox_pool *pool)
{
    LIST_INIT(&pool->trees);
    pool->tree_failing = loop_timer_new(pool->loop, fail_later, pool);
}

void tree_free_all(struct sandbox_pool *pool)
{
    struct tree_call *call;
    while ((call = LIST_FIRST(&pool->trees))) {
        LIST_REMOVE(call, link);
        free(call);
    }
    loop_timer_free(pool->tree_failing);
}
