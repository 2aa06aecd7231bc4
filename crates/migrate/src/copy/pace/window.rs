//! How many inserts the target takes at once, found by trying: one more after a window of successes, half as many after
//! a refusal.

/// The window of concurrent inserts. Pure arithmetic; who waits for a place in it is [`super::Pace`]'s matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    size: usize,
    size_max: usize,
    /// Successes since the size last changed.
    successes: usize,
    /// Counts the refusals that halved it: what began before the last one tells nothing about the present size.
    round: u64,
    smallest: usize,
}

impl Window {
    /// Open as far as it goes: most targets take that, and those that don't say so at once.
    pub(super) fn new(size_max: usize) -> Self {
        let size = size_max.max(1);
        Self { size, size_max: size, successes: 0, round: 0, smallest: size }
    }

    /// Inserts at once.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The least that it ever was.
    pub(super) fn smallest(&self) -> usize {
        self.smallest
    }

    /// Whether it is smaller than it may be.
    pub(super) fn is_narrowed(&self) -> bool {
        self.size < self.size_max
    }

    /// What an insert that begins now has to give back when it ends.
    pub(super) fn round(&self) -> u64 {
        self.round
    }

    /// An insert that began in a round was acknowledged.
    pub(super) fn succeeded(&mut self, round: u64) {
        if round != self.round || !self.is_narrowed() {
            return;
        }
        self.successes += 1;
        if self.successes >= self.size {
            self.size += 1;
            self.successes = 0;
        }
    }

    /// An insert that began in a round was refused for the load of the target.
    pub(super) fn refused(&mut self, round: u64) {
        if round != self.round {
            return;
        }
        self.round += 1;
        self.size = (self.size / 2).max(1);
        self.smallest = self.smallest.min(self.size);
        self.successes = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_under_way_together_halves_once() {
        let mut window = Window::new(8);
        let rounds = [window.round(); 8];
        for round in rounds {
            window.refused(round);
        }
        assert_eq!(window.size(), 4);
        window.refused(window.round());
        window.refused(window.round());
        window.refused(window.round());
        assert_eq!((window.size(), window.smallest()), (1, 1));
    }

    #[test]
    fn a_window_of_successes_gives_one_more() {
        let mut window = Window::new(8);
        window.refused(window.round());
        for size in 4..8 {
            for _ in 0..size {
                assert_eq!(window.size(), size);
                window.succeeded(window.round());
            }
        }
        assert_eq!((window.size(), window.is_narrowed()), (8, false));
        window.succeeded(window.round());
        assert_eq!(window.size(), 8);
    }

    #[test]
    fn an_old_success_proves_nothing() {
        let mut window = Window::new(2);
        let before = window.round();
        window.refused(before);
        for _ in 0..10 {
            window.succeeded(before);
        }
        assert_eq!(window.size(), 1);
    }

    proptest! {
        /// Inserts begin while there is room, and end in any order, well or not.
        #[test]
        fn it_never_leaves_its_bounds_and_recovers(
            size_max in 0usize..40,
            ends in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..400),
        ) {
            let mut window = Window::new(size_max);
            let bounds = 1..=size_max.max(1);
            let mut under_way = VecDeque::new();
            for (well, which) in ends {
                while under_way.len() < window.size() {
                    under_way.push_back(window.round());
                }
                let round = under_way.remove(which.index(under_way.len())).unwrap();
                let before = window.size();
                if well { window.succeeded(round) } else { window.refused(round) }
                prop_assert!(bounds.contains(&window.size()));
                prop_assert!(window.size() <= before + 1 && window.size() >= (before / 2).max(1));
                prop_assert!(window.smallest() <= window.size());
            }
            for _ in 0..size_max * size_max {
                window.succeeded(window.round());
            }
            prop_assert_eq!(window.size(), size_max.max(1));
        }
    }
}
