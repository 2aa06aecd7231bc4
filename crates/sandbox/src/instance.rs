use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::cancellation::Cancellation;
use crate::certificates::Certificates;
use crate::log::tail;
use crate::milvus;
use crate::ports::PortBlock;
use crate::process::OwnedProcess;
use crate::{Error, ServerInfo, ServerKind, ServerSpec, SetupStep, Tls};

/// How long a server that was asked to end may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// One server with its directory and ports, running or not.
pub(crate) struct Instance {
    info: ServerInfo,
    package: PathBuf,
    ports: PortBlock,
    ready_timeout: Duration,
    process: Option<OwnedProcess>,
}

impl Instance {
    /// Writes all that the server needs to start.
    pub(crate) fn prepare(
        spec: &ServerSpec,
        package: PathBuf,
        ports: PortBlock,
        directory: &Path,
        ready_timeout: Duration,
    ) -> Result<Self, Error> {
        let data_dir = directory.join(&spec.name);
        fs::create_dir_all(data_dir.join("logs"))
            .map_err(|cause| Error::io(format!("create the directory {}", data_dir.display()), cause))?;
        let certificates = match spec.tls {
            Tls::Off => None,
            Tls::OneWay | Tls::Mutual => Some(Certificates::create(&data_dir.join("certificates"))?),
        };
        let metrics_port = match spec.kind {
            ServerKind::Milvus235 => {
                milvus::write_configuration(spec, &package, &ports, certificates.as_ref(), &data_dir)?;
                Some(ports.port(milvus::METRICS))
            }
            ServerKind::Lite251 | ServerKind::Lite322 => None,
        };
        let scheme = if certificates.is_some() { "https" } else { "http" };
        let (ca_certificate, client_certificate, client_key) = match certificates {
            Some(files) => {
                (Some(files.ca_certificate), Some(files.client_certificate), Some(files.client_key))
            }
            None => (None, None, None),
        };
        let info = ServerInfo {
            name: spec.name.clone(),
            kind: spec.kind,
            uri: format!("{scheme}://127.0.0.1:{}", ports.port(milvus::PROXY)),
            token: spec.authorization.then(|| "root:Milvus".to_owned()),
            pid: None,
            data_dir,
            ca_certificate,
            client_certificate,
            client_key,
            metrics_port,
        };
        Ok(Self { info, package, ports, ready_timeout, process: None })
    }

