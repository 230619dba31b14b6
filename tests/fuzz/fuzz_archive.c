/* Any bytes as a zip archive: whatever it says, nothing is written outside of the folder, and no
 * more than the limits allow. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/archive.h"
#include "base/file.h"

static char dir[64];

static void clean(void)
{
    (void)file_remove_tree(dir, NULL);
}

static void make(const char *below)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", dir, below);
    if (mkdir(path, 0755) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct archive_mount mounts[] = {{"", "src"}, {"/root", "home"}};
    const struct archive_tree tree = {.dir = dir, .mounts = mounts, .mount_count = 2};
    const struct archive_limits limits = {.entries = 20, .bytes = 64 * 1024};
    struct archive_unpacked out;
    struct err err;
    if (!dir[0]) {
        snprintf(dir, sizeof(dir), "/tmp/fuzz-archive-XXXXXX");
        if (!mkdtemp(dir))
            abort();
        make("src");
        make("home");
        atexit(clean);
    }
    int fd = memfd_create("zip", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    for (int whole = 0; whole < 2; whole++) {
        const struct archive_unpack conf = {.tree = &tree, .whole = whole, .limits = limits};
        int rc = archive_unpack(&conf, fd, &out, &err);
        if (out.bytes > limits.bytes || out.files > limits.entries || (rc < 0 && !err.msg[0]))
            abort();
        if (out.files) {
            clean();
            if (mkdir(dir, 0700) != 0)
                abort();
            make("src");
            make("home");
        }
    }
    close(fd);
    return 0;
}
