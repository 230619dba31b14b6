/* A buildspec from anybody: parsed, planned and played with every third command failing. */
#include <stdint.h>

#include "buildspec/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buildspec *spec = NULL;
    struct buildspec_problems problems = {0};
    struct err err = {0};
    struct plan plan;
    struct plan_step step;
    struct buf text;
    unsigned n = 0;
    int rc = buildspec_parse(&spec, data, size, &problems, &err);
    buf_init(&text, 1024 * 1024);
    for (size_t i = 0; i < problems.count; i++)
        buildspec_problem_text(&problems.items[i], "f", &text);
    buf_release(&text);
    buildspec_problems_release(&problems);
    if (rc < 0)
        return 0;
    plan_init(&plan, spec);
    for (plan_next(&plan, &step); step.kind != PLAN_DONE; plan_next(&plan, &step)) {
        if (step.kind == PLAN_COMMAND)
            plan_ended(&plan, ++n % 3 == 0);
    }
    plan_release(&plan);
    buildspec_free(spec);
    return 0;
}
