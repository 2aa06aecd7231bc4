//! A cancellation is obeyed while a source is waited for, and the source is put back.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use vecferry_migrate::{JobState, MigrateRequest, Migration};
use vecferry_milvus::Endpoint;
use vecferry_store::sqlite;
use vecferry_testkit::StandIn;
use vecferry_testkit::fault_proxy::{Fault, FaultProxy, When};
use vecferry_testkit::stand_in::generate::{Generated, plain};
use vecferry_testkit::stand_in::{Key, Options, Version};

use super::{Silent, endpoint};

/// Less than any call to a server is waited for.
const PROMPTLY: Duration = Duration::from_secs(15);

/// Cancels a job when a call to its source was made whose answer does not come.
async fn canceled_at(call: &'static str, loaded: bool) {
    let source = StandIn::start(Options::new(Version::V2_6));
    let target = StandIn::start(Options::new(Version::V2_6));
    let books = plain("books", false, &[("_default", (0..50).map(Key::Long).collect())]);
    source.add(&Generated { loaded, ..books });
    let proxy = FaultProxy::start(&source.uri());
    let request = MigrateRequest::new(Endpoint::parse(&proxy.uri()).unwrap(), endpoint(&target));
    let migration = Migration::prepare(request).await.unwrap();
    let held = proxy.arm(call, When::Always, Fault::HalfOpen);
    let state = tempfile::tempdir().unwrap();
    let store = sqlite::open(state.path()).unwrap();
    let cancel = CancellationToken::new();
    let job = migration.run(&store, Arc::new(Silent), cancel.clone());
    let interrupt = async {
        let (held, fired) = tokio::task::spawn_blocking(move || {
            let fired = held.wait_until_fired(Duration::from_secs(60));
            (held, fired)
        })
        .await
        .unwrap();
        assert!(fired, "{call} was never made");
        held.disarm();
        cancel.cancel();
        tokio::time::sleep(PROMPTLY).await;
    };
    let report = tokio::select! {
        report = job => report.unwrap(),
        () = interrupt => panic!("{call}: canceled, and it still goes on"),
    };
    assert_eq!(report.state, JobState::Canceled, "{call}: {:#?}", report.problems);
    assert_eq!(source.is_loaded("default", "books"), loaded, "{call}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_for_a_source_that_is_loaded_ends() {
    canceled_at("GetLoadState", true).await;
    canceled_at("GetPersistentSegmentInfo", true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_of_the_source_ends_and_is_taken_back() {
    canceled_at("LoadCollection", false).await;
    canceled_at("GetLoadState", false).await;
}
