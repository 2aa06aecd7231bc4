//! What an attempt is a part of: a job that copies in one go, or a round of one that copies while its source may change.
//!
//! A round is open from its begin to its end, whatever happens to attempts meanwhile: a job that is resumed goes on with the
//! round that is open. What a round did for a collection is recorded with the round, and not as what the job did: only a
//! round that compared everything says anything of a success.

use std::collections::BTreeMap;

use vecferry_store::{
    Attempt, CollectionRecord, EndedRound, JobKind, JobRecord, JobState, NewRound, Position, Presence,
    RoundKind, RoundRecord, RoundState, Store,
};

use super::run::{Ended, Job};
use crate::problem::store_problem;
use crate::problem::{Code, Problem, Told, store_failed};
use crate::report::{Report, RoundReport};

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
    /// With work. Of some collections, the round may have nothing left to do.
    Round(Round, DoneInRound),
    /// With nothing: the last round came to its end, and no other one was begun. This is the job's report.
    AtRest(String),
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

    /// Begins an attempt: with the round that is open, or else with the first one. A job whose rounds have come to an end has
    /// nothing to go on with, unless what they copied was removed again.
    ///
    /// # Errors
    /// The round that is open is none that this version carries out, or the record fails.
    pub(super) async fn begin(
        store: &dyn Store,
        attempt: &Attempt,
        job: &JobRecord,
        begun_at: String,
    ) -> Result<Beginning, Problem> {
        let failed = |error: vecferry_store::Error| store_problem(store, job.job_id.as_str(), &error);
        if job.kind == JobKind::Plain {
            return Ok(Beginning::Round(Self::Plain, DoneInRound::new()));
        }
        let newest = store.round(&job.job_id).await.map_err(failed)?;
        if let Some(open) = newest.as_ref().filter(|round| round.state == RoundState::Open) {
            carried_out(store, open)?;
            let done = store.round_reports(&job.job_id, open.number).await.map_err(failed)?;
            return Ok(Beginning::Round(Self::of(open), done.into_iter().collect()));
        }
        let records = store.collections(&job.job_id).await.map_err(failed)?;
        if let (Some(_), Some(report)) = (newest, &job.report)
            && tells_what_is_not_proven(report)
            && records.iter().filter(|record| record.presence == Presence::Here).all(is_copied)
        {
            return Ok(Beginning::AtRest(report.clone()));
        }
        let new = NewRound { kind: RoundKind::Warm, options: "{}".to_owned(), begun_at };
        let opened = store.open_round(attempt, new).await.map_err(failed)?;
        Ok(Beginning::Round(Self::of(&opened), DoneInRound::new()))
    }
}

/// Whether a report is that of a round which came to its end. One of a clean-up that failed says nothing of the copy.
fn tells_what_is_not_proven(report: &str) -> bool {
    let says = |report: Report| report.warnings.iter().any(|warning| warning.code == Code::NotProven);
    serde_json::from_str(report).is_ok_and(says)
}

/// Whether all rows of a collection were copied, and it was not removed since.
fn is_copied(record: &CollectionRecord) -> bool {
    record.copied && record.target_id.is_some() && !record.removal_intended
}

/// Refuses a round of which a newer version knows more than this one does.
pub(super) fn carried_out(store: &dyn Store, open: &RoundRecord) -> Result<(), Problem> {
    match open.kind {
        RoundKind::Warm => Ok(()),
        RoundKind::CatchUp | RoundKind::CutOver => {
            let (number, kind) = (open.number, open.kind.name());
            let detail = Told::both(
                format!("round {number} is of the kind `{kind}`, which this version can't continue"),
                format!("第 {number} 轮的类型为 `{kind}`，当前版本无法继续"),
            );
            Err(Problem::new(Code::LedgerCorrupt).with("dir", store.place()).told("detail", detail))
        }
    }
}

impl Job {
    /// What the round that is under way has nothing left to do for, with what it came to there.
    pub(super) fn done_in_round(&self, position: Position) -> Option<Ended> {
        // One that can't be read is worked on again.
        serde_json::from_str(self.done_before.get(&position)?).ok()
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
            Some(of_round) if of_round.state == RoundState::Done => {
                let of_round = serde_json::to_string(of_round).unwrap_or_default();
                let (job, report) = (state, document);
                let ended =
                    EndedRound { state: RoundState::Done, job, report, of_round, window: None, ended_at };
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
            (round.rows, round.bytes) = (report.rows(), report.bytes());
            if report.state == JobState::Ready {
                round.state = RoundState::Done;
                round.ended_at = Some(report.ended_at.clone());
            }
        }
        Ok(rounds)
    }
}
