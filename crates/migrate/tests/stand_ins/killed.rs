//! A job that is killed anywhere, as by `kill -9`, and goes on: the target holds every row once, and nothing else is
//! left.
//!
//! The engine's future is dropped with all its connections, at the N-th call to either server or at the N-th commit of
//! its record, for every N that a whole run has; then the job is resumed with a new handle of the record. With texts as
//! keys it is only every third N, beginning with the first: nothing but the keys differs there. Commits and calls of
//! several splits run side by side, so that a number does not stand for the same step in each run; together the numbers
//! cover all steps.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use vecferry_migrate::{AutoId, JobState, Migration, Report, Resumed, Tuning, VerifyLevel, cancel};
use vecferry_milvus::proto::schema::{DataType, FieldSchema};
use vecferry_milvus::schema::field;
use vecferry_store::{JobPage, Store, sqlite};
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::generate::{Generated, plain};
use vecferry_testkit::stand_in::{Gate, Interference, Key, Options, Stop, Value, Version};

use super::keys::{made_by_the_server, without_keys};
use super::warm::assert_ready;
use super::{Silent, assert_arrived, assert_successful, endpoint, request};

/// Rows a partition.
const ROWS: i64 = 120;

/// Where an attempt ends.
#[derive(Clone, Copy, Debug)]
enum Kill {
    /// At a call to either server.
    Call(u64, Stop),
    /// When its record was committed so often.
    Commit(u64),
    Never,
}

/// Two servers and the record of a job.
struct Scene {
    source: StandIn,
    target: StandIn,
    gate: Gate,
    state: TempDir,
    loaded: bool,
    slice_time: Duration,
    auto_id: AutoId,
    verify: VerifyLevel,
    warm: bool,
}

impl Scene {
    fn new(generated: &Generated, seed: u64) -> Self {
        Self::of(Version::V2_6, generated, seed)
    }

    fn of(version: Version, generated: &Generated, seed: u64) -> Self {
        let gate = Gate::new();
        let options = |seed| Options { short_pages: false, ..Options::awkward(version, seed) };
        let source = StandIn::start_behind(options(seed), gate.clone());
        let target = StandIn::start_behind(options(seed + 1), gate.clone());
        source.add(generated);
        // A slice of one page, or of all.
        let slice_time = if seed.is_multiple_of(2) { Duration::ZERO } else { Duration::from_secs(30) };
        let state = tempfile::tempdir().unwrap();
        let (loaded, auto_id) = (generated.loaded, AutoId::Refuse);
        let verify = VerifyLevel::Sample;
        Self { source, target, gate, state, loaded, slice_time, auto_id, verify, warm: false }
    }

    /// Begins the job, or goes on with it. None if it was killed.
    async fn attempt(&self, kill: Kill) -> Option<Report> {
        self.gate.open(if let Kill::Call(at, stop) = kill { Some((at, stop)) } else { None });
        let store = sqlite::open(self.state.path()).unwrap();
        let commits_max = if let Kill::Commit(commits) = kill { commits } else { u64::MAX };
        let work = until_committed(&store, commits_max, self.work(&store));
        tokio::select! {
            // Before the engine sees what the call came to.
            biased;
            () = self.gate.stopped() => None,
            report = work => report,
        }
    }

    async fn work(&self, store: &Arc<dyn Store>) -> Report {
        let tuning = Tuning {
            page_bytes_target: 500,
            split_bytes_min: 26 * 40,
            slice_time: self.slice_time,
            ..Tuning::default()
        };
        let migration = match store.jobs(JobPage::newest()).await.unwrap().first() {
            None => {
                let mut request = request(&self.source, &self.target);
                request.verify = self.verify;
                request.auto_id = self.auto_id;
                request.warm = self.warm;
                Migration::prepare(request).await.unwrap()
            }
            Some(job) => {
                let (source, target) = (endpoint(&self.source), endpoint(&self.target));
                match Migration::resume(&**store, &job.job_id, source, target).await.unwrap() {
                    Resumed::Ready(migration) => *migration,
                    // It died after its last step.
                    Resumed::Successful(report) | Resumed::AtRest(report) => return *report,
                }
            }
        };
        let migration = migration.with_tuning(tuning);
        migration.run(store, Arc::new(Silent), CancellationToken::new()).await.unwrap()
    }

    fn check(&self, report: &Report, context: &str) {
        if self.warm {
            assert_ready(report, context);
            // Aliases are given by the cut-over.
            self.target.add_alias(("default", "books"), "library");
        } else {
            assert_successful(report, context);
        }
        assert_arrived(&self.source, &self.target, "books", context);
        assert_eq!(
            self.source.is_loaded("default", "books"),
            self.loaded,
            "{context}: the source's load state"
        );
        let kinds = index_types(&self.target);
        assert_eq!(kinds, ["AUTOINDEX"], "{context}: the target's indexes");
    }
}

