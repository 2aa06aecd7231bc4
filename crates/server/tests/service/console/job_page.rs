//! The page of one migration: its rate over time, its checks, and jobs with very many collections.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;
use serde_json::{Value, json};
use vecferry_store::{
    Attempt, JobId, JobKind, JobState, NewCollectionRecord, NewJob, NewSplit, Position, Store,
};
use vecferry_testkit::StandIn;

use super::migrations::assert_chinese;
use super::{Browser, seen};
use crate::client::{World, settings};
use crate::flow::{books, everything, is_due, later, server};
use crate::on_both_stores;
use crate::place::{Place, change, eventually};

on_both_stores!(
    the_rate_is_drawn_from_what_was_recorded,
    both_checks_of_a_scheduled_migration_are_shown,
    a_thousand_collections_come_in_pages,
);

const COLLECTIONS: usize = 1_000;
/// Over the wire.
const PAGE_BYTES_MAX: usize = 100_000;

async fn pace(world: &World, job_id: &str) -> Vec<Value> {
    let details = world.owner.get(&format!("/v2/jobs/{job_id}/details")).await.data();
    details["pace"].as_array().unwrap().clone()
}

async fn the_rate_is_drawn_from_what_was_recorded(place: Place) {
    let world = World::start(place).await;
    let (source, target) = (server(), server());
    source.add(&books("books"));
    let (source_id, target_id) = world.register_both(&source, &target).await;
    let mut body = everything(&source_id, &target_id);
    body["options"] = json!({"maxRate": "5rows/s"});
    let job_id = world.owner.migrate(body).await;
    let path = format!("/p/{}/migrations/{job_id}", world.project_id);
    eventually("rows are copied for a while", async || {
        let points = pace(&world, &job_id).await;
        (points.len() > 2 && points.last().unwrap()["rowsDone"].as_u64() > Some(0)).then_some(())
    })
    .await;
    world.owner.post(&format!("/v2/jobs/{job_id}/cancel"), json!({})).await.data();
    world.wait_for(&job_id, "CANCELED").await;
    world.owner.post(&format!("/v2/jobs/{job_id}/resume"), json!({})).await.data();
    world.wait_for(&job_id, "SUCCESSFUL").await;
    let points = pace(&world, &job_id).await;
    let runs: Vec<_> = points.iter().map(|point| point["run"].as_u64().unwrap()).collect();
    assert!(runs.is_sorted() && runs.first() == Some(&1) && runs.last() == Some(&2), "{points:?}");
    let last = points.last().unwrap();
    assert_eq!(last["rowsDone"], 50, "{points:?}");
    assert!(last["bytesDone"].as_u64() > Some(0) && last["time"].is_string(), "{points:?}");

    // The process that recorded it is gone.
    let world = world.again(settings()).await;
    let browser = Browser::of(&world.session);
    let page = browser.page(&path).await;
    for word in ["<polyline", "Rows a second over", "Highest: ", "rows/s, ", "<li>until "] {
        assert!(page.contains(word), "{word}: {page}");
    }
    assert!(!page.contains("Last: "), "it is over: {page}");
    assert_chinese(&browser.chinese().page(&path).await);
}

