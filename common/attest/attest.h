/* What is said of an image and signed: in-toto Statements (in-toto Attestation Framework, Statement
 * v1) in DSSE envelopes (DSSE Protocol 1.0) in Sigstore bundles (protobuf-specs, bundle v0.3),
 * which `cosign verify --key` and `cosign verify-attestation --key` read. Any thread. */
#ifndef GANTRY_ATTEST_ATTEST_H
#define GANTRY_ATTEST_ATTEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define ATTEST_BUNDLE_TYPE     "application/vnd.dev.sigstore.bundle.v0.3+json"
#define ATTEST_SIGNATURE_TYPE  "https://sigstore.dev/cosign/sign/v1" /* predicates */
#define ATTEST_PROVENANCE_TYPE "https://slsa.dev/provenance/v1"
#define ATTEST_BUILD_TYPE      "urn:gantry:build:v1"

struct attest_key;
/* A private key of the curve P-256, PEM (PKCS #8 or SEC 1), not encrypted. ERR_INVALID. */
int attest_key_new(struct attest_key **out, const char *pem, size_t len, struct err *err);
void attest_key_free(struct attest_key *key); /* NULL is accepted */

struct attest_pair {
    const char *name, *value;
};

/* Of a build, for its provenance (SLSA v1.0, "Provenance"); NULL or "": not known. No secrets. */
struct attest_build {
    const char *image;  /* repository */
    const char *digest; /* sha256:... */
    const char *builder_id;
    const char *pipeline, *stage, *action, *run_id;
    uint64_t release, definition_number;
    uint32_t attempt;
    const char *git, *ref, *commit;     /* what user stands in the URL is left out */
    const char *buildspec, *dockerfile; /* paths in the source */
    const char *driver;
    const struct attest_pair *variables; /* that it was started with */
    size_t variable_count;
    int64_t started_ms, ended_ms; /* Unix ms */
};

/* Statements, JSON; the caller frees. */
char *attest_signature(const char *digest); /* that somebody with the key stands for it */
char *attest_provenance(const struct attest_build *build);

/* The statement, signed: a bundle as JSON; the caller frees. NULL: OpenSSL failed. */
char *attest_bundle(const struct attest_key *key, const char *statement, struct err *err);

#endif
