#include <endian.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/saved.h"
#include "services/cli/replay.h"

#define PAGE_RECORDS 2000
#define FRAME_BYTES  12 /* u64 offset, u32 length, both big-endian */

/* ---- through the console ---- */

static int ask_partitions(struct replay_source *source)
{
    struct api_reply reply = {0};
    int rc = api_get(source->cli, &reply, "/api/v1/ledger");

    if (rc == 0) {
        json_decref(source->partitions);
        source->partitions = json_incref(json_object_get(reply.json, "partitions"));
        source->count = (int32_t)json_array_size(source->partitions);
    }
    api_reply_release(&reply);
    return rc;
}

/* One page. Sets *next where the following begins. */
static int take_page(const struct api_reply *reply, int64_t end, int64_t *next, bool *enough,
                     replay_record_fn *fn, void *arg)
{
    const char *at = reply->body ? reply->body : "";
    size_t left = reply->len;
    int64_t after;

    if (str_to_i64(reply->next_offset, &after) < 0 || after <= *next)
        return cli_fail(EXIT_UNREACHABLE, "the console did not say where the ledger goes on");
    while (left >= FRAME_BYTES && !*enough) {
        uint64_t offset;
        uint32_t size;
        int rc;

        memcpy(&offset, at, sizeof offset);
        memcpy(&size, at + 8, sizeof size);
        offset = be64toh(offset);
        size = be32toh(size);
        if (size > left - FRAME_BYTES)
            return cli_fail(EXIT_UNREACHABLE, "the console's answer is cut off");
        rc = (int64_t)offset < end ? fn((int64_t)offset, at + FRAME_BYTES, size, arg) : 1;
        if (rc < 0)
            return EXIT_BAD_END;
        *enough = rc > 0;
        at += FRAME_BYTES + size;
        left -= FRAME_BYTES + size;
    }
    *next = after;
    return EXIT_DONE;
}

static int read_pages(struct replay_source *source, int32_t partition, int64_t begin, int64_t end,
                      replay_record_fn *fn, void *arg)
{
    bool enough = false;
    int rc = EXIT_DONE;

    while (rc == EXIT_DONE && begin < end && !enough) {
        struct api_call call = {.accept = "application/octet-stream"};
        struct api_reply reply = {0};
        char path[128];

        snprintf(path, sizeof path, "/api/v1/ledger/%d?from=%lld&limit=%d", (int)partition,
                 (long long)begin, PAGE_RECORDS);
        call.path = path;
        rc = api_send(source->cli, &call, &reply);
        if (rc == 0)
            rc = take_page(&reply, end, &begin, &enough, fn, arg);
        api_reply_release(&reply);
    }
    return rc;
}

/* ---- from Kafka ---- */

struct reading {
    replay_record_fn *fn;
    void *arg;
    int rc;
};

static void on_record(const struct bus_record *record, void *arg)
{
    struct reading *reading = arg;

    if (reading->rc == 0)
        reading->rc = reading->fn(record->offset, record->value, record->value_len, reading->arg);
}

static void on_saved(const struct bus_record *record, void *arg)
{
    saved_put(arg, record->key, record->key_len, record->value, record->value_len);
}

/* ---- either ---- */

int replay_open(struct replay_source *source, struct cli *cli, const char *config)
{
    struct err err;
    int rc;

    *source = (struct replay_source){.cli = cli, .kafka = config != NULL};
    if (!source->kafka)
        return ask_partitions(source);
    rc = topics_open(&source->topics, config);
    if (rc != 0)
        return rc;
    if (topics_look(&source->topics, &err) < 0)
        return cli_fail(EXIT_UNREACHABLE, "%s", err.msg);
    source->count = source->topics.partitions;
    return source->count ? EXIT_DONE : cli_fail(EXIT_NOT_FOUND, "there is no ledger yet");
}

void replay_close(struct replay_source *source)
{
    json_decref(source->partitions);
    if (source->kafka)
        topics_close(&source->topics);
}

int replay_ends(struct replay_source *source, int32_t partition, int64_t *begin, int64_t *end)
{
    struct bus_end ends = {.topic = TOPIC_LEDGER, .partition = partition};
    const json_t *item;
    struct err err;
    size_t i;
    int rc;

    if (source->kafka) {
        if (topics_ends(&source->topics, &ends, 1, &err) < 0)
            return cli_fail(EXIT_UNREACHABLE, "%s", err.msg);
        *begin = ends.begin;
        *end = ends.end;
        return EXIT_DONE;
    }
    rc = ask_partitions(source);
    *begin = *end = 0;
    json_array_foreach(source->partitions, i, item)
    {
        if (jnum(item, "partition") != partition)
            continue;
        *begin = jnum(item, "begin");
        *end = jnum(item, "end");
    }
    return rc;
}

int replay_read(struct replay_source *source, int32_t partition, int64_t begin, int64_t end,
                replay_record_fn *fn, void *arg)
{
    struct reading reading = {.fn = fn, .arg = arg};
    struct err err;

    if (!source->kafka)
        return read_pages(source, partition, begin, end, fn, arg);
    if (topics_read(&source->topics, TOPIC_LEDGER, partition, begin, end, on_record, &reading,
                    &err) < 0)
        return cli_fail(EXIT_UNREACHABLE, "%s", err.msg);
    return reading.rc < 0 ? EXIT_BAD_END : EXIT_DONE;
}

int replay_read_saved(struct replay_source *source, int32_t partition, struct saved *saved)
{
    struct bus_end ends = {.topic = TOPIC_PROMOTER_STATE, .partition = partition};
    struct err err;

    if (topics_ends(&source->topics, &ends, 1, &err) < 0 ||
        topics_read(&source->topics, TOPIC_PROMOTER_STATE, partition, ends.begin, ends.end,
                    on_saved, saved, &err) < 0)
        return cli_fail(EXIT_UNREACHABLE, "%s", err.msg);
    saved_read(saved);
    return EXIT_DONE;
}
