//! The service: organizations, projects, clusters, roles and jobs behind a REST API.

pub mod network;
pub mod secret;
#[allow(dead_code, reason = "the routes that call it are not written yet")]
mod throttle;
#[allow(dead_code, reason = "the listener that uses it is not written yet")]
mod tls;
