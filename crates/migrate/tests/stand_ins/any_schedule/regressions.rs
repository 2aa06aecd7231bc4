//! Schedules that once ended in a false success, or touched what was not the job's, as small as they can be.

use vecferry_migrate::{AutoId, VerifyLevel};
use vecferry_testkit::stand_in::Stop;

use super::assert_holds;
use super::schedule::{Element, Moment, Schedule, Shape, Side, Tampering, Write};

/// How it is verified, and whether the source may change meanwhile.
const OPTIONS: [(VerifyLevel, bool); 4] = [
    (VerifyLevel::None, false),
    (VerifyLevel::None, true),
    (VerifyLevel::Sample, true),
    (VerifyLevel::Full, false),
];

/// All of it happens, and whatever the options, a success is one.
#[track_caller]
fn assert_holds_always(schedule: &Schedule) {
    std::thread::scope(|scope| {
        for (verify, allow_drift) in OPTIONS {
            let schedule = Schedule { verify, allow_drift, ..schedule.clone() };
            scope.spawn(move || {
                let tally = assert_holds(&schedule);
                assert!(
                    tally.happened as usize == happening(&schedule) || tally.took_too_long > 0,
                    "{schedule:?}: {tally:?}"
                );
            });
        }
    });
}

/// Elements that are counted when they happen.
fn happening(schedule: &Schedule) -> usize {
    let is_counted = |element: &&Element| {
        !matches!(element, Element::CancelClean { .. } | Element::Denied { forever: true, .. })
    };
    schedule.elements.iter().filter(is_counted).count()
}

fn with(elements: Vec<Element>) -> Schedule {
    Schedule { elements, ..Schedule::quiet() }
}

fn on_source(at: Moment, write: Write) -> Element {
    Element::OnSource { at, collection: 0, write }
}

fn on_target(at: Moment, write: Tampering) -> Element {
    Element::OnTarget { at, collection: 0, write }
}

#[test]
fn nothing_happens() {
    let tally = assert_holds(&Schedule::quiet());
    assert_eq!((tally.successful, tally.happened), (1, 0), "{tally:?}");
}

/// Item 1: its success is not told again when what it made was removed.
#[test]
fn a_complete_job_is_cleaned_and_resumed() {
    let cleaned = with(vec![Element::CancelClean { attempt: 1 }]);
    assert_holds_always(&cleaned);
    assert_holds(&Schedule { auto_id: AutoId::Regenerate, collections: vec![numbers()], ..cleaned });
}

/// Item 1: the same where some of its collections were done.
#[test]
fn half_a_job_is_cleaned_and_resumed() {
    for call in [100, 140] {
        let kills = vec![(call, Stop::Before)];
        assert_holds_always(&Schedule { kills, ..with(vec![Element::CancelClean { attempt: 1 }]) });
    }
}

fn numbers() -> Shape {
    Schedule::quiet().collections.remove(0)
}

/// Item 2: the plan is older than the partition.
#[test]
fn a_partition_comes_before_the_run() {
    assert_holds_always(&with(vec![on_source(Moment::Start(1), Write::AddPartition { rows: 5 })]));
}

/// Item 2: so is the record of the attempt that was killed.
#[test]
fn a_partition_comes_between_two_attempts() {
    let added = with(vec![on_source(Moment::Start(2), Write::AddPartition { rows: 5 })]);
    for call in [80, 120] {
        assert_holds_always(&Schedule { kills: vec![(call, Stop::Before)], ..added.clone() });
    }
}

/// Item 2: partitions and aliases come and go during the copy.
#[test]
fn the_definition_changes_during_the_copy() {
    for write in [Write::AddPartition { rows: 5 }, Write::AddPartition { rows: 0 }, Write::AddAlias] {
        assert_holds_always(&with(vec![on_source(Moment::Write(3), write)]));
    }
}

/// Item 3: an answer without rows and without an error is not the end.
#[test]
fn a_page_is_empty() {
    for page in [10, 14, 18, 22] {
        assert_holds_always(&with(vec![Element::EmptiedPage { page }]));
    }
}

/// Item 4: the number of rows stays the same.
#[test]
fn a_row_is_updated_during_the_copy() {
    let update = |partition, row| Write::Update { partition, row };
    for write in [update(0, 1), update(1, 15)] {
        assert_holds_always(&with(vec![on_source(Moment::Write(3), write)]));
    }
}

/// Item 5: what a user may not see is not absent.
#[test]
fn partitions_may_not_be_listed() {
    for method in ["ShowPartitions", "GetLoadState", "GetCollectionStatistics", "DescribeDatabase"] {
        for nth in [1, 3] {
            let denied = Element::Denied { side: Side::Source, method, nth, forever: true };
            assert_holds_always(&with(vec![denied]));
        }
    }
}

/// Item 6: the target has rows where the source has no partition.
#[test]
fn somebody_adds_a_partition_to_the_target() {
    let added = on_target(Moment::Write(3), Tampering::AddPartition { rows: 5 });
    assert_holds_always(&with(vec![added]));
}

/// Item 8: an equal collection of the same name is not the job's.
#[test]
fn a_creation_is_raced() {
    for rows in [0, 5] {
        for collection in [0, 1] {
            assert_holds_always(&with(vec![Element::Raced { collection, call: 1, rows }]));
        }
    }
}

/// Item 8: neither is one that took its place.
#[test]
fn the_target_is_replaced_during_the_copy() {
    for rows in [0, 5] {
        assert_holds_always(&with(vec![on_target(Moment::Write(3), Tampering::Replace { rows })]));
    }
}

/// Item 8: nor is it written to when it did so just before the first row.
#[test]
fn the_target_is_replaced_before_the_copy() {
    for page in 1..=8 {
        let replaced = on_target(Moment::Page(page), Tampering::Replace { rows: 4 });
        assert_holds(&with(vec![replaced]));
    }
}

/// Item 9: an error does not say that nothing was written.
#[test]
fn an_insert_fails_and_has_landed() {
    for write in [1, 4] {
        assert_holds_always(&with(vec![Element::FailedAfter { write }]));
    }
}

/// Items 9 and 10: rows without keys can't be written twice, and what is copied anew is not met by what is late.
#[test]
fn an_insert_without_keys_fails_and_has_landed() {
    for write in [1, 3] {
        for kills in [vec![], vec![(3, Stop::LateWrite(6))]] {
            let schedule = with(vec![Element::FailedAfter { write }]);
            let (collections, auto_id) = (vec![numbers()], AutoId::Regenerate);
            assert_holds_always(&Schedule { collections, auto_id, kills, ..schedule });
        }
    }
}

/// Item 14: a collection changes when it was proved, and others are not.
#[test]
fn a_collection_changes_after_its_proof() {
    let loads_in_turn = |mut schedule: Schedule| {
        for shape in &mut schedule.collections {
            shape.loaded = false;
        }
        schedule
    };
    for write in [Write::Insert { partition: 0, rows: 3 }, Write::Delete { partition: 0, row: 3 }] {
        assert_holds_always(&loads_in_turn(with(vec![on_source(Moment::Write(10), write)])));
    }
}

/// Rows of the target come and go while others are written.
#[test]
fn somebody_writes_to_the_target() {
    for write in [Tampering::Insert { rows: 3 }, Tampering::Delete { partition: 0, row: 0 }, Tampering::Drop]
    {
        assert_holds_always(&with(vec![on_target(Moment::Write(4), write)]));
    }
}
