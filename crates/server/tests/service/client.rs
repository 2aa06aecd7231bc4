//! A running service, and a small HTTP client that tells everything of an answer.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderMap;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use vecferry_server::secret::keyring::{KeySource, Keyring};
use vecferry_server::{Service, Settings, serve};
use vecferry_store::Store;
use vecferry_testkit::StandIn;

use crate::place::{Place, eventually};

/// An answer arrives within this time.
const ANSWER_MAX: Duration = Duration::from_secs(60);
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// Settings under which a test is not slowed down.
pub(crate) fn settings() -> Settings {
    let mut settings = Settings::default();
    let many = NonZeroU32::new(100_000).unwrap();
    (settings.requests.per_second, settings.requests.burst) = (many, many);
    settings.requests.listener_interval = Duration::from_millis(20);
    settings
}

/// The keys of a place.
pub(crate) async fn keyring(place: &Place) -> Keyring {
    let path = place.keys.path().join("keyring");
    Keyring::create_file(&path).await.unwrap();
    Keyring::load(&KeySource::File(path)).await.unwrap()
}

/// A running service. It ends when this is dropped.
pub(crate) struct Running {
    pub(crate) service: Arc<Service>,
    pub(crate) client: Client,
    /// The token of the link of the first start.
    pub(crate) link: Option<String>,
    serving: Option<JoinHandle<()>>,
}

impl Running {
    pub(crate) async fn start(place: &Place, settings: Settings) -> Self {
        let opened = Service::open(place.open().await, keyring(place).await, settings).await;
        let (service, link) = opened.unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let client = Client::new(listener.local_addr().unwrap());
        let serving = tokio::spawn(serve(Arc::clone(&service), listener, None));
        let link = link.map(|link| link.reveal().to_owned());
        Self { service, client, link, serving: Some(serving) }
    }

    /// Ends it in good order.
    pub(crate) async fn end(mut self) {
        self.service.stop();
        let serving = self.serving.take().unwrap();
        tokio::time::timeout(Duration::from_secs(10), serving).await.unwrap().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.service.stop();
    }
}

/// A running service with an owner who has a key.
pub(crate) struct World {
    pub(crate) place: Place,
    /// A look into its tables.
    pub(crate) store: Arc<dyn Store>,
    pub(crate) running: Running,
    /// The owner's session.
    pub(crate) session: Client,
    /// A personal key of the owner.
    pub(crate) owner: Client,
    /// The first project.
    pub(crate) project_id: String,
}

impl World {
    pub(crate) async fn start(place: Place) -> Self {
        Self::with(place, settings()).await
    }

    pub(crate) async fn with(place: Place, settings: Settings) -> Self {
        let running = Running::start(&place, settings).await;
        let link = running.link.clone().unwrap();
        let session = running.client.sign_in_by_link(&link).await;
        let owner = session.with_new_key(json!({"name": "owner", "kind": "personal"})).await;
        let projects = owner.get("/v2/projects").await.data();
        let project_id = text(&projects[0]["projectId"]);
        let store = place.open().await;
        Self { place, store, running, session, owner, project_id }
    }

    /// The same place with another process, where a client was at home.
    pub(crate) async fn again(self, settings: Settings) -> Self {
        self.running.end().await;
        let running = Running::start(&self.place, settings).await;
        let (session, owner) = (self.session.at(&running.client), self.owner.at(&running.client));
        Self { running, session, owner, ..self }
    }

    /// Somebody new with a session.
    pub(crate) async fn member(&self, name: &str, role: &str) -> (String, Client) {
        let invitation =
            json!({"email": format!("{name}@example.com"), "name": name, "organizationRole": role});
        let invited = self.owner.post("/v2/users", invitation).await.data();
        let session = self.running.client.sign_in_by_link(invited["linkToken"].as_str().unwrap()).await;
        (text(&invited["userId"]), session)
    }

    /// Gives a user a role in a project.
    pub(crate) async fn give(&self, project_id: &str, user_id: &str, role: &str) {
        let path = format!("/v2/projects/{project_id}/users/{user_id}");
        self.owner.put(&path, json!({"projectRole": role})).await.data();
    }

    pub(crate) async fn new_project(&self, name: &str) -> String {
        text(&self.owner.post("/v2/projects", json!({"projectName": name})).await.data()["projectId"])
    }

    /// Registers a cluster by an address.
    pub(crate) async fn register(&self, project_id: &str, name: &str, address: &str) -> String {
        let body = json!({"projectId": project_id, "clusterName": name, "connectAddress": address});
        text(&self.owner.post("/v2/clusters", body).await.data()["clusterId"])
    }

    /// Registers two servers in the first project.
    pub(crate) async fn register_both(&self, source: &StandIn, target: &StandIn) -> (String, String) {
        (
            self.register(&self.project_id, "source", &source.uri()).await,
            self.register(&self.project_id, "target", &target.uri()).await,
        )
    }

    /// Waits for the state of a job.
    pub(crate) async fn wait_for(&self, job_id: &str, status: &str) -> Value {
        wait_for(&self.owner, job_id, status).await
    }
}

