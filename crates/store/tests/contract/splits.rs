//! Splits: planned, divided, opened again, in doubt.

use vecferry_store::{CollectionProgress, ErrorKind, NewSplit, Progress, RangeCount, Right};

use crate::on_both_stores;
use crate::place::Place;
use crate::sample::{FIRST, SECOND, at, begun, claimed, id, planned, refused, rest, split, step};

on_both_stores!(
    splits_are_planned_once,
    many_splits_come_back_in_their_order,
    the_splits_of_a_collection_add_up,
    a_divided_split_leaves_no_gap_and_no_overlap,
    a_split_that_is_divided_twice_has_one_upper_part,
    a_split_that_is_opened_again_is_in_doubt_up_to_its_intent,
    splits_that_are_opened_again_take_their_collection_with_them,
    a_doubt_is_recorded_once_until_it_is_settled,
);

async fn splits_are_planned_once(place: Place) {
    let (store, attempt) = begun(&place).await;
    let first = store.plan_splits(&attempt, FIRST, vec![split(None, None)]).await.unwrap();
    let others = vec![split(None, Some("a")), split(Some("a"), None)];
    assert_eq!(store.plan_splits(&attempt, FIRST, others).await.unwrap(), first);
    assert!(store.collection(&id("j1"), FIRST).await.unwrap().splits_planned);
    assert!(!store.collection(&id("j1"), SECOND).await.unwrap().splits_planned);
    assert_eq!(store.plan_splits(&attempt, SECOND, Vec::new()).await.unwrap(), []);
}

async fn many_splits_come_back_in_their_order(place: Place) {
    let (store, attempt) = begun(&place).await;
    let keys: Vec<Option<String>> = (0..2_000).map(|number| Some(format!("{number:05}\0"))).collect();
    let ends = keys.iter().cloned().chain([None]);
    let starts = [None].into_iter().chain(keys.iter().cloned());
    let splits: Vec<NewSplit> = starts
        .zip(ends)
        .map(|(after, until)| NewSplit { partition: None, after, until, rows_planned: u64::MAX })
        .collect();
    let planned = store.plan_splits(&attempt, FIRST, splits.clone()).await.unwrap();
    let shown: Vec<NewSplit> = planned
        .iter()
        .map(|split| NewSplit {
            partition: split.partition.clone(),
            after: split.after.clone(),
            until: split.until.clone(),
            rows_planned: split.rows_planned,
        })
        .collect();
    assert_eq!(shown, splits);
    assert_eq!(store.splits(&id("j1"), FIRST).await.unwrap(), planned);
    assert_eq!(store.free_splits(&id("j1"), FIRST).await.unwrap().len(), splits.len());
}

async fn the_splits_of_a_collection_add_up(place: Place) {
    let (store, attempt) = begun(&place).await;
    assert_eq!(store.progress(&id("j1")).await.unwrap(), []);
    let two = vec![split(None, Some("m")), split(Some("m"), None)];
    let planned = store.plan_splits(&attempt, FIRST, two).await.unwrap();
    store.plan_splits(&attempt, SECOND, vec![split(None, None)]).await.unwrap();
    for (split, end) in planned.iter().zip(["c", "z"]) {
        let claim = claimed(&*store, split).await;
        store.advance(&claim, step((None, None), (None, Some(end)))).await.unwrap();
        store.advance(&claim, step((None, Some(end)), (Some(end), None))).await.unwrap();
    }
    let progress = store.progress(&id("j1")).await.unwrap();
    let whole = store.splits(&id("j1"), FIRST).await.unwrap();
    let (mut sum, none) = (Progress::default(), Progress::default());
    whole.iter().for_each(|split| sum += split.progress);
    assert!(sum.rows_written > 0 && sum.bytes > 0);
    let expected = [(FIRST, sum, 2), (SECOND, none, 1)];
    let expected = expected.map(|(collection, progress, splits)| CollectionProgress {
        collection,
        progress,
        splits,
        splits_done: 0,
    });
    assert_eq!(progress, expected);
}

