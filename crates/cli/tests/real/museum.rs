//! For each real server one data set with everything that it can hold and every awkward value: it arrives, `verify
//! --level full` finds nothing, an independent comparison agrees, and the descriptions of both sides are one. The support
//! matrix is made of this.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use vecferry_milvus::{Client, CollectionName, Endpoint, Secret};
use vecferry_testkit::matrix::{Evidence, Outcome, held};
use vecferry_testkit::{Oracle, Vecferry};

use crate::{oracle, servers};

/// Collections of everything that a Milvus 2.3.5 holds.
const OF_MILVUS: &str = r##"
D = DataType
awkward_texts = ["", " ", "\"", "'", "\\", "\\n", "a\nb", "\t", "%_", "{x}", "é", "e\u0301", "书", "📚", "\uffff", "\U0010ffff", "null", 'id > ""', "x" * 190]
awkward_json = [None, True, 0, -1, 2**53 + 1, -2**63, 0.1, 1e308, "", "\"\\\n 书", [], {}, [[], {}], {"": None}, {"a": {"b": [1, None, "书"]}}]
elements = [D.BOOL, D.INT8, D.INT16, D.INT32, D.INT64, D.FLOAT, D.DOUBLE, D.VARCHAR]
array = lambda t: (f"array_{t.name.lower()}", D.ARRAY, dict(element_type=t, max_capacity=6, **({"max_length": 200} if t == D.VARCHAR else {})))
of_elements = {D.BOOL: [True, False], D.INT8: [-128, 127], D.INT16: [-2**15, 2**15 - 1], D.INT32: [-2**31, 2**31 - 1],
    D.INT64: [-2**63, 2**63 - 1], D.FLOAT: [-0.0, 3.4e38], D.DOUBLE: [5e-324, -1.7e308], D.VARCHAR: ["", "值\n\"\\"]}
keys = [-2**63, -2**63 + 1, -5, -1, 0, 1, 2**63 - 2, *range(1000, 1293)]
def museum(server, db):
    server.client.create_database(db)
    server.make("types", [
        ("f32", D.FLOAT, {}), ("id", D.INT64, dict(is_primary=True, description="主键")), ("flag", D.BOOL, {}), ("i8", D.INT8, {}), ("i16", D.INT16, {}),
        ("i32", D.INT32, {}), ("i64", D.INT64, {}), ("f64", D.DOUBLE, dict(description="a \"double\"")), ("name", D.VARCHAR, dict(max_length=200)),
        ("document", D.JSON, {}), *map(array, elements), ("vector", D.FLOAT_VECTOR, dict(dim=9))],
        db=db, dynamic=True, description="博物馆 — everything", num_shards=2, consistency_level="Eventually", partitions=["one", "two", "empty"], index={
            "vector": dict(index_type="HNSW", metric_type="IP", params={"M": 8, "efConstruction": 64}, index_name="by_vector"),
            "i32": dict(index_type="STL_SORT", index_name="by_i32"), "name": dict(index_type="Trie", index_name="by_name")})
    def row(key, at):
        made = dict(id=key, flag=at % 2 == 0, i8=at % 256 - 128, i16=[-2**15, 2**15 - 1][at % 2], i32=[-2**31, 2**31 - 1][at % 2],
            i64=[-2**63, 2**63 - 1, 0, at][at % 4], f32=[-0.0, 1e-45, 3.4e38, at / 3][at % 4], f64=[-0.0, 5e-324, -1.7e308, at / 3][at % 4],
            name=awkward_texts[at % len(awkward_texts)], document={"v": awkward_json[at % len(awkward_json)]}, vector=vectors(1, 9, at)[0],
            extra=awkward_json[(at + 3) % len(awkward_json)], **{f"键 {at % 5}": at})
        for element in elements:
            made[f"array_{element.name.lower()}"] = of_elements[element] * (at % 4)
        return made
    rows = [row(key, at) for at, key in enumerate(keys)]
    inside = server.in_db(db)
    for at, partition in enumerate(["_default", "one", "two"]):
        inside.insert("types", rows[at::3], partition_name=partition)
    inside.delete("types", ids=[1005, 1006])
    for alias in ["first_alias", "second_alias"]:
        inside.create_alias("types", alias)
    inside.flush("types")
    inside.alter_collection_properties("types", properties={"collection.ttl.seconds": "86400"})
    server.make("bits", [("id", D.VARCHAR, dict(is_primary=True, max_length=200)), ("bits", D.BINARY_VECTOR, dict(dim=24))], db=db,
        index={"bits": dict(index_type="BIN_IVF_FLAT", metric_type="JACCARD", params={"nlist": 4})})
    inside.insert("bits", [dict(id=text, bits=bytes([at, 255 - at, 7])) for at, text in enumerate(awkward_texts)])
    inside.flush("bits")
    server.make("tenants", [KEY, ("tenant", D.VARCHAR, dict(max_length=50, is_partition_key=True)), VECTOR], db=db, num_partitions=7, index={"vector": FLAT})
    inside.insert("tenants", [dict(id=-at, tenant=f"租户 {at % 40}", vector=vector) for at, vector in enumerate(vectors(500, 8))])
    inside.flush("tenants")
    for name in ["types", "bits", "tenants"]:
        server.load(name, db)
