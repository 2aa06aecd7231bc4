//! One side's rows as digests, span by span, ahead of what is merged.
//!
//! A query that has begun is always waited for, and nothing else is done meanwhile that could wait for its memory: a reader
//! first waits for its turn, and only then for the memory of a page, which it gives back before anybody takes what it read.
//! So neither side can keep the other from going on.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use vecferry_milvus::wire::digest::Digest;
use vecferry_milvus::{Key, KeyRange};

use super::bounds::{Span, SpannedPart};
use super::{Digests, KEY_BYTES_MAX, SpanComparison, not_covered};
use crate::copy::Budget;
use crate::read::{PAGE_ROWS_MAX, PageSize, ReadError};

/// Pieces of one side that may be read and not merged yet.
pub(super) const AHEAD: usize = 8;

/// The end of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PageEnd {
    pub(super) last: Key,
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

/// What one side holds of a span, or of a part of it.
#[derive(Debug)]
pub(super) struct Piece {
    /// The place of its span.
    pub(super) span: usize,
    /// Every key of this range that has a row is here, as far as the server answered.
    pub(super) range: KeyRange,
    pub(super) keys: VecDeque<Key>,
    /// One a key.
    pub(super) digests: VecDeque<Digest>,
    pub(super) pages: Vec<PageEnd>,
    /// The rest of the span.
    rest: Option<KeyRange>,
    /// Its place among those that are not merged; free when it is dropped.
    turn: Option<OwnedSemaphorePermit>,
}

impl Piece {
    /// The rest of its span.
    pub(super) fn take_rest(&mut self) -> Option<KeyRange> {
        self.rest.take()
    }
}

/// What all pages of a side say of the next ones.
struct Sizes {
    page: PageSize,
    /// Bytes of a row of the last page.
    row_bytes: usize,
}

/// One side of the comparison.
pub(super) struct Side<'a, D> {
    digests: &'a D,
    /// Whether this side has a part.
    exists: fn(&SpannedPart) -> bool,
    budget: &'a Budget,
    sizes: Mutex<Sizes>,
    piece_rows_max: usize,
}

impl<D: Digests> Side<'_, D> {
    pub(super) async fn present(&self, part: &SpannedPart, keys: &[Key]) -> Result<BTreeSet<Key>, ReadError> {
        if keys.is_empty() || !(self.exists)(part) {
            return Ok(BTreeSet::new());
        }
        self.digests.present(part.partition.as_deref(), keys).await
    }

    pub(super) async fn unrepeated(&self, part: &SpannedPart, keys: Vec<Key>) -> Result<Vec<Key>, ReadError> {
        self.digests.unrepeated(part.partition.as_deref(), keys).await
    }

    /// Reads a range, or its beginning if it is long: page by page, until the last key is the range's bound or a page is
    /// empty. A page that is merely short says nothing.
    pub(super) async fn piece(
        &self,
        (at, span, part): (usize, &Span, &SpannedPart),
        range: KeyRange,
    ) -> Result<Piece, ReadError> {
        let mut piece = Piece {
            span: at,
            range: range.clone(),
            keys: VecDeque::new(),
            digests: VecDeque::new(),
            pages: Vec::new(),
            rest: None,
            turn: None,
        };
        if !(self.exists)(part) {
            return Ok(piece);
        }
        let mut ahead = range;
        let expected = rows_max(span.rows);
        loop {
            let (mut size, bytes) = self.next_size(span, expected);
            let share = self.budget.take(bytes).await;
            let page = self.digests.digests(part.partition.as_deref(), &ahead, &mut size).await?;
            drop(share);
            let Some(last) = page.keys.last().cloned() else {
                return Ok(piece);
            };
            if !follows(&ahead, &page.keys) || page.keys.len() != page.digests.len() {
                return Err(not_covered());
            }
            self.came(&page.keys, page.bytes);
            let rows = page.keys.len() as u64;
            piece.pages.push(PageEnd { last: last.clone(), rows, bytes: page.bytes as u64 });
            piece.keys.extend(page.keys);
            piece.digests.extend(page.digests);
            if ahead.until.as_ref() == Some(&last) {
                return Ok(piece);
            }
            ahead.after = Some(last.clone());
            if piece.keys.len() >= self.piece_rows_max || key_bytes(&piece.keys) >= KEY_BYTES_MAX {
                piece.range.until = Some(last);
                piece.rest = Some(ahead);
                return Ok(piece);
            }
        }
    }

    /// Rows to ask for, and the bytes that may come: a span that was long may be one page all the same.
    fn next_size(&self, span: &Span, expected: usize) -> (PageSize, usize) {
        let sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut size, row_bytes) = (sizes.page.clone(), sizes.row_bytes);
        drop(sizes);
        if span.rows > 0 {
            size.at_least(expected);
        }
        let rows = usize::try_from(span.rows).unwrap_or(usize::MAX).min(size.rows() as usize);
        let bytes = size.bytes().max(rows.saturating_mul(row_bytes));
        (size, bytes)
    }

    /// Later pages are as large as wanted, and bring no more keys than memory is reckoned with.
    fn came(&self, keys: &[Key], bytes: usize) {
        let key_bytes = (key_bytes(keys) / keys.len().max(1)).max(1);
        let rows_max = u32::try_from(KEY_BYTES_MAX / key_bytes).unwrap_or(PAGE_ROWS_MAX);
        let mut sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        sizes.page.limit((rows_max.min(PAGE_ROWS_MAX), usize::MAX));
        sizes.page.came(keys.len(), bytes);
        sizes.row_bytes = bytes / keys.len().max(1);
    }
}

