//! The pre-check: everything that can be known before the first write. Finds all refusals at once, and makes the plan.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use vecferry_milvus::proto::common::{ConsistencyLevel, KeyValuePair};
use vecferry_milvus::proto::schema::{DataType, FunctionType};
use vecferry_milvus::schema::{Family, FieldSpec, family, parameters};
use vecferry_milvus::{Client, CollectionName, DB_DEFAULT, Error, ErrorKind, Flavor, Index, NewCollection};
use vecferry_policy::{
    Feature, NameKind, Product, Support, VectorKind, check_name, keeps_vector_index, scalar_index,
    shards_max, support, vector_index,
};

use crate::checks::fields::names_of_fields;
use crate::checks::{CheckId, CheckList};
use crate::connect::{Side, cluster, product, refusal, same_server};
use crate::event::Awaited;
use crate::inventory::{self, Found};
use crate::plan::{Change, Keys, NewIndex, Plan, PlannedCollection};
use crate::problem::{Code, Problem, Told};
use crate::request::{AutoId, Duplicates, MigrateRequest, SourceLoad};
use crate::size::{RowSize, row_sizes};
use crate::source_load;
use crate::target;
use crate::tuning::Tuning;
use crate::visible::{self, Visible};
use crate::waits::shown;

/// Properties that change what happens to rows or who writes them; set when everything else is done, or never.
pub(crate) const PROPERTY_TTL: &str = "collection.ttl.seconds";
/// Lets a server take keys that it would make itself (2.6 and later).
pub(crate) const PROPERTY_KEPT_KEYS: &str = "allow_insert_auto_id";
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
        && names.iter().any(|name| target_db(request, &name.db) == name.db)
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
    let mut checks =
        Checks { request, source, target, product: product(target), follows_source, problems: Vec::new() };
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
    let unclaimed = crate::run::claim::warnings(target, &databases).await;
    let unclaimed = unclaimed.map_err(|error| vec![refusal(Side::Target, &error)])?;
    unclaimed.into_iter().for_each(|problem| list.warn(CheckId::Names, problem));
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
                .map(source_load::own_resource_groups),
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

/// Database of the target for a database of the source.
pub(crate) fn target_db(request: &MigrateRequest, db: &str) -> String {
    request.target_dbs.get(db).map_or(db, String::as_str).to_owned()
}

struct Checks<'a> {
    request: &'a MigrateRequest,
    source: &'a Client,
    target: &'a Client,
    product: Product,
    /// Both are Milvus, and the target's release is the source's or a later one.
    follows_source: bool,
    problems: Vec<Problem>,
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

/// What to do about a name that the target does not allow, in English and Chinese.
fn way_out_of_name(kind: NameKind, collection: &CollectionName) -> (String, String) {
    match kind {
        NameKind::Database => (
            format!("choose another database with --target-db {}=NAME", collection.db),
            format!("请用 --target-db {}=NAME 选择其他 Database", collection.db),
        ),
        NameKind::Collection => (
            format!("rename the collection at the source, or leave it out with --exclude {collection}"),
            format!("请在源上重命名该 Collection，或用 --exclude {collection} 跳过"),
        ),
        NameKind::Partition => (
            format!(
                "a partition cannot be renamed: move its rows to another one at the source, use a target of 2.5 or later \
                 (it allows digits and hyphens), or leave the collection out with --exclude {collection}"
            ),
            format!(
                "Partition 无法重命名：请在源上把其中的行移到其他 Partition，或使用 2.5 及以上版本的目标（允许数字和连字符），或用 --exclude {collection} 跳过"
            ),
        ),
        NameKind::Alias => (
            "drop the alias at the source, and create it under another name".to_owned(),
            "请在源上删除该别名，并以其他名称重新创建".to_owned(),
        ),
    }
}