"##;

/// Collections of everything that a milvus-lite 3 holds.
const OF_LITE_3: &str = r##"
D = DataType
nullable = lambda name, kind, **more: (name, kind, dict(nullable=True, **more))
elements = [D.BOOL, D.INT8, D.INT16, D.INT32, D.INT64, D.FLOAT, D.DOUBLE, D.VARCHAR]
array = lambda t: nullable(f"array_{t.name.lower()}", D.ARRAY, element_type=t, max_capacity=6, **({"max_length": 200} if t == D.VARCHAR else {}))
of_elements = {D.BOOL: [True, False], D.INT8: [-128, 127], D.INT16: [-2**15, 2**15 - 1], D.INT32: [-2**31, 2**31 - 1],
    D.INT64: [-2**63, 2**63 - 1], D.FLOAT: [-0.0, 0.5], D.DOUBLE: [5e-324, -1.7e308], D.VARCHAR: ["", "值\n\"\\"]}
def museum(server, db):
    server.client.create_database(db)
    inside = server.in_db(db)
    server.make("modern", [
        nullable("flag", D.BOOL), KEY, nullable("i8", D.INT8), nullable("i16", D.INT16), nullable("i32", D.INT32), nullable("i64", D.INT64),
        nullable("f32", D.FLOAT), nullable("f64", D.DOUBLE), nullable("name", D.VARCHAR, max_length=100), nullable("doc", D.JSON), *map(array, elements),
        ("place", D.GEOMETRY, {}), nullable("maybe_place", D.GEOMETRY), ("at", D.TIMESTAMPTZ, {}), nullable("maybe_at", D.TIMESTAMPTZ),
        ("level", D.INT32, dict(default_value=7)), ("state", D.VARCHAR, dict(max_length=20, default_value="new")), ("share", D.DOUBLE, dict(default_value=0.25)),
        ("body", D.VARCHAR, dict(max_length=500, enable_analyzer=True, enable_match=True)), ("terms", D.SPARSE_FLOAT_VECTOR, {}),
        ("weights", D.SPARSE_FLOAT_VECTOR, {}), VECTOR],
        db=db, dynamic=True, partitions=["one", "empty"],
        functions=[Function(name="bm25", function_type=FunctionType.BM25, input_field_names=["body"], output_field_names=["terms"])],
        index={"vector": dict(index_type="HNSW", metric_type="COSINE", params={"M": 8, "efConstruction": 64}),
            "terms": dict(index_type="SPARSE_INVERTED_INDEX", metric_type="BM25"), "weights": dict(index_type="SPARSE_INVERTED_INDEX", metric_type="IP"),
            "i64": dict(index_type="INVERTED", index_name="by_i64")})
    optional = dict(flag=True, i8=-1, i16=-2, i32=-3, i64=-2**63, f32=0.1, f64=5e-324, name="", doc={"键": [None, 2**60 + 1]}, maybe_place="POINT (1 2)",
        maybe_at="1969-07-20T20:17:40Z", **{f"array_{t.name.lower()}": of_elements[t] for t in elements})
    def row(at):
        made = dict(id=at - 100, place=f"POINT ({at} {-at})", at=f"2026-11-{at % 28 + 1:02d}T12:34:56.123456+08:00", body=f"book number {at} about vectors",
            weights={at: 0.5, 2**31 + at: at / 3 + 1}, vector=vectors(1, 8, at)[0], extra={"n": at, "": [None]})
        # Every column is null in other rows, some rows are all null, some hold no null.
        for bit, (name, value) in enumerate(optional.items()):
            made[name] = None if at % 5 == 0 or at % 5 != 1 and (at >> (bit % 4)) % 2 else value
        if at % 7 == 0:
            made["array_int64"] = []
        if at % 3:
            made.update(level=at, state="", share=-0.0)
        return made
    rows = [row(at) for at in range(300)]
    inside.insert("modern", rows[:200])
    inside.insert("modern", rows[200:], partition_name="one")
    inside.create_alias("modern", "modern_alias")
    server.make("tenants", [TEXT_KEY, ("tenant", D.INT64, dict(is_partition_key=True)), VECTOR], db=db, index={"vector": FLAT})
    inside.insert("tenants", [dict(id=f"键\"{at}\\", tenant=at % 9, vector=vector) for at, vector in enumerate(vectors(200, 8))])
    for name in ["modern", "tenants"]:
        inside.flush(name)
        inside.load_collection(name)
