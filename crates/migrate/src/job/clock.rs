//! Wall-clock times for reports.

/// Wall-clock times for reports; durations come from the clock that does not jump.
pub(super) struct Clock {
    started: jiff::Timestamp,
    instant: std::time::Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { started: jiff::Timestamp::now(), instant: std::time::Instant::now() }
    }

    pub(super) fn started_at(&self) -> String {
        format!("{:.3}", self.started)
    }

    pub(super) fn now(&self) -> String {
        format!("{:.3}", jiff::Timestamp::now())
    }

    pub(super) fn seconds(&self) -> f64 {
        self.instant.elapsed().as_secs_f64()
    }
}
