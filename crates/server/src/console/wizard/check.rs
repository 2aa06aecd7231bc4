//! The third step: the pre-check. It runs behind the page, and what it came to is kept for the draft.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::Instrument;
use vecferry_migrate::plan::estimate::DurationEstimate;
use vecferry_migrate::problem::{Check, CheckId, Outcome};
use vecferry_migrate::{Code, PlanSummary, Problem};
use vecferry_report::{figures, labels};
use vecferry_words::{Lang, Told};

use super::ways::Ways;
use super::{At, Head, Step, at};
use crate::access::Caller;
use crate::api::migrations::{CheckOutcome, outcome};
use crate::api::{Path, Refusal};
use crate::console::form::Form;
use crate::console::frame::{Frame, Visit};
use crate::console::page::{Shown, page};
use crate::console::show::{Say, Trouble, took};
use crate::jobs::{Options, time};
use crate::problem::document;
use crate::service::Service;

/// What a check found counts for so long.
const GOOD_MS: i64 = 60 * 60 * 1000;
/// Whether a check is still wanted is looked at so often.
const SUPERSEDED_LOOK: Duration = Duration::from_secs(2);
/// A check takes so long at most, with its wait for a turn.
const CHECK_MAX: Duration = Duration::from_secs(600);
/// A check that tells nothing for so long was left by its process.
const SILENT_MS: i64 = 11 * 60 * 1000;
/// After so long it can be begun again: the process may be gone that made it.
const SLOW_MS: i64 = 60 * 1000;
/// Passed checks that are shown at once.
const PASSED_SHOWN: usize = 4;

/// What a check came to, as it is kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kept {
    /// All checks were made.
    Outcome(CheckOutcome),
    /// It came to none.
    Refused(Vec<Value>),
}

/// The check of a draft as it is now.
pub(super) enum State {
    /// Nothing that was chosen now was checked.
    None,
    Running {
        begun_ms: i64,
        is_slow: bool,
    },
    Refused {
        ended_ms: i64,
        problems: Vec<Problem>,
    },
    Done(Box<Checked>),
}

/// A check that was made.
pub(super) struct Checked {
    pub(super) ended_ms: i64,
    pub(super) checks: Vec<Check>,
    pub(super) refusals: Vec<Problem>,
    pub(super) plan: Option<PlanSummary>,
}

/// The check of what a draft holds now.
pub(super) fn state(at: &At, now_ms: i64) -> State {
    let Some(check) = at.record.check.as_ref().filter(|check| check.of == at.draft.hash()) else {
        return State::None;
    };
    match &check.ended {
        // Clusters change: what was seen long ago is not what will be done.
        Some((ended_ms, _)) if now_ms.saturating_sub(*ended_ms) > GOOD_MS => State::None,
        Some((ended_ms, result)) => ended(*ended_ms, result),
        None if now_ms.saturating_sub(check.begun_ms) > SILENT_MS => {
            State::Refused { ended_ms: now_ms, problems: vec![crate::jobs::stopped()] }
        }
        None => State::Running {
            begun_ms: check.begun_ms,
            is_slow: now_ms.saturating_sub(check.begun_ms) > SLOW_MS,
        },
    }
}

fn ended(ended_ms: i64, result: &str) -> State {
    let unread = |error: &str| {
        tracing::warn!(%error, "the result of a check can't be read");
        let told = Told::both("the stored result can't be read; check again", "无法读取预检结果，请重新检查");
        State::Refused {
            ended_ms,
            problems: vec![Problem::new(Code::ServiceUnavailable).told("detail", told)],
        }
    };
    match serde_json::from_str(result) {
        Ok(Kept::Refused(problems)) => {
            let problems = problems.into_iter().filter_map(|problem| serde_json::from_value(problem).ok());
            State::Refused { ended_ms, problems: problems.collect() }
        }
        Ok(Kept::Outcome(outcome)) => {
            let read = |outcome: CheckOutcome| {
                Ok::<_, serde_json::Error>(Checked {
                    ended_ms,
                    checks: serde_json::from_value(outcome.checks)?,
                    refusals: serde_json::from_value(outcome.refusals)?,
                    plan: outcome.plan.map(serde_json::from_value).transpose()?,
                })
            };
            match read(outcome) {
                Ok(checked) => State::Done(Box::new(checked)),
                Err(error) => unread(&error.to_string()),
            }
        }
        Err(error) => unread(&error.to_string()),
    }
}

