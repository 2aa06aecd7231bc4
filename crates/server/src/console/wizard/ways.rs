//! Both ways to migrate: all of it in one window, or a copy now and the switch later. Each with its window, where a check has
//! estimated it.

use vecferry_migrate::plan::estimate::DurationEstimate;
use vecferry_words::Lang;

use crate::console::show::took;
use crate::jobs::Options;

/// Both ways, and which of them is chosen.
#[derive(Clone, Debug)]
pub(super) struct Ways {
    pub(super) is_warm: bool,
    pub(super) load_target: bool,
    /// How long writers are stopped, where everything is copied meanwhile.
    pub(super) window: Option<String>,
    /// After how long the target is searched at full speed then.
    pub(super) searchable: Option<String>,
    /// How long writers are stopped behind a warm copy.
    pub(super) warm_window: Option<String>,
    /// How long the warm copy takes.
    pub(super) copied: Option<String>,
    /// Whether the target takes no warm copy, as far as a check has seen that.
    pub(super) is_one_window_only: bool,
}

impl Ways {
    pub(super) fn of(options: &Options, estimate: Option<&DurationEstimate>, lang: Lang) -> Self {
        let told = |of: fn(&DurationEstimate) -> Option<f64>| {
            estimate.and_then(of).map(|seconds| took(lang, seconds))
        };
        let is_one_window_only = estimate.is_some_and(|estimate| estimate.warm_window_seconds.is_none());
        Self {
            is_warm: options.warm,
            load_target: options.load_target,
            window: told(|estimate| Some(estimate.seconds)),
            searchable: told(|estimate| estimate.index_seconds.map(|index| estimate.seconds + index)),
            warm_window: told(|estimate| estimate.warm_window_seconds),
            copied: told(|estimate| Some(estimate.copy_seconds + estimate.steps_seconds)),
            is_one_window_only: is_one_window_only && !options.warm,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_told_where_it_is_known() {
        let options = Options::default();
        let ways = Ways::of(&options, None, Lang::En);
        assert_eq!((ways.window, ways.warm_window, ways.is_one_window_only), (None, None, false));
        let estimate =
            DurationEstimate { seconds: 300.0, warm_window_seconds: Some(90.0), ..Default::default() };
        let ways = Ways::of(&options, Some(&estimate), Lang::En);
        assert_eq!(ways.window.as_deref(), Some("5 min 0 s"));
        assert_eq!(ways.warm_window.as_deref(), Some("1 min 30 s"));
        let lite = DurationEstimate { warm_window_seconds: None, ..estimate };
        assert!(Ways::of(&options, Some(&lite), Lang::En).is_one_window_only);
        // What was chosen stays to be seen.
        let warm = Options { warm: true, ..options };
        assert!(!Ways::of(&warm, Some(&lite), Lang::En).is_one_window_only);
    }
}
