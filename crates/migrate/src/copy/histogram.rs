//! Where a range of numeric keys is divided: by a histogram of the keys, whose cells are counted side by side.
//!
//! Halving finds one bound after the other, each behind some fifty counts where keys lie close together in a space of 64
//! bits. Here the first key says where to look, cells of growing width find out how far the keys reach, and only cells with
//! too many rows are looked into: 100,000 keys in a row take three rounds.

use futures_util::{StreamExt, TryStreamExt, stream};
use vecferry_milvus::{Key, KeyRange};

use super::plan::{PlannedRange, RangeCounter};
use crate::plan::splits::SplitLimits;

/// Cells that a cell is divided into, and the growth of the first ones.
const CELLS: i128 = 16;
/// Counts of one range. Keys that lie in many places far from each other are divided less evenly.
const COUNTS_MAX: usize = 2000;

/// Divides a range of `rows` rows until no piece is larger than wanted, if its keys allow it.
pub(super) async fn plan_numbers<Counter: RangeCounter>(
    counter: &Counter,
    whole: PlannedRange,
    limits: SplitLimits,
) -> Result<Vec<PlannedRange>, Counter::Error> {
    if limits.splits_max <= 1 || whole.rows <= limits.rows_per_split {
        return Ok(vec![whole]);
    }
    let Some(Key::Int(first)) = counter.first_key(&whole.range).await? else { return Ok(vec![whole]) };
    let wanted = limits.rows_per_split.max(whole.rows / limits.splits_max as u64);
    let bounds = Bounds::of(&whole.range);
    let mut cuts = vec![i128::from(first) - 1];
    let mut width = i128::from(whole.rows.max(1));
    while i128::from(first) + width < bounds.high {
        cuts.push(i128::from(first) + width);
        width *= CELLS;
    }
    let mut cells = cut(counter, &whole, &cuts).await?;
    let mut counts = cells.len();
    while counts < COUNTS_MAX {
        let (mut finer, mut is_divided) = (Vec::with_capacity(cells.len()), false);
        for cell in cells {
            let bounds = Bounds::of(&cell.range);
            if cell.rows <= wanted || !bounds.is_divisible() || counts >= COUNTS_MAX {
                finer.push(cell);
                continue;
            }
            let pieces = cut(counter, &cell, &bounds.even_cuts()).await?;
            counts += pieces.len();
            finer.extend(pieces);
            is_divided = true;
        }
        cells = finer;
        if !is_divided {
            break;
        }
    }
    Ok(merged(&cells, limits))
}

/// The ends of a range as numbers: behind `low`, up to `high`.
#[derive(Clone, Copy)]
struct Bounds {
    low: i128,
    high: i128,
}

impl Bounds {
    fn of(range: &KeyRange) -> Self {
        let number = |key: Option<&Key>, open: i64| match key {
            Some(Key::Int(value)) => i128::from(*value),
            Some(Key::Text(_)) | None => i128::from(open),
        };
        // The smallest number is no bound: it has no literal that servers read.
        Self { low: number(range.after.as_ref(), i64::MIN), high: number(range.until.as_ref(), i64::MAX) }
    }

    fn is_divisible(self) -> bool {
        self.high - self.low > 1
    }

    fn even_cuts(self) -> Vec<i128> {
        (1..CELLS).map(|at| self.low + (self.high - self.low) * at / CELLS).collect()
    }
}

/// A range cut at some numbers, those that lie in it, with the rows of each piece.
async fn cut<Counter: RangeCounter>(
    counter: &Counter,
    whole: &PlannedRange,
    cuts: &[i128],
) -> Result<Vec<PlannedRange>, Counter::Error> {
    let bounds = Bounds::of(&whole.range);
    let mut cuts: Vec<_> =
        cuts.iter().copied().filter(|cut| *cut > bounds.low && *cut < bounds.high).collect();
    cuts.dedup();
    let mut after = whole.range.after.clone();
    let mut ranges = Vec::with_capacity(cuts.len());
    for until in cuts.into_iter().filter_map(|cut| i64::try_from(cut).ok()).map(Key::Int) {
        ranges.push(KeyRange { after: after.replace(until.clone()), until: Some(until) });
    }
    let counts: Vec<_> = ranges.iter().map(|range| counter.count(range)).collect();
    let counts: Vec<u64> = stream::iter(counts).buffered(counter.parallel()).try_collect().await?;
    let last = whole.rows.saturating_sub(counts.iter().sum());
    let pieces = ranges.into_iter().zip(counts).map(|(range, rows)| PlannedRange { range, rows });
    let rest = PlannedRange { range: KeyRange { after, until: whole.range.until.clone() }, rows: last };
    Ok(pieces.chain([rest]).collect())
}

/// Neighbouring cells together, as far as they are no larger than wanted; than necessary, where there would be too many.
fn merged(cells: &[PlannedRange], limits: SplitLimits) -> Vec<PlannedRange> {
    let mut rows_max = limits.rows_per_split.max(1);
    loop {
        let mut ranges: Vec<PlannedRange> = Vec::new();
        for cell in cells {
            match ranges.last_mut() {
                Some(last) if last.rows == 0 || cell.rows == 0 || last.rows + cell.rows <= rows_max => {
                    last.rows += cell.rows;
                    last.range.until.clone_from(&cell.range.until);
                }
                Some(_) | None => ranges.push(cell.clone()),
            }
        }
        if ranges.len() <= limits.splits_max {
            return ranges;
        }
        rows_max += rows_max / 4 + 1;
    }
}
