#include "remotes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "log/log.h"
#include "secret/secret.h"

#define BACKOFF_FIRST_MS 2000
#define BACKOFF_MAX_MS   (5 * 60 * 1000)
#define SPREAD_MS        300 /* over which first polls are spread */
#define CONFIRM_MS       3000
#define HINTS_MAX        256 /* that wait for one remote */
#define HINT_SLOTS       2   /* beside git-processes, so that hanging polls hold up no push */

struct remotes {
    struct watcher *watcher;
    struct remote **items;
    size_t count;
    unsigned running;
    struct loop_timer *timer;
    struct metric *polls_ok, *polls_failed, *failing, *total;
    void (*stopped)(void *arg);
    void *stopped_arg;
};

static void on_timer(void *arg)
{
    remotes_plan(arg);
}

struct remotes *remotes_new(struct watcher *watcher)
{
    static const char help[] = "Times that a remote was asked for its branches.";
    struct remotes *remotes = mem_alloc(sizeof(*remotes));
    struct metrics *m = watcher->svc->metrics;

    remotes->watcher = watcher;
    remotes->timer = loop_timer_new(watcher->svc->loop, on_timer, remotes);
    remotes->polls_ok = metrics_counter(m, "gantry_source_polls_total", "outcome=\"ok\"", help);
    remotes->polls_failed =
        metrics_counter(m, "gantry_source_polls_total", "outcome=\"failed\"", help);
    remotes->failing = metrics_gauge(m, "gantry_source_remotes_failing", NULL,
                                     "Remotes that could not be asked the last time.");
    remotes->total =
        metrics_gauge(m, "gantry_source_remotes", NULL, "Remotes that pipelines name.");
    return remotes;
}

struct watcher *remote_watcher(const struct remote *remote)
{
    return remote->remotes->watcher;
}

/* ---- one remote ---- */

static void hints_end(struct hint *hints, const struct err *err)
{
    while (hints) {
        struct hint *next = hints->next;
        if (hints->done)
            hints->done(err, hints->arg);
        free(hints);
        hints = next;
    }
}

/* Who waits is told; what was pushed is for the next round: a tag that is not known as pushed might
 * be taken for one that always was there. */
static void hints_keep(struct remote *remote, struct hint *hints, const struct err *err)
{
    struct hint **end = &hints;

    for (struct hint *hint = hints; hint; hint = hint->next) {
        if (hint->done)
            hint->done(err, hint->arg);
        hint->done = NULL;
    }
    for (size_t count = 0; *end && count < HINTS_MAX / 2; count++)
        end = &(*end)->next;
    hints_end(*end, err);
    *end = remote->hints;
    remote->hints = hints;
}

static void remote_free(struct remote *remote)
{
    struct err err;

    git_mirror_free(remote->mirror);
    err_set(&err, ERR_UNAVAILABLE, "'%s' is followed no more", remote->url);
    hints_end(remote->hints, &err);
    hints_end(remote->asked, &err);
    free(remote->suspects);
    free(remote->members);
    free(remote->url);
    free(remote->credentials);
    free(remote->identity);
    free(remote);
}

void remotes_free(struct remotes *remotes)
{
    if (!remotes)
        return;
    for (size_t i = 0; i < remotes->count; i++)
        remote_free(remotes->items[i]);
    free(remotes->items);
    loop_timer_free(remotes->timer);
    free(remotes);
}

static struct remote *find(const struct remotes *remotes, const char *url, const char *credentials)
{
    for (size_t i = 0; i < remotes->count; i++) {
        if (str_eq(remotes->items[i]->url, url) &&
            str_eq(remotes->items[i]->credentials, credentials))
            return remotes->items[i];
    }
    return NULL;
}

/* Mirrors of different credentials are apart: one may not read through another's. */
static struct git_mirror *make_mirror(const struct watcher *watcher, const struct remote *remote)
{
    const char *name = remote->credentials ? remote->credentials : "";
    char hash[SHA256_HEX_SIZE];
    char *dir;
    struct git_mirror *mirror;

