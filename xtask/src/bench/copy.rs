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
    /// Runs of each leg but the usual script's; medians are shown
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    runs: u8,
    /// Legs to run, instead of all
    #[arg(long, value_delimiter = ',', value_name = "LEGS")]
    legs: Vec<Row>,
    /// Leave out the usual script, which takes minutes
    #[arg(long)]
    skip_script: bool,
    /// Leave out the tuned script
    #[arg(long)]
    skip_tuned: bool,
    /// Another `vecferry`, such as one of an earlier commit, whose runs take turns with those of this one
    #[arg(long, value_name = "PROGRAM")]
    against: Option<PathBuf>,
    #[command(flatten)]
    program: child::Program,
    /// Print one JSON object with every run instead of the table
    #[arg(long)]
    json: bool,
}

impl Arguments {
    fn has(&self, row: Row) -> bool {
        match row {
            Row::Script if self.skip_script => false,
            Row::Tuned if self.skip_tuned => false,
            Row::AgainstNone => self.against.is_some() && self.has(Row::None),
            Row::AgainstSample => self.against.is_some() && self.has(Row::Sample),
            Row::AgainstFull => self.against.is_some() && self.has(Row::Full),
            Row::Script
            | Row::Tuned
            | Row::ReadOnly
            | Row::WriteOnly
            | Row::None
            | Row::Sample
            | Row::Full
            | Row::Empty => self.legs.is_empty() || self.legs.contains(&row),
        }
    }
}

/// Measures all legs and prints them.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let machine = Machine::read()?;
    let program = arguments.program.path()?;
    let with_pymilvus = arguments.has(Row::Script) || arguments.has(Row::Tuned);
    let servers = Servers::start(&program, with_pymilvus)?;
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
        let source = self.fill()?;
        let mut subject = Subject {
            rows: self.rows() as u64,
            // What was inserted; what is read is counted itself, and replaces this.
            bytes: (source.row_bytes * self.rows()) as u64,
            dim: self.dim(),
            pymilvus: None,
            legs: Vec::new(),
        };
        if self.arguments.has(Row::Script) {
            // First, on servers that have not been worn by other legs, so that nothing is held against it.
            let leg =
                self.walk(Row::Script, (1, 1), || self.script(child::Script::Usual, &mut subject.pymilvus))?;
            subject.legs.push((Row::Script, vec![leg]));
        }
        self.own_legs(&source, &mut subject)?;
        self.legs_in_turn(&mut subject)?;
        Ok(subject)
    }

    /// The legs that this process walks itself.
    fn own_legs(&self, source: &Source, subject: &mut Subject) -> Result<(), Failure> {
        let runs = usize::from(self.arguments.runs);
        let has = |row| self.arguments.has(row);
        if cfg!(debug_assertions) && (has(Row::ReadOnly) || has(Row::WriteOnly)) {
            output::note(
                "this is a debug build: reading only and writing only are slower than they would be",
            );
        }
        if has(Row::ReadOnly) {
            let mut read = (0, 0);
            let legs = self.repeat(Row::ReadOnly, runs, || {
                let (rows, bytes, leg) = self.runtime.block_on(direct::read_only(&self.servers, source))?;
                read = (rows, bytes);
                Ok(leg)
            })?;
            if read.0 != subject.rows {
                return Err(format!("{} rows were read instead of {}", read.0, subject.rows).into());
            }
            subject.bytes = read.1;
            subject.legs.push((Row::ReadOnly, legs));
        }
        if !has(Row::WriteOnly) {
            return Ok(());
        }
        if self.rows() * self.dim() * 4 > KEPT_BYTES_MAX {
            output::note("write only: left out, the rows do not fit in memory");
            return Ok(());
        }
        let pages = self.runtime.block_on(direct::read_into_memory(&self.servers, source))?;
        let name = data::collection(FULL);
        let walk = || self.runtime.block_on(direct::write_only(&self.servers, &name, self.dim(), &pages));
        subject.legs.push((Row::WriteOnly, self.repeat(Row::WriteOnly, runs, walk)?));
        Ok(())
    }

    /// The legs whose figures count as ratios. They take turns, so that a machine that grows slower slows all of them.
    fn legs_in_turn(&self, subject: &mut Subject) -> Result<(), Failure> {
        let runs = usize::from(self.arguments.runs);
        let rows: Vec<_> = Row::IN_TURN.into_iter().filter(|row| self.arguments.has(*row)).collect();
        let first = subject.legs.len();
        subject.legs.extend(rows.iter().map(|row| (*row, Vec::with_capacity(runs))));
        for run in 1..=runs {
            for (at, row) in rows.iter().enumerate() {
                let leg = self.walk(*row, (run, runs), || match row.level() {
                    Some((verify, is_against)) => self.vecferry(*row, verify, is_against),
                    None => self.script(child::Script::Tuned, &mut subject.pymilvus),
                })?;
                if let Some((_, legs)) = subject.legs.get_mut(first + at) {
                    legs.push(leg);
                }
            }
        }
        Ok(())
    }

    fn script(&self, script: child::Script, pymilvus: &mut Option<String>) -> Result<Leg, Failure> {
        let (leg, version) = child::script(&self.servers, script, FULL, self.rows() as u64)?;
        *pymilvus = Some(version);
        Ok(leg)
    }

    fn vecferry(&self, row: Row, verify: &str, is_against: bool) -> Result<Leg, Failure> {
        let (collection, rows) = if row == Row::Empty { (EMPTY, 0) } else { (FULL, self.rows()) };
        let program = self.arguments.against.as_ref().filter(|_| is_against).unwrap_or(&self.program);
        child::vecferry(&self.servers, &child::Migration { program, collection, verify, rows })
    }

    /// Fills and loads the source.
    fn fill(&self) -> Result<Source, Failure> {
        output::note(&format!("filling the source with {} rows", self.rows()));
        self.runtime.block_on(async {
            let client = self.servers.connect(Side::Source).await?;
            let mut row_bytes = 0;
            for (name, rows) in [(FULL, self.rows()), (EMPTY, 0)] {
                let name = data::collection(name);
                row_bytes = row_bytes.max(data::make(&client, &name, rows, self.dim()).await?);
            }
            Ok(Source { name: data::collection(FULL), row_bytes })
        })
    }

    /// Walks a leg several times.
    fn repeat(
        &self,
        row: Row,
        runs: usize,
        mut walk: impl FnMut() -> Result<Leg, Failure>,
    ) -> Result<Vec<Leg>, Failure> {
        (1..=runs).map(|run| self.walk(row, (run, runs), &mut walk)).collect()
    }

    /// Walks a leg once, from idle servers and a new target.
    fn walk(
        &self,
        row: Row,
        (run, runs): (usize, usize),
        walk: impl FnOnce() -> Result<Leg, Failure>,
    ) -> Result<Leg, Failure> {
        let started_idle = self.servers.wait_until_idle()?;
        let leg = Leg { started_idle, ..walk()? };
        output::note(&format!("{}, run {run} of {runs}: {:.2} s", row.title(), leg.seconds));
        self.servers.renew_target()?;
        Ok(leg)
    }
}
