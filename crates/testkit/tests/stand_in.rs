//! The stand-in as Vecferry's own client sees it.
#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

use bytes::Bytes;
use prost::Message;
use vecferry_milvus::proto::milvus::QueryResults;
use vecferry_milvus::proto::schema::{CollectionSchema, DataType, FieldSchema};
use vecferry_milvus::schema::{field, parameters};
use vecferry_milvus::wire::insert::{Rows, float_vectors, scalars};
use vecferry_milvus::wire::{Page, page};
use vecferry_milvus::{
    Client, CollectionName, Consistency, Endpoint, ErrorKind, Flavor, Key as ClientKey, KeyField, KeyRange,
    LoadState, NewCollection, Query, RowSelection, Secret, WriteMode,
};
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::access::Access;
use vecferry_testkit::stand_in::generate::{Generated, plain};
use vecferry_testkit::stand_in::{Key, Options, Version};

const VERSIONS: [Version; 5] = [Version::V2_3, Version::V2_4, Version::V2_5, Version::V2_6, Version::V3_0];

fn books(keys: impl IntoIterator<Item = i64>) -> Generated {
    plain("books", false, &[("_default", keys.into_iter().map(Key::Long).collect()), ("more", vec![])])
}

fn name() -> CollectionName {
    CollectionName::new("default", "books")
}

async fn client(server: &StandIn) -> Client {
    Client::connect(Endpoint::parse(&server.uri()).unwrap(), 1).await.unwrap()
}

fn query<'a>(
    name: &'a CollectionName,
    columns: &'a [String],
    after: Option<i64>,
    rows_max: u32,
) -> Query<'a> {
    let range = KeyRange { after: after.map(ClientKey::Int), until: None };
    Query {
        collection: name,
        collection_id: 0,
        selection: KeyField::new("id", Flavor::Milvus).range(&range),
        columns,
        partition: None,
        rows_max: Some(rows_max),
        consistency: Consistency::Strong,
    }
}

fn rows(first: i64, count: usize) -> Rows {
    let keys = (first..).take(count).collect();
    let keys = vecferry_milvus::proto::schema::LongArray { data: keys };
    let keys =
        scalars("id", DataType::Int64, vecferry_milvus::proto::schema::scalar_field::Data::LongData(keys));
    Rows::of(&[keys, float_vectors("vector", 4, vec![0.5; 4 * count])], count)
}

#[tokio::test]
async fn every_version_says_which_it_is_and_refuses_with_both_numbers() {
    for version in VERSIONS {
        let server = StandIn::start(Options::new(version));
        let client = client(&server).await;
        assert_eq!(
            client.version().to_string().trim_start_matches("Milvus "),
            version.text().trim_start_matches('v')
        );
        let error = client.describe(&name()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CollectionNotFound);
        // 2.6.18 gives only the older number.
        let code = if version < Version::V2_6 { 100 } else { 4 };
        assert_eq!(error.server_code(), code, "{version:?}");
        assert!(client.identity().await.unwrap().is_some());
    }
}

