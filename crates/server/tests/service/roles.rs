//! Who may do what: every operation of the API, tried by everybody. An operation without an expectation fails the test.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use vecferry_testkit::stand_in::generate::plain;
use vecferry_testkit::stand_in::{Key, Options, Version};
use vecferry_testkit::{CloudOptions, CloudStandIn, StandIn};

use crate::client::{Client, PASSWORD, World, settings, text};
use crate::on_both_stores;
use crate::place::{Place, change, counts};

on_both_stores!(everybody_may_do_what_the_role_says);

/// What an operation takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    /// Nothing.
    Nothing,
    /// Somebody.
    SignedIn,
    /// An owner of the caller's own organization.
    OwnOrganization,
    /// An owner; owners of other organizations do not find the object.
    Owner,
    /// An owner; nobody else finds the object.
    OwnerWhoFinds,
    /// An owner; who sees the project is told so.
    OwnerOfSeen,
    /// To see the project.
    Look,
    /// To administer the project.
    Administer,
}

/// What somebody is in the first project, from little to much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    None,
    ReadOnly,
    ReadWrite,
    Admin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Shows no credential.
    Nobody,
    /// Shows one that is not good.
    Unknown,
    Owner,
    Member(Role),
    /// An admin of the project of the jobs' source, and nothing in the first one.
    AdminOfSource,
    /// An owner of another organization.
    Elsewhere,
}

fn expected(needs: Needs, is_of_job: bool, standing: Standing, allowed: u16) -> u16 {
    match (standing, needs) {
        (Standing::Nobody, Needs::Nothing) => allowed,
        (Standing::Nobody | Standing::Unknown, _) => 401,
        (Standing::Owner, _) | (_, Needs::Nothing | Needs::SignedIn) => allowed,
        (Standing::Member(_) | Standing::AdminOfSource, Needs::OwnOrganization | Needs::Owner) => 403,
        (Standing::AdminOfSource, Needs::Look) if is_of_job => allowed,
        (Standing::AdminOfSource, Needs::Administer) if is_of_job => 403,
        (Standing::AdminOfSource, _) => 404,
        (Standing::Member(_), Needs::OwnerWhoFinds) => 404,
        (Standing::Member(Role::None), _) => 404,
        (Standing::Member(_), Needs::Look) => allowed,
        (Standing::Member(Role::Admin), Needs::Administer) => allowed,
        (Standing::Member(_), Needs::Administer | Needs::OwnerOfSeen) => 403,
        (Standing::Elsewhere, Needs::OwnOrganization) => allowed,
        (Standing::Elsewhere, _) => 404,
    }
}

/// What an operation takes, and how it is answered to who may do it.
fn needs(operation: &str, is_session: bool) -> (Needs, u16) {
    match operation {
        "healthz" | "readyz" | "signIn" | "signInByLink" => (Needs::Nothing, 200),
        "showSession" | "signOut" | "showOrganization" | "listProjects" | "listApiKeys" | "createApiKey"
        | "listClusters" | "listJobs" | "listWebhooks" => (Needs::SignedIn, 200),
        // No provider is set.
        "signInByOidc" | "finishSignInByOidc" => (Needs::Nothing, 404),
        "setPassword" | "changeAccount" => (Needs::SignedIn, if is_session { 200 } else { 400 }),
        "changeOrganization" | "listUsers" | "inviteUser" | "createProject" | "listAuditLogs" => {
            (Needs::OwnOrganization, 200)
        }
        "changeUser" | "removeUser" | "linkUser" => (Needs::Owner, 200),
        "revokeApiKey" => (Needs::OwnerWhoFinds, 200),
        "removeProject" => (Needs::OwnerOfSeen, 200),
        "showProject" | "listProjectUsers" | "showCluster" | "listCollections" | "showJob"
        | "showJobDetails" | "listTasks" | "listenToJob" => (Needs::Look, 200),
        // It has none yet, and did not begin.
        "showReport" => (Needs::Look, 409),
        // It did not begin, is not successful, or not warm.
        "setJobRate" | "loadJob" | "verifyJob" | "catchUpJob" | "cutOverJob" => (Needs::Administer, 409),
        "renameProject"
        | "setProjectUser"
        | "removeProjectUser"
        | "registerCluster"
        | "testCluster"
        | "listImportableClusters"
        | "changeCluster"
        | "removeCluster"
        | "importClusters"
        | "estimateCapacity"
        | "migrateToExisting"
        | "precheckMigration"
        | "cancelJob"
        | "resumeJob"
        | "createWebhook"
        | "removeWebhook"
        | "listDeliveries"
        | "testWebhook" => (Needs::Administer, 200),
        other => panic!("what does `{other}` take?"),
    }
}

