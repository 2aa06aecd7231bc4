//! `cargo xtask bench service`: how long lists of the service take with many clusters and jobs, and whether its memory grows.

mod http;
mod listeners;
mod load;
mod memory;
mod scene;
mod seed;
mod tally;

use std::fmt;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use tokio::sync::oneshot;

use super::machine::Machine;
use super::process::cpu_seconds;
use crate::{Failure, output};
use listeners::{Heard, Listeners};
use load::{Pace, Way};
use memory::{Memory, Samples};
use scene::Scene;
use seed::Size;
use tally::{Errors, Line};

/// What lists are to take at most.
const MEDIAN_MAX_MS: f64 = 50.0;
const P99_MAX_MS: f64 = 200.0;
/// Listeners of a job.
const LISTENERS_A_JOB: usize = 10;
/// Different addresses that are asked for in a way.
const PATHS: u32 = 500;

/// How many clusters, jobs and listeners, and for how long
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Jobs at their end
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1000..=10_000_000))]
    jobs: u32,
    /// Clusters that are registered
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    clusters: u32,
    /// Listeners for events
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=500))]
    listeners: u16,
    /// Clients that make requests
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=500))]
    clients: u16,
    /// Requests per second of all clients together
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// How long to make requests
    #[arg(long, default_value_t = 180, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// The same in minutes
    #[arg(long, conflicts_with = "seconds", value_parser = clap::value_parser!(u64).range(1..=1_440))]
    minutes: Option<u64>,
    /// Keep the records in PostgreSQL
    #[arg(long)]
    postgres: bool,
    /// A `vecferry` that is built already; without it, one is built as it is released
    #[arg(long)]
    program: Option<PathBuf>,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
}

impl Arguments {
    fn size(&self) -> Size {
        let planned = usize::from(self.listeners).div_ceil(LISTENERS_A_JOB) as u32;
        Size { jobs: self.jobs, clusters: self.clusters, planned }
    }

    fn pace(&self) -> Pace {
        let seconds = self.minutes.map_or(self.seconds, |minutes| minutes * 60);
        let time = Duration::from_secs(seconds);
        Pace { clients: usize::from(self.clients), per_second: self.rate, time }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    store: &'static str,
    jobs: u32,
    clusters: u32,
    listeners: u16,
    clients: u16,
    requests_per_second: u32,
    seconds: u64,
    load_average: f64,
    lines: Vec<Line>,
    memory: Memory,
    /// CPU seconds of the service in a second.
    cores_used: f64,
    jobs_run: usize,
    listens: usize,
    events: usize,
    end_seconds: f64,
    errors: Errors,
}

/// Measures and prints.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let machine = Machine::read()?;
    let program = match &arguments.program {
        Some(program) => program.canonicalize()?,
        None => super::build()?,
    };
    let directory = tempfile::tempdir()?;
    let scene = Scene::start(&program, directory.path(), arguments.size(), arguments.postgres)?;
    let report = measure(&scene, arguments, machine)?;
    drop(scene);
    output::result(&if arguments.json { serde_json::to_string_pretty(&report)? } else { report.to_string() });
    match report.errors.count {
        0 => Ok(()),
        count => Err(format!("{count} requests failed").into()),
    }
}

/// Requests, listeners and jobs at the same time.
fn measure(scene: &Scene, arguments: &Arguments, machine: Machine) -> Result<Report, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (stop, stopped) = mpsc::channel();
    std::thread::scope(|threads| {
        let migrating = threads.spawn(move || scene.migrate_until(&stopped));
        let measured = runtime.block_on(requests(scene, arguments));
        drop(stop);
        let (jobs_run, of_jobs) = migrating.join().map_err(|_| "the jobs could not be run")?;
        let measured = measured?;
        let heard = measured.heard;
        let mut errors = measured.errors;
        errors.extend(heard.errors);
        errors.extend(of_jobs);
        Ok(Report {
            machine,
            store: if arguments.postgres { "PostgreSQL" } else { "embedded" },
            jobs: arguments.jobs,
            clusters: arguments.clusters,
            listeners: arguments.listeners,
            clients: arguments.clients,
            requests_per_second: arguments.rate,
            seconds: arguments.pace().time.as_secs(),
            load_average: measured.samples.load_average(),
            lines: measured.lines,
            memory: measured.samples.memory(),
            cores_used: measured.cores_used,
            jobs_run,
            listens: heard.opened,
            events: heard.events,
            end_seconds: heard.end_seconds,
            errors,
        })
    })
}

