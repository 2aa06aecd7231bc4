//! The client against a stand-in that answers with the documented shapes and errors.

use serde_json::{Value, json};
use vecferry_testkit::{CloudOptions, CloudStandIn};
use vecferry_zilliz::{ApiKey, ControlPlane, ErrorKind};

fn cluster(number: usize) -> Value {
    json!({"clusterId": format!("in01-{number:04}"), "clusterName": format!("cluster {number}"), "projectId": "proj-1",
        "regionId": "aws-us-west-2", "plan": "Enterprise", "deploymentOption": "Dedicated", "cuType": "Performance-optimized",
        "cuSize": 2, "status": "RUNNING", "connectAddress": "https://in01.example:19530", "createTime": "2026-01-01T00:00:00Z",
        "replica": 1, "storageSize": 0, "of_the_future": {"a": 1}})
}

fn start(options: CloudOptions) -> (CloudStandIn, ControlPlane) {
    let server = CloudStandIn::start(CloudOptions { key: "key".to_owned(), ..options });
    let plane = ControlPlane::new(&server.uri(), ApiKey::new("key"));
    (server, plane)
}

#[tokio::test]
async fn projects_and_clusters_are_read_page_by_page() {
    let clusters: Vec<_> = (0..230).map(cluster).collect();
    let (server, plane) = start(CloudOptions { clusters: clusters.clone(), ..CloudOptions::default() });
    let projects = plane.projects().await.unwrap();
    assert_eq!((projects[0].project_id.as_str(), projects[0].instance_count), ("proj-1", 230));
    let found = plane.clusters().await.unwrap();
    assert_eq!(found.len(), 230);
    assert_eq!(found[229].cluster_id, "in01-0229");
    assert_eq!(server.calls().iter().filter(|call| call.starts_with("GET /v2/clusters?")).count(), 3);
    let (_server, plane) = start(CloudOptions { clusters, plain_list: true, ..CloudOptions::default() });
    assert_eq!(plane.clusters().await.unwrap().len(), 230);
}

#[tokio::test]
async fn a_cluster_is_described_with_its_size_and_its_head_room() {
    let metrics =
        vec![("CU_CAPACITY".to_owned(), "37.5".to_owned()), ("STORAGE_USE".to_owned(), "x".to_owned())];
    let (_server, plane) =
        start(CloudOptions { clusters: vec![cluster(7)], metrics, ..CloudOptions::default() });
    let found = plane.cluster("in01-0007").await.unwrap();
    assert_eq!(
        (found.deployment_option.as_str(), found.cu_size, found.status.as_str()),
        ("Dedicated", 2.0, "RUNNING")
    );
    let values = plane.metrics("in01-0007", &["CU_CAPACITY", "ENTITIES_COUNT"]).await.unwrap();
    assert_eq!(values["CU_CAPACITY"], 37.5);
    assert_eq!(values["ENTITIES_COUNT"], 1.0, "where the newest has no value, the one before it");
}

#[tokio::test]
async fn refusals_are_told_apart_whatever_the_http_status() {
    let (server, plane) = start(CloudOptions { clusters: vec![cluster(1)], ..CloudOptions::default() });
    let error = plane.cluster("in01-9999").await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::NoCluster, 80020));
    assert!(error.to_string().contains("no permission"), "{error}");
    let stranger = ControlPlane::new(&server.uri(), ApiKey::new("other"));
    let error = stranger.cluster("in01-0001").await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::BadKey, 21119));
    drop(server);
    let error = plane.projects().await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unreachable, 0));
}

#[tokio::test]
async fn calls_that_come_too_often_are_made_again() {
    let (server, plane) =
        start(CloudOptions { throttled: 3, clusters: vec![cluster(1)], ..CloudOptions::default() });
    assert_eq!(plane.cluster("in01-0001").await.unwrap().cluster_id, "in01-0001");
    assert_eq!(server.calls().len(), 4);
    let (_server, plane) = start(CloudOptions { throttled: 99, ..CloudOptions::default() });
    assert_eq!(plane.projects().await.unwrap_err().kind(), ErrorKind::Throttled);
}
