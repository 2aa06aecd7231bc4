//! What listeners are told of a job.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::client::{Client, World, settings, text};
use crate::flow::{Held, everything, server};
use crate::on_both_stores;
use crate::place::Place;

on_both_stores!(
    a_listener_is_told_everything_once,
    who_may_not_look_any_more_is_told_nothing,
    what_can_not_be_listened_to_is_refused,
    listeners_end_with_the_service,
);

const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, PartialEq)]
struct Told {
    event: String,
    id: Option<i64>,
    data: Value,
}

/// A stream of events.
struct Stream {
    body: Incoming,
    text: String,
}

impl Stream {
    async fn open(client: &Client, job_id: &str) -> Self {
        let response = client.open("GET", &format!("/v2/jobs/{job_id}/events"), None).await;
        assert_eq!(response.status().as_u16(), 200);
        let kind = response.headers().get("content-type").unwrap();
        assert_eq!(kind, "text/event-stream");
        Self { body: response.into_body(), text: String::new() }
    }

    /// The next event; none at the end.
    async fn next(&mut self) -> Option<Told> {
        // Comments that keep the connection alive are nothing that is told.
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                match told(&event) {
                    Some(told) => return Some(told),
                    None => continue,
                }
            }
            let frame = tokio::time::timeout_at(until, self.body.frame()).await.expect("nothing is told");
            let bytes = frame?.unwrap().into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    async fn all(mut self) -> Vec<Told> {
        let mut all = Vec::new();
        while let Some(told) = self.next().await {
            all.push(told);
        }
        all
    }
}

/// What is no comment.
fn told(text: &str) -> Option<Told> {
    let field = |name: &str| {
        text.lines()
            .find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim_start().to_owned()))
    };
    let data = serde_json::from_str(&field("data")?).unwrap();
    Some(Told { event: field("event")?, id: field("id").map(|id| id.parse().unwrap()), data })
}

fn steps(told: &[Told]) -> Vec<i64> {
    told.iter().filter(|told| told.event == "step").map(|told| told.id.unwrap()).collect()
}

async fn a_listener_is_told_everything_once(place: Place) {
    let world = World::start(place).await;
    let mut held = Held::when_writing();
    let (source_id, target_id) = held.register(&world).await;
    let job_id = world.owner.migrate(everything(&source_id, &target_id)).await;
    let mut stream = Stream::open(&world.owner, &job_id).await;
    held.reached().await;
    let mut all = Vec::new();
    // The beginning is told while the job runs.
    while all.iter().all(|told: &Told| told.data["status"] != "IN_PROGRESS") {
        all.push(stream.next().await.expect("the job runs"));
    }
    held.release().await;
    all.extend(stream.all().await);
    let last = all.last().unwrap();
    assert_eq!((last.event.as_str(), last.data["status"].as_str()), ("job", Some("SUCCESSFUL")));
    let ids = steps(&all);
    assert!(ids.len() > 3 && ids.is_sorted_by(|one, next| one < next), "{ids:?}");
    assert!(all.iter().all(|told| (told.event == "step") == told.id.is_some()), "{all:?}");
    assert!(
        all.iter().all(|told| told.event != "job" || told.data["jobId"].as_str() == Some(job_id.as_str()))
    );

    // Whoever comes later is told the same steps, and who comes back the later ones.
    let again = Stream::open(&world.owner, &job_id).await.all().await;
    assert_eq!(steps(&again), ids);
    let seen = ids[ids.len() / 2];
    let rest = Stream::open(&world.owner.with("last-event-id", &seen.to_string()), &job_id).await.all().await;
    assert_eq!(steps(&rest), ids[ids.len() / 2 + 1..]);
    assert_eq!(rest.last().unwrap().data["status"], "SUCCESSFUL");
}

/// A job that waits for ever.
async fn waiting(place: Place) -> (World, String) {
    let mut settings = settings();
    settings.jobs.per_process_max = 0;
    let world = World::with(place, settings).await;
    let (source, target) = (server(), server());
    let (source_id, target_id) = world.register_both(&source, &target).await;
    let job_id = world.owner.migrate(everything(&source_id, &target_id)).await;
    (world, job_id)
}

async fn who_may_not_look_any_more_is_told_nothing(place: Place) {
    let (world, job_id) = waiting(place).await;
    let listening = async |client: &Client| {
        let mut stream = Stream::open(client, &job_id).await;
        let first = stream.next().await.unwrap();
        assert_eq!((first.event.as_str(), first.data["status"].as_str()), ("job", Some("PENDING")));
        stream
    };
    let customized =
        json!({"name": "k", "kind": "customized", "projectRoles": {&world.project_id: "readOnly"}});
    for body in [customized, json!({"name": "k", "kind": "personal"})] {
        let made = world.owner.post("/v2/apiKeys", body).await.data();
        let key = world.running.client.with_key(made["apiKey"].as_str().unwrap());
        let stream = listening(&key).await;
        let path = format!("/v2/apiKeys/{}", text(&made["keyId"]));
        world.owner.delete(&path).await.data();
        assert_eq!(stream.all().await, [], "the key was revoked");
    }
    let (user_id, session) = world.member("bob", "member").await;
    world.give(&world.project_id, &user_id, "readOnly").await;
    let stream = listening(&session).await;
    let path = format!("/v2/projects/{}/users/{user_id}", world.project_id);
    world.owner.delete(&path).await.data();
    assert_eq!(stream.all().await, [], "the role was taken");
    world.give(&world.project_id, &user_id, "readOnly").await;
    let stream = listening(&session).await;
    session.delete("/v2/session").await.data();
    assert_eq!(stream.all().await, [], "the session ended");
}

async fn what_can_not_be_listened_to_is_refused(place: Place) {
    let mut settings = settings();
    settings.requests.listeners_max = 1;
    settings.jobs.per_process_max = 0;
    let world = World::with(place, settings).await;
    let (source, target) = (server(), server());
    let (source_id, target_id) = world.register_both(&source, &target).await;
    let job_id = world.owner.migrate(everything(&source_id, &target_id)).await;
    let path = format!("/v2/jobs/{job_id}/events");
    world.running.client.get(&path).await.assert_refused(401, "VF-0802");
    world.owner.get("/v2/jobs/none/events").await.assert_refused(404, "VF-0804");
    for wrong in ["x", "1.5", "99999999999999999999"] {
        world.owner.with("last-event-id", wrong).get(&path).await.assert_refused(400, "VF-0801");
    }
    world.owner.post(&path, json!({})).await.assert_refused(405, "VF-0801");
    world.owner.get("/v2/jobs/%ff/events").await.assert_refused(400, "VF-0801");
    world.owner.get("/v2/jobs/%00/events").await.assert_refused(400, "VF-0801");
    let chinese = world.owner.with("accept-language", "zh").get("/v2/jobs/none/events").await;
    assert!(text(&chinese.json()["message"]).contains("不存在"), "{}", chinese.text());
    let _one = Stream::open(&world.owner, &job_id).await;
    world.owner.get(&path).await.assert_refused(429, "VF-0806");
}

async fn listeners_end_with_the_service(place: Place) {
    let (world, job_id) = waiting(place).await;
    let mut stream = Stream::open(&world.owner, &job_id).await;
    stream.next().await.unwrap();
    // Within its time, although somebody listens.
    world.running.end().await;
    assert_eq!(stream.all().await, []);
}
