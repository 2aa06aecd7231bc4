//! What an attempt is a part of: a job that copies in one go, or a round of one that copies while its source may change.
//!
//! A round is open from its begin to its end, whatever happens to attempts meanwhile: a job that is resumed goes on with the
//! round that is open. What a round did for a collection is recorded with the round, and not as what the job did: only a
//! round that compared everything says anything of a success.

use std::collections::BTreeMap;
use std::time::Duration;

use vecferry_store::{
    Attempt, CollectionRecord, EndedRound, JobKind, JobRecord, JobState, NewRound, Position, Presence,
    RoundKind, RoundRecord, RoundState, Store,
};

use super::control::unreadable;
use super::next_round::{NextRound, Purpose, RoundOptions};
use super::run::{Ended, Job};
use crate::problem::store_problem;
use crate::problem::{Code, Problem, store_failed};
use crate::report::{CaughtUp, PartitionReport, Report, RoundReport};
use crate::request::VerifyLevel;

/// Rounds of a job that its report lists: the newest ones.
const ROUNDS_SHOWN: usize = 64;

/// What an attempt is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// The job copies in one go, and nobody is to write to the source meanwhile.
    Plain,
    /// A round of a job.
    Numbered {
        /// Its number among the rounds of the job.
        number: u64,
        /// What it is for.
        kind: RoundKind,
    },
}

/// What collections came to for which a round has nothing left to do, as recorded.
pub(super) type DoneInRound = BTreeMap<Position, String>;

/// How an attempt begins.
pub(super) enum Beginning {
    /// With work.
    Round(Box<Begun>),
    /// With nothing: the last round came to its end, and no other one was begun. This is the job's report.
    AtRest(String),
}

/// The round that an attempt is a part of, as it is recorded.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) round: Round,
    /// What earlier attempts of the round completed.
    pub(super) done: DoneInRound,
    pub(super) course: Course,
}

/// What an attempt knows of its round.
#[derive(Clone, Debug, Default)]
pub(super) struct Course {
    /// What the round may do.
    pub(super) options: RoundOptions,
    /// Whether the target has begun to take over: rows are not touched any more.
    pub(super) is_switching: bool,
    /// Whether the attempt before, of this round or the one before, put back what it had loaded of the source.
    pub(super) source_is_put_back: bool,
    /// The newest round that came to its end, if spans that it found equal need not be read again.
    pub(super) trusted: Option<u64>,
    /// Rows of each partition that the newest round that came to its end left on the target; without a name where a field's
    /// value places them.
    pub(super) left: BTreeMap<Position, BTreeMap<String, u64>>,
}

impl Round {
    fn of(record: &RoundRecord) -> Self {
        Self::Numbered { number: record.number, kind: record.kind }
    }

    /// The round of a job that is under way; of one that copies in one go, the job itself.
    pub(super) async fn under_way(store: &dyn Store, job: &JobRecord) -> Result<Self, vecferry_store::Error> {
        Ok(match job.kind {
            JobKind::Plain => Self::Plain,
            // Before its first round, it is about to begin that.
            JobKind::Warm => store
                .round(&job.job_id)
                .await?
                .as_ref()
                .map_or(Self::Numbered { number: 1, kind: RoundKind::Warm }, Self::of),
        })
    }

    /// Whether the source may be written to meanwhile, so that what is read of it need not agree.
    pub(super) fn writes_go_on(self) -> bool {
        match self {
            Self::Plain | Self::Numbered { kind: RoundKind::CutOver, .. } => false,
            Self::Numbered { kind: RoundKind::Warm | RoundKind::CatchUp, .. } => true,
        }
    }

    /// Its number; none for a job that copies in one go.
    pub(super) fn number(self) -> Option<u64> {
        match self {
            Self::Plain => None,
            Self::Numbered { number, .. } => Some(number),
        }
    }

    /// How the job copies.
    pub(super) fn job_kind(self) -> JobKind {
        match self {
            Self::Plain => JobKind::Plain,
            Self::Numbered { .. } => JobKind::Warm,
        }
    }

    /// Whether this is a round behind the warm copy.
    pub(super) fn purpose(self) -> Option<Purpose> {
        match self {
            Self::Plain | Self::Numbered { kind: RoundKind::Warm, .. } => None,
            Self::Numbered { kind: RoundKind::CatchUp, .. } => Some(Purpose::CatchUp),
            Self::Numbered { kind: RoundKind::CutOver, .. } => Some(Purpose::CutOver),
        }
    }

