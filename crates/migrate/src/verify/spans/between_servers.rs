//! Collections of every type between stand-in servers: what their pages hold is compared, however they write it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tokio_util::sync::CancellationToken;
use vecferry_milvus::{Client, Collection, CollectionName, Endpoint};
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::generate::{Generated, Shape, collection, plain};
use vecferry_testkit::stand_in::{Key as StandInKey, Options, Value, Version};

use super::bounds::{Mark, SpannedPart};
use super::marking::NewMark;
use super::*;
use crate::copy::Pool;
use crate::problem::Side;
use crate::read::{Reader, reader};

/// Collections a version.
const COLLECTIONS: u64 = 20;
const BOOKS: (&str, &str) = ("default", "books");

type PartKey = (Option<String>, Key);

#[derive(Default)]
struct Told {
    differing: RefCell<BTreeMap<PartKey, &'static str>>,
    marks: RefCell<BTreeMap<Option<String>, Vec<NewMark>>>,
}

impl FollowSpans for Told {
    async fn on_found(&self, found: &SpanFound<'_>) -> Result<(), ReadError> {
        let mut differing = self.differing.borrow_mut();
        for (keys, what) in [
            (&found.missing, "missing"),
            (&found.extra, "extra"),
            (&found.changed, "changed"),
            (&found.repeated, "repeated"),
            (&found.moved, "moved"),
        ] {
            differing
                .extend(keys.iter().map(|key| ((found.partition.map(str::to_owned), key.clone()), what)));
        }
        Ok(())
    }

    async fn on_span(&self, _: &SpanResult<'_>) -> Result<(), ReadError> {
        Ok(())
    }

    async fn on_marks(&self, marked: &Marked<'_>) -> Result<(), ReadError> {
        let mut marks = self.marks.borrow_mut();
        marks.entry(marked.partition.map(str::to_owned)).or_default().extend(marked.marks.iter().cloned());
        Ok(())
    }
}

async fn connected(server: &StandIn) -> (Client, Collection) {
    let client = Client::connect(Endpoint::parse(&server.uri()).unwrap(), 2).await.unwrap();
    let described = client.describe(&CollectionName::new(BOOKS.0, BOOKS.1)).await.unwrap();
    (client, described)
}

async fn readers(source: &StandIn, target: &StandIn) -> (Reader, Reader) {
    let ((of_source, mine), (of_target, theirs)) = (connected(source).await, connected(target).await);
    let cancel = CancellationToken::new();
    let source = reader(Side::Source, &of_source, &mine, &mine, &cancel).fresh().await.unwrap();
    let target = reader(Side::Target, &of_target, &theirs, &mine, &cancel).fresh().await.unwrap();
    (source, target)
}

async fn compare(
    (source, target): (&StandIn, &StandIn),
    partitions: &[Option<String>],
    marks: &BTreeMap<Option<String>, Vec<NewMark>>,
) -> (SpansOutcome, Told) {
    let (of_source, of_target) = readers(source, target).await;
    let part = |partition: &Option<String>| {
        let known = marks.get(partition).into_iter().flatten();
        let mark = |mark: &NewMark| Mark { until: mark.until.clone(), rows: mark.rows, equal: None };
        SpannedPart {
            partition: partition.clone(),
            in_source: true,
            in_target: true,
            range: KeyRange::default(),
            marks: known.map(mark).collect(),
        }
    };
    let spans = Spans::of(partitions.iter().map(part).collect()).unwrap();
    let set_aside = BTreeSet::new();
    let layout =
        Layout { key_field: &of_source.key_field, columns: &of_source.columns, set_aside: &set_aside };
    let tuning = SpanTuning { span_bytes: 2000, readers: 3, piece_rows_max: 50 };
    let budget = Pool::new(1 << 20).budget();
    let writers = Writers::Stopped;
    let comparison = SpanComparison {
        layout,
        spans: &spans,
        writers,
        differing: Differing::Told,
        tuning: &tuning,
        budget: &budget,
    };
    let told = Told::default();
    let outcome = comparison.compare(&of_source, &of_target, &told).await.unwrap();
    (outcome, told)
}

fn key_of(key: &StandInKey) -> Key {
    match key {
        StandInKey::Long(number) => Key::Int(*number),
        StandInKey::Text(text) => Key::Text(text.clone()),
    }
}

