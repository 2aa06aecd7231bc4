//! Rows of the target alone: held until the source was read whole, and removed only if it says again that it has none.

use std::collections::{BTreeMap, BTreeSet};

use vecferry_milvus::{Error, Key, KeyRange, RowSelection};

use super::{MendError, MendTuning, Mender, Wanted, WriteAccess, key_bytes};
use crate::cluster::retry::repeat;
use crate::read::{Chunks, ReadError};
use crate::verify::by_key::{absent, delete_expression, for_deletes, keys_present};
use crate::verify::expect::unrepeated;
use crate::verify::spans::{PartRows, Writers};
use crate::verify::surplus::diagnose;

/// While writers go on, counts differ by this share of the rows and say nothing.
const WRITTEN_SHARE: u64 = 100;

/// Keys that only the target has.
#[derive(Debug, Default)]
pub(super) struct Held {
    keys: BTreeMap<usize, Vec<Key>>,
    held: usize,
    key_bytes: usize,
    /// Ranges with more of them than are held, by part, and how many these are.
    beyond: BTreeMap<usize, (KeyRange, u64)>,
}

impl Held {
    /// Holds keys of a range as far as there is room. Returns how many.
    pub(super) fn hold(
        &mut self,
        (part, range): (usize, &KeyRange),
        keys: Vec<Key>,
        tuning: &MendTuning,
    ) -> u64 {
        if keys.is_empty() {
            return 0;
        }
        if self.held >= tuning.kept_max || self.key_bytes >= tuning.kept_bytes_max {
            let (beyond, rows) = self.beyond.entry(part).or_insert_with(|| (range.clone(), 0));
            // Ranges come in the order of their keys.
            beyond.until.clone_from(&range.until);
            *rows += keys.len() as u64;
            return 0;
        }
        let held = keys.len();
        self.held += held;
        self.key_bytes += keys.iter().map(key_bytes).sum::<usize>();
        self.keys.entry(part).or_default().extend(keys);
        held as u64
    }
}

