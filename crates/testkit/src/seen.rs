//! Writing calls that real servers were seen to take, and in which form: which fields of the request were filled. A call
//! in any other form may do harm (RestoreRBAC without the grantor's name kills Milvus 2.5 and 2.6), so that the stand-in
//! refuses it and fails the test.
//!
//! `seen.json` is made from recorded calls of Milvus 2.3.5, 2.5.10 and 2.6.18. It holds no values, only names of fields.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::Value;
use vecferry_milvus::wire::scan::fields;

/// Releases that calls were recorded from.
pub const RELEASES: [&str; 3] = ["2.3.5", "2.5.10", "2.6.18"];

/// First words of the calls that change nothing.
const READING: [&str; 14] = [
    "AllocTimestamp",
    "Backup",
    "Calc",
    "Check",
    "Connect",
    "Describe",
    "Get",
    "Has",
    "List",
    "Query",
    "Search",
    "Select",
    "Show",
    "Test",
];

/// What is sent, or left out, although no recorded call of some releases was so, with the reason why it does no harm. An empty field is
/// the whole call, an empty call is every call.
pub const BEYOND: &[Beyond] = &[
    Beyond {
        call: "",
        field: "db_name",
        releases: &RELEASES,
        why: "the vendor's client fills it for every database but the default one; most calls were recorded with it",
    },
    Beyond {
        call: "OperatePrivilege",
        field: "entity.db_name",
        releases: &["2.3.5"],
        why: "the tests of roles send it to 2.3.5; newer releases get it in OperatePrivilegeV2",
    },
    Beyond {
        call: "OperatePrivilege",
        field: "type",
        releases: &["2.3.5"],
        why: "the tests of roles take grants back from 2.3.5; newer releases get it in OperatePrivilegeV2",
    },
    Beyond {
        call: "Delete",
        field: "partition_name",
        releases: &["2.6.18"],
        why: "2.3.5 and 2.5.10 were recorded to take it; a delete without it would reach other partitions",
    },
    Beyond {
        call: "Upsert",
        field: "partition_name",
        releases: &["2.6.18"],
        why: "2.3.5 and 2.5.10 were recorded to take it; Insert, which is read by the same code, was recorded with it",
    },
    Beyond {
        call: "Upsert",
        field: "schema_timestamp",
        releases: &RELEASES,
        why: "only compared if it is not 0; Insert, which is read by the same code, was recorded without it",
    },
    Beyond {
        call: "DropRole",
        field: "",
        releases: &RELEASES,
        why: "recorded where the role had grants: refused in so many words, so that the request was read whole",
    },
];

/// See [`BEYOND`].
#[derive(Clone, Copy, Debug)]
pub struct Beyond {
    /// Which call.
    pub call: &'static str,
    /// Which field.
    pub field: &'static str,
    /// Releases that may get it.
    pub releases: &'static [&'static str],
    /// Why.
    pub why: &'static str,
}

/// What became of a form, on one release.
type Outcomes = BTreeMap<String, BTreeSet<Form>>;

/// The filled fields of a request, by name.
pub type Form = BTreeSet<String>;

/// A call, as it was recorded.
struct Seen {
    /// Names of the fields by their numbers, as `2.1`; fields below one are fields of its message.
    names: BTreeMap<String, String>,
    /// By release.
    outcomes: BTreeMap<String, Outcomes>,
}

static SEEN: LazyLock<BTreeMap<String, Seen>> = LazyLock::new(|| {
    let record: Value = serde_json::from_str(include_str!("seen.json")).expect("the record is JSON");
    let members = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let form =
        |value: &Value| text(value).split(' ').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let forms = |value: &Value| value.as_array().into_iter().flatten().map(form).collect();
    let outcomes = |value: &Value| {
        members(value).iter().map(|(outcome, value)| (outcome.clone(), forms(value))).collect()
    };
    let seen = |call: &Value| Seen {
        names: members(&call["fields"]).iter().map(|(number, name)| (number.clone(), text(name))).collect(),
        outcomes: members(&call["forms"])
            .iter()
            .map(|(release, value)| (release.clone(), outcomes(value)))
            .collect(),
    };
    members(&record).iter().map(|(name, call)| (name.clone(), seen(call))).collect()
});

/// Whether a call changes anything.
pub fn is_writing(call: &str) -> bool {
    !READING.iter().any(|word| call.starts_with(word))
}

/// Names of the writing calls that were recorded.
pub fn calls() -> impl Iterator<Item = &'static str> {
    SEEN.keys().map(String::as_str)
}

/// The forms of a call that a release gave an outcome: `taken`, `refused` or `unimplemented`.
pub fn forms(call: &str, release: &str, outcome: &str) -> BTreeSet<Form> {
    let outcomes = SEEN.get(call).and_then(|seen| seen.outcomes.get(release));
    outcomes.and_then(|outcomes| outcomes.get(outcome)).cloned().unwrap_or_default()
}

/// The filled fields of a request.
///
/// # Errors
/// The call is not in the record, or a field has no name there.
pub fn form_of(call: &str, request: &[u8]) -> Result<Form, String> {
    let seen = SEEN.get(call).ok_or_else(|| format!("{call} was never recorded"))?;
    let mut form = Form::new();
    walk(call, &seen.names, "", request, &mut form)?;
    Ok(form)
}

fn walk(
    call: &str,
    names: &BTreeMap<String, String>,
    above: &str,
    message: &[u8],
    form: &mut Form,
) -> Result<(), String> {
    for field in fields(message) {
        let field = field.map_err(|error| format!("{call} does not decode: {error}"))?;
        let number = format!("{above}{}", field.number);
        let name = names
            .get(&number)
            .ok_or_else(|| format!("field {number} of {call} has no name in the record"))?;
        form.insert(name.clone());
        let inside = format!("{number}.");
        if names.range(inside.clone()..).next().is_some_and(|(next, _)| next.starts_with(&inside)) {
            let bytes = field.bytes().map_err(|error| format!("{call} does not decode: {error}"))?;
            walk(call, names, &inside, bytes, form)?;
        }
    }
    Ok(())
}

/// Whether one of some releases was seen to take a call in this form: no field that none of the recorded calls had, and
/// every field that all of them had.
///
/// # Errors
/// What speaks against it.
pub fn judge(call: &str, releases: &[&str], request: &[u8]) -> Result<(), String> {
    let form = form_of(call, request)?;
    let is_beyond = |field: &str| {
        BEYOND.iter().any(|beyond| {
            let of_release = || releases.iter().any(|release| beyond.releases.contains(release));
            (beyond.call.is_empty() || beyond.call == call) && beyond.field == field && of_release()
        })
    };
    if is_beyond("") {
        return Ok(());
    }
    let taken: BTreeSet<_> = releases.iter().flat_map(|release| forms(call, release, "taken")).collect();
    if taken.is_empty() {
        return Err(format!("no {} was seen to take {call}", releases.join(" or ")));
    }
    let never =
        form.iter().find(|field| !is_beyond(field) && !taken.iter().any(|seen| seen.contains(*field)));
    if let Some(field) = never {
        return Err(format!("{call} was never seen with `{field}`"));
    }
    let always = taken.iter().flatten().find(|field| {
        !form.contains(*field) && !is_beyond(field) && taken.iter().all(|seen| seen.contains(*field))
    });
    always.map_or(Ok(()), |field| Err(format!("{call} was never seen without `{field}`")))
}
