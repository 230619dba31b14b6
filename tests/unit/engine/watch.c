/* The properties of docs/reference/pipeline.md, checked on the changes alone: what this file knows
 * it knows from Decisions and definitions, not from the engine's state. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "events/event.h"
#include "watch.h"

static void release_free(void *value)
{
    struct seen_release *release = value;
    event_free(release->started);
    free(release->known);
    free(release->inside);
    strv_release(&release->succeeded);
    map_free(release->digests);
    map_free(release->running);
    map_free(release->batches);
    map_free(release->builds);
    free(release);
}

static void definition_gone(void *value)
{
    definition_free(value);
}

struct watch *watch_new(void)
{
    struct watch *w = mem_alloc(sizeof(*w));
    w->releases = map_new(release_free);
    w->definitions = map_new(definition_gone);
    w->inside = map_new(NULL);
    w->passed = map_new(NULL);
    w->checks = map_new(free);
    w->disabled = map_new(NULL);
    w->pins = map_new(free);
    w->entered = map_new(free);
    w->votes = votes_new();
    w->successes = map_new(free);
    return w;
}

void watch_free(struct watch *w)
{
    map_free(w->releases);
    map_free(w->definitions);
    map_free(w->inside);
    map_free(w->passed);
    map_free(w->checks);
    map_free(w->disabled);
    map_free(w->pins);
    map_free(w->entered);
    votes_free(w->votes);
    map_free(w->successes);
    free(w);
}

static const char *number(char text[24], uint64_t value)
{
    snprintf(text, 24, "%llu", (unsigned long long)value);
    return text;
}

struct seen_release *watch_release(struct scenario *s, uint64_t release)
{
    char key[24];
    struct seen_release *r = map_get(s->watch->releases, number(key, release));
    if (!r)
        scenario_broken(s, "a change is of release %s, which never started", key);
    return r;
}

bool watch_is_rollback(const struct seen_release *r)
{
    return r->started->type == GANTRY__V1__RELEASE_TYPE__RELEASE_TYPE_ROLLBACK;
}

static void see_definition(struct scenario *s, const Gantry__V1__DefinitionTaken *m)
{
    char key[24];
    struct definition *definition = NULL;
    struct err err = {0};
    if (definition_parse(&definition, m->yaml.data, m->yaml.len, NULL, &err) != 0)
        scenario_broken(s, "a definition was taken that does not parse: %s", err.msg);
    votes_definition(s, definition->pipeline);
    map_set(s->watch->definitions, number(key, m->number), definition);
}

static void see_started(struct scenario *s, const Gantry__V1__ReleaseStarted *m)
{
    struct watch *w = s->watch;
    char key[24];
    struct seen_release *r = mem_alloc(sizeof(*r));
    const struct definition *definition =
        map_get(w->definitions, number(key, m->definition_number));
    if (m->release != w->last_release + 1)
        scenario_broken(s, "release %llu follows %llu", (unsigned long long)m->release,
                        (unsigned long long)w->last_release);
    if (!definition)
        scenario_broken(s, "a release starts with a definition that was never taken");
    w->last_release = m->release;
    r->started = event_clone(m);
    r->definition = definition->pipeline;
    r->digests = map_new(free);
    r->running = map_new(NULL);
    r->batches = map_new(event_free);
    r->builds = map_new(free);
    for (size_t i = 0; i < m->n_artifacts; i++)
        map_set(r->digests, m->artifacts[i]->name, mem_strdup(m->artifacts[i]->digest));
    votes_started(s, r);
    map_set(w->releases, number(key, m->release), r);
    r->arrived_ms = w->now_ms;
    if (!watch_is_rollback(r))
        return;
    /* 2: back to a success there, with what it had. */
    char place[128];
    snprintf(place, sizeof(place), "%s/%llu", m->rollback_stage,
             (unsigned long long)m->rollback_to);
    if (!map_get(w->successes, place))
        scenario_broken(s, "a rollback goes to a release that never succeeded there");
    const struct seen_release *target = watch_release(s, m->rollback_to);
    for (size_t i = 0; i < m->n_artifacts; i++) {
        if (!str_eq(map_get(target->digests, m->artifacts[i]->name), m->artifacts[i]->digest))
            scenario_broken(s, "a rollback carries another digest than its target");
    }
}

