#include "store/sqlite_db.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

#define APPLICATION_ID    0x474E5459 /* "GNTY" */
#define CACHE_KIB_DEFAULT 512
#define BUSY_MS           2000

struct sqlite_db {
    sqlite3 *handle;
    struct map *statements; /* SQL -> struct sqlite_rows, those not in use */
    struct err error;       /* sticks */
    int lock_fd;            /* a writer's; -1 */
    char *path;
    bool in_transaction;
    bool read_only;
};

struct sqlite_rows {
    struct sqlite_db *db;
    sqlite3_stmt *stmt; /* NULL: it could not be prepared */
    char *sql;
    bool done;
};

static enum err_code code_of(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return ERR_INVALID;
    case SQLITE_FULL:
        return ERR_LIMIT;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return ERR_IO;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_CONFLICT;
    default:
        return ERR_INTERNAL;
    }
}

static void set_sticky(struct sqlite_db *db, int rc, const char *what)
{
    if (db->error.code == ERR_NONE)
        err_set(&db->error, code_of(rc), "%s: %s: %.200s", db->path, sqlite3_errmsg(db->handle),
                what);
}

/* ---- statements ---- */

static void rows_free(void *arg)
{
    struct sqlite_rows *rows = arg;
    if (!rows)
        return;
    sqlite3_finalize(rows->stmt);
    free(rows->sql);
    free(rows);
}

static struct sqlite_rows *rows_get(struct sqlite_db *db, const char *sql)
{
    struct sqlite_rows *rows = db->error.code == ERR_NONE ? map_take(db->statements, sql) : NULL;
    if (rows)
        return rows;
    rows = mem_alloc(sizeof(*rows));
    rows->db = db;
    rows->sql = mem_strdup(sql);
    if (db->error.code != ERR_NONE)
        return rows;
    int rc = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &rows->stmt, NULL);
    if (rc != SQLITE_OK)
        set_sticky(db, rc, sql);
    return rows;
}

static int bind_value(sqlite3_stmt *stmt, int index, const struct sql_value *value)
{
    switch (value->type) {
    case SQL_IS_INT:
        return sqlite3_bind_int64(stmt, index, value->num);
    case SQL_IS_REAL:
        return sqlite3_bind_double(stmt, index, value->real);
    case SQL_IS_TEXT:
        return sqlite3_bind_text(stmt, index, value->data, -1, SQLITE_STATIC);
    case SQL_IS_BLOB:
        if (value->len == 0)
            return sqlite3_bind_zeroblob(stmt, index, 0);
        return sqlite3_bind_blob64(stmt, index, value->data, value->len, SQLITE_STATIC);
    default:
        return sqlite3_bind_null(stmt, index);
    }
}

struct sqlite_rows *sqlite_select_values(struct sqlite_db *db, const char *sql,
                                         const struct sql_value *values)
{
    struct sqlite_rows *rows = rows_get(db, sql);
    rows->done = false;
    if (!rows->stmt)
        return rows;
    int count = 0;
    while (values[count].type != SQL_END) {
        int rc = bind_value(rows->stmt, count + 1, &values[count]);
        if (rc != SQLITE_OK) {
            set_sticky(db, rc, sql);
            return rows;
        }
        count++;
    }
    if (count != sqlite3_bind_parameter_count(rows->stmt) && db->error.code == ERR_NONE)
        err_set(&db->error, ERR_INTERNAL, "%d values for: %.200s", count, sql);
    return rows;
}

bool sqlite_next(struct sqlite_rows *rows)
{
    if (!rows->stmt || rows->done || rows->db->error.code != ERR_NONE)
        return false;
    int rc = sqlite3_step(rows->stmt);
    if (rc == SQLITE_ROW)
        return true;
    rows->done = true;
    if (rc != SQLITE_DONE)
        set_sticky(rows->db, rc, rows->sql);
    return false;
}

void sqlite_rows_end(struct sqlite_rows *rows)
{
    if (!rows->stmt || rows->db->error.code != ERR_NONE) {
        rows_free(rows);
        return;
    }
    sqlite3_reset(rows->stmt);
    sqlite3_clear_bindings(rows->stmt);
    map_set(rows->db->statements, rows->sql, rows);
}