/// Everything that operations are about.
struct Scene {
    world: World,
    source: StandIn,
    target: StandIn,
    source_id: String,
    target_id: String,
    /// In a project of its own, of which the admin of the first project is an admin too: jobs come from there.
    other_source_id: String,
    /// Somebody to sign in as.
    signer: String,
    /// Members of the first project.
    members: Vec<(String, Role)>,
    /// Of the first project.
    webhook_id: String,
    /// Clusters of Zilliz Cloud that were imported.
    imported: AtomicUsize,
}

/// The key of the control plane's stand-in.
const CLOUD_KEY: &str = "the-key-of-the-cloud";
/// Clusters that it has: one for each that somebody imports.
const CLOUD_CLUSTERS: usize = 20;

fn cloud_id(number: usize) -> String {
    format!("in01-{number:016}")
}

fn cloud() -> CloudStandIn {
    let cluster = |number| {
        json!({"clusterId": cloud_id(number), "clusterName": "search", "regionId": "aws-us-west-2", "cuSize": 2,
            "status": "RUNNING", "connectAddress": "https://127.0.0.1:19530"})
    };
    let clusters = (0..CLOUD_CLUSTERS).map(cluster).collect();
    CloudStandIn::start(CloudOptions { key: CLOUD_KEY.into(), clusters, ..CloudOptions::default() })
}

fn webhook(project_id: &str) -> Value {
    json!({"url": "http://127.0.0.1:9/", "projectId": project_id})
}

impl Scene {
    async fn job(&self) -> String {
        let body = json!({"source": {"clusterId": self.other_source_id}, "destination": {"clusterId": self.target_id}});
        self.world.owner.migrate(body).await
    }

    /// A job at its end.
    async fn ended_job(&self) -> String {
        let job_id = self.job().await;
        let sql = "UPDATE migrations SET state = 'FAILED', wanted = NULL, ended_ms = 1 WHERE job_id = $1";
        change(&self.world.store, sql, &[(&job_id).into()]).await;
        job_id
    }

    /// A project with the same members.
    async fn project(&self) -> String {
        let project_id = self.world.new_project("another").await;
        for (user_id, role) in &self.members {
            self.world.give(&project_id, user_id, name_of(*role)).await;
        }
        project_id
    }

    async fn link(&self, user_id: &str) -> String {
        let made = self.world.owner.post(&format!("/v2/users/{user_id}/link"), json!({})).await.data();
        text(&made["linkToken"])
    }

    async fn user(&self) -> String {
        let email = format!("{}@example.com", uuid::Uuid::now_v7().simple());
        let body = json!({"email": email, "name": "fresh", "organizationRole": "member"});
        text(&self.world.owner.post("/v2/users", body).await.data()["userId"])
    }

