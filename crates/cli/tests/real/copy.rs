//! Milvus 2.3.5 to Milvus 2.3.5: everything arrives as it was.

use serde_json::json;
use vecferry_testkit::Vecferry;

use crate::{oracle, servers};

#[test]
fn every_type_every_attribute_and_every_row_arrive() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        D = DataType
        elements = [D.BOOL, D.INT8, D.INT16, D.INT32, D.INT64, D.FLOAT, D.DOUBLE, D.VARCHAR]
        array = lambda t: (f"array_{t.name.lower()}", D.ARRAY, dict(
            element_type=t, max_capacity=8, **({"max_length": 50} if t == D.VARCHAR else {})))
        fields = [
            ("id", D.INT64, dict(is_primary=True, description="主键")), ("name", D.VARCHAR, dict(max_length=300)),
            ("flag", D.BOOL, {}), ("i8", D.INT8, {}), ("i16", D.INT16, {}), ("i32", D.INT32, {}), ("i64", D.INT64, {}),
            ("f32", D.FLOAT, {}), ("f64", D.DOUBLE, {}), ("document", D.JSON, {}), *map(array, elements), VECTOR]
        source.make("everything", fields, dynamic=True, description="图书目录 \"第一\"", num_shards=2,
            consistency_level="Session", partitions=["first", "second", "empty"], index={
                "vector": dict(HNSW, index_name="by_vector"), "i32": dict(index_type="STL_SORT", index_name="by_i32"),
                "name": dict(index_type="Trie", index_name="by_name")})
        samples = {D.BOOL: [True, False], D.INT8: [-128, 127], D.INT16: [-2**15, 2**15 - 1], D.INT32: [-2**31, 2**31 - 1],
            D.INT64: [-2**63, 2**63 - 1], D.FLOAT: [0.1, -3.4e38], D.DOUBLE: [0.1, 5e-324], D.VARCHAR: ["", "值\n\"\\"]}
        def row(key, at):
            made = dict(id=key, name=f"名字 {key} 📚", flag=at % 2 == 0, i8=at % 256 - 128, i16=-at, i32=at * 1000, i64=key ^ 1,
                f32=at / 3, f64=at / 3 * 1e300, document={"键": [1, 2.5, None, {"深": True}], "big": 2**53 + 1 + at},
                vector=vectors(1, 8, at)[0], extra={"nested": [{"a": [key, "💡"]}]}, number=9007199254740993 + at)
            for element in elements:
                made[f"array_{element.name.lower()}"] = samples[element] * (at % 4)
            return made
        keys = [-2**63, -2**63 + 1, -5, -1, 0, 1, 2**63 - 2, *range(100, 400)]
        rows = [row(key, at) for at, key in enumerate(keys)]
        source.client.insert("everything", rows[0::3], partition_name="_default")
        source.client.insert("everything", rows[1::3], partition_name="first")
        source.client.insert("everything", rows[2::3], partition_name="second")
        source.client.create_alias("everything", "all_of_it")
        source.client.create_alias("everything", "everything_too")
        source.client.flush("everything")
        source.client.alter_collection_properties("everything", properties={"collection.ttl.seconds": "86400"})
        source.load("everything")
        "#,
    );

    let run = Vecferry::migrate(servers(), "source", "target", &["--collection", "everything"]);
    let report = run.succeeded();
    assert_eq!((&report["verify"], &report["verified"]), (&json!("sample"), &json!("sample")));
    let collection = &report["collections"][0];
    assert_eq!(collection["rows"], 307);
    assert_eq!(collection["loaded"], false);
    assert_eq!(collection["aliases"], json!(["all_of_it", "everything_too"]));
    let partitions: Vec<_> = collection["partitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| (part["partition"].as_str().unwrap(), part["rows_read"].as_u64().unwrap()))
        .collect();
    assert_eq!(partitions.len(), 4, "{partitions:?}");
    assert!(partitions.contains(&("empty", 0)) && partitions.contains(&("first", 102)), "{partitions:?}");
    let verification = &collection["verification"];
    assert_eq!(verification["passed"], true);
    assert_eq!((&verification["source_rows"], &verification["target_rows"]), (&json!(307), &json!(307)));
    assert_eq!(verification["rows_compared"], 307);

    oracle.run(
        r#"
        assert set(target.loaded("everything").values()) == {"LoadStateNotLoad"}, target.loaded("everything")
        assert set(source.loaded("everything").values()) == {"LoadStateLoaded"}, source.loaded("everything")
        one, other = described(source, "everything"), described(target, "everything")
        assert one == other, f"{one}\n---\n{other}"
        assert "collection.ttl.seconds" in one and "图书目录" in source.client.describe_collection("everything")["description"]
        assert source.partitions("everything") == target.partitions("everything")
        mine, theirs = indexes(source, "everything"), indexes(target, "everything")
        assert theirs.pop("vector") == {"index_type": "AUTOINDEX", "metric_type": "L2", "name": "by_vector"}, theirs
        mine.pop("vector")
        assert mine == theirs and set(mine) == {"i32", "name"}, (mine, theirs)
        target.load("everything")
        assert same(source, target, "everything") == 307
        "#,
    );
}

