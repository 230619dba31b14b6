#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "buildah/docker.h"

static const struct option *find_long(const struct option *table, const char *name, size_t len)
{
    for (; table->name; table++) {
        if (strlen(table->name) == len && strncmp(table->name, name, len) == 0)
            return table;
    }
    return NULL;
}

static const struct option *find_letter(const struct option *table, char letter)
{
    for (; table->name; table++) {
        if (table->letter == letter)
            return table;
    }
    return NULL;
}

/* `value` is NULL for a switch that stands alone. */
static int treat(struct words *w, const struct option *option, const char *value, struct err *err)
{
    switch (option->treat) {
    case KEEP: {
        const char *name = option->other ? option->other : option->name;
        if (value)
            strv_addf(&w->options, "--%s=%s", name, value);
        else
            strv_addf(&w->options, "--%s", name);
        return 0;
    }
    case NOTE:
        strv_addf(&w->notes, "--%s has no effect here: %s", option->name, option->other);
        return 0;
    case TAKE:
        strv_addf(&w->taken, "%s=%s", option->name, value ? value : "true");
        return 0;
    case REFUSE:
        if (str_eq(value, "false"))
            return 0;
        return err_set(err, ERR_INVALID, "--%s: %s", option->name, option->other);
    default:
        return 0;
    }
}

static int unknown(struct err *err, const char *word)
{
    return err_set(err, ERR_INVALID, "unknown option: %.100s", word);
}

/* How many words it took. */
static int parse_long(struct words *w, const struct option *table, const char *const *argv,
                      struct err *err)
{
    const char *name = argv[0] + 2;
    size_t len = strcspn(name, "=");
    const char *value = name[len] == '=' ? name + len + 1 : NULL;
    const struct option *option = find_long(table, name, len);
    if (!option)
        return unknown(err, argv[0]);
    if (!option->value && value && !str_eq(value, "true") && !str_eq(value, "false"))
        return err_set(err, ERR_INVALID, "--%s is true or false", option->name);
    int took = 1;
    if (option->value && !value) {
        value = argv[took++];
        if (!value)
            return err_set(err, ERR_INVALID, "--%s needs a value", option->name);
    }
    return treat(w, option, value, err) < 0 ? -1 : took;
}

/* -t x, -tx, and switches together: -aq. */
static int parse_letters(struct words *w, const struct option *table, const char *const *argv,
                         struct err *err)
{
    for (const char *p = argv[0] + 1; *p; p++) {
        const struct option *option = find_letter(table, *p);
        if (!option)
            return unknown(err, argv[0]);
        if (!option->value) {
            if (treat(w, option, NULL, err) < 0)
                return -1;
            continue;
        }
        const char *value = p[1] == '=' ? p + 2 : p[1] ? p + 1 : argv[1];
        if (!value)
            return err_set(err, ERR_INVALID, "-%c needs a value", *p);
        if (treat(w, option, value, err) < 0)
            return -1;
        return p[1] ? 1 : 2;
    }
    return 1;
}

int words_parse(struct words *w, const struct option *table, const char *const *argv,
                bool first_only, struct err *err)
{
    while (*argv) {
        int took = 1;
        if (str_eq(*argv, "--")) {
            argv++;
            break;
        }
        if (str_starts(*argv, "--"))
            took = parse_long(w, table, argv, err);
        else if (argv[0][0] == '-' && argv[0][1])
            took = parse_letters(w, table, argv, err);
        else if (first_only)
            break;
        else
            strv_add(&w->rest, *argv);
        if (took < 0)
            return -1;
        argv += took;
    }
    for (; *argv; argv++)
        strv_add(&w->rest, *argv);
    return 0;
}

void words_release(struct words *w)
{
    strv_release(&w->options);
    strv_release(&w->taken);
    strv_release(&w->rest);
    strv_release(&w->notes);
}

static const char *value_of(const char *taken, const char *name)
{
    size_t len = strlen(name);
    return strncmp(taken, name, len) == 0 && taken[len] == '=' ? taken + len + 1 : NULL;
}

const char *words_get(const struct words *w, const char *name)
{
    const char *found = NULL;
    for (size_t i = 0; i < w->taken.count; i++) {
        const char *value = value_of(w->taken.items[i], name);
        if (value)
            found = value;
    }
    return str_eq(found, "false") ? NULL : found;
}

void words_get_all(const struct words *w, const char *name, struct strv *out)
{
    for (size_t i = 0; i < w->taken.count; i++) {
        const char *value = value_of(w->taken.items[i], name);
        if (value)
            strv_add(out, value);
    }
}
