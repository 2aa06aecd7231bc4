//! Vectors keep the index of the source where that is asked for and the target builds it.

use vecferry_migrate::{Code, Migration};
use vecferry_milvus::schema::parameters;
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::generate::{Generated, plain};
use vecferry_testkit::stand_in::{Key, Options, Version};

use super::{assert_arrived, assert_successful, carry_out, request};

fn books(params: &[(&str, &str)]) -> Generated {
    let keys = (0..20).map(Key::Long).collect();
    let books = plain("books", false, &[("_default", keys)]);
    Generated { indexes: vec![("vector".to_owned(), parameters(params))], ..books }
}

/// Migrates with `--keep-index-params`. Returns the type of the index on the target, and the warnings and changes.
async fn kept(
    (from, to): (Version, Version),
    params: &[(&str, &str)],
) -> (Vec<(String, String)>, Vec<Code>, Vec<(String, String)>) {
    let (source, target) = (StandIn::start(Options::new(from)), StandIn::start(Options::new(to)));
    source.add(&books(params));
    let mut request = request(&source, &target);
    request.keep_index_params = true;
    let migration = Migration::prepare(request).await.unwrap();
    let state = tempfile::tempdir().unwrap();
    let report = carry_out(migration, state.path()).await;
    assert_successful(&report, "kept index");
    assert_arrived(&source, &target, "books", "kept index");
    let made = target.definition("default", "books").indexes.into_values().next().unwrap();
    let changes = report.collections[0].changes.iter().filter(|change| change.what.starts_with("index"));
    (
        made.into_iter().collect(),
        report.warnings.iter().map(|warning| warning.code).collect(),
        changes.map(|change| (change.source.clone(), change.target.clone())).collect(),
    )
}

fn pairs(params: &[(&str, &str)]) -> Vec<(String, String)> {
    params.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

const HNSW: [(&str, &str); 3] =
    [("index_type", "HNSW"), ("metric_type", "IP"), ("params", r#"{"M":8,"efConstruction":64}"#)];
const AUTOINDEX: [(&str, &str); 2] = [("index_type", "AUTOINDEX"), ("metric_type", "IP")];

#[tokio::test]
async fn parameters_are_carried_over_as_they_are() {
    let (made, warnings, changes) = kept((Version::V2_4, Version::V2_6), &HNSW).await;
    assert_eq!((made, warnings, changes), (pairs(&HNSW), vec![], vec![]));
}

#[tokio::test]
async fn an_index_that_the_target_does_not_have_is_listed_before_the_copy() {
    let quantized = [("index_type", "HNSW_SQ"), ("metric_type", "IP"), ("M", "8"), ("sq_type", "SQ8")];
    let (made, warnings, changes) = kept((Version::V2_5, Version::V2_4), &quantized).await;
    assert_eq!((made, warnings), (pairs(&AUTOINDEX), vec![]));
    assert_eq!(changes, [("HNSW_SQ".to_owned(), "AUTOINDEX".to_owned())]);
}

#[tokio::test]
async fn an_index_that_the_target_refuses_is_replaced_and_told_of() {
    // The releases are the same; that there is no graphics processor shows when the index is made.
    let on_gpu = [("index_type", "GPU_CAGRA"), ("metric_type", "IP"), ("graph_degree", "32")];
    let (made, warnings, changes) = kept((Version::V2_5, Version::V2_5), &on_gpu).await;
    assert_eq!((made, warnings), (pairs(&AUTOINDEX), vec![Code::IndexReplaced]));
    assert_eq!(changes, [("GPU_CAGRA".to_owned(), "AUTOINDEX".to_owned())]);
}
