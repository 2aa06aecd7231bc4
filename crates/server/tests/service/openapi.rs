//! The description of the API is what is served. To write `docs/openapi.json` anew after a change:
//! `VECFERRY_WRITE_DOCS=1 cargo test -p vecferry-server --test service openapi`.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::client::{World, text};
use crate::place::Place;

fn document() -> Value {
    serde_json::to_value(vecferry_server::openapi()).unwrap()
}

#[test]
fn the_stored_description_is_the_one_that_is_served() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let mut now = serde_json::to_string_pretty(&document()).unwrap();
    now.push('\n');
    if std::env::var_os("VECFERRY_WRITE_DOCS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == now, "docs/openapi.json is not what is served; see the head of this file");
}

/// The object behind a reference.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).unwrap(),
        None => schema,
    }
}

/// The example of a schema: its own, or that of all its parts; none where nothing in it has one.
fn example(document: &Value, schema: &Value) -> Option<Value> {
    let schema = resolved(document, schema);
    if let Some(example) = schema.get("example") {
        return Some(example.clone());
    }
    if let Some(one_of) = schema["oneOf"].as_array() {
        return one_of.iter().find_map(|schema| example(document, schema));
    }
    if let Some(items) = schema.get("items") {
        return example(document, items).map(|item| json!([item]));
    }
    let properties = schema["properties"].as_object()?;
    let required: Vec<_> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut parts = Map::new();
    for (name, property) in properties {
        match example(document, property) {
            Some(example) => {
                parts.insert(name.clone(), example);
            }
            None => assert!(!required.contains(&name.as_str()), "`{name}` is required and has no example"),
        }
    }
    (!parts.is_empty() || required.is_empty()).then_some(Value::Object(parts))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn examples_of_bodies_are_understood() {
    let world = World::start(Place::sqlite()).await;
    let served = world.running.client.get("/openapi.json").await.json();
    assert_eq!(served, document());
    assert!(text(&served["openapi"]).starts_with("3.1"), "{}", served["openapi"]);
    let mut sent = Vec::new();
    for (path, item) in served["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Some(body) = operation.pointer("/requestBody/content/application~1json/schema") else {
                continue;
            };
            let body = example(&served, body).unwrap_or_else(|| panic!("{method} {path} has no example"));
            let path = path.replace('{', "none-").replace('}', "");
            let request = Some(body.to_string().into());
            let answer = world.session.send(&method.to_uppercase(), &path, request).await;
            assert!(answer.status < 500, "{method} {path} with {body}: {}", answer.text());
            if answer.status >= 400 {
                assert_ne!(answer.code(), "VF-0801", "{method} {path} with {body}: {}", answer.text());
            }
            sent.push(text(&operation["operationId"]));
        }
    }
    assert_eq!(sent.len(), 27, "{sent:?}");
}
