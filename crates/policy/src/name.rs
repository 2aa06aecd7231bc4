//! The servers' rules for names of databases, collections, partitions and aliases.

use std::fmt;

/// Longest name (`proxy.maxNameLength`).
pub const NAME_BYTES_MAX: usize = 255;

/// Why a name is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameFault {
    /// It is empty.
    Empty,
    /// It is longer than [`NAME_BYTES_MAX`].
    TooLong,
    /// It starts with something else than a letter or underscore.
    Start,
    /// It holds something else than letters, digits and underscores.
    Character(char),
}

impl fmt::Display for NameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::TooLong => write!(f, "it is longer than {NAME_BYTES_MAX} bytes"),
            Self::Start => f.write_str("it does not start with a letter or underscore"),
            Self::Character(character) => write!(f, "it holds the character `{character}`"),
        }
    }
}

/// Whether a name is allowed. milvus-lite 3 takes any name, Milvus and Zilliz Cloud do not.
pub fn check_name(name: &str) -> Result<(), NameFault> {
    let first = name.chars().next().ok_or(NameFault::Empty)?;
    if name.len() > NAME_BYTES_MAX {
        return Err(NameFault::TooLong);
    }
    if !(first.is_ascii_alphabetic() || first == '_') {
        return Err(NameFault::Start);
    }
    match name.chars().find(|character| !(character.is_ascii_alphanumeric() || *character == '_')) {
        Some(character) => Err(NameFault::Character(character)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_letters_digits_and_underscores() {
        for name in ["a", "_default", "A1_b"] {
            assert_eq!(check_name(name), Ok(()));
        }
        for (name, fault) in [
            ("", NameFault::Empty),
            ("1a", NameFault::Start),
            ("书", NameFault::Start),
            ("a-b", NameFault::Character('-')),
            ("a b", NameFault::Character(' ')),
        ] {
            assert_eq!(check_name(name), Err(fault), "{name}");
        }
        assert_eq!(check_name(&"a".repeat(256)), Err(NameFault::TooLong));
    }
}
