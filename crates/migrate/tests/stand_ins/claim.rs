//! What a job makes is its own, and nobody else's is taken for it: two jobs for one name, collections that somebody makes
//! at the wrong moment, and clean-ups that end anywhere.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use vecferry_migrate::{JobState, Migration, Report, Resumed, cancel};
use vecferry_milvus::Endpoint;
use vecferry_store::{JobId, JobPage, Position, Store, sqlite};
use vecferry_testkit::StandIn;
use vecferry_testkit::fault_proxy::{Answer, Fault, FaultProxy, When};
use vecferry_testkit::stand_in::generate::{Generated, plain};
use vecferry_testkit::stand_in::{Gate, Key, Options, Stop, Version};

use super::{Silent, assert_arrived, assert_successful, carry_out, endpoint, request};

const PATIENCE: Duration = Duration::from_secs(30);

fn books() -> Generated {
    plain("books", false, &[("_default", (0..50).map(Key::Long).collect())])
}

/// The same definition, without a row.
fn of_somebody_else() -> Generated {
    plain("books", false, &[("_default", Vec::new())])
}

fn names(of: &StandIn) -> Vec<String> {
    of.names("default").0
}

#[track_caller]
fn assert_code(report: &Report, code: &str, text: &str) {
    assert_eq!(report.state, JobState::Failed);
    let [problem] = report.problems.as_slice() else { panic!("{:#?}", report.problems) };
    assert_eq!(problem.code.to_string(), code);
    assert!(problem.to_string().contains(text), "{problem}");
}

async fn resumed(store: &Arc<dyn Store>, job_id: &JobId, source: &StandIn, target: Endpoint) -> Report {
    match Migration::resume(&**store, job_id, endpoint(source), target).await.unwrap() {
        Resumed::Ready(migration) => {
            migration.run(store, Arc::new(Silent), CancellationToken::new()).await.unwrap()
        }
        Resumed::Successful(_) | Resumed::AtRest(_) => panic!("it is no success any more"),
    }
}

