//! What the target holds, against what is expected of it.

use vecferry_milvus::{CollectionName, Key};

use super::expect::Expected;
use crate::problem::{Code, Problem, Told};
use crate::read::{Part, ReadError, Reader};
use crate::report::Findings;

/// Keys looked up on the source to tell a repeated key from a changed row.
const DOUBTED_KEYS_MAX: usize = 100;

/// Result of a comparison.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) problems: Vec<Problem>,
    pub(crate) target_rows: u64,
    pub(crate) counts_compared: u64,
    pub(crate) rows_compared: u64,
    /// Rows of these that an earlier attempt compared.
    pub(crate) rows_compared_before: u64,
    /// Rows that differ, with the first field that does; the caller asks the source whether their key is repeated.
    pub(crate) changed: Vec<(Option<String>, Key, String)>,
    /// What a comparison of every row found.
    pub(crate) findings: Option<Findings>,
}

/// Counts the target's rows and compares the sampled ones. `name` is the source's, for messages.
pub(crate) async fn compare(
    reader: &Reader,
    name: &CollectionName,
    expected: &Expected,
) -> Result<Outcome, ReadError> {
    let mut outcome = Outcome::default();
    for (part, rows) in &expected.counts {
        reader.stop_if_canceled()?;
        let of_target = reader.count(part).await?;
        outcome.counts_compared += 1;
        if part.range == Default::default() {
            outcome.target_rows += of_target;
        }
        let (code, difference) = if of_target < *rows {
            (Code::RowsMissing, rows - of_target)
        } else {
            (Code::RowsExtra, of_target - rows)
        };
        if difference > 0 {
            let problem = Problem::new(code).with("collection", name).with("rows", difference);
            outcome.problems.push(problem.told("where", place(part)));
        }
    }
    compare_rows(reader, name, expected, &mut outcome).await?;
    Ok(outcome)
}

async fn compare_rows(
    reader: &Reader,
    name: &CollectionName,
    expected: &Expected,
    outcome: &mut Outcome,
) -> Result<(), ReadError> {
    let mut missing = Vec::new();
    for (partition, rows) in &expected.rows {
        let keys: Vec<_> = rows.keys().cloned().collect();
        let found = reader.digests(partition.as_deref(), &keys).await?;
        for (key, row) in rows {
            outcome.rows_compared += 1;
            match found.get(key) {
                None => missing.push(key),
                Some(of_target) if of_target == row => {}
                Some(of_target) => {
                    let field = (0..row.len()).find(|&field| row.get(field) != of_target.get(field));
                    let field = field.and_then(|field| reader.columns.get(field));
                    if outcome.changed.len() < DOUBTED_KEYS_MAX {
                        let field = field.map_or_else(String::new, |field| field.name.clone());
                        outcome.changed.push((partition.clone(), key.clone(), field));
                    }
                }
            }
        }
    }
    if !missing.is_empty() {
        outcome.problems.push(
            Problem::new(Code::RowsMissing)
                .with("collection", name)
                .with("rows", missing.len())
                .told("where", Told::items(&missing).behind("sampled primary keys ", "抽样主键 ")),
        );
    }
    Ok(())
}

fn place(part: &Part) -> Told {
    let of_partition = part
        .partition
        .as_ref()
        .map(|name| Told::both(format!("partition `{name}`"), format!("Partition `{name}`")));
    let of_range = match (&part.range.after, &part.range.until) {
        (Some(after), Some(until)) => Some(Told::both(
            format!("primary keys after {after}, up to {until}"),
            format!("主键大于 {after}，不大于 {until}"),
        )),
        (Some(after), None) => {
            Some(Told::both(format!("primary keys after {after}"), format!("主键大于 {after}")))
        }
        (None, Some(until)) => {
            Some(Told::both(format!("primary keys up to {until}"), format!("主键不大于 {until}")))
        }
        (None, None) => None,
    };
    let places: Vec<_> = of_partition.into_iter().chain(of_range).collect();
    if places.is_empty() { Told::both("in total", "总计") } else { Told::phrase(&places, ", ", "，") }
}
