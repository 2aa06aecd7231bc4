//! What a cluster holds: databases, collections, partitions, aliases, indexes, rows, load state. Reads only, but for
//! one flush of collections that look empty and can't be queried: rows that were never flushed show in no statistic.

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio_util::sync::CancellationToken;
use vecferry_milvus::proto::schema::DataType;
use vecferry_milvus::{
    Client, Collection, CollectionName, Consistency, Error, ErrorKind, Flavor, Index, KeyField, Query,
    RowSelection,
};
use vecferry_policy::{Product, can_be_named};

use crate::cluster::connect::refusal;
use crate::cluster::flush::flush;
use crate::cluster::load_state::LoadedParts;
use crate::cluster::retry::repeat;
use crate::cluster::selection::{Selection, Selector};
use crate::problem::{Code, Problem, Side};

/// Collections that are described at once.
const DESCRIBE_PARALLEL: usize = 8;

/// A collection with all that belongs to it.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) described: Collection,
    /// Names and numbers of the partitions.
    pub(crate) partitions: Vec<(String, i64)>,
    pub(crate) aliases: Vec<String>,
    pub(crate) indexes: Vec<Index>,
    pub(crate) load: LoadedParts,
    pub(crate) rows_estimate: u64,
    /// Rows of all partitions together; unknown where a whole can't differ from its parts, or nothing is loaded.
    pub(crate) rows_of_partitions: Option<u64>,
}

impl Found {
    /// First vector field without an index; such a collection can't be loaded, except on lite.
    pub(crate) fn unindexed_vector(&self) -> Option<String> {
        let indexed = |field: &str| self.indexes.iter().any(|index| index.field == field);
        self.described
            .schema
            .vector_fields()
            .into_iter()
            .map(|field| field.name)
            .find(|field| !indexed(field))
    }
}

/// What a collection consists of beside its rows.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) described: Collection,
    pub(crate) partitions: Vec<String>,
    pub(crate) aliases: Vec<String>,
}

/// Looks at a collection once more; `None` if there is none of that name.
pub(crate) async fn look(client: &Client, name: &CollectionName) -> Result<Option<Parts>, Error> {
    let never = CancellationToken::new();
    let described = match repeat(&never, || client.describe(name)).await {
        Err(error) if error.kind() == ErrorKind::CollectionNotFound => return Ok(None),
        described => described?,
    };
    let partitions = repeat(&never, || client.partitions(&described.name)).await?;
    let aliases = repeat(&never, || client.aliases(&described)).await?;
    let partitions = partitions.into_iter().map(|(partition, _)| partition).collect();
    Ok(Some(Parts { described, partitions, aliases }))
}

