//! Breaks everything a migration depends on, again and again, and looks whether a row is lost or there twice.
//!
//! One job after the other goes through fault proxies to real servers. In every round one fault hits: Vecferry is killed,
//! the source or the target is killed and started again, or the network is cut in one of several ways. Then the job is
//! resumed. When it ends successfully, every row of both servers is compared directly, what the job made is removed by
//! `cancel --clean`, and the next one begins.

mod data;
mod job;
mod tally;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::runtime::Runtime;
use vecferry_testkit::fault_proxy::{Answer, Armed, Cut, Fault, FaultProxy, Garbage, When};

use crate::bench::{Servers, Side, build};
use crate::{Failure, output};
use job::{Job, Outcome};
use tally::Tally;

/// Longest time that a job may take between a fault and its end.
const END_TIMEOUT: Duration = Duration::from_secs(400);

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

/// What hits a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hit {
    KillVecferry,
    KillSource,
    KillTarget,
    NetworkGone,
    CutBeforeSend,
    CutAfterApply,
    Delayed,
    HalfOpen,
    RateLimited,
    Oversize,
    Garbage,
    HeldInsert,
}

impl Hit {
    /// A round's fault; the three kinds of kills are frequent enough that a hundred rounds have fifteen of each.
    fn draw(random: &mut StdRng) -> Self {
        match random.random_range(0..100) {
            0..30 => Self::KillVecferry,
            30..49 => Self::KillSource,
            49..68 => Self::KillTarget,
            68..72 => Self::NetworkGone,
            72..76 => Self::CutBeforeSend,
            76..82 => Self::CutAfterApply,
            82..85 => Self::Delayed,
            85..87 => Self::HalfOpen,
            87..90 => Self::RateLimited,
            90..92 => Self::Oversize,
            92..95 => Self::Garbage,
            _ => Self::HeldInsert,
        }
    }
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
    let mut job = None;
    for round in 1..=arguments.rounds {
        job = torture.round(round, job)?;
    }
    torture.finish(job)?;
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
    /// One fault, and what follows from it. Returns the job's number if it is not complete.
    fn round(&mut self, round: u32, job: Option<String>) -> Result<Option<String>, Failure> {
        let hit = Hit::draw(&mut self.random);
        let running = Job::start(self, job.as_deref())?;
        let delay = Duration::from_millis(self.random.random_range(100..3500));
        let hit_at = running.wait(delay);
        let (outcome, number) = match hit_at {
            // It was faster than the fault; the round does not count.
            None => (running.end(END_TIMEOUT)?, None),
            Some(phase) => {
                self.tally.hit(hit, &phase);
                let number = running.number();
                (self.strike(hit, running)?, number)
            }
        };
        self.settle(round, hit, outcome, job.or(number))
    }

    /// Applies a fault, and waits until the job has ended in one way or the other.
    fn strike(&mut self, hit: Hit, running: Job) -> Result<Outcome, Failure> {
        let armed: Option<Armed> = match hit {
            Hit::KillVecferry => return running.kill(),
            Hit::KillSource | Hit::KillTarget => {
                let name = if hit == Hit::KillSource { "source" } else { "target" };
                self.servers.restart(name)?;
                None
            }
            Hit::NetworkGone => {
                for proxy in [&self.source, &self.target] {
                    proxy.refuse_all(true);
                }
                std::thread::sleep(Duration::from_millis(self.random.random_range(200..5000)));
                for proxy in [&self.source, &self.target] {
                    proxy.refuse_all(false);
                }
                None
            }
            Hit::CutBeforeSend => Some(self.writes(Fault::CutBeforeSend(Cut::Connection))),
            Hit::CutAfterApply => Some(self.writes(Fault::CutAfterApply(Cut::Connection))),
            Hit::Delayed => Some(self.writes(Fault::Delay(Duration::from_secs(3)))),
            Hit::HalfOpen => Some(self.source.arm("Query", When::Times(1), Fault::HalfOpen)),
            Hit::RateLimited => Some(self.writes(Fault::Answer(Answer::RateLimit))),
            Hit::Oversize => Some(self.writes(Fault::Answer(Answer::Oversize))),
            Hit::Garbage => Some(self.writes(Fault::Garbage(Garbage::Noise(7)))),
            Hit::HeldInsert => return self.hold(running),
        };
        if hit == Hit::HalfOpen {
            // Nothing tells a slow server from a connection that is dead on the other side but time: a person ends it.
            running.wait(Duration::from_secs(5));
            let outcome = running.kill()?;
            drop(armed);
            return Ok(outcome);
        }
        let outcome = running.end(END_TIMEOUT)?;
        if let Some(armed) = armed {
            armed.disarm();
        }
        Ok(outcome)
    }

    fn writes(&self, fault: Fault) -> Armed {
        self.target.arm("Insert", When::Times(2), fault)
    }

    /// An insert is held, Vecferry killed and resumed to its end, and the insert let go.
    fn hold(&mut self, running: Job) -> Result<Outcome, Failure> {
        let armed = self.target.arm("Insert", When::Nth(1), Fault::Hold(None));
        if !armed.wait_until_fired(Duration::from_secs(20)) {
            // No insert came any more: the copy was over.
            armed.disarm();
            return running.end(END_TIMEOUT);
        }
        let number = running.number();
        let outcome = running.kill()?;
        armed.disarm();
        if let Some(number) = number {
            let resumed = Job::start(self, Some(&number))?.end(END_TIMEOUT)?;
            let reply = armed.release(Duration::from_secs(60))?;
            let refused = reply.status().is_some_and(|status| status.code != 0 || status.error_code != 0);
            self.tally.late_insert(refused);
            return Ok(resumed);
        }
        Ok(outcome)
    }

    fn settle(
        &mut self,
        round: u32,
        hit: Hit,
        outcome: Outcome,
        job: Option<String>,
    ) -> Result<Option<String>, Failure> {
        output::note(&format!("round {round}: {hit:?}, {outcome:?}"));
        match outcome {
            Outcome::Successful { number } => {
                self.check(&number)?;
                Ok(None)
            }
            Outcome::Killed | Outcome::Failed => Ok(job),
            Outcome::Refused { text } => Err(format!("round {round}, {hit:?}: {text}").into()),
        }
    }

    /// Compares every row of both servers, without proxies, and removes what the job made.
    fn check(&mut self, number: &str) -> Result<(), Failure> {
        let found = job::compare(self)?;
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
