//! How far the collections of a job are, for those who look at it again and again: what stays as it is recorded is read once,
//! and after that only what came later. It is kept in memory alone, for the jobs that were looked at last.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use vecferry_migrate::Problem;
use vecferry_migrate::event::Phase;
use vecferry_migrate::report::{CollectionReport, Findings, Verification};
use vecferry_store::{CollectionOutline, CollectionRecord, Error, EventRecord, JobId, Position, Store};

/// Jobs that are kept; the one that was looked at longest ago goes first.
const JOBS_MAX: usize = 32;
/// Steps that are read at once.
const STEPS_AT_ONCE: usize = 10_000;
/// Where more reports than these are new, all of the job are read at once.
const ONE_BY_ONE_MAX: usize = 20;

/// A collection of a job.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) position: Position,
    pub(crate) name: String,
    pub(crate) target: String,
    pub(crate) phase: Phase,
    /// The last step of its work, where it has ended before its time.
    pub(crate) reached: Phase,
    /// What was done behind its copy.
    pub(crate) behind: Behind,
    pub(crate) rows: u64,
    pub(crate) rows_total: u64,
    pub(crate) bytes: u64,
    pub(crate) worked_seconds: f64,
    /// Only of one that is complete.
    pub(crate) done: Option<Arc<Done>>,
}

/// What a collection entered since its rows were copied: its indexes are begun behind the comparison where the target can be
/// loaded without them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Behind {
    /// Neither.
    #[default]
    Nothing,
    /// Its indexes.
    Indexed,
    /// The comparison.
    Compared,
    /// Its indexes, and the comparison behind them.
    IndexedCompared,
    /// The comparison, and its indexes behind it.
    ComparedIndexed,
}

impl Behind {
    /// What it is once a step is entered.
    pub(crate) fn after(self, phase: Phase) -> Self {
        match (phase, self) {
            // What was copied once more is indexed and compared once more.
            (
                Phase::Waiting | Phase::LoadingSource | Phase::Creating | Phase::Copying | Phase::Flushing,
                _,
            ) => Self::Nothing,
            (Phase::Indexing, Self::Nothing) => Self::Indexed,
            (Phase::Indexing, Self::Compared) => Self::ComparedIndexed,
            (Phase::Verifying, Self::Nothing) => Self::Compared,
            (Phase::Verifying, Self::Indexed) => Self::IndexedCompared,
            (Phase::Indexing | Phase::Verifying | Phase::Done | Phase::Failed | Phase::Canceled, known) => {
                known
            }
        }
    }

    /// Whether it was indexed, or is.
    pub(crate) fn is_indexed(self) -> bool {
        match self {
            Self::Indexed | Self::IndexedCompared | Self::ComparedIndexed => true,
            Self::Nothing | Self::Compared => false,
        }
    }

    /// Whether it was compared, or is.
    pub(crate) fn is_compared(self) -> bool {
        match self {
            Self::Compared | Self::IndexedCompared | Self::ComparedIndexed => true,
            Self::Nothing | Self::Indexed => false,
        }
    }

    /// Whether the comparison came first; none where neither began.
    pub(crate) fn compares_first(self) -> Option<bool> {
        match self {
            Self::Nothing => None,
            Self::Indexed | Self::IndexedCompared => Some(false),
            Self::Compared | Self::ComparedIndexed => Some(true),
        }
    }
}

/// What is known of a collection that is complete.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// Where anything was compared; without what was found, which may be much.
    pub(crate) verification: Option<Verification>,
    /// Rows that differ and must not.
    pub(crate) differing: u64,
    /// Whether its report tells of rows that differ, or of problems.
    pub(crate) has_details: bool,
}

/// What is recorded of a collection at its end.
#[derive(Deserialize)]
pub(crate) struct StoredEnd {
    pub(crate) report: CollectionReport,
    #[serde(default)]
    pub(crate) problems: Vec<Problem>,
}

impl StoredEnd {
    /// Of a collection that is complete; none where it is not, or can't be read.
    pub(crate) fn of(record: &CollectionRecord) -> Option<Self> {
        let document = record.report.as_deref().filter(|_| record.done)?;
        serde_json::from_str(document).ok()
    }
}

impl Done {
    fn of(StoredEnd { report, problems }: StoredEnd) -> Self {
        let proof = report.verification.filter(came_to_something);
        let findings = proof.as_ref().and_then(|proof| proof.findings.as_ref());
        let has_findings = findings.is_some_and(|findings| *findings != Findings::default());
        Self {
            rows: report.rows,
            bytes: report.bytes,
            differing: proof.as_ref().map_or(0, differing_rows),
            has_details: has_findings || !problems.is_empty(),
            verification: proof.map(|proof| Verification { findings: None, repair: None, ..proof }),
        }
    }
}

