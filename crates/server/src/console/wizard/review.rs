//! The last step: what will be done, in words that a person can read aloud, and the start.

use askama::Template;
use vecferry_migrate::{CollectionSummary, VerifyLevel};
use vecferry_report::{figures, labels};
use vecferry_words::Lang;

use super::check::{Checked, Estimate, OptionsShown, State, state};
use super::ways::Ways;
use super::{At, Head, Step, at, request_name};
use crate::api::migrations::of_draft;
use crate::api::{Made, Path, Refusal};
use crate::console::form::Form;
use crate::console::frame::{Frame, Visit};
use crate::console::page::{Shown, page_of_form, see};
use crate::console::show::{Say, Trouble};
use crate::jobs::time;

/// Collections and differences that are listed.
const LISTED_MAX: usize = 200;

/// A collection of the plan.
#[derive(Clone, Debug)]
struct Planned {
    source: String,
    target: String,
    rows: String,
    partitions: usize,
    aliases: String,
    /// The source loads it for the copy.
    needs_load: bool,
}

/// What differs on the target, and why.
#[derive(Clone, Debug)]
struct Difference {
    collection: String,
    what: String,
    source: String,
    target: String,
    why: &'static str,
}

/// A level of the verification.
#[derive(Clone, Debug)]
struct Level {
    name: &'static str,
    title: &'static str,
    text: &'static str,
    is_chosen: bool,
}

/// What was typed.
#[derive(Clone, Debug, Default)]
struct Typed {
    is_later: bool,
    start_local: String,
    has_stopped: bool,
    rate: String,
}

#[derive(Template)]
#[template(path = "wizard_review.html")]
struct ReviewPage {
    frame: Frame,
    t: Say,
    head: Head,
    troubles: Vec<Trouble>,
    version: String,
    checked: String,
    collections: String,
    rows: String,
    planned: Vec<Planned>,
    planned_more: usize,
    new_databases: Vec<String>,
    differences: Vec<Difference>,
    differences_more: usize,
    warnings: Vec<Trouble>,
    estimate: Option<Estimate>,
    levels: Vec<Level>,
    options: OptionsShown,
    options_open: bool,
    keeps_indexes: bool,
    /// Whether the source loads collections for the copy.
    loads_source: bool,
    waits_for_indexes: bool,
    ways: Ways,
    typed: Typed,
}

fn planned(collection: &CollectionSummary, lang: Lang) -> Planned {
    Planned {
        source: collection.collection.clone(),
        target: collection.target.clone(),
        rows: figures::count(collection.rows_estimate),
        partitions: collection.partitions.len(),
        aliases: collection.aliases.join(labels::comma(lang)),
        needs_load: collection.needs_load,
    }
}

fn differences(collection: &CollectionSummary, lang: Lang) -> impl Iterator<Item = Difference> + '_ {
    collection.changes.iter().map(move |change| {
        let [what, source, target] = change.texts(lang).map(|text| text.into_owned());
        Difference {
            collection: collection.target.clone(),
            why: why(&change.what, lang),
            what: setting(&change.what, lang).map_or(what, str::to_owned),
            source,
            target,
        }
    })
}

/// A setting of a collection that a plan names as Milvus does.
fn setting(what: &str, lang: Lang) -> Option<&'static str> {
    match what {
        "shards_num" => Some(lang.pick("number of shards", "Shard 数")),
        "consistency_level" => Some(lang.pick("consistency level", "一致性级别")),
        "num_partitions" => {
            Some(lang.pick("partitions of the partition key", "Partition Key 的 Partition 数"))
        }
        _ => None,
    }
}

/// Why something differs, by what it is.
fn why(what: &str, lang: Lang) -> &'static str {
    if what.starts_with("index on ") {
        return lang.pick(
            "The target picks the index parameters itself; keep the source's under Options.",
            "由目标集群自动选择索引参数；可在“选项”中保留源集群的参数。",
        );
    }
    match what {
        "shards_num" => lang.pick("The target allows no more shards.", "目标集群不允许更多 Shard。"),
        "auto-generated IDs" => lang.pick("As chosen under Options.", "按“选项”中的设置。"),
        _ => lang.pick("The target does not keep it.", "目标集群不保留该设置。"),
    }
}

fn levels(chosen: VerifyLevel, lang: Lang) -> Vec<Level> {
    [VerifyLevel::Full, VerifyLevel::Sample, VerifyLevel::Count, VerifyLevel::None]
        .into_iter()
        .map(|level| Level {
            name: labels::level(level),
            is_chosen: level == chosen,
            title: match level {
                VerifyLevel::None => lang.pick("None", "不校验"),
                VerifyLevel::Count => lang.pick("Row counts", "行数"),
                VerifyLevel::Sample => lang.pick("Row counts and a sample", "行数与抽样"),
                VerifyLevel::Full => lang.pick("Every row", "逐行"),
            },
            text: match level {
                VerifyLevel::None => lang.pick(
                    "Only what was read and acknowledged is counted. Fastest, and least sure.",
                    "仅核对读取与写入确认的行数。最快，但最不可靠。",
                ),
                VerifyLevel::Count => lang.pick(
                    "Exact row counts of each partition are compared.",
                    "逐个 Partition 比对精确行数。",
                ),
                VerifyLevel::Sample => lang.pick(
                    "Row counts, and random rows bit for bit. Recommended.",
                    "比对行数，并逐位比对随机抽取的行。推荐。",
                ),
                VerifyLevel::Full => lang.pick(
                    "Every row is compared bit for bit. It reads everything once more.",
                    "逐位比对每一行，需要再读取一遍全部数据。",
                ),
            },
        })
        .collect()
}

