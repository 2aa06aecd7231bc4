//! `cargo xtask bench warm`: how short the downtime window is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use prost::Message;
use serde::Serialize;
use serde_json::Value;
use tokio::runtime::Runtime;
use vecferry_milvus::proto::milvus::QueryResults;
use vecferry_milvus::proto::schema::{FieldData, field_data, scalar_field};
use vecferry_milvus::{Client, CollectionName, Consistency, Query, RowSelection};

use super::child;
use super::data::{self, Changes};
use super::machine::Machine;
use super::meter::Leg;
use super::report::{Shown, median_of};
use super::servers::{Servers, Side};
use crate::{Failure, output};

/// The collection that is copied.
const NAME: &str = "bench";
/// Most time of a cut-over, in times of a copy without verification and without waiting for indexes.
const COPIES_MAX: f64 = 0.6;
/// Most time of a cut-over, in times of a job that verifies every row and waits for the indexes.
const WHOLES_MAX: f64 = 0.1;
/// Rows that are compared at once.
const PAGE_ROWS: u32 = 1000;
/// Rows change before the catch-up, and again before the cut-over.
const CHANGES_A_RUN: usize = 2;

/// How much to copy, and how much changes
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    size: data::Size,
    /// Percent of the rows that change before the catch-up, and again before the cut-over: updated, inserted, deleted
    #[arg(long, default_value_t = 1.0)]
    changed_percent: f64,
    /// Runs of each leg; medians are shown
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    runs: u8,
    #[command(flatten)]
    program: child::Program,
    /// Print one JSON object with every run instead of the table
    #[arg(long)]
    json: bool,
}

impl Arguments {
    fn changes(&self, turn: usize) -> Changes {
        let rows = self.size.rows as usize;
        Changes { rows, each: (rows as f64 * self.changed_percent / 300.0).round() as usize, turn }
    }

    fn check(&self) -> Result<(), Failure> {
        let changes = self.changes(0);
        let turns = usize::from(self.runs) * CHANGES_A_RUN;
        // Each turn updates and deletes rows that no other one did.
        if changes.each == 0 || changes.apart() < 2 * turns {
            let Changes { rows, each, .. } = changes;
            return Err(format!("{each} of {rows} rows can't be updated and deleted {turns} times").into());
        }
        Ok(())
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Row {
    /// `migrate --verify none`.
    Copy,
    /// `migrate --verify full --wait-index`.
    Whole,
    /// `migrate --warm --wait-index --load-target`.
    Warm,
    CatchUp,
    CutOver,
}

impl Row {
    const ALL: [Self; 5] = [Self::Copy, Self::Whole, Self::Warm, Self::CatchUp, Self::CutOver];

    fn title(self) -> &'static str {
        match self {
            Self::Copy => "plain, none",
            Self::Whole => "plain, full, indexes",
            Self::Warm => "warm copy, indexes",
            Self::CatchUp => "catch-up",
            Self::CutOver => "cut-over",
        }
    }
}

/// One run of a leg.
#[derive(Clone, Debug, Serialize)]
struct Run {
    leg: Leg,
    /// Rows that source and target differed in; none where they are not compared.
    rows_differing: Option<u64>,
    window_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    rows: u32,
    dim: u16,
    rows_changed: usize,
    legs: Vec<(Row, Vec<Run>)>,
    /// Time of a cut-over in times of the plain legs.
    in_copies: Option<f64>,
    in_wholes: Option<f64>,
    /// Rows that were the same on both sides in the end.
    rows_compared: u64,
}

/// Measures and prints.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    arguments.check()?;
    let machine = Machine::read()?;
    let program = arguments.program.path()?;
    let servers = Servers::start(&program, false)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let bench = Bench { arguments, program, servers, runtime };
    bench.fill()?;
    let mut legs = Row::ALL.map(|row| (row, Vec::new()));
    let mut rows_compared = 0;
    for run in 0..usize::from(arguments.runs) {
        let (runs, compared) = bench.once(run)?;
        rows_compared = compared;
        legs.iter_mut().zip(runs).for_each(|((_, legs), run)| legs.push(run));
    }
    drop(bench.servers);
    let seconds = |row| {
        let (_, runs) = legs.iter().find(|(other, _)| *other == row)?;
        of_runs(runs, |run| Some(run.leg.seconds))
    };
    let in_times_of = |row| Some(seconds(Row::CutOver)? / seconds(row)?);
    let report = Report {
        machine,
        rows: arguments.size.rows,
        dim: arguments.size.dim,
        rows_changed: 3 * arguments.changes(0).each,
        in_copies: in_times_of(Row::Copy),
        in_wholes: in_times_of(Row::Whole),
        rows_compared,
        legs: legs.into(),
    };
    output::result(&if arguments.json { serde_json::to_string_pretty(&report)? } else { report.to_string() });
    Ok(())
}

