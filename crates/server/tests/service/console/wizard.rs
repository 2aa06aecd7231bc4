//! Pages of wizard.
