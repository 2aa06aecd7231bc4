//! Digests of values, equal exactly if two servers hold the same value.

use xxhash_rust::xxh3::Xxh3;

use super::json_content::content;
use super::values::Value;

/// Digest of one value, or of one row.
pub type Digest = u128;

/// Bytes of a digest.
pub(super) const DIGEST_BYTES: usize = 16;

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
