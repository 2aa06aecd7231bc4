//! A release that is carried out is not waited for: a 2.3 answers it late, and what others ask waits behind it.

use std::time::Duration;

use vecferry_migrate::{MigrateRequest, Migration};
use vecferry_milvus::Endpoint;
use vecferry_testkit::StandIn;
use vecferry_testkit::fault_proxy::{Fault, FaultProxy, When};
use vecferry_testkit::stand_in::generate::{Generated, plain};
use vecferry_testkit::stand_in::{Key, Options, Version};

use super::{assert_arrived, assert_successful, carry_out};

/// Any call is given up after less.
const ENDS: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_is_not_answered_holds_nobody_up() {
    let (source, target) =
        (StandIn::start(Options::new(Version::V2_3)), StandIn::start(Options::new(Version::V2_3)));
    for (name, loaded) in [("books", true), ("films", false)] {
        let rows = plain(name, false, &[("_default", (0..40).map(Key::Long).collect())]);
        source.add(&Generated { loaded, ..rows });
    }
    let (to_source, to_target) = (FaultProxy::start(&source.uri()), FaultProxy::start(&target.uri()));
    let held = [&to_source, &to_target].map(|to| to.arm("ReleaseCollection", When::Always, Fault::HalfOpen));
    let at = |proxy: &FaultProxy| Endpoint::parse(&proxy.uri()).unwrap();
    let migration = Migration::prepare(MigrateRequest::new(at(&to_source), at(&to_target))).await.unwrap();
    let state = tempfile::tempdir().unwrap();
    let report = tokio::time::timeout(ENDS, carry_out(migration, state.path())).await;
    assert!(held.iter().all(|held| held.wait_until_fired(Duration::ZERO)), "both were released");
    let report = report.unwrap();
    assert_successful(&report, "no release was answered");
    for (name, loaded) in [("books", true), ("films", false)] {
        assert_arrived(&source, &target, name, name);
        assert_eq!(source.is_loaded("default", name), loaded, "{name} is left as it was found");
    }
}