static void check_gate(struct scenario *s, const struct seen_release *r,
                       const struct def_gate *gate, const char *key)
{
    const struct watch *w = s->watch;
    const char *fresh = map_get(w->checks, key);
    switch (gate->kind) {
    case DEF_GATE_APPROVAL:
        votes_let_pass(s, r, &gate->approval, key);
        break;
    case DEF_GATE_SOAK:
        if (w->now_ms < r->arrived_ms + gate->soak_ms)
            scenario_broken(s, "%s is entered before it was over", key);
        break;
    case DEF_GATE_WINDOW:
        if (!window_is_open(gate->window, w->now_ms))
            scenario_broken(s, "%s is entered while it is closed", key);
        break;
    case DEF_GATE_MANUAL:
        scenario_broken(s, "%s is entered and nobody promoted it", key);
        break;
    case DEF_GATE_CHECK:
        if (!fresh || strtoll(fresh, NULL, 10) < w->now_ms)
            scenario_broken(s, "%s is entered without a fresh yes", key);
        break;
    }
}

static void check_environments(struct scenario *s, const struct seen_release *r,
                               const struct def_stage *stage)
{
    char key[128];
    snprintf(key, sizeof(key), "%llu/%s/freeze", (unsigned long long)r->started->release,
             stage->name);
    bool freezes = !watch_is_rollback(r) && !map_get(s->watch->passed, key);
    for (size_t i = 0; i < stage->step_count; i++) {
        for (size_t j = 0; j < stage->steps[i].action_count; j++) {
            const struct def_action *action = &stage->steps[i].actions[j];
            if (action->kind != DEF_DEPLOY)
                continue;
            const char *pin = map_get(s->watch->pins, action->deploy.environment);
            const struct engine_environment *env =
                map_get(s->environments, action->deploy.environment);
            if (pin && !str_eq(pin, map_get(r->digests, action->deploy.artifact)))
                scenario_broken(s, "%s is pinned to another digest", action->deploy.environment);
            for (size_t k = 0; freezes && env && k < env->freeze_count; k++) {
                if (window_is_open(env->freezes[k].window, s->watch->now_ms))
                    scenario_broken(s, "%s is frozen", env->name);
            }
        }
    }
}

/* 5, and what holds for the other gates alike. */
static void check_gates(struct scenario *s, const struct seen_release *r,
                        const struct def_stage *stage)
{
    char key[256];
    unsigned long long release = r->started->release;
    bool rollback = watch_is_rollback(r);
    snprintf(key, sizeof(key), "%llu/%s/disabled", release, stage->name);
    if (!rollback && map_get(s->watch->disabled, stage->name) && !map_get(s->watch->passed, key))
        scenario_broken(s, "%s is entered", key);
    check_environments(s, r, stage);
    for (size_t i = 0; i < stage->gate_count; i++) {
        const struct def_gate *gate = &stage->gates[i];
        snprintf(key, sizeof(key), "%llu/%s/%s", release, stage->name, gate->name);
        if (rollback && (!stage->rollback_approval || gate->kind != DEF_GATE_APPROVAL))
            continue;
        if (!map_get(s->watch->passed, key))
            check_gate(s, r, gate, key);
    }
}

/* A stage that is entered again is not asked about again: what let the release in still holds. */
static void check_approvals(struct scenario *s, const struct seen_release *r,
                            const struct def_stage *stage)
{
    char key[256];
    for (size_t i = 0; i < stage->gate_count; i++) {
        const struct def_gate *gate = &stage->gates[i];
        snprintf(key, sizeof(key), "%llu/%s/%s", (unsigned long long)r->started->release,
                 stage->name, gate->name);
        if (gate->kind == DEF_GATE_APPROVAL && !map_get(s->watch->passed, key) &&
            (!watch_is_rollback(r) || stage->rollback_approval))
            votes_let_pass(s, r, &gate->approval, key);
    }
}

/* 1 */
static void check_alone(struct scenario *s, const char *stage)
{
    char *prefix = mem_printf("%s/", stage);
    for (struct map_iter it = {0}; map_next(s->watch->inside, &it);) {
        if (s->watch->current->mode != DEF_PARALLEL && str_starts(it.key, prefix))
            scenario_broken(s, "1: release %s is inside already", it.key);
    }
    free(prefix);
}

static void set_inside(struct scenario *s, const char *stage, uint64_t release, bool inside)
{
    char *key = mem_printf("%s/%llu", stage, (unsigned long long)release);
    if (inside)
        map_set(s->watch->inside, key, "");
    else
        map_del(s->watch->inside, key);
    free(key);
}

