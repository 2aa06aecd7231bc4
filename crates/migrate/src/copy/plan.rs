//! Where a part of a collection is divided, so that several readers and writers can work on it at once.
//!
//! Divided once, by counting: the number of rows in a key range is the only thing that every server can be asked for.
//! Counts are estimates (repeated keys count more than once, and the source may change); the ranges are exact: together
//! they are the whole, without gap and without overlap.

use vecferry_milvus::{Key, KeyRange};

use super::histogram::plan_numbers;
use crate::plan::splits::SplitLimits;
use crate::read::{Part, ReadError, Reader};

/// Probes for one cut: a key range of 64 bits is halved that often, a character some 20 times.
const PROBES_PER_CUT_MAX: u32 = 160;

/// Counts of a part under way at once.
const COUNTS_PARALLEL: usize = 8;

/// Counts the rows of key ranges.
pub(crate) trait RangeCounter {
    /// Why a range can't be counted.
    type Error;

    /// Rows of a range.
    async fn count(&self, range: &KeyRange) -> Result<u64, Self::Error>;

    /// The first key of a range.
    async fn first_key(&self, range: &KeyRange) -> Result<Option<Key>, Self::Error>;

    /// Counts that may be under way at once.
    fn parallel(&self) -> usize {
        COUNTS_PARALLEL
    }
}

/// One part of a source.
pub(crate) struct PartCounter<'a> {
    pub(crate) reader: &'a Reader,
    pub(crate) partition: Option<&'a str>,
}

impl RangeCounter for PartCounter<'_> {
    type Error = ReadError;

    async fn count(&self, range: &KeyRange) -> Result<u64, ReadError> {
        let part = Part { partition: self.partition.map(str::to_owned), range: range.clone() };
        Ok(self.reader.count(&part).await?)
    }

    async fn first_key(&self, range: &KeyRange) -> Result<Option<Key>, ReadError> {
        self.reader.first_key(self.partition, range).await
    }

    /// Where no expression can name the key, a count reads all keys.
    fn parallel(&self) -> usize {
        if self.reader.key_field.can_be_named() { COUNTS_PARALLEL } else { 1 }
    }
}

/// A range and about how many rows it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedRange {
    pub(crate) range: KeyRange,
    pub(crate) rows: u64,
}

/// Divides a range of `rows` rows, the largest piece first, until none is larger than wanted.
pub(crate) async fn plan<Counter: RangeCounter>(
    counter: &Counter,
    whole: PlannedRange,
    is_text: bool,
    limits: SplitLimits,
) -> Result<Vec<PlannedRange>, Counter::Error> {
    if !is_text {
        return plan_numbers(counter, whole, limits).await;
    }
    let (mut ranges, mut whole_enough) = (vec![whole], Vec::new());
    while ranges.len() + whole_enough.len() < limits.splits_max {
        let Some(largest) = (0..ranges.len()).max_by_key(|&at| ranges[at].rows) else { break };
        if ranges[largest].rows <= limits.rows_per_split {
            break;
        }
        let range = ranges.swap_remove(largest);
        match divide(counter, &range, is_text).await? {
            Some((lower, upper)) => ranges.extend([lower, upper]),
            // Rows of one key can't be divided.
            None => whole_enough.push(range),
        }
    }
    ranges.extend(whole_enough);
    ranges.sort_by(|a, b| a.range.after.cmp(&b.range.after));
    Ok(ranges)
}

/// Cuts a range so that each side holds at least a quarter of the rows, if there is such a key, or else as evenly as was
/// found. `None` if there is no key between.
pub(crate) async fn divide<Counter: RangeCounter>(
    counter: &Counter,
    whole: &PlannedRange,
    is_text: bool,
) -> Result<Option<(PlannedRange, PlannedRange)>, Counter::Error> {
    let mut search = Search::new(counter, whole);
    if is_text {
        search.find_shared_beginning().await?;
    }
    while !search.is_over()
        && let Some(middle) = midpoint(search.low.as_ref(), search.high.as_ref(), is_text)
    {
        search.probe(middle).await?;
    }
    let best = search.best;
    Ok(best.map(|(below, at)| {
        let lower = KeyRange { after: whole.range.after.clone(), until: Some(at.clone()) };
        let upper = KeyRange { after: Some(at), until: whole.range.until.clone() };
        (PlannedRange { range: lower, rows: below }, PlannedRange { range: upper, rows: whole.rows - below })
    }))
}

