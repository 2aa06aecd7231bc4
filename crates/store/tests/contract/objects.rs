//! What a job makes beside collections.

use crate::on_both_stores;
use crate::place::Place;
use crate::sample::{begun, id};

on_both_stores!(objects_are_intended_then_made_then_forgotten, databases_are_made_and_forgotten,);

async fn objects_are_intended_then_made_then_forgotten(place: Place) {
    let (store, attempt) = begun(&place).await;
    let object = |kind: &str, name: &str| (kind.to_owned(), name.to_owned());
    let objects = vec![object("role", "reader"), object("user", "ann"), object("user", "bob")];
    store.intend_objects(&attempt, objects).await.unwrap();
    store.record_objects(&attempt, "user", vec!["ann".into(), "bob".into()]).await.unwrap();
    // What was made stays made, also if it is intended once more.
    store.intend_objects(&attempt, vec![object("user", "ann"), object("grant", "g")]).await.unwrap();
    store.forget_objects(&attempt, "user", vec!["bob".into()]).await.unwrap();
    let found = store.objects(&id("j1")).await.unwrap();
    let found: Vec<_> =
        found.iter().map(|found| (found.kind.as_str(), found.name.as_str(), found.created)).collect();
    assert_eq!(found, [("role", "reader", false), ("user", "ann", true), ("grant", "g", false)]);
    drop(attempt);
    let newer = store.begin_attempt(&id("j1")).await.unwrap();
    store.record_objects(&newer, "role", vec!["reader".into()]).await.unwrap();
    assert!(store.objects(&id("j1")).await.unwrap()[0].created);
}

async fn databases_are_made_and_forgotten(place: Place) {
    let (store, attempt) = begun(&place).await;
    for made in [true, false] {
        let recorded = match made {
            true => store.record_database(&attempt, "shop").await,
            false => store.forget_database(&attempt, "shop").await,
        };
        recorded.unwrap();
        assert_eq!(store.databases(&id("j1")).await.unwrap(), [("shop".to_owned(), made)]);
    }
}
