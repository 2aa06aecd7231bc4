//! Rows that differ, as problems and warnings.

use vecferry_milvus::CollectionName;

use super::every_row::Compared;
use crate::problem::{Code, Problem, Told};
use crate::report::{CountedRows, Findings, FoundRows, RowName, SwappedRow};
use crate::verify::Outcome;

/// Rows of a sample that differ.
pub(super) fn changed(name: &CollectionName, outcome: &Outcome) -> Problem {
    let (key, field) =
        outcome.changed.first().map(|(_, key, field)| (key.to_string(), field.clone())).unwrap_or_default();
    Problem::new(Code::RowsChanged)
        .with("collection", name)
        .with("rows", outcome.changed.len())
        .with("compared", outcome.rows_compared)
        .with("key", key)
        .with("field", field)
}

/// Rows of the target in partitions that the source does not have, or in none that is listed. `expected` are the
/// source's partitions; empty where they cannot be named.
pub(super) fn rows_elsewhere(
    name: &CollectionName,
    expected: &[String],
    counted: &CountedRows,
) -> Vec<Problem> {
    let is_elsewhere = |(partition, rows): &(&String, &u64)| **rows > 0 && !expected.contains(*partition);
    let (names, rows): (Vec<&String>, Vec<u64>) =
        counted.partitions.iter().filter(is_elsewhere).map(|(name, rows)| (name, *rows)).unzip();
    let places = [
        (
            rows.into_iter().sum(),
            Told::names(&names)
                .behind("in partitions that the source does not have: ", "位于源集群没有的 Partition："),
        ),
        (
            counted.whole.saturating_sub(counted.sum()),
            Told::both("in no listed partition", "不在列出的任何 Partition 中"),
        ),
    ];
    let problem = |(rows, place): (u64, Told)| {
        Problem::new(Code::RowsExtra).with("collection", name).with("rows", rows).told("where", place)
    };
    places.into_iter().filter(|(rows, _)| *rows > 0).map(problem).collect()
}

/// What a comparison of every row found.
pub(super) fn of_every_row(
    name: &CollectionName,
    compared: &Compared,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) {
    problems.extend(compared.problems.iter().cloned());
    let Findings { missing, extra, changed, repeated_keys, repeated_on_target, swapped } = &compared.findings;
    let rows = |code, rows: u64, place: Told| {
        Problem::new(code).with("collection", name).with("rows", rows).told("where", place)
    };
    if missing.rows > 0 {
        problems.push(rows(Code::RowsMissing, missing.rows, listed(missing)));
    }
    if extra.rows > 0 {
        problems.push(rows(Code::RowsExtra, extra.rows, listed(extra)));
    }
    if repeated_on_target.rows > 0 {
        let place = listed(repeated_on_target).behind("duplicate primary keys: ", "重复主键：");
        problems.push(rows(Code::RowsExtra, repeated_on_target.rows, place));
    }
    if changed.rows > 0 {
        let first = changed.first.first();
        let (key, key_zh) = first.map(RowName::place).unwrap_or_default();
        let fields = first.map(|row| row.fields.join("`, `")).unwrap_or_default();
        problems.push(
            Problem::new(Code::RowsChanged)
                .with("collection", name)
                .with("rows", changed.rows)
                .with("compared", compared.rows_compared)
                .told("key", Told::both(key, key_zh))
                .with("field", fields),
        );
    }
    if !swapped.is_empty() {
        let one = |row: &SwappedRow| {
            let way = format!("`{}` → `{}`", row.source_partition, row.target_partition);
            (format!("key {}: {way}", row.key), format!("主键 {}：{way}", row.key))
        };
        let place = Told::first_of_both(&swapped.iter().map(one).collect::<Vec<_>>(), swapped.len() as u64);
        problems.push(rows(Code::RowsSwapped, swapped.len() as u64, place));
    }
    if repeated_keys.rows > 0 {
        warnings.push(rows(Code::RepeatedKeysDiffer, repeated_keys.rows, listed(repeated_keys)));
    }
    if let Some(repair) = &compared.repair {
        warnings.push(
            Problem::new(Code::Repaired)
                .with("collection", name)
                .with("written", repair.rows_written)
                .with("deleted", repair.rows_deleted),
        );
    }
}

fn listed(found: &FoundRows) -> Told {
    let named = |row: &RowName| {
        let (en, zh) = row.place();
        (format!("key {en}"), format!("主键 {zh}"))
    };
    Told::first_of_both(&found.first.iter().map(named).collect::<Vec<_>>(), found.rows)
}
