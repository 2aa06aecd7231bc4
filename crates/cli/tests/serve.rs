//! The real service as a process: what it prints, whom it lets in, how it ends, and which configurations it refuses. No
//! cluster is needed for any of it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

/// Whatever is waited for comes within this time, or the test fails.
const WAIT_MAX: Duration = Duration::from_secs(30);

fn vecferry(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vecferry"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["VECFERRY_", "LC_", "XDG_"].iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command.env("LANG", "C").args(arguments).stdin(Stdio::null());
    command
}

struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn ended(command: &mut Command) -> Ended {
    let output = command.output().unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A service that listens.
struct Service {
    child: Child,
    address: String,
    link: Option<String>,
    store: String,
    log: PathBuf,
}

impl Service {
    /// Starts it on a free port, with its records in a directory.
    fn start(directory: &Path, more: &[&str]) -> Self {
        let state = directory.join("state");
        let log = directory.join("log");
        let mut arguments = vec!["serve", "--json", "--listen", "127.0.0.1:0", "--state-dir", text(&state)];
        arguments.extend(["--log", "debug"]);
        arguments.extend(more);
        let stderr = fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut command = vecferry(&arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap_or_default();
        assert_eq!(told["event"], "listening", "{line}{}", fs::read_to_string(&log).unwrap());
        let (_, address) = told["url"].as_str().unwrap().split_once("://").unwrap();
        Self {
            child,
            address: address.to_owned(),
            link: told["sign_in_link"].as_str().map(str::to_owned),
            store: told["store"].as_str().unwrap().to_owned(),
            log,
        }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    fn wait(&mut self) -> ExitStatus {
        within(|| self.child.try_wait().unwrap())
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Answer {
        ask(TcpStream::connect(&self.address).unwrap(), method, path, headers, body)
    }

    fn get(&self, path: &str, key: Option<&str>) -> Answer {
        let bearer = key.map(|key| format!("Bearer {key}"));
        let headers: Vec<_> = bearer.iter().map(|bearer| ("Authorization", bearer.as_str())).collect();
        self.ask("GET", path, &headers, None)
    }

    /// Signs in by a link, and makes an API key.
    fn api_key(&self, token: &str) -> String {
        let signed = self.ask("POST", "/v2/session/link", &[], Some(&json!({ "token": token })));
        assert_eq!(signed.status, 200, "{}", signed.body);
        let cookie = signed.header("set-cookie").unwrap();
        let csrf = signed.json()["data"]["csrfToken"].as_str().unwrap().to_owned();
        let headers = [("Cookie", cookie.split(';').next().unwrap()), ("X-CSRF-Token", &csrf)];
        let made = json!({ "name": "test", "kind": "personal" });
        let made = self.ask("POST", "/v2/apiKeys", &headers, Some(&made));
        assert_eq!(made.status, 200, "{}", made.body);
        made.json()["data"]["apiKey"].as_str().unwrap().to_owned()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks until there is something.
fn within<Found>(mut look: impl FnMut() -> Option<Found>) -> Found {
    let until = Instant::now() + WAIT_MAX;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "it did not come within {WAIT_MAX:?}");
        std::thread::yield_now();
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

fn ask(
    mut stream: impl Read + Write,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> Answer {
    let body = body.map(Value::to_string).unwrap_or_default();
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        request.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
    }
    stream.write_all(format!("{request}\r\n{body}").as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A server may close a TLS connection without a last word.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

#[test]
fn the_first_start_prints_a_link_and_a_signal_ends_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut service = Service::start(directory.path(), &[]);
    assert_eq!(service.store, text(&directory.path().join("state")));
    let link = service.link.clone().unwrap();
    let token = link.strip_prefix(&format!("http://{}/setup#", service.address)).unwrap();
    assert!(token.starts_with("vfl_"), "{token}");
    let key_file = directory.path().join("state/service.key");
    assert_eq!(fs::metadata(&key_file).unwrap().permissions().mode() & 0o777, 0o600);

    for path in ["/healthz", "/readyz"] {
        assert_eq!(service.get(path, None).json()["data"]["status"], "ok", "{path}");
    }
    assert_eq!(service.get("/metrics", None).status, 401);
    let key = service.api_key(token);
    assert_eq!(service.get("/v2/projects", Some(&key)).json()["data"][0]["projectName"], "Default Project");
    let again = service.ask("POST", "/v2/session/link", &[], Some(&json!({ "token": token })));
    assert_eq!(again.status, 401, "a link signs in once");

    let metrics = service.get("/metrics", Some(&key));
    assert_eq!(metrics.status, 200);
    let shown = names_of(&metrics.body);
    for name in &shown {
        assert!(known_metrics().contains(name), "{name} is in no catalogue");
    }
    for name in ["vecferry_http_requests_total", "vecferry_jobs_waiting", "vecferry_jobs_running"] {
        assert!(shown.iter().any(|shown| shown == name), "{name}: {}", metrics.body);
    }
    assert!(metrics.body.contains("vecferry_http_request_seconds_bucket{path=\"/healthz\",le=\"0.5\"} 1"));
    assert!(metrics.body.contains("# HELP vecferry_http_requests_total "), "{}", metrics.body);

    // A connection that stays open keeps nothing waiting.
    let mut idle = TcpStream::connect(&service.address).unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    idle.read_exact(&mut [0; 15]).unwrap();
    let started = Instant::now();
    service.signal("-TERM");
    assert_eq!(service.wait().code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(7), "{:?}", started.elapsed());
    let log = service.log();
    assert!(log.contains("request_id"), "{log}");
    for secret in [token, &key, fs::read_to_string(&key_file).unwrap().lines().last().unwrap()] {
        assert!(!log.contains(secret), "a secret is in the log");
    }
}

/// A request whose body the service waits for.
fn unfinished_request(service: &Service) -> TcpStream {
    let mut stream = TcpStream::connect(&service.address).unwrap();
    let head = "POST /v2/session HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Content-Length: 100\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100");
    stream
}

#[test]
fn a_request_that_does_not_end_delays_the_end_by_seconds_only() {
    let directory = tempfile::tempdir().unwrap();
    let mut service = Service::start(directory.path(), &[]);
    let unfinished = unfinished_request(&service);
    let started = Instant::now();
    service.signal("-TERM");
    assert_eq!(service.wait().code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    drop(unfinished);

    let mut again = Service::start(directory.path(), &[]);
    let unfinished = unfinished_request(&again);
    let started = Instant::now();
    again.signal("-TERM");
    // The log goes on from the first start.
    within(|| (again.log().matches("Stopping: ").count() == 2).then_some(()));
    again.signal("-TERM");
    assert_eq!(again.wait().code(), Some(130));
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
    drop(unfinished);
}

#[test]
fn people_read_the_link_in_their_language() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    for (lang, listens, link) in [
        ("zh", "Vecferry 正在监听 http://127.0.0.1:", "owner@localhost 的一次性登录链接"),
        ("en", "Vecferry listens on http://", ""),
    ] {
        let arguments = ["serve", "--lang", lang, "--listen", "127.0.0.1:0", "--state-dir", text(&state)];
        let mut child = vecferry(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(stdout.next().unwrap().unwrap().starts_with(listens));
        let records = stdout.next().unwrap().unwrap();
        assert!(records.ends_with(text(&state)), "{records}");
        if !link.is_empty() {
            assert!(stdout.next().unwrap().unwrap().starts_with(link));
            assert!(stdout.next().unwrap().unwrap().contains("/setup#vfl_"));
        }
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert!(stdout.next().is_none(), "the link is shown at the first start only");
    }
}

#[test]
fn a_killed_service_goes_on_with_its_organization_and_its_key() {
    let directory = tempfile::tempdir().unwrap();
    let mut service = Service::start(directory.path(), &[]);
    let link = service.link.clone().unwrap();
    let key = service.api_key(link.split_once('#').unwrap().1);
    let organization = service.get("/v2/organization", Some(&key)).json();
    let keys = fs::read(directory.path().join("state/service.key")).unwrap();
    service.signal("-KILL");
    assert_eq!(service.wait().code(), None);

    let again = Service::start(directory.path(), &["--metrics-open"]);
    assert_eq!(again.link, None);
    assert_eq!(again.get("/v2/organization", Some(&key)).json()["data"], organization["data"]);
    assert_eq!(fs::read(directory.path().join("state/service.key")).unwrap(), keys);
    assert_eq!(again.get("/metrics", None).status, 200);

    // Another organization is added while it runs, and knows nothing of the first one.
    let state = directory.path().join("state");
    let add =
        ["serve", "organization", "add", "Second", "--email", "Bob@example.com", "--state-dir", text(&state)];
    let added = ended(vecferry(&add).arg("--json"));
    assert_eq!(added.code, Some(0), "{}", added.stderr);
    let told: Value = serde_json::from_str(&added.stdout).unwrap();
    assert_eq!((told["name"].as_str(), told["email"].as_str()), (Some("Second"), Some("Bob@example.com")));
    let other = again.api_key(told["sign_in_link"].as_str().unwrap().split_once('#').unwrap().1);
    let seen = again.get("/v2/organization", Some(&other)).json();
    assert_ne!(seen["data"], organization["data"]);
    let taken = ended(&mut vecferry(&add));
    assert_ne!(taken.code, Some(0), "{}", taken.stdout);

    // A port that is taken is one clear message.
    let refused = ended(&mut vecferry(&["serve", "--listen", &again.address, "--state-dir", text(&state)]));
    assert_eq!(refused.code, Some(2));
    let what = format!(
        "error[VF-0819]: the configuration is invalid: `--listen`: another program already listens on {}\n",
        again.address
    );
    assert!(refused.stderr.starts_with(&what), "{}", refused.stderr);
}

/// A certificate for `localhost`, with its key.
struct Issued {
    certificate: String,
    key: String,
    root: rustls::pki_types::CertificateDer<'static>,
}

impl Issued {
    fn new() -> Self {
        let issued = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        Self {
            certificate: issued.cert.pem(),
            key: issued.signing_key.serialize_pem(),
            root: issued.cert.der().clone(),
        }
    }

    fn write(&self, directory: &Path, key: &str) {
        fs::write(directory.join("cert.pem"), &self.certificate).unwrap();
        fs::write(directory.join("key.pem"), key).unwrap();
        fs::set_permissions(directory.join("key.pem"), Permissions::from_mode(0o600)).unwrap();
    }

    /// Whether the service shows this certificate.
    fn is_shown(&self, address: &str) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
        let name = ServerName::try_from("localhost").unwrap();
        let mut connection = ClientConnection::new(config, name).unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        if connection.complete_io(&mut stream).is_err() {
            return false;
        }
        ask(StreamOwned::new(connection, stream), "GET", "/healthz", &[], None).status == 200
    }
}

#[test]
fn a_new_certificate_is_used_without_a_restart_and_a_bad_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (first, second, third) = (Issued::new(), Issued::new(), Issued::new());
    first.write(path, &first.key);
    let (certificate, key) = (path.join("cert.pem"), path.join("key.pem"));
    let mut service = Service::start(path, &["--tls-cert", text(&certificate), "--tls-key", text(&key)]);
    assert!(service.link.as_ref().unwrap().starts_with("https://127.0.0.1:"));
    assert!(first.is_shown(&service.address) && !second.is_shown(&service.address));

    second.write(path, &second.key);
    service.signal("-HUP");
    within(|| second.is_shown(&service.address).then_some(()));

    // The key of another certificate.
    third.write(path, &second.key);
    let refusal = "the new certificate can't be used: the one before stays in use";
    service.signal("-HUP");
    within(|| service.log().contains(refusal).then_some(()));
    assert!(second.is_shown(&service.address));
    // Before the files change again: half of a file would be another refusal.
    service.signal("-HUP");
    within(|| service.log().contains("the new certificate still can't be used").then_some(()));
    third.write(path, &third.key);
    service.signal("-HUP");
    within(|| third.is_shown(&service.address).then_some(()));
    assert_eq!(service.log().matches(refusal).count(), 1, "{}", service.log());
    service.signal("-TERM");
    assert_eq!(service.wait().code(), Some(0));
}

#[test]
fn a_configuration_that_cannot_be_used_is_refused_before_anything_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (state, file, key) = (path.join("state"), path.join("vecferry.toml"), path.join("key.pem"));
    let issued = Issued::new();
    issued.write(path, &issued.key);
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    fs::write(&file, "jobs-total = 8\nlisten-on = \"x\"\n").unwrap();
    let certificate = path.join("cert.pem");
    for (arguments, what) in [
        (&["--listen", "0.0.0.0:0"][..], "`--listen`: other machines can reach 0.0.0.0:0, and without TLS "),
        (&["--config", text(&file)], &format!("{}:2: `listen-on`: there is no such setting", file.display())),
        (&["--config", "/nowhere.toml"], "/nowhere.toml: cannot read the file: "),
        (&["--jobs-total", "none"], "`--jobs-total`: `none` is not a number from 1 to 100000"),
        (
            &["--store", "postgres://h/d"],
            "`key-file`: with a PostgreSQL store all processes need the same keys",
        ),
        (
            &["--tls-cert", text(&certificate), "--tls-key", text(&key)],
            &format!("`--tls-cert`: other users can access the file `{}` (mode 0644)", key.display()),
        ),
        (&["--tls-cert", text(&certificate)], "`--tls-cert`: needs `tls-key` too"),
    ] {
        let mut serve = vecferry(&["serve", "--state-dir", text(&state)]);
        let refused = ended(serve.args(arguments));
        let what = format!("error[VF-0819]: the configuration is invalid: {what}");
        assert!(refused.stderr.starts_with(&what), "{arguments:?}: {}", refused.stderr);
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""));
        assert!(!state.exists(), "{arguments:?}");
    }
    let mut missing =
        vecferry(&["serve", "--listen", "127.0.0.1:0", "--state-dir", text(&state), "--key-file", "/no"]);
    let refused = ended(&mut missing);
    assert!(refused.stderr.contains("`--key-file`: cannot use the file `/no`"), "{}", refused.stderr);
    let refused = ended(&mut vecferry(&["serve", "--listen", "::", "--lang", "zh"]));
    assert!(
        refused.stderr.starts_with("错误[VF-0819]：配置无效：`--listen`：`::` 不是带端口的地址"),
        "{}",
        refused.stderr
    );
    let both = ended(&mut vecferry(&["serve", "--listen", "::", "organization", "add", "x", "--email", "y"]));
    assert_eq!(both.code, Some(2));
    assert!(both.stderr.starts_with("error[VF-0001]"), "{}", both.stderr);
}

#[test]
fn config_show_tells_where_each_value_comes_from() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("vecferry.toml");
    fs::write(&file, "# limits\njobs-total = 8\nchecks = 3\nallow-network = [\"10.0.0.0/8\"]\n").unwrap();
    let show = |more: &[&str]| {
        let mut command = vecferry(&["config", "show", "--listen", "127.0.0.1:7", "--config", text(&file)]);
        command.env("VECFERRY_SERVE_CHECKS", "5").env("VECFERRY_KEY", "planted");
        command.env("VECFERRY_STORE", "postgres://me:planted@h/d");
        ended(command.args(more))
    };
    let shown = show(&["--json"]);
    assert_eq!((shown.code, shown.stderr.as_str()), (Some(0), ""));
    let settings: Vec<Value> = serde_json::from_str(&shown.stdout).unwrap();
    let setting = |name: &str| settings.iter().find(|setting| setting["name"] == name).unwrap();
    for (name, value, from) in [
        ("listen", json!("127.0.0.1:7"), json!({"kind": "option", "name": "--listen"})),
        ("jobs-total", json!(8), json!({"kind": "file", "path": text(&file), "line": 2})),
        ("checks", json!(5), json!({"kind": "variable", "name": "VECFERRY_SERVE_CHECKS"})),
        ("allow-network", json!(["10.0.0.0/8"]), json!({"kind": "file", "path": text(&file), "line": 4})),
        ("key", json!("…"), json!({"kind": "variable", "name": "VECFERRY_KEY"})),
        ("store", json!("postgres://me@h/d"), json!({"kind": "variable", "name": "VECFERRY_STORE"})),
        ("behind-tls", json!(false), json!({"kind": "default"})),
        ("key-file", Value::Null, json!({"kind": "default"})),
    ] {
        assert_eq!((&setting(name)["value"], &setting(name)["from"]), (&value, &from), "{name}");
    }
    let table = show(&["--lang", "zh"]);
    assert!(!(shown.stdout + &table.stdout + &table.stderr).contains("planted"));
    assert!(table.stdout.starts_with("设置"), "{}", table.stdout);
    assert!(table.stdout.contains("默认值") && table.stdout.contains("vecferry.toml:2"), "{}", table.stdout);
    // What can't be used is shown, and then told.
    let unusable = show(&["--behind-tls=maybe"]);
    assert_eq!(unusable.code, Some(2));
    assert!(unusable.stdout.contains("maybe"), "{}", unusable.stdout);
    assert!(unusable.stderr.contains("`--behind-tls`: `maybe` is not true or false"), "{}", unusable.stderr);
}

/// `SIGHUP` must not end a service that has no certificate.
#[test]
fn a_hangup_ends_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut service = Service::start(directory.path(), &[]);
    service.signal("-HUP");
    assert_eq!(service.get("/healthz", None).status, 200);
    assert!(service.child.try_wait().unwrap().is_none());
}

