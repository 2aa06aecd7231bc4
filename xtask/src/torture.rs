//! Breaks everything a migration depends on, again and again, and looks whether a row is lost or there twice.
//!
//! One job after the other goes through fault proxies to real servers. In every round one fault hits: Vecferry is killed,
//! the source or the target is killed and started again, the network is cut in one of several ways, an answer is not what
//! it says, somebody else is faster with a name, or somebody writes to the source. Then the job is resumed. When it ends
//! successfully, every row of both servers is compared without the engine's code, what the job made is removed by
//! `cancel --clean`, and the next one begins. After every round, collections of somebody else on the target are as they
//! were. In which step a fault hit is what the job's store says.
//!
//! With `--warm`, a round is a whole job: a warm copy, two catch-ups and a cut-over, with several faults in each, while an
//! application writes to the source until the cut-over.

mod data;
mod hit;
mod job;
mod others;
mod tally;
mod warm;
mod whole;
mod writer;

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use tokio::runtime::Runtime;
use vecferry_milvus::{Client, CollectionName, Endpoint, Secret};
use vecferry_store::JobId;
use vecferry_testkit::fault_proxy::{Act, Armed, Fault, FaultProxy, When};

use crate::bench::{Servers, Side, build, collection};
use crate::{Failure, output};
use hit::{Hit, Moment};
use job::{Job, Outcome, Run};
use others::Written;
use tally::{Found, Tally};
use whole::{Foreign, patiently};

/// Rounds, unless they are told.
const ROUNDS: u32 = 100;
const ROUNDS_OF_WARM: u32 = 30;
/// Events of a job that are read at most.
const EVENTS_MAX: usize = 100_000;
/// Longest time that a job may take between a fault and its end.
const END_TIMEOUT: Duration = Duration::from_secs(400);
/// How often it is looked whether a fault has hit.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// A fault misses a job that is faster; so many tries in all, for each round.
const TRIES_PER_ROUND_MAX: usize = 4;
/// A collection of somebody else on the target.
const OTHERS: &str = "torture_of_somebody_else";
/// Rows of it.
const ROWS_OF_OTHERS: u32 = 300;
/// One of the first so many creations is raced.
const CREATIONS_RACED_MAX: u64 = 3;
/// Outside writes of a round.
const WRITES_MAX: u32 = 3;
/// Longest time for rows of a target that was just loaded to be complete.
const ANSWERS_TIMEOUT: Duration = Duration::from_secs(60);
/// Warnings that name updates of rows as what can't be seen, or can't be ruled out.
const UPDATES_TOLD: [&str; 2] = ["VF-0433", "VF-0434"];

/// How long, and with how many rows
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Faults, one a round: 100; with --warm, jobs with several faults each: 30
    #[arg(long)]
    rounds: Option<u32>,
    /// Rows of the source, in two collections: numbers and texts as keys, several partitions
    #[arg(long, default_value_t = 200_000)]
    rows: u32,
    /// Hit warm copies, catch-ups and cut-overs instead, while an application writes to the source
    #[arg(long)]
    warm: bool,
    /// Seed of all that is random
    #[arg(long)]
    seed: Option<u64>,
    /// A `vecferry` that is built already; without it, one is built as it is released
    #[arg(long)]
    program: Option<PathBuf>,
}

/// Runs all rounds.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let program = match &arguments.program {
        Some(program) => program.canonicalize()?,
        None => build()?,
    };
    let seed = arguments.seed.unwrap_or_else(rand::random);
    output::note(&format!("seed {seed}"));
    let servers = Servers::start(&program, false)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(data::fill(&servers, arguments.rows))?;
    let mut torture = Torture {
        source: FaultProxy::start(&servers.info(Side::Source).uri),
        target: FaultProxy::start(&servers.info(Side::Target).uri),
        directory: tempfile::tempdir()?,
        random: StdRng::seed_from_u64(seed),
        tally: Tally::default(),
        program,
        servers,
        runtime,
        is_warm: arguments.warm,
        rows_each: arguments.rows / 2,
        foreign: Vec::new(),
        raced: Arc::default(),
        written: Vec::new(),
        turn: 0,
    };
    std::fs::create_dir(torture.state())?;
    torture.make_foreign()?;
    let begin = Instant::now();
    let outcome = if arguments.warm {
        torture.all_warm_rounds(arguments.rounds.unwrap_or(ROUNDS_OF_WARM))
    } else {
        torture.all_rounds(arguments.rounds.unwrap_or(ROUNDS))
    };
    torture.tally.print(begin.elapsed(), seed);
    let verdict = match outcome {
        Ok(()) if arguments.warm => torture.tally.verdict_of_rows(),
        Ok(()) => torture.tally.verdict(),
        Err(failure) => Err(failure),
    };
    verdict.map_err(|failure| {
        let kept = torture.directory.keep();
        format!("seed {seed}: {failure}\nthe records of all jobs and what they printed: {}", kept.display())
            .into()
    })
}

