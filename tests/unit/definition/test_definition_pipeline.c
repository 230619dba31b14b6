/* What a pipeline's definition becomes (docs/reference/pipeline.md). */
#include <unistd.h>

#include "base/clock.h"
#include "base/sha256.h"
#include "tests/unit/definition/definitions.h"

#define MINUTE 60000
#define HOUR   (60 * MINUTE)
#define DAY    (24 * (int64_t)HOUR)

static const char whole[] =
    "# the shop\n"
    "apiVersion: gantry/v1\n"
    "kind: Pipeline\n"
    "metadata: {name: shop, labels: {team: web}}\n"
    "spec:\n"
    "  mode: queued\n"
    "  variables: {LOG_LEVEL: info, EMPTY: \"\", N: 1}\n"
    "  sources:\n"
    "    - name: app\n"
    "      git: https://git.example/acme/shop.git\n"
    "      branches: [development, release/*]\n"
    "      credentials: shop/git-token\n"
    "      poll: 5m\n"
    "      submodules: true\n"
    "      lfs: true\n"
    "      clone: true\n"
    "      depth: 50\n"
    "    - {name: chart, git: \"git@git.example:acme/chart.git\", branches: main, poll: 0}\n"
    "  stages:\n"
    "    - name: build\n"
    "      steps:\n"
    "        - build:\n"
    "            name: image\n"
    "            source: app\n"
    "            buildspec: ci/buildspec.yml\n"
    "            image: registry.example:5000/acme/shop\n"
    "            size: {cpu: 1.5, memory: 4Gi}\n"
    "            env: {GOFLAGS: \"-mod=vendor\", TEXT: \"two\\nlines\"}\n"
    "            timeout: 30m\n"
    "            retry-lost: false\n"
    "            lost-after: 90s\n"
    "    - name: dev\n"
    "      steps:\n"
    "        - deploy: {name: app, environment: dev, kubernetes: {namespace: shop, deployment: "
    "\"80\", "
    "container: 'c-{{release.number}}'}}\n"
    "        - parallel:\n"
    "            - build: {name: smoke, source: app, buildspec: test/smoke.yml}\n"
    "            - custom/load-test: {name: load, input: {rate: \"50\"}, timeout: 1s}\n"
    "    - name: prod\n"
    "      gates:\n"
    "        - approval: {by: [group:qa, \"user:kim@example.org\"], count: 2, not: [author, "
    "starter],"
    " expires: 3d, message: \"Try {{release.number}} \xf0\x9f\x9a\x80\\nplease\"}\n"
    "        - approval: {}\n"
    "      on-failure: fail\n"
    "      rollback-approval: true\n"
    "      steps:\n"
    "        - approval: {name: last-look, by: group:ops}\n"
    "        - deploy: {name: app, environment: prod, artifact: image, retry-lost: true}\n";

static void every_key_of_a_pipeline_is_read(void **state)
{
    struct definition *def = parsed(whole);
    const struct def_pipeline *p = def->pipeline;

    (void)state;
    assert_int_equal(def->kind, DEF_PIPELINE);
    assert_string_equal(def->name, "shop");
    assert_string_equal(p->name, "shop");
    assert_int_equal(p->label_count, 1);
    assert_string_equal(p->labels[0].key, "team");
    assert_string_equal(p->labels[0].value, "web");
    assert_int_equal(p->mode, DEF_QUEUED);
    assert_int_equal(p->variable_count, 3);
    assert_string_equal(p->variables[1].value, "");
    assert_string_equal(p->variables[2].value, "1");
    assert_int_equal(p->stage_count, 3);
    definition_free(def);
    definition_free(NULL);
}

static void sources_are_read(void **state)
{
    struct definition *def = parsed(whole);
    const struct def_source *app = &def->pipeline->sources[0];
    const struct def_source *chart = &def->pipeline->sources[1];

    (void)state;
    assert_int_equal(def->pipeline->source_count, 2);
    assert_string_equal(app->name, "app");
    assert_string_equal(app->git, "https://git.example/acme/shop.git");
    assert_int_equal(app->branches.count, 2);
    assert_string_equal(app->branches.items[1], "release/*");
    assert_string_equal(app->credentials, "shop/git-token");
    assert_int_equal(app->poll_ms, 5 * MINUTE);
    assert_int_equal(app->line, 9);
    assert_string_equal(chart->branches.items[0], "main");
    assert_int_equal(chart->poll_ms, 0);
    assert_null(chart->credentials);
    assert_true(app->submodules && app->lfs && app->clone);
    assert_int_equal(app->depth, 50);
    assert_false(chart->submodules || chart->lfs || chart->clone);
    assert_int_equal(chart->depth, 0);
    definition_free(def);
}

