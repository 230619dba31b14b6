#include "coverage.h"

#include "../unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "definition/definition.h"

static const char *const gates[] = {"approval", "soak",     "window", "manual",
                                    "check",    "disabled", "freeze", NULL};
static const char *const modes[] = {"superseded", "queued", "parallel", NULL};
static const char *const refs[] = {"branch", "tag", "pull", NULL};
static const char *const people[] = {"ann",          "bob",     "eve",   "finn", "qa-carl",
                                     "release-dora", "no-mail", "guest", "zoe",  NULL};
static const char *const stages[] = {"build", "dev", "staging", "prod", "canary", NULL};

/* What has to be decided, as kind_of() tells it. */
static const char *const decisions[] = {"- definition",
                                        "- definition deleted",
                                        "- seen",
                                        "- seen starts nothing",
                                        "- started",
                                        "- started rollback of to",
                                        "- ended succeeded",
                                        "- ended failed",
                                        "- ended stopped",
                                        "- ended superseded by",
                                        "- waiting",
                                        "- entered",
                                        "- entered again",
                                        "- stage succeeded",
                                        "- stage failed",
                                        "- stage stopped",
                                        "- stage abandoned",
                                        "- request",
                                        "- running attempt",
                                        "- done succeeded",
                                        "- done failed",
                                        "- done failed cancel",
                                        "- done abandoned",
                                        "- done abandoned cancel",
                                        "- done stopped",
                                        "- artifact image",
                                        "- opened",
                                        "- vote",
                                        "- closed approved",
                                        "- closed rejected",
                                        "- closed expired",
                                        "- closed superseded",
                                        "- closed stopped",
                                        "- stopping",
                                        "- command start",
                                        "- command stop",
                                        "- command retry",
                                        "- command rollback",
                                        "- entered by itself",
                                        "- started rollback of to after failed",
                                        "- closed overridden",
                                        "- transition disabled",
                                        "- transition enabled",
                                        "- promoted manual",
                                        "- overridden",
                                        "- asked",
                                        "- answered yes",
                                        "- answered no",
                                        "- answered no cancel",
                                        "- answered withdrawn cancel",
                                        "- pinned",
                                        "- unpinned",
                                        "- silent",
                                        "- command promote",
                                        "- command gate override",
                                        "- command pin",
                                        "- command unpin",
                                        "- command transition disable",
                                        "- approval action asked",
                                        "- approval action succeeded",
                                        "- approval action failed",
                                        "- approval action stopped",
                                        "- entered again, all actions",
                                        "- entered by hand again, failed actions",
                                        "- skipped",
                                        "- planned",
                                        "- builds kept",
                                        "- build asked",
                                        "- build succeeded",
                                        "- build failed",
                                        "- build failed cancel",
                                        "- build stopped cancel",
                                        "- build abandoned",
                                        "- build abandoned cancel",
                                        NULL};

void coverage_begin(struct coverage *coverage)
{
    *coverage = (struct coverage){.counts = map_new(NULL), .mode = "", .held = map_new(free)};
}

void coverage_end(struct coverage *coverage)
{
    map_free(coverage->counts);
    map_free(coverage->held);
}

void coverage_history(struct coverage *coverage)
{
    coverage->mode = "";
    map_clear(coverage->held);
}

