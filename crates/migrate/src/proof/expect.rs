//! What the source holds: counts, and digests of sampled rows.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;
use vecferry_milvus::schema::FieldSpec;
use vecferry_milvus::wire::values::rows as values_of;
use vecferry_milvus::wire::{Page, WireError};
use vecferry_milvus::{
    Client, CollectionName, Consistency, Error, ErrorKind, Flavor, Key, KeyField, KeyRange, Query,
    RowSelection,
};

use super::chunks::Chunks;
use super::digest::{Digest, digest};
use crate::connect::Side;
use crate::copy::{KeySample, PAGE_ROWS_MAX};
use crate::retry::{Backoff, Verdict, WaitError, repeat, sleep};

/// Key ranges whose rows are counted where partitions can't be named.
const COUNTED_RANGES_MAX: usize = 16;
/// Answers to lookups are not much larger.
const LOOKUP_BYTES: usize = 8 << 20;
/// Rows of a page of keys only.
const KEY_PAGE_ROWS: u32 = 8192;
/// Answers without a row, where the server counts some, before they are taken for rows that no query returns.
const LOOKS_MAX: u32 = 4;

/// Reads one collection of one server for the proof.
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
}

/// A part whose rows are counted: a partition, or a range of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) partition: Option<String>,
    pub(crate) range: KeyRange,
}

/// What the target must hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expected {
    /// Rows with distinct keys, part by part. Parts may overlap: each is a statement of its own.
    pub(crate) counts: Vec<(Part, u64)>,
    /// Rows that the source counts.
    pub(crate) source_rows: u64,
    /// Digest of every column of the sampled rows, by partition and key: two partitions may hold one key.
    pub(crate) rows: BTreeMap<Option<String>, BTreeMap<Key, Vec<Digest>>>,
}

impl Expected {
    /// Takes out what is expected of partitions that do not pass. Returns their rows.
    pub(crate) fn leave_out(&mut self, passes: impl Fn(&String) -> bool) -> u64 {
        let mut rows = 0;
        self.counts.retain(|(part, expected)| {
            let stays = part.partition.as_ref().is_none_or(&passes);
            rows += if stays { 0 } else { *expected };
            stays
        });
        self.rows.retain(|partition, _| partition.as_ref().is_none_or(&passes));
        rows
    }
}

/// Why a proof can't be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProofError {
    #[error("{0}")]
    Server(#[from] Error),
    #[error("{0}")]
    Protocol(#[from] WireError),
    #[error("canceled")]
    Canceled,
    /// How far it is can't be recorded.
    #[error("{0}")]
    Store(#[from] vecferry_store::Error),
    /// What was found could not be mended.
    #[error("{0}")]
    Repair(Box<ProofError>),
}

impl From<WaitError> for ProofError {
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

    /// Half a look proves nothing: a canceled proof is none.
    pub(crate) fn stop_if_canceled(&self) -> Result<(), ProofError> {
        if self.cancel.is_cancelled() { Err(ProofError::Canceled) } else { Ok(()) }
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
    ) -> Result<Vec<Key>, ProofError> {
        self.some_keys(partition, range, KEY_PAGE_ROWS).await
    }

    /// The first key of a range.
    pub(crate) async fn first_key(
        &self,
        partition: Option<&str>,
        range: &KeyRange,
    ) -> Result<Option<Key>, ProofError> {
        Ok(self.some_keys(partition, range, 1).await?.into_iter().next())
    }

    async fn some_keys(
        &self,
        partition: Option<&str>,
        range: &KeyRange,
        rows_max: u32,
    ) -> Result<Vec<Key>, ProofError> {
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
                Err(ProofError::Server(error))
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
    ) -> Result<(Page, usize), ProofError> {
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
    async fn read(&self, query: &Query<'_>, after: Option<&Key>) -> Result<(Page, usize), ProofError> {
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

    /// Digests of the rows of some keys; a key that is not there is absent.
    pub(crate) async fn digests(
        &self,
        partition: Option<&str>,
        keys: &[Key],
    ) -> Result<BTreeMap<Key, Vec<Digest>>, ProofError> {
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
                    Err(ProofError::Server(error)) if chunks.are_halved(error.kind()) => continue 'chunks,
                    answer => answer?,
                };
                if page.rows == 0 {
                    break;
                }
                let digests = values_of(&page, &self.columns)?
                    .iter()
                    .map(|row| row.iter().map(digest).collect())
                    .collect::<Vec<Vec<_>>>();
                found.extend(page.all_keys(&self.key_field)?.into_iter().zip(digests));
                let asked = rest.len();
                rest.retain(|key| !found.contains_key(key));
                if rest.len() == asked {
                    let text = "an answer holds none of the rows that were asked for";
                    return Err(Error::new(ErrorKind::Malformed, "Query", text.to_owned()).into());
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
) -> Result<(u64, KeySample), ProofError> {
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

/// Adds what the source holds in one partition to what is expected of the target. `rows` is the number of distinct
/// keys that were read from it, of which the target refuses `set_aside`; `counted` is the number of rows that it counts,
/// `keys` the sampled ones.
///
/// Returns how many of the sampled rows the source does not answer any more.
pub(crate) async fn expect(
    reader: &Reader,
    expected: &mut Expected,
    partition: Option<&str>,
    rows: u64,
    set_aside: u64,
    counted: u64,
    mut keys: Vec<Key>,
) -> Result<usize, ProofError> {
    expected.counts.push((
        Part { partition: partition.map(str::to_owned), range: KeyRange::default() },
        rows - set_aside,
    ));
    expected.source_rows += counted;
    if counted > rows {
        keys = unrepeated(reader, partition, keys).await?;
    }
    let digests = reader.digests(partition, &keys).await?;
    let gone = keys.len() - digests.len();
    expected.rows.insert(partition.map(str::to_owned), digests);
    // Without named partitions the whole is counted in ranges as well; repeated keys make the source's counts larger.
    if partition.is_none() && rows == counted && set_aside == 0 && keys.len() >= COUNTED_RANGES_MAX {
        let step = keys.len() / COUNTED_RANGES_MAX;
        let mut after = None;
        for until in keys.iter().skip(step).step_by(step).map(Some).chain([None]) {
            let range = KeyRange { after: after.clone(), until: until.cloned() };
            let part = Part { partition: None, range };
            let rows = reader.count(&part).await?;
            expected.counts.push((part, rows));
            after = until.cloned();
        }
    }
    Ok(gone)
}

/// The keys that stand for one row only. Which copy of a repeated key a lookup answers is not fixed.
pub(super) async fn unrepeated(
    reader: &Reader,
    partition: Option<&str>,
    keys: Vec<Key>,
) -> Result<Vec<Key>, ProofError> {
    let mut single = Vec::with_capacity(keys.len());
    let copies = |keys: &[Key]| reader.count_where(partition, reader.key_field.any_of(keys));
    let mut chunks = Chunks::new(&keys);
    while let Some(now) = chunks.next() {
        reader.stop_if_canceled()?;
        let counted = match copies(now).await {
            Err(error) if chunks.are_halved(error.kind()) => continue,
            counted => counted?,
        };
        if counted == now.len() as u64 {
            single.extend_from_slice(now);
        } else {
            for key in now {
                if copies(std::slice::from_ref(key)).await? == 1 {
                    single.push(key.clone());
                }
            }
        }
        chunks.answered(now.len());
    }
    Ok(single)
}
