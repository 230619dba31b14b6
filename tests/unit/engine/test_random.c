/* Random histories: whatever comes in whatever order, the promises of scenario.c and the properties
 * of docs/reference/pipeline.md hold. GANTRY_SEED and GANTRY_STEPS repeat or lengthen a run. What
 * was reached is printed, and what must be reached is checked. A history that breaks a promise is
 * cut down to the inputs that it takes. */
#include "../unit.h"

#include <inttypes.h>

#include "base/mem.h"
#include "base/str.h"
#include "random.h"
#include "shrink.h"

#ifdef __SANITIZE_ADDRESS__
#define STEPS 30000 /* takes as long as 200,000 without */
#else
#define STEPS 200000
#endif
#define HISTORY_INPUTS 1000 /* of one history; then another begins */
#define THOROUGH_EVERY 50   /* decode and fold beside: parsing definitions takes its time */

static struct scenario *scene(void)
{
    static const char *const environments[] = {"dev", "staging", "prod"};
    struct scenario *s = scenario_new("shop");
    for (size_t i = 0; i < 3; i++)
        scenario_environment(s, environments[i], "command");
    return s;
}

/* One line after the other; ends the process where a promise is broken. */
static void replay(char *const *lines, size_t count, bool thorough)
{
    struct scenario *s = scene();
    struct script *script = script_begin(s);
    s->lenient = true;
    for (size_t i = 0; i < count; i++) {
        s->thorough = thorough || i + 1 == count;
        script_line(script, lines[i]);
    }
    script_end(script);
    scenario_check_replay(s);
    scenario_free(s);
}

static void one_history(uint64_t seed, size_t steps, struct coverage *coverage)
{
    struct random_history history;
    struct scenario *s = scene();
    struct script *script = script_begin(s);
    coverage_history(coverage);
    random_begin(&history, seed, coverage);
    s->decided = random_note;
    s->decided_arg = &history;
    shrink_begin(seed);
    for (size_t i = 0; i < steps; i++) {
        char *line = random_line(&history);
        shrink_note(line);
        s->thorough = i % THOROUGH_EVERY == 0;
        script_line(script, line);
        free(line);
    }
    script_end(script);
    scenario_check_replay(s);
    scenario_free(s);
    random_end(&history);
}

static void all_histories(void *arg)
{
    const char *text = getenv("GANTRY_SEED"), *wanted = getenv("GANTRY_STEPS");
    uint64_t seed = text ? strtoull(text, NULL, 10) : 20240607;
    size_t steps = wanted ? strtoull(wanted, NULL, 10) : STEPS, done = 0;
    struct coverage coverage;
    (void)arg;
    coverage_begin(&coverage);
    print_message("seed %" PRIu64 ", %zu steps\n", seed, steps);
    while (done < steps) {
        size_t left = steps - done, some = left < HISTORY_INPUTS ? left : HISTORY_INPUTS;
        one_history(seed++, some, &coverage);
        done += some;
    }
    coverage_print(&coverage);
    /* A run of the usual length has to reach all of it: else it proves less than it says. */
    const char *missing = steps >= STEPS ? coverage_missing(&coverage) : NULL;
    coverage_end(&coverage);
    if (missing)
        fail_msg("no input led to '%s'", missing);
}

static void every_property_holds_for_random_inputs(void **unused)
{
    (void)unused;
    if (!shrink_run(all_histories, NULL, replay))
        fail_msg("a promise was broken: see above");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_property_holds_for_random_inputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
