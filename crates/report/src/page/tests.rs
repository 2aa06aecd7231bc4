use std::time::Instant;

use quick_xml::Reader;
use quick_xml::events::Event;
use vecferry_migrate::event::Bottleneck;
use vecferry_migrate::report::{
    CaughtUp, Evidence, IndexReport, JobKind, PaceReport, RoundKind, RoundState, WaitReport,
};

use super::*;

const LANGS: [Lang; 2] = [Lang::En, Lang::Zh];

fn proof(rows: u64) -> Verification {
    Verification {
        rows_compared_before: 0,
        level: VerifyLevel::Sample,
        passed: true,
        source_rows: rows,
        target_rows: rows,
        counts_compared: 2,
        rows_compared: rows.min(1000),
        duplicate_rows: 0,
        findings: None,
        repair: None,
    }
}

fn collection(name: &str, rows: u64) -> CollectionReport {
    let partition = |name: &str, rows| PartitionReport {
        partition: name.to_owned(),
        rows_read: rows,
        rows_written: rows,
    };
    let index = |field: &str, index_type: &str, metric: &str, built_rows| IndexReport {
        index: field.to_owned(),
        field: field.to_owned(),
        index_type: index_type.to_owned(),
        metric_type: metric.to_owned(),
        built_rows,
        total_rows: rows,
        built_after_seconds: (built_rows >= rows).then_some(95.0),
    };
    CollectionReport {
        source_db: "default".to_owned(),
        collection: name.to_owned(),
        target_db: "default".to_owned(),
        phase: Phase::Done,
        rows,
        bytes: rows * 3110,
        copy_seconds: rows as f64 / 9400.0,
        seconds: rows as f64 / 7100.0 + 1.2,
        partitions: vec![partition("_default", rows - rows / 3), partition("p2026", rows / 3)],
        verification: Some(proof(rows)),
        indexes: vec![
            index("embedding", "AUTOINDEX", "COSINE", rows / 2),
            index("year", "STL_SORT", "", rows),
        ],
        aliases: Vec::new(),
        changes: vec![Change {
            what: "index on embedding".to_owned(),
            source: "HNSW, COSINE".to_owned(),
            target: "AUTOINDEX, COSINE".to_owned(),
        }],
        loaded: false,
        source_load: None,
        created: true,
        quarantined: 0,
        drift: None,
        caught_up: None,
        evidence: Evidence::default(),
        keys: vecferry_migrate::Keys::Copied,
    }
}

fn report(state: JobState, collections: Vec<CollectionReport>) -> Report {
    let cluster = |address: &str, version: &str| vecferry_migrate::Cluster {
        address: address.to_owned(),
        version: version.to_owned(),
    };
    Report {
        job_id: "01985a3f-77c2-7d10-9a5e-3c1f0b6d2a44".into(),
        kind: JobKind::Plain,
        state,
        vecferry_version: "0.1.0".to_owned(),
        source: cluster("http://milvus-old.internal:19530", "Milvus 2.3.5"),
        target: cluster("https://in01-4c7d9e.vectordb.zillizcloud.com:443", "Zilliz Cloud (Milvus 2.5.14)"),
        started_at: "2026-07-28T23:10:05.123Z".to_owned(),
        ended_at: "2026-07-28T23:16:41.900Z".to_owned(),
        seconds: 396.7,
        last_attempt_seconds: 396.7,
        attempts: 1,
        verify: VerifyLevel::Sample,
        verified: if state == JobState::Successful { VerifyLevel::Sample } else { VerifyLevel::None },
        sample_seed: 8_273_645_511_203,
        rounds: Vec::new(),
        rbac: None,
        resource_groups: Some(Vec::new()),
        collections,
        problems: Vec::new(),
        warnings: Vec::new(),
        estimate: None,
        pace: None,
        quarantine_file: None,
    }
}