/// Some of a list, and how many are left out.
fn cut<Item>(mut items: Vec<Item>) -> (Vec<Item>, usize) {
    let more = items.len().saturating_sub(LISTED_MAX);
    items.truncate(LISTED_MAX);
    (items, more)
}

fn typed(form: &Form) -> Typed {
    Typed {
        is_later: form.text("when") == "later",
        start_local: form.text("start_local").to_owned(),
        has_stopped: form.has("stopped"),
        rate: form.text("rate").to_owned(),
    }
}

/// The step; after a refusal with what was typed.
pub(super) async fn shown(at: &At, refusal: Option<&Refusal>, form: Option<&Form>) -> Shown {
    let now = at.visit.service.tables().now_ms().await?;
    let State::Done(checked) = state(at, now) else { return at.to(Step::Check) };
    let Checked { ended_ms, plan: Some(plan), .. } = &*checked else { return at.to(Step::Check) };
    let (lang, options) = (at.visit.lang(), &at.draft.options);
    let rows = plan.collections.iter().map(|collection| collection.rows_estimate).sum();
    let differing = plan.collections.iter().flat_map(|collection| differences(collection, lang));
    let (differences, differences_more) = cut(differing.collect());
    let of_plan = plan.collections.iter().map(|collection| planned(collection, lang));
    let (planned, planned_more) = cut(of_plan.collect());
    let page = ReviewPage {
        frame: at.frame().await?,
        t: at.t(),
        head: at.head(Step::Review),
        troubles: at.troubles(refusal),
        version: version(at),
        checked: time(*ended_ms),
        collections: labels::some_collections(lang, plan.collections.len()),
        rows: labels::about_rows(lang, rows),
        planned,
        planned_more,
        new_databases: plan.new_databases.clone(),
        differences,
        differences_more,
        warnings: plan.warnings.iter().map(|problem| Trouble::of(problem, lang)).collect(),
        estimate: Estimate::of(&checked, options.warm, lang),
        ways: Ways::of(options, plan.duration.as_ref(), lang),
        levels: levels(form.and_then(level).unwrap_or(options.verify), lang),
        options: OptionsShown::of(options),
        options_open: false,
        keeps_indexes: options.keep_index_params,
        loads_source: plan.collections.iter().any(|collection| collection.needs_load),
        waits_for_indexes: options.wait_index,
        typed: form.map(typed).unwrap_or_default(),
    };
    page_of_form(refusal, &page)
}

/// The verification that a form asks for.
fn level(form: &Form) -> Option<VerifyLevel> {
    serde_json::from_value(form.text("verify").into()).ok()
}

/// Starts the job, now or at a time. Sent twice it is the same job.
pub(super) async fn start(visit: Visit, Path(path): Path<(String, String)>, form: Form) -> Shown {
    let mut at = match at(visit, path).await? {
        Ok(at) => at,
        Err(elsewhere) => return Ok(elsewhere),
    };
    match started(&mut at, &form).await {
        Ok(shown) => Ok(shown),
        Err(refusal) => shown(&at, Some(&refusal), Some(&form)).await,
    }
}

/// What the page shows: a start of something else, chosen in another tab, is refused.
fn version(at: &At) -> String {
    let run = at.record.check.as_ref().map(|check| check.run.as_str());
    format!("{} {}", at.draft.hash(), run.unwrap_or_default())
}

async fn started(at: &mut At, form: &Form) -> Shown {
    if !super::check::has_passed(at, at.now_ms) {
        return at.to(Step::Check);
    }
    if form.text("of") != version(at) {
        return Err(Refusal::conflict(
            "something was chosen or checked anew since this page was shown; review it once more",
            "此页面显示之后选择或预检已变化；请重新确认",
        ));
    }
    let start_time = start_time(form)?;
    if !at.draft.options.warm && !form.has("stopped") {
        return Err(Refusal::bad_told(
            "writes to the source have to be stopped by the start; check the box that says so",
            "开始前必须停止写入源集群；请勾选相应的确认框",
        ));
    }
    if let Some(level) = level(form) {
        at.draft.options.verify = level;
    }
    let request = at.draft.request(at.access()?.as_ref(), start_time.as_deref());
    let Some(mut request) = request else { return at.to(Step::Target) };
    if let Some(rate) = form.some("rate") {
        request["options"]["maxRate"] = rate.into();
    }
    let (tables, draft_id) = (at.visit.service.tables(), at.record.draft_id.as_str());
    if !tables.begin_start(draft_id, &at.visit.caller.actor.to_string()).await? {
        return Err(Refusal::conflict(
            "this migration is being started; wait a moment",
            "此迁移正在启动，请稍候",
        ));
    }
    match sent(at, request.to_string()).await {
        Ok(made) => {
            let mut response = see(&format!("/p/{}/migrations/{}", at.project.project_id, made.id))?;
            // The audit log names the job.
            response.extensions_mut().insert(made);
            Ok(response)
        }
        Err(refusal) => {
            tables.drop_start(draft_id).await?;
            Err(refusal)
        }
    }
}

async fn sent(at: &At, body: String) -> Result<Made, Refusal> {
    let (visit, draft_id) = (&at.visit, at.record.draft_id.as_str());
    let name = request_name(draft_id);
    Box::pin(of_draft(&visit.service, &visit.caller, body.as_bytes(), (&name, draft_id))).await
}

/// When it starts; none is now. The script of the page sends the time with its zone; without it, what was typed is in UTC.
fn start_time(form: &Form) -> Result<Option<String>, Refusal> {
    if form.text("when") != "later" {
        return Ok(None);
    }
    let typed = || form.some("start_local").map(|local| format!("{local}:00Z"));
    form.some("start_time")
        .or_else(typed)
        .map(Some)
        .ok_or_else(|| Refusal::bad_told("no time of the start is given", "尚未填写开始时间"))
}
