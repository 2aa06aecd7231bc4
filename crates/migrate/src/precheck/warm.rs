//! What a job needs that copies while its source may change, beside what every job needs.

use vecferry_milvus::{Client, Flavor};
use vecferry_policy::{Feature, support};

use super::features::lacking;
use crate::cluster::connect::product;
use crate::plan::{Keys, PlannedCollection};
use crate::problem::{Code, Problem, Told};

/// The first release that upserts.
const UPSERTS_SINCE: (u32, u32) = (2, 3);

/// Everything that stands in the way of a warm copy of some collections.
pub(crate) fn of_warm_copy(target: &Client, collections: &[PlannedCollection]) -> Vec<Problem> {
    let regenerated = collections.iter().filter(|planned| planned.keys == Keys::Regenerated);
    let mut problems: Vec<_> = regenerated
        .map(|planned| Problem::new(Code::WarmAutoId).with("collection", &planned.source))
        .collect();
    problems.extend(unsupported(target).map(|detail| {
        Problem::new(Code::WarmUnsupported).with("version", target.version()).told("detail", detail)
    }));
    problems
}

/// Why a target can't be brought up to date later. Rows that changed are written by upsert, and each attempt writes under an
/// alias of its own, so that a write of a dead one never lands on rows that were compared.
fn unsupported(target: &Client) -> Option<Told> {
    let ((major, minor), version) = (UPSERTS_SINCE, target.version());
    if version.flavor == Flavor::Milvus && !version.at_least(major, minor) {
        let en = format!("upserts are supported since {major}.{minor}");
        return Some(Told::both(en, format!("upsert 从 {major}.{minor} 开始支持")));
    }
    let (why, why_zh) = lacking(support(product(target), Feature::Alias))?;
    Some(Told::both(format!("aliases: {why}"), format!("别名：{why_zh}")))
}
