//! All rows without their keys, where the servers generate these and those of the target are others.

use vecferry_milvus::schema::differences;

use super::load::{is_readable, while_loaded};
use super::{Answer, Sides, count_both};
use crate::cluster::inventory::Found;
use crate::job::{every_row, without_keys};
use crate::problem::Side;
use crate::read::ReadError;
use crate::request::VerifyLevel;
use crate::verify::Outcome;

/// Whether the servers make the keys, so that those of the target may be others. A repair says for itself that it can't be.
fn makes_keys(sides: &Sides<'_>, of_source: &Found, of_target: &Found) -> Result<bool, ReadError> {
    let (source, target) = (&of_source.described.schema, &of_target.described.schema);
    let reads_rows = matches!(sides.level, VerifyLevel::Sample | VerifyLevel::Full);
    let is_made = source.is_auto_id() && target.is_auto_id() && differences(source, target)?.is_empty();
    Ok(reads_rows && is_made && is_readable(sides, of_source, of_target) && !sides.repair.is_wanted())
}

/// Compares all rows without their keys, where the servers make these and those of the target are others.
pub(super) async fn compare_without_keys(
    sides: &Sides<'_>,
    of_source: &Found,
    of_target: &Found,
) -> Result<Option<Answer>, ReadError> {
    if !makes_keys(sides, of_source, of_target)? {
        return Ok(None);
    }
    let compared = Box::pin(while_loaded(sides, Side::Source, of_source, async |source| {
        Box::pin(while_loaded(sides, Side::Target, of_target, async |mut target| {
            target.columns.clone_from(&source.columns);
            let pair = without_keys::Pair {
                name: &of_source.described.name,
                source: &source,
                target: &target,
                parts: every_row::parts(of_source).into_iter().map(|part| part.map(str::to_owned)).collect(),
                set_aside: without_keys::SetAside::new(),
                rows_total: of_source.rows_estimate,
                observer: sides.observer,
            };
            if !pair.keys_differ().await? {
                return Ok(None);
            }
            let compared = pair.compare().await?;
            Ok(Some((compared, count_both(of_source, of_target, &source, &target).await?)))
        }))
        .await
    }))
    .await?;
    let Some((compared, (source, target))) = compared.flatten().flatten() else { return Ok(None) };
    let outcome = Outcome {
        target_rows: target.whole,
        counts_compared: 1,
        rows_compared: compared.source_rows,
        problems: compared.problem.into_iter().collect(),
        ..Outcome::default()
    };
    Ok(Some(Answer { source, target, outcome, duplicates: 0, repair: None }))
}
