//! Jobs, splits and steps to test with.

use std::sync::Arc;
use std::time::Duration;

use vecferry_store::{
    Attempt, Claim, JobId, JobKind, NewCollectionRecord, NewJob, NewSplit, Position, Progress, Quarantined,
    Split, Step, Store, WorkerId, Writer,
};

use crate::place::Place;

pub(crate) const FIRST: Position = Position(0);
pub(crate) const SECOND: Position = Position(1);
pub(crate) const THIRD: Position = Position(2);
/// Longer than any test.
pub(crate) const LONG: Duration = Duration::from_secs(3600);

pub(crate) fn id(job_id: &str) -> JobId {
    JobId::from(job_id)
}

/// A job of two collections.
pub(crate) fn job(job_id: &str) -> NewJob {
    let collection = |name: &str, rows_total| NewCollectionRecord {
        source: format!("default.{name}"),
        target: format!("default.{name}"),
        rows_total,
    };
    NewJob {
        job_id: id(job_id),
        kind: JobKind::Plain,
        source: "http://a:1".into(),
        target: "http://b:1".into(),
        request: "{}".into(),
        plan: "{}".into(),
        sample_seed: u64::MAX,
        created_at: "2026-01-01T00:00:00Z".into(),
        databases: vec!["shop".into()],
        collections: vec![collection("books", 100), collection("films", 50)],
        max_rate: None,
    }
}

/// A store with the job `j1` under way.
pub(crate) async fn begun(place: &Place) -> (Arc<dyn Store>, Attempt) {
    let store = place.open().await;
    store.create_job(job("j1")).await.unwrap();
    let attempt = store.begin_attempt(&id("j1")).await.unwrap();
    (store, attempt)
}

/// The same with the splits of its first collection planned: `(.., m]` and `(m, ..)`.
pub(crate) async fn planned(place: &Place) -> (Arc<dyn Store>, Attempt, Vec<Split>) {
    let (store, attempt) = begun(place).await;
    let splits = vec![split(None, Some("m")), split(Some("m"), None)];
    let splits = store.plan_splits(&attempt, FIRST, splits).await.unwrap();
    (store, attempt, splits)
}

pub(crate) fn split(after: Option<&str>, until: Option<&str>) -> NewSplit {
    NewSplit {
        partition: Some("p".into()),
        after: after.map(str::to_owned),
        until: until.map(str::to_owned),
        rows_planned: 10,
    }
}

pub(crate) async fn writer(store: &dyn Store, ttl: Duration) -> Writer {
    store.open_writer(&id("j1"), FIRST, &WorkerId::generate(), ttl).await.unwrap()
}

/// A claim of a split by a writer of its own that nobody takes over.
pub(crate) async fn claimed(store: &dyn Store, split: &Split) -> Claim {
    let writer = writer(store, LONG).await;
    store.claim(&writer, split.split_id).await.unwrap().unwrap().0
}

/// Where a split is: cursor and intent.
pub(crate) type At<'a> = (Option<&'a str>, Option<&'a str>);

pub(crate) fn at(split: &Split) -> At<'_> {
    (split.cursor.as_deref(), split.intent.as_deref())
}

/// A step from one place to another. Five rows are written where the cursor moves.
pub(crate) fn step(from: At<'_>, to: At<'_>) -> Step {
    let owned = |key: Option<&str>| key.map(str::to_owned);
    let rows = if to.0.is_some() { 5 } else { 0 };
    Step {
        cursor: owned(from.0),
        intent: owned(from.1),
        to_cursor: owned(to.0),
        to_intent: owned(to.1),
        progress: Progress { rows_read: rows, rows_written: rows, bytes: 10 * rows },
        samples: to.0.map(str::to_owned).into_iter().collect(),
        marks: to.0.map(|key| (key.to_owned(), rows)).into_iter().collect(),
    }
}

/// The step that ends where a split is, and does nothing.
pub(crate) fn rest(split: &Split) -> Step {
    Step::from(split)
}

pub(crate) fn refused(key: &str) -> Quarantined {
    Quarantined { partition: "p".into(), key: key.into(), reason: "too long".into(), in_doubt: false }
}
