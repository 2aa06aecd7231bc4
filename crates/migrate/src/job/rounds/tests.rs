//! Rounds between stand-in servers, whose memory is compared afterwards: nothing of that comparison is Vecferry's own code.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use prost::Message;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use vecferry_milvus::proto::common::Status;
use vecferry_milvus::proto::milvus as pb;
use vecferry_milvus::{Client, Collection, CollectionName, Endpoint, KeyRange};
use vecferry_store::{
    Attempt, JobId, JobKind, NewCollectionRecord, NewJob, NewRound, Position, RoundKind, Store, WorkerId,
    sqlite,
};
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::generate::{Generated, Shape, collection, plain};
use vecferry_testkit::stand_in::{Gate, Interference, Key, Options, RowsByKey, Stop, Value, Version};

use super::collection::{ComparedFacts, RoundPair, RoundPart, RoundStop, RoundTuning};
use super::recording::{Marks, MarksMax, MarksOf, Recorder};
use super::writer::Mended;
use crate::copy::{Pace, Places, Pool};
use crate::plan::Keys;
use crate::problem::Side;
use crate::read::{key_text, reader};
use crate::verify::mend::{MendError, MendFacts, MendTuning, ToMend};
use crate::verify::spans::{FollowSpans, Marked, NewMark, SpanTuning, Writers};

const BOOKS: (&str, &str) = ("default", "books");
const KEPT: (&str, &str) = ("allow_insert_auto_id", "true");

/// Two servers, and the record of a job that has copied one collection.
struct Scene {
    source: StandIn,
    target: StandIn,
    gate: Gate,
    state: TempDir,
    job_id: JobId,
    keys: Keys,
    writers: Writers,
    tuning: RoundTuning,
}

/// An attempt, in a process of its own.
struct Process {
    store: Arc<dyn Store>,
    attempt: Attempt,
    round: u64,
}

fn tuning() -> RoundTuning {
    RoundTuning {
        spans: SpanTuning { span_bytes: 600, readers: 3, piece_rows_max: 20 },
        mend: MendTuning {
            keys_max: 4,
            bytes_max: 2000,
            kept_max: 1000,
            kept_bytes_max: 10_000,
            recount_interval: Duration::from_millis(1),
        },
    }
}

impl Scene {
    fn new(version: Version, generated: &Generated, seed: u64) -> Self {
        Self::of(version, (generated, generated), seed)
    }

    fn of(version: Version, (of_source, of_target): (&Generated, &Generated), seed: u64) -> Self {
        let (gate, state) = (Gate::new(), tempfile::tempdir().unwrap());
        let source = StandIn::start(Options::awkward(version, seed));
        let target = StandIn::start_behind(Options::awkward(version, seed + 1), gate.clone());
        source.add(of_source);
        target.add(of_target);
        let (job_id, keys, writers) = (JobId::generate(), Keys::Copied, Writers::Stopped);
        Self { source, target, gate, state, job_id, keys, writers, tuning: tuning() }
    }

    /// Begins the job, or goes on with its round.
    async fn process(&self) -> Process {
        let store = sqlite::open(self.state.path()).unwrap();
        let name = || format!("{}.{}", BOOKS.0, BOOKS.1);
        let created = store.create_job(NewJob {
            job_id: self.job_id.clone(),
            kind: JobKind::Warm,
            source: self.source.uri(),
            target: self.target.uri(),
            request: String::new(),
            plan: String::new(),
            sample_seed: 7,
            created_at: "2026-11-30T12:00:00Z".to_owned(),
            databases: Vec::new(),
            collections: vec![NewCollectionRecord { source: name(), target: name(), rows_total: 0 }],
            max_rate: None,
        });
        created.await.unwrap();
        let attempt = store.begin_attempt(&self.job_id).await.unwrap();
        let round = NewRound {
            kind: RoundKind::CatchUp,
            options: String::new(),
            begun_at: "2026-11-30T12:00:01Z".to_owned(),
        };
        let round = store.open_round(&attempt, round).await.unwrap().number;
        Process { store, attempt, round }
    }

    async fn round(&self) -> Result<ComparedFacts, RoundStop> {
        let process = self.process().await;
        self.round_of(&process).await
    }

    async fn round_of(&self, process: &Process) -> Result<ComparedFacts, RoundStop> {
        let (of_source, mine) = connected(&self.source).await;
        let (of_target, theirs) = connected(&self.target).await;
        let (cancel, worker) = (CancellationToken::new(), WorkerId::generate());
        let source = reader(Side::Source, &of_source, &mine, &mine, &cancel).fresh().await.unwrap();
        let target = reader(Side::Target, &of_target, &theirs, &mine, &cancel);
        let pace = Pace::new(Places::new(4), None);
        let budget = Pool::new(1 << 20).budget();
        let pair = RoundPair {
            of: Mended {
                store: &*process.store,
                attempt: &process.attempt,
                position: Position(0),
                worker: &worker,
                ttl: Duration::from_secs(30),
                target: &of_target,
                made: &theirs,
                cancel: &cancel,
            },
            round: process.round,
            writers: self.writers,
            anew: false,
            trusted: None,
            keys: self.keys,
            source,
            target,
            parts: self.parts(),
            set_aside: BTreeSet::new(),
            pace: &pace,
            budget: &budget,
            tuning: &self.tuning,
            progress: &|_, _| {},
        };
        pair.compare_and_mend().await
    }