static void count(struct coverage *coverage, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void count(struct coverage *coverage, const char *fmt, ...)
{
    char what[100];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    map_set(coverage->counts, what, (char *)map_get(coverage->counts, what) + 1);
}

/* The ref's kind: refs/heads/x is a branch. */
static const char *ref_kind(const char *ref)
{
    return str_starts(ref, "refs/heads/")  ? "branch"
           : str_starts(ref, "refs/tags/") ? "tag"
                                           : "pull";
}

static const char *mode_of(const char *definition)
{
    const char *yaml = script_definition(definition);
    for (size_t i = 0; modes[i]; i++) {
        char *line = mem_printf("mode: %s\n", modes[i]);
        bool is = strstr(yaml, line) != NULL;
        free(line);
        if (is)
            return modes[i];
    }
    return "";
}

void coverage_input(struct coverage *coverage, const char *line)
{
    count(coverage, "inputs %.*s", (int)strcspn(line, " "), line);
    if (str_starts(line, "define "))
        coverage->mode = mode_of(line + strlen("define "));
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
    bool verb_says_all = str_eq(words.items[0], "vote") || str_eq(words.items[0], "waiting") ||
                         str_eq(words.items[0], "planned");
    for (size_t i = 0; i < (verb_says_all ? 1 : words.count); i++) {
        const char *w = words.items[i];
        bool plain = strspn(w, "abcdefghijklmnopqrstuvwxyz-:'") == strlen(w);
        for (size_t j = 0; stages[j]; j++)
            plain = plain && !str_eq(w, stages[j]);
        for (size_t j = 0; people[j]; j++)
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

/* approval-2 is an approval, freeze:prod a freeze. */
static int kind_len(const char *gate)
{
    return (int)strcspn(gate, ":-");
}

static void see_waiting(struct coverage *coverage, const Gantry__V1__StageWaiting *m)
{
    struct buf held;
    char *key = mem_printf("%llu %s", (unsigned long long)m->release, m->stage);
    buf_init(&held, 8192);
    buf_adds(&held, " ");
    for (size_t i = 0; i < m->n_held_by; i++) {
        count(coverage, "held %.*s", kind_len(m->held_by[i]), m->held_by[i]);
        buf_addf(&held, "%.*s ", kind_len(m->held_by[i]), m->held_by[i]);
    }
    map_set(coverage->held, key, buf_detach(&held));
    free(key);
}

static void see_entered(struct coverage *coverage, const Gantry__V1__StageEntered *m)
{
    char *key = mem_printf("%llu %s", (unsigned long long)m->release, m->stage);
    const char *held = map_get(coverage->held, key);
    count(coverage, "modes %s", coverage->mode);
    for (size_t i = 0; held && m->number == 1 && gates[i]; i++) {
        char *word = mem_printf(" %s ", gates[i]);
        if (strstr(held, word))
            count(coverage, "passed %s", gates[i]);
        free(word);
    }
    map_del(coverage->held, key);
    free(key);
    if (m->number > 1 && !m->automatic)
        count(coverage, m->all_actions ? "- entered again, all actions"
                                       : "- entered by hand again, failed actions");
}

static void see_started(struct coverage *coverage, const Gantry__V1__ReleaseStarted *m)
{
    for (size_t i = 0; i < m->n_revisions; i++)
        count(coverage, "refs %s", ref_kind(m->revisions[i]->ref));
}

static void see_approval(struct coverage *coverage, const Gantry__V1__Change *change)
{
    static const char *const ends[] = {[GANTRY__V1__STATUS__STATUS_SUCCEEDED] = "succeeded",
                                       [GANTRY__V1__STATUS__STATUS_FAILED] = "failed",
                                       [GANTRY__V1__STATUS__STATUS_STOPPED] = "stopped"};
    if (change->what_case == GANTRY__V1__CHANGE__WHAT_ACTION_REQUESTED) {
        const Gantry__V1__ActionRequest *m = change->action_requested->request;
        if (m->kind == GANTRY__V1__ACTION_KIND__ACTION_KIND_APPROVAL)
            count(coverage, "- approval action asked");
    } else if (change->what_case == GANTRY__V1__CHANGE__WHAT_ACTION_ENDED) {
        const Gantry__V1__ActionEnded *m = change->action_ended;
        if (m->kind == GANTRY__V1__ACTION_KIND__ACTION_KIND_APPROVAL)
            count(coverage, "- approval action %s", ends[m->status]);
    }
}

static void see_build(struct coverage *coverage, const Gantry__V1__Change *change)
{
    static const char *const ends[] = {[GANTRY__V1__STATUS__STATUS_SUCCEEDED] = "succeeded",
                                       [GANTRY__V1__STATUS__STATUS_FAILED] = "failed",
                                       [GANTRY__V1__STATUS__STATUS_ABANDONED] = "abandoned",
                                       [GANTRY__V1__STATUS__STATUS_STOPPED] = "stopped"};
    if (change->what_case == GANTRY__V1__CHANGE__WHAT_BATCH_PLANNED) {
        if (change->batch_planned->n_kept)
            count(coverage, "- builds kept");
    } else if (change->what_case == GANTRY__V1__CHANGE__WHAT_ACTION_REQUESTED) {
        if (strchr(change->action_requested->request->action, '/'))
            count(coverage, "- build asked");
    } else if (change->what_case == GANTRY__V1__CHANGE__WHAT_ACTION_ENDED) {
        const Gantry__V1__ActionEnded *m = change->action_ended;
        bool cancel = m->cancel_case == GANTRY__V1__ACTION_ENDED__CANCEL_REQUEST;
        if (strchr(m->action, '/'))
            count(coverage, "- build %s%s", ends[m->status], cancel ? " cancel" : "");
    }
}

static void see(struct coverage *coverage, const Gantry__V1__Change *change)
{
    see_build(coverage, change);
    switch ((int)change->what_case) {
    case GANTRY__V1__CHANGE__WHAT_STAGE_WAITING:
        see_waiting(coverage, change->stage_waiting);
        break;
    case GANTRY__V1__CHANGE__WHAT_STAGE_ENTERED:
        see_entered(coverage, change->stage_entered);
        break;
    case GANTRY__V1__CHANGE__WHAT_STAGE_ENDED:
        if (change->stage_ended->n_skipped)
            count(coverage, "- skipped");
        break;
    case GANTRY__V1__CHANGE__WHAT_RELEASE_STARTED:
        see_started(coverage, change->release_started);
        break;
    case GANTRY__V1__CHANGE__WHAT_GATE_OVERRIDDEN:
        count(coverage, "overridden %.*s", kind_len(change->gate_overridden->gate),
              change->gate_overridden->gate);
        break;
    default:
        see_approval(coverage, change);
    }
}

void coverage_decision(struct coverage *coverage, const Gantry__V1__Decision *decision)
{
    for (size_t i = 0; i < decision->n_changes; i++) {
        char *kind = kind_of(decision->changes[i]);
        count(coverage, "- %s", kind);
        free(kind);
        see(coverage, decision->changes[i]);
    }
}

/* One subject: the kinds that it has to have with how often each was reached. */
static void print_subject(const struct coverage *coverage, const char *subject,
                          const char *const *kinds)
{
    struct buf line;
    buf_init(&line, 8192);
    for (size_t i = 0; kinds[i]; i++) {
        char *what = mem_printf("%s %s", subject, kinds[i]);
        buf_addf(&line, " %s %zu", kinds[i], (size_t)map_get(coverage->counts, what));
        free(what);
    }
    print_message("coverage: %-10s%s\n", subject, buf_cstr(&line));
    buf_release(&line);
}

static const char *const *inputs(void)
{
    static const char *words[64];
    for (size_t i = 0; i + 1 < sizeof(words) / sizeof(*words) && (words[i] = script_input(i)); i++)
        ;
    return words;
}

static const struct {
    const char *name;
    const char *const *kinds;
} subjects[] = {
    {"modes", modes}, {"held", gates}, {"passed", gates}, {"overridden", gates}, {"refs", refs}};

void coverage_print(const struct coverage *coverage)
{
    struct strv lines = {0};
    for (struct map_iter it = {0}; map_next(coverage->counts, &it);) {
        if (str_starts(it.key, "- "))
            strv_addf(&lines, "%-62s %zu", it.key + 2, (size_t)it.value);
    }
    strv_sort(&lines);
    for (size_t i = 0; i < lines.count; i++)
        print_message("%s\n", lines.items[i]);
    print_message("coverage: %zu kinds of changes and refusals\n", lines.count);
    strv_release(&lines);
    print_subject(coverage, "inputs", inputs());
    for (size_t i = 0; i < sizeof(subjects) / sizeof(*subjects); i++)
        print_subject(coverage, subjects[i].name, subjects[i].kinds);
}

static const char *missing_of(const struct coverage *coverage, const char *subject,
                              const char *const *kinds)
{
    static char what[100];
    for (size_t i = 0; kinds[i]; i++) {
        snprintf(what, sizeof(what), "%s%s%s", subject, *subject ? " " : "", kinds[i]);
        if (!map_get(coverage->counts, what))
            return what;
    }
    return NULL;
}

const char *coverage_missing(const struct coverage *coverage)
{
    static const char *const others[] = {"held occupied", "held behind", "held pinned", NULL};
    const char *missing = missing_of(coverage, "inputs", inputs());
    for (size_t i = 0; !missing && i < sizeof(subjects) / sizeof(*subjects); i++)
        missing = missing_of(coverage, subjects[i].name, subjects[i].kinds);
    missing = missing ? missing : missing_of(coverage, "", others);
    return missing ? missing : missing_of(coverage, "", decisions);
}
