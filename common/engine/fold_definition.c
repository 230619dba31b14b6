/* Folds of what comes from outside a release: definitions and revisions. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/fold.h"

/* Forgets what no Command still in its topic can name. */
static void replaced_add(struct engine_state *state, const struct taken *old, int64_t now_ms)
{
    const struct replaced *before = state->replaced;
    struct replaced *after = replaced_new();
    size_t first = 0;
    while (first < before->count && before->items[first].at_ms < now_ms - STATE_RETENTION_MS)
        first++;
    if (before->count - first >= STATE_TAKEN_MAX)
        first = before->count - STATE_TAKEN_MAX + 1;
    after->items = mem_alloc((before->count - first + 1) * sizeof(*after->items));
    for (size_t i = first; i < before->count; i++) {
        if (memcmp(before->items[i].sha256, old->sha256, SHA256_SIZE) != 0)
            after->items[after->count++] = before->items[i];
    }
    memcpy(after->items[after->count].sha256, old->sha256, SHA256_SIZE);
    after->items[after->count++].at_ms = now_ms;
    shared_unref(state->replaced);
    state->replaced = after;
}

int fold_definition_taken(struct engine_state *state, const Gantry__V1__DefinitionTaken *m,
                          int64_t now_ms, struct err *err)
{
    if (m->number != state->definitions + 1)
        return err_set(err, ERR_INVALID, "definition %llu is taken after %llu",
                       (unsigned long long)m->number, (unsigned long long)state->definitions);
    struct taken *taken = taken_new(m->number, m->yaml.data, m->yaml.len, err);
    if (!taken)
        return err_wrap(err, "definition %llu", (unsigned long long)m->number);
    if (m->sha256.len != SHA256_SIZE || memcmp(m->sha256.data, taken->sha256, SHA256_SIZE) != 0) {
        shared_unref(taken);
        return err_set(err, ERR_INVALID, "definition %llu is not of the SHA-256 that it names",
                       (unsigned long long)m->number);
    }
    if (state->current)
        replaced_add(state, state->current, now_ms);
    shared_unref(state->current);
    state->current = taken;
    state->definitions = m->number;
    state->deleted = false;
    state->untidy = true;
    return 0;
}

int fold_definition_deleted(struct engine_state *state, struct err *err)
{
    if (!state->current || state->deleted)
        return err_set(err, ERR_INVALID, "there is no definition to delete");
    state->deleted = true;
    return 0;
}

/* Message and pusher are kept of a source's newest revision only: that is what a release started by
 * hand takes. */
static void strip_older(struct engine_state *state, const char *source)
{
    for (size_t i = 0; i < state->heads.count; i++) {
        struct head *head = state->heads.items[i];
        const Gantry__V1__Revision *old = head->revision;
        if (strcmp(old->source, source) != 0 || (!*old->message && !*old->pusher))
            continue;
        Gantry__V1__Revision bare = GANTRY__V1__REVISION__INIT;
        bare.source = old->source;
        bare.ref = old->ref;
        bare.commit = old->commit;
        state->heads.items[i] = head_new(&bare, head->seen, head->unstarted);
        shared_unref(head);
    }
}

static void forget_oldest_head(struct engine_state *state)
{
    size_t oldest = 0;
    for (size_t i = 1; i < state->heads.count; i++) {
        if (((struct head *)state->heads.items[i])->seen <
            ((struct head *)state->heads.items[oldest])->seen)
            oldest = i;
    }
    parts_remove(&state->heads, oldest);
}

int fold_revision_seen(struct engine_state *state, const Gantry__V1__RevisionSeen *m,
                       struct err *err)
{
    const Gantry__V1__SourceChanged *change = m->change;
    if (!change)
        return err_set(err, ERR_INVALID, "a revision seen has no change");
    Gantry__V1__Revision revision = GANTRY__V1__REVISION__INIT;
    revision.source = change->source;
    revision.ref = change->ref;
    revision.commit = change->after;
    revision.message = change->message;
    revision.pusher = change->pusher;
    uint64_t seen = state->next_seen++;
    size_t at;
    bool unstarted = !m->unwanted;
    if (state_find_head(state, change->source, change->ref, &at)) {
        unstarted = unstarted || ((struct head *)state->heads.items[at])->unstarted;
        parts_remove(&state->heads, at);
    }
    strip_older(state, change->source);
    if (state->heads.count >= STATE_HEADS_MAX)
        forget_oldest_head(state);
    state_find_head(state, change->source, change->ref, &at);
    parts_insert(&state->heads, at, head_new(&revision, seen, unstarted));
    people_add(&state->people, change->source, change->ref, seen, change->people, change->n_people,
               change->people_complete);
    state->untidy = true;
    return 0;
}
