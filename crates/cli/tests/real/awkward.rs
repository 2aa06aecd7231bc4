//! Awkward keys, rows and collections between two Milvus 2.3.5.

use serde_json::json;
use vecferry_testkit::Vecferry;

use crate::{oracle, servers};

#[test]
fn keys_of_any_characters_arrive() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        keys = ["", " ", "a", "A", "\"", "'", "\\", "\\\\", "\\n", "\n", "a\nb", "\t", "\r\n", "a\"b\\c'd", "%", "_", "{x}", "$",
            "\u0001", "\u007f", "é", "e\u0301", "书", "📚", "📚\"", "\uffff", "\U0010ffff", "null", "0", "-1", 'id > ""', "x" * 200]
        # Few rows to a page make every key the end of a page sooner or later.
        rows = [{"id": key + suffix, "vector": vectors(1, 8, at)[0]} for at, key in enumerate(keys) for suffix in ["", "\\", "\"", "\n"]
            if len(key) < 200 or not suffix]
        assert len({row["id"] for row in rows}) >= 110
        rows = list({row["id"]: row for row in rows}.values())
        # A value of some kilobytes a row, for more pages than one.
        for row in rows:
            row["text"] = "填" * 600
        source.make("odd_keys", [TEXT_KEY, TEXT, VECTOR], index={"vector": FLAT})
        for at in range(0, len(rows), 40):
            source.client.insert("odd_keys", rows[at:at + 40])
            source.client.flush("odd_keys")
        source.load("odd_keys")
        "#,
    );
    Vecferry::migrate(servers(), "source", "target", &["--collection", "odd_keys"]).succeeded();
    oracle.run(
        r#"
        target.load("odd_keys")
        assert same(source, target, "odd_keys") >= 110
        "#,
    );
}

