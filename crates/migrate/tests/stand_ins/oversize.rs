//! Servers whose limits are below what a list of long keys, or a page of them, needs.

use vecferry_migrate::{Migration, VerifyLevel};
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::generate::plain;
use vecferry_testkit::stand_in::{Key, Options, Version};

use super::{assert_arrived, assert_successful, carry_out, request};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_about_long_keys_are_halved() {
    let key = |number: u32| Key::Text(format!("{number:060}"));
    // Some are there twice, so that the proof asks which ones.
    let keys: Vec<_> = (0..900).chain((0..900).step_by(100)).map(key).collect();
    for verify in [VerifyLevel::Sample, VerifyLevel::Full] {
        let tight =
            Options { request_bytes_max: 3_000, answer_bytes_max: 20_000, ..Options::new(Version::V2_6) };
        let source = StandIn::start(tight.clone());
        let target = StandIn::start(Options { answer_bytes_max: 20_000, ..Options::new(Version::V2_6) });
        source.add(&plain("books", true, &[("_default", keys.clone())]));
        let mut request = request(&source, &target);
        request.verify = verify;
        let state = tempfile::tempdir().unwrap();
        let report = carry_out(Migration::prepare(request).await.unwrap(), state.path()).await;
        assert_successful(&report, &format!("{verify:?}"));
        let verification = report.collections[0].verification.as_ref().unwrap();
        assert_eq!(verification.duplicate_rows, 9, "{verify:?}");
        assert_arrived(&source, &target, "books", "long keys");
    }
}
