#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "services/deployer/deployer.h"
#include "tests/unit/unit.h"

static char folder[64];

static int raise_(uint64_t epoch, uint64_t sequence, const char *run, struct err *err)
{
    const struct event_order order = {epoch, sequence, 0};

    return fence_raise(folder, "prod", "shop", &order, run, err);
}

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/gantry-test-fence-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return file_remove_tree(folder, NULL);
}

static void an_older_decision_never_follows_a_newer_one(void **state)
{
    struct err err;

    (void)state;
    for (uint64_t sequence = 1; sequence < 20; sequence++)
        assert_int_equal(raise_(7, sequence, "run", &err), 0);
    for (uint64_t sequence = 1; sequence < 19; sequence++) {
        assert_int_equal(raise_(7, sequence, "run", &err), -1);
        assert_int_equal(err.code, ERR_CONFLICT);
    }
    assert_int_equal(raise_(8, 1, "run", &err), 0);
    assert_int_equal(raise_(7, 100, "run", &err), -1);
}

static void one_decision_may_ask_for_several_runs_and_for_one_again(void **state)
{
    struct err err;

    (void)state;
    assert_int_equal(raise_(7, 3, "a", &err), 0);
    assert_int_equal(raise_(7, 3, "b", &err), 0);
    assert_int_equal(raise_(7, 3, "a", &err), 0);
}

static void each_target_has_its_own_fence(void **state)
{
    const struct event_order high = {7, 9, 0}, low = {7, 1, 0};
    struct err err;

    (void)state;
    assert_int_equal(fence_raise(folder, "prod", "shop", &high, "a", &err), 0);
    assert_int_equal(fence_raise(folder, "prod", "lib", &low, "b", &err), 0);
    assert_int_equal(fence_raise(folder, "dev", "shop", &low, "c", &err), 0);
}

static void poke(off_t at)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/prod.shop", folder);
    FILE *file = fopen(path, "r+e");
    assert_non_null(file);
    fseek(file, at, SEEK_SET);
    fputc('?', file);
    fclose(file);
}

static void half_a_write_leaves_the_one_before(void **state)
{
    struct err err;

    (void)state;
    assert_int_equal(raise_(7, 1, "a", &err), 0); /* the first slot */
    assert_int_equal(raise_(7, 2, "b", &err), 0); /* the second */
    poke(512);
    assert_int_equal(raise_(7, 1, "a", &err), 0);
    assert_int_equal(raise_(7, 3, "c", &err), 0);
    assert_int_equal(raise_(7, 2, "b", &err), -1);
}

static void a_fence_that_cannot_be_read_stops_everything(void **state)
{
    struct err err;

    (void)state;
    assert_int_equal(raise_(7, 1, "a", &err), 0);
    assert_int_equal(raise_(7, 2, "b", &err), 0);
    poke(0);
    poke(512);
    assert_int_equal(raise_(7, 3, "c", &err), -1);
    assert_int_equal(err.code, ERR_INVALID);
    assert_non_null(strstr(err.msg, "prod.shop"));
}

static void a_file_that_was_made_but_not_written_is_no_fence(void **state)
{
    char path[128];
    struct err err;

    (void)state;
    snprintf(path, sizeof(path), "%s/prod.shop", folder);
    FILE *file = fopen(path, "we");
    fputs("7 9", file);
    fclose(file);
    assert_int_equal(raise_(7, 1, "a", &err), 0);
    assert_int_equal(raise_(7, 0, "z", &err), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_older_decision_never_follows_a_newer_one),
        TEST(one_decision_may_ask_for_several_runs_and_for_one_again),
        TEST(each_target_has_its_own_fence),
        TEST(half_a_write_leaves_the_one_before),
        TEST(a_fence_that_cannot_be_read_stops_everything),
        TEST(a_file_that_was_made_but_not_written_is_no_fence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
