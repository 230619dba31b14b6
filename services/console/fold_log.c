/* Logs: kept for some days and within bounds; and what else is kept for some time only. */
#include "gantry/v1/log.pb-c.h"
#include "services/console/fold.h"

#define PRUNE_ATTEMPTS   500 /* in one transaction, so that the writer stays free for others */
#define PRUNE_RELEASES   500
#define PRUNE_ROWS       20000
#define OUTCOMES_KEPT_MS (INT64_C(30) * 24 * 3600 * 1000) /* as long as the topic `command` */

/* Of a log that is too long the beginning and the end stay: what was set up and what went wrong. */
static void cut_middle(struct sqlite_db *db, const Gantry__V1__LogChunk *chunk,
                       const struct fold_limits *limits)
{
    struct sql_value run = SQL_TEXT(chunk->run_id), attempt = SQL_INT(chunk->attempt);
    uint64_t head = limits->log_attempt_bytes / 8;

    int64_t end = sqlite_select_int(
        db, 0, "SELECT end_bytes FROM log_attempts WHERE run_id = ? AND attempt = ?", run, attempt);
    int64_t tail = end - (int64_t)(limits->log_attempt_bytes / 2);
    sqlite_exec(db,
                "DELETE FROM log_chunks WHERE run_id = ? AND attempt = ? AND offset_bytes >= ?"
                " AND offset_bytes < ?",
                run, attempt, SQL_INT(head), SQL_INT(tail));
    sqlite_exec(db,
                "UPDATE log_attempts SET kept_bytes = (SELECT SUM(LENGTH(data)) FROM log_chunks"
                " WHERE run_id = ?1 AND attempt = ?2) WHERE run_id = ?1 AND attempt = ?2",
                run, attempt);
}

void fold_log(struct sqlite_db *db, const Gantry__V1__LogChunk *chunk,
              const struct fold_limits *limits)
{
    struct sql_value run = SQL_TEXT(chunk->run_id), attempt = SQL_INT(chunk->attempt);

    int64_t added =
        sqlite_exec(db, "INSERT OR IGNORE INTO log_chunks VALUES (?, ?, ?, ?, ?, ?)", run, attempt,
                    SQL_INT(chunk->offset_bytes), SQL_INT(chunk->time_ms), SQL_INT(chunk->stream),
                    SQL_BLOB(chunk->data.data, chunk->data.len));
    if (added == 0 && !chunk->last)
        return;
    sqlite_exec(
        db,
        "INSERT INTO log_attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
        " last_ms = excluded.last_ms, kept_bytes = kept_bytes + excluded.kept_bytes,"
        " end_bytes = MAX(end_bytes, excluded.end_bytes), ended = MAX(ended, excluded.ended)",
        run, attempt, SQL_TEXT(chunk->pipeline), SQL_INT(chunk->release), SQL_INT(chunk->time_ms),
        SQL_INT(added > 0 ? chunk->data.len : 0), SQL_INT(chunk->offset_bytes + chunk->data.len),
        SQL_INT(chunk->last));
    int64_t kept = sqlite_select_int(
        db, 0, "SELECT kept_bytes FROM log_attempts WHERE run_id = ? AND attempt = ?", run,
        attempt);
    if ((uint64_t)kept > limits->log_attempt_bytes)
        cut_middle(db, chunk, limits);
}

static int64_t drop_attempts(struct sqlite_db *db, int64_t older_than_ms, int64_t count)
{
    static const char chunks[] =
        "DELETE FROM log_chunks WHERE (run_id, attempt) IN (SELECT run_id, attempt FROM"
        " log_attempts WHERE last_ms < ? ORDER BY last_ms LIMIT ?)";
    static const char attempts[] =
        "DELETE FROM log_attempts WHERE (run_id, attempt) IN (SELECT run_id, attempt FROM"
        " log_attempts WHERE last_ms < ? ORDER BY last_ms LIMIT ?)";

    sqlite_exec(db, chunks, SQL_INT(older_than_ms), SQL_INT(count));
    return sqlite_exec(db, attempts, SQL_INT(older_than_ms), SQL_INT(count));
}

