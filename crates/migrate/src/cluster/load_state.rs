//! The load state of a source collection: read before the job, completed for the copy, and put back exactly.
//!
//! "Loaded" does not mean complete: with one of two partitions loaded a 2.3.5 answers queries for that part without an
//! error, and after a load answers stay short for seconds (protocol notes, trap 11). So every partition is asked for
//! its state, and after a load the loaded segments must hold the stored rows.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use vecferry_milvus::schema::parameter;
use vecferry_milvus::{Client, Collection, CollectionName, Error, ErrorKind, Flavor, LoadState, Segment};

use crate::cluster::release::release;
use crate::cluster::retry::{WaitError, repeat, sleep, unless_canceled};
use crate::cluster::waits::{Waiting, load_stall_max};
use crate::event::{Awaited, Side};
use crate::problem::{Told, found};

const LOAD_POLL: Duration = Duration::from_millis(150);
/// How often a load that takes its time is looked at.
const LOAD_POLL_MAX: Duration = Duration::from_secs(1);
/// What a server calls its disk, if it is smaller, is a placeholder.
const DISK_BYTES_MIN: f64 = (1_u64 << 30) as f64;
/// A server that is busy with other things gets around to sorting late, and one that is set up so never does.
const SORT_STALL_MAX: Duration = Duration::from_secs(20);
const SORT_POLL: Duration = Duration::from_millis(100);
/// Loads a started server still reports as missing for a while.
const RECOVERY_WAIT_MAX: Duration = Duration::from_secs(180);

/// How a collection was loaded before the job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerLoad {
    /// How much of it.
    pub extent: LoadExtent,
    /// The loaded partitions, where others were not.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub partitions: Vec<String>,
    /// Copies in memory; absent where the server does not say, or where nothing is loaded.
    pub replicas: Option<u32>,
    /// Names of the resource groups that held them, without the one that every server has.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub resource_groups: Vec<String>,
}

/// How much of a collection is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadExtent {
    /// Nothing.
    Nothing,
    /// Some of its partitions.
    Part,
    /// All of it.
    Whole,
}

/// Resource groups that every server has.
const RESOURCE_GROUP_BUILT_IN_PREFIX: &str = "__";

/// The names of resource groups that somebody made, sorted, each once.
pub(crate) fn own_resource_groups(mut names: Vec<String>) -> Vec<String> {
    names.retain(|name| !name.is_empty() && !name.starts_with(RESOURCE_GROUP_BUILT_IN_PREFIX));
    names.sort_unstable();
    names.dedup();
    names
}

/// Which partitions of a collection were loaded, and how often.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct LoadedParts {
    loaded: Vec<String>,
    missing: Vec<String>,
    /// The server is still loading what counts as loaded: it answers nothing, or not all.
    #[serde(default)]
    on_its_way: bool,
    /// Copies in memory, where the server says so.
    #[serde(default)]
    replicas: Option<u32>,
    /// Names of the resource groups that hold them, without the one that every server has.
    #[serde(default)]
    resource_groups: Vec<String>,
}