/// A good night.
fn successful() -> Report {
    let mut books = collection("books", 1_204_311);
    books.aliases = vec!["library".to_owned(), "library_v2".to_owned()];
    let mut sensors = collection("sensors", 310_020);
    sensors.target_db = "iot_prod".to_owned();
    let empty = CollectionReport { indexes: Vec::new(), changes: Vec::new(), ..collection("drafts", 0) };
    let mut keyed = collection("tenant_documents_with_quite_a_long_name_2026", 640_900);
    keyed.partitions =
        vec![PartitionReport { partition: String::new(), rows_read: 640_900, rows_written: 640_900 }];
    report(JobState::Successful, vec![books, sensors, collection("faces", 98_000), empty, keyed])
}

fn with_duplicates() -> Report {
    let mut report = successful();
    if let Some(proof) = report.collections[0].verification.as_mut() {
        proof.duplicate_rows = 12;
    }
    report.warnings.push(
        Problem::new(Code::Duplicates)
            .with("collection", "default.books")
            .with("surplus", 12)
            .with("keys", "17, 18, 4711"),
    );
    report
}

/// A bad one.
fn failed() -> Report {
    let mut report = with_duplicates();
    (report.state, report.verified) = (JobState::Failed, VerifyLevel::None);
    let faces = &mut report.collections[2];
    faces.phase = Phase::Failed;
    faces.partitions[1].rows_written -= 3;
    faces.verification =
        Some(Verification { passed: false, target_rows: 97_997, rows_compared: 0, ..proof(98_000) });
    report.problems.push(
        Problem::new(Code::RowsMissing)
            .with("collection", "default.faces")
            .with("rows", 3)
            .with("where", "partition p2026"),
    );
    report
}

fn canceled() -> Report {
    let mut report = successful();
    (report.state, report.verified) = (JobState::Canceled, VerifyLevel::None);
    for (number, collection) in report.collections.iter_mut().enumerate().skip(2) {
        (collection.phase, collection.verification) = (Phase::Canceled, None);
        (collection.created, collection.rows) = (number < 4, collection.rows / 2);
        collection.indexes.clear();
    }
    report.problems.push(
        Problem::new(Code::Canceled)
            .with("job", "0192")
            .with("complete", "default.books (1204311), iot_prod.sensors (310020)")
            .with("incomplete", "default.faces (49000)"),
    );
    report
}

fn many(number: usize) -> Report {
    let collections = (0..number).map(|number| {
        let mut collection = collection(&format!("collection_{number}"), 10_000 + number as u64);
        let part = |number| PartitionReport {
            partition: format!("_default_{number}"),
            rows_read: 20,
            rows_written: 20,
        };
        collection.partitions = (0..64).map(part).collect();
        collection
    });
    report(JobState::Successful, collections.collect())
}

/// All text of a page. Fails where the page is no well-formed XML: every tag is closed, in order.
fn text_of(page: &str) -> String {
    let mut reader = Reader::from_str(page.strip_prefix("<!DOCTYPE html>").unwrap());
    let (mut text, mut open, mut in_style) = (String::new(), 0, false);
    loop {
        match reader.read_event().unwrap() {
            Event::Start(tag) => (open, in_style) = (open + 1, tag.name().as_ref() == b"style"),
            Event::End(_) => (open, in_style) = (open - 1, false),
            Event::Text(piece) if !in_style => text.push_str(&piece.decode().unwrap()),
            Event::GeneralRef(name) => match name.resolve_char_ref().unwrap() {
                Some(character) => text.push(character),
                None => text.push_str(
                    &quick_xml::escape::unescape(&format!("&{};", name.decode().unwrap())).unwrap(),
                ),
            },
            Event::Eof => break,
            Event::Text(_)
            | Event::Empty(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_) => {}
        }
    }
    assert_eq!(open, 0);
    text
}

fn plain(report: &Report, lang: Lang) -> String {
    text_of(&html(report, lang, None))
}

#[test]
fn every_page_is_well_formed_and_needs_nothing_else() {
    let empty = report(JobState::Failed, Vec::new());
    let one = report(JobState::Successful, vec![collection("one", 3)]);
    for report in [successful(), with_duplicates(), failed(), canceled(), many(60), empty, one] {
        for lang in LANGS {
            let page = html(&report, lang, None);
            text_of(&page);
            for foreign in ["<script", "<link", "<img", "@import", "url(", "src=", "http-equiv=\"refresh"] {
                assert!(!page.contains(foreign), "{foreign}");
            }
            // Addresses are shown, and none is a link.
            assert!(!page.contains("href=\"http"));
            let links = page.split("href=\"#").skip(1).filter_map(|link| link.split('"').next());
            for link in links {
                assert_eq!(page.matches(&format!("id=\"{link}\"")).count(), 1, "{link}");
            }
        }
    }
}

