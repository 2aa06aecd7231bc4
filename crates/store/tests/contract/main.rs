//! What every store does, whichever it is: one suite, run against SQLite and against a real PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod child;
mod claims;
mod collections;
mod comparisons;
mod failures;
mod interleavings;
mod jobs;
mod kills;
mod lost_connections;
mod names;
mod objects;
mod place;
mod proxy;
mod quarantine;
mod races;
mod records;
mod rounds;
mod sample;
mod schedules;
mod script;
mod splits;
mod state;
mod steps;
mod tls;

/// Each test once for each store, in an empty place of its own.
macro_rules! on_both_stores {
    ($($test:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(crate::place::Place::sqlite()).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(crate::place::Place::postgres()).await;
            })*
        }
    };
}
pub(crate) use on_both_stores;
