//! A real PostgreSQL server for tests: on a loopback port of its own, gone with the process that started it however
//! that ends. It may not know what is kept in it.

mod programs;
mod readiness;
mod running;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::cancellation::Cancellation;
use crate::log::tail;
use crate::packages::Cache;
use crate::ports::PortBlock;
use crate::{Error, SetupStep};

use programs::{Account, Programs};
use running::{Guardian, Running};

const NAME: &str = "postgres";
/// The superuser, also the name of the database that is always there.
const SUPERUSER: &str = "postgres";
/// Recovery after a kill is part of it.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// A running or killed PostgreSQL server with its data in a temporary directory.
///
/// It listens on 127.0.0.1 only, on one port for all its life, and wants a password (SCRAM-SHA-256). Dropping it ends
/// the server at once and removes the directory; if this process ends without that, a shell that waits for its end does
/// the same. Where this process is root, the server runs as the user `nobody`.
///
/// The programs come from a Python package, or from the directory that the environment variable `VECFERRY_POSTGRES_BIN`
/// names, which must hold `initdb`, `postgres` and `psql`. Those of the package are built without TLS.
pub struct PostgresServer {
    // Fields are dropped in this order: the directory has to be the last.
    running: Mutex<Option<Running>>,
    guardian: Guardian,
    programs: Programs,
    account: Account,
    ports: PortBlock,
    password: String,
    directory: TempDir,
}

impl PostgresServer {
    /// Makes a new database cluster and starts a server on it; returns as soon as it takes connections.
    ///
    /// # Errors
    /// The package could not be fetched, or the server did not start.
    pub fn start(on_step: &dyn Fn(SetupStep)) -> Result<Self, Error> {
        let account = Account::of_server()?;
        let cache = Cache::of_user()?;
        let directory = tempfile::Builder::new()
            .prefix("vecferry-postgres-")
            .tempdir()
            .map_err(|cause| Error::io("create a temporary directory", cause))?;
        account.give(directory.path())?;
        let guardian = Guardian::of(directory.path())?;
        let server = Self {
            running: Mutex::new(None),
            guardian,
            programs: Programs::find(&cache, &account, directory.path(), on_step)?,
            account,
            ports: PortBlock::reserve(cache.directory())?,
            password: random_password()?,
            directory,
        };
        server.make_cluster()?;
        server.start_again()?;
        Ok(server)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.ports.port(0)
    }

    /// The superuser's password.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The server's first process; none while it is not running.
    pub fn pid(&self) -> Option<u32> {
        self.lock().as_ref().map(Running::pid)
    }

    /// The temporary directory that holds all of it.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The directory of the programs, for tests that want others of them.
    pub fn programs(&self) -> &Path {
        self.programs.directory()
    }

    /// What the server has logged.
    pub fn log_file(&self) -> PathBuf {
        self.directory.path().join("server.log")
    }

