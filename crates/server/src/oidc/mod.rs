//! Sign-in with an identity provider: OpenID Connect, the authorization code flow with PKCE. It finds out who somebody is; it
//! may not know users, sessions and requests.

mod flow;
mod provider;
mod token;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use form_urlencoded::{Serializer, byte_serialize};
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Full;
use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use vecferry_migrate::{Code, Lang, Problem};
use vecferry_milvus::Secret;
use vecferry_words::Told;

use crate::network::Networks;
use crate::outbound::{Address, Client};
use crate::problem::of_network;
use crate::secret::token::is_equal;
use crate::settings::OidcSettings;

pub(crate) use flow::{FLOW_SECONDS, Flow};
use provider::{Metadata, Provider};
use token::{Claims, Invalid};

/// What is asked for.
const SCOPE: &str = "openid email profile";
/// Bytes of an answer of the provider.
const ANSWER_BYTES_MAX: usize = 256 << 10;
/// Characters of what the provider says went wrong.
const ERROR_CHARACTERS_MAX: usize = 60;

/// Whom the provider vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Never given to somebody else by this provider.
    pub(crate) subject: String,
    /// In lower case. The provider has verified it.
    pub(crate) email: String,
    /// Empty where the provider tells none.
    pub(crate) name: String,
}

/// The provider's answer to a sign-in, as the browser brings it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Returned {
    pub(crate) code: Option<String>,
    pub(crate) state: Option<String>,
    /// The issuer (RFC 9207), where the provider names it.
    pub(crate) issuer: Option<String>,
    pub(crate) error: Option<String>,
}

/// Sign-in with one identity provider.
#[derive(Debug)]
pub(crate) struct Oidc {
    settings: OidcSettings,
    client: Client,
    provider: Provider,
}

/// What the token endpoint answers.
#[derive(Deserialize)]
struct Tokens {
    id_token: String,
    access_token: Option<String>,
}

/// What it answers where it gives no token.
#[derive(Deserialize)]
struct TokenRefusal {
    error: String,
}

impl Oidc {
    pub(crate) fn new(settings: OidcSettings) -> Self {
        Self { settings, client: Client::new(), provider: Provider::default() }
    }

    pub(crate) fn settings(&self) -> &OidcSettings {
        &self.settings
    }

    /// Where the browser goes to sign in.
    pub(crate) async fn authorization_url(
        &self,
        networks: &Networks,
        flow: &Flow,
    ) -> Result<String, Problem> {
        let metadata = self.metadata(networks).await?;
        let query = Serializer::new(String::new())
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("redirect_uri", &self.settings.redirect_url)
            .append_pair("scope", SCOPE)
            .append_pair("state", flow.state.reveal())
            .append_pair("nonce", flow.nonce.reveal())
            .append_pair("code_challenge", &challenge(&flow.verifier))
            .append_pair("code_challenge_method", "S256")
            .finish();
        let endpoint = &metadata.authorization_endpoint;
        let between = if endpoint.contains('?') { '&' } else { '?' };
        Ok(format!("{endpoint}{between}{query}"))
    }

    /// Whom the provider's answer is about.
    pub(crate) async fn identity(
        &self,
        networks: &Networks,
        flow: &Flow,
        returned: &Returned,
        now_ms: i64,
    ) -> Result<Identity, Problem> {
        // Before anything else of the answer is believed: it may be another site that sends the browser here.
        if !is_equal(flow.state.reveal(), returned.state.as_deref().unwrap_or_default()) {
            return Err(not_begun());
        }
        if returned.issuer.as_ref().is_some_and(|issuer| *issuer != self.settings.issuer) {
            return Err(told(Invalid::Issuer));
        }
        if let Some(error) = &returned.error {
            return Err(answered_with(error));
        }
        let Some(code) = &returned.code else { return Err(answered_with("no code")) };
        let metadata = self.metadata(networks).await?;
        let tokens = self.exchange(networks, &metadata, flow, code).await?;
        let claims = self.verified(networks, &metadata, &tokens.id_token).await?;
        let expected = token::Expected {
            issuer: &self.settings.issuer,
            client_id: &self.settings.client_id,
            nonce: flow.nonce.reveal(),
            now_ms,
        };
        claims.check(&expected).map_err(told)?;
        let claims = match (&claims.email, &metadata.userinfo_endpoint, &tokens.access_token) {
            (None, Some(endpoint), Some(access_token)) => {
                self.completed(networks, claims, endpoint, access_token).await?
            }
            (Some(_), _, _) | (None, None, _) | (None, _, None) => claims,
        };
        vouched(claims)
    }

