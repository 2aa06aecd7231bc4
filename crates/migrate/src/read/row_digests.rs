//! Rows as digests: a page is read, digested and dropped, so that many of them fit into memory.

use vecferry_milvus::wire::digest::Digest;
use vecferry_milvus::wire::row_digests::row_digests;
use vecferry_milvus::{Key, KeyRange};

use super::page_size::PageSize;
use super::reader::{ReadError, Reader};

/// The rows of a page as digests, in the order of their keys. The key itself is in no digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DigestPage {
    pub(crate) keys: Vec<Key>,
    /// One a key.
    pub(crate) digests: Vec<Digest>,
    /// Bytes of the page on the wire.
    pub(crate) bytes: usize,
}

impl Reader {
    /// The next page of a range, as digests; empty as [`Reader::page`] is.
    pub(crate) async fn digest_page(
        &self,
        partition: Option<&str>,
        range: &KeyRange,
        size: &mut PageSize,
    ) -> Result<DigestPage, ReadError> {
        let page = self.page(partition, range, size).await?;
        // An empty page may come without columns.
        if page.rows == 0 {
            return Ok(DigestPage { bytes: page.bytes, ..DigestPage::default() });
        }
        let is_compared = |name: &str| *name != *self.key_field;
        let compared: Vec<_> =
            self.columns.iter().filter(|column| is_compared(&column.name)).cloned().collect();
        Ok(DigestPage {
            keys: page.all_keys(&self.key_field)?,
            digests: row_digests(&page, &compared)?,
            bytes: page.bytes,
        })
    }
}