#[test]
fn the_pace_is_among_the_facts() {
    let wait = |on, share| WaitReport { on, seconds: share * 50.0, share };
    let waits = vec![
        wait(Bottleneck::TargetLimit, 0.7),
        wait(Bottleneck::Source, 0.298),
        wait(Bottleneck::Ledger, 0.002),
    ];
    let max_rate = Some("20MB/s".to_owned());
    let mut report = successful();
    assert!(!plain(&report, Lang::En).contains("The copy waited for"));
    report.pace = Some(PaceReport {
        waits,
        pages: 7,
        ledger_commits: 9,
        ledger_busy_seconds: 0.5,
        inserts_at_once_min: 1,
        max_rate,
    });
    let (english, chinese) = (plain(&report, Lang::En), plain(&report, Lang::Zh));
    assert!(english.contains("target rate limit 70%, source latency 30%"), "{english}");
    assert!(!english.contains("state directory"), "{english}");
    assert!(chinese.contains("目标集群限速 70 %，源集群响应延迟 30 %"), "{chinese}");
    assert!(english.contains("20MB/s") && chinese.contains("限速"));
}

#[test]
fn resource_groups_of_the_source_are_among_the_facts() {
    assert!(!plain(&successful(), Lang::En).contains("Resource groups"));
    let report = Report { resource_groups: Some(vec!["rg_a".to_owned(), "rg_b".to_owned()]), ..successful() };
    let (english, chinese) = (plain(&report, Lang::En), plain(&report, Lang::Zh));
    assert!(english.contains("Resource groups of the source (not copied)"), "{english}");
    assert!(english.contains("rg_a, rg_b"), "{english}");
    let unknown = plain(&Report { resource_groups: None, ..successful() }, Lang::En);
    assert!(unknown.contains("unknown: not visible to this user"), "{unknown}");
    assert!(chinese.contains("源集群上的资源组（不复制）") && chinese.contains("rg_a，rg_b"), "{chinese}");
}

#[test]
fn what_was_left_out_is_said() {
    let left_out = Problem::new(Code::VisibleOnly)
        .with("side", "source")
        .with("user", "user `half`")
        .with("user_zh", "用户 `half` ")
        .with("what", "*.*")
        .with("detail", "it has no role")
        .with("detail_zh", "它没有任何角色");
    let report = Report { warnings: vec![left_out], ..successful() };
    let (english, chinese) = (plain(&report, Lang::En), plain(&report, Lang::Zh));
    // Names stand in elements of their own.
    for part in ["includes only what user", "half", "sees, as requested"] {
        assert!(english.contains(part), "{part}: {english}");
    }
    assert!(chinese.contains("只包含用户") && chinese.contains("能看到的内容"), "{chinese}");
}

#[test]
fn texts_of_others_stay_texts() {
    let nasty = "<script>alert(1)</script>&amp;\"'</style><!--\u{202e}\u{7}";
    let shown = "<script>alert(1)</script>&amp;\"'</style><!--\u{fffd}\u{fffd}";
    let mut report = failed();
    report.job_id = nasty.into();
    report.vecferry_version = nasty.to_owned();
    report.started_at = nasty.to_owned();
    for cluster in [&mut report.source, &mut report.target] {
        (cluster.address, cluster.version) = (nasty.to_owned(), nasty.to_owned());
    }
    let collection = &mut report.collections[0];
    for text in [&mut collection.source_db, &mut collection.collection, &mut collection.target_db] {
        *text = nasty.to_owned();
    }
    collection.aliases = vec![nasty.to_owned()];
    collection.partitions[0].partition = nasty.to_owned();
    for text in [&mut collection.changes[0].what, &mut collection.indexes[0].field] {
        *text = nasty.to_owned();
    }
    report
        .problems
        .push(Problem::new(Code::TargetFailed).with("collection", nasty).with("detail", format!("`{nasty}")));
    for lang in LANGS {
        for state in [JobState::Failed, JobState::Successful] {
            report.state = state;
            let page = html(&report, lang, None);
            assert!(!page.contains("<script") && !page.contains("<!--") && !page.contains('\u{202e}'));
            assert_eq!(page.matches("</style>").count(), 1);
            assert!(text_of(&page).contains(shown));
        }
    }
}

