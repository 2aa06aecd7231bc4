//! The real command line against the real service, between stand-ins of Milvus: what a command does there, shows and exits
//! with is what it does, shows and exits with on its own.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use vecferry_testkit::fault_proxy::{Armed, Fault, FaultProxy, When};
use vecferry_testkit::stand_in::generate::{Generated, plain};
use vecferry_testkit::stand_in::{Key, Options, Version};
use vecferry_testkit::{StandIn, english_in, free_port, web_server};

/// Whatever is waited for comes within this time, or the test fails.
const WAIT_MAX: Duration = Duration::from_secs(60);

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

impl Ended {
    /// The lines of `--json`.
    fn events(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[track_caller]
    fn assert_code(&self, code: i32) {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
    }

    #[track_caller]
    fn assert_says(&self, texts: &[&str]) {
        for text in texts {
            assert!(
                self.stdout.contains(text) || self.stderr.contains(text),
                "{text}: {}\n{}",
                self.stdout,
                self.stderr
            );
        }
    }
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

/// Looks until there is something.
#[track_caller]
fn within<Found>(what: &str, mut look: impl FnMut() -> Option<Found>) -> Found {
    let until = Instant::now() + WAIT_MAX;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what} did not come within {WAIT_MAX:?}");
        std::thread::yield_now();
    }
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// A service that listens.
struct Service {
    child: Child,
    url: String,
    link: Option<String>,
}

impl Service {
    fn start(directory: &Path, listen: &str, more: &[&str]) -> Self {
        let state = directory.join("state");
        let log = fs::OpenOptions::new().create(true).append(true).open(directory.join("log")).unwrap();
        let mut command = vecferry(&["serve", "--json", "--listen", listen, "--state-dir", text(&state)]);
        let mut child = command.args(more).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap_or_default();
        assert_eq!(told["event"], "listening", "{line}{:?}", fs::read_to_string(directory.join("log")));
        Self {
            child,
            url: told["url"].as_str().unwrap().to_owned(),
            link: told["sign_in_link"].as_str().map(str::to_owned),
        }
    }

    fn address(&self) -> &str {
        self.url.split_once("://").unwrap().1
    }

    fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> (String, Value) {
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            let length = body.len();
            request.push_str(&format!("Content-Type: application/json\r\nContent-Length: {length}\r\n"));
        }
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.write_all(format!("{request}\r\n{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
        (head.to_owned(), serde_json::from_str(body).unwrap())
    }

    /// An API key of the first owner.
    fn api_key(&self) -> String {
        let token = self.link.as_ref().unwrap().split_once('#').unwrap().1;
        let (head, session) = self.ask("POST", "/v2/session/link", &[], Some(&json!({ "token": token })));
        let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
        let csrf = session["data"]["csrfToken"].as_str().unwrap();
        let headers = [("Cookie", cookie.split(';').next().unwrap()), ("X-CSRF-Token", csrf)];
        let made = json!({ "name": "test", "kind": "personal" });
        let (_, made) = self.ask("POST", "/v2/apiKeys", &headers, Some(&made));
        made["data"]["apiKey"].as_str().unwrap().to_owned()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A service, an API key for it, and two clusters that may be registered there.
struct World {
    directory: TempDir,
    service: Service,
    key: String,
    source: StandIn,
    target: StandIn,
}

fn server() -> StandIn {
    StandIn::start(Options::new(Version::V2_6))
}

fn books(name: &str) -> Generated {
    plain(name, false, &[("_default", (0..50).map(Key::Long).collect())])
}

impl World {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let service = Service::start(directory.path(), "127.0.0.1:0", &[]);
        let key = service.api_key();
        Self { directory, service, key, source: server(), target: server() }
    }

    /// The same with both clusters registered by the names `from` and `to`.
    fn registered() -> Self {
        let world = Self::start();
        world.register("from", &world.source.uri());
        world.register("to", &world.target.uri());
        world
    }

    fn get(&self, path: &str) -> Value {
        let bearer = format!("Bearer {}", self.key);
        self.service.ask("GET", path, &[("Authorization", &bearer)], None).1["data"].clone()
    }

    fn register(&self, name: &str, address: &str) -> String {
        let project = self.get("/v2/projects")[0]["projectId"].clone();
        let body = json!({"projectId": project, "clusterName": name, "connectAddress": address});
        let bearer = format!("Bearer {}", self.key);
        let (_, made) = self.service.ask("POST", "/v2/clusters", &[("Authorization", &bearer)], Some(&body));
        made["data"]["clusterId"].as_str().unwrap().to_owned()
    }

    /// A command that the service is to carry out.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = vecferry(arguments);
        command.args(["--server", &self.service.url]).env("VECFERRY_API_KEY", &self.key);
        // A job that were carried out here would leave its records here.
        command.env("XDG_STATE_HOME", self.directory.path().join("none"));
        command
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> Ended {
        let ended = ended(&mut self.command(arguments));
        assert!(!ended.stdout.contains(&self.key) && !ended.stderr.contains(&self.key), "the key is shown");
        assert!(!self.directory.path().join("none").exists(), "something was recorded here");
        ended
    }

    /// A command in the background, with what it says in files.
    fn spawn(&self, arguments: &[&str]) -> Running {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| fs::File::create(directory.path().join(name)).unwrap();
        let mut command = self.command(arguments);
        let child = command.stdout(file("stdout")).stderr(file("stderr")).spawn().unwrap();
        Running { child, directory }
    }

    fn only_job(&self) -> Value {
        let jobs = self.get("/v2/jobs");
        assert_eq!(jobs["jobs"].as_array().unwrap().len(), 1, "{jobs:#}");
        jobs["jobs"][0].clone()
    }
}

struct Running {
    child: Child,
    directory: TempDir,
}

impl Running {
    fn said(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join(name)).unwrap()
    }

    #[track_caller]
    fn wait_for(&mut self, text: &str) {
        within(text, || {
            let is_said = self.said("stderr").contains(text);
            let has_ended = self.child.try_wait().unwrap().is_some();
            assert!(is_said || !has_ended, "{text}: {}\n{}", self.said("stdout"), self.said("stderr"));
            is_said.then_some(())
        });
    }

    #[track_caller]
    fn ended(mut self) -> Ended {
        let status = within("the end of the command", || self.child.try_wait().unwrap());
        Ended { code: status.code(), stdout: self.said("stdout"), stderr: self.said("stderr") }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A world whose jobs are held at a call of the source or the target.
struct Held {
    world: World,
    _proxies: [FaultProxy; 2],
    armed: Armed,
}

impl Held {
    /// When the source loads; a job can be canceled there.
    fn when_loading() -> Self {
        let world = World::start();
        world.source.add(&Generated { loaded: false, ..books("books") });
        let proxies = [FaultProxy::start(&world.source.uri()), FaultProxy::start(&world.target.uri())];
        let armed = proxies[0].arm("LoadCollection", When::Always, Fault::HalfOpen);
        world.register("from", &proxies[0].uri());
        world.register("to", &proxies[1].uri());
        Self { world, _proxies: proxies, armed }
    }

    fn reached(&self) {
        assert!(self.armed.wait_until_fired(WAIT_MAX), "no job gets there");
    }

    fn release(&self) {
        self.armed.disarm();
        while self.armed.held() > 0 {
            // Whoever asked may be gone.
            let _ = self.armed.release(WAIT_MAX);
        }
    }
}

const MIGRATE: &[&str] = &["migrate", "--source", "from", "--target", "to", "--yes"];

fn migrate<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [MIGRATE, more].concat()
}

#[test]
fn a_job_is_created_followed_and_shown_as_one_of_this_machine() {
    let world = World::registered();
    world.source.add(&books("books"));
    world.source.add(&books("others"));
    let done = world.run(&migrate(&["--collection", "books", "--verify", "full", "--max-rate", "500MB/s"]));
    done.assert_code(0);
    assert_eq!(world.target.rows("default", "books"), world.source.rows("default", "books"));
    assert_eq!(world.target.names("default").0, ["books"], "only what was named");
    let job = world.only_job();
    let job_id = job["jobId"].as_str().unwrap();
    done.assert_says(&[
        "Checking both clusters …",
        &world.source.uri(),
        "2.6.18",
        &format!("Job {job_id} was created in the service."),
        "default.books",
        "full",
        &format!("vecferry load --server {} --job {job_id}", world.service.url),
    ]);
    assert!(done.stdout.contains("SUCCESSFUL"), "{}", done.stdout);

    let jobs = world.run(&["jobs"]);
    jobs.assert_code(0);
    assert!(jobs.stdout.contains(job_id) && jobs.stdout.contains("100 %"), "{}", jobs.stdout);
    let jobs = world.run(&["jobs", "--json"]).events();
    assert_eq!(jobs[0][0]["job_id"].as_str(), Some(job_id));
    assert_eq!(
        (&jobs[0][0]["state"], &jobs[0][0]["source"]),
        (&json!("SUCCESSFUL"), &json!(world.source.uri()))
    );

    let beginning = &job_id[..20];
    let status = world.run(&["status", beginning]);
    status.assert_code(0);
    status.assert_says(&[job_id, "default.books", "50/50 rows", "done"]);
    let status = world.run(&["status", beginning, "--json"]).events();
    assert_eq!((&status[0]["state"], &status[0]["rows_done"]), (&json!("SUCCESSFUL"), &json!(50)));
    assert_eq!(status[0]["collections"][0]["collection"], "default.books");

    let report = world.run(&["report", beginning]);
    report.assert_code(0);
    report.assert_says(&["default.books", "SUCCESSFUL", "full"]);
    let report = world.run(&["report", beginning, "--json"]).events();
    assert_eq!((&report[0]["job_id"], &report[0]["state"]), (&json!(job_id), &json!("SUCCESSFUL")));
    let page = world.directory.path().join("report.html");
    world.run(&["report", beginning, "--html", text(&page), "--lang", "zh"]).assert_code(0);
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("lang=\"zh") && page.contains("books"));

    // It is complete: nothing is left to resume, to cancel or to limit.
    let resumed = world.run(&["resume", beginning]);
    resumed.assert_code(0);
    resumed.assert_says(&["The job is already complete", "default.books"]);
    let canceled = world.run(&["cancel", beginning]);
    canceled.assert_code(0);
    canceled.assert_says(&[&format!("Job {job_id}: SUCCESSFUL")]);
    let limited = world.run(&["rate", beginning, "1MB/s"]);
    limited.assert_code(3);
    assert!(limited.stderr.starts_with("error[VF-0805]"), "{}", limited.stderr);

    assert!(!world.target.is_loaded("default", "books"));
    let loaded = world.run(&["load", "--job", beginning]);
    loaded.assert_code(0);
    loaded.assert_says(&["default.books"]);
    assert!(world.target.is_loaded("default", "books"));
}

#[test]
fn a_warm_copy_is_followed_until_it_is_ready() {
    let world = World::registered();
    world.source.add(&books("books"));
    let done = world.run(&migrate(&["--warm", "--load-target"]));
    done.assert_code(0);
    assert_eq!(world.target.rows("default", "books"), world.source.rows("default", "books"));
    assert!(world.target.is_loaded("default", "books"));
    let job_id = world.only_job()["jobId"].as_str().unwrap().to_owned();
    done.assert_says(&[
        "warning[VF-0446]: all rows were copied, but nothing has been verified",
        "1. Stop all writers of the source.",
        &format!("vecferry cutover --server {} {job_id}", world.service.url),
    ]);
    for never in ["SUCCESSFUL", "vecferry load", "vecferry resume"] {
        assert!(!done.stdout.contains(never) && !done.stderr.contains(never), "{never}: {}", done.stdout);
    }
    let details = world.get(&format!("/v2/jobs/{job_id}/details"));
    let options = &details["request"]["options"];
    assert_eq!((&options["verify"], &options["load_target"]), (&json!("full"), &json!(true)), "{options}");
    let listed = world.run(&["jobs"]);
    assert!(listed.stdout.contains("READY, warm"), "{}", listed.stdout);
    let listed = world.run(&["jobs", "--json"]).events();
    assert_eq!((&listed[0][0]["kind"], &listed[0][0]["state"]), (&json!("warm"), &json!("READY")));
    let status = world.run(&["status", &job_id]);
    assert!(status.stdout.contains("READY, warm"), "{}", status.stdout);
    let resumed = world.run(&["resume", &job_id]);
    resumed.assert_code(0);
    resumed.assert_says(&["The job is READY, so there is nothing to resume", "1. Stop all writers"]);
    let refused = world.run(&migrate(&["--warm", "--verify", "count"]));
    refused.assert_code(2);
    refused.assert_says(&["another level of --verify than `full`"]);
    world.run(&["cancel", &job_id, "--clean"]).assert_code(0);
    assert!(world.target.names("default").0.is_empty());
}

#[test]
fn events_are_told_to_programs() {
    let world = World::registered();
    world.source.add(&books("books"));
    let done = world.run(&migrate(&["--json"]));
    done.assert_code(0);
    let events = done.events();
    let names: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names[..2], ["plan", "created"], "{names:?}");
    assert_eq!(names.last(), Some(&"report"));
    assert_eq!(events[0]["collections"][0]["collection"], "default.books");
    let job_id = &events[1]["job_id"];
    assert_eq!(job_id, &world.only_job()["jobId"]);
    let last = events.last().unwrap();
    assert_eq!((&last["report"]["job_id"], &last["report"]["state"]), (job_id, &json!("SUCCESSFUL")));
    assert!(
        events.iter().any(|event| event["event"] == "state" && event["state"] == "SUCCESSFUL"),
        "{events:?}"
    );
}

#[test]
fn what_the_check_refuses_is_refused_as_without_a_service() {
    let world = World::registered();
    world.source.add(&books("books"));
    world.target.add(&books("books"));
    let remote = world.run(&migrate(&[]));
    let state = world.directory.path().join("local");
    let sides = ["--source", &world.source.uri(), "--target", &world.target.uri()];
    let here = ended(vecferry(&["migrate", "--yes", "--state-dir", text(&state)]).args(sides));
    for refused in [&here, &remote] {
        refused.assert_code(3);
        assert!(
            refused.stderr.contains("error[VF-0203]: the target already has `default.books`"),
            "{}",
            refused.stderr
        );
    }
    // What to do is worded for whoever uses a service.
    assert!(here.stderr.contains("--exclude") && !remote.stderr.contains("--exclude"), "{}", remote.stderr);
    assert_eq!(world.get("/v2/jobs")["jobs"], json!([]), "nothing was created");
    let json = world.run(&migrate(&["--json"])).events();
    assert_eq!((&json[0]["event"], &json[0]["problems"][0]["code"]), (&json!("refused"), &json!("VF-0203")));
    assert!(!json[0].to_string().contains("--exclude"), "{json:?}");

    // Nobody can be asked.
    let world = World::registered();
    world.source.add(&books("books"));
    let refused = world.run(&["migrate", "--source", "from", "--target", "to"]);
    refused.assert_code(2);
    refused.assert_says(&["error[VF-0003]", "default.books"]);
    assert_eq!(world.get("/v2/jobs")["jobs"], json!([]));
}

#[test]
fn a_signal_cancels_the_job_and_resume_goes_on() {
    let held = Held::when_loading();
    let mut running = held.world.spawn(&migrate(&[]));
    held.reached();
    running.wait_for("was created in the service");
    let arguments = fs::read_to_string(format!("/proc/{}/cmdline", running.child.id())).unwrap();
    assert!(arguments.contains("migrate") && !arguments.contains(&held.world.key), "{arguments}");
    signal(&running.child, "-INT");
    running.wait_for("Canceling the job in the service");
    let canceled = running.ended();
    canceled.assert_code(130);
    held.release();
    let job = held.world.only_job();
    let job_id = job["jobId"].as_str().unwrap();
    assert_eq!(job["status"], "CANCELED");
    canceled
        .assert_says(&["CANCELED", &format!("vecferry resume --server {} {job_id}", held.world.service.url)]);

    let resumed = held.world.run(&["resume", job_id, "--max-rate", "none"]);
    resumed.assert_code(0);
    resumed.assert_says(&["SUCCESSFUL", "default.books"]);
    assert_eq!(held.world.target.rows("default", "books"), held.world.source.rows("default", "books"));
}

#[test]
fn a_second_signal_leaves_the_job_to_the_service() {
    let held = Held::when_loading();
    let mut running = held.world.spawn(&migrate(&[]));
    held.reached();
    running.wait_for("was created in the service");
    signal(&running.child, "-INT");
    running.wait_for("Canceling the job in the service");
    signal(&running.child, "-INT");
    let left = running.ended();
    left.assert_code(130);
    let job_id = held.world.only_job()["jobId"].as_str().unwrap().to_owned();
    left.assert_says(&[&format!("vecferry status --server {} {job_id}", held.world.service.url)]);
    held.release();
}

#[test]
fn another_command_limits_and_cancels_a_job_that_is_followed() {
    let held = Held::when_loading();
    let mut running = held.world.spawn(&migrate(&[]));
    held.reached();
    running.wait_for("was created in the service");
    let job_id = held.world.only_job()["jobId"].as_str().unwrap().to_owned();
    let limited = held.world.run(&["rate", &job_id, "20MB/s", "--json"]);
    limited.assert_code(0);
    assert_eq!(
        limited.events()[0],
        json!({"event": "rate_set", "job_id": job_id, "max_rate": "20MB/s", "live": true})
    );
    held.world.run(&["status", &job_id]).assert_says(&["20 MB/s"]);
    let canceling = held.world.spawn(&["cancel", &job_id]);
    let canceled = canceling.ended();
    canceled.assert_code(0);
    canceled.assert_says(&[&format!("Job {job_id}: CANCELED"), "vecferry resume"]);
    running.ended().assert_code(130);
    held.release();
}

#[test]
fn a_killed_service_takes_its_jobs_up_at_once() {
    let mut held = Held::when_loading();
    let running = held.world.spawn(&migrate(&[]));
    held.reached();
    signal(&held.world.service.child, "-KILL");
    within("the end of the service", || held.world.service.child.try_wait().unwrap());
    held.release();
    let address = held.world.service.address().to_owned();
    let started = Instant::now();
    held.world.service = Service::start(held.world.directory.path(), &address, &[]);
    running.ended().assert_code(0);
    // The claims of the dead process end after 15 s.
    assert!(started.elapsed() < Duration::from_secs(12), "{:?}", started.elapsed());
    assert_eq!(held.world.target.rows("default", "books"), held.world.source.rows("default", "books"));
    // Only the file of the living process is left.
    let files = fs::read_dir(held.world.directory.path().join("state/services")).unwrap();
    assert_eq!(files.count(), 1);
}

#[test]
fn a_finished_job_is_compared_again_and_then_removed() {
    let world = World::registered();
    world.source.add(&books("books"));
    world.run(&migrate(&["--max-rate", "20MB/s"])).assert_code(0);
    let job = world.only_job();
    let job_id = job["jobId"].as_str().unwrap();
    world.run(&["status", job_id]).assert_says(&["20 MB/s"]);

    let equal = world.run(&["verify", job_id, "--level", "full"]);
    equal.assert_code(0);
    equal.assert_says(&["default.books"]);
    let equal = world.run(&["verify", job_id, "--level", "count", "--json"]);
    equal.assert_code(0);
    assert_eq!(equal.events().last().unwrap()["report"]["verified"], "count", "{}", equal.stdout);
    world.target.delete(("default", "books"), "_default", &std::collections::BTreeSet::from([Key::Long(7)]));
    let differs = world.run(&["verify", job_id, "--level", "full"]);
    differs.assert_code(5);
    differs.assert_says(&["default.books", "VF-04"]);
    let nameless = world.run(&["verify"]);
    nameless.assert_code(2);
    nameless.assert_says(&["name the job whose collections are to be compared"]);
    let foreign = world.run(&["verify", job_id, "--level", "full", "--repair", "--yes"]);
    foreign.assert_code(2);
    foreign.assert_says(&["`--repair` can't be used with --server"]);

    let removed = world.run(&["cancel", job_id, "--clean"]);
    removed.assert_code(0);
    removed.assert_says(&[&format!("Job {job_id}: CANCELED"), "default.books"]);
    assert!(world.target.names("default").0.is_empty());
}

#[test]
fn a_service_that_is_away_for_a_moment_is_waited_for() {
    let mut held = Held::when_loading();
    let mut running = held.world.spawn(&migrate(&[]));
    held.reached();
    running.wait_for("was created in the service");
    let address = held.world.service.address().to_owned();
    signal(&held.world.service.child, "-TERM");
    within("the end of the service", || held.world.service.child.try_wait().unwrap());
    running.wait_for("Trying again for 60 s: the service at ");
    held.release();
    held.world.service = Service::start(held.world.directory.path(), &address, &[]);
    running.wait_for("The service answers again.");
    let done = running.ended();
    done.assert_code(0);
    assert_eq!(held.world.target.rows("default", "books"), held.world.source.rows("default", "books"));
}

#[test]
fn a_resume_that_is_refused_shows_why_and_not_the_report_of_before() {
    let held = Held::when_loading();
    let mut running = held.world.spawn(&migrate(&[]));
    held.reached();
    running.wait_for("was created in the service");
    signal(&running.child, "-INT");
    running.wait_for("Canceling the job in the service");
    running.ended().assert_code(130);
    held.release();
    // Somebody else creates the collection meanwhile.
    held.world.target.add(&books("books"));
    let job_id = held.world.only_job()["jobId"].as_str().unwrap().to_owned();
    let refused = held.world.run(&["resume", &job_id]);
    refused.assert_code(3);
    assert!(refused.stderr.contains("error[VF-0218]"), "{}", refused.stderr);
    assert_eq!(refused.stdout, "");
    let status = held.world.run(&["status", &job_id]);
    status.assert_code(0);
    status.assert_says(&["FAILED", "error[VF-0218]", "vecferry resume"]);
}

#[test]
fn a_service_that_cannot_be_used_is_one_clear_message() {
    let world = World::start();
    let jobs = |server: &str, key: Option<&str>| {
        let mut command = vecferry(&["jobs", "--server", server]);
        ended(command.envs(key.map(|key| ("VECFERRY_API_KEY", key))))
    };
    let url = &world.service.url;
    for key in [None, Some(""), Some("vfk_planted-and-wrong"), Some("planted\nwrong")] {
        let refused = jobs(url, key);
        refused.assert_code(3);
        refused.assert_says(&["error[VF-0802]: not signed in", "VECFERRY_API_KEY", "--server-key-file"]);
        assert!(!refused.stderr.contains("planted"), "{}", refused.stderr);
    }
    let nowhere = format!("http://127.0.0.1:{}", free_port());
    let refused = jobs(&nowhere, Some(&world.key));
    refused.assert_code(3);
    let what = format!("error[VF-0820]: the service at {nowhere} can't be used: nothing listens there\n");
    assert!(refused.stderr.starts_with(&what), "{}", refused.stderr);
    let refused = jobs(&format!("http://127.0.0.1:{}", web_server()), Some(&world.key));
    refused.assert_code(3);
    refused.assert_says(&["error[VF-0820]"]);
    let refused = jobs("127.0.0.1:1", Some(&world.key));
    refused.assert_code(2);
    refused.assert_says(&["error[VF-0001]", "`127.0.0.1:1` is not http://host:port"]);

    // The key may be in a file, and the address in a variable.
    let file = world.directory.path().join("key");
    fs::write(&file, format!("{}\n", world.key)).unwrap();
    let listed = ended(vecferry(&["jobs", "--server-key-file", text(&file)]).env("VECFERRY_SERVER", url));
    listed.assert_code(0);
    assert_eq!(listed.stdout, "no jobs recorded here\n");
    let missing = ended(&mut vecferry(&["jobs", "--server", url, "--server-key-file", "/nowhere"]));
    missing.assert_code(2);
    missing.assert_says(&["error[VF-0005]", "/nowhere"]);
}

#[test]
fn clusters_and_jobs_are_found_or_named_as_missing() {
    let world = World::registered();
    let (first, second) = (world.register("twin", &server().uri()), server());
    let second = world.register("twin", &second.uri());
    let refused = world.run(&["migrate", "--source", "twin", "--target", "nobody", "--yes"]);
    refused.assert_code(3);
    refused.assert_says(&["error[VF-0001]", &first, &second, "error[VF-0804]", "`nobody`"]);
    for job in ["0197", "../clusters", ""] {
        let refused = world.run(&["status", job]);
        refused.assert_code(3);
        refused.assert_says(&["error[VF-0804]: the job "]);
    }
}

#[test]
fn what_the_service_cannot_follow_is_refused_and_variables_are_left_alone() {
    let world = World::registered();
    let refused = world.run(&migrate(&["--exclude", "x", "--dry-run"]));
    refused.assert_code(2);
    refused
        .assert_says(&["`--exclude` can't be used with --server", "`--dry-run` can't be used with --server"]);
    let refused = world.run(&["cancel", "0197", "--target-token", "t"]);
    refused.assert_code(2);
    refused.assert_says(&["`--target-token` can't be used with --server"]);
    let mut here = vecferry(&["jobs", "--state-dir", "x"]);
    let refused = ended(here.env("VECFERRY_SERVER", &world.service.url));
    refused.assert_code(2);
    refused.assert_says(&["`--state-dir` can't be used with VECFERRY_SERVER"]);
    let mut with_variables = world.command(&["jobs"]);
    with_variables.env("VECFERRY_STORE", "postgres://h/d").env("VECFERRY_SOURCE_TOKEN", "planted");
    ended(&mut with_variables).assert_code(0);
    // Without a service nothing of it means anything.
    ended(&mut vecferry(&["jobs", "--server-ca", "f"])).assert_code(2);
}

#[test]
fn nothing_of_it_is_english_in_chinese() {
    let world = World::registered();
    world.source.add(&books("books"));
    let said = |arguments: &[&str]| {
        let ended = world.run(&[arguments, &["--lang", "zh"]].concat());
        // A line that begins with a command is one.
        let lines = ended.stdout.lines().chain(ended.stderr.lines());
        for line in lines.filter(|line| !line.starts_with("  vecferry ")) {
            assert_eq!(
                english_in(line, &[]),
                Vec::<String>::new(),
                "{line}\n{}{}",
                ended.stdout,
                ended.stderr
            );
        }
        ended
    };
    let done = said(&migrate(&[]));
    done.assert_code(0);
    done.assert_says(&["已在服务中创建任务"]);
    said(&["jobs"]).assert_says(&["进度"]);
    let job_id = world.only_job()["jobId"].as_str().unwrap().to_owned();
    said(&["status", &job_id]).assert_code(0);
    said(&["resume", &job_id]).assert_says(&["任务已完成"]);
    said(&migrate(&[])).assert_says(&["错误[VF-0203]"]);
    said(&["status", "0197ffff"]).assert_says(&["错误[VF-0804]", "任务 `0197ffff` 不存在"]);
    said(&migrate(&["--exclude", "x"])).assert_says(&["`--exclude` 不能与 --server 一起使用"]);
    said(&migrate(&["--target-db", "a=b"])).assert_says(&["需要用 `--collection` 指定 `a` 中的 Collection"]);
    let nowhere = format!("http://127.0.0.1:{}", free_port());
    let mut away = vecferry(&["jobs", "--server", &nowhere, "--lang", "zh"]);
    let away = ended(away.env("VECFERRY_API_KEY", &world.key));
    away.assert_says(&["错误[VF-0820]：无法使用", "该地址上没有服务在监听"]);
}

#[test]
fn the_log_does_not_hold_the_key() {
    let world = World::registered();
    world.source.add(&books("books"));
    let done = world.run(&migrate(&["--log", "trace"]));
    done.assert_code(0);
}

/// A certificate for `localhost`, with its key.
fn issue(directory: &Path) -> [PathBuf; 2] {
    let issued = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let files = [directory.join("cert.pem"), directory.join("key.pem")];
    fs::write(&files[0], issued.cert.pem()).unwrap();
    fs::write(&files[1], issued.signing_key.serialize_pem()).unwrap();
    fs::set_permissions(&files[1], Permissions::from_mode(0o600)).unwrap();
    files
}

#[test]
fn a_certificate_is_trusted_where_it_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let key = Service::start(directory.path(), "127.0.0.1:0", &[]).api_key();
    let [certificate, private] = issue(directory.path());
    let more = ["--tls-cert", text(&certificate), "--tls-key", text(&private)];
    let service = Service::start(directory.path(), "127.0.0.1:0", &more);
    let url = service.url.replace("127.0.0.1", "localhost");
    let jobs =
        |more: &[&str]| ended(vecferry(&["jobs", "--server", &url]).env("VECFERRY_API_KEY", &key).args(more));
    jobs(&["--server-ca", text(&certificate)]).assert_code(0);
    let refused = jobs(&[]);
    refused.assert_code(3);
    refused.assert_says(&["error[VF-0820]", "no TLS connection (see --server-ca)"]);
    let none = jobs(&["--server-ca", text(&private)]);
    none.assert_code(2);
    none.assert_says(&["error[VF-0005]", "no certificate in PEM form"]);
}
