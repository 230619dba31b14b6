#include "engine/chain.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "gantry/v1/decision.pb-c.h"
#include "gantry/v1/state.pb-c.h"

void chain_init(struct chain *chain)
{
    memset(chain, 0, sizeof(*chain));
    chain->head_offset = -1;
    for (size_t i = 0; i < TOPIC_COUNT; i++)
        chain->positions[i].settled_offset = -1;
}

const Gantry__V1__Genesis *chain_genesis_of(const Gantry__V1__Decision *decision)
{
    if (decision->n_changes == 1 &&
        decision->changes[0]->what_case == GANTRY__V1__CHANGE__WHAT_GENESIS)
        return decision->changes[0]->genesis;
    return NULL;
}

/* The one rule. Before there is a genesis nothing else can be extended. */
static bool counts(const struct chain *chain, const Gantry__V1__Decision *decision)
{
    if (!chain->begun)
        return decision->previous.len == 0 && chain_genesis_of(decision);
    return decision->previous.len == SHA256_SIZE &&
           memcmp(decision->previous.data, chain->head, SHA256_SIZE) == 0;
}

static int check_numbers(const Gantry__V1__Genesis *genesis, struct err *err)
{
    for (size_t i = 0; i < genesis->n_numbers; i++) {
        const Gantry__V1__PipelineNumbers *numbers = genesis->numbers[i];
        if (!str_is_name(numbers->pipeline))
            return err_set(err, ERR_INVALID, "it gives numbers to '%.64s', which is no name",
                           numbers->pipeline);
        if (numbers->next_release > CHAIN_NUMBER_MAX || numbers->next_sequence > CHAIN_NUMBER_MAX)
            return err_set(err, ERR_INVALID, "it gives pipeline '%s' a number above %llu",
                           numbers->pipeline, (unsigned long long)CHAIN_NUMBER_MAX);
    }
    return 0;
}

static int check_genesis(const struct chain *chain, const Gantry__V1__Genesis *genesis,
                         const Gantry__V1__Decision *decision, struct err *err)
{
    if (genesis->epoch <= chain->epoch)
        return err_set(err, ERR_INVALID, "its epoch %llu is not beyond %llu",
                       (unsigned long long)genesis->epoch, (unsigned long long)chain->epoch);
    if (genesis->partition_count <= 0 || genesis->partition < 0 ||
        genesis->partition >= genesis->partition_count)
        return err_set(err, ERR_INVALID, "it is of partition %d of %d", genesis->partition,
                       genesis->partition_count);
    if (chain->begun && (genesis->partition != chain->partition ||
                         genesis->partition_count != chain->partition_count))
        return err_set(err, ERR_INVALID, "it is of partition %d of %d, and the chain of %d of %d",
                       genesis->partition, genesis->partition_count, chain->partition,
                       chain->partition_count);
    if (chain->begun && str_empty(genesis->operator_))
        return err_set(err, ERR_INVALID, "it begins a new epoch and names no operator");
    if (strlen(genesis->chain_id) >= sizeof(chain->chain_id))
        return err_set(err, ERR_INVALID, "its chain id is too long");
    if (decision->epoch != genesis->epoch)
        return err_set(err, ERR_INVALID, "its Decision is of another epoch");
    return check_numbers(genesis, err);
}

/* A genesis comes alone; what has a pipeline has a sequence, and what has none changes nothing. */
static int check_changes(const struct chain *chain, const Gantry__V1__Decision *decision,
                         const Gantry__V1__Genesis *genesis, struct err *err)
{
    if (genesis)
        return check_genesis(chain, genesis, decision, err);
    if (decision->epoch != chain->epoch)
        return err_set(err, ERR_INVALID, "it is of epoch %llu, and the chain of %llu",
                       (unsigned long long)decision->epoch, (unsigned long long)chain->epoch);
    for (size_t i = 0; i < decision->n_changes; i++) {
        const Gantry__V1__Change *change = decision->changes[i];
        if (change->what_case == GANTRY__V1__CHANGE__WHAT__NOT_SET)
            return err_set(err, ERR_FATAL,
                           "its change %zu is of a kind that this version does not know; install a "
                           "newer one",
                           i);
        if (change->what_case == GANTRY__V1__CHANGE__WHAT_GENESIS)
            return err_set(err, ERR_INVALID, "it holds a genesis among other changes");
    }
    if (str_empty(decision->pipeline) && decision->n_changes)
        return err_set(err, ERR_INVALID, "it changes something and names no pipeline");
    return 0;
}

