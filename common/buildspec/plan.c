#include "buildspec/plan.h"

#include <regex.h>
#include <stdio.h>

enum state { BEFORE_PHASE, IN_PHASE, AFTER_PHASE, DONE };

void plan_init(struct plan *plan, const struct buildspec *spec)
{
    *plan = (struct plan){.spec = spec, .separate_shells = spec->separate_shells};
    for (int p = 0; p < BUILDSPEC_PHASES; p++) {
        const struct buildspec_phase *phase = &spec->phases[p];
        plan->first[p] = plan->texts.count;
        for (size_t i = 0; i < phase->commands.count; i++)
            strv_add(&plan->texts, phase->commands.items[i]);
        plan->first_finally[p] = plan->texts.count;
        for (size_t i = 0; i < phase->finally.count; i++)
            strv_add(&plan->texts, phase->finally.items[i]);
        plan->end[p] = plan->texts.count;
        while (plan->users.count < plan->texts.count)
            strv_add(&plan->users, buildspec_run_as(spec, (enum buildspec_phase_name)p));
    }
}

void plan_release(struct plan *plan)
{
    strv_release(&plan->texts);
    strv_release(&plan->users);
}

bool plan_succeeding(const struct plan *plan)
{
    return !plan->failed && !plan->phase_failed;
}

static bool matches(const char *regex, const char *text)
{
    regex_t compiled;
    if (!regex)
        return true;
    if (regcomp(&compiled, regex, REG_EXTENDED | REG_NOSUB) != 0)
        return false;
    bool found = regexec(&compiled, text, 0, NULL, 0) == 0;
    regfree(&compiled);
    return found;
}

static bool may_retry(const struct plan *plan)
{
    const struct buildspec_phase *phase = &plan->spec->phases[plan->phase];
    return phase->on_failure == BUILDSPEC_RETRY && plan->retries < phase->retries &&
           matches(phase->retry_regex, plan->message);
}

static void enter(struct plan *plan)
{
    plan->state = IN_PHASE;
    plan->next = plan->first[plan->phase];
    plan->in_finally = false;
    plan->phase_failed = false;
}

/* Where a failed phase leads to; BUILDSPEC_PHASES: the end. */
static int phase_after_failure(const struct plan *plan)
{
    const struct buildspec_phase *phase = &plan->spec->phases[plan->phase];
    if (phase->on_failure == BUILDSPEC_CONTINUE)
        return (int)plan->phase + 1;
    if (phase->on_failure != BUILDSPEC_ABORT && plan->phase == BUILDSPEC_BUILD)
        return BUILDSPEC_POST_BUILD;
    return BUILDSPEC_PHASES;
}

static void leave(struct plan *plan)
{
    int next = (int)plan->phase + 1;
    if (plan->phase_failed) {
        next = phase_after_failure(plan);
        plan->failed = true;
    }
    plan->phase_failed = false;
    plan->retries = 0;
    plan->state = next < BUILDSPEC_PHASES ? BEFORE_PHASE : DONE;
    if (next < BUILDSPEC_PHASES)
        plan->phase = (enum buildspec_phase_name)next;
}

static void next_in_phase(struct plan *plan, struct plan_step *step)
{
    size_t finally = plan->first_finally[plan->phase];
    if (!plan->in_finally && (plan->phase_failed || plan->next == finally)) {
        plan->in_finally = true;
        plan->next = finally;
    }
    if (plan->next < plan->end[plan->phase]) {
        step->kind = PLAN_COMMAND;
        step->index = plan->next;
        plan->waiting = true;
        return;
    }
    if (plan->phase_failed && may_retry(plan)) {
        step->kind = PLAN_PHASE_RETRY;
        plan->retries++;
        enter(plan);
        return;
    }
    step->kind = PLAN_PHASE_END;
    step->failed = plan->phase_failed;
    plan->state = AFTER_PHASE;
}

void plan_next(struct plan *plan, struct plan_step *step)
{
    if (plan->state == AFTER_PHASE)
        leave(plan);
    while (plan->state == BEFORE_PHASE && !plan->spec->phases[plan->phase].present)
        leave(plan);
    *step = (struct plan_step){.phase = plan->phase, .message = ""};
    if (plan->state == DONE) {
        step->kind = PLAN_DONE;
    } else if (plan->state == BEFORE_PHASE) {
        step->kind = PLAN_PHASE_BEGIN;
        enter(plan);
    } else {
        next_in_phase(plan, step);
    }
    if (step->kind == PLAN_PHASE_RETRY || step->failed)
        step->message = plan->message;
    step->succeeding = plan_succeeding(plan);
}

void plan_ended(struct plan *plan, int code)
{
    size_t index = plan->next++;
    plan->waiting = false;
    if (code == 0)
        return;
    if (!plan->failed && !plan->phase_failed) {
        plan->failed_phase = plan->phase;
        plan->failed_index = index;
        plan->failed_code = code;
    }
    if (!plan->phase_failed)
        snprintf(plan->message, sizeof(plan->message),
                 "Error while executing command: %.400s. Reason: exit status %d",
                 plan->texts.items[index], code);
    plan->phase_failed = true;
    if (plan->in_finally)
        plan->next = plan->end[plan->phase];
}
