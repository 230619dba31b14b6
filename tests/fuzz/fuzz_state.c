/* Any bytes as a pipeline's state: refused with a reason, or read, and then it encodes to bytes
 * that read and encode to the same, and an input can be stepped on it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "gantry/v1/decision.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode(const struct engine_state *state, struct buf *out)
{
    struct err err = {0};
    buf_init(out, 16 * 1024 * 1024);
    if (engine_encode(state, out, &err) != 0)
        abort();
}

/* The clock at its latest: whatever a state holds comes due. A state that no history gave may lead
 * to an error, never further. */
static void step(const struct engine_state *state)
{
    const struct engine_input input = {.kind = ENGINE_CLOCK};
    Gantry__V1__Decision decision = GANTRY__V1__DECISION__INIT;
    struct err err = {0};
    if (engine_step(state, &input, 1, INT64_MAX / 4, &decision, NULL, &err) > 0)
        engine_changes_free(&decision);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct engine_state *state, *again;
    struct buf first, second;
    struct err err = {0};
    if (engine_decode(&state, data, size, &err) != 0) {
        if (!*err.msg)
            abort();
        return 0;
    }
    encode(state, &first);
    if (engine_decode(&again, first.data, first.len, &err) != 0)
        abort();
    encode(again, &second);
    if (first.len != second.len || memcmp(first.data, second.data, first.len) != 0)
        abort();
    step(state);
    buf_release(&first);
    buf_release(&second);
    engine_state_free(state);
    engine_state_free(again);
    return 0;
}
