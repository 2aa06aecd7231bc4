//! Passwords of local accounts, stored as Argon2id hashes. A hash takes memory and time on purpose: only two are computed
//! at the same time, whatever number of people sign in. Nothing here knows accounts.

use argon2::password_hash::{self, PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use rand::TryRngCore;
use rand::rngs::OsRng;
use tokio::sync::Semaphore;
use vecferry_milvus::Secret;

/// The fewest characters of a password.
pub const CHARACTERS_MIN: usize = 12;
/// The most characters of a password.
pub const CHARACTERS_MAX: usize = 256;

/// OWASP's first choice of parameters: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;

/// Without it, a flood of sign-ins takes all memory.
static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// What can go wrong with a password.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// It has too few characters.
    #[error("the password is too short: it needs at least {CHARACTERS_MIN} characters")]
    TooShort,
    /// It has too many characters.
    #[error("the password is too long: it can have at most {CHARACTERS_MAX} characters")]
    TooLong,
    /// The stored hash is no hash.
    #[error("the stored password hash is damaged")]
    Damaged,
    /// The hash can't be computed.
    #[error("the password hash cannot be computed: {reason}")]
    Unusable {
        /// Why.
        reason: String,
    },
}

/// Whether a password may be chosen.
pub fn check(password: &Secret) -> Result<(), Error> {
    match password.reveal().chars().count() {
        ..CHARACTERS_MIN => Err(Error::TooShort),
        CHARACTERS_MIN..=CHARACTERS_MAX => Ok(()),
        _ => Err(Error::TooLong),
    }
}

/// The hash to store for a password that may be chosen, with its parameters and a new salt.
pub async fn hash(password: &Secret) -> Result<String, Error> {
    check(password)?;
    let password = password.clone();
    limited(&AT_ONCE, move || compute(&password)).await
}

/// Whether it is the password of a stored hash.
pub async fn verify(hash: &str, password: &Secret) -> Result<bool, Error> {
    if is_too_long(password) {
        return Ok(false);
    }
    let (hash, password) = (hash.to_owned(), password.clone());
    limited(&AT_ONCE, move || compare(&hash, &password)).await
}

/// Answers no, for an account that does not exist, after the time that [`verify`] takes: the time tells nobody which
/// accounts exist.
pub async fn verify_nobody(password: &Secret) -> Result<bool, Error> {
    if is_too_long(password) {
        return Ok(false);
    }
    let password = password.clone();
    limited(&AT_ONCE, move || compute(&password).map(|_| false)).await
}

/// Nobody has such a password, and the time to read it grows with it.
fn is_too_long(password: &Secret) -> bool {
    check(password) == Err(Error::TooLong)
}

/// The permit stays with the work: a request that was given up computes on, and holds its memory.
async fn limited<T: Send + 'static>(
    permits: &'static Semaphore,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let permit = permits.acquire().await.map_err(unusable)?;
    let work = move || {
        let _permit = permit;
        work()
    };
    tokio::task::spawn_blocking(work).await.map_err(unusable)?
}

fn compute(password: &Secret) -> Result<String, Error> {
    let mut salt = [0; SALT_BYTES];
    OsRng.try_fill_bytes(&mut salt).map_err(unusable)?;
    let salt = SaltString::encode_b64(&salt).map_err(unusable)?;
    let hash = hasher()?.hash_password(password.reveal().as_bytes(), &salt).map_err(unusable)?;
    Ok(hash.to_string())
}

fn compare(hash: &str, password: &Secret) -> Result<bool, Error> {
    let hash = PasswordHash::new(hash).map_err(|_| Error::Damaged)?;
    // One that was cut off would compare as a wrong password.
    if hash.hash.is_none() {
        return Err(Error::Damaged);
    }
    // The parameters are those of the hash.
    match hasher()?.verify_password(password.reveal().as_bytes(), &hash) {
        Ok(()) => Ok(true),
        Err(password_hash::Error::Password) => Ok(false),
        Err(_) => Err(Error::Damaged),
    }
}

fn hasher() -> Result<Argon2<'static>, Error> {
    let parameters = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(unusable)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters))
}

fn unusable(error: impl std::fmt::Display) -> Error {
    Error::Unusable { reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text)
    }

    #[test]
    fn a_password_has_12_to_256_characters() {
        assert_eq!(check(&secret(&"a".repeat(11))), Err(Error::TooShort));
        assert_eq!(check(&secret(&"a".repeat(12))), Ok(()));
        assert_eq!(check(&secret(&"密".repeat(256))), Ok(()), "characters, not bytes");
        assert_eq!(check(&secret(&"密".repeat(11))), Err(Error::TooShort));
        assert_eq!(check(&secret(&"a".repeat(257))), Err(Error::TooLong));
        assert_eq!(Error::TooShort.to_string(), "the password is too short: it needs at least 12 characters");
        assert_eq!(
            Error::TooLong.to_string(),
            "the password is too long: it can have at most 256 characters"
        );
    }

    #[tokio::test]
    async fn only_the_password_verifies() {
        let password = secret("correct horse battery");
        let stored = hash(&password).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(verify(&stored, &password).await.unwrap());
        assert!(!verify(&stored, &secret("correct horse batterz")).await.unwrap());
        assert!(!verify(&stored, &secret(&"a".repeat(257))).await.unwrap());
        assert_ne!(hash(&password).await.unwrap(), stored, "a salt was used twice");
    }

    #[tokio::test]
    async fn a_short_password_is_not_hashed() {
        assert_eq!(hash(&secret("short")).await, Err(Error::TooShort));
    }

    #[tokio::test]
    async fn a_damaged_hash_is_told() {
        for stored in ["", "hunter2", "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ"] {
            assert_eq!(
                verify(stored, &secret("correct horse battery")).await,
                Err(Error::Damaged),
                "{stored}"
            );
        }
    }

    /// The same work is done, so that the same time passes.
    #[tokio::test]
    async fn nobody_has_no_password_and_costs_a_hash() {
        assert_eq!(verify_nobody(&secret("correct horse battery")).await, Ok(false));
        assert_eq!(verify_nobody(&secret("short")).await, Ok(false));
        assert_eq!(verify_nobody(&secret(&"a".repeat(257))).await, Ok(false));

        let all = AT_ONCE.acquire_many(2).await.unwrap();
        let password = secret("correct horse battery");
        let mut nobody = tokio::spawn(async move { verify_nobody(&password).await });
        // Without a hash to compute it would not wait for a permit.
        tokio::task::yield_now().await;
        assert!(!nobody.is_finished());
        drop(all);
        assert_eq!((&mut nobody).await.unwrap(), Ok(false));
    }

    #[tokio::test]
    async fn work_holds_its_permit_also_when_nobody_waits_for_it() {
        static PERMITS: Semaphore = Semaphore::const_new(2);
        let (started, has_started) = mpsc::channel();
        let (end, ends) = mpsc::channel::<()>();
        let given_up = tokio::spawn(limited(&PERMITS, move || {
            started.send(()).unwrap();
            let _ = ends.recv();
            Ok(())
        }));
        tokio::task::spawn_blocking(move || has_started.recv().unwrap()).await.unwrap();
        assert_eq!(PERMITS.available_permits(), 1);
        given_up.abort();
        assert!(given_up.await.unwrap_err().is_cancelled());
        assert_eq!(PERMITS.available_permits(), 1);
        drop(end);
        // All of them are free again only after the work has ended.
        drop(PERMITS.acquire_many(2).await.unwrap());
    }
}