    /// Begins an attempt: with the round that is wanted, with the one that is open, or else with the first one. A switch that
    /// was begun can only be finished. A job whose rounds have come to an end has nothing to go on with, unless what they
    /// copied was removed again.
    ///
    /// # Errors
    /// The record fails.
    pub(super) async fn begin(
        store: &dyn Store,
        attempt: &Attempt,
        job: &JobRecord,
        next: Option<NextRound>,
        begun_at: String,
    ) -> Result<Beginning, Problem> {
        let failed = |error: vecferry_store::Error| store_problem(store, job.job_id.as_str(), &error);
        if job.kind == JobKind::Plain {
            let (round, done, course) = (Self::Plain, DoneInRound::new(), Course::default());
            return Ok(Beginning::Round(Box::new(Begun { round, done, course })));
        }
        let newest = store.round(&job.job_id).await.map_err(failed)?;
        let open = newest.as_ref().filter(|round| round.state == RoundState::Open);
        if let Some(open) = open.filter(|open| next.is_none() || open.switch_intended) {
            return Begun::of(store, job, open).await.map(Beginning::Round);
        }
        let new = match next {
            Some(NextRound { purpose, options }) => {
                let options = serde_json::to_string(&options).map_err(|error| unreadable(store, &error))?;
                NewRound { kind: purpose.kind(), options, begun_at }
            }
            None => {
                let records = store.collections(&job.job_id).await.map_err(failed)?;
                if let (Some(_), Some(report)) = (newest, &job.report)
                    && tells_what_is_not_proven(report)
                    && records.iter().filter(|record| record.presence == Presence::Here).all(is_copied)
                {
                    return Ok(Beginning::AtRest(report.clone()));
                }
                NewRound { kind: RoundKind::Warm, options: "{}".to_owned(), begun_at }
            }
        };
        let opened = store.open_round(attempt, new).await.map_err(failed)?;
        Begun::of(store, job, &opened).await.map(Beginning::Round)
    }
}

impl Begun {
    async fn of(store: &dyn Store, job: &JobRecord, open: &RoundRecord) -> Result<Box<Self>, Problem> {
        let job_id = &job.job_id;
        let failed = |error: vecferry_store::Error| store_problem(store, job_id.as_str(), &error);
        let done = store.round_reports(job_id, open.number).await.map_err(failed)?;
        let rounds = store.rounds(job_id, ROUNDS_SHOWN).await.map_err(failed)?;
        let former = rounds.iter().find(|round| round.number < open.number);
        let done_before = former.filter(|former| former.state == RoundState::Done);
        let newest_done =
            rounds.iter().find(|round| round.number < open.number && round.state == RoundState::Done);
        let reports = match newest_done {
            Some(former) => store.round_reports(job_id, former.number).await.map_err(failed)?,
            None => Vec::new(),
        };
        let options = RoundOptions::of(open).map_err(|error| unreadable(store, &error))?;
        let course = Course {
            options,
            trusted: done_before.map(|done| done.number).filter(|_| options.trust_unchanged),
            is_switching: open.switch_intended,
            source_is_put_back: put_back(job),
            left: reports
                .iter()
                .filter_map(|(position, report)| Some((*position, left_by(report)?)))
                .collect(),
        };
        Ok(Box::new(Self { round: Round::of(open), done: done.into_iter().collect(), course }))
    }
}

/// Whether a report is that of a round which came to its end. One of a clean-up that failed says nothing of the copy.
fn tells_what_is_not_proven(report: &str) -> bool {
    let says = |report: Report| report.warnings.iter().any(|warning| warning.code == Code::NotProven);
    serde_json::from_str(report).is_ok_and(says)
}

/// Rows of the partitions of a collection on the target behind a round.
fn left_by(report: &str) -> Option<BTreeMap<String, u64>> {
    let report = serde_json::from_str::<Ended>(report).ok()?.report;
    // What was left to the next round may have been written in part.
    let is_known = !report.evidence.followed_later && report.evidence.copied.is_some();
    let rows = |part: PartitionReport| (part.partition, part.rows_written);
    is_known.then(|| report.partitions.into_iter().map(rows).collect())
}

/// Whether the last attempt of a job came to an end of its own, and said nothing of a source that it could not put back.
fn put_back(job: &JobRecord) -> bool {
    let says_not = |report: Report| {
        let said = report.problems.iter().chain(&report.warnings);
        said.into_iter().any(|problem| problem.code == Code::SourceNotRestored)
    };
    let report = job.report.as_deref().and_then(|report| serde_json::from_str(report).ok());
    !job.state.is_open() && !report.is_some_and(says_not)
}

/// Whether all rows of a collection were copied, and it was not removed since.
fn is_copied(record: &CollectionRecord) -> bool {
    record.copied && record.target_id.is_some() && !record.removal_intended
}

