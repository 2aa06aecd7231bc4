//! Who may write what.
//!
//! A worker that copies splits of a collection opens a [`Writer`] first: a number that no other writer of the collection
//! ever has. All its inserts go through a name of that number (an alias, where the target has such), so that they can be
//! kept from landing later: whoever removes the name fences the writer. A writer has a time; a worker that lives renews it.
//!
//! A split is written under a [`Claim`] of a writer. Its *epoch* grows with every claim, and every write about the split is
//! refused unless it comes with the newest epoch. A split is taken over when its writer's time is over. In the same step the
//! writer is *lost*: all its claims end, and the ranges that it may have sent are in doubt. A lost writer writes nothing to
//! the store any more. The names of lost writers are removed on the target before anything else is written there, and only
//! then are the writers *closed*.

use std::time::Duration;

use async_trait::async_trait;

use crate::attempt::Attempt;
use crate::error::Error;
use crate::id::{JobId, Position, SplitId, WorkerId};
use crate::right::{Claim, Writer};
use crate::splits::Split;

/// Of a worker that is not wanted now.
pub(crate) fn not_admitted(job_id: &JobId, collection: Position) -> Error {
    let text = format!("collection {collection} of job {job_id} is not being copied by workers");
    Error::new(crate::ErrorKind::NotOpen, text)
}

/// A writer that asks for more time than this gets this much. What claims to hold for longer was written by a clock that has
/// been set back since.
pub const WRITER_TTL_MAX: Duration = Duration::from_secs(600);

/// What is recorded of those who write.
#[async_trait]
pub trait Claims {
    /// Opens a writer of a collection for a time, in the process that works on the job.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotOpen`] if no attempt of the job is under way.
    async fn open_writer(
        &self,
        job_id: &JobId,
        collection: Position,
        worker: &WorkerId,
        ttl: Duration,
    ) -> Result<Writer, Error>;

    /// Lets other processes write a collection, until its writers or the attempt are ended.
    async fn admit_workers(&self, attempt: &Attempt, collection: Position) -> Result<(), Error>;

    /// Opens a writer of a collection for a time, in a process that only copies splits.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotOpen`] if no other processes may write the collection now.
    async fn join(
        &self,
        job_id: &JobId,
        collection: Position,
        worker: &WorkerId,
        ttl: Duration,
    ) -> Result<Writer, Error>;

    /// Gives a writer time again, counted from now.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Fenced`] if it is lost or closed.
    async fn renew_writer(&self, writer: &Writer, ttl: Duration) -> Result<(), Error>;

    /// Writers of a collection that are lost, whose names on the target are not known to be removed.
    async fn lost_writers(&self, job_id: &JobId, collection: Position) -> Result<Vec<u64>, Error>;

    /// Records that the names of lost writers of a collection are removed.
    async fn close_lost_writers(
        &self,
        job_id: &JobId,
        collection: Position,
        numbers: Vec<u64>,
    ) -> Result<(), Error>;

    /// Loses a writer that does not go on, and all its claims. What the caller takes for the end of the collection is recorded
    /// for whoever waits for its splits, also if others could go on; the text is the caller's.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Fenced`] if it was lost or closed before, and there is something to be recorded.
    async fn end_writer(&self, writer: &Writer, failure: Option<String>) -> Result<(), Error>;

    /// Why writers of a collection could not go on since an attempt began or its writers were ended, the first one first.
    async fn failures(&self, job_id: &JobId, collection: Position) -> Result<Vec<String>, Error>;

    /// Workers that hold claims of a job now.
    async fn workers(&self, job_id: &JobId) -> Result<u64, Error>;

    /// Ends all writers of a collection and their claims, as if they were lost, and forgets why others could not go on.
    async fn lose_writers(&self, attempt: &Attempt, collection: Position) -> Result<(), Error>;

    /// Claims a split, and tells where it is. A range that an earlier claim may have sent and did not record as written is
    /// in doubt from then on. None if the split is complete.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Fenced`] if the writer is lost or closed, or the collection has no such split any more;
    /// [`crate::ErrorKind::IsClaimed`] while another writer has it.
    async fn claim(&self, writer: &Writer, split_id: SplitId) -> Result<Option<(Claim, Split)>, Error>;

    /// Ends a claim whose split is left as it is recorded: nothing of it is on its way.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Fenced`] if the claim was lost, or ended otherwise.
    async fn release(&self, claim: &Claim) -> Result<(), Error>;

    /// Splits of a collection that are not complete and that no living writer has, by ID.
    async fn free_splits(&self, job_id: &JobId, collection: Position) -> Result<Vec<SplitId>, Error>;
}
