//! `migrate --warm` with the real binary: what it takes, what it says, and what becomes of its job.
#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value as Json;
use vecferry_milvus::proto::common::Status;
use vecferry_testkit::stand_in::generate::plain;
use vecferry_testkit::stand_in::{Interference, Key, Options, Value, Version};
use vecferry_testkit::{StandIn, english_in};

struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ended {
    fn json(&self) -> Json {
        serde_json::from_str(self.stdout.lines().next_back().unwrap()).unwrap()
    }
}

fn run(state: &Path, arguments: &[&str]) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_vecferry"))
        .args(arguments)
        .arg("--state-dir")
        .arg(state)
        .env("LANG", "C")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn servers() -> (StandIn, StandIn) {
    let (source, target) =
        (StandIn::start(Options::new(Version::V2_5)), StandIn::start(Options::new(Version::V2_5)));
    source.add(&plain("books", false, &[("_default", (0..50).map(Key::Long).collect())]));
    (source, target)
}

#[test]
fn what_does_not_go_with_a_warm_copy_is_refused() {
    let state = tempfile::tempdir().unwrap();
    let sides = ["--source", "http://127.0.0.1:1", "--target", "http://127.0.0.1:2"];
    let migrate = |more: &[&str]| run(state.path(), &[&["migrate"], &sides[..], more].concat());
    for (more, says) in [
        (&["--warm", "--allow-drift"][..], "--allow-drift"),
        (&["--warm", "--dry-run"], "--dry-run"),
        (&["--load-target"], "--warm"),
        (&["--warm", "--verify", "count"], "another level of --verify than `full`"),
        (&["--warm", "--verify", "none"], "another level of --verify than `full`"),
        (&["--warm", "--verify", "sample"], "another level of --verify than `full`"),
        (&["--warm", "--plan", "plan.json"], "--plan"),
        (&["--warm", "--server", "http://127.0.0.1:3"], "the service does not take it"),
    ] {
        let ended = migrate(more);
        assert_eq!(ended.code, Some(2), "{more:?}: {}", ended.stderr);
        assert!(
            ended.stderr.contains("VF-0001") && ended.stderr.contains(says),
            "{more:?}: {}",
            ended.stderr
        );
    }
    let refused = migrate(&["--warm", "--verify", "count", "--lang", "zh"]);
    assert!(refused.stderr.contains("--warm 只能与 --verify full 一起使用"), "{}", refused.stderr);
}

#[test]
fn a_warm_copy_ends_ready_and_says_what_is_left_to_do() {
    let (source, target) = servers();
    let state = tempfile::tempdir().unwrap();
    let (from, to) = (source.uri(), target.uri());
    let sides = ["--source", &from, "--target", &to];
    let migrate =
        |more: &[&str]| run(state.path(), &[&["migrate", "--warm", "--yes"], &sides[..], more].concat());
    let ended = migrate(&["--load-target"]);
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains("warning[VF-0446]: all rows were copied, but nothing has been verified"));
    assert!(
        !ended.stdout.contains("SUCCESSFUL") && !ended.stdout.contains("vecferry load"),
        "{}",
        ended.stdout
    );
    let listed = run(state.path(), &["jobs", "--json"]).json();
    assert_eq!((&listed[0]["kind"], &listed[0]["state"]), (&"warm".into(), &"READY".into()), "{listed}");
    let job = listed[0]["job_id"].as_str().unwrap();
    for says in [
        "READY",
        "Round 1, warm copy: complete, 50 rows written",
        "1. Stop all writers of the source.",
        &format!("vecferry cutover --state-dir {} {job}", state.path().display()),
        &format!("switch reads and writes to {to}."),
        "5. Keep the source until you are sure.",
    ] {
        assert!(ended.stdout.contains(says), "`{says}` is not in {}", ended.stdout);
    }
    assert!(target.is_loaded("default", "books"));
    let listed = run(state.path(), &["jobs"]);
    assert!(listed.stdout.contains("READY, warm"), "{}", listed.stdout);
    let shown = run(state.path(), &["status", job]);
    assert!(shown.stdout.contains("copied, not yet verified"), "{}", shown.stdout);
    assert!(!shown.stderr.contains("vecferry resume"), "{}", shown.stderr);
    let writes = target.writes();
    let resumed = run(state.path(), &["resume", job]);
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    assert!(resumed.stderr.contains("The job is READY, so there is nothing to resume"), "{}", resumed.stderr);
    assert!(resumed.stdout.contains("1. Stop all writers of the source."), "{}", resumed.stdout);
    let report = run(state.path(), &["report", job, "--json"]).json();
    assert_eq!((&report["kind"], &report["verified"]), (&"warm".into(), &"none".into()), "{report}");
    assert_eq!(report["rounds"][0]["kind"], "warm", "{report}");
    // Its names are reserved.
    let taken = run(state.path(), &[&["migrate", "--yes"], &sides[..]].concat());
    assert_eq!(taken.code, Some(3), "{}", taken.stderr);
    assert_eq!(target.writes(), writes);
    let cleaned = run(state.path(), &["cancel", job, "--clean"]);
    assert_eq!((cleaned.code, target.names("default").0.len()), (Some(0), 0), "{}", cleaned.stderr);
}

