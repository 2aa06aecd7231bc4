//! Names of fields: what a source's expressions can't name can't be read page by page, and what a target does not allow
//! can't be created.

use vecferry_milvus::Client;
use vecferry_milvus::query::PICKED_ROWS_MAX;
use vecferry_policy::{Product, can_be_created, can_be_named};

use crate::cluster::connect::product;
use crate::cluster::inventory::Found;
use crate::problem::{Code, Problem, Side};

/// Rows that are read at once, to be picked here, have so many bytes at most.
const PICKED_BYTES_MAX: u64 = 32 << 20;
/// Guess of the bytes of a value whose type does not tell.
const VARIABLE_BYTES: usize = 512;

/// Whether the rows of a collection can be picked from all of them: there are few, and their columns are cut without more
/// ado, for which they may hold neither nulls nor structs.
fn can_be_picked(server: &Client, found: &Found) -> bool {
    let columns = found.described.schema.columns();
    let row_bytes: usize = columns.iter().map(|column| column.fixed_bytes().unwrap_or(VARIABLE_BYTES)).sum();
    let schema = found.described.schema.decoded();
    let is_plain = schema.struct_array_fields.is_empty() && schema.fields.iter().all(|field| !field.nullable);
    // milvus-lite 3 forgets the partition when it counts without an expression.
    let tells_partitions = product(server) != Product::LitePython || found.partitions.len() <= 1;
    let rows = found.rows_estimate;
    is_plain
        && tells_partitions
        && rows <= u64::from(PICKED_ROWS_MAX)
        && rows.saturating_mul(row_bytes as u64) <= PICKED_BYTES_MAX
}

/// What is to be said of a collection whose rows a server can't select by their primary key: a refusal, or a warning where
/// they can be picked from all of them.
fn unnamable_key(side: Side, server: &Client, found: &Found) -> Option<Problem> {
    let key = &found.described.schema.key_field()?.name;
    if can_be_named(product(server), key) {
        return None;
    }
    let code = if can_be_picked(server, found) { Code::KeyPicked } else { Code::KeyNotNamable };
    let problem = Problem::new(code).with("collection", &found.described.name).with("field", key);
    let problem = problem.with("side", side.name()).with("version", server.version());
    Some(problem.with("rows", found.rows_estimate))
}

/// The refusal of a collection whose rows can't be read by their primary key on a server.
pub(crate) fn unreadable_key(side: Side, server: &Client, found: &Found) -> Option<Problem> {
    let problem = unnamable_key(side, server, found)?;
    (problem.code == Code::KeyNotNamable).then_some(problem)
}

/// Everything about the names of a collection's fields that stands in the way of its migration.
pub(crate) fn names_of_fields(source: &Client, target: &Client, found: &Found) -> Vec<Problem> {
    let collection = &found.described;
    let schema = collection.schema.decoded();
    let structs = schema.struct_array_fields.iter();
    let names = schema.fields.iter().map(|field| &field.name).chain(structs.map(|field| &field.name));
    let forbidden = names.filter(|name| !can_be_created(product(target), name)).map(|name| {
        Problem::new(Code::FieldNotCreatable)
            .with("collection", &collection.name)
            .with("field", name)
            .with("version", target.version())
    });
    // The copy is proved, and repeated after a crash, by its keys on the target. A refusal says more than a warning.
    let keys = [(Side::Source, source), (Side::Target, target)]
        .map(|(side, server)| unnamable_key(side, server, found));
    let mut keys: Vec<_> = keys.into_iter().flatten().collect();
    keys.sort_by_key(|problem| problem.code != Code::KeyNotNamable);
    keys.into_iter().take(1).chain(forbidden).collect()
}
