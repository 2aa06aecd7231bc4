//! One page on its way to the target: repeated until it is acknowledged, by upsert once it may have been written, and in
//! halves where the target does not take it whole.

use vecferry_milvus::wire::insert::Rows;
use vecferry_milvus::wire::rewrite::insertable;
use vecferry_milvus::wire::{Page, WireError};
use vecferry_milvus::{Error, ErrorKind, Key, KeyRange, WriteMode};
use vecferry_store::Right;

use super::budget::Share;
use super::copy_job::CopyJob;
use super::error::{CopyError, is_about_rows, is_refusal, target_bottleneck, target_wait};
use crate::cluster::retry::{Backoff, Verdict};
use crate::event::{Bottleneck, Event};
use crate::plan::Keys;
use crate::problem::{Side, Told, found, words_of};
use crate::read::PageSize;

/// What became of some rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    /// Rows that the target acknowledged.
    pub(super) rows: u64,
    /// Bytes of these rows on the wire.
    pub(super) bytes: u64,
    /// Rows that the target refuses, each one recorded.
    pub(super) refused: u64,
}

impl std::ops::AddAssign for Sent {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.refused += other.refused;
    }
}

/// How some rows were written.
pub(super) type Written = Result<Sent, CopyError>;

/// A page that is to be written, with its share of the memory.
pub(super) struct Outgoing {
    /// The keys that it stands for: behind those of the page before, and up to its last one.
    pub(super) range: KeyRange,
    pub(super) first: Key,
    pub(super) page: Page,
    pub(super) share: Share,
}

impl CopyJob {
    /// Writes a page until it is acknowledged. Returns rows and bytes written.
    pub(super) async fn write_page(
        &self,
        right: Right<'_>,
        partition: Option<&str>,
        outgoing: Outgoing,
        mode: WriteMode,
    ) -> Written {
        let Outgoing { range, first, page, share } = outgoing;
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
            let Sent { rows, refused, .. } = sent;
            let told = Told::both(
                format!("{of_page} rows were read, {rows} acknowledged and {refused} rejected"),
                format!("读取了 {of_page} 行，确认写入 {rows} 行，拒绝 {refused} 行"),
            );
            return Err(CopyError::Target(found(ErrorKind::Malformed, "Insert", told)));
        }
        Ok(sent)
    }

    /// Writes rows of a range until they are acknowledged. `first` is the key of the first of them.
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
                Ok(()) => return Ok(self.acknowledged(rows)),
                Err(error) => error,
            };
            tracing::debug!(%error, rows = rows.count, "a write failed");
            if mode == WriteMode::Insert && !error.precedes_execution() {
                mode = self.mode_after_doubt(right, partition, range, &error).await?;
                let is_halved = rows.count > 1 && is_about_rows(error.kind());
                let is_given_up = || Backoff::new().after(error.kind()) == Verdict::GiveUp;
                if mode == WriteMode::Upsert && !is_halved && is_given_up() {
                    // It is given up, or a row left out, only if the target does not take it this way either.
                    continue;
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
                        return Err(CopyError::RowsRefused { first, last, error: Box::new(error) });
                    }
                    // One of them, or some: halved until they stand alone.
                    let half = rows.count / 2;
                    return Box::pin(self.copy_in_smaller_pages(right, partition, range, half, mode)).await;
                }
                Verdict::GiveUp => return Err(CopyError::Target(error)),
            }
        }
    }

    /// Tells of rows that the target took.
    fn acknowledged(&self, rows: &Rows) -> Sent {
        let (count, bytes) = (rows.count as u64, rows.bytes() as u64);
        let collection = self.shown_name.clone();
        self.observer.on_event(Event::Copied { collection, rows: count, bytes });
        self.refusals.accepted(count);
        crate::metrics::written(count, bytes);
        Sent { rows: count, bytes, refused: 0 }
    }

    /// An insert failed, and may have landed: how to go on. By upsert where keys tell rows apart, which leaves one copy of
    /// each key; and counted at the end, because the insert may be held up on its way and land after the upsert.
    async fn mode_after_doubt(
        &self,
        right: Right<'_>,
        partition: Option<&str>,
        range: &KeyRange,
        error: &Error,
    ) -> Result<WriteMode, CopyError> {
        if !self.keys.can_upsert() && !is_refusal(error.kind()) {
            return Err(CopyError::InDoubt(words_of(error)));
        }
        self.record_doubt(right, partition, range).await?;
        Ok(if self.keys.can_upsert() { WriteMode::Upsert } else { WriteMode::Insert })
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

    /// The target refuses a page, for its size or for one of its rows: its range is read again in smaller pages.
    pub(super) async fn copy_in_smaller_pages(
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
}
