/* Copies of a folder as the source of a build. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "build/build.h"

static char dir[64];

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/gantry-test-XXXXXX");
    assert_non_null(mkdtemp(dir));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(file_remove_tree(dir, NULL), 0);
    return 0;
}

static const char *at(const char *name)
{
    static char path[4][256];
    static unsigned next;
    char *out = path[next++ % 4];
    snprintf(out, sizeof(path[0]), "%s/%s", dir, name);
    return out;
}

static void put(const char *name, const char *text, mode_t mode)
{
    assert_int_equal(file_write(at(name), text, strlen(text), mode, NULL), 0);
}

static void copy(const char *from, const char *to, const struct strv *skip,
                 struct build_folder *out)
{
    struct err err = {0};
    if (build_folder_copy(at(from), at(to), skip, (uid_t)-1, (gid_t)-1, out, &err) < 0)
        fail_msg("%s", err.msg);
}

static struct stat look(const char *name)
{
    struct stat st;
    if (lstat(at(name), &st) != 0)
        fail_msg("there is no %s", name);
    return st;
}

static void files_keep_their_bytes_times_and_whether_they_run(void **state)
{
    (void)state;
    struct build_folder out;
    struct buf text;
    const struct timespec times[2] = {{.tv_sec = 1000000000, .tv_nsec = 5},
                                      {.tv_sec = 1000000000, .tv_nsec = 5}};
    mkdir(at("a"), 0700);
    mkdir(at("a/sub"), 0500);
    put("a/plain", "some bytes", 0600);
    put("a/tool", "#!/bin/sh\n", 0700);
    put("a/everybodys", "", 0666);
    assert_int_equal(utimensat(AT_FDCWD, at("a/plain"), times, 0), 0);
    copy("a", "b", NULL, &out);
    assert_int_equal(out.files, 3);
    assert_int_equal(out.bytes, 20);
    assert_int_equal(file_read(&text, at("b/plain"), 100, NULL), 0);
    assert_string_equal(buf_cstr(&text), "some bytes");
    buf_release(&text);
    assert_int_equal(look("b/plain").st_mode, S_IFREG | 0644);
    assert_int_equal(look("b/plain").st_mtim.tv_sec, 1000000000);
    assert_int_equal(look("b/plain").st_mtim.tv_nsec, 5);
    assert_int_equal(look("b/tool").st_mode, S_IFREG | 0755);
    assert_int_equal(look("b/everybodys").st_mode, S_IFREG | 0644);
    assert_int_equal(look("b/sub").st_mode, S_IFDIR | 0755);
    assert_int_equal(look("b").st_mode, S_IFDIR | 0755);
    build_folder_release(&out);
}

static void links_are_kept_as_they_are_and_git_is_left_out_everywhere(void **state)
{
    (void)state;
    struct build_folder out;
    struct stat st;
    char target[64];
    mkdir(at("a"), 0755);
    mkdir(at("a/.git"), 0755);
    put("a/.git/config", "x", 0644);
    mkdir(at("a/module"), 0755);
    put("a/module/.git", "gitdir: elsewhere", 0644);
    put("a/.gitignore", "x", 0644);
    assert_int_equal(symlink("/etc/shadow", at("a/link")), 0);
    copy("a", "b", NULL, &out);
    assert_int_equal(readlink(at("b/link"), target, sizeof(target)), 11);
    assert_memory_equal(target, "/etc/shadow", 11);
    assert_int_not_equal(lstat(at("b/.git"), &st), 0);
    assert_int_not_equal(lstat(at("b/module/.git"), &st), 0);
    look("b/.gitignore");
    assert_int_equal(out.files, 1);
    build_folder_release(&out);
}

static void a_pipe_is_left_out_and_said(void **state)
{
    (void)state;
    struct build_folder out;
    mkdir(at("a"), 0755);
    assert_int_equal(mkfifo(at("a/pipe"), 0644), 0);
    copy("a", "b", NULL, &out);
    assert_int_equal(out.left_out_count, 1);
    assert_string_equal(out.left_out.items[0], "pipe");
    assert_int_equal(out.files, 0);
    build_folder_release(&out);
}

static void a_copy_into_the_folder_itself_ends(void **state)
{
    (void)state;
    struct build_folder out;
    struct strv skip = {0};
    struct stat st;
    mkdir(at("a"), 0755);
    mkdir(at("a/work"), 0755);
    put("a/work/x", "x", 0644);
    put("a/y", "y", 0644);
    strv_add(&skip, at("a/work"));
    copy("a", "a/copy", &skip, &out);
    look("a/copy/y");
    assert_int_not_equal(lstat(at("a/copy/copy"), &st), 0);
    assert_int_not_equal(lstat(at("a/copy/work"), &st), 0);
    build_folder_release(&out);
    strv_release(&skip);
}

static void a_tree_that_is_too_deep_or_absent_is_refused(void **state)
{
    (void)state;
    struct build_folder out;
    struct err err = {0};
    mkdir(at("a"), 0755);
    int fd = open(at("a"), O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < 250; i++) {
        assert_int_equal(mkdirat(fd, "d", 0755), 0);
        int next = openat(fd, "d", O_RDONLY | O_DIRECTORY);
        close(fd);
        fd = next;
    }
    close(fd);
    assert_int_equal(build_folder_copy(at("a"), at("b"), NULL, (uid_t)-1, (gid_t)-1, &out, &err),
                     -1);
    assert_int_equal(err.code, ERR_LIMIT);
    build_folder_release(&out);
    assert_int_equal(build_folder_copy(at("none"), at("c"), NULL, (uid_t)-1, (gid_t)-1, &out, &err),
                     -1);
    assert_int_equal(err.code, ERR_NOT_FOUND);
    build_folder_release(&out);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(files_keep_their_bytes_times_and_whether_they_run),
        TEST(links_are_kept_as_they_are_and_git_is_left_out_everywhere),
        TEST(a_pipe_is_left_out_and_said),
        TEST(a_copy_into_the_folder_itself_ends),
        TEST(a_tree_that_is_too_deep_or_absent_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
