//! Bad requests: each is told with its code, and nothing is written.

use serde_json::{Value, json};

use crate::client::{Answer, World, settings, text};
use crate::flow::{everything, server};
use crate::on_both_stores;
use crate::place::{Place, counts};

on_both_stores!(
    what_can_not_be_read_is_refused_and_nothing_is_written,
    ids_of_others_are_not_found,
    what_would_change_a_schema_is_refused,
    more_collections_than_a_job_takes_are_refused,
    addresses_that_may_not_be_called_are_refused,
    an_address_in_no_allowed_network_is_refused,
    ways_that_do_not_exist_are_told_in_the_language_asked_for,
);

const TO_EXISTING: &str = "/v2/migrations/toExisting";

/// A service whose jobs wait.
async fn waiting(place: Place) -> World {
    let mut settings = settings();
    settings.jobs.per_process_max = 0;
    World::with(place, settings).await
}

async fn what_can_not_be_read_is_refused_and_nothing_is_written(place: Place) {
    let world = waiting(place).await;
    let before = counts(&world.store).await;
    let send = async |method: &str, path: &str, body: &[u8]| {
        let answer = world.owner.send(method, path, Some(body.to_vec())).await;
        assert_eq!(counts(&world.store).await, before, "{method} {path}");
        answer
    };
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let nested = format!(r#"{{"projectName": {}}}"#, deep(100_000));
    for body in [
        "",
        "x",
        "{",
        "[]",
        "null",
        "{}",
        r#"["x"]"#,
        r#"{"projectName": 1}"#,
        r#"{"projectName": null}"#,
        r#"{"projectName": ["x"]}"#,
        r#"{"projectName": "x", "colour": "red"}"#,
        r#"{"projectName": "x", "projectName": "y"}"#,
        r#"{"projectName": "x"} {}"#,
        r#"{"projectName": ""}"#,
        r#"{"projectName": "  "}"#,
        r#"{"projectName": "a\u0000b"}"#,
        r#"{"projectName": "a\u001b[31mb"}"#,
        r#"{"projectName": "a\nb"}"#,
        r#"{"projectName": "\ud800"}"#,
        &format!(r#"{{"projectName": "{}"}}"#, "x".repeat(65)),
        &nested,
    ] {
        send("POST", "/v2/projects", body.as_bytes()).await.assert_refused(400, "VF-0801");
    }
    send("POST", "/v2/projects", b"{\"projectName\": \"\xff\xfe\"}").await.assert_refused(400, "VF-0801");
    for body in ["", "{}", "[]", r#"{"source": {}, "destination": {}}"#, &deep(200), &deep(100_000)] {
        send("POST", TO_EXISTING, body.as_bytes()).await.assert_refused(400, "VF-0801");
        send("POST", "/v2/migrations/precheck", body.as_bytes()).await.assert_refused(400, "VF-0801");
    }
    send("POST", TO_EXISTING, b"\xff").await.assert_refused(400, "VF-0801");
    let not_said = world.owner.with("content-type", "text/plain");
    let answer = not_said.post("/v2/projects", json!({"projectName": "x"})).await;
    answer.assert_refused(400, "VF-0801");
    assert_eq!(counts(&world.store).await, before);

    let large = vec![b' '; 10 << 20];
    for path in ["/v2/projects", TO_EXISTING, "/v2/session", "/nowhere"] {
        let answer = send("POST", path, &large).await;
        let refused = answer.assert_refused(413, "VF-0814");
        assert!(text(&refused["message"]).contains("1048576"), "{refused:#}");
        assert_eq!(answer.header("connection"), "close");
    }
    for path in ["/v2/projects/%ff", "/v2/projects/%00", "/v2/jobs/%c0%80", "/v2/clusters/%00/"] {
        let answer = send("GET", path, b"").await;
        assert!([400, 404].contains(&answer.status), "{path}: {}", answer.text());
        answer.code();
    }
    for path in ["/v2/projects?after=%00", "/v2/projects?after=%ff%fe&x=1", "/v2/jobs?cursor=%00"] {
        send("GET", path, b"").await.assert_refused(400, "VF-0801");
    }
    for (method, path) in [("DELETE", "/v2/projects/%00"), ("PATCH", "/v2/projects/%00")] {
        let answer = send(method, path, br#"{"projectName": "x"}"#).await;
        answer.assert_refused(400, "VF-0801");
    }
    let strange = world.owner.with("accept-language", "%$§");
    strange.get("/v2/projects/none").await.assert_refused(404, "VF-0804");
}

async fn ids_of_others_are_not_found(place: Place) {
    let world = waiting(place).await;
    let (source, target) = (server(), server());
    let (source_id, target_id) = world.register_both(&source, &target).await;
    let job_id = world.owner.migrate(everything(&source_id, &target_id)).await;
    let service = &world.running.service;
    let link = service.add_organization("Other", "Other Project", "other@localhost").await.unwrap();
    let other = world.running.client.sign_in_by_link(link.reveal()).await;
    let own = text(&other.get("/v2/projects").await.data()[0]["projectId"]);
    let body = json!({"projectId": own, "clusterName": "own", "connectAddress": target.uri()});
    let own_cluster = text(&other.post("/v2/clusters", body).await.data()["clusterId"]);
    let before = counts(&world.store).await;
    for (source_id, target_id) in [
        (&source_id, &target_id),
        (&source_id, &own_cluster),
        (&own_cluster, &target_id),
        (&"vf-none".to_owned(), &own_cluster),
    ] {
        let body = everything(source_id, target_id);
        let refused = other.post(TO_EXISTING, body).await.assert_refused(404, "VF-0804");
        // As the cloud numbers it.
        assert_eq!(refused["code"], 80_020);
    }
    for path in [
        format!("/v2/jobs/{job_id}"),
        format!("/v2/jobs/{job_id}/details"),
        format!("/v2/clusters/{source_id}"),
        format!("/v2/projects/{}", world.project_id),
        format!("/v2/jobs?projectId={}", world.project_id),
        format!("/v2/clusters?projectId={}", world.project_id),
    ] {
        let theirs = other.get(&path).await;
        theirs.assert_refused(404, "VF-0804");
    }
    // Filters by what is not there find nothing, and tell nothing.
    for path in [format!("/v2/jobs?clusterId={source_id}"), format!("/v2/jobs?cursor={job_id}x")] {
        assert_eq!(other.get(&path).await.data()["jobs"], json!([]));
    }
    assert_eq!(counts(&world.store).await, before);
}

async fn what_would_change_a_schema_is_refused(place: Place) {
    let world = waiting(place).await;
    let (source, target) = (server(), server());
    let (source_id, target_id) = world.register_both(&source, &target).await;
    let before = counts(&world.store).await;
    for (field, value) in [
        ("schema", json!({"fields": []})),
        ("fieldMapping", json!({"a": "b"})),
        ("rename", json!("other")),
        ("destCollectionName", json!("other")),
        ("dataType", json!("Int64")),
        ("shardsNum", json!(2)),
    ] {
        let mut in_collection = everything(&source_id, &target_id);
        in_collection["dbCollections"] =
            json!([{"collections": [{"collectionName": "books", field: value.clone()}]}]);
        let mut at_top = everything(&source_id, &target_id);
        at_top[field] = value;
        for body in [in_collection, at_top] {
            for path in [TO_EXISTING, "/v2/migrations/precheck"] {
                let refused = world.owner.post(path, body.clone()).await.assert_refused(400, "VF-0807");
                assert!(text(&refused["message"]).contains(&format!("`{field}`")), "{refused:#}");
                assert_eq!(refused["code"], 10_807);
            }
        }
    }
    for wrong in [
        json!({"dbCollections": [{"collections": []}]}),
        json!({"dbCollections": [{"collections": [{"collectionName": "*"}]}]}),
        json!({"dbCollections": [{"dbName": "a.b"}]}),
        json!({"options": {"verify": "thoroughly"}}),
        json!({"options": {"colour": "red"}}),
        json!({"source": {"clusterId": source_id, "endpoint": source.uri()}}),
        json!({"source": {"clusterId": source_id, "token": "root:x"}}),
        json!({"source": {"endpoint": "ftp://x"}}),
        json!({"source": {"endpoint": "http://"}}),
    ] {
        let mut body = everything(&source_id, &target_id);
        for (name, value) in wrong.as_object().unwrap() {
            body[name] = value.clone();
        }
        let answer = world.owner.post(TO_EXISTING, body.clone()).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "VF-0801"), "{body}: {}", answer.text());
    }
    assert_eq!(counts(&world.store).await, before);
}

async fn more_collections_than_a_job_takes_are_refused(place: Place) {
    let world = waiting(place).await;
    let (source, target) = (server(), server());
    let source_id = world.register(&world.project_id, "source", &source.uri()).await;
    let body = json!({"projectId": world.project_id, "clusterName": "target", "connectAddress": target.uri(),
        "deploymentOption": "Dedicated"});
    let target_id = text(&world.owner.post("/v2/clusters", body).await.data()["clusterId"]);
    let body = |count: usize| {
        let names: Vec<_> =
            (0..count).map(|number| json!({"collectionName": format!("c{number}")})).collect();
        let mut body = everything(&source_id, &target_id);
        body["dbCollections"] = json!([{"collections": names}]);
        body
    };
    let before = counts(&world.store).await;
    let refused = world.owner.post(TO_EXISTING, body(11)).await.assert_refused(400, "VF-0808");
    assert!(text(&refused["message"]).contains("11 collections"), "{refused:#}");
    world.owner.post("/v2/migrations/precheck", body(11)).await.assert_refused(400, "VF-0808");
    assert_eq!(counts(&world.store).await, before);
    world.owner.post(TO_EXISTING, body(10)).await.data();

    let edition = include_str!("../../../policy/editions/zilliz-cn.json");
    let mut edition: Value = serde_json::from_str(edition).unwrap();
    edition["collections_per_job_max"] = json!(20);
    let change = async |edition: &str| -> Answer {
        world.owner.patch("/v2/organization", json!({"policyEdition": edition})).await
    };
    for wrong in ["", "zilliz-moon", "{}", r#"{"edition": "x"}"#] {
        change(wrong).await.assert_refused(400, "VF-0801");
    }
    change(&edition.to_string()).await.data();
    assert_eq!(world.owner.get("/v2/organization").await.data()["policyEdition"], edition["edition"]);
    world.owner.post(TO_EXISTING, body(20)).await.data();
    world.owner.post(TO_EXISTING, body(21)).await.assert_refused(400, "VF-0808");
    change("zilliz-global").await.data();
    world.owner.post(TO_EXISTING, body(11)).await.assert_refused(400, "VF-0808");
}

async fn addresses_that_may_not_be_called_are_refused(place: Place) {
    let world = waiting(place).await;
    let target = server();
    let target_id = world.register(&world.project_id, "target", &target.uri()).await;
    let before = counts(&world.store).await;
    let body_at =
        |address: &str| json!({"projectId": world.project_id, "clusterName": "c", "connectAddress": address});
    for address in [
        "http://169.254.169.254",
        "http://169.254.169.254:80",
        "http://[::ffff:169.254.169.254]:19530",
        "http://[64:ff9b::a9fe:a9fe]:19530",
        "http://0.0.0.0:19530",
        "http://2852039166:80",
    ] {
        let answer = world.owner.post("/v2/clusters", body_at(address)).await;
        answer.assert_refused(400, "VF-0809");
        let mut body = everything("x", &target_id);
        body["source"] = json!({"endpoint": address, "token": "root:x"});
        world.owner.post(TO_EXISTING, body).await.assert_refused(400, "VF-0809");
    }
    let answer = world.owner.post("/v2/clusters", body_at("http://169.254.169.254")).await;
    let refused = answer.assert_refused(400, "VF-0809");
    let told = "its address 169.254.169.254 is in the denied network 169.254.0.0/16";
    assert!(text(&refused["message"]).contains(told), "{refused:#}");
    // Nobody is there, or it is no Milvus.
    let nobody = vecferry_testkit::free_port();
    let answer = world.owner.post("/v2/clusters", body_at(&format!("http://127.0.0.1:{nobody}"))).await;
    assert!(answer.code().starts_with("VF-01"), "{}", answer.text());
    for wrong in [
        json!({"connectAddress": "127.0.0.1:19530:1"}),
        json!({"connectAddress": ""}),
        json!({"clusterName": "a\u{202e}b"}),
        json!({"cuType": "fast"}),
        json!({"cuSize": -1}),
        json!({"cuSize": 1e9}),
        json!({"deploymentOption": "Giant"}),
        json!({"token": "a\nb"}),
        json!({"caCertificate": "no certificate"}),
    ] {
        let mut body =
            json!({"projectId": world.project_id, "clusterName": "c", "connectAddress": target.uri()});
        for (name, value) in wrong.as_object().unwrap() {
            body[name] = value.clone();
        }
        let answer = world.owner.post("/v2/clusters", body).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "VF-0801"), "{wrong}: {}", answer.text());
    }
    assert_eq!(counts(&world.store).await, before);
}

