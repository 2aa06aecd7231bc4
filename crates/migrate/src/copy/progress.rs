//! How far a split is: what the store knows, what it does not know yet, and the step that tells it.

use vecferry_milvus::Key;
use vecferry_store::{Claim, Progress, Split, Step, Store};

use super::copy_job::CopyJob;
use super::error::CopyError;
use super::writing::Sent;
use crate::read::key_text;

/// Pages that are dealt with, and the store does not know of yet.
#[derive(Clone, Default)]
pub(super) struct Unrecorded {
    last: Option<Key>,
    sent: Sent,
    samples: Vec<String>,
    marks: Vec<(String, u64)>,
}

impl Unrecorded {
    /// A page ends there that is dealt with.
    pub(super) fn mark(&mut self, last: &Key, sent: Sent) {
        self.marks.push((key_text(last), sent.rows + sent.refused));
    }

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
