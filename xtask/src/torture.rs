//! Breaks everything a migration depends on, again and again, and looks whether a row is lost or there twice.
//!
//! One job after the other goes through fault proxies to real servers. In every round one fault hits: Vecferry is killed,
//! the source or the target is killed and started again, or the network is cut in one of several ways. Then the job is
//! resumed. When it ends successfully, every row of both servers is compared directly, what the job made is removed by
//! `cancel --clean`, and the next one begins. In which step a fault hit is what the job's ledger says.

mod data;
mod hit;
mod job;
mod tally;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use tokio::runtime::Runtime;
use vecferry_testkit::fault_proxy::{Armed, FaultProxy, When};

use crate::bench::{Servers, Side, build};
use crate::{Failure, output};
use hit::{Hit, Moment};
use job::{Job, Outcome};
use tally::Tally;

/// Longest time that a job may take between a fault and its end.
const END_TIMEOUT: Duration = Duration::from_secs(400);
/// How often it is looked whether a fault has hit.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// A fault misses a job that is faster; so many tries in all, for each round.
const TRIES_PER_ROUND_MAX: usize = 4;

/// How long, and with how many rows
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Faults, one a round
    #[arg(long, default_value_t = 100)]
    rounds: u32,
    /// Rows of the source, in two collections: numbers and texts as keys, several partitions
    #[arg(long, default_value_t = 200_000)]
    rows: u32,
    /// Seed of all that is random
    #[arg(long)]
    seed: Option<u64>,
}

/// Runs all rounds.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let program = build()?;
    let seed = arguments.seed.unwrap_or_else(rand::random);
    output::note(&format!("seed {seed}"));
    let servers = Servers::start(&program, false)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let rows = runtime.block_on(data::fill(&servers, arguments.rows))?;
    let mut torture = Torture {
        source: FaultProxy::start(&servers.info(Side::Source).uri),
        target: FaultProxy::start(&servers.info(Side::Target).uri),
        state: tempfile::tempdir()?,
        random: StdRng::seed_from_u64(seed),
        tally: Tally::default(),
        program,
        servers,
        runtime,
        rows,
    };
    let begin = Instant::now();
    torture.all_rounds(arguments.rounds)?;
    torture.tally.print(begin.elapsed(), seed);
    torture.tally.verdict()
}

struct Torture {
    program: PathBuf,
    servers: Servers,
    source: FaultProxy,
    target: FaultProxy,
    state: tempfile::TempDir,
    runtime: Runtime,
    random: StdRng,
    tally: Tally,
    rows: u64,
}

impl Torture {
    fn all_rounds(&mut self, rounds: u32) -> Result<(), Failure> {
        let mut hits = hit::deck(rounds);
        hits.shuffle(&mut self.random);
        let (mut job, mut tries) = (None, 0);
        while let Some(hit) = hits.last().copied() {
            tries += 1;
            if tries > rounds as usize * TRIES_PER_ROUND_MAX {
                return Err(format!("{} faults did not hit in {tries} tries", hits.len()).into());
            }
            let begin = Instant::now();
            let (has_hit, outcome, number) = self.round(hit, job.as_deref())?;
            let (round, seconds) = (rounds as usize - hits.len() + 1, begin.elapsed().as_secs());
            let missed = if has_hit { "" } else { " (missed)" };
            output::note(&format!("round {round}: {hit:?}{missed}, {outcome}, {seconds} s"));
            if has_hit {
                hits.pop();
            }
            job = self.settle(hit, outcome, job.or(number))?;
        }
        self.finish(job)
    }

    /// One fault, and what follows from it. Tells whether it hit, how the job ended, and its number.
    fn round(&mut self, hit: Hit, job: Option<&str>) -> Result<(bool, Outcome, Option<String>), Failure> {
        // What hits a single call is there before the job is, so that it can't miss it.
        let armed = hit.fault().map(|fault| {
            let proxy = if fault.on_source { &self.source } else { &self.target };
            let at = When::Nth(self.random.random_range(1..=fault.calls_max));
            proxy.arm(fault.method, at, fault.fault)
        });
        let running = Job::start(self, job)?;
        let has_hit = match &armed {
            Some(armed) => {
                while !armed.wait_until_fired(LOOK_INTERVAL) && running.is_alive() {}
                armed.fired() > 0
            }
            None => {
                let moment = Moment::draw(&mut self.random);
                running.wait_for(moment, END_TIMEOUT)
            }
        };
        let number = running.number();
        if !has_hit {
            if let Some(armed) = armed {
                armed.disarm();
            }
            return Ok((false, running.end(END_TIMEOUT)?, number));
        }
        let steps = number.as_deref().map(|number| self.steps(number)).transpose()?.unwrap_or_default();
        self.tally.hit(hit, &steps);
        let outcome = self.strike(hit, running, armed, number.as_deref())?;
        Ok((true, outcome, number))
    }

