//! Rounds that somebody wants of jobs whose warm copy came to its end. What is wanted is recorded with the job until the job
//! is at its end or at rest again, so that any process can go on with it.

use serde::{Deserialize, Serialize};
use vecferry_migrate::{JobState, NextRound, Purpose, RoundOptions};
use vecferry_store::{Change, Error};

use super::{Tables, Wanted, unknown};

/// A round that is wanted of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WantedRound {
    /// What it is for.
    pub(crate) purpose: Purpose,
    /// What it may do.
    pub(crate) options: RoundOptions,
    /// The newest round of the job right before the engine was asked for this one: a later one is this one. None before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) behind: Option<u64>,
}

impl WantedRound {
    /// A round that nobody began.
    pub(crate) fn new(purpose: Purpose, options: RoundOptions) -> Self {
        Self { purpose, options, behind: None }
    }

    /// The same for the engine.
    pub(crate) fn to_engine(self) -> NextRound {
        NextRound { purpose: self.purpose, options: self.options }
    }

    fn to_text(self) -> Result<String, Error> {
        serde_json::to_string(&self).map_err(|error| unknown("round", error))
    }

    pub(super) fn of_text(text: &str) -> Result<Self, Error> {
        serde_json::from_str(text).map_err(|_| unknown("round", text))
    }
}

impl Tables {
    /// Says that a round is wanted of a job that is in one of some states. Tells whether it was.
    pub(crate) async fn want_round(
        &self,
        job_id: &str,
        round: WantedRound,
        states: &[JobState],
    ) -> Result<bool, Error> {
        self.want_with(job_id, Wanted::Run, states, Some(round.to_text()?)).await
    }

    /// Records which round was the newest one of a job before the engine is asked for the wanted one. Tells whether the
    /// process still has the job.
    pub(crate) async fn record_behind(
        &self,
        (job_id, holder): (&str, &str),
        round: WantedRound,
    ) -> Result<bool, Error> {
        let sql =
            "UPDATE migrations SET next_round = $3 WHERE job_id = $1 AND holder = $2 AND wanted = 'run'";
        let values = [job_id.into(), holder.into(), round.to_text()?.into()];
        Ok(self.change([Change::new(sql, values)]).await?.first() == Some(&1))
    }
}