/// Whether what was chosen can be started.
pub(super) fn has_passed(at: &At, now_ms: i64) -> bool {
    match state(at, now_ms) {
        State::Done(checked) => checked.plan.is_some(),
        State::None | State::Running { .. } | State::Refused { .. } => false,
    }
}

/// One check on the page.
#[derive(Clone, Debug)]
struct Item {
    title: &'static str,
    facts: String,
    troubles: Vec<Trouble>,
}

impl Item {
    fn of(check: &Check, lang: Lang) -> Self {
        let facts = check.facts_in(lang).filter(|fact| !fact.is_empty());
        Self {
            title: labels::check(lang, check.id),
            facts: facts.collect::<Vec<_>>().join(labels::comma(lang)),
            troubles: check.problems.iter().map(|problem| Trouble::of(problem, lang)).collect(),
        }
    }
}

/// How long it will take, and what room it needs.
#[derive(Clone, Debug)]
pub(super) struct Estimate {
    pub(super) copied: String,
    /// The downtime window behind a warm copy.
    pub(super) window: Option<String>,
    /// Until it can be searched at full speed, where that is known.
    pub(super) searchable: Option<String>,
    pub(super) bytes: String,
    pub(super) capacity: String,
}

impl Estimate {
    pub(super) fn of(checked: &Checked, is_warm: bool, lang: Lang) -> Option<Self> {
        let duration = checked.plan.as_ref()?.duration.as_ref()?;
        let capacity = checked.checks.iter().find(|check| check.id == CheckId::Capacity);
        Some(Self {
            copied: took(lang, duration.seconds),
            window: duration.warm_window_seconds.filter(|_| is_warm).map(|window| took(lang, window)),
            searchable: duration.index_seconds.map(|index| took(lang, duration.seconds + index)),
            bytes: figures::size(duration.bytes),
            capacity: capacity.map(|check| Item::of(check, lang).facts).unwrap_or_default(),
        })
    }
}

/// All checks, as far as they are.
#[derive(Clone, Debug, Default)]
pub(super) struct ChecksShown {
    is_running: bool,
    is_slow: bool,
    is_none: bool,
    begun: String,
    ended: String,
    /// What stands in the way of the whole check.
    troubles: Vec<Trouble>,
    failed: Vec<Item>,
    warned: Vec<Item>,
    passed: Vec<Item>,
    passed_more: Vec<Item>,
    skipped: Vec<&'static str>,
    waiting: Vec<&'static str>,
    estimate: Option<Estimate>,
    can_go_on: bool,
}

impl ChecksShown {
    fn of(state: State, is_warm: bool, lang: Lang) -> Self {
        match state {
            State::None => Self { is_none: true, waiting: titles(lang), ..Self::default() },
            State::Running { begun_ms, is_slow } => Self {
                is_running: true,
                is_slow,
                begun: time(begun_ms),
                waiting: titles(lang),
                ..Self::default()
            },
            State::Refused { ended_ms, problems } => Self {
                ended: time(ended_ms),
                troubles: problems.iter().map(|problem| Trouble::of(problem, lang)).collect(),
                ..Self::default()
            },
            State::Done(checked) => Self::done(&checked, is_warm, lang),
        }
    }

