//! A real PostgreSQL: it starts, keeps what it was given through kills, and is gone with its owner.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use vecferry_sandbox::{Error, PostgresServer};

fn start() -> PostgresServer {
    PostgresServer::start(&|_| {}).unwrap()
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(90), "still waiting for: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// How many processes work in a directory or were started with its name, those that only wait to be reaped aside.
fn processes_of(directory: &Path) -> usize {
    let name = directory.to_str().unwrap();
    let belongs = |process: &Path| {
        let works_there = fs::read_link(process.join("cwd"))
            .is_ok_and(|path| path.to_str().is_some_and(|path| path.starts_with(name)));
        works_there || fs::read_to_string(process.join("cmdline")).is_ok_and(|line| line.contains(name))
    };
    fs::read_dir("/proc").unwrap().flatten().filter(|entry| belongs(&entry.path())).count()
}

fn sql(server: &PostgresServer, statement: &str) -> String {
    server.psql(&server.superuser_url("postgres"), &[statement]).unwrap()
}

#[test]
fn it_asks_for_a_password_and_takes_only_the_right_one() {
    let server = start();
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    stream.write_all(b"\0\0\0\x17\0\x03\0\0user\0postgres\0\0").unwrap();
    // Authentication, SASL, and the one mechanism that is left without TLS.
    let mut answer = [0; 24];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0");

    let url = server.superuser_url("postgres");
    assert_eq!(server.psql(&url, &["SELECT 1", "SELECT 'two', NULL"]), Ok("1\ntwo|".to_owned()));
    let error = server.psql(&url.replace(server.password(), "wrong"), &["SELECT 1"]).unwrap_err();
    let Error::ProgramFailed { program, log, .. } = &error else { panic!("{error}") };
    assert_eq!(program, "psql");
    assert!(log.contains("password authentication failed"), "{log}");

    for (setting, value) in [
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("shared_buffers", "16MB"),
        ("max_connections", "60"),
        ("timezone", "UTC"),
        ("server_encoding", "UTF8"),
    ] {
        assert_eq!(sql(&server, &format!("SHOW {setting}")), value, "{setting}");
    }
}

#[test]
fn two_at_once_and_a_killed_one_has_what_was_committed() {
    let (server, other) = thread::scope(|scope| {
        let other = scope.spawn(start);
        (start(), other.join().unwrap())
    });
    assert_ne!(server.port(), other.port());
    sql(&server, "CREATE TABLE kept (id int)");
    sql(&server, "INSERT INTO kept SELECT generate_series(1, 1000)");
    let port = server.port();

    let url = server.superuser_url("postgres");
    let endless =
        ["BEGIN; INSERT INTO kept VALUES (-1); SELECT count(*) FROM generate_series(1, 1000000000000)"];
    thread::scope(|scope| {
        let open = scope.spawn(|| server.psql(&url, &endless));
        let busy =
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'BEGIN; INSERT%' AND state = 'active'";
        wait_until("the query", || server.psql(&url, &[busy]).unwrap() == "1");
        assert!(processes_of(server.directory()) > 1);
        server.kill().unwrap();
        assert!(open.join().unwrap().is_err());
    });
    // The shell that waits for the end of this process is left.
    assert_eq!(processes_of(server.directory()), 1);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    assert_eq!(server.pid(), None);
    assert!(matches!(server.kill(), Err(Error::NotRunning { .. })));

    server.start_again().unwrap();
    assert!(matches!(server.start_again(), Err(Error::AlreadyRunning { .. })));
    assert_eq!(server.port(), port);
    assert_eq!(sql(&server, "SELECT count(*), min(id), max(id) FROM kept"), "1000|1|1000");
    assert!(server.psql(&other.superuser_url("postgres"), &["TABLE kept"]).is_err());
}

#[test]
fn dropping_it_leaves_nothing() {
    for is_killed in [false, true] {
        let server = start();
        if is_killed {
            server.kill().unwrap();
        }
        let directory = server.directory().to_owned();
        drop(server);
        assert!(!directory.exists());
        assert_eq!(processes_of(&directory), 0);
    }
}

#[test]
fn a_server_that_does_not_start_shows_its_log() {
    let server = start();
    sql(&server, "ALTER SYSTEM SET shared_preload_libraries = 'no_such_library'");
    server.kill().unwrap();
    let error = server.start_again().unwrap_err();
    let Error::ServerDied { log, .. } = &error else { panic!("{error}") };
    assert!(log.contains("no_such_library"), "{log}");
    assert_eq!(server.pid(), None);
}

/// Where [`be_owner`] writes what became of its server.
const REPORT: &str = "VECFERRY_TEST_REPORT";

/// What the test process does that [`run_owner`] starts: it owns a server until it is killed.
fn be_owner(report: &Path) {
    let server = PostgresServer::start(&|_| {});
    let line = match &server {
        Ok(server) => format!("{}\n", server.directory().display()),
        Err(error) => format!("{error}\n"),
    };
    fs::write(report, line).unwrap();
    if server.is_ok() {
        // Longer than the test that kills this process waits.
        thread::sleep(Duration::from_secs(120));
    }
}

/// Runs [`be_owner`] in a process of its own; returns the process and what it reports.
fn run_owner(programs: Option<&Path>) -> (Child, String) {
    let directory = tempfile::tempdir().unwrap();
    let report = directory.path().join("report");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "nothing_is_left_of_a_killed_owner"]).env(REPORT, &report).stdout(Stdio::null());
    if let Some(programs) = programs {
        command.env("VECFERRY_POSTGRES_BIN", programs);
    }
    let owner = command.spawn().unwrap();
    let read = || fs::read_to_string(&report).unwrap_or_default();
    wait_until("the owner's report", || read().ends_with('\n'));
    (owner, read().trim_end().to_owned())
}

#[test]
fn nothing_is_left_of_a_killed_owner() {
    if let Some(report) = std::env::var_os(REPORT) {
        return be_owner(Path::new(&report));
    }
    let (mut owner, directory) = run_owner(None);
    let directory = PathBuf::from(directory);
    assert!(directory.is_dir(), "{}", directory.display());
    assert!(processes_of(&directory) > 1);
    owner.kill().unwrap();
    owner.wait().unwrap();
    wait_until("the processes' end", || processes_of(&directory) == 0);
    assert!(!directory.exists());
}

#[test]
fn an_installed_one_is_used_where_it_is_named() {
    let server = start();
    let (mut owner, directory) = run_owner(Some(server.programs()));
    assert!(Path::new(&directory).is_dir(), "{directory}");
    assert!(!Path::new(&directory).join("programs").exists());
    owner.kill().unwrap();
    owner.wait().unwrap();

    let empty = tempfile::tempdir().unwrap();
    let (mut owner, error) = run_owner(Some(empty.path()));
    owner.wait().unwrap();
    assert_eq!(error, format!("{} has no program named 'initdb'", empty.path().display()));
}
