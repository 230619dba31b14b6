#include "random.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

/* splitmix64: the same on every machine. */
static uint64_t next(struct random *r)
{
    uint64_t z = r->x += 0x9e3779b97f4a7c15ULL;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

static unsigned pick(struct random *r, size_t count)
{
    return (unsigned)(next(r) % count);
}

/* Those with gates of which little is heard more than once. */
static const char *const definitions[] = {
    "simple",         "queue",         "gate",           "gate-queue",
    "two-gates",      "author",        "careful",        "steps",
    "inside",         "beside",        "two-votes",      "starter",
    "lost",           "longer",        "vars",           "two-sources",
    "parallel",       "soak",          "window",         "manual-queue",
    "manual",         "check",         "check-approval", "window-approval",
    "rejects",        "eyes",          "again",          "back",
    "paths",          "late",          "all-gates",      "careful-window",
    "canary",         "refs",          "all-gates",      "check",
    "check-approval", "soak",          "batch",          "batch-beside",
    "batch",          "batch-parallel"};
static const char *const people[] = {"ann",          "bob",     "eve",   "finn", "qa-carl",
                                     "release-dora", "no-mail", "guest", "zoe"};
static const char *const stages[] = {"build", "dev", "staging", "prod"};
#define PICK(r, list) (list)[pick((r), sizeof(list) / sizeof(*(list)))]

static void known_release(struct random_known *k)
{
    strv_release(&k->runs);
    strv_release(&k->plans);
    strv_release(&k->approvals);
    strv_release(&k->closed);
    strv_release(&k->failed);
    strv_release(&k->succeeded);
    strv_release(&k->waiting);
    strv_release(&k->held);
}

static void take_out(struct strv *list, const char *item)
{
    struct strv rest = {0};
    for (size_t i = 0; i < list->count; i++) {
        if (!str_eq(list->items[i], item))
            strv_add(&rest, list->items[i]);
    }
    strv_release(list);
    *list = rest;
}

static void move_out(struct strv *list, struct strv *to, uint64_t release, const char *stage,
                     const char *name)
{
    char *key = mem_printf("%" PRIu64 " %s/%s", release, stage, name);
    take_out(list, key);
    if (to)
        strv_add(to, key);
    free(key);
}

/* The last few are enough. */
static void keep_last(struct strv *list, size_t most)
{
    while (list->count > most) {
        free(list->items[0]);
        memmove(list->items, list->items + 1, --list->count * sizeof(*list->items));
    }
}

static void learn_waiting(struct random_known *k, const Gantry__V1__StageWaiting *m)
{
    strv_addf(&k->waiting, "%" PRIu64 " %s", m->release, m->stage);
    keep_last(&k->waiting, 10);
    for (size_t i = 0; i < m->n_held_by; i++) {
        const char *colon = strchr(m->held_by[i], ':');
        int len = colon ? (int)(colon - m->held_by[i]) : (int)strlen(m->held_by[i]);
        strv_addf(&k->held, "%" PRIu64 " %s %.*s", m->release, m->stage, len, m->held_by[i]);
    }
    keep_last(&k->held, 30);
}

static void learn(struct random_known *k, const Gantry__V1__Change *change)
{
    switch ((int)change->what_case) {
    case GANTRY__V1__CHANGE__WHAT_RELEASE_STARTED:
        k->newest = change->release_started->release;
        break;
    case GANTRY__V1__CHANGE__WHAT_ACTION_REQUESTED: {
        const Gantry__V1__ActionRequest *m = change->action_requested->request;
        if (m->kind != GANTRY__V1__ACTION_KIND__ACTION_KIND_APPROVAL)
            strv_addf(&k->runs, "%" PRIu64 " %s/%s", m->release, m->stage, m->action);
        if (m->kind == GANTRY__V1__ACTION_KIND__ACTION_KIND_BUILD && m->build->batch)
            strv_addf(&k->plans, "%" PRIu64 " %s/%s", m->release, m->stage, m->action);
        break;
    }
    case GANTRY__V1__CHANGE__WHAT_BATCH_PLANNED: {
        const Gantry__V1__BatchPlanned *m = change->batch_planned;
        move_out(&k->plans, NULL, m->release, m->stage, m->action);
        move_out(&k->runs, &k->closed, m->release, m->stage, m->action);
        break;
    }
    case GANTRY__V1__CHANGE__WHAT_CHECK_ASKED: {
        const Gantry__V1__ActionRequest *m = change->check_asked->request;
        strv_addf(&k->runs, "%" PRIu64 " %s/%s", m->release, m->stage, m->action);
        break;
    }
    case GANTRY__V1__CHANGE__WHAT_CHECK_ANSWERED: {
        const Gantry__V1__CheckAnswered *m = change->check_answered;
        move_out(&k->runs, m->withdrawn ? NULL : &k->closed, m->release, m->stage, m->gate);
        break;
    }
    case GANTRY__V1__CHANGE__WHAT_STAGE_WAITING: {
        const Gantry__V1__StageWaiting *m = change->stage_waiting;
        learn_waiting(k, m);
        break;
    }
    case GANTRY__V1__CHANGE__WHAT_ACTION_ENDED: {
        const Gantry__V1__ActionEnded *m = change->action_ended;
        bool asked = m->kind != GANTRY__V1__ACTION_KIND__ACTION_KIND_APPROVAL && k->runs.count;
        move_out(&k->plans, NULL, m->release, m->stage, m->action);
        if (asked)
            move_out(&k->runs, m->finished ? &k->closed : NULL, m->release, m->stage, m->action);
        break;
    }
    case GANTRY__V1__CHANGE__WHAT_APPROVAL_OPENED: {
        const Gantry__V1__ApprovalRequest *m = change->approval_opened->approval;
        strv_addf(&k->approvals, "%" PRIu64 " %s/%s", m->release, m->stage, m->gate);
        break;
    }
    case GANTRY__V1__CHANGE__WHAT_APPROVAL_CLOSED: {
        const Gantry__V1__ApprovalRequest *m = change->approval_closed->approval;
        move_out(&k->approvals, NULL, m->release, m->stage, m->gate);
        if (m->outcome == GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_REJECTED)
            strv_addf(&k->failed, "%" PRIu64 " %s", m->release, m->stage);
        break;
    }
    case GANTRY__V1__CHANGE__WHAT_STAGE_ENDED: {
        const Gantry__V1__StageEnded *m = change->stage_ended;
        if (m->status == GANTRY__V1__STATUS__STATUS_SUCCEEDED)
            strv_addf(&k->succeeded, "%s %" PRIu64, m->stage, m->release);
        else
            strv_addf(&k->failed, "%" PRIu64 " %s", m->release, m->stage);
        break;
    }
    default:
        break;
    }
}

void random_note(const Gantry__V1__Decision *decision, void *arg)
{
    struct random_history *history = arg;
    coverage_decision(history->coverage, decision);
    for (size_t i = 0; i < decision->n_changes; i++)
        learn(&history->known, decision->changes[i]);
}

/* Mostly one of the last few. */
static const char *recent(struct random *r, const struct strv *keys)
{
    if (!keys->count)
        return NULL;
    size_t span = keys->count < 4 || pick(r, 8) == 0 ? keys->count : 4;
    return keys->items[keys->count - 1 - pick(r, span)];
}

/* Whatever a buildspec may say, and now and then what none may. */
static char *random_plan(struct random *r, const char *key)
{
    static const char *const builds[] = {"a b c", "a b>a c>b",   "a! b>a c",    "a b! c>a,b",
                                         "a",     "a! b!",       "a b c d>a,b", "a b>a c>a",
                                         "b>a a", "a! b>a c>b d"};
    static const char *const wrong[] = {"", "a b>c", "a b>a a", "a>b b>a", "a>a", "a/b"};
    return mem_printf("plan %s %s%s", key, pick(r, 3) ? "" : "fast=1 ",
                      pick(r, 30) ? PICK(r, builds) : PICK(r, wrong));
}

static char *random_result(struct random *r, const struct random_known *k)
{
    const char *key = recent(r, pick(r, 12) ? &k->runs : &k->closed);
    if (!key)
        return NULL;
    if (strv_has(&k->plans, key) && pick(r, 6))
        return random_plan(r, key);
    switch (pick(r, 30)) {
    case 0:
    case 1:
        return mem_printf("started %s attempt=%u", key, 1 + pick(r, 3));
    case 2:
        return mem_printf("progress %s", key);
    case 3:
    case 4:
        return mem_printf("fail %s exit 1", key);
    case 5:
    case 6:
        return mem_printf("lost %s", key);
    case 7:
        return mem_printf("stopped %s", key);
    case 8:
        return mem_printf("ok %s %s=1", key, pick(r, 3) ? "no-image" : "other-image");
    default:
        return mem_printf("ok %s VERSION=%u", key, pick(r, 100));
    }
}

static char *random_vote(struct random *r, const struct random_known *k)
{
    const char *key = recent(r, &k->approvals);
    if (!key)
        return NULL;
    if (pick(r, 15) == 0)
        return mem_printf("reject %s %s no", key, PICK(r, people));
    if (pick(r, 20) == 0)
        return mem_printf("approve %s %s digest=sha256:00", key, PICK(r, people));
    return mem_printf("approve %s %s", key, PICK(r, people));
}

static char *random_command(struct random *r, const struct random_known *k)
{
    uint64_t back = pick(r, 5), release = k->newest + 1 > back ? k->newest + 1 - back : 1;
    const char *failed = recent(r, &k->failed), *succeeded = recent(r, &k->succeeded);
    switch (pick(r, 14)) {
    case 0:
        return mem_printf("start by=%s", PICK(r, people));
    case 1:
        return mem_printf("start commit=%04x by=%s", pick(r, 50), PICK(r, people));
    case 2:
        return mem_strdup(pick(r, 2) ? "start LEVEL=debug" : "unknown-definition");
    case 3:
    case 4:
        return mem_printf("stop %" PRIu64 " %s", release, pick(r, 3) ? "wait" : "abandon");
    case 5:
        return mem_printf("retry %" PRIu64 " %s", release, PICK(r, stages));
    case 6:
    case 7:
    case 8:
    case 9:
        return failed ? mem_printf("retry %s%s", failed, pick(r, 3) ? "" : " all") : NULL;
    case 10:
        return mem_printf("rollback %s %" PRIu64, PICK(r, stages), release);
    default:
        return succeeded && !str_starts(succeeded, "build") ? mem_printf("rollback %s", succeeded)
                                                            : NULL;
    }
}

/* Commands about the ways between stages. */
static char *random_steering(struct random *r, const struct random_known *k)
{
    const char *waiting = recent(r, &k->waiting), *held = recent(r, &k->held);
    switch (pick(r, 13)) {
    case 0:
        return pick(r, 2) ? mem_printf("disable %s storm", PICK(r, stages)) : NULL;
    case 1:
    case 2:
        return mem_printf("enable %s", PICK(r, stages));
    case 3:
    case 4:
    case 5:
        return waiting ? mem_printf("promote %s", waiting) : NULL;
    case 6:
    case 7:
    case 8:
        return held ? mem_printf("override %s %s", held, pick(r, 8) ? "urgent" : "") : NULL;
    case 9:
        return mem_printf("pin %s", stages[1 + pick(r, 3)]);
    case 10:
        return mem_printf("pin %s digest=%u/image", stages[1 + pick(r, 3)], 1 + pick(r, 30));
    default:
        return mem_printf("unpin %s", stages[1 + pick(r, 3)]);
    }
}

/* What the promoter sees by itself. */
static char *random_sight(struct random *r, const struct random_known *k)
{
    static const char *const windows[] = {"daily 00:00-24:00 UTC", "Mon-Fri 08:00-17:00 Asia/Tokyo",
                                          "2023-11-14 - 2023-11-20 UTC"};
    const char *run = recent(r, pick(r, 12) ? &k->runs : &k->closed);
    switch (pick(r, 5)) {
    case 0:
        return mem_printf("freeze %s %s", stages[1 + pick(r, 3)], PICK(r, windows));
    case 1:
    case 2:
        return mem_printf("thaw %s", stages[1 + pick(r, 3)]);
    default:
        return run ? mem_printf("silent %s %s", run, pick(r, 3) ? "2m" : "20m") : NULL;
    }
}

static char *random_input(struct random *r, const struct random_known *k)
{
    static const char *const refs[] = {"branch=main",      "branch=main",  "branch=main",
                                       "branch=release/1", "branch=topic", "tag=v1",
                                       "tag=w2",           "pull=7"};
    static const char *const paths[] = {"", "", " paths=docs/a.md", " paths=src/a.c", " skip=1"};
    static const char *const durations[] = {"1m", "5m", "20m", "1h", "2d", "40d"};
    unsigned kind = pick(r, 1000);
    if (kind < 570)
        return random_result(r, k);
    if (kind < 660)
        return mem_printf("push %04x %s source=%s people=%s@x,%s@x pusher=%s%s", pick(r, 5000),
                          PICK(r, refs), pick(r, 8) ? "app" : "conf", PICK(r, people),
                          PICK(r, people), PICK(r, people), PICK(r, paths));
    if (kind < 770)
        return random_vote(r, k);
    if (kind < 840)
        return random_command(r, k);
    if (kind < 920)
        return random_steering(r, k);
    if (kind < 930)
        return random_sight(r, k);
    if (kind < 960)
        return mem_printf("pass %s", durations[pick(r, pick(r, 5) ? 3 : 6)]);
    if (kind < 968)
        return mem_printf("define %s", PICK(r, definitions));
    if (kind < 969)
        return mem_strdup("delete");
    if (kind < 975)
        return mem_printf("environment %s %s", stages[1 + pick(r, 3)],
                          pick(r, 4) ? "command" : "gone");
    return mem_strdup("again");
}

void random_begin(struct random_history *history, uint64_t seed, struct coverage *coverage)
{
    *history = (struct random_history){.random = {seed}, .coverage = coverage};
}

void random_end(struct random_history *history)
{
    known_release(&history->known);
}

char *random_line(struct random_history *history)
{
    char *line = NULL;
    if (!history->begun) {
        history->begun = true;
        line = mem_printf("define %s", PICK(&history->random, definitions));
    }
    while (!line)
        line = random_input(&history->random, &history->known);
    coverage_input(history->coverage, line);
    return line;
}
