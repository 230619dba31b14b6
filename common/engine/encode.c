/* A state as canonical bytes (decode.c reads them). What is derived (deadlines) is not kept. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/state.h"
#include "engine/wire.h"

static void write_parts(struct wire_out *out, const struct parts *parts,
                        void (*write)(struct wire_out *out, const void *part))
{
    wire_number(out, parts->count);
    for (size_t i = 0; i < parts->count; i++)
        write(out, parts->items[i]);
}

static void write_fixed(struct wire_out *out, const void *part)
{
    wire_message(out, ((const struct fixed *)part)->message);
}

static void write_exports(struct wire_out *out, const void *part)
{
    const struct exports *exports = part;
    wire_string(out, exports->action);
    wire_number(out, exports->count);
    for (size_t i = 0; i < exports->count; i++) {
        wire_string(out, exports->items[i]->key);
        wire_string(out, exports->items[i]->value);
    }
}

static void write_facts(struct wire_out *out, const struct facts *facts)
{
    wire_message(out, &facts->started->base);
    for (size_t i = 0; i < facts->started->n_revisions; i++)
        wire_number(out, facts->seen[i]);
}

static void write_head(struct wire_out *out, const void *part)
{
    const struct head *head = part;
    wire_message(out, &head->revision->base);
    wire_number(out, head->seen);
    wire_number(out, head->unstarted);
}

static void write_stage(struct wire_out *out, const void *part)
{
    const struct stage *stage = part;
    wire_string(out, stage->name);
    wire_number(out, stage->entered_max);
    wire_number(out, stage->entered_last);
    wire_number(out, stage->disabled != NULL);
    if (stage->disabled)
        wire_message(out, stage->disabled->message);
    wire_number(out, stage->history_count);
    for (size_t i = 0; i < stage->history_count; i++)
        wire_number(out, stage->history[i]);
}

static void write_past(struct wire_out *out, const void *part)
{
    const struct past *past = part;
    wire_number(out, past->number);
    write_facts(out, past->facts);
    write_parts(out, &past->artifacts, write_fixed);
    write_parts(out, &past->exports, write_exports);
}

static void write_deployed(struct wire_out *out, const void *part)
{
    const struct deployed *deployed = part;
    wire_string(out, deployed->environment);
    wire_string(out, deployed->digest);
    wire_number(out, deployed->sure);
}

static void write_approval(struct wire_out *out, const struct approval *approval)
{
    wire_number(out, approval != NULL);
    if (!approval)
        return;
    wire_number(out, approval->state);
    wire_number(out, approval->number);
    wire_id(out, approval->id);
    wire_signed(out, approval->opened_ms);
    wire_signed(out, approval->expires_ms);
    wire_string(out, approval->digest);
    write_parts(out, &approval->votes, write_fixed);
}

static void write_gate(struct wire_out *out, const struct gate *gate)
{
    const struct check *check = &gate->check;
    wire_number(out, (uint64_t)gate->overridden | (uint64_t)gate->promoted << 1);
    write_approval(out, gate->approval);
    wire_number(out, check->number);
    if (!check->number)
        return;
    wire_number(out, check->state);
    wire_id(out, check->id);
    wire_signed(out, check->at_ms);
}

static void write_approver(struct wire_out *out, const void *part)
{
    const struct approver *approver = part;
    wire_string(out, approver->stage);
    wire_string(out, approver->subject);
    wire_string(out, approver->email);
}

/* What an action's run and one of a build have alike. */
static void write_asked(struct wire_out *out, const struct run *run)
{
    wire_number(out, run->state);
    wire_number(out, (uint64_t)run->retry_lost | (uint64_t)run->was_lost << 1);
    wire_number(out, run->number);
    wire_number(out, run->attempt);
    wire_id(out, run->id);
    wire_signed(out, run->deadline_ms);
}

static void write_batch(struct wire_out *out, const struct batch *batch)
{
    wire_number(out, batch != NULL);
    if (!batch)
        return;
    wire_message(out, &batch_plan(batch)->base);
    for (size_t i = 0; i < batch->count; i++) {
        write_asked(out, &batch->builds[i].run);
        wire_number(out, batch->builds[i].left != NULL);
        if (batch->builds[i].left)
            write_fixed(out, batch->builds[i].left);
    }
    wire_number(out, batch->failed);
    wire_string(out, batch->why);
}

static void write_run(struct wire_out *out, const struct run *run)
{
    write_asked(out, run);
    write_approval(out, run->approval);
    wire_number(out, run->builds_asked);
    write_batch(out, run->batch);
}

