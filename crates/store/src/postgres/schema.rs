//! The tables, version by version. A version that was released is never edited: changes are new steps.

use deadpool_postgres::Client;

use super::PostgresStore;
use super::connection::Change;
use super::failure::Failure;
use super::rows::{all, get, signed_size};
use crate::error::{Error, ErrorKind};

/// PostgreSQL 14: older versions get no corrections any more.
const SERVER_VERSION_MIN: i32 = 140_000;
/// "VFry": whoever changes the tables holds this lock.
pub(super) const LOCK: i64 = 0x5646_7279;

/// Step N leads from version N to version N + 1.
///
/// Names are compared byte by byte (`COLLATE "C"`), as SQLite does. Keys may be longer than an entry of an index: where one
/// is part of what is unique, its hash stands for it. Rows of splits are changed all the time and have room for that.
const STEPS: &[&str] = &[
    r#"
CREATE TABLE jobs (
    sequence BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id TEXT COLLATE "C" NOT NULL UNIQUE,
    state TEXT NOT NULL,
    attempt BIGINT NOT NULL DEFAULT 0,
    source TEXT NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    request TEXT NOT NULL,
    plan TEXT NOT NULL,
    sample_seed BIGINT NOT NULL,
    read_timestamp BIGINT,
    created_at TEXT NOT NULL,
    ended_at TEXT,
    cancel_requested BOOLEAN NOT NULL DEFAULT FALSE,
    cancel_beats BIGINT NOT NULL DEFAULT 0,
    max_rate TEXT,
    bottleneck TEXT,
    report TEXT,
    worked_ms BIGINT NOT NULL DEFAULT 0,
    collections_done BIGINT NOT NULL DEFAULT 0,
    collections_total BIGINT NOT NULL DEFAULT 0,
    rows_done BIGINT NOT NULL DEFAULT 0,
    rows_total BIGINT NOT NULL DEFAULT 0
);
CREATE TABLE leases (
    job_id TEXT COLLATE "C" PRIMARY KEY REFERENCES jobs (job_id) ON DELETE CASCADE,
    holder TEXT NOT NULL,
    expires TIMESTAMPTZ NOT NULL
);
CREATE TABLE collections (
    job_id TEXT COLLATE "C" NOT NULL REFERENCES jobs (job_id) ON DELETE CASCADE,
    position BIGINT NOT NULL,
    source TEXT NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    rows_total BIGINT NOT NULL,
    creation_intended BOOLEAN NOT NULL DEFAULT FALSE,
    creation_timestamp BIGINT,
    names BIGINT NOT NULL DEFAULT 0,
    name BIGINT,
    name_call TEXT,
    removal_intended BOOLEAN NOT NULL DEFAULT FALSE,
    target_id BIGINT,
    source_counts TEXT,
    splits_planned BOOLEAN NOT NULL DEFAULT FALSE,
    copied BOOLEAN NOT NULL DEFAULT FALSE,
    done BOOLEAN NOT NULL DEFAULT FALSE,
    report TEXT,
    drift_seen TEXT,
    worked_ms BIGINT NOT NULL DEFAULT 0,
    copied_ms BIGINT NOT NULL DEFAULT 0,
    writers BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (job_id, position)
);
CREATE TABLE databases (
    job_id TEXT COLLATE "C" NOT NULL REFERENCES jobs (job_id) ON DELETE CASCADE,
    name TEXT COLLATE "C" NOT NULL,
    created BOOLEAN NOT NULL DEFAULT FALSE,
    PRIMARY KEY (job_id, name)
);
CREATE TABLE job_objects (
    object_id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id TEXT COLLATE "C" NOT NULL REFERENCES jobs (job_id) ON DELETE CASCADE,
    kind TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    created BOOLEAN NOT NULL DEFAULT FALSE,
    UNIQUE (job_id, kind, name)
);
CREATE TABLE reservations (
    target TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    job_id TEXT COLLATE "C" NOT NULL REFERENCES jobs (job_id) ON DELETE CASCADE,
    position BIGINT NOT NULL,
    PRIMARY KEY (target, name)
);
CREATE INDEX reservations_of_job ON reservations (job_id);
CREATE TABLE events (
    event_id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id TEXT COLLATE "C" NOT NULL REFERENCES jobs (job_id) ON DELETE CASCADE,
    attempt BIGINT NOT NULL,
    at TEXT NOT NULL,
    event TEXT NOT NULL,
    call TEXT NOT NULL UNIQUE
);
CREATE INDEX events_of_job ON events (job_id, event_id);
CREATE TABLE writers (
    job_id TEXT COLLATE "C" NOT NULL,
    collection BIGINT NOT NULL,
    number BIGINT NOT NULL,
    worker TEXT NOT NULL,
    state TEXT NOT NULL,
    expires TIMESTAMPTZ NOT NULL,
    call TEXT NOT NULL,
    PRIMARY KEY (job_id, collection, number),
    FOREIGN KEY (job_id, collection) REFERENCES collections (job_id, position) ON DELETE CASCADE
);
CREATE TABLE splits (
    split_id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id TEXT COLLATE "C" NOT NULL,
    collection BIGINT NOT NULL,
    partition TEXT COLLATE "C",
    after_key BYTEA,
    until_key BYTEA,
    rows_planned BIGINT NOT NULL,
    cursor BYTEA,
    intent BYTEA,
    rows_read BIGINT NOT NULL DEFAULT 0,
    rows_written BIGINT NOT NULL DEFAULT 0,
    bytes BIGINT NOT NULL DEFAULT 0,
    done BOOLEAN NOT NULL DEFAULT FALSE,
    counted BIGINT,
    distinct_keys BIGINT,
    reopened BIGINT NOT NULL DEFAULT 0,
    epoch BIGINT NOT NULL DEFAULT 0,
    writer BIGINT,
    FOREIGN KEY (job_id, collection) REFERENCES collections (job_id, position) ON DELETE CASCADE
) WITH (fillfactor = 50);
CREATE INDEX splits_of_collection ON splits (job_id, collection);
CREATE TABLE doubts (
    doubt_id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id TEXT COLLATE "C" NOT NULL,
    collection BIGINT NOT NULL,
    partition TEXT COLLATE "C",
    after_key BYTEA,
    until_key BYTEA,
    attempt BIGINT NOT NULL,
    settled BOOLEAN NOT NULL DEFAULT FALSE,
    FOREIGN KEY (job_id, collection) REFERENCES collections (job_id, position) ON DELETE CASCADE
);
CREATE INDEX doubts_of_collection ON doubts (job_id, collection);
CREATE TABLE samples (
    job_id TEXT COLLATE "C" NOT NULL,
    collection BIGINT NOT NULL,
    partition TEXT COLLATE "C" NOT NULL,
    key BYTEA NOT NULL,
    key_hash BYTEA GENERATED ALWAYS AS (sha256(key)) STORED,
    PRIMARY KEY (job_id, collection, partition, key_hash),
    FOREIGN KEY (job_id, collection) REFERENCES collections (job_id, position) ON DELETE CASCADE
);
CREATE TABLE quarantine (
    job_id TEXT COLLATE "C" NOT NULL,
    collection BIGINT NOT NULL,
    partition TEXT COLLATE "C" NOT NULL,
    key BYTEA NOT NULL,
    key_hash BYTEA GENERATED ALWAYS AS (sha256(key)) STORED,
    reason TEXT NOT NULL,
    in_doubt BOOLEAN NOT NULL DEFAULT FALSE,
    PRIMARY KEY (job_id, collection, partition, key_hash),
    FOREIGN KEY (job_id, collection) REFERENCES collections (job_id, position) ON DELETE CASCADE
);
CREATE TABLE comparisons (
    comparison_id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id TEXT COLLATE "C" NOT NULL,
    collection BIGINT NOT NULL,
    state TEXT NOT NULL,
    part BIGINT NOT NULL,
    after_key BYTEA,
    until_key BYTEA,
    cursor BYTEA,
    outcome TEXT,
    done BOOLEAN NOT NULL DEFAULT FALSE,
    FOREIGN KEY (job_id, collection) REFERENCES collections (job_id, position) ON DELETE CASCADE
);
CREATE INDEX comparisons_of_collection ON comparisons (job_id, collection);
"#,
    // Why a worker could not go on, for the process that waits for it; and where it may write.
    "ALTER TABLE writers ADD COLUMN failure TEXT;
    ALTER TABLE collections ADD COLUMN admits_workers BOOLEAN NOT NULL DEFAULT FALSE",
    // Which versions of tables of the caller's own are there, and what calls changed in them.
    r#"
CREATE TABLE record_schemas (
    name TEXT COLLATE "C" PRIMARY KEY,
    version BIGINT NOT NULL
);
CREATE TABLE record_calls (
    call TEXT COLLATE "C" PRIMARY KEY,
    made_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    changed BIGINT[]
);
CREATE INDEX record_calls_by_time ON record_calls (made_at);
"#,
    // Jobs that copy in rounds while the source changes, and the keys at which what they copied is compared. The span behind
    // the last key has an empty one.
    r#"
ALTER TABLE jobs ADD COLUMN kind TEXT NOT NULL DEFAULT 'plain';
ALTER TABLE collections ADD COLUMN presence TEXT NOT NULL DEFAULT 'here';
ALTER TABLE collections ADD COLUMN round_rows BIGINT NOT NULL DEFAULT 0;
CREATE TABLE rounds (
    job_id TEXT COLLATE "C" NOT NULL REFERENCES jobs (job_id) ON DELETE CASCADE,
    number BIGINT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    options TEXT NOT NULL,
    plan TEXT,
    read_timestamp BIGINT,
    switch_intended BOOLEAN NOT NULL DEFAULT FALSE,
    begun_at TEXT NOT NULL,
    ended_at TEXT,
    window_ms BIGINT,
    report TEXT,
    PRIMARY KEY (job_id, number)
);
CREATE TABLE round_facts (
    job_id TEXT COLLATE "C" NOT NULL,
    round BIGINT NOT NULL,
    collection BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (job_id, round, collection, name),
    FOREIGN KEY (job_id, round) REFERENCES rounds (job_id, number) ON DELETE CASCADE,
    FOREIGN KEY (job_id, collection) REFERENCES collections (job_id, position) ON DELETE CASCADE
);
CREATE TABLE round_reports (
    job_id TEXT COLLATE "C" NOT NULL,
    round BIGINT NOT NULL,
    collection BIGINT NOT NULL,
    report TEXT NOT NULL,
    PRIMARY KEY (job_id, round, collection),
    FOREIGN KEY (job_id, round) REFERENCES rounds (job_id, number) ON DELETE CASCADE,
    FOREIGN KEY (job_id, collection) REFERENCES collections (job_id, position) ON DELETE CASCADE
);
CREATE TABLE marks (
    job_id TEXT COLLATE "C" NOT NULL,
    collection BIGINT NOT NULL,
    partition TEXT COLLATE "C" NOT NULL,
    until_key BYTEA NOT NULL,
    key_hash BYTEA GENERATED ALWAYS AS (sha256(until_key)) STORED,
    rows BIGINT NOT NULL,
    equal_round BIGINT,
    equal_rows BIGINT,
    PRIMARY KEY (job_id, collection, partition, key_hash),
    FOREIGN KEY (job_id, collection) REFERENCES collections (job_id, position) ON DELETE CASCADE
);
"#,
];