#[tokio::test]
async fn users_without_privileges_are_answered_as_by_real_servers() {
    for version in [Version::V2_5, Version::V2_6] {
        let server = StandIn::start(Options { authorization: true, ..Options::new(version) });
        server.add(&books(0..3));
        server.set_access(Access::default().with_user("e_user", "Pass.1234", &[]));
        let as_user = |token: &str| {
            let endpoint = Endpoint::parse(&server.uri()).unwrap();
            Client::connect(endpoint.with_token(Some(Secret::new(token))), 1)
        };
        for token in ["e_user:wrong", "nobody:x", "root:wrong", "a-key"] {
            assert_eq!(as_user(token).await.unwrap_err().kind(), ErrorKind::Unauthenticated, "{token}");
        }
        assert_eq!(client_error(&server).await, ErrorKind::Unauthenticated);
        let root = as_user("root:Milvus").await.unwrap();
        assert_eq!(root.collections("default").await.unwrap(), ["books"]);
        assert_eq!(root.roles_of("e_user").await.unwrap(), Some([].into()));

        let user = as_user("e_user:Pass.1234").await.unwrap();
        assert!(user.databases().await.unwrap().is_empty());
        assert!(user.collections("default").await.unwrap().is_empty());
        let described = user.describe(&name()).await.unwrap();
        user.aliases(&described).await.unwrap();
        user.indexes(&name()).await.unwrap();
        user.stored_segments(&name()).await.unwrap();
        user.loaded_segments(&name()).await.unwrap();
        assert_eq!(user.roles_of("e_user").await.unwrap(), Some([].into()));
        let columns = ["id".to_owned()];
        let denied = [
            (user.partitions(&name()).await.map(drop), "ShowPartitions"),
            (user.row_estimate(&name()).await.map(drop), "GetStatistics"),
            (user.load_state(&name(), None).await.map(drop), "GetLoadState"),
            (user.query(&query(&name(), &columns, None, 3)).await.map(drop), "Query"),
            (user.database_properties("default").await.map(drop), "DescribeDatabase"),
            (user.flush("default", &["books".to_owned()]).await.map(drop), "Flush"),
            (user.load_collection(&name(), 1).await, "Load"),
            (user.release_collection(&name()).await, "Release"),
            (user.write(&name(), None, &rows(9, 1), WriteMode::Insert).await, "Insert"),
            (user.write(&name(), None, &rows(0, 1), WriteMode::Upsert).await, "Upsert"),
            (user.delete(&name(), None, "id in [1]").await, "Delete"),
            (user.drop_collection(&name()).await, "DropCollection"),
            (user.create_alias(&name(), "a").await, "CreateAlias"),
            (user.create_partition(&name(), "p").await, "CreatePartition"),
            (user.create_database("d", vec![]).await, "CreateDatabase"),
            (user.alter_collection(&name(), vec![]).await, "CreateCollection"),
            (user.roles().await.map(drop), "SelectOwnership"),
            (user.users().await.map(drop), "SelectOwnership"),
        ];
        for (answer, privilege) in denied {
            let error = answer.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
            assert_eq!(error.missing_privilege(), Some(privilege));
            let text = format!("Privilege{privilege}: permission deny to e_user in the `default` database");
            assert_eq!(error.message(), text);
        }
        assert_eq!(user.resource_groups().await.unwrap(), None);
    }
}

async fn client_error(server: &StandIn) -> ErrorKind {
    Client::connect(Endpoint::parse(&server.uri()).unwrap(), 1).await.unwrap_err().kind()
}

#[tokio::test]
async fn short_pages_come_to_an_empty_end_and_hold_every_key_once() {
    for seed in 0..8 {
        let server = StandIn::start(Options::awkward(Version::V2_6, seed));
        server.add(&books((0..200).chain([7, 9])));
        let (client, name, columns) = (client(&server).await, name(), ["id".to_owned(), "vector".to_owned()]);
        let (mut after, mut keys, mut short) = (None, Vec::new(), 0);
        loop {
            let answer = client.query(&query(&name, &columns, after, 50)).await.unwrap();
            let last = after.map(ClientKey::Int);
            let page = Page::read(&answer, "id", last.as_ref()).unwrap();
            if page.rows == 0 {
                break;
            }
            page.check_columns(["id", "vector"]).unwrap();
            short += usize::from(page.rows < 50);
            keys.extend(page.all_keys("id").unwrap());
            after = keys.last().map(|key| if let ClientKey::Int(key) = key { *key } else { unreachable!() });
        }
        assert_eq!(keys, (0..200).map(ClientKey::Int).collect::<Vec<_>>());
        assert!(short > 1, "no page was short");
        let all = Query { selection: RowSelection::Everything, ..query(&name, &columns, None, 1) };
        assert_eq!(client.count(&all).await.unwrap(), 202, "copies are counted");
    }
}

