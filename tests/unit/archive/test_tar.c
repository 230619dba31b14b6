/* Whole folders as tar, to a container and back; and archives that a container made to get out. */
#include "tests/unit/archive/place.h"

#include <archive.h>
#include <archive_entry.h>

static int pack(const struct archive_part *parts, size_t count, struct archive_limits limits,
                struct err *err)
{
    const struct archive_tar tar = {
        .dir = place_dir, .parts = parts, .part_count = count, .limits = limits};
    int fd = place_zip();
    uint64_t size = 0;
    if (archive_tar(&tar, fd, &size, err) < 0) {
        close(fd);
        return -1;
    }
    assert_true(size > 0 && (off_t)size == lseek(fd, 0, SEEK_END));
    return fd;
}

static int unpack(int fd, const char *below, struct archive_limits limits, struct err *err)
{
    const struct archive_untar untar = {.dir = place_dir, .below = below, .limits = limits};
    struct archive_unpacked out;
    int rc = archive_untar(&untar, fd, &out, err);
    close(fd);
    return rc;
}

static void a_folder_comes_back_as_it_was_with_links_and_modes_and_any_name(void **state)
{
    const struct archive_part part = {"build/src", "home/build/src"};
    struct err err = {0};
    (void)state;
    place_file("build/src/tool", "#!/bin/sh\n", 0755);
    place_file("build/src/a/b\\\n\xFF", "odd", 0600);
    place_link("build/src/out", "/etc");
    place_link("build/src/a/up", "../tool");
    place_folder("build/src/empty");
    char *fifo = place_path("build/src/fifo");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    free(fifo);
    int fd = pack(&part, 1, (struct archive_limits){0}, &err);
    assert_true(fd >= 0);
    /* The first part is replaced, and it has three here. */
    struct archive_untar untar = {.dir = place_dir, .below = "x"};
    struct archive_unpacked out;
    assert_int_equal(archive_untar(&untar, fd, &out, &err), 0);
    close(fd);
    assert_place("x/build/src/tool", "file:755:#!/bin/sh\n");
    assert_place("x/build/src/a/b\\\n\xFF", "file:600:odd");
    assert_place("x/build/src/out", "link:/etc");
    assert_place("x/build/src/a/up", "link:../tool");
    assert_place("x/build/src/fifo", "none");
    char *empty = place_path("x/build/src/empty");
    assert_int_equal(access(empty, X_OK), 0);
    free(empty);
}

static void parts_that_are_not_there_are_left_out_and_a_file_is_a_part(void **state)
{
    const struct archive_part parts[] = {{"build/none", "none"}, {"build/src/one", "one"}};
    struct err err = {0};
    (void)state;
    place_file("build/src/one", "1", 0644);
    int fd = pack(parts, 2, (struct archive_limits){0}, &err);
    assert_int_equal(unpack(fd, "home/two", (struct archive_limits){0}, &err), 0);
    assert_place("home/two", "file:644:1");
}

static enum archive_skip left_out(const char *name, void *arg)
{
    (void)arg;
    return str_ends(name, "/all")                              ? ARCHIVE_SKIP_ALL
           : strstr(name, "/skip") && !str_ends(name, "/kept") ? ARCHIVE_SKIP
                                                               : ARCHIVE_KEEP;
}

static void what_is_skipped_is_left_out_alone_or_with_all_that_is_in_it(void **state)
{
    const struct archive_part part = {"build/src", "src"};
    const struct archive_tar tar = {
        .dir = place_dir, .parts = &part, .part_count = 1, .skip = left_out};
    struct err err = {0};
    uint64_t size;
    (void)state;
    place_file("build/src/all/kept", "1", 0644);
    place_file("build/src/skip/left", "2", 0644);
    place_file("build/src/skip/deep/kept", "3", 0644);
    place_file("build/src/other", "4", 0644);
    place_folder("build/src/skip/empty");
    int fd = place_zip();
    assert_int_equal(archive_tar(&tar, fd, &size, &err), 0);
    assert_int_equal(unpack(fd, "x", (struct archive_limits){0}, &err), 0);
    assert_place("x/all", "none");
    assert_place("x/skip/left", "none");
    assert_place("x/skip/empty", "none");
    assert_place("x/skip/deep/kept", "file:644:3");
    assert_place("x/other", "file:644:4");
}

