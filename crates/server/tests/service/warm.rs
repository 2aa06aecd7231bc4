//! Jobs that copy while the application writes, through the API: to READY, and the rounds behind that.

use std::time::Duration;

use serde_json::{Value, json};
use vecferry_store::{JobId, RoundRecord};
use vecferry_testkit::StandIn;
use vecferry_testkit::fault_proxy::FaultProxy;

use crate::client::{Client, World, settings, text};
use crate::flow::{books, everything, server};
use crate::on_both_stores;
use crate::place::{Place, change, eventually, rows};

on_both_stores!(
    a_warm_job_ends_ready_and_says_so,
    what_does_not_go_with_a_warm_copy_is_refused,
    rounds_are_refused_where_they_do_not_belong,
    a_round_that_is_refused_leaves_the_job_ready,
    a_wanted_round_outlives_its_service,
    a_round_that_has_ended_is_not_begun_again,
    a_canceled_round_ends_with_its_job,
    a_ready_job_is_not_forgotten_and_keeps_its_clusters,
    a_ready_job_keeps_the_access_to_its_source,
);

/// The body of a warm job for everything.
pub(crate) fn warm(source_id: &str, target_id: &str) -> Value {
    let mut body = everything(source_id, target_id);
    body["options"] = json!({"warm": true});
    body
}

/// Two servers with a warm job between them that is READY, and a proxy before the source.
pub(crate) struct Ready {
    pub(crate) world: World,
    pub(crate) source: StandIn,
    pub(crate) target: StandIn,
    pub(crate) proxy: FaultProxy,
    pub(crate) ids: (String, String),
    pub(crate) job_id: String,
}

impl Ready {
    pub(crate) async fn start(place: Place) -> Self {
        let world = World::start(place).await;
        let (source, target) = (server(), server());
        source.add(&books("books"));
        let proxy = FaultProxy::start(&source.uri());
        let ids = (
            world.register(&world.project_id, "source", &proxy.uri()).await,
            world.register(&world.project_id, "target", &target.uri()).await,
        );
        let job_id = world.owner.migrate(warm(&ids.0, &ids.1)).await;
        world.wait_for(&job_id, "READY").await;
        Self { world, source, target, proxy, ids, job_id }
    }

    pub(crate) fn path(&self, way: &str) -> String {
        format!("/v2/jobs/{}/{way}", self.job_id)
    }

    /// The same with another process.
    pub(crate) async fn again(self, settings: vecferry_server::Settings) -> Self {
        let world = self.world.again(settings).await;
        Self { world, ..self }
    }

    /// With a process that takes no jobs.
    pub(crate) async fn queued(self) -> Self {
        let mut queued = settings();
        queued.jobs.per_process_max = 0;
        self.again(queued).await
    }

    pub(crate) async fn details(&self) -> Value {
        self.world.owner.get(&self.path("details")).await.data()
    }

    /// The rounds that the engine recorded, newest first.
    pub(crate) async fn rounds(&self) -> Vec<RoundRecord> {
        self.world.store.rounds(&JobId::from(self.job_id.as_str()), 100).await.unwrap()
    }

    /// Waits until the round that is wanted has come to an end.
    pub(crate) async fn settled(&self, status: &str) -> Value {
        eventually(&format!("the round ended, and the job is {status}"), async || {
            let details = self.details().await;
            let (job, is_ended) = (&details["job"], details["nextRound"].is_null());
            let is_there = job["status"] == status;
            let is_settled = is_ended && (is_there || job["endTime"].is_string());
            assert!(is_there || !is_settled, "the job is not {status}: {details:#}");
            is_settled.then_some(details)
        })
        .await
    }
}

/// The round that the service recorded as wanted.
pub(crate) async fn wanted_round(of: &Ready) -> Option<Value> {
    let sql = "SELECT next_round FROM migrations WHERE job_id = $1";
    let found = rows(&of.world.store, sql, &[(&of.job_id).into()]).await;
    found[0].text_or_none(0).unwrap().map(|text| serde_json::from_str(&text).unwrap())
}

