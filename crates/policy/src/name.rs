//! The servers' rules for names of databases, collections, partitions and aliases, as real 2.3.5, 2.5.10 and 2.6.18 were
//! seen to hold them.

use std::fmt;

use crate::feature::Product;

/// Longest name (`proxy.maxNameLength`).
pub const NAME_BYTES_MAX: usize = 255;

/// Release since which partitions of one day may be called `2024-01-01`. Seen on 2.5.10 and 2.6.18; 2.3.5 refuses it.
const HYPHEN_IN_PARTITIONS_SINCE: (u32, u32) = (2, 5);

/// What a name is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameKind {
    /// A database.
    Database,
    /// A collection.
    Collection,
    /// A partition.
    Partition,
    /// An alias.
    Alias,
}

impl fmt::Display for NameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Database => "database",
            Self::Collection => "collection",
            Self::Partition => "partition",
            Self::Alias => "alias",
        })
    }
}

/// Why a name is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameFault {
    /// It is empty.
    Empty,
    /// It is longer than [`NAME_BYTES_MAX`].
    TooLong,
    /// It starts with something that names of its kind must not start with.
    Start(char),
    /// It holds a character that names of its kind must not hold.
    Character(char),
}

impl fmt::Display for NameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::TooLong => write!(f, "it is longer than {NAME_BYTES_MAX} bytes"),
            Self::Start(character) => write!(f, "it starts with the character `{character}`"),
            Self::Character(character) => write!(f, "it contains the character `{character}`"),
        }
    }
}

/// Whether a product allows a name. milvus-lite 3 takes any.
///
/// # Errors
/// The first rule that the name breaks.
pub fn check_name(product: Product, kind: NameKind, name: &str) -> Result<(), NameFault> {
    let release = match product {
        Product::LitePython => return Ok(()),
        Product::LiteNative => None,
        // A server that says no number is Zilliz Cloud, which runs the newest release.
        Product::Milvus(release) => Some(release.unwrap_or((u32::MAX, 0))),
    };
    let is_partition = kind == NameKind::Partition;
    let has_hyphens = is_partition && release.is_some_and(|release| release >= HYPHEN_IN_PARTITIONS_SINCE);
    let first = name.chars().next().ok_or(NameFault::Empty)?;
    if name.len() > NAME_BYTES_MAX {
        return Err(NameFault::TooLong);
    }
    if !(first.is_ascii_alphabetic() || first == '_' || is_partition && first.is_ascii_digit()) {
        return Err(NameFault::Start(first));
    }
    let is_allowed = |character: &char| {
        character.is_ascii_alphanumeric() || *character == '_' || has_hyphens && *character == '-'
    };
    match name.chars().find(|character| !is_allowed(character)) {
        Some(character) => Err(NameFault::Character(character)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(release: (u32, u32), kind: NameKind, name: &str) -> Result<(), NameFault> {
        check_name(Product::Milvus(Some(release)), kind, name)
    }

    #[test]
    fn names_are_letters_digits_and_underscores() {
        for kind in [NameKind::Database, NameKind::Collection, NameKind::Alias, NameKind::Partition] {
            for release in [(2, 3), (2, 6)] {
                for name in ["a", "_default", "A1_b", &"a".repeat(255)] {
                    assert_eq!(check(release, kind, name), Ok(()));
                }
                for (name, fault) in [
                    ("", NameFault::Empty),
                    ("书", NameFault::Start('书')),
                    ("$p", NameFault::Start('$')),
                    ("a b", NameFault::Character(' ')),
                    ("a.b", NameFault::Character('.')),
                    ("a/b", NameFault::Character('/')),
                    (&*"a".repeat(256), NameFault::TooLong),
                ] {
                    assert_eq!(check(release, kind, name), Err(fault), "{kind} {name}");
                }
                if kind != NameKind::Partition {
                    assert_eq!(check(release, kind, "1a"), Err(NameFault::Start('1')));
                    assert_eq!(check(release, kind, "a-b"), Err(NameFault::Character('-')));
                }
            }
        }
    }

    #[test]
    fn partitions_may_be_dates() {
        for release in [(2, 3), (2, 5), (2, 6)] {
            assert_eq!(check(release, NameKind::Partition, "2024"), Ok(()));
        }
        for name in ["2024-01-01", "p-1"] {
            assert_eq!(check((2, 3), NameKind::Partition, name), Err(NameFault::Character('-')));
            assert_eq!(check((2, 5), NameKind::Partition, name), Ok(()));
            assert_eq!(check((2, 6), NameKind::Partition, name), Ok(()));
            assert_eq!(check_name(Product::Milvus(None), NameKind::Partition, name), Ok(()));
        }
        assert_eq!(check((2, 6), NameKind::Partition, "-p"), Err(NameFault::Start('-')));
        assert_eq!(check_name(Product::LitePython, NameKind::Alias, "a b"), Ok(()));
    }
}
