//! Rounds of a job that copies while the source still changes, and the marks at which what was copied is compared.
//!
//! Such a job is begun with a warm copy, brought up to date by any number of catch-ups, and ended by a cut-over. Each is a
//! round; attempts belong to rounds. A round is open until it is ended or a later one begins, so that a process that was
//! killed in the middle of one leaves it to be gone on with. A job of the other kind has no rounds.
//!
//! A mark is a key at which a part of a collection may be cut: the spans between marks are compared one by one. Marks only
//! say where to cut. What they say of equality holds for the round that they name, and for what was written through this
//! store since; whoever reads them sorts them, because only the caller can compare keys.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::attempt::Attempt;
use crate::collections::NewCollectionRecord;
use crate::error::{Error, ErrorKind};
use crate::id::{JobId, Position};
use crate::jobs::JobState;
use crate::reservations::Reserved;

/// What a round is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoundKind {
    /// Everything is copied, while the source may change.
    Warm,
    /// What changed since is copied, while the source may change.
    CatchUp,
    /// What changed since is copied, while nobody writes to the source; then the target takes over.
    CutOver,
}

impl RoundKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Warm, Self::CatchUp, Self::CutOver];

    /// The name, as it is recorded.
    pub fn name(self) -> &'static str {
        match self {
            Self::Warm => "warm",
            Self::CatchUp => "catch_up",
            Self::CutOver => "cut_over",
        }
    }

    /// The kind of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Where a round is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoundState {
    /// It is under way, or its process ended and left it.
    Open,
    /// It came to its end.
    Done,
    /// It was given up, or a later one began.
    Failed,
}

impl RoundState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Open, Self::Done, Self::Failed];

    /// The name, as it is recorded.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// The state of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// A round to be begun. Its kind, its options and the time tell it from any other one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRound {
    /// What it is for.
    pub kind: RoundKind,
    /// What was asked for; the caller's document.
    pub options: String,
    /// When it began, RFC 3339.
    pub begun_at: String,
}

/// A round as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundRecord {
    /// Its number among the rounds of the job, from 1.
    pub number: u64,
    /// What it is for.
    pub kind: RoundKind,
    /// Where it is.
    pub state: RoundState,
    /// What was asked for; the caller's document.
    pub options: String,
    /// The plan that it was begun with; of the newest round only, because plans may be long.
    pub plan: Option<String>,
    /// Timestamp of its reads, where the source has such: that of its newest attempt.
    pub read_timestamp: Option<u64>,
    /// Whether the switch was begun: nothing of the rows may be touched or judged any more.
    pub switch_intended: bool,
    /// When it began.
    pub begun_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
    /// For how long nobody was to write to the source; of cut-overs.
    pub window: Option<Duration>,
    /// What it did; the caller's document.
    pub report: Option<String>,
}

/// What a plan becomes in a round, and what of the records follows from that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangedPlan {
    /// The plan in place of the recorded one.
    pub plan: String,
    /// Collections that are new in it. Their positions are the next ones.
    pub added: Vec<(Position, NewCollectionRecord)>,
    /// Collections that are not copied any more, and are about to be removed.
    pub going: Vec<Position>,
    /// Databases that are to be made on the target, beside the recorded ones.
    pub databases: Vec<String>,
}

/// A fact that a round established about a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundFact {
    /// The collection.
    pub collection: Position,
    /// What it is about.
    pub name: String,
    /// The caller's document.
    pub document: String,
}

/// How a round ends, and its job with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedRound {
    /// How the round ended; not [`RoundState::Open`].
    pub state: RoundState,
    /// The state of the job from now on.
    pub job: JobState,
    /// The job's report.
    pub report: String,
    /// What the round did, in short: these are kept of every round.
    pub of_round: String,
    /// As in [`RoundRecord::window`].
    pub window: Option<Duration>,
    /// When it ended, RFC 3339.
    pub ended_at: String,
}

/// A key at which a part of a collection may be cut, and what is known of the span that ends there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The partition; none where partitions can't be named.
    pub partition: Option<String>,
    /// The span ends with this key; none for the span behind all others.
    pub until: Option<String>,
    /// Rows that it held when it was read.
    pub rows: u64,
    /// The round that found it equal on both sides, and its rows there.
    pub equal: Option<(u64, u64)>,
}

