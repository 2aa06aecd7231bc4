//! The stages of a collection, in the order in which they truly happen: where the target can be loaded without its indexes,
//! they are begun behind the comparison.

use vecferry_migrate::event::Phase;
use vecferry_report::labels;

use crate::console::show::Say;
use crate::outline::Line;

/// A stage of a collection: its mark, and the same in words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stage {
    pub(super) mark: &'static str,
    pub(super) told: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Create,
    Copy,
    Index,
    Verify,
    Finish,
}

/// What comes first behind the copies of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Indexes, as far as is known.
    IndexesFirst,
    /// The comparison.
    ComparisonFirst,
    /// It depends on the collection.
    Mixed,
}

impl Order {
    /// From what is recorded of its collections.
    pub(super) fn of(lines: &[Line]) -> Self {
        let begins_with =
            |comparison: bool| lines.iter().any(|line| line.behind.compares_first() == Some(comparison));
        match (begins_with(true), begins_with(false)) {
            (false, _) => Self::IndexesFirst,
            (true, false) => Self::ComparisonFirst,
            (true, true) => Self::Mixed,
        }
    }

    /// The names of the stages.
    pub(super) fn told(self, t: Say) -> &'static str {
        match self {
            Self::IndexesFirst => {
                t.say("create · copy · index · verify · finish", "创建 · 复制 · 建索引 · 校验 · 完成")
            }
            Self::ComparisonFirst => {
                t.say("create · copy · verify · index · finish", "创建 · 复制 · 校验 · 建索引 · 完成")
            }
            Self::Mixed => {
                t.say("create · copy · index and verify · finish", "创建 · 复制 · 建索引与校验 · 完成")
            }
        }
    }

    /// The stages of one of its collections; one that has begun neither is presumed to go the way of the others.
    fn kinds(self, line: &Line) -> [Kind; 5] {
        let compares_first = line.behind.compares_first().unwrap_or(self == Self::ComparisonFirst);
        match compares_first {
            true => [Kind::Create, Kind::Copy, Kind::Verify, Kind::Index, Kind::Finish],
            false => [Kind::Create, Kind::Copy, Kind::Index, Kind::Verify, Kind::Finish],
        }
    }
}

impl Kind {
    /// The stage that a step belongs to.
    fn of(phase: Phase) -> Self {
        match phase {
            Phase::Waiting | Phase::LoadingSource | Phase::Creating => Self::Create,
            Phase::Copying | Phase::Flushing => Self::Copy,
            Phase::Indexing => Self::Index,
            Phase::Verifying => Self::Verify,
            Phase::Done | Phase::Failed | Phase::Canceled => Self::Finish,
        }
    }

    fn name(self, t: Say) -> &'static str {
        match self {
            Self::Create => t.say("create", "创建"),
            Self::Copy => t.say("copy", "复制"),
            Self::Index => t.say("index", "建索引"),
            Self::Verify => t.say("verify", "校验"),
            Self::Finish => t.say("finish", "完成"),
        }
    }

    /// Whether a collection that is in another stage has this one behind it.
    fn is_behind(self, line: &Line) -> bool {
        match self {
            Self::Create => true,
            Self::Copy => Self::of(line.reached) != Self::Create,
            Self::Index => line.behind.is_indexed(),
            Self::Verify => line.behind.is_compared(),
            Self::Finish => false,
        }
    }

    /// Whether a collection that is complete did without it.
    fn was_left_out(self, line: &Line) -> bool {
        let is_compared = || line.done.as_ref().is_some_and(|done| done.verification.is_some());
        self == Self::Verify && !line.behind.is_compared() && !is_compared()
    }
}

/// The stages of a collection.
pub(super) fn stages(t: Say, line: &Line, order: Order) -> Vec<Stage> {
    let stage = |kind: Kind| {
        let (mark, word) = state(t, line, kind);
        Stage { mark, told: format!("{}{}{word}", kind.name(t), labels::colon(t.0)) }
    };
    order.kinds(line).into_iter().map(stage).collect()
}

/// The stages of a collection of a job that is ready: it was copied, and is compared by the cut-over.
pub(super) fn stages_of_copied(t: Say, line: &Line, order: Order) -> Vec<Stage> {
    let stage = |kind: Kind| {
        let (mark, word) = match kind {
            Kind::Create | Kind::Copy | Kind::Index => ("d", t.say("done", "已完成")),
            Kind::Verify | Kind::Finish => ("w", t.say("waiting", "等待中")),
        };
        Stage { mark, told: format!("{}{}{word}", kind.name(t), labels::colon(t.0)) }
    };
    order.kinds(line).into_iter().map(stage).collect()
}

