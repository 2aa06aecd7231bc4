//! An address that is called: `http[s]://host[:port]/path?query`.

use http::Uri;

/// Characters of an address.
const CHARACTERS_MAX: usize = 2048;

/// An address that is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    is_tls: bool,
    host: String,
    port: u16,
    authority: String,
    path: String,
}

impl Address {
    /// Reads an address. Names and passwords in it are refused: they would be shown with it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() > CHARACTERS_MAX || text.contains('#') {
            return None;
        }
        let uri: Uri = text.parse().ok()?;
        let is_tls = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return None;
        }
        // A port that is none reads as absent.
        let port = match authority.as_str().strip_prefix(authority.host())? {
            "" => {
                if is_tls {
                    443
                } else {
                    80
                }
            }
            port => port.strip_prefix(':')?.parse().ok().filter(|port| *port > 0)?,
        };
        Some(Self {
            is_tls,
            host: authority.host().to_owned(),
            port,
            authority: authority.as_str().to_owned(),
            path: uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
        })
    }

    /// Whether it is called over TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Whether nobody on the way reads what is sent there: over TLS, or on this machine.
    pub(crate) fn is_safe(&self) -> bool {
        self.is_tls || self.is_loopback()
    }

    fn is_loopback(&self) -> bool {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost")
            || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// The name or address, an IPv6 address in brackets.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// As the header `Host` has it.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// With the query.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tls_or_this_machine_is_safe() {
        let is_safe = |url: &str| Address::parse(url).is_some_and(|address| address.is_safe());
        for url in ["https://id.example.com", "http://127.0.0.1:9", "http://LocalHost/x", "http://[::1]:1"] {
            assert!(is_safe(url), "{url}");
        }
        for url in ["http://id.example.com", "http://10.0.0.1", "http://localhost.example.com/"] {
            assert!(!is_safe(url), "{url}");
        }
    }

    #[test]
    fn addresses_are_told_apart() {
        let read = |text: &str| {
            Address::parse(text).map(|address| {
                (address.is_tls, format!("{} {} {}", address.host, address.port, address.path))
            })
        };
        for (text, is_tls, parts) in [
            ("https://example.com", true, "example.com 443 /"),
            ("https://example.com:8443/a/b?c=d", true, "example.com 8443 /a/b?c=d"),
            ("http://127.0.0.1:9/x", false, "127.0.0.1 9 /x"),
            ("http://[::1]/x", false, "[::1] 80 /x"),
            ("http://[::1]:81/x", false, "[::1] 81 /x"),
        ] {
            assert_eq!(read(text), Some((is_tls, parts.to_owned())), "{text}");
        }
        for text in [
            "",
            "example.com/x",
            "/x",
            "ftp://example.com/",
            "https://user:password@example.com/",
            "https://example.com:0/",
            "https://example.com:70000/",
            "https://example.com:x/",
            "https://example.com/a b",
            "https://example.com/#a",
            "https:///x",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read(&format!("https://example.com/{}", "a".repeat(CHARACTERS_MAX))), None);
    }
}
