//! What the source's release can't tell of its rows, and whether it can be read at all.

use vecferry_milvus::Client;
use vecferry_milvus::proto::schema::DataType;
use vecferry_policy::Product;

use super::list::CheckList;
use crate::cluster::connect::product;
use crate::cluster::inventory::Found;
use crate::problem::{CheckId, Code, Problem, Told};
use crate::request::{Duplicates, MigrateRequest};

/// Whether the source's release is one that can be read.
pub(super) fn release(list: &mut CheckList, source: &Client, target: &Client) -> Result<(), Vec<Problem>> {
    if let Product::Milvus(Some(release)) = product(source)
        && release < (2, 3)
    {
        return Err(vec![Problem::new(Code::SourceTooOld).with("version", source.version())]);
    }
    list.passed_with(CheckId::Versions, format!("{} → {}", source.version(), target.version()));
    Ok(())
}

/// Whether primary keys may be there twice on a source that does not tell which row is the newest: a 2.3.5 answers the
/// oldest of one segment and any of several, another one from query to query, and shows no row's time.
pub(super) fn newest_is_not_known(request: &MigrateRequest, source: &Client, found: &[Found]) -> bool {
    let is_old = match product(source) {
        Product::Milvus(Some(release)) => release < (2, 4),
        Product::Milvus(None) | Product::LiteNative | Product::LitePython => false,
    };
    let may_repeat = |found: &Found| !found.described.schema.is_auto_id() && found.rows_estimate > 0;
    is_old && request.duplicates == Duplicates::Warn && found.iter().any(may_repeat)
}

/// JSON fields of a milvus-lite 3: a value that is a text comes without its quotes (seen on 3.2.2), so that nothing tells it
/// from a number, `true` or `null` that is spelled alike.
pub(super) fn json_texts_not_told(source: &Client, found: &[Found]) -> Vec<Problem> {
    if product(source) != Product::LitePython {
        return Vec::new();
    }
    let warning = |found: &Found| {
        let fields = found.described.schema.decoded().fields.iter();
        let json = fields.filter(|field| field.data_type == DataType::Json as i32 && !field.is_dynamic);
        let names: Vec<_> = json.map(|field| &field.name).collect();
        (!names.is_empty() && found.rows_estimate > 0).then(|| {
            let problem = Problem::new(Code::JsonTextsNotTold).with("collection", &found.described.name);
            problem.with("version", source.version()).told("fields", Told::names(&names))
        })
    };
    found.iter().filter_map(warning).collect()
}
