/* DESIGN: one round of one remote: ls-remote -> what moved, a `move` for each (pipeline, source,
 * ref) -> for each pair (before, after) among them: mirror, range, report -> all acknowledged. A
 * head may move while git is asked (a webhook is faster, another watcher too): such a move is
 * dropped and the remote asked again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "log/log.h"
#include "remotes.h"
#include "report.h"
#include "secret/secret.h"

struct move {
    char *pipeline, *source;
    char ref[256];
    char before[65], after[65];
    bool done;
};

struct round {
    struct remote *remote;
    struct watcher *watcher;
    int64_t began_ms;
    bool all; /* pipelines of partitions that others own, too */
    struct git_remote git;
    struct buf secret;
    struct move *moves;
    size_t move_count, move_cap;
    struct suspect *suspects; /* of the round before */
    size_t suspect_count;
    struct move *current; /* whose range is asked for; others with the same one follow it */
    unsigned in_flight;   /* reports that are not acknowledged */
    bool asked_all;
    struct err err; /* the first one */
};

static void next_pair(struct round *round);

static void round_free(struct round *round)
{
    for (size_t i = 0; i < round->move_count; i++) {
        free(round->moves[i].pipeline);
        free(round->moves[i].source);
    }
    free(round->moves);
    free(round->suspects);
    secret_release(&round->secret);
    free(round);
}

static void finish(void *arg)
{
    struct round *round = arg;
    struct remote *remote = round->remote;
    const struct err err = round->err;

    for (size_t i = 0; err.code == ERR_NONE && i < remote->member_count; i++) {
        if (round->watcher->owned[remote->members[i]->partition])
            remote->members[i]->fresh = false;
    }
    round_free(round);
    remote_round_ended(remote, err.code == ERR_NONE ? NULL : &err);
}

static void keep_err(struct round *round, const struct err *err)
{
    if (round->err.code == ERR_NONE)
        round->err = *err;
}

static void finish_if_done(struct round *round)
{
    if (round->asked_all && round->in_flight == 0)
        finish(round);
}

/* ---- what moved ---- */

static void add_move(struct round *round, const struct watched *watched, const struct git_ref *ref,
                     const struct head *head)
{
    if (round->move_count == round->move_cap) {
        round->move_cap = round->move_cap ? round->move_cap * 2 : 8;
        round->moves = mem_realloc(round->moves, round->move_cap, sizeof(*round->moves));
    }
    struct move *move = &round->moves[round->move_count++];
    memset(move, 0, sizeof(*move));
    move->pipeline = mem_strdup(watched->pipeline);
    move->source = mem_strdup(watched->source->name);
    snprintf(move->ref, sizeof(move->ref), "%s", ref->name);
    snprintf(move->before, sizeof(move->before), "%s", head->tip.commit);
    snprintf(move->after, sizeof(move->after), "%s", ref->commit);
}

static void look(struct round *round, const struct watched *watched, const struct git_ref *ref)
{
    if (!def_source_matches(watched->source, ref->name))
        return;
    struct head *head =
        heads_get(round->watcher->heads, watched->pipeline, watched->source->name, ref->name);
    if (str_eq(head->tip.commit, ref->commit) || str_eq(head->skipped, ref->commit))
        return;
    if (head->changed_ms >= round->began_ms) {
        round->remote->again = true;
        return;
    }
    add_move(round, watched, ref, head);
}

static void on_refs(const struct git_ref *refs, size_t count, const struct err *err, void *arg)
{
    struct round *round = arg;
    const struct remote *remote = round->remote;

    if (err) {
        keep_err(round, err);
        finish(round);
        return;
    }
    for (size_t i = 0; i < remote->member_count; i++) {
        const struct watched *watched = remote->members[i];
        if (!round->all && !round->watcher->owned[watched->partition])
            continue;
        for (size_t j = 0; j < count; j++)
            look(round, watched, &refs[j]);
    }
    next_pair(round);
}

/* ---- one pair ---- */

static const struct hint *hint_of(const struct round *round, const struct move *move)
{
    for (const struct hint *hint = round->remote->asked; hint; hint = hint->next) {
        if (str_eq(hint->ref, move->ref) && str_eq(hint->after, move->after))
            return hint;
    }
    return NULL;
}

static void on_reported(const struct err *err, void *arg)
{
    struct round *round = arg;

    round->in_flight--;
    if (err)
        keep_err(round, err);
    finish_if_done(round);
}

