//! What servers say, and what others call things, never acts on a terminal.

use std::process::Command;

use vecferry_milvus::proto::common::Status;
use vecferry_testkit::fault_proxy::{Answer, Fault, FaultProxy, When};
use vecferry_testkit::stand_in::generate::plain;
use vecferry_testkit::stand_in::{Key, Options, Version};
use vecferry_testkit::{Run, StandIn};

use crate::{PROGRAM, oracle, servers};

/// Sets a title, clears the screen, turns the text around it, and begins a line of its own.
const FOREIGN: &str = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}evil\u{2066}\u{7f}\nSUCCESSFUL";

fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[track_caller]
fn assert_harmless(text: &str) {
    let acting = text.chars().find(|character| *character != '\n' && acts(*character));
    assert_eq!(acting, None, "{text:?}");
    assert!(!text.lines().any(|line| line.starts_with("SUCCESSFUL")), "a line of its own in: {text:?}");
}

fn vecferry(arguments: &[&str]) -> Run {
    Run::new(Command::new(PROGRAM).args(["--lang", "en"]).args(arguments).output().unwrap())
}

#[test]
fn a_servers_message_is_harmless_for_people_and_exact_for_machines() {
    let source = StandIn::start(Options::new(Version::V2_6));
    let target = StandIn::start(Options::new(Version::V2_6));
    source.add(&plain("books", false, &[("_default", (0..5).map(Key::Long).collect())]));
    let proxy = FaultProxy::start(&source.uri());
    let status = Status { code: 65535, error_code: 1, reason: FOREIGN.into(), ..Status::default() };
    proxy.arm("DescribeCollection", When::Always, Fault::Answer(Answer::Status(status)));
    let state = tempfile::tempdir().unwrap();
    let (from, to) = (proxy.uri(), target.uri());
    let arguments =
        ["plan", "--source", &from, "--target", &to, "--state-dir", state.path().to_str().unwrap()];
    let run = vecferry(&arguments);
    run.failed(3, "VF-0212", "evil");
    assert_harmless(&run.stderr);
    assert_harmless(&run.stdout);

    let run = vecferry(&[&["--json"], &arguments[..]].concat());
    assert_harmless(&run.stderr);
    assert_harmless(&run.stdout);
    let message = run.lines.last().unwrap()["problems"][0]["message"].as_str().unwrap();
    let exact = FOREIGN.replace('\n', " ");
    assert!(message.contains(&exact), "{message:?}");

    let logged = Command::new(PROGRAM).args(arguments).env("VECFERRY_LOG", "trace").output().unwrap();
    assert_harmless(&Run::new(logged).stderr);
}

#[test]
fn a_name_is_harmless_in_plan_progress_report_and_page() {
    let name = "odd \u{1b}[31m\u{202e}name\u{2066}\u{7f}";
    let mut oracle = oracle();
    oracle.run(
        r#"
        odd = "odd \x1b[31m\u202ename\u2066\x7f"
        lite.make(odd, [KEY, VECTOR], index={"vector": FLAT})
        lite.client.insert(odd, [{"id": at, "vector": [0.5] * 8} for at in range(20)])
        lite.client.load_collection(odd)
        "#,
    );
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().to_str().unwrap();
    let (from, to) = (servers().uri("lite"), servers().uri("lite_target"));
    let run = vecferry(&[
        "migrate",
        "--yes",
        "--source",
        &from,
        "--target",
        &to,
        "--collection",
        name,
        "--state-dir",
        dir,
    ]);
    assert_eq!(run.code, 0, "{}\n{}", run.stdout, run.stderr);
    for text in [&run.stdout, &run.stderr] {
        assert!(text.contains("odd "), "{text}");
        assert_harmless(text);
    }
    let jobs: serde_json::Value =
        serde_json::from_str(&vecferry(&["--json", "jobs", "--state-dir", dir]).stdout).unwrap();
    let job = jobs[0]["job_id"].as_str().unwrap();
    let status = vecferry(&["status", job, "--state-dir", dir]);
    assert!(status.stdout.contains("odd "), "{}", status.stdout);
    assert_harmless(&status.stdout);
    let page = state.path().join("report.html");
    assert_eq!(vecferry(&["report", job, "--state-dir", dir, "--html", page.to_str().unwrap()]).code, 0);
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("odd "), "{page}");
    let acting = page.chars().find(|character| acts(*character) && !character.is_whitespace());
    assert_eq!(acting, None);
    let report = vecferry(&["--json", "report", job, "--state-dir", dir]);
    assert_harmless(&report.stdout);
    assert_eq!(report.lines[0]["collections"][0]["collection"], name);
}
