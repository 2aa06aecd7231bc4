//! `serve --demo`: the service between two servers of its own, which end with it.

use std::fs;

use serde_json::{Value, json};

use crate::service::{Client, Service};

/// Processes that a process started, and those that these started.
fn descendants(process: u32) -> Vec<u32> {
    let all: Vec<_> =
        fs::read_dir("/proc").unwrap().filter_map(|entry| parent_of(entry.unwrap().path())).collect();
    let mut found = vec![process];
    let mut looked = 0;
    while let Some(parent) = found.get(looked).copied() {
        found.extend(all.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        looked += 1;
    }
    found.split_off(1)
}

/// A process with the one that started it; none for what is no process, or is over.
fn parent_of(path: std::path::PathBuf) -> Option<(u32, u32)> {
    let process = path.file_name()?.to_str()?.parse().ok()?;
    let status = fs::read_to_string(path.join("stat")).ok()?;
    // The name stands in parentheses and may hold any.
    let parent = status.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
    Some((process, parent))
}

/// Name, status and plan of each cluster, and their IDs.
#[track_caller]
fn clusters(client: &Client) -> (Value, Vec<String>) {
    let clusters = client.get("/v2/clusters").data()["clusters"].take();
    let shown = |cluster: &Value| json!([cluster["clusterName"], cluster["status"], cluster["plan"]]);
    let list = clusters.as_array().unwrap();
    let ids = list.iter().map(|cluster| cluster["clusterId"].as_str().unwrap().to_owned());
    (list.iter().map(shown).collect(), ids.collect())
}

#[test]
fn the_service_comes_with_two_clusters_that_end_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let both = json!([["demo-source", "RUNNING", "self-hosted"], ["demo-target", "RUNNING", "self-hosted"]]);
    let arguments = ["--demo", "--allow-network", "10.0.0.0/8"];
    let mut service = Service::start(directory.path(), &arguments, &[]);
    let owner = service.owner();
    let (shown, ids) = clusters(&owner);
    assert_eq!(shown, both);
    let everything = json!({"source": {"clusterId": ids[0]}, "destination": {"clusterId": ids[1]}});
    let job = owner.migrate(everything);
    owner.wait_for(&job, "SUCCESSFUL");
    let details = owner.get(&format!("/v2/jobs/{job}/details")).data();
    assert_eq!(details["progress"]["collections_done"], 4, "{details:#}");

    let processes = descendants(service.process());
    assert!(processes.len() >= 3, "a supervisor and two servers: {processes:?}");
    service.end();
    let left: Vec<_> = processes.iter().filter(|id| fs::exists(format!("/proc/{id}")).unwrap()).collect();
    assert!(left.is_empty(), "they still run: {left:?}");

    // The next start has other servers, which take the place of the first ones.
    let again = Service::start(directory.path(), &arguments, &[]);
    let owner = owner.at(&again);
    let (shown, new) = clusters(&owner);
    assert_eq!(shown, both);
    assert!(new.iter().all(|id| !ids.contains(id)), "{new:?} {ids:?}");
}