/// Whether some file of the records holds these bytes.
fn records_hold(state: &Path, bytes: &[u8]) -> bool {
    let mut files = fs::read_dir(state).unwrap().map(|entry| entry.unwrap().path());
    files.any(|path| {
        let is_key = path.ends_with("service.key");
        let held = fs::read(path).unwrap_or_default();
        !is_key && held.windows(bytes.len()).any(|part| part == bytes)
    })
}

/// How what a key encrypted begins.
fn sealed_by(key_id: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&key_id[at..at + 2], 16).unwrap();
    std::iter::once(1).chain((0..key_id.len()).step_by(2).map(digits)).collect()
}

#[test]
fn new_keys_are_used_without_a_restart_and_bad_ones_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (state, keys) = (path.join("state"), path.join("keys"));
    let (old, new) = ("11".repeat(32), "22".repeat(32));
    let write = |text: &str| {
        fs::write(&keys, text).unwrap();
        fs::set_permissions(&keys, Permissions::from_mode(0o600)).unwrap();
    };
    write(&old);
    let mut service = Service::start(path, &["--key-file", text(&keys)]);
    let key = service.api_key(service.link.clone().unwrap().split_once('#').unwrap().1);
    let bearer = format!("Bearer {key}");
    let webhook = json!({ "url": "http://127.0.0.1:9/hook" });
    let made = service.ask("POST", "/v2/webhooks", &[("Authorization", bearer.as_str())], Some(&webhook));
    assert_eq!(made.status, 200, "{}", made.body);
    let (old_id, new_id) = ("02d449a31fbb267c", "9f72ea0cf49536e3");
    assert!(records_hold(&state, &sealed_by(old_id)));

    // A broken file, and one that others can read, change nothing.
    let refusal = "the new keys can't be used: those before stay in use";
    write("no key");
    service.signal("-HUP");
    within(|| service.log().contains(refusal).then_some(()));
    assert!(service.log().contains("VF-0819"), "{}", service.log());
    service.signal("-HUP");
    within(|| service.log().contains("the new keys still can't be used").then_some(()));
    assert_eq!(service.log().matches(refusal).count(), 1, "{}", service.log());

    // What is stored is encrypted with the new key, which opens it also alone.
    write(&format!("{new}\n{old}\n"));
    service.signal("-HUP");
    within(|| records_hold(&state, &sealed_by(new_id)).then_some(()));
    assert!(
        service.log().contains(&format!("the new keys are in use key=\"{new_id}\"")),
        "{}",
        service.log()
    );
    assert_eq!(service.get("/readyz", None).status, 200);
    service.signal("-TERM");
    assert_eq!(service.wait().code(), Some(0));
    for key in [&old, &new] {
        assert!(!service.log().contains(key.as_str()), "a key is in the log");
    }
}

