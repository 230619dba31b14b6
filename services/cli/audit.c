#include <endian.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "engine/chain.h"
#include "engine/engine.h"
#include "engine/links.h"
#include "events/event.h"
#include "gantry/v1/decision.pb-c.h"
#include "services/cli/cli.h"

#define BATCH 2000

/* What is known of one pipeline. Where the ledger's beginning is missing, the state of a pipeline
 * that is older than what is left cannot be made, and its Decisions are only linked. */
struct history {
    struct engine_state *state; /* NULL: not known */
    uint64_t sequence;          /* of its last Decision; as `hash`, only where there is no state */
    bool hashed;
    uint8_t hash[SHA256_SIZE];
};

/* A walk over one ledger partition: the chain, each pipeline's own chain, and the state that the
 * engine folds. */
struct walk {
    struct chain chain;
    struct map *pipelines; /* name -> struct history */
    json_t *epochs;
    int64_t at; /* the offset being looked at */
    struct err err;
    /* Where the beginning is missing, an operator's genesis tells which record before it counted,
     * and that one's links which others: the walk begins once more with the first of them. */
    struct links *links;
    bool resumed;
    int64_t resume_at; /* -1: not known */
    uint8_t resume_head[SHA256_SIZE];
    int32_t partition, partition_count;
};

static void history_free(void *value)
{
    struct history *history = value;

    if (history)
        engine_state_free(history->state);
    free(history);
}

static struct history *history_of(struct walk *walk, const char *pipeline, bool from_first)
{
    struct history *history = map_get(walk->pipelines, pipeline);

    if (!history) {
        history = mem_alloc(sizeof(*history));
        if (from_first)
            history->state = engine_state_new(pipeline);
        map_set(walk->pipelines, pipeline, history);
    }
    return history;
}

static int check_links(struct walk *walk, struct history *history,
                       const Gantry__V1__Decision *decision)
{
    if (history->sequence != 0 && decision->sequence != history->sequence + 1)
        return err_set(&walk->err, ERR_INVALID, "pipeline %s: sequence %llu follows %llu",
                       decision->pipeline, (unsigned long long)decision->sequence,
                       (unsigned long long)history->sequence);
    if (history->hashed && !ct_equal(decision->pipeline_previous.data,
                                     decision->pipeline_previous.len, history->hash, SHA256_SIZE))
        return err_set(&walk->err, ERR_INVALID,
                       "pipeline %s: Decision %llu does not name the one before it",
                       decision->pipeline, (unsigned long long)decision->sequence);
    return 0;
}

/* What a Decision says of its own pipeline must follow what is known of that pipeline. */
static int check_pipeline(struct walk *walk, const Gantry__V1__Decision *decision,
                          const void *value, size_t len)
{
    struct history *history =
        history_of(walk, decision->pipeline, !walk->resumed || decision->sequence == 1);
    uint8_t hash[SHA256_SIZE];

    sha256(value, len, hash);
    if (history->state)
        return engine_fold(history->state, decision, hash, &walk->err);
    if (check_links(walk, history, decision) < 0)
        return -1;
    history->sequence = decision->sequence;
    history->hashed = true;
    memcpy(history->hash, hash, SHA256_SIZE);
    return 0;
}

static void take_numbers(struct walk *walk, const Gantry__V1__PipelineNumbers *numbers)
{
    struct history *history = history_of(walk, numbers->pipeline, !walk->resumed);

    if (history->state) {
        engine_state_set_numbers(history->state, numbers->next_release, numbers->next_sequence);
    } else if (numbers->next_sequence > history->sequence + 1) {
        history->sequence = numbers->next_sequence - 1;
        history->hashed = false;
    }
}

static void take_genesis(struct walk *walk, const Gantry__V1__Decision *decision,
                         const Gantry__V1__Genesis *genesis)
{
    for (size_t i = 0; i < genesis->n_numbers; i++)
        take_numbers(walk, genesis->numbers[i]);
    json_array_append_new(walk->epochs,
                          json_pack("{s:I, s:I, s:s, s:s, s:I, s:I}", "epoch",
                                    (json_int_t)genesis->epoch, "offset", (json_int_t)walk->at,
                                    "operator", genesis->operator_, "reason", genesis->reason,
                                    "supersedesOffset", (json_int_t)genesis->supersedes_offset,
                                    "timeMs", (json_int_t)decision->time_ms));
}

/* Before anything counted: remembers how the records hang together, until an operator's genesis
 * names one of them. */
static void look_for_end_of_loss(struct walk *walk, const Gantry__V1__Decision *decision,
                                 const void *value, size_t len)
{
    const Gantry__V1__Genesis *genesis = chain_genesis_of(decision);
    bool extends = decision->previous.len == SHA256_SIZE;
    uint8_t hash[SHA256_SIZE];

    if (genesis && extends && !str_empty(genesis->operator_)) {
        walk->resume_at = links_first(walk->links, decision->previous.data, walk->resume_head);
        walk->partition = genesis->partition;
        walk->partition_count = genesis->partition_count;
    }
    sha256(value, len, hash);
    links_add(walk->links, walk->at, hash, extends ? decision->previous.data : NULL);
}

