/* A secret's name -> its value. One file a name in the service's secrets-dir (what Kubernetes and
 * systemd mount); names may have slashes (shop/git-token), never `..`. Refused where others than
 * owner and group may read it. */
#ifndef GANTRY_SECRET_SECRET_H
#define GANTRY_SECRET_SECRET_H

#include "base/buf.h"
#include "base/err.h"

/* *out (initialised here, limit 64 KiB) gets the bytes without one trailing newline. Wipe with
 * secret_release(). Blocking on a local file; read anew at each use, so a rotated secret is taken.
 */
int secret_read(struct buf *out, const char *secrets_dir, const char *name, struct err *err);
/* All its bytes, a newline at the end too. */
int secret_read_bytes(struct buf *out, const char *secrets_dir, const char *name, struct err *err);
void secret_release(struct buf *value);

#endif
