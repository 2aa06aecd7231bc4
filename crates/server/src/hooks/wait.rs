//! How long it is waited before something is sent again.

/// Attempts, until a delivery is given up.
pub(super) const ATTEMPTS_MAX: i64 = 12;
/// Before the second attempt.
const FIRST_MS: i64 = 5_000;
const LONGEST_MS: i64 = 60 * 60 * 1000;

/// The wait behind a failed attempt, the first of which is 1; none where it was the last. A random fifth keeps deliveries
/// that failed together from coming back together.
pub(super) fn after(attempts: i64) -> Option<i64> {
    let wait = full(attempts)?;
    Some(wait - rand::random_range(0..=wait / 5))
}

fn full(attempts: i64) -> Option<i64> {
    if attempts >= ATTEMPTS_MAX {
        return None;
    }
    let doublings = u32::try_from((attempts - 1).max(0)).unwrap_or(0);
    Some(FIRST_MS.saturating_mul(1 << doublings.min(20)).min(LONGEST_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_an_hour_and_end() {
        let seconds: Vec<_> = (1..ATTEMPTS_MAX).map(|attempts| full(attempts).unwrap() / 1000).collect();
        assert_eq!(seconds, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600]);
        assert_eq!(full(ATTEMPTS_MAX), None);
        assert_eq!(after(ATTEMPTS_MAX + 1), None);
        for _ in 0..100 {
            let wait = after(11).unwrap();
            assert!((LONGEST_MS * 4 / 5..=LONGEST_MS).contains(&wait), "{wait}");
        }
    }
}
