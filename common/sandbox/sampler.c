#include "sandbox/program.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define WALK_SHARE 20 /* of the time at most one part in so many goes into walking folders */
#define DEPTH_MAX  64

static int64_t clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Anonymous memory of one process: resident less shared (proc(5), statm). */
static uint64_t memory_of(const char *pid, uint64_t page)
{
    char path[64], text[128];
    unsigned long long size, resident, shared;
    snprintf(path, sizeof(path), "/proc/%.20s/statm", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    if (sscanf(text, "%llu %llu %llu", &size, &resident, &shared) != 3 || shared > resident)
        return 0;
    return (resident - shared) * page;
}

static void processes(uint64_t *count, uint64_t *memory)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    DIR *dir = opendir("/proc");
    *count = *memory = 0;
    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] < '1' || e->d_name[0] > '9' || strcmp(e->d_name, "1") == 0)
            continue;
        ++*count;
        *memory += memory_of(e->d_name, page);
    }
    closedir(dir);
}

static uint64_t size_below(int fd, unsigned depth)
{
    uint64_t sum = 0;
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return 0;
    }
    for (struct dirent *e; (e = readdir(dir));) {
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        sum += (uint64_t)st.st_blocks * 512;
        if (!S_ISDIR(st.st_mode) || depth >= DEPTH_MAX)
            continue;
        int sub = openat(dirfd(dir), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (sub >= 0)
            sum += size_below(sub, depth + 1);
    }
    closedir(dir);
    return sum;
}

static uint64_t disk_use(const struct sampler *s)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < s->folder_count; i++) {
        int fd = open(s->folders[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0)
            sum += size_below(fd, 0);
    }
    return sum;
}

static int passed(char *reason, size_t size, const char *what, uint64_t mib, uint64_t limit_mib)
{
    snprintf(reason, size, "It used %llu MiB of %s; the limit is %llu MiB", (unsigned long long)mib,
             what, (unsigned long long)limit_mib);
    return 1;
}

int sampler_look(struct sampler *s, int64_t now, char *reason, size_t size)
{
    const uint64_t mib = 1024 * 1024;
    struct statvfs fs;
    if (s->memory_bytes || s->processes) {
        uint64_t count, memory;
        processes(&count, &memory);
        if (s->memory_bytes && memory > s->memory_bytes)
            return passed(reason, size, "memory", memory / mib, s->memory_bytes / mib);
        if (s->processes && count > s->processes) {
            snprintf(reason, size, "It had %llu processes; the limit is %llu",
                     (unsigned long long)count, (unsigned long long)s->processes);
            return 1;
        }
    }
    if (s->free_bytes && s->folder_count && statvfs(s->folders[0], &fs) == 0 &&
        (uint64_t)fs.f_bavail * fs.f_frsize < s->free_bytes) {
        snprintf(reason, size, "The builder's disk has less than %llu MiB left",
                 (unsigned long long)(s->free_bytes / mib));
        return 1;
    }
    if (s->disk_bytes && now >= s->next_walk_ms) {
        uint64_t used = disk_use(s);
        s->next_walk_ms = clock_ms() + (clock_ms() - now) * WALK_SHARE;
        if (used > s->disk_bytes)
            return passed(reason, size, "disk", used / mib, s->disk_bytes / mib);
    }
    return 0;
}