int64_t sqlite_exec_values(struct sqlite_db *db, const char *sql, const struct sql_value *values)
{
    struct sqlite_rows *rows = sqlite_select_values(db, sql, values);
    while (sqlite_next(rows))
        ;
    int64_t changes = db->error.code == ERR_NONE ? sqlite3_changes64(db->handle) : -1;
    sqlite_rows_end(rows);
    return changes;
}

bool sqlite_is_null(const struct sqlite_rows *rows, int column)
{
    return sqlite3_column_type(rows->stmt, column) == SQLITE_NULL;
}

int64_t sqlite_int(const struct sqlite_rows *rows, int column)
{
    return sqlite3_column_int64(rows->stmt, column);
}

double sqlite_real(const struct sqlite_rows *rows, int column)
{
    return sqlite3_column_double(rows->stmt, column);
}

const char *sqlite_text(const struct sqlite_rows *rows, int column)
{
    const char *text = (const char *)sqlite3_column_text(rows->stmt, column);
    return text ? text : "";
}

const void *sqlite_blob(const struct sqlite_rows *rows, int column, size_t *len)
{
    const void *data = sqlite3_column_blob(rows->stmt, column);
    *len = (size_t)sqlite3_column_bytes(rows->stmt, column);
    return data ? data : "";
}

int64_t sqlite_select_int_values(struct sqlite_db *db, int64_t none, const char *sql,
                                 const struct sql_value *values)
{
    struct sqlite_rows *rows = sqlite_select_values(db, sql, values);
    int64_t value = sqlite_next(rows) && !sqlite_is_null(rows, 0) ? sqlite_int(rows, 0) : none;
    sqlite_rows_end(rows);
    return value;
}

/* ---- transactions ---- */

int sqlite_db_error(const struct sqlite_db *db, struct err *err)
{
    return db->error.code == ERR_NONE ? 0 : err_set(err, db->error.code, "%s", db->error.msg);
}

void sqlite_db_begin(struct sqlite_db *db)
{
    if (db->read_only)
        sqlite_exec(db, "BEGIN");
    else
        sqlite_exec(db, "BEGIN IMMEDIATE");
    db->in_transaction = true;
}

void sqlite_db_rollback(struct sqlite_db *db)
{
    if (db->in_transaction && !sqlite3_get_autocommit(db->handle))
        sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
    db->in_transaction = false;
    db->error = (struct err){.code = ERR_NONE};
}

int sqlite_db_commit(struct sqlite_db *db, struct err *err)
{
    sqlite_exec(db, "COMMIT");
    int rc = sqlite_db_error(db, err);
    if (rc != 0)
        sqlite_db_rollback(db);
    db->in_transaction = false;
    return rc;
}

/* ---- opening ---- */

static int run_script(struct sqlite_db *db, const char *sql, struct err *err)
{
    int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        return 0;
    return err_set(err, code_of(rc), "%s: %s", db->path, sqlite3_errmsg(db->handle));
}

static int run_pragma(struct sqlite_db *db, const char *name, int64_t value, struct err *err)
{
    char *sql = mem_printf("PRAGMA %s = %lld", name, (long long)value);
    int rc = run_script(db, sql, err);
    free(sql);
    return rc;
}

static int open_handle(struct sqlite_db *db, const struct sqlite_db_conf *conf, struct err *err)
{
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    flags |= conf->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    int rc = sqlite3_open_v2(conf->path, &db->handle, flags, NULL);
    if (rc != SQLITE_OK)
        return err_set(err, code_of(rc), "cannot open %s: %s", conf->path,
                       db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(rc));
    sqlite3_busy_timeout(db->handle, BUSY_MS);
    /* Synchronous NORMAL in WAL mode: a power cut may lose the last transactions, never the
     * file's order; the positions in it go back with the data. */
    if (!conf->read_only && run_script(db,
                                       "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                                       "PRAGMA wal_autocheckpoint = 500;"
                                       "PRAGMA journal_size_limit = 4194304",
                                       err) != 0)
        return -1;
    if (run_script(db, "PRAGMA temp_store = MEMORY", err) != 0)
        return -1;
    return run_pragma(db, "cache_size",
                      -(conf->cache_kib > 0 ? conf->cache_kib : CACHE_KIB_DEFAULT), err);
}