/// A step that a collection entered, as it is recorded.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct StoredStep {
    pub(crate) collection: String,
    pub(crate) phase: Phase,
}

impl StoredStep {
    /// What an event tells; none of one that this version does not know.
    pub(crate) fn of(event: &EventRecord) -> Option<Self> {
        serde_json::from_str(&event.event).ok()
    }
}

/// One that did not come to compare anything is none.
pub(crate) fn came_to_something(proof: &Verification) -> bool {
    proof.passed || proof.counts_compared > 0 || proof.rows_compared > 0 || proof.findings.is_some()
}

/// Rows that differ and must not; where no row was named, those that one side has more.
pub(crate) fn differing_rows(proof: &Verification) -> u64 {
    let found = proof.findings.as_ref().map_or(0, |findings| {
        [&findings.missing, &findings.extra, &findings.changed, &findings.repeated_on_target]
            .iter()
            .map(|found| found.rows)
            .sum()
    });
    match proof.passed {
        true => found,
        false => found.max(proof.source_rows.abs_diff(proof.target_rows)),
    }
}

/// What of a plan is shown of a job under way.
#[derive(Default, Deserialize)]
struct StoredPlan {
    #[serde(default)]
    duration: Option<StoredDuration>,
}

#[derive(Deserialize)]
struct StoredDuration {
    index_seconds: Option<f64>,
}

/// The last step of a collection.
#[derive(Clone, Copy, Debug)]
struct Entered {
    event_id: i64,
    phase: Phase,
    reached: Phase,
    behind: Behind,
}

impl Default for Entered {
    fn default() -> Self {
        Self { event_id: 0, phase: Phase::Waiting, reached: Phase::Waiting, behind: Behind::Nothing }
    }
}

/// What was read of a job.
#[derive(Debug, Default)]
struct Kept {
    /// The newest step.
    after: Option<i64>,
    entered: HashMap<String, Entered>,
    /// What complete collections came to, with the step that they were in when that was read: one that is removed and copied
    /// once more enters others.
    done: HashMap<Position, (i64, Option<Arc<Done>>)>,
    /// How long the target builds indexes behind the copy, by the plan, which stays as it is.
    index_seconds: Option<f64>,
}

type Shared = Arc<tokio::sync::Mutex<Kept>>;

/// What was read of the jobs that were looked at last.
#[derive(Debug, Default)]
pub(crate) struct Outlines(Mutex<VecDeque<(JobId, Shared)>>);

impl Outlines {
    /// The collections of a job, in the order of its plan.
    pub(crate) async fn of(&self, store: &dyn Store, job_id: &JobId) -> Result<Vec<Line>, Error> {
        let kept = self.kept(job_id);
        let mut kept = kept.lock().await;
        kept.read_steps(store, job_id).await?;
        let outlines = store.outline(job_id).await?;
        kept.read_ends(store, job_id, &outlines).await?;
        let copied = store.progress(job_id).await?.into_iter();
        let copied: HashMap<_, _> = copied.map(|of| (of.collection, of.progress)).collect();
        let line = |outline: CollectionOutline| {
            let progress = copied.get(&outline.position).copied().unwrap_or_default();
            kept.line(outline, (progress.rows_written, progress.bytes))
        };
        Ok(outlines.into_iter().map(line).collect())
    }

    /// How long the target builds indexes behind the copy of a job, by its plan; 0 where that is not known.
    pub(crate) async fn index_seconds(&self, store: &dyn Store, job_id: &JobId) -> Result<f64, Error> {
        let kept = self.kept(job_id);
        let mut kept = kept.lock().await;
        if let Some(seconds) = kept.index_seconds {
            return Ok(seconds);
        }
        let plan: StoredPlan = serde_json::from_str(&store.job(job_id).await?.plan).unwrap_or_default();
        let seconds = plan.duration.and_then(|duration| duration.index_seconds).unwrap_or(0.0);
        kept.index_seconds = Some(seconds);
        Ok(seconds)
    }

    fn kept(&self, job_id: &JobId) -> Shared {
        let mut jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = jobs.iter().position(|(known, _)| known == job_id).and_then(|at| jobs.remove(at));
        let (job_id, kept) = known.unwrap_or_else(|| (job_id.clone(), Shared::default()));
        jobs.truncate(JOBS_MAX - 1);
        jobs.push_front((job_id, Arc::clone(&kept)));
        kept
    }
}

