//! Where a test keeps its store.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use vecferry_store::Store;
use vecferry_store::postgres::{PostgresStore, Settings};
use vecferry_store::sqlite::SqliteStore;
use vecferry_testkit::Postgres;

/// The server of all tests that don't stop it.
pub(crate) static SERVER: LazyLock<Postgres> = LazyLock::new(|| {
    let server = Postgres::start();
    // Tests end processes; they don't cut the power.
    for sql in ["ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"] {
        server.query(&server.url(), sql);
    }
    server
});

const WAIT_MAX: Duration = Duration::from_secs(30);
/// Most of the time is spent waiting for other processes.
const LANES: usize = 4;
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// An empty place for one store.
pub(crate) enum Place {
    Sqlite(tempfile::TempDir),
    Postgres(String),
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    pub(crate) fn postgres() -> Self {
        Self::Postgres(SERVER.create_database())
    }

    /// Opens the store: each time with connections of its own, as another process would.
    pub(crate) async fn open(&self) -> Arc<dyn Store> {
        open(&self.name()).await
    }

    /// The place in one word, for other processes.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Sqlite(directory) => directory.path().display().to_string(),
            Self::Postgres(url) => url.clone(),
        }
    }

    /// What the death of a process leaves of a job, which a test that lives can only play.
    pub(crate) fn end_lease(&self, job_id: &str) {
        match self {
            Self::Sqlite(directory) => {
                std::fs::remove_file(lock_of(directory, job_id)).unwrap();
            }
            Self::Postgres(url) => {
                let sql = format!("DELETE FROM vecferry.leases WHERE job_id = '{job_id}'");
                SERVER.query(url, &sql);
            }
        }
    }
}

fn lock_of(directory: &tempfile::TempDir, job_id: &str) -> PathBuf {
    directory.path().join("leases").join(format!("{job_id}.lock"))
}

/// Opens the store of a name.
pub(crate) async fn open(name: &str) -> Arc<dyn Store> {
    if name.starts_with("postgres://") {
        Arc::new(PostgresStore::connect(name, Settings::default()).await.unwrap())
    } else {
        Arc::new(SqliteStore::open(name.as_ref()).unwrap())
    }
}

/// Waits until something is so.
pub(crate) async fn eventually(what: &str, is_so: impl AsyncFn() -> bool) {
    let begin = Instant::now();
    while !is_so().await {
        assert!(begin.elapsed() < WAIT_MAX, "not within {WAIT_MAX:?}: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Does something with each number, some of them at the same time.
pub(crate) async fn for_each_number<Done: Future<Output = ()> + Send>(
    numbers: std::ops::Range<usize>,
    with: impl Fn(usize) -> Done + Clone + Send + 'static,
) {
    let lanes: Vec<_> = (0..LANES)
        .map(|lane| {
            let (numbers, with) = (numbers.clone().skip(lane).step_by(LANES), with.clone());
            tokio::spawn(async move {
                for number in numbers {
                    with(number).await;
                }
            })
        })
        .collect();
    for lane in lanes {
        lane.await.unwrap();
    }
}
