//! What a collection holds, row by row, read without any code of the engine, and what somebody else has on the target.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use prost::Message;
use vecferry_milvus::proto::milvus::QueryResults;
use vecferry_milvus::proto::schema::{FieldData, field_data, scalar_field, vector_field};
use vecferry_milvus::{Client, CollectionName, Consistency, LoadState, Query, RowSelection};

use super::data::is_text;
use crate::Failure;

/// Rows of a page.
const PAGE_ROWS: u32 = 4000;
/// A loaded collection answers short for a while, and after a restart it is not loaded for a while.
const COMPLETE_TIMEOUT: Duration = Duration::from_secs(90);
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// A primary key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Key {
    Number(i64),
    Text(String),
}

impl Key {
    /// As it is written in an expression.
    pub(super) fn literal(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        }
    }
}

/// Rows by partition and key; of each row a number that follows from its values.
pub(super) type Rows = BTreeMap<(String, Key), u64>;

/// All rows of a collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) rows: Rows,
    /// Rows by `count(*)`, every copy of a key among them.
    pub(super) counted: u64,
}

/// Reads a collection that is loaded or can be: then it is loaded for it, and released again.
pub(super) async fn read(client: &Client, name: &CollectionName) -> Result<Whole, Failure> {
    let was_loaded = client.load_state(name, None).await? == LoadState::Loaded;
    if !was_loaded {
        client.load_collection(name, 1).await?;
    }
    let whole = complete(client, name).await;
    if !was_loaded {
        client.release_collection(name).await?;
    }
    whole
}

/// Reads until as many rows come as are counted, for some time: then the rest are copies of keys.
async fn complete(client: &Client, name: &CollectionName) -> Result<Whole, Failure> {
    let begin = Instant::now();
    loop {
        let outcome = read_once(client, name).await;
        let is_late = begin.elapsed() > COMPLETE_TIMEOUT;
        match outcome {
            Ok(whole) if whole.rows.len() as u64 == whole.counted || is_late => return Ok(whole),
            Err(error) if is_late => return Err(error),
            Ok(_) | Err(_) => tokio::time::sleep(LOOK_INTERVAL).await,
        }
    }
}

async fn read_once(client: &Client, name: &CollectionName) -> Result<Whole, Failure> {
    let mut whole = Whole::default();
    for (partition, _) in client.partitions(name).await? {
        let columns = ["id", "number", "vector"].map(str::to_owned);
        let query = |selection, rows_max| Query {
            collection: name,
            collection_id: 0,
            selection,
            columns: &columns,
            partition: Some(&partition),
            rows_max,
            consistency: Consistency::Strong,
        };
        whole.counted += client.count(&query(RowSelection::Everything, None)).await?;
        let mut last = if is_text(&name.name) { Key::Text(String::new()) } else { Key::Number(i64::MIN + 1) };
        let mut comparison = ">=";
        loop {
            let behind = RowSelection::Where(format!("id {comparison} {}", last.literal()));
            let answer = client.query(&query(behind, Some(PAGE_ROWS))).await?;
            let page = page(&QueryResults::decode(answer)?)?;
            let Some((key, _)) = page.last() else { break };
            (last, comparison) = (key.clone(), ">");
            whole.rows.extend(page.into_iter().map(|(key, row)| ((partition.clone(), key), row)));
        }
    }
    Ok(whole)
}

/// Keys of a page, each with the number of its values.
fn page(answer: &QueryResults) -> Result<Vec<(Key, u64)>, Failure> {
    let column = |name: &str| answer.fields_data.iter().find(|column| column.field_name == name);
    let (Some(keys), Some(numbers), Some(vectors)) = (column("id"), column("number"), column("vector"))
    else {
        return Ok(Vec::new());
    };
    let (keys, numbers) = (scalars(keys)?, scalars(numbers)?);
    let vectors = floats(vectors)?;
    let width = vectors.len() / keys.len().max(1);
    let rows = keys.into_iter().enumerate().map(|(row, key)| {
        let mut hasher = DefaultHasher::new();
        numbers.get(row).hash(&mut hasher);
        let vector = vectors.get(row * width..(row + 1) * width).unwrap_or_default();
        vector.iter().for_each(|part| part.to_bits().hash(&mut hasher));
        (key, hasher.finish())
    });
    Ok(rows.collect())
}