async fn a_warm_job_ends_ready_and_says_so(place: Place) {
    let world = World::start(place).await;
    let (source, target) = (server(), server());
    source.add(&books("books"));
    let (source_id, target_id) = world.register_both(&source, &target).await;
    let mut body = warm(&source_id, &target_id);
    body["options"]["loadTarget"] = json!(true);
    let checked = world.owner.post("/v2/migrations/precheck", body.clone()).await.data();
    assert_eq!(checked["passed"], true, "{checked:#}");
    let job_id = world.owner.migrate(body.clone()).await;
    let job = world.wait_for(&job_id, "READY").await;
    assert_eq!((job["kind"].as_str(), job["progress"].as_str()), (Some("warm"), Some("99")), "{job:#}");
    assert_eq!(target.rows("default", "books"), source.rows("default", "books"));
    assert!(target.is_loaded("default", "books"));

    let path = format!("/v2/jobs/{job_id}");
    let details = world.owner.get(&format!("{path}/details")).await.data();
    assert_eq!(details["request"]["options"]["verify"], "full", "{details:#}");
    assert_eq!(details["request"]["options"]["warm"], true, "{details:#}");
    let progress = &details["progress"];
    assert_eq!(
        (progress["kind"].as_str(), progress["state"].as_str(), progress["live"].as_bool()),
        (Some("warm"), Some("READY"), Some(false)),
        "{details:#}"
    );
    assert!(details["nextRound"].is_null(), "{details:#}");
    let report = world.owner.get(&format!("{path}/report")).await.data();
    assert_eq!(
        (report["state"].as_str(), report["rounds"][0]["kind"].as_str()),
        (Some("READY"), Some("warm"))
    );
    let page = world.owner.get(&format!("{path}/report?format=html")).await;
    assert!(page.status == 200 && page.text().contains("books"), "{}", page.text());

    // Lists, and what listeners and the console are told.
    for (query, found) in [("READY", 1), ("SUCCESSFUL,READY", 1), ("IN_PROGRESS,PENDING,CANCELING", 0)] {
        let listed = world.owner.get(&format!("/v2/jobs?status={query}")).await.data();
        assert_eq!(listed["jobs"].as_array().unwrap().len(), found, "{query}: {listed:#}");
    }
    let events = world.owner.get(&format!("{path}/events")).await.text();
    assert!(events.contains("\"status\":\"READY\"") && events.contains("\"kind\":\"warm\""), "{events}");
    for page in ["migrations".to_owned(), format!("migrations/{job_id}")] {
        let shown = world.session.get(&format!("/p/{}/{page}", world.project_id)).await;
        assert_eq!(shown.status, 200, "{page}: {}", shown.text());
    }
    // Neither is it over, nor does it run.
    for way in ["load", "resume"] {
        world.owner.post(&format!("{path}/{way}"), json!({})).await.assert_refused(409, "VF-0805");
    }
    // Its names are reserved.
    let another = world.owner.migrate(everything(&source_id, &target_id)).await;
    let another = world.wait_for(&another, "FAILED").await;
    assert_eq!(another["kind"], "plain", "{another:#}");
    assert!(text(&another["reason"]).contains("books"), "{another:#}");
    // It is removed without a confirmation: nothing depends on it yet.
    world.owner.post(&format!("{path}/cancel"), json!({"clean": true})).await.data();
    world.wait_for(&job_id, "CANCELED").await;
    assert!(target.names("default").0.is_empty());
}

async fn what_does_not_go_with_a_warm_copy_is_refused(place: Place) {
    let world = World::start(place).await;
    let (source, target) = (server(), server());
    let (source_id, target_id) = world.register_both(&source, &target).await;
    for (options, says) in [
        (json!({"warm": true, "verify": "count"}), "the cut-over compares every row"),
        (json!({"warm": true, "verify": "none"}), "the cut-over compares every row"),
        (json!({"warm": true, "verify": "sample"}), "the cut-over compares every row"),
        (json!({"loadTarget": true}), "only for jobs with `warm`"),
        (json!({"warm": true, "allowDrift": true}), "allowDrift"),
        (json!({"warm": "yes"}), "expected a boolean"),
    ] {
        let mut body = everything(&source_id, &target_id);
        body["options"] = options;
        for way in ["precheck", "toExisting"] {
            let refused = world.owner.post(&format!("/v2/migrations/{way}"), body.clone()).await;
            refused.assert_refused(400, "VF-0801");
            assert!(refused.text().contains(says), "{body}: {}", refused.text());
        }
    }
}