async fn both_checks_of_a_scheduled_migration_are_shown(place: Place) {
    let world = World::start(place).await;
    let browser = Browser::of(&world.session);
    let (source, target) = (server(), server());
    source.add(&books("books"));
    let (source_id, target_id) = world.register_both(&source, &target).await;
    let job_id = world.owner.migrate(later(&source_id, &target_id)).await;
    let path = format!("/p/{}/migrations/{job_id}?show=pre-check", world.project_id);
    let first = browser.page(&path).await;
    assert!(first.contains("Pre-check at the creation</h2><small><time datetime="), "{first}");
    assert!(!first.contains("Pre-check at the start"), "{first}");
    is_due(&world, &job_id).await;
    world.wait_for(&job_id, "SUCCESSFUL").await;
    let both = browser.page(&path).await;
    let at = |title: &str| both.find(&format!("{title}</h2><small><time datetime=")).unwrap();
    assert!(at("Pre-check at the start") < at("Pre-check at the creation"), "{both}");
    assert_eq!(both.matches("source reachable").count(), 2, "{both}");
    for raw in [" + ~", ": -", ">-<", " -,"] {
        assert!(!both.contains(raw), "{raw}: {both}");
    }
    for word in ["rows counted: 50", "1 collection<", "about ", "1 of 1 collection loaded"] {
        assert!(both.contains(word), "{word}: {both}");
    }
    assert_chinese(&browser.chinese().page(&path).await);

    change(&world.store, "UPDATE migrations SET looked_at = '[' WHERE job_id = $1", &[(&job_id).into()])
        .await;
    let damaged = browser.page(&path).await;
    assert!(damaged.contains("cannot be read") && damaged.contains("source reachable"), "{damaged}");
    change(&world.store, "UPDATE migrations SET checks = '{}' WHERE job_id = $1", &[(&job_id).into()]).await;
    assert_eq!(browser.page(&path).await.matches("cannot be read").count(), 2);
    assert_chinese(&browser.chinese().page(&path).await);
}

/// What is recorded of a collection that is complete: of one that was copied really, under another name.
fn end_of(original: &Value, name: &str) -> String {
    let mut end = original.clone();
    end["report"]["collection"] = json!(name);
    end.to_string()
}

/// The end of a collection as the engine records it, and the report of its job.
async fn recorded(world: &World, (source, target): (&StandIn, &StandIn)) -> (String, Value, Value) {
    let (source_id, target_id) = world.register_both(source, target).await;
    let job_id = world.owner.migrate(later(&source_id, &target_id)).await;
    let done = world.owner.migrate(everything(&source_id, &target_id)).await;
    world.wait_for(&done, "SUCCESSFUL").await;
    let id = JobId::from(done.as_str());
    let end = world.store.collection(&id, Position(0)).await.unwrap().report.unwrap();
    let report = world.store.job(&id).await.unwrap().report.unwrap();
    (job_id, serde_json::from_str(&end).unwrap(), serde_json::from_str(&report).unwrap())
}

/// Records that collections of a job entered a step.
async fn enter(store: &Arc<dyn Store>, attempt: &Attempt, names: &[String], phase: &str) {
    let steps = names.iter().map(|name| {
        let step = json!({"collection": format!("default.{name}"), "phase": phase});
        store.record_event(attempt, format!("{:.3}", jiff::Timestamp::now()), step.to_string())
    });
    for recorded in join_all(steps).await {
        recorded.unwrap();
    }
}

/// A job under way with very many collections, of which all but one are complete.
async fn with_many(world: &World, job_id: &str, end: &Value) -> (Attempt, Vec<String>) {
    let store = &world.store;
    let names: Vec<_> =
        (0..COLLECTIONS).map(|number| format!("books_with_a_long_name_{number:04}")).collect();
    let collections = names.iter().map(|name| NewCollectionRecord {
        source: format!("default.{name}"),
        target: format!("default.{name}"),
        rows_total: 50,
    });
    let job = NewJob {
        kind: JobKind::Plain,
        job_id: JobId::from(job_id),
        source: "http://source:19530".into(),
        target: "http://target:19530".into(),
        request: "{}".into(),
        plan: "{}".into(),
        sample_seed: 1,
        created_at: "2026-01-01T00:00:00Z".into(),
        databases: Vec::new(),
        collections: collections.collect(),
        max_rate: None,
    };
    store.create_job(job).await.unwrap();
    let attempt = store.begin_attempt(&JobId::from(job_id)).await.unwrap();
    for phase in ["creating", "copying", "indexing"] {
        enter(store, &attempt, &names, phase).await;
    }
    let (done, open) = names.split_at(COLLECTIONS - 1);
    let ends = done.iter().enumerate().map(|(at, name)| {
        let position = Position(u32::try_from(at).unwrap());
        store.record_done(&attempt, position, end_of(end, name))
    });
    for recorded in join_all(ends).await {
        recorded.unwrap();
    }
    enter(store, &attempt, done, "done").await;
    let split = NewSplit { partition: None, after: None, until: None, rows_planned: 50 };
    let last = Position(u32::try_from(COLLECTIONS - 1).unwrap());
    store.plan_splits(&attempt, last, vec![split]).await.unwrap();
    assert_eq!(open.len(), 1);
    let sql = "UPDATE migrations SET state = $2, wanted = NULL, started_ms = created_ms WHERE job_id = $1";
    change(store, sql, &[job_id.into(), "IN_PROGRESS".into()]).await;
    (attempt, names)
}

