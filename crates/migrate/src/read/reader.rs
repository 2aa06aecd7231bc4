//! Reads one collection of one server: counts, keys, digests of rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use vecferry_milvus::schema::FieldSpec;
use vecferry_milvus::wire::digest::{Digest, digest};
use vecferry_milvus::wire::values::rows as values_of;
use vecferry_milvus::wire::{Page, WireError};
use vecferry_milvus::{
    Client, Collection, CollectionName, Consistency, Error, ErrorKind, Flavor, Key, KeyField, KeyRange,
    Query, RowSelection,
};

use super::chunks::Chunks;
use super::page_size::PAGE_ROWS_MAX;
use super::sample::KeySample;
use vecferry_policy::can_be_named;

use crate::cluster::connect::product;
use crate::cluster::retry::{Backoff, Verdict, WaitError, repeat, sleep};
use crate::problem::{Side, Told, Worded, found};

/// Answers to lookups are not much larger.
const LOOKUP_BYTES: usize = 8 << 20;
/// Rows of a page of keys only.
const KEY_PAGE_ROWS: u32 = 8192;
/// Answers without a row, where the server counts some, before they are taken for rows that no query returns.
const LOOKS_MAX: u32 = 4;

/// Reads one collection of one server.
#[derive(Clone)]
pub(crate) struct Reader {
    pub(crate) client: Client,
    /// Which server that is.
    pub(crate) side: Side,
    pub(crate) name: CollectionName,
    pub(crate) id: i64,
    pub(crate) key_field: KeyField,
    pub(crate) columns: Vec<FieldSpec>,
    pub(crate) consistency: Consistency,
    pub(crate) cancel: CancellationToken,
    /// Stored segments that need not be loaded: their rows are served as they were before a flush.
    pub(crate) served_otherwise: Arc<BTreeSet<i64>>,
}

/// A part whose rows are counted: a partition, or a range of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) partition: Option<String>,
    pub(crate) range: KeyRange,
}