impl<Access: WriteAccess> Mender<'_, Access> {
    /// Removes what is held. Returns the ranges with more of it.
    pub(super) async fn delete_held(
        &mut self,
        read: &[PartRows],
    ) -> Result<Vec<(usize, KeyRange)>, MendError> {
        let Held { mut keys, mut beyond, .. } = std::mem::take(&mut self.held);
        let parts: BTreeSet<_> = keys.keys().chain(beyond.keys()).copied().collect();
        let mut again = Vec::new();
        for part in parts {
            let (keys, beyond) = (keys.remove(&part).unwrap_or_default(), beyond.remove(&part));
            let returned = read.get(part).map_or(0, |rows| rows.source);
            if !self.parts[part].in_source || self.is_read_whole(part, returned).await? {
                self.delete_keys(part, &keys).await?;
                again.extend(beyond.map(|(range, _)| (part, range)));
            } else {
                let (held, beyond) = (keys.len() as u64, beyond.map_or(0, |(_, rows)| rows));
                self.facts.left += held + beyond;
                self.left_in.insert(part);
                self.facts.found += beyond;
            }
        }
        Ok(again)
    }

    /// Whether the source returned every row that it counts in a part.
    async fn is_read_whole(&mut self, part: usize, returned: u64) -> Result<bool, MendError> {
        let partition = self.partition(part);
        self.source.wait_until_complete().await.map_err(MendError::source)?;
        let now = self.source.clone().fresh().await.map_err(|error| MendError::source(error.into()))?;
        let counted = now.count_where(partition.as_deref(), RowSelection::Everything).await;
        let counted = counted.map_err(|error| MendError::source(error.into()))?;
        let tolerance = match self.with.writers {
            Writers::Stopped => 0,
            Writers::GoOn => self.facts.moved + returned / WRITTEN_SHARE,
        };
        if counted.abs_diff(returned) <= tolerance {
            return Ok(true);
        }
        // Copies of repeated keys, and rows that no query returns, are counted and not returned.
        let explained = match counted > returned {
            true => diagnose(&now, partition.as_deref()).await.map_err(MendError::source)?,
            false => Default::default(),
        };
        let explained = returned + explained.duplicates + explained.unreadable;
        match self.with.writers {
            _ if counted.abs_diff(explained) <= tolerance => Ok(true),
            // The next round looks at them again.
            Writers::GoOn => Ok(false),
            Writers::Stopped => Err(MendError::NotAllRead { partition, counted, returned }),
        }
    }

    /// Removes rows of a part of which the source has none there, neither by a query nor by a count. A key that it has
    /// elsewhere has moved: it must say where.
    pub(super) async fn delete_keys(&mut self, part: usize, keys: &[Key]) -> Result<(), MendError> {
        let mut chunks = Chunks::at_most(keys, self.with.tuning.keys_max);
        while let Some(now) = chunks.next() {
            self.source.stop_if_canceled().map_err(MendError::source)?;
            let elsewhere = self.homes_of(part, now).await?;
            for key in now.iter().filter(|key| !elsewhere.contains_key(*key)) {
                self.facts.left += 1;
                self.left_in.insert(part);
                self.facts.deleted -= u64::from(self.unread.forget(&(part, key.clone())));
            }
            let keys: Vec<_> = elsewhere.keys().cloned().collect();
            self.delete(part, keys).await?;
            for (key, elsewhere) in elsewhere {
                let is_new = self.unread.want((part, key), Wanted::Nothing { elsewhere });
                self.facts.deleted += u64::from(is_new);
            }
            chunks.answered(now.len());
        }
        Ok(())
    }

    /// The keys that may be removed from a part, with the parts in which the source has them.
    async fn homes_of(&self, part: usize, keys: &[Key]) -> Result<BTreeMap<Key, Vec<usize>>, MendError> {
        let partition = self.parts[part].partition.as_deref();
        let absent_here = match self.parts[part].in_source {
            true => absent(&self.source, partition, keys).await.map_err(MendError::source)?,
            false => keys.to_vec(),
        };
        let mut homes: BTreeMap<_, _> = absent_here.iter().map(|key| (key.clone(), Vec::new())).collect();
        if partition.is_none() {
            return Ok(homes);
        }
        let absent = absent(&self.source, None, &absent_here).await.map_err(MendError::source)?;
        let absent: BTreeSet<_> = absent.into_iter().collect();
        let moved: Vec<_> = absent_here.into_iter().filter(|key| !absent.contains(key)).collect();
        if moved.is_empty() {
            return Ok(homes);
        }
        let others = self.parts.iter().enumerate().filter(|(at, other)| *at != part && other.in_source);
        for (at, other) in others {
            let present = keys_present(&self.source, other.partition.as_deref(), &moved).await;
            for key in present.map_err(MendError::source)? {
                homes.entry(key).or_default().push(at);
            }
        }
        for key in moved {
            if homes.get(&key).is_some_and(Vec::is_empty) {
                homes.remove(&key);
            }
        }
        Ok(homes)
    }

    /// Removes rows of the target, whatever the source has.
    pub(super) async fn delete(&mut self, part: usize, keys: Vec<Key>) -> Result<(), MendError> {
        let partition = self.partition(part);
        for keys in for_deletes(keys) {
            let mut chunks = Chunks::at_most(&keys, self.with.tuning.keys_max);
            while let Some(now) = chunks.next() {
                self.target.stop_if_canceled().map_err(MendError::target)?;
                let expression = delete_expression(&self.target, now).map_err(MendError::target)?;
                let name = self.write_name().await?;
                // No row is written; whoever was taken over finds out here.
                self.with.access.intend(0).await?;
                let client = &self.target.client;
                let deleted =
                    repeat(&self.target.cancel, || client.delete(&name, partition.as_deref(), &expression));
                match deleted.await {
                    Err(error) if chunks.are_halved(error.kind()) => continue,
                    deleted => deleted.map_err(|error| self.target_failed(error))?,
                }
                chunks.answered(now.len());
            }
        }
        Ok(())
    }

    pub(super) fn target_failed(&self, error: Error) -> MendError {
        if self.target.cancel.is_cancelled() {
            return MendError::Canceled;
        }
        MendError::target(error.into())
    }

    /// Removes rows of keys that a range of the target has more than once.
    pub(super) async fn take_out_repeated_of(
        &mut self,
        part: usize,
        range: &KeyRange,
    ) -> Result<(), MendError> {
        let partition = self.partition(part);
        let mut range = range.clone();
        loop {
            self.refresh().await?;
            let repeated = self.next_repeated(partition.as_deref(), &mut range).await;
            let Some(repeated) = repeated.map_err(MendError::target)? else { return Ok(()) };
            self.delete(part, repeated).await?;
        }
    }

    /// The next keys of a range with more than one row; none at its end.
    async fn next_repeated(
        &self,
        partition: Option<&str>,
        range: &mut KeyRange,
    ) -> Result<Option<Vec<Key>>, ReadError> {
        loop {
            let keys = self.target.keys(partition, range).await?;
            let Some(last) = keys.last().cloned() else { return Ok(None) };
            let of_page = KeyRange { after: range.after.replace(last.clone()), until: Some(last) };
            let selection = self.target.key_field.range(&of_page);
            let counted = self.target.count_where(partition, selection).await?;
            if counted == keys.len() as u64 {
                continue;
            }
            let single = unrepeated(&self.target, partition, keys.clone()).await?;
            let single: BTreeSet<_> = single.into_iter().collect();
            let repeated: Vec<_> = keys.into_iter().filter(|key| !single.contains(key)).collect();
            if !repeated.is_empty() {
                return Ok(Some(repeated));
            }
        }
    }
}
