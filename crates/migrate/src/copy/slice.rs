//! One slice of one split: pages follow the keys upwards, each on its way to the target while the next is read.
//!
//! What is in the store before a page is sent, and what only after it was acknowledged, is what makes a copy exact
//! after any crash; see the module documentation of `vecferry_store`'s splits.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{Either, select};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use vecferry_milvus::schema::FieldSpec;
use vecferry_milvus::wire::insert::Rows;
use vecferry_milvus::wire::rewrite::insertable;
use vecferry_milvus::wire::{Page, WireError};
use vecferry_milvus::{
    Client, CollectionName, Consistency, Error, ErrorKind, Key, KeyField, KeyRange, Query, WriteMode,
};
use vecferry_store::{Claim, JobId, Position, Progress, Right, Split, SplitId, Step, Store, Writer};

use super::budget::{Budget, Share};
use super::completeness::End;
use super::dispatch::{Slice, SliceError, SliceRunner};
use super::pace::Pace;
use super::plan::PartCounter;
use super::quarantine::Refusals;
use super::redivide::{Checks, Division};
use crate::cluster::load_state::wait_until_complete;
use crate::cluster::retry::{Backoff, Verdict, WaitError, sleep};
use crate::event::{Bottleneck, Event, Observer, Wait};
use crate::plan::Keys;
use crate::plan::splits::SplitLimits;
use crate::problem::{Problem, Side};
use crate::read::SampleRule;
use crate::read::{NoKey, key_of, key_text, range_of};
use crate::read::{PAGE_BYTES_MAX, PageSize};
use crate::target::{close_write_alias, write_alias};

/// What all splits of a collection share.
pub(crate) struct CopyJob {
    pub(crate) source: Client,
    /// Which server that is: rows that are there twice are read from the target.
    pub(crate) reads: Side,
    pub(crate) target: Client,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) job_id: JobId,
    /// Place of the collection in the job.
    pub(crate) position: Position,
    pub(crate) source_name: CollectionName,
    /// The collection as observers know it.
    pub(crate) shown_name: CollectionName,
    /// The source's number of the collection, so that a rename or an alias can't lead elsewhere; 0 on lite.
    pub(crate) source_id: i64,
    /// Where rows are written: an alias that only this writer uses, where the target has aliases.
    pub(crate) write_name: CollectionName,
    pub(crate) key_field: KeyField,
    pub(crate) keys: Keys,
    pub(crate) columns: Vec<FieldSpec>,
    /// Names of `columns`.
    pub(crate) names: Vec<String>,
    pub(crate) consistency: Consistency,
    pub(crate) budget: Budget,
    /// How fast the whole job may write.
    pub(crate) pace: Arc<Pace>,
    /// How far a split is divided that turns out to be too large.
    pub(crate) limits: SplitLimits,
    pub(crate) page_bytes_target: usize,
    /// Which rows are compared later, by partition.
    pub(crate) sample: SampleRule,
    /// Rows that the target does not take.
    pub(crate) refusals: Refusals,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) cancel: CancellationToken,
}

/// Why a copy ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    #[error("source: {0}")]
    Source(Error),
    #[error("target: {0}")]
    Target(Error),
    #[error("{0}")]
    Protocol(#[from] WireError),
    #[error("rows with primary keys {first} to {last} were rejected: {error}")]
    RowsRefused { first: Key, last: Key, error: Error },
    /// A write may have landed, and can't be repeated: the target makes the keys.
    #[error("the outcome of a write of rows with auto-generated IDs is unknown: {0}")]
    InDoubt(String),
    #[error("{0}")]
    Store(#[from] vecferry_store::Error),
    #[error("{0}")]
    Record(#[from] NoKey),
    /// By whoever copied a split elsewhere.
    #[error("{0}")]
    Told(String),
    /// The same, by one of this program's own workers.
    #[error("{0}")]
    Known(Box<Problem>),
    #[error("canceled")]
    Canceled,
}

/// What became of some rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Rows that the target acknowledged.
    pub(crate) rows: u64,
    /// Bytes of these rows on the wire.
    pub(crate) bytes: u64,
    /// Rows that the target refuses, each one recorded.
    pub(crate) refused: u64,
}

impl std::ops::AddAssign for Sent {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.refused += other.refused;
    }
}