static void check_automatic(struct scenario *s, const struct seen_release *r,
                            const Gantry__V1__StageEntered *m)
{
    const struct def_stage *stage = def_pipeline_stage(r->definition, m->stage, NULL);
    if (!str_eq(r->inside, m->stage) || map_count(r->running) || stage->on_failure != DEF_RETRY)
        scenario_broken(s, "a stage is retried by itself that is not there, or not asked to");
    check_approvals(s, r, stage);
}

static void see_entered(struct scenario *s, const Gantry__V1__StageEntered *m)
{
    struct watch *w = s->watch;
    char text[24];
    struct seen_release *r = watch_release(s, m->release);
    if (m->automatic) {
        check_automatic(s, r, m);
        return;
    }
    check_alone(s, m->stage);
    if (r->inside)
        scenario_broken(s, "release is in two stages");
    size_t place;
    const struct def_stage *stage = def_pipeline_stage(r->definition, m->stage, &place);
    for (size_t i = 0; !watch_is_rollback(r) && i < place; i++) {
        if (!strv_has(&r->succeeded, r->definition->stages[i].name))
            scenario_broken(s, "2: it did not succeed in %s before", r->definition->stages[i].name);
    }
    if (watch_is_rollback(r) && !str_eq(r->started->rollback_stage, m->stage))
        scenario_broken(s, "2: a rollback enters another stage");
    const char *last = map_get(w->entered, m->stage);
    if (!watch_is_rollback(r) && w->current->mode == DEF_SUPERSEDED && last &&
        strtoull(last, NULL, 10) > m->release)
        scenario_broken(s, "4: release %s entered %s before", last, m->stage);
    if (m->number == 1)
        check_gates(s, r, stage);
    else
        check_approvals(s, r, stage);
    if (!watch_is_rollback(r))
        map_set(w->entered, m->stage, mem_strdup(number(text, m->release)));
    set_inside(s, m->stage, m->release, true);
    r->inside = mem_strdup(m->stage);
    r->ended = false;
}

static void see_stage_ended(struct scenario *s, const Gantry__V1__StageEnded *m)
{
    struct seen_release *r = watch_release(s, m->release);
    if (!str_eq(r->inside, m->stage))
        scenario_broken(s, "a stage ends that the release is not in");
    if (map_count(r->running))
        scenario_broken(s, "7: the stage ends while a run goes on");
    if (m->status == GANTRY__V1__STATUS__STATUS_SUCCEEDED) {
        char place[128];
        if (!strv_has(&r->succeeded, m->stage))
            strv_add(&r->succeeded, m->stage);
        snprintf(place, sizeof(place), "%s/%llu", m->stage, (unsigned long long)m->release);
        map_set(s->watch->successes, place, mem_strdup(""));
        votes_success(s, m->stage, m->release);
    }
    set_inside(s, m->stage, m->release, false);
    free(r->inside);
    r->inside = NULL;
    r->arrived_ms = s->watch->now_ms;
}

static void see_ended(struct scenario *s, const Gantry__V1__ReleaseEnded *m)
{
    struct seen_release *r = watch_release(s, m->release);
    if (r->ended || r->inside)
        scenario_broken(s, "a release ends twice, or in a stage");
    if (map_count(r->running))
        scenario_broken(s, "7: the release ends while a run goes on");
    r->ended = true;
    votes_release_ended(s, m->release);
}

/* ---- batches ---- */

static const char *build_end(const struct seen_release *r, const char *action, const char *build)
{
    char key[256];
    snprintf(key, sizeof(key), "%s/%s", action, build);
    return map_get(r->builds, key);
}

static bool is_ignored(const Gantry__V1__BatchPlan *plan, const char *build)
{
    for (size_t i = 0; i < plan->n_builds; i++) {
        if (str_eq(plan->builds[i]->identifier, build))
            return plan->builds[i]->ignore_failure;
    }
    return false;
}

static void see_planned(struct scenario *s, const Gantry__V1__BatchPlanned *m)
{
    struct seen_release *r = watch_release(s, m->release);
    const Gantry__V1__BatchPlan *plan = m->finished->batch;
    char key[256];
    if (!map_get(r->running, m->run_id))
        scenario_broken(s, "a batch is planned by a run that is not under way");
    for (size_t i = 0; i < plan->n_builds; i++) {
        bool kept = false;
        for (size_t j = 0; j < m->n_kept; j++)
            kept = kept || str_eq(m->kept[j], plan->builds[i]->identifier);
        snprintf(key, sizeof(key), "%s/%s", m->action, plan->builds[i]->identifier);
        if (kept && !str_eq(map_get(r->builds, key), "succeeded"))
            scenario_broken(s, "build %s is kept, and it has not succeeded", key);
        if (!kept)
            map_del(r->builds, key);
    }
    map_set(r->batches, m->action, event_clone(plan));
}