    /// What an operation is about: the IDs of the path, and a body. Where it changes something, nobody else used it.
    async fn objects(&self, operation: &str) -> (BTreeMap<&'static str, String>, Option<Value>) {
        let project = || ("projectId", self.world.project_id.clone());
        let fresh_email = format!("{}@example.com", uuid::Uuid::now_v7().simple());
        let (ids, body) = match operation {
            "signIn" => (vec![], Some(json!({"email": "signer@example.com", "password": PASSWORD}))),
            "signInByLink" => (vec![], Some(json!({"token": self.link(&self.signer).await}))),
            "setPassword" => (vec![], Some(json!({"newPassword": PASSWORD}))),
            "changeAccount" => (vec![], Some(json!({"name": "Somebody"}))),
            "changeOrganization" => (vec![], Some(json!({"policyEdition": "zilliz-global"}))),
            "inviteUser" => {
                let body = json!({"email": fresh_email, "name": "fresh", "organizationRole": "member"});
                (vec![], Some(body))
            }
            "createProject" => (vec![], Some(json!({"projectName": "fresh"}))),
            "createApiKey" => (vec![], Some(json!({"name": "fresh", "kind": "personal"}))),
            "changeUser" => (vec![("userId", self.user().await)], Some(json!({"organizationRole": "owner"}))),
            "removeUser" | "linkUser" => (vec![("userId", self.user().await)], None),
            "revokeApiKey" => {
                let body = json!({"name": "fresh", "kind": "personal"});
                let made = self.world.owner.post("/v2/apiKeys", body).await.data();
                (vec![("keyId", text(&made["keyId"]))], None)
            }
            "removeProject" => (vec![("projectId", self.project().await)], None),
            "renameProject" => {
                (vec![("projectId", self.project().await)], Some(json!({"projectName": "renamed"})))
            }
            "showProject" | "listProjectUsers" => (vec![project()], None),
            "setProjectUser" => {
                let ids = vec![project(), ("userId", self.user().await)];
                (ids, Some(json!({"projectRole": "readOnly"})))
            }
            "removeProjectUser" => (vec![project(), ("userId", self.user().await)], None),
            "registerCluster" => {
                let body = json!({"projectId": self.world.project_id, "clusterName": "fresh",
                    "connectAddress": self.source.uri()});
                (vec![], Some(body))
            }
            "testCluster" => {
                let body = json!({"projectId": self.world.project_id, "connectAddress": self.source.uri()});
                (vec![], Some(body))
            }
            "listImportableClusters" => {
                (vec![], Some(json!({"projectId": self.world.project_id, "apiKey": CLOUD_KEY})))
            }
            "showCluster" | "listCollections" => (vec![("clusterId", self.source_id.clone())], None),
            "estimateCapacity" => (vec![], Some(json!({"clusterId": self.source_id}))),
            "importClusters" => {
                let number = self.imported.fetch_add(1, Ordering::Relaxed);
                let body = json!({"projectId": self.world.project_id, "apiKey": CLOUD_KEY,
                    "clusterIds": [cloud_id(number)]});
                (vec![], Some(body))
            }
            "createWebhook" => (vec![], Some(webhook(&self.world.project_id))),
            "removeWebhook" => {
                let made =
                    self.world.owner.post("/v2/webhooks", webhook(&self.world.project_id)).await.data();
                (vec![("webhookId", text(&made["webhookId"]))], None)
            }
            "listDeliveries" | "testWebhook" => (vec![("webhookId", self.webhook_id.clone())], None),
            "loadJob" | "listTasks" => (vec![("jobId", self.ended_job().await)], None),
            "catchUpJob" | "cutOverJob" => (vec![("jobId", self.ended_job().await)], Some(json!({}))),
            "verifyJob" => (vec![("jobId", self.ended_job().await)], Some(json!({"level": "count"}))),
            "changeCluster" => {
                (vec![("clusterId", self.source_id.clone())], Some(json!({"clusterName": "renamed"})))
            }
            "removeCluster" => {
                let project_id = &self.world.project_id;
                let cluster_id = self.world.register(project_id, "fresh", &self.target.uri()).await;
                (vec![("clusterId", cluster_id)], None)
            }
            "migrateToExisting" | "precheckMigration" => {
                let body = json!({"source": {"clusterId": self.source_id},
                    "destination": {"clusterId": self.target_id}});
                (vec![], Some(body))
            }
            "showJob" | "showJobDetails" | "showReport" => (vec![("jobId", self.job().await)], None),
            "listenToJob" => (vec![("jobId", self.ended_job().await)], None),
            "cancelJob" => (vec![("jobId", self.job().await)], None),
            "resumeJob" => (vec![("jobId", self.ended_job().await)], Some(json!({}))),
            "setJobRate" => (vec![("jobId", self.job().await)], Some(json!({"maxRate": "20MB/s"}))),
            _ => (vec![], None),
        };
        (ids.into_iter().collect(), body)
    }
}

fn name_of(role: Role) -> &'static str {
    match role {
        Role::None => panic!("no role has no name"),
        Role::ReadOnly => "readOnly",
        Role::ReadWrite => "readWrite",
        Role::Admin => "admin",
    }
}

/// All operations of the description: method, path and ID.
pub(crate) fn operations() -> Vec<(String, String, String)> {
    let document = serde_json::to_value(vecferry_server::openapi()).unwrap();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = text(&operation["operationId"]);
            operations.push((method.to_uppercase(), path.clone(), id));
        }
    }
    operations
}

/// Replaces `{…}` in a path.
fn filled(path: &str, ids: &BTreeMap<&'static str, String>) -> String {
    let mut filled = path.to_owned();
    for (name, id) in ids {
        filled = filled.replace(&format!("{{{name}}}"), id);
    }
    assert!(!filled.contains('{'), "{path} takes an object");
    filled
}

async fn key_of(session: &Client) -> Client {
    session.with_new_key(json!({"name": "k", "kind": "personal"})).await
}

/// A key and its ID.
async fn key_with_id(world: &World) -> (Client, String) {
    let made = world.owner.post("/v2/apiKeys", json!({"name": "k", "kind": "personal"})).await.data();
    (world.running.client.with_key(made["apiKey"].as_str().unwrap()), text(&made["keyId"]))
}

