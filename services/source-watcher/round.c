/* DESIGN: one round of one remote: ls-remote -> first looks are noted -> what moved, a `move` for
 * each (pipeline, source, ref) -> for each pair (before, after) among them: mirror, paths, range,
 * report -> all acknowledged. A head may move while git is asked (a webhook is faster, another
 * watcher too): such a move is dropped and the remote asked again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "first_look.h"
#include "log/log.h"
#include "remotes.h"
#include "report.h"
#include "secret/secret.h"

#define PEOPLE_MAX 1000 /* that a report carries */
#define SLICE_REFS 5000 /* looked at before webhooks have their turn: some 20 ms */

struct move {
    char *pipeline, *source;
    char ref[256];
    char before[65], after[65];
    bool looked;      /* `before` is that of a first look: nobody was told of who made it */
    bool wants_paths; /* of what differs: its source has a path filter */
    bool done;
};

struct round {
    struct remote *remote;
    struct watcher *watcher;
    int64_t began_ms;
    bool all;       /* pipelines of partitions that others own, too */
    unsigned kinds; /* of refs that are asked for */
    struct git_remote git;
    struct buf secret;
    struct git_ref *refs; /* what the remote has */
    size_t ref_count;
    size_t at; /* the member that was looked at last */
    struct move *moves;
    size_t move_count, move_cap;
    size_t next;              /* all moves before it are done */
    struct suspect *suspects; /* of the round before */
    size_t suspect_count;
    struct move *current; /* whose range is asked for; others with the same one follow it */
    struct git_paths paths;
    struct strv earlier;   /* people of `before`, where it is that of a first look */
    bool earlier_complete; /* true where it is not */
    unsigned in_flight;    /* reports and first looks that are not acknowledged */
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
    free(round->refs);
    strv_release(&round->paths.paths);
    strv_release(&round->earlier);
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
        if (remote->members[i]->asked && round->watcher->owned[remote->members[i]->partition])
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

static void on_reported(const struct err *err, void *arg)
{
    struct round *round = arg;

    round->in_flight--;
    if (err)
        keep_err(round, err);
    finish_if_done(round);
}

/* ---- first looks ---- */

static bool is_tag(const char *ref)
{
    return str_starts(ref, "refs/tags/");
}

/* A webhook told of this ref: it is what somebody does now, not what was there. */
static bool is_hinted(const struct round *round, const char *ref)
{
    for (const struct hint *hint = round->remote->asked; hint; hint = hint->next) {
        if (str_eq(hint->ref, ref))
            return true;
    }
    return false;
}

static void note(struct round *round, const struct watched *watched, const struct look_at *at)
{
    const char *pipeline = watched->pipeline, *source = watched->source->name;
    const struct git_ref *refs = round->refs;
    struct strv present = {0};
    struct err err;

    for (size_t i = 0; i < round->ref_count; i++) {
        if (!look_matches(at, refs[i].name) || !def_source_matches(watched->source, refs[i].name) ||
            is_hinted(round, refs[i].name))
            continue;
        const struct head *head = heads_find(round->watcher->heads, pipeline, source, refs[i].name);
        const char *commit =
            looks_commit(heads_looks(round->watcher->heads), pipeline, source, refs[i].name);
        if (!head || !head->tip.id[0])
            strv_addf(&present, "%s %s", commit ? commit : refs[i].commit, refs[i].name);
    }
    round->in_flight++;
    if (first_look_note(round->watcher, watched, at, &present, on_reported, round, &err) != 0) {
        round->in_flight--;
        keep_err(round, &err);
    }
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
    move->looked = move->before[0] && !head->tip.id[0];
    move->wants_paths = move->before[0] && watched_filters_paths(watched);
}

/* A tag or pull request that no finished look would have noted: it may always have been there. */
static bool may_be_old(const struct round *round, const struct watched *watched, const char *ref)
{
    const struct looks *looks = heads_looks(round->watcher->heads);
    struct look_at at;

    if (str_starts(ref, "refs/heads/") || is_hinted(round, ref))
        return false;
    for (size_t i = 0; look_at(watched->source, i, &at); i++) {
        if (look_matches(&at, ref) &&
            looks_done(looks, watched->pipeline, watched->source->name, &at))
            return false;
    }
    return true;
}

static void look(struct round *round, const struct watched *watched, const struct git_ref *ref)
{
    const char *pipeline = watched->pipeline, *source = watched->source->name;
    struct heads *heads = round->watcher->heads;

    if (!def_source_matches(watched->source, ref->name))
        return;
    const struct head *found = heads_find(heads, pipeline, source, ref->name);
    const char *known = found && found->tip.commit[0]
                            ? found->tip.commit
                            : looks_commit(heads_looks(heads), pipeline, source, ref->name);
    if (str_eq(known, ref->commit) || (found && str_eq(found->unusable, ref->commit)) ||
        (!known && may_be_old(round, watched, ref->name)))
        return;
    const struct head *head = heads_get(heads, pipeline, source, ref->name);
    if (head->changed_ms >= round->began_ms) {
        round->remote->again = true;
        return;
    }
    add_move(round, watched, ref, head);
}

static unsigned kinds_of(const struct def_source *source)
{
    return (source->branches.count ? GIT_BRANCHES : 0) | (source->tags.count ? GIT_TAGS : 0) |
           (source->pull_requests ? GIT_PULL_REQUESTS : 0);
}

static void look_at_source(struct round *round, struct watched *watched)
{
    struct look_at at;

    /* It came, or came here, after the remote was asked for less: there will be a round for it. */
    if ((!round->all && !round->watcher->owned[watched->partition]) ||
        (kinds_of(watched->source) & ~round->kinds))
        return;
    watched->asked = true;
    for (size_t i = 0; look_at(watched->source, i, &at); i++) {
        if (!looks_done(heads_looks(round->watcher->heads), watched->pipeline,
                        watched->source->name, &at))
            note(round, watched, &at);
    }
    for (size_t i = 0; i < round->ref_count; i++)
        look(round, watched, &round->refs[i]);
}

/* Members may come and go between two calls, and change their places. */
static struct watched *next_source(struct round *round)
{
    const struct remote *remote = round->remote;

