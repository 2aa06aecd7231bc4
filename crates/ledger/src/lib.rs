//! The durable record of migration jobs: one SQLite file, so that a job goes on after anything that can end a process.
//!
//! It knows jobs, collections, splits, cursors, intents, doubts and attempts as plain rows. It may not know what a
//! cluster is: keys are texts that only the caller reads, plans and reports are documents that only the caller reads,
//! and secrets are not given to it at all.
//!
//! - [`Ledger`]: all reads and writes. One thread owns the connection; what arrives together is committed together.
//! - [`Lease`]: that a job is worked on by one process, held by the kernel until that process ends.
//! - [`Attempt`]: the right to write about a job. It is lost as soon as a newer attempt begins.

mod collections;
mod comparisons;
mod directory;
mod error;
mod jobs;
mod lease;
mod objects;
mod reservations;
mod schema;
mod splits;
mod store;

pub use collections::{CollectionRecord, NewCollectionRecord};
pub use comparisons::{Comparison, NewComparison};
pub use error::{Error, ErrorKind};
pub use jobs::{Control, JobRecord, JobSummary, NewJob, WorkedOn};
pub use lease::Lease;
pub use objects::ObjectRecord;
pub use reservations::Reserved;
pub use splits::{Advance, Doubt, NewSplit, Progress, Quarantined, RangeCount, Split};
pub use store::{Attempt, Ledger, Usage, Waiting};
