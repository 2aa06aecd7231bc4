//! Copies of a source that the application goes on writing to.

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
