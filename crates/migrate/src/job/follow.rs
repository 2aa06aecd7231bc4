//! What a round behind the warm copy does about a source that changed since the last one: beside its rows, which are
//! compared.
//!
//! Partitions and aliases that came or went are followed; new collections are copied. What a user may not have meant is
//! refused by name before anything is written, unless it was accepted: that collections are gone from the source, and that
//! one is not any more what was copied. Each step can be repeated: an attempt that ended in the middle leaves the source
//! differing from the plan still, and the next one finds that.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use vecferry_milvus::{CollectionName, Error};
use vecferry_store::{ChangedPlan, NewCollectionRecord, Position, Presence};

use super::control::clean_up;
use super::next_round::Purpose;
use super::run::Job;
use crate::cluster::connect::{refusal, same_server};
use crate::cluster::inventory::{Parts, as_of_now, look};
use crate::cluster::load_state::LoadedParts;
use crate::cluster::release::release;
use crate::cluster::retry::repeat;
use crate::plan::properties::PROPERTY_TTL;
use crate::plan::stored::write_plan;
use crate::plan::{Plan, PlannedCollection, SourceChange};
use crate::precheck::{self, CheckList};
use crate::problem::{Code, Problem, Side, Told, store_failed, words_of};
use crate::request::{MigrateRequest, Selection, SourceLoad};

/// Collections that are looked at, at once.
const LOOKS_PARALLEL: usize = 8;

/// Name of the fact that the source was followed: from then on, a cut-over takes every change for a write.
const FACT_FOLLOWED: &str = "followed";

/// Where facts of the whole round are.
pub(super) const OF_ROUND: Position = Position(0);

/// What is to be done about a collection of the plan.
enum Course {
    /// It is compared. What changed is followed.
    Stay(Box<Now>),
    /// The source does not have it any more.
    Dropped,
    /// It is not what was copied.
    Changed(Vec<Told>),
}

/// A collection of the source as it is now.
struct Now {
    parts: Parts,
    load: LoadedParts,
    rows_estimate: u64,
}

impl Job {
    /// Makes of the plan what the source is now, and of the target what follows from that.
    ///
    /// # Errors
    /// Everything that a user has to accept first, or a server or the record fails.
    pub(super) async fn follow_source(&self, plan: &Plan) -> Result<Plan, Vec<Problem>> {
        let is_first = !self.has_followed().await?;
        if self.round.purpose() == Some(Purpose::CutOver) && !is_first {
            return Ok(plan.clone());
        }
        let names = self.collections_meant().await.map_err(|error| vec![refusal(Side::Source, &error)])?;
        let looked = self.look_at_all(plan).await?;
        let came = self.came(plan, &names).await?;
        let refused = self.refused(plan, &looked);
        if !refused.is_empty() {
            return Err(refused);
        }
        let mut new = self.plan_new(&came).await?;
        let mut plan = plan.clone();
        self.follow_partitions(&plan, &looked).await.map_err(|problem| vec![problem])?;
        let mut again = Vec::new();
        for (position, course) in looked {
            let Some(planned) = plan.collections.get_mut(position.index()) else { continue };
            match course {
                Course::Stay(now) => self.follow_collection(planned, *now, is_first),
                Course::Dropped => planned.presence = Presence::Going,
                Course::Changed(_) => {
                    planned.presence = Presence::Going;
                    again.push(planned.source.clone());
                }
            }
        }
        self.change_plan(&plan, Vec::new(), Vec::new()).await?;
        self.remove_going(&mut plan).await?;
        if !again.is_empty() {
            let more = self.plan_new(&again).await?;
            new.0.extend(more.0);
            new.1.extend(more.1);
        }
        self.add(&mut plan, new).await?;
        let recorded = self.store.record_round_fact(&self.attempt, OF_ROUND, FACT_FOLLOWED, "{}".to_owned());
        if !plan.collections.is_empty() {
            recorded.await.map_err(|error| self.not_recorded(error))?;
        }
        self.create_databases().await.map_err(|problem| vec![problem])?;
        Ok(plan)
    }

    async fn has_followed(&self) -> Result<bool, Vec<Problem>> {
        let number = self.round.number().unwrap_or_default();
        let facts = self.store.round_facts(self.attempt.job_id(), number).await;
        let facts = facts.map_err(|error| self.not_recorded(error))?;
        Ok(facts.iter().any(|fact| fact.name == FACT_FOLLOWED))
    }

    fn not_recorded(&self, error: vecferry_store::Error) -> Vec<Problem> {
        vec![store_failed(self.attempt.job_id(), &error)]
    }

    async fn look_at_all(&self, plan: &Plan) -> Result<BTreeMap<Position, Course>, Vec<Problem>> {
        let looks: Vec<_> = plan
            .here()
            .map(|(position, planned)| async move {
                let course = self.look_at(planned).await;
                course.map(|course| (position, course))
            })
            .collect();
        let looked: Result<Vec<_>, Error> = stream::iter(looks).buffered(LOOKS_PARALLEL).try_collect().await;
        let looked = looked.map_err(|error| vec![refusal(Side::Source, &error)])?;
        Ok(looked.into_iter().collect())
    }

