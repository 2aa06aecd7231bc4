//! The token bucket of `--max-rate`.

use std::time::Duration;

use crate::rate::MaxRate;

/// Seconds whose tokens are saved at most while nothing is written.
const SAVED_SECONDS: f64 = 1.0;

/// Tokens are bytes or rows, whichever is limited. A page goes as soon as nothing is owed, and owes its own size then: no
/// page is too large for the bucket, and the excess over the rate is never more than a second's worth and one page.
///
/// Pure arithmetic: the time is given, as the time since some fixed moment.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    rate: Option<MaxRate>,
    /// Saved up to now; negative is owed.
    tokens: f64,
    at: Duration,
}

impl Bucket {
    /// Empty, so that a job does not begin with a burst.
    pub(super) fn new(rate: Option<MaxRate>) -> Self {
        Self { rate, tokens: 0.0, at: Duration::ZERO }
    }

    pub(super) fn rate(&self) -> Option<MaxRate> {
        self.rate
    }

    /// Another limit from now on. What was saved or owed stays, where it is counted in the same thing.
    pub(super) fn set_rate(&mut self, rate: Option<MaxRate>, now: Duration) {
        self.fill(now);
        match (self.rate, rate) {
            (Some(MaxRate::Bytes(_)), Some(MaxRate::Bytes(_)))
            | (Some(MaxRate::Rows(_)), Some(MaxRate::Rows(_))) => {}
            (None | Some(MaxRate::Bytes(_) | MaxRate::Rows(_)), _) => self.tokens = 0.0,
        }
        self.rate = rate;
        self.fill(now);
    }

    fn fill(&mut self, now: Duration) {
        let seconds = now.saturating_sub(self.at).as_secs_f64();
        self.at = self.at.max(now);
        let per_second = match self.rate {
            Some(MaxRate::Bytes(per_second) | MaxRate::Rows(per_second)) => per_second as f64,
            None => return,
        };
        self.tokens = (self.tokens + seconds * per_second).min(per_second * SAVED_SECONDS);
    }

    /// Takes the tokens of a page, or says how long to wait before asking again.
    pub(super) fn take(&mut self, rows: u64, bytes: u64, now: Duration) -> Result<(), Duration> {
        self.fill(now);
        let (per_second, size) = match self.rate {
            None => return Ok(()),
            Some(MaxRate::Bytes(per_second)) => (per_second, bytes),
            Some(MaxRate::Rows(per_second)) => (per_second, rows),
        };
        if self.tokens < 0.0 {
            // Never nothing, or rounding could make a caller spin.
            let wait = Duration::try_from_secs_f64(-self.tokens / per_second as f64);
            return Err(wait.unwrap_or(Duration::MAX).max(Duration::from_millis(1)));
        }
        self.tokens -= size as f64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn nothing_is_limited_without_a_rate() {
        let mut bucket = Bucket::new(None);
        for _ in 0..100 {
            assert_eq!(bucket.take(u64::MAX, u64::MAX, at(0)), Ok(()));
        }
    }

    #[test]
    fn a_page_that_is_too_large_goes_and_is_paid_for_later() {
        let mut bucket = Bucket::new(Some(MaxRate::Bytes(1000)));
        assert_eq!(bucket.take(1, 5000, at(0)), Ok(()));
        assert_eq!(bucket.take(1, 1, at(1000)), Err(Duration::from_secs(4)));
        assert_eq!(bucket.take(1, 1, at(5000)), Ok(()));
    }

    #[test]
    fn another_rate_counts_at_once() {
        let mut bucket = Bucket::new(Some(MaxRate::Rows(10)));
        bucket.take(1000, 0, at(0)).unwrap();
        assert_eq!(bucket.take(1, 0, at(0)), Err(Duration::from_secs(100)));
        bucket.set_rate(Some(MaxRate::Rows(1000)), at(0));
        assert_eq!(bucket.take(1, 0, at(0)), Err(Duration::from_secs(1)));
        bucket.set_rate(Some(MaxRate::Bytes(1)), at(0));
        assert_eq!(bucket.take(1, 0, at(0)), Ok(()), "rows are not owed in bytes");
        bucket.take(1, 1_000_000, at(1)).unwrap();
        bucket.set_rate(None, at(1));
        assert_eq!(bucket.take(1, 1, at(1)), Ok(()));
    }

    proptest! {
        /// Whoever asks again after the wait that was named gets through, and over no stretch of time more than the rate, a
        /// second's worth and a page was written.
        #[test]
        fn no_stretch_of_time_exceeds_the_rate(
            per_second in 1u64..100_000,
            pages in prop::collection::vec((1u64..50_000, 0u64..3000), 1..60),
        ) {
            let mut bucket = Bucket::new(Some(MaxRate::Bytes(per_second)));
            let (mut now, mut written) = (Duration::ZERO, Vec::new());
            for (size, idle) in pages {
                now += at(idle);
                let mut asked = 0;
                while let Err(wait) = bucket.take(1, size, now) {
                    now += wait;
                    asked += 1;
                    prop_assert!(asked <= 2, "asked {} times", asked);
                }
                written.push((now, size));
            }
            for from in 0..written.len() {
                let mut sum = 0;
                for (time, size) in &written[from..] {
                    let seconds = (*time - written[from].0).as_secs_f64();
                    // The last page may exceed what the time allows, by itself.
                    prop_assert!(sum as f64 <= per_second as f64 * (seconds + SAVED_SECONDS) + 1.0);
                    sum += size;
                }
            }
        }
    }
}
