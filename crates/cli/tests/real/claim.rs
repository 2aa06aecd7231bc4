//! Whose a collection of the target is, on real servers: two jobs for one name, somebody else's equal collection, and
//! clean-ups after which nothing counts as done.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;
use vecferry_migrate::event::{Event, Observer};
use vecferry_migrate::{JobState, MigrateRequest, Migration, Report, Resumed, Selection, cancel};
use vecferry_milvus::{Client, CollectionName, Endpoint, NewCollection, Secret};
use vecferry_store::{JobId, sqlite};
use vecferry_testkit::Vecferry;
use vecferry_testkit::fault_proxy::{Answer, Fault, FaultProxy, When};

use crate::{oracle, servers};

const PATIENCE: Duration = Duration::from_secs(60);

struct Silent;

impl Observer for Silent {
    fn on_event(&self, _: Event) {}
}

fn endpoint_at(name: &str, uri: &str) -> Endpoint {
    let token = servers().server(name).token.clone();
    Endpoint::parse(uri).unwrap().with_token(token.map(Secret::new))
}

fn endpoint(name: &str) -> Endpoint {
    endpoint_at(name, &servers().uri(name))
}

async fn checked(source: &str, target: Endpoint, collections: &[&str]) -> Migration {
    let mut request = MigrateRequest::new(endpoint(source), target);
    request.selection = Selection::parse(collections, &[]).unwrap();
    Migration::prepare(request).await.unwrap()
}

async fn carry_out(migration: Migration, state: &Path) -> Report {
    let store = sqlite::open(state).unwrap();
    migration.run(&store, Arc::new(Silent), CancellationToken::new()).await.unwrap()
}

async fn resumed(state: &Path, job_id: &JobId, source: &str, target: &str) -> Report {
    let store = sqlite::open(state).unwrap();
    match Migration::resume(&*store, job_id, endpoint(source), endpoint(target)).await.unwrap() {
        Resumed::Ready(migration) => {
            migration.run(&store, Arc::new(Silent), CancellationToken::new()).await.unwrap()
        }
        Resumed::Successful(_) | Resumed::AtRest(_) => panic!("it is no success any more"),
    }
}

async fn cleaned(state: &Path, job_id: &JobId, source: &str, target: &str) -> Vec<String> {
    let store = sqlite::open(state).unwrap();
    let (source, target) = (Some(endpoint(source)), Some(endpoint(target)));
    let canceled = cancel(&*store, job_id, source, target, true).await.unwrap();
    canceled.removed.iter().map(ToString::to_string).collect()
}

/// Makes on the target, as somebody else, a collection that equals one of the source.
async fn made_by_somebody_else(source: &str, target: &str, name: &str) {
    let name = CollectionName::new("default", name);
    let described = Client::connect(endpoint(source), 1).await.unwrap().describe(&name).await.unwrap();
    let new = NewCollection {
        schema: described.schema.creation_bytes().unwrap(),
        shards: described.shards,
        consistency: described.consistency,
        properties: described.properties,
        num_partitions: 0,
        name,
    };
    Client::connect(endpoint(target), 1).await.unwrap().create_collection(&new).await.unwrap();
}

#[track_caller]
fn assert_code(report: &Report, code: &str, text: &str) {
    assert_eq!(report.state, JobState::Failed);
    let found = report.problems.iter().find(|problem| problem.code.to_string() == code);
    let problem = found.unwrap_or_else(|| panic!("{:#?}", report.problems));
    assert!(problem.to_string().contains(text), "{problem}");
}