    async fn look_at(&self, planned: &PlannedCollection) -> Result<Course, Error> {
        let name = &planned.source;
        let Some(parts) = look(&self.source, name).await? else { return Ok(Course::Dropped) };
        let changes = planned.changes_of_source(&parts.described, &parts.partitions, &parts.aliases);
        let mut told: Vec<_> =
            changes.iter().filter(|change| !is_followed(change)).flat_map(SourceChange::told).collect();
        let rows_estimate = repeat(&self.cancel, || self.source.row_estimate(name)).await?;
        if !planned.readable && rows_estimate > 0 {
            let en = format!("it was empty and had no index, and has {rows_estimate} row(s) now");
            told.push(Told::both(en, format!("原先为空且没有索引，现在有 {rows_estimate} 行")));
        }
        if !told.is_empty() {
            return Ok(Course::Changed(told));
        }
        let numbered = repeat(&self.cancel, || self.source.partitions(name)).await?;
        let load = LoadedParts::read(&self.source, &parts.described, &numbered).await?;
        Ok(Course::Stay(Box::new(Now { parts, load, rows_estimate })))
    }

    /// Collections that the job means and does not copy yet.
    async fn came(&self, plan: &Plan, names: &[CollectionName]) -> Result<Vec<CollectionName>, Vec<Problem>> {
        let is_planned = |name: &CollectionName| plan.here().any(|(_, planned)| planned.source == *name);
        let is_made = |name: &CollectionName| plan.here().any(|(_, planned)| planned.target == *name);
        let mut new: Vec<_> = names.iter().filter(|name| !is_planned(name)).cloned().collect();
        if new.iter().any(is_made)
            && same_server(&self.source, &self.target).await.map_err(|problem| vec![problem])?.is_some()
        {
            new.retain(|name| !is_made(name));
        }
        Ok(new)
    }

    /// What a user has to accept first.
    fn refused(&self, plan: &Plan, looked: &BTreeMap<Position, Course>) -> Vec<Problem> {
        let (options, job_id) = (self.course.options, self.attempt.job_id());
        let (mut dropped, mut problems) = (Vec::new(), Vec::new());
        for (position, course) in looked {
            let Some(planned) = plan.collections.get(position.index()) else { continue };
            match course {
                Course::Dropped if !options.accept_dropped => dropped.push(&planned.source),
                Course::Changed(told) if !options.recopy => {
                    let problem = Problem::new(Code::SourceNotFollowed).with("collection", &planned.source);
                    problems.push(problem.with("job", job_id).told("detail", Told::parts(told)));
                }
                Course::Stay(now)
                    if planned.readable
                        && !now.load.is_complete()
                        && self.request.source_load == SourceLoad::Never =>
                {
                    let problem = Problem::new(Code::SourceNotLoaded).with("collection", &planned.source);
                    problems.push(problem.told("detail", now.load.describe()));
                }
                Course::Dropped | Course::Changed(_) | Course::Stay(_) => {}
            }
        }
        if !dropped.is_empty() {
            let problem = Problem::new(Code::SourceDropped).with("job", job_id);
            problems.push(problem.told("collections", Told::names(&dropped)));
        }
        problems
    }

    /// New collections as they are planned, with the databases that they need: checked as those of any other job.
    async fn plan_new(
        &self,
        names: &[CollectionName],
    ) -> Result<(Vec<PlannedCollection>, Vec<String>), Vec<Problem>> {
        if names.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let request =
            MigrateRequest { selection: Selection::of(names.iter().cloned()), ..self.request.clone() };
        let now = as_of_now(&self.source).await.map_err(|error| vec![refusal(Side::Source, &error)])?;
        let mut list = CheckList::default();
        let checked = precheck::check(&request, &self.source, &self.target, now, &mut list);
        let plan = Box::pin(checked).await?;
        let refusals = list.refusals();
        if refusals.is_empty() { Ok((plan.collections, plan.new_databases)) } else { Err(refusals) }
    }

