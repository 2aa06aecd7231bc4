//! Both sides' digests, one against the other in the order of keys.

use std::collections::BTreeSet;

use tokio::sync::mpsc;
use vecferry_milvus::wire::digest::Digest;
use vecferry_milvus::{Key, KeyRange};

use super::bounds::{Span, SpannedPart};
use super::marking::{Batch, Marked, Marker, ReadSpan};
use super::reading::{PageEnd, Piece, Side};
use super::{Differing, Digests, FollowSpans, SpanComparison, Writers, not_covered};
use crate::read::ReadError;
use crate::verify::window::different_results;

/// How often rows are read whose answers contradict each other, before that is no passing state.
const READS_MAX: u32 = 3;

/// Rows of a range within a span that differ.
#[derive(Clone, Debug)]
pub(crate) struct SpanFound<'a> {
    pub(crate) partition: Option<&'a str>,
    pub(crate) range: &'a KeyRange,
    /// Rows of the source in this range.
    pub(crate) source_rows: u64,
    /// Only on the source.
    pub(crate) missing: Vec<Key>,
    /// Only on the target.
    pub(crate) extra: Vec<Key>,
    /// On both sides, with different values.
    pub(crate) changed: Vec<Key>,
    /// Differing too, but the source holds several rows of the key, and which one it answers is not fixed.
    pub(crate) repeated: Vec<Key>,
    /// Rows that came or went while they were compared; only where writers go on.
    pub(crate) moved: Vec<Key>,
}

impl SpanFound<'_> {
    fn is_empty(&self) -> bool {
        let Self { partition: _, range: _, source_rows: _, missing, extra, changed, repeated, moved } = self;
        [missing, extra, changed, repeated, moved].iter().all(|keys| keys.is_empty())
    }
}

/// A span that was compared.
#[derive(Clone, Debug)]
pub(crate) struct SpanResult<'a> {
    pub(crate) partition: Option<&'a str>,
    pub(crate) range: &'a KeyRange,
    /// What it came to.
    pub(crate) rows: SpanRows,
    /// Bytes of both sides on the wire.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests look at it"))]
    pub(crate) bytes: u64,
    /// Bytes of these from the source.
    pub(crate) source_bytes: u64,
    /// Whether both sides hold the same; a row that the target refused is on one side only.
    pub(crate) is_equal: bool,
    /// It was found to be equal before, and was not read.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests look at it"))]
    pub(crate) is_known: bool,
}

/// Rows of a span by what they came to; each key counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SpanRows {
    pub(crate) source: u64,
    pub(crate) target: u64,
    /// On both sides.
    pub(crate) both: u64,
    /// Known to be missing on the target.
    pub(crate) set_aside: u64,
    pub(crate) missing: u64,
    pub(crate) extra: u64,
    pub(crate) changed: u64,
    pub(crate) repeated: u64,
    pub(crate) moved: u64,
}

impl SpanRows {
    fn add(&mut self, other: &Self) {
        let Self { source, target, both, set_aside, missing, extra, changed, repeated, moved } = other;
        for (sum, more) in [
            (&mut self.source, source),
            (&mut self.target, target),
            (&mut self.both, both),
            (&mut self.set_aside, set_aside),
            (&mut self.missing, missing),
            (&mut self.extra, extra),
            (&mut self.changed, changed),
            (&mut self.repeated, repeated),
            (&mut self.moved, moved),
        ] {
            *sum += more;
        }
    }

    /// Whether both sides hold the same.
    fn are_equal(&self) -> bool {
        let Self { source: _, target: _, both: _, set_aside, missing, extra, changed, repeated, moved } =
            self;
        [set_aside, missing, extra, changed, repeated, moved].iter().all(|rows| **rows == 0)
    }
}

/// Distinct keys of a part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PartRows {
    pub(crate) source: u64,
    pub(crate) target: u64,
    /// Of the source, known to be missing on the target.
    pub(crate) set_aside: u64,
}

/// What a comparison by spans came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct SpansOutcome {
    pub(crate) rows: SpanRows,
    /// In the order of the parts.
    pub(crate) parts: Vec<PartRows>,
    pub(crate) spans: u64,
    /// Spans that were known to be equal.
    pub(crate) spans_known: u64,
    /// Bytes of both sides on the wire.
    pub(crate) bytes: u64,
}

/// From where the pieces of one side come.
enum Feed<'a, D> {
    /// Read ahead, of all spans.
    Ahead(mpsc::Receiver<Piece>),
    /// Read when it is asked for, of one range.
    Again { side: &'a Side<'a, D>, rest: Option<KeyRange> },
}

