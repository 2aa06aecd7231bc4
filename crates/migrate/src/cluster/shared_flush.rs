//! Flushes of several collections in one call.
//!
//! Servers limit how often they may be called to flush, and a call for many collections costs them hardly more than one
//! for a single collection. So whoever is ready while a call is under way waits for its end, and the next call is for
//! all who wait.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::problem::{Told, found};
use tokio::sync::oneshot;
use vecferry_milvus::{CollectionName, Error, ErrorKind};

/// Collections that wait for a flush. `Handle` is what a call answers for each.
pub(crate) struct SharedFlush<Handle> {
    waiting: Mutex<Vec<Waiter<Handle>>>,
    /// Whoever has it calls, for all who wait.
    turn: tokio::sync::Mutex<()>,
}

struct Waiter<Handle> {
    name: CollectionName,
    answer: oneshot::Sender<Result<Handle, Error>>,
}

impl<Handle> SharedFlush<Handle> {
    pub(crate) fn new() -> Self {
        Self { waiting: Mutex::new(Vec::new()), turn: tokio::sync::Mutex::new(()) }
    }

    /// Flushes a collection. `call` flushes collections of its database and answers in their order; it is made once for
    /// all who wait, and where it fails or is dropped on its way, everybody calls alone: one collection that a server
    /// refuses is no fault of the others.
    pub(crate) async fn flush<Fut>(
        &self,
        name: &CollectionName,
        call: impl Fn(Vec<String>) -> Fut,
    ) -> Result<Handle, Error>
    where
        Fut: Future<Output = Result<Vec<Handle>, Error>>,
    {
        let (answer, mut answered) = oneshot::channel();
        self.waiting().push(Waiter { name: name.clone(), answer });
        let shared = tokio::select! {
            biased;
            shared = &mut answered => shared,
            _turn = self.turn.lock() => {
                self.call_for_all(&name.db, &call).await;
                answered.await
            }
        };
        if let Ok(handle) = shared {
            return handle;
        }
        let handle = call(vec![name.name.clone()]).await?.into_iter().next();
        handle.ok_or_else(|| {
            let told = Told::both("the answer is for no collection", "响应不属于任何 Collection");
            found(ErrorKind::Malformed, "Flush", told)
        })
    }

    /// One call for all who wait with this database.
    async fn call_for_all<Fut>(&self, db: &str, call: impl Fn(Vec<String>) -> Fut)
    where
        Fut: Future<Output = Result<Vec<Handle>, Error>>,
    {
        let waiters: Vec<_> = self.waiting().extract_if(.., |waiter| waiter.name.db == db).collect();
        if waiters.is_empty() {
            return;
        }
        match call(waiters.iter().map(|waiter| waiter.name.name.clone()).collect()).await {
            // Whoever is not there any more was canceled.
            Ok(handles) => waiters.into_iter().zip(handles).for_each(|(waiter, handle)| {
                let _ = waiter.answer.send(Ok(handle));
            }),
            Err(error) => {
                if let Ok([waiter]) = <[_; 1]>::try_from(waiters) {
                    let _ = waiter.answer.send(Err(error));
                }
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiter<Handle>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tokio::sync::Notify;

    use super::*;

    /// A server that notes what it was called for.
    #[derive(Default)]
    struct Server {
        calls: Mutex<Vec<Vec<String>>>,
        /// The first call waits for it.
        go_on: Notify,
        refused: &'static str,
    }

    impl Server {
        async fn flush(&self, names: Vec<String>) -> Result<Vec<String>, Error> {
            let is_first = {
                let mut calls = self.calls.lock().unwrap();
                calls.push(names.clone());
                calls.len() == 1
            };
            if is_first {
                self.go_on.notified().await;
            }
            if names.iter().any(|name| name == self.refused) {
                return Err(Error::new(ErrorKind::Rejected, "Flush", "refused".to_owned()));
            }
            Ok(names.into_iter().map(|name| format!("handle of {name}")).collect())
        }

        fn calls(&self) -> Vec<Vec<String>> {
            self.calls.lock().unwrap().clone()
        }
    }

    async fn flush(server: &Server, names: &[(&str, &str)]) -> Vec<Result<String, ErrorKind>> {
        let shared = SharedFlush::new();
        let one = async |(db, name): &(&str, &str)| {
            let name = CollectionName::new(*db, *name);
            let flushed = shared.flush(&name, |names| server.flush(names)).await;
            flushed.map_err(|error| error.kind())
        };
        // In their order, so that all others wait when the first call goes on.
        let all = join_all(names.iter().map(one));
        let (answers, ()) = tokio::join!(biased; all, async { server.go_on.notify_one() });
        answers
    }

    #[tokio::test]
    async fn all_who_wait_for_the_same_database_share_one_call() {
        let server = Server { refused: "none", ..Server::default() };
        let names = [("one", "a"), ("one", "b"), ("two", "c"), ("one", "d"), ("one", "e")];
        let answers = flush(&server, &names).await;
        let expected: Vec<_> = names.iter().map(|(_, name)| Ok(format!("handle of {name}"))).collect();
        assert_eq!(answers, expected);
        assert_eq!(server.calls(), [vec!["a"], vec!["b", "d", "e"], vec!["c"]]);
    }

    #[tokio::test]
    async fn a_refusal_hits_only_whom_it_is_for() {
        let server = Server { refused: "c", ..Server::default() };
        let answers = flush(&server, &[("one", "a"), ("one", "b"), ("one", "c"), ("one", "d")]).await;
        let told = |name: &str| Ok(format!("handle of {name}"));
        assert_eq!(answers, [told("a"), told("b"), Err(ErrorKind::Rejected), told("d")]);
        // The shared call was refused, and then each of its three was made.
        assert_eq!(server.calls().len(), 5);
    }

    #[tokio::test]
    async fn whoever_is_alone_hears_the_refusal_of_one_call() {
        let server = Server { refused: "a", ..Server::default() };
        assert_eq!(flush(&server, &[("one", "a")]).await, [Err(ErrorKind::Rejected)]);
        assert_eq!(server.calls().len(), 1);
    }

    #[tokio::test]
    async fn whoever_calls_and_is_dropped_takes_nobody_with_it() {
        let server = Server { refused: "none", ..Server::default() };
        let shared = SharedFlush::new();
        let (a, b) = (CollectionName::new("one", "a"), CollectionName::new("one", "b"));
        let mut first = Box::pin(shared.flush(&a, |names| server.flush(names)));
        assert!(futures_util::poll!(&mut first).is_pending());
        let mut second = Box::pin(shared.flush(&b, |names| server.flush(names)));
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        assert_eq!(second.await.unwrap(), "handle of b");
    }
}
