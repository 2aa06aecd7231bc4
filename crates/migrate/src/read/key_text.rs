//! Keys as the store keeps them: texts that a person can read and that come back as the same key.

use vecferry_milvus::{Key, KeyRange};

use crate::problem::{Told, Worded, zh};

/// A text of the store that stands for no key.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` in the job record is not a primary key")]
pub(crate) struct NoKey(pub(crate) String);

impl Worded for NoKey {
    fn words(&self) -> Told {
        zh(self, format!("任务记录中的 `{}` 不是主键", self.0))
    }
}

/// A key as a text: its kind, then its value.
pub(crate) fn key_text(key: &Key) -> String {
    match key {
        Key::Int(value) => format!("i{value}"),
        Key::Text(text) => format!("t{text}"),
    }
}

/// A key from its text.
pub(crate) fn key_of(text: &str) -> Result<Key, NoKey> {
    let no_key = || NoKey(text.to_owned());
    match text.split_at_checked(1).ok_or_else(no_key)? {
        ("i", number) => number.parse().map(Key::Int).map_err(|_| no_key()),
        ("t", rest) => Ok(Key::Text(rest.to_owned())),
        _ => Err(no_key()),
    }
}

/// A range from the texts of its bounds.
pub(crate) fn range_of(after: Option<&str>, until: Option<&str>) -> Result<KeyRange, NoKey> {
    Ok(KeyRange { after: after.map(key_of).transpose()?, until: until.map(key_of).transpose()? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_come_back_as_they_were(number: i64, text: String) {
            for key in [Key::Int(number), Key::Text(text)] {
                prop_assert_eq!(key_of(&key_text(&key)).unwrap(), key);
            }
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "x1", "i", "iabc", "数"] {
            assert_eq!(
                key_of(text).unwrap_err().to_string(),
                format!("`{text}` in the job record is not a primary key")
            );
        }
    }
}
