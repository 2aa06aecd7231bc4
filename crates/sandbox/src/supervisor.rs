use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::cancellation::Cancellation;
use crate::instance::Instance;
use crate::packages::{Cache, Package};
use crate::ports::PortBlock;
use crate::protocol::{Command, Event};
use crate::{Error, SandboxInfo, SandboxSpec, ServerInfo, ServerSpec, SetupStep};

/// How soon a signal is noticed while nothing else happens.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(100);

/// Owns the servers of a sandbox: to be called in a process of its own.
///
/// The first line of `input` is a [`SandboxSpec`] as JSON. All servers are started at once; steps and the outcome are
/// written to `output`, one JSON line each. Then one line is obeyed after the other (`{"kill":"name"}`, also `start`,
/// `stop`, `pause`, `resume`) and answered with one line. When `input` ends, even during the set-up, or on SIGTERM,
/// every server is killed and the temporary directory removed.
pub fn supervise(input: impl Read + Send + 'static, output: impl Write) -> Result<(), Error> {
    let cancellation = Cancellation::default();
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        signal_hook::flag::register(signal, cancellation.flag())
            .map_err(|cause| Error::io("handle signals", cause))?;
    }
    let lines = read_lines(input, cancellation.clone());
    let mut supervisor = Supervisor { output, cancellation, lines };
    match supervisor.run() {
        Ok(()) | Err(Error::Interrupted) => Ok(()),
        Err(error) => {
            // The client may be gone as well; the error is returned in any case.
            let _ = supervisor.write(&Event::Error(error.clone()));
            Err(error)
        }
    }
}

/// Reads in a thread of its own, so that the end of input is noticed whatever else is being done.
fn read_lines(input: impl Read + Send + 'static, cancellation: Cancellation) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(input).lines() {
            let Ok(line) = line else { break };
            if sender.send(line).is_err() {
                break;
            }
        }
        cancellation.cancel();
    });
    lines
}

struct Supervisor<W> {
    output: W,
    cancellation: Cancellation,
    lines: Receiver<String>,
}

impl<W: Write> Supervisor<W> {
    fn run(&mut self) -> Result<(), Error> {
        let line = self.next_line()?;
        let spec: SandboxSpec =
            serde_json::from_str(&line).map_err(|cause| Error::InvalidSpec { reason: cause.to_string() })?;
        spec.check()?;
        let cache = Cache::of_user()?;
        let directory = tempfile::Builder::new()
            .prefix("vecferry-sandbox-")
            .tempdir()
            .map_err(|cause| Error::io("create a temporary directory", cause))?;
        let outcome = self.serve(&spec, &cache, directory.path());
        let removed = directory.close().map_err(|cause| Error::io("remove the temporary directory", cause));
        outcome.and(removed)
    }

    /// Returns when the owner is gone; the servers have ended by then.
    fn serve(&mut self, spec: &SandboxSpec, cache: &Cache, directory: &Path) -> Result<(), Error> {
        let (mut instances, pymilvus) = self.set_up(spec, cache, directory)?;
        let servers = instances.iter().map(Instance::info).collect();
        self.write(&Event::Ready(SandboxInfo { directory: directory.to_owned(), servers, pymilvus }))?;
        loop {
            let line = self.next_line()?;
            let answer = match self.obey(&line, &mut instances) {
                Ok(info) => Event::Server(info),
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(error) => Event::Error(error),
            };
            self.write(&answer)?;
        }
    }

