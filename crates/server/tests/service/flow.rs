//! Jobs from their creation to their end, through the API.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use vecferry_store::Store;
use vecferry_testkit::StandIn;
use vecferry_testkit::fault_proxy::{Armed, Fault, FaultProxy, When};
use vecferry_testkit::stand_in::generate::{Generated, plain};
use vecferry_testkit::stand_in::{Key, Options, Version};

use crate::client::{Client, Running, World, settings, text, wait_for};
use crate::on_both_stores;
use crate::place::{Place, change, eventually, rows};

on_both_stores!(
    a_job_runs_to_its_end_and_everything_is_told,
    lists_are_filtered_and_come_in_pages,
    members_of_the_sources_project_see_the_job,
    a_canceled_job_goes_on,
    what_a_job_made_is_removed_with_it,
    a_limit_holds_from_the_first_row,
    a_clock_that_is_set_forward_interrupts_no_job,
    a_clock_that_is_set_back_holds_nothing_up,
    access_to_a_source_elsewhere_is_erased,
    a_job_outlives_its_service,
    a_request_that_is_repeated_makes_one_job,
    a_job_starts_at_its_time,
    a_job_whose_check_has_changed_does_not_start,
    a_job_whose_creator_lost_the_right_does_not_start,
    a_start_waits_for_a_cluster_that_can_not_be_reached,
    a_start_does_not_wait_for_a_cluster_for_ever,
    a_canceled_job_that_waits_ends,
    what_jobs_need_stays,
    a_job_waits_for_its_target,
);

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn server() -> StandIn {
    StandIn::start(Options::new(Version::V2_6))
}

pub(crate) fn books(name: &str) -> Generated {
    plain(name, false, &[("_default", (0..50).map(Key::Long).collect())])
}

/// The body of a job for everything.
pub(crate) fn everything(source_id: &str, target_id: &str) -> Value {
    json!({"source": {"clusterId": source_id}, "destination": {"clusterId": target_id}})
}

/// Two servers, and a proxy before each that can hold a call of a job.
pub(crate) struct Held {
    pub(crate) source: StandIn,
    pub(crate) target: StandIn,
    /// Before the source, and before the target.
    proxies: [FaultProxy; 2],
    armed: Option<Armed>,
}

impl Held {
    /// A job is held when it writes rows; it is not over before the outcome of that is known.
    pub(crate) fn when_writing() -> Self {
        let mut held = Self::start(true);
        held.armed = Some(held.proxies[1].arm(["Insert", "Upsert"], When::Always, Fault::HalfOpen));
        held
    }

    /// A job is held when it loads its source; it can be canceled there.
    pub(crate) fn when_loading() -> Self {
        let mut held = Self::start(false);
        held.armed = Some(held.proxies[0].arm("LoadCollection", When::Always, Fault::HalfOpen));
        held
    }

    fn start(loaded: bool) -> Self {
        let (source, target) = (server(), server());
        source.add(&Generated { loaded, ..books("books") });
        let proxies = [FaultProxy::start(&source.uri()), FaultProxy::start(&target.uri())];
        Self { source, target, proxies, armed: None }
    }

    /// The addresses to migrate between.
    pub(crate) fn uris(&self) -> [String; 2] {
        self.proxies.each_ref().map(FaultProxy::uri)
    }

    /// Registers both.
    pub(crate) async fn register(&self, world: &World) -> (String, String) {
        let [source, target] = self.uris();
        (
            world.register(&world.project_id, "source", &source).await,
            world.register(&world.project_id, "target", &target).await,
        )
    }

    #[track_caller]
    pub(crate) fn assert_arrived(&self) {
        assert_arrived(&self.source, &self.target, "books");
    }

    /// Waits until a job is held.
    pub(crate) async fn reached(&mut self) {
        let armed = self.armed.take().unwrap();
        let (fired, armed) =
            tokio::task::spawn_blocking(move || (armed.wait_until_fired(PATIENCE), armed)).await.unwrap();
        assert!(fired, "no job gets there");
        self.armed = Some(armed);
    }

    /// Answers from now on, also what is held.
    pub(crate) async fn release(&mut self) {
        let armed = self.armed.take().unwrap();
        armed.disarm();
        let released = move || {
            while armed.held() > 0 {
                // Whoever asked may be gone.
                let _ = armed.release(PATIENCE);
            }
        };
        tokio::task::spawn_blocking(released).await.unwrap();
    }
}

#[track_caller]
fn assert_arrived(source: &StandIn, target: &StandIn, name: &str) {
    assert_eq!(target.rows("default", name), source.rows("default", name), "{name}");
}

