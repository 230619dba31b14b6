/* Random histories: whatever comes in whatever order, the promises of scenario.c and the properties
 * of docs/reference/pipeline.md hold. GANTRY_SEED and GANTRY_STEPS repeat or lengthen a run. What
 * was reached is printed, and what must be reached is checked. */
#include "../unit.h"

#include <inttypes.h>

#include "base/mem.h"
#include "base/str.h"
#include "script.h"

#ifdef __SANITIZE_ADDRESS__
#define STEPS 30000 /* takes as long as 200,000 without */
#else
#define STEPS 200000
#endif
#define HISTORY_INPUTS 1000 /* of one history; then another begins */
#define THOROUGH_EVERY 50   /* decode and fold beside: parsing definitions takes its time */

struct random {
    uint64_t x;
};

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

static const char *const definitions[] = {
    "simple", "queue",  "gate",      "gate-queue", "two-gates", "author", "careful", "steps",
    "inside", "beside", "two-votes", "starter",    "lost",      "longer", "vars",    "two-sources"};
static const char *const people[] = {"ann",          "bob",     "eve",   "finn", "qa-carl",
                                     "release-dora", "no-mail", "guest", "zoe"};
static const char *const stages[] = {"build", "dev", "staging", "prod"};
#define PICK(r, list) (list)[pick((r), sizeof(list) / sizeof(*(list)))]

/* What there is to answer and to ask for, by what was decided so far. */
struct known {
    struct strv runs, approvals; /* open ones, "N STAGE/NAME" */
    struct strv closed;          /* runs that ended: late answers and copies */
    struct strv failed;          /* "N STAGE" */
    struct strv succeeded;       /* "STAGE N" */
    uint64_t newest;
};