#[tokio::test]
async fn the_same_seed_gives_the_same_answers() {
    let answers = async |seed| {
        let server = StandIn::start(Options::awkward(Version::V3_0, seed));
        server.add(&books(0..100));
        let (client, name, columns) = (client(&server).await, name(), ["vector".to_owned()]);
        let mut answers: Vec<QueryResults> = Vec::new();
        for _ in 0..5 {
            let answer: Bytes = client.query(&query(&name, &columns, None, 80)).await.unwrap();
            answers.push(QueryResults::decode(answer).unwrap());
        }
        answers
    };
    assert_eq!(answers(3).await, answers(3).await);
    assert_ne!(answers(3).await, answers(4).await);
}

#[tokio::test]
async fn what_is_not_loaded_is_not_answered() {
    let server = StandIn::start(Options::new(Version::V2_6));
    server.add(&Generated { loaded: false, ..books(0..3) });
    let (client, name, columns) = (client(&server).await, name(), ["id".to_owned()]);
    let error = client.query(&query(&name, &columns, None, 10)).await.unwrap_err();
    assert_eq!((error.kind(), error.server_code()), (ErrorKind::NotLoaded, 101));
    client.load_partitions(&name, &["_default".to_owned()], 1).await.unwrap();
    assert_eq!(client.load_state(&name, None).await.unwrap(), LoadState::Loaded, "in part");
    assert_eq!(client.load_state(&name, Some("more")).await.unwrap(), LoadState::NotLoaded);
    let of_more = Query { partition: Some("more"), ..query(&name, &columns, None, 10) };
    assert_eq!(client.query(&of_more).await.unwrap_err().server_code(), 201);
    assert!(client.query(&query(&name, &columns, None, 10)).await.is_ok());
}

#[tokio::test]
async fn limits_of_size_hold_in_both_directions() {
    let options = Options { answer_bytes_max: 1000, request_bytes_max: 2000, ..Options::new(Version::V2_6) };
    let server = StandIn::start(options);
    server.add(&books(0..100));
    let (client, name, columns) = (client(&server).await, name(), ["vector".to_owned()]);
    let error = client.query(&query(&name, &columns, None, 100)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    assert!(client.query(&query(&name, &columns, None, 20)).await.is_ok());
    let error = client.query(&query(&name, &columns, None, 20_000)).await.unwrap_err();
    assert!(error.to_string().contains("invalid max query result window"), "{error}");
    let error = client.write(&name, None, &rows(1000, 200), WriteMode::Insert).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    client.write(&name, None, &rows(1000, 20), WriteMode::Insert).await.unwrap();
    assert_eq!(Options::new(Version::V2_6).request_bytes_max, 64 << 20);
}

#[tokio::test]
async fn inserts_add_and_upserts_replace() {
    let server = StandIn::start(Options::new(Version::V2_5));
    server.add(&books([]));
    let (client, name) = (client(&server).await, name());
    client.write(&name, Some("more"), &rows(0, 3), WriteMode::Insert).await.unwrap();
    client.write(&name, Some("more"), &rows(2, 3), WriteMode::Insert).await.unwrap();
    let copies = |key| server.rows("default", "books")[&("more".to_owned(), Key::Long(key))].len();
    assert_eq!([copies(0), copies(2), copies(4)], [1, 2, 1]);
    client.write(&name, Some("more"), &rows(1, 2), WriteMode::Upsert).await.unwrap();
    assert_eq!([copies(0), copies(1), copies(2)], [1, 1, 1]);
    client.delete(&name, None, "id in [0, 1]").await.unwrap();
    assert_eq!(server.rows("default", "books").len(), 3);
    let error = client.write(&name, Some("none"), &rows(0, 1), WriteMode::Insert).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PartitionNotFound);
    assert_eq!(client.row_estimate(&name).await.unwrap(), 0, "nothing is stored yet");
    client.flush("default", &["books".to_owned()]).await.unwrap();
    assert_eq!(client.row_estimate(&name).await.unwrap(), 8, "deleted and replaced rows are still stored");
}

