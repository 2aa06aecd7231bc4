//! Pages of clusters.