/// Why something can't be read, or compared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("{0}")]
    Server(#[from] Error),
    #[error("{0}")]
    Protocol(#[from] WireError),
    #[error("canceled")]
    Canceled,
    /// How far it is can't be recorded.
    #[error("{0}")]
    Store(#[from] vecferry_store::Error),
    /// What was found could not be repaired.
    #[error("{0}")]
    Repair(Box<ReadError>),
}

impl Worded for ReadError {
    fn words(&self) -> Told {
        // It says nothing of its own.
        (self as &(dyn std::error::Error + 'static)).words()
    }
}

impl From<WaitError> for ReadError {
    fn from(error: WaitError) -> Self {
        match error {
            WaitError::Server(error) => Self::Server(error),
            WaitError::Canceled => Self::Canceled,
        }
    }
}

impl Reader {
    /// With a timestamp of now instead of the strongest consistency: the same freshness, at a hundredth of the cost.
    pub(crate) async fn fresh(mut self) -> Result<Self, Error> {
        let now = repeat(&self.cancel, || self.client.timestamp()).await?;
        self.consistency = now.map_or(Consistency::Strong, Consistency::At);
        Ok(self)
    }

    /// With segments that a flush brought, of a collection that was complete before it.
    pub(crate) fn serving(self, brought: BTreeSet<i64>) -> Self {
        Self { served_otherwise: Arc::new(brought), ..self }
    }

    /// Half a look shows nothing.
    pub(crate) fn stop_if_canceled(&self) -> Result<(), ReadError> {
        if self.cancel.is_cancelled() { Err(ReadError::Canceled) } else { Ok(()) }
    }

    /// Whether keys are texts.
    pub(crate) fn key_is_text(&self) -> bool {
        let key = self.columns.iter().find(|column| column.name == *self.key_field);
        key.is_some_and(|key| key.fixed_bytes().is_none())
    }

    pub(crate) async fn count(&self, part: &Part) -> Result<u64, Error> {
        self.count_where(part.partition.as_deref(), self.key_field.range(&part.range)).await
    }

    pub(crate) async fn count_where(
        &self,
        partition: Option<&str>,
        mut selection: RowSelection,
    ) -> Result<u64, Error> {
        // milvus-lite 3 forgets the partition when it counts without an expression.
        if partition.is_some()
            && selection == RowSelection::Everything
            && self.client.version().flavor == Flavor::LitePython
        {
            selection = self.key_field.every_row(self.key_is_text());
        }
        let query = Query {
            collection: &self.name,
            collection_id: self.id,
            selection,
            columns: &[],
            partition,
            rows_max: None,
            consistency: self.consistency,
        };
        repeat(&self.cancel, || self.client.count(&query)).await
    }

    /// The next page of keys of a range; empty only if the server counts no row there.
    pub(crate) async fn keys(
        &self,
        partition: Option<&str>,
        range: &KeyRange,
    ) -> Result<Vec<Key>, ReadError> {
        self.some_keys(partition, range, KEY_PAGE_ROWS).await
    }

    /// The first key of a range.
    pub(crate) async fn first_key(
        &self,
        partition: Option<&str>,
        range: &KeyRange,
    ) -> Result<Option<Key>, ReadError> {
        Ok(self.some_keys(partition, range, 1).await?.into_iter().next())
    }

    async fn some_keys(
        &self,
        partition: Option<&str>,
        range: &KeyRange,
        rows_max: u32,
    ) -> Result<Vec<Key>, ReadError> {
        let columns = [self.key_field.to_string()];
        let mut query = Query {
            collection: &self.name,
            collection_id: self.id,
            selection: self.key_field.range(range),
            columns: &columns,
            partition,
            rows_max: Some(rows_max),
            consistency: self.consistency,
        };
        let (page, _) = loop {
            match self.read(&query, range.after.as_ref()).await {
                // Long keys.
                Err(ReadError::Server(error))
                    if error.kind() == ErrorKind::TooLarge && query.rows_max > Some(1) =>
                {
                    query.rows_max = query.rows_max.map(|rows| rows / 2);
                }
                page => break page?,
            }
        };
        Ok(page.all_keys(&self.key_field)?)
    }

    /// Rows of some of these keys, perhaps not of all; none only if the server counts none. With the bytes of the answer.
    pub(crate) async fn rows_of(
        &self,
        partition: Option<&str>,
        keys: &[Key],
        columns: &[String],
    ) -> Result<(Page, usize), ReadError> {
        let query = Query {
            collection: &self.name,
            collection_id: self.id,
            selection: self.key_field.any_of(keys),
            columns,
            partition,
            // Not the number of keys: 2.3.5 counts every copy of a repeated key against the limit.
            rows_max: Some(PAGE_ROWS_MAX),
            consistency: self.consistency,
        };
        self.read(&query, None).await
    }

    /// An answer without a row does not say that there is none: a server that loads answers so too, without an error. So
    /// the rows are counted, and asked for again where there are some. With the bytes of the answer.
    async fn read(&self, query: &Query<'_>, after: Option<&Key>) -> Result<(Page, usize), ReadError> {
        let mut backoff = Backoff::new();
        let mut looks = 1;
        loop {
            let answer = repeat(&self.cancel, || self.client.query(query)).await?;
            let page = Page::read(&answer, &self.key_field, after)?;
            if page.rows > 0 {
                page.check_columns(query.columns.iter().map(String::as_str))?;
            }
            let is_final = page.rows > 0 || looks == LOOKS_MAX;
            if is_final || self.count_where(query.partition, query.selection.clone()).await? == 0 {
                return Ok((page, answer.len()));
            }
            self.wait_until_complete().await?;
            if let Verdict::Wait(wait) = backoff.after(ErrorKind::NotLoaded) {
                sleep(wait, &self.cancel).await;
            }
            self.stop_if_canceled()?;
            looks += 1;
        }
    }

    /// Digests of the rows of some keys, one a column; a key that is not there is absent.
    pub(crate) async fn digests(
        &self,
        partition: Option<&str>,
        keys: &[Key],
    ) -> Result<BTreeMap<Key, Vec<Digest>>, ReadError> {
        self.of_keys(partition, keys, Self::column_digests).await
    }

    fn column_digests(&self, page: &Page) -> Result<Vec<Vec<Digest>>, WireError> {
        let rows = values_of(page, &self.columns)?;
        Ok(rows.iter().map(|row| row.iter().map(digest).collect()).collect())
    }

    /// What is made of the rows of some keys; a key that is not there is absent.
    pub(super) async fn of_keys<Made>(
        &self,
        partition: Option<&str>,
        keys: &[Key],
        of_page: fn(&Self, &Page) -> Result<Vec<Made>, WireError>,
    ) -> Result<BTreeMap<Key, Made>, ReadError> {
        let names: Vec<_> = self.columns.iter().map(|column| column.name.clone()).collect();
        let mut found = BTreeMap::new();
        let mut sorted = keys.to_vec();
        sorted.sort_unstable();
        let mut chunks = Chunks::new(&sorted);
        'chunks: while let Some(now) = chunks.next() {
            let mut rest = now.to_vec();
            // An answer may be short; only an empty one says that there are no more of these rows.
            while !rest.is_empty() {
                self.stop_if_canceled()?;
                let (page, bytes) = match self.rows_of(partition, &rest, &names).await {
                    Err(ReadError::Server(error)) if chunks.are_halved(error.kind()) => continue 'chunks,
                    answer => answer?,
                };
                if page.rows == 0 {
                    break;
                }
                found.extend(page.all_keys(&self.key_field)?.into_iter().zip(of_page(self, &page)?));
                let asked = rest.len();
                rest.retain(|key| !found.contains_key(key));
                if rest.len() == asked {
                    return Err(none_returned().into());
                }
                // Pages of lookups follow the rows' size like all others.
                if bytes > LOOKUP_BYTES {
                    chunks.halve();
                }
            }
            chunks.answered(now.len());
        }
        Ok(found)
    }
}

/// Reads all keys of a part of the source: their number, and a sample of them.
pub(crate) async fn scan_keys(
    reader: &Reader,
    partition: Option<&str>,
    mut sample: KeySample,
) -> Result<(u64, KeySample), ReadError> {
    let mut range = KeyRange::default();
    let mut rows = 0;
    loop {
        let keys = reader.keys(partition, &range).await?;
        let (Some(first), Some(last)) = (keys.first().cloned(), keys.last().cloned()) else {
            return Ok((rows, sample));
        };
        rows += keys.len() as u64;
        sample.pass(keys.len(), (&first, &last), || keys);
        range.after = Some(last);
        reader.stop_if_canceled()?;
    }
}

/// A reader of one side. The columns are the source's on both sides: they are what must be there.
pub(crate) fn reader(
    side: Side,
    client: &Client,
    collection: &Collection,
    columns_of: &Collection,
    cancel: &CancellationToken,
) -> Reader {
    let key_name = columns_of.schema.key_field().map(|field| field.name.clone()).unwrap_or_default();
    Reader {
        client: client.clone(),
        side,
        name: collection.name.clone(),
        id: if client.version().flavor == Flavor::Milvus { collection.id } else { 0 },
        key_field: KeyField::new(&key_name, client.version().flavor)
            .that_can_be_named(can_be_named(product(client), &key_name)),
        columns: columns_of.schema.columns(),
        consistency: Consistency::Strong,
        cancel: cancel.clone(),
        served_otherwise: Arc::default(),
    }
}
/// A server that was asked for rows by their keys and returned none of them.
pub(crate) fn none_returned() -> Error {
    let told = Told::both("the server returned none of the requested rows", "服务没有返回请求的任何一行");
    found(ErrorKind::Malformed, "Query", told)
}
