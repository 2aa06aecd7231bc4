//! The rights to write about a split: those of a writer, of a claim, and of the attempt that works on the collection.

use crate::attempt::Attempt;
use crate::id::{JobId, Position, SplitId};

/// What a worker writes a collection as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    job_id: JobId,
    collection: Position,
    number: u64,
}

impl Writer {
    pub(crate) fn new(job_id: JobId, collection: Position, number: u64) -> Self {
        Self { job_id, collection, number }
    }

    /// The job.
    pub fn job_id(&self) -> &JobId {
        &self.job_id
    }

    /// The collection.
    pub fn collection(&self) -> Position {
        self.collection
    }

    /// Its number, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }
}

/// The right to write about a split, until another worker takes it over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    writer: Writer,
    split_id: SplitId,
    epoch: i64,
}

impl Claim {
    pub(crate) fn new(writer: Writer, split_id: SplitId, epoch: i64) -> Self {
        Self { writer, split_id, epoch }
    }

    /// What the split is written as.
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// The split.
    pub fn split_id(&self) -> SplitId {
        self.split_id
    }

    /// The claim's number among all claims of the split.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }
}

/// In whose name something about the rows of a collection is recorded.
#[derive(Clone, Copy, Debug)]
pub enum Right<'a> {
    /// Of the attempt that works on the collection.
    Attempt(&'a Attempt, Position),
    /// Of a worker that copies a split of it.
    Claim(&'a Claim),
}

impl<'a> Right<'a> {
    /// The job.
    pub fn job_id(self) -> &'a JobId {
        match self {
            Self::Attempt(attempt, _) => attempt.job_id(),
            Self::Claim(claim) => claim.writer().job_id(),
        }
    }

    /// The collection.
    pub fn collection(self) -> Position {
        match self {
            Self::Attempt(_, collection) => collection,
            Self::Claim(claim) => claim.writer().collection(),
        }
    }
}
