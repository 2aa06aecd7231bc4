//! One collection of a job, from loading the source to the aliases of the target.

mod brought_up;
mod definition;
mod early;
mod followed;
mod rows;
mod source;
mod verified;

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use tokio::sync::SemaphorePermit;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use vecferry_milvus::{Collection, ErrorKind, Key};
use vecferry_store::{JobId, Position};

use crate::cluster::connect::{denied, of_server};
use crate::cluster::retry::WaitError;
use crate::event::{Event, Phase};
use crate::job::drift::Holding;
use crate::job::next_round::Purpose;
use crate::job::round::Round;
use crate::job::run::{Ended, Job, replaced};
use crate::job::{drift, every_row};
use crate::plan::PlannedCollection;
use crate::problem::store_failed;
use crate::problem::{Code, Problem, Side, Told, Worded, words_of};
use crate::report::CollectionReport;
use crate::report::new_report;
use crate::request::{OnBadRow, VerifyLevel};
use crate::target::{self, RefusedIndex};
use crate::verify::Expected;

use early::Early;
use source::Looked;
use verified::flush_target;

pub(super) use rows::copy_problem;

/// Counts of a source that can't be true, or that say that it changed, are made again so often, and so far apart: a server
/// that hands rows over from the log to a segment counts them twice or not at all, for a moment.
const RECOUNTS_MAX: u32 = 4;
const RECOUNT_INTERVAL: Duration = Duration::from_millis(500);

/// Refused rows that are named with their reason; the file names all.
const QUARANTINED_NAMED: usize = 3;

/// How often a collection is copied in one attempt, where a write in doubt can't be repeated.
const COPIES_MAX: u32 = 3;

/// What a server, the store or the protocol said.
trait Failure: std::error::Error + Worded + 'static {}

impl<Error: std::error::Error + Worded + 'static> Failure for Error {}

