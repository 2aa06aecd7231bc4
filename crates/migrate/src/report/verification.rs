//! What a comparison of source and target found, and what a repair did about it.

use serde::{Deserialize, Serialize};
use vecferry_milvus::Key;

use crate::request::VerifyLevel;

/// Rows that are named; the others are counted.
const NAMED_ROWS_MAX: usize = 100;

/// A comparison of source and target.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verification {
    /// How thorough it was.
    pub level: VerifyLevel,
    /// Whether everything was equal.
    pub passed: bool,
    /// Rows the source counts, every copy of a repeated key among them.
    pub source_rows: u64,
    /// Rows the target counts.
    pub target_rows: u64,
    /// Partitions or key ranges whose counts were compared.
    pub counts_compared: u64,
    /// Rows compared bit for bit.
    pub rows_compared: u64,
    /// Rows of these that an earlier attempt of the job compared.
    #[serde(default)]
    pub rows_compared_before: u64,
    /// Rows of the source beyond one a key.
    pub duplicate_rows: u64,
    /// What a comparison of every row found; after a repair, what is left of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub findings: Option<Findings>,
    /// What was mended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub repair: Option<RepairReport>,
}

/// An empty comparison.
pub(crate) fn new_verification(level: VerifyLevel) -> Verification {
    Verification {
        level,
        passed: false,
        source_rows: 0,
        target_rows: 0,
        counts_compared: 0,
        rows_compared: 0,
        rows_compared_before: 0,
        duplicate_rows: 0,
        findings: None,
        repair: None,
    }
}

/// Rows that differ, found by a comparison of every row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// On the source only.
    pub missing: FoundRows,
    /// On the target only.
    pub extra: FoundRows,
    /// On both sides, with different values.
    pub changed: FoundRows,
    /// Differing too, but of a key that the source repeats: which of its rows a server answers is not fixed.
    pub repeated_keys: FoundRows,
    /// Rows of the target beyond one a key.
    pub repeated_on_target: FoundRows,
    /// Those of the missing rows named above that stand in another partition of the target, where they are extra.
    pub swapped: Vec<SwappedRow>,
}

impl Findings {
    /// Whether nothing differs that must not.
    pub fn is_empty(&self) -> bool {
        [&self.missing, &self.extra, &self.changed, &self.repeated_on_target]
            .iter()
            .all(|found| found.rows == 0)
    }

    pub(crate) fn add(&mut self, other: Self) {
        let Self { missing, extra, changed, repeated_keys, repeated_on_target, swapped } = other;
        for (found, more) in [
            (&mut self.missing, missing),
            (&mut self.extra, extra),
            (&mut self.changed, changed),
            (&mut self.repeated_keys, repeated_keys),
            (&mut self.repeated_on_target, repeated_on_target),
        ] {
            found.rows += more.rows;
            let room = NAMED_ROWS_MAX.saturating_sub(found.first.len());
            found.first.extend(more.first.into_iter().take(room));
        }
        self.swapped.extend(swapped);
    }
}

/// Some rows: their number, and the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundRows {
    /// How many.
    pub rows: u64,
    /// The first hundred.
    pub first: Vec<RowName>,
}

impl FoundRows {
    pub(crate) fn extend(&mut self, rows: impl ExactSizeIterator<Item = RowName>) {
        self.rows += rows.len() as u64;
        let room = NAMED_ROWS_MAX.saturating_sub(self.first.len());
        self.first.extend(rows.take(room));
    }
}

/// A row by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RowName {
    /// Its partition; absent where a partition key places the rows.
    pub partition: Option<String>,
    /// Its key, as text also where it is a number: not every reader of JSON keeps all digits.
    #[serde(serialize_with = "key_text", deserialize_with = "key_of_text")]
    pub key: Key,
    /// The fields that differ.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub fields: Vec<String>,
}

impl RowName {
    pub(crate) fn new(partition: Option<String>, key: &Key, fields: Vec<String>) -> Self {
        Self { partition, key: key.clone(), fields }
    }
}

impl RowName {
    /// The key with its partition, in English and Chinese.
    pub(crate) fn place(&self) -> (String, String) {
        let key = &self.key;
        match &self.partition {
            Some(partition) => {
                (format!("{key} in partition `{partition}`"), format!("{key}（Partition `{partition}`）"))
            }
            None => (key.to_string(), key.to_string()),
        }
    }
}

/// For people: `key 7 in partition `p``.
impl std::fmt::Display for RowName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "key {}", self.key)?;
        match &self.partition {
            Some(partition) => write!(f, " in partition `{partition}`"),
            None => Ok(()),
        }
    }
}

/// A row in another partition than on the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwappedRow {
    /// Its key, as text.
    #[serde(serialize_with = "key_text", deserialize_with = "key_of_text")]
    pub key: Key,
    /// Its partition on the source.
    pub source_partition: String,
    /// Its partition on the target.
    pub target_partition: String,
}

/// What a repair did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairReport {
    /// What was found before.
    pub found: Findings,
    /// Rows that were copied anew from the source.
    pub rows_written: u64,
    /// Rows that were removed from the target, because the source does not have them.
    pub rows_deleted: u64,
}

fn key_text<S: serde::Serializer>(key: &Key, serializer: S) -> Result<S::Ok, S::Error> {
    match key {
        Key::Int(value) => serializer.collect_str(value),
        Key::Text(text) => serializer.serialize_str(text),
    }
}

/// A key of a stored report, which is only shown again: a text of digits is taken for the number.
fn key_of_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(text.parse().map_or(Key::Text(text), Key::Int))
}
