//! Why a connection does not come about. Runs only after a failure; it may take a second to find the sentence that
//! tells a person what to change.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::endpoint::{Endpoint, Scheme};
use crate::error::{Error, ErrorKind};
use crate::finding::Finding;
use crate::pinned;

const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// First byte of a TLS record: an alert, or part of a handshake.
const TLS_ALERT: u8 = 0x15;
const TLS_HANDSHAKE: u8 = 0x16;

/// A failure to open a connection.
pub(crate) async fn connect_error(
    call: &'static str,
    endpoint: &Endpoint,
    error: tonic::transport::Error,
) -> Error {
    match endpoint.scheme() {
        Scheme::Https => tls_error(call, endpoint, error).await,
        Scheme::Http => plain_error(call, endpoint, error).await,
    }
}

/// A failure of a call. Only where no connection came about was it certainly not carried out; where one broke, the
/// server may be gone by the time it is looked at, and the call still have been its last deed. An endpoint that never
/// spoke HTTP/2 shows itself here too.
pub(crate) async fn call_error(
    call: &'static str,
    endpoint: &Endpoint,
    error: tonic::transport::Error,
) -> Error {
    if sources(&error).any(|error| error.is::<tonic::ConnectError>()) {
        return connect_error(call, endpoint, error).await.before_execution();
    }
    let found = connect_error(call, endpoint, error).await;
    let wrong_endpoint = matches!(
        found.kind(),
        ErrorKind::ServerSpeaksTls
            | ErrorKind::ServerSpeaksPlain
            | ErrorKind::NotGrpc
            | ErrorKind::UntrustedCertificate
            | ErrorKind::ClientCertificateRefused
    );
    if wrong_endpoint {
        return found;
    }
    found.into_lost(call)
}

async fn plain_error(call: &'static str, endpoint: &Endpoint, error: tonic::transport::Error) -> Error {
    let spoken = probe_plain(endpoint).await;
    let endpoint = endpoint.to_string();
    let (kind, finding) = match spoken {
        Err(unreached) => unreached,
        Ok(Spoken::Tls) => (ErrorKind::ServerSpeaksTls, Finding::SpeaksTls { endpoint }),
        Ok(Spoken::Http1) => (ErrorKind::NotGrpc, Finding::WebServer { endpoint }),
        Ok(Spoken::Other) => (ErrorKind::NotGrpc, Finding::NotGrpc { endpoint }),
        Ok(Spoken::Http2 | Spoken::Silent) => {
            (ErrorKind::ConnectionLost, Finding::Broke { endpoint, error: innermost(&error) })
        }
    };
    Error::own(kind, call, finding).with_source(error)
}

async fn tls_error(call: &'static str, endpoint: &Endpoint, error: tonic::transport::Error) -> Error {
    if let Err((kind, finding)) = tcp(endpoint).await {
        return Error::own(kind, call, finding).with_source(error);
    }
    let (chain, shown) = (chain_text(&error), endpoint.to_string());
    let untrusted = ErrorKind::UntrustedCertificate;
    let plain = ErrorKind::ServerSpeaksPlain;
    let refused = ErrorKind::ClientCertificateRefused;
    let (kind, finding) = match find_tls_error(&error) {
        Some(rustls::Error::InvalidCertificate(reason)) => {
            (untrusted, Finding::UntrustedCertificate { endpoint: shown, reason: reason.to_string() })
        }
        Some(rustls::Error::InvalidMessage(_)) => (plain, Finding::SpeaksPlain { endpoint: shown }),
        Some(rustls::Error::AlertReceived(alert)) => {
            (refused, Finding::HandshakeClosed { endpoint: shown, alert: format!("{alert:?}") })
        }
        _ if chain.contains("CertificateRequired") || chain.contains("BadCertificate") => {
            (refused, Finding::ClientCertificateRequired { endpoint: shown })
        }
        _ if probe_tls(endpoint).await != Spoken::Tls => (plain, Finding::SpeaksPlain { endpoint: shown }),
        // Since TLS 1.3 a server refuses a client's certificate only after the client is done with the handshake.
        _ => match alert_after_handshake(endpoint).await {
            Some(alert) => (refused, Finding::ClientCertificateRejected { endpoint: shown, alert }),
            None => (ErrorKind::ConnectionLost, Finding::Broke { endpoint: shown, error: chain }),
        },
    };
    Error::own(kind, call, finding).with_source(error)
}

/// What a port answers to a first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoken {
    Http2,
    Http1,
    Tls,
    Other,
    Silent,
}

type Unreached = (ErrorKind, Finding);

async fn tcp(endpoint: &Endpoint) -> Result<TcpStream, Unreached> {
    let addresses = match tokio::time::timeout(PROBE_TIMEOUT, endpoint.addresses()).await {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(_)) | Err(_) => {
            let host = endpoint.host().trim_start_matches('[').trim_end_matches(']');
            return Err((ErrorKind::UnknownHost, Finding::UnknownHost { host: host.to_owned() }));
        }
    };
    let endpoint = endpoint.to_string();
    match pinned::connect(&addresses, PROBE_TIMEOUT).await {
        Ok(stream) => Ok(stream),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Err((ErrorKind::ConnectionRefused, Finding::NothingListens { endpoint }))
        }
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            Err((ErrorKind::ConnectTimeout, Finding::NoAnswer { endpoint }))
        }
        Err(error) => {
            Err((ErrorKind::Unreachable, Finding::Unreachable { endpoint, error: error.to_string() }))
        }
    }
}

