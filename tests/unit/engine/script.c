#include "../unit.h"

#include "script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "events/event.h"
#include "gantry/v1/result.pb-c.h"
#include "gantry/v1/source.pb-c.h"

#define WORDS_MAX 20

struct script {
    struct scenario *s;
    struct strv words; /* of the input's line */
    struct strv texts; /* the changes that it made, nothing: none */
    struct {
        enum topic topic;
        void *message;
        char ce_id[64];
    } last;
};

const char *script_commit(char out[41], const char *digits)
{
    snprintf(out, 41, "%.4s%036d", digits, 0);
    return out;
}

const char *script_digest(char out[72], uint64_t release, const char *action)
{
    char text[128], hex[SHA256_HEX_SIZE];
    snprintf(text, sizeof(text), "%llu/%s", (unsigned long long)release, action);
    sha256_hex(text, strlen(text), hex);
    snprintf(out, 72, "sha256:%s", hex);
    return out;
}

static const char *word(const struct script *t, size_t at)
{
    return at < t->words.count ? t->words.items[at] : "";
}

/* The value of name=... among the words; NULL: not there. */
static const char *option(const struct script *t, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 1; i < t->words.count; i++) {
        if (strncmp(t->words.items[i], name, len) == 0 && t->words.items[i][len] == '=')
            return t->words.items[i] + len + 1;
    }
    return NULL;
}

static const char *option_or(const struct script *t, const char *name, const char *otherwise)
{
    const char *value = option(t, name);
    return value ? value : otherwise;
}

/* The words from `at` on, as one text. */
static char *rest(const struct script *t, size_t at)
{
    struct buf text;
    buf_init(&text, 4096);
    for (size_t i = at; i < t->words.count; i++)
        buf_addf(&text, "%s%s", i > at ? " " : "", t->words.items[i]);
    return buf_detach(&text);
}

/* NAME=VALUE words from `from` on, but not those of options in lower case. */
static size_t pairs(const struct script *t, size_t from, Gantry__V1__KeyValue *values,
                    Gantry__V1__KeyValue **items)
{
    size_t n = 0;
    for (size_t i = from; i < t->words.count; i++) {
        char *equals = strchr(t->words.items[i], '=');
        if (!equals || t->words.items[i][0] < 'A' || t->words.items[i][0] > 'Z')
            continue;
        gantry__v1__key_value__init(&values[n]);
        values[n].key = mem_strndup(t->words.items[i], (size_t)(equals - t->words.items[i]));
        values[n].value = equals + 1;
        items[n] = &values[n];
        n++;
    }
    return n;
}

static void give(struct script *t, enum topic topic, const void *message, const char *refusal)
{
    event_free(t->last.message);
    t->last.topic = topic;
    t->last.message = event_clone(message);
    scenario_input(t->s, topic, message, NULL, refusal);
    snprintf(t->last.ce_id, sizeof(t->last.ce_id), "input-%llu", (unsigned long long)t->s->inputs);
}

static void in_define(struct script *t)
{
    Gantry__V1__Definition m = GANTRY__V1__DEFINITION__INIT;
    const char *yaml = script_definition(word(t, 1));
    uint8_t hash[SHA256_SIZE];
    if (!yaml)
        scenario_broken(t->s, "no definition '%s'", word(t, 1));
    sha256(yaml, strlen(yaml), hash);
    m.kind = "Pipeline";
    m.name = (char *)t->s->pipeline;
    m.yaml.data = (uint8_t *)yaml;
    m.yaml.len = strlen(yaml);
    m.sha256.data = hash;
    m.sha256.len = sizeof(hash);
    m.author = "token:ann";
    give(t, TOPIC_DEFINITION, &m, NULL);
}

static void in_delete(struct script *t)
{
    Gantry__V1__Definition m = GANTRY__V1__DEFINITION__INIT;
    m.kind = "Pipeline";
    m.name = (char *)t->s->pipeline;
    m.deleted = true;
    give(t, TOPIC_DEFINITION, &m, NULL);
}

static void in_environment(struct script *t)
{
    scenario_environment(t->s, word(t, 1), str_eq(word(t, 2), "gone") ? NULL : word(t, 2));
}