/// What the REST API tells of a job is bounded, and says how much it leaves out.
async fn details_come_in_pages(world: &World, job_id: &str, names: &[String]) {
    let path = format!("/v2/jobs/{job_id}/details");
    let whole = world.owner.get(&path).await.data();
    assert_eq!(whole["progress"]["collections"].as_array().unwrap().len(), COLLECTIONS);
    assert_eq!(whole["cursor"], Value::Null);
    let history = whole["progress"]["history"].as_array().unwrap();
    // Four steps of each collection but the last, which is not complete.
    let steps = 4 * COLLECTIONS as u64 - 1;
    assert_eq!((history.len(), whole["progress"]["history_left_out"].as_u64()), (1_000, Some(steps - 1_000)));
    assert_eq!(history.last().unwrap()["phase"], "done", "the newest are told, oldest first");
    let (mut cursor, mut seen) = (String::new(), Vec::new());
    loop {
        let page = world.owner.get(&format!("{path}?pageSize=400{cursor}")).await.data();
        for one in page["progress"]["collections"].as_array().unwrap() {
            let is_last = seen.len() == COLLECTIONS - 1;
            assert_eq!(one["phase"], if is_last { "indexing" } else { "done" }, "{one}");
            seen.push(one["collection"].as_str().unwrap().replace("default.", ""));
        }
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, names);
    for query in ["cursor=x", "cursor=-1", "pageSize=0", "pageSize=1001"] {
        assert_eq!(world.owner.get(&format!("{path}?{query}")).await.status, 400, "{query}");
    }
    let problems = vec![json!({"code": "VF-0501"}); 1_002];
    let tell = "UPDATE migrations SET reason = $2 WHERE job_id = $1";
    change(&world.store, tell, &[job_id.into(), Value::Array(problems).to_string().into()]).await;
    let told = world.owner.get(&path).await.data();
    assert_eq!((told["problems"].as_array().unwrap().len(), &told["problemsLeftOut"]), (1_000, &json!(2)));
    change(&world.store, "UPDATE migrations SET reason = NULL WHERE job_id = $1", &[job_id.into()]).await;
}

