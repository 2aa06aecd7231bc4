//! Tests of the console in a real browser, and pictures of its screens: Chromium, driven from Node by what is in
//! `xtask/browser`, before a service between two real servers (`vecferry serve --demo`).

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;

use crate::bench::{build, workspace};
use crate::{Failure, output};

const CHROMIUM: &str = "/usr/bin/chromium";
/// Without it, pictures of Chinese pages are full of boxes.
const FONT: &str = "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc";
const DEBIAN_PACKAGES: [&str; 2] = ["chromium", "fonts-noto-cjk"];
/// From the request to end until the service and its servers are over.
const END_MAX: Duration = Duration::from_secs(40);
/// How often it is seen whether the service is over.
const END_INTERVAL: Duration = Duration::from_millis(20);
/// Lines of the service's log that a failure shows.
const LOG_LINES: usize = 30;
/// What a page and its files ask at once is not what the limits are for.
const LIMITS: [&str; 4] = ["--requests-per-second", "10000", "--requests-burst", "10000"];

/// Which ones
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only test files with this in their name, or else tests with this in theirs; or screens with this in their name
    #[arg(long, value_name = "PATTERN")]
    only: Option<String>,
    /// A `vecferry` that is built already; without it, one is built as it is released
    #[arg(long)]
    program: Option<PathBuf>,
}

/// What is done in the browser.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    /// The tests.
    Tests,
    /// The pictures.
    Screenshots,
}

impl What {
    /// Its name for `run.mjs`.
    fn name(self) -> &'static str {
        match self {
            Self::Tests => "browser",
            Self::Screenshots => "screenshots",
        }
    }
}

/// Does it, and ends everything that it started.
pub(crate) fn run(what: What, arguments: &Arguments) -> Result<(), Failure> {
    let program = match &arguments.program {
        Some(program) => program.canonicalize()?,
        None => build()?,
    };
    install_browser()?;
    let sources = workspace().join("xtask/browser");
    let target = workspace().join("target");
    let directory = target.join("browser");
    let packages = install_packages(&sources, &directory)?;
    let service = Service::start(&program, &directory)?;
    let failures = directory.join("failures");
    if failures.exists() {
        fs::remove_dir_all(&failures)?;
    }
    let mut command = Command::new("node");
    command.arg(sources.join("run.mjs")).arg(what.name()).args(&arguments.only);
    command.envs(service.variables()?);
    command.env("VECFERRY_PROGRAM", &program);
    command.env("VECFERRY_BROWSER_PACKAGES", packages);
    command.env("VECFERRY_CHROMIUM", CHROMIUM);
    command.env("VECFERRY_FAILURES", &failures);
    command.env("VECFERRY_SCREENSHOTS", target.join("screenshots"));
    let is_good = command.stdin(Stdio::null()).status().map_err(|error| format!("node: {error}"))?.success();
    service.end()?;
    if is_good {
        return Ok(());
    }
    output::note(&last_lines(&directory.join("service.log")));
    if failures.exists() {
        output::note(&format!("pictures of what failed: {}", failures.display()));
    }
    Err("not all is as it must be in the browser".into())
}

/// Chromium and a Chinese font, from Debian where that is possible.
fn install_browser() -> Result<(), Failure> {
    if [CHROMIUM, FONT].iter().all(|path| Path::new(path).exists()) {
        return Ok(());
    }
    let packages = DEBIAN_PACKAGES.join(" ");
    if !rustix::process::geteuid().is_root() {
        return Err(
            format!("a browser or a font is missing: run `apt-get install {packages}` as root").into()
        );
    }
    output::note(&format!("installing {packages}"));
    for arguments in [&["update"][..], &["install", "--yes", "--no-install-recommends"]] {
        let mut command = Command::new("apt-get");
        command.args(arguments).arg("--quiet").env("DEBIAN_FRONTEND", "noninteractive");
        if arguments.len() > 1 {
            command.args(DEBIAN_PACKAGES);
        }
        if !command.stdout(Stdio::null()).status()?.success() {
            return Err(format!("`apt-get` could not install {packages}").into());
        }
    }
    Ok(())
}

/// Installs what `package-lock.json` names, where that is not done yet. Returns a file beside the packages, from where Node
/// finds them.
fn install_packages(sources: &Path, directory: &Path) -> Result<PathBuf, Failure> {
    fs::create_dir_all(directory)?;
    let lock = fs::read(sources.join("package-lock.json"))?;
    let package = directory.join("package.json");
    // Written last: what was interrupted is done again.
    let done = directory.join("installed.json");
    if fs::read(&done).is_ok_and(|installed| installed == lock) {
        return Ok(package);
    }
    fs::copy(sources.join("package.json"), &package)?;
    fs::write(directory.join("package-lock.json"), &lock)?;
    let mut command = Command::new("npm");
    command.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(directory);
    let status = command.stdout(Stdio::null()).status().map_err(|error| format!("npm: {error}"))?;
    if !status.success() {
        return Err("`npm ci` could not install the packages of xtask/browser".into());
    }
    fs::write(done, lock)?;
    Ok(package)
}

/// The last lines of a log.
fn last_lines(path: &Path) -> String {
    let log = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

/// A demonstration of the service. It and its servers end when this is dropped.
struct Service {
    child: Child,
    told: Value,
}

impl Service {
    fn start(program: &Path, directory: &Path) -> Result<Self, Failure> {
        let log = fs::File::create(directory.join("service.log"))?;
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("VECFERRY_SERVE_") {
                command.env_remove(&name);
            }
        }
        for name in ["VECFERRY_STORE", "VECFERRY_KEY", "VECFERRY_STATE_DIR"] {
            command.env_remove(name);
        }
        command.args(["serve", "--demo", "--json", "--lang", "en", "--listen", "127.0.0.1:0"]).args(LIMITS);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn()?;
        let mut service = Self { child, told: Value::Null };
        let stdout = service.child.stdout.take().ok_or("the service has no output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let told: Value = serde_json::from_str(&line).unwrap_or_default();
        if told["event"] != "listening" {
            let log = last_lines(&directory.join("service.log"));
            return Err(format!("the service does not start: {line}\n{log}").into());
        }
        service.told = told;
        Ok(service)
    }

    /// What it told at its start, for the tests.
    fn variables(&self) -> Result<Vec<(&'static str, String)>, Failure> {
        let (source, target) = (&self.told["demo"][0], &self.told["demo"][1]);
        [
            ("VECFERRY_URL", &self.told["url"]),
            ("VECFERRY_LINK", &self.told["sign_in_link"]),
            ("VECFERRY_SOURCE", &source["address"]),
            ("VECFERRY_TARGET", &target["address"]),
            ("VECFERRY_CREDENTIAL", &source["credential"]),
        ]
        .into_iter()
        .map(|(name, value)| match value.as_str() {
            Some(text) => Ok((name, text.to_owned())),
            None => Err(format!("the service does not tell {name}").into()),
        })
        .collect()
    }

    /// Ends it and its servers. It must still run.
    fn end(mut self) -> Result<(), Failure> {
        match self.child.try_wait()? {
            Some(status) => Err(format!("the service ended: {status}").into()),
            None => {
                self.stop();
                Ok(())
            }
        }
    }

    fn stop(&mut self) {
        // It may be over.
        let process = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(process, rustix::process::Signal::TERM);
        let until = Instant::now() + END_MAX;
        while Instant::now() < until {
            match self.child.try_wait() {
                Ok(Some(_)) | Err(_) => return,
                Ok(None) => std::thread::sleep(END_INTERVAL),
            }
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.stop();
        }
    }
}
