//! Mends what a comparison by spans found while a job goes on in rounds: rows that are missing or changed are copied, rows
//! that the source does not have are removed.
//!
//! Every write and every delete goes through a name that only the writer of this attempt uses ([`WriteAccess`]). It is
//! opened when the first difference comes, behind everybody who wrote before, and taken away before what was mended is read
//! again: nothing that was sent can land after that.
//!
//! Rows are copied beside the comparison, in the order in which differences are found ([`sending`]). Rows of the target
//! alone are held until everything was read ([`held`]): a source that is loading answers short, without an error, and what
//! it leaves out looks like rows that it does not have. What was mended is read again, against the digests of the rows as
//! they were sent, and mended anew where it is not there ([`reading_again`]).

mod error;
mod held;
mod reading_again;
mod sending;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use vecferry_milvus::wire::digest::Digest;
use vecferry_milvus::{CollectionName, Key, KeyRange};

pub(crate) use self::error::MendError;
use self::held::Held;
use super::by_key::absent;
use super::spans::{PartRows, SpanFound, SpannedPart, Writers};
use crate::copy::{Budget, Pace};
use crate::plan::Keys;
use crate::read::{ReadError, Reader};

/// Findings that wait to be mended.
const FOUND_AHEAD: usize = 2;

/// The way to the target.
pub(crate) trait WriteAccess {
    /// Gives this attempt a name of its own to write through, after whoever wrote before can write no more.
    async fn open(&self) -> Result<CollectionName, MendError>;

    /// Takes the name away: nothing that was sent to it lands any more.
    async fn close(&self) -> Result<(), MendError>;

    /// Records, before they are sent, that so many more rows may be written. Fails if another attempt has taken over.
    async fn intend(&self, rows: u64) -> Result<(), MendError>;

    /// Records that rows of a range may be on the target more than once.
    async fn doubt(&self, partition: Option<&str>, range: &KeyRange) -> Result<(), MendError>;

    /// The ranges of which that is recorded.
    async fn doubts(&self) -> Result<Vec<(Option<String>, KeyRange)>, MendError>;

    /// Records that no row is there more than once.
    async fn settle_doubts(&self) -> Result<(), MendError>;

    /// Records that the target refuses a row.
    async fn refused(&self, partition: Option<&str>, key: &Key, reason: String) -> Result<(), MendError>;
}

/// How much is mended at once.
#[derive(Clone, Debug)]
pub(crate) struct MendTuning {
    /// Keys of rows that are copied together.
    pub(crate) keys_max: usize,
    /// Bytes of these rows that are aimed at.
    pub(crate) bytes_max: usize,
    /// Keys that are kept in memory until what was mended is read again, and as many of rows that are to be removed.
    pub(crate) kept_max: usize,
    /// Bytes of these keys, where they are texts.
    pub(crate) kept_bytes_max: usize,
    /// Between two counts of one moment: a server that hands rows over to a segment counts wrong meanwhile.
    pub(crate) recount_interval: Duration,
}

impl Default for MendTuning {
    fn default() -> Self {
        Self {
            keys_max: 256,
            bytes_max: 4 << 20,
            kept_max: 262_144,
            kept_bytes_max: 16 << 20,
            recount_interval: Duration::from_millis(500),
        }
    }
}

/// What a mender did, for the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MendFacts {
    /// Rows that were found to differ and were taken up, by partition and key.
    pub(crate) found: u64,
    /// Rows that were copied though they did not differ: others of their page did, or the same key elsewhere.
    pub(crate) besides: u64,
    /// Rows that were copied.
    pub(crate) upserted: u64,
    /// Rows that were removed.
    pub(crate) deleted: u64,
    /// Rows of these that were read again as they should be: with the values that were sent, or not there any more.
    pub(crate) read_again: u64,
    /// Rows that were left as they are: the source has them no more, or does not prove that it has none.
    pub(crate) left: u64,
    /// Rows that the target refuses.
    pub(crate) refused: u64,
    /// Rows that came or went while they were compared.
    pub(crate) moved: u64,
    /// Differing rows of keys that the source repeats; nothing is mended there.
    pub(crate) repeated: u64,
    /// Rows in all writes that were tried.
    pub(crate) rows_sent: u64,
}

impl MendFacts {
    /// Whether each row that was taken up came to an end that was seen.
    pub(crate) fn are_complete(&self) -> bool {
        let Self { found, besides, upserted, deleted, read_again, left, refused, .. } = self;
        found + besides == upserted + deleted + left + refused && upserted + deleted == *read_again
    }
}

/// Differences of one range, on their way to the mender.
#[derive(Debug)]
pub(crate) struct Found {
    partition: Option<String>,
    range: KeyRange,
    source_rows: u64,
    missing: Vec<Key>,
    extra: Vec<Key>,
    changed: Vec<Key>,
    repeated: u64,
    moved: u64,
}

