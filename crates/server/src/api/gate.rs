//! What every request passes before and after its handler: a number, bounds of size, time and rate, who calls, the audit
//! log, and the language of a refusal.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use tracing::{Instrument, field};
use vecferry_migrate::{Code, Lang, Problem};
use vecferry_milvus::Secret;
use vecferry_words::Told;

use super::address::{self, Peer};
use super::answer::Refusal;
use crate::access::{Caller, Credential};
use crate::console;
use crate::secret::token;
use crate::service::{Service, too_many};
use crate::settings::OidcSettings;
use crate::tables::AuditRecord;

/// The cookie of a session.
pub(crate) const SESSION_COOKIE: &str = "vecferry_session";
/// The header that shows that a page of the service makes the request, and not another one.
pub(crate) const CSRF_HEADER: &str = "x-csrf-token";

/// Bytes of a body that is too large that are read all the same.
const DROPPED_BYTES_MAX: usize = 64 << 20;

/// Whether the caller is known is answered within this time. The store tries again for a minute, for the sake of jobs that
/// run for hours; whoever waits for an answer is to hear sooner that it is away.
const CALLER_WAIT_MAX: Duration = Duration::from_secs(5);

/// Where a session begins.
const SIGN_INS: [(Method, &str); 4] = [
    (Method::POST, "/v2/session"),
    (Method::POST, "/v2/session/link"),
    (Method::GET, "/v2/session/oidc"),
    (Method::GET, OidcSettings::CALLBACK),
];

/// Characters of an address in the audit log.
const OBJECT_CHARACTERS_MAX: usize = 500;

/// Lets requests through.
pub(crate) async fn pass(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let request_id = request_id();
    let (method, path) = (request.method().clone(), matched(&request));
    let lang = language(request.headers());
    let page = console::is_asked(path, request.headers())
        .then(|| console::Look::of(request.headers(), request.uri()));
    let started = Instant::now();
    let span = tracing::info_span!("request", %request_id, %method, path, status = field::Empty);
    // Whoever hangs up does not stop what was asked for half-way, nor keep it from the audit log.
    let work = passed(Arc::clone(&service), request, next, request_id.clone()).instrument(span.clone());
    let mut response = match tokio::spawn(work).await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(%error, %request_id, "the request failed");
            Refusal::unavailable("the request failed").into_response()
        }
    };
    if let Some(refusal) = response.extensions_mut().remove::<Refusal>() {
        let closes = response.headers().get(header::CONNECTION).cloned();
        response = match page {
            Some(look) => console::refused(&refusal, &method, look, &request_id),
            None => refusal.in_language(lang, &request_id),
        };
        if let Some(closes) = closes {
            response.headers_mut().insert(header::CONNECTION, closes);
        }
    }
    secured(response.headers_mut(), &request_id, service.settings().is_behind_tls);
    let (status, seconds) = (response.status().as_u16(), started.elapsed().as_secs_f64());
    let labels = [
        ("method", method_name(&method).to_owned()),
        ("path", path.to_owned()),
        ("status", status.to_string()),
    ];
    metrics::counter!("vecferry_http_requests_total", &labels).increment(1);
    metrics::histogram!("vecferry_http_request_seconds", "path" => path.to_owned()).record(seconds);
    span.record("status", status);
    let _entered = span.enter();
    tracing::debug!(seconds, "answered");
    response
}

/// The method, of which callers can make up as many as they like.
fn method_name(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

/// An ID by which a request is found in the logs.
pub(super) fn request_id() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

/// The pattern of the address, of which there are few, and not the address.
fn matched(request: &Request) -> &'static str {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str).unwrap_or_default();
    super::PATHS
        .iter()
        .copied()
        .find(|known| *known == path)
        .or_else(|| console::pattern(path))
        .unwrap_or("other")
}

