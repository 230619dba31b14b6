/* Real promoters on a real Kafka, killed, stopped and robbed of what they may lose. Skipped without
 * GANTRY_KAFKA. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lab.h"
#include "log/log.h"

static struct lab lab;

static int tear_down(void **state)
{
    (void)state;
    lab_release(&lab);
    return 0;
}

static void push(int n)
{
    for (int i = 0; i < n; i++)
        scene_push(&lab.scene, scene_pipeline(i % SIM_PARTITIONS));
}

/* Reads all of it back and checks it; returns the void records. */
static uint64_t check_all(void)
{
    struct sim mirror;
    struct scene scene;
    uint64_t voids = 0;

    lab_read(&lab, &mirror);
    scene_init(&scene, &mirror);
    scene_check(&scene);
    for (int32_t p = 0; p < SIM_PARTITIONS; p++)
        voids += scene_check_chain(&scene, p);
    scene_release(&scene);
    sim_release(&mirror);
    return voids;
}

static void releases_go_through_and_an_ordered_end_leaves_nothing_to_do_again(void **state)
{
    (void)state;
    lab_init(&lab);
    lab_start(&lab, 0, NULL);
    lab_define(&lab);
    push(6);
    lab_until_ended(&lab, 6, 60000);
    lab_signal(&lab, 0, SIGTERM);
    assert_int_equal(check_all(), 0);
}

static void killed_twenty_times_it_skips_nothing_and_repeats_only_ids(void **state)
{
    (void)state;
    lab_init(&lab);
    lab_start(&lab, 0, NULL);
    lab_define(&lab);
    lab_signal(&lab, 0, SIGKILL);
    for (int i = 0; i < 20; i++) {
        lab_start(&lab, 0, NULL);
        push(2);
        lab_run(&lab, 300 + (int64_t)sim_random(&lab.drive, 1000));
        lab_signal(&lab, 0, SIGKILL);
    }
    lab_start(&lab, 0, NULL);
    lab_until_ended(&lab, 40, 60000);
    lab_run(&lab, 1000);
    lab_signal(&lab, 0, SIGTERM);
    check_all();
}

static void two_groups_that_own_every_partition_make_one_history(void **state)
{
    char other[96];

    (void)state;
    lab_init(&lab);
    snprintf(other, sizeof(other), "%s.other", lab.prefix);
    lab_start(&lab, 0, NULL);
    lab_start(&lab, 1, other);
    lab_define(&lab);
    for (int i = 0; i < 10; i++) {
        push(4);
        lab_run(&lab, 500);
    }
    lab_until_ended(&lab, 40, 60000);
    lab_signal(&lab, 0, SIGTERM);
    lab_signal(&lab, 1, SIGTERM);
    check_all();
}

static void one_that_slept_past_its_session_makes_no_second_history(void **state)
{
    (void)state;
    lab_init(&lab);
    lab_start(&lab, 0, NULL);
    lab_define(&lab);
    push(10);
    lab_until_ended(&lab, 10, 60000);
    push(10);
    lab_run(&lab, 30);
    lab_signal(&lab, 0, SIGSTOP);
    lab_start(&lab, 1, NULL);
    lab_until_ended(&lab, 20, 60000); /* its session ends after 10 s, and the other takes over */
    push(4);
    lab_signal(&lab, 0, SIGCONT);
    lab_until_ended(&lab, 24, 60000);
    lab_run(&lab, 2000);
    lab_signal(&lab, 0, SIGTERM);
    lab_signal(&lab, 1, SIGTERM);
    printf("%llu void records\n", (unsigned long long)check_all());
}

static void without_group_offsets_and_snapshots_it_goes_on_where_it_was(void **state)
{
    char other[96];

    (void)state;
    lab_init(&lab);
    lab_start(&lab, 0, NULL);
    lab_define(&lab);
    push(6);
    lab_until_ended(&lab, 6, 60000);
    lab_run(&lab, 2500);
    push(6);
    lab_run(&lab, 50);
    lab_signal(&lab, 0, SIGKILL);
    lab_delete_snapshots(&lab);
    snprintf(other, sizeof(other), "%s.new", lab.prefix); /* a group that has no offsets */
    lab_start(&lab, 0, other);
    lab_until_ended(&lab, 12, 60000);
    lab_signal(&lab, 0, SIGTERM);
    check_all();
}

#define ON_KAFKA(test) cmocka_unit_test_teardown(test, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_KAFKA(releases_go_through_and_an_ordered_end_leaves_nothing_to_do_again),
        ON_KAFKA(killed_twenty_times_it_skips_nothing_and_repeats_only_ids),
        ON_KAFKA(two_groups_that_own_every_partition_make_one_history),
        ON_KAFKA(one_that_slept_past_its_session_makes_no_second_history),
        ON_KAFKA(without_group_offsets_and_snapshots_it_goes_on_where_it_was),
    };

    log_init("test", LOG_ERROR, LOG_TEXT);
    cmocka_set_test_filter(getenv("GANTRY_TEST"));
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (!failed)
        lab_remove_logs();
    return failed;
}
