//! What a form sends.

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;
use std::sync::Arc;

use crate::api::Refusal;
use crate::service::Service;

/// The field that shows that a page of the service sends the form.
const CSRF_FIELD: &str = "csrf";
/// Fields of a form. Choosing ten thousand collections is the most that one does.
const FIELDS_MAX: usize = 20_000;

/// The fields of a form, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    fn read(body: &[u8]) -> Self {
        let fields = form_urlencoded::parse(body).take(FIELDS_MAX);
        Self(fields.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// The value of a field; empty where it was not sent.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The same; none where it is empty.
    pub(crate) fn some(&self, name: &str) -> Option<String> {
        Some(self.text(name).trim()).filter(|value| !value.is_empty()).map(str::to_owned)
    }

    /// All values of a field, such as boxes that are checked.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The fields whose names begin with a text, by the rest of their names.
    pub(crate) fn beginning_with<'a>(&'a self, start: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().filter_map(move |(name, value)| Some((name.strip_prefix(start)?, value.as_str())))
    }

    /// Whether a box is checked.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }
}

/// What a form shows to say that a page of the service sends it.
pub(crate) fn csrf_in(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    is_form(headers).then(|| Form::read(body).text(CSRF_FIELD).to_owned())
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

impl FromRequest<Arc<Service>> for Form {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &Arc<Service>) -> Result<Self, Refusal> {
        if !is_form(request.headers()) {
            return Err(Refusal::bad_told("this is not what a form sends", "请求内容不是表单"));
        }
        // The gate has read it already, within a size and a time.
        let body = request.into_body().collect().await.map_err(Refusal::bad)?.to_bytes();
        Ok(Self::read(&body))
    }
}
