#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "definition/kinds.h"
#include "definition/syntax.h"

#define MINUTE_MS (60 * (int64_t)1000)
#define HOUR_MS   (60 * MINUTE_MS)
#define ENV_MAX   200
#define INPUT_MAX 100
#define CPU_MAX   1024

static int64_t read_timeout(struct reader *r, const struct yaml_node *node, int64_t otherwise)
{
    /* The page's minute is advice: a timeout that is shorter serves trials. */
    static const struct span span = {1000, 7 * 24 * HOUR_MS, "1s to 7d"};

    return read_duration(r, node, &span, otherwise);
}

static void read_size(struct reader *r, const struct yaml_node *node, struct def_action *action)
{
    static const struct field fields[] = {{"cpu", 0}, {"memory", 0}, {NULL, 0}};
    enum { CPU, MEMORY };
    const struct yaml_node *VALUES_OF(fields);
    size_t mark;

    if (!node)
        return;
    mark = reader_enter_key(r, node->key->text);
    if (read_fields(r, node, "a size", fields, values) == 0) {
        const struct yaml_node *cpu = values[CPU];
        const struct yaml_node *memory = values[MEMORY];

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

/* Without either key: what makes an image is a Dockerfile, what makes none a buildspec. */
static void read_recipe(struct reader *r, struct def_action *action,
                        const struct yaml_node *buildspec, const struct yaml_node *dockerfile,
                        const struct yaml_node *image)
{
    action->build.image = read_checked(r, image, syntax_image);
    action->build.buildspec = read_checked(r, buildspec, syntax_path);
    action->build.dockerfile = read_checked(r, dockerfile, syntax_path);
    if (buildspec && dockerfile)
        problem(r, dockerfile, "a build has a buildspec or a dockerfile, not both");
    else if (dockerfile && !image)
        problem(r, dockerfile, "needs 'image' too: the repository that the image goes to");
    else if (!buildspec && !dockerfile && image)
        action->build.dockerfile = mem_strdup("Dockerfile");
    else if (!buildspec && !dockerfile)
        action->build.buildspec = mem_strdup("buildspec.yml");
}

static void read_build(struct pipeline_reader *pr, struct def_action *action,
                       const struct yaml_node *map)
{
    static const struct field fields[] = {{"name", FIELD_REQUIRED},
                                          {"source", 0},
                                          {"buildspec", 0},
                                          {"dockerfile", 0},
                                          {"image", 0},
                                          {"size", 0},
                                          {"env", 0},
                                          {"timeout", 0},
                                          {"retry-lost", 0},
                                          {"lost-after", FIELD_LATER},
                                          {"privileged", FIELD_LATER},
                                          {NULL, 0}};
    enum { NAME, SOURCE, BUILDSPEC, DOCKERFILE, IMAGE, SIZE, ENV, TIMEOUT, RETRY_LOST };
    const struct yaml_node *VALUES_OF(fields);
    struct reader *r = pr->r;

    action->kind = DEF_BUILD;
    if (read_fields(r, map, "a build", fields, values) < 0) {
        pr->images_unsure = true;
        return;
    }
    action->name = read_checked(r, values[NAME], syntax_name);
    action->build.source = read_checked(r, values[SOURCE], syntax_name);
    check_source(pr, action, map, values[SOURCE]);
    read_recipe(r, action, values[BUILDSPEC], values[DOCKERFILE], values[IMAGE]);
    read_size(r, values[SIZE], action);
    action->build.env =
        read_pairs(r, values[ENV], ENV_MAX, syntax_variable, &action->build.env_count);
    action->timeout_ms = read_timeout(r, values[TIMEOUT], HOUR_MS);
    action->retry_lost = read_bool(r, values[RETRY_LOST], true);
    if (!values[IMAGE])
        return;
    if (!action->name)
        pr->images_unsure = true;
    else if (strv_has(&pr->images, action->name))
        problem(r, values[NAME], "another build that makes an image has this name");
    else
        strv_add(&pr->step_images, action->name);
}

/* Which digest is deployed must be plain from the definition alone. */
static void check_artifact(struct pipeline_reader *pr, struct def_action *action,
                           const struct yaml_node *map, const struct yaml_node *node)
{
    struct reader *r = pr->r;

    if (pr->images_unsure)
        return;
    if (node && action->deploy.artifact) {
        if (!strv_has(&pr->images, action->deploy.artifact))
            problem(r, node, "no build '%s' with 'image' runs before this deploy",
                    action->deploy.artifact);
    } else if (node) {
        return;
    } else if (pr->images.count == 1) {
        action->deploy.artifact = mem_strdup(pr->images.items[0]);
    } else if (pr->images.count == 0) {
        problem_at(r->problems, map->line, map->column, r->path,
                   "no build with 'image' runs before this deploy, so there is no digest for it");
    } else {
        problem_at(r->problems, map->line, map->column, r->path,
                   "needs 'artifact': %zu builds before it make an image", pr->images.count);
    }
}

/* `kubernetes:` or `docker:` with its key, as the driver gets it. */
static char *read_target(struct reader *r, const struct yaml_node *kubernetes,
                         const struct yaml_node *docker)
{
    const struct yaml_node *target = kubernetes ? kubernetes : docker;
    struct yaml_node root = {.type = YAML_MAP, .count = 1};
    struct yaml_node only;
    struct buf yaml;

    if (!target)
        return NULL;
    if (kubernetes && docker) {
        problem(r, docker, "a deploy is for kubernetes or docker, not both");
        return NULL;
    }
    if (target->type != YAML_MAP) {
        problem(r, target, "expected a mapping");
        return NULL;
    }
    only = *target;
    only.next = NULL;
    root.first = &only;
    buf_init(&yaml, 2 * DEFINITION_SIZE_MAX);
    if (yaml_write(&root, &yaml) < 0) {
        problem(r, target, "too large");
        buf_release(&yaml);
        return NULL;
    }
    return buf_detach(&yaml);
}

static void read_deploy(struct pipeline_reader *pr, struct def_action *action,
                        const struct yaml_node *map)
{
    static const struct field fields[] = {{"name", FIELD_REQUIRED},
                                          {"environment", FIELD_REQUIRED},
                                          {"artifact", 0},
                                          {"kubernetes", 0},
                                          {"docker", 0},
                                          {"timeout", 0},
                                          {"retry-lost", 0},
                                          {"lost-after", FIELD_LATER},
                                          {NULL, 0}};
    enum { NAME, ENVIRONMENT, ARTIFACT, KUBERNETES, DOCKER, TIMEOUT, RETRY_LOST };
    const struct yaml_node *VALUES_OF(fields);
    struct reader *r = pr->r;

    action->kind = DEF_DEPLOY;
    if (read_fields(r, map, "a deploy", fields, values) < 0)
        return;
    action->name = read_checked(r, values[NAME], syntax_name);
    action->deploy.environment = read_checked(r, values[ENVIRONMENT], syntax_name);
    action->deploy.artifact = read_checked(r, values[ARTIFACT], syntax_name);
    action->deploy.target_yaml = read_target(r, values[KUBERNETES], values[DOCKER]);
    action->timeout_ms = read_timeout(r, values[TIMEOUT], 15 * MINUTE_MS);
    action->retry_lost = read_bool(r, values[RETRY_LOST], false);
    check_artifact(pr, action, map, values[ARTIFACT]);
}

static void read_custom(struct pipeline_reader *pr, struct def_action *action,
                        const struct yaml_node *map)
{
    static const struct field fields[] = {
        {"name", FIELD_REQUIRED},    {"input", 0}, {"timeout", 0}, {"retry-lost", 0},
        {"lost-after", FIELD_LATER}, {NULL, 0}};
    enum { NAME, INPUT, TIMEOUT, RETRY_LOST };
    const struct yaml_node *VALUES_OF(fields);
    struct reader *r = pr->r;
    const char *type = map->key->text + strlen("custom/");

    action->kind = DEF_CUSTOM;
    if (!str_is_name(type))
        problem_at(r->problems, map->key->line, map->key->column, r->path, "'%.100s': %s", type,
                   syntax_name(type));
    action->custom.type = mem_strdup(type);
    if (read_fields(r, map, "a custom action", fields, values) < 0)
        return;
    action->name = read_checked(r, values[NAME], syntax_name);
    action->custom.input =
        read_pairs(r, values[INPUT], INPUT_MAX, syntax_input, &action->custom.input_count);
    action->timeout_ms = read_timeout(r, values[TIMEOUT], 24 * HOUR_MS);
    action->retry_lost = read_bool(r, values[RETRY_LOST], false);
}

static void read_approval(struct pipeline_reader *pr, struct def_action *action,
                          const struct yaml_node *map)
{
    action->kind = DEF_APPROVAL;
    action->name = approval_action_read(pr->r, &action->approval, map);
}

/* An approval's id is made of the gate's or the action's name, so they share one space. */
static void check_name(struct pipeline_reader *pr, const struct def_stage *stage,
                       const struct def_action *action, const struct yaml_node *map)
{
    const struct yaml_node *node = yaml_get(map, "name");

    if (!action->name)
        return;
    if (def_stage_action(stage, action->name, NULL) != action)
        problem(pr->r, node, "another action of this stage has the name '%s'", action->name);
    for (size_t i = 0; action->kind == DEF_APPROVAL && i < stage->gate_count; i++)
        if (str_eq(stage->gates[i].name, action->name))
            problem(pr->r, node, "a gate of this stage has the name '%s'", action->name);
}

/* `entry` is a mapping of one key, which says what kind of action its value is. */
static void read_action(struct pipeline_reader *pr, const struct def_stage *stage,
                        struct def_action *action, const struct yaml_node *entry)
{
    static const char *const kinds[] = {"build",         "deploy",   "approval",
                                        "custom/<name>", "parallel", NULL};
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
        problem_word(pr->r, map->key, "an action", kinds);
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

static bool is_parallel(const struct yaml_node *node)
{
    return node->type == YAML_MAP && node->count == 1 && str_eq(node->first->key->text, "parallel");
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
    for (size_t i = 0; i < pr->step_images.count; i++)
        strv_add(&pr->images, pr->step_images.items[i]);
    strv_release(&pr->step_images);
}

static void action_release(struct def_action *action)
{
    free(action->name);
    free(action->build.source);
    free(action->build.buildspec);
    free(action->build.dockerfile);
    free(action->build.image);
    def_pairs_free(action->build.env, action->build.env_count);
    free(action->deploy.environment);
    free(action->deploy.artifact);
    free(action->deploy.target_yaml);
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
