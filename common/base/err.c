#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A message cut inside a UTF-8 sequence would not be text any more. */
static void cut_at_character(char *msg, size_t len)
{
    size_t last = len;
    size_t size;

    while (last > 0 && ((unsigned char)msg[last - 1] & 0xC0) == 0x80)
        last--;
    if (last == 0 || (unsigned char)msg[last - 1] < 0xC0)
        return;
    last--;
    size = (unsigned char)msg[last] < 0xE0 ? 2 : (unsigned char)msg[last] < 0xF0 ? 3 : 4;
    if (last + size > len)
        msg[last] = '\0';
}

/* The arguments may point into the message that is replaced, so it is built aside. */
static void format_msg(char out[ERR_MSG_MAX], const char *fmt, va_list ap)
{
    int n = vsnprintf(out, ERR_MSG_MAX, fmt, ap);

    if (n < 0)
        out[0] = '\0';
    else if (n >= ERR_MSG_MAX)
        cut_at_character(out, ERR_MSG_MAX - 1);
}

int err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
    char msg[ERR_MSG_MAX];
    va_list ap;

    if (!err)
        return -1;
    va_start(ap, fmt);
    format_msg(msg, fmt, ap);
    va_end(ap);
    memcpy(err->msg, msg, strlen(msg) + 1);
    err->code = code;
    return -1;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
    char context[ERR_MSG_MAX];
    char msg[2 * ERR_MSG_MAX + 2];
    va_list ap;
    int n;

    if (!err)
        return -1;
    va_start(ap, fmt);
    format_msg(context, fmt, ap);
    va_end(ap);
    n = snprintf(msg, sizeof(msg), "%s: %s", context, err->msg);
    if (n >= ERR_MSG_MAX) {
        n = ERR_MSG_MAX - 1;
        msg[n] = '\0';
        cut_at_character(msg, (size_t)n);
    }
    memcpy(err->msg, msg, strlen(msg) + 1);
    return -1;
}

static enum err_code code_of(int errno_value)
{
    switch (errno_value) {
    case ENOENT:
        return ERR_NOT_FOUND;
    case EACCES:
    case EPERM:
        return ERR_DENIED;
    default:
        return ERR_IO;
    }
}

int err_errno(struct err *err, int errno_value, const char *fmt, ...)
{
    char msg[ERR_MSG_MAX];
    char why[128];
    va_list ap;

    if (!err)
        return -1;
    va_start(ap, fmt);
    format_msg(msg, fmt, ap);
    va_end(ap);
    return err_set(err, code_of(errno_value), "%s: %s", msg,
                   strerror_r(errno_value, why, sizeof(why)));
}

bool err_is_retriable(const struct err *err)
{
    return err->code == ERR_UNAVAILABLE || err->code == ERR_TIMEOUT;
}

const char *err_code_name(enum err_code code)
{
    switch (code) {
    case ERR_NONE:
        return "none";
    case ERR_INVALID:
        return "invalid";
    case ERR_NOT_FOUND:
        return "not-found";
    case ERR_DENIED:
        return "denied";
    case ERR_CONFLICT:
        return "conflict";
    case ERR_LIMIT:
        return "limit";
    case ERR_UNAVAILABLE:
        return "unavailable";
    case ERR_TIMEOUT:
        return "timeout";
    case ERR_IO:
        return "io";
    case ERR_INTERNAL:
        return "internal";
    case ERR_FATAL:
        return "fatal";
    }
    return "unknown";
}
