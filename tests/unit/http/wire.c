#include "wire.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define WAIT_MS 10000

static void on_ready(int what, void *arg)
{
    struct wire *wire = arg;
    char data[16384];

    (void)what;
    const ssize_t n = recv(wire->fd, data, sizeof(data), MSG_DONTWAIT);
    if (n > 0) {
        buf_add(&wire->received, data, (size_t)n);
    } else if (n == 0 || errno != EAGAIN) {
        wire->closed = true;
        loop_fd_watch(wire->watch, 0);
    }
}

void wire_open(struct wire *wire, struct loop *loop, int port)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    *wire = (struct wire){.loop = loop, .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    buf_init(&wire->received, 64 * 1024 * 1024);
    const int rc = connect(wire->fd, (const struct sockaddr *)&address, sizeof(address));
    assert(rc == 0);
    (void)rc;
    wire->watch = loop_fd_new(loop, wire->fd, LOOP_READ, on_ready, wire);
}

void wire_close(struct wire *wire)
{
    loop_fd_free(wire->watch);
    close(wire->fd);
    buf_release(&wire->received);
}

void wire_send_bytes(struct wire *wire, const void *data, size_t len)
{
    while (len > 0 && !wire->closed) {
        const ssize_t n = send(wire->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            data = (const char *)data + n;
            len -= (size_t)n;
        } else if (errno != EAGAIN) {
            return;
        }
        loop_run_for(wire->loop, n > 0 ? 0 : 1, NULL);
    }
}

void wire_send(struct wire *wire, const char *text)
{
    wire_send_bytes(wire, text, strlen(text));
}

bool wire_wait_closed(struct wire *wire, int64_t ms)
{
    const int64_t end = clock_mono_ms() + ms;

    while (!wire->closed && clock_mono_ms() < end)
        loop_run_for(wire->loop, 5, &wire->closed);
    return wire->closed;
}

bool wire_wait_for(struct wire *wire, const char *text)
{
    const int64_t end = clock_mono_ms() + WAIT_MS;

    while (!strstr(buf_cstr(&wire->received), text) && clock_mono_ms() < end && !wire->closed)
        loop_run_for(wire->loop, 2, NULL);
    return strstr(buf_cstr(&wire->received), text) != NULL;
}