/// What a database holds of this program's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    Version(usize),
    SomethingElse,
}

impl PostgresStore {
    /// Brings a database to the newest version, or says why it can't be used.
    pub(super) async fn migrate(&self) -> Result<(), Failure> {
        let mut client = self.connections.client().await?;
        check_server(&client).await?;
        // Without a lock: most processes find everything in place.
        if self.look_first(&mut client).await? == Found::Version(STEPS.len()) {
            return Ok(());
        }
        let change = Change::begin(&mut client, &self.meter).await?;
        change.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
        // Another process may have done it meanwhile.
        let found = look(&change).await?;
        check(found)?;
        step_up(&change, found).await?;
        change.commit(()).await
    }

    /// In a transaction of its own: in one that goes on, the server may answer from what it knew of the tables before.
    async fn look_first(&self, client: &mut Client) -> Result<Found, Failure> {
        let change = Change::begin(client, &self.meter).await?;
        let found = look(&change).await?;
        check(found)?;
        Ok(found)
    }
}

async fn check_server(client: &Client) -> Result<(), Failure> {
    let settings = "SELECT current_setting('server_version_num')::int, current_setting('server_version'), \
                    current_setting('transaction_read_only')::boolean, current_setting('server_encoding')";
    let row = client.query_one(settings, &[]).await?;
    check_version(get(&row, 0)?, get(&row, 1)?)?;
    let encoding: &str = get(&row, 3)?;
    if encoding != "UTF8" {
        let text = format!("the database encoding is {encoding}, but must be UTF8");
        let error = Error::new(ErrorKind::Unusable, text);
        return Err(error.in_chinese(format!("数据库的编码是 {encoding}，必须是 UTF8")).into());
    }
    if get(&row, 2)? {
        let text = "the database does not accept writes: it is a standby, or set to read-only";
        let error = Error::new(ErrorKind::ReadOnly, text);
        return Err(error.in_chinese("数据库不接受写入：它是备库，或被设为只读").into());
    }
    Ok(())
}