/// How some rows were written.
pub(crate) type Written = Result<Sent, CopyError>;

/// Pages that are dealt with, and the store does not know of yet.
#[derive(Clone, Default)]
struct Unrecorded {
    last: Option<Key>,
    sent: Sent,
    samples: Vec<String>,
}

impl Unrecorded {
    fn add(&mut self, last: Key, sent: Sent, samples: Vec<String>) {
        self.last = Some(last);
        self.sent += sent;
        self.samples.extend(samples);
    }

    /// What the store is to learn of them, and of the page that is about to be sent.
    fn step(&mut self, intent: Option<String>) -> Ahead {
        let Self { last, sent, samples } = std::mem::take(self);
        let progress =
            Progress { rows_read: sent.rows + sent.refused, rows_written: sent.rows, bytes: sent.bytes };
        Ahead { cursor: last.as_ref().map(key_text), progress, intent, samples }
    }
}

/// A step from wherever the split is.
#[derive(Default)]
struct Ahead {
    cursor: Option<String>,
    intent: Option<String>,
    progress: Progress,
    samples: Vec<String>,
}

/// Where a split is by the store, which only the holder of its claim changes.
struct Place {
    cursor: Option<String>,
    intent: Option<String>,
}

impl Place {
    fn of(split: &Split) -> Self {
        Self { cursor: split.cursor.clone(), intent: split.intent.clone() }
    }

    fn step(&self, ahead: Ahead) -> Step {
        let Ahead { cursor, intent, progress, samples } = ahead;
        let (from_cursor, from_intent) = (self.cursor.clone(), self.intent.clone());
        Step {
            cursor: from_cursor,
            intent: from_intent,
            to_cursor: cursor,
            to_intent: intent,
            progress,
            samples,
        }
    }

    /// Takes a step in the store.
    async fn advance(&mut self, store: &dyn Store, claim: &Claim, ahead: Ahead) -> Result<(), CopyError> {
        let step = self.step(ahead);
        let (cursor, intent) = (step.to_cursor.clone(), step.to_intent.clone());
        store.advance(claim, step).await?;
        self.cursor = cursor.or(self.cursor.take());
        self.intent = intent.or(self.intent.take());
        Ok(())
    }
}

/// A split that is being copied: under which claim, and where it is.
struct Copied<'a> {
    claim: &'a Claim,
    split: &'a Split,
    place: Place,
}

/// What comes after the page that is on its way.
enum Next {
    /// Another one, which is in the store already.
    Page,
    /// The range has no more rows.
    End,
    /// The split holds more than it should, and may have to be divided first.
    LookAtSize,
    /// A later slice.
    OutOfTime,
    /// Nothing.
    Canceled,
}

/// Copies splits of a collection as one writer of it.
pub(crate) struct Slices<'a> {
    pub(crate) copy: &'a CopyJob,
    pub(crate) writer: Writer,
    /// The collection as the target names it, for the aliases of other writers.
    pub(crate) target_name: &'a CollectionName,
}

#[async_trait]
impl SliceRunner for Slices<'_> {
    async fn run_slice(&self, split_id: SplitId, time: Duration) -> Result<Slice, SliceError> {
        let ended = self.run(split_id, time).instrument(tracing::debug_span!("split", %split_id)).await;
        if ended.is_err() {
            // The other splits of this collection need not go on.
            self.copy.cancel.cancel();
        }
        Ok(ended?)
    }
}

