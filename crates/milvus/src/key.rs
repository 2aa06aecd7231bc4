//! Primary keys, and the expressions that select ranges of them.

use std::fmt;

use crate::query::RowSelection;
use crate::version::Flavor;
use crate::wire::pick::Picked;

/// A primary key. Order is the server's: numbers by value, texts by their bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A key of type Int64.
    Int(i64),
    /// A key of type VarChar.
    Text(String),
}

impl Key {
    /// The key as a literal of a server's expression language.
    ///
    /// `i64::MIN` has no literal that 2.3.5 parses; [`KeyRange`] avoids it.
    pub fn literal(&self, flavor: Flavor) -> String {
        match self {
            Self::Int(value) => value.to_string(),
            Self::Text(text) => quote(text, flavor),
        }
    }
}

/// The key field of a collection on one server, for expressions about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyField {
    name: String,
    flavor: Flavor,
    can_be_named: bool,
}

impl KeyField {
    /// The field of that name on a server of that product.
    pub fn new(name: impl Into<String>, flavor: Flavor) -> Self {
        Self { name: name.into(), flavor, can_be_named: true }
    }

    /// The same, of a name that may be a word of the server's expression language.
    #[must_use]
    pub fn that_can_be_named(self, can_be_named: bool) -> Self {
        Self { can_be_named, ..self }
    }

    /// Whether an expression can name it.
    pub fn can_be_named(&self) -> bool {
        self.can_be_named
    }

    /// The rows of a range.
    pub fn range(&self, range: &KeyRange) -> RowSelection {
        // Without bounds there is nothing to name.
        if *range == KeyRange::default() {
            RowSelection::Everything
        } else if self.can_be_named {
            RowSelection::Where(range.expression(self))
        } else {
            self.picked(Picked::Range(range.clone()))
        }
    }

    /// The rows of some keys of one kind.
    pub fn any_of(&self, keys: &[Key]) -> RowSelection {
        if self.can_be_named {
            RowSelection::Where(any_of(self, keys))
        } else {
            self.picked(Picked::AnyOf(keys.to_vec()))
        }
    }

    /// All rows, for servers that treat [`RowSelection::Everything`] differently.
    pub fn every_row(&self, is_text: bool) -> RowSelection {
        if self.can_be_named {
            RowSelection::Where(every_row(self, is_text))
        } else {
            self.picked(Picked::Range(KeyRange::default()))
        }
    }

    /// An expression that selects the rows of some keys, if there is one: for what takes nothing else.
    pub fn expression_of(&self, keys: &[Key]) -> Option<String> {
        self.can_be_named.then(|| any_of(self, keys))
    }

    fn picked(&self, picked: Picked) -> RowSelection {
        RowSelection::Picked { key_field: self.name.clone(), picked }
    }
}

/// Its name.
impl std::ops::Deref for KeyField {
    type Target = str;

