//! `cargo xtask bench profile`: where each second of one job goes.

mod log;
mod timeline;

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use clap::Args;
use serde::Serialize;
use serde_json::Value;
use vecferry_testkit::FaultProxy;

use super::machine::Machine;
use super::servers::{Servers, Side};
use super::{child, data, process};
use crate::{Failure, output};
use timeline::{Marks, Phase, Sample};

/// The collection that is copied.
const NAME: &str = "bench";
/// What is logged.
const LOG: &str = "vecferry_milvus=trace,vecferry_migrate=trace";
/// How often the CPU is looked at; Linux counts it in steps of 10 ms.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(50);
/// Calls of a phase that took less in all are not shown in the table.
const SHOWN_SECONDS_MIN: f64 = 0.005;

/// What to copy
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    size: data::Size,
    /// How the rows are verified
    #[arg(long, default_value = "sample", value_parser = ["none", "count", "sample", "full"])]
    verify: String,
    /// Milliseconds that everything is on its way, in each direction, to the source and to the target
    #[arg(long, default_value_t = 0)]
    delay: u16,
    #[command(flatten)]
    program: child::Program,
    /// Keep the job's log in this file
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Print one JSON object instead of the tables
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    rows: u32,
    dim: u16,
    verify: String,
    round_trip_milliseconds: u32,
    seconds: f64,
    phases: Vec<Phase>,
}

/// Measures and prints.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let machine = Machine::read()?;
    let program = arguments.program.path()?;
    let servers = Servers::start(&program, false)?;
    fill(&servers, arguments.size)?;
    servers.wait_until_idle()?;
    let directory = tempfile::tempdir()?;
    let log = arguments.log.clone().unwrap_or_else(|| directory.path().join("log"));
    let migration = child::Migration {
        program: &program,
        collection: NAME,
        verify: &arguments.verify,
        rows: arguments.size.rows as usize,
    };
    let own = [Side::Source, Side::Target].map(|side| servers.info(side).uri.clone());
    let delay = Duration::from_millis(arguments.delay.into());
    let proxies =
        (!delay.is_zero()).then(|| own.each_ref().map(|uri| FaultProxy::start_with_delay(uri, delay)));
    let ways = proxies.as_ref().map_or(own, |proxies| proxies.each_ref().map(FaultProxy::uri));
    let uris = ways.each_ref().map(String::as_str);
    let mut command = migration.command(&servers, uris, &directory.path().join("state"));
    command.args(["--log", LOG, "--log-format", "json"]).stderr(File::create(&log)?);
    let (marks, samples) = follow(&servers, command)?;
    let calls = log::calls(&std::fs::read_to_string(&log)?, uris)?;
    let spans = timeline::spans(&marks, &calls);
    let report = Report {
        machine,
        rows: arguments.size.rows,
        dim: arguments.size.dim,
        verify: arguments.verify.clone(),
        round_trip_milliseconds: 2 * u32::from(arguments.delay),
        seconds: marks.end - marks.begin,
        phases: timeline::phases(&spans, &calls, &samples),
    };
    output::result(&if arguments.json { serde_json::to_string_pretty(&report)? } else { report.to_string() });
    Ok(())
}

fn fill(servers: &Servers, size: data::Size) -> Result<(), Failure> {
    let (rows, dim) = (size.rows as usize, usize::from(size.dim));
    output::note(&format!("filling the source with {rows} rows"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (client, name) = (servers.connect(Side::Source).await?, data::collection(NAME));
        data::create(&client, &name, dim).await?;
        data::fill(&client, &name, rows, dim).await?;
        data::flush(&client, &name).await?;
        data::load(&client, &name).await
    })
}