#[test]
fn binary_vectors_arrive() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        source.make("binary", [TEXT_KEY, ("bits", DataType.BINARY_VECTOR, dict(dim=128))],
            index={"bits": dict(index_type="BIN_IVF_FLAT", metric_type="JACCARD", params={"nlist": 16})})
        bits = np.random.default_rng(1).bytes(16 * 2000)
        source.client.insert("binary", [{"id": f"k{at}", "bits": bits[at * 16:at * 16 + 16]} for at in range(2000)])
        source.client.flush("binary")
        source.load("binary")
        "#,
    );
    Vecferry::migrate(servers(), "source", "target", &["--collection", "binary"]).succeeded();
    oracle.run(
        r#"
        assert indexes(target, "binary")["bits"]["metric_type"] == "JACCARD"
        assert indexes(target, "binary")["bits"]["index_type"] == "AUTOINDEX"
        target.load("binary")
        assert same(source, target, "binary") == 2000
        "#,
    );
}

#[test]
fn a_partition_key_and_its_number_of_partitions_arrive() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        tenant = ("tenant", DataType.VARCHAR, dict(max_length=50, is_partition_key=True))
        source.make("tenants", [KEY, tenant, VECTOR], num_partitions=7, index={"vector": dict(index_type="FLAT", metric_type="IP")})
        source.client.insert("tenants", [
            {"id": at, "tenant": f"租户 {at % 40}", "vector": vector} for at, vector in enumerate(vectors(3000, 8))])
        source.client.flush("tenants")
        source.load("tenants")
        "#,
    );
    let run = Vecferry::migrate(servers(), "source", "target", &["--collection", "tenants"]);
    let report = run.succeeded();
    assert_eq!(report["collections"][0]["verification"]["target_rows"], 3000);
    oracle.run(
        r#"
        assert described(source, "tenants") == described(target, "tenants")
        assert len(target.partitions("tenants")) == 7
        target.load("tenants")
        assert same(source, target, "tenants") == 3000
        found = target.client.query("tenants", 'tenant == "租户 3"', output_fields=["id"], limit=1000)
        assert len(found) == 75, len(found)
        "#,
    );
}

