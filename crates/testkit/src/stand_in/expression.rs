//! The expressions that select rows: comparisons of the key field, lists of keys, `and`, `or`.
//!
//! Before anything else the whole expression is rewritten as Milvus does since 2.5: each Han character becomes `\u` and the
//! last four digits of its number, so that one beyond U+FFFF becomes another character. An escape that this step does not
//! know leaves the expression as it is.

use super::Version;
use super::catalog::Table;
use super::status::Refusal;
use super::value::Key;

/// A condition on a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expression {
    /// Every row.
    Everything,
    Compare(Comparison, Key),
    AnyOf(Vec<Key>),
    Both(Box<Expression>, Box<Expression>),
    Either(Box<Expression>, Box<Expression>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
}

impl Expression {
    /// Reads an expression over a key field.
    pub(super) fn parse(text: &str, table: &Table, version: Version) -> Result<Self, Refusal> {
        Self::read(text, &table.key_field().name, Key::is_text(table), version)
    }

    fn read(text: &str, key_field: &str, key_is_text: bool, version: Version) -> Result<Self, Refusal> {
        if text.trim().is_empty() {
            return Ok(Self::Everything);
        }
        // 2.3.5 was seen to read it as it is.
        let rewritten = if version < Version::V2_4 { text.to_owned() } else { rewritten(text) };
        let reads_lowest = version >= Version::V2_6;
        let cannot = |why: String| {
            let reason = format!("cannot parse expression: {text}, error: {why}");
            if version < Version::V2_4 { Refusal::other(reason) } else { Refusal::invalid(reason) }
        };
        // The lexer takes it for a word of the language, wherever it stands.
        if super::status::KEYWORDS.contains(&key_field) {
            return Err(cannot(format!("line 1:0 mismatched input '{key_field}'")));
        }
        let mut parser = Parser { rest: &rewritten, key_field, key_is_text, reads_lowest };
        let parsed = parser.either().map_err(cannot)?;
        if parser.rest.trim().is_empty() {
            return Ok(parsed);
        }
        Err(cannot(format!("unexpected `{}`", parser.rest.trim())))
    }

    /// How many keys it names, if it does nothing else.
    pub(super) fn keys(&self) -> Option<usize> {
        match self {
            Self::AnyOf(keys) => Some(keys.len()),
            Self::Compare(Comparison::Equal, _) => Some(1),
            Self::Everything | Self::Compare(..) | Self::Both(..) | Self::Either(..) => None,
        }
    }

    /// Whether a key is selected.
    pub(super) fn selects(&self, key: &Key) -> bool {
        match self {
            Self::Everything => true,
            Self::Compare(comparison, bound) => match comparison {
                Comparison::Less => key < bound,
                Comparison::LessOrEqual => key <= bound,
                Comparison::Greater => key > bound,
                Comparison::GreaterOrEqual => key >= bound,
                Comparison::Equal => key == bound,
            },
            Self::AnyOf(keys) => keys.contains(key),
            Self::Both(one, other) => one.selects(key) && other.selects(key),
            Self::Either(one, other) => one.selects(key) || other.selects(key),
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
    key_field: &'a str,
    key_is_text: bool,
    /// Whether the lowest number can be written down.
    reads_lowest: bool,
}

impl Parser<'_> {
    fn take(&mut self, token: &str) -> bool {
        let rest = self.rest.trim_start();
        let Some(rest) = rest.strip_prefix(token) else { return false };
        let is_word = token.ends_with(|last: char| last.is_ascii_alphanumeric());
        if is_word && rest.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_') {
            return false;
        }
        self.rest = rest;
        true
    }

    fn either(&mut self) -> Result<Expression, String> {
        let mut left = self.both()?;
        while self.take("or") {
            left = Expression::Either(Box::new(left), Box::new(self.both()?));
        }
        Ok(left)
    }

    fn both(&mut self) -> Result<Expression, String> {
        let mut left = self.condition()?;
        while self.take("and") {
            left = Expression::Both(Box::new(left), Box::new(self.condition()?));
        }
        Ok(left)
    }

