//! The expressions that select rows: comparisons of the key field, lists of keys, `and`, `or`.

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
    pub(super) fn parse(text: &str, key_field: &str, key_is_text: bool) -> Result<Self, Refusal> {
        if text.trim().is_empty() {
            return Ok(Self::Everything);
        }
        let cannot = |why: String| Refusal::invalid(format!("cannot parse expression: {text}, error: {why}"));
        let mut parser = Parser { rest: text, key_field, key_is_text };
        let parsed = parser.either().map_err(cannot)?;
        if parser.rest.trim().is_empty() {
            return Ok(parsed);
        }
        Err(cannot(format!("unexpected `{}`", parser.rest.trim())))
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
        // The sign is an operator of its own, so that the literal i64::MIN is one too large (2.3.5).
        let number: i64 = digits[..length].parse().map_err(|error| format!("`{rest}`: {error}"))?;
        self.rest = &self.rest[self.rest.len() - digits.len() + length..];
        Ok(Key::Long(if negative { -number } else { number }))
    }

    fn text(&mut self, quoted: &str) -> Result<Key, String> {
        let mut text = String::new();
        let mut characters = quoted.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = &self.rest[self.rest.len() - quoted.len() + at + 1..];
                    return Ok(Key::Text(text));
                }
                '\n' | '\r' => return Err("a text over several lines".to_owned()),
                '\\' => match characters.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 'r')) => text.push('\r'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, other @ ('"' | '\\' | '\''))) => text.push(other),
                    other => return Err(format!("unknown escape {other:?}")),
                },
                other => text.push(other),
            }
        }
        Err("a text without end".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(text: &str, keys: &[i64]) -> Result<Vec<i64>, Refusal> {
        let parsed = Expression::parse(text, "id", false)?;
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
        let parsed = Expression::parse(r#"name in ["a\"b\\c\nd", "🚢"]"#, "name", true).unwrap();
        assert!(parsed.selects(&Key::Text("a\"b\\c\nd".into())) && parsed.selects(&Key::Text("🚢".into())));
        assert!(!parsed.selects(&Key::Text("a".into())));
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
