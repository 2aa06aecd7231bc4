//! Encrypted connections to a PostgreSQL.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use vecferry_store::postgres::{PostgresStore, Settings};
use vecferry_store::{Error, ErrorKind, Jobs};
use vecferry_testkit::Postgres;

use crate::place::SERVER;
use crate::sample::job;

static ENCRYPTED: LazyLock<Postgres> = LazyLock::new(Postgres::start_with_tls);
const SOON: Settings =
    Settings { connections_max: 2, retry_for: Duration::from_millis(300), files_directory: None };

async fn connect(url: &str) -> Result<PostgresStore, Error> {
    let store = PostgresStore::connect(url, SOON).await?;
    store.create_job(job("j1")).await?;
    Ok(store)
}

async fn refused(url: &str) -> Error {
    let error = PostgresStore::connect(url, SOON).await.unwrap_err();
    let password = ENCRYPTED.server().password();
    assert!(!format!("{error} {error:?}").contains(password), "{error:?}");
    error
}

fn authority(server: &Postgres) -> &Path {
    server.ca_certificate().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_demands_tls_gets_it() {
    let ca = authority(&ENCRYPTED).display();
    for query in [
        String::new(),
        "?sslmode=prefer".to_owned(),
        "?sslmode=require".to_owned(),
        format!("?sslmode=require&sslrootcert={ca}"),
        format!("?sslmode=verify-ca&sslrootcert={ca}"),
        format!("?sslmode=verify-full&sslrootcert={ca}"),
    ] {
        let url = format!("{}{query}", ENCRYPTED.create_database());
        connect(&url).await.unwrap_or_else(|error| panic!("{query}: {error}"));
    }
    let error = refused(&format!("{}?sslmode=disable", ENCRYPTED.create_database())).await;
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_looked_at_where_that_is_asked_for() {
    let other = Postgres::start_with_tls();
    let (ca, foreign) = (authority(&ENCRYPTED).display(), authority(&other).display());
    let url = ENCRYPTED.create_database();
    for query in [
        format!("sslmode=verify-full&sslrootcert={foreign}"),
        format!("sslmode=verify-ca&sslrootcert={foreign}"),
        format!("sslmode=require&sslrootcert={foreign}"),
        // This machine's authorities did not sign it.
        "sslmode=verify-full&sslrootcert=system".to_owned(),
        "sslmode=verify-full".to_owned(),
    ] {
        let error = refused(&format!("{url}?{query}")).await;
        assert_eq!(error.kind(), ErrorKind::Unusable, "{query}: {error}");
    }
    // By another name than the certificate has.
    let (front, rest) = url.split_once("127.0.0.1").unwrap();
    let named = format!("{front}elsewhere.example{rest}?hostaddr=127.0.0.1&sslrootcert={ca}");
    let error = refused(&format!("{named}&sslmode=verify-full")).await;
    assert_eq!(error.kind(), ErrorKind::Unusable, "{error}");
    connect(&format!("{named}&sslmode=verify-ca")).await.unwrap();
    let missing = format!("{url}?sslmode=verify-full&sslrootcert=/missing.pem");
    let error = refused(&missing).await;
    assert_eq!(error.kind(), ErrorKind::Unusable);
    assert!(error.to_string().contains("/missing.pem"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_tls_is_used_only_where_that_is_allowed() {
    for query in ["", "?sslmode=prefer", "?sslmode=disable"] {
        connect(&format!("{}{query}", SERVER.create_database())).await.unwrap();
    }
    let error = refused(&format!("{}?sslmode=require", SERVER.create_database())).await;
    assert_eq!(error.kind(), ErrorKind::Unusable);
    assert!(error.to_string().contains("server does not support TLS"), "{error}");
}