impl Kept {
    async fn read_steps(&mut self, store: &dyn Store, job_id: &JobId) -> Result<(), Error> {
        loop {
            let events = store.events(job_id, self.after, STEPS_AT_ONCE).await?;
            let is_all = events.len() < STEPS_AT_ONCE;
            for event in events {
                self.after = Some(event.event_id);
                let Some(StoredStep { collection, phase }) = StoredStep::of(&event) else { continue };
                let entered = self.entered.entry(collection).or_default();
                (entered.event_id, entered.phase) = (event.event_id, phase);
                if phase < Phase::Failed {
                    entered.reached = phase;
                }
                entered.behind = entered.behind.after(phase);
            }
            if is_all {
                return Ok(());
            }
        }
    }

    fn entered(&self, name: &str) -> Entered {
        self.entered.get(name).copied().unwrap_or_default()
    }

    /// Reads what complete collections came to, where that is not known.
    async fn read_ends(
        &mut self,
        store: &dyn Store,
        job_id: &JobId,
        outlines: &[CollectionOutline],
    ) -> Result<(), Error> {
        let is_new = |outline: &&CollectionOutline| {
            let read_in = self.done.get(&outline.position).map(|(event_id, _)| *event_id);
            outline.done && read_in != Some(self.entered(&outline.source).event_id)
        };
        let new: Vec<_> = outlines.iter().filter(is_new).map(|outline| outline.position).collect();
        if new.len() > ONE_BY_ONE_MAX {
            for record in store.collections(job_id).await? {
                self.take(&record);
            }
            return Ok(());
        }
        for position in new {
            let record = store.collection(job_id, position).await?;
            self.take(&record);
        }
        Ok(())
    }

    fn take(&mut self, record: &CollectionRecord) {
        let done = StoredEnd::of(record).map(|end| Arc::new(Done::of(end)));
        if record.done {
            self.done.insert(record.position, (self.entered(&record.source).event_id, done));
        }
    }

