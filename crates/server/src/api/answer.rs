//! The envelope of every answer: `code` and `data`, or `code`, `message` and the problems.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use vecferry_migrate::problem::retell;
use vecferry_migrate::{Code, Problem};
use vecferry_store::Error as StoreError;
use vecferry_words::{Lang, Surface};

use crate::problem::{document, of_store};
use crate::secret::token::without_tokens;

/// What a request made, for the audit log: its ID, and its name where it has one.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) id: String,
    pub(crate) name: Option<String>,
}

impl Made {
    /// Something with a name.
    pub(crate) fn named(id: &str, name: &str) -> Self {
        Self { id: id.to_owned(), name: Some(name.to_owned()) }
    }
}

/// An answer that brings something.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Answer<Data: ToSchema> {
    /// Always 0.
    #[schema(example = 0)]
    pub(crate) code: u32,
    /// What was asked for.
    pub(crate) data: Data,
    /// What was made, for the audit log.
    #[serde(skip)]
    pub(crate) made: Option<Made>,
}

impl<Data: Serialize + ToSchema> IntoResponse for Answer<Data> {
    fn into_response(mut self) -> Response {
        let made = self.made.take();
        let mut response = Json(self).into_response();
        if let Some(made) = made {
            response.extensions_mut().insert(made);
        }
        response
    }
}

/// What every handler gives.
pub(crate) type Result<Data> = std::result::Result<Answer<Data>, Refusal>;

/// An answer with some data.
pub(crate) fn answer<Data: ToSchema>(data: Data) -> Result<Data> {
    Ok(Answer { code: 0, data, made: None })
}

/// An answer to a request that made something.
pub(crate) fn answer_made<Data: ToSchema>(data: Data, made: Made) -> Result<Data> {
    Ok(Answer { code: 0, data, made: Some(made) })
}

/// Nothing but that it was done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Done {}

/// An answer that brings nothing.
pub(crate) fn done() -> Result<Done> {
    answer(Done {})
}

/// A request that was not carried out.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) problems: Vec<Problem>,
    /// Another status than the first problem's.
    pub(crate) status: Option<StatusCode>,
}

/// The body of a refusal.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Refused {
    /// The kind of failure, as the cloud's API numbers it; where that has no number, 10000 and the number behind `VF-`.
    #[schema(example = 80000)]
    pub(crate) code: u32,
    /// What is wrong, and what to do, in the language asked for by `Accept-Language` (English or Chinese).
    pub(crate) message: String,
    /// The request, for whoever reads the logs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) request_id: String,
    /// Everything that stands in the way, each with its `VF-` code and its texts in both languages.
    #[schema(value_type = Vec<Object>)]
    pub(crate) problems: Vec<Value>,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem], status: None }
    }
}

impl From<Vec<Problem>> for Refusal {
    fn from(problems: Vec<Problem>) -> Self {
        if problems.is_empty() {
            return Self::unavailable("no reason was given");
        }
        Self { problems, status: None }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "the store failed");
        of_store(&error).into()
    }
}

/// The same of a document that holds problems.
pub(crate) fn documents(value: &impl Serialize) -> std::result::Result<Value, Refusal> {
    let mut value = serde_json::to_value(value).map_err(Refusal::unavailable)?;
    retell(&mut value, Surface::Service);
    Ok(value)
}

impl Refusal {
    /// A request that can't be read.
    pub(crate) fn bad(detail: impl std::fmt::Display) -> Self {
        Problem::new(Code::BadRequest).with("detail", without_tokens(&detail.to_string())).into()
    }

    /// The same, worded in both languages.
    pub(crate) fn bad_told(english: impl std::fmt::Display, chinese: impl std::fmt::Display) -> Self {
        let (english, chinese) = (without_tokens(&english.to_string()), without_tokens(&chinese.to_string()));
        Problem::new(Code::BadRequest).with("detail", english).with("detail_zh", chinese).into()
    }

    /// Nothing of this kind has this ID, for this caller.
    pub(crate) fn absent((kind, kind_zh): (&'static str, &'static str), id: &str) -> Self {
        let id = without_tokens(id);
        Problem::new(Code::NoSuchObject).with("kind", kind).with("kind_zh", kind_zh).with("id", id).into()
    }

