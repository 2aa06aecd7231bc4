//! `vecferry verify`: equal is 0, every kind of difference has its code.

use std::io::{BufRead, BufReader, Read};

use std::time::Duration;

use vecferry_testkit::fault_proxy::{Fault, FaultProxy, When};
use vecferry_testkit::{Oracle, Run, Servers, Vecferry};

use crate::faults::{make, slow};
use crate::resume::{only_job, resumed};
use crate::{PROGRAM, milvus, oracle, servers};

fn verify(name: &str, arguments: &[&str]) -> Run {
    let all = [&["--collection", name], arguments].concat();
    Vecferry::verify(servers(), "source", "target", &all)
}

/// Makes one collection of 300 rows in two partitions on both sides.
fn both(name: &str) -> vecferry_testkit::Oracle {
    let mut oracle = oracle();
    oracle.run(&format!(
        r#"
        for server in [source, target]:
            simple(server, "{name}", 300, partitions=["p"])
        "#
    ));
    oracle
}

#[test]
fn equal_collections_at_every_level_and_in_every_load_state() {
    let mut oracle = both("equal");
    for level in ["count", "sample"] {
        let run = verify("equal", &["--level", level]);
        let report = run.succeeded();
        assert_eq!(report["verified"], level);
        let verification = &report["collections"][0]["verification"];
        assert_eq!(verification["passed"], true);
        assert_eq!(verification["target_rows"], 300);
        assert_eq!(verification["rows_compared"], if level == "sample" { 300 } else { 0 });
    }
    oracle.run(
        r#"
        source.client.release_collection("equal")
        target.client.release_partitions("equal", ["p"])
        "#,
    );
    verify("equal", &[]).succeeded();
    oracle.run(
        r#"
        assert set(source.loaded("equal").values()) == {"LoadStateNotLoad"}
        assert target.loaded("equal") == {"_default": "LoadStateLoaded", "p": "LoadStateNotLoad"}, target.loaded("equal")
        "#,
    );
}

