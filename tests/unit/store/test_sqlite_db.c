#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "store/sqlite_db.h"

#define SCHEMA "CREATE TABLE pet (name TEXT PRIMARY KEY, legs INTEGER, photo BLOB)"

struct fixture {
    char folder[64];
    char *path;
    struct sqlite_db_conf conf;
};

static int set_up(void **state)
{
    struct fixture *f = mem_alloc(sizeof(*f));
    snprintf(f->folder, sizeof(f->folder), "/tmp/gantry-store-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    f->path = mem_printf("%s/sub/pets.db", f->folder);
    f->conf =
        (struct sqlite_db_conf){.path = f->path, .schema = SCHEMA, .version = 1, .identity = "a"};
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(file_remove_tree(f->folder, NULL), 0);
    free(f->path);
    free(f);
    return 0;
}

static struct sqlite_db *open_db(struct fixture *f, bool expect_fresh)
{
    struct sqlite_db *db;
    struct err err = {.code = ERR_NONE};
    bool fresh = !expect_fresh;
    if (sqlite_db_open(&db, &f->conf, &fresh, &err) != 0)
        fail_msg("%s", err.msg);
    assert_int_equal(fresh, expect_fresh);
    return db;
}

static void put(struct sqlite_db *db, const char *name, int legs)
{
    sqlite_db_begin(db);
    sqlite_exec(db, "INSERT INTO pet (name, legs) VALUES (?, ?)", SQL_TEXT(name), SQL_INT(legs));
    assert_int_equal(sqlite_db_commit(db, NULL), 0);
}

static int64_t count(struct sqlite_db *db)
{
    return sqlite_select_int(db, -1, "SELECT COUNT(*) FROM pet");
}

static void what_was_committed_is_there_after_reopening(void **state)
{
    struct fixture *f = *state;
    struct sqlite_db *db = open_db(f, true);
    put(db, "cat", 4);
    sqlite_db_close(db);
    db = open_db(f, false);
    assert_int_equal(
        sqlite_select_int(db, -1, "SELECT legs FROM pet WHERE name = ?", SQL_TEXT("cat")), 4);
    sqlite_db_close(db);
}

static void what_was_not_committed_is_gone(void **state)
{
    struct fixture *f = *state;
    struct sqlite_db *db = open_db(f, true);
    sqlite_db_begin(db);
    sqlite_exec(db, "INSERT INTO pet (name) VALUES ('dog')");
    sqlite_db_close(db);
    db = open_db(f, false);
    assert_int_equal(count(db), 0);
    sqlite_db_close(db);
}

static void another_schema_version_makes_the_file_anew(void **state)
{
    struct fixture *f = *state;
    struct sqlite_db *db = open_db(f, true);
    put(db, "cat", 4);
    sqlite_db_close(db);
    f->conf.version = 2;
    db = open_db(f, true);
    assert_int_equal(count(db), 0);
    sqlite_db_close(db);
    sqlite_db_close(open_db(f, false));
}

static void another_identity_makes_the_file_anew(void **state)
{
    struct fixture *f = *state;
    struct sqlite_db *db = open_db(f, true);
    put(db, "cat", 4);
    sqlite_db_close(db);
    f->conf.identity = "b";
    db = open_db(f, true);
    assert_int_equal(count(db), 0);
    sqlite_db_close(db);
}

static void a_file_that_is_no_database_is_made_anew(void **state)
{
    struct fixture *f = *state;
    struct err err;
    char junk[8192];
    memset(junk, 'x', sizeof(junk));
    char *folder = mem_printf("%s/sub", f->folder);
    assert_int_equal(file_mkdirs(folder, 0700, &err), 0);
    assert_int_equal(file_write(f->path, junk, sizeof(junk), 0600, &err), 0);
    free(folder);
    struct sqlite_db *db = open_db(f, true);
    put(db, "cat", 4);
    sqlite_db_close(db);
}

static void the_first_error_sticks_until_the_rollback(void **state)
{
    struct fixture *f = *state;
    struct err err;
    struct sqlite_db *db = open_db(f, true);
    put(db, "cat", 4);
    sqlite_db_begin(db);
    sqlite_exec(db, "INSERT INTO pet (name) VALUES ('dog')");
    assert_int_equal(sqlite_exec(db, "INSERT INTO pet (name) VALUES (?)", SQL_TEXT("cat")), -1);
    assert_int_equal(sqlite_exec(db, "INSERT INTO pet (name) VALUES ('hen')"), -1);
    struct sqlite_rows *rows = sqlite_select(db, "SELECT name FROM pet");
    assert_false(sqlite_next(rows));
    sqlite_rows_end(rows);
    assert_int_equal(sqlite_db_commit(db, &err), -1);
    assert_non_null(strstr(err.msg, "UNIQUE"));
    assert_int_equal(count(db), 1);
    put(db, "dog", 4);
    assert_int_equal(count(db), 2);
    sqlite_db_close(db);
}

static void a_wrong_number_of_values_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct err err;
    struct sqlite_db *db = open_db(f, true);
    sqlite_exec(db, "INSERT INTO pet (name, legs) VALUES (?, ?)", SQL_TEXT("cat"));
    assert_int_equal(sqlite_db_error(db, &err), -1);
    assert_int_equal(err.code, ERR_INTERNAL);
    sqlite_db_close(db);
}