/// A request that a collector was sent.
struct Exported {
    head: String,
    body: Vec<u8>,
}

impl Exported {
    fn of(stream: &mut TcpStream) -> Self {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut head, mut line) = (String::new(), String::new());
        while reader.read_line(&mut line).unwrap() > 2 {
            head.push_str(&line.to_lowercase());
            line.clear();
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        Self { head, body }
    }

    fn holds(&self, text: &str) -> bool {
        self.body.windows(text.len()).any(|part| part == text.as_bytes())
    }
}

#[test]
fn spans_go_to_a_collector_and_hold_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let mut service = Service::start(directory.path(), &["--otlp-endpoint", &endpoint]);
    let token = service.link.clone().unwrap().split_once('#').unwrap().1.to_owned();
    let key = service.api_key(&token);
    assert_eq!(service.get("/v2/projects", Some(&key)).status, 200);
    let (mut stream, _) = listener.accept().unwrap();
    let mut exported = vec![Exported::of(&mut stream)];
    // What is left at the end comes too.
    assert_eq!(service.get("/healthz", None).status, 200);
    service.signal("-TERM");
    let collecting = std::thread::spawn(move || {
        while !exported.iter().any(|exported| exported.holds("/healthz")) {
            exported.push(Exported::of(&mut listener.accept().unwrap().0));
        }
        exported
    });
    assert_eq!(service.wait().code(), Some(0));
    within(|| collecting.is_finished().then_some(()));
    let exported = collecting.join().unwrap();
    for exported in &exported {
        assert!(exported.head.starts_with("post /v1/traces http/1.1\r\n"), "{}", exported.head);
        assert!(exported.head.contains("content-type: application/x-protobuf"), "{}", exported.head);
        for part in ["service.name", "vecferry", "service.instance.id", "request", "request_id", "status"] {
            assert!(exported.holds(part), "{part}");
        }
        for secret in [&token, &key] {
            assert!(!exported.holds(secret), "a secret is in a span");
        }
    }
    assert!(exported.iter().any(|exported| exported.holds("/v2/session/link")));
}

