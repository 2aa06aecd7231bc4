//! Requests to a service, and what its answers mean.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;
use ureq::http::header::{ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_TYPE};
use ureq::http::{HeaderValue, Method, Request, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use vecferry_migrate::{Code, Lang, Problem, words_of};
use vecferry_milvus::Secret;
use vecferry_report::harmless;
use vecferry_words::Told;

use crate::args::ServerArgs;
use crate::output::Output;
use crate::text;

/// Holds the API key, so that it is on no command line.
const KEY_VARIABLE: &str = "VECFERRY_API_KEY";
/// A service answers within a minute, or says that it can't.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(90);
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(10);
/// Longest answer: the report of a job has a list of all its collections.
const ANSWER_BYTES_MAX: u64 = 256 << 20;
/// How often a request is sent that came too soon behind others.
const TRIES_MAX: u32 = 4;
/// The longest wait before it is sent again.
const TURN_WAIT_MAX: Duration = Duration::from_secs(10);
/// For so long a service may be away while a job is followed.
pub(super) const AWAY_MAX: Duration = Duration::from_secs(60);
/// How often it is tried whether it is back.
const AWAY_INTERVAL: Duration = Duration::from_secs(1);

/// A service, and the API key for it.
pub(super) struct Client {
    base: String,
    authorization: Secret,
    agent: ureq::Agent,
    lang: Lang,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base", &self.base).finish_non_exhaustive()
    }
}

/// Why there is no answer to work with.
#[derive(Debug)]
pub(super) enum Failure {
    /// The service can't be reached, or can't do its work at this moment.
    Away(Problem),
    /// It refuses the request.
    Refused(Vec<Problem>),
}

impl Failure {
    /// What is wrong.
    pub(super) fn problems(self) -> Vec<Problem> {
        match self {
            Self::Away(problem) => vec![problem],
            Self::Refused(problems) => problems,
        }
    }

    /// Whether the state of things does not allow it.
    pub(super) fn is_conflict(&self) -> bool {
        match self {
            Self::Away(_) => false,
            Self::Refused(problems) => problems.iter().any(|problem| problem.code == Code::Conflict),
        }
    }
}

/// What is sent with a request.
#[derive(Clone, Debug)]
struct Message {
    method: Method,
    path: String,
    body: Option<String>,
    idempotency_key: Option<String>,
}

impl Message {
    fn get(path: &str) -> Self {
        Self { method: Method::GET, path: path.to_owned(), body: None, idempotency_key: None }
    }

    fn with_body(method: Method, path: &str, body: &Value) -> Self {
        Self { method, path: path.to_owned(), body: Some(body.to_string()), idempotency_key: None }
    }
}

impl Client {
    /// A client of the service that the arguments name. Nothing is sent yet.
    pub(super) fn open(output: &Output, args: &ServerArgs) -> Result<Self, Vec<Problem>> {
        let base = base(args.address().unwrap_or_default()).map_err(|problem| vec![problem])?;
        let authorization = key(args.server_key_file.as_deref()).map_err(|problem| vec![problem])?;
        let is_tls = base.starts_with("https:");
        let ca = args.server_ca.as_deref().map(certificates).transpose();
        let ca = ca.map_err(|problem| vec![problem])?.unwrap_or_default();
        let mut config = ureq::Agent::config_builder()
            .timeout_global(Some(ANSWER_WAIT_MAX))
            .timeout_connect(Some(CONNECT_WAIT_MAX))
            .http_status_as_error(false)
            // Another address than the one that was named never gets the API key.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("vecferry/", env!("CARGO_PKG_VERSION")));
        if is_tls {
            let roots = RootCerts::new_with_certs(&[ca, of_system()].concat());
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        if let Some(host) = readable_by_others(&base) {
            output.note(&text::key_is_readable(output.lang, &harmless(&host)));
        }
        Ok(Self { base, authorization, agent: config.build().new_agent(), lang: output.lang })
    }

    /// Asks for something.
    pub(super) async fn get<Data: DeserializeOwned>(&self, path: &str) -> Result<Data, Failure> {
        self.data(Message::get(path)).await
    }

    /// Asks for a page of HTML.
    pub(super) async fn page(&self, path: &str) -> Result<String, Failure> {
        let (status, text) = self.in_turn(&Message::get(path)).await?;
        match status {
            200 => Ok(text),
            _ => self.read(status, &text).and_then(|_| Err(self.unexpected(status))),
        }
    }

    /// Has something done.
    pub(super) async fn post<Data: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<Data, Failure> {
        self.data(Message::with_body(Method::POST, path, body)).await
    }

    /// The same where it is done once, however often it is asked for with this key.
    pub(super) async fn post_once<Data: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
        key: &str,
    ) -> Result<Data, Failure> {
        let message = Message::with_body(Method::POST, path, body);
        self.data(Message { idempotency_key: Some(key.to_owned()), ..message }).await
    }