async fn a_job_runs_to_its_end_and_everything_is_told(place: Place) {
    let world = World::start(place).await;
    let (source, target) = (server(), server());
    source.add(&books("books"));
    source.add(&books("others"));
    let (source_id, target_id) = world.register_both(&source, &target).await;
    let cluster = world.owner.get(&format!("/v2/clusters/{source_id}")).await.data();
    assert_eq!(cluster["status"], "RUNNING");
    assert_eq!(cluster["version"], "Milvus 2.6.18");
    assert_eq!(cluster["deploymentOption"], "self-hosted");
    assert_eq!(cluster["connectAddress"].as_str(), Some(source.uri().as_str()));
    let listed = world.owner.get("/v2/clusters?pageSize=1&currentPage=2").await.data();
    assert_eq!(
        (listed["count"].as_i64(), listed["clusters"][0]["clusterId"].as_str()),
        (Some(2), Some(target_id.as_str()))
    );

    // As the cloud documents it.
    let body = json!({"source": {"clusterId": source_id}, "destination": {"clusterId": target_id},
        "dbCollections": [{"dbName": "default", "collections": [{"collectionName": "books"}]}]});
    let checked = world.owner.post("/v2/migrations/precheck", body.clone()).await.data();
    assert_eq!(checked["passed"], true, "{checked:#}");
    let checks = checked["checks"].as_array().unwrap();
    let role = checks.iter().find(|check| check["id"] == "role").unwrap();
    assert_eq!(role["outcome"], "pass");
    assert_eq!(role["facts"], json!(["Organization Owner"]));
    assert!(checked["plan"].is_object(), "{checked:#}");
    assert!(target.names("default").0.is_empty(), "a check writes nothing");

    let job_id = world.owner.migrate(body).await;
    let job = world.wait_for(&job_id, "SUCCESSFUL").await;
    assert_eq!(job["progress"], "100");
    assert_eq!((job["type"].as_str(), job["reason"].as_str()), (Some("MIGRATION"), None));
    assert!(job["startTime"].is_string() && job["endTime"].is_string(), "{job:#}");
    assert_arrived(&source, &target, "books");
    assert_eq!(target.names("default").0, ["books"], "only what was named");

    let path = format!("/v2/jobs/{job_id}");
    let details = world.owner.get(&format!("{path}/details")).await.data();
    assert_eq!(details["job"]["jobId"].as_str(), Some(job_id.as_str()));
    assert!(details["progress"].to_string().contains("books"), "{details:#}");
    assert_eq!(details["problems"], json!([]));
    assert_eq!(details["request"]["databases"][0]["collections"], json!(["books"]));
    let report = world.owner.get(&format!("{path}/report")).await.data();
    assert_eq!(report["state"], "SUCCESSFUL", "{report:#}");
    for (query, word) in [("format=html", "lang=\"en\""), ("format=html&lang=zh", "lang=\"zh")] {
        let page = world.owner.get(&format!("{path}/report?{query}")).await;
        assert_eq!(page.status, 200, "{}", page.text());
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        assert!(page.text().contains(word) && page.text().contains("books"), "{query}");
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'"), "{policy}");
    }
    for query in ["format=pdf", "lang=de", "colour=red"] {
        world.owner.get(&format!("{path}/report?{query}")).await.assert_refused(400, "VF-0801");
    }
    // It is over.
    for (way, body) in [("cancel", json!({})), ("resume", json!({}))] {
        world.owner.post(&format!("{path}/{way}"), body).await.assert_refused(409, "VF-0805");
    }
    world
        .owner
        .put(&format!("{path}/rate"), json!({"maxRate": "1MB/s"}))
        .await
        .assert_refused(409, "VF-0805");
    // The name is taken now, and the check tells so.
    let again = json!({"source": {"clusterId": source_id}, "destination": {"clusterId": target_id},
        "dbCollections": [{"collections": [{"collectionName": "books"}]}]});
    let checked = world.owner.post("/v2/migrations/precheck", again.clone()).await.data();
    assert_eq!(checked["passed"], false);
    assert!(checked["refusals"].to_string().contains("books") && checked["plan"].is_null(), "{checked:#}");
    let job_id = world.owner.migrate(again).await;
    let job = world.wait_for(&job_id, "FAILED").await;
    assert!(text(&job["reason"]).contains("books"), "{job:#}");
    let chinese =
        world.owner.with("accept-language", "zh-CN").get(&format!("/v2/jobs/{job_id}")).await.data();
    assert!(!text(&chinese["reason"]).is_ascii(), "{chinese:#}");
    // Who did it is in the audit log.
    let entries = world.owner.get("/v2/auditLogs?action=POST%20/v2/migrations/toExisting").await.data();
    let entry = &entries["entries"][0];
    assert_eq!((entry["object"].as_str(), entry["outcome"].as_str()), (Some(job_id.as_str()), Some("done")));
}

