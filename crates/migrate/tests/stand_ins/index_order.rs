//! The planned indexes are begun when nothing is left to be compared, and a load when its rows are sorted: a server that is
//! asked earlier does both, and everything waits for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use prost::Message;
use tokio_util::sync::CancellationToken;
use vecferry_migrate::event::{Event, Observer, Phase};
use vecferry_migrate::{Code, JobState, Migration, VerifyLevel};
use vecferry_milvus::proto::milvus as pb;
use vecferry_store::sqlite;
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::generate::{Generated, plain};
use vecferry_testkit::stand_in::{Interference, Key, Options, Value, Version};

use super::{Silent, assert_arrived, assert_successful, carry_out, request};

const NAMES: [&str; 3] = ["books", "films", "notes"];

/// A call to the target, and its collection.
#[derive(Clone, Debug, PartialEq)]
enum Call {
    Segments(String),
    Load(String),
    Release(String),
    /// Also of which type.
    Index(String, String),
}

fn call(method: &str, message: &[u8]) -> Option<Call> {
    Some(match method {
        "GetPersistentSegmentInfo" => {
            Call::Segments(pb::GetPersistentSegmentInfoRequest::decode(message).ok()?.collection_name)
        }
        "LoadCollection" => Call::Load(pb::LoadCollectionRequest::decode(message).ok()?.collection_name),
        "ReleaseCollection" => {
            Call::Release(pb::ReleaseCollectionRequest::decode(message).ok()?.collection_name)
        }
        "CreateIndex" => {
            let request = pb::CreateIndexRequest::decode(message).ok()?;
            let kind = request.extra_params.into_iter().find(|pair| pair.key == "index_type")?;
            Call::Index(request.collection_name, kind.value)
        }
        _ => return None,
    })
}

