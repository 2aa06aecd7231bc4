//! How collections are read, whoever reads them: pages and their size, keys as texts, samples, counts, digests.

mod chunks;
mod count;
mod key_text;
mod page;
mod page_size;
mod reader;
mod row_digests;
mod sample;

pub(crate) use chunks::Chunks;
pub use count::CountedRows;
pub(crate) use key_text::{NoKey, key_of, key_text, range_of};
pub(crate) use page_size::{PAGE_BYTES_MAX, PAGE_ROWS_MAX, PageSize};
pub(crate) use reader::{Part, ReadError, Reader, none_returned, reader, scan_keys};
pub(crate) use row_digests::DigestPage;
pub(crate) use sample::{KeySample, SampleRule, sample_rows};