    /// The tokens for a code.
    async fn exchange(
        &self,
        networks: &Networks,
        metadata: &Metadata,
        flow: &Flow,
        code: &str,
    ) -> Result<Tokens, Problem> {
        let request = self.token_request(metadata, flow, code)?;
        let (status, body) = self.call(networks, &metadata.token_endpoint, request).await?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|_| told(Invalid::Malformed));
        }
        match serde_json::from_slice::<TokenRefusal>(&body) {
            Ok(refusal) if status.is_client_error() => Err(answered_with(&refusal.error)),
            Ok(_) | Err(_) => Err(self.status(status)),
        }
    }

    fn token_request(
        &self,
        metadata: &Metadata,
        flow: &Flow,
        code: &str,
    ) -> Result<Request<Full<Bytes>>, Problem> {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", &self.settings.redirect_url)
            .append_pair("code_verifier", flow.verifier.reveal());
        let mut request = Request::builder().method(Method::POST);
        match &self.settings.client_secret {
            Some(secret) if metadata.takes_basic() => {
                let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
                let pair = format!("{}:{}", encoded(&self.settings.client_id), encoded(secret.reveal()));
                request = request.header(header::AUTHORIZATION, basic(&pair)?);
            }
            Some(secret) => {
                form.append_pair("client_id", &self.settings.client_id);
                form.append_pair("client_secret", secret.reveal());
            }
            None => {
                form.append_pair("client_id", &self.settings.client_id);
            }
        }
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        let request = request.header(header::CONTENT_TYPE, kind).header(header::ACCEPT, "application/json");
        request.body(Full::new(Bytes::from(form.finish()))).map_err(|_| self.malformed())
    }

    /// The claims of a token with a good signature. A key that is not known may be a new one.
    async fn verified(
        &self,
        networks: &Networks,
        metadata: &Metadata,
        id_token: &str,
    ) -> Result<Claims, Problem> {
        let mut age_max = provider::FRESH;
        loop {
            let fetch = self.json(networks, &metadata.jwks_uri);
            let keys = self.provider.keys(age_max, fetch).await?;
            match token::verified(id_token, &keys) {
                Err(Invalid::UnknownKey) if age_max > provider::KEYS_AGAIN => age_max = provider::KEYS_AGAIN,
                read => return read.map_err(told),
            }
        }
    }

    /// With the claims that are told apart from the token.
    async fn completed(
        &self,
        networks: &Networks,
        claims: Claims,
        endpoint: &str,
        access_token: &str,
    ) -> Result<Claims, Problem> {
        let mut bearer =
            HeaderValue::from_str(&format!("Bearer {access_token}")).map_err(|_| told(Invalid::Malformed))?;
        bearer.set_sensitive(true);
        let request = Request::builder().header(header::AUTHORIZATION, bearer);
        let request = request.body(Full::default()).map_err(|_| self.malformed())?;
        let (status, body) = self.call(networks, endpoint, request).await?;
        if !status.is_success() {
            return Err(self.status(status));
        }
        let info: token::UserInfo = serde_json::from_slice(&body).map_err(|_| self.malformed())?;
        claims.completed(info).map_err(told)
    }

    async fn metadata(&self, networks: &Networks) -> Result<std::sync::Arc<Metadata>, Problem> {
        let issuer = &self.settings.issuer;
        let fetch = async {
            let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
            let metadata: Metadata =
                serde_json::from_value(self.json(networks, &url).await?).map_err(|_| self.malformed())?;
            if metadata.issuer != *issuer {
                let said: String = metadata.issuer.chars().take(200).collect();
                return Err(self.unusable(Told::both(
                    format!("it calls itself `{said}`"),
                    format!("其自称为 `{said}`"),
                )));
            }
            metadata.is_safe().then_some(metadata).ok_or_else(|| self.malformed())
        };
        self.provider.metadata(fetch).await
    }

    /// A document of the provider.
    async fn json(&self, networks: &Networks, url: &str) -> Result<Value, Problem> {
        let request = Request::builder().header(header::ACCEPT, "application/json");
        let request = request.body(Full::default()).map_err(|_| self.malformed())?;
        let (status, body) = self.call(networks, url, request).await?;
        if !status.is_success() {
            return Err(self.status(status));
        }
        serde_json::from_slice(&body).map_err(|_| self.malformed())
    }

    async fn call(
        &self,
        networks: &Networks,
        url: &str,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), Problem> {
        let address = Address::parse(url).ok_or_else(|| self.malformed())?;
        let host = address.host();
        let resolved = async {
            let resolved = networks.resolve(host, address.port()).await;
            resolved.map_err(|error| of_network(host, error))
        };
        // A sign-in makes several calls, of which each would be a part of its future.
        let answer = Box::pin(self.client.exchange(&address, resolved, request, ANSWER_BYTES_MAX));
        answer.await.map_err(|failure| {
            tracing::warn!(%failure, issuer = self.settings.issuer, "the identity provider is away");
            self.unusable(Told::both(failure.told(Lang::En), failure.told(Lang::Zh)))
        })
    }

    fn unusable(&self, detail: Told) -> Problem {
        let problem = Problem::new(Code::IdentityProviderUnavailable);
        problem.with("issuer", &self.settings.issuer).told("detail", detail)
    }

    fn malformed(&self) -> Problem {
        self.unusable(Told::both(
            "its answer is not valid OpenID Connect",
            "其应答不符合 OpenID Connect 规范",
        ))
    }

    fn status(&self, status: StatusCode) -> Problem {
        let status = status.as_u16();
        let english = format!("its answer has the status {status}");
        self.unusable(Told::both(english, format!("其应答状态码为 {status}")))
    }
}