async fn lists_are_filtered_and_come_in_pages(place: Place) {
    let mut settings = settings();
    settings.jobs.per_process_max = 0;
    let world = World::with(place, settings).await;
    let (source, target) = (server(), server());
    let (source_id, target_id) = world.register_both(&source, &target).await;
    let other_project = world.new_project("other").await;
    let elsewhere = world.register(&other_project, "elsewhere", &target.uri()).await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(world.owner.migrate(everything(&source_id, &target_id)).await);
    }
    let other = world.owner.migrate(everything(&source_id, &elsewhere)).await;
    world.owner.post(&format!("/v2/jobs/{other}/cancel"), json!({})).await.data();
    let listed = async |query: &str| {
        let page = world.owner.get(&format!("/v2/jobs?{query}")).await.data();
        let jobs = page["jobs"].as_array().unwrap().iter().map(|job| text(&job["jobId"]));
        (jobs.collect::<Vec<_>>(), page["cursor"].as_str().map(str::to_owned))
    };
    made.reverse();
    let newest_first: Vec<_> = std::iter::once(other.clone()).chain(made.iter().cloned()).collect();
    assert_eq!(listed("").await, (newest_first.clone(), None));
    let (first, cursor) = listed("pageSize=4").await;
    let (second, end) = listed(&format!("pageSize=4&cursor={}", cursor.unwrap())).await;
    assert_eq!(([first, second].concat(), end), (newest_first, None));
    assert_eq!(listed(&format!("projectId={other_project}")).await.0, [other.as_str()]);
    assert_eq!(listed(&format!("clusterId={elsewhere}")).await.0, [other.as_str()]);
    assert_eq!(listed(&format!("clusterId={target_id}")).await.0, made);
    assert_eq!(listed("status=CANCELING").await.0, [other.as_str()]);
    assert_eq!(listed("status=PENDING").await.0, made);
    for wrong in ["status=LOST", "pageSize=0", "pageSize=101", "pageSize=x", "colour=red"] {
        world.owner.get(&format!("/v2/jobs?{wrong}")).await.assert_refused(400, "VF-0801");
    }
    world.owner.get("/v2/jobs?projectId=proj-none").await.assert_refused(404, "VF-0804");
    // Who sees the other project only.
    let (user_id, session) = world.member("bob", "member").await;
    assert_eq!(session.get("/v2/jobs").await.data()["jobs"], json!([]));
    world.give(&other_project, &user_id, "readOnly").await;
    let seen = session.get("/v2/jobs").await.data();
    assert_eq!(seen["jobs"].as_array().unwrap().len(), 1, "{seen:#}");
    assert_eq!(seen["jobs"][0]["jobId"].as_str(), Some(other.as_str()));
}

async fn members_of_the_sources_project_see_the_job(place: Place) {
    let mut settings = settings();
    settings.jobs.per_process_max = 0;
    let world = World::with(place, settings).await;
    let (source, target) = (server(), server());
    let (source_id, target_id) = world.register_both(&source, &target).await;
    let other_project = world.new_project("other").await;
    let other_target = world.register(&other_project, "elsewhere", &target.uri()).await;
    let (user_id, session) = world.member("bob", "member").await;
    world.give(&world.project_id, &user_id, "admin").await;
    let within = world.owner.migrate(everything(&source_id, &target_id)).await;
    let out_of = world.owner.migrate(everything(&source_id, &other_target)).await;
    let into = world.owner.migrate(everything(&other_target, &target_id)).await;
    world.owner.migrate(everything(&other_target, &other_target)).await;
    for query in [String::new(), format!("projectId={}", world.project_id)] {
        let page = session.get(&format!("/v2/jobs?{query}")).await.data();
        let jobs = page["jobs"].as_array().unwrap().iter().map(|job| text(&job["jobId"]));
        assert_eq!(jobs.collect::<Vec<_>>(), [&into, &out_of, &within].map(String::as_str), "{query}");
    }
    let pages = async |query: &str| session.get(&format!("/v2/jobs?pageSize=1&{query}")).await.data();
    let first = pages("").await;
    let second = pages(&format!("cursor={}", text(&first["cursor"]))).await;
    assert_eq!(second["jobs"][0]["jobId"].as_str(), Some(out_of.as_str()));
    session.get(&format!("/v2/jobs?projectId={other_project}")).await.assert_refused(404, "VF-0804");
    let cancel = async |job_id: &str| session.post(&format!("/v2/jobs/{job_id}/cancel"), json!({})).await;
    for job_id in [&out_of, &into] {
        session.get(&format!("/v2/jobs/{job_id}/details")).await.data();
        let refused = cancel(job_id).await.assert_refused(403, "VF-0803");
        let told = "needs the role Project Admin; the role here is Organization Member";
        assert!(text(&refused["message"]).contains(told), "{refused:#}");
    }
    world.give(&other_project, &user_id, "admin").await;
    for job_id in [&within, &out_of, &into] {
        cancel(job_id).await.data();
    }
}

async fn a_canceled_job_goes_on(place: Place) {
    let world = World::start(place).await;
    let mut held = Held::when_loading();
    let (source_id, target_id) = held.register(&world).await;
    let job_id = world.owner.migrate(everything(&source_id, &target_id)).await;
    let path = format!("/v2/jobs/{job_id}");
    held.reached().await;
    let job = world.wait_for(&job_id, "IN_PROGRESS").await;
    assert!(job["progress"] != "100" && job["endTime"].is_null(), "{job:#}");
    world.owner.post(&format!("{path}/resume"), json!({})).await.assert_refused(409, "VF-0805");
    let rate = async |rate: &str| world.owner.put(&format!("{path}/rate"), json!({"maxRate": rate})).await;
    let refused = rate("fast").await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    refused.code();
    rate("20MB/s").await.data();
    rate("none").await.data();
    world.owner.post(&format!("{path}/cancel"), json!({})).await.data();
    let job = world.wait_for(&job_id, "CANCELED").await;
    assert!(job["endTime"].is_string(), "{job:#}");
    held.release().await;
    for body in ["[]", "1", r#"{"colour": "red"}"#] {
        let answer = world.owner.send("POST", &format!("{path}/resume"), Some(body.into())).await;
        answer.assert_refused(400, "VF-0801");
    }
    // Nothing has to be said.
    world.owner.send("POST", &format!("{path}/resume"), None).await.data();
    let job = world.wait_for(&job_id, "SUCCESSFUL").await;
    assert_eq!(job["progress"], "100");
    held.assert_arrived();
}

