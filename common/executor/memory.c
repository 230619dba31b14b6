#include "base/mem.h"
#include "base/str.h"
#include "executor/internal.h"

#include <stdio.h>

void memory_init(struct memory *memory)
{
    memory->ids = map_new(free);
    memory->ring = mem_alloc(REMEMBER_MAX * sizeof(*memory->ring));
    memory->next = 0;
}

void memory_release(struct memory *memory)
{
    if (memory->ids)
        map_free(memory->ids);
    free(memory->ring);
    memory->ids = NULL;
    memory->ring = NULL;
}

void memory_add(struct memory *memory, const char *id, const char *cancel_reason)
{
    if (!map_get(memory->ids, id)) {
        char *slot = memory->ring[memory->next];
        if (slot[0])
            map_del(memory->ids, slot);
        snprintf(slot, RUN_ID_MAX, "%s", id);
        memory->next = (memory->next + 1) % REMEMBER_MAX;
    }
    map_set(memory->ids, id, mem_strdup(cancel_reason));
}

const char *memory_get(const struct memory *memory, const char *id)
{
    return map_get(memory->ids, id);
}
