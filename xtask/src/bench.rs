//! Benchmarks against real servers.

mod child;
mod copy;
mod data;
mod direct;
mod estimate;
mod latency;
mod machine;
mod many;
mod meter;
mod process;
mod profile;
mod read;
mod report;
mod servers;
mod service;
mod warm;

use clap::Subcommand;

pub(crate) use child::workspace;
pub(crate) use copy::build;
pub(crate) use data::{collection, flush};
pub(crate) use servers::{Servers, Side};

use crate::Failure;

/// What to measure
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Copy one collection between two real servers, against the usual script and against what the servers can do
    Copy(copy::Arguments),
    /// Copy many small collections, and one of many partitions, and see whether time grows faster than their number
    Many(many::Arguments),
    /// Compare the time that a job is expected to take with the time it takes: one large collection, many small ones, both
    Estimate(estimate::Arguments),
    /// Copy one collection with the log on, and show where each second goes: by phase, call and CPU
    Profile(profile::Arguments),
    /// Copy one collection directly and over a long way, and compare the rates
    Latency(latency::Arguments),
    /// Read one collection of two servers, page behind page or by ranges with both bounds, and compare what the servers use
    Read(read::Arguments),
    /// Copy one collection while it may change, change some rows, and compare the time of the cut-over with that of plain jobs
    Warm(warm::Arguments),
    /// Ask the service for its lists with many clusters, jobs and listeners, and watch its memory
    Service(service::Arguments),
}

/// Runs a benchmark.
pub(crate) fn run(bench: &Bench) -> Result<(), Failure> {
    match bench {
        Bench::Copy(arguments) => copy::run(arguments),
        Bench::Many(arguments) => many::run(arguments),
        Bench::Estimate(arguments) => estimate::run(arguments),
        Bench::Profile(arguments) => profile::run(arguments),
        Bench::Latency(arguments) => latency::run(arguments),
        Bench::Read(arguments) => read::run(arguments),
        Bench::Warm(arguments) => warm::run(arguments),
        Bench::Service(arguments) => service::run(arguments),
    }
}