async fn passed(service: Arc<Service>, request: Request, next: Next, request_id: String) -> Response {
    let (mut parts, body) = request.into_parts();
    let limits = service.settings().requests;
    // All of it arrives before anything is answered: what was left on the connection would be taken for the next request.
    let arrived = arrived(body, limits.body_bytes_max);
    let body = match tokio::time::timeout(limits.body_wait_max, arrived).await {
        Ok(Ok(Some(body))) => body,
        Ok(Ok(None)) => {
            return closing(Problem::new(Code::TooLarge).with("bytes_max", limits.body_bytes_max));
        }
        Ok(Err(error)) => return closing(Problem::new(Code::BadRequest).with("detail", error)),
        Err(_) => {
            let problem = Problem::new(Code::BadRequest).with("detail", "the body did not arrive in time");
            return closing(problem.with("detail_zh", "请求体未及时到达"));
        }
    };
    let peer = address::of(&parts.extensions, &parts.headers, &service.settings().trusted_proxies);
    parts.extensions.insert(Peer(peer));
    let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
    // Whoever signs in needs no session, and a browser can't get rid of the cookie of one that is over.
    if SIGN_INS.iter().any(|(known, at)| *known == method && *at == path) || console::is_open(&method, &path)
    {
        without_session(&mut parts.headers);
        if let Err(refusal) = store_answers(&service).await {
            return refusal.into_response();
        }
    }
    if let Some(shown) = console::csrf_in(&parts.headers, &body) {
        show_csrf(&mut parts.headers, &shown);
    }
    let caller = match caller(&service, &method, &parts.headers, peer).await {
        Ok(caller) => caller.map(Arc::new),
        Err(refusal) => return refusal.into_response(),
    };
    let pattern = parts.extensions.get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let who = caller.as_ref().map_or_else(|| peer.to_string(), |caller| caller.actor.to_string());
    let key = format!("{who} {method} {}", pattern.as_deref().unwrap_or("other"));
    if let Err(problem) = service.allow(&key) {
        return Refusal::from(problem).into_response();
    }
    if let Some(caller) = &caller {
        parts.extensions.insert(Arc::clone(caller));
    }
    // What takes too long goes on: an answer that nobody waits for is still done or not, and not half.
    let answered = tokio::spawn(next.run(Request::from_parts(parts, Body::from(body))).in_current_span());
    let mut response = match tokio::time::timeout(limits.answer_wait_max, answered).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            tracing::error!(%error, "the request failed");
            Refusal::unavailable("the request failed").into_response()
        }
        Err(_) => {
            let problem = Problem::new(Code::ServiceUnavailable).with("detail", "it took too long");
            Refusal::from(problem.with("detail_zh", "用时过长")).into_response()
        }
    };
    let account = response.extensions_mut().remove::<Account>();
    let is_recorded = account.is_some() || (method != Method::GET && method != Method::HEAD);
    // A way that does not exist is nothing that anybody did.
    let Some(pattern) = pattern.filter(|_| is_recorded) else { return response };
    let (object, outcome) = outcome(&response);
    let mut entry = AuditRecord {
        audit_id: String::new(),
        at_ms: 0,
        actor: String::new(),
        action: format!("{method} {pattern}"),
        object: object
            .unwrap_or_else(|| token::without_tokens(&path).chars().take(OBJECT_CHARACTERS_MAX).collect()),
        outcome,
        address: peer.to_string(),
        request_id,
    };
    match (caller, account) {
        (Some(caller), _) => {
            entry.actor = caller.actor.to_string();
            recorded(service.tables().add_audit(&caller.org_id, entry).await);
        }
        (None, Some(Account(user_id))) => {
            let recording = record_sign_in(service, user_id, entry);
            match response.status().is_success() {
                true => recording.await,
                // Nobody waits for it: an answer that takes longer would tell that the account exists.
                false => drop(tokio::spawn(recording.in_current_span())),
            }
        }
        (None, None) => {}
    }
    response
}

fn recorded(result: Result<(), vecferry_store::Error>) {
    if let Err(error) = result {
        tracing::error!(%error, "the audit log could not be written");
    }
}

/// Records a sign-in in the organization of the account, or that it failed.
async fn record_sign_in(service: Arc<Service>, user_id: String, mut entry: AuditRecord) {
    if !service.records_sign_in(&user_id, &entry.outcome) {
        tracing::warn!(%user_id, "too many sign-ins for the audit log");
        return;
    }
    entry.actor = user_id;
    match service.tables().organization_of(&entry.actor).await {
        Ok(Some(org_id)) => recorded(service.tables().add_audit(&org_id, entry).await),
        // Whoever left every organization is nobody's to watch.
        Ok(None) => {}
        Err(error) => recorded(Err(error)),
    }
}

