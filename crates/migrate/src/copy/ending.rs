//! Where a part of a collection ends that is still written to. A writer with rising keys would keep the copy of an open
//! range busy for as long as it writes: the last range ends at a key behind which nothing was counted instead. What comes
//! behind it is left to whoever compares afterwards, and so is what a server left out that was loading when it counted.

use vecferry_milvus::{Key, KeyRange};

use super::plan::{PlannedRange, RangeCounter, midpoint};

/// The end is found as closely as this part of the keys' span.
const PRECISION: i128 = 16;
/// How much farther each look is than the one before.
const GROWTH: i128 = 8;
/// Counts for the end of a range of texts, whose span can't be measured.
const TEXT_COUNTS_MAX: u32 = 48;

/// Ends the last of some ranges that are the whole of a part.
pub(crate) async fn ended<Counter: RangeCounter>(
    counter: &Counter,
    mut ranges: Vec<PlannedRange>,
    is_text: bool,
) -> Result<Vec<PlannedRange>, Counter::Error> {
    if let Some(last) = ranges.last_mut()
        && last.range.until.is_none()
    {
        last.range.until = end_of(counter, &last.range, is_text).await?;
    }
    Ok(ranges)
}

/// A key behind which a range holds nothing; none if there is no such text.
async fn end_of<Counter: RangeCounter>(
    counter: &Counter,
    range: &KeyRange,
    is_text: bool,
) -> Result<Option<Key>, Counter::Error> {
    Ok(match counter.first_key(range).await? {
        Some(Key::Int(first)) => Some(Key::Int(end_of_numbers(counter, first).await?)),
        Some(Key::Text(first)) => end_of_texts(counter, first).await?.map(Key::Text),
        // Nothing is there: it ends where it begins.
        None => Some(range.after.clone().unwrap_or_else(|| smallest_bound(is_text))),
    })
}

/// The smallest key that expressions can name.
fn smallest_bound(is_text: bool) -> Key {
    if is_text { Key::Text(" ".to_owned()) } else { Key::Int(i64::MIN + 1) }
}

async fn holds_more<Counter: RangeCounter>(counter: &Counter, behind: Key) -> Result<bool, Counter::Error> {
    Ok(counter.count(&KeyRange { after: Some(behind), until: None }).await? > 0)
}

/// Looks ever farther behind the first key until nothing is there, and then between the last two looks.
async fn end_of_numbers<Counter: RangeCounter>(counter: &Counter, first: i64) -> Result<i64, Counter::Error> {
    // The smallest number is no bound: it has no literal that servers read.
    let begin = first.max(i64::MIN + 1);
    let (mut low, mut high, mut width) = (begin, begin, 1_i128);
    while high < i64::MAX && holds_more(counter, Key::Int(high)).await? {
        low = high;
        // However far it is to the largest number, some twenty looks come there.
        high = i64::try_from(i128::from(begin) + width).unwrap_or(i64::MAX);
        width *= GROWTH;
    }
    loop {
        let (span, gap) = (i128::from(low) - i128::from(begin), i128::from(high) - i128::from(low));
        if gap <= (span / PRECISION).max(1) {
            return Ok(high);
        }
        let Some(Key::Int(middle)) = midpoint(Some(&Key::Int(low)), Some(&Key::Int(high)), false) else {
            return Ok(high);
        };
        if holds_more(counter, Key::Int(middle)).await? {
            low = middle;
        } else {
            high = middle;
        }
    }
}

