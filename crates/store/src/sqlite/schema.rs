//! The tables, version by version. A version that was released is never edited: changes are new steps.

use rusqlite::Connection;

use crate::error::{Error, ErrorKind};

/// "VFry": tells a store from any other SQLite file.
const APPLICATION_ID: i32 = 0x5646_7279;

/// Step N leads from version N to version N + 1.
const STEPS: &[&str] = &[
    r"
CREATE TABLE jobs (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 0,
    source TEXT NOT NULL,
    target TEXT NOT NULL,
    request TEXT NOT NULL,
    plan TEXT NOT NULL,
    sample_seed INTEGER NOT NULL,
    read_timestamp INTEGER,
    created_at TEXT NOT NULL,
    ended_at TEXT,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    max_rate TEXT,
    report TEXT
) STRICT;
CREATE TABLE collections (
    job_id TEXT NOT NULL REFERENCES jobs (job_id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    source TEXT NOT NULL,
    target TEXT NOT NULL,
    rows_total INTEGER NOT NULL,
    creation_intended INTEGER NOT NULL DEFAULT 0,
    creation_timestamp INTEGER,
    target_id INTEGER,
    source_counts TEXT,
    splits_planned INTEGER NOT NULL DEFAULT 0,
    copied INTEGER NOT NULL DEFAULT 0,
    done INTEGER NOT NULL DEFAULT 0,
    report TEXT,
    PRIMARY KEY (job_id, position)
) STRICT;
CREATE TABLE databases (
    job_id TEXT NOT NULL REFERENCES jobs (job_id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    created INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job_id, name)
) STRICT;
CREATE TABLE splits (
    split_id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL,
    collection INTEGER NOT NULL,
    partition TEXT,
    after_key TEXT,
    until_key TEXT,
    rows_planned INTEGER NOT NULL,
    cursor TEXT,
    intent TEXT,
    rows_read INTEGER NOT NULL DEFAULT 0,
    rows_written INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    done INTEGER NOT NULL DEFAULT 0,
    FOREIGN KEY (job_id, collection) REFERENCES collections (job_id, position) ON DELETE CASCADE
) STRICT;
CREATE INDEX splits_by_collection ON splits (job_id, collection);
CREATE TABLE doubts (
    doubt_id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL,
    collection INTEGER NOT NULL,
    partition TEXT,
    after_key TEXT,
    until_key TEXT,
    attempt INTEGER NOT NULL,
    settled INTEGER NOT NULL DEFAULT 0,
    FOREIGN KEY (job_id, collection) REFERENCES collections (job_id, position) ON DELETE CASCADE
) STRICT;
CREATE INDEX doubts_by_collection ON doubts (job_id, collection);
CREATE TABLE samples (
    job_id TEXT NOT NULL,
    collection INTEGER NOT NULL,
    partition TEXT NOT NULL,
    key TEXT NOT NULL,
    PRIMARY KEY (job_id, collection, partition, key),
    FOREIGN KEY (job_id, collection) REFERENCES collections (job_id, position) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE TABLE quarantine (
    job_id TEXT NOT NULL,
    collection INTEGER NOT NULL,
    partition TEXT NOT NULL,
    key TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (job_id, collection, partition, key),
    FOREIGN KEY (job_id, collection) REFERENCES collections (job_id, position) ON DELETE CASCADE
) STRICT;
CREATE TABLE events (
    event_id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL REFERENCES jobs (job_id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    at TEXT NOT NULL,
    event TEXT NOT NULL
) STRICT;
",
    "ALTER TABLE jobs ADD COLUMN bottleneck TEXT;
",
    r"
CREATE TABLE comparisons (
    comparison_id INTEGER PRIMARY KEY,
    job_id TEXT NOT NULL,
    collection INTEGER NOT NULL,
    state TEXT NOT NULL,
    part INTEGER NOT NULL,
    after_key TEXT,
    until_key TEXT,
    cursor TEXT,
    outcome TEXT,
    done INTEGER NOT NULL DEFAULT 0,
    FOREIGN KEY (job_id, collection) REFERENCES collections (job_id, position) ON DELETE CASCADE
) STRICT;
CREATE INDEX comparisons_of_collection ON comparisons (job_id, collection);
",
    // Roles, users and what else a job makes beside its collections.
    r"
CREATE TABLE job_objects (
    object_id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL REFERENCES jobs (job_id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    created INTEGER NOT NULL DEFAULT 0,
    UNIQUE (job_id, kind, name)
) STRICT;
",
    // How many names of its own a job has made a collection under, the one whose creation was begun last, and whether
    // its removal was begun. Which job may make a collection of a name on a target.
    r"
ALTER TABLE collections ADD COLUMN claims INTEGER NOT NULL DEFAULT 0;
ALTER TABLE collections ADD COLUMN claim INTEGER;
ALTER TABLE collections ADD COLUMN removal_intended INTEGER NOT NULL DEFAULT 0;
CREATE TABLE reservations (
    target TEXT NOT NULL,
    name TEXT NOT NULL,
    job_id TEXT NOT NULL REFERENCES jobs (job_id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    PRIMARY KEY (target, name)
) STRICT;
",
    // What was counted of a split at its end, names that are written through, and rows that are tried again.
    r"
ALTER TABLE splits ADD COLUMN counted INTEGER;
ALTER TABLE splits ADD COLUMN distinct_keys INTEGER;
ALTER TABLE splits ADD COLUMN reopened INTEGER NOT NULL DEFAULT 0;
ALTER TABLE collections ADD COLUMN write_alias INTEGER NOT NULL DEFAULT 0;
ALTER TABLE quarantine ADD COLUMN in_doubt INTEGER NOT NULL DEFAULT 0;
",
    // Counts up while a process ends its job because it was asked to: who asked sees that it reacts.
    "ALTER TABLE jobs ADD COLUMN cancel_beats INTEGER NOT NULL DEFAULT 0;
",
    // That a source changed is a fact for good: what shows it now, compaction may have hidden when a job is resumed.
    "ALTER TABLE collections ADD COLUMN drift_seen TEXT;
",
    // How long all attempts together worked on a job and its collections, in milliseconds.
    r"
ALTER TABLE jobs ADD COLUMN worked_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE collections ADD COLUMN worked_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE collections ADD COLUMN copied_ms INTEGER NOT NULL DEFAULT 0;
",
    // Who may write about a split, and what lists show of a job that is not under way.
    r"
CREATE TABLE writers (
    job_id TEXT NOT NULL,
    collection INTEGER NOT NULL,
    number INTEGER NOT NULL,
    worker TEXT NOT NULL,
    state TEXT NOT NULL,
    boot TEXT NOT NULL,
    expires_ms INTEGER NOT NULL,
    PRIMARY KEY (job_id, collection, number),
    FOREIGN KEY (job_id, collection) REFERENCES collections (job_id, position) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
WITH RECURSIVE numbers (number) AS (
    SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < (SELECT max(write_alias) FROM collections)
)
INSERT INTO writers (job_id, collection, number, worker, state, boot, expires_ms)
SELECT job_id, position, number, '', 'lost', '', 0 FROM collections JOIN numbers ON number <= write_alias;
ALTER TABLE splits ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE splits ADD COLUMN writer INTEGER;
ALTER TABLE jobs ADD COLUMN collections_done INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN collections_total INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN rows_done INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN rows_total INTEGER NOT NULL DEFAULT 0;
UPDATE jobs SET
    collections_done = (SELECT count(*) FROM collections c WHERE c.job_id = jobs.job_id AND done),
    collections_total = (SELECT count(*) FROM collections c WHERE c.job_id = jobs.job_id),
    rows_done = (SELECT coalesce(sum(rows_written), 0) FROM splits s WHERE s.job_id = jobs.job_id),
    rows_total = (SELECT coalesce(sum(c.rows_total), 0) FROM collections c WHERE c.job_id = jobs.job_id);
CREATE INDEX events_of_job ON events (job_id, event_id);
",
    // Why a worker could not go on, for the process that waits for it; and where it may write.
    r"
ALTER TABLE writers ADD COLUMN failure TEXT;
ALTER TABLE collections ADD COLUMN admits_workers INTEGER NOT NULL DEFAULT 0;
",
    // Which versions of tables of the caller's own are there.
    r"
CREATE TABLE record_schemas (
    name TEXT PRIMARY KEY,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
",
    // Jobs that copy in rounds while the source changes, and the keys at which what they copied is compared. The span behind
    // the last key has an empty one.
    r"
ALTER TABLE jobs ADD COLUMN kind TEXT NOT NULL DEFAULT 'plain';
ALTER TABLE collections ADD COLUMN presence TEXT NOT NULL DEFAULT 'here';
ALTER TABLE collections ADD COLUMN round_rows INTEGER NOT NULL DEFAULT 0;
CREATE TABLE rounds (
    job_id TEXT NOT NULL REFERENCES jobs (job_id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    options TEXT NOT NULL,
    plan TEXT,
    read_timestamp INTEGER,
    switch_intended INTEGER NOT NULL DEFAULT 0,
    begun_at TEXT NOT NULL,
    ended_at TEXT,
    window_ms INTEGER,
    report TEXT,
    PRIMARY KEY (job_id, number)
) STRICT;
CREATE TABLE round_facts (
    job_id TEXT NOT NULL,
    round INTEGER NOT NULL,
    collection INTEGER NOT NULL,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (job_id, round, collection, name),
    FOREIGN KEY (job_id, round) REFERENCES rounds (job_id, number) ON DELETE CASCADE,
    FOREIGN KEY (job_id, collection) REFERENCES collections (job_id, position) ON DELETE CASCADE
) STRICT;
CREATE TABLE round_reports (
    job_id TEXT NOT NULL,
    round INTEGER NOT NULL,
    collection INTEGER NOT NULL,
    report TEXT NOT NULL,
    PRIMARY KEY (job_id, round, collection),
    FOREIGN KEY (job_id, round) REFERENCES rounds (job_id, number) ON DELETE CASCADE,
    FOREIGN KEY (job_id, collection) REFERENCES collections (job_id, position) ON DELETE CASCADE
) STRICT;
CREATE TABLE marks (
    job_id TEXT NOT NULL,
    collection INTEGER NOT NULL,
    partition TEXT NOT NULL,
    until_key TEXT NOT NULL,
    rows INTEGER NOT NULL,
    equal_round INTEGER,
    equal_rows INTEGER,
    PRIMARY KEY (job_id, collection, partition, until_key),
    FOREIGN KEY (job_id, collection) REFERENCES collections (job_id, position) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
",
];

/// Brings a file to the newest version, or says why it can't be used.
pub(crate) fn migrate(connection: &mut Connection) -> Result<(), Error> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let pragma =
        |name: &str| transaction.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    let version = usize::try_from(pragma("user_version")?).unwrap_or(usize::MAX);
    let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let is_new = version == 0 && tables == 0;
    if !is_new && pragma("application_id")? != i64::from(APPLICATION_ID) {
        return Err(Error::new(ErrorKind::Corrupt, "the file was not created by Vecferry")
            .in_chinese("该文件不是由 Vecferry 创建的"));
    }
    if version > STEPS.len() {
        let most = STEPS.len();
        let text = format!("it has version {version}; this program supports up to {most}");
        let chinese = format!("其版本为 {version}；本程序最高支持 {most}");
        return Err(Error::new(ErrorKind::Newer, text).in_chinese(chinese));
    }
    for step in STEPS.iter().skip(version) {
        transaction.execute_batch(step)?;
    }
    if version < STEPS.len() {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", i64::try_from(STEPS.len()).unwrap_or(i64::MAX))?;
    }
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::SqliteStore;
    use crate::{
        Claims, Collections, JobKind, JobPage, JobState, Jobs, NewRound, Objects, Position, Presence,
        RoundKind, Rounds, Splits, WorkerId,
    };

    /// A job of the first version, with 7 of 9 rows copied.
    const OF_THE_FIRST_VERSION: &str = "
        INSERT INTO jobs (job_id, state, source, target, request, plan, sample_seed, created_at)
        VALUES ('old', 'FAILED', 'a', 'b', '{}', '{}', 1, 'then');
        INSERT INTO collections (job_id, position, source, target, rows_total, splits_planned)
        VALUES ('old', 0, 'default.x', 'default.x', 9, 1);
        INSERT INTO splits (job_id, collection, rows_planned, cursor, intent, rows_written)
        VALUES ('old', 0, 9, 'i7', 'i8', 7);";

    #[tokio::test]
    async fn a_file_of_the_first_version_is_brought_up_with_its_data() {
        let directory = tempfile::tempdir().unwrap();
        drop(SqliteStore::open(directory.path()).unwrap());
        std::fs::remove_file(directory.path().join("ledger.sqlite3")).unwrap();
        let connection = Connection::open(directory.path().join("ledger.sqlite3")).unwrap();
        connection.execute_batch(STEPS[0]).unwrap();
        connection.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        connection.execute_batch(OF_THE_FIRST_VERSION).unwrap();
        drop(connection);
        let store = SqliteStore::open(directory.path()).unwrap();
        let old = store.find_job("o").await.unwrap();
        let job = store.job(&old).await.unwrap();
        assert_eq!((job.state, job.kind), (JobState::Failed, JobKind::Plain));
        let listed = store.jobs(JobPage::newest()).await.unwrap().remove(0);
        assert_eq!((listed.rows_done, listed.rows_total, listed.collections_total), (7, 9, 1));
        assert_eq!(store.objects(&old).await.unwrap(), []);
        let attempt = store.begin_attempt(&old).await.unwrap();
        let role = ("role".to_owned(), "reader".to_owned());
        store.intend_objects(&attempt, vec![role]).await.unwrap();
        let collection = store.collection(&old, Position(0)).await.unwrap();
        assert_eq!((collection.presence, collection.round_rows), (Presence::Here, 0));
        assert_eq!(store.round(&old).await.unwrap(), None);
        let new = NewRound { kind: RoundKind::Warm, options: String::new(), begun_at: "now".into() };
        assert_eq!(store.open_round(&attempt, new).await.unwrap().plan.as_deref(), Some("{}"));
        assert_eq!(store.objects(&old).await.unwrap().len(), 1);
        // What a process of an older version may have sent is in doubt once its split is claimed.
        let worker = WorkerId::generate();
        let ttl = std::time::Duration::from_secs(60);
        let writer = store.open_writer(&old, Position(0), &worker, ttl).await.unwrap();
        let split_id = store.free_splits(&old, Position(0)).await.unwrap()[0];
        store.claim(&writer, split_id).await.unwrap().unwrap();
        let doubts = store.doubts(&old, Position(0)).await.unwrap();
        assert_eq!((doubts[0].after.as_deref(), doubts[0].until.as_deref()), (Some("i7"), Some("i8")));
    }
}