#[test]
fn a_collector_that_is_away_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let mut service = Service::start(directory.path(), &["--otlp-endpoint", &endpoint]);
    for _ in 0..20 {
        assert_eq!(service.get("/healthz", None).status, 200);
    }
    let warning = "traces cannot be exported: spans are dropped meanwhile";
    within(|| service.log().contains(warning).then_some(()));
    assert_eq!(service.get("/readyz", None).status, 200);
    let started = Instant::now();
    service.signal("-TERM");
    assert_eq!(service.wait().code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(7), "{:?}", started.elapsed());
    assert_eq!(service.log().matches(warning).count(), 1, "{}", service.log());

    let mut serve = vecferry(&["serve", "--otlp-endpoint", "http://me:planted@127.0.0.1:4318"]);
    let refused = ended(&mut serve);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("`--otlp-endpoint`: is not http[s]://HOST"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("planted"), "{}", refused.stderr);
}

#[test]
fn records_are_backed_up_while_the_service_runs_and_restored_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    let service = Service::start(directory.path(), &[]);
    let link = service.link.clone().unwrap();
    let key = service.api_key(link.split_once('#').unwrap().1);
    let organization = service.get("/v2/organization", Some(&key)).json();
    let (state, copy) = (directory.path().join("state"), directory.path().join("copy"));
    let backup =
        |file: &Path, state: &Path| ended(&mut vecferry(&["backup", text(file), "--state-dir", text(state)]));
    let restore = |state: &Path| ended(&mut vecferry(&["restore", text(&copy), "--state-dir", text(state)]));
    let done = backup(&copy, &state);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!(
        done.stdout,
        format!("The records of {} were copied to {}.\n", state.display(), copy.display())
    );
    let again = backup(&copy, &state);
    assert_eq!(again.code, Some(2));
    assert!(again.stderr.contains("the file already exists"), "{}", again.stderr);
    let in_use = restore(&state);
    assert_eq!(in_use.code, Some(2));
    assert!(in_use.stderr.contains("the directory is not empty"), "{}", in_use.stderr);

    let elsewhere = tempfile::tempdir().unwrap();
    let restored = restore(&elsewhere.path().join("state"));
    assert_eq!(restored.code, Some(0), "{}", restored.stderr);
    fs::copy(state.join("service.key"), elsewhere.path().join("state/service.key")).unwrap();
    let other = Service::start(elsewhere.path(), &[]);
    assert_eq!(other.link, None);
    assert_eq!(other.get("/v2/organization", Some(&key)).json()["data"], organization["data"]);

    let database = ended(&mut vecferry(&["backup", text(&copy), "--store", "postgres://me:planted@h/d"]));
    assert_eq!(database.code, Some(2));
    assert!(database.stderr.contains("copy them with pg_dump"), "{}", database.stderr);
    assert!(!database.stderr.contains("planted"), "{}", database.stderr);
}