/// Runs the job to its end, and notes when it enters what, and what everybody used by then.
fn follow(servers: &Servers, mut command: std::process::Command) -> Result<(Marks, Vec<Sample>), Failure> {
    let mut marks = Marks { begin: now()?, ..Marks::default() };
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let lines = BufReader::new(child.stdout.take().ok_or("a child without output")?).lines();
    let (pid, ended) = (child.id(), AtomicBool::new(false));
    let (noted, status, samples) = thread::scope(|scope| {
        let sampler = scope.spawn(|| samples(servers, pid, &ended));
        let noted = note(lines, &mut marks);
        let status = child.wait();
        ended.store(true, Ordering::Relaxed);
        (noted, status, sampler.join().map_err(|_| "the CPU was not looked at"))
    });
    marks.end = now()?;
    let (last, status) = (noted?, status?);
    if !status.success() {
        return Err(format!("vecferry ended with {status}: {last}").into());
    }
    Ok((marks, samples??))
}

/// Reads all that the job tells; returns the last line.
fn note(lines: impl Iterator<Item = std::io::Result<String>>, marks: &mut Marks) -> Result<String, Failure> {
    let mut last = String::new();
    for line in lines {
        last = line?;
        let at = now()?;
        if let Some(phase) = child::phase(&last) {
            marks.phases.entry(phase).or_insert(at);
        } else if serde_json::from_str::<Value>(&last).is_ok_and(|line| line["event"] == "plan") {
            marks.planned = Some(at);
        }
    }
    Ok(last)
}

fn samples(servers: &Servers, pid: u32, ended: &AtomicBool) -> Result<Vec<Sample>, Failure> {
    let mut samples: Vec<Sample> = Vec::new();
    loop {
        let is_last = ended.load(Ordering::Relaxed);
        // Once it has ended nobody counts for it.
        let client = process::cpu_seconds(pid).ok().or(samples.last().map(|sample| sample.client));
        samples.push(Sample {
            at: now()?,
            source: servers.cpu_seconds(Side::Source)?,
            target: servers.cpu_seconds(Side::Target)?,
            client: client.unwrap_or_default(),
        });
        if is_last {
            return Ok(samples);
        }
        thread::sleep(SAMPLE_INTERVAL);
    }
}

/// Seconds since 1970, as the log counts them.
fn now() -> Result<f64, Failure> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, dim, verify, round_trip_milliseconds, seconds, .. } = self;
        writeln!(f, "\n{}", self.machine)?;
        write!(f, "{rows} rows, dimension {dim}, --verify {verify}")?;
        if *round_trip_milliseconds > 0 {
            write!(f, ", {round_trip_milliseconds} ms a round trip")?;
        }
        writeln!(f, ": {seconds:.2} s, with the log on\n")?;
        writeln!(
            f,
            "| phase                     | seconds | without a call | source, cores | target, cores | client, cores |\n\
             |---------------------------|--------:|---------------:|--------------:|--------------:|--------------:|"
        )?;
        for phase in &self.phases {
            let cores = |cpu: f64| cpu / phase.seconds.max(f64::MIN_POSITIVE);
            writeln!(
                f,
                "| {:<25} | {:>7.2} | {:>14.2} | {:>13.2} | {:>13.2} | {:>13.2} |",
                phase.name,
                phase.seconds,
                phase.seconds_without_calls,
                cores(phase.source_cpu_seconds),
                cores(phase.target_cpu_seconds),
                cores(phase.client_cpu_seconds)
            )?;
        }
        writeln!(
            f,
            "\n| phase                     | server | call                     | number | seconds in calls | alone |    MB |\n\
             |---------------------------|--------|--------------------------|-------:|-----------------:|------:|------:|"
        )?;
        for phase in &self.phases {
            for calls in phase.calls.iter().filter(|calls| calls.seconds >= SHOWN_SECONDS_MIN) {
                let server = match calls.server {
                    log::Server::Source => "source",
                    log::Server::Target => "target",
                };
                writeln!(
                    f,
                    "| {:<25} | {server} | {:<24} | {:>6} | {:>16.2} | {:>5.2} | {:>5.1} |",
                    phase.name,
                    calls.method,
                    calls.number,
                    calls.seconds,
                    calls.seconds_alone,
                    calls.bytes as f64 / 1e6
                )?;
            }
        }
        writeln!(
            f,
            "\nSeconds in calls are summed: calls at the same time count each. Alone: nothing else was under way. \
             MB: 10^6 bytes of the answers."
        )
    }
}