    sha256_hex(name, strlen(name), hash);
    dir = mem_printf("%s/mirrors/%.16s", watcher->state_dir, hash);
    mirror = git_mirror_new(watcher->svc->loop, dir, remote->url);
    free(dir);
    return mirror;
}

static struct remote *add(struct remotes *remotes, const char *url, const char *credentials)
{
    struct remote *remote = mem_alloc(sizeof(*remote));

    remote->remotes = remotes;
    remote->url = mem_strdup(url);
    remote->credentials = mem_strdup(credentials);
    remote->identity = git_url_identity(url);
    remote->due_ms = INT64_MAX;
    remote->mirror = make_mirror(remotes->watcher, remote);
    remotes->items = mem_realloc(remotes->items, remotes->count + 1, sizeof(*remotes->items));
    remotes->items[remotes->count++] = remote;
    metric_set(remotes->total, (double)remotes->count);
    return remote;
}

static void show_failing(struct remotes *remotes)
{
    char text[ERR_MSG_MAX + 128];
    const struct remote *shown = NULL;
    size_t failing = 0;

    for (size_t i = 0; i < remotes->count; i++) {
        if (remotes->items[i]->failures > 0) {
            shown = remotes->items[i];
            failing++;
        }
    }
    metric_set(remotes->failing, (double)failing);
    if (failing > 0)
        snprintf(text, sizeof(text), "%zu of %zu remotes cannot be asked, and are tried again: %s",
                 failing, remotes->count, shown->failure);
    svc_note(remotes->watcher->svc, "remotes", failing > 0 ? text : NULL);
}

static void remove_if_unused(struct remotes *remotes, struct remote *remote)
{
    if (remote->member_count > 0 || remote->round)
        return;
    for (size_t i = 0; i < remotes->count; i++) {
        if (remotes->items[i] == remote)
            remotes->items[i] = remotes->items[--remotes->count];
    }
    metric_set(remotes->total, (double)remotes->count);
    show_failing(remotes);
    remote_free(remote);
}

void remotes_attach(struct remotes *remotes, struct watched *watched)
{
    const struct def_source *source = watched->source;
    struct remote *remote = find(remotes, source->git, source->credentials);

    if (!remote)
        remote = add(remotes, source->git, source->credentials);
    remote->members =
        mem_realloc(remote->members, remote->member_count + 1, sizeof(struct watched *));
    remote->members[remote->member_count++] = watched;
    watched->remote = remote;
    remotes_plan(remotes);
}

void remotes_detach(struct remotes *remotes, struct watched *watched)
{
    struct remote *remote = watched->remote;

    for (size_t i = 0; i < remote->member_count; i++) {
        if (remote->members[i] == watched)
            remote->members[i] = remote->members[--remote->member_count];
    }
    remove_if_unused(remotes, remote);
}

int remote_fill(const struct remote *remote, struct git_remote *out, struct buf *secret,
                struct err *err)
{
    const struct watcher *watcher = remote_watcher(remote);

    *out = (struct git_remote){
        .url = remote->url,
        .timeout_ms = watcher->conf->git_timeout_ms,
        .ssh_dir = watcher->state_dir,
        .ca_file = watcher->svc->conf.git_ca,
        .trust_owner = watcher->conf->trust_file_owner,
    };
    if (git_url_check(remote->url, err) != 0)
        return -1;
    if (!remote->credentials)
        return 0;
    if (secret_read(secret, watcher->svc->conf.secrets_dir, remote->credentials, err) != 0)
        return err_wrap(err, "'%s'", remote->url);
    out->secret = buf_cstr(secret);
    out->secret_len = secret->len;
    return 0;
}

