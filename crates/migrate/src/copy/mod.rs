//! The copier: rows of one collection from the source to the target, page by page, as the bytes they are.
//!
//! One reader a partition follows the keys upwards; each page goes to a writer while the next is read. Bytes in flight
//! are bounded by one [`Budget`] for the whole job. A range ends only on an empty page: a short page is not the end.

mod budget;
mod page_size;
mod partition;
mod sample;

pub(crate) use budget::Budget;
pub(crate) use page_size::{PAGE_BYTES_TARGET, PAGE_ROWS_MAX, PageSize};
pub(crate) use partition::{Copied, CopyError, CopyJob, PartitionTask, copy_partition};
pub(crate) use sample::{KeySample, SAMPLE_ROWS_MIN};
