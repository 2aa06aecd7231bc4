//! Whether somebody wrote to a source collection, also where the number of rows stays the same: an update is an insert
//! and a delete.
//!
//! A flush seals what was written so far, and the stored segments are listed. What is inserted after that comes into a
//! segment that the next flush seals, under a number that was not there before (seen on 2.3.5; the answers of 2.5.10
//! and 2.6.18 have the same form). Rows that are deleted stay in their segments until compaction, so deletes alone are
//! left to the counts.
//!
//! A flush disturbs the source, and servers since 2.5 take one in ten seconds a collection. Where the collection is loaded,
//! and counts the same with and without the rows of growing segments, there is nothing to flush: the stored segments hold
//! every row (seen on 2.3.5 and 2.5.10: an update is one row less without them).
//!
//! Compaction and sorting give rows to segments of new numbers as well, and compaction drops deleted rows: on 2.3.5
//! segments of 4,000, 3 and 3 rows became one of 4,000, with six rows updated. Where segments went and others came with
//! no more rows, a write may hide among them, and that is what is answered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use vecferry_milvus::{Client, CollectionName, Error, ErrorKind, Flavor, FlushHandle, Segment};

use crate::cluster::inventory::{as_of_now, everything};
use crate::cluster::retry::{repeat, sleep};
use crate::cluster::shared_flush::SharedFlush;
use crate::cluster::waits::Waiting;
use crate::event::{Awaited, Event, Observer, Side, Wait};
use crate::problem::{Told, found};
use crate::report::{UnseenWrites, Writes};

/// Servers since 2.5 take one flush in ten seconds a collection by default.
pub(super) const LIMITED_MAX: Duration = Duration::from_secs(60);
/// As long as a flush keeps others from being taken, and the call under way.
const JUST_MAX: Duration = Duration::from_secs(12);
const LIMITED_POLL: Duration = Duration::from_secs(1);
/// A flush of a 2.3.5 takes tenths of a second.
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(120);
const FLUSH_POLL: Duration = Duration::from_millis(100);
/// Segments that were just stored are sorted within seconds, unless the server is busy.
const SORT_WAIT_MAX: Duration = Duration::from_secs(10);
const SORT_POLL: Duration = Duration::from_millis(250);

/// What was seen of a collection's stored segments at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Look {
    /// They hold every row that was written before.
    Segments(Vec<Stored>),
    /// Nothing.
    Unseen(UnseenWrites),
}

impl Look {
    /// Rows of the segments, deleted ones too, if they were seen.
    pub(super) fn stored_rows(&self) -> Option<u64> {
        match self {
            Self::Segments(stored) => {
                let rows = stored.iter().filter(|Stored(.., is_deletes)| !is_deletes);
                Some(rows.map(|Stored(_, _, rows, _)| rows.unsigned_abs()).sum())
            }
            Self::Unseen(_) => None,
        }
    }
}

/// A stored segment: its number, its partition's, its rows, and whether it holds deletes instead. Recorded without
/// names: a collection may have thousands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stored(i64, i64, i64, bool);

impl From<Segment> for Stored {
    fn from(segment: Segment) -> Self {
        Self(segment.id, segment.partition_id, segment.rows, segment.holds_deletes)
    }
}

/// A [`Look`], and the segments that were not stored before its flush.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) look: Look,
    pub(super) sealed: Vec<i64>,
    /// The segments that were stored before it.
    pub(super) known: BTreeSet<i64>,
}

/// How to look at the collections of a server.
pub(super) struct Looker<'a> {
    pub(super) source: &'a Client,
    pub(super) flushes: &'a SharedFlush<FlushHandle>,
    pub(super) observer: &'a dyn Observer,
    pub(super) cancel: &'a CancellationToken,
    /// How long a limit of flushes is waited for.
    pub(super) limited_max: Duration,
    /// The whole collection is loaded, so that all its rows can be counted.
    pub(super) is_loaded: bool,
    /// When which collection was flushed last.
    pub(super) flushed: &'a Mutex<BTreeMap<CollectionName, Instant>>,
}

