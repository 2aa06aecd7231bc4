//! Real servers: started, commanded, and gone without a trace.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use vecferry_sandbox::{
    Error, Sandbox, SandboxInfo, SandboxSpec, ServerInfo, ServerKind, ServerSpec, SetupStep, Tls,
};

fn supervisor() -> Command {
    Command::new(env!("CARGO_BIN_EXE_vecferry-sandbox"))
}

fn start(spec: &SandboxSpec) -> Sandbox {
    Sandbox::start(supervisor(), spec, &|_| {}).unwrap()
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(20), "still waiting for: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn accepts(server: &ServerInfo) -> bool {
    let (_, address) = server.uri.split_once("://").unwrap();
    TcpStream::connect_timeout(&address.parse::<SocketAddr>().unwrap(), Duration::from_secs(1)).is_ok()
}

fn runs(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

fn pids(info: &SandboxInfo) -> Vec<u32> {
    info.servers.iter().map(|server| server.pid.unwrap()).collect()
}

/// Runs a Python script with the client library; answers its standard output.
fn python(pymilvus: &Path, script: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("python3")
        .args(["-c", script])
        .args(arguments)
        .env("PYTHONPATH", pymilvus)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

const WRITE_AND_COUNT: &str = r#"
import sys
from pymilvus import MilvusClient
client = MilvusClient(uri=sys.argv[1], token=sys.argv[2], timeout=30)
if not client.has_collection("kept"):
    client.create_collection("kept", dimension=4)
    client.insert("kept", [{"id": i, "vector": [0.1 * i] * 4} for i in range(10)])
client.load_collection("kept")
rows = client.query("kept", filter="id >= 0", output_fields=["count(*)"], consistency_level="Strong")
print(rows[0]["count(*)"])
"#;

#[test]
fn four_servers_are_ready_at_once_and_one_survives_a_kill_with_its_data() {
    let steps = Mutex::new(Vec::new());
    let spec = SandboxSpec::new([
        // Without the shorter session the restarted server would load nothing for half a minute.
        ServerSpec::new("source", ServerKind::Milvus235)
            .with_authorization()
            .with_setting("common.session.ttl", 5),
        ServerSpec::new("target", ServerKind::Milvus235).with_authorization(),
        ServerSpec::new("old-lite", ServerKind::Lite251),
        ServerSpec::new("lite", ServerKind::Lite322),
    ])
    .with_pymilvus();
    let sandbox = Sandbox::start(supervisor(), &spec, &|step| steps.lock().unwrap().push(step)).unwrap();
    let directory = sandbox.info().directory.clone();

    let ready = |step: &&SetupStep| matches!(step, SetupStep::Ready { .. });
    assert_eq!(steps.lock().unwrap().iter().filter(ready).count(), 4);
    assert!(sandbox.info().servers.iter().all(accepts));
    let names: Vec<&str> = sandbox.info().servers.iter().map(|server| server.name.as_str()).collect();
    assert_eq!(names, ["source", "target", "old-lite", "lite"]);

    let pymilvus = sandbox.pymilvus().unwrap();
    let source = sandbox.server("source").unwrap();
    let token = source.token.as_deref().unwrap();
    let count = |uri: &str, token: &str| python(pymilvus, WRITE_AND_COUNT, &[uri, token]);
    assert_eq!(count(&source.uri, token), Ok("10".to_owned()));
    assert_eq!(count(&sandbox.server("lite").unwrap().uri, ""), Ok("10".to_owned()));
    assert!(count(&source.uri, "root:wrong").is_err(), "a wrong password must be refused");

    sandbox.kill("source").unwrap();
    assert!(!accepts(source));
    assert!(!runs(source.pid.unwrap()));
    assert_eq!(sandbox.kill("source"), Err(Error::NotRunning { name: "source".to_owned() }));
    let restarted = sandbox.start_server("source").unwrap();
    assert_eq!(restarted.uri, source.uri);
    assert_ne!(restarted.pid, source.pid);
    assert_eq!(count(&source.uri, token), Ok("10".to_owned()));
    assert_eq!(sandbox.start_server("source"), Err(Error::AlreadyRunning { name: "source".to_owned() }));

    sandbox.stop("old-lite").unwrap();
    assert!(!accepts(sandbox.server("old-lite").unwrap()));
    assert_eq!(sandbox.stop("nobody"), Err(Error::UnknownServer { name: "nobody".to_owned() }));

    let paused = sandbox.server("target").unwrap().pid.unwrap();
    let state = || fs::read_to_string(format!("/proc/{paused}/stat")).unwrap();
    sandbox.pause("target").unwrap();
    wait_until("the pause", || state().contains(") T "));
    sandbox.resume("target").unwrap();
    wait_until("the resumption", || !state().contains(") T "));

    let mut pids = pids(sandbox.info());
    pids.extend(restarted.pid);
    drop(sandbox);
    assert_eq!(pids.into_iter().filter(|pid| runs(*pid)).count(), 0, "servers survive their sandbox");
    assert!(!directory.exists());
}

/// The owner here is a shell that holds the only writing end of the supervisor's input.
const OWNER: &str = r#"
mkfifo "$2/input"
"$1" < "$2/input" > "$2/output" &
exec 3> "$2/input"
printf '%s\n' "$3" >&3
wait
"#;

fn spawn_owner(directory: &Path, spec: &SandboxSpec) -> std::process::Child {
    Command::new("sh")
        .args(["-c", OWNER, "owner", env!("CARGO_BIN_EXE_vecferry-sandbox")])
        .arg(directory)
        .arg(serde_json::to_string(spec).unwrap())
        .spawn()
        .unwrap()
}

#[test]
fn killing_the_owner_ends_the_servers() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("output");
    let spec = SandboxSpec::new([
        ServerSpec::new("milvus", ServerKind::Milvus235),
        ServerSpec::new("lite", ServerKind::Lite322),
    ]);
    let mut owner = spawn_owner(directory.path(), &spec);
    let last_line =
        || fs::read_to_string(&output).unwrap_or_default().lines().last().unwrap_or_default().to_owned();
    wait_until("the servers", || last_line().starts_with(r#"{"ready":{"directory""#));
    let mut event: serde_json::Value = serde_json::from_str(&last_line()).unwrap();
    let info: SandboxInfo = serde_json::from_value(event["ready"].take()).unwrap();
    assert!(pids(&info).into_iter().all(runs));

    owner.kill().unwrap();
    owner.wait().unwrap();
    wait_until("the servers' end", || !pids(&info).into_iter().any(runs));
    wait_until("the directory's end", || !info.directory.exists());
}

#[test]
fn an_owner_that_vanishes_during_the_set_up_leaves_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let spec = SandboxSpec::new([ServerSpec::new("milvus", ServerKind::Milvus235)]);
    let mut child = supervisor()
        .env("TMPDIR", temporary.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{}", serde_json::to_string(&spec).unwrap()).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("starting")), "the server was never started");
    drop(stdin);

    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(
        !rest.iter().any(|line| line.contains(r#"{"ready":{"directory""#)),
        "the set-up went on: {rest:?}"
    );
    assert!(child.wait().unwrap().success());
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn a_terminated_supervisor_ends_its_servers() {
    let sandbox = start(&SandboxSpec::new([ServerSpec::new("lite", ServerKind::Lite251)]));
    let server = sandbox.server("lite").unwrap().pid.unwrap();
    let status = fs::read_to_string(format!("/proc/{server}/stat")).unwrap();
    let parent = status.rsplit(") ").next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let parent = rustix::process::Pid::from_raw(parent).unwrap();
    rustix::process::kill_process(parent, rustix::process::Signal::TERM).unwrap();
    wait_until("the server's end", || !runs(server));
    assert!(matches!(sandbox.kill("lite"), Err(Error::SupervisorLost { .. })));
}

const LIST_WITH_TLS: &str = r#"
import sys
from pymilvus import MilvusClient
uri, token, ca, certificate, key = sys.argv[1:]
files = {"server_pem_path": ca} if not certificate else {
    "ca_pem_path": ca, "client_pem_path": certificate, "client_key_path": key}
client = MilvusClient(uri=uri, token=token, secure=True, timeout=5, **files)
print(len(client.list_collections()))
"#;

fn path(file: &Option<std::path::PathBuf>) -> &str {
    file.as_deref().unwrap().to_str().unwrap()
}

#[test]
fn tls_servers_accept_whom_they_should() {
    let spec = SandboxSpec::new([
        ServerSpec::new("one-way", ServerKind::Milvus235).with_tls(Tls::OneWay).with_authorization(),
        ServerSpec::new("mutual", ServerKind::Milvus235).with_tls(Tls::Mutual),
    ])
    .with_pymilvus();
    let sandbox = start(&spec);
    let pymilvus = sandbox.pymilvus().unwrap();
    let list = |name: &str, ca: &str, certificate: &str, key: &str| {
        let server = sandbox.server(name).unwrap();
        let uri = server.uri.replace("127.0.0.1", "localhost");
        python(
            pymilvus,
            LIST_WITH_TLS,
            &[&uri, server.token.as_deref().unwrap_or_default(), ca, certificate, key],
        )
    };
    let one_way = sandbox.server("one-way").unwrap();
    let mutual = sandbox.server("mutual").unwrap();
    assert!(one_way.uri.starts_with("https://"));

    assert_eq!(list("one-way", path(&one_way.ca_certificate), "", ""), Ok("0".to_owned()));
    assert!(
        list("one-way", path(&mutual.ca_certificate), "", "").is_err(),
        "a foreign authority must not be trusted"
    );
    let (ca, certificate, key) =
        (path(&mutual.ca_certificate), path(&mutual.client_certificate), path(&mutual.client_key));
    assert_eq!(list("mutual", ca, certificate, key), Ok("0".to_owned()));
    assert!(list("mutual", ca, "", "").is_err(), "a client without a certificate must be refused");
    let (certificate, key) = (path(&one_way.client_certificate), path(&one_way.client_key));
    assert!(list("mutual", ca, certificate, key).is_err(), "a client of a foreign authority must be refused");
}

#[test]
fn settings_reach_the_server() {
    let spec = SandboxSpec::new([ServerSpec::new("limited", ServerKind::Milvus235)
        .with_setting("quotaAndLimits.limits.maxCollectionNum", 1)
        .with_setting("quotaAndLimits.limits.maxCollectionNumPerDB", 1)
        .with_setting("made.up", "value")])
    .with_pymilvus();
    let sandbox = start(&spec);
    let server = sandbox.server("limited").unwrap();
    let yaml = fs::read_to_string(server.data_dir.join("configs/milvus.yaml")).unwrap();
    assert!(yaml.contains("made:\n  up: value\n"));
    let script = r#"
import sys
from pymilvus import MilvusClient
client = MilvusClient(uri=sys.argv[1], timeout=20)
client.create_collection("first", dimension=4)
client.create_collection("second", dimension=4)
"#;
    let refusal = python(sandbox.pymilvus().unwrap(), script, &[&server.uri]).unwrap_err();
    assert!(refusal.contains("exceeded the limit number of collections"), "{refusal}");
}

#[test]
fn failures_say_what_happened() {
    let error = |spec: SandboxSpec| Sandbox::start(supervisor(), &spec, &|_| {}).err().unwrap();

    let twice = SandboxSpec::new([
        ServerSpec::new("same", ServerKind::Lite251),
        ServerSpec::new("same", ServerKind::Lite251),
    ]);
    assert!(matches!(error(twice), Error::InvalidSpec { .. }));

    let with_tls = SandboxSpec::new([ServerSpec::new("lite", ServerKind::Lite322).with_tls(Tls::Mutual)]);
    assert!(matches!(error(with_tls), Error::InvalidSpec { .. }));

    let below_a_value = ServerSpec::new("milvus", ServerKind::Milvus235).with_setting("proxy.port.deep", 1);
    assert!(matches!(error(SandboxSpec::new([below_a_value])), Error::InvalidSpec { .. }));

    let broken = ServerSpec::new("broken", ServerKind::Milvus235)
        .with_tls(Tls::OneWay)
        .with_setting("tls.serverKeyPath", "/nowhere");
    let died = error(SandboxSpec::new([broken, ServerSpec::new("lite", ServerKind::Lite322)]));
    let Error::ServerDied { name, log, .. } = &died else { panic!("{died}") };
    assert_eq!(name, "broken");
    assert!(log.contains("/nowhere"), "{log}");

    let mut hasty = SandboxSpec::new([ServerSpec::new("hasty", ServerKind::Milvus235)]);
    hasty.ready_timeout_seconds = 0;
    assert!(matches!(error(hasty), Error::NeverReady { seconds: 0, .. }));

    let mut without_python = supervisor();
    let empty = tempfile::tempdir().unwrap();
    without_python.env("PATH", empty.path()).env("VECFERRY_CACHE", empty.path());
    let spec = SandboxSpec::new([ServerSpec::new("lite", ServerKind::Lite322)]);
    let error = Sandbox::start(without_python, &spec, &|_| {}).err().unwrap();
    assert!(matches!(error, Error::PythonMissing { .. }), "{error}");

    let error = Sandbox::start(Command::new("/bin/true"), &spec, &|_| {}).err().unwrap();
    assert!(matches!(error, Error::SupervisorLost { .. }), "{error}");
}

#[test]
fn a_package_that_cannot_be_fetched_is_explained() {
    use std::os::unix::fs::PermissionsExt;

    let cache = tempfile::tempdir().unwrap();
    let spec = SandboxSpec::new([ServerSpec::new("lite", ServerKind::Lite251)]);
    let error = |supervisor: &mut dyn FnMut(&mut Command)| {
        let mut command = self::supervisor();
        command.env("VECFERRY_CACHE", cache.path());
        supervisor(&mut command);
        Sandbox::start(command, &spec, &|_| {}).err().unwrap()
    };

    let refused = error(&mut |command| {
        command.env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", cache.path());
    });
    let Error::DownloadFailed { package, log } = &refused else { panic!("{refused}") };
    assert_eq!(package, "milvus-lite 2.5.1");
    assert!(log.contains("No matching distribution found"), "{log}");

    let bin = cache.path().join("bin");
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("python3"), "#!/bin/sh\necho 'python3: No module named pip' >&2\nexit 1\n").unwrap();
    fs::set_permissions(bin.join("python3"), fs::Permissions::from_mode(0o755)).unwrap();
    let without_pip = error(&mut |command| {
        command.env("PATH", &bin);
    });
    assert_eq!(without_pip, Error::PipMissing);
    assert!(without_pip.hint().contains("install pip"));
    assert!(!cache.path().join("packages/milvus-lite-2.5.1").exists());
}

#[test]
fn two_processes_install_a_package_into_one_cache_after_an_interrupted_one() {
    let cache = tempfile::tempdir().unwrap();
    let packages = cache.path().join("packages");
    let leftover = packages.join(".milvus-lite-2.5.1.partial/content/lib");
    fs::create_dir_all(&leftover).unwrap();
    fs::write(leftover.join("milvus"), "half a program").unwrap();

    let spec = SandboxSpec::new([ServerSpec::new("lite", ServerKind::Lite251)]);
    let downloads = Mutex::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut supervisor = supervisor();
                supervisor.env("VECFERRY_CACHE", cache.path());
                let counts = |step| {
                    if matches!(step, SetupStep::Downloading { .. }) {
                        *downloads.lock().unwrap() += 1;
                    }
                };
                let sandbox = Sandbox::start(supervisor, &spec, &counts).unwrap();
                assert!(accepts(sandbox.server("lite").unwrap()));
            });
        }
    });
    assert_eq!(*downloads.lock().unwrap(), 1);
    let visible = |entry: &fs::DirEntry| !entry.file_name().to_string_lossy().ends_with(".lock");
    let names: Vec<_> = fs::read_dir(&packages)
        .unwrap()
        .map(Result::unwrap)
        .filter(visible)
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(names, ["milvus-lite-2.5.1"]);
}
