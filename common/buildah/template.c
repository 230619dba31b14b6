/* DESIGN: the text is cut into literals and actions as it is read; range and if remember where
 * their body begins and run the reader over it, once, several times, or (skipping) only to find its
 * end. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "buildah/docker.h"

#define DEPTH_MAX 20
#define WORDS_MAX 16

struct reader {
    const char *p;
    struct buf *out;
    struct err *err;
    bool trim; /* the action before ended with -}} */
    int depth;
};

static int bad(struct reader *r, const char *what, const char *where)
{
    return err_set(r->err, ERR_INVALID, "the template: %s near '%.40s'", what, where);
}

/* ---- values, printed as Go does ---- */

static void print(struct buf *out, const json_t *value)
{
    const char *key;
    json_t *item;
    size_t n = 0;
    if (json_is_string(value)) {
        buf_adds(out, json_string_value(value));
    } else if (json_is_array(value)) {
        buf_addc(out, '[');
        json_array_foreach(value, n, item)
        {
            if (n)
                buf_addc(out, ' ');
            print(out, item);
        }
        buf_addc(out, ']');
    } else if (json_is_object(value)) {
        buf_adds(out, "map[");
        json_object_foreach((json_t *)value, key, item)
        {
            buf_addf(out, "%s%s:", n++ ? " " : "", key);
            print(out, item);
        }
        buf_addc(out, ']');
    } else if (json_is_integer(value)) {
        buf_addf(out, "%lld", (long long)json_integer_value(value));
    } else if (json_is_boolean(value)) {
        buf_adds(out, json_is_true(value) ? "true" : "false");
    } else if (json_is_real(value)) {
        buf_addf(out, "%g", json_real_value(value));
    } else {
        buf_adds(out, "<no value>");
    }
}

static bool is_true(const json_t *value)
{
    if (json_is_string(value))
        return *json_string_value(value) != '\0';
    if (json_is_array(value))
        return json_array_size(value) > 0;
    if (json_is_object(value))
        return json_object_size(value) > 0;
    if (json_is_integer(value))
        return json_integer_value(value) != 0;
    return json_is_true(value);
}

/* ---- expressions; each returns a new reference, or NULL and an error ---- */

static json_t *expression(struct reader *r, const json_t *dot, const char **at, int depth);

static void blanks(const char **at)
{
    *at += strspn(*at, " \t\r\n");
}

static json_t *path(const json_t *dot, const char **at)
{
    const json_t *value = dot;
    while (**at == '.') {
        (*at)++;
        size_t len = strspn(*at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
        if (len == 0)
            break;
        char *name = mem_strndup(*at, len);
        value = json_object_get(value, name);
        free(name);
        *at += len;
    }
    return value ? json_incref((json_t *)value) : json_null();
}

static json_t *operand(struct reader *r, const json_t *dot, const char **at, int depth)
{
    blanks(at);
    if (**at == '(') {
        (*at)++;
        json_t *value = expression(r, dot, at, depth + 1);
        blanks(at);
        if (value && **at != ')') {
            json_decref(value);
            bad(r, "a ) is missing", *at);
            return NULL;
        }
        *at += value != NULL;
        return value && **at == '.' ? path(value, at) : value;
    }
    if (**at == '.')
        return path(dot, at);
    if (**at == '"' || **at == '`') {
        char quote = *(*at)++;
        size_t len = 0;
        struct buf text;
        buf_init(&text, 4096);
        for (; (*at)[len] && (*at)[len] != quote; len++) {
            char c = (*at)[len];
            if (c == '\\' && quote == '"' && (*at)[len + 1]) {
                c = (*at)[++len];
                c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
            }
            buf_addc(&text, c);
        }
        json_t *value = json_string(buf_cstr(&text));
        buf_release(&text);
        *at += len + ((*at)[len] == quote);
        return value;
    }
    if (**at >= '0' && **at <= '9') {
        char *end;
        json_t *value = json_integer(strtoll(*at, &end, 10));
        *at = end;
        return value;
    }
    bad(r, "something that is not known", *at);
    return NULL;
}

static json_t *at_index(const json_t *value, const json_t *key)
{
    json_t *found = json_is_string(key) ? json_object_get(value, json_string_value(key))
                                        : json_array_get(value, (size_t)json_integer_value(key));
    return found ? json_incref(found) : NULL;
}

static json_t *do_index(struct reader *r, json_t *const *args, size_t count, const char *where)
{
    json_t *value = json_incref(args[0]);
    for (size_t i = 1; i < count; i++) {
        json_t *next = at_index(value, args[i]);
        if (!next && json_is_integer(args[i])) {
            json_decref(value);
            bad(r, "index out of range", where);
            return NULL;
        }
        json_decref(value);
        value = next ? next : json_string("");
    }
    return value;
}

static json_t *do_join(const json_t *list, const json_t *between)
{
    struct buf text;
    buf_init(&text, 1024 * 1024);
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (i && json_is_string(between))
            buf_adds(&text, json_string_value(between));
        print(&text, json_array_get(list, i));
    }
    json_t *value = json_string(buf_cstr(&text));
    buf_release(&text);
    return value;
}

