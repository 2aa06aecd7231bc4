//! Sizes that are in the way.

use vecferry_milvus::CollectionName;

use super::{Code, Problem, Side};

/// A number with separators of thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Bytes for people.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", grouped(bytes >> 20))
}

/// More rows in all partitions than in the whole: which of them are still there can't be told.
pub(crate) fn partitions_disagree(name: &CollectionName, rows: u64, sum: u64) -> Problem {
    Problem::new(Code::PartitionsDisagree).with("collection", name).with("rows", rows).with("sum", sum)
}

/// A load that does not fit.
pub(crate) fn does_not_fit(name: &CollectionName, side: Side, needed: u64, free: u64) -> Problem {
    Problem::new(Code::LoadDoesNotFit)
        .with("collection", name)
        .with("side", side.name())
        .with("needed", mebibytes(needed))
        .with("free", mebibytes(free))
}
