//! Jobs that copy while their source may be written to, and are ended by a cut-over later.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;
use vecferry_migrate::event::{Event, Observer, Phase};
use vecferry_migrate::report::{JobKind, RoundKind, RoundState};
use vecferry_migrate::{
    AutoId, Code, Exit, JobState, MigrateRequest, Migration, PlanFile, Problem, Report, Resumed, Selection,
    Status, Tuning, VerifyLevel, cancel,
};
use vecferry_milvus::Endpoint;
use vecferry_store::{JobId, Position, Store, sqlite};
use vecferry_testkit::StandIn;
use vecferry_testkit::fault_proxy::FaultProxy;
use vecferry_testkit::stand_in::generate::{Generated, plain};
use vecferry_testkit::stand_in::{Key, Options, Value, Version};

use super::keys::made_by_the_server;
use super::killed::with_a_bad_row;
use super::{Silent, assert_arrived, assert_successful, endpoint, request};

const ROWS: i64 = 300;
pub(super) const FIRST: Position = Position(0);

pub(super) fn small_pages() -> Tuning {
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

pub(super) fn wanted(source: &StandIn, target: &StandIn) -> MigrateRequest {
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
pub(super) fn assert_ready(report: &Report, context: &str) {
    let problems: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
    assert_eq!((report.state, report.kind), (JobState::Ready, JobKind::Warm), "{context}: {problems:#?}");
    assert_eq!((report.verified, report.exit()), (VerifyLevel::None, Exit::Done), "{context}");
    let last = report.rounds.last().unwrap();
    assert_eq!((last.kind, last.state), (RoundKind::Warm, RoundState::Done), "{context}");
    assert_eq!((last.rows, last.bytes), (report.rows(), report.bytes()), "{context}");
    assert_eq!(codes(&report.warnings)[0], "VF-0446", "{context}");
    for collection in &report.collections {
        assert!(collection.verification.is_none(), "{context}");
        assert!(collection.drift.is_none() && collection.aliases.is_empty(), "{context}");
        let evidence = &collection.evidence;
        assert!(
            evidence.verified.is_none() && !evidence.finished && !evidence.source_looked_at_end,
            "{context}"
        );
    }
}

pub(super) fn codes(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(|problem| problem.code.to_string()).collect()
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
    assert_eq!(index_types(&target), ["AUTOINDEX"]);
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

pub(super) const AT: (&str, &str) = ("default", "books");

pub(super) fn index_types(server: &StandIn) -> Vec<String> {
    let indexes = server.definition(AT.0, AT.1).indexes;
    indexes.into_values().map(|params| params["index_type"].clone()).collect()
}

pub(super) fn row(key: i64, part: f32) -> Vec<Vec<Value>> {
    let vector = [part; 4].iter().flat_map(|part| part.to_le_bytes()).collect();
    vec![vec![Value::Long(key)], vec![Value::Vector(vector)]]
}

/// Inserts, updates and deletes while rows are copied.
struct Writing {
    source: Arc<StandIn>,
    number: AtomicI64,
}

impl Observer for Writing {
    fn on_event(&self, event: Event) {
        let Event::Copied { .. } = event else { return };
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        match number % 3 {
            0 => self.source.insert(AT, "_default", row(-1 - number, 1.0)),
            1 => self.source.upsert(AT, "_default", row((number * 7) % ROWS, 2.0)),
            _ => {
                let key = Key::Long((number * 11) % ROWS);
                self.source.delete(AT, "_default", &BTreeSet::from([key]));
            }
        }
    }
}

/// Does something once, when a collection enters a step.
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

pub(super) fn when(phase: Phase, act: impl FnOnce() + Send + 'static) -> Arc<dyn Observer> {
    Arc::new(When(phase, Mutex::new(Some(act))))
}

/// Both servers of a release, with the collection in two partitions.
pub(super) fn servers_of(version: Version) -> (Arc<StandIn>, StandIn) {
    servers_of_loaded(version, true)
}

pub(super) fn servers_of_loaded(version: Version, loaded: bool) -> (Arc<StandIn>, StandIn) {
    let source = Arc::new(StandIn::start(Options::new(version)));
    let more = (ROWS..ROWS + 50).map(Key::Long).collect();
    let books = plain("books", false, &[("_default", (0..ROWS).map(Key::Long).collect()), ("more", more)]);
    source.add(&Generated { aliases: vec!["library".to_owned()], loaded, ..books });
    (source, StandIn::start(Options::new(version)))
}

async fn run(request: MigrateRequest, observer: Arc<dyn Observer>, state: &Path) -> Report {
    let store = sqlite::open(state).unwrap();
    let migration = Migration::prepare(request).await.unwrap().with_tuning(small_pages());
    migration.run(&store, observer, CancellationToken::new()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_is_written_to_is_copied_and_nothing_is_claimed() {
    for version in [Version::V2_3, Version::V2_4, Version::V2_5, Version::V2_6] {
        let context = format!("{version:?}");
        let (source, target) = servers_of(version);
        let proxy = FaultProxy::start(&source.uri());
        let state = tempfile::tempdir().unwrap();
        let request = MigrateRequest {
            source: vecferry_milvus::Endpoint::parse(&proxy.uri()).unwrap(),
            verify: VerifyLevel::Sample,
            ..wanted(&source, &target)
        };
        let writer = Writing { source: Arc::clone(&source), number: AtomicI64::new(0) };
        let report = run(request, Arc::new(writer), state.path()).await;
        assert_ready(&report, &context);
        assert_eq!(report.verify, VerifyLevel::Full, "{context}: what the cut-over does");
        // A productive source is not flushed for nothing.
        assert_eq!(proxy.calls("Flush"), 0, "{context}");
        assert_eq!(index_types(&target), ["AUTOINDEX"], "{context}");
        assert!(!target.is_loaded(AT.0, AT.1) && source.is_loaded(AT.0, AT.1), "{context}");
        assert_eq!(
            target.names("default"),
            (vec!["books".to_owned()], Vec::new()),
            "{context}: no alias yet"
        );
        let held = target.rows(AT.0, AT.1);
        assert!(held.values().all(|copies| copies.len() == 1), "{context}");
        let rows = u64::try_from(held.len()).unwrap();
        assert_eq!(report.rows(), rows, "{context}");
        let store = sqlite::open(state.path()).unwrap();
        let record = store.collection(&report.job_id, FIRST).await.unwrap();
        assert!(record.copied && !record.done && record.report.is_none(), "{context}");
        let (status, _) = Status::of(&*store, &report.job_id).await.unwrap();
        assert_eq!(
            (status.job.kind, status.job.state, status.job.live),
            ("warm", "READY", false),
            "{context}"
        );
        assert_eq!(status.warnings, [], "{context}");
    }
}

/// What happens to a source while it is copied.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Insert,
    Update,
    Delete,
    NewPartition,
    NewAlias,
    NewCollection,
}

impl Happening {
    fn happen(self, source: &StandIn) {
        match self {
            Self::Insert => source.insert(AT, "_default", row(-5, 1.0)),
            Self::Update => source.upsert(AT, "_default", row(7, 9.0)),
            Self::Delete => source.delete(AT, "_default", &BTreeSet::from([Key::Long(3)])),
            Self::NewPartition => source.add_partition(AT, "newer"),
            Self::NewAlias => source.add_alias(AT, "archive"),
            Self::NewCollection => {
                source.add(&plain("films", false, &[("_default", vec![Key::Long(1)])]));
            }
        }
    }

    /// How a job ends that copies in one go.
    fn code(self) -> &'static str {
        match self {
            Self::Insert | Self::Update | Self::Delete => "VF-0405",
            Self::NewPartition | Self::NewAlias | Self::NewCollection => "VF-0417",
        }
    }
}

/// Each of them keeps a job from its success that copies in one go, and none of them a warm copy from its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_warm_copy_lets_pass_no_other_job_does() {
    use Happening::{Delete, Insert, NewAlias, NewCollection, NewPartition, Update};
    for happening in [Insert, Update, Delete, NewPartition, NewAlias, NewCollection] {
        for version in [Version::V2_3, Version::V2_6] {
            for warm in [false, true] {
                let context = format!("{happening:?}, {version:?}, warm: {warm}");
                let (source, target) = servers_of(version);
                let state = tempfile::tempdir().unwrap();
                let of = Arc::clone(&source);
                let observer = when(Phase::Flushing, move || happening.happen(&of));
                let report =
                    run(MigrateRequest { warm, ..wanted(&source, &target) }, observer, state.path()).await;
                if warm {
                    assert_ready(&report, &context);
                    let told = codes(&report.warnings).contains(&"VF-0447".to_owned());
                    assert_eq!(told, matches!(happening, NewCollection), "{context}");
                    continue;
                }
                assert_eq!(report.state, JobState::Failed, "{context}");
                let codes = codes(&report.problems);
                assert!(codes.contains(&happening.code().to_owned()), "{context}: {codes:?}");
                assert_eq!((report.kind, report.rounds.len()), (JobKind::Plain, 0), "{context}");
            }
        }
    }
}

/// Another attempt has its own moment for the pages that it reads, and goes on with the same round.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canceled_copy_goes_on_in_its_round_while_the_source_changes() {
    for version in [Version::V2_3, Version::V2_6] {
        let (source, target) = servers_of(version);
        let state = tempfile::tempdir().unwrap();
        let (store, job_id, migration) = warm(&source, &target, state.path()).await;
        let token = CancellationToken::new();
        let canceled = token.clone();
        let writer = Writing { source: Arc::clone(&source), number: AtomicI64::new(0) };
        let report =
            migration.run(&store, when(Phase::Copying, move || canceled.cancel()), token).await.unwrap();
        assert_eq!((report.state, report.exit()), (JobState::Canceled, Exit::Canceled), "{version:?}");
        assert_eq!(report.rounds.last().unwrap().state, RoundState::Open, "{version:?}");
        for change in [Happening::Insert, Happening::Delete, Happening::NewPartition, Happening::NewAlias] {
            change.happen(&source);
        }
        let resumed =
            Migration::resume(&*store, &job_id, endpoint(&source), endpoint(&target)).await.unwrap();
        let Resumed::Ready(migration) = resumed else { panic!("{resumed:?}") };
        let migration = migration.with_tuning(small_pages());
        let report = migration.run(&store, Arc::new(writer), CancellationToken::new()).await.unwrap();
        assert_ready(&report, &format!("{version:?}"));
        assert_eq!((report.rounds.len(), report.attempts, report.rounds[0].number), (1, 2, 1), "{version:?}");
        assert!(
            target.rows(AT.0, AT.1).contains_key(&("_default".to_owned(), Key::Long(-5))),
            "{version:?}: written before the second attempt"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ready_job_is_at_rest_until_somebody_ends_it() {
    let (source, target) = servers_of(Version::V2_6);
    let state = tempfile::tempdir().unwrap();
    let (store, job_id, migration) = warm(&source, &target, state.path()).await;
    let ready = migration.run(&store, Arc::new(Silent), CancellationToken::new()).await.unwrap();
    assert_ready(&ready, "copied");
    let resume = || Migration::resume(&*store, &job_id, endpoint(&source), endpoint(&target));
    let writes = target.writes();
    let Resumed::AtRest(report) = resume().await.unwrap() else { panic!("it is not at rest") };
    assert_eq!((report.state, report.rows()), (JobState::Ready, ready.rows()));
    // Its names are its own.
    let taken = Migration::prepare(request(&source, &target)).await.unwrap_err();
    assert!(!taken.is_empty() && store.jobs(vecferry_store::JobPage::newest()).await.unwrap().len() == 1);
    // A process that died before it began another round leaves nothing to go on with.
    drop(store.begin_attempt(&job_id).await.unwrap());
    let store = {
        drop(store);
        sqlite::open(state.path()).unwrap()
    };
    let resume = || Migration::resume(&*store, &job_id, endpoint(&source), endpoint(&target));
    let Resumed::Ready(migration) = resume().await.unwrap() else { panic!("it was cut off") };
    let report = migration.run(&store, Arc::new(Silent), CancellationToken::new()).await.unwrap();
    assert_ready(&report, "at rest again");
    assert_eq!(store.rounds(&job_id, 9).await.unwrap().len(), 1);
    assert_eq!(target.writes(), writes, "nothing was written");
    // Canceled, what it copied stays, and so it goes on from there.
    let sides = || (Some(endpoint(&source)), Some(endpoint(&target)));
    let was_loaded = source.is_loaded(AT.0, AT.1);
    let ended = cancel(&*store, &job_id, sides().0, sides().1, false).await.unwrap();
    assert_eq!((ended.state, source.is_loaded(AT.0, AT.1)), (JobState::Canceled, was_loaded));
    let recorded = store.job(&job_id).await.unwrap().report.unwrap();
    let recorded: Report = serde_json::from_str(&recorded).unwrap();
    assert_eq!(
        (recorded.state, recorded.rows()),
        (JobState::Canceled, ready.rows()),
        "nobody is to switch to it"
    );
    let Resumed::Ready(migration) = resume().await.unwrap() else { panic!("it was canceled") };
    let report = migration.run(&store, Arc::new(Silent), CancellationToken::new()).await.unwrap();
    assert_ready(&report, "at rest once more");
    // Nothing is removed where the target can't be reached, and the job stays what it is.
    let nowhere = Endpoint::parse("http://127.0.0.1:1").unwrap();
    let problems = cancel(&*store, &job_id, sides().0, Some(nowhere), true).await.unwrap_err();
    assert_eq!(problems[0].code, Code::ConnectionRefused, "{problems:#?}");
    assert_eq!(store.job(&job_id).await.unwrap().state, JobState::Ready);
    let Resumed::AtRest(report) = resume().await.unwrap() else { panic!("it is not at rest") };
    assert_ready(&report, "nothing was removed");
    // With everything removed, all is copied again, in another round.
    let ended = cancel(&*store, &job_id, sides().0, sides().1, true).await.unwrap();
    assert_eq!((ended.state, target.names("default").0.len()), (JobState::Canceled, 0));
    assert_eq!(ended.removed.len(), 1);
    let Resumed::Ready(migration) = resume().await.unwrap() else { panic!("it was canceled") };
    let report = migration.run(&store, Arc::new(Silent), CancellationToken::new()).await.unwrap();
    assert_ready(&report, "copied again");
    let numbers: Vec<_> = report.rounds.iter().map(|round| (round.number, round.state)).collect();
    assert_eq!(numbers, [(1, RoundState::Done), (2, RoundState::Done)]);
    assert_eq!(target.rows(AT.0, AT.1).len(), 350);
}

/// A collection or a partition that the source drops is left to the next round; all others are copied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_source_drops_while_it_is_copied_is_left_to_the_next_round() {
    for version in [Version::V2_3, Version::V2_6] {
        for (whole, loaded) in [(true, true), (false, true), (true, false), (false, false)] {
            let context = format!("{version:?}, the whole collection: {whole}, loaded: {loaded}");
            let (source, target) = servers_of_loaded(version, loaded);
            source.add(&plain("films", false, &[("_default", (0..40).map(Key::Long).collect())]));
            let state = tempfile::tempdir().unwrap();
            let (of, done) = (Arc::clone(&source), AtomicBool::new(false));
            let observer = Copied(move |name: &str| {
                if name == "books" && !done.swap(true, Ordering::Relaxed) {
                    if whole { of.remove(AT.0, AT.1) } else { of.drop_partition(AT, "more") }
                }
            });
            let report = run(wanted(&source, &target), Arc::new(observer), state.path()).await;
            assert_ready(&report, &context);
            let followed: Vec<_> =
                report.collections.iter().map(|collection| collection.evidence.followed_later).collect();
            assert_eq!(followed, [true, false], "{context}: {:?}", report.warnings);
            assert!(codes(&report.warnings).contains(&"VF-0452".to_owned()), "{context}");
            assert_eq!(target.rows("default", "films").len(), 40, "{context}");
        }
    }
}

/// Calls with the name of a collection of which rows were copied.
struct Copied<Act>(Act);

impl<Act: Fn(&str) + Send + Sync> Observer for Copied<Act> {
    fn on_event(&self, event: Event) {
        if let Event::Copied { collection, .. } = event {
            self.0(&collection.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_target_stays_loaded_where_that_is_asked_for() {
    for version in [Version::V2_3, Version::V2_6] {
        let (source, target) = servers_of(version);
        let state = tempfile::tempdir().unwrap();
        let request = MigrateRequest { load_target: true, wait_index: true, ..wanted(&source, &target) };
        let report = run(request, Arc::new(Silent), state.path()).await;
        assert_ready(&report, &format!("{version:?}"));
        assert!(report.collections[0].loaded && target.is_loaded(AT.0, AT.1), "{version:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_would_be_made_anew_are_refused() {
    let source = StandIn::start(Options::new(Version::V2_6));
    let target = StandIn::start(Options::new(Version::V2_6));
    let keys = (0..40).map(Key::Long).collect();
    source.add(&made_by_the_server(plain("books", false, &[("_default", keys)])));
    let with = |auto_id| MigrateRequest { auto_id, ..wanted(&source, &target) };
    let refused = Migration::prepare(with(AutoId::Regenerate)).await.unwrap_err();
    assert_eq!(codes(&refused), ["VF-0240"]);
    assert!(refused[0].to_string().contains("`default.books`"), "{}", refused[0]);
    let state = tempfile::tempdir().unwrap();
    let report = run(with(AutoId::Keep), Arc::new(Silent), state.path()).await;
    assert_ready(&report, "kept");
    assert_eq!(target.rows(AT.0, AT.1).len(), 40);
    assert_eq!(
        target.property(AT.0, AT.1, "allow_insert_auto_id").as_deref(),
        Some("true"),
        "for later rounds"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_the_target_refuses_keeps_no_warm_copy_from_its_end() {
    let (source, target) =
        (StandIn::start(Options::new(Version::V2_6)), StandIn::start(Options::new(Version::V2_6)));
    source.add(&with_a_bad_row().0);
    let state = tempfile::tempdir().unwrap();
    let report = run(wanted(&source, &target), Arc::new(Silent), state.path()).await;
    assert_ready(&report, "one row is set aside");
    assert_eq!(report.collections[0].quarantined, 1);
    assert!(codes(&report.warnings).contains(&"VF-0453".to_owned()), "{:?}", report.warnings);
    assert!(report.quarantine_file.is_some());
}

/// A reviewed plan is carried out although rows, partitions and aliases are not any more what they were, as long as the
/// collection is the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_of_a_warm_copy_follows_the_source() {
    let (source, target) = servers_of(Version::V2_6);
    let planned = async |warm| {
        let selection = Selection::parse(&["books"], &[] as &[&str]).unwrap();
        let request = MigrateRequest { warm, selection, ..wanted(&source, &target) };
        let migration = Migration::check(request, None).await.into_result().unwrap();
        PlanFile::read(Path::new("plan.json"), &migration.plan_file().unwrap().to_text()).unwrap()
    };
    let (reviewed, of_one_go) = (planned(true).await, planned(false).await);
    for change in [Happening::Insert, Happening::NewPartition, Happening::NewAlias] {
        change.happen(&source);
    }
    let prepare = |file| {
        let (source, target) = (endpoint(&source), endpoint(&target));
        Migration::prepare_planned(file, source, target, 0.0, None)
    };
    assert_eq!(codes(&prepare(of_one_go).await.unwrap_err()), ["VF-0250"]);
    let migration = prepare(reviewed.clone()).await.unwrap();
    assert_eq!(migration.plan().collections[0].partitions.len(), 3);
    source.remove(AT.0, AT.1);
    source.add(&plain("books", false, &[("_default", vec![Key::Long(1)])]));
    assert_eq!(codes(&prepare(reviewed).await.unwrap_err()), ["VF-0250"]);
}

/// The source changes between the check and the begin: a job that copies in one go was planned for another source.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_warm_copy_begins_with_the_partitions_of_now_and_no_other_job_does() {
    for warm in [false, true] {
        let (source, target) = servers_of(Version::V2_6);
        let state = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = sqlite::open(state.path()).unwrap();
        let request = MigrateRequest { warm, verify: VerifyLevel::Count, ..wanted(&source, &target) };
        let migration = Migration::check_and_begin(request, None).await.into_result().unwrap();
        assert_eq!((migration.plan().collections[0].partitions.len(), migration.is_warm()), (2, warm));
        for change in [Happening::NewPartition, Happening::NewAlias] {
            change.happen(&source);
        }
        let ended = migration.run(&store, Arc::new(Silent), CancellationToken::new()).await;
        if warm {
            assert_ready(&ended.unwrap(), "followed");
            assert_eq!(target.partitions(AT.0, AT.1).len(), 3);
        } else {
            assert_eq!(codes(&ended.unwrap_err()), ["VF-0250"]);
            assert_eq!(target.names("default"), (Vec::new(), Vec::new()));
        }
    }
}

/// Rows that came between the check and the begin say that somebody writes, which only matters where nobody should.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_arrive_are_told_where_nobody_should_write() {
    for warm in [false, true] {
        let (source, target) = servers_of(Version::V2_6);
        let state = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = sqlite::open(state.path()).unwrap();
        let request = MigrateRequest { warm, verify: VerifyLevel::Count, ..wanted(&source, &target) };
        let migration = Migration::check_and_begin(request, None).await.into_result().unwrap();
        Happening::Insert.happen(&source);
        let report = migration.run(&store, Arc::new(Silent), CancellationToken::new()).await.unwrap();
        assert_eq!(codes(&report.warnings).contains(&"VF-0421".to_owned()), !warm, "{:?}", report.warnings);
        assert_eq!(report.state == JobState::Ready, warm);
    }
}

/// Another attempt of a job that copies in one go refuses a source that is not what was planned.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_job_is_resumed_with_another_source() {
    let (source, target) = servers_of(Version::V2_6);
    let state = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = sqlite::open(state.path()).unwrap();
    let token = CancellationToken::new();
    let canceled = token.clone();
    let migration = Migration::prepare(request(&source, &target)).await.unwrap().with_tuning(small_pages());
    let report = migration.run(&store, when(Phase::Copying, move || canceled.cancel()), token).await.unwrap();
    assert_eq!(report.state, JobState::Canceled);
    Happening::NewPartition.happen(&source);
    let resumed = Migration::resume(&*store, &report.job_id, endpoint(&source), endpoint(&target)).await;
    assert_eq!(codes(&resumed.unwrap_err()), ["VF-0217"]);
}
