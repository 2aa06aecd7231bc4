//! What is refused before anything is written: with its own code, a sentence that names it, and a way out.

use vecferry_testkit::{Run, Vecferry, free_port, web_server};

use crate::{oracle, servers};

/// `migrate` with addresses of its own.
fn migrate(source: &str, target: &str) -> Run {
    Vecferry::new(servers(), "migrate", &["--source", source, "--target", target]).run()
}

#[test]
fn hosts_and_ports_that_are_no_milvus() {
    let target = servers().uri("target");

    let dead = format!("127.0.0.1:{}", free_port());
    let run = migrate(&format!("http://{dead}"), &target);
    run.failed(3, "VF-0102", &format!("the source can't be reached: nothing listens on http://{dead}"));
    assert!(run.stderr.contains("check that the server is running"), "{}", run.stderr);
    let run = migrate(&servers().uri("source"), &format!("http://{dead}"));
    run.failed(3, "VF-0102", "the target can't be reached");
    let run = migrate(&format!("https://{dead}"), &target);
    run.failed(3, "VF-0102", "the source can't be reached");

    let run = migrate("http://no-such-host.invalid:19530", &target);
    run.failed(3, "VF-0101", "the host `no-such-host.invalid` does not resolve");

    let web = web_server();
    let run = migrate(&format!("http://127.0.0.1:{web}"), &target);
    run.failed(3, "VF-0108", "is a web server (HTTP/1), not gRPC");
    let metrics = servers().server("source").metrics_port.unwrap();
    let run = migrate(&format!("http://127.0.0.1:{metrics}"), &target);
    run.failed(3, "VF-0108", "the source address is not a Milvus gRPC port");

    // Both at once: a person wants to mend both.
    let run = migrate(&format!("http://{dead}"), &format!("http://127.0.0.1:{web}"));
    run.failed(3, "VF-0102", "the source can't be reached");
    run.failed(3, "VF-0108", "the target address is not a Milvus gRPC port");
}

#[test]
fn wrong_and_missing_passwords() {
    let arguments = ["--collection", "whatever"];
    let between = || Vecferry::between(servers(), "migrate", "source", "target", &arguments);
    let run = between().env("VECFERRY_SOURCE_TOKEN", "root:a-wrong-secret").run();
    run.failed(3, "VF-0110", "the source rejects the credentials");
    assert!(
        !run.stderr.contains("a-wrong-secret") && !run.stdout.contains("a-wrong-secret"),
        "{}",
        run.stderr
    );
    let run = between().env("VECFERRY_TARGET_TOKEN", "nobody:Milvus").run();
    run.failed(3, "VF-0110", "the target rejects the credentials");
    let run = between().env("VECFERRY_TARGET_TOKEN", "").run();
    run.failed(3, "VF-0110", "the target rejects the credentials");
}

#[test]
fn a_user_without_rights() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        simple(source, "not_for_you", 10, load=False)
        source.client.create_user("reader", "Secret-123")
        "#,
    );
    let arguments = ["--collection", "not_for_you"];
    let run = Vecferry::between(servers(), "migrate", "source", "target", &arguments)
        .env("VECFERRY_SOURCE_TOKEN", "reader:Secret-123")
        .run();
    run.failed(3, "VF-0111", "lacks the privilege `ShowPartitions` on `default.not_for_you` of the source");
    oracle.run(r#"assert "not_for_you" not in target.names()"#);
}

