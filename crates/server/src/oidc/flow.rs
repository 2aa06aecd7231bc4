//! A sign-in that is under way. The browser keeps it, encrypted: every process can end what another one began.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRngCore;
use rand::rngs::OsRng;
use vecferry_milvus::Secret;

/// A sign-in takes no longer.
pub(crate) const FLOW_SECONDS: i64 = 600;

const RANDOM_BYTES: usize = 32;

/// A sign-in that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    /// Comes back with the browser.
    pub(super) state: Secret,
    /// Comes back in the token.
    pub(super) nonce: Secret,
    /// Shows the provider that it is asked by who began (PKCE).
    pub(super) verifier: Secret,
    ends_ms: i64,
    /// The page to open behind the sign-in.
    pub(crate) next: String,
}

impl Flow {
    /// One that begins now.
    pub(crate) fn new(now_ms: i64, next: &str) -> Result<Self, rand::rand_core::OsError> {
        let ends_ms = now_ms.saturating_add(FLOW_SECONDS * 1000);
        Ok(Self { state: random()?, nonce: random()?, verifier: random()?, ends_ms, next: next.to_owned() })
    }

    /// As it is kept. It is not to be seen.
    pub(crate) fn to_secret(&self) -> Secret {
        let (state, nonce, verifier) = (self.state.reveal(), self.nonce.reveal(), self.verifier.reveal());
        Secret::new(format!("{state}.{nonce}.{verifier}.{}.{}", self.ends_ms, self.next))
    }

    /// One that was kept and is not over.
    pub(crate) fn of_secret(secret: &Secret, now_ms: i64) -> Option<Self> {
        let mut parts = secret.reveal().splitn(5, '.');
        let mut part = || parts.next().filter(|part| !part.is_empty());
        let (state, nonce, verifier) = (Secret::new(part()?), Secret::new(part()?), Secret::new(part()?));
        let ends_ms = part()?.parse().ok().filter(|ends_ms| *ends_ms > now_ms)?;
        let next = part().unwrap_or("/").to_owned();
        Some(Self { state, nonce, verifier, ends_ms, next })
    }
}

fn random() -> Result<Secret, rand::rand_core::OsError> {
    let mut bytes = [0; RANDOM_BYTES];
    OsRng.try_fill_bytes(&mut bytes)?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_read_until_it_is_over() {
        let flow = Flow::new(1_000, "/p/proj-1/migrations?search=a.b").unwrap();
        let kept = flow.to_secret();
        assert_eq!(Flow::of_secret(&kept, 600_999), Some(flow.clone()));
        assert_eq!(Flow::of_secret(&kept, 601_000), None);
        assert_eq!(Flow::of_secret(&Secret::new("a.b.c"), 0), None);
        assert_eq!(Flow::of_secret(&Secret::new("..."), 0), None);
        let other = Flow::new(1_000, "/").unwrap();
        let parts = |flow: &Flow| [flow.state.clone(), flow.nonce.clone(), flow.verifier.clone()];
        let mut all = [parts(&flow), parts(&other)].concat();
        all.dedup_by(|one, other| one == other);
        // A verifier has at least 43 characters.
        assert!(all.len() == 6 && all.iter().all(|part| part.reveal().len() == 43));
    }
}
