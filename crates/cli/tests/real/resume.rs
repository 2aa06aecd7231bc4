//! Jobs that go on after anything: a kill, a cancellation, a target that was away.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use vecferry_testkit::fault_proxy::{Answer, Armed, Cut, Fault, FaultProxy, When};
use vecferry_testkit::{Oracle, Run, Vecferry};

use crate::faults::{make, slow, start, start_in};
use crate::{oracle, servers};

/// How long something that must come is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Kills a migration of 20,000 rows when its first rows have landed; `signal` as `kill` names it.
fn interrupted(name: &str, signal: &str) -> Vecferry {
    interrupted_with(name, signal, &[])
}

/// The same with environment variables.
pub(crate) fn interrupted_with(name: &str, signal: &str, variables: &[(&str, &str)]) -> Vecferry {
    let mut started = start_in(name, "limited", variables);
    let killed = Command::new("kill").args([signal, &started.child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    started.child.wait().unwrap();
    started.command
}

/// The only job of a state directory.
pub(crate) fn only_job(of: &Vecferry) -> Value {
    let run = of.of_same_state(slow(), "jobs", &[]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let jobs: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(jobs.as_array().unwrap().len(), 1, "{jobs}");
    jobs[0].clone()
}

/// A command for people about the only job of a state directory.
fn text_of(state: &Vecferry, command: &str, job: &str) -> Run {
    let mut process = Command::new(slow().program());
    process.args([command, "--lang", "en", "--state-dir"]).arg(state.state_dir()).arg(job);
    Run::new(process.output().unwrap())
}

pub(crate) fn resumed(of: &Vecferry, job: &Value) -> Run {
    of.of_same_state(slow(), "resume", &[job["job_id"].as_str().unwrap()])
}

/// Source and target hold the same rows, and the source is as it was.
pub(crate) fn assert_arrived(oracle: &mut Oracle, name: &str) {
    oracle.run(&format!(
        r#"
        assert origin.loaded("{name}") == {{"_default": "LoadStateNotLoad", "p": "LoadStateLoaded"}}, origin.loaded("{name}")
        assert described(origin, "{name}") == described(limited, "{name}")
        origin.load("{name}")
        limited.load("{name}")
        assert limited.count("{name}") == 20000, limited.count("{name}")
        assert same(origin, limited, "{name}") == 20000
        "#
    ));
}

#[test]
fn a_killed_job_goes_on_and_ends_with_every_row_once() {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, "killed", 20);
    let state = interrupted("killed", "-KILL");
    let job = only_job(&state);
    assert_eq!((&job["state"], &job["live"]), (&json!("IN_PROGRESS"), &json!(false)));
    let done = job["rows_done"].as_u64().unwrap();
    assert!(done < 20_000, "{job}");
    assert_eq!(job["rows_total"], 20_000);

    let run = resumed(&state, &job);
    let report = run.succeeded();
    assert_eq!((&report["job_id"], &report["attempts"]), (&job["job_id"], &json!(2)));
    assert_eq!(report["collections"][0]["rows"], 20_000);
    assert_eq!(report["collections"][0]["verification"]["target_rows"], 20_000);
    assert_arrived(&mut oracle, "killed");

    // Once more: it is complete, says so, and does nothing.
    let run = resumed(&state, &job);
    run.succeeded();
    assert!(run.stderr.contains("The job is already complete"), "{}", run.stderr);
    let shown = state.of_same_state(slow(), "report", &[job["job_id"].as_str().unwrap()]);
    assert_eq!(shown.lines[0]["collections"][0]["rows"], 20_000);
    let page = state.state_dir().join("report.html");
    let of_page = ["--html", page.to_str().unwrap(), job["job_id"].as_str().unwrap()];
    assert_eq!(state.of_same_state(slow(), "report", &of_page).code, 0);
    assert!(std::fs::read_to_string(page).unwrap().contains("SUCCESSFUL"));
}

#[test]
fn a_canceled_job_can_be_resumed() {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, "paused", 20);
    let started = start("paused", "limited");
    let job = only_job(&started.command);
    assert_eq!(job["live"], true);
    let id = job["job_id"].as_str().unwrap();
    // While it runs nobody else may.
    let second = started.command.of_same_state(slow(), "resume", &[id]);
    second.failed(3, "VF-0216", &format!("another process is running job {id}"));
    let canceled = started.command.of_same_state(slow(), "cancel", &[id]);
    assert_eq!(canceled.code, 0, "{}", canceled.stderr);
    assert_eq!((&canceled.lines[0]["job_id"], &canceled.lines[0]["state"]), (&json!(id), &json!("CANCELED")));
    let state = started.command_after_end(130);

    let status = state.of_same_state(slow(), "status", &[id]);
    assert_eq!(status.lines[0]["collections"][0]["copied"], false);
    let first = state.of_same_state(slow(), "report", &[id]).lines[0].clone();
    // What it says to type works as it stands there, in whatever directory.
    let hint = text_of(&state, "status", id);
    let command =
        hint.stderr.lines().find_map(|line| line.strip_prefix("To continue: ")).expect("a way to go on");
    assert!(command.contains("--state-dir "), "{command}");
    let directory = slow().program().parent().unwrap();
    let mut pasted = Command::new("/bin/sh");
    pasted.args(["-c", command]).current_dir("/").env("PATH", directory);
    pasted.env("VECFERRY_SOURCE_TOKEN", "root:Milvus").env("VECFERRY_TARGET_TOKEN", "root:Milvus");
    let run = Run::new(pasted.output().unwrap());
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("All 2 attempts took"), "{}", run.stdout);
    let shown = state.of_same_state(slow(), "report", &[id]);
    let report = &shown.lines[0];
    assert_eq!(report["collections"][0]["rows"], 20_000);
    // The times of both attempts, and not what lay between them.
    let of = |report: &Value, name: &str| report[name].as_f64().unwrap();
    let (all, last) = (of(report, "seconds"), of(report, "last_attempt_seconds"));
    assert!(last > 0.0 && (all - last - of(&first, "seconds")).abs() < 0.5, "{all} {last} {first}");
    for name in ["seconds", "copy_seconds"] {
        let (before, after) = (&first["collections"][0], &report["collections"][0]);
        assert!(of(before, name) > 0.0 && of(after, name) > of(before, name), "{name}: {before} {after}");
    }
    let status = state.of_same_state(slow(), "status", &[id]);
    assert!((of(&status.lines[0], "worked_seconds") - all).abs() < 0.5, "{}", status.stdout);
    let status = text_of(&state, "status", id);
    assert!(status.stdout.contains("(2 attempts)") && !status.stderr.contains("To continue"), "{status:?}");
    // There is nothing to go on with, and nothing was ended.
    let canceled = text_of(&state, "cancel", id);
    assert!(canceled.stdout.contains("SUCCESSFUL"), "{canceled:?}");
    assert!(
        !canceled.stderr.contains("To continue") && canceled.stderr.contains("To remove"),
        "{canceled:?}"
    );
    assert_arrived(&mut oracle, "paused");
}

