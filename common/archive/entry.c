#include <archive.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/internal.h"
#include "base/mem.h"

int entry_refuse(const char *name, const char *why, struct err *err)
{
    char shown[200];
    size_t n = 0;
    for (const char *p = name ? name : "?"; *p && n < sizeof(shown) - 1; p++)
        shown[n++] = (unsigned char)*p < 0x20 || (unsigned char)*p > 0x7E ? '?' : *p;
    shown[n] = '\0';
    return err_set(err, ERR_INVALID, "the archive is refused: '%s': %s", shown, why);
}

int entry_unreadable(struct archive *archive, struct err *err)
{
    const char *said = archive_error_string(archive);
    return err_set(err, ERR_INVALID, "the archive cannot be read: %s",
                   said ? said : "it is damaged");
}

int entry_parent(int fd, const char *path, const char **last)
{
    for (const char *slash; fd >= 0 && (slash = strchr(path, '/')); path = slash + 1) {
        char *part = mem_strndup(path, (size_t)(slash - path));
        int next = mkdirat(fd, part, 0755) == 0 || errno == EEXIST
                       ? openat(fd, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                       : -1;
        int error = errno;
        free(part);
        close(fd);
        errno = error;
        fd = next;
    }
    *last = path;
    return fd;
}

int entry_write(struct entry_reader *reader, int fd, const char *name, struct err *err)
{
    for (;;) {
        la_ssize_t n = archive_read_data(reader->archive, reader->chunk, ENTRY_CHUNK);
        if (n == 0)
            return 0;
        if (n < 0)
            return entry_unreadable(reader->archive, err);
        if (reader->stop && *reader->stop)
            return err_set(err, ERR_CONFLICT, "it was stopped");
        if ((uint64_t)n > reader->bytes_max - reader->out->bytes)
            return err_set(err, ERR_LIMIT, "%s than %llu MiB", reader->too_large,
                           (unsigned long long)(reader->bytes_max >> 20));
        reader->out->bytes += (uint64_t)n;
        for (la_ssize_t at = 0; at < n;) {
            ssize_t w = write(fd, reader->chunk + at, (size_t)(n - at));
            if (w < 0 && errno != EINTR)
                return err_errno(err, errno, "cannot write '%.300s'", name);
            at += w > 0 ? w : 0;
        }
    }
}