"##;

/// Collections of everything that a milvus-lite 2 holds; it has one vector field a collection.
const OF_LITE_2: &str = r##"
D = DataType
random = np.random.default_rng(5)
# Random bits are all the values there are, infinities apart.
bits = lambda width: bytes(random.integers(0, 0x78, width, dtype=np.uint8))
makers = {
    D.FLOAT_VECTOR: (lambda at: vectors(1, 16, at)[0], "IP", "FLAT"),
    D.FLOAT16_VECTOR: (lambda at: random.random(16).astype(np.float16), "L2", "FLAT"),
    D.BFLOAT16_VECTOR: (lambda at: bits(32), "L2", "FLAT"),
    D.BINARY_VECTOR: (lambda at: bytes(random.bytes(2)), "HAMMING", "BIN_FLAT"),
    D.SPARSE_FLOAT_VECTOR: (lambda at: {at * 3: 0.25, 2**31 + at: at + 0.1}, "IP", "SPARSE_INVERTED_INDEX")}
elements = [D.BOOL, D.INT8, D.INT16, D.INT32, D.INT64, D.FLOAT, D.DOUBLE, D.VARCHAR]
array = lambda t: (f"array_{t.name.lower()}", D.ARRAY, dict(element_type=t, max_capacity=6, **({"max_length": 200} if t == D.VARCHAR else {})))
of_elements = {D.BOOL: [True, False], D.INT8: [-128, 127], D.INT16: [-2**15, 2**15 - 1], D.INT32: [-2**31, 2**31 - 1],
    D.INT64: [-2**63, 2**63 - 1], D.FLOAT: [-0.0, 0.5], D.DOUBLE: [5e-324, -1.7e308], D.VARCHAR: ["", "值\n\"\\"]}
def museum(server, prefix):
    for at_kind, (kind, (make, metric, index)) in enumerate(makers.items()):
        name = f"{prefix}_{kind.name.lower()}"
        key = KEY if at_kind % 2 else TEXT_KEY
        server.make(name, [
            ("flag", D.BOOL, {}), key, ("i8", D.INT8, {}), ("i16", D.INT16, {}), ("i32", D.INT32, {}), ("i64", D.INT64, {}), ("f32", D.FLOAT, {}), ("f64", D.DOUBLE, {}),
            ("name", D.VARCHAR, dict(max_length=100)), ("doc", D.JSON, {}), *map(array, elements), ("vector", kind, {} if kind == D.SPARSE_FLOAT_VECTOR else dict(dim=16))],
            dynamic=True, index={"vector": dict(index_type=index, metric_type=metric)})
        server.client.insert(name, [dict(
            id=at - 50 if at_kind % 2 else f"k\"{at}\\", flag=at % 2 == 0, i8=-128 + at % 256, i16=-at, i32=2**31 - 1 - at, i64=2**63 - 1 - at, f32=-0.0, f64=5e-324 * at,
            name="书\n"[at % 2:], doc={"a": [at, None]}, vector=make(at), more=[at, "词"], **{f"array_{t.name.lower()}": of_elements[t] * (1 + at % 3) for t in elements})
            for at in range(200)])
        server.client.flush(name)
        server.client.load_collection(name)