async fn rounds_are_refused_where_they_do_not_belong(place: Place) {
    let ready = Ready::start(place).await.queued().await;
    let world = &ready.world;
    let job_id = world.owner.migrate(everything(&ready.ids.0, &ready.ids.1)).await;
    let sql = "UPDATE migrations SET state = $2, wanted = NULL WHERE job_id = $1";
    for state in ["PENDING", "IN_PROGRESS", "FAILED", "CANCELED", "SUCCESSFUL"] {
        change(&world.store, sql, &[(&job_id).into(), state.into()]).await;
        for way in ["catch-up", "cutover"] {
            let refused = world.owner.post(&format!("/v2/jobs/{job_id}/{way}"), json!({})).await;
            refused.assert_refused(409, "VF-0242");
        }
    }
    // A warm job that did not begin, or is not complete.
    let job_id = world.owner.migrate(warm(&ready.ids.0, &ready.ids.1)).await;
    let states =
        [("PENDING", "VF-0805"), ("CANCELING", "VF-0805"), ("FAILED", "VF-0243"), ("SUCCESSFUL", "VF-0805")];
    for (state, code) in states {
        change(&world.store, sql, &[(&job_id).into(), state.into()]).await;
        for way in ["catch-up", "cutover"] {
            let refused = world.owner.post(&format!("/v2/jobs/{job_id}/{way}"), json!({})).await;
            refused.assert_refused(409, code);
        }
    }
    // Whoever may not create migrations may not go on with them either.
    let (user_id, session) = world.member("bob", "member").await;
    session.post(&ready.path("cutover"), json!({})).await.assert_refused(404, "VF-0804");
    for role in ["readOnly", "readWrite"] {
        world.give(&world.project_id, &user_id, role).await;
        for way in ["catch-up", "cutover"] {
            session.post(&ready.path(way), json!({})).await.assert_refused(403, "VF-0803");
        }
    }
    for body in [json!({"acceptDropped": "yes"}), json!({"accept_dropped": true}), json!({"verify": "none"})]
    {
        world.owner.post(&ready.path("catch-up"), body).await.assert_refused(400, "VF-0801");
    }
    let needless = json!({"source": {"endpoint": ready.source.uri()}});
    world.owner.post(&ready.path("catch-up"), needless).await.assert_refused(400, "VF-0801");
    assert_eq!(wanted_round(&ready).await, None);
    assert_eq!(ready.details().await["job"]["status"], "READY");
    // Whoever may, may, also without a body; and once.
    world.give(&world.project_id, &user_id, "admin").await;
    session.send("POST", &ready.path("catch-up"), None).await.data();
    session.post(&ready.path("cutover"), json!({})).await.assert_refused(409, "VF-0805");
    let entries = world.owner.get("/v2/auditLogs?action=POST%20/v2/jobs/{jobId}/catch-up").await.data();
    let entry = &entries["entries"][0];
    assert_eq!(
        (text(&entry["object"]), text(&entry["outcome"])),
        (ready.path("catch-up"), "done".to_owned())
    );
}

async fn a_round_that_is_refused_leaves_the_job_ready(place: Place) {
    let ready = Ready::start(place).await;
    let writes = ready.target.writes();
    ready.proxy.refuse_all(true);
    ready.world.owner.post(&ready.path("cutover"), json!({})).await.data();
    let details = ready.settled("READY").await;
    assert_eq!(details["problems"][0]["code"], "VF-0102", "{details:#}");
    assert!(text(&details["job"]["reason"]).starts_with("VF-0102"), "{details:#}");
    assert_eq!((ready.rounds().await.len(), ready.target.writes()), (1, writes));
    ready.proxy.refuse_all(false);
}

/// What is in the queue is there for the next process, with what the round may do.
async fn a_wanted_round_outlives_its_service(place: Place) {
    let ready = Ready::start(place).await.queued().await;
    let body = json!({"acceptDropped": true, "overwriteTarget": true});
    ready.world.owner.post(&ready.path("cutover"), body).await.data();
    let ready = ready.queued().await;
    let details = ready.details().await;
    assert_eq!(details["job"]["status"], "PENDING", "{details:#}");
    assert_eq!(
        details["nextRound"],
        json!({"kind": "cut_over", "acceptDropped": true, "recopy": false, "overwriteTarget": true, "trustUnchanged": false})
    );
    let options =
        json!({"accept_dropped": true, "recopy": false, "overwrite_target": true, "trust_unchanged": false});
    assert_eq!(wanted_round(&ready).await, Some(json!({"purpose": "cut_over", "options": options})));
    assert_eq!(ready.rounds().await.len(), 1);

    // Its source is away, so that it ends before it begins: what was newest then is recorded first.
    ready.proxy.refuse_all(true);
    let ready = ready.again(settings()).await;
    let details = ready.settled("READY").await;
    assert_eq!(details["problems"][0]["code"], "VF-0102", "{details:#}");
    assert_eq!((wanted_round(&ready).await, ready.rounds().await.len()), (None, 1));
}

