#include <endian.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "engine/chain.h"
#include "engine/engine.h"
#include "gantry/v1/decision.pb-c.h"
#include "services/cli/cli.h"

#define BATCH 2000

/* A walk over one ledger partition: the chain, each pipeline's own chain, and the state that the
 * engine folds. */
struct walk {
    struct chain chain;
    struct map *states; /* pipeline -> struct engine_state */
    int64_t at;         /* the offset being looked at */
    struct err err;
};

static void free_state(void *value)
{
    engine_state_free(value);
}

/* What a Decision says of its own pipeline must follow what that pipeline's state knows. */
static int check_pipeline(struct walk *walk, const Gantry__V1__Decision *decision,
                          const void *value, size_t len)
{
    struct engine_state *state = map_get(walk->states, decision->pipeline);
    uint8_t hash[SHA256_SIZE];

    if (!state) {
        state = engine_state_new(decision->pipeline);
        map_set(walk->states, decision->pipeline, state);
    }
    if (decision->sequence != engine_state_sequence(state) + 1 && engine_state_sequence(state) != 0)
        return err_set(&walk->err, ERR_INVALID, "pipeline %s: sequence %llu follows %llu",
                       decision->pipeline, (unsigned long long)decision->sequence,
                       (unsigned long long)engine_state_sequence(state));
    if (engine_state_sequence(state) != 0 &&
        !ct_equal(decision->pipeline_previous.data, decision->pipeline_previous.len,
                  engine_state_hash(state), SHA256_SIZE))
        return err_set(&walk->err, ERR_INVALID,
                       "pipeline %s: Decision %llu does not name the one before it",
                       decision->pipeline, (unsigned long long)decision->sequence);
    sha256(value, len, hash);
    return engine_fold(state, decision, hash, &walk->err);
}

static int check_record(struct walk *walk, const void *value, size_t len)
{
    enum chain_verdict verdict;
    void *message;
    Gantry__V1__Decision *decision;
    int rc;

    if (event_unpack(&message, TOPIC_LEDGER, value, len, &walk->err) < 0)
        return -1;
    decision = message;
    rc = chain_fold(&walk->chain, value, len, decision, walk->at, &verdict, &walk->err);
    if (rc == 0 && verdict == CHAIN_COUNTS && decision->pipeline && *decision->pipeline)
        rc = check_pipeline(walk, decision, value, len);
    event_free(message);
    return rc;
}

/* A batch: repeated [u64 offset][u32 length][value], big-endian. Returns the number of records, -1:
 * a break. */
static int64_t check_batch(struct walk *walk, const char *data, size_t len)
{
    int64_t count = 0;

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
        data += 12 + size;
        len -= 12 + size;
        count++;
    }
    return count;
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
        next = begin;
        api_reply_release(&reply);
    }
    return EXIT_DONE;
}

/* One partition, with what to say of it. */
static int verify(struct cli *cli, const json_t *partition, json_t *results)
{
    struct walk walk = {.states = map_new(free_state)};
    long long number = (long long)jnum(partition, "partition");
    char head[SHA256_HEX_SIZE] = "";
    int rc;

    chain_init(&walk.chain);
    rc = walk_partition(cli, &walk, number, jnum(partition, "begin"), jnum(partition, "end"));
    hex_encode(walk.chain.head, SHA256_SIZE, head);
    if (rc == EXIT_DONE || rc == EXIT_BAD_END)
        json_array_append_new(
            results,
            json_pack("{s:I, s:b, s:I, s:I, s:I, s:s, s:I, s:s}", "partition", (json_int_t)number,
                      "holds", rc == EXIT_DONE, "decisions", (json_int_t)walk.chain.counted, "void",
                      (json_int_t)walk.chain.voided, "pipelines",
                      (json_int_t)map_count(walk.states), "head", walk.chain.counted ? head : "",
                      "breakAt", (json_int_t)(rc == EXIT_DONE ? -1 : walk.at), "reason",
                      rc == EXIT_DONE ? "" : walk.err.msg));
    map_free(walk.states);
    return rc;
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
