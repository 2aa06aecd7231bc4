//! What each plan allows, from the vendor's page "Zilliz Cloud limits" (docs.zilliz.com/docs/limits) and, for plain Milvus, from its
//! default configuration.

use crate::deployment::Deployment;

/// Limits of a cluster. `None` is no limit, or none that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Databases.
    pub databases_max: Option<u64>,
    /// Collections of the cluster.
    pub collections_max: Option<u64>,
    /// Partitions of the cluster.
    pub partitions_max: Option<u64>,
    /// Partitions of a collection.
    pub partitions_per_collection_max: Option<u64>,
    /// Fields of a collection.
    pub fields_max: Option<u64>,
    /// Vector fields of a collection.
    pub vector_fields_max: Option<u64>,
    /// Shards of a collection.
    pub shards_max: Option<u64>,
    /// Dimension of a vector.
    pub dimension_max: Option<u64>,
    /// Collections that one migration takes.
    pub collections_per_job_max: Option<u64>,
    /// Bytes of all rows.
    pub storage_bytes_max: Option<u64>,
    /// Bytes a second that are written at most.
    pub write_bytes_per_second: Option<u64>,
}

const MB: u64 = 1_000_000;

/// The limits of a plan; with the size of its compute, where that is known.
pub fn limits(deployment: Deployment, cu: Option<u64>) -> Limits {
    let cloud = Limits {
        fields_max: Some(64),
        vector_fields_max: Some(4),
        shards_max: Some(2),
        dimension_max: Some(32_768),
        partitions_per_collection_max: Some(1_024),
        databases_max: Some(1),
        ..Limits::default()
    };
    match deployment {
        Deployment::Free => Limits {
            collections_max: Some(5),
            collections_per_job_max: Some(5),
            storage_bytes_max: Some(5_000 * MB),
            write_bytes_per_second: Some(2 * MB),
            ..cloud
        },
        Deployment::Serverless => Limits {
            collections_max: Some(100),
            collections_per_job_max: Some(10),
            write_bytes_per_second: Some(10 * MB),
            ..cloud
        },
        Deployment::Dedicated => Limits {
            databases_max: Some(1_024),
            vector_fields_max: Some(10),
            collections_per_job_max: Some(10),
            collections_max: Some(cu.map_or(16_384, |cu| (1_024 * cu).min(16_384))),
            partitions_max: Some(cu.map_or(65_536, |cu| (4_096 * cu).min(65_536))),
            shards_max: Some(cu.map_or(16, shards_of)),
            write_bytes_per_second: cu.map(|cu| (16 + cu).min(256) * MB),
            ..cloud
        },
        // Milvus' defaults: proxy.maxFieldNum, proxy.maxVectorFieldNum, proxy.maxShardNum, proxy.maxDimension,
        // rootCoord.maxPartitionNum, quotaAndLimits.limits.maxCollectionNum. An operator may have set others.
        Deployment::SelfHosted => Limits {
            fields_max: Some(64),
            vector_fields_max: Some(4),
            shards_max: Some(16),
            dimension_max: Some(32_768),
            collections_max: Some(65_536),
            ..Limits::default()
        },
    }
}

fn shards_of(cu: u64) -> u64 {
    match cu {
        0..=2 => 2,
        3..=8 => 4,
        9..=64 => 8,
        _ => 16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_grow_with_the_plan() {
        let free = limits(Deployment::Free, None);
        assert_eq!(
            (free.collections_max, free.collections_per_job_max, free.databases_max),
            (Some(5), Some(5), Some(1))
        );
        let serverless = limits(Deployment::Serverless, None);
        assert_eq!(
            (serverless.collections_max, serverless.write_bytes_per_second),
            (Some(100), Some(10 * MB))
        );
        for (cu, collections, shards, megabytes) in
            [(1, 1_024, 2, 17), (4, 4_096, 4, 20), (16, 16_384, 8, 32), (300, 16_384, 16, 256)]
        {
            let of = limits(Deployment::Dedicated, Some(cu));
            assert_eq!(
                (of.collections_max, of.shards_max, of.write_bytes_per_second),
                (Some(collections), Some(shards), Some(megabytes * MB)),
                "{cu} CU"
            );
            assert_eq!((of.vector_fields_max, of.collections_per_job_max), (Some(10), Some(10)));
        }
        let own = limits(Deployment::SelfHosted, None);
        assert_eq!((own.collections_per_job_max, own.write_bytes_per_second), (None, None));
    }
}
