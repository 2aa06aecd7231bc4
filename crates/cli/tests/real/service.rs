//! The service as a process between real servers: what its documents tell to type, roles, and jobs that outlive their
//! process and their database.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vecferry_testkit::fault_proxy::{Answer as Made, Armed, Fault, FaultProxy, When};
use vecferry_testkit::{Oracle, Postgres};

use crate::{PROGRAM, oracle, postgres, servers};

/// How long something that must come is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks. A key may ask twenty times a second, and three jobs are looked at in turn.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// At this rate a job with [`ROWS`] rows a collection takes two minutes: what is done to it is done in its middle.
const CRAWL: &str = "5rows/s";
const ROWS: u64 = 300;
/// As the documents set it.
const PASSWORD: &str = "correct horse battery staple";

/// Looks until there is something; `Err` is what was seen instead.
#[track_caller]
fn until<Found>(what: &str, mut look: impl FnMut() -> Result<Found, String>) -> Found {
    let begin = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) => assert!(begin.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}; seen: {seen}"),
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// A running service. It is killed when this is dropped.
pub(crate) struct Service {
    child: Child,
    address: String,
    link: Option<String>,
    log: PathBuf,
}

impl Service {
    /// Starts it on a free port; its state and its log are in the directory.
    pub(crate) fn start(directory: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let log = directory.join("log");
        let stderr = OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut command = Command::new(PROGRAM);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("VECFERRY_") {
                command.env_remove(&name);
            }
        }
        command.args([
            "serve",
            "--json",
            "--lang",
            "en",
            "--listen",
            "127.0.0.1:0",
            "--jobs-per-target",
            "3",
        ]);
        command.arg("--state-dir").arg(directory.join("state")).args(arguments);
        command.envs(variables.iter().copied());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap_or_default();
        assert_eq!(told["event"], "listening", "{line}{}", fs::read_to_string(&log).unwrap());
        let address = told["url"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
        Self { child, address, link: told["sign_in_link"].as_str().map(str::to_owned), log }
    }

    /// Starts it with its records in a database, and with the keys of all services that share it.
    fn start_in(database: &str, directory: &Path, keys: &Path) -> Self {
        let arguments = ["--key-file", keys.to_str().unwrap()];
        Self::start(directory, &arguments, &[("VECFERRY_STORE", database)])
    }

    /// The token of the first start's link.
    fn token(&self) -> &str {
        self.link.as_ref().unwrap().split_once('#').unwrap().1
    }

    fn client(&self) -> Client {
        Client { address: self.address.clone(), headers: Vec::new() }
    }

    /// The owner, who signs in by the link.
    pub(crate) fn owner(&self) -> Client {
        let signed = self.client().post("/v2/session/link", json!({"token": self.token()}));
        self.client().with_session_of(&signed).with_new_key(json!({"name": "owner", "kind": "personal"}))
    }

    /// The ID of its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, and waits until it has.
    #[track_caller]
    pub(crate) fn end(&mut self) {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(asked.unwrap().success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{}", fs::read_to_string(&self.log).unwrap());
    }

    /// Ends it as a crash would.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        assert_eq!(self.child.wait().unwrap().code(), None, "it ended before it was killed");
    }
}

