//! The pre-check: everything that can be known before the first write. Finds all refusals at once, and makes the plan.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use vecferry_milvus::proto::common::{ConsistencyLevel, KeyValuePair};
use vecferry_milvus::proto::schema::{DataType, FunctionType};
use vecferry_milvus::schema::{Family, FieldSpec, family, parameters};
use vecferry_milvus::{Client, CollectionName, DB_DEFAULT, Error, ErrorKind, Flavor, Index, NewCollection};
use vecferry_policy::{
    Feature, NameKind, Product, Support, Trial, VectorKind, check_name, keeps_vector_index, scalar_index,
    shards_max, support, trial, vector_index,
};

use super::fields::names_of_fields;
use super::list::CheckList;
use crate::cluster::connect::{cluster, product, refusal, same_server};
use crate::cluster::inventory::{self, Found};
use crate::cluster::load_state;
use crate::cluster::row_size::{RowSize, row_sizes};
use crate::cluster::visible::{self, Visible};
use crate::cluster::waits::shown;
use crate::event::Awaited;
use crate::plan::properties::{PROPERTY_KEPT_KEYS, PROPERTY_TTL};
use crate::plan::{Change, Keys, NewIndex, Plan, PlannedCollection};
use crate::problem::CheckId;
use crate::problem::{Code, Exit, Problem, Side, Told};
use crate::problem::{does_not_fit, partitions_disagree};
use crate::request::{AutoId, Duplicates, MigrateRequest, SourceLoad};
use crate::target;
use crate::tuning::Tuning;

/// Properties that the server keeps for itself.
const PROPERTIES_OF_THE_SERVER: [&str; 1] = ["replicate.id"];
/// Partition every collection has.
const PARTITION_DEFAULT: &str = "_default";
/// Names that are looked at, at once.
const NAMES_PARALLEL: usize = 8;
/// Partitions of a partition-key collection on lite, which counts them together with `_default`.
const LITE_KEY_PARTITION_PREFIX: &str = "_pk_";

/// Checks a request against both clusters and makes the plan.
pub(crate) async fn check(
    request: &MigrateRequest,
    source: &Client,
    target: &Client,
    list: &mut CheckList,
) -> Result<Plan, Vec<Problem>> {
    let source_side = |error: Error| vec![refusal(Side::Source, &error)];
    if let Product::Milvus(Some(release)) = product(source)
        && release < (2, 3)
    {
        return Err(vec![Problem::new(Code::SourceTooOld).with("version", source.version())]);
    }
    list.passed(CheckId::Versions, [format!("{} -> {}", source.version(), target.version())]);
    match visible::check(source, Side::Source, &request.selection, request.visible_only).await? {
        Visible::Named => list.not_applicable(CheckId::Visibility),
        Visible::Everything => list.passed(CheckId::Visibility, source.endpoint().user().map(str::to_owned)),
        Visible::Part(problem) => list.warn(CheckId::Visibility, problem),
    }
    let names = inventory::select(source, Side::Source, &request.selection).await?;
    list.passed(CheckId::Selection, [names.len().to_string()]);
    if let Some(detail) = same_server(source, target).await.map_err(|problem| vec![problem])?
        && names.iter().any(|name| request.target_db(&name.db) == name.db)
    {
        return Err(vec![Problem::new(Code::SameCluster).with("detail", detail)]);
    }
    list.passed(CheckId::SameCluster, []);
    let read = shown(Awaited::Check { check: CheckId::RowCounts }, inventory::read(source, &names));
    let found = read.await.map_err(source_side)?;
    // Everything that a copy reads was asked for by now.
    list.passed(CheckId::Privileges, []);
    list.passed(CheckId::RowCounts, [rows_known(&found)]);
    if newest_is_not_known(request, source, &found) {
        let problem = Problem::new(Code::NewestNotKnown).with("version", source.version());
        list.warn(CheckId::RowCounts, problem);
    }
    let follows_source = follows(product(source), product(target));
    let mut checks = Checks {
        request,
        source,
        target,
        product: product(target),
        follows_source,
        problems: Vec::new(),
        doubts: Vec::new(),
    };
    let mut collections = Vec::new();
    for found in &found {
        collections.push(checks.collection(found).await.map_err(source_side)?);
    }
    let sizes = shown(Awaited::Check { check: CheckId::MessageSize }, row_sizes(source, &found));
    let sizes = sizes.await.map_err(source_side)?;
    for (planned, size) in collections.iter_mut().zip(sizes) {
        planned.size = size;
    }
    list.passed(CheckId::SourceLoaded, [load_states(&collections)]);
    for planned in collections.iter().filter(|planned| planned.load.is_on_its_way()) {
        let problem = Problem::new(Code::SourceLoading).with("collection", &planned.source);
        let minutes = Tuning::default().load_stall_max.as_secs() / 60;
        list.warn(CheckId::SourceLoaded, problem.with("minutes", minutes));
    }
    list.passed(CheckId::Schema, []);
    json_texts_not_told(source, &found).into_iter().for_each(|problem| list.warn(CheckId::Schema, problem));
    let new_databases = checks.databases(&collections).await?;
    let names = checks.free_names(&collections, &new_databases);
    shown(Awaited::Check { check: CheckId::Names }, names).await?;
    list.passed(CheckId::Names, []);
    let databases = checks.known_databases(&collections, &new_databases);
    let unclaimed = crate::cluster::rename::warnings(target, &databases).await;
    let unclaimed = unclaimed.map_err(|error| vec![refusal(Side::Target, &error)])?;
    unclaimed.into_iter().for_each(|problem| list.warn(CheckId::Names, problem));
    checks.doubts.into_iter().for_each(|(id, problem)| list.warn(id, problem));
    if checks.problems.is_empty() {
        let plan = Plan {
            source: cluster(source),
            target: cluster(target),
            collections,
            new_databases,
            rbac: None,
            resource_groups: source
                .resource_groups()
                .await
                .map_err(source_side)?
                .map(load_state::own_resource_groups),
            warnings: vec![],
            duration: None,
        };
        Ok(plan)
    } else {
        Err(checks.problems)
    }
}

