//! Whether a collection arrived: a conclusion from recorded facts. What was not established counts against it, and
//! facts that contradict each other do too. Nothing here asks a server.

use crate::event::Phase;
use crate::problem::{Code, Lang, Problem, Told};
use crate::report::{CollectionReport, CopiedRows, CountedRows, Evidence, JobState, Report};
use crate::request::VerifyLevel;

/// What the facts have to show.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) verify: VerifyLevel,
    /// Writes during the copy are let pass: then the counts of the source need not stay the same.
    pub(super) allow_drift: bool,
    /// Rows of the source end by their time-to-live.
    pub(super) expires: bool,
}

/// What is missing, or does not agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    SourceNotCountedBefore,
    SourceNotCountedAfter,
    CopyUnknown,
    SplitsOpen(u64),
    NotAcknowledged { read: u64, acknowledged: u64 },
    SurplusUnknown,
    Unaccounted { counted: u64, accounted: u64 },
    OutsidePartitions { whole: u64, partitions: u64 },
    TargetNotCounted,
    TargetDiffers { written: u64, counted: u64 },
    NotVerified,
    DefinitionNotCompared,
    NotFinished,
    NotSeenAtEnd,
    SourceNotSeenAtEnd,
}

impl Gap {
    /// For people.
    pub(super) fn text(self, lang: Lang) -> String {
        let (en, zh) = match self {
            Self::SourceNotCountedBefore => {
                ("the source was not counted before the copy".to_owned(), "复制前没有对源集群计数".to_owned())
            }
            Self::SourceNotCountedAfter => {
                ("the source was not counted after the copy".to_owned(), "复制后没有对源集群计数".to_owned())
            }
            Self::CopyUnknown => ("no copy is recorded".to_owned(), "没有复制记录".to_owned()),
            Self::SplitsOpen(open) => {
                (format!("{open} key range(s) are not complete"), format!("{open} 个主键区间尚未完成"))
            }
            Self::NotAcknowledged { read, acknowledged } => (
                format!("{read} rows were read, and {acknowledged} acknowledged or set aside"),
                format!("读取了 {read} 行，确认或隔离了 {acknowledged} 行"),
            ),
            Self::SurplusUnknown => (
                "how many rows the source counts but does not return is unknown".to_owned(),
                "不清楚源集群计数但未返回的行有多少".to_owned(),
            ),
            Self::Unaccounted { counted, accounted } => (
                format!("the source counts {counted} rows, but only {accounted} are accounted for"),
                format!("源集群计数为 {counted} 行，有据可查的为 {accounted} 行"),
            ),
            Self::OutsidePartitions { whole, partitions } => (
                format!("{whole} rows in total, but {partitions} in the listed partitions"),
                format!("总计 {whole} 行，而列出的 Partition 中共 {partitions} 行"),
            ),
            Self::TargetNotCounted => {
                ("the target was not counted".to_owned(), "没有对目标集群计数".to_owned())
            }
            Self::TargetDiffers { written, counted } => (
                format!("{written} rows were written, and the target counts {counted}"),
                format!("写入了 {written} 行，而目标集群计数为 {counted} 行"),
            ),
            Self::NotVerified => ("the verification did not pass".to_owned(), "校验没有通过".to_owned()),
            Self::DefinitionNotCompared => (
                "the definitions were not compared at the end".to_owned(),
                "结束时没有比较 Collection 的定义".to_owned(),
            ),
            Self::NotFinished => {
                ("aliases and properties were not set".to_owned(), "别名和属性没有设置完成".to_owned())
            }
            Self::NotSeenAtEnd => (
                "the target was not checked when the job ended".to_owned(),
                "任务结束时没有检查目标集群".to_owned(),
            ),
            Self::SourceNotSeenAtEnd => (
                "the source was not checked when the job ended".to_owned(),
                "任务结束时没有检查源集群".to_owned(),
            ),
        };
        match lang {
            Lang::En => en,
            Lang::Zh => zh,
        }
    }
}

