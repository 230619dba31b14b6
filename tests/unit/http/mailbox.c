#include "mailbox.h"

#include <assert.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/str.h"

#define LIMIT (1024 * 1024)

static void say(struct mailbox *mailbox, const char *text)
{
    const ssize_t n = send(mailbox->fd, text, strlen(text), MSG_NOSIGNAL);
    (void)n;
}

static void answer(struct mailbox *mailbox, const char *line)
{
    if (mailbox->in_data) {
        if (strcmp(line, ".") != 0)
            return;
        mailbox->in_data = false;
        say(mailbox, "250 2.0.0 taken\r\n");
    } else if (str_starts(line, "EHLO")) {
        say(mailbox, "250 mailbox\r\n");
    } else if (str_starts(line, "RCPT") && mailbox->refuse_recipients) {
        say(mailbox, "550 5.1.1 nobody of that name here\r\n");
    } else if (str_starts(line, "DATA")) {
        mailbox->in_data = true;
        say(mailbox, "354 go on\r\n");
    } else if (str_starts(line, "QUIT")) {
        if (!mailbox->silent_at_quit)
            say(mailbox, "221 bye\r\n");
    } else {
        say(mailbox, "250 2.0.0 good\r\n");
    }
}

static void hang_up(struct mailbox *mailbox)
{
    loop_fd_free(mailbox->watch);
    mailbox->watch = NULL;
    if (mailbox->fd >= 0)
        close(mailbox->fd);
    mailbox->fd = -1;
}

static void on_ready(int what, void *arg)
{
    struct mailbox *mailbox = arg;
    char data[4096];

    (void)what;
    const ssize_t n = recv(mailbox->fd, data, sizeof(data), 0);
    if (n <= 0) {
        hang_up(mailbox);
        return;
    }
    buf_add(&mailbox->transcript, data, (size_t)n);
    buf_add(&mailbox->input, data, (size_t)n);
    for (char *end = strstr(mailbox->input.data, "\r\n"); end;
         end = strstr(buf_cstr(&mailbox->input), "\r\n")) {
        *end = '\0';
        answer(mailbox, mailbox->input.data);
        buf_consume(&mailbox->input, (size_t)(end - mailbox->input.data) + 2);
    }
}

static void on_connection(int what, void *arg)
{
    struct mailbox *mailbox = arg;

    (void)what;
    hang_up(mailbox);
    mailbox->fd = accept4(mailbox->listener, NULL, NULL, SOCK_CLOEXEC);
    mailbox->in_data = false;
    mailbox->watch = loop_fd_new(mailbox->loop, mailbox->fd, LOOP_READ, on_ready, mailbox);
    say(mailbox, "220 mailbox\r\n");
}

void mailbox_open(struct mailbox *mailbox, struct loop *loop)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);

    *mailbox = (struct mailbox){.loop = loop, .fd = -1};
    buf_init(&mailbox->input, LIMIT);
    buf_init(&mailbox->transcript, LIMIT);
    mailbox->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int rc = bind(mailbox->listener, (struct sockaddr *)&address, len) ||
                   listen(mailbox->listener, 5) ||
                   getsockname(mailbox->listener, (struct sockaddr *)&address, &len);
    assert(rc == 0);
    (void)rc;
    mailbox->port = ntohs(address.sin_port);
    mailbox->listen_watch = loop_fd_new(loop, mailbox->listener, LOOP_READ, on_connection, mailbox);
}

void mailbox_close(struct mailbox *mailbox)
{
    hang_up(mailbox);
    loop_fd_free(mailbox->listen_watch);
    close(mailbox->listener);
    buf_release(&mailbox->input);
    buf_release(&mailbox->transcript);
}