impl Job {
    /// What the round that is under way has nothing left to do for, with what it came to there. Behind the warm copy, all of
    /// it is compared again: between two attempts somebody may have written.
    pub(super) fn done_in_round(&self, position: Position) -> Option<Ended> {
        if self.round.purpose().is_some() {
            return None;
        }
        // One that can't be read is worked on again.
        serde_json::from_str(self.done_before.get(&position)?).ok()
    }

    /// How thoroughly both sides are compared.
    pub(super) fn level(&self) -> VerifyLevel {
        match self.round.purpose() {
            Some(Purpose::CutOver) if self.course.options.trust_unchanged => VerifyLevel::Sample,
            Some(Purpose::CatchUp | Purpose::CutOver) | None => self.request.verify,
        }
    }

    /// The end of a round and of its job, both or neither. A round that did not come to its end stays open.
    pub(super) async fn end_attempt(
        &self,
        report: &Report,
        document: String,
    ) -> Result<(), vecferry_store::Error> {
        let (state, ended_at) = (report.state, report.ended_at.clone());
        let of_round = report.rounds.last().filter(|of| Some(of.number) == self.round.number());
        match of_round {
            Some(of) if of.state != RoundState::Open => {
                let of_round = serde_json::to_string(of).unwrap_or_default();
                let window = of.window_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                let ended =
                    EndedRound { state: of.state, job: state, report: document, of_round, window, ended_at };
                self.store.end_round(&self.attempt, ended).await
            }
            Some(_) | None => self.store.end_attempt(&self.attempt, state, document, ended_at).await,
        }
    }

    /// The rounds of the job for its report, oldest first: what each was, and of the one under way what it came to.
    pub(super) async fn rounds(&self, report: &Report) -> Result<Vec<RoundReport>, Problem> {
        let Some(number) = self.round.number() else { return Ok(Vec::new()) };
        let job_id = self.attempt.job_id();
        let recorded = self.store.rounds(job_id, ROUNDS_SHOWN).await;
        let recorded = recorded.map_err(|error| store_failed(job_id, &error))?;
        let mut rounds: Vec<_> = recorded.iter().rev().map(RoundReport::of_record).collect();
        let former: f64 = rounds.iter().filter(|of| of.number != number).map(|of| of.seconds).sum();
        for round in rounds.iter_mut().filter(|of| of.number == number) {
            round.seconds = (report.seconds - former).max(0.0);
            round.caught_up = caught_up(report);
            (round.rows, round.bytes) = match self.round.purpose() {
                None => (report.rows(), report.bytes()),
                Some(_) => written_in_round(report),
            };
            round.state = self.state_of_round(report);
            if round.state != RoundState::Open {
                round.ended_at = Some(report.ended_at.clone());
            }
            if self.round.purpose() == Some(Purpose::CutOver) && report.state == JobState::Successful {
                round.window_seconds = seconds_between(&round.started_at, &report.ended_at);
            }
        }
        Ok(rounds)
    }

    /// A round that did not come to its end stays open, to be gone on with. A cut-over in which somebody wrote to the source
    /// proves nothing any more: another one has to be begun.
    fn state_of_round(&self, report: &Report) -> RoundState {
        let saw_writes = report.problems.iter().any(|problem| problem.code == Code::CutOverDrift);
        match report.state {
            JobState::Ready | JobState::Successful => RoundState::Done,
            JobState::Failed if saw_writes && !self.course.is_switching => RoundState::Failed,
            JobState::Failed
            | JobState::Canceled
            | JobState::Canceling
            | JobState::InProgress
            | JobState::Pending => RoundState::Open,
        }
    }
}

/// What the collections of a report were apart, if any was compared.
fn caught_up(report: &Report) -> Option<CaughtUp> {
    let each = report.collections.iter().filter_map(|collection| collection.caught_up);
    each.reduce(|one, other| CaughtUp {
        rows_compared: one.rows_compared + other.rows_compared,
        rows_trusted: one.rows_trusted + other.rows_trusted,
        bytes_read: one.bytes_read + other.bytes_read,
        rows_missing: one.rows_missing + other.rows_missing,
        rows_changed: one.rows_changed + other.rows_changed,
        rows_extra: one.rows_extra + other.rows_extra,
    })
}

/// Rows that a round behind the warm copy wrote, and bytes of collections that it copied.
fn written_in_round(report: &Report) -> (u64, u64) {
    let written = report.collections.iter().map(|collection| match collection.caught_up {
        Some(caught_up) => (caught_up.rows_missing + caught_up.rows_changed, 0),
        None => (collection.rows, collection.bytes),
    });
    written.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// Seconds from one moment to another, RFC 3339.
fn seconds_between(from: &str, until: &str) -> Option<f64> {
    let (from, until): (jiff::Timestamp, jiff::Timestamp) = (from.parse().ok()?, until.parse().ok()?);
    Some((until - from).total(jiff::Unit::Second).ok()?.max(0.0))
}
