//! `cargo xtask bench copy`

use std::path::PathBuf;

use clap::Args;
use tokio::runtime::Runtime;

use super::child;
use super::data;
use super::direct::{self, Source};
use super::machine::Machine;
use super::meter::Leg;
use super::report::{Report, Row, Subject};
use super::servers::{Servers, Side};
use crate::cargo::cargo;
use crate::{Failure, output};

/// The collection that is copied.
const FULL: &str = "bench";
/// One of the same schema without rows.
const EMPTY: &str = "bench_empty";
/// Vectors beyond this many bytes are not kept in memory for the leg that only writes.
const KEPT_BYTES_MAX: usize = 1_000_000_000;

/// How much to copy, and how often
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    size: data::Size,
    /// Runs of each leg but the script's and the verified one; medians are shown
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    runs: u8,
    /// Leave out the usual script, which takes minutes
    #[arg(long)]
    skip_script: bool,
    /// Another `vecferry`, such as one of an earlier commit, whose runs take turns with those of this one
    #[arg(long, value_name = "PROGRAM")]
    against: Option<PathBuf>,
    /// Print one JSON object with every run instead of the table
    #[arg(long)]
    json: bool,
}

/// Measures all legs and prints them.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let machine = Machine::read()?;
    let program = build()?;
    let servers = Servers::start(&program, !arguments.skip_script)?;
    // One thread, as in `vecferry`, so that the legs of this process can be compared with its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let bench = Bench { arguments, program, servers, runtime };
    let rows = bench.legs()?;
    drop(bench.servers);
    let report = Report::new(machine, rows);
    output::result(&if arguments.json { serde_json::to_string_pretty(&report)? } else { report.to_string() });
    Ok(())
}

/// Builds the program that is measured.
pub(crate) fn build() -> Result<PathBuf, Failure> {
    let workspace = child::workspace();
    let status = cargo()
        .args(["build", "--release", "--locked", "--package", "vecferry"])
        .current_dir(&workspace)
        .status()?;
    if !status.success() {
        return Err("vecferry does not build".into());
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    Ok(workspace.join(target).join("release/vecferry"))
}

struct Bench<'a> {
    arguments: &'a Arguments,
    program: PathBuf,
    servers: Servers,
    runtime: Runtime,
}

impl Bench<'_> {
    fn rows(&self) -> usize {
        self.arguments.size.rows as usize
    }

    fn dim(&self) -> usize {
        usize::from(self.arguments.size.dim)
    }

    fn legs(&self) -> Result<Subject, Failure> {
        let runs = usize::from(self.arguments.runs);
        let source = self.fill()?;
        let (mut legs, mut pymilvus) = (Vec::new(), None);
        if !self.arguments.skip_script {
            // First, on servers that have not been worn by other legs, so that nothing is held against it.
            let walk = || {
                let (leg, version) = child::script(&self.servers, FULL, self.rows() as u64)?;
                pymilvus = Some(version);
                Ok(leg)
            };
            legs.push((Row::Script, self.repeat("usual script", 1, walk)?));
        }
        let mut read = (0, 0);
        let walk = || {
            let (rows, bytes, leg) = self.runtime.block_on(direct::read_only(&self.servers, &source))?;
            read = (rows, bytes);
            Ok(leg)
        };
        legs.push((Row::ReadOnly, self.repeat("read only", runs, walk)?));
        if read.0 != self.rows() as u64 {
            return Err(format!("{} rows were read instead of {}", read.0, self.rows()).into());
        }
        if self.rows() * self.dim() * 4 > KEPT_BYTES_MAX {
            output::note("write only: left out, the rows do not fit in memory");
        } else {
            let pages = self.runtime.block_on(direct::read_into_memory(&self.servers, &source))?;
            let name = data::collection(FULL);
            let walk = || self.runtime.block_on(direct::write_only(&self.servers, &name, self.dim(), &pages));
            legs.push((Row::WriteOnly, self.repeat("write only", runs, walk)?));
        }
        if let Some(against) = &self.arguments.against {
            let (mut own, mut others) = (Vec::new(), Vec::new());
            for _ in 0..runs {
                for (label, program, legs) in
                    [("against", against, &mut others), ("Vecferry", &self.program, &mut own)]
                {
                    let walk = || child::vecferry(&self.servers, program, FULL, "none", self.rows());
                    legs.extend(self.repeat(label, 1, walk)?);
                }
            }
            legs.extend([(Row::Against, others), (Row::Vecferry, own)]);
        } else {
            let walk = || child::vecferry(&self.servers, &self.program, FULL, "none", self.rows());
            legs.push((Row::Vecferry, self.repeat("Vecferry", runs, walk)?));
        }
        for (row, label, collection, verify, runs) in [
            (Row::Empty, "Vecferry, empty collection", EMPTY, "none", runs),
            (Row::Verified, "Vecferry with --verify sample", FULL, "sample", 1),
        ] {
            let expected = if row == Row::Empty { 0 } else { self.rows() };
            let walk = || child::vecferry(&self.servers, &self.program, collection, verify, expected);
            legs.push((row, self.repeat(label, runs, walk)?));
        }
        Ok(Subject { rows: read.0, bytes: read.1, dim: self.dim(), pymilvus, legs })
    }

    /// Fills and loads the source.
    fn fill(&self) -> Result<Source, Failure> {
        output::note(&format!("filling the source with {} rows", self.rows()));
        self.runtime.block_on(async {
            let client = self.servers.connect(Side::Source).await?;
            let mut row_bytes = 0;
            for (name, rows) in [(FULL, self.rows()), (EMPTY, 0)] {
                let name = data::collection(name);
                data::create(&client, &name, self.dim()).await?;
                row_bytes = row_bytes.max(data::fill(&client, &name, rows, self.dim()).await?);
                data::flush(&client, &name).await?;
                data::load(&client, &name).await?;
            }
            Ok(Source { name: data::collection(FULL), row_bytes })
        })
    }

    /// Walks a leg several times, each time from idle servers and an empty target.
    fn repeat(
        &self,
        label: &str,
        runs: usize,
        mut walk: impl FnMut() -> Result<Leg, Failure>,
    ) -> Result<Vec<Leg>, Failure> {
        let mut legs = Vec::with_capacity(runs);
        for run in 1..=runs {
            let started_idle = self.servers.wait_until_idle()?;
            let leg = Leg { started_idle, ..walk()? };
            output::note(&format!("{label}, run {run} of {runs}: {:.2} s", leg.seconds));
            legs.push(leg);
            self.empty_target()?;
        }
        Ok(legs)
    }

    fn empty_target(&self) -> Result<(), Failure> {
        self.runtime.block_on(async {
            let client = self.servers.connect(Side::Target).await?;
            for name in [FULL, EMPTY].map(data::collection) {
                if client.collections(&name.db).await?.contains(&name.name) {
                    client.drop_collection(&name).await?;
                }
            }
            Ok(())
        })
    }
}