static bool fits(struct sqlite_db *db, const struct sqlite_db_conf *conf)
{
    bool same = sqlite_select_int(db, 0, "PRAGMA application_id") == APPLICATION_ID &&
                sqlite_select_int(db, 0, "PRAGMA user_version") == conf->version;
    if (same && conf->identity) {
        struct sqlite_rows *rows = sqlite_select(db, "SELECT identity FROM file_identity");
        same = sqlite_next(rows) && str_eq(sqlite_text(rows, 0), conf->identity);
        sqlite_rows_end(rows);
    }
    return same && db->error.code == ERR_NONE;
}

static int make_schema(struct sqlite_db *db, const struct sqlite_db_conf *conf, struct err *err)
{
    sqlite_db_begin(db);
    if (run_script(db, "CREATE TABLE file_identity (identity TEXT)", err) != 0 ||
        run_script(db, conf->schema, err) != 0 ||
        run_pragma(db, "application_id", APPLICATION_ID, err) != 0 ||
        run_pragma(db, "user_version", conf->version, err) != 0) {
        sqlite_db_rollback(db);
        return -1;
    }
    sqlite_exec(db, "INSERT INTO file_identity VALUES (?)", SQL_TEXT(conf->identity));
    return sqlite_db_commit(db, err);
}

static int lock_writer(struct sqlite_db *db, const char *path, struct err *err)
{
    char *name = mem_printf("%s.lock", path);
    int rc = 0;
    db->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (db->lock_fd < 0)
        rc = err_errno(err, errno, "cannot open %s", name);
    else if (flock(db->lock_fd, LOCK_EX | LOCK_NB) != 0)
        rc = err_set(err, ERR_CONFLICT, "%s is written by another process", path);
    free(name);
    return rc;
}

static int make_folder(const char *path, struct err *err)
{
    char *copy = mem_strdup(path);
    int rc = file_mkdirs(dirname(copy), 0700, err);
    free(copy);
    return rc;
}

static void close_handle(struct sqlite_db *db)
{
    map_clear(db->statements);
    sqlite3_close(db->handle);
    db->handle = NULL;
    db->in_transaction = false;
    db->error = (struct err){.code = ERR_NONE};
}

static int open_writer(struct sqlite_db *db, const struct sqlite_db_conf *conf, bool *fresh,
                       struct err *err)
{
    struct err why = {.code = ERR_NONE};
    *fresh = false;
    if (make_folder(conf->path, err) != 0 || lock_writer(db, conf->path, err) != 0)
        return -1;
    if (open_handle(db, conf, &why) == 0 && fits(db, conf))
        return 0;
    if (why.code != ERR_NONE && why.code != ERR_INVALID)
        return err_set(err, why.code, "%s", why.msg);
    close_handle(db);
    *fresh = true;
    if (sqlite_db_remove(conf->path, err) != 0 || open_handle(db, conf, err) != 0 ||
        chmod(conf->path, 0600) != 0)
        return err->code != ERR_NONE ? -1 : err_errno(err, errno, "cannot chmod %s", conf->path);
    return make_schema(db, conf, err);
}

int sqlite_db_open(struct sqlite_db **out, const struct sqlite_db_conf *conf, bool *fresh,
                   struct err *err)
{
    struct sqlite_db *db = mem_alloc(sizeof(*db));
    struct err local = {.code = ERR_NONE};
    bool is_fresh = false;
    int rc;

    db->lock_fd = -1;
    db->read_only = conf->read_only;
    db->path = mem_strdup(conf->path);
    db->statements = map_new(rows_free);
    if (conf->read_only)
        rc = open_handle(db, conf, &local);
    else
        rc = open_writer(db, conf, &is_fresh, &local);
    if (rc != 0) {
        sqlite_db_close(db);
        return err_set(err, local.code, "%s", local.msg);
    }
    if (fresh)
        *fresh = is_fresh;
    *out = db;
    return 0;
}

void sqlite_db_close(struct sqlite_db *db)
{
    if (!db)
        return;
    if (db->handle && db->in_transaction)
        sqlite_db_rollback(db);
    close_handle(db);
    map_free(db->statements);
    if (db->lock_fd >= 0)
        close(db->lock_fd);
    free(db->path);
    free(db);
}

int sqlite_db_remove(const char *path, struct err *err)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    int rc = 0;
    for (size_t i = 0; i < sizeof(ends) / sizeof(*ends) && rc == 0; i++) {
        char *name = mem_printf("%s%s", path, ends[i]);
        if (unlink(name) != 0 && errno != ENOENT)
            rc = err_errno(err, errno, "cannot remove %s", name);
        free(name);
    }
    return rc;
}
