//! `cargo xtask bench read`: what reading all rows costs, page behind page by a limit against ranges with both bounds.

use std::fmt;

use clap::{Args, ValueEnum};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;
use vecferry_milvus::schema::FieldSpec;
use vecferry_milvus::wire::Page;
use vecferry_milvus::wire::row_digests::row_digests;
use vecferry_milvus::{Client, CollectionName, Consistency, Key, KeyField, KeyRange, Query};

use super::machine::Machine;
use super::meter::{Leg, Meter};
use super::servers::{Servers, Side};
use super::{child, data};
use crate::{Failure, output};

/// The collection that is read.
const NAME: &str = "bench";
/// Most rows a query may answer.
const ROWS_MAX: usize = 16_384;

/// How all rows are asked for
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
enum Shape {
    /// Each reader has a part of the keys, and asks for so many rows behind the last one.
    Limit,
    /// Each query has both bounds, and asks for all rows between them as an iterator's page.
    Span,
    /// The same without a limit, as no iterator.
    Whole,
}

/// What to read, and how
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    size: data::Size,
    /// How rows are asked for
    #[arg(long, value_delimiter = ',', default_values = ["limit", "span", "whole"])]
    shape: Vec<Shape>,
    /// Sizes of a page in MiB
    #[arg(long, value_delimiter = ',', default_values = ["6", "3", "12"])]
    mib: Vec<usize>,
    /// Queries of one server at the same time
    #[arg(long, value_delimiter = ',', default_values = ["4", "2", "6", "8"])]
    readers: Vec<usize>,
    /// Servers that are read at the same time: 1 or 2
    #[arg(long, value_delimiter = ',', default_values = ["1", "2"])]
    sides: Vec<usize>,
    #[command(flatten)]
    program: child::Program,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// What is measured, shape beside shape.
    fn runs(&self) -> impl Iterator<Item = (usize, usize, usize, Shape)> {
        let of_size = |readers, sides, mib| self.shape.iter().map(move |shape| (readers, sides, mib, *shape));
        let of_sides =
            move |readers, sides| self.mib.iter().flat_map(move |mib| of_size(readers, sides, *mib));
        let of_readers = move |readers| self.sides.iter().flat_map(move |sides| of_sides(readers, *sides));
        self.readers.iter().flat_map(move |readers| of_readers(*readers))
    }
}

#[derive(Debug, Serialize)]
struct Line {
    shape: Shape,
    mib: usize,
    readers: usize,
    sides: usize,
    /// Of each server.
    queries: usize,
    leg: Leg,
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    rows: u32,
    dim: u16,
    bytes: usize,
    lines: Vec<Line>,
}

/// One server with the collection.
struct Filled {
    client: Client,
    name: CollectionName,
    columns: Vec<FieldSpec>,
    row_bytes: usize,
    rows: usize,
}

/// Measures and prints.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let machine = Machine::read()?;
    let servers = Servers::start(&arguments.program.path()?, false)?;
    // One thread, as in `vecferry`.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (rows, dim) = (arguments.size.rows as usize, usize::from(arguments.size.dim));
    output::note(&format!("filling both servers with {rows} rows"));
    let filled = runtime.block_on(async {
        tokio::try_join!(fill(&servers, Side::Source, rows, dim), fill(&servers, Side::Target, rows, dim))
    })?;
    let filled = [filled.0, filled.1];
    let mut lines = Vec::new();
    for (readers, sides, mib, shape) in arguments.runs() {
        servers.wait_until_idle()?;
        let read = &filled[..sides.clamp(1, 2)];
        let line = runtime.block_on(measure(&servers, read, shape, mib, readers.max(1)))?;
        output::note(&line.to_string());
        lines.push(line);
    }
    drop(servers);
    let bytes = filled[0].row_bytes * rows;
    let report = Report { machine, rows: arguments.size.rows, dim: arguments.size.dim, bytes, lines };
    output::result(&if arguments.json { serde_json::to_string_pretty(&report)? } else { report.to_string() });
    Ok(())
}

async fn fill(servers: &Servers, side: Side, rows: usize, dim: usize) -> Result<Filled, Failure> {
    let (client, name) = (servers.connect(side).await?, data::collection(NAME));
    let row_bytes = data::make(&client, &name, rows, dim).await?;
    let columns = client.describe(&name).await?.schema.columns();
    Ok(Filled { client, name, columns, row_bytes, rows })
}