#[test]
fn chinese_pages_are_chinese() {
    for report in [successful(), with_duplicates(), failed(), canceled()] {
        let (english, chinese) = (plain(&report, Lang::En), plain(&report, Lang::Zh));
        for (en, zh) in texts::PAIRS.iter().filter(|(en, zh)| en != zh && en.len() > 2) {
            let shown = |text: &str, label: &str| text.contains(&label.replace('`', ""));
            // Short words also stand in names and versions.
            if en.contains(' ') || en.starts_with(char::is_uppercase) {
                assert!(!shown(&chinese, en), "{en}");
            }
            let part_of_another = texts::PAIRS.iter().any(|(other, _)| other != en && other.contains(en));
            if shown(&english, en) && !part_of_another {
                assert!(shown(&chinese, zh), "{en} / {zh}");
            }
        }
        for word in [" row", " the ", "complete", "copying", "collections"] {
            assert!(!chinese.contains(word), "{word}");
        }
        assert!(html(&report, Lang::Zh, None).contains("<html lang=\"zh-CN\">"));
    }
    // Columns of the phone's table are named by the style sheet.
    assert!(html(&successful(), Lang::Zh, None).contains("content: \"加载状态\""));
}

#[test]
fn the_verdict_is_told_in_a_word_and_a_sentence() {
    let verdict = |report: &Report, lang| {
        let page = html(report, lang, None);
        let after = page.split_once("class=\"verdict ").unwrap().1;
        let tone = after.split('"').next().unwrap().to_owned();
        let text = plain(report, lang);
        (tone, text)
    };
    let unproved = Report { verified: VerifyLevel::None, verify: VerifyLevel::None, ..successful() };
    let mut drifted = successful();
    drifted.warnings.push(
        Problem::new(Code::Drift)
            .with("collection", "default.books")
            .with("before", 1)
            .with("after", 2)
            .with("checks", "count"),
    );
    let mut broken = canceled();
    broken.state = JobState::Failed;
    broken.problems = vec![
        Problem::new(Code::TargetFailed).with("collection", "default.faces").with("detail", "out of disk"),
    ];
    for (report, tone, word, en, zh) in [
        (successful(), "good", "SUCCESSFUL", "Every row arrived", "每一行都已到达"),
        (
            with_duplicates(),
            "good",
            "SUCCESSFUL",
            "12 more rows of the source have a duplicate primary key",
            "另有 12 行主键重复",
        ),
        (unproved, "caution", "SUCCESSFUL", "Nothing was compared", "未做任何比对"),
        (drifted, "caution", "SUCCESSFUL", "The source changed during the copy", "复制期间源集群发生了变化"),
        (
            failed(),
            "bad",
            "FAILED",
            "Source and target differ in 1 of 5 collections",
            "5 个 Collection 中有 1 个在源集群和目标集群上不一致",
        ),
        (broken, "bad", "FAILED", "2 of 5 collections are complete", "5 个 Collection 中有 2 个已完成"),
        (canceled(), "caution", "CANCELED", "The migration was canceled", "迁移已取消"),
    ] {
        for (lang, sentence) in [(Lang::En, en), (Lang::Zh, zh)] {
            let (shown, text) = verdict(&report, lang);
            assert_eq!(shown, tone, "{en}");
            assert!(text.contains(word) && text.contains(sentence), "{sentence}");
            let claims = text.contains("Every row arrived") || text.contains("每一行都已到达");
            assert_eq!(claims, en == "Every row arrived", "{en}");
        }
    }
}

