//! Which job may make a collection of a name on a target. Two jobs of one store never have the same name at once.

use async_trait::async_trait;

use crate::attempt::Attempt;
use crate::error::Error;
use crate::id::{JobId, Position};
use crate::jobs::JobState;

/// A name that another job has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// The collection's name on the target, for lists.
    pub name: String,
    /// Its place in the job that asks for it.
    pub position: Position,
    /// The job that has it.
    pub holder: JobId,
    /// Its place in that job.
    pub holder_position: Position,
    /// The state of that job.
    pub holder_state: JobState,
    /// Whether a process works on that job now.
    pub live: bool,
}

/// What is recorded of names on targets.
#[async_trait]
pub trait Reservations {
    /// Reserves the names of all collections of a job on its target: all, or none if others have some of them. Another
    /// job has a name while a process works on it, and afterwards if it began to make the collection and did not end
    /// successfully.
    ///
    /// # Errors
    /// The store can't be read or written. Names of others are no error; they are returned.
    async fn reserve_names(&self, attempt: &Attempt) -> Result<Vec<Reserved>, Error>;

    /// Gives a name free that a job has: nothing of what it made is there any more.
    async fn release_name(&self, reserved: Reserved) -> Result<(), Error>;
}
