//! Collections that several processes copy at once, of which one is killed and one stands still.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use vecferry_store::postgres::{PostgresStore, Settings};
use vecferry_store::{JobId, JobPage, Position, Store, sqlite};
use vecferry_testkit::{Oracle, Vecferry};

use crate::faults::{launched, make, slow};
use crate::postgres;
use crate::resume::assert_arrived;

/// How long something that must come is waited for. Claims of a worker that does nothing end within 30 seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the processes record, as seen from beside.
struct Record {
    runtime: Runtime,
    store: Arc<dyn Store>,
}

impl Record {
    fn of_directory(directory: &std::path::Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { store: sqlite::open(directory).unwrap(), runtime }
    }

    fn of_database(url: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let store = runtime.block_on(PostgresStore::connect(url, Settings::default())).unwrap();
        Self { store: Arc::new(store), runtime }
    }

    fn until(&self, what: &str, is_it: impl AsyncFn(&dyn Store) -> bool) {
        let begin = Instant::now();
        while !self.runtime.block_on(is_it(&*self.store)) {
            assert!(begin.elapsed() < PATIENCE, "still waiting for: {what}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The only job, once its splits can be copied.
    fn job(&self) -> JobId {
        self.until("splits", async |store| {
            let Some(job_id) = newest(store).await else { return false };
            !store.splits(&job_id, Position::of_index(0)).await.unwrap().is_empty()
        });
        self.runtime.block_on(newest(&*self.store)).unwrap()
    }

    fn rows(&self, job_id: &JobId) -> u64 {
        self.runtime.block_on(rows(&*self.store, job_id))
    }

    fn until_rows(&self, job_id: &JobId, rows_min: u64) {
        self.until(&format!("{rows_min} rows"), async |store| rows(store, job_id).await >= rows_min);
    }
}

async fn newest(store: &dyn Store) -> Option<JobId> {
    let jobs = store.jobs(JobPage { before: None, jobs_max: 1 }).await.unwrap();
    jobs.into_iter().next().map(|job| job.job_id)
}

async fn rows(store: &dyn Store, job_id: &JobId) -> u64 {
    let splits = store.splits(job_id, Position::of_index(0)).await.unwrap();
    splits.iter().map(|split| split.progress.rows_written).sum()
}

/// A process that is killed when a test fails.
struct Worker(Child);

impl Worker {
    fn start(job: &Vecferry, job_id: &JobId, variables: &[(&str, &str)]) -> Self {
        let mut command = job.command_of_same_state(slow(), "worker", &[job_id.as_str()]);
        command.envs(variables.iter().copied()).stdout(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn every_row_arrives_once(name: &str, variables: &[(&str, &str)], record: impl FnOnce(&Vecferry) -> Record) {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, name, 20);
    let arguments = ["--collection", name, "--by-workers", "--verify", "full"];
    let command = Vecferry::between(slow(), "migrate", "origin", "limited", &arguments);
    let command = variables.iter().fold(command, |command, (name, value)| command.env(name, value));
    let record = record(&command);
    let job = launched(command);
    let job_id = record.job();

    let mut first = Worker::start(&job.command, &job_id, variables);
    record.until_rows(&job_id, 2000);
    first.signal("-STOP");
    record.until("splits of the one that stands still", async |store| {
        !store.free_splits(&job_id, Position::of_index(0)).await.unwrap().is_empty()
    });
    let second = Worker::start(&job.command, &job_id, variables);
    record.until_rows(&job_id, record.rows(&job_id) + 3000);
    first.signal("-CONT");
    record.until_rows(&job_id, record.rows(&job_id) + 1000);
    second.signal("-KILL");

    let run = job.ended();
    let report = run.succeeded();
    assert_eq!(report["collections"][0]["rows"], 20_000);
    assert_eq!(first.0.wait().unwrap().code(), Some(0));
    assert_arrived(&mut oracle, name);
}

#[test]
fn two_workers_through_postgresql() {
    let url = postgres().create_database();
    every_row_arrives_once("by_workers_a", &[("VECFERRY_STORE", &url)], |_| Record::of_database(&url));
}

#[test]
fn two_workers_through_a_state_directory() {
    every_row_arrives_once("by_workers_b", &[], |command| Record::of_directory(command.state_dir()));
}