    fn line(&self, outline: CollectionOutline, (rows, bytes): (u64, u64)) -> Line {
        let Entered { phase, reached, behind, .. } = self.entered(&outline.source);
        // What was removed again is not done any more, whatever it entered before.
        let phase = if phase == Phase::Done && !outline.done { Phase::Waiting } else { phase };
        let done = self.done.get(&outline.position).filter(|_| outline.done);
        let done = done.and_then(|(_, done)| done.clone());
        let (rows, bytes) = done.as_ref().map_or((rows, bytes), |done| (done.rows, done.bytes));
        Line {
            position: outline.position,
            name: outline.source,
            target: outline.target,
            phase,
            reached: if phase == Phase::Waiting { Phase::Waiting } else { reached },
            behind: if phase == Phase::Waiting { Behind::Nothing } else { behind },
            rows,
            rows_total: if done.is_some() { rows } else { outline.rows_total },
            bytes,
            worked_seconds: outline.worked.as_secs_f64(),
            done,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use vecferry_store::{Attempt, Change, JobKind, NewCollectionRecord, NewJob};

    use super::*;

    fn id() -> JobId {
        JobId::from("job")
    }

    /// A job of two collections that began.
    async fn begun(store: &dyn Store) -> Attempt {
        let collection = |name: &str| NewCollectionRecord {
            source: name.to_owned(),
            target: name.to_owned(),
            rows_total: 7,
        };
        let job = NewJob {
            kind: JobKind::Plain,
            job_id: id(),
            source: String::new(),
            target: String::new(),
            request: "{}".into(),
            plan: json!({"duration": {"index_seconds": 5.5}}).to_string(),
            sample_seed: 0,
            created_at: String::new(),
            databases: Vec::new(),
            collections: vec![collection("a"), collection("b")],
            max_rate: None,
        };
        store.create_job(job).await.unwrap();
        store.begin_attempt(&id()).await.unwrap()
    }

    async fn enter(store: &dyn Store, attempt: &Attempt, collection: &str, phase: Phase) {
        let step = json!({"collection": collection, "phase": phase}).to_string();
        store.record_event(attempt, String::new(), step).await.unwrap();
    }

    /// The end of a collection with so many rows, and so many that are missing.
    fn end(rows: u64, missing: u64) -> String {
        let none = json!({"rows": 0, "first": []});
        let found = |rows: u64| json!({"rows": rows, "first": []});
        let findings = json!({"missing": found(missing), "extra": none, "changed": none, "repeated_keys": none,
            "repeated_on_target": none, "swapped": []});
        let verification: Value = json!({"level": "full", "passed": missing == 0, "source_rows": rows,
            "target_rows": rows - missing, "counts_compared": 1, "rows_compared": rows, "duplicate_rows": 0,
            "findings": findings});
        let report = json!({"source_db": "default", "collection": "a", "target_db": "default", "phase": "done",
            "rows": rows, "bytes": rows * 10, "copy_seconds": 1.0, "seconds": 1.0, "partitions": [],
            "verification": verification, "indexes": [], "aliases": [], "changes": [], "loaded": false,
            "created": true});
        json!({"report": report, "problems": []}).to_string()
    }

    async fn change(store: &dyn Store, sql: &str) {
        store.change(vec![Change::new(sql, []).at_least_one()]).await.unwrap();
    }

    #[tokio::test]
    async fn what_stays_is_read_once() {
        let directory = tempfile::tempdir().unwrap();
        let store = vecferry_store::sqlite::open(directory.path()).unwrap();
        let outlines = Outlines::default();
        let attempt = begun(&*store).await;
        let first = Position(0);
        enter(&*store, &attempt, "a", Phase::Copying).await;
        let lines = outlines.of(&*store, &id()).await.unwrap();
        assert_eq!(
            (lines[0].phase, lines[0].rows_total, lines[0].done.is_some()),
            (Phase::Copying, 7, false)
        );
        assert_eq!(lines[1].phase, Phase::Waiting);

        store.record_done(&attempt, first, end(9, 2)).await.unwrap();
        enter(&*store, &attempt, "a", Phase::Done).await;
        let lines = outlines.of(&*store, &id()).await.unwrap();
        let done = lines[0].done.as_ref().unwrap();
        assert_eq!((lines[0].rows, lines[0].rows_total, lines[0].bytes), (9, 9, 90));
        assert_eq!((done.differing, done.has_details), (2, true));
        assert!(done.verification.as_ref().unwrap().findings.is_none());

        // Neither steps nor reports that were read are read again.
        change(&*store, "UPDATE events SET event = '{}'").await;
        change(&*store, "UPDATE collections SET report = 'damaged' WHERE position = 0").await;
        let again = outlines.of(&*store, &id()).await.unwrap();
        assert_eq!((again[0].phase, again[0].rows), (Phase::Done, 9));
        assert!(Arc::ptr_eq(again[0].done.as_ref().unwrap(), done));

        // What is removed is not done, and what is copied once more has another end.
        store.intend_removal(&attempt, first).await.unwrap();
        let removed = outlines.of(&*store, &id()).await.unwrap();
        assert_eq!((removed[0].phase, removed[0].done.is_some()), (Phase::Waiting, false));
        store.record_done(&attempt, first, end(4, 0)).await.unwrap();
        enter(&*store, &attempt, "a", Phase::Done).await;
        let anew = outlines.of(&*store, &id()).await.unwrap();
        let done = anew[0].done.as_ref().unwrap();
        assert_eq!((anew[0].rows, done.differing, done.has_details), (4, 0, false));
    }

    #[tokio::test]
    async fn the_plan_is_read_once() {
        let directory = tempfile::tempdir().unwrap();
        let store = vecferry_store::sqlite::open(directory.path()).unwrap();
        let outlines = Outlines::default();
        let _attempt = begun(&*store).await;
        assert_eq!(outlines.index_seconds(&*store, &id()).await.unwrap(), 5.5);
        change(&*store, "UPDATE jobs SET plan = '{}'").await;
        assert_eq!(outlines.index_seconds(&*store, &id()).await.unwrap(), 5.5);
    }

    #[test]
    fn jobs_that_were_looked_at_long_ago_are_forgotten() {
        let outlines = Outlines::default();
        let first = outlines.kept(&JobId::from("0"));
        for number in 1..JOBS_MAX {
            outlines.kept(&JobId::from(number.to_string().as_str()));
        }
        assert!(Arc::ptr_eq(&first, &outlines.kept(&JobId::from("0"))), "it is one of the last");
        outlines.kept(&JobId::from("new"));
        assert!(Arc::ptr_eq(&first, &outlines.kept(&JobId::from("0"))));
        for number in 100..100 + JOBS_MAX {
            outlines.kept(&JobId::from(number.to_string().as_str()));
        }
        assert!(!Arc::ptr_eq(&first, &outlines.kept(&JobId::from("0"))));
    }
}
