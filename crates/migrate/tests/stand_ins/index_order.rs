//! The planned indexes are begun when nothing is left to be compared, and a load when its rows are sorted: a server that is
//! asked earlier does both, and everything waits for it.

use std::sync::{Arc, Mutex};

use prost::Message;
use vecferry_migrate::{Migration, VerifyLevel};
use vecferry_milvus::proto::milvus as pb;
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::generate::{Generated, plain};
use vecferry_testkit::stand_in::{Interference, Key, Options, Version};

use super::{assert_arrived, assert_successful, carry_out, request};

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
