//! Every collection of the source against what the target can hold, and the plan that follows. Finds all refusals at once.

use vecferry_milvus::{Client, CollectionName, Consistency, Error};
use vecferry_policy::Product;
use vecferry_store::Presence;

use super::fields::names_of_fields;
use super::indexes::indexes;
use super::list::{CheckList, some_collections};
use super::loaded::load_states;
use super::source_release::{json_texts_not_told, newest_is_not_known, release};
use super::warm::of_warm_copy;
use crate::cluster::connect::{cluster, product, refusal, same_server};
use crate::cluster::inventory::{self, Found};
use crate::cluster::load_state;
use crate::cluster::rename;
use crate::cluster::row_size::{RowSize, row_sizes};
use crate::cluster::visible::{self, Visible};
use crate::cluster::waits::shown;
use crate::event::Awaited;
use crate::plan::properties::PROPERTY_TTL;
use crate::plan::{Plan, PlannedCollection};
use crate::problem::{CheckId, Code, Exit, Problem, Side, Told, grouped};
use crate::request::MigrateRequest;

/// Checks a request against both clusters and makes the plan.
///
/// `now` is the moment as of which the source's rows are counted and looked at.
pub(crate) async fn check(
    request: &MigrateRequest,
    source: &Client,
    target: &Client,
    now: Consistency,
    list: &mut CheckList,
) -> Result<Plan, Vec<Problem>> {
    release(list, source, target)?;
    visibility(list, request, source).await?;
    let names = inventory::select(source, Side::Source, &request.selection).await?;
    list.passed(CheckId::Selection, [some_collections(names.len())]);
    different_servers(list, request, (source, target), &names).await?;
    let found = read(list, request, source, &names, now).await?;
    let mut checks = Checks::new(request, source, target);
    let collections = checks.collections(&found, now).await.map_err(of_source)?;
    load_states(list, &collections);
    list.passed(CheckId::Schema, []);
    json_texts_not_told(source, &found).into_iter().for_each(|problem| list.warn(CheckId::Schema, problem));
    let new_databases = checks.on_target(list, &collections).await?;
    if request.warm {
        checks.problems.extend(of_warm_copy(target, &collections));
    }
    checks.doubts.into_iter().for_each(|(id, problem)| list.warn(id, problem));
    if !checks.problems.is_empty() {
        return Err(checks.problems);
    }
    let resource_groups = source.resource_groups().await.map_err(of_source)?;
    Ok(Plan {
        source: cluster(source),
        target: cluster(target),
        collections,
        new_databases,
        rbac: None,
        resource_groups: resource_groups.map(load_state::own_resource_groups),
        warnings: vec![],
        duration: None,
    })
}

fn of_source(error: Error) -> Vec<Problem> {
    vec![refusal(Side::Source, &error)]
}

/// Whether the user of the source sees all that is to be migrated.
async fn visibility(
    list: &mut CheckList,
    request: &MigrateRequest,
    source: &Client,
) -> Result<(), Vec<Problem>> {
    match visible::check(source, Side::Source, &request.selection, request.visible_only).await? {
        Visible::Named => list.not_applicable(CheckId::Visibility),
        Visible::Everything => list.passed(CheckId::Visibility, source.endpoint().user().map(Told::from)),
        Visible::Part(problem) => list.warn(CheckId::Visibility, problem),
    }
    Ok(())
}

/// That nothing is copied onto itself.
async fn different_servers(
    list: &mut CheckList,
    request: &MigrateRequest,
    (source, target): (&Client, &Client),
    names: &[CollectionName],
) -> Result<(), Vec<Problem>> {
    if let Some(detail) = same_server(source, target).await.map_err(|problem| vec![problem])?
        && names.iter().any(|name| request.target_db(&name.db) == name.db)
    {
        return Err(vec![Problem::new(Code::SameCluster).told("detail", detail)]);
    }
    list.passed(CheckId::SameCluster, []);
    Ok(())
}

/// What the source holds, and how many rows.
async fn read(
    list: &mut CheckList,
    request: &MigrateRequest,
    source: &Client,
    names: &[CollectionName],
    now: Consistency,
) -> Result<Vec<Found>, Vec<Problem>> {
    let read = shown(Awaited::Check { check: CheckId::RowCounts }, inventory::read(source, names, now));
    let found = read.await.map_err(of_source)?;
    // Everything that a copy reads was asked for by now.
    list.passed(CheckId::Privileges, []);
    list.passed(CheckId::RowCounts, rows_known(&found));
    if newest_is_not_known(request, source, &found) {
        let problem = Problem::new(Code::NewestNotKnown).with("version", source.version());
        list.warn(CheckId::RowCounts, problem);
    }
    Ok(found)
}

/// How many rows there are: counted where the source can be asked, by its statistics elsewhere.
fn rows_known(found: &[Found]) -> Vec<Told> {
    let (counted, estimated): (Vec<_>, Vec<_>) = found.iter().partition(|found| found.load.answers());
    let rows = |of: &[&Found]| grouped(of.iter().map(|found| found.rows_estimate).sum());
    let mut facts = Vec::new();
    if !counted.is_empty() {
        let rows = rows(&counted);
        facts.push(Told::both(format!("rows counted: {rows}"), format!("已计数：{rows} 行")));
    }
    if !estimated.is_empty() {
        let rows = rows(&estimated);
        let en = format!("rows estimated in collections that are not loaded: {rows}");
        facts.push(Told::both(en, format!("未加载的 Collection 估计：{rows} 行")));
    }
    facts
}

