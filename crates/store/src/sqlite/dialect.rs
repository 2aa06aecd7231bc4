//! What SQLite writes differently in the tables of records: the names of types and of the order of texts, and `STRICT`,
//! without which a column takes values of any type.

/// A piece of SQL that is taken over or replaced as a whole.
enum Token<'sql> {
    /// A keyword, a name or a number.
    Word(&'sql str),
    /// Space, comments, literals, and names in quotation marks.
    Opaque(&'sql str),
    Mark(char),
}

/// A step of a schema, as SQLite understands it.
pub(super) fn translated(sql: &str) -> String {
    let mut translation = Translation::default();
    let mut rest = sql;
    while let Some((token, behind)) = next(rest) {
        translation.take(&token);
        rest = behind;
    }
    translation.end_statement();
    translation.sql
}

fn next(sql: &str) -> Option<(Token<'_>, &str)> {
    let first = sql.chars().next()?;
    let split = |length: usize| sql.split_at_checked(length).unwrap_or((sql, ""));
    let opaque = |length: Option<usize>| {
        let (token, rest) = split(length.unwrap_or(sql.len()));
        Some((Token::Opaque(token), rest))
    };
    if sql.starts_with("--") {
        return opaque(sql.find('\n'));
    }
    if sql.starts_with("/*") {
        return opaque(sql.find("*/").map(|end| end + 2));
    }
    if first == '\'' || first == '"' {
        // A doubled quotation mark ends one and begins another one, which comes to the same.
        return opaque(sql.get(1..).and_then(|inner| inner.find(first)).map(|end| end + 2));
    }
    if first.is_whitespace() {
        return opaque(sql.find(|other: char| !other.is_whitespace()));
    }
    if is_of_word(first) {
        let (word, rest) = split(sql.find(|other| !is_of_word(other)).unwrap_or(sql.len()));
        return Some((Token::Word(word), rest));
    }
    Some((Token::Mark(first), split(first.len_utf8()).1))
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// What was translated so far.
#[derive(Default)]
struct Translation {
    sql: String,
    /// The first words of the statement, as far as they tell what it is.
    verbs: Vec<String>,
    /// Parentheses that are open, and whether some were closed: a statement that makes a table ends behind its own.
    depth: usize,
    has_columns: bool,
    is_collation: bool,
}

impl Translation {
    fn take(&mut self, token: &Token<'_>) {
        match *token {
            Token::Word(word) => self.word(word),
            Token::Opaque(text) if self.is_collation && text == "\"C\"" => {
                self.sql.push_str("BINARY");
                self.is_collation = false;
            }
            Token::Opaque(text) => self.sql.push_str(text),
            Token::Mark(mark) => self.mark(mark),
        }
    }

    fn word(&mut self, word: &str) {
        let upper = word.to_ascii_uppercase();
        self.sql.push_str(match upper.as_str() {
            "BIGINT" => "INT",
            "BYTEA" => "BLOB",
            _ => word,
        });
        self.is_collation = upper == "COLLATE";
        if self.verbs.len() < 2 {
            self.verbs.push(upper);
        }
    }

    fn mark(&mut self, mark: char) {
        match mark {
            '(' => self.depth += 1,
            ')' => {
                self.depth = self.depth.saturating_sub(1);
                self.has_columns |= self.depth == 0;
            }
            ';' => self.end_statement(),
            _ => {}
        }
        self.sql.push(mark);
    }

    fn end_statement(&mut self) {
        if self.verbs == ["CREATE", "TABLE"] && self.has_columns {
            // Behind a comment, too.
            self.sql.push_str("\nSTRICT");
        }
        *self = Self { sql: std::mem::take(&mut self.sql), ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_orders_of_texts_are_translated_and_nothing_else() {
        let sql = "CREATE TABLE a (id bigint PRIMARY KEY, \"BYTEA\" BYTEA, name TEXT COLLATE \"C\" NOT NULL); \
                   -- a BIGINT; it's one\nCREATE INDEX \"C\" ON a (name); /* ; BYTEA */ \
                   INSERT INTO a VALUES (1, NULL, 'it''s; BIGINT COLLATE \"C\"'); create table b (n BIGINT)";
        let expected = "CREATE TABLE a (id INT PRIMARY KEY, \"BYTEA\" BLOB, name TEXT COLLATE BINARY NOT NULL)\nSTRICT; \
                        -- a BIGINT; it's one\nCREATE INDEX \"C\" ON a (name); /* ; BYTEA */ \
                        INSERT INTO a VALUES (1, NULL, 'it''s; BIGINT COLLATE \"C\"'); create table b (n INT)\nSTRICT";
        assert_eq!(translated(sql), expected);
    }

    #[test]
    fn what_is_not_closed_is_left_for_sqlite_to_refuse() {
        for sql in ["INSERT INTO a VALUES ('é", "/* é", "-- é", "\"", "'", ""] {
            assert_eq!(translated(sql), sql);
        }
    }
}
