//! Sources and targets that change before, between and after the steps of a job: a success is only what the facts show.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;
use vecferry_migrate::event::{Event, Observer, Phase};
use vecferry_migrate::{
    JobState, MigrateRequest, Migration, Problem, RepairScope, Report, Resumed, Selection, VerifyLevel,
    VerifyRequest, verify,
};
use vecferry_store::{JobId, JobPage, Store, sqlite};
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::generate::{Generated, plain};
use vecferry_testkit::stand_in::{Key, Options, Value, Version};

use super::{Silent, assert_successful, endpoint, request};

const BOOKS: (&str, &str) = ("default", "books");

/// What somebody does to a server, and what is said of it.
type Change<'a> = (&'a dyn Fn(&StandIn), &'a str);

/// Does something once, when a collection enters a step.
struct At<Act> {
    name: &'static str,
    phase: Phase,
    act: Mutex<Option<Act>>,
}

impl<Act: FnOnce() + Send> Observer for At<Act> {
    fn on_event(&self, event: Event) {
        if let Event::Phase { collection, phase } = event
            && collection.name == self.name
            && phase == self.phase
            && let Some(act) = self.act.lock().unwrap().take()
        {
            act();
        }
    }
}

fn at(name: &'static str, phase: Phase, act: impl FnOnce() + Send + 'static) -> Arc<dyn Observer> {
    Arc::new(At { name, phase, act: Mutex::new(Some(act)) })
}

fn keys(range: std::ops::Range<i64>) -> Vec<Key> {
    range.map(Key::Long).collect()
}

fn columns(keys: std::ops::Range<i64>) -> Vec<Vec<Value>> {
    let vector =
        |key: i64| Value::Vector([key as f32, 5.0, 6.0, 7.0].iter().flat_map(|x| x.to_le_bytes()).collect());
    vec![keys.clone().map(Value::Long).collect(), keys.map(vector).collect()]
}

fn servers() -> (Arc<StandIn>, Arc<StandIn>) {
    let source = Arc::new(StandIn::start(Options::new(Version::V2_6)));
    let target = Arc::new(StandIn::start(Options::new(Version::V2_6)));
    source.add(&plain("books", false, &[("_default", keys(0..50)), ("p", keys(50..80))]));
    (source, target)
}

/// A partition with rows that no plan knows.
fn add_tenant(server: &StandIn) {
    server.add_partition(BOOKS, "later");
    server.insert(BOOKS, "later", columns(1000..1777));
}

fn codes(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(|problem| problem.code.to_string()).collect()
}

async fn run(migration: Migration, store: &Arc<dyn Store>, observer: Arc<dyn Observer>) -> Report {
    migration.run(store, observer, CancellationToken::new()).await.unwrap()
}

async fn resumed(
    store: &Arc<dyn Store>,
    job_id: &JobId,
    source: &StandIn,
    target: &StandIn,
) -> Result<Report, Vec<Problem>> {
    match Migration::resume(&**store, job_id, endpoint(source), endpoint(target)).await? {
        Resumed::Ready(migration) => Ok(run(*migration, store, Arc::new(Silent)).await),
        Resumed::Successful(report) | Resumed::AtRest(report) => Ok(*report),
    }
}

#[tokio::test]
async fn whatever_changes_while_the_confirmation_is_waited_for_refuses_the_job() {
    let changes: [Change<'_>; 4] = [
        (&|source| add_tenant(source), "partitions added: `later`"),
        (&|source| source.drop_partition(BOOKS, "p"), "partitions removed: `p`"),
        (&|source| source.add_alias(BOOKS, "novels"), "aliases added: `novels`"),
        (&|source| source.remove("default", "books"), "it was dropped"),
    ];
    for (change, says) in changes {
        let (source, target) = servers();
        let state = tempfile::tempdir().unwrap();
        let store = sqlite::open(state.path()).unwrap();
        let migration = Migration::prepare(request(&source, &target)).await.unwrap();
        change(&source);
        let refused = migration.run(&store, Arc::new(Silent), CancellationToken::new()).await.unwrap_err();
        assert_eq!(codes(&refused), ["VF-0250"], "{refused:#?}");
        assert!(refused[0].to_string().contains(says), "{}", refused[0]);
        assert!(target.names("default").0.is_empty(), "nothing was written");
        assert!(store.jobs(JobPage::newest()).await.unwrap().is_empty(), "no job was recorded");
    }
}