/// Copies keys of odd characters, then damages the target and has exactly that repaired: every key is named in expressions,
/// and nothing but the key itself is selected or deleted.
fn odd_keys_are_copied_and_repaired(source: &str, target: &str, more: &str, extra: &str) {
    let mut oracle = oracle();
    let name = format!("exact_keys_of_{source}");
    oracle.run(&format!(
        r#"
        keys = ["𠮷", "\u0bb7", "𠮷𠮷", "𠮸", "\u0bb8", "渡", "渡𠮷", "é", "e\u0301", "📚", "👨‍👩‍👧", "\U0010ffff", "\uffff", "\ue000", "\u2028", "\ufeff",
            "\u0000", "a\u0000b", "\u0001", "\u001b", "\u007f", "\u0080", "\t", "\r\n", "\n", "n", "a\nb", "anb", "a\\nb", "\"", "\\", "\\\"", "a\"b\\c'd",
            "\\U00020BB7", "\\u0bb7", "", " ", "'", "%", "$", {more}]
        rows = [{{"id": key, "text": "填" * 600, "vector": vectors(1, 8, at)[0]}} for at, key in enumerate(keys)]
        {source}.make("{name}", [TEXT_KEY, TEXT, VECTOR], index={{"vector": FLAT}})
        {source}.client.insert("{name}", rows)
        {source}.load("{name}")
        assert {source}.count("{name}") == len(keys) >= 40
        "#
    ));
    let arguments = ["--collection", &name, "--verify", "full"];
    Vecferry::migrate(servers(), source, target, &arguments).succeeded();
    oracle.run(&format!(
        r#"
        {target}.load("{name}")
        assert same({source}, {target}, "{name}") == len({source}.rows("{name}"))
        # Rows that the source lacks, next to keys that it has; rows that differ; rows that are missing.
        extra = ["𠮹", "\u0bb9", "x\ny", "\\\\", {extra}, "\u0002", "📚📚", "\u007f\u007f"]
        {target}.client.insert("{name}", [{{"id": key, "text": "extra", "vector": [0.5] * 8}} for key in extra])
        changed = ["𠮷", "\u0bb8", "a\nb", "\u0001", "é"]
        {target}.client.upsert("{name}", [{{"id": key, "text": "changed", "vector": [0.5] * 8}} for key in changed])
        {target}.client.delete("{name}", ids=["n", "%"])
        assert {target}.count("{name}") == {source}.count("{name}") + 6
        "#
    ));
    let repair = ["--collection", &name, "--level", "full", "--repair", "--repair-foreign", "--yes"];
    let run = Vecferry::verify(servers(), source, target, &repair);
    let repaired = &run.succeeded()["collections"][0]["verification"]["repair"];
    assert_eq!(
        (&repaired["rows_written"], &repaired["rows_deleted"]),
        (&json!(7), &json!(8)),
        "{repaired:#}"
    );
    oracle.run(&format!(r#"{target}.load("{name}"); same({source}, {target}, "{name}")"#));
}

#[test]
fn keys_of_any_characters_are_named_exactly_on_milvus() {
    odd_keys_are_copied_and_repaired("source", "target", r#""\r", "a\rb", "\r\r""#, r#""\u0000\u0000""#);
}

#[test]
fn keys_of_any_characters_are_named_exactly_on_lite_3() {
    odd_keys_are_copied_and_repaired("lite", "lite_target", r#""\r", "a\rb", "\r\r""#, r#""\u0000\u0000""#);
}

/// The one character that its expressions can't name is a carriage return without a line feed: it refuses them. Of rows
/// with NUL or `'` in their keys it answers "internal error" to every delete and upsert, and does nothing.
#[test]
fn keys_of_any_characters_are_named_exactly_on_lite_2() {
    odd_keys_are_copied_and_repaired("old_lite", "old_lite_target", r#""\r\n\r\n", "a\r\nb""#, r#""zz""#);
}

#[test]
fn many_segments_partitions_and_rows_arrive() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        names = ["_default", "one", "two", "three"]
        source.make("many", [KEY, TEXT, VECTOR], partitions=names[1:], num_shards=2, index={"vector": FLAT})
        # Keys of all partitions and segments lie among each other; the order of insertion is not theirs.
        made = books(80_000)
        np.random.default_rng(3).shuffle(made)
        for at, name in enumerate(names):
            for piece in range(3):
                source.client.insert("many", made[at::4][piece::3], partition_name=name)
                if piece < 2 and at == 3:
                    source.client.flush("many")
        source.load("many")
        "#,
    );
    let run = Vecferry::migrate(servers(), "source", "target", &["--collection", "many"]);
    let collection = &run.succeeded()["collections"][0];
    assert_eq!(collection["rows"], 80_000);
    for partition in collection["partitions"].as_array().unwrap() {
        assert_eq!((&partition["rows_read"], &partition["rows_written"]), (&json!(20_000), &json!(20_000)));
    }
    assert_eq!(collection["verification"]["target_rows"], 80_000);
    assert!(collection["verification"]["rows_compared"].as_u64().unwrap() >= 1000);
    oracle.run(
        r#"
        target.load("many")
        assert same(source, target, "many") == 80_000
        "#,
    );
}

#[test]
fn rows_of_four_megabytes_and_the_largest_dimension_arrive() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        texts = ("texts", DataType.ARRAY, dict(element_type=DataType.VARCHAR, max_capacity=100, max_length=65535))
        source.make("heavy", [KEY, texts, VECTOR], index={"vector": FLAT})
        for key in range(5):
            source.client.insert("heavy", [{"id": key, "texts": [chr(97 + at % 26) * 65535 for at in range(61)], "vector": [key] * 8}])
        source.client.insert("heavy", [{"id": key, "texts": [], "vector": [key] * 8} for key in range(5, 10)])
        source.make("wide", [KEY, ("vector", DataType.FLOAT_VECTOR, dict(dim=32768))], index={"vector": FLAT})
        for at in range(0, 200, 50):
            source.client.insert("wide", [{"id": at + key, "vector": vector} for key, vector in enumerate(vectors(50, 32768, at))])
        for name in ["heavy", "wide"]:
            source.client.flush(name)
            source.load(name)
        "#,
    );
    let arguments = ["--collection", "heavy", "--collection", "wide"];
    let run = Vecferry::migrate(servers(), "source", "target", &arguments);
    let report = run.succeeded();
    assert!(report["collections"][0]["bytes"].as_u64().unwrap() > 5 * 61 * 65535);
    oracle.run(
        r#"
        for name, rows in [("heavy", 10), ("wide", 200)]:
            target.load(name)
            assert same(source, target, name) == rows
        "#,
    );
}

#[test]
fn deleted_rows_stay_deleted() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        simple(source, "deleted", 400, partitions=["p"], load=True)
        source.client.delete("deleted", ids=list(range(0, 300, 3)))
        source.client.flush("deleted")
        source.client.delete("deleted", ids=[1, 2])
        source.client.insert("deleted", books(1, 3, text="again"))
        source.client.upsert("deleted", books(5, 350, text="changed"), partition_name="p")
        rows = source.rows("deleted")
        result = [len(rows), source.count("deleted")]
        "#,
    );
    let run = Vecferry::migrate(servers(), "source", "target", &["--collection", "deleted"]);
    run.succeeded();
    oracle.run(
        r#"
        target.load("deleted")
        rows = same(source, target, "deleted")
        found = {key for _, key in target.rows("deleted")}
        assert not found & ({1, 2} | set(range(0, 300, 3)) - {3}) and 3 in found
        "#,
    );
}