static int check_positions(const struct chain *chain, const Gantry__V1__Decision *decision,
                           struct err *err)
{
    for (size_t i = 0; i < decision->n_positions; i++) {
        const Gantry__V1__Position *position = decision->positions[i];
        const struct topic_info *topic = topic_find(position->topic);
        if (!topic)
            return err_set(err, ERR_FATAL,
                           "it has a position in topic '%.64s', which this version "
                           "does not know",
                           position->topic);
        const struct chain_position *now = &chain->positions[topic->topic];
        if (strlen(position->settled_ce_id) >= sizeof(now->settled_ce_id))
            return err_set(err, ERR_INVALID, "its position in %s has an id that is too long",
                           topic->name);
        if (now->known && !position->remade && position->next_offset < now->next_offset)
            return err_set(err, ERR_INVALID, "its position in %s goes back from %lld to %lld",
                           topic->name, (long long)now->next_offset,
                           (long long)position->next_offset);
    }
    return 0;
}

static void take_genesis(struct chain *chain, const Gantry__V1__Genesis *genesis)
{
    chain->begun = true;
    chain->epoch = genesis->epoch;
    snprintf(chain->chain_id, sizeof(chain->chain_id), "%s", genesis->chain_id);
    chain->partition = genesis->partition;
    chain->partition_count = genesis->partition_count;
}

void chain_take_positions(struct chain_position to[TOPIC_COUNT],
                          Gantry__V1__Position *const *positions, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct topic_info *topic = topic_find(positions[i]->topic);
        if (!topic)
            continue;
        struct chain_position *now = &to[topic->topic];
        now->known = true;
        now->next_offset = positions[i]->next_offset;
        now->settled_offset = positions[i]->settled_offset;
        snprintf(now->settled_ce_id, sizeof(now->settled_ce_id), "%s", positions[i]->settled_ce_id);
    }
}

static void take(struct chain *chain, const Gantry__V1__Decision *decision,
                 const Gantry__V1__Genesis *genesis)
{
    if (genesis)
        take_genesis(chain, genesis);
    chain_take_positions(chain->positions, decision->positions, decision->n_positions);
    chain->time_ms = decision->time_ms;
    if (decision->published_below > chain->published_below)
        chain->published_below = decision->published_below;
}

int chain_fold(struct chain *chain, const void *value, size_t len,
               const Gantry__V1__Decision *decision, int64_t offset, enum chain_verdict *verdict,
               struct err *err)
{
    uint8_t hash[SHA256_SIZE];
    sha256(value, len, hash);
    return chain_fold_hashed(chain, hash, decision, offset, verdict, err);
}

int chain_fold_hashed(struct chain *chain, const uint8_t hash[SHA256_SIZE],
                      const Gantry__V1__Decision *decision, int64_t offset,
                      enum chain_verdict *verdict, struct err *err)
{
    const Gantry__V1__Genesis *genesis = chain_genesis_of(decision);
    *verdict = CHAIN_VOID;
    if (offset <= chain->head_offset)
        return err_set(err, ERR_INTERNAL, "ledger offset %lld was given after %lld",
                       (long long)offset, (long long)chain->head_offset);
    if (!counts(chain, decision)) {
        chain->voided++;
        return 0;
    }
    if (check_changes(chain, decision, genesis, err) != 0 ||
        check_positions(chain, decision, err) != 0)
        return err_wrap(err, "ledger offset %lld extends the chain, but", (long long)offset);
    if (decision->time_ms < chain->time_ms)
        return err_set(err, ERR_INVALID,
                       "ledger offset %lld extends the chain, but goes back in time by %lld ms",
                       (long long)offset, (long long)(chain->time_ms - decision->time_ms));
    take(chain, decision, genesis);
    memcpy(chain->head, hash, SHA256_SIZE);
    chain->head_offset = offset;
    chain->counted++;
    *verdict = CHAIN_COUNTS;
    return 0;
}

void chain_resume(struct chain *chain, const Gantry__V1__Checkpoint *checkpoint)
{
    chain_init(chain);
    take_genesis(chain, checkpoint->genesis);
    memcpy(chain->head, checkpoint->head_hash.data, SHA256_SIZE);
    chain->head_offset = checkpoint->head_offset;
    chain->time_ms = checkpoint->time_ms;
    chain->published_below = checkpoint->published_below;
    if (chain->published_below <= checkpoint->head_offset)
        chain->published_below = checkpoint->head_offset + 1;
    chain_take_positions(chain->positions, checkpoint->positions, checkpoint->n_positions);
}

bool chain_knows_beginning(const Gantry__V1__Genesis *genesis, int64_t begin)
{
    return begin == 0 || (!str_empty(genesis->operator_) && begin <= genesis->begins_at);
}

bool chain_supersedes(const Gantry__V1__Genesis *genesis, uint64_t epoch, int64_t offset)
{
    return !str_empty(genesis->operator_) && genesis->epoch > epoch &&
           genesis->supersedes_offset >= offset;
}

bool chain_begins_anew(const struct chain *chain, const Gantry__V1__Decision *decision)
{
    const Gantry__V1__Genesis *genesis = chain_genesis_of(decision);
    return genesis && decision->previous.len == 0 && !str_empty(genesis->operator_) &&
           genesis->epoch > chain->epoch;
}
