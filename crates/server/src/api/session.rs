//! To sign in and out, for people with a browser. Programs use API keys.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vecferry_migrate::{Code, Problem};
use vecferry_milvus::Secret;

use super::address::Peer;
use super::answer::{Answer, Done, Refusal, Refused, Result, answer, done};
use super::extract::{Body, Signed, email, text};
use super::projects::NAME_CHARACTERS_MAX;
use super::request::{Account, SESSION_COOKIE, cookie};
use crate::access::{Actor, Caller};
use crate::secret::password;
use crate::secret::token::{self, Token, TokenKind};
use crate::service::{Service, too_many};
use crate::tables::UserRecord;

/// Who is signed in.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Session {
    /// The organization in which requests are made.
    pub(crate) organization_id: String,
    /// `user-…`, or `key-…` for a customized API key.
    pub(crate) actor: String,
    /// `owner` or `member`.
    #[schema(example = "owner")]
    pub(crate) organization_role: &'static str,
    /// Roles in projects: `admin`, `readWrite` or `readOnly`. An owner has every right in every project.
    pub(crate) project_roles: std::collections::BTreeMap<String, &'static str>,
    /// What requests of this session that change something show as `X-CSRF-Token`; absent with an API key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) csrf_token: Option<String>,
}

fn session(caller: &Caller, secret: Option<&str>) -> Session {
    Session {
        organization_id: caller.org_id.clone(),
        actor: caller.actor.to_string(),
        organization_role: caller.role.name(),
        project_roles: caller.projects.iter().map(|(id, role)| (id.clone(), role.name())).collect(),
        csrf_token: secret.map(|secret| token::csrf_of(&Secret::new(secret))),
    }
}

/// Who signs in.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SignIn {
    #[schema(example = "alice@example.com")]
    pub(crate) email: String,
    #[schema(example = "correct horse battery staple", format = Password)]
    pub(crate) password: String,
}

/// A link that signs in once.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SignInByLink {
    /// What stands behind `#` in the link.
    #[schema(example = "vfl_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    pub(crate) token: String,
}

/// Changes of one's own account; what is absent stays.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AccountChange {
    #[serde(default)]
    #[schema(example = "Alice")]
    pub(crate) name: Option<String>,
    /// With which one signs in.
    #[serde(default)]
    #[schema(example = "alice@example.com")]
    pub(crate) email: Option<String>,
    /// The present password, to change the address; not needed before one was set.
    #[serde(default)]
    #[schema(format = Password)]
    pub(crate) current_password: String,
}

/// A new password.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewPassword {
    /// The present one; not needed before one was set.
    #[serde(default)]
    pub(crate) current_password: String,
    /// 12 to 256 characters.
    #[schema(example = "correct horse battery staple", format = Password)]
    pub(crate) new_password: String,
}

/// Who is signed in
#[utoipa::path(get, path = "/v2/session", tag = "Session", operation_id = "showSession", security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<Session>), (status = "default", body = Refused)))]
pub(crate) async fn show(Signed(caller): Signed, headers: HeaderMap) -> Result<Session> {
    let secret = caller.session().and_then(|_| cookie(&headers, SESSION_COOKIE));
    answer(session(&caller, secret))
}

/// Sign in with a password: a session begins, in a cookie
#[utoipa::path(post, path = "/v2/session", tag = "Session", operation_id = "signIn", request_body = SignIn,
    responses((status = 200, body = Answer<Session>), (status = "default", body = Refused)))]
pub(crate) async fn sign_in(
    State(service): State<Arc<Service>>,
    Extension(Peer(peer)): Extension<Peer>,
    Body(SignIn { email, password }): Body<SignIn>,
) -> Response {
    let mut account = None;
    let answered = by_password(&service, peer, (&email, password), &mut account).await;
    told_of(answered, account)
}

/// The answer, with whose account it was for.
fn told_of(answered: std::result::Result<Response, Refusal>, account: Option<Account>) -> Response {
    let mut response = answered.into_response();
    match account {
        Some(account) => drop(response.extensions_mut().insert(account)),
        // An address that belongs to no account is written nowhere: people type passwords there.
        None => tracing::info!("no account was signed in to"),
    }
    response
}

