/* What gets into an archive of a folder that somebody hostile wrote, and by which name. */
#include "tests/unit/archive/place.h"

#include <jansson.h>

#define PATTERNS(...) ((const char *const[]){__VA_ARGS__, NULL})

struct asked {
    const char *const *files, *const *exclude;
    const char *base;
    bool discard_paths, keep_links, whole;
    struct archive_limits limits;
    const volatile bool *stop;
};

static struct archive_packed packed;
static struct err err;
static int zip = -1;

static void add_all(struct strv *out, const char *const *items)
{
    for (; items && *items; items++)
        strv_add(out, *items);
}

static int pack(const struct asked *asked)
{
    struct strv patterns = {0}, exclude = {0};
    add_all(&patterns, asked->files);
    add_all(&exclude, asked->exclude);
    const struct files_rule rule = {.root = "/home/build/src",
                                    .base_directory = asked->base,
                                    .files = &patterns,
                                    .exclude = &exclude,
                                    .discard_paths = asked->discard_paths};
    struct files *files = files_new(&rule);
    const struct archive_pack conf = {.tree = &place_tree,
                                      .files = files,
                                      .keep_links = asked->keep_links,
                                      .whole = asked->whole,
                                      .level = 1,
                                      .limits = asked->limits,
                                      .stop = asked->stop};
    archive_packed_release(&packed);
    if (zip >= 0)
        close(zip);
    zip = place_zip();
    err = (struct err){0};
    int rc = archive_pack(&conf, zip, &packed, &err);
    files_free(files);
    strv_release(&patterns);
    strv_release(&exclude);
    return rc;
}

/* All names in the archive's order. */
static const char *names(void)
{
    static char out[2048];
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < packed.count; i++)
        len += (size_t)snprintf(out + len, sizeof(out) - len, "%s%s", i ? " " : "",
                                packed.items[i].name);
    return out;
}

static const char *left(void)
{
    static char out[4096];
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < packed.left.notes.count; i++)
        len += (size_t)snprintf(out + len, sizeof(out) - len, "%s%s", i ? "; " : "",
                                packed.left.notes.items[i]);
    return out;
}

static int teardown(void **state)
{
    archive_packed_release(&packed);
    if (zip >= 0)
        close(zip);
    zip = -1;
    return place_remove(state);
}

static void the_files_that_the_patterns_mean_are_in_it_by_their_names(void **state)
{
    (void)state;
    place_file("build/src/dist/b.js", "bb", 0644);
    place_file("build/src/dist/a.js", "a", 0755);
    place_file("build/src/dist/sub/a.js", "c", 0600);
    place_file("build/src/dist/a.map", "m", 0644);
    place_file("build/src/secret", "s", 0644);
    const struct asked asked = {
        .files = PATTERNS("**/*"), .exclude = PATTERNS("**/*.map"), .base = "dist"};
    assert_int_equal(pack(&asked), 0);
    assert_string_equal(names(), "a.js b.js sub/a.js");
    assert_int_equal(packed.bytes, 4);
    assert_int_equal(packed.items[0].mode, 0755);
    assert_int_equal(packed.items[1].size, 2);
    assert_int_equal(packed.left.count, 0);
    struct stat st;
    assert_int_equal(fstat(zip, &st), 0);
    assert_int_equal(packed.size, st.st_size);
}

static void the_manifest_has_each_file_with_size_hash_and_mode(void **state)
{
    (void)state;
    place_file("build/src/a", "hello\n", 0640);
    place_link("build/src/l", "a");
    const struct asked asked = {.files = PATTERNS("*"), .keep_links = true};
    struct buf text;
    char hash[SHA256_HEX_SIZE];
    char bytes[4096];
    assert_int_equal(pack(&asked), 0);
    assert_int_equal(archive_manifest(&packed, &text, &err), 0);
    json_t *json = json_loadb(text.data, text.len, 0, NULL);
    assert_non_null(json);
    ssize_t n = pread(zip, bytes, sizeof(bytes), 0);
    sha256_hex(bytes, (size_t)n, hash);
    assert_string_equal(json_string_value(json_object_get(json, "sha256")), hash);
    const json_t *file = json_array_get(json_object_get(json, "files"), 0);
    assert_string_equal(json_string_value(json_object_get(file, "path")), "a");
    assert_int_equal(json_integer_value(json_object_get(file, "size")), 6);
    assert_string_equal(json_string_value(json_object_get(file, "mode")), "0640");
    sha256_hex("hello\n", 6, hash);
    assert_string_equal(json_string_value(json_object_get(file, "sha256")), hash);
    const json_t *second = json_array_get(json_object_get(json, "files"), 1);
    assert_string_equal(json_string_value(json_object_get(second, "link")), "a");
    json_decref(json);
    buf_release(&text);
}

