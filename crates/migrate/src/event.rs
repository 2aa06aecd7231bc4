//! What happens while a migration runs, for whoever shows it.

use serde::{Deserialize, Serialize, Serializer};
use vecferry_milvus::CollectionName;
use vecferry_store::JobId;

use crate::problem::CheckId;
use crate::rate::MaxRate;

pub use crate::problem::Side;

/// Told of everything that happens. Called from several tasks at once, and often: it must return at once.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn on_event(&self, event: Event);
}

/// Step of one collection, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Waits for its turn.
    Waiting,
    /// The source loads it.
    LoadingSource,
    /// The target makes it and its partitions.
    Creating,
    /// Rows are on their way.
    Copying,
    /// The target stores what it took.
    Flushing,
    /// Index builds are started (or waited for).
    Indexing,
    /// Source and target are compared.
    Verifying,
    /// Complete.
    Done,
    /// Ended with a problem.
    Failed,
    /// Ended by cancellation.
    Canceled,
}

/// Why it goes slowly or stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// The source limits reads.
    SourceLimit,
    /// The source is busy, starting or not reachable; tried again.
    SourceBusy,
    /// The target limits writes.
    TargetLimit,
    /// The target refuses writes (memory, disk, quota); tried again.
    TargetDenies,
    /// The target is busy, starting or not reachable; tried again.
    TargetBusy,
}

/// What a job waits for before it can go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Awaited {
    /// A check before the start.
    Check {
        /// Which.
        check: CheckId,
    },
    /// A server loads a collection, and does not say how many rows are in memory.
    Load {
        /// Which server.
        side: Side,
        /// How much of it is in memory, in percent, where the server says that.
        #[serde(skip_serializing_if = "Option::is_none")]
        percent: Option<u8>,
    },
    /// A server loads a collection.
    Memory {
        /// Which server.
        side: Side,
        /// Rows in memory.
        rows_served: u64,
        /// Rows that are stored, deleted ones too.
        rows_stored: u64,
    },
    /// A server stores what it was given (a flush).
    Stored {
        /// Which server.
        side: Side,
    },
    /// A server sorts segments that were just stored.
    Sorted {
        /// Which server.
        side: Side,
    },
    /// The target builds indexes.
    Index {
        /// Rows that are in them, of all indexes together.
        rows_built: u64,
        /// Rows that are to be in them.
        rows_total: u64,
    },
    /// Other collections are loaded on a server, and only so many at once.
    Turn {
        /// Which server.
        side: Side,
    },
    /// A call failed in a way that passes, and is made again.
    Retry {
        /// What the server said.
        detail: String,
    },
    /// The answer to a call.
    Answer,
}

/// What the copy waits for most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bottleneck {
    /// Answers of the source.
    Source,
    /// The end of the source's refusals to be read faster.
    SourceLimit,
    /// The target, which stores what it is given.
    Target,
    /// The end of the target's refusals to be written faster.
    TargetLimit,
    /// The limit that a person set.
    MaxRate,
    /// The record of the job, on the disk of this machine.
    Ledger,
}

impl Bottleneck {
    /// All of them, in order.
    pub const ALL: [Self; 6] =
        [Self::Source, Self::SourceLimit, Self::Target, Self::TargetLimit, Self::MaxRate, Self::Ledger];

    /// Its name in records and for machines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::SourceLimit => "source_limit",
            Self::Target => "target",
            Self::TargetLimit => "target_limit",
            Self::MaxRate => "max_rate",
            Self::Ledger => "ledger",
        }
    }

    /// From its name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

/// Something that happened. Collections are named as on the source. For machines, `event` says which.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A collection enters a step.
    Phase {
        /// The collection.
        #[serde(serialize_with = "as_text")]
        collection: CollectionName,
        /// The step.
        phase: Phase,
    },
    /// Rows were acknowledged by the target.
    Copied {
        /// The collection.
        #[serde(serialize_with = "as_text")]
        collection: CollectionName,
        /// Rows since the last such event.
        rows: u64,
        /// Bytes of these rows on the wire.
        bytes: u64,
    },
    /// Rows were read for nobody, to measure the source.
    Read {
        /// The collection.
        #[serde(serialize_with = "as_text")]
        collection: CollectionName,
        /// Rows since the last such event.
        rows: u64,
        /// Bytes of these rows on the wire.
        bytes: u64,
    },
    /// An earlier attempt of the job copied these rows already.
    Resumed {
        /// The collection.
        #[serde(serialize_with = "as_text")]
        collection: CollectionName,
        /// Rows that are on the target.
        rows: u64,
        /// Bytes of these rows on the wire.
        bytes: u64,
    },
    /// Rows were compared, each on both sides.
    Compared {
        /// The collection.
        #[serde(serialize_with = "as_text")]
        collection: CollectionName,
        /// Rows since the last such event.
        rows: u64,
        /// Bytes of these rows on the wire, once and not for both sides.
        bytes: u64,
        /// Rows of the source that are to be compared in all.
        rows_total: u64,
    },
    /// Something waits before it is tried again.
    Waiting {
        /// The collection.
        #[serde(serialize_with = "as_text")]
        collection: CollectionName,
        /// Why.
        reason: Wait,
    },
    /// Something takes its time; told once a second until it is over.
    Awaiting {
        /// The collection; none before there is a plan.
        #[serde(serialize_with = "as_text_if_any")]
        collection: Option<CollectionName>,
        /// What.
        awaited: Awaited,
        /// For so long already.
        seconds: u64,
    },
    /// What the copy waited for most over the last seconds; told twice a second while that is known.
    Pace {
        /// Nothing while nothing is copied.
        bound_by: Option<Bottleneck>,
        /// Inserts that the target takes at once.
        inserts_at_once: usize,
    },
    /// The limit of the data rate, at the beginning and after every change.
    MaxRate {
        /// None where nothing limits it.
        max_rate: Option<MaxRate>,
    },
}

/// An event of a job, for whoever watches several.
#[derive(Clone, Debug, Serialize)]
pub struct JobEvent {
    /// The job.
    pub job_id: JobId,
    /// When, RFC 3339.
    pub at: String,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

fn as_text<S: Serializer>(name: &CollectionName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(name)
}

fn as_text_if_any<S: Serializer>(name: &Option<CollectionName>, serializer: S) -> Result<S::Ok, S::Error> {
    match name {
        Some(name) => serializer.collect_str(name),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_jobs_are_flat_documents() {
        let collection = CollectionName::new("default", "books");
        let event = Event::Phase { collection, phase: Phase::Copying };
        let event = JobEvent { job_id: "j".into(), at: "then".to_owned(), event };
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            r#"{"job_id":"j","at":"then","event":"phase","collection":"default.books","phase":"copying"}"#
        );
        let nowhere =
            Event::Awaiting { collection: None, awaited: Awaited::Sorted { side: Side::Source }, seconds: 2 };
        assert_eq!(
            serde_json::to_string(&nowhere).unwrap(),
            r#"{"event":"awaiting","collection":null,"awaited":{"what":"sorted","side":"source"},"seconds":2}"#
        );
    }

    #[test]
    fn names_of_bottlenecks_are_those_of_machines() {
        for (place, bottleneck) in Bottleneck::ALL.into_iter().enumerate() {
            assert_eq!(bottleneck as usize, place);
            assert_eq!(serde_json::to_value(bottleneck).unwrap(), bottleneck.name());
            assert_eq!(Bottleneck::of_name(bottleneck.name()), Some(bottleneck));
        }
        assert_eq!(Bottleneck::of_name("moon"), None);
    }
}
