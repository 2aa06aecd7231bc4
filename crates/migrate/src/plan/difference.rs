//! Differences between two schemas, for people.

use vecferry_milvus::schema::Difference;

use crate::problem::Told;

/// Differences in one line for people.
pub(crate) fn show(differences: &[Difference]) -> Told {
    let shown = |text: &str, absent: &str| {
        if text.is_empty() { absent.to_owned() } else { format!("`{text}`") }
    };
    let one = |Difference { path, source, target }: &Difference| {
        Told::both(
            format!("{path}: {} became {}", shown(source, "absent"), shown(target, "absent")),
            format!("{path}：{} 变为 {}", shown(source, "无"), shown(target, "无")),
        )
    };
    Told::parts(&differences.iter().map(one).collect::<Vec<_>>())
}
