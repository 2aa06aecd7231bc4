//! `cargo xtask bench many`: whether time grows faster than the number of collections or partitions.

mod minimum;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use serde_json::Value;
use tokio::runtime::Runtime;
use vecferry_milvus::{CollectionName, DB_DEFAULT};
use vecferry_sandbox::ServerKind;

use super::machine::Machine;
use super::servers::{Servers, Side};
use super::{child, data};
use crate::{Failure, output};
use minimum::Flushes;

/// Dimension of the vectors: what is measured is not the rows.
const DIM: usize = 8;
/// Collections and partitions that are made at once.
const MAKERS: usize = 8;
/// Most time a collection (or partition), in times of the one where there are fewest.
const GROWTH_MAX: f64 = 1.5;
/// Most seconds each, for so many collections of a Milvus 2.3.5.
const SECONDS_EACH_MAX: (u32, f64) = (100, 0.7);

/// How many collections
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Collections of a Milvus 2.3.5, one job for each of these numbers
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100, 300])]
    collections: Vec<u32>,
    /// The same with a milvus-lite 3.2.2
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1000])]
    lite_collections: Vec<u32>,
    /// Partitions of one collection of a Milvus 2.3.5
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100])]
    partitions: Vec<u32>,
    /// The same with a milvus-lite 3.2.2
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1000])]
    lite_partitions: Vec<u32>,
    /// Collections that a client which does nothing else makes on the Milvus 2.3.5, to see what the server itself needs; 0
    /// leaves that out
    #[arg(long, default_value_t = 100)]
    minimum: u32,
    /// Rows of each collection, and of each partition
    #[arg(long, default_value_t = 20)]
    rows: u32,
    #[command(flatten)]
    program: child::Program,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
}

/// What there are many of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Collections,
    LiteCollections,
    Partitions,
    LitePartitions,
}

impl What {
    fn title(self) -> &'static str {
        match self {
            Self::Collections => "collections, 2.3.5",
            Self::LiteCollections => "collections, lite 3.2.2",
            Self::Partitions => "partitions of one, 2.3.5",
            Self::LitePartitions => "partitions of one, lite",
        }
    }

    fn servers(self) -> ServerKind {
        match self {
            Self::Collections | Self::Partitions => ServerKind::Milvus235,
            Self::LiteCollections | Self::LitePartitions => ServerKind::Lite322,
        }
    }
}

/// One job.
#[derive(Clone, Debug, Serialize)]
struct Line {
    what: What,
    number: u32,
    /// From its start to its end, pre-check included.
    seconds: f64,
    /// Of it, until the plan was there.
    plan_seconds: f64,
    seconds_each: f64,
    /// In times of the first line of the same kind.
    growth: f64,
}

/// What the server itself needs.
#[derive(Clone, Debug, Serialize)]
struct Minimum {
    flushes: Flushes,
    number: u32,
    seconds: f64,
    seconds_each: f64,
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    rows_each: u32,
    lines: Vec<Line>,
    minimum: Vec<Minimum>,
}

/// Measures and prints.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let machine = Machine::read()?;
    let program = arguments.program.path()?;
    let (mut lines, mut minimum) = (Vec::new(), Vec::new());
    for (what, numbers) in [
        (What::Collections, &arguments.collections),
        (What::LiteCollections, &arguments.lite_collections),
        (What::Partitions, &arguments.partitions),
        (What::LitePartitions, &arguments.lite_partitions),
    ] {
        // A single 0 leaves a kind out.
        let numbers: Vec<_> = numbers.iter().copied().filter(|number| *number > 0).collect();
        if !numbers.is_empty() {
            let bench = Bench::start(what, &program, arguments.rows)?;
            if what == What::Collections && arguments.minimum > 0 {
                minimum = bench.minimum(arguments.minimum)?;
            }
            lines.extend(bench.lines(&numbers)?);
        }
    }
    let report = Report { machine, rows_each: arguments.rows, lines, minimum };
    output::result(&if arguments.json { serde_json::to_string_pretty(&report)? } else { report.to_string() });
    let grown = report.lines.iter().filter(|line| line.growth > GROWTH_MAX).count();
    if grown == 0 {
        Ok(())
    } else {
        Err(format!("{grown} job(s) took longer for each than a small one").into())
    }
}

struct Bench {
    what: What,
    program: PathBuf,
    rows: usize,
    servers: Servers,
    runtime: Runtime,
}

impl Bench {
    fn start(what: What, program: &Path, rows: u32) -> Result<Self, Failure> {
        Ok(Self {
            what,
            program: program.to_path_buf(),
            rows: rows as usize,
            servers: Servers::start_of(what.servers(), program, false)?,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
        })
    }

    fn lines(&self, numbers: &[u32]) -> Result<Vec<Line>, Failure> {
        let mut lines: Vec<Line> = Vec::new();
        for &number in numbers {
            let name = format!("many_{number}");
            output::note(&format!("{}: making {number}", self.what.title()));
            let selected = match self.what {
                What::Collections | What::LiteCollections => {
                    self.runtime.block_on(self.make_collections(&name, number))?;
                    format!("{name}.*")
                }
                What::Partitions | What::LitePartitions => {
                    self.runtime.block_on(self.make_partitions(&name, number))?;
                    name
                }
            };
            self.servers.wait_until_idle()?;
            let (seconds, plan_seconds) = self.migrate(&selected, u64::from(number) * self.rows as u64)?;
            output::note(&format!("{}: {number} in {seconds:.1} s", self.what.title()));
            let seconds_each = seconds / f64::from(number.max(1));
            let growth = lines.first().map_or(1.0, |first| seconds_each / first.seconds_each);
            lines.push(Line { what: self.what, number, seconds, plan_seconds, seconds_each, growth });
        }
        Ok(lines)
    }

