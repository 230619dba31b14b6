#include "catalog.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "events/event.h"
#include "gantry/v1/definition.pb-c.h"
#include "log/log.h"

struct entry {
    struct definition *def;
    struct watched *sources;
    size_t count;
};

struct catalog {
    struct map *pipelines; /* name -> struct entry */
    int32_t partitions;
    struct catalog_handler handler;
};

static void entry_free(void *arg)
{
    struct entry *entry = arg;

    free(entry->sources);
    definition_free(entry->def);
    free(entry);
}

struct catalog *catalog_new(int32_t partitions, const struct catalog_handler *handler)
{
    struct catalog *catalog = mem_alloc(sizeof(*catalog));

    catalog->pipelines = map_new(entry_free);
    catalog->partitions = partitions;
    catalog->handler = *handler;
    return catalog;
}

void catalog_free(struct catalog *catalog)
{
    if (!catalog)
        return;
    map_free(catalog->pipelines);
    free(catalog);
}

static void drop(struct catalog *catalog, const char *name)
{
    struct entry *entry = map_take(catalog->pipelines, name);

    if (!entry)
        return;
    for (size_t i = 0; i < entry->count; i++)
        catalog->handler.removed(&entry->sources[i], catalog->handler.arg);
    entry_free(entry);
}

static void put(struct catalog *catalog, struct definition *def)
{
    struct entry *entry = mem_alloc(sizeof(*entry));
    const struct def_pipeline *pipeline = def->pipeline;

    drop(catalog, def->name);
    entry->def = def;
    entry->count = pipeline->source_count;
    entry->sources = mem_alloc(entry->count * sizeof(*entry->sources));
    for (size_t i = 0; i < entry->count; i++) {
        entry->sources[i].pipeline = def->name;
        entry->sources[i].partition =
            topic_partition(def->name, strlen(def->name), catalog->partitions);
        entry->sources[i].source = &pipeline->sources[i];
        entry->sources[i].fresh = true;
    }
    map_set(catalog->pipelines, def->name, entry);
    for (size_t i = 0; i < entry->count; i++)
        catalog->handler.added(&entry->sources[i], catalog->handler.arg);
}

static bool is_current(const struct catalog *catalog, const struct definition *def)
{
    const struct entry *entry = map_get(catalog->pipelines, def->name);

    return entry && memcmp(entry->def->sha256, def->sha256, sizeof(def->sha256)) == 0;
}

static void take(struct catalog *catalog, const Gantry__V1__Definition *message)
{
    struct definition *def;
    struct err err;

    if (!str_eq(message->kind, def_kind_name(DEF_PIPELINE)))
        return;
    if (message->deleted) {
        drop(catalog, message->name);
        return;
    }
    if (definition_parse(&def, message->yaml.data, message->yaml.len, NULL, &err) != 0) {
        log_warn("a definition that does not parse is ignored", LOG_S("pipeline", message->name),
                 LOG_E(&err));
        return;
    }
    if (def->kind != DEF_PIPELINE || !str_eq(def->name, message->name) || is_current(catalog, def))
        definition_free(def);
    else
        put(catalog, def);
}

int catalog_take(struct catalog *catalog, const struct bus_record *record, struct err *err)
{
    Gantry__V1__Definition *message;

    if (!record->value) {
        char *name = mem_strndup(record->key, record->key_len);
        drop(catalog, name);
        free(name);
        return 0;
    }
    if (event_unpack((void **)&message, TOPIC_DEFINITION, record->value, record->value_len, err) !=
        0)
        return -1;
    take(catalog, message);
    event_free(message);
    return 0;
}

const struct watched *catalog_find(const struct catalog *catalog, const char *pipeline,
                                   const char *source)
{
    const struct entry *entry = map_get(catalog->pipelines, pipeline);

    for (size_t i = 0; entry && i < entry->count; i++) {
        if (str_eq(entry->sources[i].source->name, source))
            return &entry->sources[i];
    }
    return NULL;
}

bool watched_filters_paths(const struct watched *watched)
{
    return watched->source->paths_include.count > 0 || watched->source->paths_exclude.count > 0;
}

void catalog_each(const struct catalog *catalog, void (*fn)(struct watched *watched, void *arg),
                  void *arg)
{
    for (struct map_iter it = {0}; map_next(catalog->pipelines, &it);) {
        const struct entry *entry = it.value;
        for (size_t i = 0; i < entry->count; i++)
            fn(&entry->sources[i], arg);
    }
}

static void touch(struct watched *watched, void *arg)
{
    if (watched->partition == *(const int32_t *)arg)
        watched->fresh = true;
}

void catalog_touch(struct catalog *catalog, int32_t partition)
{
    catalog_each(catalog, touch, &partition);
}

size_t catalog_pipelines(const struct catalog *catalog)
{
    return map_count(catalog->pipelines);
}