/// Where a comparison puts what it finds. It waits while the mender is behind.
#[derive(Debug)]
pub(crate) struct ToMend(mpsc::Sender<Found>);

impl ToMend {
    /// Somewhere to put differences, and where they come out.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Found>) {
        let (put, take) = mpsc::channel(FOUND_AHEAD);
        (Self(put), take)
    }

    pub(crate) async fn found(&self, found: &SpanFound<'_>) -> Result<(), ReadError> {
        let SpanFound { partition, range, source_rows, missing, extra, changed, repeated, moved } = found;
        let found = Found {
            partition: partition.map(str::to_owned),
            range: (*range).clone(),
            source_rows: *source_rows,
            missing: missing.clone(),
            extra: extra.clone(),
            changed: changed.clone(),
            repeated: repeated.len() as u64,
            moved: moved.len() as u64,
        };
        // A mender that is gone has failed, and says why.
        self.0.send(found).await.map_err(|_| ReadError::Canceled)
    }
}

/// A row's place: of which part, and under which key.
type Place = (usize, Key);

/// What the target must hold there.
#[derive(Clone, Debug)]
enum Wanted {
    /// The row as it was sent.
    Row(Digest),
    /// None. The source has the key in these parts instead.
    Nothing { elsewhere: Vec<usize> },
}

/// What was mended and not read again yet.
#[derive(Debug, Default)]
struct Unread {
    wanted: BTreeMap<Place, Wanted>,
    key_bytes: usize,
}

impl Unread {
    /// Whether nothing was wanted there before.
    fn want(&mut self, place: Place, wanted: Wanted) -> bool {
        let bytes = key_bytes(&place.1);
        let is_new = self.wanted.insert(place, wanted).is_none();
        self.key_bytes += if is_new { bytes } else { 0 };
        is_new
    }

    fn forget(&mut self, place: &Place) -> bool {
        let is_known = self.wanted.remove(place).is_some();
        self.key_bytes -= if is_known { key_bytes(&place.1) } else { 0 };
        is_known
    }
}

fn key_bytes(key: &Key) -> usize {
    match key {
        Key::Int(_) => 0,
        Key::Text(text) => text.len(),
    }
}

/// What a comparison found is mended with.
pub(crate) struct MendWith<'a, Access> {
    pub(crate) access: &'a Access,
    pub(crate) keys: Keys,
    pub(crate) writers: Writers,
    pub(crate) pace: &'a Pace,
    pub(crate) budget: &'a Budget,
    pub(crate) tuning: &'a MendTuning,
}

/// Mends one collection of the target.
pub(crate) struct Mender<'a, Access> {
    source: Reader,
    target: Reader,
    parts: Vec<Part>,
    with: MendWith<'a, Access>,
    /// Where this attempt writes now.
    write_name: Option<CollectionName>,
    queue: Queue,
    held: Held,
    unread: Unread,
    /// Rows that the target refused; no more than are tried.
    refused: BTreeSet<Place>,
    /// Parts with rows that were left as they are.
    left_in: BTreeSet<usize>,
    facts: MendFacts,
}

/// See [`SpannedPart`].
#[derive(Clone, Debug)]
struct Part {
    partition: Option<String>,
    in_source: bool,
}

/// Rows that are to be copied, of one part.
#[derive(Debug, Default)]
struct Queue {
    part: usize,
    range: KeyRange,
    keys: Vec<Key>,
}

impl<'a, Access: WriteAccess> Mender<'a, Access> {
    /// Begins with what an earlier attempt may have left: a comparison must read the target after that.
    pub(crate) async fn begin(
        source: &Reader,
        target: &Reader,
        parts: &[SpannedPart],
        with: MendWith<'a, Access>,
    ) -> Result<Self, MendError> {
        let part = |part: &SpannedPart| Part { partition: part.partition.clone(), in_source: part.in_source };
        let mut mender = Self {
            source: source.clone(),
            target: target.clone(),
            parts: parts.iter().map(part).collect(),
            with,
            write_name: None,
            queue: Queue::default(),
            held: Held::default(),
            unread: Unread::default(),
            refused: BTreeSet::new(),
            left_in: BTreeSet::new(),
            facts: MendFacts::default(),
        };
        mender.take_out_repeated().await?;
        Ok(mender)
    }

    /// Removes every row whose key the target has more than once, in the ranges where that is possible: the comparison
    /// that follows finds them missing. Nothing else tells of them, because a query answers one row a key.
    async fn take_out_repeated(&mut self) -> Result<(), MendError> {
        let doubts = self.with.access.doubts().await?;
        for (partition, range) in &doubts {
            for part in 0..self.parts.len() {
                let of_part = &self.parts[part].partition;
                let is_meant = partition.is_none() || of_part.is_none() || partition == of_part;
                if is_meant {
                    self.take_out_repeated_of(part, range).await?;
                }
            }
        }
        self.close().await
    }

