#include "secret/store.h"

#include <dirent.h>
#include <jansson.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "secret/master.h"
#include "secret/secret.h"
#include "tests/unit/unit.h"

struct fixture {
    char dir[64];    /* the test's own */
    char *store_dir; /* in it */
    struct secret_master master;
    struct secret_store store;
    struct err err;
};

static void put_file(struct fixture *f, const char *name, const void *data, size_t len)
{
    char *path = mem_printf("%s/%s", f->dir, name);

    assert_int_equal(file_write(path, data, len, 0600, &f->err), 0);
    free(path);
}

static void make_master(struct fixture *f, const char *name, char fill)
{
    char key[32];

    memset(key, fill, sizeof(key));
    put_file(f, name, key, sizeof(key));
    assert_int_equal(secret_master_read(&f->master, f->dir, name, &f->err), 0);
}

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof(*f));
    struct secret_seal seal;

    snprintf(f->dir, sizeof(f->dir), "/tmp/gantry-store-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->store_dir = mem_printf("%s/secrets", f->dir);
    make_master(f, "master", '\n');
    secret_store_make(&f->store, f->store_dir, NULL);
    secret_master_seal(&f->master, &f->store, &seal);
    assert_int_equal(secret_store_create(&f->store, &seal, &f->err), 0);
    secret_seal_release(&seal);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    file_remove_tree(f->dir, NULL);
    free(f->store_dir);
    free(f);
    return 0;
}

static struct secret_version put(struct fixture *f, const char *name, const char *value)
{
    struct secret_version version;

    if (secret_store_put(&f->store, name, value, strlen(value), "kim", 1000, &version, &f->err) < 0)
        fail_msg("%s", f->err.msg);
    return version;
}

/* For the pipeline "shop". */
static int get(struct fixture *f, const char *text, struct buf *out)
{
    struct secret_ref ref;
    int rc;

    assert_int_equal(secret_ref_secret(&ref, text, &f->err), 0);
    f->err = (struct err){0};
    rc = secret_store_get(&f->store, &ref, "shop", NULL, out, &f->err);
    secret_ref_release(&ref);
    return rc;
}

static void assert_value(struct fixture *f, const char *text, const char *value)
{
    struct buf out;

    if (get(f, text, &out) < 0)
        fail_msg("%s: %s", text, f->err.msg);
    assert_string_equal(buf_cstr(&out), value);
    secret_release(&out);
}

static void assert_refused(struct fixture *f, const char *text, enum err_code code)
{
    struct buf out;

    assert_int_equal(get(f, text, &out), -1);
    if (f->err.code != code)
        fail_msg("%s: %s", text, f->err.msg);
    assert_int_equal(out.len, 0);
    secret_release(&out);
}

static void grant_all(struct fixture *f)
{
    assert_int_equal(secret_store_grant(&f->store, "shop", "**", "kim", 1000, &f->err), 0);
}

static char *path_in(const struct fixture *f, const char *name)
{
    return mem_printf("%s/%s", f->store_dir, name);
}

static size_t files_in(const struct fixture *f, const char *name)
{
    char *path = path_in(f, name);
    DIR *folder = opendir(path);
    size_t count = 0;

    assert_non_null(folder);
    for (const struct dirent *entry; (entry = readdir(folder));)
        count += !str_eq(entry->d_name, ".") && !str_eq(entry->d_name, "..");
    closedir(folder);
    free(path);
    return count;
}

static struct buf read_file(const struct fixture *f, const char *name)
{
    char *path = path_in(f, name);
    struct buf data;

    assert_int_equal(file_read(&data, path, 1 << 24, NULL), 0);
    free(path);
    return data;
}

static void write_file(const struct fixture *f, const char *name, const void *data, size_t len)
{
    char *path = path_in(f, name);

    assert_int_equal(file_write(path, data, len, 0600, NULL), 0);
    free(path);
}

/* ---- values ---- */