async fn what_a_job_made_is_removed_with_it(place: Place) {
    let world = World::start(place).await;
    let mut held = Held::when_loading();
    let (source_id, target_id) = held.register(&world).await;
    let job_id = world.owner.migrate(everything(&source_id, &target_id)).await;
    let path = format!("/v2/jobs/{job_id}/cancel");
    held.reached().await;
    for body in [json!({"clean": "yes"}), json!({"colour": "red"})] {
        world.owner.post(&path, body).await.assert_refused(400, "VF-0801");
    }
    // While it is under way: it ends, and is cleaned up behind that.
    world.owner.post(&path, json!({"clean": true})).await.data();
    // A plain cancellation takes nothing back of that.
    let again = world.owner.post(&path, json!({})).await;
    assert!([200, 409].contains(&again.status), "{}", again.text());
    let job = world.wait_for(&job_id, "CANCELED").await;
    assert!(text(&job["reason"]).contains("VF-0233"), "{job:#}");
    assert!(job["endTime"].is_string(), "{job:#}");
    assert!(held.target.names("default").0.is_empty());
    held.release().await;

    // It begins from scratch, and what is complete is removed too, but nothing that others made.
    held.target.add(&books("others"));
    world.owner.post(&format!("/v2/jobs/{job_id}/resume"), json!({})).await.data();
    world.wait_for(&job_id, "SUCCESSFUL").await;
    held.assert_arrived();
    world.owner.post(&path, json!({})).await.assert_refused(409, "VF-0805");
    // A result is removed only by whoever names the job once more.
    for body in [json!({"clean": true}), json!({"clean": true, "confirm": "yes"})] {
        let refused = world.owner.post(&path, body).await;
        refused.assert_refused(409, "VF-0805");
        assert!(refused.text().contains("the 1 collection with 50 rows"), "{}", refused.text());
    }
    held.assert_arrived();
    world.owner.post(&path, json!({"clean": true, "confirm": job_id})).await.data();
    let job = world.wait_for(&job_id, "CANCELED").await;
    assert!(text(&job["reason"]).contains("books"), "{job:#}");
    assert_eq!(held.target.names("default").0, ["others"]);
}

async fn a_clock_that_is_set_forward_interrupts_no_job(place: Place) {
    let world = World::start(place).await;
    let mut held = Held::when_loading();
    let (source_id, target_id) = held.register(&world).await;
    let job_id = world.owner.migrate(everything(&source_id, &target_id)).await;
    held.reached().await;
    // The claim of the process that works on it seems to be over, again and again.
    for _ in 0..150 {
        let over = "UPDATE migrations SET held_until_ms = 1 WHERE job_id = $1";
        change(&world.store, over, &[job_id.as_str().into()]).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    held.release().await;
    world.wait_for(&job_id, "SUCCESSFUL").await;
    let details = world.owner.get(&format!("/v2/jobs/{job_id}/details")).await.data();
    assert_eq!(details["progress"]["attempts"], 1, "{details:#}");
}

/// A process that is gone seems to hold a job for an hour, and somebody looked at the clusters in an hour.
async fn a_clock_that_is_set_back_holds_nothing_up(place: Place) {
    let world = World::start(place).await;
    let held = Held::start(true);
    let (source_id, target_id) = held.register(&world).await;
    let mut body = everything(&source_id, &target_id);
    body["startTime"] = json!((jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3)).to_string());
    let job_id = world.owner.migrate(body).await;
    let ahead = world.store.now_ms().await.unwrap() + 60 * 60 * 1000;
    let claimed = "UPDATE migrations SET holder = 'process-gone', held_until_ms = $2 WHERE job_id = $1";
    change(&world.store, claimed, &[job_id.as_str().into(), ahead.into()]).await;
    change(&world.store, "UPDATE clusters SET looked_ms = $1", &[ahead.into()]).await;
    world.wait_for(&job_id, "SUCCESSFUL").await;
    eventually("a look at the clusters", async || {
        let looked = rows(&world.store, "SELECT MAX(looked_ms) FROM clusters", &[]).await;
        (looked[0].integer(0).unwrap() < ahead).then_some(())
    })
    .await;
}

async fn a_limit_holds_from_the_first_row(place: Place) {
    let world = World::start(place).await;
    let mut held = Held::when_loading();
    let (source_id, target_id) = held.register(&world).await;
    let body = |rate: &str| {
        let mut body = everything(&source_id, &target_id);
        body["options"] = json!({"maxRate": rate});
        body
    };
    let refused = world.owner.post("/v2/migrations/toExisting", body("fast")).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    refused.code();
    let job_id = world.owner.migrate(body("20MB/s")).await;
    held.reached().await;
    let details = world.owner.get(&format!("/v2/jobs/{job_id}/details")).await.data();
    assert_eq!(details["progress"]["max_rate"], "20MB/s", "{details:#}");
    // One that was set later stays when the job goes on.
    let path = format!("/v2/jobs/{job_id}");
    world.owner.put(&format!("{path}/rate"), json!({"maxRate": "30MB/s"})).await.data();
    world.owner.post(&format!("{path}/cancel"), json!({})).await.data();
    world.wait_for(&job_id, "CANCELED").await;
    held.release().await;
    world.owner.post(&format!("{path}/resume"), json!({})).await.data();
    world.wait_for(&job_id, "SUCCESSFUL").await;
    let details = world.owner.get(&format!("{path}/details")).await.data();
    assert_eq!(details["progress"]["max_rate"], "30MB/s", "{details:#}");
}