    fn deref(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for KeyField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
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

/// A text as a string literal that the server reads as exactly this text. No form is read by all products.
pub fn quote(text: &str, flavor: Flavor) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('"');
    match flavor {
        Flavor::Milvus => text.chars().for_each(|character| escape_for_milvus(character, &mut literal)),
        Flavor::LitePython => text.chars().for_each(|character| match character {
            '"' => literal.push_str("\\\""),
            '\\' => literal.push_str("\\\\"),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            // It knows no other escapes, and takes every other character as it is.
            other => literal.push(other),
        }),
        Flavor::LiteNative => escape_for_native_lite(text, &mut literal),
    }
    literal.push('"');
    literal
}

/// From 2.5 on, servers rewrite each Han character of an expression as `\u` and four digits before they read it, which
/// makes another character of one beyond U+FFFF. `\U` with eight digits is read by all of them, and by those before.
fn escape_for_milvus(character: char, literal: &mut String) {
    let escaped = match character {
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        control if control.is_ascii_control() => format!("\\x{:02x}", u32::from(control)),
        ascii if ascii.is_ascii() => ascii.to_string(),
        other => format!("\\U{:08X}", u32::from(other)),
    };
    literal.push_str(&escaped);
}

/// To this engine a backslash means the character behind it, whatever it is: `\n` is the letter n. A line feed behind one
/// is a line feed. A carriage return is only taken before a line feed; alone it has no form, and the server refuses the
/// expression.
fn escape_for_native_lite(text: &str, literal: &mut String) {
    let mut before = '\0';
    for (at, character) in text.char_indices() {
        let begins_line_end = text[at..].starts_with("\r\n");
        let ends_line = character == '\n' && before != '\r';
        if matches!(character, '"' | '\\') || begins_line_end || ends_line {
            literal.push('\\');
        }
        literal.push(character);
        before = character;
    }
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
    pub fn expression(&self, key_field: &KeyField) -> String {
        let flavor = key_field.flavor;
        let after = self.after.as_ref().map(|key| match key {
            // `key > i64::MIN` is `key >= i64::MIN + 1`, which has a literal.
            Key::Int(i64::MIN) => format!("{key_field} >= {}", i64::MIN + 1),
            Key::Int(_) | Key::Text(_) => format!("{key_field} > {}", key.literal(flavor)),
        });
        let until = self.until.as_ref().map(|key| match key {
            Key::Int(i64::MIN) => format!("{key_field} < {}", i64::MIN + 1),
            Key::Int(_) | Key::Text(_) => format!("{key_field} <= {}", key.literal(flavor)),
        });
        match (after, until) {
            (None, None) => String::new(),
            (Some(bound), None) | (None, Some(bound)) => bound,
            (Some(after), Some(until)) => format!("{after} and {until}"),
        }
    }
}

/// An expression that every row fulfils, for servers that treat the empty one differently.
fn every_row(key_field: &KeyField, is_text: bool) -> String {
    if is_text { format!("{key_field} >= \"\"") } else { format!("{key_field} >= 0 or {key_field} < 0") }
}

/// An expression that selects exactly the rows of some keys of one kind.
fn any_of(key_field: &KeyField, keys: &[Key]) -> String {
    // 2.3.5 cannot parse the literal i64::MIN, also not inside a list.
    let (lowest, others): (Vec<_>, Vec<_>) = keys.iter().partition(|key| **key == Key::Int(i64::MIN));
    let list = others.iter().map(|key| key.literal(key_field.flavor)).collect::<Vec<_>>().join(", ");
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
    fn literals_are_written_as_the_product_reads_them() {
        for (text, milvus, python, native) in [
            ("", r#""""#, r#""""#, r#""""#),
            ("a'b %", r#""a'b %""#, r#""a'b %""#, r#""a'b %""#),
            (r#"a"b\c"#, r#""a\"b\\c""#, r#""a\"b\\c""#, r#""a\"b\\c""#),
            ("\n\r\t", r#""\n\r\x09""#, "\"\\n\\r\t\"", "\"\\\n\r\t\""),
            ("a\r\n\n", r#""a\r\n\n""#, r#""a\r\n\n""#, "\"a\\\r\n\\\n\""),
            ("\0b\u{7f}", r#""\x00b\x7f""#, "\"\0b\u{7f}\"", "\"\0b\u{7f}\""),
            ("渡𠮷é🚢", r#""\U00006E21\U00020BB7\U000000E9\U0001F6A2""#, "\"渡𠮷é🚢\"", "\"渡𠮷é🚢\""),
        ] {
            assert_eq!(quote(text, Flavor::Milvus), milvus);
            assert_eq!(quote(text, Flavor::LitePython), python);
            assert_eq!(quote(text, Flavor::LiteNative), native);
        }
    }

    #[test]
    fn ranges_never_write_the_literal_that_does_not_parse() {
        let min = Some(Key::Int(i64::MIN));
        let id = &KeyField::new("id", Flavor::Milvus);
        let all = KeyRange::default();
        assert_eq!(all.expression(id), "");
        let after = KeyRange { after: min.clone(), until: None };
        assert_eq!(after.expression(id), "id >= -9223372036854775807");
        let until = KeyRange { after: None, until: min };
        assert_eq!(until.expression(id), "id < -9223372036854775807");
        assert_eq!(any_of(id, &[Key::Int(i64::MIN), Key::Int(3)]), "id in [3] or id < -9223372036854775807");
    }

    #[test]
    fn order_is_by_value_and_by_bytes() {
        assert!(Key::Int(-2) < Key::Int(1));
        assert!(Key::Text("Z".into()) < Key::Text("a".into()));
        assert!(Key::Text("".into()) < Key::Text("\u{1}".into()));
    }
}
