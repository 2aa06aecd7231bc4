//! Where addresses lead. A cluster of the vendor goes by its public endpoint; a self-hosted one may be anywhere, and its
//! kind of network is only noted.

use std::net::IpAddr;

use vecferry_milvus::Endpoint;
use vecferry_policy::deployment::is_cloud_host;

use super::list::{CheckList, fact_of};
use crate::problem::CheckId;
use crate::problem::{Code, Problem, Side, Told};

/// The network that the vendor's contract asks for.
const PUBLIC: &str = "public";
/// A network behind a gateway.
const PRIVATE: &str = "private";
/// This machine.
const LOOPBACK: &str = "loopback";
/// A host that does not resolve; whoever connects tells of it.
const UNKNOWN: &str = "unknown";

/// Notes the network of both sides, and looks whether clusters of the vendor go by a public address.
pub(crate) async fn endpoints(list: &mut CheckList, source: &Endpoint, target: &Endpoint) {
    let (of_source, of_target) = tokio::join!(network(source), network(target));
    let fact = |side: Side, network: &'static str| fact_of(side, Told::both(network, in_chinese(network)));
    list.passed(CheckId::Endpoints, [fact(Side::Source, of_source), fact(Side::Target, of_target)]);
    for (side, endpoint, network) in [(Side::Source, source, of_source), (Side::Target, target, of_target)] {
        if is_cloud_host(endpoint.host()) && ![PUBLIC, UNKNOWN].contains(&network) {
            let problem = Problem::new(Code::NotPublic).with("side", side.name());
            let problem = problem.with("address", endpoint);
            list.fail(problem.told("network", Told::both(network, in_chinese(network))));
        }
    }
}

fn in_chinese(network: &str) -> &'static str {
    match network {
        PUBLIC => "公网",
        PRIVATE => "私网",
        LOOPBACK => "回环地址",
        _ => "未知",
    }
}

async fn network(endpoint: &Endpoint) -> &'static str {
    let host = endpoint.host().trim_start_matches('[').trim_end_matches(']');
    let Ok(found) = tokio::net::lookup_host((host, endpoint.port())).await else { return UNKNOWN };
    found.map(|address| kind(address.ip())).max_by_key(|kind| kind.len()).unwrap_or(UNKNOWN)
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
        LOOPBACK
    } else if is_private {
        PRIVATE
    } else {
        PUBLIC
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
