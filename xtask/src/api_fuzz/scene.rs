//! A service between two stand-in clusters, with somebody in every role, and something of every kind that has an ID.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::generate::plain;
use vecferry_testkit::stand_in::{Key, Options, Version};

use super::http::{Client, text};
use crate::Failure;

/// The job of the scene is over within this time.
const JOB_MAX: Duration = Duration::from_secs(120);
/// Of each kind that can be removed, there are so many to remove.
const SPARES: usize = 4;

/// The process of a service, which ends when this is dropped.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may be over.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Somebody who makes requests: the name of the role and the headers that show who it is.
pub(super) struct Caller {
    pub(super) name: &'static str,
    pub(super) headers: Vec<String>,
    /// Operations that would end what the others need.
    pub(super) excluded: &'static [&'static str],
}

/// Everything that is needed, running.
pub(super) struct Scene {
    pub(super) address: String,
    pub(super) callers: Vec<Caller>,
    /// IDs and addresses that exist, for requests that are made up.
    pub(super) known: Value,
    process: Process,
    _stand_ins: [StandIn; 2],
}

/// Starts it, and returns what it prints until it listens or ends.
pub(crate) fn started(program: &Path, state: &Path, more: &[&str]) -> Result<(Child, Vec<Value>), Failure> {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("VECFERRY_") {
            command.env_remove(&name);
        }
    }
    command.args(["serve"]).args(more).arg("--json").arg("--state-dir").arg(state);
    let log = std::fs::File::options().create(true).append(true).open(state.with_extension("log"))?;
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn()?;
    let mut lines = Vec::new();
    let stdout = child.stdout.take().ok_or("the service has no output")?;
    for line in BufReader::new(stdout).lines() {
        let line: Value = serde_json::from_str(&line?)?;
        let is_ready = line["event"] == "listening";
        lines.push(line);
        if is_ready {
            break;
        }
    }
    Ok((child, lines))
}

/// The token of a link.
pub(crate) fn token(link: &Value) -> Result<String, Failure> {
    let link = text(link)?;
    Ok(link.split_once('#').ok_or("the link has no token")?.1.to_owned())
}

/// A session, with the headers that show it.
pub(crate) fn session(nobody: &Client, token: &str) -> Result<(Client, Vec<String>), Failure> {
    let begun = nobody.post("/v2/session/link", &json!({"token": token}))?;
    let (cookie, csrf) = (begun.cookie()?.to_owned(), text(&begun.data["csrfToken"])?);
    let headers = vec![format!("Cookie: {cookie}"), format!("X-CSRF-Token: {csrf}")];
    Ok((nobody.with("Cookie", &cookie).with("X-CSRF-Token", &csrf), headers))
}

/// A key of whoever has a session.
pub(crate) fn key(session: &Client) -> Result<String, Failure> {
    let made = session.post("/v2/apiKeys", &json!({"name": "key", "kind": "personal"}))?;
    text(&made.data["apiKey"])
}

impl Scene {
    /// Starts it in a directory.
    pub(super) fn start(program: &Path, directory: &Path) -> Result<Self, Failure> {
        let state = directory.join("state");
        // Another organization is added before, for a store of files is one process's.
        let email = "elsewhere@localhost";
        let (mut added, lines) =
            started(program, &state, &["organization", "add", "Elsewhere", "--email", email])?;
        if !added.wait()?.success() {
            return Err("the organization could not be added".into());
        }
        let link = |email: &str| {
            let line = lines.iter().find(|line| line["email"] == email).ok_or("there is no link")?;
            token(&line["sign_in_link"])
        };
        let (owner_token, elsewhere_token) = (link("owner@localhost")?, link(email)?);
        let (process, lines) = started(
            program,
            &state,
            &[
                "--listen",
                "127.0.0.1:0",
                // Nothing that is made up leaves this machine.
                "--allow-network",
                "127.0.0.0/8",
                "--requests-per-second",
                "100000",
                "--requests-burst",
                "100000",
            ],
        )?;
        let process = Process(process);
        let url = text(&lines.last().ok_or("the service does not listen")?["url"])?;
        let address = url.trim_start_matches("http://").to_owned();
        let stand_ins = [(); 2].map(|()| StandIn::start(Options::new(Version::V2_6)));
        stand_ins[0].add(&plain("books", false, &[("_default", (0..20).map(Key::Long).collect())]));
        let nobody = Client::new(&address);
        let (owner, in_session) = session(&nobody, &owner_token)?;
        let (elsewhere, _) = session(&nobody, &elsewhere_token)?;
        let mut callers = vec![
            Caller { name: "owner", headers: vec![bearer(&key(&owner)?)], excluded: &[] },
            Caller { name: "owner in a session", headers: in_session, excluded: &["signOut"] },
            Caller { name: "owner elsewhere", headers: vec![bearer(&key(&elsewhere)?)], excluded: &[] },
            Caller { name: "nobody", headers: Vec::new(), excluded: &[] },
        ];
        let known = filled(&owner, &stand_ins, &mut callers)?;
        Ok(Self { address, callers, known, process, _stand_ins: stand_ins })
    }

