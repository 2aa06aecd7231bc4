//! A new migration, from its draft to its job.

use serde_json::json;
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::generate::Generated;

use super::{Browser, between, seen};
use crate::client::World;
use crate::flow::{books, server};
use crate::place::{Place, change, counts, eventually, rows};

/// A world with two clusters in it, and the owner's browser.
struct Scene {
    world: World,
    browser: Browser,
    source: StandIn,
    target: StandIn,
    source_id: String,
    target_id: String,
}

impl Scene {
    async fn start() -> Self {
        let world = World::start(Place::sqlite()).await;
        let (source, target) = (server(), server());
        source.add(&books("books"));
        source.add(&books("others"));
        let (source_id, target_id) = world.register_both(&source, &target).await;
        let browser = Browser::of(&world.session);
        Self { world, browser, source, target, source_id, target_id }
    }

    fn project(&self) -> &str {
        &self.world.project_id
    }

    /// A new draft.
    async fn draft(&self, query: &str) -> String {
        let step = seen(&self.browser.get(&format!("/p/{}/migrations/new{query}", self.project())).await);
        step.strip_suffix("?step=source").unwrap().to_owned()
    }

    /// A draft that was checked.
    async fn checked(&self) -> String {
        let draft = self.draft(&format!("?source={}", self.source_id)).await;
        self.choose(&draft, &["50 default.books"]).await;
        self.send(&draft, "target", "target", &[("cluster", &self.target_id), ("databases", "keep")]).await;
        self.over(&draft).await;
        draft
    }

    async fn choose(&self, draft: &str, collections: &[&str]) {
        let fields: Vec<_> = collections.iter().map(|full| ("collection", *full)).collect();
        let next = self.send(draft, "source", "collections", &fields).await;
        assert_eq!(next, format!("{draft}?step=target"));
    }

    /// Sends a form of a step, and tells where it leads.
    async fn send(&self, draft: &str, step: &str, form: &str, fields: &[(&str, &str)]) -> String {
        let (page, action) = (format!("{draft}?step={step}"), format!("{draft}/{form}"));
        seen(&self.browser.submit(&page, &action, fields).await)
    }

    /// Waits for the end of the check, and tells what it came to.
    async fn over(&self, draft: &str) -> String {
        eventually("the check is over", async || {
            let part = self.browser.page(&format!("{draft}/check")).await;
            part.contains("data-over").then_some(part)
        })
        .await
    }

