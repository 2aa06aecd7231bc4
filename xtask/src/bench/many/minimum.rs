//! What a server itself needs for many small collections: each made, filled, flushed and given an index by a client that
//! does nothing else. Nobody waits for the index to be built.

use std::time::Instant;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use tokio::sync::mpsc;
use vecferry_milvus::{Client, CollectionName, DB_DEFAULT};

use crate::Failure;
use crate::bench::data;

/// Collections that are worked on at once.
const AT_ONCE: usize = 16;

/// How the collections are flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Flushes {
    /// One call for all that are filled by then.
    Together,
    /// One call for each.
    OneByOne,
}

impl Flushes {
    pub(super) const ALL: [Self; 2] = [Self::Together, Self::OneByOne];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Together => "all that are ready in one call",
            Self::OneByOne => "one by one",
        }
    }
}

/// How much is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) collections: u32,
    pub(super) rows: usize,
    pub(super) dim: usize,
}

/// Makes the collections, and removes them again. Returns how many seconds it took to make them.
pub(super) async fn measure(client: &Client, size: Size, flushes: Flushes) -> Result<f64, Failure> {
    let name = |at| CollectionName::new(DB_DEFAULT, format!("minimum_{at}"));
    let names: Vec<_> = (0..size.collections).map(name).collect();
    let begin = Instant::now();
    match flushes {
        Flushes::Together => together(client, &names, size).await?,
        Flushes::OneByOne => one_by_one(client, &names, size).await?,
    }
    let seconds = begin.elapsed().as_secs_f64();
    let remove = |name| async move { client.drop_collection(name).await };
    stream::iter(&names).map(remove).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    Ok(seconds)
}

async fn make(client: &Client, name: &CollectionName, size: Size) -> Result<(), Failure> {
    data::create(client, name, size.dim).await?;
    data::fill(client, name, size.rows, size.dim).await?;
    Ok(())
}

async fn one_by_one(client: &Client, names: &[CollectionName], size: Size) -> Result<(), Failure> {
    let all = |name| async move {
        make(client, name, size).await?;
        data::flush(client, name).await?;
        data::index(client, name).await
    };
    stream::iter(names).map(all).buffer_unordered(AT_ONCE).try_collect().await
}

async fn together(client: &Client, names: &[CollectionName], size: Size) -> Result<(), Failure> {
    let (ready, mut filled) = mpsc::channel(names.len().max(1));
    let fill = async move {
        let fill = |name| {
            let ready = ready.clone();
            async move {
                make(client, name, size).await?;
                ready.send(name).await.map_err(|_| "nobody flushes what is filled".into())
            }
        };
        stream::iter(names).map(fill).buffer_unordered(AT_ONCE).try_collect::<()>().await
    };
    let store = async {
        let mut batch: Vec<&CollectionName> = Vec::new();
        while filled.recv_many(&mut batch, names.len().max(1)).await > 0 {
            data::flush_all(client, DB_DEFAULT, &batch).await?;
            let index = |name| data::index(client, name);
            stream::iter(batch.drain(..)).map(index).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        }
        Ok(())
    };
    tokio::try_join!(fill, store).map(|((), ())| ())
}