static void in_push(struct script *t)
{
    Gantry__V1__SourceChanged m = GANTRY__V1__SOURCE_CHANGED__INIT;
    char commit[41], ref[128];
    struct strv people = {0}, paths = {0};
    const char *who = option_or(t, "people", "ann@x");
    if (option(t, "tag"))
        snprintf(ref, sizeof(ref), "refs/tags/%s", option(t, "tag"));
    else if (option(t, "pull"))
        snprintf(ref, sizeof(ref), "refs/pull/%s/head", option(t, "pull"));
    else
        snprintf(ref, sizeof(ref), "refs/heads/%s", option_or(t, "branch", "main"));
    m.pipeline = (char *)t->s->pipeline;
    m.source = (char *)option_or(t, "source", "app");
    m.ref = ref;
    m.after = (char *)script_commit(commit, word(t, 1));
    m.message = "change it";
    m.pusher = (char *)option_or(t, "pusher", "");
    m.people_complete = !str_eq(who, "unknown");
    if (m.people_complete)
        strv_split(&people, who, ',');
    m.people = people.items;
    m.n_people = people.count;
    m.paths_complete = option(t, "paths") != NULL;
    if (m.paths_complete)
        strv_split(&paths, option(t, "paths"), ',');
    m.paths = paths.items;
    m.n_paths = paths.count;
    m.skip = option(t, "skip") != NULL;
    m.look = option(t, "look") != NULL;
    if (m.look)
        m.after = "";
    give(t, TOPIC_SOURCE, &m, NULL);
    strv_release(&people);
    strv_release(&paths);
}

/* A person by name: token, e-mail NAME@x (not for those with a dash), groups by name. */
static void person(const char *name, Gantry__V1__Actor *actor, char *groups[2])
{
    static char subject[80], email[80];
    gantry__v1__actor__init(actor);
    snprintf(subject, sizeof(subject), "token:%s", name);
    snprintf(email, sizeof(email), "%s@X", name);
    actor->subject = subject;
    actor->name = (char *)name;
    actor->email = strchr(name, '-') ? "" : email;
    groups[0] = "release";
    groups[1] = "qa";
    actor->groups = groups;
    actor->n_groups = str_starts(name, "guest") || str_eq(name, "zoe") ? 0
                      : str_starts(name, "release")                    ? 1
                                                                       : 2;
    if (str_starts(name, "qa")) {
        groups[0] = "qa";
        actor->n_groups = 1;
    }
}

static void command(struct script *t, Gantry__V1__Command *m, const char *refusal)
{
    Gantry__V1__Actor caller;
    char *groups[2];
    person(option_or(t, "by", "ann"), &caller, groups);
    m->pipeline = (char *)t->s->pipeline;
    m->caller = &caller;
    give(t, TOPIC_COMMAND, m, refusal);
}

static void in_start(struct script *t)
{
    Gantry__V1__Command m = GANTRY__V1__COMMAND__INIT;
    Gantry__V1__StartRelease start = GANTRY__V1__START_RELEASE__INIT;
    Gantry__V1__Revision revision = GANTRY__V1__REVISION__INIT;
    Gantry__V1__Revision *revisions[] = {&revision};
    Gantry__V1__KeyValue values[WORDS_MAX], *items[WORDS_MAX];
    char commit[41];
    const char *digits = option(t, "commit");
    revision.source = (char *)option_or(t, "source", "app");
    revision.ref = (char *)option_or(t, "ref", "");
    if (digits)
        revision.commit =
            strlen(digits) == 4 ? (char *)script_commit(commit, digits) : (char *)digits;
    start.revisions = revisions;
    start.n_revisions = digits || option(t, "ref");
    start.n_variables = pairs(t, 1, values, items);
    start.variables = items;
    m.what_case = GANTRY__V1__COMMAND__WHAT_START;
    m.start = &start;
    command(t, &m,
            str_eq(word(t, 0), "unknown-definition") ? "its definition was never taken" : NULL);
    for (size_t i = 0; i < start.n_variables; i++)
        free(values[i].key);
}

static void in_stop(struct script *t)
{
    Gantry__V1__Command m = GANTRY__V1__COMMAND__INIT;
    Gantry__V1__StopRelease stop = GANTRY__V1__STOP_RELEASE__INIT;
    stop.release = strtoull(word(t, 1), NULL, 10);
    stop.mode = str_eq(word(t, 2), "abandon") ? GANTRY__V1__STOP_MODE__STOP_MODE_ABANDON
                                              : GANTRY__V1__STOP_MODE__STOP_MODE_WAIT;
    m.what_case = GANTRY__V1__COMMAND__WHAT_STOP;
    m.stop = &stop;
    command(t, &m, NULL);
}