/// 2.3.5 answers any of the copies: of one segment the oldest, of several another one from query to query, and no field
/// tells a row's time. There is no "newest" to insist on, and the plan and the report say so.
#[test]
fn repeated_keys_are_named_and_one_whole_row_of_each_arrives() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        simple(source, "repeated", 100, load=True)
        source.client.insert("repeated", books(10, 20, text="newest"))
        source.client.flush("repeated")
        source.load("repeated")
        assert source.count("repeated") == 110
        "#,
    );
    let refused = Vecferry::migrate(
        servers(),
        "source",
        "target",
        &["--collection", "repeated", "--duplicates", "fail"],
    );
    refused.failed(3, "VF-0213", "`default.repeated`");
    oracle.run(r#"assert "repeated" not in target.names()"#);
    // What must be loaded first is refused before its first row.
    oracle.run(r#"source.client.release_collection("repeated")"#);
    let arguments = ["--collection", "repeated", "--duplicates", "fail", "--verify", "none"];
    let refused = Vecferry::migrate(servers(), "source", "target", &arguments);
    refused.failed(4, "VF-0213", "`default.repeated`");
    assert_eq!(refused.report()["collections"][0]["rows"], 0);
    oracle.run(r#"target.client.drop_collection("repeated"); source.load("repeated")"#);

    let run = Vecferry::migrate(servers(), "source", "target", &["--collection", "repeated"]);
    let report = run.succeeded();
    let plan = run.lines.iter().find(|line| line["event"] == "plan").unwrap();
    let told =
        plan["warnings"].as_array().unwrap().iter().find(|warning| warning["code"] == "VF-0437").unwrap();
    let told = told["message"].as_str().unwrap();
    assert!(told.contains("2.3.5") && told.contains("any one of them is copied, often the oldest"), "{told}");
    let warning =
        report["warnings"].as_array().unwrap().iter().find(|warning| warning["code"] == "VF-0406").unwrap();
    let message = warning["message"].as_str().unwrap();
    assert!(message.contains("10 rows of the source have a duplicate primary key"), "{message}");
    assert!(
        warning["hint"].as_str().unwrap().contains("2.3 returns any of them (often the oldest)"),
        "{warning}"
    );
    assert!((20..30).all(|key| message.contains(&key.to_string())), "{message}");
    let verification = &report["collections"][0]["verification"];
    assert_eq!(verification["duplicate_rows"], 10);
    assert_eq!((&verification["source_rows"], &verification["target_rows"]), (&json!(110), &json!(100)));
    oracle.run(
        r#"
        target.load("repeated")
        arrived = target.client.query("repeated", "id >= 0", output_fields=["*"])
        assert len(arrived) == 100 == target.count("repeated"), len(arrived)
        copies = books(100) + books(10, 20, text="newest")
        exact = lambda row: (row["id"], row["text"], np.array(row["vector"], dtype=np.float32).tobytes())
        assert {exact(row) for row in arrived} <= {exact(row) for row in copies}
        "#,
    );
}

#[test]
fn a_row_that_is_counted_but_returned_by_no_query_fails_the_job() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        simple(source, "unreachable", 20, partitions=["p"])
        source.client.insert("unreachable", books(1, 2**63 - 1), partition_name="p")
        "#,
    );
    let run = Vecferry::migrate(servers(), "source", "target", &["--collection", "unreachable"]);
    run.failed(5, "VF-0404", "`default.unreachable`: the source counts 1 row(s) that no query returns");
    assert_eq!(run.report()["state"], "FAILED");
    assert_eq!(run.report()["verified"], "none");
}