"##;

/// What the plan lists, by what it says of a change.
const LISTED: [(&str, &str); 5] = [
    ("shards_num", "shards"),
    ("consistency_level", "consistency"),
    ("num_partitions", "partition_key"),
    ("descriptions", "description"),
    ("property", "property"),
];

/// Two servers, and the collections that show what arrives.
pub(crate) struct Pair {
    /// Names of the servers, here and in the oracle.
    pub(crate) source: &'static str,
    pub(crate) target: &'static str,
    /// How the matrix calls them.
    pub(crate) shown: (&'static str, &'static str),
    pub(crate) db: &'static str,
    pub(crate) collections: Vec<&'static str>,
}

/// Migrates, lets `verify` and the oracle compare every row, and states what arrived.
async fn show(oracle: &mut Oracle, pair: &Pair) {
    let Pair { source, target, db, .. } = pair;
    let names: Vec<_> = pair.collections.iter().map(|name| format!("{db}.{name}")).collect();
    let selected: Vec<_> = names.iter().flat_map(|name| ["--collection", name.as_str()]).collect();
    let run = Vecferry::migrate(servers(), source, target, &selected);
    let report = run.succeeded();
    let full = [&selected[..], &["--level", "full"]].concat();
    let verified = Vecferry::verify(servers(), source, target, &full);
    assert_eq!(verified.code, 0, "{}", verified.stderr);
    for (name, collection) in
        pair.collections.iter().zip(verified.report()["collections"].as_array().unwrap())
    {
        let proof = &collection["verification"];
        assert_eq!(proof["rows_compared"], proof["source_rows"], "{name}");
        let script = format!(
            "{target}.load({name:?}, {db:?})\n\
             result = same({source}, {target}, {name:?}, {db:?})",
        );
        let compared = oracle.run(&script);
        // Where a partition key or the server itself repeats nothing, both count the same rows.
        assert_eq!(compared, proof["source_rows"], "{name}");
        if pair.shown.0 == pair.shown.1 {
            oracle.run(&format!(
                "one, other = described({source}, {name:?}, {db:?}), described({target}, {name:?}, {db:?})\n\
                 assert one == other, f\"{{one}}\\n---\\n{{other}}\"\n\
                 kept = lambda found: {{f: i if i['index_type'] not in vector_types else i['metric_type'] for f, i in found.items()}}\n\
                 vector_types = ['AUTOINDEX', 'HNSW', 'FLAT', 'BIN_IVF_FLAT', 'BIN_FLAT', 'SPARSE_INVERTED_INDEX']\n\
                 mine, theirs = kept(indexes({source}, {name:?}, {db:?})), kept(indexes({target}, {name:?}, {db:?}))\n\
                 assert mine == theirs, (mine, theirs)\n\
                 assert {source}.partitions({name:?}, {db:?}) == {target}.partitions({name:?}, {db:?})",
            ));
        }
    }
    state(pair, report).await;
}

/// States what arrived, for a test that has seen that it did.
pub(crate) fn state_items(pair: &Pair, report: &Value) {
    block_on(state(pair, report));
}

