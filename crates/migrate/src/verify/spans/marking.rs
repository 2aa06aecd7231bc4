//! Better bounds for the next comparison, from the pages of this one: long spans are cut where a page ended, short ones are
//! joined with the next.

use vecferry_milvus::{Key, KeyRange};

use super::reading::PageEnd;

/// Spans whose bounds are recorded together.
const SPANS_TOGETHER: usize = 32;
/// A span of less than a page's size divided by this is joined with the next.
const JOINED_SHARE: u64 = 4;

/// Bounds of some spans, one behind the other.
#[derive(Debug)]
pub(crate) struct Marked<'a> {
    pub(crate) partition: Option<&'a str>,
    /// What they cover; nothing that was recorded inside of it holds any more.
    pub(crate) range: &'a KeyRange,
    /// Their ends in order; the last one is the range's.
    pub(crate) marks: &'a [NewMark],
    /// Whether they are other bounds than those of before.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests look at it"))]
    pub(crate) is_new: bool,
}

/// The end of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewMark {
    pub(crate) until: Option<Key>,
    /// Rows of the source.
    pub(crate) rows: u64,
    /// Whether both sides hold the same. Only such spans are joined, so that the ends of others are found again.
    pub(crate) is_equal: bool,
}

/// A span as it was read.
pub(super) struct ReadSpan<'a> {
    pub(super) range: &'a KeyRange,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) pages: &'a [PageEnd],
    pub(super) is_equal: bool,
}

/// Bounds that were gathered.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) range: KeyRange,
    pub(super) marks: Vec<NewMark>,
    pub(super) is_new: bool,
}

/// Gathers the bounds of a part's spans.
#[derive(Debug)]
pub(super) struct Marker {
    page_bytes: u64,
    batch: Option<Batch>,
    spans: usize,
    /// Bytes of the last mark's span while it may be joined with the next.
    open_bytes: Option<u64>,
}

impl Marker {
    pub(super) fn new(page_bytes: usize) -> Self {
        Self { page_bytes: (page_bytes as u64).max(1), batch: None, spans: 0, open_bytes: None }
    }

    /// Takes a span that was compared. Returns bounds that are to be recorded, if there are enough.
    pub(super) fn compared(&mut self, span: &ReadSpan<'_>) -> Option<Batch> {
        let is_short = span.is_equal && span.bytes < self.page_bytes / JOINED_SHARE;
        let joins = self.open_bytes.take().filter(|_| span.is_equal);
        let cut = self.cut(span);
        let batch = self.batch.get_or_insert_with(|| Batch {
            range: KeyRange { after: span.range.after.clone(), until: None },
            marks: Vec::new(),
            is_new: false,
        });
        batch.is_new |= cut.len() > 1 || joins.is_some();
        let before = joins.and_then(|_| batch.marks.pop()).map_or(0, |joined| joined.rows);
        let first = batch.marks.len();
        batch.marks.extend(cut);
        batch.marks[first].rows += before;
        batch.range.until.clone_from(&span.range.until);
        let bytes = joins.unwrap_or_default() + span.bytes;
        if is_short && bytes < self.page_bytes / JOINED_SHARE {
            self.open_bytes = Some(bytes);
        }
        self.spans += 1;
        if self.spans == SPANS_TOGETHER { self.end() } else { None }
    }

    /// What is left, before a span that was not compared or at the end of a part.
    pub(super) fn end(&mut self) -> Option<Batch> {
        (self.spans, self.open_bytes) = (0, None);
        self.batch.take()
    }

