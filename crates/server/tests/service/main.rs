//! The service as a whole, in this process, over HTTP: on both stores, between stand-in clusters.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that meets an error has failed"
)]
#![recursion_limit = "256"]

mod client;
mod console;
mod events;
mod flow;
mod oidc;
mod openapi;
mod place;
mod refused;
mod roles;
mod rounds;
mod session;
mod warm;

/// Makes a test of each function on each store.
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
