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
    assert!(!plan.to_string().contains("root:"), "no password is in a plan: {plan}");

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
        "`default.moved_on` changed after the plan was made: 200 rows when planned, 205 now",
    );
    oracle.run(
        r#"
        source.client.create_partition("moved_on", "later")
        source.client.create_alias("moved_on", "moved_on_alias")
        "#,
    );
    let run = carried_out(&file, &["--row-tolerance", "5"]);
    run.failed(3, "VF-0250", "partitions added: `later`; aliases added: `moved_on_alias`");
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

/// The outcome of each check, by name.
fn outcomes(document: &Value) -> std::collections::BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    document["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| (text(&check["id"]), text(&check["outcome"])))
        .collect()
}

#[test]
fn a_clean_pair_passes_every_check_and_nothing_is_written() {
    let mut oracle = oracle();
    oracle.run(r#"simple(source, "clean_pair", 100)"#);
    let run = Vecferry::between(
        servers(),
        "plan",
        "source",
        "target",
        &["--collection", "clean_pair", "--probe-write"],
    );
    let run = run.run();
    assert_eq!(run.code, 0, "{}", run.stderr);
    let mut outcomes = outcomes(run.lines.last().unwrap());
    assert_eq!(outcomes.remove("role").as_deref(), Some("not_applicable"));
    // One collection that is named hides none.
    assert_eq!(outcomes.remove("visibility").as_deref(), Some("not_applicable"));
    // A 2.3 does not tell the newest row of a duplicate primary key.
    assert_eq!(outcomes.remove("row_counts").as_deref(), Some("warn"));
    assert!(outcomes.len() >= 15 && outcomes.values().all(|outcome| outcome == "pass"), "{outcomes:?}");
    oracle.run(
        r#"
        assert "clean_pair" not in target.names() and target.keeps_no_scratch()
        "#,
    );
    for (lang, shown) in [("en", "✓ source reachable"), ("zh", "✓ 源集群可访问")] {
        let (source, target) = (servers().uri("source"), servers().uri("target"));
        let output = std::process::Command::new(servers().program())
            .args([
                "plan",
                "--lang",
                lang,
                "--source",
                &source,
                "--target",
                &target,
                "--collection",
                "clean_pair",
            ])
            .env("VECFERRY_SOURCE_TOKEN", "root:Milvus")
            .env("VECFERRY_TARGET_TOKEN", "root:Milvus")
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && said.contains(shown), "{said}");
    }
}

#[test]
fn six_problems_at_once_are_all_reported_in_one_run() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        simple(lite, "six_taken", 10)
        simple(target, "six_taken", 1)
        simple(lite, "six-forbidden", 10)
        lite.make("six_auto", [KEY, VECTOR], auto_id=True)
        lite.make("six_analyzed", [KEY, ("t", DataType.VARCHAR, dict(max_length=20, enable_analyzer=True)), VECTOR])
        lite.make("six_geometry", [KEY, ("g", DataType.GEOMETRY, {}), VECTOR])
        simple(lite, "six_aliased", 10)
        lite.client.create_alias("six_aliased", "six_alias")
        simple(target, "six_alias", 1)
        "#,
    );
    let names = ["six_taken", "six-forbidden", "six_auto", "six_analyzed", "six_geometry", "six_aliased"];
    let arguments: Vec<_> = names.iter().flat_map(|name| ["--collection", name]).collect();
    let run = Vecferry::between(servers(), "plan", "lite", "target", &arguments).run();
    for (code, text) in [
        ("VF-0203", "`default.six_taken`"),
        ("VF-0208", "`six-forbidden`"),
        ("VF-0210", "`default.six_auto`"),
        ("VF-0207", "it needs analyzers (`t`)"),
        ("VF-0207", "`g`"),
        ("VF-0215", "`six_alias`"),
    ] {
        run.failed(3, code, text);
    }
    let outcomes = outcomes(run.lines.last().unwrap());
    for (id, outcome) in
        [("names", "fail"), ("schema", "fail"), ("source_reachable", "pass"), ("writers", "skipped")]
    {
        assert_eq!(outcomes[id], outcome, "{id}");
    }
}

#[test]
fn writes_that_still_arrive_are_seen() {
    let mut oracle = oracle();
    oracle.run(r#"simple(source, "busy_source", 100)"#);
    let writer = std::thread::spawn(|| {
        crate::oracle().run(
            r#"
            import time
            begin = time.time()
            while time.time() - begin < 12:
                source.client.upsert("busy_source", books(10, int((time.time() - begin) * 1000) * 10 + 1000))
            "#,
        );
    });
    let mut seen = false;
    while !seen && !writer.is_finished() {
        let run =
            Vecferry::between(servers(), "plan", "source", "target", &["--collection", "busy_source"]).run();
        assert_eq!(run.code, 0, "a warning refuses nothing: {}", run.stderr);
        seen = outcomes(run.lines.last().unwrap())["writers"] == "warn"
            && run.stderr.contains("warning[VF-0421]");
    }
    writer.join().unwrap();
    assert!(seen);
}

/// A name as long as servers take it is shortened in tables, and whole for machines.
#[test]
fn names_of_255_characters_do_not_make_every_line_as_wide() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        for middle in ["1", "2"]:
            simple(source, "long_" + "n" * 120 + middle + "n" * 129, 5, load=False)
        simple(source, "long_not", 5, load=False)
        "#,
    );
    let long = |middle: &str| format!("long_{}{middle}{}", "n".repeat(120), "n".repeat(129));
    let names = [long("1"), long("2"), "long_not".to_owned()];
    let (source, target) = (servers().uri("source"), servers().uri("target"));
    let mut arguments = vec!["--source", source.as_str(), "--target", target.as_str()];
    arguments.extend(names.iter().flat_map(|name| ["--collection", name.as_str()]));
    let state = tempfile::tempdir().unwrap();
    arguments.extend(["--state-dir", state.path().to_str().unwrap()]);
    let mut text = std::process::Command::new(servers().program());
    text.args(["plan", "--lang", "en"]).args(&arguments).stdin(std::process::Stdio::null());
    text.env("VECFERRY_SOURCE_TOKEN", "root:Milvus").env("VECFERRY_TARGET_TOKEN", "root:Milvus");
    let run = Run::new(text.output().unwrap());
    assert_eq!(run.code, 0, "{}", run.stderr);
    let all = format!("{}{}", run.stdout, run.stderr);
    let rows: Vec<_> =
        all.lines().filter(|line| line.contains("default.long_n") && line.contains('…')).collect();
    assert_eq!(rows.len(), 2, "{all}");
    assert!(rows[0] != rows[1] && rows.iter().all(|row| row.chars().count() < 160), "{rows:#?}");
    let run = Vecferry::new(servers(), "plan", &arguments).run();
    assert!(names.iter().all(|name| run.stdout.contains(name.as_str())), "{}", run.stdout);
}
