//! Where a server is, and how to be let in.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;

use crate::error::{Error, ErrorKind};
use crate::finding::Finding;

/// A text that must not be seen: its `Debug` shows nothing of it, and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself; for the wire only.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Certificates for a connection over TLS; all PEM.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Certificate authorities to trust besides the system's and the web's.
    pub ca_pem: Option<Vec<u8>>,
    /// The client's certificate chain, for servers that ask for one.
    pub certificate_pem: Option<Vec<u8>>,
    /// The private key of the client's certificate.
    pub key_pem: Option<Secret>,
}

/// A server's address and the credentials for it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    scheme: Scheme,
    host: String,
    port: u16,
    token: Option<Secret>,
    tls: Tls,
    pinned: Option<Arc<[SocketAddr]>>,
}

/// Whether the connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP/2 in the clear.
    Http,
    /// HTTP/2 over TLS.
    Https,
}

/// Port of a Milvus proxy when the address names none.
const PORT_DEFAULT: u16 = 19530;
/// Port of an encrypted endpoint (Zilliz Cloud) when the address names none.
const PORT_HTTPS_DEFAULT: u16 = 443;

impl Endpoint {
    /// Reads `http[s]://host[:port]`. An address without a scheme is refused, because guessing would either send a
    /// password in the clear or fail in a way nobody understands. A path, query or user in the address is refused too.
    pub fn parse(address: &str) -> Result<Self, Error> {
        let bad = |why: fn(String) -> Finding| unusable(why(redact(address)));
        let not_an_address = || bad(|address| Finding::NotAnAddress { address });
        let (scheme, rest) = match address.split_once("://") {
            Some(("http", rest)) => (Scheme::Http, rest),
            Some(("https", rest)) => (Scheme::Https, rest),
            Some(_) => return Err(bad(|address| Finding::OtherScheme { address })),
            None => return Err(bad(|address| Finding::NoScheme { address })),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains('@') {
            return Err(bad(|address| Finding::CredentialsInAddress { address }));
        }
        if authority.is_empty() || authority.contains(['/', '?', '#', ' ']) {
            return Err(not_an_address());
        }
        let uri: http::Uri = format!("http://{authority}").parse().map_err(|_| not_an_address())?;
        let host = uri
            .host()
            .filter(|host| !host.is_empty())
            .ok_or_else(|| bad(|address| Finding::NoHost { address }))?
            .to_owned();
        let after_host = &authority[host.len().min(authority.len())..];
        let port = match (uri.port_u16(), scheme) {
            (Some(0), _) => return Err(bad(|address| Finding::PortZero { address })),
            (Some(port), _) => port,
            (None, _) if after_host.starts_with(':') => {
                return Err(bad(|address| Finding::NotAPort { address }));
            }
            (None, Scheme::Http) => PORT_DEFAULT,
            (None, Scheme::Https) => PORT_HTTPS_DEFAULT,
        };
        Ok(Self { scheme, host, port, token: None, tls: Tls::default(), pinned: None })
    }

    /// With a `user:password` or an API key.
    #[must_use]
    pub fn with_token(mut self, token: Option<Secret>) -> Self {
        self.token = token;
        self
    }

    /// With certificates. They are an error on a plain address, because the user then believes to be encrypted.
    pub fn with_tls(mut self, tls: Tls) -> Result<Self, Error> {
        let given = tls.ca_pem.is_some() || tls.certificate_pem.is_some() || tls.key_pem.is_some();
        if given && self.scheme == Scheme::Http {
            return Err(unusable(Finding::CertificatesWithoutTls { endpoint: self.to_string() }));
        }
        if tls.certificate_pem.is_some() != tls.key_pem.is_some() {
            return Err(unusable(Finding::HalfACertificate));
        }
        self.tls = tls;
        Ok(self)
    }

    /// With addresses that were resolved beforehand. Connections go only to these, in this order, and the host is never
    /// resolved again; without any address there is no connection. Server certificates are still checked against the
    /// host, and requests still name it.
    #[must_use]
    pub fn at(mut self, addresses: Vec<SocketAddr>) -> Self {
        self.pinned = Some(addresses.into());
        self
    }

    /// Where connections go: the addresses of [`Endpoint::at`], or else what the host resolves to now.
    ///
    /// # Errors
    /// The host does not resolve.
    pub async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        if let Some(pinned) = &self.pinned {
            return Ok(pinned.to_vec());
        }
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        Ok(tokio::net::lookup_host((host, self.port)).await?.collect())
    }

    pub(crate) fn pinned(&self) -> Option<&Arc<[SocketAddr]>> {
        self.pinned.as_ref()
    }

    /// The host as written.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Plain or encrypted.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Whether a credential goes with the calls.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// The user whose name is in the credential; absent for an API key.
    pub fn user(&self) -> Option<&str> {
        // A name holds no colon; a password may.
        self.token.as_ref()?.reveal().split_once(':').map(|(user, _)| user)
    }

    pub(crate) fn tls(&self) -> &Tls {
        &self.tls
    }

    /// Value of the `authorization` metadata: base64 of `user:password` or of the API key, with no scheme word.
    pub(crate) fn authorization(&self) -> Result<Option<http::HeaderValue>, Error> {
        let Some(token) = &self.token else { return Ok(None) };
        let encoded = base64::engine::general_purpose::STANDARD.encode(token.reveal());
        let mut value =
            http::HeaderValue::from_str(&encoded).map_err(|_| unusable(Finding::TokenCharacters))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

fn unusable(why: Finding) -> Error {
    Error::own(ErrorKind::InvalidEndpoint, "connect", why)
}

/// What an error may show of an address: everything but what stands before an `@`.
fn redact(address: &str) -> String {
    match (address.find("://"), address.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => {
            format!("{}://…@{}", &address[..scheme], &address[at + 1..])
        }
        (None, Some(at)) => format!("…@{}", &address[at + 1..]),
        _ => address.to_owned(),
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses_with_and_without_port() {
        for (address, shown) in [
            ("http://localhost:19530", "http://localhost:19530"),
            ("http://10.0.0.1", "http://10.0.0.1:19530"),
            ("https://in01-abc.zilliz.example/", "https://in01-abc.zilliz.example:443"),
            ("http://[::1]:19530", "http://[::1]:19530"),
        ] {
            assert_eq!(Endpoint::parse(address).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn refuses_what_is_no_address() {
        for (address, why) in [
            ("localhost:19530", "no scheme"),
            ("ftp://h:1", "must start with"),
            ("http://", "not of the form"),
            ("http://h:99999", "not a number up to 65535"),
            ("http://h:0", "port 0"),
            ("http://h:1/path", "not of the form"),
        ] {
            let error = Endpoint::parse(address).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidEndpoint);
            assert!(error.to_string().contains(why), "{address}: {error}");
        }
    }

    #[test]
    fn never_shows_a_credential() {
        let error = Endpoint::parse("http://root:hunter2@h:1").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        let endpoint = Endpoint::parse("http://h:1").unwrap().with_token(Some(Secret::new("root:hunter2")));
        assert!(!format!("{endpoint:?} {endpoint}").contains("hunter2"));
    }

    #[test]
    fn certificates_need_https_and_each_other() {
        let ca = Tls { ca_pem: Some(vec![1]), ..Tls::default() };
        assert!(Endpoint::parse("http://h:1").unwrap().with_tls(ca).is_err());
        let half = Tls { certificate_pem: Some(vec![1]), ..Tls::default() };
        assert!(Endpoint::parse("https://h:1").unwrap().with_tls(half).is_err());
    }
}