/// A body, if it is not too large. The rest of one that is too large is read and dropped, as far as that is bearable: a
/// client that is cut off while it sends does not see the answer.
async fn arrived(mut body: Body, bytes_max: usize) -> Result<Option<Bytes>, axum::Error> {
    let (mut bytes, mut dropped) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if dropped == 0 && bytes.len() + data.len() <= bytes_max {
            bytes.extend_from_slice(&data);
            continue;
        }
        dropped += data.len();
        bytes = Vec::new();
        if dropped > DROPPED_BYTES_MAX {
            break;
        }
    }
    Ok((dropped == 0).then(|| Bytes::from(bytes)))
}

/// A refusal behind which nothing more is read from the connection.
fn closing(problem: Problem) -> Response {
    let mut response = Refusal::from(problem).into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// What a request shows to say who makes it.
enum Shown<'a> {
    Nothing,
    /// Nothing that could be a credential.
    Unreadable,
    Key(Credential),
    /// With the cookie that it stands in.
    Session(Credential, &'a str),
}

fn shown(headers: &HeaderMap) -> Shown<'_> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let token = value.to_str().ok().and_then(|value| value.split_once(' '));
        let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let hash = token.and_then(|(_, token)| token::hash_of(token.trim()));
        return hash.map_or(Shown::Unreadable, |hash| Shown::Key(Credential::Key(hash)));
    }
    let Some(cookie) = cookie(headers, SESSION_COOKIE) else { return Shown::Nothing };
    let hash = token::hash_of(cookie);
    hash.map_or(Shown::Unreadable, |hash| Shown::Session(Credential::Session(hash), cookie))
}

/// Who makes a request, where it says so. A credential that is no longer good is refused, also where none is needed.
pub(super) async fn caller(
    service: &Service,
    method: &Method,
    headers: &HeaderMap,
    address: IpAddr,
) -> Result<Option<Caller>, Refusal> {
    let found = tokio::time::timeout(CALLER_WAIT_MAX, found(service, method, headers, address)).await;
    found.unwrap_or_else(|_| Err(store_is_silent(CALLER_WAIT_MAX)))
}

/// Whether the store answers whoever is to sign in: like every other caller, they hear within seconds that it does not.
async fn store_answers(service: &Service) -> Result<(), Refusal> {
    let looked = tokio::time::timeout(CALLER_WAIT_MAX, service.tables().first_organization()).await;
    looked.map_err(|_| store_is_silent(CALLER_WAIT_MAX))??;
    Ok(())
}

/// That the store did not answer in time.
pub(super) fn store_is_silent(waited: Duration) -> Refusal {
    let seconds = waited.as_secs();
    let told = Told::both(format!("no answer within {seconds} s"), format!("{seconds} 秒内无应答"));
    Problem::new(Code::ServiceUnavailable).told("detail", told).into()
}

async fn found(
    service: &Service,
    method: &Method,
    headers: &HeaderMap,
    address: IpAddr,
) -> Result<Option<Caller>, Refusal> {
    let refused = || Refusal::from(Problem::new(Code::NotSignedIn));
    let (credential, cookie) = match shown(headers) {
        Shown::Nothing => return Ok(None),
        Shown::Unreadable => return Err(refused()),
        Shown::Key(credential) => (credential, None),
        Shown::Session(credential, cookie) => (credential, Some(cookie)),
    };
    let (hash, known) = (credential.hash(), service.credentials());
    known.check(hash, address, Instant::now()).map_err(too_many)?;
    let Some(caller) = service.caller_of(&credential).await? else {
        known.refused(hash, address, Instant::now());
        return Err(refused());
    };
    known.accepted(hash);
    if let Some(cookie) = cookie.filter(|_| method != Method::GET && method != Method::HEAD) {
        let shown = headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !token::is_csrf_of(&Secret::new(cookie), shown) {
            return Err(Problem::new(Code::CsrfToken).into());
        }
    }
    Ok(Some(caller))
}

