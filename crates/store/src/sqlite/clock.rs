//! The time by which writers of one machine expire: of a clock that nobody sets, and that counts while the machine
//! sleeps.

/// A moment, and the start of the machine that it is counted from: moments of another start are all over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) boot: String,
    pub(super) milliseconds: i64,
}

impl Moment {
    #[cfg(target_os = "linux")]
    pub(super) fn now() -> Self {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let milliseconds = time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000);
        Self { boot: boot.trim().to_owned(), milliseconds }
    }

    /// Other systems do not say when they were started; their clock may be set, which costs at worst that a split is taken
    /// over from a worker that lives.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self { boot: String::new(), milliseconds: i64::try_from(since.as_millis()).unwrap_or(i64::MAX) }
    }

    pub(super) fn after(&self, time: std::time::Duration) -> i64 {
        self.milliseconds.saturating_add(super::rows::milliseconds(time))
    }
}
