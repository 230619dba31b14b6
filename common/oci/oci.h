/* An OCI registry's client (OCI Distribution Specification 1.1): what a reference names, and what
 * is attached to it. Logs in where the registry wants it, by Basic or a token. Loop thread only. */
#ifndef GANTRY_OCI_OCI_H
#define GANTRY_OCI_OCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "loop/loop.h"

#define OCI_DIGEST_SIZE   72 /* "sha256:", 64 hex digits, NUL */
#define OCI_PLATFORMS_MAX 64

/* registry.example:5000/acme/shop:1.2@sha256:..., taken apart. */
struct oci_ref {
    char host[256];       /* with port; docker.io where none is written */
    char repository[256]; /* acme/shop */
    char tag[129];        /* "" when none is written */
    char digest[OCI_DIGEST_SIZE];
};
int oci_ref_parse(struct oci_ref *out, const char *text, struct err *err);
/* sha256: and 64 lower-case hex digits. */
bool oci_is_digest(const char *s);

struct oci_conf {
    const struct strv *insecure; /* hosts, with or without port, that are spoken to by plain http */
    const char *ca_file;         /* NULL: the system's */
    /* Logins: the name of a secret (secret/secret.h) in the format of Docker's config.json, read
     * when a registry wants one; NULL: none. */
    const char *secrets_dir, *login;
};

/* What a login for the host is in such a secret: base64 of user:password, which the caller wipes
 * and frees. NULL with code ERR_NONE: there is none. */
char *oci_login(const char *secrets_dir, const char *login, const char *host, struct err *err);
/* Adds the hosts that such a secret has logins for, at most 100 of them. */
int oci_login_hosts(const char *secrets_dir, const char *login, struct strv *hosts,
                    struct err *err);

struct oci_client;
struct oci_client *oci_client_new(struct loop *loop, const struct oci_conf *conf);
void oci_client_free(struct oci_client *client); /* calls under way end without a callback */

struct oci_image {
    char digest[OCI_DIGEST_SIZE];
    char media_type[128];
    uint64_t size_bytes;   /* of the manifest or index, as in a descriptor */
    struct strv platforms; /* os/arch[/variant], sorted */
};
/* ERR_NOT_FOUND: no such tag, digest or repository; ERR_DENIED; ERR_UNAVAILABLE; ERR_INVALID: the
 * registry's answer is none that the specification allows. */
typedef void oci_resolved_fn(const struct oci_image *image, const struct err *err, void *arg);

struct oci_call;
/* What the reference's digest, or else its tag ("latest" where neither is written) names now: the
 * manifest, checked against its digest, and of a single image its configuration for the platform. A
 * registry that is away or answers 429 or 5xx is asked again for about six seconds. */
struct oci_call *oci_resolve(struct oci_client *client, const struct oci_ref *ref,
                             oci_resolved_fn *done, void *arg, struct err *err);
/* The same, but asks for no more than the digest and the media type. */
struct oci_call *oci_resolve_digest(struct oci_client *client, const struct oci_ref *ref,
                                    oci_resolved_fn *done, void *arg, struct err *err);
/* An artifact of one layer that refers to an image (OCI Image Specification 1.1, "Guidelines for
 * Artifact Usage"). Copied. */
struct oci_artifact {
    const char *type;               /* its artifactType, and the layer's media type */
    const void *data;               /* the layer */
    size_t len;                     /* bytes, at most 4 MiB */
    const char *const *annotations; /* "key=value", NULL-ended */
};
/* `digest`: of the artifact's manifest; NULL where err says why. */
typedef void oci_attached_fn(const char *digest, const struct err *err, void *arg);
/* Pushes it into the image's repository, `ref`. Where the registry knows no subject it is listed in
 * the index that the image's referrers tag names (Distribution Specification 1.1, "Referrers Tag
 * Schema"): not for two calls at once on one image. */
struct oci_call *oci_attach(struct oci_client *client, const struct oci_ref *ref,
                            const struct oci_image *image, const struct oci_artifact *artifact,
                            oci_attached_fn *done, void *arg, struct err *err);
void oci_call_cancel(struct oci_call *call); /* no callback follows */

#endif
