//! Users who see a part of the source: its lists are short without a word, and some calls are denied.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use vecferry_migrate::capacity::{CapacityReport, CapacityRequest, capacity};
use vecferry_migrate::precheck::{CheckId, Outcome};
use vecferry_migrate::{
    Code, Lang, MigrateRequest, Migration, PlanFile, PreCheck, Problem, RbacRequest, RbacUsers, RepairScope,
    Report, Selection, VerifyLevel, VerifyRequest, verify,
};
use vecferry_milvus::{Endpoint, Secret};
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::access::{Access, GrantRow};
use vecferry_testkit::stand_in::generate::plain;
use vecferry_testkit::stand_in::{Key, Options, Version};

use super::{Silent, assert_arrived, assert_successful, carry_out, endpoint};

const VERSIONS: [Version; 2] = [Version::V2_5, Version::V2_6];
const PASSWORD: &str = "Pass.1234";
/// What a copy needs of a collection.
const READ: [&str; 4] = ["Query", "GetLoadState", "ShowPartitions", "GetStatistics"];

fn grants(role: &str, collection: &str, privileges: &[&str], db: &str) -> Vec<GrantRow> {
    let one = |privilege: &&str| {
        let text = str::to_owned;
        (text(role), text("Collection"), text(collection), text(privilege), text(db))
    };
    privileges.iter().map(one).collect()
}

/// A source with users, and two collections of which `half` sees one.
fn source(version: Version) -> StandIn {
    let source = StandIn::start(Options { authorization: true, ..Options::new(version) });
    for name in ["books", "films"] {
        source.add(&plain(name, false, &[("_default", (0..9).map(Key::Long).collect()), ("more", vec![])]));
    }
    let access = Access {
        roles: ["half", "blind", "reader", "cluster"].map(str::to_owned).to_vec(),
        grants: [
            grants("half", "books", &READ, "default"),
            grants("blind", "*", &["Query", "GetLoadState", "GetStatistics"], "*"),
            grants("reader", "*", &READ, "*"),
            vec![("cluster".into(), "Global".into(), "*".into(), "ClusterReadOnly".into(), "*".into())],
        ]
        .concat(),
        ..Access::default()
    };
    source.set_access(
        access
            .with_user("half", PASSWORD, &["half"])
            .with_user("none", PASSWORD, &[])
            .with_user("blind", PASSWORD, &["blind"])
            .with_user("reader", PASSWORD, &["reader"])
            .with_user("cluster", PASSWORD, &["half", "cluster"])
            .with_user("boss", PASSWORD, &["admin"]),
    );
    source
}

fn as_user(server: &StandIn, user: &str) -> Endpoint {
    let token = if user == "root" { "root:Milvus".to_owned() } else { format!("{user}:{PASSWORD}") };
    endpoint(server).with_token(Some(Secret::new(token)))
}

fn target() -> StandIn {
    StandIn::start(Options::new(Version::V2_6))
}

fn request(source: &StandIn, user: &str, target: &StandIn) -> MigrateRequest {
    MigrateRequest::new(as_user(source, user), endpoint(target))
}

fn named(names: &[&str]) -> Selection {
    Selection::parse(names, &[]).unwrap()
}

async fn checked(request: MigrateRequest) -> PreCheck {
    Migration::check(request, None).await
}

fn outcome(check: &PreCheck, id: CheckId) -> Outcome {
    check.checks.iter().find(|check| check.id == id).unwrap().outcome
}

fn codes(problems: &[Problem]) -> Vec<Code> {
    problems.iter().map(|problem| problem.code).collect()
}

async fn compare(
    source: &StandIn,
    user: &str,
    target: &StandIn,
    selection: Selection,
    visible_only: bool,
) -> Result<Report, Vec<Problem>> {
    let request = VerifyRequest {
        source: as_user(source, user),
        target: endpoint(target),
        selection,
        visible_only,
        target_dbs: BTreeMap::new(),
        level: VerifyLevel::Full,
        repair: RepairScope::Nothing,
    };
    verify(request, Arc::new(Silent), CancellationToken::new()).await
}