    /// Partitions that the source does not have any more go from the target. What was not copied to its end begins anew if
    /// its partitions are others by now: it was divided by those of then.
    async fn follow_partitions(
        &self,
        plan: &Plan,
        looked: &BTreeMap<Position, Course>,
    ) -> Result<(), Problem> {
        for (position, planned) in plan.here() {
            let Some(Course::Stay(now)) = looked.get(&position) else { continue };
            if planned.has_partition_key() || planned.partitions == now.parts.partitions {
                continue;
            }
            let record = self.store.collection(self.attempt.job_id(), position).await;
            let record = record.map_err(|error| store_failed(self.attempt.job_id(), &error))?;
            let claim = self.claim(position, planned);
            if !record.copied {
                clean_up(&claim, &record, true).await?;
                continue;
            }
            let failed = |error: Error| {
                let problem = Problem::new(Code::TargetFailed).with("collection", &planned.target);
                problem.told("detail", words_of(&error))
            };
            let Some(own) = claim.own().find(&record).await.map_err(failed)? else { continue };
            let gone = |name: &&String| !now.parts.partitions.contains(name);
            let there = repeat(&self.cancel, || self.target.partitions(&own.name)).await.map_err(failed)?;
            let mut gone = planned.partitions.iter().filter(gone).peekable();
            if gone.peek().is_some() {
                // A server drops no partition that is loaded.
                repeat(&self.cancel, || release(&self.target, &own.name)).await.map_err(failed)?;
            }
            for partition in gone.filter(|name| there.iter().any(|(known, _)| known == *name)) {
                let dropped = repeat(&self.cancel, || self.target.drop_partition(&own.name, partition));
                dropped.await.map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Takes over what changed of a collection that stays.
    fn follow_collection(&self, planned: &mut PlannedCollection, now: Now, is_first: bool) {
        let Now { parts, load, rows_estimate } = now;
        planned.follow(parts.partitions, parts.aliases);
        planned.rows_estimate = rows_estimate;
        if parts.described.properties != planned.described.properties {
            // Only the TTL can have changed: see `is_followed`.
            let of_source = parts.described.properties.iter().filter(|pair| pair.key == PROPERTY_TTL);
            planned.late_properties = of_source.map(|pair| (pair.key.clone(), pair.value.clone())).collect();
            planned.described.properties = parts.described.properties;
        }
        // An attempt that was killed may have left it loaded: then what it was before is what counts.
        if is_first && self.course.follows_ended || !planned.needs_load {
            planned.needs_load = planned.readable && !load.is_complete();
            planned.load = load;
        }
    }

    async fn change_plan(
        &self,
        plan: &Plan,
        added: Vec<(Position, NewCollectionRecord)>,
        databases: Vec<String>,
    ) -> Result<(), Vec<Problem>> {
        let document = write_plan(plan).map_err(|error| vec![store_failed(self.attempt.job_id(), &error)])?;
        let all = plan.collections.iter().enumerate();
        let going = all.filter(|(_, planned)| planned.presence == Presence::Going);
        let going = going.map(|(index, _)| Position::of_index(index)).collect();
        let change = ChangedPlan { plan: document, added, going, databases };
        let held = self.store.change_plan(&self.attempt, change).await;
        let held = held.map_err(|error| self.not_recorded(error))?;
        let problem = |held: vecferry_store::Reserved| {
            let problem = Problem::new(Code::NameReserved).with("collection", &held.name);
            problem.with("holder", &held.holder).with("state", held.holder_state)
        };
        let problems: Vec<_> = held.into_iter().map(problem).collect();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// Removes from the target what is to go, also what an earlier attempt decided so.
    async fn remove_going(&self, plan: &mut Plan) -> Result<(), Vec<Problem>> {
        for (index, planned) in plan.collections.iter_mut().enumerate() {
            if planned.presence != Presence::Going {
                continue;
            }
            let position = Position::of_index(index);
            let record = self.store.collection(self.attempt.job_id(), position).await;
            let record = record.map_err(|error| self.not_recorded(error))?;
            let claim = self.claim(position, planned);
            clean_up(&claim, &record, true).await.map_err(|problem| vec![problem])?;
            let gone = self.store.record_gone(&self.attempt, position).await;
            gone.map_err(|error| self.not_recorded(error))?;
            planned.presence = Presence::Gone;
        }
        Ok(())
    }

    /// Takes new collections into the plan, at the next positions.
    async fn add(
        &self,
        plan: &mut Plan,
        (collections, databases): (Vec<PlannedCollection>, Vec<String>),
    ) -> Result<(), Vec<Problem>> {
        let first = plan.collections.len();
        let added = collections.iter().enumerate().map(|(index, planned)| {
            let new = NewCollectionRecord {
                source: planned.source.to_string(),
                target: planned.target.to_string(),
                rows_total: planned.rows_estimate,
            };
            (Position::of_index(first + index), new)
        });
        let added = added.collect();
        plan.collections.extend(collections);
        let new = databases.into_iter().filter(|db| !plan.new_databases.contains(db)).collect::<Vec<_>>();
        plan.new_databases.extend(new.clone());
        self.change_plan(plan, added, new).await
    }
}

/// Whether a round goes on with the same collection after a change. Properties say how a collection is made; only its TTL is
/// set at the end.
fn is_followed(change: &SourceChange) -> bool {
    match change {
        SourceChange::Partitions(_) | SourceChange::Aliases(_) | SourceChange::RowsInNewPartitions(_) => true,
        SourceChange::Properties { set, unset } => {
            set.iter().map(|(key, _)| key).chain(unset).all(|key| key == PROPERTY_TTL)
        }
        SourceChange::Dropped
        | SourceChange::Recreated
        | SourceChange::Schema(_)
        | SourceChange::SchemaUnknown(_) => false,
    }
}