/// Whether primary keys may be there twice on a source that does not tell which row is the newest: a 2.3.5 answers the
/// oldest of one segment and any of several, another one from query to query, and shows no row's time.
fn newest_is_not_known(request: &MigrateRequest, source: &Client, found: &[Found]) -> bool {
    let is_old = match product(source) {
        Product::Milvus(Some(release)) => release < (2, 4),
        Product::Milvus(None) | Product::LiteNative | Product::LitePython => false,
    };
    let may_repeat = |found: &Found| !found.described.schema.is_auto_id() && found.rows_estimate > 0;
    is_old && request.duplicates == Duplicates::Warn && found.iter().any(may_repeat)
}

/// JSON fields of a milvus-lite 3: a value that is a text comes without its quotes (seen on 3.2.2), so that nothing tells it
/// from a number, `true` or `null` that is spelled alike.
fn json_texts_not_told(source: &Client, found: &[Found]) -> Vec<Problem> {
    if product(source) != Product::LitePython {
        return Vec::new();
    }
    let warning = |found: &Found| {
        let fields = found.described.schema.decoded().fields.iter();
        let json = fields.filter(|field| field.data_type == DataType::Json as i32 && !field.is_dynamic);
        let names: Vec<_> = json.map(|field| &field.name).collect();
        (!names.is_empty() && found.rows_estimate > 0).then(|| {
            let problem = Problem::new(Code::JsonTextsNotTold).with("collection", &found.described.name);
            problem.with("version", source.version()).told("fields", Told::names(&names))
        })
    };
    found.iter().filter_map(warning).collect()
}

/// How many rows there are: counted where the source can be asked, by its statistics elsewhere.
fn rows_known(found: &[Found]) -> String {
    let (mut counted, mut estimated) = (0, 0);
    for collection in found {
        let rows = if collection.load.answers() { &mut counted } else { &mut estimated };
        *rows += collection.rows_estimate;
    }
    format!("{counted} + ~{estimated}")
}

fn load_states(collections: &[PlannedCollection]) -> String {
    let waiting = collections.iter().filter(|planned| planned.needs_load).count();
    format!("{} / {}", collections.len() - waiting, collections.len())
}

struct Checks<'a> {
    request: &'a MigrateRequest,
    source: &'a Client,
    target: &'a Client,
    product: Product,
    /// Both are Milvus, and the target's release is the source's or a later one.
    follows_source: bool,
    problems: Vec<Problem>,
    /// What a table says that the target can't hold, and what the target itself is asked before the first row.
    doubts: Vec<(CheckId, Problem)>,
}