    fn parts(&self) -> Vec<RoundPart> {
        let schema = self.source.definition(BOOKS.0, BOOKS.1).schema;
        let by_key = schema.fields.iter().any(|field| field.is_partition_key);
        if by_key {
            return vec![RoundPart { partition: None, in_source: true, in_target: true }];
        }
        let names = |server: &StandIn| server.partitions(BOOKS.0, BOOKS.1).into_iter().collect();
        let (mine, theirs): (BTreeSet<_>, BTreeSet<_>) = (names(&self.source), names(&self.target));
        let part = |name: &String| RoundPart {
            partition: Some(name.clone()),
            in_source: mine.contains(name),
            in_target: theirs.contains(name),
        };
        mine.union(&theirs).map(part).collect()
    }

    /// Compares both servers' memory, and looks for what is left of writers.
    #[track_caller]
    fn assert_equal(&self, by_key: bool, context: &str) {
        let of = |rows: RowsByKey, newest: bool| -> BTreeMap<_, _> {
            let place = |(partition, key): (String, Key)| {
                if by_key { (String::new(), key) } else { (partition, key) }
            };
            let copies =
                |mut copies: Vec<_>| if newest { copies.split_off(copies.len() - 1) } else { copies };
            rows.into_iter().map(|(at, rows)| (place(at), copies(rows))).collect()
        };
        let mine = of(self.source.rows(BOOKS.0, BOOKS.1), true);
        let theirs = of(self.target.rows(BOOKS.0, BOOKS.1), false);
        for (place, row) in &mine {
            assert_eq!(theirs.get(place), Some(row), "{context}: {place:?}");
        }
        let extra = theirs.keys().find(|place| !mine.contains_key(place));
        assert!(extra.is_none(), "{context}: {extra:?} should not be there");
        let (_, aliases) = self.target.names(BOOKS.0);
        let left = aliases.iter().find(|alias| alias.starts_with("vf_"));
        assert!(left.is_none(), "{context}: {left:?} is left");
    }
}

async fn connected(server: &StandIn) -> (Client, Collection) {
    let client = Client::connect(Endpoint::parse(&server.uri()).unwrap(), 2).await.unwrap();
    let described = client.describe(&CollectionName::new(BOOKS.0, BOOKS.1)).await.unwrap();
    (client, described)
}

/// What was seen is whole.
#[track_caller]
fn assert_complete(facts: &ComparedFacts, context: &str) {
    let mended = &facts.mended;
    assert!(mended.are_complete(), "{context}: {mended:?}");
    assert_eq!((mended.left, mended.refused, mended.moved), (0, 0, 0), "{context}");
    let rows: u64 = facts.parts.iter().map(|(_, source, _)| source).sum();
    assert_eq!((facts.target.sum(), facts.target.whole), (rows, rows), "{context}");
}

fn key(number: i64) -> Key {
    Key::Long(number)
}

fn vector(value: u8) -> Value {
    let parts = [f32::from(value), 1.0, 2.0, 3.0];
    Value::Vector(parts.iter().flat_map(|part| part.to_le_bytes()).collect())
}

fn add(server: &StandIn, partition: &str, rows: &[(i64, u8)]) {
    let keys = rows.iter().map(|(key, _)| Value::Long(*key)).collect();
    let vectors = rows.iter().map(|(_, value)| vector(*value)).collect();
    server.insert(BOOKS, partition, vec![keys, vectors]);
}

fn take(server: &StandIn, partition: &str, keys: &[i64]) {
    server.delete(BOOKS, partition, &keys.iter().map(|number| key(*number)).collect());
}

fn set(server: &StandIn, partition: &str, number: i64, value: u8) {
    server.update(BOOKS, (partition, &key(number)), "vector", &vector(value));
}

/// Keys 0 to 39 in one partition, and 100 to 139 in another.
fn books() -> Generated {
    let keys = |first: i64| (first..first + 40).map(Key::Long).collect();
    plain(BOOKS.1, false, &[("_default", keys(0)), ("more", keys(100))])
}

