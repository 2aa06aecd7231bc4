//! What is made on the target: databases, collections, partitions, indexes, aliases, late properties.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio_util::sync::CancellationToken;
use vecferry_milvus::schema::{Difference, Schema, differences, parameters};
use vecferry_milvus::{Client, Collection, CollectionName, Error, ErrorKind, Flavor, Index};
use vecferry_store::{JobId, Position, Writer};

use crate::cluster::retry::{repeat, sleep};
use crate::cluster::waits::Waiting;
use crate::event::Awaited;
use crate::plan::change;
use crate::plan::properties::{PROPERTY_KEPT_KEYS, PROPERTY_TTL};
use crate::plan::show;
use crate::plan::{Change, Keys, NewIndex, PlannedCollection};
use crate::problem::{Told, found, words_of};
use crate::report::IndexReport;

const INDEX_POLL: Duration = Duration::from_millis(500);
/// An index of which nothing is built for so long does not get ready by itself.
const INDEX_STALL_MAX: Duration = Duration::from_secs(3600);

/// Makes the partitions that a collection does not have yet, and describes what came of it.
pub(crate) async fn create_partitions(
    target: &Client,
    planned: &PlannedCollection,
    cancel: &CancellationToken,
) -> Result<Collection, Error> {
    let name = &planned.target;
    let existing = repeat(cancel, || target.partitions(name)).await?;
    for partition in &planned.partitions {
        if existing.iter().all(|(known, _)| known != partition) {
            create_partition(target, name, partition, cancel).await?;
        }
    }
    repeat(cancel, || target.describe(name)).await
}