    pub(crate) fn info(&self) -> ServerInfo {
        ServerInfo { pid: self.process.as_ref().map(OwnedProcess::pid), ..self.info.clone() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.info.name
    }

    /// Starts the server and waits until it answers.
    pub(crate) fn start(
        &mut self,
        on_step: &dyn Fn(SetupStep),
        cancellation: &Cancellation,
    ) -> Result<(), Error> {
        if self.running().is_ok() {
            return Err(Error::AlreadyRunning { name: self.info.name.clone() });
        }
        cancellation.check()?;
        let begin = Instant::now();
        on_step(SetupStep::Starting { name: self.info.name.clone(), kind: self.info.kind });
        let log_path = self.log_path();
        let opening = |cause| Error::io(format!("open {}", log_path.display()), cause);
        let log = File::options().create(true).append(true).open(&log_path).map_err(opening)?;
        let mut command = self.command();
        command
            .current_dir(&self.info.data_dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(opening)?)
            .stderr(log);
        let mut process = OwnedProcess::spawn(&mut command)
            .map_err(|cause| Error::io(format!("start {}", command.get_program().display()), cause))?;
        loop {
            if let Some(status) = process.ended()? {
                let name = self.info.name.clone();
                return Err(Error::ServerDied { name, status: status.to_string(), log: self.log_tail() });
            }
            if self.answers() {
                break;
            }
            if begin.elapsed() > self.ready_timeout {
                let name = self.info.name.clone();
                return Err(Error::NeverReady {
                    name,
                    seconds: self.ready_timeout.as_secs(),
                    log: self.log_tail(),
                });
            }
            cancellation.pause()?;
        }
        self.process = Some(process);
        on_step(SetupStep::Ready {
            name: self.info.name.clone(),
            elapsed_seconds: begin.elapsed().as_secs_f64(),
        });
        Ok(())
    }

    /// Ends the server at once, as a crash would.
    pub(crate) fn kill(&mut self) -> Result<(), Error> {
        self.running()?;
        // Dropping a process kills and reaps it.
        self.process = None;
        Ok(())
    }

    /// Asks the server to end; kills it if it does not in time.
    pub(crate) fn stop(&mut self, cancellation: &Cancellation) -> Result<(), Error> {
        let process = self.running()?;
        process.signal(Signal::TERM)?;
        // A paused server could not obey.
        process.signal(Signal::CONT)?;
        let begin = Instant::now();
        while process.ended()?.is_none() && begin.elapsed() < STOP_TIMEOUT {
            cancellation.pause()?;
        }
        self.process = None;
        Ok(())
    }

    pub(crate) fn pause(&mut self) -> Result<(), Error> {
        self.running()?.signal(Signal::STOP)
    }

    pub(crate) fn resume(&mut self) -> Result<(), Error> {
        self.running()?.signal(Signal::CONT)
    }

    fn running(&mut self) -> Result<&mut OwnedProcess, Error> {
        if let Some(process) = &mut self.process
            && process.ended()?.is_some()
        {
            self.process = None;
        }
        self.process.as_mut().ok_or_else(|| Error::NotRunning { name: self.info.name.clone() })
    }

    fn command(&self) -> Command {
        let data_dir = &self.info.data_dir;
        let port = self.ports.port(milvus::PROXY);
        match self.info.kind {
            ServerKind::Milvus235 => {
                let bin = self.package.join("bin");
                let mut command = Command::new(bin.join("milvus"));
                command
                    .args(["run", "standalone"])
                    // Milvus takes any setting from a variable of the same name, before its file: PROXY_PORT, say.
                    .env_clear()
                    // It leaves a file for every start in the directory for temporary files.
                    .env("TMPDIR", data_dir)
                    .env("HOME", data_dir)
                    .env("LD_LIBRARY_PATH", &bin)
                    .env("DEPLOY_MODE", "STANDALONE")
                    .env("METRICS_PORT", self.ports.port(milvus::METRICS).to_string())
                    .env("MILVUS_RUN_DIR", data_dir.join("run"))
                    .env("ETCD_CONFIG_PATH", data_dir.join("configs/etcd.yaml"));
                command
            }
            ServerKind::Lite251 => {
                let lib = self.package.join("lib");
                let mut command = Command::new(lib.join("milvus"));
                command
                    .arg(data_dir.join("lite.db"))
                    .arg(format!("127.0.0.1:{port}"))
                    .arg("WARNING")
                    .env("LD_LIBRARY_PATH", &lib);
                command
            }
            ServerKind::Lite322 => {
                let mut command = Command::new("python3");
                command
                    .args(["-m", "milvus_lite.cmdline", "server", "--host", "127.0.0.1", "--port"])
                    .arg(port.to_string())
                    .arg("--data-dir")
                    .arg(data_dir.join("data"))
                    .env("PYTHONPATH", &self.package);
                command
            }
        }
    }

    fn answers(&self) -> bool {
        let port_accepts = || connect(self.ports.port(milvus::PROXY)).is_ok();
        match self.info.kind {
            ServerKind::Milvus235 => {
                is_healthy(self.ports.port(milvus::METRICS)).unwrap_or(false) && port_accepts()
            }
            ServerKind::Lite251 | ServerKind::Lite322 => port_accepts(),
        }
    }

    fn log_path(&self) -> PathBuf {
        self.info.data_dir.join("logs/output.log")
    }

    /// The end of what the server wrote: its output, and Milvus's own log file if there is one.
    fn log_tail(&self) -> String {
        let output = tail(&self.log_path());
        let own = tail(&self.info.data_dir.join("logs/standalone-1.log"));
        [output, own].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
    }
}

fn connect(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), ANSWER_TIMEOUT)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    Ok(stream)
}

fn is_healthy(metrics_port: u16) -> std::io::Result<bool> {
    let mut stream = connect(metrics_port)?;
    stream.write_all(b"GET /healthz HTTP/1.0\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer)?;
    let is_success = answer.split_whitespace().nth(1) == Some("200");
    Ok(is_success && answer.trim_end().ends_with("OK"))
}
