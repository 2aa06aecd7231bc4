//! Comparisons of every row.

use vecferry_store::NewComparison;

use crate::on_both_stores;
use crate::place::Place;
use crate::sample::{FIRST, SECOND, begun, id};

on_both_stores!(a_comparison_is_gone_on_with_only_for_the_state_that_it_was_made_for);

async fn a_comparison_is_gone_on_with_only_for_the_state_that_it_was_made_for(place: Place) {
    let (store, attempt) = begun(&place).await;
    let ranges = || {
        let range = |after: Option<&str>, until: Option<&str>| NewComparison {
            part: 0,
            after: after.map(str::to_owned),
            until: until.map(str::to_owned),
        };
        vec![range(None, Some("m\0")), range(Some("m\0"), None)]
    };
    let planned = store.plan_comparisons(&attempt, FIRST, "one".into(), ranges()).await.unwrap();
    assert_eq!((planned[0].until.as_deref(), planned[1].after.as_deref()), (Some("m\0"), Some("m\0")));
    let first = planned[0].comparison_id;
    store.advance_comparison(&attempt, first, Some("c\0".into()), "{}".into()).await.unwrap();
    store.advance_comparison(&attempt, planned[1].comparison_id, None, "[]".into()).await.unwrap();
    let found = store.comparisons(&id("j1"), FIRST, "one").await.unwrap();
    let shown: Vec<_> =
        found.iter().map(|found| (found.cursor.as_deref(), found.outcome.as_deref(), found.done)).collect();
    assert_eq!(shown, [(Some("c\0"), Some("{}"), false), (None, Some("[]"), true)]);
    // The end of one that was on its way keeps what it had.
    store.advance_comparison(&attempt, first, None, "{}".into()).await.unwrap();
    let found = store.comparisons(&id("j1"), FIRST, "one").await.unwrap();
    assert_eq!((found[0].cursor.as_deref(), found[0].done), (Some("c\0"), true));

    assert_eq!(store.comparisons(&id("j1"), FIRST, "two").await.unwrap(), []);
    assert_eq!(store.comparisons(&id("j1"), SECOND, "one").await.unwrap(), []);
    store.plan_comparisons(&attempt, FIRST, "two".into(), ranges()).await.unwrap();
    assert_eq!(store.comparisons(&id("j1"), FIRST, "one").await.unwrap(), []);
    store.forget_creation(&attempt, FIRST, 100).await.unwrap();
    assert_eq!(store.comparisons(&id("j1"), FIRST, "two").await.unwrap(), []);
}