#[test]
fn databases_and_collections_that_do_not_exist() {
    let run = Vecferry::migrate(servers(), "source", "target", &["--collection", "no_such_db.books"]);
    run.failed(3, "VF-0201", "the source has no database `no_such_db`");
    let run = Vecferry::migrate(servers(), "source", "target", &["--collection", "no_such_db.*"]);
    run.failed(3, "VF-0201", "the source has no database `no_such_db`");
    let run = Vecferry::migrate(servers(), "source", "target", &["--collection", "no_such_books"]);
    run.failed(3, "VF-0202", "the source has no collection `default.no_such_books`");

    let mut oracle = oracle();
    oracle.run(r#"source.client.create_database("hollow")"#);
    let run = Vecferry::migrate(servers(), "source", "target", &["--collection", "hollow.*"]);
    run.failed(3, "VF-0211", "no collection of the source is selected");
}

#[test]
fn unusable_arguments() {
    let pair =
        |arguments: &[&str]| Vecferry::between(servers(), "migrate", "source", "target", arguments).run();
    pair(&["--collection", "a."]).failed(2, "VF-0004", "`a.` does not name a collection");
    pair(&["--target-db", "x"]).failed(2, "VF-0004", "`x`");
    pair(&["--rename", "a=b"]).failed(2, "VF-0001", "--rename");
    pair(&["--source-ca", "/no/such.pem"]).failed(2, "VF-0005", "/no/such.pem");
    migrate("ftp://a:1", &servers().uri("target")).failed(2, "VF-0002", "ftp://a:1");
}

#[test]
fn what_exists_on_the_target_is_not_touched() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        simple(source, "taken", 60)
        simple(source, "free", 10, load=False)
        simple(target, "taken", 20, load=False)
        simple(source, "aliased", 10, load=False)
        source.client.create_alias("aliased", "the_alias")
        target.client.create_alias("taken", "the_alias")
        "#,
    );
    let arguments = ["--collection", "taken", "--collection", "free", "--collection", "aliased"];
    let run = Vecferry::migrate(servers(), "source", "target", &arguments);
    run.failed(3, "VF-0203", "the target already has `default.taken`");
    run.failed(3, "VF-0215", "`the_alias`, an alias of `default.aliased`, is already taken on the target");
    assert_eq!(run.lines.last().unwrap()["event"], "refused");
    assert_eq!(run.lines.last().unwrap()["problems"].as_array().unwrap().len(), 2);
    oracle.run(
        r#"
        assert "free" not in target.names() and "aliased" not in target.names(), target.names()
        assert set(target.loaded("taken").values()) == {"LoadStateNotLoad"}
        target.load("taken")
        assert target.count("taken") == 20
        "#,
    );
}

#[test]
fn one_cluster_under_two_names() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        simple(source, "twice", 10, load=False)
        lite.make("twice", [KEY, VECTOR])
        "#,
    );
    for name in ["source", "lite"] {
        let one = servers().uri(name);
        let other = one.replace("127.0.0.1", "localhost");
        assert_ne!(one, other);
        for target in [&one, &other] {
            let sides = ["--source", &one, "--target", target, "--collection", "twice"];
            let run = Vecferry::new(servers(), "migrate", &sides).run();
            run.failed(3, "VF-0204", "source and target are the same cluster");
        }
    }
}

#[test]
fn a_source_that_may_not_be_loaded() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        simple(source, "asleep", 30, load=False)
        simple(source, "half_asleep", 30, partitions=["p"], load=False)
        source.client.load_partitions("half_asleep", ["p"])
        "#,
    );
    let arguments = ["--collection", "asleep", "--collection", "half_asleep", "--source-load", "never"];
    let run = Vecferry::migrate(servers(), "source", "target", &arguments);
    run.failed(3, "VF-0205", "`default.asleep` is not fully loaded on the source (not loaded)");
    run.failed(3, "VF-0205", "(only 1 of 2 partitions loaded: `p`)");
    oracle.run(
        r#"
        assert source.loaded("half_asleep") == {"_default": "LoadStateNotLoad", "p": "LoadStateLoaded"}
        assert set(source.loaded("asleep").values()) == {"LoadStateNotLoad"}
        assert "asleep" not in target.names() and "half_asleep" not in target.names()
        "#,
    );
}