impl Slices<'_> {
    async fn run(&self, split_id: SplitId, time: Duration) -> Result<Slice, CopyError> {
        let store = &self.copy.store;
        let (claim, split) = match store.claim(&self.writer, split_id).await {
            Ok(Some(claimed)) => claimed,
            Ok(None) => return Ok(Slice::Done),
            Err(error) if error.kind() == vecferry_store::ErrorKind::IsClaimed => return Ok(Slice::Taken),
            Err(error) => return Err(error.into()),
        };
        // Whoever had it before and still lives can't write any more once its name is gone.
        close_lost_writers(&**store, &self.copy.target, self.target_name, &self.writer).await?;
        let (slice, held) = self.copy.copy_split(&claim, &split, time).await?;
        if held == Held::Still {
            store.release(&claim).await?;
        }
        Ok(slice)
    }
}

/// Removes the names of writers that lost their claims, so that nothing that they sent lands any more.
pub(crate) async fn close_lost_writers(
    store: &dyn Store,
    target: &Client,
    name: &CollectionName,
    writer: &Writer,
) -> Result<(), CopyError> {
    let (job_id, position) = (writer.job_id(), writer.collection());
    let lost = store.lost_writers(job_id, position).await?;
    if lost.is_empty() {
        return Ok(());
    }
    for number in &lost {
        let alias = write_alias(name, job_id, position, *number);
        close_write_alias(target, name, &alias).await.map_err(CopyError::Target)?;
    }
    Ok(store.close_lost_writers(job_id, position, lost).await?)
}

/// Whether a claim is still held when a slice has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Still,
    /// The last step ended it.
    No,
}

impl CopyJob {
    async fn copy_split(
        &self,
        claim: &Claim,
        split: &Split,
        time: Duration,
    ) -> Result<(Slice, Held), CopyError> {
        let started = Instant::now();
        let mut range = range_of(split.cursor.as_deref().or(split.after.as_deref()), split.until.as_deref())?;
        let mut size = PageSize::new(&self.columns, self.page_bytes_target);
        let mut copied = Copied { claim, split, place: Place::of(split) };
        if let Some(intent) = split.intent.as_ref().filter(|intent| Some(*intent) != split.cursor.as_ref()) {
            let intent = key_of(intent)?;
            if !self.keys.can_upsert() {
                return Err(CopyError::InDoubt(format!(
                    "an earlier attempt ended before rows up to primary key {intent} were acknowledged"
                )));
            }
            self.resend(&mut copied, &mut range, intent, &mut size).await?;
        }
        let out_of_time = || started.elapsed() >= time;
        Box::pin(self.copy_range(&mut copied, range, &mut size, WriteMode::Insert, &out_of_time)).await
    }

    /// Sends what an earlier claim may or may not have sent: by upsert, which leaves one row of each key. That the range is
    /// in doubt was recorded with the claim, because a late insert may still be on its way.
    async fn resend(
        &self,
        copied: &mut Copied<'_>,
        range: &mut KeyRange,
        intent: Key,
        size: &mut PageSize,
    ) -> Result<(), CopyError> {
        let doubtful = KeyRange { after: range.after.clone(), until: Some(intent.clone()) };
        // However long it takes: a slice that stopped in between would begin with the same doubt.
        let (slice, _) =
            Box::pin(self.copy_range(copied, doubtful, size, WriteMode::Upsert, &|| false)).await?;
        if slice == Slice::Canceled {
            return Err(CopyError::Canceled);
        }
        // Also where the source does not hold the intended rows any more, nothing up to the intent is in doubt now.
        let ahead = Ahead { cursor: Some(key_text(&intent)), ..Ahead::default() };
        self.advance(copied, ahead).await?;
        range.after = Some(intent);
        Ok(())
    }