static void a_link_is_what_it_leads_to_or_with_enable_symlinks_a_link(void **state)
{
    (void)state;
    place_file("build/src/v1/x", "one", 0644);
    place_link("build/src/now", "v1");
    place_link("build/src/y", "v1/x");
    const struct asked follow = {.files = PATTERNS("**/*")};
    assert_int_equal(pack(&follow), 0);
    assert_string_equal(names(), "now/x v1/x y");
    assert_null(packed.items[2].link);
    assert_int_equal(packed.items[2].size, 3);
    const struct asked keep = {.files = PATTERNS("**/*"), .keep_links = true};
    assert_int_equal(pack(&keep), 0);
    assert_string_equal(names(), "now v1/x y");
    assert_string_equal(packed.items[0].link, "v1");
    assert_string_equal(packed.items[2].link, "v1/x");
}

static void a_link_that_leads_out_is_never_in_it(void **state)
{
    (void)state;
    place_file("outside", "the host's", 0644);
    place_file("build/other", "beside the source", 0644);
    place_link("build/src/a", "/etc/passwd");
    place_link("build/src/b", "../../outside");
    place_link("build/src/c", "/");
    place_link("build/src/d", "../other");
    place_link("build/src/e", "/proc/self/environ");
    place_file("build/src/f", "own", 0644);
    const struct asked asked[] = {{.files = PATTERNS("**/*")},
                                  {.files = PATTERNS("**/*"), .keep_links = true},
                                  {.files = PATTERNS("a", "b", "c/etc/passwd", "d", "e", "f")}};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pack(&asked[i]), 0);
        assert_string_equal(names(), "f");
        assert_true(packed.left.count >= 4);
        assert_non_null(strstr(left(), "a: a link that leads out"));
    }
}

static void a_source_that_became_a_link_gives_nothing(void **state)
{
    (void)state;
    char *src = place_path("build/src");
    assert_int_equal(rmdir(src), 0);
    assert_int_equal(symlink("/etc", src), 0);
    const struct asked asked = {.files = PATTERNS("**/*")};
    assert_int_equal(pack(&asked), 0);
    assert_int_equal(packed.count, 0);
    assert_int_equal(packed.left.count, 1);
    free(src);
}

static void folders_in_a_circle_end(void **state)
{
    (void)state;
    place_file("build/src/a/x", "x", 0644);
    place_link("build/src/a/up", "..");
    place_link("build/src/a/self", ".");
    const struct asked asked = {.files = PATTERNS("**/*")};
    assert_int_equal(pack(&asked), 0);
    assert_string_equal(names(), "a/x");
}

static void names_that_mean_something_else_elsewhere_are_left_out_and_told(void **state)
{
    (void)state;
    place_file("build/src/good", "", 0644);
    place_file("build/src/..\\..\\evil", "", 0644);
    place_file("build/src/new\nline", "", 0644);
    place_file("build/src/\xff\xfe", "", 0644);
    place_file("build/src/gr\xc3\xbc\xc3\x9f", "", 0644);
    const struct asked asked = {.files = PATTERNS("*")};
    assert_int_equal(pack(&asked), 0);
    assert_string_equal(names(), "good gr\xc3\xbc\xc3\x9f");
    assert_int_equal(packed.left.count, 3);
    assert_non_null(strstr(left(), "..\\..\\evil: its name has a backslash"));
    assert_non_null(strstr(left(), "new?line: its name has a control character"));
    assert_non_null(strstr(left(), "??: its name is not UTF-8"));
}

