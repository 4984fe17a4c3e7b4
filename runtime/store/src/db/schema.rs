//! The tables, and how an older file becomes a newer one.

use crate::ledger::entries;
use crate::numbers::signed;
use rusqlite::Connection;

/// Marks the file as ours (`PRAGMA application_id`): "Pltn".
pub const APPLICATION_ID: i64 = 0x506c_746e;

/// What makes a newer version of the one before it.
type Step = fn(&Connection) -> rusqlite::Result<()>;

/// One step per schema version, in order. A step that was released is never changed.
pub const STEPS: &[Step] = &[
    |db| db.execute_batch(FIRST),
    |db| db.execute_batch(TOPICS),
    file_entries,
    |db| db.execute_batch(AGES),
    |db| db.execute_batch(TOPIC_IDS),
    |db| db.execute_batch(COUNTERS),
    |db| db.execute_batch(KEY_FORMS),
    |db| db.execute_batch(EFFECTS),
    |db| db.execute_batch(STEERING),
];

const FIRST: &str = "
CREATE TABLE pipelines(
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, handler TEXT NOT NULL DEFAULT '',
    handled INTEGER NOT NULL DEFAULT 0, duplicates INTEGER NOT NULL DEFAULT 0,
    retries INTEGER NOT NULL DEFAULT 0, rejected INTEGER NOT NULL DEFAULT 0,
    exhausted INTEGER NOT NULL DEFAULT 0, crash_loop INTEGER NOT NULL DEFAULT 0,
    invalid INTEGER NOT NULL DEFAULT 0, letters INTEGER NOT NULL DEFAULT 0);

-- depth counts the rows of `messages`, in the same transactions, so that nobody has to.
CREATE TABLE queues(
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
    next_seq INTEGER NOT NULL DEFAULT 1, depth INTEGER NOT NULL DEFAULT 0);

-- id is queue << 40 | seq: one integer key, dense per queue. message_id is the producer's; without
-- one the id is `queue/seq`. visible_at and delayed_at are milliseconds since the epoch, 0 for now;
-- blocks says that the lane waits for this row (a retry), not only the row itself (a delayed send).
CREATE TABLE messages(
    id INTEGER PRIMARY KEY, message_id TEXT, key BLOB, headers BLOB, body BLOB NOT NULL,
    published_at INTEGER NOT NULL, visible_at INTEGER NOT NULL DEFAULT 0,
    delayed_at INTEGER NOT NULL DEFAULT 0, blocks INTEGER NOT NULL DEFAULT 0,
    replayed INTEGER NOT NULL DEFAULT 0);
CREATE INDEX messages_delayed ON messages(id >> 40, visible_at, id) WHERE visible_at > 0;
CREATE INDEX messages_keyed ON messages(key, id) WHERE key IS NOT NULL;

-- Completed keys, in the order of completion, so that expiry takes the first rows.
CREATE TABLE entries(
    id INTEGER PRIMARY KEY, pipeline INTEGER NOT NULL, key BLOB NOT NULL,
    completed_at INTEGER NOT NULL, UNIQUE(pipeline, key));

-- Completed positions, from first to last.
CREATE TABLE ranges(
    pipeline INTEGER NOT NULL, partition INTEGER NOT NULL, first INTEGER NOT NULL,
    last INTEGER NOT NULL, PRIMARY KEY(pipeline, partition, first)) WITHOUT ROWID;

-- Messages that failed or crashed at least once and have not ended.
CREATE TABLE attempts(
    pipeline INTEGER NOT NULL, identity BLOB NOT NULL, attempts INTEGER NOT NULL,
    suspect INTEGER NOT NULL, lettered BLOB, PRIMARY KEY(pipeline, identity)) WITHOUT ROWID;

-- What has been started and has not ended: one row per chunk.
CREATE TABLE started(
    chunk INTEGER PRIMARY KEY, pipeline INTEGER NOT NULL, count INTEGER NOT NULL, items BLOB NOT NULL);