    /// Copies a range to its end, or until the time is up.
    async fn copy_range(
        &self,
        copied: &mut Copied<'_>,
        mut range: KeyRange,
        size: &mut PageSize,
        mode: WriteMode,
        out_of_time: &(dyn Fn() -> bool + Sync),
    ) -> Result<(Slice, Held), CopyError> {
        let split = copied.split;
        let partition = split.partition.as_deref();
        // The ends of a range are always compared: that is where rows are lost first.
        let mut is_first_page = self.sample.is_on()
            && split.cursor.is_none()
            && range.after == range_of(split.after.as_deref(), None)?.after;
        // Where an earlier slice came to the end and ran out of time before it knew.
        let mut last_key = split.cursor.clone();
        let mut checks = Checks::new(split, mode);
        let mut unrecorded = Unrecorded::default();
        let (mut page, mut share) = self.next_page(partition, &range, size).await?;
        let intent_of = |page: &Page| {
            let last = page.keys.as_ref().map(|(_, last)| key_text(last));
            last.filter(|_| mode == WriteMode::Insert)
        };
        if let Some(intent) = intent_of(&page) {
            self.advance(copied, unrecorded.step(Some(intent))).await?;
        }
        loop {
            let Some((first, last)) = page.keys.clone() else {
                let mut step = unrecorded.step(None);
                step.samples.extend(last_key.filter(|_| self.sample.is_on()));
                return self.finish(copied, step, mode).await;
            };
            let mut samples = self.sample.of_page(&page, &self.key_field, partition)?;
            samples.extend(std::mem::take(&mut is_first_page).then(|| key_text(&first)));
            let check_due = checks.is_due(page.rows as u64);
            let of_page = KeyRange { after: range.after.replace(last.clone()), until: Some(last.clone()) };
            // The next page is read, and recorded as the next to be sent, while this one is on its way.
            let (is_writing, is_recording) = (AtomicBool::new(true), AtomicBool::new(false));
            let write = async {
                let right = Right::Claim(copied.claim);
                let written = self.write_page(right, partition, of_page, first, page, share, mode).await;
                is_writing.store(false, Ordering::Relaxed);
                written
            };
            let place = &mut copied.place;
            let prepare = async {
                let (page, share) = self.next_page(partition, &range, size).await?;
                let next = if self.cancel.is_cancelled() {
                    Next::Canceled
                } else if page.rows == 0 {
                    Next::End
                } else if check_due {
                    Next::LookAtSize
                } else if out_of_time() {
                    Next::OutOfTime
                } else {
                    Next::Page
                };
                if matches!(next, Next::Page) {
                    let before = unrecorded.clone();
                    let step = unrecorded.step(intent_of(&page));
                    let beside = self.store.beside();
                    let store = if is_writing.load(Ordering::Relaxed) { &beside } else { &self.store };
                    is_recording.store(true, Ordering::Relaxed);
                    if let Err(error) = place.advance(&**store, copied.claim, step).await {
                        // It is recorded with the page that is on its way, if anything can be.
                        unrecorded = before;
                        return Err(error);
                    }
                    is_recording.store(false, Ordering::Relaxed);
                }
                Ok::<_, CopyError>((page, share, next))
            };
            let (written, prepared) = match select(pin!(write), pin!(prepare)).await {
                Either::Left((written, prepare)) => {
                    let _waiting = is_recording.load(Ordering::Relaxed).then(|| self.store.waiting());
                    (written, prepare.await)
                }
                Either::Right((prepared, write)) => (write.await, prepared),
            };
            let sent = match written {
                Ok(sent) => sent,
                Err(error) => {
                    // What landed before it is recorded also where it can't go on.
                    self.advance(copied, unrecorded.step(None)).await?;
                    return Err(error);
                }
            };
            last_key = Some(key_text(&last));
            // Where nothing more is sent, nothing more is intended.
            let only_sent = last_key.clone().filter(|_| mode == WriteMode::Insert);
            unrecorded.add(last, sent, samples);
            let stop = match prepared {
                Ok((_, _, Next::Canceled)) => Ok(Slice::Canceled),
                Ok((_, _, Next::Page)) if self.cancel.is_cancelled() => Ok(Slice::Canceled),
                Ok((next_page, next_share, Next::Page | Next::End)) => {
                    (page, share) = (next_page, next_share);
                    continue;
                }
                Ok((next_page, next_share, Next::LookAtSize)) => {
                    // The store knows before the split is divided how far it is.
                    self.advance(copied, unrecorded.step(only_sent)).await?;
                    let divided = self.divide_if_too_large(copied, &range, checks.copied()).await?;
                    if !divided.is_empty() {
                        return Ok((Slice::More { divided }, Held::Still));
                    }
                    (page, share) = (next_page, next_share);
                    self.advance(copied, unrecorded.step(intent_of(&page))).await?;
                    continue;
                }
                Ok((_, _, Next::OutOfTime)) => Ok(Slice::More { divided: Vec::new() }),
                Err(CopyError::Canceled) => Ok(Slice::Canceled),
                Err(error) => Err(error),
            };
            self.advance(copied, unrecorded.step(only_sent)).await?;
            return stop.map(|slice| (slice, Held::Still));
        }
    }

