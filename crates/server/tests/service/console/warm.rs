//! A job that copies while the application writes, on its pages: its rounds, and the way through its cut-over.

use serde_json::json;

use super::migrations::assert_chinese;
use super::{Browser, seen};
use crate::client::World;
use crate::flow::{books, server};
use crate::on_both_stores;
use crate::place::Place;
use crate::rounds::{held, release, written_to};
use crate::warm::{Ready, wanted_round, warm};

on_both_stores!(a_job_is_led_from_ready_to_its_end, a_round_under_way_says_what_it_is);

fn path(ready: &Ready) -> String {
    format!("/p/{}/migrations/{}", ready.world.project_id, ready.job_id)
}

#[track_caller]
fn assert_told(page: &str, words: &[&str]) {
    for word in words {
        assert!(page.contains(word), "{word}: {page}");
    }
}

#[track_caller]
fn assert_untold(page: &str, words: &[&str]) {
    for word in words {
        assert!(!page.contains(word), "{word}: {page}");
    }
}

async fn a_job_is_led_from_ready_to_its_end(place: Place) {
    let ready = Ready::start(place).await;
    let browser = Browser::of(&ready.world.session);
    let path = path(&ready);
    let (catch_up, cut_over) = (format!("{path}/catch-up"), format!("{path}/cut-over"));
    let page = browser.page(&path).await;
    assert_told(
        &page,
        &[
            "chip caution\">Ready<",
            "copy now, switch later",
            "It is not verified yet",
            "don&#39;t use the target",
            "1 · warm copy",
            "copied, not yet verified",
            "Ready for the cut-over",
            &format!("action=\"{catch_up}\""),
            &format!("class=\"btn main\" href=\"{cut_over}\""),
        ],
    );
    assert_untold(
        &page,
        &["At the last comparison", "Migration ended", "data-live", "/resume\"", "compared bit for bit"],
    );
    assert_chinese(&browser.chinese().page(&path).await);
    let before = browser.page(&cut_over).await;
    assert_told(&before, &["Downtime window, estimated", "about ", "Stop all writers of the source."]);
    assert_untold(&before, &["Last round"]);

    written_to(&ready.source, 1);
    assert_eq!(seen(&browser.submit(&path, &catch_up, &[("recopy", "1")]).await), path);
    ready.settled("READY").await;
    let page = browser.page(&path).await;
    assert_told(
        &page,
        &["2 · catch-up", "1 missing, 1 changed, 1 extra", "At the last comparison: 3 rows apart"],
    );
    assert_chinese(&browser.chinese().page(&path).await);

    let before = browser.page(&cut_over).await;
    assert_told(
        &before,
        &[
            "<dt>Last round</dt><dd>catch-up, ",
            "3 rows apart",
            "name=\"stopped\" value=\"1\" required>",
            "name=\"accept_dropped\" value=\"1\">",
            "name=\"recopy\" value=\"1\">",
            "name=\"overwrite_target\" value=\"1\">",
            "name=\"trust_unchanged\" value=\"1\">",
            "Let the writers continue.",
        ],
    );
    assert_chinese(&browser.chinese().page(&cut_over).await);
    // Nobody starts it by mistake.
    let typed = [("overwrite_target", "1")];
    let refused = browser.submit(&cut_over, &cut_over, &typed).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert_told(
        &refused.text(),
        &[
            "check the box that says so",
            "name=\"overwrite_target\" value=\"1\" checked>",
            "id=\"allowed\" open",
        ],
    );
    let chinese = browser.chinese().submit(&cut_over, &cut_over, &typed).await;
    assert_chinese(&chinese.text());
    assert_eq!(ready.rounds().await.len(), 2);

    written_to(&ready.source, 2);
    assert_eq!(seen(&browser.submit(&cut_over, &cut_over, &[("stopped", "1")]).await), path);
    ready.settled("SUCCESSFUL").await;
    assert_eq!(ready.target.rows("default", "books"), ready.source.rows("default", "books"));
    let page = browser.page(&path).await;
    assert_told(&page, &["3 · cut-over", "downtime window: ", "Switch to the target"]);
    assert_untold(&page, &[&format!("action=\"{catch_up}\""), &format!("href=\"{cut_over}\"")]);
    assert_chinese(&browser.chinese().page(&path).await);
    let after = browser.page(&cut_over).await;
    assert_told(
        &after,
        &[
            "Switch reads and writes to target.",
            "Let the writers continue, on the target.",
            "Keep the source",
        ],
    );
    assert_untold(&after, &["name=\"stopped\""]);
    assert_chinese(&browser.chinese().page(&cut_over).await);
    let audit = format!("/o/{}/audit", organization(&ready.world).await);
    assert_told(&browser.page(&audit).await, &["Catch up with the source", "Cut over to the target"]);
}