async fn measure(
    servers: &Servers,
    filled: &[Filled],
    shape: Shape,
    mib: usize,
    readers: usize,
) -> Result<Line, Failure> {
    let meter = Meter::start(servers)?;
    let all = filled.iter().map(|filled| filled.read(shape, mib << 20, readers));
    let queries = futures_util::future::try_join_all(all).await?;
    let leg = meter.stop(servers)?;
    let queries = queries.first().copied().unwrap_or_default();
    Ok(Line { shape, mib, readers, sides: filled.len(), queries, leg })
}

impl Filled {
    /// Reads all rows and makes digests of them. Returns the number of queries.
    async fn read(&self, shape: Shape, page_bytes: usize, readers: usize) -> Result<usize, Failure> {
        let page_rows = (page_bytes / self.row_bytes.max(1)).clamp(1, ROWS_MAX);
        let consistency = self.client.timestamp().await?.map_or(Consistency::Strong, Consistency::At);
        let (ranges, rows_max) = match shape {
            Shape::Limit => (self.ranges(self.rows.div_ceil(readers)), Some(page_rows)),
            Shape::Span => (self.ranges(page_rows), Some((page_rows + page_rows / 4 + 64).min(ROWS_MAX))),
            // Where there is one range alone, it has no bound, and such a query needs a limit.
            Shape::Whole => (self.ranges(page_rows), (page_rows >= self.rows).then_some(ROWS_MAX)),
        };
        let read: Vec<_> =
            ranges.into_iter().map(|range| self.read_range(range, rows_max, consistency)).collect();
        let read: Vec<(usize, usize)> = stream::iter(read).buffered(readers).try_collect().await?;
        let rows: usize = read.iter().map(|(rows, _)| rows).sum();
        if rows != self.rows {
            return Err(format!("{rows} rows were read of {}", self.rows).into());
        }
        Ok(read.iter().map(|(_, queries)| queries).sum())
    }

    /// Ranges of so many keys, which go from 0 on without a gap. The first and the last one have one bound.
    fn ranges(&self, keys: usize) -> Vec<KeyRange> {
        let bounds = (keys..self.rows).step_by(keys).map(|first| Some(Key::Int(first as i64 - 1)));
        let mut after = None;
        let untils = bounds.chain([None]);
        untils.map(|until| KeyRange { after: std::mem::replace(&mut after, until.clone()), until }).collect()
    }

    /// Until a page is empty, or ends at the bound. Returns rows and queries.
    async fn read_range(
        &self,
        mut range: KeyRange,
        rows_max: Option<usize>,
        consistency: Consistency,
    ) -> Result<(usize, usize), Failure> {
        let names: Vec<_> = self.columns.iter().map(|column| column.name.clone()).collect();
        let key = KeyField::new(data::KEY_FIELD, self.client.version().flavor);
        let (mut rows, mut queries) = (0, 0);
        loop {
            let query = Query {
                collection: &self.name,
                collection_id: 0,
                selection: key.range(&range),
                columns: &names,
                partition: None,
                rows_max: rows_max.map(u32::try_from).transpose()?,
                consistency,
            };
            let answer = self.client.query(&query).await?;
            let page = Page::read(&answer, data::KEY_FIELD, range.after.as_ref())?;
            queries += 1;
            rows += row_digests(&page, &self.columns)?.len();
            match page.keys {
                Some((_, last)) if range.until.as_ref() != Some(&last) => range.after = Some(last),
                Some(_) | None => return Ok((rows, queries)),
            }
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = match self.shape {
            Shape::Limit => "limit",
            Shape::Span => "span",
            Shape::Whole => "whole",
        };
        let Leg {
            seconds,
            source_cpu_seconds,
            target_cpu_seconds,
            client_cpu_seconds,
            other_cpu_seconds,
            ..
        } = &self.leg;
        write!(
            f,
            "| {:>5} | {shape:<5} | {:>3} | {:>7} | {:>7} | {seconds:>5.2} | {source_cpu_seconds:>10.2} | \
             {target_cpu_seconds:>10.2} | {client_cpu_seconds:>10.2} | {other_cpu_seconds:>11.2} |",
            self.sides, self.mib, self.readers, self.queries,
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}", self.machine)?;
        let mib = self.bytes >> 20;
        writeln!(
            f,
            "{} rows, dimension {}, {mib} MiB; times in seconds, CPU of all cores\n",
            self.rows, self.dim
        )?;
        writeln!(
            f,
            "| sides | shape | MiB | readers | queries | time  | CPU source | CPU target | CPU client | CPU other   |\n\
             |------:|-------|----:|--------:|--------:|------:|-----------:|-----------:|-----------:|------------:|"
        )?;
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
