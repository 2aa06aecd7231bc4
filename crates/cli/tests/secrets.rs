//! Secrets are planted in a real service, and looked for everywhere that somebody else may look: logs at their finest, the
//! store, answers, events, reports, figures and the arguments of the process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vecferry_testkit::stand_in::generate::plain;
use vecferry_testkit::stand_in::{Key, Options, Version};
use vecferry_testkit::{Postgres, StandIn};

/// Whatever is waited for comes within this time, or the test fails.
const WAIT_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The key that encrypts what is stored.
const KEYRING_KEY: [u8; 32] = *b"planted-keyring-key-of-32-bytes!";
const CLUSTER_PASSWORD: &str = "planted~cluster/password+1";
const SOURCE_PASSWORD: &str = "planted~source/password+2";
const WRONG_PASSWORD: &str = "planted~wrong/password+3";
const PASSWORD: &str = "planted user password 4 ä";
const NEW_PASSWORD: &str = "planted user password 5 ß";

/// A secret by a name, with every form in which it may be seen.
struct Planted {
    name: String,
    forms: Vec<Vec<u8>>,
}

impl Planted {
    fn new(name: &str, secret: &[u8]) -> Self {
        let mut forms = vec![secret.to_vec()];
        let written = [|byte| format!("%{byte:02X}"), |byte: u8| format!("%{byte:02x}")];
        forms.extend(written.map(|written: fn(u8) -> String| percent(secret, written).into_bytes()));
        if let Ok(text) = std::str::from_utf8(secret) {
            let json = Value::from(text).to_string();
            forms.push(json.as_bytes()[1..json.len() - 1].to_vec());
            forms.push(text.escape_default().to_string().into_bytes());
        }
        forms.extend(base64_within(secret).into_iter().map(String::into_bytes));
        forms.push(hex(secret).into_bytes());
        forms.sort();
        forms.dedup();
        Self { name: name.to_owned(), forms }
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        self.forms.iter().any(|form| bytes.windows(form.len()).any(|part| part == form))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

fn percent(bytes: &[u8], written: impl Fn(u8) -> String) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let told = |&byte: &u8| if is_plain(byte) { char::from(byte).to_string() } else { written(byte) };
    bytes.iter().map(told).collect()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let of_group = |group: &[u8]| {
        let byte = |at| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let digit = |at: usize| char::from(DIGITS[(bits >> (18 - 6 * at) & 63) as usize]);
        [0, 1, 2, 3].map(|at| if at > group.len() { '=' } else { digit(at) })
    };
    bytes.chunks(3).flat_map(of_group).collect()
}

/// The base64 of bytes wherever they stand in something longer: each of the three ways in which its groups can begin,
/// without the characters that depend on what stands before and behind; in both alphabets.
fn base64_within(bytes: &[u8]) -> Vec<String> {
    let standard = [0, 2, 1].map(|of_group_before: usize| {
        let whole = &bytes[of_group_before..];
        base64(&whole[..whole.len() / 3 * 3])
    });
    let of_addresses = standard.each_ref().map(|text| text.replace('+', "-").replace('/', "_"));
    [standard, of_addresses].concat()
}

/// Everything that was seen, by where.
#[derive(Default)]
struct Seen(Vec<(String, Vec<u8>)>);

impl Seen {
    fn add(&mut self, place: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.push((place.into(), bytes.into()));
    }

    /// Where a secret is, however it is written.
    fn places_of(&self, planted: &Planted) -> Vec<&str> {
        self.0.iter().filter(|(_, bytes)| planted.is_in(bytes)).map(|(place, _)| place.as_str()).collect()
    }

