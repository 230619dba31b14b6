#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "definition/kinds.h"
#include "definition/syntax.h"

#define MINUTE_MS (60 * (int64_t)1000)
#define HOUR_MS   (60 * MINUTE_MS)
#define CPU_MAX   1024

static int64_t read_timeout(struct reader *r, const struct yaml_node *node, int64_t otherwise)
{
    /* The page's minute is advice: a timeout that is shorter serves trials. */
    static const struct span span = {1000, 7 * 24 * HOUR_MS, "1s to 7d"};

    return read_duration(r, node, &span, otherwise);
}

static int64_t read_lost_after(struct reader *r, const struct yaml_node *node)
{
    static const struct span span = {MINUTE_MS, 7 * 24 * HOUR_MS, "1m to 7d"};

    return read_duration(r, node, &span, 10 * MINUTE_MS);
}

static void read_size(struct reader *r, const struct yaml_node *node, struct def_action *action)
{
    const struct yaml_node *values[SIZE_KEYS];
    size_t mark;

    if (!node)
        return;
    mark = reader_enter_key(r, node->key->text);
    if (read_fields(r, node, &size_keys, values) == 0) {
        const struct yaml_node *cpu = values[SIZE_CPU];
        const struct yaml_node *memory = values[SIZE_MEMORY];

        if (cpu && (cpu->type != YAML_TEXT || str_to_double(cpu->text, &action->build.cpu) < 0 ||
                    action->build.cpu <= 0 || action->build.cpu > CPU_MAX))
            problem(r, cpu, "expected a number of cores, such as 0.5 or 2");
        if (memory && (memory->type != YAML_TEXT ||
                       str_to_size(memory->text, &action->build.memory_bytes) < 0 ||
                       action->build.memory_bytes == 0))
            problem(r, memory, "expected a size, such as 512Mi or 4Gi");
    }
    reader_leave(r, mark);
}

/* A source that is named must be there; of one alone the name may be left out. */
static void check_source(struct pipeline_reader *pr, struct def_action *action,
                         const struct yaml_node *map, const struct yaml_node *node)
{
    const struct def_pipeline *pipeline = pr->pipeline;
    const char *names[DEFINITION_SOURCES_MAX + 1] = {NULL};
    size_t count = 0;

    for (size_t i = 0; i < pipeline->source_count; i++)
        if (pipeline->sources[i].name)
            names[count++] = pipeline->sources[i].name;
    if (count < pipeline->source_count || count == 0)
        return;
    if (!node && count == 1)
        action->build.source = mem_strdup(names[0]);
    else if (!node)
        problem_at(pr->r->problems, map->line, map->column, pr->r->path,
                   "needs 'source', since the pipeline has %zu", count);
    else if (action->build.source && !def_pipeline_source(pipeline, action->build.source))
        problem_word(pr->r, node, "a source of this pipeline", names);
}

/* Without either key: what makes an image is a Dockerfile, what makes none a buildspec, and so is
 * what has a batch. */
static void read_recipe(struct reader *r, struct def_action *action,
                        const struct yaml_node *const values[BUILD_KEYS])
{
    const struct yaml_node *buildspec = values[BUILD_BUILDSPEC], *image = values[BUILD_IMAGE];
    const struct yaml_node *dockerfile = values[BUILD_DOCKERFILE];

    action->build.batch = read_bool(r, values[BUILD_BATCH], false);
    action->build.image = read_checked(r, image, syntax_image);
    action->build.buildspec = read_checked(r, buildspec, syntax_path);
    action->build.dockerfile = read_checked(r, dockerfile, syntax_path);
    if (buildspec && dockerfile)
        problem(r, dockerfile, "a build has a buildspec or a dockerfile, not both");
    else if (dockerfile && action->build.batch)
        problem(r, dockerfile, "a batch stands in a buildspec, not in a dockerfile");
    else if (dockerfile && !image)
        problem(r, dockerfile, "needs 'image' too: the repository that the image goes to");
    else if (!buildspec && !dockerfile && image && !action->build.batch)
        action->build.dockerfile = mem_strdup("Dockerfile");
    else if (!buildspec && !dockerfile)
        action->build.buildspec = mem_strdup("buildspec.yml");
}

static void check_label_value(struct reader *r, const struct yaml_node *node)
{
    static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

    if (node->type == YAML_TEXT &&
        (strlen(node->text) > 63 || strspn(node->text, chars) != strlen(node->text)))
        problem(r, node, "a label's value has up to 63 letters, digits, '-', '_' and '.'");
}