/// Why a collection stopped.
pub(super) enum Stop {
    Problem(Problem),
    Canceled,
    /// A write may have landed and can't be repeated.
    InDoubt(Told),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// What was read of one part of a collection, by all attempts together.
struct PartCopied {
    partition: Option<String>,
    rows_read: u64,
    /// Rows of these that the target refuses.
    set_aside: u64,
    /// Keys that are to be compared.
    keys: Vec<Key>,
}

/// Migrates one collection. Never leaves the source in another load state than before.
pub(super) async fn migrate(job: &Job, position: Position, planned: &PlannedCollection) -> Ended {
    let mut work = Work::new(job, position, planned);
    let stop = match job.store.collection(job.attempt.job_id(), position).await {
        _ if job.cancel.is_cancelled() => Err(Stop::Canceled),
        Ok(record) => {
            job.times.begin_collection(position, &record);
            match work.run().await {
                Err(Stop::Problem(problem)) if job.round.writes_go_on() => work.leave_to_next(problem).await,
                ended => ended,
            }
        }
        Err(error) => Err(work.store_failed(error)),
    };
    work.end(stop).await
}

/// Goes on with a collection whose indexes were put off until all others were compared.
pub(super) async fn complete(
    job: &Job,
    position: Position,
    planned: &PlannedCollection,
    ended: Ended,
) -> Ended {
    job.times.go_on_with_collection(position);
    let mut work = Work {
        report: ended.report,
        problems: ended.problems,
        warnings: ended.warnings,
        writes_looked_for: ended.looked_at,
        ..Work::new(job, position, planned)
    };
    let stop = async {
        work.stop_if_canceled()?;
        work.still_own().await?;
        work.create_indexes(&job.cancel).await?;
        work.complete().await
    };
    let stop = stop.await;
    work.end(stop).await
}

/// Counts the target of a collection that an earlier attempt completed: much may have happened since.
pub(super) async fn count_again(job: &Job, planned: &PlannedCollection, ended: &mut Ended) {
    if job.request.verify == VerifyLevel::None {
        return;
    }
    let mut work = Work::new(job, Position(0), planned);
    work.enter(Phase::Verifying);
    match work.count_again(ended.report.rows).await {
        Ok(counted) => {
            let expected = ended.report.evidence.target.take().unwrap_or_default();
            if drift::expires(planned) && counted.is_part_of(&expected) {
                // Its own rows end by themselves as well since it was complete.
                ended.report.evidence.target = Some(expected);
                return;
            }
            if counted != expected {
                let (code, rows) = if counted.whole < expected.whole {
                    (Code::RowsMissing, expected.whole - counted.whole)
                } else {
                    (Code::RowsExtra, counted.whole - expected.whole)
                };
                let problem = Problem::new(code).with("collection", &planned.source).with("rows", rows);
                let place = Told::both("counted again by this attempt", "本次尝试重新计数");
                work.problems.push(problem.told("where", place));
            }
            ended.report.evidence.target = Some(counted);
        }
        Err(Stop::Problem(problem)) => work.problems.push(problem),
        Err(Stop::Canceled | Stop::InDoubt(_)) => {
            ended.report.phase = Phase::Canceled;
            return;
        }
    }
    if !work.problems.is_empty() {
        ended.report.phase = Phase::Failed;
        ended.problems.append(&mut work.problems);
    }
}

/// Refuses to take away what holds rows that others brought to the target, unless that was accepted. The target is left
/// loaded: whoever asks takes it away.
pub(super) async fn refuse_rows_of_others(
    job: &Job,
    position: Position,
    planned: &PlannedCollection,
    own: &Collection,
) -> Result<(), Problem> {
    let work = Work::new(job, position, planned);
    let asked = async {
        let _turn = work.turn_to_load().await?;
        work.load_target(own, planned.rows_estimate).await?;
        work.refuse_rows_of_others(own).await
    };
    match asked.await {
        Ok(()) => Ok(()),
        Err(Stop::Problem(problem)) => Err(problem),
        Err(Stop::Canceled | Stop::InDoubt(_)) => {
            Err(Problem::new(Code::Canceled).with("job", job.attempt.job_id()))
        }
    }
}

/// Around everything that a stage does.
fn stage(name: &'static str) -> tracing::Span {
    tracing::info_span!("stage", name)
}

/// A failure of the source while a collection is worked on.
fn source_problem(planned: &PlannedCollection, job_id: &JobId, error: &impl Failure) -> Problem {
    denied(Side::Source, error).unwrap_or_else(|| {
        let is_not_loaded = of_server(error).is_some_and(|error| error.kind() == ErrorKind::NotLoaded);
        let code = if is_not_loaded { Code::SourceDoesNotServe } else { Code::SourceFailed };
        let problem = Problem::new(code).with("collection", &planned.source);
        problem.with("job", job_id).told("detail", words_of(error))
    })
}

/// The same of the target.
fn target_problem(planned: &PlannedCollection, error: &impl Failure) -> Problem {
    denied(Side::Target, error).unwrap_or_else(|| {
        Problem::new(Code::TargetFailed).with("collection", &planned.target).told("detail", words_of(error))
    })
}

struct Work<'a> {
    job: &'a Job,
    position: Position,
    planned: &'a PlannedCollection,
    report: CollectionReport,
    /// What the source held before a cut-over compared it.
    before: Option<Holding>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    /// Indexes that the target refused in this attempt.
    refused_indexes: Vec<RefusedIndex>,
    /// When the source was begun to be looked at behind the copy, if nothing of it was read after that.
    writes_looked_for: Option<Instant>,
    /// The target is loaded while rows are copied to it.
    early: Option<Early<'a>>,
    /// An index may be there with which the target is loaded to be compared.
    flat: bool,
    /// Where its keys may be cut when every row is compared, and what was read of the source for that.
    cuts: Option<every_row::Cuts>,
    /// It was compared, and its planned indexes are begun when all others were compared as well.
    is_put_off: bool,
}

