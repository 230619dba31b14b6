/* The artifact store as a folder; as S3 it is tested against a server (tests/e2e/test_store.py). */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "store/artifact_store.h"

static struct {
    struct loop *loop;
    struct artifact_store *store;
    char dir[64];
    bool done;
    struct err err;
    uint64_t size;
    int64_t modified_ms;
    char keys[4096];
    size_t count;
    int calls;
} fx;

static int open_store(const char *where, struct err *err)
{
    const struct artifact_store_conf conf = {.loop = fx.loop, .where = where};
    return artifact_store_new(&fx.store, &conf, err);
}

static int setup(void **state)
{
    (void)state;
    memset(&fx, 0, sizeof(fx));
    snprintf(fx.dir, sizeof(fx.dir), "/tmp/gantry-store-XXXXXX");
    assert_non_null(mkdtemp(fx.dir));
    fx.loop = loop_new(2);
    assert_int_equal(open_store(fx.dir, &fx.err), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    artifact_store_free(fx.store);
    loop_free(fx.loop);
    return file_remove_tree(fx.dir, NULL);
}

static void on_done(const struct artifact_answer *answer, const struct err *err, void *arg)
{
    size_t len = 0;
    (void)arg;
    fx.done = true;
    fx.calls++;
    fx.err = *err;
    fx.size = answer->size;
    fx.modified_ms = answer->modified_ms;
    fx.count = answer->count;
    fx.keys[0] = '\0';
    for (size_t i = 0; answer->objects && i < answer->count; i++)
        len +=
            (size_t)snprintf(fx.keys + len, sizeof(fx.keys) - len, "%s%s:%llu", i ? " " : "",
                             answer->objects[i].key, (unsigned long long)answer->objects[i].size);
}

static enum err_code wait_for(struct artifact_call *call)
{
    assert_non_null(call);
    assert_false(fx.done);
    loop_run_for(fx.loop, 60000, &fx.done);
    assert_true(fx.done);
    fx.done = false;
    return fx.err.code;
}

static int file_of(const char *text)
{
    int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    return fd;
}

static enum err_code put(const char *key, const char *text)
{
    int fd = file_of(text);
    struct artifact_call *call = artifact_put(fx.store, key, fd, strlen(text), on_done, NULL);
    close(fd); /* allowed at once */
    return wait_for(call);
}

static enum err_code get(const char *key, uint64_t limit, char out[64])
{
    int fd = file_of("");
    enum err_code code = wait_for(artifact_get(fx.store, key, fd, limit, on_done, NULL));
    ssize_t n = pread(fd, out, 63, 0);
    out[n < 0 ? 0 : n] = '\0';
    close(fd);
    return code;
}

static void what_is_put_is_got_asked_for_listed_and_deleted(void **state)
{
    (void)state;
    char text[64];
    assert_int_equal(put("shop/1/web.zip", "hello"), ERR_NONE);
    assert_int_equal(get("shop/1/web.zip", 5, text), ERR_NONE);
    assert_string_equal(text, "hello");
    assert_int_equal(fx.size, 5);
    assert_int_equal(put("shop/1/web.zip", "new"), ERR_NONE);
    assert_int_equal(wait_for(artifact_head(fx.store, "shop/1/web.zip", on_done, NULL)), ERR_NONE);
    assert_int_equal(fx.size, 3);
    assert_true(fx.modified_ms > 1700000000000);
    assert_int_equal(wait_for(artifact_delete(fx.store, "shop/1/web.zip", on_done, NULL)),
                     ERR_NONE);
    assert_int_equal(wait_for(artifact_delete(fx.store, "shop/1/web.zip", on_done, NULL)),
                     ERR_NONE);
    assert_int_equal(get("shop/1/web.zip", 5, text), ERR_NOT_FOUND);
    assert_int_equal(wait_for(artifact_head(fx.store, "shop/1", on_done, NULL)), ERR_NOT_FOUND);
}

static void folder_and_objects_are_for_their_owner_alone(void **state)
{
    (void)state;
    struct stat st;
    char *path = mem_printf("%s/a/b", fx.dir);
    assert_int_equal(put("a/b", "x"), ERR_NONE);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    path[strlen(path) - 2] = '\0';
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    free(path);
    artifact_store_free(fx.store);
    fx.store = NULL;
    assert_int_equal(chmod(fx.dir, 0755), 0);
    assert_int_equal(open_store(fx.dir, &fx.err), -1);
    assert_non_null(strstr(fx.err.msg, "chmod 700"));
}

static void a_list_is_sorted_and_of_one_prefix(void **state)
{
    (void)state;
    static const char *const keys[] = {"cache/shop/npm-2", "cache/shop/npm-1", "cache/shopping/x",
                                       "cache/shop/mvn", "log/shop"};
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(put(keys[i], "12"), ERR_NONE);
    static const struct {
        const char *prefix, *found;
    } asked[] = {{"cache/shop/", "cache/shop/mvn:2 cache/shop/npm-1:2 cache/shop/npm-2:2"},
                 {"cache/shop/npm-", "cache/shop/npm-1:2 cache/shop/npm-2:2"},
                 {"cache/shop/npm-2", "cache/shop/npm-2:2"},
                 {"cache/shop", "cache/shop/mvn:2 cache/shop/npm-1:2 cache/shop/npm-2:2 "
                                "cache/shopping/x:2"},
                 {"nothing/", ""},
                 {"log/", "log/shop:2"},
                 {"l", "log/shop:2"}};
    for (size_t i = 0; i < sizeof(asked) / sizeof(*asked); i++) {
        assert_int_equal(wait_for(artifact_list(fx.store, asked[i].prefix, on_done, NULL)),
                         ERR_NONE);
        assert_string_equal(fx.keys, asked[i].found);
    }
    assert_int_equal(wait_for(artifact_list(fx.store, "", on_done, NULL)), ERR_NONE);
    assert_int_equal(fx.count, 5);
}

static void old(const char *key, const char *when)
{
    char *line = mem_printf("touch %s '%s/%s'", when, fx.dir, key);
    assert_int_equal(system(line), 0);
    free(line);
}

static void a_sweep_removes_what_nobody_put_or_got_for_so_long(void **state)
{
    (void)state;
    static const char *const keys[] = {"logs/shop/1/a.log", "logs/shop/2/b.log", "logs/c.log",
                                       "artifacts/shop/1/a"};
    char text[64];
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(put(keys[i], "x"), ERR_NONE);
        old(keys[i], "-d '2 hours ago'");
    }
    old(keys[1], "-m -d '1 second ago'");
    assert_int_equal(get(keys[2], 9, text), ERR_NONE);
    assert_int_equal(
        wait_for(artifact_sweep(fx.store, "logs/", clock_now_ms() - 3600000, on_done, NULL)),
        ERR_NONE);
    assert_int_equal(fx.count, 1);
    assert_int_equal(wait_for(artifact_list(fx.store, "", on_done, NULL)), ERR_NONE);
    assert_string_equal(fx.keys, "artifacts/shop/1/a:1 logs/c.log:1 logs/shop/2/b.log:1");
    char *path = mem_printf("%s/logs/shop/1", fx.dir);
    assert_int_not_equal(access(path, F_OK), 0); /* it was empty */
    free(path);
    assert_int_equal(wait_for(artifact_sweep(fx.store, "none/", clock_now_ms(), on_done, NULL)),
                     ERR_NONE);
}

