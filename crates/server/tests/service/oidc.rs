//! Sign-in with a real identity provider.

use std::sync::LazyLock;

use serde_json::{Value, json};
use vecferry_milvus::Secret;
use vecferry_server::{OidcSettings, Service, Settings};
use vecferry_testkit::{IdentityProvider, free_port};

use crate::client::{Answer, Client, World, keyring, settings, text};
use crate::on_both_stores;
use crate::place::{Place, counts, rows};

on_both_stores!(
    a_member_signs_in_and_is_known_by_the_subject_from_then_on,
    who_is_unknown_is_refused_or_joins,
    an_address_that_was_given_to_somebody_else_opens_nothing,
);

/// The provider of all tests, with users of each.
static PROVIDER: LazyLock<IdentityProvider> = LazyLock::new(IdentityProvider::start);

const SECRET: &str = "the secret of the client";

fn oidc(issuer: &str) -> OidcSettings {
    OidcSettings {
        issuer: issuer.to_owned(),
        client_id: "vecferry".to_owned(),
        client_secret: Some(Secret::new(SECRET)),
        redirect_url: format!("http://127.0.0.1:1{}", OidcSettings::CALLBACK),
        email_domains: Vec::new(),
        join: None,
    }
}

fn with_oidc(oidc: OidcSettings) -> Settings {
    Settings { oidc: Some(oidc), ..settings() }
}

async fn world(place: Place) -> World {
    World::with(place, with_oidc(oidc(&PROVIDER.issuer()))).await
}

/// Makes a user of the provider, and returns the subject.
fn user(email: &str, more: Value) -> String {
    let subject = format!("sub-{}", uuid::Uuid::now_v7().simple());
    let mut claims = json!({"email": email, "email_verified": true});
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    PROVIDER.set_user(&subject, &claims);
    subject
}

fn cookies(answer: &Answer) -> Vec<String> {
    answer.headers.get_all("set-cookie").iter().map(|cookie| cookie.to_str().unwrap().to_owned()).collect()
}

/// Begins to sign in: the browser with its cookie, and where it is sent.
async fn begin(world: &World) -> (Client, String) {
    begin_at(world, "/v2/session/oidc").await
}

async fn begin_at(world: &World, address: &str) -> (Client, String) {
    let answer = world.running.client.get(address).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
    (world.running.client.with("cookie", &cookie), answer.header("location").to_owned())
}

/// The path of an address with its query.
fn path(url: &str) -> String {
    url.strip_prefix("http://127.0.0.1:1").unwrap_or_else(|| panic!("{url} is elsewhere")).to_owned()
}

async fn sign_in(world: &World, subject: &str) -> Answer {
    sign_in_from(world, "/v2/session/oidc", subject).await
}

async fn sign_in_from(world: &World, address: &str, subject: &str) -> Answer {
    let (browser, location) = begin_at(world, address).await;
    browser.get(&path(&PROVIDER.authorize(&location, subject))).await
}

/// Signs in, and tells who that is.
async fn signed_in(world: &World, subject: &str) -> Value {
    let answer = sign_in(world, subject).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let cookie = cookies(&answer).remove(0).split(';').next().unwrap().to_owned();
    world.running.client.with("cookie", &cookie).get("/v2/session").await.data()
}

/// A value of a query.
fn value(url: &str, name: &str) -> String {
    let (_, query) = url.split_once('?').unwrap();
    let found = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("no {name} in {url}")).1.to_owned()
}

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, code: &str, detail: (&str, &str)) {
    let told = answer.assert_refused(status, code);
    let problem = &told["problems"][0];
    assert!(text(&problem["message"]).contains(detail.0), "{problem:#}");
    assert!(text(&problem["message_zh"]).contains(detail.1), "{problem:#}");
    assert!(
        cookies(answer).iter().all(|cookie| !cookie.contains("vecferry_session")),
        "{:?}",
        answer.headers
    );
    assert!(!answer.text().contains(SECRET));
}