/* Asked for when those that it waits for have ended well, or badly and that is ignored. */
static void check_build(struct scenario *s, const struct seen_release *r, const char *action,
                        const char *identifier)
{
    const Gantry__V1__BatchPlan *plan = map_get(r->batches, action);
    bool there = false;
    for (size_t i = 0; plan && i < plan->n_builds; i++) {
        const Gantry__V1__BatchBuild *build = plan->builds[i];
        const char *end = build_end(r, action, build->identifier);
        if (plan->fast_fail && end && !str_eq(end, "succeeded") && !build->ignore_failure)
            scenario_broken(s, "a build is asked for after another failed, with fast-fail");
        if (!str_eq(build->identifier, identifier))
            continue;
        there = true;
        if (end)
            scenario_broken(s, "build %s is asked for again", identifier);
        for (size_t j = 0; j < build->n_depend_on; j++) {
            end = build_end(r, action, build->depend_on[j]);
            if (!end || (!str_eq(end, "succeeded") && !is_ignored(plan, build->depend_on[j])))
                scenario_broken(s, "build %s does not wait for %s", identifier,
                                build->depend_on[j]);
        }
    }
    if (!there)
        scenario_broken(s, "build %s of no batch is asked for", identifier);
}

static void see_build_ended(struct seen_release *r, const Gantry__V1__ActionEnded *m)
{
    bool again = m->status == GANTRY__V1__STATUS__STATUS_ABANDONED && m->finished;
    if (!again)
        map_set(
            r->builds, m->action,
            mem_strdup(m->status == GANTRY__V1__STATUS__STATUS_SUCCEEDED ? "succeeded" : "failed"));
}

/* An action succeeds when all its builds have, but for those whose failure is ignored. */
static void check_batch_ended(struct scenario *s, struct seen_release *r,
                              const Gantry__V1__ActionEnded *m)
{
    Gantry__V1__BatchPlan *plan = map_take(r->batches, m->action);
    bool bad = false;
    for (size_t i = 0; plan && i < plan->n_builds; i++) {
        const char *end = build_end(r, m->action, plan->builds[i]->identifier);
        bad = bad || !end || (!str_eq(end, "succeeded") && !plan->builds[i]->ignore_failure);
    }
    if (plan && bad && m->status == GANTRY__V1__STATUS__STATUS_SUCCEEDED)
        scenario_broken(s, "a batch succeeds in which a build did not");
    if (plan && !bad && m->status == GANTRY__V1__STATUS__STATUS_FAILED &&
        !strstr(m->reason, "image") && !strstr(m->reason, "variables"))
        scenario_broken(s, "a batch fails of which all builds succeeded: %s", m->reason);
    event_free(plan);
}

static void see_requested(struct scenario *s, const Gantry__V1__ActionRequest *m)
{
    struct seen_release *r = watch_release(s, m->release);
    if (r->ended || !str_eq(r->inside, m->stage))
        scenario_broken(s, "6: a run is requested of a release that is not in the stage");
    if (map_get(r->running, m->run_id))
        scenario_broken(s, "a run is requested twice");
    map_set(r->running, m->run_id, "");
    char action[64];
    const char *slash = strchr(m->action, '/');
    snprintf(action, sizeof(action), "%.*s", (int)strcspn(m->action, "/"), m->action);
    if (slash)
        check_build(s, r, action, slash + 1);
    if (m->spec_case == GANTRY__V1__ACTION_REQUEST__SPEC_DEPLOY &&
        !str_eq(map_get(r->digests, m->deploy->artifact->name), m->deploy->artifact->digest))
        scenario_broken(s, "3: another digest is deployed than was built");
    const char *pin = m->spec_case == GANTRY__V1__ACTION_REQUEST__SPEC_DEPLOY
                          ? map_get(s->watch->pins, m->deploy->environment)
                          : NULL;
    if (pin && !str_eq(pin, m->deploy->artifact->digest))
        scenario_broken(s, "%s is pinned, and another digest goes there", m->deploy->environment);
}