#[tokio::test]
async fn a_partition_that_comes_during_the_copy_is_drift_with_its_rows() {
    for allow_drift in [false, true] {
        let (source, target) = servers();
        let state = tempfile::tempdir().unwrap();
        let store = sqlite::open(state.path()).unwrap();
        let request = vecferry_migrate::MigrateRequest { allow_drift, ..request(&source, &target) };
        let migration = Migration::prepare(request).await.unwrap();
        let of = Arc::clone(&source);
        let observer = at("books", Phase::Copying, move || add_tenant(&of));
        let report = run(migration, &store, observer).await;
        let told = if allow_drift { &report.warnings } else { &report.problems };
        assert_eq!(report.state == JobState::Successful, allow_drift, "{:#?}", report.problems);
        let said = told.iter().find(|problem| problem.code.to_string() == "VF-0417").unwrap();
        let text = "partitions added: `later`; 777 row(s) are in partitions that were added";
        assert!(said.to_string().contains(text), "{said}");
        let evidence = &report.collections[0].evidence;
        assert_eq!(evidence.source_after.as_ref().unwrap().whole, 857);
        assert_eq!(evidence.target.as_ref().unwrap().whole, 80);
    }
}

#[tokio::test]
async fn a_source_that_changes_after_its_collection_was_complete_is_no_success() {
    let changes: [Change<'_>; 3] = [
        (&|source| source.insert(BOOKS, "p", columns(500..507)), "VF-0405"),
        (&|source| source.delete(BOOKS, "p", &BTreeSet::from([Key::Long(60)])), "VF-0405"),
        (&|source| add_tenant(source), "VF-0417"),
    ];
    for (number, (_, code)) in changes.iter().enumerate() {
        let (source, target) = servers();
        source.add(&plain("last", false, &[("_default", keys(0..50))]));
        let state = tempfile::tempdir().unwrap();
        let store = sqlite::open(state.path()).unwrap();
        let migration = Migration::prepare(request(&source, &target)).await.unwrap();
        let of = Arc::clone(&source);
        let observer = at("books", Phase::Done, move || match number {
            0 => of.insert(BOOKS, "p", columns(500..507)),
            1 => of.delete(BOOKS, "p", &BTreeSet::from([Key::Long(60)])),
            _ => add_tenant(&of),
        });
        let report = run(migration, &store, observer).await;
        assert_eq!(report.state, JobState::Failed, "{number}");
        assert_eq!(report.problems[0].code.to_string(), *code, "{:#?}", report.problems);
        assert!(!report.collections[0].evidence.source_looked_at_end);
    }
}

#[tokio::test]
async fn rows_of_the_target_in_partitions_that_the_source_lacks_are_extra_at_every_level() {
    let (source, target) = servers();
    let state = tempfile::tempdir().unwrap();
    let store = sqlite::open(state.path()).unwrap();
    let migration = Migration::prepare(request(&source, &target)).await.unwrap();
    assert_successful(&run(migration, &store, Arc::new(Silent)).await, "before");
    let compared = async |level| {
        let request = VerifyRequest {
            visible_only: false,
            source: endpoint(&source),
            target: endpoint(&target),
            selection: Selection::default(),
            target_dbs: BTreeMap::new(),
            level,
            repair: RepairScope::Nothing,
        };
        verify(request, Arc::new(Silent), CancellationToken::new()).await.unwrap()
    };
    for level in [VerifyLevel::Count, VerifyLevel::Sample, VerifyLevel::Full] {
        assert_successful(&compared(level).await, "equal");
    }
    add_tenant(&target);
    for level in [VerifyLevel::Count, VerifyLevel::Sample, VerifyLevel::Full] {
        let report = compared(level).await;
        assert_eq!((report.state, report.verified), (JobState::Failed, VerifyLevel::None), "{level:?}");
        assert!(report.problems.iter().any(|problem| problem.to_string().contains("777")), "{level:?}");
        assert!(!report.collections[0].verification.as_ref().unwrap().passed);
    }
}

#[tokio::test]
async fn somebody_who_writes_into_the_target_before_its_verification_fails_the_job() {
    let (source, target) = servers();
    let state = tempfile::tempdir().unwrap();
    let store = sqlite::open(state.path()).unwrap();
    let migration = Migration::prepare(request(&source, &target)).await.unwrap();
    let of = Arc::clone(&target);
    let observer = at("books", Phase::Indexing, move || add_tenant(&of));
    let report = run(migration, &store, observer).await;
    assert_eq!(report.state, JobState::Failed);
    let extra = report.problems.iter().find(|problem| problem.code.to_string() == "VF-0402").unwrap();
    assert!(extra.to_string().contains("777 row(s)") && extra.to_string().contains("`later`"), "{extra}");
}

