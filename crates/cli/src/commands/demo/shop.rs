//! The sample data of `serve --demo`: what the search and the assistant of a shop would keep. The same rows every time.

use vecferry_milvus::proto::schema::{
    ArrayArray, BoolArray, CollectionSchema, DataType, FieldData, FieldSchema, FloatArray, ScalarField,
    StringArray, scalar_field,
};
use vecferry_milvus::schema::{field, parameters};
use vecferry_milvus::wire::insert::scalars;
use vecferry_milvus::{Client, CollectionName, DB_DEFAULT, Error, NewCollection};

use super::sample::{
    Numbers, create, dynamic, flush, insert, insert_into, json, load, longs, texts, vectors,
};

/// The database of the assistant.
const ASSISTANT: &str = "assistant";
const PRODUCTS: u64 = 1_200;
const PRODUCT_DIM: usize = 64;
const ARTICLES: u64 = 600;
const ARTICLE_DIM: usize = 96;
/// Rows of each partition of `customer_events`.
const EVENTS: u64 = 300;
const EVENT_DIM: usize = 16;
const EVENT_PARTITIONS: [(&str, i64); 3] =
    [("year_2024", 1_704_067_200), ("year_2025", 1_735_689_600), ("year_2026", 1_767_225_600)];
const MEMORIES: u64 = 300;
const MEMORY_DIM: usize = 32;
/// Partitions of `chat_memory`, by the hash of the user.
const MEMORY_PARTITIONS: i64 = 4;

