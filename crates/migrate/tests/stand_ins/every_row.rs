//! The full verification of a job, in spans that end where the pages of its copy did.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use prost::Message;
use tokio_util::sync::CancellationToken;
use vecferry_migrate::event::{Event, Observer, Phase};
use vecferry_migrate::{
    Code, JobState, Lang, MigrateRequest, Migration, Report, Resumed, Tuning, VerifyLevel,
};
use vecferry_milvus::Endpoint;
use vecferry_milvus::proto::milvus as pb;
use vecferry_store::{JobPage, Position, Store, sqlite};
use vecferry_testkit::StandIn;
use vecferry_testkit::fault_proxy::{Fault, FaultProxy, When};
use vecferry_testkit::stand_in::generate::{Generated, plain};
use vecferry_testkit::stand_in::{Interference, Key, Options, Value, Version};

use super::{Silent, assert_arrived, assert_successful, endpoint, request};

/// Rows of the larger partition, and of both.
const ROWS: i64 = 400;
const ALL_ROWS: i64 = 500;
const BOOKS: (&str, &str) = ("default", "books");

fn small_pages() -> Tuning {
    Tuning { page_bytes_target: 500, split_bytes_min: 26 * 30, ..Tuning::default() }
}

fn source(version: Version) -> StandIn {
    let source = StandIn::start(Options::new(version));
    let keys = |keys: std::ops::Range<i64>| keys.map(Key::Long).collect();
    let parts = [("_default", keys(0..ROWS)), ("more", keys(ROWS..ALL_ROWS))];
    source.add(&Generated { loaded: true, ..plain("books", false, &parts) });
    source
}

/// Acts when a phase begins.
struct At<Act>(Phase, Mutex<Option<Act>>);

impl<Act: FnOnce() + Send> Observer for At<Act> {
    fn on_event(&self, event: Event) {
        if let Event::Phase { phase, .. } = event
            && phase == self.0
            && let Some(act) = self.1.lock().unwrap().take()
        {
            act();
        }
    }
}

/// Migrates and verifies every row. Somebody acts when the rows are about to be compared.
async fn migrated(
    servers: (&StandIn, &StandIn),
    verify: VerifyLevel,
    act: impl FnOnce() + Send + 'static,
) -> (Report, Arc<dyn Store>) {
    migrated_and(servers, verify, Phase::Verifying, act).await
}

/// Migrates and verifies every row. Somebody acts when a phase begins.
async fn migrated_and(
    (source, target): (&StandIn, &StandIn),
    verify: VerifyLevel,
    phase: Phase,
    act: impl FnOnce() + Send + 'static,
) -> (Report, Arc<dyn Store>) {
    let state = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = sqlite::open(state.path()).unwrap();
    let request = MigrateRequest { verify, ..request(source, target) };
    let migration = Migration::prepare(request).await.unwrap().with_tuning(small_pages());
    let observer = Arc::new(At(phase, Mutex::new(Some(act))));
    let report = migration.run(&store, observer, CancellationToken::new()).await.unwrap();
    (report, store)
}