static void more_than_the_limits_say_is_refused_both_ways(void **state)
{
    const struct archive_part part = {"build/src", "src"};
    struct err err = {0};
    (void)state;
    place_file("build/src/a", "12345", 0644);
    place_file("build/src/b", "12345", 0644);
    assert_int_equal(pack(&part, 1, (struct archive_limits){.entries = 2}, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    assert_int_equal(pack(&part, 1, (struct archive_limits){.bytes = 9}, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    int fd = pack(&part, 1, (struct archive_limits){.entries = 3, .bytes = 10}, &err);
    assert_int_equal(unpack(dup(fd), "x", (struct archive_limits){.entries = 2}, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    assert_int_equal(unpack(dup(fd), "y", (struct archive_limits){.bytes = 9}, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    assert_int_equal(unpack(fd, "z", (struct archive_limits){.entries = 3, .bytes = 10}, &err), 0);
}

/* ---- archives that nobody here made ---- */

struct made {
    const char *name, *link, *hard, *text;
    mode_t type;
};

static int make(const struct made *items, size_t count)
{
    int fd = place_zip();
    struct archive *tar = archive_write_new();
    archive_write_set_format_gnutar(tar);
    assert_int_equal(archive_write_open_fd(tar, fd), ARCHIVE_OK);
    for (size_t i = 0; i < count; i++) {
        struct archive_entry *entry = archive_entry_new();
        archive_entry_copy_pathname(entry, items[i].name);
        archive_entry_set_filetype(entry, items[i].type);
        archive_entry_set_perm(entry, 0777);
        archive_entry_set_size(entry, items[i].text ? (la_int64_t)strlen(items[i].text) : 0);
        if (items[i].link)
            archive_entry_copy_symlink(entry, items[i].link);
        if (items[i].hard)
            archive_entry_copy_hardlink(entry, items[i].hard);
        assert_true(archive_write_header(tar, entry) >= ARCHIVE_WARN);
        if (items[i].text)
            archive_write_data(tar, items[i].text, strlen(items[i].text));
        archive_entry_free(entry);
    }
    archive_write_free(tar);
    return fd;
}

static void a_file_with_two_names_has_them_here_too(void **state)
{
    const struct made items[] = {
        {"src/", .type = AE_IFDIR},
        {"src/one", .text = "same", .type = AE_IFREG},
        {"src/two", .hard = "src/one", .type = AE_IFREG},
    };
    struct err err = {0};
    (void)state;
    if (unpack(make(items, 3), "build/got", (struct archive_limits){0}, &err) < 0)
        fail_msg("%s", err.msg);
    assert_place("build/got/two", "file:777:same");
}

static void nothing_gets_out_of_the_folder(void **state)
{
    static const struct {
        struct made items[3];
        size_t count;
    } cases[] = {
        {{{"src/../../x", .text = "x", .type = AE_IFREG}}, 1},
        {{{"/src/x", .text = "x", .type = AE_IFREG}}, 1},
        {{{"../x", .text = "x", .type = AE_IFREG}}, 1},
        {{{"src/l", .link = "..", .type = AE_IFLNK}, {"src/l/x", .text = "x", .type = AE_IFREG}},
         2},
        {{{"src", .link = "/", .type = AE_IFLNK}, {"src/x", .text = "x", .type = AE_IFREG}}, 2},
        {{{"src/h", .hard = "src/../../home/mine", .type = AE_IFREG}}, 1},
        {{{"src/l", .link = "../../home", .type = AE_IFLNK},
          {"src/h", .hard = "src/l/mine", .type = AE_IFREG}},
         2},
    };
    (void)state;
    place_file("home/mine", "mine", 0644);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct err err = {0};
        char *got = place_path("build/got");
        assert_int_equal(file_remove_tree(got, NULL), 0);
        free(got);
        int fd = make(cases[i].items, cases[i].count);
        if (unpack(fd, "build/got", (struct archive_limits){0}, &err) == 0)
            fail_msg("%zu is taken", i);
        assert_place("build/x", "none");
        assert_place("x", "none");
        assert_place("home/mine", "file:644:mine");
        assert_place("build/got/h", "none");
    }
}

static void what_is_no_archive_is_refused(void **state)
{
    struct err err = {0};
    int fd = place_zip();
    (void)state;
    assert_int_equal(write(fd, "<html>", 6), 6);
    assert_int_equal(unpack(fd, "x", (struct archive_limits){0}, &err), -1);
    assert_int_equal(err.code, ERR_INVALID);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_make, place_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_folder_comes_back_as_it_was_with_links_and_modes_and_any_name),
        TEST(parts_that_are_not_there_are_left_out_and_a_file_is_a_part),
        TEST(what_is_skipped_is_left_out_alone_or_with_all_that_is_in_it),
        TEST(more_than_the_limits_say_is_refused_both_ways),
        TEST(a_file_with_two_names_has_them_here_too),
        TEST(nothing_gets_out_of_the_folder),
        TEST(what_is_no_archive_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