/// A span that was found equal on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EqualSpan {
    /// The partition; none where partitions can't be named.
    pub partition: Option<String>,
    /// The key with which it ends; none for the span behind all others.
    pub until: Option<String>,
    /// Its rows.
    pub rows: u64,
}

/// What is recorded of rounds. Whatever is written about a round is about the one that is open.
#[async_trait]
pub trait Rounds {
    /// Begins a round, with the plan that is recorded of the job. The same round a second time is no error, and changes
    /// nothing; another one that is open is ended as failed. Behind a round that came to its end, the rows that collections
    /// may have been written are counted anew. What earlier rounds knew of collections is forgotten, but for the last one that
    /// came to its end.
    ///
    /// # Errors
    /// [`ErrorKind::Moved`] if the round that is open has begun its switch.
    async fn open_round(&self, attempt: &Attempt, round: NewRound) -> Result<RoundRecord, Error>;

    /// The newest round of a job.
    async fn round(&self, job_id: &JobId) -> Result<Option<RoundRecord>, Error>;

    /// The newest rounds of a job, newest first, not more than some.
    async fn rounds(&self, job_id: &JobId, rounds_max: usize) -> Result<Vec<RoundRecord>, Error>;

    /// Records the timestamp of all reads of this attempt in the round; none leaves it as it is. Returns what is recorded.
    async fn record_round_timestamp(
        &self,
        attempt: &Attempt,
        read_timestamp: Option<u64>,
    ) -> Result<Option<u64>, Error>;

    /// Changes the plan of a job and what follows from that, all of it or nothing. The names of new collections are reserved
    /// with it: where others have some of them, these are returned, and nothing is changed.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if a position is another collection's, or not the next one.
    async fn change_plan(&self, attempt: &Attempt, change: ChangedPlan) -> Result<Vec<Reserved>, Error>;

    /// Records that a collection was removed from the target. Its name is free, unless another collection of the job has it.
    async fn record_gone(&self, attempt: &Attempt, position: Position) -> Result<(), Error>;

    /// Records a fact about a collection; the first one stays. Returns what is recorded.
    async fn record_round_fact(
        &self,
        attempt: &Attempt,
        position: Position,
        name: &str,
        document: String,
    ) -> Result<String, Error>;

    /// The facts of a round, by collection and name.
    async fn round_facts(&self, job_id: &JobId, round: u64) -> Result<Vec<RoundFact>, Error>;

    /// Records that the round has nothing left to do for a collection.
    async fn record_round_done(
        &self,
        attempt: &Attempt,
        position: Position,
        report: String,
    ) -> Result<(), Error>;

    /// The collections for which a round has nothing left to do, with their reports.
    async fn round_reports(&self, job_id: &JobId, round: u64) -> Result<Vec<(Position, String)>, Error>;

    /// Records, before a batch is sent, how many rows the round may have written to a collection with it, by all its
    /// attempts: the caller adds up, from [`crate::CollectionRecord::round_rows`] on. It never becomes less.
    async fn intend_rows(&self, attempt: &Attempt, position: Position, rows: u64) -> Result<(), Error>;

    /// Records, before it is begun, that the target takes over.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if the round is no cut-over.
    async fn intend_switch(&self, attempt: &Attempt) -> Result<(), Error>;

    /// Records how a round ended, and the attempt with it, as [`crate::Jobs::end_attempt`] does. With a success of the job,
    /// each of its collections has nothing left to do any more: its report is that of the round.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if the job would be a success, and the round did not come to its end, did not begin the switch,
    /// or has no report of a collection; and if another round ended meanwhile.
    async fn end_round(&self, attempt: &Attempt, ended: EndedRound) -> Result<(), Error>;

    /// The marks of a collection, in no order.
    async fn marks(&self, job_id: &JobId, position: Position) -> Result<Vec<Mark>, Error>;

    /// Puts marks of a part in place of others, which are named by their keys.
    async fn set_marks(
        &self,
        attempt: &Attempt,
        position: Position,
        partition: Option<String>,
        removed: Vec<Option<String>>,
        marks: Vec<Mark>,
    ) -> Result<(), Error>;

