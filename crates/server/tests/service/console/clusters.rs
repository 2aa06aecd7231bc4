//! Pages of clusters.

use serde_json::json;
use vecferry_testkit::stand_in::generate::plain;
use vecferry_testkit::stand_in::{Key, Options, Version};
use vecferry_testkit::{CloudOptions, CloudStandIn, StandIn, english_in};

use super::{Browser, between, seen};
use crate::client::{World, settings};
use crate::flow::{books, later, server};
use crate::on_both_stores;
use crate::place::Place;

const HOSTILE: &str = "<b>\"&'";
const ESCAPED: &str = "&#60;b&#62;&#34;&#38;&#39;";

/// What a page says, without its tags.
fn said(page: &str) -> String {
    let body = page.split_once("<body>").map_or(page, |(_, body)| body);
    let mut text = String::new();
    let mut is_tag = false;
    for character in body.chars() {
        match character {
            '<' => is_tag = true,
            '>' => {
                is_tag = false;
                text.push('\n');
            }
            other if !is_tag => text.push(other),
            _ => {}
        }
    }
    text
}

#[track_caller]
fn assert_chinese(page: &str) {
    let names = ["Default Organization", "Default Project", "vecferry serve"];
    assert_eq!(english_in(&said(page), &names), Vec::<String>::new(), "{page}");
    for name in ["placeholder=\"", "aria-label=\""] {
        for (at, _) in page.match_indices(name) {
            let value = &page[at + name.len()..];
            let value = value.split('"').next().unwrap();
            assert_eq!(english_in(value, &["BEGIN CERTIFICATE"]), Vec::<String>::new(), "{value}");
        }
    }
}

fn form<'a>(name: &'a str, address: &'a str) -> [(&'a str, &'a str); 3] {
    [("name", name), ("address", address), ("token", "")]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_cluster_is_tried_registered_and_looked_into() {
    let world = World::start(Place::sqlite()).await;
    let source = server();
    source.add(&books("books"));
    source.add(&books("films"));
    source.add_alias(("default", "books"), "novels");
    let browser = Browser::of(&world.session);
    let list = format!("/p/{}/clusters", world.project_id);
    let (new, test) = (format!("{list}/new"), format!("{list}/test"));
    // The first page is a guide.
    let guide = browser.page(&list).await;
    assert!(guide.contains("Register two clusters") && guide.contains("vecferry serve --demo"), "{guide}");
    assert!(guide.contains(&format!("class=\"btn main\" href=\"{new}\"")), "{guide}");
    assert_chinese(&browser.chinese().page(&list).await);
    assert_chinese(&browser.chinese().page(&new).await);
    // A try registers nothing, and keeps what was typed except the credential.
    let address = source.uri();
    let fields = [("name", HOSTILE), ("address", address.as_str()), ("token", "root:secret-of-mine")];
    let shown = browser.page(&new).await;
    assert!(shown.contains(&format!("formaction=\"{test}\"")), "{shown}");
    let csrf = between(&shown, "name=\"csrf\" value=\"", "\"").unwrap().to_owned();
    let with = |more: &[(&'static str, &'static str)]| {
        let mut all = vec![("csrf", csrf.as_str())];
        all.extend(fields);
        all.extend(more.iter().copied());
        all
    };
    let tried = browser.post(&test, &with(&[])).await;
    let text = tried.text();
    assert_eq!(tried.status, 200, "{text}");
    assert!(text.contains("Connected.") && text.contains("2.6") && text.contains("<dd>2</dd>"), "{text}");
    assert!(text.contains(&format!("value=\"{ESCAPED}\"")) && !text.contains("secret-of-mine"), "{text}");
    assert!(text.contains("Type the credential again"), "{text}");
    let part = browser.post(&test, &with(&[("part", "1")])).await.text();
    assert!(part.contains("Connected.") && !part.contains("<html"), "{part}");
    assert!(browser.page(&list).await.contains("Register two clusters"));
    // A refusal keeps what was typed as well.
    let wrong = browser.submit(&new, &new, &form(HOSTILE, "http://127.0.0.1:9")).await;
    let text = wrong.text();
    assert_eq!(wrong.status, 400, "{text}");
    assert!(
        text.contains("href=\"/errors/VF-01") && text.contains(&format!("value=\"{ESCAPED}\"")),
        "{text}"
    );
    // Registered.
    let made = seen(&browser.submit(&new, &new, &form(HOSTILE, &address)).await);
    assert!(made.starts_with(&format!("{list}/vf-")), "{made}");
    let page = browser.page(&made).await;
    assert!(page.contains(&format!("<h1>{ESCAPED}</h1>")) && !page.contains(HOSTILE), "{page}");
    let id = made.rsplit('/').next().unwrap();
    let wizard = format!("btn main\" href=\"/p/{}/migrations/new?source={id}\"", world.project_id);
    assert!(page.contains(&wizard) && page.contains("Running"), "{page}");
    // The cluster is asked by a part of the page, which has no frame, and by a page where there are no scripts.
    let load = format!("{made}/collections");
    assert!(page.contains(&format!("data-load=\"{load}\"")), "{page}");
    let part = browser.page(&load).await;
    assert!(!part.contains("<html") && part.contains("films") && part.contains("Loaded"), "{part}");
    assert!(part.contains("vector FloatVector(4)") && part.contains("vector: AUTOINDEX, L2"), "{part}");
    let found = browser.page(&format!("{load}?q=BOO")).await;
    assert!(found.contains("books") && !found.contains("films"), "{found}");
    let none = browser.page(&format!("{load}?q=none&whole=1")).await;
    assert!(none.contains("No collection matches") && none.contains("<html"), "{none}");
    let collection = format!("{made}/collection?db=default&name=books");
    assert!(part.contains("collection?db=default&#38;name=books"), "{part}");
    let page = browser.page(&collection).await;
    assert!(page.contains("data-load=\"") && !page.contains("FloatVector"), "{page}");
    let schema = browser.page(&format!("{collection}&part=1")).await;
    assert!(schema.contains("<code>FloatVector(4)</code>") && schema.contains("Primary key"), "{schema}");
    assert!(schema.contains("novels") && !schema.contains("<html"), "{schema}");
    let absent = browser.page(&format!("{made}/collection?db=default&name=none&whole=1")).await;
    assert!(absent.contains("VF-08"), "{absent}");
    // What it needs.
    let capacity = format!("{made}/capacity");
    assert!(browser.page(&capacity).await.contains("data-load=\""));
    let estimate = browser.page(&format!("{capacity}?part=1")).await;
    assert!(estimate.contains("Performance-optimized") && estimate.contains("default.books"), "{estimate}");
    for path in [
        &list,
        &made,
        &format!("{load}?whole=1"),
        &format!("{collection}&whole=1"),
        &format!("{capacity}?whole=1"),
    ] {
        assert_chinese(&browser.chinese().page(path).await);
    }
}

