#include <stdlib.h>

#include "conf/conf.h"
#include "conf/value.h"

static void add_item(const struct conf_section *section, const struct conf_item *item,
                     struct buf *out)
{
    char *variable = conf_variable(section->name, item->key);

    buf_addf(out, "  %-28s %-44s ", item->key, variable);
    if (item->flags & CONF_REQUIRED && !item->def)
        buf_adds(out, "required");
    else if (item->flags & CONF_SECRET)
        buf_adds(out, "secret");
    else
        buf_addf(out, "default: %s", str_empty(item->def) ? "none" : item->def);
    buf_addf(out, "\n      %s\n", item->help ? item->help : "");
    free(variable);
}

void conf_help(const struct conf_section *sections, struct buf *out)
{
    for (; sections->name; sections++) {
        if (!sections->items->key)
            continue;
        buf_addf(out, "%s:\n", sections->name);
        for (const struct conf_item *item = sections->items; item->key; item++)
            add_item(sections, item, out);
    }
}