/// What a target answers about a name.
enum Named {
    /// Nothing bears it.
    Free,
    /// A collection bears it, or is reached by it.
    Taken,
    /// It is not allowed, in the target's words.
    Forbidden(String),
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

/// The refusal of a name, with a way out that exists for its kind.
pub(crate) fn forbidden_name(
    kind: NameKind,
    collection: &CollectionName,
    name: &str,
    detail: impl std::fmt::Display,
) -> Problem {
    let (way_out, of_service) = way_out_of_name(kind, collection);
    let kind = match kind {
        // The name is the collection's own.
        NameKind::Collection => Told::both("collection", "Collection"),
        NameKind::Partition => {
            Told::both(format!("partition of `{collection}`"), format!("`{collection}` 的 Partition"))
        }
        NameKind::Alias => Told::both(format!("alias of `{collection}`"), format!("`{collection}` 的别名")),
        NameKind::Database => {
            Told::both(format!("database of `{collection}`"), format!("`{collection}` 的 Database"))
        }
    };
    Problem::new(Code::ForbiddenName)
        .with("name", name)
        .told("kind", kind)
        .with("detail", detail)
        .told("way_out", way_out)
        .told("way_out_service", of_service)
}

/// What to do about a name that the target does not allow: at a command line, and in the service.
fn way_out_of_name(kind: NameKind, collection: &CollectionName) -> (Told, Told) {
    match kind {
        NameKind::Database => (
            Told::both(
                format!("choose another database with --target-db {}=NAME", collection.db),
                format!("请用 --target-db {}=NAME 选择其他 Database", collection.db),
            ),
            Told::both("choose another target database", "请选择其他目标 Database"),
        ),
        NameKind::Collection => {
            let (rename, rename_zh) =
                ("rename the collection on the source", "请在源集群上重命名该 Collection");
            (
                Told::both(
                    format!("{rename}, or skip it with --exclude {collection}"),
                    format!("{rename_zh}，或用 --exclude {collection} 跳过"),
                ),
                Told::both(format!("{rename}, or leave it out"), format!("{rename_zh}，或跳过它")),
            )
        }
        NameKind::Partition => {
            let move_rows = "a partition cannot be renamed: move its rows to another one on the source, use a target of 2.5 or \
                             later (it allows digits and hyphens)";
            let move_rows_zh = "Partition 无法重命名：请在源集群上把其中的行移到其他 Partition，或使用 2.5 及以上版本的目标集群（允许数字和连字符）";
            (
                Told::both(
                    format!("{move_rows}, or skip the collection with --exclude {collection}"),
                    format!("{move_rows_zh}，或用 --exclude {collection} 跳过"),
                ),
                Told::both(
                    format!("{move_rows}, or leave the collection out"),
                    format!("{move_rows_zh}，或跳过该 Collection"),
                ),
            )
        }
        NameKind::Alias => {
            let way_out = Told::both(
                "drop the alias on the source, and create it under another name",
                "请在源集群上删除该别名，并以其他名称重新创建",
            );
            (way_out.clone(), way_out)
        }
    }
}

impl Checks<'_> {
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
            keys: self.keys(found),
            size: RowSize::default(),
        })
    }

    /// Lite reads collections without an index; Milvus does not load them.
    fn can_load(&self, found: &Found) -> bool {
        self.source.version().flavor != Flavor::Milvus
            || found.unindexed_vector().is_none() && !self.lacks_a_vector(found)
    }

    /// Some releases make collections without a vector field, but 2.3 does not load them.
    fn lacks_a_vector(&self, found: &Found) -> bool {
        product(self.source) == Product::Milvus(Some((2, 3)))
            && found.described.schema.vector_fields().is_empty()
    }

    async fn readable(&mut self, found: &Found) -> Result<(), Error> {
        let name = &found.described.name;
        if let Some(sum) = found.rows_of_partitions.filter(|sum| *sum > found.rows_estimate) {
            self.problems.push(partitions_disagree(name, found.rows_estimate, sum));
        }
        if !self.can_load(found) {
            if found.rows_estimate > 0 && self.lacks_a_vector(found) {
                self.problems.push(
                    Problem::new(Code::NoVectorField)
                        .with("collection", name)
                        .with("rows", found.rows_estimate)
                        .with("version", self.source.version()),
                );
            } else if found.rows_estimate > 0 {
                let field = found.unindexed_vector().unwrap_or_default();
                self.problems.push(
                    Problem::new(Code::NoIndex)
                        .with("collection", name)
                        .with("rows", found.rows_estimate)
                        .with("field", field),
                );
            }
            return Ok(());
        }
        if found.load.is_complete() {
            return Ok(());
        }
        if self.request.source_load == SourceLoad::Never {
            let detail = found.load.describe();
            self.problems
                .push(Problem::new(Code::SourceNotLoaded).with("collection", name).told("detail", detail));
            return Ok(());
        }
        let rows = load_state::stored_rows(self.source, name).await?.unwrap_or(found.rows_estimate);
        let needed = load_state::memory_estimate(&found.described, rows);
        if let Some(free) = load_state::free_memory(self.source).await?
            && needed > free
        {
            self.problems.push(does_not_fit(name, Side::Source, needed, free));
        }
        Ok(())
    }

    fn features(&mut self, found: &Found, indexes: &[NewIndex]) {
        let schema = &found.described.schema;
        let mut wanted: BTreeMap<Feature, BTreeSet<String>> = BTreeMap::new();
        let mut want = |feature, what: &str| {
            wanted.entry(feature).or_default().insert(what.to_owned());
        };
        for field in &schema.decoded().fields {
            let data_type = DataType::try_from(field.data_type).ok();
            if let Some(feature) = data_type.map_or(Some(Feature::UnknownType), feature_of) {
                want(feature, &field.name);
            }
            if field.nullable {
                let vector = matches!(data_type.map(family), Some(Family::Dense { .. } | Family::Sparse));
                want(if vector { Feature::NullableVector } else { Feature::Nullable }, &field.name);
            }
            if field.default_value.as_ref().is_some_and(|value| value.data.is_some()) {
                want(Feature::DefaultValue, &field.name);
            }
            if field.is_partition_key {
                want(Feature::PartitionKey, &field.name);
            }
            if field.is_clustering_key {
                want(Feature::ClusteringKey, &field.name);
            }
            if field.type_params.iter().any(is_of_analyzer) {
                want(Feature::Analyzer, &field.name);
            }
        }
        for function in &schema.decoded().functions {
            want(feature_of_function(function.r#type), &function.name);
        }
        for field in &schema.decoded().struct_array_fields {
            want(Feature::Struct, &field.name);
            if field.nullable || field.fields.iter().any(|inner| inner.nullable) {
                want(Feature::NullableStruct, &field.name);
            }
        }
        if schema.decoded().enable_dynamic_field {
            want(Feature::Json, "$meta");
        }
        for partition in self.partitions(found) {
            if partition != PARTITION_DEFAULT {
                want(Feature::Partition, &partition);
            }
        }
        found.aliases.iter().for_each(|alias| want(Feature::Alias, alias));
        let db = self.request.target_db(&found.described.name.db);
        if db != DB_DEFAULT {
            want(Feature::Database, &db);
        }
        for (feature, names) in wanted {
            self.unsupported(found, feature, &names, indexes);
        }
        match self.keys(found) {
            Keys::Copied if schema.is_auto_id() => {
                self.problems.push(Problem::new(Code::AutoId).with("collection", &found.described.name));
            }
            Keys::Kept => {
                let key = schema.key_field().map(|field| field.name.clone()).unwrap_or_default();
                self.unsupported(found, Feature::KeptAutoId, &BTreeSet::from([key]), indexes);
            }
            Keys::Copied | Keys::Regenerated => {}
        }
    }

    /// Indexes of scalar fields and JSON paths are carried over as they are, or not at all. A 2.3.5 refuses those that it
    /// does not know when they are made.
    fn scalar_indexes(&mut self, found: &Found) {
        let vectors = found.described.schema.vector_fields();
        let is_scalar = |index: &&Index| vectors.iter().all(|vector| vector.name != index.field);
        for index in found.indexes.iter().filter(is_scalar) {
            let kind = index.param("index_type").unwrap_or_default();
            let on_json_path = index.param("json_path").is_some();
            if self.follows_source {
                continue;
            }
            let Some((why, why_zh)) = lacking(scalar_index(self.product, kind, on_json_path)) else {
                continue;
            };
            let (path, path_zh) =
                if on_json_path { (" on a JSON path", "，JSON 路径") } else { Default::default() };
            let (name, field) = (&index.name, &index.field);
            let detail = Told::both(
                format!("it needs the index `{name}` ({kind}{path}) on `{field}`, {why}"),
                format!("需要 `{field}` 上的索引 `{name}`（{kind}{path_zh}），{why_zh}"),
            );
            match self.product {
                Product::Milvus(_) => self.may_not_hold(found, CheckId::Schema, detail),
                // Its table is what real servers did; see `trial`.
                Product::LiteNative | Product::LitePython => self.cannot_hold(found, detail),
            }
        }
    }

    fn cannot_hold(&mut self, found: &Found, detail: Told) {
        self.problems.push(self.of_target(Code::TargetCannotHold, found, detail));
    }

    fn may_not_hold(&mut self, found: &Found, check: CheckId, detail: Told) {
        self.doubts.push((check, self.of_target(Code::TargetMayNotHold, found, detail)));
    }

    fn of_target(&self, code: Code, found: &Found, detail: Told) -> Problem {
        let problem = Problem::new(code).with("collection", &found.described.name);
        problem.with("target", self.target.version()).told("detail", detail)
    }

    /// What becomes of the keys. Servers give new rows new keys, and the old ones are lost, unless told otherwise.
    fn keys(&self, found: &Found) -> Keys {
        match self.request.auto_id {
            AutoId::Keep if found.described.schema.is_auto_id() => Keys::Kept,
            AutoId::Regenerate if found.described.schema.is_auto_id() => Keys::Regenerated,
            AutoId::Refuse | AutoId::Keep | AutoId::Regenerate => Keys::Copied,
        }
    }

    /// What the table says that the target can't hold. Where the target itself can be asked without harm, it is asked.
    fn unsupported(
        &mut self,
        found: &Found,
        feature: Feature,
        names: &BTreeSet<String>,
        indexes: &[NewIndex],
    ) {
        // What the source holds, a target of its release or a later one can be asked for.
        let is_ours = matches!(feature, Feature::KeptAutoId | Feature::UnknownType);
        if self.follows_source && !is_ours {
            return;
        }
        let Some((why, why_zh)) = lacking(support(self.product, feature)) else { return };
        let can_be_asked = match trial(self.product, feature) {
            Trial::Definition => true,
            // A field without an index is described as any other.
            Trial::Index => names.iter().all(|name| indexes.iter().any(|index| index.field == *name)),
            Trial::Nothing => false,
        };
        let names: Vec<_> = names.iter().collect();
        let detail = Told::names(&names).within(
            |names| format!("it needs {feature} ({names}), {why}"),
            |names| format!("需要{}（{names}），{why_zh}", feature.in_chinese()),
        );
        if can_be_asked {
            self.may_not_hold(found, CheckId::Schema, detail);
        } else {
            self.cannot_hold(found, detail);
        }
    }

    /// Names of collections and aliases are asked for later, all at once.
    fn names(&mut self, found: &Found) {
        let name = &found.described.name;
        let db = self.request.target_db(&name.db);
        // Only made by the job itself: a database can't be tried and leave nothing.
        if let Err(fault) = check_name(self.product, NameKind::Database, &db) {
            self.problems.push(forbidden_name(NameKind::Database, name, &db, fault));
        }
        // What the source holds, a target of its release or a later one takes. A milvus-lite that has rules has no partitions.
        if self.follows_source || !matches!(self.product, Product::Milvus(_)) {
            return;
        }
        let fault_of = |partition: String| {
            let fault = check_name(self.product, NameKind::Partition, &partition).err()?;
            Some((partition, fault))
        };
        let faulty: Vec<_> = self.partitions(found).into_iter().filter_map(fault_of).collect();
        if let Some((partition, fault)) = faulty.first() {
            let names: Vec<_> = faulty.iter().map(|(partition, _)| partition).collect();
            let detail = Told::names(&names).within(
                |names| {
                    format!("its release may not allow names of partitions ({names}); `{partition}`: {fault}")
                },
                |names| format!("其版本可能不允许 Partition 名称（{names}）；`{partition}`：{fault}"),
            );
            self.may_not_hold(found, CheckId::Names, detail);
        }
    }

    /// Partitions that the target is to have; a partition key makes its own.
    fn partitions(&self, found: &Found) -> Vec<String> {
        if found.described.schema.has_partition_key() {
            return Vec::new();
        }
        found.partitions.iter().map(|(partition, _)| partition.clone()).collect()
    }

    fn new_collection(&mut self, found: &Found, changes: &mut Vec<Change>) -> NewCollection {
        let described = &found.described;
        let mut change = |what: &str, source: String, target: String| {
            if source != target {
                changes.push(Change { what: what.to_owned(), source, target });
            }
        };
        // lite 2.x says 0 shards.
        let shards = described.shards.clamp(1, shards_max(self.product));
        change("shards_num", described.shards.max(1).to_string(), shards.to_string());
        let lite = self.product != Product::Milvus(None) && !matches!(self.product, Product::Milvus(_));
        if lite {
            change(
                "consistency_level",
                consistency_name(described.consistency),
                consistency_name(ConsistencyLevel::Strong as i32),
            );
        }
        let num_partitions = key_partitions(found);
        if self.product == Product::LitePython && described.schema.has_partition_key() {
            change("num_partitions", num_partitions.to_string(), "16".to_owned());
        }
        if self.product == Product::LitePython && has_description(found) {
            change("descriptions", "kept".into(), "not kept by Milvus Lite 3".into());
        }
        let keys = self.keys(found);
        match keys {
            Keys::Copied | Keys::Kept => {}
            Keys::Regenerated => change("auto-generated IDs", "source's IDs".into(), "new IDs".into()),
        }
        let mut kept: Vec<_> = described
            .properties
            .iter()
            .filter(|property| !PROPERTIES_OF_THE_SERVER.contains(&property.key.as_str()))
            .filter(|property| property.key != PROPERTY_TTL)
            .cloned()
            .collect();
        if keys == Keys::Kept {
            // Until everything is copied; then it is what the source has.
            kept.retain(|property| property.key != PROPERTY_KEPT_KEYS);
            kept.extend(parameters(&[(PROPERTY_KEPT_KEYS, "true")]));
        }
        if self.product == Product::LiteNative {
            for property in &described.properties {
                change(
                    &format!("property {}", property.key),
                    property.value.clone(),
                    "not kept by Milvus Lite 2".into(),
                );
            }
        }
        let schema = match described.schema.creation_bytes() {
            Ok(schema) => schema,
            Err(error) => {
                let problem = Problem::new(Code::CheckFailed).with("side", Side::Source.name());
                self.problems
                    .push(problem.with("detail", format!("schema of `{}`: {error}", described.name)));
                bytes::Bytes::new()
            }
        };
        NewCollection {
            name: CollectionName::new(self.request.target_db(&described.name.db), &described.name.name),
            schema,
            shards,
            consistency: described.consistency,
            properties: kept,
            num_partitions: if described.schema.has_partition_key() { num_partitions } else { 0 },
        }
    }

    /// Databases that must be made; a database that the user renamed to must be allowed.
    async fn databases(&mut self, collections: &[PlannedCollection]) -> Result<Vec<String>, Vec<Problem>> {
        let existing = self.target.databases().await.map_err(|error| vec![refusal(Side::Target, &error)])?;
        let wanted: BTreeMap<_, _> = collections
            .iter()
            .map(|planned| (planned.target.db.as_str(), planned.source.db.as_str()))
            .collect();
        let is_missing = |db: &str| db != DB_DEFAULT && existing.iter().all(|known| known != db);
        let mut missing = Vec::new();
        for (db, of_source) in wanted.into_iter().filter(|(db, _)| is_missing(db)) {
            // It is made with these; whether they may be read is known before the start.
            let properties = self.source.database_properties(of_source).await;
            properties.map_err(|error| vec![refusal(Side::Source, &error)])?;
            missing.push(db.to_owned());
        }
        Ok(missing)
    }

    /// Databases of the target that are there already; `default` stands for those that are not.
    fn known_databases<'a>(
        &self,
        collections: &'a [PlannedCollection],
        new_databases: &[String],
    ) -> BTreeSet<&'a str> {
        let known = |db: &'a String| if new_databases.contains(db) { DB_DEFAULT } else { db.as_str() };
        collections.iter().map(|planned| known(&planned.target.db)).collect()
    }

    /// Nothing that exists on the target may bear the name of what is to be made, and the target must allow it.
    async fn free_names(
        &mut self,
        collections: &[PlannedCollection],
        new_databases: &[String],
    ) -> Result<(), Vec<Problem>> {
        let wanted: Vec<_> = collections
            .iter()
            .flat_map(|planned| {
                let alias = |alias| (NameKind::Alias, CollectionName::new(&planned.target.db, alias));
                let own = (NameKind::Collection, planned.target.clone());
                let names = std::iter::once(own).chain(planned.aliases.iter().map(alias));
                names.map(move |(kind, name)| (planned, kind, name))
            })
            .collect();
        let checks: &Self = self;
        let ask = |(_, kind, name): &(&PlannedCollection, NameKind, CollectionName)| {
            let (is_new, kind, name) = (new_databases.contains(&name.db), *kind, name.clone());
            async move { if is_new { checks.is_allowed(kind, &name).await } else { checks.is_taken(&name).await } }
        };
        let asked: Vec<_> = wanted.iter().map(ask).collect();
        let answers: Vec<_> = stream::iter(asked).buffered(NAMES_PARALLEL).try_collect().await?;
        for ((planned, kind, name), answer) in wanted.iter().zip(answers) {
            match answer {
                Named::Free => {}
                Named::Taken if *name == planned.target => {
                    self.problems.push(Problem::new(Code::TargetExists).with("collection", name));
                }
                Named::Taken => {
                    let problem = Problem::new(Code::AliasTaken).with("alias", &name.name);
                    self.problems.push(problem.with("collection", &planned.source));
                }
                Named::Forbidden(words) => {
                    self.problems.push(forbidden_name(*kind, &planned.source, &name.name, words));
                }
            }
        }
        // Two source databases can be sent into one.
        let mut seen = BTreeSet::new();
        let twice = collections.iter().filter(|planned| !seen.insert(planned.target.clone()));
        self.problems.extend(twice.map(|planned| {
            Problem::new(Code::Selector)
                .with("selector", &planned.target)
                .with("detail", "two source collections would get this name on the target")
        }));
        Ok(())
    }
}

