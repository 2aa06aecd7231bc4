//! The service: organizations, projects, clusters, roles and jobs behind a REST API.

pub mod network;
pub mod secret;