/// The job that was begun last.
fn newest(state: &Path) -> String {
    let listed = run(state, &["jobs", "--json"]).json();
    listed[0]["job_id"].as_str().unwrap().to_owned()
}

#[test]
fn a_ready_job_says_what_may_come_next() {
    let (source, target) = servers();
    let state = tempfile::tempdir().unwrap();
    let (from, to) = (source.uri(), target.uri());
    let ended = run(state.path(), &["migrate", "--warm", "--yes", "--source", &from, "--target", &to]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let (job, record) = (newest(state.path()), format!("--state-dir {}", state.path().display()));
    assert!(
        ended.stdout.contains(&format!("`vecferry catch-up {record} {job}` brings the target up to date")),
        "{}",
        ended.stdout
    );
    for (command, job) in [(&["status", &job][..], job.as_str()), (&["jobs"], "JOB")] {
        let shown = run(state.path(), command);
        for next in ["catch-up", "cutover"] {
            let says = format!("vecferry {next} {record} {job}\n");
            assert!(shown.stderr.contains(&says), "`{says}` is not in {}", shown.stderr);
        }
        let chinese = run(state.path(), &[command, &["--lang", "zh"]].concat());
        assert!(chinese.stderr.contains("停止对源集群的所有写入后，完成切换"), "{}", chinese.stderr);
    }
    let canceled = run(state.path(), &["cancel", &job]);
    assert_eq!(canceled.code, Some(0), "{}", canceled.stderr);
    let shown = run(state.path(), &["status", &job]);
    assert!(
        shown.stderr.contains("vecferry resume") && !shown.stderr.contains("cutover"),
        "{}",
        shown.stderr
    );
}

#[test]
fn a_cut_over_does_not_begin_before_somebody_says_that_writers_are_stopped() {
    let (source, target) = servers();
    let state = tempfile::tempdir().unwrap();
    let (from, to) = (source.uri(), target.uri());
    let ended = run(state.path(), &["migrate", "--warm", "--yes", "--source", &from, "--target", &to]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let (job, writes) = (newest(state.path()), target.writes());
    // Nobody can be asked here; the beginning of an ID is enough.
    for more in [&[][..], &["--json"], &["--overwrite-target", "--recopy", "--accept-dropped"]] {
        let ended = run(state.path(), &[&["cutover", &job[..30]], more].concat());
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains("VF-0003") && ended.stderr.contains("add --yes"), "{}", ended.stderr);
    }
    let chinese = run(state.path(), &["cutover", &job, "--lang", "zh"]);
    assert!(chinese.stderr.contains("错误[VF-0003]：无法请求确认"), "{}", chinese.stderr);
    let listed = run(state.path(), &["jobs", "--json"]).json();
    assert_eq!((&listed[0]["state"], target.writes()), (&"READY".into(), writes));
}

/// Runs the program at a terminal of its own, at which something is typed.
fn at_terminal(state: &Path, arguments: &[&str], typed: &str) -> Ended {
    let program = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    let mut child = Command::new("python3")
        .args(["-c", program, env!("CARGO_BIN_EXE_vecferry")])
        .args(arguments)
        .arg("--state-dir")
        .arg(state)
        .env("LANG", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut terminal = child.stdin.take().unwrap();
    terminal.write_all(typed.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(terminal);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn a_cut_over_asks_whether_writers_are_stopped() {
    let (source, target) = servers();
    let state = tempfile::tempdir().unwrap();
    let (from, to) = (source.uri(), target.uri());
    let ended = run(state.path(), &["migrate", "--warm", "--yes", "--source", &from, "--target", &to]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let (job, writes) = (newest(state.path()), target.writes());
    for (lang, says) in [
        (
            "en",
            [
                "all writers of the source must be stopped",
                "Every row is compared. Rows on the target that the source does not have are removed.",
                "Then the aliases are set on the target, and the applications can switch to it.",
                "should the cut-over start? [y/N]",
                "Not started; nothing was written.",
            ],
        ),
        (
            "zh",
            [
                "必须停止对源集群的所有写入",
                "切换会比对每一行。目标集群上有而源集群没有的行将被删除。",
                "之后在目标集群上设置别名，应用即可切换到目标集群。",
                "并开始切换？[y/N]",
                "未开始；未写入任何内容。",
            ],
        ),
    ] {
        let asked = at_terminal(state.path(), &["cutover", &job, "--lang", lang], "n\n");
        assert_eq!(asked.code, Some(130), "{}{}", asked.stdout, asked.stderr);
        for says in says {
            assert!(asked.stdout.contains(says), "`{says}` is not in {}", asked.stdout);
        }
    }
    assert_eq!(target.writes(), writes);
}

#[test]
fn a_job_without_a_warm_copy_has_no_further_rounds() {
    let (source, target) = servers();
    let state = tempfile::tempdir().unwrap();
    let (from, to) = (source.uri(), target.uri());
    let ended = run(state.path(), &["migrate", "--yes", "--source", &from, "--target", &to]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let (job, writes) = (newest(state.path()), target.writes());
    for round in [&["catch-up", &job][..], &["cutover", &job], &["cutover", &job, "--yes"]] {
        let ended = run(state.path(), round);
        assert_eq!(ended.code, Some(3), "{round:?}: {}", ended.stderr);
        let says = format!("error[VF-0242]: job {job} copies in one downtime window");
        assert!(ended.stderr.contains(&says), "`{says}` is not in {}", ended.stderr);
        assert!(ended.stderr.contains("vecferry migrate --warm"), "{}", ended.stderr);
        let chinese = run(state.path(), &[round, &["--lang", "zh"]].concat());
        assert!(chinese.stderr.contains("错误[VF-0242]：任务"), "{}", chinese.stderr);
    }
    assert_eq!(target.writes(), writes);
}

#[test]
fn a_warm_copy_that_is_not_complete_is_completed_first() {
    let (source, target) = servers();
    let state = tempfile::tempdir().unwrap();
    let (from, to) = (source.uri(), target.uri());
    target.interfere(|seen| {
        // Not that of a collection which only tries what the target allows.
        let is_of_books = seen.message.windows(5).any(|part| part == b"books");
        match seen.method == "CreateIndex" && is_of_books {
            true => Interference::Refused(Status {
                code: 1100,
                reason: "no such index".to_owned(),
                ..Status::default()
            }),
            false => Interference::None,
        }
    });
    let ended = run(state.path(), &["migrate", "--warm", "--yes", "--source", &from, "--target", &to]);
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    assert!(ended.stderr.contains("To continue: vecferry resume"), "{}", ended.stderr);
    target.interfere_no_more();
    let (job, writes) = (newest(state.path()), target.writes());
    for round in [&["catch-up", &job][..], &["cutover", &job], &["cutover", &job, "--yes"]] {
        let ended = run(state.path(), round);
        assert_eq!(ended.code, Some(3), "{round:?}: {}", ended.stderr);
        let says = format!("error[VF-0243]: the warm copy of job {job} is not complete");
        assert!(ended.stderr.contains(&says), "`{says}` is not in {}", ended.stderr);
        let way_out = format!("vecferry resume --state-dir {} {job}", state.path().display());
        assert!(ended.stderr.contains(&way_out), "`{way_out}` is not in {}", ended.stderr);
        let chinese = run(state.path(), &[round, &["--lang", "zh"]].concat());
        assert!(chinese.stderr.contains("错误[VF-0243]：任务"), "{}", chinese.stderr);
    }
    assert_eq!(target.writes(), writes);
    let shown = run(state.path(), &["status", &job]);
    assert!(shown.stderr.contains("To continue: vecferry resume"), "{}", shown.stderr);
    let resumed = run(state.path(), &["resume", &job, "--json"]);
    assert_eq!(resumed.json()["report"]["state"], "READY", "{}", resumed.stderr);
}

#[test]
fn a_warm_copy_is_ended_by_a_cut_over() {
    let (source, target) = servers();
    source.add_alias(("default", "books"), "shelf");
    let state = tempfile::tempdir().unwrap();
    let (from, to) = (source.uri(), target.uri());
    let ended = run(state.path(), &["migrate", "--warm", "--yes", "--source", &from, "--target", &to]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let (job, books) = (newest(state.path()), ("default", "books"));
    let value = Value::Vector([7.0_f32; 4].iter().flat_map(|part| part.to_le_bytes()).collect());
    let change = |changed: i64, gone: i64, new: i64| {
        source.update(books, ("_default", &Key::Long(changed)), "vector", &value);
        source.delete(books, "_default", &BTreeSet::from([Key::Long(gone)]));
        source.insert(books, "_default", vec![vec![Value::Long(new)], vec![value.clone()]]);
    };
    change(1, 2, 100);
    let caught_up = run(state.path(), &["catch-up", &job]);
    assert_eq!(caught_up.code, Some(0), "{}", caught_up.stderr);
    for says in [
        "Round 2, catch-up: complete",
        "50 rows compared: 1 missing, 1 changed, 1 extra (3 in total); made equal",
        "Source and target were 3 rows apart at the last catch-up",
        "READY",
    ] {
        assert!(caught_up.stdout.contains(says), "`{says}` is not in {}", caught_up.stdout);
    }
    assert!(target.names("default").1.is_empty());
    change(3, 4, 101);
    let cut_over = run(state.path(), &["cutover", &job, "--yes"]);
    assert_eq!(cut_over.code, Some(0), "{}", cut_over.stderr);
    for says in [
        "Round 3, cut-over: complete",
        ", downtime window ",
        "50 rows compared: 1 missing, 1 changed, 1 extra (3 in total); made equal",
        "SUCCESSFUL",
        &format!("1. Switch reads and writes to {to}."),
        "2. Let the writers continue, on the target.",
        "3. Keep the source until you are sure.",
    ] {
        assert!(cut_over.stdout.contains(says), "`{says}` is not in {}", cut_over.stdout);
    }
    assert_eq!(source.rows("default", "books"), target.rows("default", "books"));
    assert_eq!(target.names("default").1, ["shelf"]);
    let again = run(state.path(), &["cutover", &job, "--yes", "--lang", "zh"]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(again.stderr.contains("任务已完成切换，无需再做任何操作"), "{}", again.stderr);
    assert!(again.stdout.contains("2. 在目标集群上恢复写入。"), "{}", again.stdout);
}

#[test]
fn a_plan_of_a_warm_copy_is_carried_out_as_one() {
    let (source, target) = servers();
    let state = tempfile::tempdir().unwrap();
    let (from, to) = (source.uri(), target.uri());
    let file = state.path().join("plan.json");
    let file = file.to_str().unwrap();
    let sides = ["--source", &from, "--target", &to];
    let planned = run(state.path(), &[&["plan", "--warm", "--output", file], &sides[..]].concat());
    assert_eq!(planned.code, Some(0), "{}", planned.stderr);
    assert!(planned.stderr.contains("writes may continue until the cut-over"), "{}", planned.stderr);
    let ended = run(state.path(), &["migrate", "--yes", "--json", "--plan", file]);
    assert_eq!(
        (ended.code, &ended.json()["report"]["state"]),
        (Some(0), &"READY".into()),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_warm_copy_speaks_chinese() {
    let (source, target) = servers();
    let state = tempfile::tempdir().unwrap();
    let (from, to) = (source.uri(), target.uri());
    let ended = run(
        state.path(),
        &["migrate", "--warm", "--yes", "--source", &from, "--target", &to, "--lang", "zh"],
    );
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for line in ended.stderr.lines() {
        assert_eq!(english_in(line, &[]), Vec::<String>::new(), "{line}");
    }
    for says in [
        "READY（就绪）",
        "第 1 轮（预复制）：已完成，写入 50 行",
        "1. 停止对源集群的所有写入。",
        "5. 确认无误之前，请保留源集群。",
    ] {
        assert!(ended.stdout.contains(says), "{says}: {}", ended.stdout);
    }
    let help = run(state.path(), &["migrate", "--help", "--lang", "zh"]);
    // Until there is a command that ends such a job.
    assert!(!help.stdout.contains("--warm"), "{}", help.stdout);
}