#[tokio::test]
async fn what_an_earlier_attempt_completed_is_counted_again() {
    for (add, code, says) in [(false, "VF-0401", "1 row(s)"), (true, "VF-0402", "7 row(s)")] {
        let (source, target) = servers();
        source.add(&plain("last", false, &[("_default", keys(0..50))]));
        let state = tempfile::tempdir().unwrap();
        let store = sqlite::open(state.path()).unwrap();
        let migration = Migration::prepare(request(&source, &target)).await.unwrap();
        // Fails after one of the two is complete.
        let of = Arc::clone(&source);
        let observer =
            at("last", Phase::Flushing, move || of.insert(("default", "last"), "_default", columns(90..91)));
        let report = run(migration, &store, observer).await;
        assert_eq!(report.state, JobState::Failed);
        assert_eq!(report.collections[0].phase, Phase::Done, "{:#?}", report.problems);
        source.delete(("default", "last"), "_default", &BTreeSet::from([Key::Long(90)]));
        if add {
            target.insert(BOOKS, "p", columns(500..507));
        } else {
            target.delete(BOOKS, "p", &BTreeSet::from([Key::Long(60)]));
        }
        let report = resumed(&store, &report.job_id, &source, &target).await.unwrap();
        assert_eq!(report.state, JobState::Failed);
        let of_books = |problem: &&Problem| problem.to_string().contains("`default.books`");
        let problem =
            report.problems.iter().find(of_books).unwrap_or_else(|| panic!("{:#?}", report.problems));
        assert_eq!(problem.code.to_string(), code, "{problem}");
        assert!(
            problem.to_string().contains(says) && problem.to_string().contains("counted again"),
            "{problem}"
        );
        assert!(!target.is_loaded("default", "books"));
    }
}

#[tokio::test]
async fn a_definition_that_changes_on_the_target_when_its_collection_is_complete_is_no_success() {
    let (source, target) = servers();
    let state = tempfile::tempdir().unwrap();
    let store = sqlite::open(state.path()).unwrap();
    let migration = Migration::prepare(request(&source, &target)).await.unwrap();
    let of = Arc::clone(&target);
    let observer = at("books", Phase::Done, move || of.add_partition(BOOKS, "of_somebody_else"));
    let report = run(migration, &store, observer).await;
    assert_eq!(report.state, JobState::Failed);
    assert!(codes(&report.problems).contains(&"VF-0407".to_owned()), "{:#?}", report.problems);
    let said = report.problems[0].to_string();
    assert!(said.contains("added partitions: `of_somebody_else`"), "{said}");
}

/// Also where the job was interrupted meanwhile: what was meant is on record.
#[tokio::test]
async fn a_collection_that_comes_to_the_source_of_a_job_of_all_is_told() {
    for is_resumed in [false, true] {
        let (source, target) = servers();
        let state = tempfile::tempdir().unwrap();
        let store = sqlite::open(state.path()).unwrap();
        let migration = Migration::prepare(request(&source, &target)).await.unwrap();
        let (of, cancel) = (Arc::clone(&source), CancellationToken::new());
        let token = cancel.clone();
        let observer = at("books", Phase::Copying, move || {
            of.add(&plain("films", false, &[("_default", keys(0..5))]));
            if is_resumed {
                token.cancel();
            }
        });
        let mut report = migration.run(&store, observer, cancel).await.unwrap();
        if is_resumed {
            assert_eq!(report.state, JobState::Canceled);
            report = resumed(&store, &report.job_id, &source, &target).await.unwrap();
        }
        assert_eq!(report.state, JobState::Failed);
        assert_eq!(codes(&report.problems), ["VF-0417"], "{:#?}", report.problems);
        let said = report.problems[0].to_string();
        assert!(said.contains("`default.films`") && said.contains("this job does not copy it"), "{said}");
    }
    // Named collections are all that is meant.
    let (source, target) = servers();
    let state = tempfile::tempdir().unwrap();
    let store = sqlite::open(state.path()).unwrap();
    let mut named = request(&source, &target);
    named.selection = Selection::parse(&["books"], &[]).unwrap();
    let migration = Migration::prepare(named).await.unwrap();
    let of = Arc::clone(&source);
    let add = move || of.add(&plain("films", false, &[("_default", keys(0..5))]));
    let report = run(migration, &store, at("books", Phase::Copying, add)).await;
    assert_successful(&report, "named");
}

/// Two clusters hold different collections under one name: what comes to the source is not what the job made.
#[tokio::test]
async fn a_collection_that_comes_to_the_source_under_the_name_of_a_copy_is_told() {
    let (source, target) = servers();
    let archive = |name: &str, rows| {
        let made = plain(name, false, &[("_default", keys(rows))]);
        Generated { db: "archive".to_owned(), ..made }
    };
    source.add(&archive("films", 0..5));
    let state = tempfile::tempdir().unwrap();
    let store = sqlite::open(state.path()).unwrap();
    let target_dbs = BTreeMap::from([("default", "archive"), ("archive", "films")]);
    let target_dbs = target_dbs.into_iter().map(|(from, to)| (from.to_owned(), to.to_owned())).collect();
    let migration =
        Migration::prepare(MigrateRequest { target_dbs, ..request(&source, &target) }).await.unwrap();
    let of = Arc::clone(&source);
    let observer = at("books", Phase::Copying, move || of.add(&archive("books", 0..7)));
    let report = run(migration, &store, observer).await;
    assert_eq!(report.state, JobState::Failed);
    assert_eq!(codes(&report.problems), ["VF-0417"], "{:#?}", report.problems);
    assert!(report.problems[0].to_string().contains("archive.books"), "{}", report.problems[0]);
}
