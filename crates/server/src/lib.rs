//! The service: organizations, projects, clusters, roles and jobs behind a REST API.