CREATE TABLE letters(
    id INTEGER PRIMARY KEY AUTOINCREMENT, pipeline INTEGER NOT NULL, message_id TEXT NOT NULL,
    cause TEXT NOT NULL, failure TEXT NOT NULL, reason TEXT NOT NULL, attempts INTEGER NOT NULL,
    handler TEXT NOT NULL, origin TEXT NOT NULL, key BLOB, headers BLOB, body BLOB NOT NULL,
    published_at INTEGER, failed_at INTEGER NOT NULL);
CREATE INDEX letters_by_pipeline ON letters(pipeline, id);
";

const TOPICS: &str = "
-- Topics by the numbers that the positions of their partitions are made of.
CREATE TABLE topics(
    pipeline INTEGER NOT NULL, number INTEGER NOT NULL, name TEXT NOT NULL,
    PRIMARY KEY(pipeline, number), UNIQUE(pipeline, name)) WITHOUT ROWID;

ALTER TABLE letters ADD COLUMN tombstone INTEGER NOT NULL DEFAULT 0;
";

const ENTRIES: &str = "
ALTER TABLE entries RENAME TO older;

-- Completed keys that are in no segment yet: rows of each group. id is pipeline << 40 | number; keys are \
of 16 bytes.
CREATE TABLE recent(id INTEGER PRIMARY KEY, completed_at INTEGER NOT NULL, keys BLOB NOT NULL);

-- Those of a segment, sorted: 16 bytes of key, 6 of the time of its completion.
CREATE TABLE entries(
    pipeline INTEGER NOT NULL, segment INTEGER NOT NULL, first BLOB NOT NULL, entries BLOB NOT NULL,
    PRIMARY KEY(pipeline, segment, first)) WITHOUT ROWID;

-- Lowest and highest key, the time of the last completion, and four bytes of each key, behind a digest of \
them.
CREATE TABLE segments(
    pipeline INTEGER NOT NULL, number INTEGER NOT NULL, first BLOB NOT NULL, last BLOB NOT NULL,
    completed_at INTEGER NOT NULL, hashes BLOB NOT NULL, PRIMARY KEY(pipeline, number));
";

/// By what is known of a message that has not ended, or has a letter elsewhere, goes when it is old. What
/// is there counts from now on.
const AGES: &str = "
ALTER TABLE attempts ADD COLUMN changed_at INTEGER NOT NULL DEFAULT 0;
UPDATE attempts SET changed_at = CAST(strftime('%s', 'now') AS INTEGER) * 1000;
CREATE INDEX attempts_by_age ON attempts(pipeline, lettered IS NOT NULL, changed_at);
";

const TOPIC_IDS: &str = "
-- The topic that a number stands for, as brokers tell it from others of its name, and the group that read \
it last.
ALTER TABLE topics ADD COLUMN topic_id TEXT;
ALTER TABLE topics ADD COLUMN group_id TEXT;
";

/// Counters are rows by their names: one more changes no table.
const COUNTERS: &str = "
CREATE TABLE counters(
    pipeline INTEGER NOT NULL, name TEXT NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY(pipeline, name)) WITHOUT ROWID;
INSERT INTO counters
    SELECT id, 'handled', handled FROM pipelines WHERE handled > 0
    UNION ALL SELECT id, 'duplicates', duplicates FROM pipelines WHERE duplicates > 0
    UNION ALL SELECT id, 'retries', retries FROM pipelines WHERE retries > 0
    UNION ALL SELECT id, 'rejected', rejected FROM pipelines WHERE rejected > 0
    UNION ALL SELECT id, 'retries_exhausted', exhausted FROM pipelines WHERE exhausted > 0
    UNION ALL SELECT id, 'crash_loop', crash_loop FROM pipelines WHERE crash_loop > 0
    UNION ALL SELECT id, 'invalid', invalid FROM pipelines WHERE invalid > 0;
