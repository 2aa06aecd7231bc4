//! Legs that another program walks: Vecferry, the usual script, and the tuned one.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use super::meter::{Leg, Meter};
use super::process;
use super::servers::{Servers, Side};
use crate::Failure;

/// How often a child's memory is looked at. The kernel keeps the peak, so only its last moments could be missed.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The `vecferry` that is measured
#[derive(Clone, Debug, Args)]
pub(crate) struct Program {
    /// A `vecferry` that is built already; without it, one is built as it is released
    #[arg(long)]
    program: Option<PathBuf>,
}

impl Program {
    /// Where it is, built if it was not given.
    pub(crate) fn path(&self) -> Result<PathBuf, Failure> {
        match &self.program {
            Some(program) => Ok(program.canonicalize()?),
            None => super::build(),
        }
    }
}

/// A job for one collection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Migration<'a> {
    /// A `vecferry`.
    pub(crate) program: &'a Path,
    /// The collection.
    pub(crate) collection: &'a str,
    /// How its rows are verified.
    pub(crate) verify: &'a str,
    /// Rows that it holds.
    pub(crate) rows: usize,
}

impl Migration<'_> {
    /// `vecferry migrate` with these addresses of source and target.
    pub(crate) fn command(&self, servers: &Servers, uris: [&str; 2], state: &Path) -> Command {
        let mut command = job_command(self.program, servers, "migrate", state);
        command.args(["--yes", "--verify", self.verify]);
        command.args(["--collection", self.collection, "--source", uris[0], "--target", uris[1]]);
        command
    }
}

/// A `vecferry` that prints JSON and may access both servers.
pub(crate) fn job_command(program: &Path, servers: &Servers, verb: &str, state: &Path) -> Command {
    let (source, target) = (servers.info(Side::Source), servers.info(Side::Target));
    let mut command = Command::new(program);
    command.args([verb, "--json", "--lang", "en", "--state-dir"]).arg(state);
    command.env("VECFERRY_SOURCE_TOKEN", source.token.as_deref().unwrap_or_default());
    command.env("VECFERRY_TARGET_TOKEN", target.token.as_deref().unwrap_or_default());
    command
}

/// Runs a `vecferry` that prints JSON, and returns its report.
pub(crate) fn reported(servers: &Servers, mut command: Command) -> Result<(Leg, Value), Failure> {
    command.stderr(Stdio::null());
    let mut report = None;
    let leg = run(servers, command, |line, _| {
        let line = serde_json::from_str::<Value>(line).ok();
        report = line.and_then(|mut line| line.get_mut("report").map(Value::take)).or(report.take());
        Ok(())
    })?;
    Ok((leg, report.ok_or("vecferry printed no report")?))
}

/// Runs `vecferry migrate` for one collection; its report must name as many rows as expected.
pub(crate) fn vecferry(servers: &Servers, migration: &Migration<'_>) -> Result<Leg, Failure> {
    let [source, target] = [Side::Source, Side::Target].map(|side| servers.info(side).uri);
    vecferry_at(servers, migration, [&source, &target])
}

