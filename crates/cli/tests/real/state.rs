//! The state directory and the clock let a job down.

use std::process::Command;

use serde_json::json;
use vecferry_testkit::{Oracle, Run, Vecferry};

use crate::faults::{make, slow, start};
use crate::resume::{assert_arrived, interrupted_with, only_job, resumed};

/// A migration whose process may write files of so many kilobytes only: what a full disk is to it.
fn with_file_limit(name: &str, kilobytes: u32) -> (Run, Vecferry) {
    let command = Vecferry::between(slow(), "migrate", "origin", "limited", &["--collection", name]);
    // Blocks of 512 bytes. Without the trap the kernel would end the process instead of failing its write.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", kilobytes * 2);
    command.run_within("sh", &["-c", &script])
}

#[test]
fn a_job_whose_record_can_not_be_written_stops_and_goes_on_when_there_is_room() {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, "no_room", 20);
    let (run, state) = with_file_limit("no_room", 256);
    run.failed(4, "VF-0309", "the job record can't be written");
    let job = only_job(&state);
    // Whether its end could still be recorded depends on the bytes.
    assert!(["IN_PROGRESS", "FAILED"].contains(&job["state"].as_str().unwrap()), "{job}");
    assert!(job["rows_done"].as_u64().unwrap() < 20_000, "{job}");
    let run = resumed(&state, &job);
    assert_eq!(run.succeeded()["collections"][0]["rows"], 20_000);
    assert_arrived(&mut oracle, "no_room");
}

#[test]
fn without_room_for_the_first_record_nothing_begins() {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, "no_room_at_all", 1);
    let (run, _state) = with_file_limit("no_room_at_all", 16);
    run.failed(2, "VF-0006", "can't be used");
    oracle.run(r#"assert "no_room_at_all" not in limited.names(), limited.names()"#);
}

#[test]
fn a_clock_that_jumps_decides_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let library = directory.path().join("clock.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real/clock.c");
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).status();
    assert!(compiled.unwrap().success());
    let preload = [("LD_PRELOAD", library.to_str().unwrap())];

    let mut oracle = Oracle::new(slow());
    make(&mut oracle, "timeless", 20);
    let state = interrupted_with("timeless", "-KILL", &preload);
    let job = only_job(&state);
    assert_eq!((&job["state"], &job["live"]), (&json!("IN_PROGRESS"), &json!(false)));
    let id = job["job_id"].as_str().unwrap();
    let run = state.of_same_state_with(slow(), "resume", &[id], &preload);
    let report = run.succeeded();
    assert_eq!((&report["attempts"], &report["collections"][0]["rows"]), (&json!(2), &json!(20_000)));
    let seconds = report["seconds"].as_f64().unwrap();
    assert!((0.0..600.0).contains(&seconds), "{seconds} s by a clock that jumps by months");
    assert_arrived(&mut oracle, "timeless");
}

#[test]
fn a_running_job_shows_its_steps_and_remembers_them() {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, "stepwise", 4);
    let started = start("stepwise", "limited");
    let job = only_job(&started.command);
    let id = job["job_id"].as_str().unwrap();
    let now = started.command.of_same_state(slow(), "status", &[id]);
    assert_eq!((&now.lines[0]["live"], &now.lines[0]["attempts"]), (&json!(true), &json!(1)));
    let state = started.command_after_end(0);
    let status = state.of_same_state(slow(), "status", &[id]);
    let status = &status.lines[0];
    assert_eq!(status["collections"][0]["phase"], "done");
    let steps: Vec<_> =
        status["history"].as_array().unwrap().iter().map(|step| step["phase"].clone()).collect();
    let expected = ["creating", "loading_source", "copying", "flushing", "verifying", "indexing", "done"]
        .map(|step| json!(step));
    assert_eq!(steps, expected);
}
