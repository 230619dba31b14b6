/* What the sandbox library and its program (gantry-sandbox) say to each other: packets of one
 * header and strings, each ended by NUL, over SOCK_SEQPACKET. Descriptors travel with a packet.
 *
 * library <-> launcher (one for a pool)
 *   CONFIG  strings: bwrap, newuidmap's arguments, newgidmap's    -> READY or FAILED
 *   MAKE    id; a: count of cgroup.procs files; strings: those, then bwrap's argv;
 *           descriptors: the sandbox's socket, where errors go    -> later EXITED
 *   KILL    id
 *   REMOVE  id; string: an absolute path                           -> REMOVED, value: 0 or errno
 *   MEASURE id; string: an absolute path                           -> MEASURED, a: bytes on disk
 *
 * library <-> init (the first process of a sandbox)
 *                                                                  -> READY or FAILED
 *   EXEC    a: argc; strings: working folder, argv, environment; value: RLIMIT_NPROC (0: none);
 *           descriptors: output, control, status                   -> EXITED, value: wait status
 *   WATCH   a: memory, b: disk, c: least free disk (bytes), d: processes; 0: none
 *           strings: folders that count as disk                    -> LIMIT, string: the reason
 *   SIGNAL  value: the signal, to every process but init           -> GONE once none is left
 *   USAGE                                                          -> USAGE, a: CPU in ms, b: the
 *           most memory at once in bytes, both of all processes so far
 * Closing the socket ends the sandbox: init exits, and with it every process of its pid namespace.
 */
#ifndef GANTRY_SANDBOX_WIRE_H
#define GANTRY_SANDBOX_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define WIRE_MAX     (176 * 1024) /* below the default of net.core.wmem_max */
#define WIRE_FDS_MAX 4
#define WIRE_FD      3 /* where a program finds its socket */

enum wire_type {
    WIRE_CONFIG = 1,
    WIRE_READY,
    WIRE_FAILED,
    WIRE_MAKE,
    WIRE_KILL,
    WIRE_EXITED,
    WIRE_REMOVE,
    WIRE_REMOVED,
    WIRE_EXEC,
    WIRE_WATCH,
    WIRE_LIMIT,
    WIRE_SIGNAL,
    WIRE_GONE,
    WIRE_USAGE,
    WIRE_MEASURE,
    WIRE_MEASURED
};

struct wire_header {
    uint32_t type;
    uint32_t id;
    int64_t value;
    uint64_t a, b, c, d;
};

/* One packet: its header is at the front of `data`, its strings follow. */
struct wire_packet {
    struct wire_header header;
    char text[WIRE_MAX];
    size_t text_len;
    int fds[WIRE_FDS_MAX]; /* received ones are close-on-exec; the receiver closes them */
    size_t fd_count;
};

void wire_packet_begin(struct wire_packet *packet, enum wire_type type, uint32_t id);
/* 0, or -1 when it does not fit (errno E2BIG). */
int wire_add(struct wire_packet *packet, const char *s);
void wire_add_fd(struct wire_packet *packet, int fd);
/* 0 or -1 with errno; flags as for sendmsg(). */
int wire_send(int sock, const struct wire_packet *packet, int flags);
/* 1: a packet; 0: the other side is gone; -1: errno. The text always ends with NUL. */
int wire_receive(int sock, struct wire_packet *packet, int flags);
void wire_close_fds(struct wire_packet *packet);

/* Goes through the strings: *at begins at 0; NULL at the end. */
const char *wire_next(const struct wire_packet *packet, size_t *at);

#endif
