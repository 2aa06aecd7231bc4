//! Traces for a collector (OTLP over HTTP, protobuf): the spans that the libraries open, and nothing of their events. Nobody
//! who opens a span waits for the collector: what it does not take in time is dropped. It does not know what a span is about.

mod export;
mod layer;
mod message;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::sync::mpsc;

use crate::outbound::Address;
pub use layer::SpanLayer;

/// Ended spans that wait for the collector, of at most some KiB each.
const WAITING_MAX: usize = 4096;
/// Where a collector takes traces.
const PATH: &str = "/v1/traces";

/// The collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    address: Address,
}

impl Collector {
    /// Reads `http[s]://host[:port][/path]`; `/v1/traces` is added where it is missing. None where it is no such address: names
    /// and passwords in it are refused too.
    pub fn parse(url: &str) -> Option<Self> {
        let url = url.trim_end_matches('/');
        let path = if url.ends_with(PATH) || url.contains('?') { "" } else { PATH };
        let address = Address::parse(&format!("{url}{path}"))?;
        Some(Self { address })
    }
}

/// Takes ended spans to the collector.
pub struct Exporter {
    collector: Collector,
    spans: mpsc::Receiver<message::Span>,
    dropped: Arc<AtomicU64>,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").field("collector", &self.collector).finish_non_exhaustive()
    }
}

/// What notes spans, and what takes them to the collector.
pub fn to(collector: Collector) -> (SpanLayer, Exporter) {
    let (sender, spans) = mpsc::channel(WAITING_MAX);
    let dropped = Arc::new(AtomicU64::new(0));
    (SpanLayer::new(sender, Arc::clone(&dropped)), Exporter { collector, spans, dropped })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_traces_is_added_where_it_is_missing() {
        let path = |url: &str| Collector::parse(url).map(|collector| collector.address.path().to_owned());
        for (url, expected) in [
            ("http://127.0.0.1:4318", "/v1/traces"),
            ("http://127.0.0.1:4318/", "/v1/traces"),
            ("https://collector.example.com/otlp", "/otlp/v1/traces"),
            ("https://collector.example.com/v1/traces", "/v1/traces"),
        ] {
            assert_eq!(path(url).as_deref(), Some(expected), "{url}");
        }
        for url in ["", "127.0.0.1:4318", "grpc://127.0.0.1:4317", "http://me:planted@127.0.0.1:4318"] {
            assert_eq!(path(url), None, "{url}");
        }
    }
}