    async fn drafts(&self) -> i64 {
        rows(&self.world.store, "SELECT count(*) FROM drafts", &[]).await[0].integer(0).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_steps_lead_to_a_job() {
    let scene = Scene::start().await;
    let draft = scene.draft("").await;
    assert_eq!(scene.draft("").await, draft, "an empty draft is taken again");
    let page = scene.browser.page(&format!("{draft}?step=source")).await;
    assert!(
        page.contains("Which cluster do you migrate from?") && page.contains("Default Project"),
        "{page}"
    );
    assert!(page.contains("Nothing is written before you start."), "{page}");
    let next = scene.send(&draft, "source", "cluster", &[("cluster", &scene.source_id)]).await;
    assert_eq!(next, format!("{draft}?step=source"));
    let what = scene.browser.page(&next).await;
    assert!(what.contains(&format!("data-live=\"{draft}/collections\" data-now")), "{what}");
    let part = scene.browser.page(&format!("{draft}/collections")).await;
    assert!(part.contains("value=\"50 default.books\"") && part.contains("data-limit=\"10\""), "{part}");
    let listed = scene.browser.page(&format!("{draft}?step=source&list=1")).await;
    assert!(listed.contains("value=\"50 default.others\""), "without scripts: {listed}");
    scene.choose(&draft, &["50 default.books"]).await;
    let target = scene.browser.page(&format!("{draft}?step=target")).await;
    assert!(target.contains("1 collection, about 50 rows"), "{target}");
    // The source itself is a target only for databases with other names.
    assert!(
        target.contains("This is the source itself")
            && target.contains(&format!("value=\"{}\"", scene.source_id)),
        "{target}"
    );
    let fields =
        [("cluster", scene.target_id.as_str()), ("databases", "rename"), ("database default", "library")];
    assert_eq!(scene.send(&draft, "target", "target", &fields).await, format!("{draft}?step=check"));
    let part = scene.over(&draft).await;
    assert!(part.contains("Ready to migrate.") && part.contains("source reachable"), "{part}");
    let check = scene.browser.page(&format!("{draft}?step=check")).await;
    assert!(check.contains(&format!("href=\"{draft}?step=review\"")), "{check}");
    let review = scene.browser.page(&format!("{draft}?step=review")).await;
    assert!(
        review.contains("library.books")
            && review.contains("This copies <b>1 collection</b> with about 50 rows"),
        "{review}"
    );
    // Until here only the draft was written.
    assert_eq!(scene.drafts().await, 1);
    assert!(counts(&scene.world.store).await.contains(&("migrations", 0)));
    let start = [("verify", "full"), ("when", "now"), ("stopped", "1")];
    let job = scene.send(&draft, "review", "start", &start).await;
    let job_id = job.strip_prefix(&format!("/p/{}/migrations/", scene.project())).unwrap().to_owned();
    assert_eq!(scene.drafts().await, 0, "a draft that was started is removed");
    // A second tab, and sending once more, lead to the same job.
    assert_eq!(seen(&scene.browser.get(&format!("{draft}?step=review")).await), job);
    let projects = scene.browser.page(&format!("/o/{}/projects", org_id(&scene).await)).await;
    let csrf = between(&projects, "name=\"csrf\" value=\"", "\"").unwrap().to_owned();
    let again = [("csrf", csrf.as_str()), ("verify", "full"), ("when", "now"), ("stopped", "1")];
    assert_eq!(seen(&scene.browser.post(&format!("{draft}/start"), &again).await), job);
    let done = scene.world.wait_for(&job_id, "SUCCESSFUL").await;
    assert_eq!(done["jobId"], json!(job_id));
    assert_eq!(scene.target.rows("library", "books"), scene.source.rows("default", "books"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_copied_into_another_database_of_its_own() {
    let scene = Scene::start().await;
    let draft = scene.draft(&format!("?source={}", scene.source_id)).await;
    scene.choose(&draft, &["50 default.books"]).await;
    let (page, action) = (format!("{draft}?step=target"), format!("{draft}/target"));
    for name in ["", "default"] {
        let fields =
            [("cluster", scene.source_id.as_str()), ("databases", "rename"), ("database default", name)];
        let refused = scene.browser.submit(&page, &action, &fields).await;
        let text = refused.text();
        assert!(refused.status == 400 && text.contains("VF-0204"), "{name}: {text}");
        assert!(text.contains("or another target database"), "{text}");
        assert!(text.contains(&format!("value=\"{}\" required checked", scene.source_id)), "{text}");
    }
    let keep = [("cluster", scene.source_id.as_str()), ("databases", "keep")];
    assert_eq!(scene.browser.submit(&page, &action, &keep).await.status, 400);
    let rename =
        [("cluster", scene.source_id.as_str()), ("databases", "rename"), ("database default", "copies")];
    assert_eq!(scene.send(&draft, "target", "target", &rename).await, format!("{draft}?step=check"));
    let part = scene.over(&draft).await;
    assert!(part.contains("Ready to migrate."), "{part}");
    let start = [("verify", "full"), ("when", "now"), ("stopped", "1")];
    let job = scene.send(&draft, "review", "start", &start).await;
    scene.world.wait_for(job.rsplit('/').next().unwrap(), "SUCCESSFUL").await;
    assert_eq!(scene.source.rows("copies", "books"), scene.source.rows("default", "books"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_of_which_nothing_is_known_is_not_said_to_run() {
    let scene = Scene::start().await;
    let draft = scene.draft("").await;
    let set = async |trouble: &str| {
        // Nobody looks at it meanwhile.
        let sql = "UPDATE clusters SET status = 'ABNORMAL', trouble = $2, looked_ms = looked_ms + 60000 \
            WHERE cluster_id = $1";
        change(&scene.world.store, sql, &[scene.source_id.as_str().into(), trouble.into()]).await;
    };
    let shown = async |browser: &Browser| {
        let page = browser.page(&format!("{draft}?step=source")).await;
        let choice = page.split("class=\"choice").find(|part| part.contains("<b>source</b>"));
        choice.unwrap().to_owned()
    };
    assert!(shown(&scene.browser).await.contains("chip good\">Running<"));
    // As a later version of the service may have recorded it.
    set(r#"{"code":"VF-9999","values":[]}"#).await;
    let unknown = shown(&scene.browser).await;
    assert!(unknown.contains("chip caution\">Unknown<") && !unknown.contains("Running"), "{unknown}");
    assert!(unknown.contains("the reason can&#39;t be read") && unknown.contains("value="), "{unknown}");
    let chinese = shown(&scene.browser.chinese()).await;
    assert!(chinese.contains("状态未知") && chinese.contains("无法读取原因"), "{chinese}");
    set(r#"{"code":"VF-0104","values":[["side","cluster"],["detail","silence"]]}"#).await;
    let away = shown(&scene.browser).await;
    assert!(away.contains("chip bad\">Not reachable<") && !away.contains("value="), "{away}");
    // It went away after the page was shown, where another one was chosen: that is still there.
    let (page, action) = (format!("{draft}?step=source"), format!("{draft}/cluster"));
    let refused = scene.browser.submit(&page, &action, &[("cluster", &scene.source_id)]).await;
    assert!(refused.status >= 400 && refused.text().contains("VF-0104"), "{}", refused.text());
    set("").await;
    let unknown = scene.browser.submit(&page, &action, &[("cluster", "")]).await;
    assert!(unknown.status == 400 && !unknown.text().contains("required checked"), "{}", unknown.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_switch_can_come_later() {
    let scene = Scene::start().await;
    let draft = scene.checked().await;
    let (check, review) = (format!("{draft}?step=check"), format!("{draft}?step=review"));
    let page = scene.browser.page(&check).await;
    for word in
        ["Copy in one window", "Copy now, switch later", "value=\"plain\" checked", "name=\"load_target\""]
    {
        assert!(page.contains(word), "{word}: {page}");
    }
    assert_eq!(page.matches("downtime window: about ").count(), 2, "both are estimated: {page}");
    let plain = scene.browser.page(&review).await;
    for word in ["name=\"stopped\"", "name=\"verify\"", "downtime window would be about", "?step=check#ways"]
    {
        assert!(plain.contains(word), "{word}: {plain}");
    }
    // The box belongs to the other way.
    scene.send(&draft, "check", "way", &[("way", "plain"), ("load_target", "1")]).await;
    scene.over(&draft).await;
    assert!(!scene.browser.page(&check).await.contains("name=\"load_target\" value=\"1\" checked"));

    assert_eq!(scene.send(&draft, "check", "way", &[("way", "warm"), ("load_target", "1")]).await, check);
    let part = scene.over(&draft).await;
    assert!(part.contains("Ready to migrate.") && part.contains("<dt>Downtime window</dt>"), "{part}");
    let page = scene.browser.page(&check).await;
    assert!(page.contains("value=\"warm\" checked"), "{page}");
    assert!(page.contains("name=\"load_target\" value=\"1\" checked"), "{page}");
    let warm = scene.browser.page(&review).await;
    for word in [
        "while the application goes on writing",
        "The cut-over compares every row",
        "stay loaded on the target",
    ] {
        assert!(warm.contains(word), "{word}: {warm}");
    }
    for word in ["name=\"stopped\"", "name=\"verify\"", "Stop writes to the source before the start"] {
        assert!(!warm.contains(word), "{word}: {warm}");
    }
    for page in [&check, &review] {
        super::migrations::assert_chinese(&scene.browser.chinese().page(page).await);
    }
    let job = scene.send(&draft, "review", "start", &[("when", "now")]).await;
    let job_id = job.rsplit('/').next().unwrap();
    let ready = scene.world.wait_for(job_id, "READY").await;
    assert_eq!(ready["kind"], "warm", "{ready:#}");
    let details = scene.world.owner.get(&format!("/v2/jobs/{job_id}/details")).await.data();
    let options = &details["request"]["options"];
    assert_eq!((&options["verify"], &options["load_target"]), (&json!("full"), &json!(true)), "{details:#}");
    assert!(scene.target.is_loaded("default", "books"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_without_warm_copies_offers_one_window() {
    let scene = Scene::start().await;
    let draft = scene.checked().await;
    let sql = "UPDATE drafts SET check_result = replace(check_result, 'warm_window_seconds', 'x')";
    change(&scene.world.store, sql, &[]).await;
    let page = scene.browser.page(&format!("{draft}?step=check")).await;
    assert!(page.contains("Not possible with this target") && !page.contains("value=\"warm\""), "{page}");
}

async fn org_id(scene: &Scene) -> String {
    let organization = scene.world.owner.get("/v2/organization").await.data();
    organization["organizationId"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_elsewhere_is_tried_and_its_credential_never_shown() {
    let scene = Scene::start().await;
    let draft = scene.draft("").await;
    let page = format!("{draft}?step=source&from=elsewhere");
    let action = format!("{draft}/elsewhere");
    let secret = "root:not-to-be-shown";
    let wrong = [("endpoint", "http://127.0.0.1:1"), ("token", secret), ("certificate", "")];
    let refused = scene.browser.submit(&page, &action, &wrong).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    let text = refused.text();
    assert!(
        text.contains("value=\"http://127.0.0.1:1\"") && text.contains("VF-"),
        "what was typed is kept: {text}"
    );
    assert!(!text.contains(secret), "{text}");
    let uri = scene.source.uri();
    let right = [("endpoint", uri.as_str()), ("token", secret), ("certificate", "")];
    let found = seen(&scene.browser.submit(&page, &action, &right).await);
    let text = scene.browser.page(&found).await;
    for part in ["Milvus 2.6.18", "1 database,", "2 collections", "self-hosted", "stored encrypted"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains(secret), "{text}");
    let kept = rows(&scene.world.store, "SELECT content, secret FROM drafts", &[]).await;
    assert!(!kept[0].text(0).unwrap().contains("not-to-be-shown"));
    let sealed = kept[0].bytes_or_none(1).unwrap().unwrap();
    assert!(!String::from_utf8_lossy(&sealed).contains("not-to-be-shown"));
    let part = scene.browser.page(&format!("{draft}/collections")).await;
    assert!(part.contains("value=\"50 default.books\""), "{part}");
    scene.choose(&draft, &["50 default.books", "50 default.others"]).await;
    scene.send(&draft, "target", "target", &[("cluster", &scene.target_id), ("databases", "keep")]).await;
    assert!(scene.over(&draft).await.contains("Ready to migrate."));
    let start = [("verify", "sample"), ("when", "now"), ("stopped", "1")];
    let job = scene.send(&draft, "review", "start", &start).await;
    scene.world.wait_for(job.rsplit('/').next().unwrap(), "SUCCESSFUL").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_in_the_way_is_told_and_nothing_is_lost() {
    let scene = Scene::start().await;
    scene.target.add(&books("books"));
    let draft = scene.checked().await;
    let part = scene.over(&draft).await;
    assert!(
        part.contains("The migration can&#39;t start yet.") && part.contains("href=\"/errors/VF-02"),
        "{part}"
    );
    let check = scene.browser.page(&format!("{draft}?step=check")).await;
    assert!(check.contains("<button class=\"btn main\" disabled>Review</button>"), "{check}");
    // There is no way around it.
    assert_eq!(
        seen(&scene.browser.get(&format!("{draft}?step=review")).await),
        format!("{draft}?step=check")
    );
    let csrf = between(&check, "name=\"csrf\" value=\"", "\"").unwrap();
    let start = [("csrf", csrf), ("verify", "full"), ("when", "now"), ("stopped", "1")];
    assert_eq!(
        seen(&scene.browser.post(&format!("{draft}/start"), &start).await),
        format!("{draft}?step=check")
    );
    // Another database helps.
    let fields =
        [("cluster", scene.target_id.as_str()), ("databases", "rename"), ("database default", "other")];
    scene.send(&draft, "target", "target", &fields).await;
    assert!(scene.over(&draft).await.contains("Ready to migrate."));
    let bad = [("cluster", scene.target_id.as_str()), ("databases", "rename"), ("database default", "a.*")];
    let refused =
        scene.browser.submit(&format!("{draft}?step=target"), &format!("{draft}/target"), &bad).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("value=\"a.*\""), "{}", refused.text());
    let (review, start) = (format!("{draft}?step=review"), format!("{draft}/start"));
    let unstopped = [("verify", "count"), ("when", "later"), ("start_local", "2031-01-01T10:00")];
    let refused = scene.browser.submit(&review, &start, &unstopped).await;
    assert_eq!(refused.status, 400);
    let text = refused.text();
    assert!(text.contains("value=\"2031-01-01T10:00\""), "{text}");
    assert!(text.contains("name=\"verify\" value=\"count\" checked"), "{text}");
    let late = [unstopped.as_slice(), &[("stopped", "1")]].concat();
    let refused = scene.browser.submit(&review, &start, &late).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("within the next 30 days"), "{}", refused.text());
    // Other options are checked before the start.
    let other = [("auto_id", "keep"), ("source_load", "never"), ("keep_index_params", "1")];
    assert_eq!(scene.send(&draft, "review", "options", &other).await, format!("{draft}?step=check"));
    assert!(scene.over(&draft).await.contains("Ready to migrate."));
    let kept = scene.browser.page(&review).await;
    assert!(kept.contains("Indexes keep the types and parameters of the source."), "{kept}");
    assert_eq!(scene.drafts().await, 1);
    let none =
        scene.browser.submit(&format!("{draft}?step=source"), &format!("{draft}/collections"), &[]).await;
    assert_eq!(none.status, 400);
    let many: Vec<String> = (0..11).map(|number| format!("1 default.c{number}")).collect();
    let many: Vec<_> = many.iter().map(|full| ("collection", full.as_str())).collect();
    let refused =
        scene.browser.submit(&format!("{draft}?step=source"), &format!("{draft}/collections"), &many).await;
    assert_eq!(refused.status, 400);
    let text = refused.text();
    // What the source holds is asked behind the page, which waits for no cluster.
    assert!(
        text.contains("VF-0808") && text.contains(&format!("data-live=\"{draft}/collections\"")),
        "{text}"
    );
    let part = scene.browser.page(&format!("{draft}/collections")).await;
    assert!(
        part.contains("value=\"1 default.c0\" data-rows=\"1\" checked"),
        "what was checked stays: {part}"
    );
    let discarded = scene.send(&draft, "source", "discard", &[]).await;
    assert_eq!(discarded, format!("/p/{}/migrations", scene.project()));
    assert_eq!(scene.browser.get(&format!("{draft}?step=source")).await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_not_is_told_who_may() {
    let scene = Scene::start().await;
    let draft = scene.draft(&format!("?source={}", scene.source_id)).await;
    let (admin_id, admin) = scene.world.member("admin", "member").await;
    scene.world.give(scene.project(), &admin_id, "admin").await;
    let (reader_id, reader) = scene.world.member("reader", "member").await;
    scene.world.give(scene.project(), &reader_id, "readOnly").await;
    let reader = Browser::of(&reader);
    for page in [format!("/p/{}/migrations/new", scene.project()), format!("{draft}?step=source")] {
        let refused = reader.get(&page).await;
        assert_eq!(refused.status, 403, "{page}");
        let text = refused.text();
        assert!(text.contains("Project Admin") && text.contains("<li>admin</li>"), "{text}");
    }
    let page = reader.page("/setup/account").await;
    let csrf = between(&page, "name=\"csrf\" value=\"", "\"").unwrap();
    for form in ["cluster", "elsewhere", "collections", "target", "check", "options", "start", "discard"] {
        let answer = reader.post(&format!("{draft}/{form}"), &[("csrf", csrf)]).await;
        assert_eq!(answer.status, 403, "{form}");
    }
    // A draft is its maker's alone: it may name clusters that others do not see, and holds a credential.
    let admin = Browser::of(&admin);
    assert_eq!(admin.get(&format!("{draft}?step=source")).await.status, 404);
    let own = admin.get(&format!("/p/{}/migrations/new", scene.project())).await;
    assert!(!seen(&own).starts_with(&draft), "{}", seen(&own));
    let (_, outsider) = scene.world.member("outsider", "member").await;
    assert_eq!(Browser::of(&outsider).get(&format!("{draft}?step=source")).await.status, 404);
    let other = scene.world.new_project("Other").await;
    let draft_id = draft.rsplit('/').next().unwrap();
    let elsewhere = format!("/p/{other}/migrations/new/{draft_id}?step=source");
    assert_eq!(scene.browser.get(&elsewhere).await.status, 404);
    let empty = scene.browser.get(&format!("/p/{other}/migrations/new")).await;
    let page = scene.browser.page(&seen(&empty)).await;
    assert!(page.contains("<b>source</b>"), "clusters of other projects are sources: {page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_harmless_and_chinese_pages_are_chinese() {
    let scene = Scene::start().await;
    let nasty = server();
    nasty.add(&Generated { loaded: false, ..books("plain") });
    let id = scene.world.register(scene.project(), "<b>\"&", &nasty.uri()).await;
    let browser = scene.browser.chinese();
    let draft = scene.draft(&format!("?source={id}")).await;
    let page = browser.page(&format!("{draft}?step=source&change=source")).await;
    assert!(page.contains("&#60;b&#62;&#34;&#38;") && !page.contains("<b>\"&"), "{page}");
    scene.choose(&draft, &["50 default.plain"]).await;
    scene.send(&draft, "target", "target", &[("cluster", &scene.target_id), ("databases", "keep")]).await;
    scene.over(&draft).await;
    for step in ["source", "source&list=1", "source&from=elsewhere", "target", "check", "review"] {
        let page = browser.page(&format!("{draft}?step={step}")).await;
        for english in [" the ", " is ", " of ", "Nothing", "Choose", "Back", "rows"] {
            let main = between(&page, "<main", "</main>").unwrap();
            assert!(!visible(main).contains(english), "{step} has {english}: {}", visible(main));
        }
    }
}

/// What stands between the tags.
fn visible(html: &str) -> String {
    html.split('<')
        .filter_map(|part| part.split_once('>'))
        .map(|(_, text)| text)
        .collect::<Vec<_>>()
        .join(" ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_the_page_shows_is_started() {
    let scene = Scene::start().await;
    let draft = scene.checked().await;
    let shown = scene.browser.page(&format!("{draft}?step=review")).await;
    // Another tab chooses otherwise, and that passes its check as well.
    let options = [("auto_id", "keep"), ("source_load", "temporary"), ("keep_index_params", "1")];
    let next = scene.send(&draft, "review", "options", &options).await;
    assert_eq!(next, format!("{draft}?step=check"));
    scene.over(&draft).await;
    let value = |name: &str| between(&shown, &format!("name=\"{name}\" value=\""), "\"").unwrap();
    let stale =
        [("csrf", value("csrf")), ("of", value("of")), ("verify", "full"), ("when", "now"), ("stopped", "1")];
    let refused = scene.browser.post(&format!("{draft}/start"), &stale).await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(refused.text().contains("review it once more"), "{}", refused.text());
    let jobs = scene.world.owner.get("/v2/jobs").await.data();
    assert_eq!(jobs["jobs"].as_array().unwrap().len(), 0, "{jobs:#}");
    let fresh = [("verify", "full"), ("when", "now"), ("stopped", "1")];
    let job = scene.send(&draft, "review", "start", &fresh).await;
    assert!(job.starts_with(&format!("/p/{}/migrations/", scene.project())), "{job}");
}
