//! What the engine counts, for whoever records it: a service hands it to Prometheus, and without a recorder nothing is kept.
//!
//! Every name is in [`CATALOGUE`]. Labels have few values, all of them known here: no job, collection or server is one.

use std::time::Duration;

use metrics::{Unit, counter};
use vecferry_milvus::ErrorKind;

use crate::event::Bottleneck;
use crate::problem::Side;

/// A counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it counts in.
    pub unit: Unit,
    /// What it counts.
    pub help: &'static str,
    /// Names of its labels.
    pub labels: &'static [&'static str],
}

const PAGES_READ: &str = "vecferry_pages_read_total";
const ROWS_WRITTEN: &str = "vecferry_rows_written_total";
const BYTES_WRITTEN: &str = "vecferry_bytes_written_total";
const ROWS_REFUSED: &str = "vecferry_rows_refused_total";
const RETRIES: &str = "vecferry_retries_total";
const WAITING: &str = "vecferry_waiting_milliseconds_total";

/// All of them, with what the store counts.
pub const CATALOGUE: [Metric; 7] = [
    Metric { name: PAGES_READ, unit: Unit::Count, help: "pages of rows read for the copy", labels: &[] },
    Metric { name: ROWS_WRITTEN, unit: Unit::Count, help: "rows that a target acknowledged", labels: &[] },
    Metric { name: BYTES_WRITTEN, unit: Unit::Bytes, help: "bytes of these rows on the wire", labels: &[] },
    Metric { name: ROWS_REFUSED, unit: Unit::Count, help: "rows that a target rejected", labels: &[] },
    Metric {
        name: RETRIES,
        unit: Unit::Count,
        help: "calls tried again, by the side they went to and why they had failed",
        labels: &["side", "cause"],
    },
    Metric {
        name: WAITING,
        unit: Unit::Milliseconds,
        help: "time that pages waited, by what they waited for; several wait at once",
        labels: &["for"],
    },
    Metric {
        name: vecferry_store::COMMITS,
        unit: Unit::Count,
        help: "transactions of the job record that were committed",
        labels: &[],
    },
];

/// Tells the recorder what each metric counts.
pub fn describe() {
    for metric in CATALOGUE {
        metrics::describe_counter!(metric.name, metric.unit, metric.help);
    }
}

pub(crate) fn page_read() {
    counter!(PAGES_READ).increment(1);
}

pub(crate) fn written(rows: u64, bytes: u64) {
    counter!(ROWS_WRITTEN).increment(rows);
    counter!(BYTES_WRITTEN).increment(bytes);
}

pub(crate) fn refused(rows: u64) {
    counter!(ROWS_REFUSED).increment(rows);
}

pub(crate) fn retried(side: Side, cause: ErrorKind) {
    counter!(RETRIES, "side" => side.name(), "cause" => cause_of(cause)).increment(1);
}

pub(crate) fn waited(on: Bottleneck, time: Duration) {
    let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    counter!(WAITING, "for" => on.name()).increment(milliseconds);
}

/// What is tried again, and everything else under one name.
fn cause_of(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::RateLimited => "rate_limited",
        ErrorKind::WritesDenied => "writes_denied",
        ErrorKind::Busy => "busy",
        ErrorKind::ConnectionLost => "connection_lost",
        ErrorKind::Timeout => "timeout",
        ErrorKind::NotLoaded => "not_loaded",
        ErrorKind::ConnectionRefused
        | ErrorKind::ConnectTimeout
        | ErrorKind::Unreachable
        | ErrorKind::UnknownHost => "unreachable",
        ErrorKind::InvalidEndpoint
        | ErrorKind::ServerSpeaksTls
        | ErrorKind::ServerSpeaksPlain
        | ErrorKind::UntrustedCertificate
        | ErrorKind::ClientCertificateRefused
        | ErrorKind::NotGrpc
        | ErrorKind::NotMilvus
        | ErrorKind::Unauthenticated
        | ErrorKind::PermissionDenied
        | ErrorKind::Unsupported
        | ErrorKind::DatabaseNotFound
        | ErrorKind::CollectionNotFound
        | ErrorKind::PartitionNotFound
        | ErrorKind::IndexNotFound
        | ErrorKind::AlreadyExists
        | ErrorKind::TooLarge
        | ErrorKind::Rejected
        | ErrorKind::Malformed => "other",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_says_what_it_is_and_stands_once() {
        let names: BTreeSet<_> = CATALOGUE.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), CATALOGUE.len());
        for metric in CATALOGUE {
            assert!(metric.name.starts_with("vecferry_") && metric.name.ends_with("_total"), "{metric:?}");
            assert!(!metric.help.is_empty());
        }
    }
}