    fn condition(&mut self) -> Result<Expression, String> {
        if self.take("(") {
            let inner = self.either()?;
            return if self.take(")") { Ok(inner) } else { Err("missing `)`".to_owned()) };
        }
        if !self.take(self.key_field) {
            return Err(format!("field not exist: `{}`", self.rest.trim()));
        }
        if self.take("in") {
            return self.list();
        }
        // The longer ones first.
        let comparison = [
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("==", Comparison::Equal),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ]
        .into_iter()
        .find(|(token, _)| self.take(token))
        .ok_or_else(|| format!("no comparison: `{}`", self.rest.trim()))?;
        Ok(Expression::Compare(comparison.1, self.literal()?))
    }

    fn list(&mut self) -> Result<Expression, String> {
        if !self.take("[") {
            return Err("a list is missing".to_owned());
        }
        let mut keys = Vec::new();
        while !self.take("]") {
            if !keys.is_empty() && !self.take(",") {
                return Err("`,` or `]` is missing".to_owned());
            }
            keys.push(self.literal()?);
        }
        Ok(Expression::AnyOf(keys))
    }

    fn literal(&mut self) -> Result<Key, String> {
        let rest = self.rest.trim_start();
        let key =
            if let Some(quoted) = rest.strip_prefix('"') { self.text(quoted)? } else { self.number(rest)? };
        if matches!(key, Key::Text(_)) == self.key_is_text {
            Ok(key)
        } else {
            Err("comparisons between the types of field and literal are not supported".to_owned())
        }
    }

    fn number(&mut self, rest: &str) -> Result<Key, String> {
        let (negative, digits) = rest.strip_prefix('-').map_or((false, rest), |digits| (true, digits));
        let length = digits.bytes().take_while(u8::is_ascii_digit).count();
        let lowest = i64::MIN.unsigned_abs().to_string();
        if self.reads_lowest && negative && digits[..length] == lowest {
            self.rest = &self.rest[self.rest.len() - digits.len() + length..];
            return Ok(Key::Long(i64::MIN));
        }
        // The sign is an operator of its own, so that the literal i64::MIN is one too large (up to 2.5.10).
        let number: i64 = digits[..length].parse().map_err(|error| format!("`{rest}`: {error}"))?;
        self.rest = &self.rest[self.rest.len() - digits.len() + length..];
        Ok(Key::Long(if negative { -number } else { number }))
    }

    fn text(&mut self, quoted: &str) -> Result<Key, String> {
        let mut text = Vec::new();
        let mut characters = quoted.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = &self.rest[self.rest.len() - quoted.len() + at + 1..];
                    return String::from_utf8(text).map(Key::Text).map_err(|error| error.to_string());
                }
                '\n' | '\r' => return Err("a text over several lines".to_owned()),
                '\\' => escaped(&mut characters, &mut text)?,
                other => text.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        Err("a text without end".to_owned())
    }
}

/// What stands behind a backslash, as Go reads it.
fn escaped(characters: &mut std::str::CharIndices<'_>, text: &mut Vec<u8>) -> Result<(), String> {
    let kind = characters.next().map(|(_, kind)| kind);
    let mut number = |digits: usize, radix: u32, first: &str| -> Result<u32, String> {
        let mut taken = first.to_owned();
        taken.extend(characters.by_ref().take(digits).map(|(_, digit)| digit));
        let is_whole =
            taken.len() == digits + first.len() && taken.chars().all(|digit| digit.is_digit(radix));
        let number = u32::from_str_radix(&taken, radix).ok().filter(|_| is_whole);
        number.ok_or_else(|| format!("not a number of {digits} digits: `{taken}`"))
    };
    let byte = |number: u32| u8::try_from(number).map_err(|error| error.to_string());
    let simple = match kind {
        Some('n') => b'\n',
        Some('r') => b'\r',
        Some('t') => b'\t',
        Some('a') => 7,
        Some('b') => 8,
        Some('v') => 11,
        Some('f') => 12,
        Some('"') => b'"',
        Some('\\') => b'\\',
        Some('x') => byte(number(2, 16, "")?)?,
        Some(first @ '0'..='7') => byte(number(2, 8, &first.to_string())?)?,
        Some(long @ ('u' | 'U')) => {
            let number = number(if long == 'u' { 4 } else { 8 }, 16, "")?;
            let character = char::from_u32(number).ok_or_else(|| format!("no character: {number:x}"))?;
            text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(());
        }
        other => return Err(format!("unknown escape {other:?}")),
    };
    text.push(simple);
    Ok(())
}

