//! Rows that the target refuses: found one by one, named, and never a success.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use vecferry_testkit::{Run, Vecferry};

use crate::resume::only_job;
use crate::{oracle, servers};

/// 3,000 rows in two partitions on lite, of which five hold a vector that Milvus does not take.
fn make(name: &str) {
    oracle().run(&format!(
        r#"
        lite.make("{name}", [KEY, TEXT, VECTOR], partitions=["p"], index={{"vector": FLAT}})
        bad = {{0, 17, 1499, 1500, 2999}}
        rows = [dict(row, vector=[float("nan")] * 8) if row["id"] in bad else row for row in books(3000, 0)]
        lite.client.insert("{name}", rows[:1500])
        lite.client.insert("{name}", rows[1500:], partition_name="p")
        lite.client.create_alias("{name}", "{name}_alias")
        lite.load("{name}")
        assert lite.count("{name}") == 3000
        "#
    ));
}

fn migrate(name: &str, more: &[&str]) -> (Run, Vecferry) {
    let mut arguments = vec!["--collection", name];
    arguments.extend(more);
    Vecferry::between(servers(), "migrate", "lite", "target", &arguments).run_within("env", &[])
}

/// What is expected of a job of which five rows were refused.
fn assert_quarantined(name: &str, run: &Run, state: &Vecferry) -> String {
    run.failed(5, "VF-0415", &format!("the target rejects 5 row(s) of `default.{name}`"));
    let report = run.report();
    assert_eq!((&report["state"], &report["collections"][0]["quarantined"]), (&json!("FAILED"), &json!(5)));
    assert_eq!(report["collections"][0]["rows"], 2995);
    assert_eq!(report["collections"][0]["verification"]["target_rows"], 2995, "{report}");
    assert_eq!(report["collections"][0]["verification"]["passed"], true, "all others were proved: {report}");
    let codes: Vec<_> =
        report["problems"].as_array().unwrap().iter().map(|problem| problem["code"].clone()).collect();
    assert_eq!(codes, ["VF-0415"], "nothing else is wrong");
    let file =
        state.state_dir().join("quarantine").join(format!("{}.jsonl", report["job_id"].as_str().unwrap()));
    assert_eq!(report["quarantine_file"], file.to_str().unwrap());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut rows: Vec<_> = lines
        .iter()
        .map(|line| (line["key"].as_i64().unwrap(), line["partition"].as_str().unwrap()))
        .collect();
    rows.sort_unstable();
    assert_eq!(rows, [(0, "_default"), (17, "_default"), (1499, "_default"), (1500, "p"), (2999, "p")]);
    assert!(
        lines.iter().all(|line| line["reason"].as_str().unwrap().to_lowercase().contains("nan")),
        "{text}"
    );
    report["job_id"].as_str().unwrap().to_owned()
}

#[test]
fn refused_rows_are_named_and_all_others_arrive() {
    make("some_bad");
    let (run, state) = migrate("some_bad", &[]);
    let job = assert_quarantined("some_bad", &run, &state);
    oracle().run(
        r#"
        target.load("some_bad")
        assert target.count("some_bad") == 2995
        assert target.client.describe_collection("some_bad")["aliases"] == [], "unfinished"
        # Mended at the source.
        lite.client.upsert("some_bad", [row for row in books(3000, 0) if row["id"] in {0, 17, 1499}])
        lite.client.upsert("some_bad", [row for row in books(3000, 0) if row["id"] in {1500, 2999}], partition_name="p")
        assert lite.count("some_bad") == 3000
        "#,
    );
    assert_eq!(only_job(&state)["state"], "FAILED");
    let resumed = state.of_same_state(servers(), "resume", &[&job]);
    let report = resumed.succeeded();
    assert_eq!(
        (&report["collections"][0]["rows"], &report["collections"][0]["quarantined"]),
        (&json!(3000), &json!(0))
    );
    assert_eq!(report["quarantine_file"], Value::Null);
    assert!(!state.state_dir().join("quarantine").join(format!("{job}.jsonl")).exists());
    oracle().run(
        r#"
        target.load("some_bad")
        assert same(lite, target, "some_bad") == 3000
        assert target.client.describe_collection("some_bad")["aliases"] == ["some_bad_alias"]
        "#,
    );
}

#[test]
fn a_collection_is_finished_without_them_where_that_is_wanted_and_still_no_success() {
    make("set_aside");
    let (run, state) = migrate("set_aside", &["--on-bad-row", "quarantine", "--verify", "full"]);
    let job = assert_quarantined("set_aside", &run, &state);
    assert_eq!(run.report()["collections"][0]["verification"]["rows_compared"], 2995);
    oracle().run(
        r#"
        assert target.client.describe_collection("set_aside")["aliases"] == ["set_aside_alias"]
        target.load("set_aside")
        assert target.count("set_aside") == 2995
        # One more is lost behind the job's back: that is no row of the quarantine.
        target.client.delete("set_aside", ids=[5])
        "#,
    );
    let resumed = state.of_same_state(servers(), "resume", &[&job]);
    resumed.failed(5, "VF-0415", "5 row(s)");
    resumed.failed(5, "VF-0401", "1 row(s)");
}

#[test]
fn a_target_that_takes_no_row_is_told_from_one_that_minds_some() {
    oracle().run(
        r#"
        lite.make("all_bad", [KEY, TEXT, VECTOR], index={"vector": FLAT})
        lite.client.insert("all_bad", [dict(row, vector=[float("inf")] * 8) for row in books(2000, 0)])
        lite.load("all_bad")
        "#,
    );
    let (run, _state) = migrate("all_bad", &["--verify", "none"]);
    run.failed(4, "VF-0303", "all_bad");
    assert_eq!(run.report()["collections"][0]["rows"], 0);
}
