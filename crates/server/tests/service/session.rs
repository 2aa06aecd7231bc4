//! Who is let in: links, sessions, passwords and API keys.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vecferry_server::OidcSettings;
use vecferry_testkit::Postgres;

use crate::client::{Answer, Client, PASSWORD, Running, World, settings, text};
use crate::on_both_stores;
use crate::place::{Place, change, counts, eventually, rows};

on_both_stores!(
    the_first_start_gives_one_link_that_works_once,
    a_link_is_over_after_a_day,
    passwords_sign_in_and_nothing_tells_who_is_there,
    failures_are_slowed_down,
    sign_ins_are_in_the_audit_log,
    the_audit_log_takes_so_many_sign_ins,
    an_address_that_shows_many_unknown_keys_has_to_wait,
    trusted_proxies_tell_the_address_of_the_client,
    a_session_ends,
    a_session_needs_its_csrf_token,
    a_cookie_that_is_over_keeps_nobody_from_signing_in,
    a_key_works_until_it_is_over,
    a_key_is_shown_once,
    a_personal_key_follows_its_owner,
    a_customized_key_stays_within_its_projects,
    who_left_can_be_invited_again,
    there_is_always_an_owner,
    callers_are_slowed_down,
);

async fn the_first_start_gives_one_link_that_works_once(place: Place) {
    let first = Running::start(&place, settings()).await;
    let second = Running::start(&place, settings()).await;
    assert!(second.link.is_none());
    let link = first.link.clone().unwrap();
    let by_link = json!({"token": link});
    let answer = second.client.post("/v2/session/link", by_link.clone()).await;
    let session = first.client.with_session_of(&answer);
    assert_eq!(session.get("/v2/session").await.data()["organizationRole"], "owner");
    first.client.post("/v2/session/link", by_link).await.assert_refused(401, "VF-0802");
    for other in ["vfl_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "", "vfl_x"] {
        let answer = first.client.post("/v2/session/link", json!({"token": other})).await;
        answer.assert_refused(401, "VF-0802");
    }
    drop((first, second));
    assert!(Running::start(&place, settings()).await.link.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_start_at_the_same_time_make_one_organization() {
    for _ in 0..3 {
        let place = Place::postgres();
        let starts = (0..4).map(|_| Running::start(&place, settings()));
        let running = futures_util::future::join_all(starts).await;
        assert_eq!(running.iter().filter(|running| running.link.is_some()).count(), 1);
        let store = place.open().await;
        let made: Vec<_> = counts(&store).await.into_iter().filter(|(_, rows)| *rows > 0).collect();
        let one = ["organizations", "users", "members", "projects", "links"];
        assert_eq!(made, one.map(|table| (table, 1)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_signs_in_hears_soon_that_the_store_is_away() {
    let server = Postgres::start();
    let place = Place::postgres_of(&server);
    let mut settings = settings();
    settings.oidc = Some(OidcSettings {
        issuer: "https://id.example.com".into(),
        client_id: "vecferry".into(),
        client_secret: None,
        redirect_url: "https://v.example.com/v2/session/oidc/callback".into(),
        email_domains: Vec::new(),
        join: None,
    });
    let running = Running::start(&place, settings).await;
    let link = json!({"token": running.link.clone().unwrap()});
    server.stop_hard();
    let begun = Instant::now();
    let (password, by_link, oidc, back) = tokio::join!(
        running.client.post("/v2/session", json!({"email": "owner@localhost", "password": PASSWORD})),
        running.client.post("/v2/session/link", link.clone()),
        running.client.get("/v2/session/oidc"),
        running.client.get("/v2/session/oidc/callback?code=c&state=s"),
    );
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    for answer in [password, by_link, oidc, back] {
        answer.assert_refused(503, "VF-0810");
    }
    // The link was not used up.
    server.start_again();
    let mut signed_in = running.client.post("/v2/session/link", link.clone()).await;
    while signed_in.status == 503 {
        signed_in = running.client.post("/v2/session/link", link.clone()).await;
    }
    signed_in.data();
}

async fn a_link_is_over_after_a_day(place: Place) {
    let running = Running::start(&place, settings()).await;
    let store = place.open().await;
    change(&store, "UPDATE links SET expires_ms = expires_ms - $1", &[(24 * 60 * 60 * 1000).into()]).await;
    let by_link = json!({"token": running.link.clone().unwrap()});
    running.client.post("/v2/session/link", by_link).await.assert_refused(401, "VF-0802");
}

/// Sets the first password of the owner.
async fn set_password(session: &Client, password: &str) -> Answer {
    session.put("/v2/session/password", json!({"newPassword": password})).await
}

async fn passwords_sign_in_and_nothing_tells_who_is_there(place: Place) {
    let world = World::start(place).await;
    let nobody = &world.running.client;
    set_password(&world.session, "too short").await.assert_refused(400, "VF-0816");
    // Before one was set, none is right.
    nobody.sign_in("owner@localhost", "").await.assert_refused(401, "VF-0802");
    set_password(&world.session, PASSWORD).await.data();
    let answer = nobody.sign_in(" Owner@LocalHost ", PASSWORD).await;
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("vecferry_session=vfs_"), "{cookie}");
    for attribute in ["; HttpOnly", "; SameSite=Lax", "; Path=/", "; Max-Age=43200"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "{cookie}");
    let again = nobody.with_session_of(&answer);
    assert_eq!(again.get("/v2/session").await.data()["organizationRole"], "owner");
    let told = |answer: &Answer| {
        let mut told = answer.assert_refused(401, "VF-0802");
        assert!(told["requestId"].is_string(), "{told}");
        told["requestId"] = Value::Null;
        told
    };
    let wrong = nobody.sign_in("owner@localhost", "another battery staple").await;
    let unknown = nobody.sign_in("nobody@localhost", "another battery staple").await;
    assert_eq!(told(&wrong), told(&unknown));
    let plain = rows(&world.store, "SELECT password FROM users", &[]).await[0].text(0).unwrap();
    assert!(plain.starts_with("$argon2id$"), "{plain}");
    // With a key nobody locks its owner out.
    set_password(&world.owner, "another battery staple").await.assert_refused(400, "VF-0801");
}

async fn failures_are_slowed_down(place: Place) {
    let world = World::start(place).await;
    let nobody = &world.running.client;
    set_password(&world.session, PASSWORD).await.data();
    for _ in 0..5 {
        nobody.sign_in("owner@localhost", "wrong wrong wrong").await.assert_refused(401, "VF-0802");
    }
    // Not even the right one is tried.
    let answer = nobody.sign_in("owner@localhost", PASSWORD).await;
    answer.assert_refused(429, "VF-0806");
    assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|wait| wait > 0), "{:?}", answer.headers);
}

/// Entries of the audit log about sign-ins, oldest first: actor, action, outcome and address.
async fn sign_ins(world: &World) -> Vec<[String; 4]> {
    let entries = world.owner.get("/v2/auditLogs").await.data();
    let of = |entry: &Value| ["actor", "action", "outcome", "address"].map(|name| text(&entry[name]));
    let entries = entries["entries"].as_array().unwrap().iter().rev().map(of);
    entries.filter(|[_, action, ..]| action.starts_with("POST /v2/session")).collect()
}

async fn sign_ins_are_in_the_audit_log(place: Place) {
    let world = World::start(place).await;
    let nobody = &world.running.client;
    let owner = text(&world.owner.get("/v2/session").await.data()["actor"]);
    let entry =
        |action: &str, outcome: &str| [owner.as_str(), action, outcome, "127.0.0.1"].map(str::to_owned);
    let (by_link, by_password) = ("POST /v2/session/link", "POST /v2/session");
    let mut expected = vec![entry(by_link, "done")];
    assert_eq!(sign_ins(&world).await, expected);
    set_password(&world.session, PASSWORD).await.data();
    nobody.sign_in("Owner@localhost", PASSWORD).await.data();
    expected.push(entry(by_password, "done"));
    assert_eq!(sign_ins(&world).await, expected);

    nobody.sign_in("owner@localhost", "wrong wrong wrong").await.assert_refused(401, "VF-0802");
    expected.push(entry(by_password, "VF-0802"));
    eventually("it is recorded", async || (sign_ins(&world).await == expected).then_some(())).await;
    // People type their password where the address belongs.
    nobody.sign_in("nobody-planted@localhost", "wrong wrong wrong").await.assert_refused(401, "VF-0802");
    let wrong = json!({"token": "vfl_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"});
    nobody.post("/v2/session/link", wrong).await.assert_refused(401, "VF-0802");
    nobody.post("/v2/session", json!({"email": "owner@localhost"})).await.assert_refused(400, "VF-0801");
    // What is recorded behind an answer would be there by then.
    nobody.sign_in("owner@localhost", PASSWORD).await.data();
    expected.push(entry(by_password, "done"));
    assert_eq!(sign_ins(&world).await, expected);
    let sql = "SELECT actor, action, object, outcome, address, request_id FROM audit";
    for record in rows(&world.store, sql, &[]).await {
        for column in 0..6 {
            assert!(!record.text(column).unwrap().contains("planted"));
        }
    }
    // Who may read it is an owner of the organization.
    let service = &world.running.service;
    let link = service.add_organization("Other", "Other Project", "other@localhost").await.unwrap();
    let other = nobody.sign_in_by_link(link.reveal()).await;
    let theirs = other.get("/v2/auditLogs").await.data();
    assert_eq!(theirs["entries"].as_array().unwrap().len(), 1, "{theirs:#}");
    assert_eq!(sign_ins(&world).await, expected);
}

async fn the_audit_log_takes_so_many_sign_ins(place: Place) {
    let world = World::start(place).await;
    let nobody = &world.running.client;
    set_password(&world.session, PASSWORD).await.data();
    let sign_ins = (0..40).map(|_| nobody.sign_in("owner@localhost", PASSWORD));
    for answer in futures_util::future::join_all(sign_ins).await {
        answer.data();
    }
    let sql = "SELECT count(*) FROM audit WHERE action LIKE 'POST /v2/session%'";
    let count = rows(&world.store, sql, &[]).await[0].integer(0).unwrap();
    // One more for each minute that it took.
    assert!((30..35).contains(&count), "{count}");
}

/// A key that nobody has.
fn unknown_key(number: usize) -> String {
    format!("vfk_{number:042}A")
}

async fn an_address_that_shows_many_unknown_keys_has_to_wait(place: Place) {
    let trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let mut settings = vecferry_server::Settings { trusted_proxies, ..vecferry_server::Settings::default() };
    // The limit is reached, and lasts, also where the requests of the test take their time.
    settings.requests.per_second = std::num::NonZeroU32::MIN;
    let world = World::with(place, settings).await;
    let from = |client: &Client, address: &str| client.with("x-forwarded-for", address);
    let (here, there) = ("198.51.100.1", "198.51.100.2");
    let tried = async |number: usize, address: &str| {
        from(&world.running.client.with_key(&unknown_key(number)), address).get("/v2/projects").await
    };
    let mut number = 0;
    let refused = loop {
        let answer = tried(number, here).await;
        if answer.status == 429 {
            break answer;
        }
        answer.assert_refused(401, "VF-0802");
        number += 1;
        assert!(number < 1000);
    };
    assert!((40..100).contains(&number), "{number}");
    refused.assert_refused(429, "VF-0806");
    assert_eq!(refused.header("retry-after"), "1");
    let session = world.running.client.with("cookie", &format!("vecferry_session=vfs_{number:042}A"));
    from(&session, here).get("/v2/projects").await.assert_refused(429, "VF-0806");
    let listener = from(&world.running.client.with_key(&unknown_key(number)), here);
    listener.get("/v2/jobs/none/events").await.assert_refused(429, "VF-0806");
    // Neither another address is concerned, nor whoever was let in lately, nor who shows nothing.
    tried(number, there).await.assert_refused(401, "VF-0802");
    from(&world.owner, here).get("/v2/projects").await.data();
    from(&world.session, here).get("/v2/projects").await.data();
    from(&world.running.client, here).get("/healthz").await.data();
}

async fn trusted_proxies_tell_the_address_of_the_client(place: Place) {
    for (trusted, seen) in [(&[][..], "127.0.0.1"), (&["127.0.0.1", "10.0.0.0/8"], "198.51.100.7")] {
        let mut settings = settings();
        settings.trusted_proxies = trusted.iter().map(|network| network.parse().unwrap()).collect();
        let running = Running::start(&place, settings).await;
        let email = format!("{seen}@localhost");
        let link = running.service.add_organization("Org", "Project", &email).await.unwrap();
        let client = running.client.with("x-forwarded-for", "192.0.2.1, 198.51.100.7, 10.1.1.1");
        let answer = client.post("/v2/session/link", json!({"token": link.reveal()})).await;
        let session = client.with_session_of(&answer);
        let entries = session.get("/v2/auditLogs").await.data();
        assert_eq!(entries["entries"][0]["address"], seen, "{entries:#}");
        // Failed sign-ins count by it.
        for _ in 0..5 {
            client.sign_in("nobody@localhost", PASSWORD).await.assert_refused(401, "VF-0802");
        }
        let another = client.with("x-forwarded-for", "198.51.100.8");
        let answer = another.sign_in("somebody@localhost", PASSWORD).await;
        assert_eq!(answer.status, if trusted.is_empty() { 429 } else { 401 }, "{}", answer.text());
        running.end().await;
    }
}

async fn a_session_ends(place: Place) {
    let world = World::start(place).await;
    let nobody = &world.running.client;
    set_password(&world.session, PASSWORD).await.data();
    let second = nobody.with_session_of(&nobody.sign_in("owner@localhost", PASSWORD).await);
    let third = nobody.with_session_of(&nobody.sign_in("owner@localhost", PASSWORD).await);

    let answer = second.delete("/v2/session").await;
    answer.data();
    assert!(answer.header("set-cookie").starts_with("vecferry_session=; "), "{:?}", answer.headers);
    second.get("/v2/session").await.assert_refused(401, "VF-0802");
    third.get("/v2/session").await.data();

    let new = "staple battery horse correct";
    let wrong = json!({"currentPassword": "wrong wrong wrong", "newPassword": new});
    third.put("/v2/session/password", wrong).await.assert_refused(400, "VF-0801");
    set_password(&third, new).await.assert_refused(400, "VF-0801");
    let right = json!({"currentPassword": PASSWORD, "newPassword": new});
    third.put("/v2/session/password", right).await.data();
    third.get("/v2/session").await.data();
    world.session.get("/v2/session").await.assert_refused(401, "VF-0802");
    nobody.sign_in("owner@localhost", PASSWORD).await.assert_refused(401, "VF-0802");
    nobody.sign_in("owner@localhost", new).await.data();

    change(&world.store, "UPDATE sessions SET expires_ms = $1", &[1.into()]).await;
    third.get("/v2/session").await.assert_refused(401, "VF-0802");
}

async fn a_session_needs_its_csrf_token(place: Place) {
    let world = World::start(place).await;
    let (_, other) = world.member("other", "owner").await;
    let of_other = text(&other.get("/v2/session").await.data()["csrfToken"]);
    let before = counts(&world.store).await;
    for session in [
        world.session.without("x-csrf-token"),
        world.session.with("x-csrf-token", ""),
        world.session.with("x-csrf-token", &of_other),
    ] {
        session.get("/v2/projects").await.data();
        let answer = session.post("/v2/projects", json!({"projectName": "forged"})).await;
        let refused = answer.assert_refused(403, "VF-0824");
        let told = "VF-0824: the request does not carry the CSRF token of its session";
        assert!(text(&refused["message"]).starts_with(told), "{refused:#}");
        assert_eq!(refused["code"], 10_824);
        session.delete("/v2/session").await.assert_refused(403, "VF-0824");
    }
    assert_eq!(counts(&world.store).await, before);
    world.session.post("/v2/projects", json!({"projectName": "meant"})).await.data();
}

async fn a_cookie_that_is_over_keeps_nobody_from_signing_in(place: Place) {
    let world = World::start(place).await;
    set_password(&world.session, PASSWORD).await.data();
    // A good one that shows no CSRF token, and one that is over.
    let stale = world.session.without("x-csrf-token");
    stale.sign_in("owner@localhost", PASSWORD).await.data();
    world.session.delete("/v2/session").await.data();
    stale.get("/v2/projects").await.assert_refused(401, "VF-0802");
    stale.sign_in("owner@localhost", PASSWORD).await.data();
}

async fn a_key_works_until_it_is_over(place: Place) {
    let world = World::start(place).await;
    let body = |days: Value| json!({"name": "k", "kind": "personal", "validDays": days});
    for days in [json!(0), json!(3651), json!(-1), json!("9"), json!(1.5)] {
        world.owner.post("/v2/apiKeys", body(days)).await.assert_refused(400, "VF-0801");
    }
    let made = world.owner.post("/v2/apiKeys", body(json!(30))).await.data();
    let (key_id, key) = (text(&made["keyId"]), text(&made["apiKey"]));
    let with_key = world.running.client.with_key(&key);
    with_key.get("/v2/projects").await.data();
    let day = 24 * 60 * 60 * 1000;
    let sql = "UPDATE api_keys SET expires_ms = expires_ms - $2 WHERE key_id = $1";
    change(&world.store, sql, &[(&key_id).into(), (29 * day).into()]).await;
    with_key.get("/v2/projects").await.data();
    change(&world.store, sql, &[(&key_id).into(), day.into()]).await;
    with_key.get("/v2/projects").await.assert_refused(401, "VF-0802");

    let second = world.owner.post("/v2/apiKeys", json!({"name": "k", "kind": "personal"})).await.data();
    let (key_id, key) = (text(&second["keyId"]), text(&second["apiKey"]));
    let with_key = world.running.client.with_key(&key);
    with_key.get("/v2/projects").await.data();
    world.owner.delete(&format!("/v2/apiKeys/{key_id}")).await.data();
    with_key.get("/v2/projects").await.assert_refused(401, "VF-0802");
    world.owner.delete(&format!("/v2/apiKeys/{key_id}")).await.assert_refused(404, "VF-0804");
    for header in [key.as_str(), "Bearer", "Bearer ", "Bearer vfk_x", "Basic dTpw"] {
        let other = world.running.client.with("authorization", header);
        other.get("/v2/projects").await.assert_refused(401, "VF-0802");
    }
}

async fn a_key_is_shown_once(place: Place) {
    let world = World::start(place).await;
    let made = world.owner.post("/v2/apiKeys", json!({"name": "mine", "kind": "personal"})).await.data();
    let key = text(&made["apiKey"]);
    assert!(key.starts_with("vfk_") && key.len() > 40, "{key}");
    let listed = world.owner.get("/v2/apiKeys").await;
    assert!(!listed.text().contains(&key), "{}", listed.text());
    let listed = listed.data();
    let mine = listed.as_array().unwrap().iter().find(|key| key["keyId"] == made["keyId"]).unwrap();
    assert_eq!((mine["name"].as_str(), mine["kind"].as_str()), (Some("mine"), Some("personal")));
    assert!(key.ends_with(mine["ending"].as_str().unwrap()));
    for column in ["hash", "ending", "name"] {
        for record in rows(&world.store, &format!("SELECT {column} FROM api_keys"), &[]).await {
            assert!(!record.text(0).unwrap().contains(&key));
        }
    }
}

async fn a_personal_key_follows_its_owner(place: Place) {
    let world = World::start(place).await;
    let (user_id, session) = world.member("bob", "member").await;
    let key = session.with_new_key(json!({"name": "k", "kind": "personal"})).await;
    let path = format!("/v2/projects/{}", world.project_id);
    key.get(&path).await.assert_refused(404, "VF-0804");
    world.give(&world.project_id, &user_id, "readOnly").await;
    assert_eq!(key.get(&path).await.data()["role"], "readOnly");
    let rename = || key.patch(&path, json!({"projectName": "renamed"}));
    let refused = rename().await.assert_refused(403, "VF-0803");
    let told = text(&refused["message"]);
    assert!(
        told.contains("this request needs the role Project Admin; the role here is Project Read-Only"),
        "{told}"
    );
    world.give(&world.project_id, &user_id, "admin").await;
    rename().await.data();
    world.owner.delete(&format!("{path}/users/{user_id}")).await.data();
    key.get(&path).await.assert_refused(404, "VF-0804");
    let user = format!("/v2/users/{user_id}");
    world.owner.patch(&user, json!({"organizationRole": "owner"})).await.data();
    rename().await.data();
    world.owner.delete(&user).await.data();
    key.get(&path).await.assert_refused(401, "VF-0802");
    session.get("/v2/session").await.assert_refused(401, "VF-0802");
}

async fn a_customized_key_stays_within_its_projects(place: Place) {
    let world = World::start(place).await;
    let (mine, other) = (world.new_project("mine").await, world.new_project("other").await);
    let body = |roles: Value| json!({"name": "k", "kind": "customized", "projectRoles": roles});
    let key = world.owner.with_new_key(body(json!({&mine: "admin"}))).await;
    let projects = key.get("/v2/projects").await.data();
    assert_eq!(projects.as_array().unwrap().len(), 1, "{projects}");
    assert_eq!(projects[0]["projectId"].as_str(), Some(mine.as_str()));
    key.patch(&format!("/v2/projects/{mine}"), json!({"projectName": "renamed"})).await.data();
    key.get(&format!("/v2/projects/{other}")).await.assert_refused(404, "VF-0804");
    key.get("/v2/users").await.assert_refused(403, "VF-0803");
    // It makes no key that may more than itself.
    for roles in [json!({&mine: "admin", &other: "readOnly"}), json!({"proj-none": "readOnly"})] {
        key.post("/v2/apiKeys", body(roles)).await.assert_refused(404, "VF-0804");
    }
    let owner = json!({"name": "k", "kind": "customized", "organizationRole": "owner"});
    key.post("/v2/apiKeys", owner.clone()).await.assert_refused(403, "VF-0803");
    for wrong in [json!({}), json!({&mine: "emperor"})] {
        key.post("/v2/apiKeys", body(wrong)).await.assert_refused(400, "VF-0801");
    }
    let personal = json!({"name": "k", "kind": "personal"});
    key.post("/v2/apiKeys", personal).await.assert_refused(400, "VF-0801");
    let reader = key.with_new_key(body(json!({&mine: "readOnly"}))).await;
    reader.get(&format!("/v2/projects/{mine}")).await.data();
    let whole = world.owner.with_new_key(owner).await;
    whole.get("/v2/users").await.data();
    // With the project goes the right.
    world.owner.delete(&format!("/v2/projects/{mine}")).await.data();
    key.get(&format!("/v2/projects/{mine}")).await.assert_refused(404, "VF-0804");
    assert_eq!(key.get("/v2/projects").await.data(), json!([]));
}

async fn who_left_can_be_invited_again(place: Place) {
    let world = World::start(place).await;
    let (user_id, _) = world.member("bob", "member").await;
    let invitation = json!({"email": "Bob@example.com", "name": "Bob", "organizationRole": "member"});
    world.owner.post("/v2/users", invitation.clone()).await.assert_refused(409, "VF-0805");
    world.owner.delete(&format!("/v2/users/{user_id}")).await.data();
    let invited = world.owner.post("/v2/users", invitation).await.data();
    assert_eq!(invited["userId"].as_str(), Some(user_id.as_str()));
    let session = world.running.client.sign_in_by_link(invited["linkToken"].as_str().unwrap()).await;
    assert_eq!(session.get("/v2/session").await.data()["organizationRole"], "member");
    for wrong in ["bob", "@x", "x@", "a b@c", "a@b@c"] {
        let invitation = json!({"email": wrong, "name": "Bob", "organizationRole": "member"});
        world.owner.post("/v2/users", invitation).await.assert_refused(400, "VF-0801");
    }
    // Another link for who lost the password.
    let again = world.owner.post(&format!("/v2/users/{user_id}/link"), json!({})).await.data();
    world.running.client.sign_in_by_link(again["linkToken"].as_str().unwrap()).await;
}

async fn there_is_always_an_owner(place: Place) {
    let world = World::start(place).await;
    let first = text(&world.owner.get("/v2/session").await.data()["actor"]);
    let member = json!({"organizationRole": "member"});
    let path = format!("/v2/users/{first}");
    world.owner.patch(&path, member.clone()).await.assert_refused(409, "VF-0805");
    world.owner.delete(&path).await.assert_refused(409, "VF-0805");
    // Two who take the role from each other at the same time.
    let (second, other) = world.member("second", "owner").await;
    let owner = json!({"organizationRole": "owner"});
    for _ in 0..10 {
        let (one, two) = (format!("/v2/users/{first}"), format!("/v2/users/{second}"));
        tokio::join!(world.owner.patch(&two, member.clone()), other.patch(&one, member.clone()));
        let sql = "SELECT user_id FROM members WHERE role = 'owner'";
        let owners = rows(&world.store, sql, &[]).await;
        assert_eq!(owners.len(), 1, "one of them was first");
        match owners[0].text(0).unwrap() == first {
            true => world.owner.patch(&two, owner.clone()).await.data(),
            false => other.patch(&one, owner.clone()).await.data(),
        };
    }
}

async fn callers_are_slowed_down(place: Place) {
    let world = World::with(place, vecferry_server::Settings::default()).await;
    let other = world
        .owner
        .with_new_key(json!({"name": "k", "kind": "customized", "organizationRole": "owner"}))
        .await;
    let mut answers = Vec::new();
    for _ in 0..200 {
        let answer = world.owner.get("/v2/session").await;
        if answer.status == 429 {
            answers.push(answer);
            break;
        }
        answer.data();
    }
    let answer = answers.pop().unwrap();
    answer.assert_refused(429, "VF-0806");
    assert_eq!(answer.header("retry-after"), "1");
    // Neither another caller nor another way is concerned.
    other.get("/v2/session").await.data();
    world.owner.get("/v2/clusters").await.data();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_keep_browsers_from_guessing_framing_and_remembering() {
    for is_behind_tls in [false, true] {
        let mut settings = settings();
        settings.is_behind_tls = is_behind_tls;
        let place = Place::sqlite();
        let running = Running::start(&place, settings).await;
        let by_link = json!({"token": running.link.clone().unwrap()});
        let begun = running.client.post("/v2/session/link", by_link).await;
        assert_eq!(begun.header("set-cookie").contains("; Secure"), is_behind_tls);
        let session = running.client.with_session_of(&begun);
        for answer in [
            begun,
            session.get("/v2/projects").await,
            running.client.get("/v2/projects").await,
            running.client.get("/nowhere").await,
            running.client.get("/v2/jobs/none/events").await,
            session.get("/v2/jobs/none/events").await,
            running.client.get("/openapi.json").await,
        ] {
            for (name, value) in [
                ("x-content-type-options", "nosniff"),
                ("x-frame-options", "DENY"),
                ("referrer-policy", "no-referrer"),
                ("cache-control", "no-store"),
            ] {
                assert_eq!(answer.header(name), value, "{}", answer.text());
            }
            let policy = answer.header("content-security-policy");
            assert!(
                policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
                "{policy}"
            );
            let hsts = answer.header("strict-transport-security");
            assert_eq!(!hsts.is_empty(), is_behind_tls, "{hsts}");
            assert_eq!(answer.header("x-request-id").len(), 32, "{:?}", answer.headers);
        }
    }
}
