//! `cargo xtask bench estimate`: how far the expected time of a job is from the time it takes.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use serde_json::Value;
use tokio::runtime::Runtime;
use vecferry_milvus::CollectionName;
use vecferry_sandbox::ServerKind;

use super::machine::Machine;
use super::servers::{Servers, Side};
use super::{child, data};
use crate::{Failure, output};

/// How far an expected time may be off.
const OFF_MAX: f64 = 0.3;
/// Rows and dimension of a small collection.
const SMALL_ROWS: usize = 200;
const SMALL_DIM: usize = 32;
/// Collections that are made at once.
const MAKERS: usize = 8;

/// What to migrate
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    size: data::Size,
    /// Small collections
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    small: u32,
    /// Small collections beside a large one
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
    mixed: u32,
    /// How the rows are verified
    #[arg(long, default_value = "sample", value_parser = ["none", "count", "sample", "full"])]
    verify: String,
    #[command(flatten)]
    program: child::Program,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
}

/// One job.
#[derive(Clone, Debug, Serialize)]
struct Line {
    job: String,
    /// Expected by `plan`, which only reads.
    assumed_seconds: f64,
    /// Expected by `plan --probe-write`, which measures the steps of collections on the target.
    measured_seconds: f64,
    /// What the job took.
    seconds: f64,
}

impl Line {
    fn ratio(&self, expected: f64) -> f64 {
        expected / self.seconds.max(f64::MIN_POSITIVE)
    }

    fn is_near(&self) -> bool {
        (self.ratio(self.measured_seconds) - 1.0).abs() <= OFF_MAX
    }
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    verify: String,
    lines: Vec<Line>,
}

/// Measures and prints.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let machine = Machine::read()?;
    let program = arguments.program.path()?;
    let servers = Servers::start_of(ServerKind::Milvus235, &program, false)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let bench = Bench { arguments, program, servers, runtime };
    let (rows, dim, small, mixed) =
        (arguments.size.rows, arguments.size.dim, arguments.small, arguments.mixed);
    let large = format!("{rows} rows x {dim}");
    let lines = [
        ("one", format!("one of {large}"), true, 0),
        ("small", format!("{small} of {SMALL_ROWS} rows"), false, small),
        ("mix", format!("one of {large}, {mixed} of {SMALL_ROWS} rows"), true, mixed),
    ];
    let lines = lines.into_iter().map(|(db, job, has_large, small)| bench.line(db, job, has_large, small));
    let lines = lines.collect::<Result<Vec<_>, _>>()?;
    let report = Report { machine, verify: arguments.verify.clone(), lines };
    output::result(&if arguments.json { serde_json::to_string_pretty(&report)? } else { report.to_string() });
    match report.lines.iter().filter(|line| !line.is_near()).count() {
        0 => Ok(()),
        number => Err(format!("{number} job(s) took another time than expected").into()),
    }
}

struct Bench<'a> {
    arguments: &'a Arguments,
    program: PathBuf,
    servers: Servers,
    runtime: Runtime,
}

impl Bench<'_> {
    fn line(&self, db: &str, job: String, has_large: bool, small: u32) -> Result<Line, Failure> {
        output::note(&format!("{job}: filling"));
        self.runtime.block_on(self.fill(db, has_large, small))?;
        self.servers.wait_until_idle()?;
        let state = tempfile::tempdir()?;
        let file = state.path().join("plan.json");
        let assumed_seconds = self.plan(db, state.path(), &file, &[])?;
        let measured_seconds = self.plan(db, state.path(), &file, &["--probe-write"])?;
        let seconds = self.migrate(state.path(), &file)?;
        output::note(&format!(
            "{job}: {assumed_seconds:.1} s assumed, {measured_seconds:.1} s measured, {seconds:.1} s taken"
        ));
        Ok(Line { job, assumed_seconds, measured_seconds, seconds })
    }

    async fn fill(&self, db: &str, has_large: bool, small: u32) -> Result<(), Failure> {
        let client = &self.servers.connect(Side::Source).await?;
        client.create_database(db, Vec::new()).await?;
        let make = async |name: &CollectionName, rows: usize, dim: usize| {
            data::make(client, name, rows, dim).await.map(drop)
        };
        if has_large {
            let (rows, dim) = (self.arguments.size.rows as usize, usize::from(self.arguments.size.dim));
            make(&CollectionName::new(db, "large"), rows, dim).await?;
        }
        let names = (0..small).map(|at| CollectionName::new(db, format!("small_{at}")));
        let make = |name: CollectionName| async move { make(&name, SMALL_ROWS, SMALL_DIM).await };
        stream::iter(names).map(make).buffer_unordered(MAKERS).try_collect().await
    }

    /// Seconds that a plan expects.
    fn plan(&self, db: &str, state: &Path, file: &Path, more: &[&str]) -> Result<f64, Failure> {
        if file.exists() {
            std::fs::remove_file(file)?;
        }
        let mut command = self.command("plan", state);
        command.args(["--verify", &self.arguments.verify, "--collection", &format!("{db}.*")]).args(more);
        command.arg("--output").arg(file);
        child::lines_of(command, |_| {})?;
        let plan: Value = serde_json::from_str(&std::fs::read_to_string(file)?)?;
        let seconds = plan.pointer("/plan/duration/seconds").and_then(Value::as_f64);
        seconds.ok_or_else(|| "the plan expects no time".into())
    }

    /// Seconds that the job of a plan takes.
    fn migrate(&self, state: &Path, file: &Path) -> Result<f64, Failure> {
        let mut command = self.command("migrate", state);
        command.arg("--yes").arg("--plan").arg(file);
        let mut seconds = None;
        child::lines_of(command, |line| {
            let Ok(line) = serde_json::from_str::<Value>(line) else { return };
            seconds = line.pointer("/report/seconds").and_then(Value::as_f64).or(seconds);
        })?;
        seconds.ok_or_else(|| "vecferry printed no report".into())
    }

    fn command(&self, command: &str, state: &Path) -> Command {
        let [source, target] = [Side::Source, Side::Target].map(|side| self.servers.info(side).uri);
        let mut process = child::job_command(&self.program, &self.servers, command, state);
        process.args(["--source", &source, "--target", &target]);
        process
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}; --verify {}\n", self.machine, self.verify)?;
        writeln!(
            f,
            "| job                                          | seconds | plan | times the real | plan --probe-write | times the real |\n\
             |----------------------------------------------|--------:|-----:|---------------:|-------------------:|---------------:|"
        )?;
        for line in &self.lines {
            writeln!(
                f,
                "| {:<44} | {:>7.1} | {:>4.1} | {:>14.2} | {:>18.1} | {:>14.2} |",
                line.job,
                line.seconds,
                line.assumed_seconds,
                line.ratio(line.assumed_seconds),
                line.measured_seconds,
                line.ratio(line.measured_seconds),
            )?;
        }
        writeln!(f, "\naim: what was measured before is within {OFF_MAX} of the time that the job takes")
    }
}