/// Metrics of a page, as they are named where they are counted.
fn names_of(page: &str) -> Vec<String> {
    let lines = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    lines.map(str::to_owned).collect()
}

fn known_metrics() -> Vec<String> {
    let engine = vecferry_migrate::metrics::CATALOGUE.iter().map(|metric| metric.name);
    let service = vecferry_server::metrics::CATALOGUE.iter().map(|metric| metric.name);
    engine.chain(service).map(str::to_owned).collect()
}

#[test]
fn the_dashboard_asks_for_metrics_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = fs::read_to_string(root.join("docs/service/grafana-dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() >= 6);
    let mut found = std::collections::BTreeSet::new();
    for part in text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_') {
        if part.starts_with("vecferry_") {
            let name = part.strip_suffix("_bucket").or(part.strip_suffix("_count")).unwrap_or(part);
            assert!(known_metrics().iter().any(|known| known == name), "{part}");
            found.insert(name);
        }
    }
    assert_eq!(found.len(), known_metrics().len(), "a metric is on no panel");
}

#[test]
fn the_port_of_the_documents_is_the_default() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    for page in ["service.md", "service.zh-CN.md"] {
        let page = fs::read_to_string(root.join(page)).unwrap();
        assert!(page.contains("127.0.0.1:19777") && page.contains("```sh\n# test: first-migration\n"));
    }
}
