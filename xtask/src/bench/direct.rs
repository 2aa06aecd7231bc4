//! What the servers can do: reading without writing and writing without reading, from this process.

use tokio::task::JoinSet;
use vecferry_milvus::schema::FieldSpec;
use vecferry_milvus::wire::Page;
use vecferry_milvus::wire::insert::Rows;
use vecferry_milvus::wire::rewrite::insertable;
use vecferry_milvus::{Client, CollectionName, Consistency, KeyField, KeyRange, Query};

use super::data;
use super::meter::{Leg, Meter};
use super::servers::{Servers, Side};
use crate::Failure;

/// Size of a page; the one that Vecferry aims at.
const PAGE_BYTES: usize = 6 << 20;
/// Most rows a query may answer.
const PAGE_ROWS_MAX: usize = 16_384;

/// What there is to read.
pub(crate) struct Source {
    /// The collection.
    pub(crate) name: CollectionName,
    /// Bytes of a row.
    pub(crate) row_bytes: usize,
}

/// The rows as they came, ready to be written.
pub(crate) struct Pages {
    pages: Vec<Rows>,
    /// All rows.
    pub(crate) rows: u64,
    /// All bytes on the wire.
    pub(crate) bytes: u64,
}

/// Reads all pages and keeps them.
pub(crate) async fn read_into_memory(servers: &Servers, source: &Source) -> Result<Pages, Failure> {
    let client = servers.connect(Side::Source).await?;
    let columns = client.describe(&source.name).await?.schema.columns();
    let mut kept = Pages { pages: Vec::new(), rows: 0, bytes: 0 };
    read(&client, source, &columns, |page| {
        let rows = rows_of(&page, &columns)?;
        kept.rows += rows.count as u64;
        kept.bytes += rows.bytes() as u64;
        kept.pages.push(rows);
        Ok(())
    })
    .await?;
    Ok(kept)
}

/// Reads all pages and forgets them. Returns rows and bytes beside what it cost.
pub(crate) async fn read_only(servers: &Servers, source: &Source) -> Result<(u64, u64, Leg), Failure> {
    let client = servers.connect(Side::Source).await?;
    let columns = client.describe(&source.name).await?.schema.columns();
    let meter = Meter::start(servers)?;
    let (mut rows, mut bytes) = (0, 0);
    read(&client, source, &columns, |page| {
        rows += page.rows as u64;
        bytes += page.bytes as u64;
        Ok(())
    })
    .await?;
    Ok((rows, bytes, meter.stop(servers)?))
}

/// Writes pages into a new collection of the same schema, and flushes it.
pub(crate) async fn write_only(
    servers: &Servers,
    name: &CollectionName,
    dim: usize,
    pages: &Pages,
) -> Result<Leg, Failure> {
    let client = servers.connect(Side::Target).await?;
    data::create(&client, name, dim).await?;
    let meter = Meter::start(servers)?;
    let mut writes = JoinSet::new();
    for page in &pages.pages {
        data::write_behind(&mut writes, &client, name, page.clone()).await?;
    }
    data::finish(&mut writes).await?;
    let written = meter.seconds();
    data::flush(&client, name).await?;
    let leg = meter.stop(servers)?;
    Ok(Leg { flush_seconds: Some(leg.seconds - written), ..leg })
}

async fn read(
    client: &Client,
    source: &Source,
    columns: &[FieldSpec],
    mut take: impl FnMut(Page) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let names: Vec<_> = columns.iter().map(|column| column.name.clone()).collect();
    let rows_max = (PAGE_BYTES / source.row_bytes.max(1)).clamp(1, PAGE_ROWS_MAX);
    let consistency = client.timestamp().await?.map_or(Consistency::Strong, Consistency::At);
    let key = KeyField::new(data::KEY_FIELD, client.version().flavor);
    let mut range = KeyRange::default();
    loop {
        let query = Query {
            collection: &source.name,
            collection_id: 0,
            selection: key.range(&range),
            columns: &names,
            partition: None,
            rows_max: Some(u32::try_from(rows_max)?),
            consistency,
        };
        let page = Page::read(&client.query(&query).await?, data::KEY_FIELD, range.after.as_ref())?;
        let Some((_, last)) = page.keys.clone() else { return Ok(()) };
        range.after = Some(last);
        take(page)?;
    }
}

fn rows_of(page: &Page, columns: &[FieldSpec]) -> Result<Rows, Failure> {
    let mut rows = Rows { columns: Vec::with_capacity(page.columns.len()), count: page.rows };
    for column in &page.columns {
        if let Some(spec) = columns.iter().find(|spec| spec.name == column.name) {
            rows.columns.push(insertable(column, spec, page.rows)?);
        }
    }
    Ok(rows)
}
