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
    static const struct field fields[] = {{"run", FIELD_REQUIRED}, {NULL, 0}};
    const struct yaml_node *run;
    size_t mark = reader_enter_key(r, node->key->text);
    char *command = NULL;

    if (read_fields(r, node, "a command", fields, &run) == 0)
        command = read_checked(r, run, syntax_name);
    reader_leave(r, mark);
    return command;
}

struct def_environment *environment_read(struct reader *r, const struct yaml_node *spec)
{
    static const struct field fields[] = {{"deployer", 0},
                                          {"driver", FIELD_REQUIRED},
                                          {"command", 0},
                                          {"freeze", FIELD_LATER},
                                          {NULL, 0}};
    enum { DEPLOYER, DRIVER, COMMAND };
    const struct yaml_node *VALUES_OF(fields);
    struct def_environment *environment = mem_alloc(sizeof(*environment));

    if (read_fields(r, spec, "an environment", fields, values) < 0)
        return environment;
    environment->deployer =
        values[DEPLOYER] ? read_checked(r, values[DEPLOYER], syntax_name) : mem_strdup("default");
    environment->driver = read_driver(r, values[DRIVER]);
    if (values[COMMAND])
        environment->command = read_command(r, values[COMMAND]);
    if (str_eq(environment->driver, "command") && !values[COMMAND])
        problem_at(r->problems, spec->line, spec->column, r->path,
                   "the driver 'command' needs 'command: {run: NAME}', a name from the deployer's "
                   "own configuration");
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
    free(environment);
}