impl Looker<'_> {
    /// Looks before the first row is read. With the segments that its flush brought: until the server has loaded them, their
    /// rows are served as they were before it.
    pub(super) async fn before(&self, name: &CollectionName) -> Result<(Look, BTreeSet<i64>), Error> {
        let looked = self.look(name).await?;
        let Look::Segments(_) = looked.look else { return Ok((looked.look, BTreeSet::new())) };
        // What the flush sealed is sorted in a moment, which gives it another number.
        let (started, mut waiting) = (Instant::now(), Waiting::begin());
        loop {
            let segments = repeat(self.cancel, || self.source.list_stored_segments(name)).await?;
            let is_new = |segment: &Segment| looked.sealed.contains(&segment.id) && !segment.is_sorted;
            let sorts = self.source.version().at_least(2, 5) || segments.iter().any(|one| one.is_sorted);
            let waits = sorts && segments.iter().any(is_new) && !self.cancel.is_cancelled();
            if !waits || started.elapsed() > SORT_WAIT_MAX {
                let ids = segments.iter().map(|segment| segment.id);
                let brought = ids.filter(|id| !looked.known.contains(id)).collect();
                return Ok((Look::Segments(segments.into_iter().map(Stored::from).collect()), brought));
            }
            waiting.during(&Awaited::Sorted { side: Side::Source }, sleep(SORT_POLL, self.cancel)).await;
        }
    }

    /// Looks again, and tells what was written since.
    pub(super) async fn since(&self, name: &CollectionName, before: &Look) -> Result<Writes, Error> {
        match before {
            Look::Unseen(reason) => Ok(Writes::Unknown { reason: *reason }),
            Look::Segments(_) => Ok(judge(before, &self.look(name).await?)),
        }
    }

    /// The same for a collection that was flushed a moment ago: what is stored by now.
    pub(super) async fn since_without_flush(
        &self,
        name: &CollectionName,
        before: &Look,
    ) -> Result<Writes, Error> {
        let listed = repeat(self.cancel, || self.source.list_stored_segments(name)).await?;
        let look = Look::Segments(listed.into_iter().map(Stored::from).collect());
        Ok(judge(before, &Looked { look, sealed: Vec::new(), known: BTreeSet::new() }))
    }

    async fn look(&self, name: &CollectionName) -> Result<Looked, Error> {
        let unseen =
            |reason| Ok(Looked { look: Look::Unseen(reason), sealed: Vec::new(), known: BTreeSet::new() });
        let list = || repeat(self.cancel, || self.source.list_stored_segments(name));
        // A server that does not tell its segments is not flushed for nothing.
        let Some(listed) = told(list().await)? else { return unseen(UnseenWrites::SegmentsNotTold) };
        let known: BTreeSet<_> = listed.iter().map(|segment| segment.id).collect();
        if self.is_all_stored(name).await {
            let again = list().await?;
            // What was flushed meanwhile is in the second list alone, and may not have been counted.
            if listed == again {
                let segments = again.into_iter().map(Stored::from).collect();
                return Ok(Looked { look: Look::Segments(segments), sealed: Vec::new(), known });
            }
        }
        let handle = match told(self.flush(name).await) {
            Ok(Some(handle)) => {
                let mut flushed = self.flushed.lock().unwrap_or_else(PoisonError::into_inner);
                flushed.insert(name.clone(), Instant::now());
                handle
            }
            Ok(None) => return unseen(UnseenWrites::FlushNotAllowed),
            Err(error) if error.kind() == ErrorKind::RateLimited && !self.cancel.is_cancelled() => {
                return unseen(UnseenWrites::FlushLimited);
            }
            Err(error) => return Err(error),
        };
        let (started, mut waiting) = (Instant::now(), Waiting::begin());
        let awaited = Awaited::Stored { side: Side::Source };
        loop {
            match told(repeat(self.cancel, || self.source.flush_state(&handle)).await)? {
                Some(true) => break,
                Some(false) if started.elapsed() > FLUSH_WAIT_MAX || self.cancel.is_cancelled() => {
                    return unseen(UnseenWrites::FlushSlow);
                }
                Some(false) => waiting.during(&awaited, sleep(FLUSH_POLL, self.cancel)).await,
                None => return unseen(UnseenWrites::FlushStateNotTold),
            }
        }
        let segments = list().await?.into_iter().map(Stored::from).collect();
        Ok(Looked { look: Look::Segments(segments), sealed: handle.segments().to_vec(), known })
    }

    /// Whether a flush of it, of which others may be limited now, was made here a moment ago.
    pub(super) fn has_just_flushed(&self, name: &CollectionName) -> bool {
        let flushed = self.flushed.lock().unwrap_or_else(PoisonError::into_inner);
        flushed.get(name).is_some_and(|at| at.elapsed() < JUST_MAX)
    }

    /// Whether every row is in a stored segment; not where that can't be told.
    async fn is_all_stored(&self, name: &CollectionName) -> bool {
        let version = self.source.version();
        // No other server was seen to count so, and one that did not would hide what is not stored.
        let is_seen = version.flavor == Flavor::Milvus
            && (version.at_least(2, 3) && !version.at_least(2, 4)
                || version.at_least(2, 5) && !version.at_least(2, 6));
        if !is_seen || !self.is_loaded {
            return false;
        }
        let Ok(now) = as_of_now(self.source).await else { return false };
        let everything = everything(name, 0, now);
        // In this order: a row that comes in between is too many in the second count.
        let Ok(all) = self.source.count(&everything).await else { return false };
        self.source.count_sealed(&everything).await.is_ok_and(|sealed| sealed == all)
    }

    /// Begins a flush, together with others that are ready now; a limit is waited for alone.
    async fn flush(&self, name: &CollectionName) -> Result<FlushHandle, Error> {
        let call = |names: Vec<String>| async move {
            let flushed = repeat(self.cancel, || async {
                match self.source.flush(&name.db, &names).await {
                    Err(error) if error.kind() == ErrorKind::RateLimited => Ok(Err(error)),
                    answered => answered.map(Ok),
                }
            });
            flushed.await?
        };
        let started = Instant::now();
        let mut flushed = self.flushes.flush(name, call).await;
        loop {
            match flushed {
                Err(error)
                    if error.kind() == ErrorKind::RateLimited && started.elapsed() < self.limited_max =>
                {
                    if self.cancel.is_cancelled() {
                        return Err(error);
                    }
                    let (collection, reason) = (name.clone(), Wait::SourceLimit);
                    self.observer.on_event(Event::Waiting { collection, reason });
                    sleep(LIMITED_POLL, self.cancel).await;
                    flushed = call(vec![name.name.clone()]).await.and_then(|handles| {
                        let none =
                            || found(ErrorKind::Malformed, "Flush", Told::both("no answer", "没有响应"));
                        handles.into_iter().next().ok_or_else(none)
                    });
                }
                flushed => return flushed,
            }
        }
    }
}

