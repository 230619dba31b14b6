#include "catch_up.h"

#include <stdlib.h>

#include "base/mem.h"
#include "log/log.h"

/* Short, since the end of the process waits for a question that is under way. */
#define ASK_MS   3000
#define AGAIN_MS 500

struct place {
    enum topic topic;
    int32_t partition;
    int64_t below; /* read so far */
    int64_t end;   /* to be read; -1: not known yet */
};

struct catch_up {
    struct bus *bus;
    struct loop_timer *again;
    struct place *places;
    size_t count;
    size_t left; /* places that are not read to their end */
    void (*done)(void *arg);
    void *arg;
};

static void ask(struct catch_up *catch_up);

static bool is_read(const struct place *place)
{
    return place->end >= 0 && place->below >= place->end;
}

static void set(struct catch_up *catch_up, struct place *place, int64_t below, int64_t end)
{
    const bool was_read = is_read(place);

    place->below = below;
    place->end = end;
    if (was_read || !is_read(place))
        return;
    if (--catch_up->left == 0)
        catch_up->done(catch_up->arg);
}

static void on_ends(const struct bus_end *ends, size_t count, const struct err *err, void *arg)
{
    struct catch_up *catch_up = arg;

    if (err && err->code != ERR_NONE) {
        if (catch_up->again)
            loop_timer_arm(catch_up->again, AGAIN_MS);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct place *place = &catch_up->places[i];
        /* Nothing is to be read where all was deleted by age. */
        set(catch_up, place, place->below, ends[i].begin < ends[i].end ? ends[i].end : 0);
    }
}

static void ask(struct catch_up *catch_up)
{
    struct bus_end *ends = mem_alloc(catch_up->count * sizeof(*ends));

    for (size_t i = 0; i < catch_up->count; i++) {
        ends[i].topic = catch_up->places[i].topic;
        ends[i].partition = catch_up->places[i].partition;
    }
    bus_ends(catch_up->bus, ends, catch_up->count, ASK_MS, on_ends, catch_up);
    free(ends);
}

static void on_again(void *arg)
{
    struct catch_up *catch_up = arg;

    if (bus_connected(catch_up->bus, NULL))
        ask(catch_up);
    else
        loop_timer_arm(catch_up->again, AGAIN_MS);
}

struct catch_up *catch_up_new(struct loop *loop, struct bus *bus, const enum topic *topics,
                              size_t topic_count, int32_t partitions, void (*done)(void *arg),
                              void *arg)
{
    struct catch_up *catch_up = mem_alloc(sizeof(*catch_up));

    catch_up->bus = bus;
    catch_up->again = loop_timer_new(loop, on_again, catch_up);
    catch_up->count = catch_up->left = topic_count * (size_t)partitions;
    catch_up->places = mem_alloc(catch_up->count * sizeof(*catch_up->places));
    for (size_t i = 0; i < catch_up->count; i++)
        catch_up->places[i] = (struct place){.topic = topics[i / (size_t)partitions],
                                             .partition = (int32_t)(i % (size_t)partitions),
                                             .end = -1};
    catch_up->done = done;
    catch_up->arg = arg;
    ask(catch_up);
    return catch_up;
}

void catch_up_stop(struct catch_up *catch_up)
{
    loop_timer_free(catch_up->again);
    catch_up->again = NULL;
}

void catch_up_free(struct catch_up *catch_up)
{
    if (!catch_up)
        return;
    catch_up_stop(catch_up);
    free(catch_up->places);
    free(catch_up);
}

void catch_up_seen(struct catch_up *catch_up, enum topic topic, int32_t partition, int64_t offset)
{
    for (size_t i = 0; i < catch_up->count; i++) {
        struct place *place = &catch_up->places[i];
        if (place->topic == topic && place->partition == partition)
            set(catch_up, place, offset, place->end);
    }
}
