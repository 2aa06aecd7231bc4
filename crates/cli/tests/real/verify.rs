//! `vecferry verify`: equal is 0, every kind of difference has its code.

use vecferry_testkit::{Run, Vecferry};

use crate::{oracle, servers};

fn verify(name: &str, arguments: &[&str]) -> Run {
    let all = [&["--collection", name], arguments].concat();
    Vecferry::verify(servers(), "source", "target", &all)
}

/// Makes one collection of 300 rows in two partitions on both sides.
fn both(name: &str) -> vecferry_testkit::Oracle {
    let mut oracle = oracle();
    oracle.run(&format!(
        r#"
        for server in [source, target]:
            simple(server, "{name}", 300, partitions=["p"])
        "#
    ));
    oracle
}

#[test]
fn equal_collections_at_every_level_and_in_every_load_state() {
    let mut oracle = both("equal");
    for level in ["count", "sample"] {
        let run = verify("equal", &["--level", level]);
        let report = run.succeeded();
        assert_eq!(report["verified"], level);
        let verification = &report["collections"][0]["verification"];
        assert_eq!(verification["passed"], true);
        assert_eq!(verification["target_rows"], 300);
        assert_eq!(verification["rows_compared"], if level == "sample" { 300 } else { 0 });
    }
    oracle.run(
        r#"
        source.client.release_collection("equal")
        target.client.release_partitions("equal", ["p"])
        "#,
    );
    verify("equal", &[]).succeeded();
    oracle.run(
        r#"
        assert set(source.loaded("equal").values()) == {"LoadStateNotLoad"}
        assert target.loaded("equal") == {"_default": "LoadStateLoaded", "p": "LoadStateNotLoad"}, target.loaded("equal")
        "#,
    );
}

#[test]
fn a_missing_row() {
    let mut oracle = both("one_missing");
    oracle.run(r#"target.client.delete("one_missing", ids=[151])"#);
    for level in ["count", "sample"] {
        let run = verify("one_missing", &["--level", level]);
        run.failed(5, "VF-0401", "`default.one_missing`: 1 row(s) of the source are missing on the target");
        assert!(run.stderr.contains("`p`"), "the partition is not named: {}", run.stderr);
    }
}

#[test]
fn an_extra_row() {
    let mut oracle = both("one_extra");
    oracle.run(r#"target.client.insert("one_extra", books(1, 1000), partition_name="p")"#);
    for level in ["count", "sample"] {
        let run = verify("one_extra", &["--level", level]);
        run.failed(5, "VF-0402", "`default.one_extra`: the target has 1 row(s) more than the source");
    }
}

#[test]
fn a_changed_row() {
    let mut oracle = both("one_changed");
    oracle.run(
        r#"
        row = books(300)[77]
        row["vector"][7] = float(np.nextafter(np.float32(row["vector"][7]), np.float32(2)))
        target.client.upsert("one_changed", [row], partition_name="p")
        "#,
    );
    let run = verify("one_changed", &[]);
    run.failed(5, "VF-0403", "1 of 300 compared rows differ; first: key 77, field `vector`");
    // Counts can't see it, and say so by their level.
    assert_eq!(verify("one_changed", &["--level", "count"]).succeeded()["verified"], "count");
}

#[test]
fn a_row_in_the_wrong_partition() {
    let mut oracle = both("one_moved");
    oracle.run(
        r#"
        target.client.delete("one_moved", ids=[10])
        target.client.insert("one_moved", books(300)[10:11], partition_name="p")
        "#,
    );
    for level in ["count", "sample"] {
        let run = verify("one_moved", &["--level", level]);
        run.failed(5, "VF-0401", "1 row(s) of the source are missing");
        run.failed(5, "VF-0402", "1 row(s) more");
    }
}

#[test]
fn a_row_replaced_by_another() {
    let mut oracle = both("one_replaced");
    oracle.run(
        r#"
        target.client.delete("one_replaced", ids=[10])
        target.client.insert("one_replaced", books(1, 5000))
        "#,
    );
    let run = verify("one_replaced", &[]);
    assert_eq!(run.code, 5, "{}", run.stderr);
    assert!(run.stderr.contains("VF-0401"), "{}", run.stderr);
}

#[test]
fn another_schema_and_a_missing_collection() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        simple(source, "other_schema", 10)
        longer = ("text", DataType.VARCHAR, dict(max_length=2001))
        target.make("other_schema", [KEY, longer, VECTOR], index={"vector": FLAT})
        target.client.insert("other_schema", books(10))
        simple(source, "only_here", 10, load=False)
        "#,
    );
    let run = verify("other_schema", &[]);
    run.failed(5, "VF-0407", "source and target differ in their definition");
    assert!(run.stderr.contains("max_length") && run.stderr.contains("2001"), "{}", run.stderr);
    verify("only_here", &[]).failed(3, "VF-0202", "the target has no collection `default.only_here`");
}
