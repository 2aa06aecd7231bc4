//! From which address a request comes: that of the connection or, behind proxies that the operator trusts, the one that
//! they tell. What others tell is their own invention.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::{Extensions, HeaderMap};

use crate::network::Cidr;

/// Each proxy adds the address that the request came to it from, as the last one.
const FORWARDED: &str = "x-forwarded-for";

/// The address that a request came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The address that a request came from.
pub(crate) fn of(extensions: &Extensions, headers: &HeaderMap, trusted: &[Cidr]) -> IpAddr {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    client(peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), headers, trusted).to_canonical()
}

/// The last address that is none of a trusted proxy.
fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[Cidr]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer;
    let told: Vec<_> = headers.get_all(FORWARDED).iter().collect();
    let lines = told.into_iter().rev().map(|line| line.to_str().unwrap_or_default());
    for told in lines.flat_map(|line| line.rsplit(',')) {
        if !is_trusted(client) {
            break;
        }
        // What a trusted proxy does not tell is not guessed.
        let Some(before) = read(told.trim()) else { break };
        client = before;
    }
    client
}

/// An address; some proxies add the port.
fn read(text: &str) -> Option<IpAddr> {
    let unbracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse().map(|address: SocketAddr| address.ip());
    unbracketed.parse().or_else(|_| with_port()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, lines: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED, line.parse().unwrap());
        }
        let trusted: Vec<Cidr> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        client(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn nobody_is_trusted_unless_named() {
        assert_eq!(seen("10.0.0.1", &["203.0.113.9"], &[]), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &["203.0.113.9"], &["10.0.0.2"]), "10.0.0.1");
    }

    #[test]
    fn the_last_address_that_is_not_trusted_counts() {
        let trusted = ["10.0.0.0/8", "fd00::/8"];
        for (lines, client) in [
            (&["203.0.113.9"][..], "203.0.113.9"),
            // Whatever the client claims stands before it.
            (&["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
            (&["1.1.1.1, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
            (&["1.1.1.1", "203.0.113.9,10.0.0.2", "fd00::7"], "203.0.113.9"),
            (&["203.0.113.9:4711"], "203.0.113.9"),
            (&["[2001:db8::1]:4711"], "2001:db8::1"),
            (&["[2001:db8::1]"], "2001:db8::1"),
            (&["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            (&["203.0.113.9, unknown, 10.0.0.2"], "10.0.0.2"),
            (&["203.0.113.9, "], "10.0.0.1"),
            (&[], "10.0.0.1"),
        ] {
            assert_eq!(seen("10.0.0.1", lines, &trusted), client, "{lines:?}");
        }
    }
}
