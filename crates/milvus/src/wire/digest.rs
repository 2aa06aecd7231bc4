//! Digests of values, equal exactly if two servers hold the same value.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use xxhash_rust::xxh3::Xxh3;

use super::values::Value;

/// Digest of one value, or of one row.
pub type Digest = u128;

/// The digest of a value. Numbers, texts and vectors count by their bits. JSON counts by its content, because servers
/// write it anew: members in any order, fractions by value, and integers by their text, however long.
pub fn digest(value: &Value) -> Digest {
    let mut hasher = Xxh3::new();
    match value {
        Value::Null => hasher.update(&[0]),
        Value::Bits(bits) => {
            hasher.update(&[1]);
            hasher.update(bits);
        }
        Value::Json(text) => {
            hasher.update(&[2]);
            match content(text) {
                Some(content) => hasher.update(&content.to_le_bytes()),
                // What is no JSON is compared as it is.
                None => hasher.update(text),
            }
        }
    }
    hasher.digest128()
}

/// The digest of a document's content; `None` of what is no JSON.
pub(super) fn content(text: &[u8]) -> Option<Digest> {
    let mut hasher = Xxh3::new();
    let json: &RawValue = serde_json::from_slice(text).ok()?;
    feed(json.get(), &mut hasher).ok()?;
    Some(hasher.digest128())
}
/// Feeds a document's content. Values are taken from the text itself, because a parsed number has lost digits.
fn feed(json: &str, hasher: &mut Xxh3) -> Result<(), serde_json::Error> {
    let mut sized = |tag: u8, bytes: &[u8]| {
        hasher.update(&[tag]);
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    match json.as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(json)?;
            sized(b'o', &(members.len() as u64).to_le_bytes());
            for (name, value) in members {
                hasher.update(&(name.len() as u64).to_le_bytes());
                hasher.update(name.as_bytes());
                feed(value.get(), hasher)?;
            }
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(json)?;
            sized(b'a', &(items.len() as u64).to_le_bytes());
            for item in items {
                feed(item.get(), hasher)?;
            }
        }
        Some(b'"') => sized(b's', serde_json::from_str::<String>(json)?.as_bytes()),
        _ => match json.parse::<f64>() {
            Ok(fraction) if json.contains(['.', 'e', 'E']) => sized(b'f', &fraction.to_bits().to_le_bytes()),
            _ => sized(b'v', json.as_bytes()),
        },
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Digest {
        digest(&Value::Json(text.as_bytes().to_vec()))
    }

    #[test]
    fn json_is_compared_by_content() {
        for (one, other) in [
            (r#"{"a":1,"b":[1,2.50]}"#, r#"{ "b" : [1, 2.5], "a": 1 }"#),
            ("1e2", "100.0"),
            ("12345678901234567890123", "12345678901234567890123"),
            (r#""\u6e21""#, r#""渡""#),
        ] {
            assert_eq!(json(one), json(other), "{one} {other}");
        }
        for (one, other) in [
            (r#"{"a":1}"#, r#"{"a":2}"#),
            ("1", "1.0"),
            ("9007199254740993", "9007199254740992"),
            ("12345678901234567890123", "12345678901234567890124"),
            ("[1,2]", "[2,1]"),
            (r#"["ab"]"#, r#"["a","b"]"#),
            ("null", "{}"),
        ] {
            assert_ne!(json(one), json(other), "{one} {other}");
        }
    }

    #[test]
    fn bits_null_and_empty_differ() {
        let all = [Value::Null, Value::Bits(vec![]), Value::Bits(vec![0]), Value::Json(b"null".to_vec())];
        let digests: std::collections::BTreeSet<_> = all.iter().map(digest).collect();
        assert_eq!(digests.len(), all.len());
    }
}
