//! Where the time of a job goes: its phases, and of each phase the calls and the CPU.

use std::collections::BTreeMap;

use serde::Serialize;

use super::log::{Call, Server};

/// When the job entered a step, in seconds since 1970.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    pub(super) begin: f64,
    pub(super) end: f64,
    /// The plan was there.
    pub(super) planned: Option<f64>,
    /// Phases of the collection as `--json` tells them: `creating`, `copying` and so on.
    pub(super) phases: BTreeMap<String, f64>,
}

/// A part of the job.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) name: &'static str,
    pub(super) begin: f64,
    pub(super) end: f64,
}

/// CPU seconds used up to a moment, in seconds since 1970.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    pub(super) at: f64,
    pub(super) source: f64,
    pub(super) target: f64,
    pub(super) client: f64,
}

/// A phase with all that happened in it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Phase {
    pub(super) name: &'static str,
    pub(super) seconds: f64,
    /// Of it, seconds without any call under way: what the client does by itself, or waits.
    pub(super) seconds_without_calls: f64,
    pub(super) source_cpu_seconds: f64,
    pub(super) target_cpu_seconds: f64,
    pub(super) client_cpu_seconds: f64,
    pub(super) calls: Vec<Calls>,
}

/// All calls of one kind in a phase.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Calls {
    pub(super) server: Server,
    pub(super) method: String,
    /// That ended in this phase.
    pub(super) number: u64,
    /// In calls, summed: calls at the same time count each.
    pub(super) seconds: f64,
    /// Of these, seconds during which nothing else was under way.
    pub(super) seconds_alone: f64,
    /// Bytes of the answers.
    pub(super) bytes: u64,
}

/// The parts of a job of one collection, in their order and without a gap.
pub(super) fn spans(marks: &Marks, calls: &[Call]) -> Vec<Span> {
    let phase = |name: &str| marks.phases.get(name).copied();
    let of_stage = |stage: &'static str| {
        calls.iter().filter(move |call| call.stage.as_deref() == Some(stage) && !call.in_split)
    };
    let moving = || calls.iter().filter(|call| call.in_split);
    let first_page = moving().map(|call| call.begin).min_by(f64::total_cmp);
    let last_page = moving().map(|call| call.end).max_by(f64::total_cmp);
    // Before the plan of the splits the source is looked at; flushes and their segments are the last of it.
    let looked = of_stage("copy")
        .filter(|call| call.server == Server::Source && LOOKS.contains(&call.method.as_str()))
        .map(|call| call.end)
        .filter(|end| first_page.is_some_and(|first| *end <= first))
        .max_by(f64::total_cmp);
    // The stage looks before it says that rows are on their way.
    let copying = of_stage("copy").map(|call| call.begin).chain(phase("copying")).min_by(f64::total_cmp);
    let verified = of_stage("verify").map(|call| call.end).max_by(f64::total_cmp);
    // A 2.3 is compared before its indexes are built.
    let (index, verify) = (("index", phase("indexing")), ("verify", phase("verifying")));
    let is_verified_first = verify.1.is_some_and(|begin| index.1.is_none_or(|other| begin < other));
    let (first, second) = if is_verified_first { (verify, index) } else { (index, verify) };
    let begins = [
        ("check", Some(marks.begin)),
        ("probe and start", marks.planned),
        ("create", phase("creating")),
        ("look at the source", copying),
        ("plan of the splits", looked),
        ("copy", first_page),
        ("second look at the source", last_page),
        ("flush", phase("flushing")),
        first,
        second,
        ("last look", verified),
    ];
    let mut spans: Vec<Span> = Vec::new();
    for (name, begin) in begins {
        let Some(begin) = begin else { continue };
        // Where two steps overlap, the later one begins when the earlier one has begun.
        let begin = spans.last().map_or(begin, |last| begin.max(last.begin)).min(marks.end);
        if let Some(last) = spans.last_mut() {
            last.end = begin;
        }
        spans.push(Span { name, begin, end: marks.end });
    }
    spans
}

/// Calls by which a source is looked at before the splits are planned.
const LOOKS: [&str; 4] = ["Flush", "GetFlushState", "GetPersistentSegmentInfo", "GetQuerySegmentInfo"];

/// What happened in each part.
pub(super) fn phases(spans: &[Span], calls: &[Call], samples: &[Sample]) -> Vec<Phase> {
    let mut times: Vec<_> = calls.iter().flat_map(|call| [call.begin, call.end]).collect();
    times.extend(spans.iter().flat_map(|span| [span.begin, span.end]));
    times.sort_by(f64::total_cmp);
    times.dedup();
    spans
        .iter()
        .map(|span| {
            let within: Vec<_> =
                times.iter().copied().filter(|at| (span.begin..=span.end).contains(at)).collect();
            let (calls, seconds_without_calls) = calls_within(span, calls, &within);
            let (before, after) = (sample_at(samples, span.begin), sample_at(samples, span.end));
            Phase {
                name: span.name,
                seconds: span.end - span.begin,
                seconds_without_calls,
                source_cpu_seconds: after.source - before.source,
                target_cpu_seconds: after.target - before.target,
                client_cpu_seconds: after.client - before.client,
                calls,
            }
        })
        .collect()
}