#[test]
fn the_next_step_of_a_good_job_is_to_load_and_of_any_other_to_stay() {
    let load = "vecferry load --target https://in01-4c7d9e.vectordb.zillizcloud.com:443 \\\n  \
                --collection default.books \\\n  --collection iot_prod.sensors";
    for lang in LANGS {
        let t = Labels::of(lang);
        assert!(plain(&successful(), lang).contains(load));
        for report in [failed(), canceled()] {
            let text = plain(&report, lang);
            assert!(!text.contains("vecferry load") && text.contains(t.stay) && !text.contains(t.switch));
        }
        // Many collections are named by their job.
        let mut many = successful();
        let one = many.collections[0].clone();
        many.collections.resize(11, one);
        let (text, by_job) = (plain(&many, lang), format!("vecferry load --job {}", many.job_id));
        assert!(text.contains(&by_job) && !text.contains("vecferry load --target"), "{text}");
    }
}

#[test]
fn what_failed_comes_first_and_is_open() {
    let page = html(&failed(), Lang::En, None);
    let at = |text: &str| page.find(text).unwrap();
    assert!(at("href=\"#c2\"") < at("href=\"#c0\""));
    assert!(page.contains("<details class=\"bad\" open=\"open\">"));
    assert!(at("VF-0401") < at("VF-0406"));
    // The partition that lost rows comes before the others.
    assert!(
        page[at("id=\"c2\"")..].find("p2026").unwrap() < page[at("id=\"c2\"")..].find("_default").unwrap()
    );
}

#[test]
fn charts_show_the_largest_and_the_rest_as_one() {
    let report = many(500);
    let charts = charts(Labels::of(Lang::En), Lang::En, &report);
    assert_eq!(charts.len(), 2);
    for chart in &charts {
        assert_eq!(chart.bars.len(), CHART_BARS_MAX + 1);
        assert_eq!(chart.bars[0].name, "default.collection_499");
        assert_eq!(chart.bars[CHART_BARS_MAX].name, "The rest: 480 collections");
    }
    assert!(super::charts(Labels::of(Lang::En), Lang::En, &many(1)).is_empty());
    let bars = super::charts(Labels::of(Lang::En), Lang::En, &many(21)).remove(0).bars;
    assert_eq!(bars.len(), 21);
}

#[test]
fn times_without_a_known_form_are_shown_as_they_are() {
    for (time, shown) in [
        ("2026-07-28T23:10:05.123Z", "2026-07-28 23:10:05 UTC"),
        ("2026-07-28T23:10:05Z", "2026-07-28 23:10:05 UTC"),
        ("2026-07-28T23:10:05+08:00", "2026-07-28T23:10:05+08:00"),
        ("", ""),
    ] {
        assert_eq!(moment(time).shown, shown);
    }
}

#[test]
fn hundreds_of_collections_make_a_small_page_soon() {
    let report = many(500);
    let start = Instant::now();
    let page = html(&report, Lang::Zh, None);
    assert!(page.len() < 1_000_000, "{}", page.len());
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}

#[test]
fn roles_and_users_have_a_section_where_they_were_copied() {
    use vecferry_migrate::rbac::{Left, LeftReason, Made, Method, ObjectKind, Passwords, RbacReport};
    assert!(!html(&successful(), Lang::En, None).contains("id=\"rbac\""));
    let rbac = RbacReport {
        method: Method::SingleCalls,
        passwords: Passwords::Generated,
        users_file: Some("/state/<users>.json".into()),
        privilege_groups: Made::default(),
        roles: Made { planned: 3, made: 2 },
        grants: Made::default(),
        users: Made { planned: 1, made: 1 },
        memberships: Made::default(),
        outside: Vec::new(),
        left: vec![Left { kind: ObjectKind::User, name: "ann".into(), reason: LeftReason::Exists }],
    };
    let report = Report { rbac: Some(rbac), ..successful() };
    let page = html(&report, Lang::En, None);
    assert!(page.contains("2 of 3 roles") && page.contains("user ann: exists on the target"), "{page}");
    assert!(!page.contains("<users>"), "escaped");
    assert!(html(&report, Lang::Zh, None).contains("2 / 3 个角色"));
}