struct Bench<'a> {
    arguments: &'a Arguments,
    program: PathBuf,
    servers: Servers,
    runtime: Runtime,
}

impl Bench<'_> {
    fn name(&self) -> CollectionName {
        data::collection(NAME)
    }

    fn dim(&self) -> usize {
        usize::from(self.arguments.size.dim)
    }

    fn fill(&self) -> Result<(), Failure> {
        let rows = self.arguments.size.rows as usize;
        output::note(&format!("filling the source with {rows} rows"));
        self.runtime.block_on(async {
            let client = self.servers.connect(Side::Source).await?;
            data::make(&client, &self.name(), rows, self.dim()).await.map(drop)
        })
    }

    /// All legs once, in their order, and how many rows are the same in the end.
    fn once(&self, run: usize) -> Result<([Run; 5], u64), Failure> {
        let state = tempfile::tempdir()?;
        let copy = self.walk(Row::Copy, || self.migrate("none", &[], &state.path().join("copy")))?;
        self.servers.renew_target()?;
        let whole = || self.migrate("full", &["--wait-index"], &state.path().join("whole"));
        let whole = self.walk(Row::Whole, whole)?;
        self.servers.renew_target()?;
        let of_warm = state.path().join("warm");
        let mut job = String::new();
        let warm = self.walk(Row::Warm, || {
            let (leg, report) =
                self.migrate("full", &["--warm", "--wait-index", "--load-target"], &of_warm)?;
            report["job_id"].as_str().unwrap_or_default().clone_into(&mut job);
            Ok((leg, report))
        })?;
        let round = |row, at, command: &[&str]| {
            let changes = self.arguments.changes(run * CHANGES_A_RUN + at);
            self.change(changes)?;
            let run = self.walk(row, || self.round(command, &job, &of_warm))?;
            match run.rows_differing {
                Some(rows) if rows == 3 * changes.each as u64 => Ok(run),
                found => Err(Failure::from(format!(
                    "{}: {found:?} rows differed, and {} were changed",
                    row.title(),
                    3 * changes.each
                ))),
            }
        };
        let catch_up = round(Row::CatchUp, 0, &["catch-up"])?;
        let cut_over = round(Row::CutOver, 1, &["cutover", "--yes"])?;
        let compared = self.runtime.block_on(self.compare())?;
        self.servers.renew_target()?;
        Ok(([copy, whole, warm, catch_up, cut_over], compared))
    }

    /// Walks a leg from idle servers.
    fn walk(&self, row: Row, walk: impl FnOnce() -> Result<(Leg, Value), Failure>) -> Result<Run, Failure> {
        let started_idle = self.servers.wait_until_idle()?;
        let (leg, report) = walk()?;
        output::note(&format!("{}: {:.2} s", row.title(), leg.seconds));
        let round = report["rounds"].as_array().and_then(|rounds| rounds.last());
        let window_seconds = round.and_then(|round| round["window_seconds"].as_f64());
        let differing = |round: &Value| {
            let found = round.get("caught_up")?;
            let counts = ["rows_missing", "rows_changed", "rows_extra"].map(|name| found[name].as_u64());
            counts.into_iter().sum()
        };
        let rows_differing = round.and_then(differing);
        Ok(Run { leg: Leg { started_idle, ..leg }, rows_differing, window_seconds })
    }

    /// A job, which must say that it moved all rows.
    fn migrate(&self, verify: &str, more: &[&str], state: &Path) -> Result<(Leg, Value), Failure> {
        let [source, target] = [Side::Source, Side::Target].map(|side| self.servers.info(side).uri);
        let rows = self.arguments.size.rows as usize;
        let migration = child::Migration { program: &self.program, collection: NAME, verify, rows };
        let mut command = migration.command(&self.servers, [&source, &target], state);
        command.args(more);
        let (leg, report) = child::reported(&self.servers, command)?;
        match report.pointer("/collections/0/rows").and_then(Value::as_u64) {
            Some(moved) if moved == rows as u64 => Ok((leg, report)),
            moved => Err(format!("vecferry was to move {rows} rows and moved {moved:?}").into()),
        }
    }

    fn round(&self, command: &[&str], job: &str, state: &Path) -> Result<(Leg, Value), Failure> {
        let [verb, more @ ..] = command else { return Err("no command".into()) };
        let mut command: Command = child::job_command(&self.program, &self.servers, verb, state);
        command.args(more).arg(job);
        child::reported(&self.servers, command)
    }

    fn change(&self, changes: Changes) -> Result<(), Failure> {
        self.runtime.block_on(async {
            let client = self.servers.connect(Side::Source).await?;
            data::change(&client, &self.name(), self.dim(), changes).await
        })
    }

    /// Reads both sides, without the engine's code, and compares every value. Returns the rows.
    async fn compare(&self) -> Result<u64, Failure> {
        let (source, target) =
            (self.servers.connect(Side::Source).await?, self.servers.connect(Side::Target).await?);
        let name = self.name();
        let columns: Vec<_> =
            source.describe(&name).await?.schema.columns().into_iter().map(|column| column.name).collect();
        let (mut last, mut rows) = (None, 0);
        loop {
            let page = read(&source, &name, &columns, last).await?;
            if page != read(&target, &name, &columns, last).await? {
                return Err(format!("source and target differ in rows behind key {last:?}").into());
            }
            let keys = page.iter().find(|column| column.field_name == data::KEY_FIELD).and_then(longs);
            let Some((greatest, count)) = keys else { return Ok(rows) };
            last = Some(greatest);
            rows += count as u64;
        }
    }
}

