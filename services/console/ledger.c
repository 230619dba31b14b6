/* The ledger's bytes, for those who check or replay it without speaking to Kafka: read on demand by
 * one follower, one request at a time, and kept ready for the next page for some seconds. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "services/console/console.h"

#define RECORDS_DEFAULT 1000
#define RECORDS_MAX     10000
#define PAGE_BYTES_MAX  (4 * 1024 * 1024)
#define READ_MS         10000
#define IDLE_MS         10000
#define END_WAIT_MS     50 /* an end is told after a fetch that found nothing */
#define QUEUE_MAX       16
#define FRAME_BYTES     12 /* u64 offset, u32 length, both big-endian */

struct page {
    TAILQ_ENTRY(page) link;
    struct ledger_reader *ledger;
    struct http_request *req; /* NULL: the client is gone */
    int32_t partition;
    int64_t from, limit;
};

/* A question that outlives the reader. */
struct end_asking {
    struct ledger_reader *ledger;
};

struct ledger_reader {
    struct console *console;
    struct end_asking *asking; /* where the first page's partition ends */
    struct bus_follower *follower;
    TAILQ_HEAD(, page) queue; /* the first is being read */
    size_t count;
    bool reading;
    struct buf out;
    int64_t records, next;
    int64_t *known;           /* an offset of each partition up to which there are records */
    struct loop_timer *timer; /* ends a page that takes too long, or an idle follower */
};

static void on_timer(void *arg);

struct ledger_reader *ledger_reader_new(struct console *console)
{
    struct ledger_reader *ledger = mem_alloc(sizeof(*ledger));

    ledger->console = console;
    TAILQ_INIT(&ledger->queue);
    ledger->known = mem_alloc(sizeof(*ledger->known) * (size_t)console->svc->conf.partitions);
    buf_init(&ledger->out, PAGE_BYTES_MAX + EVENT_VALUE_MAX + FRAME_BYTES);
    ledger->timer = loop_timer_new(console->svc->loop, on_timer, ledger);
    return ledger;
}

void ledger_reader_free(struct ledger_reader *ledger)
{
    if (!ledger)
        return;
    while (!TAILQ_EMPTY(&ledger->queue)) {
        struct page *page = TAILQ_FIRST(&ledger->queue);
        TAILQ_REMOVE(&ledger->queue, page, link);
        free(page);
    }
    bus_follower_free(ledger->follower);
    loop_timer_free(ledger->timer);
    if (ledger->asking)
        ledger->asking->ledger = NULL;
    buf_release(&ledger->out);
    free(ledger->known);
    free(ledger);
}

/* Whatever kept Kafka from answering: topics that are missing can be made. */
static void reply_away(struct http_request *req, const struct err *err)
{
    http_reply_header(req, "Retry-After", "5");
    http_reply_problem(req, 503, NULL, err->msg);
}

/* ---- one page ---- */

static void start_next(void *arg);

static void finish(struct ledger_reader *ledger, bool good)
{
    struct page *page = TAILQ_FIRST(&ledger->queue);
    char next[24];

    if (!good)
        ledger->known[page->partition] = 0; /* asked for again */
    else if (ledger->records > 0 && ledger->known[page->partition] < ledger->next)
        ledger->known[page->partition] = ledger->next;
    TAILQ_REMOVE(&ledger->queue, page, link);
    ledger->count--;
    ledger->reading = false;
    if (ledger->follower)
        bus_follower_pause(ledger->follower, true);
    if (page->req && good) {
        snprintf(next, sizeof(next), "%lld", (long long)ledger->next);
        http_reply_header(page->req, "Gantry-Next-Offset", next);
        http_reply(page->req, 200, "application/octet-stream", buf_cstr(&ledger->out),
                   ledger->out.len);
    } else if (page->req) {
        http_reply_header(page->req, "Retry-After", "5");
        http_reply_problem(page->req, 503, NULL, "Kafka did not answer in time; try again");
    }
    free(page);
    buf_release(&ledger->out);
    buf_init(&ledger->out, PAGE_BYTES_MAX + EVENT_VALUE_MAX + FRAME_BYTES);
    loop_timer_arm(ledger->timer, IDLE_MS);
    if (!TAILQ_EMPTY(&ledger->queue)) /* later: this is inside the follower's callback */
        loop_post(ledger->console->svc->loop, start_next, ledger);
}

