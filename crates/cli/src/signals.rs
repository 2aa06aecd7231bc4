//! Ctrl-C and SIGTERM.

use std::future::Future;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The signals by which a person or a service manager ends a program.
pub(crate) struct Signals {
    // `None` where the system refused to tell of it: then it ends the program at once, as without us.
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
}

impl Signals {
    /// Begins to listen. To be called inside of a runtime.
    pub(crate) fn listen() -> Self {
        Self {
            interrupt: signal(SignalKind::interrupt()).ok(),
            terminate: signal(SignalKind::terminate()).ok(),
        }
    }

    /// Waits for the next signal.
    pub(crate) async fn next(&mut self) {
        async fn one(signal: Option<&mut Signal>) {
            match signal {
                Some(signal) => {
                    signal.recv().await;
                }
                None => std::future::pending().await,
            }
        }
        tokio::select! {
            () = one(self.interrupt.as_mut()) => {}
            () = one(self.terminate.as_mut()) => {}
        }
    }

    /// Does something that a signal just ends. `None` after a signal.
    pub(crate) async fn unless_signaled<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.next() => None,
            done = work => Some(done),
        }
    }

    /// Does something that a first signal asks to end, and a second one ends. `None` after the second one.
    pub(crate) async fn cancelable<T>(
        &mut self,
        cancel: &CancellationToken,
        on_first: impl Fn(),
        work: impl Future<Output = T>,
    ) -> Option<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                () = self.next() => {
                    if cancel.is_cancelled() {
                        return None;
                    }
                    cancel.cancel();
                    on_first();
                }
                done = &mut work => return Some(done),
            }
        }
    }
}