    async fn advance(&self, copied: &mut Copied<'_>, ahead: Ahead) -> Result<(), CopyError> {
        copied.place.advance(&*self.store, copied.claim, ahead).await
    }

    /// Records the end of a range, and of the split unless the range was only a doubtful part of it. A split of which the
    /// source holds more rows than it answered is not at its end.
    async fn finish(
        &self,
        copied: &mut Copied<'_>,
        ahead: Ahead,
        mode: WriteMode,
    ) -> Result<(Slice, Held), CopyError> {
        if mode == WriteMode::Upsert {
            self.advance(copied, ahead).await?;
            return Ok((Slice::Done, Held::Still));
        }
        let recorded = self.store.split(copied.split.split_id).await?;
        let rows_read = recorded.progress.rows_read + ahead.progress.rows_read;
        match self.end_of(&recorded, rows_read).await {
            Ok(End::Complete(count)) => {
                let step = copied.place.step(ahead);
                self.store.finish_split(copied.claim, step, count).await?;
                Ok((Slice::Done, Held::No))
            }
            Ok(End::RowsMissed { distinct_keys }) if self.keys.can_upsert() => {
                let split = recorded.split_id;
                tracing::debug!(rows_read, distinct_keys, %split, "a split is read again");
                self.reopen(copied.claim, &recorded).await?;
                Ok((Slice::More { divided: Vec::new() }, Held::No))
            }
            Ok(End::RowsMissed { distinct_keys }) => {
                let text = format!("the source returned {rows_read} rows at first, then {distinct_keys}");
                Err(CopyError::InDoubt(text))
            }
            Err(error) => {
                // What landed is recorded also where it can't go on.
                self.advance(copied, ahead).await?;
                Err(error)
            }
        }
    }

    /// Reads the next page, when there is room for it.
    async fn next_page(
        &self,
        partition: Option<&str>,
        range: &KeyRange,
        size: &mut PageSize,
    ) -> Result<(Page, Share), CopyError> {
        size.limit(self.pace.page_max());
        let mut share = tokio::select! {
            share = self.budget.take(size.bytes()) => share,
            () = self.cancel.cancelled() => return Err(CopyError::Canceled),
        };
        let page = self.read_page(partition, range, size).await?;
        share.resize(page.bytes, &self.budget);
        size.came(page.rows, page.bytes);
        Ok((page, share))
    }

