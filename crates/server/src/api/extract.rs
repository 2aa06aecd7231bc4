//! What handlers are given: the caller, and what the request says, read strictly.

use std::sync::Arc;

use axum::body::{Bytes, HttpBody};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header;
use axum::http::request::Parts;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use vecferry_migrate::{Code, Problem};

use super::answer::Refusal;
use crate::access::Caller;
pub(crate) use crate::jobs::time;
use crate::service::Service;

/// The caller, who has shown who that is.
#[derive(Clone, Debug)]
pub(crate) struct Signed(pub(crate) Arc<Caller>);

impl FromRequestParts<Arc<Service>> for Signed {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Service>) -> Result<Self, Refusal> {
        let caller = parts.extensions.get::<Arc<Caller>>().cloned();
        caller.map(Self).ok_or_else(|| Problem::new(Code::NotSignedIn).into())
    }
}

/// An owner of the organization.
#[derive(Clone, Debug)]
pub(crate) struct Owner(pub(crate) Arc<Caller>);

impl FromRequestParts<Arc<Service>> for Owner {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Self, Refusal> {
        let Signed(caller) = Signed::from_request_parts(parts, service).await?;
        if caller.is_owner() {
            return Ok(Self(caller));
        }
        Err(not_allowed(crate::access::OrganizationRole::Owner.title(), caller.role.title()))
    }
}

/// A refusal for lack of a role.
pub(crate) fn not_allowed(
    (needs, needs_zh): (&'static str, &'static str),
    (role, role_zh): (&'static str, &'static str),
) -> Refusal {
    let problem = Problem::new(Code::NotAllowed).with("action", "this request").with("action_zh", "此请求");
    let problem = problem.with("needs", needs).with("needs_zh", needs_zh);
    problem.with("role", role).with("role_zh", role_zh).into()
}

/// A body of JSON, of which every field is known.
#[derive(Clone, Debug)]
pub(crate) struct Body<Data>(pub(crate) Data);

impl<Data: DeserializeOwned> FromRequest<Arc<Service>> for Body<Data> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &Arc<Service>) -> Result<Self, Refusal> {
        read(&json(request).await?).map(Self)
    }
}

/// A body that is said to be JSON.
async fn json(request: Request) -> Result<Bytes, Refusal> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(Refusal::bad_told(
            "the body is not said to be JSON; send `Content-Type: application/json`",
            "请求体未声明为 JSON；请发送 `Content-Type: application/json`",
        ));
    }
    // It has arrived already: the gate reads it, within a size and a time.
    Ok(request.into_body().collect().await.map_err(Refusal::bad)?.to_bytes())
}

/// The same where the body may be left out, or be `null`.
#[derive(Clone, Debug)]
pub(crate) struct OptionalBody<Data>(pub(crate) Data);

impl<Data: DeserializeOwned + Default> FromRequest<Arc<Service>> for OptionalBody<Data> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &Arc<Service>) -> Result<Self, Refusal> {
        // The gate made it of what arrived, so that its size is known.
        if request.body().size_hint().exact() == Some(0) {
            return Ok(Self(Data::default()));
        }
        let bytes = json(request).await?;
        if bytes.trim_ascii() == b"null" {
            return Ok(Self(Data::default()));
        }
        read(&bytes).map(Self)
    }
}

/// Reads JSON strictly.
pub(crate) fn read<Data: DeserializeOwned>(bytes: &[u8]) -> Result<Data, Refusal> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Refusal::bad_told("the body is not UTF-8", "请求体不是 UTF-8 编码"))?;
    if text.contains("\\u0000") {
        return Err(Refusal::bad_told("the body holds the character NUL", "请求体含有 NUL 字符"));
    }
    // Otherwise a list would be taken for the fields in their order.
    if !text.trim_start().starts_with('{') {
        return Err(Refusal::bad_told("the body is not a JSON object", "请求体不是 JSON 对象"));
    }
    serde_json::from_str(text).map_err(|error| Refusal::bad(without_texts(&error.to_string())))
}

/// What is wrong with a body, without the texts that stand there: where something else belongs, it may be a credential.
fn without_texts(told: &str) -> String {
    for (before, instead) in [("invalid type: string ", "a text"), ("invalid value: string ", "this text")] {
        if let (Some(rest), Some(end)) = (told.strip_prefix(before), told.rfind(", expected ")) {
            let kept = before.trim_end_matches("string ");
            return format!("{kept}{instead}{}", &rest[end - before.len()..]);
        }
    }
    match (told.strip_prefix("unknown variant `"), told.rfind("`, expected ")) {
        (Some(_), Some(end)) => format!("unknown value{}", &told[end + 1..]),
        _ => told.to_owned(),
    }
}

