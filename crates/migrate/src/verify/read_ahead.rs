//! Digests of one side's spans, read before the other side can be: while the target is loaded, the source has nothing to do.
//!
//! A span is kept only if its page ended at its bound: then the page is all of it. What does not fit into memory, or is not
//! read in time, is read when it is compared.

use std::collections::HashMap;
use std::slice::Iter;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use vecferry_milvus::schema::FieldSpec;
use vecferry_milvus::{Key, KeyRange};

use super::spans::{Digests, Mark, Most, SPAN_BYTES, Sizes, key_bytes};
use crate::copy::{Budget, Kept};
use crate::read::{DigestPage, PAGE_ROWS_MAX, ReadError};

/// Queries at the same time.
const READERS: usize = 4;
/// What was read longer ago is read again: a source that is written to meanwhile is to be seen as it is now.
const AGE_MAX: Duration = Duration::from_secs(60);

/// A partition, and where a span of it begins.
type Place = (Option<String>, Option<Key>);

struct Page {
    until: Option<Key>,
    page: DigestPage,
    read_at: Instant,
    _kept: Kept,
}

/// Digests that were read.
#[derive(Default)]
pub(crate) struct ReadAhead {
    pages: Mutex<HashMap<Place, Page>>,
    /// Nobody waits any more; it may go on later.
    is_over: AtomicBool,
    /// There was no more memory, or a query failed: for good.
    is_full: AtomicBool,
}

impl ReadAhead {
    fn pages(&self) -> MutexGuard<'_, HashMap<Place, Page>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The digests of a span, once, if they were read a moment ago.
    pub(super) fn take(&self, partition: Option<&str>, range: &KeyRange) -> Option<DigestPage> {
        let page = self.pages().remove(&(partition.map(str::to_owned), range.after.clone()))?;
        (page.until == range.until && page.read_at.elapsed() < AGE_MAX).then_some(page.page)
    }

    /// Reading may begin, or go on behind an end. To be called before the reading that may be ended.
    pub(crate) fn begin(&self) {
        self.is_over.store(false, Ordering::Relaxed);
    }

    /// Nothing more is begun; what is under way is waited for.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed) || self.is_full.load(Ordering::Relaxed)
    }

    /// Reads the spans of some parts that were not read yet, whose marks come in the order of keys, until there is no more
    /// memory for them or it is ended. What fails is left to the comparison, which says why.
    pub(crate) async fn fill(
        &self,
        digests: &impl Digests,
        columns: &[FieldSpec],
        parts: &[(Option<String>, &[Mark])],
        budget: &Budget,
    ) {
        let sizes = Mutex::new(Sizes::new(columns, SPAN_BYTES));
        let mut todo = Bounded::new(parts);
        let mut reading = FuturesOrdered::new();
        loop {
            // Begun one by one: there may be very many spans.
            while reading.len() < READERS
                && !self.is_over()
                && let Some(span) = todo.next()
            {
                reading.push_back(self.read(digests, span, &sizes, budget));
            }
            match reading.next().await {
                None => return,
                Some(Ok(true)) => {}
                Some(Ok(false)) => self.is_full.store(true, Ordering::Relaxed),
                Some(Err(error)) => {
                    tracing::debug!(%error, "not all of the source is read ahead");
                    self.is_full.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    /// Reads a span, unless it is over. Tells false where there was no room for it.
    async fn read(
        &self,
        digests: &impl Digests,
        span: BoundedSpan<'_>,
        sizes: &Mutex<Sizes>,
        budget: &Budget,
    ) -> Result<bool, ReadError> {
        let BoundedSpan { partition, range, rows } = span;
        let place = (partition.map(str::to_owned), range.after.clone());
        if self.pages().contains_key(&place) {
            return Ok(true);
        }
        let mut ahead = range.clone();
        let mut whole = DigestPage::default();
        while ahead.after != range.until {
            if self.is_over() {
                return Ok(true);
            }
            let fair = budget.fair_bytes();
            let is_one_page = locked(sizes).is_one_page(rows, fair);
            let (mut size, bytes) = locked(sizes).next(rows, Most::counted(PAGE_ROWS_MAX as usize), fair);
            let asked = size.clone();
            let share = budget.take(bytes).await;
            let page = digests.digests(partition, &ahead, &mut size).await?;
            drop(share);
            locked(sizes).learn((&asked, &size));
            locked(sizes).came(&page.keys, page.bytes);
            let last = page.keys.last().cloned();
            whole.keys.extend(page.keys);
            whole.digests.extend(page.digests);
            whole.bytes += page.bytes;
            // It is not what it was.
            let is_changed = last.is_none() || whole.keys.len() as u64 > rows.saturating_mul(2);
            if last != range.until && (is_one_page || is_changed) {
                return Ok(true);
            }
            ahead.after = last;
        }
        let bytes = key_bytes(&whole.keys) + size_of_val(whole.digests.as_slice());
        let Some(_kept) = budget.keep(bytes) else { return Ok(false) };
        let page = Page { until: range.until, page: whole, read_at: Instant::now(), _kept };
        self.pages().insert(place, page);
        Ok(true)
    }
}

/// A span that has an end. Where others end can't be told from their pages.
struct BoundedSpan<'a> {
    partition: Option<&'a str>,
    range: KeyRange,
    rows: u64,
}

/// The spans of some parts that end at marks, one by one.
struct Bounded<'a> {
    parts: Iter<'a, (Option<String>, &'a [Mark])>,
    partition: Option<&'a str>,
    marks: Iter<'a, Mark>,
    after: Option<Key>,
}

