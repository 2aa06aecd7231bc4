//! What a worker could not copy: how often in a row, when it gives a collection up, and how that is told to the process
//! that waits for it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use vecferry_store::{Position, Writer};

use super::Worker;
use crate::copy::{CopyError, SliceError, SliceFailure};
use crate::job::collection::{Stop, copy_problem};
use crate::problem::{Lang, Problem, Told, words_of};

/// So many slices of a collection fail in a row before a worker gives it up, each after a server or the store was away for
/// longer than is waited for.
const FAILURES_MAX: u32 = 5;

/// What a worker could not do, by collection.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<HashMap<Position, Failed>>);

/// What a worker could not do.
#[derive(Clone, Copy, Debug, Default)]
struct Failed {
    /// Slices that failed in a row.
    times: u32,
    /// What it gave up.
    given_up: Option<Incarnation>,
}

/// A collection of the target as an attempt created it: the attempt, and how many times the job had begun it by then. The
/// target's own number does not tell: Milvus Lite has none.
type Incarnation = (i64, u64);

/// Why a worker gave a collection up, as it is recorded for the process that waits for it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Why {
    /// A write may have landed, and can't be repeated.
    InDoubt(Detail),
    /// Anything else.
    Failed(Problem),
}

/// A text as it is recorded: in both languages, or as earlier versions did.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Detail {
    Both { en: String, zh: String },
    One(String),
}

impl Failures {
    fn of(&self, position: Position) -> Failed {
        self.with(|failed| failed.get(&position).copied().unwrap_or_default())
    }

    /// Records that a slice failed. Returns how many did in a row.
    fn count(&self, position: Position) -> u32 {
        self.with(|failed| {
            let failed = failed.entry(position).or_default();
            failed.times += 1;
            failed.times
        })
    }

    fn give_up(&self, position: Position, incarnation: Incarnation) {
        self.with(|failed| failed.entry(position).or_default().given_up = Some(incarnation));
    }

    /// A slice of the collection went well.
    pub(super) fn forget(&self, position: Position) {
        self.with(|failed| failed.remove(&position));
    }

    fn with<Answer>(&self, act: impl FnOnce(&mut HashMap<Position, Failed>) -> Answer) -> Answer {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Worker {
    /// Whether this worker gave up the collection as it is now.
    pub(super) async fn is_given_up(&self, position: Position) -> Result<bool, CopyError> {
        let given_up = self.failures.of(position).given_up;
        Ok(given_up.is_some() && given_up == Some(self.incarnation(position).await?))
    }

    async fn incarnation(&self, position: Position) -> Result<Incarnation, CopyError> {
        let (store, job_id) = (&self.copying.store, &self.copying.job_id);
        let attempt = store.job(job_id).await?.attempt;
        Ok((attempt, store.collection(job_id, position).await?.names))
    }

    /// Records a slice that failed, and gives the collection up if that is for good.
    pub(super) async fn failed(&self, position: Position, writer: &Writer, error: SliceError) -> SliceError {
        let times = self.failures.count(position);
        let failure = match error {
            SliceError::Permanent(failure) => failure,
            SliceError::Transient(failure) if times >= FAILURES_MAX => failure,
            SliceError::Transient(_) | SliceError::Canceled | SliceError::Fenced(_) => return error,
        };
        let told = words_of(&failure);
        if let Err(error) = self.give_up(position, writer, SliceError::Permanent(failure).into()).await {
            // It is tried again: nobody knows of it.
            tracing::warn!(%error, %position, "it could not be recorded that a collection was given up");
        }
        SliceError::Permanent(SliceFailure::told(told))
    }

    async fn give_up(&self, position: Position, writer: &Writer, error: CopyError) -> Result<(), CopyError> {
        let incarnation = self.incarnation(position).await?;
        let Some(planned) = self.plan.collections.get(position.index()) else { return Ok(()) };
        let why = match copy_problem(planned, &self.copying.job_id, error) {
            Stop::InDoubt(told) => {
                let [en, zh] = [Lang::En, Lang::Zh].map(|lang| told.text(lang).to_owned());
                Why::InDoubt(Detail::Both { en, zh })
            }
            Stop::Problem(problem) => Why::Failed(problem),
            Stop::Canceled => return Ok(()),
        };
        let why = serde_json::to_string(&why).map_err(|error| CopyError::Told(words_of(&error)))?;
        self.copying.store.end_writer(writer, Some(why)).await?;
        self.failures.give_up(position, incarnation);
        Ok(())
    }
}

pub(super) fn read_why(text: &str) -> CopyError {
    match serde_json::from_str(text) {
        Ok(Why::InDoubt(Detail::Both { en, zh })) => CopyError::InDoubt(Told::both(en, zh)),
        Ok(Why::InDoubt(Detail::One(text))) => CopyError::InDoubt(text.into()),
        Ok(Why::Failed(problem)) => CopyError::Known(Box::new(problem)),
        Err(_) => CopyError::Told(text.into()),
    }
}
