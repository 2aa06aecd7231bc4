//! What a job makes beside databases and collections: roles, users, grants. Kinds and names are texts that only the
//! caller reads.

use async_trait::async_trait;

use crate::attempt::Attempt;
use crate::error::Error;
use crate::id::JobId;

/// An object that a job makes or made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectRecord {
    /// What it is.
    pub kind: String,
    /// Which one.
    pub name: String,
    /// Whether the job made it; otherwise it was about to.
    pub created: bool,
}

/// What is recorded of objects.
#[async_trait]
pub trait Objects {
    /// The objects of a job, in the order in which they were to be made.
    async fn objects(&self, job_id: &JobId) -> Result<Vec<ObjectRecord>, Error>;

    /// Records, before the first is made, the objects (kind and name) that a job is about to make; all or none.
    async fn intend_objects(&self, attempt: &Attempt, objects: Vec<(String, String)>) -> Result<(), Error>;

    /// Records that objects of a kind are the job's own.
    async fn record_objects(&self, attempt: &Attempt, kind: &str, names: Vec<String>) -> Result<(), Error>;

    /// Forgets objects: they are gone from the target, or were never the job's.
    async fn forget_objects(&self, attempt: &Attempt, kind: &str, names: Vec<String>) -> Result<(), Error>;
}
