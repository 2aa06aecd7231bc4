//! Before the first row the target is asked whether it takes every definition of the plan; nothing of the asking stays.

use tokio_util::sync::CancellationToken;
use vecferry_migrate::{Code, Lang, MigrateRequest, Migration};
use vecferry_milvus::Endpoint;
use vecferry_milvus::proto::common;
use vecferry_testkit::StandIn;
use vecferry_testkit::fault_proxy::{Answer, Fault, FaultProxy, When};
use vecferry_testkit::stand_in::generate::plain;
use vecferry_testkit::stand_in::{Key, Options, Version};

use super::endpoint;

/// Two collections of one definition, and one of another.
fn source() -> StandIn {
    let source = StandIn::start(Options::new(Version::V2_6));
    let keys = || (0..5).map(Key::Long).collect();
    source.add(&plain("books", false, &[("_default", keys())]));
    source.add(&plain("films", false, &[("_default", keys())]));
    source.add(&plain("texts", true, &[("_default", vec![Key::Text("a".to_owned())])]));
    source
}

async fn migration(source: &StandIn, target: &FaultProxy) -> Migration {
    let target = Endpoint::parse(&target.uri()).unwrap();
    Migration::prepare(MigrateRequest::new(endpoint(source), target)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_definition_is_tried_once_and_nothing_stays() {
    let (source, target) = (source(), StandIn::start(Options::new(Version::V2_6)));
    let proxy = FaultProxy::start(&target.uri());
    let migration = migration(&source, &proxy).await;
    assert_eq!(migration.probe_names().len(), 2);
    migration.probe_write(&CancellationToken::new()).await.unwrap();
    assert_eq!(target.names("default"), (Vec::new(), Vec::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definition_that_the_target_refuses_is_named_before_anything_is_made() {
    let (source, target) = (source(), StandIn::start(Options::new(Version::V2_6)));
    let proxy = FaultProxy::start(&target.uri());
    let migration = migration(&source, &proxy).await;
    let reason = "maximum field's number should be limited to 1".to_owned();
    let status = common::Status { code: 65535, error_code: 1, reason, ..common::Status::default() };
    let refusal = proxy.arm("CreateCollection", When::Nth(2), Fault::Answer(Answer::Status(status)));
    let problem = migration.probe_write(&CancellationToken::new()).await.unwrap_err();
    assert_eq!(problem.code, Code::TargetCannotHold);
    let text = problem.what(Lang::En);
    assert!(text.contains("can't hold `default.") && text.contains("maximum field's number"), "{text}");
    assert_eq!(target.names("default"), (Vec::new(), Vec::new()), "the other one is gone as well");
    refusal.disarm();
    migration.probe_write(&CancellationToken::new()).await.unwrap();
}