async fn by_password(
    service: &Service,
    peer: IpAddr,
    (email, password): (&str, String),
    account: &mut Option<Account>,
) -> std::result::Result<Response, Refusal> {
    let email = email.trim().to_lowercase();
    service.sign_ins().check(&email, peer, Instant::now()).map_err(too_many)?;
    let user = service.tables().user_by_email(&email).await?;
    *account = user.as_ref().map(|user| Account(user.user_id.clone()));
    let password = Secret::new(password);
    let hash = user.as_ref().and_then(|user| user.password.as_deref());
    let is_right = match hash {
        Some(hash) => password::verify(hash, &password).await,
        // It takes as long, so that nobody learns who is there.
        None => password::verify_nobody(&password).await,
    };
    let is_right = is_right.map_err(Refusal::unavailable)?;
    match user.filter(|_| is_right) {
        Some(user) => {
            service.sign_ins().succeeded(&email, peer, Instant::now()).map_err(too_many)?;
            begin(service, user).await
        }
        None => {
            service.sign_ins().failed(&email, peer, Instant::now()).map_err(too_many)?;
            Err(Problem::new(Code::NotSignedIn).into())
        }
    }
}

/// Sign in with a link that works once
#[utoipa::path(post, path = "/v2/session/link", tag = "Session", operation_id = "signInByLink", request_body = SignInByLink,
    responses((status = 200, body = Answer<Session>), (status = "default", body = Refused)))]
pub(crate) async fn sign_in_by_link(
    State(service): State<Arc<Service>>,
    Extension(Peer(peer)): Extension<Peer>,
    Body(SignInByLink { token }): Body<SignInByLink>,
) -> Response {
    let mut account = None;
    let answered = by_link(&service, peer, &token, &mut account).await;
    told_of(answered, account)
}

async fn by_link(
    service: &Service,
    peer: IpAddr,
    token: &str,
    account: &mut Option<Account>,
) -> std::result::Result<Response, Refusal> {
    service.sign_ins().check(&link_of(peer), peer, Instant::now()).map_err(too_many)?;
    let user_id = match token::hash_of(token) {
        Some(hash) => service.tables().use_link(&hash).await?,
        None => None,
    };
    let user = match user_id {
        Some(user_id) => service.tables().user(&user_id).await?,
        None => None,
    };
    let Some(user) = user else {
        service.sign_ins().failed(&link_of(peer), peer, Instant::now()).map_err(too_many)?;
        return Err(Problem::new(Code::NotSignedIn).into());
    };
    *account = Some(Account(user.user_id.clone()));
    begin(service, user).await
}

/// Links name no account: failures count by the address.
fn link_of(peer: IpAddr) -> String {
    format!("link {peer}")
}

async fn begin(service: &Service, user: UserRecord) -> std::result::Result<Response, Refusal> {
    let (caller, token) = begun(service, user).await?;
    let mut response = answer(session(&caller, Some(token.reveal())))?.into_response();
    response.headers_mut().insert(header::SET_COOKIE, session_cookie(service, &token)?);
    Ok(response)
}

/// Begins a session: who has it, and its token.
pub(super) async fn begun(
    service: &Service,
    user: UserRecord,
) -> std::result::Result<(Caller, Secret), Refusal> {
    let Some(org_id) = service.tables().organization_of(&user.user_id).await? else {
        return Err(Problem::new(Code::NotSignedIn).into());
    };
    let token = Token::new(TokenKind::Session).map_err(Refusal::unavailable)?;
    service.tables().add_session(&token.hash, &user.user_id, &org_id).await?;
    let Some(caller) = service.caller_of_session(&token.hash).await? else {
        return Err(Problem::new(Code::NotSignedIn).into());
    };
    service.credentials().accepted(&token.hash);
    Ok((caller, token.secret))
}

/// The cookie of a session.
pub(super) fn session_cookie(service: &Service, token: &Secret) -> std::result::Result<HeaderValue, Refusal> {
    let secret = token.reveal();
    let secure = if service.settings().is_behind_tls { "; Secure" } else { "" };
    let value = format!("{SESSION_COOKIE}={secret}; Path=/; HttpOnly; SameSite=Lax; Max-Age=43200{secure}");
    HeaderValue::from_str(&value).map_err(Refusal::unavailable)
}