/// A process was killed when the engine had ended the round that it was asked for: the end is taken over from the record.
async fn a_round_that_has_ended_is_not_begun_again(place: Place) {
    let ready = Ready::start(place).await.queued().await;
    ready.world.owner.post(&ready.path("catch-up"), json!({})).await.data();
    let mut wanted = wanted_round(&ready).await.unwrap();
    wanted["behind"] = json!(0);
    let sql = "UPDATE migrations SET next_round = $2 WHERE job_id = $1";
    change(&ready.world.store, sql, &[(&ready.job_id).into(), wanted.to_string().into()]).await;
    // Nothing is asked of the clusters.
    ready.proxy.refuse_all(true);
    let ready = ready.again(settings()).await;
    let details = ready.settled("READY").await;
    assert_eq!((details["problems"].clone(), ready.rounds().await.len()), (json!([]), 1), "{details:#}");
}

async fn a_canceled_round_ends_with_its_job(place: Place) {
    let ready = Ready::start(place).await.queued().await;
    ready.world.owner.post(&ready.path("catch-up"), json!({})).await.data();
    ready.world.owner.post(&ready.path("cancel"), json!({})).await.data();
    assert_eq!(wanted_round(&ready).await, None);
    let ready = ready.again(settings()).await;
    let details = ready.settled("CANCELED").await;
    assert_eq!(details["progress"]["state"], "CANCELED", "{details:#}");
    assert_eq!(ready.target.rows("default", "books"), ready.source.rows("default", "books"));
    // Its copy is complete all the same.
    ready.world.owner.post(&ready.path("resume"), json!({})).await.data();
    ready.settled("READY").await;
    assert_eq!(ready.rounds().await.len(), 1);
}

async fn a_ready_job_is_not_forgotten_and_keeps_its_clusters(place: Place) {
    let ready = Ready::start(place).await;
    let cluster = |id: &str| format!("/v2/clusters/{id}");
    for id in [&ready.ids.0, &ready.ids.1] {
        ready.world.owner.delete(&cluster(id)).await.assert_refused(409, "VF-0812");
    }
    // Another job that ended is as old, and goes.
    let other_target = server();
    let other_id = ready.world.register(&ready.world.project_id, "other", &other_target.uri()).await;
    let plain = ready.world.owner.migrate(everything(&ready.ids.0, &other_id)).await;
    ready.world.wait_for(&plain, "SUCCESSFUL").await;
    change(&ready.world.store, "UPDATE migrations SET ended_ms = 1", &[]).await;
    let mut forgetful = settings();
    forgetful.jobs_kept = Some(Duration::from_secs(3600));
    let ready = ready.again(forgetful).await;
    let is_gone =
        async |owner: &Client| (owner.get(&format!("/v2/jobs/{plain}")).await.status == 404).then_some(());
    eventually("the old job is forgotten", async || is_gone(&ready.world.owner).await).await;
    assert_eq!(ready.details().await["job"]["status"], "READY");

    ready.world.owner.post(&ready.path("cancel"), json!({})).await.data();
    ready.world.wait_for(&ready.job_id, "CANCELED").await;
    for id in [&ready.ids.0, &ready.ids.1] {
        ready.world.owner.delete(&cluster(id)).await.data();
    }
}

async fn a_ready_job_keeps_the_access_to_its_source(place: Place) {
    let world = World::start(place).await;
    let (source, target) = (server(), server());
    source.add(&books("books"));
    let target_id = world.register(&world.project_id, "target", &target.uri()).await;
    let body = json!({"source": {"endpoint": source.uri(), "token": "root:secret"},
        "destination": {"clusterId": target_id}, "options": {"warm": true}});
    let job_id = world.owner.migrate(body).await;
    world.wait_for(&job_id, "READY").await;
    let mut queued = settings();
    queued.jobs.per_process_max = 0;
    let world = world.again(queued).await;
    let path = format!("/v2/jobs/{job_id}");
    let another = json!({"source": {"endpoint": target.uri(), "token": "root:x"}});
    world.owner.post(&format!("{path}/catch-up"), another).await.assert_refused(400, "VF-0801");
    world.owner.post(&format!("{path}/catch-up"), json!({})).await.data();
    world.owner.post(&format!("{path}/cancel"), json!({})).await.data();
    let world = world.again(settings()).await;
    world.wait_for(&job_id, "CANCELED").await;
    // It was erased then.
    world.owner.post(&format!("{path}/cutover"), json!({})).await.assert_refused(400, "VF-0801");
    let given = json!({"source": {"endpoint": source.uri(), "token": "root:secret"}});
    world.owner.post(&format!("{path}/catch-up"), given).await.data();
}
