//! Who is let in, from the first link on.

use super::{Browser, seen};
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
    let saved = owner.submit("/setup/account", "/setup/account", &account(PASSWORD, PASSWORD)).await;
    assert_eq!(seen(&saved), "/");
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
    let out = again.submit(&projects, "/sign-out", &[]).await;
    assert_eq!(seen(&out), "/sign-in");
    assert_eq!(again.get(&projects).await.status, 303);
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
    let absent = browser.get("/nothing/here").await;
    assert_eq!(absent.status, 404);
    assert!(absent.text().contains("页面不存在"), "{}", absent.text());
}
