//! Collections that a worker writes to: each as a writer of its own, under an alias of its own, until that is closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use vecferry_milvus::{Collection, CollectionName};
use vecferry_store::{Position, Writer};

use super::Worker;
use crate::copy::{CopyError, CopyJob, close_lost_writers};
use crate::job::claim::Own;
use crate::job::copying::Copying;
use crate::job::drift::Holding;
use crate::job::round::Round;
use crate::job::run::replaced;
use crate::plan::PlannedCollection;
use crate::problem::{Side, Told, Worded, words_of};
use crate::read::reader;
use crate::target;

/// A collection that a worker writes to.
pub(super) struct Opened {
    pub(super) writer: Writer,
    pub(super) copy: CopyJob,
    pub(super) target_name: CollectionName,
    write_name: CollectionName,
    /// Its name is taken away, or about to be: what fails under it from then on says nothing.
    pub(super) is_closed: AtomicBool,
}

impl Worker {
    /// What the worker writes a collection with.
    pub(super) async fn opened(&self, position: Position) -> Result<Arc<Opened>, CopyError> {
        let mut collections = self.collections.lock().await;
        if let Some(opened) = collections.get(&position) {
            return Ok(Arc::clone(opened));
        }
        let opened = Arc::new(self.open_collection(position).await?);
        collections.insert(position, Arc::clone(&opened));
        Ok(opened)
    }

    async fn open_collection(&self, position: Position) -> Result<Opened, CopyError> {
        let (store, job_id) = (&self.copying.store, &self.copying.job_id);
        let planned = self.plan.collections.get(position.index());
        let planned = planned.ok_or_else(|| {
            CopyError::Told(Told::both(
                format!("the plan has no collection {position}"),
                format!("计划中没有第 {position} 个 Collection"),
            ))
        })?;
        // First: from now on whoever begins the collection anew ends this writer, and what it finds is of no account.
        let writer = store.join(job_id, position, &self.id, self.copying.tuning.writer_ttl).await?;
        match self.open_as(&writer, planned).await {
            Ok(opened) => Ok(opened),
            Err(error) => Err(self.failed(position, &writer, error.into()).await.into()),
        }
    }

    async fn open_as(&self, writer: &Writer, planned: &PlannedCollection) -> Result<Opened, CopyError> {
        let (copying, position) = (&self.copying, writer.collection());
        let (store, job_id) = (&copying.store, &copying.job_id);
        let told = |error: &dyn Worded| CopyError::Told(words_of(error));
        let record = store.collection(job_id, position).await?;
        let before = record.source_counts.as_deref().unwrap_or_default();
        let before = Holding::read(before).map_err(|error| told(&error))?;
        let own = Own { target: &self.target, job_id, planned: &planned.target, position };
        let made = own.find(&record).await.map_err(CopyError::Target)?;
        let made = made.ok_or_else(|| told(&replaced(planned, job_id)))?;
        close_lost_writers(&**store, &self.target, &made.name, writer).await?;
        let write_name = self.open_alias(planned, &made, writer).await?;
        let described = &planned.described;
        let source = reader(Side::Source, &self.source, described, described, &copying.cancel);
        // The job looked at the source before it let workers in.
        let source = source.fresh().await.map_err(CopyError::Source)?;
        let round = Round::under_way(&**store, &store.job(job_id).await?).await?;
        let copying = Copying { writes_go_on: round.writes_go_on(), ..copying.clone() };
        let copy = copying.of_splits(position, planned, &source, &before.counts, write_name.clone()).await?;
        let (writer, target_name) = (writer.clone(), made.name.clone());
        Ok(Opened { writer, copy, target_name, write_name, is_closed: AtomicBool::new(false) })
    }

    async fn open_alias(
        &self,
        planned: &PlannedCollection,
        made: &Collection,
        writer: &Writer,
    ) -> Result<CollectionName, CopyError> {
        let opened = target::open_write_alias(&self.target, made, writer, &self.copying.cancel).await;
        let opened = opened.map_err(CopyError::Target)?;
        opened.ok_or_else(|| CopyError::Told(words_of(&replaced(planned, &self.copying.job_id))))
    }

    /// Writes no more as a writer, and takes its name away.
    pub(super) async fn close(&self, opened: &Opened) {
        opened.is_closed.store(true, Ordering::Release);
        opened.copy.cancel.cancel();
        let mut collections = self.collections.lock().await;
        let position = opened.writer.collection();
        if collections.get(&position).is_some_and(|now| now.writer == opened.writer) {
            collections.remove(&position);
        }
        drop(collections);
        // So that its splits are free at once. Where it is lost already, or can't be recorded, its time does that.
        if let Err(error) = self.copying.store.end_writer(&opened.writer, None).await {
            tracing::debug!(%error, "a writer was not ended");
        }
        let closed = target::try_close_write_alias(&self.target, &opened.target_name, &opened.write_name);
        if let Err(error) = closed.await {
            // Whoever takes the splits over does it as well.
            tracing::debug!(%error, "the alias of a lost writer stays");
        }
    }
}
