//! Workers of several handles and processes on the same splits, each of which may stand still for longer than its time:
//! every row counts once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use vecferry_store::{
    Attempt, Claim, ErrorKind, NewSplit, Progress, RangeCount, Split, Step, Store, WorkerId, Writer,
};

use crate::child;
use crate::on_both_stores;
use crate::place::{Place, eventually, open};
use crate::sample::{FIRST, begun, id};

on_both_stores!(
    rows_of_workers_that_take_over_from_each_other_count_once,
    rows_of_processes_that_take_over_from_each_other_count_once,
);

const SPLITS: usize = 4;
const ROWS_A_SPLIT: u64 = 25;
const ROWS: u64 = SPLITS as u64 * ROWS_A_SPLIT;
const TIME_MAX: Duration = Duration::from_secs(120);

/// A job under way, with splits to be copied row by row.
async fn to_be_copied(place: &Place) -> (Arc<dyn Store>, Attempt) {
    let (store, attempt) = begun(place).await;
    let splits = (0..SPLITS).map(|_| NewSplit { partition: None, after: None, until: None, rows_planned: 0 });
    store.plan_splits(&attempt, FIRST, splits.collect()).await.unwrap();
    (store, attempt)
}

async fn assert_each_row_counted_once(store: &dyn Store) {
    for split in store.splits(&id("j1"), FIRST).await.unwrap() {
        assert!(split.done, "{split:?}");
        assert_eq!(split.cursor, Some(key(ROWS_A_SPLIT)));
        let expected =
            Progress { rows_read: ROWS_A_SPLIT, rows_written: ROWS_A_SPLIT, bytes: 8 * ROWS_A_SPLIT };
        assert_eq!(split.progress, expected, "{split:?}");
    }
}

async fn rows_of_workers_that_take_over_from_each_other_count_once(place: Place) {
    let (store, _attempt) = to_be_copied(&place).await;
    let other = place.open().await;
    let counted = Arc::new(AtomicU64::new(0));
    let mut workers = Vec::new();
    for seed in 0..6 {
        let store = Arc::clone(if seed % 2 == 0 { &store } else { &other });
        let counted = Arc::clone(&counted);
        workers.push(tokio::spawn(async move { Racer::new(store, seed, counted).race().await }));
    }
    for worker in workers {
        worker.await.unwrap();
    }
    assert_each_row_counted_once(&*store).await;
    assert_eq!(counted.load(Ordering::SeqCst), ROWS, "rows that somebody was told to have counted");
    let lost = store.lost_writers(&id("j1"), FIRST).await.unwrap();
    assert!(!lost.is_empty(), "nobody took over from anybody");
}

async fn rows_of_processes_that_take_over_from_each_other_count_once(place: Place) {
    let (store, _attempt) = to_be_copied(&place).await;
    let start = || child::to_race(&place.name()).spawn().unwrap();
    let (mut dies, lives) = (start(), [start(), start()]);
    let written = async || -> u64 {
        let splits = store.splits(&id("j1"), FIRST).await.unwrap();
        splits.iter().map(|split| split.progress.rows_written).sum()
    };
    eventually("some rows are written", async || written().await >= ROWS / 4).await;
    dies.kill().unwrap();
    let last_words = dies.wait_with_output().unwrap();
    let mut counted = child::told(&last_words.stdout, "rows").unwrap_or(0);
    for process in lives {
        let output = tokio::task::spawn_blocking(|| process.wait_with_output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        counted += child::told(&output.stdout, "rows").unwrap();
    }
    assert_each_row_counted_once(&*store).await;
    // The one that was killed may have been about to tell of one row for each of its workers.
    assert!((ROWS - 2..=ROWS).contains(&counted), "{counted} rows");
}

/// Two workers in a process of their own, which tells how many rows they counted, row by row.
pub(crate) async fn child(place: &str) {
    let store = open(place).await;
    let counted = Arc::new(AtomicU64::new(0));
    let seed = u64::from(std::process::id()) * 2;
    let racer = |seed| Racer::new(Arc::clone(&store), seed, Arc::clone(&counted));
    let (mut one, mut other) = (racer(seed), racer(seed + 1));
    (one.tells, other.tells) = (true, true);
    tokio::join!(one.race(), other.race());
    child::tell("rows", counted.load(Ordering::SeqCst));
}

/// A worker that copies whatever it can claim, and is unreliable.
struct Racer {
    store: Arc<dyn Store>,
    random: StdRng,
    counted: Arc<AtomicU64>,
    tells: bool,
}

/// What became of a claim.
enum Left {
    Ended,
    /// The writer is lost.
    Fenced,
}

fn key(row: u64) -> String {
    format!("{row:03}")
}

/// A claim that is lost ends what a worker does under it; everything else is a failure of the test.
fn is_fenced<Answer>(answer: Result<Answer, vecferry_store::Error>) -> bool {
    match answer {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
            true
        }
    }
}