fn index_types(server: &StandIn) -> Vec<String> {
    let indexes = server.definition("default", "books").indexes;
    indexes.into_values().map(|params| params["index_type"].clone()).collect()
}

/// Drops the work as soon as the record was committed so often, before the work sees it.
async fn until_committed<Work: Future>(
    store: &Arc<dyn Store>,
    commits: u64,
    work: Work,
) -> Option<Work::Output> {
    let mut work = pin!(work);
    std::future::poll_fn(|context| {
        if store.usage().commits >= commits {
            return Poll::Ready(None);
        }
        work.as_mut().poll(context).map(Some)
    })
    .await
}

/// Two partitions whose keys interleave, and an alias to be given at the end.
fn books(text_keys: bool) -> Generated {
    // Spread over all keys there can be, so that few calls find where to divide them.
    let key = |number: i64| match text_keys {
        true => Key::Text(format!("{}-{number}", character(number))),
        false => Key::Long((number - ROWS) * (i64::MAX / ROWS) + number),
    };
    let even = (0..ROWS).map(|number| key(2 * number)).collect();
    let odd = (0..ROWS).map(|number| key(2 * number + 1)).collect();
    let generated = plain("books", text_keys, &[("_default", even), ("more", odd)]);
    Generated { aliases: vec!["library".to_owned()], loaded: text_keys, ..generated }
}

/// The characters of all of Unicode in steps.
fn character(number: i64) -> char {
    let step = 0x10_0000 / u32::try_from(2 * ROWS).unwrap();
    char::from_u32(0x30 + u32::try_from(number).unwrap() * step).unwrap_or('\u{d000}')
}

/// Kills at every number until a run is over before it comes to it. Returns how many there were.
async fn kill_at_every(text_keys: bool, kill: impl Fn(u64) -> Kill) -> u64 {
    kill_at_every_of(false, text_keys, kill).await
}