    /// Records of spans that the round found them equal on both sides.
    async fn spans_equal(
        &self,
        attempt: &Attempt,
        position: Position,
        equal: Vec<EqualSpan>,
    ) -> Result<(), Error>;
}

/// How the open round of a job stands to one that is to be begun.
pub(crate) enum Opening {
    /// It is the same: an earlier try began it.
    Same,
    /// It is another one, to be ended; or there is none.
    Next,
}

/// Decides about the newest round of a job where another one is to be begun.
pub(crate) fn opening(newest: Option<&RoundRecord>, new: &NewRound) -> Result<Opening, Error> {
    let Some(open) = newest.filter(|round| round.state == RoundState::Open) else {
        return Ok(Opening::Next);
    };
    if open.kind == new.kind && open.options == new.options && open.begun_at == new.begun_at {
        return Ok(Opening::Same);
    }
    if open.switch_intended {
        let text = format!("round {} has begun its switch, and can only be finished", open.number);
        let chinese = format!("第 {} 轮已开始切换，只能继续完成", open.number);
        return Err(Error::new(ErrorKind::Moved, text).in_chinese(chinese));
    }
    Ok(Opening::Next)
}

/// Whether a round is to be ended now; not if an earlier try did so.
pub(crate) fn ending(newest: Option<&RoundRecord>, ended: &EndedRound) -> Result<bool, Error> {
    let corrupt = |text: String| Err(Error::new(ErrorKind::Corrupt, text));
    match (ended.state, ended.job) {
        (RoundState::Open, _) => return corrupt("a round can't end as an open one".to_owned()),
        (RoundState::Failed, JobState::Successful) => {
            return corrupt("a round that failed makes no success of its job".to_owned());
        }
        (RoundState::Done | RoundState::Failed, _) => {}
    }
    let Some(newest) = newest else { return corrupt("the job has no round".to_owned()) };
    if ended.job == JobState::Successful && !newest.switch_intended {
        return corrupt(format!("round {} did not switch to the target", newest.number));
    }
    if newest.state == RoundState::Open {
        return Ok(true);
    }
    if newest.state == ended.state && newest.ended_at.as_ref() == Some(&ended.ended_at) {
        return Ok(false);
    }
    corrupt(format!("round {} has ended already", newest.number))
}

/// The number of the round that is open.
pub(crate) fn open_number(newest: Option<&RoundRecord>) -> Result<u64, Error> {
    let open = newest.filter(|round| round.state == RoundState::Open);
    let none = || Error::new(ErrorKind::Corrupt, "no round of the job is open");
    Ok(open.ok_or_else(none)?.number)
}

/// A switch is only of a cut-over.
pub(crate) fn no_cut_over(round: u64) -> Error {
    Error::new(ErrorKind::Corrupt, format!("round {round} is no cut-over"))
}

/// A success would have collections that nobody compared, or that were to be removed.
pub(crate) fn not_complete(round: u64, collections: i64) -> Error {
    let text = format!("round {round} is not complete: {collections} collection(s) are left");
    Error::new(ErrorKind::Corrupt, text)
}

/// Refuses a position that a changed plan gives to a collection where it is another one's, or leaves others out.
pub(crate) fn check_added(
    recorded: &[(String, String)],
    added: &[(Position, NewCollectionRecord)],
) -> Result<(), Error> {
    let mut next = recorded.len();
    for (position, new) in added {
        let is_known = match recorded.get(position.index()) {
            Some((source, target)) => *source == new.source && *target == new.target,
            None if position.index() == next => {
                next += 1;
                true
            }
            None => false,
        };
        if !is_known {
            let text = format!("position {position} of the plan is not for `{}`", new.source);
            return Err(Error::new(ErrorKind::Corrupt, text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for kind in RoundKind::ALL {
            assert_eq!(RoundKind::of_name(kind.name()), Some(kind));
        }
        for state in RoundState::ALL {
            assert_eq!(RoundState::of_name(state.name()), Some(state));
        }
        assert_eq!((RoundKind::of_name("open"), RoundState::of_name("warm")), (None, None));
    }
}
