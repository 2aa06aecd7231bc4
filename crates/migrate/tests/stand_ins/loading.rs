//! A source collection that is not loaded to its end holds nobody up: it is named, seen to be waited for, and given up
//! after a while; all others are done.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use vecferry_migrate::event::{Awaited, Event, Observer, Side};
use vecferry_migrate::report::FormerLoad;
use vecferry_migrate::{
    AutoId, Code, JobState, MigrateRequest, Migration, Problem, Report, Resumed, Tuning, VerifyLevel,
};
use vecferry_milvus::Endpoint;
use vecferry_milvus::proto::common;
use vecferry_milvus::proto::schema::{DataType, FieldSchema};
use vecferry_milvus::schema::field;
use vecferry_store::{Store, sqlite};
use vecferry_testkit::StandIn;
use vecferry_testkit::fault_proxy::{Answer, Fault, FaultProxy, When};
use vecferry_testkit::stand_in::generate::{Generated, plain};
use vecferry_testkit::stand_in::{Key, Options, Value, Version};

use super::keys::made_by_the_server;
use super::releases::daily;
use super::{assert_arrived, endpoint, request};

const BOOKS: (&str, &str) = ("default", "books");
/// Less than any load is waited for.
const PROMPTLY: Duration = Duration::from_secs(5);

/// What is waited for, collection by collection; the first wait of a source cancels, if that is wanted.
#[derive(Default)]
struct Seen {
    waits: Mutex<Vec<(Option<String>, Awaited)>>,
    cancels: Option<CancellationToken>,
}

impl Observer for Seen {
    fn on_event(&self, event: Event) {
        if let Event::Awaiting { collection, awaited, .. } = event {
            self.cancels.iter().for_each(CancellationToken::cancel);
            let collection = collection.map(|name| name.to_string());
            self.waits.lock().unwrap().push((collection, awaited));
        }
    }
}

/// Two loaded collections, of which one is still on its way into memory.
fn source(options: Options) -> StandIn {
    let source = StandIn::start(options);
    for name in ["books", "films"] {
        let rows = plain(name, false, &[("_default", (0..40).map(Key::Long).collect())]);
        source.add(&Generated { loaded: true, ..rows });
    }
    source
}

async fn run(
    migration: Migration,
    store: &Arc<dyn Store>,
    seen: &Arc<Seen>,
    cancel: &CancellationToken,
) -> Report {
    let tuning = Tuning { load_stall_max: Duration::from_millis(2500), ..Tuning::default() };
    let observer: Arc<dyn Observer> = Arc::<Seen>::clone(seen);
    migration.with_tuning(tuning).run(store, observer, cancel.clone()).await.unwrap()
}