fn state(t: Say, line: &Line, kind: Kind) -> (&'static str, &'static str) {
    let done = ("d", t.say("done", "已完成"));
    let waiting = ("w", t.say("waiting", "等待中"));
    let is_here = Kind::of(line.reached) == kind;
    match line.phase {
        Phase::Done if kind.was_left_out(line) => ("w", t.say("not requested", "未要求")),
        Phase::Done => done,
        Phase::Failed if is_here => ("x", labels::phase(t.0, line.phase)),
        Phase::Canceled if is_here => ("c", labels::phase(t.0, line.phase)),
        Phase::Waiting => waiting,
        Phase::LoadingSource
        | Phase::Creating
        | Phase::Copying
        | Phase::Flushing
        | Phase::Indexing
        | Phase::Verifying
            if is_here =>
        {
            ("n", t.say("in progress", "进行中"))
        }
        Phase::LoadingSource
        | Phase::Creating
        | Phase::Copying
        | Phase::Flushing
        | Phase::Indexing
        | Phase::Verifying
        | Phase::Failed
        | Phase::Canceled => match kind.is_behind(line) {
            true => done,
            false => waiting,
        },
    }
}

#[cfg(test)]
mod tests {
    use vecferry_store::Position;
    use vecferry_words::Lang;

    use super::*;
    use crate::outline::Behind;

    /// A collection that entered these steps one after the other.
    fn entered(phases: &[Phase]) -> Line {
        let mut line = Line {
            position: Position(0),
            name: "default.books".into(),
            target: "default.books".into(),
            phase: Phase::Waiting,
            reached: Phase::Waiting,
            behind: Behind::default(),
            rows: 0,
            rows_total: 1,
            bytes: 0,
            worked_seconds: 0.0,
            done: None,
        };
        for phase in phases.iter().copied() {
            line.phase = phase;
            if phase < Phase::Failed {
                line.reached = phase;
            }
            line.behind = line.behind.after(phase);
        }
        line
    }

    fn told(phases: &[Phase]) -> String {
        let line = entered(phases);
        let stages = stages(Say(Lang::En), &line, Order::of(std::slice::from_ref(&line)));
        let words: Vec<_> = stages.iter().map(|stage| format!("{} {}", stage.mark, stage.told)).collect();
        words.join(", ")
    }

    const COPIED: [Phase; 4] = [Phase::Creating, Phase::LoadingSource, Phase::Copying, Phase::Flushing];

    fn behind_copy(phases: &[Phase]) -> String {
        told(&[&COPIED, phases].concat())
    }

    #[test]
    fn stages_stand_in_the_order_in_which_they_happen() {
        let begin = "d create: done, d copy: done,";
        assert_eq!(
            behind_copy(&[Phase::Verifying]),
            format!("{begin} n verify: in progress, w index: waiting, w finish: waiting")
        );
        assert_eq!(
            behind_copy(&[Phase::Verifying, Phase::Indexing]),
            format!("{begin} d verify: done, n index: in progress, w finish: waiting")
        );
        assert_eq!(
            behind_copy(&[Phase::Indexing, Phase::Verifying]),
            format!("{begin} d index: done, n verify: in progress, w finish: waiting")
        );
        // Whoever waits for the indexes waits behind the comparison.
        assert_eq!(
            behind_copy(&[Phase::Indexing, Phase::Verifying, Phase::Indexing]),
            format!("{begin} n index: in progress, d verify: done, w finish: waiting")
        );
        assert_eq!(
            behind_copy(&[Phase::Verifying, Phase::Indexing, Phase::Done]),
            format!("{begin} d verify: done, d index: done, d finish: done")
        );
    }

    #[test]
    fn what_ended_early_says_where() {
        let begin = "d create: done, d copy: done,";
        assert_eq!(
            behind_copy(&[Phase::Verifying, Phase::Failed]),
            format!("{begin} x verify: failed, w index: waiting, w finish: waiting")
        );
        // A difference was found, and the indexes were begun all the same.
        assert_eq!(
            behind_copy(&[Phase::Verifying, Phase::Indexing, Phase::Failed]),
            format!("{begin} d verify: done, x index: failed, w finish: waiting")
        );
        assert_eq!(
            told(&[Phase::Creating, Phase::Copying, Phase::Canceled]),
            "d create: done, c copy: canceled, w index: waiting, w verify: waiting, w finish: waiting"
        );
    }

    #[test]
    fn what_is_copied_once_more_is_compared_once_more() {
        assert_eq!(
            behind_copy(&[Phase::Verifying, Phase::Canceled, Phase::Creating, Phase::Copying]),
            "d create: done, n copy: in progress, w index: waiting, w verify: waiting, w finish: waiting"
        );
    }

    #[test]
    fn what_nobody_asked_for_is_not_done() {
        assert_eq!(
            behind_copy(&[Phase::Indexing, Phase::Done]),
            "d create: done, d copy: done, d index: done, w verify: not requested, d finish: done"
        );
    }

    #[test]
    fn collections_that_wait_go_the_way_of_the_others() {
        let first = entered(&[Phase::Copying, Phase::Verifying]);
        let second = entered(&[Phase::Copying, Phase::Indexing]);
        let waiting = entered(&[]);
        assert_eq!(Order::of(std::slice::from_ref(&waiting)), Order::IndexesFirst);
        assert_eq!(Order::of(&[first.clone(), second]), Order::Mixed);
        let order = Order::of(&[first, waiting.clone()]);
        assert_eq!(order, Order::ComparisonFirst);
        assert_eq!(stages(Say(Lang::En), &waiting, order)[2].told, "verify: waiting");
    }
}
