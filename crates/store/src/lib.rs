//! The durable record of migration jobs, so that a job goes on after anything that can end a process.
//!
//! It knows jobs, rounds, collections, splits, cursors, intents, doubts, attempts and claims as plain rows. It may not know what
//! a cluster is: keys are texts that only the caller reads, plans and reports are documents that only the caller reads,
//! and secrets are not given to it at all. [`Records`] are tables of the caller's own, of which it knows no more than SQL.
//!
//! What can be asked of a store is a trait for each kind of record; [`Store`] is all of them. There are two stores:
//! - [`sqlite`]: one file of one machine, which needs nothing else. What arrives together is committed together.
//! - [`postgres`]: a database that several processes and machines share.
//!
//! Two things give the right to write:
//! - [`Attempt`]: to write about a job. It is lost as soon as a newer attempt begins.
//! - [`Claim`]: to write about a split. It is lost as soon as another worker takes the split over.
//!
//! Every write can be repeated when nobody knows whether it was committed: the second time changes nothing, other than
//! that numbers which are never given twice are skipped, and that an event may be there twice. A store that is reached over
//! a network does so itself, and then not even that happens.

mod attempt;
mod claims;
mod collections;
mod comparisons;
mod error;
mod events;
mod id;
mod jobs;
mod meter;
mod objects;
pub mod postgres;
mod records;
mod reservations;
mod right;
mod rounds;
mod splits;
pub mod sqlite;

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

pub use attempt::Attempt;
pub use claims::{Claims, WRITER_TTL_MAX};
pub use collections::{CollectionOutline, CollectionRecord, Collections, NewCollectionRecord, Presence};
pub use comparisons::{Comparison, Comparisons, NewComparison};
pub use error::{Error, ErrorKind};
pub use events::{EventRecord, Events};
pub use id::{JobId, Position, SplitId, WorkerId};
pub use jobs::{Control, JobKind, JobPage, JobRecord, JobState, JobSummary, Jobs, NewJob, WorkedOn};
pub use meter::{COMMITS, Usage, Waiting};
#[doc(hidden)]
pub use meter::{Commit, at_commits};
pub use objects::{ObjectRecord, Objects};
pub use records::{Change, Record, Records, Value};
pub use reservations::{Reservations, Reserved};
pub use right::{Claim, Right, Writer};
pub use rounds::{
    ChangedPlan, EndedRound, EqualSpan, Mark, NewRound, RoundFact, RoundKind, RoundRecord, RoundState, Rounds,
};
pub use splits::{
    CollectionProgress, Doubt, NewSplit, Progress, Quarantined, RangeCount, Split, Splits, Step,
};

/// Everything that is recorded of jobs, and the caller's own tables beside them.
pub trait Store:
    Jobs
    + Collections
    + Splits
    + Rounds
    + Claims
    + Comparisons
    + Objects
    + Events
    + Reservations
    + Records
    + Debug
    + Send
    + Sync
{
    /// Where it is, for messages; without credentials.
    fn place(&self) -> String;

    /// The directory in which it is, where it is in one of this machine.
    fn directory(&self) -> Option<&Path>;

    /// The directory of this machine for files about jobs, which people read, such as the list of refused rows.
    fn files_directory(&self) -> Option<&Path>;

    /// How much this handle was used so far.
    fn usage(&self) -> Usage;

    /// The same store, for a caller that has other work under way: its calls count as nobody's wait. When that other work
    /// is over first, [`Store::waiting`] counts the rest.
    fn beside(&self) -> Arc<dyn Store>;

    /// Counts as a wait for the store until it is dropped.
    fn waiting(&self) -> Waiting<'_>;
}
