//! A real PostgreSQL with an empty database for each test. It may not know what tests keep there.

mod tls_front;

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use vecferry_sandbox::{Certificates, PostgresServer};

use tls_front::TlsFront;

/// The ordinary role that owns the databases, also the name of the first one.
const ROLE: &str = "vecferry";

/// A running PostgreSQL server on 127.0.0.1. It ends when this is dropped, or when the process ends however it does.
///
/// ```no_run
/// use vecferry_testkit::Postgres;
///
/// let postgres = Postgres::start();
/// let url = postgres.create_database();
/// // … what is tested writes to `url` …
/// postgres.stop_hard();
/// postgres.start_again();
/// assert_eq!(postgres.query(&url, "SELECT count(*) FROM jobs"), "1");
/// ```
///
/// Tests of one binary may share one (`static SERVER: LazyLock<Postgres>`), except those that stop it.
pub struct Postgres {
    // Ends first, before what is behind it.
    tls: Option<Tls>,
    server: PostgresServer,
    databases: AtomicU32,
}

struct Tls {
    front: TlsFront,
    certificates: Certificates,
}

impl Postgres {
    /// Starts a server that speaks plain text, and creates its role and first database.
    pub fn start() -> Self {
        let server = PostgresServer::start(&|_| {}).expect("PostgreSQL starts");
        let statements = [
            format!("CREATE ROLE {ROLE} LOGIN PASSWORD '{}'", server.password()),
            format!("CREATE DATABASE {ROLE} OWNER {ROLE}"),
        ];
        let statements = statements.each_ref().map(String::as_str);
        server.psql(&server.superuser_url("postgres"), &statements).expect("a role and its database");
        Self { tls: None, server, databases: AtomicU32::new(0) }
    }

    /// Starts a server whose URLs demand TLS.
    ///
    /// The packaged PostgreSQL is built without TLS, so that it ends in front of the server, in this process. A client
    /// sees one difference: while the server is stopped, connections are accepted and closed, not refused.
    pub fn start_with_tls() -> Self {
        let plain = Self::start();
        let certificates = Certificates::create(&plain.server.directory().join("certificates"))
            .expect("certificates for PostgreSQL");
        let front = TlsFront::start(plain.server.port(), &certificates);
        Self { tls: Some(Tls { front, certificates }), ..plain }
    }

    /// The address of the first database, with user and password.
    pub fn url(&self) -> String {
        self.url_of(ROLE)
    }

    /// Creates an empty database and returns its address. Its owner is no superuser.
    pub fn create_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed) + 1);
        let statement = format!("CREATE DATABASE {name} OWNER {ROLE}");
        self.server.psql(&self.server.superuser_url("postgres"), &[&statement]).expect("a new database");
        self.url_of(&name)
    }

    /// The authority that signed the server's certificate, where TLS is on.
    pub fn ca_certificate(&self) -> Option<&Path> {
        self.tls.as_ref().map(|tls| tls.certificates.ca_certificate.as_path())
    }

    /// Runs SQL as superuser in the database of one of this server's URLs; returns rows as lines, with `|` between
    /// columns. It goes around TLS.
    #[track_caller]
    pub fn query(&self, url: &str, sql: &str) -> String {
        let (_, database) = url.rsplit_once('/').expect("a URL with a database");
        self.server.psql(&self.server.superuser_url(database), &[sql]).expect("the SQL succeeds")
    }

    /// Kills the server (SIGKILL) with all its processes, as a crash would.
    #[track_caller]
    pub fn stop_hard(&self) {
        self.server.kill().expect("PostgreSQL was running");
    }

    /// Starts a stopped server on the same port and data, and waits until it takes connections.
    #[track_caller]
    pub fn start_again(&self) {
        self.server.start_again().expect("PostgreSQL starts again");
    }

    /// The server itself: its process, its programs, its log.
    pub fn server(&self) -> &PostgresServer {
        &self.server
    }

    fn url_of(&self, database: &str) -> String {
        let port = self.tls.as_ref().map_or(self.server.port(), |tls| tls.front.port());
        format!("postgres://{ROLE}:{}@127.0.0.1:{port}/{database}", self.server.password())
    }
}
