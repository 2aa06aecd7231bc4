//! How a collection of the target becomes the job's own, so that nobody else's is ever taken for it.
//!
//! A name is no identity: servers answer success to a creation of what exists already, if it is equal. So the collection
//! is made under a name that only this job can have, its number is recorded, and then it is renamed: that is refused where
//! the planned name is taken. Where a server can't rename, the name is looked at right before, and what was made must be
//! empty and younger than the intent; the plan tells of it.

use tokio_util::sync::CancellationToken;
use vecferry_milvus::{Client, Collection, CollectionName, Error, ErrorKind};
use vecferry_store::{Attempt, CollectionRecord, JobId, Position, Reserved, Store};

use super::run::replaced;
use crate::cluster::connect::refusal;
use crate::cluster::release::release;
use crate::cluster::rename::Renames;
use crate::cluster::retry::repeat;
use crate::plan::PlannedCollection;
use crate::problem::store_failed;
use crate::problem::{Code, Problem, Side, Told, Worded, words_of};

/// What a job made of one of its collections, wherever it is by now.
pub(super) struct Own<'a> {
    pub(super) target: &'a Client,
    pub(super) job_id: &'a JobId,
    /// The name that it gets in the end.
    pub(super) planned: &'a CollectionName,
    pub(super) position: Position,
}

impl Own<'_> {
    /// A name that only this job can have.
    fn name(&self, number: u64) -> CollectionName {
        let name = format!("vf_{}_c{}_{number}", self.job_id.as_str().replace('-', ""), self.position);
        CollectionName::new(&self.planned.db, name)
    }

    /// What the record says the job made.
    pub(super) async fn find(&self, record: &CollectionRecord) -> Result<Option<Collection>, Error> {
        match (record.target_id, record.name) {
            (Some(id), claim) => self.find_under(claim, id).await,
            (None, Some(number)) => described(self.target, &self.name(number)).await,
            (None, None) => Ok(None),
        }
    }

    /// The collection of a number, under the job's own name or the planned one. Servers without numbers (lite) keep the
    /// own name as long as they have not renamed it.
    async fn find_under(&self, claim: Option<u64>, id: i64) -> Result<Option<Collection>, Error> {
        if let Some(number) = claim
            && let Some(found) = described(self.target, &self.name(number)).await?.filter(|own| own.id == id)
        {
            return Ok(Some(found));
        }
        Ok(described(self.target, self.planned).await?.filter(|own| own.id == id))
    }
}