impl Drop for Service {
    #[allow(clippy::print_stderr, reason = "a test that failed shows the log")]
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("{}", fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

/// The keys of services that share a database.
fn keys(directory: &Path) -> PathBuf {
    let path = directory.join("keys");
    fs::write(&path, "a5".repeat(32)).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path
}

/// Somebody who asks a service.
#[derive(Clone)]
pub(crate) struct Client {
    address: String,
    headers: Vec<(&'static str, String)>,
}

impl Client {
    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// The same, who asks another process.
    pub(crate) fn at(&self, service: &Service) -> Self {
        Self { address: service.address.clone(), headers: self.headers.clone() }
    }

    #[track_caller]
    fn with_session_of(&self, answer: &Answer) -> Self {
        let csrf = text(&answer.data()["csrfToken"]);
        let cookie = answer.header("set-cookie").split(';').next().unwrap();
        self.clone().with("Cookie", cookie).with("X-CSRF-Token", &csrf)
    }

    /// A new key, and who uses it.
    #[track_caller]
    fn with_new_key(&self, body: Value) -> Self {
        let key = text(&self.post("/v2/apiKeys", body).data()["apiKey"]);
        let client = Self { address: self.address.clone(), headers: Vec::new() };
        client.with("Authorization", &format!("Bearer {key}"))
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, None)
    }

    fn post(&self, path: &str, body: Value) -> Answer {
        self.ask("POST", path, Some(&body))
    }

    fn put(&self, path: &str, body: Value) -> Answer {
        self.ask("PUT", path, Some(&body))
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let mut answer = Vec::new();
        self.open(method, path, body).read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: {answer}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// Sends a request. By HTTP/1.0 the answer ends with the connection, and is in one piece also where it is a stream.
    fn open(&self, method: &str, path: &str, body: Option<&Value>) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut request = format!("{method} {path} HTTP/1.0\r\nHost: localhost\r\n");
        for (name, value) in &self.headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            request
                .push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
        }
        stream.write_all(format!("{request}\r\n{body}").as_bytes()).unwrap();
        stream
    }

    #[track_caller]
    fn project(&self) -> String {
        text(&self.get("/v2/projects").data()[0]["projectId"])
    }

    #[track_caller]
    fn register(&self, name: &str, address: &str) -> String {
        let body = json!({"projectId": self.project(), "clusterName": name, "connectAddress": address,
            "token": servers().server(name).token});
        text(&self.post("/v2/clusters", body).data()["clusterId"])
    }

    #[track_caller]
    pub(crate) fn migrate(&self, body: Value) -> String {
        text(&self.post("/v2/migrations/toExisting", body).data()["jobId"])
    }

    #[track_caller]
    fn details(&self, job: &str) -> Value {
        self.get(&format!("/v2/jobs/{job}/details")).data()
    }

    /// Limits the rate of a job, or lifts the limit.
    fn limit(&self, job: &str, rate: &str) -> Answer {
        self.put(&format!("/v2/jobs/{job}/rate"), json!({"maxRate": rate}))
    }

    #[track_caller]
    fn command(&self, job: &str, command: &str) {
        self.post(&format!("/v2/jobs/{job}/{command}"), json!({})).data();
    }

    /// Waits until a job ended, and asserts how.
    #[track_caller]
    pub(crate) fn wait_for(&self, job: &str, status: &str) -> Value {
        let ended = until(&format!("the end of job {job}"), || {
            let answer = self.get(&format!("/v2/jobs/{job}"));
            let status = answer.json()["data"]["status"].clone();
            match status.as_str() {
                Some("SUCCESSFUL" | "FAILED" | "CANCELED") => Ok(answer.data()),
                _ => Err(answer.body),
            }
        });
        assert_eq!(ended["status"], status, "{:#}", self.details(job));
        ended
    }

    /// Waits until a task of a job ended.
    #[track_caller]
    fn wait_for_task(&self, job: &str, task: &str) -> Value {
        until(&format!("the end of task {task}"), || {
            let tasks = self.get(&format!("/v2/jobs/{job}/tasks")).data();
            let found = tasks.as_array().unwrap().iter().find(|found| found["taskId"] == task);
            match found.filter(|found| found["status"] != "IN_PROGRESS") {
                Some(ended) => Ok(ended.clone()),
                None => Err(tasks.to_string()),
            }
        })
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

pub(crate) struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    #[track_caller]
    fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.unwrap_or_else(|| panic!("no {name} in {}", self.head)).1
    }

    #[track_caller]
    pub(crate) fn data(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.json()["data"].take()
    }

    #[track_caller]
    fn assert_refused(&self, status: u16, code: &str) {
        let found = &self.json()["problems"][0]["code"];
        assert_eq!((self.status, found.as_str()), (status, Some(code)), "{}", self.body);
    }
}

/// The body of a job for some collections.
fn migration(source: &str, target: &str, names: &[String]) -> Value {
    let collections: Vec<_> = names.iter().map(|name| json!({"collectionName": name})).collect();
    json!({
        "source": {"clusterId": source},
        "destination": {"clusterId": target},
        "dbCollections": [{"dbName": "default", "collections": collections}],
        "options": {"verify": "full"},
    })
}

/// Jobs that are in their middle and stay there until their limit is lifted.
struct Crawling {
    jobs: Vec<String>,
    names: Vec<String>,
    /// The source is called through it.
    _proxy: FaultProxy,
}

/// Has jobs copy some collections each, of which the source loads something only for them, and limits them before they
/// write their first row: a job can't be limited before it began, so that it is kept from loading its source, limited,
/// canceled, and goes on.
#[track_caller]
fn crawling(client: &Client, names: &[Vec<String>]) -> Crawling {
    let proxy = FaultProxy::start(&servers().uri("source"));
    let closed =
        proxy.arm(["LoadCollection", "LoadPartitions"], When::Always, Fault::Answer(Made::RateLimit));
    let (source, target) = (client.register("source", &proxy.uri()), {
        let uri = servers().uri("target");
        client.register("target", &uri)
    });
    let jobs: Vec<_> = names.iter().map(|names| client.migrate(migration(&source, &target, names))).collect();
    limited_from_the_beginning(client, &jobs, &closed);
    for job in &jobs {
        until(&format!("the first rows of job {job}"), || {
            let details = client.details(job);
            match details["progress"]["rows_done"].as_u64() {
                Some(1..) => Ok(()),
                _ => Err(details.to_string()),
            }
        });
    }
    let crawling = Crawling { jobs, names: names.concat(), _proxy: proxy };
    assert_in_the_middle(client, &crawling);
    crawling
}

#[track_caller]
fn limited_from_the_beginning(client: &Client, jobs: &[String], closed: &Armed) {
    for job in jobs {
        until(&format!("the beginning of job {job}"), || match client.limit(job, CRAWL) {
            Answer { status: 200, .. } => Ok(()),
            refused => Err(refused.body),
        });
        client.command(job, "cancel");
    }
    for job in jobs {
        client.wait_for(job, "CANCELED");
    }
    closed.disarm();
    for job in jobs {
        client.command(job, "resume");
    }
}

#[track_caller]
fn assert_in_the_middle(client: &Client, crawling: &Crawling) {
    for job in &crawling.jobs {
        let details = client.details(job);
        let (status, progress) = (&details["job"]["status"], &details["progress"]);
        assert_eq!((status, &progress["max_rate"]), (&json!("IN_PROGRESS"), &json!(CRAWL)), "{details:#}");
        assert_eq!(
            (&progress["live"], &progress["collections_done"]),
            (&json!(true), &json!(0)),
            "{details:#}"
        );
        assert!((1..ROWS).contains(&progress["rows_done"].as_u64().unwrap()), "{details:#}");
    }
}

/// Makes the collections of three jobs, and has them crawl.
#[track_caller]
fn three_crawling(client: &Client, oracle: &mut Oracle, name: &str) -> Crawling {
    let names = [1, 2, 3].map(|job| ["a", "b"].map(|part| format!("{name}_{job}{part}")).to_vec());
    oracle.run(&format!(
        r#"
        for name in {}:
            simple(source, name, 0, load=False)
            # Not stored: that takes seconds for each, and the job does it anyway.
            source.client.insert(name, books({ROWS}))
        "#,
        json!(names.concat())
    ));
    crawling(client, &names)
}

/// Lifts the limits, and waits until all jobs are successful and every row is there once.
#[track_caller]
fn assert_all_finish(client: &Client, oracle: &mut Oracle, crawling: &Crawling) {
    for job in &crawling.jobs {
        client.limit(job, "none").data();
    }
    for job in &crawling.jobs {
        let ended = client.wait_for(job, "SUCCESSFUL");
        assert_eq!((&ended["progress"], &ended["reason"]), (&json!("100"), &Value::Null), "{ended:#}");
        let report = client.get(&format!("/v2/jobs/{job}/report")).data();
        let collections = report["collections"].as_array().unwrap();
        assert_eq!((report["verified"].as_str(), collections.len()), (Some("full"), 2), "{report:#}");
        for collection in collections {
            assert_eq!(collection["verification"]["target_rows"], ROWS, "{report:#}");
        }
    }
    oracle.run(&format!(
        r#"
        names = {}
        for name in names:
            assert set(source.loaded(name).values()) == {{"LoadStateNotLoad"}}, (name, source.loaded(name))
            # All at the same time: one after the other, the servers take seconds for each.
            for server in [source, target]:
                server.call("LoadCollection", collection_name=name, replica_number=1)
        for name in names:
            source.load(name)
            target.load(name)
            assert target.count(name) == {ROWS}, (name, target.count(name))
            assert same(source, target, name) == {ROWS}, name
        "#,
        json!(crawling.names)
    ));
}

#[test]
fn killed_in_the_middle_of_three_jobs_all_finish() {
    let directory = tempfile::tempdir().unwrap();
    let mut oracle = oracle();
    let mut service = Service::start(directory.path(), &[], &[]);
    let owner = service.owner();
    let crawling = three_crawling(&owner, &mut oracle, "svc_killed");
    service.kill();

    let again = Service::start(directory.path(), &[], &[]);
    assert_eq!(again.link, None, "only the first start makes an owner");
    assert_all_finish(&owner.at(&again), &mut oracle, &crawling);
    for job in &crawling.jobs {
        // Canceled, killed, and gone on with.
        assert_eq!(owner.at(&again).details(job)["progress"]["attempts"], 3);
    }
}

#[test]
fn another_process_finishes_three_jobs_of_one_that_was_killed() {
    let [first_directory, second_directory] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (database, keys) = (postgres().create_database(), keys(first_directory.path()));
    let mut oracle = oracle();
    let mut first = Service::start_in(&database, first_directory.path(), &keys);
    let owner = first.owner();
    let crawling = three_crawling(&owner, &mut oracle, "svc_taken");
    // It comes when the first one has all jobs.
    let second = Service::start_in(&database, second_directory.path(), &keys);
    assert_in_the_middle(&owner.at(&second), &crawling);
    first.kill();
    assert_all_finish(&owner.at(&second), &mut oracle, &crawling);
}

#[test]
fn while_postgresql_is_away_requests_are_refused_and_afterwards_jobs_go_on_by_themselves() {
    let directory = tempfile::tempdir().unwrap();
    let (postgres, keys) = (Postgres::start(), keys(directory.path()));
    let mut oracle = oracle();
    let service = Service::start_in(&postgres.url(), directory.path(), &keys);
    let (nobody, owner) = (service.client(), service.owner());
    let crawling = three_crawling(&owner, &mut oracle, "svc_away");
    assert_eq!(nobody.get("/readyz").status, 200);

    postgres.stop_hard();
    let begin = Instant::now();
    let (ready, jobs, limit) = thread::scope(|scope| {
        let ready = scope.spawn(|| nobody.get("/readyz"));
        let jobs = scope.spawn(|| owner.get("/v2/jobs"));
        let limit = scope.spawn(|| owner.limit(&crawling.jobs[0], "none"));
        assert_eq!(nobody.get("/healthz").data()["status"], "ok");
        (ready.join().unwrap(), jobs.join().unwrap(), limit.join().unwrap())
    });
    for refused in [ready, jobs, limit] {
        refused.assert_refused(503, "VF-0810");
    }
    // Nobody waits for as long as the store tries again.
    assert!(begin.elapsed() < Duration::from_secs(20), "it took {:?}", begin.elapsed());

    postgres.start_again();
    until("a service that is ready", || match nobody.get("/readyz") {
        Answer { status: 200, .. } => Ok(()),
        refused => Err(refused.body),
    });
    assert_all_finish(&owner, &mut oracle, &crawling);
}

/// What a listener is told.
#[derive(Debug)]
struct Told {
    event: String,
    id: Option<i64>,
    data: Value,
}

/// The events of a job.
struct Events(Lines<BufReader<TcpStream>>);

impl Events {
    #[track_caller]
    fn of(client: &Client, job: &str) -> Self {
        let stream = client.open("GET", &format!("/v2/jobs/{job}/events"), None);
        let mut lines = BufReader::new(stream).lines();
        let status = lines.next().unwrap().unwrap();
        assert!(status.ends_with(" 200 OK"), "{status}");
        let is_stream = lines.by_ref().map(Result::unwrap).take_while(|line| !line.is_empty());
        assert!(is_stream.collect::<Vec<_>>().iter().any(|line| line.contains("text/event-stream")));
        Self(lines)
    }