static json_t *do_print(json_t *const *args, size_t count, bool line)
{
    struct buf text;
    buf_init(&text, 1024 * 1024);
    for (size_t i = 0; i < count; i++) {
        if (i && line)
            buf_addc(&text, ' ');
        print(&text, args[i]);
    }
    if (line)
        buf_addc(&text, '\n');
    json_t *value = json_string(buf_cstr(&text));
    buf_release(&text);
    return value;
}

static json_t *call(struct reader *r, const char *name, json_t *const *args, size_t count)
{
    json_t *value = NULL;
    if (str_eq(name, "json") && count == 1) {
        char *text = json_dumps(args[0], JSON_COMPACT | JSON_ENCODE_ANY);
        value = json_string(text ? text : "null");
        free(text);
    } else if (str_eq(name, "len") && count == 1) {
        size_t len = json_is_string(args[0])  ? strlen(json_string_value(args[0]))
                     : json_is_array(args[0]) ? json_array_size(args[0])
                                              : json_object_size(args[0]);
        value = json_integer((json_int_t)len);
    } else if (str_eq(name, "index") && count >= 1) {
        value = do_index(r, args, count, name);
    } else if (str_eq(name, "join") && count == 2) {
        value = do_join(args[0], args[1]);
    } else if (str_eq(name, "print") || str_eq(name, "println")) {
        value = do_print(args, count, str_eq(name, "println"));
    } else {
        bad(r, "a function that is not known", name);
    }
    return value;
}

static json_t *function(struct reader *r, const json_t *dot, const char **at, int depth)
{
    json_t *args[WORDS_MAX], *value = NULL;
    size_t count = 0;
    size_t len = strspn(*at, "abcdefghijklmnopqrstuvwxyz");
    char *name = mem_strndup(*at, len);
    bool good = true;
    *at += len;
    for (blanks(at); good && **at && **at != ')' && **at != '|' && count < WORDS_MAX; blanks(at)) {
        args[count] = operand(r, dot, at, depth);
        good = args[count] != NULL;
        count += good;
    }
    if (good)
        value = call(r, name, args, count);
    for (size_t i = 0; i < count; i++)
        json_decref(args[i]);
    free(name);
    return value;
}

static json_t *expression(struct reader *r, const json_t *dot, const char **at, int depth)
{
    json_t *value;
    if (depth > DEPTH_MAX) {
        bad(r, "it is too deep", *at);
        return NULL;
    }
    blanks(at);
    value = **at >= 'a' && **at <= 'z' ? function(r, dot, at, depth) : operand(r, dot, at, depth);
    for (blanks(at); value && **at == '|'; blanks(at)) {
        (*at)++;
        blanks(at);
        size_t len = strspn(*at, "abcdefghijklmnopqrstuvwxyz");
        char *name = mem_strndup(*at, len);
        json_t *next = call(r, name, &value, 1);
        *at += len;
        free(name);
        json_decref(value);
        value = next;
    }
    return value;
}

/* ---- the text ---- */

