/* bench_definition: how long it takes to read and check a definition of 500 actions, as large as
 * one may be in most ways.
 *
 *   bench_definition [--rounds 200]
 *
 * Prints one JSON object; times are in milliseconds. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "definition/definition.h"

static void add_actions(struct buf *yaml, int stage)
{
    buf_addf(yaml,
             "        - build: {name: image-%d, source: app, image: registry.example/shop/part-%d,"
             " env: {LEVEL: \"{{variables.LEVEL}}\"}, size: {cpu: 2, memory: 4Gi}}\n",
             stage, stage);
    buf_adds(yaml, "        - parallel:\n");
    for (int i = 0; i < 4; i++)
        buf_addf(yaml,
                 "            - custom/load-test: {name: load-%d, input: {rate: \"50\", of: "
                 "\"{{artifacts.image-%d.digest}} {{actions.image-%d.VERSION}}\"}, timeout: 10m}\n",
                 i, stage, stage);
    for (int i = 0; i < 4; i++)
        buf_addf(yaml,
                 "        - deploy: {name: app-%d, environment: env-%d, artifact: image-%d, "
                 "kubernetes: {namespace: shop, deployment: part-%d, container: app}}\n",
                 i, stage, stage, i);
    buf_addf(yaml, "        - custom/check: {name: look, input: {n: \"{{release.number}}\"}}\n");
}

static void add_stage(struct buf *yaml, int stage)
{
    buf_addf(yaml, "    - name: stage-%d\n", stage);
    if (stage > 0)
        buf_adds(yaml, "      gates:\n"
                       "        - soak: 2h\n"
                       "        - window: \"Mon-Fri 09:00-16:00 Europe/Berlin\"\n"
                       "        - approval: {by: [group:qa, group:ops], count: 2, not: [author], "
                       "message: \"Release {{release.number}}\"}\n");
    buf_adds(yaml, "      on-failure: retry 2\n      steps:\n");
    add_actions(yaml, stage);
}

static void write_definition(struct buf *yaml)
{
    buf_adds(yaml, "apiVersion: gantry/v1\nkind: Pipeline\nmetadata: {name: large}\nspec:\n"
                   "  variables: {LEVEL: info}\n"
                   "  sources:\n"
                   "    - {name: app, git: https://git.example/shop.git, branches: [main]}\n"
                   "  stages:\n");
    for (int i = 0; i < DEFINITION_STAGES_MAX; i++)
        add_stage(yaml, i);
}

static int by_time(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static int measure(const struct buf *yaml, size_t rounds, int64_t *times_us)
{
    for (size_t i = 0; i < rounds; i++) {
        struct definition *def;
        struct err err;
        int64_t before_us = clock_mono_us();

        if (definition_parse(&def, yaml->data, yaml->len, NULL, &err) < 0) {
            fprintf(stderr, "bench_definition: %s\n", err.msg);
            return -1;
        }
        times_us[i] = clock_mono_us() - before_us;
        definition_free(def);
    }
    qsort(times_us, rounds, sizeof(*times_us), by_time);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {{"rounds", required_argument, NULL, 'r'},
                                                 {NULL, 0, NULL, 0}};
    uint64_t rounds = 200;
    int64_t *times_us;
    struct buf yaml;
    int option, ret;

    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
        if (option != 'r' || str_to_u64(optarg, &rounds) < 0 || rounds < 1 || rounds > 1000000) {
            fprintf(stderr, "usage: bench_definition [--rounds 200]\n");
            return 2;
        }
    buf_init(&yaml, DEFINITION_SIZE_MAX);
    write_definition(&yaml);
    times_us = calloc(rounds, sizeof(*times_us));
    ret = times_us ? measure(&yaml, rounds, times_us) : -1;
    if (ret == 0)
        printf("{\"bytes\": %zu, \"actions\": %d, \"parse_ms\": {\"p50\": %.3f, \"p99\": %.3f}}\n",
               yaml.len, DEFINITION_ACTIONS_MAX, (double)times_us[rounds / 2] / 1000,
               (double)times_us[rounds * 99 / 100] / 1000);
    free(times_us);
    buf_release(&yaml);
    return ret == 0 ? 0 : 1;
}