impl Checks<'_> {
    /// Whether a collection or an alias bears a name. A description of nothing tells as well whether the name is allowed.
    async fn is_taken(&self, name: &CollectionName) -> Result<Named, Vec<Problem>> {
        match self.target.describe(name).await {
            Ok(_) => Ok(Named::Taken),
            Err(error) if error.kind() == ErrorKind::CollectionNotFound => Ok(Named::Free),
            Err(error) if error.refuses_name() => Ok(Named::Forbidden(error.message().to_owned())),
            Err(error) => Err(vec![refusal(Side::Target, &error)]),
        }
    }

    /// Whether a name is allowed that a database is to have which is yet to be made: asked for in `default`, if the table
    /// has a doubt.
    async fn is_allowed(&self, kind: NameKind, name: &CollectionName) -> Result<Named, Vec<Problem>> {
        let Err(fault) = check_name(self.product, kind, &name.name) else { return Ok(Named::Free) };
        match self.target.describe(&CollectionName::new(DB_DEFAULT, &name.name)).await {
            Ok(_) => Ok(Named::Free),
            Err(error) if error.kind() == ErrorKind::CollectionNotFound => Ok(Named::Free),
            Err(error) if error.refuses_name() => Ok(Named::Forbidden(error.message().to_owned())),
            // Who may not ask there gets the table's answer. A database that is made beforehand is asked.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                Ok(Named::Forbidden(fault.to_string()))
            }
            Err(error) => Err(vec![refusal(Side::Target, &error)]),
        }
    }
}