static void resume(struct walk *walk, const Gantry__V1__Decision *decision)
{
    chain_init(&walk->chain);
    walk->chain.begun = true;
    walk->chain.epoch = chain_genesis_of(decision) ? decision->epoch - 1 : decision->epoch;
    walk->chain.partition = walk->partition;
    walk->chain.partition_count = walk->partition_count;
    walk->chain.head_offset = walk->at - 1;
    memcpy(walk->chain.head, walk->resume_head, SHA256_SIZE);
    walk->resumed = true;
}

static int check_decision(struct walk *walk, const Gantry__V1__Decision *decision,
                          const void *value, size_t len)
{
    enum chain_verdict verdict;

    if (walk->resume_at == walk->at && !walk->resumed)
        resume(walk, decision);
    if (chain_fold(&walk->chain, value, len, decision, walk->at, &verdict, &walk->err) < 0)
        return -1;
    if (!walk->chain.begun) {
        look_for_end_of_loss(walk, decision, value, len);
        return 0;
    }
    if (verdict == CHAIN_VOID)
        return 0;
    if (chain_genesis_of(decision))
        take_genesis(walk, decision, chain_genesis_of(decision));
    return str_empty(decision->pipeline) ? 0 : check_pipeline(walk, decision, value, len);
}

/* What is no Decision at all extends nothing; what counts has to be one that readers accept. */
static int check_record(struct walk *walk, const void *value, size_t len)
{
    uint64_t counted = walk->chain.counted;
    void *message;
    int rc;

    if (event_parse(&message, TOPIC_LEDGER, value, len, NULL) < 0) {
        walk->chain.voided++;
        return 0;
    }
    rc = check_decision(walk, message, value, len);
    if (rc == 0 && walk->chain.counted > counted)
        rc = event_check(TOPIC_LEDGER, message, &walk->err);
    event_free(message);
    return rc;
}

/* A batch: repeated [u64 offset][u32 length][value], big-endian. -1: a break. */
static int check_batch(struct walk *walk, const char *data, size_t len)
{
    while (len >= 12) {
        uint64_t offset;
        uint32_t size;

        memcpy(&offset, data, 8);
        memcpy(&size, data + 8, 4);
        size = be32toh(size);
        walk->at = (int64_t)be64toh(offset);
        if (size > len - 12)
            return err_set(&walk->err, ERR_INVALID, "the console's answer is cut off");
        if (check_record(walk, data + 12, size) < 0)
            return -1;
        if (walk->resume_at >= 0 && !walk->resumed)
            break;
        data += 12 + size;
        len -= 12 + size;
    }
    return 0;
}

static int walk_partition(struct cli *cli, struct walk *walk, long long partition, int64_t begin,
                          int64_t end)
{
    int64_t next = begin;
    struct api_reply reply;
    int rc;

    while (next < end) {
        struct api_call call = {.accept = "application/octet-stream"};
        char path[128];

        snprintf(path, sizeof path, "/api/v1/ledger/%lld?from=%lld&limit=%d", partition,
                 (long long)next, BATCH);
        call.path = path;
        rc = api_send(cli, &call, &reply);
        if (rc != 0) {
            api_reply_release(&reply);
            return rc;
        }
        if (check_batch(walk, reply.body ? reply.body : "", reply.len) < 0) {
            api_reply_release(&reply);
            return EXIT_BAD_END;
        }
        if (str_to_i64(reply.next_offset, &begin) < 0 || begin <= next) {
            api_reply_release(&reply);
            return cli_fail(EXIT_UNREACHABLE, "the console did not say where the ledger goes on");
        }
        next = walk->resume_at >= 0 && !walk->resumed ? walk->resume_at : begin;
        api_reply_release(&reply);
    }
    return EXIT_DONE;
}

/* A walk in which nothing counted, though something was there once. */
static int check_begun(struct walk *walk, int64_t begin, int64_t end)
{
    if (walk->chain.begun || end == 0)
        return EXIT_DONE;
    walk->at = begin;
    if (begin == end)
        err_set(&walk->err, ERR_INVALID, "all of its records were deleted");
    else
        err_set(&walk->err, ERR_INVALID, "no genesis counts, so none of its records is known to%s",
                begin > 0 ? "; its beginning is missing" : "");
    return EXIT_BAD_END;
}

static size_t count_unknown(const struct walk *walk)
{
    size_t count = 0;

    for (struct map_iter it = {0}; map_next(walk->pipelines, &it);)
        count += !((const struct history *)it.value)->state;
    return count;
}

