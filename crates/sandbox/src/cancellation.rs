use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::Error;

/// The pause between two looks at anything that is polled: short against a server's start, long against its cost.
const POLL_INTERVAL: Duration = Duration::from_millis(30);

/// Tells every thread of the supervisor that the servers' owner is gone, or that another part of the set-up failed.
#[derive(Clone, Default)]
pub(crate) struct Cancellation {
    flag: Arc<AtomicBool>,
}

impl Cancellation {
    pub(crate) fn cancel(&self) {
        self.flag.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.flag.load(Ordering::SeqCst)
    }

    /// The bare flag, for a signal handler.
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.flag)
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.is_cancelled() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Waits a moment before the next look at something polled.
    pub(crate) fn pause(&self) -> Result<(), Error> {
        self.check()?;
        thread::sleep(POLL_INTERVAL);
        self.check()
    }
}
