#include <stdlib.h>

#include "definition/kinds.h"
#include "definition/syntax.h"

#define VOTERS_MAX  100
#define MESSAGE_MAX 2000
#define DAY_MS      (24 * 3600 * (int64_t)1000)

#define APPROVAL_FIELDS                                                                            \
    {"by", 0}, {"count", 0}, {"not", 0}, {"expires", 0}, {"message", 0},                           \
    {                                                                                              \
        "rejects", FIELD_LATER                                                                     \
    }
enum { BY, COUNT, NOT, EXPIRES, MESSAGE };

/* Votes of which there cannot be enough would hold the release until it expires. */
static void check_enough(struct reader *r, const struct def_approval *approval,
                         const struct yaml_node *count)
{
    for (size_t i = 0; i < approval->by.count; i++)
        if (!str_starts(approval->by.items[i], "user:"))
            return;
    if (count && approval->by.count > 0 && approval->count > approval->by.count)
        problem(r, count, "%u votes are asked of %zu people", approval->count, approval->by.count);
}

static void fill(struct reader *r, struct def_approval *approval,
                 const struct yaml_node *const *values)
{
    /* The page's five minutes are advice: an expiry that is shorter serves trials. */
    static const struct span span = {1000, 60 * DAY_MS, "1s to 60d"};

    read_texts(r, values[BY], VOTERS_MAX, syntax_voter, &approval->by);
    approval->count = read_count(r, values[COUNT], VOTERS_MAX, 1);
    read_texts(r, values[NOT], VOTERS_MAX, syntax_excluded, &approval->not_);
    approval->expires_ms = read_duration(r, values[EXPIRES], &span, 7 * DAY_MS);
    approval->message = read_text(r, values[MESSAGE], MESSAGE_MAX, TEXT_LINES | TEXT_EMPTY);
    check_enough(r, approval, values[COUNT]);
}

void approval_read(struct reader *r, struct def_approval *approval, const struct yaml_node *map)
{
    static const struct field fields[] = {APPROVAL_FIELDS, {NULL, 0}};
    const struct yaml_node *VALUES_OF(fields);

    if (read_fields(r, map, "an approval", fields, values) == 0)
        fill(r, approval, values);
}

char *approval_action_read(struct reader *r, struct def_approval *approval,
                           const struct yaml_node *map)
{
    static const struct field fields[] = {{"name", FIELD_REQUIRED}, APPROVAL_FIELDS, {NULL, 0}};
    const struct yaml_node *VALUES_OF(fields);

    if (read_fields(r, map, "an approval", fields, values) < 0)
        return NULL;
    fill(r, approval, values + 1);
    return read_checked(r, values[0], syntax_name);
}

void approval_release(struct def_approval *approval)
{
    strv_release(&approval->by);
    strv_release(&approval->not_);
    free(approval->message);
}
