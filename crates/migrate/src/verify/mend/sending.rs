//! Rows on their way from the source to the target, by their keys or page by page, as upserts; where an upsert makes other
//! keys, as a delete and an insert.

use std::collections::BTreeSet;

use vecferry_milvus::wire::digest::Digest;
use vecferry_milvus::wire::insert::Rows;
use vecferry_milvus::wire::{Page, WireError};
use vecferry_milvus::{Error, ErrorKind, Key, KeyRange, WriteMode};

use super::{MendError, Mender, Place, Queue, Wanted, WriteAccess};
use crate::cluster::retry::{Backoff, Verdict, sleep};
use crate::copy::is_about_rows;
use crate::problem::Side;
use crate::read::{Chunks, PageSize, ReadError};
use crate::verify::by_key::{absent, insertable_rows, keys_present};
use crate::verify::expect::unrepeated;
use crate::verify::spans::Writers;

/// How often rows are sent without coming any further.
const TRIES_MAX: u32 = 5;
/// A collection of which more rows are refused has another problem than its rows.
const REFUSED_MAX: u64 = 1000;

/// Some rows of the source, ready to be sent.
struct Outgoing {
    keys: Vec<Key>,
    digests: Vec<Digest>,
    rows: Rows,
}

/// What became of them.
enum Sent {
    Whole,
    /// Only these arrived, after an answer that was lost: the others are to be sent again.
    Only(BTreeSet<Key>),
    Refused(Error),
}

/// What became of the rows of some keys.
enum Copied {
    /// So many bytes were copied at once.
    Bytes(usize),
    /// They are too large, or there is one that the target refuses: fewer are to be sent at once.
    TooMany(Error),
}

