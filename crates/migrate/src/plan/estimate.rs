//! How long a job will take: the source's rate is measured on real pages, the target's is what its plan allows or assumed
//! from the source's, and what collections cost whatever their rows is measured on the target or assumed.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use vecferry_milvus::wire::Page;
use vecferry_milvus::{Client, Collection, Consistency, Error, ErrorKind, Query, RowSelection};
use vecferry_policy::Product;

use crate::cluster::row_size::RowSize;
use crate::event::Bottleneck;
use crate::plan::Plan;
use crate::problem::Told;
use crate::request::VerifyLevel;

/// Pages that are read at once to measure the source: as many as a copy of one collection reads.
const READERS: usize = 6;
/// Bytes of one of them.
const PAGE_BYTES: f64 = 4e6;
/// A page is at most so many rows (`quotaAndLimits.limits.maxQueryResultWindow`).
const PAGE_ROWS_MAX: f64 = 16_000.0;
/// Less than that measures the latency and not the rate.
const MEASURED_BYTES_MIN: f64 = 256e3;
/// Of a server that is not known to have a limit: a write costs about so many times what a read costs (measured on 2.3.5, 768
/// dimensions).
const WRITE_COST: f64 = 1.3;
/// Where nothing could be measured, MB a second of a small server.
const READ_RATE_GUESS: f64 = 40e6;
/// Bytes of vectors a second that a target gets ready to be asked (2.3.5 on two cores).
const LOAD_RATE: f64 = 40e6;
/// Bytes of vectors a second that a core builds an AUTOINDEX of: 100,000 x 768 took 160 s on two (2.3.5).
const INDEX_RATE_OF_CORE: f64 = 0.96e6;

/// An estimate of a job, from its first write to its report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DurationEstimate {
    /// Seconds of the whole job.
    pub seconds: f64,
    /// Of them the copy of the rows.
    pub copy_seconds: f64,
    /// Of them what collections take whatever their rows: they are made, stored, indexed, loaded, counted.
    pub steps_seconds: f64,
    /// Of them the verification: what grows with the rows.
    pub verify_seconds: f64,
    /// Seconds of the cut-over behind a warm copy, in which nobody is to write: both sides are read and compared. Absent where
    /// the target takes no warm copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_window_seconds: Option<f64>,
    /// Of them what grows with the rows.
    #[serde(default)]
    pub warm_compare_seconds: f64,
    /// What the steps of a collection cost.
    pub steps: StepCosts,
    /// Seconds of building the target's indexes, which goes on behind the job; absent where its cores are not known.
    pub index_seconds: Option<f64>,
    /// Bytes of all rows on the wire.
    pub bytes: u64,
    /// Bytes a second that the source gives.
    pub read_bytes_per_second: f64,
    /// Whether that was measured.
    pub read_is_measured: bool,
    /// Bytes a second that the target takes.
    pub write_bytes_per_second: f64,
    /// How that is known.
    pub write_basis: WriteBasis,
    /// Whether both are on one machine, so that they share its processors and their times add up.
    pub one_machine: bool,
    /// What takes longest.
    pub bottleneck: Option<Bottleneck>,
    /// Collection by collection, by name on the source.
    pub collections: Vec<(String, f64)>,
}

/// How the rate of the target is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WriteBasis {
    /// The plan allows no more.
    Quota,
    /// Assumed from the source's rate.
    #[default]
    Assumed,
}

/// What the steps of collections cost that are worked on side by side, whatever their rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepCosts {
    /// Seconds that the first one takes longer than each further one.
    pub once_seconds: f64,
    /// Seconds of each.
    pub each_seconds: f64,
    /// Seconds of each partition beyond the first.
    pub partition_seconds: f64,
    /// Whether that was measured on this target.
    pub is_measured: bool,
}

impl StepCosts {
    /// Where nothing was measured: what was seen of such a server on two cores, shared with the source.
    pub(crate) fn assumed(target: Product) -> Self {
        let (once_seconds, each_seconds, partition_seconds) = match target {
            Product::LiteNative | Product::LitePython => (0.3, 0.065, 0.02),
            Product::Milvus(_) => (5.0, 1.45, 0.14),
        };
        Self { once_seconds, each_seconds, partition_seconds, is_measured: false }
    }

    /// Of so many collections with so many partitions in all.
    fn of(&self, collections: usize, partitions: usize) -> f64 {
        if collections == 0 {
            return 0.0;
        }
        let beyond = partitions.saturating_sub(collections) as f64;
        self.once_seconds + self.each_seconds * collections as f64 + self.partition_seconds * beyond
    }
}