    /// What is told until something is.
    #[track_caller]
    fn until(&mut self, is_it: impl Fn(&Told) -> bool) -> Vec<Told> {
        let mut all = Vec::new();
        for told in self {
            all.push(told);
            if is_it(&all[all.len() - 1]) {
                return all;
            }
        }
        panic!("it ended before that: {all:#?}");
    }
}

impl Iterator for Events {
    type Item = Told;

    fn next(&mut self) -> Option<Told> {
        loop {
            let event: Vec<_> =
                self.0.by_ref().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
            if event.is_empty() {
                return None;
            }
            let field = |name: &str| event.iter().find_map(|line| line.strip_prefix(name)).map(str::trim);
            // Others are comments, which keep the connection.
            if let (Some(kind), Some(data)) = (field("event:"), field("data:")) {
                let id = field("id:").map(|id| id.parse().unwrap());
                return Some(Told { event: kind.to_owned(), id, data: serde_json::from_str(data).unwrap() });
            }
        }
    }
}

fn steps(told: &[Told]) -> Vec<i64> {
    told.iter().filter(|told| told.event == "step").map(|told| told.id.unwrap()).collect()
}

/// Everything that only a Project Admin may.
#[track_caller]
fn assert_may_only_look(viewer: &Client, job: &str, project: &str, body: &Value) {
    let register =
        json!({"projectId": project, "clusterName": "mine", "connectAddress": servers().uri("source")});
    let commands = [
        ("POST", "/v2/clusters".to_owned(), register),
        ("POST", "/v2/migrations/precheck".to_owned(), body.clone()),
        ("POST", "/v2/migrations/toExisting".to_owned(), body.clone()),
        ("PUT", format!("/v2/jobs/{job}/rate"), json!({"maxRate": "none"})),
        ("POST", format!("/v2/jobs/{job}/cancel"), json!({})),
        ("POST", format!("/v2/jobs/{job}/resume"), json!({})),
        ("POST", format!("/v2/jobs/{job}/load"), json!({})),
        ("POST", format!("/v2/jobs/{job}/verify"), json!({"level": "full"})),
    ];
    for (method, path, body) in commands {
        viewer.ask(method, &path, Some(&body)).assert_refused(403, "VF-0803");
    }
    assert_eq!(viewer.get(&format!("/v2/jobs/{job}")).data()["jobId"], job);
    assert!(Events::of(viewer, job).any(|told| told.event == "job"));
}

#[test]
fn an_admin_may_and_a_viewer_may_not() {
    let directory = tempfile::tempdir().unwrap();
    let mut oracle = oracle();
    let service = Service::start(directory.path(), &[], &[]);
    let owner = service.owner();
    let project = owner.project();
    let key = |role: &str| {
        let roles = json!({project.as_str(): role});
        owner.with_new_key(json!({"name": role, "kind": "customized", "projectRoles": roles}))
    };
    let (admin, viewer) = (key("admin"), key("readOnly"));
    oracle.run(&format!(
        r#"
        simple(source, "svc_admin", {ROWS}, partitions=["p"], load=False)
        source.client.load_partitions("svc_admin", ["p"])
        "#
    ));

    let crawling = crawling(&admin, &[vec!["svc_admin".to_owned()]]);
    let [job] = &crawling.jobs[..] else { panic!("{:?}", crawling.jobs) };
    let mut events = Events::of(&admin, job);
    let before = events.until(|told| told.data["status"] == "IN_PROGRESS");
    let clusters = admin.get("/v2/clusters").data()["clusters"].clone();
    let [one, other] = [0, 1].map(|at| text(&clusters[at]["clusterId"]));
    assert_may_only_look(&viewer, job, &project, &migration(&one, &other, &crawling.names));

    // In the middle.
    admin.command(job, "cancel");
    admin.wait_for(job, "CANCELED");
    let told: Vec<_> = before.into_iter().chain(events).collect();
    assert_eq!(told.last().unwrap().data["status"], "CANCELED", "{told:#?}");
    let seen = steps(&told);
    assert!(!seen.is_empty() && seen.is_sorted_by(|one, next| one < next), "{told:#?}");
    let progress = admin.details(job)["progress"].clone();
    assert!((1..ROWS).contains(&progress["rows_done"].as_u64().unwrap()), "{progress:#}");

    admin.limit(job, "none").data();
    admin.command(job, "resume");
    let last_seen = seen.last().unwrap().to_string();
    let told: Vec<_> = Events::of(&admin.clone().with("Last-Event-ID", &last_seen), job).collect();
    let last = &told.last().unwrap().data;
    assert_eq!((&last["status"], &last["progress"]), (&json!("SUCCESSFUL"), &json!("100")), "{told:#?}");
    assert!(steps(&told).iter().all(|step| step > seen.last().unwrap()), "{told:#?}");
    assert!(told.iter().any(|told| told.data["phase"] == "done"), "{told:#?}");
    admin.wait_for(job, "SUCCESSFUL");
    assert_may_only_look(&viewer, job, &project, &migration(&one, &other, &crawling.names));

    oracle.run(r#"assert set(target.loaded("svc_admin").values()) == {"LoadStateNotLoad"}, target.loaded("svc_admin")"#);
    let load = text(&admin.post(&format!("/v2/jobs/{job}/load"), json!({})).data()["taskId"]);
    let load = admin.wait_for_task(job, &load);
    assert_eq!((&load["kind"], &load["status"]), (&json!("LOAD"), &json!("SUCCESSFUL")), "{load:#}");
    assert_eq!(load["result"]["collections"], json!(["default.svc_admin"]), "{load:#}");
    oracle.run(
        r#"
        for server in [source, target]:
            assert server.loaded("svc_admin") == {"_default": "LoadStateNotLoad", "p": "LoadStateLoaded"}, server.loaded("svc_admin")
        "#,
    );

    let verify =
        text(&admin.post(&format!("/v2/jobs/{job}/verify"), json!({"level": "full"})).data()["taskId"]);
    let verify = admin.wait_for_task(job, &verify);
    assert_eq!((&verify["kind"], &verify["status"]), (&json!("VERIFY"), &json!("SUCCESSFUL")), "{verify:#}");
    assert_eq!(
        (&verify["problems"], &verify["result"]["verified"]),
        (&json!([]), &json!("full")),
        "{verify:#}"
    );
    let verification = &verify["result"]["collections"][0]["verification"];
    for rows in ["source_rows", "target_rows", "rows_compared"] {
        assert_eq!(verification[rows], ROWS, "{verify:#}");
    }
    oracle.run(&format!(
        r#"
        for server in [source, target]:
            # One that is loaded in part says that it is loaded before the rest is.
            server.client.release_collection("svc_admin")
            server.load("svc_admin")
        assert target.count("svc_admin") == {ROWS} and same(source, target, "svc_admin") == {ROWS}
        "#
    ));
}

/// A fenced block of a document.
#[track_caller]
fn block<'a>(document: &'a str, name: &str) -> &'a str {
    let (_, rest) = document.split_once(&format!("```sh\n# test: {name}\n")).expect("the block");
    rest.split_once("\n```").expect("its end").0
}