    /// Reads the next page of a range. Empty only if the range has no more rows.
    async fn read_page(
        &self,
        partition: Option<&str>,
        range: &KeyRange,
        size: &mut PageSize,
    ) -> Result<Page, CopyError> {
        let mut backoff = Backoff::new();
        loop {
            let query = Query {
                collection: &self.source_name,
                collection_id: self.source_id,
                selection: self.key_field.range(range),
                columns: &self.names,
                partition,
                rows_max: Some(size.rows()),
                consistency: self.consistency,
            };
            let waiting = self.pace.account().begin(Bottleneck::Source);
            let answer = tokio::select! {
                answer = self.source.query(&query) => answer,
                () = self.cancel.cancelled() => return Err(CopyError::Canceled),
            };
            drop(waiting);
            let error = match answer {
                // A page beyond what one insert may hold is asked for again, smaller.
                Ok(answer) if answer.len() > PAGE_BYTES_MAX && size.refused() => continue,
                Ok(answer) => {
                    crate::metrics::page_read();
                    return self.parse(&answer, range);
                }
                Err(error) => error,
            };
            if error.kind() == ErrorKind::TooLarge && size.refused() {
                continue;
            }
            let Verdict::Wait(wait) = backoff.after(error.kind()) else {
                return Err(CopyError::Source(error));
            };
            let (reason, bottleneck) = if error.kind() == ErrorKind::RateLimited {
                (Wait::SourceLimit, Bottleneck::SourceLimit)
            } else {
                (Wait::SourceBusy, Bottleneck::Source)
            };
            crate::metrics::retried(self.reads, error.kind());
            self.tell_waiting(reason);
            let _waiting = self.pace.account().begin(bottleneck);
            sleep(wait, &self.cancel).await;
            if error.kind() != ErrorKind::RateLimited {
                // A server that was away answers short while it loads again, without an error.
                match wait_until_complete(&self.source, self.reads, &self.source_name, &self.cancel).await {
                    Err(WaitError::Canceled) => return Err(CopyError::Canceled),
                    Err(WaitError::Server(error)) if !error.kind().is_transient() => {
                        return Err(CopyError::Source(error));
                    }
                    Ok(()) | Err(WaitError::Server(_)) => {}
                }
            }
        }
    }

    fn parse(&self, answer: &Bytes, range: &KeyRange) -> Result<Page, CopyError> {
        let page = Page::read(answer, &self.key_field, range.after.as_ref()).map_err(CopyError::Protocol)?;
        if page.rows > 0 {
            page.check_columns(self.names.iter().map(String::as_str)).map_err(CopyError::Protocol)?;
        }
        Ok(page)
    }

    pub(super) fn rows_of(&self, page: &Page) -> Result<Rows, WireError> {
        let mut columns = Vec::with_capacity(page.columns.len());
        for column in &page.columns {
            if self.keys == Keys::Regenerated && column.name == *self.key_field {
                continue;
            }
            if let Some(spec) = self.columns.iter().find(|spec| spec.name == column.name) {
                columns.push(insertable(column, spec, page.rows)?);
            }
        }
        Ok(Rows { columns, count: page.rows })
    }

    /// Writes a page until it is acknowledged. Returns rows and bytes written.
    #[allow(clippy::too_many_arguments, reason = "a page, and where it goes")]
    async fn write_page(
        &self,
        right: Right<'_>,
        partition: Option<&str>,
        range: KeyRange,
        first: Key,
        page: Page,
        share: Share,
        mode: WriteMode,
    ) -> Written {
        let (rows, of_page) = (self.rows_of(&page)?, page.rows as u64);
        // The columns hold what they need of the page's buffer.
        drop(page);
        let admitted = self.pace.admit(of_page, rows.bytes() as u64, &self.cancel).await;
        admitted.ok_or(CopyError::Canceled)?;
        let written = self.write_rows(right, partition, &rows, &range, first, mode).await;
        drop(rows);
        drop(share);
        let sent = written?;
        if sent.rows + sent.refused != of_page {
            // It was read again in smaller pages, and the source answered other rows than before.
            let text =
                format!("{of_page} rows were read, {} acknowledged and {} rejected", sent.rows, sent.refused);
            return Err(CopyError::Target(Error::new(ErrorKind::Malformed, "Insert", text)));
        }
        Ok(sent)
    }

