//! Listeners for the events of jobs that are to start later. Each stays for a while and comes back, as browsers do; at the end
//! the jobs are canceled, and everybody must be told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::task::JoinSet;

use super::http::Connection;
use super::tally::Errors;
use crate::Failure;

/// A listener stays so long, or up to twice as long.
const STAY: Duration = Duration::from_secs(30);
/// A listener that comes is told of the job, and one that listens is told that the connection is good, within this time.
const QUIET_MAX: Duration = Duration::from_secs(30);
/// Of a cancellation everybody is told within this time.
const END_MAX: Duration = Duration::from_secs(60);
/// The last bytes of what was told, in which an event may be cut in two.
const KEPT_BYTES: usize = 8 << 10;

/// What listeners were told.
#[derive(Debug, Default)]
struct Told {
    /// Listeners that listen now.
    present: AtomicUsize,
    /// Connections that were opened.
    opened: AtomicUsize,
    /// Events named `job`.
    events: AtomicUsize,
    /// Nobody leaves any more.
    is_ending: AtomicBool,
}

/// Listeners that listen.
pub(super) struct Listeners {
    told: Arc<Told>,
    tasks: JoinSet<Result<(), String>>,
}

/// What came of them.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) opened: usize,
    pub(super) events: usize,
    /// From the first cancellation until all were told.
    pub(super) end_seconds: f64,
    pub(super) errors: Errors,
}

impl Listeners {
    /// As many listeners, on these jobs in turn.
    pub(super) fn start(address: &str, key: &str, jobs: &[String], listeners: usize) -> Self {
        let told = Arc::new(Told::default());
        let mut tasks = JoinSet::new();
        for (number, job_id) in jobs.iter().cycle().take(listeners).enumerate() {
            let path = format!("/v2/jobs/{job_id}/events");
            // They do not all leave in the same second.
            let stay = STAY + STAY.mul_f64(number as f64 / listeners as f64);
            let listener = Listener { path, key: key.to_owned(), stay, told: Arc::clone(&told) };
            tasks.spawn(listener.listen(Connection::new(address)));
        }
        Self { told, tasks }
    }

    /// Waits until all of them listen.
    pub(super) async fn all_present(&mut self) -> Result<(), Failure> {
        let begin = Instant::now();
        while self.told.present.load(Ordering::Relaxed) < self.tasks.len() {
            if begin.elapsed() > END_MAX {
                return Err("the listeners are not let in".into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// From now on nobody leaves before the end of the job.
    pub(super) fn stay(&self) {
        self.told.is_ending.store(true, Ordering::Relaxed);
    }

    /// Waits until all were told of the end.
    pub(super) async fn end(mut self, begin: Instant) -> Heard {
        let mut errors = Errors::default();
        let all_told = async {
            while let Some(ended) = self.tasks.join_next().await {
                match ended {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => errors.add(error),
                    Err(error) => errors.add(error.to_string()),
                }
            }
        };
        let waited = tokio::time::timeout(END_MAX, all_told).await;
        if waited.is_err() {
            errors.add(format!("{} listeners were not told of the end of their job", self.tasks.len()));
        }
        let (opened, events) = (&self.told.opened, &self.told.events);
        Heard {
            opened: opened.load(Ordering::Relaxed),
            events: events.load(Ordering::Relaxed),
            end_seconds: begin.elapsed().as_secs_f64(),
            errors,
        }
    }
}

struct Listener {
    path: String,
    key: String,
    stay: Duration,
    told: Arc<Told>,
}

/// Why a listener listens no more.
enum Left {
    ToComeBack,
    Ended,
}

impl Listener {
    /// Comes again and again, until the job ends.
    async fn listen(self, mut connection: Connection) -> Result<(), String> {
        loop {
            let response = connection.ask(&self.path, &self.key).await;
            let response = response.map_err(|error| format!("{}: {error}", self.path))?;
            if response.status() != 200 {
                return Err(format!("{}: {}", self.path, response.status()));
            }
            self.told.opened.fetch_add(1, Ordering::Relaxed);
            self.told.present.fetch_add(1, Ordering::Relaxed);
            let left = self.hear(response.into_body()).await;
            self.told.present.fetch_sub(1, Ordering::Relaxed);
            match left.map_err(|error| format!("{}: {error}", self.path))? {
                Left::ToComeBack => connection = connection.again(),
                Left::Ended => return Ok(()),
            }
        }
    }

    async fn hear(&self, mut body: Incoming) -> Result<Left, String> {
        let (begin, mut text, mut events) = (Instant::now(), String::new(), 0);
        loop {
            let rest = self.stay.saturating_sub(begin.elapsed());
            let is_ending = self.told.is_ending.load(Ordering::Relaxed);
            if rest.is_zero() && !is_ending {
                return if events > 0 { Ok(Left::ToComeBack) } else { Err("nothing was told".into()) };
            }
            // Whoever is about to leave looks whether nobody does any more.
            let wait = if rest.is_zero() { QUIET_MAX } else { rest.min(QUIET_MAX) };
            let frame = match tokio::time::timeout(wait, body.frame()).await {
                Ok(Some(frame)) => frame.map_err(|error| error.to_string())?,
                Ok(None) if is_canceled(&text) => return Ok(Left::Ended),
                Ok(None) => return Err("the events ended before the job".into()),
                Err(_) if wait == QUIET_MAX => return Err("nothing was told for too long".into()),
                Err(_) => continue,
            };
            let Some(data) = frame.data_ref() else { continue };
            let more = String::from_utf8_lossy(data);
            let heard = more.matches("event: job").count();
            (events, text) = (events + heard, text + &more);
            self.told.events.fetch_add(heard, Ordering::Relaxed);
            let cut = text.len().saturating_sub(KEPT_BYTES);
            if let Some(kept) = (cut..text.len()).find_map(|cut| text.get(cut..)) {
                text = kept.to_owned();
            }
        }
    }
}

/// Whether it was told that the job is canceled.
fn is_canceled(text: &str) -> bool {
    text.contains(r#""status":"CANCELED""#)
}
