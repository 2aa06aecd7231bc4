//! Rows that stand in another partition than on the source.

use std::collections::BTreeMap;

use vecferry_milvus::Key;

use super::Pair;
use crate::read::ReadError;
use crate::report::{Findings, SwappedRow};
use crate::verify::keys_present;

impl Pair<'_> {
    /// Finds, for the missing rows that are named, whether they stand in another partition of the target. After a repair
    /// only what is named as extra can tell; else the servers are asked.
    pub(super) async fn find_swapped(&self, findings: &mut Findings, ask: bool) -> Result<(), ReadError> {
        if findings.missing.rows == 0 || findings.extra.rows == 0 || self.parts.len() < 2 {
            return Ok(());
        }
        let extra: BTreeMap<_, _> =
            findings.extra.first.iter().map(|row| (row.key.clone(), row.partition.clone())).collect();
        let mut swapped: BTreeMap<Key, Option<String>> = BTreeMap::new();
        for row in &findings.missing.first {
            if let Some(place) = extra.get(&row.key).filter(|place| **place != row.partition) {
                swapped.insert(row.key.clone(), place.clone());
            }
        }
        // Where all extra rows are named, all was said.
        let ask = ask && findings.extra.rows > findings.extra.first.len() as u64;
        for part in self.parts.iter().filter(|part| ask && part.in_target) {
            let rest = findings.missing.first.iter();
            let rest = rest.filter(|row| row.partition != part.partition && !swapped.contains_key(&row.key));
            let keys: Vec<_> = rest.map(|row| row.key.clone()).collect();
            let mut present = keys_present(&self.target, part.partition.as_deref(), &keys).await?;
            if part.in_source && !present.is_empty() {
                let keys: Vec<_> = present.iter().cloned().collect();
                let legal = keys_present(&self.source, part.partition.as_deref(), &keys).await?;
                present.retain(|key| !legal.contains(key));
            }
            swapped.extend(present.into_iter().map(|key| (key, part.partition.clone())));
        }
        findings.swapped.extend(findings.missing.first.iter().filter_map(|row| {
            Some(SwappedRow {
                target_partition: swapped.get(&row.key)?.clone().unwrap_or_default(),
                key: row.key.clone(),
                source_partition: row.partition.clone().unwrap_or_default(),
            })
        }));
        Ok(())
    }
}
