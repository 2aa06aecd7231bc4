//! How fast a job may write: as fast as the target takes it, and no faster than a person allows.
//!
//! [`Places`] bound the inserts that are under way at once into one target, by whichever jobs: a window follows the
//! target's answers. One [`Pace`] for a whole job, which has one target: a token bucket holds `--max-rate`; an account knows
//! what all of it waits for.

mod account;
mod bucket;
mod window;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use vecferry_milvus::ErrorKind;

pub(crate) use account::{Account, Waits};
use bucket::Bucket;
use window::Window;

use super::page_size::PAGE_ROWS_MAX;
use crate::event::Bottleneck;
use crate::rate::MaxRate;

/// Pages under a limit hold about this part of a second's worth, so that the rate is even: a page is written at once.
const PAGES_PER_SECOND: u64 = 2;
/// Smaller pages cost more than they smooth.
const PAGE_BYTES_MIN: usize = 64 << 10;

/// The inserts that one target takes at once.
#[derive(Debug)]
pub(crate) struct Places {
    /// As many permits as the window has places that nobody holds.
    free: Arc<Semaphore>,
    window: Mutex<Narrowing>,
}

/// The pace of a job.
#[derive(Debug)]
pub(crate) struct Pace {
    places: Arc<Places>,
    bucket: Mutex<Bucket>,
    /// One page waits for tokens, the others for their turn: in the order in which they came.
    turn: tokio::sync::Mutex<()>,
    /// The rate is another one.
    changed: Notify,
    zero: Instant,
    account: Account,
    /// Inserts and upserts that the target acknowledged.
    pages: AtomicU64,
}

/// The window, and how many places are held beyond its size.
#[derive(Debug)]
struct Narrowing {
    window: Window,
    surplus: usize,
}

/// A place in the window; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pace: &'a Pace,
    permit: Option<OwnedSemaphorePermit>,
    round: u64,
}

impl Places {
    /// At most so many inserts at once.
    pub(crate) fn new(inserts_max: usize) -> Arc<Self> {
        let window = Window::new(inserts_max);
        Arc::new(Self {
            free: Arc::new(Semaphore::new(window.size())),
            window: Mutex::new(Narrowing { window, surplus: 0 }),
        })
    }

    fn narrowing<Answer>(&self, look: impl FnOnce(&mut Narrowing) -> Answer) -> Answer {
        // Whole after every step, also after a panic of somebody else.
        look(&mut self.window.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets the window follow an answer, and the places the window.
    fn follow(&self, change: impl FnOnce(&mut Window)) {
        self.narrowing(|narrowing| {
            let before = narrowing.window.size();
            change(&mut narrowing.window);
            let after = narrowing.window.size();
            if after < before {
                let gone = self.free.forget_permits(before - after);
                narrowing.surplus += before - after - gone;
            } else {
                let paid = narrowing.surplus.min(after - before);
                narrowing.surplus -= paid;
                self.free.add_permits(after - before - paid);
            }
        });
    }
}

impl Pace {
    /// Of a job that shares the places of its target with others.
    pub(crate) fn new(places: Arc<Places>, max_rate: Option<MaxRate>) -> Self {
        Self {
            places,
            bucket: Mutex::new(Bucket::new(max_rate)),
            turn: tokio::sync::Mutex::new(()),
            changed: Notify::new(),
            zero: Instant::now(),
            account: Account::new(),
            pages: AtomicU64::new(0),
        }
    }

    /// What is waited for.
    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    /// Inserts that the target takes at once now, and the least that it ever took.
    pub(crate) fn inserts(&self) -> (usize, usize) {
        self.places.narrowing(|narrowing| (narrowing.window.size(), narrowing.window.smallest()))
    }

    /// Pages that the target acknowledged.
    pub(crate) fn pages(&self) -> u64 {
        self.pages.load(Ordering::Relaxed)
    }

    /// The limit in force.
    pub(crate) fn max_rate(&self) -> Option<MaxRate> {
        self.tokens(|bucket| bucket.rate())
    }

    /// Another limit. Tells whether it is another one.
    pub(crate) fn set_max_rate(&self, rate: Option<MaxRate>) -> bool {
        let now = self.zero.elapsed();
        let is_other = self.tokens(|bucket| {
            let is_other = bucket.rate() != rate;
            if is_other {
                bucket.set_rate(rate, now);
            }
            is_other
        });
        if is_other {
            self.changed.notify_one();
        }
        is_other
    }

    /// Rows and bytes that a page may have, so that the rate is kept evenly.
    pub(crate) fn page_max(&self) -> (u32, usize) {
        let (rows, bytes) = match self.max_rate() {
            None => (u64::from(PAGE_ROWS_MAX), u64::MAX),
            Some(MaxRate::Rows(rows)) => (rows / PAGES_PER_SECOND, u64::MAX),
            Some(MaxRate::Bytes(bytes)) => (u64::from(PAGE_ROWS_MAX), bytes / PAGES_PER_SECOND),
        };
        let rows = u32::try_from(rows).unwrap_or(u32::MAX).clamp(1, PAGE_ROWS_MAX);
        (rows, usize::try_from(bytes).unwrap_or(usize::MAX).max(PAGE_BYTES_MIN))
    }

    /// Waits until a page may be written without exceeding the rate. `None` if canceled.
    pub(crate) async fn admit(&self, rows: u64, bytes: u64, cancel: &CancellationToken) -> Option<()> {
        if self.max_rate().is_none() {
            return Some(());
        }
        let _waiting = self.account.begin(Bottleneck::MaxRate);
        let turn = async {
            let _turn = self.turn.lock().await;
            loop {
                let taken = self.tokens(|bucket| bucket.take(rows, bytes, self.zero.elapsed()));
                let Err(wait) = taken else { return };
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = self.changed.notified() => {}
                }
            }
        };
        tokio::select! {
            () = turn => Some(()),
            () = cancel.cancelled() => None,
        }
    }

    /// Waits for a place in the window.
    pub(crate) async fn place(&self) -> Option<Place<'_>> {
        let is_narrowed = self.places.narrowing(|narrowing| narrowing.window.is_narrowed());
        let reason = if is_narrowed { Bottleneck::TargetLimit } else { Bottleneck::Target };
        let waiting = self.account.begin(reason);
        let permit = Arc::clone(&self.places.free).acquire_owned().await.ok()?;
        drop(waiting);
        let round = self.places.narrowing(|narrowing| narrowing.window.round());
        Some(Place { pace: self, permit: Some(permit), round })
    }

