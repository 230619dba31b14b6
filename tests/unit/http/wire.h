/* A client that speaks in bytes, on the loop of the server under test. */
#ifndef GANTRY_TESTS_HTTP_WIRE_H
#define GANTRY_TESTS_HTTP_WIRE_H

#include "base/buf.h"
#include "loop/loop.h"

struct wire {
    struct loop *loop;
    int fd;
    struct loop_fd *watch;
    struct buf received;
    bool closed; /* by the server */
};

void wire_open(struct wire *wire, struct loop *loop, int port);
void wire_close(struct wire *wire);
void wire_send(struct wire *wire, const char *text);
void wire_send_bytes(struct wire *wire, const void *data, size_t len);
/* Runs the loop until the server closed, or for `ms`. */
bool wire_wait_closed(struct wire *wire, int64_t ms);
/* Runs the loop until `text` was received. */
bool wire_wait_for(struct wire *wire, const char *text);

#endif