static void in_retry(struct script *t)
{
    Gantry__V1__Command m = GANTRY__V1__COMMAND__INIT;
    Gantry__V1__RetryStage retry = GANTRY__V1__RETRY_STAGE__INIT;
    retry.release = strtoull(word(t, 1), NULL, 10);
    retry.stage = (char *)word(t, 2);
    retry.all_actions = str_eq(word(t, 3), "all");
    m.what_case = GANTRY__V1__COMMAND__WHAT_RETRY;
    m.retry = &retry;
    command(t, &m, NULL);
}

static void in_rollback(struct script *t)
{
    Gantry__V1__Command m = GANTRY__V1__COMMAND__INIT;
    Gantry__V1__RollbackStage rollback = GANTRY__V1__ROLLBACK_STAGE__INIT;
    rollback.stage = (char *)word(t, 1);
    rollback.to_release = strtoull(word(t, 2), NULL, 10);
    rollback.reason = "prod is down";
    m.what_case = GANTRY__V1__COMMAND__WHAT_ROLLBACK;
    m.rollback = &rollback;
    command(t, &m, NULL);
}

static void in_transition(struct script *t)
{
    Gantry__V1__Command m = GANTRY__V1__COMMAND__INIT;
    Gantry__V1__SetTransition transition = GANTRY__V1__SET_TRANSITION__INIT;
    transition.stage = (char *)word(t, 1);
    transition.enabled = str_eq(word(t, 0), "enable");
    transition.reason = rest(t, 2);
    m.what_case = GANTRY__V1__COMMAND__WHAT_TRANSITION;
    m.transition = &transition;
    command(t, &m, NULL);
    free(transition.reason);
}

static void in_promote(struct script *t)
{
    Gantry__V1__Command m = GANTRY__V1__COMMAND__INIT;
    Gantry__V1__PromoteRelease promote = GANTRY__V1__PROMOTE_RELEASE__INIT;
    promote.release = strtoull(word(t, 1), NULL, 10);
    promote.stage = (char *)word(t, 2);
    m.what_case = GANTRY__V1__COMMAND__WHAT_PROMOTE;
    m.promote = &promote;
    command(t, &m, NULL);
}

static void in_override(struct script *t)
{
    Gantry__V1__Command m = GANTRY__V1__COMMAND__INIT;
    Gantry__V1__OverrideGate want = GANTRY__V1__OVERRIDE_GATE__INIT;
    want.release = strtoull(word(t, 1), NULL, 10);
    want.stage = (char *)word(t, 2);
    want.gate = (char *)word(t, 3);
    want.reason = rest(t, 4);
    m.what_case = GANTRY__V1__COMMAND__WHAT_OVERRIDE_GATE;
    m.override_gate = &want;
    command(t, &m, NULL);
    free(want.reason);
}

static void in_pin(struct script *t)
{
    Gantry__V1__Command m = GANTRY__V1__COMMAND__INIT;
    Gantry__V1__PinEnvironment pin = GANTRY__V1__PIN_ENVIRONMENT__INIT;
    const char *of = option(t, "digest");
    char digest[72];
    pin.environment = (char *)word(t, 1);
    pin.pinned = str_eq(word(t, 0), "pin");
    pin.reason = pin.pinned ? "hands off" : "";
    if (of)
        pin.digest = (char *)script_digest(digest, strtoull(of, NULL, 10), strchr(of, '/') + 1);
    m.what_case = GANTRY__V1__COMMAND__WHAT_PIN;
    m.pin = &pin;
    command(t, &m, NULL);
}

static const struct asked *asked_of(struct script *t, const struct map *map)
{
    char key[256];
    snprintf(key, sizeof(key), "%s %s", word(t, 1), word(t, 2));
    const struct asked *asked = map_get(map, key);
    if (!asked)
        scenario_broken(t->s, "nothing was asked of %s", key);
    return asked;
}

static void result(struct script *t, const struct asked *asked, Gantry__V1__ActionResult *m)
{
    m->pipeline = (char *)t->s->pipeline;
    m->run_id = (char *)asked->id;
    m->attempt = (uint32_t)strtoul(option_or(t, "attempt", "1"), NULL, 10);
    m->number = (uint32_t)t->s->inputs + 1;
    m->executor = "executor-1";
    give(t, asked->topic, m, NULL);
}

