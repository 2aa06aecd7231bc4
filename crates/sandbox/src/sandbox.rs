use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::protocol::{Command as SupervisorCommand, Event};
use crate::{Error, SandboxInfo, SandboxSpec, ServerInfo, SetupStep};

/// How long the supervisor may take to end all servers.
const END_TIMEOUT: Duration = Duration::from_secs(20);

/// A running sandbox; dropping it ends every server and removes their data.
pub struct Sandbox {
    info: SandboxInfo,
    connection: Mutex<Connection>,
}

impl Sandbox {
    /// Starts `supervisor`, a program that calls [`supervise`](crate::supervise) on its standard input and output, and
    /// waits until every server is ready.
    pub fn start(
        supervisor: Command,
        spec: &SandboxSpec,
        on_step: &dyn Fn(SetupStep),
    ) -> Result<Self, Error> {
        let mut connection = Connection::open(supervisor)?;
        connection.send(spec)?;
        loop {
            match connection.receive()? {
                Event::Step(step) => on_step(step),
                Event::Ready(info) => return Ok(Self { info, connection: Mutex::new(connection) }),
                Event::Error(error) => return Err(error),
                Event::Server(info) => return Err(unexpected(&info.name)),
            }
        }
    }

    /// All that was known when the sandbox became ready.
    pub fn info(&self) -> &SandboxInfo {
        &self.info
    }

    /// One server as it was when the sandbox became ready: after a restart only `pid` differs.
    pub fn server(&self, name: &str) -> Result<&ServerInfo, Error> {
        self.info
            .servers
            .iter()
            .find(|server| server.name == name)
            .ok_or_else(|| Error::UnknownServer { name: name.to_owned() })
    }

    /// The directory to put on `PYTHONPATH` for the Python client, if it was asked for.
    pub fn pymilvus(&self) -> Option<&Path> {
        self.info.pymilvus.as_deref()
    }

    /// Ends a server at once, as a crash would.
    pub fn kill(&self, name: &str) -> Result<(), Error> {
        self.command(&SupervisorCommand::Kill(name.to_owned())).map(drop)
    }

    /// Starts a server that was killed or stopped again, on its ports and data, and waits until it is ready.
    ///
    /// A Milvus 2.3.5 then answers metadata requests at once, but loads and queries only after the sessions of its
    /// former process have expired; the setting `common.session.ttl` (30 seconds by default) shortens this.
    pub fn start_server(&self, name: &str) -> Result<ServerInfo, Error> {
        self.command(&SupervisorCommand::Start(name.to_owned()))
    }

    /// Asks a server to end, and kills it after 10 seconds.
    pub fn stop(&self, name: &str) -> Result<(), Error> {
        self.command(&SupervisorCommand::Stop(name.to_owned())).map(drop)
    }

    /// Freezes a server: it keeps its connections but answers nothing.
    pub fn pause(&self, name: &str) -> Result<(), Error> {
        self.command(&SupervisorCommand::Pause(name.to_owned())).map(drop)
    }

    /// Lets a frozen server continue.
    pub fn resume(&self, name: &str) -> Result<(), Error> {
        self.command(&SupervisorCommand::Resume(name.to_owned())).map(drop)
    }

    fn command(&self, command: &SupervisorCommand) -> Result<ServerInfo, Error> {
        // A panic elsewhere leaves at worst an unread answer, which the check below notices.
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        connection.send(command)?;
        match connection.receive()? {
            Event::Server(info) => Ok(info),
            Event::Error(error) => Err(error),
            Event::Step(step) => Err(unexpected(&step.to_string())),
            Event::Ready(info) => Err(unexpected(&info.directory.display().to_string())),
        }
    }
}

fn unexpected(what: &str) -> Error {
    Error::SupervisorLost { reason: format!("it sent something unexpected about '{what}'") }
}

/// The supervisor process and the pipes to it; dropping it ends the supervisor and thereby the servers.
struct Connection {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
}

impl Connection {
    fn open(mut supervisor: Command) -> Result<Self, Error> {
        let mut child = supervisor
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C must reach the owner only, which then ends the servers in an orderly way.
            .process_group(0)
            .spawn()
            .map_err(|cause| Error::io(format!("start {}", supervisor.get_program().display()), cause))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().map(BufReader::new);
        Ok(Self { child, stdin, stdout })
    }

    fn send(&mut self, message: &impl Serialize) -> Result<(), Error> {
        let lost = |reason: String| Error::SupervisorLost { reason };
        let mut line = serde_json::to_vec(message).map_err(|cause| lost(cause.to_string()))?;
        line.push(b'\n');
        let stdin = self.stdin.as_mut().ok_or_else(|| lost("its input is closed".to_owned()))?;
        stdin.write_all(&line).and_then(|()| stdin.flush()).map_err(|cause| lost(cause.to_string()))
    }

    fn receive(&mut self) -> Result<Event, Error> {
        let lost = |reason: String| Error::SupervisorLost { reason };
        let mut line = String::new();
        let stdout = self.stdout.as_mut().ok_or_else(|| lost("its output is closed".to_owned()))?;
        match stdout.read_line(&mut line) {
            Ok(0) => Err(lost("it ended".to_owned())),
            Ok(_) => serde_json::from_str(&line).map_err(|cause| lost(cause.to_string())),
            Err(cause) => Err(lost(cause.to_string())),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.stdin = None;
        // A supervisor that still has something to say must not wait for a reader.
        self.stdout = None;
        let begin = Instant::now();
        while begin.elapsed() < END_TIMEOUT {
            match self.child.try_wait() {
                Ok(Some(_)) | Err(_) => return,
                Ok(None) => thread::sleep(Duration::from_millis(10)),
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
