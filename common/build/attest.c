/* What is attached to the image once its digest is known: a signature, then its provenance, one
 * after the other (oci_attach()). With a key configured an image that could not be signed is a
 * build that failed: what asks for signatures would refuse it later, where nobody looks. */
#include "attest/attest.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "build/internal.h"
#include "secret/secret.h"

static void fail(struct build *build, const char *what, const struct err *err)
{
    char reason[ERR_MSG_MAX + 64];
    snprintf(reason, sizeof(reason), "%s: %s", what, err->msg);
    build_mark(build, "%s", reason);
    after_fail(build, PHASE_UPLOAD_ARTIFACTS, reason, NULL, 0);
    after_next(build);
}

static int load_key(struct build *build, struct err *err)
{
    const struct build_signing *signing = build->env->signing;
    struct buf pem;
    if (secret_read(&pem, signing->secrets_dir, signing->key, err) < 0)
        return -1;
    int rc = attest_key_new(&build->key, buf_cstr(&pem), pem.len, err);
    secret_release(&pem);
    return rc < 0 ? err_wrap(err, "the secret '%s'", signing->key) : 0;
}

/* ---- the provenance ---- */

/* Those that the release was started with win over the action's. */
static size_t variables(const struct build *build, struct attest_pair *out)
{
    const Gantry__V1__ActionRequest *req = build->request;
    size_t count = 0;
    for (size_t i = 0; i < req->build->n_env; i++)
        out[count++] = (struct attest_pair){req->build->env[i]->key, req->build->env[i]->value};
    for (size_t i = 0; i < req->n_variables; i++)
        out[count++] = (struct attest_pair){req->variables[i]->key, req->variables[i]->value};
    return count;
}

static char *provenance(const struct build *build)
{
    const Gantry__V1__ActionRequest *req = build->request;
    struct attest_pair *pairs =
        mem_alloc((req->build->n_env + req->n_variables + 1) * sizeof(*pairs));
    const struct attest_build about = {.image = req->build->image,
                                       .digest = build->digest,
                                       .builder_id = build->env->signing->builder_id,
                                       .pipeline = req->pipeline,
                                       .stage = req->stage,
                                       .action = req->action,
                                       .run_id = build->host.run_id,
                                       .release = req->release,
                                       .definition_number = req->definition_number,
                                       .attempt = build->host.attempt,
                                       .git = build->revision->git,
                                       .ref = build->revision->ref,
                                       .commit = build->revision->commit,
                                       .buildspec = req->build->buildspec,
                                       .dockerfile = req->build->dockerfile,
                                       .driver = build->place->ops->name,
                                       .variables = pairs,
                                       .variable_count = variables(build, pairs),
                                       .started_ms = build->host.started_ms,
                                       .ended_ms = clock_now_ms()};
    char *text = attest_provenance(&about);
    free(pairs);
    return text;
}

/* ---- one after the other ---- */

/* `statement` is taken over. */
static int attach(struct build *build, char *statement, const char *predicate,
                  oci_attached_fn *done, struct err *err)
{
    char kind[128], created[80], now[CLOCK_RFC3339_SIZE];
    char *bundle = attest_bundle(build->key, statement, err);
    struct oci_ref ref;
    free(statement);
    if (!bundle)
        return -1;
    /* As cosign finds which is which without reading them all. */
    snprintf(kind, sizeof(kind), "dev.sigstore.bundle.predicateType=%s", predicate);
    clock_rfc3339(clock_now_ms(), now);
    snprintf(created, sizeof(created), "org.opencontainers.image.created=%s", now);
    const char *const annotations[] = {"dev.sigstore.bundle.content=dsse-envelope", kind, created,
                                       NULL};
    const struct oci_artifact artifact = {.type = ATTEST_BUNDLE_TYPE,
                                          .data = bundle,
                                          .len = strlen(bundle),
                                          .annotations = annotations};
    int rc = oci_ref_parse(&ref, build->request->build->image, err);
    if (rc == 0)
        build->attach_call =
            oci_attach(build->env->registry, &ref, &build->image, &artifact, done, build, err);
    free(bundle);
    return rc == 0 && build->attach_call ? 0 : -1;
}

static void on_provenance(const char *digest, const struct err *err, void *arg)
{
    struct build *build = arg;
    build->attach_call = NULL;
    if (!digest) {
        fail(build, "The image's provenance could not be attached", err);
        return;
    }
    snprintf(build->provenance, sizeof(build->provenance), "%s", digest);
    build_mark(build, "Signed, with provenance");
    after_next(build);
}

static void on_signature(const char *digest, const struct err *err, void *arg)
{
    struct build *build = arg;
    struct err own = {0};
    build->attach_call = NULL;
    if (!digest) {
        fail(build, "The image could not be signed", err);
        return;
    }
    snprintf(build->signature, sizeof(build->signature), "%s", digest);
    if (attach(build, provenance(build), ATTEST_PROVENANCE_TYPE, on_provenance, &own) < 0)
        fail(build, "The image's provenance could not be attached", &own);
}

void image_attest(struct build *build)
{
    struct err err = {0};
    if (!build->env->signing) {
        after_next(build);
        return;
    }
    if (load_key(build, &err) < 0 || attach(build, attest_signature(build->digest),
                                            ATTEST_SIGNATURE_TYPE, on_signature, &err) < 0)
        fail(build, "The image could not be signed", &err);
}
