/* A counted reference to something that no longer changes, or is copied before it does
 * (copy-on-write). First member of every part of a state that several states share: a clone of a
 * state costs a reference a part. The count is atomic, so clones may live in different threads; one
 * state belongs to one thread at a time. */
#ifndef GANTRY_ENGINE_SHARED_H
#define GANTRY_ENGINE_SHARED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct shared {
    atomic_uint refs;
    void (*destroy)(struct shared *part); /* frees the part itself too */
};

static inline void shared_init(struct shared *part, void (*destroy)(struct shared *part))
{
    atomic_init(&part->refs, 1);
    part->destroy = destroy;
}

/* All take a pointer to the struct whose first member is the `struct shared`; NULL accepted. */
static inline void *shared_ref(void *part)
{
    if (part)
        atomic_fetch_add_explicit(&((struct shared *)part)->refs, 1, memory_order_relaxed);
    return part;
}

static inline void shared_unref(void *part)
{
    struct shared *s = part;
    if (s && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1)
        s->destroy(s);
}

/* True if nobody else holds it, so that its holder may change it in place. */
static inline bool shared_is_own(const void *part)
{
    const struct shared *s = part;
    return atomic_load_explicit(&s->refs, memory_order_acquire) == 1;
}

#endif