/// A form shows in a field what a program shows in a header.
fn show_csrf(headers: &mut HeaderMap, shown: &str) {
    if let Ok(shown) = HeaderValue::from_str(shown) {
        headers.entry(CSRF_HEADER).or_insert(shown);
    }
}

/// Takes the session out of the cookies.
fn without_session(headers: &mut HeaderMap) {
    let cookies: Vec<_> =
        headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok()).collect();
    let names = |cookie: &&str| cookie.trim().split_once('=').is_some_and(|(name, _)| name == SESSION_COOKIE);
    let kept: Vec<_> =
        cookies.iter().flat_map(|cookies| cookies.split(';')).filter(|cookie| !names(cookie)).collect();
    let kept = HeaderValue::from_str(&kept.join(";"));
    headers.remove(header::COOKIE);
    if let Ok(kept) = kept {
        headers.insert(header::COOKIE, kept);
    }
}

/// The value of a cookie.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|cookies| cookies.split(';')).find_map(|cookie| {
        let (known, value) = cookie.trim().split_once('=')?;
        (known == name).then_some(value)
    })
}

/// The language that was chosen in the console, or is asked for; English where none is.
pub(crate) fn language(headers: &HeaderMap) -> Lang {
    if let Some(chosen) = console::language(headers) {
        return chosen;
    }
    let asked =
        headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match asked.trim_start().get(..2) {
        Some(language) if language.eq_ignore_ascii_case("zh") => Lang::Zh,
        _ => Lang::En,
    }
}

/// What a request made, and how it came out.
fn outcome(response: &Response) -> (Option<String>, String) {
    let refused = response.extensions().get::<Refusal>().and_then(|refusal| refusal.problems().first());
    let told = response.extensions().get::<Stopped>().map(|stopped| stopped.0);
    let refused = refused.map(|problem| problem.code).or(told);
    let made = response.extensions().get::<Made>().map(|made| made.0.clone());
    let outcome = match refused {
        Some(code) => code.to_string(),
        // A form that was carried out leads on to a page.
        None if response.status().is_success() || response.status().is_redirection() => "done".to_owned(),
        None => response.status().as_str().to_owned(),
    };
    (made, outcome)
}

/// Whose account a sign-in was for, for the audit log.
#[derive(Clone, Debug)]
pub(crate) struct Account(pub(crate) String);

/// What stood in the way, where the answer is a page that tells it, for the audit log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopped(pub(crate) Code);

/// What a request made, for the audit log.
#[derive(Clone, Debug)]
pub(crate) struct Made(pub(crate) String);

/// Headers that keep browsers from guessing, framing and remembering.
pub(super) fn secured(headers: &mut HeaderMap, request_id: &str, is_behind_tls: bool) {
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in fixed {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(policy));
    if is_behind_tls {
        let value = HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, value);
    }
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert("x-request-id", value);
    }
}

/// A way that does not exist.
pub(crate) async fn nowhere(uri: axum::http::Uri) -> Refusal {
    Refusal::absent(("address", "地址"), uri.path())
}

/// A way that exists, and does not know the method.
pub(crate) async fn no_such_method() -> Refusal {
    let refusal = Refusal::bad_told("this address does not know the method", "该地址不支持此方法");
    refusal.with_status(StatusCode::METHOD_NOT_ALLOWED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_session_is_taken_out_of_the_cookies() {
        let kept = |cookies: &[&str]| {
            let mut headers = HeaderMap::new();
            for cookie in cookies {
                headers.append(header::COOKIE, HeaderValue::from_str(cookie).unwrap());
            }
            without_session(&mut headers);
            let found = |name| cookie(&headers, name).map(str::to_owned);
            (found(SESSION_COOKIE), found("vecferry_oidc"), found("other"))
        };
        let both = (None, Some("a".to_owned()), Some("b".to_owned()));
        assert_eq!(kept(&["vecferry_oidc=a; vecferry_session=s; other=b"]), both);
        assert_eq!(kept(&["vecferry_session=s; other=b", "vecferry_oidc=a;vecferry_session=t"]), both);
        assert_eq!(kept(&["vecferry_session=s"]), (None, None, None));
        assert_eq!(kept(&[]), (None, None, None));
    }
}