/// How far one side is.
struct Cursor<'a, D> {
    feed: Feed<'a, D>,
    piece: Option<Piece>,
}

/// Some rows of one side.
#[derive(Debug, Default)]
struct Rows {
    keys: Vec<Key>,
    digests: Vec<Digest>,
}

/// Whether a key, or the end of everything, lies behind another.
fn is_behind(until: &Option<Key>, other: &Option<Key>) -> bool {
    match (until, other) {
        (None, Some(_)) => true,
        (Some(until), Some(other)) => until > other,
        (_, None) => false,
    }
}

impl<'a, D: Digests> Cursor<'a, D> {
    fn new(feed: Feed<'a, D>) -> Self {
        Self { feed, piece: None }
    }

    /// Sees to it that there is a piece, of this span and without a gap. Returns its pages if it is a new one.
    async fn fill(
        &mut self,
        within: (usize, &Span, &SpannedPart),
        after: &Option<Key>,
        last: &Option<Key>,
    ) -> Result<Vec<PageEnd>, ReadError> {
        let pages = match &mut self.piece {
            Some(_) => Vec::new(),
            empty => {
                let mut piece = match &mut self.feed {
                    Feed::Ahead(pieces) => pieces.recv().await.ok_or_else(not_covered)?,
                    Feed::Again { side, rest } => {
                        let range = rest.take().ok_or_else(not_covered)?;
                        let mut piece = side.piece(within, range, side.most()).await?;
                        *rest = piece.take_rest();
                        piece
                    }
                };
                let pages = std::mem::take(&mut piece.pages);
                *empty = Some(piece);
                pages
            }
        };
        let fits = self.piece.as_ref().is_some_and(|piece| {
            piece.span == within.0 && piece.range.after == *after && !is_behind(&piece.range.until, last)
        });
        if fits { Ok(pages) } else { Err(not_covered()) }
    }

    /// How far the rows at hand go.
    fn until(&self) -> Option<Key> {
        self.piece.as_ref().and_then(|piece| piece.range.until.clone())
    }

    /// Takes the rows up to a key.
    fn take(&mut self, until: &Option<Key>) -> Rows {
        let Some(mut piece) = self.piece.take() else { return Rows::default() };
        let len = match until {
            Some(until) => piece.keys.partition_point(|key| key <= until),
            None => piece.keys.len(),
        };
        let rows =
            Rows { keys: piece.keys.drain(..len).collect(), digests: piece.digests.drain(..len).collect() };
        if piece.range.until != *until {
            piece.range.after.clone_from(until);
            self.piece = Some(piece);
        }
        rows
    }
}

/// What both sides hold of a range.
#[derive(Debug, Default)]
struct Merged {
    both: u64,
    missing: Vec<Key>,
    extra: Vec<Key>,
    changed: Vec<Key>,
}

/// By key.
fn merge(source: Rows, target: Rows) -> Merged {
    let mut merged = Merged::default();
    let mut theirs = target.keys.into_iter().zip(target.digests).peekable();
    for (key, digest) in source.keys.into_iter().zip(source.digests) {
        while let Some((extra, _)) = theirs.next_if(|(other, _)| *other < key) {
            merged.extra.push(extra);
        }
        match theirs.next_if(|(other, _)| *other == key) {
            Some((_, other)) => {
                merged.both += 1;
                if other != digest {
                    merged.changed.push(key);
                }
            }
            None => merged.missing.push(key),
        }
    }
    merged.extra.extend(theirs.map(|(key, _)| key));
    merged
}

/// A range that lies within a span.
#[derive(Clone, Copy)]
struct Within<'a> {
    at: usize,
    span: &'a Span,
    part: &'a SpannedPart,
    range: &'a KeyRange,
    /// How often it was read.
    reads: u32,
}

/// What is known of the span that is compared now.
#[derive(Debug, Default)]
struct Tally {
    rows: SpanRows,
    /// Of the source.
    pages: Vec<PageEnd>,
    source_bytes: u64,
    target_bytes: u64,
}

/// Merges both sides.
pub(super) struct Merger<'a, S, T, F> {
    comparison: &'a SpanComparison<'a>,
    source: &'a Side<'a, S>,
    target: &'a Side<'a, T>,
    follow: &'a F,
}

impl<'a, S: Digests, T: Digests, F: FollowSpans> Merger<'a, S, T, F> {
    pub(super) fn new(
        comparison: &'a SpanComparison<'a>,
        source: &'a Side<'a, S>,
        target: &'a Side<'a, T>,
        follow: &'a F,
    ) -> Self {
        Self { comparison, source, target, follow }
    }