/// A collection as far as the time of its copy depends on it.
pub(crate) struct Part<'a> {
    pub(crate) described: &'a Collection,
    pub(crate) rows: u64,
    pub(crate) size: &'a RowSize,
    /// Whether it can be read now.
    pub(crate) is_loaded: bool,
    /// Partitions that are copied one by one.
    pub(crate) partitions: usize,
}

/// What the time depends on beside the collections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances {
    /// What the target is.
    pub(crate) target: Product,
    /// Cores on which it builds indexes, if it tells.
    pub(crate) target_cores: Option<u64>,
    /// Bytes a second that the target's plan allows.
    pub(crate) write_quota: Option<u64>,
    /// Whether both servers are on one machine.
    pub(crate) one_machine: bool,
    /// How the rows are verified.
    pub(crate) verify: VerifyLevel,
}

impl Part<'_> {
    fn bytes(&self) -> f64 {
        self.rows as f64 * self.size.wire_bytes_or_guess()
    }
}

/// How the source's rate is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sampling {
    /// As of when rows are read.
    pub(crate) now: Consistency,
    /// The part of the largest collection that may be read for it.
    pub(crate) share_max: f64,
}

impl Sampling {
    /// For somebody who is going to plan with it.
    pub(crate) fn thorough(now: Consistency) -> Self {
        Self { now, share_max: 1.0 }
    }

    /// For a job that begins at once, and tells its real rate soon.
    pub(crate) fn brief(now: Consistency) -> Self {
        Self { now, share_max: 0.02 }
    }
}

/// The collections of a plan.
pub(crate) fn parts(plan: &Plan) -> Vec<Part<'_>> {
    plan.here()
        .map(|(_, planned)| Part {
            described: &planned.described,
            rows: planned.rows_estimate,
            size: &planned.size,
            is_loaded: planned.answers(),
            partitions: planned.parts().len(),
        })
        .collect()
}