    for (size_t i = 0; i < remote->member_count; i++) {
        const size_t at = (round->at + i) % remote->member_count;
        if (!remote->members[at]->passed) {
            round->at = at;
            return remote->members[at];
        }
    }
    return NULL;
}

static void look_on(void *arg)
{
    struct round *round = arg;
    struct watched *watched;

    for (size_t looked = 0; (watched = next_source(round)); looked += round->ref_count) {
        if (looked >= SLICE_REFS) {
            loop_post(round->watcher->svc->loop, look_on, round);
            return;
        }
        watched->passed = true;
        look_at_source(round, watched);
    }
    free(round->refs);
    round->refs = NULL;
    next_pair(round);
}

static void on_refs(const struct git_ref *refs, size_t count, const struct err *err, void *arg)
{
    struct round *round = arg;

    if (err) {
        keep_err(round, err);
        finish(round);
        return;
    }
    round->refs = count ? mem_dup(refs, count * sizeof(*refs)) : NULL;
    round->ref_count = count;
    look_on(round);
}

/* ---- one pair ---- */

static const struct hint *hint_of(const struct round *round, const struct move *move)
{
    for (const struct hint *hint = round->remote->asked; hint; hint = hint->next) {
        /* Forges name an annotated tag itself, ls-remote the commit that it names. */
        if (str_eq(hint->ref, move->ref) && (str_eq(hint->after, move->after) || is_tag(move->ref)))
            return hint;
    }
    return NULL;
}

static void report(struct round *round, const struct move *move, struct head *head,
                   const struct git_range *range)
{
    const struct hint *hint = hint_of(round, move);
    struct strv people = {0};

    for (size_t i = 0; i < range->people.count; i++)
        strv_add(&people, range->people.items[i]);
    for (size_t i = 0; move->looked && i < round->earlier.count; i++) {
        if (!strv_has(&people, round->earlier.items[i]))
            strv_add(&people, round->earlier.items[i]);
    }
    const bool fits = people.count <= PEOPLE_MAX;
    while (people.count > PEOPLE_MAX)
        free(people.items[--people.count]);
    const struct change change = {
        .pipeline = move->pipeline,
        .source = move->source,
        .git = round->remote->url,
        .ref = move->ref,
        .after = move->after,
        .forced = range->forced || (is_tag(move->ref) && move->before[0]),
        .message = range->subject,
        .pusher = hint ? hint->pusher : NULL,
        .people = &people,
        .people_complete = range->complete && fits && (!move->looked || round->earlier_complete),
        .paths = move->wants_paths ? &round->paths.paths : NULL,
        .paths_complete = move->wants_paths && round->paths.complete,
        .skip = message_says_skip(range->message),
        .by_webhook = hint != NULL,
    };
    struct err err;

    round->in_flight++;
    if (report_change(round->watcher->reporter, head, &change, on_reported, round, &err) != 0) {
        round->in_flight--;
        keep_err(round, &err);
    }
    strv_release(&people);
}

/* NULL: it may have been applied anew, or deleted, or moved meanwhile. */
static struct head *head_of(struct round *round, const struct move *move)
{
    const struct watched *watched =
        catalog_find(round->watcher->catalog, move->pipeline, move->source);

