//! The protocol definition in `proto/` is a subset written here; this holds every message, field and enum value of it
//! against the descriptors inside the `pymilvus` package, so that it can't drift from what servers speak.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets an error has failed"
)]

use std::collections::BTreeMap;
use std::process::Command;

/// Prints each message of the files given by name as lines `message field number type label`, each enum value as
/// `enum value number`, and each call as `call name`.
const DUMP: &str = r#"
import sys
from pymilvus.grpc_gen import milvus_pb2
pool = milvus_pb2.DESCRIPTOR.pool
TYPES = {1: "double", 2: "float", 3: "int64", 4: "uint64", 5: "int32", 8: "bool", 9: "string", 12: "bytes", 13: "uint32"}
def message(m):
    for f in m.fields:
        of = f.message_type or f.enum_type
        if f.message_type and f.message_type.GetOptions().map_entry:
            kind = "map"
        else:
            kind = of.full_name if of is not None else TYPES[f.type]
        print("field", m.full_name, f.name, f.number, kind, "repeated" if f.is_repeated else "single")
def enum(e):
    for v in e.values:
        print("value", e.full_name, v.name, v.number)
for name in ("common.proto", "schema.proto", "milvus.proto"):
    file = pool.FindFileByName(name)
    for m in file.message_types_by_name.values():
        message(m)
    for e in file.enum_types_by_name.values():
        enum(e)
for call in pool.FindServiceByName("milvus.proto.milvus.MilvusService").methods:
    print("call", call.name, call.input_type.full_name, call.output_type.full_name)
"#;

type Facts = BTreeMap<String, String>;

fn of_pymilvus() -> Facts {
    let path = vecferry_sandbox::install_pymilvus(&|_| {}).expect("pymilvus can be installed");
    let output =
        Command::new("python3").args(["-c", DUMP]).env("PYTHONPATH", path).output().expect("python3 runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| {
            let words: Vec<_> = line.split(' ').collect();
            match words[..] {
                ["call", name, input, output] => (format!("call {name}"), format!("{input} {output}")),
                [_, of, name, ref rest @ ..] => (format!("{of} {name}"), rest.join(" ")),
                _ => panic!("{line}"),
            }
        })
        .collect()
}

fn of_proto_files() -> Facts {
    use prost_types::field_descriptor_proto::{Label, Type};
    let set = protox::compile(["milvus.proto"], ["proto"]).expect("the definition compiles");
    let mut facts = Facts::new();
    for file in &set.file {
        let package = file.package();
        for message in &file.message_type {
            let maps: Vec<_> = message.nested_type.iter().map(|nested| nested.name()).collect();
            for field in &message.field {
                let type_name = field.type_name().trim_start_matches('.');
                let kind = match field.r#type() {
                    Type::Message if maps.iter().any(|map| type_name.ends_with(map)) => "map".to_owned(),
                    Type::Message | Type::Enum => type_name.to_owned(),
                    scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
                };
                let label = if field.label() == Label::Repeated { "repeated" } else { "single" };
                facts.insert(
                    format!("{package}.{} {}", message.name(), field.name()),
                    format!("{} {kind} {label}", field.number()),
                );
            }
        }
        for r#enum in &file.enum_type {
            for value in &r#enum.value {
                facts.insert(
                    format!("{package}.{} {}", r#enum.name(), value.name()),
                    value.number().to_string(),
                );
            }
        }
    }
    facts
}

#[test]
fn every_field_has_the_number_and_type_of_the_real_protocol() {
    let (theirs, ours) = (of_pymilvus(), of_proto_files());
    assert!(ours.len() > 300, "the definition was read: {}", ours.len());
    let wrong: Vec<_> = ours
        .iter()
        .filter(|(name, fact)| theirs.get(*name) != Some(*fact))
        .map(|(name, fact)| format!("{name}: {fact}, pymilvus says {:?}", theirs.get(name)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_call_exists_with_its_messages() {
    let theirs = of_pymilvus();
    // Only the calls of this file: it names privilege groups, too.
    let rbac = include_str!("../src/rbac.rs").split_once("impl Client {").map_or("", |(_, calls)| calls);
    let rbac = rbac.split_once("#[cfg(test)]").map_or(rbac, |(calls, _)| calls);
    assert!(rbac.contains("\"OperatePrivilegeV2\""), "the calls of roles and users are read");
    let source = format!("{}{rbac}", include_str!("../src/client.rs"));
    let declared: Vec<_> = theirs.keys().filter_map(|name| name.strip_prefix("call ")).collect();
    // Calls appear in the client as string literals in CamelCase.
    let called: Vec<_> = source
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(|text| text.starts_with(char::is_uppercase) && text.chars().all(char::is_alphanumeric))
        .collect();
    assert!(called.len() > 30, "{called:?}");
    for call in called {
        // Values of parameters, and kinds of objects that roles are granted.
        if ["True", "False", "UTC", "Collection", "Global", "User", "Privilege"].contains(&call) {
            continue;
        }
        assert!(declared.contains(&call), "there is no call `{call}`");
    }
}