#[test]
fn the_time_of_all_attempts_and_the_share_of_an_index_are_shown_as_what_they_are() {
    let mut report = Report { attempts: 3, last_attempt_seconds: 12.0, ..successful() };
    // The target counts rows that were deleted, too.
    let index = &mut report.collections[0].indexes[0];
    (index.built_rows, index.total_rows) = (121_237, 484_948);
    let plain = text_of(&html(&report, Lang::En, None));
    assert!(plain.contains("(3 attempts)"), "{plain}");
    assert!(plain.contains("25%") && !plain.contains("484,948"), "{plain}");
    assert!(plain.contains("built 95.0 s after the start"), "{plain}");
    assert!(html(&report, Lang::Zh, None).contains("（3 次尝试）"));
    assert!(!html(&successful(), Lang::En, None).contains("attempts"));
}

/// Copied, and nothing known of it yet.
fn ready() -> Report {
    let round = |number, state| RoundReport {
        number,
        kind: RoundKind::Warm,
        state,
        started_at: "2026-07-28T23:10:05.123Z".to_owned(),
        ended_at: None,
        seconds: 396.7,
        rows: 1_302_311,
        bytes: 4_000_000_000,
        caught_up: None,
        window_seconds: None,
    };
    let unproved = |name, rows| CollectionReport { verification: None, ..collection(name, rows) };
    Report {
        kind: JobKind::Warm,
        rounds: vec![round(1, RoundState::Done)],
        verify: VerifyLevel::Full,
        ..report(JobState::Ready, vec![unproved("books", 1_204_311), unproved("faces", 98_000)])
    }
}

#[test]
fn a_job_that_is_ready_claims_nothing_and_says_what_comes_next() {
    let record = Some(" --state-dir d");
    for (lang, says) in [
        (
            Lang::En,
            ["It is not verified yet", "warm copy", "Stop all writers of the source.", "Not verified"],
        ),
        (Lang::Zh, ["尚未校验", "预复制", "停止对源集群的所有写入。", "未校验"]),
    ] {
        let page = html(&ready(), lang, record);
        for says in says {
            assert!(page.to_lowercase().contains(&says.to_lowercase()), "{says} is missing");
        }
        let command = "<code>vecferry cutover --state-dir d 01985a3f-77c2-7d10-9a5e-3c1f0b6d2a44</code>";
        assert!(page.contains(command));
        assert!(page.contains("READY") && page.contains("class=\"verdict caution\""));
        assert!(!page.contains("<tr class=\"good\">") && !page.contains("vecferry load"));
    }
    assert_eq!(Verdict::of(&ready(), Lang::En).tone, "caution");
    assert_eq!(Verdict::of(&ready(), Lang::En).meaning.len(), 1);
    let plain = html(&successful(), Lang::En, None);
    assert!(!plain.contains("id=\"rounds\""));
}

#[test]
fn rows_that_were_only_sampled_are_told_apart() {
    let mut round = later(2, RoundKind::CutOver, [3, 0, 0]);
    round.caught_up.as_mut().unwrap().rows_trusted = 1_000;
    let told = |lang| crate::phrases::round_found(lang, &round).unwrap();
    assert!(
        told(Lang::En).contains("1,302,311 rows compared, 1,000 rows only sampled"),
        "{}",
        told(Lang::En)
    );
    assert!(told(Lang::Zh).contains("另有 1,000 行仅抽样比对"), "{}", told(Lang::Zh));
}

/// A round behind the warm copy, and what it found.
fn later(number: u64, kind: RoundKind, [missing, changed, extra]: [u64; 3]) -> RoundReport {
    let found = CaughtUp {
        rows_compared: 1_302_311,
        rows_trusted: 0,
        bytes_read: 8_000_000_000,
        rows_missing: missing,
        rows_changed: changed,
        rows_extra: extra,
    };
    RoundReport {
        number,
        kind,
        seconds: 42.0,
        rows: missing + changed,
        caught_up: Some(found),
        window_seconds: (kind == RoundKind::CutOver).then_some(48.0),
        ..ready().rounds[0].clone()
    }
}

fn caught_up(rounds: Vec<RoundReport>) -> Report {
    let mut report = ready();
    report.collections[0].caught_up = rounds.last().and_then(|round| round.caught_up);
    report.rounds.extend(rounds);
    report
}

