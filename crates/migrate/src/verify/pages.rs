//! The rows of one side in key order, as a comparison of every row reads them.

use std::collections::BTreeSet;

use vecferry_milvus::wire::Page;
use vecferry_milvus::{Key, KeyRange};

use super::by_key::keys_present;
use super::expect::unrepeated;
use super::read_ahead::ReadAhead;
use super::spans::Digests;
use crate::read::{DigestPage, PageSize, ReadError, Reader};

/// One side: its rows in key order.
pub(crate) trait Pages {
    /// The next rows of a range. Empty only if it has no more.
    async fn page(
        &self,
        partition: Option<&str>,
        range: &KeyRange,
        size: &mut PageSize,
    ) -> Result<Page, ReadError>;

    /// The keys among these that have a row, asked when the server is complete.
    async fn present(&self, partition: Option<&str>, keys: &[Key]) -> Result<BTreeSet<Key>, ReadError>;

    /// The keys among these that stand for one row only.
    async fn unrepeated(&self, partition: Option<&str>, keys: Vec<Key>) -> Result<Vec<Key>, ReadError>;
}

/// One side of a partition that may not exist there.
pub(crate) struct Half<'a> {
    pub(crate) reader: &'a Reader,
    pub(crate) exists: bool,
    /// What was read of it already.
    pub(crate) ahead: Option<&'a ReadAhead>,
}

impl Pages for Half<'_> {
    async fn page(
        &self,
        partition: Option<&str>,
        range: &KeyRange,
        size: &mut PageSize,
    ) -> Result<Page, ReadError> {
        if !self.exists {
            return Ok(Page { columns: Vec::new(), rows: 0, keys: None, bytes: 0, session_ts: 0 });
        }
        self.reader.page(partition, range, size).await
    }

    async fn present(&self, partition: Option<&str>, keys: &[Key]) -> Result<BTreeSet<Key>, ReadError> {
        if !self.exists || keys.is_empty() {
            return Ok(BTreeSet::new());
        }
        self.reader.wait_until_complete().await?;
        keys_present(self.reader, partition, keys).await
    }

    async fn unrepeated(&self, partition: Option<&str>, keys: Vec<Key>) -> Result<Vec<Key>, ReadError> {
        unrepeated(self.reader, partition, keys).await
    }
}

impl Digests for Half<'_> {
    async fn digests(
        &self,
        partition: Option<&str>,
        range: &KeyRange,
        size: &mut PageSize,
    ) -> Result<DigestPage, ReadError> {
        if !self.exists {
            return Ok(DigestPage::default());
        }
        if let Some(page) = self.ahead.and_then(|ahead| ahead.take(partition, range)) {
            return Ok(page);
        }
        self.reader.digest_page(partition, range, size).await
    }

    async fn present(&self, partition: Option<&str>, keys: &[Key]) -> Result<BTreeSet<Key>, ReadError> {
        Pages::present(self, partition, keys).await
    }

    async fn unrepeated(&self, partition: Option<&str>, keys: Vec<Key>) -> Result<Vec<Key>, ReadError> {
        Pages::unrepeated(self, partition, keys).await
    }
}
