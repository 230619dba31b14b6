/* What an executor is asked to do. */
#include <string.h>

#include "engine/plan.h"

/* A request in the making; `refusal` is why it cannot be made. */
struct asking {
    struct plan *plan;
    const struct release *release;
    const struct def_action *action;
    const Gantry__V1__BatchBuild *build; /* of its batch; NULL: it is the action itself */
    Gantry__V1__ActionRequest *request;
    const char *refusal;
};

/* The definition's pairs with their values expanded. */
static Gantry__V1__KeyValue **expand_pairs(struct asking *ask, const struct def_pair *pairs,
                                           size_t count)
{
    struct plan *plan = ask->plan;
    Gantry__V1__KeyValue **items = count ? arena_alloc(plan->arena, count * sizeof(*items)) : NULL;
    for (size_t i = 0; i < count; i++) {
        const char *unknown = NULL;
        items[i] = plan_key_value(plan, pairs[i].key, "");
        if (!plan_expand(plan, ask->release, pairs[i].value, &items[i]->value, &unknown) &&
            !ask->refusal)
            ask->refusal = plan_text(plan, "'%s' uses {{%s}}, which has no value in this release",
                                     pairs[i].key, unknown);
    }
    return items;
}

static size_t find_pair(Gantry__V1__KeyValue *const *items, size_t count, const char *key)
{
    size_t i = 0;
    while (i < count && strcmp(items[i]->key, key) != 0)
        i++;
    return i;
}

/* What a build of a batch says goes over what its action says. */
static void set_build(struct asking *ask, Gantry__V1__BuildSpec *m)
{
    const Gantry__V1__BatchBuild *build = ask->build;
    struct plan *plan = ask->plan;
    size_t count = m->n_env;
    Gantry__V1__KeyValue **env =
        arena_alloc(plan->arena, (count + build->n_env + 1) * sizeof(*env));
    if (count)
        memcpy(env, m->env, count * sizeof(*env));
    for (size_t i = 0; i < build->n_env; i++) {
        const Gantry__V1__KeyValue *pair = build->env[i];
        size_t at = find_pair(env, count, pair->key);
        env[at] = plan_key_value(plan, pair->key, pair->value);
        count = at == count ? count + 1 : count;
    }
    m->env = env;
    m->n_env = count;
    if (!str_empty(build->buildspec))
        m->buildspec = plan_string(plan, build->buildspec);
    if (build->cpu > 0)
        m->cpu = build->cpu;
    if (build->memory_bytes)
        m->memory_bytes = build->memory_bytes;
    m->batch_image = plan_string(plan, build->image);
    if (build->privilege_case == GANTRY__V1__BATCH_BUILD__PRIVILEGE_PRIVILEGED) {
        m->batch_privilege_case = GANTRY__V1__BUILD_SPEC__BATCH_PRIVILEGE_BATCH_PRIVILEGED;
        m->batch_privileged = build->privileged;
    }
}

static void ask_build(struct asking *ask)
{
    const struct def_action *action = ask->action;
    struct plan *plan = ask->plan;
    Gantry__V1__BuildSpec *m =
        PLAN_MESSAGE(plan, Gantry__V1__BuildSpec, gantry__v1__build_spec__init);
    m->source = plan_string(plan, action->build.source);
    m->buildspec = plan_string(plan, action->build.buildspec);
    m->dockerfile = plan_string(plan, action->build.dockerfile);
    m->image = plan_string(plan, action->build.image);
    m->build_image = plan_string(plan, action->build.build_image);
    m->privileged = action->build.privileged;
    m->cpu = action->build.cpu;
    m->memory_bytes = action->build.memory_bytes;
    m->env = expand_pairs(ask, action->build.env, action->build.env_count);
    m->n_env = action->build.env_count;
    m->service_account = plan_string(plan, action->build.service_account);
    m->node_selector =
        expand_pairs(ask, action->build.node_selector, action->build.node_selector_count);
    m->n_node_selector = action->build.node_selector_count;
    if (ask->build)
        set_build(ask, m);
    else
        m->batch = action->build.batch;
    ask->request->spec_case = GANTRY__V1__ACTION_REQUEST__SPEC_BUILD;
    ask->request->build = m;
}