/// The encrypted access to the source of a job.
async fn source_secret(store: &Arc<dyn Store>, job_id: &str) -> Option<Vec<u8>> {
    let sql = "SELECT source_secret FROM migrations WHERE job_id = $1";
    rows(store, sql, &[job_id.into()]).await[0].bytes_or_none(0).unwrap()
}

async fn access_to_a_source_elsewhere_is_erased(place: Place) {
    let world = World::start(place).await;
    let mut held = Held::when_loading();
    let (_, target_id) = held.register(&world).await;
    let source = json!({"endpoint": held.uris()[0], "token": "root:plantedsecret"});
    let body = json!({"source": source, "destination": {"clusterId": target_id}});
    let job_id = world.owner.migrate(body).await;
    held.reached().await;
    let secret = source_secret(&world.store, &job_id).await.unwrap();
    let is_plain = |bytes: &[u8]| bytes.windows(13).any(|part| part == b"plantedsecret");
    assert!(!is_plain(&secret));
    let sql = "SELECT request, source_address, target_address FROM migrations";
    for column in 0..3 {
        assert!(!is_plain(rows(&world.store, sql, &[]).await[0].text(column).unwrap().as_bytes()));
    }
    let path = format!("/v2/jobs/{job_id}");
    for way in [&path, &format!("{path}/details")] {
        let told = world.owner.get(way).await;
        told.data();
        assert!(!told.text().contains("plantedsecret"), "{}", told.text());
    }
    world.owner.post(&format!("{path}/cancel"), json!({})).await.data();
    world.wait_for(&job_id, "CANCELED").await;
    assert_eq!(source_secret(&world.store, &job_id).await, None);
    held.release().await;

    let resume = |body: Value| {
        let (owner, path) = (world.owner.clone(), format!("{path}/resume"));
        async move { owner.post(&path, body).await }
    };
    resume(json!({})).await.assert_refused(400, "VF-0801");
    let another = json!({"source": {"endpoint": held.target.uri(), "token": "root:x"}});
    resume(another).await.assert_refused(400, "VF-0801");
    resume(json!({"source": {"clusterId": target_id}})).await.assert_refused(400, "VF-0801");
    assert_eq!(source_secret(&world.store, &job_id).await, None);
    resume(json!({"source": source})).await.data();
    world.wait_for(&job_id, "SUCCESSFUL").await;
    assert_eq!(source_secret(&world.store, &job_id).await, None);
    held.assert_arrived();
}

async fn a_job_outlives_its_service(place: Place) {
    let world = World::start(place).await;
    let mut held = Held::when_writing();
    let (source_id, target_id) = held.register(&world).await;
    let job_id = world.owner.migrate(everything(&source_id, &target_id)).await;
    held.reached().await;
    let World { place, owner, running, .. } = world;
    running.end().await;
    held.release().await;
    let again = Running::start(&place, settings()).await;
    wait_for(&owner.at(&again.client), &job_id, "SUCCESSFUL").await;
    held.assert_arrived();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_goes_on_where_one_died() {
    let place = Arc::new(Place::postgres());
    let dying = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let of_dying = Arc::clone(&place);
    let first = dying.spawn(async move { Running::start(&of_dying, settings()).await }).await.unwrap();
    let session = first.client.sign_in_by_link(first.link.as_deref().unwrap()).await;
    let owner = session.with_new_key(json!({"name": "k", "kind": "personal"})).await;
    let project_id = text(&owner.get("/v2/projects").await.data()[0]["projectId"]);
    let mut held = Held::when_writing();
    let mut cluster_ids = Vec::new();
    for address in held.uris() {
        let body = json!({"projectId": project_id, "clusterName": "c", "connectAddress": address});
        cluster_ids.push(text(&owner.post("/v2/clusters", body).await.data()["clusterId"]));
    }
    let job_id = owner.migrate(everything(&cluster_ids[0], &cluster_ids[1])).await;
    held.reached().await;
    // It says nothing any more, and gives nothing back.
    dying.shutdown_background();
    std::mem::forget(first);
    held.release().await;

    let second = Running::start(&place, settings()).await;
    let store = place.open().await;
    let sql = "SELECT holder FROM migrations WHERE job_id = $1 AND held_until_ms > 0";
    let holder = rows(&store, sql, &[(&job_id).into()]).await[0].text(0).unwrap();
    // Its time is over.
    place.end_lease(&job_id);
    let sql = "UPDATE migrations SET held_until_ms = 1 WHERE job_id = $1 AND holder = $2";
    change(&store, sql, &[(&job_id).into(), holder.into()]).await;
    wait_for(&owner.at(&second.client), &job_id, "SUCCESSFUL").await;
    held.assert_arrived();
}

async fn a_request_that_is_repeated_makes_one_job(place: Place) {
    let mut settings = settings();
    settings.jobs.per_process_max = 0;
    let world = World::with(place, settings).await;
    let (source, target) = (server(), server());
    let (source_id, target_id) = world.register_both(&source, &target).await;
    let with_key = |key: &str| world.owner.with("idempotency-key", key);
    let body = everything(&source_id, &target_id);
    let first = with_key("one").migrate(body.clone()).await;
    assert_eq!(with_key("one").migrate(body.clone()).await, first);
    let create = async |key: &str, body: Value| with_key(key).post("/v2/migrations/toExisting", body).await;
    let another = json!({"source": {"clusterId": source_id}, "destination": {"clusterId": target_id},
        "dbCollections": [{"dbName": "default"}]});
    create("one", another.clone()).await.assert_refused(409, "VF-0811");
    let second = with_key("two").migrate(another).await;
    assert_ne!(second, first);
    assert_ne!(world.owner.migrate(body.clone()).await, first);
    // A name is the caller's own.
    let (_, other) = world.member("other", "owner").await;
    assert_ne!(other.with("idempotency-key", "one").migrate(body.clone()).await, first);
    // What made nothing can be asked for differently.
    create("three", everything(&source_id, "vf-none")).await.assert_refused(404, "VF-0804");
    let third = with_key("three").migrate(body.clone()).await;
    assert_eq!(with_key("three").migrate(body.clone()).await, third);
    for wrong in ["", " ", &"x".repeat(201)] {
        create(wrong, body.clone()).await.assert_refused(400, "VF-0801");
    }
    // Of many at the same time one makes the job.
    let client = with_key("many");
    let path = "/v2/migrations/toExisting";
    let answers = futures_util::future::join_all((0..8).map(|_| client.post(path, body.clone()))).await;
    let made: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert!(!made.is_empty() && made.iter().all(|answer| answer.data() == made[0].data()));
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.assert_refused(409, "VF-0805");
    }
    let count = rows(&world.store, "SELECT count(*) FROM migrations", &[]).await[0].integer(0).unwrap();
    assert_eq!(count, 6);
    // A request whose process ended is asked for again.
    let sql = "UPDATE idempotency SET job_id = 'none' WHERE name = 'many'";
    change(&world.store, sql, &[]).await;
    create("many", body.clone()).await.assert_refused(409, "VF-0805");
    let sql = "UPDATE idempotency SET at_ms = at_ms - 800000 WHERE name = 'many'";
    change(&world.store, sql, &[]).await;
    create("many", body).await.data();
}