impl Checks<'_> {
    async fn collection(&mut self, found: &Found) -> Result<PlannedCollection, Error> {
        let name = &found.described.name;
        self.readable(found).await?;
        self.problems.extend(names_of_fields(self.source, self.target, &found.described));
        self.features(found);
        self.scalar_indexes(found);
        self.names(found);
        let mut changes = Vec::new();
        let new = self.new_collection(found, &mut changes);
        let indexes = indexes(self.product, found, self.request.keep_index_params, &mut changes);
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
        let rows = source_load::stored_rows(self.source, name).await?.unwrap_or(found.rows_estimate);
        let needed = source_load::memory_estimate(&found.described, rows);
        if let Some(free) = source_load::free_memory(self.source).await?
            && needed > free
        {
            self.problems.push(does_not_fit(name, Side::Source, needed, free));
        }
        Ok(())
    }

    fn features(&mut self, found: &Found) {
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
        let db = target_db(self.request, &found.described.name.db);
        if db != DB_DEFAULT {
            want(Feature::Database, &db);
        }
        for (feature, names) in wanted {
            self.refuse_unsupported(found, feature, &names);
        }
        match self.keys(found) {
            Keys::Copied if schema.is_auto_id() => {
                self.problems.push(Problem::new(Code::AutoId).with("collection", &found.described.name));
            }
            Keys::Kept => {
                let key = schema.key_field().map(|field| field.name.clone()).unwrap_or_default();
                self.refuse_unsupported(found, Feature::KeptAutoId, &BTreeSet::from([key]));
            }
            Keys::Copied | Keys::Regenerated => {}
        }
    }

    /// Indexes of scalar fields and JSON paths are carried over as they are, or not at all.
    fn scalar_indexes(&mut self, found: &Found) {
        let vectors = found.described.schema.vector_fields();
        let is_scalar = |index: &&Index| vectors.iter().all(|vector| vector.name != index.field);
        for index in found.indexes.iter().filter(is_scalar) {
            let kind = index.param("index_type").unwrap_or_default();
            let on_json_path = index.param("json_path").is_some();
            if self.follows_source {
                continue;
            }
            let why = match scalar_index(self.product, kind, on_json_path) {
                Support::Yes => continue,
                Support::Since(major, minor) => format!("which comes with {major}.{minor}"),
                Support::No => "which this product does not have".to_owned(),
            };
            let path = if on_json_path { " on a JSON path" } else { "" };
            let detail =
                format!("it needs the index `{}` ({kind}{path}) on `{}`, {why}", index.name, index.field);
            self.cannot_hold(found, detail);
        }
    }

    fn cannot_hold(&mut self, found: &Found, detail: impl Into<Told>) {
        self.problems.push(
            Problem::new(Code::TargetCannotHold)
                .with("collection", &found.described.name)
                .with("target", self.target.version())
                .told("detail", detail),
        );
    }

    /// What becomes of the keys. Servers give new rows new keys, and the old ones are lost, unless told otherwise.
    fn keys(&self, found: &Found) -> Keys {
        match self.request.auto_id {
            AutoId::Keep if found.described.schema.is_auto_id() => Keys::Kept,
            AutoId::Regenerate if found.described.schema.is_auto_id() => Keys::Regenerated,
            AutoId::Refuse | AutoId::Keep | AutoId::Regenerate => Keys::Copied,
        }
    }

    fn refuse_unsupported(&mut self, found: &Found, feature: Feature, names: &BTreeSet<String>) {
        // What the source holds, a target of its release or a later one can be asked for.
        let is_ours = matches!(feature, Feature::KeptAutoId | Feature::UnknownType);
        if self.follows_source && !is_ours {
            return;
        }
        let why = match support(self.product, feature) {
            Support::Yes => return,
            Support::Since(major, minor) => format!("), which come with {major}.{minor}"),
            Support::No => "), which this product does not have".to_owned(),
        };
        let names: Vec<_> = names.iter().collect();
        let detail = Told::names(&names).behind(&format!("it needs {feature} (")).before(&why);
        self.cannot_hold(found, detail);
    }

    fn names(&mut self, found: &Found) {
        let name = &found.described.name;
        let db = target_db(self.request, &name.db);
        let partitions = self.partitions(found);
        let of_source = [(NameKind::Collection, &name.name)]
            .into_iter()
            .chain(partitions.iter().map(|partition| (NameKind::Partition, partition)))
            .chain(found.aliases.iter().map(|alias| (NameKind::Alias, alias)));
        // What the source holds, a target of its release or a later one takes.
        let of_source = of_source.filter(|_| !self.follows_source);
        for (kind, checked) in [(NameKind::Database, &db)].into_iter().chain(of_source) {
            if let Err(fault) = check_name(self.product, kind, checked) {
                let (way_out, way_out_zh) = way_out_of_name(kind, name);
                let problem = Problem::new(Code::ForbiddenName)
                    .with("name", checked)
                    .with("kind", format!("{kind} of `{name}`"))
                    .with("detail", fault)
                    .with("way_out", way_out)
                    .with("way_out_zh", way_out_zh);
                self.problems.push(problem);
            }
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
            change("descriptions", "kept".into(), "dropped by milvus-lite 3".into());
        }
        let keys = self.keys(found);
        match keys {
            Keys::Copied | Keys::Kept => {}
            Keys::Regenerated => {
                change("keys", "made by the source".into(), "made anew by the target".into())
            }
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
                    "not kept by milvus-lite 2".into(),
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
            name: CollectionName::new(target_db(self.request, &described.name.db), &described.name.name),
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

    /// Nothing that exists on the target may bear the name of what is to be made.
    async fn free_names(
        &mut self,
        collections: &[PlannedCollection],
        new_databases: &[String],
    ) -> Result<(), Vec<Problem>> {
        // A name that the target forbids is refused already; asking for it is an error of its own.
        let may_be_asked = |name: &str| check_name(self.product, NameKind::Collection, name).is_ok();
        let in_existing = collections.iter().filter(|planned| {
            !new_databases.contains(&planned.target.db) && may_be_asked(&planned.target.name)
        });
        let wanted: Vec<_> = in_existing
            .flat_map(|planned| {
                let alias = |alias| CollectionName::new(&planned.target.db, alias);
                let aliases = planned.aliases.iter().filter(|alias| may_be_asked(alias)).map(alias);
                std::iter::once(planned.target.clone()).chain(aliases).map(move |name| (planned, name))
            })
            .collect();
        let taken = stream::iter(&wanted).map(|(_, name)| self.is_taken(name)).buffered(NAMES_PARALLEL);
        let taken: Vec<_> = taken.try_collect().await?;
        for ((planned, name), _) in wanted.iter().zip(taken).filter(|(_, owner)| owner.is_some()) {
            self.problems.push(if *name == planned.target {
                Problem::new(Code::TargetExists).with("collection", name)
            } else {
                let problem = Problem::new(Code::AliasTaken).with("alias", &name.name);
                problem.with("collection", &planned.source)
            });
        }
        // Two source databases can be sent into one.
        let mut seen = BTreeSet::new();
        let twice = collections.iter().filter(|planned| !seen.insert(planned.target.clone()));
        self.problems.extend(twice.map(|planned| {
            Problem::new(Code::Selector)
                .with("selector", &planned.target)
                .with("detail", "two collections would arrive under this name")
        }));
        Ok(())
    }
}

impl Checks<'_> {
    /// The target's collection behind a name or alias.
    async fn is_taken(&self, name: &CollectionName) -> Result<Option<CollectionName>, Vec<Problem>> {
        match self.target.describe(name).await {
            Ok(found) => Ok(Some(found.name)),
            Err(error) if error.kind() == ErrorKind::CollectionNotFound => Ok(None),
            Err(error) => Err(vec![refusal(Side::Target, &error)]),
        }
    }
}

/// Bytes for people.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

/// More rows in all partitions than in the whole: which of them are still there can't be told.
pub(crate) fn partitions_disagree(name: &CollectionName, rows: u64, sum: u64) -> Problem {
    Problem::new(Code::PartitionsDisagree).with("collection", name).with("rows", rows).with("sum", sum)
}

/// A load that does not fit.
pub(crate) fn does_not_fit(name: &CollectionName, side: Side, needed: u64, free: u64) -> Problem {
    Problem::new(Code::LoadDoesNotFit)
        .with("collection", name)
        .with("side", side.name())
        .with("needed", mebibytes(needed))
        .with("free", mebibytes(free))
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