/// A block with other values of variables that it sets at its beginning.
#[track_caller]
fn with(block: &str, values: &[(&str, &str)]) -> String {
    let (beginning, rest) = block.split_once("\n\n").expect("variables, and what is done with them");
    let mut beginning: Vec<_> = beginning.lines().map(str::to_owned).collect();
    for (name, value) in values {
        let sets = |line: &&mut String| {
            line.strip_prefix("export ")
                .unwrap_or(line)
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('='))
        };
        let line = beginning.iter_mut().find(sets).unwrap_or_else(|| panic!("{name} is not set in {block}"));
        let (set, _) = line.split_once('=').unwrap();
        *line = format!("{set}='{value}'");
    }
    format!("{}\n\n{rest}\n", beginning.join("\n"))
}

/// What the documents ask of `jq`, for machines that have Python only.
const JQ: &str = r#"#!/usr/bin/env python3
import json, re, sys
document = json.load(sys.stdin)
for path in sys.argv[-1].split(", "):
    value = document
    for name, at in re.findall(r"\.(\w+)|\[(\d+)\]", path):
        value = value[int(at)] if at else value.get(name)
    print(value if "-r" in sys.argv and isinstance(value, str) else json.dumps(value, indent=2))
"#;

/// The same of `curl`.
const CURL: &str = r#"#!/usr/bin/env python3
import os, sys, urllib.error, urllib.request
options, address = {"-H": []}, None
arguments = iter(sys.argv[1:])
for argument in arguments:
    if argument == "-H":
        options["-H"].append(next(arguments))
    elif argument in ("-X", "-d", "-c", "-b"):
        options[argument] = next(arguments)
    elif argument != "-s":
        address = argument