/// The same by other ways to the servers.
pub(crate) fn vecferry_at(
    servers: &Servers,
    migration: &Migration<'_>,
    uris: [&str; 2],
) -> Result<Leg, Failure> {
    let (state, rows) = (tempfile::tempdir()?, migration.rows);
    let mut command = migration.command(servers, uris, state.path());
    // The plan, for people; what went wrong stands in the last line of its output too.
    command.stderr(Stdio::null());
    let (mut flush, mut moved) = ((None, None), None);
    let leg = run(servers, command, |line, meter| {
        moved = Moved::read(line).or(moved);
        match phase(line).as_deref() {
            Some("flushing") => {
                flush.0 = Some(meter.seconds());
                meter.flush_begins(servers)?;
            }
            Some("verifying") => flush.1 = flush.1.or(Some(meter.seconds())),
            Some("indexing") => {
                flush.1 = flush.1.or(Some(meter.seconds()));
                // The target builds its indexes from now on: no part of the copy, and nobody waits for it.
                meter.servers_end_here(servers)?;
            }
            Some(_) | None => {}
        }
        Ok(())
    })?;
    let flush_seconds = if let (Some(begin), Some(end)) = flush { Some(end - begin) } else { None };
    // Without a proof a job that reads nothing would be the fastest.
    match moved {
        Some(moved) if moved.rows != rows as u64 => {
            Err(format!("vecferry was to move {rows} rows and moved {}", moved.rows).into())
        }
        Some(moved) if moved.loaded => Err("vecferry left the target collection loaded".into()),
        Some(moved) => Ok(Leg {
            flush_seconds,
            copy_seconds: Some(moved.copy_seconds),
            estimated_seconds: Some(moved.estimated_seconds),
            ledger_busy_seconds: Some(moved.ledger_busy_seconds),
            ledger_commits: Some(moved.ledger_commits),
            pages: Some(moved.pages),
            indexed_rows_at_end: Some(moved.indexed_rows),
            ..leg
        }),
        None => Err("vecferry printed no report".into()),
    }
}

/// What the report of a job says of its one collection.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Moved {
    rows: u64,
    copy_seconds: f64,
    /// What it was expected to take, before it began.
    estimated_seconds: f64,
    /// Rows that the target's indexes covered when the job ended.
    indexed_rows: u64,
    loaded: bool,
    ledger_busy_seconds: f64,
    ledger_commits: u64,
    pages: u64,
}

impl Moved {
    /// Reads the line of `--json` that holds the report.
    fn read(line: &str) -> Option<Self> {
        let line: Value = serde_json::from_str(line).ok()?;
        let collection = line.pointer("/report/collections/0")?;
        let indexes = collection.get("indexes")?.as_array()?;
        let pace = line.pointer("/report/pace")?;
        Some(Self {
            rows: collection.get("rows")?.as_u64()?,
            copy_seconds: collection.get("copy_seconds")?.as_f64()?,
            estimated_seconds: line.pointer("/report/estimate/copy_seconds_estimated")?.as_f64()?,
            indexed_rows: indexes.iter().filter_map(|index| index["built_rows"].as_u64()).sum(),
            loaded: collection.get("loaded")?.as_bool()?,
            ledger_busy_seconds: pace.get("ledger_busy_seconds")?.as_f64()?,
            ledger_commits: pace.get("ledger_commits")?.as_u64()?,
            pages: pace.get("pages")?.as_u64()?,
        })
    }
}

/// The phase that a line of `--json` says a collection enters.
pub(crate) fn phase(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    if line.get("event")?.as_str()? != "phase" {
        return None;
    }
    line.get("phase")?.as_str().map(str::to_owned)
}

/// A program that is compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Script {
    /// pymilvus, `query_iterator` and `insert`.
    Usual,
    /// Raw messages in several processes.
    Tuned,
}

impl Script {
    fn path(self) -> PathBuf {
        workspace().join(match self {
            Self::Usual => "bench/usual_script.py",
            Self::Tuned => "bench/tuned_script.py",
        })
    }
}

/// What a script says in the end.
#[derive(Debug, Deserialize)]
struct Said {
    rows: u64,
    pymilvus: String,
}

/// Runs a script for one collection; it must report as many rows as expected. Returns also the version of pymilvus: its
/// speed depends much on it.
pub(crate) fn script(
    servers: &Servers,
    script: Script,
    collection: &str,
    rows: u64,
) -> Result<(Leg, String), Failure> {
    let pymilvus: PathBuf = servers.pymilvus().ok_or("pymilvus was not asked for")?;
    let (source, target) = (servers.info(Side::Source), servers.info(Side::Target));
    let mut command = Command::new("python3");
    // What it warns of is of no use here.
    command.args(["-W", "ignore"]).arg(script.path());
    command.args([&source.uri, &target.uri, collection]);
    command.env("PYTHONPATH", pymilvus);
    command.env("SOURCE_TOKEN", source.token.as_deref().unwrap_or_default());
    command.env("TARGET_TOKEN", target.token.as_deref().unwrap_or_default());
    let mut last = String::new();
    let leg = run(servers, command, |line, _| {
        line.clone_into(&mut last);
        Ok(())
    })?;
    let said: Said = serde_json::from_str(&last)?;
    if said.rows != rows {
        return Err(format!("the script moved {} rows instead of {rows}", said.rows).into());
    }
    Ok((leg, said.pymilvus))
}