    fn done(checked: &Checked, is_warm: bool, lang: Lang) -> Self {
        let mut shown = Self {
            ended: time(checked.ended_ms),
            estimate: Estimate::of(checked, is_warm, lang),
            can_go_on: checked.plan.is_some(),
            ..Self::default()
        };
        let told = |problem: &Problem| checked.checks.iter().any(|check| check.problems.contains(problem));
        let untold = checked.refusals.iter().filter(|problem| !told(problem));
        shown.troubles = untold.map(|problem| Trouble::of(problem, lang)).collect();
        for check in &checked.checks {
            match check.outcome {
                Outcome::Fail => shown.failed.push(Item::of(check, lang)),
                Outcome::Warn => shown.warned.push(Item::of(check, lang)),
                Outcome::Pass => shown.passed.push(Item::of(check, lang)),
                Outcome::Skipped => shown.skipped.push(labels::check(lang, check.id)),
                Outcome::NotApplicable => {}
            }
        }
        shown.passed_more = shown.passed.split_off(shown.passed.len().min(PASSED_SHOWN));
        shown
    }

    /// How many checks came out how.
    fn summary(&self, t: &Say) -> String {
        let passed = self.passed.len() + self.passed_more.len();
        let warnings = if self.warned.len() == 1 { "{} warning" } else { "{} warnings" };
        let parts = [
            (self.failed.len(), "{} failed", "{} 项未通过"),
            (self.warned.len(), warnings, "{} 项警告"),
            (passed, "{} passed", "{} 项通过"),
        ];
        let parts = parts.into_iter().filter(|(count, ..)| *count > 0);
        parts.map(|(count, en, zh)| t.with(en, zh, count)).collect::<Vec<_>>().join(labels::comma(t.0))
    }

    /// Whether another option is a way out of what failed.
    fn asks_for_options(&self) -> bool {
        let codes = [Code::AutoId, Code::SourceNotLoaded].map(|code| code.to_string());
        self.failed.iter().flat_map(|item| &item.troubles).any(|trouble| codes.contains(&trouble.code))
    }
}

fn titles(lang: Lang) -> Vec<&'static str> {
    CheckId::ALL.into_iter().map(|id| labels::check(lang, id)).collect()
}

#[derive(Template)]
#[template(path = "wizard_check.html")]
struct CheckPage {
    frame: Frame,
    t: Say,
    head: Head,
    checks: ChecksShown,
    ways: Ways,
    options: OptionsShown,
    options_open: bool,
}

#[derive(Template)]
#[template(path = "wizard_checks.html")]
struct ChecksPart {
    t: Say,
    checks: ChecksShown,
}

/// Options by their names, for a form.
#[derive(Clone, Debug)]
pub(super) struct OptionsShown {
    pub(super) auto_id: String,
    pub(super) source_load: String,
    pub(super) wait_index: bool,
    pub(super) keep_index_params: bool,
}

impl OptionsShown {
    pub(super) fn of(options: &Options) -> Self {
        let name = |value: Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            auto_id: name(serde_json::to_value(options.auto_id).unwrap_or_default()),
            source_load: name(serde_json::to_value(options.source_load).unwrap_or_default()),
            wait_index: options.wait_index,
            keep_index_params: options.keep_index_params,
        }
    }
}

/// What the check came to, and both ways as far as it has estimated them.
async fn checks(at: &At) -> Result<(ChecksShown, Ways), Refusal> {
    let (lang, options) = (at.visit.lang(), &at.draft.options);
    let state = state(at, at.visit.service.tables().now_ms().await?);
    let ways = Ways::of(options, estimated(&state), lang);
    Ok((ChecksShown::of(state, options.warm, lang), ways))
}

fn estimated(state: &State) -> Option<&DurationEstimate> {
    match state {
        State::Done(checked) => checked.plan.as_ref()?.duration.as_ref(),
        State::None | State::Running { .. } | State::Refused { .. } => None,
    }
}

/// The step, as far as the check is.
pub(super) async fn shown(at: &At) -> Shown {
    let (checks, ways) = checks(at).await?;
    page(&CheckPage {
        frame: at.frame().await?,
        t: at.t(),
        head: at.head(Step::Check),
        options_open: checks.asks_for_options(),
        checks,
        ways,
        options: OptionsShown::of(&at.draft.options),
    })
}

/// The part of the page that is kept fresh.
pub(super) async fn part(visit: Visit, Path(path): Path<(String, String)>) -> Shown {
    let at = match at(visit, path).await? {
        Ok(at) => at,
        Err(elsewhere) => return Ok(elsewhere),
    };
    page(&ChecksPart { t: at.t(), checks: checks(&at).await?.0 })
}

