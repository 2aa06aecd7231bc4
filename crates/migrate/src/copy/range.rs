//! One range of keys from the source to the target: pages follow the keys upwards, each on its way to the target while the
//! next is read.
//!
//! What is in the store before a page is sent, and what only after it was acknowledged, is what makes a copy exact
//! after any crash; see the module documentation of `vecferry_store`'s splits.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{Either, select};
use vecferry_milvus::wire::Page;
use vecferry_milvus::{Key, KeyRange, WriteMode};
use vecferry_store::Right;

use super::budget::Share;
use super::copy_job::CopyJob;
use super::dispatch::Slice;
use super::error::CopyError;
use super::progress::{Copied, Held, Marks, Unrecorded};
use super::redivide::Checks;
use super::stride::Stride;
use super::writing::{Outgoing, Written};
use crate::read::{PageSize, key_text, range_of};

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

/// The next page, and what comes after the one that is on its way.
type Prepared = Result<(Page, Share, Next), CopyError>;

/// A range that is being copied.
pub(super) struct RangeCopy<'a, 'b> {
    copy: &'a CopyJob,
    copied: &'a mut Copied<'b>,
    /// What is left of it: behind the page that is on its way.
    range: KeyRange,
    size: &'a mut PageSize,
    mode: WriteMode,
    out_of_time: &'a (dyn Fn() -> bool + Sync),
    checks: Checks,
    unrecorded: Unrecorded,
    marks: Marks,
    last_key: Option<String>,
    is_first_page: bool,
    stride: Stride,
}

impl<'a, 'b> RangeCopy<'a, 'b> {
    pub(super) fn new(
        copy: &'a CopyJob,
        copied: &'a mut Copied<'b>,
        range: KeyRange,
        size: &'a mut PageSize,
        mode: WriteMode,
        out_of_time: &'a (dyn Fn() -> bool + Sync),
    ) -> Result<Self, CopyError> {
        let split = copied.split;
        // The ends of a range are always compared: that is where rows are lost first.
        let is_first_page = copy.sample.is_on()
            && split.cursor.is_none()
            && range.after == range_of(split.after.as_deref(), None)?.after;
        // Where an earlier slice came to the end and ran out of time before it knew.
        let last_key = split.cursor.clone();
        let (checks, unrecorded) = (Checks::new(split, mode), Unrecorded::default());
        let marks = Marks::new(copy.marking);
        let whole = range_of(split.after.as_deref(), split.until.as_deref())?;
        let stride = Stride::of(&whole, split.rows_planned);
        Ok(Self {
            copy,
            copied,
            range,
            size,
            mode,
            out_of_time,
            checks,
            unrecorded,
            marks,
            last_key,
            is_first_page,
            stride,
        })
    }

    /// Copies the range to its end, or until the time is up.
    pub(super) async fn run(mut self) -> Result<(Slice, Held), CopyError> {
        let (mut page, mut share) = self.next_page().await?;
        if let Some(intent) = self.intent_of(&page) {
            self.record(Some(intent)).await?;
        }
        loop {
            let Some((first, last)) = page.keys.clone() else {
                let mut step = self.unrecorded.step(None);
                step.samples.extend(self.last_key.filter(|_| self.copy.sample.is_on()));
                return self.copy.finish(self.copied, step, self.mode).await;
            };
            let samples = self.samples_of(&page, &first)?;
            let check_due = self.checks.is_due(page.rows as u64);
            let range = KeyRange { after: self.range.after.replace(last.clone()), until: Some(last.clone()) };
            let (written, prepared) = self.send(Outgoing { range, first, page, share }, check_due).await;
            let sent = match written {
                Ok(sent) => sent,
                Err(error) => {
                    // What landed before it is recorded also where it can't go on.
                    self.record(None).await?;
                    return Err(error);
                }
            };
            self.last_key = Some(key_text(&last));
            self.marks.page(&last, sent, &mut self.unrecorded);
            self.unrecorded.add(last, sent, samples);
            let stop = match prepared {
                Ok((_, _, Next::Canceled)) => Ok(Slice::Canceled),
                Ok((_, _, Next::Page)) if self.copy.cancel.is_cancelled() => Ok(Slice::Canceled),
                Ok((next_page, next_share, Next::Page | Next::End)) => {
                    (page, share) = (next_page, next_share);
                    continue;
                }
                Ok((next_page, next_share, Next::LookAtSize)) => {
                    // The store knows before the split is divided how far it is.
                    self.record(self.only_sent()).await?;
                    let rows_copied = self.checks.copied();
                    let divided =
                        self.copy.divide_if_too_large(self.copied, &self.range, rows_copied).await?;
                    if !divided.is_empty() {
                        return Ok((Slice::More { divided }, Held::Still));
                    }
                    (page, share) = (next_page, next_share);
                    self.record(self.intent_of(&page)).await?;
                    continue;
                }
                Ok((_, _, Next::OutOfTime)) => Ok(Slice::More { divided: Vec::new() }),
                Err(CopyError::Canceled) => Ok(Slice::Canceled),
                Err(error) => Err(error),
            };
            let recorded = self.record(self.only_sent()).await;
            // What went wrong first says why; what follows from it may look like something else.
            let slice = stop?;
            recorded?;
            return Ok((slice, Held::Still));
        }
    }