    #[track_caller]
    fn assert_nowhere(&self, planted: &[Planted]) {
        for planted in planted {
            assert_eq!(self.places_of(planted), [""; 0], "{} is told", planted.name);
        }
    }
}

/// The service as a process. What it writes is read while it runs.
struct Service {
    child: Child,
    address: String,
    link: String,
    stdout: Option<JoinHandle<Vec<u8>>>,
}

impl Service {
    fn start(directory: &Path, key_file: &Path, store: Option<&str>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vecferry"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("VECFERRY_") {
                command.env_remove(&name);
            }
        }
        command.args(["serve", "--json", "--log", "trace", "--listen", "127.0.0.1:0"]);
        command.arg("--key-file").arg(key_file);
        match store {
            Some(url) => command.env("VECFERRY_STORE", url),
            None => command.arg("--state-dir").arg(directory.join("state")),
        };
        let log = fs::File::create(directory.join("log")).unwrap();
        command.env("LANG", "C").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap_or_default();
        let (_, address) = told["url"].as_str().expect(&line).split_once("://").unwrap();
        let (_, link) = told["sign_in_link"].as_str().unwrap().split_once('#').unwrap();
        let (address, link) = (address.to_owned(), link.to_owned());
        let stdout = std::thread::spawn(move || {
            let mut rest = Vec::new();
            stdout.read_to_end(&mut rest).unwrap();
            rest
        });
        Self { child, address, link, stdout: Some(stdout) }
    }

    /// Ends it in good order, and returns what it wrote behind its first line, where the link is shown.
    fn end(mut self) -> Vec<u8> {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success() && self.child.wait().unwrap().success());
        self.stdout.take().unwrap().join().unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whoever makes requests. Every answer is seen.
#[derive(Clone)]
struct Client {
    address: String,
    headers: Vec<(&'static str, String)>,
    seen: Arc<Mutex<Seen>>,
}

impl Client {
    fn with(&self, name: &'static str, value: &str) -> Self {
        let mut with = self.clone();
        with.headers.push((name, value.to_owned()));
        with
    }

