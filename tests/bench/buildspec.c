/* bench_buildspec: how long it takes to read and check buildspecs, and to plan their commands.
 *
 *   bench_buildspec [--rounds 1000] FILE...
 *
 * Prints one JSON object, of the file that takes longest; times are in milliseconds. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/file.h"
#include "buildspec/plan.h"

static int by_time(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static int measure(const struct buf *yaml, size_t rounds, int64_t *times_us, struct err *err)
{
    for (size_t i = 0; i < rounds; i++) {
        int64_t before_us = clock_mono_us();
        struct buildspec *spec;
        struct plan plan;

        if (buildspec_parse(&spec, yaml->data, yaml->len, NULL, err) < 0)
            return -1;
        plan_init(&plan, spec);
        times_us[i] = clock_mono_us() - before_us;
        plan_release(&plan);
        buildspec_free(spec);
    }
    qsort(times_us, rounds, sizeof(*times_us), by_time);
    return 0;
}

struct slowest {
    const char *file;
    size_t bytes;
    int64_t p50_us, p99_us;
};

static int measure_file(struct slowest *slowest, const char *file, size_t rounds, int64_t *times_us)
{
    struct err err = {0};
    struct buf yaml;
    int ret = file_read(&yaml, file, BUILDSPEC_SIZE_MAX, &err);

    if (ret == 0)
        ret = measure(&yaml, rounds, times_us, &err);
    if (ret < 0)
        fprintf(stderr, "bench_buildspec: %s: %s\n", file, err.msg);
    else if (!slowest->file || times_us[rounds / 2] > slowest->p50_us)
        *slowest = (struct slowest){.file = file,
                                    .bytes = yaml.len,
                                    .p50_us = times_us[rounds / 2],
                                    .p99_us = times_us[rounds * 99 / 100]};
    buf_release(&yaml);
    return ret;
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {{"rounds", required_argument, NULL, 'r'},
                                                 {NULL, 0, NULL, 0}};
    struct slowest slowest = {0};
    uint64_t rounds = 1000;
    int64_t *times_us;
    bool bad = false;
    int option, ret = 0;

    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
        bad = bad || option != 'r' || str_to_u64(optarg, &rounds) < 0 || rounds < 1 ||
              rounds > 1000000;
    if (bad || optind == argc) {
        fprintf(stderr, "usage: bench_buildspec [--rounds 1000] FILE...\n");
        return 2;
    }
    times_us = calloc(rounds, sizeof(*times_us));
    for (int i = optind; i < argc && ret == 0; i++)
        ret = times_us ? measure_file(&slowest, argv[i], rounds, times_us) : -1;
    if (ret == 0)
        printf("{\"files\": %d, \"bytes\": %zu, \"parse_ms\": {\"p50\": %.3f, \"p99\": %.3f}}\n",
               argc - optind, slowest.bytes, (double)slowest.p50_us / 1000,
               (double)slowest.p99_us / 1000);
    free(times_us);
    return ret == 0 ? 0 : 1;
}