static void a_build_is_read(void **state)
{
    struct definition *def = parsed(whole);
    const struct def_action *image = &def->pipeline->stages[0].steps[0].actions[0];
    const struct def_action *smoke = &def->pipeline->stages[1].steps[1].actions[0];

    (void)state;
    assert_int_equal(image->kind, DEF_BUILD);
    assert_string_equal(image->name, "image");
    assert_int_equal(image->line, 22);
    assert_string_equal(image->build.source, "app");
    assert_string_equal(image->build.buildspec, "ci/buildspec.yml");
    assert_null(image->build.dockerfile);
    assert_string_equal(image->build.image, "registry.example:5000/acme/shop");
    assert_true(image->build.cpu > 1.4 && image->build.cpu < 1.6);
    assert_true(image->build.memory_bytes == 4ull << 30);
    assert_int_equal(image->build.env_count, 2);
    assert_string_equal(image->build.env[1].value, "two\nlines");
    assert_int_equal(image->timeout_ms, 30 * MINUTE);
    assert_false(image->retry_lost);
    assert_int_equal(image->lost_after_ms, 90 * 1000);
    assert_null(smoke->build.image);
    assert_int_equal(smoke->timeout_ms, 60 * MINUTE);
    assert_true(smoke->retry_lost);
    definition_free(def);
}

static void members_of_parallel_share_a_step(void **state)
{
    struct definition *def = parsed(whole);
    const struct def_stage *dev = &def->pipeline->stages[1];
    const struct def_action *load = &dev->steps[1].actions[1];

    (void)state;
    assert_int_equal(dev->step_count, 2);
    assert_int_equal(dev->steps[0].action_count, 1);
    assert_int_equal(dev->steps[1].action_count, 2);
    assert_int_equal(load->kind, DEF_CUSTOM);
    assert_string_equal(load->custom.type, "load-test");
    assert_int_equal(load->custom.input_count, 1);
    assert_string_equal(load->custom.input[0].key, "rate");
    assert_string_equal(load->custom.input[0].value, "50");
    assert_int_equal(load->timeout_ms, 1000);
    assert_false(load->retry_lost);
    definition_free(def);
}

static void a_deploy_is_read_and_gets_the_only_artifact_there_is(void **state)
{
    struct definition *def = parsed(whole);
    const struct def_action *dev = &def->pipeline->stages[1].steps[0].actions[0];
    const struct def_action *prod = &def->pipeline->stages[2].steps[1].actions[0];
    struct buf yaml;

    (void)state;
    assert_int_equal(dev->kind, DEF_DEPLOY);
    assert_string_equal(dev->deploy.environment, "dev");
    assert_string_equal(dev->deploy.artifact, "image");
    assert_string_equal(dev->deploy.target, "kubernetes");
    buf_init(&yaml, 1000);
    assert_int_equal(def_target_yaml(dev->deploy.target, dev->deploy.target_pairs,
                                     dev->deploy.target_count, &yaml),
                     0);
    assert_string_equal(buf_cstr(&yaml), "kubernetes:\n  namespace: \"shop\"\n  deployment: "
                                         "\"80\"\n  container: \"c-{{release.number}}\"\n");
    buf_release(&yaml);
    assert_int_equal(dev->timeout_ms, 15 * MINUTE);
    assert_true(dev->retry_lost);
    assert_true(dev->lost_after_ms == 10 * MINUTE);
    assert_string_equal(prod->deploy.artifact, "image");
    assert_null(prod->deploy.target);
    assert_true(prod->retry_lost_said);
    assert_false(dev->retry_lost_said);
    assert_true(prod->retry_lost);
    definition_free(def);
}