async fn kill_at_every_of(warm: bool, text_keys: bool, kill: impl Fn(u64) -> Kill) -> u64 {
    let generated = books(text_keys);
    for at in (1..).step_by(if text_keys { 3 } else { 1 }) {
        let scene = Scene { warm, ..Scene::new(&generated, at) };
        let context = format!("{:?}, text keys: {text_keys}", kill(at));
        if let Some(report) = Box::pin(scene.attempt(kill(at))).await {
            scene.check(&report, &context);
            return at - 1;
        }
        let report = Box::pin(scene.attempt(Kill::Never)).await.unwrap();
        scene.check(&report, &context);
    }
    unreachable!("numbers have no end")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_any_call_is_carried_out() {
    for text_keys in [false, true] {
        let calls = kill_at_every(text_keys, |at| Kill::Call(at, Stop::Before)).await;
        assert!(calls > 60, "only {calls} calls");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_when_any_call_was_carried_out() {
    for text_keys in [false, true] {
        let calls = kill_at_every(text_keys, |at| Kill::Call(at, Stop::After)).await;
        assert!(calls > 60, "only {calls} calls");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_any_commit_of_the_record() {
    for text_keys in [false, true] {
        let commits = kill_at_every(text_keys, Kill::Commit).await;
        assert!(commits > 20, "only {commits} commits");
    }
}

/// A warm copy of which nobody writes to the source holds what the source does, wherever it was killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_a_warm_copy() {
    for (text_keys, stop) in [(false, Stop::Before), (true, Stop::After)] {
        let calls = kill_at_every_of(true, text_keys, |at| Kill::Call(at, stop)).await;
        assert!(calls > 50, "only {calls} calls");
    }
    let commits = kill_at_every_of(true, false, Kill::Commit).await;
    assert!(commits > 20, "only {commits} commits");
}

/// A 2.3 is loaded while it is copied to, by an index of which nothing may be left, wherever the job is killed; a
/// cancellation of the dead job takes it away as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_where_the_target_is_loaded_early() {
    let generated = Generated { loaded: true, ..books(false) };
    for (verify, first) in [(VerifyLevel::Sample, 1), (VerifyLevel::Full, 3)] {
        let (mut most, mut left) = (0, 0);
        for at in (first..).step_by(4) {
            let stop = if at % 8 < 4 { Stop::Before } else { Stop::After };
            let scene = Scene { verify, ..Scene::of(Version::V2_3, &generated, at) };
            let context = format!("{verify:?}, call {at}, {stop:?}");
            let ended = Box::pin(scene.attempt(Kill::Call(at, stop))).await;
            let is_over = ended.is_some();
            if !is_over && scene.target.names("default").0 == ["books"] {
                let is_flat = index_types(&scene.target) == ["FLAT"];
                left += usize::from(is_flat);
                if is_flat && at % 3 == 0 {
                    scene.gate.open(None);
                    let store = sqlite::open(scene.state.path()).unwrap();
                    let job_id = store.jobs(JobPage::newest()).await.unwrap()[0].job_id.clone();
                    let (source, target) = (Some(endpoint(&scene.source)), Some(endpoint(&scene.target)));
                    cancel(&*store, &job_id, source, target, false).await.unwrap();
                    assert_eq!(index_types(&scene.target), [""; 0], "{context}");
                    assert!(!scene.target.is_loaded("default", "books"), "{context}");
                }
            }
            let report = match ended {
                Some(report) => report,
                None => Box::pin(scene.attempt(Kill::Never)).await.unwrap(),
            };
            scene.check(&report, &context);
            if is_over {
                break;
            }
            most = at;
        }
        let context =
            format!("{verify:?}: {most} calls, {left} times with an index that was to be taken away");
        assert!(most > 60 && left > 10, "{context}");
    }
}

/// Of two collections, the one that is compared first waits for the other with its planned index; no other is left of it,
/// wherever the job is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_where_indexes_wait_for_another_collection() {
    let generated = Generated { loaded: true, ..books(false) };
    let films =
        plain("films", true, &[("_default", (0..40).map(|n| Key::Text(format!("film-{n}"))).collect())]);
    let films = Generated { loaded: true, ..films };
    for version in [Version::V2_3, Version::V2_5] {
        let (mut most, mut without) = (0, 0);
        for at in (1..).step_by(7) {
            let stop = if at % 2 == 0 { Stop::Before } else { Stop::After };
            let scene = Scene::of(version, &generated, at);
            scene.source.add(&films);
            let context = format!("{version:?}, call {at}, {stop:?}");
            let ended = Box::pin(scene.attempt(Kill::Call(at, stop))).await;
            let is_over = ended.is_some();
            let is_there = scene.target.names("default").0.contains(&"books".to_owned());
            without += usize::from(!is_over && is_there && index_types(&scene.target).is_empty());
            let report = match ended {
                Some(report) => report,
                None => Box::pin(scene.attempt(Kill::Never)).await.unwrap(),
            };
            scene.check(&report, &context);
            assert_arrived(&scene.source, &scene.target, "films", &context);
            let of_films = scene.target.definition("default", "films").indexes;
            let kinds: Vec<_> = of_films.values().map(|params| params["index_type"].as_str()).collect();
            assert_eq!(kinds, ["AUTOINDEX"], "{context}");
            if is_over {
                break;
            }
            most = at;
        }
        assert!(most > 100 && without > 2, "{version:?}: {most} calls, {without} times without any index");
    }
}

/// Any write of a dead attempt arrives while a later one is at work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_and_a_write_arrives_late() {
    for text_keys in [false, true] {
        let writes = kill_at_every(text_keys, |at| Kill::Call(at, Stop::LateWrite(at * 7 % 90 + 1))).await;
        assert!(writes > 10, "only {writes} writes");
    }
}

/// Any call at all does, but those that release a collection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_and_any_call_arrives_late() {
    let calls = kill_at_every(true, |at| Kill::Call(at, Stop::Late(at * 7 % 120 + 1))).await;
    assert!(calls > 60, "only {calls} calls");
}

/// Among them the alias that the dead attempt asked for, when the next one has already taken away those of others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_and_an_alias_arrives_late() {
    let generated = Generated { loaded: true, ..books(false) };
    // Calls come in another order now and then: those around the first alias of a whole run.
    let scene = Scene::new(&generated, 1);
    let (gate, first) = (scene.gate.clone(), Arc::new(OnceLock::new()));
    let seen_first = Arc::clone(&first);
    scene.target.interfere(move |seen| {
        if seen.method == "CreateAlias" {
            seen_first.get_or_init(|| gate.calls());
        }
        Interference::None
    });
    let report = Box::pin(scene.attempt(Kill::Never)).await.unwrap();
    scene.check(&report, "not killed");
    let first = *first.get().unwrap();
    for at in first - 6..first + 6 {
        for late in [20, 60] {
            let scene = Scene::new(&generated, 1);
            let killed = Box::pin(scene.attempt(Kill::Call(at, Stop::Late(late)))).await;
            assert!(killed.is_none(), "a whole run has more than {at} calls");
            let report = Box::pin(scene.attempt(Kill::Never)).await.unwrap();
            scene.check(&report, &format!("call {at} arrives after {late} others"));
        }
    }
}

