//! Collections: made, removed, started again.

use std::time::Duration;

use vecferry_store::{CollectionOutline, CollectionRecord, ErrorKind, JobState, WorkedOn};

use crate::on_both_stores;
use crate::place::Place;
use crate::sample::{FIRST, SECOND, begun, claimed, id, planned, refused, split, step, writer};

on_both_stores!(
    lists_show_what_is_recorded,
    a_collection_that_is_gone_starts_again,
    what_was_found_first_stays,
    no_name_of_a_collection_is_given_twice,
    a_refused_change_does_not_take_others_with_it,
);

async fn lists_show_what_is_recorded(place: Place) {
    let (store, attempt) = begun(&place).await;
    store.record_rows_total(&attempt, FIRST, 90).await.unwrap();
    store.record_done(&attempt, SECOND, "{}".into()).await.unwrap();
    let worked = Duration::from_millis(1_500);
    let on = vec![WorkedOn { position: SECOND, worked, copied_for: worked }];
    store.record_worked(&attempt, worked, on).await.unwrap();
    let recorded = store.collections(&id("j1")).await.unwrap().into_iter();
    let expected: Vec<_> = recorded
        .map(|CollectionRecord { position, source, target, presence, rows_total, done, worked, .. }| {
            CollectionOutline { position, source, target, presence, rows_total, done, worked }
        })
        .collect();
    let outline = store.outline(&id("j1")).await.unwrap();
    assert_eq!(outline, expected);
    let shown: Vec<_> = outline.iter().map(|one| (one.rows_total, one.done, one.worked)).collect();
    assert_eq!(shown[0], (90, false, Duration::ZERO));
    assert_eq!((shown[1].1, shown[1].2), (true, worked));
    assert_eq!(store.outline(&id("none")).await.unwrap(), []);
}

async fn a_collection_that_is_gone_starts_again(place: Place) {
    let (store, attempt, splits) = planned(&place).await;
    store.intend_creation(&attempt, FIRST, None).await.unwrap();
    store.record_creation(&attempt, FIRST, 1).await.unwrap();
    let claim = claimed(&*store, &splits[0]).await;
    store.advance(&claim, step((None, None), (None, Some("k")))).await.unwrap();
    store.advance(&claim, step((None, Some("k")), (Some("e"), None))).await.unwrap();
    assert_eq!(store.intend_named_creation(&attempt, FIRST, Some(7)).await.unwrap(), 1);
    store.record_quarantined(vecferry_store::Right::Claim(&claim), refused("b")).await.unwrap();
    store.record_source_counts(&attempt, FIRST, "{}".into()).await.unwrap();
    store.record_drift_seen(&attempt, FIRST, "first".into()).await.unwrap();
    store.record_rows_total(&attempt, FIRST, 90).await.unwrap();
    store.lose_writers(&attempt, FIRST).await.unwrap();
    assert_eq!(store.doubts(&id("j1"), FIRST).await.unwrap().len(), 1);
    store.record_copied(&attempt, FIRST).await.unwrap();
    store.record_done(&attempt, FIRST, "{}".into()).await.unwrap();
    let ended = store.end_attempt(&attempt, JobState::Successful, "{}".into(), "later".into());
    ended.await.unwrap();

    // Begun and not yet done: no success any more, and still the job's own.
    store.intend_removal(&attempt, FIRST).await.unwrap();
    let collection = store.collection(&id("j1"), FIRST).await.unwrap();
    assert_eq!((collection.done, collection.report, collection.target_id), (false, None, Some(1)));
    assert!(collection.removal_intended && collection.copied && collection.splits_planned);
    assert_eq!(store.job(&id("j1")).await.unwrap().report, None);

    store.forget_creation(&attempt, FIRST, 100).await.unwrap();
    let collection = store.collection(&id("j1"), FIRST).await.unwrap();
    let other = store.collection(&id("j1"), SECOND).await.unwrap();
    // As one that never was begun, but for its names.
    let (source, target) = (collection.source.clone(), collection.target.clone());
    let fresh = CollectionRecord { position: FIRST, source, target, rows_total: 100, names: 1, ..other };
    assert_eq!(collection, fresh);
    assert_eq!(
        store.intend_named_creation(&attempt, FIRST, None).await.unwrap(),
        2,
        "no name is given twice"
    );
    assert!(store.splits(&id("j1"), FIRST).await.unwrap().is_empty());
    assert!(store.samples(&id("j1"), FIRST, Some("p")).await.unwrap().is_empty());
    assert!(store.doubts(&id("j1"), FIRST).await.unwrap().is_empty());
    assert_eq!(store.quarantined_total(&id("j1"), FIRST).await.unwrap(), 0);
    assert_eq!(store.lost_writers(&id("j1"), FIRST).await.unwrap(), [1], "its name may still be there");
}

async fn what_was_found_first_stays(place: Place) {
    let (store, attempt) = begun(&place).await;
    for (counts, timestamp) in [("first", 3), ("second", 4)] {
        let recorded = store.record_source_counts(&attempt, FIRST, counts.into()).await.unwrap();
        assert_eq!(recorded, "first");
        store.record_drift_seen(&attempt, FIRST, counts.into()).await.unwrap();
        store.intend_creation(&attempt, FIRST, Some(timestamp)).await.unwrap();
    }
    let collection = store.collection(&id("j1"), FIRST).await.unwrap();
    assert_eq!(collection.drift_seen.as_deref(), Some("first"));
    assert_eq!((collection.creation_timestamp, collection.creation_intended), (Some(3), true));
    assert_eq!((collection.names, collection.name), (0, None));
}

async fn no_name_of_a_collection_is_given_twice(place: Place) {
    let (store, attempt) = begun(&place).await;
    assert_eq!(store.intend_named_creation(&attempt, FIRST, None).await.unwrap(), 1);
    assert_eq!(store.intend_named_creation(&attempt, SECOND, None).await.unwrap(), 1);
    store.intend_creation(&attempt, FIRST, None).await.unwrap();
    assert_eq!(store.collection(&id("j1"), FIRST).await.unwrap().name, None, "it is its planned name");
    assert_eq!(writer(&*store, crate::sample::LONG).await.number(), 1);
    store.forget_creation(&attempt, FIRST, 10).await.unwrap();
    assert_eq!(store.intend_named_creation(&attempt, FIRST, None).await.unwrap(), 2);
    assert_eq!(writer(&*store, crate::sample::LONG).await.number(), 2);
    drop((store, attempt));
    let store = place.open().await;
    let attempt = store.begin_attempt(&id("j1")).await.unwrap();
    assert_eq!(store.intend_named_creation(&attempt, FIRST, None).await.unwrap(), 3);
    let collection = store.collection(&id("j1"), FIRST).await.unwrap();
    assert_eq!((collection.names, collection.name), (3, Some(3)));
    assert_eq!(writer(&*store, crate::sample::LONG).await.number(), 3);
}

async fn a_refused_change_does_not_take_others_with_it(place: Place) {
    let (store, attempt, splits) = planned(&place).await;
    let claim = claimed(&*store, &splits[0]).await;
    let before = store.usage().commits;
    let good = store.advance(&claim, step((None, None), (Some("e"), None)));
    let bad = store.plan_splits(&attempt, vecferry_store::Position(99), vec![split(None, None)]);
    let (good, bad) = tokio::join!(good, bad);
    good.unwrap();
    assert_eq!(bad.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(store.split(splits[0].split_id).await.unwrap().cursor.as_deref(), Some("e"));
    assert!(store.usage().commits <= before + 2);
}