/* The next action's inside; NULL: none follows. The literal before it is written (out). */
static char *next_action(struct reader *r, bool skip)
{
    const char *open = strstr(r->p, "{{");
    size_t len = open ? (size_t)(open - r->p) : strlen(r->p);
    const char *from = r->p;
    if (r->trim) {
        size_t n = strspn(from, " \t\r\n");
        n = n < len ? n : len;
        from += n;
        len -= n;
    }
    bool before = open && open[2] == '-';
    while (before && len && strchr(" \t\r\n", from[len - 1]))
        len--;
    if (!skip)
        buf_add(r->out, from, len);
    r->p = open ? open + 2 + before : from + strlen(from);
    const char *close = open ? strstr(r->p, "}}") : NULL;
    if (open && !close) {
        bad(r, "a }} is missing", open);
        return NULL;
    }
    if (!open)
        return NULL;
    r->trim = close > r->p && close[-1] == '-';
    const char *begin = r->p + strspn(r->p, " \t\r\n");
    const char *end = close - r->trim;
    while (end > begin && strchr(" \t\r\n", end[-1]))
        end--;
    r->p = close + 2;
    return mem_strndup(begin, end > begin ? (size_t)(end - begin) : 0);
}

enum stop { AT_END_OF_TEXT, AT_END, AT_ELSE };

static int block(struct reader *r, const json_t *dot, bool skip, enum stop *stop);

/* Whether the value is what a range goes over; the body was read once at least. */
static int do_range(struct reader *r, const json_t *list, bool skip, enum stop *stop)
{
    const struct reader begin = *r;
    const char *key;
    json_t *item;
    size_t i;
    int rc = 0;
    bool ran = false;
    if (!skip && json_is_array(list)) {
        json_array_foreach(list, i, item)
        {
            r->p = begin.p;
            r->trim = begin.trim;
            ran = true;
            if ((rc = block(r, item, false, stop)) < 0)
                return rc;
        }
    } else if (!skip && json_is_object(list)) {
        json_object_foreach((json_t *)list, key, item)
        {
            r->p = begin.p;
            r->trim = begin.trim;
            ran = true;
            if ((rc = block(r, item, false, stop)) < 0)
                return rc;
        }
    }
    return ran ? 0 : block(r, NULL, true, stop);
}

static int control(struct reader *r, const char *action, const json_t *dot, bool skip)
{
    enum stop stop = AT_END_OF_TEXT;
    bool range = str_starts(action, "range ");
    const char *at = action + (range ? strlen("range ") : strlen("if "));
    json_t *value = skip ? json_null() : expression(r, dot, &at, 0);
    if (!value)
        return -1;
    bool yes = is_true(value);
    int rc = range ? do_range(r, value, skip, &stop) : block(r, dot, skip || !yes, &stop);
    if (rc == 0 && stop == AT_ELSE)
        rc = block(r, dot, skip || yes, &stop);
    json_decref(value);
    if (rc == 0 && stop != AT_END)
        rc = bad(r, "an {{end}} is missing", action);
    return rc;
}

static int one(struct reader *r, const char *action, const json_t *dot, bool skip)
{
    if (str_starts(action, "range ") || str_starts(action, "if "))
        return control(r, action, dot, skip);
    if (skip)
        return 0;
    const char *at = action;
    json_t *value = expression(r, dot, &at, 0);
    if (!value)
        return -1;
    print(r->out, value);
    json_decref(value);
    return *at ? bad(r, "something that is not known", at) : 0;
}

static int block(struct reader *r, const json_t *dot, bool skip, enum stop *stop)
{
    char *action;
    int rc = 0;
    *stop = AT_END_OF_TEXT;
    if (++r->depth > DEPTH_MAX)
        return bad(r, "it is too deep", r->p);
    while (rc == 0 && *stop == AT_END_OF_TEXT && (action = next_action(r, skip))) {
        if (str_eq(action, "end"))
            *stop = AT_END;
        else if (str_eq(action, "else"))
            *stop = AT_ELSE;
        else if (!str_starts(action, "/*"))
            rc = one(r, action, dot, skip);
        free(action);
    }
    r->depth--;
    return r->err->code != ERR_NONE ? -1 : rc;
}

int template_print(const char *text, const void *json, struct buf *out, struct err *err)
{
    struct err own = {0};
    struct reader r = {.p = text, .out = out, .err = err ? err : &own};
    enum stop stop;
    if (str_eq(text, "json"))
        text = r.p = "{{json .}}";
    if (block(&r, json, false, &stop) < 0)
        return -1;
    return stop == AT_END_OF_TEXT ? 0 : bad(&r, "an {{end}} too many", text);
}

int template_print_text(const char *text, const char *json, struct buf *out, struct err *err)
{
    json_t *value = json_loads(json, 0, NULL);
    int rc = template_print(text, value, out, err);
    json_decref(value);
    return rc;
}
