//! Rows of the source that somebody updates: their number stays the same.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use vecferry_migrate::event::{Event, Observer, Phase, Wait};
use vecferry_migrate::report::{UnseenWrites, Writes};
use vecferry_migrate::{JobState, Migration, Report, Resumed, VerifyLevel};
use vecferry_milvus::Endpoint;
use vecferry_store::sqlite;
use vecferry_testkit::StandIn;
use vecferry_testkit::fault_proxy::FaultProxy;
use vecferry_testkit::stand_in::generate::plain;
use vecferry_testkit::stand_in::{Key, Options, Value, Version};

use super::{Silent, assert_arrived, endpoint, request};

const AT: (&str, &str) = ("default", "books");

/// Does something once, when the collection enters a step.
struct When<Act>(Phase, Mutex<Option<Act>>);

impl<Act: FnOnce() + Send> Observer for When<Act> {
    fn on_event(&self, event: Event) {
        if let Event::Phase { phase, .. } = event
            && phase == self.0
            && let Some(act) = self.1.lock().unwrap().take()
        {
            act();
        }
    }
}

/// When every row was read.
fn when_read(act: impl FnOnce() + Send + 'static) -> Arc<dyn Observer> {
    Arc::new(When(Phase::Flushing, Mutex::new(Some(act))))
}

fn servers(version: Version) -> (Arc<StandIn>, StandIn) {
    let source = Arc::new(StandIn::start(Options::new(version)));
    let target = StandIn::start(Options::new(version));
    source.add(&plain("books", false, &[("_default", (0..50).map(Key::Long).collect())]));
    (source, target)
}

fn update(source: &StandIn, key: i64) {
    let vector = Value::Vector([9.0f32; 4].iter().flat_map(|part| part.to_le_bytes()).collect());
    source.update(AT, ("_default", &Key::Long(key)), "vector", &vector);
}

async fn migrated(
    source: &StandIn,
    target: &StandIn,
    verify: VerifyLevel,
    state: &Path,
    observer: Arc<dyn Observer>,
    cancel: CancellationToken,
) -> Report {
    let mut request = request(source, target);
    request.verify = verify;
    let store = sqlite::open(state).unwrap();
    Migration::prepare(request).await.unwrap().run(&store, observer, cancel).await.unwrap()
}

fn writes(report: &Report) -> Option<Writes> {
    report.collections[0].drift.as_ref().unwrap().writes
}

fn codes(problems: &[vecferry_migrate::Problem]) -> Vec<String> {
    problems.iter().map(|problem| problem.code.to_string()).collect()
}

#[tokio::test]
async fn an_update_during_the_copy_is_no_success() {
    for version in [Version::V2_3, Version::V2_4, Version::V2_5, Version::V2_6] {
        let (source, target) = servers(version);
        let state = tempfile::tempdir().unwrap();
        let of = Arc::clone(&source);
        let observer = when_read(move || update(&of, 7));
        let cancel = CancellationToken::new();
        let report = migrated(&source, &target, VerifyLevel::Count, state.path(), observer, cancel).await;
        assert_eq!(report.state, JobState::Failed, "{version:?}");
        assert_eq!(codes(&report.problems), ["VF-0405"], "{version:?}: {:#?}", report.problems);
        assert_eq!(writes(&report), Some(Writes::Written { rows: 1 }), "{version:?}");
        let drift = report.collections[0].drift.as_ref().unwrap();
        assert_eq!(drift.checks, ["count", "writes"], "{version:?}");
    }
}

/// A source that counts the same without rows of growing segments has stored them all. Whether it does is seen before and
/// behind the copy; what is written meanwhile is found whether its writer has it stored or not.
#[tokio::test]
async fn a_source_that_has_stored_every_row_is_not_flushed() {
    for version in [Version::V2_3, Version::V2_5] {
        for (writes_seen, sealed) in
            [(Writes::None, false), (Writes::Written { rows: 1 }, false), (Writes::Written { rows: 1 }, true)]
        {
            let context = format!("{version:?}, {writes_seen:?}, stored by its writer: {sealed}");
            let (source, target) = servers(version);
            source.seal(AT.0, AT.1);
            // Segments of a 2.5 count once they are sorted.
            source.compact(AT.0, AT.1);
            let proxy = FaultProxy::start(&source.uri());
            let of = Arc::clone(&source);
            let observer = when_read(move || {
                if writes_seen != Writes::None {
                    update(&of, 7);
                }
                if sealed {
                    of.seal(AT.0, AT.1);
                    of.compact(AT.0, AT.1);
                    update(&of, 8);
                    of.seal(AT.0, AT.1);
                }
            });
            let mut request = request(&source, &target);
            request.source = Endpoint::parse(&proxy.uri()).unwrap();
            request.verify = VerifyLevel::None;
            let state = tempfile::tempdir().unwrap();
            let store = sqlite::open(state.path()).unwrap();
            let migration = Migration::prepare(request).await.unwrap();
            let report = migration.run(&store, observer, CancellationToken::new()).await.unwrap();
            assert_eq!(writes(&report), Some(writes_seen), "{context}");
            let success = writes_seen == Writes::None;
            assert_eq!(report.state == JobState::Successful, success, "{context}: {:#?}", report.problems);
            if success {
                assert_arrived(&source, &target, "books", &context);
                assert_eq!(proxy.calls("Flush"), 0, "{context}");
            } else {
                assert_eq!(codes(&report.problems), ["VF-0405"], "{context}");
            }
        }
    }
}

