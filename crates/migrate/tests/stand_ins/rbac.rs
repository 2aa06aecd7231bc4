//! Roles and users between releases that no package can be had of, whose servers have privilege groups.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use vecferry_migrate::rbac::{Method, Passwords};
use vecferry_migrate::{
    JobState, MigrateRequest, Migration, PlanFile, RbacRequest, RbacUsers, Report, Resumed, cancel,
};
use vecferry_store::sqlite;
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::access::Access;
use vecferry_testkit::stand_in::generate::plain;
use vecferry_testkit::stand_in::{Key, Options, Version};

use super::{Silent, assert_arrived, assert_successful, carry_out, endpoint, request};

fn text(text: &str) -> String {
    text.to_owned()
}

fn grant(role: &str, name: &str, privilege: &str) -> (String, String, String, String, String) {
    (text(role), text("Collection"), text(name), text(privilege), text("default"))
}

/// A source with users, and a target.
fn pair() -> (StandIn, StandIn) {
    let (source, target) =
        (StandIn::start(Options::new(Version::V2_5)), StandIn::start(Options::new(Version::V2_6)));
    source.add(&plain("books", false, &[("_default", (0..9).map(Key::Long).collect())]));
    source.set_access(Access {
        users: vec![
            (text("ann"), text("$2a$10$hash-of-ann"), vec![text("reader"), text("admin")]),
            (text("bob"), text("$2a$10$hash-of-bob"), vec![]),
        ],
        roles: vec![text("reader"), text("idle")],
        grants: vec![
            grant("reader", "books", "Query"),
            // Servers say `Global` of a privilege group, whatever it is granted on.
            (text("reader"), text("Global"), text("books"), text("readers"), text("default")),
        ],
        groups: vec![(text("readers"), vec![text("Query"), text("Search")])],
    });
    (source, target)
}

fn with_rbac(source: &StandIn, target: &StandIn, directory: &Path) -> MigrateRequest {
    let mut request = request(source, target);
    request.rbac = Some(RbacRequest {
        users: RbacUsers::Create,
        users_file: Some(directory.join("users.json")),
        users_dir: directory.to_owned(),
    });
    request
}

async fn migrated(source: &StandIn, target: &StandIn, directory: &Path) -> Report {
    let migration = Migration::prepare(with_rbac(source, target, directory)).await.unwrap();
    let report = carry_out(migration, directory).await;
    assert_successful(&report, "roles and users");
    assert_arrived(source, target, "books", "roles and users");
    report
}

/// All of it, in one order, without the passwords.
fn sorted(server: &StandIn) -> Access {
    let mut access = server.access();
    for (_, hash, roles) in &mut access.users {
        hash.clear();
        roles.sort();
    }
    access.users.sort();
    access.roles.sort();
    access.grants.sort();
    access
}

/// The stand-ins fail the test if a call arrives that no real server was seen to take, such as `RestoreRBAC`.
#[tokio::test]
async fn a_new_target_gets_everything_one_by_one_and_users_get_new_passwords() {
    let (source, target) = pair();
    let mut access = source.access();
    access.grants.extend([
        (text("reader"), text("Global"), text("*"), text("readers"), text("*")),
        (text("reader"), text("Global"), text("*"), text("DescribeCollection"), text("default")),
        (text("idle"), text("Global"), text("*"), text("CreateDatabase"), text("*")),
    ]);
    source.set_access(access);
    let directory = tempfile::tempdir().unwrap();
    let report = migrated(&source, &target, directory.path()).await.rbac.unwrap();
    assert_eq!((report.method, report.passwords), (Method::SingleCalls, Passwords::Generated));
    assert_eq!((report.users.made, report.roles.made, report.privilege_groups.made), (2, 2, 1));
    assert_eq!(sorted(&source), sorted(&target));
    assert!(target.access().users.iter().all(|(_, hash, _)| !hash.contains("hash-of")));
    assert!(directory.path().join("users.json").exists());
}

#[tokio::test]
async fn what_a_job_made_is_removed_one_by_one() {
    let (source, target) = pair();
    let directory = tempfile::tempdir().unwrap();
    let report = migrated(&source, &target, directory.path()).await;
    let store = sqlite::open(directory.path()).unwrap();
    let canceled =
        cancel(&*store, &report.job_id, Some(endpoint(&source)), Some(endpoint(&target)), true).await;
    assert!(canceled.is_ok(), "{canceled:#?}");
    assert_eq!(target.access(), Access::default());
}

