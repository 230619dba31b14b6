/* What follows the commands, in this order, whether they succeeded or not:
 *
 *   values     the shell evaluates the texts of the buildspec that are its to evaluate
 *   export     the shell gives the exported variables (of a build that succeeded)
 *   bring      what is read of the place is here
 *   reports    are read
 *   artifacts  are packed and stored, if the build came to post_build
 *   image      its digest is found (of a build that succeeded)
 *   cache      is kept (of a build that succeeded)
 *   layers     are kept, once no process is left
 *
 * Then the build succeeds, or fails with the first failure. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "build/internal.h"

#define BRING_MAX (16ULL * 1024 * 1024 * 1024)

bool after_is_kept(const struct build *build)
{
    return !build->plan.failed || build->plan.phase == BUILDSPEC_POST_BUILD;
}

void after_fail(struct build *build, enum phase phase, const char *reason, const char *command,
                int code)
{
    struct failure *failure = &build->failure;
    if (failure->failed)
        return;
    *failure = (struct failure){.failed = true,
                                .phase = phase,
                                .reason = mem_strdup(reason),
                                .command = mem_strdup(command),
                                .code = code};
}

/* ---- values ---- */

static void on_values(struct build *build, const struct err *err)
{
    if (err) {
        build_mark(build, "%s", err->msg);
        after_fail(build, PHASE_UPLOAD_ARTIFACTS, err->msg, NULL, 0);
    }
    after_next(build);
}

static void ask_values(struct build *build)
{
    values_ask(build, VALUES_AFTER, on_values);
}

/* ---- exported variables ---- */

static void take_exported(struct build *build)
{
    struct strv all = {0};
    struct err err = {0};
    if (build->place->ops->exported(build->place, &all, &err) < 0)
        build_mark(build, "The exported variables cannot be read: %s", err.msg);
    for (size_t i = 0; i < all.count; i++) {
        const char *item = all.items[i];
        if (str_is_utf8(item, strlen(item)) && strlen(item) <= 8192)
            strv_add(&build->exported, item);
        else
            build_mark(build, "The variable %.*s is not exported: %s", (int)strcspn(item, "="),
                       item, "it must be UTF-8 text of at most 8 KiB");
    }
    strv_release(&all);
}

static void on_exported(struct build *build, const struct build_exit *result)
{
    if (result->err.code != ERR_NONE) {
        build_give_back(build, &result->err);
        return;
    }
    if (result->limit) {
        build_mark(build, "%s", result->limit);
        after_fail(build, build->phase, result->limit, NULL, result->code);
    } else {
        take_exported(build);
    }
    after_next(build);
}

static void export_variables(struct build *build)
{
    if (build->failure.failed || (!build->spec->exported.count && !build->image_uri)) {
        after_next(build);
        return;
    }
    build->answered = on_exported;
    build->place->ops->export_variables(build->place);
}

/* ---- what is read of the place must be here ---- */

static void bring_files(struct build *build)
{
    struct strv paths = {0};
    reports_wants(build, &paths);
    keep_wants(build, &paths);
    if (!build->failure.failed)
        cache_wants(build, &paths);
    if (build->image_uri)
        image_wants(build, &paths);
    place_bring(build, &paths, BRING_MAX, after_next);
    strv_release(&paths);
}

/* ---- reports, artifacts, image ---- */

static bool has_artifacts(const struct build *build)
{
    return after_is_kept(build) &&
           (build->spec->artifacts.files.count || build->spec->secondary_count);
}

static void read_reports(struct build *build)
{
    if (build->spec->report_count || has_artifacts(build) ||
        (build->image_uri && !build->failure.failed))
        phase_begin(build, PHASE_UPLOAD_ARTIFACTS);
    reports_begin(build);
}

static void keep_artifacts(struct build *build)
{
    if (has_artifacts(build))
        keep_begin(build);
    else
        after_next(build);
}

static void find_image(struct build *build)
{
    if (build->image_uri && !build->failure.failed)
        image_find(build);
    else
        after_next(build);
}

static void keep_cache(struct build *build)
{
    const struct buildspec_cache *cache = &build->spec->cache;
    if (build->failure.failed || !cache->save || !cache->paths.count) {
        after_next(build);
        return;
    }
    phase_end(build, "SUCCEEDED", "");
    phase_begin(build, PHASE_FINALIZING);
    cache_save(build, after_next);
}

static void end(struct build *build)
{
    const struct failure *failure = &build->failure;
    bool here = failure->failed && failure->phase == PHASE_UPLOAD_ARTIFACTS;
    phase_end(build, here ? "FAILED" : "SUCCEEDED", here ? failure->reason : "");
    if (failure->failed)
        build_fail(build, failure->phase, failure->reason, failure->command, failure->code);
    else
        build_succeed(build);
}

static void keep_layers(struct build *build)
{
    layers_give(build, after_next);
}

/* ---- in order ---- */

void after_next(struct build *build)
{
    static void (*const steps[])(struct build *) = {ask_values,   export_variables, bring_files,
                                                    read_reports, keep_artifacts,   find_image,
                                                    keep_cache,   keep_layers,      end};
    if (!build->stopping)
        steps[build->step++](build);
}

void after_begin(struct build *build)
{
    const struct plan *plan = &build->plan;
    if (plan->failed) {
        enum phase phase = (enum phase)(PHASE_INSTALL + (int)plan->failed_phase);
        char reason[256];
        snprintf(reason, sizeof(reason), "A command of %s ended with exit status %d",
                 phase_name(phase), plan->failed_code);
        after_fail(build, phase, reason, plan->texts.items[plan->failed_index], plan->failed_code);
    }
    after_next(build);
}
