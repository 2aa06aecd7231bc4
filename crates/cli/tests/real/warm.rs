//! Copies of a source that the application goes on writing to.

use std::thread;

use serde_json::json;
use vecferry_testkit::Oracle;

use crate::faults::{make, slow, start_with};

/// Rows with rising keys, updates and deletes, in small steps, for as long as the copy takes most of its time.
const WRITER: &str = r#"
    for at in range(80):
        origin.client.insert("NAME", [dict(row, text="new") for row in books(5, 100000 + 5 * at)], partition_name="p")
        first = 100 * (at % 60)
        changed = [dict(row, text="changed") for row in books(5, first)]
        origin.client.upsert("NAME", changed, partition_name=["_default", "p"][first // 1000 % 2])
        origin.client.delete("NAME", filter=f"id in [{19000 + at}]", partition_name="p")
        time.sleep(0.1)
"#;

#[test]
fn a_source_that_is_written_to_is_copied_while_it_is() {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, "still_written", 20);
    let started = start_with("still_written", "limited", &["--warm", "--load-target"]);
    oracle.run(&WRITER.replace("NAME", "still_written"));
    let (run, state) = started.ended_with_state();
    assert_eq!(run.code, 0, "{}\n{}", run.stdout, run.stderr);
    let report = run.report();
    assert_eq!((&report["state"], &report["kind"]), (&json!("READY"), &json!("warm")), "{report}");
    assert_eq!(
        (&report["verified"], &report["rounds"][0]["state"]),
        (&json!("none"), &json!("done")),
        "{report}"
    );
    assert!(run.stderr.contains("warning[VF-0446]"), "{}", run.stderr);
    let collection = &report["collections"][0];
    assert_eq!(
        (&collection["loaded"], &collection["verification"]),
        (&json!(true), &json!(null)),
        "{collection}"
    );
    // Whatever nobody wrote to is there; of the rest, each key once.
    oracle.run(
        r#"
        held = [key for _, key in limited.rows("still_written", fields=["id"])]
        assert set(range(6000, 19000)) <= set(held), len(held)
        assert len(held) == len(set(held)) == limited.count("still_written"), len(held)

        assert origin.loaded("still_written") == {"_default": "LoadStateNotLoad", "p": "LoadStateLoaded"}
        "#,
    );
    let job = report["job_id"].as_str().unwrap();
    let resumed = state.of_same_state(slow(), "resume", &[job]);
    assert_eq!((resumed.code, &resumed.report()["state"]), (0, &json!("READY")), "{}", resumed.stderr);
    let cleaned = state.of_same_state(slow(), "cancel", &[job, "--clean"]);
    assert_eq!(cleaned.code, 0, "{}", cleaned.stderr);
    oracle.run(r#"assert "still_written" not in limited.names()"#);
}

/// What the writer does in a round: it brings and deletes other rows than in another one, and changes the same ones otherwise.
fn writer(name: &str, round: u32) -> String {
    WRITER
        .replace("NAME", name)
        .replace("100000", &(100_000 * (round + 1)).to_string())
        .replace("\"changed\"", &format!("\"changed in round {round}\""))
        .replace("19000", &(19_000 + 100 * round).to_string())
}

#[test]
fn a_warm_copy_is_caught_up_and_cut_over() {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, "handed_over", 20);
    oracle.run(r#"origin.client.create_alias("handed_over", "handed_over_alias")"#);
    let started = start_with("handed_over", "limited", &["--warm"]);
    oracle.run(&writer("handed_over", 0));
    let (run, state) = started.ended_with_state();
    assert_eq!((run.code, &run.report()["state"]), (0, &json!("READY")), "{}\n{}", run.stdout, run.stderr);
    let job = run.report()["job_id"].as_str().unwrap();

    // The writer goes on while the target is brought up to date. The warm copy left the rows behind its greatest key to this
    // round, so that there is something to find, whatever the writer does meanwhile.
    let caught_up = thread::scope(|scope| {
        let round = scope.spawn(|| state.of_same_state(slow(), "catch-up", &[job]));
        oracle.run(&writer("handed_over", 1));
        round.join().unwrap()
    });
    let shown = format!("{}\n{}", caught_up.stdout, caught_up.stderr);
    assert_eq!((caught_up.code, &caught_up.report()["state"]), (0, &json!("READY")), "{shown}");
    let round = &caught_up.report()["rounds"][1];
    assert_eq!((&round["kind"], &round["state"]), (&json!("catch_up"), &json!("done")), "{round}");
    assert!(round["caught_up"]["rows_missing"].as_u64().unwrap() > 0, "{round}");
    assert!(round["window_seconds"].is_null(), "{round}");
    assert_eq!(caught_up.report()["verified"], "none");
    assert!(caught_up.stderr.contains("warning[VF-0446]"), "{shown}");
    oracle.run(r#"assert limited.client.list_aliases("handed_over")["aliases"] == []"#);

    // All writers are stopped from here on; what they wrote since is left for the window.
    oracle.run(&writer("handed_over", 2));
    let cut_over = state.of_same_state(slow(), "cutover", &[job, "--yes"]);
    let report = cut_over.succeeded();
    assert_eq!((&report["kind"], &report["verified"]), (&json!("warm"), &json!("full")), "{report}");
    let round = &report["rounds"][2];
    assert_eq!((&round["kind"], &round["state"]), (&json!("cut_over"), &json!("done")), "{round}");
    let found = |of: &str| round["caught_up"][of].as_u64().unwrap();
    // The writer of the last round changed 60 times five rows, deleted 80 and brought 400; each of them is found.
    assert!(found("rows_missing") >= 400 && found("rows_changed") >= 300, "{round}");
    assert!(found("rows_extra") >= 80, "{round}");
    assert!(round["window_seconds"].as_f64().unwrap() > 0.0, "{round}");
    let collection = &report["collections"][0];
    assert_eq!(
        (&collection["aliases"], &collection["verification"]["passed"], &collection["caught_up"]),
        (&json!(["handed_over_alias"]), &json!(true), &round["caught_up"]),
        "{collection}"
    );

    // Another program comes to the same conclusion.
    oracle.run(
        r#"
        assert origin.loaded("handed_over") == {"_default": "LoadStateNotLoad", "p": "LoadStateLoaded"}
        assert limited.client.list_aliases("handed_over")["aliases"] == ["handed_over_alias"]
        assert set(limited.loaded("handed_over").values()) == {"LoadStateNotLoad"}
        origin.load("handed_over")
        limited.load("handed_over")
        # Three times 80 rows were deleted, and 400 came.
        rows = 20000 + 3 * (400 - 80)
        assert same(origin, limited, "handed_over") == rows
        assert origin.count("handed_over") == limited.count("handed_over") == rows
        "#,
    );

    // Nothing is left to do, whichever command is asked for it.
    for command in [&["cutover", job, "--yes"][..], &["catch-up", job], &["resume", job]] {
        let again = state.of_same_state(slow(), command[0], &command[1..]);
        assert_eq!(&again.succeeded()["rounds"], &report["rounds"], "{command:?}");
        assert!(again.stderr.contains("already complete"), "{command:?}: {}", again.stderr);
    }
}
