#include "buildah/docker.h"

#include "tests/unit/unit.h"

/* The words of a `docker build` and what buildah is asked for, a blank between. */
static void comes_to(const char *docker, const char *buildah)
{
    struct strv words = {0};
    struct build_plan plan = {0};
    struct err err = {0};
    struct buf text;
    strv_split(&words, docker, ' ');
    if (build_plan_make(&plan, (const char *const *)words.items, &err) < 0)
        fail_msg("%s: %s", docker, err.msg);
    buf_init(&text, 4096);
    for (size_t i = 0; i < plan.argv.count; i++)
        buf_addf(&text, "%s%s", i ? " " : "", plan.argv.items[i]);
    assert_string_equal(buf_cstr(&text), buildah);
    buf_release(&text);
    build_plan_release(&plan);
    strv_release(&words);
}

static void is_refused(const char *docker, const char *why)
{
    struct strv words = {0};
    struct build_plan plan = {0};
    struct err err = {0};
    strv_split(&words, docker, ' ');
    if (build_plan_make(&plan, (const char *const *)words.items, &err) == 0)
        fail_msg("'%s' was taken", docker);
    if (!strstr(err.msg, why))
        fail_msg("%s: %s", docker, err.msg);
    build_plan_release(&plan);
    strv_release(&words);
}

static void options_become_buildahs(void **state)
{
    (void)state;
    comes_to("-t shop:1 .", "buildah bud --format=docker --tag=shop:1 .");
    comes_to(". -tshop:1 --tag=b", "buildah bud --format=docker --tag=shop:1 --tag=b .");
    comes_to("-f D --build-arg A=b=c --target x --no-cache --label k=v ctx",
             "buildah bud --format=docker --file=D --build-arg=A=b=c --target=x --no-cache "
             "--label=k=v ctx");
    comes_to("--pull --secret id=t,src=f --network host -q .",
             "buildah bud --format=docker --secret=id=t,src=f --quiet --pull=always "
             "--network=host .");
    comes_to("--pull=false --network default .", "buildah bud --format=docker .");
    comes_to("--format oci -- -odd", "buildah bud --format=oci -odd");
}

static void what_means_nothing_without_an_engine_is_left_out(void **state)
{
    (void)state;
    comes_to("--progress=plain --rm --force-rm --compress --load --builder b --isolation x .",
             "buildah bud --format=docker .");
}

static void what_has_no_effect_is_said(void **state)
{
    static const char *const argv[] = {"--memory", "1g", "--cache-from", "shop:1", ".", NULL};
    struct build_plan plan = {0};
    (void)state;
    assert_int_equal(build_plan_make(&plan, argv, NULL), 0);
    assert_int_equal(plan.notes.count, 2);
    assert_string_equal(plan.notes.items[0],
                        "--memory has no effect here: the action's `size:` limits the build");
    assert_non_null(strstr(plan.notes.items[1], "--cache-from=shop:1 has no effect here"));
    build_plan_release(&plan);
}

static void a_cache_in_a_registry_is_a_repository_of_layers(void **state)
{
    (void)state;
    comes_to("--cache-from type=registry,ref=r:5000/a/c:x "
             "--cache-to type=registry,ref=r:5000/a/c:x,mode=max .",
             "buildah bud --format=docker --layers --cache-from=r:5000/a/c "
             "--cache-to=r:5000/a/c .");
}

static void several_platforms_make_a_list_of_images(void **state)
{
    static const char *const argv[] = {
        "--platform", "linux/amd64,linux/arm64", "-t", "r/a:1", "--tag=r/a:2",
        "--push",     "--metadata-file",         "m",  ".",     NULL};
    struct build_plan plan = {0};
    (void)state;
    comes_to("--platform linux/amd64,linux/arm64 -t r/a:1 .",
             "buildah bud --format=docker --platform=linux/amd64,linux/arm64 --manifest=r/a:1 .");
    assert_int_equal(build_plan_make(&plan, argv, NULL), 0);
    assert_true(plan.several);
    assert_true(plan.push);
    assert_int_equal(plan.tags.count, 2);
    assert_string_equal(plan.metadata, "m");
    build_plan_release(&plan);
}

static void an_output_that_is_a_registry_is_pushed(void **state)
{
    static const char *const argv[] = {"-o", "type=image,name=x,push=true", "-t", "r/a", ".", NULL};
    struct build_plan plan = {0};
    (void)state;
    assert_int_equal(build_plan_make(&plan, argv, NULL), 0);
    assert_true(plan.push);
    build_plan_release(&plan);
    comes_to("-o out .", "buildah bud --format=docker --output=out .");
}

static void a_dockerfile_from_standard_input_has_an_empty_folder(void **state)
{
    static const char *const argv[] = {"-t", "a", "-", NULL};
    struct build_plan plan = {0};
    (void)state;
    assert_int_equal(build_plan_make(&plan, argv, NULL), 0);
    assert_true(plan.empty_context);
    assert_string_equal(plan.argv.items[plan.argv.count - 1], "--file=/dev/stdin");
    build_plan_release(&plan);
}

static void what_cannot_be_meant_is_refused(void **state)
{
    (void)state;
    is_refused("--nonsense .", "unknown option: --nonsense");
    is_refused("-Z .", "unknown option: -Z");
    is_refused("-t", "-t needs a value");
    is_refused(". --tag", "--tag needs a value");
    is_refused("--no-cache=maybe .", "true or false");
    is_refused("-t a", "it needs one folder");
    is_refused("a b", "it needs one folder");
    is_refused("--push .", "needs a name");
    is_refused("--platform a/b --platform c/d .", "needs a name");
    is_refused("-o type=oci,dest=x .", "docker save");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_become_buildahs),
        cmocka_unit_test(what_means_nothing_without_an_engine_is_left_out),
        cmocka_unit_test(what_has_no_effect_is_said),
        cmocka_unit_test(a_cache_in_a_registry_is_a_repository_of_layers),
        cmocka_unit_test(several_platforms_make_a_list_of_images),
        cmocka_unit_test(an_output_that_is_a_registry_is_pushed),
        cmocka_unit_test(a_dockerfile_from_standard_input_has_an_empty_folder),
        cmocka_unit_test(what_cannot_be_meant_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
