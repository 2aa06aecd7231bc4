//! Why a source counts more rows than its queries return: repeated keys, or rows that no query returns.

use vecferry_milvus::{Key, KeyRange};

use crate::problem::Told;
use crate::read::{Part, ReadError, Reader};

/// Repeated keys that are named.
const NAMED_KEYS_MAX: usize = 100;

/// Rows that are counted beyond those that are returned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Surplus {
    /// Rows that repeat a key.
    pub(crate) duplicates: u64,
    /// The first of these keys.
    pub(crate) keys: Vec<Key>,
    /// Rows that are counted and returned by no query.
    pub(crate) unreadable: u64,
    /// Where these are, for people.
    pub(crate) unreadable_at: Vec<Told>,
}

/// Finds the surplus of a partition by counting range by range, and halving the ranges that hold more rows than keys.
pub(crate) async fn diagnose(reader: &Reader, partition: Option<&str>) -> Result<Surplus, ReadError> {
    let mut surplus = Surplus::default();
    let mut range = KeyRange::default();
    loop {
        let keys = reader.keys(partition, &range).await?;
        let Some(last) = keys.last().cloned() else { break };
        halve(reader, partition, range.after.clone(), &keys, &mut surplus).await?;
        range.after = Some(last);
        reader.stop_if_canceled()?;
    }
    // Behind the last key that is returned there should be nothing.
    let behind =
        reader.count(&Part { partition: partition.map(str::to_owned), range: range.clone() }).await?;
    if behind > 0 {
        surplus.unreadable += behind;
        surplus.unreadable_at.push(match &range.after {
            Some(key) => Told::both(
                format!("{behind} with a primary key greater than {key}"),
                format!("{behind} 行的主键大于 {key}"),
            ),
            None => Told::both(
                format!("{behind} where no row is returned"),
                format!("{behind} 行所在部分不返回任何行"),
            ),
        });
    }
    Ok(surplus)
}

/// Halves runs of keys (all returned by a query) until each key with surplus rows stands alone.
async fn halve(
    reader: &Reader,
    partition: Option<&str>,
    after: Option<Key>,
    keys: &[Key],
    surplus: &mut Surplus,
) -> Result<(), ReadError> {
    let mut runs = vec![(after, keys)];
    while let Some((after, keys)) = runs.pop() {
        let range = KeyRange { after: after.clone(), until: keys.last().cloned() };
        let part = Part { partition: partition.map(str::to_owned), range };
        let extra = reader.count(&part).await?.saturating_sub(keys.len() as u64);
        if extra == 0 {
            continue;
        }
        match keys {
            [key] => {
                let only = reader.key_field.any_of(std::slice::from_ref(key));
                let copies = reader.count_where(partition, only).await?.saturating_sub(1).min(extra);
                if copies > 0 {
                    surplus.duplicates += copies;
                    surplus.keys.push(key.clone());
                }
                if extra > copies {
                    let before = extra - copies;
                    surplus.unreadable += before;
                    surplus.unreadable_at.push(Told::both(
                        format!("{before} just before primary key {key}"),
                        format!("{before} 行紧邻主键 {key} 之前"),
                    ));
                }
            }
            // Enough keys are named; the rest is only counted.
            _ if surplus.keys.len() >= NAMED_KEYS_MAX => surplus.duplicates += extra,
            _ => {
                let (low, high) = keys.split_at(keys.len() / 2);
                runs.push((low.last().cloned(), high));
                runs.push((after, low));
            }
        }
    }
    Ok(())
}
