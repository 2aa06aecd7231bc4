//! Jobs that copy while their source may be written to, and are ended by a cut-over later.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio_util::sync::CancellationToken;
use vecferry_migrate::event::{Event, Observer};
use vecferry_migrate::report::{JobKind, RoundKind, RoundState};
use vecferry_migrate::{Exit, JobState, MigrateRequest, Migration, Report, Tuning, VerifyLevel};
use vecferry_store::{JobId, Position, Store, sqlite};
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::generate::plain;
use vecferry_testkit::stand_in::{Key, Options, Value, Version};

use super::{Silent, assert_arrived, assert_successful, request};

const ROWS: i64 = 300;
const FIRST: Position = Position(0);

fn small_pages() -> Tuning {
    Tuning { page_bytes_target: 500, split_bytes_min: 26 * 30, ..Tuning::default() }
}

/// Inserts a row with the next key whenever some were copied, as long as there are any to copy.
struct Rising {
    source: Arc<StandIn>,
    next: AtomicI64,
}

impl Observer for Rising {
    fn on_event(&self, event: Event) {
        if let Event::Copied { rows, .. } = event {
            for _ in 0..rows {
                let key = self.next.fetch_add(1, Ordering::Relaxed);
                assert!(key < 20 * ROWS, "the copy follows the writer");
                let vector = [key as f32; 4].iter().flat_map(|part| part.to_le_bytes()).collect();
                let columns = vec![vec![Value::Long(key)], vec![Value::Vector(vector)]];
                self.source.insert(("default", "books"), "_default", columns);
            }
        }
    }
}

fn servers() -> (Arc<StandIn>, StandIn) {
    let source = Arc::new(StandIn::start(Options::new(Version::V2_6)));
    source.add(&plain("books", false, &[("_default", (0..ROWS).map(Key::Long).collect())]));
    (source, StandIn::start(Options::new(Version::V2_6)))
}

fn wanted(source: &StandIn, target: &StandIn) -> MigrateRequest {
    MigrateRequest { warm: true, verify: VerifyLevel::Full, ..request(source, target) }
}

/// A job about to be carried out.
async fn warm(source: &StandIn, target: &StandIn, state: &Path) -> (Arc<dyn Store>, JobId, Migration) {
    let store: Arc<dyn Store> = sqlite::open(state).unwrap();
    let mut migration = Migration::prepare(wanted(source, target)).await.unwrap();
    let job_id = migration.create(&*store, &CancellationToken::new()).await.unwrap();
    (store, job_id, migration.with_tuning(small_pages()))
}

/// A round came to its end, and its job says of itself that nothing is known to be equal.
#[track_caller]
fn assert_ready(report: &Report, context: &str) {
    let problems: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
    assert_eq!((report.state, report.kind), (JobState::Ready, JobKind::Warm), "{context}: {problems:#?}");
    assert_eq!((report.verified, report.exit()), (VerifyLevel::None, Exit::Done), "{context}");
    let last = report.rounds.last().unwrap();
    assert_eq!((last.kind, last.state), (RoundKind::Warm, RoundState::Done), "{context}");
    assert_eq!((last.rows, last.bytes), (report.rows(), report.bytes()), "{context}");
}

/// Keys and rows of the marks of the collection, in the order of the keys.
async fn marks(store: &dyn Store, job_id: &JobId) -> Vec<(i64, u64)> {
    let marks = store.marks(job_id, FIRST).await.unwrap().into_iter();
    let mut marks: Vec<_> = marks
        .map(|mark| {
            assert_eq!((mark.partition.as_deref(), mark.equal), (Some("_default"), None));
            (mark.until.unwrap().strip_prefix('i').unwrap().parse().unwrap(), mark.rows)
        })
        .collect();
    marks.sort_unstable();
    marks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marks_are_where_the_pages_of_a_copy_ended() {
    let (source, target) = servers();
    let state = tempfile::tempdir().unwrap();
    let (store, job_id, migration) = warm(&source, &target, state.path()).await;
    let report = migration.run(&store, Arc::new(Silent), CancellationToken::new()).await.unwrap();
    assert_ready(&report, "nobody writes");
    assert_arrived(&source, &target, "books", "nobody writes");
    let marks = marks(&*store, &job_id).await;
    assert!(marks.len() > 10, "{marks:?}");
    let mut after = -1;
    for (until, rows) in &marks {
        assert_eq!(*rows, (until - after).unsigned_abs(), "{marks:?}");
        after = *until;
    }
    assert_eq!(after, ROWS - 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_with_rising_keys_does_not_keep_the_copy_going() {
    let (source, target) = servers();
    let state = tempfile::tempdir().unwrap();
    let (store, job_id, migration) = warm(&source, &target, state.path()).await;
    let writer = Rising { source: Arc::clone(&source), next: AtomicI64::new(ROWS) };
    migration.run(&store, Arc::new(writer), CancellationToken::new()).await.unwrap();
    let splits = store.splits(&job_id, FIRST).await.unwrap();
    assert!(splits.len() > 1 && splits.iter().all(|split| split.done), "{splits:?}");
    let read: u64 = splits.iter().map(|split| split.progress.rows_read).sum();
    // The greatest key was found up to a sixteenth of their span.
    let most = ROWS + ROWS / 16 + 1;
    assert!((ROWS.unsigned_abs()..=most.unsigned_abs()).contains(&read), "{read}");
    let marks = marks(&*store, &job_id).await;
    assert!(marks.iter().all(|(until, _)| *until < most), "{marks:?}");
    assert_eq!(marks.iter().map(|(_, rows)| rows).sum::<u64>(), read);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_jobs_record_no_marks_and_read_to_the_end() {
    let (source, target) = servers();
    let state = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = sqlite::open(state.path()).unwrap();
    let migration = Migration::prepare(request(&source, &target)).await.unwrap().with_tuning(small_pages());
    let report = migration.run(&store, Arc::new(Silent), CancellationToken::new()).await.unwrap();
    assert_successful(&report, "plain");
    assert_eq!(store.marks(&report.job_id, FIRST).await.unwrap(), []);
    let splits = store.splits(&report.job_id, FIRST).await.unwrap();
    assert!(splits.iter().any(|split| split.until.is_none()), "{splits:?}");
}
