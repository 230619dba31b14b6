/* A folder as a build leaves it, made and looked at by these tests. */
#ifndef GANTRY_TESTS_ARCHIVE_PLACE_H
#define GANTRY_TESTS_ARCHIVE_PLACE_H

#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/archive.h"
#include "base/file.h"
#include "base/mem.h"
#include "buildspec/files.h"

static char place_dir[64];

static const struct archive_mount place_mounts[] = {
    {"", "build/src"}, {"/home/build", "build"}, {"/root", "home"}};
static const struct archive_tree place_tree = {
    .dir = place_dir, .mounts = place_mounts, .mount_count = 3};

static inline char *place_path(const char *below)
{
    return mem_printf("%s/%s", place_dir, below);
}

static inline void place_folder(const char *below)
{
    char *path = place_path(below);
    assert_int_equal(file_mkdirs(path, 0755, NULL), 0);
    free(path);
}

static inline int place_make(void **state)
{
    (void)state;
    snprintf(place_dir, sizeof(place_dir), "/tmp/gantry-archive-XXXXXX");
    assert_non_null(mkdtemp(place_dir));
    place_folder("build/src");
    place_folder("home");
    return 0;
}

static inline int place_remove(void **state)
{
    (void)state;
    return file_remove_tree(place_dir, NULL);
}

/* Folders above it are made. */
static inline void place_file(const char *below, const char *text, mode_t mode)
{
    char *path = place_path(below);
    char *slash = strrchr(path, '/');
    *slash = '\0';
    assert_int_equal(file_mkdirs(path, 0755, NULL), 0);
    *slash = '/';
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
    free(path);
}

static inline void place_link(const char *below, const char *target)
{
    char *path = place_path(below);
    assert_int_equal(symlink(target, path), 0);
    free(path);
}

/* "file:mode:text", "link:target" or "none" of what is there; the caller frees. */
static inline char *place_look(const char *below)
{
    char *path = place_path(below);
    char target[256] = "";
    struct stat st;
    struct buf text;
    char *out;
    if (lstat(path, &st) != 0) {
        out = mem_strdup("none");
    } else if (S_ISLNK(st.st_mode)) {
        assert_true(readlink(path, target, sizeof(target) - 1) > 0);
        out = mem_printf("link:%s", target);
    } else {
        assert_int_equal(file_read(&text, path, 1 << 20, NULL), 0);
        out = mem_printf("file:%o:%s", st.st_mode & 0777, buf_cstr(&text));
        buf_release(&text);
    }
    free(path);
    return out;
}

#define assert_place(below, wanted)                                                                \
    do {                                                                                           \
        char *seen = place_look(below);                                                            \
        assert_string_equal(seen, wanted);                                                         \
        free(seen);                                                                                \
    } while (0)

/* A new empty file that goes by itself. */
static inline int place_zip(void)
{
    int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

#endif