/// Rows can't be told by their keys here, and a write in doubt begins the collection anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_where_the_server_makes_the_keys() {
    let generated = made_by_the_server(Generated { loaded: true, ..books(false) });
    for (auto_id, stop) in [
        (AutoId::Keep, Stop::After),
        (AutoId::Regenerate, Stop::After),
        (AutoId::Regenerate, Stop::LateWrite(40)),
    ] {
        for at in (1..).step_by(4) {
            let scene = Scene { auto_id, ..Scene::new(&generated, at) };
            let killed = Box::pin(scene.attempt(Kill::Call(at, stop))).await.is_none();
            let context = format!("{auto_id:?}, {stop:?}, call {at}");
            if killed {
                let report = Box::pin(scene.attempt(Kill::Never)).await.unwrap();
                assert_successful(&report, &context);
            }
            assert_eq!(
                without_keys(&scene.source, "books"),
                without_keys(&scene.target, "books"),
                "{context}"
            );
            if auto_id == AutoId::Keep {
                assert_arrived(&scene.source, &scene.target, "books", &context);
            }
            if !killed {
                break;
            }
        }
    }
}

/// A row that no server takes, among others: a field has the name of a key that it has of its own.
pub(super) fn with_a_bad_row() -> (Generated, Key) {
    let mut books = books(false);
    books.schema.fields.push(FieldSchema { nullable: true, ..field("added", DataType::Int64, &[]) });
    books.schema.enable_dynamic_field = true;
    for (number, (_, columns)) in books.rows.iter_mut().enumerate() {
        columns.push(vec![Value::Null; usize::try_from(ROWS).unwrap()]);
        let text = |at: i64| if number == 0 && at == 7 { r#"{"added":"before"}"# } else { r#"{"other":1}"# };
        columns.push((0..ROWS).map(|at| Value::Json(text(at).as_bytes().to_vec())).collect());
    }
    let bad = Key::Long((14 - ROWS) * (i64::MAX / ROWS) + 14);
    (Generated { loaded: true, ..books }, bad)
}

/// The row was mended at the source meanwhile, and may have landed when the attempt that tries it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_a_refused_row_is_tried_again() {
    let (generated, bad) = with_a_bad_row();
    for auto_id in [AutoId::Regenerate, AutoId::Keep, AutoId::Refuse] {
        let generated = match auto_id {
            AutoId::Refuse => generated.clone(),
            AutoId::Keep | AutoId::Regenerate => made_by_the_server(generated.clone()),
        };
        for at in 1.. {
            let scene = Scene { auto_id, ..Scene::new(&generated, at) };
            let context = format!("{auto_id:?}, call {at}");
            let report = Box::pin(scene.attempt(Kill::Never)).await.unwrap();
            assert_eq!((report.state, report.collections[0].quarantined), (JobState::Failed, 1), "{context}");
            let good = Value::Json(br#"{"other":1}"#.to_vec());
            scene.source.set(("default", "books"), ("_default", &bad), "$meta", &good);
            let ended = Box::pin(scene.attempt(Kill::Call(at, Stop::After))).await;
            let killed = ended.is_none();
            let report = match ended {
                Some(report) => report,
                None => Box::pin(scene.attempt(Kill::Never)).await.unwrap(),
            };
            assert_successful(&report, &context);
            assert_eq!(
                without_keys(&scene.source, "books"),
                without_keys(&scene.target, "books"),
                "{context}"
            );
            if auto_id != AutoId::Regenerate {
                assert_arrived(&scene.source, &scene.target, "books", &context);
            }
            if !killed {
                assert!(at > 20, "only {at} calls");
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_twice_at_random() {
    const PAIRS: u64 = 40;
    let mut random = StdRng::seed_from_u64(7);
    let mut kill = || match random.random_range(0..3) {
        0 => Kill::Call(random.random_range(20..120), Stop::Before),
        1 => Kill::Call(random.random_range(20..120), Stop::After),
        _ => Kill::Commit(random.random_range(1..30)),
    };
    for seed in 0..PAIRS {
        let text_keys = seed.is_multiple_of(2);
        let scene = Scene::new(&books(text_keys), seed);
        let kills = [kill(), kill()];
        let context = format!("{kills:?}, text keys: {text_keys}");
        for kill in kills {
            // One that comes after the end of the job kills nothing.
            let _ = Box::pin(scene.attempt(kill)).await;
        }
        let report = Box::pin(scene.attempt(Kill::Never)).await.unwrap();
        scene.check(&report, &context);
    }
}
