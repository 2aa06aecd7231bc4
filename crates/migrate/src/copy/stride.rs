//! Where the next page will probably end.
//!
//! A server that is asked for the first rows behind a key fetches as many of each of its segments, with all their columns,
//! and drops all but the lowest. One that is also told where to stop fetches only what lies in between. So a page of
//! numeric keys is asked for with a bound that the density of the keys before it suggests, a page's rows away. Nothing
//! follows from the bound: the next page begins behind the last row that came, and where none came the rest of the range
//! is asked for as a whole.

use vecferry_milvus::{Key, KeyRange};

/// Bounds that missed before no more are tried: keys in clusters have no density.
const MISSES_MAX: u32 = 3;
/// A page with less than this part of the rows that were asked for missed.
const FILLED_MIN: f64 = 0.5;

/// Follows the density of the keys of one range.
#[derive(Clone, Debug, Default)]
pub(super) struct Stride {
    /// Distance from one key to the next, on average.
    gap: Option<f64>,
    misses: u32,
}

impl Stride {
    /// For a range that should hold so many rows.
    pub(super) fn of(range: &KeyRange, rows: u64) -> Self {
        let gap = match (&range.after, &range.until) {
            (Some(Key::Int(after)), Some(Key::Int(until))) if rows > 0 => {
                Some(distance(*after, *until) / rows as f64)
            }
            (None | Some(_), None | Some(_)) => None,
        };
        Self { gap, misses: 0 }
    }

    /// The part of a range in which the next `rows` rows probably are. `None`: ask for all of it.
    pub(super) fn part_of(&self, range: &KeyRange, rows: u32) -> Option<KeyRange> {
        let gap = self.gap.filter(|_| self.misses < MISSES_MAX)?;
        let Some(Key::Int(after)) = range.after else { return None };
        let stride = (gap * f64::from(rows)).max(1.0);
        // Saturates: a bound behind all keys is none.
        let until = (i128::from(after)).saturating_add(stride as i128);
        let until = i64::try_from(until).ok()?;
        let is_nearer = match &range.until {
            None => true,
            Some(Key::Int(end)) => until < *end,
            Some(Key::Text(_)) => false,
        };
        is_nearer.then(|| KeyRange { after: range.after.clone(), until: Some(Key::Int(until)) })
    }

    /// What came of a part, of so many rows that were asked for.
    pub(super) fn came(&mut self, asked: u32, rows: usize) {
        if (rows as f64) < f64::from(asked) * FILLED_MIN {
            self.misses += 1;
        } else {
            self.misses = 0;
        }
    }

    /// Rows behind a key, with the first and the last of their keys.
    pub(super) fn seen(&mut self, after: Option<&Key>, rows: usize, keys: Option<&(Key, Key)>) {
        let Some((Key::Int(first), Key::Int(last))) = keys else { return };
        let (from, steps) = match after {
            Some(Key::Int(after)) => (*after, rows),
            Some(Key::Text(_)) | None => (*first, rows.saturating_sub(1)),
        };
        if steps > 0 {
            self.gap = Some(distance(from, *last) / steps as f64);
        }
    }
}

fn distance(from: i64, to: i64) -> f64 {
    (i128::from(to) - i128::from(from)) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(after: Option<i64>, until: Option<i64>) -> KeyRange {
        KeyRange { after: after.map(Key::Int), until: until.map(Key::Int) }
    }

    #[test]
    fn a_page_ends_where_its_rows_probably_do() {
        let stride = Stride::of(&range(Some(0), Some(1000)), 100);
        let rest = range(Some(200), Some(1000));
        assert_eq!(stride.part_of(&rest, 30), Some(range(Some(200), Some(500))));
        assert_eq!(stride.part_of(&rest, 80), None, "the range ends before");
        assert_eq!(stride.part_of(&range(None, Some(1000)), 30), None, "nobody knows where it begins");
    }

    #[test]
    fn what_came_is_what_is_expected_next() {
        let mut stride = Stride::default();
        let rest = range(Some(50), None);
        assert_eq!(stride.part_of(&rest, 10), None, "nothing is known");
        stride.seen(None, 11, Some(&(Key::Int(0), Key::Int(50))));
        assert_eq!(stride.part_of(&rest, 10), Some(range(Some(50), Some(100))));
        stride.seen(Some(&Key::Int(50)), 10, Some(&(Key::Int(51), Key::Int(60))));
        assert_eq!(stride.part_of(&rest, 10), Some(range(Some(50), Some(60))));
        stride.seen(Some(&Key::Int(60)), 0, None);
        assert_eq!(stride.part_of(&rest, 10), Some(range(Some(50), Some(60))), "no rows tell nothing");
    }

    #[test]
    fn keys_in_clusters_are_asked_for_as_a_whole_in_the_end() {
        let mut stride = Stride::of(&range(Some(0), Some(1000)), 100);
        for _ in 0..MISSES_MAX {
            assert!(stride.part_of(&range(Some(0), None), 10).is_some());
            stride.came(10, 1);
        }
        assert_eq!(stride.part_of(&range(Some(0), None), 10), None);
    }

    #[test]
    fn bounds_stay_within_all_numbers() {
        let whole = range(Some(i64::MIN), Some(i64::MAX));
        assert_eq!(Stride::of(&whole, 1).part_of(&range(Some(i64::MAX - 5), None), 16_384), None);
        assert_eq!(Stride::of(&whole, 0).part_of(&whole, 1), None);
        let texts = KeyRange { after: Some(Key::Text("a".into())), until: None };
        assert_eq!(Stride::of(&texts, 10).part_of(&texts, 1), None);
    }
}
