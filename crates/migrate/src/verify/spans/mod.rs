//! Every row of a collection: source against target, by spans of keys.
//!
//! A *span* is a short range of keys whose bounds were recorded when its rows were copied or compared last. Both sides are
//! asked for the same spans, each on its own: neither waits for the other's page, and a span whose bounds still fit is one
//! query a side, because an answer that ends at the span's bound is the whole span. A page is turned into digests and
//! dropped ([`reading`]); the digests of both sides are merged in the order of keys ([`merging`]). From the sizes of what
//! was read follow better bounds for the next time ([`marking`]).
//!
//! Bounds need not fit: rows may have come between and behind them, and gone. What counts is that they leave no gap. So
//! the first span of each part begins, and its last one ends, where the range does that is compared; and that the ranges which were read and
//! compared follow each other without a gap is checked with every one of them.

mod bounds;
mod marking;
mod merging;
mod reading;
mod sizes;

#[cfg(test)]
mod between_servers;
#[cfg(test)]
mod peak;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use vecferry_milvus::{ErrorKind, Key, KeyRange};

pub(crate) use self::bounds::{Mark, Span, SpannedPart, Spans, UnfitMarks};
pub(crate) use self::marking::Marked;
#[cfg(test)]
pub(crate) use self::marking::NewMark;
use self::merging::Merger;
pub(crate) use self::merging::{PartRows, SpanFound, SpanResult, SpansOutcome};
use self::reading::{AHEAD, Ahead, read_ahead};
pub(super) use self::sizes::{Most, Sizes, key_bytes};
use super::by_key::keys_present;
use super::expect::unrepeated;
use super::window::Layout;
use crate::copy::Budget;
use crate::problem::{Told, found};
use crate::read::{DigestPage, PageSize, ReadError, Reader};

/// Size of a page of a span that is aimed at.
pub(super) const SPAN_BYTES: usize = 6 << 20;
/// Queries of one side at the same time.
const READERS: usize = 4;
/// Rows of one side that are read of a span before they are merged.
const PIECE_ROWS_MAX: usize = 16_384;
/// Bytes of keys that a page may bring: digests are small, and keys may have 65,535 bytes each.
const KEY_BYTES_MAX: usize = 1 << 20;

/// One side: the digests of its rows in key order.
pub(crate) trait Digests {
    /// The next rows of a range. Empty only if it has no more.
    async fn digests(
        &self,
        partition: Option<&str>,
        range: &KeyRange,
        size: &mut PageSize,
    ) -> Result<DigestPage, ReadError>;

    /// The keys among these that have a row, asked when the server is complete.
    async fn present(&self, partition: Option<&str>, keys: &[Key]) -> Result<BTreeSet<Key>, ReadError>;

    /// The keys among these that stand for one row only.
    async fn unrepeated(&self, partition: Option<&str>, keys: Vec<Key>) -> Result<Vec<Key>, ReadError>;
}

impl Digests for Reader {
    async fn digests(
        &self,
        partition: Option<&str>,
        range: &KeyRange,
        size: &mut PageSize,
    ) -> Result<DigestPage, ReadError> {
        self.digest_page(partition, range, size).await
    }

    async fn present(&self, partition: Option<&str>, keys: &[Key]) -> Result<BTreeSet<Key>, ReadError> {
        self.wait_until_complete().await?;
        keys_present(self, partition, keys).await
    }

    async fn unrepeated(&self, partition: Option<&str>, keys: Vec<Key>) -> Result<Vec<Key>, ReadError> {
        unrepeated(self, partition, keys).await
    }
}

/// Told of everything that a comparison finds, in key order; it goes on when these return.
pub(crate) trait FollowSpans {
    /// Rows of a span differ. Of one span this may come several times, so that memory stays bounded.
    async fn on_found(&self, found: &SpanFound<'_>) -> Result<(), ReadError>;

    /// A span was compared, or was known to be equal.
    async fn on_span(&self, span: &SpanResult<'_>) -> Result<(), ReadError>;

    /// Bounds for some spans, one behind the other, that were compared.
    async fn on_marks(&self, marked: &Marked<'_>) -> Result<(), ReadError>;
}

/// What a row means that was missing in an answer and is there when it is asked for by its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writers {
    /// It came, or went, meanwhile: it is counted as moved.
    GoOn,
    /// The answer was short: the rows are read again.
    Stopped,
}

/// What becomes of a span whose rows differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Differing {
    /// Its rows are asked for by their keys, and told.
    Told,
    /// It is told as not equal, and no more: whoever is told looks at it. Its rows are counted as they were answered.
    Left,
}

/// How a comparison by spans goes about it.
#[derive(Clone, Debug)]
pub(crate) struct SpanTuning {
    /// Size of a page that is aimed at.
    pub(crate) span_bytes: usize,
    /// Queries of one side at the same time.
    pub(crate) readers: usize,
    /// Rows of one side that are read of a span before they are merged.
    pub(crate) piece_rows_max: usize,
}

impl Default for SpanTuning {
    fn default() -> Self {
        Self { span_bytes: SPAN_BYTES, readers: READERS, piece_rows_max: PIECE_ROWS_MAX }
    }
}

/// What a comparison by spans is about.
#[derive(Clone, Copy)]
pub(crate) struct SpanComparison<'a> {
    pub(crate) layout: Layout<'a>,
    pub(crate) spans: &'a Spans,
    pub(crate) writers: Writers,
    pub(crate) differing: Differing,
    pub(crate) tuning: &'a SpanTuning,
    /// Bytes in flight of the whole job.
    pub(crate) budget: &'a Budget,
}

impl SpanComparison<'_> {
    /// Compares all spans. Both sides are read independently, each at most some spans ahead of what is merged.
    pub(crate) async fn compare(
        &self,
        source: &impl Digests,
        target: &impl Digests,
        follow: &impl FollowSpans,
    ) -> Result<SpansOutcome, ReadError> {
        // A span that waits for its turn needs room behind those that are read already.
        let ahead = AHEAD.max(self.tuning.readers + 1);
        let of_source = Ahead::new(self, source, |part| part.in_source, ahead);
        let of_target = Ahead::new(self, target, |part| part.in_target, ahead);
        let ((from_source, source_pieces), (from_target, target_pieces)) =
            (reading::channel(ahead), reading::channel(ahead));
        let merger = Merger::new(self, &of_source.side, &of_target.side, follow);
        let ((), (), outcome) = tokio::try_join!(
            read_ahead(&of_source, from_source),
            read_ahead(&of_target, from_target),
            merger.run(source_pieces, target_pieces),
        )?;
        Ok(outcome)
    }
}

/// What was read does not follow what was read before it: nothing may be concluded from it.
fn not_covered() -> ReadError {
    let told =
        Told::both("the key ranges that were read leave a gap or overlap", "读取的主键范围之间有缺口或重叠");
    found(ErrorKind::Malformed, "Query", told).into()
}
