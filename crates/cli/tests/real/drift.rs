//! Sources that change while they are copied.

use serde_json::json;
use vecferry_testkit::{Oracle, Run};

use crate::faults::{make, slow, start_with};

/// Migrates some 20 MB at one a second, and changes the source when the first rows have landed.
fn changed_meanwhile(name: &str, more: &[&str], change: &str) -> Run {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, name, 20);
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
    run.failed(5, "VF-0405", "the source changed during the copy: 20000 rows at its start, 20050 at its end");
    let drift = &run.report()["collections"][0]["drift"];
    assert_eq!((&drift["rows_before"], &drift["rows_after"]), (&json!(20_000), &json!(20_050)));
    assert_eq!((&drift["drifted"], &drift["checks"]), (&json!(true), &json!(["count", "segments"])));
}

#[test]
fn a_source_that_may_change_is_only_warned_of() {
    let run = changed_meanwhile(
        "may_grow",
        &["--allow-drift"],
        r#"origin.client.delete("NAME", filter="id in [19990, 19991, 19992]", partition_name="p")"#,
    );
    let report = run.succeeded();
    assert_eq!(report["warnings"][0]["code"], "VF-0405", "{report}");
    assert_eq!(report["collections"][0]["drift"]["rows_after"], 19_997);
}

#[test]
fn updates_that_leave_the_count_alone_are_seen_in_the_segments() {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, "updated", 20);
    let started = start_with("updated", "limited", &["--max-rate", "100rows/s"]);
    // A 2.3.5 tells of segments that are sealed, and of these when they are loaded, as each one is in time.
    oracle.run(
        r#"
        loaded = lambda: sum(info.num_rows for info in origin.call(
            "GetQuerySegmentInfo", "default", dbName="default", collectionName="updated").infos)
        before = loaded()
        origin.client.upsert("updated", [dict(row, text="y") for row in books(20, 1000)], partition_name="p")
        assert origin.count("updated", partition="p") == 10000
        origin.client.flush("updated")
        until(lambda: loaded() == before + 20)
        "#,
    );
    let jobs = started.command.of_same_state(slow(), "jobs", &[]);
    let id = jobs.lines[0][0]["job_id"].as_str().unwrap().to_owned();
    assert_eq!(started.command.of_same_state(slow(), "rate", &[&id, "none"]).code, 0);
    let run = started.ended();
    run.failed(5, "VF-0405", "20000 rows at its start, 20000 at its end (looked at: count, segments)");
    let drift = &run.report()["collections"][0]["drift"];
    let rows = |name: &str| drift[name].as_i64().unwrap();
    assert_eq!(rows("segment_rows_after"), rows("segment_rows_before") + 20, "{drift}");
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
    assert_eq!(report["warnings"][0]["code"], "VF-0424", "{report}");
}
