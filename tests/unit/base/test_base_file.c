#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/unit/unit.h"

static int make_folder(void **state)
{
    char *folder = mem_strdup("/tmp/gantry-test-file-XXXXXX");

    *state = mkdtemp(folder);
    return *state ? 0 : -1;
}

static int remove_folder(void **state)
{
    int ret = file_remove_tree(*state, NULL);

    free(*state);
    return ret;
}

static void what_was_written_is_read(void **state)
{
    char *path = mem_printf("%s/file", (char *)*state);
    struct err err = {0};
    struct stat st;
    struct buf buf;

    assert_int_equal(file_write(path, "old", 3, 0600, &err), 0);
    assert_int_equal(file_write(path, "new\0er", 6, 0640, &err), 0);
    assert_int_equal(file_read(&buf, path, 6, &err), 0);
    assert_int_equal(buf.len, 6);
    assert_memory_equal(buf.data, "new\0er", 6);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    buf_release(&buf);
    free(path);
}

static void a_folder_is_ones_own_and_those_above_it_let_others_through(void **state)
{
    static const struct {
        const char *path;
        mode_t mode;
    } wanted[] = {{"/a", 0711}, {"/a/b", 0711}, {"/a/b/c", 0700}};
    char *path = mem_printf("%s/a//b/c/", (char *)*state);
    struct err err = {0};
    struct stat st;

    assert_int_equal(file_mkdirs(path, 0700, &err), 0);
    free(path);
    for (size_t i = 0; i < 3; i++) {
        path = mem_printf("%s%s", (char *)*state, wanted[i].path);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, wanted[i].mode);
        free(path);
    }
}

static void a_folder_is_marked_where_its_file_system_has_such_a_mark(void **state)
{
    struct statfs fs;
    int before = 0, after = 0;

    const int fd = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstatfs(fd, &fs), 0);
    ioctl(fd, FS_IOC_GETFLAGS, &before);
    file_spread(*state);
    ioctl(fd, FS_IOC_GETFLAGS, &after);
    assert_int_equal(after & ~FS_TOPDIR_FL, before & ~FS_TOPDIR_FL);
    if (fs.f_type == EXT4_SUPER_MAGIC)
        assert_true(after & FS_TOPDIR_FL);
    file_spread("/nonexistent");
    close(fd);
}

