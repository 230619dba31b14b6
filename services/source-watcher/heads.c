#include "heads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "events/event.h"
#include "gantry/v1/source.pb-c.h"

struct heads {
    struct map *by_name; /* "pipeline\nsource\nref" -> struct head */
    struct looks *looks;
};

struct heads *heads_new(void)
{
    struct heads *heads = mem_alloc(sizeof(*heads));

    heads->by_name = map_new(free);
    heads->looks = looks_new();
    return heads;
}

void heads_free(struct heads *heads)
{
    if (!heads)
        return;
    map_free(heads->by_name);
    looks_free(heads->looks);
    free(heads);
}

struct looks *heads_looks(struct heads *heads)
{
    return heads->looks;
}

const struct head *heads_find(const struct heads *heads, const char *pipeline, const char *source,
                              const char *ref)
{
    char *key = mem_printf("%s\n%s\n%s", pipeline, source, ref);
    const struct head *head = map_get(heads->by_name, key);

    free(key);
    return head;
}

/* What was there at a first look is where the first report goes on from. */
static void begin_at_look(const struct heads *heads, struct head *head, const char *pipeline,
                          const char *source, const char *ref)
{
    const char *commit = looks_commit(heads->looks, pipeline, source, ref);

    if (!commit || head->in_flight > 0 || head->tip.commit[0])
        return;
    snprintf(head->last.commit, sizeof(head->last.commit), "%s", commit);
    head->tip = head->last;
}

struct head *heads_get(struct heads *heads, const char *pipeline, const char *source,
                       const char *ref)
{
    char *key = mem_printf("%s\n%s\n%s", pipeline, source, ref);
    struct head *head = map_get(heads->by_name, key);

    if (!head) {
        head = mem_alloc(sizeof(*head));
        head->offset = -1;
        map_set(heads->by_name, key, head);
    }
    free(key);
    begin_at_look(heads, head, pipeline, source, ref);
    return head;
}

struct head *heads_next(struct heads *heads, struct map_iter *it, struct head_name *name)
{
    if (!map_next(heads->by_name, it))
        return NULL;
    const char *source = strchr(it->key, '\n') + 1;
    const char *ref = strchr(source, '\n') + 1;
    snprintf(name->pipeline, sizeof(name->pipeline), "%.*s", (int)(source - it->key - 1), it->key);
    snprintf(name->source, sizeof(name->source), "%.*s", (int)(ref - source - 1), source);
    snprintf(name->ref, sizeof(name->ref), "%s", ref);
    return it->value;
}

static void report_set(struct head_report *report, const char *commit, const char *id)
{
    snprintf(report->commit, sizeof(report->commit), "%s", commit);
    snprintf(report->id, sizeof(report->id), "%s", id);
}

static void set_tip(struct head *head, const struct head_report *report)
{
    if (strcmp(head->tip.commit, report->commit) != 0)
        head->changed_ms = clock_mono_ms();
    head->tip = *report;
}

static void set_last(struct head *head, int64_t offset, int64_t timestamp_ms, const char *commit,
                     const char *id)
{
    if (offset <= head->offset)
        return;
    head->offset = offset;
    head->reported_ms = timestamp_ms;
    report_set(&head->last, commit, id);
}

int heads_take(struct heads *heads, const struct bus_record *record, struct err *err)
{
    Gantry__V1__SourceChanged *change;
    struct event_meta meta;

    if (event_read_headers(&meta, record->headers, record->header_count, err) != 0 ||
        event_unpack((void **)&change, TOPIC_SOURCE, record->value, record->value_len, err) != 0)
        return -1;
    if (change->look) {
        looks_take(heads->looks, change, meta.id, record->timestamp_ms);
    } else {
        struct head *head = heads_get(heads, change->pipeline, change->source, change->ref);
        set_last(head, record->offset, record->timestamp_ms, change->after, meta.id);
        if (head->in_flight == 0)
            set_tip(head, &head->last);
    }
    event_free(change);
    return 0;
}

void head_sent(struct head *head, const char *commit, const char *id)
{
    struct head_report report;

    report_set(&report, commit, id);
    set_tip(head, &report);
    head->in_flight++;
}

void head_acked(struct head *head, const struct bus_ack *ack, const char *commit, const char *id)
{
    head->in_flight--;
    if (ack->ok)
        set_last(head, ack->offset, ack->timestamp_ms, commit, id);
    if (head->in_flight == 0)
        set_tip(head, &head->last);
}
