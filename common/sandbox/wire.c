#include "sandbox/wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void wire_packet_begin(struct wire_packet *packet, enum wire_type type, uint32_t id)
{
    packet->header = (struct wire_header){.type = type, .id = id};
    packet->text_len = 0;
    packet->fd_count = 0;
}

int wire_add(struct wire_packet *packet, const char *s)
{
    size_t len = strlen(s) + 1;
    if (len > sizeof(packet->text) - 1 - packet->text_len) {
        errno = E2BIG;
        return -1;
    }
    memcpy(packet->text + packet->text_len, s, len);
    packet->text_len += len;
    return 0;
}

void wire_add_fd(struct wire_packet *packet, int fd)
{
    if (packet->fd_count < WIRE_FDS_MAX)
        packet->fds[packet->fd_count++] = fd;
}

int wire_send(int sock, const struct wire_packet *packet, int flags)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(WIRE_FDS_MAX * sizeof(int))];
    } control = {0};
    struct iovec iov[2] = {{(void *)&packet->header, sizeof(packet->header)},
                           {(void *)packet->text, packet->text_len}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
    if (packet->fd_count) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(packet->fd_count * sizeof(int));
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(packet->fd_count * sizeof(int));
        memcpy(CMSG_DATA(cmsg), packet->fds, packet->fd_count * sizeof(int));
    }
    ssize_t n;
    do {
        n = sendmsg(sock, &msg, flags | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -1 : 0;
}

static void take_fds(struct wire_packet *packet, struct msghdr *msg)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        packet->fd_count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(packet->fds, CMSG_DATA(c), packet->fd_count * sizeof(int));
    }
}

int wire_receive(int sock, struct wire_packet *packet, int flags)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(WIRE_FDS_MAX * sizeof(int))];
    } control;
    struct iovec iov[2] = {{&packet->header, sizeof(packet->header)},
                           {packet->text, sizeof(packet->text) - 1}};
    struct msghdr msg = {.msg_iov = iov,
                         .msg_iovlen = 2,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof(control.bytes)};
    ssize_t n;
    packet->fd_count = 0;
    do {
        n = recvmsg(sock, &msg, flags | MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n <= 0)
        return (int)n;
    take_fds(packet, &msg);
    if ((size_t)n < sizeof(packet->header) || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        wire_close_fds(packet);
        errno = EBADMSG;
        return -1;
    }
    packet->text_len = (size_t)n - sizeof(packet->header);
    packet->text[packet->text_len] = '\0';
    return 1;
}

void wire_close_fds(struct wire_packet *packet)
{
    for (size_t i = 0; i < packet->fd_count; i++)
        close(packet->fds[i]);
    packet->fd_count = 0;
}

const char *wire_next(const struct wire_packet *packet, size_t *at)
{
    if (*at >= packet->text_len)
        return NULL;
    const char *s = packet->text + *at;
    *at += strlen(s) + 1;
    return s;
}
