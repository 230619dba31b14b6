#include "buildspec/read.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/mem.h"

#define PROBLEMS_MAX 100
#define KEYS_MAX     32
#define TEXT_MAX     (64 * 1024)

/* ---- problems ---- */

/* Whole characters only and no control characters: what people wrote stands in paths and reasons,
 * perhaps cut in the middle of one. */
static void clean(char *text)
{
    char *out = text;
    for (const char *p = text; *p;) {
        unsigned char c = (unsigned char)*p;
        size_t len = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
        if (strnlen(p, len) < len || !str_is_utf8(p, len)) {
            p++;
            continue;
        }
        bool control = c < 0x20 || c == 0x7F || (c == 0xC2 && (unsigned char)p[1] < 0xA0);
        if (control)
            *out++ = ' ';
        else
            for (size_t i = 0; i < len; i++)
                *out++ = p[i];
        p += len;
    }
    *out = '\0';
}

/* Where the next one goes; an error must never be lost behind warnings. */
static struct buildspec_problem *place(struct buildspec_problems *all, bool error)
{
    if (all->count < PROBLEMS_MAX) {
        all->items = mem_realloc(all->items, all->count + 1, sizeof(*all->items));
        return &all->items[all->count++];
    }
    struct buildspec_problem *last = &all->items[PROBLEMS_MAX - 1];
    return error && !last->error ? last : NULL;
}

void spec_problem(struct reader *r, bool error, const struct yaml_node *node, const char *path,
                  const char *fmt, ...)
{
    struct buildspec_problem *p = place(r->problems, error);
    va_list ap;
    if (!p)
        return;
    *p = (struct buildspec_problem){
        .error = error, .line = node ? node->line : 0, .column = node ? node->column : 0};
    snprintf(p->path, sizeof(p->path), "%s", path);
    va_start(ap, fmt);
    vsnprintf(p->reason, sizeof(p->reason), fmt, ap);
    va_end(ap);
    clean(p->path);
    clean(p->reason);
}

void spec_path_key(char out[PATH_SIZE], const char *path, const char *key)
{
    snprintf(out, PATH_SIZE, "%s%s%.60s", path, path[0] ? "." : "", key);
}

void spec_path_index(char out[PATH_SIZE], const char *path, size_t index)
{
    snprintf(out, PATH_SIZE, "%s[%zu]", path, index);
}

const char *spec_did_you_mean(char out[128], const char *text, const char *const *names)
{
    const char *nearest = str_nearest(text, names);
    out[0] = '\0';
    if (nearest)
        snprintf(out, 128, "; did you mean '%.80s'?", nearest);
    return out;
}

/* ---- values ---- */

static const char *type_name(const struct yaml_node *node)
{
    return node->type == YAML_MAP ? "a mapping" : node->type == YAML_LIST ? "a list" : "text";
}

const char *spec_text_of(struct reader *r, const struct yaml_node *node, const char *path)
{
    if (node->type != YAML_TEXT) {
        ERROR("must be text, not %s%s", type_name(node),
              node->type == YAML_MAP ? " (text with ': ' in it must be in quotes)" : "");
        return NULL;
    }
    if (node->len > TEXT_MAX) {
        ERROR("is longer than %d KiB", TEXT_MAX / 1024);
        return NULL;
    }
    return yaml_is_null(node) ? "" : node->text;
}

const char *spec_some_text_of(struct reader *r, const struct yaml_node *node, const char *path)
{
    const char *text = spec_text_of(r, node, path);
    if (text && !*text) {
        ERROR("needs a value");
        return NULL;
    }
    return text;
}

void spec_read_text(struct reader *r, const struct yaml_node *node, const char *path, void *target)
{
    char **out = target;
    const char *text = spec_text_of(r, node, path);
    if (!text || !*text)
        return;
    free(*out);
    *out = mem_strdup(text);
}