/// Why a target may lack something, in English and Chinese; none if it does not.
fn lacking(support: Support) -> Option<(String, String)> {
    match support {
        Support::Yes => None,
        Support::Since(major, minor) => {
            Some((format!("supported since {major}.{minor}"), format!("该特性从 {major}.{minor} 开始支持")))
        }
        Support::No => Some(("not supported by this product".to_owned(), "该产品不支持该特性".to_owned())),
    }
}

fn feature_of(data_type: DataType) -> Option<Feature> {
    match data_type {
        DataType::Bool
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float
        | DataType::Double
        | DataType::String
        | DataType::VarChar
        | DataType::FloatVector => None,
        DataType::Json => Some(Feature::Json),
        DataType::Array => Some(Feature::Array),
        DataType::Geometry => Some(Feature::Geometry),
        DataType::Timestamptz => Some(Feature::Timestamptz),
        DataType::Text => Some(Feature::Text),
        DataType::BinaryVector => Some(Feature::BinaryVector),
        DataType::Float16Vector | DataType::BFloat16Vector => Some(Feature::HalfVector),
        DataType::SparseFloatVector => Some(Feature::SparseVector),
        DataType::Int8Vector => Some(Feature::Int8Vector),
        DataType::ArrayOfVector | DataType::ArrayOfStruct | DataType::Struct => Some(Feature::Struct),
        DataType::None | DataType::Mol | DataType::Date | DataType::Time | DataType::Decimal => {
            Some(Feature::UnknownType)
        }
    }
}