struct Measured {
    lines: Vec<Line>,
    samples: Samples,
    cores_used: f64,
    heard: Heard,
    errors: Errors,
}

async fn requests(scene: &Scene, arguments: &Arguments) -> Result<Measured, Failure> {
    let size = arguments.size();
    let planned: Vec<_> = (size.jobs..size.jobs + size.planned).map(seed::job_id).collect();
    let listeners = usize::from(arguments.listeners);
    let mut listeners = Listeners::start(&scene.address, &scene.owner_key, &planned, listeners);
    listeners.all_present().await?;
    output::note(&format!("{} listeners; requests begin", arguments.listeners));
    let (end, ended) = oneshot::channel();
    let samples = tokio::spawn(Samples::take(scene.pid(), ended));
    let (begin, cpu) = (Instant::now(), cpu_seconds(scene.pid())?);
    let (lines, errors) = load::ask(&scene.address, ways(scene, size), arguments.pace()).await?;
    let cores_used = (cpu_seconds(scene.pid())? - cpu) / begin.elapsed().as_secs_f64();
    // Whoever is told to end may have ended already.
    let _ = end.send(());
    let samples = samples.await??;
    listeners.stay();
    listeners.all_present().await?;
    let begin = Instant::now();
    for job_id in &planned {
        scene.cancel(job_id)?;
    }
    Ok(Measured { lines, samples, cores_used, heard: listeners.end(begin).await, errors })
}

