#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "store/store_batch.h"

#define LONG_MS    20000
#define SPACING_MS 1000

struct fixture {
    char folder[64];
    struct loop *loop;
    struct sqlite_db *db;
    struct store_batch *batch;
    int committed, dropped, failures, transactions;
    int next; /* the number that must come next */
    int expected;
    bool done;
    bool poison; /* apply fails while it is set */
    bool closed;
};

struct number {
    int value;
};

static void apply(struct sqlite_db *db, void *item, void *arg)
{
    struct fixture *f = arg;
    const struct number *n = item;
    sqlite_exec(db, "INSERT INTO numbers VALUES (?)", SQL_INT(n->value));
    if (f->poison)
        sqlite_exec(db, "INSERT INTO nowhere VALUES (1)");
}

static void committed(void *const *items, size_t count, void *arg)
{
    struct fixture *f = arg;
    f->transactions++;
    for (size_t i = 0; i < count; i++) {
        struct number *n = items[i];
        assert_int_equal(n->value, f->next++);
        free(n);
    }
    f->committed += (int)count;
    f->done = f->committed == f->expected;
}

static void failed(const struct err *err, void *arg)
{
    struct fixture *f = arg;
    assert_non_null(strstr(err->msg, "nowhere"));
    f->failures++;
    f->poison = false;
}

static void drop(void *item, void *arg)
{
    struct fixture *f = arg;
    f->dropped++;
    free(item);
}

static int set_up_spaced(void **state, int64_t spacing_ms)
{
    struct fixture *f = mem_alloc(sizeof(*f));
    snprintf(f->folder, sizeof(f->folder), "/tmp/gantry-batch-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    char *path = mem_printf("%s/n.db", f->folder);
    const struct sqlite_db_conf conf = {
        .path = path, .schema = "CREATE TABLE numbers (value INTEGER PRIMARY KEY)", .version = 1};
    assert_int_equal(sqlite_db_open(&f->db, &conf, NULL, NULL), 0);
    free(path);
    f->loop = loop_new(2);
    f->batch = store_batch_new(&(struct store_batch_conf){.loop = f->loop,
                                                          .db = f->db,
                                                          .items_max = 100,
                                                          .spacing_ms = spacing_ms,
                                                          .apply = apply,
                                                          .committed = committed,
                                                          .failed = failed,
                                                          .drop = drop,
                                                          .arg = f});
    *state = f;
    return 0;
}

static int set_up(void **state)
{
    return set_up_spaced(state, 0);
}

static int set_up_apart(void **state)
{
    return set_up_spaced(state, SPACING_MS);
}

static void on_closed(void *arg)
{
    struct fixture *f = arg;
    f->closed = true;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    if (f->batch) {
        store_batch_close(f->batch, on_closed, f);
        assert_false(f->closed);
        loop_run_for(f->loop, LONG_MS, &f->closed);
        assert_true(f->closed);
    }
    loop_free(f->loop);
    sqlite_db_close(f->db);
    file_remove_tree(f->folder, NULL);
    free(f);
    return 0;
}

static void add(struct fixture *f, int from, int count)
{
    for (int i = from; i < from + count; i++) {
        struct number *n = mem_alloc(sizeof(*n));
        n->value = i;
        store_batch_add(f->batch, n, 10);
    }
}

static void wait_for(struct fixture *f, int expected)
{
    f->expected = expected;
    f->done = f->committed == expected;
    loop_run_for(f->loop, LONG_MS, &f->done);
    assert_int_equal(f->committed, expected);
}

static void what_is_added_together_is_one_transaction(void **state)
{
    struct fixture *f = *state;
    add(f, 0, 100);
    assert_int_equal(store_batch_waiting(f->batch), 100);
    assert_int_equal(store_batch_waiting_bytes(f->batch), 1000);
    wait_for(f, 100);
    assert_int_equal(f->transactions, 1);
    assert_int_equal(store_batch_waiting_bytes(f->batch), 0);
}

static void a_transaction_is_bounded_and_order_is_kept(void **state)
{
    struct fixture *f = *state;
    add(f, 0, 1050);
    wait_for(f, 1050);
    assert_int_equal(f->transactions, 11);
    assert_int_equal(sqlite_select_int(f->db, 0, "SELECT COUNT(*) FROM numbers"), 1050);
}

static void what_comes_soon_after_a_transaction_waits_for_more_unless_it_fills_one(void **state)
{
    struct fixture *f = *state;
    add(f, 0, 1);
    wait_for(f, 1);
    add(f, 1, 1);
    loop_run_for(f->loop, 10, NULL);
    add(f, 2, 1);
    wait_for(f, 3);
    assert_int_equal(f->transactions, 2);
    add(f, 3, 1);
    loop_run_for(f->loop, 10, NULL);
    assert_int_equal(f->transactions, 2);
    add(f, 4, 99);
    wait_for(f, 103);
    assert_int_equal(f->transactions, 3);
}

static void a_failed_transaction_leaves_nothing_and_is_tried_again(void **state)
{
    struct fixture *f = *state;
    f->poison = true;
    add(f, 0, 3);
    wait_for(f, 3);
    assert_int_equal(f->failures, 1);
    assert_int_equal(f->transactions, 1);
    assert_int_equal(sqlite_select_int(f->db, 0, "SELECT COUNT(*) FROM numbers"), 3);
}

static void closing_drops_what_waits_and_lets_what_runs_end(void **state)
{
    struct fixture *f = *state;
    add(f, 0, 250);
    while (f->transactions == 0)
        loop_run_for(f->loop, 1, NULL);
    store_batch_close(f->batch, on_closed, f);
    f->batch = NULL;
    loop_run_for(f->loop, LONG_MS, &f->closed);
    assert_true(f->closed);
    assert_int_equal(f->committed + f->dropped, 250);
    assert_int_equal(sqlite_select_int(f->db, 0, "SELECT COUNT(*) FROM numbers"), f->committed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_added_together_is_one_transaction),
        TEST(a_transaction_is_bounded_and_order_is_kept),
        cmocka_unit_test_setup_teardown(
            what_comes_soon_after_a_transaction_waits_for_more_unless_it_fills_one, set_up_apart,
            tear_down),
        TEST(a_failed_transaction_leaves_nothing_and_is_tried_again),
        TEST(closing_drops_what_waits_and_lets_what_runs_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