#[test]
fn a_catch_up_says_how_far_both_sides_were_apart() {
    let record = Some(" --state-dir d");
    let first = caught_up(vec![later(2, RoundKind::CatchUp, [5000, 300, 1])]);
    let second = caught_up(vec![
        later(2, RoundKind::CatchUp, [5000, 300, 1]),
        later(3, RoundKind::CatchUp, [12, 3, 1]),
    ]);
    let equal = caught_up(vec![later(2, RoundKind::CatchUp, [0; 3])]);
    for (report, lang, says) in [
        (
            &first,
            Lang::En,
            &[
                "Source and target were 5,301 rows apart at the last catch-up (42.0 s).",
                "1,302,311 rows compared: 5,000 missing, 300 changed, 1 extra (5,301 in total); made equal",
            ][..],
        ),
        (&first, Lang::Zh, &["上一轮更新时源集群与目标集群相差 5,301 行（用时 42.0 s）。"]),
        (
            &second,
            Lang::En,
            &[
                "Source and target were 16 rows apart at the last catch-up (42.0 s; at the one before: 5,301).",
                "5,000 missing, 300 changed, 1 extra",
                "12 missing, 3 changed, 1 extra (16 in total); made equal",
            ],
        ),
        (
            &second,
            Lang::Zh,
            &[
                "（用时 42.0 s；再上一轮：5,301）",
                "已比对 1,302,311 行：缺失 12 行，改变 3 行，多余 1 行（共 16 行）；已修正一致",
            ],
        ),
        (
            &equal,
            Lang::En,
            &["The last catch-up found no differences", "1,302,311 rows compared, none differed"],
        ),
        (&equal, Lang::Zh, &["上一轮更新未发现差异", "已比对 1,302,311 行，未发现差异"]),
    ] {
        let page = html(report, lang, record);
        for says in says {
            assert!(page.contains(says), "{says} is missing");
        }
        let command = "<code>vecferry catch-up --state-dir d 01985a3f-77c2-7d10-9a5e-3c1f0b6d2a44</code>";
        assert!(page.contains(command));
        assert!(!page.contains("Downtime window") && !page.contains("停机窗口："));
    }
}

#[test]
fn what_a_problem_names_was_not_made_equal() {
    let mut report = caught_up(vec![later(2, RoundKind::CutOver, [12, 3, 1])]);
    report.state = JobState::Failed;
    report.rounds[1].state = RoundState::Open;
    let problem = Problem::new(Code::TargetWrittenTo).with("collection", "default.books").with("job", "j");
    report.problems.push(problem.with("found", 3).with("expected", 2));
    for lang in [Lang::En, Lang::Zh] {
        let page = html(&report, lang, None);
        assert!(page.contains(lang.pick("12 missing, 3 changed", "缺失 12 行，改变 3 行")), "{page}");
        assert!(!page.contains("made equal") && !page.contains("已修正一致"));
    }
}

#[test]
fn a_cut_over_tells_its_window_and_what_is_left_to_do() {
    let rounds = vec![later(2, RoundKind::CatchUp, [5000, 300, 1]), later(3, RoundKind::CutOver, [12, 3, 1])];
    let report = Report {
        state: JobState::Successful,
        verified: VerifyLevel::Full,
        verify: VerifyLevel::Full,
        ..caught_up(rounds)
    };
    for (lang, says) in [
        (
            Lang::En,
            [
                "cut-over",
                "Downtime window: 48.0 s",
                "Compared in the last round",
                "Aliases already point to the new collections.",
                "Let the writers continue, on the target.",
                "Keep the source unchanged",
            ],
        ),
        (
            Lang::Zh,
            [
                "切换",
                "停机窗口：48.0 s",
                "最近一轮的比对",
                "别名已指向新的 Collection。",
                "在目标集群上恢复写入。",
                "请原样保留源集群",
            ],
        ),
    ] {
        let page = html(&report, lang, None);
        for says in says {
            assert!(page.contains(says), "{says} is missing");
        }
        assert!(page.contains("class=\"verdict good\""));
        assert!(!page.contains("vecferry catch-up") && !page.contains("vecferry cutover"));
    }
    assert!(!html(&successful(), Lang::En, None).contains("Let the writers continue"));
}
