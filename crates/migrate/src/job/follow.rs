//! What a round behind the warm copy does about a source that changed since the last one: beside its rows, which are
//! compared.
//!
//! Partitions and aliases that came or went are followed; new collections are copied. What a user may not have meant is
//! refused by name before anything is written, unless it was accepted: that collections are gone from the source, and that
//! one is not any more what was copied. Each step can be repeated: an attempt that ended in the middle leaves the source
//! differing from the plan still, and the next one finds that.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio_util::sync::CancellationToken;
use vecferry_milvus::{CollectionName, Error, ErrorKind};
use vecferry_store::{ChangedPlan, NewCollectionRecord, Position, Presence};

use super::collection;
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
use crate::request::{MigrateRequest, Selection, Selector, SourceLoad};

/// Collections that are looked at, at once.
const LOOKS_PARALLEL: usize = 8;

/// Name of the fact that the source was followed: from then on, a cut-over takes every change for a write.
const FACT_FOLLOWED: &str = "followed";

/// Where facts of the whole round are.
pub(super) const OF_ROUND: Position = Position(0);

/// What is to be done about a collection of the plan.
enum Decision {
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

/// Collections that are new in a plan, and the databases that they need.
#[derive(Default)]
struct New {
    collections: Vec<PlannedCollection>,
    databases: Vec<String>,
}

impl New {
    fn extend(&mut self, more: Self) {
        self.collections.extend(more.collections);
        self.databases.extend(more.databases);
    }
}

impl Job {
    /// Makes of the plan what the source is now, and of the target what follows from that. With what a catch-up leaves to
    /// later rounds, as warnings.
    ///
    /// # Errors
    /// Everything that a user has to accept first, or a server or the record fails.
    pub(super) async fn follow_source(&self, plan: &Plan) -> Result<(Plan, Vec<Problem>), Vec<Problem>> {
        self.put_source_back(plan).await?;
        if self.round.purpose() == Some(Purpose::CutOver) && self.has_followed().await? {
            return Ok((self.with_loads_of_now(plan).await?, Vec::new()));
        }
        let mut names =
            self.collections_meant().await.map_err(|error| vec![refusal(Side::Source, &error)])?;
        names.extend(self.named_collections().await?);
        let looked = self.look_at_all(plan, &names).await?;
        let came = self.came(plan, &names).await?;
        let refused = self.refused(plan, &looked, &came);
        if !refused.is_empty() {
            return Err(refused);
        }
        let mut plan = plan.clone();
        let mut going = plan.collections.iter().any(|planned| planned.presence == Presence::Going);
        let mut again = Vec::new();
        for (position, decision) in &looked {
            let Some(planned) = plan.collections.get_mut(position.index()) else { continue };
            match decision {
                Decision::Stay(_) => {}
                Decision::Dropped => (planned.presence, going) = (Presence::Going, true),
                Decision::Changed(_) => {
                    (planned.presence, going) = (Presence::Going, true);
                    again.push(planned.source.clone());
                }
            }
        }
        // A name on the target may be free only when what goes is gone.
        let mut warnings = Vec::new();
        let mut new = if going { New::default() } else { self.plan_came(&came, &mut warnings).await? };
        self.follow_partitions(&plan, &looked).await.map_err(|problem| vec![problem])?;
        for (position, decision) in looked {
            if let (Some(planned), Decision::Stay(now)) =
                (plan.collections.get_mut(position.index()), decision)
            {
                follow_collection(planned, *now);
            }
        }
        self.change_plan(&plan, Vec::new(), Vec::new()).await?;
        self.remove_going(&mut plan).await?;
        if going {
            new = self.plan_came(&came, &mut warnings).await?;
            new.extend(self.plan_new(&again).await?);
        }
        self.add(&mut plan, new).await?;
        let recorded = self.store.record_round_fact(&self.attempt, OF_ROUND, FACT_FOLLOWED, "{}".to_owned());
        recorded.await.map_err(|error| self.not_recorded(error))?;
        self.create_databases().await.map_err(|problem| vec![problem])?;
        Ok((plan, warnings))
    }