data = options.get("-d")
method = options.get("-X", "GET" if data is None else "POST")
request = urllib.request.Request(address, data and data.encode(), method=method)
request.add_header("Content-Type", "application/x-www-form-urlencoded")
for header in options["-H"]:
    request.add_header(*header.split(": ", 1))
if os.path.exists(options.get("-b", "")):
    request.add_header("Cookie", open(options["-b"]).read())
try:
    answer = urllib.request.urlopen(request)
except urllib.error.HTTPError as refused:
    answer = refused
if "-c" in options:
    set_cookies = answer.headers.get_all("Set-Cookie", [])
    open(options["-c"], "w").write("; ".join(cookie.split(";")[0] for cookie in set_cookies))
sys.stdout.write(answer.read().decode())
"#;

/// What the lines are run with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tools {
    /// What is installed, as far as it is.
    Installed,
    /// Python only.
    Python,
}

fn is_installed(program: &str) -> bool {
    Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap().status.success()
}

/// The search path, with the tools that are not there, or not wanted.
fn search_path(directory: &Path, tools: Tools) -> OsString {
    let path = std::env::var_os("PATH").unwrap();
    for (program, text) in [("curl", CURL), ("jq", JQ)] {
        if tools == Tools::Python || !is_installed(program) {
            let file = directory.join(program);
            fs::write(&file, text).unwrap();
            fs::set_permissions(file, Permissions::from_mode(0o755)).unwrap();
        }
    }
    std::env::join_paths([directory.to_owned()].into_iter().chain(std::env::split_paths(&path))).unwrap()
}

