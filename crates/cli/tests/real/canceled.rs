//! Ends that a person asks for, and a network whose names are away for a while, between stand-ins.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use vecferry_testkit::fault_proxy::{Armed, Fault, FaultProxy, When};
use vecferry_testkit::stand_in::generate::plain;
use vecferry_testkit::stand_in::{Key, Options, Version};
use vecferry_testkit::{Run, StandIn};

use crate::PROGRAM;

/// How long something that must come is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A source of 200 rows, a target behind a proxy, and a state directory.
struct Scene {
    source: StandIn,
    target: StandIn,
    proxy: FaultProxy,
    state: TempDir,
}

impl Scene {
    fn new() -> Self {
        let source = StandIn::start(Options::new(Version::V2_6));
        let target = StandIn::start(Options::new(Version::V2_6));
        source.add(&plain("books", false, &[("_default", (0..200).map(Key::Long).collect())]));
        let proxy = FaultProxy::start(&target.uri());
        Self { source, target, proxy, state: tempfile::tempdir().unwrap() }
    }

    fn command(&self, command: &str, arguments: &[&str]) -> Command {
        let mut process = Command::new(PROGRAM);
        process.args([command, "--json", "--lang", "en", "--state-dir"]).arg(self.state.path());
        process.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        process
    }

    /// `plan` or `migrate` from the source to the target.
    fn copying(&self, command: &str, more: &[&str]) -> Command {
        let (source, target) = (self.source.uri(), self.proxy.uri());
        let mut process = self.command(command, &["--source", &source, "--target", &target]);
        process.args(more);
        process
    }

    fn hold(&self, call: &str) -> Armed {
        self.proxy.arm(call, When::Always, Fault::HalfOpen)
    }

    fn only_job(&self) -> String {
        let run = Run::new(self.command("jobs", &[]).output().unwrap());
        let jobs: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
        jobs[0]["job_id"].as_str().unwrap().to_owned()
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

fn ended(child: Child) -> Run {
    Run::new(child.wait_with_output().unwrap())
}

#[test]
fn an_interrupt_while_writing_is_tried_leaves_nothing() {
    for (command, flag) in [("migrate", "--yes"), ("plan", "--probe-write")] {
        let scene = Scene::new();
        let held = scene.hold("CreateIndex");
        let child = scene.copying(command, &[flag]).spawn().unwrap();
        assert!(held.wait_until_fired(PATIENCE));
        let (made, _) = scene.target.names("default");
        assert!(made.iter().any(|name| name.starts_with("vf_probe_")), "{made:?}");
        signal(&child, "-INT");
        let begin = Instant::now();
        let run = ended(child);
        assert!(begin.elapsed() < Duration::from_secs(20), "{command} took {:?}", begin.elapsed());
        assert_eq!(run.code, 130, "{command}: {}", run.stderr);
        assert_eq!(scene.target.names("default").0, [""; 0], "{command}: {}", run.stderr);
    }
}

#[test]
fn a_second_interrupt_while_writing_is_tried_names_what_may_be_left() {
    let scene = Scene::new();
    let (index, drop) =
        (scene.hold("CreateIndex"), scene.proxy.arm("DropCollection", When::Always, Fault::Hold(None)));
    let child = scene.copying("migrate", &["--yes"]).spawn().unwrap();
    assert!(index.wait_until_fired(PATIENCE));
    signal(&child, "-INT");
    assert!(drop.wait_until_fired(PATIENCE));
    signal(&child, "-INT");
    let run = ended(child);
    assert_eq!(run.code, 130, "{}", run.stderr);
    let (left, _) = scene.target.names("default");
    let [name] = left.as_slice() else { panic!("{left:?}") };
    assert!(run.stderr.contains("warning[VF-0251]") && run.stderr.contains(name.as_str()), "{}", run.stderr);
}

#[test]
fn cancel_tells_a_process_that_is_stopped_from_one_that_takes_its_time() {
    let scene = Scene::new();
    let held = scene.hold("Insert");
    let child = scene.copying("migrate", &["--yes"]).spawn().unwrap();
    assert!(held.wait_until_fired(PATIENCE));
    let job = scene.only_job();
    let cancel = || scene.command("cancel", &[&job]).spawn().unwrap();

    signal(&child, "-STOP");
    let begin = Instant::now();
    let run = ended(cancel());
    assert!(begin.elapsed() < PATIENCE, "it took {:?}", begin.elapsed());
    run.failed(4, "VF-0316", &format!("process {}, which runs job {job}, has not reacted", child.id()));

    // It goes on, and waits for an insert whose answer does not come: for longer than a stopped one is waited for.
    signal(&child, "-CONT");
    let mut patient = cancel();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(23) {
        assert!(patient.try_wait().unwrap().is_none(), "it gave up: {}", ended(patient).stderr);
        std::thread::sleep(Duration::from_millis(100));
    }
    held.disarm();
    while held.held() > 0 {
        held.release(PATIENCE).unwrap();
    }
    let run = ended(patient);
    assert_eq!((run.code, &run.lines[0]["state"]), (0, &"CANCELED".into()), "{}", run.stderr);
    assert_eq!(ended(child).code, 130);
}

/// Waits until names were asked for so often.
fn asked(file: &Path, times: u64) {
    let begin = Instant::now();
    while std::fs::metadata(file).map_or(0, |found| found.len()) < times {
        assert!(begin.elapsed() < PATIENCE, "nobody asks for names any more");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn names_that_do_not_resolve_for_a_while_are_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let (library, gone) = (directory.path().join("dns.so"), directory.path().join("gone"));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real/dns.c");
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl").status();
    assert!(compiled.unwrap().success());

    let scene = Scene::new();
    let held = scene.proxy.arm("Insert", When::Times(1), Fault::Hold(None));
    let (from, to) = (scene.source.uri(), scene.proxy.uri().replace("127.0.0.1", "localhost"));
    let mut migrate = scene.command("migrate", &["--yes", "--source", &from, "--target", &to]);
    migrate.env("LD_PRELOAD", &library).env("NO_NAMES_WHILE", &gone);
    let child = migrate.spawn().unwrap();
    assert!(held.wait_until_fired(PATIENCE));
    std::fs::write(&gone, "").unwrap();
    // Every connection breaks; the network is there again at once, but names are not.
    scene.proxy.refuse_all(true);
    scene.proxy.refuse_all(false);
    // One try asks a few times: more than that are several tries.
    asked(&directory.path().join("gone.asked"), 20);
    std::fs::remove_file(&gone).unwrap();
    ended(child).succeeded();
    assert_eq!(scene.target.rows("default", "books"), scene.source.rows("default", "books"));

    // A name that never resolved is a mistake, which is said at once.
    std::fs::write(&gone, "").unwrap();
    let mut plan = scene.command("plan", &["--source", &from, "--target", &to]);
    let begin = Instant::now();
    let run = Run::new(plan.env("LD_PRELOAD", &library).env("NO_NAMES_WHILE", &gone).output().unwrap());
    run.failed(3, "VF-0101", "the host `localhost` does not resolve");
    assert!(begin.elapsed() < Duration::from_secs(20), "it took {:?}", begin.elapsed());
}