    /// Starts all servers at once. The first failure ends the others.
    fn set_up(
        &mut self,
        spec: &SandboxSpec,
        cache: &Cache,
        directory: &Path,
    ) -> Result<(Vec<Instance>, Option<PathBuf>), Error> {
        // Threads of the scope use this copy; `self` is needed for writing meanwhile.
        let cancellation = self.cancellation.clone();
        let ready_timeout = Duration::from_secs(spec.ready_timeout_seconds);
        let (progress, reports) = mpsc::channel();
        let outcomes = thread::scope(|scope| {
            let mut threads = Vec::new();
            for server in &spec.servers {
                let cancellation = &cancellation;
                threads.push(spawn_part(scope, progress.clone(), move |on_step| {
                    set_up_server(server, cache, directory, ready_timeout, on_step, cancellation)
                        .map(|instance| Part::Server(Box::new(instance)))
                }));
            }
            if spec.pymilvus {
                let cancellation = &cancellation;
                threads.push(spawn_part(scope, progress.clone(), move |on_step| {
                    cache.package(Package::Lite322, on_step, cancellation).map(Part::Pymilvus)
                }));
            }
            drop(progress);
            for report in reports {
                let written = match report {
                    Report::Step(step) => self.write(&Event::Step(step)),
                    Report::Failure(error) => Err(error),
                };
                if written.is_err() {
                    cancellation.cancel();
                }
            }
            let lost = || Err(Error::io("set up a server", "a thread ended unexpectedly"));
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| lost())).collect::<Vec<_>>()
        });

        let mut instances = Vec::new();
        let mut pymilvus = None;
        let mut interrupted = false;
        for outcome in outcomes {
            match outcome {
                Ok(Part::Server(instance)) => instances.push(*instance),
                Ok(Part::Pymilvus(path)) => pymilvus = Some(path),
                // Parts that were cut short say less than the one that failed.
                Err(Error::Interrupted) => interrupted = true,
                Err(error) => return Err(error),
            }
        }
        if interrupted { Err(Error::Interrupted) } else { Ok((instances, pymilvus)) }
    }

    fn obey(&self, line: &str, instances: &mut [Instance]) -> Result<ServerInfo, Error> {
        let command: Command =
            serde_json::from_str(line).map_err(|cause| Error::InvalidSpec { reason: cause.to_string() })?;
        let (Command::Kill(name)
        | Command::Start(name)
        | Command::Stop(name)
        | Command::Pause(name)
        | Command::Resume(name)) = &command;
        let instance = instances
            .iter_mut()
            .find(|instance| instance.name() == name)
            .ok_or_else(|| Error::UnknownServer { name: name.clone() })?;
        match &command {
            Command::Kill(_) => instance.kill()?,
            Command::Start(_) => instance.start(&|_| {}, &self.cancellation)?,
            Command::Stop(_) => instance.stop(&self.cancellation)?,
            Command::Pause(_) => instance.pause()?,
            Command::Resume(_) => instance.resume()?,
        }
        Ok(instance.info())
    }

    fn next_line(&self) -> Result<String, Error> {
        loop {
            self.cancellation.check()?;
            match self.lines.recv_timeout(SIGNAL_INTERVAL) {
                Ok(line) => return Ok(line),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Error::Interrupted),
            }
        }
    }

    /// A client that no longer reads is a client that is gone.
    fn write(&mut self, event: &Event) -> Result<(), Error> {
        let mut line = serde_json::to_vec(event).map_err(|cause| Error::io("write JSON", cause))?;
        line.push(b'\n');
        self.output.write_all(&line).and_then(|()| self.output.flush()).map_err(|_| Error::Interrupted)
    }
}

/// What one thread of the set-up brings.
enum Part {
    Server(Box<Instance>),
    Pymilvus(PathBuf),
}

/// What a thread of the set-up says before it ends.
enum Report {
    Step(SetupStep),
    Failure(Error),
}

fn spawn_part<'scope, 'env>(
    scope: &'scope thread::Scope<'scope, 'env>,
    progress: Sender<Report>,
    set_up: impl FnOnce(&dyn Fn(SetupStep)) -> Result<Part, Error> + Send + 'scope,
) -> thread::ScopedJoinHandle<'scope, Result<Part, Error>> {
    scope.spawn(move || {
        // Reports are received until every sender is gone, so sending cannot fail.
        let outcome = set_up(&|step| drop(progress.send(Report::Step(step))));
        if let Err(error) = &outcome {
            let _ = progress.send(Report::Failure(error.clone()));
        }
        outcome
    })
}

fn set_up_server(
    spec: &ServerSpec,
    cache: &Cache,
    directory: &Path,
    ready_timeout: Duration,
    on_step: &dyn Fn(SetupStep),
    cancellation: &Cancellation,
) -> Result<Instance, Error> {
    let package = cache.package(Package::of(spec.kind), on_step, cancellation)?;
    let ports = PortBlock::reserve(cache.directory())?;
    let mut instance = Instance::prepare(spec, package, ports, directory, ready_timeout)?;
    instance.start(on_step, cancellation)?;
    Ok(instance)
}