#[tokio::test]
async fn where_a_key_places_rows_no_partition_can_be_named() {
    let server = StandIn::start(Options::new(Version::V2_6));
    let mut generated = books([]);
    let tenant = FieldSchema { is_partition_key: true, ..field("tenant", DataType::Int64, &[]) };
    generated.schema.fields.push(tenant);
    (generated.partitions, generated.rows, generated.key_partitions) = (vec![], vec![], 4);
    server.add(&generated);
    let (client, name, columns) = (client(&server).await, name(), ["id".to_owned()]);
    let error = client.write(&name, Some("_default_0"), &rows(0, 1), WriteMode::Insert).await.unwrap_err();
    assert_eq!((error.kind(), error.server_code()), (ErrorKind::Rejected, 1100));
    let named = Query { partition: Some("_default_0"), ..query(&name, &columns, None, 10) };
    assert_eq!(client.query(&named).await.unwrap_err().server_code(), 1100);
    assert!(client.create_partition(&name, "more").await.is_err());
    let keys = |data: Vec<i64>| {
        let data = vecferry_milvus::proto::schema::LongArray { data };
        vecferry_milvus::proto::schema::scalar_field::Data::LongData(data)
    };
    let columns = [
        scalars("id", DataType::Int64, keys((0..40).collect())),
        scalars("tenant", DataType::Int64, keys((0..40).map(|at| at % 5).collect())),
        float_vectors("vector", 4, vec![0.5; 160]),
    ];
    client.write(&name, None, &Rows::of(&columns, 40), WriteMode::Insert).await.unwrap();
    let found = server.rows("default", "books");
    assert_eq!(found.len(), 40);
    let place = |at: i64| found.keys().find(|(_, key)| *key == Key::Long(at)).unwrap().0.clone();
    assert!((0..35).all(|at| place(at) == place(at + 5)), "one tenant is in one partition");
}

#[tokio::test]
async fn aliases_stand_for_their_collection_and_hold_it() {
    let server = StandIn::start(Options::new(Version::V2_4));
    server.add(&books(0..3));
    let (client, name) = (client(&server).await, name());
    client.create_alias(&name, "library").await.unwrap();
    client.create_alias(&name, "library").await.unwrap();
    let other = Generated { aliases: vec![], ..plain("other", false, &[("_default", vec![])]) };
    server.add(&other);
    let error = client.create_alias(&CollectionName::new("default", "other"), "library").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
    let by_alias = CollectionName::new("default", "library");
    assert_eq!(client.describe(&by_alias).await.unwrap().name, name);
    client.write(&by_alias, None, &rows(10, 1), WriteMode::Insert).await.unwrap();
    assert!(client.drop_collection(&name).await.is_err());
    client.drop_alias("default", "library").await.unwrap();
    let error = client.write(&by_alias, None, &rows(11, 1), WriteMode::Insert).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CollectionNotFound);
    client.drop_collection(&name).await.unwrap();
    assert_eq!(server.names("default"), (vec!["other".to_owned()], vec![]));
}

#[tokio::test]
async fn a_vector_without_an_index_can_not_be_loaded() {
    let server = StandIn::start(Options::new(Version::V2_6));
    server.add(&Generated { indexes: vec![], loaded: false, ..books(0..3) });
    let (client, name) = (client(&server).await, name());
    assert!(client.indexes(&name).await.unwrap().is_empty());
    let error = client.load_collection(&name, 1).await.unwrap_err();
    assert!(error.to_string().contains("index not found"), "{error}");
    assert!(client.create_index(&name, "vector", "", parameters(&[("index_type", "FLAT")])).await.is_err());
    let params = parameters(&[("index_type", "AUTOINDEX"), ("metric_type", "L2")]);
    client.create_index(&name, "vector", "", params.clone()).await.unwrap();
    client.create_index(&name, "vector", "", params).await.unwrap();
    let another = parameters(&[("index_type", "FLAT"), ("metric_type", "L2")]);
    assert!(client.create_index(&name, "vector", "", another).await.is_err());
    client.load_collection(&name, 1).await.unwrap();
    assert!(server.is_loaded("default", "books"));
}