/// Differences of each kind on both sides.
fn edit(scene: &Scene) {
    take(&scene.target, "_default", &[3, 4, 5, 30]);
    take(&scene.target, "more", &[100, 139]);
    add(&scene.target, "_default", &[(-7, 1), (1000, 2)]);
    add(&scene.target, "more", &[(110_000, 2)]);
    set(&scene.target, "more", 120, 99);
    take(&scene.source, "_default", &[20, 21]);
    take(&scene.source, "more", &[121]);
    add(&scene.source, "_default", &[(50, 9), (i64::MIN, 8)]);
    set(&scene.source, "_default", 10, 77);
    set(&scene.source, "more", 130, 78);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_differs_is_mended_and_a_second_time_nothing_does() {
    for version in [Version::V2_3, Version::V2_5, Version::V2_6] {
        let scene = Scene::new(version, &books(), 3);
        edit(&scene);
        let facts = scene.round().await.unwrap();
        scene.assert_equal(false, &format!("{version:?}"));
        assert_complete(&facts, &format!("{version:?}"));
        assert_eq!((facts.missing, facts.extra, facts.changed), (8, 6, 3));
        assert_eq!((facts.mended.found, facts.mended.deleted), (17, 6));
        // Another attempt of the round compares nothing, opens nothing and sends nothing. It may be the one before that did
        // not have everything stored.
        scene.gate.open(None);
        let again = scene.round().await.unwrap();
        assert_eq!(again.mended, MendFacts::default());
        assert_eq!(again.spans_known, again.spans);
        let calls = Arc::new(Mutex::new(BTreeSet::new()));
        let seen = Arc::clone(&calls);
        scene.target.interfere(move |call| {
            seen.lock().unwrap().insert(call.method.to_owned());
            Interference::None
        });
        scene.round().await.unwrap();
        let calls = calls.lock().unwrap().clone();
        for method in ["CreateAlias", "Upsert", "Delete", "DropAlias"] {
            assert!(!calls.contains(method), "{calls:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_moved_to_another_partition_is_there_once() {
    for (from, to) in [("_default", "more"), ("more", "_default")] {
        let scene = Scene::new(Version::V2_5, &books(), 5);
        let numbers: Vec<_> = if from == "more" { (100..110).collect() } else { (0..10).collect() };
        take(&scene.source, from, &numbers);
        add(&scene.source, to, &numbers.iter().map(|number| (*number, 55)).collect::<Vec<_>>());
        let facts = scene.round().await.unwrap();
        scene.assert_equal(false, from);
        assert_complete(&facts, from);
        assert_eq!(facts.mended.deleted, 10);
    }
}

/// A server that forgets the partition of a delete removes the row that was just written elsewhere: it is written again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_a_delete_took_away_elsewhere_is_written_again() {
    let scene = Scene::new(Version::V2_5, &books(), 5);
    let numbers: Vec<_> = (0..10).collect();
    take(&scene.source, "_default", &numbers);
    add(&scene.source, "more", &numbers.iter().map(|number| (*number, 55)).collect::<Vec<_>>());
    let deletes = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&deletes);
    scene.target.interfere(move |call| {
        if call.method == "Delete" {
            seen.fetch_add(1, Ordering::Relaxed);
        }
        Interference::None
    });
    let took = Arc::clone(&deletes);
    let first = Arc::new(AtomicU64::new(0));
    // The source is asked for the moved rows behind the first delete: that is when they go.
    let target = Arc::new(scene);
    let of_target = Arc::downgrade(&target);
    target.source.interfere(move |call| {
        let scene = of_target.upgrade();
        if call.method == "Query"
            && took.load(Ordering::Relaxed) > 0
            && first.fetch_add(1, Ordering::Relaxed) == 0
            && let Some(scene) = scene
        {
            take(&scene.target, "more", &[0, 1, 2, 3]);
        }
        Interference::None
    });
    let facts = target.round().await.unwrap();
    target.source.interfere_no_more();
    target.assert_equal(false, "a delete everywhere");
    assert_complete(&facts, "a delete everywhere");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_every_type_are_mended() {
    for version in [Version::V2_4, Version::V2_5, Version::V2_6, Version::V3_0] {
        let mut seeds_by_key = 0;
        for seed in 0..12 {
            let context = format!("{version:?} with seed {seed}");
            let generated = collection(BOOKS.1, Shape { version, seed, repeated_keys: false });
            let by_key = generated.schema.fields.iter().any(|field| field.is_partition_key);
            seeds_by_key += u32::from(by_key);
            let scene = Scene::new(version, &Generated { loaded: true, ..generated }, seed);
            let mut random = StdRng::seed_from_u64(seed);
            alter(&scene.source, &mut random);
            alter(&scene.target, &mut random);
            let process = scene.process().await;
            let ended = scene.round_of(&process).await;
            let facts = ended.unwrap_or_else(|error| panic!("{context}: {error}"));
            let refused = process.store.quarantined(&scene.job_id, Position(0)).await.unwrap();
            assert_eq!(refused, Vec::new(), "{context}");
            assert_complete(&facts, &context);
            scene.assert_equal(by_key, &format!("{context}: {facts:?}"));
        }
        assert!(seeds_by_key > 0, "{version:?}");
    }
}

/// Takes rows away and alters values of others, of any field.
fn alter(server: &StandIn, random: &mut StdRng) {
    let rows: Vec<_> = server.rows(BOOKS.0, BOOKS.1).into_iter().collect();
    for (at, ((partition, key), copies)) in rows.choose_multiple(random, 8).enumerate() {
        if at < 3 {
            server.delete(BOOKS, partition, &[key.clone()].into());
            continue;
        }
        let fields = copies[0].iter().filter(|(field, _)| {
            let is_computed =
                ["text", "bm25", "minhash", "signature"].iter().any(|name| field.contains(name));
            field.as_str() != "id" && !is_computed
        });
        let fields: Vec<_> = fields.filter_map(|(field, value)| Some((field, value.altered()?))).collect();
        if let Some((field, value)) = fields.choose(random) {
            server.update(BOOKS, (partition, key), field, value);
        }
    }
}

/// Edits of one side: partition, key, and a value or none.
type Edits = Vec<(bool, i64, Option<u8>)>;

fn apply(server: &StandIn, edits: &Edits) {
    for (is_more, number, value) in edits {
        let partition = if *is_more { "more" } else { "_default" };
        take(server, partition, &[*number]);
        if let Some(value) = value {
            add(server, partition, &[(*number, *value)]);
        }
    }
}

fn any_edits() -> impl Strategy<Value = Edits> {
    let edit = (any::<bool>(), prop_oneof![-5..45_i64, 98..145_i64], proptest::option::of(any::<u8>()));
    proptest::collection::vec(edit, 0..25)
}

fn blocking<Answer>(work: impl Future<Output = Answer>) -> Answer {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(work)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn after_random_edits_of_both_sides_both_are_equal(
        rounds in proptest::collection::vec((any_edits(), any_edits()), 1..3),
        (version, seed) in (0..3_usize, any::<u8>()),
        (kept_max, keys_max) in prop_oneof![Just((1000, 256)), Just((4, 2)), Just((2, 1))],
    ) {
        let version = [Version::V2_3, Version::V2_5, Version::V2_6][version];
        let mut scene = Scene::new(version, &books(), seed.into());
        scene.tuning.mend = MendTuning { keys_max, kept_max, ..scene.tuning.mend };
        for (of_source, of_target) in &rounds {
            apply(&scene.source, of_source);
            apply(&scene.target, of_target);
            // Its marks stay; what it found equal does not hold.
            scene.job_id = JobId::generate();
            let facts = blocking(scene.round()).unwrap();
            scene.assert_equal(false, "random edits");
            assert_complete(&facts, "random edits");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_rows_than_are_held_are_removed_all_the_same() {
    let mut scene = Scene::new(Version::V2_5, &books(), 5);
    scene.tuning.mend = MendTuning { kept_max: 3, keys_max: 2, ..scene.tuning.mend };
    add(&scene.target, "_default", &(200..260).map(|number| (number, 1)).collect::<Vec<_>>());
    add(&scene.target, "more", &(200..230).map(|number| (number, 1)).collect::<Vec<_>>());
    take(&scene.target, "more", &(100..130).collect::<Vec<_>>());
    let facts = scene.round().await.unwrap();
    scene.assert_equal(false, "many");
    assert_complete(&facts, "many");
    assert_eq!(facts.mended.deleted, 90);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_is_mostly_missing_is_copied_by_pages() {
    let scene = Scene::new(Version::V2_5, &books(), 5);
    take(&scene.target, "more", &(100..138).collect::<Vec<_>>());
    let calls = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&calls);
    scene.target.interfere(move |call| {
        seen.fetch_add(u64::from(call.method == "Upsert"), Ordering::Relaxed);
        Interference::None
    });
    let facts = scene.round().await.unwrap();
    scene.assert_equal(false, "pages");
    assert_complete(&facts, "pages");
    assert!(facts.mended.upserted >= 38 && calls.load(Ordering::Relaxed) <= 10, "{calls:?}");
}

/// What the target refuses is recorded, and everything else is mended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_the_target_refuses_is_set_aside() {
    let text = |number: i64| Key::Text(if number == 7 { "x".repeat(100) } else { format!("k{number:02}") });
    let all = plain(BOOKS.1, true, &[("_default", (0..20).map(text).collect())]);
    let mut narrow = plain(BOOKS.1, true, &[("_default", (0..4).map(text).collect())]);
    for field in &mut narrow.schema.fields {
        field
            .type_params
            .iter_mut()
            .filter(|pair| pair.key == "max_length")
            .for_each(|pair| pair.value = "50".to_owned());
    }
    let scene = Scene::of(Version::V2_5, (&all, &narrow), 2);
    let process = scene.process().await;
    let facts = scene.round_of(&process).await.unwrap();
    let mended = facts.mended;
    assert!(mended.are_complete(), "{mended:?}");
    assert_eq!((mended.found, mended.upserted - mended.besides, mended.refused), (16, 15, 1));
    let refused = process.store.quarantined(&scene.job_id, Position(0)).await.unwrap();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].key, format!("t{}", "x".repeat(100)));
    // Nothing is equal where something was refused.
    let marks = process.store.marks(&scene.job_id, Position(0)).await.unwrap();
    assert!(marks.iter().any(|mark| mark.equal.is_none()), "{marks:?}");
}

/// Kills the attempt at every call to the target, in turns before it is carried out and after that.
async fn killed_anywhere(scene: impl Fn() -> Scene) {
    for (first, stop) in [(1, Stop::Before), (2, Stop::After)] {
        let mut killed = 0;
        for at in (first..).step_by(2) {
            let mut scene = scene();
            scene.tuning = RoundTuning {
                spans: SpanTuning { span_bytes: 2000, ..scene.tuning.spans },
                mend: MendTuning { keys_max: 256, ..scene.tuning.mend },
            };
            let process = scene.process().await;
            scene.gate.open(Some((at, stop)));
            let ended = tokio::select! {
                biased;
                () = scene.gate.stopped() => None,
                ended = scene.round_of(&process) => Some(ended),
            };
            drop(process);
            scene.gate.open(None);
            let is_done = ended.is_some();
            if let Some(facts) = ended {
                assert_complete(&facts.unwrap(), "not killed");
            } else {
                killed += 1;
                scene.round().await.unwrap();
            }
            scene.assert_equal(false, &format!("{stop:?} call {at}"));
            if is_done {
                break;
            }
        }
        assert!(killed > 10, "{killed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_that_is_killed_anywhere_goes_on() {
    let scene = || {
        let scene = Scene::new(Version::V2_5, &books(), 8);
        edit(&scene);
        scene
    };
    killed_anywhere(scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_write_of_a_killed_attempt_does_not_land() {
    for write in 1..=3 {
        for late in [1, 10, 40] {
            let context = format!("write {write}, {late} calls late");
            let scene = Scene::new(Version::V2_5, &books(), 8);
            edit(&scene);
            let process = scene.process().await;
            scene.gate.open(Some((write, Stop::LateWrite(late))));
            tokio::select! {
                biased;
                () = scene.gate.stopped() => {}
                ended = scene.round_of(&process) => panic!("{context}: {ended:?}"),
            }
            drop(process);
            // What it sent is no more what the source holds.
            take(&scene.source, "_default", &[3, 4, 5, 30, 50]);
            set(&scene.source, "more", 100, 44);
            set(&scene.source, "more", 139, 44);
            set(&scene.source, "_default", 10, 45);
            scene.gate.open(None);
            let facts = scene.round().await.unwrap();
            assert_complete(&facts, &context);
            // Its name is gone before anything is read, so that at least what comes later finds none.
            let (client, _) = connected(&scene.target).await;
            for _ in 0..late {
                client.timestamp().await.unwrap();
            }
            scene.assert_equal(false, &context);
        }
    }
}

/// Whether a query counts.
fn is_count(message: &[u8]) -> bool {
    let request = pb::QueryRequest::decode(message).unwrap();
    request.output_fields == ["count(*)"]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_is_loading_never_leads_to_a_delete() {
    for seed in 0..12 {
        let scene = Scene::new(Version::V2_3, &books(), seed);
        take(&scene.target, "_default", &[7]);
        let removed: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&removed);
        scene.target.interfere(move |call| {
            if call.method == "Delete" {
                seen.lock().unwrap().push(pb::DeleteRequest::decode(call.message).unwrap().expr);
            }
            Interference::None
        });
        let mut random = StdRng::seed_from_u64(seed);
        let share = [0.1, 0.3, 0.9][usize::try_from(seed % 3).unwrap()];
        let mut left = 40;
        scene.source.interfere(move |call| {
            let is_emptied = call.method == "Query" && !is_count(call.message) && left > 0;
            if is_emptied && random.random_bool(share) {
                left -= 1;
                return Interference::EmptiedPage;
            }
            Interference::None
        });
        let ended = scene.round().await;
        scene.source.interfere_no_more();
        scene.target.interfere_no_more();
        assert_eq!(*removed.lock().unwrap(), Vec::<String>::new(), "seed {seed}: {ended:?}");
        if let Ok(facts) = ended {
            assert_complete(&facts, &format!("seed {seed}"));
            scene.assert_equal(false, &format!("seed {seed}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_removed_where_the_source_counts_other_rows_than_it_returned() {
    for (writers, rows) in [(Writers::Stopped, 1), (Writers::GoOn, 30)] {
        let mut scene = Scene::new(Version::V2_3, &books(), 2);
        scene.writers = writers;
        add(&scene.target, "more", &[(500, 1)]);
        // It counts rows twice from now on, which no key explains.
        scene.source.count_twice(BOOKS, u32::MAX, rows);
        let ended = scene.round().await;
        assert!(
            scene.target.rows(BOOKS.0, BOOKS.1).contains_key(&("more".to_owned(), key(500))),
            "{ended:?}"
        );
        match writers {
            Writers::Stopped => assert!(matches!(ended, Err(RoundStop::Mend(_))), "{ended:?}"),
            Writers::GoOn => assert_eq!(ended.unwrap().mended.left, 1),
        }
    }
}

/// Empties answers of the target to queries for rows, by chance that depends on what is asked and how often it was.
fn leave_out(server: &StandIn, seed: u64, share: f64) {
    let mut asked: BTreeMap<(String, Vec<String>), u64> = BTreeMap::new();
    server.interfere(move |call| {
        if call.method != "Query" || is_count(call.message) {
            return Interference::None;
        }
        let request = pb::QueryRequest::decode(call.message).unwrap();
        let times = asked.entry((request.expr.clone(), request.partition_names.clone())).or_default();
        *times += 1;
        let mut hash = DefaultHasher::new();
        (seed, &request.expr, &request.partition_names, *times).hash(&mut hash);
        let is_emptied = *times <= 40 && StdRng::seed_from_u64(hash.finish()).random_bool(share);
        if is_emptied { Interference::EmptiedPage } else { Interference::None }
    });
}

/// What a target leaves out of its answers is neither mended for ever nor taken for mended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_loading_ends_equal_or_in_an_error() {
    let mut equal = 0;
    for seed in 0..12 {
        let context = format!("seed {seed}");
        let scene = Scene::new(Version::V2_3, &books(), seed);
        edit(&scene);
        leave_out(&scene.target, seed, [0.05, 0.1, 0.2, 0.3][usize::try_from(seed % 4).unwrap()]);
        let ended = scene.round().await;
        scene.target.interfere_no_more();
        if let Ok(facts) = &ended {
            assert_complete(facts, &context);
            scene.assert_equal(false, &context);
            equal += 1;
        }
    }
    assert!(equal >= 5, "{equal}");
}

/// A row that the target alone has and that is not among its answers is only counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_too_much_that_the_target_does_not_answer_is_found_by_its_count() {
    let mut scene = Scene::new(Version::V2_3, &books(), 3);
    // All rows of the source are a page; what lies behind them is asked for once, and nothing of it is answered.
    scene.tuning.spans.span_bytes = 40 * 24;
    add(&scene.target, "_default", &[(110_000, 2)]);
    let hidden = Arc::new(AtomicU64::new(0));
    let counts = Arc::clone(&hidden);
    scene.target.interfere(move |call| {
        if call.method == "Query" && !is_count(call.message) {
            let request = pb::QueryRequest::decode(call.message).unwrap();
            let is_behind = request.partition_names == ["_default"] && request.expr.ends_with("> 39");
            if is_behind && counts.fetch_add(1, Ordering::Relaxed) == 0 {
                return Interference::EmptiedPage;
            }
        }
        Interference::None
    });
    let facts = scene.round().await.unwrap();
    scene.target.interfere_no_more();
    assert!(hidden.load(Ordering::Relaxed) > 1, "compared once more");
    scene.assert_equal(false, "hidden");
    assert_complete(&facts, "hidden");
    assert_eq!((facts.extra, facts.mended.deleted), (1, 1));
}

/// What an attempt found equal does not hide a row that is counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_that_were_equal_are_compared_again_where_counts_do_not_add_up() {
    let scene = Scene::new(Version::V2_5, &books(), 3);
    scene.round().await.unwrap();
    add(&scene.target, "more", &[(110_000, 2)]);
    take(&scene.target, "_default", &[7]);
    let facts = scene.round().await.unwrap();
    assert!(facts.spans_known > 0);
    scene.assert_equal(false, "known");
    assert_complete(&facts, "known");
    assert_eq!((facts.mended.deleted, facts.mended.upserted), (1, 1));
}

/// Nothing but its count tells of a row that is there twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_the_target_has_twice_without_a_doubt_is_there_once() {
    for version in [Version::V2_3, Version::V2_5] {
        let scene = Scene::new(version, &books(), 4);
        add(&scene.target, "more", &[(101, 101), (130, 3)]);
        let facts = scene.round().await.unwrap();
        scene.assert_equal(false, "twice");
        assert_complete(&facts, "twice");
    }
}

/// A side that counts more than it answers, however often it is asked, proves nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_side_that_counts_other_rows_than_it_answers_ends_the_round() {
    let scene = Scene::new(Version::V2_3, &books(), 2);
    scene.target.count_twice(BOOKS, u32::MAX, 1);
    let ended = scene.round().await;
    assert!(matches!(ended, Err(RoundStop::Mend(_))), "{ended:?}");
    let scene = Scene::new(Version::V2_3, &books(), 2);
    scene.source.count_twice(BOOKS, u32::MAX, 1);
    let ended = scene.round().await;
    assert!(
        matches!(ended, Err(RoundStop::Mend(MendError::NotAccounted { side: Side::Source, .. }))),
        "{ended:?}"
    );
}

/// A row that the target refuses keeps its old value there: each attempt says so, and no span counts as equal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_row_that_the_target_refuses_is_on_record() {
    let scene = Scene::new(Version::V2_5, &books(), 2);
    set(&scene.source, "more", 120, 99);
    let reason = "invalid parameter";
    let refused = Status { code: 1100, error_code: 1100, reason: reason.into(), ..Status::default() };
    fail_writes(&scene, &["Upsert"], u64::MAX, Interference::Refused(refused));
    for attempt in 1..=2 {
        let process = scene.process().await;
        let facts = scene.round_of(&process).await.unwrap();
        let mended = facts.mended;
        assert_eq!((facts.changed, mended.refused, mended.upserted), (1, 1, 0), "attempt {attempt}");
        let refused = process.store.quarantined(&scene.job_id, Position(0)).await.unwrap();
        assert_eq!(refused.iter().map(|row| &*row.key).collect::<Vec<_>>(), ["i120"]);
        let facts = process.store.round_facts(&scene.job_id, process.round).await.unwrap();
        assert_eq!(facts.len(), attempt, "what each attempt saw is recorded");
    }
    scene.target.interfere_no_more();
    let facts = scene.round().await.unwrap();
    assert_complete(&facts, "taken");
    scene.assert_equal(false, "taken");
}

#[tokio::test]
async fn very_many_marks_are_joined_and_leave_no_key_out() {
    let scene = Scene::new(Version::V2_5, &books(), 2);
    let process = scene.process().await;
    let marks = |partition: &str, numbers: std::ops::Range<i64>| {
        let mark = |number: i64| vecferry_store::Mark {
            partition: Some(partition.to_owned()),
            until: Some(key_text(&vecferry_milvus::Key::Int(number))),
            rows: 1,
            equal: (number % 8 < 4).then_some((process.round, 1)),
        };
        let end = vecferry_store::Mark { partition: Some(partition.to_owned()), ..Default::default() };
        numbers.map(mark).chain([end]).collect::<Vec<_>>()
    };
    for (partition, numbers) in [("_default", 0..33), ("more", 0..10)] {
        let set = process.store.set_marks(
            &process.attempt,
            Position(0),
            Some(partition.to_owned()),
            Vec::new(),
            marks(partition, numbers),
        );
        set.await.unwrap();
    }
    let (store, attempt, round) = (&*process.store, &process.attempt, process.round);
    let recorded = Marks { store, attempt, position: Position(0), round };
    recorded.join_if_many(MarksMax { marks: 45, key_bytes: 0 }).await.unwrap();
    let untouched = recorded.read().await.unwrap();
    assert_eq!(untouched.values().map(Vec::len).sum::<usize>(), 45);
    recorded.join_if_many(MarksMax { marks: 12, key_bytes: 0 }).await.unwrap();
    let joined = recorded.read().await.unwrap();
    let mut of_default = joined[&Some("_default".to_owned())].clone();
    of_default.sort_by_key(|mark| (mark.until.is_none(), mark.until.clone()));
    let until = |number: i64| Some(vecferry_milvus::Key::Int(number));
    let ends: Vec<_> = of_default.iter().map(|mark| (mark.until.clone(), mark.rows, mark.equal)).collect();
    // Four each, of which all are equal or none; and what is left with the end of everything.
    let mut expected: Vec<_> = (0..8).map(|at| (until(at * 4 + 3), 4, (at % 2 == 0).then_some(4))).collect();
    expected.push((None, 1, None));
    assert_eq!(ends, expected);
    let rows: u64 = joined.values().flatten().map(|mark| mark.rows).sum();
    assert_eq!(rows, 33 + 10);
}

/// A text key may be as long as many marks.
#[tokio::test]
async fn marks_with_long_keys_are_joined_and_one_mark_stays() {
    let scene = Scene::new(Version::V2_5, &books(), 2);
    let process = scene.process().await;
    let mark = |text: &str| vecferry_store::Mark {
        until: Some(key_text(&vecferry_milvus::Key::Text(text.repeat(100)))),
        rows: 2,
        ..Default::default()
    };
    let marks = ["a", "b", "c"].map(mark).to_vec();
    process.store.set_marks(&process.attempt, Position(0), None, Vec::new(), marks).await.unwrap();
    let (store, attempt, round) = (&*process.store, &process.attempt, process.round);
    let recorded = Marks { store, attempt, position: Position(0), round };
    recorded.join_if_many(MarksMax { marks: 65_536, key_bytes: 50 }).await.unwrap();
    let joined = recorded.read().await.unwrap();
    assert_eq!(joined[&None].iter().map(|mark| mark.rows).collect::<Vec<_>>(), [6]);
}

/// A range that begins where no span ends says nothing of what lies before it.
#[tokio::test]
async fn what_lies_before_a_range_that_was_compared_is_not_equal_for_that() {
    let scene = Scene::new(Version::V2_5, &books(), 2);
    let process = scene.process().await;
    let (store, attempt, round) = (&*process.store, &process.attempt, process.round);
    let marks = Marks { store, attempt, position: Position(0), round };
    let recorder = Recorder::new(marks, &MarksOf::new(), ToMend::new().0, &|_, _| {});
    let until = |number: i64| Some(vecferry_milvus::Key::Int(number));
    let range = KeyRange { after: until(10), until: until(20) };
    let new = [NewMark { until: until(20), rows: 3, is_equal: true }];
    let marked = Marked { partition: None, range: &range, marks: &new, is_new: true };
    recorder.on_marks(&marked).await.unwrap();
    let mut recorded = marks.read().await.unwrap().remove(&None).unwrap();
    recorded.sort_by_key(|mark| mark.until.clone());
    let equal: Vec<_> = recorded.iter().map(|mark| (mark.until.clone(), mark.equal)).collect();
    assert_eq!(equal, [(until(10), None), (until(20), Some(3))]);
}

/// A write to the target is answered so, the first times.
fn fail_writes(scene: &Scene, methods: &'static [&'static str], times: u64, how: Interference) {
    let mut left = times;
    scene.target.interfere(move |call| {
        if left > 0 && methods.contains(&call.method) {
            left -= 1;
            return how.clone();
        }
        Interference::None
    });
}

fn failures() -> Vec<Interference> {
    let status =
        |code, reason: &str| Status { code, error_code: code, reason: reason.into(), ..Status::default() };
    vec![
        Interference::CutBefore,
        Interference::CutAfter,
        Interference::FailedAfter(status(1, "unexpected")),
        Interference::Refused(status(1, "unexpected")),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_whose_answers_are_errors_or_lost_are_repeated() {
    for how in failures() {
        for times in [1, 2] {
            let context = format!("{how:?}, {times} times");
            let scene = Scene::new(Version::V2_5, &books(), 4);
            edit(&scene);
            fail_writes(&scene, &["Upsert", "Delete"], times, how.clone());
            match scene.round().await {
                Ok(facts) => assert_complete(&facts, &context),
                // The next attempt goes on.
                Err(error) => {
                    scene.target.interfere_no_more();
                    let facts =
                        scene.round().await.unwrap_or_else(|again| panic!("{context}: {error} {again}"));
                    assert_complete(&facts, &context);
                }
            }
            scene.assert_equal(false, &context);
        }
    }
}

fn kept() -> Scene {
    let mut generated = books();
    for field in &mut generated.schema.fields {
        field.auto_id = field.is_primary_key;
    }
    generated.properties = vecferry_milvus::schema::parameters(&[KEPT]);
    let mut scene = Scene::new(Version::V2_6, &generated, 4);
    scene.keys = Keys::Kept;
    edit(&scene);
    scene
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kept_keys_stay_though_answers_are_lost() {
    for how in failures() {
        for times in [0, 1, 3] {
            let context = format!("{how:?}, {times} times");
            let scene = kept();
            fail_writes(&scene, &["Insert", "Delete"], times, how.clone());
            match scene.round().await {
                Ok(facts) => assert_complete(&facts, &context),
                Err(error) => {
                    scene.target.interfere_no_more();
                    let facts =
                        scene.round().await.unwrap_or_else(|again| panic!("{context}: {error} {again}"));
                    assert_complete(&facts, &context);
                }
            }
            scene.assert_equal(false, &context);
            let process = scene.process().await;
            let doubts = process.store.doubts(&scene.job_id, Position(0)).await.unwrap();
            assert_eq!(doubts, Vec::new(), "{context}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_of_kept_keys_that_is_killed_anywhere_goes_on() {
    killed_anywhere(kept).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_there_twice_after_a_doubt_are_there_once() {
    let scene = Scene::new(Version::V2_5, &books(), 4);
    add(&scene.target, "more", &[(101, 101), (102, 3), (130, 130)]);
    let process = scene.process().await;
    let right = vecferry_store::Right::Attempt(&process.attempt, Position(0));
    let doubt = process.store.record_doubt(right, Some("more".to_owned()), None, Some("i135".to_owned()));
    doubt.await.unwrap();
    let facts = scene.round_of(&process).await.unwrap();
    scene.assert_equal(false, "twice");
    assert_complete(&facts, "twice");
    let doubts = process.store.doubts(&scene.job_id, Position(0)).await.unwrap();
    assert_eq!((doubts.len(), facts.mended.upserted), (0, 3));
}

/// Writers go on: what they do meanwhile is the next round's, and nothing that they wrote is taken away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_writers_go_on_each_round_comes_nearer_and_the_last_one_is_equal() {
    for seed in 0..6 {
        let mut scene = Scene::new(Version::V2_5, &books(), seed);
        scene.writers = Writers::GoOn;
        edit(&scene);
        let scene = Arc::new(scene);
        let (writer, mut random) = (Arc::downgrade(&scene), StdRng::seed_from_u64(seed));
        scene.target.interfere(move |_| {
            if let Some(scene) = writer.upgrade()
                && random.random_bool(0.3)
            {
                let number = random.random_range(0..60);
                take(&scene.source, "_default", &[number]);
                if random.random_bool(0.7) {
                    add(&scene.source, "_default", &[(number, random.random())]);
                }
            }
            Interference::None
        });
        let facts = scene.round().await.unwrap();
        assert!(facts.mended.are_complete(), "{:?}", facts.mended);
        scene.target.interfere_no_more();
        let Ok(mut scene) = Arc::try_unwrap(scene) else { panic!("the writer holds it still") };
        scene.job_id = JobId::generate();
        scene.writers = Writers::Stopped;
        let facts = scene.round().await.unwrap();
        assert_complete(&facts, &format!("seed {seed}"));
        scene.assert_equal(false, &format!("seed {seed}"));
    }
}

/// Somebody else writes to the target.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_never_stays_as_it_was_written_fails_the_round() {
    for times in [1, 3, u64::MAX] {
        let scene = Arc::new(Scene::new(Version::V2_5, &books(), 4));
        edit(&scene);
        let (of_target, mut left) = (Arc::downgrade(&scene), times);
        scene.target.interfere(move |call| {
            if call.method == "DropAlias"
                && left > 0
                && let Some(scene) = of_target.upgrade()
            {
                left -= 1;
                set(&scene.target, "more", 120, 98);
            }
            Interference::None
        });
        let process = scene.process().await;
        let ended = scene.round_of(&process).await;
        scene.target.interfere_no_more();
        if times == u64::MAX {
            let error = ended.unwrap_err().to_string();
            assert_eq!(
                error,
                "1 row(s) are not as they were written, the first one with primary key 120 (more)"
            );
            let marks = process.store.marks(&scene.job_id, Position(0)).await.unwrap();
            assert!(marks.iter().any(|mark| mark.equal.is_none()), "{marks:?}");
        } else {
            assert_complete(&ended.unwrap(), &format!("{times} times"));
            scene.assert_equal(false, &format!("{times} times"));
        }
    }
}
