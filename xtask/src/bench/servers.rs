//! The two servers that are measured with.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use vecferry_milvus::{Client, Endpoint, Secret};
use vecferry_sandbox::{Sandbox, SandboxSpec, ServerInfo, ServerKind, ServerSpec, SetupStep};

use super::process;
use crate::{Failure, output};

/// Servers count as idle below this share of a core, both together.
const IDLE_SHARE: f64 = 0.1;
/// Over so long.
const IDLE_WINDOW: Duration = Duration::from_secs(2);
/// How long it is waited for that.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// Connections to a server, as many as Vecferry opens.
const CONNECTIONS: usize = 4;

/// Source and target; dropping it ends both.
pub(crate) struct Servers {
    program: PathBuf,
    kind: ServerKind,
    sandbox: Sandbox,
    source: ServerInfo,
    target: Mutex<Target>,
}

/// The target, and the sandbox that holds it if it replaces the first one.
struct Target {
    info: ServerInfo,
    own: Option<Sandbox>,
}

/// One of the two.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    /// Copied from.
    Source,
    /// Copied to.
    Target,
}

impl Servers {
    /// Starts both, of the kind that most is measured with. `program` is a `vecferry`, which owns them.
    pub(crate) fn start(program: &Path, with_pymilvus: bool) -> Result<Self, Failure> {
        Self::start_of(ServerKind::Milvus235, program, with_pymilvus)
    }

    /// Starts both.
    pub(crate) fn start_of(kind: ServerKind, program: &Path, with_pymilvus: bool) -> Result<Self, Failure> {
        let mut spec = SandboxSpec::new([server(kind, "source"), server(kind, "target")]);
        if with_pymilvus {
            spec = spec.with_pymilvus();
        }
        let sandbox = sandbox(program, &spec, &|step| output::note(&step.to_string()))?;
        let (source, info) = (sandbox.server("source")?.clone(), sandbox.server("target")?.clone());
        let target = Mutex::new(Target { info, own: None });
        Ok(Self { program: program.to_owned(), kind, sandbox, source, target })
    }

    /// Replaces the target by a new one. What the former was still at, as an index build of minutes, is not waited for.
    pub(crate) fn renew_target(&self) -> Result<(), Failure> {
        let mut target = self.target.lock().unwrap_or_else(PoisonError::into_inner);
        match target.own.take() {
            Some(own) => drop(own),
            None => self.sandbox.kill("target")?,
        }
        let own = sandbox(&self.program, &SandboxSpec::new([server(self.kind, "target")]), &|_| ())?;
        *target = Target { info: own.server("target")?.clone(), own: Some(own) };
        Ok(())
    }

    /// What is known of one.
    pub(crate) fn info(&self, side: Side) -> ServerInfo {
        match side {
            Side::Source => self.source.clone(),
            Side::Target => self.target.lock().unwrap_or_else(PoisonError::into_inner).info.clone(),
        }
    }

    /// Kills a server and starts it again with the data it has.
    pub(crate) fn restart(&self, name: &str) -> Result<(), Failure> {
        self.sandbox.kill(name)?;
        self.sandbox.start_server(name)?;
        Ok(())
    }

    /// Where the Python client is, if it was asked for.
    pub(crate) fn pymilvus(&self) -> Option<PathBuf> {
        self.sandbox.pymilvus().map(Path::to_path_buf)
    }

    /// A new client of one.
    pub(crate) async fn connect(&self, side: Side) -> Result<Client, Failure> {
        let info = self.info(side);
        let endpoint = Endpoint::parse(&info.uri)?.with_token(info.token.as_deref().map(Secret::new));
        Ok(Client::connect(endpoint, CONNECTIONS).await?)
    }

    /// CPU seconds that one has used since its start.
    pub(crate) fn cpu_seconds(&self, side: Side) -> Result<f64, Failure> {
        let info = self.info(side);
        process::cpu_seconds(info.pid.ok_or_else(|| format!("server '{}' does not run", info.name))?)
    }

    /// Waits until neither works any more. False if they still did when the patience was at its end.
    pub(crate) fn wait_until_idle(&self) -> Result<bool, Failure> {
        let begin = Instant::now();
        loop {
            let (before, window) = (self.cpu_of_both()?, Instant::now());
            thread::sleep(IDLE_WINDOW);
            let share = (self.cpu_of_both()? - before) / window.elapsed().as_secs_f64();
            if share < IDLE_SHARE {
                return Ok(true);
            }
            if begin.elapsed() > IDLE_TIMEOUT {
                output::note(&format!("the servers still use {share:.2} cores; going on all the same"));
                return Ok(false);
            }
        }
    }

    fn cpu_of_both(&self) -> Result<f64, Failure> {
        Ok(self.cpu_seconds(Side::Source)? + self.cpu_seconds(Side::Target)?)
    }
}

fn server(kind: ServerKind, name: &str) -> ServerSpec {
    match kind {
        ServerKind::Milvus235 => ServerSpec::new(name, kind).with_authorization(),
        ServerKind::Lite251 | ServerKind::Lite322 => ServerSpec::new(name, kind),
    }
}

fn sandbox(program: &Path, spec: &SandboxSpec, on_step: &dyn Fn(SetupStep)) -> Result<Sandbox, Failure> {
    let mut supervisor = Command::new(program);
    supervisor.arg("sandbox");
    Ok(Sandbox::start(supervisor, spec, &|step| on_step(step))
        .map_err(|error| format!("{error}; {}", error.hint()))?)
}