static void see_action_ended(struct scenario *s, const Gantry__V1__ActionEnded *m)
{
    struct seen_release *r = watch_release(s, m->release);
    if (!map_del(r->running, m->run_id) && m->status != GANTRY__V1__STATUS__STATUS_FAILED)
        scenario_broken(s, "a run ends well that was never requested");
    if (strchr(m->action, '/'))
        see_build_ended(r, m);
    else
        check_batch_ended(s, r, m);
    if (m->kind != GANTRY__V1__ACTION_KIND__ACTION_KIND_APPROVAL ||
        m->status != GANTRY__V1__STATUS__STATUS_SUCCEEDED)
        return;
    char key[256];
    const struct def_stage *stage = def_pipeline_stage(r->definition, m->stage, NULL);
    const struct def_action *action = def_stage_action(stage, m->action, NULL);
    snprintf(key, sizeof(key), "%llu/%s/%s", (unsigned long long)m->release, m->stage, m->action);
    votes_let_pass(s, r, &action->approval, key);
}

static void see_artifact(struct scenario *s, const Gantry__V1__ArtifactSet *m)
{
    struct seen_release *r = watch_release(s, m->release);
    if (map_get(r->digests, m->artifact->name))
        scenario_broken(s, "3: the digest of artifact %s is set again", m->artifact->name);
    map_set(r->digests, m->artifact->name, mem_strdup(m->artifact->digest));
}

static bool is_frozen(struct scenario *s, const struct def_stage *stage)
{
    for (size_t i = 0; i < stage->step_count; i++) {
        for (size_t j = 0; j < stage->steps[i].action_count; j++) {
            const struct def_action *action = &stage->steps[i].actions[j];
            const struct engine_environment *env =
                action->kind == DEF_DEPLOY ? map_get(s->environments, action->deploy.environment)
                                           : NULL;
            for (size_t k = 0; env && k < env->freeze_count; k++) {
                if (window_is_open(env->freezes[k].window, s->watch->now_ms))
                    return true;
            }
        }
    }
    return false;
}

/* There has to be something to override. */
static void check_override(struct scenario *s, const Gantry__V1__GateOverridden *m)
{
    const struct seen_release *r = watch_release(s, m->release);
    const struct def_stage *stage = def_pipeline_stage(r->definition, m->stage, NULL);
    bool rollback = watch_is_rollback(r);
    if (str_eq(m->gate, "disabled") && (rollback || !map_get(s->watch->disabled, m->stage)))
        scenario_broken(s, "a transition is overridden that is not disabled");
    if (str_eq(m->gate, "freeze") && (rollback || !is_frozen(s, stage)))
        scenario_broken(s, "a freeze is overridden where nothing is frozen");
    if (rollback && !(stage->rollback_approval && str_starts(m->gate, "approval")))
        scenario_broken(s, "a rollback does not wait for %s, which is overridden", m->gate);
}

static void see_steered(struct scenario *s, const Gantry__V1__Change *change)
{
    struct watch *w = s->watch;
    char key[256];
    switch ((int)change->what_case) {
    case GANTRY__V1__CHANGE__WHAT_TRANSITION_SET:
        if (change->transition_set->enabled)
            map_del(w->disabled, change->transition_set->stage);
        else
            map_set(w->disabled, change->transition_set->stage, "");
        break;
    case GANTRY__V1__CHANGE__WHAT_RELEASE_PROMOTED: {
        const Gantry__V1__ReleasePromoted *m = change->release_promoted;
        for (size_t i = 0; i < m->n_gates; i++) {
            snprintf(key, sizeof(key), "%llu/%s/%s", (unsigned long long)m->release, m->stage,
                     m->gates[i]);
            map_set(w->passed, key, "");
        }
        break;
    }
    case GANTRY__V1__CHANGE__WHAT_GATE_OVERRIDDEN: {
        const Gantry__V1__GateOverridden *m = change->gate_overridden;
        if (str_empty(m->reason) || !m->by)
            scenario_broken(s, "a gate is overridden without a reason, or by nobody");
        check_override(s, m);
        snprintf(key, sizeof(key), "%llu/%s/%s", (unsigned long long)m->release, m->stage, m->gate);
        map_set(w->passed, key, "");
        break;
    }
    case GANTRY__V1__CHANGE__WHAT_ENVIRONMENT_PINNED:
        if (change->environment_pinned->pinned)
            map_set(w->pins, change->environment_pinned->environment,
                    mem_strdup(change->environment_pinned->digest));
        else
            map_del(w->pins, change->environment_pinned->environment);
        break;
    default:
        break;
    }
}

