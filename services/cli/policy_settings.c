#include <stdlib.h>

#include "base/mem.h"
#include "services/cli/policy_sim.h"

void sim_environment_free(void *value)
{
    struct policy_environment *guess = value;

    if (guess)
        free((char *)guess->env.name);
    free(guess);
}

/* The driver that an action's target wants. */
static const char *driver_for(const struct def_pipeline *pipeline, const char *environment)
{
    for (size_t i = 0; i < pipeline->stage_count; i++)
        for (size_t j = 0; j < pipeline->stages[i].step_count; j++)
            for (size_t k = 0; k < pipeline->stages[i].steps[j].action_count; k++) {
                const struct def_action *action = &pipeline->stages[i].steps[j].actions[k];

                if (action->kind != DEF_DEPLOY || !action->deploy.target ||
                    !str_eq(action->deploy.environment, environment))
                    continue;
                return action->deploy.target;
            }
    return "command";
}

static struct policy_environment *guess(struct sim *sim, const char *name)
{
    struct policy_environment *environment = map_get(sim->guessed, name);

    if (!environment) {
        environment = mem_alloc(sizeof *environment);
        environment->env =
            (struct engine_environment){.name = mem_strdup(name),
                                        .deployer = "default",
                                        .driver = driver_for(sim->def->pipeline, name),
                                        .command = "",
                                        .yaml = "",
                                        .sha256 = environment->sha256};
        map_set(sim->guessed, name, environment);
        sim_assume(sim,
                   "environment %s was not deployed to then: it is taken to be there, and open",
                   name);
    }
    return environment;
}

static const struct engine_environment *given(struct sim *sim, const char *name)
{
    for (size_t i = 0; i < sim->environment_count; i++) {
        const struct def_environment *def = sim->environments[i]->environment;
        struct policy_environment *environment;

        if (!str_eq(sim->environments[i]->name, name))
            continue;
        environment = map_get(sim->guessed, name);
        if (!environment) {
            environment = mem_alloc(sizeof *environment);
            environment->env = (struct engine_environment){.name = mem_strdup(name),
                                                           .deployer = def->deployer,
                                                           .driver = def->driver,
                                                           .command = def->command,
                                                           .yaml = "",
                                                           .freezes = def->freezes,
                                                           .freeze_count = def->freeze_count,
                                                           .sha256 = sim->environments[i]->sha256};
            map_set(sim->guessed, name, environment);
        }
        return &environment->env;
    }
    return NULL;
}

const struct engine_environment *sim_environment(const char *name, void *arg)
{
    struct sim *sim = arg;
    const struct engine_environment *in_file = given(sim, name);
    const struct policy_environment *found = NULL;

    for (size_t i = 0; !in_file && i < sim->history->environments.count; i++) {
        const struct policy_environment *one = sim->history->environments.items[i];

        if (str_eq(one->env.name, name) && (!found || one->from_ms <= sim->now_ms))
            found = one;
    }
    if (in_file)
        return in_file;
    return found ? &found->env : &guess(sim, name)->env;
}