static void values_of_every_type_come_back_as_they_went_in(void **state)
{
    struct fixture *f = *state;
    struct sqlite_db *db = open_db(f, true);
    size_t len;
    sqlite_exec(db, "INSERT INTO pet VALUES (?, ?, ?)", SQL_TEXT("h\xc3\xbchn"), SQL_INT(INT64_MIN),
                SQL_BLOB("a\0b", 3));
    sqlite_exec(db, "INSERT INTO pet VALUES (?, ?, ?)", SQL_TEXT("z"), SQL_NULL, SQL_BLOB("", 0));
    struct sqlite_rows *rows = sqlite_select(db, "SELECT * FROM pet ORDER BY name");
    assert_true(sqlite_next(rows));
    assert_string_equal(sqlite_text(rows, 0), "h\xc3\xbchn");
    assert_true(sqlite_int(rows, 1) == INT64_MIN);
    const char *photo = sqlite_blob(rows, 2, &len);
    assert_int_equal(len, 3);
    assert_memory_equal(photo, "a\0b", 3);
    assert_true(sqlite_next(rows));
    assert_true(sqlite_is_null(rows, 1));
    assert_string_equal(sqlite_text(rows, 1), "");
    sqlite_blob(rows, 2, &len);
    assert_int_equal(len, 0);
    assert_false(sqlite_is_null(rows, 2));
    assert_false(sqlite_next(rows));
    assert_false(sqlite_next(rows));
    sqlite_rows_end(rows);
    sqlite_db_close(db);
}

static void one_statement_can_run_inside_itself(void **state)
{
    static const char sql[] = "SELECT name FROM pet WHERE name > ? ORDER BY name";
    struct fixture *f = *state;
    struct sqlite_db *db = open_db(f, true);
    put(db, "a", 1);
    put(db, "b", 1);
    struct sqlite_rows *outer = sqlite_select(db, sql, SQL_TEXT(""));
    assert_true(sqlite_next(outer));
    struct sqlite_rows *inner = sqlite_select(db, sql, SQL_TEXT("a"));
    assert_true(sqlite_next(inner));
    assert_string_equal(sqlite_text(inner, 0), "b");
    sqlite_rows_end(inner);
    assert_string_equal(sqlite_text(outer, 0), "a");
    assert_true(sqlite_next(outer));
    sqlite_rows_end(outer);
    sqlite_db_close(db);
}