/// Looks for a key that divides a range well.
struct Search<'a, Counter> {
    counter: &'a Counter,
    whole: &'a PlannedRange,
    /// The key is behind this one.
    low: Option<Key>,
    /// The key is before this one.
    high: Option<Key>,
    /// Rows up to the best key so far.
    best: Option<(u64, Key)>,
    is_good: bool,
    probes: u32,
}

impl<'a, Counter: RangeCounter> Search<'a, Counter> {
    fn new(counter: &'a Counter, whole: &'a PlannedRange) -> Self {
        let (low, high) = (whole.range.after.clone(), whole.range.until.clone());
        Self { counter, whole, low, high, best: None, is_good: false, probes: 0 }
    }

    fn is_over(&self) -> bool {
        self.is_good || self.probes >= PROBES_PER_CUT_MAX
    }

    /// Counts the rows up to a key, and keeps looking on the side that holds more. Tells whether that is the lower one.
    async fn probe(&mut self, middle: Key) -> Result<bool, Counter::Error> {
        self.probes += 1;
        let lower = KeyRange { after: self.whole.range.after.clone(), until: Some(middle.clone()) };
        let rows = self.whole.rows;
        let below = self.counter.count(&lower).await?.min(rows);
        let uneven = |below: u64| below.abs_diff(rows - below);
        let improves = self.best.as_ref().is_none_or(|(known, _)| uneven(below) < uneven(*known));
        if improves && below > 0 && below < rows {
            self.best = Some((below, middle.clone()));
        }
        let lower_is_larger = below > rows - below;
        self.is_good = below.min(rows - below) >= (rows / 4).max(1);
        if lower_is_larger {
            self.high = Some(middle);
        } else {
            self.low = Some(middle);
        }
        Ok(lower_is_larger)
    }

    /// Texts often begin alike, and halving would find each of these characters anew: instead the first key is looked at,
    /// and halved is the length of its beginning that most keys share.
    async fn find_shared_beginning(&mut self) -> Result<(), Counter::Error> {
        let Some(Key::Text(first)) = self.counter.first_key(&self.whole.range).await? else { return Ok(()) };
        let ends: Vec<_> = first.char_indices().map(|(at, _)| at).skip(1).chain([first.len()]).collect();
        let (mut shared, mut longer) = (0, ends.len());
        while shared < longer && !self.is_over() {
            let length = shared + (longer - shared) / 2;
            let mut last = first[..ends[length]].to_owned();
            last.extend(character_of(CHARACTER_MAX));
            let is_in = |bound: &Option<Key>, order| {
                bound.as_ref().is_none_or(|bound| Key::Text(last.clone()).cmp(bound) == order)
            };
            let is_between =
                is_in(&self.low, std::cmp::Ordering::Greater) && is_in(&self.high, std::cmp::Ordering::Less);
            if is_between && !self.probe(Key::Text(last)).await? {
                longer = length;
            } else {
                shared = length + 1;
            }
        }
        Ok(())
    }
}

/// A key between two others (or the ends of the key space) that can bound a range; `None` if there is none.
pub(super) fn midpoint(after: Option<&Key>, until: Option<&Key>, is_text: bool) -> Option<Key> {
    if is_text {
        let text = |key: Option<&Key>| match key {
            Some(Key::Text(text)) => Some(text.clone()),
            Some(Key::Int(_)) | None => None,
        };
        let middle = text_between(&text(after).unwrap_or_default(), text(until).as_deref())?;
        return Some(Key::Text(middle));
    }
    let number = |key: Option<&Key>, open: i64| match key {
        Some(Key::Int(value)) => *value,
        Some(Key::Text(_)) | None => open,
    };
    let (low, high) = (i128::from(number(after, i64::MIN)), i128::from(number(until, i64::MAX)));
    let middle = (low + high).div_euclid(2);
    let is_between = middle > low && middle < high;
    is_between.then(|| i64::try_from(middle).ok().map(Key::Int)).flatten()
}