/// Asks for rows with all fields: their bounds.
fn pages_asked(server: &StandIn) -> Arc<Mutex<Vec<String>>> {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    server.interfere(move |of| {
        if of.method == "Query" {
            let query = pb::QueryRequest::decode(of.message).unwrap();
            let is_count = query.output_fields.iter().any(|field| field == "count(*)");
            if !is_count {
                noted.lock().unwrap().push(format!("{:?} {}", query.output_fields, query.expr));
            }
        }
        Interference::None
    });
    asked
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_equal_are_read_once_with_both_bounds() {
    for version in [Version::V2_3, Version::V2_6] {
        let (source, target) = (Arc::new(source(version)), StandIn::start(Options::new(version)));
        let (of_source, asked) = (Arc::clone(&source), Arc::new(Mutex::new(None)));
        let begun = Arc::clone(&asked);
        // It is read while the target stores what it took.
        let note = move || *begun.lock().unwrap() = Some(pages_asked(&of_source));
        let servers = (&*source, &target);
        let (report, store) = migrated_and(servers, VerifyLevel::Full, Phase::Flushing, note).await;
        source.interfere_no_more();
        assert_successful(&report, &format!("{version:?}"));
        let verification = report.collections[0].verification.clone().unwrap();
        assert_eq!(verification.rows_compared, ALL_ROWS as u64, "{version:?}");
        let marks = store.marks(&report.job_id, Position(0)).await.unwrap();
        let asked = asked.lock().unwrap().take().unwrap();
        let asked = asked.lock().unwrap();
        let has_both = |page: &&String| page.contains("id >") && page.contains("id <=");
        let both = asked.iter().filter(has_both).count();
        // Each span once: but for the first of each partition, which has no beginning, and the rest behind the last mark.
        assert!(marks.len() > 15, "{version:?}: {marks:?}");
        assert!((marks.len() - 2..=marks.len() + 2).contains(&both), "{version:?}: {both} of {asked:#?}");
        assert!(asked.len() <= marks.len() + 4, "{version:?}: {asked:#?}");
        assert!(asked.iter().all(|page| page.contains("vector")), "no scan of the keys: {asked:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_differs_within_spans_is_named_as_ever() {
    for version in [Version::V2_3, Version::V2_6] {
        let context = format!("{version:?}");
        let (source, target) = (source(version), Arc::new(StandIn::start(Options::new(version))));
        let changed = Arc::clone(&target);
        let (report, _) = migrated((&source, &target), VerifyLevel::Full, move || {
            let rows = changed.rows(BOOKS.0, BOOKS.1);
            let row = |partition: &str, key: i64| rows[&(partition.to_owned(), Key::Long(key))][0].clone();
            let put = |partition: &str, key: i64, vector: Value| {
                changed.insert(BOOKS, partition, vec![vec![Value::Long(key)], vec![vector]]);
            };
            let remove = |partition: &str, key: i64| {
                changed.delete(BOOKS, partition, &BTreeSet::from([Key::Long(key)]));
            };
            // One bit of a vector.
            let Value::Vector(mut bytes) = row("_default", 111)["vector"].clone() else {
                panic!("no vector")
            };
            bytes[5] ^= 1;
            changed.set(BOOKS, ("_default", &Key::Long(111)), "vector", &Value::Vector(bytes));
            // One missing, and one too much: the counts are right.
            remove("_default", 222);
            put("_default", 70_000, row("_default", 223)["vector"].clone());
            // Two change places.
            let (one, other) = (row("_default", 333)["vector"].clone(), row("more", 444)["vector"].clone());
            remove("_default", 333);
            remove("more", 444);
            put("more", 333, one);
            put("_default", 444, other);
        })
        .await;
        assert_eq!(report.state, JobState::Failed, "{context}");
        let verification = report.collections[0].verification.clone().unwrap();
        let found = verification.findings.unwrap();
        let json = serde_json::to_value(&found).unwrap();
        let keys = |rows: &serde_json::Value| {
            let named = rows.as_array().unwrap().iter();
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            named.map(|row| (text(&row["partition"]), text(&row["key"]))).collect::<BTreeSet<_>>()
        };
        let named = |rows: &[(&str, &str)]| {
            rows.iter().map(|(part, key)| ((*part).to_owned(), (*key).to_owned())).collect::<BTreeSet<_>>()
        };
        assert_eq!(keys(&json["changed"]["first"]), named(&[("_default", "111")]), "{context}");
        assert_eq!(found.changed.first[0].fields, ["vector"], "{context}");
        let missing = [("_default", "222"), ("_default", "333"), ("more", "444")];
        assert_eq!(keys(&json["missing"]["first"]), named(&missing), "{context}");
        let extra = [("_default", "70000"), ("_default", "444"), ("more", "333")];
        assert_eq!(keys(&json["extra"]["first"]), named(&extra), "{context}");
        assert_eq!((found.missing.rows, found.extra.rows, found.changed.rows), (3, 3, 1), "{context}");
        assert_eq!(found.swapped.len(), 2, "{context}");
        assert_eq!(verification.rows_compared, ALL_ROWS as u64 - 3, "{context}");
    }
}

/// The comparison of a killed process goes on behind what it recorded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_comparison_that_was_killed_goes_on_where_it_was() {
    let (source, target) = (source(Version::V2_6), StandIn::start(Options::new(Version::V2_6)));
    let to_target = FaultProxy::start(&target.uri());
    let state = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = sqlite::open(state.path()).unwrap();
    let behind = || Endpoint::parse(&to_target.uri()).unwrap();
    let request =
        MigrateRequest { verify: VerifyLevel::Full, ..MigrateRequest::new(endpoint(&source), behind()) };
    let delay = to_target.arm("Query", When::Always, Fault::Delay(Duration::from_millis(150)));
    let seen = Arc::new(Compared::default());
    {
        let migration = Migration::prepare(request).await.unwrap().with_tuning(small_pages());
        let run = migration.run(&store, Arc::clone(&seen) as Arc<dyn Observer>, CancellationToken::new());
        tokio::select! {
            report = run => panic!("not killed: {:?}", report.map(|report| report.state)),
            () = seen.wait() => {}
        }
    }
    delay.disarm();
    let jobs = store.jobs(JobPage::newest()).await.unwrap();
    let resumed = Migration::resume(&*store, &jobs[0].job_id, endpoint(&source), behind()).await;
    let Ok(Resumed::Ready(migration)) = resumed else { panic!("nothing to go on with") };
    let migration = migration.with_tuning(small_pages());
    let report = migration.run(&store, Arc::new(Silent), CancellationToken::new()).await.unwrap();
    assert_successful(&report, "resumed");
    assert_arrived(&source, &target, "books", "resumed");
    let verification = report.collections[0].verification.clone().unwrap();
    assert_eq!(verification.rows_compared, ALL_ROWS as u64);
    let before = verification.rows_compared_before;
    assert!((1..ALL_ROWS as u64).contains(&before), "{before}");
}

/// Waits until rows are compared since longer than it takes until that is recorded.
#[derive(Default)]
struct Compared {
    first: Mutex<Option<Instant>>,
    is_recorded: AtomicBool,
    told: tokio::sync::Notify,
}

impl Compared {
    async fn wait(&self) {
        while !self.is_recorded.load(Ordering::Relaxed) {
            self.told.notified().await;
        }
    }
}

impl Observer for Compared {
    fn on_event(&self, event: Event) {
        if let Event::Compared { .. } = event {
            let first = *self.first.lock().unwrap().get_or_insert_with(Instant::now);
            // What is told now is recorded after it, and the next is told when that is done.
            if first.elapsed() > Duration::from_millis(900) {
                self.is_recorded.store(true, Ordering::Relaxed);
                self.told.notify_one();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_full_verification_needs_marks() {
    for (verify, has_marks) in [(VerifyLevel::Sample, false), (VerifyLevel::Full, true)] {
        let (source, target) = (source(Version::V2_6), StandIn::start(Options::new(Version::V2_6)));
        let (report, store) = migrated((&source, &target), verify, || ()).await;
        assert_successful(&report, &format!("{verify:?}"));
        let marks = store.marks(&report.job_id, Position(0)).await.unwrap();
        assert_eq!(!marks.is_empty(), has_marks, "{verify:?}");
    }
}

/// Both servers leave out the same rows whenever they are asked for rows within bounds, and count them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_neither_side_answers_are_not_compared() {
    for version in [Version::V2_3, Version::V2_6] {
        let (source, target) = (Arc::new(source(version)), Arc::new(StandIn::start(Options::new(version))));
        let servers = [Arc::clone(&source), Arc::clone(&target)];
        let (report, _) = migrated((&source, &target), VerifyLevel::Full, move || {
            for server in servers {
                server.interfere(|of| {
                    let query = (of.method == "Query").then(|| pb::QueryRequest::decode(of.message).unwrap());
                    let is_hidden = query.is_some_and(|query| {
                        // Rows 100 to 199, however they are asked for.
                        let bound = |sign: &str| {
                            let rest = query.expr.split(sign).nth(1)?;
                            rest.trim_start().split(|c: char| !c.is_ascii_digit()).next()?.parse::<i64>().ok()
                        };
                        let is_rows = query.output_fields.len() > 1;
                        is_rows && bound("id >").is_some_and(|after| (100..200).contains(&after))
                    });
                    if is_hidden { Interference::EmptiedPage } else { Interference::None }
                });
            }
        })
        .await;
        source.interfere_no_more();
        target.interfere_no_more();
        let collection = &report.collections[0];
        assert_eq!(report.state, JobState::Failed, "{version:?}: {:#?}", collection.verification);
        let told: Vec<_> =
            report.problems.iter().map(|problem| (problem.code, problem.what(Lang::En))).collect();
        assert!(
            told.iter().any(|(code, what)| *code == Code::NotVerified && what.contains("counts 400 rows")),
            "{version:?}: {told:#?}"
        );
    }
}

/// A change of the source behind the reading ahead, right before the comparison.
fn changed(source: &StandIn, change: &str) {
    match change {
        "deleted" => source.delete(BOOKS, "more", &BTreeSet::from([Key::Long(450)])),
        "updated" => {
            let rows = source.rows(BOOKS.0, BOOKS.1);
            let row = &rows[&("_default".to_owned(), Key::Long(7))][0];
            let vector = row["vector"].altered().unwrap();
            source.update(BOOKS, ("_default", &Key::Long(7)), "vector", &vector);
        }
        "updated, and nobody tells" => {
            changed(source, "updated");
            source.interfere(|of| match of.method {
                "Flush" => Interference::Denied,
                _ => Interference::None,
            });
        }
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_behind_the_reading_ahead_is_told() {
    for version in [Version::V2_3, Version::V2_6] {
        for change in ["deleted", "updated", "updated, and nobody tells"] {
            let context = format!("{version:?}, {change}");
            let (source, target) = (Arc::new(source(version)), StandIn::start(Options::new(version)));
            let of_source = Arc::clone(&source);
            let (report, _) =
                migrated((&source, &target), VerifyLevel::Full, move || changed(&of_source, change)).await;
            source.interfere_no_more();
            let read_ahead = report.collections[0].drift.as_ref().is_some_and(|drift| drift.read_ahead);
            assert!(read_ahead, "{context}");
            let warned: Vec<_> = report.warnings.iter().map(|problem| problem.code).collect();
            if change != "updated, and nobody tells" {
                assert_eq!(report.state, JobState::Failed, "{context}: {warned:?}");
            } else if report.state != JobState::Failed {
                let is_told = |code: &Code| [Code::UpdatesUnseen, Code::UpdatesHidden].contains(code);
                assert!(warned.iter().any(is_told), "{context}: {warned:?}");
            }
        }
    }
}

/// A 2.3 that is loaded since before its first row leaves rows out until it is loaded again from what it stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loaded_target_that_answers_too_little_is_loaded_again() {
    let (source, target) = (source(Version::V2_3), Arc::new(StandIn::start(Options::new(Version::V2_3))));
    let (of_target, released) = (Arc::clone(&target), Arc::new(AtomicBool::new(false)));
    let (hidden, is_released) = (Arc::new(Mutex::new(0)), Arc::clone(&released));
    let times = Arc::clone(&hidden);
    let (report, _) = migrated((&source, &target), VerifyLevel::Full, move || {
        of_target.interfere(move |of| {
            let released = &is_released;
            if of.method == "ReleaseCollection" {
                released.store(true, Ordering::Relaxed);
            }
            let query = (of.method == "Query").then(|| pb::QueryRequest::decode(of.message).unwrap());
            let is_page = query.is_some_and(|query| query.output_fields.len() > 1);
            if !is_page || released.load(Ordering::Relaxed) {
                return Interference::None;
            }
            *times.lock().unwrap() += 1;
            Interference::EmptiedPage
        });
    })
    .await;
    target.interfere_no_more();
    assert_successful(&report, "loaded again");
    assert_arrived(&source, &target, "books", "loaded again");
    assert!(*hidden.lock().unwrap() > 0 && released.load(Ordering::Relaxed));
    let verification = report.collections[0].verification.clone().unwrap();
    assert_eq!(verification.rows_compared, ALL_ROWS as u64);
    assert_eq!(report.warnings.len(), 0, "{:#?}", report.warnings);
}
