//! What is not any more as it was when the plan was made, beside rows and indexes: as data, and as people are told of it.

use std::collections::BTreeSet;

use vecferry_milvus::Collection;
use vecferry_milvus::schema::{Difference, differences};

use super::{PlannedCollection, show};
use crate::problem::Told;

/// One change of a source collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SourceChange {
    /// No collection has its name.
    Dropped,
    /// Another collection has its name.
    Recreated,
    /// Its schema differs.
    Schema(Vec<Difference>),
    /// Its schema can't be compared, for a reason.
    SchemaUnknown(String),
    /// Its partitions differ.
    Partitions(Names),
    /// Its aliases differ.
    Aliases(Names),
    /// Its properties differ.
    Properties {
        /// Key and value of those that were set to a value.
        set: Vec<(String, String)>,
        /// Keys that have no value any more.
        unset: Vec<String>,
    },
    /// So many rows are in partitions that were added.
    RowsInNewPartitions(u64),
}

/// Names that came and went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// There now, and not planned.
    pub(crate) added: Vec<String>,
    /// Planned, and not there now.
    pub(crate) removed: Vec<String>,
}

impl Names {
    /// None where they are the same.
    fn between(then: &[String], now: &[String]) -> Option<Self> {
        let only = |one: &[String], other: &[String]| -> Vec<String> {
            one.iter().filter(|name| !other.contains(name)).cloned().collect()
        };
        let names = Self { added: only(now, then), removed: only(then, now) };
        (names != Self::default()).then_some(names)
    }

    fn told(&self, what: &str, what_zh: &str) -> Vec<Told> {
        let of = |names: &[String], verb: &str, verb_zh: &str| {
            let (en, zh) = (format!("{what} {verb}: "), format!("{verb_zh}{what_zh}："));
            (!names.is_empty()).then(|| Told::names(names).behind(&en, &zh))
        };
        [of(&self.added, "added", "新增"), of(&self.removed, "removed", "移除")]
            .into_iter()
            .flatten()
            .collect()
    }
}

impl SourceChange {
    /// Whether a job that copies in rounds goes on with the same collection, and does likewise on the target.
    pub(crate) fn can_be_followed(&self) -> bool {
        match self {
            Self::Dropped | Self::Recreated | Self::Schema(_) | Self::SchemaUnknown(_) => false,
            Self::Partitions(_)
            | Self::Aliases(_)
            | Self::Properties { .. }
            | Self::RowsInNewPartitions(_) => true,
        }
    }

    /// What people are told of it, one thing after the other.
    pub(crate) fn told(&self) -> Vec<Told> {
        let one = match self {
            Self::Dropped => Told::both("it was dropped", "已被删除"),
            Self::Recreated => Told::both("dropped and recreated on the source", "已在源集群上删除并重建"),
            Self::Schema(differing) => show(differing),
            Self::SchemaUnknown(reason) => reason.clone().into(),
            Self::Partitions(names) => return names.told("partitions", " Partition"),
            Self::Aliases(names) => return names.told("aliases", "别名"),
            Self::Properties { .. } => Told::both("properties changed", "属性已变化"),
            Self::RowsInNewPartitions(rows) => Told::both(
                format!("{rows} row(s) are in partitions that were added"),
                format!("新增的 Partition 中有 {rows} 行"),
            ),
        };
        vec![one]
    }

    /// What people are told of some changes, in their order.
    pub(crate) fn all_told(changes: &[Self]) -> Vec<Told> {
        changes.iter().flat_map(Self::told).collect()
    }
}

impl PlannedCollection {
    /// What is not any more as it was when the plan was made, beside rows and indexes: identity, schema, partitions,
    /// aliases, properties.
    pub(crate) fn changes_of_source(
        &self,
        now: &Collection,
        partitions: &[String],
        aliases: &[String],
    ) -> Vec<SourceChange> {
        let mut found = Vec::new();
        if self.described.id != now.id {
            found.push(SourceChange::Recreated);
        }
        match differences(&self.described.schema, &now.schema) {
            Ok(differing) if differing.is_empty() => {}
            Ok(differing) => found.push(SourceChange::Schema(differing)),
            Err(error) => found.push(SourceChange::SchemaUnknown(error.to_string())),
        }
        // Where a field's value places the rows, partitions are no part of a plan.
        let partitions = if self.has_partition_key() { &[] } else { partitions };
        found.extend(Names::between(&self.partitions, partitions).map(SourceChange::Partitions));
        found.extend(Names::between(&self.aliases, aliases).map(SourceChange::Aliases));
        found.extend(changed_properties(&self.described, now));
        found
    }
}

fn changed_properties(then: &Collection, now: &Collection) -> Option<SourceChange> {
    let of = |collection: &Collection| {
        let pairs = collection.properties.iter();
        pairs.map(|pair| (pair.key.clone(), pair.value.clone())).collect::<BTreeSet<_>>()
    };
    let (then, now) = (of(then), of(now));
    if then == now {
        return None;
    }
    let set = now.difference(&then).cloned().collect();
    let is_set = |key: &str| now.iter().any(|(of_now, _)| of_now == key);
    let unset: BTreeSet<_> = then.iter().map(|(key, _)| key).filter(|key| !is_set(key)).cloned().collect();
    Some(SourceChange::Properties { set, unset: unset.into_iter().collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Lang;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn names_that_came_and_went_are_told_one_after_the_other() {
        let between = Names::between(&names(&["a", "b", "c"]), &names(&["b", "d"])).unwrap();
        assert_eq!(between, Names { added: names(&["d"]), removed: names(&["a", "c"]) });
        assert_eq!(Names::between(&names(&["a", "b"]), &names(&["b", "a"])), None);
        let changes = [SourceChange::Recreated, SourceChange::Partitions(between.clone())];
        let told = SourceChange::all_told(&changes);
        let texts = |lang| told.iter().map(|told| told.text(lang).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            texts(Lang::En),
            ["dropped and recreated on the source", "partitions added: `d`", "partitions removed: `a`, `c`"]
        );
        assert_eq!(
            texts(Lang::Zh),
            ["已在源集群上删除并重建", "新增 Partition：`d`", "移除 Partition：`a`、`c`"]
        );
        let aliases = SourceChange::Aliases(Names { added: Vec::new(), ..between }).told();
        assert_eq!(aliases[0].text(Lang::En), "aliases removed: `a`, `c`");
        assert_eq!(aliases[0].text(Lang::Zh), "移除别名：`a`、`c`");
    }
}
