//! Pages of organization.
