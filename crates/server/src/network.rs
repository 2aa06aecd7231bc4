//! Which addresses the service connects to on behalf of its users: clusters they register and webhooks they name. Metadata
//! services of clouds hand out credentials to whoever asks from inside, so that such addresses are denied unless the
//! operator says otherwise. Private networks are allowed: self-hosted servers live there.

mod cidr;

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use cidr::{Cidr, ParseCidrError};

const RESOLVE_LIMIT: Duration = Duration::from_secs(5);

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Cidr {
    Cidr::fixed(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix)
}

const fn v6(first: u16, second: u16, last: u16, prefix: u8) -> Cidr {
    Cidr::fixed(IpAddr::V6(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, last)), prefix)
}

/// Denied unless the very address is allowed.
const BUILT_IN: [Cidr; 11] = [
    // Unspecified: Linux connects to itself.
    v4(0, 0, 0, 0, 8),
    v6(0, 0, 0, 128),
    // Link-local, with the metadata services of most clouds; those of AWS and Google Cloud over IPv6, of Alibaba Cloud and
    // of Azure.
    v4(169, 254, 0, 0, 16),
    v6(0xfe80, 0, 0, 10),
    v6(0xfd00, 0xec2, 0x254, 128),
    v6(0xfd20, 0xce, 0x254, 128),
    v4(100, 100, 100, 200, 32),
    v4(168, 63, 129, 16, 32),
    // Multicast and broadcast.
    v4(224, 0, 0, 0, 4),
    v6(0xff00, 0, 0, 8),
    v4(255, 255, 255, 255, 32),
];

/// Why an address is not used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name has no address, or none within the time limit.
    #[error("cannot resolve `{host}`: {reason}")]
    Unresolved {
        /// The name.
        host: String,
        /// What the resolver says.
        reason: String,
    },
    /// A rule denies it.
    #[error("`{host}` has the address {address}, which is in the denied network {network}")]
    Denied {
        /// The name, or the address as it was given.
        host: String,
        /// The address.
        address: IpAddr,
        /// The network of the rule.
        network: Cidr,
    },
    /// Only some networks are allowed, and it is in none of them.
    #[error("`{host}` has the address {address}, which is in no allowed network")]
    NotAllowed {
        /// The name, or the address as it was given.
        host: String,
        /// The address.
        address: IpAddr,
    },
}

/// The networks that may be connected to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Networks {
    /// If there are any, only these. A single address also lifts what is denied without a rule, such as a metadata service.
    pub allow: Vec<Cidr>,
    /// None of these, whatever is allowed.
    pub deny: Vec<Cidr>,
}

impl Networks {
    /// Resolves a name once. Connect only to the addresses of the answer: asked again, the name may have others. If one of
    /// its addresses is not allowed, none is used.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
        let name = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let lookup = async { tokio::net::lookup_host((name, port)).await.map(Iterator::collect) };
        self.admit(host, answer(host, RESOLVE_LIMIT, lookup).await?)
    }

    /// Whether an address may be connected to. `host` is how it was given, for the error.
    pub fn check(&self, host: &str, address: IpAddr) -> Result<(), Error> {
        let address = address.to_canonical();
        let carried = carried_by(address);
        let forms = || std::iter::once(address).chain(carried.map(|carried| carried.address.into()));
        if let Some(network) = forms().find_map(|form| self.denied_by(form)) {
            return Err(Error::Denied { host: host.to_owned(), address, network });
        }
        let ends_at = match carried {
            Some(Carried { address, is_translated: true }) => address.into(),
            Some(Carried { is_translated: false, .. }) | None => address,
        };
        let is_allowed = |network: &Cidr| network.contains(address) || network.contains(ends_at);
        if self.allow.is_empty() || self.allow.iter().any(is_allowed) {
            return Ok(());
        }
        Err(Error::NotAllowed { host: host.to_owned(), address })
    }

    fn admit(&self, host: &str, addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Error> {
        let mut admitted = Vec::with_capacity(addresses.len());
        for address in addresses {
            self.check(host, address.ip())?;
            if !admitted.contains(&address) {
                admitted.push(address);
            }
        }
        Ok(admitted)
    }

    fn denied_by(&self, address: IpAddr) -> Option<Cidr> {
        let is_named = self.allow.iter().any(|network| network.is_host() && network.contains(address));
        let built_in = BUILT_IN.iter().filter(|_| !is_named);
        self.deny.iter().chain(built_in).find(|network| network.contains(address)).copied()
    }
}

/// The addresses of a name, at least one.
async fn answer(
    host: &str,
    limit: Duration,
    lookup: impl Future<Output = io::Result<Vec<SocketAddr>>>,
) -> Result<Vec<SocketAddr>, Error> {
    let unresolved = |reason: String| Error::Unresolved { host: host.to_owned(), reason };
    match tokio::time::timeout(limit, lookup).await {
        Ok(Ok(addresses)) if addresses.is_empty() => Err(unresolved("it has no address".to_owned())),
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(error)) => Err(unresolved(error.to_string())),
        Err(_) => Err(unresolved(format!("no answer within {} s", limit.as_secs_f32()))),
    }
}

