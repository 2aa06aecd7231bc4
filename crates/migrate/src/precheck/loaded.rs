//! Whether the source's collections can be read: each is loaded, or can be and fits.

use vecferry_milvus::{Error, Flavor};
use vecferry_policy::Product;

use super::definitions::Checks;
use super::list::{CheckList, some_collections};
use crate::cluster::connect::product;
use crate::cluster::inventory::Found;
use crate::cluster::load_state;
use crate::plan::PlannedCollection;
use crate::problem::{CheckId, Code, Problem, Side, does_not_fit, partitions_disagree};
use crate::request::SourceLoad;
use crate::tuning::Tuning;

impl Checks<'_> {
    pub(super) async fn readable(&mut self, found: &Found) -> Result<(), Error> {
        let name = &found.described.name;
        if let Some(sum) = found.rows_of_partitions.filter(|sum| *sum > found.rows_estimate) {
            self.problems.push(partitions_disagree(name, found.rows_estimate, sum));
        }
        if !self.can_load(found) {
            if found.rows_estimate > 0 && self.lacks_a_vector(found) {
                self.problems.push(
                    Problem::new(Code::NoVectorField)
                        .with("collection", name)
                        .with("rows", found.rows_estimate)
                        .with("version", self.source.version()),
                );
            } else if found.rows_estimate > 0 {
                let field = found.unindexed_vector().unwrap_or_default();
                self.problems.push(
                    Problem::new(Code::NoIndex)
                        .with("collection", name)
                        .with("rows", found.rows_estimate)
                        .with("field", field),
                );
            }
            return Ok(());
        }
        if found.load.is_complete() {
            return Ok(());
        }
        if self.request.source_load == SourceLoad::Never {
            let detail = found.load.describe();
            self.problems
                .push(Problem::new(Code::SourceNotLoaded).with("collection", name).told("detail", detail));
            return Ok(());
        }
        let rows = load_state::stored_rows(self.source, name).await?.unwrap_or(found.rows_estimate);
        let needed = load_state::memory_estimate(&found.described, rows);
        if let Some(free) = load_state::free_memory(self.source).await?
            && needed > free
        {
            self.problems.push(does_not_fit(name, Side::Source, needed, free));
        }
        Ok(())
    }

    /// Lite reads collections without an index; Milvus does not load them.
    pub(super) fn can_load(&self, found: &Found) -> bool {
        self.source.version().flavor != Flavor::Milvus
            || found.unindexed_vector().is_none() && !self.lacks_a_vector(found)
    }

    /// Some releases make collections without a vector field, but 2.3 does not load them.
    fn lacks_a_vector(&self, found: &Found) -> bool {
        product(self.source) == Product::Milvus(Some((2, 3)))
            && found.described.schema.vector_fields().is_empty()
    }
}

/// How many collections are loaded, and which are on their way to it.
pub(super) fn load_states(list: &mut CheckList, collections: &[PlannedCollection]) {
    let waiting = collections.iter().filter(|planned| planned.needs_load).count();
    let (loaded, all) = (collections.len() - waiting, some_collections(collections.len()));
    let fact =
        all.within(|all| format!("{loaded} of {all} loaded"), |all| format!("{all} 中已加载 {loaded} 个"));
    list.passed(CheckId::SourceLoaded, [fact]);
    for planned in collections.iter().filter(|planned| planned.load.is_on_its_way()) {
        let problem = Problem::new(Code::SourceLoading).with("collection", &planned.source);
        let minutes = Tuning::default().load_stall_max.as_secs() / 60;
        list.warn(CheckId::SourceLoaded, problem.with("minutes", minutes));
    }
}