    /// Has something done of which only its end matters.
    pub(super) async fn order(&self, path: &str, body: &Value) -> Result<(), Failure> {
        self.post::<Value>(path, body).await.map(drop)
    }

    /// Sets something.
    pub(super) async fn put(&self, path: &str, body: &Value) -> Result<(), Failure> {
        self.data::<Value>(Message::with_body(Method::PUT, path, body)).await.map(drop)
    }

    async fn data<Data: DeserializeOwned>(&self, message: Message) -> Result<Data, Failure> {
        let (status, text) = self.in_turn(&message).await?;
        let data = self.read(status, &text)?;
        serde_json::from_value(data).map_err(|error| {
            let detail = Told::from(error.to_string());
            self.refused(detail.behind("its answer is not understood: ", "无法理解其应答："))
        })
    }

    /// Sends a request, again where it came too soon behind others.
    async fn in_turn(&self, message: &Message) -> Result<(u16, String), Failure> {
        let mut tries = 1;
        loop {
            let (status, text) = self.send(message.clone()).await?;
            if status != 429 || tries >= TRIES_MAX {
                return Ok((status, text));
            }
            tries += 1;
            tokio::time::sleep(turn_wait(&text)).await;
        }
    }

    async fn send(&self, message: Message) -> Result<(u16, String), Failure> {
        let request = self.request(&message)?;
        let agent = self.agent.clone();
        let work = tokio::task::spawn_blocking(move || {
            let mut response = agent.run(request)?;
            let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string()?;
            Ok::<_, ureq::Error>((response.status().as_u16(), text))
        });
        match work.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Failure::Away(self.unreachable(worded(&error)))),
            Err(error) => Err(Failure::Away(self.unreachable(Told::from(error.to_string())))),
        }
    }

    fn request(&self, message: &Message) -> Result<Request<Vec<u8>>, Failure> {
        let unsendable = |detail: String| self.refused(Told::from(detail));
        let mut authorization = HeaderValue::from_str(self.authorization.reveal())
            // The error says nothing of the value.
            .map_err(|error| unsendable(error.to_string()))?;
        authorization.set_sensitive(true);
        let mut request = Request::builder()
            .method(message.method.clone())
            .uri(format!("{}{}", self.base, message.path))
            .header(AUTHORIZATION, authorization)
            .header(ACCEPT_LANGUAGE, self.lang.pick("en", "zh"));
        if message.body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(key) = &message.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        let body = message.body.clone().unwrap_or_default().into_bytes();
        request.body(body).map_err(|error| unsendable(error.to_string()))
    }

    /// The data of an answer.
    fn read(&self, status: u16, text: &str) -> Result<Value, Failure> {
        let is_success = (200..300).contains(&status);
        let Ok(envelope) = serde_json::from_str::<Envelope>(text) else {
            return Err(self.unexpected(status));
        };
        if envelope.code == Some(0) && is_success {
            return Ok(envelope.data);
        }
        let problems: Vec<_> = envelope.problems.iter().map(|problem| self.problem(problem)).collect();
        match problems.first() {
            Some(problem) if is_away(status) => Err(Failure::Away(problem.clone())),
            Some(_) => Err(Failure::Refused(problems)),
            None => Err(self.unexpected(status)),
        }
    }

    /// A problem of the service: of a code that this version knows, it has the texts of this version.
    pub(super) fn problem(&self, document: &Value) -> Problem {
        Problem::deserialize(document).unwrap_or_else(|_| {
            let text = |name| document.get(name).and_then(Value::as_str).unwrap_or_default();
            let told = |message, hint| format!("{}: {} ({})", text("code"), text(message), text(hint));
            self.unreachable(Told::both(told("message", "hint"), told("message_zh", "hint_zh")))
        })
    }

    /// An answer that is none of a service.
    fn unexpected(&self, status: u16) -> Failure {
        let problem = self.unreachable(Told::both(
            format!("an answer with status {status} does not come from Vecferry"),
            format!("状态码为 {status} 的应答并非来自 Vecferry"),
        ));
        if is_away(status) { Failure::Away(problem) } else { Failure::Refused(vec![problem]) }
    }

    fn refused(&self, detail: Told) -> Failure {
        Failure::Refused(vec![self.unreachable(detail)])
    }

    fn unreachable(&self, detail: Told) -> Problem {
        Problem::new(Code::ServiceUnreachable).with("server", &self.base).told("detail", detail)
    }
}

