//! A field that was added to a collection with a dynamic field may bear the name of keys that rows have there already. No
//! server takes such a row: it is named, and everything else arrives.

use vecferry_migrate::{Code, JobState, Migration};
use vecferry_milvus::proto::schema::{DataType, FieldSchema};
use vecferry_milvus::schema::field;
use vecferry_testkit::StandIn;
use vecferry_testkit::stand_in::generate::plain;
use vecferry_testkit::stand_in::{Key, Options, Value, Version};

use super::{carry_out, request};

#[tokio::test]
async fn rows_whose_dynamic_keys_an_added_field_shadows_are_named_and_all_others_arrive() {
    let (source, target) =
        (StandIn::start(Options::new(Version::V2_6)), StandIn::start(Options::new(Version::V2_6)));
    let mut books = plain("books", false, &[("_default", (0..50).map(Key::Long).collect())]);
    books.schema.fields.push(FieldSchema { nullable: true, ..field("added", DataType::Int64, &[]) });
    books.schema.enable_dynamic_field = true;
    let columns = &mut books.rows[0].1;
    columns.push((0..50).map(|at| if at < 40 { Value::Null } else { Value::Long(at) }).collect());
    let json = |at: i64| if at == 7 { r#"{"added":"before","other":1}"# } else { r#"{"other":1}"# };
    columns.push((0..50).map(|at| Value::Json(json(at).as_bytes().to_vec())).collect());
    source.add(&books);

    let migration = Migration::prepare(request(&source, &target)).await.unwrap();
    let state = tempfile::tempdir().unwrap();
    let report = carry_out(migration, state.path()).await;
    assert_eq!((report.state, report.collections[0].quarantined), (JobState::Failed, 1));
    let problem = report.problems.iter().find(|problem| problem.code == Code::RowsQuarantined).unwrap();
    let text = problem.to_string();
    assert!(text.contains("7: ") && text.contains("static field name: added"), "{text}");
    let (mut expected, found) = (source.rows("default", "books"), target.rows("default", "books"));
    expected.remove(&("_default".to_owned(), Key::Long(7)));
    assert_eq!(expected, found);
    assert!(target.is_nullable("default", "books", "added"));
}