struct Torture {
    program: PathBuf,
    servers: Servers,
    source: FaultProxy,
    target: FaultProxy,
    /// The records of the jobs, and what they printed.
    directory: tempfile::TempDir,
    runtime: Runtime,
    random: StdRng,
    tally: Tally,
    is_warm: bool,
    /// Rows that each collection began with.
    rows_each: u32,
    /// Collections of somebody else that are there all the time.
    foreign: Vec<Foreign>,
    /// Those that were made just before a job could make them.
    raced: Arc<Mutex<Vec<Foreign>>>,
    /// What was written to the source during the job, and whether that was before the last look at the source.
    written: Vec<(Written, bool)>,
    /// Outside writes so far.
    turn: u32,
}

impl Torture {
    /// Where the jobs are recorded.
    fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// What every run printed.
    fn log(&self) -> Result<File, Failure> {
        Ok(File::options().create(true).append(true).open(self.directory.path().join("runs.log"))?)
    }

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
            let moment = if hit == Hit::OutsideWrites { Moment::of_copy } else { Moment::draw };
            let (has_hit, outcome, number) = self.round(hit, Run::of(job.as_deref()), moment)?;
            let (round, seconds) = (rounds as usize - hits.len() + 1, begin.elapsed().as_secs());
            let missed = if has_hit { "" } else { " (missed)" };
            output::note(&format!("round {round}: {hit:?}{missed}, {outcome}, {seconds} s"));
            if has_hit {
                hits.pop();
            }
            job = self.settle(hit, outcome, job.or(number))?;
            self.check_foreign(false)?;
        }
        self.finish(job)?;
        self.check_foreign(true)
    }

    /// A client that goes through no proxy.
    fn direct(&self, side: Side) -> Result<Client, Failure> {
        self.runtime.block_on(patiently(async || self.servers.connect(side).await))
    }

    fn make_foreign(&mut self) -> Result<(), Failure> {
        let (client, name) = (self.direct(Side::Target)?, collection(OTHERS));
        let made = async {
            others::make(&client, &name, ROWS_OF_OTHERS).await?;
            client.create_alias(&name, "torture_alias_of_somebody_else").await?;
            Foreign::look(&client, &name).await
        };
        self.foreign.push(self.runtime.block_on(made)?);
        Ok(())
    }

    /// What is not the job's is as it was.
    fn check_foreign(&mut self, is_whole: bool) -> Result<(), Failure> {
        let client = self.direct(Side::Target)?;
        for foreign in &self.foreign {
            if let Some(problem) = self.runtime.block_on(foreign.touched(&client, is_whole))? {
                self.tally.foreign_touched(problem);
            }
        }
        Ok(())
    }

    /// One fault, and what follows from it. Tells whether it hit, how the job ended, and its number.
    fn round(
        &mut self,
        hit: Hit,
        run: Run<'_>,
        moment: fn(&mut StdRng) -> Moment,
    ) -> Result<(bool, Outcome, Option<String>), Failure> {
        // What hits a single call is there before the job is, so that it can't miss it.
        let armed = match hit.fault(&mut self.random) {
            Some(fault) => {
                let proxy = if fault.on_source { &self.source } else { &self.target };
                let at = When::Nth(self.random.random_range(1..=fault.calls_max));
                Some(proxy.arm(fault.calls(self.is_warm), at, fault.fault))
            }
            None if hit == Hit::RacedCreation && run.job().is_none() => Some(self.arm_race()),
            None => None,
        };
        let running = Job::start(self, run)?;
        let has_hit = match &armed {
            Some(armed) => {
                while !armed.wait_until_fired(LOOK_INTERVAL) && running.is_alive() {}
                armed.fired() > 0
            }
            // A job that is resumed has its collections.
            None if hit == Hit::RacedCreation => false,
            None => {
                let moment = moment(&mut self.random);
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
        let former = running.former().clone();
        let outcome = self.strike(hit, running, armed, number.as_deref())?;
        // The first calls of a job are made before it is recorded.
        let number = number.or_else(|| job::newer(&self.state(), &former));
        Ok((true, outcome, number))
    }

    /// The step that each collection is in, by the job's store.
    fn steps(&self, number: &str) -> Result<Vec<String>, Failure> {
        let store = vecferry_store::sqlite::open(&self.state())?;
        let job_id = self.runtime.block_on(store.find_job(number))?;
        let events = self.runtime.block_on(store.events(&job_id, None, EVENTS_MAX))?;
        let mut steps = std::collections::BTreeMap::new();
        for recorded in events {
            let event: serde_json::Value = serde_json::from_str(&recorded.event)?;
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
            Hit::OutsideWrites => self.write_outside(&running)?,
            Hit::EmptiedPage
            | Hit::FailedInsert
            | Hit::Denied
            | Hit::RacedCreation
            | Hit::CutBeforeSend
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
        let resumed = Job::start(self, Run::Resume(number))?.end(END_TIMEOUT)?;
        let reply = armed.release(Duration::from_secs(60))?;
        let refused = reply.status().is_some_and(|status| status.code != 0 || status.error_code != 0);
        self.tally.late_insert(refused);
        Ok(resumed)
    }

    /// Somebody else makes one of the job's collections when the job is about to.
    fn arm_race(&mut self) -> Armed {
        let info = self.servers.info(Side::Target);
        let (uri, token, raced) = (info.uri.clone(), info.token.clone(), Arc::clone(&self.raced));
        let rows = if self.random.random() { ROWS_OF_OTHERS } else { 0 };
        let mut names = data::COLLECTIONS.map(collection);
        names.shuffle(&mut self.random);
        let act = Act::new(move || match race(&uri, token.as_deref(), &names, rows) {
            Ok(made) => raced.lock().unwrap_or_else(PoisonError::into_inner).extend(made),
            Err(error) => output::note(&format!("nobody was faster: {error}")),
        });
        let at = When::Nth(self.random.random_range(1..=CREATIONS_RACED_MAX));
        self.target.arm(["CreateCollection", "RenameCollection"], at, Fault::Raced(act))
    }

    /// Somebody writes to the source while it is copied.
    fn write_outside(&mut self, running: &Job) -> Result<(), Failure> {
        let client = self.direct(Side::Source)?;
        for _ in 0..self.random.random_range(1..=WRITES_MAX) {
            let write = others::write(&client, &mut self.random, self.rows_each, self.turn);
            let written = self.runtime.block_on(write)?;
            self.turn += 1;
            self.written.push((written, running.is_copying()));
        }
        Ok(())
    }

    /// What follows from the end of a run. The job goes on, or the next one is a new one.
    fn settle(&mut self, hit: Hit, outcome: Outcome, job: Option<String>) -> Result<Option<String>, Failure> {
        let is_raced = !self.raced.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        match outcome {
            Outcome::Successful { number, .. } if is_raced => {
                self.tally.false_success(format!("job {number} has a collection of somebody else"));
                self.end_race(Some(&number))?;
            }
            Outcome::Killed
            | Outcome::Failed { .. }
            | Outcome::Refused { .. }
            | Outcome::Different { .. }
                if is_raced =>
            {
                self.end_race(job.as_deref())?;
            }
            Outcome::Successful { number, report } => self.check(&number, &report)?,
            Outcome::Killed | Outcome::Failed { .. } => return Ok(job),
            Outcome::Refused { .. } if hit == Hit::Denied => return Ok(job),
            // The source changed, and the job says so: the next one is a new one.
            Outcome::Different { .. } | Outcome::Refused { .. } if !self.written.is_empty() => {
                self.tally.drifted();
                if let Some(number) = &job {
                    job::clean(self, number)?;
                }
            }
            Outcome::Different { text } | Outcome::Refused { text } => {
                return Err(format!("{hit:?}: {text}").into());
            }
        }
        self.written.clear();
        Ok(None)
    }

    /// What somebody else made is as it was, also after the job's own collections were removed. Then it goes, and the name
    /// is free again.
    fn end_race(&mut self, job: Option<&str>) -> Result<(), Failure> {
        let raced = std::mem::take(&mut *self.raced.lock().unwrap_or_else(PoisonError::into_inner));
        let client = self.direct(Side::Target)?;
        for is_cleaned in [false, true] {
            if let Some(number) = job.filter(|_| is_cleaned) {
                job::clean(self, number)?;
            }
            for foreign in &raced {
                if let Some(problem) = self.runtime.block_on(foreign.touched(&client, true))? {
                    self.tally.foreign_touched(problem);
                }
            }
        }
        for foreign in &raced {
            self.runtime.block_on(patiently(async || Ok(client.drop_collection(&foreign.name).await?)))?;
        }
        Ok(())
    }

    /// Compares every row of both servers, without proxies, and removes what the job made.
    fn check(&mut self, number: &str, report: &serde_json::Value) -> Result<(), Failure> {
        let mut found = self.compare(report)?;
        if !found.problems.is_empty() {
            found.problems = format!("after job {number}: {}", found.problems);
            output::note(&found.problems);
        }
        self.tally.compared(&found);
        let store = vecferry_store::sqlite::open(&self.state())?;
        self.tally.doubts += self.runtime.block_on(store.doubts_total(&JobId::from(number)))?;
        drop(store);
        job::clean(self, number)
    }

    fn compare(&self, report: &serde_json::Value) -> Result<Found, Failure> {
        let (source, target) = (self.direct(Side::Source)?, self.direct(Side::Target)?);
        let warnings = report["warnings"].to_string();
        let updates_told = UPDATES_TOLD.iter().any(|code| warnings.contains(code));
        let mut found = Found::default();
        for name in data::COLLECTIONS {
            let begin = Instant::now();
            let (of_source, of_target) = loop {
                // A server whose components come back one after the other denies what it holds, for a moment.
                let both = self.runtime.block_on(patiently(async || {
                    let name = collection(name);
                    let of_source = whole::read(&source, &name).await?;
                    Ok((of_source, whole::read(&target, &name).await?))
                }))?;
                if both.0 == both.1 || begin.elapsed() > ANSWERS_TIMEOUT {
                    break both;
                }
            };
            found.repeated += of_target.counted.saturating_sub(of_target.rows.len() as u64);
            let is_excused = |key: &whole::Key| {
                self.written.iter().any(|(written, was_in_time)| {
                    let is_unseen = !was_in_time || written.is_update && updates_told;
                    is_unseen && written.collection == name && written.keys.contains(key)
                })
            };
            for row in of_source
                .rows
                .keys()
                .chain(of_target.rows.keys().filter(|row| !of_source.rows.contains_key(*row)))
            {
                let (before, after) = (of_source.rows.get(row), of_target.rows.get(row));
                match (before, after) {
                    _ if before == after => {}
                    _ if is_excused(&row.1) => found.excused += 1,
                    (Some(_), None) => found.missing += 1,
                    (None, _) => found.extra += 1,
                    (Some(_), Some(_)) => found.changed += 1,
                }
            }
        }
        if found.missing + found.extra + found.changed + found.repeated > 0 {
            let Found { missing, extra, changed, repeated, .. } = &found;
            found.problems =
                format!("{missing} rows missing, {extra} extra, {changed} changed, {repeated} repeated");
        }
        Ok(found)
    }

    /// The last job is brought to its end without further faults.
    fn finish(&mut self, job: Option<String>) -> Result<(), Failure> {
        let Some(number) = job else { return Ok(()) };
        for _ in 0..5 {
            match Job::start(self, Run::Resume(&number))?.end(END_TIMEOUT)? {
                Outcome::Successful { number, report } => return self.check(&number, &report),
                Outcome::Different { .. } if !self.written.is_empty() => return job::clean(self, &number),
                Outcome::Different { .. }
                | Outcome::Failed { .. }
                | Outcome::Killed
                | Outcome::Refused { .. } => {}
            }
        }
        Err(format!("job {number} does not come to its end").into())
    }
}

/// Makes the first of some collections that is not there yet, as somebody else.
fn race(
    uri: &str,
    token: Option<&str>,
    names: &[CollectionName],
    rows: u32,
) -> Result<Option<Foreign>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let endpoint = Endpoint::parse(uri)?.with_token(token.map(Secret::new));
        let client = Client::connect(endpoint, 1).await?;
        for name in names {
            if others::make(&client, name, rows).await? {
                return Ok(Some(Foreign::look(&client, name).await?));
            }
        }
        Ok(None)
    })
}
