/* What holds a release, in words: for tables, for one release, and while it is watched. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "services/cli/cli.h"

#define MINUTE_MS INT64_C(60000)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)
#define WORDS_MAX 8192

char *span(int64_t ms, char out[40])
{
    int64_t days = ms / DAY_MS, hours = ms % DAY_MS / HOUR_MS, minutes = ms % HOUR_MS / MINUTE_MS;

    if (ms < MINUTE_MS)
        snprintf(out, 40, "%lld s", (long long)(ms < 0 ? 0 : ms / 1000));
    else if (ms < HOUR_MS)
        snprintf(out, 40, "%lld min", (long long)minutes);
    else if (ms < DAY_MS)
        snprintf(out, 40, minutes ? "%lld h %lld min" : "%lld h", (long long)hours,
                 (long long)minutes);
    else
        snprintf(out, 40, hours ? "%lld d %lld h" : "%lld d", (long long)days, (long long)hours);
    return out;
}

char *moment(int64_t unix_ms, char out[80])
{
    int64_t left = unix_ms - clock_now_ms();
    time_t seconds = (time_t)(unix_ms / 1000);
    char text[32], in[40];
    struct tm local;

    localtime_r(&seconds, &local);
    strftime(text, sizeof text,
             left < -DAY_MS || left >= 365 * DAY_MS ? "%Y-%m-%d %H:%M"
             : left < 6 * DAY_MS                    ? "%a %H:%M"
                                                    : "%a %e %b %H:%M",
             &local);
    if (left > 0)
        snprintf(out, 80, "%s (in %s)", text, span(left, in));
    else
        snprintf(out, 80, "%s", text);
    return out;
}

static void add_person(struct buf *out, const json_t *what)
{
    char since[40];

    if (*jstr(what, "by"))
        buf_addf(out, " by %s", jstr(what, "by"));
    if (jnum(what, "sinceMs"))
        buf_addf(out, " %s", ago(jnum(what, "sinceMs"), since));
}

static void add_reason(struct buf *out, const json_t *what)
{
    if (*jstr(what, "reason"))
        buf_addf(out, ": %s", jstr(what, "reason"));
}

static void add_soak(struct buf *out, const json_t *hold)
{
    int64_t until = jnum(hold, "untilMs");
    char text[80];

    if (until)
        buf_addf(out, "soak: %s left", span(until - clock_now_ms(), text));
    else if (jnum(hold, "soakMs"))
        buf_addf(out, "soak of %s", span(jnum(hold, "soakMs"), text));
    else
        buf_adds(out, "soak");
}

static void add_window(struct buf *out, const json_t *hold)
{
    char text[80];

    buf_adds(out, "window");
    if (*jstr(hold, "window"))
        buf_addf(out, " %s", jstr(hold, "window"));
    if (jnum(hold, "untilMs"))
        buf_addf(out, ", opens %s", moment(jnum(hold, "untilMs"), text));
}

static void add_freeze(struct buf *out, const json_t *hold)
{
    char text[80];

    buf_addf(out, "frozen: %s", jstr(hold, "environment"));
    if (jnum(hold, "untilMs"))
        buf_addf(out, " until %s", moment(jnum(hold, "untilMs"), text));
    add_reason(out, hold);
}

static void add_approval(struct buf *out, const json_t *hold)
{
    const json_t *by = jget(hold, "by"), *who;
    size_t i;

    buf_adds(out, jstr(hold, "name"));
    if (jnum(hold, "count") > 1)
        buf_addf(out, " by %lld", (long long)jnum(hold, "count"));
    json_array_foreach(by, i, who) buf_addf(out, "%s%s", i ? ", " : " of ", json_string_value(who));
}

void answer_words(const json_t *check, struct buf *out)
{
    const char *answer = jstr(check, "answer");
    char text[80];

    if (*jstr(check, "type"))
        buf_addf(out, "check %s", jstr(check, "type"));
    else
        buf_addf(out, "check %s", jstr(check, "name"));
    if (*answer) {
        buf_addf(out, " says %s", answer);
        add_reason(out, check);
        buf_addf(out, " (%s)", ago(jnum(check, "answeredMs"), text));
    }
    if (jbool(check, "asking"))
        buf_addf(out, "%s", *answer ? ", is being asked again" : " is being asked");
    else if (jnum(check, "askAgainMs") > clock_now_ms() && strcmp(answer, "no") == 0)
        buf_addf(out, ", asked again in %s",
                 span(jnum(check, "askAgainMs") - clock_now_ms(), text));
}

void disarm_json(struct json_t *value)
{
    json_t *item;
    const char *key;
    size_t i;

    if (json_is_string(value)) {
        char *text = mem_strdup(json_string_value(value));

        str_disarm(text);
        json_string_set(value, text);
        free(text);
    }
    json_array_foreach(value, i, item) disarm_json(item);
    json_object_foreach(value, key, item) disarm_json(item);
}

void disarm_words(struct buf *text)
{
    for (size_t i = 0; i < text->len; i++)
        if ((unsigned char)text->data[i] < 0x20 || text->data[i] == 0x7f)
            text->data[i] = ' ';
}

void held_words(const json_t *hold, struct buf *out)
{
    const char *kind = jstr(hold, "kind");
    char digest[32];

    if (strcmp(kind, "occupied") == 0) {
        buf_addf(out, "release %lld is in there", (long long)jnum(hold, "release"));
    } else if (strcmp(kind, "behind") == 0) {
        buf_addf(out, "behind release %lld", (long long)jnum(hold, "release"));
    } else if (strcmp(kind, "disabled") == 0) {
        buf_adds(out, "disabled");
        add_person(out, hold);
        add_reason(out, hold);
    } else if (strcmp(kind, "pinned") == 0) {
        buf_addf(out, "%s is pinned to %s", jstr(hold, "environment"),
                 short_digest(jstr(hold, "digest"), digest));
        add_person(out, hold);
        add_reason(out, hold);
    } else if (strcmp(kind, "freeze") == 0) {
        add_freeze(out, hold);
    } else if (strcmp(kind, "soak") == 0) {
        add_soak(out, hold);
    } else if (strcmp(kind, "window") == 0) {
        add_window(out, hold);
    } else if (strcmp(kind, "approval") == 0) {
        add_approval(out, hold);
    } else if (strcmp(kind, "check") == 0) {
        answer_words(hold, out);
    } else if (strcmp(kind, "manual") == 0) {
        buf_adds(out, "held until it is promoted by hand");
    } else {
        buf_adds(out, jstr(hold, "name"));
    }
    disarm_words(out);
}

char *held_text(const json_t *held, const char *but)
{
    const json_t *hold;
    struct buf out, words;
    size_t i;

    buf_init(&out, WORDS_MAX);
    json_array_foreach(held, i, hold)
    {
        if (but && strcmp(jstr(hold, "kind"), but) == 0)
            continue;
        buf_init(&words, WORDS_MAX);
        held_words(hold, &words);
        buf_addf(&out, "%s%s", out.len ? "; " : "", buf_cstr(&words));
        buf_release(&words);
    }
    return buf_detach(&out);
}

const char *held_first(const json_t *held, char out[32])
{
    const json_t *hold = json_array_get(held, 0);
    const char *kind = jstr(hold, "kind");
    char left[40];

    *out = 0;
    if (strcmp(kind, "occupied") == 0 || strcmp(kind, "behind") == 0)
        snprintf(out, 32, "%lld", (long long)jnum(hold, "release"));
    else if (strcmp(kind, "freeze") == 0)
        snprintf(out, 32, "frozen");
    else if (strcmp(kind, "soak") == 0 && jnum(hold, "untilMs"))
        snprintf(out, 32, "soak %s", span(jnum(hold, "untilMs") - clock_now_ms(), left));
    else if (strcmp(kind, "manual") == 0)
        snprintf(out, 32, "held");
    else
        snprintf(out, 32, "%.31s", kind);
    return out;
}

size_t count_votes(const json_t *approval, const char *verdict)
{
    const json_t *vote;
    size_t i, count = 0;

    json_array_foreach(jget(approval, "votes"), i, vote) count +=
        strcmp(jstr(vote, "verdict"), verdict) == 0;
    return count;
}