/// Runs a script in a new directory; what it printed.
#[track_caller]
fn typed(script: &str, tools: Tools) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = search_path(directory.path(), tools);
    let (out, err) = (directory.path().join("out"), directory.path().join("err"));
    let mut shell = Command::new("sh");
    shell
        .args(["-eu", "-c", script])
        .current_dir(directory.path())
        .env("PATH", path)
        .env("NO_PROXY", "*")
        .stdin(Stdio::null());
    shell.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
    let mut shell = shell.spawn().unwrap();
    let printed = || [&out, &err].map(|file| fs::read_to_string(file).unwrap()).concat();
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = shell.try_wait().unwrap() {
            break status;
        }
        if begin.elapsed() > PATIENCE {
            shell.kill().unwrap();
            panic!("the commands did not end within {PATIENCE:?}:\n{}", printed());
        }
        thread::sleep(LOOK_EVERY);
    };
    assert!(status.success(), "{status}:\n{}", printed());
    fs::read_to_string(out).unwrap()
}

fn lines_of_document_work(document: &str, name: &str, tools: Tools) {
    let mut oracle = oracle();
    oracle.run(&format!(r#"simple(source, "{name}", {ROWS}, load=False)"#));
    let directory = tempfile::tempdir().unwrap();
    let service = Service::start(directory.path(), &[], &[]);
    let url = format!("http://{}", service.address);
    let sign_in = [("VECFERRY_URL", url.as_str()), ("LINK_TOKEN", service.token())];
    let (source, target) = (servers().server("source"), servers().server("target"));
    let first_migration = [
        ("SOURCE_ADDRESS", source.uri.as_str()),
        ("SOURCE_TOKEN", source.token.as_deref().unwrap()),
        ("TARGET_ADDRESS", target.uri.as_str()),
        ("TARGET_TOKEN", target.token.as_deref().unwrap()),
        ("COLLECTION", name),
    ];
    let printed = typed(
        &[
            with(block(document, "sign-in"), &sign_in),
            with(block(document, "first-migration"), &first_migration),
        ]
        .concat(),
        tools,
    );
    assert!(printed.lines().any(|line| line == "SUCCESSFUL"), "{printed}");

    // The owner now has a password, and sees one job.
    let password = json!({"email": "owner@localhost", "password": PASSWORD});
    let signed = service.client().post("/v2/session", password);
    let jobs = service.client().with_session_of(&signed).get("/v2/jobs").data()["jobs"].clone();
    assert_eq!((jobs.as_array().unwrap().len(), &jobs[0]["status"]), (1, &json!("SUCCESSFUL")), "{jobs:#}");
    oracle.run(&format!(
        r#"
        source.load("{name}")
        target.load("{name}")
        assert target.count("{name}") == {ROWS} and same(source, target, "{name}") == {ROWS}
        "#
    ));
}

#[test]
fn the_lines_of_the_documents_work() {
    lines_of_document_work(include_str!("../../../../docs/service.md"), "svc_lines", Tools::Installed);
    lines_of_document_work(include_str!("../../../../docs/service.zh-CN.md"), "svc_lines_zh", Tools::Python);
}
