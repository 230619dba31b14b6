#include "buildspec/files.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

/* One of `files`. */
struct pattern {
    char *base; /* of a relative one: what stands before it; NULL: nothing */
    char *text; /* below the base; absolute for a file outside the source */
    char *full; /* the two together */
    bool plain; /* `text` has no wildcard */
};

/* One of `exclude`. */
struct exclusion {
    char *text;
    char *itself; /* what stands before an ending that takes all below it; NULL: no such ending */
    bool plain;
    bool deep; /* that ending is the one that CodeBuild lets a file's name stand before */
};

struct files {
    struct pattern *patterns;
    size_t count;
    struct exclusion *exclusions;
    size_t exclusion_count;
    bool discard_paths;
};

static bool is_plain(const char *s)
{
    return !s[strcspn(s, "*?[\\")];
}

static bool is_part(const char *p, size_t len, const char *part)
{
    return strlen(part) == len && strncmp(p, part, len) == 0;
}

const char *files_wrong(const char *pattern)
{
    for (const char *p = pattern; *p;) {
        size_t len = strcspn(p, "/");
        if (is_part(p, len, ".."))
            return "a path with '..' in it leaves the folder";
        p += len + (p[len] == '/');
    }
    if (strlen(pattern) > FILES_PATTERN_MAX)
        return "it is longer than 1024 characters";
    return *pattern ? NULL : "it is empty";
}

/* Single slashes, no ".", none at the end; relative below `root`. The caller frees. */
static char *tidy(const char *pattern, const char *root)
{
    struct buf out;
    buf_init(&out, 2 * FILES_PATTERN_MAX);
    if (*pattern == '/')
        buf_addc(&out, '/');
    for (const char *p = pattern; *p;) {
        size_t len = strcspn(p, "/");
        if (len && !is_part(p, len, ".")) {
            if (out.len && out.data[out.len - 1] != '/')
                buf_addc(&out, '/');
            buf_add(&out, p, len);
        }
        p += len + (p[len] == '/');
    }
    size_t below = root ? strlen(root) : 0;
    while (below && root[below - 1] == '/')
        below--;
    if (below && out.len >= below && strncmp(out.data, root, below) == 0 &&
        (out.len == below || out.data[below] == '/'))
        buf_consume(&out, out.len == below ? below : below + 1);
    return buf_detach(&out);
}

static void add_pattern(struct files *files, const char *text, const char *base, const char *root)
{
    char *own = files_wrong(text) ? NULL : tidy(text, root);
    if (!own)
        return;
    struct pattern p = {.text = own, .plain = is_plain(own)};
    bool outside = *own == '/';
    if (base && *base && !outside) {
        p.base = mem_strdup(base);
        p.full = *own ? mem_printf("%s/%s", base, own) : mem_strdup(base);
    } else {
        p.full = mem_strdup(own);
    }
    files->patterns = mem_realloc(files->patterns, files->count + 1, sizeof(*files->patterns));
    files->patterns[files->count++] = p;
}

static void add_exclusion(struct files *files, const char *given)
{
    struct exclusion e = {.text = files_wrong(given) ? NULL : tidy(given, NULL)};
    if (!e.text)
        return;
    size_t len = strlen(e.text);
    e.plain = is_plain(e.text);
    e.deep = str_ends(e.text, "/**/*");
    if (e.deep || str_ends(e.text, "/**"))
        e.itself = mem_strndup(e.text, len - strlen(e.deep ? "/**/*" : "/**"));
    files->exclusions =
        mem_realloc(files->exclusions, files->exclusion_count + 1, sizeof(*files->exclusions));
    files->exclusions[files->exclusion_count++] = e;
}

struct files *files_new(const struct files_rule *rule)
{
    struct files *files = mem_alloc(sizeof(*files));
    const char *given = rule->base_directory;
    bool wrong = !str_empty(given) && files_wrong(given);
    char *base = str_empty(given) || wrong ? NULL : tidy(given, rule->root);
    files->discard_paths = rule->discard_paths;
    for (size_t i = 0; i < rule->files->count && !wrong; i++)
        add_pattern(files, rule->files->items[i], base, rule->root);
    for (size_t i = 0; rule->exclude && i < rule->exclude->count; i++)
        add_exclusion(files, rule->exclude->items[i]);
    free(base);
    return files;
}

void files_free(struct files *files)
{
    if (!files)
        return;
    for (size_t i = 0; i < files->count; i++) {
        free(files->patterns[i].base);
        free(files->patterns[i].text);
        free(files->patterns[i].full);
    }
    for (size_t i = 0; i < files->exclusion_count; i++) {
        free(files->exclusions[i].text);
        free(files->exclusions[i].itself);
    }
    free(files->patterns);
    free(files->exclusions);
    free(files);
}

/* ---- a file ---- */

/* `path` itself, or a folder that it is in. */
static bool is_or_is_below(const char *path, const char *folder)
{
    size_t len = strlen(folder);
    return len == 0 || (strncmp(path, folder, len) == 0 && (!path[len] || path[len] == '/'));
}

static bool takes(const struct pattern *pattern, const char *rest)
{
    return pattern->plain ? is_or_is_below(rest, pattern->text)
                          : str_glob_path(pattern->text, rest);
}

