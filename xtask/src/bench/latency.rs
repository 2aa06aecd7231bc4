//! `cargo xtask bench latency`: what a long way to the servers costs.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio::runtime::Runtime;
use vecferry_testkit::FaultProxy;

use super::machine::Machine;
use super::meter::Leg;
use super::servers::{Servers, Side};
use super::{child, data};
use crate::{Failure, output};

/// The collection that is copied.
const NAME: &str = "bench";
/// Least rate of the copy, in rates of the copy by the same way without delay.
const RATES_MIN: f64 = 0.9;

/// How much to copy, and how far
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    size: data::Size,
    /// Milliseconds that everything is on its way, in each direction, to the source and to the target
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u16).range(1..))]
    delay: u16,
    /// Runs of each way, taking turns; medians are shown
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    runs: u8,
    /// How the rows are verified
    #[arg(long, default_value = "none", value_parser = ["none", "count", "sample", "full"])]
    verify: String,
    #[command(flatten)]
    program: child::Program,
    /// Print one JSON object with every run instead of the table
    #[arg(long)]
    json: bool,
}

/// The way to both servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Way {
    Direct,
    /// Through a proxy, which costs CPU, without delay.
    Near,
    /// Through the same proxy, with the delay.
    Far,
}

impl Way {
    const ALL: [Self; 3] = [Self::Direct, Self::Near, Self::Far];

    fn title(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Near => "proxy, no delay",
            Self::Far => "proxy, delay",
        }
    }
}

/// Medians of one way.
#[derive(Clone, Debug, Serialize)]
struct Line {
    way: Way,
    /// Of the whole job.
    seconds: f64,
    /// Of it, how long the rows were on their way.
    copy_seconds: f64,
    /// During that.
    rows_per_second: f64,
    /// The same in rates of the direct way.
    rates_direct: f64,
    /// In rates of the way through the proxy without delay.
    rates_near: f64,
    runs: Vec<Leg>,
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    rows: u32,
    dim: u16,
    verify: String,
    round_trip_milliseconds: u32,
    lines: Vec<Line>,
    met: bool,
}

/// Measures and prints.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let machine = Machine::read()?;
    let program = arguments.program.path()?;
    let servers = Servers::start(&program, false)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if cfg!(debug_assertions) {
        output::note("this is a debug build: the proxies use more of the CPU than they would");
    }
    let bench = Bench { arguments, program, servers, runtime };
    bench.fill()?;
    let lines = bench.lines()?;
    drop(bench.servers);
    let met = lines.iter().filter(|line| line.way == Way::Far).all(|line| line.rates_near >= RATES_MIN);
    let report = Report {
        machine,
        rows: arguments.size.rows,
        dim: arguments.size.dim,
        verify: arguments.verify.clone(),
        round_trip_milliseconds: 2 * u32::from(arguments.delay),
        lines,
        met,
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
    fn fill(&self) -> Result<(), Failure> {
        let (rows, dim) = (self.arguments.size.rows as usize, usize::from(self.arguments.size.dim));
        output::note(&format!("filling the source with {rows} rows"));
        self.runtime.block_on(async {
            let client = self.servers.connect(Side::Source).await?;
            data::make(&client, &data::collection(NAME), rows, dim).await.map(drop)
        })
    }

    fn lines(&self) -> Result<Vec<Line>, Failure> {
        let mut legs = Way::ALL.map(|way| (way, Vec::new()));
        for run in 1..=self.arguments.runs {
            for (way, legs) in &mut legs {
                self.servers.wait_until_idle()?;
                let leg = self.walk(*way)?;
                output::note(&format!(
                    "{}, run {run} of {}: {:.2} s, of them {:.2} s copy",
                    way.title(),
                    self.arguments.runs,
                    leg.seconds,
                    leg.copy_seconds.unwrap_or_default()
                ));
                legs.push(leg);
            }
        }
        let rows = f64::from(self.arguments.size.rows);
        let mut lines = legs.map(|(way, runs)| {
            let copy_seconds = median(&runs, |leg| leg.copy_seconds.unwrap_or_default());
            Line {
                way,
                seconds: median(&runs, |leg| leg.seconds),
                copy_seconds,
                rows_per_second: rows / copy_seconds.max(f64::MIN_POSITIVE),
                rates_direct: 1.0,
                rates_near: 1.0,
                runs,
            }
        });
        let [direct, near, _] = [0, 1, 2].map(|at: usize| lines[at].rows_per_second);
        for line in &mut lines {
            line.rates_direct = line.rows_per_second / direct;
            line.rates_near = line.rows_per_second / near;
        }
        Ok(lines.into())
    }

    fn walk(&self, way: Way) -> Result<Leg, Failure> {
        let own = [Side::Source, Side::Target].map(|side| self.servers.info(side).uri.clone());
        let delay = match way {
            Way::Direct => None,
            Way::Near => Some(Duration::ZERO),
            Way::Far => Some(Duration::from_millis(self.arguments.delay.into())),
        };
        let proxies = delay.map(|delay| own.each_ref().map(|uri| FaultProxy::start_with_delay(uri, delay)));
        let uris = proxies.as_ref().map_or(own, |proxies| proxies.each_ref().map(FaultProxy::uri));
        let migration = child::Migration {
            program: &self.program,
            collection: NAME,
            verify: &self.arguments.verify,
            rows: self.arguments.size.rows as usize,
        };
        let leg = child::vecferry_at(&self.servers, &migration, uris.each_ref().map(String::as_str))?;
        self.runtime.block_on(async {
            let client = self.servers.connect(Side::Target).await?;
            Ok::<_, Failure>(client.drop_collection(&data::collection(NAME)).await?)
        })?;
        Ok(leg)
    }
}

fn median(legs: &[Leg], figure: impl Fn(&Leg) -> f64) -> f64 {
    super::report::median(legs, |leg| Some(figure(leg))).unwrap_or_default()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, dim, verify, round_trip_milliseconds, .. } = self;
        writeln!(f, "\n{}", self.machine)?;
        writeln!(
            f,
            "{rows} rows, dimension {dim}, --verify {verify}; the delay is {round_trip_milliseconds} ms a round trip; \
             medians\n"
        )?;
        writeln!(
            f,
            "| way             | runs | job s | copy s | rows/s of the copy | x direct | x no delay |\n\
             |-----------------|-----:|------:|-------:|-------------------:|---------:|-----------:|"
        )?;
        for line in &self.lines {
            writeln!(
                f,
                "| {:<15} | {:>4} | {:>5.2} | {:>6.2} | {:>18.0} | {:>8.2} | {:>10.2} |",
                line.way.title(),
                line.runs.len(),
                line.seconds,
                line.copy_seconds,
                line.rows_per_second,
                line.rates_direct,
                line.rates_near
            )?;
        }
        let verdict = if self.met { "met" } else { "missed" };
        writeln!(f, "\n{verdict:<12}  rate of the copy in rates of that without delay, at least {RATES_MIN}")
    }
}
