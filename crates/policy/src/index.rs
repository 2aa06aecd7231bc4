//! Which server builds which index.
//!
//! From the vendor's release notes and documentation, and from measurements on 2.3.5 and on milvus-lite 2.5.1 and 3.2.2.
//! The table only decides what is asked for: what a server refuses although it is in the table is noticed when the index
//! is made.

use crate::feature::{Product, Support};

/// The index that every server has for vectors, and that a migration builds by contract.
pub const AUTOINDEX: &str = "AUTOINDEX";

/// A vector type, as far as indexes differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VectorKind {
    /// float32.
    Float,
    /// Other dense vectors of numbers.
    OtherDense,
    /// Bits.
    Binary,
    /// Pairs of index and value.
    Sparse,
}

/// The index a target builds on a vector: AUTOINDEX by contract, and the nearest thing where lite has none
/// (measured on milvus-lite 2.5.1 and 3.2.2: each kind of vector takes just the one named here).
pub fn vector_index(product: Product, kind: VectorKind) -> &'static str {
    match (product, kind) {
        (Product::Milvus(_), _)
        | (Product::LiteNative | Product::LitePython, VectorKind::Float)
        | (Product::LitePython, VectorKind::OtherDense | VectorKind::Binary) => AUTOINDEX,
        (Product::LiteNative | Product::LitePython, VectorKind::Sparse) => "SPARSE_INVERTED_INDEX",
        (Product::LiteNative, VectorKind::OtherDense) => "FLAT",
        (Product::LiteNative, VectorKind::Binary) => "BIN_FLAT",
    }
}

/// Whether a server builds the very index of the source on a vector. Zilliz Cloud builds its own index only.
pub fn keeps_vector_index(product: Product, index_type: &str) -> bool {
    match product {
        Product::Milvus(None) => false,
        Product::Milvus(Some(release)) => vector_since(index_type).is_none_or(|since| release >= since),
        // milvus-lite 2 reports other indexes than it was asked for.
        Product::LiteNative => false,
        Product::LitePython => {
            ["HNSW", "HNSW_SQ", "IVF_FLAT", "IVF_SQ8", "SPARSE_INVERTED_INDEX"].contains(&index_type)
        }
    }
}

/// First release with an index; `None` for one that this table does not know: the server is asked.
fn vector_since(index_type: &str) -> Option<(u32, u32)> {
    Some(match index_type {
        "FLAT" | "IVF_FLAT" | "IVF_SQ8" | "IVF_PQ" | "HNSW" | "BIN_FLAT" | "BIN_IVF_FLAT" => (2, 0),
        "DISKANN" => (2, 2),
        "SCANN" | "GPU_IVF_FLAT" | "GPU_IVF_PQ" => (2, 3),
        "GPU_CAGRA" | "GPU_BRUTE_FORCE" | "SPARSE_INVERTED_INDEX" | "SPARSE_WAND" => (2, 4),
        "HNSW_SQ" | "HNSW_PQ" | "HNSW_PRQ" => (2, 5),
        "IVF_RABITQ" | "MINHASH_LSH" | "AISAQ" => (2, 6),
        _ => return None,
    })
}

/// Whether a server builds an index on a scalar field or on a path in a JSON field.
pub fn scalar_index(product: Product, index_type: &str, on_json_path: bool) -> Support {
    match product {
        Product::Milvus(release) => {
            let since = scalar_since(index_type).max(if on_json_path { (2, 5) } else { (0, 0) });
            match release {
                // A server that says no number is Zilliz Cloud, which runs the newest release.
                None => Support::Yes,
                Some(release) if release >= since => Support::Yes,
                Some(_) => Support::Since(since.0, since.1),
            }
        }
        // Measured: it accepts every name and builds nothing.
        Product::LiteNative => Support::Yes,
        // Measured: it knows INVERTED, and calls AUTOINDEX and no name at all the same.
        Product::LitePython => match index_type.to_ascii_uppercase().as_str() {
            "INVERTED" | "AUTOINDEX" | "" => Support::Yes,
            _ => Support::No,
        },
    }
}

/// First release with an index on scalars; the first of all for one that this table does not know.
fn scalar_since(index_type: &str) -> (u32, u32) {
    match index_type.to_ascii_uppercase().as_str() {
        "INVERTED" => (2, 4),
        "BITMAP" | "HYBRID" => (2, 5),
        "NGRAM" | "RTREE" => (2, 6),
        _ => (2, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn milvus(major: u32, minor: u32) -> Product {
        Product::Milvus(Some((major, minor)))
    }

    #[test]
    fn a_vector_keeps_its_index_where_the_server_has_it() {
        for (product, index_type, keeps) in [
            (milvus(2, 3), "HNSW", true),
            (milvus(2, 3), "HNSW_SQ", false),
            (milvus(2, 5), "HNSW_SQ", true),
            (milvus(2, 3), "OF_THE_FUTURE", true),
            (Product::Milvus(None), "HNSW", false),
            (Product::LiteNative, "HNSW", false),
            (Product::LitePython, "IVF_SQ8", true),
            (Product::LitePython, "DISKANN", false),
        ] {
            assert_eq!(keeps_vector_index(product, index_type), keeps, "{product:?} {index_type}");
        }
    }

    #[test]
    fn indexes_of_scalars_come_with_their_release() {
        for (product, index_type, path, support) in [
            (milvus(2, 3), "Trie", false, Support::Yes),
            (milvus(2, 3), "INVERTED", false, Support::Since(2, 4)),
            (milvus(2, 4), "INVERTED", true, Support::Since(2, 5)),
            (milvus(2, 5), "bitmap", false, Support::Yes),
            (milvus(2, 5), "RTREE", false, Support::Since(2, 6)),
            (Product::Milvus(None), "NGRAM", false, Support::Yes),
            (Product::LitePython, "INVERTED", false, Support::Yes),
            (Product::LitePython, "STL_SORT", false, Support::No),
        ] {
            assert_eq!(scalar_index(product, index_type, path), support, "{product:?} {index_type}");
        }
    }
}
