/* DESIGN: what commands keep in memory or on disk without a process or a path showing it: file
 * systems in memory that they mount (they are root of a namespace), memfd_create(2), System V and
 * anonymous shared memory, files that have no name any more. Where a control group limits memory
 * it counts all of that; this is for where there is none, and for the disk. Init may look into
 * every process: its user namespace owns theirs. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "sandbox/program.h"

#define SEEN_MAX 4096

/* Numbers that count once. */
struct seen {
    uint64_t items[SEEN_MAX];
    size_t count;
};

struct look {
    struct sampler_unseen *out;
    dev_t disk, shared_memory; /* devices of the build's folders, of memfd_create() */
    struct seen namespaces, file_systems, files;
};

static bool is_new(struct look *l, struct seen *seen, uint64_t item)
{
    for (size_t i = 0; i < seen->count; i++) {
        if (seen->items[i] == item)
            return false;
    }
    if (seen->count == SEEN_MAX) {
        l->out->unknown = "It has more file systems and files without a name than can be looked at";
        return false;
    }
    seen->items[seen->count++] = item;
    return true;
}

static void add_file_system(struct look *l, dev_t device, const char *path)
{
    struct statvfs fs;
    if (is_new(l, &l->file_systems, device) && statvfs(path, &fs) == 0)
        l->out->shared_bytes += (uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize;
}

/* "36 35 98:0 /root /mount/point options - type source options"; proc(5). Those of init are the
 * host's, which the commands can't write to, or bubblewrap's. */
static void add_mounts(struct look *l, const char *pid, bool are_ours)
{
    char path[4400], where[4096], *line = NULL;
    size_t size = 0;
    unsigned device[2];
    snprintf(path, sizeof(path), "/proc/%.20s/mountinfo", pid);
    FILE *file = fopen(path, "re");
    while (file && getline(&line, &size, file) > 0) {
        const char *type = strstr(line, " - ");
        if (!type || sscanf(line, "%*s %*s %u:%u %*s %4095s", &device[0], &device[1], where) != 3)
            continue;
        bool is_tmpfs = strncmp(type, " - tmpfs ", 9) == 0;
        snprintf(path, sizeof(path), "/proc/%.20s/root%s", pid, where);
        if (are_ours)
            (void)is_new(l, &l->file_systems, makedev(device[0], device[1]));
        else if (is_tmpfs)
            add_file_system(l, makedev(device[0], device[1]), path);
        else if (strncmp(type, " - ramfs ", 9) == 0 &&
                 is_new(l, &l->file_systems, makedev(device[0], device[1])))
            l->out->unknown = "It mounted a ramfs, whose memory can't be limited; use a tmpfs";
    }
    free(line);
    if (file)
        fclose(file);
}

static void add_namespace(struct look *l, const char *pid)
{
    char path[64];
    struct stat st;
    snprintf(path, sizeof(path), "/proc/%.20s/ns/mnt", pid);
    if (stat(path, &st) == 0 && is_new(l, &l->namespaces, st.st_ino))
        add_mounts(l, pid, false);
}

static void add_own_mounts(struct look *l)
{
    static const char *const writable[] = {"/dev/shm", "/run", "/home", "/var/cache"}; /* view.c */
    struct statfs fs;
    struct stat st;
    for (size_t i = 0; i < sizeof(writable) / sizeof(*writable); i++) {
        if (stat(writable[i], &st) == 0 && statfs(writable[i], &fs) == 0 &&
            fs.f_type == TMPFS_MAGIC)
            add_file_system(l, st.st_dev, writable[i]);
    }
    add_mounts(l, "self", true);
}

static void add_open_files(struct look *l, const char *pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        struct stat st;
        if (e->d_name[0] == '.' || fstatat(dirfd(dir), e->d_name, &st, 0) != 0 ||
            !S_ISREG(st.st_mode) || st.st_nlink != 0 ||
            (st.st_dev != l->disk && st.st_dev != l->shared_memory) ||
            !is_new(l, &l->files, st.st_ino))
            continue;
        *(st.st_dev == l->disk ? &l->out->disk_bytes : &l->out->shared_bytes) +=
            (uint64_t)st.st_blocks * 512;
    }
    if (dir)
        closedir(dir);
}

/* Of shared memory what one process has mapped: all of them together may have the same. */
static void add_mapped(const char *pid, uint64_t *most)
{
    char path[64], text[4096];
    unsigned long long kib;
    snprintf(path, sizeof(path), "/proc/%.20s/status", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    const char *at = strstr(text, "RssShmem:");
    if (at && sscanf(at, "RssShmem: %llu", &kib) == 1 && kib * 1024 > *most)
        *most = kib * 1024;
}

static void add_system_v(struct look *l)
{
    char *line = NULL;
    size_t size = 0;
    unsigned long long rss;
    FILE *file = fopen("/proc/sysvipc/shm", "re");
    while (file && getline(&line, &size, file) > 0) {
        if (sscanf(line, "%*d %*d %*o %*u %*d %*d %*u %*u %*u %*u %*u %*u %*u %*u %llu", &rss) == 1)
            l->out->shared_bytes += rss;
    }
    free(line);
    if (file)
        fclose(file);
}

void sampler_look_for_unseen(const char *folder, struct sampler_unseen *out)
{
    static struct look l;
    struct stat st;
    uint64_t most = 0;
    *out = (struct sampler_unseen){0};
    l = (struct look){.out = out};
    int fd = memfd_create("probe", MFD_CLOEXEC);
    l.shared_memory = fd >= 0 && fstat(fd, &st) == 0 ? st.st_dev : 0;
    if (fd >= 0)
        close(fd);
    l.disk = stat(folder, &st) == 0 ? st.st_dev : 0;
    add_own_mounts(&l);
    DIR *dir = opendir("/proc");
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (e->d_name[0] < '1' || e->d_name[0] > '9' || strcmp(e->d_name, "1") == 0)
            continue;
        add_namespace(&l, e->d_name);
        add_open_files(&l, e->d_name);
        add_mapped(e->d_name, &most);
    }
    if (dir)
        closedir(dir);
    add_system_v(&l);
    if (most > out->shared_bytes)
        out->shared_bytes = most;
}