    fn exchange(&self, method: &str, path: &str, body: Option<&str>) -> (String, String) {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        for (name, value) in &self.headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = body {
            request
                .push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
        }
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
        stream.write_all(format!("{request}\r\n{}", body.unwrap_or_default()).as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    /// An answer that shows a secret, as it is meant to: it is not among what was seen.
    fn shown(&self, method: &str, path: &str, body: Value) -> (String, Value) {
        let (head, answer) = self.exchange(method, path, Some(&body.to_string()));
        let mut answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["code"], 0, "{method} {path}: {answer:#}");
        (head, answer["data"].take())
    }

    /// The status and the body of an answer.
    fn ask(&self, method: &str, path: &str, body: Option<&str>) -> (u16, String) {
        let (head, answer) = self.exchange(method, path, body);
        let mut seen = self.seen.lock().unwrap();
        let place = format!("answer {} to {method} {path}", seen.0.len());
        seen.add(place, format!("{head}\r\n{answer}"));
        (head.split(' ').nth(1).unwrap().parse().unwrap(), answer)
    }

    fn data(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.ask(method, path, body.map(|body| body.to_string()).as_deref());
        assert_eq!(status, 200, "{method} {path}: {answer}");
        serde_json::from_str::<Value>(&answer).unwrap()["data"].take()
    }

    #[track_caller]
    fn refused(&self, method: &str, path: &str, body: &str) {
        for language in ["en", "zh"] {
            let (status, answer) = self.with("Accept-Language", language).ask(method, path, Some(body));
            assert!((400..500).contains(&status), "{method}: {status}: {answer}");
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// Looks until there is something.
fn within<Found>(mut look: impl FnMut() -> Option<Found>) -> Found {
    let until = Instant::now() + WAIT_MAX;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "it did not come within {WAIT_MAX:?}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// A cluster whose users have to sign in.
fn cluster(users: &[(&str, &str)]) -> StandIn {
    let server = StandIn::start(Options { authorization: true, ..Options::new(Version::V2_6) });
    let mut access = server.access();
    for (name, password) in users {
        let hash = format!("hash of {}", base64(password.as_bytes()));
        access.users.push(((*name).to_owned(), hash, vec!["admin".to_owned()]));
    }
    server.set_access(access);
    server
}

/// Everything that has a secret, set up and used.
struct Scene {
    service: Service,
    seen: Arc<Mutex<Seen>>,
    planted: Vec<Planted>,
    owner: Client,
    nobody: Client,
    project_id: String,
    webhook_id: String,
    source: StandIn,
    target: StandIn,
}

impl Scene {
    fn start(service: Service, key_file_text: &str) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let nobody =
            Client { address: service.address.clone(), headers: Vec::new(), seen: Arc::clone(&seen) };
        let (head, begun) = nobody.shown("POST", "/v2/session/link", json!({"token": service.link}));
        let cookies = head.lines().filter_map(|line| line.split_once(": "));
        let (_, cookie) =
            cookies.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("set-cookie")).unwrap();
        let cookie = cookie.split(';').next().unwrap();
        let session = nobody.with("Cookie", cookie).with("X-CSRF-Token", &text(&begun["csrfToken"]));
        session.data("PUT", "/v2/session/password", Some(json!({"newPassword": PASSWORD})));
        let changed = json!({"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD});
        session.data("PUT", "/v2/session/password", Some(changed));
        let made = json!({"name": "planted", "kind": "personal"});
        let key = text(&session.shown("POST", "/v2/apiKeys", made).1["apiKey"]);
        let owner = nobody.with("Authorization", &format!("Bearer {key}"));
        let project_id = text(&owner.data("GET", "/v2/projects", None)[0]["projectId"]);
        let webhook = json!({"url": "http://127.0.0.1:9/", "projectId": project_id});
        let webhook = owner.shown("POST", "/v2/webhooks", webhook).1;
        let invitation = json!({"email": "bob@example.com", "name": "Bob", "organizationRole": "member"});
        let invited = owner.shown("POST", "/v2/users", invitation).1;
        let planted = vec![
            Planted::new("the password of a cluster", CLUSTER_PASSWORD.as_bytes()),
            Planted::new("the password of a source elsewhere", SOURCE_PASSWORD.as_bytes()),
            Planted::new("the password of a cluster that is wrong", WRONG_PASSWORD.as_bytes()),
            Planted::new("the first password of a user", PASSWORD.as_bytes()),
            Planted::new("the password of a user", NEW_PASSWORD.as_bytes()),
            Planted::new("the token of the first link", service.link.as_bytes()),
            Planted::new("the token of an invitation", text(&invited["linkToken"]).as_bytes()),
            Planted::new("the session", cookie.split_once('=').unwrap().1.as_bytes()),
            Planted::new("the API key", key.as_bytes()),
            Planted::new("the secret of the webhook", text(&webhook["secret"]).as_bytes()),
            Planted::new("the key of the keyring", &KEYRING_KEY),
            Planted::new("the key of the keyring as it is written", key_file_text.trim().as_bytes()),
        ];
        let source = cluster(&[("elsewhere", SOURCE_PASSWORD)]);
        source.add(&plain("books", false, &[("_default", (0..30).map(Key::Long).collect())]));
        let target = cluster(&[("registered", CLUSTER_PASSWORD)]);
        let webhook_id = text(&webhook["webhookId"]);
        Self { service, seen, planted, owner, nobody, project_id, webhook_id, source, target }
    }

    /// Registers the target, and migrates from a source that is not registered.
    fn migrate(&self) -> String {
        let owner = &self.owner;
        let token = format!("registered:{CLUSTER_PASSWORD}");
        let body = json!({"projectId": self.project_id, "clusterName": "target", "token": token,
            "connectAddress": self.target.uri()});
        let target_id = text(&owner.data("POST", "/v2/clusters", Some(body))["clusterId"]);
        owner.data("GET", &format!("/v2/clusters/{target_id}"), None);
        owner.data("GET", &format!("/v2/clusters/{target_id}/collections"), None);
        let source = |token: String| json!({"endpoint": self.source.uri(), "token": token});
        let wrong = source(format!("elsewhere:{WRONG_PASSWORD}"));
        let body = |source: &Value| json!({"source": source, "destination": {"clusterId": target_id}});
        owner.ask("POST", "/v2/migrations/precheck", Some(&body(&wrong).to_string()));
        let failed = owner.data("POST", "/v2/migrations/toExisting", Some(body(&wrong)));
        self.wait_for(&text(&failed["jobId"]), "FAILED");
        let right = source(format!("elsewhere:{SOURCE_PASSWORD}"));
        owner.data("POST", "/v2/migrations/precheck", Some(body(&right)));
        let job_id = text(&owner.data("POST", "/v2/migrations/toExisting", Some(body(&right)))["jobId"]);
        self.wait_for(&job_id, "SUCCESSFUL");
        let verify = json!({"level": "full", "source": right});
        owner.data("POST", &format!("/v2/jobs/{job_id}/verify"), Some(verify));
        within(|| {
            let tasks = owner.data("GET", &format!("/v2/jobs/{job_id}/tasks"), None);
            (tasks[0]["status"] != "IN_PROGRESS").then_some(())
        });
        job_id
    }

    fn wait_for(&self, job_id: &str, status: &str) {
        within(|| {
            let job = self.owner.data("GET", &format!("/v2/jobs/{job_id}"), None);
            let now = job["status"].as_str().unwrap();
            assert!(now == status || job["endTime"].is_null(), "{job:#}");
            (now == status).then_some(())
        });
    }

    /// Looks at everything that can be asked for.
    fn look(&self, job_id: &str) {
        for path in ["details", "report", "report?format=html", "report?format=html&lang=zh", "events"] {
            let (status, answer) = self.owner.ask("GET", &format!("/v2/jobs/{job_id}/{path}"), None);
            assert!(status == 200 && answer.contains("books"), "{path}: {status}: {answer}");
        }
        for path in ["jobs", "clusters", "projects", "apiKeys", "users", "webhooks", "session", "auditLogs"] {
            self.owner.data("GET", &format!("/v2/{path}"), None);
        }
        let path = format!("/v2/webhooks/{}", self.webhook_id);
        self.owner.data("POST", &format!("{path}/test"), None);
        self.owner.data("GET", &format!("{path}/deliveries"), None);
        let (status, figures) = self.owner.ask("GET", "/metrics", None);
        assert!(status == 200 && figures.contains("vecferry_http_requests_total"), "{figures}");
    }

    /// Sends secrets to where they do not belong.
    fn mistake(&self) {
        let (owner, nobody) = (&self.owner, &self.nobody);
        let token = format!("elsewhere:{SOURCE_PASSWORD}");
        let key = owner.headers[0].1.trim_start_matches("Bearer ").to_owned();
        for wrong in [json!([token]), json!({"password": token}), json!(token.replacen(':', ":\n", 1))] {
            let mut body = json!({"projectId": self.project_id, "clusterName": "c", "token": wrong,
                "connectAddress": self.source.uri()});
            owner.refused("POST", "/v2/clusters", &body.to_string());
            body["token"] = json!(format!("registered:{WRONG_PASSWORD}"));
            owner.refused("POST", "/v2/clusters", &body.to_string());
            let body = json!({"source": {"endpoint": self.source.uri(), "token": wrong},
                "destination": {"clusterId": "none"}});
            owner.refused("POST", "/v2/migrations/toExisting", &body.to_string());
        }
        for body in [
            json!({"source": token, "destination": {"clusterId": "none"}}),
            json!({"source": {"clusterId": "none"}, "destination": token}),
            json!({"source": {"clusterId": "none"}, "destination": {"clusterId": "none"}, "options": {"verify": token}}),
            json!({"source": {"clusterId": "none"}, "destination": {"clusterId": "none"}, "startTime": token}),
        ] {
            owner.refused("POST", "/v2/migrations/toExisting", &body.to_string());
            owner.refused("POST", "/v2/migrations/precheck", &body.to_string());
        }
        owner.refused("POST", "/v2/migrations/toExisting", &format!("{{\"token\": \"{token}"));
        owner.refused("POST", "/v2/migrations/toExisting", &format!("\"{token}\""));
        for (path, body) in [
            ("/v2/session", json!({"email": "owner@localhost", "password": [NEW_PASSWORD]})),
            ("/v2/session", json!({"email": NEW_PASSWORD, "password": NEW_PASSWORD})),
            ("/v2/session", json!(NEW_PASSWORD)),
            ("/v2/session/link", json!({"token": key})),
            ("/v2/session/link", json!({"token": [key]})),
        ] {
            nobody.refused("POST", path, &body.to_string());
        }
        owner.refused(
            "POST",
            "/v2/apiKeys",
            &json!({"name": "k", "kind": "personal", "validDays": key}).to_string(),
        );
        owner.refused("POST", "/v2/apiKeys", &json!({"name": "k", "kind": key}).to_string());
        owner.refused("PATCH", "/v2/organization", &json!({"policyEdition": key}).to_string());
        // An ID belongs there.
        for (method, path) in
            [("DELETE", "apiKeys"), ("GET", "jobs"), ("DELETE", "users"), ("GET", "nowhere")]
        {
            owner.refused(method, &format!("/v2/{path}/{key}"), "{}");
        }
        owner.refused("GET", &format!("/v2/jobs?status={key}"), "");
        owner.refused("GET", &format!("/v2/jobs?pageSize={key}"), "");
        nobody.with("Authorization", &format!("Basic {key}")).refused("GET", "/v2/jobs", "");
        nobody.with("Cookie", &format!("vecferry_session={key}x")).refused("GET", "/v2/jobs", "");
    }
}

fn key_file(directory: &Path) -> (std::path::PathBuf, String) {
    let (path, text) = (directory.join("keys"), format!("{}\n", hex(&KEYRING_KEY)));
    fs::write(&path, &text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    (path, text)
}

/// Runs everything, and tells what was seen.
fn run(directory: &Path, store: Option<&str>) -> (Seen, Vec<Planted>) {
    let (path, key_file_text) = key_file(directory);
    let scene = Scene::start(Service::start(directory, &path, store), &key_file_text);
    let job_id = scene.migrate();
    scene.mistake();
    scene.look(&job_id);
    let arguments = fs::read(format!("/proc/{}/cmdline", scene.service.child.id())).unwrap();
    assert!(arguments.starts_with(env!("CARGO_BIN_EXE_vecferry").as_bytes()));
    let Scene { service, seen, planted, owner, nobody, .. } = scene;
    drop((owner, nobody));
    let stdout = service.end();
    let mut seen = Arc::into_inner(seen).unwrap().into_inner().unwrap();
    let log = fs::read(directory.join("log")).unwrap();
    let of_trace = b"TRACE";
    assert!(log.windows(of_trace.len()).any(|part| part == of_trace), "the log is not at its finest");
    seen.add("the arguments", arguments);
    seen.add("stdout", stdout);
    seen.add("the log", log);
    (seen, planted)
}

/// Every file of a directory, and how many these are.
fn files(directory: &Path, seen: &mut Seen) -> usize {
    let mut count = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            count += files(&path, seen);
        } else {
            seen.add(path.display().to_string(), fs::read(&path).unwrap());
            count += 1;
        }
    }
    count
}

#[test]
fn secrets_are_in_no_log_no_file_and_no_answer() {
    let directory = tempfile::tempdir().unwrap();
    let (mut seen, planted) = run(directory.path(), None);
    assert!(files(&directory.path().join("state"), &mut seen) > 0);
    assert!(!seen.places_of(&Planted::new("an address", b"bob@example.com")).is_empty());
    seen.assert_nowhere(&planted);
}

#[test]
fn secrets_are_in_no_log_no_table_and_no_answer() {
    let directory = tempfile::tempdir().unwrap();
    let server = Postgres::start();
    let url = server.create_database();
    let (mut seen, mut planted) = run(directory.path(), Some(&url));
    planted.push(Planted::new("the password of the database", server.server().password().as_bytes()));
    // As text, whatever the type: bytes are written in hexadecimal digits.
    let sql = "SELECT table_schema || '.' || table_name FROM information_schema.tables \
        WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')";
    let tables = server.query(&url, sql);
    assert!(tables.lines().count() > 10, "{tables}");
    for table in tables.lines() {
        seen.add(table, server.query(&url, &format!("SELECT t::text FROM {table} t")));
    }
    assert!(!seen.places_of(&Planted::new("an address", b"bob@example.com")).is_empty());
    seen.assert_nowhere(&planted);
}

#[test]
fn a_secret_is_found_however_it_is_written() {
    let planted = Planted::new("a secret", b"se/cr+et ?");
    for (written, is_it) in [
        (&b"x se/cr+et ? y"[..], true),
        (b"token=se%2Fcr%2Bet%20%3F&x", true),
        (b"token=se%2fcr%2bet%20%3f&x", true),
        // `se/cr+et ?`, `u:se/cr+et ?` and `u:xse/cr+et ?!`.
        (b"Basic c2UvY3IrZXQgPw==", true),
        (b"Basic dTpzZS9jcitldCA/", true),
        (b"Basic dTp4c2UvY3IrZXQgPyE=", true),
        (b"73652f63722b6574203f", true),
        (b"secret", false),
    ] {
        assert_eq!(planted.is_in(written), is_it, "{}", String::from_utf8_lossy(written));
    }
}
