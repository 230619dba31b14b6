#include "metrics/metrics.h"

#include <math.h>
#include <pthread.h>

#include "tests/unit/unit.h"

static void assert_exposition(struct metrics *m, const char *text)
{
    struct buf out;

    buf_init(&out, 64 * 1024);
    metrics_write(m, &out);
    assert_string_equal(buf_cstr(&out), text);
    buf_release(&out);
}

static void counters_and_gauges_are_grouped_by_name_with_help_and_type(void **state)
{
    struct metrics *m = metrics_new();

    (void)state;
    metric_add(metrics_counter(m, "gantry_votes_total", "verdict=\"approve\"", "Votes taken."), 2);
    metric_set(metrics_gauge(m, "gantry_open", NULL, "Open \\ and\nheld."), -1.5);
    metric_add(metrics_counter(m, "gantry_votes_total", "verdict=\"reject\"", "Votes taken."), 1);
    assert_exposition(m, "# HELP gantry_votes_total Votes taken.\n"
                         "# TYPE gantry_votes_total counter\n"
                         "gantry_votes_total{verdict=\"approve\"} 2\n"
                         "gantry_votes_total{verdict=\"reject\"} 1\n"
                         "# HELP gantry_open Open \\\\ and\\nheld.\n"
                         "# TYPE gantry_open gauge\n"
                         "gantry_open -1.5\n");
    metrics_free(m);
}

static void asking_again_gives_the_same_metric(void **state)
{
    struct metrics *m = metrics_new();
    struct metric *a = metrics_counter(m, "a_total", "x=\"1\"", "A.");

    (void)state;
    assert_ptr_equal(metrics_counter(m, "a_total", "x=\"1\"", "A."), a);
    assert_ptr_not_equal(metrics_counter(m, "a_total", "x=\"2\"", "A."), a);
    assert_ptr_not_equal(metrics_counter(m, "a_total", NULL, "A."), a);
    metrics_free(m);
    metrics_free(NULL);
}

static void a_histogram_counts_each_bucket_and_all_below(void **state)
{
    struct metrics *m = metrics_new();
    struct metric *h = metrics_histogram(m, "t_seconds", "k=\"v\"", "T.");

    (void)state;
    metric_observe(h, 0.001);
    metric_observe(h, 0.0011);
    metric_observe(h, 100.5);
    assert_exposition(m, "# HELP t_seconds T.\n"
                         "# TYPE t_seconds histogram\n"
                         "t_seconds_bucket{k=\"v\",le=\"0.001\"} 1\n"
                         "t_seconds_bucket{k=\"v\",le=\"0.0025\"} 2\n"
                         "t_seconds_bucket{k=\"v\",le=\"0.005\"} 2\n"
                         "t_seconds_bucket{k=\"v\",le=\"0.01\"} 2\n"
                         "t_seconds_bucket{k=\"v\",le=\"0.025\"} 2\n"
                         "t_seconds_bucket{k=\"v\",le=\"0.05\"} 2\n"
                         "t_seconds_bucket{k=\"v\",le=\"0.1\"} 2\n"
                         "t_seconds_bucket{k=\"v\",le=\"0.25\"} 2\n"
                         "t_seconds_bucket{k=\"v\",le=\"0.5\"} 2\n"
                         "t_seconds_bucket{k=\"v\",le=\"1\"} 2\n"
                         "t_seconds_bucket{k=\"v\",le=\"2.5\"} 2\n"
                         "t_seconds_bucket{k=\"v\",le=\"5\"} 2\n"
                         "t_seconds_bucket{k=\"v\",le=\"10\"} 2\n"
                         "t_seconds_bucket{k=\"v\",le=\"25\"} 2\n"
                         "t_seconds_bucket{k=\"v\",le=\"50\"} 2\n"
                         "t_seconds_bucket{k=\"v\",le=\"100\"} 2\n"
                         "t_seconds_bucket{k=\"v\",le=\"+Inf\"} 3\n"
                         "t_seconds_sum{k=\"v\"} 100.5021\n"
                         "t_seconds_count{k=\"v\"} 3\n");
    metrics_free(m);
}

static void what_is_not_finite_is_written_as_prometheus_reads_it(void **state)
{
    struct metrics *m = metrics_new();

    (void)state;
    metric_set(metrics_gauge(m, "g", "v=\"1\"", "G."), INFINITY);
    metric_set(metrics_gauge(m, "g", "v=\"2\"", "G."), NAN);
    assert_exposition(m, "# HELP g G.\n# TYPE g gauge\ng{v=\"1\"} +Inf\ng{v=\"2\"} NaN\n");
    metrics_free(m);
}

static void *add_many(void *metric)
{
    for (int i = 0; i < 20000; i++)
        metric_add(metric, 1);
    return NULL;
}

static void no_addition_of_any_thread_is_lost(void **state)
{
    struct metrics *m = metrics_new();
    struct metric *metric = metrics_counter(m, "n_total", NULL, "N.");
    pthread_t threads[4];

    (void)state;
    for (size_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, add_many, metric);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_exposition(m, "# HELP n_total N.\n# TYPE n_total counter\nn_total 80000\n");
    metrics_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_and_gauges_are_grouped_by_name_with_help_and_type),
        cmocka_unit_test(asking_again_gives_the_same_metric),
        cmocka_unit_test(a_histogram_counts_each_bucket_and_all_below),
        cmocka_unit_test(what_is_not_finite_is_written_as_prometheus_reads_it),
        cmocka_unit_test(no_addition_of_any_thread_is_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
