//! An application that writes to the source all the time: rows, partitions and aliases come, change and go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use vecferry_milvus::{Client, DB_DEFAULT};

use super::data::COLLECTIONS;
use super::others::{self, Way};
use super::whole::patiently;
use crate::Failure;
use crate::bench::collection;

/// Longest pause between two writes.
const PAUSE_MAX: Duration = Duration::from_millis(120);
/// Partitions that come and go, of each collection.
const PARTITIONS: u32 = 4;
/// Aliases that come, go, and come back for the other collection.
const ALIASES: u32 = 4;

/// What an application does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    Rows(Way),
    /// A partition is made, or is dropped.
    Partition,
    /// The same with an alias.
    Alias,
}

/// How many of a hundred each is.
const SHARES: [(Deed, u32); 5] = [
    (Deed::Rows(Way::Insert), 30),
    (Deed::Rows(Way::Delete), 25),
    (Deed::Rows(Way::Update), 30),
    (Deed::Partition, 8),
    (Deed::Alias, 7),
];

/// What an application knows of what it did.
pub(super) struct Application {
    random: StdRng,
    /// Rows that each collection began with.
    rows: u32,
    /// A number that it has not used yet.
    turn: u32,
    /// Partitions that it made, each with its collection.
    partitions: BTreeSet<(&'static str, String)>,
    /// Aliases that it made, with their collections.
    aliases: BTreeMap<String, &'static str>,
    /// Deeds so far.
    pub(super) deeds: u32,
}

impl Application {
    pub(super) fn new(random: StdRng, rows: u32) -> Self {
        let (partitions, aliases) = (BTreeSet::new(), BTreeMap::new());
        Self { random, rows, turn: 0, partitions, aliases, deeds: 0 }
    }

    async fn act(&mut self, client: &Client) -> Result<(), Failure> {
        let deeds: Vec<_> =
            SHARES.iter().flat_map(|(deed, share)| std::iter::repeat_n(*deed, *share as usize)).collect();
        self.turn += 1;
        self.deeds += 1;
        match deeds[self.random.random_range(0..deeds.len())] {
            Deed::Rows(way) => {
                others::write_in(client, &mut self.random, way, self.rows, self.turn).await.map(drop)
            }
            Deed::Partition => self.change_partition(client).await,
            Deed::Alias => self.change_alias(client).await,
        }
    }

    async fn change_partition(&mut self, client: &Client) -> Result<(), Failure> {
        let name = COLLECTIONS[self.random.random_range(0..COLLECTIONS.len())];
        let partition = format!("passing_{}", self.random.random_range(0..PARTITIONS));
        let (of, known) = (collection(name), (name, partition.clone()));
        if !self.partitions.remove(&known) {
            others::make_partition(client, &of, &partition, self.turn).await?;
            self.partitions.insert(known);
            return Ok(());
        }
        let one = [partition];
        // Whoever reads the collection may load it in between.
        patiently(async || {
            client.release_partitions(&of, &one).await?;
            Ok(client.drop_partition(&of, &one[0]).await?)
        })
        .await
    }

    async fn change_alias(&mut self, client: &Client) -> Result<(), Failure> {
        let alias = format!("torture_passing_{}", self.random.random_range(0..ALIASES));
        if self.aliases.remove(&alias).is_some() {
            return Ok(client.drop_alias(DB_DEFAULT, &alias).await?);
        }
        let name = COLLECTIONS[self.random.random_range(0..COLLECTIONS.len())];
        client.create_alias(&collection(name), &alias).await?;
        self.aliases.insert(alias, name);
        Ok(())
    }
}

/// An application that is at work in a thread of its own.
pub(super) struct Writer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Application, Failure>>,
}

impl Writer {
    pub(super) fn start(client: Client, mut application: Application) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            while !stopped.load(Ordering::Relaxed) {
                runtime.block_on(application.act(&client))?;
                std::thread::sleep(application.random.random_range(Duration::ZERO..PAUSE_MAX));
            }
            Ok(application)
        });
        Self { stop, thread }
    }

    /// Ends it. Its last write has been answered.
    pub(super) fn stop(self) -> Result<Application, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let failed = |failure| format!("the application that writes: {failure}").into();
        self.thread.join().map_err(|_| "the application that writes broke")?.map_err(failed)
    }
}