    if (!watched || watched->remote != round->remote ||
        !def_source_matches(watched->source, move->ref))
        return NULL;
    struct head *head = heads_get(round->watcher->heads, move->pipeline, move->source, move->ref);
    if (str_eq(head->tip.commit, move->before))
        return head;
    round->remote->again = true;
    return NULL;
}

/* Trees and blobs can have tags, too: nothing can be built from them. */
static void pass_over(struct round *round, const struct move *move, const struct err *err)
{
    struct head *head = head_of(round, move);

    if (!is_tag(move->ref) || err->code != ERR_NOT_FOUND) {
        keep_err(round, err);
    } else if (head) {
        snprintf(head->unusable, sizeof(head->unusable), "%s", move->after);
        log_info("tag passed over: it names no commit", LOG_S("pipeline", move->pipeline),
                 LOG_S("ref", move->ref), LOG_E(err));
    }
}

static bool same_pair(const struct move *a, const struct move *b)
{
    return a->looked == b->looked && str_eq(a->before, b->before) && str_eq(a->after, b->after);
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

    for (size_t i = round->next; i < round->move_count; i++) {
        struct move *move = &round->moves[i];
        if (move->done || !same_pair(move, &pair))
            continue;
        move->done = true;
        if (!range) {
            pass_over(round, move, err);
        } else if (!range->forced || believed(round, move)) {
            struct head *head = head_of(round, move);
            if (head)
                report(round, move, head, range);
        }
    }
    next_pair(round);
}

static void ask_range(struct round *round)
{
    struct err err;

    if (git_mirror_range(round->remote->mirror, round->current->before, round->current->after,
                         on_range, round, &err) != 0)
        on_range(NULL, &err, round);
}

static void on_earlier(const struct git_range *range, const struct err *err, void *arg)
{
    struct round *round = arg;

    (void)err; /* who made it is not known then */
    round->earlier_complete = range && range->complete;
    for (size_t i = 0; range && i < range->people.count; i++)
        strv_add(&round->earlier, range->people.items[i]);
    ask_range(round);
}

static void ask_earlier(struct round *round)
{
    strv_release(&round->earlier);
    if (!round->current->looked)
        ask_range(round);
    else if (git_mirror_range(round->remote->mirror, "", round->current->before, on_earlier, round,
                              NULL) != 0)
        on_earlier(NULL, NULL, round);
}

static void on_paths(const struct git_paths *paths, void *arg)
{
    struct round *round = arg;

    round->paths.complete = paths && paths->complete;
    for (size_t i = 0; paths && i < paths->paths.count; i++)
        strv_add(&round->paths.paths, paths->paths.items[i]);
    ask_earlier(round);
}

static void on_updated(const struct err *err, void *arg)
{
    struct round *round = arg;
    bool wanted = false;

    if (err) {
        on_range(NULL, err, round);
        return;
    }
    for (size_t i = round->next; i < round->move_count; i++)
        wanted = wanted || (!round->moves[i].done && round->moves[i].wants_paths &&
                            same_pair(&round->moves[i], round->current));
    strv_release(&round->paths.paths);
    if (!wanted)
        ask_earlier(round);
    else if (git_mirror_paths(round->remote->mirror, round->current->before, round->current->after,
                              on_paths, round, NULL) != 0)
        on_paths(NULL, round);
}

static void on_looked_updated(const struct err *err, void *arg)
{
    struct round *round = arg;
    struct err failed;

    (void)err; /* it may be gone from the remote */
    if (git_mirror_update(round->remote->mirror, &round->git, round->current->after, on_updated,
                          round, &failed) != 0)
        on_range(NULL, &failed, round);
}

static void next_pair(struct round *round)
{
    while (round->next < round->move_count && round->moves[round->next].done)
        round->next++;
    if (round->next == round->move_count) {
        round->current = NULL;
        round->asked_all = true;
        finish_if_done(round);
        return;
    }
    round->current = &round->moves[round->next];
    if (!round->current->looked ||
        git_mirror_update(round->remote->mirror, &round->git, round->current->before,
                          on_looked_updated, round, NULL) != 0)
        on_looked_updated(NULL, round);
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
    for (size_t i = 0; i < remote->member_count; i++) {
        remote->members[i]->passed = remote->members[i]->asked = false;
        round->kinds |= kinds_of(remote->members[i]->source);
    }
    if (remote_fill(remote, &round->git, &round->secret, &round->err) != 0 ||
        git_ls_remote(round->watcher->svc->loop, &round->git, round->kinds, on_refs, round,
                      &round->err) != 0)
        loop_post(round->watcher->svc->loop, finish, round);
}
