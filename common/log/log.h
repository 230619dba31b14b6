/* One line a fact on standard error: key=value for people, or JSON. Any thread.
 *     log_info("release started", LOG_S("pipeline", name), LOG_I("release", number));
 * Control characters are escaped; values are cut at 2 KiB. Never log a secret. */
#ifndef GANTRY_LOG_LOG_H
#define GANTRY_LOG_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };

struct log_kv {
    const char *key; /* NULL ends the list */
    enum { LOG_KV_STR, LOG_KV_INT, LOG_KV_BOOL } type;
    const char *str;
    int64_t num;
};

#define LOG_S(k, v) ((struct log_kv){.key = (k), .type = LOG_KV_STR, .str = (v)})
#define LOG_I(k, v) ((struct log_kv){.key = (k), .type = LOG_KV_INT, .num = (int64_t)(v)})
#define LOG_B(k, v) ((struct log_kv){.key = (k), .type = LOG_KV_BOOL, .num = (v) ? 1 : 0})
#define LOG_E(e)    LOG_S("error", (e)->msg)

void log_init(const char *service, enum log_level level, enum log_format format);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *msg, const struct log_kv *kv);

#define LOG_AT(level, msg, ...)                                                                    \
    do {                                                                                           \
        if (log_enabled(level))                                                                    \
            log_write(level, msg, (const struct log_kv[]){__VA_ARGS__ __VA_OPT__(, ){.key = 0}});  \
    } while (0)
#define log_debug(msg, ...) LOG_AT(LOG_DEBUG, msg, __VA_ARGS__)
#define log_info(msg, ...)  LOG_AT(LOG_INFO, msg, __VA_ARGS__)
#define log_warn(msg, ...)  LOG_AT(LOG_WARN, msg, __VA_ARGS__)
#define log_error(msg, ...) LOG_AT(LOG_ERROR, msg, __VA_ARGS__)

#endif
