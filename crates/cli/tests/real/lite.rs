//! Pairs with Milvus Lite: what it can hold arrives, and what it can't keep is listed.

use serde_json::json;
use vecferry_testkit::Vecferry;

use crate::museum::{Pair, state_items};
use crate::{oracle, servers};

#[test]
fn milvus_to_lite_3() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        numbers = ("numbers", DataType.ARRAY, dict(element_type=DataType.INT64, max_capacity=8))
        source.make("to_lite", [KEY, TEXT, numbers, ("doc", DataType.JSON, {}), VECTOR], dynamic=True, num_shards=2,
            partitions=["p", "empty"], index={"vector": HNSW})
        rows = [dict(row, numbers=[row["id"]] * (row["id"] % 4), doc={"v": row["id"]}, more="动态") for row in books(400, -200)]
        source.client.insert("to_lite", rows[:250])
        source.client.insert("to_lite", rows[250:], partition_name="p")
        source.client.create_alias("to_lite", "to_lite_alias")
        source.client.flush("to_lite")
        source.load("to_lite")
        "#,
    );
    let run = Vecferry::migrate(servers(), "source", "lite", &["--collection", "to_lite"]);
    let collection = &run.succeeded()["collections"][0];
    let changes: Vec<_> = collection["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["what"].as_str().unwrap())
        .collect();
    assert!(changes.contains(&"shards_num"), "{changes:?}");
    assert_eq!(collection["verification"]["target_rows"], 400);
    oracle.run(
        r#"
        assert lite.partitions("to_lite") == ["_default", "empty", "p"]
        lite.client.load_collection("to_lite")
        assert same(source, lite, "to_lite") == 400
        assert lite.client.list_aliases("to_lite")["aliases"] == ["to_lite_alias"]
        assert indexes(lite, "to_lite")["vector"]["metric_type"] == "L2", indexes(lite, "to_lite")
        "#,
    );
    let shown = ("Milvus 2.3.5", "Milvus Lite 3.2.2");
    let pair = Pair { source: "source", target: "lite", shown, db: "default", collections: vec!["to_lite"] };
    state_items(&pair, run.report());
}

