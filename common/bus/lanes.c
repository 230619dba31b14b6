#include "bus/lanes.h"

#include <stdlib.h>
#include <string.h>

#include <librdkafka/rdkafka.h>

#include "base/mem.h"

bool lanes_grow(struct lanes *lanes, int32_t partitions)
{
    size_t want = partitions > 1 ? (size_t)partitions : 1;
    if (want <= lanes->count)
        return false;
    struct lanes more = {.items = mem_alloc(want * sizeof(*more.items)), .count = want};
    struct held *held;
    for (size_t i = 0; i < want; i++)
        TAILQ_INIT(&more.items[i].held);
    for (size_t i = 0; i < lanes->count; i++) {
        more.items[i].handed = lanes->items[i].handed;
        while ((held = TAILQ_FIRST(&lanes->items[i].held))) {
            TAILQ_REMOVE(&lanes->items[i].held, held, link);
            held->lane = lanes_find(&more, held->partition, held->key, held->key_len);
            TAILQ_INSERT_TAIL(&more.items[held->lane].held, held, link);
        }
    }
    free(lanes->items);
    lanes->items = more.items;
    lanes->count = want;
    return true;
}

size_t lanes_find(const struct lanes *lanes, int32_t partition, const void *key, size_t key_len)
{
    if (partition < 0)
        return (size_t)topic_partition(key, key_len, (int32_t)lanes->count);
    return (size_t)partition % lanes->count;
}

bool lanes_open(const struct lanes *lanes, size_t lane)
{
    return lanes->items[lane].handed < LANE_OPEN && TAILQ_EMPTY(&lanes->items[lane].held);
}

void lanes_hand(struct lanes *lanes, size_t lane)
{
    lanes->items[lane].handed++;
}

void lanes_acknowledged(struct lanes *lanes, size_t lane)
{
    lanes->items[lane].handed--;
}

struct held *lanes_hold(struct lanes *lanes, const struct held *record)
{
    struct held *held = mem_alloc(sizeof(*held) + record->key_len);
    *held = *record;
    held->key = memcpy(held + 1, record->key, record->key_len);
    if (record->value)
        held->value = mem_dup(record->value, record->value_len);
    TAILQ_INSERT_TAIL(&lanes->items[held->lane].held, held, link);
    lanes->held++;
    return held;
}

struct held *lanes_first(const struct lanes *lanes, size_t lane)
{
    return TAILQ_FIRST(&lanes->items[lane].held);
}

void lanes_drop(struct lanes *lanes, struct held *held)
{
    TAILQ_REMOVE(&lanes->items[held->lane].held, held, link);
    lanes->held--;
    free(held->value);
    if (held->headers)
        rd_kafka_headers_destroy(held->headers);
    free(held);
}

void lanes_release(struct lanes *lanes)
{
    free(lanes->items);
    lanes->items = NULL;
    lanes->count = 0;
}