async fn a_divided_split_leaves_no_gap_and_no_overlap(place: Place) {
    let (store, attempt) = begun(&place).await;
    let whole = store.plan_splits(&attempt, FIRST, vec![split(Some("a"), Some("z"))]).await.unwrap();
    let claim = claimed(&*store, &whole[0]).await;
    store.advance(&claim, step((None, None), (None, Some("c")))).await.unwrap();
    let upper = store.divide(&claim, "m\0".into(), (3, 4)).await.unwrap();
    let lower = store.split(whole[0].split_id).await.unwrap();
    let shown = (lower.after.as_deref(), lower.until.as_deref(), lower.rows_planned);
    assert_eq!(shown, (Some("a"), Some("m\0"), 3));
    assert_eq!(at(&lower), (None, Some("c")), "it goes on where it is");
    let shown = (upper.after.as_deref(), upper.until.as_deref(), upper.rows_planned);
    assert_eq!(shown, (Some("m\0"), Some("z"), 4));
    assert_eq!((upper.partition.as_deref(), at(&upper)), (Some("p"), (None, None)));
    assert_eq!(store.free_splits(&id("j1"), FIRST).await.unwrap(), [upper.split_id]);
    store.finish_split(&claim, rest(&lower), RangeCount::default()).await.unwrap();
    let error = store.divide(&claim, "b".into(), (1, 1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "the claim ended with the split");
}

async fn a_split_that_is_divided_twice_has_one_upper_part(place: Place) {
    let (store, attempt) = begun(&place).await;
    let whole = store.plan_splits(&attempt, FIRST, vec![split(Some("a"), Some("z"))]).await.unwrap();
    let claim = claimed(&*store, &whole[0]).await;
    let upper = store.divide(&claim, "m".into(), (3, 4)).await.unwrap();
    assert_eq!(store.divide(&claim, "m".into(), (3, 4)).await.unwrap(), upper);
    let middle = store.divide(&claim, "g".into(), (1, 2)).await.unwrap();
    // The first time once more, late: it moves no end back up.
    assert_eq!(store.divide(&claim, "m".into(), (3, 4)).await.unwrap(), upper);
    let ranges: Vec<_> = store
        .splits(&id("j1"), FIRST)
        .await
        .unwrap()
        .into_iter()
        .map(|split| (split.split_id, split.after, split.until, split.rows_planned))
        .collect();
    let key = |key: &str| Some(key.to_owned());
    let expected = [
        (whole[0].split_id, key("a"), key("g"), 1),
        (upper.split_id, key("m"), key("z"), 4),
        (middle.split_id, key("g"), key("m"), 2),
    ];
    assert_eq!(ranges, expected);
}

async fn a_split_that_is_opened_again_is_in_doubt_up_to_its_intent(place: Place) {
    let (store, attempt, splits) = planned(&place).await;
    let claim = claimed(&*store, &splits[0]).await;
    store.advance(&claim, step((None, None), (None, Some("k")))).await.unwrap();
    store.advance(&claim, step((None, Some("k")), (Some("e"), None))).await.unwrap();
    for key in ["c", "x"] {
        store.record_quarantined(Right::Claim(&claim), refused(key)).await.unwrap();
    }
    // The second time nobody had told whoever asks.
    for _ in 0..2 {
        store.reopen_split(&claim, 3, vec![refused("c")]).await.unwrap();
    }
    let opened = store.split(splits[0].split_id).await.unwrap();
    assert_eq!((at(&opened), opened.done), ((None, Some("k")), false));
    assert_eq!((opened.progress, opened.count, opened.reopened), (Progress::default(), None, 3));
    assert_eq!(store.quarantined(&id("j1"), FIRST).await.unwrap(), [refused("x")]);
    let error = store.advance(&claim, rest(&opened)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "the claim ended with it");
    let again = claimed(&*store, &splits[0]).await;
    let doubts = store.doubts(&id("j1"), FIRST).await.unwrap();
    let ranges: Vec<_> =
        doubts.iter().map(|doubt| (doubt.after.as_deref(), doubt.until.as_deref())).collect();
    assert_eq!(ranges, [(None, Some("k"))]);
    // Taken over after it was opened again, it is not opened a second time by the first claim.
    let error = store.reopen_split(&claim, 3, Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    store.advance(&again, step((None, Some("k")), (Some("k"), None))).await.unwrap();
    drop(attempt);
}

async fn splits_that_are_opened_again_take_their_collection_with_them(place: Place) {
    let (store, attempt, splits) = planned(&place).await;
    let count = RangeCount { counted: 6, distinct_keys: Some(5) };
    for split in &splits {
        let claim = claimed(&*store, split).await;
        store.advance(&claim, step((None, None), (None, Some("e")))).await.unwrap();
        let last = step((None, Some("e")), (Some("e"), None));
        store.finish_split(&claim, last, count).await.unwrap();
        store.record_quarantined(Right::Attempt(&attempt, FIRST), refused("c")).await.unwrap();
    }
    assert_eq!(store.split(splits[0].split_id).await.unwrap().count, Some(count));
    store.record_quarantined(Right::Attempt(&attempt, FIRST), refused("x")).await.unwrap();
    store.record_copied(&attempt, FIRST).await.unwrap();
    let range = vecferry_store::NewComparison { part: 0, after: None, until: None };
    store.plan_comparisons(&attempt, FIRST, "one".into(), vec![range]).await.unwrap();
    for _ in 0..2 {
        let first = vec![splits[0].split_id];
        store.reopen_splits(&attempt, FIRST, first, vec![refused("c")]).await.unwrap();
    }
    let opened = store.split(splits[0].split_id).await.unwrap();
    assert_eq!((at(&opened), opened.done), ((None, Some("e")), false));
    assert_eq!((opened.progress, opened.count, opened.reopened), (Progress::default(), None, 0));
    let other = store.split(splits[1].split_id).await.unwrap();
    assert!(other.done && other.count == Some(count) && other.progress.rows_read == 5);
    assert_eq!(store.quarantined(&id("j1"), FIRST).await.unwrap(), [refused("x")]);
    assert!(!store.collection(&id("j1"), FIRST).await.unwrap().copied);
    assert_eq!(store.comparisons(&id("j1"), FIRST, "one").await.unwrap(), []);
    assert_eq!(store.free_splits(&id("j1"), FIRST).await.unwrap(), [splits[0].split_id]);
}

async fn a_doubt_is_recorded_once_until_it_is_settled(place: Place) {
    let (store, attempt, splits) = planned(&place).await;
    let claim = claimed(&*store, &splits[0]).await;
    let key = |key: &str| Some(key.to_owned());
    for right in [Right::Attempt(&attempt, FIRST), Right::Claim(&claim), Right::Claim(&claim)] {
        store.record_doubt(right, key("p"), None, key("e\0")).await.unwrap();
    }
    store.record_doubt(Right::Attempt(&attempt, FIRST), None, None, None).await.unwrap();
    let doubts = store.doubts(&id("j1"), FIRST).await.unwrap();
    let shown: Vec<_> = doubts
        .iter()
        .map(|doubt| (doubt.partition.as_deref(), doubt.after.as_deref(), doubt.until.as_deref()))
        .collect();
    assert_eq!(shown, [(Some("p"), None, Some("e\0")), (None, None, None)]);
    for _ in 0..2 {
        store.settle_doubt(&attempt, doubts[0].doubt_id).await.unwrap();
    }
    assert_eq!(store.doubts(&id("j1"), FIRST).await.unwrap(), doubts[1..]);
    store.record_doubt(Right::Attempt(&attempt, FIRST), key("p"), None, key("e\0")).await.unwrap();
    assert_eq!(
        store.doubts(&id("j1"), FIRST).await.unwrap().len(),
        2,
        "what came later is a doubt of its own"
    );
    assert_eq!(store.doubts_total(&id("j1")).await.unwrap(), 3);
    assert_eq!(store.doubts(&id("j1"), SECOND).await.unwrap(), []);
}