    /// Measured first, on a target that holds nothing else, and removed again.
    fn minimum(&self, number: u32) -> Result<Vec<Minimum>, Failure> {
        let size = minimum::Size { collections: number, rows: self.rows, dim: DIM };
        let measure = |flushes: Flushes| {
            self.servers.wait_until_idle()?;
            let seconds = self.runtime.block_on(async {
                let client = self.servers.connect(Side::Target).await?;
                minimum::measure(&client, size, flushes).await
            })?;
            output::note(&format!("server alone, flushed {}: {number} in {seconds:.1} s", flushes.title()));
            Ok(Minimum { flushes, number, seconds, seconds_each: seconds / f64::from(number) })
        };
        Flushes::ALL.into_iter().map(measure).collect()
    }

    async fn make_collections(&self, db: &str, number: u32) -> Result<(), Failure> {
        let client = self.servers.connect(Side::Source).await?;
        client.create_database(db, Vec::new()).await?;
        let make = |at: u32| {
            let (client, name) = (&client, CollectionName::new(db, format!("collection_{at}")));
            async move {
                data::create(client, &name, DIM).await?;
                data::fill(client, &name, self.rows, DIM).await?;
                data::load(client, &name).await
            }
        };
        stream::iter(0..number).map(make).buffer_unordered(MAKERS).try_collect().await
    }

    async fn make_partitions(&self, name: &str, number: u32) -> Result<(), Failure> {
        let client = &self.servers.connect(Side::Source).await?;
        let name = &CollectionName::new(DB_DEFAULT, name);
        data::create(client, name, DIM).await?;
        // One of them is `_default`.
        let make = |at: u32| async move {
            let partition = (at > 0).then(|| format!("partition_{at}"));
            if let Some(partition) = &partition {
                client.create_partition(name, partition).await?;
            }
            data::fill_partition(client, name, partition.as_deref(), at as usize * self.rows, self.rows, DIM)
                .await
        };
        stream::iter(0..number).map(make).buffer_unordered(MAKERS).try_collect::<()>().await?;
        // Lite goes through all rows that are not stored for every partition it is asked about.
        data::flush(client, name).await?;
        data::load(client, name).await
    }

    /// Seconds of the whole job, and until its plan was there.
    fn migrate(&self, selected: &str, rows: u64) -> Result<(f64, f64), Failure> {
        let state = tempfile::tempdir()?;
        let (source, target) = (self.servers.info(Side::Source), self.servers.info(Side::Target));
        let mut command = Command::new(&self.program);
        command.args(["migrate", "--yes", "--json", "--lang", "en", "--collection", selected]);
        command.args(["--source", &source.uri, "--target", &target.uri]);
        command.arg("--state-dir").arg(state.path());
        command.env("VECFERRY_SOURCE_TOKEN", source.token.as_deref().unwrap_or_default());
        command.env("VECFERRY_TARGET_TOKEN", target.token.as_deref().unwrap_or_default());
        let begin = Instant::now();
        let (mut planned, mut moved) = (None, 0);
        child::lines_of(command, |line| {
            let Ok(line) = serde_json::from_str::<Value>(line) else { return };
            if line["event"] == "plan" {
                planned = Some(begin.elapsed().as_secs_f64());
            }
            if let Some(collections) = line.pointer("/report/collections").and_then(Value::as_array) {
                moved = collections.iter().filter_map(|collection| collection["rows"].as_u64()).sum();
            }
        })?;
        let seconds = begin.elapsed().as_secs_f64();
        if moved != rows {
            return Err(format!("{moved} rows were moved instead of {rows}").into());
        }
        Ok((seconds, planned.ok_or("vecferry printed no plan")?))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}; {} rows each\n", self.machine, self.rows_each)?;
        writeln!(
            f,
            "| many                     | number | seconds | until the plan | seconds each | times the first |\n\
             |--------------------------|-------:|--------:|---------------:|-------------:|----------------:|"
        )?;
        for line in &self.lines {
            writeln!(
                f,
                "| {:<24} | {:>6} | {:>7.1} | {:>14.2} | {:>12.3} | {:>15.2} |",
                line.what.title(),
                line.number,
                line.seconds,
                line.plan_seconds,
                line.seconds_each,
                line.growth
            )?;
        }
        if !self.minimum.is_empty() {
            writeln!(
                f,
                "\n| server alone, flushed          | number | seconds | seconds each |\n\
                 |--------------------------------|-------:|--------:|-------------:|"
            )?;
        }
        for line in &self.minimum {
            let (title, each) = (line.flushes.title(), line.seconds_each);
            writeln!(f, "| {title:<30} | {:>6} | {:>7.1} | {each:>12.3} |", line.number, line.seconds)?;
        }
        let (number, most) = SECONDS_EACH_MAX;
        let job = self.lines.iter().find(|line| line.what == What::Collections && line.number == number);
        let verdict = match job {
            Some(job) if job.seconds_each <= most => "met",
            Some(_) => "missed",
            None => "not measured",
        };
        writeln!(f, "\n{verdict:<12}  {number} collections on 2.3.5, at most {most} s each")?;
        writeln!(f, "\naim: no more than {GROWTH_MAX} times as long for each as the first of its kind")
    }
}
