//! What is known of the provider: its endpoints and its keys, for a time.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use vecferry_migrate::Problem;

use super::token::Key;
use crate::outbound::Address;

/// What is known is asked for again after so long.
pub(super) const FRESH: Duration = Duration::from_secs(3600);
/// Keys are asked for again after so long where a token names one that is not known: whoever sends such tokens must not make
/// the service call the provider each time.
pub(super) const KEYS_AGAIN: Duration = Duration::from_secs(30);
/// What is known is used so long if the provider can't be asked.
const USABLE: Duration = Duration::from_secs(24 * 3600);
/// A provider that was away is not asked again for so long.
const AWAY: Duration = Duration::from_secs(5);
/// Keys of a provider.
const KEYS_MAX: usize = 100;

/// The provider's description of itself.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    pub(super) issuer: String,
    pub(super) authorization_endpoint: String,
    pub(super) token_endpoint: String,
    pub(super) jwks_uri: String,
    pub(super) userinfo_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

impl Metadata {
    /// Whether all that is called is called over TLS, or on this machine.
    pub(super) fn is_safe(&self) -> bool {
        let is_safe = |url: &String| Address::parse(url).is_some_and(|address| address.is_safe());
        let endpoints = [&self.authorization_endpoint, &self.token_endpoint, &self.jwks_uri];
        endpoints.into_iter().chain(&self.userinfo_endpoint).all(is_safe)
    }

    /// Whether the client shows its secret as HTTP has it, and not in the form.
    pub(super) fn takes_basic(&self) -> bool {
        let Some(methods) = &self.token_endpoint_auth_methods_supported else { return true };
        let has = |name: &str| methods.iter().any(|method| method == name);
        has("client_secret_basic") || !has("client_secret_post")
    }
}

/// What is known of one provider.
#[derive(Debug, Default)]
pub(super) struct Provider {
    metadata: Mutex<Cached<Metadata>>,
    keys: Mutex<Cached<Vec<Key>>>,
}

impl Provider {
    /// The description.
    pub(super) async fn metadata(
        &self,
        fetch: impl Future<Output = Result<Metadata, Problem>>,
    ) -> Result<Arc<Metadata>, Problem> {
        self.metadata.lock().await.get(FRESH, Instant::now(), fetch).await
    }

    /// The keys, if they are not older than that.
    pub(super) async fn keys(
        &self,
        age_max: Duration,
        fetch: impl Future<Output = Result<Value, Problem>>,
    ) -> Result<Arc<Vec<Key>>, Problem> {
        let fetch = async { Ok(keys_of(&fetch.await?)) };
        self.keys.lock().await.get(age_max, Instant::now(), fetch).await
    }
}

/// The keys of a document that can be used; others are none of this module's business.
fn keys_of(document: &Value) -> Vec<Key> {
    let keys = document.get("keys").and_then(Value::as_array).into_iter().flatten();
    keys.take(KEYS_MAX).filter_map(Key::of_json).collect()
}

/// Something that was asked for.
#[derive(Debug)]
struct Cached<Known> {
    known: Option<(Arc<Known>, Instant)>,
    failed: Option<(Problem, Instant)>,
}

impl<Known> Default for Cached<Known> {
    fn default() -> Self {
        Self { known: None, failed: None }
    }
}

impl<Known> Cached<Known> {
    fn within(&self, age_max: Duration, now: Instant) -> Option<Arc<Known>> {
        let (known, at) = self.known.as_ref()?;
        (now.saturating_duration_since(*at) < age_max).then(|| Arc::clone(known))
    }

    /// What is known, asked for again where that is too old.
    async fn get(
        &mut self,
        age_max: Duration,
        now: Instant,
        fetch: impl Future<Output = Result<Known, Problem>>,
    ) -> Result<Arc<Known>, Problem> {
        if let Some(known) = self.within(age_max, now) {
            return Ok(known);
        }
        if let Some((problem, at)) = &self.failed
            && now.saturating_duration_since(*at) < AWAY
        {
            return self.within(USABLE, now).ok_or_else(|| problem.clone());
        }
        match fetch.await {
            Ok(known) => {
                let known = Arc::new(known);
                (self.known, self.failed) = (Some((Arc::clone(&known), now)), None);
                Ok(known)
            }
            Err(problem) => {
                self.failed = Some((problem.clone(), Instant::now()));
                self.within(USABLE, now).ok_or(problem)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use vecferry_migrate::Code;

    use super::*;

    #[tokio::test]
    async fn what_is_known_is_kept_for_a_time() {
        let mut cached = Cached::default();
        let begin = Instant::now();
        let away = || Problem::new(Code::ServiceUnavailable).with("detail", "away");
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert!(cached.get(FRESH, begin, async { Err(away()) }).await.is_err());
        // Not asked again at once.
        assert!(cached.get(FRESH, at(1), async { panic!("it was away") }).await.is_err());
        assert_eq!(*cached.get(FRESH, at(10), async { Ok(1) }).await.unwrap(), 1);
        assert_eq!(*cached.get(FRESH, at(3609), async { panic!("it is fresh") }).await.unwrap(), 1);
        // An older one is better than none, but not for ever.
        assert_eq!(*cached.get(FRESH, at(3611), async { Err(away()) }).await.unwrap(), 1);
        assert!(cached.get(FRESH, at(24 * 3600 + 11), async { Err(away()) }).await.is_err());
        assert_eq!(*cached.get(FRESH, at(25 * 3600), async { Ok(2) }).await.unwrap(), 2);
        assert_eq!(
            *cached.get(KEYS_AGAIN, at(25 * 3600 + 29), async { panic!("too soon") }).await.unwrap(),
            2
        );
        assert_eq!(*cached.get(KEYS_AGAIN, at(25 * 3600 + 30), async { Ok(3) }).await.unwrap(), 3);
    }
}
