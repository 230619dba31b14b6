#include "git/modules.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define MODULES_MAX 1000
#define SECTION     "submodule."

static int refuse(struct err *err, const char *name, const char *what, const char *value,
                  const char *why)
{
    return err_set(err, ERR_INVALID, "submodule '%.200s' (in .gitmodules) has the %s '%.200s', %s",
                   name, what, value, why);
}

/* Whether a part of a path is "..". */
static bool has_parent(const char *path)
{
    for (const char *part = path; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (strncmp(part, "..", 2) == 0 && (part[2] == '\0' || part[2] == '/'))
            return true;
    }
    return false;
}

static int check_path(const char *name, const char *path, struct err *err)
{
    if (path[0] == '-')
        return refuse(err, name, "path", path, "which begins with a dash");
    if (path[0] == '/' || has_parent(path))
        return refuse(err, name, "path", path, "which leads out of the repository");
    return 0;
}

static struct git_module *module_of(struct git_modules *modules, const char *name, size_t len,
                                    struct err *err)
{
    for (size_t i = modules->count; i-- > 0;) {
        if (strlen(modules->items[i].name) == len && memcmp(modules->items[i].name, name, len) == 0)
            return &modules->items[i];
    }
    if (modules->count == MODULES_MAX) {
        err_set(err, ERR_LIMIT, ".gitmodules names more than %d submodules", MODULES_MAX);
        return NULL;
    }
    modules->items = mem_realloc(modules->items, modules->count + 1, sizeof(*modules->items));
    struct git_module *module = &modules->items[modules->count++];
    *module = (struct git_module){.name = mem_strndup(name, len)};
    return module;
}

static void set(char **to, const char *value)
{
    free(*to);
    *to = mem_strdup(value);
}

static int take(struct git_module *module, const char *key, const char *value, struct err *err)
{
    const char *name = module->name;

    if (str_eq(key, "path")) {
        if (check_path(name, value, err) != 0)
            return -1;
        set(&module->path, value);
    } else if (str_eq(key, "url")) {
        if (value[0] == '-')
            return refuse(err, name, "url", value, "which begins with a dash");
        set(&module->url, value);
    } else if (str_eq(key, "branch")) {
        if (value[0] == '-')
            return refuse(err, name, "branch", value, "which begins with a dash");
    } else if (str_eq(key, "update")) {
        if (value[0] == '!')
            return refuse(err, name, "update", value, "which is a command");
        module->none = str_eq(value, "none");
    }
    return 0;
}

/* `submodule.<name>.<key>\n<value>`; other sections are nobody's. */
static int parse_line(struct git_modules *out, const char *line, struct err *err)
{
    const char *value = strchr(line, '\n');
    char *key = mem_strndup(line, value ? (size_t)(value - line) : strlen(line));
    char *dot = strrchr(key, '.');
    int rc = 0;

    if (str_starts(key, SECTION) && dot >= key + strlen(SECTION)) {
        const char *name = key + strlen(SECTION);
        *dot = '\0';
        struct git_module *module = NULL;
        if (name[0] == '\0' || name[0] == '-' || has_parent(name))
            rc = err_set(err, ERR_INVALID,
                         ".gitmodules has a submodule of the name '%.200s', which is empty, begins "
                         "with a dash or leads out of a folder",
                         name);
        else if (!(module = module_of(out, name, strlen(name), err)))
            rc = -1;
        else
            rc = take(module, dot + 1, value ? value + 1 : "", err);
    }
    free(key);
    return rc;
}

int git_modules_parse(struct git_modules *out, const char *text, size_t len, struct err *err)
{
    for (const char *line = text, *end; line < text + len; line = end + 1) {
        end = memchr(line, '\0', (size_t)(text + len - line));
        if (!end)
            return err_set(err, ERR_INVALID, ".gitmodules cannot be read");
        if (parse_line(out, line, err) != 0)
            return -1;
    }
    return 0;
}

const struct git_module *git_modules_at(const struct git_modules *modules, const char *path)
{
    for (size_t i = 0; i < modules->count; i++) {
        const struct git_module *module = &modules->items[i];
        if (!module->path)
            continue;
        /* `lib/` and `lib` are one folder. */
        size_t len = strlen(module->path);
        while (len > 1 && module->path[len - 1] == '/')
            len--;
        if (strlen(path) == len && memcmp(path, module->path, len) == 0)
            return module;
    }
    return NULL;
}

void git_modules_release(struct git_modules *modules)
{
    for (size_t i = 0; i < modules->count; i++) {
        free(modules->items[i].name);
        free(modules->items[i].path);
        free(modules->items[i].url);
    }
    free(modules->items);
    *modules = (struct git_modules){0};
}