static void what_is_put_soon_is_there_like_all(void **state)
{
    (void)state;
    char text[64];
    int fd = file_of("hello");
    assert_int_equal(wait_for(artifact_put_soon(fx.store, "logs/a", fd, 5, on_done, NULL)),
                     ERR_NONE);
    close(fd);
    assert_int_equal(get("logs/a", 5, text), ERR_NONE);
    assert_string_equal(text, "hello");
}

static ino_t inode_of_object(const char *key)
{
    struct stat st;
    char *path = mem_printf("%s/%s", fx.dir, key);
    assert_int_equal(stat(path, &st), 0);
    free(path);
    return st.st_ino;
}

static void a_file_without_a_name_becomes_the_object(void **state)
{
    (void)state;
    struct stat st;
    char text[64];
    int fd = file_of("hello");
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(wait_for(artifact_put(fx.store, "whole", fd, 5, on_done, NULL)), ERR_NONE);
    assert_true(inode_of_object("whole") == st.st_ino);
    /* It has a name now; and of another only the beginning is wanted. */
    assert_int_equal(wait_for(artifact_put(fx.store, "again", fd, 5, on_done, NULL)), ERR_NONE);
    assert_true(inode_of_object("again") != st.st_ino);
    close(fd);
    fd = file_of("hello, all");
    assert_int_equal(wait_for(artifact_put(fx.store, "part", fd, 5, on_done, NULL)), ERR_NONE);
    close(fd);
    for (size_t i = 0; i < 3; i++) {
        static const char *const keys[] = {"whole", "again", "part"};
        assert_int_equal(get(keys[i], 5, text), ERR_NONE);
        assert_string_equal(text, "hello");
    }
}