fn scalars(column: &FieldData) -> Result<Vec<Key>, Failure> {
    if let Some(field_data::Field::Scalars(scalars)) = &column.field {
        match &scalars.data {
            Some(scalar_field::Data::LongData(longs)) => {
                return Ok(longs.data.iter().copied().map(Key::Number).collect());
            }
            Some(scalar_field::Data::StringData(texts)) => {
                return Ok(texts.data.iter().cloned().map(Key::Text).collect());
            }
            Some(_) => {}
            None => return Ok(Vec::new()),
        }
    }
    Err(format!("column {} is of another type", column.field_name).into())
}

fn floats(column: &FieldData) -> Result<&[f32], Failure> {
    if let Some(field_data::Field::Vectors(vectors)) = &column.field {
        match &vectors.data {
            Some(vector_field::Data::FloatVector(floats)) => return Ok(&floats.data),
            Some(_) => {}
            None => return Ok(&[]),
        }
    }
    Err(format!("column {} is of another type", column.field_name).into())
}

/// What a collection has beside its rows, and a user may ask for by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    partitions: BTreeSet<String>,
    aliases: BTreeSet<String>,
}

impl Names {
    pub(super) async fn read(client: &Client, name: &CollectionName) -> Result<Self, Failure> {
        let described = client.describe(name).await?;
        let partitions = client.partitions(name).await?.into_iter().map(|(partition, _)| partition);
        let aliases = client.aliases(&described).await?;
        Ok(Self { partitions: partitions.collect(), aliases: aliases.into_iter().collect() })
    }
}

/// A collection of somebody else, as it was made.
#[derive(Clone, Debug)]
pub(super) struct Foreign {
    pub(super) name: CollectionName,
    pub(super) definition: String,
    pub(super) whole: Whole,
}

impl Foreign {
    /// Looks at one that nobody writes to any more.
    pub(super) async fn look(client: &Client, name: &CollectionName) -> Result<Self, Failure> {
        let definition = definition(client, name).await?;
        let whole = read(client, name).await?;
        Ok(Self { name: name.clone(), definition, whole })
    }

    /// What became of it; nothing if it is as it was. Its rows are read where the whole is wanted, else only counted by
    /// their segments.
    pub(super) async fn touched(&self, client: &Client, is_whole: bool) -> Result<Option<String>, Failure> {
        let now = match patiently(async || definition(client, &self.name).await).await {
            Ok(now) => now,
            Err(error) => return Ok(Some(format!("{}: {error}", self.name))),
        };
        if now != self.definition {
            return Ok(Some(format!("{}: was {} and is {now}", self.name, self.definition)));
        }
        if is_whole && read(client, &self.name).await? != self.whole {
            return Ok(Some(format!("{}: its rows are others", self.name)));
        }
        Ok(None)
    }
}

/// Everything but the rows themselves.
async fn definition(client: &Client, name: &CollectionName) -> Result<String, Failure> {
    let described = client.describe(name).await?;
    let mut aliases = client.aliases(&described).await?;
    aliases.sort_unstable();
    let mut partitions = client.partitions(name).await?;
    partitions.sort_unstable();
    let indexes = client.indexes(name).await?;
    let indexes: Vec<_> = indexes.iter().map(|index| (&index.name, &index.field, &index.params)).collect();
    let rows = client.row_estimate(name).await?;
    Ok(format!("{described:?} {aliases:?} {partitions:?} {indexes:?} {rows} rows"))
}

/// A server that was just started answers only after a while.
pub(super) async fn patiently<Answer>(
    call: impl AsyncFn() -> Result<Answer, Failure>,
) -> Result<Answer, Failure> {
    let begin = Instant::now();
    loop {
        match call().await {
            Err(_) if begin.elapsed() < COMPLETE_TIMEOUT => tokio::time::sleep(LOOK_INTERVAL).await,
            outcome => return outcome,
        }
    }
}
