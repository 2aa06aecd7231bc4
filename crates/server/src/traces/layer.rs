//! Notes what spans are, and hands them on when they end.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::message::{KeyValue, Kind, Span, Value};

/// Spans of the libraries of this project, and not of what they are built on.
const TARGETS: &str = "vecferry";
/// Characters of a text; servers' names and the like are cut off behind them.
const TEXT_CHARACTERS_MAX: usize = 256;
/// Attributes of a span.
const ATTRIBUTES_MAX: usize = 16;

/// Notes spans for an exporter.
pub struct SpanLayer {
    spans: mpsc::Sender<Span>,
    dropped: Arc<AtomicU64>,
}

impl fmt::Debug for SpanLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpanLayer").finish_non_exhaustive()
    }
}

/// A span that is open.
struct Open {
    started: Instant,
    span: Span,
}

impl SpanLayer {
    pub(super) fn new(spans: mpsc::Sender<Span>, dropped: Arc<AtomicU64>) -> Self {
        Self { spans, dropped }
    }

    /// Whether something is noted: spans of this project, down to single calls.
    pub fn notes(metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && *metadata.level() <= Level::DEBUG && metadata.target().starts_with(TARGETS)
    }
}

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for SpanLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let parent = span.parent().and_then(|parent| {
            let extensions = parent.extensions();
            extensions.get::<Open>().map(|open| (open.span.trace_id.clone(), open.span.span_id.clone()))
        });
        let (trace_id, parent_span_id) =
            parent.unwrap_or_else(|| (rand::random::<[u8; 16]>().to_vec(), Vec::new()));
        let name = span.metadata().name();
        let mut noted = Span {
            trace_id,
            parent_span_id,
            span_id: rand::random::<[u8; 8]>().to_vec(),
            name: name.to_owned(),
            kind: kind(name).into(),
            start_ns: now_ns(),
            end_ns: 0,
            attributes: Vec::new(),
        };
        attributes.record(&mut Visitor(&mut noted.attributes));
        span.extensions_mut().insert(Open { started: Instant::now(), span: noted });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<Open>() {
            values.record(&mut Visitor(&mut open.span.attributes));
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(Open { started, span: mut ended }) = span.extensions_mut().remove::<Open>() else { return };
        // The clock of the system may have been set meanwhile.
        let took = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        ended.end_ns = ended.start_ns.saturating_add(took);
        if self.spans.try_send(ended).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn kind(name: &str) -> Kind {
    match name {
        "request" => Kind::Server,
        "call" => Kind::Client,
        _ => Kind::Internal,
    }
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Writes fields into attributes; a field that is told again has its last value.
struct Visitor<'a>(&'a mut Vec<KeyValue>);

impl Visitor<'_> {
    fn note(&mut self, field: &Field, value: Value) {
        let noted = KeyValue::new(field.name(), value);
        if let Some(known) = self.0.iter_mut().find(|known| known.key == noted.key) {
            *known = noted;
        } else if self.0.len() < ATTRIBUTES_MAX {
            self.0.push(noted);
        }
    }
}

impl Visit for Visitor<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.note(field, Value::Double(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.note(field, Value::Int(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.note(field, Value::Int(i64::try_from(value).unwrap_or(i64::MAX)));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.note(field, Value::Bool(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.note(field, Value::Text(value.chars().take(TEXT_CHARACTERS_MAX).collect()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}