#[test]
fn rows_without_an_index() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        for name in ["stored_bare", "growing_bare"]:
            source.make(name, [KEY, TEXT, VECTOR])
            source.client.insert(name, books(40))
        source.client.flush("stored_bare")
        "#,
    );
    for name in ["stored_bare", "growing_bare"] {
        let run = Vecferry::migrate(servers(), "source", "target", &["--collection", name]);
        run.failed(3, "VF-0206", &format!("`default.{name}` has about"));
        assert!(run.stderr.contains("its vector field `vector` has no index"), "{}", run.stderr);
    }
    oracle.run(
        r#"
        assert not {"stored_bare", "growing_bare"} & set(target.names()), target.names()
        for name in ["stored_bare", "growing_bare"]:
            assert source.client.list_indexes(name) == []
        "#,
    );
}

#[test]
fn what_the_target_can_not_hold() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        old_lite.make("half_precision", [KEY, ("vector", DataType.FLOAT16_VECTOR, dict(dim=8))])
        lite.make("with_nulls", [KEY, ("year", DataType.INT64, dict(nullable=True)), VECTOR])
        lite.make("with_defaults", [KEY, ("text", DataType.VARCHAR, dict(max_length=20, default_value="none")), VECTOR])
        lite.make("places", [KEY, ("place", DataType.GEOMETRY, {}), VECTOR])
        "#,
    );
    let run = Vecferry::migrate(servers(), "old_lite", "target", &["--collection", "half_precision"]);
    run.failed(3, "VF-0207", "does not support `default.half_precision`");
    assert!(run.stderr.contains("`vector`"), "{}", run.stderr);
    // The target is asked: 2.3.5 makes the collection without the nulls. It would keep a geometry without a word, and is not asked.
    for (name, why) in [
        ("with_nulls", "fields[year].nullable: `1` became absent"),
        ("places", "it needs geometry fields (`place`), supported since 2.6"),
    ] {
        let run = Vecferry::migrate(servers(), "lite", "target", &["--collection", name]);
        run.failed(3, "VF-0207", &format!("does not support `default.{name}`: {why}"));
    }
    let run = Vecferry::between(servers(), "plan", "lite", "target", &["--collection", "with_nulls"]).run();
    let doubt =
        "might not support `default.with_nulls`: it needs nullable fields (`year`), supported since 2.5";
    assert!(run.code == 0 && run.stderr.contains("VF-0238") && run.stderr.contains(doubt), "{}", run.stderr);
    let arguments = ["--collection", "with_nulls", "--probe-write"];
    let run = Vecferry::between(servers(), "plan", "lite", "target", &arguments).run();
    run.failed(3, "VF-0207", "fields[year].nullable: `1` became absent");
    let run = Vecferry::migrate(servers(), "lite", "old_lite", &["--collection", "places"]);
    run.failed(3, "VF-0207", "does not support `default.places`");
    oracle.run(r#"assert not {"half_precision", "with_nulls", "places"} & set(target.names())"#);
}

#[test]
fn names_that_the_target_forbids() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        lite.make("a-b", [KEY, VECTOR])
        lite.make("odd_alias", [KEY, VECTOR])
        lite.client.create_alias("odd_alias", "1st")
        lite.make("odd_partition", [KEY, VECTOR], partitions=["p-1", "2024"])
        "#,
    );
    for (name, forbidden, words) in [
        ("a-b", "`a-b` (collection)", "Invalid collection name: a-b."),
        ("odd_alias", "`1st` (alias of `default.odd_alias`)", "Invalid collection name: 1st."),
        ("odd_partition", "`p-1` (partition of `default.odd_partition`)", "Invalid partition name: p-1."),
    ] {
        let run = Vecferry::migrate(servers(), "lite", "target", &["--collection", name]);
        run.failed(3, "VF-0208", &format!("the target does not allow the name {forbidden}: {words}"));
    }
    oracle.run(
        r#"assert not {"odd_alias", "odd_partition"} & set(target.names()) and target.keeps_no_scratch()"#,
    );
    // Also where the database is yet to be made.
    let arguments = ["--collection", "a-b", "--target-db", "default=fresh_names"];
    let run = Vecferry::migrate(servers(), "lite", "target", &arguments);
    run.failed(3, "VF-0208", "Invalid collection name: a-b.");
    let run = Vecferry::migrate(
        servers(),
        "lite",
        "target",
        &["--collection", "default.*", "--target-db", "default=a b"],
    );
    run.failed(3, "VF-0208", "the target does not allow the name `a b`");
    oracle.run(r#"assert "a b" not in target.client.list_databases()"#);
}