/// The body of a job that starts in an hour.
pub(crate) fn later(source_id: &str, target_id: &str) -> Value {
    let start = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let mut body = everything(source_id, target_id);
    body["startTime"] = json!(start.to_string());
    body
}

/// Has the hour pass.
pub(crate) async fn is_due(world: &World, job_id: &str) {
    change(&world.store, "UPDATE migrations SET start_ms = 1 WHERE job_id = $1", &[job_id.into()]).await;
}

async fn a_job_starts_at_its_time(place: Place) {
    let world = World::start(place).await;
    let (source, target) = (server(), server());
    source.add(&books("books"));
    let (source_id, target_id) = world.register_both(&source, &target).await;
    let job_id = world.owner.migrate(later(&source_id, &target_id)).await;
    // Later ones are not held up by it.
    let other_target = server();
    let other_id = world.register(&world.project_id, "other", &other_target.uri()).await;
    let other = world.owner.migrate(everything(&source_id, &other_id)).await;
    world.wait_for(&other, "SUCCESSFUL").await;
    let job = world.owner.get(&format!("/v2/jobs/{job_id}")).await.data();
    assert_eq!((job["status"].as_str(), job["startTime"].as_str()), (Some("PENDING"), None));
    // Rows may come until then.
    source.delete(("default", "books"), "_default", &[Key::Long(3)].into());
    is_due(&world, &job_id).await;
    world.wait_for(&job_id, "SUCCESSFUL").await;
    assert_arrived(&source, &target, "books");
    for wrong in ["tomorrow", "2026-01-01T02:00:00", "2020-01-01T02:00:00Z", "2999-01-01T02:00:00Z", ""] {
        let mut body = everything(&source_id, &target_id);
        body["startTime"] = json!(wrong);
        world.owner.post("/v2/migrations/toExisting", body).await.assert_refused(400, "VF-0801");
    }
    // What the check refuses now is not planned for later.
    let refused = world.owner.post("/v2/migrations/toExisting", later(&source_id, &target_id)).await;
    assert_eq!(refused.status, 400);
    assert!(refused.code().starts_with("VF-02"), "{}", refused.text());
}

async fn a_job_whose_check_has_changed_does_not_start(place: Place) {
    let world = World::start(place).await;
    let (source, target) = (server(), server());
    source.add(&books("books"));
    let (source_id, target_id) = world.register_both(&source, &target).await;
    let job_id = world.owner.migrate(later(&source_id, &target_id)).await;
    source.remove("default", "books");
    source.add(&plain("books", true, &[("_default", vec![Key::Text("a".into())])]));
    is_due(&world, &job_id).await;
    let job = world.wait_for(&job_id, "FAILED").await;
    assert!(text(&job["reason"]).starts_with("VF-0818: "), "{job:#}");
    let details = world.owner.get(&format!("/v2/jobs/{job_id}/details")).await.data();
    assert_eq!(details["problems"][0]["code"], "VF-0818", "{details:#}");
    assert!(target.names("default").0.is_empty(), "nothing was written");
}