/// Everything that keeps the facts from showing that a collection arrived; nothing if they show it.
pub(super) fn gaps(evidence: &Evidence, asked: Asked) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut need = |is_there: bool, gap| {
        if !is_there {
            gaps.push(gap);
        }
    };
    need(evidence.source_before.is_some(), Gap::SourceNotCountedBefore);
    need(evidence.source_after.is_some(), Gap::SourceNotCountedAfter);
    need(evidence.copied.is_some(), Gap::CopyUnknown);
    need(evidence.duplicate_rows.is_some() && evidence.unreadable_rows.is_some(), Gap::SurplusUnknown);
    need(evidence.target.is_some() || asked.verify == VerifyLevel::None, Gap::TargetNotCounted);
    need(evidence.verified == Some(asked.verify), Gap::NotVerified);
    need(evidence.definition_compared, Gap::DefinitionNotCompared);
    need(evidence.finished, Gap::NotFinished);
    need(evidence.there_at_end, Gap::NotSeenAtEnd);
    need(evidence.source_looked_at_end, Gap::SourceNotSeenAtEnd);
    if let Some(copied) = evidence.copied {
        gaps.extend(copied_gaps(copied));
        gaps.extend(evidence.target.as_ref().and_then(|target| target_gap(evidence, copied, target)));
        gaps.extend(accounting_gap(evidence, copied, asked));
    }
    for counted in [&evidence.source_before, &evidence.source_after].into_iter().flatten() {
        // Rows that end between two counts make the first one larger.
        if !asked.allow_drift && !asked.expires && counted.whole > counted.sum() {
            gaps.push(Gap::OutsidePartitions { whole: counted.whole, partitions: counted.sum() });
        }
    }
    gaps
}

/// Everything that keeps the facts from showing that a collection was copied while its source could change: that each row
/// that was read is on the target, or named as refused, under the definition of the plan. What the source holds by now, and
/// whether the target holds the same, is no part of it.
fn ready_gaps(evidence: &Evidence) -> Vec<Gap> {
    if evidence.followed_later {
        return Vec::new();
    }
    let needed = [
        (evidence.copied.is_some(), Gap::CopyUnknown),
        (evidence.definition_compared, Gap::DefinitionNotCompared),
        (evidence.there_at_end, Gap::NotSeenAtEnd),
    ];
    let missing = needed.into_iter().filter_map(|(is_there, gap)| (!is_there).then_some(gap));
    missing.chain(evidence.copied.into_iter().flat_map(copied_gaps)).collect()
}

fn copied_gaps(copied: CopiedRows) -> impl Iterator<Item = Gap> {
    let acknowledged = copied.written + copied.set_aside;
    let open = (copied.splits_open > 0).then_some(Gap::SplitsOpen(copied.splits_open));
    let lost =
        (acknowledged != copied.read).then_some(Gap::NotAcknowledged { read: copied.read, acknowledged });
    open.into_iter().chain(lost)
}

/// The target holds what was written, and nothing else.
fn target_gap(evidence: &Evidence, copied: CopiedRows, target: &CountedRows) -> Option<Gap> {
    // milvus-lite counts a key that two partitions hold once in the whole, and in each of them.
    let overlap =
        evidence.source_after.as_ref().map_or(0, |source| source.sum().saturating_sub(source.whole));
    let expected = copied.written.saturating_sub(overlap);
    let differs =
        |counted| (counted != expected).then_some(Gap::TargetDiffers { written: expected, counted });
    differs(target.whole).or_else(|| {
        let counted = target.sum();
        let is_named = !target.partitions.is_empty();
        (is_named && counted != copied.written)
            .then_some(Gap::TargetDiffers { written: copied.written, counted })
    })
}