fn codes(problems: &[Problem]) -> Vec<(Code, String)> {
    let of = |problem: &Problem| (problem.code, problem.what(vecferry_migrate::Lang::En));
    problems.iter().map(of).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_never_finishes_loading_is_named_and_all_others_are_done() {
    for version in [Version::V2_5, Version::V2_6] {
        let (source, target) = (source(Options::new(version)), StandIn::start(Options::new(version)));
        source.set_loading(BOOKS, true);
        let checked = Migration::check(request(&source, &target), None).await;
        let migration = checked.into_result().unwrap();
        let warned = codes(&migration.plan().warnings);
        let text = "the source is still loading `default.books`, or has just started: its row count is an \
                    estimate, and its copy waits for the load";
        assert!(warned.contains(&(Code::SourceLoading, text.to_owned())), "{warned:#?}");
        let state = tempfile::tempdir().unwrap();
        let (store, seen) = (sqlite::open(state.path()).unwrap(), Arc::new(Seen::default()));
        let never = CancellationToken::new();
        let report = run(migration, &store, &seen, &never).await;

        assert_eq!(report.state, JobState::Failed);
        let [(Code::SourceDoesNotServe, text)] = &codes(&report.problems)[..] else {
            panic!("{version:?}: {:#?}", report.problems)
        };
        let begins = "the source does not return every row of `default.books`: ";
        let ends = "loading made no progress for 2 s";
        assert!(text.starts_with(begins) && text.contains(ends), "{text}");
        assert_arrived(&source, &target, "films", "the other one");
        assert!(target.rows("default", "books").is_empty());
        let waited =
            (Some("default.books".to_owned()), Awaited::Load { side: Side::Source, percent: Some(0) });
        assert!(seen.waits.lock().unwrap().contains(&waited), "{:?}", seen.waits);
        assert_eq!(former(&report, "books"), former(&report, "films"));

        source.set_loading(BOOKS, false);
        let resumed = Migration::resume(&*store, &report.job_id, endpoint(&source), endpoint(&target)).await;
        let Ok(Resumed::Ready(migration)) = resumed else { panic!("{resumed:?}") };
        let report = run(*migration, &store, &seen, &never).await;
        assert_eq!(report.state, JobState::Successful, "{:#?}", report.problems);
        assert_arrived(&source, &target, "books", "resumed");
        assert!(source.is_loaded("default", "books"), "it is left as it was found");
    }
}

/// A field of which every third value is null.
fn add_field(to: &mut Generated, field: FieldSchema, value: &dyn Fn(usize) -> Value) {
    to.schema.fields.push(FieldSchema { nullable: true, ..field });
    for (_, columns) in &mut to.rows {
        let rows = columns[0].len();
        columns.push((0..rows).map(|row| if row % 3 == 0 { Value::Null } else { value(row) }).collect());
    }
}

/// All that a newer release does in another way at once: keys that the server made, a time-to-live, daily partitions, nulls, a
/// time zone that it adds, segments that it never sorts. One collection never finishes loading, and is done last.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_of_an_earlier_release_arrives_in_2_6() {
    const FILMS: (&str, &str) = ("default", "films");
    for (from, day) in
        [(Version::V2_3, "2024_01_01"), (Version::V2_5, "2024-01-01"), (Version::V2_6, "2024-01-01")]
    {
        let context = format!("{from:?}");
        let source = source(Options::awkward(from, 1));
        source.add(&daily("news", day));
        source.add(&made_by_the_server(daily("made", day)));
        if from >= Version::V2_5 {
            let mut notes = daily("notes", day);
            let text = field("note", DataType::VarChar, &[("max_length", "64")]);
            add_field(&mut notes, text, &|row| Value::Text(row.to_string()));
            if from >= Version::V2_6 {
                let vector = field("f", DataType::FloatVector, &[("dim", "4")]);
                add_field(&mut notes, vector, &|row| Value::Vector(vec![row as u8; 16]));
                let mut index = notes.indexes[0].clone();
                index.0 = "f".to_owned();
                notes.indexes.push(index);
            }
            source.add(&notes);
        }
        source.set_loading(FILMS, true);
        let target = StandIn::start(Options { sorts: false, ..Options::awkward(Version::V2_6, 2) });
        let mut wanted = request(&source, &target);
        (wanted.auto_id, wanted.verify) = (AutoId::Keep, VerifyLevel::Full);
        let migration = Migration::check(wanted, None).await.into_result().unwrap();
        let state = tempfile::tempdir().unwrap();
        let (store, seen) = (sqlite::open(state.path()).unwrap(), Arc::new(Seen::default()));
        let never = CancellationToken::new();
        let report = run(migration, &store, &seen, &never).await;
        assert_eq!(report.state, JobState::Failed, "{context}");
        let [(Code::SourceDoesNotServe, text)] = &codes(&report.problems)[..] else {
            panic!("{context}: {:#?}", report.problems)
        };
        assert!(text.contains("`default.films`"), "{context}: {text}");

        source.set_loading(FILMS, false);
        let resumed = Migration::resume(&*store, &report.job_id, endpoint(&source), endpoint(&target)).await;
        let Ok(Resumed::Ready(migration)) = resumed else { panic!("{context}: {resumed:?}") };
        let report = run(*migration, &store, &seen, &never).await;
        assert_eq!(report.state, JobState::Successful, "{context}: {:#?}", report.problems);
        assert_eq!(report.collections.len(), if from >= Version::V2_5 { 5 } else { 4 });
        for collection in &report.collections {
            let name = collection.collection.as_str();
            assert_arrived(&source, &target, name, &context);
            let zones = collection.changes.iter().filter(|change| change.what == "property timezone");
            let is_added = usize::from(from < Version::V2_6);
            assert_eq!(zones.count(), is_added, "{context}, {name}: {:?}", collection.changes);
            let ttl = target.property("default", name, "collection.ttl.seconds");
            assert_eq!(ttl, source.property("default", name, "collection.ttl.seconds"), "{context}, {name}");
        }
    }
}