/// Sends the HTTP/2 preface, and if nobody answers it, a TLS greeting.
async fn probe_plain(endpoint: &Endpoint) -> Result<Spoken, Unreached> {
    let stream = tcp(endpoint).await?;
    let spoken = greet(stream, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").await;
    if matches!(spoken, Spoken::Silent | Spoken::Other) && probe_tls(endpoint).await == Spoken::Tls {
        return Ok(Spoken::Tls);
    }
    Ok(spoken)
}

async fn probe_tls(endpoint: &Endpoint) -> Spoken {
    let (Ok(stream), Some(hello)) = (tcp(endpoint).await, client_hello()) else { return Spoken::Silent };
    greet(stream, &hello).await
}

async fn greet(mut stream: TcpStream, greeting: &[u8]) -> Spoken {
    let mut first = [0; 5];
    let answer = async {
        stream.write_all(greeting).await?;
        let mut len = 0;
        while len < first.len() {
            match stream.read(&mut first[len..]).await? {
                0 => break,
                read => len += read,
            }
        }
        Ok::<_, io::Error>(len)
    };
    match tokio::time::timeout(PROBE_TIMEOUT, answer).await {
        Ok(Ok(5)) if first.starts_with(b"HTTP/") => Spoken::Http1,
        Ok(Ok(5)) if matches!(first[0], TLS_ALERT | TLS_HANDSHAKE) && first[1] == 3 => Spoken::Tls,
        // A SETTINGS frame: three bytes of length, then type 4.
        Ok(Ok(5)) if first[3] == 4 => Spoken::Http2,
        Ok(Ok(0) | Err(_)) | Err(_) => Spoken::Silent,
        Ok(Ok(_)) => Spoken::Other,
    }
}

/// The first message of a TLS handshake; what is in it does not matter, only whether the port answers in TLS.
fn client_hello() -> Option<Vec<u8>> {
    let mut connection = probing_connection(None)?;
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).ok()?;
    Some(hello)
}

/// The alert with which a server ends a connection whose handshake was complete, as far as the client can tell.
async fn alert_after_handshake(endpoint: &Endpoint) -> Option<String> {
    let stream = tcp(endpoint).await.ok()?.into_std().ok()?;
    stream.set_nonblocking(false).ok()?;
    stream.set_read_timeout(Some(PROBE_TIMEOUT)).ok()?;
    let connection = probing_connection(Some(endpoint))?;
    let handshake = move || {
        use std::io::{Read, Write};
        let mut stream = rustls::StreamOwned::new(connection, stream);
        let mut answer = [0; 1];
        // Nothing that matters is sent: the server was not verified.
        let error = stream.write_all(b"PRI * ").and_then(|()| stream.read(&mut answer)).err()?;
        if let rustls::Error::AlertReceived(alert) = error.get_ref()?.downcast_ref::<rustls::Error>()? {
            return Some(format!("{alert:?}"));
        }
        None
    };
    tokio::task::spawn_blocking(handshake).await.ok().flatten()
}

/// A TLS connection that verifies nothing and is good for looking only.
fn probing_connection(endpoint: Option<&Endpoint>) -> Option<rustls::ClientConnection> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let anybody = Arc::new(Anybody(Arc::clone(&provider)));
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(anybody);
    let identity = endpoint.and_then(|endpoint| {
        let certificates = CertificateDer::pem_slice_iter(endpoint.tls().certificate_pem.as_deref()?);
        let key = PrivateKeyDer::from_pem_slice(endpoint.tls().key_pem.as_ref()?.reveal().as_bytes()).ok()?;
        Some((certificates.collect::<Result<Vec<_>, _>>().ok()?, key))
    });
    let mut config = match identity {
        Some((certificates, key)) => config.with_client_auth_cert(certificates, key).ok()?,
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let host = endpoint.map_or("localhost", |endpoint| endpoint.host().trim_matches(['[', ']'])).to_owned();
    rustls::ClientConnection::new(Arc::new(config), ServerName::try_from(host).ok()?).ok()
}

/// Accepts every server, because the question is only what it does with the client.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn sources<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

/// rustls' own error hides inside an `io::Error`, which does not name it as its source.
fn find_tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    sources(error).find_map(|error| {
        error
            .downcast_ref::<rustls::Error>()
            .or_else(|| error.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref::<rustls::Error>())
    })
}

fn innermost(error: &(dyn StdError + 'static)) -> String {
    sources(error).last().map_or_else(String::new, ToString::to_string)
}

fn chain_text(error: &(dyn StdError + 'static)) -> String {
    sources(error).map(|error| format!("{error:?}")).last().unwrap_or_default()
}