static void a_pipe_is_not_waited_for(void **state)
{
    (void)state;
    char *path = place_path("build/src/pipe");
    assert_int_equal(mkfifo(path, 0666), 0);
    place_file("build/src/f", "x", 0644);
    const struct asked asked = {.files = PATTERNS("*")};
    assert_int_equal(pack(&asked), 0);
    assert_string_equal(names(), "f");
    assert_string_equal(left(), "pipe: neither a file nor a link");
    free(path);
}

static void of_two_files_of_one_name_the_first_counts_and_the_other_is_told(void **state)
{
    (void)state;
    place_file("build/src/a/x", "1", 0644);
    place_file("build/src/b/x", "22", 0644);
    const struct asked asked = {.files = PATTERNS("**/x"), .discard_paths = true};
    assert_int_equal(pack(&asked), 0);
    assert_string_equal(names(), "x");
    assert_int_equal(packed.items[0].size, 1);
    assert_string_equal(left(), "b/x: another file is 'x' already");
}

static void more_or_larger_files_than_allowed_are_refused(void **state)
{
    (void)state;
    place_file("build/src/a", "1234", 0644);
    place_file("build/src/b", "12345", 0644);
    const struct asked few = {.files = PATTERNS("*"), .limits = {.entries = 1}};
    assert_int_equal(pack(&few), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    const struct asked small = {.files = PATTERNS("*"), .limits = {.bytes = 8}};
    assert_int_equal(pack(&small), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    const struct asked enough = {.files = PATTERNS("*"), .limits = {.entries = 2, .bytes = 9}};
    assert_int_equal(pack(&enough), 0);
}

static void folders_too_deep_are_refused(void **state)
{
    (void)state;
    char *path = place_path("build/src");
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i <= ARCHIVE_DEPTH_MAX; i++) {
        assert_int_equal(mkdirat(fd, "d", 0755), 0);
        int next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(fd);
        fd = next;
    }
    close(fd);
    free(path);
    const struct asked asked = {.files = PATTERNS("**/*")};
    assert_int_equal(pack(&asked), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    assert_non_null(strstr(err.msg, "folders deep"));
}

static void absolute_patterns_reach_the_builds_own_folders_alone(void **state)
{
    (void)state;
    place_file("home/.m2/a.jar", "j", 0644);
    place_file("build/src/x", "x", 0644);
    const struct asked asked = {.files = PATTERNS("/root/.m2/**/*", "/etc/**/*", "x"),
                                .whole = true};
    assert_int_equal(pack(&asked), 0);
    assert_string_equal(names(), "abs/root/.m2/a.jar src/x");
    assert_string_equal(left(), "/etc: nothing there is the build's own");
}

static void nothing_meant_is_an_empty_archive(void **state)
{
    (void)state;
    const struct asked asked = {.files = PATTERNS("nothing", "sub/**/*")};
    assert_int_equal(pack(&asked), 0);
    assert_int_equal(packed.count, 0);
    assert_int_equal(packed.left.count, 0);
    assert_true(packed.size > 0);
}

static void a_stop_ends_it(void **state)
{
    (void)state;
    static const volatile bool stop = true;
    place_file("build/src/x", "x", 0644);
    const struct asked asked = {.files = PATTERNS("*"), .stop = &stop};
    assert_int_equal(pack(&asked), -1);
    assert_int_equal(err.code, ERR_CONFLICT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_make, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_files_that_the_patterns_mean_are_in_it_by_their_names),
        TEST(the_manifest_has_each_file_with_size_hash_and_mode),
        TEST(a_link_is_what_it_leads_to_or_with_enable_symlinks_a_link),
        TEST(a_link_that_leads_out_is_never_in_it),
        TEST(a_source_that_became_a_link_gives_nothing),
        TEST(folders_in_a_circle_end),
        TEST(names_that_mean_something_else_elsewhere_are_left_out_and_told),
        TEST(a_pipe_is_not_waited_for),
        TEST(of_two_files_of_one_name_the_first_counts_and_the_other_is_told),
        TEST(more_or_larger_files_than_allowed_are_refused),
        TEST(folders_too_deep_are_refused),
        TEST(absolute_patterns_reach_the_builds_own_folders_alone),
        TEST(nothing_meant_is_an_empty_archive),
        TEST(a_stop_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
