//! Differences between two schemas, for people.

use vecferry_milvus::schema::Difference;

use crate::problem::Told;

/// Differences in one line for people.
pub(crate) fn show(differences: &[Difference]) -> Told {
    let absent = |text: &str| if text.is_empty() { "absent".to_owned() } else { format!("`{text}`") };
    let one = |difference: &Difference| {
        format!("{}: {} became {}", difference.path, absent(&difference.source), absent(&difference.target))
    };
    Told::items(&differences.iter().map(one).collect::<Vec<_>>())
}
