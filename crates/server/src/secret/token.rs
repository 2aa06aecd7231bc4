//! Random tokens: API keys, sessions and one-time links. The token is shown once; only its hash is stored. It has 256
//! random bits, so that a plain SHA-256 is enough. Nothing here knows what a token allows.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRngCore;
use rand::rngs::OsRng;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use vecferry_milvus::Secret;

const RANDOM_BYTES: usize = 32;
const HINT_CHARACTERS: usize = 4;
/// Keeps the value apart from the stored hash of the same session.
const CSRF_DOMAIN: &[u8] = b"vecferry csrf v1\0";

/// What a token is for. Its prefix lets people and scanners of leaked secrets recognize it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// An API key, `vfk_…`.
    ApiKey,
    /// A session of the console, `vfs_…`.
    Session,
    /// A link that works once, `vfl_…`.
    Link,
    /// What a webhook is signed with, `vfw_…`. It is no credential of this service.
    Webhook,
}

impl TokenKind {
    const ALL: [Self; 4] = [Self::ApiKey, Self::Session, Self::Link, Self::Webhook];

    /// What its tokens begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::ApiKey => "vfk_",
            Self::Session => "vfs_",
            Self::Link => "vfl_",
            Self::Webhook => "vfw_",
        }
    }

    /// The kind of a well-formed token.
    pub fn of(token: &str) -> Option<Self> {
        let (kind, random) =
            Self::ALL.into_iter().find_map(|kind| Some((kind, token.strip_prefix(kind.prefix())?)))?;
        let bytes = URL_SAFE_NO_PAD.decode(random).ok()?;
        (bytes.len() == RANDOM_BYTES).then_some(kind)
    }
}

/// The system gives no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("the system provides no random numbers: {reason}")]
pub struct Error {
    reason: String,
}

/// A new token.
pub struct Token {
    /// The token, to be shown once.
    pub secret: Secret,
    /// What is stored: SHA-256 in hexadecimal digits.
    pub hash: String,
    /// Its last characters, for lists.
    pub hint: String,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("hint", &self.hint).finish_non_exhaustive()
    }
}

impl Token {
    /// A new token from the random numbers of the system.
    pub fn new(kind: TokenKind) -> Result<Self, Error> {
        let mut bytes = [0; RANDOM_BYTES];
        OsRng.try_fill_bytes(&mut bytes).map_err(|error| Error { reason: error.to_string() })?;
        let token = format!("{}{}", kind.prefix(), URL_SAFE_NO_PAD.encode(bytes));
        let hint = token[token.len() - HINT_CHARACTERS..].to_owned();
        Ok(Self { hash: digest(token.as_bytes()), hint, secret: Secret::new(token) })
    }
}

/// The hash of a token as it is stored, if it is a well-formed one: others need no look into the store.
pub fn hash_of(token: &str) -> Option<String> {
    TokenKind::of(token).map(|_| digest(token.as_bytes()))
}

/// A text that callers send, without the tokens in it: some paste a key where its ID belongs.
pub fn without_tokens(text: &str) -> String {
    let is_of_token = |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
    let mut told = String::with_capacity(text.len());
    for part in text.split_inclusive(|character| !is_of_token(character)) {
        let word = part.trim_end_matches(|character| !is_of_token(character));
        match TokenKind::of(word) {
            Some(kind) => told.push_str(&format!("{}…{}", kind.prefix(), &part[word.len()..])),
            None => told.push_str(part),
        }
    }
    told
}

/// The value that forms of a session carry against cross-site request forgery. The session can't be told from it.
pub fn csrf_of(session: &Secret) -> String {
    let digest = Sha256::new().chain_update(CSRF_DOMAIN).chain_update(session.reveal()).finalize();
    URL_SAFE_NO_PAD.encode(digest)
}

/// Whether a form of this session carries the right value.
pub fn is_csrf_of(session: &Secret, given: &str) -> bool {
    is_equal(&csrf_of(session), given)
}

