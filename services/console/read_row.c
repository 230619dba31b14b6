#include <string.h>

#include "gantry/v1/common.pb-c.h"
#include "services/console/read.h"

static const char *const statuses[] = {"",           "waiting", "in-progress",
                                       "succeeded",  "failed",  "stopped",
                                       "superseded", "skipped", "abandoned"};
#define STATUS_COUNT ((int64_t)(sizeof(statuses) / sizeof(*statuses)))

const char *status_name(int64_t status)
{
    return status >= 0 && status < STATUS_COUNT ? statuses[status] : "";
}

int64_t status_of(const char *name)
{
    for (int64_t i = 1; i < STATUS_COUNT; i++) {
        if (strcmp(statuses[i], name) == 0)
            return i;
    }
    return 0;
}

const char *action_kind_name(int64_t kind)
{
    switch (kind) {
    case GANTRY__V1__ACTION_KIND__ACTION_KIND_BUILD:
        return "build";
    case GANTRY__V1__ACTION_KIND__ACTION_KIND_DEPLOY:
        return "deploy";
    case GANTRY__V1__ACTION_KIND__ACTION_KIND_APPROVAL:
        return "approval";
    case GANTRY__V1__ACTION_KIND__ACTION_KIND_CUSTOM:
        return "custom";
    default:
        return "";
    }
}

void put_text(json_t *object, const char *key, const struct sqlite_rows *rows, int column)
{
    const char *text = sqlite_text(rows, column);

    if (*text)
        json_object_set_new(object, key, json_string(text));
}

void put_int(json_t *object, const char *key, const struct sqlite_rows *rows, int column)
{
    if (!sqlite_is_null(rows, column))
        json_object_set_new(object, key, json_integer(sqlite_int(rows, column)));
}

void put_json(json_t *object, const char *key, const struct sqlite_rows *rows, int column)
{
    json_t *value = json_loads(sqlite_text(rows, column), 0, NULL);

    if (value)
        json_object_set_new(object, key, value);
}