/* `kubernetes:` or `docker:` says what to change there, its {{names}} filled in. */
static void add_target(struct asking *ask, Gantry__V1__DeploySpec *m)
{
    const struct def_action *action = ask->action;
    struct plan *plan = ask->plan;
    size_t count = action->deploy.target_count;
    if (!action->deploy.target)
        return;
    Gantry__V1__KeyValue **values = expand_pairs(ask, action->deploy.target_pairs, count);
    struct def_pair *pairs = arena_alloc(plan->arena, (count + 1) * sizeof(*pairs));
    for (size_t i = 0; i < count; i++) {
        pairs[i] = (struct def_pair){values[i]->key, values[i]->value};
        const char *wrong = def_target_wrong(action->deploy.target, pairs[i].key, pairs[i].value);
        if (wrong && !ask->refusal)
            ask->refusal =
                plan_text(plan, "'%s' is '%.100s': %s", pairs[i].key, pairs[i].value, wrong);
    }
    struct buf yaml;
    buf_init(&yaml, DEFINITION_SIZE_MAX);
    if (def_target_yaml(action->deploy.target, pairs, count, &yaml) < 0 && !ask->refusal)
        ask->refusal = plan_text(plan, "'%s' takes more than %d KiB", action->deploy.target,
                                 DEFINITION_SIZE_MAX / 1024);
    m->target_yaml.data = (uint8_t *)plan_string(plan, buf_cstr(&yaml));
    m->target_yaml.len = yaml.len;
    buf_release(&yaml);
}

static Gantry__V1__Artifact *artifact_of(struct asking *ask, const char *name)
{
    for (size_t i = 0; i < ask->release->artifacts.count; i++) {
        struct fixed *fixed = ask->release->artifacts.items[i];
        Gantry__V1__Artifact *artifact = (Gantry__V1__Artifact *)fixed->message;
        if (!name || strcmp(artifact->name, name) == 0) {
            arena_hold(ask->plan->arena, fixed);
            return artifact;
        }
    }
    return NULL;
}

/* Why it cannot be deployed now; NULL: it can. */
static const char *why_no_deploy(struct asking *ask, const struct engine_environment *env,
                                 const Gantry__V1__Artifact *artifact)
{
    const struct def_action *action = ask->action;
    struct plan *plan = ask->plan;
    const char *name = action->deploy.environment, *driver = action->deploy.target;
    const Gantry__V1__EnvironmentPinned *pin = state_pin(plan->state, name);
    if (!env)
        return plan_text(plan,
                         "environment '%s' is not defined: apply it, then retry the "
                         "stage",
                         name);
    if (!artifact)
        return plan_text(plan, "release %llu has no image '%s' to deploy",
                         (unsigned long long)ask->release->number,
                         action->deploy.artifact ? action->deploy.artifact : "");
    if (driver && !str_eq(driver, env->driver))
        return plan_text(plan,
                         "the action says '%s:', and environment '%s' is of driver "
                         "'%s'",
                         driver, name, env->driver);
    if (pin && strcmp(pin->digest, artifact->digest) != 0)
        return plan_text(plan,
                         "environment '%s' was pinned to %.19s meanwhile: unpin it, then "
                         "retry the stage",
                         name, pin->digest);
    return NULL;
}

