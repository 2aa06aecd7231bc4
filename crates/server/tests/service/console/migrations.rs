//! Pages of migrations.
