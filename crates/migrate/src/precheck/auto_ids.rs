//! Auto-generated IDs: whether the target keeps them, or generates its own.

use std::collections::BTreeSet;

use vecferry_policy::Feature;

use super::definitions::Checks;
use crate::cluster::inventory::Found;
use crate::plan::{Keys, NewIndex};
use crate::problem::{Code, Problem};
use crate::request::AutoId;

impl Checks<'_> {
    pub(super) fn auto_ids(&mut self, found: &Found, indexes: &[NewIndex]) {
        let schema = &found.described.schema;
        match self.keys(found) {
            Keys::Copied if schema.is_auto_id() => {
                self.problems.push(Problem::new(Code::AutoId).with("collection", &found.described.name));
            }
            Keys::Kept => {
                let key = schema.key_field().map(|field| field.name.clone()).unwrap_or_default();
                self.unsupported(found, Feature::KeptAutoId, &BTreeSet::from([key]), indexes);
            }
            Keys::Copied | Keys::Regenerated => {}
        }
    }

    /// What becomes of the keys. Servers give new rows new keys, and the old ones are lost, unless told otherwise.
    pub(super) fn keys(&self, found: &Found) -> Keys {
        match self.request.auto_id {
            AutoId::Keep if found.described.schema.is_auto_id() => Keys::Kept,
            AutoId::Regenerate if found.described.schema.is_auto_id() => Keys::Regenerated,
            AutoId::Refuse | AutoId::Keep | AutoId::Regenerate => Keys::Copied,
        }
    }
}