async fn everybody_may_do_what_the_role_says(place: Place) {
    let mut settings = settings();
    // Jobs stay as they are.
    settings.jobs.per_process_max = 0;
    let cloud = cloud();
    settings.control_plane = Some(cloud.uri());
    let world = World::with(place, settings).await;
    let (source, target) =
        (StandIn::start(Options::new(Version::V2_6)), StandIn::start(Options::new(Version::V2_6)));
    source.add(&plain("books", false, &[("_default", (0..3).map(Key::Long).collect())]));
    let (source_id, target_id) = world.register_both(&source, &target).await;

    let sources = world.new_project("sources").await;
    let other_source_id = world.register(&sources, "other source", &source.uri()).await;

    let mut callers: Vec<(&str, Standing, Client)> = Vec::new();
    let mut members = Vec::new();
    for (name, role) in
        [("admin", Role::Admin), ("read-write", Role::ReadWrite), ("read-only", Role::ReadOnly)]
    {
        let (user_id, session) = world.member(name, "member").await;
        world.give(&world.project_id, &user_id, name_of(role)).await;
        if role == Role::Admin {
            world.give(&sources, &user_id, "admin").await;
        }
        callers.push((name, Standing::Member(role), key_of(&session).await));
        members.push((user_id, role));
    }
    let (user_id, session) = world.member("source-admin", "member").await;
    world.give(&sources, &user_id, "admin").await;
    callers.push(("admin of the source's project", Standing::AdminOfSource, key_of(&session).await));
    let (_, session) = world.member("without", "member").await;
    callers.push(("member without project", Standing::Member(Role::None), key_of(&session).await));
    let (user_id, session) = world.member("other-admin", "member").await;
    world.give(&world.new_project("other").await, &user_id, "admin").await;
    callers.push(("admin of another project", Standing::Member(Role::None), key_of(&session).await));
    let service = &world.running.service;
    let link = service.add_organization("Other", "Other Project", "other@localhost").await.unwrap();
    let session = world.running.client.sign_in_by_link(link.reveal()).await;
    callers.push(("owner of another organization", Standing::Elsewhere, key_of(&session).await));
    callers.push(("owner's key", Standing::Owner, world.owner.clone()));
    let nobody = world.running.client.clone();
    callers.push(("nobody", Standing::Nobody, nobody.clone()));
    callers.push(("malformed key", Standing::Unknown, nobody.with_key("vfk_malformed")));
    let (revoked, key_id) = key_with_id(&world).await;
    world.owner.delete(&format!("/v2/apiKeys/{key_id}")).await.data();
    callers.push(("revoked key", Standing::Unknown, revoked));
    let (expired, key_id) = key_with_id(&world).await;
    let sql = "UPDATE api_keys SET expires_ms = 1 WHERE key_id = $1";
    change(&world.store, sql, &[key_id.into()]).await;
    callers.push(("expired key", Standing::Unknown, expired));

    let (signer, session) = world.member("signer", "member").await;
    session.put("/v2/session/password", json!({"newPassword": PASSWORD})).await.data();
    let (second_owner, _) = world.member("second-owner", "owner").await;
    let made = world.owner.post("/v2/webhooks", webhook(&world.project_id)).await.data();
    let (webhook_id, imported) = (text(&made["webhookId"]), AtomicUsize::new(0));
    let scene = Scene {
        world,
        source,
        target,
        source_id,
        target_id,
        other_source_id,
        signer,
        members,
        webhook_id,
        imported,
    };

    let mut tried = 0;
    for (method, path, operation) in operations() {
        for (name, standing, client) in &callers {
            try_one(&scene, (&method, &path, &operation), (name, *standing, client), false).await;
            tried += 1;
        }
        // A session of its own each time, for some end it.
        let link = scene.link(&second_owner).await;
        let session = scene.world.running.client.sign_in_by_link(&link).await;
        try_one(&scene, (&method, &path, &operation), ("owner's session", Standing::Owner, &session), true)
            .await;
        tried += 1;
    }
    assert!(tried > 480, "{tried}");
    let open = scene.world.running.client.get("/openapi.json").await;
    assert_eq!(open.status, 200);
    scene.world.running.client.get("/metrics").await.assert_refused(401, "VF-0802");
}

async fn try_one(
    scene: &Scene,
    (method, path, operation): (&str, &str, &str),
    (name, standing, client): (&str, Standing, &Client),
    is_session: bool,
) {
    let (needs, allowed) = needs(operation, is_session);
    let is_of_job = path.starts_with("/v2/jobs/");
    let expected = expected(needs, is_of_job, standing, allowed);
    let (ids, body) = scene.objects(operation).await;
    let path = filled(path, &ids);
    let before = counts(&scene.world.store).await;
    let answer = client.send(method, &path, body.map(|body| body.to_string().into())).await;
    let context = format!("{operation} by {name}: {method} {path}: {}", answer.text());
    assert_eq!(answer.status, expected, "{context}");
    if expected >= 400 {
        answer.code();
        assert_eq!(counts(&scene.world.store).await, before, "{context}");
    }
    let sees = matches!(standing, Standing::Owner)
        || matches!(standing, Standing::Member(role) if role != Role::None);
    let sees_job = standing == Standing::AdminOfSource && path.starts_with("/v2/jobs");
    if answer.status == 200 && !sees && !sees_job {
        for hidden in [&scene.world.project_id, &scene.source_id, &scene.target_id] {
            assert!(!answer.text().contains(hidden.as_str()), "{context}");
        }
    }
}