/// A source collection that is loaded for this job, and the right to have it so.
struct Held<'a> {
    _permits: (SemaphorePermit<'a>, SemaphorePermit<'a>),
}

impl<'a> Work<'a> {
    fn new(job: &'a Job, position: Position, planned: &'a PlannedCollection) -> Self {
        Self {
            job,
            position,
            planned,
            report: new_report(planned),
            before: None,
            problems: Vec::new(),
            warnings: Vec::new(),
            refused_indexes: Vec::new(),
            writes_looked_for: None,
            early: None,
            flat: false,
            cuts: None,
            is_put_off: false,
        }
    }

    /// What the collection came to, if it was worked on until now.
    async fn end(mut self, stop: Result<(), Stop>) -> Ended {
        let is_put_off = stop.is_ok() && self.is_put_off;
        let phase = match stop {
            Ok(()) if is_put_off => Phase::Indexing,
            // Whether all of it amounts to a success is concluded when the job ends.
            Ok(()) if self.problems.is_empty() => Phase::Done,
            Ok(()) => Phase::Failed,
            Err(Stop::Canceled | Stop::InDoubt(_)) => Phase::Canceled,
            Err(Stop::Problem(problem)) => {
                self.problems.push(problem);
                Phase::Failed
            }
        };
        self.end_early().await;
        if !is_put_off {
            self.enter(phase);
        }
        self.report.seconds = self.job.times.end_collection(self.position);
        let (problems, warnings, looked_at) = (self.problems, self.warnings, self.writes_looked_for);
        Ended { report: self.report, before: self.before, problems, warnings, looked_at, is_put_off }
    }

    fn enter(&mut self, phase: Phase) {
        self.report.phase = phase;
        self.job.observer.on_event(Event::Phase { collection: self.planned.source.clone(), phase });
    }

    fn source_failed(&self, error: impl Failure) -> Stop {
        Stop::Problem(source_problem(self.planned, self.job.attempt.job_id(), &error))
    }

    fn source_not_complete(&self, error: WaitError) -> Stop {
        match error {
            WaitError::Canceled => Stop::Canceled,
            WaitError::Server(error) => self.source_failed(error),
        }
    }

    fn target_failed(&self, error: impl Failure) -> Stop {
        Stop::Problem(target_problem(self.planned, &error))
    }

    /// Begins the collection anew where a write is in doubt that can't be repeated.
    async fn run(&mut self) -> Result<(), Stop> {
        let mut times = 1;
        loop {
            let detail = match self.run_once().await {
                Err(Stop::InDoubt(detail)) if self.job.cancel.is_cancelled() => {
                    tracing::debug!(%detail, "canceled while a write was in doubt");
                    return Err(Stop::Canceled);
                }
                Err(Stop::InDoubt(detail)) => detail,
                ended => return ended,
            };
            if times == COPIES_MAX {
                let problem = Problem::new(Code::CopiedAnew).with("collection", &self.planned.target);
                let problem = problem.with("times", times).told("detail", detail);
                return Err(problem.with("job", self.job.attempt.job_id()).into());
            }
            tracing::debug!(%detail, "the collection is begun anew");
            let job = self.job;
            let record = job.store.collection(job.attempt.job_id(), self.position).await;
            let record = record.map_err(|error| self.store_failed(error))?;
            // Whatever may still be on its way finds neither the name that it was sent to nor the collection.
            super::control::clean_up(&self.claim(), &record, true).await?;
            self.report = new_report(self.planned);
            (self.writes_looked_for, self.early, self.cuts) = (None, None, None);
            (self.flat, self.is_put_off) = (false, false);
            times += 1;
        }
    }