/// Asks again and again while the service is away, but not for longer than this. `note` is told once that it is, and once
/// that it is back.
pub(super) async fn patiently<Data>(
    lang: Lang,
    away_max: Duration,
    note: impl Fn(&str),
    mut ask: impl AsyncFnMut() -> Result<Data, Failure>,
) -> Result<Data, Vec<Problem>> {
    let mut away: Option<Instant> = None;
    loop {
        match ask().await {
            Ok(data) => {
                if away.is_some() {
                    note(crate::text::service_is_back(lang));
                }
                return Ok(data);
            }
            Err(Failure::Refused(problems)) => return Err(problems),
            Err(Failure::Away(problem)) => {
                let since = *away.get_or_insert_with(|| {
                    note(&crate::text::service_is_away(lang, away_max.as_secs(), &problem.what(lang)));
                    Instant::now()
                });
                if since.elapsed() >= away_max {
                    return Err(vec![problem]);
                }
                tokio::time::sleep(AWAY_INTERVAL).await;
            }
        }
    }
}

/// Every answer.
#[derive(Deserialize)]
struct Envelope {
    code: Option<i64>,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    problems: Vec<Value>,
}

/// Statuses that pass: too many requests, the store is gone for a moment, or a proxy has no service behind it.
fn is_away(status: u16) -> bool {
    matches!(status, 429 | 502 | 503 | 504)
}

/// How long to wait for one's turn.
fn turn_wait(text: &str) -> Duration {
    let envelope = serde_json::from_str::<Envelope>(text).ok();
    let problem = envelope.and_then(|envelope| Problem::deserialize(envelope.problems.first()?).ok());
    let seconds = problem.and_then(|problem| {
        let (_, seconds) = problem.values.into_iter().find(|(name, _)| name == "seconds")?;
        seconds.parse().ok()
    });
    Duration::from_secs(seconds.unwrap_or(1)).min(TURN_WAIT_MAX)
}

fn invalid(en: impl Into<String>, zh: impl Into<String>) -> Problem {
    Problem::new(Code::Arguments).told("detail", Told::both(en, zh))
}

