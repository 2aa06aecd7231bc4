//! What happens to a job, as server-sent events. They come from the record, so that every process tells them, and a
//! listener that comes back goes on behind the last one it saw.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{Extensions, HeaderMap, Method, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vecferry_migrate::Lang;
use vecferry_store::{Error as StoreError, ErrorKind, JobId};

use super::answer::{Refusal, Refused};
use super::extract::Path;
use super::jobs::job;
use crate::access::{Action, Caller};
use crate::jobs::{Job, shown};
use crate::service::Service;
use crate::tables::{MigrationRecord, Stand};

/// Steps that are read at once.
const STEPS_MAX: usize = 200;
/// Where a listener is quiet for so long, it is told that the connection is still good.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A browser that lost the connection comes back after this time.
const RETRY: Duration = Duration::from_secs(2);
/// The right to listen is looked at again after as many looks at the record.
const LOOKS_A_RIGHT: u32 = 20;

/// The ways of events, and their description.
pub(super) fn ways() -> OpenApiRouter<Arc<Service>> {
    let listen = routes!(listen);
    OpenApiRouter::new().routes((listen.0, listen.1, listen.2.fallback(no_such_method)))
}

/// An event, as its lines are read.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it describes what is sent as text")]
pub(crate) struct SentEvent {
    /// `job` or `step`.
    #[schema(example = "step")]
    pub(crate) event: String,
    /// JSON.
    pub(crate) data: String,
    /// Of a step.
    pub(crate) id: Option<String>,
    /// Milliseconds until a browser that lost the connection comes back.
    #[schema(value_type = Option<u32>)]
    pub(crate) retry: Option<u32>,
}

/// A listener and what it was told.
struct Listener {
    service: Arc<Service>,
    caller: Caller,
    job_id: String,
    lang: Lang,
    /// The step that it was told last.
    step: Option<i64>,
    told: Option<Job>,
    /// What of the job was recorded when it was told last: while that is so, no more of it is read.
    stand: Option<Stand>,
    pending: std::collections::VecDeque<Event>,
    looks: u32,
    is_over: bool,
    _permit: OwnedSemaphorePermit,
}

/// What happens to a job, as server-sent events
///
/// Events named `job` bring the job as `GET /v2/jobs/{jobId}` shows it, whenever it changed; the one at its end is the last.
/// Events named `step` bring a step of a collection and have IDs: with `Last-Event-ID`, only later ones come.
#[utoipa::path(get, path = "/v2/jobs/{jobId}/events", tag = "Jobs", operation_id = "listenToJob",
    params(
        ("jobId" = String, Path, description = "The job"),
        ("Last-Event-ID" = Option<String>, Header, description = "The last step that was seen")
    ),
    security(("apiKey" = []), ("session" = [])),
    responses(
        (status = 200, description = "Events", content_type = "text/event-stream", body = SentEvent),
        (status = "default", body = Refused)
    ))]
pub(crate) async fn listen(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    extensions: Extensions,
    job_id: Result<Path<String>, Refusal>,
) -> Response {
    let peer = super::address::of(&extensions, &headers, &service.settings().trusted_proxies);
    let lang = super::request::language(&headers);
    let is_behind_tls = service.settings().is_behind_tls;
    let request_id = super::request::request_id();
    let listener = match job_id {
        Ok(Path(job_id)) => listener(service, (&headers, peer), job_id, lang).await,
        Err(refusal) => Err(refusal),
    };
    let mut response = match listener {
        Ok(listener) => {
            let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
            Sse::new(events(listener)).keep_alive(keep_alive).into_response()
        }
        Err(refusal) => refusal.in_language(lang, &request_id),
    };
    super::request::secured(response.headers_mut(), &request_id, is_behind_tls);
    response
}

/// Nothing passes the gate here, so that it is answered as the gate does.
async fn no_such_method(State(service): State<Arc<Service>>, headers: HeaderMap) -> Response {
    let refusal = super::request::no_such_method().await;
    let request_id = super::request::request_id();
    let mut response = refusal.in_language(super::request::language(&headers), &request_id);
    super::request::secured(response.headers_mut(), &request_id, service.settings().is_behind_tls);
    response
}

