//! The list of migrations, and the page of one: live, at its end, and what is done there.

use serde_json::json;
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::Key;

use super::{Browser, seen};
use crate::client::World;
use crate::flow::{Held, books, everything, server};
use crate::on_both_stores;
use crate::place::{Place, eventually};

on_both_stores!(
    migrations_are_listed_and_filtered,
    a_migration_is_watched_canceled_and_resumed,
    what_arrived_is_loaded_one_by_one_or_at_once,
);

/// Texts of a page without its marks.
fn told(page: &str) -> Vec<String> {
    let mut texts = Vec::new();
    for piece in page.split('<').skip(1) {
        let text = piece.split_once('>').map_or("", |(_, text)| text).trim();
        if !text.is_empty() {
            texts.push(text.to_owned());
        }
    }
    texts
}

/// A page in Chinese holds no English sentence, only names and figures.
#[track_caller]
pub(super) fn assert_chinese(page: &str) {
    assert!(page.contains("<html lang=\"zh-CN\""));
    for text in told(page) {
        let is_word = |word: &&str| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_alphabetic());
        let words = text.split_whitespace().filter(is_word).count();
        assert!(words < 4, "{text}");
    }
}

async fn job_between(world: &World, source: &StandIn, target: &StandIn) -> (String, String) {
    let (source_id, target_id) = world.register_both(source, target).await;
    let job_id = world.owner.migrate(everything(&source_id, &target_id)).await;
    (target_id, job_id)
}

async fn migrations_are_listed_and_filtered(place: Place) {
    let world = World::start(place).await;
    let browser = Browser::of(&world.session);
    let path = format!("/p/{}/migrations", world.project_id);
    let empty = browser.page(&path).await;
    assert!(empty.contains("A migration copies collections") && empty.contains("class=\"empty\""), "{empty}");
    assert_eq!(empty.matches("btn main").count(), 1, "{empty}");
    assert_chinese(&browser.chinese().page(&path).await);

    let (source, target) = (server(), server());
    source.add(&books("books"));
    let source_id = world.register(&world.project_id, "<b>old</b> & \"best\" 100%", &source.uri()).await;
    let target_id = world.register(&world.project_id, "search-new", &target.uri()).await;
    let job_id = world.owner.migrate(everything(&source_id, &target_id)).await;
    world.wait_for(&job_id, "SUCCESSFUL").await;
    // Its names are taken now.
    let failed_id = world.owner.migrate(everything(&source_id, &target_id)).await;
    world.wait_for(&failed_id, "FAILED").await;
    let page = browser.page(&path).await;
    assert!(page.contains("&#60;b&#62;old&#60;/b&#62; &#38; &#34;best&#34; 100%"), "{page}");
    assert!(!page.contains("<b>old</b>"), "{page}");
    for word in [
        "Successful",
        "Failed",
        "VF-0",
        "same project",
        "search-new",
        "Owner",
        "verified: row counts and a sample",
    ] {
        assert!(page.contains(word), "{word}: {page}");
    }
    // Nothing of it changes any more.
    assert!(!page.contains("data-live"), "{page}");
    let links = |page: &str| {
        (page.contains(&format!("{path}/{job_id}")), page.contains(&format!("{path}/{failed_id}")))
    };
    for (query, both) in [
        ("", (true, true)),
        ("?status=failed", (false, true)),
        ("?status=finished", (true, false)),
        ("?status=running", (false, false)),
        ("?status=anything", (true, true)),
        ("?search=100%25", (true, true)),
        ("?search=1%25", (false, false)),
        ("?search=SEARCH-new", (true, true)),
        ("?search=%3Cnone%3E", (false, false)),
        (&format!("?search={job_id}"), (true, false)),
        (&format!("?cluster={target_id}"), (true, true)),
        ("?cluster=vf-none", (false, false)),
        (&format!("?after={failed_id}"), (true, false)),
    ] {
        assert_eq!(links(&browser.page(&format!("{path}{query}")).await), both, "{query}");
    }
    let none = browser.page(&format!("{path}?search=%3Cnone%3E")).await;
    assert!(none.contains("No migration matches") && none.contains("value=\"&#60;none&#62;\""), "{none}");
    assert_chinese(&browser.chinese().page(&path).await);
    let part = browser.page(&format!("{path}/live?status=failed")).await;
    assert!(!part.contains("<html") && part.contains("data-over") && part.contains(&failed_id), "{part}");
}

