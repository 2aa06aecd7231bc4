//! Requests at a fixed rate, by clients that wait for one answer each. A request that has to wait for a free client counts
//! from the time at which it was due: a service that is slow makes its callers wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::Rng;
use tokio::task::JoinSet;

use super::http::Connection;
use super::tally::{Errors, Line, micros};
use crate::Failure;

/// An answer that takes longer is an error.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A kind of request.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) name: &'static str,
    /// Addresses, one of which is asked for each time; one at least.
    pub(super) paths: Vec<String>,
    /// Whoever asks.
    pub(super) key: String,
}

/// How much is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) clients: usize,
    pub(super) per_second: u32,
    pub(super) time: Duration,
}

/// One client's part.
struct Part {
    micros: Vec<Vec<u32>>,
    errors: Errors,
}

struct Load {
    address: String,
    ways: Vec<Way>,
    begin: Instant,
    interval: Duration,
    requests: u64,
    next: AtomicU64,
}

/// Asks in all ways in turn, for a time. Returns a line for each way.
pub(super) async fn ask(address: &str, ways: Vec<Way>, pace: Pace) -> Result<(Vec<Line>, Errors), Failure> {
    let load = Arc::new(Load {
        address: address.to_owned(),
        begin: Instant::now(),
        interval: Duration::from_secs(1) / pace.per_second,
        requests: pace.time.as_secs() * u64::from(pace.per_second),
        next: AtomicU64::new(0),
        ways,
    });
    let mut clients = JoinSet::new();
    for _ in 0..pace.clients {
        clients.spawn(client(Arc::clone(&load)));
    }
    let mut micros = vec![Vec::new(); load.ways.len()];
    let mut errors = Errors::default();
    while let Some(part) = clients.join_next().await {
        let part = part?;
        for (all, more) in micros.iter_mut().zip(part.micros) {
            all.extend(more);
        }
        errors.extend(part.errors);
    }
    let lines = load.ways.iter().zip(micros).map(|(way, micros)| Line::of(way.name, micros)).collect();
    Ok((lines, errors))
}

async fn client(load: Arc<Load>) -> Part {
    let mut part = Part { micros: vec![Vec::new(); load.ways.len()], errors: Errors::default() };
    let mut connection = Connection::new(&load.address);
    loop {
        let number = load.next.fetch_add(1, Ordering::Relaxed);
        if number >= load.requests {
            return part;
        }
        let due = load.begin + load.interval.mul_f64(number as f64);
        tokio::time::sleep_until(due.into()).await;
        let turn = (number % load.ways.len() as u64) as usize;
        let (Some(way), Some(times)) = (load.ways.get(turn), part.micros.get_mut(turn)) else { return part };
        let Some(path) = way.paths.get(rand::rng().random_range(0..way.paths.len())) else { return part };
        match tokio::time::timeout(ANSWER_MAX, connection.get(path, &way.key)).await {
            Ok(Ok(_)) => times.push(micros(due.elapsed())),
            Ok(Err(error)) => part.errors.add(format!("GET {path}: {error}")),
            Err(_) => {
                // What still comes on it would be taken for the next answer.
                connection = Connection::new(&load.address);
                part.errors.add(format!("GET {path}: no answer within {} s", ANSWER_MAX.as_secs()));
            }
        }
    }
}