impl LoadedParts {
    /// Asks for the state of every partition.
    pub(crate) async fn read(
        client: &Client,
        collection: &Collection,
        partitions: &[(String, i64)],
    ) -> Result<Self, Error> {
        let name = &collection.name;
        let names: Vec<_> = partitions.iter().map(|(partition, _)| partition.clone()).collect();
        let whole = client.load_state(name, None).await?;
        if whole == LoadState::NotLoaded {
            return Ok(Self { missing: names, ..Self::default() });
        }
        let mut parts = Self { on_its_way: whole == LoadState::Loading, ..Self::default() };
        parts.read_replicas(client, collection).await;
        // Where a key places the rows, parts can't be loaded, and lite knows no parts.
        if names.len() <= 1 || collection.schema.has_partition_key() {
            parts.loaded = names;
            return Ok(parts);
        }
        for partition in names {
            match client.load_state(name, Some(&partition)).await {
                Ok(LoadState::NotLoaded) => parts.missing.push(partition),
                Ok(state @ (LoadState::Loading | LoadState::Loaded)) => {
                    parts.on_its_way |= state == LoadState::Loading;
                    parts.loaded.push(partition);
                }
                // Servers without partition loads answer for the whole.
                Err(error) if error.kind() == ErrorKind::Unsupported => parts.loaded.push(partition),
                // Dropped since it was listed.
                Err(error) if error.kind() == ErrorKind::PartitionNotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(parts)
    }

    /// For the report only: a server that was just started knows nothing of replicas for a while, and says so in many ways.
    async fn read_replicas(&mut self, client: &Client, collection: &Collection) {
        let groups = match client.replicas(collection).await {
            Ok(groups) => groups,
            Err(error) => {
                tracing::debug!(%error, "the replicas are not known");
                None
            }
        };
        self.replicas = groups.as_ref().and_then(|groups| u32::try_from(groups.len()).ok());
        self.resource_groups = own_resource_groups(groups.unwrap_or_default());
    }

    /// For the report.
    pub(crate) fn former(&self) -> FormerLoad {
        let extent = match (self.loaded.is_empty(), self.missing.is_empty()) {
            (false, false) => LoadExtent::Part,
            (_, true) => LoadExtent::Whole,
            (true, false) => LoadExtent::Nothing,
        };
        FormerLoad {
            extent,
            partitions: if extent == LoadExtent::Part { self.loaded.clone() } else { Vec::new() },
            replicas: self.replicas,
            resource_groups: self.resource_groups.clone(),
        }
    }

    /// Whether every partition is loaded.
    pub(crate) fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// Whether every row can be asked for now.
    pub(crate) fn answers(&self) -> bool {
        self.is_complete() && !self.on_its_way
    }

    /// Whether somebody else is loading it.
    pub(crate) fn is_on_its_way(&self) -> bool {
        self.on_its_way
    }

    /// It says that it is loaded, and does not answer.
    pub(crate) fn does_not_answer(&mut self) {
        self.on_its_way = true;
    }

    /// For people: what was loaded.
    pub(crate) fn describe(&self) -> Told {
        match (self.loaded.len(), self.missing.len()) {
            (0, _) => Told::both("not loaded", "未加载"),
            (_, 0) if self.on_its_way => Told::both("loading", "加载中"),
            (_, 0) => Told::both("loaded", "已加载"),
            (loaded, missing) => {
                let all = loaded + missing;
                Told::names(&self.loaded).behind(
                    &format!("only {loaded} of {all} partitions loaded: "),
                    &format!("仅加载了 {loaded}/{all} 个 Partition："),
                )
            }
        }
    }

    /// Loads what is missing and waits until all rows are there. Also after a cancellation [`LoadedParts::restore`] puts it
    /// back: the load may have begun.
    pub(crate) async fn complete(
        &self,
        client: &Client,
        side: Side,
        name: &CollectionName,
        cancel: &CancellationToken,
    ) -> Result<(), WaitError> {
        let load = async || {
            if self.loaded.is_empty() && !self.missing.is_empty() {
                return client.load_collection(name, 1).await;
            }
            if self.missing.is_empty() {
                Ok(())
            } else {
                client.load_partitions(name, &self.missing, 0).await
            }
        };
        unless_canceled(cancel, repeat(cancel, load)).await?;
        wait_until_complete(client, side, name, cancel).await
    }

    /// Releases what [`LoadedParts::complete`] loaded.
    pub(crate) async fn restore(&self, client: &Client, name: &CollectionName) -> Result<(), Error> {
        if self.missing.is_empty() {
            return Ok(());
        }
        let mut missing = self.missing.clone();
        if self.loaded.is_empty() {
            release(client, name).await?;
        } else if let Err(error) = client.release_partitions(name, &missing).await {
            if error.kind() != ErrorKind::PartitionNotFound {
                return Err(error);
            }
            // What was dropped meanwhile has no load state to be put back into.
            let there = client.partitions(name).await?;
            missing.retain(|missing| there.iter().any(|(partition, _)| partition == missing));
            if !missing.is_empty() {
                client.release_partitions(name, &missing).await?;
            }
        }
        let still_loaded = async {
            for partition in &missing {
                if client.load_state(name, Some(partition)).await? != LoadState::NotLoaded {
                    return Ok::<_, Error>(true);
                }
            }
            Ok(false)
        };
        if self.loaded.is_empty() || !still_loaded.await? {
            return Ok(());
        }
        let told =
            Told::both("partitions are still loaded after release", "释放后 Partition 仍处于已加载状态");
        Err(found(ErrorKind::Rejected, "ReleasePartitions", told))
    }
}

/// Waits until a collection that is loaded, or on its way, answers for all its rows.
pub(crate) async fn wait_until_complete(
    client: &Client,
    side: Side,
    name: &CollectionName,
    cancel: &CancellationToken,
) -> Result<(), WaitError> {
    wait_until_loaded(client, side, name, None, cancel).await
}

/// The same where the rows of some stored segments are served, although these are not loaded: a flush brought them, and until
/// they are loaded the server has their rows as they were before it.
pub(crate) async fn wait_until_served(
    client: &Client,
    side: Side,
    name: &CollectionName,
    served: &BTreeSet<i64>,
    cancel: &CancellationToken,
) -> Result<(), WaitError> {
    let wanted = Wanted { partitions: None, served };
    unless_canceled(cancel, Box::pin(poll_until_loaded(client, side, name, wanted, cancel))).await
}

/// What of a collection is waited for.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    /// Some partitions, or all.
    partitions: Option<&'a [String]>,
    /// Segments that need not be loaded.
    served: &'a BTreeSet<i64>,
}

/// Waits until a collection answers for all its rows, or for those of some partitions.
pub(crate) async fn wait_until_loaded(
    client: &Client,
    side: Side,
    name: &CollectionName,
    partitions: Option<&[String]>,
    cancel: &CancellationToken,
) -> Result<(), WaitError> {
    // On the heap: whoever reads rows may have to wait, and would carry this along.
    let wanted = Wanted { partitions, served: &BTreeSet::new() };
    unless_canceled(cancel, Box::pin(poll_until_loaded(client, side, name, wanted, cancel))).await
}

/// Waits until what was stored is sorted, which servers do since 2.5, and which gives it other numbers. A load that is
/// asked for before that aims at the unsorted segments, and looks for others ten seconds later: 2,000 rows of a 2.5.10 were
/// sorted 0.2 s after their flush, and served 9.8 s after that. Tells whether all of it is sorted, as far as the server
/// tells: one that does not get on with it is not waited for longer than a load that stands still.
pub(crate) async fn wait_until_sorted(
    client: &Client,
    side: Side,
    name: &CollectionName,
    cancel: &CancellationToken,
) -> Result<bool, Error> {
    if client.version().flavor != Flavor::Milvus || !client.version().at_least(2, 5) {
        return Ok(true);
    }
    let (mut waiting, mut moved, mut most) = (Waiting::begin(), Instant::now(), 0);
    let stall_max = SORT_STALL_MAX.min(load_stall_max());
    loop {
        let Some(stored) = repeat(cancel, || client.stored_segments(name)).await? else { return Ok(true) };
        let (sorted, unsorted): (Vec<_>, Vec<_>) =
            stored.iter().filter(|segment| !segment.holds_deletes).partition(|segment| segment.is_sorted);
        if unsorted.is_empty() || cancel.is_cancelled() {
            return Ok(true);
        }
        if sorted.len() > most {
            (most, moved) = (sorted.len(), Instant::now());
        }
        if moved.elapsed() >= stall_max {
            return Ok(false);
        }
        waiting.during(&Awaited::Sorted { side }, sleep(SORT_POLL, cancel)).await;
    }
}

async fn poll_until_loaded(
    client: &Client,
    side: Side,
    name: &CollectionName,
    Wanted { partitions, served }: Wanted<'_>,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let ids = match partitions {
        Some(partitions) => {
            let known = repeat(cancel, || client.partitions(name)).await?.into_iter();
            Some(known.filter(|(known, _)| partitions.contains(known)).map(|(_, id)| id).collect::<Vec<_>>())
        }
        None => None,
    };
    let (started, mut waiting, mut moved) = (Instant::now(), Waiting::begin(), Instant::now());
    let (mut most, mut most_percent) = (0, 0);
    loop {
        let state = repeat(cancel, || state_of(client, name, partitions)).await?;
        let rows = match state {
            LoadState::Loaded => {
                repeat(cancel, || rows_in_memory(client, name, ids.as_deref(), served)).await?
            }
            // For people only; what servers say of a load that goes on is not recorded.
            LoadState::Loading => {
                let told = rows_in_memory(client, name, ids.as_deref(), served).await;
                told.unwrap_or(InMemory::NotTold)
            }
            LoadState::NotLoaded => InMemory::NotTold,
        };
        let (awaited, detail) = match rows {
            _ if state == LoadState::Loaded && rows.is_complete() => return Ok(()),
            InMemory::Rows { served, stored } => {
                if served > most {
                    (most, moved) = (served, Instant::now());
                }
                let awaited = Awaited::Memory { side, rows_served: served, rows_stored: stored };
                let detail = Told::both(
                    format!(", with {served} of {stored} stored rows in memory"),
                    format!("，已存储的 {stored} 行中有 {served} 行在内存中"),
                );
                (awaited, detail)
            }
            InMemory::NotTold | InMemory::NotOffered => {
                let percent = loading_percent(client, name, (state, partitions)).await;
                if percent > Some(most_percent) {
                    (most_percent, moved) = (percent.unwrap_or_default(), Instant::now());
                }
                (Awaited::Load { side, percent }, Told::from(""))
            }
        };
        let stall_max = match state {
            LoadState::NotLoaded => RECOVERY_WAIT_MAX.min(load_stall_max()),
            LoadState::Loading | LoadState::Loaded => load_stall_max(),
        };
        if moved.elapsed() > stall_max {
            let seconds = stall_max.as_secs();
            let told = detail.behind(
                &format!("loading made no progress for {seconds} s"),
                &format!("加载在 {seconds} 秒内没有进展"),
            );
            return Err(found(ErrorKind::NotLoaded, "LoadCollection", told));
        }
        // A load is noticed late by a tenth of its time at most.
        let poll = (started.elapsed() / 10).clamp(LOAD_POLL, LOAD_POLL_MAX);
        waiting.during(&awaited, sleep(poll, cancel)).await;
    }
}

