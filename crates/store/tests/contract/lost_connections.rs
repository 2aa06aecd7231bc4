//! A connection that is lost at any commit: whoever calls the store notices nothing, and it ends as if nothing had happened.

use std::sync::Arc;

use vecferry_store::Store;
use vecferry_store::postgres::{PostgresStore, Settings};

use crate::place::{SERVER, for_each_number};
use crate::proxy::{Cut, Proxy};
use crate::script::Run;
use crate::state::{Sameness, shown};

/// Runs the script by way of a proxy. Returns what the store shows, and the commits that the proxy saw.
async fn run(cut: Option<(usize, Cut)>) -> (String, usize) {
    let url = SERVER.create_database();
    let proxy = Proxy::start(SERVER.server().port(), cut);
    let store = PostgresStore::connect(&proxy.url(&url), Settings::default()).await.unwrap();
    let store: Arc<dyn Store> = Arc::new(store);
    let mut run = Run::new(Arc::clone(&store));
    run.run_from(0, |_| {}).await;
    let found = format!("{}{:?}", shown(&*store, Sameness::Exact).await, run.opened);
    (found, proxy.commits())
}

async fn lose_each(cut: Cut) {
    let (expected, commits) = run(None).await;
    assert!(expected.ends_with("[1]"), "{expected}");
    assert!(commits > 60, "there were {commits} commits");
    let lose = move |number| {
        let expected = expected.clone();
        async move {
            let (found, seen) = run(Some((number, cut))).await;
            assert_eq!(found, expected, "cut {cut:?} at commit {number}");
            // One that was made and not answered is repeated, unless it is seen to be made.
            assert!(seen >= commits, "cut {cut:?} at commit {number}: {seen} of {commits} commits");
        }
    };
    for_each_number(1..commits + 1, lose).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_server_hears_of_it() {
    lose_each(Cut::Before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_server_made_it() {
    lose_each(Cut::AfterAnswer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_server_makes_it() {
    lose_each(Cut::Between).await;
}