/// Characters that bounds are made of, as numbers without the gap of the surrogates. Control characters are left out:
/// bounds are written into expressions.
const CHARACTER_MIN: u32 = 0x20;
const CHARACTER_MAX: u32 = 0x0010_FFFD - 0x800;

/// One more than the largest digit.
const BASE: u32 = CHARACTER_MAX + 2;

fn number_of(character: char) -> u32 {
    let value = u32::from(character);
    if value >= 0xE000 { value - 0x800 } else { value }
}

fn character_of(number: u32) -> Option<char> {
    let value = if number >= 0xD800 { number + 0x800 } else { number };
    char::from_u32(value)
        .filter(|character| !character.is_control() && !matches!(value & 0xFFFF, 0xFFFE | 0xFFFF))
}

/// A text between two others in the servers' order, which is that of the characters. The upper one may be open.
///
/// Behind what both begin with, texts are read as fractions whose digits are characters; two digits are enough to come
/// closer with every call.
fn text_between(low: &str, high: Option<&str>) -> Option<String> {
    let shared: String = match high {
        Some(high) => low.chars().zip(high.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect(),
        None => String::new(),
    };
    // Nothing is smaller than every character.
    let absent = CHARACTER_MIN - 1;
    let digits = |text: &str| -> [u32; 2] {
        let mut rest = text[shared.len()..].chars().map(number_of);
        [rest.next().unwrap_or(absent), rest.next().unwrap_or(absent)]
    };
    let value = |[first, second]: [u32; 2]| u64::from(first) * u64::from(BASE) + u64::from(second);
    let low_value = value(digits(low));
    let high_value = high.map_or(value([CHARACTER_MAX + 1, 0]), |high| value(digits(high)));
    let middle = low_value + high_value.saturating_sub(low_value) / 2;
    let digit = |number: u64| u32::try_from(number).ok().and_then(character_of);
    let with = |characters: &[Option<char>]| -> Option<String> {
        let mut made = shared.clone();
        for character in characters {
            made.push((*character)?);
        }
        Some(made)
    };
    let (first, second) = (middle / u64::from(BASE), middle % u64::from(BASE));
    let longer = || text_between(&low[shared.len()..], None).map(|rest| shared.clone() + &rest);
    let candidates = [
        with(&[digit(first)]),
        with(&[digit(first), digit(second)]),
        with(&[digit(first), digit(u64::from(CHARACTER_MIN))]),
        Some(format!("{low} ")),
        Some(format!("{low}A")),
        high.and_then(|_| longer()),
    ];
    candidates
        .into_iter()
        .flatten()
        .find(|made| made.as_str() > low && high.is_none_or(|high| made.as_str() < high))
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    pub(in crate::copy) struct InMemory {
        pub(in crate::copy) keys: Vec<Key>,
        pub(in crate::copy) probes: Cell<usize>,
    }

    impl RangeCounter for InMemory {
        type Error = Infallible;

        async fn count(&self, range: &KeyRange) -> Result<u64, Infallible> {
            self.probes.set(self.probes.get() + 1);
            let id = vecferry_milvus::KeyField::new("id", vecferry_milvus::Flavor::Milvus);
            assert!(!range.expression(&id).contains(&i64::MIN.to_string()), "a literal that does not parse");
            Ok(self.keys.iter().filter(|key| contains(range, key)).count() as u64)
        }

        async fn first_key(&self, range: &KeyRange) -> Result<Option<Key>, Infallible> {
            Ok(self.keys.iter().filter(|key| contains(range, key)).min().cloned())
        }
    }

    pub(in crate::copy) fn contains(range: &KeyRange, key: &Key) -> bool {
        range.after.as_ref().is_none_or(|after| key > after)
            && range.until.as_ref().is_none_or(|until| key <= until)
    }

    fn planned(keys: Vec<Key>, is_text: bool, limits: SplitLimits) -> (Vec<PlannedRange>, usize) {
        let counter = InMemory { keys, probes: Cell::new(0) };
        let whole = PlannedRange { range: KeyRange::default(), rows: counter.keys.len() as u64 };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let ranges = runtime.block_on(plan(&counter, whole, is_text, limits)).unwrap();
        (ranges, counter.probes.get())
    }

    fn check(mut keys: Vec<Key>, is_text: bool, limits: SplitLimits) -> Result<(), TestCaseError> {
        let (ranges, probes) = planned(keys.clone(), is_text, limits);
        prop_assert!(ranges.len() <= limits.splits_max.max(1));
        let probes_max = if is_text { limits.splits_max * 2 * PROBES_PER_CUT_MAX as usize } else { 2500 };
        prop_assert!(probes <= probes_max);
        prop_assert_eq!(ranges.first().and_then(|range| range.range.after.clone()), None);
        prop_assert_eq!(ranges.last().and_then(|range| range.range.until.clone()), None);
        for pair in ranges.windows(2) {
            prop_assert_eq!(&pair[0].range.until, &pair[1].range.after);
            prop_assert!(pair[0].range.until.is_some());
        }
        for key in &keys {
            prop_assert_eq!(ranges.iter().filter(|range| contains(&range.range, key)).count(), 1);
        }
        let keys_total = keys.len() as u64;
        keys.sort();
        keys.dedup();
        // No bound is made between the empty text and a single blank.
        keys.retain(|key| *key != Key::Text(String::new()));
        if ranges.len() < limits.splits_max {
            for range in &ranges {
                let distinct = keys.iter().filter(|key| contains(&range.range, key)).count();
                // Neighbouring texts of which one begins the other may have no bound between them.
                let indivisible = if is_text { 6 } else { 1 };
                // Where there may not be enough of them, numbers are divided about as evenly as it goes.
                let even = if is_text { 0 } else { 3 * keys_total / limits.splits_max as u64 + 2 };
                prop_assert!(
                    range.rows <= limits.rows_per_split.max(even) || distinct <= indivisible,
                    "{range:?} holds {distinct} keys"
                );
            }
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn numbers_are_divided_without_gap_or_overlap(
            keys in prop::collection::vec(prop_oneof![
                any::<i64>(), -50..50i64, (1i64 << 58)..(1i64 << 58) + 500, Just(i64::MIN), Just(i64::MAX)], 0..300),
            rows_per_split in 1u64..60,
            splits_max in 1usize..40,
        ) {
            check(keys.into_iter().map(Key::Int).collect(), false, SplitLimits { rows_per_split, splits_max })?;
        }

        #[test]
        fn texts_are_divided_without_gap_or_overlap(
            keys in prop::collection::vec(prop_oneof![
                "[a-c]{0,3}", "user-00000[0-9]{4}", "[🚢渡\"\\\\ é]{0,4}", Just(String::new())], 0..300),
            rows_per_split in 5u64..60,
            splits_max in 1usize..40,
        ) {
            check(keys.into_iter().map(Key::Text).collect(), true, SplitLimits { rows_per_split, splits_max })?;
        }

        #[test]
        fn a_text_between_is_between(low: String, high: String) {
            let (low, high) = if low < high { (low, high) } else { (high, low) };
            for upper in [Some(high.as_str()), None] {
                if let Some(middle) = text_between(&low, upper) {
                    prop_assert!(middle > low && upper.is_none_or(|upper| middle.as_str() < upper));
                }
            }
        }
    }

    #[test]
    fn a_dense_band_is_divided_evenly() {
        let keys = (0..10_000).map(|at| Key::Int(450_000_000_000_000_000 + at)).collect();
        let (ranges, probes) = planned(keys, false, SplitLimits { rows_per_split: 1250, splits_max: 64 });
        assert!((8..=16).contains(&ranges.len()), "{}", ranges.len());
        assert!(probes < 60, "{probes}");
        assert!(ranges.iter().all(|range| range.rows >= 300));
    }

    #[test]
    fn rows_of_one_key_stay_together() {
        let (ranges, _) =
            planned(vec![Key::Int(7); 100], false, SplitLimits { rows_per_split: 10, splits_max: 8 });
        assert_eq!(ranges.len(), 1);
    }
}