/// Characters of the script Han.
const HAN: [std::ops::RangeInclusive<u32>; 21] = [
    0x2E80..=0x2E99,
    0x2E9B..=0x2EF3,
    0x2F00..=0x2FD5,
    0x3005..=0x3005,
    0x3007..=0x3007,
    0x3021..=0x3029,
    0x3038..=0x303B,
    0x3400..=0x4DBF,
    0x4E00..=0x9FFF,
    0xF900..=0xFA6D,
    0xFA70..=0xFAD9,
    0x16FE2..=0x16FE3,
    0x16FF0..=0x16FF1,
    0x20000..=0x2A6DF,
    0x2A700..=0x2B739,
    0x2B740..=0x2B81D,
    0x2B820..=0x2CEA1,
    0x2CEB0..=0x2EBE0,
    0x2F800..=0x2FA1D,
    0x30000..=0x3134A,
    0x31350..=0x323AF,
];

/// The expression that a server really parses.
fn rewritten(text: &str) -> String {
    let mut rewritten = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\\' {
            if characters.peek().is_some_and(|next| !"\\ntrf\"'".contains(*next)) {
                return text.to_owned();
            }
            rewritten.push(character);
            rewritten.extend(characters.next());
        } else if HAN.iter().any(|range| range.contains(&u32::from(character))) {
            rewritten.push_str(&format!("\\u{:04x}", u32::from(character) & 0xFFFF));
        } else {
            rewritten.push(character);
        }
    }
    rewritten
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(text: &str, keys: &[i64]) -> Result<Vec<i64>, Refusal> {
        let parsed = Expression::read(text, "id", false, Version::V2_5)?;
        Ok(keys.iter().copied().filter(|key| parsed.selects(&Key::Long(*key))).collect())
    }

    #[test]
    fn ranges_and_lists_select_their_keys() {
        let keys = [-5, 0, 1, 7, i64::MIN, i64::MAX];
        for (text, expected) in [
            ("", &keys[..]),
            ("id > -5 and id <= 1", &[0, 1]),
            ("id in [1, 9, -5]", &[-5, 1]),
            ("id in [7] or id < -9223372036854775807", &[7, i64::MIN]),
            ("id >= 0 or id < 0", &keys[..]),
            ("(id == 7)", &[7]),
        ] {
            assert_eq!(selected(text, &keys).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn texts_are_unescaped() {
        let parsed =
            Expression::read(r#"name in ["a\"b\\c\nd", "🚢"]"#, "name", true, Version::V2_5).unwrap();
        assert!(parsed.selects(&Key::Text("a\"b\\c\nd".into())) && parsed.selects(&Key::Text("🚢".into())));
        assert!(!parsed.selects(&Key::Text("a".into())));
    }

    #[test]
    fn a_han_character_beyond_the_basic_plane_becomes_another_unless_it_is_escaped_whole() {
        let selects = |expression: &str, key: &str| {
            Expression::read(expression, "id", true, Version::V2_5).unwrap().selects(&Key::Text(key.into()))
        };
        // As 2.5.10 and 2.6.18 answered.
        assert!(!selects("id == \"𠮷\"", "𠮷") && selects("id == \"𠮷\"", "\u{0BB7}"));
        assert!(selects(r#"id == "\U00020BB7""#, "𠮷") && selects(r#"id == "\xF0\xA0\xAE\xB7""#, "𠮷"));
        assert!(selects("id == \"渡\"", "渡") && selects("id == \"é📚\"", "é📚"));
        assert!(selects(r#"id == "a\x00b""#, "a\0b") && selects(r#"id == "\177""#, "\u{7f}"));
        // An escape that the rewriting does not know keeps it from rewriting anything.
        assert!(selects(r#"id == "\x41𠮷""#, "A𠮷") && !selects(r#"id == "\t𠮷""#, "\t𠮷"));
        for broken in
            [r#"id == "\xF0""#, r#"id == "\q""#, r#"id == "\U0000D800""#, r#"id == "\x4""#, r#"id == "\'""#]
        {
            assert!(Expression::read(broken, "id", true, Version::V2_5).is_err(), "{broken}");
        }
    }

    #[test]
    fn what_servers_do_not_parse_is_refused() {
        for text in [
            "id > -9223372036854775808",
            "id > \"a\"",
            "ids > 1",
            "id ~ 1",
            "id > 1 and",
            "id in [1",
            "id > 1 id",
            "other == 1",
        ] {
            assert_eq!(selected(text, &[1]).unwrap_err().code, 1100, "{text}");
        }
    }
}