/// How far a load under way is, where the server says that; it need not, and nothing ends by that.
async fn loading_percent(
    client: &Client,
    name: &CollectionName,
    (state, partitions): (LoadState, Option<&[String]>),
) -> Option<u8> {
    if state != LoadState::Loading {
        return None;
    }
    let told = client.loading_progress(name, partitions.unwrap_or_default()).await;
    told.unwrap_or_else(|error| {
        tracing::debug!(%error, "how far the load is is not known");
        None
    })
}

/// The load state of a whole collection, or of the partition of some that is least loaded.
async fn state_of(
    client: &Client,
    name: &CollectionName,
    partitions: Option<&[String]>,
) -> Result<LoadState, Error> {
    let Some(partitions) = partitions else { return client.load_state(name, None).await };
    for partition in partitions {
        let state = client.load_state(name, Some(partition)).await?;
        if state != LoadState::Loaded {
            return Ok(state);
        }
    }
    Ok(LoadState::Loaded)
}

/// What of the stored rows is in memory.
enum InMemory {
    /// The server has no call for that.
    NotOffered,
    /// It has, and does not say now.
    NotTold,
    /// Both deleted ones too.
    Rows { served: u64, stored: u64 },
}

impl InMemory {
    /// Nothing speaks against it that all rows are served.
    fn is_complete(&self) -> bool {
        match self {
            Self::NotOffered => true,
            Self::NotTold => false,
            Self::Rows { served, stored } => served >= stored,
        }
    }
}

