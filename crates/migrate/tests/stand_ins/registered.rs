//! What a caller needs that registers clusters and jobs before it runs migrations.

use std::net::SocketAddr;

use tokio_util::sync::CancellationToken;
use vecferry_migrate::rbac::Passwords;
use vecferry_migrate::{Code, Lang, MigrateRequest, Migration, RbacRequest, RbacUsers, version_of};
use vecferry_milvus::{Endpoint, Flavor, Secret};
use vecferry_store::{JobId, sqlite};
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::access::Access;
use vecferry_testkit::stand_in::generate::plain;
use vecferry_testkit::stand_in::{Key, Options, Version};

use super::{assert_arrived, assert_successful, carry_out, endpoint, request};

fn pair() -> (StandIn, StandIn) {
    let servers = (StandIn::start(Options::new(Version::V2_6)), StandIn::start(Options::new(Version::V2_6)));
    servers.0.add(&plain("books", false, &[("_default", (0..9).map(Key::Long).collect())]));
    servers
}

/// A server under a name that does not resolve.
fn pinned(server: &StandIn, host: &str) -> Endpoint {
    let address: SocketAddr = server.uri().trim_start_matches("http://").parse().unwrap();
    Endpoint::parse(&format!("http://{host}")).unwrap().at(vec![address])
}

#[tokio::test]
async fn a_job_has_the_id_that_it_was_given() {
    let (source, target) = pair();
    let state = tempfile::tempdir().unwrap();
    let store = sqlite::open(state.path()).unwrap();
    let (given, late) = (JobId::generate(), JobId::generate());
    let migration = Migration::prepare(request(&source, &target)).await.unwrap();
    let mut migration = migration.with_job_id(given.clone());
    let created = migration.create(&*store, &CancellationToken::new()).await.unwrap();
    assert_eq!(created, given);
    // It is recorded; another ID would be another job's.
    let mut migration = migration.with_job_id(late.clone());
    assert_eq!(migration.create(&*store, &CancellationToken::new()).await.unwrap(), given);
    let report = carry_out(migration, state.path()).await;
    assert_eq!(report.job_id, given);
    assert_successful(&report, "with an ID");
    assert!(store.job(&late).await.is_err());

    // The same of a job that is created when it runs.
    let request = MigrateRequest {
        target_dbs: [("default".to_owned(), "again".to_owned())].into(),
        ..request(&source, &target)
    };
    let migration = Migration::prepare(request).await.unwrap().with_job_id(late.clone());
    let report = carry_out(migration, state.path()).await;
    assert_eq!(report.job_id, late);
}

/// The file for new passwords is named after the job, unless the caller named it.
#[tokio::test]
async fn the_file_for_passwords_follows_the_id() {
    let (source, target) = pair();
    source.set_access(Access::default().with_user("ann", "Pass.1234", &[]));
    let directory = tempfile::tempdir().unwrap();
    let job_id = JobId::generate();
    let named = directory.path().join("users.json");
    let of_job = directory.path().join(format!("{job_id}.json"));
    for (users_file, expected) in [(None, of_job), (Some(named.clone()), named)] {
        let rbac =
            RbacRequest { users: RbacUsers::Create, users_file, users_dir: directory.path().to_owned() };
        let request = MigrateRequest { rbac: Some(rbac), ..request(&source, &target) };
        let migration = Migration::prepare(request).await.unwrap().with_job_id(job_id.clone());
        let rbac = migration.plan().rbac.as_ref().unwrap();
        assert_eq!(rbac.passwords, Passwords::Generated);
        assert_eq!(rbac.users_file.as_ref(), Some(&expected));
    }
}

#[tokio::test]
async fn a_job_reaches_clusters_by_addresses_resolved_beforehand() {
    let (source, target) = pair();
    let request =
        MigrateRequest::new(pinned(&source, "source.invalid:1"), pinned(&target, "target.invalid:1"));
    let migration = Migration::prepare(request).await.unwrap();
    let state = tempfile::tempdir().unwrap();
    let report = carry_out(migration, state.path()).await;
    assert_successful(&report, "pinned");
    assert_eq!(report.source.address, "http://source.invalid:1");
    assert_arrived(&source, &target, "books", "pinned");
}

#[tokio::test]
async fn a_cluster_is_asked_what_it_is() {
    let (one, other) = pair();
    let asked = version_of(&pinned(&one, "one.invalid:1")).await.unwrap();
    assert_eq!(asked.address, "http://one.invalid:1");
    assert_eq!((asked.version.flavor, asked.version.release), (Flavor::Milvus, Some((2, 6))));
    // The same cluster under another name, and another cluster.
    let identity = asked.identity.unwrap();
    assert_eq!(version_of(&endpoint(&one)).await.unwrap().identity, Some(identity.clone()));
    let of_other = version_of(&endpoint(&other)).await.unwrap().identity.unwrap();
    assert_ne!(of_other, identity);
}

#[tokio::test]
async fn a_cluster_that_can_not_be_asked_is_no_source_and_no_target() {
    let locked = StandIn::start(Options { authorization: true, ..Options::new(Version::V2_6) });
    let with = |token: &str| endpoint(&locked).with_token(Some(Secret::new(token)));
    version_of(&with("root:Milvus")).await.unwrap();
    let problem = version_of(&with("root:wrong-word")).await.unwrap_err();
    assert_eq!(problem.code, Code::Unauthenticated);
    assert!(problem.what(Lang::En).starts_with("the cluster rejects the credentials"), "{problem}");
    assert!(problem.what(Lang::Zh).starts_with("集群拒绝了凭证"), "{}", problem.what(Lang::Zh));
    assert!(!format!("{problem:?}").contains("wrong-word"));

    let problem = version_of(&Endpoint::parse("http://one.invalid:1").unwrap().at(Vec::new())).await;
    let problem = problem.unwrap_err();
    assert_eq!(problem.code, Code::NoAnswer);
    assert!(problem.what(Lang::En).starts_with("the cluster does not answer"), "{problem}");
    assert!(problem.what(Lang::Zh).starts_with("集群没有响应"), "{}", problem.what(Lang::Zh));
}