static void a_value_comes_back_and_stands_nowhere_in_the_folder(void **state)
{
    struct fixture *f = *state;
    char *path;
    struct buf index;
    struct stat st;

    grant_all(f);
    struct secret_version version = put(f, "shop/db", "hunter2 and more");
    assert_value(f, "shop/db", "hunter2 and more");
    index = read_file(f, "index.json");
    assert_null(strstr(buf_cstr(&index), "hunter2"));
    buf_release(&index);
    path = mem_printf("values/%s", version.id);
    index = read_file(f, path);
    assert_null(memmem(index.data, index.len, "hunter2", 7));
    buf_release(&index);
    free(path);
    assert_int_equal(stat(f->store_dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    path = path_in(f, "index.json");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    free(path);
}

static void versions_are_found_by_stage_number_and_id(void **state)
{
    struct fixture *f = *state;
    struct secret_version one, two;
    char *text;

    grant_all(f);
    one = put(f, "db", "first");
    assert_refused(f, "db::AWSPREVIOUS", ERR_NOT_FOUND);
    two = put(f, "db", "second");
    assert_int_equal(two.number, 2);
    assert_value(f, "db", "second");
    assert_value(f, "db::AWSCURRENT", "second");
    assert_value(f, "db::AWSPREVIOUS", "first");
    assert_value(f, "db:::1", "first");
    text = mem_printf("db::AWSPREVIOUS:%s", one.id);
    assert_value(f, text, "first");
    free(text);
    text = mem_printf("db::AWSPREVIOUS:%s", two.id);
    assert_refused(f, text, ERR_NOT_FOUND);
    free(text);
    assert_refused(f, "db:::3", ERR_NOT_FOUND);
    assert_refused(f, "db::AWSPENDING", ERR_NOT_FOUND);
    assert_refused(f, "none", ERR_NOT_FOUND);
}

static void a_json_key_is_looked_up(void **state)
{
    struct fixture *f = *state;

    grant_all(f);
    put(f, "db", "{\"password\":\"hunter2\"}");
    assert_value(f, "db:password", "hunter2");
    assert_refused(f, "db:user", ERR_NOT_FOUND);
    put(f, "plain", "text");
    assert_refused(f, "plain:user", ERR_INVALID);
}

static void an_arn_finds_the_name_that_it_was_made_of(void **state)
{
    struct fixture *f = *state;

    grant_all(f);
    put(f, "shop/db", "x");
    assert_value(f, "arn:aws:secretsmanager:eu-central-1:1:secret:shop/db-AbC123", "x");
    put(f, "shop/db-AbC123", "exact");
    assert_value(f, "arn:aws:secretsmanager:eu-central-1:1:secret:shop/db-AbC123", "exact");
}

static void old_versions_go_and_so_do_their_files(void **state)
{
    struct fixture *f = *state;

    grant_all(f);
    for (int i = 1; i <= SECRET_VERSIONS_MAX + 2; i++) {
        char value[16];
        snprintf(value, sizeof(value), "v%d", i);
        put(f, "db", value);
    }
    assert_int_equal(files_in(f, "values"), SECRET_VERSIONS_MAX);
    assert_refused(f, "db:::2", ERR_NOT_FOUND);
    assert_value(f, "db:::3", "v3");
    assert_int_equal(secret_store_delete(&f->store, "db", &f->err), 0);
    assert_int_equal(files_in(f, "values"), 0);
    assert_refused(f, "db", ERR_NOT_FOUND);
    assert_int_equal(secret_store_delete(&f->store, "db", &f->err), -1);
    assert_int_equal(f->err.code, ERR_NOT_FOUND);
}

static void what_is_no_name_or_no_value_is_refused(void **state)
{
    struct fixture *f = *state;
    struct secret_version version;
    char *large = mem_alloc(SECRET_VALUE_MAX + 1);

    assert_int_equal(secret_store_put(&f->store, "a b", "x", 1, "kim", 0, &version, &f->err), -1);
    assert_int_equal(f->err.code, ERR_INVALID);
    assert_int_equal(secret_store_put(&f->store, "a", "", 0, "kim", 0, &version, &f->err), -1);
    assert_int_equal(
        secret_store_put(&f->store, "a", large, SECRET_VALUE_MAX + 1, "kim", 0, &version, &f->err),
        -1);
    assert_int_equal(f->err.code, ERR_LIMIT);
    assert_int_equal(
        secret_store_put(&f->store, "a", large, SECRET_VALUE_MAX, "kim", 0, &version, &f->err), 0);
    assert_int_equal(files_in(f, "values"), 1);
    free(large);
}

static void the_list_tells_all_but_values_and_keys(void **state)
{
    struct fixture *f = *state;
    json_t *list;
    char *text;

    put(f, "b", "hunter2");
    put(f, "a", "hunter3");
    put(f, "a", "hunter4!");
    grant_all(f);
    list = secret_store_list(&f->store, &f->err);
    assert_non_null(list);
    text = json_dumps(list, JSON_COMPACT | JSON_SORT_KEYS);
    assert_null(strstr(text, "hunter"));
    assert_null(strstr(text, "\"key\":\""));
    assert_null(strstr(text, "sealed"));
    assert_non_null(
        strstr(text, "\"name\":\"a\",\"versions\":[{\"author\":\"kim\",\"createdMs\":1000,"));
    assert_non_null(strstr(text, "\"number\":2,\"size\":8,\"stages\":[\"AWSCURRENT\"]"));
    assert_non_null(strstr(text, "\"number\":1,\"size\":7,\"stages\":[\"AWSPREVIOUS\"]"));
    assert_true(strstr(text, "\"name\":\"a\"") < strstr(text, "\"name\":\"b\""));
    assert_non_null(strstr(text, "\"path\":\"**\",\"pipeline\":\"shop\""));
    assert_non_null(strstr(text, f->master.name));
    free(text);
    json_decref(list);
}

/* ---- grants ---- */

static void a_pipeline_without_a_grant_is_refused_whether_the_name_is_there_or_not(void **state)
{
    struct fixture *f = *state;
    static const struct secret_grant settings[] = {{"sh*", "shop/db"}};
    const struct secret_grants more = {settings, 1};
    struct secret_ref ref;
    struct buf out;

    put(f, "shop/db", "x");
    assert_refused(f, "shop/db", ERR_DENIED);
    assert_refused(f, "shop/none", ERR_DENIED);
    assert_int_equal(secret_store_grant(&f->store, "other", "**", "kim", 0, &f->err), 0);
    assert_refused(f, "shop/db", ERR_DENIED);
    assert_int_equal(secret_store_grant(&f->store, "sh*", "/shop/*", "kim", 0, &f->err), 0);
    assert_value(f, "shop/db", "x");
    assert_refused(f, "db", ERR_DENIED);
    /* Again is no second one. */
    assert_int_equal(secret_store_grant(&f->store, "sh*", "shop/*", "kim", 0, &f->err), 0);
    assert_int_equal(secret_store_revoke(&f->store, "sh*", "shop/*", &f->err), 0);
    assert_refused(f, "shop/db", ERR_DENIED);
    assert_int_equal(secret_store_revoke(&f->store, "sh*", "shop/*", &f->err), -1);
    assert_int_equal(f->err.code, ERR_NOT_FOUND);
    /* One of the settings. */
    assert_int_equal(secret_ref_secret(&ref, "shop/db", &f->err), 0);
    assert_int_equal(secret_store_get(&f->store, &ref, "shop", &more, &out, &f->err), 0);
    assert_string_equal(buf_cstr(&out), "x");
    secret_release(&out);
    secret_ref_release(&ref);
}

/* ---- the master key ---- */

static void open_again(struct fixture *f)
{
    struct secret_seal seal;

    assert_int_equal(secret_seal_read(&seal, f->store_dir, &f->err), 0);
    assert_int_equal(secret_master_open(&f->master, &seal, &f->store, f->store_dir, &f->err), 0);
    secret_seal_release(&seal);
}

static void a_store_opens_with_the_key_that_sealed_it_and_no_other(void **state)
{
    struct fixture *f = *state;
    struct secret_store other;
    struct secret_seal seal;

    grant_all(f);
    put(f, "db", "x");
    memset(f->store.key, 0, sizeof(f->store.key));
    open_again(f);
    assert_value(f, "db", "x");
    make_master(f, "other", 'o');
    assert_int_equal(secret_seal_read(&seal, f->store_dir, &f->err), 0);
    assert_int_equal(secret_master_open(&f->master, &seal, &other, f->store_dir, &f->err), -1);
    assert_int_equal(f->err.code, ERR_DENIED);
    assert_non_null(strstr(f->err.msg, "was sealed under the master key file:"));
    secret_seal_release(&seal);
}

static void a_master_key_has_32_bytes_and_is_not_open_to_everybody(void **state)
{
    struct fixture *f = *state;
    struct secret_master master;
    char *path = mem_printf("%s/master", f->dir);

    put_file(f, "short", "0123456789", 10);
    assert_int_equal(secret_master_read(&master, f->dir, "short", &f->err), -1);
    assert_int_equal(f->err.code, ERR_INVALID);
    put_file(f, "long", "0123456789012345678901234567890123", 33);
    assert_int_equal(secret_master_read(&master, f->dir, "long", &f->err), -1);
    assert_int_equal(secret_master_read(&master, f->dir, "none", &f->err), -1);
    assert_int_equal(f->err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(f->err.msg, "head -c 32 /dev/urandom"));
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(secret_master_read(&master, f->dir, "master", &f->err), -1);
    assert_int_equal(f->err.code, ERR_DENIED);
    free(path);
}

static void rotate(struct fixture *f)
{
    struct secret_store next;
    struct secret_seal seal;

    secret_store_make(&next, f->store_dir, &f->store);
    secret_master_seal(&f->master, &next, &seal);
    if (secret_store_rotate(&f->store, &next, &seal, &f->err) < 0)
        fail_msg("%s", f->err.msg);
    secret_seal_release(&seal);
}

static void rotation_changes_every_sealed_key_and_no_value(void **state)
{
    struct fixture *f = *state;
    struct secret_store old;
    struct secret_seal seal;
    char *path;

    grant_all(f);
    put(f, "a", "first");
    struct secret_version two = put(f, "a", "second");
    put(f, "b", "other");
    path = mem_printf("values/%s", two.id);
    struct buf index = read_file(f, "index.json"), value = read_file(f, path);
    old = f->store;
    make_master(f, "new", 'n');
    rotate(f);
    struct buf index_now = read_file(f, "index.json"), value_now = read_file(f, path);
    assert_int_equal(value.len, value_now.len);
    assert_memory_equal(value.data, value_now.data, value.len);
    json_t *was = json_loads(buf_cstr(&index), 0, NULL),
           *is = json_loads(buf_cstr(&index_now), 0, NULL);
    for (const char *const *name = (const char *const[]){"a", "b", NULL}; *name; name++) {
        const json_t *before = json_object_get(json_object_get(was, "secrets"), *name);
        const json_t *after = json_object_get(json_object_get(is, "secrets"), *name);
        for (size_t i = 0; i < json_array_size(json_object_get(before, "versions")); i++)
            assert_string_not_equal(
                json_string_value(
                    json_object_get(json_array_get(json_object_get(before, "versions"), i), "key")),
                json_string_value(
                    json_object_get(json_array_get(json_object_get(after, "versions"), i), "key")));
    }
    /* Whoever has the old key is told, and finds the new one. */
    assert_refused(f, "a", ERR_CONFLICT);
    open_again(f);
    assert_value(f, "a", "second");
    assert_value(f, "a::AWSPREVIOUS", "first");
    assert_value(f, "b", "other");
    /* The old master key opens nothing now. */
    assert_int_equal(secret_master_read(&f->master, f->dir, "master", &f->err), 0);
    assert_int_equal(secret_seal_read(&seal, f->store_dir, &f->err), 0);
    assert_int_equal(secret_master_open(&f->master, &seal, &old, f->store_dir, &f->err), -1);
    secret_seal_release(&seal);
    json_decref(was);
    json_decref(is);
    buf_release(&index);
    buf_release(&index_now);
    buf_release(&value);
    buf_release(&value_now);
    free(path);
}

/* ---- damage ---- */

static void any_change_to_the_index_is_noticed(void **state)
{
    static const char *const changes[][2] = {
        {"\"shop\"", "\"sh*p\""}, /* a grant widened */
        {"\"size\": 1", "\"size\": 2"},     {"\"kim\"", "\"tom\""},
        {"\"secrets\"", "\"secretz\""},     {"{", "["},
        {"\"format\": 1", "\"format\": 9"}, {"\"mac\"", "\"mag\""},
        {"\"sealed\"", "\"seal\""},
    };
    struct fixture *f = *state;
    struct buf index;

    grant_all(f);
    put(f, "db", "x");
    index = read_file(f, "index.json");
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        char *copy = mem_dup(index.data, index.len + 1), *at = strstr(copy, changes[i][0]);
        assert_non_null(at);
        memcpy(at, changes[i][1], strlen(changes[i][1]));
        write_file(f, "index.json", copy, strlen(copy));
        assert_refused(f, "db", ERR_INVALID);
        free(copy);
    }
    for (size_t len = 0; len < index.len; len += 7) {
        write_file(f, "index.json", index.data, len);
        assert_refused(f, "db", ERR_INVALID);
    }
    write_file(f, "index.json", index.data, index.len);
    assert_value(f, "db", "x");
    buf_release(&index);
}

static void a_changed_swapped_or_missing_value_is_noticed(void **state)
{
    struct fixture *f = *state;
    struct secret_version a, b;
    struct buf of_a, of_b;
    char *path_a, *path_b, *path;

    grant_all(f);
    a = put(f, "a", "one");
    b = put(f, "b", "two");
    path_a = mem_printf("values/%s", a.id);
    path_b = mem_printf("values/%s", b.id);
    of_a = read_file(f, path_a);
    of_b = read_file(f, path_b);
    write_file(f, path_a, of_b.data, of_b.len);
    assert_refused(f, "a", ERR_INVALID);
    assert_non_null(strstr(f->err.msg, "damaged"));
    write_file(f, path_a, of_a.data, of_a.len - 1);
    assert_refused(f, "a", ERR_INVALID);
    write_file(f, path_a, "", 0);
    assert_refused(f, "a", ERR_INVALID);
    path = path_in(f, path_a);
    assert_int_equal(unlink(path), 0);
    assert_refused(f, "a", ERR_INVALID);
    /* The other is none the worse, and a new version mends it. */
    assert_value(f, "b", "two");
    put(f, "a", "three");
    assert_value(f, "a", "three");
    buf_release(&of_a);
    buf_release(&of_b);
    free(path_a);
    free(path_b);
    free(path);
}

static void an_index_of_another_store_is_refused(void **state)
{
    struct fixture *f = *state;
    struct secret_store other;
    struct secret_seal seal;
    char *dir = mem_printf("%s/other", f->dir), *path = mem_printf("%s/index.json", dir);
    struct buf index;

    grant_all(f);
    put(f, "db", "x");
    secret_store_make(&other, dir, NULL);
    secret_master_seal(&f->master, &other, &seal);
    assert_int_equal(secret_store_create(&other, &seal, &f->err), 0);
    assert_int_equal(secret_store_create(&other, &seal, &f->err), -1);
    assert_int_equal(f->err.code, ERR_CONFLICT);
    index = read_file(f, "index.json");
    assert_int_equal(file_write(path, index.data, index.len, 0600, &f->err), 0);
    assert_null(secret_store_list(&other, &f->err));
    secret_seal_release(&seal);
    buf_release(&index);
    free(path);
    free(dir);
}

/* ---- crashes ---- */

static void what_a_crash_left_is_swept(void **state)
{
    struct fixture *f = *state;

    grant_all(f);
    put(f, "db", "x");
    write_file(f, "values/0123456789abcdef0123456789abcdef", "orphan", 6);
    write_file(f, "values/.half.tmp", "half", 4);
    assert_int_equal(files_in(f, "values"), 3);
    assert_int_equal(secret_store_sweep(&f->store, &f->err), 0);
    assert_int_equal(files_in(f, "values"), 1);
    assert_value(f, "db", "x");
}

/* Writers that are killed at any moment leave a store that opens, with the last value that one of
 * them finished. */
static void a_killed_writer_leaves_a_whole_store(void **state)
{
    struct fixture *f = *state;

    grant_all(f);
    put(f, "db", "0");
    for (int round = 0; round < 20; round++) {
        int told[2];
        char last = '0', c;
        assert_int_equal(pipe(told), 0);
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct secret_version version;
            struct err err;
            for (char v = '1';; v = v == '9' ? '1' : (char)(v + 1)) {
                if (secret_store_put(&f->store, "db", &v, 1, "kim", 0, &version, &err) < 0 ||
                    write(told[1], &v, 1) != 1)
                    _exit(1);
            }
        }
        close(told[1]);
        /* As many are let finish as the round says; then it dies wherever it is. */
        for (int i = 0; i <= round % 5; i++) {
            assert_int_equal(read(told[0], &c, 1), 1);
            last = c;
        }
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        while (read(told[0], &c, 1) == 1)
            last = c;
        close(told[0]);
        struct buf out;
        if (get(f, "db", &out) < 0)
            fail_msg("%s", f->err.msg);
        /* It may have been killed between the store and the pipe. */
        const char next = last == '9' ? '1' : (char)(last + 1);
        assert_true(out.data[0] == last || out.data[0] == next);
        secret_release(&out);
        assert_int_equal(secret_store_sweep(&f->store, &f->err), 0);
        assert_true(files_in(f, "values") <= SECRET_VERSIONS_MAX);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_value_comes_back_and_stands_nowhere_in_the_folder),
        TEST(versions_are_found_by_stage_number_and_id),
        TEST(a_json_key_is_looked_up),
        TEST(an_arn_finds_the_name_that_it_was_made_of),
        TEST(old_versions_go_and_so_do_their_files),
        TEST(what_is_no_name_or_no_value_is_refused),
        TEST(the_list_tells_all_but_values_and_keys),
        TEST(a_pipeline_without_a_grant_is_refused_whether_the_name_is_there_or_not),
        TEST(a_store_opens_with_the_key_that_sealed_it_and_no_other),
        TEST(a_master_key_has_32_bytes_and_is_not_open_to_everybody),
        TEST(rotation_changes_every_sealed_key_and_no_value),
        TEST(any_change_to_the_index_is_noticed),
        TEST(a_changed_swapped_or_missing_value_is_noticed),
        TEST(an_index_of_another_store_is_refused),
        TEST(what_a_crash_left_is_swept),
        TEST(a_killed_writer_leaves_a_whole_store),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
