/* Order, failures and the image are as the promoter has them (engine/batch.h). */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/batch.h"
#include "services/cli/build.h"

/* How a build ended. */
struct told {
    bool begun;
    enum build_end end;
    char took[32];
    char *reason; /* why it did not succeed; NULL: it did */
};

struct batch_run {
    struct build_session *session;
    const struct build_options *options;
    const struct build_facts *facts;
    const Gantry__V1__BatchPlan *plan;
    uint64_t release;
    struct batch *batch;
    struct told *told; /* of each build of the plan */
    size_t begun;
};

/* ---- a build ---- */

/* What is wrong with its image; the caller frees. NULL: nothing. */
static char *refuse_image(const struct batch_run *run, const Gantry__V1__Finished *finished)
{
    size_t at;
    const Gantry__V1__Artifact *other = batch_image(run->batch, &at);
    if (!other || !finished || finished->image_case != GANTRY__V1__FINISHED__IMAGE_ARTIFACT ||
        str_eq(other->digest, finished->artifact->digest))
        return NULL;
    return mem_printf("it made %.19s, and build '%s' made %.19s: one batch makes one image",
                      finished->artifact->digest, run->plan->builds[at - 1]->identifier,
                      other->digest);
}

/* The next one; false: it was interrupted. */
static bool run_build(struct batch_run *run, size_t at)
{
    const Gantry__V1__BatchBuild *build = run->plan->builds[at - 1];
    struct told *told = &run->told[at - 1];
    struct build_request request;
    told->begun = true;
    build_session_say(run->session, "Build %s, %zu of %zu", build->identifier, ++run->begun,
                      run->plan->n_builds);
    build_request_init(&request, run->options, run->facts, build, run->release);
    told->end = build_session_run(run->session, &request.message, true);
    build_request_release(&request);
    const Gantry__V1__Finished *finished = build_session_finished(run->session);
    clock_human(finished ? finished->ended_ms - finished->started_ms : 0, told->took);
    if (told->end != BUILD_SUCCEEDED) {
        told->reason = mem_strdup(finished ? finished->reason : "the machine could not run it");
    } else if ((told->reason = refuse_image(run, finished))) {
        told->end = BUILD_FAILED;
        build_session_say(run->session, "Build FAILED: %s", told->reason);
    }
    batch_end_build(run->batch, at, told->end == BUILD_SUCCEEDED, finished,
                    told->reason ? told->reason : "");
    return told->end != BUILD_INTERRUPTED && !build_session_interrupted(run->session);
}

/* ---- the end ---- */

/* The build, from 1, that this one waits for in vain; 0: none. */
static size_t waits_for(const struct batch_run *run, const Gantry__V1__BatchBuild *build)
{
    for (size_t i = 0; i < build->n_depend_on; i++) {
        for (size_t j = 0; j < run->plan->n_builds; j++) {
            const Gantry__V1__BatchBuild *other = run->plan->builds[j];
            const struct told *told = &run->told[j];
            if (str_eq(other->identifier, build->depend_on[i]) &&
                (!told->begun || (told->end != BUILD_SUCCEEDED && !other->ignore_failure)))
                return j + 1;
        }
    }
    return 0;
}

static void say_not_run(const struct batch_run *run, const Gantry__V1__BatchBuild *build)
{
    size_t failed = batch_failed(run->batch), before = waits_for(run, build);
    if (build_session_interrupted(run->session))
        build_session_say(run->session, "  %s: not run", build->identifier);
    else if (failed && run->plan->fast_fail)
        build_session_say(run->session,
                          "  %s: not run: build '%s' failed, and the batch has "
                          "fast-fail",
                          build->identifier, run->plan->builds[failed - 1]->identifier);
    else
        build_session_say(run->session, "  %s: not run: it waits for '%s'", build->identifier,
                          before ? run->plan->builds[before - 1]->identifier : "");
}

static size_t say_builds(const struct batch_run *run)
{
    size_t succeeded = 0;
    build_session_say(run->session, "Builds of the batch");
    for (size_t i = 0; i < run->plan->n_builds; i++) {
        const Gantry__V1__BatchBuild *build = run->plan->builds[i];
        const struct told *told = &run->told[i];
        if (!told->begun) {
            say_not_run(run, build);
        } else if (told->end == BUILD_SUCCEEDED) {
            succeeded++;
            build_session_say(run->session, "  %s: SUCCEEDED in %s", build->identifier, told->took);
        } else {
            build_session_say(run->session, "  %s: %s after %s: %s%s", build->identifier,
                              told->end == BUILD_FAILED ? "FAILED" : "STOPPED", told->took,
                              told->reason,
                              build->ignore_failure ? " (its failure is ignored)" : "");
        }
    }
    return succeeded;
}

static enum build_end say_end(const struct batch_run *run, int64_t began_ms)
{
    struct build_session *session = run->session;
    const size_t succeeded = say_builds(run), failed = batch_failed(run->batch);
    char took[32];
    clock_human(clock_now_ms() - began_ms, took);
    if (build_session_interrupted(session)) {
        build_session_say(session, "Batch STOPPED after %s", took);
        return BUILD_INTERRUPTED;
    }
    if (failed) {
        build_session_say(session, "Batch FAILED after %s: build '%s' failed: %s", took,
                          run->plan->builds[failed - 1]->identifier, run->told[failed - 1].reason);
        return BUILD_FAILED;
    }
    if (run->options->image && !batch_image(run->batch, NULL)) {
        build_session_say(session, "Batch FAILED after %s: none of its builds made the image %s",
                          took, run->options->image);
        return BUILD_FAILED;
    }
    if (succeeded == run->plan->n_builds)
        build_session_say(session, "Batch SUCCEEDED in %s: all %zu builds succeeded", took,
                          succeeded);
    else
        build_session_say(session,
                          "Batch SUCCEEDED in %s: %zu of %zu builds succeeded, the "
                          "others' failure is ignored",
                          took, succeeded, run->plan->n_builds);
    return BUILD_SUCCEEDED;
}

enum build_end build_batch_run(struct build_session *session, const struct build_options *options,
                               const struct build_facts *facts, uint64_t release)
{
    const Gantry__V1__BatchPlan *plan = options->plan;
    const int64_t began_ms = clock_now_ms();
    struct batch_run run = {.session = session,
                            .options = options,
                            .facts = facts,
                            .plan = plan,
                            .release = release,
                            .batch = batch_new(plan),
                            .told = mem_alloc(plan->n_builds * sizeof(struct told))};
    size_t next;
    build_session_say(session, "A batch of %zu build%s%s", plan->n_builds,
                      plan->n_builds == 1 ? "" : "s",
                      plan->fast_fail ? ", the first failure stops the others" : "");
    while ((next = batch_next(run.batch)) && run_build(&run, next))
        ;
    enum build_end end = say_end(&run, began_ms);
    for (size_t i = 0; i < plan->n_builds; i++)
        free(run.told[i].reason);
    free(run.told);
    batch_free(run.batch);
    return end;
}
