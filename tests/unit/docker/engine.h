/* A made-up engine behind a unix socket: answers each connection, of which it has one at a time,
 * with the bytes it was told, whatever they are. */
#ifndef GANTRY_TESTS_DOCKER_ENGINE_H
#define GANTRY_TESTS_DOCKER_ENGINE_H

#include "base/buf.h"
#include "loop/loop.h"

struct engine_answer {
    const char *asked; /* the beginning of a request */
    const char *reply;
};

struct engine {
    struct loop *loop;
    char path[64];
    int listener, connection; /* -1: none */
    struct loop_fd *accepting, *reading;
    const char *reply; /* once a request is there */
    size_t reply_len;
    const struct engine_answer *answers; /* those come first; ended by NULL; may be NULL */
    struct buf heads;                    /* the first line of each request */
    bool stays;                          /* else the connection is closed after the reply */
    bool answered;
    bool gone;        /* the client has closed the connection */
    struct buf asked; /* all that came on the last connection */
};

void engine_start(struct engine *engine, struct loop *loop);
void engine_say(struct engine *engine, const char *data, size_t len);
void engine_hang_up(struct engine *engine);
void engine_stop(struct engine *engine);

#endif