static void see_check(struct scenario *s, const Gantry__V1__Change *change)
{
    char key[256];
    if (change->what_case == GANTRY__V1__CHANGE__WHAT_CHECK_ASKED) {
        const Gantry__V1__ActionRequest *m = change->check_asked->request;
        struct seen_release *r = watch_release(s, m->release);
        if (r->ended || r->inside)
            scenario_broken(s, "6: a check is asked of a release that does not wait");
        map_set(r->running, m->run_id, "");
    } else if (change->what_case == GANTRY__V1__CHANGE__WHAT_CHECK_ANSWERED) {
        const Gantry__V1__CheckAnswered *m = change->check_answered;
        struct seen_release *r = watch_release(s, m->release);
        if (!map_del(r->running, m->run_id) && m->yes)
            scenario_broken(s, "a check is answered that was not asked");
        snprintf(key, sizeof(key), "%llu/%s/%s", (unsigned long long)m->release, m->stage, m->gate);
        map_del(s->watch->checks, key);
        if (m->yes)
            map_set(s->watch->checks, key, mem_printf("%lld", (long long)m->ask_again_ms));
    }
}

/* A refused transition is begun anew: what people let pass before counts no more. */
static void see_waiting(struct scenario *s, const Gantry__V1__StageWaiting *m)
{
    struct seen_release *r = watch_release(s, m->release);
    struct strv gone = {0};
    char *prefix = mem_printf("%llu/%s/", (unsigned long long)m->release, m->stage);
    for (struct map_iter it = {0}; r->ended && map_next(s->watch->passed, &it);) {
        if (str_starts(it.key, prefix))
            strv_add(&gone, it.key);
    }
    for (size_t i = 0; i < gone.count; i++)
        map_del(s->watch->passed, gone.items[i]);
    strv_release(&gone);
    free(prefix);
    r->ended = false;
}

static void see(struct scenario *s, const Gantry__V1__Change *change)
{
    switch ((int)change->what_case) {
    case GANTRY__V1__CHANGE__WHAT_DEFINITION_TAKEN:
        see_definition(s, change->definition_taken);
        break;
    case GANTRY__V1__CHANGE__WHAT_REVISION_SEEN:
        votes_revision(s, change->revision_seen->change);
        break;
    case GANTRY__V1__CHANGE__WHAT_RELEASE_STARTED:
        see_started(s, change->release_started);
        break;
    case GANTRY__V1__CHANGE__WHAT_RELEASE_ENDED:
        see_ended(s, change->release_ended);
        break;
    case GANTRY__V1__CHANGE__WHAT_STAGE_WAITING:
        see_waiting(s, change->stage_waiting);
        break;
    case GANTRY__V1__CHANGE__WHAT_STAGE_ENTERED:
        see_entered(s, change->stage_entered);
        break;
    case GANTRY__V1__CHANGE__WHAT_STAGE_ENDED:
        see_stage_ended(s, change->stage_ended);
        break;
    case GANTRY__V1__CHANGE__WHAT_ACTION_REQUESTED:
        see_requested(s, change->action_requested->request);
        break;
    case GANTRY__V1__CHANGE__WHAT_BATCH_PLANNED:
        see_planned(s, change->batch_planned);
        break;
    case GANTRY__V1__CHANGE__WHAT_ACTION_ENDED:
        see_action_ended(s, change->action_ended);
        break;
    case GANTRY__V1__CHANGE__WHAT_ARTIFACT_SET:
        see_artifact(s, change->artifact_set);
        break;
    case GANTRY__V1__CHANGE__WHAT_APPROVAL_OPENED:
        votes_opened(s, change->approval_opened->approval);
        break;
    case GANTRY__V1__CHANGE__WHAT_VOTE_COUNTED:
        votes_vote(s, change->vote_counted);
        break;
    case GANTRY__V1__CHANGE__WHAT_APPROVAL_CLOSED:
        votes_closed(s, change->approval_closed->approval);
        break;
    default:
        see_check(s, change);
        see_steered(s, change);
    }
}

void watch_decision(struct scenario *s, const Gantry__V1__Decision *decision)
{
    s->watch->now_ms = decision->time_ms;
    for (size_t i = 0; i < decision->n_changes; i++)
        see(s, decision->changes[i]);
    votes_decided(s);
}
