//! Loads collections of a target, which a migration leaves unloaded.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use vecferry_milvus::{Client, CollectionName, Endpoint};

use crate::cluster::connect::connect;
use crate::cluster::inventory;
use crate::cluster::load_state::wait_until_loaded;
use crate::cluster::retry::{WaitError, repeat, unless_canceled, until_canceled};
use crate::cluster::waits::{observed, of_collection};
use crate::event::{Event, Observer, Phase};
use crate::problem::{Code, Problem, Side, Told, words_of};
use crate::report::{FormerLoad, LoadExtent};
use crate::request::{LoadRequest, LoadWhat};
use crate::tuning::Tuning;

/// Loads collections and waits until they are complete. Returns their names.
///
/// # Errors
/// What could not be loaded, and why; nothing to say of where the user canceled before the first load.
pub async fn load(
    request: LoadRequest,
    observer: Arc<dyn Observer>,
    cancel: CancellationToken,
) -> Result<Vec<CollectionName>, Vec<Problem>> {
    let looked =
        until_canceled(&cancel, observed(Arc::clone(&observer), wanted(&request.target, request.what))).await;
    let (client, wanted) = looked.unwrap_or_else(|| Err(Vec::new()))?;
    let (mut names, mut problems) = (Vec::new(), Vec::new());
    for (name, former) in wanted {
        observer.on_event(Event::Phase { collection: name.clone(), phase: Phase::LoadingSource });
        let loaded = load_one(&client, &name, former.as_ref(), request.replicas, &cancel);
        let loaded = of_collection(Arc::clone(&observer), &name, Tuning::default(), loaded).await;
        let result = loaded.map_err(|error| match error {
            WaitError::Canceled => {
                Told::both("canceled; the server continues loading", "已取消；服务会继续加载")
            }
            WaitError::Server(error) => words_of(&error),
        });
        let phase = if result.is_ok() { Phase::Done } else { Phase::Failed };
        observer.on_event(Event::Phase { collection: name.clone(), phase });
        match result {
            Ok(()) => names.push(name),
            Err(detail) => {
                problems.push(Problem::new(Code::LoadFailed).with("collection", name).told("detail", detail));
            }
        }
    }
    if problems.is_empty() { Ok(names) } else { Err(problems) }
}

type Wanted = Vec<(CollectionName, Option<FormerLoad>)>;

/// The target, and what of it is to be loaded.
async fn wanted(target: &Endpoint, what: LoadWhat) -> Result<(Client, Wanted), Vec<Problem>> {
    let client = connect(Side::Target, target).await.map_err(|problem| vec![problem])?;
    let wanted = match what {
        LoadWhat::Selected(selection) => {
            let names = inventory::select(&client, Side::Target, &selection).await?;
            names.into_iter().map(|name| (name, None)).collect()
        }
        LoadWhat::AsOnSource(former) => {
            let was_loaded = former.into_iter().filter(|(_, load)| load.extent != LoadExtent::Nothing);
            was_loaded.map(|(name, load)| (name, Some(load))).collect()
        }
    };
    Ok((client, wanted))
}

async fn load_one(
    client: &Client,
    name: &CollectionName,
    former: Option<&FormerLoad>,
    replicas: Option<u32>,
    cancel: &CancellationToken,
) -> Result<(), WaitError> {
    let of_source = former.and_then(|former| former.replicas);
    let replicas = replicas.or(of_source).unwrap_or(1).max(1).try_into().unwrap_or(i32::MAX);
    match former.filter(|former| former.extent == LoadExtent::Part) {
        Some(former) => {
            let load = repeat(cancel, || client.load_partitions(name, &former.partitions, replicas));
            unless_canceled(cancel, load).await?;
            wait_until_loaded(client, Side::Target, name, Some(&former.partitions), cancel).await
        }
        None => {
            unless_canceled(cancel, repeat(cancel, || client.load_collection(name, replicas))).await?;
            wait_until_loaded(client, Side::Target, name, None, cancel).await
        }
    }
}
