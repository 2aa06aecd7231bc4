//! Endpoints with addresses that were resolved beforehand: where connections go, and which name servers are asked for.
#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};

use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use vecferry_milvus::{Client, Endpoint, ErrorKind, Tls};
use vecferry_sandbox::Certificates;
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::{Options, Version};

/// A host that never resolves (RFC 6761), with a port that nothing listens on.
const NOWHERE: &str = "vecferry.invalid:1";

fn endpoint(address: &str) -> Endpoint {
    Endpoint::parse(address).unwrap()
}

fn address(server: &StandIn) -> SocketAddr {
    server.uri().trim_start_matches("http://").parse().unwrap()
}

/// An address that refuses connections: its port was just given back.
async fn closed() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap()
}

async fn kind(endpoint: Endpoint) -> ErrorKind {
    Client::connect(endpoint, 1).await.unwrap_err().kind()
}

#[tokio::test]
async fn connections_go_to_the_addresses_in_turn_and_never_to_the_host() {
    let server = StandIn::start(Options::new(Version::V2_6));
    let nowhere = endpoint(&format!("http://{NOWHERE}"));
    assert_eq!(kind(nowhere.clone()).await, ErrorKind::UnknownHost);
    let pinned = nowhere.clone().at(vec![closed().await, address(&server)]);
    let client = Client::connect(pinned, 2).await.unwrap();
    assert_eq!(client.endpoint().to_string(), format!("http://{NOWHERE}"));

    // The host is a server, which must not be found.
    let host = endpoint(&server.uri());
    assert_eq!(kind(host.clone().at(vec![closed().await])).await, ErrorKind::ConnectionRefused);
    assert_eq!(kind(host.at(Vec::new())).await, ErrorKind::Unreachable);
}

/// What looks into a failure opens connections of its own; they go to the same addresses.
#[tokio::test]
async fn a_failure_is_looked_into_at_the_addresses() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let web_server = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut greeting = [0; 24];
                stream.read_exact(&mut greeting).await?;
                stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await
            });
        }
    });
    let pinned = endpoint(&format!("http://{NOWHERE}")).at(vec![web_server]);
    let error = Client::connect(pinned, 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotGrpc, "{error}");
    assert!(error.message().contains("is a web server"), "{error}");
}

#[tokio::test]
async fn requests_name_the_host() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let server = listener.local_addr().unwrap();
    let named = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&named);
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let answer = service_fn(move |request: Request<Incoming>| {
            seen.lock().unwrap().push(request.uri().authority().map(ToString::to_string));
            let response =
                Response::builder().status(StatusCode::NOT_FOUND).body(Empty::<bytes::Bytes>::new());
            async move { Ok::<_, Infallible>(response.unwrap()) }
        });
        http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await
    });
    let pinned = endpoint(&format!("http://{NOWHERE}")).at(vec![server]);
    assert_eq!(kind(pinned).await, ErrorKind::NotGrpc);
    assert_eq!(*named.lock().unwrap(), [Some(NOWHERE.to_owned())]);
}

/// TLS in front of a server, with a certificate for `localhost`; the address, and the names that clients ask for.
async fn encrypted(server: SocketAddr, certificates: &Certificates) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let certificate = CertificateDer::from_pem_file(&certificates.server_certificate).unwrap();
    let key = PrivateKeyDer::from_pem_file(&certificates.server_key).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let front = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
            tokio::spawn(async move {
                let mut client = acceptor.accept(client).await?;
                let name = client.get_ref().1.server_name().unwrap_or_default().to_owned();
                seen.lock().unwrap().push(name);
                copy_bidirectional(&mut client, &mut TcpStream::connect(server).await?).await
            });
        }
    });
    (front, asked)
}

fn trusting(certificates: &Certificates, address: &str) -> Endpoint {
    let ca: &Path = &certificates.ca_certificate;
    let tls = Tls { ca_pem: Some(std::fs::read(ca).unwrap()), ..Tls::default() };
    endpoint(address).with_tls(tls).unwrap()
}

#[tokio::test]
async fn certificates_are_checked_against_the_host_and_not_against_the_address() {
    let directory = tempfile::tempdir().unwrap();
    let certificates = Certificates::create(directory.path()).unwrap();
    let server = StandIn::start(Options::new(Version::V2_6));
    let (front, asked) = encrypted(address(&server), &certificates).await;

    // Nothing listens on the port of the host, so that only the address leads to the server.
    let named = trusting(&certificates, "https://localhost:1").at(vec![front]);
    Client::connect(named, 1).await.unwrap();
    assert_eq!(*asked.lock().unwrap(), ["localhost"]);

    // The certificate is good for the address, which does not count.
    let other = trusting(&certificates, &format!("https://{NOWHERE}")).at(vec![front]);
    let error = Client::connect(other, 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UntrustedCertificate, "{error}");
    assert!(error.message().contains("vecferry.invalid"), "{error}");
}
