//! The service: organizations, projects, users, roles, clusters and migration jobs behind a REST API.
//!
//! [`Service::open`] opens it in a store, [`serve`] serves it on a listener. Several processes can serve one store. What a
//! migration does is decided by `vecferry-migrate` alone; this crate knows whose it is, whether it may run now, and what
//! is told of it. It may not know arguments, terminals and configuration files.

// The futures of requests hold those of the engine.
#![recursion_limit = "256"]

mod access;
mod api;
mod console;
mod destination;
mod example;
mod gate;
mod hooks;
mod jobs;
pub mod metrics;
pub mod network;
mod oidc;
mod outbound;
mod outline;
mod presence;
mod problem;
pub mod secret;
mod serve;
mod service;
mod settings;
mod tables;
mod throttle;
mod tls;
pub mod traces;
mod watch;

pub use api::openapi;
pub use serve::serve;
pub use service::Service;
pub use settings::{JobLimits, OidcSettings, RequestLimits, Settings};
pub use tls::{Certificates, Error as CertificateError};
