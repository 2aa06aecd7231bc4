//! The copier: rows of one collection from the source to the target, page by page, as the bytes they are.
//!
//! A collection is divided into splits, which a [`Dispatcher`] has copied slice by slice. Each page goes to the target
//! while the next one of its split is read. Bytes in flight are bounded by one [`Pool`] for all jobs of a process. A range ends
//! only on an empty page, a short page is not the end; and a split only when the source counts no more rows than were read.

mod budget;
mod completeness;
mod copy_job;
mod dispatch;
mod doubt;
mod ending;
mod error;
mod histogram;
mod limits;
mod lost_writers;
mod pace;
mod plan;
mod progress;
mod quarantine;
mod range;
mod reading;
mod redivide;
mod slice;
mod stride;
mod writing;

pub(crate) use budget::{Budget, Kept, Pool, Waiting};
pub(crate) use completeness::rows_of_split;
pub(crate) use copy_job::CopyJob;
pub use dispatch::{Dispatcher, InProcess, Slice, SliceRunner, SplitsToCopy};
pub(crate) use doubt::{SettleError, settle_doubts};
pub(crate) use ending::ended;
pub(crate) use error::{CopyError, is_about_rows};
pub use error::{SliceError, SliceFailure};
pub(crate) use limits::ClusterShare;
pub use limits::{Limits, Resources};
pub(crate) use lost_writers::close_lost_writers;
pub(crate) use pace::{Pace, Places, Waits};
pub(crate) use plan::{PartCounter, PlannedRange, plan};
pub(crate) use progress::Marking;
pub(crate) use quarantine::Refusals;
pub(crate) use slice::Slices;