static void check_label_values(struct reader *r, const struct yaml_node *labels)
{
    size_t mark;

    if (!labels || labels->type != YAML_MAP)
        return;
    mark = reader_enter_key(r, labels->key->text);
    for (const struct yaml_node *n = labels->first; n; n = n->next)
        check_label_value(r, n);
    reader_leave(r, mark);
}

static void read_job(struct reader *r, const struct yaml_node *node, struct def_action *action)
{
    const struct yaml_node *values[JOB_KEYS];
    size_t mark;

    if (!node)
        return;
    mark = reader_enter_key(r, node->key->text);
    if (read_fields(r, node, &job_keys, values) == 0) {
        const struct yaml_node *labels = values[JOB_NODE_SELECTOR];

        action->build.service_account =
            read_checked(r, values[JOB_SERVICE_ACCOUNT], syntax_kubernetes);
        action->build.node_selector = read_pairs(r, labels, DEF_LABELS_MAX, syntax_node_label,
                                                 &action->build.node_selector_count);
        check_label_values(r, labels);
    }
    reader_leave(r, mark);
}

static void read_build(struct pipeline_reader *pr, struct def_action *action,
                       const struct yaml_node *map)
{
    const struct yaml_node *values[BUILD_KEYS];
    struct reader *r = pr->r;

    action->kind = DEF_BUILD;
    if (read_fields(r, map, &build_keys, values) < 0) {
        pr->images_unsure = true;
        return;
    }
    action->name = read_checked(r, values[BUILD_NAME], syntax_name);
    action->build.source = read_checked(r, values[BUILD_SOURCE], syntax_name);
    check_source(pr, action, map, values[BUILD_SOURCE]);
    read_recipe(r, action, values);
    read_size(r, values[BUILD_SIZE], action);
    action->build.env =
        read_pairs(r, values[BUILD_ENV], DEF_ENV_MAX, syntax_variable, &action->build.env_count);
    templates_check(pr, values[BUILD_ENV]);
    action->build.build_image = read_checked(r, values[BUILD_BUILD_IMAGE], syntax_build_image);
    action->build.privileged = read_bool(r, values[BUILD_PRIVILEGED], false);
    read_job(r, values[BUILD_KUBERNETES], action);
    action->timeout_ms = read_timeout(r, values[BUILD_TIMEOUT], HOUR_MS);
    action->lost_after_ms = read_lost_after(r, values[BUILD_LOST_AFTER]);
    action->retry_lost = read_bool(r, values[BUILD_RETRY_LOST], true);
    if (!values[BUILD_IMAGE])
        return;
    if (!action->name)
        pr->images_unsure = true;
    else if (strv_has(&pr->images, action->name))
        problem(r, values[BUILD_NAME], "another build that makes an image has this name");
}

static void refuse_artifact(const struct pipeline_reader *pr, const struct yaml_node *node,
                            const char *name)
{
    const char *nearest =
        pr->images.count ? str_nearest(name, (const char *const *)pr->images.items) : NULL;

    if (nearest)
        problem_near(pr->r, node, nearest,
                     "no build '%s' with 'image' runs before this deploy; did you mean '%s'?", name,
                     nearest);
    else
        problem(pr->r, node, "no build '%s' with 'image' runs before this deploy", name);
}

static bool is_parallel(const struct yaml_node *node)
{
    return node->type == YAML_MAP && node->count == 1 && str_eq(node->first->key->text, "parallel");
}

static bool makes_image(const struct yaml_node *entry)
{
    return entry->type == YAML_MAP && entry->count == 1 && entry->first->type == YAML_MAP &&
           str_eq(entry->first->key->text, "build") && yaml_get(entry->first, "image");
}

size_t image_builds_count(const struct yaml_node *stages)
{
    size_t count = 0;

    if (!stages || stages->type != YAML_LIST)
        return 0;
    for (const struct yaml_node *stage = stages->first; stage; stage = stage->next) {
        const struct yaml_node *steps = stage->type == YAML_MAP ? yaml_get(stage, "steps") : NULL;

        if (!steps || steps->type != YAML_LIST)
            continue;
        for (const struct yaml_node *step = steps->first; step; step = step->next) {
            count += makes_image(step);
            if (!is_parallel(step) || step->first->type != YAML_LIST)
                continue;
            for (const struct yaml_node *n = step->first->first; n; n = n->next)
                count += makes_image(n);
        }
    }
    return count;
}

