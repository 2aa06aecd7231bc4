//! How far a split is: what the store knows, what it does not know yet, and the step that tells it.

use vecferry_milvus::Key;
use vecferry_store::{Claim, Progress, Split, Step, Store};

use super::copy_job::CopyJob;
use super::error::CopyError;
use super::writing::Sent;
use crate::read::key_text;

/// Ends of pages that are recorded, for whoever compares the rows in spans later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marking {
    /// None.
    Nothing,
    /// All of them, so that their rows add up.
    EveryPage,
    /// Those behind at least so many bytes: a slow copy has more pages than are worth a record.
    Apart(u64),
}

/// Marks of a collection that are recorded one by one, about: all of them are in memory when it is compared.
const MARKS_MAX: u64 = 50_000;
/// A longer key is no such mark.
const MARK_BYTES_MAX: usize = 256;

impl Marking {
    /// About a page apart, and further in a large collection.
    pub(crate) fn apart(page_bytes: usize, collection_bytes: u64) -> Self {
        Self::Apart((page_bytes as u64 / 2).max(collection_bytes / MARKS_MAX))
    }

    /// The mark behind a page with which some rows end, if it is one.
    fn mark(self, last: &Key, open: Sent) -> Option<String> {
        let is_short = |text: &String| text.len() <= MARK_BYTES_MAX;
        match self {
            Self::Nothing => None,
            Self::EveryPage => Some(key_text(last)),
            Self::Apart(bytes) => Some(key_text(last)).filter(is_short).filter(|_| open.bytes >= bytes),
        }
    }
}

/// The marks of a range that is being copied.
pub(super) struct Marks {
    marking: Marking,
    /// What came behind the last one.
    open: Sent,
}

impl Marks {
    pub(super) fn new(marking: Marking) -> Self {
        Self { marking, open: Sent::default() }
    }

    /// A page ends there that is dealt with.
    pub(super) fn page(&mut self, last: &Key, sent: Sent, unrecorded: &mut Unrecorded) {
        self.open += sent;
        if let Some(until) = self.marking.mark(last, self.open) {
            let open = std::mem::take(&mut self.open);
            unrecorded.marks.push((until, open.rows + open.refused));
        }
    }
}

/// Pages that are dealt with, and the store does not know of yet.
#[derive(Clone, Default)]
pub(super) struct Unrecorded {
    last: Option<Key>,
    sent: Sent,
    samples: Vec<String>,
    marks: Vec<(String, u64)>,
}

impl Unrecorded {
    pub(super) fn add(&mut self, last: Key, sent: Sent, samples: Vec<String>) {
        self.last = Some(last);
        self.sent += sent;
        self.samples.extend(samples);
    }

    /// What the store is to learn of them, and of the page that is about to be sent.
    pub(super) fn step(&mut self, intent: Option<String>) -> Ahead {
        let Self { last, sent, samples, marks } = std::mem::take(self);
        let progress =
            Progress { rows_read: sent.rows + sent.refused, rows_written: sent.rows, bytes: sent.bytes };
        Ahead { cursor: last.as_ref().map(key_text), progress, intent, samples, marks }
    }
}

/// A step from wherever the split is.
#[derive(Default)]
pub(super) struct Ahead {
    pub(super) cursor: Option<String>,
    pub(super) intent: Option<String>,
    pub(super) progress: Progress,
    pub(super) samples: Vec<String>,
    /// Last keys of the pages, and their rows; only where they are compared in spans later.
    pub(super) marks: Vec<(String, u64)>,
}

/// Where a split is by the store, which only the holder of its claim changes.
pub(super) struct Place {
    cursor: Option<String>,
    intent: Option<String>,
}

impl Place {
    pub(super) fn of(split: &Split) -> Self {
        Self { cursor: split.cursor.clone(), intent: split.intent.clone() }
    }

    pub(super) fn step(&self, ahead: Ahead) -> Step {
        let Ahead { cursor, intent, progress, samples, marks } = ahead;
        let (from_cursor, from_intent) = (self.cursor.clone(), self.intent.clone());
        Step {
            cursor: from_cursor,
            intent: from_intent,
            to_cursor: cursor,
            to_intent: intent,
            progress,
            samples,
            marks,
        }
    }

    /// Takes a step in the store.
    pub(super) async fn advance(
        &mut self,
        store: &dyn Store,
        claim: &Claim,
        ahead: Ahead,
    ) -> Result<(), CopyError> {
        let step = self.step(ahead);
        let (cursor, intent) = (step.to_cursor.clone(), step.to_intent.clone());
        store.advance(claim, step).await?;
        self.cursor = cursor.or(self.cursor.take());
        self.intent = intent.or(self.intent.take());
        Ok(())
    }
}

/// A split that is being copied: under which claim, and where it is.
pub(super) struct Copied<'a> {
    pub(super) claim: &'a Claim,
    pub(super) split: &'a Split,
    pub(super) place: Place,
}

/// Whether a claim is still held when a slice has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Still,
    /// The last step ended it.
    No,
}

impl CopyJob {
    pub(super) async fn advance(&self, copied: &mut Copied<'_>, ahead: Ahead) -> Result<(), CopyError> {
        copied.place.advance(&*self.store, copied.claim, ahead).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(rows: u64, bytes: u64) -> Sent {
        Sent { rows, bytes, ..Sent::default() }
    }

    fn marks(marking: Marking, pages: &[(Key, u64)]) -> Vec<(String, u64)> {
        let (mut marks, mut unrecorded) = (Marks::new(marking), Unrecorded::default());
        for (last, bytes) in pages {
            marks.page(last, sent(bytes / 10, *bytes), &mut unrecorded);
        }
        unrecorded.marks
    }

    #[test]
    fn marks_lie_apart_and_are_short() {
        let pages: Vec<_> = [900, 200, 200, 200, 1500]
            .into_iter()
            .zip(1..)
            .map(|(bytes, at)| (Key::Int(at), bytes))
            .collect();
        let named = |all: &[(&str, u64)]| {
            all.iter().map(|(key, rows)| ((*key).to_owned(), *rows)).collect::<Vec<_>>()
        };
        let apart = Marking::apart(1000, 0);
        assert_eq!(marks(Marking::Nothing, &pages), []);
        assert_eq!(marks(Marking::EveryPage, &pages).len(), 5);
        assert_eq!(marks(apart, &pages), named(&[("i1", 90), ("i4", 60), ("i5", 150)]));
        let long = |text: &str, len| Key::Text(text.repeat(len));
        let pages = [(long("a", 300), 900), (long("b", 10), 900)];
        assert_eq!(marks(apart, &pages), named(&[("tbbbbbbbbbb", 180)]));
        assert_eq!(marks(Marking::EveryPage, &pages).len(), 2, "rows of all spans are known");
    }

    #[test]
    fn a_large_collection_has_no_more_marks() {
        let (pages, page_bytes) = (200_000, 1000);
        let pages: Vec<_> = (0..pages).map(|at| (Key::Int(at), page_bytes)).collect();
        let marks = marks(Marking::apart(1000, 200_000 * page_bytes), &pages);
        assert_eq!(marks.len() as u64, MARKS_MAX);
    }
}
