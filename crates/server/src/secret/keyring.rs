//! Encryption of stored credentials. A keyring holds one or more keys: the first encrypts, all decrypt, so that a key is
//! replaced while the service runs, which keeps the keys that it had until its end. What is sealed for one purpose can't be opened for another: a row that was copied over
//! another row does not decrypt. The keyring does not know what it encrypts or where that is stored.

mod create;
mod source;

use std::fmt;
use std::path::Path;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rand::TryRngCore;
use rand::rngs::OsRng;
use sha2::{Digest, Sha256};
use vecferry_milvus::Secret;

use super::file;
pub use source::KeySource;

const VERSION: u8 = 1;
const KEY_BYTES: usize = 32;
const ID_BYTES: usize = 8;
const NONCE_BYTES: usize = 12;
/// Keys of former files that are kept, so that a file that changes for ever does not fill the memory.
const FORMER_MAX: usize = 64;
/// Version and key ID: authenticated with the purpose.
const HEAD_BYTES: usize = 1 + ID_BYTES;

/// Keys are written with and without the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What can go wrong with a keyring. No text holds a key, or what a command printed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The keyring has no such key.
    #[error("the secret is encrypted with key `{key}`, which is not in the keyring")]
    UnknownKey {
        /// The key ID, in hexadecimal digits.
        key: String,
    },
    /// It is not what was encrypted for this purpose.
    #[error("the encrypted secret is damaged, or was encrypted for another purpose")]
    Damaged,
    /// It can't be encrypted.
    #[error("the secret cannot be encrypted")]
    Unsealable,
    /// The system gives no random numbers.
    #[error("the system provides no random numbers: {reason}")]
    Random {
        /// What the system says.
        reason: String,
    },
    /// The key file is not used.
    #[error(transparent)]
    File(#[from] file::Error),
    /// The environment variable is missing, or is no text.
    #[error("the environment variable `{name}` is not set")]
    Unset {
        /// Its name.
        name: String,
    },
    /// The command gives no keys.
    #[error("the key command {reason}")]
    Command {
        /// What is wrong with it.
        reason: String,
    },
    /// A line is no key.
    #[error("line {line} of the keys is neither 64 hexadecimal digits nor the base64 form of 32 bytes")]
    Malformed {
        /// The line, from 1.
        line: usize,
    },
    /// There are no keys.
    #[error("the key source holds no key")]
    Empty,
}

/// The keys of an installation.
pub struct Keyring {
    first: Key,
    others: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    id: [u8; ID_BYTES],
    cipher: Box<Aes256Gcm>,
}

impl Key {
    fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        let mut id = [0; ID_BYTES];
        id.copy_from_slice(&Sha256::digest(bytes)[..ID_BYTES]);
        Self { id, cipher: Box::new(Aes256Gcm::new(bytes.into())) }
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keyring").field(&self.key_ids()).finish()
    }
}

impl Keyring {
    /// Reads the keys.
    pub async fn load(source: &KeySource) -> Result<Self, Error> {
        Self::parse(&source::read(source).await?)
    }

    /// Creates a file with a new key for its owner only. An existing file is left as it is; then the answer is `false`.
    pub async fn create_file(path: &Path) -> Result<bool, Error> {
        create::create(path).await
    }