/// The checks of collections, and what they found.
pub(super) struct Checks<'a> {
    pub(super) request: &'a MigrateRequest,
    pub(super) source: &'a Client,
    pub(super) target: &'a Client,
    pub(super) product: Product,
    /// Both are Milvus, and the target's release is the source's or a later one.
    pub(super) follows_source: bool,
    pub(super) problems: Vec<Problem>,
    /// What a table says that the target can't hold, and what the target itself is asked before the first row.
    pub(super) doubts: Vec<(CheckId, Problem)>,
}

impl<'a> Checks<'a> {
    fn new(request: &'a MigrateRequest, source: &'a Client, target: &'a Client) -> Self {
        let follows_source = follows(product(source), product(target));
        let (problems, doubts) = (Vec::new(), Vec::new());
        Self { request, source, target, product: product(target), follows_source, problems, doubts }
    }

    async fn collections(
        &mut self,
        found: &[Found],
        now: Consistency,
    ) -> Result<Vec<PlannedCollection>, Error> {
        let mut collections = Vec::new();
        for found in found {
            collections.push(self.collection(found).await?);
        }
        let sizes = shown(Awaited::Check { check: CheckId::MessageSize }, row_sizes(self.source, found, now));
        for (planned, size) in collections.iter_mut().zip(sizes.await?) {
            planned.size = size;
        }
        Ok(collections)
    }

    /// Asks the target for what is to be created there. Returns the databases that must be.
    async fn on_target(
        &mut self,
        list: &mut CheckList,
        collections: &[PlannedCollection],
    ) -> Result<Vec<String>, Vec<Problem>> {
        let new_databases = self.databases(collections).await?;
        let names = self.free_names(collections, &new_databases);
        shown(Awaited::Check { check: CheckId::Names }, names).await?;
        list.passed(CheckId::Names, []);
        let databases = self.known_databases(collections, &new_databases);
        let unclaimed = rename::warnings(self.target, &databases).await;
        let unclaimed = unclaimed.map_err(|error| vec![refusal(Side::Target, &error)])?;
        unclaimed.into_iter().for_each(|problem| list.warn(CheckId::Names, problem));
        Ok(new_databases)
    }

    async fn collection(&mut self, found: &Found) -> Result<PlannedCollection, Error> {
        let name = &found.described.name;
        self.readable(found).await?;
        for problem in names_of_fields(self.source, self.target, found) {
            if problem.code.entry().exit == Exit::Done {
                self.doubts.push((CheckId::Schema, problem));
            } else {
                self.problems.push(problem);
            }
        }
        let mut changes = Vec::new();
        let new = self.new_collection(found, &mut changes);
        let indexes = indexes(self.product, found, self.request.keep_index_params, &mut changes);
        self.features(found, &indexes);
        self.auto_ids(found, &indexes);
        self.scalar_indexes(found);
        self.names(found);
        let late_properties = found
            .described
            .properties
            .iter()
            .filter(|property| property.key == PROPERTY_TTL && self.product != Product::LiteNative)
            .map(|property| (property.key.clone(), property.value.clone()))
            .collect();
        Ok(PlannedCollection {
            source: name.clone(),
            target: new.name.clone(),
            rows_estimate: found.rows_estimate,
            partitions: self.partitions(found),
            aliases: found.aliases.clone(),
            changes,
            needs_load: self.can_load(found) && !found.load.is_complete(),
            described: found.described.clone(),
            new,
            readable: self.can_load(found),
            indexes,
            load: found.load.clone(),
            late_properties,
            presence: Presence::Here,
            keys: self.keys(found),
            size: RowSize::default(),
        })
    }

    pub(super) fn cannot_hold(&mut self, found: &Found, detail: Told) {
        self.problems.push(self.of_target(Code::TargetCannotHold, found, detail));
    }

    pub(super) fn may_not_hold(&mut self, found: &Found, check: CheckId, detail: Told) {
        self.doubts.push((check, self.of_target(Code::TargetMayNotHold, found, detail)));
    }

    fn of_target(&self, code: Code, found: &Found, detail: Told) -> Problem {
        let problem = Problem::new(code).with("collection", &found.described.name);
        problem.with("target", self.target.version()).told("detail", detail)
    }
}

/// Whether a target takes all that a source holds, as far as releases say: no table knows better than a server.
fn follows(source: Product, target: Product) -> bool {
    match (source, target) {
        (Product::Milvus(Some(source)), Product::Milvus(Some(target))) => target >= source,
        // A server that says no number is Zilliz Cloud, which runs the newest release.
        (Product::Milvus(_), Product::Milvus(None)) => true,
        (Product::Milvus(None) | Product::LiteNative | Product::LitePython, _)
        | (Product::Milvus(Some(_)), Product::LiteNative | Product::LitePython) => false,
    }
}
