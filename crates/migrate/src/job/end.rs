//! The last look of a job at both sides. What was complete early, perhaps for an attempt of days ago, must still be there
//! on the target, and must still be what the source holds.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use vecferry_milvus::{CollectionName, Error, ErrorKind};
use vecferry_store::Position;

use super::drift;
use super::drift::Holding;
use super::round::Round;
use super::run::Ended;
use super::run::Job;
use super::run::replaced;
use crate::cluster::connect::same_server;
use crate::cluster::flush;
use crate::cluster::retry::repeat;
use crate::event::Phase;
use crate::plan::{Plan, PlannedCollection};
use crate::problem::store_failed;
use crate::problem::{Code, Problem, Side, Told, words_of};
use crate::read::reader;
use crate::report::{CountedRows, Report, Writes};
use crate::request::Selector;
use crate::target;

/// Collections that are looked at once more at the end, at once.
const LOOKS_PARALLEL: usize = 8;

/// What was begun so short a time ago need not be looked at again.
const LOOK_AGE_MAX: Duration = Duration::from_secs(5);

/// Collections that are named of those that came.
const NAMED_MAX: usize = 10;

impl Job {
    /// Looks at every complete collection once more, and records what it saw as facts.
    pub(super) async fn look_at_end(&self, plan: &Plan, ended: &mut [Ended]) {
        // While others were copied behind it, much may have happened.
        let is_alone = plan.here().count() == 1;
        // Behind a cut-over the target takes over: what was written since the comparison would be lost.
        let is_looked_at = is_alone && self.round.purpose().is_none();
        let complete = ended.iter_mut().zip(plan.here());
        let looks: Vec<_> = complete
            .filter(|(ended, _)| ended.report.phase == Phase::Done)
            .map(|(ended, (position, planned))| {
                if !is_looked_at {
                    ended.looked_at = None;
                }
                self.look_once_more(position, planned, ended)
            })
            .collect();
        stream::iter(looks).buffer_unordered(LOOKS_PARALLEL).collect::<Vec<()>>().await;
    }

    async fn look_once_more(&self, position: Position, planned: &PlannedCollection, ended: &mut Ended) {
        let looks = async {
            match self.round.writes_go_on() {
                true if ended.report.evidence.followed_later => (Ok(()), None),
                true => (self.still_there(position, planned).await, None),
                false => {
                    let stayed = self.source_stayed(position, planned, ended);
                    let (there, stayed) = tokio::join!(self.still_there(position, planned), stayed);
                    (there, Some(stayed))
                }
            }
        };
        let (there, stayed) = Box::pin(self.watched(planned, looks)).await;
        let evidence = &mut ended.report.evidence;
        evidence.there_at_end = there.is_ok();
        evidence.source_looked_at_end = matches!(stayed, Some(Ok(())));
        let found: Vec<_> = [Some(there), stayed].into_iter().flatten().filter_map(Result::err).collect();
        if !found.is_empty() {
            ended.report.phase = Phase::Failed;
            ended.problems.extend(found);
        }
    }

    /// A look that was canceled on its way saw nothing, whatever it says.
    pub(super) fn forget_canceled_look(&self, ended: &mut [Ended]) {
        if !self.cancel.is_cancelled() {
            return;
        }
        for ended in ended.iter_mut().filter(|ended| ended.report.phase == Phase::Done) {
            ended.report.evidence.source_looked_at_end = false;
            ended.report.phase = Phase::Canceled;
        }
    }

