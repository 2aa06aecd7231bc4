//! Jobs that are recorded in PostgreSQL.

use std::time::{Duration, Instant};

use serde_json::json;
use vecferry_testkit::Oracle;

use crate::faults::{make, slow};
use crate::postgres;
use crate::resume::{assert_arrived, interrupted_with};

#[test]
fn a_killed_job_of_a_database_goes_on_and_ends_with_every_row_once() {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, "recorded", 20);
    let url = postgres().create_database();
    let variables = [("VECFERRY_STORE", url.as_str())];
    let state = interrupted_with("recorded", "-KILL", &variables);
    let of_database =
        |command: &str, arguments: &[&str]| state.of_same_state_with(slow(), command, arguments, &variables);

    // The server sees that the process is gone when its connection is.
    let begin = Instant::now();
    let job = loop {
        let job = of_database("jobs", &[]).lines[0][0].clone();
        if job["live"] == json!(false) {
            break job;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "{job}");
    };
    assert_eq!(job["state"], "IN_PROGRESS", "{job}");
    assert!(job["rows_done"].as_u64().unwrap() < 20_000, "{job}");
    let id = job["job_id"].as_str().unwrap();
    // It is in the database, and nowhere else.
    state.of_same_state(slow(), "status", &[id]).failed(2, "VF-0007", "no such job");
    assert!(
        std::fs::read_dir(state.state_dir())
            .unwrap()
            .all(|entry| { !entry.unwrap().file_name().to_string_lossy().contains("recorded") })
    );

    let report = of_database("resume", &[id]).succeeded().clone();
    assert_eq!((&report["job_id"], &report["attempts"]), (&job["job_id"], &json!(2)));
    assert_eq!(report["collections"][0]["rows"], 20_000);
    assert_arrived(&mut oracle, "recorded");
    assert_eq!(of_database("report", &[id]).lines[0]["state"], "SUCCESSFUL");
    assert_eq!(of_database("status", &[id]).lines[0]["collections"][0]["copied"], true);

    // By the option as well; and commands that are shown can be typed, without the password.
    let by_option = state.of_same_state(slow(), "status", &["--store", &url, id]);
    assert_eq!(by_option.code, 0, "{}", by_option.stderr);
    let password = postgres().server().password();
    let canceled = state.of_same_state(slow(), "cancel", &["--store", &url, id]);
    assert_eq!(canceled.code, 0, "{}", canceled.stderr);
    let shown = format!("{}{}", canceled.stdout, canceled.stderr);
    assert!(!shown.contains(password), "{shown}");

    let denied = state.of_same_state(slow(), "jobs", &["--store", &url.replace(password, "hunter2")]);
    denied.failed(3, "VF-0024", "denies access");
    assert!(!denied.stderr.contains("hunter2") && !denied.stderr.contains(password), "{}", denied.stderr);
}
