//! A real OpenID Connect provider, with users that tests make up. It signs in whoever a test says is in front of it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use vecferry_sandbox::install_oidc_provider;

use crate::free_port;

/// Ends when its input closes, and so with whoever started it.
const PROGRAM: &str = "
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
from oidc_provider_mock.__main__ import run
run()
";
const START_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// A running provider on 127.0.0.1, which takes every client. It ends when this is dropped, or with the process.
pub struct IdentityProvider {
    child: Child,
    port: u16,
}

impl IdentityProvider {
    /// Starts a provider; returns as soon as it takes connections.
    pub fn start() -> Self {
        let packages = install_oidc_provider(&|_| {}).expect("the package of the provider");
        let port = free_port();
        let child = Command::new("python3")
            .args(["-u", "-c", PROGRAM, "--port", &port.to_string()])
            .env("PYTHONPATH", packages)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3 runs");
        let mut provider = Self { child, port };
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = provider.child.try_wait().expect("its state");
            assert!(ended.is_none() && begin.elapsed() < START_MAX, "the provider does not start: {ended:?}");
            std::thread::sleep(LOOK_EVERY);
        }
        provider
    }

    /// What it calls itself.
    pub fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Makes a user, or changes one. Claims such as `aud` replace those of its tokens.
    pub fn set_user(&self, subject: &str, claims: &Value) {
        let head = self.call("PUT", &format!("/users/{subject}"), "application/json", &claims.to_string());
        assert!(head.starts_with("HTTP/1.1 204"), "{head}");
    }

    /// Signs a user in who was sent to an address of the provider; returns where the browser is sent to.
    pub fn authorize(&self, url: &str, subject: &str) -> String {
        let path = url.strip_prefix(&self.issuer()).unwrap_or_else(|| panic!("{url} is elsewhere"));
        let form = format!("sub={subject}");
        let head = self.call("POST", path, "application/x-www-form-urlencoded", &form);
        let location = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("location").then(|| value.to_owned())
        });
        location.unwrap_or_else(|| panic!("no redirect: {head}"))
    }

    /// The head of its answer.
    fn call(&self, method: &str, path: &str, kind: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the provider listens");
        stream.set_read_timeout(Some(ANSWER_MAX)).expect("a time limit");
        let (port, length) = (self.port, body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\ncontent-type: {kind}\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).expect("the provider reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the provider answers");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        answer.split_once("\r\n\r\n").map(|(head, _)| head.to_owned()).unwrap_or(answer)
    }
}

impl Drop for IdentityProvider {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
