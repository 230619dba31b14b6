#include "secret/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

#define SECRET_MAX      (64 * 1024)
#define SECRET_NAME_MAX 200

/* Parts of letters, digits, `.`, `_` and `-`, none of them beginning with a dot: so neither `..`
 * nor what a mount keeps beside its files (Kubernetes' `..data`). */
static bool is_secret_name(const char *name)
{
    bool at_start = true;
    size_t len = 0;

    for (; name[len]; len++) {
        char c = name[len];

        if (len == SECRET_NAME_MAX)
            return false;
        if (c == '/') {
            if (at_start)
                return false;
            at_start = true;
            continue;
        }
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_' || (c == '.' && !at_start)))
            return false;
        at_start = false;
    }
    return len > 0 && !at_start;
}

/* Reads straight into the one allocation that will be wiped. */
static int read_value(int fd, bool text, struct buf *out, const char *name, struct err *err)
{
    char *value = mem_alloc(SECRET_MAX + 2);
    size_t len = 0;
    int ret = -1;

    while (len <= SECRET_MAX) {
        ssize_t n = read(fd, value + len, SECRET_MAX + 1 - len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            err_errno(err, errno, "cannot read the secret '%s'", name);
            goto out;
        }
        if (n == 0)
            break;
        len += (size_t)n;
    }
    if (text && len > 0 && value[len - 1] == '\n')
        len--;
    if (len > SECRET_MAX) {
        err_set(err, ERR_LIMIT, "the secret '%s' is larger than %d bytes", name, SECRET_MAX);
        goto out;
    }
    buf_add(out, value, len);
    ret = 0;
out:
    mem_wipe(value, SECRET_MAX + 2);
    free(value);
    return ret;
}

static int read_file(struct buf *out, bool text, const char *secrets_dir, const char *name,
                     struct err *err)
{
    char *path = NULL;
    struct stat st;
    int ret = -1;
    int fd = -1;

    buf_init(out, SECRET_MAX);
    if (str_empty(secrets_dir)) {
        err_set(err, ERR_NOT_FOUND, "no secret '%s': this service has no secrets-dir", name);
        goto out;
    }
    if (!is_secret_name(name)) {
        err_set(err, ERR_INVALID,
                "'%s' is no name of a secret: parts of letters, digits, '.', '_' and '-', "
                "joined by '/'",
                name);
        goto out;
    }
    path = mem_printf("%s/%s", secrets_dir, name);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0) {
        err_errno(err, errno,
                  errno == EACCES ? "the secret '%s' in '%s' is not for this service's user"
                                  : "no secret '%s' in '%s'",
                  name, secrets_dir);
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        err_set(err, ERR_INVALID, "the secret '%s' in '%s' is not a regular file", name,
                secrets_dir);
        goto out;
    }
    if (st.st_mode & S_IRWXO) {
        err_set(err, ERR_DENIED,
                "the secret '%s' in '%s' is open to everybody on this machine: chmod o= '%s'", name,
                secrets_dir, path);
        goto out;
    }
    ret = read_value(fd, text, out, name, err);
out:
    if (fd >= 0)
        close(fd);
    free(path);
    return ret;
}

int secret_read(struct buf *out, const char *secrets_dir, const char *name, struct err *err)
{
    return read_file(out, true, secrets_dir, name, err);
}

int secret_read_bytes(struct buf *out, const char *secrets_dir, const char *name, struct err *err)
{
    return read_file(out, false, secrets_dir, name, err);
}

void secret_release(struct buf *value)
{
    mem_wipe(value->data, value->cap);
    buf_release(value);
}