async fn a_member_signs_in_and_is_known_by_the_subject_from_then_on(place: Place) {
    let world = world(place).await;
    let (user_id, _) = world.member("alice", "member").await;
    let answer = world.running.client.get("/v2/session/oidc").await;
    let location = answer.header("location");
    assert!(location.starts_with(&format!("{}/oauth2/authorize?", PROVIDER.issuer())), "{location}");
    for (name, expected) in [
        ("response_type", "code"),
        ("client_id", "vecferry"),
        ("scope", "openid+email+profile"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(value(location, name), expected);
    }
    assert!(["state", "nonce", "code_challenge"].iter().all(|name| value(location, name).len() == 43));
    let cookie = answer.header("set-cookie");
    for attribute in ["; HttpOnly", "; SameSite=Lax", "; Path=/v2/session/oidc", "; Max-Age=600"] {
        assert!(cookie.starts_with("vecferry_oidc=") && cookie.contains(attribute), "{cookie}");
    }

    let subject = user("Alice@Example.com", json!({}));
    let answer = sign_in(&world, &subject).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains("content=\"0;url=/\""), "{}", answer.text());
    // On to the page that was asked for, and never to another service.
    for (next, opened) in [
        (
            "/p/proj-1/migrations?status=failed%26search=a.b",
            "/p/proj-1/migrations?status=failed&amp;search=a.b",
        ),
        ("/a%22%3E%3Cscript%3E", "/a&quot;&gt;&lt;script&gt;"),
        ("//evil.example", "/"),
    ] {
        let answer = sign_in_from(&world, &format!("/v2/session/oidc?next={next}"), &subject).await;
        assert!(answer.text().contains(&format!("content=\"0;url={opened}\"")), "{}", answer.text());
    }
    let [session, ended] = &cookies(&answer)[..] else { panic!("{:?}", cookies(&answer)) };
    for attribute in ["; HttpOnly", "; SameSite=Lax", "; Path=/", "; Max-Age=43200"] {
        assert!(session.starts_with("vecferry_session=vfs_") && session.contains(attribute), "{session}");
    }
    assert!(ended.starts_with("vecferry_oidc=;") && ended.contains("Max-Age=0"), "{ended}");
    assert_eq!(signed_in(&world, &subject).await["actor"], user_id);
    // Another address is still the same person.
    PROVIDER.set_user(&subject, &json!({"email": "married@example.com", "email_verified": true}));
    assert_eq!(signed_in(&world, &subject).await["actor"], user_id);
    let logged = world.owner.get("/v2/auditLogs").await.data();
    let entry =
        logged["entries"].as_array().unwrap().iter().find(|entry| text(&entry["action"]).contains("oidc"));
    let entry = entry.unwrap_or_else(|| panic!("{logged:#}"));
    assert_eq!(entry["action"], "GET /v2/session/oidc/callback");
    assert_eq!((&entry["actor"], &entry["outcome"]), (&json!(user_id), &json!("done")));
    let recorded = rows(&world.store, "SELECT issuer, subject, user_id FROM identities", &[]).await;
    assert_eq!(recorded.len(), 1);
    let recorded = [0, 1, 2].map(|column| recorded[0].text(column).unwrap());
    assert_eq!(recorded, [PROVIDER.issuer(), subject, user_id]);
}

async fn who_is_unknown_is_refused_or_joins(place: Place) {
    let first = world(place).await;
    let organization = first.owner.get("/v2/organization").await.data();
    let subject = user("carol@example.com", json!({"name": "Carol"}));
    let nobody =
        ("`carol@example.com` cannot sign in to this service: no organization", "没有使用该地址的成员");
    let before = counts(&first.store).await;
    assert_refused(&sign_in(&first, &subject).await, 403, "VF-0822", nobody);
    assert_eq!(counts(&first.store).await, before);

    let mut joining = oidc(&PROVIDER.issuer());
    joining.join = Some(text(&organization["organizationId"]));
    joining.email_domains = vec!["Example.com".to_owned()];
    let world = first.again(with_oidc(joining)).await;
    let session = signed_in(&world, &subject).await;
    assert_eq!(session["organizationRole"], "member");
    assert_eq!(session["projectRoles"], json!({}));
    assert_eq!(signed_in(&world, &subject).await["actor"], session["actor"]);
    let users = world.owner.get("/v2/users").await.data();
    let carol = users.as_array().unwrap().iter().find(|user| user["userId"] == session["actor"]).unwrap();
    assert_eq!((&carol["email"], &carol["name"]), (&json!("carol@example.com"), &json!("Carol")));

    let elsewhere = user("carol@example.com.evil.test", json!({}));
    let domain = ("addresses of this domain may not sign in", "该域名的地址不能通过身份提供方登录");
    assert_refused(&sign_in(&world, &elsewhere).await, 403, "VF-0822", domain);
    // Who was removed does not come back by this way.
    world.owner.delete(&format!("/v2/users/{}", text(&session["actor"]))).await.data();
    assert_refused(&sign_in(&world, &subject).await, 403, "VF-0822", nobody);
    let again = user("carol@example.com", json!({}));
    assert_refused(&sign_in(&world, &again).await, 403, "VF-0822", nobody);
}

