/* `kubernetes:` or `docker:` of a deploy action: what to change in an environment of that driver.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "definition/kinds.h"
#include "definition/syntax.h"

#define LABEL_MAX     63 /* RFC 1123, 2.1, as Kubernetes takes it for namespaces and containers */
#define SUBDOMAIN_MAX 253

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static const char *wrong_with_name(const char *text, bool dots)
{
    size_t len = strlen(text);

    if (!len || len > (dots ? SUBDOMAIN_MAX : LABEL_MAX) ||
        strspn(text, dots ? "abcdefghijklmnopqrstuvwxyz0123456789-."
                          : "abcdefghijklmnopqrstuvwxyz0123456789-") != len ||
        !is_alnum(text[0]) || !is_alnum(text[len - 1]))
        return dots ? "a name in Kubernetes has up to 253 of a-z, 0-9, '-' and '.', and begins "
                      "and ends with a letter or digit"
                    : "a name in Kubernetes has up to 63 of a-z, 0-9 and '-', and begins and ends "
                      "with a letter or digit";
    return NULL;
}

const char *syntax_kubernetes(const char *text)
{
    return wrong_with_name(text, true);
}

const char *def_target_wrong(const char *target, const char *key, const char *value)
{
    if (!str_eq(target, "kubernetes"))
        return NULL;
    return wrong_with_name(value, !str_eq(key, "namespace") && !str_eq(key, "container"));
}

/* What has {{names}} in it is a name when they are filled in. */
static void check_value(struct reader *r, const struct yaml_node *node, const char *value)
{
    const char *wrong =
        strstr(value, "{{") ? NULL : def_target_wrong("kubernetes", node->key->text, value);

    if (wrong)
        problem(r, node, "'%.100s': %s", value, wrong);
}

static void read_kubernetes(struct pipeline_reader *pr, struct def_action *action,
                            const struct yaml_node *map)
{
    const struct yaml_node *values[KUBERNETES_KEYS];
    struct reader *r = pr->r;
    size_t workloads = 0;

    if (read_fields(r, map, &kubernetes_keys, values) < 0)
        return;
    action->deploy.target_pairs = mem_alloc(KUBERNETES_KEYS * sizeof(struct def_pair));
    for (size_t i = 0; i < KUBERNETES_KEYS; i++) {
        char *value = read_text(r, values[i], DEF_MESSAGE_MAX, 0);

        if (kubernetes_keys.fields[i].flags & FIELD_ONE_OF && values[i] && ++workloads > 1)
            problem(r, values[i], "one of deployment, statefulset and daemonset, not several");
        if (!value)
            continue;
        check_value(r, values[i], value);
        action->deploy.target_pairs[action->deploy.target_count++] =
            (struct def_pair){mem_strdup(kubernetes_keys.fields[i].key), value};
    }
    if (!workloads)
        problem_at(r->problems, map->line, map->column, r->path,
                   "needs 'deployment', 'statefulset' or 'daemonset': what runs the image");
}

void target_read(struct pipeline_reader *pr, struct def_action *action,
                 const struct yaml_node *kubernetes, const struct yaml_node *docker)
{
    const struct yaml_node *map = kubernetes ? kubernetes : docker;
    size_t mark;

    if (!map)
        return;
    if (kubernetes && docker) {
        problem(pr->r, docker, "a deploy is for kubernetes or docker, not both");
        return;
    }
    action->deploy.target = kubernetes ? "kubernetes" : "docker";
    if (docker) {
        action->deploy.target_pairs =
            read_pairs(pr->r, docker, DEF_NAMES_MAX, syntax_input, &action->deploy.target_count);
    } else {
        mark = reader_enter_key(pr->r, map->key->text);
        read_kubernetes(pr, action, map);
        reader_leave(pr->r, mark);
    }
    templates_check(pr, map);
}

int def_target_yaml(const char *target, const struct def_pair *pairs, size_t count, struct buf *out)
{
    struct yaml_node *nodes = mem_alloc((2 * count + 1) * sizeof(*nodes));
    struct yaml_node key = {
        .type = YAML_TEXT, .text = target, .len = strlen(target), .plain = true};
    struct yaml_node map = {.type = YAML_MAP, .key = &key, .count = count};
    struct yaml_node root = {.type = YAML_MAP, .first = &map, .count = 1};
    int rc;

    for (size_t i = 0; i < count; i++) {
        struct yaml_node *name = &nodes[2 * i], *value = &nodes[2 * i + 1];

        *name = (struct yaml_node){
            .type = YAML_TEXT, .text = pairs[i].key, .len = strlen(pairs[i].key), .plain = true};
        *value = (struct yaml_node){.type = YAML_TEXT,
                                    .text = pairs[i].value,
                                    .len = strlen(pairs[i].value),
                                    .key = name,
                                    .next = i + 1 < count ? &nodes[2 * i + 3] : NULL};
    }
    map.first = count ? &nodes[1] : NULL;
    rc = yaml_write(&root, out);
    free(nodes);
    return rc;
}