static void known_release(struct known *k)
{
    strv_release(&k->runs);
    strv_release(&k->approvals);
    strv_release(&k->closed);
    strv_release(&k->failed);
    strv_release(&k->succeeded);
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

static void learn(struct known *k, const Gantry__V1__Change *change)
{
    switch ((int)change->what_case) {
    case GANTRY__V1__CHANGE__WHAT_RELEASE_STARTED:
        k->newest = change->release_started->release;
        break;
    case GANTRY__V1__CHANGE__WHAT_ACTION_REQUESTED: {
        const Gantry__V1__ActionRequest *m = change->action_requested->request;
        if (m->kind != GANTRY__V1__ACTION_KIND__ACTION_KIND_APPROVAL)
            strv_addf(&k->runs, "%" PRIu64 " %s/%s", m->release, m->stage, m->action);
        break;
    }
    case GANTRY__V1__CHANGE__WHAT_ACTION_ENDED: {
        const Gantry__V1__ActionEnded *m = change->action_ended;
        bool asked = m->kind != GANTRY__V1__ACTION_KIND__ACTION_KIND_APPROVAL && k->runs.count;
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

/* What a change was, without numbers and names, so that it can be counted. */
static char *kind_of(const Gantry__V1__Change *change)
{
    char *text = scenario_change_text(change);
    struct strv words = {0};
    struct buf kind;
    buf_init(&kind, 256);
    char *colon = strstr(text, ": ");
    if (colon && !str_starts(text, "refused"))
        *colon = '\0';
    strv_split(&words, text, ' ');
    bool verb_says_all = str_eq(words.items[0], "vote") || str_eq(words.items[0], "waiting");
    for (size_t i = 0; i < (verb_says_all ? 1 : words.count); i++) {
        const char *w = words.items[i];
        bool plain = strspn(w, "abcdefghijklmnopqrstuvwxyz-:'") == strlen(w);
        for (size_t j = 0; j < sizeof(stages) / sizeof(*stages); j++)
            plain = plain && !str_eq(w, stages[j]);
        for (size_t j = 0; j < sizeof(people) / sizeof(*people); j++)
            plain = plain && !str_starts(w, people[j]);
        if (plain)
            buf_addf(&kind, "%s%s", kind.len ? " " : "", w);
    }
    strv_release(&words);
    free(text);
    if (kind.len > 60)
        kind.data[60] = '\0';
    return buf_detach(&kind);
}

struct history {
    struct known known;
    struct map *coverage;
};

static void note(const Gantry__V1__Decision *decision, void *arg)
{
    struct history *history = arg;
    for (size_t i = 0; i < decision->n_changes; i++) {
        char *kind = kind_of(decision->changes[i]);
        map_set(history->coverage, kind, (char *)map_get(history->coverage, kind) + 1);
        free(kind);
        learn(&history->known, decision->changes[i]);
    }
}

/* Mostly one of the last few. */
static const char *recent(struct random *r, const struct strv *keys)
{
    if (!keys->count)
        return NULL;
    size_t span = keys->count < 4 || pick(r, 8) == 0 ? keys->count : 4;
    return keys->items[keys->count - 1 - pick(r, span)];
}

static char *random_result(struct random *r, const struct known *k)
{
    const char *key = recent(r, pick(r, 12) ? &k->runs : &k->closed);
    if (!key)
        return NULL;
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
        return mem_printf("ok %s no-image=1", key);
    default:
        return mem_printf("ok %s VERSION=%u", key, pick(r, 100));
    }
}

static char *random_vote(struct random *r, const struct known *k)
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

static char *random_command(struct random *r, const struct known *k)
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

static char *random_input(struct random *r, const struct known *k)
{
    static const char *const branches[] = {"main", "main", "main", "release/1", "topic"};
    static const char *const durations[] = {"1m", "5m", "20m", "1h", "2d", "40d"};
    unsigned kind = pick(r, 1000);
    if (kind < 600)
        return random_result(r, k);
    if (kind < 700)
        return mem_printf("push %04x branch=%s source=%s people=%s@x,%s@x pusher=%s", pick(r, 5000),
                          PICK(r, branches), pick(r, 8) ? "app" : "conf", PICK(r, people),
                          PICK(r, people), PICK(r, people));
    if (kind < 850)
        return random_vote(r, k);
    if (kind < 930)
        return random_command(r, k);
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

static size_t one_history(uint64_t seed, size_t steps, struct map *coverage)
{
    struct random r = {seed};
    struct history history = {.coverage = coverage};
    struct scenario *s = scenario_new("shop");
    s->decided = note;
    s->decided_arg = &history;
    struct script *script = script_begin(s);
    size_t made = 0;
    buf_addf(&s->history, "seed %" PRIu64 "\n", seed);
    for (size_t i = 1; i < sizeof(stages) / sizeof(*stages); i++)
        scenario_environment(s, stages[i], "command");
    char *line = mem_printf("define %s", PICK(&r, definitions));
    script_line(script, line);
    free(line);
    while (made < steps) {
        line = random_input(&r, &history.known);
        if (!line)
            continue;
        s->thorough = made++ % THOROUGH_EVERY == 0;
        script_line(script, line);
        free(line);
    }
    script_end(script);
    scenario_check_replay(s);
    scenario_free(s);
    known_release(&history.known);
    return made;
}

static void print_coverage(const struct map *coverage)
{
    struct strv lines = {0};
    for (struct map_iter it = {0}; map_next(coverage, &it);)
        strv_addf(&lines, "%-62s %zu", it.key, (size_t)it.value);
    strv_sort(&lines);
    for (size_t i = 0; i < lines.count; i++)
        print_message("%s\n", lines.items[i]);
    strv_release(&lines);
}

/* What a run of the usual length has to reach: else it proves less than it says. */
static void check_coverage(const struct map *coverage)
{
    static const char *const wanted[] = {"definition",
                                         "definition deleted",
                                         "seen",
                                         "seen starts nothing",
                                         "started",
                                         "started rollback of to",
                                         "ended succeeded",
                                         "ended failed",
                                         "ended stopped",
                                         "ended superseded by",
                                         "waiting",
                                         "entered",
                                         "entered again",
                                         "stage succeeded",
                                         "stage failed",
                                         "stage stopped",
                                         "stage abandoned",
                                         "request",
                                         "running attempt",
                                         "done succeeded",
                                         "done failed",
                                         "done failed cancel",
                                         "done abandoned",
                                         "done abandoned cancel",
                                         "done stopped",
                                         "artifact image",
                                         "opened",
                                         "vote",
                                         "closed approved",
                                         "closed rejected",
                                         "closed expired",
                                         "closed superseded",
                                         "closed stopped",
                                         "stopping",
                                         "command start",
                                         "command stop",
                                         "command retry",
                                         "command rollback"};
    for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
        if (!map_get(coverage, wanted[i]))
            fail_msg("no input led to '%s'", wanted[i]);
    }
}

static void every_property_holds_for_random_inputs(void **unused)
{
    (void)unused;
    const char *text = getenv("GANTRY_SEED"), *wanted = getenv("GANTRY_STEPS");
    uint64_t seed = text ? strtoull(text, NULL, 10) : 20240607;
    size_t steps = wanted ? strtoull(wanted, NULL, 10) : STEPS, done = 0;
    struct map *coverage = map_new(NULL);
    print_message("seed %" PRIu64 ", %zu steps\n", seed, steps);
    while (done < steps) {
        size_t left = steps - done;
        done += one_history(seed++, left < HISTORY_INPUTS ? left : HISTORY_INPUTS, coverage);
    }
    print_coverage(coverage);
    if (steps >= STEPS)
        check_coverage(coverage);
    map_free(coverage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_property_holds_for_random_inputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