    /// The ends of the spans that a span becomes: itself, if it is not too long.
    fn cut(&self, span: &ReadSpan<'_>) -> Vec<NewMark> {
        let mut marks = Vec::new();
        let (mut rows, mut bytes) = (0, 0);
        let (_, inner) = span.pages.split_last().unzip();
        let is_long = span.bytes > 2 * self.page_bytes;
        for page in inner.unwrap_or_default().iter().filter(|_| is_long) {
            (rows, bytes) = (rows + page.rows, bytes + page.bytes);
            if bytes >= self.page_bytes / 2 && span.range.until.as_ref() != Some(&page.last) {
                marks.push(NewMark { until: Some(page.last.clone()), rows, is_equal: span.is_equal });
                (rows, bytes) = (0, 0);
            }
        }
        let marked: u64 = marks.iter().map(|mark| mark.rows).sum();
        let rows = span.rows.saturating_sub(marked);
        marks.push(NewMark { until: span.range.until.clone(), rows, is_equal: span.is_equal });
        marks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 100;

    /// Last key and bytes.
    type TestPage = (i64, u64);

    /// Spans by their last key, with their pages; a row has ten bytes.
    fn marked(spans: &[(i64, &[TestPage], bool)]) -> Vec<Batch> {
        let mut marker = Marker::new(PAGE);
        let mut batches = Vec::new();
        let mut after = None;
        for (until, pages, is_equal) in spans {
            let range = KeyRange { after, until: Some(Key::Int(*until)) };
            let pages: Vec<_> = pages
                .iter()
                .map(|(last, bytes)| PageEnd { last: Key::Int(*last), rows: bytes / 10, bytes: *bytes })
                .collect();
            let (rows, bytes) =
                pages.iter().fold((0, 0), |(rows, bytes), page| (rows + page.rows, bytes + page.bytes));
            let read = ReadSpan { range: &range, rows, bytes, pages: &pages, is_equal: *is_equal };
            batches.extend(marker.compared(&read));
            after = range.until;
        }
        batches.extend(marker.end());
        batches
    }

    fn ends(batch: &Batch) -> Vec<(i64, u64)> {
        let end = |mark: &NewMark| match mark.until {
            Some(Key::Int(until)) => (until, mark.rows),
            Some(Key::Text(_)) | None => panic!("{mark:?}"),
        };
        batch.marks.iter().map(end).collect()
    }

    #[test]
    fn long_spans_are_cut_and_short_ones_joined() {
        let batches = marked(&[
            (10, &[(9, 90)], true),
            // Nothing in it, then hardly anything: one with the next.
            (20, &[], true),
            (30, &[(25, 20)], true),
            (40, &[(40, 60)], true),
            // Too long; a page that was short is no place to cut.
            (90, &[(50, 90), (51, 10), (60, 90), (70, 90), (90, 40)], true),
            (95, &[(92, 10)], true),
        ]);
        assert_eq!(batches.len(), 1);
        assert!(batches[0].is_new);
        assert_eq!(ends(&batches[0]), [(10, 9), (40, 8), (50, 9), (60, 10), (70, 9), (90, 4), (95, 1)]);
        assert_eq!(batches[0].range, KeyRange { after: None, until: Some(Key::Int(95)) });
    }

    #[test]
    fn the_ends_of_spans_that_differ_stay() {
        let batches = marked(&[
            (10, &[(9, 10)], true),
            (20, &[(15, 10)], false),
            (30, &[(25, 10)], true),
            (40, &[(32, 90), (33, 90), (40, 90)], false),
        ]);
        assert_eq!(ends(&batches[0]), [(10, 1), (20, 1), (30, 1), (32, 9), (33, 9), (40, 9)]);
        let equal: Vec<_> = batches[0].marks.iter().map(|mark| mark.is_equal).collect();
        assert_eq!(equal, [true, false, true, false, false, false]);
    }

    #[test]
    fn bounds_are_recorded_32_spans_at_a_time() {
        let pages: Vec<_> = (1..=70).map(|until| [(until, 90)]).collect();
        let spans: Vec<_> = pages.iter().map(|page| (page[0].0, &page[..], true)).collect();
        let batches = marked(&spans);
        assert_eq!(batches.iter().map(|batch| batch.marks.len()).collect::<Vec<_>>(), [32, 32, 6]);
        assert!(batches.iter().all(|batch| !batch.is_new));
        assert_eq!(batches[1].range, KeyRange { after: Some(Key::Int(32)), until: Some(Key::Int(64)) });
    }
}
