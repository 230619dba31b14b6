/* How a buildspec names what it wants (CodeBuild User Guide, "Build spec syntax"):
 * env.parameter-store has `name`, also with `:version` or `:label`; env.secrets-manager has
 * `id:json-key:version-stage:version-id`, of which all but the id may be left out or empty; ids and
 * names may be ARNs. Without I/O; any thread. */
#ifndef GANTRY_SECRET_REF_H
#define GANTRY_SECRET_REF_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

struct secret_ref {
    char *id;       /* as it is written, without what follows the name; AWS is asked for it */
    char *name;     /* in Gantry's own store, and for grants: without a leading slash, an ARN's last
                       part */
    char *other;    /* another name to look for: an ARN's without the six characters at its end; or
                       NULL */
    char *json_key; /* NULL: the whole value */
    char *stage;    /* AWSCURRENT ..., a parameter's label; NULL: not given */
    char *version;  /* an id, or a number from 1 on; NULL: not given */
};

int secret_ref_parameter(struct secret_ref *ref, const char *text, struct err *err);
int secret_ref_secret(struct secret_ref *ref, const char *text, struct err *err);
void secret_ref_release(struct secret_ref *ref);

/* Letters, digits and /_+=.@- in parts joined by single slashes, no part being "." or "..", 512
 * characters at most. */
bool secret_is_name(const char *name);

struct json_t; /* jansson */
/* Wipes every text in it. NULL is accepted. */
void secret_json_wipe(struct json_t *json);
/* Of a value that is a JSON object, the member `key`: a string's text, other values as JSON. *out
 * (initialised here) is wiped with secret_release(). `name` is for errors. */
int secret_json_member(struct buf *out, const char *value, size_t len, const char *key,
                       const char *name, struct err *err);

#endif
