//! What a table says that a target can't hold is a doubt, and the target itself is asked before the first row. It has the last
//! word: what it takes arrives, what it refuses or changes is refused in its words.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use vecferry_migrate::precheck::{CheckId, Outcome};
use vecferry_migrate::{Code, JobState, Lang, MigrateRequest, Migration, Problem, VerifyLevel};
use vecferry_milvus::Endpoint;
use vecferry_milvus::proto::common::Status;
use vecferry_milvus::proto::schema::{DataType, FieldSchema};
use vecferry_milvus::schema::field;
use vecferry_store::{JobPage, sqlite};
use vecferry_testkit::StandIn;
use vecferry_testkit::fault_proxy::{Answer, Fault, FaultProxy, When};
use vecferry_testkit::stand_in::generate::{Generated, plain};
use vecferry_testkit::stand_in::{Interference, Key, Options, Seen, Value, Version};

use super::{Silent, assert_arrived, assert_successful, carry_out, endpoint, request};

fn books(partition: &str) -> Generated {
    let keys = |first: i64| (first..first + 20).map(Key::Long).collect();
    plain("books", false, &[("_default", keys(0)), (partition, keys(20))])
}

fn with_nulls() -> Generated {
    let mut made = books("p");
    made.schema.fields.push(FieldSchema { nullable: true, ..field("year", DataType::Int64, &[]) });
    for (_, columns) in &mut made.rows {
        columns.push(vec![Value::Null; columns[0].len()]);
    }
    made
}

fn servers(source: Version, target: Version, generated: &Generated) -> (StandIn, StandIn) {
    let source = StandIn::start(Options::new(source));
    source.add(generated);
    (source, StandIn::start(Options::new(target)))
}

fn of_code(problems: &[Problem], code: Code) -> Vec<&Problem> {
    problems.iter().filter(|problem| problem.code == code).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_target_takes_arrives_although_the_table_has_a_doubt() {
    let (source, _) = servers(Version::V2_5, Version::V2_5, &with_nulls());
    let target = StandIn::start(Options { called: Some("v2.4.17"), ..Options::new(Version::V2_5) });
    let wanted = MigrateRequest { verify: VerifyLevel::Full, ..request(&source, &target) };
    let checked = Migration::check(wanted, None).await;
    let mut migration = checked.migration.unwrap();
    let doubts = of_code(&migration.plan().warnings, Code::TargetMayNotHold);
    let [doubt] = doubts[..] else { panic!("{doubts:?}") };
    let what = doubt.what(Lang::En);
    let expected =
        "might not support `default.books`: it needs nullable fields (`year`), supported since 2.5";
    assert!(what.contains(expected), "{what}");
    assert!(doubt.what(Lang::Zh).contains("需要可为空的字段（`year`），该特性从 2.5 开始支持"), "{doubt}");
    for word in ["`migrate` tries this on the target", "`vecferry plan --probe-write`"] {
        assert!(doubt.hint(Lang::En).contains(word), "{doubt}");
    }
    let outcome = |migration: &Migration| {
        migration.checks().iter().find(|check| check.id == CheckId::Schema).unwrap().outcome
    };
    assert_eq!(outcome(&migration), Outcome::Warn);
    // Asked, it is no doubt any more.
    migration.probe_write(&CancellationToken::new()).await.unwrap();
    assert!(of_code(&migration.plan().warnings, Code::TargetMayNotHold).is_empty());
    assert_eq!(outcome(&migration), Outcome::Pass);
    let state = tempfile::tempdir().unwrap();
    let report = carry_out(migration, state.path()).await;
    assert_successful(&report, "a doubt");
    assert!(of_code(&report.warnings, Code::TargetMayNotHold).is_empty());
    assert_arrived(&source, &target, "books", "a doubt");
}

/// In `default`, which stands in for a database that is yet to be made, a denial says nothing of the job. A doubt stays one all
/// the same, and is not taken for none because nobody could ask.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_doubt_that_the_target_can_not_be_asked_about_is_refused() {
    let denied = Fault::Answer(Answer::Grpc { code: 7, message: "permission deny".to_owned() });
    for (made, is_in_doubt) in [(books("p"), false), (with_nulls(), true)] {
        let (source, target) = servers(Version::V2_5, Version::V2_4, &made);
        let proxy = FaultProxy::start(&target.uri());
        let mut wanted = MigrateRequest::new(endpoint(&source), Endpoint::parse(&proxy.uri()).unwrap());
        wanted.target_dbs = [("default".to_owned(), "fresh".to_owned())].into();
        let mut migration = Migration::prepare(wanted).await.unwrap();
        proxy.arm("CreateCollection", When::Always, denied.clone());
        let probed = migration.probe_write(&CancellationToken::new()).await;
        let codes = |problems: Vec<Problem>| problems.iter().map(|problem| problem.code).collect::<Vec<_>>();
        let refused = probed.map_err(codes);
        assert_eq!(refused, if is_in_doubt { Err(vec![Code::PermissionDenied]) } else { Ok(()) });
        let doubts = of_code(&migration.plan().warnings, Code::TargetMayNotHold).len();
        assert_eq!(doubts, usize::from(is_in_doubt));
    }
}

/// Rows of what a server does not know may harm it: whoever starts the job, the target is asked before anything is made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_target_changes_without_a_word_is_refused_also_where_nobody_asked() {
    let (source, target) = servers(Version::V2_5, Version::V2_3, &with_nulls());
    let migration = Migration::prepare(request(&source, &target)).await.unwrap();
    let state = tempfile::tempdir().unwrap();
    let store = sqlite::open(state.path()).unwrap();
    let refused = migration.run(&store, Arc::new(Silent), CancellationToken::new()).await.unwrap_err();
    let [problem] = &refused[..] else { panic!("{refused:?}") };
    assert_eq!(problem.code, Code::TargetCannotHold);
    let what = problem.what(Lang::En);
    assert!(
        what.contains("does not support `default.books`: fields[year].nullable: `1` became absent"),
        "{what}"
    );
    assert_eq!(target.names("default"), (Vec::new(), Vec::new()));
    assert!(store.jobs(JobPage::newest()).await.unwrap().is_empty(), "no job was begun");
}