#[track_caller]
fn assert_successful(report: &Report) {
    let problems: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
    assert_eq!(report.state, JobState::Successful, "{problems:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_jobs_that_were_checked_for_one_name_the_second_touches_nothing() {
    for (source, target, name) in
        [("source", "target", "claim_two"), ("lite", "lite_target", "claim_two_lite")]
    {
        oracle().run(&format!(r#"simple({source}, "{name}", 500)"#));
        let first = checked(source, endpoint(target), &[name]).await;
        let second = checked(source, endpoint(target), &[name]).await;
        // Neither knows of the other.
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_successful(&carry_out(first, one.path()).await);
        let report = carry_out(second, other.path()).await;
        assert_code(&report, "VF-0313", &format!("`default.{name}` appeared on the target"));
        assert_eq!(cleaned(other.path(), &report.job_id, source, target).await, [""; 0]);
        oracle().run(&format!(
            r#"
            assert [n for n in {target}.names() if n.startswith("vf_")] == [], {target}.names()
            {target}.load("{name}")
            assert {target}.count("{name}") == 500, {target}.count("{name}")
            assert same({source}, {target}, "{name}") == 500
            "#
        ));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_jobs_of_one_state_directory_the_second_is_refused_while_the_first_is_at_work() {
    oracle().run(r#"simple(source, "claim_one_dir", 500)"#);
    let first = checked("source", endpoint("target"), &["claim_one_dir"]).await;
    let second = checked("source", endpoint("target"), &["claim_one_dir"]).await;
    let state = tempfile::tempdir().unwrap();
    let store = sqlite::open(state.path()).unwrap();
    let run = |migration: Migration| migration.run(&store, Arc::new(Silent), CancellationToken::new());
    let (one, other) = tokio::join!(run(first), run(second));
    let (report, problems) = match (one, other) {
        (Ok(report), Err(problems)) | (Err(problems), Ok(report)) => (report, problems),
        both => panic!("{both:?}"),
    };
    assert_successful(&report);
    let [problem] = &problems[..] else { panic!("{problems:?}") };
    assert_eq!(problem.code.to_string(), "VF-0232");
    assert!(problem.to_string().contains(report.job_id.as_str()), "{problem}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_equal_empty_collection_of_somebody_else_is_neither_taken_nor_dropped() {
    let pairs = [
        ("source", "target", "claim_foreign"),
        ("lite", "lite_target", "claim_foreign_lite"),
        ("old_lite", "old_lite_target", "claim_foreign_old"),
    ];
    for (source, target, name) in pairs {
        oracle().run(&format!(r#"simple({source}, "{name}", 300)"#));
        let migration = checked(source, endpoint(target), &[name]).await;
        made_by_somebody_else(source, target, name).await;
        let state = tempfile::tempdir().unwrap();
        let report = carry_out(migration, state.path()).await;
        assert_code(&report, "VF-0313", &format!("`default.{name}` appeared on the target"));
        assert_eq!(cleaned(state.path(), &report.job_id, source, target).await, [""; 0]);
        oracle().run(&format!(r#"assert "{name}" in {target}.names(), {target}.names()"#));
        oracle().run(&format!(r#"{target}.client.drop_collection("{name}")"#));
        assert_successful(&resumed(state.path(), &report.job_id, source, target).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collection_that_somebody_makes_at_the_same_moment_is_neither_taken_nor_dropped() {
    for (source, target, name) in
        [("source", "target", "claim_race"), ("lite", "lite_target", "claim_race_lite")]
    {
        oracle().run(&format!(r#"simple({source}, "{name}", 300)"#));
        let proxy = FaultProxy::start(&servers().uri(target));
        let migration = checked(source, endpoint_at(target, &proxy.uri()), &[name]).await;
        let busy = vecferry_milvus::proto::common::Status { code: 2, error_code: 1, ..Default::default() };
        let later = proxy.arm("RenameCollection", When::Always, Fault::Answer(Answer::Status(busy)));
        let state = tempfile::tempdir().unwrap();
        let somebody = async {
            let waited = tokio::task::spawn_blocking(move || (later.wait_until_fired(PATIENCE), later));
            let (fired, later) = waited.await.unwrap();
            assert!(fired, "no rename");
            made_by_somebody_else(source, target, name).await;
            later.disarm();
        };
        let (report, ()) = tokio::join!(carry_out(migration, state.path()), somebody);
        assert_code(&report, "VF-0313", &format!("`default.{name}` appeared on the target"));
        oracle().run(&format!(
            r#"
            assert "{name}" in {target}.names(), {target}.names()
            assert [n for n in {target}.names() if n.startswith("vf_")] == [], {target}.names()
            "#
        ));
        assert_eq!(cleaned(state.path(), &report.job_id, source, target).await, [""; 0]);
        oracle().run(&format!(r#"assert "{name}" in {target}.names(), {target}.names()"#));
    }
}

#[test]
fn a_name_that_can_not_be_claimed_is_told_of_in_the_plan() {
    oracle().run(r#"simple(old_lite, "claim_told", 10)"#);
    let run =
        Vecferry::between(servers(), "plan", "old_lite", "old_lite_target", &["--collection", "claim_told"])
            .run();
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("VF-0430") || run.stderr.contains("VF-0430"), "{}{}", run.stdout, run.stderr);
}

#[test]
fn a_successful_job_that_is_cleaned_and_resumed_copies_everything_again() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        simple(source, "claim_cleaned", 400, partitions=["p"])
        source.client.create_alias("claim_cleaned", "claim_cleaned_alias")
        "#,
    );
    let command =
        Vecferry::between(servers(), "migrate", "source", "target", &["--collection", "claim_cleaned"]);
    let (mut child, state) = command.spawn();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let job = crate::resume::only_job(&state);
    let id = job["job_id"].as_str().unwrap();
    assert_eq!(job["state"], "SUCCESSFUL");
    let run = state.of_same_state(servers(), "cancel", &[id, "--clean"]);
    assert_eq!(
        (run.code, &run.lines[0]["removed"]),
        (0, &json!(["default.claim_cleaned"])),
        "{}",
        run.stderr
    );
    oracle.run(r#"assert "claim_cleaned" not in target.names(), target.names()"#);

    let job = crate::resume::only_job(&state);
    assert_eq!((&job["state"], &job["collections_done"]), (&json!("CANCELED"), &json!(0)));
    assert_eq!((&job["rows_done"], &job["rows_total"]), (&json!(0), &json!(400)));
    let status = state.of_same_state(servers(), "status", &[id]);
    let collection = &status.lines[0]["collections"][0];
    assert_eq!((&collection["done"], &collection["phase"]), (&json!(false), &json!(null)));
    let report = state.of_same_state(servers(), "report", &[id]);
    assert_eq!(report.lines[0]["state"], "CANCELED", "{}", report.stdout);
    assert_eq!(report.lines[0]["collections"][0]["verification"], json!(null));
    assert!(report.stdout.contains("VF-0233"), "{}", report.stdout);

    let run = state.of_same_state(servers(), "resume", &[id]);
    let report = run.succeeded();
    assert_eq!(report["collections"][0]["rows"], 400);
    assert_eq!(report["collections"][0]["verification"]["target_rows"], 400);
    oracle.run(
        r#"
        assert target.client.list_aliases("claim_cleaned")["aliases"] == ["claim_cleaned_alias"]
        target.load("claim_cleaned")
        assert same(source, target, "claim_cleaned") == 400
        "#,
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_finished_job_that_is_cleaned_and_resumed_copies_everything_again() {
    oracle().run(
        r#"
        simple(source, "claim_half_a", 200)
        simple(source, "claim_half_b", 300)
        "#,
    );
    let names = ["claim_half_a", "claim_half_b"];
    let migration = checked("source", endpoint("target"), &names).await;
    made_by_somebody_else("source", "target", "claim_half_b").await;
    let state = tempfile::tempdir().unwrap();
    let report = carry_out(migration, state.path()).await;
    assert_code(&report, "VF-0313", "`default.claim_half_b`");
    let store = sqlite::open(state.path()).unwrap();
    let done = store.collections(&report.job_id).await.unwrap();
    assert_eq!(done.iter().map(|record| record.done).collect::<Vec<_>>(), [true, false]);
    let job = report.job_id;
    assert_eq!(cleaned(state.path(), &job, "source", "target").await, ["default.claim_half_a"]);
    oracle().run(
        r#"
        assert "claim_half_a" not in target.names() and "claim_half_b" in target.names(), target.names()
        target.client.drop_collection("claim_half_b")
        "#,
    );
    let report = resumed(state.path(), &job, "source", "target").await;
    assert_successful(&report);
    assert_eq!(report.collections.iter().map(|one| one.rows).collect::<Vec<_>>(), [200, 300]);
    oracle().run(
        r#"
        for name, rows in [("claim_half_a", 200), ("claim_half_b", 300)]:
            target.load(name)
            assert same(source, target, name) == rows
        "#,
    );
}
