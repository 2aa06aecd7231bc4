//! Text keys whose characters servers rewrite before they read an expression.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use vecferry_migrate::{
    JobState, Migration, RepairScope, Selection, Tuning, VerifyLevel, VerifyRequest, verify,
};
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::generate::plain;
use vecferry_testkit::stand_in::{Key, Options, Version};

use super::{assert_arrived, assert_successful, carry_out, endpoint, request};

/// `𠮷` is U+20BB7, and U+0BB7 what is left of it after the first digit was lost.
const ODD: [&str; 22] = [
    "𠮷",
    "\u{0BB7}",
    "𠮷𠮷",
    "𠮸",
    "渡",
    "渡𠮷",
    "é",
    "e\u{301}",
    "📚",
    "👨‍👩‍👧",
    "\u{10FFFF}",
    "\u{FFFF}",
    "\u{2028}",
    "\0",
    "a\0b",
    "\u{1}",
    "\u{7f}",
    "\t",
    "\r\n",
    "\n",
    "a\"b\\c'd",
    "\\U00020BB7",
];

fn keys<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<Key> {
    texts.into_iter().map(|text| Key::Text(text.to_owned())).collect()
}

#[tokio::test]
async fn every_page_ends_behind_its_last_key_whatever_its_characters() {
    for version in [Version::V2_3, Version::V2_4, Version::V2_5, Version::V2_6] {
        let (source, target) = (StandIn::start(Options::new(version)), StandIn::start(Options::new(version)));
        source.add(&plain("books", true, &[("_default", keys(ODD))]));
        let mut request = request(&source, &target);
        request.verify = VerifyLevel::Full;
        // A row to a page, so that each key is a cursor.
        let tuning = Tuning {
            page_bytes_target: 1,
            split_bytes_min: 100,
            slice_time: Duration::ZERO,
            ..Tuning::default()
        };
        let migration = Migration::prepare(request).await.unwrap().with_tuning(tuning);
        let state = tempfile::tempdir().unwrap();
        let report = carry_out(migration, state.path()).await;
        assert_successful(&report, version.text());
        assert_arrived(&source, &target, "books", version.text());
    }
}

#[tokio::test]
async fn a_repair_removes_the_row_that_is_meant_and_no_other() {
    let [source, target] = [(); 2].map(|()| StandIn::start(Options::new(Version::V2_5)));
    source.add(&plain("books", true, &[("_default", keys(ODD.into_iter().filter(|key| *key != "𠮷")))]));
    // The target has `𠮷`, which the source does not, and lacks two others.
    target.add(&plain(
        "books",
        true,
        &[("_default", keys(ODD.into_iter().filter(|key| !["𠮸", "\0"].contains(key))))],
    ));
    let request = VerifyRequest {
        visible_only: false,
        source: endpoint(&source),
        target: endpoint(&target),
        selection: Selection::default(),
        target_dbs: std::collections::BTreeMap::new(),
        level: VerifyLevel::Full,
        repair: RepairScope::Everything,
    };
    let report = verify(request, Arc::new(super::Silent), CancellationToken::new()).await.unwrap();
    assert_eq!(report.state, JobState::Successful, "{:#?}", report.problems);
    assert_eq!(source.rows("default", "books"), target.rows("default", "books"));
}
