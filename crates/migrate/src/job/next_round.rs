//! A further round of a job that copies while its source may change: what is asked for, and whether it may begin.

use serde::{Deserialize, Serialize};
use vecferry_milvus::Endpoint;
use vecferry_store::{
    CollectionRecord, JobId, JobKind, JobRecord, JobState, Presence, RoundKind, RoundRecord, RoundState,
    Store,
};

use super::control::unreadable;
use super::migration::Migration;
use super::resume::{Resumed, reopen};
use crate::problem::store_problem;
use crate::problem::{Code, Problem};

/// A round behind the warm copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextRound {
    /// What it is for.
    pub purpose: Purpose,
    /// What it may do.
    pub options: RoundOptions,
}

/// What a round behind the warm copy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// What changed since is copied, while the source may change.
    CatchUp,
    /// What changed since is copied, while nobody writes to the source; then the target takes over.
    CutOver,
}

/// What a round may do that nobody would want by mistake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RoundOptions {
    /// Collections that the source does not have any more are removed from the target.
    pub accept_dropped: bool,
    /// Collections that the source made anew, or whose definition it changed, are removed from the target and copied again.
    pub recopy: bool,
    /// Rows are removed that others brought to the target.
    pub overwrite_target: bool,
    /// Of key ranges that the round before found equal, a cut-over compares only the keys, and some values at random.
    pub trust_unchanged: bool,
}

impl Purpose {
    /// The kind of its rounds.
    pub fn kind(self) -> RoundKind {
        match self {
            Self::CatchUp => RoundKind::CatchUp,
            Self::CutOver => RoundKind::CutOver,
        }
    }
}

impl RoundOptions {
    /// What is recorded of a round. The first one of a job has none.
    pub(super) fn of(record: &RoundRecord) -> Result<Self, serde_json::Error> {
        serde_json::from_str(&record.options)
    }
}

impl Migration {
    /// Reads what is recorded of a job whose warm copy came to its end, and checks that both clusters still are those that it
    /// was planned for. [`Migration::run`] carries the round out. A cut-over that has begun to switch is gone on with. Nothing
    /// is written anywhere.
    ///
    /// # Errors
    /// Every reason for which the round can't begin.
    pub async fn next_round(
        store: &dyn Store,
        job_id: &JobId,
        source: Endpoint,
        target: Endpoint,
        next: NextRound,
    ) -> Result<Resumed, Vec<Problem>> {
        let failed = |error: vecferry_store::Error| vec![store_problem(store, job_id.as_str(), &error)];
        let record = store.job(job_id).await.map_err(failed)?;
        if record.kind == JobKind::Plain {
            return Err(vec![Problem::new(Code::NotWarm).with("job", &record.job_id)]);
        }
        if record.state == JobState::Successful {
            let report = record.report.as_deref().unwrap_or_default();
            let report = serde_json::from_str(report).map_err(|error| vec![unreadable(store, &error)])?;
            return Ok(Resumed::Successful(Box::new(report)));
        }
        may_begin(store, &record, next.purpose).await.map_err(|problem| vec![problem])?;
        let mut migration = Box::pin(reopen(store, record, (source, target), false)).await?;
        migration.next = Some(next);
        Ok(Resumed::Ready(Box::new(migration)))
    }
}

/// Whether a job has come far enough for a round, and not too far.
async fn may_begin(store: &dyn Store, record: &JobRecord, purpose: Purpose) -> Result<(), Problem> {
    let job_id = &record.job_id;
    let failed = |error: vecferry_store::Error| store_problem(store, job_id.as_str(), &error);
    let newest = store.round(job_id).await.map_err(failed)?;
    let open = newest.as_ref().filter(|round| round.state == RoundState::Open);
    let records = store.collections(job_id).await.map_err(failed)?;
    match open {
        Some(open) if open.kind == RoundKind::Warm => {
            return Err(Problem::new(Code::WarmCopyOpen).with("job", job_id));
        }
        Some(open) if open.switch_intended && purpose == Purpose::CatchUp => {
            return Err(Problem::new(Code::SwitchBegun).with("job", job_id));
        }
        Some(_) => return Ok(()),
        None => {}
    }
    // What a clean-up removed is copied by a warm copy again.
    let is_copied = newest.is_some() && is_any_left(&records);
    if is_copied { Ok(()) } else { Err(Problem::new(Code::WarmCopyOpen).with("job", job_id)) }
}

/// Whether the target has anything left of what was copied, or the job has nothing that it could have.
fn is_any_left(records: &[CollectionRecord]) -> bool {
    let mut here = records.iter().filter(|record| record.presence == Presence::Here).peekable();
    here.peek().is_none() || here.any(|record| record.target_id.is_some() && !record.removal_intended)
}