/// More rows than are stored can't be there, and a change that is gone a moment later is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_counted_twice_for_a_moment_are_no_change() {
    let options = || Options::new(Version::V2_3);
    let (source, target) = (source(options()), StandIn::start(options()));
    let migration = Migration::prepare(request(&source, &target)).await.unwrap();
    source.count_twice(BOOKS, 5, 1);
    let state = tempfile::tempdir().unwrap();
    let (store, seen) = (sqlite::open(state.path()).unwrap(), Arc::new(Seen::default()));
    let report = run(migration, &store, &seen, &CancellationToken::new()).await;
    assert_eq!(report.state, JobState::Successful, "{:#?}", report.problems);
    let books = &report.collections[0];
    assert_eq!((books.collection.as_str(), books.rows), ("books", 40));
    let drift = books.drift.as_ref().unwrap();
    assert_eq!((drift.rows_before, drift.rows_after), (40, 40));
}

/// A server that failed to load a collection says why when it is asked for the state, in the words of what went wrong then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_that_failed_once_does_not_hide_the_collection() {
    for (code, why) in [
        (100, "collection not found[collection=470786341624750867]"),
        (601, "segment released: segment not loaded[segment=470788955170546585]"),
    ] {
        let options = || Options::new(Version::V2_3);
        let (source, target) = (StandIn::start(options()), StandIn::start(options()));
        let rows = plain("books", false, &[("_default", (0..40).map(Key::Long).collect())]);
        source.add(&Generated { loaded: false, ..rows });
        let proxy = FaultProxy::start(&source.uri());
        let reason = format!("show collection failed: {why}");
        let status = common::Status { code, error_code: 1, reason, ..common::Status::default() };
        let failed = proxy.arm("GetLoadState", When::Always, Fault::Answer(Answer::Status(status)));
        let mut wanted = MigrateRequest::new(Endpoint::parse(&proxy.uri()).unwrap(), endpoint(&target));
        wanted.verify = VerifyLevel::Full;
        let migration = Migration::prepare(wanted).await.unwrap();
        assert!(migration.plan().collections[0].needs_load);
        failed.disarm();
        let state = tempfile::tempdir().unwrap();
        let (store, seen) = (sqlite::open(state.path()).unwrap(), Arc::new(Seen::default()));
        let report = run(migration, &store, &seen, &CancellationToken::new()).await;
        assert_eq!(report.state, JobState::Successful, "{:#?}", report.problems);
        assert_arrived(&source, &target, "books", "loaded for the copy");
        assert!(!source.is_loaded("default", "books"));
    }
}

fn former(report: &Report, name: &str) -> Option<FormerLoad> {
    let mut collections = report.collections.iter();
    collections.find(|collection| collection.collection == name)?.source_load.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_for_a_load_of_somebody_else_ends_at_once_when_it_is_canceled() {
    let options = || Options::new(Version::V2_6);
    let (source, target) = (source(options()), StandIn::start(options()));
    source.set_loading(BOOKS, true);
    let migration = Migration::prepare(request(&source, &target)).await.unwrap();
    let state = tempfile::tempdir().unwrap();
    let store = sqlite::open(state.path()).unwrap();
    let cancel = CancellationToken::new();
    let seen = Arc::new(Seen { cancels: Some(cancel.clone()), ..Seen::default() });
    let job = migration.run(&store, seen, cancel.clone());
    let too_late = async {
        cancel.cancelled().await;
        tokio::time::sleep(PROMPTLY).await;
    };
    let report = tokio::select! {
        report = job => report.unwrap(),
        () = too_late => panic!("canceled, and it still goes on"),
    };
    assert_eq!(report.state, JobState::Canceled, "{:#?}", report.problems);
    assert!(source.is_loaded("default", "books"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_that_a_2_6_never_sorts_are_not_waited_for() {
    let options = || Options { sorts: false, ..Options::new(Version::V2_6) };
    let (source, target) = (source(options()), StandIn::start(options()));
    let mut wanted = request(&source, &target);
    wanted.verify = VerifyLevel::Full;
    let migration = Migration::prepare(wanted).await.unwrap();
    let state = tempfile::tempdir().unwrap();
    let (store, seen) = (sqlite::open(state.path()).unwrap(), Arc::new(Seen::default()));
    let report = run(migration, &store, &seen, &CancellationToken::new()).await;
    assert_eq!(report.state, JobState::Successful, "{:#?}", report.problems);
    for name in ["books", "films"] {
        assert_arrived(&source, &target, name, "not sorted");
    }
    let loads = seen.waits.lock().unwrap();
    let is_load = |awaited: &Awaited| matches!(awaited, Awaited::Memory { .. } | Awaited::Load { .. });
    assert!(loads.iter().all(|(_, awaited)| !is_load(awaited)), "{loads:?}");
}