static void a_reader_sees_commits_and_one_moment_within_its_transaction(void **state)
{
    struct fixture *f = *state;
    struct sqlite_db *writer = open_db(f, true), *reader;
    struct sqlite_db_conf conf = f->conf;
    conf.read_only = true;
    assert_int_equal(sqlite_db_open(&reader, &conf, NULL, NULL), 0);
    put(writer, "cat", 4);
    assert_int_equal(count(reader), 1);
    sqlite_db_begin(reader);
    assert_int_equal(count(reader), 1);
    put(writer, "dog", 4);
    assert_int_equal(count(reader), 1);
    sqlite_db_rollback(reader);
    assert_int_equal(count(reader), 2);
    assert_int_equal(sqlite_exec(reader, "DELETE FROM pet"), -1);
    sqlite_db_close(reader);
    sqlite_db_close(writer);
}

static void a_second_writer_is_refused(void **state)
{
    struct fixture *f = *state;
    struct sqlite_db *db = open_db(f, true), *second;
    struct err err;
    assert_int_equal(sqlite_db_open(&second, &f->conf, NULL, &err), -1);
    assert_int_equal(err.code, ERR_CONFLICT);
    sqlite_db_close(db);
    db = open_db(f, false);
    sqlite_db_close(db);
}

static void a_file_damaged_while_it_is_open_is_told_as_such(void **state)
{
    struct fixture *f = *state;
    struct err err;
    struct sqlite_db *db = open_db(f, true);
    for (int i = 0; i < 2000; i++) {
        char name[16];
        snprintf(name, sizeof(name), "pet-%d", i);
        sqlite_exec(db, "INSERT INTO pet (name) VALUES (?)", SQL_TEXT(name));
    }
    sqlite_db_close(db);
    FILE *file = fopen(f->path, "r+");
    assert_int_equal(fseek(file, 10 * 4096, SEEK_SET), 0);
    for (int i = 0; i < 16 * 4096; i++)
        fputc('x', file);
    fclose(file);
    db = open_db(f, false);
    count(db);
    sqlite_select_int(db, 0, "SELECT COUNT(legs) FROM pet");
    assert_int_equal(sqlite_db_error(db, &err), -1);
    assert_int_equal(err.code, ERR_INVALID);
    sqlite_db_close(db);
    assert_int_equal(sqlite_db_remove(f->path, &err), 0);
    sqlite_db_close(open_db(f, true));
}

static void a_commit_survives_kill_9(void **state)
{
    struct fixture *f = *state;
    pid_t pid = fork();
    if (pid == 0) {
        struct sqlite_db *db;
        if (sqlite_db_open(&db, &f->conf, NULL, NULL) != 0)
            _exit(1);
        put(db, "cat", 4);
        sqlite_db_begin(db);
        sqlite_exec(db, "INSERT INTO pet (name) VALUES ('half')");
        kill(getpid(), SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    struct sqlite_db *db = open_db(f, false);
    assert_int_equal(count(db), 1);
    sqlite_db_close(db);
}

static void others_cannot_read_the_file(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    sqlite_db_close(open_db(f, true));
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_committed_is_there_after_reopening),
        TEST(what_was_not_committed_is_gone),
        TEST(another_schema_version_makes_the_file_anew),
        TEST(another_identity_makes_the_file_anew),
        TEST(a_file_that_is_no_database_is_made_anew),
        TEST(the_first_error_sticks_until_the_rollback),
        TEST(a_wrong_number_of_values_is_an_error),
        TEST(values_of_every_type_come_back_as_they_went_in),
        TEST(one_statement_can_run_inside_itself),
        TEST(a_reader_sees_commits_and_one_moment_within_its_transaction),
        TEST(a_second_writer_is_refused),
        TEST(a_file_damaged_while_it_is_open_is_told_as_such),
        TEST(a_commit_survives_kill_9),
        TEST(others_cannot_read_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
