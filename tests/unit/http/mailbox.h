/* A mail server of one conversation a connection, on the loop: enough of RFC 5321 for a client. */
#ifndef GANTRY_TESTS_HTTP_MAILBOX_H
#define GANTRY_TESTS_HTTP_MAILBOX_H

#include "base/buf.h"
#include "loop/loop.h"

struct mailbox {
    struct loop *loop;
    int listener, fd;
    struct loop_fd *listen_watch, *watch;
    int port;
    bool in_data;
    bool refuse_recipients;
    bool silent_at_quit;
    struct buf input;
    struct buf transcript; /* all that the client said */
};

void mailbox_open(struct mailbox *mailbox, struct loop *loop);
void mailbox_close(struct mailbox *mailbox);

#endif
