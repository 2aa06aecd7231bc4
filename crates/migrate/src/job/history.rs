//! What happened to a job, recorded for whoever asks later.

use std::convert::Infallible;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use vecferry_store::{Attempt, EventRecord, JobId, Store};

use crate::event::{Event, Observer, Phase};

/// Events that are read at once.
const EVENTS_AT_ONCE: usize = 10_000;

/// A step that a collection entered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Passed {
    /// Number of the attempt, from 1.
    pub attempt: i64,
    /// When, by the clock of the machine it ran on.
    pub at: String,
    /// The collection as named on the source.
    pub collection: String,
    /// The step.
    pub phase: Phase,
}

impl Passed {
    /// What an event tells; none of one that this version does not know.
    pub(super) fn of(EventRecord { attempt, at, event, .. }: EventRecord) -> Option<Self> {
        let Entry { collection, phase } = serde_json::from_str(&event).ok()?;
        Some(Self { attempt, at, collection, phase })
    }
}

/// As it is in the store.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    collection: String,
    phase: Phase,
}

/// The steps that the collections of a job entered, oldest first. Entries of newer versions that this one does not know
/// are left out.
///
/// # Errors
/// The store can't be read.
pub(super) async fn history(store: &dyn Store, job_id: &JobId) -> Result<Vec<Passed>, vecferry_store::Error> {
    let mut passed = Vec::new();
    let mut after = None;
    loop {
        let recorded = store.events(job_id, after, EVENTS_AT_ONCE).await?;
        let Some(last) = recorded.last() else { return Ok(passed) };
        after = Some(last.event_id);
        passed.extend(recorded.into_iter().filter_map(Passed::of));
    }
}

/// Passes all events on, and notes the steps.
pub(super) struct Recorder {
    observer: Arc<dyn Observer>,
    // Some steps for each collection: they need no bound of their own.
    entries: UnboundedSender<(String, Entry)>,
}

/// Brings what was noted to the store.
pub(super) struct Recording {
    store: Arc<dyn Store>,
    attempt: Attempt,
    entries: UnboundedReceiver<(String, Entry)>,
}

/// Begins to record: observers may not wait, the store must.
pub(super) fn record(
    observer: Arc<dyn Observer>,
    store: &Arc<dyn Store>,
    attempt: &Attempt,
) -> (Recorder, Recording) {
    let (sender, receiver) = unbounded_channel();
    let recording = Recording { store: Arc::clone(store), attempt: attempt.clone(), entries: receiver };
    (Recorder { observer, entries: sender }, recording)
}

impl Observer for Recorder {
    fn on_event(&self, event: Event) {
        if let Event::Phase { collection, phase } = &event {
            let entry = Entry { collection: collection.to_string(), phase: *phase };
            // The receiver is there as long as the job runs.
            let _ = self.entries.send((format!("{:.3}", jiff::Timestamp::now()), entry));
        }
        self.observer.on_event(event);
    }
}

impl Recording {
    pub(super) async fn go_on(&mut self) -> Infallible {
        loop {
            match self.entries.recv().await {
                Some((at, entry)) => self.write(at, &entry).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Writes what the end of the work left.
    pub(super) async fn finish(&mut self) {
        while let Ok((at, entry)) = self.entries.try_recv() {
            self.write(at, &entry).await;
        }
    }

    async fn write(&self, at: String, entry: &Entry) {
        let Ok(document) = serde_json::to_string(entry) else { return };
        if let Err(error) = self.store.record_event(&self.attempt, at, document).await {
            // A store that can't be written ends the job where that matters.
            tracing::debug!(%error, "a step was not recorded");
        }
    }
}