static int64_t drop_beyond_total(struct sqlite_db *db, uint64_t total_max)
{
    int64_t total = sqlite_select_int(db, 0, "SELECT SUM(kept_bytes) FROM log_attempts");
    int64_t count = 0;

    struct sqlite_rows *rows =
        sqlite_select(db, "SELECT kept_bytes FROM log_attempts ORDER BY last_ms");
    while (total > (int64_t)total_max && count < PRUNE_ATTEMPTS && sqlite_next(rows)) {
        total -= sqlite_int(rows, 0);
        count++;
    }
    sqlite_rows_end(rows);
    return count > 0 ? drop_attempts(db, INT64_MAX, count) : 0;
}

/* A stream that asks for what is below a partition's floor must begin anew. */
static int64_t drop_events(struct sqlite_db *db, int64_t kept_max)
{
#define OLDEST                                                                                     \
    "(SELECT rowid FROM events ORDER BY rowid LIMIT"                                               \
    " MIN(?, MAX(0, (SELECT COALESCE(MAX(rowid) - MIN(rowid) + 1, 0) FROM events) - ?)))"
    sqlite_exec(db,
                "INSERT OR REPLACE INTO event_floors SELECT partition, MAX(event_offset) + 1"
                " FROM events WHERE rowid IN " OLDEST " GROUP BY partition",
                SQL_INT(PRUNE_ROWS), SQL_INT(kept_max));
    return sqlite_exec(db, "DELETE FROM events WHERE rowid IN " OLDEST, SQL_INT(PRUNE_ROWS),
                       SQL_INT(kept_max));
#undef OLDEST
}

static int64_t drop_releases(struct sqlite_db *db, int64_t ended_before_ms)
{
#define OLD                                                                                        \
    "(SELECT pipeline, number FROM releases WHERE started_ms < ?1 AND ended_ms < ?1"               \
    " ORDER BY started_ms LIMIT ?2)"
    static const char *const parts[] = {
        "DELETE FROM stage_runs WHERE (pipeline, release) IN " OLD,
        "DELETE FROM revisions WHERE (pipeline, release) IN " OLD,
        "DELETE FROM reports WHERE (pipeline, release) IN " OLD,
        "DELETE FROM runs WHERE (pipeline, release) IN " OLD,
        "DELETE FROM artifacts WHERE (pipeline, release) IN " OLD,
        "DELETE FROM approvals WHERE (pipeline, release) IN " OLD,
        "DELETE FROM refused_votes WHERE (pipeline, release) IN " OLD,
        "DELETE FROM passes WHERE (pipeline, release) IN " OLD,
        "DELETE FROM checks WHERE (pipeline, release) IN " OLD,
        "DELETE FROM releases WHERE (pipeline, number) IN " OLD}; /* last: it names the others */
#undef OLD
    int64_t dropped = 0;

    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
        dropped = sqlite_exec(db, parts[i], SQL_INT(ended_before_ms), SQL_INT(PRUNE_RELEASES));
    return dropped;
}

bool fold_prune(struct sqlite_db *db, const struct fold_limits *limits, int64_t now_ms)
{
    bool more = drop_attempts(db, now_ms - limits->log_ms, PRUNE_ATTEMPTS) >= PRUNE_ATTEMPTS;

    more |= drop_beyond_total(db, limits->log_total_bytes) >= PRUNE_ATTEMPTS;
    more |= drop_events(db, limits->events_max) >= PRUNE_ROWS;
    more |= drop_releases(db, now_ms - limits->release_ms) >= PRUNE_RELEASES;
    more |= sqlite_exec(db,
                        "DELETE FROM outcomes WHERE ce_id IN (SELECT ce_id FROM outcomes"
                        " WHERE time_ms < ? ORDER BY time_ms LIMIT ?)",
                        SQL_INT(now_ms - OUTCOMES_KEPT_MS), SQL_INT(PRUNE_ROWS)) >= PRUNE_ROWS;
    return more;
}
