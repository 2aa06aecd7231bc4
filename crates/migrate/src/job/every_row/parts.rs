//! The parts of a collection: its partitions where these can be named in queries, and else everything.

use std::collections::BTreeMap;

use crate::cluster::inventory::Found;

/// A partition, and on which sides there is one; or everything where partitions can't be named.
#[derive(Clone, Debug)]
pub(in crate::job) struct PartOf {
    pub(super) partition: Option<String>,
    pub(super) in_source: bool,
    pub(super) in_target: bool,
}

/// The partitions of both sides.
pub(in crate::job) fn parts_of(of_source: &[Option<&str>], of_target: &[Option<&str>]) -> Vec<PartOf> {
    let mut parts: BTreeMap<Option<&str>, (bool, bool)> = BTreeMap::new();
    of_source.iter().for_each(|part| parts.entry(*part).or_default().0 = true);
    of_target.iter().for_each(|part| parts.entry(*part).or_default().1 = true);
    // Where one side knows no partitions, everything is one part.
    if parts.contains_key(&None) {
        return vec![PartOf { partition: None, in_source: true, in_target: true }];
    }
    let part = |(partition, (in_source, in_target)): (Option<&str>, (bool, bool))| PartOf {
        partition: partition.map(str::to_owned),
        in_source,
        in_target,
    };
    parts.into_iter().map(part).collect()
}

/// The partitions of a collection that can be named in queries.
pub(in crate::job) fn partitions(found: &Found) -> Vec<String> {
    parts(found).into_iter().flatten().map(str::to_owned).collect()
}

/// The parts of a collection: its partitions where these can be named.
pub(in crate::job) fn parts(found: &Found) -> Vec<Option<&str>> {
    if found.described.schema.has_partition_key() || found.partitions.is_empty() {
        return vec![None];
    }
    found.partitions.iter().map(|(name, _)| Some(name.as_str())).collect()
}