/// Waits for the state of a job; one at its end that is another one is told at once.
pub(crate) async fn wait_for(client: &Client, job_id: &str, status: &str) -> Value {
    let path = format!("/v2/jobs/{job_id}");
    eventually(&format!("job {job_id} is {status}"), async || {
        let job = client.get(&path).await.data();
        let now = job["status"].as_str().unwrap();
        let is_over = ["SUCCESSFUL", "FAILED", "CANCELED"].contains(&now) && job["endTime"].is_string();
        assert!(now == status || !is_over, "the job is {job:#}");
        (now == status).then(|| job.clone())
    })
    .await
}

/// A text of an answer.
#[track_caller]
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// Whoever makes requests, one connection each.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    headers: Vec<(&'static str, String)>,
}

impl Client {
    fn new(address: SocketAddr) -> Self {
        Self { address, headers: Vec::new() }
    }

    /// The same with one more header, or another value of it.
    pub(crate) fn with(&self, name: &'static str, value: &str) -> Self {
        let mut headers = self.headers.clone();
        headers.retain(|(known, _)| *known != name);
        headers.push((name, value.to_owned()));
        Self { address: self.address, headers }
    }

    /// The value of a header; empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_str())
            .unwrap_or_default()
    }

    /// Without a header.
    pub(crate) fn without(&self, name: &str) -> Self {
        let headers = self.headers.iter().filter(|(known, _)| *known != name).cloned();
        Self { address: self.address, headers: headers.collect() }
    }

    /// With an API key and nothing else.
    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self::new(self.address).with("authorization", &format!("Bearer {key}"))
    }

    /// The same caller at another process.
    pub(crate) fn at(&self, other: &Self) -> Self {
        Self { address: other.address, headers: self.headers.clone() }
    }

    /// With the session that an answer began.
    #[track_caller]
    pub(crate) fn with_session_of(&self, answer: &Answer) -> Self {
        let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
        let csrf = text(&answer.data()["csrfToken"]);
        Self::new(self.address).with("cookie", &cookie).with("x-csrf-token", &csrf)
    }

    pub(crate) async fn sign_in_by_link(&self, token: &str) -> Self {
        let answer = Self::new(self.address).post("/v2/session/link", json!({"token": token})).await;
        self.with_session_of(&answer)
    }

    pub(crate) async fn sign_in(&self, email: &str, password: &str) -> Answer {
        self.post("/v2/session", json!({"email": email, "password": password})).await
    }

    /// Makes a key and uses it.
    pub(crate) async fn with_new_key(&self, body: Value) -> Self {
        let made = self.post("/v2/apiKeys", body).await.data();
        self.with_key(made["apiKey"].as_str().unwrap())
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, Some(body.to_string().into())).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.send("PUT", path, Some(body.to_string().into())).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send("PATCH", path, Some(body.to_string().into())).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None).await
    }

    /// Makes a job, and returns its ID.
    pub(crate) async fn migrate(&self, body: Value) -> String {
        text(&self.post("/v2/migrations/toExisting", body).await.data()["jobId"])
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: Option<Vec<u8>>) -> Answer {
        let answered = async {
            let response = self.open(method, path, body).await;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            Answer { status: parts.status.as_u16(), headers: parts.headers, body: body.to_vec() }
        };
        let answered = tokio::time::timeout(ANSWER_MAX, answered).await;
        answered.unwrap_or_else(|_| panic!("{method} {path} is not answered"))
    }

    /// The head of an answer; its body may go on for long.
    pub(crate) async fn open(&self, method: &str, path: &str, body: Option<Vec<u8>>) -> Response<Incoming> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
        request = request.header("host", self.address.to_string());
        if body.is_some() && self.headers.iter().all(|(name, _)| *name != "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let body = Full::new(Bytes::from(body.unwrap_or_default()));
        sender.send_request(request.body(body).unwrap()).await.unwrap()
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header; empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}: {}", self.status, self.text()))
    }

    /// What a request brought that was carried out.
    #[track_caller]
    pub(crate) fn data(&self) -> Value {
        let mut json = self.json();
        assert!(self.status == 200 && json["code"] == 0, "{}: {json:#}", self.status);
        json["data"].take()
    }

    /// The first code of a refusal, which has everything that a refusal has.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        let json = self.json();
        assert!(self.status >= 400, "{}: {json:#}", self.status);
        assert!(json["code"].as_u64().is_some_and(|code| code > 0), "{json:#}");
        assert!(json["message"].as_str().is_some_and(|message| message.starts_with("VF-")), "{json:#}");
        let problems = json["problems"].as_array().unwrap();
        assert!(!problems.is_empty(), "{json:#}");
        for problem in problems {
            for name in ["code", "message", "message_zh", "hint", "hint_zh"] {
                assert!(problem[name].as_str().is_some_and(|text| !text.is_empty()), "{name}: {json:#}");
            }
            // A placeholder that got no value.
            assert!(!problem["message"].as_str().unwrap().contains(" ? "), "{json:#}");
        }
        text(&problems[0]["code"])
    }

    #[track_caller]
    pub(crate) fn assert_refused(&self, status: u16, code: &str) -> Value {
        let found = self.code();
        assert_eq!((self.status, found.as_str()), (status, code), "{}", self.text());
        self.json()
    }
}
