//! Everything that a store shows, to compare two of them.

use std::collections::BTreeSet;
use std::fmt::Write;

use vecferry_store::{CollectionRecord, JobPage, JobRecord, JobSummary, Split, SplitId, Store};

use crate::rounds::sorted;
use crate::sample::{FIRST, SECOND, THIRD, id};

/// How exactly two stores are to be the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sameness {
    /// Whoever called noticed nothing.
    Exact,
    /// Whoever called was ended and went on in a new attempt: numbers of attempts, names and writers went on, an event may
    /// be there twice, and nobody asks a new attempt to end.
    NewAttempt,
}

/// The jobs `j1` and `j2` as text.
pub(crate) async fn shown(store: &dyn Store, sameness: Sameness) -> String {
    let mut text = String::new();
    let jobs = store.jobs(JobPage::newest()).await.unwrap();
    for job in jobs {
        writeln!(text, "{:?}", JobSummary { attempt: of(sameness, job.attempt), live: false, ..job })
            .unwrap();
    }
    let job = store.job(&id("j1")).await.unwrap();
    writeln!(text, "{:?}", JobRecord { attempt: of(sameness, job.attempt), ..job }).unwrap();
    let control = store.control(&id("j1")).await.unwrap();
    writeln!(text, "{:?}", control.max_rate).unwrap();
    writeln!(text, "{:?}", store.databases(&id("j1")).await.unwrap()).unwrap();
    writeln!(text, "{:?}", store.objects(&id("j1")).await.unwrap()).unwrap();
    if sameness == Sameness::Exact {
        writeln!(text, "{} {}", control.cancel, store.cancel_beats(&id("j1")).await.unwrap()).unwrap();
    }
    events(store, sameness, &mut text).await;
    collections(store, sameness, &mut text).await;
    rounds(store, &mut text).await;
    text
}

fn of<Number: From<u8>>(sameness: Sameness, number: Number) -> Number {
    if sameness == Sameness::Exact { number } else { Number::from(0) }
}

async fn events(store: &dyn Store, sameness: Sameness, text: &mut String) {
    let events = store.events(&id("j1"), None, 100).await.unwrap();
    let mut events: Vec<_> =
        events.into_iter().map(|event| (of(sameness, event.attempt), event.at, event.event)).collect();
    if sameness == Sameness::NewAttempt {
        events = events.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    }
    writeln!(text, "{events:?}").unwrap();
}

async fn rounds(store: &dyn Store, text: &mut String) {
    for round in store.rounds(&id("j1"), 10).await.unwrap() {
        writeln!(text, "{round:?}").unwrap();
        writeln!(text, "{:?}", store.round_facts(&id("j1"), round.number).await.unwrap()).unwrap();
        writeln!(text, "{:?}", store.round_reports(&id("j1"), round.number).await.unwrap()).unwrap();
    }
    for collection in [FIRST, SECOND, THIRD] {
        writeln!(text, "{:?}", sorted(store.marks(&id("j1"), collection).await.unwrap())).unwrap();
    }
}

async fn collections(store: &dyn Store, sameness: Sameness, text: &mut String) {
    for collection in store.collections(&id("j1")).await.unwrap() {
        let name = collection.name.map(|name| of(sameness, name));
        let names = of(sameness, collection.names);
        writeln!(text, "{:?}", CollectionRecord { name, names, ..collection }).unwrap();
    }
    for collection in [FIRST, SECOND] {
        let splits = store.splits(&id("j1"), collection).await.unwrap();
        // What was undone may have used up numbers.
        for (number, split) in (0..).zip(splits) {
            writeln!(text, "{:?}", Split { split_id: SplitId(number), ..split }).unwrap();
        }
        let lost = store.lost_writers(&id("j1"), collection).await.unwrap();
        writeln!(text, "{lost:?} {:?}", store.doubts(&id("j1"), collection).await.unwrap().len()).unwrap();
        writeln!(text, "{:?}", store.failures(&id("j1"), collection).await.unwrap()).unwrap();
        writeln!(text, "{:?}", store.samples(&id("j1"), collection, Some("p")).await.unwrap()).unwrap();
        writeln!(text, "{:?}", store.quarantined(&id("j1"), collection).await.unwrap()).unwrap();
        for comparison in store.comparisons(&id("j1"), collection, "state").await.unwrap() {
            let shown = (comparison.part, comparison.after, comparison.until, comparison.cursor);
            writeln!(text, "{shown:?} {:?} {}", comparison.outcome, comparison.done).unwrap();
        }
    }
    if sameness == Sameness::Exact {
        writeln!(text, "{}", store.doubts_total(&id("j1")).await.unwrap()).unwrap();
    }
}