static void add_big_endian(struct buf *out, uint64_t value, int bytes)
{
    while (bytes-- > 0)
        buf_addc(out, (char)(value >> (8 * bytes)));
}

static void on_record(struct bus_follower *follower, const struct bus_record *record, void *arg)
{
    struct ledger_reader *ledger = arg;
    const struct page *page = TAILQ_FIRST(&ledger->queue);

    (void)follower;
    if (!ledger->reading || record->partition != page->partition || record->offset < ledger->next)
        return;
    add_big_endian(&ledger->out, (uint64_t)record->offset, 8);
    add_big_endian(&ledger->out, record->value_len, 4);
    buf_add(&ledger->out, record->value, record->value_len);
    ledger->next = record->offset + 1;
    if (++ledger->records >= page->limit || ledger->out.len >= PAGE_BYTES_MAX)
        finish(ledger, true);
}

static void on_end(struct bus_follower *follower, enum topic topic, int32_t partition,
                   int64_t end_offset, void *arg)
{
    struct ledger_reader *ledger = arg;

    (void)follower;
    (void)topic;
    if (!ledger->reading || partition != TAILQ_FIRST(&ledger->queue)->partition ||
        end_offset < ledger->next)
        return;
    finish(ledger, true);
}

static int begin_page(struct ledger_reader *ledger, const struct page *page, struct err *err)
{
    const struct bus_follower_handler handler = {
        .on_record = on_record, .on_end = on_end, .arg = ledger, .fetch_wait_ms = END_WAIT_MS};

    if (!ledger->follower &&
        bus_follower_new(&ledger->follower, ledger->console->svc->bus, &handler, err) != 0)
        return -1;
    bus_follower_pause(ledger->follower, false);
    for (int32_t i = 0; i < (int32_t)ledger->console->svc->conf.partitions; i++) {
        if (i != page->partition)
            bus_follower_remove(ledger->follower, TOPIC_LEDGER, i);
    }
    return bus_follower_add(ledger->follower, TOPIC_LEDGER, page->partition, page->from, err);
}

/* Takes the first page off the queue without an answer of its own. */
static void drop_first(struct ledger_reader *ledger, const struct err *err)
{
    struct page *page = TAILQ_FIRST(&ledger->queue);

    TAILQ_REMOVE(&ledger->queue, page, link);
    ledger->count--;
    if (page->req)
        reply_away(page->req, err);
    free(page);
}

static void on_end_told(const struct bus_end *ends, size_t count, const struct err *err, void *arg)
{
    struct end_asking *asking = arg;
    struct ledger_reader *ledger = asking->ledger;

    free(asking);
    if (!ledger)
        return;
    ledger->asking = NULL;
    struct page *page = TAILQ_FIRST(&ledger->queue);
    if (err && err->code != ERR_NONE) {
        drop_first(ledger, err);
    } else if (count == 1) {
        ledger->known[ends[0].partition] = ends[0].end;
        if (page->from > ends[0].end) { /* beyond the end there is an empty page */
            ledger->reading = true;
            finish(ledger, true);
        }
    }
    start_next(ledger);
}

/* A follower that is sent beyond a partition's end begins at its beginning: asked first. */
static void ask_end(struct ledger_reader *ledger, int32_t partition)
{
    const struct bus_end ask = {.topic = TOPIC_LEDGER, .partition = partition};

    ledger->asking = mem_alloc(sizeof(*ledger->asking));
    ledger->asking->ledger = ledger;
    bus_ends(ledger->console->svc->bus, &ask, 1, READ_MS, on_end_told, ledger->asking);
}