#[test]
fn a_missing_row() {
    let mut oracle = both("one_missing");
    oracle.run(r#"target.client.delete("one_missing", ids=[151])"#);
    for level in ["count", "sample"] {
        let run = verify("one_missing", &["--level", level]);
        run.failed(5, "VF-0401", "`default.one_missing`: 1 row(s) of the source are missing on the target");
        assert!(run.stderr.contains("`p`"), "the partition is not named: {}", run.stderr);
    }
}

#[test]
fn an_extra_row() {
    let mut oracle = both("one_extra");
    oracle.run(r#"target.client.insert("one_extra", books(1, 1000), partition_name="p")"#);
    for level in ["count", "sample"] {
        let run = verify("one_extra", &["--level", level]);
        run.failed(5, "VF-0402", "`default.one_extra`: the target has 1 row(s) more than the source");
    }
}

#[test]
fn a_changed_row() {
    let mut oracle = both("one_changed");
    oracle.run(
        r#"
        row = books(300)[77]
        row["vector"][7] = float(np.nextafter(np.float32(row["vector"][7]), np.float32(2)))
        target.client.upsert("one_changed", [row], partition_name="p")
        "#,
    );
    let run = verify("one_changed", &[]);
    run.failed(5, "VF-0403", "1 of 300 compared rows differ; first: primary key 77, field `vector`");
    // Counts can't see it, and say so by their level.
    assert_eq!(verify("one_changed", &["--level", "count"]).succeeded()["verified"], "count");
}

#[test]
fn a_row_in_the_wrong_partition() {
    let mut oracle = both("one_moved");
    oracle.run(
        r#"
        target.client.delete("one_moved", ids=[10])
        target.client.insert("one_moved", books(300)[10:11], partition_name="p")
        "#,
    );
    for level in ["count", "sample"] {
        let run = verify("one_moved", &["--level", level]);
        run.failed(5, "VF-0401", "1 row(s) of the source are missing");
        run.failed(5, "VF-0402", "1 row(s) more");
    }
}

#[test]
fn a_row_replaced_by_another() {
    let mut oracle = both("one_replaced");
    oracle.run(
        r#"
        target.client.delete("one_replaced", ids=[10])
        target.client.insert("one_replaced", books(1, 5000))
        "#,
    );
    let run = verify("one_replaced", &[]);
    assert_eq!(run.code, 5, "{}", run.stderr);
    assert!(run.stderr.contains("VF-0401"), "{}", run.stderr);
}

#[test]
fn another_schema_and_a_missing_collection() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        simple(source, "other_schema", 10)
        longer = ("text", DataType.VARCHAR, dict(max_length=2001))
        target.make("other_schema", [KEY, longer, VECTOR], index={"vector": FLAT})
        target.client.insert("other_schema", books(10))
        simple(source, "only_here", 10, load=False)
        "#,
    );
    let run = verify("other_schema", &[]);
    run.failed(5, "VF-0407", "the definitions on source and target differ");
    assert!(run.stderr.contains("max_length") && run.stderr.contains("2001"), "{}", run.stderr);
    oracle.run(r#"target.client.delete("other_schema", ids=[3])"#);
    let run = verify("other_schema", &["--level", "full", "--repair", "--repair-foreign", "--yes"]);
    run.failed(5, "VF-0414", "were not repaired: the definitions on source and target differ");
    verify("only_here", &[]).failed(3, "VF-0202", "the target has no collection `default.only_here`");
}

/// Makes one collection of 3,000 rows in two partitions, with a JSON field, an array and dynamic values, on some servers.
fn documents(name: &str, servers: &str) -> vecferry_testkit::Oracle {
    let mut oracle = oracle();
    oracle.run(&format!(
        r#"
        tags = ("tags", DataType.ARRAY, dict(element_type=DataType.VARCHAR, max_capacity=4, max_length=20))
        fields = [KEY, TEXT, ("document", DataType.JSON, {{}}), tags, VECTOR]
        for server in {servers}:
            server.make("{name}", fields, dynamic=True, partitions=["p"], index={{"vector": FLAT}})
            rows = documents(3000)
            server.client.insert("{name}", rows[0::2], partition_name="_default")
            server.client.insert("{name}", rows[1::2], partition_name="p")
            server.client.flush("{name}")
            server.load("{name}")
        "#
    ));
    oracle
}

/// The rows of a kind of finding, as `partition key fields`.
fn found(report: &serde_json::Value, kind: &str) -> Vec<String> {
    let findings = &report["collections"][0]["verification"]["findings"];
    let rows = findings[kind]["first"].as_array().unwrap();
    assert_eq!(findings[kind]["rows"], rows.len(), "{findings:#}");
    let name = |row: &serde_json::Value| {
        let fields = row["fields"].as_array().into_iter().flatten();
        let fields: Vec<_> = fields.map(|field| field.as_str().unwrap()).collect();
        let partition = row["partition"].as_str().unwrap_or("-");
        format!("{partition} {} {}", row["key"].as_str().unwrap(), fields.join(",")).trim_end().to_owned()
    };
    rows.iter().map(name).collect()
}

#[test]
fn every_row_is_compared_and_what_differs_is_named_and_mended() {
    let mut oracle = documents("corrupted", "[source, target]");
    let run = verify("corrupted", &["--level", "full"]);
    let report = run.succeeded();
    assert_eq!(report["verified"], "full");
    let verification = &report["collections"][0]["verification"];
    assert_eq!((&verification["rows_compared"], &verification["target_rows"]), (&3000.into(), &3000.into()));
    assert_eq!(found(report, "changed"), Vec::<String>::new());

    oracle.run(
        r#"
        rows = documents(3000)
        # One bit of one vector.
        bits = struct.unpack("<I", struct.pack("<f", rows[1501]["vector"][3]))[0] ^ 1
        rows[1501]["vector"][3] = struct.unpack("<f", struct.pack("<I", bits))[0]
        target.client.upsert("corrupted", [rows[1501]], partition_name="p")
        # One key of one document.
        rows[1600]["document"]["deep"]["n"] += 1
        target.client.upsert("corrupted", [rows[1600]], partition_name="_default")
        # A missing row, an extra one, and one in the wrong partition.
        target.client.delete("corrupted", ids=[1703], partition_name="p")
        target.client.insert("corrupted", documents(1, 7000), partition_name="_default")
        target.client.delete("corrupted", ids=[1800], partition_name="_default")
        target.client.insert("corrupted", [rows[1800]], partition_name="p")
        "#,
    );
    for level in ["count", "sample"] {
        // `p` lost one row and got one, `_default` too: the counts are the same.
        let run = verify("corrupted", &["--level", level]);
        assert!(run.code == 0 || level == "sample" && run.code == 5, "{}", run.stderr);
    }
    let run = verify("corrupted", &["--level", "full"]);
    run.failed(5, "VF-0401", "2 row(s) of the source are missing on the target");
    run.failed(5, "VF-0401", "key 1703 in partition `p`");
    run.failed(5, "VF-0402", "key 7000 in partition `_default`; key 1800 in partition `p`");
    run.failed(
        5,
        "VF-0403",
        "2 of 2998 compared rows differ; first: primary key 1600 in partition `_default`, field `document`",
    );
    run.failed(
        5,
        "VF-0411",
        "1 row(s) are in the wrong partition on the target (key 1800: `_default` → `p`)",
    );
    let report = run.report();
    assert_eq!(found(report, "missing"), ["_default 1800", "p 1703"]);
    assert_eq!(found(report, "extra"), ["_default 7000", "p 1800"]);
    assert_eq!(found(report, "changed"), ["_default 1600 document", "p 1501 vector"]);
    assert_eq!(found(report, "repeated_keys"), Vec::<String>::new());

    verify("corrupted", &["--repair", "--yes"]).failed(2, "VF-0001", "--repair needs --level full");
    verify("corrupted", &["--level", "full", "--repair"]).failed(
        2,
        "VF-0003",
        "standard input is not a terminal",
    );
    let run = verify("corrupted", &["--level", "full", "--repair", "--repair-foreign", "--yes"]);
    let report = run.succeeded();
    let verification = &report["collections"][0]["verification"];
    let repair = &verification["repair"];
    assert_eq!((&repair["rows_written"], &repair["rows_deleted"]), (&4.into(), &2.into()), "{repair:#}");
    assert_eq!(repair["found"]["missing"]["rows"], 2);
    assert_eq!(repair["found"]["swapped"][0]["target_partition"], "p");
    assert_eq!(found(report, "missing"), Vec::<String>::new());
    assert!(run.stderr.contains("VF-0413"), "{}", run.stderr);
    oracle.run(r#"assert same(source, target, "corrupted") == 3000"#);
    let again = verify("corrupted", &["--level", "full", "--repair", "--repair-foreign", "--yes"]);
    assert_eq!(again.succeeded()["collections"][0]["verification"]["repair"], serde_json::Value::Null);
}

#[test]
fn counts_and_samples_find_one_row_too_few_or_too_many() {
    let mut oracle = documents("counted", "[source, target]");
    let levels = ["count", "sample", "full"];
    oracle.run(r#"target.client.delete("counted", ids=[1703], partition_name="p")"#);
    for level in levels {
        verify("counted", &["--level", level]).failed(5, "VF-0401", "1 row(s) of the source are missing");
    }
    oracle.run(
        r#"
        target.client.insert("counted", documents(1, 1703), partition_name="p")
        target.client.insert("counted", documents(1, 7000), partition_name="p")
        "#,
    );
    for level in levels {
        verify("counted", &["--level", level]).failed(5, "VF-0402", "1 row(s) more than the source");
    }
    oracle.run(
        r#"
        target.client.delete("counted", ids=[7000, 1705], partition_name="p")
        target.client.insert("counted", documents(1, 1705), partition_name="_default")
        "#,
    );
    for level in levels {
        let run = verify("counted", &["--level", level]);
        run.failed(5, "VF-0401", "1 row(s) of the source are missing");
        run.failed(5, "VF-0402", "1 row(s) more than the source");
    }
    verify("counted", &["--level", "full", "--repair", "--repair-foreign", "--yes"]).succeeded();
    oracle.run(r#"assert same(source, target, "counted") == 3000"#);
}

#[test]
fn repeated_keys_and_whole_partitions_that_differ() {
    let mut oracle = both("repeated_full");
    oracle.run(
        r#"
        # Twice on the source, with other texts; twice on the target; and a partition that the source does not have.
        source.client.insert("repeated_full", books(1, 10, text="another"), partition_name="_default")
        target.client.insert("repeated_full", books(1, 20, text="another"), partition_name="_default")
        target.client.create_partition("repeated_full", "more")
        target.client.load_partitions("repeated_full", ["more"])
        target.client.insert("repeated_full", books(2, 900), partition_name="more")
        target.client.upsert("repeated_full", books(1, 10, text="a third"), partition_name="_default")
        # One key in both partitions, and on the target one of its rows is another.
        for server in [source, target]:
            server.client.insert("repeated_full", books(1, 50, text="twin"), partition_name="p")
        target.client.delete("repeated_full", ids=[50], partition_name="_default")
        target.client.insert("repeated_full", books(1, 50, text="changed"), partition_name="_default")
        "#,
    );
    let run = verify("repeated_full", &["--level", "full"]);
    run.failed(5, "VF-0402", "key 900 in partition `more`; key 901 in partition `more`");
    run.failed(5, "VF-0402", "(duplicate primary keys: key 20 in partition `_default`)");
    assert!(
        run.stderr.contains("warning[VF-0412]") && run.stderr.contains("warning[VF-0406]"),
        "{}",
        run.stderr
    );
    assert_eq!(found(run.report(), "repeated_keys"), ["_default 10"]);
    assert_eq!(found(run.report(), "repeated_on_target"), ["_default 20"]);
    // Which of the two rows of the key 20 the target answers is not fixed.
    let mut changed = found(run.report(), "changed");
    changed.retain(|row| !row.starts_with("_default 20 "));
    assert_eq!(changed, ["_default 50 text,vector"]);
    let run = verify("repeated_full", &["--level", "full", "--repair", "--repair-foreign", "--yes"]);
    run.succeeded();
    assert_eq!(found(run.report(), "repeated_keys"), ["_default 10"]);
    oracle.run(
        r#"
        assert target.count("repeated_full") == 301, target.count("repeated_full")
        assert target.count("repeated_full", "more") == 0
        one, other = ({key: row for key, row in server.rows("repeated_full", partitions=["_default", "p"]).items() if key[1] != 10}
            for server in [source, target])
        assert one == other
        "#,
    );
}

#[test]
fn every_row_where_a_key_places_them_and_with_keys_at_the_ends() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        tenant = ("tenant", DataType.VARCHAR, dict(max_length=50, is_partition_key=True))
        keys = [-2**63, -2**63 + 1, *range(-500, 500), 2**63 - 2]
        for server in [source, target]:
            server.make("placed_full", [KEY, tenant, VECTOR], num_partitions=5, index={"vector": FLAT})
            rows = [dict(id=key, tenant=f"t{key % 40}", vector=vector) for key, vector in zip(keys, vectors(len(keys), 8))]
            if server is target:
                rows[0]["vector"][0] = 3.0
                rows[500]["vector"][0] = 4.0
                rows[600]["tenant"] = "of another partition"
                rows = rows[:-1] + [dict(id=2**62, tenant="t1", vector=rows[1]["vector"])]
            else:
                rows = rows[:1] + rows[2:]
            server.client.insert("placed_full", rows)
            server.client.flush("placed_full")
            server.load("placed_full")
        source.client.release_collection("placed_full")
        "#,
    );
    let run = verify("placed_full", &["--level", "full"]);
    assert_eq!(run.code, 5, "{}", run.stderr);
    let lowest = i64::MIN;
    assert_eq!(found(run.report(), "missing"), [format!("- {}", i64::MAX - 1)]);
    assert_eq!(found(run.report(), "extra"), [format!("- {}", lowest + 1), format!("- {}", 1_i64 << 62)]);
    assert_eq!(
        found(run.report(), "changed"),
        [format!("- {lowest} vector"), "- -2 vector".to_owned(), "- 98 tenant".to_owned()]
    );
    verify("placed_full", &["--level", "full", "--repair", "--repair-foreign", "--yes"]).succeeded();
    oracle.run(
        r#"
        assert set(source.loaded("placed_full").values()) == {"LoadStateNotLoad"}
        source.load("placed_full")
        assert same(source, target, "placed_full") == 1002
        "#,
    );
}

#[test]
fn every_row_of_a_lite_server_with_nulls() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        for server in [lite, lite_target]:
            server.make("lite_full", [TEXT_KEY, ("text", DataType.VARCHAR, dict(max_length=200, nullable=True)),
                ("document", DataType.JSON, dict(nullable=True)), VECTOR], partitions=["p"], index={"vector": FLAT})
            rows = [dict(id=f"k{at:04}", text=None if at % 3 == 0 else f"t{at}", document=None if at % 5 == 0 else {"a": [at, None]},
                vector=vector) for at, vector in enumerate(vectors(2000, 8))]
            if server is lite_target:
                rows[1002]["text"], rows[1003]["document"] = "", {"a": [1003, 0]}
                del rows[1100]
            server.client.insert("lite_full", rows[:1500])
            server.client.insert("lite_full", rows[1500:], partition_name="p")
            server.client.load_collection("lite_full")
        "#,
    );
    let verify = |arguments: &[&str]| {
        let all = [&["--collection", "lite_full", "--level", "full"], arguments].concat();
        Vecferry::verify(servers(), "lite", "lite_target", &all)
    };
    let run = verify(&[]);
    assert_eq!(run.code, 5, "{}", run.stderr);
    // The row that is gone moved the last of its partition into the other one.
    assert_eq!(found(run.report(), "missing"), ["_default k1100", "p k1500"]);
    assert_eq!(found(run.report(), "extra"), ["_default k1500"]);
    assert_eq!(found(run.report(), "changed"), ["_default k1002 text", "_default k1003 document"]);
    assert!(run.stderr.contains("key \"k1500\": `p` → `_default`"), "{}", run.stderr);
    verify(&["--repair", "--repair-foreign", "--yes"]).succeeded();
    oracle.run(r#"assert same(lite, lite_target, "lite_full") == 2000"#);
}

#[test]
fn a_migration_is_proved_by_every_row_also_where_the_source_is_loaded_for_it() {
    let mut oracle = documents("proved", "[source]");
    oracle.run(
        r#"
        source.client.insert("proved", documents(1, 5), partition_name="p")
        source.client.flush("proved")
        source.client.release_partitions("proved", ["p"])
        "#,
    );
    let arguments = ["--collection", "proved", "--verify", "full"];
    let run = Vecferry::migrate(servers(), "source", "target", &arguments);
    let report = run.succeeded();
    assert_eq!((&report["verify"], &report["verified"]), (&"full".into(), &"full".into()));
    let verification = &report["collections"][0]["verification"];
    assert_eq!((&verification["rows_compared"], &verification["duplicate_rows"]), (&3000.into(), &1.into()));
    oracle.run(
        r#"
        assert source.loaded("proved") == {"_default": "LoadStateLoaded", "p": "LoadStateNotLoad"}, source.loaded("proved")
        assert set(target.loaded("proved").values()) == {"LoadStateNotLoad"}
        "#,
    );
}

#[test]
fn a_server_that_dies_while_every_row_is_compared_makes_nothing_look_different() {
    let servers = Servers::start(PROGRAM, [milvus("mortal")]);
    let mut oracle = Oracle::new(&servers);
    oracle.run(
        r#"
        mortal.client.create_database("copy")
        for db in [None, "copy"]:
            simple(mortal, "long", 0, db=db, partitions=["p"], load=False)
            for first in range(0, 60000, 3000):
                rows = [dict(row, text=f"{row['id']:010d}" * 100) for row in books(3000, first)]
                mortal.in_db(db).insert("long", rows, partition_name=["_default", "p"][first // 3000 % 2])
            mortal.in_db(db).flush("long")
            mortal.load("long", db or "default")
        mortal.in_db("copy").delete("long", ids=[31234])
        "#,
    );
    let arguments = ["--collection", "long", "--target-db", "default=copy", "--level", "full"];
    let (mut child, _state) = Vecferry::between(&servers, "verify", "mortal", "mortal", &arguments).spawn();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    stdout.read_line(&mut first).unwrap();
    assert!(first.contains("verifying"), "{first}");
    servers.sandbox().kill("mortal").unwrap();
    servers.sandbox().start_server("mortal").unwrap();
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    let mut output = child.wait_with_output().unwrap();
    output.stdout = (first + &rest).into_bytes();
    let run = Run::new(output);
    assert_eq!(run.code, 5, "{}\n{}", run.stdout, run.stderr);
    let verification = &run.report()["collections"][0]["verification"];
    assert_eq!(verification["rows_compared"], 59_999);
    let findings = &verification["findings"];
    let number = |kind: &str| findings[kind]["rows"].as_u64().unwrap();
    assert_eq!((number("missing"), number("extra"), number("changed")), (1, 0, 0), "{findings:#}");
    assert_eq!(findings["missing"]["first"][0]["key"], "31234");
}

#[test]
fn rows_whose_keys_the_server_makes_are_compared_and_never_written() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        for server in [source, target]:
            server.make("made_keys", [KEY, VECTOR], auto_id=True, index={"vector": FLAT})
            server.client.insert("made_keys", [dict(vector=vector) for vector in vectors(5, 8)])
            server.client.flush("made_keys")
            server.load("made_keys")
        "#,
    );
    let run = verify("made_keys", &["--level", "full", "--repair", "--repair-foreign", "--yes"]);
    run.failed(5, "VF-0414", "the target generates the IDs of this collection (auto ID)");
    assert_eq!((found(run.report(), "missing").len(), found(run.report(), "extra").len()), (5, 5));
    oracle.run(r#"assert target.count("made_keys") == 5"#);
}

#[test]
fn only_what_a_recorded_job_made_is_mended() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        simple(source, "owned", 400, partitions=["p"])
        for server in [source, target]:
            simple(server, "foreign", 400)
        target.client.delete("foreign", ids=[7])
        "#,
    );
    let (run, job) = Vecferry::between(servers(), "migrate", "source", "target", &["--collection", "owned"])
        .run_within("env", &[]);
    run.succeeded();
    oracle.run(r#"target.client.delete("owned", ids=[7])"#);
    let state_dir = job.state_dir().to_str().unwrap();
    let repair = |name: &str, directory: &str| {
        verify(name, &["--level", "full", "--repair", "--yes", "--state-dir", directory])
    };
    let elsewhere = tempfile::tempdir().unwrap();
    for (name, directory) in [("foreign", state_dir), ("owned", elsewhere.path().to_str().unwrap())] {
        let run = repair(name, directory);
        run.failed(5, "VF-0401", "1 row(s) of the source are missing on the target");
        run.failed(5, "VF-0414", "it was not created by a job recorded here");
        oracle.run(&format!(r#"target.load("{name}"); assert target.count("{name}") == 399"#));
    }
    repair("owned", state_dir).succeeded();
    oracle.run(r#"assert same(source, target, "owned") == 400"#);
}

#[test]
fn a_comparison_that_was_killed_goes_on_behind_what_it_had_compared() {
    let mut oracle = Oracle::new(slow());
    make(&mut oracle, "half_compared", 20);
    let proxy = FaultProxy::start(&slow().uri("origin"));
    let (source, target) = (proxy.uri(), slow().uri("limited"));
    let arguments =
        ["--source", &source, "--target", &target, "--collection", "half_compared", "--verify", "full"];
    let (mut child, state) = Vecferry::new(slow(), "migrate", &arguments).spawn();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("\"verifying\"")));
    // The source answers so slowly that it is recorded behind each span how far the comparison is.
    let slowly = proxy.arm("Query", When::Always, Fault::Delay(Duration::from_millis(1500)));
    assert!(slowly.wait_until_fired_times(9, Duration::from_secs(60)), "{slowly:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    slowly.disarm();
    let job = only_job(&state);
    let run = resumed(&state, &job);
    let verification = &run.succeeded()["collections"][0]["verification"];
    assert_eq!((&verification["passed"], &verification["rows_compared"]), (&true.into(), &20_000.into()));
    let before = verification["rows_compared_before"].as_u64().unwrap();
    assert!((1..20_000).contains(&before), "{before} rows were compared before the kill");
}

/// Equal rows are not all: what else the contract carries over is compared at every level.
#[test]
fn definitions_that_differ() {
    let mut oracle = both("other_definition");
    oracle.run(
        r#"
        source.client.create_alias("other_definition", "of_other_definition")
        target.client.alter_collection_properties("other_definition", {"collection.ttl.seconds": 86400})
        source.client.create_partition("other_definition", "late")
        target.client.release_collection("other_definition")
        target.client.drop_index("other_definition", "vector")
        params = target.client.prepare_index_params()
        params.add_index("vector", index_type="AUTOINDEX", metric_type="COSINE")
        target.client.create_index("other_definition", params)
        "#,
    );
    for level in ["count", "sample", "full"] {
        let run = verify("other_definition", &["--level", level]);
        run.failed(5, "VF-0407", "`default.other_definition`: the definitions on source and target differ");
        for told in [
            "missing partitions: `late`",
            "missing aliases: `of_other_definition`",
            "properties[collection.ttl.seconds]: none became 86400",
            "metric type of `vector`: L2 on the source, COSINE on the target",
        ] {
            assert!(run.stderr.contains(told), "{level}: {told}: {}", run.stderr);
        }
    }
}