    /// Collections that came to the source since the plan was made, where the job means whole databases.
    pub(super) async fn came_to_source(&self, plan: &Plan) -> Vec<Problem> {
        if self.cancel.is_cancelled() {
            return Vec::new();
        }
        let names = match self.collections_meant().await {
            Ok(names) => names,
            Err(_) if self.cancel.is_cancelled() => return Vec::new(),
            Err(error) => {
                let problem = Problem::new(Code::SourceFailed).with("collection", "*");
                return vec![problem.told("detail", words_of(&error))];
            }
        };
        let is_planned = |name: &CollectionName| plan.here().any(|(_, planned)| planned.source == *name);
        let is_made = |name: &CollectionName| plan.here().any(|(_, planned)| planned.target == *name);
        let mut new: Vec<_> = names.into_iter().filter(|name| !is_planned(name)).collect();
        if new.iter().any(is_made) {
            // Within one cluster, what the job made is there as well; elsewhere it is another of the same name.
            match same_server(&self.source, &self.target).await {
                Ok(Some(_)) => new.retain(|name| !is_made(name)),
                Ok(None) => {}
                Err(problem) => return vec![problem],
            }
        }
        if self.round.writes_go_on() {
            let job_id = self.attempt.job_id();
            let came = |new| Problem::new(Code::CollectionsCame).with("job", job_id).told("collections", new);
            return (!new.is_empty()).then(|| came(Told::names(&new))).into_iter().collect();
        }
        if new.len() > NAMED_MAX {
            let detail = Told::names(&new).behind(
                "created after the plan; this job does not copy them: ",
                "在生成计划之后创建，本任务不会复制：",
            );
            let problem = Problem::new(Code::SourceObjectsChanged).with("collection", "*");
            return vec![problem.told("detail", detail)];
        }
        let problem = |name| {
            let problem = Problem::new(Code::SourceObjectsChanged).with("collection", name);
            problem.told(
                "detail",
                Told::both(
                    "created after the plan; this job does not copy it",
                    "在生成计划之后创建，本任务不会复制",
                ),
            )
        };
        new.into_iter().map(problem).collect()
    }

    /// What the source holds now of the databases that are meant as a whole.
    pub(super) async fn collections_meant(&self) -> Result<Vec<CollectionName>, Error> {
        let selection = &self.request.selection;
        let databases = match selection.included() {
            [] => repeat(&self.cancel, || self.source.databases()).await?,
            included => {
                let whole = included.iter().filter_map(|selector| match selector {
                    Selector::Database(db) => Some(db.clone()),
                    Selector::Collection(_) => None,
                });
                whole.collect()
            }
        };
        let mut names = Vec::new();
        for db in &databases {
            let listed = match repeat(&self.cancel, || self.source.collections(db)).await {
                // It was dropped: of a job that copies in one go, its collections tell that.
                Err(error) if error.kind() == ErrorKind::DatabaseNotFound => Vec::new(),
                listed => listed?,
            };
            names.extend(listed.into_iter().map(|name| CollectionName::new(db, name)));
        }
        names.retain(|name| !selection.excludes(name));
        Ok(names)
    }

    /// Keeps for later attempts that a source changed: what shows it now, compaction may hide until then.
    pub(super) async fn record_drift(&self, plan: &Plan, ended: &mut [Ended]) {
        // A cut-over that saw it is not gone on with.
        if self.round != Round::Plain {
            return;
        }
        for (ended, (position, _)) in ended.iter_mut().zip(plan.here()) {
            let said = ended.problems.iter().chain(&ended.warnings);
            let Some(drift) = said.into_iter().find(|problem| problem.code == Code::Drift) else { continue };
            let recorded = match serde_json::to_string(drift) {
                Ok(document) => self
                    .store
                    .record_drift_seen(&self.attempt, position, document)
                    .await
                    .map_err(|error| store_failed(self.attempt.job_id(), &error)),
                Err(error) => Err(store_failed(self.attempt.job_id(), &error)),
            };
            if let Err(problem) = recorded {
                ended.problems.push(problem);
            }
        }
    }

    /// That an earlier attempt saw the source change.
    async fn seen_before(&self, position: Position) -> Result<Option<Problem>, Problem> {
        let job_id = self.attempt.job_id();
        let record = self.store.collection(job_id, position).await;
        let Some(document) = record.map_err(|error| store_failed(job_id, &error))?.drift_seen else {
            return Ok(None);
        };
        let mut drift: Problem =
            serde_json::from_str(&document).map_err(|error| store_failed(job_id, &error))?;
        for (name, value) in &mut drift.values {
            match &**name {
                "checks" => value.push_str("; detected by an earlier attempt"),
                "checks_zh" => value.push_str("；由此前的尝试检测到"),
                _ => {}
            }
        }
        Ok(Some(drift))
    }