    /// Merges all spans, part by part, and checks that they leave no key of any part out.
    pub(super) async fn run(
        &self,
        of_source: mpsc::Receiver<Piece>,
        of_target: mpsc::Receiver<Piece>,
    ) -> Result<SpansOutcome, ReadError> {
        let spans = self.comparison.spans;
        let mut sides = (Cursor::new(Feed::Ahead(of_source)), Cursor::new(Feed::Ahead(of_target)));
        let mut outcome = SpansOutcome::default();
        let mut all = spans.all().iter().enumerate().peekable();
        for (at, part) in spans.parts().iter().enumerate() {
            let mut marker = Marker::new(self.comparison.tuning.span_bytes);
            let mut of_part = PartRows::default();
            let mut covered = part.range.after.clone();
            let mut is_whole = false;
            while let Some((number, span)) = all.next_if(|(_, span)| span.part == at) {
                // The first one begins with the range, each other one where the one before ended, and nothing is behind the
                // end.
                if is_whole || span.range.after != covered || is_behind(&span.range.until, &part.range.until)
                {
                    return Err(not_covered());
                }
                let rows = self.span((number, span, part), &mut sides, &mut marker, &mut outcome).await?;
                of_part.source += rows.source;
                of_part.target += rows.target;
                of_part.set_aside += rows.set_aside;
                covered.clone_from(&span.range.until);
                is_whole = covered == part.range.until;
            }
            if !is_whole {
                return Err(not_covered());
            }
            self.tell_marks(part, marker.end()).await?;
            outcome.parts.push(of_part);
        }
        if all.next().is_some() { Err(not_covered()) } else { Ok(outcome) }
    }

    /// Compares one span, or passes over it.
    async fn span(
        &self,
        (at, span, part): (usize, &Span, &SpannedPart),
        (source, target): &mut (Cursor<'_, S>, Cursor<'_, T>),
        marker: &mut Marker,
        outcome: &mut SpansOutcome,
    ) -> Result<SpanRows, ReadError> {
        let mut tally = Tally::default();
        match span.equal {
            Some(rows) => {
                tally.rows = SpanRows { source: rows, target: rows, both: rows, ..SpanRows::default() }
            }
            None => {
                let within = Within { at, span, part, range: &span.range, reads: 1 };
                self.merge(within, source, target, &mut tally).await?;
            }
        }
        let Tally { rows, pages, source_bytes, target_bytes } = tally;
        let (is_equal, is_known) = (rows.are_equal(), span.equal.is_some());
        let bytes = source_bytes + target_bytes;
        let partition = part.partition.as_deref();
        let range = &span.range;
        let result = SpanResult { partition, range, rows, bytes, source_bytes, is_equal, is_known };
        self.follow.on_span(&result).await?;
        let batch = if is_known {
            marker.end()
        } else {
            // Where only the target has rows, its pages say how long the span is.
            let bytes = source_bytes.max(target_bytes);
            marker.compared(&ReadSpan {
                range: &span.range,
                rows: rows.source,
                bytes,
                pages: &pages,
                is_equal,
            })
        };
        self.tell_marks(part, batch).await?;
        outcome.rows.add(&rows);
        outcome.spans += 1;
        outcome.spans_known += u64::from(is_known);
        outcome.bytes += bytes;
        Ok(rows)
    }

    async fn tell_marks(&self, part: &SpannedPart, batch: Option<Batch>) -> Result<(), ReadError> {
        let Some(Batch { range, marks, is_new }) = batch else { return Ok(()) };
        let partition = part.partition.as_deref();
        self.follow.on_marks(&Marked { partition, range: &range, marks: &marks, is_new }).await
    }

    /// Compares what both sides hold of a range, as far as both are read, until both reach its end.
    async fn merge(
        &self,
        within: Within<'_>,
        source: &mut Cursor<'_, S>,
        target: &mut Cursor<'_, T>,
        tally: &mut Tally,
    ) -> Result<(), ReadError> {
        let mut after = within.range.after.clone();
        let last = &within.range.until;
        let of = (within.at, within.span, within.part);
        loop {
            let (of_source, of_target) =
                tokio::join!(source.fill(of, &after, last), target.fill(of, &after, last));
            tally.came(of_source?, of_target?);
            let (mine, theirs) = (source.until(), target.until());
            let until = if is_behind(&mine, &theirs) { theirs } else { mine };
            let range = KeyRange { after, until: until.clone() };
            let rows = (source.take(&until), target.take(&until));
            self.judge(Within { range: &range, ..within }, rows, tally).await?;
            if until == *last {
                return Ok(());
            }
            after = until;
        }
    }

