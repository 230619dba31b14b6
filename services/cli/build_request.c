#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "services/cli/build.h"

/* What a build of a batch says goes over the rest, sizes apart that were given by hand. */
static void set_build(struct build_request *r, const Gantry__V1__BatchBuild *build)
{
    r->action = mem_printf("build/%s", build->identifier);
    r->message.action = r->action;
    if (!str_empty(build->buildspec))
        r->spec.buildspec = build->buildspec;
    r->spec.env = build->env;
    r->spec.n_env = build->n_env;
    if (r->spec.cpu <= 0)
        r->spec.cpu = build->cpu;
    if (!r->spec.memory_bytes)
        r->spec.memory_bytes = build->memory_bytes;
    r->spec.batch_image = build->image;
    if (build->privilege_case == GANTRY__V1__BATCH_BUILD__PRIVILEGE_PRIVILEGED) {
        r->spec.batch_privilege_case = GANTRY__V1__BUILD_SPEC__BATCH_PRIVILEGE_BATCH_PRIVILEGED;
        r->spec.batch_privileged = build->privileged;
    }
}

/* What --env says, as variables given when a release is started. */
static void set_variables(struct build_request *r, const struct strv *env)
{
    r->pairs = mem_alloc((env->count + 1) * sizeof(*r->pairs));
    r->variables = mem_alloc((env->count + 1) * sizeof(Gantry__V1__KeyValue *));
    for (size_t i = 0; i < env->count; i++) {
        const char *item = env->items[i];
        size_t name = strcspn(item, "=");
        gantry__v1__key_value__init(&r->pairs[i]);
        r->pairs[i].key = mem_strndup(item, name);
        r->pairs[i].value = (char *)item + name + 1;
        r->variables[i] = &r->pairs[i];
    }
    r->message.variables = r->variables;
    r->message.n_variables = env->count;
}

void build_request_init(struct build_request *r, const struct build_options *options,
                        const struct build_facts *facts, const Gantry__V1__BatchBuild *build,
                        uint64_t release)
{
    static char empty[] = "", source[] = "source", local[] = "local", action[] = "build";
    *r = (struct build_request){.message = GANTRY__V1__ACTION_REQUEST__INIT,
                                .spec = GANTRY__V1__BUILD_SPEC__INIT,
                                .revision = GANTRY__V1__REVISION__INIT};
    id_random(r->run_id);
    r->revision.source = source;
    r->revision.git = facts->url;
    r->revision.ref = (char *)facts->ref;
    r->revision.commit = (char *)facts->commit;
    r->revisions[0] = &r->revision;
    r->spec.source = source;
    r->spec.buildspec = options->buildspec ? (char *)options->buildspec : empty;
    r->spec.dockerfile = options->dockerfile ? (char *)options->dockerfile : empty;
    r->spec.image = options->image ? (char *)options->image : empty;
    r->spec.cpu = options->cpu;
    r->spec.memory_bytes = options->memory_bytes;
    r->message.run_id = r->run_id;
    r->message.pipeline = r->message.stage = local;
    r->message.action = action;
    r->message.release = release;
    r->message.number = 1;
    r->message.kind = GANTRY__V1__ACTION_KIND__ACTION_KIND_BUILD;
    r->message.verb = GANTRY__V1__REQUEST_VERB__REQUEST_VERB_RUN;
    r->message.revisions = r->revisions;
    r->message.n_revisions = 1;
    r->message.spec_case = GANTRY__V1__ACTION_REQUEST__SPEC_BUILD;
    r->message.build = &r->spec;
    set_variables(r, &options->env);
    if (build)
        set_build(r, build);
}

void build_request_release(struct build_request *r)
{
    for (size_t i = 0; i < r->message.n_variables; i++)
        free(r->pairs[i].key);
    free(r->pairs);
    free(r->variables);
    free(r->action);
}
