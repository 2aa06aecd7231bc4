//! Answers that say less, or something else, than is true, from a real server through the fault proxy.

use vecferry_milvus::proto::common;
use vecferry_testkit::fault_proxy::{Answer, Fault, FaultProxy, When};
use vecferry_testkit::{Run, Vecferry};

use crate::{oracle, servers};

/// Migrates a collection between servers that are given by their addresses.
fn migrate(source: &str, target: &str, name: &str, more: &[&str]) -> (Run, Vecferry) {
    let mut arguments = vec!["--source", source, "--target", target, "--collection", name];
    arguments.extend(more);
    Vecferry::new(servers(), "migrate", &arguments).run_within("env", &[])
}

fn assert_arrived_and_drop(name: &str, rows: u32) {
    oracle().run(&format!(
        r#"
        target.load("{name}")
        assert target.count("{name}") == {rows}, target.count("{name}")
        assert same(source, target, "{name}") == {rows}
        target.client.drop_collection("{name}")
        "#
    ));
}

/// A server that is loading answers so. The pages have 64, 256, 1,024 and 433 rows.
#[test]
fn a_page_without_rows_that_the_source_answers_loses_none() {
    oracle().run(r#"simple(source, "short_of_rows", 1777)"#);
    let proxy = FaultProxy::start(&servers().uri("source"));
    let (source, target) = (proxy.uri(), servers().uri("target"));
    let none = &["--verify", "none", "--allow-drift"][..];
    let emptied = |nth: u64, more: &[&str]| {
        let fault = proxy.arm("Query", When::Nth(nth), Fault::EmptiedPage);
        let (mut run, state) = migrate(&source, &target, "short_of_rows", more);
        fault.disarm();
        for _ in 0..3 {
            if run.code != 0 {
                let job = run.report()["job_id"].as_str().unwrap().to_owned();
                run = state.of_same_state(servers(), "resume", &[&job]);
            }
        }
        assert_eq!(run.succeeded()["collections"][0]["rows"], 1777, "query {nth}, {more:?}");
        assert_arrived_and_drop("short_of_rows", 1777);
        fault.fired() > 0
    };
    // Counts are answered as ever; which of the queries are pages is found out.
    let pages: Vec<_> = (1..=12).filter(|nth| emptied(*nth, none)).collect();
    let [first, .., middle, last] = pages[..] else { panic!("only {pages:?} are pages") };
    for (nth, more) in [(first, &["--verify", "none"][..]), (middle, &["--allow-drift"]), (last, &[])] {
        assert!(emptied(nth, more), "query {nth}, {more:?}");
    }
}

/// No page of it ever arrives: that is said, also where a changed source would only be warned of.
#[test]
fn a_source_that_returns_nothing_is_no_success() {
    oracle().run(r#"simple(source, "returns_nothing", 300, partitions=["p"])"#);
    let proxy = FaultProxy::start(&servers().uri("source"));
    let fault = proxy.arm("Query", When::Always, Fault::EmptiedPage);
    let more = ["--verify", "none", "--allow-drift"];
    let (run, state) = migrate(&proxy.uri(), &servers().uri("target"), "returns_nothing", &more);
    run.failed(5, "VF-0404", "the source counts 300 row(s) that no query returns");
    fault.disarm();
    let job = run.report()["job_id"].as_str().unwrap().to_owned();
    let resume = || state.of_same_state(servers(), "resume", &[&job]);
    let again = resume();
    again.failed(
        5,
        "VF-0401",
        "150 row(s) of the source are missing on the target (partition `p`; the source did not",
    );
    assert_eq!(resume().succeeded()["collections"][0]["rows"], 300);
    assert_arrived_and_drop("returns_nothing", 300);
}

/// A server that appends to several channels answers the first error, whatever became of the others.
#[test]
fn an_insert_that_was_carried_out_and_answered_an_error_is_there_once() {
    oracle().run(r#"simple(source, "carried_out", 600)"#);
    let proxy = FaultProxy::start(&servers().uri("target"));
    let (source, target) = (servers().uri("source"), proxy.uri());
    for (code, level) in [(65535, "none"), (1100, "none"), (1100, "sample"), (65535, "sample")] {
        let status = common::Status { code, reason: "a channel failed".into(), ..common::Status::default() };
        let answer = Fault::AnswerAfterApply(Answer::Status(status));
        let fault = proxy.arm("Insert", When::Nth(1), answer);
        let (run, _state) = migrate(&source, &target, "carried_out", &["--verify", level]);
        fault.disarm();
        let collection = &run.succeeded()["collections"][0];
        assert_eq!(
            (&collection["rows"], &collection["quarantined"]),
            (&600.into(), &0.into()),
            "{code}, {level}"
        );
        assert_eq!(fault.fired(), 1);
        assert_arrived_and_drop("carried_out", 600);
    }
}
