//! How large the next page of a side may be.

use vecferry_milvus::Key;
use vecferry_milvus::schema::FieldSpec;
use vecferry_milvus::wire::digest::Digest;

use super::KEY_BYTES_MAX;
use crate::read::{PAGE_ROWS_MAX, PageSize};

/// A larger span is read in several pages: one page of it might be refused, after it was read.
const PAGE_BYTES_MAX: usize = 12 << 20;
/// What is read without memory for it is so small a part.
const UNCOUNTED_SHARE: usize = 4;

/// What a page, and what is read of a span before it is merged, may bring.
#[derive(Clone, Copy, Debug)]
pub(in crate::verify) struct Most {
    pub(in crate::verify) page_rows: usize,
    pub(in crate::verify) key_bytes: usize,
    pub(in crate::verify) piece_rows: usize,
}

impl Most {
    /// Where there is memory for it.
    pub(in crate::verify) fn counted(piece_rows: usize) -> Self {
        Self { page_rows: PAGE_ROWS_MAX as usize, key_bytes: KEY_BYTES_MAX, piece_rows }
    }

    /// Where there is none: every comparison goes on with so little all the same.
    pub(super) fn uncounted(piece_rows: usize) -> Self {
        let piece_rows = (piece_rows / UNCOUNTED_SHARE).max(1);
        Self { page_rows: piece_rows, key_bytes: KEY_BYTES_MAX / UNCOUNTED_SHARE, piece_rows }
    }
}

/// What all pages of a side say of the next ones.
pub(in crate::verify) struct Sizes {
    page: PageSize,
    /// Bytes of a row of the last page; before that, what the schema says.
    row_bytes: usize,
    /// Bytes of a key in memory.
    key_bytes: usize,
}

impl Sizes {
    pub(in crate::verify) fn new(columns: &[FieldSpec], span_bytes: usize) -> Self {
        let row_bytes = columns.iter().filter_map(FieldSpec::fixed_bytes).sum();
        Self { page: PageSize::new(columns, span_bytes), row_bytes, key_bytes: size_of::<Key>() }
    }

    /// Rows to ask for of a span that held so many, and the bytes that may come, which are no more than `bytes_most`. A
    /// span that was long may be one page all the same.
    pub(in crate::verify) fn next(&self, rows: u64, most: Most, bytes_most: usize) -> (PageSize, usize) {
        let mut size = self.page.clone();
        let rows_most = most.page_rows.min(most.key_bytes / self.key_bytes.max(1));
        let rows_most = u32::try_from(rows_most).unwrap_or(PAGE_ROWS_MAX);
        size.limit((rows_most.min(PAGE_ROWS_MAX), bytes_most));
        if rows > 0 && self.is_one_page(rows, bytes_most) {
            size.at_least(rows_max(rows));
        }
        let expected = usize::try_from(rows).unwrap_or(usize::MAX).min(size.rows() as usize);
        let bytes = size.bytes().max(expected.saturating_mul(self.row_bytes));
        // As many rows may come as are asked for, which is half as many more.
        let bytes = bytes.saturating_add(bytes / 2);
        (size, bytes.min(bytes_most))
    }

    /// Whether a span of so many rows fits into a page.
    pub(in crate::verify) fn is_one_page(&self, rows: u64, bytes_most: usize) -> bool {
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        rows.saturating_mul(self.row_bytes) <= bytes_most.min(PAGE_BYTES_MAX)
    }

    /// Bytes in memory of what is read of a span that held so many rows.
    pub(super) fn digested_bytes(&self, rows: u64, most: Most) -> usize {
        let rows = if rows > 0 { rows_max(rows) } else { self.page.rows() as usize };
        let rows = rows.min(most.piece_rows);
        rows.saturating_mul(self.key_bytes).min(most.key_bytes) + rows * size_of::<Digest>()
    }

    /// Later pages are as large as wanted, and bring no more keys than memory is reckoned with.
    pub(in crate::verify) fn came(&mut self, keys: &[Key], bytes: usize) {
        if keys.is_empty() {
            return;
        }
        self.key_bytes = (key_bytes(keys) / keys.len()).max(1);
        self.row_bytes = bytes / keys.len();
        self.page.came(keys.len(), bytes);
    }

    /// What a page that was asked for says of those that are too large.
    pub(in crate::verify) fn learn(&mut self, of_page: (&PageSize, &PageSize)) {
        self.page.learn(of_page);
    }
}

/// Rows to ask for at most, of a span that held so many: half as many more, because some come between others, and the rows
/// behind the last mark of a split are before the first one of the next.
fn rows_max(rows: u64) -> usize {
    let rows = usize::try_from(rows).unwrap_or(usize::MAX);
    rows.saturating_add(rows / 2 + 64).min(PAGE_ROWS_MAX as usize)
}

/// Bytes of keys in memory.
pub(in crate::verify) fn key_bytes<'a>(keys: impl IntoIterator<Item = &'a Key>) -> usize {
    let bytes = |key: &Key| match key {
        Key::Int(_) => 0,
        Key::Text(text) => text.len(),
    };
    keys.into_iter().map(|key| size_of::<Key>() + bytes(key)).sum()
}