static void report(struct round *round, const struct move *move, struct head *head,
                   const struct git_range *range)
{
    const struct hint *hint = hint_of(round, move);
    const struct change change = {
        .pipeline = move->pipeline,
        .source = move->source,
        .git = round->remote->url,
        .ref = move->ref,
        .after = move->after,
        .forced = range->forced,
        .message = range->subject,
        .pusher = hint ? hint->pusher : NULL,
        .people = &range->people,
        .people_complete = range->complete,
        .by_webhook = hint != NULL,
    };
    struct err err;

    round->in_flight++;
    if (report_change(round->watcher->reporter, head, &change, on_reported, round, &err) != 0) {
        round->in_flight--;
        keep_err(round, &err);
    }
}

static void settle(struct round *round, const struct move *move, const struct git_range *range)
{
    const struct watched *watched =
        catalog_find(round->watcher->catalog, move->pipeline, move->source);

    /* It may have been applied anew, or deleted, meanwhile. */
    if (!watched || watched->remote != round->remote ||
        !def_source_matches(watched->source, move->ref))
        return;
    struct head *head = heads_get(round->watcher->heads, move->pipeline, move->source, move->ref);
    if (!str_eq(head->tip.commit, move->before)) {
        round->remote->again = true;
        return;
    }
    if (message_says_skip(range->message)) {
        snprintf(head->skipped, sizeof(head->skipped), "%s", move->after);
        log_info("revision skipped as its message asks", LOG_S("pipeline", move->pipeline),
                 LOG_S("ref", move->ref), LOG_S("commit", move->after));
        return;
    }
    report(round, move, head, range);
}

static bool same_pair(const struct move *a, const struct move *b)
{
    return str_eq(a->before, b->before) && str_eq(a->after, b->after);
}

/* Some servers answer from a copy that is behind for a moment: a branch that seems to go back must
 * be seen so in two rounds, unless its forge said so. */
static bool believed(struct round *round, const struct move *move)
{
    if (hint_of(round, move))
        return true;
    for (size_t i = 0; i < round->suspect_count; i++) {
        if (str_eq(round->suspects[i].ref, move->ref) &&
            str_eq(round->suspects[i].after, move->after))
            return true;
    }
    remote_suspect(round->remote, move->ref, move->after);
    return false;
}

static void on_range(const struct git_range *range, const struct err *err, void *arg)
{
    struct round *round = arg;
    const struct move pair = *round->current;

    if (err)
        keep_err(round, err);
    for (size_t i = 0; i < round->move_count; i++) {
        struct move *move = &round->moves[i];
        if (move->done || !same_pair(move, &pair))
            continue;
        move->done = true;
        if (range && (!range->forced || believed(round, move)))
            settle(round, move, range);
    }
    next_pair(round);
}

static void on_updated(const struct err *err, void *arg)
{
    struct round *round = arg;
    struct err failed;

    if (err) {
        on_range(NULL, err, round);
        return;
    }
    if (git_mirror_range(round->remote->mirror, round->current->before, round->current->after,
                         on_range, round, &failed) != 0)
        on_range(NULL, &failed, round);
}

static void next_pair(struct round *round)
{
    struct err err;

    round->current = NULL;
    for (size_t i = 0; i < round->move_count && !round->current; i++) {
        if (!round->moves[i].done)
            round->current = &round->moves[i];
    }
    if (!round->current) {
        round->asked_all = true;
        finish_if_done(round);
        return;
    }
    if (git_mirror_update(round->remote->mirror, &round->git, round->current->after, on_updated,
                          round, &err) != 0)
        on_range(NULL, &err, round);
}

void round_begin(struct remote *remote)
{
    struct round *round = mem_alloc(sizeof(*round));

    round->remote = remote;
    round->watcher = remote_watcher(remote);
    round->began_ms = clock_mono_ms();
    round->all = remote->hinted;
    round->suspects = remote->suspects;
    round->suspect_count = remote->suspect_count;
    remote->suspects = NULL;
    remote->suspect_count = 0;
    remote->round = round;
    if (remote_fill(remote, &round->git, &round->secret, &round->err) != 0 ||
        git_ls_remote(round->watcher->svc->loop, &round->git, on_refs, round, &round->err) != 0)
        loop_post(round->watcher->svc->loop, finish, round);
}