/// No rule says so, but a 2.3.5 takes blanks before a name: it is asked, and has the last word.
#[test]
fn a_name_that_only_the_table_forbids_arrives() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        lite.make("blank_partition", [KEY, TEXT, VECTOR], partitions=[" a"], index={"vector": FLAT})
        lite.client.insert("blank_partition", books(60), partition_name=" a")
        lite.client.load_collection("blank_partition")
        "#,
    );
    let arguments = ["--collection", "blank_partition"];
    let run = Vecferry::between(servers(), "plan", "lite", "target", &arguments).run();
    let doubt = "its release may not allow names of partitions (` a`)";
    assert!(run.code == 0 && run.stderr.contains("VF-0238") && run.stderr.contains(doubt), "{}", run.stderr);
    // Asked, it is no doubt any more.
    let arguments = ["--collection", "blank_partition", "--probe-write"];
    let run = Vecferry::between(servers(), "plan", "lite", "target", &arguments).run();
    assert!(run.code == 0 && !run.stderr.contains("VF-0238"), "{}", run.stderr);
    let arguments = ["--collection", "blank_partition", "--verify", "full"];
    Vecferry::migrate(servers(), "lite", "target", &arguments).succeeded();
    oracle.run(
        r#"
        target.load("blank_partition")
        assert target.partitions("blank_partition") == [" a", "_default"]
        assert same(lite, target, "blank_partition") == 60
        "#,
    );
}

#[test]
fn keys_that_the_server_makes() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        source.make("auto", [KEY, VECTOR], auto_id=True, index={"vector": FLAT})
        source.client.insert("auto", [{"vector": vector} for vector in vectors(10, 8)])
        "#,
    );
    let run = Vecferry::migrate(servers(), "source", "target", &["--collection", "auto"]);
    run.failed(3, "VF-0210", "`default.auto` uses auto-generated IDs");
    oracle.run(r#"assert "auto" not in target.names()"#);
}