/// Compares the loaded segments with the stored ones, partition by partition: of all, or of those of some numbers.
async fn rows_in_memory(
    client: &Client,
    name: &CollectionName,
    partitions: Option<&[i64]>,
    served_otherwise: &BTreeSet<i64>,
) -> Result<InMemory, Error> {
    let Some(stored) = client.stored_segments(name).await? else { return Ok(InMemory::NotOffered) };
    let loaded = match client.loaded_segments(name).await {
        Ok(Some(loaded)) => loaded,
        Ok(None) => return Ok(InMemory::NotOffered),
        Err(error) if error.kind() == ErrorKind::NotLoaded => return Ok(InMemory::NotTold),
        Err(error) => return Err(error),
    };
    // From 2.6 on, what is not sorted yet is served by the streaming node and is in no list of loaded segments.
    let sorted_only = client.version().at_least(2, 6);
    let is_expected = |segment: &Segment| !segment.holds_deletes && (segment.is_sorted || !sorted_only);
    let counts = |id: i64| partitions.is_none_or(|partitions| partitions.contains(&id));
    let mut missing: BTreeMap<i64, i64> = BTreeMap::new();
    let mut all = 0;
    let is_served = |id: i64| served_otherwise.contains(&id);
    let expected = stored.iter().filter(|segment| is_expected(segment) && counts(segment.partition_id));
    for segment in expected.filter(|segment| !is_served(segment.id)) {
        *missing.entry(segment.partition_id).or_default() += segment.rows;
        all += segment.rows.max(0);
    }
    for segment in loaded.into_iter().filter(|segment| !is_served(segment.id)) {
        *missing.entry(segment.partition_id).or_default() -= segment.rows;
    }
    let missing: i64 = missing.values().map(|rows| (*rows).max(0)).sum();
    let served = (all - missing).max(0);
    Ok(InMemory::Rows { served: served.unsigned_abs(), stored: all.unsigned_abs() })
}