    /// The target has the collection under its recorded number.
    async fn still_there(&self, position: Position, planned: &PlannedCollection) -> Result<(), Problem> {
        let job_id = self.attempt.job_id();
        let record = self.store.collection(job_id, position).await;
        let id = record.map_err(|error| store_failed(job_id, &error))?.target_id;
        let id = id.ok_or_else(|| replaced(planned, job_id))?;
        self.claim(position, planned).sweep().await?;
        let failed = |error: vecferry_milvus::Error| {
            let problem = Problem::new(Code::TargetFailed).with("collection", &planned.target);
            problem.told("detail", words_of(&error))
        };
        let made = target::describe_own(&self.target, &planned.target, id).await.map_err(failed)?;
        let made = made.ok_or_else(|| replaced(planned, job_id))?;
        // The last step of a cut-over comes behind this.
        let is_finished = self.round == Round::Plain;
        // What was looked at when it was complete may have been changed while others were copied.
        let changes =
            target::changes_of_complete(&self.target, planned, &made, is_finished, &self.cancel).await;
        match changes.map_err(failed)? {
            None => Ok(()),
            Some(detail) => {
                let problem = Problem::new(Code::SchemaChanged).with("collection", &planned.source);
                Err(problem.told("detail", detail))
            }
        }
    }

    /// The source consists of what it did, and counts what it did where it can be counted without loading it.
    async fn source_stayed(
        &self,
        position: Position,
        planned: &PlannedCollection,
        ended: &mut Ended,
    ) -> Result<(), Problem> {
        let mut found = match ended.looked_at {
            // Its counts, its definition and its stored segments were looked at behind the copy, a moment ago.
            Some(looked) if looked.elapsed() <= LOOK_AGE_MAX => Vec::new(),
            Some(_) | None => self.changes_since(position, planned, ended).await?,
        };
        found.extend(self.seen_before(position).await?);
        if self.request.allow_drift {
            let is_new = |problem: &Problem| ended.warnings.iter().all(|known| known.code != problem.code);
            let new: Vec<_> = found.into_iter().filter(is_new).collect();
            ended.warnings.extend(new);
            return Ok(());
        }
        found.into_iter().next().map_or(Ok(()), Err)
    }

    /// What changed on the source since the collection was complete.
    async fn changes_since(
        &self,
        position: Position,
        planned: &PlannedCollection,
        ended: &mut Ended,
    ) -> Result<Vec<Problem>, Problem> {
        let failed = |error: vecferry_milvus::Error| {
            let problem = Problem::new(Code::SourceFailed).with("collection", &planned.source);
            problem.told("detail", words_of(&error))
        };
        let before = ended.report.evidence.source_after.clone().unwrap_or_default();
        let (now, written) =
            tokio::join!(self.rows_at_end(planned, &before), self.written_since(position, planned, ended));
        let now = now.map_err(failed)?;
        let changes = drift::changes_of_source(&self.source, planned, &now).await.map_err(failed)?;
        let mut found = Vec::new();
        if !changes.is_empty() {
            found.push(drift::source_changed(planned, &changes));
        }
        if drifted(&before, &now, drift::expires(planned)) {
            found.push(
                Problem::new(Code::Drift)
                    .with("collection", &planned.source)
                    .with("before", before.whole)
                    .with("after", now.whole)
                    .told("checks", Told::both("row counts at the end of the job", "任务结束时的行数")),
            );
        }
        found.extend(written?);
        Ok(found)
    }

    /// Rows of the source at the end; those of before where it would have to be loaded to count them.
    async fn rows_at_end(
        &self,
        planned: &PlannedCollection,
        before: &CountedRows,
    ) -> Result<CountedRows, Error> {
        if !planned.readable {
            let whole = self.rows_of_unreadable(planned).await?;
            return Ok(CountedRows { whole, ..CountedRows::default() });
        }
        if planned.needs_load {
            return Ok(before.clone());
        }
        let reader = reader(Side::Source, &self.source, &planned.described, &planned.described, &self.cancel);
        reader.fresh().await?.count_all(&planned.partitions).await
    }

