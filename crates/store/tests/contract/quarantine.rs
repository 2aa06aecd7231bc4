//! Rows that the target refuses.

use vecferry_store::{Progress, Quarantined, Right, Step};

use crate::on_both_stores;
use crate::place::Place;
use crate::sample::{FIRST, begun, claimed, id, planned, refused};

on_both_stores!(
    a_row_that_is_tried_again_is_in_doubt_until_its_end_is_recorded,
    a_refused_row_that_is_released_twice_counts_once,
    keys_are_kept_to_the_last_byte,
);

async fn a_row_that_is_tried_again_is_in_doubt_until_its_end_is_recorded(place: Place) {
    let (store, attempt) = begun(&place).await;
    let row = Quarantined { partition: String::new(), ..refused("i1") };
    let right = Right::Attempt(&attempt, FIRST);
    store.record_quarantined(right, row.clone()).await.unwrap();
    store.intend_retry(&attempt, FIRST, row.clone()).await.unwrap();
    assert!(store.quarantined(&id("j1"), FIRST).await.unwrap()[0].in_doubt);
    store.record_quarantined(right, row.clone()).await.unwrap();
    assert_eq!(store.quarantined(&id("j1"), FIRST).await.unwrap(), [row]);
    assert_eq!(store.quarantined_total(&id("j1"), FIRST).await.unwrap(), 1);
}

async fn a_refused_row_that_is_released_twice_counts_once(place: Place) {
    let (store, attempt, splits) = planned(&place).await;
    let claim = claimed(&*store, &splits[0]).await;
    let step = Step {
        to_cursor: Some("e".into()),
        to_intent: Some("e".into()),
        progress: Progress { rows_read: 5, rows_written: 3, bytes: 50 },
        ..Step::default()
    };
    store.advance(&claim, step).await.unwrap();
    for key in ["a", "b"] {
        store.record_quarantined(Right::Claim(&claim), refused(key)).await.unwrap();
    }
    for (key, is_written, rows) in [("a", true, (5, 4)), ("b", false, (4, 4))] {
        for _ in 0..2 {
            store.release_quarantined(&attempt, FIRST, refused(key), is_written).await.unwrap();
        }
        let progress = store.split(splits[0].split_id).await.unwrap().progress;
        assert_eq!((progress.rows_read, progress.rows_written), rows, "{key}");
    }
    assert_eq!(store.quarantined(&id("j1"), FIRST).await.unwrap(), []);
}

async fn keys_are_kept_to_the_last_byte(place: Place) {
    let (store, attempt) = begun(&place).await;
    let right = Right::Attempt(&attempt, FIRST);
    // As long as Milvus allows, and longer than an entry of an index; no two are the same.
    let long = "ключ\0".repeat(7_000);
    let keys = [String::new(), "\0".into(), "a".into(), "a\0".into(), "é".into(), long.clone(), long + "!"];
    for key in &keys {
        store.record_quarantined(right, refused(key)).await.unwrap();
    }
    let mut expected = keys.to_vec();
    expected.sort();
    let found = store.quarantined(&id("j1"), FIRST).await.unwrap();
    assert_eq!(found.into_iter().map(|row| row.key).collect::<Vec<_>>(), expected);
    let reason = Quarantined { reason: "it said: \0".into(), ..refused("a") };
    store.record_quarantined(right, reason).await.unwrap();
    let found = store.quarantined(&id("j1"), FIRST).await.unwrap();
    let reasons: Vec<_> = found.iter().filter(|row| row.reason.starts_with("it said: ")).collect();
    assert_eq!(reasons.len(), 1);
    for key in keys {
        store.release_quarantined(&attempt, FIRST, refused(&key), true).await.unwrap();
    }
    assert_eq!(store.quarantined_total(&id("j1"), FIRST).await.unwrap(), 0);
}
