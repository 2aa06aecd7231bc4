//! Where addresses lead. A self-hosted cluster may be anywhere; the kind of network is only noted.

use std::net::IpAddr;

use vecferry_milvus::Endpoint;

use super::{CheckId, CheckList};
use crate::connect::Side;

/// Notes the network of both sides.
pub(crate) async fn endpoints(list: &mut CheckList, source: &Endpoint, target: &Endpoint) {
    let (of_source, of_target) = tokio::join!(network(source), network(target));
    let fact = |side: Side, network: &str| format!("{}: {network}", side.name());
    list.passed(CheckId::Endpoints, [fact(Side::Source, of_source), fact(Side::Target, of_target)]);
}

pub(crate) async fn network(endpoint: &Endpoint) -> &'static str {
    let host = endpoint.host().trim_start_matches('[').trim_end_matches(']');
    let Ok(found) = tokio::net::lookup_host((host, endpoint.port())).await else { return "unknown" };
    found.map(|address| kind(address.ip())).max_by_key(|kind| kind.len()).unwrap_or("unknown")
}

fn kind(address: IpAddr) -> &'static str {
    let address = match address {
        IpAddr::V6(address) => address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4),
        IpAddr::V4(_) => address,
    };
    let is_private = match address {
        IpAddr::V4(address) => address.is_private() || address.is_link_local(),
        IpAddr::V6(address) => address.is_unique_local() || address.is_unicast_link_local(),
    };
    if address.is_loopback() || address.is_unspecified() {
        "loopback"
    } else if is_private {
        "private"
    } else {
        "public"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_told_apart() {
        for (address, expected) in [
            ("127.0.0.1", "loopback"),
            ("::1", "loopback"),
            ("10.1.2.3", "private"),
            ("172.20.0.1", "private"),
            ("::ffff:192.168.1.1", "private"),
            ("fd00::1", "private"),
            ("fe80::1", "private"),
            ("8.8.8.8", "public"),
            ("2001:4860:4860::8888", "public"),
        ] {
            assert_eq!(kind(address.parse().unwrap()), expected, "{address}");
        }
    }
}