    /// The step that each collection is in, by the job's ledger.
    fn steps(&self, number: &str) -> Result<Vec<String>, Failure> {
        let ledger = vecferry_ledger::Ledger::open(self.state.path())?;
        let events = self.runtime.block_on(ledger.events(number))?;
        let mut steps = std::collections::BTreeMap::new();
        for (_, _, document) in events {
            let event: serde_json::Value = serde_json::from_str(&document)?;
            let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            steps.insert(text("collection"), text("phase"));
        }
        Ok(steps.into_values().collect())
    }

    /// Applies a fault, if that has not happened yet, and waits until the job has ended in one way or the other.
    fn strike(
        &mut self,
        hit: Hit,
        running: Job,
        armed: Option<Armed>,
        number: Option<&str>,
    ) -> Result<Outcome, Failure> {
        match hit {
            Hit::KillVecferry => return running.kill(),
            Hit::KillSource => self.servers.restart("source")?,
            Hit::KillTarget => self.servers.restart("target")?,
            Hit::NetworkGone => {
                for proxy in [&self.source, &self.target] {
                    proxy.refuse_all(true);
                }
                std::thread::sleep(Duration::from_millis(self.random.random_range(200..5000)));
                for proxy in [&self.source, &self.target] {
                    proxy.refuse_all(false);
                }
            }
            // Nothing tells a slow server from a connection that is dead on the other side but time: a person ends it.
            Hit::HalfOpen => return running.kill(),
            Hit::HeldInsert => return self.release_after_resume(running, armed, number),
            Hit::CutBeforeSend
            | Hit::CutAfterApply
            | Hit::Delayed
            | Hit::RateLimited
            | Hit::Oversize
            | Hit::Garbage => {}
        }
        running.end(END_TIMEOUT)
    }

    /// While an insert is held on its way, Vecferry is killed and the job resumed to its end; then the insert is let go.
    fn release_after_resume(
        &mut self,
        running: Job,
        armed: Option<Armed>,
        number: Option<&str>,
    ) -> Result<Outcome, Failure> {
        let outcome = running.kill()?;
        let (Some(armed), Some(number)) = (armed, number) else { return Ok(outcome) };
        let resumed = Job::start(self, Some(number))?.end(END_TIMEOUT)?;
        let reply = armed.release(Duration::from_secs(60))?;
        let refused = reply.status().is_some_and(|status| status.code != 0 || status.error_code != 0);
        self.tally.late_insert(refused);
        Ok(resumed)
    }

    fn settle(&mut self, hit: Hit, outcome: Outcome, job: Option<String>) -> Result<Option<String>, Failure> {
        match outcome {
            Outcome::Successful { number } => {
                self.check(&number)?;
                Ok(None)
            }
            Outcome::Killed | Outcome::Failed { .. } => Ok(job),
            Outcome::Refused { text } => Err(format!("{hit:?}: {text}").into()),
        }
    }

    /// Compares every row of both servers, without proxies, and removes what the job made.
    fn check(&mut self, number: &str) -> Result<(), Failure> {
        let found = job::compare(self)?;
        if !found.problems.is_empty() {
            output::note(&format!("after job {number}: {}", found.problems));
        }
        self.tally.compared(&found, self.rows);
        let ledger = vecferry_ledger::Ledger::open(self.state.path())?;
        self.tally.doubts += self.runtime.block_on(ledger.doubts_total(number))?;
        drop(ledger);
        job::clean(self, number)
    }

    /// The last job is brought to its end without further faults.
    fn finish(&mut self, job: Option<String>) -> Result<(), Failure> {
        let Some(number) = job else { return Ok(()) };
        for _ in 0..5 {
            if let Outcome::Successful { number } = Job::start(self, Some(&number))?.end(END_TIMEOUT)? {
                return self.check(&number);
            }
        }
        Err(format!("job {number} does not come to its end").into())
    }
}