fn check_version(number: i32, name: &str) -> Result<(), Error> {
    if number >= SERVER_VERSION_MIN {
        return Ok(());
    }
    let oldest = SERVER_VERSION_MIN / 10_000;
    let text = format!("the server is PostgreSQL {name}; version {oldest} or later is required");
    let chinese = format!("服务器是 PostgreSQL {name}；需要 {oldest} 或更高版本");
    Err(Error::new(ErrorKind::Unusable, text).in_chinese(chinese))
}

/// Which version the tables of the schema are, if there are any.
async fn look(change: &Change<'_>) -> Result<Found, Failure> {
    let tables = "SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace \
                  WHERE nspname = 'vecferry' AND relkind = 'r'";
    let tables = change.rows(tables, &[]).await?;
    let tables = all(&tables, |row| get::<String>(row, 0))?;
    if tables.is_empty() {
        Ok(Found::Nothing)
    } else if tables.iter().any(|table| table == "version") {
        version(change).await
    } else {
        Ok(Found::SomethingElse)
    }
}

async fn version(change: &Change<'_>) -> Result<Found, Failure> {
    let row = change.row("SELECT number FROM vecferry.version", &[]).await?;
    let number: Option<i64> = row.map(|row| get(&row, 0)).transpose()?;
    let number = number.and_then(|number| usize::try_from(number).ok());
    Ok(number.map_or(Found::SomethingElse, Found::Version))
}