async fn an_address_in_no_allowed_network_is_refused(place: Place) {
    let mut settings = settings();
    settings.networks.allow = vec!["10.0.0.0/8".parse().unwrap()];
    let world = World::with(place, settings).await;
    let before = counts(&world.store).await;
    let body = json!({"projectId": world.project_id, "clusterName": "c", "connectAddress": "http://127.0.0.1:19530"});
    for (language, told) in [
        ("en", "may not connect to `127.0.0.1`: its address 127.0.0.1 is in no allowed network"),
        ("zh", "本服务不允许连接 `127.0.0.1`：其地址 127.0.0.1 不属于任何允许连接的网段"),
    ] {
        let answer = world.owner.with("accept-language", language).post("/v2/clusters", body.clone()).await;
        let refused = answer.assert_refused(400, "VF-0809");
        assert!(text(&refused["message"]).contains(told), "{refused:#}");
    }
    assert_eq!(counts(&world.store).await, before);
}

async fn ways_that_do_not_exist_are_told_in_the_language_asked_for(place: Place) {
    let world = waiting(place).await;
    for client in [&world.owner, &world.running.client] {
        for path in ["/nowhere", "/v2", "/v2/projects/", "/v3/projects", "/v2/jobs/a/b/c"] {
            let answer = client.get(path).await;
            answer.assert_refused(404, "VF-0804");
        }
        for (method, path) in [
            ("PUT", "/v2/projects"),
            ("DELETE", "/healthz"),
            ("POST", "/openapi.json"),
            ("TRACE", "/v2/jobs"),
        ] {
            let answer = client.send(method, path, None).await;
            answer.assert_refused(405, "VF-0801");
            assert!(answer.header("allow").contains("GET"), "{:?}", answer.headers);
        }
    }
    let asked =
        [("zh", true), ("zh-CN,zh;q=0.9", true), ("ZH", true), ("en", false), ("de", false), ("", false)];
    for (asked, is_chinese) in asked {
        let client = world.owner.with("accept-language", asked);
        let message = text(&client.get("/v2/jobs/none").await.assert_refused(404, "VF-0804")["message"]);
        assert_eq!(message.contains("不存在"), is_chinese, "{asked}: {message}");
        assert_eq!(message.contains("does not exist"), !is_chinese, "{asked}: {message}");
    }
}