    fn tokens<Answer>(&self, look: impl FnOnce(&mut Bucket) -> Answer) -> Answer {
        look(&mut self.bucket.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Place<'_> {
    /// The insert was answered.
    pub(crate) fn answered(self, failure: Option<ErrorKind>) {
        match failure {
            None => {
                self.pace.pages.fetch_add(1, Ordering::Relaxed);
                self.pace.places.follow(|window| window.succeeded(self.round));
            }
            Some(kind) if is_overload(kind) => self.pace.places.follow(|window| window.refused(self.round)),
            // Says nothing about how much the target takes.
            Some(_) => {}
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else { return };
        self.pace.places.narrowing(|narrowing| {
            if narrowing.surplus > 0 {
                narrowing.surplus -= 1;
                permit.forget();
            }
        });
    }
}

/// Whether an answer means that the target has too much to do.
fn is_overload(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::RateLimited | ErrorKind::WritesDenied | ErrorKind::Busy)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn free(pace: &Pace) -> usize {
        tokio::task::yield_now().await;
        pace.places.free.available_permits()
    }

    #[tokio::test]
    async fn places_follow_the_window_also_while_they_are_held() {
        let pace = Pace::new(Places::new(6), None);
        let mut held = Vec::new();
        for _ in 0..6 {
            held.push(pace.place().await.unwrap());
        }
        held.pop().unwrap().answered(Some(ErrorKind::RateLimited));
        assert_eq!((pace.inserts(), free(&pace).await), ((3, 3), 0));
        // The others are of the same round: no further halving, and no place comes free above the window.
        held.pop().unwrap().answered(Some(ErrorKind::Busy));
        held.pop().unwrap().answered(None);
        assert_eq!((pace.inserts().0, free(&pace).await, held.len()), (3, 0, 3));
        held.pop().unwrap().answered(None);
        assert_eq!(free(&pace).await, 1);
        held.clear();
        assert_eq!(free(&pace).await, 3);
        for _ in 0..3 {
            pace.place().await.unwrap().answered(None);
        }
        assert_eq!((pace.inserts(), free(&pace).await), ((4, 3), 4));
        for _ in 0..10 {
            pace.place().await.unwrap().answered(Some(ErrorKind::WritesDenied));
        }
        assert_eq!((pace.inserts(), free(&pace).await), ((1, 1), 1));
        for _ in 0..100 {
            pace.place().await.unwrap().answered(None);
        }
        assert_eq!((pace.inserts(), free(&pace).await), ((6, 1), 6));
    }

    #[tokio::test]
    async fn other_failures_do_not_narrow_it() {
        let pace = Pace::new(Places::new(4), None);
        for kind in [ErrorKind::Rejected, ErrorKind::TooLarge, ErrorKind::ConnectionLost] {
            pace.place().await.unwrap().answered(Some(kind));
        }
        assert_eq!(pace.inserts(), (4, 4));
    }

    #[tokio::test]
    async fn a_page_that_waits_goes_when_the_limit_is_lifted_and_not_before() {
        let pace = Pace::new(Places::new(1), MaxRate::parse("1B/s").unwrap());
        let cancel = CancellationToken::new();
        pace.admit(1, 1 << 30, &cancel).await.unwrap();
        let waits = [pace.admit(1, 1, &cancel), pace.admit(1, 1, &cancel)];
        let mut all = std::pin::pin!(futures_util::future::join_all(waits));
        assert!(futures_util::poll!(&mut all).is_pending());
        assert!(!pace.set_max_rate(MaxRate::parse("1B/s").unwrap()));
        assert!(futures_util::poll!(&mut all).is_pending());
        assert!(pace.set_max_rate(None));
        assert_eq!(all.await, [Some(()), Some(())]);
        assert!(pace.account().waits().of(Bottleneck::MaxRate) > Duration::ZERO);
    }

    #[tokio::test]
    async fn a_cancellation_ends_a_wait() {
        let pace = Pace::new(Places::new(1), MaxRate::parse("1rows/s").unwrap());
        let cancel = CancellationToken::new();
        pace.admit(1 << 30, 1, &cancel).await.unwrap();
        cancel.cancel();
        assert_eq!(pace.admit(1, 1, &cancel).await, None);
    }

    #[test]
    fn pages_fit_the_rate() {
        let page_max = |rate: &str| Pace::new(Places::new(1), MaxRate::parse(rate).unwrap()).page_max();
        assert_eq!(page_max("none"), (PAGE_ROWS_MAX, usize::MAX));
        assert_eq!(page_max("1rows/s"), (1, usize::MAX));
        assert_eq!(page_max("5000rows/s"), (2500, usize::MAX));
        assert_eq!(page_max("4MB/s"), (PAGE_ROWS_MAX, 2_000_000));
        assert_eq!(page_max("1B/s"), (PAGE_ROWS_MAX, PAGE_BYTES_MIN));
    }
}
