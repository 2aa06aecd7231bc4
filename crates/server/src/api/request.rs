//! What is known of a request besides its body: its number, who makes it, in which language it is answered, and what the
//! audit log is told of it.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use vecferry_migrate::{Code, Lang, Problem};
use vecferry_milvus::Secret;
use vecferry_words::Told;

use super::answer::Refusal;
use crate::access::{Caller, Credential};
use crate::secret::token;
use crate::service::{Service, too_many};

/// The cookie of a session.
pub(crate) const SESSION_COOKIE: &str = "vecferry_session";
/// The cookie of the language that was chosen in the console.
pub(crate) const LANGUAGE_COOKIE: &str = "vecferry_language";
/// The header that shows that a page of the service makes the request, and not another one.
pub(crate) const CSRF_HEADER: &str = "x-csrf-token";

/// Whether the caller is known is answered within this time. The store tries again for a minute, for the sake of jobs that
/// run for hours; whoever waits for an answer is to hear sooner that it is away.
pub(crate) const CALLER_WAIT_MAX: Duration = Duration::from_secs(5);

/// An ID by which a request is found in the logs.
pub(crate) fn request_id() -> String {
    uuid::Uuid::now_v7().simple().to_string()
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
pub(crate) async fn caller(
    service: &Service,
    method: &Method,
    headers: &HeaderMap,
    address: IpAddr,
) -> Result<Option<Caller>, Refusal> {
    let found = tokio::time::timeout(CALLER_WAIT_MAX, found(service, method, headers, address)).await;
    found.unwrap_or_else(|_| Err(store_is_silent(CALLER_WAIT_MAX)))
}

/// That the store did not answer in time.
pub(crate) fn store_is_silent(waited: Duration) -> Refusal {
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

/// Takes the session out of the cookies.
pub(crate) fn without_session(headers: &mut HeaderMap) {
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
    match cookie(headers, LANGUAGE_COOKIE) {
        Some("zh") => return Lang::Zh,
        Some("en") => return Lang::En,
        Some(_) | None => {}
    }
    let asked =
        headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match asked.trim_start().get(..2) {
        Some(language) if language.eq_ignore_ascii_case("zh") => Lang::Zh,
        _ => Lang::En,
    }
}

/// Whether a browser that asks for an open page shows a session, good or not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HasSession(pub(crate) bool);

/// Whose account a sign-in was for, for the audit log.
#[derive(Clone, Debug)]
pub(crate) struct Account(pub(crate) String);

/// What stood in the way, where the answer is a page that tells it, for the audit log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopped(pub(crate) Code);

/// Headers that keep browsers from guessing, framing and remembering.
pub(crate) fn secured(headers: &mut HeaderMap, request_id: &str, is_behind_tls: bool) {
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