/// As a version before this one wrote it: with its own hash over everything else.
fn planned_to_restore(file: &PlanFile) -> String {
    let mut document: serde_json::Value = serde_json::from_str(&file.to_text()).unwrap();
    document["plan"]["rbac"]["method"] = "restore".into();
    document["plan"]["rbac"]["passwords"] = "kept".into();
    document["plan"]["rbac"]["users_file"] = serde_json::Value::Null;
    document.as_object_mut().unwrap().remove("content_hash");
    let digest = Sha256::digest(document.to_string().as_bytes());
    let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    document["content_hash"] = format!("sha256:{hash}").into();
    document.to_string()
}

#[tokio::test]
async fn a_plan_that_restores_is_refused() {
    let (source, target) = pair();
    let directory = tempfile::tempdir().unwrap();
    let migration = Migration::prepare(with_rbac(&source, &target, directory.path())).await.unwrap();
    let text = planned_to_restore(&migration.plan_file().unwrap());
    let file = PlanFile::read(Path::new("plan.json"), &text).unwrap();
    let prepared = Migration::prepare_planned(file, endpoint(&source), endpoint(&target), 0.0, None).await;
    let problems = prepared.err().unwrap();
    assert_eq!(problems.iter().map(|problem| problem.code.to_string()).collect::<Vec<_>>(), ["VF-0707"]);
}

#[tokio::test]
async fn a_job_that_was_to_restore_copies_the_rows_and_says_what_it_does_not_do() {
    let (source, target) = pair();
    let state = tempfile::tempdir().unwrap();
    let migration = Migration::prepare(with_rbac(&source, &target, state.path())).await.unwrap();
    let job = {
        let store = sqlite::open(state.path()).unwrap();
        let canceled = CancellationToken::new();
        canceled.cancel();
        migration.run(&store, Arc::new(Silent), canceled).await.unwrap().job_id
    };
    let edit = r#"
import sqlite3, sys
store = sqlite3.connect(sys.argv[1])
changed = store.execute("""UPDATE jobs SET plan = replace(replace(plan, '"method":"single_calls"', '"method":"restore"'),
    '"passwords":"generated"', '"passwords":"kept"') WHERE plan LIKE '%"method":"single_calls"%'""").rowcount
store.commit()
assert changed == 1, changed
"#;
    let files = std::fs::read_dir(state.path()).unwrap().map(|entry| entry.unwrap().path());
    let file = files.into_iter().find(|path| path.ends_with("ledger.sqlite3")).unwrap();
    assert!(Command::new("python3").args(["-c", edit]).arg(file).status().unwrap().success());

    let store = sqlite::open(state.path()).unwrap();
    let resumed = Migration::resume(&*store, &job, endpoint(&source), endpoint(&target)).await.unwrap();
    let Resumed::Ready(resumed) = resumed else { panic!("it was not done") };
    let report = resumed.run(&store, Arc::new(Silent), CancellationToken::new()).await.unwrap();
    assert_eq!(report.state, JobState::Failed);
    let codes: Vec<_> = report.problems.iter().map(|problem| problem.code.to_string()).collect();
    assert_eq!(codes, ["VF-0708"], "{:#?}", report.problems);
    assert_arrived(&source, &target, "books", "the rows");
    assert_eq!(target.access(), Access::default());
}

#[tokio::test]
async fn a_target_with_roles_of_its_own_keeps_them_and_gets_the_others_one_by_one() {
    let (source, target) = pair();
    source.set_access(Access {
        groups: vec![],
        grants: vec![grant("reader", "books", "Query")],
        ..source.access()
    });
    target.set_access(Access { roles: vec![text("its_own")], ..Access::default() });
    let directory = tempfile::tempdir().unwrap();
    let report = migrated(&source, &target, directory.path()).await.rbac.unwrap();
    assert_eq!((report.method, report.passwords), (Method::SingleCalls, Passwords::Generated));
    let access = target.access();
    assert!(access.roles.contains(&text("its_own")) && access.roles.contains(&text("reader")), "{access:?}");
    assert!(access.users.iter().all(|(_, hash, _)| !hash.contains("hash-of")), "{access:?}");
    assert!(directory.path().join("users.json").exists());
}