/// A collection of a name; not one that has it as an alias.
async fn described(target: &Client, name: &CollectionName) -> Result<Option<Collection>, Error> {
    let never = CancellationToken::new();
    match repeat(&never, || target.describe(name)).await {
        Ok(found) => Ok((found.name == *name).then_some(found)),
        Err(error) if error.kind() == ErrorKind::CollectionNotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a name leads anywhere.
async fn is_taken(target: &Client, name: &CollectionName) -> Result<bool, Error> {
    let never = CancellationToken::new();
    match repeat(&never, || target.describe(name)).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::CollectionNotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// What was made must be younger than the intent to make it, where the server's clock tells.
fn is_younger(found: &Collection, moment: Option<u64>) -> bool {
    moment.is_none_or(|moment| found.created_timestamp >= moment)
}

/// One collection of a job on its way to be the job's own.
pub(super) struct Claim<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) attempt: &'a Attempt,
    pub(super) target: &'a Client,
    pub(super) planned: &'a PlannedCollection,
    pub(super) position: Position,
}

impl Claim<'_> {
    pub(super) fn own(&self) -> Own<'_> {
        Own {
            target: self.target,
            job_id: self.attempt.job_id(),
            planned: &self.planned.target,
            position: self.position,
        }
    }

    fn name(&self, number: u64) -> CollectionName {
        self.own().name(number)
    }

    fn target_failed(&self, error: impl Worded) -> Problem {
        self.target_failed_because(words_of(&error))
    }

    fn target_failed_because(&self, detail: Told) -> Problem {
        let problem = Problem::new(Code::TargetFailed).with("collection", &self.planned.target);
        problem.told("detail", detail)
    }

    fn store_failed(&self, error: impl Worded) -> Problem {
        store_failed(self.attempt.job_id(), &error)
    }

    fn taken(&self) -> Problem {
        Problem::new(Code::TargetTaken)
            .with("collection", &self.planned.target)
            .with("job", self.attempt.job_id())
    }

    /// The collection of the planned name, as the job's own: made now, or found where an earlier attempt left it.
    pub(super) async fn make(&self, cancel: &CancellationToken) -> Result<Collection, Problem> {
        let record = self.store.collection(self.attempt.job_id(), self.position).await;
        let record = record.map_err(|error| self.store_failed(error))?;
        if let Some(id) = record.target_id {
            let found = self.own().find(&record).await.map_err(|error| self.target_failed(error))?;
            match (found, record.name) {
                (Some(found), _) if found.name == self.planned.target => return Ok(found),
                (Some(_), Some(number)) => return self.rename(number, id, cancel).await,
                // A clean-up that did not come to its end took it away.
                (None, _) if record.removal_intended => self.forget().await?,
                _ => return Err(replaced(self.planned, self.attempt.job_id())),
            }
        } else if let Some(number) = record.name {
            let found = described(self.target, &self.name(number)).await;
            if let Some(found) = found.map_err(|error| self.target_failed(error))? {
                // Made by an attempt that ended before it could say so: nobody else knows this name.
                self.record(&found).await?;
                return self.rename(number, found.id, cancel).await;
            }
        } else if record.creation_intended
            && let Some(found) = self.made_since(record.creation_timestamp).await?
        {
            self.record(&found).await?;
            return Ok(found);
        }
        self.make_new(cancel).await
    }

    async fn make_new(&self, cancel: &CancellationToken) -> Result<Collection, Problem> {
        let failed = |error: Error| self.target_failed(error);
        if is_taken(self.target, &self.planned.target).await.map_err(failed)? {
            return Err(self.taken());
        }
        let renames = Renames::of(self.target, &self.name(0)).await.map_err(failed)?;
        let now = repeat(cancel, || self.target.timestamp()).await.map_err(failed)?;
        if renames != Renames::Offered {
            return self.make_unclaimed(now, cancel).await;
        }
        let number = self.store.intend_named_creation(self.attempt, self.position, now).await;
        let number = number.map_err(|error| self.store_failed(error))?;
        let name = self.name(number);
        let new = self.planned.new.named(&name).map_err(|error| self.target_failed(error))?;
        match repeat(cancel, || self.target.create_collection(&new)).await {
            Ok(()) => {}
            // A repeated call finds what the first one made.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
        let made = repeat(cancel, || self.target.describe(&name)).await.map_err(failed)?;
        if made.name != name || !is_younger(&made, now) {
            let told = Told::both(
                format!("`{name}` already exists and was not created by this job"),
                format!("`{name}` 已存在，且不是由本任务创建"),
            );
            return Err(self.target_failed_because(told));
        }
        self.record(&made).await?;
        self.rename(number, made.id, cancel).await
    }

    /// Takes the planned name, or leaves it to whoever has it and takes the own collection away.
    async fn rename(&self, number: u64, id: i64, cancel: &CancellationToken) -> Result<Collection, Problem> {
        let failed = |error: Error| self.target_failed(error);
        let (name, planned) = (self.name(number), &self.planned.target);
        let renamed = repeat(cancel, || self.target.rename_collection(&name, &planned.name)).await;
        let Err(error) = renamed else {
            let found = described(self.target, planned).await.map_err(failed)?;
            let own = found.filter(|found| found.id == id);
            return own.ok_or_else(|| replaced(self.planned, self.attempt.job_id()));
        };
        // Whatever it says: the answer to an earlier call may have been lost.
        match self.own().find_under(Some(number), id).await.map_err(failed)? {
            Some(found) if found.name == *planned => Ok(found),
            Some(own) if is_taken(self.target, planned).await.map_err(failed)? => {
                self.drop(&own.name).await?;
                self.forget().await?;
                Err(self.taken())
            }
            _ => Err(failed(error)),
        }
    }

    /// The way without a rename: nothing may be there before, and what is there afterwards must be new.
    async fn make_unclaimed(
        &self,
        now: Option<u64>,
        cancel: &CancellationToken,
    ) -> Result<Collection, Problem> {
        let intended = self.store.intend_creation(self.attempt, self.position, now).await;
        intended.map_err(|error| self.store_failed(error))?;
        let failed = |error: Error| self.target_failed(error);
        let created = repeat(cancel, || async {
            match self.target.create_collection(&self.planned.new).await {
                // The answer was lost; whether the collection was made shows when it is described.
                Err(error) if error.kind().is_ambiguous() => {
                    match self.target.describe(&self.planned.target).await {
                        Ok(_) => Ok(()),
                        Err(_) => Err(error),
                    }
                }
                answered => answered,
            }
        });
        if let Err(error) = created.await {
            if is_taken(self.target, &self.planned.target).await.map_err(failed)? {
                self.forget().await?;
                return Err(self.taken());
            }
            return Err(failed(error));
        }
        let found = self.made_since(now).await?;
        let found = found.ok_or_else(|| replaced(self.planned, self.attempt.job_id()))?;
        self.record(&found).await?;
        Ok(found)
    }

    /// The collection of the planned name, if it was made after a moment of the target's own clock and holds nothing: only
    /// then it can be the one whose creation was begun at that moment.
    async fn made_since(&self, moment: Option<u64>) -> Result<Option<Collection>, Problem> {
        let failed = |error: Error| self.target_failed(error);
        let planned = &self.planned.target;
        let Some(found) = described(self.target, planned).await.map_err(failed)? else {
            return if is_taken(self.target, planned).await.map_err(failed)? {
                Err(self.taken())
            } else {
                Ok(None)
            };
        };
        let rows = self.target.row_estimate(planned).await.map_err(failed)?;
        if rows == 0 && is_younger(&found, moment) { Ok(Some(found)) } else { Err(self.taken()) }
    }

    async fn record(&self, made: &Collection) -> Result<(), Problem> {
        let recorded = self.store.record_creation(self.attempt, self.position, made.id).await;
        recorded.map_err(|error| self.store_failed(error))
    }

    /// Takes a collection away, and makes sure that it is gone: an answer can be lost, and a call can be carried out that
    /// answers an error.
    pub(super) async fn drop(&self, name: &CollectionName) -> Result<(), Problem> {
        let never = CancellationToken::new();
        let dropped = async {
            repeat(&never, || release(self.target, name)).await?;
            repeat(&never, || self.target.drop_collection(name)).await
        };
        let Err(error) = dropped.await else { return Ok(()) };
        match described(self.target, name).await {
            Ok(None) => Ok(()),
            Ok(Some(_)) | Err(_) => Err(self.target_failed(error)),
        }
    }

    /// Takes away what calls of earlier attempts made under the job's own names after nobody waited for it any more.
    pub(super) async fn sweep(&self) -> Result<(), Problem> {
        let record = self.store.collection(self.attempt.job_id(), self.position).await;
        let record = record.map_err(|error| self.store_failed(error))?;
        for number in 1..=record.names {
            let found = described(self.target, &self.name(number)).await;
            if let Some(left) = found.map_err(|error| self.target_failed(error))? {
                self.drop(&left.name).await?;
            }
        }
        Ok(())
    }

    /// Nothing of it is on the target any more.
    pub(super) async fn forget(&self) -> Result<(), Problem> {
        let rows = self.planned.rows_estimate;
        let forgotten = self.store.forget_creation(self.attempt, self.position, rows).await;
        forgotten.map_err(|error| self.store_failed(error))
    }

    /// Whether the collection of the planned name may be one that this job began to make, and no record tells.
    pub(super) async fn is_unclear(&self, record: &CollectionRecord) -> Result<bool, Error> {
        let unclaimed = record.creation_intended && record.name.is_none() && record.target_id.is_none();
        if !unclaimed {
            return Ok(false);
        }
        let found = described(self.target, &self.planned.target).await?;
        let Some(found) = found.filter(|found| is_younger(found, record.creation_timestamp)) else {
            return Ok(false);
        };
        Ok(self.target.row_estimate(&found.name).await? == 0)
    }
}

