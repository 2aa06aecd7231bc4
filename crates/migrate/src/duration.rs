//! How long the copy will take: the source's rate is measured on real pages, the target's is what its plan allows, or
//! assumed from the source's.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use vecferry_milvus::wire::Page;
use vecferry_milvus::{Client, Collection, Error, ErrorKind, Query};

use crate::event::Bottleneck;
use crate::inventory::as_of_now;
use crate::plan::Plan;
use crate::size::RowSize;

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
/// A collection's own steps, whatever its rows: create, flush, index.
const COLLECTION_SECONDS: f64 = 0.5;
/// Collections whose steps go on side by side.
const SIDE_BY_SIDE: f64 = 8.0;

/// An estimate of the copy, without the proof that follows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DurationEstimate {
    /// Seconds of the copy.
    pub seconds: f64,
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

/// A collection as far as the time of its copy depends on it.
pub(crate) struct Part<'a> {
    pub(crate) described: &'a Collection,
    pub(crate) rows: u64,
    pub(crate) size: &'a RowSize,
    /// Whether it can be read now.
    pub(crate) is_loaded: bool,
}

impl Part<'_> {
    fn bytes(&self) -> f64 {
        self.rows as f64 * self.size.wire_bytes_or_guess()
    }
}

/// The collections of a plan.
pub(crate) fn parts(plan: &Plan) -> Vec<Part<'_>> {
    plan.collections
        .iter()
        .map(|planned| Part {
            described: &planned.described,
            rows: planned.rows_estimate,
            size: &planned.size,
            is_loaded: planned.answers(),
        })
        .collect()
}

/// Estimates the copy of some collections. `write_quota` is what the target's plan allows, in bytes a second.
pub(crate) async fn estimate(
    source: &Client,
    parts: &[Part<'_>],
    write_quota: Option<u64>,
    one_machine: bool,
) -> Result<DurationEstimate, Error> {
    let measured = measure(source, parts).await?;
    Ok(from_rates(parts, measured, write_quota, one_machine))
}

fn from_rates(
    parts: &[Part<'_>],
    measured: Option<f64>,
    write_quota: Option<u64>,
    one_machine: bool,
) -> DurationEstimate {
    let read = measured.unwrap_or(READ_RATE_GUESS);
    let assumed = read / WRITE_COST;
    let write = write_quota.map_or(assumed, |quota| assumed.min(quota as f64));
    let seconds_of = |bytes: f64| {
        let (reading, writing) = (bytes / read, bytes / write);
        if one_machine { reading + writing } else { reading.max(writing) }
    };
    let bytes: f64 = parts.iter().map(Part::bytes).sum();
    let number = parts.len() as f64;
    let steps = number * COLLECTION_SECONDS / SIDE_BY_SIDE.min(number).max(1.0);
    DurationEstimate {
        seconds: seconds_of(bytes) + steps,
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
            .map(|part| (part.described.name.to_string(), seconds_of(part.bytes()) + COLLECTION_SECONDS))
            .collect(),
    }
}

/// Bytes a second of the source: the first pages of the largest collection that is loaded, several at once.
async fn measure(source: &Client, parts: &[Part<'_>]) -> Result<Option<f64>, Error> {
    let loaded = parts.iter().filter(|part| part.is_loaded);
    let largest = loaded.max_by(|one, other| one.bytes().total_cmp(&other.bytes()));
    let Some(part) = largest.filter(|part| part.bytes() >= MEASURED_BYTES_MIN) else { return Ok(None) };
    let rows = (PAGE_BYTES / part.size.wire_bytes_or_guess()).clamp(1.0, PAGE_ROWS_MAX) as u32;
    let names: Vec<_> = part.described.schema.columns().into_iter().map(|column| column.name).collect();
    let key = part.described.schema.key_field().map(|field| field.name.clone()).unwrap_or_default();
    let query = Query {
        collection: &part.described.name,
        collection_id: part.described.id,
        expression: String::new(),
        columns: &names,
        partition: None,
        rows_max: Some(rows),
        consistency: as_of_now(source).await?,
    };
    let read = async || {
        let answer = source.query(&query).await?;
        // The copy looks at the keys of each page, too.
        Page::read(&answer, &key, None)
            .map_err(|error| Error::new(ErrorKind::Malformed, "Query", error.to_string()))?;
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
    /// Seconds that the copy was to take.
    pub copy_seconds_estimated: f64,
    /// Seconds from the first row to the last; absent where an earlier attempt copied some of them.
    pub copy_seconds: Option<f64>,
}

#[cfg(test)]
mod tests {
    use vecferry_milvus::CollectionName;
    use vecferry_milvus::proto::schema::CollectionSchema;
    use vecferry_milvus::schema::Schema;

    use super::*;

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

    /// A gigabyte in one collection.
    fn estimated(quota: Option<u64>, one_machine: bool) -> DurationEstimate {
        let (described, size) = (described(), RowSize { wire_bytes: 1000.0, ..RowSize::default() });
        let part = Part { described: &described, rows: 1_000_000, size: &size, is_loaded: true };
        from_rates(&[part], Some(60e6), quota, one_machine)
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
            let estimate = estimated(quota, one_machine);
            assert!((estimate.seconds - seconds - COLLECTION_SECONDS).abs() < 1e-6, "{estimate:?}");
            assert_eq!((estimate.write_basis, estimate.bottleneck), (basis, Some(bottleneck)));
            assert_eq!((estimate.bytes, estimate.collections.len()), (1_000_000_000, 1));
        }
    }
}