/// Rows read, duplicates, and rows that no query returns are all that the source counts.
fn accounting_gap(evidence: &Evidence, copied: CopiedRows, asked: Asked) -> Option<Gap> {
    let (before, after) = (evidence.source_before.as_ref()?.sum(), evidence.source_after.as_ref()?.sum());
    let accounted = copied.read + evidence.duplicate_rows? + evidence.unreadable_rows?;
    let (counted, agrees) = if asked.allow_drift {
        let least = before.min(after);
        (least, accounted >= least)
    } else if asked.expires {
        (after, accounted >= after)
    } else {
        (after, accounted == after)
    };
    (!agrees).then_some(Gap::Unaccounted { counted, accounted })
}

/// What has to be shown for a success.
pub(super) enum Shown {
    /// A job: the facts of every planned collection, in the order of the plan.
    Job(Vec<Asked>),
    /// A round that copied while the source could change: so many planned collections. Nothing of it shows that source and
    /// target are equal.
    Ready(usize),
    /// A comparison: that so many pairs of collections were compared, and are equal.
    Comparison(usize),
}

/// The state that the whole job ended in: a success only where the facts show it.
pub(super) fn conclude(report: &mut Report, shown: Shown, canceled: bool) {
    let reached = match shown {
        Shown::Ready(_) => JobState::Ready,
        Shown::Job(_) | Shown::Comparison(_) => JobState::Successful,
    };
    let named = |complete: bool| {
        let names: Vec<_> = report
            .collections
            .iter()
            .filter(|collection| collection.created && (collection.phase == Phase::Done) == complete)
            .map(|collection| format!("{} ({})", collection.target_name(), collection.rows))
            .collect();
        if names.is_empty() { "–".into() } else { Told::items(&names) }
    };
    let all_done = report.collections.iter().all(|collection| collection.phase == Phase::Done);
    if report.problems.is_empty() && canceled && !all_done {
        report.state = JobState::Canceled;
        let problem = Problem::new(Code::Canceled)
            .with("job", &report.job_id)
            .told("complete", named(true))
            .told("incomplete", named(false));
        report.problems.push(problem);
    }
    if report.problems.is_empty() {
        report.problems = match shown {
            Shown::Job(facts) => not_shown(report, &facts),
            Shown::Ready(planned) => not_ready(report, planned),
            Shown::Comparison(pairs) => not_compared(report, pairs),
        };
    }
    if report.state != JobState::Canceled {
        report.state = if report.problems.is_empty() { reached } else { JobState::Failed };
    }
    if report.state != JobState::Successful {
        report.verified = VerifyLevel::None;
    }
}

/// What is not known of the collections of a job, although nothing went wrong.
fn not_shown(report: &Report, facts: &[Asked]) -> Vec<Problem> {
    let of_each = report.collections.iter().zip(facts);
    let gaps: Vec<_> = of_each.map(|(collection, asked)| gaps(&collection.evidence, *asked)).collect();
    missing(report, facts.len(), gaps)
}

/// What a round that copied while the source could change did not come to, although nothing went wrong.
fn not_ready(report: &Report, planned: usize) -> Vec<Problem> {
    let gaps = report.collections.iter().map(|collection| ready_gaps(&collection.evidence)).collect();
    missing(report, planned, gaps)
}

/// The gaps of the collections of a job, and those that are not complete.
fn missing(report: &Report, planned: usize, gaps: Vec<Vec<Gap>>) -> Vec<Problem> {
    let missing = |collection: &str, en: String, zh: String| {
        let problem = Problem::new(Code::EvidenceMissing).with("collection", collection);
        problem.told("detail", Told::both(en, zh)).with("job", &report.job_id)
    };
    let mut problems = Vec::new();
    let done = report.collections.len();
    if done != planned {
        let en = format!("{planned} collections were planned, {done} processed");
        problems.push(missing("*", en, format!("计划了 {planned} 个 Collection，处理了 {done} 个")));
    }
    for (collection, gaps) in report.collections.iter().zip(gaps) {
        let mut texts: Vec<_> = gaps.iter().map(|gap| (gap.text(Lang::En), gap.text(Lang::Zh))).collect();
        if collection.phase != Phase::Done {
            texts.push(("it is not complete".to_owned(), "尚未完成".to_owned()));
        }
        if !texts.is_empty() {
            let (en, zh): (Vec<_>, Vec<_>) = texts.into_iter().unzip();
            problems.push(missing(&collection.source_name().to_string(), en.join("; "), zh.join("；")));
        }
    }
    problems
}