#[test]
fn lite_3_to_lite_3_with_nulls_defaults_and_functions() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        D = DataType
        nullable = lambda name, kind, **more: (name, kind, dict(nullable=True, **more))
        fields = [KEY,
            nullable("flag", D.BOOL), nullable("i8", D.INT8), nullable("i16", D.INT16), nullable("i32", D.INT32), nullable("i64", D.INT64),
            nullable("f32", D.FLOAT), nullable("f64", D.DOUBLE), nullable("name", D.VARCHAR, max_length=100), nullable("doc", D.JSON),
            nullable("numbers", D.ARRAY, element_type=D.INT64, max_capacity=8),
            nullable("words", D.ARRAY, element_type=D.VARCHAR, max_capacity=8, max_length=50),
            ("place", D.GEOMETRY, {}), ("at", D.TIMESTAMPTZ, {}),
            ("level", D.INT32, dict(default_value=7)), ("state", D.VARCHAR, dict(max_length=20, default_value="new")),
            ("body", D.VARCHAR, dict(max_length=500, enable_analyzer=True)), ("terms", D.SPARSE_FLOAT_VECTOR, {}),
            ("weights", D.SPARSE_FLOAT_VECTOR, {}), VECTOR]
        bm25 = Function(name="bm25", function_type=FunctionType.BM25, input_field_names=["body"], output_field_names=["terms"])
        lite.client.create_database("shop")
        lite.make("modern", fields, db="shop", dynamic=True, functions=[bm25], partitions=["p", "empty"], index={
            "vector": dict(index_type="HNSW", metric_type="COSINE", params={"M": 8, "efConstruction": 64}),
            "terms": dict(index_type="SPARSE_INVERTED_INDEX", metric_type="BM25"),
            "weights": dict(index_type="SPARSE_INVERTED_INDEX", metric_type="IP")})
        optional = dict(flag=True, i8=-1, i16=-2, i32=-3, i64=-4, f32=0.1, f64=0.1, name="", doc={"键": [None, 2**60 + 1]}, numbers=[1, 2], words=["", "词"])
        def row(at):
            made = dict(id=at - 100, place=f"POINT ({at} {-at})", at=f"2026-11-{at % 28 + 1:02d}T12:34:56.123456+08:00",
                body=f"book number {at} about vectors", weights={at: 0.5, at + 7: at / 3 + 1}, vector=vectors(1, 8, at)[0], extra={"n": at})
            # Every column is null in other rows, some rows are all null, some hold no null.
            for bit, (name, value) in enumerate(optional.items()):
                made[name] = None if at % 5 == 0 or at % 5 != 1 and (at >> (bit % 4)) % 2 else value
            if at % 7 == 0:
                made["numbers"] = []
            if at % 3:
                made.update(level=at, state="used")
            return made
        made = [row(at) for at in range(300)]
        lite.in_db("shop").insert("modern", made[:200])
        lite.in_db("shop").insert("modern", made[200:], partition_name="p")
        lite.in_db("shop").create_alias("modern", "modern_alias")
        lite.in_db("shop").flush("modern")
        lite.in_db("shop").load_collection("modern")
        rows = lite.rows("modern", "shop")
        nulls = {field for row in rows.values() for field, value in row.items() if value is None}
        assert len(rows) == 300 and nulls == set(optional), (len(rows), nulls)
        "#,
    );
    let run = Vecferry::migrate(servers(), "lite", "lite_target", &["--collection", "shop.modern"]);
    let collection = &run.succeeded()["collections"][0];
    assert_eq!(collection["verification"]["target_rows"], 300);
    assert_eq!(collection["verification"]["rows_compared"], 300);
    assert_eq!(collection["aliases"], json!(["modern_alias"]));
    oracle.run(
        r#"
        target_shop = lite_target.in_db("shop")
        target_shop.load_collection("modern")
        assert same(lite, lite_target, "modern", "shop") == 300
        one, other = described(lite, "modern", "shop"), described(lite_target, "modern", "shop")
        assert one == other, f"{one}\n---\n{other}"
        mine, theirs = indexes(lite, "modern", "shop"), indexes(lite_target, "modern", "shop")
        assert {f: i["metric_type"] for f, i in mine.items()} == {f: i["metric_type"] for f, i in theirs.items()}, (mine, theirs)
        assert lite_target.partitions("modern", "shop") == ["_default", "empty", "p"]
        found = [server.in_db("shop").search("modern", ["number 42"], anns_field="terms", limit=3)[0] for server in [lite, lite_target]]
        assert [hit["id"] for hit in found[0]] == [hit["id"] for hit in found[1]] and found[0][0]["id"] == -58, found
        "#,
    );
}

#[test]
fn lite_3_to_milvus() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        lite.make("from_lite", [TEXT_KEY, TEXT, VECTOR], dynamic=True, partitions=["p"], index={"vector": dict(index_type="FLAT", metric_type="IP")})
        rows = [dict(row, id=f"键 {row['id']}", more={"n": row["id"]}) for row in books(300)]
        lite.client.insert("from_lite", rows[:200])
        lite.client.insert("from_lite", rows[200:], partition_name="p")
        lite.client.delete("from_lite", ids=["键 5"])
        "#,
    );
    // Lite does not tell its segments: the plan says what that means, and the report once more.
    let told = "updates of existing rows can't be detected on this source (1 collection(s)): \
                `GetPersistentSegmentInfo` is not available";
    let arguments = ["--collection", "from_lite"];
    let plan = Vecferry::between(servers(), "plan", "lite", "target", &arguments).run();
    assert!(plan.code == 0 && plan.stderr.contains(told), "{}", plan.stderr);
    let run = Vecferry::migrate(servers(), "lite", "target", &arguments);
    let report = run.succeeded();
    let unknown = json!({"seen": "unknown", "reason": "segments_not_told"});
    assert_eq!(report["collections"][0]["drift"]["writes"], unknown, "{report}");
    let warnings = report["warnings"].as_array().unwrap();
    assert_eq!(warnings.iter().filter(|warning| warning["code"] == "VF-0433").count(), 1, "{report}");
    oracle.run(
        r#"
        assert indexes(target, "from_lite")["vector"]["metric_type"] == "IP"
        assert set(target.loaded("from_lite").values()) == {"LoadStateNotLoad"}
        target.load("from_lite")
        assert same(lite, target, "from_lite") == 299
        "#,
    );
    let shown = ("Milvus Lite 3.2.2", "Milvus 2.3.5");
    let pair =
        Pair { source: "lite", target: "target", shown, db: "default", collections: vec!["from_lite"] };
    state_items(&pair, run.report());
}

