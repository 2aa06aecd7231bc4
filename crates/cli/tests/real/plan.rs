//! Plans: written down, reviewed, and carried out as they are or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use vecferry_testkit::{Run, Vecferry};

use crate::{oracle, servers};

/// Plans the migration of one collection into a file.
fn planned(directory: &Path, name: &str, more: &[&str]) -> (Run, PathBuf) {
    let file = directory.join(format!("{name}.json"));
    let mut arguments = vec!["--collection", name, "--output", file.to_str().unwrap()];
    arguments.extend(more);
    let run = Vecferry::between(servers(), "plan", "source", "target", &arguments).run();
    (run, file)
}

fn carried_out(file: &Path, more: &[&str]) -> Run {
    let mut arguments = vec!["--plan", file.to_str().unwrap()];
    arguments.extend(more);
    Vecferry::new(servers(), "migrate", &arguments).run()
}

#[test]
fn a_reviewed_plan_is_carried_out_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let mut oracle = oracle();
    oracle.run(
        r#"
        simple(source, "reviewed", 500, partitions=["p"])
        source.client.create_alias("reviewed", "reviewed_alias")
        "#,
    );
    let (run, file) = planned(directory.path(), "reviewed", &["--verify", "full"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    oracle.run(r#"assert "reviewed" not in target.names(), "a plan wrote to the target""#);
    let plan: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let summary = &plan["summary"][0];
    assert_eq!((&summary["source"], &summary["rows"]), (&Value::from("default.reviewed"), &Value::from(500)));
    assert_eq!(summary["aliases"][0], "reviewed_alias");
    assert!(summary["fields"].to_string().contains("Int64, primary key"), "{summary}");
    assert_eq!(run.lines.last().unwrap()["content_hash"], plan["content_hash"]);
    assert!(!plan.to_string().contains("Milvus\""), "no password is in a plan: {plan}");

    let report = carried_out(&file, &[]);
    let report = report.succeeded();
    assert_eq!((&report["verify"], &report["collections"][0]["rows"]), (&"full".into(), &500.into()));
    // The target holds it by now.
    carried_out(&file, &[]).failed(3, "VF-0203", "default.reviewed");
}

#[test]
fn a_plan_that_was_cut_edited_or_is_newer_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    oracle().run(r#"simple(source, "tampered", 10)"#);
    let (run, file) = planned(directory.path(), "tampered", &[]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let text = fs::read_to_string(&file).unwrap();
    for (changed, code, says) in [
        (text[..text.len() - 40].to_owned(), "VF-0040", "is not a complete plan"),
        (
            text.replace("\"wait_index\": false", "\"wait_index\": true"),
            "VF-0041",
            "was changed after it was written",
        ),
        (text.replace("\"vecferry_plan\": 1", "\"vecferry_plan\": 99"), "VF-0042", "format 99"),
    ] {
        assert_ne!(changed, text);
        fs::write(&file, changed).unwrap();
        carried_out(&file, &[]).failed(2, code, says);
    }
    fs::write(&file, &text).unwrap();
    let elsewhere = ["--target", "http://127.0.0.1:9"];
    carried_out(&file, &elsewhere).failed(2, "VF-0001", "--target says http://127.0.0.1:9, the plan says");
    carried_out(Path::new("no/such/plan.json"), &[]).failed(2, "VF-0005", "no/such/plan.json");
    oracle().run(r#"assert "tampered" not in target.names()"#);
}

#[test]
fn what_changed_since_the_plan_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let mut oracle = oracle();
    oracle.run(r#"simple(source, "moved_on", 200)"#);
    let (_, file) = planned(directory.path(), "moved_on", &[]);
    oracle.run(
        r#"
        source.client.insert("moved_on", books(5, 1000))
        assert source.count("moved_on") == 205
        "#,
    );
    let run = carried_out(&file, &[]);
    run.failed(
        3,
        "VF-0250",
        "`default.moved_on` is not any more what the plan was made for: 200 rows then, 205 now",
    );
    oracle.run(
        r#"
        source.client.create_partition("moved_on", "later")
        source.client.create_alias("moved_on", "moved_on_alias")
        "#,
    );
    let run = carried_out(&file, &["--row-tolerance", "5"]);
    run.failed(
        3,
        "VF-0250",
        "partitions were added or removed: later; aliases were added or removed: moved_on_alias",
    );
    oracle.run(
        r#"
        source.client.drop_alias("moved_on_alias")
        source.client.release_partitions("moved_on", ["later"])
        source.client.drop_partition("moved_on", "later")
        "#,
    );
    let run = carried_out(&file, &["--row-tolerance", "5"]);
    assert_eq!(run.succeeded()["collections"][0]["rows"], 205);
}