    /// Whether the service still runs.
    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.process.0.try_wait(), Ok(None))
    }
}

fn bearer(key: &str) -> String {
    format!("Authorization: Bearer {key}")
}

/// Makes members in all roles, clusters, a job that is over, and what may be removed.
fn filled(owner: &Client, stand_ins: &[StandIn; 2], callers: &mut Vec<Caller>) -> Result<Value, Failure> {
    let project_id = text(&owner.get("/v2/projects")?.data[0]["projectId"])?;
    let nobody = owner.without_headers();
    for (name, role) in [
        ("project admin", Some("admin")),
        ("project read-write", Some("readWrite")),
        ("project read-only", Some("readOnly")),
        ("member", None),
    ] {
        let (user_id, token) = user(owner, &name.replace(' ', "-"))?;
        if let Some(role) = role {
            let path = format!("/v2/projects/{project_id}/users/{user_id}");
            owner.put(&path, &json!({"projectRole": role}))?;
        }
        let headers = vec![bearer(&key(&session(&nobody, &token)?.0)?)];
        callers.push(Caller { name, headers, excluded: &[] });
    }
    let register = |name: &str, address: String| -> Result<String, Failure> {
        let body = json!({"projectId": project_id, "clusterName": name, "connectAddress": address});
        text(&owner.post("/v2/clusters", &body)?.data["clusterId"])
    };
    let addresses = stand_ins.each_ref().map(StandIn::uri);
    let (source, target) =
        (register("source", addresses[0].clone())?, register("target", addresses[1].clone())?);
    let body = json!({"source": {"clusterId": source}, "destination": {"clusterId": target}});
    let job_id = text(&owner.post("/v2/migrations/toExisting", &body)?.data["jobId"])?;
    wait_for(owner, &job_id)?;
    let webhook = || -> Result<String, Failure> {
        let body = json!({"url": "http://127.0.0.1:9/", "projectId": project_id});
        text(&owner.post("/v2/webhooks", &body)?.data["webhookId"])
    };
    let (mut users, mut projects, mut clusters, mut keys, mut webhooks) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for number in 0..SPARES {
        users.push(user(owner, &format!("spare-{number}"))?.0);
        let body = json!({"projectName": format!("spare {number}")});
        projects.push(text(&owner.post("/v2/projects", &body)?.data["projectId"])?);
        clusters.push(register(&format!("spare {number}"), addresses[1].clone())?);
        let made = owner.post("/v2/apiKeys", &json!({"name": "spare", "kind": "personal"}))?;
        keys.push(text(&made.data["keyId"])?);
        webhooks.push(webhook()?);
    }
    Ok(json!({
        "addresses": addresses,
        "kept": {"projectId": [project_id], "clusterId": [source, target], "jobId": [job_id],
            "webhookId": [webhook()?], "userId": users, "keyId": keys},
        "spare": {"projectId": projects, "clusterId": clusters, "jobId": [job_id], "webhookId": webhooks,
            "userId": users, "keyId": keys},
    }))
}

/// Somebody new, and the token of the link with which they sign in.
pub(crate) fn user(owner: &Client, name: &str) -> Result<(String, String), Failure> {
    let body = json!({"email": format!("{name}@example.com"), "name": name, "organizationRole": "member"});
    let invited = owner.post("/v2/users", &body)?.data;
    Ok((text(&invited["userId"])?, text(&invited["linkToken"])?))
}

/// Waits until a job is successful.
pub(crate) fn wait_for(owner: &Client, job_id: &str) -> Result<(), Failure> {
    let until = Instant::now() + JOB_MAX;
    loop {
        let job = owner.get(&format!("/v2/jobs/{job_id}"))?.data;
        match job["status"].as_str() {
            Some("SUCCESSFUL") => return Ok(()),
            Some("FAILED" | "CANCELED") => return Err(format!("the job is {job}").into()),
            _ if Instant::now() > until => return Err(format!("the job is {job}").into()),
            _ => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}