/// The address of a service: where its paths begin.
fn base(text: &str) -> Result<String, Problem> {
    let uri = text.parse::<Uri>().ok().filter(|uri| {
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        is_http && uri.host().is_some_and(|host| !host.is_empty())
    });
    let Some(uri) = uri else {
        return Err(invalid(
            format!("--server: `{text}` is not http://host:port or https://host:port"),
            format!("--server：`{text}` 不是 http://host:port 或 https://host:port"),
        ));
    };
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) || text.contains(['?', '#'])
    {
        return Err(invalid(
            "--server: the address holds a user, a query or a fragment; the API key is in VECFERRY_API_KEY",
            "--server：地址中含有用户名、查询参数或片段；API 密钥请放在 VECFERRY_API_KEY 中",
        ));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// The host of an address where others on the way read what is sent there: neither over TLS nor on this machine.
fn readable_by_others(base: &str) -> Option<String> {
    let uri = base.parse::<Uri>().ok()?;
    if uri.scheme_str() == Some("https") {
        return None;
    }
    let host = uri.host()?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_here = bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    (!is_here).then(|| host.to_owned())
}

/// The header that the API key goes into.
fn key(file: Option<&Path>) -> Result<Secret, Problem> {
    let key = match file {
        Some(path) => std::fs::read_to_string(path).map_err(|error| unread(path, &error))?,
        None => std::env::var(KEY_VARIABLE).unwrap_or_default(),
    };
    match key.trim() {
        "" => Err(Problem::new(Code::NotSignedIn)),
        key if key.chars().all(|character| character.is_ascii_graphic()) => {
            Ok(Secret::new(format!("Bearer {key}")))
        }
        // It would be cut off, or end the header.
        _ => Err(Problem::new(Code::NotSignedIn)),
    }
}

fn unread(path: &Path, error: &std::io::Error) -> Problem {
    Problem::new(Code::File).with("file", path.display()).told("detail", words_of(error))
}

/// Certificates of a file.
fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, Problem> {
    let pem = std::fs::read(path).map_err(|error| unread(path, &error))?;
    let found: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if found.is_empty() {
        let detail = Told::both("it holds no certificate in PEM form", "其中没有 PEM 格式的证书");
        return Err(Problem::new(Code::File).with("file", path.display()).told("detail", detail));
    }
    Ok(found)
}

/// Certificates that the system trusts.
fn of_system() -> Vec<Certificate<'static>> {
    let native = rustls_native_certs::load_native_certs();
    for error in native.errors {
        tracing::warn!(%error, "a trusted certificate cannot be read");
    }
    native.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect()
}

fn no_tls(error: &dyn std::error::Error) -> Told {
    let said = Told::from(error.to_string());
    said.behind("no TLS connection (see --server-ca): ", "无法建立 TLS 连接（参见 --server-ca）：")
}