void remote_suspect(struct remote *remote, const char *ref, const char *after)
{
    remote->suspects =
        mem_realloc(remote->suspects, remote->suspect_count + 1, sizeof(*remote->suspects));
    struct suspect *suspect = &remote->suspects[remote->suspect_count++];
    snprintf(suspect->ref, sizeof(suspect->ref), "%s", ref);
    snprintf(suspect->after, sizeof(suspect->after), "%s", after);
}

/* ---- when ---- */

/* 0.9 to 1.1 of it, so that what started together does not stay together. */
static int64_t jitter(int64_t ms)
{
    uint16_t random;

    random_bytes(&random, sizeof(random));
    return ms - ms / 10 + ms * random / (5 * 65536);
}

static int64_t backoff(unsigned failures)
{
    int64_t ms = BACKOFF_FIRST_MS;

    while (--failures > 0 && ms < BACKOFF_MAX_MS)
        ms *= 2;
    return jitter(ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS);
}

/* The shortest interval of those whose partition is ours; INT64_MAX: none polls. */
static int64_t interval(const struct remote *remote, bool *fresh)
{
    const struct watcher *watcher = remote_watcher(remote);
    int64_t shortest = INT64_MAX;

    *fresh = false;
    for (size_t i = 0; i < remote->member_count; i++) {
        const struct watched *watched = remote->members[i];
        if (!watcher->owned[watched->partition])
            continue;
        *fresh = *fresh || watched->fresh;
        if (watched->source->poll_ms > 0 && watched->source->poll_ms < shortest)
            shortest = watched->source->poll_ms;
    }
    return shortest;
}

/* When nothing was planned yet, or something came that wants it sooner. */
static void plan(struct remote *remote, int64_t now)
{
    bool fresh;
    const int64_t every = interval(remote, &fresh);
    int64_t due = INT64_MAX;

    /* A remote that fails is tried again at its own pace, not sooner. */
    if (remote->hinted || remote->failures > 0)
        return;
    if (fresh)
        due = now + jitter(SPREAD_MS) - SPREAD_MS * 9 / 10;
    else if (every != INT64_MAX)
        due = remote->ended_ms + jitter(every);
    if (fresh ? due < remote->due_ms : remote->due_ms == INT64_MAX || due == INT64_MAX)
        remote->due_ms = due;
}

static struct remote *next_due(const struct remotes *remotes)
{
    struct remote *first = NULL;

    for (size_t i = 0; i < remotes->count; i++) {
        struct remote *remote = remotes->items[i];
        if (!remote->round && remote->due_ms != INT64_MAX &&
            (!first || remote->due_ms < first->due_ms))
            first = remote;
    }
    return first;
}

void remotes_plan(struct remotes *remotes)
{
    const struct watcher *watcher = remotes->watcher;
    const int64_t now = clock_mono_ms();
    struct remote *remote;

    if (!watcher->caught_up || watcher->stopping)
        return;
    for (size_t i = 0; i < remotes->count; i++) {
        if (!remotes->items[i]->round)
            plan(remotes->items[i], now);
    }
    while ((remote = next_due(remotes)) && remote->due_ms <= now) {
        const int64_t slots = watcher->conf->git_processes + (remote->hints ? HINT_SLOTS : 0);
        if (remotes->running >= slots)
            return; /* the end of a round looks again */
        remotes->running++;
        remote->asked = remote->hints;
        remote->hints = NULL;
        round_begin(remote);
    }
    if (remote)
        loop_timer_arm(remotes->timer, remote->due_ms - now);
    else
        loop_timer_cancel(remotes->timer);
}

/* ---- rounds ---- */

static void count_failure(struct remote *remote, const struct err *err)
{
    if (remote->failures++ == 0)
        log_warn("remote cannot be asked; it is tried again", LOG_S("url", remote->url),
                 LOG_I("pipelines", remote->member_count), LOG_E(err));
    snprintf(remote->failure, sizeof(remote->failure), "%s", err->msg);
    remote->due_ms = clock_mono_ms() + backoff(remote->failures);
}