/// The collection of a name, if it is the one that the target gave this number (lite gives none).
pub(crate) async fn describe_own(
    target: &Client,
    name: &CollectionName,
    id: i64,
) -> Result<Option<Collection>, Error> {
    let never = CancellationToken::new();
    match repeat(&never, || target.describe(name)).await {
        Ok(found) if found.id == id && found.name == *name => Ok(Some(found)),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::CollectionNotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The alias of a writer, through which nobody else writes.
pub(crate) fn write_alias(
    name: &CollectionName,
    job_id: &JobId,
    position: Position,
    number: u64,
) -> CollectionName {
    CollectionName::new(&name.db, format!("{}w{number}_{position}", write_alias_prefix(job_id)))
}

fn write_alias_prefix(job_id: &JobId) -> String {
    format!("vf_{}_", job_id.as_str().replace('-', ""))
}

/// Gives the collection a name that nobody knew before: the writer was opened just now, and its number is never given out
/// again. Where the target has no aliases, it is the collection's own name.
pub(crate) async fn open_write_alias(
    target: &Client,
    made: &Collection,
    writer: &Writer,
    cancel: &CancellationToken,
) -> Result<Option<CollectionName>, Error> {
    let name = &made.name;
    let alias = write_alias(name, writer.job_id(), writer.collection(), writer.number());
    match repeat(cancel, || target.create_alias(name, &alias.name)).await {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(Some(name.clone())),
        // A repeated call finds what the first one made, and nobody else knows the name.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    // The name that it was given to may be another collection's by now. Later the alias stays with the one that it is of.
    let owner = repeat(cancel, || target.describe(&alias)).await?;
    if owner.id == made.id && owner.name == *name {
        return Ok(Some(alias));
    }
    try_close_write_alias(target, name, &alias).await?;
    Ok(None)
}

/// Takes away every name that the job wrote through: its writers are all lost.
pub(crate) async fn close_write_aliases(
    target: &Client,
    name: &CollectionName,
    job_id: &JobId,
    position: Position,
    lost: &[u64],
) -> Result<(), Error> {
    let never = CancellationToken::new();
    let described = repeat(&never, || target.describe(name)).await?;
    let prefix = write_alias_prefix(job_id);
    let mut aliases = repeat(&never, || target.aliases(&described)).await?;
    aliases.retain(|alias| alias.starts_with(&prefix));
    // Also those that the target does not list, or not yet.
    let known = lost.iter().map(|number| write_alias(name, job_id, position, *number).name);
    let known: Vec<_> = known.filter(|alias| !aliases.contains(alias)).collect();
    aliases.extend(known);
    for alias in aliases {
        close_write_alias(target, name, &CollectionName::new(&name.db, alias)).await?;
    }
    Ok(())
}

/// Takes away the name that an attempt wrote through.
pub(crate) async fn close_write_alias(
    target: &Client,
    name: &CollectionName,
    alias: &CollectionName,
) -> Result<(), Error> {
    let never = CancellationToken::new();
    repeat(&never, || try_close_write_alias(target, name, alias)).await
}

/// The same, without a second try.
pub(crate) async fn try_close_write_alias(
    target: &Client,
    name: &CollectionName,
    alias: &CollectionName,
) -> Result<(), Error> {
    if alias == name {
        return Ok(());
    }
    match target.drop_alias(&alias.db, &alias.name).await {
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(()),
        dropped => dropped,
    }
}

async fn create_partition(
    target: &Client,
    name: &CollectionName,
    partition: &str,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let made = repeat(cancel, || target.create_partition(name, partition)).await;
    match made {
        // A repeated call may find what the first one made.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Every difference between the plan and what the target made; none if it is what was planned.
pub(crate) fn schema_differences(
    target: &Client,
    planned: &PlannedCollection,
    made: &Collection,
) -> Result<Vec<Difference>, vecferry_milvus::wire::WireError> {
    let wanted = Schema::read(planned.new.schema.clone())?;
    let mut found = differences(&wanted, &made.schema)?;
    let flavor = target.version().flavor;
    // milvus-lite 3 keeps no descriptions; the plan lists that.
    if flavor == Flavor::LitePython {
        found
            .retain(|difference| !(difference.path.ends_with("description") && difference.target.is_empty()));
    }
    let mut compare = |path: &str, source: String, target: String| {
        if source != target {
            found.push(Difference { path: path.to_owned(), source, target });
        }
    };
    match flavor {
        Flavor::Milvus => {
            compare("shards_num", planned.new.shards.to_string(), made.shards.to_string());
            compare("consistency_level", planned.new.consistency.to_string(), made.consistency.to_string());
            if planned.has_partition_key() && planned.new.num_partitions > 0 {
                let wanted = planned.new.num_partitions.to_string();
                compare("num_partitions", wanted, made.num_partitions.to_string());
            }
        }
        // Its plan lists that shards, consistency and partition count are its own.
        Flavor::LitePython => {}
        Flavor::LiteNative => return Ok(found),
    }
    // Taken back at the end, perhaps by an attempt that died behind that.
    let is_passing = |key: &str| planned.keys == Keys::Kept && key == PROPERTY_KEPT_KEYS;
    for property in planned.new.properties.iter().filter(|property| !is_passing(&property.key)) {
        let of_target = made.properties.iter().find(|known| known.key == property.key);
        let path = format!("properties[{}]", property.key);
        compare(
            &path,
            property.value.clone(),
            of_target.map_or_else(String::new, |known| known.value.clone()),
        );
    }
    Ok(found)
}

/// Properties that the target gave the collection beside those of the plan, as 2.6 gives every collection a time zone.
/// They change no row; rows that expire where those of the source do not are a difference.
pub(crate) fn added_properties(
    planned: &PlannedCollection,
    made: &Collection,
) -> (Vec<Change>, Vec<Difference>) {
    let of_plan = planned.new.properties.iter().map(|property| &property.key);
    let known: Vec<_> = of_plan.chain(planned.late_properties.iter().map(|(key, _)| key)).collect();
    let is_new = |key: &String| !known.contains(&key) && key != PROPERTY_KEPT_KEYS;
    let (mut changes, mut differences) = (Vec::new(), Vec::new());
    for property in made.properties.iter().filter(|property| is_new(&property.key)) {
        let target = property.value.clone();
        if property.key == PROPERTY_TTL {
            let path = format!("properties[{PROPERTY_TTL}]");
            differences.push(Difference { path, source: String::new(), target });
        } else {
            changes.push(Change { what: change::property(&property.key), source: "–".to_owned(), target });
        }
    }
    (changes, differences)
}

/// Partitions that are missing or were added, for people; none if they are those of the plan.
pub(crate) async fn partition_differences(
    target: &Client,
    planned: &PlannedCollection,
) -> Result<Option<Told>, Error> {
    let made = target.partitions(&planned.target).await?;
    let made: Vec<String> = made.into_iter().map(|(name, _)| name).collect();
    let wanted = &planned.partitions;
    let only = |of: &[String], other: &[String]| -> Vec<String> {
        of.iter().filter(|name| !other.contains(name)).cloned().collect()
    };
    // Where a field's value places the rows, or the source has none, the target's partitions are its own.
    let added = if wanted.is_empty() { Vec::new() } else { only(&made, wanted) };
    let differing = [
        ("missing partitions: ", "缺少 Partition：", only(wanted, &made)),
        ("added partitions: ", "新增 Partition：", added),
    ];
    let told = differing.iter().filter(|(_, _, names)| !names.is_empty());
    let told: Vec<_> = told.map(|(en, zh, names)| Told::names(names).behind(en, zh)).collect();
    Ok((!told.is_empty()).then(|| Told::parts(&told)))
}

/// What of a complete collection is not as it was planned, for people: somebody may have changed it since. None if all
/// of it is.
pub(crate) async fn changes_of_complete(
    target: &Client,
    planned: &PlannedCollection,
    made: &Collection,
    is_finished: bool,
    cancel: &CancellationToken,
) -> Result<Option<Told>, Error> {
    let broken = |error: vecferry_milvus::wire::WireError| {
        Error::own(ErrorKind::Malformed, "DescribeCollection", error)
    };
    let mut differing = schema_differences(target, planned, made).map_err(broken)?;
    differing.extend(added_properties(planned, made).1);
    if is_finished {
        differing.extend(repeat(cancel, || finish_differences(target, planned)).await?);
    }
    let partitions = repeat(cancel, || partition_differences(target, planned)).await?;
    let definition = (!differing.is_empty()).then(|| show(&differing));
    let told: Vec<_> = definition.into_iter().chain(partitions).collect();
    Ok((!told.is_empty()).then(|| Told::parts(&told)))
}

/// Starts all index builds that no earlier attempt started. Tells which ones the target refused, with its words, and
/// builds what stands in for them.
pub(crate) async fn create_indexes(
    target: &Client,
    planned: &PlannedCollection,
    cancel: &CancellationToken,
) -> Result<Vec<RefusedIndex>, Error> {
    let existing = repeat(cancel, || target.indexes(&planned.target)).await?;
    let is_missing = |wanted: &&NewIndex| {
        existing
            .iter()
            .all(|index| index.field != wanted.field || !wanted.name.is_empty() && index.name != wanted.name)
    };
    let mut refused = Vec::new();
    for index in planned.indexes.iter().filter(is_missing) {
        let build = async |params: &[(String, String)]| {
            repeat(cancel, || {
                target.create_index(&planned.target, &index.field, &index.name, parameters(params))
            })
            .await
        };
        match (build(&index.params).await, &index.instead) {
            (Err(error), Some(instead)) if error.kind() == ErrorKind::Rejected => {
                build(instead).await?;
                refused.push(RefusedIndex { field: index.field.clone(), reason: words_of(&error) });
            }
            (built, _) => built?,
        }
    }
    Ok(refused)
}

/// An index that the target does not build.
#[derive(Clone, Debug)]
pub(crate) struct RefusedIndex {
    pub(crate) field: String,
    pub(crate) reason: Told,
}

/// Parameters of an index, with those out of the document that some servers keep them in.
pub(crate) fn flat_params<'a>(params: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    let mut flat = BTreeMap::new();
    for (key, value) in params {
        match serde_json::from_str(value) {
            Ok(Value::Object(document)) if key == "params" => {
                flat.extend(document.into_iter().map(|(key, value)| {
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    (key, text)
                }));
            }
            _ => drop(flat.insert(key.to_owned(), value.to_owned())),
        }
    }
    flat
}

/// The indexes of the target and how far they are, so many seconds after the beginning of the job.
pub(crate) async fn index_report(
    target: &Client,
    name: &CollectionName,
    seconds: f64,
) -> Result<Vec<IndexReport>, Error> {
    let indexes = target.indexes(name).await?;
    Ok(indexes
        .into_iter()
        .map(|index| IndexReport {
            index_type: index.param("index_type").unwrap_or_default().to_owned(),
            metric_type: index.param("metric_type").unwrap_or_default().to_owned(),
            built_rows: index.indexed_rows.max(0).unsigned_abs(),
            total_rows: index.total_rows.max(0).unsigned_abs(),
            built_after_seconds: (index.indexed_rows >= index.total_rows).then_some(seconds),
            index: index.name,
            field: index.field,
        })
        .collect())
}

/// Waits until all indexes are built, one of them failed, or nothing is built any more.
pub(crate) async fn wait_for_indexes(
    target: &Client,
    name: &CollectionName,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let (mut waiting, mut moved, mut most) = (Waiting::begin(), Instant::now(), 0);
    loop {
        let indexes = repeat(cancel, || target.indexes(name)).await?;
        if let Some(failed) = indexes.iter().find_map(|index| index.failure.as_ref().map(|why| (index, why)))
        {
            let (Index { name, field, .. }, why) = failed;
            let told = Told::both(
                format!("the index `{name}` on `{field}` failed: {why}"),
                format!("`{field}` 上的索引 `{name}` 构建失败：{why}"),
            );
            return Err(found(ErrorKind::Rejected, "CreateIndex", told));
        }
        if cancel.is_cancelled() || indexes.iter().all(|index| index.indexed_rows >= index.total_rows) {
            return Ok(());
        }
        let rows = |of: fn(&Index) -> i64| indexes.iter().map(of).sum::<i64>().max(0).unsigned_abs();
        let (rows_built, rows_total) = (rows(|index| index.indexed_rows), rows(|index| index.total_rows));
        if rows_built > most {
            (most, moved) = (rows_built, Instant::now());
        }
        if moved.elapsed() > INDEX_STALL_MAX {
            let seconds = INDEX_STALL_MAX.as_secs();
            let told = Told::both(
                format!(
                    "indexes of `{name}`: {rows_built} of {rows_total} rows built, no progress for {seconds} s"
                ),
                format!("`{name}` 的索引：{rows_total} 行中已构建 {rows_built} 行，{seconds} 秒内没有进展"),
            );
            return Err(found(ErrorKind::Timeout, "DescribeIndex", told));
        }
        let awaited = Awaited::Index { rows_built, rows_total };
        waiting.during(&awaited, sleep(INDEX_POLL, cancel)).await;
    }
}

/// How the indexes are that the target made.
#[derive(Debug, Default)]
pub(crate) struct IndexesMade {
    /// What is not as planned.
    pub(crate) differences: Vec<Difference>,
    /// Fields whose index was refused, so that another one stands in for it: what was wanted, and what there is.
    pub(crate) replaced: Vec<Change>,
}

/// Compares the indexes of the target with the plan.
pub(crate) async fn indexes_made(target: &Client, planned: &PlannedCollection) -> Result<IndexesMade, Error> {
    let made = target.indexes(&planned.target).await?;
    let mut found = IndexesMade::default();
    for wanted in &planned.indexes {
        let of_field = made.iter().find(|index| {
            index.field == wanted.field && (wanted.name.is_empty() || index.name == wanted.name)
        });
        let path = format!("indexes[{}]", wanted.field);
        let Some(index) = of_field else {
            found.differences.push(Difference { path, source: wanted.name.clone(), target: String::new() });
            continue;
        };
        let there = flat_params(index.params.iter().map(|param| (&*param.key, &*param.value)));
        let differing = param_differences(&path, &wanted.params, &there);
        let stands_in =
            |instead: &Vec<(String, String)>| param_differences(&path, instead, &there).is_empty();
        if !differing.is_empty() && wanted.instead.as_ref().is_some_and(stands_in) {
            let index_type = |params: &BTreeMap<String, String>| params.get("index_type").cloned();
            let of_plan = flat_params(wanted.params.iter().map(|(key, value)| (&**key, &**value)));
            found.replaced.push(Change {
                what: change::index_on(&wanted.field),
                source: index_type(&of_plan).unwrap_or_default(),
                target: index_type(&there).unwrap_or_default(),
            });
            continue;
        }
        found.differences.extend(differing);
    }
    Ok(found)
}

fn param_differences(
    path: &str,
    wanted: &[(String, String)],
    there: &BTreeMap<String, String>,
) -> Vec<Difference> {
    let wanted = flat_params(wanted.iter().map(|(key, value)| (&**key, &**value)));
    let differing = wanted.into_iter().filter(|(key, value)| there.get(key) != Some(value));
    differing
        .map(|(key, source)| Difference {
            path: format!("{path}.{key}"),
            source,
            target: there.get(&key).cloned().unwrap_or_default(),
        })
        .collect()
}

/// Sets what must come last: properties that act on rows, then aliases.
pub(crate) async fn finish(
    target: &Client,
    planned: &PlannedCollection,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    if !planned.late_properties.is_empty() {
        let properties = parameters(&planned.late_properties);
        repeat(cancel, || target.alter_collection(&planned.target, properties.clone())).await?;
    }
    if planned.keys == Keys::Kept {
        let of_source =
            planned.described.properties.iter().find(|property| property.key == PROPERTY_KEPT_KEYS);
        match of_source {
            Some(property) => {
                let property = vec![property.clone()];
                repeat(cancel, || target.alter_collection(&planned.target, property.clone())).await?;
            }
            None => repeat(cancel, || target.drop_property(&planned.target, PROPERTY_KEPT_KEYS)).await?,
        }
    }
    for alias in &planned.aliases {
        match repeat(cancel, || target.create_alias(&planned.target, alias)).await {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                // A repeated call finds what the first one made; anybody else's alias is not touched.
                let owner = target.describe(&CollectionName::new(&planned.target.db, alias)).await?;
                if owner.name != planned.target {
                    return Err(error);
                }
            }
            made => made?,
        }
    }
    Ok(())
}

/// What of that is not as planned.
pub(crate) async fn finish_differences(
    target: &Client,
    planned: &PlannedCollection,
) -> Result<Vec<Difference>, Error> {
    let mut found = Vec::new();
    if planned.late_properties.is_empty() && planned.aliases.is_empty() {
        return Ok(found);
    }
    let made = target.describe(&planned.target).await?;
    for (key, value) in &planned.late_properties {
        let there = made.properties.iter().find(|known| known.key == *key).map(|known| known.value.clone());
        if there.as_ref() != Some(value) {
            let path = format!("properties[{key}]");
            found.push(Difference { path, source: value.clone(), target: there.unwrap_or_default() });
        }
    }
    let aliases = target.aliases(&made).await?;
    for alias in planned.aliases.iter().filter(|alias| !aliases.contains(alias)) {
        found.push(Difference {
            path: format!("aliases[{alias}]"),
            source: alias.clone(),
            target: String::new(),
        });
    }
    Ok(found)
}