    /// One key a line; what follows `#` is a comment.
    fn parse(text: &[u8]) -> Result<Self, Error> {
        let mut keys: Vec<Key> = Vec::new();
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.split(|byte| *byte == b'#').next().unwrap_or_default().trim_ascii();
            if line.is_empty() {
                continue;
            }
            let key = Key::new(&key_of(line).ok_or(Error::Malformed { line: index + 1 })?);
            if keys.iter().all(|other| other.id != key.id) {
                keys.push(key);
            }
        }
        let mut keys = keys.into_iter();
        let first = keys.next().ok_or(Error::Empty)?;
        Ok(Self { first, others: keys.collect() })
    }

    /// The IDs of the keys, in hexadecimal digits; the first one's key encrypts.
    pub fn key_ids(&self) -> Vec<String> {
        self.keys().map(|key| hex(&key.id)).collect()
    }

    /// Encrypts for a purpose, which has to be named again to decrypt.
    pub fn seal(&self, purpose: &str, plain: &[u8]) -> Result<Vec<u8>, Error> {
        let mut nonce = [0; NONCE_BYTES];
        random(&mut nonce)?;
        let mut sealed = Vec::with_capacity(HEAD_BYTES + NONCE_BYTES + plain.len() + 16);
        sealed.push(VERSION);
        sealed.extend_from_slice(&self.first.id);
        let aad = associated(&sealed, purpose);
        sealed.extend_from_slice(&nonce);
        let payload = Payload { msg: plain, aad: &aad };
        let encrypted = self.first.cipher.encrypt(Nonce::from_slice(&nonce), payload);
        sealed.extend(encrypted.map_err(|_| Error::Unsealable)?);
        Ok(sealed)
    }

    /// Decrypts what was encrypted for this purpose. The bytes are a secret: use [`Keyring::open_text`] where it is a text.
    pub fn open(&self, purpose: &str, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let (head, rest) = sealed.split_at_checked(HEAD_BYTES).ok_or(Error::Damaged)?;
        let id = key_id(sealed).ok_or(Error::Damaged)?;
        let Some(key) = self.keys().find(|key| key.id == id) else {
            return Err(Error::UnknownKey { key: hex(id) });
        };
        let (nonce, encrypted) = rest.split_at_checked(NONCE_BYTES).ok_or(Error::Damaged)?;
        let aad = associated(head, purpose);
        let payload = Payload { msg: encrypted, aad: &aad };
        key.cipher.decrypt(Nonce::from_slice(nonce), payload).map_err(|_| Error::Damaged)
    }

    /// Decrypts a text.
    pub fn open_text(&self, purpose: &str, sealed: &[u8]) -> Result<Secret, Error> {
        let plain = self.open(purpose, sealed)?;
        String::from_utf8(plain).map(Secret::new).map_err(|_| Error::Damaged)
    }

    /// Whether it is encrypted with the key that encrypts now. What is not is opened and sealed again after a key was added.
    pub fn is_current(&self, sealed: &[u8]) -> bool {
        key_id(sealed).is_some_and(|id| id == self.first.id)
    }

    /// The same keys, and behind them those of a former keyring: a key that was taken out of the file too early, or is not
    /// in it while the file is written, still decrypts until everything is sealed again.
    #[must_use]
    pub fn after(mut self, former: &Self) -> Self {
        let known: Vec<_> = self.keys().map(|key| key.id).collect();
        let former = former.keys().filter(|key| !known.contains(&key.id)).take(FORMER_MAX);
        self.others.extend(former.cloned());
        self
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

/// The ID of the key that something is encrypted with.
fn key_id(sealed: &[u8]) -> Option<&[u8]> {
    match sealed.split_first()? {
        (&VERSION, rest) => rest.get(..ID_BYTES),
        _ => None,
    }
}

/// What is authenticated besides the secret. The head's length is fixed, so that it can't pass for a part of the purpose.
fn associated(head: &[u8], purpose: &str) -> Vec<u8> {
    [head, purpose.as_bytes()].concat()
}

fn key_of(text: &[u8]) -> Option<[u8; KEY_BYTES]> {
    match text.len() {
        64 => from_hex(text),
        _ => BASE64.decode(text).ok()?.try_into().ok(),
    }
}

fn from_hex(text: &[u8]) -> Option<[u8; KEY_BYTES]> {
    let mut bytes = [0; KEY_BYTES];
    for (byte, digits) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        // `from_str_radix` takes a sign too.
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn random(bytes: &mut [u8]) -> Result<(), Error> {
    OsRng.try_fill_bytes(bytes).map_err(|error| Error::Random { reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const B: &str = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";
    const A_ID: &str = "630dcd2966c43366";

    fn keyring(keys: &[&str]) -> Keyring {
        Keyring::parse(keys.join("\n").as_bytes()).unwrap()
    }

    #[test]
    fn what_is_sealed_opens() {
        let keys = keyring(&[A]);
        for plain in [&b""[..], b"root:Milvus", &[0xff; 5000]] {
            let sealed = keys.seal("cluster/1/token", plain).unwrap();
            assert_eq!(keys.open("cluster/1/token", &sealed).unwrap(), plain);
            assert_eq!(sealed.len(), 1 + 8 + 12 + plain.len() + 16);
        }
        let sealed = keys.seal("cluster/1/token", b"root:Milvus").unwrap();
        assert_eq!(keys.open_text("cluster/1/token", &sealed).unwrap().reveal(), "root:Milvus");
        assert!(!sealed.windows(4).any(|part| part == b"root"));
        assert_ne!(keys.seal("cluster/1/token", b"root:Milvus").unwrap(), sealed, "a nonce was used twice");
    }

    /// So that what a release stored opens with the next one.
    #[test]
    fn a_sealed_secret_keeps_its_form() {
        let sealed = "01630dcd2966c433660c0b0a090807060504030201";
        let head: Vec<u8> = (0..sealed.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&sealed[at..at + 2], 16).unwrap())
            .collect();
        let key = Aes256Gcm::new(&from_hex(A.as_bytes()).unwrap().into());
        let aad = [&head[..9], b"webhook/7"].concat();
        let encrypted =
            key.encrypt(Nonce::from_slice(&head[9..]), Payload { msg: b"token", aad: &aad }).unwrap();
        assert_eq!(keyring(&[A]).open("webhook/7", &[head, encrypted].concat()).unwrap(), b"token");
    }

    #[test]
    fn a_changed_byte_or_another_purpose_is_damage() {
        let keys = keyring(&[A]);
        let sealed = keys.seal("cluster/1/token", b"root:Milvus").unwrap();
        assert!(matches!(keys.open("cluster/2/token", &sealed), Err(Error::Damaged)));
        for at in (0..sealed.len()).filter(|at| !(1..9).contains(at)) {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(matches!(keys.open("cluster/1/token", &changed), Err(Error::Damaged)), "byte {at}");
        }
        for length in 0..sealed.len() {
            assert!(
                matches!(keys.open("cluster/1/token", &sealed[..length]), Err(Error::Damaged)),
                "{length}"
            );
        }
        let binary = keys.seal("x", &[0xff]).unwrap();
        assert!(matches!(keys.open_text("x", &binary), Err(Error::Damaged)));
    }

    #[test]
    fn a_missing_key_is_named() {
        let sealed = keyring(&[A]).seal("p", b"s").unwrap();
        let error = keyring(&[B]).open("p", &sealed).unwrap_err();
        assert!(matches!(&error, Error::UnknownKey { key } if key == A_ID), "{error:?}");
        assert_eq!(
            error.to_string(),
            "the secret is encrypted with key `630dcd2966c43366`, which is not in the keyring"
        );
    }

    #[test]
    fn a_key_is_replaced_while_both_are_there() {
        let sealed = keyring(&[A]).seal("p", b"s").unwrap();
        let both = keyring(&[B, A]);
        assert!(keyring(&[A]).is_current(&sealed));
        assert!(!both.is_current(&sealed));
        let again = both.seal("p", &both.open("p", &sealed).unwrap()).unwrap();
        assert!(both.is_current(&again));
        assert_eq!(keyring(&[B]).open("p", &again).unwrap(), b"s");
        assert!(!both.is_current(b""));
        assert!(!both.is_current(&[&[2], &again[1..]].concat()), "another version");
    }

    #[test]
    fn keys_that_are_gone_from_the_file_still_open() {
        let sealed = keyring(&[A]).seal("p", b"s").unwrap();
        let replaced = keyring(&[B]).after(&keyring(&[A]));
        assert_eq!(replaced.open("p", &sealed).unwrap(), b"s");
        assert!(keyring(&[B]).is_current(&replaced.seal("p", b"s").unwrap()));
        assert_eq!(replaced.key_ids(), keyring(&[B, A]).key_ids());
        assert_eq!(keyring(&[B, A]).after(&replaced).key_ids(), replaced.key_ids(), "a key is there twice");
    }

    #[test]
    fn both_notations_and_comments_are_read() {
        let text = format!(
            "# keys\r\n\n  {} # the new one\r\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\
             AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
            B.to_uppercase()
        );
        let keys = Keyring::parse(text.as_bytes()).unwrap();
        assert_eq!(keys.key_ids(), [keyring(&[B]).key_ids()[0].as_str(), A_ID]);
    }

    #[test]
    fn what_is_no_key_is_told_by_its_line_alone() {
        let bad = ["c2hvcnQ=", &A[1..], &format!("+{}", &A[1..]), &format!("{A}{A}"), "\u{fffd}"];
        for line in bad {
            let error = Keyring::parse(format!("# one\n{A}\n{line}\n").as_bytes()).unwrap_err();
            assert!(matches!(error, Error::Malformed { line: 3 }), "{error:?}");
            assert!(!format!("{error} {error:?}").contains(line));
        }
        for text in ["", "\n# none\n"] {
            assert!(matches!(Keyring::parse(text.as_bytes()), Err(Error::Empty)));
        }
    }

    #[test]
    fn a_keyring_shows_ids_only() {
        assert_eq!(format!("{:?}", keyring(&[A])), r#"Keyring(["630dcd2966c43366"])"#);
    }
}
