//! Collections that are loaded for a comparison, and put back.

use tokio_util::sync::CancellationToken;
use vecferry_milvus::{Client, CollectionName, Error, Flavor};

use super::Sides;
use crate::cluster::inventory::Found;
use crate::cluster::retry::repeat;
use crate::problem::{Side, Told, found};
use crate::read::{ReadError, Reader, reader};

pub(super) fn is_readable(sides: &Sides<'_>, of_source: &Found, of_target: &Found) -> bool {
    !is_bare(sides.source, of_source) && !is_bare(sides.target, of_target)
}

/// Whether a collection holds no rows and can't be loaded.
fn is_bare(client: &Client, found: &Found) -> bool {
    client.version().flavor == Flavor::Milvus
        && found.unindexed_vector().is_some()
        && found.rows_estimate == 0
}

/// A collection that cannot be loaded, and so not be read.
pub(super) fn not_readable(name: &CollectionName) -> Error {
    let told = Told::both(
        format!("`{name}` has a vector field without an index and cannot be loaded"),
        format!("`{name}` 有向量字段没有索引，无法加载"),
    );
    found(vecferry_milvus::ErrorKind::NotLoaded, "LoadCollection", told)
}

/// Does something with a collection while it is completely loaded, and puts it back. `None` if it holds no rows and
/// can't be loaded.
pub(super) async fn while_loaded<Answer>(
    sides: &Sides<'_>,
    side: Side,
    found: &Found,
    act: impl AsyncFnOnce(Reader) -> Result<Answer, ReadError>,
) -> Result<Option<Answer>, ReadError> {
    let name = &found.described.name;
    let client = match side {
        Side::Source => sides.source,
        Side::Target => sides.target,
    };
    if is_bare(client, found) {
        return Ok(None);
    }
    if client.version().flavor == Flavor::Milvus && found.unindexed_vector().is_some() {
        return Err(not_readable(name).into());
    }
    let result = async {
        found.load.complete(client, side, name, sides.cancel).await?;
        let reader = reader(side, client, &found.described, &found.described, sides.cancel).fresh().await?;
        act(reader).await
    }
    .await;
    // Also after a cancellation, hence not to be canceled itself.
    let never = CancellationToken::new();
    repeat(&never, || found.load.restore(client, name)).await?;
    result.map(Some)
}
