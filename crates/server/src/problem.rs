//! Problems as the service words them.

use std::fmt;
use std::net::IpAddr;

use serde_json::Value;
use vecferry_migrate::{Code, Problem};
use vecferry_store::{Error, ErrorKind};
use vecferry_words::{Surface, Told};

use crate::network;

/// A problem with all its texts, as the service words them.
pub(crate) fn document(problem: &Problem) -> Value {
    serde_json::to_value(problem.on(Surface::Service)).unwrap_or_default()
}

/// What a failure of the store means for a request.
pub(crate) fn of_store(error: &Error) -> Problem {
    match error.kind() {
        ErrorKind::Full | ErrorKind::ReadOnly => Problem::new(Code::StoreFull),
        ErrorKind::Taken => {
            Problem::new(Code::Conflict).with("detail", "taken").with("detail_zh", "已被占用")
        }
        ErrorKind::Unmet => {
            let problem = Problem::new(Code::Conflict).with("detail", "it was changed or removed meanwhile");
            problem.with("detail_zh", "期间已被更改或删除")
        }
        ErrorKind::Unusable
        | ErrorKind::Exposed
        | ErrorKind::Foreign
        | ErrorKind::Network
        | ErrorKind::Unreachable
        | ErrorKind::Denied
        | ErrorKind::Corrupt
        | ErrorKind::Newer
        | ErrorKind::Locked
        | ErrorKind::UnknownJob
        | ErrorKind::AmbiguousJob
        | ErrorKind::JobIsLive
        | ErrorKind::Superseded
        | ErrorKind::NotOpen
        | ErrorKind::IsClaimed
        | ErrorKind::Fenced
        | ErrorKind::Moved => Problem::new(Code::ServiceUnavailable).with("detail", error),
    }
}

/// Why a host is not called.
pub(crate) fn of_network(host: &str, error: network::Error) -> Problem {
    match error {
        network::Error::Denied { address, network, .. } => denied(host, address, network),
        // No network of the settings is its own: it is told as one of a single address.
        network::Error::NotAllowed { address, .. } => denied(host, address, address),
        network::Error::Unresolved { reason, .. } => Problem::new(Code::BadRequest).told(
            "detail",
            Told::both(
                format!("the host `{host}` can't be resolved: {reason}"),
                format!("无法解析主机 `{host}`：{reason}"),
            ),
        ),
    }
}

fn denied(host: &str, address: IpAddr, network: impl fmt::Display) -> Problem {
    let problem = Problem::new(Code::NetworkDenied).with("host", host).with("address", address);
    problem.with("network", network)
}
