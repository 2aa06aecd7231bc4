//! Steps of a split: taken once, in order, or not at all.

use vecferry_store::{ErrorKind, Progress, RangeCount, Split, Step, Store};

use crate::on_both_stores;
use crate::place::Place;
use crate::sample::{At, FIRST, at, claimed, id, planned, rest, step};

on_both_stores!(
    a_step_that_is_taken_twice_counts_once,
    a_late_step_moves_nothing_back,
    a_late_intent_moves_nothing_back,
    a_step_from_elsewhere_is_told_to_be,
    rows_do_not_count_without_a_key,
    samples_are_kept_once,
    a_split_that_is_finished_twice_is_finished_once,
    keys_may_hold_any_character,
);

async fn now(store: &dyn Store, split: &Split) -> Split {
    store.split(split.split_id).await.unwrap()
}

async fn a_step_that_is_taken_twice_counts_once(place: Place) {
    let (store, _attempt, splits) = planned(&place).await;
    let claim = claimed(&*store, &splits[0]).await;
    let steps = [
        step((None, None), (None, Some("k"))),
        step((None, Some("k")), (Some("e"), None)),
        step((Some("e"), Some("k")), (Some("k"), Some("l"))),
    ];
    for taken in &steps {
        for _ in 0..3 {
            store.advance(&claim, taken.clone()).await.unwrap();
        }
    }
    let split = now(&*store, &splits[0]).await;
    assert_eq!(at(&split), (Some("k"), Some("l")));
    assert_eq!(split.progress, Progress { rows_read: 10, rows_written: 10, bytes: 100 });
    assert_eq!(store.samples(&id("j1"), FIRST, Some("p")).await.unwrap(), ["e", "k"]);
    assert_eq!(now(&*store, &splits[1]).await, splits[1]);
}

async fn a_late_step_moves_nothing_back(place: Place) {
    let (store, _attempt, splits) = planned(&place).await;
    let claim = claimed(&*store, &splits[0]).await;
    let steps = [
        step((None, None), (None, Some("e"))),
        step((None, Some("e")), (Some("e"), Some("k"))),
        step((Some("e"), Some("k")), (Some("k"), Some("l"))),
    ];
    for taken in &steps {
        store.advance(&claim, taken.clone()).await.unwrap();
    }
    let before = now(&*store, &splits[0]).await;
    for late in &steps[..2] {
        let error = store.advance(&claim, late.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Moved, "{error}");
        let error = store.finish_split(&claim, late.clone(), RangeCount::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Moved, "{error}");
    }
    assert_eq!(now(&*store, &splits[0]).await, before);
}

async fn a_late_intent_moves_nothing_back(place: Place) {
    let (store, _attempt, splits) = planned(&place).await;
    let claim = claimed(&*store, &splits[0]).await;
    let older = step((None, None), (None, Some("e")));
    store.advance(&claim, older.clone()).await.unwrap();
    store.advance(&claim, step((None, Some("e")), (None, Some("k")))).await.unwrap();
    let error = store.advance(&claim, older).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Moved);
    assert_eq!(at(&now(&*store, &splits[0]).await), (None, Some("k")));
}

async fn a_step_from_elsewhere_is_told_to_be(place: Place) {
    let (store, _attempt, splits) = planned(&place).await;
    let claim = claimed(&*store, &splits[0]).await;
    store.advance(&claim, step((None, None), (None, Some("e")))).await.unwrap();
    let elsewhere: [(At<'_>, At<'_>); 4] = [
        ((None, None), (Some("e"), None)),
        ((Some("d"), Some("e")), (Some("e"), None)),
        ((None, Some("f")), (Some("f"), None)),
        ((None, Some("d")), (None, Some("f"))),
    ];
    for (from, to) in elsewhere {
        let error = store.advance(&claim, step(from, to)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Moved, "{from:?} {to:?}");
        let text = format!("split {} has changed since it was read", splits[0].split_id);
        assert_eq!(error.to_string(), text);
    }
    let split = now(&*store, &splits[0]).await;
    assert_eq!((at(&split), split.progress), ((None, Some("e")), Progress::default()));
    assert!(store.samples(&id("j1"), FIRST, Some("p")).await.unwrap().is_empty());
}

async fn rows_do_not_count_without_a_key(place: Place) {
    let (store, _attempt, splits) = planned(&place).await;
    let claim = claimed(&*store, &splits[0]).await;
    let rows = Progress { rows_read: 1, rows_written: 1, bytes: 1 };
    // Twice, it could not be told from once.
    let error = store.advance(&claim, Step { progress: rows, ..Step::default() }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Moved);
    assert_eq!(now(&*store, &splits[0]).await, splits[0]);
}

async fn samples_are_kept_once(place: Place) {
    let (store, _attempt, splits) = planned(&place).await;
    let claim = claimed(&*store, &splits[0]).await;
    let keys = vec!["a".to_owned(), "b\0".to_owned()];
    for _ in 0..2 {
        store.advance(&claim, Step { samples: keys.clone(), ..Step::default() }).await.unwrap();
    }
    assert_eq!(store.samples(&id("j1"), FIRST, Some("p")).await.unwrap(), keys);
    assert!(store.samples(&id("j1"), FIRST, Some("q")).await.unwrap().is_empty());
    assert!(store.samples(&id("j1"), FIRST, None).await.unwrap().is_empty());
}

async fn a_split_that_is_finished_twice_is_finished_once(place: Place) {
    let (store, _attempt, splits) = planned(&place).await;
    let claim = claimed(&*store, &splits[0]).await;
    store.advance(&claim, step((None, None), (None, Some("e")))).await.unwrap();
    let last = step((None, Some("e")), (Some("e"), None));
    let count = RangeCount { counted: 5, distinct_keys: None };
    for _ in 0..2 {
        store.finish_split(&claim, last.clone(), count).await.unwrap();
    }
    let split = now(&*store, &splits[0]).await;
    assert_eq!((split.done, split.count, split.progress.rows_written), (true, Some(count), 5));
    let error = store.advance(&claim, last).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "the claim ended with it");
    assert!(store.claim(claim.writer(), splits[0].split_id).await.unwrap().is_none());
    assert_eq!(store.free_splits(&id("j1"), FIRST).await.unwrap(), [splits[1].split_id]);
}

async fn keys_may_hold_any_character(place: Place) {
    let (store, _attempt, splits) = planned(&place).await;
    let claim = claimed(&*store, &splits[0]).await;
    let key = "a\0\u{ffff}é\n'\"\\";
    store.advance(&claim, step((None, None), (None, Some(key)))).await.unwrap();
    store.advance(&claim, step((None, Some(key)), (Some(key), None))).await.unwrap();
    let split = now(&*store, &splits[0]).await;
    assert_eq!(at(&split), (Some(key), Some(key)));
    store.advance(&claim, rest(&split)).await.unwrap();
}
