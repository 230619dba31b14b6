/* What an archive may do to the folder that it is unpacked into: nothing but files in their places.
 */
#include "tests/unit/archive/place.h"

#include <archive.h>
#include <archive_entry.h>

static int zip = -1;
static struct archive *writer;
static struct archive_unpacked unpacked;
static struct err err;

static int setup(void **state)
{
    place_make(state);
    zip = place_zip();
    writer = archive_write_new();
    assert_int_equal(archive_write_set_format_zip(writer), ARCHIVE_OK);
    assert_int_equal(archive_write_set_format_option(writer, "zip", "hdrcharset", "UTF-8"),
                     ARCHIVE_OK);
    assert_int_equal(archive_write_open_fd(writer, zip), ARCHIVE_OK);
    return 0;
}

static int teardown(void **state)
{
    archive_write_free(writer);
    close(zip);
    return place_remove(state);
}

static void add(const char *name, unsigned type, const char *text)
{
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname_utf8(entry, name);
    archive_entry_set_filetype(entry, type);
    archive_entry_set_perm(entry, 04755);
    if (type == AE_IFLNK)
        archive_entry_set_symlink_utf8(entry, text);
    else
        archive_entry_set_size(entry, (int64_t)strlen(text));
    assert_true(archive_write_header(writer, entry) >= ARCHIVE_WARN);
    if (type == AE_IFREG)
        assert_int_equal(archive_write_data(writer, text, strlen(text)), (ssize_t)strlen(text));
    archive_entry_free(entry);
}

static int unpack(const struct archive_limits *limits, bool whole)
{
    struct archive_unpack conf = {.tree = &place_tree, .whole = whole};
    if (limits)
        conf.limits = *limits;
    assert_int_equal(archive_write_close(writer), ARCHIVE_OK);
    err = (struct err){0};
    return archive_unpack(&conf, zip, &unpacked, &err);
}

static void assert_refused(const char *why)
{
    assert_int_equal(unpack(NULL, false), -1);
    assert_int_equal(err.code, ERR_INVALID);
    if (!strstr(err.msg, why))
        fail_msg("'%s' does not say '%s'", err.msg, why);
}

static void files_links_and_folders_come_to_their_places(void **state)
{
    (void)state;
    add("a/b/x", AE_IFREG, "one");
    add("a/c/", AE_IFDIR, "");
    add("a/l", AE_IFLNK, "b/x");
    add("gr\xc3\xbc\xc3\x9f", AE_IFREG, "two");
    assert_int_equal(unpack(NULL, false), 0);
    assert_int_equal(unpacked.files, 3);
    assert_int_equal(unpacked.bytes, 6);
    assert_place("build/src/a/b/x", "file:755:one"); /* no set-user-id */
    assert_place("build/src/a/l", "link:b/x");
    assert_place("build/src/gr\xc3\xbc\xc3\x9f", "file:755:two");
}

static void what_is_there_is_replaced_and_links_are_not_written_through(void **state)
{
    (void)state;
    place_file("outside", "as it was", 0644);
    place_file("build/src/x", "old and longer", 0600);
    place_link("build/src/l", "../../outside");
    add("x", AE_IFREG, "new");
    add("l", AE_IFREG, "new");
    assert_int_equal(unpack(NULL, false), 0);
    assert_place("build/src/x", "file:755:new");
    assert_place("build/src/l", "file:755:new");
    assert_place("outside", "file:644:as it was");
}

static void a_name_that_leads_out_is_refused(void **state)
{
    static const struct {
        const char *name, *why;
    } names[] = {{"../evil", "leads out"},          {"a/../../evil", "leads out"},
                 {"/tmp/evil", "absolute"},         {"a//b", "empty part"},
                 {"..\\evil", "leads out"},         {"a/./b", "empty part"},
                 {"new\nline", "control character"}};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (i) {
            teardown(state);
            setup(state);
        }
        add(names[i].name, AE_IFREG, "evil");
        assert_refused(names[i].why);
        assert_place("evil", "none");
        assert_place("build/evil", "none");
    }
}

static void a_folder_that_is_a_link_is_not_entered(void **state)
{
    (void)state;
    place_folder("target");
    place_link("build/src/there", "../../target");
    add("there/x", AE_IFREG, "evil");
    assert_refused("a folder that it is in is a link");
    assert_place("target/x", "none");
}

static void a_link_in_the_archive_is_no_way_out(void **state)
{
    (void)state;
    add("in", AE_IFLNK, "a/b");
    add("in/x", AE_IFREG, "evil");
    assert_refused("a folder that it is in is a link");
    static const char *const targets[] = {"/etc", "..", "a/../../..", "../x"};
    for (size_t i = 0; i < 4; i++) {
        teardown(state);
        setup(state);
        add("l", AE_IFLNK, targets[i]);
        assert_refused("a link that leads out");
        assert_place("build/src/l", "none");
    }
}