/// What is asked for: lists as a page of a console and a script ask for them, with the most and the fewest results.
fn ways(scene: &Scene, size: Size) -> Vec<Way> {
    let (owner, few, many) = (&scene.owner_key, &scene.few_key, &scene.many_key);
    let (jobs, clusters, projects) = (size.jobs, size.clusters, size.projects());
    // Spread evenly over all of them.
    let each = |of: u32, path: &dyn Fn(u32) -> String| -> Vec<String> {
        let count = u64::from(PATHS.min(of));
        (0..count).map(|number| path((number * u64::from(of) / count) as u32)).collect()
    };
    let one = |path: &str| vec![path.to_owned()];
    let way = |name, key: &String, paths| Way { name, paths, key: key.clone() };
    let pages = clusters.div_ceil(100);
    vec![
        way("jobs", owner, one("/v2/jobs")),
        way("jobs, later page", owner, each(jobs, &|n| format!("/v2/jobs?cursor={}", seed::job_id(n)))),
        way("jobs of a state", owner, one("/v2/jobs?status=FAILED")),
        way("jobs of a rare state", owner, one("/v2/jobs?status=CANCELED")),
        way("jobs of no state", owner, one("/v2/jobs?status=IN_PROGRESS")),
        way(
            "jobs of a cluster",
            owner,
            each(clusters, &|n| format!("/v2/jobs?clusterId={}", seed::cluster_id(n))),
        ),
        way(
            "jobs of a cluster, of a state",
            owner,
            each(clusters, &|n| format!("/v2/jobs?clusterId={}&status=FAILED", seed::cluster_id(n))),
        ),
        way(
            "jobs of a project",
            owner,
            each(projects, &|n| format!("/v2/jobs?projectId={}", seed::project_id(n))),
        ),
        way(
            "jobs of a project, of a rare state",
            owner,
            each(projects, &|n| format!("/v2/jobs?projectId={}&status=CANCELED", seed::project_id(n))),
        ),
        way("jobs that a member of 3 projects sees", few, one("/v2/jobs")),
        way("jobs that a member of many projects sees", many, one("/v2/jobs")),
        way("the same, later page", many, each(jobs, &|n| format!("/v2/jobs?cursor={}", seed::job_id(n)))),
        way("the same, of a rare state", many, one("/v2/jobs?status=CANCELED")),
        way("a job", owner, each(jobs, &|n| format!("/v2/jobs/{}", seed::job_id(n)))),
        way(
            "a job with its collections",
            owner,
            each(jobs, &|n| format!("/v2/jobs/{}/details", seed::job_id(n))),
        ),
        way("clusters", owner, one("/v2/clusters")),
        way(
            "clusters, pages of 100",
            owner,
            each(pages, &|n| format!("/v2/clusters?pageSize=100&currentPage={}", n + 1)),
        ),
        way(
            "clusters of a project",
            owner,
            each(projects, &|n| format!("/v2/clusters?projectId={}", seed::project_id(n))),
        ),
        way("clusters that a member of many projects sees", many, one("/v2/clusters?pageSize=100")),
        way("projects", owner, one("/v2/projects")),
        way("audit log", owner, one("/v2/auditLogs")),
        way(
            "audit log, later page",
            owner,
            each(jobs, &|n| format!("/v2/auditLogs?cursor={}", seed::audit_id(n))),
        ),
        way(
            "audit log of an actor",
            owner,
            each(jobs, &|n| format!("/v2/auditLogs?actor={}", seed::actor(n))),
        ),
        way(
            "audit log of a rare action",
            owner,
            one("/v2/auditLogs?action=POST%20/v2/jobs/%7BjobId%7D/cancel"),
        ),
        way(
            "audit log of no action",
            owner,
            one("/v2/auditLogs?action=DELETE%20/v2/projects/%7BprojectId%7D"),
        ),
    ]
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        writeln!(
            f,
            "{} store, {} jobs, {} clusters, {} listeners; {} requests/s of {} clients for {} s; load average {:.1}\n",
            self.store,
            self.jobs,
            self.clusters,
            self.listeners,
            self.requests_per_second,
            self.clients,
            self.seconds,
            self.load_average
        )?;
        writeln!(f, "| request | answers | median ms | p99 ms | largest ms | aim |")?;
        writeln!(f, "|---|---:|---:|---:|---:|---|")?;
        for Line { name, requests, median_ms, p99_ms, max_ms } in &self.lines {
            let is_met = *median_ms <= MEDIAN_MAX_MS && *p99_ms <= P99_MAX_MS;
            let met = if is_met { "met" } else { "missed" };
            writeln!(f, "| {name} | {requests} | {median_ms:.1} | {p99_ms:.1} | {max_ms:.1} | {met} |")?;
        }
        let Memory { samples, first_tenth_mib, last_tenth_mib, max_mib, tenths_mib } = &self.memory;
        writeln!(
            f,
            "\nresident memory in MiB: {first_tenth_mib:.1} in the first tenth of the time, {last_tenth_mib:.1} in the last, \
             {max_mib:.1} at most ({samples} samples); {:.2} CPU seconds in a second",
            self.cores_used
        )?;
        let tenths: Vec<_> = tenths_mib.iter().map(|mib| format!("{mib:.1}")).collect();
        writeln!(f, "each tenth: {}", tenths.join(", "))?;
        writeln!(
            f,
            "listeners: {} connections, {} events; told of the end within {:.1} s; {} jobs ran meanwhile",
            self.listens, self.events, self.end_seconds, self.jobs_run
        )?;
        write!(f, "errors: {}", self.errors.count)?;
        self.errors.told.iter().try_for_each(|error| write!(f, "\n  {error}"))
    }
}