    /// Says what the rows of a range come to. A row that is not in an answer is asked for by its key before it counts as
    /// missing or extra: a server that loads answers short, without an error.
    async fn judge(
        &self,
        within: Within<'_>,
        (of_source, of_target): (Rows, Rows),
        tally: &mut Tally,
    ) -> Result<(), ReadError> {
        let (source, target) = (of_source.keys.len() as u64, of_target.keys.len() as u64);
        let merged = merge(of_source, of_target);
        let mut rows = SpanRows { source, target, both: merged.both, ..SpanRows::default() };
        if merged.missing.is_empty() && merged.extra.is_empty() && merged.changed.is_empty() {
            tally.rows.add(&rows);
            return Ok(());
        }
        if self.comparison.differing == Differing::Left {
            (rows.missing, rows.extra) = (merged.missing.len() as u64, merged.extra.len() as u64);
            rows.changed = merged.changed.len() as u64;
            tally.rows.add(&rows);
            return Ok(());
        }
        let Within { part, range, .. } = within;
        let (on_target, on_source) = tokio::try_join!(
            self.target.present(part, &merged.missing),
            self.source.present(part, &merged.extra),
        )?;
        let is_steady = on_target.is_empty() && on_source.is_empty();
        if !is_steady && self.comparison.writers == Writers::Stopped {
            return self.again(within, tally).await;
        }
        let partition = part.partition.as_deref();
        let (missing, mut moved) = split(merged.missing, |key| !on_target.contains(key));
        let (extra, came) = split(merged.extra, |key| !on_source.contains(key));
        moved.extend(came);
        let set_aside = self.comparison.layout.set_aside;
        let is_known = |key: &Key| {
            !set_aside.is_empty() && set_aside.contains(&(partition.map(str::to_owned), key.clone()))
        };
        let (missing, known) = split(missing, |key| !is_known(key));
        let (changed, repeated) = self.unrepeated(part, merged.changed).await?;
        rows.set_aside = known.len() as u64;
        (rows.missing, rows.extra) = (missing.len() as u64, extra.len() as u64);
        (rows.changed, rows.repeated) = (changed.len() as u64, repeated.len() as u64);
        rows.moved = moved.len() as u64;
        tally.rows.add(&rows);
        let found =
            SpanFound { partition, range, source_rows: source, missing, extra, changed, repeated, moved };
        if found.is_empty() { Ok(()) } else { self.follow.on_found(&found).await }
    }

    /// Reads a range once more on both sides.
    async fn again(&self, within: Within<'_>, tally: &mut Tally) -> Result<(), ReadError> {
        if within.reads >= READS_MAX {
            return Err(different_results().into());
        }
        let rest = || Some(within.range.clone());
        let mut source = Cursor::new(Feed::Again { side: self.source, rest: rest() });
        let mut target = Cursor::new(Feed::Again { side: self.target, rest: rest() });
        // How long a span is was seen when it was read first.
        let mut of_range = Tally::default();
        let within = Within { reads: within.reads + 1, ..within };
        Box::pin(self.merge(within, &mut source, &mut target, &mut of_range)).await?;
        tally.rows.add(&of_range.rows);
        Ok(())
    }

    /// Of a key that the source repeats, different values say nothing.
    async fn unrepeated(
        &self,
        part: &SpannedPart,
        changed: Vec<Key>,
    ) -> Result<(Vec<Key>, Vec<Key>), ReadError> {
        if changed.is_empty() {
            return Ok((changed, Vec::new()));
        }
        let single: BTreeSet<_> = self.source.unrepeated(part, changed.clone()).await?.into_iter().collect();
        Ok(split(changed, |key| single.contains(key)))
    }
}

impl Tally {
    fn came(&mut self, of_source: Vec<PageEnd>, of_target: Vec<PageEnd>) {
        let bytes = |pages: &[PageEnd]| pages.iter().map(|page| page.bytes).sum::<u64>();
        self.source_bytes += bytes(&of_source);
        self.target_bytes += bytes(&of_target);
        self.pages.extend(of_source);
    }
}

/// Those that pass, and the others.
fn split(keys: Vec<Key>, passes: impl Fn(&Key) -> bool) -> (Vec<Key>, Vec<Key>) {
    keys.into_iter().partition(passes)
}
