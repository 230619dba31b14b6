/* Outcomes of then and of the new run, release by release and stage by stage. Times are compared to
 * the minute: an answer's own latency is nobody's policy. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "services/cli/policy.h"

#define SAME_TIME_MS 60000

struct diff {
    const struct policy_history *history;
    const struct policy_result *result;
    json_t *rows;
};

struct pair {
    const struct outcome *then, *would;
};

static const char *status_text(int status)
{
    static const char *const texts[] = {"under way",  "waiting", "in progress",
                                        "succeeded",  "failed",  "stopped",
                                        "superseded", "skipped", "abandoned"};

    return status >= 0 && (size_t)status < sizeof texts / sizeof texts[0] ? texts[status] : "ended";
}

static void row(struct diff *diff, const struct pair *pair, const char *stage, const char *what,
                const char *then, const char *would, const char *because)
{
    json_array_append_new(
        diff->rows, json_pack("{s:I, s:I, s:s, s:s, s:s, s:s, s:s, s:s}", "release",
                              (json_int_t)(pair->then ? pair->then->release : 0), "wouldBe",
                              (json_int_t)(pair->would ? pair->would->release : 0), "commit",
                              pair->then ? pair->then->commit : pair->would->commit, "stage", stage,
                              "what", what, "then", then, "would", would, "because", because));
}

/* ---- a stage ---- */

/* A release of the new run by the number that people know. */
static char *known(const struct diff *diff, uint64_t release)
{
    uint64_t then = policy_number(diff->result->then_of, release);

    return then ? mem_printf("release %" PRIu64, then)
                : mem_printf("a release that did not start then");
}

/* What held it, in words. The caller frees. */
static char *held_text(const struct diff *diff, const struct outcome_stage *stage, bool is_new)
{
    struct buf text;

    buf_init(&text, 4096);
    for (size_t i = 0; stage && i < stage->held_by.count; i++) {
        const char *by = stage->held_by.items[i], *colon = strchr(by, ':');
        uint64_t release;

        buf_adds(&text, i ? ", " : "");
        if (colon && str_to_u64(colon + 1, &release) == 0) {
            char *name = is_new ? known(diff, release) : mem_printf("release %" PRIu64, release);

            buf_addf(&text, "%.*s %s", (int)(colon - by), by, name);
            free(name);
        } else {
            buf_adds(&text, by);
        }
    }
    return buf_detach(&text);
}

/* What became of a release that did not enter the stage. The caller frees both. */
static char *not_entered(const struct diff *diff, const struct outcome *outcome,
                         const struct outcome_stage *stage, bool is_new, char **because)
{
    *because = NULL;
    if (outcome->status == GANTRY__V1__STATUS__STATUS_SUPERSEDED) {
        char *by = is_new ? known(diff, outcome->superseded_by)
                          : mem_printf("release %" PRIu64, outcome->superseded_by);
        char *text = mem_printf("superseded by %s", by);

        free(by);
        *because = held_text(diff, stage, is_new);
        return text;
    }
    if (!stage || !stage->waiting_ms) {
        *because = mem_strdup(outcome->reason ? outcome->reason : "");
        return mem_printf("did not get there: %s", status_text(outcome->status));
    }
    if (outcome->status) {
        *because = mem_strdup(outcome->reason ? outcome->reason : "");
        return mem_strdup(status_text(outcome->status));
    }
    *because = held_text(diff, stage, is_new);
    return mem_strdup("waiting still");
}

static void entered_text(int64_t time_ms, char out[80])
{
    char time[CLOCK_RFC3339_SIZE];

    clock_rfc3339(time_ms, time);
    snprintf(out, 80, "entered %.16sZ", time);
}

static void both_entered(struct diff *diff, const struct pair *pair,
                         const struct outcome_stage *then, const struct outcome_stage *would)
{
    int64_t later_ms = would->entered_ms - then->entered_ms;
    char before[80], after[80], by[32], text[160];

    if (later_ms > -SAME_TIME_MS && later_ms < SAME_TIME_MS) {
        if (then->status != would->status)
            row(diff, pair, then->name, "ended", status_text(then->status),
                status_text(would->status), would->reason ? would->reason : "");
        return;
    }
    char *held = held_text(diff, would, true);

    entered_text(then->entered_ms, before);
    entered_text(would->entered_ms, after);
    clock_human(later_ms < 0 ? -later_ms : later_ms, by);
    snprintf(text, sizeof text, "%s, %s %s", after, by, later_ms < 0 ? "sooner" : "later");
    row(diff, pair, then->name, "entered", before, text, held);
    free(held);
}