    /// The stages of a collection. Source and target are asked side by side where neither waits for what the other says.
    async fn run_once(&mut self) -> Result<(), Stop> {
        if let Some(purpose) = self.job.round.purpose()
            && self.planned.readable
        {
            if self.is_copied().await? {
                return self.bring_up(purpose).await;
            }
            if purpose == Purpose::CutOver {
                self.drop_what_was_begun().await?;
            }
        }
        let (made, looked) = self.begin().await?;
        self.load_early().await?;
        let (expected, held) = if self.planned.readable {
            self.copy_and_store(&made, looked).await?
        } else {
            self.look_at_unreadable().instrument(stage("look_at_unreadable")).await?;
            (Expected::default(), None)
        };
        let verified = self.prove_and_index(&made, &expected).instrument(stage("verify")).await;
        if let Some(held) = held {
            self.release_source(held).instrument(stage("release_source")).await;
        }
        verified?;
        if !self.is_put_off {
            return self.complete().await;
        }
        // Also now: what was written meanwhile can't be told any more once the source has merged its segments.
        let writes = self.writes_since_copy().await?;
        self.tell_writes(writes);
        Ok(())
    }

    /// Whether all its rows were copied, by this round or one before.
    async fn is_copied(&self) -> Result<bool, Stop> {
        let record = self.job.store.collection(self.job.attempt.job_id(), self.position).await;
        let record = record.map_err(|error| self.store_failed(error))?;
        Ok(record.copied && record.target_id.is_some() && !record.removal_intended)
    }

    /// What another attempt began to copy can't be ended by a cut-over: nobody looked whether the source changed since.
    async fn drop_what_was_begun(&self) -> Result<(), Stop> {
        let record = self.job.store.collection(self.job.attempt.job_id(), self.position).await;
        let record = record.map_err(|error| self.store_failed(error))?;
        if record.source_counts.is_some() {
            super::control::clean_up(&self.claim(), &record, true).await?;
        }
        Ok(())
    }

    /// The name may be another collection's by now: hours lie between the comparison and what comes behind it.
    async fn still_own(&self) -> Result<(), Stop> {
        let (job, planned) = (self.job, self.planned);
        let record = job.store.collection(job.attempt.job_id(), self.position).await;
        let id = record.map_err(|error| self.store_failed(error))?.target_id;
        let made = match id {
            Some(id) => target::describe_own(&job.target, &planned.target, id).await,
            None => Ok(None),
        };
        match made.map_err(|error| self.target_failed(error))? {
            Some(_) => Ok(()),
            None => Err(replaced(planned, job.attempt.job_id()).into()),
        }
    }

    /// What comes behind the comparison and the indexes.
    async fn complete(&mut self) -> Result<(), Stop> {
        self.look_again().instrument(stage("look_again")).await?;
        match self.job.round.writes_go_on() {
            // Aliases and late properties are the last thing that a cut-over does.
            true => self.tell_rejected_so_far().await?,
            false => self.finish().instrument(stage("finish")).await?,
        }
        self.leave().instrument(stage("leave")).await
    }

    /// The collection is made while the source is looked at, if that is loaded and no earlier attempt left anything.
    async fn begin(&mut self) -> Result<(Collection, Option<Looked>), Stop> {
        let job = self.job;
        let record = job.store.collection(job.attempt.job_id(), self.position).await;
        let record = record.map_err(|error| self.store_failed(error))?;
        self.enter(Phase::Creating);
        let created = AtomicBool::new(false);
        let is_fresh = !record.creation_intended && !record.removal_intended && record.target_id.is_none();
        let (made, looked) = {
            let make = self.create(&created).instrument(stage("create"));
            if is_fresh && self.planned.readable && !self.planned.needs_load {
                let (made, looked) =
                    tokio::join!(make, self.look_at_loaded().instrument(stage("look_at_source")));
                (made, Some(looked))
            } else {
                (make.await, None)
            }
        };
        self.report.created |= created.into_inner();
        let made = made?;
        Ok((made, looked.transpose()?))
    }

