//! Differences from the source as people are told of them. Plans and reports keep the English words.

use std::borrow::Cow;

use super::Change;
use crate::problem::{Lang, Told};

/// Before the name of a field.
const INDEX_ON: &str = "index on ";
/// Before the name of a property.
const PROPERTY: &str = "property ";
/// Descriptions of collections and fields.
pub(crate) const DESCRIPTIONS: &str = "descriptions";
/// IDs that the servers generate.
pub(crate) const AUTO_IDS: &str = "auto-generated IDs";

/// Words on either side of a difference.
pub(crate) mod side {
    /// What was there before.
    pub(crate) const KEPT: &str = "kept";
    /// What Milvus Lite 2 drops.
    pub(crate) const NOT_KEPT_BY_LITE_2: &str = "not kept by Milvus Lite 2";
    /// What Milvus Lite 3 drops.
    pub(crate) const NOT_KEPT_BY_LITE_3: &str = "not kept by Milvus Lite 3";
    /// The IDs of the source.
    pub(crate) const IDS_OF_SOURCE: &str = "source's IDs";
    /// The IDs of the target.
    pub(crate) const IDS_NEW: &str = "new IDs";
    /// No index.
    pub(crate) const NONE: &str = "none";
}

/// What differs in the index of a field.
pub(crate) fn index_on(field: &str) -> String {
    format!("{INDEX_ON}{field}")
}

/// What differs in a property.
pub(crate) fn property(key: &str) -> String {
    format!("{PROPERTY}{key}")
}

impl Change {
    /// What differs, what is on the source and what on the target, in a language.
    pub fn texts(&self, lang: Lang) -> [Cow<'_, str>; 3] {
        match lang {
            Lang::En => [&self.what, &self.source, &self.target].map(|text| Cow::Borrowed(text.as_str())),
            Lang::Zh => [what_zh(&self.what), side_zh(&self.source), side_zh(&self.target)],
        }
    }

    /// What the source has, and where.
    pub(crate) fn on_source(&self) -> Told {
        let [what, source, _] = self.texts(Lang::Zh);
        Told::both(format!("{} ({})", self.source, self.what), format!("{source}（{what}）"))
    }
}

fn what_zh(what: &str) -> Cow<'_, str> {
    if let Some(field) = what.strip_prefix(INDEX_ON) {
        format!("{field} 上的索引").into()
    } else if let Some(key) = what.strip_prefix(PROPERTY) {
        format!("属性 {key}").into()
    } else {
        match what {
            DESCRIPTIONS => "描述",
            AUTO_IDS => "自动生成的 ID",
            name => name,
        }
        .into()
    }
}

fn side_zh(text: &str) -> Cow<'_, str> {
    match text {
        side::KEPT => "保留",
        side::NOT_KEPT_BY_LITE_2 => "Milvus Lite 2 不保留",
        side::NOT_KEPT_BY_LITE_3 => "Milvus Lite 3 不保留",
        side::IDS_OF_SOURCE => "源集群的 ID",
        side::IDS_NEW => "新的 ID",
        side::NONE => "无",
        value => value,
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_said_in_both_languages() {
        let change = |what: &str, source: &str, target: &str| Change {
            what: what.to_owned(),
            source: source.to_owned(),
            target: target.to_owned(),
        };
        for (change, zh) in [
            (change(&index_on("vector"), "HNSW", "AUTOINDEX"), ["vector 上的索引", "HNSW", "AUTOINDEX"]),
            (
                change(&index_on("vector"), side::NONE, "AUTOINDEX, L2"),
                ["vector 上的索引", "无", "AUTOINDEX, L2"],
            ),
            (
                change(&property("mmap.enabled"), "true", side::NOT_KEPT_BY_LITE_2),
                ["属性 mmap.enabled", "true", "Milvus Lite 2 不保留"],
            ),
            (
                change(DESCRIPTIONS, side::KEPT, side::NOT_KEPT_BY_LITE_3),
                ["描述", "保留", "Milvus Lite 3 不保留"],
            ),
            (
                change(AUTO_IDS, side::IDS_OF_SOURCE, side::IDS_NEW),
                ["自动生成的 ID", "源集群的 ID", "新的 ID"],
            ),
            (change("shards_num", "4", "2"), ["shards_num", "4", "2"]),
        ] {
            assert_eq!(change.texts(Lang::Zh), zh);
            assert_eq!(change.texts(Lang::En), [&*change.what, &*change.source, &*change.target]);
        }
        let told = change(&index_on("vector"), "HNSW", "AUTOINDEX").on_source();
        assert_eq!(told.text(Lang::En), "HNSW (index on vector)");
        assert_eq!(told.text(Lang::Zh), "HNSW（vector 上的索引）");
    }
}