#[test]
fn cleaning_up_removes_what_the_job_made_and_nothing_else() {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, "unwanted", 20);
    oracle.run(r#"limited.make("kept", [KEY, TEXT, VECTOR])"#);
    let state = interrupted("unwanted", "-KILL");
    let job = only_job(&state);
    let id = job["job_id"].as_str().unwrap();
    let run = state.of_same_state(slow(), "cancel", &[id, "--clean"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(run.lines[0]["removed"], json!(["default.unwanted"]));
    oracle.run(
        r#"
        assert "unwanted" not in limited.names() and "kept" in limited.names(), limited.names()
        assert origin.loaded("unwanted") == {"_default": "LoadStateNotLoad", "p": "LoadStateLoaded"}, origin.loaded("unwanted")
        "#,
    );
    // It starts from nothing, and still arrives.
    let run = resumed(&state, &job);
    assert_eq!(run.succeeded()["collections"][0]["rows"], 20_000);
    assert_arrived(&mut oracle, "unwanted");
}

#[test]
fn a_changed_source_or_target_is_not_gone_on_with() {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, "swapped", 20);
    let state = interrupted("swapped", "-KILL");
    let job = only_job(&state);
    oracle.run(
        r#"
        for alias in limited.call("DescribeCollection", collection_name="swapped").aliases:
            limited.client.drop_alias(alias)
        limited.client.drop_collection("swapped")
        limited.make("swapped", [KEY, TEXT, VECTOR])
        "#,
    );
    resumed(&state, &job).failed(3, "VF-0218", "`default.swapped` on the target is not the one that job");
    oracle.run(
        r#"
        origin.client.drop_collection("swapped")
        origin.make("swapped", [KEY, TEXT, VECTOR])
        "#,
    );
    resumed(&state, &job).failed(3, "VF-0217", "dropped and recreated on the source");
    // What is there now is not the job's, and stays.
    let run = state.of_same_state(slow(), "cancel", &[job["job_id"].as_str().unwrap(), "--clean"]);
    assert_eq!(run.lines[0]["removed"], json!([]), "{}", run.stderr);
    oracle.run(r#"assert "swapped" in limited.names()"#);
}

#[test]
fn unknown_jobs_are_named() {
    let none = Vecferry::between(servers(), "migrate", "source", "target", &[]);
    for command in ["resume", "status", "cancel", "report"] {
        let run = none.of_same_state(servers(), command, &["nothing"]);
        run.failed(2, "VF-0007", "there is no job `nothing`");
    }
    let run = none.of_same_state(servers(), "jobs", &[]);
    assert_eq!((run.code, run.stdout.trim()), (0, "[]"));
    drop(oracle());
}

/// Starts a migration through a proxy that holds its second insert, and kills it while the insert is held.
fn killed_with_an_insert_on_its_way(
    name: &str,
    target: &str,
    more: &[&str],
) -> (FaultProxy, Armed, Vecferry) {
    let proxy = FaultProxy::start(&slow().uri(target));
    let held = proxy.arm("Insert", When::Nth(2), Fault::Hold(None));
    let (source, target) = (slow().uri("origin"), proxy.uri());
    let mut arguments = vec!["--source", source.as_str(), "--target", target.as_str(), "--collection", name];
    arguments.extend(more);
    let (mut child, state) = Vecferry::new(slow(), "migrate", &arguments).spawn();
    assert!(held.wait_until_fired(PATIENCE), "no second insert");
    child.kill().unwrap();
    child.wait().unwrap();
    (proxy, held, state)
}

#[test]
fn an_insert_of_a_dead_attempt_that_lands_before_the_job_goes_on_leaves_one_row_a_key() {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, "landed_late", 20);
    // The source has no limits that could refuse the late insert, so that here it is the target as well.
    let (_proxy, held, state) =
        killed_with_an_insert_on_its_way("landed_late", "origin", &["--target-db", "default=late"]);
    let reply = held.release(PATIENCE).unwrap();
    assert_eq!(reply.status().map(|status| (status.code, status.error_code)), Some((0, 0)), "it landed");
    let run = resumed(&state, &only_job(&state));
    assert_eq!(run.succeeded()["collections"][0]["rows"], 20_000);
    oracle.run(
        r#"
        origin.load("landed_late")
        origin.load("landed_late", db="late")
        assert origin.count("landed_late", db="late") == 20000, origin.count("landed_late", db="late")
        assert same(origin, origin, "landed_late", target_db="late") == 20000
        "#,
    );
}

#[test]
fn an_insert_of_a_dead_attempt_that_is_still_on_its_way_fails() {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, "never_landed", 20);
    // A limit would refuse the insert before its collection is looked for.
    let (_proxy, held, state) =
        killed_with_an_insert_on_its_way("never_landed", "origin", &["--target-db", "default=never"]);
    let run = resumed(&state, &only_job(&state));
    assert_eq!(run.succeeded()["collections"][0]["rows"], 20_000);
    let reply = held.release(PATIENCE).unwrap();
    let status = reply.status().expect("the server answers");
    assert!(status.reason.contains("collection not found"), "a dead attempt's insert: {status:?}");
    oracle.run(
        r#"
        origin.load("never_landed")
        origin.load("never_landed", db="never")
        assert same(origin, origin, "never_landed", target_db="never") == 20000
        "#,
    );
}

#[test]
fn answers_that_get_lost_leave_one_row_a_key() {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, "unanswered", 20);
    let proxy = FaultProxy::start(&slow().uri("limited"));
    let faults = [
        proxy.arm("Insert", When::Nth(2), Fault::CutAfterApply(Cut::Connection)),
        proxy.arm("Insert", When::Nth(4), Fault::CutBeforeSend(Cut::Stream)),
        proxy.arm("Insert", When::Nth(6), Fault::CutAfterApply(Cut::Stream)),
        proxy.arm("Insert", When::Nth(8), Fault::Answer(Answer::RateLimit)),
        proxy.arm("Insert", When::Nth(9), Fault::Answer(Answer::Oversize)),
    ];
    let (source, target) = (slow().uri("origin"), proxy.uri());
    let arguments = ["--source", source.as_str(), "--target", target.as_str(), "--collection", "unanswered"];
    let run = Vecferry::new(slow(), "migrate", &arguments).run();
    assert_eq!(run.succeeded()["collections"][0]["rows"], 20_000);
    assert!(faults.iter().all(|fault| fault.fired() > 0), "{faults:?}");
    assert_arrived(&mut oracle, "unanswered");
}