/// Sign out
#[utoipa::path(delete, path = "/v2/session", tag = "Session", operation_id = "signOut", security(("session" = [])),
    responses((status = 200, body = Answer<Done>), (status = "default", body = Refused)))]
pub(crate) async fn sign_out(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
) -> std::result::Result<Response, Refusal> {
    if let Some(hash) = caller.session() {
        service.tables().end_session(hash).await?;
    }
    let mut response = done()?.into_response();
    let value = format!("{SESSION_COOKIE}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0");
    let value = HeaderValue::from_str(&value).map_err(Refusal::unavailable)?;
    response.headers_mut().insert(header::SET_COOKIE, value);
    Ok(response)
}

/// Change the name or the address of one's own account
#[utoipa::path(patch, path = "/v2/session", tag = "Session", operation_id = "changeAccount", request_body = AccountChange,
    security(("session" = [])),
    responses((status = 200, body = Answer<Done>), (status = "default", body = Refused)))]
pub(crate) async fn change(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Extension(Peer(peer)): Extension<Peer>,
    Body(change): Body<AccountChange>,
) -> Result<Done> {
    let (_, user) = own_account(&service, &caller).await?;
    let name = change.name.as_deref().map(|name| text("name", name, NAME_CHARACTERS_MAX)).transpose()?;
    let address = change.email.as_deref().map(|given| email("email", given)).transpose()?;
    let address = address.filter(|email| email.to_lowercase() != user.email);
    if address.is_some() {
        is_own(&service, peer, &user, change.current_password).await?;
    }
    let (email, name) = (address.unwrap_or(user.email), name.unwrap_or(user.name));
    service.tables().change_user(&user.user_id, &email, &name).await?;
    done()
}

/// The session of whoever changes their own account. Whoever only has a key must not lock its owner out.
async fn own_account<'a>(
    service: &Service,
    caller: &'a Caller,
) -> std::result::Result<(&'a str, UserRecord), Refusal> {
    let (Some(session), Actor::User(user_id)) = (caller.session(), &caller.actor) else {
        let refusal = "an account is changed in a session, not with an API key";
        return Err(Refusal::bad_told(refusal, "账户须在会话中更改，不能使用 API 密钥"));
    };
    let user = service.tables().user(user_id).await?;
    user.map(|user| (session, user)).ok_or_else(|| Problem::new(Code::NotSignedIn).into())
}

/// Refuses a password that is too short or too long.
pub(crate) fn acceptable(password: &str) -> std::result::Result<(), Refusal> {
    if password::check(&Secret::new(password)).is_ok() {
        return Ok(());
    }
    let problem = Problem::new(Code::WeakPassword).with("min", password::CHARACTERS_MIN);
    Err(problem.with("max", password::CHARACTERS_MAX).into())
}

/// Refuses whoever does not know the present password, where there is one.
async fn is_own(
    service: &Service,
    peer: IpAddr,
    user: &UserRecord,
    current: String,
) -> std::result::Result<(), Refusal> {
    let Some(hash) = &user.password else { return Ok(()) };
    service.sign_ins().check(&user.email, peer, Instant::now()).map_err(too_many)?;
    if password::verify(hash, &Secret::new(current)).await.map_err(Refusal::unavailable)? {
        return Ok(());
    }
    service.sign_ins().failed(&user.email, peer, Instant::now()).map_err(too_many)?;
    Err(Refusal::bad_told("the present password is another one", "当前密码不正确"))
}

/// Set the password; all other sessions of the user end
#[utoipa::path(put, path = "/v2/session/password", tag = "Session", operation_id = "setPassword", request_body = NewPassword,
    security(("session" = [])),
    responses((status = 200, body = Answer<Done>), (status = "default", body = Refused)))]
pub(crate) async fn set_password(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Extension(Peer(peer)): Extension<Peer>,
    Body(NewPassword { current_password, new_password }): Body<NewPassword>,
) -> Result<Done> {
    let (session, user) = own_account(&service, &caller).await?;
    acceptable(&new_password)?;
    let new = Secret::new(new_password);
    is_own(&service, peer, &user, current_password).await?;
    let hash = password::hash(&new).await.map_err(Refusal::unavailable)?;
    service.tables().set_password(&user.user_id, &hash, session).await?;
    done()
}
