//! Whether every dependency has a licence of the list in `deny.toml`, and comes from crates.io. Works without the network:
//! the dependencies of this platform were fetched for the build.

use std::collections::BTreeSet;
use std::process::Command;

use serde::Deserialize;
use spdx::{Expression, LicenseReq, ParseMode};

use crate::{Failure, output};

/// Where Cargo says that a package of crates.io is from, whichever mirror it was fetched from.
const CRATES_IO: [&str; 2] =
    ["registry+https://github.com/rust-lang/crates.io-index", "sparse+https://index.crates.io/"];

/// What this reads of `deny.toml`.
#[derive(Deserialize)]
struct Rules {
    licenses: Licenses,
}

#[derive(Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
}

/// What this reads of `cargo metadata`.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    /// None for crates of this workspace.
    source: Option<String>,
    license: Option<String>,
}

/// What is built on this platform.
#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
}

/// Names everything that is not as it should be.
pub(crate) fn run() -> Result<(), Failure> {
    let rules: Rules = toml::from_str(&std::fs::read_to_string("deny.toml")?)?;
    let metadata = metadata()?;
    let faults = faults(&rules, &metadata)?;
    faults.iter().for_each(|fault| output::note(fault));
    match faults.len() {
        0 => {
            output::note(&format!("{} dependencies are as deny.toml says", foreign(&metadata).count()));
            Ok(())
        }
        faults => Err(format!("{faults} faults; see deny.toml").into()),
    }
}

fn metadata() -> Result<Metadata, Failure> {
    let rustc = Command::new("rustc").arg("-vV").output()?;
    let text = String::from_utf8(rustc.stdout)?;
    let platform = text.lines().find_map(|line| line.strip_prefix("host: "));
    let platform = platform.ok_or("rustc does not name its platform")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let told = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", platform])
        .output()?;
    if !told.status.success() {
        return Err(String::from_utf8_lossy(&told.stderr).into_owned().into());
    }
    Ok(serde_json::from_slice(&told.stdout)?)
}

/// Packages of others that are built here.
fn foreign(metadata: &Metadata) -> impl Iterator<Item = (&Package, &str)> {
    let built: BTreeSet<&str> = metadata.resolve.nodes.iter().map(|node| node.id.as_str()).collect();
    let packages = metadata.packages.iter().filter(move |package| built.contains(package.id.as_str()));
    packages.filter_map(|package| Some((package, package.source.as_deref()?)))
}

fn faults(rules: &Rules, metadata: &Metadata) -> Result<Vec<String>, Failure> {
    let (mut faults, mut used) = (Vec::new(), BTreeSet::new());
    for (package, source) in foreign(metadata) {
        let named = format!("{} {}", package.name, package.version);
        if !CRATES_IO.contains(&source) {
            faults.push(format!("{named} comes from {source}"));
        }
        let Some(license) = &package.license else {
            faults.push(format!("{named} names no licence"));
            continue;
        };
        let expression = Expression::parse_mode(license, ParseMode::LAX)?;
        let is_allowed = |requirement: &LicenseReq| {
            let name = requirement.to_string();
            let allowed = rules.licenses.allow.contains(&name);
            if allowed {
                used.insert(name);
            }
            allowed
        };
        if !expression.evaluate(is_allowed) {
            faults.push(format!("{named} is under {license}"));
        }
    }
    let unused = rules.licenses.allow.iter().filter(|name| !used.contains(*name));
    faults.extend(unused.map(|name| format!("no dependency needs {name} to be allowed")));
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(packages: serde_json::Value) -> Vec<String> {
        let rules: Rules = toml::from_str("[licenses]\nallow = ['MIT', 'ISC']").unwrap();
        let ids: Vec<_> = packages.as_array().unwrap().iter().map(|package| package["id"].clone()).collect();
        let nodes: Vec<_> = ids.into_iter().map(|id| serde_json::json!({ "id": id })).collect();
        let metadata = serde_json::json!({ "packages": packages, "resolve": { "nodes": nodes } });
        faults(&rules, &serde_json::from_value(metadata).unwrap()).unwrap()
    }

    fn package(name: &str, source: Option<&str>, license: Option<&str>) -> serde_json::Value {
        serde_json::json!({ "id": name, "name": name, "version": "1.0.0", "source": source, "license": license })
    }

    #[test]
    fn licences_sources_and_what_is_allowed_for_nothing_are_named() {
        let crates_io = Some(CRATES_IO[0]);
        let good = [
            package("ours", None, None),
            package("either", crates_io, Some("GPL-3.0 OR MIT")),
            package("older", crates_io, Some("MIT/Apache-2.0")),
            package("isc", crates_io, Some("ISC")),
        ];
        assert_eq!(found(serde_json::json!(good)), [""; 0]);
        let bad = [
            package("copyleft", crates_io, Some("GPL-3.0-only AND MIT")),
            package("git", Some("git+https://example.com/x"), Some("MIT")),
            package("silent", crates_io, None),
        ];
        assert_eq!(
            found(serde_json::json!(bad)),
            [
                "copyleft 1.0.0 is under GPL-3.0-only AND MIT",
                "git 1.0.0 comes from git+https://example.com/x",
                "silent 1.0.0 names no licence",
                "no dependency needs ISC to be allowed",
            ]
        );
    }
}