    /// The superuser's address of a database.
    pub fn superuser_url(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}:{}@127.0.0.1:{}/{database}", self.password, self.port())
    }

    /// Runs SQL in `psql`, each statement in a transaction of its own; returns unaligned rows without headings.
    ///
    /// # Errors
    /// `psql` could not be started or connect, or a statement failed.
    pub fn psql(&self, url: &str, statements: &[&str]) -> Result<String, Error> {
        let mut command = self.programs.command("psql");
        command.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", url]).stdin(Stdio::null());
        for statement in statements {
            command.args(["-c", statement]);
        }
        let output = command.output().map_err(|cause| Error::io("start psql", cause))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
        }
        let log = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
        Err(Error::ProgramFailed { program: "psql".to_owned(), status: output.status.to_string(), log })
    }

    /// Ends all processes of the server at once, as a crash would. Returns when none is left.
    ///
    /// # Errors
    /// It is not running.
    pub fn kill(&self) -> Result<(), Error> {
        let running = self.lock().take();
        running.ok_or_else(|| Error::NotRunning { name: NAME.to_owned() })?.crash()?;
        self.remove_shared_memory();
        Ok(())
    }

    /// Starts a killed server again, on the same port and data, and waits until it takes connections.
    ///
    /// # Errors
    /// It is running, or does not start.
    pub fn start_again(&self) -> Result<(), Error> {
        let mut running = self.lock();
        if let Some(running) = running.as_mut()
            && running.ended()?.is_none()
        {
            return Err(Error::AlreadyRunning { name: NAME.to_owned() });
        }
        // One that ended by itself is still to be reaped.
        *running = None;
        let mut started = Running::start(&self.guardian, self.server_command()?)?;
        self.wait_until_ready(&mut started)?;
        *running = Some(started);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        // Nothing is left half done in it by a panic elsewhere.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until_ready(&self, running: &mut Running) -> Result<(), Error> {
        let begin = Instant::now();
        let patience = Cancellation::default();
        loop {
            if let Some(status) = running.ended()? {
                let log = tail(&self.log_file());
                return Err(Error::ServerDied { name: NAME.to_owned(), status: status.to_string(), log });
            }
            if readiness::takes_connections(self.port(), SUPERUSER) {
                return Ok(());
            }
            if begin.elapsed() > READY_TIMEOUT {
                let log = tail(&self.log_file());
                let seconds = READY_TIMEOUT.as_secs();
                return Err(Error::NeverReady { name: NAME.to_owned(), seconds, log });
            }
            patience.pause()?;
        }
    }

    /// A killed server leaves a System V segment of some bytes, of which the machine has a limited number. One that is
    /// started again removes it, but not every one is.
    fn remove_shared_memory(&self) {
        let lock_file = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        // The seventh line has the segment's key and ID.
        let Some(id) = lock_file.lines().nth(6).and_then(|line| line.split_whitespace().last()) else {
            return;
        };
        // Where there is no such program, the segment stays.
        let _ = Command::new("ipcrm").args(["-m", id]).stdin(Stdio::null()).stderr(Stdio::null()).status();
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn make_cluster(&self) -> Result<(), Error> {
        let password_file = self.directory.path().join("password");
        self.write_private(&password_file, &self.password)?;
        let mut command = self.programs.command("initdb");
        command
            .arg("--pgdata")
            .arg(self.data())
            .arg("--pwfile")
            .arg(&password_file)
            .args(["--username", SUPERUSER, "--auth", "scram-sha-256"])
            // The machine's own locale would decide on sorting and on the language of messages.
            .args(["--locale", "C", "--encoding", "UTF8"])
            // That would be of use against a power cut only.
            .arg("--no-sync");
        let status = self.run(command)?;
        if !status.success() {
            let (program, status) = ("initdb".to_owned(), status.to_string());
            return Err(Error::ProgramFailed { program, status, log: tail(&self.log_file()) });
        }
        fs::remove_file(&password_file).map_err(|cause| Error::io("remove the password file", cause))?;
        self.configure()
    }

    /// In the file and not on the command line, so that a test can override it (`ALTER SYSTEM`).
    fn configure(&self) -> Result<(), Error> {
        let path = self.data().join("postgresql.conf");
        let settings = format!(
            "\nlisten_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = ''\n\
             shared_buffers = 16MB\nmax_connections = 60\n\
             # Segments in /dev/shm would outlive a killed server that is not started again.\n\
             dynamic_shared_memory_type = mmap\n",
            self.port()
        );
        let appended =
            File::options().append(true).open(&path).and_then(|mut file| file.write_all(settings.as_bytes()));
        appended.map_err(|cause| Error::io(format!("write {}", path.display()), cause))
    }

    fn server_command(&self) -> Result<Command, Error> {
        let mut command = self.programs.command("postgres");
        command.arg("-D").arg(self.data());
        self.surround(&mut command)?;
        Ok(command)
    }

    fn run(&self, mut command: Command) -> Result<ExitStatus, Error> {
        self.surround(&mut command)?;
        Running::start(&self.guardian, command)?.wait()
    }

    /// What is the same for every program that works on the data.
    fn surround(&self, command: &mut Command) -> Result<(), Error> {
        let path = self.log_file();
        let opening = |cause| Error::io(format!("open {}", path.display()), cause);
        let log = File::options().create(true).append(true).open(&path).map_err(opening)?;
        command
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(opening)?)
            .stderr(log);
        self.account.assume(command);
        Ok(())
    }

    fn write_private(&self, path: &Path, text: &str) -> Result<(), Error> {
        let written = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|cause| Error::io(format!("write {}", path.display()), cause))?;
        self.account.give(path)
    }
}

/// Other users of the machine reach the port as well.
fn random_password() -> Result<String, Error> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|cause| Error::io("read /dev/urandom", cause))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