/// Alters values of up to three rows, any field but those that are not copied, and takes a row away. Returns where.
fn alter(
    target: &StandIn,
    not_copied: &BTreeSet<String>,
    by_key: bool,
    random: &mut StdRng,
) -> BTreeMap<PartKey, &'static str> {
    let rows: Vec<_> = target.rows(BOOKS.0, BOOKS.1).into_iter().collect();
    let mut altered = BTreeMap::new();
    for (at, ((partition, key), copies)) in rows.choose_multiple(random, 4).enumerate() {
        let place = ((!by_key).then(|| partition.clone()), key_of(key));
        if at == 0 {
            target.delete(BOOKS, partition, &[key.clone()].into());
            altered.insert(place, "missing");
            continue;
        }
        let fields: Vec<_> = copies[0]
            .iter()
            .filter(|(field, _)| field.as_str() != "id" && !not_copied.contains(*field))
            .filter_map(|(field, value)| Some((field, value.altered()?)))
            .collect();
        let Some((field, mut value)) = fields.choose(random).cloned() else { continue };
        if field.starts_with('v') && target.is_nullable(BOOKS.0, BOOKS.1, field) && random.random_bool(0.3) {
            value = Value::Null;
        }
        target.set(BOOKS, (partition, key), field, &value);
        altered.insert(place, "changed");
    }
    altered
}

async fn find(version: Version) {
    for seed in 0..COLLECTIONS {
        let context = format!("{version:?} with seed {seed}");
        let generated = collection(BOOKS.1, Shape { version, seed, repeated_keys: false });
        let generated = Generated { loaded: true, ..generated };
        let source = StandIn::start(Options::awkward(version, seed));
        let target = StandIn::start(Options::awkward(version, seed + 1));
        source.add(&generated);
        target.add(&generated);
        let by_key = generated.schema.fields.iter().any(|field| field.is_partition_key);
        let partitions = match by_key {
            true => vec![None],
            false => source.partitions(BOOKS.0, BOOKS.1).into_iter().map(Some).collect(),
        };
        let rows = source.rows(BOOKS.0, BOOKS.1).len() as u64;
        let (outcome, told) = compare((&source, &target), &partitions, &BTreeMap::new()).await;
        assert_eq!(*told.differing.borrow(), BTreeMap::new(), "{context}");
        assert_eq!(
            (outcome.rows.source, outcome.rows.target, outcome.rows.both),
            (rows, rows, rows),
            "{context}"
        );
        let functions = generated.schema.functions.iter();
        let computed = functions.flat_map(|function| {
            function.output_field_names.iter().chain(&function.input_field_names).cloned()
        });
        let placing = generated.schema.fields.iter().filter(|field| field.is_partition_key);
        let not_copied = computed.chain(placing.map(|field| field.name.clone())).collect();
        let altered = alter(&target, &not_copied, by_key, &mut StdRng::seed_from_u64(seed));
        let (_, again) = compare((&source, &target), &partitions, &told.marks.take()).await;
        assert_eq!(again.differing.take(), altered, "{context}");
    }
}

#[tokio::test]
async fn values_of_every_type_that_differ_on_a_2_3_are_found() {
    find(Version::V2_3).await;
}

#[tokio::test]
async fn values_of_every_type_that_differ_on_a_2_6_are_found() {
    find(Version::V2_6).await;
}

#[tokio::test]
async fn values_of_every_type_that_differ_on_a_3_0_are_found() {
    find(Version::V3_0).await;
}

/// Keys at both ends of all numbers, and texts that need escapes, as bounds of spans.
#[tokio::test]
async fn bounds_may_be_any_keys() {
    let numbers = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1];
    let numbers = numbers.map(StandInKey::Long).to_vec();
    let texts = ["", " ", "\"", "\\", "a\nb", "é", "渡", "𠮷", "\u{10ffff}"];
    let texts = texts.map(|text| StandInKey::Text(text.to_owned())).to_vec();
    for (is_text, keys) in [(false, numbers), (true, texts)] {
        let source = StandIn::start(Options::new(Version::V2_3));
        let target = StandIn::start(Options::new(Version::V2_6));
        for server in [&source, &target] {
            server.add(&plain(BOOKS.1, is_text, &[("_default", keys.clone())]));
        }
        let mark = |key| NewMark { until: Some(key_of(key)), rows: 1, is_equal: true };
        let marks: BTreeMap<_, _> = [(None, keys.iter().map(mark).collect::<Vec<_>>())].into();
        let (outcome, told) = compare((&source, &target), &[None], &marks).await;
        assert_eq!(*told.differing.borrow(), BTreeMap::new());
        assert_eq!((outcome.rows.both, outcome.spans), (keys.len() as u64, keys.len() as u64 + 1));
        for key in &keys {
            target.delete(BOOKS, "_default", &[key.clone()].into());
        }
        let (_, told) = compare((&source, &target), &[None], &marks).await;
        let all = keys.iter().map(|key| ((None, key_of(key)), "missing")).collect();
        assert_eq!(told.differing.take(), all);
    }
}