    pub(super) async fn write_rows(
        &self,
        right: Right<'_>,
        partition: Option<&str>,
        rows: &Rows,
        range: &KeyRange,
        first: Key,
        mut mode: WriteMode,
    ) -> Written {
        let mut backoff = Backoff::new();
        loop {
            let error = match self.write_once(partition, rows, mode).await? {
                Ok(()) => {
                    let (count, bytes) = (rows.count as u64, rows.bytes() as u64);
                    let collection = self.shown_name.clone();
                    self.observer.on_event(Event::Copied { collection, rows: count, bytes });
                    self.refusals.accepted(count);
                    crate::metrics::written(count, bytes);
                    return Ok(Sent { rows: count, bytes, refused: 0 });
                }
                Err(error) => error,
            };
            tracing::debug!(%error, rows = rows.count, "a write failed");
            if mode == WriteMode::Insert && !error.precedes_execution() {
                if !self.keys.can_upsert() && !is_refusal(error.kind()) {
                    return Err(CopyError::InDoubt(error.to_string()));
                }
                self.record_doubt(right, partition, range).await?;
                if self.keys.can_upsert() {
                    // From now on only by upsert, which leaves one copy of each key; and counted at the end, because the
                    // insert may be held up on its way and land after the upsert.
                    mode = WriteMode::Upsert;
                    let is_halved = rows.count > 1 && is_about_rows(error.kind());
                    if !is_halved && Backoff::new().after(error.kind()) == Verdict::GiveUp {
                        // It is given up, or a row left out, only if the target does not take it this way either.
                        continue;
                    }
                }
            }
            if error.kind() == ErrorKind::TooLarge && rows.count > 1 {
                let half = rows.count / 2;
                return Box::pin(self.copy_in_smaller_pages(right, partition, range, half, mode)).await;
            }
            match backoff.after(error.kind()) {
                // A page that may have landed is brought to its end even if the user cancels meanwhile.
                Verdict::Wait(_) if self.cancel.is_cancelled() && mode == WriteMode::Insert => {
                    return Err(CopyError::Canceled);
                }
                Verdict::Wait(wait) => {
                    crate::metrics::retried(Side::Target, error.kind());
                    self.tell_waiting(target_wait(error.kind()));
                    let _waiting = self.pace.account().begin(target_bottleneck(error.kind()));
                    tokio::time::sleep(wait).await;
                }
                Verdict::GiveUp if is_about_rows(error.kind()) => {
                    if rows.count == 1 {
                        return self.set_aside(right, partition, first, error).await;
                    }
                    if self.refusals.are_too_many() {
                        let last = range.until.clone().unwrap_or_else(|| first.clone());
                        return Err(CopyError::RowsRefused { first, last, error });
                    }
                    // One of them, or some: halved until they stand alone.
                    let half = rows.count / 2;
                    return Box::pin(self.copy_in_smaller_pages(right, partition, range, half, mode)).await;
                }
                Verdict::GiveUp => return Err(CopyError::Target(error)),
            }
        }
    }

    /// Records that rows of a range may be on the target twice. Where keys are others on the target no range of them says
    /// anything, and the whole is in doubt.
    async fn record_doubt(
        &self,
        right: Right<'_>,
        partition: Option<&str>,
        range: &KeyRange,
    ) -> Result<(), CopyError> {
        let (partition, after, until) = match self.keys.can_upsert() {
            true => {
                let (after, until) = (range.after.as_ref().map(key_text), range.until.as_ref().map(key_text));
                (partition.map(str::to_owned), after, until)
            }
            false => (None, None, None),
        };
        Ok(self.store.record_doubt(right, partition, after, until).await?)
    }

    /// One insert, when there is a place for it; the inner result is the target's answer.
    async fn write_once(
        &self,
        partition: Option<&str>,
        rows: &Rows,
        mode: WriteMode,
    ) -> Result<Result<(), Error>, CopyError> {
        let place = self.pace.place().await.ok_or(CopyError::Canceled)?;
        let waiting = self.pace.account().begin(Bottleneck::Target);
        let answer = self.target.write(&self.write_name, partition, rows, mode).await;
        let failure = answer.as_ref().err().map(Error::kind);
        waiting.end_as(failure.map_or(Bottleneck::Target, target_bottleneck));
        place.answered(failure);
        Ok(answer)
    }