impl Racer {
    fn new(store: Arc<dyn Store>, seed: u64, counted: Arc<AtomicU64>) -> Self {
        Self { store, random: StdRng::seed_from_u64(seed), counted, tells: false }
    }

    async fn race(&mut self) {
        let begin = Instant::now();
        while begin.elapsed() < TIME_MAX {
            let ttl = Duration::from_millis(self.random.random_range(20..120));
            let worker = WorkerId::generate();
            let writer = self.store.open_writer(&id("j1"), FIRST, &worker, ttl).await.unwrap();
            if self.work_as(&writer, ttl).await {
                return;
            }
        }
        panic!("not within {TIME_MAX:?}");
    }

    /// Works until the writer is lost. Whether nothing is left to do.
    async fn work_as(&mut self, writer: &Writer, ttl: Duration) -> bool {
        loop {
            if self.store.splits(&id("j1"), FIRST).await.unwrap().iter().all(|split| split.done) {
                return true;
            }
            let free = self.store.free_splits(&id("j1"), FIRST).await.unwrap();
            let Some(split_id) = free.choose(&mut self.random).copied() else {
                tokio::task::yield_now().await;
                continue;
            };
            match self.store.claim(writer, split_id).await {
                Ok(Some((claim, split))) => {
                    if matches!(self.copy(&claim, split, ttl).await, Left::Fenced) {
                        return false;
                    }
                }
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::IsClaimed => {}
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
                    return false;
                }
            }
        }
    }

    async fn copy(&mut self, claim: &Claim, mut split: Split, ttl: Duration) -> Left {
        let first = split.cursor.as_deref().map_or(0, |key| key.parse().unwrap()) + 1;
        let mut older: Option<Step> = None;
        for row in first..=ROWS_A_SPLIT {
            if self.random.random_bool(0.05) {
                // Stands still, perhaps for longer than its time.
                tokio::time::sleep(Duration::from_millis(self.random.random_range(0..150))).await;
            }
            if self.random.random_bool(0.3) && is_fenced(self.store.renew_writer(claim.writer(), ttl).await) {
                return Left::Fenced;
            }
            if self.random.random_bool(0.03) {
                return self.released(claim).await;
            }
            let key = Some(key(row));
            let intent = Step { to_intent: key.clone(), ..Step::from(&split) };
            if self.step(claim, &intent, 0).await {
                return Left::Fenced;
            }
            split.intent.clone_from(&key);
            let rows = Progress { rows_read: 1, rows_written: 1, bytes: 8 };
            let cursor = Step { to_cursor: key.clone(), progress: rows, ..Step::from(&split) };
            if self.step(claim, &cursor, 1).await {
                return Left::Fenced;
            }
            split.cursor = key;
            if let Some(older) = older.replace(cursor)
                && self.random.random_bool(0.1)
            {
                let error = self.store.advance(claim, older).await.unwrap_err();
                assert!(matches!(error.kind(), ErrorKind::Moved | ErrorKind::Fenced), "{error}");
            }
        }
        let count = RangeCount { counted: ROWS_A_SPLIT, distinct_keys: None };
        match is_fenced(self.store.finish_split(claim, Step::from(&split), count).await) {
            true => Left::Fenced,
            false => Left::Ended,
        }
    }

    async fn released(&self, claim: &Claim) -> Left {
        if is_fenced(self.store.release(claim).await) { Left::Fenced } else { Left::Ended }
    }

    /// Takes a step, some of them twice. Whether the claim is lost.
    async fn step(&mut self, claim: &Claim, step: &Step, rows: u64) -> bool {
        if is_fenced(self.store.advance(claim, step.clone()).await) {
            return true;
        }
        let counted = self.counted.fetch_add(rows, Ordering::SeqCst) + rows;
        if self.tells && rows > 0 {
            child::tell("rows", counted);
        }
        self.random.random_bool(0.2) && is_fenced(self.store.advance(claim, step.clone()).await)
    }
}
