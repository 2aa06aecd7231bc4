//! Which server answers: its product and its version.

use std::fmt;

/// The product behind an endpoint, as far as it behaves differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flavor {
    /// Milvus (standalone or cluster), and Zilliz Cloud.
    Milvus,
    /// milvus-lite 2.x, the C++ engine.
    LiteNative,
    /// milvus-lite 3.x, the Python engine.
    LitePython,
}

/// A server's product and version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerVersion {
    /// The product.
    pub flavor: Flavor,
    /// Major and minor version, where the server says one; `(2, 3)` for `v2.3.5`.
    pub release: Option<(u32, u32)>,
    /// What the server said.
    pub text: String,
}

impl ServerVersion {
    /// Reads what `GetVersion` or `Connect` answered. The packaged 2.3.5 says `2.3.5-lite` although it is a real Milvus,
    /// so only the word `milvus_lite` means lite.
    pub fn from_text(text: &str) -> Self {
        let flavor = if text.starts_with("milvus_lite") || text.starts_with("milvus-lite") {
            Flavor::LitePython
        } else {
            Flavor::Milvus
        };
        Self { flavor, release: release(text), text: text.to_owned() }
    }

    /// The C++ milvus-lite has no `GetVersion` call at all.
    pub fn without_version_call() -> Self {
        Self { flavor: Flavor::LiteNative, release: None, text: "Milvus Lite 2.x".to_owned() }
    }

    /// Whether the release is known and at least `major.minor`.
    pub fn at_least(&self, major: u32, minor: u32) -> bool {
        self.release.is_some_and(|release| release >= (major, minor))
    }
}

fn release(text: &str) -> Option<(u32, u32)> {
    let start = text.find(|character: char| character.is_ascii_digit())?;
    let mut numbers = text[start..].split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.flavor {
            Flavor::Milvus => write!(f, "Milvus {}", self.text.trim_start_matches('v')),
            Flavor::LitePython => write!(f, "Milvus Lite {}", self.text.trim_start_matches("milvus_lite-")),
            Flavor::LiteNative => f.write_str(&self.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_servers_say() {
        for (text, flavor, release) in [
            ("2.3.5", Flavor::Milvus, Some((2, 3))),
            ("v2.6.1-dev", Flavor::Milvus, Some((2, 6))),
            ("milvus_lite-3.2.2", Flavor::LitePython, Some((3, 2))),
            ("Zilliz Cloud Vector Database", Flavor::Milvus, None),
        ] {
            let version = ServerVersion::from_text(text);
            assert_eq!((version.flavor, version.release), (flavor, release), "{text}");
        }
    }
}