    /// Divides what is left of a split, if that is more than a split should hold. Returns the new splits.
    async fn divide_if_too_large(
        &self,
        copied: &Copied<'_>,
        range: &KeyRange,
        rows_copied: u64,
    ) -> Result<Vec<SplitId>, CopyError> {
        let split = copied.split;
        let reader = self.source_reader();
        let splits = self.store.splits(&self.job_id, split.collection).await?;
        let of_part = splits.iter().filter(|other| other.partition == split.partition).count();
        let limits =
            SplitLimits { splits_max: self.limits.splits_max.saturating_sub(of_part) + 1, ..self.limits };
        let counter = PartCounter { reader: &reader, partition: split.partition.as_deref() };
        let division = match Division::find(&counter, range, reader.key_is_text(), limits).await {
            Ok(division) => division,
            Err(_) if self.cancel.is_cancelled() => return Ok(Vec::new()),
            Err(error) => {
                // The split is copied as well in one piece; what is wrong with the source its pages will tell.
                tracing::debug!(%error, split = %split.split_id, "what is left of a split was not counted");
                return Ok(Vec::new());
            }
        };
        let mut divided = Vec::new();
        for cut in division.cuts(rows_copied) {
            let at = key_text(&cut.at);
            let upper = self.store.divide(copied.claim, at, (cut.below, cut.above)).await?;
            divided.push(upper.split_id);
        }
        Ok(divided)
    }

    /// The target refuses a page, for its size or for one of its rows: its range is read again in smaller pages.
    pub(crate) async fn copy_in_smaller_pages(
        &self,
        right: Right<'_>,
        partition: Option<&str>,
        range: &KeyRange,
        rows_max: usize,
        mode: WriteMode,
    ) -> Written {
        let (mut range, mut total) = (range.clone(), Sent::default());
        loop {
            let mut size = PageSize::fixed(rows_max);
            let page = self.read_page(partition, &range, &mut size).await?;
            let Some((first, last)) = page.keys.clone() else { return Ok(total) };
            let rows = self.rows_of(&page).map_err(CopyError::Protocol)?;
            drop(page);
            let of_page = KeyRange { after: range.after.replace(last.clone()), until: Some(last) };
            total += Box::pin(self.write_rows(right, partition, &rows, &of_page, first, mode)).await?;
        }
    }

    fn tell_waiting(&self, reason: Wait) {
        self.observer.on_event(Event::Waiting { collection: self.shown_name.clone(), reason });
    }
}

/// Whether the target's answer to a write says no, rather than that nobody knows. Some rows may have landed all the same,
/// but that is rare enough to go on, and to look at the end.
fn is_refusal(kind: ErrorKind) -> bool {
    !matches!(kind, ErrorKind::ConnectionLost | ErrorKind::Timeout | ErrorKind::Busy | ErrorKind::Malformed)
}

/// Whether it may be one of the rows that the target does not take.
fn is_about_rows(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Rejected | ErrorKind::TooLarge)
}

fn target_bottleneck(kind: ErrorKind) -> Bottleneck {
    match target_wait(kind) {
        Wait::TargetLimit | Wait::TargetDenies => Bottleneck::TargetLimit,
        Wait::TargetBusy | Wait::SourceLimit | Wait::SourceBusy => Bottleneck::Target,
    }
}

fn target_wait(kind: ErrorKind) -> Wait {
    if kind == ErrorKind::RateLimited {
        Wait::TargetLimit
    } else if kind == ErrorKind::WritesDenied {
        Wait::TargetDenies
    } else {
        Wait::TargetBusy
    }
}