    /// Mends what comes, until the comparison has found everything.
    pub(crate) async fn run(&mut self, mut found: mpsc::Receiver<Found>) -> Result<(), MendError> {
        while let Some(found) = found.recv().await {
            self.take(found).await?;
        }
        self.send_queued().await
    }

    async fn take(&mut self, found: Found) -> Result<(), MendError> {
        let Found { partition, range, source_rows, missing, extra, changed, repeated, moved } = found;
        let part = self.parts.iter().position(|part| part.partition == partition);
        let part = part.ok_or_else(|| MendError::UnknownPart(partition.unwrap_or_default()))?;
        self.facts.repeated += repeated;
        self.facts.moved += moved;
        self.facts.found += self.held.hold((part, &range), extra, self.with.tuning);
        self.facts.found += (missing.len() + changed.len()) as u64;
        let is_mostly_missing = missing.len() as u64 > source_rows / 4;
        let is_long = missing.len() > self.with.tuning.keys_max;
        let mut keys = missing;
        keys.extend(changed);
        if is_mostly_missing && is_long && self.with.keys.can_upsert() {
            self.copy_range(part, &range, keys).await?;
        } else {
            self.queue(part, &range, keys).await?;
        }
        if self.is_memory_full() { self.read_again(false).await } else { Ok(()) }
    }

    fn is_memory_full(&self) -> bool {
        let tuning = self.with.tuning;
        self.unread.wanted.len() >= tuning.kept_max || self.unread.key_bytes >= tuning.kept_bytes_max
    }

    /// Removes what is held, now that everything was read: so many rows of the source in each part. Then reads again what
    /// was mended. Returns the ranges that are to be compared once more, because they hold more rows to be removed.
    pub(crate) async fn finish(&mut self, read: &[PartRows]) -> Result<Vec<AgainRange>, MendError> {
        let again = self.delete_held(read).await?;
        self.read_again(again.is_empty()).await?;
        self.close().await?;
        if again.is_empty() {
            self.with.access.settle_doubts().await?;
        }
        let range = |(part, range): (usize, KeyRange)| AgainRange {
            partition: self.parts[part].partition.clone(),
            range,
        };
        Ok(again.into_iter().map(range).collect())
    }

    /// What was done so far.
    pub(crate) fn facts(&self) -> MendFacts {
        self.facts
    }

    /// Parts with rows that were left as they are, because the source has them after all.
    pub(crate) fn left_in(&self) -> &BTreeSet<usize> {
        &self.left_in
    }

    /// Takes back that such rows were found to differ, before all of them are compared once more. Returns how many.
    pub(crate) fn forget_left(&mut self) -> u64 {
        self.left_in.clear();
        let left = std::mem::take(&mut self.facts.left);
        self.facts.found -= left;
        left
    }

    /// Rows of a part that the target refused and does not have.
    pub(crate) async fn refused_of(&self, part: usize) -> Result<u64, MendError> {
        let of_part = self.refused.iter().filter(|(of, _)| *of == part);
        let keys: Vec<_> = of_part.map(|(_, key)| key.clone()).collect();
        if keys.is_empty() {
            return Ok(0);
        }
        let target = self.target.clone().fresh().await;
        let target = target.map_err(|error| MendError::target(error.into()))?;
        let absent = absent(&target, self.parts[part].partition.as_deref(), &keys).await;
        Ok(absent.map_err(MendError::target)?.len() as u64)
    }

    /// Removes every row of a part whose key the target has more than once. It is compared behind that.
    pub(crate) async fn take_out_repeated_in(&mut self, part: usize) -> Result<(), MendError> {
        self.take_out_repeated_of(part, &KeyRange::default()).await?;
        self.close().await
    }

    fn partition(&self, part: usize) -> Option<String> {
        self.parts[part].partition.clone()
    }

    /// The row as a person finds it.
    fn shown(&self, (part, key): &Place) -> String {
        match &self.parts[*part].partition {
            Some(partition) => format!("{key} ({partition})"),
            None => key.to_string(),
        }
    }

    /// Opened when it is used for the first time.
    async fn write_name(&mut self) -> Result<CollectionName, MendError> {
        if let Some(name) = &self.write_name {
            return Ok(name.clone());
        }
        let name = self.with.access.open().await?;
        self.write_name = Some(name.clone());
        Ok(name)
    }

    async fn close(&mut self) -> Result<(), MendError> {
        if self.write_name.is_some() {
            self.with.access.close().await?;
            self.write_name = None;
        }
        Ok(())
    }

    /// Reads the target as it is now.
    async fn refresh(&mut self) -> Result<(), MendError> {
        let fresh = self.target.clone().fresh().await;
        self.target = fresh.map_err(|error| MendError::target(error.into()))?;
        Ok(())
    }
}

/// A range that is to be compared once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AgainRange {
    pub(crate) partition: Option<String>,
    pub(crate) range: KeyRange,
}