async fn a_migration_is_watched_canceled_and_resumed(place: Place) {
    let world = World::start(place).await;
    let browser = Browser::of(&world.session);
    let mut held = Held::when_loading();
    let (source_id, target_id) = held.register(&world).await;
    let job_id = world.owner.migrate(everything(&source_id, &target_id)).await;
    held.reached().await;
    world.wait_for(&job_id, "IN_PROGRESS").await;
    let path = format!("/p/{}/migrations/{job_id}", world.project_id);
    let page = browser.page(&path).await;
    for live in [
        format!("data-live=\"{path}/live?show=overview&#38;was=IN_PROGRESS\""),
        format!("data-events=\"/v2/jobs/{job_id}/events\""),
        "data-end=\"reload\"".to_owned(),
        "<noscript><meta http-equiv=\"refresh\"".to_owned(),
        "data-connection".to_owned(),
        "In progress".to_owned(),
        "default.books".to_owned(),
        "create: in progress".to_owned(),
        "of about 50".to_owned(),
    ] {
        assert!(page.contains(&live), "{live}: {page}");
    }
    let part = browser.page(&format!("{path}/live?show=overview&was=IN_PROGRESS")).await;
    assert!(!part.contains("<html") && !part.contains("data-over") && part.contains("% copied"), "{part}");
    // What stands around the part shows another state.
    for was in ["PENDING", "IN_PROGRESS.not-begun"] {
        assert!(browser.page(&format!("{path}/live?was={was}")).await.contains("data-over"), "{was}");
    }
    for show in ["collections", "events", "pre-check", "verification", "report", "%3Cb%3E"] {
        let shown = browser.page(&format!("{path}?show={show}")).await;
        assert!(!shown.contains("<b>\""), "{shown}");
        assert_chinese(&browser.chinese().page(&format!("{path}?show={show}")).await);
    }
    assert_chinese(&browser.chinese().page(&path).await);

    let limit = format!("{path}/rate");
    let refused = browser.submit(&path, &limit, &[("rate", "\"fast\"")]).await;
    assert_eq!(refused.status, 400);
    let text = refused.text();
    assert!(text.contains("role=\"alert\"") && text.contains("value=\"&#34;fast&#34;\""), "{text}");
    assert_eq!(seen(&browser.submit(&path, &limit, &[("rate", "20MB/s")]).await), path);
    let limited = browser.page(&path).await;
    assert!(limited.contains("rate limited to 20 MB/s") && limited.contains("value=\"20MB/s\""), "{limited}");
    assert_eq!(seen(&browser.submit(&path, &limit, &[("rate", ""), ("lift", "yes")]).await), path);
    assert!(browser.page(&path).await.contains("no rate limit"));

    assert_eq!(seen(&browser.submit(&path, &format!("{path}/cancel"), &[]).await), path);
    world.wait_for(&job_id, "CANCELED").await;
    held.release().await;
    let ended = browser.page(&path).await;
    assert!(!ended.contains("data-live") && ended.contains("The migration was canceled."), "{ended}");
    assert_eq!(ended.matches("btn main").count(), 1, "{ended}");
    assert_chinese(&browser.chinese().page(&path).await);
    // It is over: the answer is the page with the reason.
    let csrf = super::between(&ended, "name=\"csrf\" value=\"", "\"").unwrap();
    let again = browser.post(&format!("{path}/cancel"), &[("csrf", csrf)]).await;
    assert_eq!(again.status, 409);
    assert!(again.text().contains("VF-0805"), "{}", again.text());

    assert_eq!(seen(&browser.submit(&path, &format!("{path}/resume"), &[]).await), path);
    world.wait_for(&job_id, "SUCCESSFUL").await;
    held.assert_arrived();
    let arrived = browser.page(&path).await;
    for word in ["Every row arrived", "Switch to the target", "finish: done", "50 rows", "Resume writes"] {
        assert!(arrived.contains(word), "{word}: {arrived}");
    }
    let report = browser.page(&format!("{path}?show=report")).await;
    assert!(report.contains(&format!("/v2/jobs/{job_id}/report?format=html")), "{report}");
    let checks = browser.page(&format!("{path}?show=pre-check")).await;
    assert!(checks.contains("source reachable") && checks.contains("0 failed"), "{checks}");
    let compared = browser.page(&format!("{path}?show=verification")).await;
    assert!(compared.contains("equal (row counts and a sample)"), "{compared}");
    for show in ["collections", "events", "pre-check", "verification", "report", "overview"] {
        assert_chinese(&browser.chinese().page(&format!("{path}?show={show}")).await);
    }

    // A result is removed only by whoever read what that destroys and names the target.
    assert!(arrived.contains("To be removed: 1 collection, 50 rows: default.books."), "{arrived}");
    assert!(arrived.contains("type the name of the target: target"), "{arrived}");
    let cancel = format!("{path}/cancel");
    for fields in [[("clean", "1"), ("confirm", "")], [("clean", "1"), ("confirm", "source")]] {
        let refused = browser.submit(&path, &cancel, &fields).await;
        assert_eq!(refused.status, 400);
        let text = refused.text();
        assert!(text.contains("nothing was removed"), "{text}");
        // The question stays, with what was typed.
        assert!(
            text.contains("id=\"clean\" open") && text.contains(&format!("value=\"{}\">", fields[1].1)),
            "{text}"
        );
    }
    // The address of a form leads to its page, by a reload as well as behind a sign-in.
    assert_eq!(seen(&browser.get(&cancel).await), path);
    held.assert_arrived();
    assert_eq!(seen(&browser.submit(&path, &cancel, &[("confirm", "target")]).await), path);
    world.wait_for(&job_id, "CANCELED").await;
    assert!(held.target.names("default").0.is_empty());
}

