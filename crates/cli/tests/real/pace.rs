//! How fast a job goes: limits of the target, limits that a person sets, and splits that turn out too large.

use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};
use vecferry_testkit::{Oracle, Run, Vecferry};

use crate::faults::{make, slow, start, start_with};
use crate::{PROGRAM, oracle, servers};

/// The limits that a run told of, in their order.
fn limits_told(run: &Run) -> Vec<Value> {
    let told = run.lines.iter().filter(|line| line["event"] == "max_rate");
    told.map(|line| line["max_rate"].clone()).collect()
}

/// The parts of the time that the copy waited, by what it waited for.
fn share(report: &Value, on: &str) -> f64 {
    let waits = report["pace"]["waits"].as_array().unwrap();
    let total: f64 = waits.iter().map(|wait| wait["share"].as_f64().unwrap()).sum();
    assert!((total - 1.0).abs() < 1e-6, "{waits:?}");
    waits.iter().find(|wait| wait["on"] == on).map_or(0.0, |wait| wait["share"].as_f64().unwrap())
}

#[test]
fn the_limit_of_a_target_narrows_the_window_and_is_named_as_the_reason() {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, "narrowed", 12);
    let started = start("narrowed", "limited");
    let run = started.ended();
    let report = run.succeeded();
    assert_eq!(report["collections"][0]["rows"], 12_000);
    let told = run.lines.iter().filter(|line| line["event"] == "progress");
    let bound_by: Vec<_> = told.map(|line| &line["bound_by"]).collect();
    assert!(bound_by.contains(&&json!("target_limit")), "{bound_by:?}");
    assert_eq!(report["pace"]["waits"][0]["on"], "target_limit", "{}", report["pace"]);
    assert!(share(report, "target_limit") > 0.5, "{}", report["pace"]);
    assert!(share(report, "source") > 0.0 && share(report, "max_rate") == 0.0, "{}", report["pace"]);
    assert!(report["pace"]["inserts_at_once_min"].as_u64().unwrap() < 6, "{}", report["pace"]);
    assert!(report["pace"]["ledger_commits"].as_u64().unwrap() > 0, "{}", report["pace"]);
    oracle.run(
        r#"
        origin.load("narrowed")
        limited.load("narrowed")
        assert same(origin, limited, "narrowed") == 12000
        "#,
    );
}

#[test]
fn a_limited_rate_is_kept() {
    let mut oracle = oracle();
    oracle.run(r#"simple(source, "throttled", 4000)"#);
    let arguments = ["--collection", "throttled", "--max-rate", "1000rows/s"];
    let run = Vecferry::migrate(servers(), "source", "target", &arguments);
    let report = run.succeeded();
    assert_eq!(report["collections"][0]["rows"], 4_000);
    // What goes at once is no more than a second's worth and a page, which holds half a second's.
    let least = (4_000.0 - 1000.0 - 500.0) / 1000.0;
    let took = report["collections"][0]["copy_seconds"].as_f64().unwrap();
    assert!(took >= least, "4,000 rows in {took} s");
    assert_eq!(limits_told(&run), ["1000rows/s"]);
    assert_eq!(report["pace"]["max_rate"], "1000rows/s");
    assert_eq!(report["pace"]["waits"][0]["on"], "max_rate", "{}", report["pace"]);
    oracle.run(
        r#"
        target.load("throttled")
        assert same(source, target, "throttled") == 4000
        "#,
    );
}

#[test]
fn a_limit_is_changed_while_the_job_runs_and_refused_when_it_is_complete() {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, "unbound", 20);
    let begin = Instant::now();
    let more = ["--max-rate", "100rows/s", "--target-db", "default=unbound"];
    let started = start_with("unbound", "origin", &more);
    let jobs = started.command.of_same_state(slow(), "jobs", &[]);
    let id = jobs.lines[0][0]["job_id"].as_str().unwrap().to_owned();
    assert_eq!(jobs.lines[0][0]["max_rate"], "100rows/s");
    let seen = started.until(|line| line["event"] == "progress" && line["bound_by"] == "max_rate");
    // Recorded a little later: not more often than every few seconds.
    loop {
        let status = seen.command.of_same_state(slow(), "status", &[&id]);
        assert_eq!(
            (&status.lines[0]["live"], &status.lines[0]["max_rate"]),
            (&json!(true), &json!("100rows/s"))
        );
        if status.lines[0]["bound_by"] == "max_rate" {
            break;
        }
    }
    let mut status = Command::new(PROGRAM);
    status.args(["status", "--lang", "zh", "--state-dir"]).arg(seen.command.state_dir()).arg(&id);
    let shown = status.output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("限速：100 行/秒\n受限于：--max-rate\n"), "{shown}");

    let wrong = seen.command.of_same_state(slow(), "rate", &[&id, "fast"]);
    wrong.failed(2, "VF-0015", "`fast` is not a valid rate limit: it does not end with `/s`");
    let set = seen.command.of_same_state(slow(), "rate", &[&id, "none"]);
    assert_eq!(set.code, 0, "{}", set.stderr);
    assert_eq!(set.lines[0], json!({"event": "rate_set", "job_id": id, "max_rate": null, "live": true}));
    let (run, state) = seen.ended_with_state();
    let report = run.succeeded();
    assert_eq!(report["collections"][0]["rows"], 20_000);
    assert_eq!(limits_told(&run), [json!("100rows/s"), json!(null)]);
    assert_eq!(report["pace"]["max_rate"], json!(null));
    // At a hundred rows a second it would have taken more than three minutes.
    assert!(begin.elapsed().as_secs() < 150, "it took {:?}", begin.elapsed());

    let late = state.of_same_state(slow(), "rate", &[&id, "1MB/s"]);
    late.failed(2, "VF-0016", &format!("job {id} is complete"));
    let unknown = state.of_same_state(slow(), "rate", &["nothing", "1MB/s"]);
    unknown.failed(2, "VF-0007", "there is no job `nothing`");
    oracle.run(
        r#"
        origin.load("unbound")
        origin.load("unbound", db="unbound")
        assert same(origin, origin, "unbound", target_db="unbound") == 20000
        "#,
    );
}

