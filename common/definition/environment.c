#include <stdlib.h>

#include "base/mem.h"
#include "definition/kinds.h"
#include "definition/syntax.h"

static char *read_driver(struct reader *r, const struct yaml_node *node)
{
    static const char *const drivers[] = {"command", NULL};
    static const char *const later[] = {"docker", "kubernetes", "git"};

    if (!node)
        return NULL;
    if (node->type == YAML_TEXT && str_eq(node->text, "command"))
        return mem_strdup("command");
    for (size_t i = 0; node->type == YAML_TEXT && i < sizeof(later) / sizeof(later[0]); i++)
        if (str_eq(node->text, later[i])) {
            problem(r, node, "the driver '%s' is not supported yet", later[i]);
            return mem_strdup(later[i]);
        }
    problem_word(r, node, "a driver", drivers);
    return NULL;
}

static char *read_command(struct reader *r, const struct yaml_node *node)
{
    const struct yaml_node *values[COMMAND_KEYS];
    size_t mark = reader_enter_key(r, node->key->text);
    char *command = NULL;

    if (read_fields(r, node, &command_keys, values) == 0)
        command = read_checked(r, values[COMMAND_RUN], syntax_name);
    reader_leave(r, mark);
    return command;
}

static void read_freezes(struct reader *r, struct def_environment *environment,
                         const struct yaml_node *node)
{
    const struct yaml_node *list =
        node && asks_nothing(node) ? NULL : read_list(r, node, DEF_FREEZES_MAX, "freezes");
    size_t mark;

    if (!list)
        return;
    environment->freezes = mem_alloc(list->count * sizeof(*environment->freezes));
    mark = reader_enter_key(r, list->key->text);
    for (const struct yaml_node *n = list->first; n; n = n->next) {
        const struct yaml_node *values[FREEZE_KEYS];
        struct def_freeze *freeze = &environment->freezes[environment->freeze_count];
        size_t item = reader_enter_index(r, environment->freeze_count++);

        if (read_fields(r, n, &freeze_keys, values) == 0) {
            if (values[FREEZE_WINDOW])
                freeze->window_text = window_text_read(r, &freeze->window, values[FREEZE_WINDOW]);
            freeze->reason = read_text(r, values[FREEZE_REASON], DEF_REASON_MAX, 0);
        }
        reader_leave(r, item);
    }
    reader_leave(r, mark);
}

struct def_environment *environment_read(struct reader *r, const struct yaml_node *spec)
{
    const struct yaml_node *values[ENVIRONMENT_KEYS];
    struct def_environment *environment = mem_alloc(sizeof(*environment));

    if (read_fields(r, spec, &environment_keys, values) < 0)
        return environment;
    environment->deployer = values[ENVIRONMENT_DEPLOYER]
                                ? read_checked(r, values[ENVIRONMENT_DEPLOYER], syntax_name)
                                : mem_strdup("default");
    environment->driver = read_driver(r, values[ENVIRONMENT_DRIVER]);
    if (values[ENVIRONMENT_COMMAND])
        environment->command = read_command(r, values[ENVIRONMENT_COMMAND]);
    if (str_eq(environment->driver, "command") && !values[ENVIRONMENT_COMMAND])
        problem_at(r->problems, spec->line, spec->column, r->path,
                   "the driver 'command' needs 'command: {run: NAME}', a name from the deployer's "
                   "own configuration");
    read_freezes(r, environment, values[ENVIRONMENT_FREEZE]);
    return environment;
}

void environment_free(struct def_environment *environment)
{
    if (!environment)
        return;
    free(environment->name);
    free(environment->deployer);
    free(environment->driver);
    free(environment->command);
    for (size_t i = 0; i < environment->freeze_count; i++) {
        window_free(environment->freezes[i].window);
        free(environment->freezes[i].window_text);
        free(environment->freezes[i].reason);
    }
    free(environment->freezes);
    free(environment);
}