    /// The state of things does not allow it.
    pub(crate) fn conflict(english: impl std::fmt::Display, chinese: impl std::fmt::Display) -> Self {
        Problem::new(Code::Conflict).with("detail", english).with("detail_zh", chinese).into()
    }

    /// The service can't do its work now.
    pub(crate) fn unavailable(detail: impl std::fmt::Display) -> Self {
        Problem::new(Code::ServiceUnavailable).with("detail", detail).into()
    }

    /// What stands in the way.
    pub(crate) fn problems(&self) -> &[Problem] {
        &self.problems
    }

    fn first(&self) -> Code {
        self.problems.first().map_or(Code::ServiceUnavailable, |problem| problem.code)
    }

    /// The status of the answer.
    pub(crate) fn status(&self) -> StatusCode {
        self.status.unwrap_or_else(|| status(self.first()))
    }

    /// With another status.
    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status: Some(status), ..self }
    }

    /// The answer in a language.
    pub(crate) fn in_language(self, lang: Lang, request_id: &str) -> Response {
        let message = |problem: &Problem| {
            let (what, hint) =
                (problem.what_on(Surface::Service, lang), problem.hint_on(Surface::Service, lang));
            let between = match lang {
                Lang::En => "; ",
                Lang::Zh => "；",
            };
            format!("{}: {what}{between}{hint}", problem.code)
        };
        let first = self.first();
        let wait = self.problems.first().and_then(|problem| {
            problem.values.iter().find(|(name, _)| name == "seconds").map(|(_, value)| value.clone())
        });
        let messages: Vec<_> = self.problems.iter().take(PROBLEMS_TOLD_MAX).map(message).collect();
        let body = Refused {
            code: number(first, &self.problems),
            message: messages.join("\n"),
            request_id: request_id.to_owned(),
            problems: self.problems.iter().map(document).collect(),
        };
        let mut response = (self.status(), Json(body)).into_response();
        if let (Code::TooManyRequests, Some(Ok(wait))) = (first, wait.map(|wait| wait.parse())) {
            response.headers_mut().insert(header::RETRY_AFTER, wait);
        }
        response
    }
}

/// Problems that the message tells; the list has all of them.
const PROBLEMS_TOLD_MAX: usize = 5;

/// Refusals leave the handlers without a language; the outermost layer gives them one.
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The status for a code. What the engine refuses is an unusable request: nothing was done.
fn status(code: Code) -> StatusCode {
    #[allow(clippy::wildcard_enum_match_arm, reason = "the codes of the engine are refusals of a request")]
    match code {
        Code::NotSignedIn | Code::SignInRejected => StatusCode::UNAUTHORIZED,
        Code::NotAllowed | Code::NotAdmitted | Code::CsrfToken => StatusCode::FORBIDDEN,
        Code::NoSuchObject => StatusCode::NOT_FOUND,
        Code::Conflict | Code::IdempotencyConflict | Code::ClusterInUse | Code::ProjectInUse => {
            StatusCode::CONFLICT
        }
        Code::NotWarm | Code::WarmCopyOpen | Code::SwitchBegun => StatusCode::CONFLICT,
        Code::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::ServiceUnavailable | Code::StoreFull | Code::KeyMissing | Code::IdentityProviderUnavailable => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        code if vecferry_migrate::problem::is_store_unavailable(code) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// The number of a code in the cloud's API, where it has one.
fn number(code: Code, problems: &[Problem]) -> u32 {
    let is_of_cluster = || {
        let values = problems.first().map(|problem| problem.values.as_slice()).unwrap_or_default();
        values.iter().any(|(name, value)| name == "kind" && value == "cluster")
    };
    #[allow(clippy::wildcard_enum_match_arm, reason = "the cloud has numbers for few of them")]
    match code {
        Code::BadRequest => 80_000,
        Code::NotSignedIn => 80_001,
        Code::NotAllowed => 40_022,
        Code::NoSuchObject if is_of_cluster() => 80_020,
        Code::ClusterInUse => 40_003,
        code => 10_000 + u32::from(code.entry().number),
    }
}
