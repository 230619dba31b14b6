#include "looks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "git/git.h"

#define TAGS  "refs/tags/"
#define PULLS "refs/pull/*"

struct look {
    bool done;
    int64_t noted_ms;
    char id[64];
};

struct looks {
    struct map *by_name; /* "pipeline\nsource\nrefs\nglob" -> struct look */
    struct map *present; /* "pipeline\nsource\nref" -> its commit */
};

bool look_at(const struct def_source *source, size_t i, struct look_at *out)
{
    if (i < source->tags.count) {
        *out = (struct look_at){.refs = TAGS "*", .glob = source->tags.items[i]};
        return true;
    }
    *out = (struct look_at){.refs = PULLS, .glob = ""};
    return source->pull_requests && i == source->tags.count;
}

bool look_matches(const struct look_at *at, const char *ref)
{
    if (str_eq(at->refs, PULLS))
        return !str_starts(ref, TAGS) && !str_starts(ref, "refs/heads/");
    return str_starts(ref, TAGS) && str_glob(at->glob, ref + strlen(TAGS));
}

struct looks *looks_new(void)
{
    struct looks *looks = mem_alloc(sizeof(*looks));

    looks->by_name = map_new(free);
    looks->present = map_new(free);
    return looks;
}

void looks_free(struct looks *looks)
{
    if (!looks)
        return;
    map_free(looks->by_name);
    map_free(looks->present);
    free(looks);
}

static struct look *find(const struct looks *looks, const char *pipeline, const char *source,
                         const struct look_at *at)
{
    char *key = mem_printf("%s\n%s\n%s\n%s", pipeline, source, at->refs, at->glob);
    struct look *look = map_get(looks->by_name, key);

    free(key);
    return look;
}

static void take_present(struct looks *looks, const Gantry__V1__SourceChanged *record,
                         const char *line)
{
    const char *ref = strchr(line, ' ');
    char *commit = ref ? mem_strndup(line, (size_t)(ref - line)) : NULL;

    if (!commit || !git_commit_is_name(commit)) {
        free(commit);
        return;
    }
    char *key = mem_printf("%s\n%s\n%s", record->pipeline, record->source, ref + 1);
    map_set(looks->present, key, commit);
    free(key);
}

void looks_take(struct looks *looks, const Gantry__V1__SourceChanged *record, const char *id,
                int64_t timestamp_ms)
{
    const struct look_at at = {.refs = record->ref, .glob = record->message};
    struct look *look = find(looks, record->pipeline, record->source, &at);

    if (!look) {
        char *key =
            mem_printf("%s\n%s\n%s\n%s", record->pipeline, record->source, at.refs, at.glob);
        look = mem_alloc(sizeof(*look));
        map_set(looks->by_name, key, look);
        free(key);
    }
    snprintf(look->id, sizeof(look->id), "%s", id);
    for (size_t i = 0; i < record->n_present; i++)
        take_present(looks, record, record->present[i]);
    if (record->look == 1) {
        look->done = true;
        look->noted_ms = timestamp_ms;
    }
}

bool looks_done(const struct looks *looks, const char *pipeline, const char *source,
                const struct look_at *at)
{
    const struct look *look = find(looks, pipeline, source, at);

    return look && look->done;
}

int64_t looks_noted_ms(const struct looks *looks, const char *pipeline, const char *source,
                       const struct look_at *at)
{
    const struct look *look = find(looks, pipeline, source, at);

    return look ? look->noted_ms : 0;
}

const char *looks_id(const struct looks *looks, const char *pipeline, const char *source,
                     const struct look_at *at)
{
    const struct look *look = find(looks, pipeline, source, at);

    return look ? look->id : "";
}

const char *looks_commit(const struct looks *looks, const char *pipeline, const char *source,
                         const char *ref)
{
    if (map_count(looks->present) == 0)
        return NULL;
    char *key = mem_printf("%s\n%s\n%s", pipeline, source, ref);
    const char *commit = map_get(looks->present, key);

    free(key);
    return commit;
}

void looks_list(const struct looks *looks, const char *pipeline, const char *source,
                const struct look_at *at, struct strv *out)
{
    char *prefix = mem_printf("%s\n%s\n", pipeline, source);

    for (struct map_iter it = {0}; map_next(looks->present, &it);) {
        if (str_starts(it.key, prefix) && look_matches(at, it.key + strlen(prefix)))
            strv_addf(out, "%s %s", (const char *)it.value, it.key + strlen(prefix));
    }
    free(prefix);
}