async fn what_arrived_is_loaded_one_by_one_or_at_once(place: Place) {
    let world = World::start(place).await;
    let browser = Browser::of(&world.session);
    let (source, target) = (server(), server());
    source.add(&books("books"));
    source.add(&books("others"));
    let (_, job_id) = job_between(&world, &source, &target).await;
    world.wait_for(&job_id, "SUCCESSFUL").await;
    let path = format!("/p/{}/migrations/{job_id}", world.project_id);
    let action = format!("{path}/load");
    let loaded = async |count: usize| {
        eventually("it is loaded", async || {
            let page = browser.page(&path).await;
            (page.matches(">Loaded<").count() == count && !page.contains("data-live")).then_some(page)
        })
        .await
    };
    let unknown = browser.submit(&path, &action, &[("collection", "default.<none>")]).await;
    assert_eq!(unknown.status, 400);
    assert!(unknown.text().contains("default.&#60;none&#62;"), "{}", unknown.text());
    assert_eq!(seen(&browser.submit(&path, &action, &[("collection", "default.books")]).await), path);
    let first = loaded(1).await;
    assert!(first.contains("not yet on the target: 1."), "{first}");
    assert_eq!(seen(&browser.submit(&path, &action, &[]).await), path);
    let all = loaded(2).await;
    assert!(!all.contains(&action), "{all}");
    assert_chinese(&browser.chinese().page(&path).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn differences_are_shown_row_by_row() {
    let world = World::start(Place::sqlite()).await;
    let browser = Browser::of(&world.session);
    let (source, target) = (server(), server());
    source.add(&books("books"));
    let (_, job_id) = job_between(&world, &source, &target).await;
    world.wait_for(&job_id, "SUCCESSFUL").await;
    let path = format!("/p/{}/migrations/{job_id}?show=verification", world.project_id);
    let action = format!("/p/{}/migrations/{job_id}/verify", world.project_id);
    let verified = async |word: &str| {
        eventually(word, async || {
            let page = browser.page(&path).await;
            (page.contains(word) && !page.contains("data-live")).then_some(page)
        })
        .await
    };
    assert_eq!(seen(&browser.submit(&path, &action, &[("level", "full")]).await), path);
    let equal = verified("Verification: every row").await;
    assert!(equal.contains(">Equal<") && equal.contains("0 rows differ"), "{equal}");
    target.delete(("default", "books"), "_default", &[Key::Long(7)].into());
    assert_eq!(seen(&browser.submit(&path, &action, &[("level", "full")]).await), path);
    let differing = verified("primary key 7").await;
    assert!(differing.contains("missing") && differing.contains("1 row differs"), "{differing}");
    assert_chinese(&browser.chinese().page(&path).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_elsewhere_is_given_again() {
    let world = World::start(Place::sqlite()).await;
    let browser = Browser::of(&world.session);
    let mut held = Held::when_loading();
    let (_, target_id) = held.register(&world).await;
    let source = json!({"endpoint": held.uris()[0], "token": "root:plantedsecret"});
    let body = json!({"source": source, "destination": {"clusterId": target_id}});
    let job_id = world.owner.migrate(body).await;
    held.reached().await;
    let path = format!("/p/{}/migrations/{job_id}", world.project_id);
    assert!(browser.page(&path).await.contains("other organization"));
    browser.submit(&path, &format!("{path}/cancel"), &[]).await;
    world.wait_for(&job_id, "CANCELED").await;
    held.release().await;
    let resume = format!("{path}/resume");
    let bad = browser.submit(&path, &resume, &[("token", "plantedsecret\u{7}"), ("ca", "<my> ca")]).await;
    assert_eq!(bad.status, 400);
    let text = bad.text();
    assert!(!text.contains("plantedsecret") && text.contains(">&#60;my&#62; ca</textarea>"), "{text}");
    assert_eq!(seen(&browser.submit(&path, &resume, &[("token", "root:plantedsecret")]).await), path);
    world.wait_for(&job_id, "SUCCESSFUL").await;
    held.assert_arrived();
    let verify = [("level", "full"), ("token", "plantedsecret\u{7}")];
    let bad = browser.submit(&format!("{path}?show=verification"), &format!("{path}/verify"), &verify).await;
    assert_eq!(bad.status, 400);
    let text = bad.text();
    assert!(!text.contains("plantedsecret") && text.contains("value=\"full\" selected"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_only_looks_sees_no_button() {
    let world = World::start(Place::sqlite()).await;
    let (source, target) = (server(), server());
    source.add(&books("books"));
    let (_, job_id) = job_between(&world, &source, &target).await;
    world.wait_for(&job_id, "SUCCESSFUL").await;
    let (user_id, session) = world.member("reader", "member").await;
    let reader = Browser::of(&session);
    let list = format!("/p/{}/migrations", world.project_id);
    let path = format!("{list}/{job_id}");
    assert_eq!(reader.get(&path).await.status, 404);
    world.give(&world.project_id, &user_id, "readOnly").await;
    assert!(!reader.page(&list).await.contains("/migrations/new"));
    let other = world.new_project("other").await;
    let owner = Browser::of(&world.session);
    // It is in none of its clusters' other projects.
    assert_eq!(owner.get(&format!("/p/{other}/migrations/{job_id}")).await.status, 404);
    for show in ["overview", "verification"] {
        let page = reader.page(&format!("{path}?show={show}")).await;
        assert!(!page.contains(&format!("action=\"{path}/")), "{page}");
    }
    let shown = reader.page(&path).await;
    let csrf = super::between(&shown, "name=\"csrf\" value=\"", "\"").unwrap();
    for way in ["cancel", "resume", "rate", "load", "verify"] {
        let answer = reader.post(&format!("{path}/{way}"), &[("csrf", csrf), ("rate", "none")]).await;
        assert_eq!(answer.status, 403, "{way}: {}", answer.text());
    }
    let link = world.running.service.add_organization("Other", "Other", "other@localhost").await.unwrap();
    let stranger = Browser::of(&world.running.client.sign_in_by_link(link.reveal()).await);
    for path in [&list, &path, &format!("{path}/live"), &format!("{list}/live")] {
        assert_eq!(stranger.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_at_a_time_is_told() {
    let world = World::start(Place::sqlite()).await;
    let browser = Browser::of(&world.session);
    let (source, target) = (server(), server());
    source.add(&books("books"));
    let (source_id, target_id) = world.register_both(&source, &target).await;
    let mut body = everything(&source_id, &target_id);
    let start = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    body["startTime"] = json!(start.to_string());
    let job_id = world.owner.migrate(body).await;
    let list = format!("/p/{}/migrations", world.project_id);
    assert!(browser.page(&list).await.contains(">Scheduled<"));
    let page = browser.page(&format!("{list}/{job_id}")).await;
    assert!(page.contains("Starts at") && page.contains("It has not begun"), "{page}");
    let checks = browser.page(&format!("{list}/{job_id}?show=pre-check")).await;
    assert!(checks.contains("source reachable"), "{checks}");
    assert_chinese(&browser.chinese().page(&format!("{list}/{job_id}")).await);
}
