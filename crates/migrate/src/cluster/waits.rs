//! Waits are seen: whoever waits for a server says what for, and whoever watches the work is told.
//!
//! Waits stand deep in calls that know nothing of who watches. So the watcher belongs to the task, as the span of a trace
//! does: [`observed`] and [`of_collection`] name it around a piece of work, and [`Waiting`] finds it.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vecferry_milvus::CollectionName;

use crate::event::{Awaited, Event, Observer};
use crate::tuning::Tuning;

/// How long nothing is told of a wait, and how often it is told then.
const TOLD_EVERY: Duration = Duration::from_secs(1);

tokio::task_local! {
    static WATCHER: Watcher;
}

/// Who is told, and of which collection.
#[derive(Clone)]
struct Watcher {
    observer: Arc<dyn Observer>,
    collection: Option<CollectionName>,
    load_stall_max: Duration,
}

/// Does something, and tells an observer what it waits for on its way.
pub async fn observed<Answer>(observer: Arc<dyn Observer>, work: impl Future<Output = Answer>) -> Answer {
    let load_stall_max = Tuning::default().load_stall_max;
    WATCHER.scope(Watcher { observer, collection: None, load_stall_max }, work).await
}

/// The same for the work on one collection.
pub(crate) async fn of_collection<Answer>(
    observer: Arc<dyn Observer>,
    collection: &CollectionName,
    tuning: Tuning,
    work: impl Future<Output = Answer>,
) -> Answer {
    let collection = Some(collection.clone());
    WATCHER.scope(Watcher { observer, collection, load_stall_max: tuning.load_stall_max }, work).await
}

/// How long a load may stand still.
pub(crate) fn load_stall_max() -> Duration {
    let watched = WATCHER.try_with(|watcher| watcher.load_stall_max);
    watched.unwrap_or_else(|_| Tuning::default().load_stall_max)
}

/// Does something that may take long, and tells as long as it does what is waited for.
pub(crate) async fn shown<Answer>(awaited: Awaited, work: impl Future<Output = Answer>) -> Answer {
    Waiting::begin().during(&awaited, work).await
}

/// One wait.
#[derive(Debug)]
pub(crate) struct Waiting {
    since: Instant,
    told: Instant,
}

impl Waiting {
    pub(crate) fn begin() -> Self {
        let now = Instant::now();
        Self { since: now, told: now }
    }

    /// Tells what is waited for, unless that was told just now.
    pub(crate) fn tell(&mut self, awaited: &Awaited) {
        if self.told.elapsed() < TOLD_EVERY {
            return;
        }
        self.told = Instant::now();
        let seconds = self.since.elapsed().as_secs();
        // Where nobody watches, nobody is told.
        let _ = WATCHER.try_with(|watcher| {
            let (collection, awaited) = (watcher.collection.clone(), awaited.clone());
            watcher.observer.on_event(Event::Awaiting { collection, awaited, seconds });
        });
    }

    /// Does a part of what is waited for, and tells of it as long as it takes.
    pub(crate) async fn during<Answer>(
        &mut self,
        awaited: &Awaited,
        work: impl Future<Output = Answer>,
    ) -> Answer {
        let mut work = pin!(work);
        loop {
            let next = TOLD_EVERY.saturating_sub(self.told.elapsed());
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = tokio::time::sleep(next) => self.tell(awaited),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const SORTED: Awaited = Awaited::Sorted { side: crate::event::Side::Source };

    #[derive(Default)]
    struct Told(Mutex<Vec<(Option<String>, Awaited, u64)>>);

    impl Observer for Told {
        fn on_event(&self, event: Event) {
            if let Event::Awaiting { collection, awaited, seconds } = event {
                let collection = collection.map(|name| name.to_string());
                self.0.lock().unwrap().push((collection, awaited, seconds));
            }
        }
    }

    #[tokio::test]
    async fn a_wait_is_told_within_two_seconds_with_its_collection() {
        let told = Arc::new(Told::default());
        let books = CollectionName::new("default", "books");
        let watcher = || Arc::<Told>::clone(&told);
        let wait = || shown(SORTED, tokio::time::sleep(Duration::from_millis(1500)));
        // Nobody watches; and what is over at once is not worth a word.
        wait().await;
        observed(watcher(), shown(Awaited::Answer, async {})).await;
        assert!(told.0.lock().unwrap().is_empty());
        observed(watcher(), wait()).await;
        of_collection(watcher(), &books, Tuning::default(), wait()).await;
        let seen = std::mem::take(&mut *told.0.lock().unwrap());
        let collection = Some("default.books".to_owned());
        assert_eq!(seen, [(None, SORTED, 1), (collection, SORTED, 1)]);
    }
}
