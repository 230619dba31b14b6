#include "sandbox/program.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define WALK_SHARE 20  /* of the time at most one part in so many goes into walking folders */
#define DEPTH_MAX  400 /* each has a descriptor open */

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

/* UINT64_MAX: it is deeper than can be looked at. */
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
        if (!S_ISDIR(st.st_mode))
            continue;
        int sub = openat(dirfd(dir), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        uint64_t below = sub < 0 ? 0 : depth >= DEPTH_MAX ? UINT64_MAX : size_below(sub, depth + 1);
        if (sub >= 0 && depth >= DEPTH_MAX)
            close(sub);
        sum = below == UINT64_MAX ? below : sum + below;
        if (sum == UINT64_MAX)
            break;
    }
    closedir(dir);
    return sum;
}

uint64_t program_tree_bytes(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? 0 : size_below(fd, 0);
}

static uint64_t disk_use(const struct sampler *s)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < s->folder_count; i++) {
        uint64_t below = program_tree_bytes(s->folders[i]);
        if (below == UINT64_MAX)
            return below;
        sum += below;
    }
    return sum;
}

static int passed(char *reason, size_t size, const char *what, uint64_t mib, uint64_t limit_mib)
{
    snprintf(reason, size, "It used %llu MiB of %s; the limit is %llu MiB", (unsigned long long)mib,
             what, (unsigned long long)limit_mib);
    return 1;
}

/* What takes long to look at. */
static int walk(struct sampler *s, int64_t now, char *reason, size_t size)
{
    const uint64_t mib = 1024 * 1024;
    uint64_t used = s->disk_bytes ? disk_use(s) : 0;
    sampler_look_for_unseen(s->folder_count ? s->folders[0] : "/", &s->unseen);
    s->next_walk_ms = clock_ms() + (clock_ms() - now) * WALK_SHARE;
    if (s->memory_bytes && s->unseen.unknown) {
        snprintf(reason, size, "%s", s->unseen.unknown);
        return 1;
    }
    if (used == UINT64_MAX) {
        snprintf(reason, size, "It has folders more than %d deep, whose size is not looked at",
                 DEPTH_MAX);
        return 1;
    }
    used += s->unseen.disk_bytes;
    if (s->disk_bytes && used > s->disk_bytes)
        return passed(reason, size, "disk", used / mib, s->disk_bytes / mib);
    return 0;
}

int sampler_look(struct sampler *s, int64_t now, char *reason, size_t size)
{
    const uint64_t mib = 1024 * 1024;
    struct statvfs fs;
    uint64_t count, memory;
    processes(&count, &memory);
    memory += s->unseen.shared_bytes;
    if (memory > s->peak_bytes)
        s->peak_bytes = memory;
    if (s->memory_bytes && memory > s->memory_bytes)
        return passed(reason, size, "memory", memory / mib, s->memory_bytes / mib);
    if (s->processes && count > s->processes) {
        snprintf(reason, size, "It had %llu processes; the limit is %llu",
                 (unsigned long long)count, (unsigned long long)s->processes);
        return 1;
    }
    if (s->free_bytes && s->folder_count && statvfs(s->folders[0], &fs) == 0 &&
        (uint64_t)fs.f_bavail * fs.f_frsize < s->free_bytes) {
        snprintf(reason, size, "The builder's disk has less than %llu MiB left",
                 (unsigned long long)(s->free_bytes / mib));
        return 1;
    }
    if ((s->disk_bytes || s->memory_bytes) && now >= s->next_walk_ms)
        return walk(s, now, reason, size);
    return 0;
}

/* Its own time and that of its children that were waited for, in clock ticks (proc(5), stat). */
static uint64_t ticks_of(const char *pid)
{
    char path[64], text[1024];
    unsigned long long user, system;
    long long child_user, child_system;
    snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    const char *rest = strrchr(text, ')'); /* a name can have blanks and brackets in it */
    if (!rest ||
        sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %lld %lld", &user,
               &system, &child_user, &child_system) != 4)
        return 0;
    return user + system + (uint64_t)child_user + (uint64_t)child_system;
}

uint64_t sampler_cpu_ms(void)
{
    uint64_t ticks = 0, per_second = (uint64_t)sysconf(_SC_CLK_TCK);
    struct rusage ended;
    DIR *dir = opendir("/proc");
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && strcmp(e->d_name, "1") != 0)
            ticks += ticks_of(e->d_name);
    }
    if (dir)
        closedir(dir);
    getrusage(RUSAGE_CHILDREN, &ended);
    return ticks * 1000 / per_second +
           (uint64_t)(ended.ru_utime.tv_sec + ended.ru_stime.tv_sec) * 1000 +
           (uint64_t)(ended.ru_utime.tv_usec + ended.ru_stime.tv_usec) / 1000;
}