/// Adds rows with the keys from `first` up to `end` to the source.
fn insert_wide_rows(oracle: &mut Oracle, first: u32, end: u32) {
    oracle.run(&format!(
        r#"
        for first in range({first}, {end}, 500):
            rows = enumerate(vectors(500, 768, first), first)
            origin.client.insert("grown", [dict(id=key, text=f"book {{key}}", vector=vector) for key, vector in rows])
        origin.client.flush("grown")
        "#
    ));
}

#[test]
fn a_split_that_grew_is_divided_and_every_row_arrives_once() {
    let mut oracle = Oracle::new(slow());
    // Three kilobytes a row: more than some 5,000 of them are worth a split of their own.
    oracle.run(
        r#"
        WIDE = ("vector", DataType.FLOAT_VECTOR, dict(dim=768))
        origin.make("grown", [KEY, TEXT, WIDE], index={"vector": FLAT})
        "#,
    );
    insert_wide_rows(&mut oracle, 0, 500);
    oracle.run(r#"origin.load("grown")"#);
    let more = ["--max-rate", "2rows/s", "--allow-drift", "--target-db", "default=grown"];
    let started = start_with("grown", "origin", &more);
    let jobs = started.command.of_same_state(slow(), "jobs", &[]);
    let id = jobs.lines[0][0]["job_id"].as_str().unwrap().to_owned();
    assert_eq!(started.command.of_same_state(slow(), "cancel", &[&id]).code, 0);
    let state = started.command_after_end(130);
    let splits = || {
        let status = state.of_same_state(slow(), "status", &[&id]);
        status.lines[0]["collections"][0]["splits_total"].as_u64().unwrap()
    };
    assert_eq!(splits(), 1);
    insert_wide_rows(&mut oracle, 500, 18_000);
    oracle.run(r#"assert origin.count("grown") == 18000, origin.count("grown")"#);
    // Slowly enough to be killed right after the division.
    let mut dies =
        state.command_of_same_state(slow(), "resume", &["--quiet", "--max-rate", "2000rows/s", &id]);
    let mut dies = dies.spawn().unwrap();
    while splits() == 1 {
        assert_eq!(dies.try_wait().unwrap(), None, "it ended without a division");
    }
    dies.kill().unwrap();
    assert_eq!(dies.wait().unwrap().code(), None, "it ended before it was killed");
    let run = state.of_same_state(slow(), "resume", &["--max-rate", "none", &id]);
    let report = run.succeeded();
    assert_eq!(limits_told(&run), [] as [Value; 0], "the recorded limit is lifted before the start");
    assert_eq!(report["collections"][0]["rows"], 18_000);
    assert_eq!(report["collections"][0]["verification"]["target_rows"], 18_000);
    assert!(splits() > 2, "the split was divided into {}", splits());
    oracle.run(
        r#"
        origin.load("grown", db="grown")
        assert origin.count("grown", db="grown") == 18000, origin.count("grown", db="grown")
        assert same(origin, origin, "grown", target_db="grown") == 18000
        "#,
    );
}
