//! Collections that repeat a primary key, refused before anything is written.

use tokio_util::sync::CancellationToken;
use vecferry_milvus::{Client, CollectionName, RowSelection};

use super::finding::duplicate_problem;
use crate::plan::Plan;
use crate::problem::{Code, Problem, Side, words_of};
use crate::read::{KeySample, ReadError, Reader, reader, scan_keys};
use crate::request::Duplicates;
use crate::verify::{Surplus, diagnose};

/// Refuses, before anything is written, loaded collections that repeat a key.
pub(super) async fn refuse_duplicates(source: &Client, plan: &Plan) -> Result<(), Vec<Problem>> {
    let mut problems = Vec::new();
    let cancel = CancellationToken::new();
    for (_, planned) in plan.here().filter(|(_, planned)| planned.answers()) {
        let reader = reader(Side::Source, source, &planned.described, &planned.described, &cancel);
        match find_duplicates(&reader, &planned.source, &planned.parts()).await {
            Ok(found) => problems.extend(found),
            Err(error) => {
                let problem = Problem::new(Code::CheckFailed).with("side", "source");
                return Err(vec![problem.told("detail", words_of(&error))]);
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// The refusal of a collection that repeats a key; none if it does not.
pub(super) async fn find_duplicates(
    reader: &Reader,
    name: &CollectionName,
    parts: &[Option<String>],
) -> Result<Option<Problem>, ReadError> {
    let reader = reader.clone().fresh().await?;
    let mut surplus = Surplus::default();
    for part in parts {
        let part = part.as_deref();
        let counted = reader.count_where(part, RowSelection::Everything).await?;
        let (rows, _) = scan_keys(&reader, part, KeySample::new(0, 0)).await?;
        if counted > rows {
            let found = diagnose(&reader, part).await?;
            surplus.duplicates += found.duplicates;
            surplus.keys.extend(found.keys);
        }
    }
    Ok((surplus.duplicates > 0).then(|| duplicate_problem(name, &surplus, Duplicates::Fail)))
}
