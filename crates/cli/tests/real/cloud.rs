//! Plans of clusters, the control plane, limits, capacity and time: known before the window opens, and nothing written.
//! The clusters are real servers here; what a control plane would say of them is said by a stand-in over HTTP.

use serde_json::{Value, json};
use vecferry_testkit::{CloudOptions, CloudStandIn, Oracle, Run, Vecferry};

use crate::{oracle, servers};

const KEY: &str = "a-key-of-an-organization";

/// A cluster as the control plane describes it, at the address of a real server.
fn cluster(id: &str, server: &str, more: Value) -> Value {
    let mut cluster = json!({"clusterId": id, "clusterName": id, "projectId": "proj-1", "regionId": "aws-us-west-2",
        "plan": "Enterprise", "deploymentOption": "Dedicated", "cuType": "Performance-optimized", "cuSize": 4,
        "status": "RUNNING", "connectAddress": servers().uri(server)});
    for (name, value) in more.as_object().unwrap() {
        cluster[name] = value.clone();
    }
    cluster
}

fn cloud(clusters: Vec<Value>) -> CloudStandIn {
    let metrics = vec![("CU_CAPACITY".to_owned(), "25".to_owned())];
    CloudStandIn::start(CloudOptions { key: KEY.to_owned(), clusters, metrics, ..CloudOptions::default() })
}

/// `plan` between two addresses or ids, with the stand-in for a control plane.
fn plan(cloud: &CloudStandIn, (source, target): (&str, &str), more: &[&str]) -> Run {
    let mut arguments = vec!["--source", source, "--target", target];
    arguments.extend(more);
    Vecferry::new(servers(), "plan", &arguments)
        .env("VECFERRY_CLOUD_API", &cloud.uri())
        .env("VECFERRY_SOURCE_API_KEY", KEY)
        .env("VECFERRY_TARGET_API_KEY", KEY)
        .run()
}

/// `plan` between the two Milvus servers, with what a user would state.
fn stated(more: &[&str]) -> Run {
    Vecferry::between(servers(), "plan", "source", "target", more).run()
}

fn check<'a>(run: &'a Run, id: &str) -> &'a Value {
    let last = run.lines.last().unwrap();
    let checks = last["checks"].as_array().unwrap();
    checks.iter().find(|check| check["id"] == id).unwrap()
}

/// Which of these databases and collections the target holds. Other tests make others meanwhile.
fn there(oracle: &mut Oracle, names: &[&str]) -> Value {
    let names = json!(names);
    oracle
        .run(&format!("result = sorted(set(target.names() + target.client.list_databases()) & set({names}))"))
}

