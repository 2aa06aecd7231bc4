//! Rows as digests: a page is read, digested and dropped, so that many of them fit into memory.

use std::collections::BTreeMap;

use vecferry_milvus::wire::digest::Digest;
use vecferry_milvus::wire::row_digests::row_digests;
use vecferry_milvus::wire::{Page, WireError};
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
        Ok(DigestPage {
            keys: page.all_keys(&self.key_field)?,
            digests: self.digests_of_page(&page)?,
            bytes: page.bytes,
        })
    }

    /// The digests of the rows of a page of this side, in the order of their keys.
    pub(crate) fn digests_of_page(&self, page: &Page) -> Result<Vec<Digest>, WireError> {
        // An empty page may come without columns.
        if page.rows == 0 {
            return Ok(Vec::new());
        }
        let is_compared = |name: &str| *name != *self.key_field;
        let compared: Vec<_> =
            self.columns.iter().filter(|column| is_compared(&column.name)).cloned().collect();
        row_digests(page, &compared)
    }

    /// The digests of the rows of some keys; a key that is not there is absent.
    pub(crate) async fn row_digests_of(
        &self,
        partition: Option<&str>,
        keys: &[Key],
    ) -> Result<BTreeMap<Key, Digest>, ReadError> {
        self.of_keys(partition, keys, Self::digests_of_page).await
    }
}