/// Columns of some rows in the order of their keys, behind a key.
async fn read(
    client: &Client,
    name: &CollectionName,
    columns: &[String],
    last: Option<i64>,
) -> Result<Vec<FieldData>, Failure> {
    let key = data::KEY_FIELD;
    let query = Query {
        collection: name,
        collection_id: 0,
        selection: RowSelection::Where(last.map_or(format!("{key} >= 0"), |last| format!("{key} > {last}"))),
        columns,
        partition: None,
        rows_max: Some(PAGE_ROWS),
        consistency: Consistency::Strong,
    };
    let mut page = QueryResults::decode(client.query(&query).await?)?.fields_data;
    // Servers answer in any order, and number fields as they like.
    page.sort_by(|one, other| one.field_name.cmp(&other.field_name));
    page.iter_mut().for_each(|column| column.field_id = 0);
    Ok(page)
}

/// The last key of a column, and how many there are.
fn longs(column: &FieldData) -> Option<(i64, usize)> {
    let Some(field_data::Field::Scalars(scalars)) = &column.field else { return None };
    let Some(scalar_field::Data::LongData(longs)) = &scalars.data else { return None };
    Some((*longs.data.last()?, longs.data.len()))
}

fn of_runs(runs: &[Run], figure: impl Fn(&Run) -> Option<f64>) -> Option<f64> {
    median_of(runs.iter().filter_map(figure).collect())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}", self.machine)?;
        writeln!(
            f,
            "{} rows, dimension {}; {} rows changed before the catch-up and before the cut-over; medians\n",
            self.rows, self.dim, self.rows_changed
        )?;
        writeln!(
            f,
            "| leg                  | runs | seconds | window s | CPU s client | source | target | others | peak MiB | rows differing |\n\
             |----------------------|-----:|--------:|---------:|-------------:|-------:|-------:|-------:|---------:|---------------:|"
        )?;
        for (row, runs) in &self.legs {
            let of = |figure: fn(&Run) -> Option<f64>| of_runs(runs, figure);
            let peak = runs.iter().filter_map(|run| run.leg.peak_bytes).max();
            writeln!(
                f,
                "| {:<20} | {:>4} | {:>7} | {:>8} | {:>12} | {:>6} | {:>6} | {:>6} | {:>8} | {:>14} |",
                row.title(),
                runs.len(),
                Shown(of(|run| Some(run.leg.seconds)), 2),
                Shown(of(|run| run.window_seconds), 2),
                Shown(of(|run| Some(run.leg.client_cpu_seconds)), 2),
                Shown(of(|run| Some(run.leg.source_cpu_seconds)), 2),
                Shown(of(|run| Some(run.leg.target_cpu_seconds)), 2),
                Shown(of(|run| Some(run.leg.other_cpu_seconds + run.leg.stolen_cpu_seconds)), 2),
                Shown(peak.map(|bytes| bytes as f64 / f64::from(1 << 20)), 1),
                Shown(of(|run| Some(run.rows_differing? as f64)), 0),
            )?;
        }
        writeln!(f)?;
        let disturbed = |runs: &[Run]| runs.iter().any(|run| run.leg.is_disturbed(self.machine.cores));
        let disturbed: Vec<_> =
            self.legs.iter().filter(|(_, runs)| disturbed(runs)).map(|(row, _)| row.title()).collect();
        if !disturbed.is_empty() {
            writeln!(
                f,
                "Disturbed, because others used more than a tenth of the cores or the servers were not idle at the \
                 start: {}\n",
                disturbed.join(", ")
            )?;
        }
        for (of, figure, most) in [
            ("a copy without verification", self.in_copies, COPIES_MAX),
            ("copy, verification of every row and index build", self.in_wholes, WHOLES_MAX),
        ] {
            let verdict = if figure.is_some_and(|figure| figure <= most) { "met" } else { "missed" };
            let figure = Shown(figure, 3);
            writeln!(f, "{verdict:<8}time of the cut-over in times of {of}, at most {most}: {figure}")?;
        }
        write!(f, "all values of {} rows are the same on both sides", self.rows_compared)
    }
}
