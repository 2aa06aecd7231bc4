//! Every row, both sides loaded at once, and the repair of what differs.

use vecferry_milvus::schema;

use super::load::{not_readable, while_loaded};
use super::{Answer, Sides, count_both};
use crate::cluster::flush::flush;
use crate::cluster::inventory::Found;
use crate::job::finding::Finding;
use crate::job::{differences, every_row};
use crate::problem::{Code, Problem, Side, Told};
use crate::read::ReadError;
use crate::verify::Outcome;

/// Compares every row, both sides loaded at once, and mends what differs if that is wanted.
pub(super) async fn compare_every_row(
    sides: &Sides<'_>,
    of_source: &Found,
    of_target: &Found,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) -> Result<Answer, ReadError> {
    let name = &of_source.described.name;
    let hindrance = hindrance(sides, of_source, of_target)?;
    let repair = sides.repair.is_wanted() && hindrance.is_none();
    let compared = while_loaded(sides, Side::Source, of_source, async |source| {
        while_loaded(sides, Side::Target, of_target, async |mut target| {
            target.columns.clone_from(&source.columns);
            let mut pair = every_row::Pair {
                name,
                source,
                target,
                parts: every_row::parts_of(&every_row::parts(of_source), &every_row::parts(of_target)),
                set_aside: std::collections::BTreeSet::new(),
                observer: sides.observer,
                memory: None,
                cuts: None,
            };
            let mut finding = Finding::new(name);
            let compared = if repair {
                let compared = pair.compare_and_repair(&mut finding, &|_, _| true).await?;
                if compared.repair.is_some() {
                    let flushed =
                        flush(sides.target, Side::Target, &of_target.described.name, sides.cancel).await;
                    flushed.map_err(|error| ReadError::Repair(Box::new(error.into())))?;
                }
                compared
            } else {
                pair.compare(&mut finding, None).await?.0
            };
            let duplicates = finding.surplus.duplicates;
            let counted = count_both(of_source, of_target, &pair.source, &pair.target).await?;
            finding.conclude_comparison(counted.0.sum(), problems, warnings);
            differences::of_every_row(name, &compared, problems, warnings);
            if let Some(hindrance) =
                hindrance.filter(|_| sides.repair.is_wanted() && !compared.findings.is_empty())
            {
                let problem = Problem::new(Code::NotRepairable).with("collection", name);
                problems.push(problem.told("detail", hindrance));
            }
            Ok((compared, counted, duplicates))
        })
        .await
    })
    .await?;
    let Some((compared, (source, target), duplicates)) = compared.flatten() else {
        return Err(not_readable(name).into());
    };
    let outcome = Outcome {
        problems: Vec::new(),
        target_rows: compared.target_rows,
        counts_compared: compared.counts_compared,
        rows_compared: compared.rows_compared,
        rows_compared_before: 0,
        changed: Vec::new(),
        findings: Some(compared.findings),
    };
    Ok(Answer { source, target, outcome, duplicates, repair: compared.repair })
}

/// Why the target can't be repaired; none if it can.
fn hindrance(sides: &Sides<'_>, of_source: &Found, of_target: &Found) -> Result<Option<Told>, ReadError> {
    Ok(if !schema::differences(&of_source.described.schema, &of_target.described.schema)?.is_empty() {
        Some(Told::both("the definitions on source and target differ", "源集群和目标集群的定义不一致"))
    } else if of_target.described.schema.is_auto_id() {
        // A server would give the copied row another key, and the row would be there twice.
        Some(Told::both(
            "the target generates the IDs of this collection (auto ID)",
            "该 Collection 的 ID 由目标集群自动生成（AutoID）",
        ))
    } else if sides.repair.is_wanted()
        && !sides.repair.contains(sides.target.endpoint(), &of_target.described.name, of_target.described.id)
    {
        let told = Told::both(
            "it was not created by a job recorded here (choose others with --state-dir or --store; --repair-foreign repairs any collection)",
            "它不是由此处记录的任务创建（可用 --state-dir 或 --store 指定其他位置；--repair-foreign 可修复任意 Collection）",
        );
        Some(told.or_in_service("it was not created by a job of this service", "它不是由本服务的任务创建"))
    } else {
        None
    })
}