/// Without a doubt nobody asks, and a changed collection is found before its first row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collection_that_is_made_otherwise_is_never_successful() {
    let (source, target) = servers(Version::V2_5, Version::V2_5, &with_nulls());
    let target = Arc::new(target);
    let migration = Migration::prepare(request(&source, &target)).await.unwrap();
    assert!(of_code(&migration.plan().warnings, Code::TargetMayNotHold).is_empty());
    let (looks_on, mut is_changed) = (Arc::downgrade(&target), false);
    target.interfere(move |seen| {
        if let Some(target) = looks_on.upgrade().filter(|_| seen.method == "CreatePartition" && !is_changed) {
            let added = FieldSchema { nullable: true, ..field("added", DataType::Int64, &[]) };
            target.add_field(("default", "books"), added);
            is_changed = true;
        }
        Interference::None
    });
    let state = tempfile::tempdir().unwrap();
    let report = carry_out(migration, state.path()).await;
    target.interfere_no_more();
    assert_eq!(report.state, JobState::Failed, "{report:?}");
    assert_eq!(of_code(&report.problems, Code::SchemaDiffers).len(), 1, "{:?}", report.problems);
    assert!(target.rows("default", "books").is_empty());
}

/// The hint is for partitions: a target database of another name helps nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_are_tried_where_the_table_does_not_know_their_names() {
    let (source, target) = servers(Version::V2_5, Version::V2_4, &books("2024-01-01"));
    let mut migration = Migration::prepare(request(&source, &target)).await.unwrap();
    let doubts = of_code(&migration.plan().warnings, Code::TargetMayNotHold);
    let [doubt] = doubts[..] else { panic!("{doubts:?}") };
    let what = doubt.what(Lang::En);
    let expected = "its release may not allow names of partitions (`2024-01-01`); `2024-01-01`: it contains the character `-`";
    assert!(what.contains(expected), "{what}");
    let refused = migration.probe_write(&CancellationToken::new()).await.unwrap_err();
    let [problem] = &refused[..] else { panic!("{refused:?}") };
    assert_eq!(problem.code, Code::ForbiddenName);
    let expected = "the target does not allow the name `2024-01-01` (partition of `default.books`): Invalid partition name: 2024-01-01.";
    assert!(problem.to_string().contains(expected), "{problem}");
    let hint = problem.hint(Lang::En);
    assert!(hint.contains("a partition cannot be renamed"), "{hint}");
    assert!(hint.contains("--exclude default.books") && !hint.contains("--target-db"), "{hint}");
    assert_eq!(target.names("default"), (Vec::new(), Vec::new()));

    // A server that takes it has the last word.
    let (source, _) = servers(Version::V2_5, Version::V2_5, &books("2024-01-01"));
    let target = StandIn::start(Options { called: Some("v2.4.17"), ..Options::new(Version::V2_5) });
    let wanted = request(&source, &target);
    let mut migration = Migration::prepare(wanted).await.unwrap();
    assert_eq!(of_code(&migration.plan().warnings, Code::TargetMayNotHold).len(), 1);
    migration.probe_write(&CancellationToken::new()).await.unwrap();
    let state = tempfile::tempdir().unwrap();
    assert_successful(&carry_out(migration, state.path()).await, "a partition of one day");
    assert_arrived(&source, &target, "books", "a partition of one day");
}

/// A description of nothing tells whether the name is allowed, and writes nothing. Only words about the name are a refusal
/// of the name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_collections_and_aliases_are_the_target_s_to_refuse() {
    let mut generated = books("p");
    generated.aliases = vec!["shelf".to_owned()];
    let (source, target) = servers(Version::V2_5, Version::V2_5, &generated);
    let refusing = |name: &'static str, reason: String| {
        move |seen: Seen<'_>| {
            let is_asked = seen.message.windows(name.len()).any(|part| part == name.as_bytes());
            match seen.method == "DescribeCollection" && is_asked {
                true => Interference::Refused(Status {
                    code: 1100,
                    error_code: 5,
                    reason: reason.clone(),
                    ..Status::default()
                }),
                false => Interference::None,
            }
        }
    };
    for (name, kind, way_out) in [
        ("books", "collection", "rename the collection on the source"),
        ("shelf", "alias of `default.books`", "drop the alias on the source"),
    ] {
        let words = format!("Invalid collection name: {name}. collection name can only contain numbers");
        target.interfere(refusing(name, words.clone()));
        let refused = Migration::prepare(request(&source, &target)).await.err().unwrap();
        let [problem] = &refused[..] else { panic!("{refused:?}") };
        assert_eq!(problem.code, Code::ForbiddenName);
        let what = problem.what(Lang::En);
        assert!(what.contains(&format!("`{name}` ({kind}): {words}")), "{what}");
        assert!(problem.hint(Lang::En).contains(way_out), "{problem}");

        target.interfere(refusing(name, "the message queue is full".to_owned()));
        let refused = Migration::prepare(request(&source, &target)).await.err().unwrap();
        let [problem] = &refused[..] else { panic!("{refused:?}") };
        assert_eq!(problem.code, Code::CheckFailed, "{problem}");
    }
    target.interfere_no_more();
    assert!(!target.writes().contains("CreateCollection"), "{:?}", target.writes());
}