async fn an_address_that_was_given_to_somebody_else_opens_nothing(place: Place) {
    let world = world(place).await;
    world.member("bob", "owner").await;
    signed_in(&world, &user("bob@example.com", json!({}))).await;
    let successor = user("bob@example.com", json!({}));
    let before = counts(&world.store).await;
    let detail = ("another user of the identity provider signs in with this address", "另一用户");
    assert_refused(&sign_in(&world, &successor).await, 403, "VF-0822", detail);
    assert_eq!(counts(&world.store).await, before);
}

/// Signs in as a member whose token says something else, which is refused.
async fn refused_with(claims: Value, detail: (&str, &str)) {
    let world = world(Place::sqlite()).await;
    world.member("alice", "member").await;
    let subject = user("alice@example.com", claims);
    let before = counts(&world.store).await;
    assert_refused(&sign_in(&world, &subject).await, 401, "VF-0821", detail);
    assert_eq!(counts(&world.store).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_for_something_else_sign_nobody_in() {
    for (claims, detail) in [
        (json!({"aud": "other"}), ("the ID token is for another client", "ID 令牌不是签发给本服务的")),
        (json!({"iss": "http://127.0.0.1:1"}), ("comes from another issuer", "其他签发方")),
        (json!({"nonce": "other"}), ("is for another sign-in", "不属于本次登录")),
        (json!({"exp": 1_600_000_000}), ("the ID token has expired", "ID 令牌已过期")),
        (json!({"nbf": 4_000_000_000_u64}), ("is not valid yet", "尚未生效")),
        (json!({"email_verified": false}), ("has not verified the e-mail address", "尚未验证该邮箱地址")),
        (json!({"email_verified": null}), ("has not verified the e-mail address", "尚未验证该邮箱地址")),
        (json!({"email": null}), ("gave no e-mail address", "没有提供邮箱地址")),
    ] {
        refused_with(claims, detail).await;
    }
}

const NOT_BEGUN: (&str, &str) =
    ("this browser did not begin it within the last 10 minutes", "没有发起该登录");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_browser_that_began_ends_it() {
    let world = world(Place::sqlite()).await;
    world.member("alice", "member").await;
    let subject = user("alice@example.com", json!({}));
    let before = counts(&world.store).await;
    let (browser, location) = begin(&world).await;
    let (other, _) = begin(&world).await;
    let callback = path(&PROVIDER.authorize(&location, &subject));
    for client in [&world.running.client, &other, &browser.with("cookie", "vecferry_oidc=AAAA")] {
        assert_refused(&client.get(&callback).await, 401, "VF-0821", NOT_BEGUN);
    }
    let state = value(&location, "state");
    let wrong = callback.replace(&state, &"A".repeat(state.len()));
    assert_refused(&browser.get(&wrong).await, 401, "VF-0821", NOT_BEGUN);
    assert_eq!(counts(&world.store).await, before);
    // A session that is over does not stand in the way, and what was begun is still good.
    let cookie = browser.header("cookie");
    let browser = browser.with("cookie", &format!("vecferry_session=vfs_over; {cookie}"));
    assert_eq!(browser.get(&callback).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_provider_refuses_signs_nobody_in() {
    let world = world(Place::sqlite()).await;
    world.member("alice", "member").await;
    let subject = user("alice@example.com", json!({}));
    let (browser, location) = begin(&world).await;
    let callback = path(&PROVIDER.authorize(&location, &subject));
    assert_eq!(browser.get(&callback).await.status, 200);
    let before = counts(&world.store).await;
    let grant = ("the identity provider answered `invalid_grant`", "身份提供方返回 `invalid_grant`");
    assert_refused(&browser.get(&callback).await, 401, "VF-0821", grant);

    // A code that another client was given.
    let (browser, location) = begin(&world).await;
    let elsewhere = location.replace("client_id=vecferry", "client_id=other");
    let callback = path(&PROVIDER.authorize(&elsewhere, &subject));
    assert_refused(&browser.get(&callback).await, 401, "VF-0821", grant);

    let (browser, location) = begin(&world).await;
    let denied = format!(
        "{}?error=access_denied%3Cscript%3E&state={}",
        OidcSettings::CALLBACK,
        value(&location, "state")
    );
    let told = ("answered `access_deniedscript`", "返回 `access_deniedscript`");
    assert_refused(&browser.get(&denied).await, 401, "VF-0821", told);
    let (browser, location) = begin(&world).await;
    let bare = format!("{}?state={}", OidcSettings::CALLBACK, value(&location, "state"));
    assert_refused(&browser.get(&bare).await, 401, "VF-0821", ("answered `no code`", "`no code`"));
    assert_eq!(counts(&world.store).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_are_slowed_down() {
    let world = world(Place::sqlite()).await;
    for _ in 0..5 {
        let answer = world.running.client.get(OidcSettings::CALLBACK).await;
        assert_refused(&answer, 401, "VF-0821", NOT_BEGUN);
    }
    world.running.client.get(OidcSettings::CALLBACK).await.assert_refused(429, "VF-0806");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_away_signs_nobody_in() {
    let issuer = format!("http://127.0.0.1:{}", free_port());
    let world = World::with(Place::sqlite(), with_oidc(oidc(&issuer))).await;
    let answer = world.running.client.get("/v2/session/oidc").await;
    assert_refused(&answer, 503, "VF-0823", ("cannot be used: cannot connect", "无法使用：无法连接"));

    let provider = IdentityProvider::start();
    let world = World::with(Place::sqlite(), with_oidc(oidc(&provider.issuer()))).await;
    world.member("alice", "member").await;
    provider.set_user("alice", &json!({"email": "alice@example.com", "email_verified": true}));
    let (browser, location) = begin(&world).await;
    let callback = path(&provider.authorize(&location, "alice"));
    drop(provider);
    let before = counts(&world.store).await;
    let answer = browser.get(&callback).await;
    assert_refused(&answer, 503, "VF-0823", ("cannot be used: cannot connect", "无法使用：无法连接"));
    assert_eq!(counts(&world.store).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_calls_itself_something_else_is_not_used() {
    let issuer = format!("{}/", PROVIDER.issuer());
    let world = World::with(Place::sqlite(), with_oidc(oidc(&issuer))).await;
    let answer = world.running.client.get("/v2/session/oidc").await;
    assert_refused(
        &answer,
        503,
        "VF-0823",
        ("it calls itself `http://127.0.0.1:", "其自称为 `http://127.0.0.1:"),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_in_a_denied_network_is_not_called() {
    let mut settings = with_oidc(oidc(&PROVIDER.issuer()));
    settings.networks.deny = vec!["127.0.0.0/8".parse().unwrap()];
    let world = World::with(Place::sqlite(), settings).await;
    let answer = world.running.client.get("/v2/session/oidc").await;
    assert_refused(&answer, 503, "VF-0823", ("127.0.0.0/8", "127.0.0.0/8"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_provider_there_is_nothing() {
    let world = World::start(Place::sqlite()).await;
    for path in ["/v2/session/oidc", OidcSettings::CALLBACK] {
        world.running.client.get(path).await.assert_refused(404, "VF-0804");
    }
}

#[tokio::test]
async fn an_organization_to_join_has_to_exist() {
    let place = Place::sqlite();
    let mut joining = oidc("https://id.example.com");
    joining.join = Some("org-unknown".to_owned());
    let opened = Service::open(place.open().await, keyring(&place).await, with_oidc(joining)).await;
    let problem = opened.unwrap_err();
    let told = problem.what(vecferry_migrate::Lang::En);
    assert!(told.contains("`oidc-join`: there is no organization `org-unknown`"), "{told}");
}