/// Checks once more.
pub(super) async fn begin(visit: Visit, Path(path): Path<(String, String)>) -> Shown {
    let at = match at(visit, path).await? {
        Ok(at) => at,
        Err(elsewhere) => return Ok(elsewhere),
    };
    begun(&at).await
}

/// Begins a check of what a draft holds now, if none is under way, and goes on to its page.
pub(super) async fn begun(at: &At) -> Shown {
    let tables = at.visit.service.tables();
    if let State::Running { is_slow: false, .. } = state(at, tables.now_ms().await?) {
        return at.to(Step::Check);
    }
    let Some(request) = at.draft.request(at.access()?.as_ref(), None) else { return at.to(Step::Target) };
    let body = request.to_string();
    let draft_id = at.record.draft_id.clone();
    let run = tables.begin_check(&draft_id, &at.draft.hash()).await?;
    let (service, caller) = (Arc::clone(&at.visit.service), Arc::clone(&at.visit.caller));
    let span = tracing::info_span!("check", %draft_id);
    let task = async move {
        let kept = tokio::select! {
            kept = checked(&service, &caller, body) => kept,
            () = superseded(&service, &draft_id, &run) => return,
        };
        let result = serde_json::to_string(&kept).unwrap_or_default();
        if let Err(error) = service.tables().end_check(&draft_id, &run, &result).await {
            tracing::warn!(%error, "what a check came to is not recorded");
        }
    };
    tokio::spawn(task.instrument(span));
    at.to(Step::Check)
}

/// Waits until nobody wants a check any more: its draft is gone, or another check was asked for.
async fn superseded(service: &Service, draft_id: &str, run: &str) {
    loop {
        tokio::time::sleep(SUPERSEDED_LOOK).await;
        // A store that is away says nothing about it.
        if matches!(service.tables().is_current_check(draft_id, run).await, Ok(false)) {
            return;
        }
    }
}

/// Makes the check when it has a turn.
async fn checked(service: &Service, caller: &Caller, body: String) -> Kept {
    let refused = |problem: &Problem| Kept::Refused(vec![document(problem)]);
    let made = Box::pin(async {
        let _permit = service.draft_checks().acquire().await.map_err(Refusal::unavailable)?;
        outcome(service, caller, body.as_bytes()).await
    });
    tokio::select! {
        made = tokio::time::timeout(CHECK_MAX, made) => match made {
            Ok(Ok(outcome)) => Kept::Outcome(outcome),
            Ok(Err(refusal)) => Kept::Refused(refusal.problems().iter().map(document).collect()),
            Err(_) => {
                refused(&crate::watch::silent(CHECK_MAX))
            }
        },
        () = service.stopping().cancelled() => refused(&crate::jobs::stopped()),
    }
}

/// Takes other options, and checks once more with them.
pub(super) async fn change_options(visit: Visit, Path(path): Path<(String, String)>, form: Form) -> Shown {
    let at = match at(visit, path).await? {
        Ok(at) => at,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let named = |field: &str| Value::from(form.text(field));
    let options = Options {
        verify: at.draft.options.verify,
        auto_id: serde_json::from_value(named("auto_id")).unwrap_or(at.draft.options.auto_id),
        source_load: serde_json::from_value(named("source_load")).unwrap_or(at.draft.options.source_load),
        wait_index: form.has("wait_index"),
        keep_index_params: form.has("keep_index_params"),
        ..at.draft.options
    };
    change(at, options).await
}

/// Takes the other way, and checks once more with it.
pub(super) async fn change_way(visit: Visit, Path(path): Path<(String, String)>, form: Form) -> Shown {
    let at = match at(visit, path).await? {
        Ok(at) => at,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let warm = form.text("way") == "warm";
    let options = Options { warm, load_target: warm && form.has("load_target"), ..at.draft.options };
    change(at, options).await
}

async fn change(mut at: At, options: Options) -> Shown {
    if options != at.draft.options {
        at.draft.options = options;
        at.keep().await?;
    }
    begun(&at).await
}