/// What was waited for.
#[derive(Default)]
struct Waits(Mutex<Vec<Wait>>);

impl Observer for Waits {
    fn on_event(&self, event: Event) {
        if let Event::Waiting { reason, .. } = event {
            self.0.lock().unwrap().push(reason);
        }
    }
}

#[tokio::test]
async fn the_limit_of_flushes_is_waited_for_and_shown() {
    let limited = Options { flush_interval: Some(Duration::from_secs(3)), ..Options::new(Version::V2_6) };
    let source = Arc::new(StandIn::start(limited));
    let target = StandIn::start(Options::new(Version::V2_6));
    source.add(&plain("books", false, &[("_default", (0..50).map(Key::Long).collect())]));
    let state = tempfile::tempdir().unwrap();
    let waits = Arc::new(Waits::default());
    let observer: Arc<dyn Observer> = Arc::<Waits>::clone(&waits);
    let cancel = CancellationToken::new();
    let report = migrated(&source, &target, VerifyLevel::Count, state.path(), observer, cancel).await;
    assert_eq!(report.state, JobState::Successful, "{:#?}", report.problems);
    assert_eq!(writes(&report), Some(Writes::None));
    let waits = waits.0.lock().unwrap();
    assert!(!waits.is_empty() && waits.iter().all(|wait| *wait == Wait::SourceLimit), "{waits:?}");
}

#[tokio::test]
async fn an_update_after_the_comparison_is_no_success() {
    let (source, target) = servers(Version::V2_6);
    let state = tempfile::tempdir().unwrap();
    let of = Arc::clone(&source);
    let observer = Arc::new(When(Phase::Done, Mutex::new(Some(move || update(&of, 7)))));
    let cancel = CancellationToken::new();
    let report = migrated(&source, &target, VerifyLevel::Full, state.path(), observer, cancel).await;
    assert_eq!(report.state, JobState::Failed);
    assert_eq!(codes(&report.problems), ["VF-0405"], "{:#?}", report.problems);
    assert_eq!(report.collections[0].drift.as_ref().unwrap().checks, ["count", "writes"]);
}

#[tokio::test]
async fn an_update_between_two_attempts_is_no_success() {
    let (source, target) = servers(Version::V2_6);
    let state = tempfile::tempdir().unwrap();
    let cancel = CancellationToken::new();
    let token = cancel.clone();
    let observer = when_read(move || token.cancel());
    let report = migrated(&source, &target, VerifyLevel::Count, state.path(), observer, cancel).await;
    assert_eq!(report.state, JobState::Canceled);
    update(&source, 7);
    // Whoever wrote has flushed as well.
    source.seal(AT.0, AT.1);

    let store = sqlite::open(state.path()).unwrap();
    let resumed = Migration::resume(&*store, &report.job_id, endpoint(&source), endpoint(&target)).await;
    let Ok(Resumed::Ready(migration)) = resumed else { panic!("{resumed:?}") };
    let report = migration.run(&store, Arc::new(Silent), CancellationToken::new()).await.unwrap();
    assert_eq!(report.state, JobState::Failed);
    assert_eq!(codes(&report.problems), ["VF-0405"], "{:#?}", report.problems);
}