static void what_is_no_key_is_refused(void **state)
{
    (void)state;
    static const char *const keys[] = {"",      "/a",     "a/",   "a//b", "../a", "a/../b",
                                       "a/./b", ".tmp/x", "a\\b", "a\nb", "\xff"};
    char text[64], part[202];
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        assert_false(artifact_is_key(keys[i]));
        assert_int_equal(put(keys[i], "x"), ERR_INVALID);
        assert_int_equal(get(keys[i], 1, text), ERR_INVALID);
    }
    memset(part, 'a', 201);
    part[201] = '\0';
    assert_false(artifact_is_key(part));
    assert_true(artifact_is_key(part + 1));
    assert_true(artifact_is_key("a/b c+\xc3\xbc.zip"));
}

static void an_object_larger_than_wanted_is_not_got(void **state)
{
    (void)state;
    char text[64];
    assert_int_equal(put("a", "hello"), ERR_NONE);
    assert_int_equal(get("a", 4, text), ERR_LIMIT);
    assert_string_equal(text, "");
}

static void a_put_that_fails_leaves_what_was_there(void **state)
{
    (void)state;
    char text[64];
    assert_int_equal(put("a", "hello"), ERR_NONE);
    int fd = file_of("xy");
    assert_int_equal(wait_for(artifact_put(fx.store, "a", fd, 3, on_done, NULL)), ERR_IO);
    assert_int_equal(wait_for(artifact_put(fx.store, "a/b", fd, 2, on_done, NULL)), ERR_IO);
    close(fd);
    assert_int_equal(get("a", 9, text), ERR_NONE);
    assert_string_equal(text, "hello");
    char *path = mem_printf("%s/.tmp", fx.dir);
    assert_int_equal(rmdir(path), 0); /* nothing was left in it */
    free(path);
}

static void a_call_that_was_cancelled_says_nothing(void **state)
{
    (void)state;
    int fd = file_of("x");
    struct artifact_call *call = artifact_put(fx.store, "a", fd, 1, on_done, NULL);
    close(fd);
    artifact_call_cancel(call);
    artifact_call_cancel(NULL);
    assert_int_equal(put("b", "x"), ERR_NONE);
    artifact_head(fx.store, "b", on_done, NULL);
    artifact_store_free(fx.store);
    fx.store = NULL;
    loop_drain(fx.loop);
    assert_int_equal(fx.calls, 1);
}

static void places_that_are_none_are_refused(void **state)
{
    (void)state;
    static const char *const places[] = {"relative", "s3://",      "s3://b",
                                         "s3:///x",  "http://a/b", "s3://bucket/../x"};
    artifact_store_free(fx.store);
    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
        fx.store = NULL;
        assert_int_equal(open_store(places[i], &fx.err), -1);
        assert_int_equal(fx.err.code, ERR_INVALID);
    }
    assert_int_equal(open_store("s3://bucket/prefix", &fx.err), -1);
    assert_non_null(strstr(fx.err.msg, "needs AWS"));
    fx.store = NULL;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_put_is_got_asked_for_listed_and_deleted),
        TEST(folder_and_objects_are_for_their_owner_alone),
        TEST(a_list_is_sorted_and_of_one_prefix),
        TEST(a_sweep_removes_what_nobody_put_or_got_for_so_long),
        TEST(what_is_put_soon_is_there_like_all),
        TEST(a_file_without_a_name_becomes_the_object),
        TEST(what_is_no_key_is_refused),
        TEST(an_object_larger_than_wanted_is_not_got),
        TEST(a_put_that_fails_leaves_what_was_there),
        TEST(a_call_that_was_cancelled_says_nothing),
        TEST(places_that_are_none_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