#[test]
fn lite_2_to_lite_2_with_half_precision_binary_and_sparse_vectors() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        D = DataType
        random = np.random.default_rng(5)
        def half(kind, make, metric, index="FLAT"):
            name = f"lite2_{kind.name.lower()}"
            dim = {} if kind == D.SPARSE_FLOAT_VECTOR else dict(dim=16)
            old_lite.make(name, [TEXT_KEY, ("n", D.INT64, {}), ("doc", D.JSON, {}), ("vector", kind, dim)], dynamic=True,
                index={"vector": dict(index_type=index, metric_type=metric)})
            old_lite.client.insert(name, [
                {"id": f"k\"{at}", "n": at, "doc": {"a": at}, "vector": make(at), "more": [at, "词"]} for at in range(300)])
            old_lite.client.load_collection(name)
        # Random bits are all the values there are, infinities apart.
        bits = lambda width: bytes(random.integers(0, 0x78, width, dtype=np.uint8))
        half(D.FLOAT16_VECTOR, lambda at: random.random(16).astype(np.float16), "L2")
        half(D.BFLOAT16_VECTOR, lambda at: bits(32), "L2")
        half(D.BINARY_VECTOR, lambda at: bytes(random.bytes(2)), "HAMMING", "BIN_FLAT")
        half(D.SPARSE_FLOAT_VECTOR, lambda at: {at * 3: 0.25, at * 3 + 1: at + 0.1}, "IP", "SPARSE_INVERTED_INDEX")
        "#,
    );
    let names = ["float16_vector", "bfloat16_vector", "binary_vector", "sparse_float_vector"];
    let names: Vec<_> = names.iter().map(|kind| format!("lite2_{kind}")).collect();
    let arguments: Vec<_> = names.iter().flat_map(|name| ["--collection", name]).collect();
    let run = Vecferry::migrate(servers(), "old_lite", "old_lite_target", &arguments);
    let report = run.succeeded();
    for collection in report["collections"].as_array().unwrap() {
        assert_eq!(collection["verification"]["target_rows"], 300);
        assert_eq!(collection["verification"]["rows_compared"], 300);
    }
    oracle.run(
        r#"
        for kind in ["float16_vector", "bfloat16_vector", "binary_vector", "sparse_float_vector"]:
            name = f"lite2_{kind}"
            old_lite_target.client.load_collection(name)
            assert same(old_lite, old_lite_target, name) == 300
            mine, theirs = indexes(old_lite, name), indexes(old_lite_target, name)
            assert mine["vector"]["metric_type"] == theirs["vector"]["metric_type"], (mine, theirs)
        "#,
    );
}

/// Its files don't bear two calls at once.
#[test]
fn many_collections_arrive_on_lite_with_their_aliases() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        lite.client.create_database("lite_many")
        for at in range(40):
            lite.make(f"many_{at}", [KEY, VECTOR], db="lite_many", index={"vector": FLAT})
            lite.in_db("lite_many").insert(f"many_{at}", [dict(id=at, vector=vectors(1, 8, at)[0])])
            lite.in_db("lite_many").create_alias(f"many_{at}", f"alias_{at}")
        "#,
    );
    let run = Vecferry::migrate(servers(), "lite", "lite_target", &["--collection", "lite_many.*"]);
    assert_eq!(run.succeeded()["collections"].as_array().unwrap().len(), 40);
    oracle.run(
        r#"
        for at in range(40):
            lite_target.in_db("lite_many").load_collection(f"alias_{at}")
            assert same(lite, lite_target, f"many_{at}", "lite_many") == 1
            assert lite_target.in_db("lite_many").describe_alias(f"alias_{at}")["collection_name"] == f"many_{at}"
        "#,
    );
}

