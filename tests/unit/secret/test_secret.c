#include "secret/secret.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "tests/unit/unit.h"

static int make_folder(void **state)
{
    *state = mkdtemp(mem_strdup("/tmp/gantry-test-secret-XXXXXX"));
    return *state ? 0 : -1;
}

static int remove_folder(void **state)
{
    int ret = file_remove_tree(*state, NULL);

    free(*state);
    return ret;
}

static void put(const char *folder, const char *name, const char *value, mode_t mode)
{
    char *path = mem_printf("%s/%s", folder, name);
    struct err err = {0};

    assert_int_equal(file_write(path, value, strlen(value), mode, &err), 0);
    free(path);
}

static void assert_refused(const char *folder, const char *name, enum err_code code)
{
    struct err err = {0};
    struct buf value;

    assert_int_equal(secret_read(&value, folder, name, &err), -1);
    assert_int_equal(err.code, code);
    assert_int_equal(value.len, 0);
    secret_release(&value);
}

static void a_secret_is_the_files_bytes_without_one_newline(void **state)
{
    static const char *const rows[][2] = {
        {"s3cret\n", "s3cret"}, {"s3cret", "s3cret"}, {"a\nb\n\n", "a\nb\n"}, {"", ""}, {"\n", ""}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err err = {0};
        struct buf value;

        put(*state, "token", rows[i][0], 0640);
        assert_int_equal(secret_read(&value, *state, "token", &err), 0);
        assert_string_equal(buf_cstr(&value), rows[i][1]);
        secret_release(&value);
    }
}

static void a_name_may_have_parts_and_a_link_is_followed(void **state)
{
    char *folder = mem_printf("%s/shop", (char *)*state);
    char *link = mem_printf("%s/link", (char *)*state);
    struct err err = {0};
    struct buf value;

    assert_int_equal(mkdir(folder, 0700), 0);
    put(*state, "shop/git-token", "x", 0400);
    assert_int_equal(symlink("shop/git-token", link), 0);
    assert_int_equal(secret_read(&value, *state, "shop/git-token", &err), 0);
    assert_string_equal(buf_cstr(&value), "x");
    secret_release(&value);
    assert_int_equal(secret_read(&value, *state, "link", &err), 0);
    secret_release(&value);
    free(link);
    free(folder);
}

static void what_others_may_read_is_refused(void **state)
{
    put(*state, "token", "x", 0644);
    assert_refused(*state, "token", ERR_DENIED);
    put(*state, "token", "x", 0602);
    assert_refused(*state, "token", ERR_DENIED);
}

static void names_cannot_leave_the_folder(void **state)
{
    static const char *const rows[] = {"",       "..", "../token", "a/../token", "/token", "a//b",
                                       "token/", ".x", "a/.x",     "a b",        "a\nb"};

    put(*state, "token", "x", 0600);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_refused(*state, rows[i], ERR_INVALID);
}

static void what_is_not_there_is_not_found(void **state)
{
    assert_refused(*state, "none", ERR_NOT_FOUND);
    assert_refused("", "token", ERR_NOT_FOUND);
    assert_refused(NULL, "token", ERR_NOT_FOUND);
}

static void a_folder_or_a_pipe_is_no_secret(void **state)
{
    char *folder = mem_printf("%s/folder", (char *)*state);
    char *pipe_path = mem_printf("%s/pipe", (char *)*state);

    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(mkfifo(pipe_path, 0600), 0);
    assert_refused(*state, "folder", ERR_INVALID);
    assert_refused(*state, "pipe", ERR_INVALID);
    free(pipe_path);
    free(folder);
}

static void a_secret_beyond_the_limit_is_refused(void **state)
{
    char *value = mem_alloc(64 * 1024 + 3);
    struct err err = {0};
    struct buf out;

    memset(value, 'x', 64 * 1024);
    value[64 * 1024] = '\n';
    put(*state, "token", value, 0600);
    assert_int_equal(secret_read(&out, *state, "token", &err), 0);
    assert_int_equal(out.len, 64 * 1024);
    secret_release(&out);
    value[64 * 1024] = 'x';
    put(*state, "token", value, 0600);
    assert_refused(*state, "token", ERR_LIMIT);
    free(value);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_secret_is_the_files_bytes_without_one_newline),
        IN_FOLDER(a_name_may_have_parts_and_a_link_is_followed),
        IN_FOLDER(what_others_may_read_is_refused),
        IN_FOLDER(names_cannot_leave_the_folder),
        IN_FOLDER(what_is_not_there_is_not_found),
        IN_FOLDER(a_folder_or_a_pipe_is_no_secret),
        IN_FOLDER(a_secret_beyond_the_limit_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
