/* Times are Unix ms, statuses and kinds the numbers of the messages' enums, digests and SHA-256 hex
 * text. `*_json` columns hold JSON that is passed on as it is; `body`, `fact` and `finished` a
 * packed protobuf message that is turned into JSON when it is asked for. */
#include "services/console/schema.h"

const char schema_sql[] =
    /* How far each partition was read, and the ce_id of the last record: what stands there at the
     * next start tells whether the topic is still the same. */
    "CREATE TABLE positions (topic TEXT, partition INTEGER, next_offset INTEGER, last_id TEXT,"
    " PRIMARY KEY (topic, partition)) WITHOUT ROWID;"
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;"

    /* The newest of each that parses. */
    "CREATE TABLE definitions (kind TEXT, name TEXT, sha256 TEXT, yaml BLOB, author TEXT,"
    " time_ms INTEGER, PRIMARY KEY (kind, name));"

    /* taken_*: what the promoter follows. shape_sha256: the definition that `stages` show. */
    "CREATE TABLE pipelines (name TEXT PRIMARY KEY, epoch INTEGER DEFAULT 0,"
    " sequence INTEGER DEFAULT 0, idx INTEGER DEFAULT -1, taken_sha256 TEXT, taken_number INTEGER,"
    " taken_ms INTEGER, taken_by TEXT, refused_sha256 TEXT, refused_reason TEXT,"
    " deleted INTEGER DEFAULT 0, shape_sha256 TEXT, mode TEXT, labels_json TEXT, sources_json TEXT,"
    " latest_release INTEGER, updated_ms INTEGER DEFAULT 0) WITHOUT ROWID;"
    "CREATE TABLE stages (pipeline TEXT, position INTEGER, name TEXT, gates_json TEXT,"
    " steps_json TEXT, on_failure TEXT, PRIMARY KEY (pipeline, position));"
    "CREATE TABLE heads (pipeline TEXT, source TEXT, ref TEXT, commit_id TEXT, message TEXT,"
    " pusher TEXT, time_ms INTEGER, PRIMARY KEY (pipeline, source, ref));"

    /* The ways into stages that somebody disabled or enabled, and environments that are pinned. */
    "CREATE TABLE transitions (pipeline TEXT, stage TEXT, enabled INTEGER, reason TEXT,"
    " actor TEXT, since_ms INTEGER, PRIMARY KEY (pipeline, stage));"
    "CREATE TABLE pins (pipeline TEXT, environment TEXT, digest TEXT, reason TEXT, actor TEXT,"
    " since_ms INTEGER, PRIMARY KEY (pipeline, environment));"
    "CREATE TABLE freezes (environment TEXT, position INTEGER, window_text TEXT, reason TEXT,"
    " PRIMARY KEY (environment, position));"

    "CREATE TABLE releases (pipeline TEXT, number INTEGER, type INTEGER, status INTEGER,"
    " reason TEXT, definition_number INTEGER, commit_id TEXT, message TEXT, starter TEXT,"
    " started_ms INTEGER, ended_ms INTEGER, superseded_by INTEGER, stop_mode INTEGER,"
    " stop_reason TEXT, stopped_by TEXT, failed_release INTEGER, fact BLOB,"
    " PRIMARY KEY (pipeline, number));"
    "CREATE INDEX releases_time ON releases (started_ms);"
    "CREATE INDEX releases_commit ON releases (commit_id);"

    "CREATE INDEX releases_failed ON releases (pipeline, failed_release)"
    " WHERE failed_release IS NOT NULL;"

    /* A release's commits, one a source. */
    "CREATE TABLE revisions (pipeline TEXT, release INTEGER, source TEXT, commit_id TEXT,"
    " PRIMARY KEY (pipeline, release, source)) WITHOUT ROWID;"
    "CREATE INDEX revisions_commit ON revisions (pipeline, source, commit_id);"

    /* number 0: it waits on the transition; 1, 2 ...: it entered so often. entry_reason: of an
     * entry that nobody asked for, what failed. */
    "CREATE TABLE stage_runs (pipeline TEXT, release INTEGER, stage TEXT, number INTEGER,"
    " status INTEGER, reason TEXT, held_by_json TEXT, waiting_ms INTEGER, entered_ms INTEGER,"
    " ended_ms INTEGER, look_again_ms INTEGER, automatic INTEGER, entry_reason TEXT,"
    " skipped_json TEXT,"
    " PRIMARY KEY (pipeline, release, stage, number));"
    "CREATE INDEX stage_runs_waiting ON stage_runs (pipeline, stage) WHERE status = 1;"
    /* What is in a stage (or was last), and what last succeeded there. */
    "CREATE TABLE stage_state (pipeline TEXT, stage TEXT, release INTEGER, number INTEGER,"
    " status INTEGER, reason TEXT, since_ms INTEGER, good_release INTEGER, good_ms INTEGER,"
    " PRIMARY KEY (pipeline, stage));"

    /* What people let a release pass: gate by gate, or (no reason) the manual ones by promoting. */
    "CREATE TABLE passes (pipeline TEXT, release INTEGER, stage TEXT, gate TEXT, time_ms INTEGER,"
    " overridden INTEGER, reason TEXT, actor TEXT,"
    " PRIMARY KEY (pipeline, release, stage, gate, time_ms));"
    /* The newest question of each check, and the newest answer. */
    "CREATE TABLE checks (pipeline TEXT, release INTEGER, stage TEXT, gate TEXT, type TEXT,"
    " number INTEGER, run_id TEXT, asked_ms INTEGER, open INTEGER, yes INTEGER, reason TEXT,"
    " answered_ms INTEGER, answer_run_id TEXT, ask_again_ms INTEGER,"
    " PRIMARY KEY (pipeline, release, stage, gate));"

    "CREATE TABLE runs (run_id TEXT PRIMARY KEY, pipeline TEXT, release INTEGER, stage TEXT,"
    " stage_number INTEGER, action TEXT, number INTEGER, kind INTEGER, step INTEGER,"
    " status INTEGER, reason TEXT, requested_ms INTEGER, started_ms INTEGER, ended_ms INTEGER,"
    " deadline_ms INTEGER, attempt INTEGER, executor TEXT, environment TEXT, digest TEXT,"
    " detail_json TEXT, finished BLOB, silent_at_ms INTEGER, silent_ms INTEGER);"
    "CREATE INDEX runs_release ON runs (pipeline, release);"

    /* The reports of a run, in their order. n1 ...: of tests total, passed, failed, errored,
     * skipped, unknown, flaky; of coverage lines covered and missed, branches covered and missed.
     */
    "CREATE TABLE reports (run_id TEXT, position INTEGER, pipeline TEXT, release INTEGER,"
    " stage TEXT, action TEXT, ended_ms INTEGER, group_name TEXT, format TEXT, kind INTEGER,"
    " problems INTEGER, duration_ms INTEGER, n1 INTEGER, n2 INTEGER, n3 INTEGER, n4 INTEGER,"
    " n5 INTEGER, n6 INTEGER, n7 INTEGER, PRIMARY KEY (run_id, position));"
    "CREATE INDEX reports_release ON reports (pipeline, release);"

    "CREATE TABLE artifacts (pipeline TEXT, release INTEGER, name TEXT, repository TEXT,"
    " digest TEXT, body BLOB, PRIMARY KEY (pipeline, release, name));"
    "CREATE INDEX artifacts_digest ON artifacts (digest);"

    "CREATE TABLE approvals (approval_id TEXT PRIMARY KEY, pipeline TEXT, release INTEGER,"
    " stage TEXT, gate TEXT, is_open INTEGER, opened_ms INTEGER, body BLOB);"
    "CREATE INDEX approvals_release ON approvals (pipeline, release);"
    "CREATE INDEX approvals_open ON approvals (opened_ms) WHERE is_open;"
    "CREATE TABLE refused_votes (ce_id TEXT PRIMARY KEY, pipeline TEXT, release INTEGER,"
    " time_ms INTEGER, body BLOB);"
    "CREATE INDEX refused_votes_release ON refused_votes (pipeline, release);"

    /* What runs where: the last deploy action that succeeded. built_by: the release whose build
     * made the image; a rollback brings an earlier one's back. */
    "CREATE TABLE environments (environment TEXT, pipeline TEXT, action TEXT, stage TEXT,"
    " release INTEGER, artifact TEXT, digest TEXT, run_id TEXT, since_ms INTEGER,"
    " built_by INTEGER, PRIMARY KEY (environment, pipeline, action));"

    /* What became of the records that the console sent, by their ce_id. */
    "CREATE TABLE outcomes (ce_id TEXT PRIMARY KEY, fact TEXT, pipeline TEXT, release INTEGER,"
    " number INTEGER, reason TEXT, time_ms INTEGER);"
    "CREATE INDEX outcomes_time ON outcomes (time_ms);"

    /* The newest events as they were, for streams that go on where they broke off. */
    "CREATE TABLE events (partition INTEGER, event_offset INTEGER, ce_id TEXT, pipeline TEXT,"
    " value BLOB, PRIMARY KEY (partition, event_offset));"

    "CREATE TABLE event_floors (partition INTEGER PRIMARY KEY, first_offset INTEGER);"

    "CREATE TABLE log_attempts (run_id TEXT, attempt INTEGER, pipeline TEXT, release INTEGER,"
    " last_ms INTEGER, kept_bytes INTEGER, end_bytes INTEGER, ended INTEGER DEFAULT 0,"
    " PRIMARY KEY (run_id, attempt));"
    "CREATE INDEX log_attempts_time ON log_attempts (last_ms);"
    "CREATE TABLE log_chunks (run_id TEXT, attempt INTEGER, offset_bytes INTEGER,"
    " time_ms INTEGER, stream INTEGER, data BLOB,"
    " PRIMARY KEY (run_id, attempt, offset_bytes, stream));";
