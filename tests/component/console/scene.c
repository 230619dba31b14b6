#include "tests/component/console/scene.h"

#include <signal.h>

#include "base/mem.h"
#include "base/str.h"
#include "gantry/v1/command.pb-c.h"
#include "gantry/v1/definition.pb-c.h"

int scene_begin(struct scene *scene, const char *config)
{
    static const enum topic topics[] = {TOPIC_COMMAND, TOPIC_DEFINITION};

    memset(scene, 0, sizeof(*scene));
    if (!service_setup(&scene->service, PROGRAM, "console", topics, 2))
        return -1;
    service_secret(&scene->service, "first-admin", REST_ADMIN);
    scene->service.config = mem_printf("  bootstrap-token: first-admin\n%s", config ? config : "");
    story_begin(&scene->story, scene->service.loop, scene->service.producer);
    rest_begin(&scene->rest, &scene->service);
    service_start(&scene->service, true);
    return 0;
}

void scene_end(struct scene *scene)
{
    if (!scene->service.loop)
        return;
    rest_end(&scene->rest);
    story_end(&scene->story);
    service_teardown(&scene->service);
}

void scene_yaml(char out[SCENE_YAML_SIZE], const char *name)
{
    snprintf(out, SCENE_YAML_SIZE,
             "apiVersion: gantry/v1\nkind: Pipeline\nmetadata: {name: %s, labels: {team: web}}\n"
             "spec:\n  sources:\n    - {name: app, git: \"https://git.example/app.git\","
             " branches: [main]}\n  stages:\n    - name: build\n      steps:\n"
             "        - build: {name: image, source: app, buildspec: buildspec.yml,"
             " image: registry.example/app}\n    - name: dev\n      steps:\n"
             "        - deploy: {name: app, environment: dev}\n    - name: prod\n      gates:\n"
             "        - approval: {by: [group:qa], count: 2, not: [author]}\n      steps:\n"
             "        - deploy: {name: app, environment: prod}\n",
             name);
}

void scene_pipeline(struct scene *scene, const char *name)
{
    char yaml[SCENE_YAML_SIZE];
    char path[128];

    scene_yaml(yaml, name);
    story_definition(&scene->story, "Pipeline", name, yaml, true);
    snprintf(path, sizeof(path), "/api/v1/pipelines/%s", name);
    rest_until(&scene->rest, path, "sources.0.name", "app");
    rest_until(&scene->rest, path, "definition.number", "1");
}

void scene_release(struct scene *scene, struct story_release *release,
                   struct story_approval *approval)
{
    struct story *story = &scene->story;
    struct story_run build = {.release = release, .stage = "build", .action = "image"};
    struct story_run deploy = {
        .release = release, .stage = "dev", .action = "app", .environment = "dev"};

    story_release_started(story, release);
    story_stage_entered(story, release, "build", 1);
    story_requested(story, &build);
    story_started(story, &build);
    story_log(story, &build, 0, "== BUILD\n", false);
    story_log(story, &build, 9, "make\ndone\n", true);
    story_finished(story, &build, NULL);
    story_artifact(story, release);
    story_stage_ended(story, release, "build", GANTRY__V1__STATUS__STATUS_SUCCEEDED, NULL);
    story_stage_entered(story, release, "dev", 1);
    story_requested(story, &deploy);
    story_started(story, &deploy);
    story_finished(story, &deploy, NULL);
    story_stage_ended(story, release, "dev", GANTRY__V1__STATUS__STATUS_SUCCEEDED, NULL);
    *approval = (struct story_approval){.release = release,
                                        .stage = "prod",
                                        .gate = "approval",
                                        .by = "group:qa",
                                        .count = 2,
                                        .message = "Look at it"};
    story_stage_waiting(story, release, "prod", "approval");
    story_approval_opened(story, approval);
    story_flush(story);
}

static bool is_of(const struct got *got, enum topic topic, const char *name)
{
    if (got->topic != topic)
        return false;
    if (topic == TOPIC_COMMAND)
        return str_eq(((Gantry__V1__Command *)got->message)->pipeline, name);
    return str_eq(((Gantry__V1__Definition *)got->message)->name, name);
}

size_t scene_count(const struct scene *scene, enum topic topic, const char *name)
{
    size_t count = 0;

    for (size_t i = 0; i < scene->service.count; i++)
        count += is_of(&scene->service.items[i], topic, name);
    return count;
}

struct wanted {
    enum topic topic;
    const char *name;
    size_t n;
    const struct reply *reply;
    const struct got *found;
};

static bool has_come(struct service *s, void *arg)
{
    struct wanted *wanted = arg;
    size_t n = 0;

    for (size_t i = 0; i < s->count; i++) {
        if (is_of(&s->items[i], wanted->topic, wanted->name) && n++ == wanted->n)
            wanted->found = &s->items[i];
    }
    if (!wanted->found && wanted->reply->done)
        fail_msg("answered %d before anything was sent: %s", wanted->reply->status,
                 wanted->reply->body);
    return wanted->found != NULL;
}

const struct got *scene_sent(struct scene *scene, enum topic topic, const char *name, size_t n,
                             const struct reply *reply)
{
    struct wanted wanted = {.topic = topic, .name = name, .n = n, .reply = reply};

    service_wait(&scene->service, has_come, &wanted, "a record of the console");
    return wanted.found;
}
