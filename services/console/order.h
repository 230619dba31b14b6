/* A command that is being made: what every call about a pipeline has in common. A function that
 * returns false has answered the call. */
#ifndef GANTRY_CONSOLE_ORDER_H
#define GANTRY_CONSOLE_ORDER_H

#include <jansson.h>

#include "base/sha256.h"
#include "gantry/v1/command.pb-c.h"
#include "services/console/console.h"

#define ORDER_REASON_MAX 2000

struct order {
    Gantry__V1__Command command;
    Gantry__V1__Actor caller;
    struct wait wait;
    uint8_t sha256[SHA256_SIZE];
};

/* The pipeline's name out of the path, its newest definition, who asks, and the id. */
bool order_begin(struct call *call, struct order *order, const char *what);
/* The release out of the path, which must be known. */
bool order_release(struct call *call, struct order *order);
void order_send(struct call *call, struct order *order);

/* Answers 422 for one member of the body. */
void order_refuse(struct call *call, const char *path, const char *reason);
/* The body as an object with no other members than those named (comma-separated); an empty body is
 * an empty object. */
bool order_body(struct call *call, const char *members, json_t **out);
/* A member that is a string of at most `max` bytes; *out is "" where it is absent. */
bool order_text(struct call *call, json_t *body, const char *key, size_t max, const char **out);
/* The same of an object inside the body; `at` is what stands before its members' names in a
 * refusal: "revisions[1].". */
bool order_members(struct call *call, json_t *object, const char *at, const char *members);
bool order_text_at(struct call *call, json_t *object, const char *at, const char *key, size_t max,
                   const char **out);

#endif