/// Names of the selected collections of a cluster, sorted. Of whole databases those that the user sees:
/// [`crate::cluster::visible`] tells whether these are all.
pub(crate) async fn select(
    client: &Client,
    side: Side,
    selection: &Selection,
) -> Result<Vec<CollectionName>, Vec<Problem>> {
    let refused = |error: Error| vec![refusal(side, &error)];
    // Where every collection is named, each is asked for itself: the user need not see any list.
    let databases = match client.databases().await {
        Err(error) if error.kind() == ErrorKind::PermissionDenied && selection.names_every_collection() => {
            None
        }
        databases => Some(databases.map_err(refused)?),
    };
    let is_known = |db: &String| databases.as_ref().is_some_and(|known| known.contains(db));
    let unknown_database =
        |db: &String| Problem::new(Code::UnknownDatabase).with("side", side.name()).with("db", db);
    let mut names = Vec::new();
    let mut problems = Vec::new();
    if selection.included().is_empty() {
        for db in databases.iter().flatten() {
            names.extend(all_of(client, db).await.map_err(refused)?);
        }
    }
    for selector in selection.included() {
        match selector {
            Selector::Database(db) if !is_known(db) => problems.push(unknown_database(db)),
            Selector::Database(db) => names.extend(all_of(client, db).await.map_err(refused)?),
            // A database that is not listed may only be hidden from this user.
            Selector::Collection(name) => match client.describe(name).await {
                Ok(found) => names.push(found.name),
                Err(error) if error.kind() == ErrorKind::DatabaseNotFound => {
                    problems.push(unknown_database(&name.db));
                }
                Err(error) if error.kind() == ErrorKind::CollectionNotFound && !is_known(&name.db) => {
                    problems.push(unknown_database(&name.db));
                }
                Err(error) if error.kind() == ErrorKind::CollectionNotFound => problems.push(
                    Problem::new(Code::UnknownCollection).with("side", side.name()).with("collection", name),
                ),
                Err(error) => return Err(refused(error)),
            },
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    names.sort_unstable();
    names.dedup();
    names.retain(|name| !selection.excludes(name));
    if names.is_empty() {
        return Err(vec![Problem::new(Code::NothingSelected)]);
    }
    Ok(names)
}

async fn all_of(client: &Client, db: &str) -> Result<Vec<CollectionName>, Error> {
    let names = client.collections(db).await?;
    Ok(names.into_iter().map(|name| CollectionName::new(db, name)).collect())
}

/// Reads everything about some collections. Rows are counted as of a moment.
pub(crate) async fn read(
    client: &Client,
    names: &[CollectionName],
    now: Consistency,
) -> Result<Vec<Found>, Error> {
    let one = |name| async move { read_described(client, client.describe(name).await?, now).await };
    let reads: Vec<_> = names.iter().map(one).collect();
    stream::iter(reads).buffered(DESCRIBE_PARALLEL).try_collect().await
}

/// What is there by now: as fresh as the strongest consistency, which makes every single query wait (0.25 s on 2.3.5).
pub(crate) async fn as_of_now(client: &Client) -> Result<Consistency, Error> {
    Ok(client.timestamp().await?.map_or(Consistency::Strong, Consistency::At))
}

/// Reads everything about one collection that must be there.
pub(crate) async fn find(client: &Client, side: Side, name: &CollectionName) -> Result<Found, Problem> {
    let described = match client.describe(name).await {
        Err(error) if error.kind() == ErrorKind::CollectionNotFound => {
            return Err(Problem::new(Code::UnknownCollection)
                .with("side", side.name())
                .with("collection", name));
        }
        described => described.map_err(|error| refusal(side, &error))?,
    };
    // A later call that does not find it says more than that: its name and the server's words.
    read_described(client, described, Consistency::Strong).await.map_err(|error| refusal(side, &error))
}

async fn read_described(
    client: &Client,
    described: Collection,
    consistency: Consistency,
) -> Result<Found, Error> {
    let name = &described.name.clone();
    let partitions = client.partitions(name).await?;
    let aliases = client.aliases(&described).await?;
    let indexes = client.indexes(name).await?;
    let load = LoadedParts::read(client, &described, &partitions).await?;
    let mut found =
        Found { described, partitions, aliases, indexes, load, rows_estimate: 0, rows_of_partitions: None };
    let counted = if found.load.answers() { count(client, &found, consistency).await? } else { None };
    found.rows_estimate = match counted {
        Some(rows) => rows,
        None => rows_by_statistics(client, &found).await?,
    };
    if counted.is_none() && found.load.is_complete() {
        found.load.does_not_answer();
    }
    if counted.is_some() && client.version().flavor == Flavor::LitePython && found.partitions.len() > 1 {
        found.rows_of_partitions = rows_of_partitions(client, &found, consistency).await?;
    }
    Ok(found)
}

/// Rows of all partitions together. Where rows of one partition were written once more into another, milvus-lite 3.2.2
/// still answers the old ones where a partition is named, and only there. None if no expression can name the key.
async fn rows_of_partitions(
    client: &Client,
    found: &Found,
    consistency: Consistency,
) -> Result<Option<u64>, Error> {
    let key = found.described.schema.key_field();
    let Some(key) = key.filter(|key| can_be_named(Product::LitePython, &key.name)) else { return Ok(None) };
    let is_text = DataType::try_from(key.data_type) == Ok(DataType::VarChar);
    let selection = KeyField::new(&key.name, client.version().flavor).every_row(is_text);
    let never = CancellationToken::new();
    let mut rows = 0;
    for (partition, _) in &found.partitions {
        let whole = everything(&found.described.name, found.described.id, consistency);
        let query = Query { selection: selection.clone(), partition: Some(partition), ..whole };
        rows += repeat(&never, || client.count(&query)).await?;
    }
    Ok(Some(rows))
}

/// Rows of a collection that is loaded; none if the server does not answer, which a server that was just started does not
/// for half a minute: nothing else has to wait for that.
async fn count(client: &Client, found: &Found, consistency: Consistency) -> Result<Option<u64>, Error> {
    let query = everything(&found.described.name, found.described.id, consistency);
    let never = CancellationToken::new();
    let counted = repeat(&never, || async {
        match client.count(&query).await {
            Err(error) if error.kind() == ErrorKind::NotLoaded => Ok(None),
            answer => answer.map(Some),
        }
    });
    counted.await
}

async fn rows_by_statistics(client: &Client, found: &Found) -> Result<u64, Error> {
    let name = &found.described.name;
    let rows = client.row_estimate(name).await?;
    if rows > 0 || found.unindexed_vector().is_none() {
        return Ok(rows);
    }
    // It can't be loaded and looks empty: only a flush brings rows to light that are still in the log.
    flush(client, Side::Source, name, &CancellationToken::new()).await?;
    client.row_estimate(name).await
}

/// A query for all rows.
pub(crate) fn everything(name: &CollectionName, id: i64, consistency: Consistency) -> Query<'_> {
    Query {
        collection: name,
        collection_id: id,
        selection: RowSelection::Everything,
        columns: &[],
        partition: None,
        rows_max: None,
        consistency,
    }
}