void spec_read_texts(struct reader *r, const struct yaml_node *node, const char *path, void *target)
{
    struct strv *list = target;
    const char *text;
    if (yaml_is_null(node))
        return;
    if (node->type == YAML_TEXT) {
        if ((text = spec_text_of(r, node, path)))
            strv_add(list, text);
        return;
    }
    if (node->type != YAML_LIST) {
        ERROR("must be a list, not a mapping");
        return;
    }
    size_t i = 0;
    for (const struct yaml_node *item = node->first; item; item = item->next, i++) {
        char sub[PATH_SIZE];
        spec_path_index(sub, path, i);
        if ((text = spec_text_of(r, item, sub)))
            strv_add(list, text);
    }
}

/* The words of YAML 1.1; quotes around them are common in buildspecs, and mean the same there. */
void spec_read_flag(struct reader *r, const struct yaml_node *node, const char *path, void *target)
{
    static const char *const yes[] = {"yes", "true", "on", "y"};
    static const char *const no[] = {"no", "false", "off", "n"};
    bool *out = target;
    if (yaml_is_null(node))
        return;
    for (size_t i = 0; node->type == YAML_TEXT && i < sizeof(yes) / sizeof(*yes); i++) {
        bool is_yes = strcasecmp(node->text, yes[i]) == 0;
        if (is_yes || strcasecmp(node->text, no[i]) == 0) {
            *out = is_yes;
            return;
        }
    }
    if (node->type == YAML_TEXT)
        ERROR("must be yes or no, not '%.60s'", node->text);
    else
        ERROR("must be yes or no, not %s", type_name(node));
}

/* ---- mappings ---- */

static void unknown_key(struct reader *r, const struct yaml_node *key, const char *path,
                        const struct key *keys)
{
    const char *names[KEYS_MAX] = {NULL};
    char hint[128];
    for (size_t i = 0; keys[i].name && i + 1 < KEYS_MAX; i++)
        names[i] = keys[i].name;
    spec_problem(r, false, key, path, "unknown key, left out%s",
                 spec_did_you_mean(hint, key->text, names));
}

static bool is_map(struct reader *r, const struct yaml_node *node, const char *path)
{
    if (yaml_is_null(node))
        return false;
    if (node->type != YAML_MAP)
        ERROR("must be a mapping, not %s", type_name(node));
    return node->type == YAML_MAP;
}

bool spec_read_map(struct reader *r, const struct yaml_node *node, const char *path,
                   const struct key *keys, void *target)
{
    if (!is_map(r, node, path))
        return false;
    for (const struct yaml_node *entry = node->first; entry; entry = entry->next) {
        char sub[PATH_SIZE];
        const struct key *key = keys;
        spec_path_key(sub, path, entry->key->text);
        while (key->name && !str_eq(key->name, entry->key->text))
            key++;
        if (entry->repeated)
            spec_problem(r, true, entry->key, sub, "is there twice");
        else if (!key->name)
            unknown_key(r, entry->key, sub, keys);
        else if (key->read)
            key->read(r, entry, sub, target ? (char *)target + key->offset : NULL);
    }
    return true;
}

bool spec_read_entries(struct reader *r, const struct yaml_node *node, const char *path, size_t max,
                       read_fn *each, void *target)
{
    if (!is_map(r, node, path))
        return false;
    if (node->count > max) {
        ERROR("has more than %zu entries", max);
        return false;
    }
    for (const struct yaml_node *entry = node->first; entry; entry = entry->next) {
        char sub[PATH_SIZE];
        spec_path_key(sub, path, entry->key->text);
        if (entry->repeated)
            spec_problem(r, true, entry->key, sub, "is there twice");
        else
            each(r, entry, sub, target);
    }
    return true;
}

void spec_pair_add(struct buildspec_pair **pairs, size_t *count, const char *key, const char *value)
{
    *pairs = mem_realloc(*pairs, *count + 1, sizeof(**pairs));
    (*pairs)[(*count)++] =
        (struct buildspec_pair){.key = mem_strdup(key), .value = mem_strdup(value)};
}

void spec_pairs_free(struct buildspec_pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(pairs[i].key);
        free(pairs[i].value);
    }
    free(pairs);
}

bool spec_is_identifier(const char *text, const char *also)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_' || strchr(also, c)))
            return false;
    }
    return len > 0 && len < 128;
}
