//! To sign in with an identity provider: the browser goes there and comes back.

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use utoipa::IntoParams;
use vecferry_migrate::{Code, Problem};
use vecferry_store::ErrorKind;
use vecferry_words::Told;

use super::address::Peer;
use super::answer::{Refusal, Refused};
use super::extract::{self, Query, text};
use super::projects::NAME_CHARACTERS_MAX;
use super::request::{Account, cookie};
use super::session::{begun, session_cookie};
use crate::destination::back;
use crate::oidc::{FLOW_SECONDS, Flow, Identity, Oidc, Returned, not_begun};
use crate::service::{Service, too_many};
use crate::settings::OidcSettings;
use crate::tables::UserRecord;

/// Keeps a sign-in that is under way.
const FLOW_COOKIE: &str = "vecferry_oidc";
/// Where the browser shows it, and nowhere else.
const FLOW_PATH: &str = "/v2/session/oidc";
/// What it is encrypted for.
const FLOW_PURPOSE: &str = "oidc sign-in";

/// What the browser is shown in the end. A redirect would still be a part of the way from the provider, and browsers show
/// the session's cookie (`SameSite=Strict`) only on ways that begin here.
const ARRIVED: &str = "<!doctype html><html><head><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"0;url={next}\">\
    <title>Vecferry</title></head><body><a href=\"{next}\">Vecferry</a></body></html>";

/// Where to go behind the sign-in.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Begin {
    /// A page of the console, such as `/p/proj-1/migrations`; the first one where it is left out.
    #[serde(default)]
    pub(crate) next: String,
}

/// The page that leads there. The address is one of this service, and can't end the attribute that it stands in.
fn arrived(next: &str) -> String {
    let next =
        back(next).replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;");
    ARRIVED.replace("{next}", &next)
}

/// What the provider sends with the browser.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Callback {
    /// What the provider gives a token for.
    pub(crate) code: Option<String>,
    /// What the sign-in began with.
    pub(crate) state: Option<String>,
    /// The provider.
    pub(crate) iss: Option<String>,
    /// Why it signs nobody in.
    pub(crate) error: Option<String>,
}

/// Begin to sign in with the identity provider: redirects to it
#[utoipa::path(get, path = "/v2/session/oidc", tag = "Session", operation_id = "signInByOidc", params(Begin),
    responses((status = 303, description = "To the identity provider"), (status = "default", body = Refused)))]
pub(crate) async fn begin(
    State(service): State<Arc<Service>>,
    Query(begin): Query<Begin>,
) -> Result<Response, Refusal> {
    let oidc = configured(&service)?;
    let flow =
        Flow::new(service.tables().now_ms().await?, back(&begin.next)).map_err(Refusal::unavailable)?;
    let location = oidc.authorization_url(service.networks(), &flow).await?;
    let sealed = service.seal(FLOW_PURPOSE, &flow.to_secret())?;
    let kept = flow_cookie(&service, &URL_SAFE_NO_PAD.encode(sealed), FLOW_SECONDS)?;
    let location = HeaderValue::from_str(&location).map_err(Refusal::unavailable)?;
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, location), (header::SET_COOKIE, kept)]).into_response())
}

/// Come back from the identity provider: a session begins, in a cookie
#[utoipa::path(get, path = "/v2/session/oidc/callback", tag = "Session", operation_id = "finishSignInByOidc", params(Callback),
    responses((status = 200, description = "A page that leads to the console", content_type = "text/html", body = String),
        (status = "default", body = Refused)))]
pub(crate) async fn finish(
    State(service): State<Arc<Service>>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    Query(callback): Query<Callback>,
) -> Result<Response, Refusal> {
    let oidc = configured(&service)?;
    let account = format!("oidc {peer}");
    service.sign_ins().check(&account, peer, Instant::now()).map_err(too_many)?;
    let mut response = match signed_in(&service, oidc, &headers, callback).await {
        Ok((session, account, next)) => {
            let mut response = Html(arrived(&next)).into_response();
            response.extensions_mut().insert(account);
            response.headers_mut().append(header::SET_COOKIE, session);
            response
        }
        Err(refusal) => {
            if refusal.problems().iter().any(|problem| problem.code == Code::SignInRejected) {
                service.sign_ins().failed(&account, peer, Instant::now()).map_err(too_many)?;
            }
            refusal.into_response()
        }
    };
    // However it ended, it is over.
    response.headers_mut().append(header::SET_COOKIE, flow_cookie(&service, "", 0)?);
    Ok(response)
}

