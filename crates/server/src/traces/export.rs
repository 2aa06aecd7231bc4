//! Takes ended spans to the collector, some at a time, until the service ends.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Full;
use hyper::body::Bytes;
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use vecferry_migrate::{Code, Problem};

use super::message::{self, KeyValue, Resource, ResourceSpans, Scope, ScopeSpans, Span, Value};
use super::{Collector, Exporter};
use crate::outbound::Client;
use crate::problem::unresolved;

/// Spans in one request.
const BATCH_MAX: usize = 512;
/// Spans wait so long for others to go with.
const INTERVAL: Duration = Duration::from_secs(2);
/// A collector that does not take spans is asked again after so long.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// What is left when the service ends has so long.
const FLUSH_MAX: Duration = Duration::from_millis(1_500);

/// What became of a request to the collector.
enum Outcome {
    Taken,
    /// It may take them later.
    Away(String),
    /// It will never take them.
    Refused(String),
}

impl Exporter {
    /// Exports until it is told to stop, and then what is left, for no longer than a moment.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut sender = Sender::new(self.collector.clone());
        let stopped = stop.cancelled();
        tokio::pin!(stopped);
        tokio::select! {
            () = &mut stopped => {}
            () = self.export(&mut sender) => {}
        }
        if tokio::time::timeout(FLUSH_MAX, self.flush(&mut sender)).await.is_err() {
            tracing::debug!("the last spans could not be exported in time");
        }
    }

    async fn export(&mut self, sender: &mut Sender) {
        loop {
            if sender.batch.is_empty() && !self.collect(sender).await {
                return;
            }
            if !sender.send().await {
                tokio::time::sleep(AGAIN_AFTER).await;
                self.tell_of_dropped();
            }
        }
    }

    /// Waits for spans. Gives whether there are any: without a layer there are none any more.
    async fn collect(&mut self, sender: &mut Sender) -> bool {
        if self.spans.recv_many(&mut sender.batch, BATCH_MAX).await == 0 {
            return false;
        }
        let deadline = tokio::time::Instant::now() + INTERVAL;
        while sender.batch.len() < BATCH_MAX {
            let room = BATCH_MAX - sender.batch.len();
            let more = self.spans.recv_many(&mut sender.batch, room);
            match tokio::time::timeout_at(deadline, more).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        true
    }

    /// Sends what is there, as long as it is taken.
    async fn flush(&mut self, sender: &mut Sender) {
        self.spans.close();
        loop {
            while sender.batch.len() < BATCH_MAX {
                let Ok(span) = self.spans.try_recv() else { break };
                sender.batch.push(span);
            }
            if sender.batch.is_empty() || !sender.send().await {
                return;
            }
        }
    }

    fn tell_of_dropped(&self) {
        match self.dropped.swap(0, Ordering::Relaxed) {
            0 => {}
            spans => tracing::debug!(spans, "spans were dropped"),
        }
    }
}

/// Sends spans, and tells once when that begins or ends to fail.
struct Sender {
    client: Client,
    collector: Collector,
    instance: String,
    batch: Vec<Span>,
    is_away: bool,
}

impl Sender {
    fn new(collector: Collector) -> Self {
        let instance = uuid::Uuid::now_v7().to_string();
        Self { client: Client::new(), collector, instance, batch: Vec::new(), is_away: false }
    }

    /// Sends the spans. Gives whether they are dealt with; otherwise they are kept for the next time.
    async fn send(&mut self) -> bool {
        match self.sent().await {
            Outcome::Taken => {
                self.batch.clear();
                if std::mem::take(&mut self.is_away) {
                    tracing::info!("traces are exported again");
                }
                true
            }
            Outcome::Away(error) => {
                self.warn(&error);
                false
            }
            Outcome::Refused(error) => {
                self.batch.clear();
                self.warn(&error);
                true
            }
        }
    }

    fn warn(&mut self, error: &str) {
        if std::mem::replace(&mut self.is_away, true) {
            tracing::debug!(error, "traces still cannot be exported");
        } else {
            let collector = self.collector.address.host();
            tracing::warn!(error, collector, "traces cannot be exported: spans are dropped meanwhile");
        }
    }

    async fn sent(&self) -> Outcome {
        let body = Full::new(Bytes::from(self.message().encode_to_vec()));
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        let kind = HeaderValue::from_static("application/x-protobuf");
        request.headers_mut().insert(header::CONTENT_TYPE, kind);
        let address = &self.collector.address;
        let resolved = resolved(address.host(), address.port());
        match self.client.exchange(address, resolved, request, 0).await {
            Ok((status, _)) => of_status(status),
            Err(failure) => Outcome::Away(failure.to_string()),
        }
    }

    fn message(&self) -> message::Request {
        let text = |text: &str| Value::Text(text.to_owned());
        let attributes = vec![
            KeyValue::new("service.name", text("vecferry")),
            KeyValue::new("service.version", text(env!("CARGO_PKG_VERSION"))),
            KeyValue::new("service.instance.id", text(&self.instance)),
        ];
        let scope = Scope { name: "vecferry".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
        let scopes = vec![ScopeSpans { scope: Some(scope), spans: self.batch.clone() }];
        let resource = Some(Resource { attributes });
        message::Request { resources: vec![ResourceSpans { resource, scopes }] }
    }
}

/// As OTLP says which answers are worth another try.
fn of_status(status: StatusCode) -> Outcome {
    let told = format!("the collector answered {status}");
    match status.as_u16() {
        200..=299 => Outcome::Taken,
        429 | 502 | 503 | 504 => Outcome::Away(told),
        _ => Outcome::Refused(told),
    }
}

/// Whoever runs the service names the collector, so that every address may be called.
async fn resolved(host: &str, port: u16) -> Result<Vec<SocketAddr>, Problem> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match tokio::net::lookup_host((host, port)).await {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => {
            Err(Problem::new(Code::BadRequest).told("detail", unresolved(host, &error.to_string())))
        }
    }
}
