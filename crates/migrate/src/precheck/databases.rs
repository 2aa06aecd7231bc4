//! Databases of the target: those that the job creates, and those that are there.

use std::collections::{BTreeMap, BTreeSet};

use vecferry_milvus::DB_DEFAULT;

use super::definitions::Checks;
use crate::cluster::connect::refusal;
use crate::plan::PlannedCollection;
use crate::problem::{Problem, Side};

impl Checks<'_> {
    /// Databases that must be made; a database that the user renamed to must be allowed.
    pub(super) async fn databases(
        &mut self,
        collections: &[PlannedCollection],
    ) -> Result<Vec<String>, Vec<Problem>> {
        let existing = self.target.databases().await.map_err(|error| vec![refusal(Side::Target, &error)])?;
        let wanted: BTreeMap<_, _> = collections
            .iter()
            .map(|planned| (planned.target.db.as_str(), planned.source.db.as_str()))
            .collect();
        let is_missing = |db: &str| db != DB_DEFAULT && existing.iter().all(|known| known != db);
        let mut missing = Vec::new();
        for (db, of_source) in wanted.into_iter().filter(|(db, _)| is_missing(db)) {
            // It is made with these; whether they may be read is known before the start.
            let properties = self.source.database_properties(of_source).await;
            properties.map_err(|error| vec![refusal(Side::Source, &error)])?;
            missing.push(db.to_owned());
        }
        Ok(missing)
    }

    /// Databases of the target that are there already; `default` stands for those that are not.
    pub(super) fn known_databases<'a>(
        &self,
        collections: &'a [PlannedCollection],
        new_databases: &[String],
    ) -> BTreeSet<&'a str> {
        let known = |db: &'a String| if new_databases.contains(db) { DB_DEFAULT } else { db.as_str() };
        collections.iter().map(|planned| known(&planned.target.db)).collect()
    }
}
