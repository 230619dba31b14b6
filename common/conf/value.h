/* One setting's value, from text or YAML into its member. Internal to the library. */
#ifndef GANTRY_CONF_VALUE_H
#define GANTRY_CONF_VALUE_H

#include "base/err.h"
#include "conf/conf.h"
#include "yaml/tree.h"

#define CONF_VALUE_MAX (1024 * 1024)

/* Replace what is there; the message is the reason alone. */
int conf_value_from_text(const struct conf_item *item, void *target, const char *text,
                         struct err *err);
/* A CONF_MAP written as a mapping is taken pair by pair instead. */
int conf_value_from_node(const struct conf_item *item, void *target, const struct yaml_node *node,
                         struct err *err);
/* One key of a CONF_MAP. */
int conf_value_set_pair(const struct conf_item *item, void *target, const char *key,
                        const struct yaml_node *node, const char *text, struct err *err);
void conf_value_zero(const struct conf_item *item, void *target);
void conf_value_release(const struct conf_item *item, void *target);

/* GANTRY_...; caller frees. */
char *conf_variable(const char *section, const char *key);

#endif
