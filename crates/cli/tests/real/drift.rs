//! Sources that change while they are copied.

use serde_json::{Value, json};
use vecferry_testkit::{Oracle, Run};

use crate::faults::{make, slow, start_with, start_with_in};
use crate::resume::{interrupted_with, only_job, resumed};

fn warned(report: &Value, code: &str) -> bool {
    report["warnings"].as_array().unwrap().iter().any(|warning| warning["code"] == code)
}

/// Migrates some 20 MB at one a second, and changes the source when the first rows have landed.
fn changed_meanwhile(name: &str, more: &[&str], change: &str) -> Run {
    make(&mut Oracle::new(slow()), name, 20);
    changed_while_copied(name, more, change)
}

fn changed_while_copied(name: &str, more: &[&str], change: &str) -> Run {
    let mut oracle = Oracle::new(slow());
    let started = start_with(name, "limited", more);
    oracle.run(&change.replace("NAME", name));
    started.ended()
}

#[test]
fn rows_that_come_meanwhile_fail_the_job() {
    let run = changed_meanwhile(
        "growing",
        &[],
        r#"origin.client.insert("NAME", [dict(row, text="x") for row in books(50, 500000)], partition_name="p")"#,
    );
    run.failed(5, "VF-0405", "the source changed during the copy: 20000 rows at the start, 20050 at the end");
    let drift = &run.report()["collections"][0]["drift"];
    assert_eq!((&drift["rows_before"], &drift["rows_after"]), (&json!(20_000), &json!(20_050)));
    assert_eq!((&drift["drifted"], &drift["checks"]), (&json!(true), &json!(["count", "writes"])));
}

#[test]
fn a_source_that_may_change_is_only_warned_of() {
    let run = changed_meanwhile(
        "may_grow",
        &["--allow-drift"],
        r#"origin.client.delete("NAME", filter="id in [19990, 19991, 19992]", partition_name="p")"#,
    );
    let report = run.succeeded();
    assert!(warned(report, "VF-0405"), "{report}");
    assert_eq!(report["collections"][0]["drift"]["rows_after"], 19_997);
}

/// The updates of 3 rows that were read long ago, or never will be again.
const THREE_UPDATES: &str = r#"
    origin.client.upsert("NAME", [dict(row, text="y") for row in books(3, 1000)], partition_name="p")
    assert origin.count("NAME", partition="p") == 10000
"#;

#[track_caller]
fn assert_seen(run: &Run) {
    run.failed(
        5,
        "VF-0405",
        "20000 rows at the start, 20000 at the end (checked: row counts, persisted segments (3 new rows))",
    );
    let collection = &run.report()["collections"][0];
    assert_eq!(collection["drift"]["writes"], json!({"seen": "written", "rows": 3}), "{collection}");
    assert_eq!(collection["drift"]["checks"], json!(["count", "writes"]), "{collection}");
    assert_eq!(collection["verification"]["passed"], false, "{collection}");
}

#[test]
fn updates_that_leave_the_count_alone_are_seen_in_the_segments() {
    assert_seen(&changed_meanwhile("updated", &[], THREE_UPDATES));
}

#[test]
fn updates_between_two_attempts_are_seen_in_the_segments() {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, "updated_between", 20);
    let state = interrupted_with("updated_between", "-KILL", &[]);
    // Whoever wrote has flushed as well: the first look of the job counts, and none that comes later.
    oracle.run(&THREE_UPDATES.replace("NAME", "updated_between"));
    oracle.run(r#"origin.client.flush("updated_between")"#);
    assert_seen(&resumed(&state, &only_job(&state)));
}

#[test]
fn a_source_that_nobody_writes_to_is_seen_to_be_quiet() {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, "quiet", 20);
    // Rows that are not stored yet when the job begins, alone in their partition: nothing is merged with them.
    oracle.run(
        r#"
        origin.client.create_partition("quiet", "q")
        origin.client.insert("quiet", books(3, 20000), partition_name="q")
        "#,
    );
    let run = changed_while_copied("quiet", &[], r#"origin.index("NAME", "text", index_type="Trie")"#);
    let report = run.succeeded();
    let drift = &report["collections"][0]["drift"];
    assert_eq!((&drift["drifted"], &drift["writes"]), (&json!(false), &json!({"seen": "none"})), "{report}");
    assert_eq!(drift["checks"], json!(["count", "writes"]), "{report}");
    assert!(!warned(report, "VF-0433") && !warned(report, "VF-0434"), "{report}");
}

