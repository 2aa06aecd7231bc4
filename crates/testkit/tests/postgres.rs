//! The PostgreSQL of tests: separate databases, hard stops, and TLS.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use vecferry_testkit::Postgres;

/// A request for TLS, and a startup message of the user `vecferry`.
const ENCRYPT: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
const STARTUP: &[u8] = b"\0\0\0\x17\0\x03\0\0user\0vecferry\0\0";

fn connect(url: &str) -> TcpStream {
    let (_, address) = url.split_once('@').unwrap();
    TcpStream::connect(address.split_once('/').unwrap().0).unwrap()
}

fn first_byte(mut stream: impl Read + Write, message: &[u8]) -> std::io::Result<u8> {
    stream.write_all(message)?;
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    Ok(byte[0])
}

/// Does what a client does that verifies the server's certificate, up to the server's first message.
fn with_tls(url: &str, ca_certificate: &Path) -> std::io::Result<u8> {
    let mut authorities = RootCertStore::empty();
    authorities.add(CertificateDer::from_pem_file(ca_certificate).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(authorities)
        .with_no_client_auth();
    let mut stream = connect(url);
    assert_eq!(first_byte(&mut stream, ENCRYPT)?, b'S');
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    first_byte(StreamOwned::new(connection, stream), STARTUP)
}

#[test]
fn each_test_has_its_own_database_and_hard_stops_lose_nothing() {
    let postgres = Postgres::start();
    let urls = [postgres.url(), postgres.create_database(), postgres.create_database()];
    for (number, url) in urls.iter().enumerate() {
        let create = format!("CREATE TABLE own AS SELECT {number} AS id, current_user::text AS role");
        // As the role of the URL, with its password.
        postgres.server().psql(url, &[&create]).unwrap();
    }
    let superuser = "SELECT rolsuper FROM pg_roles WHERE rolname = 'vecferry'";
    assert_eq!(postgres.query(&urls[0], superuser), "f");
    for _ in 0..2 {
        postgres.stop_hard();
        postgres.start_again();
    }
    for (number, url) in urls.iter().enumerate() {
        assert_eq!(postgres.query(url, "TABLE own"), format!("{number}|vecferry"));
    }
    assert_eq!(postgres.ca_certificate(), None);
    assert_eq!(first_byte(connect(&urls[1]), STARTUP).unwrap(), b'R');
}

#[test]
fn with_tls_it_asks_for_a_password_inside_of_it_only() {
    let postgres = Postgres::start_with_tls();
    let other = Postgres::start_with_tls();
    let ca_certificate = postgres.ca_certificate().unwrap();
    let url = postgres.create_database();

    assert_eq!(with_tls(&url, ca_certificate).unwrap(), b'R');
    assert!(
        with_tls(&url, other.ca_certificate().unwrap()).is_err(),
        "a foreign authority is not to be trusted"
    );
    assert_eq!(first_byte(connect(&url), STARTUP).unwrap(), b'E');

    postgres.stop_hard();
    assert!(with_tls(&url, ca_certificate).is_err());
    postgres.start_again();
    assert_eq!(with_tls(&url, ca_certificate).unwrap(), b'R');
}