fn check(found: Found) -> Result<(), Error> {
    match found {
        Found::SomethingElse => {
            let text = "the schema `vecferry` of the database was not created by Vecferry";
            let error = Error::new(ErrorKind::Corrupt, text);
            Err(error.in_chinese("数据库中的 Schema `vecferry` 不是由 Vecferry 创建的"))
        }
        Found::Version(version) if version > STEPS.len() => {
            let most = STEPS.len();
            let text = format!("it has version {version}; this program supports up to {most}");
            let chinese = format!("其版本为 {version}；本程序最高支持 {most}");
            Err(Error::new(ErrorKind::Newer, text).in_chinese(chinese))
        }
        Found::Nothing | Found::Version(_) => Ok(()),
    }
}

async fn step_up(change: &Change<'_>, found: Found) -> Result<(), Failure> {
    let version = match found {
        Found::Version(version) => version,
        Found::Nothing | Found::SomethingElse => {
            create_schema(change).await?;
            0
        }
    };
    for step in STEPS.iter().skip(version) {
        change.batch(step).await?;
    }
    change.execute("UPDATE version SET number = $1", &[&signed_size(STEPS.len())]).await?;
    Ok(())
}

/// A role that may not create schemas can be given this one.
async fn create_schema(change: &Change<'_>) -> Result<(), Failure> {
    let exists = "SELECT 1 FROM pg_namespace WHERE nspname = 'vecferry'";
    if change.row(exists, &[]).await?.is_none() {
        change.batch("CREATE SCHEMA vecferry").await?;
    }
    // One row, and no second one.
    let version = "CREATE TABLE vecferry.version (number BIGINT NOT NULL, \
                   is_only BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (is_only)); \
                   INSERT INTO vecferry.version (number) VALUES (0)";
    change.batch(version).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_before_version_14_are_rejected() {
        check_version(140_000, "14.0").unwrap();
        check_version(180_001, "18.1").unwrap();
        let error = check_version(130_022, "13.22").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unusable);
        assert!(error.to_string().contains("PostgreSQL 13.22; version 14 or later"), "{error}");
    }
}