/// The cookie of the session, the account, and the page to open, of whom the provider vouches for.
async fn signed_in(
    service: &Service,
    oidc: &Oidc,
    headers: &HeaderMap,
    Callback { code, state, iss, error }: Callback,
) -> Result<(HeaderValue, Account, String), Refusal> {
    let now_ms = service.tables().now_ms().await?;
    let flow = kept_flow(service, headers, now_ms).ok_or_else(not_begun)?;
    let returned = Returned { code, state, issuer: iss, error };
    let identity = oidc.identity(service.networks(), &flow, &returned, now_ms).await?;
    let user = user_of(service, oidc.settings(), &identity).await?;
    let account = Account(user.user_id.clone());
    let (_, token) = begun(service, user).await?;
    Ok((session_cookie(service, &token)?, account, flow.next))
}

fn configured(service: &Service) -> Result<&Oidc, Refusal> {
    service.oidc().ok_or_else(|| Refusal::absent(("address", "地址"), FLOW_PATH))
}

fn flow_cookie(service: &Service, value: &str, seconds: i64) -> Result<HeaderValue, Refusal> {
    let secure = if service.settings().is_behind_tls { "; Secure" } else { "" };
    // Strict would hide it from the way back.
    let cookie =
        format!("{FLOW_COOKIE}={value}; Path={FLOW_PATH}; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
    HeaderValue::from_str(&cookie).map_err(Refusal::unavailable)
}

/// The sign-in that this browser began.
fn kept_flow(service: &Service, headers: &HeaderMap, now_ms: i64) -> Option<Flow> {
    let sealed = URL_SAFE_NO_PAD.decode(cookie(headers, FLOW_COOKIE)?).ok()?;
    Flow::of_secret(&service.open_secret(FLOW_PURPOSE, &sealed).ok()?, now_ms)
}

/// The user who has an identity, found by the e-mail address the first time.
async fn user_of(
    service: &Service,
    settings: &OidcSettings,
    identity: &Identity,
) -> Result<UserRecord, Refusal> {
    let (email, of_provider) = (&identity.email, (settings.issuer.as_str(), identity.subject.as_str()));
    if extract::email("email", email).is_err() {
        return Err(not_admitted(email, Told::both("it is no e-mail address", "它不是邮箱地址")));
    }
    if !settings.is_of_domains(email) {
        let english = "addresses of this domain may not sign in with the identity provider";
        return Err(not_admitted(email, Told::both(english, "该域名的地址不能通过身份提供方登录")));
    }
    let user_id = match service.tables().user_of_identity(of_provider).await? {
        Some(user_id) => user_id,
        None => first_time(service, settings, identity).await?,
    };
    let user = service.tables().user(&user_id).await?;
    let Some(user) = user else { return Err(unknown(email)) };
    if service.tables().organization_of(&user.user_id).await?.is_none() {
        return Err(unknown(email));
    }
    Ok(user)
}

/// The user who gets an identity that nobody has.
async fn first_time(
    service: &Service,
    settings: &OidcSettings,
    identity: &Identity,
) -> Result<String, Refusal> {
    let (email, of_provider) = (&identity.email, (settings.issuer.as_str(), identity.subject.as_str()));
    let known = service.tables().user_by_email(email).await?;
    let added = match (known, &settings.join) {
        (Some(user), _) => {
            // Who belongs to no organization any more was removed, and is not let in again by this way.
            if service.tables().organization_of(&user.user_id).await?.is_none() {
                return Err(unknown(email));
            }
            service.tables().add_identity(of_provider, &user.user_id).await.map(|()| user.user_id)
        }
        (None, Some(org_id)) => {
            let name = text("name", &identity.name, NAME_CHARACTERS_MAX).unwrap_or_else(|_| email.clone());
            service.tables().add_member_by_identity(org_id, (email, &name), of_provider).await
        }
        (None, None) => return Err(unknown(email)),
    };
    match added {
        Ok(user_id) => {
            tracing::info!(%user_id, issuer = settings.issuer, "an identity was recorded");
            Ok(user_id)
        }
        // By a sign-in at the same time, or the address is the one of somebody with another identity.
        Err(error) if error.kind() == ErrorKind::Taken => {
            let english = "another user of the identity provider signs in with this address";
            let detail = Told::both(english, "身份提供方的另一用户已使用该地址登录");
            let now = service.tables().user_of_identity(of_provider).await?;
            now.ok_or_else(|| not_admitted(email, detail))
        }
        Err(error) => Err(error.into()),
    }
}

fn unknown(email: &str) -> Refusal {
    let english = "no organization of this service has a member with this address";
    not_admitted(email, Told::both(english, "本服务的组织中没有使用该地址的成员"))
}

fn not_admitted(email: &str, detail: Told) -> Refusal {
    let shown: String =
        email.chars().filter(|character| !vecferry_report::acts(*character)).take(254).collect();
    Problem::new(Code::NotAdmitted).with("email", shown).told("detail", detail).into()
}