/// The directory of the workspace.
pub(crate) fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}

fn run(
    servers: &Servers,
    mut command: Command,
    mut on_line: impl FnMut(&str, &mut Meter) -> Result<(), Failure>,
) -> Result<Leg, Failure> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut meter = Meter::start(servers)?;
    let mut child = command.spawn()?;
    let pid = child.id();
    let ended = AtomicBool::new(false);
    let (last, status, peak) = thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(pid, &ended));
        let last = follow(&mut child, |line| on_line(line, &mut meter));
        let status = child.wait();
        ended.store(true, Ordering::Relaxed);
        (last, status, watcher.join().unwrap_or_default())
    });
    let leg = meter.stop(servers)?;
    let (last, status) = (last?, status?);
    if !status.success() {
        return Err(format!("{} ended with {status}: {last}", command.get_program().display()).into());
    }
    Ok(Leg { peak_bytes: peak, ..leg })
}

/// Runs a program that is to succeed, and shows every line of its output.
pub(crate) fn lines_of(mut command: Command, mut on_line: impl FnMut(&str)) -> Result<(), Failure> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let last = follow(&mut child, |line| {
        on_line(line);
        Ok(())
    });
    let status = child.wait()?;
    let last = last?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{} ended with {status}: {last}", command.get_program().display()).into())
}

/// Reads all lines of a child's output. Returns the last.
fn follow(
    child: &mut Child,
    mut on_line: impl FnMut(&str) -> Result<(), Failure>,
) -> Result<String, Failure> {
    let mut output = BufReader::new(child.stdout.take().ok_or("a child without output")?);
    let (mut line, mut last) = (String::new(), String::new());
    while output.read_line(&mut line)? > 0 {
        if let Err(failure) = on_line(line.trim_end()) {
            // It must not wait for a reader.
            std::io::copy(&mut output.by_ref(), &mut std::io::sink())?;
            return Err(failure);
        }
        std::mem::swap(&mut line, &mut last);
        line.clear();
    }
    Ok(last)
}

/// Most memory that a process and its children occupied before it ended.
fn watch(pid: u32, ended: &AtomicBool) -> Option<u64> {
    let mut peak = None;
    while !ended.load(Ordering::Relaxed) {
        peak = peak.max(process::peak_memory_with_children(pid));
        thread::sleep(POLL_INTERVAL);
    }
    peak
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_of_phases_name_one() {
        let line = r#"{"event":"phase","collection":"default.a","phase":"indexing"}"#;
        assert_eq!(phase(line).as_deref(), Some("indexing"));
        assert_eq!(phase(r#"{"event":"progress","phase":"indexing"}"#), None);
        assert_eq!(phase("12"), None);
    }

    #[test]
    fn the_report_says_what_was_moved() {
        let line = r#"{"event":"report","report":{"collections":[{"rows":7,"copy_seconds":0.5,"loaded":false,
            "indexes":[{"built_rows":3},{"built_rows":4}]}],
            "estimate":{"copy_seconds_estimated":0.75},
            "pace":{"ledger_busy_seconds":0.25,"ledger_commits":30,"pages":12}}}"#;
        let moved = Moved {
            rows: 7,
            copy_seconds: 0.5,
            estimated_seconds: 0.75,
            indexed_rows: 7,
            loaded: false,
            ledger_busy_seconds: 0.25,
            ledger_commits: 30,
            pages: 12,
        };
        assert_eq!(Moved::read(line), Some(moved));
        assert_eq!(Moved::read(r#"{"event":"phase","phase":"done"}"#), None);
    }

    #[test]
    fn the_scripts_are_where_they_are_looked_for() {
        assert!(Script::Usual.path().is_file() && Script::Tuned.path().is_file());
    }
}
