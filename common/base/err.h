/* Errors: one object, filled by whoever fails and given more context on the way up; logged once,
 * where somebody decides what to do about it. */
#ifndef GANTRY_BASE_ERR_H
#define GANTRY_BASE_ERR_H

#include <stdbool.h>

enum err_code {
    ERR_NONE = 0,
    ERR_INVALID, /* input that can never be accepted as it is */
    ERR_NOT_FOUND,
    ERR_DENIED,      /* not allowed, or not known who asks */
    ERR_CONFLICT,    /* refused by the state as it is now */
    ERR_LIMIT,       /* a stated bound was reached */
    ERR_UNAVAILABLE, /* a counterpart is away: trying again later can help */
    ERR_TIMEOUT,
    ERR_IO,       /* the operating system said no */
    ERR_INTERNAL, /* a bug */
    ERR_FATAL     /* the process must stop: settings that make going on unsafe */
};

#define ERR_MSG_MAX 1024

struct err {
    enum err_code code;
    char msg[ERR_MSG_MAX]; /* a sentence without a full stop; always terminated; cut at ERR_MSG_MAX
                            */
};

/* Sets *err (which may be NULL) and returns -1, so that `return err_set(...)` reads well. */
int err_set(struct err *err, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "<context>: " before the message that is there; returns -1. */
int err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* err_set() with strerror(errno_value) appended: ERR_NOT_FOUND for ENOENT, ERR_DENIED for EACCES
 * and EPERM, otherwise ERR_IO. */
int err_errno(struct err *err, int errno_value, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* True for ERR_UNAVAILABLE and ERR_TIMEOUT. */
bool err_is_retriable(const struct err *err);

const char *err_code_name(enum err_code code);

#endif