/// Migrates loaded collections, and tells what the target was asked, in order.
async fn calls(version: Version, sorts: bool, verify: VerifyLevel) -> Vec<Call> {
    let source = StandIn::start(Options::new(version));
    let target = StandIn::start(Options { sorts, ..Options::new(version) });
    for name in NAMES {
        let rows = plain(name, false, &[("_default", (0..40).map(Key::Long).collect())]);
        source.add(&Generated { loaded: true, ..rows });
    }
    let mut wanted = request(&source, &target);
    wanted.verify = verify;
    let migration = Migration::prepare(wanted).await.unwrap();
    let (seen, state) = (Arc::new(Mutex::new(Vec::new())), tempfile::tempdir().unwrap());
    let noted = Arc::clone(&seen);
    target.interfere(move |of| {
        noted.lock().unwrap().extend(call(of.method, of.message));
        Interference::None
    });
    let report = carry_out(migration, state.path()).await;
    target.interfere_no_more();
    assert_successful(&report, "nothing went wrong");
    for name in NAMES {
        assert_arrived(&source, &target, name, name);
        let indexes = target.definition("default", name).indexes;
        let kinds: Vec<_> = indexes.values().map(|params| params["index_type"].as_str()).collect();
        assert_eq!(kinds, ["AUTOINDEX"], "{name}");
    }
    seen.lock().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_planned_indexes_are_begun_when_all_collections_are_compared() {
    for version in [Version::V2_3, Version::V2_5] {
        let calls = calls(version, true, VerifyLevel::Sample).await;
        let of_index = |wanted: &'static str| move |call: &&Call| matches!(call, Call::Index(_, kind) if (kind == "FLAT") == (wanted == "FLAT"));
        assert_eq!(calls.iter().filter(of_index("FLAT")).count(), NAMES.len(), "{version:?}: {calls:?}");
        let planned = calls.iter().filter(of_index("AUTOINDEX")).count();
        assert_eq!(planned, NAMES.len(), "{version:?}: {calls:?}");
        let first = calls.iter().position(|call| of_index("AUTOINDEX")(&call)).unwrap();
        let is_of_comparison = |call: &Call| matches!(call, Call::Load(_)) || of_index("FLAT")(&call);
        let late: Vec<_> = calls[first..].iter().filter(|call| is_of_comparison(call)).collect();
        assert!(late.is_empty(), "{version:?}: {late:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_is_loaded_when_its_rows_are_sorted() {
    for version in [Version::V2_5, Version::V2_6] {
        let calls = calls(version, true, VerifyLevel::Full).await;
        for name in NAMES {
            let load = calls.iter().position(|call| *call == Call::Load(name.to_owned())).unwrap();
            let is_look = |call: &&Call| **call == Call::Segments(name.to_owned());
            // The stand-in sorts what it told of, before it tells of it again.
            let looks = calls[..load].iter().filter(is_look).count();
            assert!(looks >= 2, "{version:?}, {name}: {looks} looks before the load, {calls:?}");
        }
    }
}

fn three(version: Version) -> Arc<StandIn> {
    let source = StandIn::start(Options::new(version));
    for name in NAMES {
        let rows = plain(name, false, &[("_default", (0..40).map(Key::Long).collect())]);
        source.add(&Generated { loaded: true, ..rows });
    }
    Arc::new(source)
}

/// Does something when a collection has been compared.
struct WhenCompared<Act>(&'static str, Mutex<Option<Act>>);

impl<Act: FnOnce() + Send> Observer for WhenCompared<Act> {
    fn on_event(&self, event: Event) {
        if let Event::Phase { collection, phase: Phase::Indexing } = event
            && collection.name == self.0
            && let Some(act) = self.1.lock().unwrap().take()
        {
            act();
        }
    }
}

/// The source merges its segments before the indexes are begun, and what was written before that can't be told any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_to_a_source_that_waits_for_others_is_seen_before_it_waits() {
    for version in [Version::V2_3, Version::V2_5] {
        let (source, target) = (three(version), StandIn::start(Options::new(version)));
        let (writes, merges) = (Arc::clone(&source), Arc::downgrade(&source));
        let observer = WhenCompared(
            "films",
            Mutex::new(Some(move || {
                let vector = Value::Vector([9.0f32; 4].iter().flat_map(|part| part.to_le_bytes()).collect());
                writes.update(("default", "films"), ("_default", &Key::Long(7)), "vector", &vector);
            })),
        );
        target.interfere(move |of| {
            let is_planned =
                matches!(call(of.method, of.message), Some(Call::Index(_, kind)) if kind != "FLAT");
            if is_planned && let Some(source) = merges.upgrade() {
                source.compact("default", "films");
            }
            Interference::None
        });
        let migration = Migration::prepare(request(&source, &target)).await.unwrap();
        let state = tempfile::tempdir().unwrap();
        let store = sqlite::open(state.path()).unwrap();
        let report = migration.run(&store, Arc::new(observer), CancellationToken::new()).await.unwrap();
        target.interfere_no_more();
        assert_eq!(report.state, JobState::Failed, "{version:?}: {:#?}", report.warnings);
        let codes: Vec<_> = report.problems.iter().map(|problem| problem.code).collect();
        assert_eq!(codes, [Code::Drift], "{version:?}: {:#?}", report.problems);
    }
}

/// From 2.5 on, a page is of the moment that it is asked for, however late: one of before the look at the source would miss
/// what was written between the two, and no later look would tell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_of_a_moment_behind_the_look_at_their_collection() {
    for version in [Version::V2_3, Version::V2_5, Version::V2_6] {
        let (source, target) = (three(version), StandIn::start(Options::new(version)));
        let migration = Migration::prepare(request(&source, &target)).await.unwrap();
        let seen = Arc::new(Mutex::new(BTreeMap::<String, (bool, Vec<u64>, Vec<u64>)>::new()));
        let noted = Arc::clone(&seen);
        source.interfere(move |of| {
            let mut seen = noted.lock().unwrap();
            if let Some(Call::Segments(name)) = call(of.method, of.message) {
                seen.entry(name).or_default().0 = true;
            }
            if of.method == "Query" {
                let query = pb::QueryRequest::decode(of.message).unwrap();
                let is_page =
                    query.query_params.iter().any(|pair| pair.key == "iterator" && pair.value == "True");
                let (was_looked_at, counts, pages) = seen.entry(query.collection_name).or_default();
                match is_page {
                    true => pages.push(query.guarantee_timestamp),
                    // Of the first look, as of the moment right before it.
                    false if *was_looked_at && pages.is_empty() => counts.push(query.guarantee_timestamp),
                    false => {}
                }
            }
            Interference::None
        });
        let state = tempfile::tempdir().unwrap();
        let report = carry_out(migration, state.path()).await;
        source.interfere_no_more();
        assert_successful(&report, "nothing went wrong");
        for name in NAMES {
            let (_, counts, pages) = &seen.lock().unwrap()[name];
            let (first_count, first_page) = (counts.iter().min().unwrap(), pages.iter().min().unwrap());
            assert!(
                first_page > first_count,
                "{version:?}, {name}: {first_page} is not behind {first_count}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_canceled_in_its_last_look_is_no_success() {
    let (source, target) = (three(Version::V2_5), StandIn::start(Options::new(Version::V2_5)));
    let migration = Migration::prepare(request(&source, &target)).await.unwrap();
    let cancel = CancellationToken::new();
    let cancels = cancel.clone();
    source.interfere(move |of| {
        // Whether collections came since is asked last.
        if of.method == "ShowCollections" {
            cancels.cancel();
        }
        Interference::None
    });
    let state = tempfile::tempdir().unwrap();
    let store = sqlite::open(state.path()).unwrap();
    let report = migration.run(&store, Arc::new(Silent), cancel.clone()).await.unwrap();
    source.interfere_no_more();
    assert!(cancel.is_cancelled(), "it came to the last look");
    assert_eq!(report.state, JobState::Canceled, "{:#?}", report.problems);
}