/// Rows to ask for at most, of a span that held so many: half as many more, because some come between others, and the rows
/// behind the last mark of a split are before the first one of the next.
pub(in crate::verify) fn rows_max(rows: u64) -> usize {
    let rows = usize::try_from(rows).unwrap_or(usize::MAX);
    rows.saturating_add(rows / 2 + 64).min(PAGE_ROWS_MAX as usize)
}

/// Bytes of keys in memory.
pub(in crate::verify) fn key_bytes<'a>(keys: impl IntoIterator<Item = &'a Key>) -> usize {
    let bytes = |key: &Key| match key {
        Key::Int(_) => 0,
        Key::Text(text) => text.len(),
    };
    keys.into_iter().map(|key| size_of::<Key>() + bytes(key)).sum()
}

/// Whether keys strictly increase and lie in a range: a server that does not keep to the bounds would have its rows counted
/// twice, or taken for those of another span.
fn follows(range: &KeyRange, keys: &[Key]) -> bool {
    let begins = range.after.as_ref().is_none_or(|after| keys.first() > Some(after));
    let ends = range.until.as_ref().is_none_or(|until| keys.last() <= Some(until));
    begins && ends && keys.is_sorted_by(|one, next| one < next)
}

/// A side that is read ahead.
pub(super) struct Ahead<'a, D> {
    pub(super) side: Side<'a, D>,
    comparison: &'a SpanComparison<'a>,
    turns: Arc<Semaphore>,
}

impl<'a, D: Digests> Ahead<'a, D> {
    pub(super) fn new(
        comparison: &'a SpanComparison<'a>,
        digests: &'a D,
        exists: fn(&SpannedPart) -> bool,
        ahead: usize,
    ) -> Self {
        let tuning = comparison.tuning;
        let side = Side {
            digests,
            exists,
            budget: comparison.budget,
            sizes: Mutex::new(Sizes {
                page: PageSize::new(comparison.layout.columns, tuning.span_bytes),
                row_bytes: 0,
            }),
            piece_rows_max: tuning.piece_rows_max,
        };
        Self { side, comparison, turns: Arc::new(Semaphore::new(ahead)) }
    }

    async fn read(&self, at: usize, range: KeyRange) -> Result<Piece, ReadError> {
        // Never closed while it is waited for.
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| ReadError::Canceled)?;
        let span = &self.comparison.spans.all()[at];
        let part = self.comparison.spans.part(span);
        let mut piece = self.side.piece((at, span, part), range).await?;
        piece.turn = Some(turn);
        Ok(piece)
    }
}

/// Where pieces go: there is room for all that have a turn, so that nobody waits to get rid of one.
pub(super) fn channel(ahead: usize) -> (mpsc::Sender<Piece>, mpsc::Receiver<Piece>) {
    mpsc::channel(ahead + 1)
}

/// Reads all spans that are to be compared, several at the same time, and passes them on in their order.
pub(super) async fn read_ahead<D: Digests>(
    ahead: &Ahead<'_, D>,
    pieces: mpsc::Sender<Piece>,
) -> Result<(), ReadError> {
    let spans = ahead.comparison.spans.all().iter().enumerate();
    let mut todo = spans.filter(|(_, span)| span.equal.is_none());
    let mut reading = FuturesOrdered::new();
    loop {
        while reading.len() < ahead.comparison.tuning.readers.max(1)
            && let Some((at, span)) = todo.next()
        {
            reading.push_back(ahead.read(at, span.range.clone()));
        }
        let Some(piece) = reading.next().await else { return Ok(()) };
        let mut piece = piece?;
        if let Some(rest) = piece.take_rest() {
            reading.push_front(ahead.read(piece.span, rest));
        }
        // Whom it is for has failed, and says why.
        if pieces.send(piece).await.is_err() {
            return Ok(());
        }
    }
}
