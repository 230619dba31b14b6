#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "services/deployer/deployer.h"
#include "yaml/tree.h"

#define COMMANDS_MAX 1000

struct commands {
    struct map *by_name; /* -> struct command, owned */
};

static void command_free(void *value)
{
    struct command *command = value;

    if (!command)
        return;
    free(command->name);
    strv_release(&command->argv);
    strv_release(&command->env);
    free(command);
}

static int read_argv(struct command *command, const struct yaml_node *node, struct err *err)
{
    if (node->type != YAML_LIST || !node->first)
        return err_set(err, ERR_INVALID, "argv must be a list: the program, then its arguments");
    for (const struct yaml_node *word = node->first; word; word = word->next) {
        if (word->type != YAML_TEXT)
            return err_set(err, ERR_INVALID, "argv must hold texts only");
        strv_add(&command->argv, word->text);
    }
    return 0;
}

static int read_env(struct command *command, const struct yaml_node *node, struct err *err)
{
    if (node->type != YAML_MAP)
        return err_set(err, ERR_INVALID, "env must be a mapping of names to values");
    for (const struct yaml_node *value = node->first; value; value = value->next) {
        if (value->type != YAML_TEXT || strchr(value->key->text, '='))
            return err_set(err, ERR_INVALID, "env must map names without '=' to texts");
        if (str_starts(value->key->text, "GANTRY_"))
            return err_set(err, ERR_INVALID, "env: '%s' is one that Gantry sets itself",
                           value->key->text);
        strv_addf(&command->env, "%s=%s", value->key->text, value->text);
    }
    return 0;
}

static int read_command(struct command *command, const struct yaml_node *node, struct err *err)
{
    if (node->type != YAML_MAP)
        return err_set(err, ERR_INVALID, "it must be a mapping with argv, env and timeout");
    for (const struct yaml_node *item = node->first; item; item = item->next) {
        const char *key = item->key->text;
        int rc = 0;

        if (item->repeated)
            return err_set(err, ERR_INVALID, "'%s' stands twice", key);
        if (str_eq(key, "argv"))
            rc = read_argv(command, item, err);
        else if (str_eq(key, "env"))
            rc = read_env(command, item, err);
        else if (!str_eq(key, "timeout"))
            rc = err_set(err, ERR_INVALID, "there is no key '%s'; there are argv, env and timeout",
                         key);
        else if (item->type != YAML_TEXT || str_to_duration(item->text, &command->timeout_ms) < 0 ||
                 command->timeout_ms <= 0)
            rc = err_set(err, ERR_INVALID, "timeout must be a duration such as 15m");
        if (rc < 0)
            return -1;
    }
    if (!command->argv.count)
        return err_set(err, ERR_INVALID, "argv is missing");
    return 0;
}

static int read_all(struct commands *commands, const struct yaml_node *root, struct err *err)
{
    if (root->type != YAML_MAP || root->count > COMMANDS_MAX)
        return err_set(err, ERR_INVALID, "deployer.commands must be a mapping of at most %d names",
                       COMMANDS_MAX);
    for (const struct yaml_node *node = root->first; node; node = node->next) {
        struct command *command = mem_alloc(sizeof *command);

        command->name = mem_strdup(node->key->text);
        map_set(commands->by_name, command->name, command);
        if (!str_is_name(command->name))
            return err_set(err, ERR_INVALID,
                           "deployer.commands: '%s' is no name ([a-z0-9][a-z0-9-]{0,62})",
                           command->name);
        if (read_command(command, node, err) < 0)
            return err_wrap(err, "deployer.commands.%s", node->key->text);
    }
    return 0;
}

int commands_parse(struct commands **out, const char *yaml, struct err *err)
{
    struct commands *commands = mem_alloc(sizeof *commands);
    struct yaml_tree *tree = NULL;
    int rc = 0;

    commands->by_name = map_new(command_free);
    if (!str_empty(yaml)) {
        rc = yaml_tree_parse(&tree, yaml, strlen(yaml), NULL, err);
        if (rc == 0 && tree->root && !yaml_is_null(tree->root))
            rc = read_all(commands, tree->root, err);
    }
    yaml_tree_free(tree);
    if (rc < 0) {
        commands_free(commands);
        return -1;
    }
    *out = commands;
    return 0;
}

void commands_free(struct commands *commands)
{
    if (!commands)
        return;
    map_free(commands->by_name);
    free(commands);
}

const struct command *commands_get(const struct commands *commands, const char *name)
{
    return map_get(commands->by_name, name);
}

size_t commands_count(const struct commands *commands)
{
    return map_count(commands->by_name);
}
