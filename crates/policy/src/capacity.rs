//! How many compute units (CU) rows need, by the vendor's table of vectors per CU
//! (docs.zilliz.com/docs/cu-types-explained).
//!
//! The table is of collections that hold a key and a vector. Read as bytes it is one constant a type of compute unit for
//! dimensions from 256 on, and a smaller one for 128; other columns are counted by their bytes, which is an estimate: the
//! vendor publishes no figure for them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A type of compute unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CuType {
    /// Performance-optimized (性能型).
    Performance,
    /// Capacity-optimized (容量型).
    Capacity,
    /// Tiered-storage (分层存储型), from 8 CU on.
    Tiered,
}

impl CuType {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Performance, Self::Capacity, Self::Tiered];

    /// Reads the vendor's word.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        Self::ALL.into_iter().find(|kind| text.starts_with(&kind.to_string().to_ascii_lowercase()))
    }

    /// Fewest units that there are of it.
    pub fn cu_min(self) -> u64 {
        if self == Self::Tiered { 8 } else { 1 }
    }

    /// Bytes that one unit holds, of rows whose vectors have so many bytes.
    fn unit_bytes(self, vector_bytes: f64) -> f64 {
        let (small, large) = match self {
            Self::Performance => (3.84e9, 4.608e9),
            Self::Capacity => (12.8e9, 15.36e9),
            Self::Tiered => (51.2e9, 61.44e9),
        };
        if vector_bytes <= SMALL_VECTOR_BYTES { small } else { large }
    }
}

impl fmt::Display for CuType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Performance => "Performance",
            Self::Capacity => "Capacity",
            Self::Tiered => "Tiered",
        })
    }
}

/// 128 dimensions of float32; up to here the table has its smaller constants.
const SMALL_VECTOR_BYTES: f64 = 512.0;
/// Share that is added for what an estimate can't know.
pub const MARGIN: f64 = 0.2;
/// The largest size that the vendor's console offers.
const CU_MAX: u64 = 256;

/// Rows of one size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// How many.
    pub rows: u64,
    /// Bytes of a row, its vectors among them.
    pub row_bytes: f64,
    /// Bytes of the vectors of a row.
    pub vector_bytes: f64,
}

/// Vectors of a dimension (float32) that one unit holds, by the table.
pub fn vectors_per_cu(kind: CuType, dimension: u64) -> f64 {
    let bytes = dimension as f64 * 4.0;
    kind.unit_bytes(bytes) / bytes
}

/// Units that some loads fill together, without any margin.
pub fn units(kind: CuType, loads: &[Load]) -> f64 {
    loads.iter().map(|load| load.rows as f64 * load.row_bytes / kind.unit_bytes(load.vector_bytes)).sum()
}

/// The size to order for some units: with the margin, and one that exists. `None` beyond the largest.
pub fn size_for(kind: CuType, units: f64) -> Option<u64> {
    let wanted = (units * (1.0 + MARGIN)).max(kind.cu_min() as f64);
    ladder().find(|size| *size as f64 >= wanted)
}

/// The sizes that exist: 1, 2, 4, 6, 8, then in steps of 4 up to 64 and of 8 up to 256.
fn ladder() -> impl Iterator<Item = u64> {
    [1, 2, 4, 6, 8].into_iter().chain((12..=64).step_by(4)).chain((72..=CU_MAX).step_by(8))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All fifteen cells of the published table, in millions of vectors.
    #[test]
    fn the_published_table_is_reproduced() {
        for (dimension, cells) in [
            (128, [7.5, 25.0, 100.0]),
            (256, [4.5, 15.0, 60.0]),
            (512, [2.25, 7.5, 30.0]),
            (768, [1.5, 5.0, 20.0]),
            (1024, [1.125, 3.75, 15.0]),
        ] {
            for (kind, millions) in CuType::ALL.into_iter().zip(cells) {
                let found = vectors_per_cu(kind, dimension) / 1e6;
                assert!((found - millions).abs() < 1e-9, "{kind} {dimension}: {found}");
                let bytes = dimension as f64 * 4.0;
                let load = Load { rows: (millions * 1e6) as u64, row_bytes: bytes, vector_bytes: bytes };
                assert!((units(kind, &[load]) - 1.0).abs() < 1e-6, "{kind} {dimension}");
            }
        }
    }

    /// The vendor's example: 8 million vectors of 768 dimensions need 6 Performance units, before any margin.
    #[test]
    fn sizes_are_those_that_exist() {
        let load = Load { rows: 8_000_000, row_bytes: 3072.0, vector_bytes: 3072.0 };
        assert!((units(CuType::Performance, &[load]) - 8.0 / 1.5).abs() < 1e-9);
        for (kind, needed, size) in [
            (CuType::Performance, 0.0, Some(1)),
            (CuType::Performance, 8.0 / 1.5 / 1.2, Some(6)),
            (CuType::Performance, 8.0 / 1.5, Some(8)),
            (CuType::Capacity, 1.0, Some(2)),
            (CuType::Capacity, 7.0, Some(12)),
            (CuType::Capacity, 53.0, Some(64)),
            (CuType::Capacity, 54.0, Some(72)),
            (CuType::Tiered, 0.1, Some(8)),
            (CuType::Performance, 213.0, Some(256)),
            (CuType::Performance, 214.0, None),
        ] {
            assert_eq!(size_for(kind, needed), size, "{kind} {needed}");
        }
    }

    #[test]
    fn types_are_read_as_the_vendor_writes_them() {
        for (text, kind) in [
            ("Performance-optimized", Some(CuType::Performance)),
            ("capacity", Some(CuType::Capacity)),
            ("Tiered-storage", Some(CuType::Tiered)),
            ("", None),
        ] {
            assert_eq!(CuType::parse(text), kind, "{text}");
        }
    }
}