    /// The rows are copied; then the target stores them while the source is asked what the target must hold.
    async fn copy_and_store(
        &mut self,
        made: &Collection,
        looked: Option<Looked>,
    ) -> Result<(Expected, Option<Held<'a>>), Stop> {
        let (copied, held) = self.copy_source(made, looked).instrument(stage("copy")).await?;
        if self.job.round.writes_go_on() {
            return self.store_copied(held).await.map(|()| (Expected::default(), None));
        }
        let rows = self.report.rows;
        if rows > 0 {
            self.enter(Phase::Flushing);
        }
        let (job, planned) = (self.job, self.planned);
        let is_stored = CancellationToken::new();
        let stored = async {
            let _is_stored = is_stored.clone().drop_guard();
            if rows > 0 { flush_target(job, planned).instrument(stage("flush")).await } else { Ok(()) }
        };
        let asked = async {
            let asked = self.ask_and_release(copied, held).instrument(stage("ask_source")).await?;
            // A record that can't be read is told by whoever compares.
            let _ = self.find_cuts().await;
            self.with_source_read(is_stored.cancelled()).instrument(stage("read_ahead")).await;
            Ok::<_, Stop>(asked)
        };
        let (asked, stored) = tokio::join!(asked, stored);
        let (expected, held) = asked?;
        let stored = stored.map_err(|error| self.target_failed(error));
        if let Err(stop) = stored.and_then(|()| self.stop_if_canceled()) {
            if let Some(held) = held {
                self.release_source(held).await;
            }
            return Err(stop);
        }
        Ok((expected, held))
    }

    /// What changed on the source, and whether the target's definition is the planned one.
    async fn look_again(&mut self) -> Result<(), Stop> {
        if self.writes_looked_for.is_none() && !self.job.round.writes_go_on() {
            let writes = self.writes_since_copy().await?;
            self.tell_writes(writes);
        }
        self.check_definition().await?;
        self.report.evidence.definition_compared = true;
        Ok(())
    }

    /// Aliases and TTL, only where everything else was found to be right. A cut-over sets them when all collections are.
    async fn finish(&mut self) -> Result<(), Stop> {
        let is_verified = self.problems.is_empty();
        self.tell_quarantined().await?;
        let takes_refused_rows = self.job.request.on_bad_row == OnBadRow::Quarantine;
        let is_of_switch = self.job.round.purpose() == Some(Purpose::CutOver);
        if is_of_switch || !is_verified || (self.report.quarantined > 0 && !takes_refused_rows) {
            return Ok(());
        }
        target::finish(&self.job.target, self.planned, &self.job.cancel)
            .await
            .map_err(|error| self.target_failed(error))?;
        self.check_finish().await?;
        self.report.evidence.finished = true;
        self.report.aliases = self.planned.aliases.clone();
        Ok(())
    }

    /// The target's indexes and load state, as they are left.
    async fn leave(&mut self) -> Result<(), Stop> {
        // In a cut-over nobody waits for what the last rows need.
        if self.job.request.wait_index && self.job.round.purpose() != Some(Purpose::CutOver) {
            self.enter(Phase::Indexing);
            target::wait_for_indexes(&self.job.target, &self.planned.target, &self.job.cancel)
                .await
                .map_err(|error| self.target_failed(error))?;
        }
        match self.job.round != Round::Plain && self.job.request.load_target {
            true => self.leave_loaded().await?,
            false => self.leave_unloaded().await?,
        }
        let seconds = self.job.times.seconds();
        self.report.indexes = target::index_report(&self.job.target, &self.planned.target, seconds)
            .await
            .map_err(|error| self.target_failed(error))?;
        Ok(())
    }

    fn stop_if_canceled(&self) -> Result<(), Stop> {
        if self.job.cancel.is_cancelled() { Err(Stop::Canceled) } else { Ok(()) }
    }

    fn store_failed(&self, error: impl Worded) -> Stop {
        store_failed(self.job.attempt.job_id(), &error).into()
    }
}