static void approvals_are_read_as_gates_and_as_actions(void **state)
{
    struct definition *def = parsed(whole);
    const struct def_stage *prod = &def->pipeline->stages[2];
    const struct def_approval *first = &prod->gates[0].approval;
    const struct def_approval *second = &prod->gates[1].approval;
    const struct def_action *action = &prod->steps[0].actions[0];

    (void)state;
    assert_int_equal(prod->gate_count, 2);
    assert_true(prod->rollback_approval);
    assert_string_equal(prod->gates[0].name, "approval");
    assert_int_equal(prod->gates[0].kind, DEF_GATE_APPROVAL);
    assert_int_equal(first->by.count, 2);
    assert_string_equal(first->by.items[1], "user:kim@example.org");
    assert_int_equal(first->count, 2);
    assert_int_equal(first->not_.count, 2);
    assert_true(first->expires_ms == 3 * DAY);
    assert_string_equal(first->message, "Try {{release.number}} \xf0\x9f\x9a\x80\nplease");
    assert_string_equal(prod->gates[1].name, "approval-2");
    assert_int_equal(second->by.count, 0);
    assert_int_equal(second->count, 1);
    assert_true(second->expires_ms == 7 * DAY);
    assert_null(second->message);
    assert_int_equal(action->kind, DEF_APPROVAL);
    assert_string_equal(action->name, "last-look");
    assert_int_equal(action->approval.by.count, 1);
    definition_free(def);
}

static void what_is_left_out_has_its_default(void **state)
{
    struct definition *def = parsed(AFTER_BUILD);
    const struct def_pipeline *p = def->pipeline;
    const struct def_action *build = &p->stages[0].steps[0].actions[0];

    (void)state;
    assert_int_equal(p->mode, DEF_SUPERSEDED);
    assert_int_equal(p->sources[0].poll_ms, MINUTE);
    assert_int_equal(p->stages[0].on_failure, DEF_FAIL);
    assert_false(p->stages[0].rollback_approval);
    assert_string_equal(build->build.source, "app");
    assert_string_equal(build->build.dockerfile, "Dockerfile");
    assert_null(build->build.buildspec);
    definition_free(def);
    def = parsed(HEAD("Pipeline") SOURCES STAGES "    - name: test\n"
                                                 "      steps: [build: {name: unit}]\n");
    build = &def->pipeline->stages[0].steps[0].actions[0];
    assert_string_equal(build->build.buildspec, "buildspec.yml");
    assert_null(build->build.dockerfile);
    assert_false(build->build.batch);
    definition_free(def);
}

static void a_batch_stands_in_a_buildspec_with_an_image_too(void **state)
{
    struct definition *def = parsed(HEAD("Pipeline") SOURCES STAGES
                                    "    - name: test\n"
                                    "      steps: [build: {name: unit, image: r.example/shop, "
                                    "batch: true}]\n");
    const struct def_action *build = &def->pipeline->stages[0].steps[0].actions[0];

    (void)state;
    assert_true(build->build.batch);
    assert_string_equal(build->build.buildspec, "buildspec.yml");
    assert_null(build->build.dockerfile);
    definition_free(def);
}

/* Spelling out that one does not want it is no reason to refuse. */
static void what_is_not_there_yet_may_be_declined(void **state)
{
    (void)state;
    definition_free(parsed(HEAD("Pipeline") "  sources:\n"
                                            "    - name: app\n"
                                            "      git: file:///srv/shop.git\n"
                                            "      branches: ['**']\n"
                                            "      tags: []\n"
                                            "      pull-requests: false\n"
                                            "      paths: {include: [], exclude: []}\n"
                                            "  stages:\n" BUILD "    - name: dev\n"
                                            "      gates: []\n"
                                            "      steps:\n"
                                            "        - custom/x: {name: x, lost-after: ~}\n"
                                            "        - build: {name: x2, privileged: false}\n"));
}

static void templates_stay_as_they_are(void **state)
{
    struct definition *def =
        parsed(HEAD("Pipeline") SOURCES STAGES "    - name: build\n"
                                               "      steps:\n"
                                               "        - build: {name: image, image: r.example/x,"
                                               " env: {V: \"{{release.number}}\"}}\n");
    const struct def_action *build = &def->pipeline->stages[0].steps[0].actions[0];

    (void)state;
    assert_string_equal(build->build.env[0].value, "{{release.number}}");
    definition_free(def);
}