    /// Whether rows of the source were written after the collection was complete, by its stored segments.
    async fn written_since(
        &self,
        position: Position,
        planned: &PlannedCollection,
        ended: &mut Ended,
    ) -> Result<Option<Problem>, Problem> {
        let job_id = self.attempt.job_id();
        let record = self.store.collection(job_id, position).await;
        let recorded = record.map_err(|error| store_failed(job_id, &error))?.source_counts;
        let of_round = ended.before.clone();
        let report = ended.report.drift.as_mut().filter(|drift| drift.writes == Some(Writes::None));
        let Some(report) = report else { return Ok(None) };
        let before = match (of_round, recorded) {
            (Some(before), _) => before,
            (None, Some(recorded)) => {
                Holding::read(&recorded).map_err(|error| store_failed(job_id, &error))?
            }
            (None, None) => return Ok(None),
        };
        // In front of a switch, also what was not flushed counts.
        let writes = match self.round.purpose() {
            Some(_) => drift::writes_since(self, planned, &before).await,
            None => drift::writes_at_end(self, planned, &before).await,
        };
        let writes = writes.map_err(|error| {
            let problem = Problem::new(Code::SourceFailed).with("collection", &planned.source);
            problem.told("detail", words_of(&error))
        })?;
        Ok(drift::add_writes(report, writes).then(|| drift::problem(&planned.source, report)))
    }

    /// Rows of a source collection that cannot be loaded for want of an index. Rows that were never flushed show in no
    /// statistic.
    pub(super) async fn rows_of_unreadable(
        &self,
        planned: &PlannedCollection,
    ) -> Result<u64, vecferry_milvus::Error> {
        flush::flush(&self.source, Side::Source, &planned.source, &self.cancel).await?;
        self.source.row_estimate(&planned.source).await
    }
}

/// Collections that cannot be counted when the job ends, because the source holds them no longer in memory. Inserted
/// and updated rows show in the stored segments; deleted ones do not. With one collection, its own end is the job's, but
/// behind that of a cut-over comes the switch.
pub(super) fn deletes_unseen(plan: &Plan, report: &Report, round: Round) -> Option<Problem> {
    let released = plan
        .here()
        .zip(&report.collections)
        .filter(|((_, planned), collection)| planned.needs_load && collection.phase == Phase::Done);
    let names: Vec<_> = released.map(|((_, planned), _)| planned.source.to_string()).collect();
    let is_told = !names.is_empty() && (plan.here().count() > 1 || round.purpose().is_some());
    is_told.then(|| Problem::new(Code::DeletesUnseen).told("collections", Told::names(&names)))
}

fn drifted(before: &CountedRows, now: &CountedRows, expires: bool) -> bool {
    let fell = |before: u64, now: u64| now < before && expires;
    let differs = |before: u64, now: u64| now != before && !fell(before, now);
    let of = |counted: &CountedRows, name: &String| counted.partitions.get(name).copied().unwrap_or_default();
    let names = before.partitions.keys().chain(now.partitions.keys());
    differs(before.whole, now.whole) || names.into_iter().any(|name| differs(of(before, name), of(now, name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_moved_between_partitions_are_drift_and_rows_that_ended_are_not() {
        let counted = |p: u64, q: u64| CountedRows {
            whole: p + q,
            partitions: [("p".to_owned(), p), ("q".to_owned(), q)].into(),
        };
        assert!(!drifted(&counted(4, 5), &counted(4, 5), false));
        assert!(drifted(&counted(4, 5), &counted(5, 4), false));
        assert!(drifted(&counted(4, 5), &counted(4, 4), false));
        assert!(!drifted(&counted(4, 5), &counted(4, 4), true));
        assert!(drifted(&counted(4, 5), &counted(3, 6), true));
        let gone = CountedRows { whole: 4, partitions: [("p".to_owned(), 4)].into() };
        assert!(drifted(&counted(4, 5), &gone, false));
    }
}