static void in_progress(struct script *t)
{
    Gantry__V1__ActionResult m = GANTRY__V1__ACTION_RESULT__INIT;
    Gantry__V1__Started started = GANTRY__V1__STARTED__INIT;
    Gantry__V1__Progress progress = GANTRY__V1__PROGRESS__INIT;
    if (str_eq(word(t, 0), "started")) {
        m.body_case = GANTRY__V1__ACTION_RESULT__BODY_STARTED;
        m.started = &started;
    } else {
        m.body_case = GANTRY__V1__ACTION_RESULT__BODY_PROGRESS;
        m.progress = &progress;
    }
    result(t, asked_of(t, t->s->runs), &m);
}

static void in_ok(struct script *t)
{
    const struct asked *asked = asked_of(t, t->s->runs);
    Gantry__V1__ActionResult m = GANTRY__V1__ACTION_RESULT__INIT;
    Gantry__V1__Finished finished = GANTRY__V1__FINISHED__INIT;
    Gantry__V1__Artifact artifact = GANTRY__V1__ARTIFACT__INIT;
    Gantry__V1__KeyValue values[WORDS_MAX], *items[WORDS_MAX];
    char digest[72], name[64];
    finished.outcome = GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED;
    finished.n_exported = pairs(t, 3, values, items);
    finished.exported = items;
    if (asked->image && !option(t, "no-image")) {
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(asked->action, "/"), asked->action);
        artifact.name = name;
        artifact.repository = (char *)option_or(t, "image", asked->image);
        artifact.digest = (char *)script_digest(
            digest, asked->release + (option(t, "other-image") ? 1000 : 0), name);
        artifact.tag = "release-1";
        finished.image_case = GANTRY__V1__FINISHED__IMAGE_ARTIFACT;
        finished.artifact = &artifact;
    }
    m.body_case = GANTRY__V1__ACTION_RESULT__BODY_FINISHED;
    m.finished = &finished;
    result(t, asked, &m);
    for (size_t i = 0; i < finished.n_exported; i++)
        free(values[i].key);
}

/* Splits NAME[!][>NAME,NAME] in place. */
static void read_build(char *word, Gantry__V1__BatchBuild *build, struct strv *waits_for)
{
    char *after = strchr(word, '>'), *ignored;
    gantry__v1__batch_build__init(build);
    if (after) {
        *after = '\0';
        strv_split(waits_for, after + 1, ',');
    }
    ignored = strchr(word, '!');
    if (ignored)
        *ignored = '\0';
    build->identifier = word;
    build->ignore_failure = ignored != NULL;
    build->depend_on = waits_for->items;
    build->n_depend_on = waits_for->count;
}

static void in_plan(struct script *t)
{
    Gantry__V1__ActionResult m = GANTRY__V1__ACTION_RESULT__INIT;
    Gantry__V1__Finished finished = GANTRY__V1__FINISHED__INIT;
    Gantry__V1__BatchPlan plan = GANTRY__V1__BATCH_PLAN__INIT;
    Gantry__V1__BatchBuild builds[WORDS_MAX], *items[WORDS_MAX];
    Gantry__V1__KeyValue value = GANTRY__V1__KEY_VALUE__INIT, *values[] = {&value};
    struct strv waits_for[WORDS_MAX] = {{0}};
    plan.fast_fail = option(t, "fast") != NULL;
    plan.builds = items;
    value.key = "B";
    value.value = (char *)option_or(t, "env", "of the batch");
    for (size_t i = 3; i < t->words.count; i++) {
        if (strchr(t->words.items[i], '='))
            continue;
        read_build(t->words.items[i], &builds[plan.n_builds], &waits_for[i]);
        builds[plan.n_builds].env = values;
        builds[plan.n_builds].n_env = 1;
        builds[plan.n_builds].image = (char *)option_or(t, "image", "");
        if (option(t, "privileged")) {
            builds[plan.n_builds].privilege_case = GANTRY__V1__BATCH_BUILD__PRIVILEGE_PRIVILEGED;
            builds[plan.n_builds].privileged = str_eq(option(t, "privileged"), "yes");
        }
        items[plan.n_builds] = &builds[plan.n_builds];
        plan.n_builds++;
    }
    finished.outcome = GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED;
    finished.batch = &plan;
    m.body_case = GANTRY__V1__ACTION_RESULT__BODY_FINISHED;
    m.finished = &finished;
    result(t, asked_of(t, t->s->runs), &m);
    for (size_t i = 0; i < WORDS_MAX; i++)
        strv_release(&waits_for[i]);
}