async fn sizes(
    source: &StandIn,
    user: &str,
    selection: Selection,
    visible_only: bool,
) -> Result<CapacityReport, Vec<Problem>> {
    let request = CapacityRequest { source: as_user(source, user), selection, visible_only };
    capacity(request).await.map(|(_, report)| report)
}

#[tokio::test]
async fn everything_is_refused_to_who_sees_a_part_or_nothing() {
    for version in VERSIONS {
        let (source, target) = (source(version), target());
        for user in ["half", "none", "cluster"] {
            for selection in [Selection::default(), named(&["*"]), named(&["books", "default.*"])] {
                let context = format!("{version:?} {user} {selection:?}");
                let wanted =
                    MigrateRequest { selection: selection.clone(), ..request(&source, user, &target) };
                let found = checked(wanted).await;
                assert_eq!(codes(&found.refusals), [Code::NotEverythingSeen], "{context}");
                assert_eq!(outcome(&found, CheckId::Visibility), Outcome::Fail, "{context}");
                for lang in [Lang::En, Lang::Zh] {
                    let what = found.refusals[0].what(lang);
                    assert!(what.contains(&format!("`{user}`")), "{what}");
                }
                let refused = compare(&source, user, &target, selection.clone(), false).await.unwrap_err();
                assert_eq!(codes(&refused), [Code::NotEverythingSeen], "{context}");
                let refused = sizes(&source, user, selection, false).await.unwrap_err();
                assert_eq!(codes(&refused), [Code::NotEverythingSeen], "{context}");
            }
        }
        assert_eq!(target.names("default").0, Vec::<String>::new());
    }
}

#[tokio::test]
async fn what_a_user_sees_is_taken_if_that_is_meant_and_the_report_says_so() {
    for version in VERSIONS {
        let (source, target) = (source(version), target());
        let directory = tempfile::tempdir().unwrap();
        let wanted = MigrateRequest { visible_only: true, ..request(&source, "half", &target) };
        let found = checked(wanted).await;
        assert_eq!(outcome(&found, CheckId::Visibility), Outcome::Warn, "{version:?}");
        let migration = found.into_result().unwrap();
        // The plan names its collections; carried out from a file, it still says that it left some out.
        let file = migration.plan_file().unwrap();
        let file = PlanFile::read(directory.path(), &file.to_text()).unwrap();
        let (of_source, of_target) = (as_user(&source, "half"), endpoint(&target));
        let migration = Migration::prepare_planned(file, of_source, of_target, 0.0, None).await.unwrap();
        let report = carry_out(migration, directory.path()).await;
        assert_successful(&report, "half");
        assert_eq!(target.names("default").0, ["books"]);
        let sentences: Vec<_> =
            report.warnings.iter().filter(|warning| warning.code == Code::VisibleOnly).collect();
        assert_eq!(sentences.len(), 1, "{:?}", report.warnings);
        assert!(sentences[0].what(Lang::En).contains("only what user `half` sees"), "{}", sentences[0]);
        assert!(sentences[0].what(Lang::Zh).contains("只包含用户 `half` 能看到的内容"), "{}", sentences[0]);

        let report = compare(&source, "half", &target, Selection::default(), true).await.unwrap();
        assert_eq!(codes(&report.warnings), [Code::VisibleOnly]);
        assert_eq!(report.collections.len(), 1);
        let report = sizes(&source, "half", Selection::default(), true).await.unwrap();
        assert_eq!((codes(&report.warnings), report.collections.len()), (vec![Code::VisibleOnly], 1));

        let wanted = MigrateRequest { visible_only: true, ..request(&source, "none", &target) };
        assert_eq!(codes(&checked(wanted).await.refusals), [Code::NothingSelected]);
    }
}

