//! Roles and users by the servers' own backup and restore, which no real server here has.

use std::path::Path;

use vecferry_migrate::rbac::{Method, Passwords};
use vecferry_migrate::{Migration, RbacRequest, RbacUsers, Report};
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::access::Access;
use vecferry_testkit::stand_in::generate::plain;
use vecferry_testkit::stand_in::{Key, Options, Version};

use super::{assert_arrived, assert_successful, carry_out, request};

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
        grants: vec![grant("reader", "books", "Query"), grant("reader", "*", "readers")],
        groups: vec![(text("readers"), vec![text("Query"), text("Search")])],
    });
    (source, target)
}

async fn migrated(source: &StandIn, target: &StandIn, directory: &Path) -> Report {
    let mut request = request(source, target);
    request.rbac = Some(RbacRequest {
        users: RbacUsers::Create,
        users_file: Some(directory.join("users.json")),
        users_dir: directory.to_owned(),
    });
    let migration = Migration::prepare(request).await.unwrap();
    let report = carry_out(migration, directory).await;
    assert_successful(&report, "roles and users");
    assert_arrived(source, target, "books", "roles and users");
    report
}

#[tokio::test]
async fn a_new_target_gets_everything_at_once_with_the_passwords_of_the_source() {
    let (source, target) = pair();
    let directory = tempfile::tempdir().unwrap();
    let report = migrated(&source, &target, directory.path()).await.rbac.unwrap();
    assert_eq!((report.method, report.passwords), (Method::Restore, Passwords::Kept));
    assert_eq!((report.users.made, report.roles.made, report.privilege_groups.made), (2, 2, 1));
    let sorted = |server: &StandIn| {
        let mut access = server.access();
        access.users.iter_mut().for_each(|(.., roles)| roles.sort());
        access.users.sort();
        access.roles.sort();
        access.grants.sort();
        access
    };
    assert_eq!(sorted(&source), sorted(&target));
    assert!(!directory.path().join("users.json").exists(), "no password was made");
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