/// Fills a server: `products` and `support_articles` loaded, `customer_events` with partitions and not loaded, and
/// `assistant.chat_memory` with a partition key.
pub(in crate::commands) async fn fill(client: &Client) -> Result<(), Error> {
    let products = products(client).await?;
    let articles = articles(client).await?;
    let events = events(client).await?;
    let memory = memory(client).await?;
    let names = [&products, &articles, &events].map(|collection| collection.name.clone());
    flush(client, DB_DEFAULT, &names).await?;
    flush(client, ASSISTANT, std::slice::from_ref(&memory.name)).await?;
    for (collection, vector, index) in [
        (
            &products,
            "embedding",
            [
                ("index_type", "HNSW"),
                ("metric_type", "COSINE"),
                ("params", r#"{"M":16,"efConstruction":64}"#),
            ],
        ),
        (
            &articles,
            "embedding",
            [("index_type", "IVF_FLAT"), ("metric_type", "IP"), ("params", r#"{"nlist":32}"#)],
        ),
        (
            &events,
            "behavior",
            [("index_type", "IVF_SQ8"), ("metric_type", "L2"), ("params", r#"{"nlist":16}"#)],
        ),
        (
            &memory,
            "embedding",
            [("index_type", "HNSW"), ("metric_type", "COSINE"), ("params", r#"{"M":8,"efConstruction":64}"#)],
        ),
    ] {
        client.create_index(collection, vector, &format!("{vector}_index"), parameters(&index)).await?;
    }
    let trie = parameters(&[("index_type", "Trie")]);
    client.create_index(&products, "category", "category_index", trie).await?;
    load(client, &products).await?;
    load(client, &articles).await
}

async fn products(client: &Client) -> Result<CollectionName, Error> {
    let name = CollectionName::new(DB_DEFAULT, "products");
    create(client, &name, "Products of the shop, for search and recommendations", product_fields()).await?;
    client.create_alias(&name, "products_live").await?;
    let mut numbers = Numbers::new(11);
    insert(client, &name, PRODUCTS, |first, count| product_columns(&mut numbers, first, count)).await?;
    Ok(name)
}

async fn articles(client: &Client) -> Result<CollectionName, Error> {
    let name = CollectionName::new(DB_DEFAULT, "support_articles");
    create(client, &name, "Passages of the help center, for answers with sources", article_fields()).await?;
    let mut numbers = Numbers::new(12);
    insert(client, &name, ARTICLES, |first, count| article_columns(&mut numbers, first, count)).await?;
    Ok(name)
}

async fn events(client: &Client) -> Result<CollectionName, Error> {
    let name = CollectionName::new(DB_DEFAULT, "customer_events");
    create(client, &name, "What customers looked at and bought, a partition a year", event_fields()).await?;
    let mut numbers = Numbers::new(13);
    for (number, (partition, begin)) in (0..).zip(EVENT_PARTITIONS) {
        client.create_partition(&name, partition).await?;
        let into = (&name, Some(partition));
        insert_into(client, into, EVENTS, |first, count| {
            event_columns(&mut numbers, (number * EVENTS + first, count), begin)
        })
        .await?;
    }
    Ok(name)
}

async fn memory(client: &Client) -> Result<CollectionName, Error> {
    client.create_database(ASSISTANT, Vec::new()).await?;
    let name = CollectionName::new(ASSISTANT, "chat_memory");
    let schema = CollectionSchema {
        description: "What the assistant remembers of each user".to_owned(),
        fields: memory_fields(),
        ..CollectionSchema::default()
    };
    let new = NewCollection { num_partitions: MEMORY_PARTITIONS, ..NewCollection::of_schema(&name, schema) };
    client.create_collection(&new).await?;
    let mut numbers = Numbers::new(14);
    insert(client, &name, MEMORIES, |first, count| memory_columns(&mut numbers, first, count)).await?;
    Ok(name)
}

fn product_fields() -> Vec<FieldSchema> {
    vec![
        FieldSchema { is_primary_key: true, ..field("product_id", DataType::Int64, &[]) },
        field("title", DataType::VarChar, &[("max_length", "256")]),
        field("category", DataType::VarChar, &[("max_length", "64")]),
        field("price", DataType::Float, &[]),
        field("in_stock", DataType::Bool, &[]),
        field("attributes", DataType::Json, &[]),
        field("embedding", DataType::FloatVector, &[("dim", "64")]),
    ]
}

fn article_fields() -> Vec<FieldSchema> {
    vec![
        FieldSchema {
            is_primary_key: true,
            ..field("passage_id", DataType::VarChar, &[("max_length", "64")])
        },
        field("article", DataType::VarChar, &[("max_length", "256")]),
        field("passage", DataType::VarChar, &[("max_length", "4096")]),
        field("language", DataType::VarChar, &[("max_length", "8")]),
        FieldSchema {
            element_type: DataType::VarChar as i32,
            ..field("tags", DataType::Array, &[("max_capacity", "8"), ("max_length", "32")])
        },
        field("embedding", DataType::FloatVector, &[("dim", "96")]),
    ]
}

fn event_fields() -> Vec<FieldSchema> {
    vec![
        FieldSchema { is_primary_key: true, ..field("event_id", DataType::Int64, &[]) },
        field("customer_id", DataType::Int64, &[]),
        field("kind", DataType::VarChar, &[("max_length", "32")]),
        field("happened_at", DataType::Int64, &[]),
        field("behavior", DataType::FloatVector, &[("dim", "16")]),
    ]
}

fn memory_fields() -> Vec<FieldSchema> {
    vec![
        FieldSchema { is_primary_key: true, ..field("memory_id", DataType::Int64, &[]) },
        FieldSchema {
            is_partition_key: true,
            ..field("user_id", DataType::VarChar, &[("max_length", "64")])
        },
        field("said", DataType::VarChar, &[("max_length", "1024")]),
        field("embedding", DataType::FloatVector, &[("dim", "32")]),
    ]
}

fn product_columns(numbers: &mut Numbers, first: u64, count: u64) -> Vec<FieldData> {
    const MATERIALS: &[&str] = &["Linen", "Walnut", "Steel", "Wool", "Ceramic", "Bamboo", "陶瓷", "羊毛"];
    const THINGS: &[&str] = &["Desk Lamp", "Armchair", "Teapot", "Bookshelf", "Blanket", "Backpack", "茶具"];
    const CATEGORIES: &[&str] = &["lighting", "furniture", "kitchen", "textiles", "bags"];
    const COLORS: &[&str] = &["black", "white", "oak", "sage", "navy"];
    let rows = first..first + count;
    let titles = rows
        .clone()
        .map(|row| format!("{} {} {}", numbers.one_of(MATERIALS), numbers.one_of(THINGS), 100 + row % 50))
        .collect();
    let categories = rows.clone().map(|_| numbers.one_of(CATEGORIES).to_owned()).collect();
    let data = rows.clone().map(|_| numbers.below(40_000) as f32 / 100.0 + 4.0).collect();
    let prices = scalar_field::Data::FloatData(FloatArray { data });
    let data = rows.clone().map(|_| numbers.below(10) > 0).collect();
    let in_stock = scalar_field::Data::BoolData(BoolArray { data });
    let attributes: Vec<_> = rows
        .clone()
        .map(|_| {
            let (color, grams) = (numbers.one_of(COLORS), numbers.below(9_000) + 50);
            serde_json::json!({"color": color, "weight": {"grams": grams}})
        })
        .collect();
    let more: Vec<_> = rows
        .clone()
        .map(|row| match row % 4 {
            0 => serde_json::json!({"campaign": "autumn", "discount": numbers.below(40)}),
            _ => serde_json::json!({}),
        })
        .collect();
    vec![
        longs("product_id", rows.map(|row| 100_000 + row as i64).collect()),
        texts("title", titles),
        texts("category", categories),
        scalars("price", DataType::Float, prices),
        scalars("in_stock", DataType::Bool, in_stock),
        json("attributes", &attributes),
        vectors("embedding", PRODUCT_DIM, count, numbers),
        dynamic(&more),
    ]
}

fn article_columns(numbers: &mut Numbers, first: u64, count: u64) -> Vec<FieldData> {
    const ARTICLES: &[(&str, &str)] = &[
        ("Return a product", "en"),
        ("Track a parcel", "en"),
        ("Change the delivery address", "en"),
        ("退货与退款", "zh"),
        ("查询物流", "zh"),
    ];
    const SENTENCES: &[&str] = &[
        "Open the order and choose the product.",
        "Print the label and bring the parcel to a shop.",
        "The money is back within five working days.",
        "Orders that have left the warehouse cannot be changed.",
        "打开订单，选择要退的商品。",
        "退款将在五个工作日内到账。",
    ];
    const TAGS: &[&str] = &["returns", "delivery", "payment", "account", "warranty"];
    let rows = first..first + count;
    let article = |row: u64| {
        ARTICLES.get(row as usize / 10 % ARTICLES.len()).copied().unwrap_or(("Return a product", "en"))
    };
    let passages = rows
        .clone()
        .map(|_| (0..4).map(|_| numbers.one_of(SENTENCES)).collect::<Vec<_>>().join(" "))
        .collect();
    let data = rows
        .clone()
        .map(|_| {
            let data = (0..numbers.below(3) + 1).map(|_| numbers.one_of(TAGS).to_owned()).collect();
            ScalarField { data: Some(scalar_field::Data::StringData(StringArray { data })) }
        })
        .collect();
    let tags = ArrayArray { data, element_type: DataType::VarChar as i32 };
    vec![
        texts(
            "passage_id",
            rows.clone().map(|row| format!("article-{:03}#{}", row / 10, row % 10)).collect(),
        ),
        texts("article", rows.clone().map(|row| article(row).0.to_owned()).collect()),
        texts("passage", passages),
        texts("language", rows.map(|row| article(row).1.to_owned()).collect()),
        scalars("tags", DataType::Array, scalar_field::Data::ArrayData(tags)),
        vectors("embedding", ARTICLE_DIM, count, numbers),
        dynamic(&vec![serde_json::json!({}); count as usize]),
    ]
}

/// Events of a year that begins at a time.
fn event_columns(numbers: &mut Numbers, (first, count): (u64, u64), begin: i64) -> Vec<FieldData> {
    const KINDS: &[&str] = &["viewed", "searched", "added_to_cart", "bought", "returned"];
    const SECONDS_OF_A_YEAR: u64 = 365 * 86_400;
    let rows = first..first + count;
    vec![
        longs("event_id", rows.clone().map(|row| 5_000_000 + row as i64).collect()),
        longs("customer_id", rows.clone().map(|_| 1_000 + numbers.below(250) as i64).collect()),
        texts("kind", rows.clone().map(|_| numbers.one_of(KINDS).to_owned()).collect()),
        longs("happened_at", rows.map(|_| begin + numbers.below(SECONDS_OF_A_YEAR) as i64).collect()),
        vectors("behavior", EVENT_DIM, count, numbers),
        dynamic(&vec![serde_json::json!({}); count as usize]),
    ]
}

fn memory_columns(numbers: &mut Numbers, first: u64, count: u64) -> Vec<FieldData> {
    const SAID: &[&str] = &[
        "I am looking for a lamp that does not glare.",
        "My flat is small, nothing deeper than 40 cm please.",
        "想找一套送给父母的茶具。",
        "The last parcel came late.",
    ];
    let rows = first..first + count;
    vec![
        longs("memory_id", rows.clone().map(|row| 1 + row as i64).collect()),
        texts("user_id", rows.clone().map(|_| format!("user-{:03}", numbers.below(60))).collect()),
        texts("said", rows.map(|_| numbers.one_of(SAID).to_owned()).collect()),
        vectors("embedding", MEMORY_DIM, count, numbers),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_column_for_each_field() {
        let mut numbers = Numbers::new(1);
        // What is no field of the schema is one more column.
        assert_eq!(product_columns(&mut numbers, 0, 9).len(), product_fields().len() + 1);
        assert_eq!(article_columns(&mut numbers, 0, 9).len(), article_fields().len() + 1);
        assert_eq!(event_columns(&mut numbers, (0, 9), 0).len(), event_fields().len() + 1);
        assert_eq!(memory_columns(&mut numbers, 0, 9).len(), memory_fields().len());
        let rows = || product_columns(&mut Numbers::new(1), 0, 50);
        assert_eq!(rows(), rows());
    }
}