on_both_stores!(the_list_is_searched_and_comes_in_pages);

async fn the_list_is_searched_and_comes_in_pages(place: Place) {
    let world = World::start(place).await;
    let source = server();
    for number in 0..23 {
        world.register(&world.project_id, &format!("cluster {number:02} 100%"), &source.uri()).await;
    }
    let browser = Browser::of(&world.session);
    let list = format!("/p/{}/clusters", world.project_id);
    let first = browser.page(&list).await;
    assert!(first.contains("cluster 00") && !first.contains("cluster 22") && first.contains("rel=\"next\""));
    let second = browser.page(&format!("{list}?page=2")).await;
    assert!(second.contains("cluster 22") && second.contains("rel=\"prev\""), "{second}");
    let found = browser.page(&format!("{list}?q=CLUSTER+07+100%25")).await;
    assert!(found.contains("cluster 07") && !found.contains("cluster 08"), "{found}");
    // A sign of patterns is a sign like others.
    let none = browser.page(&format!("{list}?q=0%25100")).await;
    assert!(none.contains("No cluster has") && !none.contains("cluster 07"), "{none}");
    let rows = browser.page(&format!("{list}?part=rows")).await;
    assert!(rows.contains("cluster 00") && !rows.contains("<html"), "{rows}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_changed_and_removed() {
    let world = World::start(Place::sqlite()).await;
    let (source, target) = (server(), server());
    source.add(&books("books"));
    let (source_id, target_id) = world.register_both(&source, &target).await;
    let browser = Browser::of(&world.session);
    let path = format!("/p/{}/clusters/{source_id}", world.project_id);
    let fields = [("name", "renamed"), ("description", HOSTILE), ("token", "")];
    assert_eq!(seen(&browser.submit(&path, &path, &fields).await), path);
    let page = browser.page(&path).await;
    assert!(page.contains("<h1>renamed</h1>") && page.contains(ESCAPED), "{page}");
    let long = "x".repeat(65);
    let refused = browser.submit(&path, &path, &[("name", &long), ("description", "kept")]).await;
    assert_eq!(refused.status, 400);
    assert!(
        refused.text().contains(&long) && refused.text().contains("value=\"kept\""),
        "{}",
        refused.text()
    );
    // A job that needs it keeps it.
    let job = world.owner.migrate(later(&source_id, &target_id)).await;
    let remove = format!("{path}/remove");
    let refused = browser.submit(&path, &remove, &[]).await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(refused.text().contains(&job), "{}", refused.text());
    world.owner.post(&format!("/v2/jobs/{job}/cancel"), json!({})).await.data();
    crate::client::wait_for(&world.owner, &job, "CANCELED").await;
    let removed = browser.submit(&path, &remove, &[]).await;
    assert_eq!(seen(&removed), format!("/p/{}/clusters", world.project_id));
    assert_eq!(browser.get(&path).await.status, 404);
    // A cluster stands in its own project only.
    let other = world.new_project("other").await;
    assert_eq!(browser.get(&format!("/p/{other}/clusters/{target_id}")).await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_does_not_answer_says_why() {
    let world = World::start(Place::sqlite()).await;
    let source = server();
    let id = world.register(&world.project_id, "source", &source.uri()).await;
    drop(source);
    let browser = Browser::of(&world.session);
    let path = format!("/p/{}/clusters/{id}", world.project_id);
    // The page is there, whatever the cluster does.
    assert!(browser.page(&path).await.contains("data-load=\""));
    let part = browser.page(&format!("{path}/collections")).await;
    assert!(part.contains("href=\"/errors/VF-") && part.contains("Try again"), "{part}");
    let whole = browser.get(&format!("{path}/collections?whole=1")).await;
    assert_eq!(whole.status, 400, "{}", whole.text());
    let estimate = browser.page(&format!("{path}/capacity?part=1")).await;
    assert!(estimate.contains("href=\"/errors/VF-"), "{estimate}");
    let sql = "UPDATE clusters SET status = 'ABNORMAL', trouble = $1";
    let trouble = json!({"code": "VF-0101", "message": "gone", "message_zh": "不可用", "hint": "wait", "hint_zh": "请稍候"});
    crate::place::change(&world.store, sql, &[trouble.to_string().into()]).await;
    let list = browser.page(&format!("/p/{}/clusters", world.project_id)).await;
    assert!(list.contains("Not reachable") && list.contains("VF-0101") && list.contains("gone"), "{list}");
    let chinese = browser.chinese().page(&path).await;
    assert!(chinese.contains("无法连接") && chinese.contains("请稍候"), "{chinese}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_only_reads_sees_and_changes_nothing() {
    let world = World::start(Place::sqlite()).await;
    let (source, target) = (server(), server());
    let (id, _) = world.register_both(&source, &target).await;
    let (user_id, session) = world.member("reader", "member").await;
    world.give(&world.project_id, &user_id, "readOnly").await;
    let reader = Browser::of(&session);
    let list = format!("/p/{}/clusters", world.project_id);
    let path = format!("{list}/{id}");
    let page = reader.page(&list).await;
    assert!(page.contains("source") && !page.contains("Register cluster"), "{page}");
    let page = reader.page(&path).await;
    assert!(
        !page.contains("Remove")
            && !page.contains("btn main")
            && !page.contains(&format!("action=\"{path}\"")),
        "{page}"
    );
    assert!(reader.page(&format!("{path}/collections")).await.contains("visible to this cluster"));
    for path in [format!("{list}/new"), format!("{list}/cloud")] {
        let page = reader.page(&path).await;
        assert!(page.contains("A Project Admin registers clusters") && !page.contains("btn main"), "{page}");
    }
    let csrf = between(&page, "name=\"csrf\" value=\"", "\"").unwrap().to_owned();
    let address = source.uri();
    let fields = [
        ("csrf", csrf.as_str()),
        ("name", "mine"),
        ("address", &address),
        ("key", "k"),
        ("cluster", "in01-a"),
    ];
    for action in ["/new", "/test", "/cloud", "/cloud/found", &format!("/{id}"), &format!("/{id}/remove")] {
        let answer = reader.post(&format!("{list}{action}"), &fields).await;
        assert_eq!(answer.status, 403, "{action}: {}", answer.text());
        assert!(answer.text().contains("VF-08"), "{}", answer.text());
    }
    let link = world.running.service.add_organization("Other", "P", "o@localhost").await.unwrap();
    let elsewhere = Browser::of(&world.running.client.sign_in_by_link(link.reveal()).await);
    for path in
        [&list, &path, &format!("{path}/collections"), &format!("{path}/capacity"), &format!("{list}/new")]
    {
        assert_eq!(elsewhere.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clusters_of_the_cloud_are_found_and_imported() {
    let cluster = |id: &str, address: &str| {
        json!({"clusterId": id, "clusterName": format!("{id} {HOSTILE}"), "regionId": "aws-us-west-2", "cuSize": 2,
            "cuType": "Performance-optimized", "status": "RUNNING", "connectAddress": address})
    };
    let clusters = vec![
        cluster("in01-a", "https://127.0.0.1:19530"),
        cluster("in01-b", "https://127.0.0.1:19531"),
        cluster("in01-c", ""),
        json!({"clusterId": "in01-d", "clusterName": "asleep", "cuSize": 2, "status": "SUSPENDED",
            "connectAddress": "https://127.0.0.1:19532"}),
    ];
    let cloud =
        CloudStandIn::start(CloudOptions { key: "right-key".into(), clusters, ..CloudOptions::default() });
    let mut settings = settings();
    settings.control_plane = Some(cloud.uri());
    let world = World::with(Place::sqlite(), settings).await;
    let browser = Browser::of(&world.session);
    let list = format!("/p/{}/clusters", world.project_id);
    let (cloud_page, found) = (format!("{list}/cloud"), format!("{list}/cloud/found"));
    let page = browser.page(&cloud_page).await;
    let csrf = between(&page, "name=\"csrf\" value=\"", "\"").unwrap().to_owned();
    let key = |key: &'static str| [("csrf", csrf.clone()), ("key", key.to_owned())];
    let send = async |path: &str, fields: &[(&str, String)]| {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        browser.post(path, &fields).await
    };
    let wrong = send(&found, &key("wrong-key")).await;
    assert_eq!(wrong.status, 400, "{}", wrong.text());
    assert!(wrong.text().contains("href=\"/errors/VF-") && !wrong.text().contains("wrong-key"));
    let shown = send(&found, &key("right-key")).await.text();
    assert!(shown.contains("value=\"in01-a\" checked") && !shown.contains("right-key"), "{shown}");
    assert!(shown.contains(ESCAPED) && !shown.contains(HOSTILE), "{shown}");
    // One that does not run can be chosen, and is not at first.
    assert!(shown.contains("value=\"in01-d\">") && shown.contains("Suspended"), "{shown}");
    assert!(shown.contains("no public address") && shown.contains("Dedicated"), "{shown}");
    // What was chosen outlives a key that was mistyped.
    let mistyped = [&key("wrong-key")[..], &[("cluster", "in01-d".to_owned())]].concat();
    let refused = send(&cloud_page, &mistyped).await.text();
    assert!(refused.contains("type=\"hidden\" name=\"cluster\" value=\"in01-d\""), "{refused}");
    let again = [&key("right-key")[..], &[("cluster", "in01-d".to_owned())]].concat();
    let shown = send(&found, &again).await.text();
    assert!(
        shown.contains("value=\"in01-d\" checked") && !shown.contains("value=\"in01-a\" checked"),
        "{shown}"
    );
    let nothing = send(&cloud_page, &key("right-key")).await;
    assert_eq!(nothing.status, 400);
    assert!(nothing.text().contains("no cluster is chosen") && nothing.text().contains("in01-b"));
    let chosen = |id: &str| [&key("right-key")[..], &[("cluster", id.to_owned())]].concat();
    let imported = send(&cloud_page, &chosen("in01-a")).await;
    assert_eq!(seen(&imported), format!("{list}?imported=1"));
    assert!(browser.page(&format!("{list}?imported=1")).await.contains("imported from Zilliz Cloud: 1"));
    let again = [chosen("in01-a").to_vec(), vec![("cluster", "in01-b".to_owned())]].concat();
    let partly = send(&cloud_page, &again).await;
    assert_eq!(partly.status, 200);
    let text = partly.text();
    assert!(text.contains("Not registered") && text.contains("registered in the project already"), "{text}");
    let part = send(&found, &[&key("right-key")[..], &[("part", "1".to_owned())]].concat()).await.text();
    assert!(part.contains("Already registered in this project") && !part.contains("<html"), "{part}");
    assert_chinese(&browser.chinese().page(&cloud_page).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_try_takes_a_right_and_says_what_is_wrong() {
    let world = World::start(Place::sqlite()).await;
    let source = StandIn::start(Options::new(Version::V2_4));
    source.add(&plain("books", false, &[("_default", vec![Key::Long(1)])]));
    let body = |address: &str| json!({"projectId": world.project_id, "connectAddress": address});
    let tried = world.owner.post("/v2/clusters/test", body(&source.uri())).await.data();
    assert_eq!(
        (&tried["deploymentOption"], &tried["collections"]),
        (&json!("self-hosted"), &json!(1)),
        "{tried}"
    );
    assert!(tried["latencyMs"].is_u64() && tried["version"].as_str().unwrap().contains("2.4"), "{tried}");
    let refused = world.owner.post("/v2/clusters/test", body("http://127.0.0.1:9")).await;
    assert!(refused.code().starts_with("VF-01"), "{}", refused.text());
    world.owner.post("/v2/clusters/test", body("no address")).await.assert_refused(400, "VF-0801");
    assert_eq!(world.owner.get("/v2/clusters").await.data()["count"], 0);
}
