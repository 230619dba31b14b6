/* A read model in one SQLite file (WAL). What it holds can be made again from somewhere else, so
 * there is no migration: a file of another schema version or identity, or one that is damaged, is
 * deleted and made anew. The only library that includes sqlite3.h.
 *
 * A handle is used by one thread at a time. One writer a file (a second process is refused), any
 * number of readers beside it; a reader sees what was committed.
 *
 * Errors stick, as in struct buf: after a statement failed, statements do nothing until
 * sqlite_db_rollback(), and sqlite_db_commit() returns the first error. So a writer checks once, at
 * the commit. Codes: ERR_INVALID, the file is damaged (close, sqlite_db_remove(), open again);
 * ERR_CONFLICT, somebody else writes it; ERR_LIMIT, the disk is full; ERR_IO; ERR_INTERNAL, a
 * statement that cannot be right. */
#ifndef GANTRY_STORE_SQLITE_DB_H
#define GANTRY_STORE_SQLITE_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct sqlite_db;
struct sqlite_rows;

struct sqlite_db_conf {
    const char *path;
    const char *schema;   /* SQL that makes an empty file's tables; NULL for a reader */
    int32_t version;      /* of the schema, > 0 */
    const char *identity; /* what the data are of, e.g. the topics' prefix; NULL: not compared */
    bool read_only;       /* a reader: the file must be there, as the writer made it */
    int cache_kib;        /* page cache; 0: 512 */
};

/* Opens, and makes anew what does not fit. *fresh (may be NULL): the file is empty now. Folder and
 * file are made with mode 0700 and 0600. Blocking. */
int sqlite_db_open(struct sqlite_db **out, const struct sqlite_db_conf *conf, bool *fresh,
                   struct err *err);
void sqlite_db_close(struct sqlite_db *db); /* rolls back what is open; NULL is accepted */
/* Deletes the file and what SQLite keeps beside it; not being there is success. No handle may be
 * open on it. */
int sqlite_db_remove(const char *path, struct err *err);

/* On a reader: all that is read until the rollback is of one moment. */
void sqlite_db_begin(struct sqlite_db *db);
int sqlite_db_commit(struct sqlite_db *db, struct err *err); /* -1: rolled back */
void sqlite_db_rollback(struct sqlite_db *db);               /* also forgets the error that stuck */
/* 0, or -1 and the error that sticks. */
int sqlite_db_error(const struct sqlite_db *db, struct err *err);

/* ---- statements ----
 * `sql` is a string literal: statements are prepared once and kept by its text.
 *     sqlite_exec(db, "UPDATE t SET a = ? WHERE b = ?", SQL_INT(1), SQL_TEXT(name));
 *     rows = sqlite_select(db, "SELECT a FROM t WHERE b = ?", SQL_TEXT(name));
 *     while (sqlite_next(rows)) use(sqlite_int(rows, 0));
 *     sqlite_rows_end(rows);
 * Arguments must live until the statement ended. */
struct sql_value {
    enum { SQL_END, SQL_IS_NULL, SQL_IS_INT, SQL_IS_REAL, SQL_IS_TEXT, SQL_IS_BLOB } type;
    int64_t num;
    double real;
    const void *data;
    size_t len;
};
#define SQL_INT(v)     ((struct sql_value){.type = SQL_IS_INT, .num = (int64_t)(v)})
#define SQL_REAL(v)    ((struct sql_value){.type = SQL_IS_REAL, .real = (v)})
#define SQL_TEXT(s)    ((struct sql_value){.type = SQL_IS_TEXT, .data = (s)}) /* NULL: null */
#define SQL_BLOB(p, n) ((struct sql_value){.type = SQL_IS_BLOB, .data = (p), .len = (n)})
#define SQL_NULL       ((struct sql_value){.type = SQL_IS_NULL})

#define SQL_VALUES(...)             ((const struct sql_value[]){__VA_ARGS__ __VA_OPT__(, ){.type = SQL_END}})
#define sqlite_exec(db, sql, ...)   sqlite_exec_values(db, sql, SQL_VALUES(__VA_ARGS__))
#define sqlite_select(db, sql, ...) sqlite_select_values(db, sql, SQL_VALUES(__VA_ARGS__))

/* Returns the number of rows changed, or -1 (the error sticks). */
int64_t sqlite_exec_values(struct sqlite_db *db, const char *sql, const struct sql_value *values);

/* Never NULL; after an error there are no rows. */
struct sqlite_rows *sqlite_select_values(struct sqlite_db *db, const char *sql,
                                         const struct sql_value *values);
bool sqlite_next(struct sqlite_rows *rows);
void sqlite_rows_end(struct sqlite_rows *rows);
/* Columns count from 0. Pointers live until the next sqlite_next() or the end. */
bool sqlite_is_null(const struct sqlite_rows *rows, int column);
int64_t sqlite_int(const struct sqlite_rows *rows, int column);
double sqlite_real(const struct sqlite_rows *rows, int column);
const char *sqlite_text(const struct sqlite_rows *rows, int column); /* "" for null */
const void *sqlite_blob(const struct sqlite_rows *rows, int column, size_t *len);

/* One number: the first row's first column; `none` where there is no row or it is null. */
#define sqlite_select_int(db, none, sql, ...)                                                      \
    sqlite_select_int_values(db, none, sql, SQL_VALUES(__VA_ARGS__))
int64_t sqlite_select_int_values(struct sqlite_db *db, int64_t none, const char *sql,
                                 const struct sql_value *values);

#endif