    /// An attempt that was killed may have left collections of the source loaded: what they were before is what counts, until
    /// they are looked at.
    async fn put_source_back(&self, plan: &Plan) -> Result<(), Vec<Problem>> {
        if self.course.source_is_put_back {
            return Ok(());
        }
        let never = CancellationToken::new();
        let mut problems = Vec::new();
        for (_, planned) in plan.here().filter(|(_, planned)| planned.needs_load) {
            match repeat(&never, || planned.load.restore(&self.source, &planned.source)).await {
                Err(error) if error.kind() != ErrorKind::CollectionNotFound => problems.push(
                    Problem::new(Code::SourceNotRestored)
                        .with("collection", &planned.source)
                        .told("detail", words_of(&error))
                        .told("state", planned.load.describe()),
                ),
                Ok(()) | Err(_) => {}
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// The plan, with what the source has loaded now: that is what it is put back into.
    async fn with_loads_of_now(&self, plan: &Plan) -> Result<Plan, Vec<Problem>> {
        let mut plan = plan.clone();
        for planned in plan.collections.iter_mut().filter(|planned| planned.presence.is_here()) {
            let read = async {
                let numbered = repeat(&self.cancel, || self.source.partitions(&planned.source)).await?;
                LoadedParts::read(&self.source, &planned.described, &numbered).await
            };
            match read.await {
                Ok(load) => {
                    planned.needs_load = planned.readable && !load.is_complete();
                    planned.load = load;
                }
                // Whoever compares it finds that it is gone.
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(vec![refusal(Side::Source, &error)]),
            }
        }
        Ok(plan)
    }

    /// Collections that the job means by their names, as far as they are there.
    async fn named_collections(&self) -> Result<Vec<CollectionName>, Vec<Problem>> {
        let named = self.request.selection.included().iter().filter_map(|selector| match selector {
            Selector::Collection(name) => Some(name.clone()),
            Selector::Database(_) => None,
        });
        let mut there = Vec::new();
        for name in named {
            match repeat(&self.cancel, || self.source.describe(&name)).await {
                Ok(found) if found.name == name => there.push(name),
                Ok(_) => {}
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(vec![refusal(Side::Source, &error)]),
            }
        }
        Ok(there)
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

    async fn look_at_all(
        &self,
        plan: &Plan,
        names: &[CollectionName],
    ) -> Result<BTreeMap<Position, Decision>, Vec<Problem>> {
        let looks: Vec<_> = plan
            .here()
            .map(|(position, planned)| async move {
                let decision = self.look_at(position, planned, names).await?;
                Ok::<_, Problem>((position, decision))
            })
            .collect();
        let looked: Result<Vec<_>, Problem> =
            stream::iter(looks).buffered(LOOKS_PARALLEL).try_collect().await;
        Ok(looked.map_err(|problem| vec![problem])?.into_iter().collect())
    }

    async fn look_at(
        &self,
        position: Position,
        planned: &PlannedCollection,
        names: &[CollectionName],
    ) -> Result<Decision, Problem> {
        let name = &planned.source;
        let failed = |error: Error| refusal(Side::Source, &error);
        let found = match look(&self.source, name).await {
            Err(error) if is_absent(&error) => None,
            found => found.map_err(failed)?,
        };
        // An alias of that name leads to another collection.
        let Some(mut parts) = found.filter(|parts| parts.described.name == *name) else {
            // A server that starts, or hides it from this user, may list it all the same.
            if names.contains(name) {
                let told = Told::both(
                    "it is listed, but can't be described",
                    "该 Collection 在列表中，但无法查询其定义",
                );
                return Err(Problem::new(Code::SourceFailed).with("collection", name).told("detail", told));
            }
            return Ok(Decision::Dropped);
        };
        let numbered = repeat(&self.cancel, || self.source.partitions(name)).await.map_err(failed)?;
        // One that either answer names is there.
        let is_new = |(partition, _): &&(String, i64)| !parts.partitions.contains(partition);
        let more: Vec<_> = numbered.iter().filter(is_new).map(|(partition, _)| partition.clone()).collect();
        parts.partitions.extend(more);
        let changes = planned.changes_of_source(&parts.described, &parts.partitions, &parts.aliases);
        let of_changes = changes.iter().filter(|change| !is_followed(change));
        let mut told: Vec<_> = of_changes.flat_map(SourceChange::told).collect();
        let rows_estimate = repeat(&self.cancel, || self.source.row_estimate(name)).await.map_err(failed)?;
        if !planned.readable && rows_estimate > 0 {
            let en = format!("it was empty and had no index, and has {rows_estimate} row(s) now");
            told.push(Told::both(en, format!("原先为空且没有索引，现在有 {rows_estimate} 行")));
        }
        if !self.is_on_target(position, planned).await? {
            let en = "somebody dropped or replaced it on the target";
            told.push(Told::both(en, "它已在目标集群上被删除或替换"));
        }
        if !told.is_empty() {
            return Ok(Decision::Changed(told));
        }
        let load = LoadedParts::read(&self.source, &parts.described, &numbered).await.map_err(failed)?;
        Ok(Decision::Stay(Box::new(Now { parts, load, rows_estimate })))
    }

    /// Whether the target still has what the job made, if it made any.
    async fn is_on_target(&self, position: Position, planned: &PlannedCollection) -> Result<bool, Problem> {
        let record = self.store.collection(self.attempt.job_id(), position).await;
        let record = record.map_err(|error| store_failed(self.attempt.job_id(), &error))?;
        if record.target_id.is_none() || record.removal_intended {
            return Ok(true);
        }
        let own = self.claim(position, planned).own().find(&record).await;
        Ok(own.map_err(|error| refusal(Side::Target, &error))?.is_some())
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
    fn refused(
        &self,
        plan: &Plan,
        looked: &BTreeMap<Position, Decision>,
        came: &[CollectionName],
    ) -> Vec<Problem> {
        let (options, job_id) = (self.course.options, self.attempt.job_id());
        let (mut dropped, mut problems) = (Vec::new(), Vec::new());
        let is_dropped = |decision: &Decision| match decision {
            Decision::Dropped => true,
            Decision::Stay(_) | Decision::Changed(_) => false,
        };
        // Nothing at all is what an empty server has under the address of the source.
        if came.is_empty() && looked.values().all(is_dropped) {
            problems.push(Problem::new(Code::NothingSelected));
        }
        for (position, decision) in looked {
            let Some(planned) = plan.collections.get(position.index()) else { continue };
            match decision {
                Decision::Dropped if !options.accept_dropped => dropped.push(&planned.source),
                Decision::Changed(told) if !options.recopy => {
                    let problem = Problem::new(Code::SourceNotFollowed).with("collection", &planned.source);
                    problems.push(problem.with("job", job_id).told("detail", Told::parts(told)));
                }
                Decision::Stay(now)
                    if planned.readable
                        && !now.load.is_complete()
                        && self.request.source_load == SourceLoad::Never =>
                {
                    let problem = Problem::new(Code::SourceNotLoaded).with("collection", &planned.source);
                    problems.push(problem.told("detail", now.load.describe()));
                }
                Decision::Dropped | Decision::Changed(_) | Decision::Stay(_) => {}
            }
        }
        if !dropped.is_empty() {
            let problem = Problem::new(Code::SourceDropped).with("job", job_id);
            problems.push(problem.told("collections", Told::names(&dropped)));
        }
        problems
    }

    /// New collections that the source has. A catch-up goes on without those that the target does not take, and tells.
    async fn plan_came(
        &self,
        names: &[CollectionName],
        warnings: &mut Vec<Problem>,
    ) -> Result<New, Vec<Problem>> {
        match self.plan_new(names).await {
            Err(problems) if self.round.purpose() == Some(Purpose::CatchUp) => {
                warnings.extend(problems);
                Ok(New::default())
            }
            planned => planned,
        }
    }

    /// New collections as they are planned: checked as those of any other job.
    async fn plan_new(&self, names: &[CollectionName]) -> Result<New, Vec<Problem>> {
        if names.is_empty() {
            return Ok(New::default());
        }
        let request =
            MigrateRequest { selection: Selection::of(names.iter().cloned()), ..self.request.clone() };
        let now = as_of_now(&self.source).await.map_err(|error| vec![refusal(Side::Source, &error)])?;
        let mut list = CheckList::default();
        let checked = precheck::check(&request, &self.source, &self.target, now, &mut list);
        let plan = Box::pin(checked).await?;
        let refusals = list.refusals();
        let new = New { collections: plan.collections, databases: plan.new_databases };
        if refusals.is_empty() { Ok(new) } else { Err(refusals) }
    }

    /// Partitions that the source does not have any more go from the target. What was not copied to its end begins anew if
    /// its partitions are others by now: it was divided by those of then.
    async fn follow_partitions(
        &self,
        plan: &Plan,
        looked: &BTreeMap<Position, Decision>,
    ) -> Result<(), Problem> {
        for (position, planned) in plan.here() {
            let Some(Decision::Stay(now)) = looked.get(&position) else { continue };
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
            let stays = |name: &String| now.parts.partitions.contains(name);
            if planned.readable && !planned.partitions.iter().all(stays) {
                collection::refuse_rows_of_others(self, position, planned, &own).await?;
            }
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
            let own = claim.own().find(&record).await;
            let own = own.map_err(|error| vec![refusal(Side::Target, &error)])?;
            if let Some(own) = own.filter(|_| record.copied && planned.readable && !record.removal_intended) {
                let asked = collection::refuse_rows_of_others(self, position, planned, &own).await;
                asked.map_err(|problem| vec![problem])?;
            }
            clean_up(&claim, &record, true).await.map_err(|problem| vec![problem])?;
            let gone = self.store.record_gone(&self.attempt, position).await;
            gone.map_err(|error| self.not_recorded(error))?;
            planned.presence = Presence::Gone;
        }
        Ok(())
    }

    /// Takes new collections into the plan, at the next positions.
    async fn add(&self, plan: &mut Plan, new: New) -> Result<(), Vec<Problem>> {
        let New { collections, databases } = new;
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

/// Takes over what changed of a collection that stays.
fn follow_collection(planned: &mut PlannedCollection, now: Now) {
    let Now { parts, load, rows_estimate } = now;
    planned.follow(parts.partitions, parts.aliases);
    planned.rows_estimate = rows_estimate;
    if parts.described.properties != planned.described.properties {
        // Only the TTL can have changed: see `is_followed`.
        let of_source = parts.described.properties.iter().filter(|pair| pair.key == PROPERTY_TTL);
        planned.late_properties = of_source.map(|pair| (pair.key.clone(), pair.value.clone())).collect();
        planned.described.properties = parts.described.properties;
    }
    planned.needs_load = planned.readable && !load.is_complete();
    planned.load = load;
}

fn is_absent(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::CollectionNotFound | ErrorKind::DatabaseNotFound)
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