static void more_entries_or_bytes_than_allowed_are_refused_whatever_is_said(void **state)
{
    char zeros[65537] = {0};
    memset(zeros, '0', sizeof(zeros) - 1);
    for (int i = 0; i < 20; i++) {
        snprintf(zeros + 65530, 7, "%d", i);
        add(zeros + 65530, AE_IFREG, "");
    }
    memset(zeros, '0', sizeof(zeros) - 1);
    add("bomb", AE_IFREG, zeros);
    const struct archive_limits few = {.entries = 20}, small = {.bytes = 65535},
                                enough = {.entries = 21, .bytes = 65536};
    assert_int_equal(unpack(&few, false), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    assert_non_null(strstr(err.msg, "more than 20 entries"));
    const struct archive_unpack conf = {.tree = &place_tree, .limits = small};
    assert_int_equal(archive_unpack(&conf, zip, &unpacked, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    const struct archive_unpack fits = {.tree = &place_tree, .limits = enough};
    assert_int_equal(archive_unpack(&fits, zip, &unpacked, &err), 0);
    (void)state;
}

static void bytes_that_were_changed_are_refused(void **state)
{
    (void)state;
    char text[4096], found[8192];
    for (size_t i = 0; i < sizeof(text) - 1; i++)
        text[i] = (char)('a' + (i * i * 7 + i / 3) % 26);
    text[sizeof(text) - 1] = '\0';
    add("x", AE_IFREG, text);
    assert_int_equal(archive_write_close(writer), ARCHIVE_OK);
    ssize_t n = pread(zip, found, sizeof(found), 0);
    found[n / 2] = (char)(found[n / 2] ^ 0x55);
    assert_int_equal(pwrite(zip, found, (size_t)n, 0), n);
    const struct archive_unpack conf = {.tree = &place_tree};
    assert_int_equal(archive_unpack(&conf, zip, &unpacked, &err), -1);
    assert_int_equal(err.code, ERR_INVALID);
    for (ssize_t len = n - 1; len >= 0; len -= 97) {
        assert_int_equal(ftruncate(zip, len), 0);
        assert_int_equal(archive_unpack(&conf, zip, &unpacked, &err), -1);
    }
}

static void whole_paths_go_back_to_the_mounts_that_they_came_from(void **state)
{
    (void)state;
    add("src/node_modules/x", AE_IFREG, "1");
    add("abs/root/.npm/y", AE_IFREG, "2");
    add("abs/home/build/z", AE_IFREG, "3");
    assert_int_equal(unpack(NULL, true), 0);
    assert_place("build/src/node_modules/x", "file:755:1");
    assert_place("home/.npm/y", "file:755:2");
    assert_place("build/z", "file:755:3");
    static const char *const nowhere[] = {"abs/etc/passwd", "other/x", "abs/root", "abs"};
    for (size_t i = 0; i < 4; i++) {
        teardown(state);
        setup(state);
        add(nowhere[i], AE_IFREG, "evil");
        assert_int_equal(unpack(NULL, true), -1);
        assert_non_null(strstr(err.msg, "there is no place for it"));
    }
}

static void what_was_packed_comes_back_as_it_was(void **state)
{
    (void)state;
    struct archive_packed packed;
    struct strv patterns = {0};
    place_file("build/src/node_modules/gr\xc3\xbc\xc3\x9f", "one", 0640);
    place_file("build/src/node_modules/empty", "", 0444);
    place_link("build/src/node_modules/link", "gr\xc3\xbc\xc3\x9f");
    place_file("home/.cache/x", "two", 0755);
    strv_add(&patterns, "node_modules");
    strv_add(&patterns, "/root/.cache/**/*");
    struct files *files =
        files_new(&(struct files_rule){.root = "/home/build/src", .files = &patterns});
    const struct archive_pack conf = {
        .tree = &place_tree, .files = files, .keep_links = true, .whole = true, .level = 1};
    assert_int_equal(archive_pack(&conf, zip, &packed, &err), 0);
    assert_int_equal(packed.count, 4);
    place_remove(state);
    assert_int_equal(mkdir(place_dir, 0700), 0);
    place_folder("build/src");
    place_folder("home");
    const struct archive_unpack back = {.tree = &place_tree, .whole = true};
    assert_int_equal(archive_unpack(&back, zip, &unpacked, &err), 0);
    assert_place("build/src/node_modules/gr\xc3\xbc\xc3\x9f", "file:640:one");
    assert_place("build/src/node_modules/empty", "file:444:");
    assert_place("build/src/node_modules/link", "link:gr\xc3\xbc\xc3\x9f");
    assert_place("home/.cache/x", "file:755:two");
    archive_packed_release(&packed);
    files_free(files);
    strv_release(&patterns);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(files_links_and_folders_come_to_their_places),
        TEST(what_is_there_is_replaced_and_links_are_not_written_through),
        TEST(a_name_that_leads_out_is_refused),
        TEST(a_folder_that_is_a_link_is_not_entered),
        TEST(a_link_in_the_archive_is_no_way_out),
        TEST(more_entries_or_bytes_than_allowed_are_refused_whatever_is_said),
        TEST(bytes_that_were_changed_are_refused),
        TEST(what_was_packed_comes_back_as_it_was),
        TEST(whole_paths_go_back_to_the_mounts_that_they_came_from),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