static void in_not_ok(struct script *t)
{
    const struct asked *asked = asked_of(t, t->s->runs);
    Gantry__V1__ActionResult m = GANTRY__V1__ACTION_RESULT__INIT;
    Gantry__V1__Finished finished = GANTRY__V1__FINISHED__INIT;
    Gantry__V1__KeyValue values[WORDS_MAX], *items[WORDS_MAX];
    finished.n_exported = pairs(t, 3, values, items);
    finished.exported = items;
    finished.outcome = str_eq(word(t, 0), "lost")      ? GANTRY__V1__OUTCOME__OUTCOME_LOST
                       : str_eq(word(t, 0), "stopped") ? GANTRY__V1__OUTCOME__OUTCOME_STOPPED
                                                       : GANTRY__V1__OUTCOME__OUTCOME_FAILED;
    finished.reason = rest(t, 3);
    m.body_case = GANTRY__V1__ACTION_RESULT__BODY_FINISHED;
    m.finished = &finished;
    result(t, asked, &m);
    free(finished.reason);
    for (size_t i = 0; i < finished.n_exported; i++)
        free(values[i].key);
}

static void in_vote(struct script *t)
{
    const struct asked *asked = asked_of(t, t->s->approvals);
    Gantry__V1__ActionResult m = GANTRY__V1__ACTION_RESULT__INIT;
    Gantry__V1__Vote vote = GANTRY__V1__VOTE__INIT;
    Gantry__V1__Actor voter;
    char *groups[2];
    bool approve = str_eq(word(t, 0), "approve");
    person(word(t, 3), &voter, groups);
    vote.approval_id = (char *)asked->id;
    vote.digest = (char *)option_or(t, "digest", asked->digest);
    vote.verdict =
        approve ? GANTRY__V1__VERDICT__VERDICT_APPROVE : GANTRY__V1__VERDICT__VERDICT_REJECT;
    vote.comment = approve ? mem_strdup("") : rest(t, 4);
    vote.voter = &voter;
    vote.cast_ms = t->s->now_ms;
    m.pipeline = (char *)t->s->pipeline;
    m.body_case = GANTRY__V1__ACTION_RESULT__BODY_VOTE;
    m.vote = &vote;
    give(t, TOPIC_RESULT_APPROVAL, &m, NULL);
    free(vote.comment);
}

static void in_again(struct script *t)
{
    scenario_input(t->s, t->last.topic, t->last.message, t->last.ce_id, NULL);
}

static void keep_texts(struct script *t)
{
    for (size_t i = 0; t->s->last && i < t->s->last->n_changes; i++) {
        char *text = scenario_change_text(t->s->last->changes[i]);
        strv_add(&t->texts, text);
        free(text);
    }
}

static void in_pass(struct script *t)
{
    int64_t ms = 0;
    str_to_duration(word(t, 1), &ms);
    t->s->now_ms += ms;
    while (scenario_clock(t->s))
        keep_texts(t);
    if (engine_state_deadline(t->s->state) <= t->s->now_ms)
        scenario_broken(t->s, "something is due, and the clock changes nothing");
}

static void in_silent(struct script *t)
{
    int64_t ms = 0;
    str_to_duration(word(t, 3), &ms);
    scenario_silence(t->s, asked_of(t, t->s->runs)->id, ms);
}

static void in_freeze(struct script *t)
{
    char *window = rest(t, 2);
    scenario_freeze(t->s, word(t, 1), str_eq(word(t, 0), "thaw") ? NULL : window);
    free(window);
}

static const struct {
    const char *word;
    void (*give)(struct script *t);
} inputs[] = {
    {"define", in_define},
    {"delete", in_delete},
    {"environment", in_environment},
    {"push", in_push},
    {"again", in_again},
    {"start", in_start},
    {"unknown-definition", in_start},
    {"stop", in_stop},
    {"retry", in_retry},
    {"rollback", in_rollback},
    {"enable", in_transition},
    {"disable", in_transition},
    {"promote", in_promote},
    {"override", in_override},
    {"pin", in_pin},
    {"unpin", in_pin},
    {"silent", in_silent},
    {"freeze", in_freeze},
    {"thaw", in_freeze},
    {"started", in_progress},
    {"progress", in_progress},
    {"ok", in_ok},
    {"plan", in_plan},
    {"fail", in_not_ok},
    {"lost", in_not_ok},
    {"stopped", in_not_ok},
    {"approve", in_vote},
    {"reject", in_vote},
    {"pass", in_pass},
};

const char *script_input(size_t i)
{
    return i < sizeof(inputs) / sizeof(*inputs) ? inputs[i].word : NULL;
}