/* Which digest is deployed must be plain from the definition alone, and stay so when a build moves:
 * with several in the pipeline each deploy names its own, though one alone may run before it. */
static void check_artifact(struct pipeline_reader *pr, struct def_action *action,
                           const struct yaml_node *map, const struct yaml_node *node)
{
    struct reader *r = pr->r;

    if (pr->images_unsure)
        return;
    if (node && action->deploy.artifact) {
        if (!strv_has(&pr->images, action->deploy.artifact))
            refuse_artifact(pr, node, action->deploy.artifact);
    } else if (node) {
        return;
    } else if (pr->images.count == 0) {
        problem_at(r->problems, map->line, map->column, r->path,
                   "no build with 'image' runs before this deploy, so there is no digest for it");
    } else if (pr->image_builds > 1) {
        problem_at(r->problems, map->line, map->column, r->path,
                   "needs 'artifact': %zu builds of the pipeline make an image", pr->image_builds);
    } else {
        action->deploy.artifact = mem_strdup(pr->images.items[0]);
    }
}

static void read_deploy(struct pipeline_reader *pr, struct def_action *action,
                        const struct yaml_node *map)
{
    const struct yaml_node *values[DEPLOY_KEYS];
    struct reader *r = pr->r;

    action->kind = DEF_DEPLOY;
    if (read_fields(r, map, &deploy_keys, values) < 0)
        return;
    action->name = read_checked(r, values[DEPLOY_NAME], syntax_name);
    action->deploy.environment = read_checked(r, values[DEPLOY_ENVIRONMENT], syntax_name);
    action->deploy.artifact = read_checked(r, values[DEPLOY_ARTIFACT], syntax_name);
    target_read(pr, action, values[DEPLOY_KUBERNETES], values[DEPLOY_DOCKER]);
    action->timeout_ms = read_timeout(r, values[DEPLOY_TIMEOUT], 15 * MINUTE_MS);
    action->lost_after_ms = read_lost_after(r, values[DEPLOY_LOST_AFTER]);
    action->retry_lost =
        read_bool(r, values[DEPLOY_RETRY_LOST], values[DEPLOY_KUBERNETES] || values[DEPLOY_DOCKER]);
    action->retry_lost_said = values[DEPLOY_RETRY_LOST];
    check_artifact(pr, action, map, values[DEPLOY_ARTIFACT]);
}

static void read_custom(struct pipeline_reader *pr, struct def_action *action,
                        const struct yaml_node *map)
{
    const struct yaml_node *values[CUSTOM_KEYS];
    struct reader *r = pr->r;
    const char *type = map->key->text + strlen("custom/");

    action->kind = DEF_CUSTOM;
    if (!str_is_name(type))
        problem_at(r->problems, map->key->line, map->key->column, r->path, "'%.100s': %s", type,
                   syntax_name(type));
    action->custom.type = mem_strdup(type);
    if (read_fields(r, map, &custom_keys, values) < 0)
        return;
    action->name = read_checked(r, values[CUSTOM_NAME], syntax_name);
    action->custom.input = read_pairs(r, values[CUSTOM_INPUT], DEF_NAMES_MAX, syntax_input,
                                      &action->custom.input_count);
    templates_check(pr, values[CUSTOM_INPUT]);
    action->timeout_ms = read_timeout(r, values[CUSTOM_TIMEOUT], 24 * HOUR_MS);
    action->lost_after_ms = read_lost_after(r, values[CUSTOM_LOST_AFTER]);
    action->retry_lost = read_bool(r, values[CUSTOM_RETRY_LOST], false);
}

static void read_approval(struct pipeline_reader *pr, struct def_action *action,
                          const struct yaml_node *map)
{
    action->kind = DEF_APPROVAL;
    action->name = approval_action_read(pr, &action->approval, map);
}

/* Ids of approvals, and of runs, are made of the gate's or the action's name: those of a kind
 * share one space. */
static void check_name(struct pipeline_reader *pr, const struct def_stage *stage,
                       const struct def_action *action, const struct yaml_node *map)
{
    const struct yaml_node *node = yaml_get(map, "name");

    if (!action->name)
        return;
    if (def_stage_action(stage, action->name, NULL) != action)
        problem(pr->r, node, "another action of this stage has the name '%s'", action->name);
    for (size_t i = 0; i < stage->gate_count; i++)
        if ((stage->gates[i].kind == DEF_GATE_CHECK ||
             (stage->gates[i].kind == DEF_GATE_APPROVAL && action->kind == DEF_APPROVAL)) &&
            str_eq(stage->gates[i].name, action->name))
            problem(pr->r, node, "a gate of this stage has the name '%s'", action->name);
}

