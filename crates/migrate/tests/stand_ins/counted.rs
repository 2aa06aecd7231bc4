//! What a job counts for whoever records it.

use std::collections::BTreeMap;
use std::sync::Arc;

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tokio_util::sync::CancellationToken;
use vecferry_migrate::metrics::CATALOGUE;
use vecferry_migrate::{MigrateRequest, Migration};
use vecferry_store::sqlite;
use vecferry_testkit::StandIn;
use vecferry_testkit::fault_proxy::{Answer, Fault, FaultProxy, When};
use vecferry_testkit::stand_in::generate::{Generated, plain};
use vecferry_testkit::stand_in::{Key, Options, Version};

use super::{Silent, assert_successful, endpoint};

const ROWS: i64 = 300;

#[test]
fn a_job_counts_what_it_does_under_names_of_the_catalogue() {
    let source = StandIn::start(Options::new(Version::V2_6));
    let target = StandIn::start(Options::new(Version::V2_6));
    source.add(&Generated {
        loaded: true,
        ..plain("books", false, &[("_default", (0..ROWS).map(Key::Long).collect())])
    });
    let to_target = FaultProxy::start(&target.uri());
    to_target.arm("Insert", When::Times(2), Fault::Answer(Answer::RateLimit));
    let state = tempfile::tempdir().unwrap();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    // One thread, whose counts are these.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let report = metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let target = vecferry_milvus::Endpoint::parse(&to_target.uri()).unwrap();
            let request = MigrateRequest::new(endpoint(&source), target);
            let migration = Migration::prepare(request).await.unwrap();
            let store = sqlite::open(state.path()).unwrap();
            migration.run(&store, Arc::new(Silent), CancellationToken::new()).await.unwrap()
        })
    });
    assert_successful(&report, "counted");

    let mut counted = BTreeMap::new();
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let key = key.key();
        let labels: Vec<_> = key.labels().map(|label| (label.key(), label.value())).collect();
        let metric = CATALOGUE.iter().find(|metric| metric.name == key.name()).unwrap();
        assert_eq!(labels.iter().map(|(name, _)| *name).collect::<Vec<_>>(), metric.labels, "{}", key.name());
        let values: Vec<_> = labels.iter().map(|(_, value)| *value).collect();
        let DebugValue::Counter(value) = value else { panic!("{} is no counter", key.name()) };
        counted.insert(format!("{} {}", key.name(), values.join(" ")), value);
    }
    let of = |name: &str| counted.get(name).copied().unwrap_or_default();
    assert_eq!(of("vecferry_rows_written_total "), ROWS.unsigned_abs(), "{counted:?}");
    assert_eq!(of("vecferry_bytes_written_total "), report.collections[0].bytes, "{counted:?}");
    assert!(of("vecferry_pages_read_total ") >= 1, "{counted:?}");
    assert_eq!(of("vecferry_retries_total target rate_limited"), 2, "{counted:?}");
    assert!(of("vecferry_waiting_milliseconds_total target_limit") > 0, "{counted:?}");
    assert_eq!(of("vecferry_rows_refused_total "), 0, "{counted:?}");
}
