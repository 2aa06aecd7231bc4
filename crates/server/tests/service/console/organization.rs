//! Members, keys, webhooks, audit log, settings: what an owner does, and what others see of it.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Browser, between, seen};
use crate::client::{World, text};
use crate::place::Place;

/// A name that no page may take for its own.
const HOSTILE: &str = "<b>\"&'";
const ESCAPED: &str = "&#60;b&#62;&#34;&#38;&#39;";

async fn organization(world: &World) -> String {
    text(&world.owner.get("/v2/organization").await.data()["organizationId"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_invites_by_a_link_that_is_shown_once() {
    let world = World::start(Place::sqlite()).await;
    let org = organization(&world).await;
    let (browser, list) = (Browser::of(&world.session), format!("/o/{org}/members"));
    let form = format!("{list}/new");
    let wrong = [("email", "no address"), ("name", HOSTILE), ("role", "owner")];
    let refused = browser.submit(&form, &form, &wrong).await;
    assert_eq!(refused.status, 400);
    let shown = refused.text();
    // What was typed is kept.
    assert!(shown.contains("value=\"no address\"") && shown.contains(ESCAPED), "{shown}");
    assert!(shown.contains("value=\"owner\" checked") && shown.contains("href=\"/errors/VF-0"), "{shown}");

    let right = [("email", "eve@example.com"), ("name", HOSTILE), ("role", "member")];
    let made = browser.submit(&form, &form, &right).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let shown = made.text();
    assert!(shown.contains(ESCAPED) && shown.contains(&format!("data-once=\"{list}\"")), "{shown}");
    let link = between(&shown, "http://127.0.0.1:", "<").unwrap();
    let token = link.split_once("/setup#").unwrap().1;
    world.running.client.sign_in_by_link(token).await;
    let page = browser.page(&list).await;
    assert!(page.contains(ESCAPED) && !page.contains(token) && !page.contains("<b>\""), "{page}");
    let again = browser.submit(&form, &form, &right).await;
    assert_eq!(again.status, 409, "{}", again.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_changes_roles_makes_links_and_removes() {
    let world = World::start(Place::sqlite()).await;
    let org = organization(&world).await;
    let (browser, list) = (Browser::of(&world.session), format!("/o/{org}/members"));
    let owner_id = text(&world.session.get("/v2/session").await.data()["actor"]);
    let (bob, bobs) = world.member("bob", "member").await;
    world.give(&world.project_id, &bob, "readOnly").await;
    let page = browser.page(&list).await;
    assert!(page.contains("Default Project") && page.contains("Project Read-Only"), "{page}");

    // The last owner stays one.
    let refused = browser.submit(&list, &format!("{list}/{owner_id}/role"), &[("role", "member")]).await;
    assert_eq!(refused.status, 409);
    let shown = refused.text();
    assert!(shown.contains("no owner"), "{shown}");
    // What was chosen is kept, where it was.
    let form = between(&shown, "<details class=\"ask\" open>", "</form>").unwrap();
    assert!(form.contains(&owner_id) && form.contains("value=\"member\" selected"), "{form}");
    assert_eq!(seen(&browser.get(&format!("{list}/{owner_id}/role")).await), list);
    let changed = browser.submit(&list, &format!("{list}/{bob}/role"), &[("role", "owner")]).await;
    assert_eq!(seen(&changed), list);
    assert!(browser.page(&list).await.contains("Every right in every project"));
    let linked = browser.submit(&list, &format!("{list}/{bob}/link"), &[]).await.text();
    let token = between(&linked, "/setup#", "<").unwrap();
    world.running.client.sign_in_by_link(token).await;
    // Who takes their own role sees the first page.
    let own = browser.submit(&list, &format!("{list}/{owner_id}/role"), &[("role", "member")]).await;
    assert_eq!(seen(&own), "/");
    assert_eq!(browser.get(&list).await.status, 403);
    let bobs = Browser::of(&bobs);
    let removed = bobs.submit(&list, &format!("{list}/{owner_id}/remove"), &[]).await;
    assert_eq!(seen(&removed), list);
    assert!(!bobs.page(&list).await.contains("owner@localhost"));
    assert_eq!(browser.get(&list).await.status, 303);
    let nobody = bobs.submit(&list, &format!("{list}/{bob}/remove"), &[]).await;
    assert_eq!(nobody.status, 409);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_admin_gives_roles_that_others_see() {
    let world = World::start(Place::sqlite()).await;
    let list = format!("/p/{}/members", world.project_id);
    let (alice, alices) = world.member("alice", "member").await;
    world.member("carol", "member").await;
    let owner = Browser::of(&world.session);
    assert!(owner.page(&list).await.contains("Nobody has a role"));
    let alices = Browser::of(&alices);
    assert_eq!(alices.get(&list).await.status, 404);
    world.give(&world.project_id, &alice, "readOnly").await;
    // Who looks sees the page, and nothing to press.
    let page = alices.page(&list).await;
    assert!(page.contains("alice@example.com") && page.contains("A Project Admin gives roles"), "{page}");
    assert!(!page.contains(&format!("action=\"{list}")), "{page}");
    let csrf = between(&page, "name=\"csrf\" value=\"", "\"").unwrap().to_owned();
    for action in [list.clone(), format!("{list}/{alice}/role"), format!("{list}/{alice}/remove")] {
        let fields = [("csrf", csrf.as_str()), ("email", "carol@example.com"), ("role", "admin")];
        assert_eq!(alices.post(&action, &fields).await.status, 403, "{action}");
    }
    world.give(&world.project_id, &alice, "admin").await;
    let stranger = [("email", "stranger@example.com"), ("role", "readWrite")];
    let refused = alices.submit(&list, &list, &stranger).await;
    assert_eq!(refused.status, 400);
    let shown = refused.text();
    assert!(shown.contains("value=\"stranger@example.com\""), "{shown}");
    assert!(shown.contains("value=\"readWrite\" selected"), "{shown}");
    let given = alices.submit(&list, &list, &[("email", "carol@example.com"), ("role", "readWrite")]).await;
    assert_eq!(seen(&given), list);
    assert!(alices.page(&list).await.contains("Project Read-Write"));
    let unknown = alices.submit(&list, &format!("{list}/{alice}/role"), &[("role", "captain")]).await;
    assert_eq!(unknown.status, 400, "{}", unknown.text());
    let shown = unknown.text();
    assert!(between(&shown, "<details class=\"ask\" open>", "</form>").unwrap().contains(&alice), "{shown}");
    // An admin who takes the own role no longer sees the project.
    let taken = alices.submit(&list, &format!("{list}/{alice}/remove"), &[]).await;
    assert_eq!(seen(&taken), "/");
    assert_eq!(alices.get(&list).await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_shown_once_and_revoked() {
    let world = World::start(Place::sqlite()).await;
    let org = organization(&world).await;
    let list = format!("/o/{org}/keys");
    let form = format!("{list}/new");
    let (_, session) = world.member("dan", "member").await;
    let browser = Browser::of(&session);
    assert!(browser.page(&list).await.contains("With an API key, scripts"));
    // Who administers nothing makes a personal key only.
    assert!(!browser.page(&form).await.contains("value=\"customized\""));
    let made = browser.submit(&form, &form, &[("name", HOSTILE), ("kind", "personal"), ("days", "")]).await;
    let shown = made.text();
    assert!(made.status == 200 && shown.contains(ESCAPED) && shown.contains("curl -H"), "{shown}");
    let key = between(&shown, "id=\"key\"", "</p>").unwrap().rsplit_once('>').unwrap().1.to_owned();
    let dans = session.with_key(&key);
    dans.get("/v2/projects").await.data();
    let page = browser.page(&list).await;
    assert!(page.contains(ESCAPED) && !page.contains(&key) && page.contains("Same as dan"), "{page}");
    let revoke = between(&page, &format!("action=\"{list}/"), "\"").unwrap().to_owned();
    let revoked = browser.submit(&list, &format!("{list}/{revoke}"), &[]).await;
    assert_eq!(seen(&revoked), list);
    assert_eq!(dans.get("/v2/projects").await.status, 401);

    let owner = Browser::of(&world.session);
    let role = format!("role-{}", world.project_id);
    for (days, role_given) in [("many", "admin"), ("90", "")] {
        let fields = [("name", "ci"), ("kind", "customized"), ("days", days), (role.as_str(), role_given)];
        let refused = owner.submit(&form, &form, &fields).await;
        assert_eq!(refused.status, 400);
        let shown = refused.text();
        assert!(shown.contains(&format!("value=\"{days}\"")) && shown.contains("value=\"ci\""), "{shown}");
        assert!(shown.contains("value=\"customized\" checked"), "{shown}");
    }
    let fields = [("name", "ci"), ("kind", "customized"), ("days", "90"), (role.as_str(), "readOnly")];
    assert_eq!(owner.submit(&form, &form, &fields).await.status, 200);
    let page = owner.page(&list).await;
    assert!(page.contains("Default Project") && page.contains("Project Read-Only"), "{page}");
    let every = [("name", "root"), ("kind", "owner"), ("days", "1")];
    assert_eq!(owner.submit(&form, &form, &every).await.status, 200);
    assert!(owner.page(&list).await.contains("Everything in the organization"));
    let keys = world.owner.get("/v2/apiKeys").await.data();
    let of = |name: &str| keys.as_array().unwrap().iter().find(|key| key["name"] == name).unwrap();
    assert_eq!(of("ci")["projectRoles"], json!({world.project_id.as_str(): "readOnly"}));
    assert_eq!(of("root")["organizationRole"], "owner");
}

/// Answers every request with 204, and gives what the first one said.
async fn receiver() -> (String, tokio::task::JoinHandle<String>) {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let received = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 64 * 1024];
        let count = stream.read(&mut request).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        String::from_utf8_lossy(&request[..count]).into_owned()
    });
    (url, received)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_tested_and_removed() {
    let world = World::start(Place::sqlite()).await;
    let org = organization(&world).await;
    let list = format!("/o/{org}/webhooks");
    let form = format!("{list}/new");
    let (_, bobs) = world.member("bob", "member").await;
    let looker = Browser::of(&bobs);
    let page = looker.page(&list).await;
    assert!(page.contains("Webhooks are shown to") && !page.contains(&form), "{page}");

    let browser = Browser::of(&world.session);
    assert!(browser.page(&list).await.contains("A webhook tells"));
    let project = world.project_id.clone();
    let wrong = [("url", "ftp://<b>"), ("project", project.as_str())];
    let refused = browser.submit(&form, &form, &wrong).await;
    let shown = refused.text();
    assert!(refused.status == 400 && shown.contains("value=\"ftp://&#60;b&#62;\""), "{shown}");
    assert!(shown.contains(&format!("value=\"{project}\" selected")), "{shown}");

    let (url, received) = receiver().await;
    let made = browser.submit(&form, &form, &[("url", &url), ("project", "all")]).await;
    let shown = made.text();
    assert_eq!(made.status, 200, "{shown}");
    let secret = between(&shown, "vfw_", "<").unwrap().to_owned();
    let address = between(&shown, "data-once=\"", "\"").unwrap().to_owned();
    let page = browser.page(&address).await;
    assert!(page.contains("Nothing was sent yet") && !page.contains(&secret), "{page}");
    assert_eq!(looker.get(&address).await.status, 403);

    let tested = browser.submit(&address, &format!("{address}/test"), &[]).await;
    assert_eq!(seen(&tested), address);
    assert!(received.await.unwrap().contains("vecferry-signature"));
    assert!(browser.page(&address).await.contains("Delivered"));
    // Nobody listens there any more.
    browser.submit(&address, &format!("{address}/test"), &[]).await;
    let page = browser.page(&address).await;
    assert!(page.contains("Failed") && page.contains("class=\"chip bad\""), "{page}");
    assert!(browser.page(&list).await.contains("The whole organization"));
    let removed = browser.submit(&address, &format!("{address}/remove"), &[]).await;
    assert_eq!(seen(&removed), list);
    assert_eq!(browser.get(&address).await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_log_is_read_from_the_newest_on() {
    let world = World::start(Place::sqlite()).await;
    let org = organization(&world).await;
    let log = format!("/o/{org}/audit");
    let (bob, _) = world.member("bob", "member").await;
    for count in 0..60 {
        world.new_project(&format!("project {count}")).await;
    }
    world.give(&world.project_id, &bob, "readOnly").await;
    let browser = Browser::of(&world.session);
    let list = format!("/o/{org}/members");
    browser.submit(&list, &format!("{list}/{bob}/remove"), &[]).await;
    let page = browser.page(&log).await;
    let (newest, older) = (page.find("Remove a member"), page.find("Give a role in a project"));
    assert!(newest.is_some() && newest < older, "{page}");
    // People by their names, also those who left.
    assert!(page.contains(">bob<small>") && page.contains("REST"), "{page}");
    let next = between(&page, "href=\"?cursor=", "\"").unwrap();
    let second = browser.page(&format!("{log}?cursor={next}")).await;
    assert!(second.contains("Invite a member") && !second.contains("Remove a member"), "{second}");
    assert!(second.contains("Sign in with a link") && !second.contains("href=\"?cursor="), "{second}");
    let only = browser.page(&format!("{log}?actor={bob}")).await;
    assert!(only.contains("Only what bob did") && !only.contains("Create a project"), "{only}");
    let none = browser.page(&format!("{log}?actor=%3Cb%3E%22")).await;
    assert!(none.contains("Only what &#60;b&#62;&#34; did"), "{none}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_log_names_what_was_made() {
    let world = World::start(Place::sqlite()).await;
    let org = organization(&world).await;
    let server = crate::flow::server();
    let made = |answer: &crate::client::Answer, id: &str| text(&answer.data()[id]);
    let project =
        made(&world.owner.post("/v2/projects", json!({"projectName": "Search 团队"})).await, "projectId");
    let invitation = json!({"email": "zoe@example.com", "name": HOSTILE, "organizationRole": "member"});
    let user = made(&world.owner.post("/v2/users", invitation).await, "userId");
    let body = json!({"name": "ci key", "kind": "customized", "projectRoles": {project.as_str(): "admin"}});
    let key = made(&world.owner.post("/v2/apiKeys", body).await, "keyId");
    let (url, _received) = receiver().await;
    let webhook =
        made(&world.owner.post("/v2/webhooks", json!({"url": format!("{url}?secret=x")})).await, "webhookId");
    let cluster = world.register(&project, "own cluster", &server.uri()).await;
    let browser = Browser::of(&world.session);
    let form = format!("/p/{project}/clusters/new");
    let uri = server.uri();
    let fields = [("name", "by hand"), ("address", uri.as_str())];
    let by_hand = seen(&browser.submit(&form, &form, &fields).await);
    let by_hand = by_hand.rsplit('/').next().unwrap().to_owned();
    let entries = world.owner.get("/v2/auditLogs").await.data();
    let named: Vec<_> = entries["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|entry| Some((text(&entry["object"]), entry["objectName"].as_str()?.to_owned())))
        .collect();
    for (id, name) in [
        (&by_hand, "by hand"),
        (&cluster, "own cluster"),
        (&webhook, "127.0.0.1"),
        (&key, "ci key"),
        (&user, HOSTILE),
        (&project, "Search 团队"),
    ] {
        assert!(named.contains(&(id.clone(), name.to_owned())), "{name}: {named:?}");
    }
    let page = browser.page(&format!("/o/{org}/audit")).await;
    for name in ["by hand", "own cluster", "127.0.0.1", "ci key", ESCAPED, "Search 团队"] {
        assert!(page.contains(&format!(">{name}<small><code>")), "{name}: {page}");
    }
    assert!(!page.contains("secret=x") && !page.contains("<b>\""), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_sets_name_and_edition() {
    let world = World::start(Place::sqlite()).await;
    let org = organization(&world).await;
    let (browser, settings) = (Browser::of(&world.session), format!("/o/{org}/settings"));
    let page = browser.page(&settings).await;
    assert!(page.contains("value=\"zilliz-cn\" checked") && page.contains("Upgrade in place"), "{page}");
    let broken = [("name", HOSTILE), ("edition", "own"), ("document", "{\"edition\": \"<b>\"}")];
    let refused = browser.submit(&settings, &settings, &broken).await;
    let shown = refused.text();
    assert_eq!(refused.status, 400);
    assert!(shown.contains("value=\"own\" checked") && shown.contains(ESCAPED), "{shown}");
    assert!(shown.contains("{&#34;edition&#34;: &#34;&#60;b&#62;&#34;}"), "{shown}");
    assert!(browser.page(&settings).await.contains("Default Organization"));

    let global = [("name", HOSTILE), ("edition", "zilliz-global"), ("document", "")];
    assert_eq!(seen(&browser.submit(&settings, &settings, &global).await), settings);
    let page = browser.page(&settings).await;
    assert!(page.contains("value=\"zilliz-global\" checked") && page.contains(ESCAPED), "{page}");
    let about = browser.page("/about").await;
    assert!(about.contains("zilliz-global") && about.contains("Apache-2.0"), "{about}");
    assert!(about.contains(env!("CARGO_PKG_VERSION")) && about.contains("SQLite"), "{about}");
    let own = vecferry_policy::Edition { edition: "ours".to_owned(), ..vecferry_policy::Edition::default() };
    let own = serde_json::to_string(&own).unwrap();
    let own = [("name", "Acme"), ("edition", "own"), ("document", own.as_str())];
    assert_eq!(seen(&browser.submit(&settings, &settings, &own).await), settings);
    let page = browser.page(&settings).await;
    assert!(page.contains("value=\"own\" checked") && page.contains("&#34;ours&#34;"), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organization_shows_its_pages_to_its_own_people_only() {
    let world = World::start(Place::sqlite()).await;
    let org = organization(&world).await;
    let link = world.running.service.add_organization("Other", "Project", "other@example.com").await.unwrap();
    let other = Browser::of(&world.running.client.sign_in_by_link(link.reveal()).await);
    let (_, member) = world.member("bob", "member").await;
    let member = Browser::of(&member);
    for (part, of_member) in [
        ("members", 403),
        ("members/new", 403),
        ("keys", 200),
        ("keys/new", 200),
        ("webhooks", 200),
        ("webhooks/new", 200),
        ("audit", 403),
        ("settings", 403),
    ] {
        let path = format!("/o/{org}/{part}");
        assert_eq!(other.get(&path).await.status, 404, "{path}");
        assert_eq!(member.get(&path).await.status, of_member, "{path}");
    }
    assert_eq!(other.get(&format!("/p/{}/members", world.project_id)).await.status, 404);
    assert_eq!(other.get(&format!("/o/{org}/webhooks/hook-1")).await.status, 404);
}

/// The texts of a page, without its tags and what they hold.
fn texts(page: &str) -> String {
    let body = page.split_once("<main").unwrap().1.split_once("</main>").unwrap().0;
    body.split('<')
        .filter_map(|part| part.split_once('>'))
        .map(|(_, text)| text)
        .collect::<Vec<_>>()
        .join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chinese_pages_are_chinese() {
    let world = World::start(Place::sqlite()).await;
    let org = organization(&world).await;
    let (bob, _) = world.member("bob", "member").await;
    world.give(&world.project_id, &bob, "readOnly").await;
    let chinese = Browser::of(&world.session).chinese();
    let parts = ["members", "members/new", "keys", "keys/new", "webhooks", "webhooks/new", "settings"];
    let pages = parts.map(|part| format!("/o/{org}/{part}"));
    let more = ["/about".to_owned(), format!("/p/{}/members", world.project_id), "/setup/account".to_owned()];
    for path in pages.iter().chain(&more) {
        let page = chinese.page(path).await;
        for line in texts(&page).lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            let is_sentence = words.len() > 4
                && words.iter().all(|word| word.is_ascii() && word.len() > 1)
                && !line.contains("::");
            assert!(!is_sentence, "{path}: {line}");
        }
    }
}
