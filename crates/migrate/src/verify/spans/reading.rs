//! One side's rows as digests, span by span, ahead of what is merged.
//!
//! A query that has begun is always waited for, and nothing else is done meanwhile that could wait for its memory: a reader
//! first waits for its turn, and only then for the memory of a page, which it gives back before anybody takes what it read.
//! So neither side can keep the other from going on.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use vecferry_milvus::wire::digest::Digest;
use vecferry_milvus::{Key, KeyRange};

use super::bounds::{Span, SpannedPart};
use super::sizes::{Most, Sizes, key_bytes};
use super::{Digests, SpanComparison, not_covered};
use crate::copy::{Budget, Waiting};
use crate::read::ReadError;

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
    /// Its memory, if there was some.
    waiting: Option<Waiting>,
}

impl Piece {
    /// The rest of its span.
    pub(super) fn take_rest(&mut self) -> Option<KeyRange> {
        self.rest.take()
    }
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
    fn sizes(&self) -> MutexGuard<'_, Sizes> {
        self.sizes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a piece may hold for which there is memory.
    pub(super) fn most(&self) -> Most {
        Most::counted(self.piece_rows_max)
    }

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
        most: Most,
    ) -> Result<Piece, ReadError> {
        let mut piece = Piece {
            span: at,
            range: range.clone(),
            keys: VecDeque::new(),
            digests: VecDeque::new(),
            pages: Vec::new(),
            rest: None,
            turn: None,
            waiting: None,
        };
        if !(self.exists)(part) {
            return Ok(piece);
        }
        let mut ahead = range;
        loop {
            let (mut size, bytes) = self.sizes().next(span.rows, most, self.budget.fair_bytes());
            let asked = size.clone();
            let share = self.budget.take(bytes).await;
            let page = self.digests.digests(part.partition.as_deref(), &ahead, &mut size).await?;
            drop(share);
            self.sizes().learn((&asked, &size));
            let Some(last) = page.keys.last().cloned() else {
                return Ok(piece);
            };
            if !follows(&ahead, &page.keys) || page.keys.len() != page.digests.len() {
                return Err(not_covered());
            }
            self.sizes().came(&page.keys, page.bytes);
            let rows = page.keys.len() as u64;
            piece.pages.push(PageEnd { last: last.clone(), rows, bytes: page.bytes as u64 });
            piece.keys.extend(page.keys);
            piece.digests.extend(page.digests);
            if ahead.until.as_ref() == Some(&last) {
                return Ok(piece);
            }
            ahead.after = Some(last.clone());
            if piece.keys.len() >= most.piece_rows || key_bytes(&piece.keys) >= most.key_bytes {
                piece.range.until = Some(last);
                piece.rest = Some(ahead);
                return Ok(piece);
            }
        }
    }
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
    /// All turns but those of the other readers.
    turns_alone: u32,
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
            sizes: Mutex::new(Sizes::new(comparison.layout.columns, tuning.span_bytes)),
            piece_rows_max: tuning.piece_rows_max,
        };
        let turns_alone = u32::try_from((ahead + 1).saturating_sub(tuning.readers.max(1))).unwrap_or(1);
        Self { side, comparison, turns: Arc::new(Semaphore::new(ahead)), turns_alone }
    }

    /// Memory for a piece of a span, if there is some now.
    fn memory(&self, span: &Span) -> Option<Waiting> {
        let bytes = self.side.sizes().digested_bytes(span.rows, self.side.most());
        self.comparison.budget.wait_with(bytes)
    }

    /// Reads a piece. Where there is no memory for it, it is small, and is read when hardly any other one waits: no more
    /// than all readers might have begun, because none of them can wait for one that comes behind it.
    async fn read(
        &self,
        at: usize,
        range: KeyRange,
        mut waiting: Option<Waiting>,
    ) -> Result<Piece, ReadError> {
        let piece_rows = self.side.piece_rows_max;
        let (turns, most) = match &waiting {
            Some(_) => (1, self.side.most()),
            None => (self.turns_alone, Most::uncounted(piece_rows)),
        };
        // Never closed while it is waited for.
        let turns = Arc::clone(&self.turns).acquire_many_owned(turns).await;
        let turn = turns.map_err(|_| ReadError::Canceled)?.split(1);
        let span = &self.comparison.spans.all()[at];
        let part = self.comparison.spans.part(span);
        let mut piece = self.side.piece((at, span, part), range, most).await?;
        if let Some(waiting) = &mut waiting {
            waiting.resize(key_bytes(&piece.keys) + piece.digests.len() * size_of::<Digest>());
        }
        (piece.turn, piece.waiting) = (turn, waiting);
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
    let spans = ahead.comparison.spans.all();
    let next = |from: usize| (from..spans.len()).find(|at| spans[*at].equal.is_none());
    let mut todo = next(0);
    let mut reading = FuturesOrdered::new();
    loop {
        while reading.len() < ahead.comparison.tuning.readers.max(1)
            && let Some(at) = todo
        {
            let memory = ahead.memory(&spans[at]);
            // One goes on also without.
            if memory.is_none() && !reading.is_empty() {
                break;
            }
            reading.push_back(ahead.read(at, spans[at].range.clone(), memory));
            todo = next(at + 1);
        }
        let Some(piece) = reading.next().await else { return Ok(()) };
        let mut piece = piece?;
        if let Some(rest) = piece.take_rest() {
            let memory = ahead.memory(&spans[piece.span]);
            reading.push_front(ahead.read(piece.span, rest, memory));
        }
        // Whom it is for has failed, and says why.
        if pieces.send(piece).await.is_err() {
            return Ok(());
        }
    }
}
