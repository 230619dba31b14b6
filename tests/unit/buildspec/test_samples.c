/* Buildspecs as teams write them parse without a word. */
#include <dirent.h>

#include "base/file.h"
#include "base/mem.h"
#include "buildspec/batch.h"
#include "buildspec/plan.h"
#include "tests/unit/buildspec/check.h"

#define SAMPLES_LEAST 10

static struct buildspec *sample(const char *name)
{
    char *path = mem_printf("%s/%s", SAMPLES, name);
    struct buildspec_problems problems = {0};
    struct buildspec *spec = NULL;
    struct buf yaml, said;
    struct err err = {0};

    buf_init(&said, 64 * 1024);
    if (file_read(&yaml, path, BUILDSPEC_SIZE_MAX, &err) < 0)
        fail_msg("%s", err.msg);
    (void)!buildspec_parse(&spec, buf_cstr(&yaml), yaml.len, &problems, &err);
    read_problems(&problems, &said);
    if (!spec || problems.count)
        fail_msg("%s: %s", name, buf_cstr(&said));
    buildspec_problems_release(&problems);
    buf_release(&yaml);
    buf_release(&said);
    free(path);
    return spec;
}

static void every_sample_parses_without_a_word(void **state)
{
    DIR *dir = opendir(SAMPLES);
    size_t count = 0;

    (void)state;
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (!str_ends(entry->d_name, ".yml"))
            continue;
        buildspec_free(sample(entry->d_name));
        count++;
    }
    closedir(dir);
    assert_true(count >= SAMPLES_LEAST);
}

static void an_image_for_ecr_is_built_and_pushed(void **state)
{
    struct buildspec *spec = sample("docker-ecr.yml");

    (void)state;
    assert_int_equal(spec->phases[BUILDSPEC_PRE_BUILD].commands.count, 4);
    assert_int_equal(spec->phases[BUILDSPEC_POST_BUILD].commands.count, 4);
    assert_texts(&spec->artifacts.files, "imagedefinitions.json");
    assert_texts(&spec->exported, "IMAGE_TAG");
    buildspec_free(spec);
}

static void node_keeps_its_modules_by_the_lock_file(void **state)
{
    struct buildspec *spec = sample("node.yml");

    (void)state;
    assert_string_equal(spec->runtimes[0].key, "nodejs");
    assert_string_equal(spec->runtimes[0].value, "20");
    assert_int_equal(spec->cache.fallback_keys.count, 2);
    assert_int_equal(spec->report_count, 2);
    assert_int_equal(spec->reports[1].format, BUILDSPEC_CLOVERXML);
    assert_string_equal(spec->artifacts.base_directory, "dist");
    buildspec_free(spec);
}

static void a_graph_of_a_monorepo_expands(void **state)
{
    struct buildspec *spec = sample("batch-graph.yml");
    struct batch batch;

    (void)state;
    batch_expand(spec, &batch);
    assert_int_equal(batch.count, 5);
    assert_string_equal(batch.builds[4].identifier, "bundle");
    assert_int_equal(batch.builds[4].depend_count, 3);
    assert_true(batch.builds[3].ignore_failure);
    batch_release(&batch);
    buildspec_free(spec);
}

static void an_old_buildspec_runs_each_command_in_its_own_shell(void **state)
{
    struct buildspec *spec = sample("version-0.1.yml");
    struct plan plan;

    (void)state;
    plan_init(&plan, spec);
    assert_true(plan.separate_shells);
    assert_int_equal(plan.texts.count, 4);
    plan_release(&plan);
    buildspec_free(spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sample_parses_without_a_word),
        cmocka_unit_test(an_image_for_ecr_is_built_and_pushed),
        cmocka_unit_test(node_keeps_its_modules_by_the_lock_file),
        cmocka_unit_test(a_graph_of_a_monorepo_expands),
        cmocka_unit_test(an_old_buildspec_runs_each_command_in_its_own_shell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