/// Why nothing was answered.
#[allow(clippy::wildcard_enum_match_arm, reason = "the library may add reasons; each says what it is")]
fn worded(error: &ureq::Error) -> Told {
    match error {
        ureq::Error::Timeout(_) => Told::both("it does not answer in time", "服务没有及时应答"),
        ureq::Error::HostNotFound => Told::both("its host name can't be resolved", "无法解析其主机名"),
        ureq::Error::ConnectionFailed => Told::both("nothing listens there", "该地址上没有服务在监听"),
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            Told::both("nothing listens there", "该地址上没有服务在监听")
        }
        ureq::Error::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
            no_tls(error)
        }
        ureq::Error::Io(error) => words_of(error),
        ureq::Error::Rustls(error) => no_tls(error),
        other => Told::from(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_tls_or_this_machine_is_safe_for_a_key() {
        for base in ["https://v.example.com", "http://127.0.0.1:9", "http://[::1]:9", "http://LOCALHOST/x"] {
            assert_eq!(readable_by_others(base), None, "{base}");
        }
        for base in ["http://v.example.com:9", "http://10.0.0.1/x", "http://localhost.example.com"] {
            assert!(readable_by_others(base).is_some(), "{base}");
        }
    }

    fn client() -> Client {
        Client {
            base: "http://h:1".to_owned(),
            authorization: Secret::new("Bearer planted"),
            agent: ureq::Agent::new_with_defaults(),
            lang: Lang::En,
        }
    }

    #[test]
    fn an_answer_is_what_its_code_and_its_status_say() {
        let client = client();
        assert_eq!(client.read(200, r#"{"code":0,"data":[1]}"#).unwrap(), json!([1]));
        let refused = json!({"code": 80001, "problems": [Problem::new(Code::NotSignedIn)]}).to_string();
        let Failure::Refused(problems) = client.read(401, &refused).unwrap_err() else { panic!("away") };
        assert_eq!(problems, [Problem::new(Code::NotSignedIn)]);
        for (status, text, is_passing) in [
            (503, refused.as_str(), true),
            (502, "<html>", true),
            (404, "<html>", false),
            (200, "<html>", false),
            (200, r#"{"code":1}"#, false),
            (500, r#"{"code":0,"data":[]}"#, false),
        ] {
            let failure = client.read(status, text).unwrap_err();
            assert_eq!(matches!(failure, Failure::Away(_)), is_passing, "{status} {text}");
        }
    }

    #[test]
    fn a_code_of_a_later_version_keeps_its_texts() {
        let later = json!({
            "code": "VF-0999", "message": "new", "hint": "look", "message_zh": "新", "hint_zh": "看", "values": [],
        });
        let problem = client().problem(&later);
        assert_eq!(problem.code, Code::ServiceUnreachable);
        assert!(problem.what(Lang::En).ends_with("VF-0999: new (look)"), "{problem}");
        assert!(problem.what(Lang::Zh).ends_with("VF-0999: 新 (看)"), "{problem}");
    }

    #[test]
    fn addresses_lead_to_a_service_and_hold_no_secret() {
        assert_eq!(base("https://h/vecferry/").unwrap(), "https://h/vecferry");
        assert_eq!(base("http://127.0.0.1:19777").unwrap(), "http://127.0.0.1:19777");
        for wrong in
            ["h:1", "ftp://h", "http://", "", "http://me:planted@h", "http://h?x=planted", "http://h#x"]
        {
            let problem = base(wrong).unwrap_err();
            assert_eq!(problem.code, Code::Arguments, "{wrong}");
            assert!(!problem.to_string().contains("planted"), "{problem}");
        }
    }

    #[test]
    fn the_key_is_shown_nowhere() {
        assert!(!format!("{:?}", client()).contains("planted"));
        let request = client().request(&Message::get("/")).unwrap();
        assert!(!format!("{request:?}").contains("planted"));
    }

    #[test]
    fn one_waits_as_long_as_the_service_says() {
        let busy = Problem::new(Code::TooManyRequests).with("seconds", 5);
        let text = json!({"code": 10806, "problems": [busy]}).to_string();
        assert_eq!(turn_wait(&text), Duration::from_secs(5));
        assert_eq!(turn_wait("<html>"), Duration::from_secs(1));
        let long = Problem::new(Code::TooManyRequests).with("seconds", 5000);
        assert_eq!(turn_wait(&json!({"problems": [long]}).to_string()), TURN_WAIT_MAX);
    }

    #[tokio::test]
    async fn a_service_that_stays_away_is_given_up() {
        let notes = std::cell::RefCell::new(Vec::new());
        let mut tries = 0;
        let away = patiently::<()>(
            Lang::En,
            Duration::ZERO,
            |note| notes.borrow_mut().push(note.to_owned()),
            async || {
                tries += 1;
                Err(client().unexpected(502))
            },
        );
        let problems = away.await.unwrap_err();
        assert_eq!((problems[0].code, tries), (Code::ServiceUnreachable, 1));
        assert_eq!(notes.borrow().len(), 1, "{notes:?}");
    }
}