async fn state(pair: &Pair, report: &Value) {
    let endpoint = Endpoint::parse(&servers().uri(pair.source)).unwrap();
    let endpoint = endpoint.with_token(Some(Secret::new("root:Milvus")));
    let client = Client::connect(endpoint, 1).await.unwrap();
    let names: Vec<_> = pair.collections.iter().map(|name| CollectionName::new(pair.db, *name)).collect();
    let held = held(&client, &names).await.unwrap();
    let collections = report["collections"].as_array().unwrap().iter();
    let changes: BTreeSet<_> = collections
        .flat_map(|collection| collection["changes"].as_array().unwrap())
        .map(|change| change["what"].as_str().unwrap().to_owned())
        .collect();
    let is_listed = |item: &str| {
        LISTED.iter().any(|(what, id)| *id == item && changes.iter().any(|change| change.starts_with(what)))
    };
    let outcome = |item: &'static str| {
        (item.to_owned(), if is_listed(item) { Outcome::Listed } else { Outcome::Arrives })
    };
    let items: BTreeMap<_, _> = held.into_iter().map(outcome).collect();
    let (source, target) = (pair.shown.0.to_owned(), pair.shown.1.to_owned());
    Evidence { servers: "real", source, target, items }.state();
}

fn block_on(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
}

#[test]
fn everything_of_milvus_2_3_5_arrives() {
    let mut oracle = oracle();
    oracle.run(&format!("{OF_MILVUS}\nmuseum(source, 'museum')"));
    let pair = Pair {
        source: "source",
        target: "target",
        shown: ("Milvus 2.3.5", "Milvus 2.3.5"),
        db: "museum",
        collections: vec!["bits", "tenants", "types"],
    };
    block_on(show(&mut oracle, &pair));
}

#[test]
fn everything_of_milvus_lite_3_arrives() {
    let mut oracle = oracle();
    oracle.run(&format!("{OF_LITE_3}\nmuseum(lite, 'museum')"));
    let pair = Pair {
        source: "lite",
        target: "lite_target",
        shown: ("Milvus Lite 3.2.2", "Milvus Lite 3.2.2"),
        db: "museum",
        collections: vec!["modern", "tenants"],
    };
    block_on(show(&mut oracle, &pair));
}

#[test]
fn everything_of_milvus_lite_2_arrives() {
    let mut oracle = oracle();
    oracle.run(&format!("{OF_LITE_2}\nmuseum(old_lite, 'museum')"));
    let pair = Pair {
        source: "old_lite",
        target: "old_lite_target",
        shown: ("Milvus Lite 2.5.1", "Milvus Lite 2.5.1"),
        db: "default",
        collections: vec![
            "museum_bfloat16_vector",
            "museum_binary_vector",
            "museum_float16_vector",
            "museum_float_vector",
            "museum_sparse_float_vector",
        ],
    };
    block_on(show(&mut oracle, &pair));
}

/// HNSW and IVF with their parameters, and an index that only the contract changes.
#[test]
fn vectors_keep_their_index_where_that_is_asked_for() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        source.client.create_database("kept")
        for name, index in [("graph", HNSW), ("lists", dict(index_type="IVF_SQ8", metric_type="IP", params={"nlist": 7})), ("plain", dict(index_type="AUTOINDEX", metric_type="COSINE"))]:
            source.make(name, [KEY, TEXT, VECTOR], db="kept", index={"vector": index})
            source.in_db("kept").insert(name, books(50))
            source.in_db("kept").flush(name)
            source.load(name, "kept")
        "#,
    );
    let arguments = ["--collection", "kept.*", "--keep-index-params"];
    for (target, db) in [("target", "kept"), ("lite", "kept")] {
        let run = Vecferry::migrate(servers(), "source", target, &arguments);
        let report = run.succeeded();
        assert!(report["warnings"].as_array().unwrap().iter().all(|warning| warning["code"] != "VF-0426"));
        oracle.run(&format!(
            r#"
        for name in ["graph", "lists", "plain"]:
            flat = lambda index: {{**{{key: value for key, value in index.items() if key != "params"}}, **json.loads(index.get("params", "{{}}"))}}
            mine, theirs = flat(indexes(source, name, "kept")["vector"]), flat(indexes({target}, name, {db:?})["vector"])
            text = lambda index: {{key: str(value) for key, value in index.items() if key not in ("search_params",)}}
            assert text(mine) == text(theirs), (mine, theirs)
            {target}.load(name, "kept") if {target:?} == "target" else {target}.in_db("kept").load_collection(name)
            assert same(source, {target}, name, "kept") == 50
        "#
        ));
    }
}
