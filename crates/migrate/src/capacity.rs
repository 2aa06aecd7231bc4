//! What the collections of a source need on a target: bytes, compute units of each type, and time.

use serde::Serialize;
use vecferry_milvus::Endpoint;
use vecferry_policy::CuType;
use vecferry_policy::capacity::{Load, MARGIN, size_for, units};

use crate::cluster::Cluster;
use crate::cluster::connect::{cluster, connect, product, refusal};
use crate::cluster::inventory;
use crate::cluster::row_size::{FieldSize, RowSize, row_sizes};
use crate::cluster::visible;
use crate::plan::Plan;
use crate::plan::estimate::{self, Circumstances, DurationEstimate, Part, Sampling};
use crate::problem::{Code, Problem, Side};
use crate::request::{Selection, VerifyLevel};

/// Which collections.
#[derive(Clone, Debug)]
pub struct CapacityRequest {
    /// Where they are.
    pub source: Endpoint,
    /// Which of them.
    pub selection: Selection,
    /// Whether of whole databases only what the user sees is meant.
    pub visible_only: bool,
}

/// What they need.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CapacityReport {
    /// Collection by collection.
    pub collections: Vec<CollectionCapacity>,
    /// Rows of all of them.
    pub rows: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Compute units of each type.
    pub units: Vec<UnitsNeeded>,
    /// Share that is added to the units before a size is chosen, in percent.
    pub margin_percent: f64,
    /// How long a copy takes, as far as the source decides it.
    pub duration: Option<DurationEstimate>,
    /// What is worth knowing.
    pub warnings: Vec<Problem>,
}

/// What one collection needs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CollectionCapacity {
    /// Its name.
    pub collection: String,
    /// Its rows, counted where it is loaded and by statistics elsewhere.
    pub rows: u64,
    /// Bytes of a row.
    pub row_bytes: f64,
    /// Bytes of all rows.
    pub bytes: u64,
    /// Rows that were looked at.
    pub sampled_rows: u64,
    /// Field by field.
    pub fields: Vec<FieldSize>,
}

/// Compute units of a type.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UnitsNeeded {
    /// The type.
    pub cu_type: CuType,
    /// Units that the rows fill, without margin.
    pub units: f64,
    /// Size to order, with margin; absent beyond the largest.
    pub size: Option<u64>,
}

/// Looks at a source. Nothing is written anywhere.
///
/// # Errors
/// It can't be reached, or what was asked for is not there.
pub async fn capacity(request: CapacityRequest) -> Result<(Cluster, CapacityReport), Vec<Problem>> {
    let source = connect(Side::Source, &request.source).await.map_err(|problem| vec![problem])?;
    let visible = visible::check(&source, Side::Source, &request.selection, request.visible_only).await?;
    let names = inventory::select(&source, Side::Source, &request.selection).await?;
    let failed = |error: vecferry_milvus::Error| vec![refusal(Side::Source, &error)];
    let now = inventory::as_of_now(&source).await.map_err(failed)?;
    let found = inventory::read(&source, &names, now).await.map_err(failed)?;
    let sizes = row_sizes(&source, &found, now).await.map_err(failed)?;
    let both = || found.iter().zip(&sizes);
    let parts: Vec<_> = both()
        .map(|(found, size)| Part {
            described: &found.described,
            rows: found.rows_estimate,
            size,
            is_loaded: found.load.is_complete(),
            partitions: if found.described.schema.has_partition_key() { 1 } else { found.partitions.len() },
        })
        .collect();
    // Of the target nothing is known but that it takes what the source holds.
    let circumstances = Circumstances {
        target: product(&source),
        target_cores: None,
        write_quota: None,
        one_machine: false,
        verify: VerifyLevel::Sample,
    };
    let duration =
        estimate::estimate(&source, &parts, circumstances, Sampling::thorough(now)).await.map_err(failed)?;
    let collections =
        both().map(|(found, size)| (found.described.name.to_string(), found.rows_estimate, size));
    let mut report = report(collections, Some(duration));
    report.warnings.extend(visible.sentence());
    Ok((cluster(&source), report))
}

/// What the collections of a plan need, without asking anybody.
pub fn capacity_of_plan(plan: &Plan) -> CapacityReport {
    let collections =
        plan.here().map(|(_, planned)| (planned.source.to_string(), planned.rows_estimate, &planned.size));
    let mut report = report(collections, plan.duration.clone());
    let of_what_is_left_out = plan.warnings.iter().filter(|warning| warning.code == Code::VisibleOnly);
    report.warnings.extend(of_what_is_left_out.cloned());
    report
}

fn report<'a>(
    collections: impl Iterator<Item = (String, u64, &'a RowSize)>,
    duration: Option<DurationEstimate>,
) -> CapacityReport {
    let mut loads: Vec<Load> = Vec::new();
    let mut needed = Vec::new();
    for (collection, rows, size) in collections {
        loads.push(size.load(rows));
        needed.push(CollectionCapacity {
            collection,
            rows,
            row_bytes: size.bytes(),
            bytes: (rows as f64 * size.bytes()) as u64,
            sampled_rows: size.sampled_rows,
            fields: size.fields.clone(),
        });
    }
    let of_type = |kind: CuType| {
        let filled = units(kind, &loads);
        UnitsNeeded { cu_type: kind, units: filled, size: size_for(kind, filled) }
    };
    CapacityReport {
        rows: needed.iter().map(|collection| collection.rows).sum(),
        bytes: needed.iter().map(|collection| collection.bytes).sum(),
        collections: needed,
        units: CuType::ALL.into_iter().map(of_type).collect(),
        margin_percent: MARGIN * 100.0,
        duration,
        warnings: Vec::new(),
    }
}