/// Estimates the time of some collections.
pub(crate) async fn estimate(
    source: &Client,
    parts: &[Part<'_>],
    circumstances: Circumstances,
    sampling: Sampling,
) -> Result<DurationEstimate, Error> {
    let measured = measure(source, parts, sampling).await?;
    Ok(from_rates(parts, measured, circumstances))
}

fn from_rates(parts: &[Part<'_>], measured: Option<f64>, circumstances: Circumstances) -> DurationEstimate {
    let Circumstances { write_quota, one_machine, .. } = circumstances;
    let read = measured.unwrap_or(READ_RATE_GUESS);
    let assumed = read / WRITE_COST;
    let write = write_quota.map_or(assumed, |quota| assumed.min(quota as f64));
    let both = |one: f64, other: f64| if one_machine { one + other } else { one.max(other) };
    let copied = |part: &Part<'_>| both(part.bytes() / read, part.bytes() / write);
    let loaded = |part: &Part<'_>| part.rows as f64 * part.size.vector_bytes() / LOAD_RATE;
    let compared = |part: &Part<'_>| loaded(part) + both(part.bytes() / read, part.bytes() / read);
    let verified = |part: &Part<'_>| match circumstances.verify {
        VerifyLevel::None => 0.0,
        VerifyLevel::Count | VerifyLevel::Sample => loaded(part),
        VerifyLevel::Full => compared(part),
    };
    let takes_warm_copies = match circumstances.target {
        Product::Milvus(_) => true,
        Product::LiteNative | Product::LitePython => false,
    };
    let steps = StepCosts::assumed(circumstances.target);
    let sum = |of: &dyn Fn(&Part<'_>) -> f64| parts.iter().map(of).sum::<f64>();
    let bytes = sum(&|part| part.bytes());
    let vectors = sum(&|part| part.rows as f64 * part.size.vector_bytes());
    let estimate = DurationEstimate {
        seconds: 0.0,
        copy_seconds: sum(&copied),
        steps_seconds: 0.0,
        verify_seconds: sum(&verified),
        // Until its steps are known.
        warm_window_seconds: takes_warm_copies.then_some(0.0),
        warm_compare_seconds: sum(&compared),
        steps: StepCosts::default(),
        index_seconds: circumstances
            .target_cores
            .map(|cores| vectors / (INDEX_RATE_OF_CORE * cores.max(1) as f64)),
        bytes: bytes as u64,
        read_bytes_per_second: read,
        read_is_measured: measured.is_some(),
        write_bytes_per_second: write,
        write_basis: if write < assumed { WriteBasis::Quota } else { WriteBasis::Assumed },
        one_machine,
        bottleneck: Some(if write < assumed {
            Bottleneck::TargetLimit
        } else if write <= read {
            Bottleneck::Target
        } else {
            Bottleneck::Source
        }),
        collections: parts
            .iter()
            .map(|part| {
                let steps = steps.of(1, part.partitions);
                (part.described.name.to_string(), copied(part) + verified(part) + steps)
            })
            .collect(),
    };
    let partitions = parts.iter().map(|part| part.partitions).sum();
    estimate.with_steps(steps, parts.len(), partitions)
}

impl DurationEstimate {
    /// In the list of checks.
    pub(crate) fn fact(&self) -> Told {
        // An estimate is not known to a tenth of a second.
        let (number, en, zh) = match self.seconds {
            seconds if seconds < 90.0 => (seconds.ceil().max(1.0), "s", "秒"),
            seconds if seconds < 5400.0 => ((seconds / 60.0).ceil(), "min", "分钟"),
            seconds => ((seconds / 360.0).ceil() / 10.0, "h", "小时"),
        };
        Told::both(format!("about {number} {en}"), format!("约 {number} {zh}"))
    }

    /// With other costs of the steps of so many collections with so many partitions in all.
    pub(crate) fn with_steps(self, steps: StepCosts, collections: usize, partitions: usize) -> Self {
        let steps_seconds = steps.of(collections, partitions);
        let seconds = self.copy_seconds + self.verify_seconds + steps_seconds;
        let warm_window_seconds = self.warm_window_seconds.map(|_| self.warm_compare_seconds + steps_seconds);
        Self { seconds, steps_seconds, warm_window_seconds, steps, ..self }
    }
}

/// Cores on which a server builds its indexes, by its own account; `None` where it gives none.
pub(crate) async fn index_cores(target: &Client) -> Result<Option<u64>, Error> {
    let Some(info) = target.system_info().await? else { return Ok(None) };
    let Some(nodes) = info["nodes_info"].as_array() else { return Ok(None) };
    let cores_of = |kind: &str| {
        let nodes = nodes.iter().filter(|node| node["infos"]["type"] == kind);
        let cores: Vec<_> =
            nodes.filter_map(|node| node["infos"]["hardware_infos"]["cpu_core_count"].as_u64()).collect();
        (!cores.is_empty()).then(|| cores.iter().sum())
    };
    // Since 2.6 the data nodes build them.
    Ok(cores_of("indexnode").or_else(|| cores_of("datanode")))
}

/// Bytes a second of the source: the first pages of the largest collection that is loaded, several at once.
async fn measure(source: &Client, parts: &[Part<'_>], sampling: Sampling) -> Result<Option<f64>, Error> {
    let loaded = parts.iter().filter(|part| part.is_loaded);
    let largest = loaded.max_by(|one, other| one.bytes().total_cmp(&other.bytes()));
    let Some(part) = largest.filter(|part| part.bytes() >= MEASURED_BYTES_MIN) else { return Ok(None) };
    let page_bytes =
        (part.bytes() * sampling.share_max / (READERS + 1) as f64).clamp(MEASURED_BYTES_MIN, PAGE_BYTES);
    let rows = (page_bytes / part.size.wire_bytes_or_guess()).clamp(1.0, PAGE_ROWS_MAX) as u32;
    let names: Vec<_> = part.described.schema.columns().into_iter().map(|column| column.name).collect();
    let key = part.described.schema.key_field().map(|field| field.name.clone()).unwrap_or_default();
    let query = Query {
        collection: &part.described.name,
        collection_id: part.described.id,
        selection: RowSelection::Everything,
        columns: &names,
        partition: None,
        rows_max: Some(rows),
        consistency: sampling.now,
    };
    let read = async || {
        let answer = source.query(&query).await?;
        // The copy looks at the keys of each page, too.
        Page::read(&answer, &key, None).map_err(|error| Error::own(ErrorKind::Malformed, "Query", error))?;
        Ok::<_, Error>(answer.len())
    };
    // The first page warms up what the server keeps in memory.
    let first = read().await;
    let begin = Instant::now();
    let pages = match first {
        Ok(_) => try_join_all((0..READERS).map(|_| read())).await,
        Err(error) => Err(error),
    };
    match pages {
        Ok(pages) => {
            let bytes: usize = pages.iter().sum();
            let seconds = begin.elapsed().max(Duration::from_millis(1)).as_secs_f64();
            Ok((bytes as f64 >= MEASURED_BYTES_MIN).then(|| bytes as f64 / seconds))
        }
        // An estimate is not worth a failed check.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::TooLarge | ErrorKind::RateLimited | ErrorKind::NotLoaded
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The estimate, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EstimateReport {
    /// Seconds that the job was to take, from its first write to its report; absent in records of earlier versions.
    #[serde(default)]
    pub seconds_estimated: Option<f64>,
    /// Seconds that the copy was to take.
    pub copy_seconds_estimated: f64,
    /// Seconds from the first row to the last; absent where an earlier attempt copied some of them.
    pub copy_seconds: Option<f64>,
    /// Seconds that the target was to need for its indexes, behind the job; absent where nothing tells.
    #[serde(default)]
    pub index_seconds_estimated: Option<f64>,
}

#[cfg(test)]
mod tests {
    use vecferry_milvus::CollectionName;
    use vecferry_milvus::proto::schema::CollectionSchema;
    use vecferry_milvus::schema::Schema;

    use super::*;
    use crate::cluster::row_size::{FieldSize, SizeBasis};

    fn described() -> Collection {
        Collection {
            name: CollectionName::new("d", "c"),
            id: 1,
            created_timestamp: 0,
            shards: 1,
            consistency: 0,
            aliases: Vec::new(),
            properties: Vec::new(),
            num_partitions: 1,
            schema: Schema::of(&CollectionSchema::default()),
        }
    }

    const ALONE: Circumstances = Circumstances {
        target: Product::Milvus(Some((2, 3))),
        target_cores: Some(2),
        write_quota: None,
        one_machine: false,
        verify: VerifyLevel::None,
    };

    /// A gigabyte in each of some collections.
    fn estimated(collections: usize, circumstances: Circumstances) -> DurationEstimate {
        let vectors =
            FieldSize { field: "vector".into(), bytes: 800.0, basis: SizeBasis::Type, is_vector: true };
        let size = RowSize { wire_bytes: 1000.0, fields: vec![vectors], ..RowSize::default() };
        let described = described();
        let part =
            || Part { described: &described, rows: 1_000_000, size: &size, is_loaded: true, partitions: 3 };
        let parts: Vec<_> = (0..collections).map(|_| part()).collect();
        from_rates(&parts, Some(60e6), circumstances)
    }

    #[test]
    fn the_slower_side_decides_and_a_shared_machine_pays_for_both() {
        let (read, write) = (1e9 / 60e6, 1e9 / (60e6 / WRITE_COST));
        for (quota, one_machine, seconds, basis, bottleneck) in [
            (None, false, write, WriteBasis::Assumed, Bottleneck::Target),
            (None, true, read + write, WriteBasis::Assumed, Bottleneck::Target),
            (Some(17_000_000), false, 1e9 / 17e6, WriteBasis::Quota, Bottleneck::TargetLimit),
            (Some(256_000_000), false, write, WriteBasis::Assumed, Bottleneck::Target),
        ] {
            let estimate = estimated(1, Circumstances { write_quota: quota, one_machine, ..ALONE });
            assert!((estimate.copy_seconds - seconds).abs() < 1e-6, "{estimate:?}");
            assert_eq!((estimate.write_basis, estimate.bottleneck), (basis, Some(bottleneck)));
            assert_eq!((estimate.bytes, estimate.collections.len()), (1_000_000_000, 1));
        }
    }

    #[test]
    fn steps_verification_and_copy_add_up_and_indexes_are_told_apart() {
        let of = |collections, verify| estimated(collections, Circumstances { verify, ..ALONE });
        let (one, ten) = (of(1, VerifyLevel::None), of(10, VerifyLevel::None));
        let further = StepCosts::assumed(ALONE.target);
        let each = further.each_seconds + 2.0 * further.partition_seconds;
        assert!((ten.steps_seconds - one.steps_seconds - 9.0 * each).abs() < 1e-6, "{ten:?}");
        assert!((one.index_seconds.unwrap() - 0.8e9 / (2.0 * INDEX_RATE_OF_CORE)).abs() < 1e-6);
        let mut longest = 0.0;
        for verify in [VerifyLevel::None, VerifyLevel::Sample, VerifyLevel::Full] {
            let estimate = of(1, verify);
            let sum = estimate.copy_seconds + estimate.steps_seconds + estimate.verify_seconds;
            assert!((estimate.seconds - sum).abs() < 1e-6 && sum > longest, "{estimate:?}");
            longest = sum;
        }
        // Whatever was asked for, a cut-over compares everything, and copies next to nothing.
        let full = of(1, VerifyLevel::Full);
        let window = of(1, VerifyLevel::None).warm_window_seconds.unwrap();
        assert!((window - full.verify_seconds - full.steps_seconds).abs() < 1e-6, "{full:?}");
        let lite = estimated(1, Circumstances { target: Product::LitePython, ..ALONE });
        assert_eq!(lite.warm_window_seconds, None);
        let measured = StepCosts { once_seconds: 1.0, each_seconds: 7.0, ..StepCosts::default() };
        let changed = ten.clone().with_steps(measured, 10, 10);
        assert!((changed.steps_seconds - 71.0).abs() < 1e-6);
        assert!((changed.seconds - changed.copy_seconds - 71.0).abs() < 1e-6);
    }
}
