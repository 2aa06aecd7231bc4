//! What all splits of a collection share: both clusters, how rows are read and written, and who is told.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio_util::sync::CancellationToken;
use vecferry_milvus::schema::FieldSpec;
use vecferry_milvus::{Client, CollectionName, Consistency, KeyField};
use vecferry_store::{JobId, Position, Store};

use super::budget::Budget;
use super::pace::Pace;
use super::progress::Marking;
use super::quarantine::Refusals;
use crate::event::{Event, Observer, Wait};
use crate::plan::Keys;
use crate::plan::splits::SplitLimits;
use crate::problem::Side;
use crate::read::{Reader, SampleRule};

/// What all splits of a collection share.
pub(crate) struct CopyJob {
    pub(crate) source: Client,
    /// Which server that is: rows that are there twice are read from the target.
    pub(crate) reads: Side,
    pub(crate) target: Client,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) job_id: JobId,
    /// Place of the collection in the job.
    pub(crate) position: Position,
    pub(crate) source_name: CollectionName,
    /// The collection as observers know it.
    pub(crate) shown_name: CollectionName,
    /// The source's number of the collection, so that a rename or an alias can't lead elsewhere; 0 on lite.
    pub(crate) source_id: i64,
    /// Where rows are written: an alias that only this writer uses, where the target has aliases.
    pub(crate) write_name: CollectionName,
    pub(crate) key_field: KeyField,
    pub(crate) keys: Keys,
    pub(crate) columns: Vec<FieldSpec>,
    /// Names of `columns`.
    pub(crate) names: Vec<String>,
    pub(crate) consistency: Consistency,
    pub(crate) budget: Budget,
    /// How fast the whole job may write.
    pub(crate) pace: Arc<Pace>,
    /// How far a split is divided that turns out to be too large.
    pub(crate) limits: SplitLimits,
    pub(crate) page_bytes_target: usize,
    /// Rows that a page of that size had, so that a split need not find out anew; 0 while that is not known.
    pub(crate) page_rows: AtomicUsize,
    /// Whether the source may be written to: what comes behind a range that was read is left to a later comparison.
    pub(crate) writes_go_on: bool,
    /// Where a later comparison may cut the keys.
    pub(crate) marking: Marking,
    /// Which rows are compared later, by partition.
    pub(crate) sample: SampleRule,
    /// Rows that the target does not take.
    pub(crate) refusals: Refusals,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) cancel: CancellationToken,
}

impl CopyJob {
    /// Reads the source as the pages are read.
    pub(super) fn source_reader(&self) -> Reader {
        Reader {
            client: self.source.clone(),
            side: self.reads,
            name: self.source_name.clone(),
            id: self.source_id,
            key_field: self.key_field.clone(),
            columns: self.columns.clone(),
            consistency: self.consistency,
            cancel: self.cancel.clone(),
            served_otherwise: Arc::default(),
        }
    }

    pub(super) fn tell_waiting(&self, reason: Wait) {
        self.observer.on_event(Event::Waiting { collection: self.shown_name.clone(), reason });
    }
}