static void ask_deploy(struct asking *ask)
{
    const struct def_action *action = ask->action;
    struct plan *plan = ask->plan;
    const struct engine_input *input = plan->input;
    const char *name = action->deploy.environment;
    const struct engine_environment *env =
        input->environment ? input->environment(name, input->environment_arg) : NULL;
    Gantry__V1__Artifact *artifact = artifact_of(ask, action->deploy.artifact);
    ask->refusal = why_no_deploy(ask, env, artifact);
    if (ask->refusal)
        return;
    Gantry__V1__DeploySpec *m =
        PLAN_MESSAGE(plan, Gantry__V1__DeploySpec, gantry__v1__deploy_spec__init);
    m->environment = plan_string(plan, name);
    m->deployer = plan_string(plan, env->deployer);
    m->driver = plan_string(plan, env->driver);
    m->command = plan_string(plan, env->command);
    m->artifact = artifact;
    m->environment_yaml.data = arena_dup(plan->arena, env->yaml, env->yaml_len);
    m->environment_yaml.len = env->yaml_len;
    if (env->sha256) {
        m->environment_sha256.data = arena_dup(plan->arena, env->sha256, SHA256_SIZE);
        m->environment_sha256.len = SHA256_SIZE;
    }
    add_target(ask, m);
    /* These drivers compare what is there before they change it, so a second start harms nothing.
     */
    if (!action->retry_lost_said &&
        (str_eq(env->driver, "kubernetes") || str_eq(env->driver, "docker")))
        ask->request->retry_lost = true;
    ask->request->spec_case = GANTRY__V1__ACTION_REQUEST__SPEC_DEPLOY;
    ask->request->deploy = m;
}

static void ask_custom(struct asking *ask, const char *type, const struct def_pair *input,
                       size_t input_count)
{
    struct plan *plan = ask->plan;
    const struct parts *artifacts = &ask->release->artifacts;
    Gantry__V1__CustomSpec *m =
        PLAN_MESSAGE(plan, Gantry__V1__CustomSpec, gantry__v1__custom_spec__init);
    m->type = plan_string(plan, type);
    m->input = expand_pairs(ask, input, input_count);
    m->n_input = input_count;
    m->n_artifacts = artifacts->count;
    m->artifacts = artifacts->count
                       ? arena_alloc(plan->arena, artifacts->count * sizeof(*m->artifacts))
                       : NULL;
    for (size_t i = 0; i < artifacts->count; i++) {
        struct fixed *fixed = arena_hold(plan->arena, artifacts->items[i]);
        m->artifacts[i] = (Gantry__V1__Artifact *)fixed->message;
    }
    ask->request->spec_case = GANTRY__V1__ACTION_REQUEST__SPEC_CUSTOM;
    ask->request->custom = m;
}

static Gantry__V1__ActionRequest *request_of(struct plan *plan, const struct release *release,
                                             const char *name, uint32_t number)
{
    struct facts *facts = arena_hold(plan->arena, release->facts);
    const char *stage = release_stage(release)->name;
    char id[ID_SIZE];
    event_id_run(id, plan->epoch, plan->state->pipeline->text, release->number, stage, name,
                 number);
    Gantry__V1__ActionRequest *m =
        PLAN_MESSAGE(plan, Gantry__V1__ActionRequest, gantry__v1__action_request__init);
    m->verb = GANTRY__V1__REQUEST_VERB__REQUEST_VERB_RUN;
    m->run_id = plan_string(plan, id);
    m->pipeline = plan_string(plan, plan->state->pipeline->text);
    m->release = release->number;
    m->stage = plan_string(plan, stage);
    m->action = plan_string(plan, name);
    m->number = number;
    m->definition_number = release->definition->number;
    m->revisions = facts->started->revisions;
    m->n_revisions = facts->started->n_revisions;
    m->starter = facts->started->starter;
    plan_variables(plan, release, &m->variables, &m->n_variables);
    return m;
}

Gantry__V1__ActionRequest *plan_check_request(struct plan *plan, const struct release *release,
                                              size_t place, const char **refusal)
{
    const struct def_gate *gate = &release_stage(release)->gates[place];
    Gantry__V1__ActionRequest *request =
        request_of(plan, release, gate->name, release->gates[place].check.number + 1);
    struct asking ask = {plan, release, NULL, NULL, request, NULL};
    ask_custom(&ask, gate->check.type, gate->check.input, gate->check.input_count);
    request->kind = GANTRY__V1__ACTION_KIND__ACTION_KIND_CUSTOM;
    request->check = true;
    *refusal = ask.refusal;
    return request;
}