async fn listener(
    service: Arc<Service>,
    (headers, peer): (&HeaderMap, IpAddr),
    job_id: String,
    lang: Lang,
) -> Result<Listener, Refusal> {
    let caller = super::request::caller(&service, &Method::GET, headers, peer).await?;
    let caller = caller.ok_or_else(|| vecferry_migrate::Problem::new(vecferry_migrate::Code::NotSignedIn))?;
    service.allow(&format!("{} events", caller.actor))?;
    job(&service, &caller, &job_id, Action::Look).await?;
    let permit = Arc::clone(service.listeners()).try_acquire_owned().map_err(|_| super::clusters::busy())?;
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let step = match last {
        None | Some("") => None,
        Some(text) => Some(text.parse().map_err(|_| {
            Refusal::bad_told("`Last-Event-ID` is none of this service", "`Last-Event-ID` 不是本服务的编号")
        })?),
    };
    Ok(Listener {
        service,
        caller,
        job_id,
        lang,
        step,
        told: None,
        stand: None,
        pending: std::collections::VecDeque::new(),
        looks: 0,
        is_over: false,
        _permit: permit,
    })
}

fn events(listener: Listener) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(listener, |mut listener| async move {
        loop {
            if let Some(event) = listener.pending.pop_front() {
                return Some((Ok(event), listener));
            }
            if listener.is_over {
                return None;
            }
            if listener.looks > 0 {
                let interval = listener.service.settings().requests.listener_interval;
                let stopping = listener.service.stopping().clone();
                tokio::select! {
                    () = tokio::time::sleep(interval) => {}
                    () = stopping.cancelled() => return None,
                }
            }
            listener.looks += 1;
            listener.look().await;
        }
    })
}

impl Listener {
    /// Looks at the record. What can't be read now is told later.
    async fn look(&mut self) {
        if self.looks.is_multiple_of(LOOKS_A_RIGHT) && !self.may_still_look().await {
            self.is_over = true;
            return;
        }
        let changed = match self.changed().await {
            Ok(changed) => changed,
            Err(error) => {
                tracing::debug!(%error, "a listener waits for the store");
                return;
            }
        };
        // What the job came to is told behind the steps that led there.
        if self.is_over || !self.steps().await {
            return;
        }
        if let Some((stand, record)) = changed {
            self.stand = Some(stand);
            self.tell(&record);
        }
    }

    /// The job, where something of it changed since it was told last. One that is gone is over.
    async fn changed(&mut self) -> Result<Option<(Stand, MigrationRecord)>, StoreError> {
        let (tables, org_id) = (self.service.tables(), &self.caller.org_id);
        let stand = tables.stand(org_id, &self.job_id).await?;
        if stand.is_some() && stand == self.stand {
            return Ok(None);
        }
        let record = tables.migration(org_id, &self.job_id).await?;
        let found = stand.zip(record);
        self.is_over = found.is_none();
        Ok(found)
    }

    /// Whether the caller's rights still are what they were: keys are revoked, and roles taken.
    async fn may_still_look(&self) -> bool {
        match job(&self.service, &self.caller, &self.job_id, Action::Look).await {
            Ok(_) => self.service.is_still(&self.caller).await,
            Err(refusal) => refusal.status() == StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Steps that were recorded since the last one. Tells whether there are no more.
    async fn steps(&mut self) -> bool {
        let job_id = JobId::from(self.job_id.as_str());
        let steps = match self.service.store().events(&job_id, self.step, STEPS_MAX).await {
            Ok(steps) => steps,
            Err(error) if error.kind() == ErrorKind::UnknownJob => Vec::new(),
            Err(error) => {
                tracing::debug!(%error, "a listener waits for the store");
                return false;
            }
        };
        let is_all = steps.len() < STEPS_MAX;
        for step in steps {
            self.step = Some(step.event_id);
            let event = Event::default().event("step").id(step.event_id.to_string()).data(step.event);
            self.pending.push_back(event);
        }
        is_all
    }

    /// The job itself, where it changed. The end of it is the last that is told.
    fn tell(&mut self, record: &MigrationRecord) {
        let now = shown(record, self.lang);
        if self.told.as_ref() == Some(&now) {
            return;
        }
        if let Ok(event) = Event::default().event("job").retry(RETRY).json_data(&now) {
            self.pending.push_back(event);
        }
        self.told = Some(now);
        self.is_over = record.ended_ms.is_some() && record.wanted.is_none() && record.holder.is_none();
    }
}