#[tokio::test]
async fn a_name_that_means_another_collection_now_is_noticed() {
    let server = StandIn::start(Options::new(Version::V2_6));
    server.add(&books(0..3));
    let (client, name, columns) = (client(&server).await, name(), ["id".to_owned()]);
    let id = client.describe(&name).await.unwrap().id;
    let of_id = |collection_id| Query { collection_id, ..query(&name, &columns, None, 10) };
    let answer = client.query(&of_id(id)).await.unwrap();
    assert_eq!(page::status(&answer).unwrap().code, 0);
    assert!(client.query(&of_id(id + 1)).await.is_err());
}

/// As 2.3.5, 2.5.10 and 2.6.18 answered it.
#[tokio::test]
async fn a_name_is_claimed_by_a_rename_and_not_by_a_creation() {
    for version in VERSIONS {
        let server = StandIn::start(Options::new(version));
        let client = client(&server).await;
        let own = CollectionName::new("default", "own");
        let schema = books([]).schema;
        let new = NewCollection {
            name: name(),
            schema: schema.encode_to_vec().into(),
            shards: 1,
            consistency: 0,
            properties: parameters(&[("a", "1"), ("b", "2")]),
            num_partitions: 0,
        };
        let refused = async |new: &NewCollection| {
            let error = client.create_collection(new).await.unwrap_err();
            (
                error.server_code(),
                error.message().contains("create duplicate collection with different parameters"),
            )
        };
        client.create_collection(&new).await.unwrap();
        client.create_collection(&new).await.unwrap();
        let reordered = NewCollection { properties: parameters(&[("b", "2"), ("a", "1")]), ..new.clone() };
        client.create_collection(&reordered).await.unwrap();
        let described = CollectionSchema { description: "another".to_owned(), ..schema.clone() };
        for other in [
            NewCollection { properties: parameters(&[("a", "1")]), ..new.clone() },
            NewCollection { shards: 2, ..new.clone() },
            NewCollection { consistency: 2, ..new.clone() },
            NewCollection { schema: described.encode_to_vec().into(), ..new.clone() },
        ] {
            assert_eq!(refused(&other).await, (65535, true), "{version:?}");
        }
        let misnamed = NewCollection { name: own.clone(), ..new.clone() };
        assert_eq!(client.create_collection(&misnamed).await.unwrap_err().server_code(), 1100);

        client.create_collection(&new.named(&own).unwrap()).await.unwrap();
        client.create_alias(&name(), "library").await.unwrap();
        client.create_alias(&own, "mine").await.unwrap();
        let before = client.describe(&own).await.unwrap();
        for taken in ["books", "library"] {
            let error = client.rename_collection(&own, taken).await.unwrap_err();
            assert_eq!(error.server_code(), 65535, "{version:?}: {taken}");
        }
        let of_itself = client.rename_collection(&own, "own").await.unwrap_err().server_code();
        assert!([65535, 1100].contains(&of_itself), "{version:?}: {of_itself}");
        let nothing = client.rename_collection(&CollectionName::new("default", "none"), "x").await;
        assert_eq!(nothing.unwrap_err().kind(), ErrorKind::CollectionNotFound);
        client.rename_collection(&own, "free").await.unwrap();
        let after = client.describe(&CollectionName::new("default", "mine")).await.unwrap();
        assert_eq!((after.name.name.as_str(), after.id), ("free", before.id), "the alias follows");
        assert_eq!(after.created_timestamp, before.created_timestamp);
        assert_eq!(client.describe(&own).await.unwrap_err().kind(), ErrorKind::CollectionNotFound);
    }
}
