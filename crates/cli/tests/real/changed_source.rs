//! Sources whose partitions, aliases or rows change around a job, and targets that hold more than the source: none of it
//! may pass for a success.

use serde_json::json;
use vecferry_testkit::{Oracle, Vecferry};

use crate::faults::{make, slow, start_with};
use crate::resume::{interrupted_with, only_job, resumed};
use crate::{oracle, servers};

/// Puts 777 rows into a partition that no plan knows.
const NEW_PARTITION: &str = r#"
    origin.client.create_partition("NAME", "later")
    origin.client.insert("NAME", [dict(row, text="x") for row in books(777, 700000)], partition_name="later")
    "#;

#[test]
fn a_partition_made_between_two_attempts_is_not_left_out_silently() {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, "tenant_later", 20);
    let state = interrupted_with("tenant_later", "-KILL", &[]);
    let job = only_job(&state);
    oracle.run(&NEW_PARTITION.replace("NAME", "tenant_later"));
    resumed(&state, &job).failed(3, "VF-0217", "partitions added: `later`");
    oracle.run(
        r#"
        origin.client.release_partitions("tenant_later", ["later"])
        origin.client.drop_partition("tenant_later", "later")
        "#,
    );
    // As it was planned, it goes on.
    assert_eq!(resumed(&state, &job).succeeded()["collections"][0]["rows"], 20_000);
}

#[test]
fn a_partition_made_during_the_copy_fails_the_job_with_its_rows() {
    for (name, more) in [("tenant_refused", &[][..]), ("tenant_let_pass", &["--allow-drift"])] {
        let mut oracle = Oracle::new(slow());
        make(&mut oracle, name, 20);
        let started = start_with(name, "limited", more);
        oracle.run(&NEW_PARTITION.replace("NAME", name));
        let run = started.ended();
        // The source was loaded in part, and the new partition is not, so that its rows cannot be counted.
        let text = "partitions added: `later`";
        if more.is_empty() {
            run.failed(5, "VF-0417", text);
        } else {
            let report = run.succeeded();
            let warnings: Vec<_> = report["warnings"].as_array().unwrap().iter().collect();
            let named = |warning: &&&serde_json::Value| warning["code"] == "VF-0417";
            let warning = warnings.iter().find(named).unwrap_or_else(|| panic!("{report}"));
            assert!(warning["message"].as_str().unwrap().contains(text), "{warning}");
        }
        let evidence = &run.report()["collections"][0]["evidence"];
        assert_eq!(evidence["source_before"]["whole"], 20_000, "{evidence}");
        assert_eq!(evidence["target"]["whole"], 20_000, "{evidence}");
    }
}

#[test]
fn rows_in_partitions_that_the_source_lacks_are_found_at_every_level() {
    let mut oracle = oracle();
    oracle.run(r#"simple(source, "tenants_elsewhere", 1777, partitions=["p"])"#);
    Vecferry::migrate(servers(), "source", "target", &["--collection", "tenants_elsewhere"]).succeeded();
    let verify = |level| {
        Vecferry::verify(
            servers(),
            "source",
            "target",
            &["--collection", "tenants_elsewhere", "--level", level],
        )
    };
    for level in ["count", "sample", "full"] {
        verify(level).succeeded();
    }
    oracle.run(
        r#"
        target.client.create_partition("tenants_elsewhere", "theirs")
        target.client.insert("tenants_elsewhere", books(50, 90000), partition_name="theirs")
        "#,
    );
    for level in ["count", "sample", "full"] {
        let run = verify(level);
        run.failed(5, "VF-0402", "the target has 50 row(s) more than the source");
        let evidence = &run.report()["collections"][0]["evidence"];
        assert_eq!((&evidence["target"]["whole"], &evidence["verified"]), (&json!(1827), &json!(null)));
    }
}

#[test]
fn a_collection_that_was_planned_as_empty_must_be_empty_at_the_end() {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, "a_large_one", 20);
    oracle.run(r#"origin.make("born_later", [KEY, TEXT, VECTOR])"#);
    let arguments = ["--collection", "a_large_one", "--collection", "born_later"];
    let started =
        crate::faults::started(Vecferry::between(slow(), "migrate", "origin", "limited", &arguments));
    oracle.run(
        r#"
        origin.client.insert("born_later", books(30))
        "#,
    );
    let run = started.ended();
    assert_eq!(run.code, 5, "{}", run.stderr);
    let problems = run.report()["problems"].to_string();
    assert!(problems.contains("default.born_later") && problems.contains("30"), "{problems}");
}