static void start_next(void *arg)
{
    struct ledger_reader *ledger = arg;
    struct page *page;
    struct err err = {.code = ERR_UNAVAILABLE, .msg = "nobody asks any more"};

    while (!ledger->reading && !ledger->asking && (page = TAILQ_FIRST(&ledger->queue))) {
        ledger->next = page->from;
        ledger->records = 0;
        if (!page->req) {
            drop_first(ledger, &err);
        } else if (page->from > ledger->known[page->partition]) {
            ask_end(ledger, page->partition);
        } else if (begin_page(ledger, page, &err) != 0) {
            drop_first(ledger, &err);
        } else {
            ledger->reading = true;
            loop_timer_arm(ledger->timer, READ_MS);
        }
    }
}

static void on_timer(void *arg)
{
    struct ledger_reader *ledger = arg;

    if (ledger->reading) {
        /* What came so far is a page too. */
        finish(ledger, ledger->records > 0);
        return;
    }
    bus_follower_free(ledger->follower);
    ledger->follower = NULL;
}

static void on_client_gone(void *arg)
{
    struct page *page = arg;

    page->req = NULL;
}

void rest_ledger_records(struct call *call)
{
    struct ledger_reader *ledger = call->console->ledger;
    const char *from = http_req_query(call->req, "from");
    int64_t offset = 0, limit;
    uint64_t partition;

    if (!param_number(call, "partition", &partition) ||
        !query_limit(call, RECORDS_DEFAULT, RECORDS_MAX, &limit))
        return;
    if (partition >= (uint64_t)call->console->svc->conf.partitions) {
        http_reply_problem(call->req, 404, NULL,
                           "no such partition; GET /api/v1/ledger lists them");
        return;
    }
    if (from && (str_to_i64(from, &offset) != 0 || offset < 0)) {
        http_reply_problem(call->req, 400, NULL, "from must be an offset");
        return;
    }
    if (ledger->count >= QUEUE_MAX) {
        http_reply_header(call->req, "Retry-After", "2");
        http_reply_problem(call->req, 503, NULL, "too many read the ledger; try again");
        return;
    }
    if (!kafka_there(call))
        return;
    struct page *page = mem_alloc(sizeof(*page));
    page->ledger = ledger;
    page->req = call->req;
    page->partition = (int32_t)partition;
    page->from = offset;
    page->limit = limit;
    TAILQ_INSERT_TAIL(&ledger->queue, page, link);
    ledger->count++;
    http_req_on_close(call->req, on_client_gone, page);
    start_next(ledger);
}

/* ---- the partitions ---- */

struct asking {
    struct http_request *req; /* NULL: the client is gone */
};

static void on_asker_gone(void *arg)
{
    struct asking *asking = arg;

    asking->req = NULL;
}

static void on_ends(const struct bus_end *ends, size_t count, const struct err *err, void *arg)
{
    struct asking *asking = arg;
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++)
        json_array_append_new(
            list, json_pack("{s:i, s:I, s:I}", "partition", (int)ends[i].partition, "begin",
                            (json_int_t)ends[i].begin, "end", (json_int_t)ends[i].end));
    if (asking->req && err && err->code != ERR_NONE)
        reply_away(asking->req, err);
    else if (asking->req)
        http_reply_json(asking->req, 200,
                        json_pack("{s:I, s:O}", "count", (json_int_t)count, "partitions", list));
    json_decref(list);
    free(asking);
}

void rest_ledger(struct call *call)
{
    size_t count = (size_t)call->console->svc->conf.partitions;
    struct asking *asking;
    struct bus_end *ask;

    if (!kafka_there(call))
        return;
    asking = mem_alloc(sizeof(*asking));
    asking->req = call->req;
    ask = mem_alloc(sizeof(*ask) * count);
    for (size_t i = 0; i < count; i++)
        ask[i] = (struct bus_end){.topic = TOPIC_LEDGER, .partition = (int32_t)i};
    http_req_on_close(call->req, on_asker_gone, asking);
    bus_ends(call->console->svc->bus, ask, count, READ_MS, on_ends, asking);
    free(ask);
}