/// Pairs of collections that were not compared, or not found equal, although nothing went wrong.
fn not_compared(report: &Report, pairs: usize) -> Vec<Problem> {
    let is_equal = |collection: &&CollectionReport| {
        collection.verification.as_ref().is_some_and(|verification| verification.passed)
    };
    let equal = report.collections.iter().filter(is_equal).count();
    let problem = || {
        let problem = Problem::new(Code::NotVerified).with("collection", "*");
        let detail = Told::both(
            format!("{equal} of {pairs} collections were compared and are equal"),
            format!("{pairs} 个 Collection 中有 {equal} 个已比对且一致"),
        );
        problem.told("detail", detail)
    };
    if equal == pairs { Vec::new() } else { vec![problem()] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Cluster;
    use crate::plan::Keys;
    use crate::report::JobKind;

    fn report(collections: Vec<CollectionReport>) -> Report {
        let cluster = || Cluster { address: String::new(), version: String::new() };
        Report {
            job_id: "j".into(),
            kind: JobKind::Plain,
            state: JobState::Failed,
            vecferry_version: String::new(),
            source: cluster(),
            target: cluster(),
            started_at: String::new(),
            ended_at: String::new(),
            seconds: 0.0,
            last_attempt_seconds: 0.0,
            attempts: 1,
            verify: VerifyLevel::Sample,
            verified: VerifyLevel::Sample,
            sample_seed: 0,
            rounds: Vec::new(),
            collections,
            rbac: None,
            resource_groups: Some(Vec::new()),
            problems: Vec::new(),
            warnings: Vec::new(),
            estimate: None,
            pace: None,
            quarantine_file: None,
        }
    }

    fn collection(phase: Phase, evidence: Evidence) -> CollectionReport {
        CollectionReport {
            source_db: "default".to_owned(),
            collection: "books".to_owned(),
            target_db: "default".to_owned(),
            phase,
            rows: 8,
            bytes: 0,
            copy_seconds: 0.0,
            seconds: 0.0,
            partitions: Vec::new(),
            verification: None,
            indexes: Vec::new(),
            aliases: Vec::new(),
            changes: Vec::new(),
            loaded: false,
            source_load: None,
            created: true,
            quarantined: 0,
            keys: Keys::Copied,
            drift: None,
            caught_up: None,
            evidence,
        }
    }

    #[test]
    fn a_job_without_problems_is_no_success_before_the_facts_show_it() {
        let done = || collection(Phase::Done, complete());
        for (collections, says) in [
            (vec![done()], ""),
            (vec![], "1 collections were planned, 0 processed"),
            (vec![collection(Phase::Failed, complete())], "it is not complete"),
            (vec![collection(Phase::Canceled, complete())], "it is not complete"),
            (
                vec![collection(Phase::Done, Evidence { finished: false, ..complete() })],
                "`default.books`: not confirmed that everything arrived: aliases and properties were not set",
            ),
        ] {
            let mut report = report(collections);
            conclude(&mut report, Shown::Job(vec![ASKED]), false);
            let problems: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
            if says.is_empty() {
                assert_eq!((report.state, problems.len()), (JobState::Successful, 0), "{problems:?}");
                continue;
            }
            assert_eq!((report.state, report.verified), (JobState::Failed, VerifyLevel::None), "{says}");
            assert_eq!(report.problems[0].code, Code::EvidenceMissing);
            assert!(problems[0].contains(says), "{problems:?}");
        }
    }

    #[test]
    fn a_warm_copy_is_ready_by_what_it_wrote_and_never_a_success() {
        let copied = CopiedRows { splits_open: 0, read: 8, written: 7, set_aside: 1 };
        let facts = || Evidence {
            copied: Some(copied),
            definition_compared: true,
            there_at_end: true,
            ..Evidence::default()
        };
        let concluded = |evidence, planned| {
            let mut report = report(vec![collection(Phase::Done, evidence)]);
            conclude(&mut report, Shown::Ready(planned), false);
            assert_eq!(report.verified, VerifyLevel::None);
            report.state
        };
        assert_eq!(concluded(facts(), 1), JobState::Ready);
        assert_eq!(concluded(Evidence { followed_later: true, ..Evidence::default() }, 1), JobState::Ready);
        // Also where everything was proved: nobody says when the source changed last.
        assert_eq!(concluded(complete(), 1), JobState::Ready);
        assert_eq!(concluded(facts(), 2), JobState::Failed);
        for missing in [
            Evidence { copied: None, ..facts() },
            Evidence { copied: Some(CopiedRows { splits_open: 1, ..copied }), ..facts() },
            Evidence { copied: Some(CopiedRows { written: 6, ..copied }), ..facts() },
            Evidence { definition_compared: false, ..facts() },
            Evidence { there_at_end: false, ..facts() },
        ] {
            assert_eq!(concluded(missing, 1), JobState::Failed);
        }
    }

    #[test]
    fn a_comparison_of_which_a_part_is_missing_is_no_success() {
        let mut nothing = report(Vec::new());
        conclude(&mut nothing, Shown::Comparison(1), false);
        assert_eq!((nothing.state, nothing.problems[0].code), (JobState::Failed, Code::NotVerified));
        let mut unknown = report(vec![collection(Phase::Done, complete())]);
        conclude(&mut unknown, Shown::Comparison(1), false);
        assert_eq!((unknown.state, unknown.problems[0].code), (JobState::Failed, Code::NotVerified));
    }

    const ASKED: Asked = Asked { verify: VerifyLevel::Sample, allow_drift: false, expires: false };

    fn counted(parts: &[(&str, u64)]) -> Option<CountedRows> {
        let partitions = parts.iter().map(|(name, rows)| ((*name).to_owned(), *rows)).collect();
        Some(CountedRows { whole: parts.iter().map(|(_, rows)| rows).sum(), partitions })
    }

    fn complete() -> Evidence {
        Evidence {
            source_before: counted(&[("_default", 7), ("p", 3)]),
            source_after: counted(&[("_default", 7), ("p", 3)]),
            copied: Some(CopiedRows { splits_open: 0, read: 8, written: 8, set_aside: 0 }),
            duplicate_rows: Some(2),
            unreadable_rows: Some(0),
            target: counted(&[("_default", 6), ("p", 2)]),
            verified: Some(VerifyLevel::Sample),
            definition_compared: true,
            finished: true,
            there_at_end: true,
            source_looked_at_end: true,
            followed_later: false,
        }
    }

    #[test]
    fn nothing_known_shows_nothing() {
        let found = gaps(&Evidence::default(), ASKED);
        assert_eq!(found.len(), 10, "{found:?}");
    }

    #[test]
    fn each_fact_that_is_missing_or_contradicts_is_a_gap() {
        assert_eq!(gaps(&complete(), ASKED), []);
        let copied = CopiedRows { splits_open: 0, read: 8, written: 8, set_aside: 0 };
        type Change<'a> = (&'a dyn Fn(&mut Evidence), Gap);
        let changes: [Change<'_>; 15] = [
            (&|facts| facts.source_before = None, Gap::SourceNotCountedBefore),
            (&|facts| facts.source_after = None, Gap::SourceNotCountedAfter),
            (&|facts| facts.copied = None, Gap::CopyUnknown),
            (&|facts| facts.duplicate_rows = None, Gap::SurplusUnknown),
            (&|facts| facts.unreadable_rows = None, Gap::SurplusUnknown),
            (&|facts| facts.target = None, Gap::TargetNotCounted),
            (&|facts| facts.verified = None, Gap::NotVerified),
            (&|facts| facts.verified = Some(VerifyLevel::Count), Gap::NotVerified),
            (&|facts| facts.definition_compared = false, Gap::DefinitionNotCompared),
            (&|facts| facts.finished = false, Gap::NotFinished),
            (&|facts| facts.there_at_end = false, Gap::NotSeenAtEnd),
            (&|facts| facts.source_looked_at_end = false, Gap::SourceNotSeenAtEnd),
            (&|facts| facts.copied = Some(CopiedRows { splits_open: 1, ..copied }), Gap::SplitsOpen(1)),
            (&|facts| facts.duplicate_rows = Some(1), Gap::Unaccounted { counted: 10, accounted: 9 }),
            (
                &|facts| facts.target = counted(&[("_default", 6), ("p", 2), ("somebody's", 50)]),
                Gap::TargetDiffers { written: 8, counted: 58 },
            ),
        ];
        for (change, gap) in changes {
            let mut facts = complete();
            change(&mut facts);
            let found = gaps(&facts, ASKED);
            assert!(found.contains(&gap), "{gap:?} is not in {found:?}");
        }
    }

    #[test]
    fn rows_that_only_the_whole_counts_are_not_passed_over() {
        let mut facts = complete();
        facts.source_after = Some(CountedRows { whole: 787, ..facts.source_after.unwrap() });
        assert_eq!(gaps(&facts, ASKED), [Gap::OutsidePartitions { whole: 787, partitions: 10 }]);
    }

    #[test]
    fn drift_that_is_let_pass_never_hides_rows_that_were_there_all_the_time() {
        let asked = Asked { allow_drift: true, ..ASKED };
        let mut facts = complete();
        facts.source_after = counted(&[("_default", 9), ("p", 13)]);
        assert_eq!(gaps(&facts, asked), []);
        facts.copied = Some(CopiedRows { splits_open: 0, read: 7, written: 7, set_aside: 0 });
        facts.target = counted(&[("_default", 5), ("p", 2)]);
        assert_eq!(gaps(&facts, asked), [Gap::Unaccounted { counted: 10, accounted: 9 }]);
    }

    #[test]
    fn rows_that_ended_by_time_are_no_gap_and_rows_that_came_are() {
        let asked = Asked { expires: true, ..ASKED };
        let mut facts = complete();
        facts.source_after = counted(&[("_default", 4), ("p", 3)]);
        assert_eq!(gaps(&facts, asked), []);
        facts.source_after = counted(&[("_default", 9), ("p", 3)]);
        assert_eq!(gaps(&facts, asked), [Gap::Unaccounted { counted: 12, accounted: 10 }]);
    }

    #[test]
    fn without_verification_every_row_read_must_be_acknowledged() {
        let asked = Asked { verify: VerifyLevel::None, ..ASKED };
        let mut facts = Evidence { target: None, verified: Some(VerifyLevel::None), ..complete() };
        assert_eq!(gaps(&facts, asked), []);
        facts.copied = Some(CopiedRows { splits_open: 0, read: 8, written: 7, set_aside: 0 });
        assert_eq!(gaps(&facts, asked), [Gap::NotAcknowledged { read: 8, acknowledged: 7 }]);
    }

    #[test]
    fn a_key_in_two_partitions_of_milvus_lite_is_counted_once_in_the_whole() {
        let mut facts = complete();
        facts.duplicate_rows = Some(0);
        let both = |whole| Some(CountedRows { whole, ..counted(&[("_default", 5), ("p", 3)]).unwrap() });
        (facts.source_before, facts.source_after, facts.target) = (both(6), both(6), both(6));
        assert_eq!(gaps(&facts, ASKED), []);
        facts.target = both(8);
        assert_eq!(gaps(&facts, ASKED), [Gap::TargetDiffers { written: 6, counted: 8 }]);
    }
}
