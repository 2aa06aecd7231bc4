//! What happens in the middle: limits, Ctrl-C, and a target that dies.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use vecferry_sandbox::ServerSpec;
use vecferry_testkit::{Oracle, Run, Servers, Vecferry};

use crate::{PROGRAM, milvus};

/// One source, and targets that take one megabyte a second; two of them for tests that kill them. The source does not
/// compact: that would hide an update among its segments before anybody has looked.
pub(crate) fn slow() -> &'static Servers {
    static SERVERS: OnceLock<Servers> = OnceLock::new();
    let limited = |name: &str| -> ServerSpec {
        milvus(name)
            .with_setting("quotaAndLimits.enabled", true)
            .with_setting("quotaAndLimits.dml.enabled", true)
            .with_setting("quotaAndLimits.dml.insertRate.max", 1)
            .with_setting("quotaAndLimits.dml.upsertRate.max", 1)
    };
    SERVERS.get_or_init(|| {
        let origin = milvus("origin").with_setting("dataCoord.compaction.enableAutoCompaction", false);
        Servers::start(PROGRAM, [origin, limited("limited"), limited("victim"), limited("reborn")])
    })
}

/// Makes a collection of some megabytes in two partitions, of which one is loaded.
pub(crate) fn make(oracle: &mut Oracle, name: &str, thousands: u32) {
    oracle.run(&format!(
        r#"
        simple(origin, "{name}", 0, partitions=["p"], load=False)
        for first in range(0, {thousands}000, 1000):
            # The limit of the server counts what is sent: about a kilobyte a row.
            rows = [dict(row, text=f"{{row['id']:010d}}" * 100) for row in books(1000, first)]
            origin.client.insert("{name}", rows, partition_name=["_default", "p"][first // 1000 % 2])
        origin.client.flush("{name}")
        origin.client.load_partitions("{name}", ["p"])
        "#
    ));
}

/// Starts a migration of one collection and waits until its first rows have landed.
pub(crate) fn start(name: &str, target: &str) -> Started {
    start_with(name, target, &[])
}

/// The same with more arguments.
pub(crate) fn start_with(name: &str, target: &str, more: &[&str]) -> Started {
    let arguments: Vec<_> = ["--collection", name].into_iter().chain(more.iter().copied()).collect();
    started(Vecferry::between(slow(), "migrate", "origin", target, &arguments))
}

/// The same with environment variables.
pub(crate) fn start_in(name: &str, target: &str, variables: &[(&str, &str)]) -> Started {
    start_with_in(name, target, &[], variables)
}

/// The same with both.
pub(crate) fn start_with_in(name: &str, target: &str, more: &[&str], variables: &[(&str, &str)]) -> Started {
    let arguments: Vec<_> = ["--collection", name].into_iter().chain(more.iter().copied()).collect();
    let command = Vecferry::between(slow(), "migrate", "origin", target, &arguments);
    started(variables.iter().fold(command, |command, (name, value)| command.env(name, value)))
}

pub(crate) fn started(command: Vecferry) -> Started {
    launched(command).until(|event| event["event"] == "progress" && event["rows_done"].as_u64().unwrap() > 0)
}

/// Starts a command.
pub(crate) fn launched(command: Vecferry) -> Started {
    let (mut child, command) = command.spawn();
    let mut stderr = child.stderr.take().unwrap();
    let stderr = thread::spawn(move || {
        let mut text = Vec::new();
        stderr.read_to_end(&mut text).map(|_| text).unwrap()
    });
    let (sender, lines) = channel();
    let mut reader = BufReader::new(child.stdout.take().unwrap()).lines();
    thread::spawn(move || reader.try_for_each(|line| sender.send(line.unwrap()).ok()));
    Started { child, stdout: String::new(), lines, stderr, command }
}

pub(crate) struct Started {
    pub(crate) child: Child,
    stdout: String,
    /// Ends with the process.
    lines: Receiver<String>,
    stderr: thread::JoinHandle<Vec<u8>>,
    pub(crate) command: Vecferry,
}

impl Started {
    /// Waits until it said something.
    pub(crate) fn until(mut self, is_it: impl Fn(&Value) -> bool) -> Self {
        loop {
            let line = self.lines.recv().expect("it goes on");
            let event: Value = serde_json::from_str(&line).unwrap();
            self.stdout.push_str(&line);
            self.stdout.push('\n');
            if is_it(&event) {
                return self;
            }
            assert_ne!(event["event"], "report", "it ended too early: {line}");
        }
    }

    /// Waits for its end, and gives its state directory.
    pub(crate) fn command_after_end(mut self, code: i32) -> Vecferry {
        assert_eq!(self.child.wait().unwrap().code(), Some(code));
        self.command
    }

    pub(crate) fn ended(self) -> Run {
        self.ended_with_state().0
    }

    /// Waits for its end, and gives its state directory as well.
    pub(crate) fn ended_with_state(mut self) -> (Run, Vecferry) {
        let status = self.child.wait().unwrap();
        let stdout = self.lines.iter().fold(self.stdout, |all, line| all + &line + "\n");
        let stderr = self.stderr.join().unwrap();
        let run = Run::new(std::process::Output { status, stdout: stdout.into_bytes(), stderr });
        (run, self.command)
    }
}

#[test]
fn a_rate_limit_slows_a_job_down_and_never_fails_it() {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, "limited_rows", 6);
    let begin = Instant::now();
    let run = Vecferry::migrate(slow(), "origin", "limited", &["--collection", "limited_rows"]);
    let collection = &run.succeeded()["collections"][0];
    assert_eq!(collection["rows"], 6000);
    // More than six megabytes at one a second, and the burst that the server allows at first.
    assert!(begin.elapsed() > Duration::from_secs(3), "the limit of the server does not work");
    oracle.run(
        r#"
        origin.load("limited_rows")
        limited.load("limited_rows")
        assert same(origin, limited, "limited_rows") == 6000
        "#,
    );
}

#[test]
fn an_interrupt_ends_cleanly_says_what_landed_and_leaves_the_source_as_it_was() {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, "interrupted", 20);
    let started = start("interrupted", "limited");
    let begin = Instant::now();
    let killed = Command::new("kill").args(["-INT", &started.child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let run = started.ended();
    assert!(begin.elapsed() < Duration::from_secs(30), "it took {:?} to end", begin.elapsed());
    run.failed(
        130,
        "VF-0501",
        "canceled; complete on the target (rows): –; incomplete: default.interrupted (",
    );
    let report = run.report();
    assert_eq!((report["state"].as_str(), report["verified"].as_str()), (Some("CANCELED"), Some("none")));
    let rows = report["collections"][0]["rows"].as_u64().unwrap();
    assert!((1..20_000).contains(&rows), "{rows}");
    oracle.run(&format!(
        r#"
        assert origin.loaded("interrupted") == {{"_default": "LoadStateNotLoad", "p": "LoadStateLoaded"}}, origin.loaded("interrupted")
        # What the report names is there.
        if not limited.client.list_indexes("interrupted"):
            limited.index("interrupted", "vector", **FLAT)
        limited.load("interrupted")
        assert limited.count("interrupted") == {rows}, limited.count("interrupted")
        "#
    ));
}

#[test]
fn a_target_that_dies_and_comes_back_ends_with_every_row_once() {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, "reborn_rows", 20);
    let started = start("reborn_rows", "reborn");
    slow().sandbox().kill("reborn").unwrap();
    // It is met while it is away, however long the copy waits for the rate limit just now.
    let started = started.until(|event| event["event"] == "waiting" && event["reason"] == "target_busy");
    slow().sandbox().start_server("reborn").unwrap();
    let run = started.ended();
    assert_eq!(run.succeeded()["collections"][0]["rows"], 20_000);
    oracle.run(
        r#"
        origin.load("reborn_rows")
        reborn.load("reborn_rows")
        assert reborn.count("reborn_rows") == 20000, reborn.count("reborn_rows")
        assert same(origin, reborn, "reborn_rows") == 20000
        "#,
    );
}

#[test]
fn a_target_that_dies_fails_the_job_in_time_and_leaves_the_source_as_it_was() {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, "orphaned", 20);
    let started = start("orphaned", "victim");
    let begin = Instant::now();
    slow().sandbox().kill("victim").unwrap();
    let run = started.ended();
    assert!(begin.elapsed() < Duration::from_secs(120), "it took {:?} to give up", begin.elapsed());
    run.failed(4, "VF-0302", "the target failed while `default.orphaned` was written");
    let report = run.report();
    assert_eq!(report["state"], "FAILED");
    let rows = report["collections"][0]["rows"].as_u64().unwrap();
    assert!((1..20_000).contains(&rows), "{rows}");
    oracle.run(
        r#"
        assert origin.loaded("orphaned") == {"_default": "LoadStateNotLoad", "p": "LoadStateLoaded"}, origin.loaded("orphaned")
        "#,
    );
}