/// No store holds the character NUL in a text, so that nothing can be called so.
fn without_nul(parts: &Parts) -> Result<(), Refusal> {
    let address = parts.uri.path_and_query().map(|address| address.as_str()).unwrap_or_default();
    if address.contains("%00") {
        return Err(Refusal::bad_told("the address holds the character NUL", "地址含有 NUL 字符"));
    }
    Ok(())
}

/// Values of the path.
#[derive(Clone, Debug)]
pub(crate) struct Path<Values>(pub(crate) Values);

impl<Values: DeserializeOwned + Send> FromRequestParts<Arc<Service>> for Path<Values> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Self, Refusal> {
        without_nul(parts)?;
        let path = axum::extract::Path::<Values>::from_request_parts(parts, service).await;
        let axum::extract::Path(values) =
            path.map_err(|error: PathRejection| Refusal::bad(error.body_text()))?;
        Ok(Self(values))
    }
}

/// Values of the query.
#[derive(Clone, Debug)]
pub(crate) struct Query<Values>(pub(crate) Values);

impl<Values: DeserializeOwned> FromRequestParts<Arc<Service>> for Query<Values> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Self, Refusal> {
        without_nul(parts)?;
        let query = axum::extract::Query::<Values>::from_request_parts(parts, service).await;
        let axum::extract::Query(values) =
            query.map_err(|error: QueryRejection| Refusal::bad(error.body_text()))?;
        Ok(Self(values))
    }
}

/// A text of a body: trimmed, not empty, not longer than some characters, without control characters.
pub(crate) fn text(name: &str, value: &str, characters_max: usize) -> Result<String, Refusal> {
    let value = value.trim();
    if value.is_empty() {
        return Err(Refusal::bad_told(format!("`{name}` is empty"), format!("`{name}` 为空")));
    }
    optional_text(name, value, characters_max)
}

/// The same of a text that may be empty.
pub(crate) fn optional_text(name: &str, value: &str, characters_max: usize) -> Result<String, Refusal> {
    let value = value.trim();
    if value.chars().count() > characters_max {
        return Err(Refusal::bad_told(
            format!("`{name}` has more than {characters_max} characters"),
            format!("`{name}` 超过 {characters_max} 个字符"),
        ));
    }
    if value.chars().any(vecferry_report::acts) {
        return Err(Refusal::bad_told(
            format!("`{name}` holds control characters"),
            format!("`{name}` 含有控制字符"),
        ));
    }
    Ok(value.to_owned())
}

/// Characters of an e-mail address.
const EMAIL_CHARACTERS_MAX: usize = 254;

/// Whether a text has the form of an e-mail address.
fn is_email(email: &str) -> bool {
    match email.split_once('@') {
        Some((local, host)) => {
            !local.is_empty()
                && !host.is_empty()
                && !email.contains(char::is_whitespace)
                && !host.contains('@')
        }
        None => false,
    }
}

/// An e-mail address of a body.
pub(crate) fn email(name: &str, value: &str) -> Result<String, Refusal> {
    let email = text(name, value, EMAIL_CHARACTERS_MAX)?;
    match is_email(&email) {
        true => Ok(email),
        false => {
            Err(Refusal::bad_told(format!("`{name}` is no e-mail address"), format!("`{name}` 不是邮箱地址")))
        }
    }
}

/// How many rows a page may have.
pub(crate) fn page_rows(asked: Option<i64>) -> Result<i64, Refusal> {
    match asked {
        None => Ok(crate::tables::PAGE_ROWS),
        Some(rows) if (1..=100).contains(&rows) => Ok(rows),
        Some(rows) => Err(Refusal::bad_told(
            format!("`pageSize` is {rows}, not from 1 to 100"),
            format!("`pageSize` 为 {rows}，不在 1 到 100 之间"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "it is only read")]
    struct Asked {
        name: Option<String>,
        number: Option<u32>,
        part: Option<std::collections::BTreeMap<String, String>>,
        chosen: Option<Chosen>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    enum Chosen {
        One,
        Two,
    }

    #[test]
    fn what_stands_in_the_wrong_place_is_not_told() {
        for (body, told) in [
            (
                r#"{"part": "pl\"anted, expected x"}"#,
                "invalid type: a text, expected a map at line 1 column 32",
            ),
            (r#"{"number": "planted"}"#, "invalid type: a text, expected u32 at line 1 column 20"),
            (r#"{"chosen": "planted"}"#, "unknown value, expected `one` or `two` at line 1 column 20"),
            (r#"{"name": ["planted"]}"#, "invalid type: sequence, expected a string at line 1 column 9"),
            (r#"{"colour": "planted"}"#, "unknown field `colour`, expected one of"),
        ] {
            let refusal = read::<Asked>(body.as_bytes()).unwrap_err();
            let problem = &refusal.problems()[0];
            assert!(problem.to_string().contains(told), "{body}: {problem}");
            assert!(!problem.to_string().contains("anted"), "{body}: {problem}");
        }
    }
}