Gantry__V1__ActionRequest *plan_check_cancel(struct plan *plan, const struct release *release,
                                             size_t place, const char *reason)
{
    const struct check *check = &release->gates[place].check;
    Gantry__V1__ActionRequest *m =
        PLAN_MESSAGE(plan, Gantry__V1__ActionRequest, gantry__v1__action_request__init);
    m->verb = GANTRY__V1__REQUEST_VERB__REQUEST_VERB_CANCEL;
    m->run_id = plan_string(plan, check->id);
    m->pipeline = plan_string(plan, plan->state->pipeline->text);
    m->release = release->number;
    m->stage = plan_string(plan, release_stage(release)->name);
    m->action = plan_string(plan, release_stage(release)->gates[place].name);
    m->number = check->number;
    m->kind = GANTRY__V1__ACTION_KIND__ACTION_KIND_CUSTOM;
    m->definition_number = release->definition->number;
    m->check = true;
    m->cancel_reason = plan_string(plan, reason);
    return m;
}

void plan_request(struct plan *plan, uint64_t number, struct slot slot)
{
    const struct release *release = state_release(plan->state, number);
    if (plan->failed || !release)
        return;
    size_t step = 0;
    const struct def_action *action = stage_action_at(release_stage(release), slot.place, &step);
    Gantry__V1__ActionRequest *request = request_of(
        plan, release, plan_slot_name(plan, release, slot), release_run(release, slot)->number + 1);
    const struct batch *batch = slot.build ? release->runs[slot.place].batch : NULL;
    request->timeout_ms = action->timeout_ms;
    request->deadline_ms = plan->now_ms + action->timeout_ms;
    request->retry_lost = action->retry_lost;
    request->lost_after_ms = action->lost_after_ms;
    struct asking ask = {plan,    release,
                         action,  batch ? batch_plan(batch)->builds[slot.build - 1] : NULL,
                         request, NULL};
    switch (action->kind) {
    case DEF_BUILD:
        request->kind = GANTRY__V1__ACTION_KIND__ACTION_KIND_BUILD;
        ask_build(&ask);
        break;
    case DEF_DEPLOY:
        request->kind = GANTRY__V1__ACTION_KIND__ACTION_KIND_DEPLOY;
        ask_deploy(&ask);
        break;
    case DEF_CUSTOM:
        request->kind = GANTRY__V1__ACTION_KIND__ACTION_KIND_CUSTOM;
        ask_custom(&ask, action->custom.type, action->custom.input, action->custom.input_count);
        break;
    case DEF_APPROVAL:
        request->kind = GANTRY__V1__ACTION_KIND__ACTION_KIND_APPROVAL;
        request->timeout_ms = action->approval.expires_ms;
        request->deadline_ms = plan->now_ms + action->approval.expires_ms;
        break;
    }
    size_t bytes = protobuf_c_message_get_packed_size(&request->base);
    if (!ask.refusal && bytes > STATE_CHANGES_MAX / 2)
        ask.refusal = plan_text(plan,
                                "what the action is given takes %zu KiB, more than a record "
                                "may hold",
                                bytes / 1024);
    if (ask.refusal) {
        plan_action_ended(plan, release, slot, GANTRY__V1__STATUS__STATUS_FAILED, ask.refusal, NULL,
                          false);
        return;
    }
    Gantry__V1__ActionRequested *m =
        PLAN_MESSAGE(plan, Gantry__V1__ActionRequested, gantry__v1__action_requested__init);
    m->request = request;
    m->step = (uint32_t)step;
    plan_change(plan, GANTRY__V1__CHANGE__WHAT_ACTION_REQUESTED, m);
    if (action->kind == DEF_APPROVAL && !plan->failed)
        plan_approval_open(plan, number, action->name, &action->approval);
}
