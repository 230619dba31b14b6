#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "buildah/docker.h"

#define NO_LIMITS "the action's `size:` limits the build"

static const struct option options[] = {
    {"add-host", 0, true, KEEP, NULL},
    {"all-platforms", 0, false, KEEP, NULL},
    {"allow", 0, true, DROP, NULL},
    {"annotation", 0, true, KEEP, NULL},
    {"attest", 0, true, NOTE, "the builder attests the image itself"},
    {"authfile", 0, true, KEEP, NULL},
    {"build-arg", 0, true, KEEP, NULL},
    {"build-context", 0, true, KEEP, NULL},
    {"builder", 0, true, DROP, NULL},
    {"cache-from", 0, true, TAKE, NULL},
    {"cache-to", 0, true, TAKE, NULL},
    {"cgroup-parent", 0, true, DROP, NULL},
    {"compress", 0, false, DROP, NULL},
    {"cpu-period", 0, true, NOTE, NO_LIMITS},
    {"cpu-quota", 0, true, NOTE, NO_LIMITS},
    {"cpu-shares", 'c', true, NOTE, NO_LIMITS},
    {"cpuset-cpus", 0, true, NOTE, NO_LIMITS},
    {"cpuset-mems", 0, true, NOTE, NO_LIMITS},
    {"creds", 0, true, KEEP, NULL},
    {"disable-content-trust", 0, false, DROP, NULL},
    {"file", 'f', true, KEEP, NULL},
    {"force-rm", 0, false, DROP, NULL},
    {"format", 0, true, TAKE, NULL},
    {"iidfile", 0, true, KEEP, NULL},
    {"isolation", 0, true, DROP, NULL},
    {"label", 0, true, KEEP, NULL},
    {"layers", 0, false, KEEP, NULL},
    {"load", 0, false, DROP, NULL},
    {"memory", 'm', true, NOTE, NO_LIMITS},
    {"memory-swap", 0, true, NOTE, NO_LIMITS},
    {"metadata-file", 0, true, TAKE, NULL},
    {"network", 0, true, TAKE, NULL},
    {"no-cache", 0, false, KEEP, NULL},
    {"no-cache-filter", 0, true, NOTE, "only --no-cache is known"},
    {"output", 'o', true, TAKE, NULL},
    {"platform", 0, true, TAKE, NULL},
    {"progress", 0, true, DROP, NULL},
    {"provenance", 0, true, NOTE, "the builder attests the image itself"},
    {"pull", 0, false, TAKE, NULL},
    {"push", 0, false, TAKE, NULL},
    {"quiet", 'q', false, KEEP, NULL},
    {"rm", 0, false, DROP, NULL},
    {"sbom", 0, true, NOTE, "no bill of materials is made"},
    {"secret", 0, true, KEEP, NULL},
    {"security-opt", 0, true, DROP, NULL},
    {"shm-size", 0, true, KEEP, NULL},
    {"squash", 0, false, KEEP, NULL},
    {"ssh", 0, true, KEEP, NULL},
    {"stdin", 0, false, KEEP, NULL},
    {"tag", 't', true, TAKE, NULL},
    {"target", 0, true, KEEP, NULL},
    {"tls-verify", 0, false, KEEP, NULL},
    {"ulimit", 0, true, KEEP, NULL},
    {0}};

/* A field of "type=registry,ref=R,mode=max"; the caller frees. */
static char *field(const char *text, const char *name)
{
    struct strv parts = {0};
    char *found = NULL;
    size_t len = strlen(name);
    strv_split(&parts, text, ',');
    for (size_t i = 0; i < parts.count && !found; i++) {
        if (strncmp(parts.items[i], name, len) == 0 && parts.items[i][len] == '=')
            found = mem_strdup(parts.items[i] + len + 1);
    }
    strv_release(&parts);
    return found;
}

/* buildah keeps a layer under a tag of its own in a repository, where buildx has a tag for all. */
static void add_cache(struct build_plan *plan, const struct words *w, const char *name)
{
    struct strv all = {0};
    words_get_all(w, name, &all);
    for (size_t i = 0; i < all.count; i++) {
        char *type = field(all.items[i], "type");
        char *ref = field(all.items[i], "ref");
        if (str_eq(type, "registry") && ref) {
            char *repository = docker_repository(ref);
            if (!strv_has(&plan->argv, "--layers"))
                strv_add(&plan->argv, "--layers");
            strv_addf(&plan->argv, "--%s=%s", name, repository);
            free(repository);
        } else {
            strv_addf(&plan->notes,
                      "--%s=%s has no effect here: the layers of an image are not looked through; "
                      "keep them with --cache-from and --cache-to of type=registry,ref=REPOSITORY, "
                      "or have the builder keep them (builder.layer-cache: local)",
                      name, all.items[i]);
        }
        free(type);
        free(ref);
    }
    strv_release(&all);
}