fn feature_of_function(kind: i32) -> Feature {
    match FunctionType::try_from(kind) {
        Ok(FunctionType::Bm25) => Feature::Function,
        Ok(FunctionType::TextEmbedding) => Feature::Embedding,
        Ok(FunctionType::MinHash) => Feature::MinHash,
        // Reranking belongs to a search, not to a collection; the others are of releases to come.
        Ok(FunctionType::Unknown | FunctionType::Rerank | FunctionType::MolFingerprint) | Err(_) => {
            Feature::UnknownFunction
        }
    }
}

/// Whether a parameter of a text field asks for words. One that says "no" may stand on any server.
fn is_of_analyzer(param: &KeyValuePair) -> bool {
    match param.key.as_str() {
        "enable_analyzer" | "enable_match" | "enable_tokenizer" => param.value == "true",
        "analyzer_params" | "multi_analyzer_params" => true,
        _ => false,
    }
}

fn consistency_name(level: i32) -> String {
    ConsistencyLevel::try_from(level)
        .map_or_else(|_| level.to_string(), |level| level.as_str_name().to_owned())
}

/// Number of partitions that a partition key spreads rows over.
fn key_partitions(found: &Found) -> i64 {
    let of_lite =
        found.partitions.iter().filter(|(name, _)| name.starts_with(LITE_KEY_PARTITION_PREFIX)).count()
            as i64;
    match of_lite {
        0 => found.described.num_partitions,
        counted => counted,
    }
}