static bool has_stage(const struct diff *diff, const char *name)
{
    /* A stage that no release of the new run ever stood before is not in its definition. */
    for (size_t i = 0; i < diff->result->would.items.count; i++)
        if (outcome_stage(diff->result->would.items.items[i], name))
            return true;
    return false;
}

static void only_then(struct diff *diff, const struct pair *pair, const struct outcome_stage *then,
                      const struct outcome_stage *would)
{
    char before[80], *because, *text;

    entered_text(then->entered_ms, before);
    text = not_entered(diff, pair->would, would, true, &because);
    if (!would && pair->would->status == GANTRY__V1__STATUS__STATUS_SUCCEEDED &&
        !has_stage(diff, then->name))
        row(diff, pair, then->name, "entered", before, "no such stage", "");
    else
        row(diff, pair, then->name, "entered", before, text, because);
    free(text);
    free(because);
}

static void only_would(struct diff *diff, const struct pair *pair, const struct outcome_stage *then,
                       const struct outcome_stage *would)
{
    char after[80], *because, *text, *held = held_text(diff, would, true);

    entered_text(would->entered_ms, after);
    text = not_entered(diff, pair->then, then, false, &because);
    row(diff, pair, would->name, "entered", text, after, *held ? held : because);
    free(text);
    free(because);
    free(held);
}

static void compare_stage(struct diff *diff, const struct pair *pair, const char *name)
{
    const struct outcome_stage *then = outcome_stage(pair->then, name);
    const struct outcome_stage *would = outcome_stage(pair->would, name);
    bool entered_then = then && then->entered_ms, entered = would && would->entered_ms;

    if (entered_then && entered)
        both_entered(diff, pair, then, would);
    else if (entered_then)
        only_then(diff, pair, then, would);
    else if (entered)
        only_would(diff, pair, then, would);
}

/* ---- votes ---- */

static const struct outcome_vote *find_vote(const struct outcome *outcome, const char *ce_id)
{
    for (size_t i = 0; i < outcome->votes.count; i++) {
        const struct outcome_vote *vote = outcome->votes.items[i];

        if (str_eq(vote->ce_id, ce_id))
            return vote;
    }
    return NULL;
}

static void compare_vote(struct diff *diff, const struct pair *pair,
                         const struct outcome_vote *then)
{
    const struct outcome_vote *would = find_vote(pair->would, then->ce_id);
    const struct outcome_stage *stage = outcome_stage(pair->would, then->stage);
    char *what = mem_printf("%s by %s", then->approve ? "approval" : "rejection", then->who);

    if (would && would->counted != then->counted)
        row(diff, pair, then->stage, what, then->counted ? "counted" : "did not count",
            would->counted ? "counts" : "does not count",
            would->counted ? then->reason : would->reason);
    else if (!would && then->counted && stage)
        row(diff, pair, then->stage, what, "counted", "is not asked for", "");
    free(what);
}

/* ---- a release ---- */

static void compare(struct diff *diff, const struct pair *pair)
{
    size_t before = json_array_size(diff->rows);

    for (size_t i = 0; i < pair->then->votes.count; i++)
        compare_vote(diff, pair, pair->then->votes.items[i]);
    for (size_t i = 0; i < pair->then->stages.count; i++)
        compare_stage(diff, pair, ((struct outcome_stage *)pair->then->stages.items[i])->name);
    for (size_t i = 0; i < pair->would->stages.count; i++) {
        const char *name = ((struct outcome_stage *)pair->would->stages.items[i])->name;

        if (!outcome_stage(pair->then, name))
            compare_stage(diff, pair, name);
    }
    if (json_array_size(diff->rows) == before && pair->then->status != pair->would->status)
        row(diff, pair, "", "ended", status_text(pair->then->status),
            status_text(pair->would->status), pair->would->reason ? pair->would->reason : "");
}

json_t *policy_diff(const struct policy_history *history, const struct outcomes *then,
                    const struct policy_result *result)
{
    struct diff diff = {.history = history, .result = result, .rows = json_array()};

    for (size_t i = 0; i < then->items.count; i++) {
        struct pair pair = {.then = then->items.items[i]};

        if (pair.then->started_index < history->first)
            continue;
        pair.would =
            outcomes_find(&result->would, policy_number(result->new_of, pair.then->release));
        if (pair.would)
            compare(&diff, &pair);
        else
            row(&diff, &pair, "", "started", "started", "does not start", "");
    }
    for (size_t i = 0; i < result->would.items.count; i++) {
        struct pair pair = {.would = result->would.items.items[i]};

        if (!policy_number(result->then_of, pair.would->release))
            row(&diff, &pair, "", "started", "did not start",
                pair.would->rollback ? "starts, a rollback" : "starts", "");
    }
    return diff.rows;
}