/* Whether there is anything that the line can be about. */
static bool makes_sense(const struct script *t)
{
    static const char *const answers[] = {"started", "progress", "ok",     "fail",   "lost",
                                          "stopped", "approve",  "reject", "silent", "plan"};
    char key[256];
    snprintf(key, sizeof(key), "%s %s", word(t, 1), word(t, 2));
    for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
        if (str_eq(word(t, 0), answers[i]))
            return map_get(t->s->runs, key) || map_get(t->s->approvals, key);
    }
    return !str_eq(word(t, 0), "again") || t->last.message;
}

static void input_line(struct script *t, const char *line)
{
    strv_release(&t->words);
    strv_release(&t->texts);
    strv_split(&t->words, line, ' ');
    t->s->now_ms += 10;
    if (t->s->lenient && !makes_sense(t))
        return;
    for (size_t i = 0; i < sizeof(inputs) / sizeof(*inputs); i++) {
        if (str_eq(inputs[i].word, word(t, 0))) {
            event_free(t->s->last);
            t->s->last = NULL;
            inputs[i].give(t);
            if (!str_eq(word(t, 0), "pass"))
                keep_texts(t);
            return;
        }
    }
    scenario_broken(t->s, "'%s' is no input", word(t, 0));
}

/* Whether texts[at...] are what the lines from `line` on expect; *next is the line after them. */
static bool expected(const struct script *t, char *const *lines, size_t count)
{
    size_t at = 0;
    if (count == 1 && str_eq(lines[0], "nothing"))
        return t->texts.count == 0;
    for (size_t i = 0; i < count; i++) {
        if (str_eq(lines[i], "...")) {
            if (i + 1 == count)
                return true;
            while (at < t->texts.count && !str_glob(lines[i + 1], t->texts.items[at]))
                at++;
        } else if (at >= t->texts.count || !str_glob(lines[i], t->texts.items[at++])) {
            return false;
        }
    }
    return at == t->texts.count;
}

static void check_changes(struct script *t, char *const *lines, size_t count)
{
    if (!count || expected(t, lines, count))
        return;
    fprintf(stderr, "%s\nEXPECTED\n", buf_cstr(&t->s->history));
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, "  %s\n", lines[i]);
    fprintf(stderr, "BUT IT WAS\n");
    for (size_t i = 0; i < t->texts.count; i++)
        fprintf(stderr, "  %s\n", t->texts.items[i]);
    abort();
}

void script_play(struct scenario *s, const char *text)
{
    struct script t = {.s = s};
    struct strv lines = {0};
    strv_split(&lines, text, '\n'); /* trims: whether it was indented is looked up in `text` */
    size_t i = 0;
    const char *at = text;
    while (i < lines.count) {
        buf_addf(&s->history, "%s\n", lines.items[i]);
        input_line(&t, lines.items[i]);
        at = strstr(at, lines.items[i]) + strlen(lines.items[i]);
        size_t first = ++i;
        while (i < lines.count) {
            const char *next = strstr(at, lines.items[i]);
            if (next == text || next[-1] != ' ')
                break;
            at = next + strlen(lines.items[i++]);
        }
        check_changes(&t, lines.items + first, i - first);
    }
    strv_release(&lines);
    strv_release(&t.words);
    strv_release(&t.texts);
    event_free(t.last.message);
}

struct script *script_begin(struct scenario *s)
{
    struct script *script = mem_alloc(sizeof(*script));
    script->s = s;
    return script;
}

void script_line(struct script *script, const char *line)
{
    buf_addf(&script->s->history, "%s\n", line);
    input_line(script, line);
}

void script_end(struct script *script)
{
    strv_release(&script->words);
    strv_release(&script->texts);
    event_free(script->last.message);
    free(script);
}

void script_run(const char *text)
{
    struct scenario *s = scenario_new("shop");
    scenario_environment(s, "dev", "command");
    scenario_environment(s, "staging", "command");
    scenario_environment(s, "prod", "command");
    script_play(s, text);
    scenario_check_replay(s);
    scenario_free(s);
}

static void run_rule(void **state)
{
    script_run(*state);
}

int script_run_rules(const char *group, const struct rule *rules, size_t count)
{
    struct CMUnitTest *tests = mem_alloc(count * sizeof(*tests));
    for (size_t i = 0; i < count; i++)
        tests[i] = (struct CMUnitTest){.name = rules[i].sentence,
                                       .test_func = run_rule,
                                       .initial_state = (void *)rules[i].script};
    int failed = _cmocka_run_group_tests(group, tests, count, NULL, NULL);
    free(tests);
    return failed;
}
