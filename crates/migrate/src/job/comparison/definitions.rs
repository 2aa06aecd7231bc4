//! Schema, partitions, aliases, time-to-live and metric types of both sides.

use vecferry_milvus::Flavor;
use vecferry_milvus::schema::differences;

use super::Sides;
use crate::cluster::inventory::Found;
use crate::job::every_row;
use crate::plan::properties::PROPERTY_TTL;
use crate::plan::show;
use crate::problem::{Code, Problem, Told};
use crate::read::ReadError;
use crate::target::flat_params;

/// What differs in the definitions.
pub(super) fn compare_definitions(
    sides: &Sides<'_>,
    of_source: &Found,
    of_target: &Found,
) -> Result<Option<Problem>, ReadError> {
    let differing = differences(&of_source.described.schema, &of_target.described.schema)?;
    let mut detail: Vec<Told> = Vec::new();
    if !differing.is_empty() {
        detail.push(show(&differing));
    }
    detail.extend(partition_differences(of_source, of_target));
    // A milvus-lite 2.5 has neither; the plan of a migration names it.
    if sides.target.version().flavor != Flavor::LiteNative {
        let missing: Vec<_> =
            of_source.aliases.iter().filter(|alias| !of_target.aliases.contains(alias)).collect();
        if !missing.is_empty() {
            detail.push(Told::names(&missing).behind("missing aliases: ", "缺少别名："));
        }
        let (before, after) = (ttl(of_source), ttl(of_target));
        if before != after {
            let text = |colon: &str, became: &str, none: &str| {
                let (before, after) = (before.unwrap_or(none), after.unwrap_or(none));
                format!("properties[{PROPERTY_TTL}]{colon}{before} {became} {after}")
            };
            detail.push(Told::both(text(": ", "became", "none"), text("：", "变为", "无")));
        }
    }
    detail.extend(metric_differences(of_source, of_target));
    let problem = Problem::new(Code::SchemaChanged).with("collection", &of_source.described.name);
    Ok((!detail.is_empty()).then(|| problem.told("detail", Told::parts(&detail))))
}

/// Partitions that the target lacks. One that only it has differs by its rows, if there are any.
fn partition_differences(of_source: &Found, of_target: &Found) -> Option<Told> {
    let (source, target) = (every_row::partitions(of_source), every_row::partitions(of_target));
    let missing: Vec<_> = source.iter().filter(|name| !target.contains(name)).collect();
    (!missing.is_empty() && !target.is_empty())
        .then(|| Told::names(&missing).behind("missing partitions: ", "缺少 Partition："))
}

/// How long rows live; none where they do not end.
fn ttl(found: &Found) -> Option<&str> {
    let ttl = found.described.properties.iter().find(|property| property.key == PROPERTY_TTL)?;
    Some(&*ttl.value).filter(|seconds| seconds.parse::<i64>().is_ok_and(|seconds| seconds > 0))
}

/// Distances are those of the source: with another metric type a search answers other rows.
fn metric_differences(of_source: &Found, of_target: &Found) -> Vec<Told> {
    let metric = |found: &Found, field: &str| {
        let index = found.indexes.iter().find(|index| index.field == field)?;
        let params = flat_params(index.params.iter().map(|param| (&*param.key, &*param.value)));
        Some(params.get("metric_type").cloned().unwrap_or_default())
    };
    let vectors = of_source.described.schema.vector_fields().into_iter().map(|field| field.name);
    let one = |field: String| match (metric(of_source, &field), metric(of_target, &field)) {
        (Some(_), None) => Some(Told::both(format!("no index on `{field}`"), format!("`{field}` 没有索引"))),
        (Some(before), Some(after)) if before != after => Some(Told::both(
            format!("metric type of `{field}`: {before} on the source, {after} on the target"),
            format!("`{field}` 的度量类型：源集群 {before}，目标集群 {after}"),
        )),
        (Some(_), Some(_)) | (None, _) => None,
    };
    vectors.filter_map(one).collect()
}