static void refuse_kind(struct reader *r, const struct yaml_node *key)
{
    const char *kinds[STEP_KEYS + 1] = {NULL};

    for (size_t i = 0; i < STEP_KEYS; i++)
        kinds[i] = step_keys.fields[i].key;
    problem_word(r, key, "an action", kinds);
}

/* `entry` is a mapping of one key, which says what kind of action its value is. */
static void read_action(struct pipeline_reader *pr, const struct def_stage *stage,
                        struct def_action *action, const struct yaml_node *entry)
{
    const struct yaml_node *map = entry->first;
    size_t mark = reader_enter_key(pr->r, map->key->text);

    action->line = entry->line;
    pr->action_count++;
    if (str_eq(map->key->text, "build"))
        read_build(pr, action, map);
    else if (str_eq(map->key->text, "deploy"))
        read_deploy(pr, action, map);
    else if (str_eq(map->key->text, "approval"))
        read_approval(pr, action, map);
    else if (str_starts(map->key->text, "custom/"))
        read_custom(pr, action, map);
    else if (str_eq(map->key->text, "parallel"))
        problem(pr->r, map->key, "a parallel step cannot hold another");
    else
        refuse_kind(pr->r, map->key);
    check_name(pr, stage, action, map);
    reader_leave(pr->r, mark);
}

static bool is_entry(struct reader *r, const struct yaml_node *node)
{
    if (node->type == YAML_MAP && node->count == 1)
        return true;
    problem_at(r->problems, node->line, node->column, r->path,
               "expected one action, such as 'build: {name: image}'");
    return false;
}

static void read_parallel(struct pipeline_reader *pr, const struct def_stage *stage,
                          struct def_step *step, const struct yaml_node *list)
{
    size_t mark = reader_enter_key(pr->r, list->key->text);
    size_t i = 0;

    for (const struct yaml_node *n = list->first; n; n = n->next) {
        size_t item = reader_enter_index(pr->r, i++);

        if (is_entry(pr->r, n))
            read_action(pr, stage, &step->actions[step->action_count++], n);
        reader_leave(pr->r, item);
    }
    reader_leave(pr->r, mark);
}

/* What it made and exports is there for the steps after it. */
static void step_done(struct pipeline_reader *pr, const struct def_step *step)
{
    for (size_t i = 0; i < step->action_count; i++) {
        const struct def_action *action = &step->actions[i];

        if (!action->name)
            pr->actions_unsure = true;
        else if (action->kind != DEF_APPROVAL)
            strv_add(&pr->actions, action->name);
        if (action->name && action->build.image)
            strv_add(&pr->images, action->name);
    }
}

void step_read(struct pipeline_reader *pr, struct def_stage *stage, struct def_step *step,
               const struct yaml_node *node)
{
    if (is_parallel(node)) {
        const struct yaml_node *list =
            read_list(pr->r, node->first, DEFINITION_STAGE_ACTIONS_MAX, "actions");

        if (!list)
            return;
        step->actions = mem_alloc(list->count * sizeof(*step->actions));
        read_parallel(pr, stage, step, list);
    } else if (is_entry(pr->r, node)) {
        step->actions = mem_alloc(sizeof(*step->actions));
        step->action_count = 1;
        read_action(pr, stage, step->actions, node);
    }
    step_done(pr, step);
}

static void action_release(struct def_action *action)
{
    free(action->name);
    free(action->build.source);
    free(action->build.buildspec);
    free(action->build.dockerfile);
    free(action->build.image);
    free(action->build.build_image);
    free(action->build.service_account);
    def_pairs_free(action->build.node_selector, action->build.node_selector_count);
    def_pairs_free(action->build.env, action->build.env_count);
    free(action->deploy.environment);
    free(action->deploy.artifact);
    def_pairs_free(action->deploy.target_pairs, action->deploy.target_count);
    free(action->custom.type);
    def_pairs_free(action->custom.input, action->custom.input_count);
    approval_release(&action->approval);
}

void step_release(struct def_step *step)
{
    for (size_t i = 0; i < step->action_count; i++)
        action_release(&step->actions[i]);
    free(step->actions);
}
