//! The source ends in the load state it had, partition by partition, however the job ends.

use serde_json::json;
use vecferry_testkit::{Run, Vecferry};

use crate::{oracle, servers};

#[test]
fn a_source_that_is_not_loaded_is_loaded_for_the_copy_and_released_again() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        for name in ["sleeper", "sleeper_two"]:
            simple(source, name, 200, partitions=["p"], load=False)
        "#,
    );
    let arguments = ["--collection", "sleeper", "--collection", "sleeper_two"];
    let run = Vecferry::migrate(servers(), "source", "target", &arguments);
    run.succeeded();
    let plan = run.lines.iter().find(|line| line["event"] == "plan").unwrap();
    assert_eq!(plan["collections"][0]["needs_load"], true);
    oracle.run(
        r#"
        for name in ["sleeper", "sleeper_two"]:
            assert set(source.loaded(name).values()) == {"LoadStateNotLoad"}, source.loaded(name)
            assert set(target.loaded(name).values()) == {"LoadStateNotLoad"}, target.loaded(name)
            source.load(name)
            target.load(name)
            assert same(source, target, name) == 200
        "#,
    );
}

#[test]
fn a_source_with_one_of_three_partitions_loaded_arrives_complete() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        simple(source, "partly", 300, partitions=["one", "two"], load=False)
        source.client.load_partitions("partly", ["one"])
        assert source.loaded("partly") == {"_default": "LoadStateNotLoad", "one": "LoadStateLoaded", "two": "LoadStateNotLoad"}
        "#,
    );
    let run = Vecferry::migrate(servers(), "source", "target", &["--collection", "partly"]);
    let verification = &run.succeeded()["collections"][0]["verification"];
    assert_eq!((&verification["source_rows"], &verification["target_rows"]), (&json!(300), &json!(300)));
    oracle.run(
        r#"
        assert source.loaded("partly") == {"_default": "LoadStateNotLoad", "one": "LoadStateLoaded", "two": "LoadStateNotLoad"}, source.loaded("partly")
        assert source.count("partly", "one") == 100
        target.load("partly")
        source.load("partly")
        assert same(source, target, "partly") == 300
        "#,
    );
}

#[test]
fn rows_that_were_never_stored_arrive_too() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        simple(source, "growing", 100, load=False)
        source.client.insert("growing", books(50, 1000))
        simple(source, "only_growing", 0, load=False)
        source.client.insert("only_growing", books(70))
        "#,
    );
    let arguments = ["--collection", "growing", "--collection", "only_growing"];
    Vecferry::migrate(servers(), "source", "target", &arguments).succeeded();
    oracle.run(
        r#"
        for name, rows in [("growing", 150), ("only_growing", 70)]:
            assert set(source.loaded(name).values()) == {"LoadStateNotLoad"}, source.loaded(name)
            source.load(name)
            target.load(name)
            assert same(source, target, name) == rows
        "#,
    );
}

#[test]
fn a_failed_job_leaves_the_source_as_it_was() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        simple(source, "unlucky", 100, partitions=["one", "two"], load=False)
        source.client.load_partitions("unlucky", ["two"])
        # Counted, but returned by no query: the job must fail after the copy.
        source.client.insert("unlucky", books(1, 2**63 - 1), partition_name="one")
        "#,
    );
    let run = Vecferry::migrate(servers(), "source", "target", &["--collection", "unlucky"]);
    run.failed(5, "VF-0404", "`default.unlucky`");
    oracle.run(
        r#"
        assert source.loaded("unlucky") == {"_default": "LoadStateNotLoad", "one": "LoadStateNotLoad", "two": "LoadStateLoaded"}, source.loaded("unlucky")
        assert set(target.loaded("unlucky").values()) == {"LoadStateNotLoad"}
        "#,
    );
}

#[test]
fn what_was_loaded_on_the_source_is_recorded_and_loaded_on_the_target_when_that_is_asked_for() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        source.client.create_database("memory")
        simple(source, "whole", 200, db="memory", partitions=["p"])
        simple(source, "part", 300, db="memory", partitions=["one", "two"], load=False)
        source.in_db("memory").load_partitions("part", ["one", "two"])
        simple(source, "nothing", 100, db="memory", load=False)
        "#,
    );
    let (child, state) =
        Vecferry::between(servers(), "migrate", "source", "target", &["--collection", "memory.*"]).spawn();
    let run = Run::new(child.wait_with_output().unwrap());
    let report = run.succeeded();
    let former = |at: usize| &report["collections"][at]["source_load"];
    assert_eq!(report["collections"][0]["collection"], "nothing");
    assert_eq!(*former(0), json!({"extent": "nothing", "replicas": null}));
    assert_eq!(*former(1), json!({"extent": "part", "partitions": ["one", "two"], "replicas": 1}));
    assert_eq!(*former(2), json!({"extent": "whole", "replicas": 1}));
    let plan = run.lines.iter().find(|line| line["event"] == "plan").unwrap();
    assert_eq!(plan["collections"][1]["source_load"], *former(1));

    let job = report["job_id"].as_str().unwrap();
    // The one server has one node for a collection.
    let too_many = state.of_same_state(servers(), "load", &["--job", job, "--replicas", "2"]);
    too_many.failed(4, "VF-0602", "`memory.part` could not be loaded on the target");
    let load = state.of_same_state(servers(), "load", &["--job", job]);
    assert_eq!(load.code, 0, "{}", load.stderr);
    assert_eq!(load.lines.last().unwrap()["collections"], json!(["memory.part", "memory.whole"]));
    oracle.run(
        r#"
        for name in ["whole", "part", "nothing"]:
            assert source.loaded(name, "memory") == target.loaded(name, "memory"), (name, target.loaded(name, "memory"))
        assert target.count("whole", db="memory") == 200 and target.count("part", "two", db="memory") == 100
        "#,
    );
    let unknown = state.of_same_state(servers(), "load", &["--job", "0000"]);
    unknown.failed(2, "VF-0007", "0000");
}