/// Rows that were written once more into another partition are still there where their former partition is named.
#[test]
fn partitions_of_lite_3_that_add_up_to_more_than_the_whole_are_refused() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        for name in ["moved_loaded", "moved_released"]:
            lite.make(name, [KEY, TEXT, VECTOR], partitions=["old", "new"], index={"vector": FLAT})
            lite.client.insert(name, books(100), partition_name="old")
            lite.client.flush(name)
            lite.client.insert(name, books(20), partition_name="new")
        lite.client.load_collection("moved_loaded")
        lite.client.release_collection("moved_released")
        "#,
    );
    let refused =
        |name| format!("`default.{name}` has 100 rows on the source, but its partitions add up to 120");
    let run = Vecferry::migrate(servers(), "lite", "lite_target", &["--collection", "moved_loaded"]);
    run.failed(3, "VF-0236", &refused("moved_loaded"));
    // What is not loaded can't be counted before the job begins, but before its first row.
    let run = Vecferry::migrate(servers(), "lite", "lite_target", &["--collection", "moved_released"]);
    assert!(
        run.stderr.contains("VF-0236") && run.stderr.contains(&refused("moved_released")),
        "{}",
        run.stderr
    );
    assert_eq!(run.report()["collections"][0]["rows"], 0);
}

/// Milvus Lite 2.5.1 fails where nothing is to be read, and 3.2.2 sorts the keys of an analyzer's parameters.
#[test]
fn whims_of_lite_are_no_differences() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        old_lite.make("nothing", [KEY, VECTOR], index={"vector": FLAT})
        analyzer = {"tokenizer": "standard", "filter": ["lowercase"]}
        body = ("body", DataType.VARCHAR, dict(max_length=100, enable_analyzer=True, analyzer_params=analyzer))
        lite.make("analyzed", [KEY, body, VECTOR], index={"vector": FLAT})
        lite.client.insert("analyzed", [dict(id=row["id"], body="word", vector=row["vector"]) for row in books(50)])
        "#,
    );
    let full = |name| ["--collection", name, "--verify", "full"];
    Vecferry::migrate(servers(), "old_lite", "old_lite_target", &full("nothing")).succeeded();
    Vecferry::migrate(servers(), "lite", "lite_target", &full("analyzed")).succeeded();
    let name = "dots.in.it";
    oracle.run(r#"lite.make("dots.in.it", [KEY, VECTOR], index={"vector": FLAT})"#);
    Vecferry::migrate(servers(), "lite", "lite_target", &["--collection", &format!("default.{name}")])
        .succeeded();
}

/// Milvus Lite 3 answers a text in a JSON field without its quotes; what it was can't be told from the answer.
#[test]
fn json_texts_of_lite_3_are_told_of() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        lite.make("json_texts", [KEY, ("doc", DataType.JSON, {}), VECTOR])
        rows = [dict(id=at, doc=doc, vector=vectors(1, 8, at)[0]) for at, doc in enumerate(['{"a": 1}', '"123"', '"abc"'])]
        lite.client.insert("json_texts", rows)
        lite.client.load_collection("json_texts")
        answer = lite.call("Query", "default", collection_name="json_texts", expr="id >= 0", output_fields=["id", "doc"])
        docs = next(field.scalars.json_data.data for field in answer.fields_data if field.field_name == "doc")
        assert b"123" in docs and b"abc" in docs, docs
        "#,
    );
    let run =
        Vecferry::between(servers(), "plan", "lite", "lite_target", &["--collection", "json_texts"]).run();
    assert_eq!(run.code, 0, "{}", run.stderr);
    let said = "warning[VF-0441]: the source (Milvus Lite 3.2.2) returns JSON values that are strings without their quotes: \
                in the fields `doc` of `default.json_texts`";
    assert!(run.stderr.contains(said), "{}", run.stderr);
}