/* What is below a base of the pattern's; NULL: nothing that the pattern takes. */
static const char *below_base(const struct pattern *pattern, const char *path)
{
    if (!pattern->base)
        return takes(pattern, path) ? path : NULL;
    size_t len = strlen(pattern->base);
    if (is_plain(pattern->base)) {
        bool below = strncmp(path, pattern->base, len) == 0 && path[len] == '/';
        return below && takes(pattern, path + len + 1) ? path + len + 1 : NULL;
    }
    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        char *base = mem_strndup(path, (size_t)(slash - path));
        bool found = str_glob_path(pattern->base, base) && takes(pattern, slash + 1);
        free(base);
        if (found)
            return slash + 1;
    }
    return NULL;
}

static bool is_excluded(const struct files *files, const char *rest)
{
    for (size_t i = 0; i < files->exclusion_count; i++) {
        const struct exclusion *e = &files->exclusions[i];
        if (e->plain ? is_or_is_below(rest, e->text) : str_glob_path(e->text, rest))
            return true;
        if (e->deep && str_glob_path(e->itself, rest))
            return true;
    }
    return false;
}

bool files_match(const struct files *files, const char *path, const char **name)
{
    bool outside = *path == '/';
    for (size_t i = 0; i < files->count && *path; i++) {
        const struct pattern *pattern = &files->patterns[i];
        const char *rest = (*pattern->full == '/') == outside ? below_base(pattern, path) : NULL;
        if (!rest || !*rest || (*pattern->text != '/' && is_excluded(files, rest)))
            continue;
        const char *last = strrchr(rest, '/');
        if (name)
            *name = files->discard_paths && last ? last + 1 : rest + (*rest == '/');
        return true;
    }
    return false;
}

/* ---- folders ---- */

/* The length of a path's first parts, at most so many; of a pattern's only those before the first
 * that can be any number of folders. *taken: how many they are. */
static size_t head(const char *path, size_t parts, bool pattern, size_t *taken)
{
    const char *p = path + (*path == '/');
    const char *end = p;
    for (*taken = 0; *taken < parts && *p; ++*taken) {
        size_t len = strcspn(p, "/");
        if (pattern && memmem(p, len, "**", 2))
            break;
        end = p + len;
        p = end + (*end == '/');
    }
    return (size_t)(end - path);
}

static size_t count_parts(const char *path)
{
    size_t parts = *path && strcmp(path, "/") != 0 ? 1 : 0;
    for (const char *p = path + (*path == '/'); *p; p++)
        parts += *p == '/';
    return parts;
}

static bool may_hold(const struct pattern *pattern, const char *folder)
{
    size_t parts = count_parts(folder), taken;
    size_t len = head(pattern->full, parts, true, &taken);
    bool whole = !pattern->full[len];
    if (taken == 0)
        return !whole || pattern->plain;
    char *begin = mem_strndup(pattern->full, len);
    char *folder_begin = mem_strndup(folder, head(folder, taken, false, &taken));
    bool found = str_glob_path(begin, folder_begin);
    free(begin);
    free(folder_begin);
    /* A pattern with wildcards that is no longer than the folder's path means files beside it. */
    return found && (!whole || pattern->plain);
}

/* Whether all that is below a folder is excluded; `rest` is its path below the base. */
static bool is_excluded_whole(const struct files *files, const char *rest)
{
    for (size_t i = 0; i < files->exclusion_count; i++) {
        const struct exclusion *e = &files->exclusions[i];
        if (e->plain ? is_or_is_below(rest, e->text) : e->itself && str_glob_path(e->itself, rest))
            return true;
    }
    return false;
}

/* A folder's path below the base; "" where it is not, or one cannot tell. */
static const char *folder_below_base(const struct pattern *pattern, const char *folder)
{
    if (!pattern->base)
        return folder;
    size_t len = strlen(pattern->base);
    bool below = is_plain(pattern->base) && is_or_is_below(folder, pattern->base);
    return below && folder[len] ? folder + len + 1 : "";
}

bool files_may_hold(const struct files *files, const char *folder)
{
    bool outside = *folder == '/';
    for (size_t i = 0; i < files->count; i++) {
        const struct pattern *pattern = &files->patterns[i];
        if ((*pattern->full == '/') != outside || !may_hold(pattern, folder))
            continue;
        const char *rest = folder_below_base(pattern, folder);
        if (!*rest || *pattern->text == '/' || !is_excluded_whole(files, rest))
            return true;
    }
    return false;
}

/* Up to the part with the first wildcard; the folder of a plain one is not known to be none. */
static char *literal_folder(const struct pattern *pattern)
{
    const char *full = pattern->full;
    size_t len = strcspn(full, "*?[\\");
    while (len && full[len] && full[len - 1] != '/')
        len--;
    while (len > 1 && full[len - 1] == '/')
        len--;
    return mem_strndup(full, len);
}

static bool is_within(const char *folder, const char *other)
{
    if ((*folder == '/') != (*other == '/'))
        return false;
    return str_eq(other, "/") || is_or_is_below(folder, other);
}

void files_roots(const struct files *files, struct strv *out)
{
    struct strv all = {0};
    for (size_t i = 0; i < files->count; i++) {
        char *folder = literal_folder(&files->patterns[i]);
        strv_add(&all, folder);
        free(folder);
    }
    for (size_t i = 0; i < all.count; i++) {
        bool covered = false;
        for (size_t j = 0; j < all.count && !covered; j++)
            covered = j != i && is_within(all.items[i], all.items[j]) &&
                      (!str_eq(all.items[i], all.items[j]) || j < i);
        if (!covered)
            strv_add(out, all.items[i]);
    }
    strv_release(&all);
}