#[test]
fn clusters_are_found_by_their_ids_and_their_plans_and_sizes_count() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        source.client.create_database("cloud_ids")
        simple(source, "ids", 300, db="cloud_ids", partitions=["p"])
        "#,
    );
    let cloud = cloud(vec![
        cluster(
            "in05-source",
            "source",
            json!({"deploymentOption": "Serverless", "cuSize": 0, "cuType": ""}),
        ),
        cluster("in01-target", "target", json!({})),
    ]);
    let pair = ("in05-source", "in01-target");
    let run = plan(&cloud, pair, &["--collection", "cloud_ids.*"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let facts = |id: &str| check(&run, id)["facts"].to_string();
    assert!(facts("plan_pair").contains("source: Serverless (control plane)"), "{}", facts("plan_pair"));
    assert!(facts("cluster_status").contains("target: RUNNING"), "{}", facts("cluster_status"));
    assert!(facts("capacity").contains("1.00 of 4 CU in use (Performance)"), "{}", facts("capacity"));
    assert_eq!(check(&run, "role")["outcome"], "not_applicable");
    assert!(!run.stdout.contains(KEY) && !run.stderr.contains(KEY), "a key is shown");

    // The same way into a migration; the key opens the servers where no token is given.
    let arguments = ["--source", pair.0, "--target", pair.1, "--collection", "cloud_ids.*"];
    let run = Vecferry::new(servers(), "migrate", &arguments)
        .env("VECFERRY_CLOUD_API", &cloud.uri())
        .env("VECFERRY_SOURCE_API_KEY", "")
        .env("VECFERRY_TARGET_API_KEY", KEY)
        .run();
    run.failed(2, "VF-0018", "VECFERRY_SOURCE_API_KEY");
    let run = Vecferry::new(servers(), "migrate", &arguments)
        .env("VECFERRY_CLOUD_API", &cloud.uri())
        .env("VECFERRY_SOURCE_API_KEY", KEY)
        .env("VECFERRY_TARGET_API_KEY", KEY)
        .run();
    let report = run.succeeded();
    assert_eq!(report["collections"][0]["rows"], 300);
    assert!(report["estimate"]["copy_seconds_estimated"].as_f64().unwrap() > 0.0, "{report}");
    assert!(report["estimate"]["copy_seconds"].as_f64().unwrap() > 0.0, "{report}");
}

#[test]
fn what_the_control_plane_says_stands_in_the_way_by_its_own_code() {
    let mut oracle = oracle();
    oracle.run(r#"simple(source, "cloud_refused", 20)"#);
    let cloud = cloud(vec![
        cluster("in01-source", "source", json!({})),
        cluster("in01-target", "target", json!({})),
        cluster("in03-free", "source", json!({"deploymentOption": "Free", "cuSize": 0})),
        cluster("in05-target", "target", json!({"deploymentOption": "Serverless", "cuSize": 0})),
        cluster("in01-asleep", "source", json!({"status": "SUSPENDED"})),
        cluster("in01-private", "source", json!({"connectAddress": ""})),
    ]);
    let selected = ["--collection", "cloud_refused"];
    for (pair, code, says) in [
        (("in01-source", "in01-nowhere"), "VF-0113", "the target `in01-nowhere` is not visible"),
        (("in01-asleep", "in01-target"), "VF-0223", "is SUSPENDED, not RUNNING"),
        (("in01-private", "in01-target"), "VF-0116", "has no public endpoint"),
        (
            ("in01-source", "in05-target"),
            "VF-0219",
            "migration from Dedicated to Serverless is not supported",
        ),
        (("in03-free", "in05-target"), "VF-0220", "with Manage Cluster (管理集群)"),
        (("in03-free", "in01-target"), "VF-0221", "with Manage Cluster (管理集群)"),
    ] {
        plan(&cloud, pair, &selected).failed(3, code, says);
    }
    let contradiction = [&selected[..], &["--source-plan", "serverless"]].concat();
    plan(&cloud, ("in01-source", "in01-target"), &contradiction).failed(
        2,
        "VF-0019",
        "the plan of the source is stated as Serverless, but it is Dedicated (control plane)",
    );
    // Another edition of the policy lets a Free source go to Dedicated.
    let run =
        plan(&cloud, ("in03-free", "in01-target"), &[&selected[..], &["--policy", "zilliz-global"]].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    let refused = plan(&cloud, ("in03-free", "in05-target"), &selected);
    let problem = &refused.lines.last().unwrap()["problems"][0];
    assert!(
        problem["message_zh"].as_str().unwrap().contains("Free 集群可原地升级为 Serverless"),
        "{problem}"
    );

    let stranger = Vecferry::new(servers(), "plan", &["--source", "in01-source", "--target", "in01-target"])
        .env("VECFERRY_CLOUD_API", &cloud.uri())
        .env("VECFERRY_SOURCE_API_KEY", "of another organization")
        .env("VECFERRY_TARGET_API_KEY", KEY)
        .run();
    stranger.failed(3, "VF-0112", "The apikey is illegal");
    assert!(!stranger.stderr.contains("another organization"), "{}", stranger.stderr);
    let gone = cloud.uri();
    drop(cloud);
    let run = Vecferry::new(servers(), "plan", &["--source", "in01-source", "--target", "in01-target"])
        .env("VECFERRY_CLOUD_API", &gone)
        .env("VECFERRY_SOURCE_API_KEY", KEY)
        .env("VECFERRY_TARGET_API_KEY", KEY)
        .run();
    run.failed(3, "VF-0114", "the Zilliz Cloud control plane does not answer");
    assert_eq!(there(&mut oracle, &["cloud_refused"]), json!([]));
}

#[test]
fn statements_policies_and_sizes_are_checked() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        source.client.create_database("cloud_many")
        for at in range(11):
            simple(source, f"many_{at}", 5, db="cloud_many", load=False)
        simple(source, "cloud_sized", 2000)
        "#,
    );
    let one = ["--collection", "cloud_sized"];
    let with = |more: &[&str]| stated(&[&one[..], more].concat());
    with(&["--policy", "zilliz-mars"]).failed(2, "VF-0017", "`zilliz-mars` is not a compatibility policy");
    with(&["--source-plan", "serverless", "--target-plan", "serverless"]).failed(
        3,
        "VF-0219",
        "(policy zilliz-cn)",
    );
    with(&["--target-plan", "free"]).failed(3, "VF-0219", "from self-hosted to Free");
    with(&["--target-plan", "dedicated", "--target-cu", "0.00001"]).failed(2, "VF-0001", "0.001 to 2048");
    let small = with(&["--target-plan", "dedicated", "--target-cu", "0.001", "--target-cu-type", "tiered"]);
    assert_eq!(small.code, 0, "61 MB of a Tiered unit hold it: {}", small.stderr);
    oracle.run(
        r#"
        source.make("cloud_large", [KEY, ("vector", DataType.FLOAT_VECTOR, dict(dim=1024))], index={"vector": FLAT})
        for at in range(0, 1500, 500):
            source.client.insert("cloud_large", [dict(id=at + key, vector=vector) for key, vector in enumerate(vectors(500, 1024, at))])
        source.client.flush("cloud_large")
        source.load("cloud_large")
        "#,
    );
    let large = ["--collection", "cloud_large", "--target-plan", "dedicated", "--target-cu", "0.001"];
    let run = stated(&large);
    run.failed(3, "VF-0226", "the target has 0.001");
    assert_eq!(check(&run, "capacity")["outcome"], "fail");
    let many = stated(&["--collection", "cloud_many.*", "--target-plan", "dedicated"]);
    many.failed(3, "VF-0225", "11 collections of one migration");
    assert_eq!(there(&mut oracle, &["cloud_sized", "cloud_large", "cloud_many"]), json!([]));

    // A policy of one's own.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policy.json");
    let text = include_str!("../../../policy/editions/zilliz-cn.json");
    std::fs::write(&file, text.replace("zilliz-cn\"", "ours\"").replace("\"refused\"", "\"supported\""))
        .unwrap();
    let run = with(&[
        "--policy",
        file.to_str().unwrap(),
        "--source-plan",
        "serverless",
        "--target-plan",
        "serverless",
    ]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    std::fs::write(&file, text.replacen("\"free\"", "\"gratis\"", 1)).unwrap();
    with(&["--policy", file.to_str().unwrap()]).failed(2, "VF-0017", "gratis");
}

#[test]
fn capacity_is_known_from_the_source_and_from_a_plan_alike() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        source.make("sized", [KEY, TEXT, ("doc", DataType.JSON, {}), ("vector", DataType.FLOAT_VECTOR, dict(dim=96))], index={"vector": FLAT})
        source.client.insert("sized", [dict(id=at, text="x" * 100, doc={"k": "y" * 50}, vector=vector) for at, vector in enumerate(vectors(4000, 96))])
        source.client.flush("sized")
        source.load("sized")
        "#,
    );
    let uri = servers().uri("source");
    let run = Vecferry::new(servers(), "capacity", &["--source", &uri, "--collection", "sized"]).run();
    assert_eq!(run.code, 0, "{}", run.stderr);
    let capacity = &run.lines.last().unwrap()["capacity"];
    // Key 8, text 100, document {"k":"yyy…"} 58, vector 384.
    let row = capacity["collections"][0]["row_bytes"].as_f64().unwrap();
    assert!((row - (8.0 + 100.0 + 58.0 + 384.0)).abs() < 1.0, "{row}");
    assert_eq!(capacity["rows"], 4000);
    let units = |at: usize| &capacity["units"][at];
    assert_eq!((&units(0)["cu_type"], &units(0)["size"]), (&json!("performance"), &json!(1)));
    assert_eq!((&units(2)["cu_type"], &units(2)["size"]), (&json!("tiered"), &json!(8)));
    // At most 128 dimensions: the smaller constant of the table.
    let filled = units(0)["units"].as_f64().unwrap();
    assert!((filled - 4000.0 * row / 3.84e9).abs() < 1e-9, "{filled}");
    assert!(capacity["duration"]["read_is_measured"].as_bool().unwrap(), "{capacity}");

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("plan.json");
    let planned = stated(&["--collection", "sized", "--output", file.to_str().unwrap()]);
    assert_eq!(planned.code, 0, "{}", planned.stderr);
    let offline = Vecferry::new(servers(), "capacity", &["--plan", file.to_str().unwrap()]).run();
    assert_eq!(offline.code, 0, "{}", offline.stderr);
    let of_plan = &offline.lines.last().unwrap()["capacity"];
    assert_eq!((&of_plan["collections"], &of_plan["units"]), (&capacity["collections"], &capacity["units"]));
}

#[test]
fn a_dry_run_reads_every_row_and_writes_nothing() {
    let mut oracle = oracle();
    oracle.run(
        r#"
        source.client.create_database("cloud_dry")
        simple(source, "read", 5000, db="cloud_dry", partitions=["p"])
        simple(source, "asleep", 10, db="cloud_dry", load=False)
        "#,
    );
    let run = Vecferry::migrate(servers(), "source", "target", &["--collection", "cloud_dry.*", "--dry-run"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let last = run.lines.last().unwrap();
    assert_eq!((&last["event"], &last["report"]["rows"]), (&json!("dry_run"), &json!(5000)));
    assert_eq!(last["report"]["not_loaded"], json!(["cloud_dry.asleep"]));
    assert!(last["report"]["collections"][0]["bytes"].as_u64().unwrap() > 5000 * 40, "{last}");
    oracle.run(r#"assert "cloud_dry" not in target.client.list_databases()"#);
}
