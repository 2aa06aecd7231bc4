//! What was looked at before a migration's first write.

use serde::Deserialize;
use vecferry_migrate::problem::{Check, CheckId, Outcome};
use vecferry_report::labels;

use super::record::Recorded;
use crate::api::Refusal;
use crate::console::frame::Visit;
use crate::console::show::{Say, Trouble};
use crate::jobs::time;

/// Checks that passed and are shown without being asked for.
const PASSED_SHOWN: usize = 6;

/// A check of both clusters before a migration.
pub(super) struct Checks {
    pub(super) title: &'static str,
    /// When it was made, where that is known.
    pub(super) at: Option<String>,
    /// None where its record can't be read.
    pub(super) found: Option<Found>,
}

/// What a check found.
pub(super) struct Found {
    /// Failures first, then warnings.
    pub(super) first: Vec<CheckLine>,
    /// The others that passed.
    pub(super) rest: Vec<CheckLine>,
    pub(super) failed: usize,
    pub(super) warned: usize,
    pub(super) count: usize,
}

/// A check.
pub(super) struct CheckLine {
    pub(super) tone: &'static str,
    pub(super) sign: &'static str,
    /// The same in a word.
    pub(super) word: &'static str,
    pub(super) name: &'static str,
    pub(super) facts: String,
    pub(super) problems: Vec<Trouble>,
}

/// A plan that was made for a later start holds its checks.
#[derive(Deserialize)]
struct Planned {
    checks: Vec<Check>,
}

impl Checks {
    /// As recorded, the newest first: one at the start, and before it one at the creation where that is for a later start.
    pub(super) async fn read(visit: &Visit, recorded: &Recorded) -> Result<Vec<Self>, Refusal> {
        let (t, record, tables) = (visit.t(), &recorded.record, visit.service.tables());
        let mut all = Vec::new();
        if let Some((text, at_ms)) = tables.checks_of(&record.job_id).await? {
            let title = t.say("Pre-check at the start", "开始时的预检");
            all.push(Self::new(t, title, (at_ms, serde_json::from_str(&text).ok())));
        }
        if record.is_planned {
            let text = tables.plan_of(&record.job_id).await?.unwrap_or_default();
            let checks = serde_json::from_str(&text).ok().map(|Planned { checks }| checks);
            let title = t.say("Pre-check at the creation", "创建时的预检");
            all.push(Self::new(t, title, (Some(record.created_ms), checks)));
        }
        Ok(all)
    }

    fn new(t: Say, title: &'static str, (at_ms, checks): (Option<i64>, Option<Vec<Check>>)) -> Self {
        Self { title, at: at_ms.map(time), found: checks.map(|checks| Found::new(t, checks)) }
    }
}

impl Found {
    fn new(t: Say, mut checks: Vec<Check>) -> Self {
        checks.retain(|check| check.outcome != Outcome::NotApplicable && check.id != CheckId::Role);
        checks.sort_by_key(|check| rank(check.outcome));
        let of = |outcome: Outcome| checks.iter().filter(|check| check.outcome == outcome).count();
        let (failed, warned, count) = (of(Outcome::Fail), of(Outcome::Warn), checks.len());
        let shown = count - of(Outcome::Pass) + PASSED_SHOWN;
        let mut first: Vec<_> = checks.iter().map(|check| CheckLine::new(t, check)).collect();
        let rest = first.split_off(shown.min(count));
        Self { first, rest, failed, warned, count }
    }
}

fn rank(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Fail => 0,
        Outcome::Warn => 1,
        Outcome::Skipped => 2,
        Outcome::Pass => 3,
        Outcome::NotApplicable => 4,
    }
}

impl CheckLine {
    fn new(t: Say, check: &Check) -> Self {
        let (tone, sign, en, zh) = match check.outcome {
            Outcome::Fail => ("bad", "✕", "failed", "未通过"),
            Outcome::Warn => ("caution", "!", "warning", "警告"),
            Outcome::Skipped => ("idle", "–", "not checked", "未检查"),
            Outcome::Pass | Outcome::NotApplicable => ("good", "✓", "passed", "通过"),
        };
        let lang = t.0;
        let facts: Vec<_> = check.facts_in(lang).collect();
        let facts = if check.outcome == Outcome::Skipped && facts.is_empty() {
            labels::check_skipped(lang).to_owned()
        } else {
            facts.join(labels::comma(lang))
        };
        Self {
            tone,
            sign,
            word: lang.pick(en, zh),
            name: labels::check(lang, check.id),
            facts,
            problems: check.problems.iter().map(|problem| Trouble::of(problem, lang)).collect(),
        }
    }
}
