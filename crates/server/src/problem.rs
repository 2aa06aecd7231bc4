//! Problems as the service words them.

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
    let denied = |address: IpAddr, network: Told| {
        let problem = Problem::new(Code::NetworkDenied).with("host", host).with("address", address);
        problem.told("network", network)
    };
    match error {
        network::Error::Denied { address, network, .. } => {
            let chinese = format!("属于禁止连接的网段 {network}");
            denied(address, Told::both(format!("in the denied network {network}"), chinese))
        }
        network::Error::NotAllowed { address, .. } => {
            denied(address, Told::both("in no allowed network", "不属于任何允许连接的网段"))
        }
        network::Error::Unresolved { reason, .. } => {
            Problem::new(Code::BadRequest).told("detail", unresolved(host, &reason))
        }
    }
}

/// That a host has no address.
pub(crate) fn unresolved(host: &str, reason: &str) -> Told {
    Told::both(
        format!("the host `{host}` can't be resolved: {reason}"),
        format!("无法解析主机 `{host}`：{reason}"),
    )
}