async fn organization(world: &World) -> String {
    let told = world.owner.get("/v2/organization").await.data();
    told["organizationId"].as_str().unwrap().to_owned()
}

async fn a_round_under_way_says_what_it_is(place: Place) {
    let ready = Ready::start(place).await;
    let browser = Browser::of(&ready.world.session);
    let path = path(&ready);
    let armed = held(&ready, "cutover").await;
    let page = browser.page(&path).await;
    assert_told(
        &page,
        &[
            "<h2>Cut-over</h2>",
            "Keep all writers of the source stopped",
            "2 · cut-over",
            "chip live\">In progress<",
        ],
    );
    assert_untold(&page, &["% copied", "/catch-up\""]);
    let page = browser.page(&format!("{path}/cut-over")).await;
    assert_told(&page, &["The migration is under way.", "http-equiv=\"refresh\""]);
    assert_untold(&page, &["name=\"stopped\""]);
    for page in [&path, &format!("{path}/cut-over")] {
        assert_chinese(&browser.chinese().page(page).await);
    }
    written_to(&ready.source, 1);
    release(armed).await;
    ready.settled("FAILED").await;
    // It goes on, or another round is begun.
    let page = browser.page(&path).await;
    assert_told(&page, &["VF-0454", "/resume\"", "/catch-up\"", "/cut-over\"", "chip bad\">failed<"]);
    assert_chinese(&browser.chinese().page(&path).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_only_looks_is_offered_no_round() {
    let ready = Ready::start(Place::sqlite()).await.queued().await;
    let world = &ready.world;
    let path = path(&ready);
    let (user_id, session) = world.member("bob", "member").await;
    world.give(&world.project_id, &user_id, "readWrite").await;
    let browser = Browser::of(&session);
    let page = browser.page(&path).await;
    assert_told(&page, &["1 · warm copy", "It is not verified yet"]);
    assert_untold(&page, &["<form method=\"post\" action=\"/p/", "/catch-up\"", "/cut-over\""]);
    let csrf = super::between(&page, "name=\"csrf\" value=\"", "\"").unwrap();
    assert_eq!(browser.get(&format!("{path}/cut-over")).await.status, 403);
    for way in ["catch-up", "cut-over"] {
        for fields in [&[("csrf", csrf)][..], &[("csrf", csrf), ("stopped", "1")]] {
            let refused = browser.post(&format!("{path}/{way}"), fields).await;
            assert!(refused.status == 403 && refused.text().contains("VF-0803"), "{way}: {}", refused.text());
        }
    }
    assert_eq!(wanted_round(&ready).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_elsewhere_is_named_again_once_its_credential_was_erased() {
    let world = World::start(Place::sqlite()).await;
    let (source, target) = (server(), server());
    source.add(&books("books"));
    let target_id = world.register(&world.project_id, "target", &target.uri()).await;
    let mut body = warm("", &target_id);
    body["source"] = json!({"endpoint": source.uri(), "token": "root:secret"});
    let job_id = world.owner.migrate(body).await;
    world.wait_for(&job_id, "READY").await;
    let browser = Browser::of(&world.session);
    let path = format!("/p/{}/migrations/{job_id}", world.project_id);
    let cut_over = format!("{path}/cut-over");
    assert_untold(&browser.page(&cut_over).await, &["name=\"token\""]);
    seen(&browser.submit(&path, &format!("{path}/cancel"), &[]).await);
    world.wait_for(&job_id, "CANCELED").await;
    let page = browser.page(&cut_over).await;
    assert_told(&page, &["name=\"token\"", &source.uri(), "Its credential was erased"]);
    let fields = [("stopped", "1"), ("token", "root:secret")];
    assert_eq!(seen(&browser.submit(&cut_over, &cut_over, &fields).await), path);
    world.wait_for(&job_id, "SUCCESSFUL").await;
    assert_eq!(target.rows("default", "books"), source.rows("default", "books"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_in_one_window_has_no_rounds() {
    let ready = Ready::start(Place::sqlite()).await.queued().await;
    let browser = Browser::of(&ready.world.session);
    let body = crate::flow::everything(&ready.ids.0, &ready.ids.1);
    let plain = ready.world.owner.migrate(body).await;
    let plain = format!("/p/{}/migrations/{plain}", ready.world.project_id);
    assert_eq!(seen(&browser.get(&format!("{plain}/cut-over")).await), plain);
    assert_untold(&browser.page(&plain).await, &["switch later", "/cut-over\""]);
}