/* The facts of a release that succeeded somewhere stand with that. */
static void write_release(struct wire_out *out, const struct engine_state *state,
                          const struct release *release)
{
    wire_number(out, release->number);
    if (!state_past(state, release->number))
        write_facts(out, release->facts);
    wire_number(out, release->definition->number);
    write_parts(out, &release->artifacts, write_fixed);
    write_parts(out, &release->exports, write_exports);
    wire_number(out, release->phase);
    wire_number(out, release->told);
    wire_number(out, (uint64_t)release->stopping);
    wire_number(out, release->stage);
    wire_number(out, release->entered);
    wire_number(out, release->arrived);
    wire_signed(out, release->arrived_ms);
    wire_number(out, release->overrides);
    wire_string(out, release->held ? release->held : "");
    wire_signed(out, release->look_again_ms);
    wire_number(out, release->retries);
    write_parts(out, &release->approvers, write_approver);
    wire_number(out, release->run_count);
    for (size_t i = 0; i < release->run_count; i++)
        write_run(out, &release->runs[i]);
    wire_number(out, release->gate_count);
    for (size_t i = 0; i < release->gate_count; i++)
        write_gate(out, &release->gates[i]);
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = (*(const struct taken *const *)a)->number;
    uint64_t y = (*(const struct taken *const *)b)->number;
    return (x > y) - (x < y);
}

static void write_definitions(struct wire_out *out, const struct engine_state *state)
{
    size_t count = 0, kept = 0;
    const struct taken **all = mem_alloc((state->releases.count + 1) * sizeof(*all));
    if (state->current)
        all[count++] = state->current;
    for (size_t i = 0; i < state->releases.count; i++)
        all[count++] = state_release_at(state, i)->definition;
    qsort(all, count, sizeof(*all), by_number);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || all[i]->number != all[kept - 1]->number)
            all[kept++] = all[i];
    }
    wire_number(out, kept);
    for (size_t i = 0; i < kept; i++) {
        wire_number(out, all[i]->number);
        wire_number(out, all[i]->yaml_len);
        wire_bytes(out, all[i]->yaml, all[i]->yaml_len);
    }
    wire_number(out, state->current ? state->current->number : 0);
    free(all);
}

static void write_replaced(struct wire_out *out, const struct replaced *replaced)
{
    wire_number(out, replaced->count);
    for (size_t i = 0; i < replaced->count; i++) {
        wire_bytes(out, replaced->items[i].sha256, SHA256_SIZE);
        wire_signed(out, replaced->items[i].at_ms);
    }
}

static void write_ids(struct wire_out *out, const struct ids *ids)
{
    struct ids_item *items = ids_sorted(ids);
    wire_number(out, ids->count);
    wire_signed(out, ids->count ? ids->oldest_s : 0);
    for (size_t i = 0; i < ids->count; i++) {
        uint8_t bytes[8];
        for (size_t j = 0; j < sizeof(bytes); j++)
            bytes[j] = (uint8_t)(items[i].id >> (56 - 8 * j));
        wire_bytes(out, bytes, sizeof(bytes));
        wire_number(out, (uint64_t)(items[i].at_s - ids->oldest_s));
    }
    free(items);
}

static void write_people(struct wire_out *out, const struct people *people)
{
    wire_number(out, people->count);
    for (size_t i = 0; i < people->count; i++) {
        const struct people_entry *entry = people->items[i];
        wire_string(out, entry->source);
        wire_string(out, entry->ref);
        wire_number(out, entry->seen);
        wire_number(out, entry->complete);
        wire_number(out, entry->emails.count);
        for (size_t j = 0; j < entry->emails.count; j++)
            wire_string(out, entry->emails.items[j]);
    }
}

static void write_state(struct wire_out *out, const void *arg)
{
    const struct engine_state *state = arg;
    wire_string(out, state->pipeline->text);
    wire_number(out, state->sequence);
    wire_number(out, state->hashed);
    wire_bytes(out, state->hash, state->hashed ? SHA256_SIZE : 0);
    wire_signed(out, state->time_ms);
    wire_number(out, state->next_release);
    wire_number(out, state->next_seen);
    wire_number(out, state->next_arrival);
    wire_number(out, state->definitions);
    wire_number(out, state->deleted);
    write_definitions(out, state);
    write_replaced(out, state->replaced);
    write_ids(out, state->ids);
    write_people(out, state->people);
    write_parts(out, &state->heads, write_head);
    write_parts(out, &state->stages, write_stage);
    write_parts(out, &state->pasts, write_past);
    wire_number(out, state->releases.count);
    for (size_t i = 0; i < state->releases.count; i++)
        write_release(out, state, state->releases.items[i]);
    write_parts(out, &state->pins, write_fixed);
    write_parts(out, &state->deployed, write_deployed);
}

int engine_encode(const struct engine_state *state, struct buf *out, struct err *err)
{
    const uint8_t head[] = {STATE_MAGIC, STATE_VERSION};
    buf_add(out, head, sizeof(head));
    if (wire_write(out, write_state, state, err) != 0)
        return err_wrap(err, "state of pipeline '%s'", state->pipeline->text);
    return 0;
}
