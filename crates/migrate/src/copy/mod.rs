//! The copier: rows of one collection from the source to the target, page by page, as the bytes they are.
//!
//! A collection is divided into splits, which a [`Dispatcher`] has copied slice by slice. Each page goes to the target
//! while the next one of its split is read. Bytes in flight are bounded by one [`Pool`] for all jobs of a process. A range ends
//! only on an empty page, a short page is not the end; and a split only when the source counts no more rows than were read.

mod budget;
mod completeness;
mod dispatch;
mod doubt;
mod key_text;
mod pace;
mod page_size;
mod plan;
mod quarantine;
mod redivide;
mod sample;
mod slice;

pub(crate) use budget::{Budget, Pool};
pub(crate) use completeness::rows_of_split;
pub use dispatch::{Dispatcher, InProcess, Slice, SliceError, SliceFailure, SliceRunner, SplitsToCopy};
pub(crate) use doubt::{SettleError, settle_doubts};
pub(crate) use key_text::{key_of, key_text, range_of};
pub(crate) use pace::{Pace, Places, Waits};
pub(crate) use page_size::{PAGE_BYTES_TARGET, PAGE_ROWS_MAX, PageSize};
pub(crate) use plan::{Limits, PartCounter, PlannedRange, plan};
pub(crate) use quarantine::Refusals;
pub(crate) use sample::{KeySample, SAMPLE_ROWS_MIN, SampleRule};
pub(crate) use slice::{CopyError, CopyJob, Slices, close_lost_writers};
