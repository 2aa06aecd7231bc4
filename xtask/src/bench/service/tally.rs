//! What came of requests: how long they took, and what went wrong.

use std::time::Duration;

use serde::Serialize;

/// Errors that are told word for word.
const ERRORS_TOLD: usize = 5;

/// Requests of one kind.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Line {
    pub(super) name: &'static str,
    pub(super) requests: usize,
    pub(super) median_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
}

impl Line {
    pub(super) fn of(name: &'static str, mut micros: Vec<u32>) -> Self {
        micros.sort_unstable();
        let at = |percent: usize| {
            // The smallest that as many percent are not above.
            let place = (micros.len() * percent).div_ceil(100).saturating_sub(1);
            micros.get(place).map_or(0.0, |micros| f64::from(*micros) / 1000.0)
        };
        Self { name, requests: micros.len(), median_ms: at(50), p99_ms: at(99), max_ms: at(100) }
    }
}

/// Times of one kind of request.
pub(super) fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

/// What went wrong.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Errors {
    pub(super) count: usize,
    /// The first ones.
    pub(super) told: Vec<String>,
}

impl Errors {
    pub(super) fn add(&mut self, error: String) {
        self.count += 1;
        if self.told.len() < ERRORS_TOLD {
            self.told.push(error);
        }
    }

    pub(super) fn extend(&mut self, more: Self) {
        self.count += more.count;
        self.told.extend(more.told);
        self.told.truncate(ERRORS_TOLD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let line = Line::of("", (1..=200).rev().map(|ms| ms * 1000).collect());
        assert_eq!((line.requests, line.median_ms, line.p99_ms, line.max_ms), (200, 100.0, 198.0, 200.0));
        let line = Line::of("", vec![7000]);
        assert_eq!((line.median_ms, line.p99_ms, line.max_ms), (7.0, 7.0, 7.0));
        assert_eq!(Line::of("", Vec::new()).max_ms, 0.0);
    }

    #[test]
    fn errors_are_counted_and_the_first_ones_told() {
        let mut errors = Errors::default();
        for number in 0..9 {
            errors.add(number.to_string());
        }
        let mut more = Errors::default();
        more.add("before".into());
        more.extend(errors);
        assert_eq!((more.count, more.told.len(), more.told[0].as_str()), (10, 5, "before"));
    }
}