#[test]
fn empty_collections_arrive_with_and_without_an_index() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        source.make("empty_indexed", [KEY, VECTOR], index={"vector": FLAT})
        source.make("empty_bare", [KEY, VECTOR], partitions=["p"])
        "#,
    );
    let arguments = ["--collection", "empty_indexed", "--collection", "empty_bare"];
    let run = Vecferry::migrate(servers(), "source", "target", &arguments);
    assert_eq!(run.succeeded()["collections"].as_array().unwrap().len(), 2);
    oracle.run(
        r#"
        assert indexes(target, "empty_indexed")["vector"]["index_type"] == "AUTOINDEX"
        assert indexes(target, "empty_indexed")["vector"]["metric_type"] == "L2"
        for name in ["empty_indexed", "empty_bare"]:
            assert described(source, name) == described(target, name)
        assert target.partitions("empty_bare") == ["_default", "p"]
        assert target.client.list_indexes("empty_bare") == [], target.client.list_indexes("empty_bare")
        for server in [source, target]:
            assert set(server.loaded("empty_indexed").values()) == {"LoadStateNotLoad"}
        target.load("empty_indexed")
        assert target.count("empty_indexed") == 0
        "#,
    );
}

#[test]
fn databases_are_made_renamed_and_left_out_as_asked() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        for db in ["shop", "archive"]:
            source.client.create_database(db)
        simple(source, "orders", 50, db="shop")
        simple(source, "drafts", 20, db="shop")
        simple(source, "orders", 30, db="archive", load=False)
        "#,
    );
    let arguments = [
        ["--collection", "shop.*"],
        ["--collection", "archive.orders"],
        ["--exclude", "shop.drafts"],
        ["--target-db", "archive=archive_2026"],
    ]
    .concat();
    let run = Vecferry::migrate(servers(), "source", "target", &arguments);
    let report = run.succeeded();
    let names: Vec<_> = report["collections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|made| {
            format!("{}.{}", made["target_db"].as_str().unwrap(), made["collection"].as_str().unwrap())
        })
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    oracle.run(
        r#"
        assert target.names("shop") == ["orders"]
        assert target.names("archive_2026") == ["orders"]
        assert "archive" not in target.client.list_databases()
        assert set(source.loaded("orders", "archive").values()) == {"LoadStateNotLoad"}
        source.load("orders", "archive")
        target.load("orders", "shop")
        target.load("orders", "archive_2026")
        assert same(source, target, "orders", "shop") == 50
        assert same(source, target, "orders", "archive", "archive_2026") == 30
        "#,
    );
}

#[test]
fn a_database_is_copied_beside_itself_on_the_same_server() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        source.client.create_database("original")
        simple(source, "notes", 40, db="original")
        "#,
    );
    let arguments = ["--collection", "original.*", "--target-db", "original=twin"];
    Vecferry::migrate(servers(), "source", "source", &arguments).succeeded();
    oracle.run(
        r#"
        source.load("notes", "twin")
        assert same(source, source, "notes", "original", "twin") == 40
        "#,
    );
}

#[test]
fn loading_the_target_is_an_explicit_step_after_which_searches_work() {
    let mut oracle = oracle();
    oracle.run(r#"simple(source, "searched", 500)"#);
    let arguments = ["--collection", "searched", "--wait-index"];
    let run = Vecferry::migrate(servers(), "source", "target", &arguments);
    let index = &run.succeeded()["collections"][0]["indexes"][0];
    assert_eq!((&index["built_rows"], &index["total_rows"]), (&json!(500), &json!(500)));

    let uri = servers().uri("target");
    let load = Vecferry::new(servers(), "load", &["--target", &uri, "--collection", "searched"]).run();
    assert_eq!(load.code, 0, "{}", load.stderr);
    assert_eq!(load.lines.last().unwrap(), &json!({"event": "loaded", "collections": ["default.searched"]}));
    oracle.run(
        r#"
        wanted = books(500)[123]
        found = target.client.search("searched", [wanted["vector"]], limit=3, output_fields=["text"])[0]
        assert found[0]["id"] == 123 and found[0]["entity"]["text"] == "book 123", found
        "#,
    );

    let load = Vecferry::new(servers(), "load", &["--target", &uri, "--collection", "no_such"]).run();
    load.failed(3, "VF-0202", "the target has no collection `default.no_such`");
}