#[tokio::test]
async fn an_update_that_was_seen_stays_one_when_compaction_hides_it_from_the_next_attempt() {
    let (source, target) = servers(Version::V2_6);
    let state = tempfile::tempdir().unwrap();
    let of = Arc::clone(&source);
    let (observer, cancel) = (when_read(move || update(&of, 7)), CancellationToken::new());
    let report = migrated(&source, &target, VerifyLevel::Count, state.path(), observer, cancel).await;
    assert_eq!(codes(&report.problems), ["VF-0405"], "{:#?}", report.problems);
    source.seal(AT.0, AT.1);
    source.compact(AT.0, AT.1);

    let store = sqlite::open(state.path()).unwrap();
    let resumed = Migration::resume(&*store, &report.job_id, endpoint(&source), endpoint(&target)).await;
    let Ok(Resumed::Ready(migration)) = resumed else { panic!("{resumed:?}") };
    let report = migration.run(&store, Arc::new(Silent), CancellationToken::new()).await.unwrap();
    assert_eq!(report.state, JobState::Failed, "the target has the old row");
    assert_eq!(codes(&report.problems), ["VF-0405"], "{:#?}", report.problems);
    let said = report.problems[0].to_string();
    assert!(said.contains("persisted segments (1 new row); detected by an earlier attempt"), "{said}");
}

#[tokio::test]
async fn an_update_that_compaction_hides_is_told_of_as_possible_and_found_by_a_full_comparison() {
    for (verify, state_expected, expected) in [
        (VerifyLevel::Count, JobState::Successful, "VF-0434"),
        (VerifyLevel::Full, JobState::Failed, "VF-0403"),
    ] {
        let (source, target) = servers(Version::V2_6);
        let state = tempfile::tempdir().unwrap();
        let of = Arc::clone(&source);
        let observer = when_read(move || {
            update(&of, 7);
            of.seal(AT.0, AT.1);
            of.compact(AT.0, AT.1);
        });
        let report =
            migrated(&source, &target, verify, state.path(), observer, CancellationToken::new()).await;
        assert_eq!(report.state, state_expected, "{:#?}", report.problems);
        assert_eq!(writes(&report), Some(Writes::Unknown { reason: UnseenWrites::Rewritten }));
        let all = [codes(&report.warnings), codes(&report.problems)].concat();
        assert!(all.iter().any(|code| code == expected), "{all:?}");
        assert_ne!(source.rows(AT.0, AT.1), target.rows(AT.0, AT.1));
    }
}

#[tokio::test]
async fn a_quiet_source_is_seen_to_be_quiet() {
    for version in [Version::V2_3, Version::V2_4, Version::V2_5, Version::V2_6] {
        let (source, target) = servers(version);
        // Not stored yet when the job begins.
        update(&source, 3);
        let state = tempfile::tempdir().unwrap();
        let (observer, cancel) = (when_read(|| ()), CancellationToken::new());
        let report = migrated(&source, &target, VerifyLevel::Count, state.path(), observer, cancel).await;
        assert_eq!(report.state, JobState::Successful, "{version:?}: {:#?}", report.problems);
        assert_eq!(writes(&report), Some(Writes::None), "{version:?}");
        assert_eq!(codes(&report.warnings), [""; 0], "{version:?}: {:#?}", report.warnings);
        assert_eq!(report.collections[0].drift.as_ref().unwrap().checks, ["count", "writes"]);
    }
}

#[tokio::test]
async fn compaction_alone_is_no_write() {
    let (source, target) = servers(Version::V2_6);
    let state = tempfile::tempdir().unwrap();
    let of = Arc::clone(&source);
    let observer = when_read(move || of.compact(AT.0, AT.1));
    let cancel = CancellationToken::new();
    let report = migrated(&source, &target, VerifyLevel::Count, state.path(), observer, cancel).await;
    assert_eq!(report.state, JobState::Successful, "{:#?}", report.problems);
    assert_eq!(codes(&report.warnings), ["VF-0434"]);
}

/// A job that begins at once compares its own first counts with those of its check.
#[tokio::test]
async fn rows_that_leave_between_check_and_copy_are_told_of_and_the_others_arrive() {
    for leave in [false, true] {
        let (source, target) = servers(Version::V2_5);
        let state = tempfile::tempdir().unwrap();
        let checked = Migration::check_and_begin(request(&source, &target), Some(state.path())).await;
        let migration = checked.into_result().unwrap();
        if leave {
            source.delete(AT, "_default", &(0..3).map(Key::Long).collect());
        }
        let store = sqlite::open(state.path()).unwrap();
        let report = migration.run(&store, Arc::new(Silent), CancellationToken::new()).await.unwrap();
        assert_eq!(report.state, JobState::Successful, "{:?}", codes(&report.problems));
        assert_arrived(&source, &target, "books", "what was there when the copy began");
        let told: Vec<_> = report.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(told.iter().any(|text| text.contains("50 rows, then 47 rows")), leave, "{told:?}");
    }
}