#[tokio::test]
async fn collections_that_are_named_need_no_list() {
    for version in VERSIONS {
        let (source, target) = (source(version), target());
        let directory = tempfile::tempdir().unwrap();
        let wanted = MigrateRequest { selection: named(&["books"]), ..request(&source, "half", &target) };
        let found = checked(wanted).await;
        assert_eq!(outcome(&found, CheckId::Visibility), Outcome::NotApplicable);
        let report = carry_out(found.into_result().unwrap(), directory.path()).await;
        assert_successful(&report, "named");
        assert!(!codes(&report.warnings).contains(&Code::VisibleOnly));
        let report = compare(&source, "half", &target, named(&["books"]), false).await.unwrap();
        assert_successful(&report, "named");
        assert_eq!(sizes(&source, "half", named(&["books"]), false).await.unwrap().rows, 9);
        for (name, code) in [("nothing", Code::UnknownCollection), ("nowhere.books", Code::UnknownDatabase)] {
            let wanted = MigrateRequest { selection: named(&[name]), ..request(&source, "reader", &target) };
            assert_eq!(codes(&checked(wanted).await.refusals), [code], "{name}");
        }
    }
}

#[tokio::test]
async fn a_denied_call_is_a_refusal_that_names_the_privilege() {
    for version in VERSIONS {
        let (source, target) = (source(version), target());
        let is_named = |problems: &[Problem], context: &str| {
            assert_eq!(codes(problems), [Code::PermissionDenied], "{context}");
            let what = problems[0].what(Lang::En);
            assert!(what.contains("`ShowPartitions` on `default.books`"), "{context}: {what}");
        };
        for selection in [Selection::default(), named(&["books"])] {
            let wanted =
                MigrateRequest { selection: selection.clone(), ..request(&source, "blind", &target) };
            let found = checked(wanted).await;
            is_named(&found.refusals, "migrate");
            assert_eq!(outcome(&found, CheckId::Privileges), Outcome::Fail);
            is_named(
                &compare(&source, "blind", &target, selection.clone(), false).await.unwrap_err(),
                "verify",
            );
            is_named(&sizes(&source, "blind", selection, false).await.unwrap_err(), "capacity");
        }
        // The properties of a database that is to be made are asked for before the start.
        source.set_database_properties("shop", &[]);
        let wanted = MigrateRequest {
            target_dbs: [("default".to_owned(), "shop".to_owned())].into(),
            ..request(&source, "reader", &target)
        };
        let refused = checked(wanted).await.refusals;
        assert_eq!(codes(&refused), [Code::PermissionDenied]);
        assert!(refused[0].what(Lang::En).contains("`DescribeDatabase` on `default.*`"), "{}", refused[0]);
        // A user who may list no users has not found that there are none.
        let mut wanted = request(&source, "reader", &target);
        wanted.rbac =
            Some(RbacRequest { users: RbacUsers::Skip, users_file: None, users_dir: std::env::temp_dir() });
        assert_eq!(codes(&checked(wanted).await.refusals), [Code::RbacNotAllowed]);
    }
}

#[tokio::test]
async fn who_is_shown_to_see_everything_is_asked_nothing() {
    for version in VERSIONS {
        for user in ["root", "boss", "reader"] {
            let (source, target) = (source(version), target());
            let directory = tempfile::tempdir().unwrap();
            let found = checked(request(&source, user, &target)).await;
            assert_eq!(outcome(&found, CheckId::Visibility), Outcome::Pass, "{version:?} {user}");
            let report = carry_out(found.into_result().unwrap(), directory.path()).await;
            assert_successful(&report, user);
            for name in ["books", "films"] {
                assert_arrived(&source, &target, name, user);
            }
            let report = compare(&source, user, &target, Selection::default(), false).await.unwrap();
            assert_successful(&report, user);
            assert_eq!(report.collections.len(), 2);
            assert_eq!(sizes(&source, user, Selection::default(), false).await.unwrap().rows, 18);
        }
        // A server that asks nobody denies nobody: whatever the credential is.
        let (open, target) = (StandIn::start(Options::new(version)), target());
        open.add(&plain("books", false, &[("_default", vec![Key::Long(1)])]));
        for token in [None, Some("half:Pass.1234"), Some("an-api-key")] {
            let endpoint_of = endpoint(&open).with_token(token.map(Secret::new));
            let found = checked(MigrateRequest::new(endpoint_of, endpoint(&target))).await;
            assert_eq!(outcome(&found, CheckId::Visibility), Outcome::Pass, "{version:?} {token:?}");
        }
    }
}