static void addresses_and_repositories_as_people_write_them_are_taken(void **state)
{
    static const char *const gits[] = {
        "https://git.example/acme/shop.git",
        "https://ci@git.example/shop",
        "http://127.0.0.1:3000/a/b.git",
        "ssh://git@git.example:2222/shop.git",
        "git@git.example:acme/shop.git",
        "file:///srv/git/shop.git",
        "git://127.0.0.1/shop",
        "https://[::1]:8443/shop",
    };
    static const char *const images[] = {
        "registry.example/acme/shop",
        "127.0.0.1:5000/shop",
        "localhost/a__b/c-d.e_f",
        "ghcr.io/a--b/c",
        "registry:5000/x",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(gits) + COUNT(images); i++) {
        const char *git = i < COUNT(gits) ? gits[i] : gits[0];
        const char *image = i < COUNT(gits) ? images[0] : images[i - COUNT(gits)];
        struct definition *def;
        struct buf yaml;

        buf_init(&yaml, 10000);
        buf_addf(&yaml,
                 HEAD("Pipeline") "  sources: [{name: app, git: '%s', branches: main}]\n" STAGES
                                  "    - name: build\n"
                                  "      steps: [build: {name: image, image: '%s'}]\n",
                 git, image);
        def = parsed(buf_cstr(&yaml));
        assert_string_equal(def->pipeline->sources[0].git, git);
        assert_string_equal(def->pipeline->stages[0].steps[0].actions[0].build.image, image);
        definition_free(def);
        buf_release(&yaml);
    }
}

static void names_are_found(void **state)
{
    struct definition *def = parsed(whole);
    size_t index = 99;
    const struct def_stage *dev = def_pipeline_stage(def->pipeline, "dev", &index);

    (void)state;
    assert_int_equal(index, 1);
    assert_null(def_pipeline_stage(def->pipeline, "none", NULL));
    assert_string_equal(def_stage_action(dev, "load", &index)->name, "load");
    assert_int_equal(index, 1);
    assert_null(def_stage_action(dev, "image", &index));
    assert_string_equal(def_pipeline_source(def->pipeline, "chart")->name, "chart");
    assert_null(def_pipeline_source(def->pipeline, "none"));
    definition_free(def);
}

static void the_hash_is_of_the_bytes_given(void **state)
{
    struct definition *def = parsed(whole);
    uint8_t hash[SHA256_SIZE];

    (void)state;
    sha256(whole, sizeof(whole) - 1, hash);
    assert_memory_equal(def->sha256, hash, sizeof(hash));
    definition_free(def);
}

static void the_largest_pipeline_is_taken(void **state)
{
    struct definition *def;
    struct buf yaml;

    (void)state;
    buf_init(&yaml, DEFINITION_SIZE_MAX);
    buf_adds(&yaml, HEAD("Pipeline") SOURCES STAGES);
    for (int i = 0; i < DEFINITION_STAGES_MAX; i++) {
        buf_addf(&yaml, "    - name: stage-%d\n      steps:\n", i);
        for (int j = 0; j < DEFINITION_ACTIONS_MAX / DEFINITION_STAGES_MAX; j++)
            buf_addf(&yaml,
                     "        - custom/load-test: {name: load-%d, input: {rate: \"50\"}, timeout: "
                     "10m, retry-lost: true}\n",
                     j);
    }
    def = parsed(buf_cstr(&yaml));
    assert_int_equal(def->pipeline->stage_count, DEFINITION_STAGES_MAX);
    assert_int_equal(def->pipeline->stages[49].step_count, 10);
    definition_free(def);
    if (getenv("GANTRY_TEST_TIMES")) {
        int64_t before_us = clock_mono_us();

        for (int i = 0; i < 100; i++)
            definition_free(parsed(buf_cstr(&yaml)));
        print_message("500 actions, %zu bytes: %lld us\n", yaml.len,
                      (long long)(clock_mono_us() - before_us) / 100);
    }
    buf_release(&yaml);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_of_a_pipeline_is_read),
        cmocka_unit_test(sources_are_read),
        cmocka_unit_test(a_build_is_read),
        cmocka_unit_test(members_of_parallel_share_a_step),
        cmocka_unit_test(a_deploy_is_read_and_gets_the_only_artifact_there_is),
        cmocka_unit_test(approvals_are_read_as_gates_and_as_actions),
        cmocka_unit_test(what_is_left_out_has_its_default),
        cmocka_unit_test(a_batch_stands_in_a_buildspec_with_an_image_too),
        cmocka_unit_test(what_is_not_there_yet_may_be_declined),
        cmocka_unit_test(templates_stay_as_they_are),
        cmocka_unit_test(addresses_and_repositories_as_people_write_them_are_taken),
        cmocka_unit_test(names_are_found),
        cmocka_unit_test(the_hash_is_of_the_bytes_given),
        cmocka_unit_test(the_largest_pipeline_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