/// What the provider compares the verifier with (PKCE).
fn challenge(verifier: &Secret) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.reveal()))
}

/// Credentials as HTTP has them.
fn basic(pair: &str) -> Result<HeaderValue, Problem> {
    let value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair)));
    let mut value = value.map_err(|_| told(Invalid::Malformed))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Only an address that the provider has verified says who somebody is.
fn vouched(claims: Claims) -> Result<Identity, Problem> {
    let email = claims.email.as_deref().map(|email| email.trim().to_lowercase()).unwrap_or_default();
    if email.is_empty() {
        return Err(told(Invalid::NoEmail));
    }
    if !claims.is_email_verified() {
        return Err(told(Invalid::UnverifiedEmail));
    }
    Ok(Identity { subject: claims.sub, email, name: claims.name.unwrap_or_default() })
}

fn rejected(detail: Told) -> Problem {
    Problem::new(Code::SignInRejected).told("detail", detail)
}

fn told(invalid: Invalid) -> Problem {
    let (english, chinese) = invalid.texts();
    rejected(Told::both(english, chinese))
}

/// The browser did not begin this sign-in.
pub(crate) fn not_begun() -> Problem {
    let minutes = FLOW_SECONDS / 60;
    rejected(Told::both(
        format!("this browser did not begin it within the last {minutes} minutes"),
        format!("此浏览器在最近 {minutes} 分钟内没有发起该登录"),
    ))
}

/// What the provider says went wrong. Only as much of it as can't be anything but a code.
fn answered_with(error: &str) -> Problem {
    let is_plain = |character: &char| character.is_ascii_alphanumeric() || "_-. ".contains(*character);
    let error: String = error.chars().filter(is_plain).take(ERROR_CHARACTERS_MAX).collect();
    rejected(Told::both(
        format!("the identity provider answered `{error}`"),
        format!("身份提供方返回 `{error}`"),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata(methods: Value) -> Metadata {
        let at = |path: &str| format!("https://id.example.com/{path}");
        serde_json::from_value(json!({"issuer": "https://id.example.com", "authorization_endpoint": at("a"),
            "token_endpoint": at("t"), "jwks_uri": at("k"), "token_endpoint_auth_methods_supported": methods}))
        .unwrap()
    }

    async fn token_request(client_secret: Option<&str>, methods: Value) -> (Option<String>, String) {
        let oidc = Oidc::new(OidcSettings {
            issuer: "https://id.example.com".into(),
            client_id: "the client".into(),
            client_secret: client_secret.map(Secret::new),
            redirect_url: "https://v.example.com/callback".into(),
            email_domains: Vec::new(),
            join: None,
        });
        let flow = Flow::new(0, "/").unwrap();
        let request = oidc.token_request(&metadata(methods), &flow, "the code").unwrap();
        let shown =
            request.headers().get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
        let body = http_body_util::BodyExt::collect(request.into_body()).await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        let common = format!(
            "grant_type=authorization_code&code=the+code&redirect_uri=https%3A%2F%2Fv.example.com%2Fcallback&code_verifier={}",
            flow.verifier.reveal()
        );
        (shown, body.strip_prefix(&common).unwrap().to_owned())
    }

    #[tokio::test]
    async fn the_client_shows_its_secret_as_the_provider_takes_it() {
        // `the+client:s%3Acret`: each part is encoded, so that the colon between them is the only one.
        let basic = Some("Basic dGhlK2NsaWVudDpzJTNBY3JldA==".to_owned());
        for methods in
            [Value::Null, json!(["client_secret_post", "client_secret_basic"]), json!(["private_key_jwt"])]
        {
            assert_eq!(token_request(Some("s:cret"), methods).await, (basic.clone(), String::new()));
        }
        let form = (None, "&client_id=the+client&client_secret=s%3Acret".to_owned());
        assert_eq!(token_request(Some("s:cret"), json!(["client_secret_post"])).await, form);
        assert_eq!(token_request(None, Value::Null).await, (None, "&client_id=the+client".to_owned()));
    }

    /// The example of RFC 7636, appendix B.
    #[test]
    fn a_challenge_is_that_of_the_standard() {
        let verifier = Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(challenge(&verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn endpoints_have_to_be_safe() {
        let mut metadata = metadata(Value::Null);
        assert!(metadata.is_safe());
        metadata.userinfo_endpoint = Some("http://id.example.com/u".to_owned());
        assert!(!metadata.is_safe());
    }
}