/// No expression can name such a key, and one that tries crashes some servers: none is sent. Few rows are read all at once.
#[test]
fn a_primary_key_that_no_expression_can_name() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        def fill(server, name, key, rows, kind=DataType.INT64, **more):
            server.make(name, [(key, kind, dict(is_primary=True, **more)), TEXT, VECTOR], index={"vector": FLAT})
            value = (lambda at: f"k{at}") if kind == DataType.VARCHAR else (lambda at: at * 7 - 20)
            made = [{key: value(at), "text": f"row {at}", "vector": vector} for at, vector in enumerate(vectors(rows, 8))]
            for first in range(0, rows, 5000):
                server.client.insert(name, made[first:first + 5000])
            server.client.flush(name)
        for server in [source, old_lite]:
            for word in ["exists", "true", "json_contains"]:
                fill(server, f"key_{word}", word, 30)
        fill(source, "key_many", "exists", 17000)
        for server in [source, lite]:
            fill(server, "key_null", "Null", 40, DataType.VARCHAR, max_length=20)
        "#,
    );
    let copied = |source: &str, target: &str, name: &str, key: &str| {
        let run = Vecferry::migrate(servers(), source, target, &["--collection", name, "--verify", "full"]);
        assert!(run.succeeded()["collections"][0]["rows"].as_u64() >= Some(30), "{}", run.stderr);
        let what = format!("warning[VF-0442]: `default.{name}`: the primary key `{key}` is a reserved word");
        assert!(run.stderr.contains(&what), "{}", run.stderr);
    };
    for word in ["exists", "true", "json_contains"] {
        let name = format!("key_{word}");
        copied("source", "target", &name, word);
        copied("old_lite", "old_lite_target", &name, word);
        let selected = ["--collection", &name, "--level", "full"];
        assert_eq!(Vecferry::verify(servers(), "target", "old_lite_target", &selected).code, 0);
    }
    copied("lite", "lite_target", "key_null", "Null");
    // Its name is one where it is, and none where it goes.
    oracle.run(r#"lite_target.client.drop_collection("key_null")"#);
    copied("source", "lite_target", "key_null", "Null");
    oracle.run(
        r#"
        def everything(server, name, key):
            server.client.load_collection(name)
            rows = server.client.query(name, "", output_fields=[key, "text", "vector"], limit=1000)
            return sorted(repr(sorted(dict(row).items())) for row in rows)
        for word in ["exists", "true", "json_contains"]:
            for one, other in [(source, target), (old_lite, old_lite_target)]:
                assert everything(one, f"key_{word}", word) == everything(other, f"key_{word}", word)
        assert everything(source, "key_null", "Null") == everything(lite_target, "key_null", "Null")
        "#,
    );
    let run = Vecferry::migrate(servers(), "source", "target", &["--collection", "key_many"]);
    let what = "`default.key_many`: the primary key `exists` is a reserved word of the source";
    run.failed(3, "VF-0234", what);
    run.failed(3, "VF-0234", "its 17000 rows are too many to read at once");
    assert!(run.stderr.contains("--exclude default.key_many"), "{}", run.stderr);
    oracle.run(r#"assert "key_many" not in target.names()"#);
}

/// Other fields than the primary key may bear any name that the target allows: nothing selects rows by them.
#[test]
fn fields_that_no_expression_can_name_arrive() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        words = ["like", "exists", "in", "not", "and", "or", "true", "False", "json_contains", "array_length"]
        fields = [KEY] + [(word, DataType.INT64, {}) for word in words] + [VECTOR]
        rows = [{"id": at, "vector": vector, **{word: at * 7 + place for place, word in enumerate(words)}} for at, vector in enumerate(vectors(300, 8))]
        for server in [source, old_lite]:
            server.make("odd_fields", fields, index={"vector": FLAT})
            server.client.insert("odd_fields", rows)
            server.load("odd_fields")
        lite.make("kept_fields", [KEY, ("interval_", DataType.INT64, {}), ("like", DataType.INT64, {}), VECTOR], index={"vector": FLAT})
        lite.client.insert("kept_fields", [{"id": at, "vector": vector, "interval_": at, "like": at} for at, vector in enumerate(vectors(30, 8))])
        lite.load("kept_fields")
        source.make("reserved_field", [KEY, ("interval", DataType.INT64, {}), VECTOR], index={"vector": FLAT})
        source.client.insert("reserved_field", [{"id": 1, "interval": 2, "vector": vectors(1, 8)[0]}])
        "#,
    );
    for (source, target, name) in [
        ("source", "target", "odd_fields"),
        ("old_lite", "old_lite_target", "odd_fields"),
        ("lite", "lite_target", "kept_fields"),
    ] {
        Vecferry::migrate(servers(), source, target, &["--collection", name, "--verify", "full"]).succeeded();
        oracle.run(&format!(r#"{target}.load("{name}"); same({source}, {target}, "{name}")"#));
    }
    let run = Vecferry::migrate(servers(), "source", "lite_target", &["--collection", "reserved_field"]);
    run.failed(3, "VF-0235", "does not allow a field named `interval`");
}

#[test]
fn collections_without_a_vector_that_cannot_be_loaded() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        source.make("without_vector", [KEY, TEXT])
        source.client.insert("without_vector", [{"id": at, "text": "t"} for at in range(10)])
        source.client.flush("without_vector")
        "#,
    );
    let run = Vecferry::migrate(servers(), "source", "target", &["--collection", "without_vector"]);
    run.failed(3, "VF-0237", "`default.without_vector` has about 10 rows but no vector field");
}