/// `None` where the server does not have a call, or does not let this user make it.
fn told<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// What became of a partition's segments.
#[derive(Default)]
struct Moved {
    came: i64,
    went: i64,
}

/// What was written between two looks, the later one right after a flush.
fn judge(before: &Look, after: &Looked) -> Writes {
    let (before, stored) = match (before, &after.look) {
        (Look::Segments(before), Look::Segments(stored)) => (before, stored),
        (Look::Unseen(reason), _) | (_, Look::Unseen(reason)) => return Writes::Unknown { reason: *reason },
    };
    let known: BTreeMap<i64, i64> = before.iter().map(|Stored(id, _, rows, _)| (*id, *rows)).collect();
    let stays: BTreeSet<i64> = stored.iter().map(|Stored(id, ..)| *id).collect();
    let mut partitions: BTreeMap<i64, Moved> = BTreeMap::new();
    for Stored(_, partition, rows, _) in
        before.iter().filter(|Stored(id, .., is_deletes)| !is_deletes && !stays.contains(id))
    {
        partitions.entry(*partition).or_default().went += rows;
    }
    // Rows of segments that this flush sealed were written after the one before; deletes come by writes only.
    let (mut sealed, mut deletes) = (0, 0);
    for Stored(id, partition, rows, is_deletes) in stored {
        let new = rows - known.get(id).copied().unwrap_or_default();
        match is_deletes {
            true if known.contains_key(id) => {}
            true => deletes += new.max(1),
            false => {
                partitions.entry(*partition).or_default().came += new.max(0);
                if after.sealed.contains(id) {
                    sealed += new.max(0);
                }
            }
        }
    }
    let more: i64 = partitions.values().map(|moved| (moved.came - moved.went).max(0)).sum();
    let written = more.max(sealed) + deletes;
    if written > 0 {
        return Writes::Written { rows: written.unsigned_abs() };
    }
    match partitions.values().any(|moved| moved.came > 0) {
        true => Writes::Unknown { reason: UnseenWrites::Rewritten },
        false => Writes::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: [(i64, i64, i64); 3] = [(1, 10, 4000), (2, 10, 1000), (3, 11, 4000)];

    fn look(segments: &[(i64, i64, i64)]) -> Look {
        Look::Segments(segments.iter().map(|(id, of, rows)| Stored(*id, *of, *rows, false)).collect())
    }

    #[test]
    fn writes_are_told_from_compaction_and_sorting() {
        let unknown = Writes::Unknown { reason: UnseenWrites::Rewritten };
        let written = |rows| Writes::Written { rows };
        let [a, b, c] = BEFORE;
        for (what, after, sealed, expected) in [
            ("nothing", &[a, b, c][..], &[][..], Writes::None),
            ("an update", &[a, b, c, (4, 10, 3)], &[4], written(3)),
            ("an update that a flush of somebody else stored", &[a, b, c, (4, 10, 3)], &[], written(3)),
            ("updates in two partitions", &[a, b, c, (4, 10, 3), (5, 11, 2)], &[4, 5], written(5)),
            ("an insert into a new partition", &[a, b, c, (4, 12, 7)], &[4], written(7)),
            (
                "an update, and others were merged meanwhile",
                &[(6, 10, 4900), c, (4, 10, 3)],
                &[4],
                written(3),
            ),
            (
                "an update, and another partition was rewritten",
                &[a, b, (6, 11, 3000), (4, 10, 3)],
                &[],
                written(3),
            ),
            ("an update that was merged, nothing deleted before", &[(6, 10, 5003), c], &[], written(3)),
            ("an update that was merged into the same number of rows", &[(6, 10, 5000), c], &[], unknown),
            ("the same, and its segment was empty then", &[(6, 10, 5000), c], &[4], unknown),
            ("merged without a write", &[(6, 10, 5000), c], &[], unknown),
            ("deleted rows dropped", &[(6, 10, 3990), b, c], &[], unknown),
            ("sorted", &[(6, 10, 4000), (7, 10, 1000), (8, 11, 4000)], &[], unknown),
            ("a segment of deleted rows only went away", &[a, c], &[], Writes::None),
            ("a partition was dropped", &[c], &[], Writes::None),
            ("a sealed segment without rows", &[a, b, c, (4, 10, 0)], &[4], Writes::None),
            ("a sealed segment that was dropped as empty", &[a, b, c], &[4], Writes::None),
            ("a segment that still grew at the first look", &[a, (2, 10, 1002), c], &[], written(2)),
        ] {
            let after = Looked { look: look(after), sealed: sealed.to_vec(), known: BTreeSet::new() };
            assert_eq!(judge(&look(&BEFORE), &after), expected, "{what}");
        }
    }

    #[test]
    fn deletes_of_their_own_are_writes_and_going_into_the_rows_is_not() {
        let deletes = Stored(9, -1, 0, true);
        let with = |more: Option<Stored>| {
            let rows = BEFORE.iter().map(|(id, of, rows)| Stored(*id, *of, *rows, false));
            Look::Segments(rows.chain(more).collect())
        };
        let judged =
            |before, look| judge(&before, &Looked { look, sealed: Vec::new(), known: BTreeSet::new() });
        assert_eq!(judged(with(None), with(Some(deletes.clone()))), Writes::Written { rows: 1 });
        assert_eq!(judged(with(Some(deletes.clone())), with(Some(deletes.clone()))), Writes::None);
        assert_eq!(judged(with(Some(deletes)), with(None)), Writes::None);
    }

    #[test]
    fn what_was_not_seen_is_not_taken_for_nothing() {
        let reason = UnseenWrites::FlushNotAllowed;
        let unseen = || Look::Unseen(reason);
        let unknown = Writes::Unknown { reason };
        let looked = |look| Looked { look, sealed: Vec::new(), known: BTreeSet::new() };
        assert_eq!(judge(&unseen(), &looked(look(&BEFORE))), unknown);
        assert_eq!(judge(&look(&BEFORE), &looked(unseen())), unknown);
    }

    #[test]
    fn looks_are_recorded() {
        for look in [look(&BEFORE), Look::Unseen(UnseenWrites::Rewritten)] {
            let document = serde_json::to_string(&look).unwrap();
            assert_eq!(serde_json::from_str::<Look>(&document).unwrap(), look, "{document}");
        }
    }
}
