//! The end of a cut-over: aliases and late properties, for all collections or for none.
//!
//! From the moment at which it is recorded that the switch begins, applications may use the target: nothing of the rows is
//! touched or judged any more. What was seen until then is recorded beside that, and is what the success is concluded from,
//! whichever attempt comes to the end.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;
use vecferry_milvus::{CollectionName, ErrorKind};
use vecferry_store::Position;

use super::conclusion::{Asked, Gap, gaps};
use super::control::unreadable;
use super::follow::OF_ROUND;
use super::next_round::Purpose;
use super::run::{Ended, Job, replaced};
use crate::cluster::connect::denied;
use crate::cluster::retry::repeat;
use crate::plan::{Plan, PlannedCollection, show};
use crate::problem::{Code, Problem, Side, store_failed, words_of};
use crate::report::{CollectionReport, Report};
use crate::target;

/// What was seen before the switch, by attempt.
const FACT_PROVED: &str = "proved";
/// Collections that are switched at once.
const SWITCHES_PARALLEL: usize = 8;

impl Job {
    /// Whether a cut-over has shown everything that has to be shown before the target takes over.
    pub(super) fn may_switch(&self, report: &Report, asked: &[Asked]) -> bool {
        let is_shown = |(collection, asked): (&CollectionReport, &Asked)| {
            gaps(&collection.evidence, *asked).iter().all(|gap| *gap == Gap::NotFinished)
        };
        self.round.purpose() == Some(Purpose::CutOver)
            && report.problems.is_empty()
            && !self.cancel.is_cancelled()
            && report.collections.len() == asked.len()
            && report.collections.iter().zip(asked).all(is_shown)
    }

    /// Switches to the target, and tells what kept it from that.
    pub(super) async fn switch(&self, plan: &Plan, report: &mut Report) {
        let begun = self.begin_switch(report).await;
        match begun {
            Ok(()) => self.finish_switch(plan, report).await,
            Err(problems) => report.problems.extend(problems),
        }
    }

    async fn begin_switch(&self, report: &Report) -> Result<(), Vec<Problem>> {
        let failed = |error: vecferry_store::Error| vec![store_failed(self.attempt.job_id(), &error)];
        let document =
            serde_json::to_string(report).map_err(|error| vec![unreadable(&*self.store, &error)])?;
        let name = format!("{FACT_PROVED}-{:09}", self.attempt.number());
        self.store.record_round_fact(&self.attempt, OF_ROUND, &name, document).await.map_err(failed)?;
        self.store.intend_switch(&self.attempt).await.map_err(failed)
    }

    /// Aliases that lead to collections of others on the target, or that two collections are to have there: they can't be
    /// given.
    pub(super) async fn aliases_of_others(&self, plan: &Plan) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut names: BTreeSet<_> = plan.here().map(|(_, planned)| planned.target.clone()).collect();
        for (_, planned) in plan.here() {
            for alias in &planned.aliases {
                let name = CollectionName::new(&planned.target.db, alias);
                if !names.insert(name.clone()) {
                    let problem = Problem::new(Code::AliasTaken).with("alias", alias);
                    problems.push(problem.with("collection", &planned.source));
                    continue;
                }
                match repeat(&self.cancel, || self.target.describe(&name)).await {
                    Ok(owner) if owner.name == planned.target => {}
                    Ok(_) => {
                        let problem = Problem::new(Code::AliasTaken).with("alias", alias);
                        problems.push(problem.with("collection", &planned.source));
                    }
                    Err(error) if error.kind() == ErrorKind::CollectionNotFound => {}
                    Err(error) => problems.push(not_switched(planned, &error)),
                }
            }
        }
        problems
    }

    /// What earlier attempts saw before the switch that one of them began.
    pub(super) async fn proved(&self) -> Result<Report, Problem> {
        let (job_id, number) = (self.attempt.job_id(), self.round.number().unwrap_or_default());
        let facts = self.store.round_facts(job_id, number).await;
        let facts = facts.map_err(|error| store_failed(job_id, &error))?;
        let proved =
            facts.iter().filter(|fact| fact.name.starts_with(FACT_PROVED)).max_by_key(|fact| &fact.name);
        let document = proved.map(|fact| fact.document.as_str()).unwrap_or_default();
        serde_json::from_str(document).map_err(|error| unreadable(&*self.store, &error))
    }

    /// Sets what is set last, for every collection. It can be repeated.
    pub(super) async fn finish_switch(&self, plan: &Plan, report: &mut Report) {
        let each: Vec<_> = plan
            .here()
            .zip(&mut report.collections)
            .map(|((position, planned), collection)| self.switch_one(position, planned, collection))
            .collect();
        let ended: Vec<_> = stream::iter(each).buffer_unordered(SWITCHES_PARALLEL).collect().await;
        report.problems.extend(ended.into_iter().filter_map(Result::err));
    }

    /// What an earlier attempt switched.
    fn finished_before(&self, position: Position) -> Option<CollectionReport> {
        let ended: Ended = serde_json::from_str(self.done_before.get(&position)?).ok()?;
        let is_finished = self.course.is_switching && ended.report.evidence.finished;
        is_finished.then_some(ended.report)
    }

    async fn switch_one(
        &self,
        position: Position,
        planned: &PlannedCollection,
        collection: &mut CollectionReport,
    ) -> Result<(), Problem> {
        let job_id = self.attempt.job_id();
        // An earlier attempt came so far: applications may have changed it since.
        if let Some(finished) = self.finished_before(position) {
            *collection = finished;
            return Ok(());
        }
        // Half of it would be worse than all: it is short.
        let never = CancellationToken::new();
        let record = self.store.collection(job_id, position).await;
        let record = record.map_err(|error| store_failed(job_id, &error))?;
        let failed = |error: vecferry_milvus::Error| not_switched(planned, &error);
        let own = match record.target_id {
            Some(id) => target::describe_own(&self.target, &planned.target, id).await.map_err(failed)?,
            None => None,
        };
        if own.is_none() {
            return Err(replaced(planned, job_id));
        }
        target::finish(&self.target, planned, &never).await.map_err(failed)?;
        let differing = repeat(&never, || target::finish_differences(&self.target, planned)).await;
        let differing = differing.map_err(failed)?;
        if !differing.is_empty() {
            let problem = Problem::new(Code::SchemaChanged).with("collection", &planned.source);
            return Err(problem.told("detail", show(&differing)));
        }
        collection.evidence.finished = true;
        collection.aliases.clone_from(&planned.aliases);
        let ended = Ended {
            report: collection.clone(),
            before: None,
            problems: Vec::new(),
            warnings: Vec::new(),
            looked_at: None,
            is_put_off: false,
        };
        self.record_done(position, &ended).await
    }
}

fn not_switched(planned: &PlannedCollection, error: &vecferry_milvus::Error) -> Problem {
    denied(Side::Target, error).unwrap_or_else(|| {
        let problem = Problem::new(Code::TargetFailed).with("collection", &planned.target);
        problem.told("detail", words_of(error))
    })
}