static json_t *result_of(const struct walk *walk, long long number, bool holds)
{
    char head[SHA256_HEX_SIZE];

    hex_encode(walk->chain.head, SHA256_SIZE, head);
    return json_pack(
        "{s:I, s:b, s:I, s:I, s:I, s:s, s:I, s:s, s:O, s:I, s:I}", "partition", (json_int_t)number,
        "holds", holds, "decisions", (json_int_t)walk->chain.counted, "void",
        (json_int_t)walk->chain.voided, "pipelines", (json_int_t)map_count(walk->pipelines), "head",
        walk->chain.counted ? head : "", "breakAt", (json_int_t)(holds ? -1 : walk->at), "reason",
        holds ? "" : walk->err.msg, "epochs", walk->epochs, "missingBelow",
        (json_int_t)(walk->resumed ? walk->resume_at : 0), "pipelinesUnknown",
        (json_int_t)count_unknown(walk));
}

/* One partition, with what to say of it. */
static int verify(struct cli *cli, const json_t *partition, json_t *results)
{
    struct walk walk = {.pipelines = map_new(history_free),
                        .epochs = json_array(),
                        .links = links_new(),
                        .resume_at = -1};
    int64_t begin = jnum(partition, "begin"), end = jnum(partition, "end");
    long long number = (long long)jnum(partition, "partition");
    int rc;

    chain_init(&walk.chain);
    rc = walk_partition(cli, &walk, number, begin, end);
    if (rc == EXIT_DONE)
        rc = check_begun(&walk, begin, end);
    if (rc == EXIT_DONE || rc == EXIT_BAD_END)
        json_array_append_new(results, result_of(&walk, number, rc == EXIT_DONE));
    links_free(walk.links);
    json_decref(walk.epochs);
    map_free(walk.pipelines);
    return rc;
}

/* What operators did to a partition, below the table. */
static void print_epochs(const json_t *result)
{
    long long missing = (long long)jnum(result, "missingBelow");
    long long unknown = (long long)jnum(result, "pipelinesUnknown");
    const json_t *epoch;
    size_t i;

    json_array_foreach(jget(result, "epochs"), i, epoch)
    {
        char time[CLOCK_RFC3339_SIZE];

        if (!*jstr(epoch, "operator"))
            continue;
        clock_rfc3339(jnum(epoch, "timeMs"), time);
        printf("partition %lld: epoch %lld since offset %lld, begun by %s on %.10s: %s\n",
               (long long)jnum(result, "partition"), (long long)jnum(epoch, "epoch"),
               (long long)jnum(epoch, "offset"), jstr(epoch, "operator"), time,
               jstr(epoch, "reason"));
    }
    if (missing)
        printf("partition %lld: nothing below offset %lld can be checked%s\n",
               (long long)jnum(result, "partition"), missing,
               unknown ? ", nor the state of pipelines that are older" : "");
}

static void print_results(const struct cli *cli, const json_t *results)
{
    static const char *const columns[] = {"PARTITION", "CHAIN", "DECISIONS", "VOID",
                                          "PIPELINES", "HEAD",  NULL};
    struct table *table = table_new(columns);
    const json_t *row;
    size_t i;

    json_array_foreach(results, i, row)
    {
        bool holds = jbool(row, "holds");

        table_cell(table, NULL, "%lld", (long long)jnum(row, "partition"));
        if (holds)
            table_cell(table, "good", "holds");
        else
            table_cell(table, "bad", "BREAKS at offset %lld: %s", (long long)jnum(row, "breakAt"),
                       jstr(row, "reason"));
        table_cell(table, NULL, "%lld", (long long)jnum(row, "decisions"));
        table_cell(table, jnum(row, "void") ? "wait" : NULL, "%lld", (long long)jnum(row, "void"));
        table_cell(table, NULL, "%lld", (long long)jnum(row, "pipelines"));
        table_cell(table, "quiet", "%.12s", jstr(row, "head"));
    }
    table_print(table, cli->color);
    json_array_foreach(results, i, row)
    {
        print_epochs(row);
    }
}

int cmd_audit_verify(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("audit verify");
    struct api_reply reply = {0};
    struct strv words = {0};
    json_t *results = json_array();
    const json_t *partition;
    int64_t only = -1;
    size_t i;
    int rc = cli_args(cli, self, argc, argv, NULL, &words, 0, 1), worst = EXIT_DONE;

    if (rc != 0) {
        rc = rc > 0 ? EXIT_DONE : EXIT_USAGE;
        goto out;
    }
    if (words.count && str_to_i64(words.items[0], &only) < 0) {
        rc = cli_usage_error(self, "'%s' is no partition's number", words.items[0]);
        goto out;
    }
    rc = api_get(cli, &reply, "/api/v1/ledger");
    if (rc != 0)
        goto out;
    json_array_foreach(jget(reply.json, "partitions"), i, partition)
    {
        if (only >= 0 && jnum(partition, "partition") != only)
            continue;
        rc = verify(cli, partition, results);
        if (rc > EXIT_BAD_END)
            goto out;
        worst = rc > worst ? rc : worst;
    }
    rc = worst;
    if (cli->json)
        print_json(results);
    else
        print_results(cli, results);
out:
    json_decref(results);
    api_reply_release(&reply);
    strv_release(&words);
    return rc;
}