    async fn next_page(&mut self) -> Result<(Page, Share), CopyError> {
        self.size.limit(self.copy.pace.page_max());
        let (partition, asked) = (self.copied.split.partition.as_deref(), self.size.rows());
        if let Some(part) = self.stride.part_of(&self.range, asked) {
            let (page, share) = self.copy.next_page(partition, &part, self.size).await?;
            self.stride.came(asked, page.rows);
            if page.rows > 0 {
                self.stride.seen(part.after.as_ref(), page.rows, page.keys.as_ref());
                return Ok((page, share));
            }
        }
        let (page, share) = self.copy.next_page(partition, &self.range, self.size).await?;
        self.stride.seen(self.range.after.as_ref(), page.rows, page.keys.as_ref());
        Ok((page, share))
    }

    /// The last key that may be on the target once a page is sent. An upsert intends nothing: it can be repeated.
    fn intent_of(&self, page: &Page) -> Option<String> {
        let last = page.keys.as_ref().map(|(_, last)| key_text(last));
        last.filter(|_| self.mode == WriteMode::Insert)
    }

    /// Where nothing more is sent, nothing more is intended.
    fn only_sent(&self) -> Option<String> {
        self.last_key.clone().filter(|_| self.mode == WriteMode::Insert)
    }

    fn samples_of(&mut self, page: &Page, first: &Key) -> Result<Vec<String>, CopyError> {
        let partition = self.copied.split.partition.as_deref();
        let mut samples = self.copy.sample.of_page(page, &self.copy.key_field, partition)?;
        samples.extend(std::mem::take(&mut self.is_first_page).then(|| key_text(first)));
        Ok(samples)
    }

    /// Records what was sent by now, and what is about to be.
    async fn record(&mut self, intent: Option<String>) -> Result<(), CopyError> {
        let step = self.unrecorded.step(intent);
        self.copy.advance(self.copied, step).await
    }

    /// Sends a page. The next one is read, and recorded as the next to be sent, while this one is on its way.
    async fn send(&mut self, outgoing: Outgoing, check_due: bool) -> (Written, Prepared) {
        let (copy, mode) = (self.copy, self.mode);
        let (right, split) = (Right::Claim(self.copied.claim), self.copied.split);
        let (is_writing, is_recording) = (AtomicBool::new(true), AtomicBool::new(false));
        let write = async {
            let written = copy.write_page(right, split.partition.as_deref(), outgoing, mode).await;
            is_writing.store(false, Ordering::Relaxed);
            written
        };
        let prepare = self.prepare(check_due, &is_writing, &is_recording);
        match select(pin!(write), pin!(prepare)).await {
            Either::Left((written, prepare)) => {
                let _waiting = is_recording.load(Ordering::Relaxed).then(|| copy.store.waiting());
                (written, prepare.await)
            }
            Either::Right((prepared, write)) => (write.await, prepared),
        }
    }

    /// Reads the next page, and records it as the next to be sent if it is.
    async fn prepare(
        &mut self,
        check_due: bool,
        is_writing: &AtomicBool,
        is_recording: &AtomicBool,
    ) -> Prepared {
        let (page, share) = self.next_page().await?;
        let next = self.next(&page, check_due);
        if matches!(next, Next::Page) {
            let before = self.unrecorded.clone();
            let step = self.unrecorded.step(self.intent_of(&page));
            let beside = self.copy.store.beside();
            let store = if is_writing.load(Ordering::Relaxed) { &beside } else { &self.copy.store };
            is_recording.store(true, Ordering::Relaxed);
            if let Err(error) = self.copied.place.advance(&**store, self.copied.claim, step).await {
                // It is recorded with the page that is on its way, if anything can be.
                self.unrecorded = before;
                return Err(error);
            }
            is_recording.store(false, Ordering::Relaxed);
        }
        Ok((page, share, next))
    }

    fn next(&self, page: &Page, check_due: bool) -> Next {
        if self.copy.cancel.is_cancelled() {
            Next::Canceled
        } else if page.rows == 0 {
            Next::End
        } else if check_due {
            Next::LookAtSize
        } else if (self.out_of_time)() {
            Next::OutOfTime
        } else {
            Next::Page
        }
    }
}
