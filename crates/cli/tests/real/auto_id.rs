//! Collections whose keys the server makes.

use std::process::Command;
use std::time::Duration;

use serde_json::json;
use vecferry_testkit::fault_proxy::{Cut, Fault, FaultProxy, When};
use vecferry_testkit::{Oracle, Run, Vecferry};

use crate::faults::{slow, start_with};
use crate::resume::{only_job, resumed};
use crate::{oracle, servers};

/// Rows of some bytes in two partitions, of which many are equal in all but their keys.
fn make(oracle: &mut Oracle, server: &str, name: &str, thousands: u32) {
    oracle.run(&format!(
        r#"
        {server}.make("{name}", [KEY, TEXT, VECTOR], auto_id=True, partitions=["p"], index={{"vector": FLAT}})
        for first in range(0, {thousands}000, 1000):
            rows = [dict(text=f"{{at % 700:04d}}" * 200, vector=[float(at % 50)] * 8) for at in range(first, first + 1000)]
            {server}.client.insert("{name}", rows, partition_name=["_default", "p"][first // 1000 % 2])
        {server}.client.flush("{name}")
        {server}.load("{name}")
        "#
    ));
}

/// Both sides hold the same rows, each as often, whatever their keys.
fn assert_same_rows(oracle: &mut Oracle, from: &str, to: &str, name: &str, rows: u32) {
    oracle.run(&format!(
        r#"
        from collections import Counter
        def rows(server, partition):
            found = Counter()
            iterator = server.client.query_iterator("{name}", batch_size=1000, filter="id >= 0",
                output_fields=["text", "vector"], partition_names=[partition])
            while page := iterator.next():
                found.update((row["text"], tuple(row["vector"])) for row in page)
            return found
        {to}.load("{name}")
        for partition in ["_default", "p"]:
            assert rows({from}, partition) == rows({to}, partition), partition
        assert {to}.count("{name}") == {rows}, {to}.count("{name}")
        assert described({from}, "{name}") == described({to}, "{name}")
        "#
    ));
}

#[test]
fn somebody_has_to_choose() {
    let mut oracle = oracle();
    make(&mut oracle, "source", "unchosen", 1);
    let run = Vecferry::migrate(servers(), "source", "target", &["--collection", "unchosen"]);
    run.failed(3, "VF-0210", "`default.unchosen` uses auto-generated IDs");
    assert!(
        run.stderr.contains("--auto-id keep") && run.stderr.contains("--auto-id regenerate"),
        "{}",
        run.stderr
    );
    let run =
        Vecferry::migrate(servers(), "source", "target", &["--collection", "unchosen", "--auto-id", "keep"]);
    run.failed(3, "VF-0207", "kept auto-id keys (`id`), supported since 2.6");
    oracle.run(r#"assert "unchosen" not in target.names()"#);
}

#[test]
fn the_target_makes_new_keys_and_every_row_arrives_as_often_as_it_was_there() {
    let mut oracle = oracle();
    make(&mut oracle, "source", "made_anew", 4);
    for (level, compared) in [("full", 4000), ("count", 0)] {
        let arguments = ["--collection", "made_anew", "--auto-id", "regenerate", "--verify", level];
        let run = Vecferry::migrate(servers(), "source", "target", &arguments);
        let collection = &run.succeeded()["collections"][0];
        assert_eq!((&collection["keys"], &collection["rows"]), (&json!("regenerated"), &json!(4000)));
        assert_eq!(collection["verification"]["rows_compared"], compared);
        assert_same_rows(&mut oracle, "source", "target", "made_anew", 4000);
        let verify = || Vecferry::verify(servers(), "source", "target", &["--collection", "made_anew"]);
        let verified = verify();
        let report = verified.succeeded();
        assert_eq!(report["warnings"][0]["code"], "VF-0425", "{report}");
        let verified = &report["collections"][0];
        assert_eq!(
            (&verified["keys"], &verified["verification"]["rows_compared"]),
            (&json!("regenerated"), &json!(4000))
        );
        oracle.run(
            r#"
            key = target.client.query("made_anew", "id > 0", output_fields=["id"], limit=1, partition_names=["p"])[0]["id"]
            target.client.delete("made_anew", ids=[key], partition_name="p")
            "#,
        );
        verify().failed(5, "VF-0416", "`p`: 2000 / 1999 rows");
        oracle.run(r#"target.client.drop_collection("made_anew")"#);
    }
}

#[test]
fn a_row_that_differs_is_found_without_its_key() {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, "origin", "altered", 2);
    // The target loses one row and gets another while the job is between copy and proof.
    let proxy = FaultProxy::start(&slow().uri("limited"));
    let held = proxy.arm("LoadCollection", When::Nth(1), Fault::Hold(None));
    let (source, target) = (slow().uri("origin"), proxy.uri());
    let arguments =
        ["--source", &source, "--target", &target, "--collection", "altered", "--auto-id", "regenerate"];
    let (child, _state) = Vecferry::new(slow(), "migrate", &arguments).spawn();
    assert!(held.wait_until_fired(Duration::from_secs(60)), "the proof begins");
    oracle.run(
        r#"
        limited.load("altered")
        key = limited.client.query("altered", "id > 0", output_fields=["id"], limit=1, partition_names=["p"])[0]["id"]
        limited.client.delete("altered", ids=[key], partition_name="p")
        limited.client.insert("altered", [dict(text="another", vector=[1.0] * 8)], partition_name="p")
        "#,
    );
    held.release(Duration::from_secs(60)).unwrap();
    let run = Run::new(child.wait_with_output().unwrap());
    run.failed(5, "VF-0416", "`p`: 1000 / 1000 rows");
}

#[test]
fn a_killed_copy_begins_anew_and_leaves_no_row_twice() {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, "origin", "killed_keys", 12);
    let mut started = start_with("killed_keys", "limited", &["--auto-id", "regenerate"]);
    let killed = Command::new("kill").args(["-KILL", &started.child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    started.child.wait().unwrap();
    let job = only_job(&started.command);
    assert!(job["rows_done"].as_u64().unwrap() < 12_000, "{job}");
    let run = resumed(&started.command, &job);
    assert_eq!(run.succeeded()["collections"][0]["rows"], 12_000);
    assert_same_rows(&mut oracle, "origin", "limited", "killed_keys", 12_000);
}

#[test]
fn a_lost_answer_begins_the_collection_anew() {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, "origin", "unanswered_keys", 6);
    let proxy = FaultProxy::start(&slow().uri("limited"));
    let lost = proxy.arm("Insert", When::Nth(2), Fault::CutAfterApply(Cut::Connection));
    let (source, target) = (slow().uri("origin"), proxy.uri());
    let arguments = |name| {
        [
            "--source",
            source.as_str(),
            "--target",
            target.as_str(),
            "--collection",
            name,
            "--auto-id",
            "regenerate",
        ]
    };
    let run = Vecferry::new(slow(), "migrate", &arguments("unanswered_keys")).run();
    assert_eq!(run.succeeded()["collections"][0]["rows"], 6000);
    assert_eq!(lost.fired(), 1);
    assert_same_rows(&mut oracle, "origin", "limited", "unanswered_keys", 6000);

    // A way to the target that never gets better is said, and the job can go on later.
    make(&mut oracle, "origin", "never_answered", 3);
    let always = proxy.arm("Insert", When::Always, Fault::CutAfterApply(Cut::Connection));
    let (run, state) = Vecferry::new(slow(), "migrate", &arguments("never_answered")).run_within("env", &[]);
    run.failed(4, "VF-0311", "was copied 3 times");
    always.disarm();
    let run = resumed(&state, &only_job(&state));
    assert_eq!(run.succeeded()["collections"][0]["rows"], 3000);
    assert_same_rows(&mut oracle, "origin", "limited", "never_answered", 3000);
}