static void a_file_larger_than_the_limit_is_refused(void **state)
{
    char *path = mem_printf("%s/file", (char *)*state);
    struct err err = {0};
    struct buf buf;

    assert_int_equal(file_write(path, "12345", 5, 0600, &err), 0);
    assert_int_equal(file_read(&buf, path, 4, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    assert_null(buf.data);
    assert_int_equal(file_read_beneath(&buf, *state, "file", 4, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    assert_string_equal(err.msg, "'file' is larger than the limit of 4 bytes");
    assert_null(buf.data);
    free(path);
}

static void a_missing_file_is_not_found_and_the_message_names_it(void **state)
{
    char *path = mem_printf("%s/none", (char *)*state);
    struct err err = {0};
    struct buf buf;

    assert_int_equal(file_read(&buf, path, 10, &err), -1);
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(err.msg, path));
    buf_release(&buf);
    free(path);
}

/* A pipe without a writer would block for ever. */
static void what_is_not_a_regular_file_is_refused(void **state)
{
    char *path = mem_printf("%s/pipe", (char *)*state);
    struct err err = {0};
    struct buf buf;

    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(file_read(&buf, path, 10, &err), -1);
    assert_int_equal(err.code, ERR_INVALID);
    buf_release(&buf);
    assert_int_equal(file_read(&buf, *state, 10, &err), -1);
    assert_int_equal(err.code, ERR_INVALID);
    buf_release(&buf);
    free(path);
}

static void a_failed_write_leaves_the_old_file_and_no_other(void **state)
{
    char *path = mem_printf("%s/taken", (char *)*state);
    char *inside = mem_printf("%s/taken/x", (char *)*state);
    struct err err = {0};

    assert_int_equal(file_mkdirs(inside, 0700, &err), 0);
    assert_int_equal(file_write(path, "x", 1, 0600, &err), -1);
    assert_int_equal(rmdir(inside), 0);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(*state), 0);
    assert_int_equal(mkdir(*state, 0700), 0);
    free(inside);
    free(path);
}

static void folders_are_made_with_those_above_them(void **state)
{
    char *path = mem_printf("%s/a//b/c/", (char *)*state);
    char *file = mem_printf("%s/a/f", (char *)*state);
    char *below = mem_printf("%s/a/f/x", (char *)*state);
    struct err err = {0};
    struct stat st;

    assert_int_equal(file_mkdirs(path, 0700, &err), 0);
    assert_int_equal(file_mkdirs(path, 0700, &err), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(file_write(file, "", 0, 0600, &err), 0);
    assert_int_equal(file_mkdirs(file, 0700, &err), -1);
    assert_int_equal(file_mkdirs(below, 0700, &err), -1);
    free(below);
    free(file);
    free(path);
}

static void a_tree_goes_and_what_its_links_point_to_stays(void **state)
{
    char *tree = mem_printf("%s/tree", (char *)*state);
    char *deep = mem_printf("%s/tree/a/b/c", (char *)*state);
    char *closed = mem_printf("%s/tree/closed/in", (char *)*state);
    char *kept = mem_printf("%s/kept", (char *)*state);
    char *kept_file = mem_printf("%s/kept/f", (char *)*state);
    char *link = mem_printf("%s/tree/a/link", (char *)*state);
    struct err err = {0};
    struct stat st;

    file_mkdirs(deep, 0700, &err);
    file_mkdirs(closed, 0700, &err);
    file_mkdirs(kept, 0700, &err);
    assert_int_equal(file_write(kept_file, "x", 1, 0600, &err), 0);
    assert_int_equal(symlink(kept, link), 0);
    assert_int_equal(chmod(closed, 0500), 0);
    *strrchr(closed, '/') = '\0';
    assert_int_equal(chmod(closed, 0), 0);
    assert_int_equal(file_remove_tree(tree, &err), 0);
    assert_int_equal(lstat(tree, &st), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(stat(kept_file, &st), 0);
    assert_int_equal(file_remove_tree(tree, &err), 0);
    free(link);
    free(kept_file);
    free(kept);
    free(closed);
    free(deep);
    free(tree);
}

/* Deeper than a path can be and than there are descriptors. */
static void a_bottomless_tree_is_removed(void **state)
{
    char *tree = mem_printf("%s/deep", (char *)*state);
    struct err err = {0};
    struct stat st;
    int fd;

    assert_int_equal(mkdir(tree, 0700), 0);
    fd = open(tree, O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < 3000; i++) {
        int next;

        assert_int_equal(mkdirat(fd, "long-folder-name", 0700), 0);
        assert_int_equal(symlinkat("/etc", fd, "link"), 0);
        next = openat(fd, "long-folder-name", O_RDONLY | O_DIRECTORY);
        close(fd);
        fd = next;
    }
    close(fd);
    assert_int_equal(file_remove_tree(tree, &err), 0);
    assert_int_equal(lstat(tree, &st), -1);
    free(tree);
}

static void what_is_removed_beneath_a_folder_is_reached_through_no_link(void **state)
{
    const char *folder = *state;
    char *outside = mem_printf("%s/outside", folder);
    char *kept = mem_printf("%s/outside/kept", folder);
    char *inside = mem_printf("%s/inside", folder);
    char *gone = mem_printf("%s/inside/a/b", folder);
    char *link = mem_printf("%s/inside/link", folder);
    struct err err = {0};
    struct stat st;

    assert_int_equal(file_mkdirs(kept, 0700, &err), 0);
    assert_int_equal(file_mkdirs(gone, 0700, &err), 0);
    assert_int_equal(symlink(outside, link), 0);
    assert_int_equal(file_remove_beneath(inside, "a/b", &err), 0);
    assert_int_equal(lstat(gone, &st), -1);
    assert_int_equal(file_remove_beneath(inside, "a/b", &err), 0);
    assert_int_equal(file_remove_beneath(inside, "none/b", &err), 0);
    assert_int_equal(file_remove_beneath(inside, "link/kept", &err), -1);
    assert_int_equal(err.code, ERR_INVALID);
    assert_non_null(strstr(err.msg, "link/kept"));
    assert_int_equal(file_remove_beneath(inside, "../outside/kept", &err), -1);
    assert_int_equal(lstat(kept, &st), 0);
    assert_int_equal(file_remove_beneath(inside, "link", &err), 0);
    assert_int_equal(lstat(link, &st), -1);
    assert_int_equal(lstat(kept, &st), 0);
    free(link);
    free(gone);
    free(inside);
    free(kept);
    free(outside);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(what_was_written_is_read),
        IN_FOLDER(a_folder_is_ones_own_and_those_above_it_let_others_through),
        IN_FOLDER(a_folder_is_marked_where_its_file_system_has_such_a_mark),
        IN_FOLDER(a_file_larger_than_the_limit_is_refused),
        IN_FOLDER(a_missing_file_is_not_found_and_the_message_names_it),
        IN_FOLDER(what_is_not_a_regular_file_is_refused),
        IN_FOLDER(a_failed_write_leaves_the_old_file_and_no_other),
        IN_FOLDER(folders_are_made_with_those_above_them),
        IN_FOLDER(a_tree_goes_and_what_its_links_point_to_stays),
        IN_FOLDER(a_bottomless_tree_is_removed),
        IN_FOLDER(what_is_removed_beneath_a_folder_is_reached_through_no_link),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