/// The calls of a part by their kind, the longest first, and its seconds without any. `times` are all moments within it at
/// which a call begins or ends.
fn calls_within(span: &Span, calls: &[Call], times: &[f64]) -> (Vec<Calls>, f64) {
    let calls: Vec<_> = calls.iter().filter(|call| call.end >= span.begin && call.begin < span.end).collect();
    let mut kinds: BTreeMap<(Server, &str), Calls> = BTreeMap::new();
    for call in &calls {
        let kind = kinds.entry((call.server, &call.method)).or_insert_with(|| Calls {
            server: call.server,
            method: call.method.clone(),
            number: 0,
            seconds: 0.0,
            seconds_alone: 0.0,
            bytes: 0,
        });
        kind.seconds += call.end.min(span.end) - call.begin.max(span.begin);
        if call.end > span.begin && call.end <= span.end {
            kind.number += 1;
            kind.bytes += call.bytes;
        }
    }
    let mut without = 0.0;
    for (begin, end) in times.iter().zip(times.iter().skip(1)) {
        let mut under_way = calls.iter().filter(|call| call.begin <= *begin && call.end >= *end);
        match (under_way.next(), under_way.next()) {
            (None, _) => without += end - begin,
            (Some(only), None) => {
                if let Some(kind) = kinds.get_mut(&(only.server, only.method.as_str())) {
                    kind.seconds_alone += end - begin;
                }
            }
            (Some(_), Some(_)) => {}
        }
    }
    let mut kinds: Vec<_> =
        kinds.into_values().filter(|kind| kind.number > 0 || kind.seconds > 0.0).collect();
    kinds.sort_by(|one, other| other.seconds.total_cmp(&one.seconds));
    (kinds, without)
}

/// What had been used up to a moment, between the two samples around it.
fn sample_at(samples: &[Sample], at: f64) -> Sample {
    let after = samples.partition_point(|sample| sample.at < at);
    let (Some(after), Some(before)) =
        (samples.get(after), after.checked_sub(1).and_then(|at| samples.get(at)))
    else {
        return samples.get(after).or(samples.last()).copied().unwrap_or_default();
    };
    let part = (at - before.at) / (after.at - before.at);
    let between = |before: f64, after: f64| before + (after - before) * part;
    Sample {
        at,
        source: between(before.source, after.source),
        target: between(before.target, after.target),
        client: between(before.client, after.client),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(begin: f64, end: f64, server: Server, method: &str, stage: &str) -> Call {
        let (stage, in_split) = (stage.trim_end_matches("/split"), stage.ends_with("/split"));
        let method = method.to_owned();
        Call { begin, end, server, method, bytes: 10, stage: Some(stage.to_owned()), in_split }
    }

    fn job() -> (Marks, Vec<Call>) {
        let phases = [("creating", 2.0), ("copying", 3.0), ("flushing", 8.0), ("indexing", 9.0)];
        let phases = phases.into_iter().map(|(name, at)| (name.to_owned(), at)).collect();
        let calls = vec![
            call(2.5, 3.5, Server::Source, "Flush", "copy"),
            call(3.5, 4.0, Server::Source, "Query", "copy"),
            call(4.0, 6.0, Server::Source, "Query", "copy/split"),
            call(5.0, 7.0, Server::Target, "Insert", "copy/split"),
            call(8.0, 8.5, Server::Target, "Flush", "verify"),
            call(9.0, 9.5, Server::Target, "CreateIndex", "verify"),
        ];
        (Marks { begin: 1.0, end: 10.0, planned: Some(1.5), phases }, calls)
    }

    #[test]
    fn parts_follow_each_other_without_a_gap() {
        let (marks, calls) = job();
        let spans = spans(&marks, &calls);
        let begins: Vec<_> = spans.iter().map(|span| (span.name, span.begin)).collect();
        let expected = [
            ("check", 1.0),
            ("probe and start", 1.5),
            ("create", 2.0),
            ("look at the source", 2.5),
            ("plan of the splits", 3.5),
            ("copy", 4.0),
            ("second look at the source", 7.0),
            ("flush", 8.0),
            ("index", 9.0),
            ("last look", 9.5),
        ];
        assert_eq!(begins, expected);
        assert!(spans.windows(2).all(|two| two[0].end == two[1].begin));
        assert_eq!(spans.last().unwrap().end, 10.0);
    }

    #[test]
    fn a_call_is_alone_while_no_other_is_under_way() {
        let (marks, calls) = job();
        let samples = [0.0, 10.0].map(|at| Sample { at, source: at, target: at / 2.0, client: 0.0 });
        let phases = phases(&spans(&marks, &calls), &calls, &samples);
        let copy = phases.iter().find(|phase| phase.name == "copy").unwrap();
        let alone: Vec<_> =
            copy.calls.iter().map(|kind| (kind.server, kind.seconds, kind.seconds_alone)).collect();
        assert_eq!(alone, [(Server::Source, 2.0, 1.0), (Server::Target, 2.0, 1.0)]);
        assert_eq!(copy.seconds_without_calls, 0.0);
        assert!((copy.source_cpu_seconds - 3.0).abs() < 1e-9 && (copy.target_cpu_seconds - 1.5).abs() < 1e-9);
        let flush = phases.iter().find(|phase| phase.name == "flush").unwrap();
        assert_eq!((flush.calls.len(), flush.seconds_without_calls), (1, 0.5));
        // What ends a part belongs to it.
        let index = phases.iter().find(|phase| phase.name == "index").unwrap();
        assert_eq!(index.calls.iter().map(|kind| kind.number).sum::<u64>(), 1);
    }
}