static void count_success(struct remote *remote)
{
    if (remote->failures > 0)
        log_info("remote answers again", LOG_S("url", remote->url),
                 LOG_I("failures", remote->failures));
    remote->failures = 0;
    remote->hinted = remote->hints != NULL;
    remote->due_ms = INT64_MAX;
    if (remote->hints || remote->again)
        remote->due_ms = clock_mono_ms();
    else if (remote->suspect_count > 0)
        remote->due_ms = clock_mono_ms() + CONFIRM_MS;
}

void remote_round_ended(struct remote *remote, const struct err *err)
{
    struct remotes *remotes = remote->remotes;
    struct hint *asked = remote->asked;
    const bool was_failing = remote->failures > 0;

    remote->round = NULL;
    remote->asked = NULL;
    remote->ended_ms = clock_mono_ms();
    remotes->running--;
    metric_add(err ? remotes->polls_failed : remotes->polls_ok, 1);
    if (err)
        count_failure(remote, err);
    else
        count_success(remote);
    remote->again = false;
    if (was_failing || err)
        show_failing(remotes);
    if (err)
        hints_keep(remote, asked, err);
    else
        hints_end(asked, NULL);
    remove_if_unused(remotes, remote);
    if (remotes->watcher->stopping && remotes->running == 0 && remotes->stopped)
        remotes->stopped(remotes->stopped_arg);
    else
        remotes_plan(remotes);
}

void remotes_stop(struct remotes *remotes, void (*done)(void *arg), void *arg)
{
    loop_timer_cancel(remotes->timer);
    remotes->stopped = done;
    remotes->stopped_arg = arg;
    if (remotes->running == 0)
        done(arg);
}

/* ---- webhooks ---- */

void remotes_match(struct remotes *remotes, const struct strv *identities,
                   void (*fn)(struct remote *remote, bool exact, void *arg), void *arg)
{
    for (size_t i = 0; i < remotes->count; i++) {
        const char *own = remotes->items[i]->identity;
        bool exact = false, close = false;
        for (size_t j = 0; own && j < identities->count; j++) {
            exact = exact || strcmp(own, identities->items[j]) == 0;
            close = close || strcasecmp(own, identities->items[j]) == 0;
        }
        if (close)
            fn(remotes->items[i], exact, arg);
    }
}

void remote_hint(struct remote *remote, const struct push *push,
                 void (*done)(const struct err *err, void *arg), void *arg)
{
    struct hint *hint = mem_alloc(sizeof(*hint));
    struct hint **end = &remote->hints;
    size_t count = 0;

    for (; *end; end = &(*end)->next)
        count++;
    snprintf(hint->ref, sizeof(hint->ref), "%s", push->ref);
    snprintf(hint->after, sizeof(hint->after), "%s", push->after);
    snprintf(hint->pusher, sizeof(hint->pusher), "%s", push->pusher);
    hint->done = done;
    hint->arg = arg;
    if (count < HINTS_MAX) {
        *end = hint;
    } else {
        /* The round that comes asks for all branches anyway; only who pushed is lost. */
        struct err err;
        err_set(&err, ERR_LIMIT, "too many pushes wait for '%s' to be asked", remote->url);
        if (done)
            done(&err, arg);
        free(hint);
    }
    remote->hinted = true;
    remote->due_ms = 0;
    remotes_plan(remote->remotes);
}

static void forget(struct hint *hint, const void *arg)
{
    for (; hint; hint = hint->next) {
        if (hint->arg == arg)
            hint->done = NULL;
    }
}

void remotes_forget(struct remotes *remotes, const void *arg)
{
    for (size_t i = 0; i < remotes->count; i++) {
        forget(remotes->items[i]->hints, arg);
        forget(remotes->items[i]->asked, arg);
    }
}
