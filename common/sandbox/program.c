#include "sandbox/program.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void program_failed(struct wire_packet *packet, int error, const char *what)
{
    char text[512];
    if (error)
        snprintf(text, sizeof(text), "%s: %s", what, strerror(error));
    else
        snprintf(text, sizeof(text), "%s", what);
    wire_packet_begin(packet, WIRE_FAILED, 0);
    packet->header.value = error;
    (void)wire_add(packet, text);
    (void)wire_send(WIRE_FD, packet, 0);
}

/* A tree can be deeper than descriptors or stack allow: what lies too deep is moved up to the top
 * first, then the top is gone through again. */
#define DEPTH_MAX 100

struct removal {
    int top; /* -1: not opened yet */
    unsigned moved;
    int error; /* the first */
};

static void remove_entry(struct removal *r, int parent, const char *name, unsigned depth);

static void failed(struct removal *r)
{
    if (!r->error && errno != ENOENT)
        r->error = errno;
}

/* Goes on after a failure, so that as much as possible goes. */
static void remove_entries(struct removal *r, int fd, unsigned depth)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir) {
        failed(r);
        return;
    }
    rewinddir(dir); /* the copy shares its position with what was read before */
    for (struct dirent *e; (e = readdir(dir));) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            remove_entry(r, fd, e->d_name, depth);
    }
    closedir(dir);
}

static int open_folder(int parent, const char *name)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(parent, name, flags);
    if (fd < 0 && errno == EACCES && fchmodat(parent, name, 0700, 0) == 0)
        fd = openat(parent, name, flags);
    return fd;
}

static void remove_entry(struct removal *r, int parent, const char *name, unsigned depth)
{
    if (unlinkat(parent, name, 0) == 0)
        return;
    if (errno != EISDIR && errno != EPERM) {
        failed(r);
        return;
    }
    if (depth >= DEPTH_MAX) {
        char up[32];
        snprintf(up, sizeof(up), ".deep-%u", r->moved);
        if (renameat(parent, name, r->top, up) != 0)
            failed(r);
        else
            r->moved++;
        return;
    }
    int fd = open_folder(parent, name);
    if (fd < 0) {
        failed(r);
        return;
    }
    bool top = r->top < 0;
    unsigned moved = 0;
    if (top)
        r->top = fd;
    do {
        moved = r->moved;
        remove_entries(r, fd, depth + 1);
    } while (top && r->moved > moved);
    close(fd);
    if (unlinkat(parent, name, AT_REMOVEDIR) != 0)
        failed(r);
}

int program_remove_tree(const char *path)
{
    struct removal r = {.top = -1};
    remove_entry(&r, AT_FDCWD, path, 0);
    return r.error;
}

int main(int argc, char **argv)
{
    if (argc == 2)
        close_range(WIRE_FD + 1, ~0u, 0);
    if (argc == 2 && strcmp(argv[1], "launch") == 0)
        return launcher_main();
    if (argc == 2 && strcmp(argv[1], "init") == 0)
        return init_main();
    fputs("gantry-sandbox is started by gantry-builder; there is nothing to do with it by hand\n",
          stderr);
    return 2;
}