fn has_description(found: &Found) -> bool {
    let schema = found.described.schema.decoded();
    !schema.description.is_empty() || schema.fields.iter().any(|field| !field.description.is_empty())
}

/// AUTOINDEX on every vector field that the source has an index for, with the source's metric, or the source's own index
/// where that is asked for and the target builds it; scalar indexes as they are.
fn indexes(product: Product, found: &Found, keep: bool, changes: &mut Vec<Change>) -> Vec<NewIndex> {
    let vectors = found.described.schema.vector_fields();
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let mut indexes = Vec::new();
    for index in &found.indexes {
        let (name, field) = (index.name.clone(), index.field.clone());
        let as_on_source = || index_params(product, index);
        let Some(vector) = vectors.iter().find(|vector| vector.name == field) else {
            indexes.push(NewIndex { name, field, params: as_on_source(), instead: None });
            continue;
        };
        let by_contract = vector_index(product, vector_kind(vector));
        let of_source = index.param("index_type").unwrap_or_default();
        let metric = index.param("metric_type").map(|metric| pair("metric_type", metric));
        let params = std::iter::once(pair("index_type", by_contract)).chain(metric).collect();
        if keep && of_source != by_contract && keeps_vector_index(product, of_source) {
            indexes.push(NewIndex { name, field, params: as_on_source(), instead: Some(params) });
            continue;
        }
        if of_source != by_contract {
            let (source, target) = (of_source.to_owned(), by_contract.to_owned());
            changes.push(Change { what: format!("index on {field}"), source, target });
        }
        indexes.push(NewIndex { name, field, params, instead: None });
    }
    // A source that reads without an index (lite) says no metric; the target needs an index to be loaded later.
    let unindexed =
        vectors.iter().filter(|vector| found.indexes.iter().all(|index| index.field != vector.name));
    for vector in unindexed.filter(|_| found.rows_estimate > 0) {
        let (index_type, metric) = (vector_index(product, vector_kind(vector)), default_metric(vector));
        changes.push(Change {
            what: format!("index on {}", vector.name),
            source: "none".to_owned(),
            target: format!("{index_type}, {metric}"),
        });
        let params = vec![pair("index_type", index_type), pair("metric_type", metric)];
        indexes.push(NewIndex { name: String::new(), field: vector.name.clone(), params, instead: None });
    }
    indexes
}

