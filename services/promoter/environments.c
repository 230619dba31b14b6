#include "services/promoter/environments.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "base/str.h"
#include "definition/definition.h"
#include "gantry/v1/definition.pb-c.h"
#include "log/log.h"

#define KEY_PREFIX "Environment/"

struct environment {
    struct engine_environment view; /* points into the rest */
    struct definition *definition;
    uint8_t *yaml;
    uint8_t sha256[SHA256_SIZE];
};

struct environments {
    struct map *by_name;
};

static void environment_free(void *arg)
{
    struct environment *environment = arg;

    if (!environment)
        return;
    definition_free(environment->definition);
    free(environment->yaml);
    free(environment);
}

struct environments *environments_new(void)
{
    struct environments *environments = mem_alloc(sizeof(*environments));

    environments->by_name = map_new(environment_free);
    return environments;
}

void environments_free(struct environments *environments)
{
    if (!environments)
        return;
    map_free(environments->by_name);
    free(environments);
}

/* The name in a record's key; NULL: not an Environment's. Caller frees. */
static char *name_of_key(const struct bus_record *record)
{
    size_t prefix = strlen(KEY_PREFIX);

    if (!record->key || record->key_len <= prefix || memcmp(record->key, KEY_PREFIX, prefix) != 0)
        return NULL;
    return mem_strndup((const char *)record->key + prefix, record->key_len - prefix);
}

static bool take(struct environments *environments, const Gantry__V1__Definition *message)
{
    struct environment *environment;
    struct definition *definition;
    struct err err;

    if (definition_parse(&definition, message->yaml.data, message->yaml.len, NULL, &err) < 0) {
        log_warn("environment ignored: it does not parse, and the one before stays",
                 LOG_S("environment", message->name), LOG_E(&err));
        return false;
    }
    if (definition->kind != DEF_ENVIRONMENT || !str_eq(definition->name, message->name)) {
        log_warn("environment ignored: its definition is of something else",
                 LOG_S("environment", message->name));
        definition_free(definition);
        return false;
    }
    environment = mem_alloc(sizeof(*environment));
    environment->definition = definition;
    environment->yaml = mem_dup(message->yaml.data, message->yaml.len);
    memcpy(environment->sha256, definition->sha256, SHA256_SIZE);
    environment->view = (struct engine_environment){
        .name = definition->environment->name,
        .deployer = definition->environment->deployer,
        .driver = definition->environment->driver,
        .command = definition->environment->command,
        .yaml = environment->yaml,
        .yaml_len = message->yaml.len,
        .sha256 = environment->sha256,
        .freezes = definition->environment->freezes,
        .freeze_count = definition->environment->freeze_count,
    };
    map_set(environments->by_name, message->name, environment);
    return true;
}

bool environments_apply(struct environments *environments, const struct bus_record *record)
{
    char *name = name_of_key(record);
    void *unpacked = NULL;
    const Gantry__V1__Definition *message;
    bool changed = false;

    if (!name)
        return false;
    if (!record->value) {
        changed = map_del(environments->by_name, name);
        goto out;
    }
    /* One that cannot be decoded goes to deadletter by whoever owns its partition. */
    if (event_unpack(&unpacked, TOPIC_DEFINITION, record->value, record->value_len, NULL) < 0)
        goto out;
    message = unpacked;
    if (!str_eq(message->kind, def_kind_name(DEF_ENVIRONMENT)) || !str_eq(message->name, name))
        goto out;
    if (message->deleted)
        changed = map_del(environments->by_name, name);
    else
        changed = take(environments, message);
out:
    event_free(unpacked);
    free(name);
    return changed;
}

const struct engine_environment *environments_get(const struct environments *environments,
                                                  const char *name)
{
    const struct environment *environment = map_get(environments->by_name, name);

    return environment ? &environment->view : NULL;
}

size_t environments_count(const struct environments *environments)
{
    return map_count(environments->by_name);
}
