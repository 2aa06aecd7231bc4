//! Jobs of one process at once: they share what a process may use, and what it may ask of one cluster.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use vecferry_migrate::{Limits, MigrateRequest, Migration, Resources, Selection, Tuning, VerifyLevel};
use vecferry_milvus::Endpoint;
use vecferry_store::{Store, sqlite};
use vecferry_testkit::StandIn;
use vecferry_testkit::fault_proxy::{Fault, FaultProxy, When};
use vecferry_testkit::stand_in::generate::{Generated, plain};
use vecferry_testkit::stand_in::{Key, Options, Version};

use super::{Silent, assert_arrived, assert_successful, endpoint};

const JOBS: usize = 20;
const ROWS: i64 = 200;
const INSERTS_MAX: usize = 3;

fn small_pages() -> Tuning {
    Tuning { page_bytes_target: 500, split_bytes_min: 26 * 30, ..Tuning::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_jobs_into_one_target_ask_no_more_of_it_than_one() {
    let source = StandIn::start(Options::new(Version::V2_6));
    let target = StandIn::start(Options::new(Version::V2_6));
    let names: Vec<_> = (0..JOBS).map(|number| format!("books_{number}")).collect();
    for name in &names {
        let keys = (0..ROWS).map(Key::Long).collect();
        source.add(&Generated { loaded: true, ..plain(name, false, &[("_default", keys)]) });
    }
    let to_target = FaultProxy::start(&target.uri());
    // So that several are under way at once.
    to_target.arm("Insert", When::Always, Fault::Delay(Duration::from_millis(20)));
    let state = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = sqlite::open(state.path()).unwrap();
    let resources = Resources::new(Limits { inserts_max: INSERTS_MAX, ..Limits::default() });

    let jobs: Vec<_> = names
        .iter()
        .map(|name| {
            let request = MigrateRequest {
                selection: Selection::parse(std::slice::from_ref(name), &[]).unwrap(),
                verify: VerifyLevel::Full,
                ..MigrateRequest::new(endpoint(&source), Endpoint::parse(&to_target.uri()).unwrap())
            };
            let (store, resources) = (Arc::clone(&store), resources.clone());
            tokio::spawn(async move {
                let migration = Migration::prepare(request).await.unwrap().with_resources(resources);
                let migration = migration.with_tuning(small_pages());
                migration.run(&store, Arc::new(Silent), CancellationToken::new()).await.unwrap()
            })
        })
        .collect();
    for (job, name) in jobs.into_iter().zip(&names) {
        assert_successful(&job.await.unwrap(), name);
    }
    for name in &names {
        assert_arrived(&source, &target, name, name);
    }
    let most = to_target.most_at_once("Insert");
    assert!((2..=INSERTS_MAX as u64).contains(&most), "{most} inserts at once");
}
