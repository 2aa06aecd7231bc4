//! Where a test keeps its store, and a look into its tables.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use vecferry_store::postgres::{PostgresStore, Settings};
use vecferry_store::sqlite::SqliteStore;
use vecferry_store::{Change, Record, Store, Value};
use vecferry_testkit::Postgres;

/// The server of all tests, with a database for each.
static SERVER: LazyLock<Postgres> = LazyLock::new(|| {
    let server = Postgres::start();
    // Tests don't cut the power.
    for sql in ["ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"] {
        server.query(&server.url(), sql);
    }
    server
});

const WAIT_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// An empty place for one store, and the key of its secrets.
pub(crate) struct Place {
    store: Kind,
    pub(crate) keys: tempfile::TempDir,
}

enum Kind {
    Sqlite(tempfile::TempDir),
    Postgres(String),
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        Self { store: Kind::Sqlite(tempfile::tempdir().unwrap()), keys: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn postgres() -> Self {
        Self::postgres_of(&SERVER)
    }

    /// A database of a server that a test has for itself.
    pub(crate) fn postgres_of(server: &Postgres) -> Self {
        Self { store: Kind::Postgres(server.create_database()), keys: tempfile::tempdir().unwrap() }
    }

    /// Opens the store: each time with connections of its own, as another process would.
    pub(crate) async fn open(&self) -> Arc<dyn Store> {
        match &self.store {
            Kind::Sqlite(directory) => Arc::new(SqliteStore::open(directory.path()).unwrap()),
            Kind::Postgres(url) => Arc::new(PostgresStore::connect(url, Settings::default()).await.unwrap()),
        }
    }

    /// Ends the lease of a process that died on a job of the engine, as time does.
    pub(crate) fn end_lease(&self, job_id: &str) {
        match &self.store {
            Kind::Sqlite(_) => panic!("only processes that share a PostgreSQL have leases that outlive them"),
            Kind::Postgres(url) => {
                SERVER.query(url, &format!("DELETE FROM vecferry.leases WHERE job_id = '{job_id}'"));
            }
        }
    }
}

/// Rows of a query.
pub(crate) async fn rows(store: &Arc<dyn Store>, sql: &str, values: &[Value]) -> Vec<Record> {
    store.select(sql, values.to_vec()).await.unwrap()
}

/// Changes rows behind the back of the service.
pub(crate) async fn change(store: &Arc<dyn Store>, sql: &str, values: &[Value]) {
    store.change(vec![Change::new(sql, values.to_vec()).at_least_one()]).await.unwrap();
}

/// Rows of all tables of the service that a request could write to; the audit log tells of refusals as well.
pub(crate) async fn counts(store: &Arc<dyn Store>) -> Vec<(&'static str, i64)> {
    let tables = [
        "organizations",
        "users",
        "members",
        "projects",
        "project_members",
        "clusters",
        "api_keys",
        "key_grants",
        "sessions",
        "links",
        "identities",
        "migrations",
        "idempotency",
    ];
    let parts: Vec<_> = tables.iter().map(|table| format!("(SELECT count(*) FROM {table})")).collect();
    let found = rows(store, &format!("SELECT {}", parts.join(", ")), &[]).await;
    tables.into_iter().enumerate().map(|(at, table)| (table, found[0].integer(at).unwrap())).collect()
}

/// Waits until something is so.
pub(crate) async fn eventually<Seen>(what: &str, mut look: impl AsyncFnMut() -> Option<Seen>) -> Seen {
    let begin = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(begin.elapsed() < WAIT_MAX, "not within {WAIT_MAX:?}: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
