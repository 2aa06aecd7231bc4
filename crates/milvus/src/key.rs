//! Primary keys, and the expressions that select ranges of them.

use std::fmt;

/// A primary key. Order is the server's: numbers by value, texts by their bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A key of type Int64.
    Int(i64),
    /// A key of type VarChar.
    Text(String),
}

impl Key {
    /// The key as a literal of the server's expression language.
    ///
    /// `i64::MIN` has no literal that 2.3.5 parses; [`KeyRange`] avoids it.
    pub fn literal(&self) -> String {
        match self {
            Self::Int(value) => value.to_string(),
            Self::Text(text) => quote(text),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => write!(f, "{value}"),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// A text as a string literal. Only the quote, the backslash and the characters that end a line are escaped: the
/// servers' grammar takes every other character as it is.
pub fn quote(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('"');
    for character in text.chars() {
        match character {
            '"' => literal.push_str("\\\""),
            '\\' => literal.push_str("\\\\"),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            other => literal.push(other),
        }
    }
    literal.push('"');
    literal
}

/// The keys `after < key <= until`; an absent bound is open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRange {
    /// The range starts behind this key.
    pub after: Option<Key>,
    /// The range ends with this key.
    pub until: Option<Key>,
}

impl KeyRange {
    /// The range as an expression over the key field; empty for all keys, so that no literal bound (`i64::MIN`, the
    /// empty text) can lose the first row.
    pub fn expression(&self, key_field: &str) -> String {
        let after = self.after.as_ref().map(|key| match key {
            // `key > i64::MIN` is `key >= i64::MIN + 1`, which has a literal.
            Key::Int(i64::MIN) => format!("{key_field} >= {}", i64::MIN + 1),
            Key::Int(_) | Key::Text(_) => format!("{key_field} > {}", key.literal()),
        });
        let until = self.until.as_ref().map(|key| match key {
            Key::Int(i64::MIN) => format!("{key_field} < {}", i64::MIN + 1),
            Key::Int(_) | Key::Text(_) => format!("{key_field} <= {}", key.literal()),
        });
        match (after, until) {
            (None, None) => String::new(),
            (Some(bound), None) | (None, Some(bound)) => bound,
            (Some(after), Some(until)) => format!("{after} and {until}"),
        }
    }
}

/// An expression that every row fulfils, for servers that treat the empty one differently.
pub fn every_row(key_field: &str, is_text: bool) -> String {
    if is_text { format!("{key_field} >= \"\"") } else { format!("{key_field} >= 0 or {key_field} < 0") }
}

/// An expression that selects exactly the rows of some keys of one kind.
pub fn any_of(key_field: &str, keys: &[Key]) -> String {
    // 2.3.5 cannot parse the literal i64::MIN, also not inside a list.
    let (lowest, others): (Vec<_>, Vec<_>) = keys.iter().partition(|key| **key == Key::Int(i64::MIN));
    let list = others.iter().map(|key| key.literal()).collect::<Vec<_>>().join(", ");
    let listed = format!("{key_field} in [{list}]");
    let lowest_only = format!("{key_field} < {}", i64::MIN + 1);
    match (lowest.is_empty(), others.is_empty()) {
        (true, _) => listed,
        (false, true) => lowest_only,
        (false, false) => format!("{listed} or {lowest_only}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_escape_what_would_end_them() {
        assert_eq!(quote("a\"b\\c\nd\r"), r#""a\"b\\c\nd\r""#);
        assert_eq!(quote("🚢 渡"), "\"🚢 渡\"");
        assert_eq!(Key::Text(String::new()).literal(), "\"\"");
    }

    #[test]
    fn ranges_never_write_the_literal_that_does_not_parse() {
        let min = Some(Key::Int(i64::MIN));
        let all = KeyRange::default();
        assert_eq!(all.expression("id"), "");
        let after = KeyRange { after: min.clone(), until: None };
        assert_eq!(after.expression("id"), "id >= -9223372036854775807");
        let until = KeyRange { after: None, until: min };
        assert_eq!(until.expression("id"), "id < -9223372036854775807");
        assert_eq!(
            any_of("id", &[Key::Int(i64::MIN), Key::Int(3)]),
            "id in [3] or id < -9223372036854775807"
        );
    }

    #[test]
    fn order_is_by_value_and_by_bytes() {
        assert!(Key::Int(-2) < Key::Int(1));
        assert!(Key::Text("Z".into()) < Key::Text("a".into()));
        assert!(Key::Text("".into()) < Key::Text("\u{1}".into()));
    }
}