async fn a_job_whose_creator_lost_the_right_does_not_start(place: Place) {
    let world = World::start(place).await;
    let (source, target) = (server(), server());
    source.add(&books("books"));
    let (source_id, target_id) = world.register_both(&source, &target).await;
    let (member_id, member) = world.member("member", "member").await;
    world.give(&world.project_id, &member_id, "admin").await;
    let role =
        json!({"name": "ci", "kind": "customized", "projectRoles": {world.project_id.as_str(): "admin"}});
    let made = world.owner.post("/v2/apiKeys", role).await.data();
    let key = world.owner.with_key(made["apiKey"].as_str().unwrap());
    let body = later(&source_id, &target_id);
    let of_member = member.migrate(body.clone()).await;
    let of_key = key.migrate(body.clone()).await;
    let canceled = member.migrate(body.clone()).await;
    member.post(&format!("/v2/jobs/{canceled}/cancel"), json!({})).await.data();
    world.wait_for(&canceled, "CANCELED").await;
    world.owner.delete(&format!("/v2/apiKeys/{}", text(&made["keyId"]))).await.data();
    is_due(&world, &of_key).await;
    let job = world.wait_for(&of_key, "FAILED").await;
    assert!(text(&job["reason"]).contains("was revoked or has expired"), "{job:#}");
    assert_eq!(codes_of(&world, &of_key).await, ["VF-0825"]);

    // Another role, and none at all.
    world.give(&world.project_id, &member_id, "readOnly").await;
    is_due(&world, &of_member).await;
    let job = world.wait_for(&of_member, "FAILED").await;
    assert!(text(&job["reason"]).contains("no longer Project Admin"), "{job:#}");
    world.give(&world.project_id, &member_id, "admin").await;
    let of_stranger = member.migrate(body).await;
    world.owner.delete(&format!("/v2/users/{member_id}")).await.data();
    is_due(&world, &of_stranger).await;
    let job = world.wait_for(&of_stranger, "FAILED").await;
    assert!(text(&job["reason"]).starts_with("VF-0825: "), "{job:#}");
    assert!(text(&job["reason"]).contains("no longer a member"), "{job:#}");
    assert!(target.names("default").0.is_empty(), "nothing was written");
    let path = format!("/v2/jobs/{of_stranger}");
    let chinese = world.owner.with("accept-language", "zh-CN").get(&path).await.data();
    assert!(text(&chinese["reason"]).contains("已不是组织成员"), "{chinese:#}");

    // Whoever has the right starts them all the same, also what never came to its time.
    world.owner.post(&format!("/v2/jobs/{of_stranger}/resume"), json!({})).await.data();
    world.wait_for(&of_stranger, "SUCCESSFUL").await;
    assert_arrived(&source, &target, "books");
    target.remove("default", "books");
    world.owner.post(&format!("/v2/jobs/{canceled}/resume"), json!({})).await.data();
    world.wait_for(&canceled, "SUCCESSFUL").await;
}

/// What ended a job.
async fn codes_of(world: &World, job_id: &str) -> Vec<String> {
    let details = world.owner.get(&format!("/v2/jobs/{job_id}/details")).await.data();
    details["problems"].as_array().unwrap().iter().map(|problem| text(&problem["code"])).collect()
}

/// A job that was to start while its source or its target can't be reached, and has been tried once.
async fn unreachable_at_its_start(world: &World, proxies: [&FaultProxy; 2], cut: usize) -> String {
    let (source_id, target_id) = (
        world.register(&world.project_id, "source", &proxies[0].uri()).await,
        world.register(&world.project_id, "target", &proxies[1].uri()).await,
    );
    let job_id = world.owner.migrate(later(&source_id, &target_id)).await;
    proxies[cut].refuse_all(true);
    is_due(world, &job_id).await;
    let sql = "SELECT held_until_ms FROM migrations WHERE job_id = $1 AND started_ms IS NOT NULL AND holder IS NULL";
    eventually("the start was tried", async || rows(&world.store, sql, &[(&job_id).into()]).await.pop())
        .await;
    let job = world.owner.get(&format!("/v2/jobs/{job_id}")).await.data();
    assert_eq!((job["status"].as_str(), job["reason"].as_str()), (Some("IN_PROGRESS"), None));
    job_id
}

async fn a_start_waits_for_a_cluster_that_can_not_be_reached(place: Place) {
    let world = World::start(place).await;
    for cut in [0, 1] {
        let (source, target) = (server(), server());
        source.add(&books("books"));
        let proxies = [FaultProxy::start(&source.uri()), FaultProxy::start(&target.uri())];
        let job_id = unreachable_at_its_start(&world, proxies.each_ref(), cut).await;
        proxies[cut].refuse_all(false);
        world.wait_for(&job_id, "SUCCESSFUL").await;
        assert_arrived(&source, &target, "books");
    }
}

async fn a_start_does_not_wait_for_a_cluster_for_ever(place: Place) {
    let world = World::start(place).await;
    let (source, target) = (server(), server());
    source.add(&books("books"));
    let proxies = [FaultProxy::start(&source.uri()), FaultProxy::start(&target.uri())];
    let job_id = unreachable_at_its_start(&world, proxies.each_ref(), 1).await;
    // Ten minutes pass.
    let sql = "UPDATE migrations SET started_ms = started_ms - $2 WHERE job_id = $1";
    change(&world.store, sql, &[(&job_id).into(), (10 * 60 * 1000).into()]).await;
    world.wait_for(&job_id, "FAILED").await;
    assert_eq!(codes_of(&world, &job_id).await, ["VF-0102"]);
    // Whoever goes on with it has another ten minutes.
    world.owner.send("POST", &format!("/v2/jobs/{job_id}/resume"), None).await.data();
    world.wait_for(&job_id, "IN_PROGRESS").await;
    proxies[1].refuse_all(false);
    world.wait_for(&job_id, "SUCCESSFUL").await;
    assert_arrived(&source, &target, "books");
}

