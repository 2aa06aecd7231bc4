//! What a JSON document holds, whatever way it is written.
//!
//! Documents come from servers, and are as deep as these allow: they are gone through without recursion, and once.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

use super::digest::{DIGEST_BYTES, Digest};

/// Containers within each other. Servers read no document that is deeper.
const LEVELS_MAX: usize = 10_000;

/// What a value is, besides its bytes.
const ARRAY: u64 = 1;
const OBJECT: u64 = 2;
const TEXT: u64 = 3;
const FRACTION: u64 = 4;
/// A word or an integer, by its text: a parsed number has lost digits.
const VERBATIM: u64 = 5;

/// The digest of a document's content; `None` of what is no JSON that a server would read.
pub(super) fn content(text: &[u8]) -> Option<Digest> {
    // It is well-formed, which what follows relies on; this goes through it without recursion, too.
    let json: &RawValue = serde_json::from_slice(text).ok()?;
    let mut rest = json.get();
    let mut open: Vec<Container<'_>> = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\n', '\r']);
        let token = match rest.as_bytes().first()? {
            b'{' | b'[' | b'}' | b']' | b',' | b':' => &rest[..1],
            b'"' => text_token(rest)?,
            _ => rest.split([',', ']', '}', ' ', '\t', '\n', '\r']).next()?,
        };
        rest = &rest[token.len()..];
        let value = match token {
            "," | ":" => continue,
            "{" | "[" if open.len() == LEVELS_MAX => return None,
            "{" => {
                open.push(Container::Object { name: None, members: BTreeMap::new() });
                continue;
            }
            "[" => {
                open.push(Container::Array { items: 0 });
                continue;
            }
            "}" | "]" => open.pop()?.digest(),
            _ if token.starts_with('"') => {
                let text = unquoted(token)?;
                match open.last_mut() {
                    Some(Container::Object { name: name @ None, members: _ }) => {
                        *name = Some(text);
                        continue;
                    }
                    Some(_) | None => xxh3_128_with_seed(text.as_bytes(), TEXT),
                }
            }
            _ => number_or_word(token),
        };
        match open.last_mut() {
            Some(container) => container.take(value)?,
            None => return Some(value),
        }
    }
}

/// A container whose end has not come yet.
enum Container<'a> {
    /// The digest of what came.
    Array { items: Digest },
    /// The name of the next value; the last value of a name counts.
    Object { name: Option<Cow<'a, str>>, members: BTreeMap<Cow<'a, str>, Digest> },
}

impl Container<'_> {
    fn take(&mut self, value: Digest) -> Option<()> {
        match self {
            Self::Array { items } => *items = folded(*items, ARRAY, value),
            Self::Object { name, members } => drop(members.insert(name.take()?, value)),
        }
        Some(())
    }

    fn digest(self) -> Digest {
        match self {
            Self::Array { items } => xxh3_128_with_seed(&items.to_le_bytes(), ARRAY),
            Self::Object { name: _, members } => {
                let members = members.iter();
                let all = members.fold(0, |all, (name, value)| folded(all, xxh3_64(name.as_bytes()), *value));
                xxh3_128_with_seed(&all.to_le_bytes(), OBJECT)
            }
        }
    }
}

/// The digest of some values with one more.
fn folded(all: Digest, seed: u64, value: Digest) -> Digest {
    let mut bytes = [0; 2 * DIGEST_BYTES];
    bytes[..DIGEST_BYTES].copy_from_slice(&all.to_le_bytes());
    bytes[DIGEST_BYTES..].copy_from_slice(&value.to_le_bytes());
    xxh3_128_with_seed(&bytes, seed)
}

/// The text with which this begins, with its quotes.
fn text_token(json: &str) -> Option<&str> {
    let mut is_escaped = false;
    let end = json.bytes().skip(1).position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    })?;
    json.get(..end + 2)
}

fn unquoted(token: &str) -> Option<Cow<'_, str>> {
    if token.contains('\\') {
        return serde_json::from_str(token).map(Cow::Owned).ok();
    }
    token.strip_prefix('"')?.strip_suffix('"').map(Cow::Borrowed)
}

/// Fractions count by value.
fn number_or_word(token: &str) -> Digest {
    match token.parse::<f64>() {
        Ok(fraction) if token.contains(['.', 'e', 'E']) => {
            xxh3_128_with_seed(&fraction.to_bits().to_le_bytes(), FRACTION)
        }
        Ok(_) | Err(_) => xxh3_128_with_seed(token.as_bytes(), VERBATIM),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// `inner` within so many arrays and objects, each with something behind it.
    fn nested(levels: usize, [array, array_end, object, object_end]: [&str; 4], inner: &str) -> String {
        let open: String = (0..levels).map(|level| if level % 2 == 0 { array } else { object }).collect();
        let ends = (0..levels).rev().map(|level| if level % 2 == 0 { array_end } else { object_end });
        open + inner + &ends.collect::<String>()
    }

    const DENSE: [&str; 4] = ["[", ",1]", r#"{"a":"#, r#","b":2}"#];
    const LOOSE: [&str; 4] = ["[ ", " , 1\n]", r#"{ "\u0061" :"#, r#" , "b":2 }"#];

    #[test]
    fn the_deepest_document_is_compared_by_content_on_a_small_stack() {
        let compared = std::thread::Builder::new().stack_size(128 << 10).spawn(|| {
            for levels in [1, 64, 65, 128, 1000, LEVELS_MAX] {
                let content = |form, inner| content(nested(levels, form, inner).as_bytes()).unwrap();
                assert_eq!(content(DENSE, r#""x""#), content(LOOSE, r#""\u0078""#), "{levels}");
                assert_ne!(content(DENSE, "1"), content(DENSE, "2"), "{levels}");
            }
            assert_eq!(content(nested(LEVELS_MAX + 1, DENSE, "1").as_bytes()), None);
            assert_eq!(content(nested(200_000, DENSE, "1").as_bytes()), None);
        });
        compared.unwrap().join().unwrap();
    }

    #[test]
    fn what_is_no_json_has_no_content() {
        for text in ["", " ", "{", "[1", "[1,]", "{1:2}", "nul", "1 2", "\"", "\"\\ud800\"", "]", "\"\\\""] {
            assert_eq!(content(text.as_bytes()), None, "{text}");
        }
        assert_eq!(content(b"\"\xff\""), None);
    }

    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-2..3_i64).prop_map(Value::from),
            (-2..3_i32).prop_map(|half| Value::from(f64::from(half) / 2.0)),
            "[ab\"\\\\ {}\\[\\],:\n渡]{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[ab\"\\\\:,渡]{0,2}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn documents_are_equal_exactly_if_their_values_are(one in document(), other in document()) {
            let of = |text: String| content(text.as_bytes()).unwrap();
            let (mine, theirs) = (of(one.to_string()), of(other.to_string()));
            prop_assert_eq!(mine == theirs, one == other);
            prop_assert_eq!(of(serde_json::to_string_pretty(&one).unwrap()), mine);
        }
    }
}
