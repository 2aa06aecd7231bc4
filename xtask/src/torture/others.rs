//! What other people do meanwhile: they write to the source, and make collections on the target.

use rand::Rng;
use rand::rngs::StdRng;
use vecferry_milvus::{Client, CollectionName, WriteMode};

use super::data::{self, COLLECTIONS, PARTITIONS, is_text, partition_of};
use super::whole::Key;
use crate::Failure;
use crate::bench::{collection, flush};

/// Rows of one write.
const ROWS: u32 = 20;
/// Rows that come later have numbers from here on.
const LATER_FIRST: u32 = 1_000_000_000;

/// A way to write to the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// New rows in one of the first partitions.
    Insert,
    /// Rows of the beginning are removed.
    Delete,
    /// Rows of the beginning get other values; those that were removed come back.
    Update,
    /// New rows in a partition of their own.
    Partition,
}

impl Way {
    const ALL: [Self; 4] = [Self::Insert, Self::Delete, Self::Update, Self::Partition];
}

/// Rows that somebody wrote to the source, by collection.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) collection: &'static str,
    pub(super) keys: Vec<Key>,
    /// They were there before, and have other values now.
    pub(super) is_update: bool,
}

/// One write to the source. `rows` is how many rows each collection began with, `turn` a number never used before.
pub(super) async fn write(
    client: &Client,
    random: &mut StdRng,
    rows: u32,
    turn: u32,
) -> Result<Written, Failure> {
    let way = Way::ALL[random.random_range(0..Way::ALL.len())];
    write_in(client, random, way, rows, turn).await
}

/// One write of a kind.
pub(super) async fn write_in(
    client: &Client,
    random: &mut StdRng,
    way: Way,
    rows: u32,
    turn: u32,
) -> Result<Written, Failure> {
    let collection_at = random.random_range(0..COLLECTIONS.len());
    let name = COLLECTIONS[collection_at];
    let (of, is_text) = (collection(name), is_text(name));
    let first = random.random_range(0..rows / ROWS) * ROWS;
    let later = LATER_FIRST + turn * ROWS;
    let keys = |first: u32| (first..first + ROWS).map(|number| data::key(number, is_text)).collect();
    let written = |first, is_update| Written { collection: name, keys: keys(first), is_update };
    match way {
        Way::Insert => {
            let partition = PARTITIONS[random.random_range(0..PARTITIONS.len())];
            let page = data::page(later..later + ROWS, is_text, 0);
            client.write(&of, Some(partition), &page, WriteMode::Insert).await?;
            Ok(written(later, false))
        }
        Way::Delete => {
            let literals: Vec<_> = keys(first).iter().map(Key::literal).collect();
            let expression = format!("id in [{}]", literals.join(", "));
            client.delete(&of, Some(partition_of(first)), &expression).await?;
            Ok(written(first, false))
        }
        Way::Update => {
            let page = data::page(first..first + ROWS, is_text, turn + 1);
            client.write(&of, Some(partition_of(first)), &page, WriteMode::Upsert).await?;
            Ok(written(first, true))
        }
        Way::Partition => {
            make_partition(client, &of, &format!("late_{turn}"), turn).await?;
            Ok(written(later, false))
        }
    }
}

/// Makes a partition with some new rows. `turn` is a number never used before.
pub(super) async fn make_partition(
    client: &Client,
    of: &CollectionName,
    partition: &str,
    turn: u32,
) -> Result<(), Failure> {
    client.create_partition(of, partition).await?;
    let later = LATER_FIRST + turn * ROWS;
    let page = data::page(later..later + ROWS, is_text(&of.name), 0);
    super::whole::patiently(async || Ok(client.write(of, Some(partition), &page, WriteMode::Insert).await?))
        .await
}

/// Makes a collection with some rows, which is no job's. Nothing if there is one of that name.
pub(super) async fn make(client: &Client, name: &CollectionName, rows: u32) -> Result<bool, Failure> {
    if client.collections(&name.db).await?.contains(&name.name) {
        return Ok(false);
    }
    let is_text = is_text(&name.name);
    data::make(client, &name.name, is_text).await?;
    if rows > 0 {
        let page = data::page(LATER_FIRST..LATER_FIRST + rows, is_text, 7);
        client.write(name, None, &page, WriteMode::Insert).await?;
        flush(client, name).await?;
    }
    data::index(client, name).await?;
    Ok(true)
}
