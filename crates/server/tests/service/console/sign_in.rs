//! Who is let in, from the first link on.

use vecferry_server::{OidcSettings, Settings};

use super::{Browser, between, seen};
use crate::client::{PASSWORD, Running, World, settings};
use crate::place::Place;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_link_leads_to_an_account_and_its_project() {
    let place = Place::sqlite();
    let running = Running::start(&place, settings()).await;
    let browser = Browser::of(&running.client);
    assert_eq!(seen(&browser.get("/").await), "/sign-in?next=%2F");
    let link = format!("http://127.0.0.1/setup#{}", running.link.clone().unwrap());
    let arrived = browser.submit("/setup", "/setup", &[("token", &link)]).await;
    assert_eq!(seen(&arrived), "/setup/account");
    let owner = browser.keeping(&arrived);
    assert_eq!(seen(&owner.get("/").await), "/setup/account");
    let account = |password, repeated| {
        [
            ("name", "Li Wei"),
            ("email", "li.wei@example.com"),
            ("organization", "Acme <Search>"),
            ("new_password", password),
            ("repeated_password", repeated),
        ]
    };
    let differing = owner.submit("/setup/account", "/setup/account", &account(PASSWORD, "another")).await;
    assert_eq!(differing.status, 400);
    let text = differing.text();
    // What was typed is kept, and nothing was changed.
    assert!(text.contains("the two passwords differ") && text.contains("value=\"Li Wei\""), "{text}");
    let emptied =
        owner.submit("/setup/account", "/setup/account", &[("name", ""), ("email", "li.wei")]).await;
    let text = emptied.text();
    assert!(
        emptied.status == 400
            && text.contains("name=\"name\" required maxlength=\"64\" autocomplete=\"name\" value=\"\""),
        "{text}"
    );
    let saved = owner.submit("/setup/account", "/setup/account", &account(PASSWORD, PASSWORD)).await;
    // There is nothing to migrate yet: clusters come first.
    let clusters = seen(&saved);
    assert!(clusters.starts_with("/p/proj-") && clusters.ends_with("/clusters"), "{clusters}");
    let projects = seen(&owner.get("/").await);
    let page = owner.page(&projects).await;
    assert!(page.contains("Acme &#60;Search&#62;") && page.contains("Default Project"), "{page}");
    let used = browser.submit("/setup", "/setup", &[("token", &link)]).await;
    assert_eq!(used.status, 401);
    let wrong = [("email", "li.wei@example.com"), ("password", "wrong"), ("next", "/about")];
    let refused = browser.submit("/sign-in", "/sign-in", &wrong).await;
    assert_eq!(refused.status, 401);
    assert!(refused.text().contains("value=\"li.wei@example.com\""), "{}", refused.text());
    let right = [("email", "li.wei@example.com"), ("password", PASSWORD), ("next", "//evil.example/")];
    let signed_in = browser.submit("/sign-in", "/sign-in", &right).await;
    assert_eq!(seen(&signed_in), "/");
    let again = browser.keeping(&signed_in);
    let org = between(&projects, "/o/", "/").unwrap();
    let log = again.page(&format!("/o/{org}/audit")).await;
    // What was refused is in the log with its code.
    assert!(log.contains("href=\"/errors/VF-0821\"") || log.contains("href=\"/errors/VF-0802\""), "{log}");
    assert!(log.contains("Change the account") && !log.contains("Failed ("), "{log}");
    let out = again.submit(&projects, "/sign-out", &[]).await;
    assert_eq!(seen(&out), "/sign-in");
    assert_eq!(again.get(&projects).await.status, 303);
    // A form that is sent too late leads to its page behind the sign-in.
    let late = again.post("/setup/account", &[("name", "Li")]).await;
    assert_eq!(seen(&late), "/sign-in?next=%2Fsetup%2Faccount");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_needs_the_token_of_its_page() {
    let world = World::start(Place::sqlite()).await;
    let browser = Browser::of(&world.session);
    let answer = browser.post("/sign-out", &[("csrf", "guessed")]).await;
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("VF-08"), "{}", answer.text());
    assert_eq!(browser.get("/setup/account").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn language_and_theme_are_kept() {
    let place = Place::sqlite();
    let running = Running::start(&place, settings()).await;
    let browser = Browser::of(&running.client);
    assert!(browser.page("/sign-in").await.contains("<html lang=\"en\""));
    assert!(browser.chinese().page("/sign-in").await.contains("<html lang=\"zh-CN\""));
    let chosen =
        browser.post("/preferences", &[("language", "zh"), ("back", "/sign-in?next=%2Fabout")]).await;
    assert_eq!(seen(&chosen), "/sign-in?next=%2Fabout");
    let browser = browser.keeping(&chosen);
    let browser =
        browser.keeping(&browser.post("/preferences", &[("theme", "dark"), ("back", "//evil")]).await);
    let page = browser.page("/sign-in").await;
    assert!(page.contains("<html lang=\"zh-CN\" data-theme=\"dark\"") && page.contains("登录"), "{page}");
    // Where the system is light, the way back leads to its colors; where it is dark, to light ones.
    let offered = |page: &str| {
        ["in-light", "in-dark"].map(|system| {
            let button = between(page, &format!("plain {system}\" name=\"theme\" value=\""), "\"");
            button.unwrap().to_owned()
        })
    };
    assert_eq!(offered(&page), ["system", "light"]);
    let light = browser.keeping(&browser.post("/preferences", &[("theme", "light")]).await);
    assert_eq!(offered(&light.page("/sign-in").await), ["dark", "system"]);
    let system = browser.keeping(&browser.post("/preferences", &[("theme", "system")]).await);
    assert_eq!(offered(&system.page("/sign-in").await), ["dark", "light"]);
    let absent = browser.get("/nothing/here").await;
    assert_eq!(absent.status, 404);
    assert!(absent.text().contains("页面不存在"), "{}", absent.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codes_are_explained_to_everybody() {
    let place = Place::sqlite();
    let running = Running::start(&place, settings()).await;
    let browser = Browser::of(&running.client.with("cookie", "vecferry_session=vfs_over"));
    let page = browser.page("/errors/VF-0802").await;
    let entry = vecferry_words::Code::NotSignedIn.entry();
    assert!(page.contains("VF-0802") && page.contains("What happened"), "{page}");
    // In both languages, with the hint for whoever uses the service.
    for lang in [vecferry_words::Lang::En, vecferry_words::Lang::Zh] {
        let text = entry.text(lang);
        let told = [text.what, text.hint_on(vecferry_words::Surface::Service)];
        let told = told.map(|told| told.replace('\'', "&#39;"));
        assert!(told.iter().all(|told| page.contains(told)), "{lang:?}: {page}");
    }
    for entry in vecferry_words::CATALOGUE {
        assert_eq!(browser.get(&format!("/errors/{}", entry.code)).await.status, 200, "{}", entry.code);
    }
    let all = browser.chinese().page("/errors").await;
    assert!(all.contains("href=\"/errors/VF-0802\"") && all.contains("错误代码"), "{all}");
    let codes: Vec<_> = all.split("href=\"/errors/VF-").skip(1).map(|rest| &rest[..4]).collect();
    assert!(codes.is_sorted(), "{codes:?}");
    // What is searched for has an address.
    let found = browser.page("/errors?find=vf-0802").await;
    assert!(
        found.contains("value=\"vf-0802\"") && found.matches("\"><a href=\"/errors/VF-").count() == 1,
        "{found}"
    );
    let nothing = browser.page("/errors?find=nothing-like-it").await;
    assert!(nothing.contains("<div class=\"empty\" data-none><p>No code matches."), "{nothing}");
    let absent = browser.get("/errors/VF-9999").await;
    assert_eq!(absent.status, 404);
    assert!(absent.text().contains("VF-9999"), "{}", absent.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browsers_see_a_page_where_a_provider_signs_nobody_in() {
    let place = Place::sqlite();
    let oidc = OidcSettings {
        issuer: "http://127.0.0.1:1".to_owned(),
        client_id: "vecferry".to_owned(),
        client_secret: None,
        redirect_url: format!("http://127.0.0.1:1{}", OidcSettings::CALLBACK),
        email_domains: Vec::new(),
        join: None,
    };
    let running = Running::start(&place, Settings { oidc: Some(oidc), ..settings() }).await;
    let browser = Browser::of(&running.client);
    assert!(browser.page("/sign-in").await.contains("href=\"/v2/session/oidc\""));
    let callback = format!("{}?code=planted&state=planted", OidcSettings::CALLBACK);
    for (path, status) in [("/v2/session/oidc", 503), (callback.as_str(), 401)] {
        let answer = browser.chinese().get(path).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        let page = answer.text();
        assert!(page.contains("未能登录") && page.contains("href=\"/sign-in\""), "{page}");
        assert!(page.contains("href=\"/errors/VF-082") && !page.contains("planted"), "{page}");
    }
    // Programs are answered as ever.
    assert!(running.client.get(&callback).await.code().starts_with("VF-082"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_elsewhere_signs_nobody_in() {
    let place = Place::sqlite();
    let running = Running::start(&place, settings()).await;
    let token = running.link.clone().unwrap();
    for (name, value) in
        [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example"), ("origin", "null")]
    {
        let browser = Browser::of(&running.client.with(name, value));
        let refused = browser.post("/setup", &[("token", &token)]).await;
        assert_eq!((refused.status, refused.header("set-cookie")), (403, ""), "{name}: {value}");
        let fields = [("email", "owner@localhost"), ("password", PASSWORD)];
        assert_eq!(browser.post("/sign-in", &fields).await.status, 403, "{name}: {value}");
    }
    let browser = Browser::of(&running.client);
    assert!(!browser.page("/setup").await.contains("data-link=\"ask\""));
    let arrived = browser.post("/setup", &[("token", &token)]).await;
    let owner = browser.keeping(&arrived);
    // Where somebody is signed in, a link does not put another account in their place by itself.
    assert!(owner.page("/setup").await.contains("data-link=\"ask\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_account_is_not_half_changed() {
    let world = World::start(Place::sqlite()).await;
    let browser = Browser::of(&world.session);
    let weak = [
        ("name", "Changed"),
        ("email", "changed@example.com"),
        ("new_password", "short"),
        ("repeated_password", "short"),
    ];
    let refused = browser.submit("/setup/account", "/setup/account", &weak).await;
    assert_eq!(refused.status, 400);
    let members = world.owner.get("/v2/users").await.data();
    assert_eq!(members[0]["name"], "Owner", "{members:#}");
}
