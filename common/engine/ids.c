#include "engine/ids.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sha256.h"
#include "engine/state.h"

#define RETENTION_S    (STATE_RETENTION_MS / 1000)
#define SLACK_S        (24 * 3600) /* forgets once a day, not at each add */
#define CAPACITY_FIRST 8

static void ids_destroy(struct shared *part)
{
    struct ids *ids = (struct ids *)part;
    free(ids->slots);
    free(ids);
}

struct ids *ids_new(void)
{
    struct ids *ids = mem_alloc(sizeof(*ids));
    shared_init(&ids->shared, ids_destroy);
    return ids;
}

uint64_t ids_hash(const char *topic, const char *ce_id)
{
    char text[160];
    uint8_t hash[SHA256_SIZE];
    uint64_t id = 0;
    size_t len = strlen(topic), more = strlen(ce_id);
    if (len + 1 > sizeof(text) - 1)
        len = sizeof(text) - 2;
    if (more > sizeof(text) - 1 - len - 1) /* an id that was bounded when it was read */
        more = sizeof(text) - 1 - len - 1;
    memcpy(text, topic, len);
    text[len] = ':';
    memcpy(text + len + 1, ce_id, more);
    sha256(text, len + 1 + more, hash);
    for (size_t i = 0; i < sizeof(id); i++)
        id = id << 8 | hash[i];
    return id ? id : 1;
}

/* Where an id is, or would go. */
static struct ids_item *slot_of(struct ids_item *slots, size_t capacity, uint64_t id)
{
    size_t at = (size_t)id & (capacity - 1);
    while (slots[at].id && slots[at].id != id)
        at = (at + 1) & (capacity - 1);
    return &slots[at];
}

bool ids_has(const struct ids *ids, uint64_t id)
{
    return ids->count && slot_of(ids->slots, ids->capacity, id)->id == id;
}

static void rebuild(struct ids *ids, const struct ids_item *items, size_t count, size_t capacity)
{
    struct ids_item *slots = mem_alloc(capacity * sizeof(*slots));
    ids->oldest_s = INT64_MAX;
    for (size_t i = 0; i < count; i++) {
        *slot_of(slots, capacity, items[i].id) = items[i];
        if (items[i].at_s < ids->oldest_s)
            ids->oldest_s = items[i].at_s;
    }
    free(ids->slots);
    ids->slots = slots;
    ids->capacity = capacity;
    ids->count = count;
}

static int by_id(const void *a, const void *b)
{
    uint64_t x = ((const struct ids_item *)a)->id, y = ((const struct ids_item *)b)->id;
    return (x > y) - (x < y);
}

static int by_time(const void *a, const void *b)
{
    int64_t x = ((const struct ids_item *)a)->at_s, y = ((const struct ids_item *)b)->at_s;
    return x != y ? (x > y) - (x < y) : by_id(a, b);
}

struct ids_item *ids_sorted(const struct ids *ids)
{
    struct ids_item *items = mem_alloc((ids->count + 1) * sizeof(*items));
    size_t n = 0;
    for (size_t i = 0; i < ids->capacity; i++) {
        if (ids->slots[i].id)
            items[n++] = ids->slots[i];
    }
    qsort(items, n, sizeof(*items), by_id);
    return items;
}

static size_t capacity_for(size_t count)
{
    size_t capacity = CAPACITY_FIRST;
    while (capacity / 4 * 3 < count + 1)
        capacity *= 2;
    return capacity;
}

static void forget(struct ids *ids, int64_t now_s)
{
    bool old = ids->count && ids->oldest_s < now_s - RETENTION_S - SLACK_S;
    if (!old && ids->count < IDS_MAX)
        return;
    struct ids_item *items = ids_sorted(ids);
    size_t first = 0, count = ids->count;
    qsort(items, count, sizeof(*items), by_time);
    while (first < count && items[first].at_s < now_s - RETENTION_S)
        first++;
    if (count - first >= IDS_MAX)
        first = count - IDS_MAX / 4 * 3;
    rebuild(ids, items + first, count - first, capacity_for(count - first));
    free(items);
}

static struct ids *own(struct ids **at)
{
    struct ids *ids = *at;
    if (shared_is_own(ids))
        return ids;
    struct ids *copy = ids_new();
    if (ids->capacity)
        copy->slots = mem_dup(ids->slots, ids->capacity * sizeof(*ids->slots));
    copy->capacity = ids->capacity;
    copy->count = ids->count;
    copy->oldest_s = ids->oldest_s;
    shared_unref(ids);
    return *at = copy;
}

void ids_add(struct ids **at, uint64_t id, int64_t at_s)
{
    if (ids_has(*at, id))
        return;
    struct ids *ids = own(at);
    forget(ids, at_s);
    if (ids->count + 1 > ids->capacity / 4 * 3) {
        struct ids_item *items = ids_sorted(ids);
        rebuild(ids, items, ids->count, ids->capacity ? ids->capacity * 2 : CAPACITY_FIRST);
        free(items);
    }
    *slot_of(ids->slots, ids->capacity, id) = (struct ids_item){id, at_s};
    ids->oldest_s = ids->count && ids->oldest_s < at_s ? ids->oldest_s : at_s;
    ids->count++;
}

void ids_load(struct ids **at, const struct ids_item *items, size_t count)
{
    if (count)
        rebuild(own(at), items, count, capacity_for(count));
}
