//! HTTP requests that the service makes itself: to webhooks and to an identity provider. One connection for each request, to
//! an address that was allowed. Redirects are not followed: they would lead around the check of the address.

mod address;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use vecferry_migrate::{Lang, Problem, Surface};

pub(crate) use address::Address;

/// A request is over within this time.
const REQUEST_MAX: Duration = Duration::from_secs(10);
/// As it says who it is.
const USER_AGENT: &str = concat!("vecferry/", env!("CARGO_PKG_VERSION"));

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It may not be called, or has no address.
    Unresolved(Box<Problem>),
    /// No connection.
    Connection(String),
    /// The certificate is not trusted, or there is no TLS.
    Tls(String),
    /// The answer is none.
    Http(String),
    /// It took too long.
    Late,
}

impl Failure {
    /// For people.
    pub(crate) fn told(&self, lang: Lang) -> String {
        match (self, lang) {
            (Self::Unresolved(problem), _) => problem.what_on(Surface::Service, lang),
            (Self::Connection(detail), Lang::En) => format!("cannot connect: {detail}"),
            (Self::Connection(detail), Lang::Zh) => format!("无法连接：{detail}"),
            (Self::Tls(detail), Lang::En) => format!("no TLS connection: {detail}"),
            (Self::Tls(detail), Lang::Zh) => format!("无法建立 TLS 连接：{detail}"),
            (Self::Http(detail), Lang::En) => format!("no HTTP answer: {detail}"),
            (Self::Http(detail), Lang::Zh) => format!("没有 HTTP 应答：{detail}"),
            (Self::Late, Lang::En) => format!("no answer within {} s", REQUEST_MAX.as_secs()),
            (Self::Late, Lang::Zh) => format!("{} 秒内无应答", REQUEST_MAX.as_secs()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told(Lang::En))
    }
}

/// Makes requests, and knows whose certificates are trusted.
#[derive(Debug, Default)]
pub(crate) struct Client {
    /// Read when it is first needed: most installations make no such requests.
    tls: OnceLock<Option<Arc<ClientConfig>>>,
}

impl Client {
    /// A client that trusts what the system trusts.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Sends a request for an address, only to where the name is by the resolution that is given. Of the answer no more than
    /// some bytes are taken; with none, it is not read at all.
    pub(crate) async fn exchange(
        &self,
        address: &Address,
        resolved: impl Future<Output = Result<Vec<SocketAddr>, Problem>>,
        request: Request<Full<Bytes>>,
        bytes_max: usize,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let exchanged = async {
            let addresses = resolved.await.map_err(|problem| Failure::Unresolved(Box::new(problem)))?;
            let request = completed(request, address)?;
            let stream = TcpStream::connect(&addresses[..]).await;
            let stream = stream.map_err(|error| Failure::Connection(error.to_string()))?;
            if address.is_tls() {
                answered(self.tls(stream, address).await?, request, bytes_max).await
            } else {
                answered(stream, request, bytes_max).await
            }
        };
        tokio::time::timeout(REQUEST_MAX, exchanged).await.unwrap_or(Err(Failure::Late))
    }

    async fn tls(
        &self,
        stream: TcpStream,
        address: &Address,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Failure> {
        let config = self.tls.get_or_init(client_config).clone();
        let config = config.ok_or_else(|| Failure::Tls("TLS is not available".to_owned()))?;
        let host = address.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|error| Failure::Tls(error.to_string()))?;
        let connected = TlsConnector::from(config).connect(name, stream).await;
        connected.map_err(|error| Failure::Tls(error.to_string()))
    }
}

fn client_config() -> Option<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in native.errors {
        tracing::warn!(%error, "a trusted certificate cannot be read");
    }
    roots.add_parsable_certificates(native.certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    Some(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// With what every request has.
fn completed(request: Request<Full<Bytes>>, address: &Address) -> Result<Request<Full<Bytes>>, Failure> {
    let failed = |error: &dyn fmt::Display| Failure::Http(error.to_string());
    let (mut parts, body) = request.into_parts();
    parts.uri = address.path().parse().map_err(|error| failed(&error))?;
    let host = HeaderValue::from_str(address.authority()).map_err(|error| failed(&error))?;
    parts.headers.insert(header::HOST, host);
    parts.headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    Ok(Request::from_parts(parts, body))
}

async fn answered<Stream>(
    stream: Stream,
    request: Request<Full<Bytes>>,
    bytes_max: usize,
) -> Result<(StatusCode, Bytes), Failure>
where
    Stream: AsyncRead + AsyncWrite + Unpin,
{
    let failed = |error: hyper::Error| Failure::Http(error.to_string());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let answered = async {
        let answer = sender.send_request(request).await.map_err(failed)?;
        let status = answer.status();
        if bytes_max == 0 {
            return Ok((status, Bytes::new()));
        }
        let body = Limited::new(answer.into_body(), bytes_max).collect().await;
        Ok((status, body.map_err(|error| Failure::Http(error.to_string()))?.to_bytes()))
    };
    tokio::pin!(answered, connection);
    tokio::select! {
        biased;
        answer = &mut answered => return answer,
        ended = &mut connection => ended.map_err(failed)?,
    }
    // The connection may end with the answer.
    answered.await
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// What a server that gives an answer is asked, and what comes of it.
    async fn exchanged(
        answer: &'static str,
        bytes_max: usize,
    ) -> (Result<(StatusCode, Bytes), Failure>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut said, mut part) = (Vec::new(), [0; 4096]);
            while !String::from_utf8_lossy(&said).ends_with("\r\n\r\n") {
                let count = stream.read(&mut part).await.unwrap();
                assert!(count > 0, "the request ended early");
                said.extend_from_slice(&part[..count]);
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(said).unwrap()
        });
        let address = Address::parse(&format!("http://id.example.com:{}/keys?a=b", at.port())).unwrap();
        let request = Request::new(Full::default());
        let answered = Client::new().exchange(&address, async { Ok(vec![at]) }, request, bytes_max).await;
        (answered, serving.await.unwrap())
    }

    #[tokio::test]
    async fn an_answer_is_read_up_to_its_limit() {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nkeys";
        let (answered, said) = exchanged(answer, 4).await;
        assert_eq!(answered.unwrap(), (StatusCode::OK, Bytes::from_static(b"keys")));
        let said = said.to_lowercase();
        assert!(said.starts_with("get /keys?a=b http/1.1\r\n"), "{said}");
        for line in ["host: id.example.com:", "user-agent: vecferry/", "connection: close\r\n"] {
            assert!(said.contains(line), "{line}: {said}");
        }
        let (answered, _) = exchanged(answer, 3).await;
        assert!(matches!(answered, Err(Failure::Http(_))), "{answered:?}");
        let (answered, _) = exchanged("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", 0).await;
        assert_eq!(answered.unwrap(), (StatusCode::OK, Bytes::new()));
    }

    #[test]
    fn failures_are_told_in_both_languages() {
        assert_eq!(Failure::Late.told(Lang::En), "no answer within 10 s");
        assert_eq!(Failure::Late.told(Lang::Zh), "10 秒内无应答");
        assert_eq!(Failure::Tls("x".into()).to_string(), "no TLS connection: x");
    }
}