/// Rows a load would bring into memory, deleted ones too; `None` where the server can't say.
pub(crate) async fn stored_rows(client: &Client, name: &CollectionName) -> Result<Option<u64>, Error> {
    let stored = client.stored_segments(name).await?;
    Ok(stored.map(|segments| segments.iter().map(|segment| segment.rows.unsigned_abs()).sum()))
}

/// Assumed size of values that can be of any size.
const VALUE_BYTES_GUESS: u64 = 512;

/// Bytes of memory a load needs, roughly: the values, and a third more for the server's own structures.
pub(crate) fn memory_estimate(collection: &Collection, rows: u64) -> u64 {
    let fields = &collection.schema.decoded().fields;
    let longest = |name: &str| {
        let field = fields.iter().find(|field| field.name == name)?;
        parameter(&field.type_params, "max_length")?.parse().ok()
    };
    // Texts are rarely as long as they may be.
    let any_size =
        |name: &str| longest(name).map_or(VALUE_BYTES_GUESS, |bytes: u64| bytes.min(VALUE_BYTES_GUESS));
    let columns = collection.schema.columns();
    let row: u64 = columns
        .iter()
        .map(|column| column.fixed_bytes().map_or_else(|| any_size(&column.name), |b| b as u64))
        .sum();
    rows.saturating_mul(row).saturating_mul(4) / 3
}

/// Memory that the query nodes have left, by their own account; `None` where the server gives none.
pub(crate) async fn free_memory(client: &Client) -> Result<Option<u64>, Error> {
    let Some(info) = client.system_info().await? else { return Ok(None) };
    let Some(nodes) = info["nodes_info"].as_array() else { return Ok(None) };
    let free = nodes
        .iter()
        .filter(|node| node["infos"]["type"] == "querynode")
        .filter_map(|node| {
            let hardware = &node["infos"]["hardware_infos"];
            let (memory, used) = (hardware["memory"].as_u64()?, hardware["memory_usage"].as_u64()?);
            // Servers refuse to load beyond 90 % (`queryNode.overloadedMemoryThresholdPercentage`).
            Some((memory / 10 * 9).saturating_sub(used))
        })
        .max();
    Ok(free)
}

/// Disk that the fullest node has left, by its own account; `None` where the server gives none.
pub(crate) async fn free_disk(client: &Client) -> Result<Option<u64>, Error> {
    let Some(info) = client.system_info().await? else { return Ok(None) };
    let Some(nodes) = info["nodes_info"].as_array() else { return Ok(None) };
    let free = nodes.iter().filter_map(|node| {
        let hardware = &node["infos"]["hardware_infos"];
        // Some of these figures are fractions.
        let (disk, used) = (hardware["disk"].as_f64()?, hardware["disk_usage"].as_f64()?);
        // Nodes that don't look at their disk say 0 (2.5.10, 2.6.18) or a number that is no disk's (100, on 2.3.5).
        (disk >= DISK_BYTES_MIN).then_some((disk - used).max(0.0) as u64)
    });
    Ok(free.min())
}

#[cfg(test)]
mod tests {
    use vecferry_milvus::proto::common::KeyValuePair;
    use vecferry_milvus::proto::schema::{CollectionSchema, DataType, FieldSchema};
    use vecferry_milvus::schema::Schema;

    use super::*;

    #[test]
    fn memory_counts_every_column_by_its_own_size() {
        let field = |name: &str, data_type: DataType, key: &str, value: &str| FieldSchema {
            name: name.into(),
            data_type: data_type as i32,
            type_params: vec![KeyValuePair { key: key.into(), value: value.into() }],
            ..FieldSchema::default()
        };
        let output = field("bm25", DataType::SparseFloatVector, "", "");
        let schema = CollectionSchema {
            fields: vec![
                FieldSchema { is_function_output: true, ..output },
                field("text", DataType::VarChar, "max_length", "30"),
                field("long", DataType::VarChar, "max_length", "60000"),
                field("vector", DataType::FloatVector, "dim", "100"),
            ],
            ..CollectionSchema::default()
        };
        let collection = Collection {
            name: CollectionName::new("d", "c"),
            id: 0,
            created_timestamp: 0,
            shards: 1,
            consistency: 0,
            aliases: Vec::new(),
            properties: Vec::new(),
            num_partitions: 1,
            schema: Schema::of(&schema),
        };
        assert_eq!(memory_estimate(&collection, 3), (30 + 512 + 400) * 4);
    }
}