/// Halves the texts behind the first one, as far as there is a text between. What it comes to is behind all of them, and may
/// be far: a writer with rising texts can still keep the range busy.
async fn end_of_texts<Counter: RangeCounter>(
    counter: &Counter,
    first: String,
) -> Result<Option<String>, Counter::Error> {
    let (mut low, mut high) = (first, None::<String>);
    for _ in 0..TEXT_COUNTS_MAX {
        let (from, to) = (Key::Text(low.clone()), high.clone().map(Key::Text));
        let Some(Key::Text(middle)) = midpoint(Some(&from), to.as_ref(), true) else { break };
        if holds_more(counter, Key::Text(middle.clone())).await? {
            low = middle;
        } else {
            high = Some(middle);
        }
    }
    Ok(high)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;
    use crate::copy::plan::tests::{InMemory, contains};

    fn ended_at(keys: &[Key], ranges: Vec<PlannedRange>, is_text: bool) -> (Vec<PlannedRange>, usize) {
        let counter = InMemory { keys: keys.to_vec(), probes: Cell::new(0) };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let ended = runtime.block_on(ended(&counter, ranges, is_text)).unwrap();
        (ended, counter.probes.get())
    }

    fn whole(keys: &[Key]) -> Vec<PlannedRange> {
        vec![PlannedRange { range: KeyRange::default(), rows: keys.len() as u64 }]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn numbers_end_close_behind_the_greatest(
            keys in prop::collection::vec(prop_oneof![
                any::<i64>(), -50..50i64, (1i64 << 58)..(1i64 << 58) + 500, Just(i64::MIN), Just(i64::MAX)], 1..60),
        ) {
            let (least, greatest) = (*keys.iter().min().unwrap(), *keys.iter().max().unwrap());
            let keys: Vec<_> = keys.into_iter().map(Key::Int).collect();
            let (ended, probes) = ended_at(&keys, whole(&keys), false);
            let [PlannedRange { range, .. }] = &ended[..] else { panic!("{ended:?}") };
            prop_assert!(keys.iter().all(|key| contains(range, key)));
            let Some(Key::Int(end)) = range.until else { panic!("{range:?}") };
            let span = i128::from(greatest) - i128::from(least);
            prop_assert!(i128::from(end) - i128::from(greatest) <= (span / PRECISION).max(1), "{end} {greatest}");
            prop_assert!(probes <= 40, "{probes}");
        }

        #[test]
        fn texts_end_behind_the_greatest(
            keys in prop::collection::vec(prop_oneof![
                "[a-c]{0,3}", "user-00000[0-9]{4}", "[🚢渡\"\\\\ é]{0,4}", Just(String::new())], 1..60),
        ) {
            let keys: Vec<_> = keys.into_iter().map(Key::Text).collect();
            let (ended, probes) = ended_at(&keys, whole(&keys), true);
            prop_assert!(keys.iter().all(|key| contains(&ended[0].range, key)), "{ended:?}");
            prop_assert!(probes <= TEXT_COUNTS_MAX as usize);
        }
    }

    #[test]
    fn rising_numbers_come_behind_the_end() {
        let keys: Vec<_> = (0..10_000).map(|at| Key::Int(450_000_000_000_000_000 + at)).collect();
        let (ended, _) = ended_at(&keys, whole(&keys), false);
        assert!(ended[0].range.until < Some(Key::Int(450_000_000_000_010_700)), "{ended:?}");
    }

    #[test]
    fn only_the_last_range_ends_and_an_empty_one_where_it_begins() {
        let at = |key: i64| Some(Key::Int(key));
        let range = |after, until| PlannedRange { range: KeyRange { after, until }, rows: 1 };
        let keys = [Key::Int(3), Key::Int(7)];
        let (ended, _) = ended_at(&keys, vec![range(None, at(5)), range(at(5), None)], false);
        assert_eq!(ended, [range(None, at(5)), range(at(5), at(7))]);
        let (ended, _) = ended_at(&keys, vec![range(None, at(9)), range(at(9), None)], false);
        assert_eq!(ended, [range(None, at(9)), range(at(9), at(9))]);
        for is_text in [false, true] {
            let (ended, _) = ended_at(&[], whole(&[]), is_text);
            assert_eq!(ended[0].range.until, Some(smallest_bound(is_text)));
        }
    }
}