/// Reserves the names that a job is to make collections under.
///
/// # Errors
/// Another job has one of them.
pub(super) async fn reserve(
    store: &dyn Store,
    attempt: &Attempt,
    target: &Client,
    planned: &[PlannedCollection],
) -> Result<(), Problem> {
    let failed = |error: vecferry_store::Error| store_failed(attempt.job_id(), &error);
    loop {
        let held = store.reserve_names(attempt).await.map_err(failed)?;
        if held.is_empty() {
            return Ok(());
        }
        for reserved in held {
            let name = planned.get(reserved.position.index()).map(|planned| &planned.target);
            let left = match name {
                Some(name) if !reserved.live => is_left(store, target, name, &reserved).await?,
                Some(_) | None => true,
            };
            if left {
                return Err(Problem::new(Code::NameReserved)
                    .with("collection", &reserved.name)
                    .with("holder", &reserved.holder)
                    .with("state", reserved.holder_state));
            }
            store.release_name(reserved).await.map_err(failed)?;
        }
    }
}

/// Whether anything is still there of what another job made under a name.
async fn is_left(
    store: &dyn Store,
    target: &Client,
    name: &CollectionName,
    reserved: &Reserved,
) -> Result<bool, Problem> {
    let record = store.collection(&reserved.holder, reserved.holder_position).await;
    let record = record.map_err(|error| store_failed(&reserved.holder, &error))?;
    let own = Own { target, job_id: &reserved.holder, planned: name, position: reserved.holder_position };
    let asked = async {
        match (record.target_id, record.name) {
            // Begun without a name of its own, and nobody knows whether it was made.
            (None, None) => is_taken(target, name).await,
            _ => Ok(own.find(&record).await?.is_some()),
        }
    };
    asked.await.map_err(|error: Error| refusal(Side::Target, &error))
}