impl<Access: WriteAccess> Mender<'_, Access> {
    /// Rows of one part are copied when there are enough of them.
    pub(super) async fn queue(
        &mut self,
        part: usize,
        range: &KeyRange,
        mut keys: Vec<Key>,
    ) -> Result<(), MendError> {
        if keys.is_empty() {
            return Ok(());
        }
        if self.queue.part != part {
            self.send_queued().await?;
        }
        if self.queue.keys.is_empty() {
            self.queue = Queue { part, range: range.clone(), keys: Vec::new() };
        }
        self.queue.range.until.clone_from(&range.until);
        self.queue.keys.append(&mut keys);
        if self.queue.keys.len() >= self.with.tuning.keys_max { self.send_queued().await } else { Ok(()) }
    }

    pub(super) async fn send_queued(&mut self) -> Result<(), MendError> {
        let Queue { part, range, mut keys } = std::mem::take(&mut self.queue);
        keys.sort_unstable();
        self.copy_keys(part, &range, &keys).await
    }

    /// Copies the rows of some keys, which lie in a range.
    pub(super) async fn copy_keys(
        &mut self,
        part: usize,
        range: &KeyRange,
        keys: &[Key],
    ) -> Result<(), MendError> {
        let mut chunks = Chunks::at_most(keys, self.with.tuning.keys_max);
        while let Some(now) = chunks.next() {
            match self.copy_chunk(part, range, now).await? {
                Copied::Bytes(bytes) => {
                    if bytes > self.with.tuning.bytes_max {
                        chunks.halve();
                    }
                    chunks.answered(now.len());
                }
                Copied::TooMany(_) if chunks.halve() => {}
                Copied::TooMany(error) => {
                    for key in now {
                        self.set_aside(part, key, &error).await?;
                    }
                    chunks.answered(now.len());
                }
            }
        }
        Ok(())
    }

    async fn copy_chunk(&mut self, part: usize, range: &KeyRange, keys: &[Key]) -> Result<Copied, MendError> {
        let partition = self.partition(part);
        let names: Vec<_> = self.source.columns.iter().map(|column| column.name.clone()).collect();
        let mut rest: BTreeSet<_> = keys.iter().cloned().collect();
        let (mut bytes_max, mut tries) = (0, 0);
        // An answer may be short; only an empty one says that the source has no more of these rows.
        while !rest.is_empty() {
            self.source.stop_if_canceled().map_err(MendError::source)?;
            let share = self.with.budget.take(self.with.tuning.bytes_max).await;
            let asked: Vec<_> = rest.iter().cloned().collect();
            let page = match self.source.rows_of(partition.as_deref(), &asked, &names).await {
                Err(ReadError::Server(error)) if error.kind() == ErrorKind::TooLarge && asked.len() > 1 => {
                    return Ok(Copied::TooMany(error));
                }
                answer => answer.map_err(MendError::source)?.0,
            };
            if page.rows == 0 {
                self.gone(part, rest)?;
                break;
            }
            bytes_max = bytes_max.max(page.bytes);
            let outgoing = self.outgoing(&page)?;
            drop(page);
            let before = rest.len();
            match self.send(part, range, &outgoing).await? {
                Sent::Whole => rest.retain(|key| outgoing.keys.binary_search(key).is_err()),
                Sent::Only(arrived) => rest.retain(|key| !arrived.contains(key)),
                Sent::Refused(error) => return Ok(Copied::TooMany(error)),
            }
            let sent = outgoing.keys.into_iter().zip(outgoing.digests);
            self.want_rows(part, sent.filter(|(key, _)| !rest.contains(key)));
            drop(share);
            tries = if rest.len() < before { 0 } else { tries + 1 };
            if tries == TRIES_MAX {
                return Err(self.stays(part, &rest));
            }
        }
        Ok(Copied::Bytes(bytes_max))
    }

    /// Copies all rows of a range, of which many are wanted.
    pub(super) async fn copy_range(
        &mut self,
        part: usize,
        range: &KeyRange,
        wanted: Vec<Key>,
    ) -> Result<(), MendError> {
        let partition = self.partition(part);
        let mut wanted: BTreeSet<_> = wanted.into_iter().collect();
        let mut size = PageSize::new(&self.source.columns, self.with.tuning.bytes_max);
        let mut ahead = range.clone();
        loop {
            let share = self.with.budget.take(size.bytes()).await;
            let page = self.source.page(partition.as_deref(), &ahead, &mut size).await;
            let page = page.map_err(MendError::source)?;
            let outgoing = self.outgoing(&page)?;
            drop(page);
            let Some(last) = outgoing.keys.last().cloned() else { break };
            let sent = self.send(part, range, &outgoing).await?;
            drop(share);
            let (of_page, besides): (Vec<_>, Vec<_>) =
                outgoing.keys.into_iter().zip(outgoing.digests).partition(|(key, _)| wanted.remove(key));
            match sent {
                Sent::Whole => {
                    self.want_rows(part, of_page.into_iter());
                    self.facts.besides += self.want_rows(part, besides.into_iter());
                }
                Sent::Only(_) | Sent::Refused(_) => {
                    let keys: Vec<_> = of_page.into_iter().map(|(key, _)| key).collect();
                    self.copy_keys(part, range, &keys).await?;
                }
            }
            if self.is_memory_full() {
                self.read_again(false).await?;
            }
            if ahead.until.as_ref() == Some(&last) {
                break;
            }
            ahead.after = Some(last);
        }
        self.gone(part, wanted)
    }

    fn outgoing(&self, page: &Page) -> Result<Outgoing, MendError> {
        let protocol = |error: WireError| MendError::source(error.into());
        Ok(Outgoing {
            keys: page.all_keys(&self.source.key_field).map_err(protocol)?,
            digests: self.source.digests_of_page(page).map_err(protocol)?,
            rows: insertable_rows(page, &self.source.columns).map_err(protocol)?,
        })
    }

    /// Rows that were sent are read again later. Returns how many were not sent before.
    fn want_rows(&mut self, part: usize, sent: impl Iterator<Item = (Key, Digest)>) -> u64 {
        let mut new = 0;
        for (key, digest) in sent {
            self.refused.remove(&(part, key.clone()));
            new += u64::from(self.unread.want((part, key), Wanted::Row(digest)));
        }
        self.facts.upserted += new;
        new
    }

    /// The source has rows no more that it had when they were compared.
    fn gone(&mut self, part: usize, keys: BTreeSet<Key>) -> Result<(), MendError> {
        for key in keys {
            let place = (part, key);
            match self.with.writers {
                Writers::Stopped => return Err(MendError::Gone(self.shown(&place))),
                // Its next round removes them.
                Writers::GoOn => self.leave(&place),
            }
        }
        Ok(())
    }

    fn leave(&mut self, place: &Place) {
        self.facts.left += 1;
        self.left_in.insert(place.0);
        self.facts.upserted -= u64::from(self.unread.forget(place));
    }

    async fn set_aside(&mut self, part: usize, key: &Key, error: &Error) -> Result<(), MendError> {
        let partition = self.partition(part);
        if self.facts.refused == REFUSED_MAX {
            let (key, error) = (self.shown(&(part, key.clone())), error.to_string());
            return Err(MendError::TooManyRefused { key, error });
        }
        self.facts.refused += 1;
        self.with.access.refused(partition.as_deref(), key, error.to_string()).await?;
        let place = (part, key.clone());
        self.facts.upserted -= u64::from(self.unread.forget(&place));
        self.refused.insert(place);
        Ok(())
    }

    /// That rows do not arrive however often they are sent.
    fn stays(&self, part: usize, rest: &BTreeSet<Key>) -> MendError {
        let first = rest.first().map(|key| self.shown(&(part, key.clone())));
        MendError::Stays { rows: rest.len(), first: first.unwrap_or_default() }
    }

    async fn send(&mut self, part: usize, range: &KeyRange, outgoing: &Outgoing) -> Result<Sent, MendError> {
        let (rows, bytes) = (outgoing.rows.count as u64, outgoing.rows.bytes() as u64);
        let admitted = self.with.pace.admit(rows, bytes, &self.target.cancel).await;
        admitted.ok_or(MendError::Canceled)?;
        let sent = match self.with.keys.can_upsert() {
            true => self.upsert(part, &outgoing.rows).await?,
            false => self.replace(part, range, outgoing).await?,
        };
        if matches!(sent, Sent::Whole) {
            crate::metrics::written(rows, bytes);
        }
        Ok(sent)
    }

    /// By upsert, which leaves one row of each key, whatever was there. So it can be repeated.
    async fn upsert(&mut self, part: usize, rows: &Rows) -> Result<Sent, MendError> {
        let mut backoff = Backoff::new();
        loop {
            let Err(error) = self.write(part, rows, WriteMode::Upsert).await? else {
                return Ok(Sent::Whole);
            };
            if let Some(refused) = self.after_failure(error, &mut backoff).await? {
                return Ok(refused);
            }
        }
    }

    /// Waits before a write is tried again, if that may help.
    async fn after_failure(&self, error: Error, backoff: &mut Backoff) -> Result<Option<Sent>, MendError> {
        tracing::debug!(%error, "a write failed");
        match backoff.after(error.kind()) {
            Verdict::Wait(_) if self.target.cancel.is_cancelled() => Err(MendError::Canceled),
            Verdict::Wait(wait) => {
                crate::metrics::retried(Side::Target, error.kind());
                sleep(wait, &self.target.cancel).await;
                Ok(None)
            }
            Verdict::GiveUp if is_about_rows(error.kind()) => Ok(Some(Sent::Refused(error))),
            Verdict::GiveUp => Err(self.target_failed(error)),
        }
    }

    /// By a delete and an insert: an upsert would make other keys. Rows that may have landed are never sent again before
    /// it is known whether they did.
    async fn replace(
        &mut self,
        part: usize,
        range: &KeyRange,
        outgoing: &Outgoing,
    ) -> Result<Sent, MendError> {
        let partition = self.partition(part);
        self.refresh().await?;
        let absent = absent(&self.target, partition.as_deref(), &outgoing.keys).await;
        let absent: BTreeSet<_> = absent.map_err(MendError::target)?.into_iter().collect();
        let present = outgoing.keys.iter().filter(|key| !absent.contains(*key)).cloned().collect();
        self.delete(part, present).await?;
        self.with.access.doubt(partition.as_deref(), range).await?;
        let mut backoff = Backoff::new();
        loop {
            let Err(error) = self.write(part, &outgoing.rows, WriteMode::Insert).await? else {
                return Ok(Sent::Whole);
            };
            if !error.precedes_execution() {
                return self.what_arrived(partition.as_deref(), &outgoing.keys, error, &mut backoff).await;
            }
            if let Some(refused) = self.after_failure(error, &mut backoff).await? {
                return Ok(refused);
            }
        }
    }

    /// An insert failed, and may have landed: looks for its rows when nothing of it can land any more.
    async fn what_arrived(
        &mut self,
        partition: Option<&str>,
        keys: &[Key],
        error: Error,
        backoff: &mut Backoff,
    ) -> Result<Sent, MendError> {
        self.close().await?;
        self.refresh().await?;
        let present = keys_present(&self.target, partition, keys).await.map_err(MendError::target)?;
        let single = unrepeated(&self.target, partition, present.iter().cloned().collect()).await;
        let arrived: BTreeSet<_> = single.map_err(MendError::target)?.into_iter().collect();
        if present.is_empty()
            && let Some(refused) = self.after_failure(error, backoff).await?
        {
            return Ok(refused);
        }
        Ok(Sent::Only(arrived))
    }

    /// One write, when there is a place for it; the inner result is the target's answer.
    async fn write(
        &mut self,
        part: usize,
        rows: &Rows,
        mode: WriteMode,
    ) -> Result<Result<(), Error>, MendError> {
        let (partition, name) = (self.partition(part), self.write_name().await?);
        self.with.access.intend(rows.count as u64).await?;
        self.facts.rows_sent += rows.count as u64;
        let place = self.with.pace.place().await.ok_or(MendError::Canceled)?;
        let answer = self.target.client.write(&name, partition.as_deref(), rows, mode).await;
        place.answered(answer.as_ref().err().map(Error::kind));
        Ok(answer)
    }
}
