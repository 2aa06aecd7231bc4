//! What a pre-check says in Chinese: facts, refusals and warnings without an English sentence of Vecferry's own.

use vecferry_migrate::precheck::CheckId;
use vecferry_migrate::{Code, Lang, MigrateRequest, Migration, PreCheck, Selection};
use vecferry_milvus::{CollectionName, Endpoint};
use vecferry_testkit::stand_in::generate::{Generated, plain};
use vecferry_testkit::stand_in::{Key, Options, Version};
use vecferry_testkit::{StandIn, english_in, free_port};

use super::{endpoint, request};

fn server(version: Version, names: &[&str]) -> StandIn {
    let server = StandIn::start(Options::new(version));
    for name in names {
        let keys = (0..20).map(Key::Long).collect();
        server.add(&plain(name, false, &[("_default", keys)]));
    }
    server
}

/// Asserts that nothing of a pre-check is English, and returns what it refuses.
#[track_caller]
fn chinese(checked: &PreCheck) -> Vec<(Code, String)> {
    for check in &checked.checks {
        for fact in check.facts_in(Lang::Zh) {
            assert_eq!(english_in(fact, &[]), Vec::<String>::new(), "{:?}: {fact}", check.id);
            assert!(!fact.contains("source") && !fact.contains("target"), "{:?}: {fact}", check.id);
        }
        for problem in &check.problems {
            for text in [problem.what(Lang::Zh), problem.hint(Lang::Zh)] {
                assert_eq!(english_in(&text, &[]), Vec::<String>::new(), "{:?}: {text}", problem.code);
            }
        }
    }
    checked.refusals.iter().map(|problem| (problem.code, problem.what(Lang::Zh))).collect()
}

#[track_caller]
fn refused(checked: &PreCheck, code: Code, text: &str) {
    let said = chinese(checked);
    assert!(said.iter().any(|(of, what)| *of == code && what.contains(text)), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn facts_are_told_in_chinese() {
    let (source, target) = (server(Version::V2_3, &["books"]), server(Version::V2_5, &[]));
    let directory = tempfile::tempdir().unwrap();
    let checked = Migration::check(request(&source, &target), Some(directory.path())).await;
    assert_eq!(chinese(&checked), []);
    let facts = |id, lang| -> Vec<String> {
        let check = checked.checks.iter().find(|check| check.id == id).unwrap();
        check.facts_in(lang).map(str::to_owned).collect()
    };
    assert_eq!(
        facts(CheckId::PlanPair, Lang::Zh),
        ["源集群：自建（自建 Milvus）", "目标集群：自建（自建 Milvus）", "zilliz-cn"]
    );
    assert_eq!(facts(CheckId::PlanPair, Lang::En)[0], "source: self-hosted (plain Milvus)");
    assert_eq!(facts(CheckId::Endpoints, Lang::Zh), ["源集群：回环地址", "目标集群：回环地址"]);
    assert_eq!(facts(CheckId::Endpoints, Lang::En), ["source: loopback", "target: loopback"]);
    let told = [
        (CheckId::Selection, "1 collection", "1 个 Collection"),
        (CheckId::RowCounts, "rows counted: 20", "已计数：20 行"),
        (CheckId::SourceLoaded, "1 of 1 collection loaded", "1 个 Collection 中已加载 1 个"),
        (CheckId::ClusterStatus, "source: not asked of the control plane", "源集群：未通过控制面查询"),
    ];
    for (id, en, zh) in told {
        assert_eq!((facts(id, Lang::En)[0].as_str(), facts(id, Lang::Zh)[0].as_str()), (en, zh));
    }
    let (en, zh) = (facts(CheckId::Duration, Lang::En), facts(CheckId::Duration, Lang::Zh));
    assert!(en[0].starts_with("about ") && en[0].ends_with(" s"), "{en:?}");
    assert!(zh[0].starts_with("约 ") && zh[0].ends_with(" 秒"), "{zh:?}");
    // Figures alone say nothing.
    for check in &checked.checks {
        for fact in check.facts_in(Lang::En) {
            assert!(!fact.ends_with('-') && fact.chars().any(char::is_alphabetic), "{:?}: {fact}", check.id);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_are_not_reached_are_told_of_in_chinese() {
    let source = server(Version::V2_3, &["books"]);
    let wanted = |target: String| MigrateRequest::new(endpoint(&source), Endpoint::parse(&target).unwrap());
    let nowhere = format!("http://127.0.0.1:{}", free_port());
    let checked = Migration::check(wanted(nowhere.clone()), None).await;
    refused(&checked, Code::ConnectionRefused, &format!("：{nowhere} 上没有服务在监听"));
    let plain = source.uri().replace("http://", "https://");
    let checked = Migration::check(wanted(plain), None).await;
    refused(&checked, Code::ServerSpeaksPlain, "未使用 TLS，但地址以 https:// 开头");
    let checked = Migration::check(wanted("http://host.invalid:1".to_owned()), None).await;
    refused(&checked, Code::UnknownHost, "主机名 `host.invalid` 无法解析");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clusters_and_names_that_do_not_go_together_are_told_of_in_chinese() {
    let source = server(Version::V2_3, &["books"]);
    let checked = Migration::check(request(&source, &source), None).await;
    let said = chinese(&checked);
    assert!(
        said.iter().any(|(code, what)| *code == Code::SameCluster && what.contains("两端的")),
        "{said:?}"
    );

    let target = server(Version::V2_5, &[]);
    let target_dbs = [("default".to_owned(), "no-hyphens".to_owned())].into_iter().collect();
    let checked = Migration::check(MigrateRequest { target_dbs, ..request(&source, &target) }, None).await;
    refused(&checked, Code::ForbiddenName, "名称含有字符 `-`");

    let other = CollectionName::new("other", "books");
    let in_other = plain("books", false, &[("_default", vec![Key::Long(1)])]);
    source.add(&Generated { db: "other".to_owned(), ..in_other });
    let target_dbs = [("other".to_owned(), "default".to_owned())].into_iter().collect();
    let selection = Selection::parse(&["default.books".to_owned(), other.to_string()], &[]).unwrap();
    let wanted = MigrateRequest { target_dbs, selection, ..request(&source, &target) };
    let checked = Migration::check(wanted, None).await;
    refused(&checked, Code::Selector, "两个源 Collection 在目标集群上会使用同一个名称");
}