impl<'a> Bounded<'a> {
    fn new(parts: &'a [(Option<String>, &'a [Mark])]) -> Self {
        Self { parts: parts.iter(), partition: None, marks: [].iter(), after: None }
    }
}

impl<'a> Iterator for Bounded<'a> {
    type Item = BoundedSpan<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(mark) = self.marks.find(|mark| mark.until.is_some()) {
                let after = std::mem::replace(&mut self.after, mark.until.clone());
                let range = KeyRange { after, until: mark.until.clone() };
                return Some(BoundedSpan { partition: self.partition, range, rows: mark.rows });
            }
            let (partition, marks) = self.parts.next()?;
            (self.partition, self.marks, self.after) = (partition.as_deref(), marks.iter(), None);
        }
    }
}

fn locked(sizes: &Mutex<Sizes>) -> MutexGuard<'_, Sizes> {
    sizes.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use super::*;
    use crate::copy::Pool;
    use crate::read::PageSize;
    use crate::verify::spans::{SpannedPart, Spans};

    /// Holds keys from 0 on; a key that is a multiple of 30 is gone.
    #[derive(Default)]
    struct Server {
        rows: i64,
        row_bytes: usize,
        asked: RefCell<Vec<KeyRange>>,
        /// Pages that were too large at first.
        refused: RefCell<usize>,
    }

    impl Digests for Server {
        async fn digests(
            &self,
            _: Option<&str>,
            range: &KeyRange,
            size: &mut PageSize,
        ) -> Result<DigestPage, ReadError> {
            self.asked.borrow_mut().push(range.clone());
            let is_in = |key: &Key| {
                range.after.as_ref().is_none_or(|after| key > after)
                    && range.until.as_ref().is_none_or(|until| key <= until)
            };
            let keys = (1..=self.rows).filter(|key| key % 30 != 0).map(Key::Int).filter(is_in);
            let keys: Vec<_> = keys.collect();
            let rows = |size: &PageSize| keys.len().min(size.rows() as usize);
            let asked = rows(size);
            while rows(size) * self.row_bytes > 16 << 20 && size.refused() {}
            *self.refused.borrow_mut() += usize::from(rows(size) < asked);
            let keys = &keys[..rows(size)];
            let bytes = 100 + keys.len() * self.row_bytes;
            Ok(DigestPage { digests: vec![7; keys.len()], keys: keys.to_vec(), bytes })
        }

        async fn present(&self, _: Option<&str>, _: &[Key]) -> Result<BTreeSet<Key>, ReadError> {
            Ok(BTreeSet::new())
        }

        async fn unrepeated(&self, _: Option<&str>, keys: Vec<Key>) -> Result<Vec<Key>, ReadError> {
            Ok(keys)
        }
    }

    async fn filled(server: &Server, pool_bytes: usize, ended: bool) -> (ReadAhead, Vec<KeyRange>) {
        let ahead = ReadAhead::default();
        if ended {
            ahead.end();
        }
        fill(&ahead, server, pool_bytes).await;
        let spans = Spans::of(vec![SpannedPart { marks: marks(server), ..SpannedPart::default() }]).unwrap();
        (ahead, spans.all().iter().map(|span| span.range.clone()).collect())
    }

    fn marks(server: &Server) -> Vec<Mark> {
        let until = (1..=server.rows / 10).map(|at| Some(Key::Int(at * 10)));
        until.map(|until| Mark { until, rows: 10, equal: None }).collect()
    }

    async fn fill(ahead: &ReadAhead, server: &Server, pool_bytes: usize) {
        let budget = Pool::new(pool_bytes).budget();
        ahead.fill(server, &[], &[(Some("p".to_owned()), &marks(server))], &budget).await;
    }

    #[tokio::test]
    async fn whole_spans_are_kept_once() {
        let server = Server { rows: 60, ..Server::default() };
        let (ahead, ranges) = filled(&server, 1 << 20, false).await;
        assert_eq!(*server.asked.borrow(), ranges[..6], "nothing is behind the last mark");
        for range in &ranges {
            let page = ahead.take(Some("p"), range);
            // The keys 30 and 60 are gone: behind the last row of these spans there might be others.
            let is_whole =
                range.until.as_ref().is_some_and(|until| ![Key::Int(30), Key::Int(60)].contains(until));
            assert_eq!(page.map(|page| page.keys.len()), is_whole.then_some(10), "{range:?}");
            assert_eq!(ahead.take(Some("p"), range), None, "{range:?}");
        }
        let (ahead, ranges) = filled(&server, 1 << 20, false).await;
        assert_eq!(ahead.take(None, &ranges[0]), None, "another part");
        let shorter = KeyRange { after: None, until: Some(Key::Int(9)) };
        assert_eq!(ahead.take(Some("p"), &shorter), None);
    }

    #[tokio::test]
    async fn it_goes_on_behind_an_end() {
        let server = Server { rows: 60, ..Server::default() };
        let (ahead, ranges) = filled(&server, 1 << 20, false).await;
        assert!(ahead.take(Some("p"), &ranges[1]).is_some());
        server.asked.borrow_mut().clear();
        ahead.end();
        fill(&ahead, &server, 1 << 20).await;
        assert_eq!(*server.asked.borrow(), [], "it was ended");
        ahead.begin();
        fill(&ahead, &server, 1 << 20).await;
        // What was taken, and what was not whole, is asked for again.
        assert_eq!(*server.asked.borrow(), [ranges[1].clone(), ranges[2].clone(), ranges[5].clone()]);
    }

    #[tokio::test]
    async fn spans_that_are_no_page_are_read_in_several_and_kept() {
        let server = Server { rows: 200, row_bytes: 2 << 20, ..Server::default() };
        let (ahead, ranges) = filled(&server, 1 << 30, false).await;
        assert!(*server.refused.borrow() <= READERS, "{:?}", server.refused);
        for range in &ranges[READERS..20] {
            let is_whole =
                range.until.as_ref().is_some_and(|until| !(1..7).any(|at| *until == Key::Int(at * 30)));
            let page = ahead.take(Some("p"), range);
            assert_eq!(page.map(|page| page.keys.len()), is_whole.then_some(10), "{range:?}");
        }
    }

    #[tokio::test]
    async fn it_ends_where_there_is_no_room() {
        let server = Server { rows: 1000, ..Server::default() };
        // Two units are a quarter of these, and each span takes one.
        filled(&server, 8 * 4096, false).await;
        assert!((3..=2 + READERS).contains(&server.asked.borrow().len()), "{:?}", server.asked);
        let server = Server { rows: 1000, ..Server::default() };
        filled(&server, 1 << 20, true).await;
        assert_eq!(server.asked.borrow().len(), 0);
    }
}
