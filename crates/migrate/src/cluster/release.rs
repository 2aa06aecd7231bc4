//! Collections are released from memory.
//!
//! A 2.3.5 answers a release after a second in which it carries out no other definition: releases, loads, creations and
//! descriptions of all clients wait behind it. A hundred collections took 100 s to be released so, however many at once,
//! and 2.4 s where nobody waited for more than the state: it says that they are released after some milliseconds.

use std::time::Duration;

use vecferry_milvus::{Client, CollectionName, Error, Flavor, LoadState};

/// Between two questions for the state.
const POLL_MIN: Duration = Duration::from_millis(10);
const POLL_MAX: Duration = Duration::from_millis(160);

/// Releases a collection: until the server answers, or says that it is not loaded any more.
pub(crate) async fn release(client: &Client, name: &CollectionName) -> Result<(), Error> {
    // Only what was seen to be loaded can be seen to be released: a server that starts says of nothing that it is loaded.
    let is_loaded =
        async || client.load_state(name, None).await.is_ok_and(|state| state != LoadState::NotLoaded);
    let is_watched = takes_long(client) && is_loaded().await;
    if !is_watched {
        return client.release_collection(name).await;
    }
    tokio::select! {
        biased;
        answered = client.release_collection(name) => answered,
        () = until_released(client, name) => Ok(()),
    }
}

/// Whether a release is answered long after it is carried out. Giving up the call then leaves it carried out: it was seen
/// on these servers alone.
fn takes_long(client: &Client) -> bool {
    let version = client.version();
    version.flavor == Flavor::Milvus && version.at_least(2, 3) && !version.at_least(2, 4)
}

/// Where the state can't be told, the answer of the release is waited for.
async fn until_released(client: &Client, name: &CollectionName) {
    let mut wait = POLL_MIN;
    loop {
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(POLL_MAX);
        match client.load_state(name, None).await {
            Ok(LoadState::NotLoaded) => return,
            Ok(LoadState::Loading | LoadState::Loaded) => {}
            Err(_) => wait = POLL_MAX,
        }
    }
}