static int add_output(struct build_plan *plan, const struct words *w, struct err *err)
{
    const char *output = words_get(w, "output");
    if (!output)
        return 0;
    char *type = field(output, "type");
    char *push = field(output, "push");
    char *dest = field(output, "dest");
    int rc = 0;
    if (str_eq(type, "registry") || (str_eq(type, "image") && str_eq(push, "true")))
        plan->push = true;
    else if (!type || str_eq(type, "local") || str_eq(type, "tar"))
        strv_addf(&plan->argv, "--output=%s", output);
    else if (!str_eq(type, "image") && !(str_eq(type, "docker") && !dest))
        rc = err_set(err, ERR_INVALID,
                     "--output=%.100s: this docker writes local, tar, image and registry; "
                     "`docker save` makes an archive",
                     output);
    free(type);
    free(push);
    free(dest);
    return rc;
}

static void add_network(struct build_plan *plan, const struct words *w)
{
    const char *network = words_get(w, "network");
    if (network && !str_eq(network, "default") && !str_eq(network, "bridge"))
        strv_addf(&plan->argv, "--network=%s", network);
}

static int add_platforms(struct build_plan *plan, const struct words *w, struct err *err)
{
    struct strv all = {0};
    char *text = NULL;
    words_get_all(w, "platform", &all);
    for (size_t i = 0; i < all.count; i++) {
        char *next = text ? mem_printf("%s,%s", text, all.items[i]) : mem_strdup(all.items[i]);
        free(text);
        text = next;
    }
    strv_release(&all);
    if (!text)
        return 0;
    plan->several = strchr(text, ',') != NULL;
    strv_addf(&plan->argv, "--platform=%s", text);
    free(text);
    if (plan->several && plan->tags.count == 0)
        return err_set(err, ERR_INVALID, "an image for several platforms needs a name: --tag");
    return 0;
}

static int add_context(struct build_plan *plan, const struct words *w, struct err *err)
{
    if (w->rest.count != 1)
        return err_set(err, ERR_INVALID,
                       "it needs one folder to build in: docker build [OPTIONS] PATH");
    plan->empty_context = str_eq(w->rest.items[0], "-");
    if (plan->empty_context)
        strv_add(&plan->argv, "--file=/dev/stdin");
    else
        strv_add(&plan->argv, w->rest.items[0]);
    return 0;
}

static int fill(struct build_plan *plan, const struct words *w, struct err *err)
{
    const char *format = words_get(w, "format");
    strv_add(&plan->argv, "buildah");
    strv_add(&plan->argv, "bud");
    /* Docker's own, which has what the OCI's has not: HEALTHCHECK, SHELL, ONBUILD. */
    strv_addf(&plan->argv, "--format=%s", format ? format : "docker");
    for (size_t i = 0; i < w->options.count; i++)
        strv_add(&plan->argv, w->options.items[i]);
    for (size_t i = 0; i < w->notes.count; i++)
        strv_add(&plan->notes, w->notes.items[i]);
    words_get_all(w, "tag", &plan->tags);
    plan->push = words_get(w, "push") != NULL;
    plan->metadata = mem_strdup(words_get(w, "metadata-file"));
    if (words_get(w, "pull"))
        strv_add(&plan->argv, "--pull=always");
    add_cache(plan, w, "cache-from");
    add_cache(plan, w, "cache-to");
    add_network(plan, w);
    if (add_platforms(plan, w, err) < 0 || add_output(plan, w, err) < 0)
        return -1;
    if (plan->push && plan->tags.count == 0)
        return err_set(err, ERR_INVALID, "what is pushed needs a name: --tag");
    for (size_t i = 0; i < plan->tags.count && !plan->several; i++)
        strv_addf(&plan->argv, "--tag=%s", plan->tags.items[i]);
    if (plan->several)
        strv_addf(&plan->argv, "--manifest=%s", plan->tags.items[0]);
    return add_context(plan, w, err);
}

int build_plan_make(struct build_plan *out, const char *const *argv, struct err *err)
{
    struct words w = {0};
    int rc = words_parse(&w, options, argv, false, err);
    if (rc == 0)
        rc = fill(out, &w, err);
    words_release(&w);
    return rc;
}

void build_plan_release(struct build_plan *plan)
{
    strv_release(&plan->argv);
    strv_release(&plan->tags);
    strv_release(&plan->notes);
    free(plan->metadata);
}