async fn cleaned(store: &Arc<dyn Store>, job_id: &JobId, source: &StandIn, target: Endpoint) -> Vec<String> {
    let canceled = cancel(&**store, job_id, Some(endpoint(source)), Some(target), true).await.unwrap();
    canceled.removed.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn an_equal_collection_that_somebody_makes_after_the_check_is_not_taken() {
    for version in [Version::V2_5, Version::V2_6] {
        let (source, target) = (StandIn::start(Options::new(version)), StandIn::start(Options::new(version)));
        source.add(&books());
        let migration = Migration::prepare(request(&source, &target)).await.unwrap();
        target.add(&of_somebody_else());
        let state = tempfile::tempdir().unwrap();
        let report = carry_out(migration, state.path()).await;
        assert_code(&report, "VF-0313", "`default.books` appeared on the target after the pre-check");
        let store = sqlite::open(state.path()).unwrap();
        assert_eq!(cleaned(&store, &report.job_id, &source, endpoint(&target)).await, [""; 0]);
        assert_eq!(names(&target), ["books"]);
        assert!(target.rows("default", "books").is_empty());
        // When it is gone, the job goes on.
        target.remove("default", "books");
        let report = resumed(&store, &report.job_id, &source, endpoint(&target)).await;
        assert_successful(&report, "resumed");
        assert_arrived(&source, &target, "books", "resumed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collection_that_somebody_makes_while_the_job_makes_its_own_is_not_taken() {
    let (source, target) =
        (StandIn::start(Options::new(Version::V2_6)), StandIn::start(Options::new(Version::V2_6)));
    source.add(&books());
    let proxy = FaultProxy::start(&target.uri());
    let mut request = request(&source, &target);
    request.target = Endpoint::parse(&proxy.uri()).unwrap();
    let migration = Migration::prepare(request).await.unwrap();
    let busy = vecferry_milvus::proto::common::Status { code: 2, error_code: 1, ..Default::default() };
    let later = proxy.arm("RenameCollection", When::Always, Fault::Answer(Answer::Status(busy)));
    let state = tempfile::tempdir().unwrap();
    let somebody = async {
        // The name was free when it was looked at.
        let fired = tokio::task::spawn_blocking(move || (later.wait_until_fired(PATIENCE), later)).await;
        let (fired, later) = fired.unwrap();
        assert!(fired, "no rename");
        target.add(&of_somebody_else());
        later.disarm();
    };
    let (report, ()) = tokio::join!(carry_out(migration, state.path()), somebody);
    assert_code(&report, "VF-0313", "`default.books` appeared on the target after the pre-check");
    assert_eq!(names(&target), ["books"], "what the job made is gone, and the other one stays");
    assert!(target.rows("default", "books").is_empty());
}

/// Makes a job and kills it as soon as it wrote so many times.
async fn killed(source: &StandIn, target: &StandIn, gate: &Gate, state: &TempDir) -> JobId {
    let migration = Migration::prepare(request(source, target)).await.unwrap();
    let store = sqlite::open(state.path()).unwrap();
    gate.open(Some((26, Stop::After)));
    tokio::select! {
        biased;
        () = gate.stopped() => {}
        report = migration.run(&store, Arc::new(Silent), CancellationToken::new()) => panic!("{report:?}"),
    }
    gate.open(None);
    store.jobs(JobPage::newest()).await.unwrap()[0].job_id.clone()
}

#[tokio::test]
async fn a_name_that_another_job_has_is_refused_until_that_job_is_cleaned() {
    let gate = Gate::new();
    let options = || Options::new(Version::V2_6);
    let source = StandIn::start_behind(options(), gate.clone());
    let target = StandIn::start_behind(options(), gate.clone());
    source.add(&books());
    let second = Migration::prepare(request(&source, &target)).await.unwrap();
    let third = Migration::prepare(request(&source, &target)).await.unwrap();
    let state = tempfile::tempdir().unwrap();
    let first = killed(&source, &target, &gate, &state).await;
    assert_eq!(names(&target), ["books"], "killed after its creation");
    let store = sqlite::open(state.path()).unwrap();
    let calls = gate.calls();
    let problems = second.run(&store, Arc::new(Silent), CancellationToken::new()).await.unwrap_err();
    let [problem] = problems.as_slice() else { panic!("{problems:#?}") };
    assert_eq!(problem.code.to_string(), "VF-0232");
    assert!(problem.to_string().contains(first.as_str()), "{problem}");
    assert!(gate.calls() - calls < 8, "nothing but a look");
    assert_eq!(
        store.jobs(JobPage::newest()).await.unwrap().len(),
        1,
        "a job that did not begin is not recorded"
    );

    assert_eq!(cleaned(&store, &first, &source, endpoint(&target)).await, ["default.books"]);
    let report = third.run(&store, Arc::new(Silent), CancellationToken::new()).await.unwrap();
    assert_successful(&report, "the name is free");
    // The first one can't have it back.
    let again = Migration::resume(&*store, &first, endpoint(&source), endpoint(&target)).await.unwrap();
    let Resumed::Ready(again) = again else { panic!("it was cleaned") };
    let report = again.run(&store, Arc::new(Silent), CancellationToken::new()).await.unwrap();
    assert_code(&report, "VF-0313", "`default.books`");
    assert_arrived(&source, &target, "books", "of the third job");
}

#[tokio::test]
async fn a_name_is_free_again_when_nothing_of_the_other_job_is_left() {
    let gate = Gate::new();
    let source = StandIn::start_behind(Options::new(Version::V2_6), gate.clone());
    let target = StandIn::start_behind(Options::new(Version::V2_6), gate.clone());
    source.add(&books());
    let state = tempfile::tempdir().unwrap();
    let first = killed(&source, &target, &gate, &state).await;
    target.remove("default", "books");
    let second = Migration::prepare(request(&source, &target)).await.unwrap();
    let store = sqlite::open(state.path()).unwrap();
    let report = second.run(&store, Arc::new(Silent), CancellationToken::new()).await.unwrap();
    assert_successful(&report, "second");
    // And the first one takes nothing away that is not its own.
    assert_eq!(cleaned(&store, &first, &source, endpoint(&target)).await, [""; 0]);
    assert_arrived(&source, &target, "books", "of the second job");
}

#[tokio::test]
async fn a_job_that_was_cleaned_is_no_success_and_copies_everything_again() {
    let (source, target) =
        (StandIn::start(Options::new(Version::V2_6)), StandIn::start(Options::new(Version::V2_6)));
    source.add(&Generated { aliases: vec!["library".to_owned()], ..books() });
    let migration = Migration::prepare(request(&source, &target)).await.unwrap();
    let state = tempfile::tempdir().unwrap();
    let job_id = carry_out(migration, state.path()).await.job_id;
    let store = sqlite::open(state.path()).unwrap();
    let before = store.collection(&job_id, Position(0)).await.unwrap();
    assert!(before.done && before.source_counts.is_some());

    // A target that can't be reached: nothing was done, and nothing is recorded.
    let (nobody, of_source) = (Endpoint::parse("http://127.0.0.1:1").unwrap(), Some(endpoint(&source)));
    let refused = cancel(&*store, &job_id, of_source, Some(nobody), true).await.unwrap_err();
    assert_eq!(refused[0].code.to_string(), "VF-0102");
    assert_eq!(store.job(&job_id).await.unwrap().state, JobState::Successful);
    assert_eq!(store.collection(&job_id, Position(0)).await.unwrap(), before);

    assert_eq!(cleaned(&store, &job_id, &source, endpoint(&target)).await, ["default.books"]);
    assert_eq!(names(&target), [""; 0]);
    let record = store.job(&job_id).await.unwrap();
    let report: Report = serde_json::from_str(record.report.as_deref().unwrap()).unwrap();
    assert_eq!((record.state, report.state), (JobState::Canceled, JobState::Canceled));
    assert_eq!(report.problems[0].code.to_string(), "VF-0233");
    assert!(report.collections[0].verification.is_none() && report.collections[0].rows == 0);
    let after = store.collection(&job_id, Position(0)).await.unwrap();
    assert!(!after.done && !after.copied && after.report.is_none() && after.source_counts.is_none());

    let report = resumed(&store, &job_id, &source, endpoint(&target)).await;
    assert_successful(&report, "after the clean-up");
    assert_eq!(report.collections[0].rows, 50);
    assert_arrived(&source, &target, "books", "after the clean-up");
}

/// A drop that is carried out and answers an error, and one that is refused.
#[tokio::test]
async fn a_drop_that_answers_an_error_is_looked_after() {
    let (source, target) =
        (StandIn::start(Options::new(Version::V2_6)), StandIn::start(Options::new(Version::V2_6)));
    source.add(&books());
    let migration = Migration::prepare(request(&source, &target)).await.unwrap();
    let state = tempfile::tempdir().unwrap();
    let job_id = carry_out(migration, state.path()).await.job_id;
    let store = sqlite::open(state.path()).unwrap();
    let proxy = FaultProxy::start(&target.uri());
    let through = || Endpoint::parse(&proxy.uri()).unwrap();
    let refusal = vecferry_milvus::proto::common::Status {
        code: 65535,
        error_code: 1,
        reason: "no".into(),
        ..Default::default()
    };
    let refused = proxy.arm("DropCollection", When::Always, Fault::Answer(Answer::Status(refusal.clone())));
    let problems = cancel(&*store, &job_id, Some(endpoint(&source)), Some(through()), true).await;
    assert_eq!(problems.unwrap_err()[0].code.to_string(), "VF-0320");
    refused.disarm();
    assert_eq!(names(&target), ["books"]);
    let record = store.job(&job_id).await.unwrap();
    assert_eq!(record.state, JobState::Canceled, "its removal was begun");
    // What is there is proved anew before it counts.
    let report = resumed(&store, &job_id, &source, endpoint(&target)).await;
    assert_successful(&report, "it is still there");
    assert_arrived(&source, &target, "books", "it is still there");

    target.remove("default", "books");
    proxy.arm("DropCollection", When::Always, Fault::Answer(Answer::Status(refusal)));
    assert_eq!(cleaned(&store, &job_id, &source, through()).await, [""; 0]);
    let report = resumed(&store, &job_id, &source, endpoint(&target)).await;
    assert_successful(&report, "it was gone");
    assert_arrived(&source, &target, "books", "it was gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_up_that_is_killed_anywhere_leaves_a_job_that_can_go_on() {
    for stop in [Stop::Before, Stop::After] {
        for at in 1.. {
            let gate = Gate::new();
            let source = StandIn::start_behind(Options::new(Version::V2_6), gate.clone());
            let target = StandIn::start_behind(Options::new(Version::V2_6), gate.clone());
            source.add(&Generated { aliases: vec!["library".to_owned()], ..books() });
            let migration = Migration::prepare(request(&source, &target)).await.unwrap();
            let state = tempfile::tempdir().unwrap();
            let job_id = carry_out(migration, state.path()).await.job_id;
            gate.open(Some((at, stop)));
            let store = sqlite::open(state.path()).unwrap();
            let killed = tokio::select! {
                biased;
                () = gate.stopped() => true,
                removed = cleaned(&store, &job_id, &source, endpoint(&target)) => {
                    assert_eq!(removed, ["default.books"]);
                    false
                }
            };
            gate.open(None);
            let context = format!("{stop:?} call {at}");
            if !killed {
                assert!(at > 8, "only {at} calls");
                break;
            }
            let store = sqlite::open(state.path()).unwrap();
            if store.job(&job_id).await.unwrap().state == JobState::Successful {
                assert_arrived(&source, &target, "books", &context);
                continue;
            }
            let report = resumed(&store, &job_id, &source, endpoint(&target)).await;
            assert_successful(&report, &context);
            assert_arrived(&source, &target, "books", &context);
        }
    }
}

#[tokio::test]
async fn a_database_that_is_there_by_now_is_not_the_jobs_to_remove() {
    let (source, target) =
        (StandIn::start(Options::new(Version::V2_6)), StandIn::start(Options::new(Version::V2_6)));
    source.add(&Generated { db: "shop".to_owned(), ..books() });
    let migration = Migration::prepare(request(&source, &target)).await.unwrap();
    target.set_database_properties("shop", &[]);
    let state = tempfile::tempdir().unwrap();
    let report = carry_out(migration, state.path()).await;
    assert_successful(&report, "into a database of somebody else");
    let store = sqlite::open(state.path()).unwrap();
    assert_eq!(cleaned(&store, &report.job_id, &source, endpoint(&target)).await, ["shop.books"]);
    assert_eq!(target.names("shop").0, [""; 0], "the database is still there");
}
