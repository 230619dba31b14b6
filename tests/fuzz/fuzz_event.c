/* Any bytes as a record's value on any topic: the first byte picks the topic. What is accepted must
 * also clone, pack, become JSON and have a type. */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>

#include "events/event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    enum topic topic = (enum topic)(data[0] % TOPIC_COUNT);
    void *message, *copy;
    struct err err = {0};
    if (event_unpack(&message, topic, data + 1, size - 1, &err) != 0) {
        if (err.code == ERR_NONE || !*err.msg)
            abort();
        return 0;
    }
    copy = event_clone(message);
    if (!copy || event_check(topic, copy, &err) != 0 || !event_type_of(topic, copy))
        abort();
    char key[512];
    event_key_of(topic, copy, key, sizeof(key));
    json_decref(event_to_json(copy));
    event_free(copy);
    event_free(message);
    return 0;
}