#[test]
fn compaction_alone_is_no_write_and_what_it_may_hide_is_told() {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, "compacted", 20);
    oracle.run(
        r#"
        origin.client.delete("compacted", filter="id in [1, 2, 3]")
        origin.client.insert("compacted", books(3, 1))
        "#,
    );
    // Slow enough for a compaction, which takes a 2.3.5 many seconds.
    let started = start_with("compacted", "limited", &["--max-rate", "100rows/s"]);
    oracle.run(
        r#"
        def stored():
            try:
                return {info.segmentID for info in origin.call(
                    "GetPersistentSegmentInfo", "default", dbName="default", collectionName="compacted").infos}
            except RuntimeError as error:
                # One of them is being replaced.
                assert "segment not found" in str(error), error
                return set()
        before = stored()
        origin.client.compact("compacted")
        until(lambda: stored() - before, seconds=150)
        "#,
    );
    let id = only_job(&started.command)["job_id"].as_str().unwrap().to_owned();
    assert_eq!(started.command.of_same_state(slow(), "rate", &[&id, "none"]).code, 0);
    let run = started.ended();
    let report = run.succeeded();
    let drift = &report["collections"][0]["drift"];
    let unknown = json!({"seen": "unknown", "reason": "rewritten"});
    assert_eq!((&drift["drifted"], &drift["writes"]), (&json!(false), &unknown), "{report}");
    assert!(warned(report, "VF-0434"), "{report}");
}

#[test]
fn a_user_who_may_not_flush_is_told_that_updates_are_not_seen() {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, "not_flushed", 20);
    oracle.run(
        r#"
        client = origin.client
        client.create_user("no_flush", "Secret-123")
        client.create_role("no_flush")
        of_all = ["ShowCollections", "DescribeCollection", "ListDatabases", "DescribeAlias", "ListAliases"]
        of_collections = ["Query", "GetLoadState", "GetLoadingProgress", "GetStatistics", "IndexDetail", "Load",
                          "Release", "ShowPartitions", "HasPartition", "GetFlushState"]
        for privilege in of_all:
            client.grant_privilege("no_flush", "Global", privilege, "*")
        for privilege in of_collections:
            client.grant_privilege("no_flush", "Collection", privilege, "*")
        client.grant_role("no_flush", "no_flush")
        # A server learns of new grants by and by.
        user = Server(origin.uri, "no_flush:Secret-123", None, None, None)
        def may(call):
            try:
                user.call(call, collection_name="not_flushed")
                return True
            except grpc.RpcError:
                return False
        for call in ["DescribeCollection", "GetLoadState", "GetCollectionStatistics", "DescribeIndex", "ShowPartitions",
                     "ListAliases", "GetFlushState"]:
            until(lambda: may(call))
        "#,
    );
    // Where every row is stored, there is nothing to flush.
    oracle.run(&THREE_UPDATES.replace("NAME", "not_flushed"));
    let variables = [("VECFERRY_SOURCE_TOKEN", "no_flush:Secret-123")];
    let started = start_with_in("not_flushed", "limited", &["--verify", "count"], &variables);
    oracle.run(&THREE_UPDATES.replace("NAME", "not_flushed"));
    let (run, state) = started.ended_with_state();
    let report = run.succeeded();
    let drift = &report["collections"][0]["drift"];
    let unknown = json!({"seen": "unknown", "reason": "flush_not_allowed"});
    assert_eq!((&drift["drifted"], &drift["writes"]), (&json!(false), &unknown), "{report}");
    let told = "updates of existing rows can't be detected on this source (1 collection(s)): `Flush`";
    assert!(warned(report, "VF-0433"), "{report}");
    assert!(run.stderr.contains(told), "{}", run.stderr);
    let status = state.of_same_state(slow(), "status", &[report["job_id"].as_str().unwrap()]);
    assert_eq!(status.lines[0]["warnings"][0]["code"], "VF-0433", "{}", status.stdout);
}

#[test]
fn rows_that_end_by_themselves_are_no_change_by_anybody() {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, "ending", 20);
    oracle.run(
        r#"
        origin.call("AlterCollection", collection_name="ending",
            properties=[dict(key="collection.ttl.seconds", value="86400")])
        "#,
    );
    let started = start_with("ending", "limited", &[]);
    // A 2.3.5 ends rows when it compacts, which is hours later. What a reader sees of it is this.
    oracle.run(r#"origin.client.delete("ending", filter="id in [19990, 19991, 19992]", partition_name="p")"#);
    let run = started.ended();
    let report = run.succeeded();
    let drift = &report["collections"][0]["drift"];
    assert_eq!((&drift["drifted"], &drift["rows_expired"]), (&json!(false), &json!(3)), "{report}");
    assert!(warned(report, "VF-0424"), "{report}");
}