/// The parameters of an index as the target takes them: milvus-lite 3 reads those of the build from one document only.
fn index_params(product: Product, index: &Index) -> Vec<(String, String)> {
    let is_its_own = |key: &str| ["index_type", "metric_type", "params"].contains(&key);
    if product != Product::LitePython {
        return index.params.iter().map(|param| (param.key.clone(), param.value.clone())).collect();
    }
    let mut build = target::flat_params(index.params.iter().map(|param| (&*param.key, &*param.value)));
    build.retain(|key, _| !is_its_own(key));
    let number_or_text =
        |text: String| serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text));
    let build: serde_json::Map<_, _> =
        build.into_iter().map(|(key, value)| (key, number_or_text(value))).collect();
    let named = index.params.iter().filter(|param| is_its_own(&param.key) && param.key != "params");
    let mut params: Vec<_> = named.map(|param| (param.key.clone(), param.value.clone())).collect();
    if !build.is_empty() {
        params.push(("params".to_owned(), serde_json::Value::Object(build).to_string()));
    }
    params
}

fn vector_kind(vector: &FieldSpec) -> VectorKind {
    match family(vector.data_type) {
        Family::Sparse => VectorKind::Sparse,
        Family::Dense { bits: 1 } => VectorKind::Binary,
        Family::Dense { bits: 32 } => VectorKind::Float,
        Family::Dense { .. }
        | Family::Fixed(_)
        | Family::Text
        | Family::Json
        | Family::Array
        | Family::Nested => VectorKind::OtherDense,
    }
}

/// The metric that servers assume for a type when none is given.
fn default_metric(field: &FieldSpec) -> &'static str {
    match family(field.data_type) {
        Family::Sparse if field.is_function_output => "BM25",
        Family::Sparse => "IP",
        Family::Dense { bits: 1 } => "HAMMING",
        Family::Dense { .. }
        | Family::Fixed(_)
        | Family::Text
        | Family::Json
        | Family::Array
        | Family::Nested => "COSINE",
    }
}
