//! Before the first row the target is asked whether it takes every definition of the plan; nothing of the asking stays.

use tokio_util::sync::CancellationToken;
use vecferry_migrate::{Code, Lang, MigrateRequest, Migration};
use vecferry_milvus::Endpoint;
use vecferry_milvus::proto::common::Status;
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
    let mut migration = migration(&source, &proxy).await;
    assert_eq!(migration.probe_names().len(), 2);
    migration.probe_write(&CancellationToken::new()).await.unwrap();
    assert_eq!(target.names("default"), (Vec::new(), Vec::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definition_that_the_target_refuses_is_named_before_anything_is_made() {
    let (source, target) = (source(), StandIn::start(Options::new(Version::V2_6)));
    let proxy = FaultProxy::start(&target.uri());
    let mut migration = migration(&source, &proxy).await;
    let reason = "maximum field's number should be limited to 1".to_owned();
    let status = Status { code: 65535, error_code: 1, reason, ..Status::default() };
    let refusal = proxy.arm("CreateCollection", When::Nth(2), Fault::Answer(Answer::Status(status)));
    // Every collection of that definition is named.
    let problems = migration.probe_write(&CancellationToken::new()).await.unwrap_err();
    let is_of = |text: &str, name: &str| {
        text.contains(&format!("does not support `default.{name}`"))
            && text.contains("maximum field's number")
    };
    let texts: Vec<_> = problems.iter().map(|problem| problem.what(Lang::En)).collect();
    assert!(problems.iter().all(|problem| problem.code == Code::TargetCannotHold), "{texts:?}");
    match &texts[..] {
        [text] => assert!(is_of(text, "texts"), "{texts:?}"),
        [one, other] => assert!(is_of(one, "books") && is_of(other, "films"), "{texts:?}"),
        _ => panic!("{texts:?}"),
    }
    assert_eq!(target.names("default"), (Vec::new(), Vec::new()), "the other one is gone as well");
    refusal.disarm();
    migration.probe_write(&CancellationToken::new()).await.unwrap();
}

/// What the steps of a collection cost is measured on the target, and the job of that plan is expected to take as long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_steps_of_collections_are_measured_and_nothing_stays() {
    let (source, target) = (source(), StandIn::start(Options::new(Version::V2_6)));
    let proxy = FaultProxy::start(&target.uri());
    let mut migration = migration(&source, &proxy).await;
    assert!(!migration.is_worth_measuring(), "three collections take no longer than the measurement");
    let assumed = migration.plan().duration.clone().unwrap();
    assert!(!assumed.steps.is_measured);
    assert_eq!(migration.measured_names().len(), 3);
    assert!(migration.measure_steps(&CancellationToken::new()).await.unwrap());
    assert_eq!(target.names("default"), (Vec::new(), Vec::new()));
    let measured = migration.plan().duration.clone().unwrap();
    assert!(measured.steps.is_measured && measured.steps.each_seconds > 0.0);
    // A stand-in waits for no disk and builds no index.
    assert!(measured.seconds < assumed.seconds, "{measured:?} {assumed:?}");

    let file = migration.plan_file().unwrap();
    let to = Endpoint::parse(&proxy.uri()).unwrap();
    let planned = Migration::prepare_planned(file, endpoint(&source), to, 0.0, None).await.unwrap();
    assert_eq!(planned.plan().duration.as_ref().unwrap().steps, measured.steps);
}

/// An estimate is not worth a job that does not begin.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_can_not_be_measured_is_no_refusal_and_nothing_stays() {
    let (source, target) = (source(), StandIn::start(Options::new(Version::V2_6)));
    let proxy = FaultProxy::start(&target.uri());
    let mut migration = migration(&source, &proxy).await;
    let assumed = migration.plan().duration.clone();
    let denied = || Fault::Answer(Answer::Grpc { code: 7, message: "permission deny".to_owned() });
    for call in ["CreateCollection", "Insert", "Flush", "CreateIndex", "LoadCollection", "Query"] {
        let armed = proxy.arm(call, When::Always, denied());
        assert!(!migration.measure_steps(&CancellationToken::new()).await.unwrap(), "{call}");
        assert_eq!(migration.plan().duration, assumed, "{call}");
        assert_eq!(target.names("default"), (Vec::new(), Vec::new()), "{call}");
        armed.disarm();
    }
    let canceled = CancellationToken::new();
    canceled.cancel();
    assert!(!migration.measure_steps(&canceled).await.unwrap());
    assert_eq!(target.names("default"), (Vec::new(), Vec::new()));

    // What was not made needs no right to be removed.
    let armed = ["CreateCollection", "ReleaseCollection"].map(|call| proxy.arm(call, When::Always, denied()));
    assert!(!migration.measure_steps(&CancellationToken::new()).await.unwrap());
    armed.iter().for_each(|armed| armed.disarm());

    // What can't be removed is named.
    proxy.arm("DropCollection", When::Always, denied());
    let problem = migration.measure_steps(&CancellationToken::new()).await.unwrap_err();
    assert_eq!(problem.code, Code::ProbeLeft);
    assert!(problem.what(Lang::En).contains("vf_probe_"), "{problem}");
}