async fn a_canceled_job_that_waits_ends(place: Place) {
    let world = World::start(place).await;
    let (source, target) = (server(), server());
    source.add(&books("books"));
    let (source_id, target_id) = world.register_both(&source, &target).await;
    let job_id = world.owner.migrate(later(&source_id, &target_id)).await;
    world.owner.post(&format!("/v2/jobs/{job_id}/cancel"), json!({})).await.data();
    let job = world.wait_for(&job_id, "CANCELED").await;
    assert!(job["startTime"].is_null(), "{job:#}");
    assert!(target.names("default").0.is_empty(), "nothing was written");
}

async fn what_jobs_need_stays(place: Place) {
    let mut queued = settings();
    queued.jobs.per_process_max = 0;
    let world = World::with(place, queued).await;
    let (source, target) = (server(), server());
    source.add(&books("books"));
    let (source_id, target_id) = world.register_both(&source, &target).await;
    let job_id = world.owner.migrate(everything(&source_id, &target_id)).await;
    let (cluster, project) =
        (|id: &str| format!("/v2/clusters/{id}"), format!("/v2/projects/{}", world.project_id));
    for id in [&source_id, &target_id] {
        let refused = world.owner.delete(&cluster(id)).await.assert_refused(409, "VF-0812");
        assert!(text(&refused["message"]).contains(&job_id), "{refused:#}");
    }
    world.owner.delete(&project).await.assert_refused(409, "VF-0813");
    let World { place, owner, running, .. } = world;
    running.end().await;
    let again = Running::start(&place, settings()).await;
    let owner = owner.at(&again.client);
    wait_for(&owner, &job_id, "SUCCESSFUL").await;
    owner.delete(&project).await.assert_refused(409, "VF-0813");
    for id in [&source_id, &target_id] {
        owner.delete(&cluster(id)).await.data();
        owner.get(&cluster(id)).await.assert_refused(404, "VF-0804");
    }
    owner.post(&format!("/v2/jobs/{job_id}/resume"), json!({})).await.assert_refused(409, "VF-0805");
    owner.delete(&project).await.data();
    owner.get(&project).await.assert_refused(404, "VF-0804");
    removed_or_migrated(&owner, &source, &target).await;
}

/// A cluster is removed and a job made for it at the same time: never both.
async fn removed_or_migrated(owner: &Client, source: &StandIn, target: &StandIn) {
    let project_id =
        text(&owner.post("/v2/projects", json!({"projectName": "races"})).await.data()["projectId"]);
    let register = async |address: String| {
        let body = json!({"projectId": project_id, "clusterName": "c", "connectAddress": address});
        text(&owner.post("/v2/clusters", body).await.data()["clusterId"])
    };
    let source_id = register(source.uri()).await;
    for _ in 0..10 {
        let target_id = register(target.uri()).await;
        // It waits, so that it is not over before the cluster is removed.
        let path = format!("/v2/clusters/{target_id}");
        let body = everything(&source_id, &target_id);
        let (removed, made) =
            tokio::join!(owner.delete(&path), owner.post("/v2/migrations/toExisting", body));
        match (removed.status, made.status) {
            (200, 404 | 409) | (409, 200) => {}
            // It was over already.
            (200, 200) => {
                let job = format!("/v2/jobs/{}", text(&made.data()["jobId"]));
                let job = owner.get(&job).await.data();
                assert!(job["endTime"].is_string(), "{job:#}");
            }
            other => panic!("{other:?}: {} {}", removed.text(), made.text()),
        }
    }
}

async fn a_job_waits_for_its_target(place: Place) {
    let mut settings = settings();
    settings.jobs.per_target_max = 1;
    let world = World::with(place, settings).await;
    let mut held = Held::when_writing();
    let (source_id, target_id) = held.register(&world).await;
    let (other_source, other_target) = (server(), server());
    other_source.add(&books("others"));
    let other_source_id = world.register(&world.project_id, "other source", &other_source.uri()).await;
    let other_target_id = world.register(&world.project_id, "other target", &other_target.uri()).await;
    let first = world.owner.migrate(everything(&source_id, &target_id)).await;
    held.reached().await;
    let second = world.owner.migrate(everything(&other_source_id, &target_id)).await;
    // One behind it does not wait.
    let third = world.owner.migrate(everything(&other_source_id, &other_target_id)).await;
    world.wait_for(&third, "SUCCESSFUL").await;
    let job = world.owner.get(&format!("/v2/jobs/{second}")).await.data();
    assert_eq!((job["status"].as_str(), job["startTime"].as_str()), (Some("PENDING"), None));
    held.release().await;
    world.wait_for(&first, "SUCCESSFUL").await;
    world.wait_for(&second, "SUCCESSFUL").await;
    assert_arrived(&other_source, &held.target, "others");
}