ALTER TABLE pipelines DROP COLUMN handled;
ALTER TABLE pipelines DROP COLUMN duplicates;
ALTER TABLE pipelines DROP COLUMN retries;
ALTER TABLE pipelines DROP COLUMN rejected;
ALTER TABLE pipelines DROP COLUMN exhausted;
ALTER TABLE pipelines DROP COLUMN crash_loop;
ALTER TABLE pipelines DROP COLUMN invalid;
";

/// A version before this one formed keys in another way: what it completed is to be found by those.
const KEY_FORMS: &str = "
-- When a version that forms keys as they are now opened the file first; no row where it began with one.
CREATE TABLE key_forms(changed_at INTEGER NOT NULL);
INSERT INTO key_forms
    SELECT CAST(strftime('%s', 'now') AS INTEGER) * 1000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER)
    WHERE EXISTS (SELECT 1 FROM pipelines);
";

/// State, the outbox, and what tells this data directory from every other.
const EFFECTS: &str = "
-- What is said of the data directory once.
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('data_dir_id', lower(hex(randomblob(16))));

-- Stores of state: of one pipeline, or shared by those that name it (pipeline is 0 then).
CREATE TABLE stores(
    id INTEGER PRIMARY KEY, pipeline INTEGER NOT NULL, name TEXT NOT NULL, UNIQUE(pipeline, name));

-- bucket is a store. stamp tells a write of a key from every other one: 64 bits, of which one is a sign here.
CREATE TABLE state(
    bucket INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, stamp INTEGER NOT NULL,
    PRIMARY KEY(bucket, key)) WITHOUT ROWID;

-- Where pipelines send to. queue is an embedded queue, to which messages are committed; without one they wait
-- in `outbox`, of whose rows next_seq and depth are what those of `queues` are of `messages`. letters counts
-- `outbox_letters`.
CREATE TABLE targets(
    id INTEGER PRIMARY KEY, pipeline INTEGER NOT NULL, name TEXT NOT NULL, queue INTEGER,
    next_seq INTEGER NOT NULL DEFAULT 1, depth INTEGER NOT NULL DEFAULT 0,
    letters INTEGER NOT NULL DEFAULT 0, UNIQUE(pipeline, name));

-- id is target << 40 | seq, in the order of commit. delay_ms counts from then.
CREATE TABLE outbox(
    id INTEGER PRIMARY KEY, message_id TEXT NOT NULL, topic TEXT, key BLOB, headers BLOB,
    body BLOB NOT NULL, delay_ms INTEGER, committed_at INTEGER NOT NULL);

-- What a target has refused for good.
CREATE TABLE outbox_letters(
    id INTEGER PRIMARY KEY AUTOINCREMENT, target INTEGER NOT NULL, message_id TEXT NOT NULL, topic TEXT,
    key BLOB, headers BLOB, body BLOB NOT NULL, delay_ms INTEGER, committed_at INTEGER NOT NULL,
    failed_at INTEGER NOT NULL, reason TEXT NOT NULL);
CREATE INDEX outbox_letters_by_target ON outbox_letters(target, id);
";

/// What operators want of pipelines, beside the configuration.
const STEERING: &str = "
-- By the name of a pipeline, which need not have run yet. words is JSON of the program's own.
CREATE TABLE steering(pipeline TEXT PRIMARY KEY, words TEXT NOT NULL) WITHOUT ROWID;
";

/// Completed keys, which were rows of one table with an index, are filed by the time of their completion.
fn file_entries(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(ENTRIES)?;
    entries::convert(db)?;
    db.execute_batch("DROP TABLE older")
}

/// Brings the file to the newest version, in one transaction that other processes wait for.
pub fn migrate(db: &mut Connection) -> rusqlite::Result<()> {
    let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let version: i64 = tx.pragma_query_value(None, "user_version", |r| r.get(0))?;
    let done = usize::try_from(version).unwrap_or(0);
    for step in STEPS.iter().skip(done) {
        step(&tx)?;
    }
    if done < STEPS.len() {
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", signed(STEPS.len()))?;
    }
    tx.commit()
}