/// The IPv4 address inside of an IPv6 address.
#[derive(Clone, Copy)]
struct Carried {
    address: Ipv4Addr,
    /// Whether packets end at it, as those that NAT64 translates. Others may end behind it.
    is_translated: bool,
}

/// Of the forms that routers and systems send on over IPv4; mapped addresses are IPv4 addresses already.
fn carried_by(address: IpAddr) -> Option<Carried> {
    let IpAddr::V6(address) = address else { return None };
    let [a, b, c, d, e, f, g, h] = address.segments();
    let carried = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << u16::BITS | u32::from(low));
    match [a, b, c, d, e, f] {
        // IPv4-compatible, but neither `::` nor `::1`.
        [0, 0, 0, 0, 0, 0] if (g, h) > (0, 1) => {
            Some(Carried { address: carried(g, h), is_translated: false })
        }
        [0x64, 0xff9b, 0, 0, 0, 0] => Some(Carried { address: carried(g, h), is_translated: true }),
        [0x2002, ..] => Some(Carried { address: carried(b, c), is_translated: false }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(allow: &[&str], deny: &[&str]) -> Networks {
        let read = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Networks { allow: read(allow), deny: read(deny) }
    }

    /// The network that denies it, or `none` if nothing allows it, or `ok`.
    fn judged(networks: &Networks, address: &str) -> String {
        match networks.check("host", address.parse().unwrap()) {
            Ok(()) => "ok".to_owned(),
            Err(Error::Denied { network, .. }) => network.to_string(),
            Err(Error::NotAllowed { .. }) => "none".to_owned(),
            Err(error @ Error::Unresolved { .. }) => panic!("{error}"),
        }
    }

    #[test]
    fn without_rules_the_dangerous_addresses_are_denied() {
        let networks = Networks::default();
        for (address, network) in [
            ("169.254.169.254", "169.254.0.0/16"),
            ("169.254.0.1", "169.254.0.0/16"),
            ("fe80::1", "fe80::/10"),
            ("febf::1", "fe80::/10"),
            ("fd00:ec2::254", "fd00:ec2::254"),
            ("fd20:ce::254", "fd20:ce::254"),
            ("100.100.100.200", "100.100.100.200"),
            ("168.63.129.16", "168.63.129.16"),
            ("0.0.0.0", "0.0.0.0/8"),
            ("0.1.2.3", "0.0.0.0/8"),
            ("::", "::"),
            ("224.0.0.1", "224.0.0.0/4"),
            ("239.255.255.255", "224.0.0.0/4"),
            ("ff02::1", "ff00::/8"),
            ("255.255.255.255", "255.255.255.255"),
        ] {
            assert_eq!(judged(&networks, address), network, "{address}");
        }
    }

    #[test]
    fn without_rules_private_networks_and_loopback_are_allowed() {
        for address in [
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "127.0.0.1",
            "::1",
            "fd00::1",
            "100.64.0.1",
            "8.8.8.8",
            "2606:4700::1",
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ] {
            assert_eq!(judged(&Networks::default(), address), "ok", "{address}");
        }
    }

    #[test]
    fn an_address_inside_of_another_is_judged_too() {
        for address in
            ["::ffff:169.254.169.254", "::169.254.169.254", "2002:a9fe:a9fe::1", "64:ff9b::a9fe:a9fe"]
        {
            assert_eq!(judged(&Networks::default(), address), "169.254.0.0/16", "{address}");
            let loopback = address.replace("169.254.169.254", "127.0.0.1").replace("a9fe:a9fe", "7f00:1");
            assert_eq!(judged(&networks(&[], &["127.0.0.0/8"]), &loopback), "127.0.0.0/8", "{loopback}");
        }
    }

    #[test]
    fn configured_networks_are_denied_whatever_is_allowed() {
        let private = networks(&["10.0.0.0/8", "10.1.2.3"], &["10.1.0.0/16", "::1", "127.0.0.0/8"]);
        for (address, verdict) in [
            ("10.0.0.1", "ok"),
            ("10.1.2.3", "10.1.0.0/16"),
            ("127.0.0.1", "127.0.0.0/8"),
            ("::1", "::1"),
            ("11.0.0.1", "none"),
        ] {
            assert_eq!(judged(&private, address), verdict, "{address}");
        }
        let mapped = networks(&[], &["::ffff:10.0.0.0/104"]);
        assert_eq!(judged(&mapped, "10.9.9.9"), "10.0.0.0/8");
    }

    #[test]
    fn only_allowed_networks_are_used_if_there_are_any() {
        let some = networks(&["10.0.0.0/8", "2001:db8::/32"], &[]);
        for (address, verdict) in [
            ("10.9.9.9", "ok"),
            ("::ffff:10.9.9.9", "ok"),
            ("64:ff9b::a09:909", "ok"),
            ("2001:db8::1", "ok"),
            ("192.168.0.1", "none"),
            ("2001:db9::1", "none"),
            ("127.0.0.1", "none"),
            // What ends behind an allowed address is not allowed by it.
            ("2002:a09:909::1", "none"),
            ("::10.9.9.9", "none"),
        ] {
            assert_eq!(judged(&some, address), verdict, "{address}");
        }
    }

    #[test]
    fn only_the_very_address_lifts_a_built_in_denial() {
        let wide = networks(&["169.254.0.0/16", "0.0.0.0/0"], &[]);
        assert_eq!(judged(&wide, "169.254.169.254"), "169.254.0.0/16");
        let host = networks(&["169.254.10.1", "fe80::5/128", "0.0.0.0/0"], &[]);
        assert_eq!(judged(&host, "169.254.10.1"), "ok");
        assert_eq!(judged(&host, "::ffff:169.254.10.1"), "ok");
        assert_eq!(judged(&host, "169.254.10.2"), "169.254.0.0/16");
        assert_eq!(judged(&host, "fe80::5"), "ok");
        let denied = networks(&["169.254.10.1"], &["169.254.10.0/24"]);
        assert_eq!(judged(&denied, "169.254.10.1"), "169.254.10.0/24");
    }

    #[test]
    fn one_denied_address_refuses_the_host() {
        let socket = |text: &str| text.parse::<SocketAddr>().unwrap();
        let good = [socket("10.0.0.1:443"), socket("[2001:db8::1]:443"), socket("10.0.0.1:443")];
        assert_eq!(Networks::default().admit("host", good.to_vec()).unwrap(), good[..2]);
        let mixed = vec![good[0], socket("169.254.169.254:443")];
        let error = Networks::default().admit("rebind.example", mixed).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`rebind.example` has the address 169.254.169.254, which is in the denied network 169.254.0.0/16"
        );
        let error = networks(&["10.0.0.0/8"], &[]).admit("host", good.to_vec()).unwrap_err();
        assert_eq!(error.to_string(), "`host` has the address 2001:db8::1, which is in no allowed network");
        assert!(matches!(error, Error::NotAllowed { .. }));
    }

    #[tokio::test]
    async fn hosts_and_addresses_resolve() {
        let found = Networks::default().resolve("localhost", 19530).await.unwrap();
        assert!(
            found.iter().all(|address| address.ip().is_loopback() && address.port() == 19530),
            "{found:?}"
        );
        for host in ["::1", "[::1]"] {
            let found = Networks::default().resolve(host, 1).await.unwrap();
            assert_eq!(found, ["[::1]:1".parse().unwrap()]);
        }
        // The system's resolver reads addresses in more notations than this program: its answer is judged.
        for host in ["169.254.169.254", "[::ffff:169.254.169.254]", "0xa9fea9fe", "2852039166", "0"] {
            let error = Networks::default().resolve(host, 80).await.unwrap_err();
            assert!(matches!(error, Error::Denied { .. }), "{host}: {error:?}");
        }
        let loopback = networks(&[], &["127.0.0.0/8", "::1"]);
        assert!(matches!(loopback.resolve("localhost", 1).await, Err(Error::Denied { .. })));
    }

    #[tokio::test]
    async fn a_name_without_an_answer_is_unresolved() {
        let error = Networks::default().resolve("not a name", 1).await.unwrap_err();
        assert!(matches!(&error, Error::Unresolved { host, .. } if host == "not a name"), "{error:?}");
        let none = answer("host", RESOLVE_LIMIT, async { Ok(Vec::new()) }).await.unwrap_err();
        assert_eq!(none.to_string(), "cannot resolve `host`: it has no address");
        let late = answer("host", Duration::from_millis(1), std::future::pending()).await.unwrap_err();
        assert_eq!(late.to_string(), "cannot resolve `host`: no answer within 0.001 s");
        assert!(matches!(late, Error::Unresolved { .. }));
    }

    #[test]
    fn rules_are_texts_in_settings() {
        let read: Networks =
            serde_json::from_str(r#"{"allow": ["10.0.0.0/8", "::1"], "deny": ["10.1.2.3/32"]}"#).unwrap();
        assert_eq!(read, networks(&["10.0.0.0/8", "::1/128"], &["10.1.2.3"]));
        assert_eq!(
            serde_json::to_string(&read).unwrap(),
            r#"{"allow":["10.0.0.0/8","::1"],"deny":["10.1.2.3"]}"#
        );
        assert_eq!(serde_json::from_str::<Networks>("{}").unwrap(), Networks::default());
        let error = serde_json::from_str::<Networks>(r#"{"deny": ["10.0.0.0/33"]}"#).unwrap_err();
        assert!(error.to_string().contains("`10.0.0.0/33` is not a network"), "{error}");
    }
}
