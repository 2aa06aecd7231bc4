//! Counts by partition, and random rows: the source first, then the target.

use vecferry_milvus::RowSelection;

use super::load::while_loaded;
use super::{Answer, Sides, named_partitions};
use crate::cluster::inventory::Found;
use crate::job::every_row;
use crate::job::finding::Finding;
use crate::problem::{Code, Problem, Side, Told};
use crate::read::{KeySample, Part, ReadError, sample_rows, scan_keys};
use crate::report::CountedRows;
use crate::request::VerifyLevel;
use crate::verify::{Expected, Outcome, compare, expect};

/// Compares counts, and the rows of a sample if that is wanted. One side is loaded after the other.
pub(super) async fn compare_sample(
    sides: &Sides<'_>,
    of_source: &Found,
    of_target: &Found,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) -> Result<Answer, ReadError> {
    let name = &of_source.described.name;
    let expected = while_loaded(sides, Side::Source, of_source, async |reader| {
        let mut finding = Finding::new(name);
        let mut expected = Expected::default();
        let parts: Vec<_> = every_row::parts(of_source);
        let size = if sides.level == VerifyLevel::Sample {
            sample_rows(of_source.rows_estimate, parts.len())
        } else {
            0
        };
        for part in parts {
            let counted = reader.count_where(part, RowSelection::Everything).await?;
            let (rows, sample) = scan_keys(&reader, part, KeySample::new(size, sides.seed)).await?;
            finding.explain(&reader, part, rows, counted).await?;
            let gone = expect(&reader, &mut expected, part, rows, 0, counted, sample.into_keys()).await?;
            finding.gone(gone as u64);
        }
        let duplicates = finding.surplus.duplicates;
        let counted = reader.count_all(&every_row::partitions(of_source)).await?;
        finding.conclude_comparison(counted.sum(), problems, warnings);
        Ok((expected, counted, duplicates))
    })
    .await?;
    // A source without an index holds nothing, and the target must not either.
    let nothing = || Expected { counts: vec![(Part::default(), 0)], ..Expected::default() };
    let (expected, source, duplicates) = expected.unwrap_or_else(|| (nothing(), CountedRows::default(), 0));
    let outcome = while_loaded(sides, Side::Target, of_target, async |mut reader| {
        reader.columns = of_source.described.schema.columns();
        // A partition that the target lacks was told of with the definitions, and cannot be asked for.
        let there = every_row::partitions(of_target);
        let mut expected = expected.clone();
        let missing = expected.leave_out(|partition| there.is_empty() || there.contains(partition));
        let mut outcome = compare(&reader, name, &expected).await?;
        if missing > 0 {
            let problem = Problem::new(Code::RowsMissing).with("collection", name).with("rows", missing);
            let place =
                Told::both("in partitions that the target does not have", "位于目标集群没有的 Partition");
            outcome.problems.push(problem.told("where", place));
        }
        Ok((outcome, reader.count_all(&named_partitions(of_source, of_target)).await?))
    })
    .await?;
    let (outcome, target) = match outcome {
        Some(compared) => compared,
        None => {
            let mut outcome = Outcome { counts_compared: 1, ..Outcome::default() };
            if expected.source_rows > 0 {
                let problem = Problem::new(Code::RowsMissing).with("collection", name);
                let problem = problem.with("rows", expected.source_rows);
                outcome.problems.push(problem.told("where", Told::both("in total", "总计")));
            }
            (outcome, CountedRows::default())
        }
    };
    Ok(Answer { source, target, outcome, duplicates, repair: None })
}
