#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "services/cli/up_internal.h"
#include "yaml/tree.h"

/* The services check the file; here only a few of its values are looked up. */

#define FILE_MAX (1024 * 1024)

int up_settings_load(struct up_settings *settings, struct err *err)
{
    struct yaml_place place = {0};

    if (!settings->config)
        return 0;
    if (file_read(&settings->text, settings->config, FILE_MAX, err) != 0)
        return -1;
    if (yaml_tree_parse(&settings->tree, buf_cstr(&settings->text), settings->text.len, &place,
                        err) != 0)
        return err_wrap(err, "%s:%d", settings->config, place.line);
    return 0;
}

void up_settings_release(struct up_settings *settings)
{
    yaml_tree_free(settings->tree);
    if (settings->text.data)
        mem_wipe(settings->text.data, settings->text.cap);
    buf_release(&settings->text);
    strv_release(&settings->sets);
}

static const char *from_sets(const struct strv *sets, const char *section, const char *key)
{
    const size_t section_len = strlen(section), key_len = strlen(key);

    for (size_t i = sets->count; i > 0; i--) {
        const char *word = sets->items[i - 1];
        if (strncmp(word, section, section_len) != 0 || word[section_len] != '.')
            continue;
        word += section_len + 1;
        if (strncmp(word, key, key_len) == 0 && word[key_len] == '=')
            return word + key_len + 1;
    }
    return NULL;
}

static const char *from_environment(const char *section, const char *key)
{
    char *name = str_eq(section, "common") ? mem_printf("GANTRY_%s", key)
                                           : mem_printf("GANTRY_%s_%s", section, key);

    for (char *c = name; *c; c++)
        *c = *c == '-' || *c == '.' ? '_' : (char)toupper((unsigned char)*c);
    const char *value = getenv(name);
    free(name);
    return str_empty(value) ? NULL : value;
}

/* `a.b` stands as a dotted key or as mappings in each other. */
static const char *from_map(const struct yaml_node *map, const char *key)
{
    const struct yaml_node *node = yaml_get(map, key);
    const char *dot = strchr(key, '.');

    if (node)
        return node->type == YAML_TEXT && !yaml_is_null(node) ? node->text : NULL;
    if (!dot)
        return NULL;
    char *first = mem_strndup(key, (size_t)(dot - key));
    node = yaml_get(map, first);
    free(first);
    return node ? from_map(node, dot + 1) : NULL;
}

char *up_setting(const struct up_settings *settings, const char *section, const char *key)
{
    const char *value = from_sets(&settings->sets, section, key);

    if (!value)
        value = from_environment(section, key);
    if (!value && settings->tree && settings->tree->root)
        value = from_map(yaml_get(settings->tree->root, section), key);
    return mem_strdup(value);
}

char *up_address(const struct up_settings *settings, const struct up_kind *kind)
{
    char *listen = up_setting(settings, kind->name, "listen");
    char *cert = up_setting(settings, kind->name, "tls.cert");
    const char *scheme = str_empty(cert) ? "http" : "https";
    const char *colon = listen ? strrchr(listen, ':') : NULL;
    char *address = NULL;

    if (!listen)
        address = mem_printf("%s://127.0.0.1:%d", scheme, kind->port);
    else if (!colon || str_eq(colon, ":0"))
        address = NULL;
    else if (str_starts(listen, "0.0.0.0:"))
        address = mem_printf("%s://127.0.0.1%s", scheme, colon);
    else if (str_starts(listen, "[::]:"))
        address = mem_printf("%s://[::1]%s", scheme, colon);
    else
        address = mem_printf("%s://%s", scheme, listen);
    free(listen);
    free(cert);
    return address;
}
