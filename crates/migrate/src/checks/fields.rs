//! Names of fields: what a source's expressions can't name can't be read page by page, and what a target does not allow
//! can't be created.

use vecferry_milvus::{Client, Collection};
use vecferry_policy::{can_be_created, can_be_named};

use crate::connect::{Side, product};
use crate::problem::{Code, Problem};

/// The refusal of a collection whose rows a server can't select by their primary key.
pub(crate) fn unnamable_key(side: Side, server: &Client, collection: &Collection) -> Option<Problem> {
    let key = &collection.schema.key_field()?.name;
    (!can_be_named(product(server), key)).then(|| {
        Problem::new(Code::KeyNotNamable)
            .with("collection", &collection.name)
            .with("field", key)
            .with("side", side.name())
            .with("version", server.version())
    })
}

/// Everything about the names of a collection's fields that stands in the way of its migration.
pub(crate) fn names_of_fields(source: &Client, target: &Client, collection: &Collection) -> Vec<Problem> {
    let schema = collection.schema.decoded();
    let structs = schema.struct_array_fields.iter();
    let names = schema.fields.iter().map(|field| &field.name).chain(structs.map(|field| &field.name));
    let forbidden = names.filter(|name| !can_be_created(product(target), name)).map(|name| {
        Problem::new(Code::FieldNotCreatable)
            .with("collection", &collection.name)
            .with("field", name)
            .with("version", target.version())
    });
    // The copy is proved, and repeated after a crash, by its keys on the target.
    let key = unnamable_key(Side::Source, source, collection)
        .or_else(|| unnamable_key(Side::Target, target, collection));
    key.into_iter().chain(forbidden).collect()
}
