//! Organizations with more projects and clusters than a page shows: each of them can be reached, and a list that is cut says so.

use vecferry_store::{Change, Value};

use super::{Browser, between, seen};
use crate::client::{World, text};
use crate::place::Place;

/// More projects than a form or a page shows.
const MANY: usize = 230;

async fn organization(world: &World) -> String {
    text(&world.owner.get("/v2/organization").await.data()["organizationId"])
}

/// Makes projects that come behind the first one.
async fn many_projects(world: &World, org: &str) {
    let add = |number: usize| {
        let values: [Value; 3] = [team(number).into(), org.into(), format!("Team {number:03}").into()];
        let sql = "INSERT INTO projects (project_id, org_id, name, created_ms) VALUES ($1, $2, $3, 1)";
        Change::new(sql, values)
    };
    world.store.change((0..MANY).map(add).collect()).await.unwrap();
}

/// The ID of one of them.
fn team(number: usize) -> String {
    format!("proj-z{number:031}")
}

/// Registers clusters in a project, without asking them.
async fn many_clusters(world: &World, org: &str, project_id: &str, names: &[String]) {
    let add = |(number, name): (usize, &String)| {
        let values: [Value; 5] = [
            format!("vf-{project_id}-{number:04}").into(),
            org.into(),
            project_id.into(),
            name.into(),
            format!("http://10.0.0.1:{}", 20_000 + number).into(),
        ];
        Change::new(
            "INSERT INTO clusters (cluster_id, org_id, project_id, name, description, address, deployment, region, \
             cu_type, cu_size, status, version, looked_ms, created_ms) \
             VALUES ($1, $2, $3, $4, '', $5, 'self-hosted', '', '', '', 'RUNNING', '2.6.0', 4102444800000, 1)",
            values,
        )
    };
    world.store.change(names.iter().enumerate().map(add).collect()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_sees_the_own_project_behind_many_others() {
    let world = World::start(Place::sqlite()).await;
    let org = organization(&world).await;
    many_projects(&world, &org).await;
    let own = team(MANY - 1);
    many_clusters(&world, &org, &world.project_id, &["other".to_owned()]).await;
    many_clusters(&world, &org, &own, &["own".to_owned()]).await;
    let (bob, session) = world.member("bob", "member").await;
    world.give(&own, &bob, "admin").await;
    world.give(&team(3), &bob, "readOnly").await;
    let listed = session.get("/v2/projects").await.data();
    let ids: Vec<_> = listed.as_array().unwrap().iter().map(|project| text(&project["projectId"])).collect();
    assert_eq!(ids, [team(3), own.clone()]);
    let bob = Browser::of(&session);
    let page = bob.page(&format!("/o/{org}/projects")).await;
    assert!(page.contains("Team 229") && !page.contains("Team 228"), "{page}");
    // The bar leads there from any other project.
    let page = bob.page(&format!("/p/{}/clusters", team(3))).await;
    assert!(page.contains(&format!("href=\"/p/{own}/migrations\"")), "{page}");
    let page = bob.page(&format!("/o/{org}/keys/new")).await;
    assert!(page.contains(&format!("name=\"role-{own}\"")), "{page}");
    assert!(!page.contains(&format!("name=\"role-{}\"", team(3))), "only where Bob may give roles: {page}");
    let page = bob.page(&format!("/o/{org}/webhooks")).await;
    assert!(page.contains(&format!("/o/{org}/webhooks/new")), "{page}");
    let page = bob.page(&format!("/o/{org}/webhooks/new")).await;
    assert!(page.contains(&format!("value=\"{own}\"")), "{page}");
    let draft = seen(&bob.get(&format!("/p/{own}/migrations/new")).await);
    let page = bob.page(&draft).await;
    assert!(page.contains("<b>own</b>") && page.contains("Team 229"), "{page}");
    let owner = Browser::of(&world.session);
    let page = owner.page(&format!("/o/{org}/members")).await;
    assert!(page.contains("Team 229") && page.contains("Team 003"), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_pages_through_projects_and_searches_them() {
    let world = World::start(Place::sqlite()).await;
    let org = organization(&world).await;
    let owner = Browser::of(&world.session);
    let list = format!("/o/{org}/projects");
    let page = owner.page(&list).await;
    assert!(!page.contains("role=\"search\"") && !page.contains("rel=\"next\""), "{page}");
    many_projects(&world, &org).await;
    let (mut pages, mut names, mut address) = (0, 0, list.clone());
    loop {
        let page = owner.page(&address).await;
        pages += 1;
        names += page.matches("<b>Team ").count();
        let Some(next) = between(&page, "rel=\"next\" href=\"?", "\"") else { break };
        address = format!("{list}?{next}");
    }
    assert_eq!((pages, names), (3, MANY));
    let page = owner.page(&format!("{list}?search=team+22")).await;
    assert_eq!(page.matches("<b>Team 22").count(), 10, "{page}");
    assert!(!page.contains("Default Project</b>") && page.contains("value=\"team 22\""), "{page}");
    let page = owner.page(&format!("{list}?search=100%25")).await;
    assert!(page.contains("No project matches."), "{page}");
    // The bar says that it does not list all of them, and the one that is open is in it.
    let page = owner.page(&format!("/p/{}/clusters", team(200))).await;
    let bar = between(&page, "<details class=\"switch\">", "</details>").unwrap();
    assert!(bar.contains("All projects …") && bar.contains("Team 200"), "{bar}");
    let found = world.owner.get("/v2/projects?search=TEAM%20229").await.data();
    assert_eq!(found[0]["projectId"], team(229).as_str());
    let long = format!("/v2/projects?search={}", "x".repeat(201));
    assert_eq!(world.owner.get(&long).await.status, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forms_offer_each_of_many_projects() {
    let world = World::start(Place::sqlite()).await;
    let org = organization(&world).await;
    let owner = Browser::of(&world.session);
    let form = format!("/o/{org}/keys/new");
    assert!(!owner.page(&form).await.contains("role=\"search\""));
    many_projects(&world, &org).await;
    let page = owner.page(&form).await;
    assert!(page.contains("There are more projects than this form shows"), "{page}");
    let role = format!("role-{}", team(229));
    assert!(!page.contains(&role));
    let found = format!("{form}?search=Team+229");
    let page = owner.page(&found).await;
    assert!(page.contains(&role) && !page.contains("There are more projects"), "{page}");
    // What was chosen stays, with the search, where something else is wrong.
    let wrong = [("name", "ci"), ("kind", "customized"), ("days", "many"), (role.as_str(), "readOnly")];
    let refused = owner.submit(&found, &form, &wrong).await;
    let shown = refused.text();
    assert!(refused.status == 400 && shown.contains("value=\"Team 229\""), "{shown}");
    assert!(shown.contains("value=\"readOnly\" selected"), "{shown}");
    let right = [("name", "ci"), ("kind", "customized"), ("days", "9"), (role.as_str(), "readOnly")];
    assert_eq!(owner.submit(&found, &form, &right).await.status, 200);
    assert!(owner.page(&format!("/o/{org}/keys")).await.contains("Team 229"));
    // Nobody gives roles in projects that are not theirs, whatever the form says.
    let (_, session) = world.member("eve", "member").await;
    let eve = Browser::of(&session);
    let stolen = eve.submit(&form, &form, &right).await;
    assert_eq!(stolen.status, 404, "{}", stolen.text());

    let form = format!("/o/{org}/webhooks/new");
    let page = owner.page(&form).await;
    assert!(page.contains("There are more projects") && !page.contains(&team(229)), "{page}");
    let found = format!("{form}?search=Team+229");
    let wrong = [("url", "ftp://x"), ("project", &team(229))];
    let refused = owner.submit(&found, &form, &wrong).await.text();
    assert!(refused.contains(&format!("value=\"{}\" selected", team(229))), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wizard_says_that_not_all_clusters_are_shown() {
    let world = World::start(Place::sqlite()).await;
    let org = organization(&world).await;
    let names: Vec<_> = (0..210).map(|number| format!("c{number:03}")).collect();
    many_clusters(&world, &org, &world.project_id, &names).await;
    let owner = Browser::of(&world.session);
    let draft = seen(&owner.get(&format!("/p/{}/migrations/new", world.project_id)).await);
    let page = owner.page(&draft).await;
    assert!(page.contains("The first 200 of 210 clusters are shown"), "{page}");
    assert!(page.contains("<b>c199</b>") && !page.contains("<b>c200</b>"), "{page}");
    let found = draft.replace("step=source", "step=source&change=source&from=here&find=c205");
    let page = owner.page(&found).await;
    assert!(page.contains("<b>c205</b>") && !page.contains("<b>c100</b>"), "{page}");
    let page = owner.page(&found.replace("c205", "none")).await;
    assert!(page.contains("No cluster matches.") && page.contains("Show all"), "{page}");
    let page = owner.chinese().page(&draft).await;
    assert!(page.contains("共 210 个集群，仅显示前 200 个"), "{page}");
    let page = owner.page(&format!("/p/{}/migrations?status=failed", world.project_id)).await;
    assert!(page.contains("110 more: search by name"), "{page}");
}
