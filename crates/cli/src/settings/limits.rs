//! Settings that are numbers.

use std::num::NonZeroU32;
use std::time::Duration;

use vecferry_server::Settings;

const SECONDS_OF_A_DAY: u64 = 24 * 60 * 60;

/// A number of [`Settings`].
pub(super) struct Limit {
    /// The name of the setting.
    pub(super) name: &'static str,
    /// Nothing less.
    pub(super) min: u64,
    /// Nothing more.
    pub(super) max: u64,
    get: fn(&Settings) -> u64,
    /// Sets it.
    pub(super) set: fn(&mut Settings, u64),
}

impl Limit {
    /// What it is where nobody says anything.
    pub(super) fn default(&self) -> u64 {
        (self.get)(&Settings::default())
    }
}

/// A number that was bounded before.
fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn positive(number: u64) -> NonZeroU32 {
    NonZeroU32::new(small(number)).unwrap_or(NonZeroU32::MIN)
}

/// All of them.
pub(super) static LIMITS: [Limit; 14] = [
    Limit {
        name: "jobs-per-process",
        min: 0,
        max: 1_000,
        get: |settings| settings.jobs.per_process_max as u64,
        set: |settings, number| settings.jobs.per_process_max = size(number),
    },
    Limit {
        name: "jobs-total",
        min: 1,
        max: 100_000,
        get: |settings| settings.jobs.total_max.into(),
        set: |settings, number| settings.jobs.total_max = small(number),
    },
    Limit {
        name: "jobs-per-organization",
        min: 1,
        max: 100_000,
        get: |settings| settings.jobs.per_organization_max.into(),
        set: |settings, number| settings.jobs.per_organization_max = small(number),
    },
    Limit {
        name: "jobs-per-target",
        min: 1,
        max: 1_000,
        get: |settings| settings.jobs.per_target_max.into(),
        set: |settings, number| settings.jobs.per_target_max = small(number),
    },
    Limit {
        name: "jobs-per-source",
        min: 1,
        max: 1_000,
        get: |settings| settings.jobs.per_source_max.into(),
        set: |settings, number| settings.jobs.per_source_max = small(number),
    },
    Limit {
        name: "requests-per-second",
        min: 1,
        max: 100_000,
        get: |settings| settings.requests.per_second.get().into(),
        set: |settings, number| settings.requests.per_second = positive(number),
    },
    Limit {
        name: "requests-burst",
        min: 1,
        max: 100_000,
        get: |settings| settings.requests.burst.get().into(),
        set: |settings, number| settings.requests.burst = positive(number),
    },
    Limit {
        name: "body-bytes",
        min: 1 << 10,
        max: 64 << 20,
        get: |settings| settings.requests.body_bytes_max as u64,
        set: |settings, number| settings.requests.body_bytes_max = size(number),
    },
    Limit {
        name: "connections",
        min: 1,
        max: 1_000_000,
        get: |settings| settings.requests.connections_max as u64,
        set: |settings, number| settings.requests.connections_max = size(number),
    },
    Limit {
        name: "listeners",
        min: 1,
        max: 1_000_000,
        get: |settings| settings.requests.listeners_max as u64,
        set: |settings, number| settings.requests.listeners_max = size(number),
    },
    Limit {
        name: "checks",
        min: 1,
        max: 1_000,
        get: |settings| settings.requests.checks_max as u64,
        set: |settings, number| settings.requests.checks_max = size(number),
    },
    Limit {
        name: "cluster-interval",
        min: 1,
        max: SECONDS_OF_A_DAY,
        get: |settings| settings.look_interval.as_secs(),
        set: |settings, number| settings.look_interval = Duration::from_secs(number),
    },
    Limit {
        name: "audit-days",
        min: 1,
        max: 36_500,
        get: |settings| settings.audit_kept.as_secs() / SECONDS_OF_A_DAY,
        set: |settings, number| settings.audit_kept = Duration::from_secs(number * SECONDS_OF_A_DAY),
    },
    Limit {
        name: "job-days",
        // For ever.
        min: 0,
        max: 36_500,
        get: |settings| settings.jobs_kept.map_or(0, |kept| kept.as_secs() / SECONDS_OF_A_DAY),
        set: |settings, number| {
            settings.jobs_kept = (number > 0).then(|| Duration::from_secs(number * SECONDS_OF_A_DAY));
        },
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sets_the_number_that_it_shows_and_no_other() {
        for limit in &LIMITS {
            assert!((limit.min..=limit.max).contains(&limit.default()), "{}", limit.name);
            let mut settings = Settings::default();
            let other = if limit.default() == limit.max { limit.min } else { limit.max };
            (limit.set)(&mut settings, other);
            for seen in &LIMITS {
                let expected = if seen.name == limit.name { other } else { seen.default() };
                assert_eq!((seen.get)(&settings), expected, "{} after {}", seen.name, limit.name);
            }
        }
    }
}