/// Compares in a time that does not depend on where the texts differ.
pub fn is_equal(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

fn digest(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIXED: &str = "vfk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

    #[test]
    fn a_new_token_is_well_formed_and_told_by_its_kind() {
        for (kind, prefix) in [
            (TokenKind::ApiKey, "vfk_"),
            (TokenKind::Session, "vfs_"),
            (TokenKind::Link, "vfl_"),
            (TokenKind::Webhook, "vfw_"),
        ] {
            let token = Token::new(kind).unwrap();
            let text = token.secret.reveal();
            assert!(text.starts_with(prefix), "{text}");
            assert_eq!(text.len(), 4 + 43);
            assert_eq!(TokenKind::of(text), Some(kind));
            assert_eq!(hash_of(text).as_deref(), Some(token.hash.as_str()));
            assert!(text.ends_with(&token.hint));
            assert_eq!(token.hint.len(), 4);
            assert_ne!(Token::new(kind).unwrap().hash, token.hash);
        }
    }

    /// So that a stored hash is found by the next release.
    #[test]
    fn a_hash_is_sha_256_of_the_whole_token() {
        let hash = hash_of(FIXED).unwrap();
        assert_eq!(hash, "1aac78954029a3df2d513ff1697607e55ab8469b49ffd0acf7bb6dffbef09ae3");
    }

    #[test]
    fn what_is_no_token_has_no_hash() {
        let random = &FIXED[4..];
        let bad = [
            String::new(),
            "vfk_".to_owned(),
            random.to_owned(),
            format!("vfx_{random}"),
            format!("VFK_{random}"),
            format!("{FIXED}A"),
            FIXED[..FIXED.len() - 1].to_owned(),
            format!(" {FIXED}"),
            format!("{FIXED}="),
            format!("vfk_+{}", &random[1..]),
            // The last character has bits that no byte takes: one token would have several forms.
            format!("{}9", &FIXED[..FIXED.len() - 1]),
            "密码".to_owned(),
        ];
        for token in bad {
            assert_eq!(hash_of(&token), None, "{token}");
        }
    }

    #[test]
    fn a_csrf_value_is_bound_to_its_session() {
        let session = Token::new(TokenKind::Session).unwrap();
        let other = Token::new(TokenKind::Session).unwrap();
        let value = csrf_of(&session.secret);
        assert!(is_csrf_of(&session.secret, &value));
        assert!(!is_csrf_of(&other.secret, &value));
        assert!(!is_csrf_of(&session.secret, ""));
        assert!(!is_csrf_of(&session.secret, &value[1..]));
        assert_eq!(
            csrf_of(&Secret::new(FIXED)),
            "n32TFYUA01cci6K8N81zEm4pl_RSuFDaa5IqawExRkM",
            "pages of an older release stay valid"
        );
    }

    #[test]
    fn texts_are_equal_or_not() {
        assert!(is_equal("", ""));
        assert!(is_equal("abc", "abc"));
        assert!(!is_equal("abc", "abd"));
        assert!(!is_equal("abc", "ab"));
    }

    #[test]
    fn debug_shows_the_hint_only() {
        let token = Token::new(TokenKind::ApiKey).unwrap();
        assert_eq!(format!("{token:?}"), format!("Token {{ hint: {:?}, .. }}", token.hint));
    }

    #[test]
    fn tokens_are_not_told() {
        let token = Token::new(TokenKind::ApiKey).unwrap();
        let key = token.secret.reveal();
        let told = without_tokens(&format!("/v2/apiKeys/{key}/é?a={key}"));
        assert_eq!(told, "/v2/apiKeys/vfk_…/é?a=vfk_…");
        for plain in ["", "/", "/v2/apiKeys/key-0197b1e0", "vfk_x/…", "任务"] {
            assert_eq!(without_tokens(plain), plain);
        }
    }
}
