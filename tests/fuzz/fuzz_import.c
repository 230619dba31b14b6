/* Whatever the bytes: no crash, no leak, and either a refusal that names the file or definitions
 * that apply, as `gantry apply` takes them: every document without a mistake, no name twice, every
 * environment that is deployed to among them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "definition/definition.h"
#include "services/cli/import.h"

#define DOCUMENTS_MAX 1000 /* of one file */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct applied {
    struct strv keys; /* "Environment/prod", "shop" */
    struct strv wanted;
    size_t pipelines;
};

static void want_environments(struct applied *applied, const struct def_pipeline *p)
{
    for (size_t i = 0; i < p->stage_count; i++)
        for (size_t j = 0; j < p->stages[i].step_count; j++)
            for (size_t k = 0; k < p->stages[i].steps[j].action_count; k++) {
                const struct def_action *action = &p->stages[i].steps[j].actions[k];
                char *key;

                if (action->kind != DEF_DEPLOY)
                    continue;
                key = definition_key(DEF_ENVIRONMENT, action->deploy.environment);
                strv_add(&applied->wanted, key);
                free(key);
            }
}

static int apply(const char *text, size_t len, int first_line, void *arg, struct err *err)
{
    struct applied *applied = arg;
    struct definition *def;
    char *key;

    (void)first_line;
    if (definition_parse(&def, text, len, NULL, err) < 0)
        abort();
    key = definition_key(def->kind, def->name);
    if (applied->keys.count == DOCUMENTS_MAX || strv_has(&applied->keys, key))
        abort();
    strv_add(&applied->keys, key);
    if (def->kind == DEF_PIPELINE) {
        applied->pipelines++;
        want_environments(applied, def->pipeline);
    } else if (def->kind != DEF_ENVIRONMENT) {
        abort();
    }
    free(key);
    definition_free(def);
    return 0;
}

static void check_applies(const char *yaml)
{
    struct applied applied = {0};
    struct err err = {0};

    if (definition_split(yaml, strlen(yaml), apply, &applied, &err) < 0 || applied.pipelines == 0)
        abort();
    for (size_t i = 0; i < applied.wanted.count; i++)
        if (!strv_has(&applied.keys, applied.wanted.items[i]))
            abort();
    strv_release(&applied.keys);
    strv_release(&applied.wanted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct import_result result = {0};
    struct strv parameters = {0};
    struct err err = {0};

    strv_add(&parameters, "Branch={{variables.X}}\n");
    if (import_codepipeline(&result, "f", data, len, &parameters, &err) < 0) {
        if (err.code == ERR_INTERNAL || strncmp(err.msg, "f:", 2) != 0)
            abort();
    } else if (!result.yaml) {
        abort();
    } else {
        check_applies(result.yaml);
    }
    import_result_release(&result);
    strv_release(&parameters);
    return 0;
}