#[allow(clippy::print_stdout, reason = "times for `docs/benchmarks.md`, seen with `--nocapture`")]
async fn a_thousand_collections_come_in_pages(place: Place) {
    let mut settings = settings();
    settings.jobs.per_process_max = 1;
    let world = World::with(place, settings).await;
    let browser = Browser::of(&world.session);
    let (source, target) = (server(), server());
    source.add(&books("books"));
    let (job_id, end, report) = recorded(&world, (&source, &target)).await;
    let (attempt, names) = with_many(&world, &job_id, &end).await;
    let path = format!("/p/{}/migrations/{job_id}", world.project_id);
    let small = async |query: &str| {
        let began = Instant::now();
        let page = browser.page(&format!("{path}{query}")).await;
        println!("{} ms for the page of {COLLECTIONS} collections{query}", began.elapsed().as_millis());
        assert!(page.len() < PAGE_BYTES_MAX, "{query}: {} bytes", page.len());
        page
    };
    let open = small("").await;
    assert!(open.contains("999 of 1,000 verified") && open.contains(&names[999]), "{open}");
    assert_eq!(open.matches("<ol class=\"stages\">").count(), 15, "{open}");
    for show in ["collections", "events", "verification", "pre-check", "report"] {
        small(&format!("?show={show}")).await;
        small(&format!("/live?show={show}&was=IN_PROGRESS")).await;
    }
    // Every collection and step is on one of the pages.
    let last = small("?show=collections&page=9").await;
    assert!(last.contains("rel=\"prev\"") && !last.contains("rel=\"next\""), "{last}");
    assert!(small("?show=verification&page=9").await.contains(&names[998]));
    let events = small("?show=events").await;
    assert!(events.contains(&names[998]) && events.contains("complete: 50 rows"), "{events}");
    let first_steps = small("?show=events&page=39").await;
    assert!(first_steps.contains("Migration started") && first_steps.contains(&names[0]), "{first_steps}");
    // Behind the last page there is none.
    for page in [40, 99] {
        let oldest = small(&format!("?show=events&page={page}")).await;
        assert!(oldest.contains("Migration created") && !oldest.contains("id=\"older\""), "{oldest}");
    }

    details_come_in_pages(&world, &job_id, &names).await;

    // The last one is complete meanwhile, and its job at its end.
    let position = Position(u32::try_from(COLLECTIONS - 1).unwrap());
    world.store.record_done(&attempt, position, end_of(&end, &names[999])).await.unwrap();
    enter(&world.store, &attempt, &names[999..], "done").await;
    assert!(small("/live?was=IN_PROGRESS").await.contains("1,000 of 1,000 verified"));
    let mut report = report;
    let one = report["collections"][0].clone();
    let of = |name: &String| {
        let mut one = one.clone();
        one["collection"] = json!(name);
        one
    };
    report["collections"] = names.iter().map(of).collect();
    let ended = world.store.end_attempt(&attempt, JobState::Successful, report.to_string(), "later".into());
    ended.await.unwrap();
    let sql = "UPDATE migrations SET state = $2, ended_ms = created_ms WHERE job_id = $1";
    change(&world.store, sql, &[(&job_id).into(), "SUCCESSFUL".into()]).await;
    for show in ["overview", "collections", "events", "verification", "pre-check", "report"] {
        small(&format!("?show={show}")).await;
    }
    assert!(small("?show=verification&page=9").await.contains(&names[999]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_tells_how_far_it_is() {
    let world = World::start(Place::sqlite()).await;
    let browser = Browser::of(&world.session);
    let (source, target) = (server(), server());
    source.add(&books("books"));
    let (source_id, target_id) = world.register_both(&source, &target).await;
    let job_id = world.owner.migrate(everything(&source_id, &target_id)).await;
    world.wait_for(&job_id, "SUCCESSFUL").await;
    let path = format!("/p/{}/migrations/{job_id}", world.project_id);
    let load = browser.submit(&path, &format!("{path}/load"), &[("collection", "default.books")]).await;
    assert_eq!(seen(&load), path);
    eventually("it is loaded", async || {
        let page = browser.page(&path).await;
        (!page.contains("data-live")).then_some(())
    })
    .await;
    // As it is recorded while a large one is loaded.
    let now =
        json!({"collections": [], "total": 1, "loading": {"collection": "default.<books>", "percent": 42}});
    let sql = "UPDATE tasks SET state = 'IN_PROGRESS', held_until_ms = $2, result = $3";
    let until = jiff::Timestamp::now().as_millisecond() + 60_000;
    let sql = format!("{sql} WHERE job_id = $1");
    change(&world.store, &sql, &[(&job_id).into(), until.into(), now.to_string().into()]).await;
    let page = browser.page(&path).await;
    assert!(page.contains("data-live") && page.contains("42% in memory"), "{page}");
    assert!(page.contains("<span>default.&#60;books&#62;</span>") && page.contains("value=\"42\""), "{page}");
    assert_chinese(&browser.chinese().page(&path).await);
}
